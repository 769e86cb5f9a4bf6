/* SPDX-License-Identifier: MIT */
/* stoa's rwlock and barrier beside glibc's, which don't survive a death. */
#include "drive.h"

#include <pthread.h>
#include <stoa/stoa.h>
#include <sys/mman.h>

#define LOCK_MS 60
#define SHARED_MS 150
#define BARRIER_MS 200
#define LOCK_PAIRS 16 /* lock and unlock, in one sample */
#define MIX 16        /* one write of so many */
#define PEOPLE_MAX 4

struct stage {
	const struct bench_row *row;
	uint64_t duration;
	struct stoa_space *space;
	void *memory; /* glibc's */
	void *handle; /* stoa's */
};

/* A lock, or a barrier: what is done between two looks at the clock. */
struct subject {
	int (*open)(struct stage *stage, int people);
	int (*once)(struct stage *stage, uint64_t turn);
	void (*close)(struct stage *stage);
};

static int share(struct stage *stage)
{
	stage->memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return stage->memory == MAP_FAILED ? -errno : 0;
}

static void unshare_memory(struct stage *stage)
{
	munmap(stage->memory, 4096);
}

/* ---- glibc's ------------------------------------------------------------- */

static int glibc_rwlock_open(struct stage *stage, int people)
{
	pthread_rwlockattr_t attributes;
	int result = share(stage);

	(void)people;
	if (result)
		return result;
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	return -pthread_rwlock_init(stage->memory, &attributes);
}

static int glibc_read(struct stage *stage, uint64_t turn)
{
	(void)turn;
	pthread_rwlock_rdlock(stage->memory);
	return -pthread_rwlock_unlock(stage->memory);
}

static int glibc_write(struct stage *stage, uint64_t turn)
{
	(void)turn;
	pthread_rwlock_wrlock(stage->memory);
	return -pthread_rwlock_unlock(stage->memory);
}

static int glibc_mixed(struct stage *stage, uint64_t turn)
{
	return turn % MIX ? glibc_read(stage, turn) : glibc_write(stage, turn);
}

static int glibc_barrier_open(struct stage *stage, int people)
{
	pthread_barrierattr_t attributes;
	int result = share(stage);

	if (result)
		return result;
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	return -pthread_barrier_init(stage->memory, &attributes,
	                             (unsigned int)people);
}

static int glibc_meet(struct stage *stage, uint64_t turn)
{
	int result = pthread_barrier_wait(stage->memory);

	(void)turn;
	return result == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : -result;
}

/* ---- stoa's -------------------------------------------------------------- */

static int stoa_rwlock_begin(struct stage *stage, int people)
{
	struct stoa_rwlock *rwlock;
	int result = stoa_space_open(bench_setup.space, 0, &stage->space);

	(void)people;
	if (result)
		return result;
	result = stoa_rwlock_open(stage->space, NULL, STOA_CREATE, 0, NULL,
	                          &rwlock);
	if (result)
		stoa_space_close(stage->space);
	else
		stage->handle = rwlock;
	return result;
}

static int stoa_read(struct stage *stage, uint64_t turn)
{
	int result = stoa_rwlock_lock_read(stage->handle, STOA_FOREVER);

	(void)turn;
	return result ? result : stoa_rwlock_unlock(stage->handle);
}

static int stoa_write(struct stage *stage, uint64_t turn)
{
	int result = stoa_rwlock_lock_write(stage->handle, STOA_FOREVER);

	(void)turn;
	return result ? result : stoa_rwlock_unlock(stage->handle);
}

static int stoa_mixed(struct stage *stage, uint64_t turn)
{
	return turn % MIX ? stoa_read(stage, turn) : stoa_write(stage, turn);
}

static void stoa_rwlock_end(struct stage *stage)
{
	stoa_rwlock_close(stage->handle);
	stoa_space_close(stage->space);
}

static int stoa_barrier_begin(struct stage *stage, int people)
{
	struct stoa_barrier_attributes attributes = {
		.size = sizeof(attributes), .count = (uint32_t)people
	};
	struct stoa_barrier *barrier;
	int result = stoa_space_open(bench_setup.space, 0, &stage->space);

	if (result)
		return result;
	result = stoa_barrier_open(stage->space, NULL, STOA_CREATE, 0,
	                           &attributes, &barrier);
	if (result)
		stoa_space_close(stage->space);
	else
		stage->handle = barrier;
	return result;
}

static int stoa_meet(struct stage *stage, uint64_t turn)
{
	int result = stoa_barrier_wait(stage->handle, STOA_FOREVER);

	(void)turn;
	return result < 0 ? result : 0;
}

static void stoa_barrier_end(struct stage *stage)
{
	stoa_barrier_close(stage->handle);
	stoa_space_close(stage->space);
}

/* ---- Runs ---------------------------------------------------------------- */

/* Batches until the time is over; the first process's are the samples. */
static int lock_often(struct stage *stage, struct bench_part *part, int index,
                      int (*once)(struct stage *, uint64_t))
{
	uint64_t end, last, samples = 0, turn = 0;

	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		uint64_t first = bench_tick();

		for (int i = 0; i < LOCK_PAIRS; i++) {
			int result = once(stage, turn++);

			if (result)
				return bench_fail(part, result, "lock");
		}
		last = bench_tick();
		if (index == 0)
			bench_shared->sample[samples] =
				(uint32_t)(last - first);
		samples++;
	} while (last < end && samples < BENCH_SAMPLES);
	part->messages = turn;
	if (index == 0)
		bench_shared->samples = (uint32_t)samples;
	return 0;
}

/* All must go through as many rounds: the first says which is the last. */
static int meet_often(struct stage *stage, struct bench_part *part, int index,
                      int (*once)(struct stage *, uint64_t))
{
	uint64_t *over = &bench_shared->line;
	uint64_t end, samples = 0;
	int result = 0;

	bench_ready();
	end = bench_tick() + stage->duration;
	for (;;) {
		uint64_t first = bench_tick(), last;

		/* Two meetings: what was said before the first is seen by all
		 * before the second. */
		for (int i = 0; i < 2 && !result; i++)
			result = once(stage, samples);
		if (result)
			return bench_fail(part, result, "barrier");
		last = bench_tick();
		if (index == 0)
			bench_shared->sample[samples] =
				(uint32_t)(last - first);
		samples++;
		if (__atomic_load_n(over, __ATOMIC_RELAXED) == samples)
			break;
		if (index == 0 && (last >= end || samples + 2 == BENCH_SAMPLES))
			__atomic_store_n(over, samples + 1, __ATOMIC_RELAXED);
	}
	part->messages = 2 * samples;
	if (index == 0)
		bench_shared->samples = (uint32_t)samples;
	return 0;
}

static int run(const struct bench_row *row, const struct subject *subject,
               int people, unsigned int ms, double per,
               int (*play)(void *, struct bench_part *, int),
               struct bench_result *result)
{
	struct stage stage = { .row = row,
		               .duration = bench_duration_ticks(ms) };
	struct bench_role roles[PEOPLE_MAX];
	double messages = 0;
	int failure = subject->open(&stage, people);

	if (failure)
		return bench_fail(bench_shared->part, failure, "open");
	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	bench_shared->line = 0;
	for (int i = 0; i < people; i++)
		roles[i] = (struct bench_role){ i % 2, play };
	failure = bench_play(roles, people, &stage);
	if (!failure) {
		for (int i = 0; i < people; i++)
			messages += (double)bench_shared->part[i].messages;
		bench_percentiles(result, per);
		bench_account(row, people, messages, result);
	}
	subject->close(&stage);
	return failure;
}

#define MEASURE(name, how, begin, does, finish, people, ms, per)              \
	static const struct subject name##_subject = { begin, does, finish }; \
	static int name##_play(void *stage, struct bench_part *part,          \
	                       int index)                                     \
	{                                                                     \
		return how(stage, part, index, does);                         \
	}                                                                     \
	static int name(const struct bench_row *row,                          \
	                struct bench_result *result)                          \
	{                                                                     \
		return run(row, &name##_subject, people, ms, per,             \
		           name##_play, result);                              \
	}

#define LOCKS(name, begin, does, finish, people, ms) \
	MEASURE(name, lock_often, begin, does, finish, people, ms, LOCK_PAIRS)
#define MEETS(name, begin, does, finish, people) \
	MEASURE(name, meet_often, begin, does, finish, people, BARRIER_MS, 2)

LOCKS(glibc_read_alone, glibc_rwlock_open, glibc_read, unshare_memory, 1,
      LOCK_MS)
LOCKS(glibc_write_alone, glibc_rwlock_open, glibc_write, unshare_memory, 1,
      LOCK_MS)
LOCKS(stoa_read_alone, stoa_rwlock_begin, stoa_read, stoa_rwlock_end, 1,
      LOCK_MS)
LOCKS(stoa_write_alone, stoa_rwlock_begin, stoa_write, stoa_rwlock_end, 1,
      LOCK_MS)
LOCKS(glibc_read_two, glibc_rwlock_open, glibc_read, unshare_memory, 2,
      SHARED_MS)
LOCKS(glibc_mixed_two, glibc_rwlock_open, glibc_mixed, unshare_memory, 2,
      SHARED_MS)
LOCKS(stoa_read_two, stoa_rwlock_begin, stoa_read, stoa_rwlock_end, 2,
      SHARED_MS)
LOCKS(stoa_mixed_two, stoa_rwlock_begin, stoa_mixed, stoa_rwlock_end, 2,
      SHARED_MS)
MEETS(glibc_meet_two, glibc_barrier_open, glibc_meet, unshare_memory, 2)
MEETS(stoa_meet_two, stoa_barrier_begin, stoa_meet, stoa_barrier_end, 2)
MEETS(glibc_meet_four, glibc_barrier_open, glibc_meet, unshare_memory, 4)
MEETS(stoa_meet_four, stoa_barrier_begin, stoa_meet, stoa_barrier_end, 4)

#define ROW(name, what, base, group, kind, how, ...)                    \
	{                                                               \
		name, what, base, group, kind, BENCH_UNIT_NS, how,      \
		{                                                       \
			__VA_ARGS__                                     \
		}                                                       \
	}
#define PEER(name, what, group, how, ...) \
	ROW(name, what, NULL, group, BENCH_PEER, how, __VA_ARGS__)
#define STOA(name, what, base, group, how, ...) \
	ROW(name, what, base, group, BENCH_STOA, how, __VA_ARGS__)

static const struct bench_row rwlocks[] = {
	PEER("rwlock1/glibc-read", "glibc, for reading", BENCH_RWLOCK_ONE,
	     glibc_read_alone, .alone = true),
	PEER("rwlock1/glibc-write", "glibc, for writing", BENCH_RWLOCK_ONE,
	     glibc_write_alone, .alone = true),
	STOA("rwlock1/stoa-read", "stoa, for reading", "rwlock1/glibc-read",
	     BENCH_RWLOCK_ONE, stoa_read_alone, .alone = true),
	STOA("rwlock1/stoa-write", "stoa, for writing", "rwlock1/glibc-write",
	     BENCH_RWLOCK_ONE, stoa_write_alone, .alone = true),
	PEER("rwlock2/glibc-read", "glibc, both read", BENCH_RWLOCK_TWO,
	     glibc_read_two, .sleeping = true),
	PEER("rwlock2/glibc-mixed", "glibc, 1 write of 16", BENCH_RWLOCK_TWO,
	     glibc_mixed_two, .sleeping = true),
	STOA("rwlock2/stoa-read", "stoa, both read", "rwlock2/glibc-read",
	     BENCH_RWLOCK_TWO, stoa_read_two, .sleeping = true),
	STOA("rwlock2/stoa-mixed", "stoa, 1 write of 16",
	     "rwlock2/glibc-mixed", BENCH_RWLOCK_TWO, stoa_mixed_two,
	     .sleeping = true),
	PEER("barrier/glibc-2", "glibc, 2 processes", BENCH_BARRIER,
	     glibc_meet_two, .sleeping = true),
	PEER("barrier/glibc-4", "glibc, 4 processes", BENCH_BARRIER,
	     glibc_meet_four, .sleeping = true, .crowded = true),
	STOA("barrier/stoa-2", "stoa, 2 processes", "barrier/glibc-2",
	     BENCH_BARRIER, stoa_meet_two, .sleeping = true),
	STOA("barrier/stoa-4", "stoa, 4 processes", "barrier/glibc-4",
	     BENCH_BARRIER, stoa_meet_four, .sleeping = true, .crowded = true),
};

BENCH_ADD(rwlocks)
