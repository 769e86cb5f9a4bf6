/* SPDX-License-Identifier: MIT */
/* Making, opening, looking at and removing topics; full tmpfs. */
#include "topic.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { CAPACITY = 16 };

TEST(a_topic_is_made_as_asked_and_opened_again)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", STOA_TOPIC_OVERWRITE,
	                                    CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct stoa_topic_stat numbers = topic_stat(in);
	struct stat file;

	assert_int_equal(numbers.overrun, STOA_TOPIC_OVERWRITE);
	assert_int_equal(numbers.capacity, CAPACITY);
	assert_int_equal(numbers.max_message_bytes, 5000);
	assert_int_equal(numbers.inline_bytes, STOA_TOPIC_INLINE);
	assert_int_equal(numbers.total_bytes, 40000);
	assert_int_equal(numbers.published, 0);
	assert_int_equal(numbers.publishers, 1);
	assert_int_equal(numbers.subscribers, 1);
	assert_int_equal(numbers.users, 2);
	assert_int_equal(numbers.creator_pid, getpid());
	assert_system(stat(case_path("t.topic"), &file));
	assert_int_equal(file.st_mode & 07777, 0600);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_topic_close(NULL);
	stoa_space_close(space);
}

TEST(numbers_tell_who_lags_and_who_waits)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *fast = join_topic(space, "t", STOA_READ);
	struct stoa_topic *slow = join_topic(space, "t", STOA_READ);
	struct stoa_topic_stat stat;

	for (uint64_t i = 0; i < 10; i++) {
		publish_number(out, i, STOA_NOW);
		hear_number(fast, STOA_NOW, NULL);
	}
	stat = topic_stat(out);
	assert_int_equal(stat.published, 10);
	assert_int_equal(stat.oldest, 0);
	assert_int_equal(stat.lag, 10);
	assert_int_equal(stat.slowest_pid, getpid());
	assert_int_equal(stat.messages_in, 10);
	assert_int_equal(stat.bytes_in, 80);
	assert_int_equal(stat.messages_out, 10);
	assert_int_equal(stat.bytes_out, 80);
	drain_topic(slow);
	stat = topic_stat(out);
	assert_in_range(stat.lag, 0, CAPACITY / 8);
	stoa_topic_close(slow);
	stoa_topic_close(fast);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(what_can_not_be_is_refused)
{
	static const struct stoa_topic_attributes bad[] = {
		{ .size = 1 },
		{ .size = sizeof(bad[0]), .overrun = 2 },
		{ .size = sizeof(bad[0]), .capacity = (1 << 24) + 1 },
		{ .size = sizeof(bad[0]), .max_message_bytes = (1 << 30) + 1 },
		{ .size = sizeof(bad[0]), .inline_bytes = 4081 },
		{ .size = sizeof(bad[0]), .total_bytes = 65536 },
		{ .size = sizeof(bad[0]), .reserved = { 0, 0, 1, 0 } },
	};
	struct stoa_topic_stat stat = { .size = 3 };
	struct stoa_space *space = open_space();
	struct stoa_topic *topic = NULL;

	for (size_t i = 0; i < LENGTH(bad); i++) {
		assert_result(stoa_topic_open(space, "t",
		                              STOA_CREATE | STOA_READ, 0600,
		                              &bad[i], &topic),
		              -EINVAL);
		assert_sentence("t");
	}
	assert_result(stoa_topic_open(space, "t", STOA_CREATE, 0600, NULL,
	                              &topic),
	              -EINVAL);
	assert_result(stoa_topic_open(space, "t", STOA_READ | 0x1000, 0600,
	                              NULL, &topic),
	              -EINVAL);
	assert_result(stoa_topic_open(space, "a/b", STOA_READ, 0, NULL, &topic),
	              -EINVAL);
	assert_result(stoa_topic_open(space, NULL, STOA_READ, 0, NULL, &topic),
	              -EINVAL);
	assert_result(stoa_topic_open(space, "t", STOA_READ, 0, NULL, &topic),
	              -ENOENT);
	assert_null(topic);
	topic = make_topic(space, "t", 0, CAPACITY);
	assert_result(stoa_topic_stat(topic, &stat), -EINVAL);
	assert_result(stoa_topic_pollfd(topic, 3), -EINVAL);
	assert_result(stoa_topic_pollfd(topic, STOA_READ), -EBADF);
	assert_result(stoa_topic_open(space, "t",
	                              STOA_CREATE | STOA_EXCLUSIVE | STOA_READ,
	                              0600, NULL, &(struct stoa_topic *){ 0 }),
	              -EEXIST);
	stoa_topic_close(topic);
	stoa_space_close(space);
}

TEST(a_header_that_can_not_be_is_noticed)
{
	struct stoa_space *space = open_space();
	int fd;

	for (int word = 0; word < 5; word++)
		for (int bit = 0; bit < 64; bit += 3) {
			struct stoa_topic *topic = make_topic(space, "t", 0, 8);
			off_t at = 88 + 8 * word;
			uint64_t value;
			int result;

			stoa_topic_close(topic);
			fd = open(case_path("t.topic"), O_RDWR);
			assert_int_equal(pread(fd, &value, 8, at), 8);
			value ^= UINT64_C(1) << bit;
			assert_int_equal(pwrite(fd, &value, 8, at), 8);
			close(fd);
			result = stoa_topic_open(space, "t",
			                         STOA_READ | STOA_WRITE, 0,
			                         NULL, &topic);
			if (result == 0)
				stoa_topic_close(topic);
			else
				assert_int_equal(result, -EUCLEAN);
			assert_ok(stoa_topic_unlink(space, "t"));
		}
	stoa_space_close(space);
}

TEST(a_removed_topic_refuses_everybody)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	char buffer[8];

	publish_text(out, "x");
	assert_ok(stoa_topic_remove(out));
	assert_result(stoa_topic_remove(out), -EIDRM);
	assert_result(stoa_topic_publish(out, "x", 1, STOA_FOREVER), -EIDRM);
	assert_result(stoa_topic_receive(in, buffer, 8, STOA_FOREVER, NULL),
	              -EIDRM);
	assert_result(stoa_topic_open(space, "t", STOA_READ, 0, NULL,
	                              &(struct stoa_topic *){ 0 }),
	              -ENOENT);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(an_unlinked_topic_goes_on)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);

	assert_ok(stoa_topic_unlink(space, "t"));
	assert_result(stoa_topic_unlink(space, "t"), -ENOENT);
	publish_text(out, "still");
	assert_hears(in, "still");
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(a_full_tmpfs_is_told_and_leaves_nothing)
{
	struct stoa_topic_attributes large = { .size = sizeof(large),
		                               .capacity = 1000,
		                               .max_message_bytes = 100000 };
	struct stoa_topic *topic = NULL, *in;
	struct stoa_space *space;

	mount_small_space("1m");
	space = open_space();
	for (int i = 0; i < 5; i++) {
		assert_result(stoa_topic_open(space, "t",
		                              STOA_WRITE | STOA_CREATE, 0600,
		                              &large, &topic),
		              -ENOSPC);
		assert_sentence("t");
		assert_null(topic);
		assert_int_equal(count_stale_files(case_directory(), true), 0);
	}
	topic = make_topic(space, "t", STOA_TOPIC_OVERWRITE, 64);
	in = join_topic(space, "t", STOA_READ);
	{
		static char filler[4096];
		int fd = open(case_path("filler"), O_CREAT | O_WRONLY, 0600);

		while (write(fd, filler, sizeof(filler)) > 0)
			;
		close(fd);
	}
	/* All of it has its memory from the beginning. */
	for (uint64_t i = 0; i < 500; i++) {
		static char data[5000], buffer[5000];

		assert_ok(stoa_topic_publish(topic, data, i % 2 ? 5000 : 8,
		                             STOA_NOW));
		assert_result(stoa_topic_receive(in, buffer, 5000, STOA_NOW,
		                                 NULL),
		              i % 2 ? 5000 : 8);
	}
	stoa_topic_close(in);
	stoa_topic_close(topic);
	unlink(case_path("filler"));
	stoa_space_close(space);
}

static void use_inherited(void *context)
{
	struct stoa_topic *topic = context;

	for (uint64_t i = 2; i < 5; i++)
		assert_int_equal(hear_number(topic, STOA_NOW, NULL), i);
	assert_hears_nothing(topic);
	report(0);
	await_order();
	assert_int_equal(hear_number(topic, STOA_FOREVER, NULL), 5);
	stoa_topic_close(topic);
}

/* The space is inherited, too, and stays open in the child. */
TEST(a_forked_child_subscribes_from_where_the_handle_was)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct child child;

	for (uint64_t i = 0; i < 5; i++)
		publish_number(out, i, STOA_NOW);
	assert_int_equal(hear_number(in, STOA_NOW, NULL), 0);
	assert_int_equal(hear_number(in, STOA_NOW, NULL), 1);
	child = start_child(use_inherited, in);
	await_report(&child);
	assert_int_equal(topic_stat(out).subscribers, 2);
	publish_number(out, 5, STOA_NOW);
	give_order(&child, 0);
	end_child(&child);
	for (uint64_t i = 2; i < 6; i++)
		assert_int_equal(hear_number(in, STOA_NOW, NULL), i);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_topic_is_made_as_asked_and_opened_again),
	CASE(numbers_tell_who_lags_and_who_waits),
	CASE(what_can_not_be_is_refused),
	CASE(a_header_that_can_not_be_is_noticed),
	CASE(a_removed_topic_refuses_everybody),
	CASE(an_unlinked_topic_goes_on),
	CASE(a_full_tmpfs_is_told_and_leaves_nothing),
	CASE(a_forked_child_subscribes_from_where_the_handle_was),
};

MAIN(cases)
