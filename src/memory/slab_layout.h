/* SPDX-License-Identifier: MIT */
/*
 * memory/slab_layout.h: what pool and heap are made of. A slab is a number of
 * blocks of one size. Blocks themselves hold the user's bytes and nothing
 * else; everything below stands apart from them, before the first, so that
 * who writes past the end of a block can't forge any of it.
 *
 * Truth: one word for each block.
 *
 *     63  62 61        48 47                            0
 *     | state | generation |  peer, or what owner means   |
 *
 *   FREE       generation of the last use; the rest is 0
 *   HELD       by the process `peer` alone
 *   PUBLISHED  nobody's own; the low bits are the noun's: see the layouts of
 *              pool and heap
 *
 *   Transitions, each of one store or compare-and-swap (A: atomic exchange):
 *   1 FREE -> HELD(p)       by p, who has the slab's lease: a store. The
 *                           generation goes up by one
 *   2 HELD(p) -> FREE       by p: a store (release)
 *   3 HELD(p) -> PUBLISHED  by p: a store or A (release)
 *   4 PUBLISHED -> other    A
 *   5 HELD(p) -> HELD(q)    A: handed over; p gives, or q claims what p sent
 *   6 HELD(p) -> FREE       A, by anybody, when p is dead
 *
 *   A word HELD(p) is written by p alone while p lives, but for 5, to which p
 *   has then agreed. A word FREE is written by the holder of the lease alone.
 *   States a death may leave: HELD by the dead; anyone who finds it in the
 *   way does 6. There is no state in between, nothing to undo and nothing to
 *   rebuild.
 *
 * The lease of a slab: who alone may take blocks of it.
 *
 *     63         32    16 15    0
 *     | generation | CALLED | desk |    desk: 1 + index; 0: nobody's
 *
 *   All changes are compare-and-swaps. Each change of hands raises the
 *   generation, so that a swap by one who slept meanwhile fails.
 *   Transitions:
 *   L1 nobody's -> mine        by a thread for its desk
 *   L2 mine -> nobody's        by the same
 *   L3 x -> x | CALLED         by a thread that wants blocks and finds none
 *                              elsewhere
 *   L4 x | CALLED -> mine      by it, if desk x is not inside (below)
 *   L5 of the dead -> mine     by anybody; a dead thread stores no more
 *   States a death may leave: the lease of a dead desk, or of a desk whose new
 *   owner knows nothing of it: L5, or L3 and L4. CALLED and nobody calling:
 *   the owner does L2 when it comes that way, others do L4.
 *
 * A desk is one thread's: a line of its own. Taking a block must not cost a
 * locked instruction, so who has the lease asks and acts with plain loads and
 * stores, and who comes to take the lease away pays for both (SLAB_INSIDE):
 *
 *     takes a block                    takes the lease
 *     T1 W desk.inside = 1             C1 lease |= CALLED (L3)
 *     (compiler barrier)               C2 membarrier(2)
 *     T2 R lease: mine, not CALLED?    C3 R desk.inside: 0?
 *     T3 W word = HELD (1)             C4 lease = mine (L4)
 *     T4 W desk.inside = 0 (release)
 *
 *   The membarrier puts a full barrier somewhere into what the other thread
 *   does. If that is before its T2, then T2 finds CALLED, and it goes without.
 *   If after, then C3 finds 1, or the 0 of its T4 (acquire) and with it T3.
 *   Who finds 1 looks a few times more and then leaves that slab alone: a
 *   thread stopped between T1 and T4, five instructions, keeps it, and nobody
 *   waits for it. C4 can't meet a later lease of the same desk: the generation
 *   differs.
 *   Where membarrier(2) is refused to the owner of a desk, `fenced` says that
 *   it makes a full barrier after T1 itself. Where it is refused to the other,
 *   leases of the living without `fenced` are left alone.
 *
 *   Truth of a desk: agent. 0 -> agent by compare-and-swap; dead agent -> mine
 *   likewise. Then the new owner raises the generation (for turns: see
 *   heap_layout.h) and clears `inside`, which the dead may have left set: until
 *   then leases that still name the desk are left alone, which costs nothing.
 *   A desk goes on with the thread number: a thread that ends leaves it, and
 *   the leases, to the next with that number; others may call meanwhile.
 *
 * What is told for speed only, and may be wrong: `exhausted` of a slab, set
 * when its leaseholder found no free block, cleared by who frees one. Before
 * anybody is told that there is none, all words are looked at.
 */
#ifndef STOA_MEMORY_SLAB_LAYOUT_H
#define STOA_MEMORY_SLAB_LAYOUT_H

#include <space/object_layout.h>

#define SLAB_STATE_MASK (UINT64_C(3) << 62)
#define SLAB_FREE UINT64_C(0)
#define SLAB_HELD (UINT64_C(1) << 62)
#define SLAB_PUBLISHED (UINT64_C(2) << 62)
#define SLAB_GENERATION_SHIFT 48
#define SLAB_GENERATION_BITS 14
#define SLAB_GENERATION_ONE (UINT64_C(1) << SLAB_GENERATION_SHIFT)
#define SLAB_GENERATION_MASK \
	(((UINT64_C(1) << SLAB_GENERATION_BITS) - 1) << SLAB_GENERATION_SHIFT)
#define SLAB_PEER(word) ((word)&UINT64_C(0xffffffffffff))

#define LEASE_DESK(lease) ((uint32_t)((lease)&0xffff))
#define LEASE_CALLED UINT64_C(0x10000)
#define LEASE_NEXT(lease, desk) \
	((((lease) >> 32) + 1) << 32 | (uint64_t)(desk))

#define SLAB_DESKS_MAX 4096u

struct slab_desk {
	_Atomic uint64_t agent; /* 0: nobody's */
	_Atomic uint32_t inside;
	_Atomic uint32_t fenced;
	_Atomic uint32_t generation;
	uint32_t unused[11];
};

AT(slab_desk, agent, 0);
AT(slab_desk, inside, 8);
AT(slab_desk, fenced, 12);
AT(slab_desk, generation, 16);
_Static_assert(sizeof(struct slab_desk) == 64, "a desk is a line");

#endif
