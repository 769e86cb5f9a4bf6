/* SPDX-License-Identifier: MIT */
/* Threads of one process that share a mutex and conditions: for TSan, too. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, EACH = 3000, SLOTS = 2 };

static struct stoa_space *space;
static struct stoa_mutex *mutex;
static struct stoa_condition *room, *more;
static uint64_t counter; /* under the mutex */
static uint32_t in, out, slots[SLOTS];
static atomic_int handed_over;

static void set_up(enum stoa_mutex_kind kind)
{
	struct stoa_mutex_attributes attributes = { .size = sizeof(attributes),
		                                    .kind = kind };

	space = open_space();
	assert_ok(stoa_mutex_open(space, NULL, STOA_CREATE, 0600, &attributes,
	                          &mutex));
	assert_ok(stoa_condition_open(space, NULL, STOA_CREATE, 0600, NULL,
	                              &room));
	assert_ok(stoa_condition_open(space, NULL, STOA_CREATE, 0600, NULL,
	                              &more));
}

static void tear_down(void)
{
	stoa_condition_close(more);
	stoa_condition_close(room);
	stoa_mutex_close(mutex);
	stoa_space_close(space);
}

static void run(void *(*body)(void *), int count)
{
	pthread_t threads[2 * THREADS];

	for (int i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body,
		                                (void *)(intptr_t)i),
		                 0);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void *count_up(void *context UNUSED)
{
	for (int i = 0; i < EACH; i++) {
		require(stoa_mutex_lock(mutex, STOA_FOREVER) == 0);
		if (i % 64 == 0)
			sched_yield(); /* so that others come to sleep */
		counter++;
		require(stoa_mutex_unlock(mutex) == 0);
	}
	return NULL;
}

TEST(what_the_mutex_protects_is_changed_by_one_at_a_time)
{
	static const enum stoa_mutex_kind kinds[] = {
		STOA_MUTEX_NORMAL, STOA_MUTEX_RECURSIVE, STOA_MUTEX_CHECKED
	};

	for (size_t i = 0; i < LENGTH(kinds); i++) {
		set_up(kinds[i]);
		counter = 0;
		run(count_up, THREADS);
		assert_int_equal(counter, THREADS * EACH);
		tear_down();
	}
}

static void *hand_over(void *context)
{
	bool produces = (intptr_t)context < THREADS;

	for (int i = 0; i < EACH; i++) {
		require(stoa_mutex_lock(mutex, STOA_FOREVER) == 0);
		while (produces ? in - out == SLOTS : in == out)
			require(stoa_condition_wait(produces ? room : more,
			                            mutex, STOA_FOREVER) == 0);
		if (produces) {
			slots[in % SLOTS] = in;
			in++;
		} else {
			require(slots[out % SLOTS] == out);
			out++;
			atomic_fetch_add(&handed_over, 1);
		}
		require(stoa_condition_signal(produces ? more : room) >= 0);
		require(stoa_mutex_unlock(mutex) == 0);
	}
	return NULL;
}

TEST(goods_are_handed_over_one_signal_each)
{
	set_up(STOA_MUTEX_NORMAL);
	in = out = 0;
	atomic_store(&handed_over, 0);
	run(hand_over, 2 * THREADS);
	assert_int_equal(handed_over, THREADS * EACH);
	tear_down();
}

static void *end_with_it(void *context UNUSED)
{
	int result = stoa_mutex_lock(mutex, STOA_FOREVER);

	require(result == 0 || result == -EOWNERDEAD);
	if (result == -EOWNERDEAD)
		require(stoa_mutex_consistent(mutex) == 0);
	counter++;
	return NULL;
}

TEST(each_thread_that_ends_with_it_is_inherited_from)
{
	set_up(STOA_MUTEX_NORMAL);
	counter = 0;
	run(end_with_it, 2 * THREADS);
	assert_int_equal(counter, 2 * THREADS);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EOWNERDEAD);
	assert_ok(stoa_mutex_consistent(mutex));
	assert_ok(stoa_mutex_unlock(mutex));
	tear_down();
}

static const struct CMUnitTest cases[] = {
	CASE(what_the_mutex_protects_is_changed_by_one_at_a_time),
	CASE(goods_are_handed_over_one_signal_each),
	CASE(each_thread_that_ends_with_it_is_inherited_from),
};

MAIN(cases)
