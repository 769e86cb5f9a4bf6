/* SPDX-License-Identifier: MIT */
/* Stopped processes are never robbed, and block nobody on the lock-free
 * paths. */
#include "support.h"

enum { CAPACITY = 16, LARGE = 3000, ROUNDS = 300 };

static struct queue_shape shape_of(int order)
{
	return (struct queue_shape){ (enum stoa_queue_order)order, CAPACITY,
		                     LARGE, 1 << 17 };
}

static void hold_both(void *context)
{
	struct stoa_queue *queue = context;
	struct stoa_message taken = take_text(queue, "taken");
	struct stoa_message reserved;

	memset(&reserved, 0, sizeof(reserved));
	assert_ok(stoa_queue_reserve(queue, 200, STOA_NOW, &reserved));
	memset(reserved.data, 'r', 200);
	reserved.type = 1;
	report(0);
	await_order();
	assert_memory_equal(taken.data, "taken", 5);
	assert_ok(stoa_queue_acknowledge(queue, &taken));
	assert_ok(stoa_queue_commit(queue, &reserved));
}

TEST(a_stopped_holder_is_never_robbed)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue =
			make_queue(space, "q", shape_of(order));
		struct child child;
		char buffer[LARGE];

		send_text(queue, "taken");
		child = start_child(hold_both, queue);
		await_report(&child);
		stop_child(&child);
		for (int i = 0; i < 100; i++) {
			assert_int_equal(fill_queue(queue), CAPACITY - 2);
			assert_int_equal(drain_queue(queue), CAPACITY - 2);
		}
		assert_result(stoa_space_clean(space, 0, NULL, NULL), 0);
		assert_result(stoa_queue_purge(queue), 0);
		assert_result(stoa_queue_receive(queue, NULL, buffer, LARGE,
		                                 stoa_deadline_in(300 * MS),
		                                 NULL),
		              -ETIMEDOUT);
		assert_int_equal(stat_of(queue).taken, 1);
		assert_int_equal(stat_of(queue).reserved, 1);
		give_order(&child, 0);
		continue_child(&child);
		end_child(&child);
		assert_int_equal(stat_of(queue).returned, 0);
		assert_result(stoa_queue_receive(queue, NULL, buffer, LARGE,
		                                 STOA_NOW, NULL),
		              200);
		assert_capacity(queue, CAPACITY);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void receive_both(void *context)
{
	char buffer[LARGE];

	report(0);
	for (int i = 0; i < 2; i++)
		assert_good(stoa_queue_receive(context, NULL, buffer, LARGE,
		                               STOA_FOREVER, NULL));
}

TEST(a_stopped_waiter_leaves_the_messages_to_others)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shape_of(STOA_FIFO));
	struct child stopped = start_child(receive_both, queue);
	struct child other;

	await_report(&stopped);
	until_blocked(stopped.pid);
	stop_child(&stopped);
	other = start_child(receive_both, queue);
	await_report(&other);
	until_blocked(other.pid);
	send_text(queue, "x");
	send_text(queue, "y");
	end_child(&other);
	send_text(queue, "x");
	send_text(queue, "y");
	continue_child(&stopped);
	end_child(&stopped);
	assert_capacity(queue, CAPACITY);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* Each in turn, so that a stop may fall on any instruction of any. */
static void work_all_day(void *context)
{
	struct stoa_queue *queue = context;
	struct stoa_message message;
	char buffer[LARGE];

	report(0);
	for (unsigned i = 0;; i++) {
		size_t bytes = i % 3 == 0 ? LARGE : 8;
		int result;

		memset(&message, 0, sizeof(message));
		if (i % 2 == 0) {
			result =
				stoa_queue_send(queue, buffer, bytes, STOA_NOW);
		} else {
			result = stoa_queue_reserve(queue, bytes, STOA_NOW,
			                            &message);
			message.type = 1;
			if (result == 0)
				result = stoa_queue_commit(queue, &message);
		}
		assert_true(result == 0 || result == -EAGAIN);
		if (i % 4 < 2) {
			ssize_t got = stoa_queue_receive(queue, NULL, buffer,
			                                 LARGE, STOA_NOW, NULL);

			assert_true(got >= 0 || got == -EAGAIN);
			continue;
		}
		result = stoa_queue_take(queue, NULL, STOA_NOW, &message);
		assert_true(result == 0 || result == -EAGAIN);
		if (result == 0)
			assert_ok(stoa_queue_acknowledge(queue, &message));
	}
}

TEST(one_stopped_anywhere_in_a_fifo_call_blocks_nobody)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shape_of(STOA_FIFO));
	struct child child = start_child(work_all_day, queue);
	uint64_t seed = run_seed();
	char buffer[LARGE];

	await_report(&child);
	for (int round = 0; round < ROUNDS; round++) {
		volatile uint64_t spins = random_below(&seed, 20000);

		while (spins > 0)
			spins--;
		stop_child(&child);
		drain_queue(queue);
		for (int i = 0; i < 3 * CAPACITY; i++) {
			size_t bytes = i % 2 == 0 ? LARGE : 4;

			assert_ok(stoa_queue_send(queue, buffer, bytes,
			                          STOA_NOW));
			assert_result(stoa_queue_receive(queue, NULL, buffer,
			                                 LARGE, STOA_NOW, NULL),
			              (ssize_t)bytes);
		}
		continue_child(&child);
	}
	kill_child(&child);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	drain_queue(queue);
	assert_capacity(queue, CAPACITY);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* Receivers take turns: a stopped one delays, its death frees. Sends go on. */
TEST(one_stopped_anywhere_does_not_block_senders_in_any_order)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (int order = STOA_PRIORITY; order <= STOA_TYPE; order++) {
		for (int round = 0; round < 30; round++) {
			struct stoa_queue *queue =
				make_queue(space, "q", shape_of(order));
			struct child child = start_child(work_all_day, queue);
			volatile uint64_t spins = random_below(&seed, 200000);

			await_report(&child);
			while (spins > 0)
				spins--;
			stop_child(&child);
			for (int i = 0; i < 8; i++)
				assert_ok(stoa_queue_send(queue, "x", 1,
				                          STOA_NOW));
			kill_child(&child);
			assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW),
			              0);
			drain_queue(queue);
			assert_good(stoa_space_clean(space, 0, NULL, NULL));
			drain_queue(queue);
			assert_capacity(queue, CAPACITY);
			stoa_queue_close(queue);
			assert_ok(stoa_queue_unlink(space, "q"));
		}
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_stopped_holder_is_never_robbed),
	CASE(a_stopped_waiter_leaves_the_messages_to_others),
	CASE(one_stopped_anywhere_in_a_fifo_call_blocks_nobody),
	CASE(one_stopped_anywhere_does_not_block_senders_in_any_order),
};

MAIN(cases)
