/* SPDX-License-Identifier: MIT */
/*
 * semaphore_set.pml: several semaphores changed at once, and undone.
 *
 * Mirrors src/sync/semaphore_set_intent.c (set_commit(), set_commit_one(),
 * burial, set_finish_intent()) and the order of INTENT in
 * semaphore_set_layout.h. The lock is one step each, and taken over from the
 * dead; lock.pml has it. Two semaphores, a row of undo for each process.
 *
 * Each of three processes OPERATES (takes one from the first semaphore, gives
 * one to the second, both with undo) some times, and SETS the first. DEATHS of
 * them are killed, at any step; the others bury them, and are killed at that.
 * In the end a survivor buries all.
 *
 * Asserted, whenever somebody has the lock and has finished what it found: what
 * was taken and given are alike, each value is what it was set to less the
 * adjustments; and in the end it is what it was set to.
 */
#define MORTAL 3
#ifndef OPERATES
#define OPERATES 1, 1, 1
#define SETS 0, 0, 0
#endif
#include "step.h"

#define NOTHING 0
#define OPERATE 1
#define SET_ONE 2
#define BURY 3

byte lock; /* 1 + who */
byte token[3];
short value[2] = { 2, 2 };
short adjustment[6]; /* row 2 i, 2 i + 1 */
byte kind, row;
short record_value[2], record_adjustment[2];

/* What the model knows: what the values are without any undo. */
short expected[2] = { 2, 2 };
byte operates[4] = { OPERATES, 0 };
byte sets[4] = { SETS, 0 };

#define LOCALS short a, b; bit ok; byte d
#define FORGET a = 0; b = 0; ok = 0; d = 0

#ifdef MUTANT_RELATIVE
#define MADE(i) value[i] + record_value[i]
#define RECORD(i, now, change) record_value[i] = change
#else
#define MADE(i) record_value[i]
#define RECORD(i, now, change) record_value[i] = (now) + (change)
#endif

inline make()
{
	SHARED(a = kind);
	SHARED(value[0] = MADE(0));
	if
	:: a == SET_ONE ->
		SHARED(adjustment[0] = 0);
		SHARED(adjustment[2] = 0);
		SHARED(adjustment[4] = 0)
	:: a == OPERATE ->
		SHARED(adjustment[2 * row] = record_adjustment[0]);
		SHARED(value[1] = MADE(1));
		SHARED(adjustment[2 * row + 1] = record_adjustment[1])
	:: a == BURY ->
		SHARED(value[1] = MADE(1));
#ifdef MUTANT_TOKEN_FIRST
		SHARED(token[row] = 0);
		SHARED(kind = NOTHING);
#endif
		SHARED(adjustment[2 * row] = 0);
		SHARED(adjustment[2 * row + 1] = 0);
#ifndef MUTANT_TOKEN_FIRST
		SHARED(token[row] = 0)
#endif
	:: else
	fi;
	SHARED(kind = NOTHING);
	a = 0
}

#define LESS(i) \
	(expected[i] - adjustment[i] - adjustment[i + 2] - adjustment[i + 4])

inline acquire()
{
	SHARED((lock == 0 || gone[lock - 1] == KILLED); lock = me + 1);
	SHARED(ok = (kind != NOTHING));
	if
#ifndef MUTANT_NOT_FINISHED
	:: ok -> make()
#endif
	:: else
	fi;
	SHARED(assert(value[0] == LESS(0) && value[1] == LESS(1)));
	ok = 0
}

inline release()
{
	SHARED(lock = 0)
}

inline operate()
{
	acquire();
	SHARED(ok = (value[0] > 0));
	if
	:: ok ->
		SHARED(token[me] = me + 1);
#ifdef MUTANT_KIND_FIRST
		SHARED(row = me);
		SHARED(kind = OPERATE);
#endif
		SHARED(RECORD(0, value[0], -1));
		SHARED(record_adjustment[0] = adjustment[2 * me] + 1);
		SHARED(RECORD(1, value[1], 1));
		SHARED(record_adjustment[1] = adjustment[2 * me + 1] - 1);
#ifndef MUTANT_KIND_FIRST
		SHARED(row = me);
		SHARED(kind = OPERATE);
#endif
		make()
	:: else
	fi;
	ok = 0;
	release()
}

inline set()
{
	acquire();
	SHARED(record_value[0] = 3);
	SHARED(kind = SET_ONE; expected[0] = 3);
	make();
	release()
}

inline bury(r)
{
	acquire();
	SHARED(ok = (token[r] == r + 1));
	if
	:: ok ->
		SHARED(RECORD(0, value[0], adjustment[2 * r]));
		SHARED(RECORD(1, value[1], adjustment[2 * r + 1]));
		SHARED(row = r);
		SHARED(kind = BURY);
		make()
	:: else
	fi;
	ok = 0;
	release()
}

#define DEAD(r) (r != me && gone[r] == KILLED && token[r] != 0)

proctype process(byte me)
{
	LOCALS;

	do
	:: operates[me] > 0 -> operates[me]--; operate()
	:: sets[me] > 0 -> sets[me]--; set()
	:: DEATHS > 0 && DEAD(0) -> d = 0; bury(d)
	:: DEATHS > 0 && DEAD(1) -> d = 1; bury(d)
	:: DEATHS > 0 && DEAD(2) -> d = 2; bury(d)
	:: operates[me] == 0 && sets[me] == 0 -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; operates[me] = 0; sets[me] = 0 }
}

/* Buries who has ended, too: their handles are closed. */
proctype survivor(byte me)
{
	LOCALS;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	bury(0);
	bury(1);
	bury(2);
	assert(kind == NOTHING && value[0] == expected[0] &&
	       value[1] == expected[1]);
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
