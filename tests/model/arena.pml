/* SPDX-License-Identifier: MIT */
/*
 * arena.pml: room for large payloads.
 *
 * Mirrors src/data/queue_arena.c (without cursors); claim_message() of
 * queue_send.c; the waiting of senders. Two blocks of two pieces. A message has a cell of its own for
 * each sender, whose laps go on; claiming and freeing cells is slot.pml's.
 *
 * Three senders want WANTS (how much each): NOTHING, PIECE, RUN of two pieces in one
 * block, BLOCK, or BOTH blocks. Each waits until there is room, fills it,
 * commits, and has it received at once, or with KEPT at the end. After TRIES
 * vain tries it leaves.
 * With LIVING, a message that stays has one piece of block 0. DEATHS of them
 * are killed, at any step; the others bury them, or receive what they had
 * committed. When all have ended, a survivor wants both blocks, then each
 * piece.
 *
 * Asserted:
 *   - nobody else has written to a payload when it's received;
 *   - whenever nothing more can happen, no sender waits for room that is there;
 *   - the survivor gets what it wants.
 */
#define NOTHING 0
#define PIECE 1
#define RUN 2
#define BLOCK 3
#define BOTH 4
#ifndef WANTS
#define WANTS PIECE, RUN, BLOCK
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef LIVING
#define LIVING 0
#endif
#define MORTAL 3
#include "step.h"

#define BLOCKS 2
#define PIECES 2 /* of a block */

/* Words: 0, or USED or SPLIT with cell and lap. */
#define USED 64
#define SPLIT 128
#define IS_SPLIT(w) ((w) >= SPLIT)
#define CELL(w) (((w) % 64) / 8)
#define LAP(w) ((w) % 8)
#define MINE (USED + me * 8 + lap)

byte block[BLOCKS];
byte piece[BLOCKS * PIECES];
byte content[BLOCKS * PIECES]; /* 1 + whose */

/* A cell: twice the lap, and 1 while it has a message, or one is written. */
byte cell[5] = { 2, 2, 2, 2, 3 };
byte place[5], length[5]; /* its payload, once committed; in pieces */

byte wants[4] = { WANTS, BOTH };
bit told[4];    /* since it armed */
byte waiting;   /* a bit for each sender */
bit buried[3];

#define LOCALS                                            \
	byte lap, w, version, i, k, row, first, need, at; \
	byte tries;                                       \
	bit ok, wrapped, got, undone
#define FORGET                                            \
	lap = 0; w = 0; version = 0; i = 0; k = 0;        \
	row = 0; first = 0; need = 0; at = 0;             \
	tries = 0; ok = 0; wrapped = 0; got = 0;          \
	undone = 0

#ifdef MUTANT_LAP_IGNORED
#define GONE_ON(w) (cell[CELL(w)] % 2 == 0)
#else
#ifdef MUTANT_WRITING_IS_FREE
#define GONE_ON(w) (cell[CELL(w)] != 2 * LAP(w) + 1 || length[CELL(w)] == 0)
#else
#define GONE_ON(w) (cell[CELL(w)] != 2 * LAP(w) + 1)
#endif
#endif

/* load(), then is_free(): ok */
inline look(word)
{
	SHARED(w = word; ok = (w == 0));
	if
	:: !ok && !IS_SPLIT(w) -> SHARED(ok = GONE_ON(w))
	:: else
	fi
}

inline claim_word(word)
{
	look(word);
	if
	:: ok -> EXCHANGE(word, w, MINE)
	:: else
	fi
}

inline undo_word(word)
{
	SHARED(if
	       :: word == MINE -> word = 0; undone = 1
	       :: else
	       fi)
}

/* ---- Pieces ---------------------------------------------------------------- */

/* claim_run() of block i: got, at */
inline claim_run()
{
	d_step { k = 0; row = 0; got = 0 }
	do
	:: k < PIECES && !got ->
		claim_word(piece[i * PIECES + k]);
		if
		:: ok ->
			row++;
			got = (row == need);
			at = i * PIECES + k + 1 - row
		:: !ok && row > 0 ->
			row = 0;
			undo_word(piece[i * PIECES + k - 1])
		:: else
		fi;
		k++
	:: else -> break
	od;
	if
	:: !got && row > 0 -> undo_word(piece[i * PIECES + PIECES - 1])
	:: else
	fi
}

/* of block i */
inline claim_pieces()
{
	d_step { ok = 0; got = 0 }
	SHARED(w = block[i]; ok = IS_SPLIT(w));
	if
	:: !ok ->
		look(block[i]);
		if
		:: ok -> EXCHANGE(block[i], w, SPLIT + me * 8 + lap)
		:: else
		fi
	:: else
	fi;
	if
	:: ok ->
		SHARED(version = block[i]);
		if
		:: IS_SPLIT(version) ->
			claim_run();
#ifndef MUTANT_NO_SECOND_LOOK
			if
			:: got ->
				SHARED(got = (block[i] == version));
				if
				:: !got ->
					undo_word(piece[at]);
					if
					:: need == 2 -> undo_word(piece[at + 1])
					:: else
					fi
				:: else
				fi
			:: else
			fi
#endif
		:: else
		fi
	:: else
	fi;
	skip;
	d_step { w = 0; version = 0; k = 0; row = 0; ok = 0 }
}

inline allocate_pieces()
{
	d_step { i = 0; first = 0 }
	do
	:: first <= BLOCKS ->
		claim_pieces();
		if
		:: got -> break
		:: else -> d_step { first++; i = (i + 1) % BLOCKS }
		fi
	:: else -> break
	od;
	skip;
	d_step { i = 0; first = 0 }
}

/* ---- Whole blocks ----------------------------------------------------------- */

/* claim_split_block() of block i, whose word is `version`: ok */
inline claim_split_block()
{
	look(piece[i * PIECES]);
	if
	:: ok -> look(piece[i * PIECES + 1])
	:: else
	fi;
	if
	:: ok ->
#ifndef MUTANT_ONLY_LOOKED
		k = 0;
		do
		:: k < PIECES ->
			claim_word(piece[i * PIECES + k]);
			if
			:: ok -> k++
			:: else -> break
			fi
		:: else -> break
		od;
		if
		:: k == PIECES -> EXCHANGE(block[i], version, MINE)
		:: else -> ok = 0
		fi;
		if
		:: !ok && k > 0 ->
			undo_word(piece[i * PIECES]);
			if
			:: k > 1 -> undo_word(piece[i * PIECES + 1])
			:: else
			fi;
			ok = 0
		:: else
		fi
#else
		EXCHANGE(block[i], version, MINE)
#endif
	:: else
	fi;
	skip;
	d_step { k = 0; w = 0 }
}

/* claim_block() of block i: ok */
inline claim_block()
{
	SHARED(version = block[i]; w = version; ok = (w == 0));
	if
	:: IS_SPLIT(version) -> claim_split_block()
	:: else ->
		if
		:: !ok -> SHARED(ok = GONE_ON(w))
		:: else
		fi;
		if
		:: ok -> EXCHANGE(block[i], w, MINE)
		:: else
		fi
	fi;
	skip;
	d_step { version = 0; w = 0 }
}

/* allocate_blocks() of `need` blocks: got, at */
inline allocate_blocks()
{
	d_step { first = 0; wrapped = 0; got = 0 }
	do
	:: wrapped && first > 0 -> break
	:: else ->
		if
		:: first + need > BLOCKS && wrapped -> break
		:: first + need > BLOCKS && !wrapped ->
			d_step { wrapped = 1; first = 0 }
		:: else ->
			i = first;
			claim_block();
			if
			:: ok && need == 2 ->
				i = 1;
				claim_block();
				if
				:: !ok ->
					/* undo_blocks() */
					undo_word(piece[0]);
					undo_word(piece[1]);
					undo_word(block[0]);
					ok = 0
				:: else
				fi
			:: else
			fi;
			if
			:: ok ->
				d_step { got = 1; at = first * PIECES }
				break
			:: else -> first = i + 1
			fi
		fi
	od;
	skip;
	d_step { i = 0; first = 0; wrapped = 0; ok = 0 }
}

/* ---- Sending ----------------------------------------------------------------- */

/* queue_arena_has_room(), in some order: got. It may be old. */
inline has_room()
{
	d_step { i = 0; row = 0; got = 0 }
	do
	:: i < BLOCKS && !got ->
		if
		:: wants[me] <= BLOCK -> row = 0
		:: else
		fi;
		SHARED(w = block[i]; ok = (w == 0));
		if
		:: IS_SPLIT(w) ->
			look(piece[i * PIECES]);
			if
			:: wants[me] == PIECE && ok
			:: wants[me] == PIECE && !ok ->
				look(piece[i * PIECES + 1])
			:: wants[me] != PIECE && ok ->
				look(piece[i * PIECES + 1])
			:: else
			fi
		:: !IS_SPLIT(w) && !ok -> SHARED(ok = GONE_ON(w))
		:: else
		fi;
		row = (ok -> row + 1 : 0);
		got = (row == (wants[me] == BOTH -> 2 : 1));
		i++
	:: else -> break
	od;
	skip;
	d_step { i = 0; w = 0; row = 0; ok = 0 }
}

inline tell()
{
	SHARED(told[0] = 1; told[1] = 1; told[2] = 1)
}

/* got */
inline allocate()
{
	if
	:: wants[me] <= RUN ->
		need = wants[me];
		allocate_pieces()
	:: else ->
		need = wants[me] - RUN;
		allocate_blocks()
	fi;
	need = 0
}

/* claim_message(): got */
inline claim_message()
{
	has_room();
	if
	:: got ->
		SHARED(cell[me]++; lap = cell[me] / 2);
		undone = 0;
		allocate();
		if
		:: !got -> SHARED(cell[me]++); tell()
#ifndef MUTANT_UNDONE_UNTOLD
		:: got && undone -> tell()
#endif
		:: else
		fi
	:: else
	fi;
	undone = 0
}

#define LENGTH(want) \
	((want) == PIECE -> 1 : ((want) == BOTH -> 4 : 2))

inline write()
{
	d_step { k = 0; row = LENGTH(wants[me]) }
	do
	:: k < row -> SHARED(content[at + k] = me + 1); k++
	:: else -> break
	od;
	SHARED(place[me] = at; length[me] = row);
	skip;
	d_step { k = 0; row = 0; at = 0 }
}

#define WHOLE(c)                                                              \
	((length[c] < 1 || content[place[c]] == c + 1) &&                      \
	 (length[c] < 2 || content[place[c] + 1] == c + 1) &&                  \
	 (length[c] < 4 || (content[2] == c + 1 && content[3] == c + 1)))

/* What is committed is received; else the cell is given up. */
inline let_go(c)
{
	SHARED(if
	       :: cell[c] % 2 == 1 ->
		       assert(WHOLE(c));
		       length[c] = 0;
		       place[c] = 0;
		       cell[c]++
	       :: else
	       fi)
}

inline bury(dead)
{
	SHARED(buried[dead] = 1);
	let_go(dead);
	tell()
}

#define TO_BURY(dead) (gone[dead] == KILLED && !buried[dead])

proctype sender(byte me)
{
	LOCALS;

	do
	:: TO_BURY(0) -> bury(0)
	:: TO_BURY(1) -> bury(1)
	:: TO_BURY(2) -> bury(2)
	:: wants[me] != NOTHING && tries < TRIES ->
		SHARED(told[me] = 0);
		claim_message();
		if
		:: got ->
			got = 0;
			write();
#ifndef KEPT
			let_go(me);
			tell();
#endif
			break
		:: else ->
			tries++;
			SHARED(waiting = waiting | (1 << me));
endless:
			if
			:: told[me]
			:: TO_BURY(0) || TO_BURY(1) || TO_BURY(2)
			fi;
			SHARED(waiting = waiting & ~(1 << me))
		fi
	:: else -> break
	od;
	SHARED(gone[me] = ENDED);
out:
	skip;
	d_step { FORGET; told[me] = 0 }
}

#define FREE_WORD(w) ((w) == 0 || (!IS_SPLIT(w) && GONE_ON(w)))
#define FREE_PIECE(b, k)                                                      \
	(IS_SPLIT(block[b]) && FREE_WORD(piece[(b) * PIECES + (k)]))
#define FREE_BLOCK(b)                                                         \
	(FREE_WORD(block[b]) || (FREE_PIECE(b, 0) && FREE_PIECE(b, 1)))
#define ROOM(want)                                                            \
	((want) == BOTH -> (FREE_BLOCK(0) && FREE_BLOCK(1)) :                  \
	 ((want) == PIECE -> (FREE_BLOCK(0) || FREE_BLOCK(1) ||                \
			      FREE_PIECE(0, 0) || FREE_PIECE(0, 1) ||          \
			      FREE_PIECE(1, 0) || FREE_PIECE(1, 1)) :          \
	  (FREE_BLOCK(0) || FREE_BLOCK(1))))
#define STUCK(i) ((waiting & (1 << (i))) && !told[i] && ROOM(wants[i]))

proctype judge()
{
	timeout;
	assert(!STUCK(0) && !STUCK(1) && !STUCK(2))
}

proctype survivor(byte me)
{
	LOCALS;

end_wait:
	gone[0] != 0 && gone[1] != 0 && gone[2] != 0;
	if :: TO_BURY(0) -> bury(0) :: else fi;
	if :: TO_BURY(1) -> bury(1) :: else fi;
	if :: TO_BURY(2) -> bury(2) :: else fi;
	cell[4] = 4; /* the living message is received */
	let_go(0);
	let_go(1);
	let_go(2);
	claim_message();
	assert(got);
	got = 0;
	write();
	let_go(me);
	wants[me] = PIECE;
	has_room();
	assert(got);
	SHARED(cell[me]++; lap = cell[me] / 2);
	tries = 0;
	do
	:: tries < BLOCKS * PIECES ->
		allocate();
		assert(got && content[at] != 9);
		content[at] = 9;
		tries++
	:: else -> break
	od;
out:
	skip
}

init
{
	atomic {
		if
		:: LIVING ->
			block[0] = SPLIT + 4 * 8 + 1;
			piece[1] = USED + 4 * 8 + 1
		:: else
		fi;
		run sender(0);
		run sender(1);
		run sender(2);
		run survivor(3);
		run judge()
	}
}
