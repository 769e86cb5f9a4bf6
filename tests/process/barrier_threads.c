/* SPDX-License-Identifier: MIT */
/* Threads that write plain memory before a barrier, and read the others' after
 * it: the thread sanitizer sees whether the barrier orders what it should. */
#include "support.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 1000 };

static struct stoa_barrier *barrier;
static int board[THREADS]; /* plain */

static void *work(void *context)
{
	int number = (int)(intptr_t)context;

	for (int round = 1; round <= ROUNDS; round++) {
		board[number] = round;
		require(stoa_barrier_wait(barrier, STOA_FOREVER) >= 0);
		for (int i = 0; i < THREADS; i++)
			require(board[i] == round);
		require(stoa_barrier_wait(barrier, STOA_FOREVER) >= 0);
	}
	return NULL;
}

TEST(threads_see_what_others_wrote_before_the_barrier)
{
	struct stoa_barrier_attributes attributes = { .size = sizeof(attributes),
		                                      .count = THREADS };
	struct stoa_space *space = open_space();
	pthread_t threads[THREADS];

	assert_ok(stoa_barrier_open(space, NULL, STOA_CREATE, 0600, &attributes,
	                            &barrier));
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	stoa_barrier_close(barrier);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_see_what_others_wrote_before_the_barrier),
};
MAIN(cases)
