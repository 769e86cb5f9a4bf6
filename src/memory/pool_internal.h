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
};

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

int pool_ready(struct stoa_object *object, unsigned direction,
               const struct stoa_wait *wait);

#endif
