/* SPDX-License-Identifier: MIT */
/* Readers and writers of one pair of numbers that must be equal, killed at
 * random and replaced: no reader ever sees them differ, nobody stays out, and
 * a dead writer's half change is told of and mended. */
#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { READERS = 3, WRITERS = 2, WORKERS = READERS + WRITERS, KILLS = 80 };

/* What the lock protects; plain stores, as the lock orders them. */
struct pair {
	uint64_t left;
	uint64_t inside; /* the writer's mark */
	uint64_t right;
	_Atomic uint64_t passes[WORKERS];
	_Atomic uint64_t deaths_told;
};

static struct stoa_rwlock *rwlock;
static struct pair *pair;

static void *map_shared(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static struct stoa_rwlock *rwlock_of(struct stoa_space *space, bool placed,
                                     uint32_t preference)
{
	struct stoa_rwlock_attributes attributes = { .size = sizeof(attributes),
		                                     .preference = preference };
	struct stoa_rwlock *made = NULL;

	if (placed)
		assert_ok(stoa_rwlock_place(space, map_shared(STOA_RWLOCK_BYTES),
		                            STOA_RWLOCK_BYTES, STOA_CREATE,
		                            &attributes, &made));
	else
		assert_ok(stoa_rwlock_open(space, "lock",
		                           STOA_CREATE | STOA_EXCLUSIVE, 0600,
		                           &attributes, &made));
	return made;
}

/* It has the lock for writing, and a writer died before. */
static void mend(void)
{
	pair->right = pair->left;
	pair->inside = 0;
	assert_ok(stoa_rwlock_consistent(rwlock));
	atomic_fetch_add(&pair->deaths_told, 1);
}

static void write_once(uint64_t mark, uint64_t *random)
{
	assert_int_equal(pair->inside, 0);
	assert_int_equal(pair->left, pair->right);
	pair->inside = mark;
	pair->left++;
	for (uint64_t spins = random_below(random, 200); spins > 0; spins--)
		__asm__ volatile("" ::: "memory");
	pair->right++;
	assert_int_equal(pair->inside, mark);
	pair->inside = 0;
}

static int lock(bool write, uint64_t *random)
{
	struct stoa_deadline deadline =
		random_below(random, 4) == 0
			? stoa_deadline_in((int64_t)random_below(random, MS))
			: STOA_FOREVER;

	return write ? stoa_rwlock_lock_write(rwlock, deadline)
	             : stoa_rwlock_lock_read(rwlock, deadline);
}

static void work(void *context)
{
	int number = (int)(intptr_t)context;
	bool write = number >= READERS;
	uint64_t random = run_seed() + (uint64_t)getpid();

	for (;;) {
		int result = lock(write, &random);

		if (result == -ETIMEDOUT)
			continue;
		if (result == -EOWNERDEAD) {
			mend();
			if (random_below(&random, 2) == 0)
				assert_ok(stoa_rwlock_downgrade(rwlock));
			assert_int_equal(pair->left, pair->right);
		} else {
			assert_int_equal(result, 0);
			if (write)
				write_once((uint64_t)getpid(), &random);
			assert_int_equal(pair->inside, 0);
			assert_int_equal(pair->left, pair->right);
			if (!write && random_below(&random, 8) == 0 &&
			    stoa_rwlock_upgrade(rwlock) == 0)
				write_once((uint64_t)getpid(), &random);
			else if (write && random_below(&random, 8) == 0)
				assert_ok(stoa_rwlock_downgrade(rwlock));
		}
		assert_ok(stoa_rwlock_unlock(rwlock));
		atomic_fetch_add(&pair->passes[number], 1);
		if (random_below(&random, 16) == 0)
			sched_yield();
	}
}

/* Of those that its preference doesn't let starve. */
static void until_all_pass(uint32_t preference)
{
	int from = preference == STOA_RWLOCK_WRITERS ? READERS : 0;
	int to = preference == STOA_RWLOCK_WRITERS ? WORKERS : READERS;

	for (int i = from; i < to; i++) {
		uint64_t before = atomic_load(&pair->passes[i]);

		while (atomic_load(&pair->passes[i]) == before)
			usleep(100);
	}
}

TEST(nobody_sees_half_a_change_and_nobody_stays_out)
{
	uint64_t seed = run_seed();

	for (int kind = 0; kind < 4; kind++) {
		struct stoa_space *space = open_space();
		uint32_t preference = (uint32_t)kind % 2;
		struct child workers[WORKERS];

		rwlock = rwlock_of(space, kind / 2, preference);
		pair = map_shared(sizeof(*pair));
		for (intptr_t i = 0; i < WORKERS; i++)
			workers[i] = start_child(work, (void *)i);
		for (int kill = 0; kill < KILLS; kill++) {
			intptr_t victim =
				(intptr_t)random_below(&seed, WORKERS);

			if (random_below(&seed, 4) != 0)
				until_all_pass(preference);
			usleep((useconds_t)random_below(&seed, 300));
			kill_child(&workers[victim]);
			workers[victim] = start_child(work, (void *)victim);
		}
		until_all_pass(preference);
		for (int i = 0; i < WORKERS; i++)
			kill_child(&workers[i]);
		/* The last may have died with it. */
		if (stoa_rwlock_lock_write(rwlock, STOA_FOREVER) ==
		    -EOWNERDEAD)
			mend();
		assert_int_equal(pair->left, pair->right);
		assert_true(pair->left > 0);
		assert_ok(stoa_rwlock_unlock(rwlock));
		stoa_rwlock_close(rwlock);
		if (!(kind / 2))
			assert_ok(stoa_rwlock_unlink(space, "lock"));
		stoa_space_close(space);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(nobody_sees_half_a_change_and_nobody_stays_out),
};
MAIN(cases)
