/* SPDX-License-Identifier: MIT */
/* Receiving the oldest without listing it, sending by what is known of what has
 * left, and waiting for room: see LEVEL and LIMITS in src/data/queue_layout.h. */
#include "support.h"

enum { ROOM = 8, ROUNDS = 100 };

static const struct queue_shape by_priority = { STOA_PRIORITY, ROOM, 80, 0 };
static const struct queue_shape by_type = { STOA_TYPE, ROOM, 80, 0 };

static struct stoa_message reserve(struct stoa_queue *queue, uint32_t priority)
{
	struct stoa_message message = { 0 };

	assert_ok(stoa_queue_reserve(queue, 1, STOA_NOW, &message));
	memcpy(message.data, "r", 1);
	message.priority = priority;
	return message;
}

TEST(a_more_urgent_one_behind_level_ones_comes_first)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_priority);

	for (int round = 0; round < ROUNDS; round++) {
		send_text(queue, "one");
		send_text(queue, "two");
		send_text(queue, "three");
		assert_receives(queue, "one");
		send_urgent(queue, 1, "urgent");
		assert_receives(queue, "urgent");
		assert_receives(queue, "two");
		send_text(queue, "four");
		assert_receives(queue, "three");
		assert_receives(queue, "four");
		assert_empty(queue);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_more_urgent_one_behind_one_being_written_comes_first)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_priority);

	for (int round = 0; round < ROUNDS; round++) {
		send_text(queue, "one");
		send_text(queue, "two");
		struct stoa_message written = reserve(queue, 2);
		assert_receives(queue, "one");
		send_urgent(queue, 1, "urgent");
		assert_receives(queue, "urgent");
		assert_ok(stoa_queue_commit(queue, &written));
		assert_receives(queue, "r");
		assert_receives(queue, "two");
		assert_empty(queue);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(what_comes_behind_one_being_written_is_found_after_a_vain_try)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);

	for (int round = 0; round < ROUNDS; round++) {
		assert_empty(queue);
		struct stoa_message written = reserve(queue, 0);
		assert_empty(queue);
		assert_empty(queue);
		send_text(queue, "behind");
		assert_receives(queue, "behind");
		assert_empty(queue);
		assert_ok(stoa_queue_commit(queue, &written));
		assert_receives(queue, "r");
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(the_oldest_of_any_type_is_told_from_the_oldest_of_one)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_type);

	for (int round = 0; round < ROUNDS; round++) {
		send_typed(queue, 3, "three");
		send_typed(queue, 3, "three again");
		send_typed(queue, 2, "two");
		send_typed(queue, 1, "one");
		assert_receives_by(queue, STOA_ANY, 0, "three");
		assert_receives_by(queue, STOA_LOWEST, 3, "one");
		assert_receives_by(queue, STOA_EXCEPT, 2, "three again");
		assert_receives_by(queue, STOA_EXACTLY, 2, "two");
		assert_empty(queue);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(one_that_came_back_is_older_than_level_ones)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", by_priority);

	for (int round = 0; round < ROUNDS; round++) {
		send_text(queue, "one");
		send_text(queue, "two");
		send_text(queue, "three");
		struct stoa_message taken = take_text(queue, "one");
		assert_receives(queue, "two");
		assert_ok(stoa_queue_return(queue, &taken));
		send_text(queue, "four");
		assert_receives(queue, "one");
		assert_receives(queue, "three");
		assert_receives(queue, "four");
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* ---- Limits -------------------------------------------------------------- */

static struct stoa_queue *make_limited(struct stoa_space *space,
                                       uint64_t messages)
{
	struct stoa_queue_attributes attributes = attributes_of(by_type);
	struct stoa_queue *queue = NULL;

	attributes.limit_messages = messages;
	assert_ok(stoa_queue_open(space, "q",
	                          STOA_READ | STOA_WRITE | STOA_CREATE |
	                                  STOA_EXCLUSIVE,
	                          0600, &attributes, &queue));
	return queue;
}

TEST(senders_that_take_turns_keep_the_limit)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *one = make_limited(space, 4);
	struct stoa_queue *other = join_queue(space, "q");

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 2; i++) {
			send_text(one, "one");
			send_text(other, "other");
		}
		assert_result(stoa_queue_send(one, "x", 1, STOA_NOW), -EAGAIN);
		assert_result(stoa_queue_send(other, "x", 1, STOA_NOW),
		              -EAGAIN);
		assert_receives(other, "one");
		send_text(one, "one");
		assert_result(stoa_queue_send(other, "x", 1, STOA_NOW),
		              -EAGAIN);
		assert_int_equal(drain_queue(one), 4);
	}
	stoa_queue_close(other);
	stoa_queue_close(one);
	stoa_space_close(space);
}

/* Reserves all of the room; then waits to be killed. */
static void hold_all(void *context)
{
	struct stoa_queue *queue = join_queue(context, "q");

	reserve(queue, 0);
	reserve(queue, 0);
	report(0);
	await_order();
}

TEST(who_waits_for_room_finds_that_of_the_dead)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, 2);
	struct child child = start_child(hold_all, space);

	await_report(&child);
	assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW), -EAGAIN);
	kill_child(&child);
	assert_ok(stoa_queue_send(queue, "one", 3,
	                          stoa_deadline_in(60 * INT64_C(1000000000))));
	assert_ok(stoa_queue_send(queue, "two", 3,
	                          stoa_deadline_in(60 * INT64_C(1000000000))));
	assert_receives(queue, "one");
	assert_receives(queue, "two");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void send_a_thousand(void *context)
{
	struct stoa_queue *queue = join_queue(context, "q");

	for (int i = 0; i < 1000; i++)
		assert_ok(stoa_queue_send(queue, &i, sizeof(i), STOA_FOREVER));
}

/* In order, whether the sender lingers or sleeps. */
static void receive_a_thousand(struct stoa_space *space,
                               struct stoa_queue *queue)
{
	struct child child = start_child(send_a_thousand, space);

	for (int i = 0; i < 1000; i++) {
		int got = -1;

		assert_result(stoa_queue_receive(queue, NULL, &got, sizeof(got),
		                                 STOA_FOREVER, NULL),
		              sizeof(got));
		assert_int_equal(got, i);
	}
	end_child(&child);
	assert_empty(queue);
	stoa_queue_close(queue);
	assert_ok(stoa_queue_unlink(space, "q"));
}

TEST(a_sender_that_lingers_loses_nothing)
{
	struct stoa_space *space = open_space();

	receive_a_thousand(space, make_queue(space, "q", by_priority));
	receive_a_thousand(space, make_queue(space, "q", by_type));
	receive_a_thousand(space, make_limited(space, 3));
	receive_a_thousand(space, make_limited(space, 1));
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_more_urgent_one_behind_level_ones_comes_first),
	CASE(a_more_urgent_one_behind_one_being_written_comes_first),
	CASE(what_comes_behind_one_being_written_is_found_after_a_vain_try),
	CASE(the_oldest_of_any_type_is_told_from_the_oldest_of_one),
	CASE(one_that_came_back_is_older_than_level_ones),
	CASE(senders_that_take_turns_keep_the_limit),
	CASE(who_waits_for_room_finds_that_of_the_dead),
	CASE(a_sender_that_lingers_loses_nothing),
};

MAIN(cases)
