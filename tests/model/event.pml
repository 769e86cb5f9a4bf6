/* SPDX-License-Identifier: MIT */
/*
 * event.pml: sleeping for a change of the truth, and telling of one.
 *
 * Mirrors arm(), stoa_waiter_step() without its spinning, wake() and
 * stoa_event_raise() without the bell of src/space/event.c; arm() and
 * stoa_wait_conditions() of wait.c; stoa_event_asked(); receive_slowly() of
 * src/data/queue_receive.c. The truth is how many messages there are.
 *
 * Two receivers want WANTS messages each, an observer (stoa_wait_any()) waits
 * until there is one, SENDERS senders send SENDS each. With PICKY, receiver 1
 * has too small a buffer: it fails when it finds a message, and leaves it.
 * DEATHS of them all are killed, at any step. A slice ends only if nothing else
 * can happen, and as often for each sleeper as there were deaths.
 *
 * Asserted, whenever nothing more can happen: if there is a message, nobody
 * sleeps who hasn't a slice left. So a wake is lost to a death alone, and a
 * death costs each sleeper one slice at most.
 */
#define MORTAL 5
#ifndef WANTS
#define WANTS 1
#endif
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef SENDS
#define SENDS 1
#endif
#ifndef OBSERVER
#define OBSERVER 1
#endif
#ifndef PICKY
#define PICKY 0
#endif
#include "step.h"

#define SLEEPERS 1
#define OBSERVERS 2
#define ONE 4 /* in the counting part */
#define BITS(e) ((e) & 3)
#define COUNT(e) ((e) - BITS(e))

byte event;
byte messages;
bit asleep[3];
byte slices[3]; /* that had to end by themselves */

#define ANYBODY_ASLEEP (asleep[0] || asleep[1] || asleep[2])
#define STUCK(i) (asleep[i] && slices[i] >= DEATHS - deaths)

#define LOCALS                                                 \
	byte e, seen, left;                                    \
	bit all, woken, ok, slept, got, failed
#define FORGET                                                 \
	e = 0; seen = 0; left = 0; all = 0; woken = 0; ok = 0; \
	slept = 0; got = 0; failed = 0

inline wake_one()
{
	CHOICE(if
	       :: asleep[0] -> asleep[0] = 0; woken = 1
	       :: asleep[1] -> asleep[1] = 0; woken = 1
	       :: asleep[2] -> asleep[2] = 0; woken = 1
	       :: !ANYBODY_ASLEEP -> woken = 0
	       fi)
}

inline wake_all()
{
	SHARED(woken = ANYBODY_ASLEEP;
	       asleep[0] = 0;
	       asleep[1] = 0;
	       asleep[2] = 0)
}

/* stoa_event_raise(), for one */
inline raise()
{
	SHARED(e = event);
	if
	:: BITS(e) != 0 ->
#ifdef MUTANT_OBSERVERS_AS_SLEEPERS
		all = 0;
#else
		all = (e & OBSERVERS) != 0;
#endif
		SHARED(event = event + ONE; e = event);
		if
		:: all -> wake_all()
		:: else -> wake_one()
		fi;
		if
		:: !woken ->
			EXCHANGE(event, e, COUNT(e));
#ifndef MUTANT_ONE_VAIN_WAKE
			if
			:: ok -> wake_all()
			:: else
			fi
#endif
		:: else
		fi
	:: else
	fi;
	skip;
	d_step { e = 0; all = 0; woken = 0; ok = 0 }
}

inline arm(bits)
{
#ifdef MUTANT_ARMED_ONCE
	SHARED(event = (slept -> event : event | bits); seen = event)
#else
	SHARED(event = event | bits; seen = event)
#endif
}

inline sleep()
{
	SHARED(asleep[me] = (event == seen));
endless:
	if
	:: !asleep[me]
	:: timeout && asleep[me] && slices[me] < DEATHS - deaths ->
		slices[me]++;
		asleep[me] = 0
	fi;
	slept = 1
}

/* got = 1, or failed = 1: too small a buffer */
inline try()
{
	SHARED(if
	       :: messages > 0 && me == 1 && PICKY -> failed = 1
	       :: messages > 0 && !(me == 1 && PICKY) ->
		       messages--;
		       got = 1
	       :: else
	       fi)
}

proctype receiver(byte me)
{
	LOCALS;

	left = WANTS;
	do
	:: left > 0 ->
		try();
		do
		:: got || failed -> break
		:: else ->
			arm(SLEEPERS);
#ifndef MUTANT_NO_LOOK_AFTER_ARMING
			try();
#endif
			if
			:: got || failed -> break
			:: else
			fi;
			sleep();
#ifdef MUTANT_NO_LOOK_AFTER_ARMING
			try()
#endif
		od;
		if
#ifndef MUTANT_WAKE_KEPT
		:: failed && slept -> raise()
#endif
		:: else
		fi;
		left = (failed -> 0 : left - 1);
		skip;
		d_step { got = 0; slept = 0; seen = 0 }
	:: else -> break
	od;
out:
	skip
}

proctype observer(byte me)
{
	LOCALS;

	SHARED(got = (messages > 0));
	do
	:: got -> break
	:: else ->
		arm(OBSERVERS);
		SHARED(got = (messages > 0));
		if
		:: got
		:: else ->
			sleep();
			SHARED(got = (messages > 0))
		fi
	od;
out:
	skip
}

proctype sender(byte me)
{
	LOCALS;

	left = SENDS;
	do
	:: left > 0 ->
		left--;
#ifdef MUTANT_ASKED_FIRST
		SHARED(e = event);
		SHARED(messages++);
#else
		SHARED(messages++);
		SHARED(e = event);
#endif
		if
		:: BITS(e) != 0 -> raise()
		:: else -> e = 0
		fi
	:: else -> break
	od;
out:
	skip
}

proctype judge()
{
	timeout;
	assert(messages == 0 || (!STUCK(0) && !STUCK(1) && !STUCK(2)))
}

init
{
	atomic {
		run receiver(0);
		run receiver(1);
		if
		:: OBSERVER -> run observer(2)
		:: else
		fi;
		run sender(3);
		if
		:: SENDERS > 1 -> run sender(4)
		:: else
		fi;
		run judge()
	}
}
