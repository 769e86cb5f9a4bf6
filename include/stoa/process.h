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
 * until then, with all signals blocked, and needs 20 KiB of stack for it (more
 * than a thread of PTHREAD_STACK_MIN has); other threads run on. So a program on a
 * file system that hangs holds up the call, which has no deadline. An exec that
 * fails is a failure of the start.
 *
 *   who may run at once     start   signal   wait, communicate,    close
 *                           run     pid      terminate, stat,
 *                                            pollfd, fd, shut
 *   on one handle             -       -            X                  X
 *   (- free; X the caller sees to it that nobody else does that, or closes, at
 *    the same time)
 * Different handles are independent.
 *
 * Fork: a child that the caller forks may close the handle, which does nothing
 * to the command, and nothing else. Not async-signal-safe; no cancellation
 * points.
 *
 * Streams: a command reads and writes descriptors; so between a pipe of its and
 * a stream somebody must move bytes. That is whoever waits for it:
 * stoa_process_wait() and its like, and nobody else (there is no hidden
 * thread). Of a stream that a command reads, up to a pipe's worth may have been
 * taken that the command hasn't read when it ends.
 *
 * A terminal: all ends that are STOA_PROCESS_TERMINAL, of all commands of a
 * handle, are one pseudoterminal, 24 rows of 80 columns, cooked. The caller's end
 * is the controller: stoa_process_fd() of the lowest number of an output among
 * them, and of an input's, not blocking, on which stoa_terminal_set_size() and its
 * like work. What is written there comes as of that output. Where an input is among them,
 * an output must be: what is typed is echoed. The input of an exchange is typed,
 * and ends with ^D (twice within a line); lines over 4,095 bytes are cut by the
 * kernel. STOA_PROCESS_SESSION | STOA_PROCESS_CONTROL makes it the controlling
 * terminal of a command that has it as its input. (A pair of one's own, by
 * stoa_terminal_pair(), is attached as STOA_PROCESS_FD.)
 *
 * Heirs: what a command starts inherits its pipes, and may hold them open long
 * after it; then their end-of-file never comes. So by default the end is the
 * command's own: all that it had written by then is moved, and the pipes are
 * closed. With STOA_PROCESS_HEIRS it is end-of-file, however long that takes.
 *
 * Limits: 64 commands in a pipeline; 1024 descriptors in `more`. Descriptors:
 * one for each command (the pidfd), one for each pipe, and two for a poll
 * descriptor of several commands.
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
	STOA_PROCESS_STREAM, /* a pipe, and `stream` behind it: whoever waits
	                        moves the bytes. The stream, with the end that
	                        this needs, stays the caller's, and open until
	                        the handle is closed */
	STOA_PROCESS_TERMINAL, /* a terminal that the handle makes: one for all
	                          ends that are attached so */
};

/* One descriptor of the child. */
struct stoa_process_end {
	int32_t how; /* enum stoa_process_how */
	int32_t fd; /* FD: of the caller; SAME: of the child */
	int32_t number; /* in the child, of `more`: 3 or above */
	uint32_t flags; /* of `more`, PIPE and STREAM: STOA_READ, the child
	                   reads it, or STOA_WRITE */
	struct stoa_stream *stream; /* STREAM */
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
#define STOA_PROCESS_HEIRS \
	0x8000u /* its end is when nobody has its pipes any
                                      more, nor it itself */
#define STOA_PROCESS_WITH_PARENT \
	0x10000u /* is killed when this process dies
                                             or executes another program */

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

/*
 * STOA_PROCESS_WITH_PARENT: the kernel kills it (its group, too, if it leads
 * one) when this *process* has gone, however it went, also while it is being
 * started. PR_SET_PDEATHSIG would do so at the end of the *thread* that started
 * it, and forgets it when a set-user-id program is executed. So it is a pipe of
 * whose other end this process has the only descriptor: the child has one
 * descriptor more, 200 or above, and escapes if it closes descriptors that it
 * doesn't know (closefrom(3)), leaves the group in which it was started, or
 * becomes altogether another user, whom the caller may not kill. A child that was forked, not by fork(3) but by a
 * bare clone(2), counts as this process while it hasn't executed anything.
 */

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
 * arguments or attributes. STOA_PROCESS_TERMINAL: as stoa_terminal_pair. -ENOTTY, -EPERM: STOA_PROCESS_CONTROL of no terminal,
 * or of one that another session has. -EAGAIN: no more processes
 * (RLIMIT_NPROC, pids.max). -EMFILE, -ENFILE, -ENOMEM. -ENOSYS: Linux before
 * 5.9. In each case there is no child, and nobody noticed one.
 */
STOA_API int
stoa_process_start(char *const arguments[],
                   const struct stoa_process_attributes *attributes,
                   struct stoa_process **ret_process);

struct stoa_process_command {
	char *const *arguments;
	const struct stoa_process_attributes *attributes; /* or NULL */
};

/*
 * Runs `count` commands (1 to 64), each one's output the next one's input, as
 * one handle. The inputs and outputs between them must be STOA_PROCESS_INHERIT
 * in the attributes. The commands with STOA_PROCESS_GROUP are one group.
 * STOA_PROCESS_HEIRS and STOA_INTERRUPTIBLE are taken from the first. -EINVAL:
 * count. Else as stoa_process_start; if one can't be started those before it
 * are killed.
 */
STOA_API int
stoa_process_start_pipeline(const struct stoa_process_command *commands,
                            size_t count, struct stoa_process **ret_process);

/* Closes the caller's ends; kills (SIGKILL; its group, too, if it has one of
 * its own) a child that still runs, and waits for its end, which is in its own
 * hands if it runs as somebody else whom this process may not kill. So there is
 * no zombie. NULL is fine. */
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
#define STOA_PROCESS_EXPIRED 0x02u /* stoa_process_run: the deadline came */

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
 * NULL); moves the bytes of attached streams meanwhile. Of a pipeline: until all
 * have, and the status of the last one that didn't exit with 0, else of the
 * last (as a shell's pipefail). May be called again afterwards. -ECHILD: another
 * waiter took the status, and this kernel doesn't tell it twice; the command has
 * ended. -EINVAL: size. What failed of a stream (not -EPIPE, which closes the
 * command's end): it isn't moved any more, and the next call goes on.
 */
STOA_API int stoa_process_wait(struct stoa_process *process,
                               struct stoa_deadline deadline,
                               struct stoa_process_status *ret_status);

/*
 * Sends a signal: to the command, or to its process group if it has one of its
 * own, and then also to a command that has left that since. 0: nothing is sent. Does not block. -ESRCH: it has ended (all of the
 * group have, which before Linux 6.9 can't be told from the command's end).
 * -EPERM: it runs as somebody else. -EINVAL: no signal.
 */
STOA_API int stoa_process_signal(struct stoa_process *process, int number);

/*
 * Ends it: SIGTERM (and SIGCONT, should it be stopped), to the group if it has
 * one; SIGKILL at `grace`, if it, or somebody of the group, is still there. Moves
 * the bytes of streams, and gives the status, as stoa_process_wait(). By
 * `deadline`: a process in a system call that can't be interrupted dies only
 * after it.
 */
STOA_API int stoa_process_terminate(struct stoa_process *process,
                                    struct stoa_deadline grace,
                                    struct stoa_deadline deadline,
                                    struct stoa_process_status *ret_status);

/* What a command reads and what it writes, of the ends that are
 * STOA_PROCESS_PIPE. */
struct stoa_process_exchange {
	uint32_t size; /* sizeof this struct */
	uint32_t reserved;
	const void *input; /* for its input, which is closed then */
	size_t input_bytes;
	/* Instead of `input`: fills `buffer` with up to `bytes` bytes, and
	 * returns how many; 0: no more; -errno ends the call. */
	ssize_t (*give)(void *buffer, size_t bytes, void *context);
	/* Instead of gathering: gets what was written to `number`; 0, or -errno,
	 * which ends the call. */
	int (*take)(int number, const void *data, size_t bytes, void *context);
	void *context;
	size_t limit_bytes; /* of what is gathered of each; 0: 16 MiB */
	/* Set by the call. What is gathered has a NUL after it, and is freed by
	 * stoa_process_exchange_fini(). */
	size_t taken_bytes; /* of `input`, given to the kernel */
	char *output, *error;
	size_t output_bytes, error_bytes;
	size_t output_room, error_room;
	uint64_t reserved_more[4]; /* zero */
};

/*
 * Feeds the command its input and gathers its output (number 1) and error
 * (number 2) at once, however large they are, until it has ended; gives the
 * status as stoa_process_wait(), and moves the bytes of streams, too. Of a
 * pipeline: the input is the first one's, outputs are anyone's. Pipes of other
 * numbers are for `take` only. An input that nobody reads is no error. An
 * exchange may be used for another command, and its memory again, once
 * taken_bytes, output_bytes and error_bytes are 0.
 *
 * After -ETIMEDOUT, -EMSGSIZE and the like the call may be repeated with the same
 * exchange, and goes on. -EMSGSIZE: more is written than limit_bytes (which
 * may be raised). -ENOMEM.
 */
STOA_API int stoa_process_communicate(struct stoa_process *process,
                                      struct stoa_process_exchange *exchange,
                                      struct stoa_deadline deadline,
                                      struct stoa_process_status *ret_status);

/* Frees what was gathered. */
STOA_API void
stoa_process_exchange_fini(struct stoa_process_exchange *exchange);

/*
 * All at once: starts the commands, communicates (`exchange` may be NULL) until
 * `deadline`, then terminates them with `grace_ns` nanoseconds for SIGTERM, and
 * puts them away. 0: they have ended; STOA_PROCESS_EXPIRED in the status' flags
 * says that the deadline had come: then heirs aren't waited for, and of what
 * they wrote is lost what a stream has no room for once they have ended. Errors
 * as start and communicate, after which they are killed.
 */
STOA_API int stoa_process_run(const struct stoa_process_command *commands,
                              size_t count,
                              struct stoa_process_exchange *exchange,
                              struct stoa_deadline deadline, int64_t grace_ns,
                              struct stoa_process_status *ret_status);

/* The caller's end of the pipe that is `number` in the child (in the first
 * command that has such a pipe); the handle's. -EBADF: there is none. */
STOA_API int stoa_process_fd(struct stoa_process *process, int number);

/* Closes that end: the child meets end-of-file, or EPIPE and SIGPIPE. -EBADF */
STOA_API int stoa_process_shut(struct stoa_process *process, int number);

/* ---- Inspect --------------------------------------------------------------- */

/* The status of one command of a pipeline, 0 the first; STOA_PROCESS_RUNNING if
 * it hasn't ended. Does not block. -EINVAL: size, or there is no such one.
 * -ECHILD: as stoa_process_wait. */
STOA_API int stoa_process_stat(struct stoa_process *process, size_t command,
                               struct stoa_process_status *ret_status);

/* A descriptor for poll and epoll, readable once the command has ended; of
 * several, once one has whose end no call has seen. Owned by the handle,
 * close-on-exec. -EMFILE, -ENOMEM, of several. */
STOA_API int stoa_process_pollfd(struct stoa_process *process);

/* The first command's number, to be shown. Not to be signalled: it may be
 * another's once the command has ended. */
STOA_API pid_t stoa_process_pid(struct stoa_process *process);

#ifdef __cplusplus
}
#endif
#endif
