/* SPDX-License-Identifier: MIT */
/* What is published, every subscriber sees: once, in order, whole. */
#include "topic.h"

enum { CAPACITY = 16, MANY = 500 };

TEST(every_subscriber_sees_every_message_in_order)
{
	struct stoa_space *space = open_space();

	for (uint32_t overrun = 0; overrun <= STOA_TOPIC_OVERWRITE; overrun++) {
		struct stoa_topic *out = make_topic(space, "t", overrun,
		                                    CAPACITY);
		struct stoa_topic *in[3];
		struct stoa_topic_message message;

		for (size_t i = 0; i < LENGTH(in); i++)
			in[i] = join_topic(space, "t", STOA_READ);
		for (uint64_t round = 0; round < MANY; round++) {
			publish_number(out, round, STOA_NOW);
			for (size_t i = 0; i < LENGTH(in); i++) {
				assert_int_equal(hear_number(in[i], STOA_NOW,
				                             &message),
				                 round);
				assert_int_equal(message.sequence, round);
				assert_int_equal(message.lost, 0);
				assert_int_equal(message.sender_pid, getpid());
			}
		}
		for (size_t i = 0; i < LENGTH(in); i++) {
			assert_hears_nothing(in[i]);
			stoa_topic_close(in[i]);
		}
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(messages_of_every_size_come_whole)
{
	static const size_t sizes[] = { 0,   1,   7,    8,    47,   48,  49,
		                        63,  64,  111,  112,  113,  200, 4095,
		                        4096, 4999, 5000 };
	static unsigned char data[5000], buffer[5000];
	struct stoa_space *space = open_space();

	for (uint32_t overrun = 0; overrun <= STOA_TOPIC_OVERWRITE; overrun++) {
		struct stoa_topic *out = make_topic(space, "t", overrun, 5);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);

		for (size_t i = 0; i < 6 * LENGTH(sizes); i++) {
			size_t bytes = sizes[i % LENGTH(sizes)];

			fill_pattern(data, bytes, i);
			assert_ok(stoa_topic_publish(out, data, bytes,
			                             STOA_NOW));
			assert_result(stoa_topic_receive(in, buffer,
			                                 sizeof(buffer),
			                                 STOA_NOW, NULL),
			              bytes);
			assert_true(has_pattern(buffer, bytes, i));
		}
		assert_result(stoa_topic_publish(out, data, 5001, STOA_NOW),
		              -EMSGSIZE);
		assert_sentence("5001");
		stoa_topic_close(in);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(larger_cells_take_larger_messages)
{
	struct stoa_topic_attributes attributes = {
		.size = sizeof(attributes),
		.capacity = 4,
		.max_message_bytes = 1000,
		.inline_bytes = 1000,
	};
	static unsigned char data[1000], buffer[1000];
	struct stoa_space *space = open_space();
	struct stoa_topic *topic;

	assert_ok(stoa_topic_open(space, "t",
	                          STOA_CREATE | STOA_READ | STOA_WRITE, 0600,
	                          &attributes, &topic));
	assert_int_equal(topic_stat(topic).inline_bytes, 1008);
	assert_int_equal(topic_stat(topic).total_bytes, 0);
	for (size_t bytes = 0; bytes <= 1000; bytes += 25) {
		fill_pattern(data, bytes, bytes);
		assert_ok(stoa_topic_publish(topic, data, bytes, STOA_NOW));
		assert_result(stoa_topic_receive(topic, buffer, sizeof(buffer),
		                                 STOA_NOW, NULL),
		              bytes);
		assert_true(has_pattern(buffer, bytes, bytes));
	}
	stoa_topic_close(topic);
	stoa_space_close(space);
}

TEST(a_subscriber_sees_what_is_published_after_it_came)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *early = join_topic(space, "t", STOA_READ), *late;

	publish_text(out, "one");
	publish_text(out, "two");
	late = join_topic(space, "t", STOA_READ);
	assert_hears_nothing(late);
	publish_text(out, "three");
	assert_hears(late, "three");
	assert_hears(early, "one");
	assert_hears(early, "two");
	assert_hears(early, "three");
	stoa_topic_close(early);
	stoa_topic_close(late);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(a_subscriber_may_begin_with_the_oldest_or_the_last)
{
	struct stoa_space *space = open_space();

	for (uint32_t overrun = 0; overrun <= STOA_TOPIC_OVERWRITE; overrun++) {
		struct stoa_topic *out = make_topic(space, "t", overrun,
		                                    CAPACITY);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);

		assert_ok(stoa_topic_seek(in, STOA_TOPIC_LAST));
		assert_hears_nothing(in);
		publish_text(out, "one");
		publish_text(out, "two");
		publish_text(out, "three");
		assert_ok(stoa_topic_seek(in, STOA_TOPIC_LAST));
		assert_hears(in, "three");
		assert_hears_nothing(in);
		assert_ok(stoa_topic_seek(in, STOA_TOPIC_OLDEST));
		assert_hears(in, "one");
		assert_ok(stoa_topic_seek(in, STOA_TOPIC_NEXT));
		assert_hears_nothing(in);
		assert_result(stoa_topic_seek(in, (enum stoa_topic_place)7),
		              -EINVAL);
		stoa_topic_close(in);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(at_least_as_many_as_asked_for_are_kept)
{
	static const uint64_t capacities[] = { 1, 2, 3, 4, 7, 8, 100, 1000 };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(capacities); i++) {
		struct stoa_topic *out = make_topic(space, "t",
		                                    STOA_TOPIC_OVERWRITE,
		                                    capacities[i]);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);
		struct stoa_topic_message message;
		uint64_t number;

		for (number = 0; number < 7 * capacities[i] + 20; number++) {
			uint64_t first;

			publish_number(out, number, STOA_NOW);
			assert_ok(stoa_topic_seek(in, STOA_TOPIC_OLDEST));
			first = hear_number(in, STOA_NOW, &message);
			assert_int_equal(message.sequence, first);
			assert_true(number + 1 - first >= capacities[i] ||
			            first == 0);
		}
		stoa_topic_close(in);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(the_latest_is_read_without_moving_on)
{
	struct stoa_space *space = open_space();

	for (uint32_t overrun = 0; overrun <= STOA_TOPIC_OVERWRITE; overrun++) {
		struct stoa_topic *out = make_topic(space, "t", overrun, 1);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);
		struct stoa_topic_message message = { .bytes = 99 };
		uint64_t number = 0;

		assert_result(stoa_topic_latest(in, &number, sizeof(number),
		                                &message),
		              -ENOMSG);
		assert_int_equal(message.bytes, 99);
		publish_number(out, 7, STOA_NOW);
		for (int i = 0; i < 2; i++) {
			assert_result(stoa_topic_latest(in, &number,
			                                sizeof(number),
			                                &message),
			              sizeof(number));
			assert_int_equal(number, 7);
			assert_int_equal(message.sequence, 0);
		}
		assert_int_equal(hear_number(in, STOA_NOW, NULL), 7);
		assert_result(stoa_topic_latest(in, &number, 3, &message),
		              -EMSGSIZE);
		assert_int_equal(message.bytes, sizeof(number));
		stoa_topic_close(in);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(a_message_too_large_for_the_buffer_stays_the_next)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct stoa_topic_message message = { 0 };
	char buffer[4];

	publish_text(out, "longer than that");
	assert_result(stoa_topic_receive(in, buffer, sizeof(buffer), STOA_NOW,
	                                 &message),
	              -EMSGSIZE);
	assert_int_equal(message.bytes, strlen("longer than that"));
	assert_hears(in, "longer than that");
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(one_handle_may_publish_and_subscribe)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *topic = make_topic_of(
		space, "t", STOA_READ | STOA_WRITE, 0, CAPACITY, 64);
	struct stoa_topic *out = join_topic(space, "t", STOA_WRITE);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	char buffer[8];

	publish_text(topic, "mine");
	assert_hears(topic, "mine");
	assert_hears(in, "mine");
	assert_result(stoa_topic_publish(in, "x", 1, STOA_NOW), -EBADF);
	assert_sentence("publish");
	assert_result(stoa_topic_receive(out, buffer, 8, STOA_NOW, NULL),
	              -EBADF);
	assert_sentence("subscribe");
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_topic_close(topic);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_subscriber_sees_every_message_in_order),
	CASE(messages_of_every_size_come_whole),
	CASE(larger_cells_take_larger_messages),
	CASE(a_subscriber_sees_what_is_published_after_it_came),
	CASE(a_subscriber_may_begin_with_the_oldest_or_the_last),
	CASE(at_least_as_many_as_asked_for_are_kept),
	CASE(the_latest_is_read_without_moving_on),
	CASE(a_message_too_large_for_the_buffer_stays_the_next),
	CASE(one_handle_may_publish_and_subscribe),
};

MAIN(cases)
