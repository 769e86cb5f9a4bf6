/* SPDX-License-Identifier: MIT */
/* Waits between processes: who is woken, and what a signal does. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { ROUNDS = 200 };

static const struct queue_shape tiny = { STOA_FIFO, 2, 100, 8192 };

static void echo(void *context)
{
	struct stoa_queue **queues = context;
	char buffer[100];
	ssize_t bytes;

	while ((bytes = assert_good(stoa_queue_receive(
			queues[0], NULL, buffer, sizeof(buffer), STOA_FOREVER,
			NULL))) > 0)
		assert_ok(stoa_queue_send(queues[1], buffer, (size_t)bytes,
		                          STOA_FOREVER));
}

TEST(two_processes_wake_each_other_in_turn)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct stoa_queue *queues[2];
		struct child child;
		char buffer[8];

		shape.order = (enum stoa_queue_order)order;
		queues[0] = make_queue(space, "there", shape);
		queues[1] = make_queue(space, "back", shape);
		child = start_child(echo, queues);
		for (int i = 0; i < ROUNDS; i++) {
			if (i % 8 == 0)
				until_blocked(child.pid);
			assert_ok(stoa_queue_send(queues[0], "ping", 4,
			                          STOA_FOREVER));
			assert_result(stoa_queue_receive(queues[1], NULL,
			                                 buffer, 8,
			                                 STOA_FOREVER, NULL),
			              4);
		}
		assert_ok(stoa_queue_send(queues[0], "", 0, STOA_FOREVER));
		end_child(&child);
		stoa_queue_close(queues[0]);
		stoa_queue_close(queues[1]);
		assert_ok(stoa_queue_unlink(space, "there"));
		assert_ok(stoa_queue_unlink(space, "back"));
	}
	stoa_space_close(space);
}

struct waiter {
	struct stoa_queue *queue;
	struct stoa_selector selector;
};

static void receive_selected(void *context)
{
	struct waiter *waiter = context;
	struct stoa_message message;
	char buffer[8];

	assert_good(stoa_queue_receive(waiter->queue, &waiter->selector, buffer,
	                               8, STOA_FOREVER, &message));
	report(message.type);
}

/* The wake must not stick with one whom the message doesn't suit. */
TEST(a_message_wakes_the_receiver_whose_type_it_has)
{
	enum { WAITERS = 4 };
	struct stoa_space *space = open_space();
	struct queue_shape shape = tiny;
	struct waiter waiters[WAITERS];
	struct child children[WAITERS];
	struct stoa_queue *queue;

	shape.order = STOA_TYPE;
	shape.capacity = WAITERS;
	queue = make_queue(space, "q", shape);
	for (int i = 0; i < WAITERS; i++) {
		waiters[i] = (struct waiter){ queue, { STOA_EXACTLY, i + 1 } };
		children[i] = start_child(receive_selected, &waiters[i]);
		until_waiting(queue, (uint32_t)i + 1, 0);
		until_blocked(children[i].pid);
	}
	for (int i = WAITERS; i > 0; i--) {
		send_typed(queue, i, "x");
		assert_int_equal(await_report(&children[i - 1]), i);
		end_child(&children[i - 1]);
	}
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(as_many_receivers_are_woken_as_there_are_messages)
{
	enum { WAITERS = 10 };
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct waiter waiter;
		struct child children[WAITERS];

		shape.order = (enum stoa_queue_order)order;
		shape.capacity = WAITERS;
		waiter = (struct waiter){ make_queue(space, "q", shape),
			                  { STOA_ANY, 0 } };
		for (int i = 0; i < WAITERS; i++)
			children[i] = start_child(receive_selected, &waiter);
		for (int i = 0; i < WAITERS; i++)
			until_blocked(children[i].pid);
		assert_int_equal(fill_queue(waiter.queue) >= WAITERS, 1);
		for (int i = 0; i < WAITERS; i++)
			end_child(&children[i]);
		drain_queue(waiter.queue);
		stoa_queue_close(waiter.queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void send_one(void *context)
{
	assert_ok(stoa_queue_send(context, "late", 4, STOA_FOREVER));
}

TEST(as_many_senders_are_woken_as_there_is_room)
{
	enum { WAITERS = 6 };
	struct stoa_space *space = open_space();
	struct queue_shape shape = tiny;
	struct child children[WAITERS];
	struct stoa_queue *queue;

	shape.capacity = WAITERS;
	queue = make_queue(space, "q", shape);
	fill_queue(queue);
	for (int i = 0; i < WAITERS; i++)
		children[i] = start_child(send_one, queue);
	for (int i = 0; i < WAITERS; i++)
		until_blocked(children[i].pid);
	assert_result(stoa_queue_purge(queue), WAITERS);
	for (int i = 0; i < WAITERS; i++)
		end_child(&children[i]);
	for (int i = 0; i < WAITERS; i++)
		assert_receives(queue, "late");
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* ---- Signals ---------------------------------------------------------- */

static void ignore_signal(int number)
{
	(void)number;
}

struct interrupted {
	struct stoa_queue *queue;
	unsigned what; /* STOA_READ, STOA_WRITE, or 0 for take */
};

static int wait_once(struct interrupted *context, struct stoa_deadline deadline)
{
	struct stoa_message message;
	char buffer[8];

	if (context->what == STOA_READ)
		return (int)stoa_queue_receive(context->queue, NULL, buffer, 8,
		                               deadline, NULL);
	if (context->what == STOA_WRITE)
		return stoa_queue_send(context->queue, "x", 1, deadline);
	return stoa_queue_take(context->queue, NULL, deadline, &message);
}

static void wait_interrupted(void *context)
{
	struct sigaction action = { .sa_handler = ignore_signal,
		                    .sa_flags = SA_RESTART };

	assert_system(sigaction(SIGUSR1, &action, NULL));
	for (int i = 0; i < 20; i++) {
		report(i);
		report(wait_once(context, STOA_FOREVER));
	}
}

TEST(a_signal_ends_the_wait_of_an_interruptible_handle)
{
	static const unsigned whats[] = { STOA_READ, STOA_WRITE, 0 };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(whats); i++) {
		struct stoa_queue *queue = make_queue(space, "q", tiny);
		struct interrupted interrupted = { .what = whats[i] };
		struct child child;

		assert_ok(stoa_queue_open(
			space, "q", STOA_READ | STOA_WRITE | STOA_INTERRUPTIBLE,
			0, NULL, &interrupted.queue));
		if (whats[i] == STOA_WRITE)
			fill_queue(queue);
		child = start_child(wait_interrupted, &interrupted);
		for (int round = 0; round < 20; round++) {
			assert_int_equal(await_report(&child), round);
			signal_until_report(&child, SIGUSR1);
			assert_int_equal(await_report(&child), -EINTR);
		}
		end_child(&child);
		stoa_queue_close(interrupted.queue);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void wait_through(void *context)
{
	struct sigaction action = { .sa_handler = ignore_signal };

	assert_system(sigaction(SIGUSR1, &action, NULL));
	report(0);
	report(wait_once(context, STOA_FOREVER));
	report(wait_once(context, stoa_deadline_in(100 * MS)));
}

TEST(without_the_flag_a_wait_goes_on_after_a_signal)
{
	struct stoa_space *space = open_space();
	struct interrupted waiting = { make_queue(space, "q", tiny),
		                       STOA_READ };
	struct child child = start_child(wait_through, &waiting);

	await_report(&child);
	for (int i = 0; i < 20; i++) {
		until_blocked(child.pid);
		assert_system(kill(child.pid, SIGUSR1));
	}
	until_blocked(child.pid);
	send_text(waiting.queue, "x");
	assert_int_equal(await_report(&child), 1);
	for (int i = 0; i < 20; i++)
		assert_system(kill(child.pid, SIGUSR1));
	assert_int_equal(await_report(&child), -ETIMEDOUT);
	end_child(&child);
	stoa_queue_close(waiting.queue);
	stoa_space_close(space);
}

/* ---- Cancellation ----------------------------------------------------- */

struct cancelled {
	struct stoa_queue *queue;
	atomic_int task;
};

static void *receive_cancelled(void *context)
{
	struct cancelled *cancelled = context;
	char buffer[8];

	atomic_store(&cancelled->task, gettid());
	require(stoa_queue_receive(cancelled->queue, NULL, buffer, 8,
	                           STOA_FOREVER, NULL) == 1);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return cancelled;
}

TEST(a_wait_is_no_cancellation_point)
{
	struct stoa_space *space = open_space();
	struct cancelled cancelled = { .queue = make_queue(space, "q", tiny) };
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, receive_cancelled,
	                                &cancelled),
	                 0);
	while (atomic_load(&cancelled.task) == 0)
		;
	until_waiting(cancelled.queue, 1, 0);
	until_blocked(atomic_load(&cancelled.task));
	assert_int_equal(pthread_cancel(thread), 0);
	send_text(cancelled.queue, "x");
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &cancelled);
	stoa_queue_close(cancelled.queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(two_processes_wake_each_other_in_turn),
	CASE(a_message_wakes_the_receiver_whose_type_it_has),
	CASE(as_many_receivers_are_woken_as_there_are_messages),
	CASE(as_many_senders_are_woken_as_there_is_room),
	CASE(a_signal_ends_the_wait_of_an_interruptible_handle),
	CASE(without_the_flag_a_wait_goes_on_after_a_signal),
	CASE(a_wait_is_no_cancellation_point),
};

MAIN(cases)
