/* SPDX-License-Identifier: MIT */
/* Threads that attach, resize and look at one segment at once. */
#include "segment.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 200, MOST = 16 * PAGE };

struct work {
	struct stoa_space *space;
	struct stoa_segment *shared;
	uint64_t seed;
};

static void use_once(const struct work *work, struct stoa_segment *segment,
                     uint64_t *state)
{
	const volatile char *data = stoa_segment_data(segment);
	struct stoa_segment_status status = { .size = sizeof(status) };
	uint64_t size = stoa_segment_size(segment);

	require(size >= 1 && size <= MOST);
	require(data[size - 1] == 0); /* also if it is cut off meanwhile */
	require(stoa_segment_resize(work->shared,
	                            1 + random_below(state, MOST)) == 0);
	require(stoa_segment_stat(segment, &status) == 0);
	require(status.attached >= 1 && status.bytes <= MOST);
	require(stoa_segment_seal(segment, 0) == 0);
}

static void *work_often(void *context)
{
	const struct work *work = context;
	uint64_t state = work->seed;

	for (int i = 0; i < ROUNDS; i++) {
		struct stoa_segment *own;

		use_once(work, work->shared, &state);
		if (i % 8)
			continue;
		require(stoa_segment_open(work->space, "s", STOA_WRITE, 0, NULL,
		                          &own) == 0);
		use_once(work, own, &state);
		stoa_segment_close(own);
	}
	return NULL;
}

TEST(threads_resize_one_segment)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, MOST);
	struct work work[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		work[i] = (struct work){ space, one, run_seed() + (uint64_t)i };
		assert_int_equal(pthread_create(&threads[i], NULL, work_often,
		                                &work[i]),
		                 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_result(stoa_segment_attached(one), 1);
	assert_ok(stoa_segment_resize(one, MOST));
	assert_true(all_zeros(stoa_segment_data(one), MOST));
	close_segment(space, one, "s");
}

static const struct CMUnitTest cases[] = {
	CASE(threads_resize_one_segment),
};

MAIN(cases)
