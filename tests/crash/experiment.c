/* SPDX-License-Identifier: MIT */
/*
 * experiment.c: one experiment at a time: which are to be done, how long they
 * may take, and what is said of those that fail.
 */
#include <execinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define REPORTS_PER_JOB 3u
#define BETWEEN_FACTOR 3u
/* A loop's later rounds are sampled: each stop in a loop costs a switch. */
#define LOOP_ARRIVALS 64u
#define LOOP_STRIDE 16u
#define SHORT_ARRIVALS 4u
#define SHORT_STRIDE 64u
#define REPEATS 3u
#define STATUS_BROKEN 3
#define STATUS_HANG 4
#define STATUS_CRASH 5

struct board *board;
struct settings settings = {
	.portion = PORTION_DEFAULT, .seed = 1, .only_step = UINT64_MAX
};
struct stage stage;
const char *worker_path;

static uint64_t step_here; /* experiments counted by this worker */

/* ---- For the worker ------------------------------------------------------ */

int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* xorshift64* */
uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

int out_of_time(void)
{
	return settings.until_ns != 0 && clock_ns() > settings.until_ns;
}

static unsigned hang_limit(void)
{
	return stoa_seeded_bug != 0 ? HANG_SECONDS_SEEDED : HANG_SECONDS;
}

int64_t patient_ns(void)
{
	return INT64_C(1000000000) * (stoa_seeded_bug != 0
					      ? PATIENT_SECONDS_SEEDED
					      : PATIENT_SECONDS);
}

static void arm(unsigned seconds)
{
	struct itimerval timer = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_REAL, &timer, NULL);
}

int experiment(const char *format, ...)
{
	va_list arguments;

	step_here++;
	if (step_here <= board->step)
		return 0;
	if (out_of_time()) {
		board->counts.cut++;
		worker_end();
	}
	board->step = step_here;
	if (settings.only_step != UINT64_MAX && settings.only_step != step_here)
		return 0;
	board->trouble[0] = '\0';
	board->late = 0;
	va_start(arguments, format);
	vsnprintf(board->where, sizeof(board->where), format, arguments);
	va_end(arguments);
	arm(hang_limit());
	return 1;
}

/* What is done between experiments, as recording, must end, too. */
static void arm_between(void)
{
	arm(BETWEEN_FACTOR * hang_limit());
}

void experiment_passed(void)
{
	arm_between();
	board->counts.passed++;
	if (settings.verbose)
		printf("ok   %s\n", board->where);
}

void experiment_again(void)
{
	board->trouble[0] = '\0';
	board->late = 0;
	arm(hang_limit());
}

void experiment_missed(void)
{
	arm_between();
	board->counts.missed++;
	if (settings.verbose)
		printf("miss %s\n", board->where);
}

int trouble(const char *format, ...)
{
	va_list arguments;

	if (board->trouble[0] != '\0')
		return -1;
	va_start(arguments, format);
	vsnprintf(board->trouble, sizeof(board->trouble), format, arguments);
	va_end(arguments);
	return -1;
}

void broken(const char *format, ...)
{
	va_list arguments;

	board->trouble[0] = '\0';
	va_start(arguments, format);
	vsnprintf(board->trouble, sizeof(board->trouble), format, arguments);
	va_end(arguments);
	_exit(STATUS_BROKEN);
}

/* ---- Reports ------------------------------------------------------------- */

static void print_place(const char *label, uint64_t pc)
{
	char command[640], line[512];
	FILE *pipe_file;

	snprintf(command, sizeof(command),
		 "addr2line -p -f -s -i -e /proc/%d/exe 0x%llx 2>/dev/null",
		 (int)getpid(), (unsigned long long)pc);
	pipe_file = popen(command, "r");
	while (pipe_file != NULL && fgets(line, sizeof(line), pipe_file))
		printf("     %s 0x%llx %s", label, (unsigned long long)pc,
		       line);
	if (pipe_file != NULL)
		pclose(pipe_file);
}

static void report(const char *what)
{
	board->counts.failed++;
	if (board->failures_here++ >= REPORTS_PER_JOB)
		return;
	printf("FAIL %s (step %llu)\n     %s%s\n", board->where,
	       (unsigned long long)board->step, what, board->trouble);
	if (board->pc != 0)
		print_place("killed at", board->pc);
	for (uint32_t i = 0; i < board->stack_count; i++)
		print_place("survivor at", (uint64_t)(uintptr_t)
			    board->stack[i]);
	board->stack_count = 0;
	fflush(stdout);
}

void experiment_failed(void)
{
	arm_between();
	report("");
	if (settings.first_only)
		_exit(0);
}

static void on_fault(int number)
{
	board->stack_count = (uint32_t)backtrace(board->stack, STACK_MAX);
	_exit(number == SIGALRM ? STATUS_HANG : STATUS_CRASH);
}

const char *job_name(const struct job *job)
{
	if (job->name != NULL)
		return job->name;
	return job->operation != NULL ? job->operation->name : "-";
}

const char *job_where(const struct job *job)
{
	if (job->where != NULL)
		return job->where;
	return job->state != NULL ? job->state->name : "-";
}

void worker_begin(const struct job *job, const char *path)
{
	void *warm[1];

	(void)backtrace(warm, 1); /* loads what it needs now, not in a fault */
	signal(SIGALRM, on_fault);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	signal(SIGABRT, on_fault);
	trace_set_repeats(settings.portion == PORTION_FULL ? UINT32_MAX
							   : REPEATS);
	step_here = 0;
	worker_path = path;
	snprintf(board->where, sizeof(board->where), "%s %s in %s", job->suite,
		 job_name(job), job_where(job));
	board->trouble[0] = '\0';
	board->pc = 0;
	arm(hang_limit());
}

void survivor_start(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	arm(hang_limit());
}

void survivor_ended(int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_CRASH;

	_exit(code);
}

void worker_end(void)
{
	arm(0);
	fflush(stdout);
	_exit(0);
}

int worker_ended(int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == 0)
		return 0;
	if (code == STATUS_BROKEN)
		report("can't go on: ");
	else
		report(code == STATUS_HANG ? "hang " :
					     "the survivor crashed ");
	return code != STATUS_BROKEN;
}

void job_ended(void)
{
	if (board->failures_here > REPORTS_PER_JOB)
		printf("     ... and %u more like these\n",
		       board->failures_here - REPORTS_PER_JOB);
}

/* ---- What to try --------------------------------------------------------- */

#define REPEAT_STRIDE 61u
#define DEFAULT_STRIDE 97u

/* System calls are places of the other sweep, too. */
#define STOPS_STRIDE 8u

int portion_turn(size_t n, size_t stride)
{
	return settings.portion == PORTION_FULL ||
	       n % stride == settings.seed % stride;
}

int portion_wants_stop(size_t n)
{
	return portion_turn(n, STOPS_STRIDE);
}

struct trace_point trial(const struct trace_point *point, int number)
{
	struct trace_point aim = *point;

	if (number < TRIES - 1)
		return aim;
	aim.arrival = 1;
	aim.repeat = 0;
	aim.anchor = 0;
	return aim;
}

static int sampled(uint32_t n, uint32_t all, uint32_t stride)
{
	return n <= all || n % stride == 0;
}

int portion_wants(const struct trace_point *point, size_t n)
{
	if (settings.portion == PORTION_FULL)
		return sampled(point->repeat, REPEATS, REPEAT_STRIDE) &&
		       sampled(point->arrival, LOOP_ARRIVALS, LOOP_STRIDE);
	if (!sampled(point->arrival, SHORT_ARRIVALS, SHORT_STRIDE) ||
	    !sampled(point->repeat, REPEATS, REPEAT_STRIDE))
		return 0;
	if (point->kind != TRACE_PLAIN)
		return 1;
	return settings.portion == PORTION_DEFAULT &&
	       (n + settings.seed) % DEFAULT_STRIDE == 0;
}
