/* SPDX-License-Identifier: MIT */
/*
 * slot.pml: the cells of a FIFO queue.
 *
 * Mirrors, in src/data: queue_ring.c from try_claim() to queue_bury(); the
 * inline queue_tail(), queue_advance_tail(), queue_claim(), queue_head(),
 * queue_advance_head(), queue_find_quickly() of queue_internal.h; try_send()
 * of queue_send.c; before_consuming() to consume_take(), receive_quickly(),
 * stoa_queue_acknowledge() and stoa_queue_return() of queue_receive.c. A step
 * is one load, one store or one read-modify-write of shared memory, in the
 * order of the C. Not here: laps that wrap and eras, the arena, waiting.
 *
 * Two cells; three workers, who do SENDS, RECEIVES and TAKES calls (each ends
 * in an acknowledgement or a return) in any order; DEATHS of them are killed
 * and STOPS stopped for ever, at any step. (Stopped and late to resume is what
 * interleaving means anyway.) At any time a worker may bury a dead one. When
 * all have ended, a survivor with a new handle buries, drains the queue, fills
 * it, and drains it again.
 *
 * Asserted:
 *   - each committed message is consumed once, with the content written;
 *   - no message overtakes an older one of its sender that is READY, or that
 *     had come back when the younger one was committed;
 *   - EMPTY is answered only if the queue was empty at one instant of the call;
 *   - the survivor fills every cell that no stopped process has.
 */
#ifndef SENDS /* of workers 0, 1, 2 */
#define SENDS 2, 0, 0
#define RECEIVES 0, 1, 1
#define TAKES 0, 0, 0
#endif
#define MORTAL 3
#include "step.h"

#define CELLS 2
#define FIRST CELLS /* lap 1 */
#define NONE 99

/* A word: lap, phase, token or deliveries. */
#define FREE 0
#define WRITING 1
#define READY 2
#define TAKEN 3
#define RETURNING 4
#define RETURNED 5
#define WORD(lap, phase, token) ((lap) * 64 + (phase) * 8 + (token))
#define LAP(w) ((w) / 64)
#define PHASE(w) (((w) / 8) % 8)
#define TOKEN(w) ((w) % 8)

#define LAP_OF(position) ((position) / CELLS)
#define CELL_OF(position) ((position) % CELLS)
#define POSITION_OF(w, cell) (LAP(w) * CELLS + (cell))

short word[CELLS];
byte content[CELLS];
byte deliveries[CELLS];
byte tail = FIRST, head = FIRST; /* hints */
byte mark;                       /* void_mark */
byte disorder;
byte returned;                   /* the hint: odd = a scan is asked for */

/* What the model knows and the C doesn't. Message m is SENDER(m)'s. */
#define SENDER(m) ((m) / 2)
#define BIT(m) (1 << (m))
#define AVAILABLE(c) (PHASE(word[c]) == READY || PHASE(word[c]) == RETURNED)

byte committed, consumed; /* a bit for each message */
byte sent[4];             /* how many, by sender */
byte was_empty;           /* a bit for each process */
byte behind[8];           /* 1 + the cell whose older message of the same
                             sender had come back when this was committed */
byte behind_count[8];

#define LOCALS                                                     \
	byte token = me + 1, own_tail = FIRST, own_head = FIRST;   \
	byte at, c, k, busy, busy_from, place, seen, result;       \
	byte message, least, best, hint, count, steps;             \
	bit skipped, ok, hold;                                     \
	short w, best_word, least_word, found_word, sum, sum_before

#define FORGET                                                     \
	token = 0; own_tail = 0; own_head = 0; at = 0; c = 0;      \
	k = 0; busy = 0; busy_from = 0; place = 0; seen = 0;       \
	result = 0; message = 0; least = 0; best = 0; hint = 0;    \
	count = 0; steps = 0; skipped = 0; ok = 0; hold = 0;       \
	w = 0; best_word = 0; least_word = 0; found_word = 0;      \
	sum = 0; sum_before = 0

inline note_empty()
{
	if
	:: !AVAILABLE(0) && !AVAILABLE(1) -> was_empty = 15
	:: else
	fi
}

inline exchange(cell, expected, desired)
{
	SHARED(ok = (word[cell] == expected);
	       if
	       :: ok -> word[cell] = desired; note_empty()
	       :: else
	       fi)
}

inline raise(variable, value)
{
	SHARED(if
	       :: variable < value -> variable = value
	       :: else
	       fi)
}

/* A hint is loaded, compared, stored: it may fall back. */
inline advance(hint, own, position)
{
	SHARED(own = position; seen = hint);
	if
	:: seen < position -> SHARED(hint = position; seen = 0)
	:: else -> seen = 0
	fi
}

/* ---- Sending --------------------------------------------------------------- */

inline read_tail()
{
	SHARED(at = tail;
	       if
	       :: at < own_tail -> at = own_tail
	       :: else
	       fi;
	       if
	       :: at < mark -> at = mark
	       :: else
	       fi)
}

inline give_up(cell, expected)
{
	raise(disorder, POSITION_OF(expected, cell));
	exchange(cell, expected, WORD(LAP(expected) + 1, FREE, 0))
}

#define GOOD 1
#define LOST 2
#define VOID 3
#define FULL 4

/* try_claim() */
inline try_claim()
{
	if
	:: skipped ->
#ifdef MUTANT_MARK_BEFORE_DISORDER
		raise(mark, at);
		raise(disorder, at)
#else
		raise(disorder, at);
#ifndef MUTANT_NO_MARK
		raise(mark, at)
#endif
#endif
	:: else
	fi;
	SHARED(seen = mark);
	if
	:: seen > at -> result = VOID
	:: else ->
		exchange(c, w, WORD(LAP_OF(at), WRITING, token));
		if
		:: !ok -> result = LOST
		:: else ->
			SHARED(seen = mark);
#ifdef MUTANT_VOID_IGNORED
			seen = 0;
#endif
			if
			:: seen > at ->
				w = WORD(LAP_OF(at), WRITING, token);
				give_up(c, w);
				result = VOID
			:: else -> result = GOOD
			fi
		fi
	fi;
	seen = 0
}

/* queue_claim_slowly(); queue_claim() is its first round. */
inline claim()
{
	read_tail();
	result = LOST;
	do
	:: result == LOST ->
		SHARED(c = CELL_OF(at); w = word[c]);
		if
		:: PHASE(w) == FREE && LAP(w) <= LAP_OF(at) ->
			busy = 0;
			try_claim();
			if
			:: result == VOID ->
				read_tail();
				d_step { skipped = 0; result = LOST }
#ifndef MUTANT_SKIPPED_STAYS
			:: result == LOST -> skipped = 0
#endif
			:: else
			fi;
			assert(at < 60) /* or they void one another for ever */
		:: PHASE(w) == FREE && LAP(w) > LAP_OF(at) ->
			/* catch_up(), then the next place */
			d_step { busy = 0; at = POSITION_OF(w, c) - CELLS + 1 }
		:: else ->
			seen = NONE;
			if
			:: !skipped && PHASE(w) == READY &&
			   LAP(w) == LAP_OF(at) - 1 ->
				SHARED(seen = disorder)
			:: else
			fi;
			d_step {
				busy++;
				if
				:: seen < at - CELLS || busy >= CELLS ->
					result = FULL
				:: else -> at++
				fi;
				seen = 0;
				skipped = skipped || LAP(w) != LAP_OF(at - 1)
			}
		fi
	:: else -> break
	od
}

/* At the commit: has an older message of this sender come back already? */
inline note_commit(m)
{
	committed = committed | BIT(m);
	k = 1 - c;
	if
	:: PHASE(word[k]) == RETURNED && SENDER(content[k]) == SENDER(m) &&
	   content[k] < m ->
		behind[m] = 1 + k;
		behind_count[m] = TOKEN(word[k])
	:: else
	fi;
	k = 0
}

inline commit()
{
	SHARED(assert(word[c] == WORD(LAP_OF(at), WRITING, token));
	       note_commit(message);
	       word[c] = WORD(LAP_OF(at), READY, 0);
	       sent[me]++)
}

inline send()
{
	claim();
	if
	:: result == GOOD ->
		message = me * 2 + sent[me];
#ifdef MUTANT_COMMIT_FIRST
		commit();
		SHARED(content[c] = message; deliveries[c] = 0);
#else
		SHARED(content[c] = message; deliveries[c] = 0);
		commit();
#endif
		advance(tail, own_tail, at + 1)
	:: else
	fi;
	skip;
	d_step { message = 0; at = 0; c = 0; w = 0; skipped = 0; busy = 0; ok = 0 }
}

/* ---- Finding ------------------------------------------------------------------ */

#define MESSAGE 1
#define BUSY 2
#define PASSED 3
#define END 4

/* queue_look(): w, place */
inline look(where)
{
	SHARED(w = word[CELL_OF(where)]);
	if
	:: w == WORD(LAP_OF(where), READY, 0) -> place = MESSAGE
	:: else ->
		SHARED(seen = mark);
		SHARED(w = word[CELL_OF(where)];
		       if
		       :: LAP(w) > LAP_OF(where) -> place = PASSED
		       :: LAP(w) < LAP_OF(where) ||
			  (LAP(w) == LAP_OF(where) && PHASE(w) == FREE) ->
			       place = (seen > where -> PASSED : END)
		       :: else ->
			       place = (PHASE(w) == READY -> MESSAGE :
				       (PHASE(w) == WRITING -> BUSY : PASSED))
		       fi;
		       seen = 0)
	fi
}

/* One pass over the cells for the least position: least_cell(),
 * oldest_returned(). RETURNING ones are finished by the way. */
inline pass(wants_returned, wants_busy)
{
	d_step { least = NONE; k = 0 }
	do
	:: k < CELLS ->
		SHARED(w = word[k]);
		if
		:: wants_returned && PHASE(w) == RETURNING ->
			finish_return(k, w);
			SHARED(w = word[k])
		:: else
		fi;
		d_step {
			if
			:: POSITION_OF(w, k) < least &&
			   ((wants_returned && PHASE(w) == RETURNED) ||
			    (!wants_returned && PHASE(w) == READY) ||
			    (wants_busy && PHASE(w) == WRITING)) ->
				least = POSITION_OF(w, k);
				least_word = w
			:: else
			fi;
			k++
		}
	:: else -> break
	od;
	k = 0
}

/* Passes until none is older: find_by_cells(), queue_find_returned(). */
inline oldest(wants_returned)
{
	d_step { best = NONE; best_word = 0 }
	do
	:: true ->
		pass(wants_returned, 0);
		if
		:: least < best ->
			d_step { best = least; best_word = least_word }
#ifdef MUTANT_ONE_PASS
			break
#endif
		:: else -> break
		fi
	od;
	skip;
	d_step { least = 0; least_word = 0 }
}

/* look_again() */
inline look_again()
{
	d_step { best = at; best_word = w; at = busy_from }
	do
	:: at < best ->
		look(at);
		d_step {
			if
			:: place == MESSAGE ->
				best = at;
				best_word = w;
				at = busy_from
			:: else -> at++
			fi
		}
	:: else -> break
	od;
	skip;
	d_step { w = best_word; best = 0; best_word = 0 }
}

/* walk_from_head(): at, w, place; BUSY = there are fewer cells than places */
inline walk()
{
	SHARED(at = head;
	       if
	       :: at < own_head -> at = own_head
	       :: else
	       fi;
	       busy_from = 0;
	       sum = 0;
	       steps = 0);
	do
	:: true ->
		look(at);
		if
		:: place == MESSAGE || place == END -> break
		:: place == BUSY ->
			d_step {
				sum = sum + w * (steps + 1);
				if
				:: busy_from == 0 -> busy_from = at
				:: else
				fi
			}
		:: place == PASSED && busy_from == 0 ->
			advance(head, own_head, at + 1)
		:: place == PASSED && busy_from != 0
		fi;
		d_step { at++; steps++ }
		if
		:: steps == CELLS + 1 && busy_from == 0 ->
			/* least_position() */
			read_tail();
			pass(0, 1);
			if
			:: least < at -> at = least
			:: else
			fi;
			advance(head, own_head, at)
		:: steps == CELLS + 1 && busy_from != 0 -> place = BUSY; break
		:: steps == 2 * (CELLS + 1) -> place = BUSY; break
		:: else
		fi
	od;
	steps = 0
}

/* find_in_order(): at, w, busy_from; result = GOOD or 0 */
inline find_in_order()
{
	do
	:: true ->
		walk();
		if
		:: place == BUSY ->
			oldest(0);
			d_step {
				at = best;
				w = best_word;
				busy_from = 1;
				result = (best == NONE -> 0 : GOOD)
			}
			break
		:: place == MESSAGE ->
#ifndef MUTANT_NO_SECOND_LOOK
			if
			:: busy_from != 0 -> look_again()
			:: else
			fi;
#endif
			result = GOOD;
			break
		:: place == END ->
#ifdef MUTANT_EMPTY_AT_FIRST_SIGHT
			sum = sum_before;
#endif
			if
			:: sum == sum_before -> result = 0; break
			:: else -> sum_before = sum
			fi
		fi
	od;
	skip;
	d_step { sum = 0; sum_before = 0; place = 0; best = 0; best_word = 0 }
}

/* queue_find_slowly(); queue_find_quickly() is its usual case. */
inline find()
{
	do
	:: true ->
#ifdef MUTANT_HINT_FIRST
		SHARED(hint = returned);
		find_in_order();
#else
		find_in_order();
		SHARED(hint = returned);
#endif
		if
		:: hint & 1 ->
			d_step { found_word = w; hint = 0 }
			SHARED(hint = returned);
			oldest(1);
			if
			:: best == NONE ->
				/* queue_scan_done() */
				SHARED(if
				       :: returned == hint ->
					       returned = hint - (hint & 1)
				       :: else
				       fi);
				w = found_word;
#ifdef MUTANT_EMPTY_AFTER_SCAN
				break
#else
				if
				:: result == GOOD -> break
				:: else
				fi
#endif
			:: best != NONE && (result == 0 || best < at) ->
				d_step {
					at = best;
					w = best_word;
					busy_from = 0;
					result = GOOD
				}
				break
			:: else -> w = found_word; break
			fi
		:: else -> break
		fi
	od;
	skip;
	d_step { hint = 0; found_word = 0; best = 0; best_word = 0 }
}

/* ---- Consuming ----------------------------------------------------------------- */

inline finish_return(cell, expected)
{
	SHARED(count = deliveries[cell] + 1);
#ifdef MUTANT_HINT_AFTER
	exchange(cell, expected, WORD(LAP(expected), RETURNED, count));
	SHARED(returned = (returned + 2) | 1; count = 0)
#else
	SHARED(returned = (returned + 2) | 1);
	exchange(cell, expected, WORD(LAP(expected), RETURNED, count));
	count = 0
#endif
}

inline check_order(m)
{
	k = 1 - CELL_OF(at);
	assert(!(PHASE(word[k]) == READY && SENDER(content[k]) == SENDER(m) &&
		 content[k] < m));
	assert(!(behind[m] == 1 + k && PHASE(word[k]) == RETURNED &&
		 TOKEN(word[k]) == behind_count[m]));
	k = 0
}

inline consume(take)
{
	SHARED(if
	       :: AVAILABLE(0) || AVAILABLE(1) ->
		       was_empty = was_empty & (15 - BIT(me))
	       :: else -> was_empty = was_empty | BIT(me)
	       fi);
	do
	:: true ->
		find();
		if
		:: result == 0 ->
			SHARED(assert(was_empty & BIT(me)));
			break
		:: else
		fi;
		c = CELL_OF(at);
		SHARED(message = content[c]);
		if
		:: busy_from != 0 -> raise(disorder, at)
		:: else
		fi;
		SHARED(ok = (word[c] == w);
		       if
		       :: ok ->
			       assert(committed & BIT(message));
			       assert(!(consumed & BIT(message)));
			       check_order(message);
			       if
			       :: take -> word[c] = WORD(LAP(w), TAKEN, token)
			       :: else ->
				       consumed = consumed | BIT(message);
				       word[c] = WORD(LAP(w) + 1, FREE, 0)
			       fi;
			       note_empty()
		       :: else
		       fi);
		if
		:: ok && PHASE(w) == READY && busy_from == 0 ->
			advance(head, own_head, at + 1);
			break
		:: ok && (PHASE(w) != READY || busy_from != 0) -> break
		:: !ok
		fi
	od;
	skip;
	d_step { at = 0; busy_from = 0; ok = 0 }
}

inline acknowledge()
{
	SHARED(assert(word[c] == WORD(LAP(w), TAKEN, token));
	       assert(content[c] == message && !(consumed & BIT(message)));
	       consumed = consumed | BIT(message);
	       word[c] = WORD(LAP(w) + 1, FREE, 0))
}

inline give_back()
{
	SHARED(w = WORD(LAP(w), TAKEN, token);
	       assert(word[c] == w);
	       w = WORD(LAP(w), RETURNING, token);
	       word[c] = w);
	finish_return(c, w)
}

/* consume_take(), then one or the other */
inline take()
{
	consume(hold);
	if
	:: result == GOOD && hold ->
		SHARED(deliveries[c] =
			       (PHASE(w) == RETURNED -> TOKEN(w) : 0));
		if
		:: true -> acknowledge()
		:: true -> give_back()
		fi
	:: else
	fi;
	skip;
	d_step { result = 0; hold = 0; message = 0; c = 0; w = 0; ok = 0 }
}

/* ---- Burial ---------------------------------------------------------------------- */

/* queue_bury() */
inline bury(dead)
{
	c = 0;
	do
	:: c < CELLS ->
		SHARED(w = word[c]);
		if
		:: TOKEN(w) == dead + 1 && PHASE(w) == WRITING ->
#ifdef MUTANT_NO_BURIAL
			skip
#else
			give_up(c, w)
#endif
		:: TOKEN(w) == dead + 1 && PHASE(w) == TAKEN ->
#ifdef MUTANT_TAKEN_DROPPED
			exchange(c, w, WORD(LAP(w) + 1, FREE, 0))
#else
			exchange(c, w, WORD(LAP(w), RETURNING, dead + 1));
			if
			:: ok ->
				w = WORD(LAP(w), RETURNING, dead + 1);
				finish_return(c, w)
			:: else
			fi
#endif
		:: TOKEN(w) == dead + 1 && PHASE(w) == RETURNING ->
			finish_return(c, w)
		:: else
		fi;
		c++
	:: else -> break
	od;
	skip;
	d_step { c = 0; w = 0; ok = 0 }
}

/* ---- Processes -------------------------------------------------------------------- */

byte sends[3] = { SENDS };
byte receives[3] = { RECEIVES };
byte takes[3] = { TAKES };

#define MAY_BURY(dead) \
	(DEATHS > 0 && !buried && me != dead && gone[dead] == KILLED)

proctype worker(byte me)
{
	LOCALS;
	bit buried;

	do
	:: sends[me] > 0 -> sends[me]--; send(); result = 0
	:: receives[me] > 0 -> receives[me]--; take()
	:: takes[me] > 0 -> takes[me]--; hold = 1; take()
	:: MAY_BURY(0) -> buried = 1; bury(0)
	:: MAY_BURY(1) -> buried = 1; bury(1)
	:: MAY_BURY(2) -> buried = 1; bury(2)
	:: sends[me] == 0 && receives[me] == 0 && takes[me] == 0 -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { /* fewer states */
		FORGET; buried = 0; sends[me] = 0; receives[me] = 0;
		takes[me] = 0
	}
}

#define HELD(c)                                                            \
	((PHASE(word[c]) == WRITING || PHASE(word[c]) == TAKEN ||          \
	  PHASE(word[c]) == RETURNING) &&                                  \
	 gone[TOKEN(word[c]) - 1] == STOPPED)

inline drain()
{
	do
	:: true ->
		take();
		if
		:: !AVAILABLE(0) && !AVAILABLE(1) -> break
		:: else
		fi
	od;
	assert(HELD(0) || PHASE(word[0]) == FREE);
	assert(HELD(1) || PHASE(word[1]) == FREE)
}

#define HAS_MESSAGE(c) (HELD(c) && PHASE(word[c]) != WRITING)

proctype survivor(byte me)
{
	LOCALS;
	byte room;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	if :: gone[0] == KILLED -> bury(0) :: else fi;
	if :: gone[1] == KILLED -> bury(1) :: else fi;
	if :: gone[2] == KILLED -> bury(2) :: else fi;
	drain();
	room = CELLS - HELD(0) - HELD(1);
	do
	:: room > 0 -> room--; send(); assert(result == GOOD); result = 0
	:: else -> break
	od;
	drain();
	assert(committed ==
	       (consumed | (HAS_MESSAGE(0) -> BIT(content[0]) : 0) |
		(HAS_MESSAGE(1) -> BIT(content[1]) : 0)));
out:
	skip
}

init
{
	atomic {
		word[0] = WORD(1, FREE, 0);
		word[1] = WORD(1, FREE, 0);
		run worker(0);
		run worker(1);
		run worker(2);
		run survivor(3)
	}
}
