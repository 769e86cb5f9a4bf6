/* SPDX-License-Identifier: MIT */
/* memory/pool_internal.h: what the pool's sources share. */
#ifndef STOA_MEMORY_POOL_INTERNAL_H
#define STOA_MEMORY_POOL_INTERNAL_H

#include <base/cpu.h>
#include <memory/pool_layout.h>
#include <memory/slab.h>
#include <space/event.h>
#include <space/object.h>

#include <errno.h>

struct stoa_pool {
	struct stoa_object object;
	struct slab_store store;

	/* Checked at open, constant since; never read from memory again. */
	struct pool_shared shape;
	uint32_t slab_shift;
	uint32_t slab_count;
	uint64_t bytes;
	char *base; /* where the place begins */
	struct pool_slab *slabs;
	_Atomic uint64_t *words;
	char *data;

	/* Of a pool of segments, else NULL. */
	_Atomic uint32_t *given;
	_Atomic uint8_t *opened; /* of each: POOL_WRITES, POOL_READS */
	char *_Atomic view;      /* as data, to be read only; NULL: not yet */
};

enum { POOL_WRITES = 1, POOL_READS = 2 };

/* An identifier: the generation where words have it, and the block's index. No
 * shifts: each is on the way from one use of a block to the next. */
#define POOL_INDEX(block) ((uint32_t)(block))
#define POOL_GENERATION(block) ((block)&SLAB_GENERATION_MASK)
#define POOL_BLOCK(index, word) (((word)&SLAB_GENERATION_MASK) | (index))

static inline uint32_t pool_slab_blocks(const struct stoa_pool *pool,
                                        uint32_t slab)
{
	uint32_t first = slab << pool->slab_shift;
	uint32_t left = pool->shape.blocks - first;

	return left < pool->shape.slab_blocks ? left : pool->shape.slab_blocks;
}

/* Every call but the quickest begins here. */
static inline int pool_enter(struct stoa_pool *pool)
{
	int result = stoa_object_enter(&pool->object);

	return result < 0 ? result : stoa_object_health(&pool->object);
}

/* Blocks have become free: wakes who waits. */
void pool_tell(struct stoa_pool *pool, uint32_t slab);

/* ---- Segments (pool_segment.c) ----------------------------------------------- */

/* Takes address space for them. */
int pool_map(struct stoa_pool *pool);
void pool_unmap(struct stoa_pool *pool);

/* Gives memory to the segment *block, which this process holds. Where there is
 * none it looks for another that has some. On failure it holds neither:
 * -ENOSPC, -EBADF. */
int pool_furnish(struct stoa_pool *pool, uint64_t *block);
/* A block that is free now, with or without memory. -EAGAIN: there is none. */
int pool_take(struct stoa_pool *pool, uint64_t *ret_block);

/* The segment's first byte, mapped as asked; NULL, with a sentence. */
char *pool_open_segment(struct stoa_pool *pool, uint32_t index, unsigned how);

/* 0, and its word: the block is in use, and it is this use. */
int pool_look_up(struct stoa_pool *pool, uint64_t block, uint64_t *ret_word);
int pool_not_ours(struct stoa_pool *pool, uint64_t block);

static inline int pool_furnished(struct stoa_pool *pool, uint64_t block)
{
	/* relaxed: who had the block before me stored it before the word */
	return stoa_likely(!pool->given) ||
	       atomic_load_explicit(&pool->given[POOL_INDEX(block)],
	                            memory_order_relaxed) != 0;
}

int pool_ready(struct stoa_object *object, unsigned direction,
               const struct stoa_wait *wait);

#endif
