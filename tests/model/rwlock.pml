/* SPDX-License-Identifier: MIT */
/*
 * rwlock.pml: readers with entries, writers with a word (RWLOCK_DEKKER).
 *
 * Mirrors the transitions of src/sync/rwlock_layout.h, as src/sync/rwlock.c
 * makes them: look_for_writer(), take_entry(), leave_entry(),
 * try_write_once(), look_for_readers(), meet_writer(), take_over(),
 * withdraw(). Nobody sleeps here: who is in somebody's way is tried again, TRIES
 * times; the wakes are those of event.pml. An entry for each process.
 *
 * Each of three processes reads READS and writes WRITES times; DEATHS of them
 * are killed, at any step, and whoever meets the dead asks whether they live.
 * PREFER_READERS: a reader takes away the word of one that looks.
 *
 * Asserted: a living writer is alone; who is not told of a death finds
 * everything whole; in the end, a survivor gets it for writing.
 */
#define MORTAL 3
#ifndef READS
#define READS 1, 1, 0
#define WRITES 0, 1, 1
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef PREFER_READERS
#define PREFER_READERS 0
#endif
#include "step.h"

#define PENDING 8
#define AGENT (me + 1)
#define WHO(w) ((w) % PENDING)

byte writer;
byte entry[4];
bit one, two;        /* what is locked: two words that must be equal */
byte inside, reading; /* a bit for each process */
byte reads[4] = { READS, 0 };
byte writes[4] = { WRITES, 1 };

#define LOCALS byte w, e, c, tries; bit ok, in, died, free
#define FORGET w = 0; e = 0; c = 0; tries = 0; ok = 0; in = 0; died = 0; free = 0
#define ME (1 << me)
#define DEAD(agent) (gone[(agent) - 1] == KILLED)
/* Of a set of processes, those that live. */
#define LIVING(set) \
	((set) & ~((gone[0] == KILLED) + 2 * (gone[1] == KILLED) + \
		   4 * (gone[2] == KILLED)))

/* ---- Reading ----------------------------------------------------------------- */

/* The word is another's, or nobody's any more: W3, W5 */
inline meet_writer(wants)
{
	SHARED(ok = DEAD(WHO(w)));
	if
	:: ok && (w & PENDING) -> EXCHANGE(writer, w, 0)
	:: ok && !(w & PENDING) && wants ->
#ifdef MUTANT_FREED_FIRST
		EXCHANGE(writer, w, 0)
#else
		EXCHANGE(writer, w, AGENT);
		in = ok;
		died = ok
#endif
	:: ok && !(w & PENDING) && !wants ->
		/* a reader takes it over to write, mends, and lets go */
		EXCHANGE(writer, w, AGENT);
		if
		:: ok ->
			SHARED(two = one);
			EXCHANGE(writer, AGENT, 0)
		:: else
		fi
	:: else
	fi
}

inline try_read()
{
	/* look_for_writer() from outside; then E1 */
	SHARED(w = writer);
	if
	:: w != 0 && !(PREFER_READERS && (w & PENDING)) -> meet_writer(0)
	:: else ->
		EXCHANGE(entry[me], 0, AGENT);
		assert(ok);
#ifdef MUTANT_NOT_LOOKED_INSIDE
		in = 1;
#else
		SHARED(w = writer);
		if
		:: w == 0 -> in = 1
		:: w != 0 && PREFER_READERS && (w & PENDING) ->
			EXCHANGE(writer, w, 0); /* W3 */
			in = ok
		:: else
		fi;
#endif
		if
		:: !in -> EXCHANGE(entry[me], AGENT, 0) /* E2 */
		:: else
		fi
	fi
}

inline read()
{
	d_step { tries = 0; in = 0 }
	do
	:: tries < TRIES && !in -> tries++; try_read()
	:: else -> break
	od;
	if
	:: in ->
		SHARED(assert(LIVING(inside) == 0);
		       assert(one == two);
		       reading = reading | ME);
		SHARED(assert(LIVING(inside) == 0);
		       assert(one == two);
		       reading = reading & ~ME);
		EXCHANGE(entry[me], AGENT, 0)
	:: else
	fi;
	skip;
	d_step { w = 0; tries = 0; in = 0; ok = 0 }
}

/* ---- Writing ------------------------------------------------------------------- */

/* free: nobody reads */
inline look_for_readers()
{
	d_step { c = 0; free = 1 }
	do
	:: c < 3 && free ->
		SHARED(e = entry[c]);
		if
		:: e != 0 ->
			SHARED(ok = DEAD(e));
			if
			:: ok -> EXCHANGE(entry[c], e, 0)
			:: else -> free = 0
			fi
		:: else
		fi;
		c++
	:: else -> break
	od;
	skip;
	d_step { c = 0; e = 0 }
}

inline try_write()
{
	SHARED(w = writer);
	if
	:: w != 0 -> meet_writer(1)
	:: else ->
#ifdef MUTANT_LOOKED_FIRST
		look_for_readers();
#endif
		EXCHANGE(writer, 0, AGENT + PENDING); /* W1 */
		if
		:: ok ->
#ifndef MUTANT_LOOKED_FIRST
			look_for_readers();
#endif
			if
			:: free ->
#ifdef MUTANT_STORED
				SHARED(writer = AGENT; ok = 1);
#else
				EXCHANGE(writer, AGENT + PENDING, AGENT); /* W2 */
#endif
				in = ok
			:: else -> EXCHANGE(writer, AGENT + PENDING, 0) /* W3 */
			fi
		:: else
		fi
	fi
}

inline write()
{
	d_step { tries = 0; in = 0; died = 0 }
	do
	:: tries < TRIES && !in -> tries++; try_write()
	:: else -> break
	od;
	if
	:: in ->
		SHARED(assert(LIVING(inside) == 0 && LIVING(reading) == 0);
		       assert(died || one == two);
		       inside = ME);
		if
		:: died -> SHARED(two = one)
		:: else
		fi;
		SHARED(one = 1 - one);
		SHARED(two = 1 - two);
		SHARED(inside = 0);
		EXCHANGE(writer, AGENT, 0); /* W4 */
		assert(ok)
	:: else
	fi
}

proctype process(byte me)
{
	LOCALS;

	do
	:: reads[me] > 0 -> reads[me]--; read()
	:: writes[me] > 0 ->
		writes[me]--;
		write();
		d_step { w = 0; tries = 0; in = 0; ok = 0; died = 0; free = 0 }
	:: reads[me] == 0 && writes[me] == 0 -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; reads[me] = 0; writes[me] = 0 }
}

/* One try for what a dead writer has left, and one to have it. */
proctype survivor(byte me)
{
	LOCALS;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	try_write();
	if
	:: !in -> try_write()
	:: else
	fi;
	assert(in && (died || one == two));
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
