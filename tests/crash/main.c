/* SPDX-License-Identifier: MIT */
/* main.c: the supervisor: jobs, workers, counts. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "seeded.h"

#define JOBS_MAX 16384u
#define RESTARTS_PER_JOB 8u
#define SUPERVISORS_MAX 64u
#define SUITES_MAX 64u

/* Supervisors beside one another take the jobs in turn. */
struct office {
	_Atomic uint32_t next;
	_Atomic uint32_t stop; /* one has failed, and the first was wanted */
	struct board boards[SUPERVISORS_MAX];
	/* For the table: what each supervisor did, by the suite. */
	struct counts rows[SUPERVISORS_MAX][SUITES_MAX];
};

/* Which of the seeded bugs of src/base/bug.h is switched on, in a library that
 * was built with -DSTOA_SEEDED_BUG=stoa_seeded_bug; see mutants.sh. */
unsigned stoa_seeded_bug;

static struct office *office;
static uint32_t supervisors = 1;
static struct job jobs[JOBS_MAX];
static size_t jobs_count;
static const char *suites[SUITES_MAX];
static size_t suites_count;
static uint32_t supervisor; /* this one's number */

/* ---- Workers ------------------------------------------------------------- */

/* Victims and survivors take turns, so one processor is faster than two. */
static void pin(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : (size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void worker(const struct job *job, const char *path)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin();
	worker_begin(job, path);
	if (job->state != NULL && stage_open(&stage, path) != 0)
		broken("%s", board->trouble);
	job->run(job);
	if (job->state != NULL)
		stage_close(&stage);
	worker_end();
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
	return worker_ended(status);
}

static int matches(const struct job *job)
{
	if (settings.suite != NULL && strcmp(settings.suite, job->suite) != 0)
		return 0;
	if (settings.operation != NULL &&
	    strcmp(settings.operation, job_name(job)) != 0)
		return 0;
	return settings.state == NULL ||
	       strncmp(settings.state, job_where(job),
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

/* All counters are of one type, so that they can be added up as a row. */
static void add_counts(struct counts *sum, const struct counts *from,
		       const struct counts *minus)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *plus = (const uint64_t *)from;
	const uint64_t *less = (const uint64_t *)minus;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += plus[i] - (less != NULL ? less[i] : 0);
}

static size_t suite_number(const char *name)
{
	size_t i = 0;

	while (i < suites_count && strcmp(suites[i], name) != 0)
		i++;
	if (i == suites_count && i < SUITES_MAX)
		suites[suites_count++] = name;
	return i < SUITES_MAX ? i : SUITES_MAX - 1;
}

static void run_job(const struct job *job)
{
	struct counts before_all = board->counts;
	int64_t began = clock_ns();
	uint64_t before = board->counts.passed;
	double cpu = children_seconds();

	board->step = 0;
	board->failures_here = 0;
	board->counts.jobs++;
	for (uint32_t i = 0; i < RESTARTS_PER_JOB && run_worker(job); i++)
		if (settings.first_only && board->counts.failed)
			return;
	job_ended();
	add_counts(&office->rows[supervisor][suite_number(job->suite)],
		   &board->counts, &before_all);
	if (settings.verbose)
		printf("job  %s %s %s: %llu passed, %u failed, %.2f s cpu, "
		       "%.2f s\n",
		       job->suite, job_name(job), job_where(job),
		       (unsigned long long)(board->counts.passed - before),
		       board->failures_here, children_seconds() - cpu,
		       (double)(clock_ns() - began) / 1e9);
}

/* ---- Main ---------------------------------------------------------------- */

static void usage(void)
{
	puts("usage: crash [-p mutant|default|full] [-s SUITE] [-o OPERATION]\n"
	     "             [-t STATE-PREFIX] [-r SEED] [-n STEP] [-j JOBS] "
	     "[-T SECONDS]\n"
	     "             [-b BUG] [-1] [-v] [-l]\n"
	     "Kills victims at every instruction and checks what is left. "
	     "With -T the jobs\n"
	     "are done in an order drawn by the seed, until the time is up.\n"
	     "suites: toy calm kill space blocked stop nested schedule");
	exit(2);
}

static enum portion portion_named(const char *name)
{
	if (strcmp(name, "mutant") == 0)
		return PORTION_MUTANT;
	if (strcmp(name, "full") == 0)
		return PORTION_FULL;
	if (strcmp(name, "default") != 0)
		usage();
	return PORTION_DEFAULT;
}

static int64_t in_seconds_from_now(const char *text)
{
	return clock_ns() + strtoll(text, NULL, 0) * 1000000000;
}

static void parse(int argc, char **argv, int *ret_list)
{
	int option;

	while ((option = getopt(argc, argv, "p:s:o:t:r:n:j:T:b:1vl")) != -1)
		switch (option) {
		case 'p': settings.portion = portion_named(optarg); break;
		case 's': settings.suite = optarg; break;
		case 'o': settings.operation = optarg; break;
		case 't': settings.state = optarg; break;
		case 'r': settings.seed = strtoull(optarg, NULL, 0); break;
		case 'n': settings.only_step = strtoull(optarg, NULL, 0); break;
		case 'j': supervisors = (uint32_t)atoi(optarg); break;
		case 'T': settings.until_ns = in_seconds_from_now(optarg); break;
		case 'b': stoa_seeded_bug = (unsigned)atoi(optarg); break;
		case '1': settings.first_only = 1; break;
		case 'v': settings.verbose = 1; break;
		case 'l': *ret_list = 1; break;
		default: usage();
		}
	if (optind != argc || supervisors < 1 || supervisors > SUPERVISORS_MAX)
		usage();
}

static void print_counts(const struct board *all, double seconds)
{
	const struct counts *c = &all->counts;

	printf("crash: seed %llu, %llu of %zu jobs (%llu do not apply, %llu cut "
	       "short by the time limit), %.1f s, %.1f s of processor time, "
	       "slowest survivor %.2f ms; slowest promise %.2f ms, %llu late "
	       "and tried again\n",
	       (unsigned long long)settings.seed, (unsigned long long)c->jobs,
	       jobs_count, (unsigned long long)c->skipped,
	       (unsigned long long)c->cut, seconds, children_seconds(),
	       (double)all->worst_ns / 1e6, (double)all->slowest_ns / 1e6,
	       (unsigned long long)c->late);
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

/* What a limited run gets done is then a fair sample of all. */
static void shuffle_jobs(void)
{
	uint64_t random = (settings.seed + 1) * 0x9e3779b97f4a7c15u;

	for (size_t i = jobs_count; i > 1; i--) {
		size_t k = random_next(&random) % i;
		struct job job = jobs[i - 1];

		jobs[i - 1] = jobs[k];
		jobs[k] = job;
	}
}

static void list_jobs(void)
{
	static job_list *const lists[] = {
		list_toy_jobs,    list_calm_jobs, list_stop_jobs,
		list_space_jobs,  list_kill_jobs, list_schedule_jobs,
		list_nested_jobs, list_blocked_jobs,
		list_subject_jobs, list_subject_nested_jobs,
		list_subject_blocked_jobs, list_dropin_jobs
	};
	size_t kept = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		jobs_count += lists[i](jobs + jobs_count,
				       JOBS_MAX - jobs_count);
	for (size_t i = 0; i < jobs_count; i++)
		if (matches(&jobs[i]))
			jobs[kept++] = jobs[i];
	jobs_count = kept;
	for (size_t i = 0; i < jobs_count; i++)
		suite_number(jobs[i].suite);
	if (settings.until_ns != 0)
		shuffle_jobs();
}

static void supervise(uint32_t number)
{
	uint32_t i;

	supervisor = number;
	board = &office->boards[number];
	while (!atomic_load(&office->stop) && !out_of_time() &&
	       (i = atomic_fetch_add(&office->next, 1)) < jobs_count) {
		run_job(&jobs[i]);
		if (settings.first_only && board->counts.failed)
			atomic_store(&office->stop, 1);
	}
}

static void supervise_all(void)
{
	int status;

	for (uint32_t i = 1; i < supervisors; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			supervise(i);
			fflush(stdout);
			_exit(0);
		}
	supervise(0);
	while (wait(&status) > 0 || errno == EINTR)
		;
}

static void add_up(struct board *all)
{
	for (uint32_t i = 0; i < supervisors; i++) {
		const struct board *one = &office->boards[i];

		add_counts(&all->counts, &one->counts, NULL);
		if (one->worst_ns > all->worst_ns)
			all->worst_ns = one->worst_ns;
		if (one->slowest_ns > all->slowest_ns)
			all->slowest_ns = one->slowest_ns;
	}
}

static void print_table(void)
{
	printf("%-24s %5s %7s %7s %8s %8s %7s %7s %6s %7s %6s\n", "suite",
	       "jobs", "kills", "places", "syscalls", "blocked", "nested",
	       "passed", "failed", "missed", "cut");
	for (size_t k = 0; k < suites_count; k++) {
		struct counts row = { 0 };

		for (uint32_t i = 0; i < supervisors; i++)
			add_counts(&row, &office->rows[i][k], NULL);
		printf("%-24s %5llu %7llu %7llu %8llu %8llu %7llu %7llu %6llu "
		       "%7llu %6llu\n", suites[k], (unsigned long long)row.jobs,
		       (unsigned long long)row.kills,
		       (unsigned long long)row.points,
		       (unsigned long long)row.syscalls,
		       (unsigned long long)row.blocked,
		       (unsigned long long)row.nested,
		       (unsigned long long)row.passed,
		       (unsigned long long)row.failed,
		       (unsigned long long)row.missed,
		       (unsigned long long)row.cut);
	}
}

int main(int argc, char **argv)
{
	static struct board all;
	int64_t began = clock_ns();
	int list_only = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, &list_only);
	list_jobs();
	for (size_t i = 0; list_only && i < jobs_count; i++)
		printf("%s %s %s\n", jobs[i].suite, job_name(&jobs[i]),
		       job_where(&jobs[i]));
	if (list_only)
		return 0;
	office = mmap(NULL, sizeof(*office), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (office == MAP_FAILED)
		return 1;
	supervise_all();
	add_up(&all);
	print_table();
	print_counts(&all, (double)(clock_ns() - began) / 1e9);
	return all.counts.failed == 0 && all.counts.passed > 0 ? 0 : 1;
}
