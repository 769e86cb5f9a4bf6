/* SPDX-License-Identifier: MIT */
/*
 * stream_favour.pml: turns taken with plain loads and stores, by whoever is
 * favoured, and with a lock by everybody else.
 *
 * Mirrors FAVOUR of src/data/stream_layout.h: stream_enter_favoured(),
 * stream_take_lock(), stream_revoke() with await_outside(), stream_grant(),
 * stream_leave_turn(), stream_fence(). Stores of a favoured thread go through a
 * store buffer, first in, first out, as a processor's; a locked instruction
 * waits until it is empty, the kernel's barrier and a death empty it. The lock
 * is one step, and taken over from the dead (lock.pml); a favour may be granted
 * at the end of any turn by the lock.
 *
 * Two writers take TURNS turns each, and leave once the reader has seen all that
 * was written; it sleeps whenever it has. DEATHS of the three are killed, at any
 * step; a slice ends only if nothing else can happen, and once for each death.
 *
 * Asserted: one at a time has a turn, and finds the tail that the one before
 * left; everybody comes to an end, so the reader misses no write.
 */
#define MORTAL 3
#ifndef TURNS
#define TURNS 2, 2
#endif
#include "step.h"

#define TOKEN (me + 1)
#define REVOKED 4
#define DEAD(token) (gone[(token) - 1] == KILLED)

byte turn;      /* the lock */
byte favour;
bit inside[2];  /* of the seats */
byte tail;
bit armed;      /* the reader's event: it sleeps, or will */
byte turns[2] = { TURNS };

/* The store buffers: 1 inside = 1, 2 inside = 0, else tail = what - 3. */
#define DEEP 4
byte buffered[2];
byte buffer[2 * DEEP];

/* What the model knows. */
byte written; /* turns that have stored */
bit in[2];    /* has a turn */
byte slices;
byte seen;    /* by the reader */

#define LOCALS byte f, t; bit ok, by_favour
#define FORGET f = 0; t = 0; ok = 0; by_favour = 0; DRAIN_OWN

/* ---- Memory ------------------------------------------------------------------------ */

inline apply(who)
{
	if
	:: buffer[(who) * DEEP] == 1 -> inside[who] = 1
	:: buffer[(who) * DEEP] == 2 -> inside[who] = 0
	:: else -> tail = buffer[(who) * DEEP] - 3
	fi;
	buffer[(who) * DEEP] = buffer[(who) * DEEP + 1];
	buffer[(who) * DEEP + 1] = buffer[(who) * DEEP + 2];
	buffer[(who) * DEEP + 2] = buffer[(who) * DEEP + 3];
	buffer[(who) * DEEP + 3] = 0;
	buffered[who]--
}

inline drain(who)
{
	do
	:: buffered[who] > 0 -> apply(who)
	:: else -> break
	od;
	skip /* d_steps don't end in a jump */
}

#define DRAIN_OWN                                              \
	if                                                     \
	:: me < 2 -> drain(me); in[me] = 0; turns[me] = 0      \
	:: else                                                \
	fi

inline store(what)
{
	SHARED(buffered[me] < DEEP;
	       buffer[me * DEEP + buffered[me]] = what;
	       buffered[me]++)
}

/* At any time what is first in a buffer arrives. */
proctype memory()
{
end:
	do
	:: d_step { buffered[0] > 0 -> apply(0) }
	:: d_step { buffered[1] > 0 -> apply(1) }
	od
}

/* ---- Turns --------------------------------------------------------------------------- */

inline revoke()
{
	if
	:: f % REVOKED != TOKEN ->
		SHARED(favour = f % REVOKED + REVOKED);
#ifndef MUTANT_NO_BARRIER
		SHARED(drain(1 - me));
#endif
#ifndef MUTANT_NOT_AWAITED
		SHARED((inside[f % REVOKED - 1] == 0 || DEAD(f % REVOKED)));
#endif
	:: else
	fi;
	SHARED(favour = 0)
}

inline begin()
{
	SHARED(by_favour = (favour == TOKEN));
	if
	:: by_favour ->
		store(1);
#ifndef MUTANT_NO_SECOND_LOOK
		SHARED(by_favour = (favour == TOKEN));
		if
		:: !by_favour -> store(2)
		:: else
		fi
#endif
	:: else
	fi;
	if
	:: !by_favour ->
		SHARED((buffered[me] == 0 && (turn == 0 || DEAD(turn)));
		       turn = TOKEN;
		       f = favour);
		if
		:: f != 0 -> revoke()
		:: else
		fi
	:: else
	fi
}

/* Its own stores come before what has arrived. */
#define OWN(i) (buffered[me] > (i) && buffer[me * DEEP + (i)] > 2)
#define TAIL                                                   \
	(OWN(3) -> buffer[me * DEEP + 3] - 3 :                 \
	 (OWN(2) -> buffer[me * DEEP + 2] - 3 :                \
	  (OWN(1) -> buffer[me * DEEP + 1] - 3 :               \
	   (OWN(0) -> buffer[me * DEEP] - 3 : tail))))

inline write()
{
	SHARED(assert(!in[1 - me]);
	       t = TAIL;
	       in[me] = 1;
	       assert(t == written));
	if
	:: by_favour ->
		SHARED(buffered[me] < DEEP;
		       buffer[me * DEEP + buffered[me]] = t + 4;
		       buffered[me]++;
		       written++)
	:: else -> SHARED(tail = t + 1; written++)
	fi;
	t = 0
}

inline leave()
{
	if
	:: by_favour ->
		SHARED(buffered[me] < DEEP;
		       buffer[me * DEEP + buffered[me]] = 2;
		       buffered[me]++;
		       in[me] = 0)
	:: else ->
		if
		:: SHARED(inside[me] = 0; favour = TOKEN)
		:: true
		fi;
		SHARED(turn = 0; in[me] = 0)
	fi
}

proctype writer(byte me)
{
	LOCALS;

	do
	:: turns[me] > 0 ->
		begin();
		write();
		leave();
		SHARED(ok = armed; turns[me]--);
		if
		:: ok -> SHARED(buffered[me] == 0; armed = 0)
		:: else
		fi;
		d_step { f = 0; ok = 0; by_favour = 0 }
	:: else -> break
	od;
	/* Closing wakes the reader: not before it has met all by itself. */
	seen == written || gone[2] == KILLED;
	SHARED(buffered[me] == 0; gone[me] = ENDED; armed = 0);
out:
	skip
}

proctype reader(byte me)
{
	LOCALS;

	do
	:: true ->
		SHARED(armed = 1);
		/* stream_fence() */
		SHARED(ok = (favour != 0));
#ifndef MUTANT_NO_FENCE
		if
		:: ok -> SHARED(drain(0); drain(1))
		:: else
		fi;
#endif
		SHARED(ok = (gone[0] != 0 && gone[1] != 0); t = tail);
		if
		:: t > seen -> seen = t
		:: t == seen && ok -> break
		:: t == seen && !ok ->
			if
			:: !armed
			:: timeout && armed && slices < DEATHS - deaths ->
				slices++
			fi
		fi
	od;
	assert(seen == written);
out:
	skip
}

init
{
	atomic {
		run memory();
		run writer(0);
		run writer(1);
		run reader(2)
	}
}
