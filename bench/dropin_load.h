/* SPDX-License-Identifier: MIT */
/*
 * dropin-load: programs that know the calls of POSIX and System V and nothing
 * of stoa; run natively and under the drop-in by rows of dropin.c. Each load
 * is a function in a file of its noun: dropin_load_<noun>.c.
 */
#ifndef BENCH_DROPIN_LOAD_H
#define BENCH_DROPIN_LOAD_H

#include <stdint.h>
#include <time.h>

struct load {
	const char *name;
	/* Runs for about `load_ms` milliseconds; the figure in nanoseconds an
	 * operation, or a negative one and errno. */
	double (*run)(void);
};

void load_add(const struct load *loads, int count);

#define LOAD_ADD(loads)                                               \
	__attribute__((constructor)) static void add_##loads(void)        \
	{                                                                 \
		load_add(loads, (int)(sizeof(loads) / sizeof((loads)[0]))); \
	}

extern int load_ms;
extern int load_core[2];

/* This process runs there from now on. */
void load_pin(int core);

static inline int64_t load_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/*
 * Calls `once` over and over, in batches of `batch`, for the run's time. The
 * median batch, in nanoseconds a call; -1: `once` gave other than 0.
 */
double load_repeat(int (*once)(void *context), void *context, int batch);

/*
 * `child` in a forked process pinned to core `core` of the two; it ends by
 * itself or with its parent. `parent` then runs in this one, on the first, and
 * its figure is the result.
 */
double load_pair(void (*child)(void *context), int core,
                 double (*parent)(void *context), void *context);

#endif
