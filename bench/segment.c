/* SPDX-License-Identifier: MIT */
/*
 * Segments: one made, attached, detached and removed, beside shm_open(3) and
 * shmget(2): with its memory not touched at all (which those then don't even
 * get), with all of it written, and with it reserved; one that is there attached
 * and detached. Segments of a pool, acquired and released, or discarded so that
 * their memory comes and goes, too. And a checked copy out of a mapping beside memcpy(3).
 */
#include "harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALONE_MS 60
#define BATCH 8
#define PAGE 4096
#define SHM_NAME "/stoa-bench-segment"
#define NAME "bench-segment"

enum way { SHM, SYSV, STOA, POOL, MEMCPY, CHECKED, CHECKED_FILE };
enum care { BARE, TOUCHED, RESERVED, ATTACH, DISCARDED };

struct stage {
	const struct bench_row *row;
	enum way way;
	enum care care;
	size_t bytes;
	struct stoa_space *space;
	struct stoa_segment *segment;
	struct stoa_pool *pool;
	struct stoa_mapping *mapping;
	char *from, *to;
	int id;
	uint64_t duration;
};

static void touch(const struct stage *stage, char *data)
{
	if (stage->care != TOUCHED && stage->care != DISCARDED)
		return;
	for (size_t i = 0; i < stage->bytes; i += PAGE)
		*(volatile char *)(data + i) = 1;
}

/* ---- The ways ------------------------------------------------------------------ */

static int shm_round(struct stage *stage)
{
	int made = stage->care == ATTACH ? 0 : O_CREAT | O_EXCL;
	int fd = shm_open(SHM_NAME, O_RDWR | made, 0600);
	char *data;

	if (fd < 0)
		return -errno;
	if (made && ftruncate(fd, (off_t)stage->bytes))
		return -errno;
	if (stage->care == RESERVED &&
	    posix_fallocate(fd, 0, (off_t)stage->bytes))
		return -ENOSPC;
	data = mmap(NULL, stage->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	            0);
	if (data == MAP_FAILED)
		return -errno;
	touch(stage, data);
	munmap(data, stage->bytes);
	close(fd);
	return made && shm_unlink(SHM_NAME) ? -errno : 0;
}

static int sysv_round(struct stage *stage)
{
	int id = stage->care == ATTACH ?
	                 stage->id :
	                 shmget(IPC_PRIVATE, stage->bytes, IPC_CREAT | 0600);
	char *data = id < 0 ? (char *)-1 : shmat(id, NULL, 0);

	if (data == (char *)-1)
		return -errno;
	touch(stage, data);
	shmdt(data);
	if (stage->care == ATTACH)
		return 0;
	return shmctl(id, IPC_RMID, NULL) ? -errno : 0;
}

static int stoa_round(struct stage *stage)
{
	struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes), .bytes = stage->bytes
	};
	unsigned made = stage->care == ATTACH ? 0 : STOA_CREATE | STOA_EXCLUSIVE;
	struct stoa_segment *segment;
	int result = stoa_segment_open(stage->space, NAME, STOA_WRITE | made,
	                               0600, &attributes, &segment);

	if (result < 0)
		return result;
	touch(stage, stoa_segment_data(segment));
	if (made)
		result = stoa_segment_remove(segment);
	stoa_segment_close(segment);
	return result;
}

static int pool_round(struct stage *stage)
{
	uint64_t segment;
	int result = stoa_pool_acquire(stage->pool, STOA_NOW, &segment);
	char *data = result < 0 ? NULL : stoa_pool_data(stage->pool, segment);

	if (!data)
		return result < 0 ? result : -ESTALE;
	touch(stage, data);
	return stage->care == DISCARDED ?
	               stoa_pool_discard(stage->pool, segment) :
	               stoa_pool_release(stage->pool, segment);
}

static int memcpy_round(struct stage *stage)
{
	memcpy(stage->to, stage->from, stage->bytes);
	__asm__ volatile("" ::: "memory");
	return 0;
}

static int checked_round(struct stage *stage)
{
	int64_t got = stoa_mapping_read(stage->mapping, 0, stage->to,
	                                stage->bytes);

	return got < 0 ? (int)got : 0;
}

static int (*const rounds[])(struct stage *stage) = {
	[SHM] = shm_round,	 [SYSV] = sysv_round,	    [STOA] = stoa_round,
	[POOL] = pool_round,	 [MEMCPY] = memcpy_round,
	[CHECKED] = checked_round, [CHECKED_FILE] = checked_round,
};

/* ---- Stages -------------------------------------------------------------------- */

static int open_copy(struct stage *stage)
{
	struct stoa_mapping_attributes attributes = {
		.size = sizeof(attributes),
		.file = STOA_MAPPING_ANONYMOUS,
		.shared = stage->way == CHECKED_FILE,
		.protection = STOA_READ | STOA_WRITE,
		.bytes = stage->bytes
	};
	int result, fd = -1;

	if (stage->way == CHECKED_FILE) {
		fd = memfd_create("bench", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)stage->bytes))
			return -errno;
		attributes.file = fd;
	}
	result = stoa_mapping_map(&attributes, &stage->mapping);
	if (fd >= 0)
		close(fd);
	if (result < 0)
		return result;
	stage->to = malloc(stage->bytes);
	if (!stage->to)
		return -ENOMEM;
	stage->from = stoa_mapping_data(stage->mapping);
	memset(stage->from, 1, stage->bytes);
	memset(stage->to, 1, stage->bytes);
	return 0;
}

static int open_pool(struct stage *stage)
{
	const struct stoa_pool_attributes attributes = {
		.size = sizeof(attributes),
		.block_bytes = stage->bytes,
		.blocks = 16,
		.segments = 1
	};
	int result = stoa_space_open(bench_setup.space, 0, &stage->space);

	return result < 0 ? result :
	                    stoa_pool_open(stage->space, NULL, STOA_CREATE,
	                                   0600, &attributes, &stage->pool);
}

/* What is to be attached is there before. */
static int open_stage(struct stage *stage)
{
	struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes), .bytes = stage->bytes
	};
	int fd, result;

	if (stage->way >= MEMCPY)
		return open_copy(stage);
	if (stage->way == POOL)
		return open_pool(stage);
	if (stage->way == STOA) {
		result = stoa_space_open(bench_setup.space, 0, &stage->space);
		if (result < 0 || stage->care != ATTACH)
			return result;
		return stoa_segment_open(stage->space, NAME,
		                         STOA_CREATE | STOA_WRITE, 0600,
		                         &attributes, &stage->segment);
	}
	shm_unlink(SHM_NAME);
	if (stage->care != ATTACH)
		return 0;
	if (stage->way == SYSV) {
		stage->id = shmget(IPC_PRIVATE, stage->bytes,
		                   IPC_CREAT | 0600);
		return stage->id < 0 ? -errno : 0;
	}
	fd = shm_open(SHM_NAME, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return -errno;
	result = ftruncate(fd, (off_t)stage->bytes) ? -errno : 0;
	close(fd);
	return result;
}

static void close_stage(struct stage *stage)
{
	stoa_mapping_unmap(stage->mapping);
	free(stage->to);
	if (stage->segment)
		stoa_segment_remove(stage->segment);
	stoa_segment_close(stage->segment);
	stoa_pool_close(stage->pool);
	if (stage->space)
		stoa_space_close(stage->space);
	if (stage->id > 0)
		shmctl(stage->id, IPC_RMID, NULL);
	if (stage->way == SHM)
		shm_unlink(SHM_NAME);
}

static int play(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;
	uint32_t samples = 0;
	uint64_t first, end;
	int result = 0;

	(void)index;
	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		first = bench_tick();
		for (int i = 0; i < BATCH && !result; i++)
			result = rounds[stage->way](stage);
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	} while (!result && bench_tick() < end && samples < BENCH_SAMPLES);
	part->messages = (uint64_t)samples * BATCH;
	bench_shared->samples = samples;
	return result < 0 ? bench_fail(part, result, "a round") : 0;
}

static int measure(const struct bench_row *row, struct bench_result *result)
{
	const struct bench_role role = { 0, play };
	struct stage stage = { .row = row,
		               .way = (enum way)row->spec.order,
		               .care = (enum care)row->spec.depth,
		               .bytes = row->spec.bytes };
	int failure = open_stage(&stage);

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	stage.duration = bench_duration_ticks(ALONE_MS);
	if (!failure)
		failure = bench_play(&role, 1, &stage);
	if (!failure) {
		bench_percentiles(result, BATCH);
		bench_account(row, 1, (double)bench_shared->part[0].messages,
		              result);
	}
	close_stage(&stage);
	return failure;
}

/* ---- Rows -------------------------------------------------------------------------- */

#define ROW(name, what, base, group, kind, way, how, size)             \
	{                                                              \
		name, what, base, group, kind, BENCH_UNIT_NS, measure, \
		{ .order = way, .depth = how, .bytes = size,           \
		  .alone = true }                                      \
	}
#define LIFE(name, what, base, kind, way, how, size)                  \
	ROW("segment/" name, what, base, BENCH_SEGMENT, kind, way, how, \
	    size)
#define COPY(name, what, base, kind, way, size) \
	ROW("mapping/" name, what, base, BENCH_MAPPING, kind, way, BARE, size)

static const struct bench_row segment_rows[] = {
	LIFE("shm-4k", "shm_open, 4 KiB, no memory given", NULL, BENCH_KERNEL,
	     SHM, BARE, PAGE),
	LIFE("shm-4k-reserved", "shm_open, 4 KiB, reserved", NULL,
	     BENCH_KERNEL, SHM, RESERVED, PAGE),
	LIFE("shm-4k-written", "shm_open, 4 KiB, written", NULL, BENCH_KERNEL,
	     SHM, TOUCHED, PAGE),
	LIFE("sysv-4k", "shmget, 4 KiB, no memory given", NULL, BENCH_KERNEL,
	     SYSV, BARE, PAGE),
	LIFE("sysv-4k-written", "shmget, 4 KiB, written", NULL, BENCH_KERNEL,
	     SYSV, TOUCHED, PAGE),
	LIFE("stoa-4k", "stoa, 4 KiB (reserved)", "segment/shm-4k", BENCH_STOA,
	     STOA, BARE, PAGE),
	LIFE("stoa-4k-written", "stoa, 4 KiB, written",
	     "segment/shm-4k-written", BENCH_STOA, STOA, TOUCHED, PAGE),
	LIFE("pool-4k", "stoa, one of a pool, 4 KiB", "segment/shm-4k",
	     BENCH_STOA, POOL, BARE, PAGE),
	LIFE("pool-4k-written", "stoa, one of a pool, written",
	     "segment/shm-4k-written", BENCH_STOA, POOL, TOUCHED, PAGE),
	LIFE("pool-4k-discarded", "stoa, the same, and its memory discarded",
	     "segment/shm-4k-written", BENCH_STOA, POOL, DISCARDED, PAGE),
	LIFE("shm-1m-reserved", "shm_open, 1 MiB, reserved", NULL,
	     BENCH_KERNEL, SHM, RESERVED, 256 * PAGE),
	LIFE("stoa-1m", "stoa, 1 MiB (reserved)", "segment/shm-1m-reserved",
	     BENCH_STOA, STOA, BARE, 256 * PAGE),
	LIFE("shm-attach", "shm_open, attach and detach", NULL, BENCH_KERNEL,
	     SHM, ATTACH, PAGE),
	LIFE("sysv-attach", "shmat, shmdt", NULL, BENCH_KERNEL, SYSV, ATTACH,
	     PAGE),
	LIFE("stoa-attach", "stoa, attach and detach", "segment/shm-attach",
	     BENCH_STOA, STOA, ATTACH, PAGE),
	COPY("memcpy-64k", "memcpy, 64 KiB", NULL, BENCH_FLOOR, MEMCPY,
	     16 * PAGE),
	COPY("stoa-64k", "stoa, 64 KiB, anonymous", "mapping/memcpy-64k",
	     BENCH_STOA, CHECKED, 16 * PAGE),
	COPY("stoa-64k-file", "stoa, 64 KiB, of a file, checked",
	     "mapping/memcpy-64k", BENCH_STOA, CHECKED_FILE, 16 * PAGE),
};

BENCH_ADD(segment_rows)
