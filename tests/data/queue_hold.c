/* SPDX-License-Identifier: MIT */
/* Held messages: reserve, commit, cancel; take, acknowledge, return; in any
 * order, and what others see meanwhile. */
#include "support.h"

enum { CAPACITY = 8, LARGE = 5000, PASSING = 20000 };

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, CAPACITY, 8192, 1 << 18 },
	{ STOA_PRIORITY, CAPACITY, 8192, 1 << 18 },
	{ STOA_TYPE, CAPACITY, 8192, 1 << 18 },
};

/* Runs `body` on a fresh queue of each order, which it leaves empty. */
static void on_each_order(void (*body)(struct stoa_queue *queue))
{
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct stoa_queue *queue = make_queue(space, "q", shapes[i]);

		body(queue);
		assert_capacity(queue, CAPACITY);
		assert_int_equal(stat_of(queue).taken, 0);
		assert_int_equal(stat_of(queue).reserved, 0);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static struct stoa_message reserve_text(struct stoa_queue *queue,
                                        const char *text)
{
	struct stoa_message message;

	memset(&message, 0, sizeof(message));
	assert_ok(stoa_queue_reserve(queue, strlen(text), STOA_NOW, &message));
	assert_int_equal(message.bytes, strlen(text));
	memcpy(message.data, text, message.bytes);
	message.type = 1;
	message.priority = 0;
	return message;
}

/* ---- Reserve ---------------------------------------------------------- */

static void reserve_and_commit(struct stoa_queue *queue)
{
	struct stoa_message message = reserve_text(queue, "reserved");

	assert_empty(queue);
	assert_int_equal(stat_of(queue).reserved, 1);
	assert_int_equal(stat_of(queue).messages, 0);
	assert_ok(stoa_queue_commit(queue, &message));
	assert_int_equal(stat_of(queue).reserved, 0);
	assert_receives(queue, "reserved");
}

TEST(what_is_reserved_is_seen_when_committed)
{
	on_each_order(reserve_and_commit);
}

static void reserve_every_size(struct stoa_queue *queue)
{
	static const size_t sizes[] = { 0,    1,    79,   80,   81,   255,
		                        256,  257,  512,  3071, 3072, 3073,
		                        4095, 4096, 4097, 8192 };
	static unsigned char buffer[8192];
	struct stoa_message message;

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		memset(&message, 0, sizeof(message));
		assert_ok(stoa_queue_reserve(queue, sizes[i], STOA_NOW,
		                             &message));
		fill_pattern(message.data, sizes[i], i);
		message.type = 1;
		assert_ok(stoa_queue_commit(queue, &message));
		assert_result(stoa_queue_receive(queue, NULL, buffer,
		                                 sizeof(buffer), STOA_NOW,
		                                 NULL),
		              sizes[i]);
		assert_true(has_pattern(buffer, sizes[i], i));
	}
}

TEST(every_size_can_be_reserved)
{
	on_each_order(reserve_every_size);
}

static void keep_place(struct stoa_queue *queue)
{
	struct stoa_message first;
	struct stoa_message third;

	first = reserve_text(queue, "first");
	send_text(queue, "second");
	third = reserve_text(queue, "third");
	send_text(queue, "fourth");
	assert_ok(stoa_queue_commit(queue, &third));
	assert_ok(stoa_queue_commit(queue, &first));
	assert_receives(queue, "first");
	assert_receives(queue, "second");
	assert_receives(queue, "third");
	assert_receives(queue, "fourth");
}

TEST(the_place_is_that_of_the_reservation_if_nothing_later_went)
{
	on_each_order(keep_place);
}

static void pass_by(struct stoa_queue *queue)
{
	struct stoa_message held = reserve_text(queue, "held");
	char text[16];

	for (int i = 0; i < PASSING; i++) {
		snprintf(text, sizeof(text), "%d", i);
		send_text(queue, text);
		assert_receives(queue, text);
	}
	assert_int_equal(fill_queue(queue), CAPACITY - 1);
	assert_int_equal(drain_queue(queue), CAPACITY - 1);
	assert_ok(stoa_queue_commit(queue, &held));
	assert_receives(queue, "held");
}

TEST(others_pass_by_what_is_reserved)
{
	on_each_order(pass_by);
}

static void lower_bytes(struct stoa_queue *queue)
{
	static const size_t lowered[] = { 4999, 4096, 3072, 256, 80, 1, 0 };
	static unsigned char buffer[LARGE];
	struct stoa_message message;

	for (size_t i = 0; i < LENGTH(lowered); i++) {
		memset(&message, 0, sizeof(message));
		assert_ok(stoa_queue_reserve(queue, LARGE, STOA_NOW, &message));
		fill_pattern(message.data, LARGE, i);
		message.bytes = lowered[i];
		message.type = 1;
		assert_ok(stoa_queue_commit(queue, &message));
		assert_result(stoa_queue_receive(queue, NULL, buffer, LARGE,
		                                 STOA_NOW, NULL),
		              lowered[i]);
		assert_true(has_pattern(buffer, lowered[i], i));
	}
}

TEST(bytes_may_be_lowered_before_commit)
{
	on_each_order(lower_bytes);
}

static void raise_bytes(struct stoa_queue *queue)
{
	static const size_t sizes[] = { 0, 10, 80, 81, 256, LARGE };
	struct stoa_message message;

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		memset(&message, 0, sizeof(message));
		assert_ok(stoa_queue_reserve(queue, sizes[i], STOA_NOW,
		                             &message));
		message.type = 1;
		message.bytes = sizes[i] + 1;
		assert_result(stoa_queue_commit(queue, &message), -EMSGSIZE);
		message.bytes = SIZE_MAX;
		assert_result(stoa_queue_commit(queue, &message), -EMSGSIZE);
		message.bytes = sizes[i];
		assert_int_equal(stat_of(queue).reserved, 1);
		assert_ok(stoa_queue_cancel(queue, &message));
	}
}

TEST(bytes_raised_are_emsgsize_and_the_reservation_stays)
{
	on_each_order(raise_bytes);
}

TEST(commit_takes_priority_and_type_and_refuses_wrong_ones)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *priority = make_queue(space, "p", shapes[1]);
	struct stoa_queue *type = make_queue(space, "t", shapes[2]);
	struct stoa_message message = reserve_text(priority, "low");

	assert_ok(stoa_queue_commit(priority, &message));
	message = reserve_text(priority, "high");
	message.priority = 32768;
	assert_result(stoa_queue_commit(priority, &message), -EINVAL);
	message.priority = 3;
	assert_ok(stoa_queue_commit(priority, &message));
	assert_receives(priority, "high");
	assert_receives(priority, "low");
	message = reserve_text(type, "typed");
	message.type = 0;
	assert_result(stoa_queue_commit(type, &message), -EINVAL);
	message.type = 5;
	assert_ok(stoa_queue_commit(type, &message));
	assert_receives_by(type, STOA_EXACTLY, 5, "typed");
	stoa_queue_close(type);
	stoa_queue_close(priority);
	stoa_space_close(space);
}

static void cancel_all(struct stoa_queue *queue)
{
	struct stoa_message held[CAPACITY];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < CAPACITY; i++)
			held[i] = reserve_text(queue, "nothing of this");
		assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW),
		              -EAGAIN);
		for (size_t i = 0; i < CAPACITY; i++)
			assert_ok(stoa_queue_cancel(queue,
			                            &held[(i * 3) % CAPACITY]));
		assert_empty(queue);
	}
}

TEST(what_is_cancelled_vanishes)
{
	on_each_order(cancel_all);
}

static void use_stale(struct stoa_queue *queue)
{
	struct stoa_message message = reserve_text(queue, "x");
	struct stoa_message other = message;
	struct stoa_message nonsense;

	other.cell++;
	assert_result(stoa_queue_commit(queue, &other), -ESTALE);
	assert_result(stoa_queue_cancel(queue, &other), -ESTALE);
	other = message;
	other.word += 1 << 8;
	assert_result(stoa_queue_commit(queue, &other), -ESTALE);
	assert_result(stoa_queue_acknowledge(queue, &message), -ESTALE);
	assert_result(stoa_queue_return(queue, &message), -ESTALE);
	assert_ok(stoa_queue_commit(queue, &message));
	assert_result(stoa_queue_commit(queue, &message), -ESTALE);
	assert_result(stoa_queue_cancel(queue, &message), -ESTALE);
	assert_receives(queue, "x");
	assert_result(stoa_queue_commit(queue, &message), -ESTALE);
	message = reserve_text(queue, "y");
	assert_ok(stoa_queue_cancel(queue, &message));
	assert_result(stoa_queue_commit(queue, &message), -ESTALE);
	assert_result(stoa_queue_cancel(queue, &message), -ESTALE);
	memset(&nonsense, 0xFF, sizeof(nonsense));
	nonsense.bytes = 0;
	nonsense.type = 1;
	nonsense.priority = 0;
	assert_result(stoa_queue_commit(queue, &nonsense), -ESTALE);
	assert_result(stoa_queue_cancel(queue, &nonsense), -ESTALE);
}

TEST(what_is_not_reserved_any_more_is_estale)
{
	on_each_order(use_stale);
}

/* ---- Take ------------------------------------------------------------- */

static void take_and_acknowledge(struct stoa_queue *queue)
{
	struct stoa_message message;
	struct stoa_queue_stat stat;

	send_text(queue, "taken");
	message = take_text(queue, "taken");
	assert_int_equal(message.deliveries, 0);
	assert_int_equal(message.sender_pid, getpid());
	assert_empty(queue);
	assert_result(stoa_queue_peek(queue, NULL, 0, NULL, 0, NULL), -ENOMSG);
	assert_result(stoa_queue_take(queue, NULL, STOA_NOW, &message),
	              -EAGAIN);
	stat = stat_of(queue);
	assert_int_equal(stat.taken, 1);
	assert_int_equal(stat.messages, 0);
	assert_ok(stoa_queue_acknowledge(queue, &message));
	assert_int_equal(stat_of(queue).taken, 0);
	assert_int_equal(stat_of(queue).returned, 0);
}

TEST(what_is_taken_is_hidden_and_gone_when_acknowledged)
{
	on_each_order(take_and_acknowledge);
}

static void take_every_size(struct stoa_queue *queue)
{
	static unsigned char data[8192];
	struct stoa_message message;

	for (size_t bytes = 0; bytes <= sizeof(data); bytes += 127) {
		fill_pattern(data, bytes, bytes);
		assert_ok(stoa_queue_send(queue, data, bytes, STOA_NOW));
		assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &message));
		assert_int_equal(message.bytes, bytes);
		assert_true(has_pattern(message.data, bytes, bytes));
		assert_ok(stoa_queue_acknowledge(queue, &message));
	}
}

TEST(every_size_can_be_taken)
{
	on_each_order(take_every_size);
}

static void return_to_place(struct stoa_queue *queue)
{
	struct stoa_message a;
	struct stoa_message b;
	struct stoa_message message;
	char buffer[8];

	send_text(queue, "a");
	send_text(queue, "b");
	send_text(queue, "c");
	a = take_text(queue, "a");
	b = take_text(queue, "b");
	assert_ok(stoa_queue_return(queue, &b));
	assert_ok(stoa_queue_return(queue, &a));
	assert_int_equal(stat_of(queue).returned, 2);
	assert_int_equal(stat_of(queue).messages, 3);
	assert_result(stoa_queue_receive(queue, NULL, buffer, 8, STOA_NOW,
	                                 &message),
	              1);
	assert_int_equal(buffer[0], 'a');
	assert_int_equal(message.deliveries, 1);
	assert_true(message.sequence == a.sequence);
	b = take_text(queue, "b");
	assert_int_equal(b.deliveries, 1);
	assert_ok(stoa_queue_return(queue, &b));
	b = take_text(queue, "b");
	assert_int_equal(b.deliveries, 2);
	assert_ok(stoa_queue_acknowledge(queue, &b));
	assert_receives(queue, "c");
}

TEST(what_is_returned_is_in_its_old_place_with_deliveries_raised)
{
	on_each_order(return_to_place);
}

static void return_after_others(struct stoa_queue *queue)
{
	struct stoa_message old;

	send_text(queue, "old");
	old = take_text(queue, "old");
	for (int i = 0; i < PASSING; i++) {
		send_text(queue, "new");
		assert_receives(queue, "new");
	}
	send_text(queue, "newest");
	assert_ok(stoa_queue_return(queue, &old));
	assert_receives(queue, "old");
	assert_receives(queue, "newest");
}

TEST(an_old_message_returned_comes_before_newer_ones)
{
	on_each_order(return_after_others);
}

static void slow_taker(struct stoa_queue *queue)
{
	struct stoa_message held[CAPACITY - 1];
	char text[16];

	for (size_t i = 0; i < LENGTH(held); i++) {
		snprintf(text, sizeof(text), "held %zu", i);
		send_text(queue, text);
		held[i] = take_text(queue, text);
		for (int j = 0; j < PASSING / CAPACITY; j++) {
			send_text(queue, "passes");
			assert_receives(queue, "passes");
		}
		assert_int_equal(fill_queue(queue), CAPACITY - 1 - i);
		assert_int_equal(drain_queue(queue), CAPACITY - 1 - i);
	}
	for (size_t i = 0; i < LENGTH(held); i++) {
		snprintf(text, sizeof(text), "held %zu", i);
		assert_memory_equal(held[i].data, text, strlen(text));
		assert_ok(stoa_queue_acknowledge(queue, &held[i]));
	}
}

TEST(a_slow_taker_holds_back_only_what_it_has_taken)
{
	on_each_order(slow_taker);
}

static void acknowledge_in_any_order(struct stoa_queue *queue)
{
	struct stoa_message held[CAPACITY];
	uint64_t seed = run_seed();

	for (int round = 0; round < 100; round++) {
		assert_int_equal(fill_queue(queue), CAPACITY);
		for (size_t i = 0; i < CAPACITY; i++)
			held[i] = take_text(queue, "x");
		assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW),
		              -EAGAIN);
		for (size_t left = CAPACITY; left > 0; left--) {
			size_t i = random_below(&seed, left);

			assert_ok(stoa_queue_acknowledge(queue, &held[i]));
			held[i] = held[left - 1];
			assert_ok(stoa_queue_send(queue, "y", 1, STOA_NOW));
			assert_receives(queue, "y");
		}
	}
}

TEST(messages_are_acknowledged_in_any_order)
{
	on_each_order(acknowledge_in_any_order);
}

static void stale_takes(struct stoa_queue *queue)
{
	struct stoa_message message;
	struct stoa_message again;
	struct stoa_message nonsense;

	send_text(queue, "x");
	message = take_text(queue, "x");
	assert_result(stoa_queue_commit(queue, &message), -ESTALE);
	assert_result(stoa_queue_cancel(queue, &message), -ESTALE);
	assert_ok(stoa_queue_return(queue, &message));
	assert_result(stoa_queue_acknowledge(queue, &message), -ESTALE);
	assert_result(stoa_queue_return(queue, &message), -ESTALE);
	again = take_text(queue, "x");
	assert_result(stoa_queue_acknowledge(queue, &message), -ESTALE);
	assert_ok(stoa_queue_acknowledge(queue, &again));
	assert_result(stoa_queue_acknowledge(queue, &again), -ESTALE);
	assert_result(stoa_queue_return(queue, &again), -ESTALE);
	for (int i = 0; i < 3 * CAPACITY; i++) {
		send_text(queue, "z");
		message = take_text(queue, "z");
		assert_result(stoa_queue_acknowledge(queue, &again), -ESTALE);
		assert_ok(stoa_queue_acknowledge(queue, &message));
	}
	memset(&nonsense, 0xFF, sizeof(nonsense));
	assert_result(stoa_queue_acknowledge(queue, &nonsense), -ESTALE);
	assert_result(stoa_queue_return(queue, &nonsense), -ESTALE);
	memset(&nonsense, 0, sizeof(nonsense));
	assert_result(stoa_queue_acknowledge(queue, &nonsense), -ESTALE);
}

TEST(what_is_not_taken_any_more_is_estale)
{
	on_each_order(stale_takes);
}

TEST(another_handles_message_is_estale)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[0]);
	struct stoa_queue *other = join_queue(space, "q");
	struct stoa_message taken;
	struct stoa_message reserved;

	send_text(queue, "x");
	taken = take_text(queue, "x");
	reserved = reserve_text(queue, "y");
	assert_result(stoa_queue_acknowledge(other, &taken), -ESTALE);
	assert_result(stoa_queue_return(other, &taken), -ESTALE);
	assert_result(stoa_queue_commit(other, &reserved), -ESTALE);
	assert_result(stoa_queue_cancel(other, &reserved), -ESTALE);
	assert_ok(stoa_queue_acknowledge(queue, &taken));
	assert_ok(stoa_queue_commit(queue, &reserved));
	assert_receives(other, "y");
	stoa_queue_close(other);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(closing_gives_back_what_was_taken_and_drops_what_was_reserved)
{
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct stoa_queue *queue = make_queue(space, "q", shapes[i]);
		struct stoa_queue *other = join_queue(space, "q");
		struct stoa_message message;

		send_text(queue, "a");
		send_text(queue, "b");
		take_text(other, "a");
		take_text(other, "b");
		reserve_text(other, "vanishes");
		assert_empty(queue);
		stoa_queue_close(other);
		assert_int_equal(stat_of(queue).messages, 2);
		assert_int_equal(stat_of(queue).taken, 0);
		assert_int_equal(stat_of(queue).reserved, 0);
		assert_int_equal(stat_of(queue).returned, 2);
		message = take_text(queue, "a");
		assert_int_equal(message.deliveries, 1);
		assert_ok(stoa_queue_acknowledge(queue, &message));
		assert_receives(queue, "b");
		assert_capacity(queue, CAPACITY);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_is_reserved_is_seen_when_committed),
	CASE(every_size_can_be_reserved),
	CASE(the_place_is_that_of_the_reservation_if_nothing_later_went),
	CASE(others_pass_by_what_is_reserved),
	CASE(bytes_may_be_lowered_before_commit),
	CASE(bytes_raised_are_emsgsize_and_the_reservation_stays),
	CASE(commit_takes_priority_and_type_and_refuses_wrong_ones),
	CASE(what_is_cancelled_vanishes),
	CASE(what_is_not_reserved_any_more_is_estale),
	CASE(what_is_taken_is_hidden_and_gone_when_acknowledged),
	CASE(every_size_can_be_taken),
	CASE(what_is_returned_is_in_its_old_place_with_deliveries_raised),
	CASE(an_old_message_returned_comes_before_newer_ones),
	CASE(a_slow_taker_holds_back_only_what_it_has_taken),
	CASE(messages_are_acknowledged_in_any_order),
	CASE(what_is_not_taken_any_more_is_estale),
	CASE(another_handles_message_is_estale),
	CASE(closing_gives_back_what_was_taken_and_drops_what_was_reserved),
};

MAIN(cases)
