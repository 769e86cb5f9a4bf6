/* SPDX-License-Identifier: MIT */
/*
 * lock.pml: the internal lock, and the dirty word beside it.
 *
 * Mirrors stoa_lock_acquire(), acquire_slowly() without its spinning, and
 * stoa_lock_release() of src/sync/lock.c; queue_selection_lock() and
 * queue_selection_unlock() of src/data/queue_select.c for `dirty`.
 *
 * Three processes lock and unlock ROUNDS times; DEATHS of them are killed at
 * any step. When process 0 is dead, a newcomer takes its seat and locks once.
 * Process 2 may run into its deadline TIMEOUTS times, also at the moment when
 * it is woken.
 *
 * A slice ends only if nothing else can happen, and one for each death. So
 * whoever needs one though nobody died, or more than that, is stuck: an invalid
 * end state.
 *
 * Asserted: at most one living process is inside; what is locked is whole, or
 * was mended, when it is used; everybody gets in, or runs into a deadline.
 */
#define MORTAL 3
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#include "step.h"

#define WAITERS 8

byte lock;           /* 0, or token, with WAITERS */
bit dirty, one, two; /* what is locked: two words that must be equal */
byte inside;         /* 1 + who */
bit asleep[4];
byte timeouts = TIMEOUTS, slices;
byte holder[5];      /* of token: 1 + process */

#define ALIVE(token) (gone[holder[token] - 1] != KILLED)

#define LOCALS byte w, token, keep, rounds; bit ok, late, in
#define FORGET \
	w = 0; token = 0; keep = 0; rounds = 0; ok = 0; late = 0; in = 0

/* stoa_futex_wake(&lock, 1) */
inline wake_one()
{
	CHOICE(if
	       :: asleep[0] -> asleep[0] = 0
	       :: asleep[1] -> asleep[1] = 0
	       :: asleep[2] -> asleep[2] = 0
	       :: asleep[3] -> asleep[3] = 0
	       :: else
	       fi)
}

inline sleep(value)
{
	SHARED(asleep[me] = (lock == value));
	if
	:: !asleep[me]
	:: me == 2 && timeouts > 0 && asleep[me] -> asleep[me] = 0
	:: timeout && asleep[me] && slices < DEATHS - deaths ->
		slices++;
		asleep[me] = 0
	fi
}

/* The deadline may be over whenever it's looked at. */
inline acquire()
{
	EXCHANGE(lock, 0, token);
	in = ok;
	do
	:: in || late -> break
	:: else ->
		SHARED(w = lock);
		if
		:: me == 2 && timeouts > 0 -> timeouts--; late = 1
		:: true
		fi;
		if
		:: w == 0 ->
			EXCHANGE(lock, w, token + keep);
			in = ok
		:: else ->
			SHARED(ok = ALIVE(w % WAITERS));
			if
			:: !ok ->
#ifdef MUTANT_BIT_LOST_IN_TAKEOVER
				EXCHANGE(lock, w, token);
#else
				EXCHANGE(lock, w, token + WAITERS);
#endif
				in = ok
			:: ok && !late ->
				if
				:: w < WAITERS ->
					EXCHANGE(lock, w, w + WAITERS)
				:: else -> ok = 1
				fi;
				if
				:: ok ->
					w = w % WAITERS;
					sleep(w + WAITERS);
#ifndef MUTANT_BIT_NOT_KEPT
					keep = WAITERS
#endif
				:: else
				fi
			:: ok && late
			fi
		fi
	od;
#ifndef MUTANT_LATE_TELLS_NOBODY
	if
	:: !in && keep != 0 -> wake_one()
	:: else
	fi;
#endif
	skip;
	d_step { w = 0; keep = 0; late = 0 }
}

inline release()
{
	EXCHANGE(lock, token, 0);
	if
	:: !ok ->
		EXCHANGE(lock, token + WAITERS, 0);
		assert(ok);
		wake_one()
	:: else
	fi;
	in = 0
}

inline use()
{
	SHARED(assert(inside == 0 || gone[inside - 1] == KILLED);
	       inside = me + 1;
	       w = dirty);
	if
#ifdef MUTANT_DIRTY_IGNORED
	:: false
#else
	:: w -> SHARED(two = one)
#endif
	:: else
	fi;
	SHARED(dirty = 1);
	SHARED(assert(one == two); one = 1 - one);
	SHARED(two = 1 - two);
	SHARED(dirty = 0; inside = 0)
}

inline rounds_of(count)
{
	rounds = count;
	do
	:: rounds > 0 ->
		rounds--;
		acquire();
		if
		:: in -> use(); release()
		:: else
		fi
	:: else -> break
	od
}

proctype process(byte me)
{
	LOCALS;

	d_step { token = me + 1; holder[me + 1] = me + 1 }
	rounds_of(ROUNDS);
out:
	skip;
	d_step { FORGET; gone[me] = (gone[me] == KILLED -> KILLED : ENDED) }
}

proctype newcomer(byte me)
{
	LOCALS;

	if
	:: gone[0] == KILLED ->
#ifdef MUTANT_SAME_TOKEN
		token = 1;
#else
		token = 4;
#endif
		holder[token] = me + 1;
		rounds_of(1)
	:: gone[0] == ENDED
	fi;
out:
	skip
}

init
{
	atomic {
		run process(0);
		run process(1);
		run process(2);
		run newcomer(3)
	}
}
