/* SPDX-License-Identifier: MIT */
/* main.c: the supervisor: jobs, workers, reports, counts. */
#include <errno.h>
#include <execinfo.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define JOBS_MAX 16384u
#define REPORTS_PER_JOB 3u
#define RESTARTS_PER_JOB 8u
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
static char program[512];

/* ---- For the worker ------------------------------------------------------- */

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
	board->step = step_here;
	if (settings.only_step != UINT64_MAX && settings.only_step != step_here)
		return 0;
	board->trouble[0] = '\0';
	va_start(arguments, format);
	vsnprintf(board->where, sizeof(board->where), format, arguments);
	va_end(arguments);
	arm(HANG_SECONDS);
	return 1;
}

void experiment_passed(void)
{
	arm(0);
	board->counts.passed++;
	if (settings.verbose)
		printf("ok   %s\n", board->where);
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

/* ---- Reports -------------------------------------------------------------- */

static void print_place(const char *label, uint64_t pc)
{
	char command[640], line[512];
	FILE *pipe_file;

	snprintf(command, sizeof(command),
		 "addr2line -p -f -s -i -e %s 0x%llx 2>/dev/null", program,
		 (unsigned long long)pc);
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
	arm(0);
	report("");
	if (settings.first_only)
		_exit(0);
}

static void on_fault(int number)
{
	board->stack_count = (uint32_t)backtrace(board->stack, STACK_MAX);
	_exit(number == SIGALRM ? STATUS_HANG : STATUS_CRASH);
}

/* ---- What to try ---------------------------------------------------------- */

/* A loop's later rounds are sampled: each stop in a loop costs a switch. */
#define LOOP_ARRIVALS 64u
#define LOOP_STRIDE 16u
#define SHORT_ARRIVALS 6u
#define SHORT_STRIDE 64u
#define REPEATS 3u
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

/* ---- Workers -------------------------------------------------------------- */

/* Victims and survivors take turns, so one processor is faster than two. */
static void pin(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : (size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static const char *name_of(const struct job *job)
{
	if (job->name != NULL)
		return job->name;
	return job->operation != NULL ? job->operation->name : "-";
}

static const char *where_of(const struct job *job)
{
	if (job->where != NULL)
		return job->where;
	return job->state != NULL ? job->state->name : "-";
}

static void worker(const struct job *job, const char *path)
{
	void *warm[1];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin();
	(void)backtrace(warm, 1); /* loads what it needs now, not in a fault */
	signal(SIGALRM, on_fault);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	signal(SIGABRT, on_fault);
	step_here = 0;
	worker_path = path;
	snprintf(board->where, sizeof(board->where), "%s %s in %s", job->suite,
		 name_of(job), where_of(job));
	board->trouble[0] = '\0';
	board->pc = 0;
	arm(HANG_SECONDS);
	if (job->state != NULL && stage_open(&stage, path) != 0)
		_exit(STATUS_BROKEN);
	job->run(job);
	arm(0);
	if (job->state != NULL)
		stage_close(&stage);
	fflush(stdout);
	_exit(0);
}

static void remove_space(const char *path)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command) != 0)
		printf("can't remove %s\n", path);
}

/* 0: the job is done; 1: there is more of it. */
static int run_worker(const struct job *job)
{
	static unsigned serial;
	char path[64];
	int status = 0;
	pid_t pid;

	snprintf(path, sizeof(path), "/dev/shm/stoa-crash-%d-%u",
		 (int)getpid(), serial++);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		worker(job, path);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	remove_space(path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_HANG)
		report("hang ");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_BROKEN)
		report("can't go on: ");
	else
		report("the survivor crashed ");
	return WIFEXITED(status) && WEXITSTATUS(status) == STATUS_BROKEN ? 0
									 : 1;
}

static int matches(const struct job *job)
{
	if (settings.suite != NULL && strcmp(settings.suite, job->suite) != 0)
		return 0;
	if (settings.operation != NULL &&
	    strcmp(settings.operation, name_of(job)) != 0)
		return 0;
	return settings.state == NULL ||
	       strncmp(settings.state, where_of(job),
		       strlen(settings.state)) == 0;
}

static double in_seconds(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static double children_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return in_seconds(&usage.ru_utime) + in_seconds(&usage.ru_stime);
}

static void run_job(const struct job *job)
{
	int64_t began = clock_ns();
	uint64_t before = board->counts.passed;
	double cpu = children_seconds();

	board->step = 0;
	board->failures_here = 0;
	board->counts.jobs++;
	for (uint32_t i = 0; i < RESTARTS_PER_JOB && run_worker(job); i++)
		if (settings.first_only && board->counts.failed)
			return;
	if (board->failures_here > REPORTS_PER_JOB)
		printf("     ... and %u more like these\n",
		       board->failures_here - REPORTS_PER_JOB);
	if (settings.verbose)
		printf("job  %s %s %s: %llu passed, %u failed, %.2f s cpu, "
		       "%.2f s\n",
		       job->suite, name_of(job), where_of(job),
		       (unsigned long long)(board->counts.passed - before),
		       board->failures_here, children_seconds() - cpu,
		       (double)(clock_ns() - began) / 1e9);
}

/* ---- Main ----------------------------------------------------------------- */

static void usage(void)
{
	puts("usage: crash [-p mutant|default|full] [-s SUITE] [-o OPERATION]\n"
	     "             [-t STATE-PREFIX] [-r SEED] [-n STEP] [-1] [-v] [-l]\n"
	     "Kills victims at every instruction and checks what is left.\n"
	     "suites: toy calm kill space blocked stop nested schedule");
	exit(2);
}

static void parse(int argc, char **argv, int *ret_list)
{
	int option;

	while ((option = getopt(argc, argv, "p:s:o:t:r:n:1vl")) != -1)
		switch (option) {
		case 'p':
			settings.portion = optarg[0] == 'm' ? PORTION_MUTANT :
					   optarg[0] == 'f' ? PORTION_FULL :
							      PORTION_DEFAULT;
			break;
		case 's': settings.suite = optarg; break;
		case 'o': settings.operation = optarg; break;
		case 't': settings.state = optarg; break;
		case 'r': settings.seed = strtoull(optarg, NULL, 0); break;
		case 'n': settings.only_step = strtoull(optarg, NULL, 0); break;
		case '1': settings.first_only = 1; break;
		case 'v': settings.verbose = 1; break;
		case 'l': *ret_list = 1; break;
		default: usage();
		}
	if (optind != argc)
		usage();
}

static void print_counts(double seconds)
{
	const struct counts *c = &board->counts;

	printf("crash: seed %llu, %llu jobs (%llu do not apply), %.1f s, "
	       "%.1f s of processor time, slowest survivor %.2f ms\n",
	       (unsigned long long)settings.seed, (unsigned long long)c->jobs,
	       (unsigned long long)c->skipped, seconds,
	       children_seconds(),
	       (double)board->worst_ns / 1e6);
	printf("crash: %llu kills; %llu distinct (operation, starting state, "
	       "instruction), %llu counting each arrival; %llu at system "
	       "calls; %llu while blocked; %llu nested kills; %llu stops; "
	       "%llu schedules; %llu places missed\n",
	       (unsigned long long)c->kills,
	       (unsigned long long)c->instructions,
	       (unsigned long long)c->points, (unsigned long long)c->syscalls,
	       (unsigned long long)c->blocked, (unsigned long long)c->nested,
	       (unsigned long long)c->stops, (unsigned long long)c->schedules,
	       (unsigned long long)c->missed);
	printf("%llu passed, %llu failed\n", (unsigned long long)c->passed,
	       (unsigned long long)c->failed);
}

int main(int argc, char **argv)
{
	static struct job jobs[JOBS_MAX];
	static job_list *const lists[] = {
		list_toy_jobs,	list_calm_jobs,	   list_kill_jobs,
		list_space_jobs, list_stop_jobs,   list_nested_jobs,
		list_blocked_jobs, list_schedule_jobs
	};
	int64_t began = clock_ns();
	size_t count = 0;
	int list_only = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, &list_only);
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		return 1;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		count += lists[i](jobs + count, JOBS_MAX - count);
	for (size_t i = 0; i < count; i++) {
		if (!matches(&jobs[i]))
			continue;
		if (list_only) {
			printf("%s %s %s\n", jobs[i].suite, name_of(&jobs[i]),
			       where_of(&jobs[i]));
			continue;
		}
		run_job(&jobs[i]);
		if (settings.first_only && board->counts.failed)
			break;
	}
	if (list_only)
		return 0;
	print_counts((double)(clock_ns() - began) / 1e9);
	return board->counts.failed == 0 && board->counts.passed > 0 ? 0 : 1;
}
