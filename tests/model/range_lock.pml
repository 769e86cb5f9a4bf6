/* SPDX-License-Identifier: MIT */
/*
 * range_lock.pml: a table of ranges under a lock whose owner may die, and the
 * burial of its owners, which goes without that lock.
 *
 * Mirrors src/sync/range_lock.c and range_lock_table.c: lock_range(), try(),
 * wait_for(), try_once(), unlock(), unlock_unturned(), give_up(), make_room();
 * range_turn_begin() with rebuild() and sweep(), range_admit(), the line,
 * range_apply() with put(), drop(), cut(), range_bury(); and the burial of a
 * seat, of src/space/seat.c. Of the index only this is here: which records it
 * lists, and whether it is `torn`, in the middle of a change. Taking and giving
 * back the table's lock is one step each (lock.pml has the rest), and so is a
 * look at all words, which meanwhile can but fall to 0. A place in line for
 * each process; one event for both kinds of waiters. Not here: circles,
 * spinning, several threads of a process.
 *
 * Three processes lock a range of two bytes (1: the first, 2: the second, 3:
 * both) in a MODE, then: UNLOCK it; CUT the second byte off, then close; go
 * over to the other mode (CONVERT), then close; CLOSE. An unlock that finds the
 * table's lock taken may run out of patience, and a close, too. DEATHS of them
 * are killed, at any step; process 2 may run into its deadline TIMEOUTS times.
 * Whoever is at a slice's end goes on, twice for each death. When all have
 * ended, a survivor, who may not wait, fills the table.
 *
 * Asserted: no living one has what conflicts with what another living one has;
 * who has a range finds it, listed, until it gives it up; nobody who uses the
 * index finds it torn, or a record that can't be; there is room for as many
 * ranges as the table has records, whoever died, and wherever; everybody comes
 * to an end; and the dead are not in the way of one who may not wait.
 */
#define MORTAL 3
#define PROCESSES 4
#define UNLOCK 0
#define CUT 1
#define CONVERT 2
#define CLOSE 3
#ifndef FIRST /* of each process: range, mode, what it does then */
#define FIRST 3, EXCLUSIVE, CUT
#define SECOND 2, EXCLUSIVE, UNLOCK
#define THIRD 1, SHARED_MODE, CLOSE
#endif
#define RECORDS 2
#define MAY_BE_LATE (me == 2 && timeouts > 0)
#include "step.h"

/* A word: a token, and EXCLUSIVE. */
#define EXCLUSIVE 8
#define SHARED_MODE 0
#define TOKEN (me + 1)
#define TOKEN_OF(w) ((w) % EXCLUSIVE)
#define DEAD(token) (gone[(token) - 1] == KILLED)
#define ME (1 << me)

byte turn; /* the table's lock */
bit dirty, stale, torn;
byte word[RECORDS], start[RECORDS], last[RECORDS];
bit listed[RECORDS];
bit spare[RECORDS] = 1;
byte line[3], line_start[3], line_last[3]; /* the waiters */
byte before[3]; /* by lower tickets: a bit for each */
bit seat[PROCESSES] = 1;
#if TIMEOUTS > 0
byte timeouts = TIMEOUTS;
#endif

/* The event: whose count it is; who sleeps; slices that ended. */
byte armed, moved, asleep;
byte slices[PROCESSES];

/* What the model knows: bytes that a process was told it has. */
byte has[PROCESSES];
bit exclusively[PROCESSES];

#define GRANTED 0
#define BLOCKED 1
#define NO_ROOM 2

#define LOCALS                                                      \
	byte r, n, mode, from, to, low, high, blockers, result, dead_then; \
	bit ok, room, slept, listens, eased, late, again, now
#define FORGET                                                      \
	r = 0; n = 0; mode = 0; from = 0; to = 0; low = 0;          \
	high = 0; blockers = 0; result = 0; dead_then = 0;          \
	ok = 0; room = 0; slept = 0; listens = 0; eased = 0;        \
	late = 0; again = 0; now = 0;                               \
	has[me] = 0; exclusively[me] = 0; armed = armed & ~ME;      \
	moved = moved & ~ME; asleep = asleep & ~ME; slices[me] = 0

#define OVERLAPS(first, end) ((first) <= to && from <= (end))
#define OWN(i) (listed[i] && TOKEN_OF(word[i]) == TOKEN)
#define BYTES(first, end) ((first) == (end) -> 1 << (first) : 3)

/* ---- Waking: event.pml has the rest -------------------------------------------- */

inline arm()
{
	SHARED(armed = armed | ME; moved = moved & ~ME; listens = 1)
}

inline sleep()
{
	SHARED(asleep = (moved & ME -> asleep : asleep | ME));
	if
	:: !(asleep & ME)
	:: timeout && (asleep & ME) && slices[me] < 2 * (DEATHS - deaths) ->
		slices[me]++;
		asleep = asleep & ~ME
	fi;
	slept = 1
}

inline wake()
{
	SHARED(ok = (armed != 0));
	if
	:: ok -> SHARED(moved = armed; asleep = 0; ok = 0)
	:: else
	fi
}

/* ---- The index, and free records; under the table's lock ------------------------ */

inline tear()
{
	SHARED(assert(!torn); torn = 1)
}

inline put(new_word, first, end)
{
	SHARED(n = (spare[0] -> 0 : 1);
	       assert(spare[n] && word[n] == 0 && !listed[n]);
	       spare[n] = 0);
#ifdef MUTANT_WORD_FIRST
	SHARED(word[n] = new_word; start[n] = first);
	SHARED(last[n] = end);
#else
	SHARED(start[n] = first; last[n] = end);
	SHARED(word[n] = new_word);
#endif
	tear();
	SHARED(listed[n] = 1; torn = 0; n = 0)
}

inline drop(i)
{
	tear();
	SHARED(listed[i] = 0; torn = 0; word[i] = 0; spare[i] = 1)
}

/* ---- Turns --------------------------------------------------------------------- */

inline rebuild()
{
	SHARED(torn = 0; listed[0] = 0; listed[1] = 0; spare[0] = 0;
	       spare[1] = 0; r = 0);
	do
	:: r < RECORDS ->
		SHARED(if
		       :: word[r] == 0 -> spare[r] = 1
		       :: else ->
			       assert(start[r] <= last[r]);
			       listed[r] = 1
		       fi;
		       r++)
	:: else -> break
	od;
	r = 0
}

inline sweep()
{
	SHARED(stale = 0; room = 0; r = 0; assert(!torn));
	do
	:: r < RECORDS ->
		SHARED(if
		       :: listed[r] && word[r] == 0 ->
			       listed[r] = 0;
			       spare[r] = 1
		       :: else
		       fi;
		       r++)
	:: else -> break
	od;
	r = 0
}

inline turn_begin()
{
	SHARED((turn == 0 || DEAD(turn));
	       turn = TOKEN;
	       ok = dirty;
	       room = stale;
	       dirty = 1);
#ifdef MUTANT_NOT_REBUILT
	ok = 0;
#endif
#ifdef MUTANT_NOT_SWEPT
	room = 0;
#endif
	if
	:: ok -> rebuild()
	:: else
	fi;
	if
	:: room -> sweep()
	:: else
	fi
}

/* And wakes those for whom it may have made room. */
inline turn_end()
{
	SHARED(dirty = 0; turn = 0; ok = 0);
	if
	:: eased -> wake(); eased = 0
	:: else
	fi
}

/* ---- Who may have what ------------------------------------------------------------ */

#define IN_THE_WAY(w) (TOKEN_OF(w) != TOKEN && ((w) | mode) >= EXCLUSIVE)
#define BY_RANGE(i)                                                     \
	(listed[i] && word[i] != 0 && IN_THE_WAY(word[i]) &&            \
	 OVERLAPS(start[i], last[i]) -> 1 << TOKEN_OF(word[i]) : 0)
/* This one holds what the other waits for. */
#define HOLDS(i, j)                                                     \
	(OWN(i) && (word[i] | line[j]) >= EXCLUSIVE &&                  \
	 start[i] <= line_last[j] && line_start[j] <= last[i])
#ifdef MUTANT_STAYS_BEHIND
#define HOLDS_UP(j) 0
#else
#define HOLDS_UP(j) (HOLDS(0, j) || HOLDS(1, j))
#endif
#define IN_LINE(j)                                                      \
	(line[j] != 0 && IN_THE_WAY(line[j]) &&                         \
	 OVERLAPS(line_start[j], line_last[j]) && !HOLDS_UP(j) &&       \
	 (me == 3 || line[me] == 0 || (before[me] & (1 << (j)))) ->     \
	 2 << (j) : 0)

/* blockers: a bit for each token */
inline admit()
{
	SHARED(assert(!torn);
	       blockers = BY_RANGE(0) | BY_RANGE(1);
	       blockers = (blockers == 0 ->
			   IN_LINE(0) | IN_LINE(1) | IN_LINE(2) : blockers))
}

#define LEAVE_LINE(j)                                                   \
	line[j] = 0; line_start[j] = 0; line_last[j] = 0;               \
	before[j] = 0; before[0] = before[0] & ~(1 << (j));             \
	before[1] = before[1] & ~(1 << (j));                            \
	before[2] = before[2] & ~(1 << (j))

/* ---- Changing ----------------------------------------------------------------------- */

#define WITHIN(i) (start[i] >= from && last[i] <= to)

/* Takes [from, to] out of one of its own ranges. With two bytes, there is no
 * middle. Nobody else changes these while it lives. */
inline cut(i)
{
	if
	:: WITHIN(i) -> drop(i)
	:: else ->
		tear();
		SHARED(if
		       :: start[i] < from -> last[i] = from - 1
		       :: else -> start[i] = to + 1
		       fi);
		SHARED(torn = 0)
	fi
}

#define SAME(i) (word[i] == TOKEN + mode)
#define COVERED(i) (OWN(i) && SAME(i) && start[i] <= from && last[i] >= to)
#define DROPPED(i) (OWN(i) && (SAME(i) || WITHIN(i)))

/* [from, to] in the mode; of two bytes, what is the same overlaps or adjoins */
inline apply_lock()
{
	SHARED(ok = (COVERED(0) || COVERED(1));
	       room = (spare[0] || spare[1] || DROPPED(0) || DROPPED(1));
	       low = from;
	       high = to);
	if
	:: ok -> ok = 0
	:: !ok && !room -> result = NO_ROOM
	:: !ok && room ->
		do
		:: r < RECORDS ->
			if
			:: OWN(r) && SAME(r) ->
				d_step {
					low = (start[r] < low -> start[r] : low);
					high = (last[r] > high -> last[r] : high)
				}
				drop(r)
			:: OWN(r) && !SAME(r) && OVERLAPS(start[r], last[r]) ->
				eased = (mode != EXCLUSIVE);
				cut(r)
			:: else
			fi;
			r++
		:: else -> break
		od;
		r = 0;
		put(TOKEN + mode, low, high)
	fi;
	skip;
	d_step { low = 0; high = 0; room = 0 }
}

inline apply_unlock()
{
	do
	:: r < RECORDS ->
		if
		:: OWN(r) && OVERLAPS(start[r], last[r]) ->
			eased = 1;
			cut(r)
		:: else
		fi;
		r++
	:: else -> break
	od;
	r = 0
}

/* ---- Burial ------------------------------------------------------------------------- */

inline free_ranges(token)
{
	do
	:: r < RECORDS ->
		SHARED(if
		       :: TOKEN_OF(word[r]) == token -> word[r] = 0
		       :: else
		       fi;
		       r++)
	:: else -> break
	od;
	r = 0
}

/* range_bury() */
inline bury_words(token)
{
	free_ranges(token);
	SHARED(LEAVE_LINE(token - 1));
	SHARED(stale = 1)
}

/* stoa_object_alive_or_bury(): again, if it was dead */
inline alive_or_bury(token)
{
	SHARED(ok = (!seat[token - 1] || DEAD(token)));
	if
	:: ok ->
		again = 1;
		bury_words(token);
		SHARED(seat[token - 1] = 0);
		wake()
	:: else
	fi
}

inline bury_blockers()
{
	n = 1;
	do
	:: n <= 3 ->
		if
		:: blockers & (1 << n) -> alive_or_bury(n)
		:: else
		fi;
		n++
	:: else -> break
	od;
	n = 0
}

#define FREED(i) (listed[i] && word[i] == 0)

/* again: it is to be tried again */
inline make_room()
{
	SHARED(dead_then = deaths; n = 1);
#ifndef MUTANT_BURIAL_FORGOTTEN
	do
	:: n <= 3 ->
		SHARED(ok = (seat[n - 1] && DEAD(n)));
		if
		:: ok -> alive_or_bury(n)
		:: else
		fi;
		n++
	:: else -> break
	od;
#ifndef MUTANT_NOT_LOOKED_FOR
	SHARED(if
	       :: FREED(0) || FREED(1) -> stale = 1
	       :: else
	       fi);
	again = 1;
#endif
#endif
	n = 0
}

/* ---- Locking and unlocking ------------------------------------------------------------ */

#define CLASHES(j) (j != me && gone[j] == 0 && (has[j] & has[me]) && \
		    (exclusively[j] || exclusively[me]))

inline try()
{
	turn_begin();
	admit();
	if
	:: blockers == 0 ->
		result = GRANTED;
		apply_lock();
		SHARED(if
		       :: me < 3 ->
			       eased = eased || (result == NO_ROOM && line[me]);
			       LEAVE_LINE(me)
		       :: else
		       fi;
		       if
		       :: result == GRANTED ->
			       has[me] = BYTES(from, to);
			       exclusively[me] = (mode == EXCLUSIVE);
			       assert(!CLASHES(0) && !CLASHES(1) && !CLASHES(2))
		       :: else
		       fi)
	:: blockers != 0 && !now ->
		result = BLOCKED;
		SHARED(before[me] = (line[me] -> before[me] :
				     (line[0] != 0) + 2 * (line[1] != 0) +
				     4 * (line[2] != 0));
		       line[me] = TOKEN + mode;
		       line_start[me] = from;
		       line_last[me] = to)
	:: else -> result = BLOCKED
	fi;
	turn_end()
}

#ifdef MUTANT_BURIED_ONCE
#define MORE_THAN_ONCE (now && !again)
#else
#define MORE_THAN_ONCE now
#endif

/* [from, to] in the mode; with `now`, without waiting */
inline lock()
{
	result = BLOCKED;
	do
	:: true ->
		try();
#ifdef MUTANT_ARMED_LATE
		if
		:: result == BLOCKED && !now && !listens -> arm()
		:: else
		fi;
#endif
		if
		:: result == BLOCKED && (MORE_THAN_ONCE || (slept && !again)) ->
			again = 0;
			bury_blockers()
		:: result == NO_ROOM && !again -> make_room()
		:: else -> again = 0
		fi;
		if
		:: again
		:: !again && (result != BLOCKED || now) -> break
		:: !again && result == BLOCKED && !now ->
#if TIMEOUTS > 0
			if
			:: MAY_BE_LATE -> timeouts--; late = 1
			:: true
			fi;
#endif
			if
			:: late -> break
			:: !late && !listens -> arm()
			:: !late && listens -> sleep(); arm()
			fi
		fi
	od;
#if TIMEOUTS > 0
	if
	:: late ->
		SHARED(LEAVE_LINE(me));
		wake()
	:: else
	fi;
#endif
	/* Refused room only if somebody died since it was made. */
	assert(result != NO_ROOM || deaths < dead_then);
	SHARED(armed = armed & ~ME; moved = moved & ~ME; slept = 0;
	       listens = 0; again = 0; blockers = 0; dead_then = 0)
}

#define HAS(i, b) (OWN(i) && start[i] <= (b) && last[i] >= (b))
#define STILL_HAS(b) (!(has[me] & (1 << (b))) || HAS(0, b) || HAS(1, b))

/* What is its own is still its own, when it begins to give it up. */
inline unlock_in_turn()
{
	turn_begin();
	SHARED(assert(STILL_HAS(0) && STILL_HAS(1));
	       has[me] = has[me] & ~BYTES(from, to));
	apply_unlock();
	turn_end()
}

inline unlock()
{
	if
	:: unlock_in_turn()
	:: turn != 0 && has[me] == BYTES(from, to) ->
		/* unlock_unturned() */
		SHARED(has[me] = 0);
		free_ranges(TOKEN);
		SHARED(stale = 1);
		wake()
	fi
}

/* give_up(), and the seat */
inline close()
{
	SHARED(from = 0; to = 1; mode = 0; ok = (has[me] != 0));
	if
	:: !ok
	:: ok -> unlock_in_turn()
	:: ok && turn != 0 ->
		SHARED(has[me] = 0);
		bury_words(TOKEN);
		wake()
	fi;
	SHARED(seat[me] = 0; FORGET; gone[me] = ENDED)
}

proctype process(byte me, range, wanted, then)
{
	LOCALS;

	d_step { from = (range == 2 -> 1 : 0); to = (range == 1 -> 0 : 1);
		 mode = wanted }
	do
	:: true ->
		lock();
		if
		:: result == GRANTED && then == CONVERT ->
			mode = EXCLUSIVE - wanted;
			then = CLOSE
		:: else -> break
		fi
	od;
	if
	:: result == GRANTED && then == CUT -> from = 1
	:: else
	fi;
	if
	:: result == GRANTED && then <= CUT -> unlock()
	:: else
	fi;
	close();
out:
	skip
}

proctype survivor(byte me)
{
	LOCALS;

	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	d_step { now = 1; mode = EXCLUSIVE }
	do
	:: from < 2 ->
		lock();
		assert(result == GRANTED);
		d_step { mode = 0; from++; to++ }
	:: else -> break
	od;
out:
	skip
}

init
{
	atomic {
		run process(0, FIRST);
		run process(1, SECOND);
		run process(2, THIRD);
		run survivor(3)
	}
}
