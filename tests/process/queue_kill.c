/* SPDX-License-Identifier: MIT */
/* kill -9 of takers, senders and waiters in each state they can block in or
 * hold something in: nothing is lost, doubled or held, and who waits goes
 * on. */
#include "support.h"

#include <poll.h>

enum { CAPACITY = 4, LARGE = 9000 };

static void receive_forever(void *context)
{
	char buffer[LARGE];

	report(0);
	assert_good(stoa_queue_receive(context, NULL, buffer, sizeof(buffer),
	                               STOA_FOREVER, NULL));
	report(1);
	await_order();
}

static void take_forever(void *context)
{
	struct stoa_message message;

	report(0);
	assert_ok(stoa_queue_take(context, NULL, STOA_FOREVER, &message));
	report(1);
	await_order();
}

static void receive_many_forever(void *context)
{
	char buffer[LARGE];
	struct stoa_message message = { .data = buffer,
		                        .buffer_bytes = sizeof(buffer) };

	report(0);
	assert_result(stoa_queue_receive_many(context, NULL, &message, 1,
	                                      STOA_FOREVER),
	              1);
}

static void wait_forever(void *context)
{
	struct stoa_wait condition = {
		.kind = STOA_READABLE, .object = stoa_queue_object(context)
	};

	report(0);
	assert_result(stoa_wait_any(&condition, 1, STOA_FOREVER), 0);
}

static void poll_forever(void *context)
{
	struct pollfd pollfd = { .events = POLLIN };

	pollfd.fd = (int)assert_good(stoa_queue_pollfd(context, STOA_READ));
	report(0);
	for (;;)
		poll(&pollfd, 1, -1);
}

static void send_forever(void *context)
{
	report(0);
	assert_ok(stoa_queue_send(context, "sent", 4, STOA_FOREVER));
	report(1);
	await_order();
}

static void send_large_forever(void *context)
{
	static char large[LARGE];

	report(0);
	assert_ok(stoa_queue_send(context, large, LARGE, STOA_FOREVER));
}

static void reserve_forever(void *context)
{
	struct stoa_message message;

	report(0);
	assert_ok(stoa_queue_reserve(context, LARGE, STOA_FOREVER, &message));
	report(1);
	await_order();
}

static struct stoa_queue *queue_of(struct stoa_space *space, int order)
{
	return make_queue(space, "q",
	                  (struct queue_shape){ (enum stoa_queue_order)order,
	                                        CAPACITY, LARGE, 1 << 17 });
}

static void put_away(struct stoa_space *space, struct stoa_queue *queue)
{
	assert_capacity(queue, CAPACITY);
	stoa_queue_close(queue);
	assert_ok(stoa_queue_unlink(space, "q"));
}

/* Kills what blocks, and looks whether the next in line is served. */
TEST(a_receiver_killed_while_it_waits_takes_nothing_with_it)
{
	static void (*const ways[])(void *) = { receive_forever, take_forever,
		                                receive_many_forever,
		                                wait_forever, poll_forever };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < 3 * LENGTH(ways); i++) {
		struct stoa_queue *queue = queue_of(space, (int)i % 3);
		struct child victim = start_child(ways[i / 3], queue);
		struct child next;

		await_report(&victim);
		until_blocked(victim.pid);
		next = start_child(receive_forever, queue);
		await_report(&next);
		until_blocked(next.pid);
		kill_child(&victim);
		send_text(queue, "for the next");
		assert_int_equal(await_report(&next), 1);
		kill_child(&next);
		put_away(space, queue);
	}
	stoa_space_close(space);
}

TEST(a_sender_killed_while_it_waits_leaves_nothing)
{
	static void (*const ways[])(
		void *) = { send_forever, send_large_forever, reserve_forever };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < 3 * LENGTH(ways); i++) {
		struct stoa_queue *queue = queue_of(space, (int)i % 3);
		struct child victim;
		struct child next;

		fill_queue(queue);
		victim = start_child(ways[i / 3], queue);
		await_report(&victim);
		until_blocked(victim.pid);
		next = start_child(send_forever, queue);
		await_report(&next);
		until_blocked(next.pid);
		kill_child(&victim);
		assert_receives(queue, "x");
		assert_int_equal(await_report(&next), 1);
		kill_child(&next);
		for (int n = 1; n < CAPACITY; n++)
			assert_receives(queue, "x");
		assert_receives(queue, "sent");
		put_away(space, queue);
	}
	stoa_space_close(space);
}

TEST(a_waiting_receiver_gets_what_a_killed_taker_held)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = queue_of(space, order);
		struct child taker = start_child(take_forever, queue);
		struct stoa_message message;
		struct child next;
		char buffer[8];

		await_report(&taker);
		send_text(queue, "held");
		assert_int_equal(await_report(&taker), 1);
		next = start_child(receive_forever, queue);
		await_report(&next);
		until_waiting(queue, 1, 0);
		until_blocked(next.pid);
		kill_child(&taker);
		assert_int_equal(await_report(&next), 1);
		kill_child(&next);
		taker = start_child(take_forever, queue);
		await_report(&taker);
		send_text(queue, "again");
		assert_int_equal(await_report(&taker), 1);
		kill_child(&taker);
		assert_result(stoa_queue_receive(queue, NULL, buffer, 8,
		                                 STOA_FOREVER, &message),
		              5);
		assert_int_equal(message.deliveries, 1);
		put_away(space, queue);
	}
	stoa_space_close(space);
}

TEST(a_waiting_sender_gets_what_a_killed_reserver_held)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = queue_of(space, order);
		struct child reserver = start_child(reserve_forever, queue);
		struct child next;

		await_report(&reserver);
		assert_int_equal(await_report(&reserver), 1);
		assert_int_equal(fill_queue(queue), CAPACITY - 1);
		next = start_child(send_forever, queue);
		await_report(&next);
		until_waiting(queue, 0, 1);
		until_blocked(next.pid);
		kill_child(&reserver);
		assert_int_equal(await_report(&next), 1);
		kill_child(&next);
		assert_int_equal(drain_queue(queue), CAPACITY);
		put_away(space, queue);
	}
	stoa_space_close(space);
}

TEST(the_bytes_that_a_killed_reserver_held_come_back)
{
	struct stoa_space *space = open_space();
	static char large[LARGE];

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = make_queue(
			space, "q",
			(struct queue_shape){ (enum stoa_queue_order)order,
		                              CAPACITY, LARGE, 2 * 12288 });
		uint64_t room = 0;

		while (stoa_queue_send(queue, large, LARGE, STOA_NOW) == 0)
			room++;
		drain_queue(queue);
		for (int round = 0; round < 10; round++) {
			struct child child =
				start_child(reserve_forever, queue);
			uint64_t count = 0;

			await_report(&child);
			assert_int_equal(await_report(&child), 1);
			kill_child(&child);
			while (count < room) {
				assert_ok(stoa_queue_send(queue, large, LARGE,
				                          STOA_FOREVER));
				count++;
			}
			assert_int_equal(drain_queue(queue), room);
		}
		put_away(space, queue);
	}
	stoa_space_close(space);
}

TEST(what_many_killed_takers_held_comes_back_in_order)
{
	enum { TAKERS = 20 };
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = make_queue(
			space, "q",
			(struct queue_shape){ (enum stoa_queue_order)order,
		                              TAKERS, LARGE, 1 << 19 });
		struct child takers[TAKERS];
		char text[16];

		for (int i = 0; i < TAKERS; i++) {
			takers[i] = start_child(take_forever, queue);
			await_report(&takers[i]);
			snprintf(text, sizeof(text), "%d", i);
			send_text(queue, text);
			assert_int_equal(await_report(&takers[i]), 1);
		}
		assert_empty(queue);
		for (int i = 0; i < TAKERS; i++)
			kill_child(&takers[(i * 7) % TAKERS]);
		assert_good(stoa_space_clean(space, 0, NULL, NULL));
		assert_int_equal(stat_of(queue).returned, TAKERS);
		for (int i = 0; i < TAKERS; i++) {
			snprintf(text, sizeof(text), "%d", i);
			assert_receives(queue, text);
		}
		assert_capacity(queue, TAKERS);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(the_numbers_of_the_waiting_forget_the_dead)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = queue_of(space, STOA_FIFO);
	struct child receiver = start_child(receive_forever, queue);
	struct child sender;

	until_waiting(queue, 1, 0);
	kill_child(&receiver);
	until_waiting(queue, 0, 0);
	fill_queue(queue);
	sender = start_child(send_forever, queue);
	until_waiting(queue, 0, 1);
	kill_child(&sender);
	until_waiting(queue, 0, 0);
	assert_int_equal(stat_of(queue).users, 1);
	assert_int_equal(drain_queue(queue), CAPACITY);
	put_away(space, queue);
	stoa_space_close(space);
}

/* A receiver is killed about when it is woken: the message is received by it
 * or by the other one, and the other one never sleeps on. */
TEST(a_receiver_killed_as_it_wakes_does_not_leave_the_other_asleep)
{
	enum { ROUNDS = 100 };
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (int round = 0; round < ROUNDS; round++) {
		struct stoa_queue *queue = queue_of(space, round % 3);
		struct child victim = start_child(receive_forever, queue);
		struct child other = start_child(receive_forever, queue);
		volatile uint64_t spins = random_below(&seed, 30000);

		await_report(&victim);
		await_report(&other);
		until_blocked(victim.pid);
		until_blocked(other.pid);
		send_text(queue, "x");
		while (spins > 0)
			spins--;
		kill_child(&victim);
		send_text(queue, "y");
		assert_int_equal(await_report(&other), 1);
		kill_child(&other);
		drain_queue(queue);
		put_away(space, queue);
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_receiver_killed_while_it_waits_takes_nothing_with_it),
	CASE(a_sender_killed_while_it_waits_leaves_nothing),
	CASE(a_waiting_receiver_gets_what_a_killed_taker_held),
	CASE(a_waiting_sender_gets_what_a_killed_reserver_held),
	CASE(the_bytes_that_a_killed_reserver_held_come_back),
	CASE(what_many_killed_takers_held_comes_back_in_order),
	CASE(the_numbers_of_the_waiting_forget_the_dead),
	CASE(a_receiver_killed_as_it_wakes_does_not_leave_the_other_asleep),
};

MAIN(cases)
