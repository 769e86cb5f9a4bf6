/* SPDX-License-Identifier: MIT */
/*
 * mutex.pml: a mutex whose owner may die, and the wakes of MUTEX_WAKING.
 *
 * Mirrors src/sync/mutex.c: stoa_mutex_lock(), try_lock(), wait_for_it()
 * without spinning, pass_wake_on(), unlock(), stoa_event_raise_one(), lose(),
 * stoa_mutex_consistent(). Not here: threads that end (ORPHANED), recursion,
 * observers, bells. With STANDS_BACK who was woken may try once more; its looks
 * before that write nothing.
 *
 * Three processes lock and unlock ROUNDS times (of each); DEATHS of them are killed, at
 * any step. Who is told of a death mends what is locked, and says so, or with
 * GIVES_UP may also unlock without. Process 2 may run into its deadline
 * TIMEOUTS times. A slice ends only if nothing else can happen, and once for
 * each sleeper and death.
 *
 * Asserted: at most one living process is inside; who isn't told of a death
 * finds everything whole; nobody gets in any more once it is lost; everybody
 * gets in, or runs into its deadline, or is told that it is lost.
 */
#define MORTAL 3
#ifndef ROUNDS
#define ROUNDS 1, 1, 1
#endif
#ifndef GIVES_UP
#define GIVES_UP 0
#endif
#define PROCESSES 3
#define MAY_BE_LATE (me == 2 && timeouts > 0)
#include "step.h"

#define FREE 0
#define DIED 8
#define ORPHANED DIED
#define LOST 15
#define AGENT (me + 1)
#define OWNER(w) ((w) % DIED)

byte owner;
byte rounds[3] = { ROUNDS };
#if TIMEOUTS > 0
byte timeouts = TIMEOUTS;
#endif
bit one, two;  /* what is locked: two words that must be equal */
byte inside;   /* 1 + who */

#define LOCALS                                                   \
	byte w, found, seen;                                     \
	bit ok, in, died, lost, late, ask, armed, slept, woken, anyway
#define FORGET                                                   \
	w = 0; found = 0; seen = 0; anyway = 0;                  \
	ok = 0; in = 0; died = 0; lost = 0; late = 0; \
	ask = 0; armed = 0; slept = 0; woken = 0

#include "wake.h"

/* ---- Waking ----------------------------------------------------------------- */

#ifdef MUTANT_COUNT_KEPT
#define COUNT_UP skip
#else
#define COUNT_UP CHANGED
#endif

/* mutex_tell(), stoa_event_raise_one(): U2 to U4 */
inline tell()
{
	SHARED(ok = sleepers; moved = moved & ~ME);
	do
	:: ok ->
		SHARED(ok = !(moved & ME);
		       if
		       :: ok -> sleepers = 0; COUNT_UP
		       :: else
		       fi);
		if
		:: ok -> wake_one(); break
		:: else -> SHARED(ok = sleepers; moved = moved & ~ME)
		fi
	:: else -> break
	od;
	skip;
	d_step { ok = 0; woken = 0 }
}

/* ---- Locking ------------------------------------------------------------------ */

inline take_over()
{
#ifdef MUTANT_DEATH_FORGOTTEN
	EXCHANGE(owner, w, AGENT);
	in = ok
#else
	EXCHANGE(owner, w, AGENT + DIED);
	in = ok;
	died = ok
#endif
}

/* in, died, lost, or none of them */
inline try_lock()
{
	SHARED(w = owner);
	if
	:: w == FREE -> EXCHANGE(owner, w, AGENT); in = ok
	:: w == ORPHANED -> take_over()
	:: w == LOST -> lost = 1
	:: else ->
		if
		:: ask && (w == found || anyway) ->
			SHARED(ok = (gone[OWNER(w) - 1] == KILLED));
			if
			:: ok -> take_over()
			:: else
			fi
		:: else
		fi
	fi;
	found = w
}

/* Who was woken may try before it is on its way back to sleep: look(). */
inline stand_back()
{
#ifdef STANDS_BACK
	if
	:: true ->
#ifndef MUTANT_TAKEN_UNARMED
		arm();
#endif
		EXCHANGE(owner, FREE, AGENT);
		in = ok
	:: true
	fi
#else
	skip
#endif
}

inline lock()
{
	EXCHANGE(owner, FREE, AGENT);
	in = ok;
	do
	:: in -> break
	:: else ->
		try_lock();
		if
		:: in || lost || late -> break
		:: else
		fi;
#if TIMEOUTS > 0
		if
		:: MAY_BE_LATE -> /* once more, asking */
			timeouts--;
			late = 1;
			ask = 1;
			SHARED(found = owner)
		:: true
		fi;
#endif
		if
		:: !late ->
			if
			:: armed -> seen = slices[me]; sleep();
				anyway = (slices[me] != seen);
				stand_back()
			:: else
			fi;
			if
#ifdef MUTANT_ARMED_ONCE
			:: !in && !armed -> arm()
#else
			:: !in -> arm()
#endif
			:: else
			fi;
			armed = 1;
			ask = 1
		:: else
		fi
	od;
	if
	:: slept && !in ->
		arm();
		SHARED(ok = (OWNER(owner) == FREE));
		if
		:: ok -> tell()
		:: else
		fi
	:: else
	fi;
	skip;
	d_step {
		w = 0; found = 0; ask = 0; armed = 0; slept = 0;
		seen = 0; anyway = 0; late = 0; ok = 0
	}
}

inline unlock()
{
	EXCHANGE(owner, AGENT, FREE);
	assert(ok);
	tell()
}

/* unlock without mending */
inline lose()
{
	EXCHANGE(owner, AGENT + DIED, LOST);
	assert(ok);
	broadcast()
}

inline change()
{
	SHARED(one = 1 - one);
	SHARED(two = 1 - two);
	SHARED(inside = 0)
}

inline use()
{
	SHARED(assert(inside == 0 || gone[inside - 1] == KILLED);
	       assert(owner != LOST);
	       inside = me + 1;
	       assert(died || one == two));
	if
	:: died ->
		if
		:: true ->
			SHARED(two = one);
			EXCHANGE(owner, AGENT + DIED, AGENT);
			change();
			unlock()
		:: GIVES_UP -> SHARED(inside = 0); lose()
		fi
	:: else -> change(); unlock()
	fi
}

proctype process(byte me)
{
	LOCALS;

	do
	:: rounds[me] > 0 ->
		rounds[me]--;
		lock();
		if
		:: in -> use()
		:: else
		fi;
		skip;
		d_step { in = 0; died = 0; lost = 0 }
	:: else -> break
	od;
out:
	skip;
	d_step { FORGET; gone[me] = (gone[me] == KILLED -> KILLED : ENDED) }
}

init
{
	atomic {
		run process(0);
		run process(1);
		run process(2)
	}
}
