/* SPDX-License-Identifier: MIT */
/*
 * space/waits.h: what each sleeping thread of the space waits for, and circles
 * among those waits. A kind takes part by a note: it sets waiter.note to one
 * of its own, zeroed, before the wait, and brings `blocker` up to date in each
 * try that fails. See waits_layout.h.
 */
#ifndef STOA_SPACE_WAITS_H
#define STOA_SPACE_WAITS_H

#include <space/space.h>
#include <space/waits_layout.h>

struct stoa_waiter;

#define STOA_NOTE_IN_LINE (UINT64_C(1) << 63) /* before it in line only */

struct stoa_wait_note {
	/* WAITS_DETECTS: the wait ends with -EDEADLK when it closes a circle.
	 * WAITS_RANGE: start and last mean something. */
	uint32_t flags;
	uint32_t mode;
	uint64_t start, last;
	uint32_t blockers; /* in `blocker` */
	uint64_t blocker[WAITS_BLOCKERS]; /* agents in the way */
	/* Set by the wait: the circle would be cut by going past those that
	 * are but before it in line. */
	int pass;

	/* waits.c's own. */
	int listed;
	uint32_t passes; /* how often `pass` was set */
	uint32_t place; /* among the peer's records */
	stoa_peer peer; /* as which it is listed */
	int64_t asked_ns, told_ns, since_ns;
	uint32_t told_blockers;
	uint64_t told_blocker[WAITS_BLOCKERS];
};

/* The wait is about to sleep, not for the first time: shows it, and looks for
 * a circle. 0; 1: the note's `pass` was set, try again; -EDEADLK. */
int stoa_waits_tell(struct stoa_waiter *waiter);

/* The wait has ended. */
void stoa_waits_clear(struct stoa_waiter *waiter);

#endif
