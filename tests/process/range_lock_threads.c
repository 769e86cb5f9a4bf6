/* SPDX-License-Identifier: MIT */
/* Threads, each with a handle of its own: what ranges protect stays whole. */
#include "range_lock.h"

#include <pthread.h>

enum { THREADS = 4, NUMBERS = 16, STEPS = 1500 };

struct work {
	struct stoa_range_lock *lock;
	uint64_t random;
	long *numbers; /* plain: the ranges protect them */
};

static void step(struct work *work)
{
	uint64_t from = random_below(&work->random, NUMBERS);
	uint64_t to = from + random_below(&work->random, NUMBERS - from);
	bool writes = random_below(&work->random, 2) != 0;
	struct stoa_range range = range_of(from, to - from + 1,
	                                   writes ? STOA_RANGE_EXCLUSIVE :
	                                            STOA_RANGE_SHARED);
	long sum = 0;

	require(stoa_range_lock_lock(work->lock, &range, STOA_FOREVER) == 0);
	for (uint64_t i = from; i <= to; i++) {
		sum += work->numbers[i];
		if (writes)
			work->numbers[i]++;
	}
	for (uint64_t i = from; i <= to; i++)
		sum -= work->numbers[i];
	require(writes ? sum == -(long)(to - from + 1) : sum == 0);
	require(stoa_range_lock_unlock(work->lock, NULL) == 0);
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
			                 next_random(&random), numbers };
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
	CASE(threads_share_what_their_handle_has),
};

MAIN(cases)
