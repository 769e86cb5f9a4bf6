/* SPDX-License-Identifier: MIT */
/*
 * bell.pml: poll descriptors: who is asleep in epoll is rung.
 *
 * Mirrors stoa_bell_rearm() and stoa_bell_ring() of src/space/bell.c, the part
 * of stoa_event_raise() of event.c that rings, commit_word() of
 * src/data/queue_send.c, queue_idle() of queue_internal.h. The FIFO has bytes
 * or has none; each message has a cell of its own.
 *
 * SENDERS send SENDS messages each, POLLERS (processes that share a queue)
 * wait on their descriptors, receive what they find, and after VAINS calls
 * that found nothing stay away. DEATHS of all these are killed, at any step.
 * Whoever polls buries by the way. A poller's timer ends only if nothing else
 * can happen, and once for each poller that died; the descriptor then stays
 * readable until the next call that finds nothing.
 *
 * Asserted, whenever nothing more can happen: if there is a message, nobody is
 * asleep in epoll whose timer won't end. So a sender's death costs a poller
 * nothing, and a poller's death (it may have taken out the byte) a slice.
 */
#define MORTAL 3
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef SENDS
#define SENDS 1
#endif
#ifndef VAINS
#define VAINS 3
#endif
#define POLLERS (3 - SENDERS)
#include "step.h"

#define MESSAGES (SENDERS * SENDS)

#define FREE 0
#define WRITING 1
#define READY 2

byte cell[MESSAGES];
byte event; /* a count above BELL */
#define BELL 1
#define ONE 2
bit fifo; /* has a byte */

byte asleep; /* a bit for each process */
byte slices[3];
byte dead_pollers;

#define BIT(i) (1 << (i))
#define STUCK(i) ((asleep & BIT(i)) && slices[i] >= dead_pollers)

#define LOCALS                                          \
	byte e, c, left, vains;                         \
	bit ok, found, ended
#define FORGET                                          \
	e = 0; c = 0; left = 0; vains = 0; ok = 0;      \
	found = 0; ended = 0;                           \
	dead_pollers = dead_pollers + (me >= SENDERS)

inline ring()
{
	SHARED(fifo = 1)
}

inline send()
{
	c = me * SENDS + left;
	SHARED(cell[c] = WRITING);
#ifndef MUTANT_RUNG_AFTER_ALONE
	SHARED(e = event);
	if
	:: e & BELL -> ring()
	:: else
	fi;
#endif
	SHARED(cell[c] = READY);
	SHARED(e = event); /* stoa_event_asked() */
	if
	:: e & BELL ->
		SHARED(e = event);
		if
		:: e & BELL ->
#ifdef MUTANT_TAKEN_FIRST
			EXCHANGE(event, e, e - BELL);
			if
			:: ok -> ring()
			:: else
			fi
#else
			ring();
#ifdef MUTANT_ANY_BIT_TAKEN
			SHARED(event = event - (event & BELL))
#else
			EXCHANGE(event, e, e - BELL)
#endif
#endif
		:: else
		fi
	:: else
	fi;
	skip;
	d_step { e = 0; c = 0; ok = 0 }
}

proctype sender(byte me)
{
	LOCALS;

	left = SENDS;
	do
	:: left > 0 -> left--; send()
	:: else -> break
	od;
out:
	skip;
	d_step { gone[me] = (gone[me] == KILLED -> KILLED : ENDED) }
}

/* found = 1: there is a message, or (kind->ready()) soon will be */
inline ready()
{
	d_step { c = 0; found = 0 }
	do
	:: c < MESSAGES && !found ->
#ifdef MUTANT_SOON_IGNORED
		SHARED(found = (cell[c] == READY); c++)
#else
		SHARED(found = (cell[c] != FREE); c++)
#endif
	:: else -> break
	od
}

inline rearm()
{
#ifdef MUTANT_DRAINED_LAST
	SHARED(event = (event | BELL) + ONE);
	SHARED(fifo = 0);
	ready();
#else
#ifdef MUTANT_LOOKED_FIRST
	SHARED(fifo = 0);
	ready();
	SHARED(event = (event | BELL) + ONE);
#else
	SHARED(fifo = 0);
#ifdef MUTANT_NOT_COUNTED
	SHARED(event = (event | BELL));
#else
	SHARED(event = (event | BELL) + ONE);
#endif
	ready();
#endif
#endif
	if
	:: found -> ring()
	:: else
	fi;
	skip;
	d_step { c = 0; found = 0 }
}

/* A call with STOA_NOW. found = 1: it has a message. */
inline receive()
{
	d_step { c = 0; found = 0 }
	do
	:: c < MESSAGES && !found ->
		SHARED(ok = (cell[c] == READY));
		if
		:: ok ->
			EXCHANGE(cell[c], READY, FREE);
			found = ok
		:: else ->
			if
			:: gone[c / SENDS] == KILLED ->
				EXCHANGE(cell[c], WRITING, FREE)
			:: else
			fi
		fi;
		c++
	:: else -> break
	od;
	skip;
	d_step { c = 0; ok = 0 }
}

proctype poller(byte me)
{
	LOCALS;

	rearm();
	do
	:: vains < VAINS ->
		SHARED(asleep = (fifo || ended -> asleep : asleep | BIT(me)));
endless:
		if
		:: fifo || ended
		:: timeout && slices[me] < dead_pollers ->
			slices[me]++;
			ended = 1
		fi;
		SHARED(asleep = asleep & ~BIT(me));
		receive();
		if
		:: found -> found = 0
		:: else -> vains++; ended = 0; rearm()
		fi
	:: else -> break
	od;
out:
	asleep = asleep & ~BIT(me)
}

proctype judge()
{
	byte c;

	timeout;
	do
	:: c < MESSAGES ->
		assert(cell[c] != READY ||
		       (!STUCK(0) && !STUCK(1) && !STUCK(2)));
		c++
	:: else -> break
	od
}

init
{
	atomic {
		run sender(0);
		if
		:: SENDERS == 2 -> run sender(1)
		:: else -> run poller(1)
		fi;
		run poller(2);
		run judge()
	}
}
