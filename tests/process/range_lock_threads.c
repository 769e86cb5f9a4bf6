/* SPDX-License-Identifier: MIT */
/* Threads that are different owners: what ranges protect stays whole. The
 * thread sanitizer sees order only through one mapping, so plain memory is for
 * owners of one handle: the handle itself and the process. */
#include "range_lock.h"

#include <pthread.h>

enum { THREADS = 4, NUMBERS = 16, STEPS = 1500 };

struct work {
	struct stoa_range_lock *lock;
	uint64_t random;
	long *numbers;
	bool plain; /* the ranges protect them */
	uint32_t owner; /* 0 or STOA_RANGE_PROCESS */
};

static long load(struct work *work, uint64_t at)
{
	return work->plain ? work->numbers[at] :
	                     __atomic_load_n(&work->numbers[at],
	                                     __ATOMIC_RELAXED);
}

static void store(struct work *work, uint64_t at, long number)
{
	if (work->plain)
		work->numbers[at] = number;
	else
		__atomic_store_n(&work->numbers[at], number, __ATOMIC_RELAXED);
}

static void step(struct work *work)
{
	uint64_t from = random_below(&work->random, NUMBERS);
	uint64_t to = from + random_below(&work->random, NUMBERS - from);
	bool writes = random_below(&work->random, 2) != 0;
	struct stoa_range range = range_of(from, to - from + 1,
	                                   (writes ? STOA_RANGE_EXCLUSIVE :
	                                             STOA_RANGE_SHARED) |
	                                           work->owner);
	long sum = 0;

	require(stoa_range_lock_lock(work->lock, &range, STOA_FOREVER) == 0);
	for (uint64_t i = from; i <= to; i++) {
		sum += load(work, i);
		if (writes)
			store(work, i, load(work, i) + 1);
	}
	for (uint64_t i = from; i <= to; i++)
		sum -= load(work, i);
	require(writes ? sum == -(long)(to - from + 1) : sum == 0);
	require(stoa_range_lock_unlock(work->lock, &range) == 0);
}

static void *run(void *context)
{
	for (int i = 0; i < STEPS; i++)
		step(context);
	return NULL;
}

TEST(threads_exclude_one_another_by_handles_of_their_own)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	static long numbers[NUMBERS];
	struct work work[THREADS];
	pthread_t threads[THREADS];
	uint64_t random = run_seed();

	for (int i = 0; i < THREADS; i++) {
		work[i] = (struct work){ make_range_lock(space, "l", 0),
			                 next_random(&random), numbers,
			                 false, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, run,
		                                &work[i]),
		                 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		stoa_range_lock_close(work[i].lock);
	}
	assert_int_equal(status_of(lock).ranges, 0);
	assert_int_equal(status_of(lock).waiting, 0);
	close_range_lock(space, lock, "l");
}

TEST(a_handle_and_its_process_exclude_one_another)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	static long numbers[NUMBERS];
	uint64_t random = run_seed();
	struct work work[] = {
		{ lock, next_random(&random), numbers, true, 0 },
		{ lock, next_random(&random), numbers, true,
		  STOA_RANGE_PROCESS },
	};
	pthread_t threads[LENGTH(work)];

	for (size_t i = 0; i < LENGTH(work); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run,
		                                &work[i]),
		                 0);
	for (size_t i = 0; i < LENGTH(work); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(status_of(lock).ranges, 0);
	close_range_lock(space, lock, "l");
}

/* Threads of one handle have its ranges together. */
static void *lock_more(void *context)
{
	struct stoa_range range = exclusive(5, 10);

	require(stoa_range_lock_lock(context, &range, STOA_NOW) == 0);
	return NULL;
}

TEST(threads_share_what_their_handle_has)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range range = exclusive(0, 10);
	pthread_t thread;

	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	assert_int_equal(pthread_create(&thread, NULL, lock_more, lock), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(status_of(lock).ranges, 1);
	assert_ok(stoa_range_lock_unlock(lock, NULL));
	close_range_lock(space, lock, "l");
}

static const struct CMUnitTest cases[] = {
	CASE(threads_exclude_one_another_by_handles_of_their_own),
	CASE(a_handle_and_its_process_exclude_one_another),
	CASE(threads_share_what_their_handle_has),
};

MAIN(cases)
