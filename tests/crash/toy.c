/* SPDX-License-Identifier: MIT */
/*
 * toy.c: the harness tried on a victim whose every state is known: it writes
 * two words in shared memory, copies a block, and makes a system call. All
 * must show up: that each place is reached, that no kill comes early or late.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

#define BLOCK_BYTES 600u
#define ROUNDS 5u
#define STOPS_EXPECTED 3u /* entry, exit, entry of the end */

struct toy {
	volatile uint64_t first, second;
	unsigned char block[BLOCK_BYTES];
	uint64_t seen[2];
};

static struct toy *toy;

/* Not harness text, so that its instructions are listed. */
__attribute__((noinline, section("toy_text"))) static void
toy_operation(void)
{
	static const unsigned char source[BLOCK_BYTES] = { 1 };

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		toy->first = i;
		toy->second = i;
	}
	memcpy(toy->block, source, BLOCK_BYTES);
	syscall(SYS_getppid);
}

static void toy_body(void *context)
{
	(void)context;
	trace_begin();
	toy_operation();
	trace_end();
	_exit(0);
}

static int toy_observe(void *context)
{
	uint64_t now[2] = { toy->first, toy->second };
	int changed = memcmp(now, toy->seen, sizeof(now)) != 0;

	(void)context;
	memcpy(toy->seen, now, sizeof(now));
	return changed;
}

static pid_t toy_spawn(void)
{
	pid_t pid;

	memset(toy, 0, sizeof(*toy));
	pid = trace_spawn(toy_body, NULL);
	if (pid <= 0)
		broken("the toy did not begin");
	return pid;
}

/* Words written up to and including each place. */
static void sweep(const struct trace *trace, const char *how)
{
	uint64_t changes = 0;

	for (size_t n = 0; n < trace->count; n++) {
		const struct trace_point *point = &trace->points[n];
		pid_t pid;

		changes += n > 0 && point->kind == TRACE_CHANGED;
		if (!experiment("toy place %zu of %zu by %s", n, trace->count,
				how))
			continue;
		board->pc = point->pc;
		pid = toy_spawn();
		if (trace_run_to(pid, point) != 0) {
			trouble("missed");
			experiment_failed();
			continue;
		}
		trace_kill(pid);
		board->counts.kills++;
		if (toy->first > ROUNDS || toy->first - toy->second > 1)
			trouble("words %llu %llu",
				(unsigned long long)toy->first,
				(unsigned long long)toy->second);
		if (changes <= 2 * (uint64_t)ROUNDS &&
		    toy->first + toy->second > changes)
			trouble("%llu words at change %llu",
				(unsigned long long)(toy->first + toy->second),
				(unsigned long long)changes);
		if (board->trouble[0] == '\0')
			experiment_passed();
		else
			experiment_failed();
	}
}

static void check_trace(const struct trace *trace)
{
	size_t changed = 0, calls = 0;

	if (!experiment("toy trace"))
		return;
	board->pc = 0;
	for (size_t n = 0; n < trace->count; n++) {
		changed += trace->points[n].kind == TRACE_CHANGED;
		calls += (trace->points[n].kind & TRACE_SYSCALL) != 0;
	}
	if (changed < 2 * ROUNDS || calls < 1)
		trouble("%zu places: %zu changed, %zu system calls",
			trace->count, changed, calls);
	if (trace_count_syscalls(toy_spawn()) != STOPS_EXPECTED)
		trouble("not %u system-call stops", STOPS_EXPECTED);
	if (board->trouble[0] == '\0')
		experiment_passed();
	else
		experiment_failed();
}

static void run_toy(const struct job *job)
{
	struct trace trace;
	int64_t began;
	pid_t pid;

	(void)job;
	toy = mmap(NULL, sizeof(*toy), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (toy == MAP_FAILED)
		broken("no memory");
	pid = toy_spawn();
	if (trace_record(pid, toy_observe, NULL, &trace) != 0)
		broken("the toy can't be traced");
	trace_kill(pid);
	check_trace(&trace);
	began = clock_ns();
	sweep(&trace, trace_has_breakpoints() ? "breakpoint" : "step");
	printf("toy: %zu places, %.0f kills/s\n", trace.count,
	       (double)trace.count * 1e9 / (double)(clock_ns() - began));
	trace_use_breakpoints(0);
	began = clock_ns();
	sweep(&trace, "step");
	printf("toy: stepping, %.0f kills/s\n",
	       (double)trace.count * 1e9 / (double)(clock_ns() - began));
	trace_free(&trace);
}

size_t list_toy_jobs(struct job *jobs, size_t room)
{
	if (room == 0)
		return 0;
	jobs[0] = (struct job){ .suite = "toy", .run = run_toy };
	return 1;
}
