/* SPDX-License-Identifier: MIT */
/* Thread numbers are different, are given back, and what a thread holds is
 * abandoned when it ends. */
#include "support.h"

#include <base/thread.h>
#include <pthread.h>
#include <sys/wait.h>

#define MANY 64

static pthread_barrier_t barrier;

static void *tell_number(void *argument)
{
	uint32_t *number = argument;

	*number = stoa_thread_self()->number;
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void gather_numbers(uint32_t numbers[MANY])
{
	pthread_t threads[MANY];

	assert_int_equal(pthread_barrier_init(&barrier, NULL, MANY), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, tell_number,
		                                &numbers[i]),
		                 0);
	for (int i = 0; i < MANY; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}

TEST(threads_at_the_same_time_have_different_numbers)
{
	uint32_t numbers[MANY];

	gather_numbers(numbers);
	for (int i = 0; i < MANY; i++) {
		assert_in_range(numbers[i], 1, STOA_THREAD_MAX);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(numbers[i], numbers[k]);
	}
}

TEST(numbers_are_given_back)
{
	uint32_t numbers[MANY];

	for (int round = 0; round < 20; round++) {
		gather_numbers(numbers);
		for (int i = 0; i < MANY; i++)
			assert_in_range(numbers[i], 1, MANY + 1);
	}
}

static int abandoned;

static void count_abandoned(struct stoa_held *held)
{
	abandoned += held->next == NULL && held->previous == NULL ? 1 : 0;
}

static void *hold_three(void *argument)
{
	struct stoa_held *held = argument;
	struct stoa_thread *thread = stoa_thread_self();

	for (int i = 0; i < 3; i++)
		stoa_thread_hold(thread, &held[i]);
	stoa_thread_let_go(thread, &held[1]);
	return NULL;
}

static struct stoa_held *last_abandoned[3];

static void note_abandoned(struct stoa_held *held)
{
	last_abandoned[abandoned++] = held;
}

TEST(what_a_thread_holds_is_abandoned_when_it_ends)
{
	struct stoa_held held[3] = { { .abandon = note_abandoned },
		                     { .abandon = count_abandoned },
		                     { .abandon = note_abandoned } };
	pthread_t thread;

	pthread_create(&thread, NULL, hold_three, held);
	pthread_join(thread, NULL);
	assert_int_equal(abandoned, 2);
	assert_ptr_equal(last_abandoned[0], &held[2]);
	assert_ptr_equal(last_abandoned[1], &held[0]);
}

TEST(a_forked_child_holds_nothing_and_has_its_own_tid)
{
	struct stoa_held held = { .abandon = note_abandoned };
	int status;

	stoa_thread_hold(stoa_thread_self(), &held);
	pid_t child = fork();
	if (child == 0)
		_exit(stoa_thread_self()->held == NULL &&
		                      stoa_thread_self()->tid == getpid() ?
		              0 :
		              1);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	assert_ptr_equal(stoa_thread_self()->held, &held);
	stoa_thread_let_go(stoa_thread_self(), &held);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_at_the_same_time_have_different_numbers),
	CASE(numbers_are_given_back),
	CASE(what_a_thread_holds_is_abandoned_when_it_ends),
	CASE(a_forked_child_holds_nothing_and_has_its_own_tid),
};

MAIN(cases)
