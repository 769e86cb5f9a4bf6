/* SPDX-License-Identifier: MIT */
/* dropin/mq_poll.c: waiting for queues by poll() and select(). */
#include "mq_poll.h"

#include "fault.h"

#include <stoa/wait.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define NS 1000000000

/* One call: what the program gave, and what the kernel gets for it. */
struct polling {
	struct pollfd *asked;
	nfds_t count;
	struct mq **mqs;       /* of each, or NULL */
	struct pollfd *native; /* those that mean none, then two for each mq */
	nfds_t native_count;
	int64_t until; /* CLOCK_MONOTONIC; -1: for ever */
};

unsigned mq_ready(struct mq *mq, unsigned events)
{
	struct stoa_wait wait = { .object = stoa_queue_object(mq->queue) };
	unsigned ready = 0;

	if (events & MQ_READS) {
		wait.kind = STOA_READABLE;
		if (stoa_wait_any(&wait, 1, STOA_NOW) != -EAGAIN)
			ready |= MQ_READS;
	}
	if (events & MQ_WRITES) {
		wait.kind = STOA_WRITABLE;
		if (stoa_wait_any(&wait, 1, STOA_NOW) != -EAGAIN)
			ready |= MQ_WRITES;
	}
	return ready & events;
}

int mq_among(const struct pollfd *polled, nfds_t count)
{
	if (!atomic_load_explicit(&mq_any, memory_order_relaxed))
		return 0;
	for (nfds_t i = 0; i < count; i++)
		if (mq_is(polled[i].fd))
			return 1;
	return 0;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

/* ---- A call's memory ------------------------------------------------------------- */

static void end(void *context)
{
	struct polling *polling = context;

	for (nfds_t i = 0; polling->mqs && i < polling->count; i++)
		if (polling->mqs[i])
			mq_put(polling->mqs[i]);
	free(polling->mqs);
	free(polling->native);
}

static int begin(struct polling *polling, struct pollfd *asked, nfds_t count)
{
	*polling = (struct polling){ .asked = asked, .count = count };
	polling->mqs = calloc(count, sizeof(*polling->mqs));
	polling->native = calloc(count, 2 * sizeof(*polling->native));
	if (!polling->mqs || !polling->native) {
		end(polling);
		return -ENOMEM;
	}
	for (nfds_t i = 0; i < count; i++) {
		asked[i].revents = 0;
		if (asked[i].fd >= 0)
			polling->mqs[i] = mq_get(asked[i].fd);
	}
	return 0;
}

/* ---- One look ---------------------------------------------------------------------- */

/* The queues' part of the answer: how many are ready. */
static int look(struct polling *polling)
{
	int ready = 0;

	for (nfds_t i = 0; i < polling->count; i++) {
		struct pollfd *asked = &polling->asked[i];

		if (!polling->mqs[i])
			continue;
		asked->revents = (short)mq_ready(polling->mqs[i],
		                                 (unsigned)asked->events);
		ready += asked->revents != 0;
	}
	return ready;
}

static int add_native(struct polling *polling, struct mq *mq,
                      unsigned direction)
{
	/* Asks to be rung, too, whatever was heard before. */
	int fd = stoa_queue_pollfd(mq->queue, direction);

	if (fd < 0)
		return fd;
	polling->native[polling->native_count++] =
	        (struct pollfd){ .fd = fd, .events = POLLIN };
	return 0;
}

/* What the kernel shall wait for: without the queues where nobody waits for them,
 * as each descriptor asked for makes senders ring, who go on by themselves else. */
static int fill_native(struct polling *polling, int waits)
{
	int result = 0;

	polling->native_count = 0;
	for (nfds_t i = 0; i < polling->count; i++)
		if (!polling->mqs[i])
			polling->native[polling->native_count++] =
			        polling->asked[i];
	for (nfds_t i = 0; waits && result == 0 && i < polling->count; i++) {
		struct mq *mq = polling->mqs[i];
		unsigned events = (unsigned)polling->asked[i].events;

		if (mq && (events & MQ_READS))
			result = add_native(polling, mq, STOA_READ);
		if (mq && result == 0 && (events & MQ_WRITES))
			result = add_native(polling, mq, STOA_WRITE);
	}
	return result;
}

/* The others' part of the answer: how many are ready. */
static int take_native(struct polling *polling)
{
	nfds_t at = 0;
	int ready = 0;

	for (nfds_t i = 0; i < polling->count; i++) {
		if (polling->mqs[i])
			continue;
		polling->asked[i].revents = polling->native[at++].revents;
		ready += polling->asked[i].revents != 0;
	}
	return ready;
}

/* ---- The wait ---------------------------------------------------------------------- */

static int wait_once(struct polling *polling, const sigset_t *mask,
                     mq_poll_wait *wait)
{
	int64_t until = polling->until;
	struct timespec timeout = { 0 }, *limit = &timeout;
	int ready = look(polling);
	int64_t left = until < 0 ? NS : until - now_ns();
	int waits = !ready && left > 0;
	int result = fill_native(polling, waits);

	if (result < 0)
		return result;
	if (waits && until < 0) {
		limit = NULL;
	} else if (waits) {
		timeout.tv_sec = left / NS;
		timeout.tv_nsec = left % NS;
	}
	result = wait(polling->native, polling->native_count, limit, mask);
	if (result < 0)
		return ready ? ready : -errno;
	result = take_native(polling);
	return result + (ready ? ready : look(polling));
}

static int is_over(const struct polling *polling)
{
	return polling->until >= 0 && now_ns() >= polling->until;
}

int mq_poll(struct pollfd *polled, nfds_t count, int64_t timeout_ns,
            const sigset_t *mask, mq_poll_wait *wait)
{
	struct polling polling;
	int result = begin(&polling, polled, count);

	if (result < 0)
		return result;
	polling.until = timeout_ns < 0 ? -1 : now_ns() + timeout_ns;
	pthread_cleanup_push(end, &polling);
	do {
		result = wait_once(&polling, mask, wait);
	} while (result == 0 && !is_over(&polling));
	pthread_cleanup_pop(1);
	return result;
}
