/* SPDX-License-Identifier: MIT */
/* Threads that allocate and free each other's blocks in a heap that is too
 * small for all they want. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, ROUNDS = 8000, SHELVES = 8, BYTES = 1 << 18 };

struct stage {
	struct stoa_heap *heap;
	/* Blocks on their way to another thread: offset, size unknown. */
	_Atomic uint64_t shelf[SHELVES];
	_Atomic uint64_t done;
};

struct worker {
	struct stage *stage;
	pthread_t thread;
	uint64_t number;
};

static const uint64_t sizes[] = { 40, 64, 130, 1000, 4096, 9000, 20000 };

/* The first word says how many follow, the others what that one says. */
static void put_mark(uint64_t *data, uint64_t bytes, uint64_t mark)
{
	data[0] = bytes / 8;
	for (uint64_t i = 1; i < data[0] && i < 64; i++)
		data[i] = mark + i;
}

static void check_mark(const uint64_t *data)
{
	for (uint64_t i = 2; i < data[0] && i < 64; i++)
		require(data[i] == data[1] + i - 1);
}

static void put_away(struct stage *stage, uint64_t *seed, uint64_t offset)
{
	uint64_t other = atomic_exchange(
		&stage->shelf[random_below(seed, SHELVES)], offset);

	if (other == 0)
		return;
	check_mark(stoa_heap_at(stage->heap, other, 8));
	require(stoa_heap_free(stage->heap, other) == 0);
}

/* A root that all replace, and read. */
static void use_root(struct stage *stage, uint64_t *seed, uint64_t mark)
{
	uint64_t offset;
	int result = stoa_heap_root_get(stage->heap, "root", &offset);

	require(result == 0 || result == -ENOENT);
	if (result == 0) {
		check_mark(stoa_heap_at(stage->heap, offset, 8));
		require(stoa_heap_release(stage->heap, offset) == 0);
	}
	if (random_below(seed, 2) == 0 ||
	    stoa_heap_allocate(stage->heap, 300, 0, &offset) < 0)
		return;
	put_mark(stoa_heap_at(stage->heap, offset, 300), 300, mark);
	require(stoa_heap_root_set(stage->heap, "root", offset) == 0);
}

static void *work(void *context)
{
	struct worker *worker = context;
	struct stage *stage = worker->stage;
	uint64_t seed = run_seed() + worker->number;

	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t mark = worker->number << 32 | round << 8, offset;
		uint64_t bytes = sizes[random_below(&seed, LENGTH(sizes))];
		int result = stoa_heap_allocate(stage->heap, bytes, 0, &offset);

		require(result == 0 || result == -ENOSPC);
		if (result == 0) {
			put_mark(stoa_heap_at(stage->heap, offset, bytes),
			         bytes, mark);
			atomic_fetch_add(&stage->done, 1);
			put_away(stage, &seed, offset);
		} else {
			put_away(stage, &seed, 0);
		}
		if (random_below(&seed, 16) == 0)
			use_root(stage, &seed, mark);
	}
	return NULL;
}

TEST(threads_share_a_heap_that_is_too_small)
{
	struct stoa_space *space = open_space();
	const struct stoa_heap_attributes attributes = {
		.size = sizeof(attributes), .bytes = BYTES
	};
	struct stoa_heap_status status = { .size = sizeof(status) };
	struct worker worker[THREADS];
	struct stage stage;

	assert_ok(stoa_heap_open(space, NULL, STOA_CREATE, 0600, &attributes,
	                         &stage.heap));
	for (size_t i = 0; i < SHELVES; i++)
		atomic_init(&stage.shelf[i], 0);
	atomic_init(&stage.done, 0);
	for (uint64_t i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ &stage, 0, i + 1 };
		assert_int_equal(pthread_create(&worker[i].thread, NULL, work,
		                                &worker[i]),
		                 0);
	}
	for (uint64_t i = 0; i < THREADS; i++)
		pthread_join(worker[i].thread, NULL);
	assert_true(stage.done > ROUNDS);
	for (size_t i = 0; i < SHELVES; i++)
		if (stage.shelf[i] != 0)
			assert_ok(stoa_heap_free(stage.heap, stage.shelf[i]));
	assert_good(stoa_heap_root_set(stage.heap, "root", 0) + ENOENT);
	assert_ok(stoa_heap_stat(stage.heap, &status));
	assert_int_equal(status.used, 0);
	stoa_heap_close(stage.heap);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_share_a_heap_that_is_too_small),
};

MAIN(cases)
