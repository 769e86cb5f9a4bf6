/* SPDX-License-Identifier: MIT */
/*
 * The benchmark harness: pinned processes that start together, time in ticks
 * of the processor's counter, rows that measure one thing once, and a judge
 * that repeats a row, brackets each run with cache-line probes and marks what
 * can't be trusted. Nothing here gates.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BENCH_LINE_BYTES 128    /* two lines: neighbours are prefetched */
#define BENCH_PROCESSES 9       /* at most, in one run */
#define BENCH_SAMPLES (1u << 18)
#define BENCH_RUNS 5            /* rounds; figures are their medians */
#define BENCH_NOTE_BYTES 160
#define BENCH_NS 1000000000ull  /* nanoseconds in a second */

#if defined(__x86_64__)
#include <x86intrin.h>

static inline uint64_t bench_tick(void)
{
	unsigned int cpu;

	return __rdtscp(&cpu);
}

static inline void bench_pause(void)
{
	_mm_pause();
}
#elif defined(__aarch64__)
static inline uint64_t bench_tick(void)
{
	uint64_t tick;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(tick) :: "memory");
	return tick;
}

static inline void bench_pause(void)
{
	__asm__ volatile("isb" ::: "memory");
}
#endif

/* ---- What a row is ------------------------------------------------------- */

enum bench_group {
	BENCH_LATENCY,
	BENCH_THROUGHPUT_64,
	BENCH_THROUGHPUT_4K,
	BENCH_THROUGHPUT_64K,
	BENCH_THROUGHPUT_1M,
	BENCH_TAKE,
	BENCH_PAIR,
	BENCH_BLOCK,
	BENCH_SEMAPHORE,
	BENCH_SEMAPHORE_SET,
	BENCH_BLOCK_TWO,
	BENCH_BLOCK_ONE,
	BENCH_MANY,
	BENCH_DEPTH,
	BENCH_LOCK,
	BENCH_CONTEND,
	BENCH_HEIR,
	BENCH_RANGE,
	BENCH_FILE_LOCK,
	BENCH_MOVE,
	BENCH_IDLE,
	BENCH_RWLOCK_ONE,
	BENCH_RWLOCK_TWO,
	BENCH_BARRIER,
	BENCH_SEGMENT,
	BENCH_MAPPING,
	BENCH_TOPIC,
	BENCH_PORT,
	BENCH_DESCRIPTOR,
	BENCH_TERMINAL,
	BENCH_DROPIN,
	BENCH_PROCESS,
	BENCH_GROUPS
};

/* Rows of a group are shown and run in this order. */
enum bench_kind {
	BENCH_FLOOR, BENCH_KERNEL, BENCH_PEER, BENCH_STOA, BENCH_KINDS
};

enum bench_unit {
	BENCH_UNIT_NS,      /* less is better */
	BENCH_UNIT_RATE,    /* million messages a second */
	BENCH_UNIT_GB,      /* 10^9 bytes a second */
	BENCH_UNIT_PERCENT  /* of one core; less is better */
};

/* What was wrong with a run. */
#define BENCH_FAR 0x01u       /* the cores were far apart */
#define BENCH_CHANGED 0x02u   /* the probes before and after disagree */
#define BENCH_LOADED 0x04u    /* somebody else used the processors */
#define BENCH_PREEMPTED 0x08u /* a spinning process lost its core */
#define BENCH_AWAKE 0x10u     /* a blocking row that mostly did not sleep */
#define BENCH_BAD 0x20u       /* a message came torn or out of order */
#define BENCH_FAILED 0x40u    /* no figure */

/* What a row measures with; each row reads the fields that it needs. */
struct bench_spec {
	size_t bytes;       /* of one message */
	uint32_t depth;     /* messages that the channel holds */
	uint32_t standing;  /* messages that lie in the queue throughout */
	uint32_t room;      /* beyond these, a queue's capacity */
	uint32_t hold_us;   /* wait before an answer, for the other to sleep */
	uint32_t back_off;  /* pauses of a consumer that finds nothing */
	uint32_t held;      /* pauses while something is locked */
	bool sleeping;      /* who waits may sleep */
	bool one_core;      /* all processes on the first core */
	bool alone;         /* one process, no second core */
	bool crowded;       /* more processes than cores */
	bool limited;       /* the queue has a limit, far off */
	bool once;          /* one run instead of five */
	int order;          /* the queue's, and what receivers ask for */
	int selection;
	const char *twin;   /* the row to run with constant tokens */
};

/* One run's figures. */
struct bench_result {
	double value;    /* in the row's unit; the mean of the middle half of
	                  * what was measured message by message */
	double p99;      /* 0: not measured per message */
	double p999;
	double cpu_ns;   /* of all processes, per message */
	double gap_ms;   /* the longest any message was under way; 0: unknown */
	double line_ns;  /* the probes beside the run; 0: none needed */
	unsigned marks;
};

struct bench_row {
	const char *name;  /* "latency/stoa-fifo" */
	const char *what;
	const char *base;  /* the row it is compared with; NULL: none */
	enum bench_group group;
	enum bench_kind kind;
	enum bench_unit unit;
	int (*measure)(const struct bench_row *row,
	               struct bench_result *result);
	struct bench_spec spec;
};

/* What became of a row. */
struct bench_record {
	const struct bench_row *row;
	struct bench_result run[BENCH_RUNS];
	int runs;
	struct bench_result median;
	double line_ratio;     /* median of each run's value / its own probe */
	double spread_percent; /* (largest - smallest) / median */
	char note[BENCH_NOTE_BYTES]; /* why it failed */
};

/* Each file of rows adds its own before main() by a constructor. */
void bench_add(const struct bench_row *rows, size_t count);

#define BENCH_ADD(rows) \
	__attribute__((constructor)) static void add_##rows(void) \
	{ \
		bench_add(rows, sizeof(rows) / sizeof((rows)[0])); \
	}

struct bench_record *bench_records(size_t *ret_count);
struct bench_record *bench_find(const char *name);
const char *bench_group_title(enum bench_group group);
const char *bench_group_work(enum bench_group group);
bool bench_less_is_better(enum bench_unit unit);

/* ---- Processes ----------------------------------------------------------- */

/* What one process of a run reports; in shared memory. */
struct bench_part {
	uint64_t messages;
	uint64_t ticks;
	uint64_t gap_ticks;
	uint64_t bad;
	uint64_t cpu_ns;
	uint64_t slept;     /* voluntary context switches */
	uint64_t preempted; /* involuntary ones */
	char note[BENCH_NOTE_BYTES];
};

/* What the processes of a run share. */
struct bench_shared {
	_Alignas(BENCH_LINE_BYTES) uint32_t ready;
	_Alignas(BENCH_LINE_BYTES) uint32_t go;
	_Alignas(BENCH_LINE_BYTES) uint64_t line;
	_Alignas(BENCH_LINE_BYTES) struct bench_part part[BENCH_PROCESSES];
	uint32_t samples;
	uint32_t sample[BENCH_SAMPLES];
};

extern struct bench_shared *bench_shared;

struct bench_role {
	int core; /* 0 or 1: the first or the second core of the bench */
	int (*play)(void *stage, struct bench_part *part, int index);
};

/* Options, and what the machine is. */
struct bench_setup {
	bool quick;
	int rounds;
	int core[2];
	int cores;
	double ticks_per_ns;
	char space[64];      /* directory of the bench's own space */
	char directory[256]; /* where this program lies */
};

extern struct bench_setup bench_setup;

/* Maps what is shared, finds two cores, calibrates the counter. */
int bench_begin(void);
void bench_end(void);

/* Runs the roles, each in its own pinned process; 0, or the first failure.
 * Each role calls bench_ready() when it has what it needs. */
int bench_play(const struct bench_role *roles, int count, void *stage);
void bench_ready(void);
/* A role's failure: keeps the sentence, returns the error. */
int bench_fail(struct bench_part *part, int error, const char *what);

double bench_to_ns(double ticks);
uint64_t bench_to_ticks(double ns);
/* How long a run takes: `ms` milliseconds, a third of it if quick. */
uint64_t bench_duration_ticks(unsigned int ms);
double bench_median(double *values, int count);
/* Middle, p99 and p99.9 of the samples, divided by `per`. */
void bench_percentiles(struct bench_result *result, double per);
/* Sums over the parts of the last run. */
void bench_account(const struct bench_row *row, int processes,
                   double messages, struct bench_result *result);
const char *bench_last_note(void);

/* ---- Judgement ----------------------------------------------------------- */

/* Half a round trip of one cache line between the two cores, ns. */
double bench_probe(void);
void bench_judge_begin(void);
double bench_near_ns(void);
/* All rounds of the rows that are selected and of one group. */
void bench_judge_group(enum bench_group group, const bool *selected);
void bench_marks_text(unsigned marks, char *text, size_t bytes);

/* ---- Report -------------------------------------------------------------- */

enum bench_compare {
	BENCH_TIMES_LINE, /* value / the probe beside each run */
	BENCH_TIMES,      /* value / the base's */
	BENCH_FASTER,     /* the base's / value */
	BENCH_ABSOLUTE,   /* value as it is */
	BENCH_GAP,        /* longest time under way, ms */
	BENCH_TAIL        /* p99.9 / the base's */
};

struct bench_aim {
	const char *what;
	const char *row;
	const char *base[2]; /* the better of the two counts */
	enum bench_compare compare;
	bool at_least;
	double limit;
	const char *unit;
};

extern const struct bench_aim bench_aims[];
extern const size_t bench_aims_count;

int bench_report(const bool *selected, FILE *terminal, const char *json_path);

#endif
