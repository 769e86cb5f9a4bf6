/* SPDX-License-Identifier: MIT */
/*
 * slot.pml: the cells of a FIFO queue.
 *
 * Mirrors src/data/queue_ring.c (claiming, giving up, looking, looking again,
 * what came back, burial), queue_claim(), queue_find(), queue_advance_tail()
 * and queue_advance_head() in queue_internal.h, try_send() and commit_word()
 * in queue_send.c, and consume_inline(), consume_take(), acknowledge and
 * return in queue_receive.c. One Promela step is one load, one store or one
 * compare-and-swap of shared memory, in the order of the C.
 *
 * Two cells, three processes whose mixture of sends, receives and takes is
 * given by -DSENDS="..." and so on, up to DEATHS processes killed and STOPS
 * processes stopped for ever, each at any step. (Stopped and late to resume
 * is what interleaving means anyway.) When all have ended, a survivor buries
 * the dead, drains the queue, fills it, and drains it again.
 *
 * Asserted: every committed message is consumed exactly once, with the
 * content that was written; no message overtakes an older one of its sender;
 * EMPTY is answered only if the queue was empty at some instant of the call;
 * whatever the stopped don't hold can be filled.
 *
 * Mutants: see the #ifdefs, and model.mk.
 */
#define CELLS 2
#define FIRST CELLS /* position: lap 1 */

#ifndef SENDS /* of processes 0, 1, 2 */
#define SENDS 2, 0, 0
#endif
#ifndef RECEIVES
#define RECEIVES 0, 1, 0
#endif
#ifndef TAKES
#define TAKES 0, 0, 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif

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
#define NOTHING 99

#define AVAILABLE(c) (PHASE(word[c]) == READY || PHASE(word[c]) == RETURNED)

short word[CELLS];
byte content[CELLS];
byte deliveries[CELLS];
byte tail = FIRST, head = FIRST;
byte mark;     /* void_mark */
byte disorder;
byte returned; /* the hint: odd = look at all cells */

/* What the model knows and the C doesn't. */
byte committed, consumed;  /* a bit for each message */
byte sent[4];              /* how many, by sender */
byte was_empty;            /* a bit for each process */
byte behind[8];            /* a message: 1 + the cell whose older message of
                              the same sender had come back before its commit */
byte behind_count[8];
byte gone[4];              /* 1 killed, 2 stopped, 3 ended */
byte losses;

#define KILLED 1
#define STOPPED 2
#define ENDED 3

#define SENDER(m) ((m) / 2)
#define BIT(m) (1 << (m))

inline note()
{
	if
	:: !AVAILABLE(0) && !AVAILABLE(1) -> was_empty = 15
	:: else
	fi
}

/* One access to shared memory, and what follows from it in private. A process
 * that was killed or stopped doesn't make it. */
#define SHARED(step)                             \
	if                                       \
	:: d_step { gone[me] == 0 -> step }      \
	:: gone[me] != 0 -> goto out             \
	fi

inline exchange(cell, expected, desired)
{
	SHARED(ok = (word[cell] == expected);
	       if
	       :: ok -> word[cell] = desired; note()
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

/* ---- Sending: claim, write, commit ------------------------------------- */

inline give_up(cell, expected)
{
	/* The position in full; the C has it from the word's lap. */
	raise(disorder, LAP(expected) * CELLS + cell);
	exchange(cell, expected, WORD(LAP(expected) + 1, FREE, 0))
}

#define GOOD 1
#define FULL 2

inline claim()
{
	SHARED(at = tail;
	       if :: at < own_tail -> at = own_tail :: else fi;
	       if :: at < mark -> at = mark :: else fi;
	       result = 0);
	do
	:: result == 0 ->
		SHARED(c = CELL_OF(at); w = word[c]);
		if
		:: PHASE(w) == FREE && LAP(w) <= LAP_OF(at) ->
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
			exchange(c, w, WORD(LAP_OF(at), WRITING, token));
			if
			:: !ok
			:: ok ->
				SHARED(seen = mark);
#ifdef MUTANT_VOID_IGNORED
				seen = 0;
#endif
				if
				:: seen <= at -> result = GOOD
				:: else ->
					w = WORD(LAP_OF(at), WRITING, token);
					give_up(c, w);
					d_step { skipped = 0; busy = 0; at++ }
				fi;
				seen = 0
			fi
		:: PHASE(w) != FREE && LAP(w) < LAP_OF(at) ->
			if
			:: !skipped && PHASE(w) == READY &&
			   LAP(w) == LAP_OF(at) - 1 ->
				SHARED(seen = disorder)
			:: else -> seen = NOTHING
			fi;
			if
			:: seen < at - CELLS -> seen = 0; result = FULL
			:: else ->
				d_step {
					seen = 0;
					skipped = 1;
					busy++;
					if
					:: busy >= CELLS -> result = FULL
					:: else -> at++
					fi
				}
			fi
		:: else -> /* the cell has gone on: so has the tail */
			d_step {
				if
				:: PHASE(w) == FREE ->
					busy = 0;
					at = (LAP(w) - 1) * CELLS + c
				:: else ->
					busy++;
					at = LAP(w) * CELLS + c
				fi;
				if
				:: busy >= CELLS -> result = FULL
				:: else -> at++
				fi
			}
		fi
	:: else -> break
	od
}

inline advance(hint, own, position)
{
	SHARED(own = position; seen = hint);
	if
	:: seen < position -> SHARED(hint = position; seen = 0)
	:: else -> seen = 0
	fi
}

/* At the commit: which older message of this sender has come back already? */
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

inline send()
{
	claim();
	if
	:: result == GOOD ->
		message = me * 2 + sent[me];
		advance(tail, own_tail, at + 1);
#ifdef MUTANT_COMMIT_FIRST
		SHARED(note_commit(message);
		       word[c] = WORD(LAP_OF(at), READY, 0);
		       sent[me]++);
		SHARED(content[c] = message; deliveries[c] = 0)
#else
		SHARED(content[c] = message; deliveries[c] = 0);
		SHARED(assert(word[c] == WORD(LAP_OF(at), WRITING, token));
		       note_commit(message);
		       word[c] = WORD(LAP_OF(at), READY, 0);
		       sent[me]++)
#endif
	:: else
	fi;
	d_step { message = 0; at = 0; c = 0; w = 0; skipped = 0; busy = 0; ok = 0 }
}

/* ---- Receiving ------------------------------------------------------------ */

#define MESSAGE 1
#define BUSY 2
#define PASSED 3
#define END 4

/* queue_look() at `where`; sets w, place. */
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
		       :: LAP(w) <= LAP_OF(where) &&
			  (LAP(w) < LAP_OF(where) || PHASE(w) == FREE) ->
			       if
			       :: seen > where -> place = PASSED
			       :: else -> place = END
			       fi
		       :: LAP(w) == LAP_OF(where) && PHASE(w) == READY ->
			       place = MESSAGE
		       :: LAP(w) == LAP_OF(where) && PHASE(w) == WRITING ->
			       place = BUSY
		       :: LAP(w) == LAP_OF(where) && PHASE(w) > READY ->
			       place = PASSED
		       fi;
		       seen = 0)
	fi
}

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

/* queue_find_returned(): the oldest; passes until it is found twice. */
inline find_returned()
{
	SHARED(older = NOTHING; hint = returned);
	do
	:: true ->
		d_step { best = NOTHING; k = 0 }
		do
		:: k < CELLS ->
			SHARED(w = word[k]);
			if
			:: PHASE(w) == RETURNING ->
				finish_return(k, w);
				SHARED(w = word[k])
			:: else
			fi;
			d_step {
				if
				:: PHASE(w) == RETURNED &&
				   LAP(w) * CELLS + k < best ->
					best = LAP(w) * CELLS + k;
					best_word = w
				:: else
				fi;
				k++
			}
		:: else -> break
		od;
		if
		:: best == NOTHING ->
			SHARED(if
			       :: returned == hint ->
				       returned = hint - (hint & 1)
			       :: else
			       fi);
			break
#ifdef MUTANT_ONE_PASS
		:: else -> break
#else
		:: best != NOTHING && best == older -> break
		:: best != NOTHING && best != older -> older = best
#endif
		fi
	od;
	skip;
	d_step { older = 0; hint = 0; k = 0 }
}

/* queue_find(): at, w = the message; result = GOOD or 0: empty. */
inline find()
{
	do
	:: true ->
		SHARED(before = returned; busy_from = 0; sum = 0; result = 0);
		SHARED(at = head;
		       if :: at < own_head -> at = own_head :: else fi);
		do /* the walk */
		:: true ->
			look(at);
			if
			:: place == MESSAGE && busy_from == 0 ->
				result = GOOD;
				break
			:: place == MESSAGE && busy_from != 0 ->
#ifdef MUTANT_NO_SECOND_LOOK
				result = GOOD;
				break
#else
				/* look_again() */
				d_step { last = at; last_word = w; at = busy_from }
				do
				:: at < last ->
					look(at);
					if
					:: place == MESSAGE ->
						d_step {
							last = at;
							last_word = w;
							at = busy_from
						}
					:: else -> at++
					fi
				:: else -> break
				od;
				skip;
				d_step {
					w = last_word;
					last = 0;
					last_word = 0;
					result = GOOD
				}
				break
#endif
			:: place == BUSY ->
				d_step {
					if
					:: busy_from == 0 -> busy_from = at
					:: else
					fi;
					sum = sum + w;
					at++
				}
			:: place == PASSED ->
				if
				:: busy_from == 0 ->
					advance(head, own_head, at + 1)
				:: else
				fi;
				at++
			:: place == END -> break
			fi
		od;
#ifndef MUTANT_EMPTY_AT_FIRST_SIGHT
		/* END behind a place that is being written: the walk counts
		 * only if nothing in it has changed when walked again. */
		if
		:: result == 0 && busy_from != 0 ->
			d_step { last = at; at = busy_from; total = 0 }
			do
			:: at < last ->
				look(at);
				d_step {
					if
					:: place == BUSY -> total = total + w
					:: place == MESSAGE -> sum = 0
					:: else
					fi;
					at++
				}
			:: else -> break
			od;
			last = 0;
			if
			:: total != sum -> total = 0; sum = 0; goto again
			:: else -> total = 0
			fi
		:: else
		fi;
#endif
		sum = 0;
		/* Returned ones are looked for last: they were there when the
		 * message found was committed, or not. */
#ifndef MUTANT_HINT_FIRST
		SHARED(hint = returned);
		if
		:: hint & 1 ->
			saved = w;
			find_returned();
			if
			:: best != NOTHING && (result == 0 || best < at) ->
				d_step { at = best; w = best_word; result = GOOD }
			:: else -> w = saved
			fi;
			saved = 0;
			if
			:: result == 0 -> goto again
			:: else -> break
			fi
		:: result == 0 && !(hint & 1) && hint != before ->
			goto again
		:: else -> hint = 0; break
		fi;
#else
		break;
#endif
again:
		skip
	od;
	skip;
	d_step { before = 0; best = 0; best_word = 0; place = 0 }
}

/* No older message of the same sender lies there READY, or is one that had
 * come back before this one was committed. */
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
			       note()
		       :: else
		       fi);
		if
		:: ok && PHASE(w) == READY && busy_from == 0 ->
			advance(head, own_head, at + 1);
			break
		:: ok && !(PHASE(w) == READY && busy_from == 0) -> break
		:: else
		fi
	od;
	skip;
	d_step { at = 0; busy_from = 0; seen = 0 }
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

/* ---- Burial ----------------------------------------------------------------- */

inline bury(dead)
{
	k = 0;
	do
	:: k < CELLS ->
		SHARED(w = word[k]);
		if
		:: TOKEN(w) == dead + 1 && PHASE(w) == WRITING ->
#ifndef MUTANT_NO_BURIAL
			give_up(k, w)
#else
			skip
#endif
		:: TOKEN(w) == dead + 1 && PHASE(w) == TAKEN ->
			exchange(k, w, WORD(LAP(w), RETURNING, dead + 1));
			if
			:: ok ->
				w = WORD(LAP(w), RETURNING, dead + 1);
				finish_return(k, w)
			:: else
			fi
		:: TOKEN(w) == dead + 1 && PHASE(w) == RETURNING ->
			finish_return(k, w)
		:: else
		fi;
		k++
	:: else -> break
	od;
	skip;
	d_step { k = 0; w = 0; ok = 0 }
}

/* ---- Processes ---------------------------------------------------------------- */

#define LOCALS                                                             \
	byte token = me + 1, own_tail = FIRST, own_head = FIRST;           \
	byte at, c, busy, busy_from, place, seen, result, message, k;      \
	byte best, older, hint, before, last, count;                       \
	bit skipped, ok, hold, tried;                                      \
	short w, best_word, last_word, sum, total, saved

proctype worker(byte me; byte sends; byte receives; byte takes)
{
	LOCALS;
	do
	:: sends > 0 -> sends--; send(); result = 0
	:: receives > 0 || takes > 0 ->
		if
		:: receives > 0 -> receives--; hold = 0
		:: takes > 0 -> takes--; hold = 1
		fi;
		consume(hold);
		if
		:: result == GOOD && hold ->
			SHARED(if
			       :: PHASE(w) == RETURNED -> deliveries[c] = TOKEN(w)
			       :: else -> deliveries[c] = 0
			       fi);
			if
			:: true -> acknowledge()
			:: true -> give_back()
			fi
		:: else
		fi;
		d_step { result = 0; hold = 0; message = 0; c = 0; w = 0; ok = 0 }
	:: sends == 0 && receives == 0 && takes == 0 -> break
	:: DEATHS > 0 && !tried && gone[0] == KILLED && me != 0 ->
		tried = 1;
		bury(0)
	:: DEATHS > 0 && !tried && gone[1] == KILLED && me != 1 ->
		tried = 1;
		bury(1)
	:: DEATHS > 0 && !tried && gone[2] == KILLED && me != 2 ->
		tried = 1;
		bury(2)
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	/* Nothing of it matters any more: fewer states. */
	d_step {
		own_tail = 0; own_head = 0; at = 0; c = 0; busy = 0;
		busy_from = 0; place = 0; seen = 0; result = 0; message = 0;
		k = 0; best = 0; older = 0; hint = 0; before = 0; last = 0;
		count = 0; skipped = 0; ok = 0; hold = 0; tried = 0; w = 0;
		best_word = 0; last_word = 0; sum = 0; total = 0; saved = 0;
		sends = 0; receives = 0; takes = 0
	}
}

/* Kills and stops; each process at most once. */
active proctype fate()
{
	byte deaths = DEATHS, stops = STOPS;

	do
	:: deaths > 0 && gone[0] == 0 -> deaths--; gone[0] = KILLED
	:: deaths > 0 && gone[1] == 0 -> deaths--; gone[1] = KILLED
	:: deaths > 0 && gone[2] == 0 -> deaths--; gone[2] = KILLED
	:: stops > 0 && gone[0] == 0 -> stops--; gone[0] = STOPPED
	:: stops > 0 && gone[1] == 0 -> stops--; gone[1] = STOPPED
	:: stops > 0 && gone[2] == 0 -> stops--; gone[2] = STOPPED
	:: true -> break
	od
}

/* Whether a stopped process has the cell. */
#define STOPPED_HAS(c)                                                     \
	((PHASE(word[c]) == WRITING || PHASE(word[c]) == TAKEN ||          \
	  PHASE(word[c]) == RETURNING) &&                                  \
	 gone[TOKEN(word[c]) - 1] == STOPPED)

proctype survivor(byte me)
{
	LOCALS;
	byte room;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	if :: gone[0] == KILLED -> bury(0) :: else fi;
	if :: gone[1] == KILLED -> bury(1) :: else fi;
	if :: gone[2] == KILLED -> bury(2) :: else fi;
	do
	:: true ->
		consume(0);
		if
		:: result == 0 && room == 0 ->
			/* Drained: what is left, the stopped have. */
			if
			:: STOPPED_HAS(0) -> room = room + 1
			:: else -> assert(PHASE(word[0]) == FREE)
			fi;
			if
			:: STOPPED_HAS(1) -> room = room + 1
			:: else -> assert(PHASE(word[1]) == FREE)
			fi;
			room = CELLS - room;
			do
			:: sent[me] < room ->
				send();
				assert(result == GOOD)
			:: else -> break
			od;
			room = 9
		:: result == 0 && room == 9 -> break
		:: else
		fi
	od;
	/* Nothing is lost: it was consumed, or a stopped taker has it. */
	k = 0;
	if
	:: STOPPED_HAS(0) && PHASE(word[0]) != WRITING ->
		consumed = consumed | BIT(content[0])
	:: else
	fi;
	if
	:: STOPPED_HAS(1) && PHASE(word[1]) != WRITING ->
		consumed = consumed | BIT(content[1])
	:: else
	fi;
	assert(consumed == committed);
out:
	skip
}

byte sends[3] = { SENDS };
byte receives[3] = { RECEIVES };
byte takes[3] = { TAKES };

init
{
	atomic {
		word[0] = WORD(1, FREE, 0);
		word[1] = WORD(1, FREE, 0);
		run worker(0, sends[0], receives[0], takes[0]);
		run worker(1, sends[1], receives[1], takes[1]);
		run worker(2, sends[2], receives[2], takes[2]);
		run survivor(3)
	}
}
