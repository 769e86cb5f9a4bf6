/* SPDX-License-Identifier: MIT */
/* Every operation on queues while its n-th system call fails. */
#include "inject.h"

#include <signal.h>

enum { LARGE = 5000 };

static char data[LARGE];

/* ---- Lifecycle -------------------------------------------------------- */

static long long create_queue(struct stage *stage)
{
	struct queue_shape shape = fault_shape;
	struct stoa_queue_attributes attributes;
	struct stoa_queue *queue = (struct stoa_queue *)&queue;
	int result;

	shape.order = stage->order;
	attributes = attributes_of(shape);
	result = stoa_queue_open(stage->space, "q",
	                         STOA_READ | STOA_WRITE | STOA_CREATE, 0640,
	                         &attributes, &queue);
	if (result == 0)
		stage->queue = queue;
	else
		assert_ptr_equal(queue, &queue);
	return result;
}

static void after_create(struct stage *stage, long long result)
{
	if (result == 0)
		return;
	if (!stage->lasting && access(case_path("q.queue"), F_OK) == 0)
		complain(stage, "left a stale name", 0);
	stoa_queue_unlink(stage->space, "q");
	assert_int_equal(create_queue(stage), 0);
}

static long long open_queue(struct stage *stage)
{
	struct stoa_queue *queue = (struct stoa_queue *)&queue;
	int result = stoa_queue_open(stage->space, "q", STOA_READ | STOA_WRITE,
	                             0, NULL, &queue);

	if (result == 0)
		stage->other = queue;
	else
		assert_ptr_equal(queue, &queue);
	return result;
}

static void after_open(struct stage *stage, long long result)
{
	if (result < 0)
		assert_int_equal(open_queue(stage), 0);
	assert_receives(stage->other, "one");
}

static void with_held(struct stage *stage)
{
	with_queue(stage);
	stage->other = join_queue(stage->space, "q");
	assert_ok(
		stoa_queue_take(stage->other, NULL, STOA_NOW, &stage->message));
	assert_ok(stoa_queue_reserve(stage->other, LARGE, STOA_NOW,
	                             &stage->message));
}

static long long close_queue(struct stage *stage)
{
	stoa_queue_close(stage->other);
	stage->other = NULL;
	return 0;
}

static void after_close(struct stage *stage, long long result)
{
	(void)result;
	assert_good(stoa_space_clean(stage->space, 0, NULL, NULL));
	assert_receives(stage->queue, "one");
}

static long long unlink_queue(struct stage *stage)
{
	return stoa_queue_unlink(stage->space, "q");
}

static long long remove_queue(struct stage *stage)
{
	return stoa_queue_remove(stage->queue);
}

static void after_remove(struct stage *stage, long long result)
{
	(void)result;
	assert_result(stoa_queue_send(stage->queue, "x", 1, STOA_NOW), -EIDRM);
	stoa_queue_close(stage->queue);
	stage->queue = NULL;
}

/* ---- Messages --------------------------------------------------------- */

static long long send_small(struct stage *stage)
{
	return stoa_queue_send(stage->queue, "small", 5, STOA_NOW);
}

static long long send_large(struct stage *stage)
{
	return stoa_queue_send(stage->queue, data, LARGE, STOA_NOW);
}

static long long receive_one(struct stage *stage)
{
	return stoa_queue_receive(stage->queue, NULL, data, LARGE, STOA_NOW,
	                          NULL);
}

static void after_receive(struct stage *stage, long long result)
{
	if (result < 0)
		assert_receives(stage->queue, "one");
	assert_empty(stage->queue);
}

static long long receive_none(struct stage *stage)
{
	return stoa_queue_receive(stage->queue, NULL, data, LARGE,
	                          stoa_deadline_in(SHORT_MS * MS), NULL);
}

static long long send_none(struct stage *stage)
{
	return stoa_queue_send(stage->queue, data, 1,
	                       stoa_deadline_in(SHORT_MS * MS));
}

static long long receive_of_the_dead(struct stage *stage)
{
	return stoa_queue_receive(stage->queue, NULL, data, LARGE,
	                          stoa_deadline_in(20 * SECOND), NULL);
}

static long long take_and_acknowledge(struct stage *stage)
{
	int result =
		stoa_queue_take(stage->queue, NULL, STOA_NOW, &stage->message);

	return result < 0
	               ? result
	               : stoa_queue_acknowledge(stage->queue, &stage->message);
}

static long long take_and_return(struct stage *stage)
{
	int result =
		stoa_queue_take(stage->queue, NULL, STOA_NOW, &stage->message);

	return result < 0 ? result
	                  : stoa_queue_return(stage->queue, &stage->message);
}

static long long reserve_and_commit(struct stage *stage)
{
	int result = stoa_queue_reserve(stage->queue, LARGE, STOA_NOW,
	                                &stage->message);

	stage->message.type = 1;
	stage->message.priority = 0;
	return result < 0 ? result
	                  : stoa_queue_commit(stage->queue, &stage->message);
}

static long long reserve_and_cancel(struct stage *stage)
{
	int result = stoa_queue_reserve(stage->queue, LARGE, STOA_NOW,
	                                &stage->message);

	return result < 0 ? result
	                  : stoa_queue_cancel(stage->queue, &stage->message);
}

static long long peek_one(struct stage *stage)
{
	return stoa_queue_peek(stage->queue, NULL, 0, data, LARGE, NULL);
}

static long long purge_all(struct stage *stage)
{
	return stoa_queue_purge(stage->queue);
}

static long long ask_stat(struct stage *stage)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	return stoa_queue_stat(stage->queue, &stat);
}

/* ---- Being told ------------------------------------------------------- */

static long long ask_for_descriptor(struct stage *stage)
{
	int result = stoa_queue_pollfd(stage->queue, STOA_READ);

	return result < 0 ? result : 0;
}

static void after_descriptor(struct stage *stage, long long result)
{
	(void)result;
	assert_good(stoa_queue_pollfd(stage->queue, STOA_READ));
}

static void with_descriptor(struct stage *stage)
{
	with_empty_queue(stage);
	assert_good(stoa_queue_pollfd(stage->queue, STOA_READ));
	assert_empty(stage->queue);
}

static long long send_to_poller(struct stage *stage)
{
	return stoa_queue_send(stage->queue, "one", 3, STOA_NOW);
}

static long long ask_for_signal(struct stage *stage)
{
	struct stoa_notification ask = { .size = sizeof(ask),
		                         .signal_number = SIGURG };

	return stoa_queue_notify(stage->queue, &ask);
}

static void with_registration(struct stage *stage)
{
	with_empty_queue(stage);
	assert_int_equal(ask_for_signal(stage), 0);
}

static long long wait_for_nothing(struct stage *stage)
{
	struct stoa_wait condition = {
		.kind = STOA_READABLE, .object = stoa_queue_object(stage->queue)
	};

	return stoa_wait_any(&condition, 1, stoa_deadline_in(SHORT_MS * MS));
}

static const struct operation lifecycle[] = {
	OPERATION_AFTER(create_queue, with_space, after_create),
	OPERATION_AFTER(open_queue, with_queue, after_open),
	OPERATION_AFTER(close_queue, with_held, after_close),
	OPERATION(unlink_queue, with_queue),
	OPERATION_AFTER(remove_queue, with_queue, after_remove),
};

static const struct operation messages[] = {
	OPERATION(send_small, with_queue),
	OPERATION(send_large, with_queue),
	OPERATION(send_small, with_full_queue),
	OPERATION_AFTER(receive_one, with_queue, after_receive),
	OPERATION(receive_one, with_empty_queue),
	OPERATION(take_and_acknowledge, with_queue),
	OPERATION(take_and_return, with_queue),
	OPERATION(reserve_and_commit, with_queue),
	OPERATION(reserve_and_cancel, with_queue),
	OPERATION(peek_one, with_queue),
	OPERATION(purge_all, with_full_queue),
	OPERATION(ask_stat, with_queue),
	OPERATION(ask_stat, with_dead_taker),
};

static const struct operation waits[] = {
	OPERATION(receive_none, with_empty_queue),
	OPERATION(send_none, with_full_queue),
	OPERATION_ONCE(receive_of_the_dead, with_dead_taker),
	OPERATION(wait_for_nothing, with_empty_queue),
};

static const struct operation tellings[] = {
	OPERATION_AFTER(ask_for_descriptor, with_queue, after_descriptor),
	OPERATION(send_to_poller, with_descriptor),
	OPERATION(ask_for_signal, with_queue),
	OPERATION(send_to_poller, with_registration),
};

TEST(making_opening_and_removing_fails_whole_or_not)
{
	sweep(lifecycle, LENGTH(lifecycle), STOA_TYPE);
}

TEST(messages_are_sent_and_received_whole_or_not)
{
	sweep(messages, LENGTH(messages), STOA_TYPE);
}

TEST(waits_end_as_they_would_have)
{
	sweep(waits, LENGTH(waits), STOA_FIFO);
}

TEST(descriptors_and_signals_fail_whole_or_not)
{
	signal(SIGURG, SIG_IGN);
	sweep(tellings, LENGTH(tellings), STOA_TYPE);
}

/* ---- The first call after a fork -------------------------------------- */

/* The stage is of the parent; the child's call fails in its joining. */
static void send_failing(void *context)
{
	struct stage *stage = context;
	int error = (int)await_order();
	unsigned n = (unsigned)await_order();
	int result;
	bool hit;

	inject_at(error, n, false);
	result = stoa_queue_send(stage->queue, "child", 5, STOA_NOW);
	hit = injected();
	if (result != 0)
		assert_true(hit && result == -error);
	report(hit);
	if (result != 0)
		assert_ok(stoa_queue_send(stage->queue, "child", 5, STOA_NOW));
	assert_receives(stage->queue, "child");
	report(0);
	await_order();
	take_text(stage->queue, "one");
}

TEST(the_first_call_after_a_fork_fails_whole_or_not)
{
	static const int errors[] = { EMFILE, ENFILE, ENOMEM, ENOSPC,
		                      EACCES, EIO,    ENOLCK, EINTR };

	for (size_t i = 0; i < LENGTH(errors); i++) {
		bool hit = true;

		for (unsigned n = 1; hit; n++) {
			struct stage stage = { .order = STOA_FIFO };

			with_empty_queue(&stage);
			stage.child = start_child(send_failing, &stage);
			give_order(&stage.child, errors[i]);
			give_order(&stage.child, n);
			hit = await_report(&stage.child);
			await_report(&stage.child);
			send_text(stage.queue, "one");
			give_order(&stage.child, 0);
			end_child(&stage.child);
			assert_good(
				stoa_space_clean(stage.space, 0, NULL, NULL));
			assert_receives(stage.queue, "one");
			assert_capacity(stage.queue, fault_shape.capacity);
			stoa_queue_close(stage.queue);
			assert_ok(stoa_queue_unlink(stage.space, "q"));
			stoa_space_close(stage.space);
		}
	}
}

static const struct CMUnitTest cases[] = {
	CASE(making_opening_and_removing_fails_whole_or_not),
	CASE(messages_are_sent_and_received_whole_or_not),
	CASE(waits_end_as_they_would_have),
	CASE(descriptors_and_signals_fail_whole_or_not),
	CASE(the_first_call_after_a_fork_fails_whole_or_not),
};

MAIN(cases)
