/* SPDX-License-Identifier: MIT */
/*
 * sync/barrier_layout.h: the shared bytes of a barrier.
 *
 *   0     struct stoa_place; empty in an object of its own
 *   24    count, death: constant once made (an object of its own has them in
 *         its header's geometry)
 *   64    the round word
 *   128   2 x count slots of 8 bytes: even rounds, odd rounds
 *   ...   2 x count informations of 24 bytes, for people
 *
 * Truth: the round word, and the slots of the present round. There is no count
 * of those who have come: it is the slots that are taken.
 *
 *   round word   version (31 bits) | broken (1) | round (32)
 *     broken: a death ended the round before this one. The version counts
 *     those who withdrew in this round.
 *
 *   slot         0, or an agent (peer and thread) and what it does:
 *     agent|COMING   it has the place and doesn't count yet
 *     agent          it has come
 *     agent|LEAVING  it withdraws, and counts no more for who looks from now
 *   Threads with numbers over 14 bits are refused, so that two bits are free.
 *
 * A round has exactly `count` slots. It ends (round r -> r + 1) by one
 * compare-and-swap, after the same round word was seen before a look that
 * found every slot of r come. So:
 *   - While somebody has a slot of r and has not come, r can't end whole.
 *   - Who is LEAVING and finds, before it could raise the version, that r has
 *     ended, was seen come by who ended it: its slot was its own all the time,
 *     and every slot was seen come. It was counted, and tells its caller so.
 *   - Who has raised the version while r was present has not been counted and
 *     won't be: looks begun before fail at the round word, later ones see
 *     LEAVING.
 *
 *   Transitions, all by compare-and-swap, seq_cst:
 *     B1  slot 0 -> a|COMING        by a. It looks at the round word again: if
 *                                   the round isn't the one the slot is of, it
 *                                   undoes B1, for B1 may have come late
 *     B2  a|COMING -> a             by a: it has come. The round it saw after B1
 *                                   can't have ended whole meanwhile; if it was
 *                                   broken, a is told of that as all others
 *     B3  round r -> r + 1          by anybody who looked; also broken = 1, by
 *                                   who found a death (STOA_BARRIER_BREAKS).
 *                                   Only once no slot of r - 1 is a living
 *                                   one's: see below
 *     B4  a -> a|LEAVING            by a; by anyone when a is dead and the
 *                                   barrier STOA_BARRIER_FORGETS
 *     B5  version + 1               by a; by anyone when a is dead
 *     B6  a|LEAVING -> 0            by a after B5, or after r has ended; by
 *                                   anyone when a is dead, after B5
 *     B7  a -> 0                    by a, after r has ended
 *     B8  a|anything -> 0           by anyone when a is dead and r has ended,
 *                                   who after finding it dead has seen the round
 *                                   word at r + 1: so it had not come again
 *     B9  a|COMING -> b|COMING      by b, which has slept and found no free slot:
 *                                   a may be stopped, or dead. a's B2 fails,
 *                                   and a begins anew
 *   A word of the dead never returns, so that who slept before B4, B6 or B8
 *   does no harm. A late B9 puts b into a later round's slot, as COMING only,
 *   which b's look at the round word undoes.
 *
 * The slots of r - 1 are the slots of r + 1, so r doesn't end before those of
 * r - 1 have left. They have been told; with no more threads than `count` they
 * have left, as they have come again. That is also why each who waited in r
 * sees the round word at r or r + 1, and "broken" of r when it leaves.
 * Who is kept by such a leaver sets `held_up`, looks again, and sleeps; a
 * leaver that finds it set after B7 wakes all (EVENT_DEKKER).
 *
 * Whoever is going to sleep in round r sets `slow` to r + 1, and who would end
 * r then asks first whether all who have come live: else those who died asleep
 * would count, if nobody else was there to notice. In a round in which all
 * spin nobody asks, and a death then is one that came just after. A round that
 * only the dead are in is ended, or cleared, by one who finds no slot.
 *
 * Wake-ups. All wait on `readable`. B3 wakes all; B5 and B6 too, if more
 * threads than `count` use it, for the slot. B2 wakes on `writable` who
 * watches for "all but one have come".
 *
 * What a death leaves, instruction by instruction:
 *   before B1        nothing.
 *   B1 to B2         COMING of the dead: the round is broken, or the slot is
 *                    taken by B9 or freed by B4 to B6.
 *   B2 to B3         it has come: the others, when they look (the last to come,
 *                    and whoever slept a slice or heard of a death), either see
 *                    all come and end the round, or ask who is alive, and break
 *                    it, or withdraw the dead: B4, B5, B6, each of which
 *                    anybody may take up where a helper died.
 *   after B3         the round has ended; nobody may have been woken: the
 *                    others look after a slice. If it was the one to be told
 *                    STOA_BARRIER_SERIAL, it was told and died.
 *   B4 to B6         LEAVING of the dead: as B1 to B2.
 *   B3 to B7         B8, by who ends the next round.
 */
#ifndef STOA_SYNC_BARRIER_LAYOUT_H
#define STOA_SYNC_BARRIER_LAYOUT_H

#include <space/object_layout.h>

#define BARRIER_THREAD_MAX 0x3fffu
#define BARRIER_COMING (UINT64_C(1) << 62)
#define BARRIER_LEAVING (UINT64_C(1) << 63)
#define BARRIER_AGENT(word) ((word) & ~(BARRIER_COMING | BARRIER_LEAVING))

#define BARRIER_ROUND(word) ((uint32_t)(word))
#define BARRIER_BROKEN (UINT64_C(1) << 32)
#define BARRIER_VERSION (UINT64_C(1) << 33) /* one */

#define BARRIER_SLOTS_OFFSET 128

enum { BARRIER_GEOMETRY_COUNT = 0, BARRIER_GEOMETRY_DEATH = 1 };

struct barrier_shared {
	struct stoa_place place;
	uint32_t count;
	uint32_t death;
	uint32_t unused[8];

	_Atomic uint64_t round;
	_Atomic uint32_t held_up;
	_Atomic uint32_t slow;
	uint32_t unused_hot[12];
};

/* Written by a slot's owner alone, after B1; true when `told` is its agent. */
struct barrier_info {
	_Atomic uint64_t told;
	_Atomic int64_t since_ns;
	_Atomic int32_t tid;
	uint32_t unused;
};

AT(barrier_shared, place, 0);
AT(barrier_shared, count, 24);
AT(barrier_shared, death, 28);
AT(barrier_shared, round, 64);
AT(barrier_shared, held_up, 72);
AT(barrier_shared, slow, 76);
_Static_assert(sizeof(struct barrier_shared) == BARRIER_SLOTS_OFFSET, "size");
AT(barrier_info, told, 0);
AT(barrier_info, since_ns, 8);
AT(barrier_info, tid, 16);
_Static_assert(sizeof(struct barrier_info) == 24, "info size");

#endif
