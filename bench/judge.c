/* SPDX-License-Identifier: MIT */
/*
 * The judge: runs the rows of a group in rounds, so that what is compared is
 * measured side by side; puts a cache-line probe before and after each run;
 * watches for other people's load; repeats a run that can't be trusted while
 * there is time for that, and marks it when there is none left.
 */
#include "harness.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define FAR_NS 150.0        /* no two near cores are this slow */
#define FAR_TIMES 1.6       /* nor this many times the first probes */
#define CHANGED_TIMES 1.25
#define PROBES_AT_START 20
#define TRIES 4             /* of one run */
#define REPEAT_SECONDS 100  /* for all repetitions together */
#define REPEAT_SECONDS_QUICK 15
#define SETTLE_US 20000     /* before a repetition */
#define FOREIGN_NS 20000000 /* of foreign time are the clock's grain */
#define FOREIGN_SHARE 0.04  /* of the run, on any core, is too much */

static double near_ns;
static double repeat_seconds_left;

struct load {
	double wall, busy_ns, steal_ns, own_ns;
};

static double usage_ns(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) *
	       BENCH_NS + (double)(usage.ru_utime.tv_usec +
	                           usage.ru_stime.tv_usec) * 1000;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / BENCH_NS;
}

/* What the bench's two cores did so far, by the kernel's own count. */
static void read_load(struct load *load)
{
	double grain = (double)BENCH_NS / (double)sysconf(_SC_CLK_TCK);
	unsigned long long user, nice, system, idle, io, irq, soft, steal;
	char line[512];
	int cpu;
	FILE *file = fopen("/proc/stat", "re");

	load->busy_ns = load->steal_ns = 0;
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line,
		           "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu",
		           &cpu, &user, &nice, &system, &idle, &io, &irq,
		           &soft, &steal) != 9)
			continue;
		if (cpu != bench_setup.core[0] && cpu != bench_setup.core[1])
			continue;
		load->busy_ns += grain * (double)(user + nice + system + irq +
		                                  soft);
		load->steal_ns += grain * (double)steal;
	}
	if (file)
		fclose(file);
	load->own_ns = usage_ns(RUSAGE_SELF) + usage_ns(RUSAGE_CHILDREN);
	load->wall = seconds();
}

static bool loaded(const struct load *before, const struct load *after)
{
	double foreign = (after->busy_ns - before->busy_ns) -
	                 (after->own_ns - before->own_ns);
	double wall_ns = (after->wall - before->wall) * BENCH_NS;

	return after->steal_ns - before->steal_ns > FOREIGN_NS ||
	       foreign > FOREIGN_NS + FOREIGN_SHARE * wall_ns;
}

static unsigned judge_probes(double before, double after)
{
	double most = before > after ? before : after;
	double least = before > after ? after : before;
	unsigned marks = 0;

	if (most > FAR_NS || most > FAR_TIMES * near_ns)
		marks |= BENCH_FAR;
	if (most > CHANGED_TIMES * least)
		marks |= BENCH_CHANGED;
	return marks;
}

/* Near is what the better probes say, but not the luckiest one. */
void bench_judge_begin(void)
{
	double probes[PROBES_AT_START];

	repeat_seconds_left = bench_setup.quick ? REPEAT_SECONDS_QUICK :
	                                          REPEAT_SECONDS;
	for (int i = 0; i < PROBES_AT_START; i++)
		probes[i] = bench_setup.cores > 1 ? bench_probe() : 0;
	bench_median(probes, PROBES_AT_START);
	near_ns = probes[PROBES_AT_START / 4];
}

double bench_near_ns(void)
{
	return near_ns;
}

static bool needs_probes(const struct bench_spec *spec)
{
	return !spec->alone && !spec->one_core && !spec->once;
}

static struct bench_result run_once(struct bench_record *record)
{
	const struct bench_row *row = record->row;
	struct bench_result result = { .value = 0 };
	bool probes = needs_probes(&row->spec);
	double probe_before = probes ? bench_probe() : 0, probe_after;
	struct load before, after;
	int failure;

	read_load(&before);
	failure = row->measure(row, &result);
	read_load(&after);
	if (failure) {
		result.marks |= BENCH_FAILED;
		snprintf(record->note, sizeof(record->note), "%s",
		         bench_last_note());
		return result;
	}
	if (loaded(&before, &after))
		result.marks |= BENCH_LOADED;
	if (!probes)
		return result;
	probe_after = bench_probe();
	result.line_ns = (probe_before + probe_after) / 2;
	result.marks |= judge_probes(probe_before, probe_after);
	return result;
}

/* The first good try, else the last. */
static void run_round(struct bench_record *record)
{
	struct bench_result result;
	int tries = 0;

	for (;;) {
		double begin = seconds();

		result = run_once(record);
		if (!result.marks || result.marks & BENCH_FAILED ||
		    ++tries == TRIES || repeat_seconds_left <= 0)
			break;
		usleep(SETTLE_US);
		repeat_seconds_left -= seconds() - begin;
	}
	record->run[record->runs++] = result;
}

static const size_t averaged[] = {
	offsetof(struct bench_result, value),
	offsetof(struct bench_result, p99),
	offsetof(struct bench_result, p999),
	offsetof(struct bench_result, cpu_ns),
	offsetof(struct bench_result, line_ns),
};

static double *field(struct bench_result *result, size_t offset)
{
	return (double *)((char *)result + offset);
}

/* Good runs alone count, if they are more than half; else all. */
static void choose(struct bench_record *record, bool *good)
{
	int count = 0;

	for (int i = 0; i < record->runs; i++)
		count += good[i] = !record->run[i].marks;
	if (2 * count > record->runs)
		return;
	for (int i = 0; i < record->runs; i++) {
		good[i] = !(record->run[i].marks & BENCH_FAILED);
		record->median.marks |= record->run[i].marks;
	}
}

static void reckon(struct bench_record *record)
{
	bool good[BENCH_RUNS];
	double values[BENCH_RUNS], ratios[BENCH_RUNS];
	int n = 0, ratio_count = 0;

	choose(record, good);
	for (size_t f = 0; f < sizeof(averaged) / sizeof(averaged[0]); f++) {
		n = 0;
		for (int i = record->runs - 1; i >= 0; i--)
			if (good[i])
				values[n++] = *field(&record->run[i],
				                     averaged[f]);
		*field(&record->median, averaged[f]) = bench_median(values, n);
	}
	n = 0;
	for (int i = 0; i < record->runs; i++) {
		const struct bench_result *run = &record->run[i];

		if (run->gap_ms > record->median.gap_ms)
			record->median.gap_ms = run->gap_ms;
		if (!good[i])
			continue;
		values[n++] = run->value;
		if (run->line_ns > 0)
			ratios[ratio_count++] = run->value / run->line_ns;
	}
	record->line_ratio = bench_median(ratios, ratio_count);
	if (n && bench_median(values, n) > 0)
		record->spread_percent = 100 * (values[n - 1] - values[0]) /
		                         bench_median(values, n);
}

static bool wanted(const struct bench_record *record,
                   enum bench_group group, bool selected, int round)
{
	const struct bench_spec *spec = &record->row->spec;
	bool failed = record->runs &&
	              record->run[record->runs - 1].marks & BENCH_FAILED;

	if (!selected || record->row->group != group || failed)
		return false;
	if (round && spec->once)
		return false;
	return bench_setup.cores > 1 || spec->alone || spec->one_core;
}

static void progress(const struct bench_record *record, int round)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s %d/%d", record->row->name,
		        round + 1, bench_setup.rounds);
}

void bench_judge_group(enum bench_group group, const bool *selected)
{
	size_t count;
	struct bench_record *records = bench_records(&count);

	for (int round = 0; round < bench_setup.rounds; round++)
		for (size_t i = 0; i < count; i++) {
			if (!wanted(&records[i], group, selected[i], round))
				continue;
			progress(&records[i], round);
			run_round(&records[i]);
		}
	for (size_t i = 0; i < count; i++)
		if (records[i].row->group == group && records[i].runs)
			reckon(&records[i]);
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

void bench_marks_text(unsigned marks, char *text, size_t bytes)
{
	static const struct {
		unsigned mark;
		const char *name;
	} names[] = {
		{ BENCH_FAR, "far" },       { BENCH_CHANGED, "changed" },
		{ BENCH_LOADED, "loaded" }, { BENCH_PREEMPTED, "preempted" },
		{ BENCH_AWAKE, "awake" },   { BENCH_BAD, "BAD" },
		{ BENCH_FAILED, "FAILED" },
	};
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (marks & names[i].mark && used < bytes)
			used += (size_t)snprintf(text + used, bytes - used,
			                         "%s%s", used ? "," : "",
			                         names[i].name);
}
