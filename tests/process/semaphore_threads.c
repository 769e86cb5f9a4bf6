/* SPDX-License-Identifier: MIT */
/* Threads that share one handle, or use handles of their own. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { THREADS = 4, ROUNDS = 3000, PERMITS = 3, SLOTS = 8 };

struct work {
	struct stoa_space *space;
	struct stoa_semaphore *semaphore;
	struct stoa_semaphore_set *set;
	uint32_t index;
	atomic_int *inside;
	int *plain; /* guarded by the semaphore or set. Threads with handles of
	               their own see them at addresses of their own, between
	               which TSan knows no order: these have counts of their own */
};

static void *take_and_post(void *context)
{
	struct work *work = context;
	uint64_t seed = work->index + 1;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t permits = 1 + (uint32_t)random_below(&seed, PERMITS);

		require(stoa_semaphore_wait(work->semaphore, permits,
		                            STOA_FOREVER) == 0);
		require(atomic_fetch_add(work->inside, (int)permits) +
		                (int)permits <=
		        PERMITS);
		if (permits == PERMITS)
			(*work->plain)++;
		atomic_fetch_sub(work->inside, (int)permits);
		require(stoa_semaphore_post(work->semaphore, permits) == 0);
	}
	return NULL;
}

static void *exclude(void *context)
{
	struct work *work = context;
	struct stoa_semaphore_change take[2] = {
		{ 0, -1, STOA_SEMAPHORE_UNDO, 0 }, { 1, 1, 0, 0 }
	};
	struct stoa_semaphore_change put[2] = {
		{ 0, 1, STOA_SEMAPHORE_UNDO, 0 }, { 1, -1, 0, 0 }
	};
	struct stoa_semaphore_change one[1] = { { 2 + work->index, 1, 0, 0 } };

	for (int i = 0; i < ROUNDS; i++) {
		require(stoa_semaphore_set_operate(work->set, take, 2,
		                                   STOA_FOREVER) == 0);
		(*work->plain)++;
		require(stoa_semaphore_set_operate(work->set, put, 2,
		                                   STOA_FOREVER) == 0);
		require(stoa_semaphore_set_operate(work->set, one, 1,
		                                   STOA_FOREVER) == 0);
	}
	return NULL;
}

static int run(struct work *work, void *(*body)(void *), int own_handles)
{
	pthread_t threads[THREADS];
	struct work works[THREADS];
	atomic_int inside = 0;
	int plain[THREADS] = { 0 };

	for (uint32_t i = 0; i < THREADS; i++) {
		works[i] = *work;
		works[i].index = i;
		works[i].inside = &inside;
		works[i].plain = &plain[own_handles ? i : 0];
		if (own_handles && work->semaphore)
			assert_ok(stoa_semaphore_open(work->space, "s", 0, 0,
			                              NULL,
			                              &works[i].semaphore));
		if (own_handles && work->set)
			assert_ok(stoa_semaphore_set_open(work->space, "s", 0,
			                                  0, NULL,
			                                  &works[i].set));
		assert_int_equal(pthread_create(&threads[i], NULL, body,
		                                &works[i]),
		                 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		if (own_handles && work->semaphore)
			stoa_semaphore_close(works[i].semaphore);
		if (own_handles && work->set)
			stoa_semaphore_set_close(works[i].set);
	}
	assert_int_equal(inside, 0);
	return plain[0] + plain[1] + plain[2] + plain[3];
}

TEST(permits_exclude_and_order)
{
	for (uint32_t undo = 0; undo < 2; undo++) {
		struct stoa_semaphore_attributes attributes = {
			.size = sizeof(attributes),
			.value = PERMITS,
			.undo = undo
		};
		struct work work = { .space = open_space() };

		assert_ok(stoa_semaphore_open(work.space, "s", STOA_CREATE,
		                              0600, &attributes,
		                              &work.semaphore));
		run(&work, take_and_post, 0);
		run(&work, take_and_post, 1);
		assert_result(stoa_semaphore_value(work.semaphore), PERMITS);
		stoa_semaphore_close(work.semaphore);
		stoa_space_close(work.space);
	}
}

TEST(operations_exclude_and_order)
{
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes),
		.count = SLOTS,
		.values = (const uint16_t[SLOTS]){ 1 }
	};
	struct work work = { .space = open_space() };

	assert_ok(stoa_semaphore_set_open(work.space, "s", STOA_CREATE, 0600,
	                                  &attributes, &work.set));
	assert_int_equal(run(&work, exclude, 0), THREADS * ROUNDS);
	assert_int_equal(run(&work, exclude, 1), THREADS * ROUNDS);
	assert_result(stoa_semaphore_set_get(work.set, 0), 1);
	assert_result(stoa_semaphore_set_get(work.set, 1), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		assert_result(stoa_semaphore_set_get(work.set, 2 + i),
		              2 * ROUNDS);
	stoa_semaphore_set_close(work.set);
	stoa_space_close(work.space);
}

static const struct CMUnitTest cases[] = {
	CASE(permits_exclude_and_order),
	CASE(operations_exclude_and_order),
};

MAIN(cases)
