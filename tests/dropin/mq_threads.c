/* SPDX-License-Identifier: MIT */
/* Queues of POSIX used by threads while others close and open them, by a forked
 * child, and by handlers of signals. */
#include "dropin.h"

#include <dropin/calls.h>
#include <dropin/mq.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

enum { REOPENINGS = 300, BYTES = 16 };

static _Atomic int stop;
static mqd_t number;

static mqd_t open_queue(void)
{
	struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = BYTES };

	return dropin_mq_open("q", O_RDWR | O_CREAT | O_NONBLOCK, 0600,
	                      &attributes);
}

static void *send_and_receive(void *context)
{
	char text[BYTES] = "";

	while (!atomic_load(&stop)) {
		long result = dropin_mq_timedsend(number, text, 3, 1, NULL);

		require(result == 0 || result == -EAGAIN || result == -EBADF);
		result = dropin_mq_timedreceive(number, text, BYTES, NULL,
		                                NULL);
		require(result == 3 || result == -EAGAIN || result == -EBADF);
	}
	return context;
}

DROPIN_TEST(closed_and_opened_beside_use)
{
	pthread_t threads[2];

	number = (mqd_t)assert_good(open_queue());
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
		                                send_and_receive, NULL),
		                 0);
	for (int i = 0; i < REOPENINGS; i++) {
		assert_int_equal(dropin_mq_close(number), 0);
		assert_int_equal(open_queue(), number);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(dropin_mq_close(number), 0);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

static _Atomic pid_t receiver;

static void *receive_one(void *context)
{
	char text[BYTES];

	atomic_store(&receiver, gettid());
	require(dropin_mq_timedreceive(*(mqd_t *)context, text, BYTES, NULL,
	                               NULL) == 1);
	return context;
}

/* As the kernel's: the call has its queue, whatever the number means. */
DROPIN_TEST(closed_while_a_thread_waits)
{
	pthread_t thread;
	mqd_t waits, other;

	other = (mqd_t)assert_good(open_queue());
	waits = (mqd_t)assert_good(dropin_mq_open("q", O_RDWR, 0, NULL));
	assert_int_equal(pthread_create(&thread, NULL, receive_one, &waits), 0);
	while (atomic_load(&receiver) == 0)
		sched_yield();
	until_blocked(atomic_load(&receiver));
	assert_int_equal(dropin_mq_close(waits), 0);
	assert_int_equal(dropin_mq_timedsend(other, "x", 1, 0, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(dropin_mq_timedsend(waits, "x", 1, 0, NULL), -EBADF);
	assert_int_equal(dropin_mq_close(other), 0);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

/* ---- Forks ---------------------------------------------------------------------------- */

static void use_and_close(void *context)
{
	mqd_t queue = *(mqd_t *)context;
	struct mq_attr attributes = { .mq_flags = 0 };
	char text[BYTES];

	assert_int_equal(dropin_mq_timedreceive(queue, text, BYTES, NULL, NULL),
	                 1);
	assert_int_equal(dropin_mq_timedsend(queue, "ab", 2, 0, NULL), 0);
	assert_int_equal(dropin_mq_getsetattr(queue, &attributes, NULL), 0);
	assert_int_equal(dropin_mq_close(queue), 0);
	assert_int_equal(dropin_mq_timedsend(queue, "ab", 2, 0, NULL), -EBADF);
}

DROPIN_TEST(a_child_has_its_own_descriptor_of_the_same_description)
{
	static const struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct mq_attr attributes;
	struct child child;
	char text[BYTES];
	mqd_t queue;

	queue = (mqd_t)assert_good(open_queue());
	assert_int_equal(dropin_mq_timedsend(queue, "x", 1, 0, NULL), 0);
	assert_int_equal(dropin_mq_notify(queue, &none), 0);
	child = start_child(use_and_close, &queue);
	end_child(&child);
	/* Used up by the child's message: not dropped by its close. */
	assert_int_equal(dropin_mq_notify(queue, &none), 0);
	assert_int_equal(dropin_mq_notify(queue, &none), -EBUSY);
	assert_int_equal(dropin_mq_getsetattr(queue, NULL, &attributes), 0);
	assert_int_equal(attributes.mq_flags, 0);
	assert_int_equal(attributes.mq_curmsgs, 1);
	assert_int_equal(dropin_mq_timedreceive(queue, text, BYTES, NULL, NULL),
	                 2);
	assert_int_equal(dropin_mq_close(queue), 0);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

static void close_it(void *context)
{
	assert_int_equal(dropin_mq_close(*(mqd_t *)context), 0);
}

DROPIN_TEST(a_childs_close_drops_no_registration_of_its_parents)
{
	static const struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct child child;
	mqd_t queue, other;

	queue = (mqd_t)assert_good(open_queue());
	other = (mqd_t)assert_good(open_queue());
	assert_int_equal(dropin_mq_notify(queue, &none), 0);
	child = start_child(close_it, &queue);
	end_child(&child);
	assert_int_equal(dropin_mq_notify(queue, &none), -EBUSY);
	/* But any close of the registrant's does. */
	assert_int_equal(dropin_mq_close(other), 0);
	assert_int_equal(dropin_mq_notify(queue, &none), 0);
	assert_int_equal(dropin_mq_close(queue), 0);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

static const struct CMUnitTest cases[] = {
	CASE(closed_and_opened_beside_use),
	CASE(closed_while_a_thread_waits),
	CASE(a_child_has_its_own_descriptor_of_the_same_description),
	CASE(a_childs_close_drops_no_registration_of_its_parents),
};
MAIN(cases)
