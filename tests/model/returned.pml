/* SPDX-License-Identifier: MIT */
/*
 * returned.pml: the hint that a message came back.
 *
 * Mirrors queue_ask_scan(), queue_scan_done(), oldest_returned(),
 * queue_find_returned(), queue_finish_return() and bury_taken() of
 * src/data/queue_ring.c; stoa_queue_return() and consume_take() of
 * queue_receive.c.
 *
 * Two cells; the message in one is TAKEN by the returner at first, who gives it
 * back, and may be killed. The hint is raised for nothing at first. Two
 * receivers look for what came back LOOKS times; the first takes what it finds
 * and gives it back again, once. They bury the returner if it is dead.
 *
 * Asserted: when all have ended, the hint is raised if a message is RETURNED.
 */
#define PROCESSES 3
#define MORTAL 1
#ifndef LOOKS
#define LOOKS 2 /* by each receiver */
#endif
#include "step.h"

#define FREE 0
#define TAKEN 1     /* + whose */
#define RETURNING 4 /* + whose */
#define RETURNED 8  /* + deliveries */

byte word[2]; /* the message is in cell 0, which a pass comes to first */
byte deliveries[2];
byte hint = 1; /* odd: a scan is asked for; above it, a count */

#ifdef MUTANT_COUNT_GOES_BACK
#define RAISED(h) ((h) + 1)
#define DONE(h) 0
#define ASKED(h) ((h) != 0)
#else
#define RAISED(h) (((h) + 2) | 1)
#define DONE(h) ((h) - ((h) & 1))
#define ASKED(h) ((h) & 1)
#endif

#define LOCALS \
	byte c, count, w, best, best_word, seen, looks; \
	bit ok, again
#define FORGET \
	c = 0; count = 0; w = 0; best = 0; best_word = 0; \
	seen = 0; looks = 0; ok = 0; again = 0

inline finish_return(expected)
{
	SHARED(count = deliveries[c] + 1);
#ifdef MUTANT_HINT_AFTER
	EXCHANGE(word[c], expected, RETURNED + count);
	SHARED(hint = RAISED(hint); count = 0)
#else
	SHARED(hint = RAISED(hint));
	EXCHANGE(word[c], expected, RETURNED + count);
	count = 0
#endif
}

/* Cell 0 is older. best: a cell, or 2 */
inline scan()
{
	best = 2;
	c = 0;
	do
	:: c < 2 ->
		SHARED(w = word[c]);
		if
		:: w >= RETURNING && w < RETURNED ->
#ifdef MUTANT_RETURNING_PASSED
			skip
#else
			finish_return(w);
			SHARED(w = word[c])
#endif
		:: else
		fi;
		if
		:: w >= RETURNED && best == 2 -> best = c; best_word = w
		:: else
		fi;
		c++
	:: else -> break
	od
}

/* queue_bury(): whose messages come back */
inline give_back(whose)
{
	c = 0;
	do
	:: c < 2 ->
		EXCHANGE(word[c], TAKEN + whose, RETURNING + whose);
		SHARED(w = word[c]);
		if
		:: w == RETURNING + whose -> finish_return(w)
		:: else
		fi;
		c++
	:: else -> break
	od
}

proctype returner(byte me)
{
	LOCALS;

	give_back(me);
out:
	skip;
	d_step {
		FORGET;
		gone[me] = (gone[me] == KILLED -> KILLED : ENDED)
	}
}

proctype receiver(byte me)
{
	LOCALS;

	do
	:: looks < LOOKS ->
		looks++;
		if
		:: gone[0] == KILLED -> give_back(0)
		:: true
		fi;
		SHARED(seen = hint);
		if
		:: ASKED(seen) ->
			SHARED(seen = hint);
			scan();
			if
			:: best == 2 -> EXCHANGE(hint, seen, DONE(seen))
			:: best < 2 && me == 1 && !again ->
				EXCHANGE(word[best], best_word, TAKEN + me);
				if
				:: ok ->
					again = 1;
					c = best;
					SHARED(deliveries[c] =
						       best_word - RETURNED);
					EXCHANGE(word[c], TAKEN + me,
						 RETURNING + me);
					finish_return(RETURNING + me)
				:: else
				fi
			:: best < 2 && (me != 1 || again) ->
				EXCHANGE(word[best], best_word, FREE)
			fi
		:: else
		fi;
		skip;
		d_step { c = 0; w = 0; best = 0; best_word = 0; seen = 0; ok = 0 }
	:: else -> break
	od;
out:
	skip;
	d_step { FORGET; gone[me] = ENDED }
}

/* Buries, too, as the next who meets the dead would. */
proctype judge(byte me)
{
	LOCALS;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	if
	:: gone[0] == KILLED -> give_back(0)
	:: else
	fi;
	assert(ASKED(hint) || (word[0] < RETURNED && word[1] < RETURNED));
	assert(word[0] == FREE || word[0] >= RETURNED);
	assert(word[1] == FREE || word[1] >= RETURNED);
out:
	skip
}

init
{
	atomic {
		word[0] = TAKEN;
		run returner(0);
		run receiver(1);
		run receiver(2);
		run judge(3)
	}
}
