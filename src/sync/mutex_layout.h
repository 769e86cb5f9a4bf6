/* SPDX-License-Identifier: MIT */
/*
 * sync/mutex_layout.h: a mutex in shared memory: in its object file from
 * OBJECT_KIND_OFFSET on, or after the struct stoa_place at its head.
 *
 * Truth: one word, `owner`.
 *
 *      63     62       48 47                    0
 *      | DIED |  thread  |         peer         |     an agent: object.h
 *
 *   0          FREE
 *   a          locked by agent a
 *   a | DIED   locked by a, who was told that the one before died, and has
 *              not said yet that all is mended
 *   ORPHANED   DIED alone: nobody's, and to be mended
 *   LOST       DIED, thread 0x7fff of peer 0 (who is nobody): nobody's ever
 *
 * Transitions, all by compare-and-swap of the whole word:
 *   1  FREE -> me              lock
 *   2  ORPHANED -> me | DIED   lock, told -EOWNERDEAD
 *   3  a, a | DIED -> me | DIED   the same, by whoever finds a's peer dead
 *   4  me | DIED -> me         consistent
 *   5  me -> FREE              unlock
 *   6  me | DIED -> LOST       unlock without mending
 *   7  me, me | DIED -> ORPHANED  my thread ends, or its handle is closed
 *   1 to 3 acquire what 5 to 7 released. 3 acquires from one who is dead: its
 *   writes had ended before the kernel said so. All are seq_cst for
 *   EVENT_DEKKER: 5 to 7 are changes for the event `readable`.
 *
 * States a death may leave: locked by a dead agent. Nobody else writes the
 * word then but by 3, which names the new owner and keeps the death in the
 * same step: dying right after it leaves the same state again. A peer is never
 * reused, so the word can't change back and forth under a compare-and-swap but
 * by living owners locking again, for whom 3 isn't tried. The number of an
 * ended thread is reused; therefore 7.
 *
 * Everything else is not the truth:
 *   depth            further locks of a recursive one. The owner's alone; 0
 *                    whenever it is unlocked, set to 0 by 2 and 3.
 *   since, tid       for people; written by the owner, after 1 to 3. Those of
 *                    the owner before until then.
 *   waiters          for people: who sleeps. An entry is claimed by
 *                    compare-and-swap of its agent, 0 -> me, freed by its
 *                    owner, or, when all are taken, by one who finds its agent
 *                    dead. A sleeper that finds none is not listed.
 *
 * MUTEX_WAKING: at most one wake in flight. Who unlocks takes SLEEPERS away
 * from the event as it wakes one sleeper; that one sets it again before it
 * tries. In between others lock and unlock without a system call, and no second
 * sleeper is woken for nothing, as a running thread is mostly faster. (Go's
 * sync.Mutex has a bit mutexWoken for this; glibc and musl have the same
 * effect from taking the waiters bit away with the unlock, and from its being
 * set again by whoever slept.)
 *
 *     unlock                               wait, each round
 *     U1 owner = FREE                      W1 event |= SLEEPERS
 *     U2 if !(event & SLEEPERS) end        W2 try; if it has it, end
 *     U3 event = event - SLEEPERS + COUNT  W3 sleep while event is as W1
 *     U4 wake one                             left it
 *
 *   All seq_cst, U3 by compare-and-swap, from U2 again if it fails. Whoever
 *   sleeps while the mutex is free does so because U2 of the last unlock found
 *   no SLEEPERS: some U3 had taken it after the sleeper's W1. The one woken by
 *   its U4 comes to W1 after that, as it hadn't when U2 looked, and so to W2
 *   after U1: it has the mutex, or finds an owner after U1, whose U2 sees its
 *   W1. If U4 found nobody, who had armed meanwhile finds the event changed at
 *   W3, and comes to W1. So when the mutex is free and somebody sleeps,
 *   somebody awake is between U1 and U4, or woken and on the way to W2. Who
 *   leaves without the mutex after having slept (deadline, signal) does W1, and
 *   if it is free then U2 to U4: it may have been woken in another's stead.
 *   Who has the mutex after having slept leaves SLEEPERS set, for the others.
 *   With observers (stoa_wait_any) or bells on the event everyone is woken at
 *   each unlock. Not every unlock wakes who sleeps behind its owner, so a
 *   thread that has unlocked a mutex and then waits says in its record that it
 *   did so only then: circles through it are found when the others have looked
 *   once more, after a slice (CIRCLES in waits_layout.h).
 *   States a death may leave: SLEEPERS gone and nobody on the way (killed just
 *   woken, standing back, or between U3 and U4); SLEEPERS and nobody raising
 *   (killed between U1 and U3). Whoever sleeps goes through W1 and W2 at its
 *   slice of 50 ms at the latest.
 *
 * STANDING BACK. Each time the mutex goes from one processor to another, its
 * line does, with what it protects, and somebody waits. So who locks it again
 * and again is left alone for a while, and then it goes over: every 100 us,
 * not every few locks. He who is woken (between W3 and W1) or has just come,
 * and isn't going to sleep yet, looks at `owner` and `since` from time to
 * time, and takes the mutex, by W1 and W2,
 *   - at once, if it is free and nobody has locked it for 800 ns: whoever
 *     had it has gone;
 *   - if he has just come, and it is free at his first look: he met one lock;
 *   - if it was free at ten looks in turn, though locked between them: it is
 *     mostly free, and there is little to be disturbed;
 *   - after 100 us, whenever it is free.
 * He goes to sleep (W1) when one and the same lock lasts 30 us, or if he has no
 * luck in the end. A look writes nothing. As wakes are at most one in flight,
 * so are those woken who stand back: the others sleep on, and who unlocks makes
 * no system call meanwhile. `since` is but a hint for this: a wrong one costs
 * time.
 */
#ifndef STOA_SYNC_MUTEX_LAYOUT_H
#define STOA_SYNC_MUTEX_LAYOUT_H

#include <space/object_layout.h>

#define MUTEX_FREE UINT64_C(0)
#define MUTEX_DIED (UINT64_C(1) << 63)
#define MUTEX_ORPHANED MUTEX_DIED
#define MUTEX_LOST (MUTEX_DIED | UINT64_C(0x7fff) << 48)
#define MUTEX_WAITERS 10

/* header.geometry of the file; in the struct below when it has no file. */
enum {
	MUTEX_GEOMETRY_KIND = 0,
	MUTEX_GEOMETRY_MADE_TICKS = 1, /* the processor's, and CLOCK_MONOTONIC */
	MUTEX_GEOMETRY_MADE_NS = 2     /* at one and the same instant */
};

struct mutex_waiter {
	_Atomic uint64_t agent; /* 0: free */
	_Atomic int64_t since_ns; /* CLOCK_REALTIME_COARSE */
	_Atomic int32_t tid;
	uint32_t reserved;
};

struct mutex_shared {
	_Atomic uint64_t owner;
	_Atomic uint64_t since; /* stoa_cpu_ticks() */
	_Atomic int32_t tid;
	_Atomic uint32_t depth;
	uint32_t reserved;
	uint32_t kind;       /* these three are constant, and only used when */
	uint64_t made_ticks; /* it has no file */
	int64_t made_ns;
	struct mutex_waiter waiters[MUTEX_WAITERS];
};

struct mutex_place {
	struct stoa_place place;
	struct mutex_shared shared;
};

AT(mutex_shared, owner, 0);
AT(mutex_shared, since, 8);
AT(mutex_shared, tid, 16);
AT(mutex_shared, depth, 20);
AT(mutex_shared, kind, 28);
AT(mutex_shared, made_ticks, 32);
AT(mutex_shared, made_ns, 40);
AT(mutex_shared, waiters, 48);
AT(mutex_waiter, agent, 0);
AT(mutex_waiter, since_ns, 8);
AT(mutex_waiter, tid, 16);
_Static_assert(sizeof(struct mutex_shared) == 288, "mutex size");
AT(mutex_place, shared, 24);

#endif
