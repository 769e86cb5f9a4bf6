/* SPDX-License-Identifier: MIT */
/*
 * dropin/mq_poll.h: queues among the descriptors that poll(), select() and
 * epoll wait for.
 *
 * What stands in for a queue in the kernel is libstoa's poll descriptor of the
 * direction: never readable too seldom, but perhaps once too often. So what
 * the kernel says is a reason to look, and the queue itself is the truth: who
 * was called for nothing waits again.
 */
#ifndef DROPIN_MQ_POLL_H
#define DROPIN_MQ_POLL_H

#include "mq.h"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>

#define MQ_READS (POLLIN | POLLRDNORM)
#define MQ_WRITES (POLLOUT | POLLWRNORM)

/* Which of `events` hold of the queue now. What can't be told any more is
 * ready, so that the next call tells. */
unsigned mq_ready(struct mq *mq, unsigned events);

/* Whether one of them means a queue. */
int mq_among(const struct pollfd *polled, nfds_t count);

/* As ppoll(), with a time in nanoseconds, or -1. `wait` is libc's ppoll(): the
 * cancellation point. 0 or more, or -errno. */
typedef int mq_poll_wait(struct pollfd *polled, nfds_t count,
                         const struct timespec *timeout, const sigset_t *mask);
int mq_poll(struct pollfd *polled, nfds_t count, int64_t timeout_ns,
            const sigset_t *mask, mq_poll_wait *wait);

/* ---- epoll (mq_epoll.c) ----------------------------------------------------- */

/* Whether any queue has ever been added to an epoll descriptor. */
extern _Atomic int mq_watched;

/* As epoll_ctl(), of a descriptor that means a queue. 0, or -errno. */
int mq_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

/* Makes what the kernel gave into what the program asked for, and returns how
 * many are left. */
int mq_epoll_events(struct epoll_event *events, int count);

/* `fd` is about to be closed. */
void mq_epoll_forget(int fd);

#endif
