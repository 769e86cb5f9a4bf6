/* SPDX-License-Identifier: MIT */
/* kernel/file_lock_internal.h: what the files of file_lock share. */
#ifndef STOA_KERNEL_FILE_LOCK_INTERNAL_H
#define STOA_KERNEL_FILE_LOCK_INTERNAL_H

#include <stoa/file_lock.h>

#include <fcntl.h>
#include <stdbool.h>

struct stoa_file_lock {
	int fd;
	uint32_t whole;    /* the mode that flock(2) has given; 0: none */
	bool adopted;      /* the descriptor is the caller's */
	bool interruptible;
	char path[];       /* as given; "" if adopted */
};

/* One request to the kernel, of either kind. */
struct stoa_file_request {
	int fd;
	int operation;      /* of flock(2), without LOCK_NB; 0: a range */
	struct flock range; /* else */
};

/* Asks once: 0, -EAGAIN: others are in the way, or another failure. */
int stoa_file_lock_ask(const struct stoa_file_request *request);

/* Asks until it is granted or the deadline; -EAGAIN, -ETIMEDOUT, -EINTR, or what
 * the kernel says. On failure nothing of the request is held. */
int stoa_file_lock_wait(const struct stoa_file_request *request,
                        struct stoa_deadline deadline, bool interruptible);

/* The range for the kernel. -EINVAL. */
int stoa_file_lock_range(const struct stoa_range *range, bool unlock,
                         struct flock *ret_range);

/* What to call it in a sentence. */
const char *stoa_file_lock_name(const struct stoa_file_lock *lock);

#endif
