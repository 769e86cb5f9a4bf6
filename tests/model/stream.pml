/* SPDX-License-Identifier: MIT */
/*
 * stream.pml: the ends of a stream, and who waits at them.
 *
 * Mirrors ENDS and EVENTS of src/data/stream_layout.h: a write (bytes, tail,
 * event), the end of file (the kernel is asked, then tail loaded), room_wanted.
 * The locks of both sides are one process's: one reader, two writers who take
 * turns in one step (lock.pml has the rest).
 *
 * Writers write WRITES bytes each and leave; the stream holds CAPACITY. The
 * reader reads until the end of file. DEATHS of the writers, and with
 * READER_DIES of all three, are killed, at any step; the kernel then drops their
 * ends, and who sleeps looks again after a slice: a writer asks before each
 * write whether the reader has gone, and leaves if so.
 *
 * Asserted: whoever is told the end of file has read all that was committed;
 * the reader and the writers who live come to an end (nobody sleeps for ever).
 */
#ifndef READER_DIES
#define READER_DIES 0
#endif
#define MORTAL (2 + READER_DIES)
#define PROCESSES 3
#ifndef WRITES
#define WRITES 2, 1
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#include "step.h"

byte tail, head, wanted; /* wanted: 0 is unknown */
byte turn;               /* of the writers: 1 + who */
bit written[8];          /* by position: its byte is there */
byte writes[3] = { WRITES, 0 };
byte open = 3;           /* ends of writers: the kernel's */

/* The event `readable` is that of wake.h; `writable`, for writers: */
bit want_room;           /* EVENT_SLEEPERS */
byte moved_room, asleep_room;

#define LOCALS byte t, h; bit ok, woken, slept, end, gone_on
#define FORGET \
	t = 0; h = 0; ok = 0; woken = 0; slept = 0; end = 0; gone_on = 0; \
	open = open & ~(1 << me)

#include "wake.h"

inline tell_readers()
{
	SHARED(ok = sleepers);
	if
	:: ok -> raise(1)
	:: else
	fi
}

/* The reader has made room. */
inline tell_writers()
{
	SHARED(ok = want_room; t = wanted);
	if
	:: ok && CAPACITY - (tail - head) >= t ->
		SHARED(wanted = 0);
		SHARED(moved_room = 3);
		SHARED(woken = (asleep_room != 0); asleep_room = 0)
	:: else
	fi
}

inline sleep_for_room()
{
	SHARED(want_room = 1; moved_room = moved_room & ~ME);
	SHARED(wanted = (wanted == 0 || wanted > 1 -> 1 : wanted));
#ifndef MUTANT_NO_LOOK_AT_HEAD
	SHARED(ok = (tail - head < CAPACITY));
#else
	ok = 0;
#endif
	if
	:: !ok ->
		SHARED(asleep_room = (moved_room & ME -> asleep_room :
						asleep_room | ME));
		if
		:: !(asleep_room & ME)
		:: READER_DIES && timeout && (asleep_room & ME) &&
		   slices[me] < DEATHS - deaths ->
			slices[me]++;
			asleep_room = asleep_room & ~ME
		fi
	:: else
	fi
}

proctype writer(byte me)
{
	LOCALS;

	do
	:: writes[me] > 0 ->
#if READER_DIES && !defined(MUTANT_READER_NOT_ASKED_FOR)
		SHARED(ok = (gone[2] == KILLED));
		if
		:: ok -> break /* -EPIPE */
		:: else
		fi;
#endif
		/* the lock of the side */
		SHARED((turn == 0 || gone[turn - 1] == KILLED); turn = me + 1);
		SHARED(ok = (tail - head < CAPACITY));
		if
		:: ok ->
#ifdef MUTANT_TAIL_FIRST
			SHARED(tail = tail + 1);
			SHARED(written[tail - 1] = 1);
#else
			SHARED(written[tail] = 1);
			SHARED(tail = tail + 1);
#endif
			writes[me]--;
			SHARED(turn = 0);
			tell_readers()
		:: else ->
			SHARED(turn = 0);
			sleep_for_room()
		fi
	:: else -> break
	od;
	/* closes: the end first, then the event */
#ifdef MUTANT_CLOSED_SILENTLY
	SHARED(open = open & ~ME);
#else
	SHARED(open = open & ~ME);
	SHARED(ok = sleepers);
	if
	:: ok -> raise(1)
	:: else
	fi;
#endif
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; writes[me] = 0 }
}

/* end: the file has ended. gone_on: there is a byte. */
inline look()
{
	SHARED(gone_on = (tail > head));
	if
	:: !gone_on ->
#ifdef MUTANT_TAIL_BEFORE_KERNEL
		SHARED(end = (tail == head));
		SHARED(end = end && (open == 0))
#else
		SHARED(end = (open == 0));
		if
		:: end ->
			SHARED(gone_on = (tail > head));
			end = !gone_on
		:: else
		fi
#endif
	:: else
	fi
}

proctype reader(byte me)
{
	LOCALS;

	do
	:: true ->
		look();
		if
		:: !gone_on && !end ->
			arm();
			look();
			if
			:: !gone_on && !end -> sleep()
			:: else
			fi
		:: else
		fi;
		if
		:: gone_on ->
			SHARED(assert(written[head]); h = head);
			SHARED(head = h + 1);
			tell_writers()
		:: end -> break
		:: else
		fi
	od;
	assert(head == tail && open == 0);
out:
	skip
}

init
{
	atomic {
		run writer(0);
		run writer(1);
		run reader(2)
	}
}
