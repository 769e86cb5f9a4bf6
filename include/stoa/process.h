/* SPDX-License-Identifier: MIT */
/*
 * stoa/process.h: a command that runs as a child of this process, popen done
 * right: any of its descriptors attached to a pipe, a descriptor, a stream, a
 * terminal or nothing; both ways at once; its end, or a deadline and then the
 * kill.
 *
 * A command is a vector of arguments. No shell reads it, unless
 * STOA_PROCESS_SHELL asks for one.
 *
 * The child gets what it was given and nothing else. Its signal mask is empty,
 * every signal has its default, and of the caller's descriptors it has its
 * input, output and error, those of `more`, and no other, whether or not they
 * are close-on-exec.
 *
 * Identity is a pidfd: a signal reaches this child or nobody, whatever became
 * of its number. SIGCHLD isn't needed, nor disturbed. Another waiter of this
 * process (wait(2), waitpid(-1), SIGCHLD ignored) may take the child's status
 * away; since Linux 6.15 the kernel tells it nevertheless, without what it used
 * (STOA_PROCESS_STOLEN); before, the answer is -ECHILD.
 *
 * Starting takes no copy of the caller's memory: the child runs on it, by
 * vfork, until it executes the program. The calling thread stands still
 * until then, with all signals blocked; other threads run on. So a program on a
 * file system that hangs holds up the call, which has no deadline. An exec that
 * fails is a failure of the start.
 *
 *   who may run at once     start   signal   wait, communicate,    close
 *                                   pollfd   terminate, stat,
 *                                   pid      fd, shut
 *   on one handle             -       -            X                  X
 *   (- free; X the caller sees to it that nobody else does that, or closes, at
 *    the same time)
 * Different handles are independent.
 *
 * Fork: a child that the caller forks may close the handle, which does nothing
 * to the command, and nothing else. Not async-signal-safe; no cancellation
 * points.
 *
 * Limits: 64 commands in a pipeline; 1024 descriptors in `more`. Descriptors:
 * one (the pidfd), and one for each pipe.
 *
 * With a deadline: -EAGAIN (STOA_NOW), -ETIMEDOUT, -EINTR (if a handler ran,
 * and the attributes have STOA_INTERRUPTIBLE).
 */
#ifndef STOA_PROCESS_H
#define STOA_PROCESS_H

#include <stoa/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_process;
struct stoa_stream;

/* ---- What a command is run with ------------------------------------------ */

enum stoa_process_how {
	STOA_PROCESS_INHERIT = 0, /* the caller's own of that number; if that is
	                             closed, /dev/null */
	STOA_PROCESS_NULL, /* /dev/null */
	STOA_PROCESS_PIPE, /* a pipe; the caller's end is stoa_process_fd() */
	STOA_PROCESS_FD, /* `fd`, which stays the caller's */
	STOA_PROCESS_SAME, /* the same as the child's number `fd`, as 2>&1;
	                      that must not be SAME itself */
};

/* One descriptor of the child. */
struct stoa_process_end {
	int32_t how; /* enum stoa_process_how */
	int32_t fd; /* FD: of the caller; SAME: of the child */
	int32_t number; /* in the child, of `more`: 3 or above */
	uint32_t flags; /* of `more`, PIPE: STOA_READ, the child reads it, or
	                   STOA_WRITE */
	struct stoa_stream *stream; /* NULL */
	uint64_t reserved;
};

/* Flags of struct stoa_process_attributes; also STOA_INTERRUPTIBLE. */
#define STOA_PROCESS_SHELL \
	0x100u /* arguments[0] is a line for /bin/sh -c; the
                                     others are its $0, $1, ... */
#define STOA_PROCESS_GROUP \
	0x200u /* a process group of its own, which
                                     stoa_process_signal() means then */
#define STOA_PROCESS_SESSION 0x400u /* a session of its own, and so a group */
#define STOA_PROCESS_CONTROL \
	0x800u /* with SESSION: its input, a terminal,
                                       becomes its controlling terminal */
#define STOA_PROCESS_IGNORED \
	0x1000u /* signals that the caller ignores are
                                        ignored, as exec has it */
#define STOA_PROCESS_DESCRIPTORS \
	0x2000u /* those of the caller's that aren't
                                            close-on-exec stay, as exec has it */
#define STOA_PROCESS_UMASK 0x4000u /* `umask` is meant */

/* Zero fields take the default, NULL all of them: the caller's input, output,
 * error, directory and environment. */
struct stoa_process_attributes {
	uint32_t size; /* sizeof this struct */
	uint32_t flags;
	struct stoa_process_end in, out, err;
	const struct stoa_process_end *more; /* other descriptors */
	size_t more_count;
	const char *file; /* what to execute, if not arguments[0] */
	const char *directory;
	char *const *environment; /* "NAME=value", then NULL */
	mode_t umask;
	uint32_t reserved;
	uint64_t reserved_more[4]; /* zero */
};

/* ---- Lifecycle ------------------------------------------------------------ */

/*
 * Runs `arguments` (NULL-terminated; the first is the program, looked for in
 * the PATH of the child's environment unless it has a slash in it). A relative
 * path is relative to `directory`. Blocks until the program has been executed.
 *
 * What execve(2) says: -ENOENT (the program, or what its first line names,
 * isn't there), -EACCES (not executable), -ENOEXEC (no program, and no first
 * line #!), -E2BIG (arguments and environment), -ELOOP, -ENOTDIR, -ETXTBSY.
 * -ENOENT, -EACCES, -ENOTDIR also for `directory`. -EBADF: a descriptor that is
 * given isn't open, or a number is over the limit (RLIMIT_NOFILE). -EINVAL:
 * arguments or attributes. -ENOTTY, -EPERM: STOA_PROCESS_CONTROL of no terminal,
 * or of one that another session has. -EAGAIN: no more processes
 * (RLIMIT_NPROC, pids.max). -EMFILE, -ENFILE, -ENOMEM. -ENOSYS: Linux before
 * 5.9. In each case there is no child, and nobody noticed one.
 */
STOA_API int
stoa_process_start(char *const arguments[],
                   const struct stoa_process_attributes *attributes,
                   struct stoa_process **ret_process);

/* Closes the caller's ends; kills (SIGKILL; its group, too, if it has one of
 * its own) a child that still runs, and waits for its end. So there is no
 * zombie. NULL is fine. */
STOA_API void stoa_process_close(struct stoa_process *process);

/* ---- Use ------------------------------------------------------------------- */

enum stoa_process_state {
	STOA_PROCESS_RUNNING = 0, /* or stopped */
	STOA_PROCESS_EXITED, /* `code` is the status that it exited with */
	STOA_PROCESS_KILLED, /* `code` is the signal */
	STOA_PROCESS_DUMPED, /* so is it, and there is a core */
};

/* Flags of struct stoa_process_status. */
#define STOA_PROCESS_STOLEN \
	0x01u /* another waiter took it: what it used isn't
                                     known, and is 0 */

struct stoa_process_status {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t state; /* enum stoa_process_state */
	int32_t code;
	uint32_t flags;
	pid_t pid; /* to be shown: it may be another's by now */
	uint32_t command; /* which of a pipeline's: 0 is the first */
	int64_t started_ns,
		ended_ns; /* CLOCK_MONOTONIC; when its end was seen */
	int64_t user_ns, system_ns; /* of processor; with its children's that
	                                 it waited for, as what follows */
	uint64_t resident_bytes; /* the most at once, of one process */
	uint64_t minor_faults, major_faults;
	uint64_t blocks_in, blocks_out; /* of 512 bytes, of disks */
	uint64_t waits, preemptions; /* context switches */
	uint64_t reserved[4];
};

/*
 * Waits until the command has ended, and gives its status (`ret_status` may be
 * NULL). May be called again afterwards. -ECHILD: another waiter took the
 * status, and this kernel doesn't tell it twice; the command has ended. -EINVAL:
 * size.
 */
STOA_API int stoa_process_wait(struct stoa_process *process,
                               struct stoa_deadline deadline,
                               struct stoa_process_status *ret_status);

/*
 * Sends a signal: to the command, or to its process group if it has one of its
 * own. 0: nothing is sent. Does not block. -ESRCH: it has ended (all of the
 * group have, which before Linux 6.9 can't be told from the command's end).
 * -EPERM: it runs as somebody else. -EINVAL: no signal.
 */
STOA_API int stoa_process_signal(struct stoa_process *process, int number);

/* The caller's end of the pipe that is `number` in the child; the handle's.
 * -EBADF: there is none. */
STOA_API int stoa_process_fd(struct stoa_process *process, int number);

/* Closes that end: the child meets end-of-file, or EPIPE and SIGPIPE. -EBADF */
STOA_API int stoa_process_shut(struct stoa_process *process, int number);

/* ---- Inspect --------------------------------------------------------------- */

/* A descriptor for poll and epoll, readable once the command has ended. Owned
 * by the handle, close-on-exec. */
STOA_API int stoa_process_pollfd(struct stoa_process *process);

/* The command's number, to be shown. Not to be signalled: it may be another's
 * once the command has ended. */
STOA_API pid_t stoa_process_pid(struct stoa_process *process);

#ifdef __cplusplus
}
#endif
#endif
