/* SPDX-License-Identifier: MIT */
/* stoa's queue as the benchmark's files open it. */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include "drive.h"

#include <stoa/stoa.h>

#define QUEUE_PING_PRIORITY 2u /* what lies in the queue has less */
#define QUEUE_PING_TYPE 1      /* and another type */
#define QUEUE_STANDING_TYPE 2

/* Makes the queue of the channel's name, with the spec's geometry and what is
 * to lie in it. The process keeps a handle. */
int queue_open(struct channel *channel);
/* Opens it as one side, in this process's own handle on the space. */
int queue_attach(struct channel *channel, enum side side);
void queue_close(struct channel *channel);

static inline struct stoa_deadline queue_deadline(const struct channel *channel)
{
	return channel->spec->sleeping ? STOA_FOREVER : STOA_NOW;
}

/* A failure, with stoa's own sentence. */
int queue_fail(struct bench_part *part, int error);

#endif
