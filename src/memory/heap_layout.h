/* SPDX-License-Identifier: MIT */
/*
 * memory/heap_layout.h: a heap in shared memory: in its object file from
 * OBJECT_KIND_OFFSET on, or where the caller's memory begins.
 *
 *      place | heap_shared | heap_turn | desks | roots | references | units |
 *      0       64            128         192
 *      words | blocks
 *
 * The room for blocks is cut into units of 4 KiB or more; each has a heap_unit,
 * and a word for each of its lines of 64 bytes. A block's word is that of its
 * first line. What words and leases mean is in slab_layout.h.
 *
 * Truth:
 * - Words. PUBLISHED has below the generation:
 *
 *     33       32       31          0
 *     | SHARED | ROOTED | kept count |    none of all: then it is FREE
 *
 *     All changes of a published word are compare-and-swaps, and the one that
 *     takes away the last of the three makes it FREE: one commit point.
 *
 * - The chain: unit[0].shape says how long the first run of units is and what
 *   it is; after it the next run begins, up to the last unit.
 *
 *     63       | 39    32 | 31      0
 *     FOLLOWER | class + 1 | length       class + 1 = 0: a run of its own
 *
 *     A run of class + 1 != 0 is a slab, of blocks of that class. One without
 *     is a block if the word of its first line says so, and else free. shape 0
 *     is a free run to the end: how a heap begins. The chain is changed by who
 *     has the turn, one store at a time, and is whole after each:
 *       merge   longer.shape = length + next's; what was next is in no chain
 *               any more
 *       split   second half's shape first (it is in no chain yet), then the
 *               first's
 *       form    a free run of the right length becomes a slab: words, lease and
 *               FOLLOWERs of its further units first, then its shape
 *       retire  with the lease of the slab, and all its words FREE, its shape
 *               becomes a free run's. So nothing that has a slab's shape is
 *               anything but a slab, in a chain or not; who has found a shape
 *               and then got the lease looks at the shape again
 *     A FOLLOWER says how far back its head is, and is believed if the head is
 *     a slab that long. Of runs that are no slabs the further units say
 *     nothing: old shapes of theirs are not in the chain, are not slabs', and
 *     have FREE words.
 *     A block that is a run is freed by its word alone. Whoever looks for room
 *     merges.
 *   States a death may leave: all of these; there is nothing to mend.
 *
 * - Roots: offset, 0 if the root is free. Written with the turn; the name
 *   first. Order of a new root: word ROOTED, name, offset (commits), then the
 *   word of the block before it loses ROOTED.
 * - References of processes: holder = peer | count << 48, 0 if free. Written
 *   with the turn. Order: word SHARED, offset, holder (commits); giving up:
 *   holder, then the word loses SHARED if no other names the block.
 *   States a death may leave: ROOTED and SHARED that nothing bears out. `dirty`
 *   is then set; who takes the turn next works both out anew, for every
 *   published word, which frees what nothing else keeps. Doing that again does
 *   no more. References of dead peers: anybody gives them up, with the turn.
 *
 * The turn is base/lock.h's, with tokens of desks: index, and above it the
 * desk's generation (1 to 2^19 - 1), which makes it another's when the desk is.
 *
 * Hints: `exhausted` (slab_layout.h); `rover`, where who looked for room last
 * left off. It is a head in the chain at any time: a merge over it moves it to
 * the head before first.
 */
#ifndef STOA_MEMORY_HEAP_LAYOUT_H
#define STOA_MEMORY_HEAP_LAYOUT_H

#include <base/lock.h>
#include <memory/slab_layout.h>
#include <stoa/heap.h>

#define HEAP_LINE_SHIFT 6
#define HEAP_UNIT_SHIFT_MIN 12
#define HEAP_UNITS_MAX 131072u
/* Sizes of blocks in slabs: to 16 KiB, and in a heap with so much room for
 * blocks to 64 KiB. */
#define HEAP_CLASSES_SMALL 28u
#define HEAP_CLASSES 36u
#define HEAP_ROOM_LARGE (UINT64_C(15) << 20)
#define HEAP_ROOTS_MAX 4096u
#define HEAP_REFERENCES_MAX 65536u

#define SHAPE_FOLLOWER (UINT64_C(1) << 63)
#define SHAPE_CLASS_SHIFT 32
#define SHAPE_LENGTH(shape) ((uint32_t)(shape))
#define SHAPE_CLASS(shape) ((uint32_t)((shape) >> SHAPE_CLASS_SHIFT & 0xff))
#define SHAPE_SLAB(class, length) \
	((uint64_t)((class) + 1) << SHAPE_CLASS_SHIFT | (length))

#define PUBLISHED_COUNT_MASK UINT64_C(0xffffffff)
#define PUBLISHED_ROOTED (UINT64_C(1) << 32)
#define PUBLISHED_SHARED (UINT64_C(1) << 33)
#define PUBLISHED_KEEPS \
	(PUBLISHED_COUNT_MASK | PUBLISHED_ROOTED | PUBLISHED_SHARED)

#define REFERENCE_COUNT_SHIFT 48
#define REFERENCE_COUNT_MAX 65535u

struct heap_shared {
	uint64_t bytes; /* constant, as all of these: see work_out() */
	uint64_t data_at;
	uint32_t unit_shift;
	uint32_t units;
	uint32_t desks;
	uint32_t roots;
	uint32_t references;
	uint32_t reserved;
	uint64_t unused[3];
};

struct heap_turn {
	struct stoa_lock lock;
	_Atomic uint32_t dirty; /* roots or references are being changed */
	_Atomic uint32_t rover;
	uint32_t unused[13];
};

struct heap_root {
	_Atomic uint64_t offset;
	char name[STOA_HEAP_ROOT_NAME_MAX + 1];
};

struct heap_reference {
	_Atomic uint64_t holder;
	_Atomic uint64_t offset;
};

struct heap_unit {
	_Atomic uint64_t shape;
	_Atomic uint64_t lease;
	_Atomic uint32_t exhausted;
	uint32_t reserved;
};

struct heap_place {
	struct stoa_place place;
	uint64_t unused[5];
	struct heap_shared shared;
	struct heap_turn turn;
};

AT(heap_shared, data_at, 8);
AT(heap_shared, unit_shift, 16);
AT(heap_shared, units, 20);
AT(heap_shared, desks, 24);
AT(heap_shared, roots, 28);
AT(heap_shared, references, 32);
AT(heap_turn, dirty, 4);
AT(heap_turn, rover, 8);
AT(heap_root, name, 8);
AT(heap_reference, offset, 8);
AT(heap_unit, lease, 8);
AT(heap_unit, exhausted, 16);
AT(heap_place, shared, 64);
AT(heap_place, turn, 128);
_Static_assert(sizeof(struct heap_turn) == 64, "turn size");
_Static_assert(sizeof(struct heap_root) == 64, "root size");
_Static_assert(sizeof(struct heap_unit) == 24, "unit size");

#endif
