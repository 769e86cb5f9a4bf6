/* SPDX-License-Identifier: MIT */
/*
 * heap.pml: roots, references of processes, and mending what a death left of
 * them: see heap_layout.h.
 *
 * Mirrors src/memory/heap_root.c: set_root(), stoa_heap_root_get(),
 * stoa_heap_release(), heap_mend(), heap_bury_references(), heap_lose(), and
 * the turn of heap_run.c. Two blocks, one root, one reference for each process.
 * Not here: kept counts (one exchange), several retains of one block, the
 * chain, and how blocks are found (pool.pml).
 *
 * Each process does what PLAN says: sets the root to a block that it holds,
 * takes the root away, or retains what is under it and gives it back. It may
 * be killed anywhere.
 *
 * Asserted: what a process retains is not free, nor what is under the root; in
 * the end, after the dead are buried, a block is free or under the root.
 */
#define MORTAL 3
#define BLOCKS 2
#define SET 1
#define GONE 2
#define USE 3
#ifndef PLAN
#define PLAN SET, USE, SET
#endif
#define LOCALS byte i, j, w, block, before; bit ok, named
#define FORGET i = 0; j = 0; w = 0; block = 0; before = 0; ok = 0; named = 0
#include "step.h"

#define ME (me + 1)
#define DEAD(who) (gone[(who) - 1] == KILLED)
#define PUBLISHED 8
#define ROOTED 1
#define SHARED_FLAG 2
#define HAS(word, flag) (((word) / (flag)) % 2 == 1)

byte word[BLOCKS]; /* 0: free; 1 + who; PUBLISHED + flags */
byte root;         /* 1 + block */
byte reference[3]; /* of each process: 1 + block */
byte turn;         /* 1 + who */
bit dirty;
byte plan[3] = { PLAN };

#define IS_NAMED(block) \
	(reference[0] == (block) + 1 || reference[1] == (block) + 1 || \
	 reference[2] == (block) + 1)

/* heap_lose(): `flag` is not borne out any more */
inline lose(b, flag)
{
	do
	:: true ->
		SHARED(w = word[b]);
		if
		:: w < PUBLISHED || !HAS(w, flag) -> break
		:: else ->
			EXCHANGE(word[b], w,
			         (w - flag == PUBLISHED -> 0 : w - flag));
			if
			:: ok -> break
			:: else
			fi
		fi
	od
}

/* Each reference is looked at in turn, but with the turn: they don't change. */
inline lose_shared(b)
{
	SHARED(named = IS_NAMED(b));
	if
	:: !named -> lose(b, SHARED_FLAG)
	:: else
	fi
}

inline mend()
{
	i = 0;
	do
	:: i < BLOCKS ->
		SHARED(w = word[i]; ok = (w >= PUBLISHED && HAS(w, ROOTED) &&
		                          root != i + 1));
		if
		:: ok -> lose(i, ROOTED)
		:: else
		fi;
		SHARED(w = word[i];
		       ok = (w >= PUBLISHED && HAS(w, SHARED_FLAG)));
		if
#ifdef MUTANT_LIVING_FORGOTTEN
		:: ok -> lose(i, SHARED_FLAG)
#else
		:: ok -> lose_shared(i)
#endif
		:: else
		fi;
		i++
	:: else -> break
	od;
	SHARED(dirty = 0)
}

inline begin()
{
	do
	:: atomic { turn == 0 || DEAD(turn) -> w = turn };
		EXCHANGE(turn, w, ME);
		if
		:: ok -> break
		:: else
		fi
	od;
#ifndef MUTANT_NOT_MENDED
	SHARED(ok = dirty);
	if
	:: ok -> mend()
	:: else
	fi;
#endif
	SHARED(dirty = 1)
}

inline end()
{
	SHARED(dirty = 0);
	SHARED(turn = 0)
}

inline bury()
{
	j = 0;
	do
	:: j < 3 ->
		SHARED(ok = (reference[j] != 0 && DEAD(j + 1));
		       block = reference[j]);
		if
		:: ok ->
			SHARED(reference[j] = 0);
			block--;
			lose_shared(block)
		:: else
		fi;
		j++
	:: else -> break
	od;
	j = 0;
	do
	:: j < BLOCKS ->
		SHARED(w = word[j];
		       ok = (w != 0 && w < PUBLISHED && DEAD(w)));
		if
		:: ok -> EXCHANGE(word[j], w, 0)
		:: else
		fi;
		j++
	:: else -> break
	od
}

/* ok: block is held. There may be none. */
inline allocate()
{
	block = 0;
	EXCHANGE(word[0], 0, ME);
	if
	:: !ok -> block = 1; EXCHANGE(word[1], 0, ME)
	:: else
	fi
}

inline set_root()
{
	SHARED(before = root);
#ifdef MUTANT_ROOT_FIRST
	SHARED(root = block + 1);
	EXCHANGE(word[block], ME, PUBLISHED + ROOTED);
#else
	EXCHANGE(word[block], ME, PUBLISHED + ROOTED);
	assert(ok);
	SHARED(root = block + 1);
#endif
	if
	:: before != 0 -> before--; lose(before, ROOTED)
	:: else
	fi
}

inline unroot()
{
	SHARED(before = root);
	if
	:: before != 0 ->
		SHARED(root = 0);
		before--;
		lose(before, ROOTED)
	:: else
	fi
}

/* ok: it is retained */
inline retain()
{
	SHARED(block = root);
	ok = 0;
	if
	:: block != 0 ->
		block--;
		do
		:: true ->
			SHARED(w = word[block]; assert(w >= PUBLISHED));
			if
			:: HAS(w, SHARED_FLAG) -> ok = 1
			:: else -> EXCHANGE(word[block], w, w + SHARED_FLAG)
			fi;
			if
			:: ok -> break
			:: else
			fi
		od;
		SHARED(reference[me] = block + 1);
		ok = 1
	:: else
	fi
}

inline use()
{
	begin();
	retain();
	before = (ok -> block + 1 : 0);
	end();
	if
	:: before != 0 ->
		block = before - 1;
		SHARED(assert(word[block] >= PUBLISHED));
		begin();
		SHARED(assert(word[block] >= PUBLISHED);
		       reference[me] = 0);
		lose_shared(block);
		end()
	:: else
	fi
}

inline set()
{
	allocate();
	if
	:: !ok ->
		begin();
		bury();
		end();
		allocate()
	:: else
	fi;
	if
	:: ok ->
		begin();
		set_root();
		end()
	:: else
	fi
}

proctype process(byte me)
{
	LOCALS;

	if
	:: plan[me] == SET -> set()
	:: plan[me] == GONE -> begin(); unroot(); end()
	:: plan[me] == USE -> use()
	fi;
	gone[me] = ENDED;
out:
	skip
}

/* The survivor. */
proctype last(byte me)
{
	LOCALS;

	(gone[0] != 0 && gone[1] != 0 && gone[2] != 0);
	begin();
	bury();
	end();
	assert(word[0] == 0 || (word[0] == PUBLISHED + ROOTED && root == 1));
	assert(word[1] == 0 || (word[1] == PUBLISHED + ROOTED && root == 2));
	assert(root == 0 || word[root - 1] == PUBLISHED + ROOTED);
out:
	skip
}

init
{
	atomic {
		run process(0);
		run process(1);
		run process(2);
		run last(3)
	}
}
