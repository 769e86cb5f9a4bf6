/* SPDX-License-Identifier: MIT */
/* The lock among a process's threads: one at a time, and a forked child takes
 * over what threads that it doesn't have had taken. */
#include "support.h"

#include <base/private_lock.h>
#include <pthread.h>
#include <space/object.h>

enum { THREADS = 4, TIMES = 20000 };

struct counted {
	struct stoa_lock lock;
	uint64_t count;
};

static void *count_up(void *context)
{
	struct counted *counted = context;

	for (int i = 0; i < TIMES; i++) {
		stoa_private_lock(&counted->lock);
		counted->count++;
		stoa_private_unlock(&counted->lock);
	}
	return NULL;
}

TEST(threads_have_it_one_at_a_time)
{
	struct counted counted = { 0 };
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up,
		                                &counted),
		                 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(counted.count, THREADS * TIMES);
	assert_false(stoa_lock_taken(&counted.lock));
}

/* ---- Fork while another thread has it --------------------------------- */

struct holder {
	struct stoa_lock *lock;
	pthread_barrier_t barrier;
};

static void *hold(void *context)
{
	struct holder *holder = context;

	stoa_private_lock(holder->lock);
	pthread_barrier_wait(&holder->barrier); /* taken */
	pthread_barrier_wait(&holder->barrier); /* the child has ended */
	stoa_private_unlock(holder->lock);
	return NULL;
}

static void run_beside_holder(struct stoa_lock *lock,
                              void (*run)(void *context), void *context)
{
	struct holder holder = { .lock = lock };
	struct child child;
	pthread_t thread;

	assert_int_equal(pthread_barrier_init(&holder.barrier, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, hold, &holder), 0);
	pthread_barrier_wait(&holder.barrier);
	child = start_child(run, context);
	end_child(&child);
	assert_true(stoa_lock_taken(lock)); /* the parent's still is */
	pthread_barrier_wait(&holder.barrier);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(stoa_lock_taken(lock));
	pthread_barrier_destroy(&holder.barrier);
}

static void lock_twice(void *context)
{
	stoa_private_lock(context);
	stoa_private_unlock(context);
	stoa_private_lock(context);
	stoa_private_unlock(context);
}

TEST(a_forked_child_takes_it_over)
{
	struct stoa_space *space = open_space();
	struct stoa_lock lock = { 0 };

	run_beside_holder(&lock, lock_twice, &lock);
	stoa_space_close(space);
}

static void send_hello(void *context)
{
	assert_ok(stoa_queue_send(context, "hello", 5, STOA_FOREVER));
}

TEST(a_forked_child_takes_a_seat_though_a_thread_was_taking_one)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue =
		make_queue(space, "q", (struct queue_shape){ STOA_FIFO, 8, 64,
	                                                     1 << 12 });

	run_beside_holder(&stoa_queue_object(queue)->seat_lock, send_hello,
	                  queue);
	assert_receives(queue, "hello");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_have_it_one_at_a_time),
	CASE(a_forked_child_takes_it_over),
	CASE(a_forked_child_takes_a_seat_though_a_thread_was_taking_one),
};

MAIN(cases)
