/* SPDX-License-Identifier: MIT */
/*
 * returned.pml: the hint that a message came back.
 *
 * Mirrors queue_ask_scan(), queue_scan_done(), oldest_returned(),
 * queue_find_returned(), queue_finish_return() and bury_taken() of
 * src/data/queue_ring.c; stoa_queue_return() and consume_take() of
 * queue_receive.c. A step is one access to shared memory.
 *
 * Two cells with one message each, both TAKEN by the returner at first, who
 * gives each back, and may be killed at any step. Two receivers look for what
 * came back as often as they like; each consumes what it finds, or takes it
 * and gives it back once more. They bury the returner if it is dead.
 *
 * Asserted: whenever the returner is done and no receiver is at work, a message
 * that is RETURNED has the hint raised: nobody has to look at all cells without
 * being asked to, and none is forgotten.
 */
#ifndef LOOKS
#define LOOKS 3 /* by each receiver */
#endif

#define FREE 0
#define TAKEN 1     /* + token */
#define RETURNING 4 /* + token */
#define RETURNED 8  /* + deliveries */
#define TOKEN_OF_RETURNER 0

byte word[2] = TAKEN + TOKEN_OF_RETURNER;
byte deliveries[2];
byte hint = 1; /* odd: a scan is asked for; above it, a count */
bit done, killed;
byte working;

#ifdef MUTANT_COUNT_GOES_BACK
/* as it was: counts up, and back to 0 */
#define RAISED(h) ((h) + 1)
#define CLEARED(h) 0
#define ASKED(h) ((h) != 0)
#else
#define RAISED(h) (((h) + 2) | 1)
#define CLEARED(h) ((h) - ((h) & 1))
#define ASKED(h) ((h) & 1)
#endif

inline exchange(cell, expected, desired)
{
	d_step {
		ok = (word[cell] == expected);
		if
		:: ok -> word[cell] = desired
		:: else
		fi
	}
}

inline finish_return(cell, expected)
{
	count = deliveries[cell] + 1;
#ifdef MUTANT_HINT_AFTER
	exchange(cell, expected, RETURNED + count);
	hint = RAISED(hint);
#else
	hint = RAISED(hint);
	exchange(cell, expected, RETURNED + count);
#endif
	count = 0
}

/* The oldest; cell 0 is older. w = its word, found = its cell or 2 */
inline scan()
{
	found = 2;
	cell = 0;
	do
	:: cell < 2 ->
		w = word[cell];
		if
		:: w >= RETURNING && w < RETURNED ->
#ifndef MUTANT_RETURNING_PASSED
			finish_return(cell, w);
			w = word[cell]
#endif
		:: else
		fi;
		if
		:: w >= RETURNED && found == 2 -> found = cell; word_found = w
		:: else
		fi;
		cell++
	:: else -> break
	od;
	cell = 0
}

proctype returner()
{
	byte cell, count;
	bit ok;

	do
	:: cell < 2 && !killed ->
		exchange(cell, TAKEN + TOKEN_OF_RETURNER,
			 RETURNING + TOKEN_OF_RETURNER);
		if
		:: killed -> break
		:: !killed
		fi;
		finish_return(cell, RETURNING + TOKEN_OF_RETURNER);
		cell++
	:: cell == 2 || killed -> break
	od;
	done = 1
}

/* The returner is killed at any step: where it stands it never goes on. */
proctype returner_that_dies()
{
	byte cell, count;
	bit ok;

	{
		do
		:: cell < 2 ->
			exchange(cell, TAKEN + TOKEN_OF_RETURNER,
				 RETURNING + TOKEN_OF_RETURNER);
			finish_return(cell, RETURNING + TOKEN_OF_RETURNER);
			cell++
		:: else -> break
		od
	} unless { killed };
	done = 1
}

inline bury()
{
	cell = 0;
	do
	:: cell < 2 ->
		w = word[cell];
		if
		:: w == TAKEN + TOKEN_OF_RETURNER ->
			exchange(cell, w, RETURNING + TOKEN_OF_RETURNER);
			if
			:: ok ->
				finish_return(cell, RETURNING + TOKEN_OF_RETURNER)
			:: else
			fi
		:: w == RETURNING + TOKEN_OF_RETURNER -> finish_return(cell, w)
		:: else
		fi;
		cell++
	:: else -> break
	od;
	cell = 0
}

proctype receiver(byte token)
{
	byte cell, count, found, w, word_found, seen, looks;
	bit ok, again;

	do
	:: looks < LOOKS ->
		atomic { looks++; working++ }
		if
		:: killed -> bury()
		:: true
		fi;
		if
		:: ASKED(hint) ->
			seen = hint;
			scan();
			if
			:: found == 2 ->
				d_step {
					if
					:: hint == seen -> hint = CLEARED(seen)
					:: else
					fi
				}
			:: found < 2 && !again ->
				exchange(found, word_found, TAKEN + token);
				if
				:: ok ->
					again = 1;
					cell = found;
					deliveries[cell] = word_found - RETURNED;
					exchange(cell, TAKEN + token,
						 RETURNING + token);
					finish_return(cell, RETURNING + token);
					cell = 0
				:: else
				fi
			:: found < 2 -> exchange(found, word_found, FREE)
			fi
		:: else
		fi;
		d_step {
			found = 0; w = 0; word_found = 0; seen = 0; ok = 0;
			working--
		}
	:: else -> break
	od
}

proctype judge()
{
	byte cell, count, w;
	bit ok;

	do
	:: atomic { done && !killed && working == 0 ->
		assert(!(word[0] >= RETURNED || word[1] >= RETURNED) ||
		       ASKED(hint)) } break
	:: atomic { killed && working == 0 -> working = 9 }
		bury();
		assert(!(word[0] >= RETURNED || word[1] >= RETURNED) ||
		       ASKED(hint));
		break
	od
}

init
{
	atomic {
#ifdef DEATHS
		run returner_that_dies();
#else
		run returner();
#endif
		run receiver(1);
		run receiver(2);
		run judge();
	}
#ifdef DEATHS
	if
	:: atomic { !done -> killed = 1 }
	:: done
	fi
#endif
}
