/* SPDX-License-Identifier: MIT */
/*
 * Semaphores: waiting and posting beside glibc's process-shared ones; an
 * operation on 1 and on 8 semaphores of a set beside semop(2), alone, and
 * handed from one process to the next of 8, each on a semaphore of its own.
 */
#include "harness.h"

#include <semaphore.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <unistd.h>

#define ALONE_MS 60
#define HANDED_MS 150
#define BATCH 32
#define SEMAPHORES 8
#define PAGE 4096
#define KEPT 64 /* offset of stoa's in the page, after glibc's */

enum way { GLIBC, NAMED, PLACED, UNDO };

struct stage {
	const struct bench_row *row;
	struct stoa_space *space;
	struct stoa_semaphore *semaphore;
	struct stoa_semaphore_set *set;
	char *page;
	int id; /* of semget */
	uint64_t duration;
};

/* ---- The ways: take and give back, `n` semaphores of a set or one -------------- */

static int glibc_pair(struct stage *stage, uint32_t n)
{
	sem_t *semaphore = (sem_t *)stage->page;

	(void)n;
	return sem_wait(semaphore) | sem_post(semaphore);
}

static int stoa_pair(struct stage *stage, uint32_t n)
{
	(void)n;
	return stoa_semaphore_wait(stage->semaphore, 1, STOA_FOREVER) |
	       stoa_semaphore_post(stage->semaphore, 1);
}

static int kernel_change(struct stage *stage, uint32_t n, short amount)
{
	struct sembuf changes[SEMAPHORES];

	for (uint32_t i = 0; i < n; i++)
		changes[i] = (struct sembuf){ (unsigned short)i, amount, 0 };
	return semop(stage->id, changes, n) ? -errno : 0;
}

static int kernel_pair(struct stage *stage, uint32_t n)
{
	return kernel_change(stage, n, 1) | kernel_change(stage, n, -1);
}

static int set_change(struct stage *stage, uint32_t n, int32_t amount)
{
	struct stoa_semaphore_change changes[SEMAPHORES];

	for (uint32_t i = 0; i < n; i++)
		changes[i] = (struct stoa_semaphore_change){ i, amount, 0, 0 };
	return stoa_semaphore_set_operate(stage->set, changes, n, STOA_FOREVER);
}

static int set_pair(struct stage *stage, uint32_t n)
{
	return set_change(stage, n, 1) | set_change(stage, n, -1);
}

/* ---- Opening --------------------------------------------------------------------- */

static int open_semaphore(struct stage *stage)
{
	struct stoa_semaphore_attributes attributes = {
		.size = sizeof(attributes),
		.value = 1,
		.undo = stage->row->spec.order == UNDO
	};

	stage->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage->page == MAP_FAILED)
		return -errno;
	if (stage->row->spec.order == GLIBC)
		return sem_init((sem_t *)stage->page, 1, 1) ? -errno : 0;
	int result = stoa_space_open(bench_setup.space, 0, &stage->space);
	if (result)
		return result;
	if (stage->row->spec.order == PLACED)
		return stoa_semaphore_place(stage->space, stage->page + KEPT,
		                            STOA_SEMAPHORE_BYTES, STOA_CREATE,
		                            &attributes, &stage->semaphore);
	return stoa_semaphore_open(stage->space, NULL, STOA_CREATE, 0600,
	                           &attributes, &stage->semaphore);
}

static int open_set(struct stage *stage)
{
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = SEMAPHORES
	};

	if (stage->row->kind == BENCH_KERNEL) {
		stage->id = semget(IPC_PRIVATE, SEMAPHORES, 0600);
		return stage->id < 0 ? -errno : 0;
	}
	int result = stoa_space_open(bench_setup.space, 0, &stage->space);
	if (result)
		return result;
	return stoa_semaphore_set_open(stage->space, NULL, STOA_CREATE, 0600,
	                               &attributes, &stage->set);
}

static void close_stage(struct stage *stage)
{
	stoa_semaphore_close(stage->semaphore);
	stoa_semaphore_set_close(stage->set);
	if (stage->id > 0)
		semctl(stage->id, 0, IPC_RMID);
	if (stage->space)
		stoa_space_close(stage->space);
	if (stage->page && stage->page != MAP_FAILED)
		munmap(stage->page, PAGE);
}

/* ---- Alone ----------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int
play(struct stage *stage, struct bench_part *part,
     int (*pair)(struct stage *stage, uint32_t n))
{
	uint32_t n = stage->row->spec.depth, samples = 0;
	uint64_t first, end;
	int result = 0;

	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		first = bench_tick();
		for (int i = 0; i < BATCH; i++)
			result |= pair(stage, n);
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	} while (!result && bench_tick() < end && samples < BENCH_SAMPLES);
	part->messages = (uint64_t)samples * BATCH;
	bench_shared->samples = samples;
	return result ? bench_fail(part, -EIO, "taking and giving") : 0;
}

static int play_semaphore(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;

	(void)index;
	return stage->row->spec.order == GLIBC ? play(stage, part, glibc_pair) :
	                                         play(stage, part, stoa_pair);
}

static int play_set(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;

	(void)index;
	return stage->row->kind == BENCH_KERNEL ?
	               play(stage, part, kernel_pair) :
	               play(stage, part, set_pair);
}

static int measure_alone(const struct bench_row *row,
                         struct bench_result *result)
{
	int set = row->group == BENCH_SEMAPHORE_SET;
	const struct bench_role role = { 0, set ? play_set : play_semaphore };
	struct stage stage = { .row = row };
	int failure = set ? open_set(&stage) : open_semaphore(&stage);

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	stage.duration = bench_duration_ticks(ALONE_MS);
	if (!failure)
		failure = bench_play(&role, 1, &stage);
	if (!failure) {
		/* An operation on a set is half of a pair. */
		bench_percentiles(result, set ? 2 * BATCH : BATCH);
		bench_account(row, 1, (double)bench_shared->part[0].messages,
		              result);
	}
	close_stage(&stage);
	return failure;
}

/* ---- Handed on ------------------------------------------------------------------ */

static int change_one(struct stage *stage, int number, int amount)
{
	struct stoa_semaphore_change change = { (uint32_t)number, amount, 0,
		                                0 };
	struct sembuf kernel = { (unsigned short)number, (short)amount, 0 };

	if (stage->row->kind == BENCH_KERNEL)
		return semop(stage->id, &kernel, 1) ? -errno : 0;
	return stoa_semaphore_set_operate(stage->set, &change, 1, STOA_FOREVER);
}

/* The first says when it ends, and the word goes round once more. */
static int play_handed(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;
	uint64_t first, end;
	bool last = false;
	int result = 0;

	bench_ready();
	first = bench_tick();
	end = first + stage->duration;
	if (index == 0)
		result = change_one(stage, 0, 1);
	while (!result && !last) {
		result = change_one(stage, index, -1);
		if (index == 0 && bench_tick() >= end)
			__atomic_store_n(&bench_shared->line, 1,
			                 __ATOMIC_SEQ_CST);
		last = __atomic_load_n(&bench_shared->line, __ATOMIC_SEQ_CST);
		if (!result)
			result = change_one(stage, (index + 1) % SEMAPHORES, 1);
		part->messages++;
	}
	part->ticks = bench_tick() - first;
	return result < 0 ? bench_fail(part, result, "handing on") : 0;
}

static int measure_handed(const struct bench_row *row,
                          struct bench_result *result)
{
	struct bench_role roles[SEMAPHORES];
	struct stage stage = { .row = row };
	int failure = open_set(&stage);
	double messages = 0;

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	bench_shared->line = 0;
	stage.duration = bench_duration_ticks(HANDED_MS);
	for (int i = 0; i < SEMAPHORES; i++)
		roles[i] = (struct bench_role){ i % 2, play_handed };
	if (!failure)
		failure = bench_play(roles, SEMAPHORES, &stage);
	for (int i = 0; i < SEMAPHORES && !failure; i++)
		messages += (double)bench_shared->part[i].messages;
	if (!failure) {
		result->value = bench_to_ns((double)bench_shared->part[0].ticks) /
		                messages;
		bench_account(row, SEMAPHORES, messages, result);
	}
	close_stage(&stage);
	return failure;
}

/* ---- Rows -------------------------------------------------------------------------- */

#define ONE(name, what, base, kind, way)                                \
	{                                                               \
		"sem/" name, what, base, BENCH_SEMAPHORE, kind,         \
		BENCH_UNIT_NS, measure_alone,                           \
		{ .order = way, .alone = true }                         \
	}
#define SET(name, what, base, kind, n)                                  \
	{                                                               \
		"semset/" name, what, base, BENCH_SEMAPHORE_SET, kind,  \
		BENCH_UNIT_NS, measure_alone, { .depth = n, .alone = true } \
	}
#define HANDED(name, what, base, kind)                                  \
	{                                                               \
		"semset/" name, what, base, BENCH_SEMAPHORE_SET, kind,  \
		BENCH_UNIT_NS, measure_handed,                          \
		{ .sleeping = true, .crowded = true }                   \
	}

static const struct bench_row semaphore_rows[] = {
	ONE("glibc", "glibc, process-shared", NULL, BENCH_PEER, GLIBC),
	ONE("stoa", "stoa, in memory", "sem/glibc", BENCH_STOA, PLACED),
	ONE("stoa-named", "stoa, in a file", "sem/glibc", BENCH_STOA, NAMED),
	ONE("stoa-undo", "stoa, with undo", "sem/glibc", BENCH_STOA, UNDO),
	SET("semop-1", "semop, 1 semaphore", NULL, BENCH_KERNEL, 1),
	SET("stoa-1", "stoa, 1 semaphore", "semset/semop-1", BENCH_STOA, 1),
	SET("semop-8", "semop, 8 semaphores", NULL, BENCH_KERNEL, 8),
	SET("stoa-8", "stoa, 8 semaphores", "semset/semop-8", BENCH_STOA, 8),
	HANDED("semop-handed", "semop, handed on among 8", NULL, BENCH_KERNEL),
	HANDED("stoa-handed", "stoa, handed on among 8", "semset/semop-handed",
	       BENCH_STOA),
};

BENCH_ADD(semaphore_rows)
