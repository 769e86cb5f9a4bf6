/* SPDX-License-Identifier: MIT */
/* Threads that take, free and hand over blocks of pools that are too small for
 * all of them. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, ROUNDS = 50000 };

struct stage {
	struct stoa_pool *pool;
	_Atomic uint64_t passed[8]; /* blocks on their way to another thread */
	_Atomic uint64_t done;
};

struct worker {
	struct stage *stage;
	pthread_t thread;
	uint64_t number;
};

static void put_mark(void *data, uint64_t mark)
{
	for (int i = 0; i < 8; i++)
		((uint64_t *)data)[i] = mark;
}

static void check_mark(void *data, uint64_t mark)
{
	for (int i = 0; i < 8; i++)
		require(((uint64_t *)data)[i] == mark);
}

static void pass_on(struct stage *stage, uint64_t *seed, uint64_t block)
{
	uint64_t other = atomic_exchange(
		&stage->passed[random_below(seed, LENGTH(stage->passed))],
		block);

	if (other != UINT64_MAX)
		require(stoa_pool_release(stage->pool, other) == 0);
}

static void *work(void *context)
{
	struct worker *worker = context;
	struct stage *stage = worker->stage;
	uint64_t seed = run_seed() + worker->number, block[6];

	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t count = 1 + random_below(&seed, 6), got = 0;
		uint64_t mark = worker->number << 32 | round << 3;

		while (got < count) {
			int result = stoa_pool_acquire(
				stage->pool,
				got ? STOA_NOW : stoa_deadline_in(SECOND),
				&block[got]);

			require(result == 0 || result == -EAGAIN ||
			        result == -ETIMEDOUT);
			if (result != 0)
				break;
			put_mark(stoa_pool_data(stage->pool, block[got]),
			         mark | got);
			got++;
		}
		for (uint64_t i = 0; i < got; i++) {
			check_mark(stoa_pool_data(stage->pool, block[i]),
			           mark | i);
			if (random_below(&seed, 4) == 0)
				pass_on(stage, &seed, block[i]);
			else
				require(stoa_pool_release(stage->pool,
				                          block[i]) == 0);
		}
		atomic_fetch_add(&stage->done, got);
	}
	return NULL;
}

static void stress(uint32_t blocks)
{
	struct stoa_space *space = open_space();
	const struct stoa_pool_attributes attributes = {
		.size = sizeof(attributes), .block_bytes = 64, .blocks = blocks
	};
	struct stage stage;
	struct worker worker[THREADS];
	uint64_t block, taken = 0;

	assert_ok(stoa_pool_open(space, NULL, STOA_CREATE, 0600, &attributes,
	                         &stage.pool));
	for (size_t i = 0; i < LENGTH(stage.passed); i++)
		atomic_init(&stage.passed[i], UINT64_MAX);
	atomic_init(&stage.done, 0);
	for (uint64_t i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ &stage, 0, i + 1 };
		assert_int_equal(pthread_create(&worker[i].thread, NULL, work,
		                                &worker[i]),
		                 0);
	}
	for (uint64_t i = 0; i < THREADS; i++)
		pthread_join(worker[i].thread, NULL);
	assert_true(stage.done > 0);
	for (size_t i = 0; i < LENGTH(stage.passed); i++)
		if (stage.passed[i] != UINT64_MAX)
			assert_ok(stoa_pool_release(stage.pool,
			                            stage.passed[i]));
	while (stoa_pool_acquire(stage.pool, STOA_NOW, &block) == 0)
		taken++;
	assert_int_equal(taken, blocks);
	stoa_pool_close(stage.pool);
	stoa_space_close(space);
}

TEST(few_blocks_are_fought_for)
{
	stress(12);
}

TEST(parts_are_taken_away)
{
	stress(130);
}

TEST(there_are_enough_for_all)
{
	stress(2000);
}

static const struct CMUnitTest cases[] = {
	CASE(few_blocks_are_fought_for),
	CASE(parts_are_taken_away),
	CASE(there_are_enough_for_all),
};

MAIN(cases)
