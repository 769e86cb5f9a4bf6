/* SPDX-License-Identifier: MIT */
/*
 * base/ring.h: sleeping on a shared word and a descriptor at once, which takes
 * an io_uring (Linux 6.7); and an open that ends at a deadline, as open(2) of a
 * FIFO doesn't. For waits that last: making one costs some 50 us. A ring is one
 * thread's.
 */
#ifndef STOA_BASE_RING_H
#define STOA_BASE_RING_H

#include <stoa/base.h>

#include <stdatomic.h>
#include <stdint.h>

struct stoa_ring;

/* -ENOSYS, -EPERM, -EINVAL: this kernel won't; -ENOMEM, -EMFILE. */
int stoa_ring_open(struct stoa_ring **ret_ring);
void stoa_ring_close(struct stoa_ring *ring);

/*
 * Sleeps while *word is `value` and `fd` isn't readable, at most `timeout_ns`.
 * 0: woken, or the word had another value. 1: the descriptor is readable.
 * -ETIMEDOUT, -EINTR. Calls that follow must be for the same descriptor, until
 * one has returned 1; after that, pass -1.
 */
int stoa_ring_wait(struct stoa_ring *ring, _Atomic uint32_t *word,
                   uint32_t value, int fd, int64_t timeout_ns);

/*
 * Opens `path` with openat(2), which may block: in the kernel, not here, and
 * no longer than `deadline`. Then it is as if open(2) had been interrupted: the
 * kernel takes it back, and what it took back in vain counts as done. The
 * descriptor (O_CLOEXEC); -ETIMEDOUT; -EINTR, if `interruptible`; or the error of
 * openat(2). Not on a ring that waits for a word.
 */
int stoa_ring_open_path(struct stoa_ring *ring, const char *path, int flags,
                        struct stoa_deadline deadline, int interruptible);

#endif
