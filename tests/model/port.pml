/* SPDX-License-Identifier: MIT */
/*
 * port.pml: the cells of a port: each request is executed at most once, each
 * call ends once, and deaths leave no cell taken.
 *
 * Mirrors src/data/port_call.c (claim_any, take_kept, commit, look_once,
 * collect, stoa_port_cancel), port_serve.c (claim, commit_reply, nobody_reads,
 * stoa_port_return) and port.c (after_death, port_bury_cell). Not here:
 * sleeping (event.pml), payloads, order, grants, rounds.
 *
 * Of three processes those in CLIENTS make CALLS calls each, and may give one
 * up; the others serve, and may return one request each. DEATHS of them are
 * killed at any step. Whoever is in the way of the living is buried by them;
 * the rest by a survivor in the end.
 *
 * Asserted: nothing is executed twice; a reply is that of the call; a call ends
 * in one way; in the end all cells are free.
 */
#define MORTAL 3
#ifndef CLIENTS
#define CLIENTS 1
#endif
#ifndef CALLS
#define CALLS 2
#endif
#define CELLS 2
#ifndef RETURNS
#define RETURNS 0
#endif
#include "step.h"

#define FREE 0
#define WRITING 1
#define READY 2
#define TAKEN 3
#define REPLIED 4
#define RESET 5

/* serial (4 bits), cancelled, phase (3), token (2) */
#define W(s, p, t) ((((s) & 15) << 6) | ((p) << 2) | (t))
#define C 32
#define SERIAL(w) ((w) >> 6)
#define PHASE(w) (((w) >> 2) & 7)
#define TOKEN(w) ((w) & 3)
#define FREED(w) W(SERIAL(w) + 1, FREE, 0)

short word[CELLS];
byte client[CELLS], request[CELLS], reply[CELLS];

/* What the model knows: of call 1 .. */
byte executed[8], ended[8];
byte returns = RETURNS;
bit buried[3]; /* the seat is free: nobody does it again */
#define DEAD(a) (a != me && gone[a] == KILLED && !buried[a])
#define LEFT(a) (gone[a] == KILLED && !buried[a])
#define FULL (PHASE(word[0]) != FREE && PHASE(word[1]) != FREE)

#define LOCALS short w, x, seen; byte i, n, id, kept; bit ok
#define FORGET w = 0; x = 0; seen = 0; i = 0; n = 0; id = 0; kept = 0; ok = 0
#define GONE(a) (gone[a] != 0)
#define NO_SERVER (GONE(2) && (CLIENTS == 2 || GONE(1)))
#define NO_CLIENT (GONE(0) && (CLIENTS == 1 || GONE(1)))

/* after_death(), of the word w of cell i; x is what follows. */
inline after_death(dead)
{
	x = w;
	if
	:: PHASE(w) != TAKEN && PHASE(w) != FREE && TOKEN(w) == dead ->
		x = FREED(w)
	:: PHASE(w) == TAKEN && TOKEN(w) == dead && (w & C) -> x = FREED(w)
	:: PHASE(w) == TAKEN && TOKEN(w) == dead && !(w & C) ->
#if defined(MUTANT_FORGOTTEN)
		x = FREED(w)
#elif defined(MUTANT_AGAIN)
		x = W(SERIAL(w), READY, client[i])
#else
		x = W(SERIAL(w), RESET, client[i])
#endif
#ifndef MUTANT_SERVED
	:: PHASE(w) == TAKEN && TOKEN(w) != dead && client[i] == dead ->
		x = w | C
#endif
	:: else
	fi
}

/* One cell, for one of the dead; what was lost to another is tried again. */
inline bury_cell(dead)
{
	ok = 0;
	do
	:: ok -> break
	:: !ok ->
		CHOICE(w = word[i]; after_death(dead); ok = (x == w));
		if
		:: ok
		:: else -> EXCHANGE(word[i], w, x)
		fi
	od;
	skip;
	d_step { w = 0; x = 0; ok = 0 }
}

inline bury(dead)
{
	i = 0;
	bury_cell(dead);
	i = 1;
	bury_cell(dead);
	i = 0
}

/* ---- A call ---------------------------------------------------------------- */

inline claim()
{
	ok = 0;
	if
	:: kept != 0 ->
		i = kept - 1;
		kept = 0;
		SHARED(w = word[i];
		       assert(PHASE(w) == REPLIED && TOKEN(w) == me))
	:: else ->
		do
		:: ok -> break
		:: !ok ->
			CHOICE(if
			       :: PHASE(word[0]) == FREE -> i = 0
			       :: PHASE(word[1]) == FREE -> i = 1
			       fi;
			       w = word[i]);
			x = W(SERIAL(w), WRITING, me);
			EXCHANGE(word[i], w, x)
		/* wait_for_room() patrols */
		:: !ok && FULL && DEAD(1) -> bury(1); buried[1] = 1
		:: !ok && FULL && DEAD(2) -> bury(2); buried[2] = 1
		:: !ok && FULL && DEAD(0) -> bury(0); buried[0] = 1
		od;
		w = x
	fi;
	x = 0
}

inline commit()
{
	SHARED(client[i] = me);
	SHARED(request[i] = id);
	x = W(SERIAL(w) + (PHASE(w) == REPLIED -> 1 : 0), READY, me);
	SHARED(assert(word[i] == w); word[i] = x);
	d_step { seen = x; w = 0; x = 0 }
}

/* The cell is this client's: nobody else changes it. */
inline free_seen()
{
	SHARED(assert(word[i] == seen); word[i] = FREED(seen))
}

inline give_up()
{
	x = (PHASE(seen) == READY -> FREED(seen) : (seen | C));
	EXCHANGE(word[i], seen, x);
	x = 0
}

inline await()
{
	do
	:: CHOICE(word[i] != seen ->
		  assert(SERIAL(word[i]) == SERIAL(seen));
		  seen = word[i]);
	   if
	   :: PHASE(seen) == REPLIED ->
		SHARED(assert(TOKEN(seen) == me && reply[i] == id));
		if
		:: kept = i + 1
		:: free_seen()
		fi;
		break
	   :: PHASE(seen) == RESET ->
		assert(TOKEN(seen) == me);
		free_seen();
		break
	   :: else -> assert(PHASE(seen) == READY || PHASE(seen) == TAKEN)
	   fi
	:: PHASE(seen) == TAKEN && gone[TOKEN(seen)] == KILLED &&
	   word[i] == seen ->
		bury_cell(TOKEN(seen))
	:: (n == 1 || (PHASE(seen) == READY && NO_SERVER)) && word[i] == seen ->
		give_up();
		if
		:: ok -> ok = 0; break
		:: else
		fi
	od;
	skip;
	d_step { ended[id]++; assert(ended[id] == 1); seen = 0; i = 0 }
}

inline call()
{
	id = id + 1;
	claim();
	commit();
	if
	:: n = 0
	:: n = 1 /* and gives up when it likes */
	fi;
	await();
	n = 0
}

/* ---- A request -------------------------------------------------------------- */

inline serve()
{
	CHOICE(if
	       :: PHASE(word[0]) == READY -> i = 0
	       :: PHASE(word[1]) == READY -> i = 1
	       fi;
	       w = word[i]);
	x = W(SERIAL(w), TAKEN, me);
	EXCHANGE(word[i], w, x);
	if
	:: !ok
	:: ok ->
		SHARED(id = request[i]);
		if
		:: returns > 0 -> returns--; n = READY
		:: n = REPLIED
		fi;
		if
		:: n == REPLIED ->
			d_step { executed[id]++; assert(executed[id] == 1) }
			SHARED(reply[i] = id)
		:: else
		fi;
#ifdef MUTANT_STORED
		SHARED(word[i] = W(SERIAL(w), n, TOKEN(w)));
#else
		EXCHANGE(word[i], x, W(SERIAL(w), n, TOKEN(w)));
#endif
		if
		:: ok
		:: !ok ->
			SHARED(assert(word[i] == (x | C));
			       word[i] = FREED(x))
		fi
	fi;
	skip;
	d_step { w = 0; x = 0; i = 0; n = 0; id = 0; ok = 0 }
}

/* ---- Processes --------------------------------------------------------------- */


proctype caller(byte me)
{
	LOCALS;

	id = me * CALLS;
	do
	:: id < (me + 1) * CALLS -> call()
	:: else -> break
	od;
	bury(me); /* close */
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET }
}

proctype server(byte me)
{
	LOCALS;

	do
	:: serve()
	:: DEATHS > 0 && DEAD(0) -> bury(0); buried[0] = 1
	:: DEATHS > 0 && DEAD(1) -> bury(1); buried[1] = 1
	:: DEATHS > 0 && DEAD(2) -> bury(2); buried[2] = 1
	:: NO_CLIENT -> break
	od;
	bury(me);
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET }
}

proctype survivor(byte me)
{
	LOCALS;

	GONE(0) && GONE(1) && GONE(2);
	do
	:: LEFT(0) -> bury(0); buried[0] = 1
	:: LEFT(1) -> bury(1); buried[1] = 1
	:: LEFT(2) -> bury(2); buried[2] = 1
	:: else -> break
	od;
	assert(PHASE(word[0]) == FREE && PHASE(word[1]) == FREE);
out:
	skip
}

init
{
	atomic {
		run caller(0);
#if CLIENTS == 2
		run caller(1);
#else
		run server(1);
#endif
		run server(2);
		run survivor(3)
	}
}
