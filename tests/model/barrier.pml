/* SPDX-License-Identifier: MIT */
/*
 * barrier.pml: rounds that end when all have come, or by a death, or go on
 * without the dead; and who withdraws from them.
 *
 * Mirrors B1 to B9 of src/sync/barrier_layout.h, as src/sync/barrier.c makes
 * them: come_once() with take_slot() and look_for_others(), look_once(),
 * end_with_all(), look_for_last_round(), end_round(), forget(), meet_dead(),
 * leave(), withdraw(). With FORGETS it is STOA_BARRIER_FORGETS, else
 * STOA_BARRIER_BREAKS. Not here: who is woken: whoever waits looks again when
 * any word has changed or anybody has died, and asks who lives each time.
 *
 * Three processes come TIMES times to a barrier that counts COUNT of them;
 * DEATHS of them are killed, at any step; process 2 may run into its deadline
 * TIMEOUTS times, and comes no more.
 *
 * Asserted: a round ends whole only if COUNT came to it, who neither were told
 * that they withdrew nor were forgotten; all others are told the same of it;
 * and whenever nothing more can happen, no living one waits in a round that
 * COUNT came to, or that a dead one is in, or for a slot that could be had.
 */
#define MORTAL 3
#ifndef COUNT
#define COUNT 3
#endif
#ifndef TIMES
#define TIMES 2
#endif
#ifndef FORGETS
#define FORGETS 0
#endif
#define MAY_BE_LATE (me == 2 && timeouts > 0)
#include "step.h"

#define COMING 4
#define LEAVING 8
#define AGENT (me + 1)
#define BROKEN 8
#define VERSION 16 /* one */
#define ROUND(w) ((w) % BROKEN)
#define IS_BROKEN(w) ((w) & BROKEN)
#define SLOT(r, i) slot[((r) % 2) * COUNT + (i)]
#define HAS_COME(w) ((w) != 0 && (w) < COMING)
#define DEAD(w) (gone[(w) % COMING - 1] == KILLED)

byte word;            /* version; BROKEN: the round before was; round */
byte slot[2 * COUNT];
#if TIMEOUTS > 0
byte timeouts = TIMEOUTS;
#endif

/* What the model knows. */
byte came[8];    /* by round, a bit for each */
byte ended[8];   /* 0, 1 whole, 2 broken */
byte news;       /* a bit for each: something has changed */
byte waits_in[3]; /* 1 + round */
bit outside[3];  /* waits for a slot */

#define ME (1 << me)
#define NEWS news = 7

#define LOCALS byte r, w, s, c, i, d, at, times; bit ok, all, late
#define FORGET r = 0; w = 0; s = 0; c = 0; i = 0; d = 0; at = 0; times = 0; \
	ok = 0; all = 0; late = 0; waits_in[me] = 0; outside[me] = 0; NEWS

#define NUMBER(set) (((set) & 1) + ((set) / 2 & 1) + ((set) / 4 & 1))

inline change(place, expected, desired)
{
	SHARED(ok = (place == (expected));
	       if
	       :: ok -> place = desired; NEWS
	       :: else
	       fi)
}

/* B3: ok, if nobody of the round before is in the way */
inline end_round(broken)
{
	d_step { c = 0; all = 1 }
#ifndef MUTANT_LAST_ROUND_IGNORED
	do
	:: c < COUNT && all ->
		SHARED(s = SLOT(r + 1, c));
		if
		:: s != 0 ->
			SHARED(ok = DEAD(s));
			if
			:: ok -> /* B8, if it died of the round before */
#ifndef MUTANT_UNCHECKED_ROUND
				SHARED(ok = (word == w));
#endif
				if
				:: ok -> change(SLOT(r + 1, c), s, 0)
				:: else -> all = 0
				fi
			:: else ->
				SHARED(all = (SLOT(r + 1, c) == 0))
			fi
		:: else
		fi;
		c++
	:: else -> break
	od;
#endif
	if
	:: all ->
		SHARED(ok = (word == w);
		       if
		       :: ok ->
			       word = r + 1 + broken;
			       ended[r] = (broken -> 2 : 1);
			       assert(broken || NUMBER(came[r]) == COUNT);
			       NEWS
		       :: else
		       fi)
	:: else
	fi;
	skip;
	d_step { c = 0; s = 0 }
}

/* B4 to B6 for a dead one, whose word d is in slot i */
inline forget()
{
	if
	:: d & COMING -> change(SLOT(r, i), d, 0)
	:: else ->
		ok = 1;
		if
		:: !(d & LEAVING) ->
			change(SLOT(r, i), d, d + LEAVING);
			d = d + LEAVING
		:: else
		fi;
		if
		:: ok ->
#ifdef MUTANT_NO_VERSION
			came[r] = came[r] & ~(1 << (d % COMING - 1));
#else
			SHARED(ok = (word == w);
			       if
			       :: ok ->
				       word = w + VERSION;
				       came[r] = came[r] &
						 ~(1 << (d % COMING - 1));
				       NEWS
			       :: else
			       fi);
#endif
			if
			:: ok -> change(SLOT(r, i), d, 0)
			:: else
			fi
		:: else
		fi
	fi
}

inline meet_dead()
{
#if FORGETS
	forget()
#else
	end_round(BROKEN)
#endif
}

#ifdef MUTANT_COMING_COUNTS
#define COUNTS(w) ((w) != 0)
#elif defined(MUTANT_LEAVING_COUNTS)
#define COUNTS(w) ((w) != 0 && !((w) & COMING))
#else
#define COUNTS(w) HAS_COME(w)
#endif

/* look_once(), asking: ended it, or somebody else did, or nothing to do.
 * alone: look_for_others(), if none of those in it lives */
inline look(alone)
{
	SHARED(w = word);
	if
	:: ROUND(w) == r ->
		d_step { c = 0; all = 1; i = 0; d = 0; ok = 1 }
		do
		:: c < COUNT ->
			SHARED(s = SLOT(r, c);
			       all = all && COUNTS(s);
			       if
			       :: s != 0 && DEAD(s) -> i = c; d = s
			       :: s != 0 && !DEAD(s) -> ok = 0
			       :: else
			       fi);
			c++
		:: else -> break
		od;
		if
		:: d != 0 && (!alone || ok) -> meet_dead()
		:: d == 0 && all && !alone -> end_round(0)
		:: else
		fi
	:: else
	fi;
	skip;
	d_step { c = 0; s = 0; i = 0; d = 0; all = 0; ok = 0 }
}

/* B1; or with `evict` B9 */
inline take_slot(evict)
{
	i = 0;
	do
	:: i < COUNT && !ok ->
		SHARED(s = SLOT(r, i));
		if
		:: s == 0 || (evict && (s & COMING)) ->
			change(SLOT(r, i), s, AGENT + COMING)
		:: else
		fi;
		i++
	:: else -> break
	od
}

#if TIMEOUTS > 0
#define OR_LATE :: MAY_BE_LATE -> timeouts--; late = 1
#else
#define OR_LATE
#endif

/* Into slot `at`, if not late */
inline come()
{
	ok = 0;
	do
	:: ok || late -> break
	:: !ok && !late ->
		SHARED(news = news & ~ME);
		SHARED(w = word; r = ROUND(w));
		take_slot(0);
#if COUNT < 3
		if
		:: !ok -> take_slot(1)
		:: else
		fi;
#endif
		if
		:: ok ->
			at = i - 1;
#ifndef MUTANT_LATE_STAYS
			SHARED(ok = (ROUND(word) == r));
#endif
			if
			:: ok ->
				/* B2 */
				SHARED(ok = (SLOT(r, at) == AGENT + COMING);
				       if
				       :: ok ->
					       SLOT(r, at) = AGENT;
					       came[r] = came[r] | ME;
					       waits_in[me] = r + 1;
					       NEWS
				       :: else
				       fi)
			:: else ->
				change(SLOT(r, at), AGENT + COMING, 0);
				ok = 0
			fi
		:: else -> /* every slot is taken */
#if COUNT < 3
			look(1);
#endif
			outside[me] = 1;
end_full:
			if
			:: news & ME
			OR_LATE
			fi;
			outside[me] = 0
		fi
	od;
	i = 0
}

/* The round has ended, and this one was counted: B7, or B6 */
inline leave(leaving)
{
	assert(ROUND(w) == r + 1);
	assert((IS_BROKEN(w) != 0) == (ended[r] == 2));
	SHARED(waits_in[me] = 0);
	change(SLOT(r, at), AGENT + leaving, 0);
	assert(ok)
}

inline withdraw()
{
	change(SLOT(r, at), AGENT, AGENT + LEAVING); /* B4 */
	assert(ok);
	do
	:: true ->
		SHARED(w = word);
		if
		:: ROUND(w) != r -> leave(LEAVING); break
		:: else
		fi;
		/* B5 */
#ifdef MUTANT_NO_VERSION
		SHARED(ok = (ROUND(word) == r);
#else
		SHARED(ok = (word == w);
#endif
		       if
		       :: ok ->
#ifndef MUTANT_NO_VERSION
			       word = w + VERSION;
#endif
			       came[r] = came[r] & ~ME;
			       waits_in[me] = 0;
			       NEWS
		       :: else
		       fi);
		if
		:: ok ->
			change(SLOT(r, at), AGENT + LEAVING, 0); /* B6 */
			break
		:: else
		fi
	od
}

inline wait()
{
	come();
	do
	:: late -> break
	:: !late ->
		SHARED(news = news & ~ME);
		SHARED(w = word);
		if
		:: ROUND(w) != r -> break
		:: else
		fi;
		look(0);
		SHARED(w = word);
		if
		:: ROUND(w) != r -> break
		:: else
		fi;
end_wait:
		if
		:: news & ME
		OR_LATE
		fi
	od;
	if
	:: late && waits_in[me] != 0 -> withdraw()
	:: !late -> leave(0)
	:: else
	fi;
	skip;
	d_step { w = 0; ok = 0; at = 0; r = 0 }
}

proctype process(byte me)
{
	LOCALS;

	do
	:: times < TIMES && !late -> times++; wait()
	:: else -> break
	od;
	SHARED(FORGET; gone[me] = ENDED);
out:
	skip
}

#define IN(x, r, i) (SLOT(r, i) % COMING == (x))
#if COUNT == 3
#define IN_ANY(x, r) (IN(x, r, 0) || IN(x, r, 1) || IN(x, r, 2))
#define COULD_HAVE(i) (SLOT(ROUND(word), i) == 0)
#define SLOT_TO_BE_HAD (COULD_HAVE(0) || COULD_HAVE(1) || COULD_HAVE(2))
#else
#define IN_ANY(x, r) (IN(x, r, 0) || IN(x, r, 1))
#define COULD_HAVE(i) (SLOT(ROUND(word), i) == 0 ||                    \
		       (SLOT(ROUND(word), i) & COMING))
#define SLOT_TO_BE_HAD (COULD_HAVE(0) || COULD_HAVE(1))
#endif
#define DIED_IN(r) ((gone[0] == KILLED && IN_ANY(1, r)) ||             \
		    (gone[1] == KILLED && IN_ANY(2, r)) ||             \
		    (gone[2] == KILLED && IN_ANY(3, r)))

proctype judge()
{
	byte i;

	timeout;
	do
	:: i < 3 ->
		assert(waits_in[i] == 0 ||
		       (waits_in[i] == ROUND(word) + 1 &&
			!DIED_IN(ROUND(word)) &&
			NUMBER(came[ROUND(word)]) < COUNT));
		assert(!outside[i] || !(SLOT_TO_BE_HAD));
		i++
	:: else -> break
	od
}

init
{
	atomic {
		run process(0);
		run process(1);
		run process(2);
		run judge()
	}
}
