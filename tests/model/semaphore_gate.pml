/* SPDX-License-Identifier: MIT */
/*
 * semaphore_gate.pml: one who waits for several permits, the gate that it
 * closes, and its death behind it.
 *
 * Mirrors GATE of src/sync/semaphore_layout.h: take(), close_gate(),
 * open_gate(), open_dead_gate(), take_or_wait() with await_change(), and
 * stoa_semaphore_post() of src/sync/semaphore.c. A compare-and-swap that is
 * tried until it is done is one step. Permits of the dead come back by one step
 * of burial (semaphore.pml has it). A lease runs out only if its owner is
 * stopped, and then at any time. Whoever waits for several has itself woken by
 * each post.
 *
 * Process 0 waits for SEVERAL of PERMITS permits, and keeps them (with STOPS it
 * posts them, as who is stopped keeps some); with TIMEOUTS it may give up. It
 * closes the gate once it has slept. The other two take one
 * and post it, ROUNDS times. DEATHS of the three are killed, and STOPS stopped
 * for ever, at any step. In the end a survivor, who may not wait, takes what
 * nobody living has.
 *
 * Asserted: there are never more permits than there were; everybody who isn't
 * stopped comes to an end, as there are enough; and the dead are not in the way
 * of one who may not wait.
 */
#define MORTAL 3
#define PROCESSES 4
#ifndef PERMITS
#define PERMITS 3
#endif
#define SEVERAL 2
#ifndef ROUNDS
#define ROUNDS 2
#endif
#define MAY_BE_LATE (me == 0 && timeouts > 0)
#define SLICES 2
#include "step.h"

#define TOKEN (me + 1)

byte value = PERMITS, gate; /* one word: swapped as a whole */
bit lapsed;                 /* its lease has run out */
byte held[PROCESSES];       /* of semaphore.pml */
bit observed;               /* EVENT_OBSERVERS */
#if TIMEOUTS > 0
byte timeouts = TIMEOUTS;
#endif

#define LOCALS byte v, g, rounds; bit ok, woken, slept, armed, late, tired, now
#define FORGET v = 0; g = 0; rounds = 0; ok = 0; woken = 0; slept = 0; \
	armed = 0; late = 0; tired = 0; now = 0

#include "wake.h"

#define CLOSED (gate != 0 && gate != TOKEN && !lapsed)
#define ALL (held[0] + held[1] + held[2] + held[3])

/* ---- Taking ------------------------------------------------------------------------ */

/* ok: has them */
inline take(permits)
{
	SHARED(ok = (value >= permits && !CLOSED);
	       g = gate;
	       if
	       :: ok ->
		       value = value - permits;
		       held[me] = held[me] + permits;
		       gate = 0;
		       lapsed = 0;
		       v = value;
		       assert(value + ALL == PERMITS)
	       :: else
	       fi);
#ifndef MUTANT_TAKEN_SILENTLY
	if
	:: ok && g != 0 && v > 0 -> raise(1); ok = 1
	:: else
	fi;
#endif
	skip;
	d_step { g = 0; v = 0; woken = 0 }
}

inline close_gate()
{
	SHARED(if
	       :: !CLOSED -> gate = TOKEN; lapsed = 0
	       :: else
	       fi)
}

inline open_gate()
{
	SHARED(ok = (gate == TOKEN);
	       if
	       :: ok -> gate = 0; lapsed = 0
	       :: else
	       fi);
#ifndef MUTANT_OPENED_SILENTLY
	if
	:: ok -> raise(1)
	:: else
	fi;
#endif
	ok = 0
}

#define DEAD(i) (gone[i] == KILLED)

/* bury() of semaphore.c */
inline bury()
{
#ifndef MUTANT_DEAD_NOT_ASKED_FOR
	SHARED(g = gate; ok = (g != 0 && CLOSED && DEAD(g - 1)));
	if
	:: ok ->
		SHARED(if
		       :: gate == g -> gate = 0; lapsed = 0
		       :: else
		       fi);
		raise(1)
	:: else
	fi;
#endif
	SHARED(v = DEAD(0) * held[0] + DEAD(1) * held[1] + DEAD(2) * held[2];
	       held[0] = (DEAD(0) -> 0 : held[0]);
	       held[1] = (DEAD(1) -> 0 : held[1]);
	       held[2] = (DEAD(2) -> 0 : held[2]);
	       value = value + v);
	if
	:: v != 0 -> raise(1)
	:: else
	fi;
	skip;
	d_step { g = 0; v = 0; ok = 0; woken = 0 }
}

/* ok: has them, at once or, without `now`, after a while */
inline wait(permits)
{
	take(permits);
	if
	:: !ok -> bury(); take(permits)
	:: else
	fi;
	do
	:: ok || now || late -> break
	:: !ok && !now && !late && !armed -> arm(); armed = 1; take(permits)
	:: !ok && !now && !late && armed ->
		if
		:: permits > 1 -> SHARED(observed = 1)
		:: else
		fi;
		if
		:: permits > 1 && tired -> close_gate()
		:: else
		fi;
		take(permits);
		if
		:: !ok ->
			sleep();
#if TIMEOUTS > 0
			if
			:: MAY_BE_LATE -> timeouts--; late = 1
			:: true
			fi;
#endif
			d_step { tired = 1; slept = 0 }
			arm();
			bury();
			take(permits)
		:: else
		fi
	od;
	if
	:: permits > 1 && late && !ok -> open_gate()
	:: else
	fi;
	skip;
	d_step { armed = 0; tired = 0 }
}

inline post(permits)
{
	SHARED(value = value + permits;
	       held[me] = held[me] - permits;
	       assert(value + ALL == PERMITS));
	SHARED(ok = observed);
	if
	:: ok || permits > 1 -> raise(1)
	:: else -> raise(0)
	fi;
	skip;
	d_step { ok = 0; woken = 0 }
}

proctype several(byte me)
{
	LOCALS;

	wait(SEVERAL);
	assert(ok || late);
#if STOPS > 0
	if
	:: ok -> post(SEVERAL)
	:: else
	fi;
#endif
	SHARED(FORGET; gone[me] = ENDED);
out:
	skip
}

proctype one(byte me)
{
	LOCALS;

	do
	:: rounds < ROUNDS ->
		rounds++;
		wait(1);
		assert(ok);
		post(1)
	:: else -> break
	od;
	SHARED(FORGET; gone[me] = ENDED);
out:
	skip
}

/* A lease runs out. */
proctype clock(byte me)
{
end:
	do
	:: d_step { gate != 0 && !lapsed && gone[gate - 1] == STOPPED ->
		    lapsed = 1 }
	od
}

proctype survivor(byte me)
{
	LOCALS;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	now = 1;
	if
	:: gone[0] != STOPPED && gone[1] != STOPPED && gone[2] != STOPPED &&
	   held[0] == 0 || DEAD(0) -> wait(PERMITS)
	:: else -> wait(1)
	fi;
	assert(ok || STOPS > 0);
out:
	skip
}

init
{
	atomic {
		run several(0);
		run one(1);
		run one(2);
		run survivor(3);
#if STOPS > 0 && !defined(MUTANT_NO_LEASE)
		run clock(4)
#endif
	}
}
