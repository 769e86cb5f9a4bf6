/* SPDX-License-Identifier: MIT */
/*
 * condition.pml: waits that are told, and may die before they have had it.
 *
 * Mirrors src/sync/condition.c: stoa_condition_wait() without spinning,
 * condition_tell_one(), stoa_condition_broadcast(), condition_bury(),
 * condition_patrol(), end_wait(). The mutex is one step each, and taken over
 * from the dead; mutex.pml has it. Each consumer has a record of its own.
 *
 * CONSUMERS want one thing each, under the mutex, and wait while there is
 * none. A producer makes THINGS, one at a time, and signals, or with BROADCAST
 * broadcasts the last. DEATHS of the consumers, and with SIGNALLER_DIES of the
 * producer, too, are killed, at any step; consumer 1 may run into its deadline
 * TIMEOUTS times. A slice ends only if nothing else can happen, and twice for
 * each sleeper and death (the one who passes a signal on may die of the
 * second).
 *
 * Asserted, whenever nothing more can happen, and nobody who sleeps has a slice
 * left: if there is a thing, no living consumer sleeps; but for one thing whose signal the
 * producer had not given when it died. And no more waits end by signals than
 * signals were given, and one for each death.
 */
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef SIGNALLER_DIES
#define SIGNALLER_DIES 0
#endif
#define MORTAL (CONSUMERS + SIGNALLER_DIES)
#define PROCESSES (CONSUMERS + 1)
#ifndef THINGS
#define THINGS 2
#endif
#ifndef BROADCAST
#define BROADCAST 0
#endif
#define JUDGED
#define SLICES 2
#define MAY_BE_LATE (me == 1 && timeouts > 0)
#include "step.h"

#define TOLD 8
#define AGENT (me + 1)
#define NOBODY 9

byte word[CONSUMERS], recorded[CONSUMERS]; /* a record, and its ticket */
bit flag[CONSUMERS];                       /* its `asleep` */
byte tickets, released;
byte owner, things;
bit unsaid;        /* a thing was made, and its signal not given */
byte given, had;   /* signals; waits that ended by one */
byte timeouts = TIMEOUTS;

#define LOCALS                                              \
	byte w, r, c, t, before, best, best_word, ticket;   \
	bit ok, woken, slept, told, late, armed, done, got
#define FORGET                                              \
	w = 0; r = 0; c = 0; t = 0; before = 0; best = 0;   \
	best_word = 0; ticket = 0; ok = 0; woken = 0;       \
	slept = 0; told = 0; late = 0; armed = 0; done = 0; got = 0

#include "wake.h"

#define ALIVE(agent) (gone[(agent) - 1] != KILLED)

inline lock()
{
	SHARED((owner == 0 || !ALIVE(owner)); owner = AGENT)
}

inline unlock()
{
	SHARED(owner = 0)
}

/* ---- Telling ------------------------------------------------------------------ */

inline choose()
{
	SHARED(before = released);
	d_step { c = 0; best = NOBODY; t = 255 }
	do
	:: c < CONSUMERS ->
		SHARED(w = word[c]);
		if
		:: w != 0 && w < TOLD ->
			SHARED(if
			       :: recorded[c] > before && recorded[c] < t ->
				       t = recorded[c];
				       best = c;
				       best_word = w
			       :: else
			       fi)
		:: else
		fi;
		c++
	:: else -> break
	od
}

/* By a signal; who passes one on gives none. */
#define GIVE(how_many)                                         \
	if                                                     \
	:: me == CONSUMERS ->                                  \
		given = given + how_many;                      \
		unsaid = (how_many < 0)                        \
	:: else                                                \
	fi

inline tell_one()
{
	do
	:: true ->
		choose();
		if
		:: best == NOBODY -> break
		:: else
		fi;
		SHARED(ok = (word[best] == best_word);
		       if
		       :: ok -> word[best] = best_word + TOLD; GIVE(1)
		       :: else
		       fi);
		if
		:: ok ->
			SHARED(woken = !flag[best]);
			if
			:: !woken ->
				SHARED(CHANGED;
				       woken = (asleep & (1 << best)) != 0;
				       asleep = asleep & ~(1 << best))
			:: else
			fi;
			SHARED(ok = (released >= t));
			if
			:: !ok ->
				SHARED(ok = ALIVE(best_word));
				if
				:: woken || ok -> break
				:: else ->
					SHARED(ok = (word[best] ==
						     best_word + TOLD);
					       if
					       :: ok -> word[best] = 0; GIVE(-1)
					       :: else
					       fi);
					if
					:: !ok -> break
					:: else
					fi
				fi
			:: else
			fi
		:: else
		fi
	od;
	skip;
	d_step { c = 0; best = 0; best_word = 0; t = 0; before = 0; w = 0;
		 woken = 0 }
}

inline broadcast_all()
{
	SHARED(t = tickets);
	SHARED(if
	       :: released < t -> released = t; unsaid = 0
	       :: else
	       fi);
	SHARED(CHANGED);
	wake_all();
	t = 0
}

/* condition_patrol(), condition_bury() */
inline patrol()
{
	r = 0;
	do
	:: r < CONSUMERS ->
		SHARED(w = word[r]);
		if
		:: w != 0 && w % TOLD != AGENT ->
			SHARED(ok = ALIVE(w % TOLD));
			if
			:: !ok ->
#ifdef MUTANT_NOT_PASSED_ON
				ok = 1;
#else
				SHARED(ok = (w < TOLD || recorded[r] <= released));
#endif
				if
				:: ok -> EXCHANGE(word[r], w, 0)
				:: else ->
#ifdef MUTANT_GONE_FIRST
					EXCHANGE(word[r], w, 0);
#else
					EXCHANGE(word[r], w, AGENT + TOLD);
#endif
					if
					:: ok ->
						tell_one();
#ifndef MUTANT_GONE_FIRST
						EXCHANGE(word[r], AGENT + TOLD, 0)
#endif
					:: else
					fi
				fi
			:: else
			fi
		:: else
		fi;
		r++
	:: else -> break
	od;
	skip;
	d_step { r = 0; w = 0 }
}

/* ---- Waiting ------------------------------------------------------------------- */

inline look()
{
	SHARED(told = (word[me] != AGENT || released >= ticket))
}

inline end_with(expected)
{
	SHARED(ok = (word[me] == expected);
	       if
	       :: ok ->
		       word[me] = 0;
		       had = had + (expected > TOLD && released < ticket);
		       assert(had <= given + DEATHS - deaths);
		       if
		       :: things > 0 -> things--; got = 1
		       :: else
		       fi
	       :: else
	       fi)
}

inline wait()
{
#ifdef MUTANT_UNLOCKED_FIRST
	unlock();
#endif
	SHARED(tickets++; ticket = tickets);
	EXCHANGE(word[me], 0, AGENT);
	assert(ok);
	SHARED(recorded[me] = ticket);
	SHARED(flag[me] = 0);
#ifndef MUTANT_UNLOCKED_FIRST
	unlock();
#endif
	armed = 0;
	do
	:: true ->
		look();
		if
		:: told -> break
		:: else
		fi;
#if TIMEOUTS > 0
		if
		:: MAY_BE_LATE -> timeouts--; late = 1; look(); break
		:: true
		fi;
#endif
		if
		:: !armed ->
#ifndef MUTANT_FLAG_LAST
			SHARED(flag[me] = 1);
#endif
			SHARED(moved = moved & ~ME);
			armed = 1
		:: else ->
#ifdef MUTANT_FLAG_LAST
			SHARED(flag[me] = 1);
#endif
			sleep();
#ifdef MUTANT_SLICE_IGNORED
			do
			:: moved & ME -> break
			:: else -> sleep()
			od;
#endif
			slept = 0;
			SHARED(moved = moved & ~ME);
			look();
			if
			:: !told -> patrol() /* and may tell itself */
			:: else
			fi
		fi
	od;
	done = 0;
	if
	:: late && !told ->
		EXCHANGE(word[me], AGENT, 0);
		done = ok
	:: else
	fi;
	lock();
	/* Told, and has the mutex: it takes a thing at once, if there is one.
	 * (Who dies between the two has had the signal, and the mutex's next
	 * owner is told of the death.) */
	if
	:: !done ->
		end_with(AGENT);
		if
		:: !ok -> end_with(AGENT + TOLD)
		:: else
		fi
	:: else
	fi;
	skip;
	d_step { ticket = 0; told = 0; armed = 0; done = 0; ok = 0 }
}

proctype consumer(byte me)
{
	LOCALS;

	lock();
	SHARED(got = (things > 0);
	       if
	       :: got -> things--
	       :: else
	       fi);
	do
	:: got || late -> break
	:: else -> wait()
	od;
	unlock();
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET }
}

proctype producer(byte me)
{
	LOCALS;
	byte made;

	do
	:: made < THINGS ->
		made++;
		lock();
		SHARED(things++; unsaid = 1);
		unlock();
		if
		:: BROADCAST && made == THINGS -> broadcast_all()
		:: else -> tell_one()
		fi;
		SHARED(unsaid = 0)
	:: else -> break
	od;
out:
	skip;
	d_step { FORGET; made = 0 }
}

#define SLICES_MAX (SLICES * (DEATHS - deaths))
#define STUCK(i) ((asleep & (1 << (i))) && slices[i] >= SLICES_MAX)
#define GOES_ON(i) ((asleep & (1 << (i))) && slices[i] < SLICES_MAX)
#define ANY(is) (is(0) || is(1) || is(CONSUMERS - 1))

proctype judge()
{
	timeout;
	assert(things <= unsaid || ANY(GOES_ON) || !(ANY(STUCK)))
}

init
{
	atomic {
		run consumer(0);
		run consumer(1);
		if
		:: CONSUMERS > 2 -> run consumer(2)
		:: else
		fi;
		run producer(CONSUMERS);
		run judge()
	}
}
