/* SPDX-License-Identifier: MIT */
/*
 * topic.pml: committing by one word, overwriting behind `oldest`, waiting for
 * cursors, burying publishers.
 *
 * Mirrors topic_publish.c: make_room(), claim_cell(), commit_word(), settle();
 * topic_room.c: topic_reclaim(), topic_bury(); topic_receive.c: settle_cursor(),
 * find(), still_there(), overtaken(). A cell is any that is free; its bytes are
 * two halves, written and read one by one. Not here: slots, hints, sleeping,
 * batches.
 *
 * Two publishers publish COUNTS messages; a subscriber comes at any time, from
 * the oldest that is kept. WAITING: publishers wait for its cursor (and give up
 * if they'd have to). DEATHS of the three are killed, at any step; somebody who
 * lives buries publishers.
 *
 * Asserted: what the subscriber takes for the message is the message, and whole;
 * where publishers wait it loses none; the loss is as counted; in the end all
 * that may be read is intact, and no cell belongs to the dead.
 */
#define MORTAL 3
#ifndef COUNTS
#define COUNTS 2, 1
#endif
#include "step.h"

#define PLACES 2
#define CELLS 4
#define NONE 255
#define RESERVED(who) (100 + (who))
#define SUBSCRIBER 2

byte at[PLACES];   /* 1 + position that was committed there last; 0: none */
byte cell[PLACES]; /* and its cell */
byte claim[CELLS]; /* 0, 1 + position, RESERVED */
byte low[CELLS], high[CELLS];
byte oldest, cursor;
bit subscribed;

/* What the model knows. */
byte counts[3] = { COUNTS, 0 };
byte committed[8]; /* what is the message at a position */
byte tail;

#define LOCALS byte q, c, w, v, m, safe; bit ok
#define FORGET q = 0; c = 0; w = 0; v = 0; m = 0; ok = 0

#define IS_FREE(w) (w == 0 || (w < 100 && w <= safe))
#define LIVES (subscribed && gone[SUBSCRIBER] != KILLED)

/* The first position that isn't committed: q, and w as its place has it. */
inline find_tail()
{
	SHARED(w = at[q % PLACES]);
	do
	:: w > q -> q = w; SHARED(w = at[q % PLACES])
	:: else -> break
	od
}

/* safe > q - PLACES, or ok is 0. */
inline make_room()
{
	ok = 1;
	if
	:: q >= PLACES + safe ->
#ifdef WAITING
		SHARED(m = (LIVES && cursor < q - PLACES + 1 -> cursor :
			    q - PLACES + 1));
		SHARED(oldest = (oldest < m -> m : oldest));
#ifdef MUTANT_NO_SECOND_LOOK
		safe = m;
#else
		SHARED(safe = (LIVES && cursor < m -> cursor : m));
#endif
		ok = (safe > q - PLACES);
#else
		SHARED(oldest = (oldest < q - PLACES + 1 -> q - PLACES + 1 :
				 oldest);
		       safe = oldest);
#endif
		m = 0
	:: else
	fi
}

inline publish(id)
{
	find_tail();
	make_room();
	if
	:: ok ->
		/* Any cell; one that is free is there, or it gives up. */
		if
		:: c = 0
		:: c = 1
		:: c = 2
		:: c = 3
		fi;
		SHARED(v = claim[c]);
		ok = IS_FREE(v)
	:: else
	fi;
	if
	:: ok ->
		EXCHANGE(claim[c], v, RESERVED(me));
		v = 0
	:: else
	fi;
	if
	:: ok ->
#ifdef MUTANT_COMMIT_FIRST
		skip;
#else
		SHARED(low[c] = id);
		SHARED(high[c] = id);
#endif
		do
		:: find_tail();
		   make_room();
		   if
		   :: !ok -> SHARED(claim[c] = 0); break
		   :: else
		   fi;
		   SHARED(ok = (at[q % PLACES] == w);
			  if
			  :: ok -> at[q % PLACES] = q + 1;
				   cell[q % PLACES] = c;
				   committed[q] = id;
				   assert(tail == q);
				   tail = q + 1
			  :: else
			  fi);
		   if
		   :: ok ->
#ifdef MUTANT_COMMIT_FIRST
			SHARED(low[c] = id);
			SHARED(high[c] = id);
#endif
			SHARED(claim[c] = q + 1);
			break
		   :: else
		   fi
		od
	:: else
	fi;
	skip;
	d_step { c = 0; w = 0; v = 0; ok = 0 }
}

proctype publisher(byte me)
{
	LOCALS;

	do
	:: counts[me] > 0 ->
		publish(1 + 10 * me + counts[me]);
		counts[me]--
	:: else -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; safe = 0 }
}

/* ---- Subscribing ---------------------------------------------------------- */

inline overtaken()
{
	SHARED(v = oldest);
	assert(v > q && v <= tail);
#ifdef WAITING
	assert(0);
#endif
	q = v;
	v = 0
}

inline receive()
{
	SHARED(w = at[q % PLACES]; c = cell[q % PLACES]);
	if
	:: w == q + 1 ->
		SHARED(v = low[c]);
		SHARED(m = high[c]);
#if defined WAITING || defined MUTANT_NO_LOOK
		ok = 1;
#else
		SHARED(ok = (oldest <= q));
#endif
		if
		:: ok ->
			assert(v == m && v == committed[q]);
			d_step { v = 0; m = 0; q++ }
			SHARED(cursor = q)
		:: else -> d_step { v = 0; m = 0 } overtaken()
		fi
	:: w > q + 1 -> overtaken()
	:: else
	fi;
	d_step { w = 0; c = 0; ok = 0 }
}

proctype subscriber(byte me)
{
	LOCALS;

	/* settle_cursor() */
	SHARED(q = oldest);
	do
	:: SHARED(cursor = q);
	   SHARED(subscribed = 1);
#ifdef MUTANT_JOIN_BLINDLY
	   break
#else
	   SHARED(v = oldest);
	   if
	   :: v > q -> q = v
	   :: else -> break
	   fi
#endif
	od;
	v = 0;
	do
	:: receive()
	:: gone[0] != 0 && gone[1] != 0 && q == tail -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET }
}

/* ---- Burying ---------------------------------------------------------------- */

/* What it committed, then what it did not. */
inline bury(dead)
{
	SHARED(m = oldest);
	for (q : m .. m + PLACES - 1) {
		SHARED(w = at[q % PLACES]; c = cell[q % PLACES]);
#ifndef MUTANT_BURY_BLINDLY
		if
		:: w > m -> EXCHANGE(claim[c], RESERVED(dead), w)
		:: else
		fi
#endif
	}
	for (c : 0 .. CELLS - 1) {
		EXCHANGE(claim[c], RESERVED(dead), 0)
	}
	skip;
	d_step { FORGET }
}

proctype survivor(byte me)
{
	LOCALS;
	bit first, second;

	do
	:: gone[0] == KILLED && !first -> first = 1; bury(0)
	:: gone[1] == KILLED && !second -> second = 1; bury(1)
	:: gone[0] != 0 && gone[1] != 0 && gone[2] != 0 &&
	   first == (gone[0] == KILLED) && second == (gone[1] == KILLED) ->
		break
	od;
	skip;
	d_step {
		for (c : 0 .. CELLS - 1) {
			assert(claim[c] <= tail)
		}
		assert(oldest <= tail);
		for (q : oldest .. 7) {
			if
			:: q < tail ->
				c = cell[q % PLACES];
				assert(at[q % PLACES] == q + 1 &&
				       claim[c] == q + 1 &&
				       low[c] == committed[q] &&
				       high[c] == committed[q])
			:: else
			fi
		}
	}
out:
	skip
}

init
{
	atomic {
		run publisher(0);
		run publisher(1);
		run subscriber(2);
		run survivor(3)
	}
}
