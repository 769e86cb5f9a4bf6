/* SPDX-License-Identifier: MIT */
/*
 * barrier.pml: rounds that end when all have come, or by a death.
 *
 * Mirrors B1 to B3, B7 and B8 of src/sync/barrier_layout.h with
 * STOA_BARRIER_BREAKS, as src/sync/barrier.c makes them: come_once(),
 * look_once(), end_with_all(), last_round_left(), end_round(), leave(). Not
 * here: withdrawing (B4 to B6, B9), and who is woken: whoever waits looks again
 * when any word has changed or anybody has died.
 *
 * Three processes, as many as the barrier counts, come TIMES times; DEATHS of
 * them are killed, at any step.
 *
 * Asserted: a round ends whole only if all three came to it; all are told the same of it; and whenever nothing more can happen, no
 * living one waits in a round that all came to, or that a dead one came to.
 */
#define MORTAL 3
#define COUNT 3
#ifndef TIMES
#define TIMES 2
#endif
#include "step.h"

#define COMING 8
#define AGENT (me + 1)
#define BROKEN 16
#define ROUND(w) ((w) % BROKEN)
#define SLOT(r, i) slot[((r) % 2) * COUNT + (i)]
#define HAS_COME(w) ((w) != 0 && !((w) & COMING))
#define DEAD(w) (gone[(w) % COMING - 1] == KILLED)

byte word;            /* round, and BROKEN: the one before was */
byte slot[2 * COUNT];

/* What the model knows. */
byte came[8];    /* by round, a bit for each */
byte ended[8];   /* 0, 1 whole, 2 broken */
byte news;       /* a bit for each: something has changed */
byte waits_in[3]; /* 1 + round */

#define ME (1 << me)
#define NEWS news = 7

#define LOCALS byte r, w, s, c, i, times; bit ok, all
#define FORGET r = 0; w = 0; s = 0; c = 0; i = 0; times = 0; ok = 0; all = 0; \
	waits_in[me] = 0; NEWS

inline change(at, expected, desired)
{
	SHARED(ok = (at == (expected));
	       if
	       :: ok -> at = desired; NEWS
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
			       assert(broken || came[r] == 7);
			       NEWS
		       :: else
		       fi)
	:: else
	fi;
	skip;
	d_step { c = 0; s = 0 }
}

/* look_once(), asking: ended it, or somebody else did, or nothing to do */
inline look()
{
	SHARED(w = word);
	if
	:: ROUND(w) == r ->
		d_step { c = 0; all = 1; i = 0 }
		do
		:: c < COUNT ->
			SHARED(s = SLOT(r, c));
			if
#ifdef MUTANT_COMING_COUNTS
			:: s == 0 -> all = 0
#else
			:: !HAS_COME(s) -> all = 0
#endif
			:: else
			fi;
			if
			:: s != 0 ->
				SHARED(ok = DEAD(s));
				if
				:: ok -> i = 1
				:: else
				fi
			:: else
			fi;
			c++
		:: else -> break
		od;
		if
		:: i -> end_round(BROKEN) /* a death */
		:: !i && all -> end_round(0)
		:: else
		fi
	:: else
	fi;
	skip;
	d_step { c = 0; s = 0; i = 0; all = 0 }
}

inline come()
{
	ok = 0;
	do
	:: ok -> break
	:: else ->
		SHARED(news = news & ~ME);
		SHARED(w = word; r = ROUND(w));
		i = 0;
		do
		:: i < COUNT && !ok ->
			SHARED(s = SLOT(r, i));
			if
			:: s == 0 -> change(SLOT(r, i), 0, AGENT + COMING) /* B1 */
			:: else
			fi;
			i++
		:: else -> break
		od;
		if
		:: ok ->
			i--;
#ifndef MUTANT_LATE_STAYS
			SHARED(ok = (ROUND(word) == r));
#endif
			if
			:: ok ->
				/* B2 */
				SHARED(ok = (SLOT(r, i) == AGENT + COMING);
				       if
				       :: ok ->
					       SLOT(r, i) = AGENT;
					       came[r] = came[r] | ME;
					       waits_in[me] = r + 1;
					       NEWS
				       :: else
				       fi)
			:: else ->
				change(SLOT(r, i), AGENT + COMING, 0);
				ok = 0
			fi
		:: else ->
end_full:
			news & ME /* every slot is taken by leavers */
		fi
	od
}

inline wait()
{
	come();
	do
	:: true ->
		SHARED(news = news & ~ME);
		SHARED(w = word);
		if
		:: ROUND(w) != r -> break
		:: else
		fi;
		look();
		SHARED(w = word);
		if
		:: ROUND(w) != r -> break
		:: else
		fi;
end_wait:
		news & ME
	od;
	assert(ROUND(w) == r + 1);
	assert((w >= BROKEN) == (ended[r] == 2));
	SHARED(i = 0; waits_in[me] = 0);
	do
	:: i < COUNT ->
		/* B7 of its own; the slot's number is private in C */
		change(SLOT(r, i), AGENT, 0);
		if
		:: ok -> break
		:: else -> i++
		fi
	:: else -> break
	od;
	assert(i < COUNT);
	skip;
	d_step { i = 0; w = 0; ok = 0 }
}

proctype process(byte me)
{
	LOCALS;

	do
	:: times < TIMES -> times++; wait()
	:: else -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET }
}

#define IN(x, r) (SLOT(r, 0) % COMING == x || SLOT(r, 1) % COMING == x || \
		  SLOT(r, 2) % COMING == x)
#define DIED_IN(r) ((gone[0] == KILLED && IN(1, r)) ||                 \
		    (gone[1] == KILLED && IN(2, r)) ||                 \
		    (gone[2] == KILLED && IN(3, r)))

proctype judge()
{
	byte i;

	timeout;
	do
	:: i < 3 ->
		assert(waits_in[i] == 0 ||
		       (waits_in[i] == ROUND(word) + 1 &&
			!DIED_IN(ROUND(word)) && came[ROUND(word)] != 7));
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
