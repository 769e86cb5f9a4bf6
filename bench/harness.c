/* SPDX-License-Identifier: MIT */
/* The harness's processes, clock and arithmetic. */
#include "harness.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALIBRATION_NS 50000000
#define HANG_SECONDS 60
#define ROWS_MAX 512
#define DISCARDED 16 /* the first 1/16 of the samples warms up */
/* More switches than this, in a run of spinning processes, is preemption. */
#define PREEMPTED_FREE 10
#define PREEMPTED_PER_SECOND 100

struct bench_shared *bench_shared;
struct bench_setup bench_setup = { .rounds = BENCH_RUNS };

static struct bench_record records[ROWS_MAX];
static size_t records_count;

void bench_add(const struct bench_row *rows, size_t count)
{
	if (count > ROWS_MAX - records_count) {
		fputs("stoa-bench: more rows than ROWS_MAX\n", stderr);
		abort();
	}
	for (size_t i = 0; i < count; i++)
		records[records_count++].row = &rows[i];
}

static int by_group(const void *left, const void *right)
{
	const struct bench_record *a = left, *b = right;

	if (a->row->group != b->row->group)
		return a->row->group < b->row->group ? -1 : 1;
	if (a->row->kind != b->row->kind)
		return a->row->kind < b->row->kind ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row;
}

struct bench_record *bench_records(size_t *ret_count)
{
	*ret_count = records_count;
	return records;
}

struct bench_record *bench_find(const char *name)
{
	for (size_t i = 0; i < records_count; i++)
		if (!strcmp(records[i].row->name, name))
			return &records[i];
	return NULL;
}

bool bench_less_is_better(enum bench_unit unit)
{
	return unit == BENCH_UNIT_NS || unit == BENCH_UNIT_PERCENT;
}

/* ---- Clock and cores ----------------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return now.tv_sec * (int64_t)BENCH_NS + now.tv_nsec;
}

static void calibrate(void)
{
	int64_t begin_ns = now_ns(), end_ns;
	uint64_t begin = bench_tick(), end;

	do {
		end_ns = now_ns();
		end = bench_tick();
	} while (end_ns - begin_ns < CALIBRATION_NS);
	bench_setup.ticks_per_ns =
		(double)(end - begin) / (double)(end_ns - begin_ns);
}

static void find_cores(void)
{
	cpu_set_t set;

	if (bench_setup.cores)
		return;
	if (sched_getaffinity(0, sizeof(set), &set))
		CPU_ZERO(&set);
	for (int cpu = 0; cpu < CPU_SETSIZE && bench_setup.cores < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			bench_setup.core[bench_setup.cores++] = cpu;
}

static void pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(bench_setup.core[core], &set);
	sched_setaffinity(0, sizeof(set), &set);
}

double bench_to_ns(double ticks)
{
	return ticks / bench_setup.ticks_per_ns;
}

uint64_t bench_to_ticks(double ns)
{
	return (uint64_t)(ns * bench_setup.ticks_per_ns);
}

uint64_t bench_duration_ticks(unsigned int ms)
{
	double ns = ms * 1e6;

	return bench_to_ticks(bench_setup.quick ? ns / 3 : ns);
}

int bench_begin(void)
{
	void *shared = mmap(NULL, sizeof(*bench_shared),
	                    PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (shared == MAP_FAILED)
		return -errno;
	bench_shared = shared;
	find_cores();
	calibrate();
	qsort(records, records_count, sizeof(records[0]), by_group);
	return 0;
}

void bench_end(void)
{
	munmap(bench_shared, sizeof(*bench_shared));
}

/* ---- Processes ----------------------------------------------------------- */

void bench_ready(void)
{
	__atomic_fetch_add(&bench_shared->ready, 1, __ATOMIC_ACQ_REL);
	while (!__atomic_load_n(&bench_shared->go, __ATOMIC_ACQUIRE))
		sched_yield();
}

int bench_fail(struct bench_part *part, int error, const char *what)
{
	snprintf(part->note, sizeof(part->note), "%s (%s)", what,
	         strerror(error < 0 ? -error : error));
	return error < 0 ? error : -error;
}

static uint64_t time_ns(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * BENCH_NS +
	       (uint64_t)time->tv_usec * 1000;
}

static _Noreturn void play_role(const struct bench_role *role, void *stage,
                                int index)
{
	struct bench_part *part = &bench_shared->part[index];
	struct rusage usage;
	int result;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(HANG_SECONDS);
	pin(role->core);
	result = role->play(stage, part, index);
	getrusage(RUSAGE_SELF, &usage);
	part->cpu_ns = time_ns(&usage.ru_utime) + time_ns(&usage.ru_stime);
	part->slept = (uint64_t)usage.ru_nvcsw;
	part->preempted = (uint64_t)usage.ru_nivcsw;
	_exit(result < 0);
}

static void end_others(const pid_t *pids, int count)
{
	for (int i = 0; i < count; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
}

/* Waits for all; the first that fails takes the others with it. */
static int wait_for(pid_t *pids, int count)
{
	int failure = 0;

	for (int left = count; left > 0; left--) {
		int status, i = 0;
		pid_t pid = wait(&status);

		if (pid < 0)
			return failure ? failure : -errno;
		while (i < count && pids[i] != pid)
			i++;
		if (i < count)
			pids[i] = 0;
		if (status == 0 || failure)
			continue;
		failure = -ECHILD;
		if (i < count && WIFSIGNALED(status) &&
		    !bench_shared->part[i].note[0])
			snprintf(bench_shared->part[i].note, BENCH_NOTE_BYTES,
			         "process %d ended by signal %d", i,
			         WTERMSIG(status));
		end_others(pids, count);
	}
	return failure;
}

/* Lets all go once all are ready, unless one has ended before that. */
static void start_together(int count)
{
	siginfo_t info = { .si_pid = 0 };

	while (__atomic_load_n(&bench_shared->ready, __ATOMIC_ACQUIRE) <
	       (uint32_t)count) {
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		    info.si_pid)
			break;
		usleep(20);
	}
	__atomic_store_n(&bench_shared->go, 1, __ATOMIC_RELEASE);
}

int bench_play(const struct bench_role *roles, int count, void *stage)
{
	pid_t pids[BENCH_PROCESSES] = { 0 };
	int forked;

	bench_shared->ready = bench_shared->go = bench_shared->samples = 0;
	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	fflush(NULL);
	for (forked = 0; forked < count; forked++) {
		pids[forked] = fork();
		if (!pids[forked])
			play_role(&roles[forked], stage, forked);
		if (pids[forked] < 0)
			break;
	}
	if (forked < count) {
		end_others(pids, forked);
		wait_for(pids, forked);
		return -EAGAIN;
	}
	start_together(count);
	return wait_for(pids, count);
}

const char *bench_last_note(void)
{
	for (int i = 0; i < BENCH_PROCESSES; i++)
		if (bench_shared->part[i].note[0])
			return bench_shared->part[i].note;
	return "";
}

/* ---- Arithmetic ---------------------------------------------------------- */

static int by_double(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

double bench_median(double *values, int count)
{
	if (!count)
		return 0;
	qsort(values, (size_t)count, sizeof(*values), by_double);
	if (count % 2)
		return values[count / 2];
	return (values[count / 2 - 1] + values[count / 2]) / 2;
}

static int by_sample(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

/* The counter may tick in steps of 10 ns and more; the mean of the middle half
 * is as robust as the median, and finer than a step. */
static double middle_mean(const uint32_t *sample, uint32_t count)
{
	uint32_t first = count / 4, last = count - count / 4;
	double sum = 0;

	for (uint32_t i = first; i < last; i++)
		sum += sample[i];
	return sum / (last - first);
}

void bench_percentiles(struct bench_result *result, double per)
{
	uint32_t skipped = bench_shared->samples / DISCARDED;
	uint32_t count = bench_shared->samples - skipped;
	uint32_t *sample = bench_shared->sample + skipped;

	if (!count)
		return;
	qsort(sample, count, sizeof(*sample), by_sample);
	result->value = bench_to_ns(middle_mean(sample, count)) / per;
	result->p99 = bench_to_ns(sample[(uint64_t)count * 99 / 100]) / per;
	result->p999 = bench_to_ns(sample[(uint64_t)count * 999 / 1000]) / per;
}

void bench_account(const struct bench_row *row, int processes,
                   double messages, struct bench_result *result)
{
	uint64_t cpu_ns = 0, preempted = 0, ticks = 0;

	for (int i = 0; i < processes; i++) {
		const struct bench_part *part = &bench_shared->part[i];

		cpu_ns += part->cpu_ns;
		preempted += part->preempted;
		if (part->ticks > ticks)
			ticks = part->ticks;
		if (part->bad)
			result->marks |= BENCH_BAD;
		if (bench_to_ns((double)part->gap_ticks) / 1e6 >
		    result->gap_ms)
			result->gap_ms =
				bench_to_ns((double)part->gap_ticks) / 1e6;
	}
	if (messages > 0)
		result->cpu_ns = (double)cpu_ns / messages;
	if (!row->spec.crowded && !row->spec.one_core &&
	    (double)preempted > PREEMPTED_FREE +
	    PREEMPTED_PER_SECOND * bench_to_ns((double)ticks) / BENCH_NS)
		result->marks |= BENCH_PREEMPTED;
}
