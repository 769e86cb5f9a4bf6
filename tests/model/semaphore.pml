/* SPDX-License-Identifier: MIT */
/*
 * semaphore.pml: permits that come back when their holder dies.
 *
 * Mirrors the operations WITH UNDO of src/sync/semaphore_undo.c: take(),
 * post(), claim(), free_holder(), work_out(), take_turn(). The turn is one step
 * each, and taken over from the dead, as in lock.pml. Not here: the gate
 * (semaphore_gate.pml), the maximum, sleeping.
 *
 * Each of three processes waits for WAITS permits (one by one), and posts POSTS
 * at once; DEATHS of them are killed, at any step; the others bury them. In the
 * end all holders are buried.
 *
 * Asserted, whenever somebody has the turn and has worked out what it found:
 * the word is total less what is held; nobody ever takes what isn't there; in
 * the end there are as many permits as there were, and those posted that their
 * poster didn't hold.
 */
#define MORTAL 3
#ifndef WAITS
#define WAITS 1, 1, 1
#define POSTS 1, 2, 0
#endif
#include "step.h"

byte turn; /* 1 + who */
byte word = 2, total = 2;
byte held[3], peer[3];

/* What the model knows. */
byte real = 2; /* permits there would be if all were buried */
byte waits[4] = { WAITS, 0 };
byte posts[4] = { POSTS, 0 };

#define LOCALS byte h, t, d; bit ok, over
#define FORGET h = 0; t = 0; d = 0; ok = 0; over = 0
#define HELD (held[0] + held[1] + held[2])

/* A holder after the other, in one step: under the turn nobody changes them. */
inline work_out()
{
	SHARED(t = total - HELD);
	SHARED(word = t);
	t = 0
}

inline take_turn()
{
	SHARED((turn == 0 || gone[turn - 1] == KILLED);
	       over = (turn != 0);
	       turn = me + 1);
#ifdef MUTANT_NOT_WORKED_OUT
	over = 0;
#endif
	if
	:: over -> work_out()
	:: else
	fi;
	over = 0;
	SHARED(assert(word == total - HELD && total >= HELD))
}

inline release()
{
	SHARED(turn = 0)
}

inline take()
{
	take_turn();
	SHARED(ok = (word > 0));
	if
	:: ok ->
		if
		:: peer[me] == 0 ->
			SHARED(held[me] = 0);
			SHARED(peer[me] = 1)
		:: else
		fi;
		SHARED(held[me] = held[me] + 1);
		SHARED(word = word - 1)
	:: else
	fi;
	release();
	ok = 0
}

inline post(permits)
{
	take_turn();
	SHARED(h = held[me]; t = word);
	if
	:: permits > h ->
		SHARED(total = total + permits - h; real = real + permits - h)
	:: else
	fi;
	if
	:: h != 0 -> SHARED(held[me] = (permits > h -> 0 : h - permits))
	:: else
	fi;
	SHARED(word = t + permits);
	d_step { h = 0; t = 0 }
	release()
}

/* free_holder() */
inline bury(dead)
{
	take_turn();
	SHARED(ok = (peer[dead] != 0); h = held[dead]);
	if
	:: ok ->
#ifdef MUTANT_PEER_FIRST
		SHARED(peer[dead] = 0);
		SHARED(held[dead] = 0);
#else
		SHARED(held[dead] = 0);
#endif
		if
		:: h != 0 -> work_out()
		:: else
		fi;
		SHARED(peer[dead] = 0)
	:: else
	fi;
	d_step { ok = 0; h = 0 }
	release()
}

#define DEAD(i) (i != me && gone[i] == KILLED && peer[i] != 0)

proctype process(byte me)
{
	LOCALS;

	do
	:: waits[me] > 0 -> waits[me]--; take()
	:: posts[me] > 0 -> d = posts[me]; posts[me] = 0; post(d); d = 0
	:: DEATHS > 0 && DEAD(0) -> bury(0)
	:: DEATHS > 0 && DEAD(1) -> bury(1)
	:: DEATHS > 0 && DEAD(2) -> bury(2)
	:: waits[me] == 0 && posts[me] == 0 -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; waits[me] = 0; posts[me] = 0 }
}

proctype survivor(byte me)
{
	LOCALS;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	bury(0);
	bury(1);
	bury(2);
	assert(word == real && total == real && HELD == 0);
out:
	skip
}

init
{
	atomic {
		run process(0);
		run process(1);
		run process(2);
		run survivor(3)
	}
}
