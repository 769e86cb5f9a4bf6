/* SPDX-License-Identifier: MIT */
/* kernel/process_internal.h: what the files of the noun share. Nothing of it
 * is in shared memory. */
#ifndef STOA_KERNEL_PROCESS_INTERNAL_H
#define STOA_KERNEL_PROCESS_INTERNAL_H

#include <base/error.h>
#include <base/system.h>
#include <space/fork.h>
#include <stoa/process.h>
#include <stoa/stream.h>

#include <errno.h>
#include <poll.h>
#include <string.h>

#define PROCESS_MORE_MAX 1024
#define PROCESS_COMMANDS_MAX 64
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
	PROCESS_STEP_GUARD,
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
	int guard; /* the child's end of it; -1: none */
	struct process_move *moves; /* by number */
	size_t count;
	/* From the child. */
	enum process_step step;
	int error, which;
	int leads; /* a group: it was to make one, or that to join was gone */
};

/* Blocks until the child executes the program, or has failed and is gone.
 * Returns its process id, or -errno: plan->step says of what, PROCESS_STEP_NONE
 * that there was no child. */
pid_t process_launch(struct process_plan *plan, int *ret_pidfd);

/* As pipe2(2) with O_CLOEXEC, but none of them is standard input, output or
 * error, though these be closed: a child would inherit it as such. */
int process_make_pipe(int fds[2]);
/* The same for a descriptor that is there: it gets another number. */
int process_make_above(int *fd);

/* ---- The handle --------------------------------------------------------------- */

/* What an end waits for. */
enum process_phase {
	PROCESS_AWAIT_FD = 0,
	PROCESS_AWAIT_STREAM, /* the descriptor is ready */
	PROCESS_MOVE, /* nothing: it was moving when last seen */
};

/* The caller's end of what a command has as `number`. */
struct process_end {
	int number;
	int fd; /* -1: closed */
	int child_reads;
	int widened; /* the pipe is as large as it may be */
	size_t member;
	int terminal; /* a controller, of all commands */
	int over; /* these have all ended */
	char last; /* that was typed; 0: nothing */
	int typed_ends; /* of ^D, so many */
	struct stoa_stream *stream; /* NULL: the caller's to read and write */
	enum process_phase phase;
	int counted; /* the command has ended: of what it wrote there are */
	uint64_t left; /* so many bytes to come */
};

/* One command. */
struct process_member {
	pid_t pid;
	int pidfd;
	int guard; /* whoever has it is the parent; -1: none */
	int ended;
	int lost; /* the status: another waiter has it */
	int leads; /* a group of its own */
	pid_t group; /* that it was started in, its own or one that another
	                leads; 0: the caller's. It may have left it since */
	int session; /* leads one, too */
	int last; /* no command: the end of the array */
	struct stoa_process_status status;
	char name[PROCESS_NAME_MAX];
};

struct stoa_process {
	unsigned flags; /* of the first command */
	pid_t owner; /* whose child it is: a forked child's isn't it */
	int epoll; /* of several pidfds; -1: none */
	int controller, terminal; /* see process_terminal.c; -1: none */
	struct stoa_fork fork;
	int guarded; /* it is enlisted */
	struct process_end *ends;
	size_t end_count;
	struct pollfd *polls; /* room for all that is waited for */
	void *chunk; /* of bytes that `give` gave; NULL: none yet */
	void *taking; /* for those that `take` is to get */
	size_t chunk_at, chunk_bytes;
	int broken; /* a pipe that was written may have raised SIGPIPE */
	int given; /* `give` has said that there is no more */
	size_t count;
	struct process_member member[];
};

#define PROCESS_CHUNK 65536

/* Starts the command as the next member; `in` and `out` are its ends of the
 * pipes from the one before and to the next, or -1. */
int process_start_member(struct stoa_process *process,
                         const struct stoa_process_command *command, int in,
                         int out);

/* 1: it has ended, and the status is known; 0: it runs. With `block` until it
 * has ended. -ECHILD (it has, and it isn't), -EINTR. */
int process_reap(struct stoa_process *process, struct process_member *member,
                 int block);

/* Waits until all have ended and all bytes are moved that are to be. `exchange`
 * may be NULL. */
int process_settle(struct stoa_process *process,
                   struct stoa_process_exchange *exchange,
                   struct stoa_deadline deadline);
/* As stoa_process_signal, without a sentence. */
int process_signal(struct stoa_process *process, int number);
/* SIGKILL, though the kernel be short of something. */
void process_kill(struct stoa_process *process);
int process_terminate(struct stoa_process *process,
                      struct stoa_process_exchange *exchange,
                      struct stoa_deadline grace,
                      struct stoa_deadline deadline);
int process_check_exchange(const struct stoa_process *process,
                           const struct stoa_process_exchange *exchange);

/* What the waits have in common before they begin, and once all have ended. */
int process_check_wait(const struct stoa_process *process,
                       const struct stoa_process_status *status);
int process_give_status(struct stoa_process *process,
                        struct stoa_process_status *ret_status);

void process_close_end(struct process_end *end);

/* ---- Terminals: process_terminal.c ------------------------------------------ */

/* Makes the pair, if any of these commands has an end of that kind. */
int process_terminal_make(struct stoa_process *process,
                          const struct stoa_process_command *commands,
                          size_t count);
/* The commands have their ends: the caller's begin. */
int process_terminal_begin(struct stoa_process *process,
                           const struct stoa_process_command *commands,
                           size_t count);
/* The caller has the terminal open meanwhile, as nobody else has. */
int process_terminal_hold(struct stoa_process *process, int controller);
void process_terminal_release(struct stoa_process *process);
/* Types that there is no more. 1: done; 0: later; -errno. */
int process_terminal_type_end(struct process_end *end);

#endif
