/* SPDX-License-Identifier: MIT */
/*
 * memory/pool_layout.h: a pool in shared memory: in its object file from
 * OBJECT_KIND_OFFSET on, or where the caller's memory begins.
 *
 *      place | pool_shared | desks | slabs | words | [given] | blocks
 *      0       64            128
 *
 * Truth: one word for each block: see slab_layout.h. The blocks are cut into
 * slabs of pool_shared.slab_blocks each, the last may have fewer. PUBLISHED is
 * "in flight", its low bits are 0.
 *
 *   give    HELD(p) -> PUBLISHED     compare-and-swap (transition 3): the
 *           receiver may have claimed meanwhile, and then it stays as it is
 *   claim   PUBLISHED or HELD(p) -> HELD(q), compare-and-swap (4, 5). All keep
 *           the generation, which is part of the identifier: a claim that comes
 *           after the death of p finds another state or generation
 *   States a death may leave: those of the slab layout.
 *
 * Waiting. Who acquires and finds nothing sleeps on events.readable. A release
 * is a plain store, so between arming and looking again the waiter makes a
 * barrier in all others (slab_wait_barrier()), in the manner of SLAB_INSIDE:
 *
 *     releases                       waits
 *     W word = FREE                  W event |= SLEEPERS (seq_cst)
 *     (compiler barrier)             membarrier(2)
 *     R event: anybody?              R words
 *
 *   Where there is no membarrier(2), a waiter may look a slice late.
 *
 * Segments. Where pool_shared.page is not 0, each block is a segment: whole
 * pages that processes map one by one, from a page of the file on, and after
 * each a page that nobody ever maps. They are not files of their own: those
 * would need names, which a death could leave, and each would take as long to
 * make as thousands of blocks to acquire.
 *   The file is a hole from `blocks` on. A word for each block says whether the
 * block has memory:
 *
 *   given    0 -> 1   by who holds the block, after it gave it memory; so
 *                     whoever has the block and finds 1 meets no full tmpfs
 *            1 -> 0   by who holds the block, before it takes the memory away
 *   States a death may leave: memory, and 0. The next who acquires the block
 *   gives it memory again, which it has, and goes on from there.
 *
 *   What a process has mapped of it stays mapped until it closes its handle: to
 * write, or only to be read, by a description of the file that can't do more.
 *
 * pool_shared is constant once made, and checked as a whole at open: it follows
 * from blocks, block_bytes, alignment, desks and page alone. The header's first
 * word of geometry says where the blocks of a pool of segments begin in the
 * file: so much of it is mapped; else 0, and all of it is.
 */
#ifndef STOA_MEMORY_POOL_LAYOUT_H
#define STOA_MEMORY_POOL_LAYOUT_H

#include <memory/slab_layout.h>
#include <stoa/pool.h>

enum { POOL_GEOMETRY_MAPPED };

#define POOL_SLABS 64u       /* at least, if there are so many blocks */
#define POOL_SLAB_BLOCKS 256u /* at most */

struct pool_shared {
	uint64_t block_bytes;
	uint32_t blocks;
	uint32_t alignment;
	uint32_t desks;
	uint32_t slab_blocks; /* a power of two */
	uint64_t stride;      /* from block to block */
	uint64_t data_at;     /* where the first begins, from the place on */
	uint64_t page;        /* its size, if each is a segment; else 0 */
	uint64_t unused[2];
};

struct pool_slab {
	_Atomic uint64_t lease;
	_Atomic uint32_t exhausted;
	uint32_t unused[13];
};

struct pool_place {
	struct stoa_place place;
	uint64_t unused[5];
	struct pool_shared shared;
};

AT(pool_shared, blocks, 8);
AT(pool_shared, alignment, 12);
AT(pool_shared, desks, 16);
AT(pool_shared, slab_blocks, 20);
AT(pool_shared, stride, 24);
AT(pool_shared, data_at, 32);
AT(pool_shared, page, 40);
AT(pool_slab, exhausted, 8);
AT(pool_place, shared, 64);
_Static_assert(sizeof(struct pool_slab) == 64, "a slab's line");
_Static_assert(sizeof(struct pool_place) == 128, "desks begin on a line");

#endif
