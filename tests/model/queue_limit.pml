/* SPDX-License-Identifier: MIT */
/*
 * queue_limit.pml: the counters of a queue with a limit: admitted, left, doubts
 * and settled (LIMITS in src/data/queue_layout.h).
 *
 * Mirrors claim_within() with queue_admit(), queue_give_up() and queue_full() as
 * senders go through them, each with the `left` that it knows; consume_within(); bury_claim(); queue_recount() with
 * unit_in(), and who calls it. Each message is one unit. Order, selection and
 * pieces are left out; the lock is one step, and taken over from the dead, as in
 * lock.pml; `dirty` stands for the index that is being changed.
 *
 * Two senders send SENDS messages each, a third process receives RECEIVES of
 * them, or finds none; DEATHS of them are killed, at any step. In the end a
 * survivor sends until the queue is full.
 *
 * Asserted, at each moment: what admitted and left say is in is not less than
 * what is; and no more is in than LIMIT. Who says that the queue is full has
 * found it so. In the end just LIMIT are in.
 */
#define MORTAL 3
#ifndef SENDS
#define SENDS 1, 1
#endif
#ifndef RECEIVES
#define RECEIVES 2
#endif
#ifndef LIMIT
#define LIMIT 1
#endif
#include "step.h"

#define CELLS 2
#define TRIES 2
#define FREE 0
#define WRITING 1
#define READY 2
#define NOBODY 9

byte phase[CELLS], lap[CELLS], owner[CELLS], counted[CELLS];
byte admitted, left, doubts, settled;
byte lock = NOBODY; /* its owner */
bit dirty;

/* What the model knows: between A and READY, alive. */
bit let_in[4];
byte sends[4] = { SENDS, 0, 0 };

#define CONTENT ((admitted - left) & 255) /* modulo, as the words */
#define READIES ((phase[0] == READY -> 1 : 0) + (phase[1] == READY -> 1 : 0))
#define COMING(p) (let_in[p] && !gone[p] -> 1 : 0)
#define IN (READIES + COMING(0) + COMING(1) + COMING(3))
#define DEAD(c) (phase[c] == WRITING && gone[owner[c]] == KILLED)

/* The last of them are what a sender knows from one message to the next. */
#define LOCALS byte c, a, d, sum, tries; bit ok, unsure, is_full; \
	byte known_admitted, known_left
#define FORGET                                                        \
	c = 0; a = 0; d = 0; sum = 0; tries = 0; ok = 0; unsure = 0; \
	is_full = 0; known_admitted = 0; known_left = 0

/* bury_claim(), of one of the dead, if there is one */
inline bury(i)
{
	SHARED(ok = DEAD(i));
	if
	:: ok ->
#ifdef MUTANT_DOUBTED_LATE
		SHARED(phase[i] = (DEAD(i) -> FREE : phase[i]));
		SHARED(doubts++)
#else
#ifndef MUTANT_NO_DOUBT
		SHARED(doubts++);
#endif
		SHARED(phase[i] = (DEAD(i) -> FREE : phase[i]))
#endif
	:: else
	fi;
	ok = 0
}

/* unit_in() */
inline look_at(i)
{
	SHARED(ok = DEAD(i);
	       if
	       :: phase[i] == READY -> sum++
	       :: phase[i] == WRITING && !ok && counted[i] == lap[i] ->
			sum++; unsure = 1
	       :: else
	       fi);
	if
	:: ok -> SHARED(phase[i] = (DEAD(i) -> FREE : phase[i]))
	:: else
	fi;
	ok = 0
}

inline recount()
{
	tries = 0;
	do
	:: tries < TRIES ->
		tries++;
		SHARED(d = doubts);
		SHARED(a = admitted);
		look_at(0);
		look_at(1);
#ifdef MUTANT_NOT_ASKED_AGAIN
		ok = 1;
#else
		SHARED(ok = (a == admitted));
#endif
		if
		:: ok ->
#ifdef MUTANT_SURE
			unsure = 0;
#endif
#ifndef MUTANT_NO_NEW_DOUBT
			if
			:: unsure ->
				SHARED(doubts = (doubts == settled -> doubts + 1
								   : doubts))
			:: else
			fi;
#endif
			SHARED(left = a - sum);
			if
			:: !unsure -> SHARED(settled = d)
			:: else
			fi;
			break
		:: else
		fi;
		d_step { sum = 0; unsure = 0 }
	:: else -> break
	od;
	skip;
	d_step { sum = 0; unsure = 0; ok = 0; a = 0; d = 0; tries = 0 }
}

/* Who finds dirty rebuilds, and counts. */
inline take_lock()
{
	SHARED((lock == NOBODY || gone[lock] == KILLED); lock = me);
	SHARED(ok = dirty);
	if
	:: ok ->
#ifndef MUTANT_DIRTY_UNCOUNTED
		recount();
#endif
		SHARED(dirty = 0)
	:: else
	fi;
	ok = 0
}

inline unlock()
{
	SHARED(lock = NOBODY)
}

/* queue_full(): in is_full whether it is. */
inline find_full()
{
	take_lock();
	bury(0);
	bury(1);
	SHARED(ok = (doubts != settled));
	if
	:: ok -> recount()
	:: else
	fi;
	SHARED(a = admitted);
	SHARED(is_full = (((a - left) & 255) >= LIMIT);
	       assert(!is_full || a != admitted || doubts != settled ||
		      IN + (phase[0] == WRITING -> 1 : 0) +
			(phase[1] == WRITING -> 1 : 0) >= LIMIT));
	unlock();
	d_step { ok = 0; a = 0 }
}

#define NO_ROOM(admitted) (((admitted - known_left) & 255) >= LIMIT)

/* queue_would_fit(): not is_full; and what admitted was, in a. */
inline would_fit()
{
	SHARED(a = admitted; ok = (a == known_admitted));
#ifdef MUTANT_OTHERS_UNCOUNTED
	is_full = NO_ROOM(known_admitted);
#else
	if
	:: !ok -> SHARED(known_left = left; known_admitted = a)
	:: else
	fi;
	is_full = NO_ROOM(a);
#endif
	if
	:: is_full ->
		SHARED(a = admitted);
		SHARED(known_left = left; known_admitted = a;
		       is_full = NO_ROOM(a))
	:: else
	fi;
	ok = 0
}

/* queue_admit(): ok, or it is full, perhaps. */
inline admit()
{
#ifndef MUTANT_COUNTED_LATE
	SHARED(counted[c] = lap[c]);
#endif
	do
	::
		would_fit();
		if
		:: is_full -> ok = 0; break
		:: else
		fi;
#ifdef MUTANT_ADMITTED_BLINDLY
		SHARED(ok = 1; admitted++; let_in[me] = 1);
#else
		SHARED(ok = (admitted == a);
		       if
		       :: ok -> admitted++; let_in[me] = 1
		       :: else
		       fi);
#endif
		if
		:: ok -> known_admitted = a + 1; break
		:: else
		fi
	od;
#ifdef MUTANT_COUNTED_LATE
	SHARED(counted[c] = lap[c]);
#endif
	skip;
	d_step { is_full = 0; a = 0 }
}

#define CLAIM(i)                                                       \
	phase[i] = WRITING; owner[i] = me; lap[i] = (lap[i] + 1) % 4;  \
	c = i

/* One message; is_full: it isn't sent. */
inline send()
{
	do
	::
		would_fit();
		if
		:: is_full -> find_full()
		:: else
		fi;
		if
		:: is_full -> break
		:: else
		fi;
		SHARED(ok = 1;
		       if
		       :: phase[0] == FREE -> CLAIM(0)
		       :: phase[0] != FREE && phase[1] == FREE -> CLAIM(1)
		       :: else -> ok = 0
		       fi);
		if
		:: ok ->
			admit();
			if
			:: ok ->
				SHARED(phase[c] = READY; let_in[me] = 0);
				break
			:: else -> SHARED(phase[c] = FREE)
			fi;
			c = 0
		:: else -> /* no cell: unless one is a dead one's */
			SHARED(is_full = !DEAD(0) && !DEAD(1));
			if
			:: is_full -> break
			:: else
			fi;
			bury(0);
			bury(1)
		fi
	od;
	skip;
	d_step { c = 0; ok = 0; a = 0 }
}

/* consume_within() */
inline receive()
{
	take_lock();
	SHARED(c = (phase[0] == READY -> 0 : (phase[1] == READY -> 1 : CELLS)));
	if
	:: c < CELLS ->
		SHARED(dirty = 1);
#ifdef MUTANT_LEFT_FIRST
		SHARED(left++);
		SHARED(phase[c] = FREE);
#else
		SHARED(phase[c] = FREE);
		SHARED(left++);
#endif
		SHARED(dirty = 0)
	:: else
	fi;
	c = 0;
	unlock()
}

proctype sender(byte me)
{
	LOCALS;

	do
	:: sends[me] > 0 -> sends[me]--; send(); is_full = 0
	:: else -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; sends[me] = 0 }
}

proctype receiver(byte me)
{
	LOCALS;
	byte wanted = RECEIVES;

	do
	:: wanted > 0 -> wanted--; receive()
	:: else -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; wanted = 0 }
}

/* Whether it is buried before, or only when it is met. */
proctype survivor(byte me)
{
	LOCALS;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	do
	:: !is_full -> send()
	:: else -> break
	od;
	assert(READIES == LIMIT);
out:
	skip
}

proctype judge()
{
	assert(CONTENT >= IN && CONTENT < 128 && IN <= LIMIT)
}

init
{
	atomic {
		run sender(0);
		run sender(1);
		run receiver(2);
		run survivor(3);
		run judge()
	}
}
