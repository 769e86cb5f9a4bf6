/* SPDX-License-Identifier: MIT */
/* Topics whose files were cut by somebody. */
#include "topic.h"

enum { CAPACITY = 8, HEADER = 4096 };

static void cut(struct stoa_topic *topic, off_t bytes,
                long long (*call)(struct stoa_topic *topic))
{
	assert_system(truncate(case_path("t.topic"), bytes));
	assert_result(call(topic), -EIO);
	assert_sentence("t");
	stoa_topic_close(topic);
	assert_system(unlink(case_path("t.topic")));
}

static long long poll_to_read(struct stoa_topic *topic)
{
	return stoa_topic_pollfd(topic, STOA_READ);
}

static long long poll_to_write(struct stoa_topic *topic)
{
	return stoa_topic_pollfd(topic, STOA_WRITE);
}

static long long publish(struct stoa_topic *topic)
{
	return stoa_topic_publish(topic, "x", 1, STOA_NOW);
}

TEST(the_first_call_that_meets_a_cut_file_says_so)
{
	static long long (*const calls[])(struct stoa_topic *topic) = {
		poll_to_read, poll_to_write, publish
	};
	struct stoa_space *space = open_space();

	assert_ok(stoa_guard());
	for (size_t i = 0; i < 2 * LENGTH(calls); i++)
		cut(make_topic_of(space, "t", STOA_READ | STOA_WRITE, 0,
		                  CAPACITY, 5000),
		    i % 2 * HEADER, calls[i / 2]);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(the_first_call_that_meets_a_cut_file_says_so),
};

MAIN(cases)
