/* SPDX-License-Identifier: MIT */
/*
 * sync/condition_layout.h: a condition in shared memory: in its object file
 * from OBJECT_KIND_OFFSET on, or after the struct stoa_place at its head.
 *
 *   0    control
 *   40   records, `capacity` of 32 bytes: one is one wait
 *
 * Truth: the records' words, and `released`.
 *
 *      63     62        0
 *      | TOLD |  agent  |     0: free
 *
 *   A wait has been told when its word bears TOLD, or when its ticket is at
 *   most `released`.
 *
 * Transitions of a word, all by compare-and-swap:
 *   1  0 -> me             a wait begins; the mutex is still locked
 *   2  me -> me | TOLD     a signal, by anybody: its commit point
 *   3  me -> 0             not told by the deadline. If this fails, told it is
 *   4  me | TOLD, me -> 0  told (2, or `released`), and the mutex is locked
 *                          again: its end
 *   5  a -> 0              a is dead
 *   6  a | TOLD -> me | TOLD  a is dead, and I pass on what it has not had;
 *                          then 2 on another's word, and 4 on this one
 * Transition of `released`: it rises, to the `tickets` that a broadcast found:
 *   one compare-and-swap, its commit point, for all who wait.
 *
 * A wait, in order: ticket = ++tickets; 1; the record's ticket, since, tid
 * written; `used` raised over the record; the mutex unlocked; sleep until told;
 * the mutex locked; 4. The ticket that decides is the waiter's private copy:
 * the one in the record is a hint for signallers, and may be that of the wait
 * before during the first steps, when nobody can tell yet whether this one
 * waits.
 *
 * A signal tells the living wait with the lowest ticket above `released`. It
 * looks at all records (those below `used`), tries 2 on the best, and looks
 * again if that fails: then another was told, or gave up. After 2 it looks at
 * `released` again: if a broadcast has released the wait it was going anyway,
 * maybe before 2, and the signal is for another one. If instead the broadcast
 * came after 2, telling another is as if this signal, which still runs, had
 * come after it.
 *
 * No lost wake-up. Before the mutex is unlocked, the word stands (1); whoever
 * signals because of what it did with the mutex locked later finds it. Who
 * sleeps does so on the event `readable`, with one of 32 bits that follows from
 * the record's index, so that a signal wakes that one (and every 32nd):
 *
 *     wait                            signal, broadcast
 *     W1 asleep = 1                   S1 word |= TOLD, or released = tickets
 *     W2 v = event                    S2 if asleep (or broadcast):
 *     W3 look at word and released    S3 event += EVENT_COUNT
 *     W4 sleep while event is v       S4 wake the bit's sleepers, or all
 *
 *   All seq_cst. Either W3 sees S1, or S2 sees W1, and S3 comes after W2: W4
 *   doesn't sleep or S4 finds it asleep. EVENT_SLEEPERS is not used.
 *
 * States a death may leave, and who mends them:
 *   word a, never told: a signal that wakes nobody with S4 asks whether the
 *     agent lives; if not 5, and it is given to another. One that has not said
 *     that it is asleep isn't asked for: it spins, mostly, and asking would make
 *     a hand-over between two who spin four times as long. If it is dead, it
 *     was told, and that is passed on (6). A wait that finds no
 *     free record does 5 to all of the dead, and sleepers do to some, in turn,
 *     at each slice.
 *   word a | TOLD: its signal has not been had. Each sleeper looks for these at
 *     its slice (50 ms), or when woken for another, and does 6. Its 2 comes
 *     before its 4: dying in between, the next does it once more, and one
 *     waiter is told for nobody's sake. The other order would lose a signal.
 *   S1 done and nobody woken: the sleeper sees it at its slice.
 *   Nothing is ever waited for but a signal; there is no lock.
 *
 * Known algorithms, and why this is another: musl (pthread_cond_timedwait.c)
 * links waiters' records, but only between threads, as it follows pointers
 * under a lock; shared ones only bump a sequence and wake one sleeper: it may
 * be killed on its way, and the signal with it, and others who look at the
 * sequence wake for nothing. glibc (pthread_cond_wait.c, since 2.25) counts
 * waiters in two groups and signals in each: a counter can't say which of the
 * counted is dead, so that one who dies in a wait blocks whoever closes the
 * group for good. Boost.Interprocess emulates it with a mutex and counters:
 * the same. Here each wait has a word with a name on it, at the price of a
 * bound on waits and of a look at each record by a signal.
 */
#ifndef STOA_SYNC_CONDITION_LAYOUT_H
#define STOA_SYNC_CONDITION_LAYOUT_H

#include <space/object_layout.h>

#define CONDITION_TOLD (UINT64_C(1) << 63)
#define CONDITION_BITS 32u /* by which sleepers are told apart */

enum { CONDITION_GEOMETRY_CAPACITY = 0 }; /* header.geometry of the file */

struct condition_record {
	_Atomic uint64_t word;
	_Atomic uint64_t ticket;
	_Atomic int64_t since_ns; /* for people: CLOCK_REALTIME_COARSE */
	_Atomic int32_t tid;      /* for people */
	_Atomic uint32_t asleep;
};

struct condition_shared {
	_Atomic uint64_t tickets;  /* waits begun; 1 is the first */
	_Atomic uint64_t released; /* all up to this ticket were told */
	_Atomic uint64_t count;    /* signals and broadcasts: for observers */
	_Atomic uint64_t broadcasts; /* for people */
	_Atomic uint32_t used; /* records from here on were never claimed: rises */
	uint32_t capacity;     /* constant, and only used when it has no file */
	struct condition_record records[];
};

struct condition_place {
	struct stoa_place place;
	struct condition_shared shared;
};

AT(condition_record, word, 0);
AT(condition_record, ticket, 8);
AT(condition_record, since_ns, 16);
AT(condition_record, tid, 24);
AT(condition_record, asleep, 28);
_Static_assert(sizeof(struct condition_record) == 32, "record size");
AT(condition_shared, tickets, 0);
AT(condition_shared, released, 8);
AT(condition_shared, count, 16);
AT(condition_shared, broadcasts, 24);
AT(condition_shared, used, 32);
AT(condition_shared, capacity, 36);
AT(condition_shared, records, 40);
AT(condition_place, shared, 24);

#endif
