/* SPDX-License-Identifier: MIT */
/* trace.c: victims under ptrace; see trace.h. */
#include "trace.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arch.h"

#define STEPS_MAX 3000000u
#define ARRIVALS_SLOTS 65536u /* a power of two, over the addresses of a run */
#define FUTEX_WAITV_NUMBER 449 /* the same everywhere */
#define URING_ENTER_NUMBER 426
#define NAP_MS 3 /* a sleep that lasts longer is one */
#define SYSCALL_STOP (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD */

/* The text of the harness itself, renamed by the makefile: its instructions
 * are not the library's, so they are not places to kill at. */
extern const char __start_crash_text[], __stop_crash_text[];

static int use_breakpoints = ARCH_BREAKPOINTS;
static int patience_ms;

int trace_has_breakpoints(void)
{
	return use_breakpoints;
}

void trace_use_breakpoints(int use)
{
	use_breakpoints = use;
}

void trace_begin(void)
{
	syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
}

__attribute__((noinline)) void trace_end(void)
{
	__asm__ volatile("" ::: "memory");
}

void trace_set_patience(int milliseconds)
{
	patience_ms = milliseconds;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int reap_once(pid_t pid, int *ret_status)
{
	int status = 0;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -1;
	*ret_status = status;
	return 0;
}

/* As reap_once, but a victim that takes too long is killed first. */
static int reap_soon(pid_t pid, int *ret_status)
{
	int64_t limit = now_ms() + patience_ms;
	pid_t got;

	if (patience_ms == 0)
		return reap_once(pid, ret_status);
	for (;;) {
		got = waitpid(pid, ret_status, __WALL | WNOHANG);
		if (got == pid)
			return 0;
		if (got < 0 && errno != EINTR)
			return -1;
		if (now_ms() > limit)
			break;
		sched_yield();
	}
	kill(pid, SIGKILL);
	do
		if (reap_once(pid, ret_status) != 0)
			return -1;
	while (WIFSTOPPED(*ret_status));
	return 0;
}

static void victim_start(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
}

pid_t trace_fork(trace_body *body, void *context)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	victim_start();
	body(context);
	_exit(0);
}

pid_t trace_spawn(trace_body *body, void *context)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		victim_start();
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		body(context);
		_exit(0);
	}
	if (pid < 0 || reap_once(pid, &status) != 0)
		return -1;
	if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP)
		return pid;
	if (WIFEXITED(status) && WEXITSTATUS(status) == TRACE_SKIP)
		return 0;
	if (WIFSTOPPED(status))
		trace_kill(pid);
	return -1;
}

/* Lets a stopped one go on until it stops again; the status, or -1. */
static int go_on(pid_t pid, int signal_number)
{
	int status;

	if (ptrace(PTRACE_CONT, pid, 0, (long)signal_number) != 0 ||
	    reap_once(pid, &status) != 0 || !WIFSTOPPED(status))
		return -1;
	return status;
}

pid_t trace_spawn_forked(trace_body *body, void *context)
{
	const int forked = SIGTRAP | PTRACE_EVENT_FORK << 8;
	pid_t parent = trace_spawn(body, context);
	unsigned long child = 0;
	int status = 0;

	if (parent <= 0)
		return parent;
	ptrace(PTRACE_SETOPTIONS, parent, 0, PTRACE_O_TRACEFORK);
	do
		status = go_on(parent, status ? WSTOPSIG(status) : 0);
	while (status >= 0 && status >> 8 != forked);
	if (status < 0 ||
	    ptrace(PTRACE_GETEVENTMSG, parent, 0, &child) != 0 ||
	    reap_once((pid_t)child, &status) != 0)
		return -1;
	ptrace(PTRACE_DETACH, parent, 0, 0);
	status = go_on((pid_t)child, 0);
	return status >= 0 && WSTOPSIG(status) == SIGSTOP ? (pid_t)child : -1;
}

/* ---- Listing the places -------------------------------------------------- */

struct arrivals {
	uint64_t pc[ARRIVALS_SLOTS];
	uint32_t count[ARRIVALS_SLOTS];
};

static uint32_t arrive(struct arrivals *arrivals, uint64_t pc, int again)
{
	uint32_t at = (uint32_t)((pc * 0x9e3779b97f4a7c15u) >> 40);

	for (uint32_t i = 0; i < ARRIVALS_SLOTS; i++) {
		uint32_t slot = (at + i) & (ARRIVALS_SLOTS - 1);

		if (arrivals->pc[slot] != 0 && arrivals->pc[slot] != pc)
			continue;
		arrivals->pc[slot] = pc;
		arrivals->count[slot] += again ? 0 : 1;
		return arrivals->count[slot];
	}
	return 0;
}

static int add_point(struct trace *trace, const struct trace_point *point)
{
	if (trace->count == trace->room) {
		size_t room = trace->room ? trace->room * 2 : 1024;
		void *points = realloc(trace->points,
				       room * sizeof(*trace->points));

		if (points == NULL)
			return -1;
		trace->points = points;
		trace->room = room;
	}
	trace->points[trace->count++] = *point;
	return 0;
}

static int own_text(uint64_t pc)
{
	return pc >= (uint64_t)(uintptr_t)__start_crash_text &&
	       pc < (uint64_t)(uintptr_t)__stop_crash_text;
}

/* Continues the victim in the way `request` says, handing it its signals,
 * until it stops for the tracer. Returns the stop signal, -1 at its end. */
static int resume(pid_t pid, int request)
{
	int status, signal_number = 0;

	for (;;) {
		if (ptrace(request, pid, 0, (long)signal_number) != 0)
			return -1;
		if (reap_soon(pid, &status) != 0 || !WIFSTOPPED(status))
			return -1;
		signal_number = WSTOPSIG(status);
		if (signal_number == SIGTRAP || signal_number == SYSCALL_STOP)
			return signal_number;
	}
}

/* Each stop costs two switches, so a place that was often passed is counted
 * from the last new place before it. */
static void find_anchor(const struct trace *trace, struct trace_point *point)
{
	uint32_t after = point->repeat == 0;

	for (size_t i = trace->count; i-- > 0;) {
		const struct trace_point *at = &trace->points[i];

		if (after + 1 >= point->arrival)
			return;
		if (at->pc == point->pc) {
			after += at->repeat == 0;
		} else if (at->arrival == 1 && at->repeat == 0) {
			point->anchor = at->pc;
			point->after = after;
			return;
		}
	}
}

static size_t steps_wanted;
static uint32_t repeats_wanted = UINT32_MAX;

static int run_to_breakpoint(pid_t pid, uint64_t pc, uint32_t arrivals)
{
	if (arch_breakpoint(pid, pc) != 0)
		return -1;
	for (; arrivals > 0; arrivals--)
		if (resume(pid, PTRACE_CONT) != SIGTRAP)
			return -1;
	return 0;
}

/* To the next instruction, or round of one that repeats; of its rounds those
 * that aren't wanted are left out. */
static int step(pid_t pid, uint64_t pc, uint32_t repeat)
{
	uint64_t end = use_breakpoints && repeat >= repeats_wanted ?
			       arch_repeat_end(pc) : 0;
	int result;

	if (end == 0)
		return resume(pid, PTRACE_SINGLESTEP) == SIGTRAP ? 0 : -1;
	result = run_to_breakpoint(pid, end, 1);
	arch_breakpoint_clear(pid);
	return result;
}

static void free_all(struct trace *trace)
{
	free(trace->points);
	memset(trace, 0, sizeof(*trace));
}

/*
 * Harness text is left out, except for the place after the operation's last
 * instruction, and trace_end itself. A change made there is carried over to
 * the next listed place.
 */
static int record(pid_t pid, trace_observer *observe, void *context,
		  struct arrivals *arrivals, struct trace *trace)
{
	const uint64_t end = (uint64_t)(uintptr_t)trace_end;
	uint64_t last = 0;
	uint32_t repeat = 0;
	unsigned carried = TRACE_CHANGED;
	int was_own = 1;

	for (; trace->steps < (steps_wanted ? steps_wanted : STEPS_MAX);
	     trace->steps++) {
		struct trace_point point = { 0 };
		int is_own;

		if (step(pid, last, repeat) != 0)
			return -1;
		point.pc = arch_pc(pid);
		repeat = point.pc == last ? repeat + 1 : 0;
		point.arrival = arrive(arrivals, point.pc, repeat != 0);
		point.repeat = repeat;
		carried |= observe != NULL && observe(context) ? TRACE_CHANGED
							       : 0;
		is_own = own_text(point.pc);
		last = point.pc;
		if (!is_own && arch_is_syscall(point.pc))
			point.kind |= TRACE_SYSCALL | TRACE_CHANGED;
		if (point.pc == end)
			point.kind |= TRACE_END | TRACE_CHANGED;
		if (!is_own || !was_own || point.pc == end) {
			point.kind |= carried;
			carried = 0;
			find_anchor(trace, &point);
			if (add_point(trace, &point) != 0)
				return -1;
		}
		/* What a system call did shows at the place after it. */
		if (point.kind & TRACE_SYSCALL)
			carried = TRACE_CHANGED;
		was_own = is_own;
		if (point.pc == end)
			return 0;
	}
	return steps_wanted ? 0 : -1;
}

void trace_set_steps(size_t steps)
{
	steps_wanted = steps;
}

void trace_set_repeats(uint32_t repeats)
{
	repeats_wanted = repeats;
}

int trace_record(pid_t pid, trace_observer *observe, void *context,
		 struct trace *ret_trace)
{
	struct trace trace = { 0 };
	struct arrivals *arrivals = calloc(1, sizeof(*arrivals));
	int result = -1;

	if (arrivals != NULL)
		result = record(pid, observe, context, arrivals, &trace);
	free(arrivals);
	if (result != 0) {
		free_all(&trace);
		return -1;
	}
	*ret_trace = trace;
	return 0;
}

void trace_free(struct trace *trace)
{
	free_all(trace);
}

/* ---- Getting there ------------------------------------------------------- */

static int step_repeat(pid_t pid, uint32_t repeat)
{
	for (; repeat > 0; repeat--)
		if (resume(pid, PTRACE_SINGLESTEP) != SIGTRAP)
			return -1;
	return 0;
}

static int step_to(pid_t pid, const struct trace_point *point)
{
	uint64_t last = 0;

	for (uint32_t arrival = 0; arrival < point->arrival;) {
		uint64_t pc;

		if (resume(pid, PTRACE_SINGLESTEP) != SIGTRAP)
			return -1;
		pc = arch_pc(pid);
		arrival += pc == point->pc && pc != last;
		last = pc;
	}
	return step_repeat(pid, point->repeat);
}

int trace_run_to(pid_t pid, const struct trace_point *point)
{
	uint32_t arrivals = point->anchor ? point->after : point->arrival;

	if (!use_breakpoints)
		return step_to(pid, point);
	if (point->anchor != 0 && run_to_breakpoint(pid, point->anchor, 1) != 0)
		return -1;
	if (run_to_breakpoint(pid, point->pc, arrivals) != 0)
		return -1;
	if (point->repeat > 0)
		arch_breakpoint_clear(pid);
	return step_repeat(pid, point->repeat);
}

int trace_run_to_syscall(pid_t pid, size_t n)
{
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
	for (; n > 0; n--)
		if (resume(pid, PTRACE_SYSCALL) != SYSCALL_STOP)
			return -1;
	return 0;
}

static int can_sleep(long number)
{
	return number == SYS_futex || number == FUTEX_WAITV_NUMBER ||
	       number == URING_ENTER_NUMBER || number == SYS_ppoll;
}

/* In its system call: 1 if it goes on sleeping there, 0 if it is back and
 * stopped. */
static int sleeps_on(pid_t pid)
{
	int64_t limit = now_ms() + NAP_MS;

	for (;;) {
		siginfo_t info = { 0 };

		if (waitid(P_PID, (id_t)pid, &info,
			   WSTOPPED | WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid != 0)
			return 0;
		if (now_ms() > limit)
			return trace_await_sleep(pid) == 0;
		sched_yield();
	}
}

int trace_run_to_sleep(pid_t pid)
{
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
	while (resume(pid, PTRACE_SYSCALL) == SYSCALL_STOP) {
		int status;

		if (!can_sleep(arch_call_number(pid))) {
			if (resume(pid, PTRACE_SYSCALL) != SYSCALL_STOP)
				break;
			continue;
		}
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		if (sleeps_on(pid))
			return 0;
		if (reap_once(pid, &status) != 0 || !WIFSTOPPED(status))
			break;
	}
	return -1;
}

int trace_await_waiting(pid_t pid)
{
	char path[64], line[64];

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	for (;;) {
		FILE *file = fopen(path, "re");
		siginfo_t info = { 0 };
		char *got;

		if (file == NULL)
			return -1;
		if (waitid(P_PID, (id_t)pid, &info,
			   WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid != 0) {
			fclose(file);
			return -1;
		}
		got = fgets(line, sizeof(line), file);
		fclose(file);
		if (got == NULL)
			return -1;
		if (strncmp(line, "running", 7) != 0 &&
		    can_sleep(strtol(line, NULL, 10)))
			return 0;
		sched_yield();
	}
}

int trace_run_to_return(pid_t pid)
{
	int status;

	if (reap_once(pid, &status) != 0 || !WIFSTOPPED(status))
		return -1;
	return WSTOPSIG(status) == SYSCALL_STOP ? 0 : -1;
}

size_t trace_count_syscalls(pid_t pid)
{
	size_t n = 0;

	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
	while (resume(pid, PTRACE_SYSCALL) == SYSCALL_STOP)
		n++;
	return n;
}

/* ---- Afterwards ---------------------------------------------------------- */

void trace_release(pid_t pid)
{
	if (use_breakpoints)
		arch_breakpoint_clear(pid);
	ptrace(PTRACE_DETACH, pid, 0, 0);
}

int trace_reap(pid_t pid)
{
	int status = 0;

	while (reap_once(pid, &status) == 0)
		if (!WIFSTOPPED(status))
			return status;
	return status;
}

void trace_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	trace_reap(pid);
}

void trace_stop(pid_t pid)
{
	siginfo_t info;

	kill(pid, SIGSTOP);
	waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT);
}

int trace_await_sleep(pid_t pid)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (;;) {
		FILE *file = fopen(path, "re");
		const char *after;
		char state = 'X';

		if (file == NULL)
			return -1;
		if (fgets(line, sizeof(line), file) != NULL) {
			after = strrchr(line, ')');
			state = after != NULL && after[1] ? after[2] : 'X';
		}
		fclose(file);
		if (state == 'S')
			return 0;
		if (state == 'Z' || state == 'X' || state == 't')
			return -1;
		sched_yield();
	}
}
