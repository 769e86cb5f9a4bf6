/* SPDX-License-Identifier: MIT */
/*
 * sync/semaphore_layout.h: the shared bytes of a semaphore.
 *
 *   in memory of the caller's     in a file
 *   0    struct stoa_place        20480  word          what both have
 *   24   word                     20488  extension     if it has undo, or a
 *   32   extension                                     maximum of its own
 *   96   holders                  20552  holders       if it has undo
 *
 * WITHOUT UNDO
 *
 *   Truth: the word.
 *
 *     63      48 47     32    31     30            0
 *     | lease   | gate   | extended | value        |
 *
 *   Transitions, all by compare-and-swap of the whole word:
 *     value - n   a wait, if value >= n and the gate is open to the taker;
 *                 acquire. Whose the gate was, opens it with the same swap.
 *     value + n   a post; seq_cst: EVENT_DEKKER (object_layout.h), the event is
 *                 looked at next
 *     gate        closed, renewed, opened: below
 *   `extended` is constant; read once at open.
 *
 *   A wait and a post are one swap each, so a death leaves nothing to repair.
 *   A poster that dies between its swap and the wake delays sleepers by one
 *   slice (50 ms); a sleeper that dies after it was woken in another's stead,
 *   too.
 *
 *   Whoever waits for several also sets EVENT_OBSERVERS, so that posts wake
 *   all: the permits may be enough for another than the one woken first. Else
 *   a post of n wakes n.
 *
 *   GATE. A waiter for several that has slept PATIENCE times closes the gate. It
 *   says whose it is and until when:
 *
 *     63    53 52    48 47    32
 *     | lease | thread | slot  |     0: open
 *
 *   by its process's slot in the life table; 5 bits of its thread, never 0 (two
 *   threads with the same bits both have the gate, which is harmless); and the
 *   end of its lease, in units of 2^24 ns of CLOCK_MONOTONIC modulo 2^11. While
 *   it is closed and the lease lasts nobody else takes permits, though there
 *   may be some. Its owner renews it at each wake, at least once a slice; takes
 *   it away with its permits, or when it gives up, and then wakes those who
 *   were kept out. Whoever is kept out asks, before it says so and after each
 *   sleep, whether anybody lives in that slot; if not, it opens the gate. If the
 *   owner is stopped, or another has its slot by now, the lease runs out:
 *   whoever takes permits next opens the gate. Nobody's permits depend on the
 *   lease being right, or on who lives, only the order of service; and a stopped
 *   process keeps nobody out for long. A lease further ahead than any can be is
 *   void (another time namespace, or half a minute's sleep).
 *
 * WITH UNDO
 *
 *   Truth: `total`, and the holders' `held`. The value is
 *
 *       total - (sum of held over all holders)
 *
 *   The word's value is an index: changed after the truth, and worked out anew
 *   by whoever takes the turn from a dead one. So there is no counter that must
 *   be right, and no intent to be written down: each operation has one store
 *   that commits it.
 *
 *   All of this is changed under the turn: a lock word that holds the agent
 *   of its owner, and TURN_WAITERS. Transitions, by compare-and-swap:
 *     0 -> agent            acquire
 *     agent -> agent|W      a waiter is going to sleep on turn_event
 *     agent|W -> mine|W     takeover: the owner's peer is dead
 *     agent|W -> 0          release; then turn_event + 1 and a wake of one
 *     0 -> mine|W           by one who has slept: others may still sleep
 *
 *   holder.peer    whose, with the handle that remembers `serial`. 0: free
 *   holder.held    permits that were taken and not posted; 0 if free
 *   holder.serial  goes up with each claim
 *
 *   Operations, in the order of their stores:
 *     wait n       held + n (commits); word
 *     post n <= h  held - n (commits); word
 *     post n > h   total + (n - h) (commits); held = 0; word
 *                  Death after the first store: the h permits that are still
 *                  held come back as the dead one's. Same result.
 *     claim        serial, then peer, in a holder that is free or holds nothing
 *     bury, close  held = 0 (commits); word; peer = 0
 *   If what comes back would pass the maximum, total is lowered as far as it
 *   must, before the word; doing that again does no more.
 *
 *   States a death may leave: the turn taken; word not what the truth says: the
 *   next to take the turn mends it. A holder whose peer is dead: buried by
 *   whoever finds too few permits, asks for the value, or patrols. kind->bury
 *   looks at all holders, and not at the token: holders are peers, who have no
 *   seats in memory of the caller's. A peer never comes again.
 */
#ifndef STOA_SYNC_SEMAPHORE_LAYOUT_H
#define STOA_SYNC_SEMAPHORE_LAYOUT_H

#include <space/object_layout.h>
#include <stoa/semaphore.h>

#define SEMAPHORE_VALUE_MASK UINT64_C(0x7fffffff)
#define SEMAPHORE_EXTENDED (UINT64_C(1) << 31)
#define SEMAPHORE_GATE_SHIFT 32
#define SEMAPHORE_GATE_MASK (~UINT64_C(0) << SEMAPHORE_GATE_SHIFT)
/* The tag says whose it is. */
#define SEMAPHORE_TAG_BITS 21
#define SEMAPHORE_TAG(slot, thread) \
	((uint32_t)(slot) | ((uint32_t)(thread) % 31 + 1) << 16)
#define SEMAPHORE_TAG_SLOT(tag) ((tag)&0xffffu)
#define SEMAPHORE_GATE(tag, lease)                    \
	((uint64_t)(tag) << SEMAPHORE_GATE_SHIFT |    \
	 (uint64_t)(lease) << (SEMAPHORE_GATE_SHIFT + SEMAPHORE_TAG_BITS))
#define SEMAPHORE_GATE_TAG(word) \
	((uint32_t)((word) >> SEMAPHORE_GATE_SHIFT) & 0x1fffffu)
#define SEMAPHORE_GATE_LEASE(word) \
	((uint32_t)((word) >> (SEMAPHORE_GATE_SHIFT + SEMAPHORE_TAG_BITS)))
#define SEMAPHORE_LEASE_MASK 0x7ffu
#define SEMAPHORE_LEASE_SHIFT 24 /* unit: 2^24 ns */
#define SEMAPHORE_LEASE_UNITS 7  /* 117 ms: two slices and a little */

#define SEMAPHORE_FILE_HOLDERS 1024u
#define SEMAPHORE_PLACE_HOLDERS 122u

#define TURN_WAITERS (UINT64_C(1) << 63)

struct semaphore_extension {
	uint32_t maximum; /* constant */
	uint32_t holders; /* constant; 0: no undo */
	_Atomic uint64_t turn;
	_Atomic uint32_t turn_event;
	_Atomic uint32_t used; /* holders from here on were never claimed */
	_Atomic uint64_t total;
	_Atomic uint64_t undone; /* for people */
	uint64_t unused[3];
};

struct semaphore_holder {
	_Atomic uint64_t peer;
	_Atomic uint32_t held;
	_Atomic uint32_t serial;
};

AT(semaphore_extension, turn, 8);
AT(semaphore_extension, turn_event, 16);
AT(semaphore_extension, used, 20);
AT(semaphore_extension, total, 24);
AT(semaphore_extension, undone, 32);
_Static_assert(sizeof(struct semaphore_extension) == 64, "extension size");
AT(semaphore_holder, held, 8);
AT(semaphore_holder, serial, 12);
_Static_assert(sizeof(struct semaphore_holder) == 16, "holder size");
_Static_assert(sizeof(struct stoa_place) + 8 == STOA_SEMAPHORE_BYTES,
               "a plain semaphore fits in a sem_t");
_Static_assert(STOA_SEMAPHORE_BYTES + sizeof(struct semaphore_extension) +
                               SEMAPHORE_PLACE_HOLDERS *
                                       sizeof(struct semaphore_holder) <=
                       STOA_SEMAPHORE_UNDO_BYTES,
               "placed with undo");

#endif
