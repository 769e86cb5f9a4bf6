/* SPDX-License-Identifier: MIT */
/*
 * stream_resize.pml: the bytes of a stream, while its capacity changes and
 * anybody may die.
 *
 * Mirrors TRUTH, LOCKS and ENDS of src/data/stream_layout.h: put_pieces(),
 * get_pieces(), stream_remap() at the beginning of a turn, switch_area(),
 * try_switch() and resize() of src/data/stream_map.c, check_readers(),
 * stream_ask_gone(). Each side's lock is one step, and taken over from the dead
 * (lock.pml). Not here: favour (stream_favour.pml), and who is woken
 * (stream.pml): whoever waits looks again when anything has changed or anybody
 * died.
 *
 * Process 0 writes WRITES bytes and leaves. Process 1 reads until the end of
 * file. Process 2 has an end of readers, too: it makes the capacity of FROM
 * bytes one of TO, and if it goes on (READS) reads until the end of file; if
 * what is there doesn't fit it may give up. DEATHS of the three are killed, at
 * any step; the kernel then drops their ends.
 *
 * Asserted: whoever reads a position finds the byte that was written there;
 * never more bytes are in it than the capacity; who is told the end of file
 * knows that all was read that was committed; and everybody comes to an end: the
 * readers by the end of file, the writer at the latest by -EPIPE.
 */
#define MORTAL 3
#ifndef WRITES
#define WRITES 3
#endif
#ifndef FROM
#define FROM 1
#define TO 2
#endif
#ifndef READS
#define READS 1
#endif
#define MOST 2
#include "step.h"

#define TOKEN (me + 1)
#define ME (1 << me)
#define NEWS news = news | (7 & ~ME)
#define DEAD(token) (gone[(token) - 1] == KILLED)

/* geometry: version, and capacity; the byte of a position is 1 + position */
#define SHAPE(version, capacity) (4 * (version) + (capacity))
#define CAPACITY(g) ((g) % 4)
#define AREA(g, position) \
	area[(((g) / 4) % 2) * MOST + (position) % CAPACITY(g)]

byte geometry = SHAPE(0, FROM);
byte area[2 * MOST];
byte head, tail;
byte turn[2];         /* readers', writers' */
byte ends[2] = 6;     /* a bit for each process: the kernel's */
byte news;

#define LOCALS byte g, h, t, n, made; bit ok, end
#define FORGET                                                   \
	g = 0; h = 0; t = 0; n = 0; made = 0; ok = 0; end = 0;   \
	ends[0] = ends[0] & ~ME; ends[1] = ends[1] & ~ME; NEWS

#define READERS 0
#define WRITERS 1

/* Its map is of the stream's geometry from here on. */
inline take(side)
{
	SHARED((turn[side] == 0 || DEAD(turn[side])); turn[side] = TOKEN);
#ifdef MUTANT_MAP_KEPT
	SHARED(g = (g == 0 -> geometry : g))
#else
	SHARED(g = geometry)
#endif
}

inline leave(side)
{
	SHARED(turn[side] = 0; NEWS)
}

inline await_news()
{
	news & ME;
	ok = 0
}

/* ---- Writing ------------------------------------------------------------------- */

inline write()
{
	take(WRITERS);
	SHARED(h = head; t = tail);
	if
	:: t - h < CAPACITY(g) ->
		SHARED(AREA(g, t) = t + 1);
		SHARED(tail = t + 1;
		       assert(tail - head <= CAPACITY(geometry)));
		made++;
		leave(WRITERS)
	:: else ->
		leave(WRITERS);
		await_news()
	fi
}

proctype writer(byte me)
{
	LOCALS;

	do
	:: made < WRITES ->
		SHARED(news = news & ~ME);
#ifdef MUTANT_READERS_BELIEVED
		ok = 0;
#else
		SHARED(ok = (ends[READERS] == 0));
#endif
		if
		:: ok -> break /* -EPIPE */
		:: else -> write()
		fi
	:: else -> break
	od;
	SHARED(FORGET; gone[me] = ENDED);
out:
	skip
}

/* ---- Resizing ------------------------------------------------------------------- */

inline punch(g)
{
	area[((g) / 4 % 2) * MOST] = 0;
	area[((g) / 4 % 2) * MOST + 1] = 0
}

#define GROWN SHAPE(g / 4 + 1, TO)

/* ok: it is, or doesn't fit and is given up */
inline switch_area()
{
	SHARED(h = head; t = tail);
	if
	:: t - h > TO -> skip
	:: else ->
		SHARED(punch(GROWN));
#ifdef MUTANT_COMMITTED_FIRST
		SHARED(geometry = GROWN);
#endif
		n = h;
		do
		:: n < t ->
			SHARED(AREA(GROWN, n) = AREA(g, n));
			n++
		:: else -> break
		od;
#ifndef MUTANT_COMMITTED_FIRST
		SHARED(geometry = GROWN);
#endif
		SHARED(punch(g));
		ok = 1
	fi;
	n = 0
}

inline resize()
{
	ok = 0;
	do
	:: !ok ->
		take(WRITERS);
		/* until what is in it fits, or for a slice */
		do
		:: !ok ->
			SHARED(news = news & ~ME);
#ifdef MUTANT_READERS_KEPT
			switch_area();
#else
			take(READERS);
			switch_area();
			leave(READERS);
#endif
			if
			:: ok -> break
			:: !ok && (news & ME) -> skip
			:: !ok -> break
			fi
		od;
		leave(WRITERS);
		if
		:: ok -> break
		:: !ok
		:: !ok -> break /* late */
		fi
	od
}

/* ---- Reading --------------------------------------------------------------------- */

inline read()
{
	take(READERS);
	SHARED(t = tail; h = head);
	if
	:: t > h ->
		SHARED(assert(AREA(g, h) == h + 1));
		SHARED(head = h + 1);
		leave(READERS)
	:: else ->
		SHARED(ok = (ends[WRITERS] == 0));
		if
		:: ok ->
			SHARED(t = tail);
			end = (t == h)
		:: else
		fi;
		leave(READERS);
		if
		:: !ok -> await_news()
		:: else -> ok = 0
		fi
	fi
}

proctype reader(byte me)
{
	LOCALS;

	if
	:: me == 2 -> resize()
	:: else
	fi;
	end = (me == 2 && !READS);
	do
	:: !end ->
		SHARED(news = news & ~ME);
		read()
	:: else -> break
	od;
	assert(me == 2 && !READS || head == tail && ends[WRITERS] == 0);
	SHARED(FORGET; gone[me] = ENDED);
out:
	skip
}

init
{
	atomic {
		ends[WRITERS] = 1;
		run writer(0);
		run reader(1);
		run reader(2)
	}
}
