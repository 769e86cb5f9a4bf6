/* SPDX-License-Identifier: MIT */
/*
 * base/yield.h: leaving the processor to others before falling asleep.
 *
 * When the two sides of a hand-over share a processor, each sleeps and is woken
 * by the other: two system calls, of which one sets up a timer, the other wakes
 * a task. If both are awake, one sched_yield() does the same. As spinning, it
 * changes nothing of a protocol: the waiter looks once more before it sleeps.
 *
 * Nobody knows where the other side runs. So it is tried once in a while, goes on
 * while it succeeds, and is tried more seldom each time that it doesn't.
 *
 * Where somebody else wants the processor, a yield costs the rest of a time
 * slice, some milliseconds, even if it comes back at once: a thousand times what
 * it could save. So one long absence forbids it for thousands of waits, and a
 * success takes back half of that only.
 */
#ifndef STOA_BASE_YIELD_H
#define STOA_BASE_YIELD_H

#include <stdatomic.h>
#include <stdint.h>

#define STOA_YIELD_GAP_MIN 32u /* waits until yielding is tried again */

/* What all threads have learnt. Relaxed, all of it: what another has changed
 * meanwhile is as good, and a count that they lose is still one. */
struct stoa_yielding {
	_Atomic uint32_t budget; /* how often at most in a wait */
	_Atomic uint32_t waits;  /* since, without it */
	_Atomic uint32_t gap;    /* after how many it is tried again */
};

/* One wait's. */
struct stoa_yields {
	uint32_t left, done;
	int was_long; /* somebody kept the processor */
};

void stoa_yielding_begin(struct stoa_yielding *yielding,
                         struct stoa_yields *ret_yields);
/* Only while some are left. */
void stoa_yield(struct stoa_yields *yields);
/* At the wait's end. `in_vain`: it had to sleep all the same. */
void stoa_yielding_learn(struct stoa_yielding *yielding,
                         const struct stoa_yields *yields, int in_vain);

#endif
