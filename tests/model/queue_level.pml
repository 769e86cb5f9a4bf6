/* SPDX-License-Identifier: MIT */
/*
 * queue_level.pml: receiving from a queue by priority without listing what has
 * come (LEVEL and QUEUE_LEVEL in src/data/queue_layout.h).
 *
 * Mirrors select_unlisted(), weigh_oldest(), is_level(), look_for_end() and
 * queue_deselect() of src/data/queue_select.c; claims and commits of senders are
 * one step each. To list all, which is done where these are unsure, is one step,
 * and right. Places aren't used twice; the lock is left out, as there is one
 * receiver.
 *
 * Two senders send SENDS messages each, of key 0 or 1, of which 0 is meant first;
 * DEATHS of them are killed, at any step. The receiver looks LOOKS times.
 *
 * Asserted: what is received was, at an instant since the call began, what was
 * meant; and what is said to be empty was empty.
 */
#define MORTAL 2
#ifndef SENDS
#define SENDS 2
#endif
#ifndef LOOKS
#define LOOKS 4
#endif
#include "step.h"

#define PLACES 5 /* one more than messages: it is never claimed */
#define FREE 0
#define WRITING 1
#define READY 2
#define GONE 3

byte phase[PLACES], key[PLACES];
byte tail;

/* What the model knows: the messages that were meant at an instant since the
 * receiver's call began; PLACES: the queue was empty. */
bit meant[PLACES + 1];
byte best, p;

#define BETTER(i, j) \
	(phase[i] == READY && (j == PLACES || key[i] < key[j]))

inline judge()
{
	best = PLACES;
	p = 0;
	do
	:: p < PLACES ->
		if
		:: BETTER(p, best) -> best = p
		:: else
		fi;
		p++
	:: else -> break
	od;
	meant[best] = 1;
	best = 0;
	p = 0
}

#define LOCALS byte c
#define FORGET c = 0

proctype sender(byte me)
{
	LOCALS;
	byte wanted = SENDS;

	do
	:: wanted > 0 ->
		wanted--;
		SHARED(c = tail; phase[c] = WRITING; tail++);
		if
		:: key[c] = 0
		:: key[c] = 1
		fi;
		SHARED(phase[c] = READY; judge());
		c = 0
	:: else -> break
	od;
out:
	skip;
	d_step { FORGET; wanted = 0 }
}

/* look_for_end(): in `place`; FREE is PLACE_END. */
inline look(at)
{
	d_step { place = phase[at] };
	if
	:: place == WRITING ->
		d_step { next = (at + 1 < PLACES -> phase[at + 1] : FREE) }
	:: else
	fi;
#ifdef MUTANT_HIDDEN
	next = FREE;
#endif
	d_step {
		if
		:: place == WRITING && next == FREE -> place = FREE
		:: else
		fi;
		next = 0
	}
}

proctype receiver(byte me)
{
	byte ingested, level, looks, place, next, found, listed;
	bit pending, sure;

	do
	:: looks < LOOKS ->
		looks++;
		d_step {
			p = 0;
			do
			:: p <= PLACES -> meant[p] = 0; p++
			:: else -> break
			od;
			judge();
			found = PLACES
		}
		/* What the index has: with nothing pending, all that is there
		 * before `ingested`. */
		d_step {
			p = 0;
			listed = PLACES;
			do
			:: p < ingested ->
				if
				:: BETTER(p, listed) -> listed = p
				:: else
				fi;
				p++
			:: else -> break
			od;
			p = 0
		}
		if
		:: !pending -> look(ingested)
		:: else -> place = WRITING
		fi;
		if
		:: place == FREE -> found = listed; sure = 1
		:: place == READY ->
			if
			:: level <= ingested -> level = ingested + 1
			:: else
			fi;
			do
			::
#ifdef MUTANT_ONCE
				if
				:: level > ingested + 1 -> sure = 1; break
				:: else
				fi;
#endif
				look(level);
				if
				:: place == FREE -> sure = 1; break
				:: place == WRITING -> break
#ifndef MUTANT_ANY_KEY
				:: place == READY &&
					key[level] != key[ingested] -> break
#endif
				:: else -> level++
				fi
			od;
			skip;
			d_step {
				found = ingested;
				if
#ifndef MUTANT_INDEX_LAST
				:: listed < PLACES &&
					key[listed] <= key[ingested] ->
					found = listed
#endif
				:: else
				fi
			}
		:: else
		fi;
		if
		:: sure ->
			d_step {
				assert(meant[found]);
				assert(found == PLACES || phase[found] == READY);
				if
				:: found < PLACES -> phase[found] = GONE
				:: else
				fi;
				if
				:: found == ingested -> ingested++
				:: else
				fi
			}
		:: else ->
			/* Lists all, and picks. */
			d_step {
				best = PLACES;
				p = 0;
				pending = 0;
				do
				:: p < PLACES ->
					if
					:: BETTER(p, best) -> best = p
					:: else
					fi;
					if
					:: p < tail && phase[p] == WRITING ->
						pending = 1
					:: else
					fi;
					p++
				:: else -> break
				od;
				if
				:: best < PLACES -> phase[best] = GONE
				:: else
				fi;
				ingested = tail;
				p = 0;
				best = 0
			}
		fi;
		d_step { sure = 0; listed = 0 }
		d_step { found = 0; place = 0 }
	:: else -> break
	od
}

init
{
	atomic {
		run sender(0);
		run sender(1);
		run receiver(2)
	}
}
