/* SPDX-License-Identifier: MIT */
/* Unlinking keeps handles working; removing ends every wait and every later
 * call with -EIDRM. */
#include "support.h"

#include <poll.h>

static const struct queue_shape tiny = { STOA_FIFO, 4, 5000, 1 << 16 };

TEST(unlinking_removes_the_name_and_handles_go_on)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = join_queue(space, "q");
	struct stoa_queue *newer;

	send_text(queue, "before");
	assert_ok(stoa_queue_unlink(space, "q"));
	assert_result(stoa_queue_unlink(space, "q"), -ENOENT);
	send_text(queue, "after");
	assert_receives(other, "before");
	assert_receives(other, "after");
	newer = make_queue(space, "q", tiny);
	send_text(newer, "newer");
	assert_empty(queue);
	assert_receives(newer, "newer");
	stoa_queue_close(newer);
	stoa_queue_close(other);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(removing_removes_the_name)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);

	assert_ok(stoa_queue_remove(queue));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(removing_leaves_a_name_that_is_another_queues)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *newer;

	assert_ok(stoa_queue_unlink(space, "q"));
	newer = make_queue(space, "q", tiny);
	assert_ok(stoa_queue_remove(queue));
	assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW), -EIDRM);
	stoa_queue_close(newer);
	newer = join_queue(space, "q");
	send_text(newer, "x");
	assert_receives(newer, "x");
	stoa_queue_close(newer);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(every_call_on_a_removed_queue_is_eidrm)
{
	struct stoa_space *space = open_space();
	struct stoa_queue_stat stat = { .size = sizeof(stat) };
	struct stoa_notification notification = { .size = sizeof(
							  notification) };

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct stoa_queue *queue;
		struct stoa_message message = { 0 };
		char buffer[8];

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		message.data = buffer;
		message.buffer_bytes = 8;
		message.type = 1;
		send_text(queue, "lost");
		assert_ok(stoa_queue_remove(queue));
		assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW), -EIDRM);
		assert_sentence("q");
		assert_result(stoa_queue_send(queue, "x", 1, STOA_FOREVER),
		              -EIDRM);
		assert_result(stoa_queue_send_message(queue, &message,
		                                      STOA_NOW),
		              -EIDRM);
		assert_result(stoa_queue_send_many(queue, &message, 1,
		                                   STOA_NOW),
		              -EIDRM);
		assert_result(stoa_queue_reserve(queue, 1, STOA_NOW, &message),
		              -EIDRM);
		assert_result(stoa_queue_receive(queue, NULL, buffer, 8,
		                                 STOA_NOW, NULL),
		              -EIDRM);
		assert_result(stoa_queue_receive_many(queue, NULL, &message, 1,
		                                      STOA_NOW),
		              -EIDRM);
		assert_result(stoa_queue_take(queue, NULL, STOA_FOREVER,
		                              &message),
		              -EIDRM);
		assert_result(stoa_queue_peek(queue, NULL, 0, buffer, 8, NULL),
		              -EIDRM);
		assert_result(stoa_queue_purge(queue), -EIDRM);
		assert_result(stoa_queue_stat(queue, &stat), -EIDRM);
		assert_result(stoa_queue_notify(queue, &notification), -EIDRM);
		assert_result(stoa_queue_remove(queue), -EIDRM);
		stoa_queue_close(queue);
	}
	stoa_space_close(space);
}

TEST(what_is_held_of_a_removed_queue_is_eidrm_too)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_message taken;
	struct stoa_message reserved;

	send_text(queue, "x");
	taken = take_text(queue, "x");
	memset(&reserved, 0, sizeof(reserved));
	assert_ok(stoa_queue_reserve(queue, 1000, STOA_NOW, &reserved));
	reserved.type = 1;
	assert_ok(stoa_queue_remove(queue));
	assert_result(stoa_queue_acknowledge(queue, &taken), -EIDRM);
	assert_result(stoa_queue_return(queue, &taken), -EIDRM);
	assert_result(stoa_queue_commit(queue, &reserved), -EIDRM);
	assert_result(stoa_queue_cancel(queue, &reserved), -EIDRM);
	memset(reserved.data, 1, 1000);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void receive_until_removed(void *context)
{
	char buffer[8];

	assert_result(stoa_queue_receive(context, NULL, buffer, 8, STOA_FOREVER,
	                                 NULL),
	              -EIDRM);
}

static void take_until_removed(void *context)
{
	struct stoa_message message;

	assert_result(stoa_queue_take(context, NULL,
	                              stoa_deadline_in(INT64_MAX), &message),
	              -EIDRM);
}

static void receive_many_until_removed(void *context)
{
	char buffer[8];
	struct stoa_message message = { .data = buffer, .buffer_bytes = 8 };

	assert_result(stoa_queue_receive_many(context, NULL, &message, 1,
	                                      STOA_FOREVER),
	              -EIDRM);
}

static void wait_until_removed(void *context)
{
	struct stoa_wait condition = {
		.kind = STOA_READABLE, .object = stoa_queue_object(context)
	};

	assert_result(stoa_wait_any(&condition, 1, STOA_FOREVER), -EIDRM);
}

static void poll_until_removed(void *context)
{
	struct pollfd pollfd = { .events = POLLIN };
	struct stoa_message message;

	pollfd.fd = (int)assert_good(stoa_queue_pollfd(context, STOA_READ));
	while (stoa_queue_take(context, NULL, STOA_NOW, &message) == -EAGAIN)
		assert_system(poll(&pollfd, 1, -1));
	assert_result(stoa_queue_take(context, NULL, STOA_NOW, &message),
	              -EIDRM);
}

static void send_until_removed(void *context)
{
	assert_result(stoa_queue_send(context, "x", 1, STOA_FOREVER), -EIDRM);
}

static void reserve_until_removed(void *context)
{
	struct stoa_message message;

	assert_result(stoa_queue_reserve(context, 1, STOA_FOREVER, &message),
	              -EIDRM);
}

static void remove_under(void (*const *waits)(void *), size_t count, bool full)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct child children[8];
		struct stoa_queue *queue;

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		if (full)
			fill_queue(queue);
		for (size_t i = 0; i < count; i++)
			children[i] = start_child(waits[i], queue);
		for (size_t i = 0; i < count; i++)
			until_blocked(children[i].pid);
		assert_ok(stoa_queue_remove(queue));
		for (size_t i = 0; i < count; i++)
			end_child(&children[i]);
		stoa_queue_close(queue);
	}
	stoa_space_close(space);
}

TEST(everyone_who_waits_to_receive_gets_eidrm)
{
	static void (*const waits[])(
		void *) = { receive_until_removed,      take_until_removed,
		            receive_many_until_removed, wait_until_removed,
		            poll_until_removed,         receive_until_removed };

	remove_under(waits, LENGTH(waits), false);
}

TEST(everyone_who_waits_to_send_gets_eidrm)
{
	static void (*const waits[])(void *) = { send_until_removed,
		                                 reserve_until_removed,
		                                 send_until_removed };

	remove_under(waits, LENGTH(waits), true);
}

static const struct CMUnitTest cases[] = {
	CASE(unlinking_removes_the_name_and_handles_go_on),
	CASE(removing_removes_the_name),
	CASE(removing_leaves_a_name_that_is_another_queues),
	CASE(every_call_on_a_removed_queue_is_eidrm),
	CASE(what_is_held_of_a_removed_queue_is_eidrm_too),
	CASE(everyone_who_waits_to_receive_gets_eidrm),
	CASE(everyone_who_waits_to_send_gets_eidrm),
};

MAIN(cases)
