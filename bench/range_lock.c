/* SPDX-License-Identifier: MIT */
/*
 * Locking and unlocking a range while another owner has others, at random
 * places among them: stoa's range lock and the kernel's open-file-description
 * locks on a file of the same tmpfs.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <unistd.h>

#define RANGE_MS 60
#define BATCH 16
#define STEP 10 /* numbers from one range to the next; the others have 5 */
#define SEED 0x9e3779b97f4a7c15u

struct range {
	const struct bench_row *row;
	struct stoa_space *space;
	struct stoa_range_lock *lock, *other;
	int fd, other_fd;
	uint64_t random;
	uint64_t duration;
};

static uint64_t next_place(struct range *range)
{
	range->random ^= range->random << 13;
	range->random ^= range->random >> 7;
	range->random ^= range->random << 17;
	return range->random % range->row->spec.depth * STEP;
}

/* ---- The two ways ------------------------------------------------------------- */

static int stoa_lock(struct stoa_range_lock *lock, uint64_t start,
                     uint64_t length)
{
	const struct stoa_range range = { start, length, STOA_RANGE_EXCLUSIVE,
		                          0 };

	return stoa_range_lock_lock(lock, &range, STOA_FOREVER);
}

static int stoa_pair(struct range *range, uint64_t start)
{
	const struct stoa_range wanted = { start, 3, STOA_RANGE_EXCLUSIVE, 0 };
	int result = stoa_range_lock_lock(range->lock, &wanted, STOA_FOREVER);

	return result ?: stoa_range_lock_unlock(range->lock, &wanted);
}

static int kernel_lock(int fd, short type, uint64_t start, uint64_t length)
{
	struct flock lock = { .l_type = type,
		              .l_whence = SEEK_SET,
		              .l_start = (off_t)start,
		              .l_len = (off_t)length };

	return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

static int kernel_pair(struct range *range, uint64_t start)
{
	int result = kernel_lock(range->fd, F_WRLCK, start, 3);

	return result ?: kernel_lock(range->fd, F_UNLCK, start, 3);
}

/* ---- Opening -------------------------------------------------------------------- */

static int open_stoa(struct range *range)
{
	struct stoa_range_lock_attributes attributes = {
		.size = sizeof(attributes),
		.capacity = range->row->spec.depth + 2
	};
	int result = stoa_space_open(bench_setup.space, 0, &range->space);

	if (!result)
		result = stoa_range_lock_open(range->space, "bench-range",
		                              STOA_CREATE, 0600, &attributes,
		                              &range->lock);
	if (!result)
		result = stoa_range_lock_open(range->space, "bench-range", 0, 0,
		                              NULL, &range->other);
	for (uint64_t i = 0; !result && i < range->row->spec.depth; i++)
		result = stoa_lock(range->other, i * STEP, 5);
	return result;
}

static void close_stoa(struct range *range)
{
	stoa_range_lock_close(range->lock);
	stoa_range_lock_close(range->other);
	if (!range->space)
		return;
	stoa_range_lock_unlink(range->space, "bench-range");
	stoa_space_close(range->space);
}

static int open_kernel(struct range *range)
{
	char path[sizeof(bench_setup.space) + 32];
	int result = 0;

	snprintf(path, sizeof(path), "%s/bench-fcntl", bench_setup.space);
	range->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	range->other_fd = open(path, O_RDWR | O_CLOEXEC);
	unlink(path);
	if (range->fd < 0 || range->other_fd < 0)
		return -errno;
	for (uint64_t i = 0; !result && i < range->row->spec.depth; i++)
		result = kernel_lock(range->other_fd, F_WRLCK, i * STEP, 5);
	return result;
}

static void close_kernel(struct range *range)
{
	close(range->fd);
	close(range->other_fd);
}

/* ---- Measuring -------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int
play(struct range *range, struct bench_part *part,
     int (*pair)(struct range *, uint64_t))
{
	uint64_t place[BATCH], first, end;
	uint32_t samples = 0;
	int result = 0;

	bench_ready();
	end = bench_tick() + range->duration;
	do {
		for (int i = 0; i < BATCH; i++)
			place[i] = next_place(range) + 6;
		first = bench_tick();
		for (int i = 0; i < BATCH && !result; i++)
			result = pair(range, place[i]);
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	} while (!result && bench_tick() < end && samples < BENCH_SAMPLES);
	part->messages = (uint64_t)samples * BATCH;
	bench_shared->samples = samples;
	return result ? bench_fail(part, result, "locking a range") : 0;
}

static int play_stoa(void *context, struct bench_part *part, int index)
{
	struct range *range = context;
	int result = open_stoa(range);

	(void)index;
	result = result ? bench_fail(part, result, stoa_last_error()) :
	                  play(range, part, stoa_pair);
	close_stoa(range);
	return result;
}

static int play_kernel(void *context, struct bench_part *part, int index)
{
	struct range *range = context;
	int result = open_kernel(range);

	(void)index;
	result = result ? bench_fail(part, result, "locking a file") :
	                  play(range, part, kernel_pair);
	close_kernel(range);
	return result;
}

static int measure(const struct bench_row *row, struct bench_result *result)
{
	struct range range = { .row = row, .random = SEED };
	struct bench_role role = {
		0, row->kind == BENCH_STOA ? play_stoa : play_kernel
	};
	int failure;

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	range.duration = bench_duration_ticks(RANGE_MS);
	failure = bench_play(&role, 1, &range);
	if (failure)
		return failure;
	bench_percentiles(result, BATCH);
	bench_account(row, 1, (double)bench_shared->part[0].messages, result);
	return 0;
}

/* ---- Rows ---------------------------------------------------------------------------- */

#define ROW(name, what, base, kind, others)                            \
	{                                                              \
		"range/" name, what, base, BENCH_RANGE, kind,          \
		BENCH_UNIT_NS, measure, { .depth = others, .alone = true } \
	}
#define ROWS(others)                                                        \
	ROW("fcntl-" #others, "fcntl, beside " #others, NULL, BENCH_KERNEL, \
	    others),                                                        \
	ROW("stoa-" #others, "stoa, beside " #others,                   \
	    "range/fcntl-" #others, BENCH_STOA, others)

static const struct bench_row range_rows[] = { ROWS(1), ROWS(30), ROWS(200),
	                                       ROWS(1000), ROWS(10000) };

BENCH_ADD(range_rows)
