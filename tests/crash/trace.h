/* SPDX-License-Identifier: MIT */
/*
 * trace.h: runs a victim, a forked child, under ptrace; lists every
 * instruction of its operation; and stops another such victim at any of them.
 *
 * A place in an execution is named by address, arrival (the n-th time control
 * reaches the address from elsewhere) and repeat (steps into a repeated string
 * instruction, which a breakpoint sees once). Victims are forks of one process,
 * so addresses are the same in each.
 */
#ifndef CRASH_TRACE_H
#define CRASH_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum trace_point_kind {
	TRACE_PLAIN = 0,
	TRACE_CHANGED = 1, /* the step before changed what others can see */
	TRACE_SYSCALL = 2, /* at a system-call instruction */
	TRACE_END = 4      /* the operation has returned */
};

struct trace_point {
	uint64_t pc;
	uint32_t arrival; /* 1 = the first */
	uint32_t repeat;
	unsigned kind;
	/* The quickest way there: arrivals at the place after the first one at
	 * the anchor. 0: count from the start. */
	uint64_t anchor;
	uint32_t after;
};

struct trace {
	struct trace_point *points;
	size_t count, room;
	size_t steps;    /* all, also those not listed */
	size_t syscalls; /* stops at entry to and exit from system calls */
};

/* Answers whether anything that others can see changed since it was last
 * asked. */
typedef int trace_observer(void *context);

/* What a victim runs between its own birth and death. It calls trace_begin()
 * and trace_end() around its operation. */
typedef void trace_body(void *context);

#define TRACE_SKIP 77 /* exit status of a victim that has nothing to do here */

void trace_begin(void);
void trace_end(void);

/* Forks a victim and waits until it is at trace_begin(). Returns its pid, 0 if
 * it skipped, -1 if it ended in another way. */
pid_t trace_spawn(trace_body *body, void *context);

/* The same, but the victim is the child that it forks behind trace_begin(), and
 * that calls trace_begin() as well, in a fork handler. The parent goes on. */
pid_t trace_spawn_forked(trace_body *body, void *context);

/* The same for a process that is not traced and not awaited. */
pid_t trace_fork(trace_body *body, void *context);

/* Steps the victim to the end of its operation and lists the places. The
 * victim is then still at trace_end(). -1: it died, or ran too long. */
int trace_record(pid_t pid, trace_observer *observe, void *context,
		 struct trace *ret_trace);
/* Of an operation that does not end by itself so many steps are recorded; 0, as
 * at first: it ends. */
void trace_set_steps(size_t steps);
/* Of an instruction that repeats itself so many rounds are recorded, and the
 * victim steps over the others where it can; at first all are. */
void trace_set_repeats(uint32_t repeats);
void trace_free(struct trace *trace);

/* Runs the victim to that place. -1: it ended without getting there; it is
 * then reaped. */
int trace_run_to(pid_t pid, const struct trace_point *point);

/* Runs the victim to its n-th stop at a system call (entry and exit count
 * each); -1: there are fewer; it is then reaped. */
int trace_run_to_syscall(pid_t pid, size_t n);

/* Counts the system-call stops up to the victim's end; reaps it. */
size_t trace_count_syscalls(pid_t pid);

/* Lets a stopped victim go on, untraced. */
void trace_release(pid_t pid);

/* Kills the victim and waits until it is gone, its memory too. */
void trace_kill(pid_t pid);

/* Waits for the end of the victim; its wait status. */
int trace_reap(pid_t pid);

/* Waits until the process, not traced, is in a call in which one waits for
 * others: 0, or -1 if it ended. */
int trace_await_waiting(pid_t pid);

/* Stops a process that is not traced, and waits until it stands still. */
void trace_stop(pid_t pid);

/* Waits until the process sleeps in the kernel: 0, or -1 if it ended, or
 * stopped for its tracer. */
int trace_await_sleep(pid_t pid);

/* Runs the victim until it sleeps in a call in which one waits for others, for
 * longer than a nap. -1: it ended before; it is then reaped. */
int trace_run_to_sleep(pid_t pid);

/* A victim that doesn't stop for so long counts as ended and is killed; 0, as
 * at first: it is awaited without limit. */
void trace_set_patience(int milliseconds);

/* Waits until the system call it is in returns. -1: it ended. */
int trace_run_to_return(pid_t pid);

/* Breakpoints are tried once; without them victims are stepped. */
int trace_has_breakpoints(void);
void trace_use_breakpoints(int use);

#endif
