/* SPDX-License-Identifier: MIT */
/*
 * Locking and unlocking a file that nobody else wants: stoa's call and the bare
 * system call, on a file of the bench's tmpfs.
 */
#include "harness.h"

#include <fcntl.h>
#include <stoa/stoa.h>
#include <sys/file.h>
#include <unistd.h>

#define FILE_LOCK_MS 60
#define BATCH 16

struct locked {
	const struct bench_row *row;
	struct stoa_file_lock *lock;
	int fd;
	uint64_t duration;
};

static const struct stoa_range range = { 10, 10, STOA_RANGE_EXCLUSIVE, 0 };

/* ---- The two ways, of a whole and of a range ------------------------------------ */

static int stoa_whole(struct locked *locked)
{
	int result = stoa_file_lock_lock(locked->lock, STOA_RANGE_EXCLUSIVE,
	                                 STOA_FOREVER);

	return result ?: stoa_file_lock_unlock(locked->lock);
}

static int stoa_range(struct locked *locked)
{
	int result = stoa_file_lock_lock_range(locked->lock, &range,
	                                       STOA_FOREVER);

	return result ?: stoa_file_lock_unlock_range(locked->lock, &range);
}

static int kernel_whole(struct locked *locked)
{
	return flock(locked->fd, LOCK_EX) || flock(locked->fd, LOCK_UN) ?
	               -errno :
	               0;
}

static int kernel_range(struct locked *locked)
{
	struct flock lock = { .l_type = F_WRLCK,
		              .l_whence = SEEK_SET,
		              .l_start = 10,
		              .l_len = 10 };

	if (fcntl(locked->fd, F_OFD_SETLKW, &lock))
		return -errno;
	lock.l_type = F_UNLCK;
	return fcntl(locked->fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

/* ---- Measuring -------------------------------------------------------------------- */

static int open_file(struct locked *locked)
{
	char path[sizeof(bench_setup.space) + 32];
	int result;

	snprintf(path, sizeof(path), "%s/bench-file-lock", bench_setup.space);
	result = stoa_file_lock_open(path, STOA_READ | STOA_WRITE | STOA_CREATE,
	                             0600, &locked->lock);
	unlink(path);
	if (result)
		return result;
	locked->fd = stoa_file_lock_fd(locked->lock);
	return 0;
}

static inline __attribute__((always_inline)) int
play(struct locked *locked, struct bench_part *part,
     int (*pair)(struct locked *))
{
	uint32_t samples = 0;
	uint64_t end;
	int result = open_file(locked);

	bench_ready();
	end = bench_tick() + locked->duration;
	while (!result && samples < BENCH_SAMPLES) {
		uint64_t first = bench_tick();

		if (first >= end)
			break;
		for (int i = 0; i < BATCH && !result; i++)
			result = pair(locked);
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	}
	part->messages = (uint64_t)samples * BATCH;
	bench_shared->samples = samples;
	stoa_file_lock_close(locked->lock);
	return result ? bench_fail(part, result, "locking a file") : 0;
}

#define PLAY(way)                                                          \
	static int play_##way(void *context, struct bench_part *part,      \
	                      int index)                                   \
	{                                                                  \
		(void)index;                                               \
		return play(context, part, way);                           \
	}
PLAY(stoa_whole)
PLAY(stoa_range)
PLAY(kernel_whole)
PLAY(kernel_range)

static int measure(const struct bench_row *row, struct bench_result *result,
                   int (*way)(void *, struct bench_part *, int))
{
	struct locked locked = { .row = row };
	struct bench_role role = { 0, way };
	int failure;

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	locked.duration = bench_duration_ticks(FILE_LOCK_MS);
	failure = bench_play(&role, 1, &locked);
	if (failure)
		return failure;
	bench_percentiles(result, BATCH);
	bench_account(row, 1, (double)bench_shared->part[0].messages, result);
	return 0;
}

#define MEASURE(way)                                                 \
	static int measure_##way(const struct bench_row *row,        \
	                         struct bench_result *result)        \
	{                                                            \
		return measure(row, result, play_##way);             \
	}
MEASURE(stoa_whole)
MEASURE(stoa_range)
MEASURE(kernel_whole)
MEASURE(kernel_range)

/* ---- Rows ---------------------------------------------------------------------------- */

#define ROW(name, what, base, kind, way)                                   \
	{                                                                  \
		"file-lock/" name, what, base, BENCH_FILE_LOCK, kind,      \
		BENCH_UNIT_NS, measure_##way, { .alone = true }            \
	}

static const struct bench_row rows[] = {
	ROW("flock", "flock", NULL, BENCH_KERNEL, kernel_whole),
	ROW("ofd", "F_OFD_SETLKW, F_OFD_SETLK", NULL, BENCH_KERNEL,
	    kernel_range),
	ROW("stoa-whole", "stoa, whole", "file-lock/flock", BENCH_STOA,
	    stoa_whole),
	ROW("stoa-range", "stoa, a range", "file-lock/ofd", BENCH_STOA,
	    stoa_range),
};

BENCH_ADD(rows)
