/* SPDX-License-Identifier: MIT */
/* oracle.h: what the oracle's files share. */
#ifndef CRASH_ORACLE_H
#define CRASH_ORACLE_H

#include "harness.h"

struct letter *ledger_find(struct ledger *ledger, uint64_t id);

/* Does the queue's own order give a before b? */
int letter_before(const struct ledger *ledger, const struct letter *a,
		  const struct letter *b);

/* One who goes on with the queue. */
struct survivor {
	struct stage *stage;
	struct stoa_queue *queue;
	const struct letter *last; /* drained */
	uint32_t drained;
	int unordered; /* others are at it too: their order is not known */
	int patient;   /* the dead are not buried yet, so it may ask again */
};

/* Receives one letter and compares it with the ledger. 1, 0: there is none,
 * -1: trouble. */
int survivor_receive(struct survivor *survivor);
/* Receives all there are. */
int survivor_drain(struct survivor *survivor);
/* Sends letters of that size until there is no room. */
int survivor_fill(struct survivor *survivor, uint32_t bytes,
		  uint32_t *ret_sent);
/* The empty queue takes as much as it did when it was new. */
int survivor_refill(struct survivor *survivor);

#endif
