/* SPDX-License-Identifier: MIT */
/* kernel/fifo_internal.h: the handle, and waiting for the other side. */
#ifndef STOA_KERNEL_FIFO_INTERNAL_H
#define STOA_KERNEL_FIFO_INTERNAL_H

#include <stoa/fifo.h>

/*
 * A reader's descriptor is in one of two states:
 *   met     since it was opened a writer has been there: read(2) of 0 bytes and
 *           POLLHUP mean end of file
 *   fresh   none has: read(2) gives 0 and means nothing; POLLHUP does not come
 *           (the kernel compares the count of writers' opens with that at ours)
 * fresh becomes met with the first POLLIN or POLLHUP. At end of file the FIFO is
 * opened once more, which gives a fresh description, under the same number.
 */
struct stoa_fifo {
	int fd; /* O_NONBLOCK */
	unsigned flags;
	int met;
	int signals; /* this kernel has no writes without SIGPIPE */
	int epoll;   /* -1: not polled yet */
};

/* Opens the FIFO that `fd` is (O_PATH will do) with `access`, O_RDONLY or
 * O_WRONLY, and waits for the other side. The descriptor, not O_NONBLOCK; or
 * -errno without a sentence. */
int stoa_fifo_open_waiting(int fd, int access, unsigned flags,
                           struct stoa_deadline deadline);

/* 1: somebody has this reader's FIFO open to write, or there are bytes; 0; or
 * -errno. */
int stoa_fifo_has_writer(int fd);

/* Sleeps until `fd` has one of `events`, or an error. What it has; -EAGAIN,
 * -ETIMEDOUT, -EINTR. */
int stoa_fifo_sleep(int fd, short events, unsigned flags,
                    struct stoa_deadline deadline);

#endif
