/* SPDX-License-Identifier: MIT */
/* When a subscriber is too slow: publishers wait for it, or it loses what is
 * counted. */
#include "topic.h"

enum { CAPACITY = 16 };

TEST(what_was_overwritten_is_counted_exactly)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", STOA_TOPIC_OVERWRITE,
	                                    CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	uint64_t chance = run_seed(), published = 0, next = 0, lost = 0, told;

	for (int round = 0; round < 2000; round++) {
		uint64_t more = random_below(&chance, 4 * CAPACITY);
		uint64_t fewer = random_below(&chance, 2 * CAPACITY);

		while (more--)
			publish_number(out, published++, STOA_NOW);
		while (fewer-- && next < published) {
			struct stoa_topic_message message;
			uint64_t number = hear_number(in, STOA_NOW, &message);

			assert_int_equal(number, message.sequence);
			assert_int_equal(number, next + message.lost);
			assert_true(number + 3 * CAPACITY >= published);
			lost += message.lost;
			next = number + 1;
		}
	}
	assert_true(lost > 0);
	assert_ok(stoa_topic_lost(in, &told));
	assert_int_equal(told, lost);
	assert_int_equal(topic_stat(out).lost, lost);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(large_messages_are_overwritten_and_counted_too)
{
	static unsigned char data[5000], buffer[5000];
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", STOA_TOPIC_OVERWRITE,
	                                    CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	uint64_t chance = run_seed(), next = 0;

	for (uint64_t sent = 0; sent < 3000; sent++) {
		size_t bytes = 100 + random_below(&chance, 4900);
		struct stoa_topic_message message;
		ssize_t got;

		fill_pattern(data, bytes, sent);
		assert_ok(stoa_topic_publish(out, data, bytes, STOA_NOW));
		if (random_below(&chance, 3))
			continue;
		got = stoa_topic_receive(in, buffer, sizeof(buffer), STOA_NOW,
		                         &message);
		assert_true(got >= 100);
		assert_int_equal(message.sequence, next + message.lost);
		assert_true(has_pattern(buffer, (size_t)got, message.sequence));
		next = message.sequence + 1;
	}
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(a_publisher_waits_for_the_slowest)
{
	static const uint64_t capacities[] = { 1, 2, 3, 5, 8, 30, 300 };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(capacities); i++) {
		struct stoa_topic *out = make_topic(space, "t", 0,
		                                    capacities[i]);
		struct stoa_topic *slow = join_topic(space, "t", STOA_READ);
		struct stoa_topic *fast = join_topic(space, "t", STOA_READ);

		for (int round = 0; round < 5; round++) {
			uint64_t went = fill_topic(out, 8);

			assert_true(went >= capacities[i]);
			assert_int_equal(drain_topic(fast), went);
			assert_int_equal(fill_topic(out, 8), 0);
			assert_result(stoa_topic_publish(out, "x", 1,
			                                 stoa_deadline_in(MS)),
			              -ETIMEDOUT);
			assert_int_equal(drain_topic(slow), went);
		}
		stoa_topic_close(fast);
		stoa_topic_close(slow);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(without_subscribers_nobody_is_waited_for)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in;

	for (uint64_t i = 0; i < 100 * CAPACITY; i++)
		publish_number(out, i, STOA_NOW);
	in = join_topic(space, "t", STOA_READ);
	assert_true(fill_topic(out, 8) >= CAPACITY);
	stoa_topic_close(in);
	for (uint64_t i = 0; i < 100 * CAPACITY; i++)
		publish_number(out, i, STOA_NOW);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(large_messages_wait_for_their_slots)
{
	static unsigned char data[5000], buffer[5000];
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, 100);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);

	for (uint64_t round = 0; round < 30; round++) {
		uint64_t went = fill_topic(out, 3000);

		assert_int_equal(went, 8);
		for (uint64_t i = 0; i < went; i++)
			assert_result(stoa_topic_receive(in, buffer, 5000,
			                                 STOA_NOW, NULL),
			              3000);
		assert_hears_nothing(in);
		fill_pattern(data, 5000, round);
		assert_ok(stoa_topic_publish(out, data, 5000, STOA_NOW));
		assert_result(stoa_topic_receive(in, buffer, 5000, STOA_NOW,
		                                 NULL),
		              5000);
		assert_true(has_pattern(buffer, 5000, round));
		assert_hears_nothing(in);
	}
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

static void receive_all(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	uint64_t count = *(uint64_t *)context;

	report(0);
	for (uint64_t i = 0; i < count; i++) {
		struct stoa_topic_message message;

		assert_int_equal(hear_number(in, STOA_FOREVER, &message), i);
		assert_int_equal(message.lost, 0);
	}
	stoa_topic_close(in);
	stoa_space_close(space);
}

TEST(a_sleeping_publisher_is_woken_by_the_slowest)
{
	struct stoa_space *space = open_space();

	for (uint64_t capacity = 1; capacity <= 64; capacity *= 4) {
		struct stoa_topic *out = make_topic(space, "t", 0, capacity);
		uint64_t count = 3000;
		struct child readers[3];

		for (size_t i = 0; i < LENGTH(readers); i++) {
			readers[i] = start_child(receive_all, &count);
			await_report(&readers[i]);
		}
		for (uint64_t i = 0; i < count; i++)
			publish_number(out, i, STOA_FOREVER);
		for (size_t i = 0; i < LENGTH(readers); i++)
			end_child(&readers[i]);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_was_overwritten_is_counted_exactly),
	CASE(large_messages_are_overwritten_and_counted_too),
	CASE(a_publisher_waits_for_the_slowest),
	CASE(without_subscribers_nobody_is_waited_for),
	CASE(large_messages_wait_for_their_slots),
	CASE(a_sleeping_publisher_is_woken_by_the_slowest),
};

MAIN(cases)
