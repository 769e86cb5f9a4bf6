/* SPDX-License-Identifier: MIT */
/*
 * sync/rwlock_layout.h: the shared bytes of an rwlock.
 *
 *   0     struct stoa_place; empty in an object of its own
 *   24    preference, readers, instant: constant once made (an object of its own has
 *         them in its header's geometry)
 *   64    the writer word, and what everyone reads beside it
 *   128   16 who wait, of 24 bytes
 *   512   `readers` entries of a line each
 *
 * Truth: the writer word, and the owners of the entries. An agent (peer and
 * thread, 63 bits) stands in each, in the same word that says "taken".
 *
 *   writer     0                  nobody writes
 *              agent | PENDING    it wants to write, and looks whether anybody
 *                                 reads; it has changed nothing
 *              agent              it writes
 *              ABANDONED          its writer's thread ended, or closed it
 *              BROKEN             for good: unlocked without consistent()
 *   entry      0 or agent: it reads, or is about to look whether it may
 *
 *   Transitions, all by compare-and-swap, so that nobody who slept undoes what
 *   others have decided meanwhile:
 *     W1  0 -> a|PENDING       by a
 *     W2  a|PENDING -> a       by a, after every entry was seen 0 (or dead, and
 *                              freed) since W1: the commit point of locking
 *     W3  a|PENDING -> 0       by a, who gives up; by anyone when a is dead; by
 *                              a reader with its entry set, when readers are
 *                              preferred
 *     W4  a -> 0 or BROKEN     by a: unlocking. a -> ABANDONED: a's thread ends
 *     W5  a -> b, ABANDONED -> b   by b, when a is dead: takeover, -EOWNERDEAD.
 *                              Nobody reads then, and the word is never 0 on
 *                              the way, so there is nothing to look at
 *     E1  0 -> a               by a
 *     E2  a -> 0               by a; by anyone when a is dead
 *
 *   A reader has the lock when, after E1, it saw the writer word 0, or made it
 *   0 by W3. It has it no more after E2. A reader that sees a writer takes E2
 *   and waits. Recursion is counted privately: it is nobody else's business.
 *
 * Readers and writers exclude each other (RWLOCK_DEKKER, all seq_cst):
 *
 *     reader                         writer
 *     W own entry (E1)               W writer word (W1)
 *     R writer word                  R every entry
 *                                    W writer word (W2)
 *
 *   In the one order of these, either E1 comes before the writer's look at
 *   that entry, which then isn't 0, and W2 isn't taken; or it comes after, so
 *   after W1, and the reader sees the writer. A reader that undoes W1 (W3)
 *   makes W2 fail: only a writes a|PENDING, so W2 succeeds only on the very W1
 *   that it followed; and if a has come again since (W1'), its looks come
 *   after W1', which comes after E1.
 *   Two writers exclude each other by the word itself.
 *
 *   `used` bounds the look: no entry at or over it was ever taken. It only
 *   grows, and before the entry's E1 (acquire or seq_cst there, seq_cst in the
 *   look), so that who must see the entry sees the bound.
 *
 * Preference of writers. A writer that is going to sleep sets its bit in
 * `waiting`; new readers wait while a bit is set whose waiter lives. A hint: it
 * decides who is first, not who is in. A bit too many (its writer died) is
 * taken away by the reader that finds the waiter dead, a bit too few is set
 * again by its owner after each sleep. A|PENDING stops readers anyhow.
 *
 * Wake-ups (EVENT_DEKKER in space/object_layout.h). Readers sleep on
 * `readable`, writers on `writable`.
 *   W3, W4: all readers, unless a preferred writer was woken; one writer.
 *   E2: if no living reader is left, the writers (one, or, as the one that is
 *   PENDING may be any of them, all). Two who leave at once: each frees its
 *   entry, then looks at the other's; one of them sees both free.
 *   E2 while `full` is set: all readers. Who finds every entry taken sets it,
 *   then looks again.
 *   A writer's bit goes: all readers, if it hasn't got the lock.
 *   Who leaves without the lock after having slept passes on what may have
 *   been for another: one writer.
 *
 * What a death leaves, instruction by instruction:
 *   reader   before E1: nothing (`used` too large: a longer look).
 *            E1 to E2: an entry in a writer's way until it asks whether the
 *            agent lives, after a sleep or at once with STOA_NOW. Freed.
 *            after E2, before its wake: sleepers look after a slice.
 *   writer   before W1: nothing. W1 to W2: PENDING of the dead: W3 by whoever
 *            it keeps. W2 to W4: W5, -EOWNERDEAD. W4, before its wake: a slice.
 *   upgrade  W1, W2 beside its own entry, then E2: as a writer, and the entry
 *            is freed by the next look, of which nobody is in need before W4.
 *   downgrade  E1 before W4: as a writer until W4, as a reader after.
 *   mending  the heir dies: W5 again. It dies after W4 to BROKEN: all are told.
 *   waiter   its entry among the sixteen, freed by who needs one or reads it;
 *            its bit, see above. Just woken: others look after a slice.
 *
 * since, tid and `told` inform people: written by the owner alone, after it
 * has taken the word; true when `told` is what the word says.
 */
#ifndef STOA_SYNC_RWLOCK_LAYOUT_H
#define STOA_SYNC_RWLOCK_LAYOUT_H

#include <space/object_layout.h>

#define RWLOCK_PENDING (UINT64_C(1) << 63)
#define RWLOCK_ABANDONED UINT64_C(1)  /* no agent: generations begin with 1 */
#define RWLOCK_BROKEN RWLOCK_PENDING
#define RWLOCK_WRITES (UINT64_C(1) << 63) /* of a waiter: to write */

#define RWLOCK_WAITERS 16
#define RWLOCK_WAITERS_OFFSET 128
#define RWLOCK_ENTRIES_OFFSET 512

enum {
	RWLOCK_GEOMETRY_PREFERENCE,
	RWLOCK_GEOMETRY_READERS,
	RWLOCK_GEOMETRY_MADE_TICKS,
	RWLOCK_GEOMETRY_MADE_NS, /* CLOCK_MONOTONIC */
	RWLOCK_GEOMETRY_WORDS
};

struct rwlock_shared {
	struct stoa_place place;
	uint32_t preference;
	uint32_t readers;
	uint64_t made_ticks;
	int64_t made_ns;
	uint64_t unused[2];

	_Atomic uint64_t writer;
	_Atomic uint32_t waiting; /* bits of waiters that want to write */
	_Atomic uint32_t used;
	_Atomic uint32_t full;
	_Atomic int32_t tid; /* of the writer */
	_Atomic uint64_t since; /* stoa_cpu_ticks() */
	_Atomic uint64_t told;
	_Atomic uint32_t mending; /* the writer was told of a death */
	uint32_t unused_hot[5];
};

struct rwlock_waiter {
	_Atomic uint64_t agent; /* | RWLOCK_WRITES; 0: free */
	_Atomic int64_t since_ns;
	_Atomic int32_t tid;
	uint32_t unused;
};

struct rwlock_entry {
	_Atomic uint64_t owner;
	_Atomic uint64_t told;
	_Atomic uint64_t since; /* stoa_cpu_ticks() */
	_Atomic int32_t tid;
	uint32_t unused[9];
};

AT(rwlock_shared, place, 0);
AT(rwlock_shared, preference, 24);
AT(rwlock_shared, readers, 28);
AT(rwlock_shared, made_ticks, 32);
AT(rwlock_shared, made_ns, 40);
AT(rwlock_shared, writer, 64);
AT(rwlock_shared, waiting, 72);
AT(rwlock_shared, used, 76);
AT(rwlock_shared, full, 80);
AT(rwlock_shared, tid, 84);
AT(rwlock_shared, since, 88);
AT(rwlock_shared, told, 96);
AT(rwlock_shared, mending, 104);
_Static_assert(sizeof(struct rwlock_shared) == RWLOCK_WAITERS_OFFSET, "size");
AT(rwlock_waiter, agent, 0);
AT(rwlock_waiter, since_ns, 8);
AT(rwlock_waiter, tid, 16);
_Static_assert(sizeof(struct rwlock_waiter) == 24, "waiter size");
_Static_assert(RWLOCK_WAITERS_OFFSET +
                               RWLOCK_WAITERS * sizeof(struct rwlock_waiter) ==
                       RWLOCK_ENTRIES_OFFSET,
               "entries follow waiters");
AT(rwlock_entry, owner, 0);
AT(rwlock_entry, told, 8);
AT(rwlock_entry, since, 16);
AT(rwlock_entry, tid, 24);
_Static_assert(sizeof(struct rwlock_entry) == 64, "entry size");

#endif
