/* SPDX-License-Identifier: MIT */
/* kernel/process_internal.h: what the files of the noun share. Nothing of it
 * is in shared memory. */
#ifndef STOA_KERNEL_PROCESS_INTERNAL_H
#define STOA_KERNEL_PROCESS_INTERNAL_H

#include <base/error.h>
#include <base/system.h>
#include <stoa/process.h>

#include <errno.h>
#include <string.h>

#define PROCESS_MORE_MAX 1024
#define PROCESS_NAME_MAX 64 /* of a command, in sentences */

/* ---- The child, until it is the program ----------------------------------- */

/* A descriptor of the child's. */
struct process_move {
	int number;
	int fd; /* of the caller's, or PROCESS_OPEN_NULL */
};

#define PROCESS_OPEN_NULL (-1)

/* What failed. */
enum process_step {
	PROCESS_STEP_NONE,
	PROCESS_STEP_DESCRIPTOR, /* `which`: the number in the child */
	PROCESS_STEP_CLOSE,
	PROCESS_STEP_SESSION,
	PROCESS_STEP_GROUP,
	PROCESS_STEP_CONTROL,
	PROCESS_STEP_DIRECTORY,
	PROCESS_STEP_SIGNALS,
	PROCESS_STEP_EXEC,
};

/* All that the child needs is made before it is: it shares the caller's memory,
 * and may neither allocate nor take a lock. */
struct process_plan {
	const char *file;
	char *const *arguments;
	char *const *environment;
	const char *path; /* where to look for the file; NULL: it has a slash */
	char *candidate; /* room for each file that is tried */
	const char *directory;
	unsigned flags;
	mode_t umask;
	pid_t group; /* to join; 0: to make */
	struct process_move *moves; /* by number */
	size_t count;
	/* From the child. */
	enum process_step step;
	int error, which;
};

/* Blocks until the child executes the program, or has failed and is gone.
 * Returns its process id, or -errno: plan->step says of what, PROCESS_STEP_NONE
 * that there was no child. */
pid_t process_launch(struct process_plan *plan, int *ret_pidfd);

/* Gives a descriptor another number if it has one of the standard ones, which
 * a child might inherit as such. On failure it is closed. */
int process_above_standard(int *fd);

/* ---- The handle --------------------------------------------------------------- */

/* The caller's end of what the child has as `number`. */
struct process_end {
	int number;
	int fd; /* -1: closed */
	int child_reads;
};

struct stoa_process {
	unsigned flags;
	pid_t pid;
	int pidfd;
	pid_t owner; /* whose child it is: a forked child's isn't it */
	int ended;
	struct stoa_process_status status;
	struct process_end *ends;
	size_t end_count;
	char name[PROCESS_NAME_MAX];
};

/* 1: it has ended, and the status is known; 0: it runs. With `block` until it
 * has ended. -ECHILD, -EINTR. */
int process_reap(struct stoa_process *process, int block);

#endif
