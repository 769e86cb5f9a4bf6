/* SPDX-License-Identifier: MIT */
/*
 * posix_semaphore.pml: a sem_t in shared memory, and who dies waiting for it.
 *
 * Mirrors dropin_sem_take(), dropin_sem_post() and dropin_sem_post_and_wake(),
 * dropin_sem_wait() without its spinning and yielding, sleep_once(),
 * take_and_leave(), leave() of dropin/posix_semaphore.[ch]. The kernel's queue
 * is first in, first out, but for a waiter with real-time priority (REALTIME:
 * the last), who is woken before all others. It takes a dead one out of its
 * queue, and nobody else is woken for one who was.
 *
 * Process i waits for WAITS permits and then posts POSTS or less; TIMEOUTS of the waits
 * are given up, also by one who was just woken (a signal's handler, or a
 * cancellation); DEATHS of them all are killed, at any step. A slice
 * ends only if nothing else can happen.
 *
 * Asserted, whenever nothing else can happen: no permit is there while all who
 * sleep sleep without slices. So a permit is hidden for a slice at most. And:
 * the count of waiters is never below the number of those who wait; no permit
 * comes from nowhere, and none is lost but with who took it.
 */
#define MORTAL 4
#ifndef WAITS
#define WAITS 1, 1, 0, 0
#define POSTS 0, 0, 2, 0
#endif
#ifndef PROCESSES
#define PROCESSES 3
#endif
#ifndef REALTIME
#define REALTIME 9 /* nobody */
#endif
#include "step.h"

byte value, waiters;
byte queue[4], queued; /* of the value: from the first to the last */
bit listens[4];        /* asleep on the count of waiters, too */
bit waiting[4], sliced[4];
byte lates = TIMEOUTS;

/* What the model knows. */
byte waits[4] = { WAITS };
byte posts[4] = { POSTS };
byte posted, had;

#define LOCALS bit ok, alone, late
#define FORGET                                                       \
	OUT(me);                                                     \
	ok = 0; alone = 0; late = 0; waits[me] = 0; posts[me] = 0;   \
	waiting[me] = 0; sliced[me] = 0; listens[me] = 0

#define IN(p) ((queued > 0 && queue[0] == (p)) ||                  \
	       (queued > 1 && queue[1] == (p)) ||                  \
	       (queued > 2 && queue[2] == (p)) ||                  \
	       (queued > 3 && queue[3] == (p)))

/* Takes p out of the queue. */
#define OUT(p)                                                              \
	if                                                                  \
	:: queued > 0 && queue[0] == (p) -> queue[0] = queue[1];            \
	   queue[1] = queue[2]; queue[2] = queue[3]; queued--               \
	:: queued > 1 && queue[1] == (p) -> queue[1] = queue[2];            \
	   queue[2] = queue[3]; queued--                                    \
	:: queued > 2 && queue[2] == (p) -> queue[2] = queue[3]; queued--   \
	:: queued > 3 && queue[3] == (p) -> queued--                        \
	:: else                                                             \
	fi;                                                                 \
	if                                                                  \
	:: queued < 4 -> queue[queued] = 0                                  \
	:: else                                                             \
	fi

#define WAKE                                                                \
	if                                                                  \
	:: IN(REALTIME) -> OUT(REALTIME)                                    \
	:: !IN(REALTIME) && queued > 0 -> OUT(queue[0])                     \
	:: else                                                             \
	fi

/* That somebody else waits, too. */
#define TELL(p)                                                             \
	if                                                                  \
	:: listens[p] -> listens[p] = 0                                     \
	:: else                                                             \
	fi

#define SLEEPS(p) (waiting[p] && IN(p) && !gone[p])
#define UNSLICED(p) (SLEEPS(p) && !sliced[p])
#define COUNT(p) ((waiting[p] && !gone[p]) -> 1 : 0)

inline post()
{
	SHARED(ok = (waiters == 0);
	       if
	       :: ok -> value++; posted++
	       :: else
	       fi);
	if
	:: !ok ->
#ifdef MUTANT_ADDED_THEN_WOKEN
		SHARED(value++; posted++);
		SHARED(WAKE)
#else
		SHARED(value++; posted++; WAKE)
#endif
	:: else
	fi;
	ok = 0
}

inline leave()
{
	SHARED(waiters--; waiting[me] = 0; ok = (waiters > 0 && value > 0));
	if
	:: ok ->
		SHARED(WAKE)
	:: else
	fi;
	ok = 0
}

/* In slices; or alone: then the kernel first sees that he is, and has him listen
 * for others who come; and then queues him, if there is no permit still. */
inline sleep()
{
#ifdef MUTANT_NO_SLICES
	SHARED(alone = (waiters <= 1));
#else
	SHARED(alone = (waiters <= 1); sliced[me] = !alone);
#endif
	ok = 1;
#if !defined(MUTANT_ALONE_UNLOOKED) && !defined(MUTANT_LOOKED_LATE)
	if
	:: alone -> SHARED(ok = (waiters == 1); listens[me] = ok)
	:: else
	fi;
#endif
	if
	:: ok ->
		SHARED(ok = (value == 0);
		       if
		       :: ok -> queue[queued] = me; queued++
		       :: else
		       fi)
	:: else
	fi;
#ifdef MUTANT_LOOKED_LATE
	if
	:: ok && alone ->
		SHARED(ok = (waiters == 1); listens[me] = ok && IN(me);
		       if
		       :: !ok -> OUT(me)
		       :: else
		       fi)
	:: else
	fi;
#endif
	if
	:: ok ->
end_asleep:
		if
		:: !IN(me)
#ifndef MUTANT_ALONE_UNLOOKED
		:: alone && !listens[me] -> d_step { OUT(me) }
#endif
		:: timeout && IN(me) && sliced[me] && value > 0 ->
			d_step { OUT(me) }
#if TIMEOUTS > 0
		:: d_step { lates > 0 -> lates--; OUT(me); late = 1 }
#endif
		fi
	:: else
	fi;
	skip;
	d_step { ok = 0; alone = 0; sliced[me] = 0; listens[me] = 0 }
}

inline wait()
{
	SHARED(ok = (value > 0);
	       if
	       :: ok -> value--; had++
	       :: else
	       fi);
	if
	:: !ok ->
		SHARED(alone = (waiters == 0); waiters++; waiting[me] = 1);
#ifndef MUTANT_ARRIVED_SILENTLY
		if
		:: !alone ->
			SHARED(TELL(0); TELL(1); TELL(2); TELL(3))
		:: else
		fi;
#endif
		alone = 0;
		do
		::
			SHARED(ok = (value > 0);
			       if
			       :: ok -> value--; waiters--; waiting[me] = 0;
					had++
			       :: else
			       fi);
			if
			:: ok -> break
			:: else ->
				sleep();
				if
				:: late -> leave(); break
				:: else
				fi
			fi
		od
	:: else
	fi;
	skip;
	d_step { ok = 0; late = 0 }
}

proctype process(byte me)
{
	LOCALS;

	do
	:: waits[me] > 0 -> waits[me]--; wait()
	:: waits[me] == 0 && posts[me] > 0 -> posts[me]--; post()
	:: waits[me] == 0 && posts[me] > 0 -> posts[me] = 0
	:: waits[me] == 0 && posts[me] == 0 -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET }
}

proctype judge()
{
end:
	do
	:: timeout ->
	   d_step {
		assert(!(value > 0 &&
			 (UNSLICED(0) || UNSLICED(1) || UNSLICED(2) ||
			  UNSLICED(3)) &&
			 !(SLEEPS(0) && sliced[0]) &&
			 !(SLEEPS(1) && sliced[1]) &&
			 !(SLEEPS(2) && sliced[2]) &&
			 !(SLEEPS(3) && sliced[3])));
		assert(waiters >= COUNT(0) + COUNT(1) + COUNT(2) + COUNT(3));
		assert(had + value == posted)
	   }
	od
}

init
{
	byte p;

	atomic {
		for (p : 0 .. PROCESSES - 1) {
			run process(p)
		}
		run judge()
	}
}
