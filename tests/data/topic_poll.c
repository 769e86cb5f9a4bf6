/* SPDX-License-Identifier: MIT */
/* Poll descriptors: each subscriber's own; waiting for several; sets. */
#include "topic.h"

#include <poll.h>

enum { CAPACITY = 8 };

static bool is_ready(int fd)
{
	struct pollfd pollfd = { fd, POLLIN, 0 };

	assert_system(poll(&pollfd, 1, 0));
	return pollfd.revents != 0;
}

static void until_ready(int fd)
{
	struct pollfd pollfd = { fd, POLLIN, 0 };

	assert_int_equal(poll(&pollfd, 1, -1), 1);
}

/* Once too often is allowed. */
static void assert_falls_back(struct stoa_topic *topic, int fd)
{
	assert_hears_nothing(topic);
	if (is_ready(fd))
		assert_hears_nothing(topic);
	if (is_ready(fd))
		assert_hears_nothing(topic);
	assert_false(is_ready(fd));
}

TEST(it_is_readable_while_there_is_a_message_for_the_handle)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in[3];
	int fd[3];

	for (int i = 0; i < 3; i++) {
		in[i] = join_topic(space, "t", STOA_READ);
		fd[i] = (int)assert_good(stoa_topic_pollfd(in[i], STOA_READ));
		assert_int_equal(fd[i], stoa_topic_pollfd(in[i], STOA_READ));
	}
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 3; i++)
			assert_falls_back(in[i], fd[i]);
		publish_text(out, "a");
		/* One hears it, and falls back; the others stay. */
		for (int i = 0; i < 3; i++) {
			for (int j = i; j < 3; j++) {
				assert_true(is_ready(fd[j]));
				assert_true(is_ready(fd[j]));
			}
			assert_hears(in[i], "a");
			assert_falls_back(in[i], fd[i]);
		}
	}
	for (int i = 0; i < 3; i++)
		stoa_topic_close(in[i]);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(it_is_writable_while_there_is_room)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	int fd = (int)assert_good(stoa_topic_pollfd(out, STOA_WRITE));

	for (int round = 0; round < 10; round++) {
		assert_true(is_ready(fd));
		while (stoa_topic_publish(out, "x", 1, STOA_NOW) == 0)
			;
		for (int i = 0; i < 3 && is_ready(fd); i++)
			assert_result(stoa_topic_publish(out, "x", 1, STOA_NOW),
			              -EAGAIN);
		assert_false(is_ready(fd));
		drain_topic(in);
		until_ready(fd);
		assert_ok(stoa_topic_publish(out, "x", 1, STOA_NOW));
	}
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

/* The bell's FIFO gets full when nobody drains. */
TEST(a_full_bell_rings_still)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	int fd = (int)assert_good(stoa_topic_pollfd(in, STOA_READ));

	for (int round = 0; round < 40000; round++) {
		publish_text(out, "x");
		assert_hears(in, "x");
		assert_hears_nothing(in);
	}
	assert_falls_back(in, fd);
	publish_text(out, "x");
	assert_true(is_ready(fd));
	assert_hears(in, "x");
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(it_may_be_waited_for_beside_others)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct stoa_wait waits[2] = {
		{ .kind = STOA_READABLE, .object = stoa_topic_object(in) },
		{ .kind = STOA_WRITABLE, .object = stoa_topic_object(out) },
	};

	assert_result(stoa_wait_any(waits, 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(waits, 2, STOA_NOW), 1);
	publish_text(out, "x");
	assert_result(stoa_wait_any(waits, 2, STOA_NOW), 0);
	fill_topic(out, 8);
	assert_result(stoa_wait_any(waits + 1, 1, STOA_NOW), -EAGAIN);
	drain_topic(in);
	assert_result(stoa_wait_any(waits + 1, 1, STOA_FOREVER), 0);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

static void publish_three(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = join_topic(space, context, STOA_WRITE);

	for (uint64_t i = 0; i < 3; i++) {
		await_order();
		publish_number(out, i, STOA_NOW);
	}
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(whoever_sleeps_is_woken)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct stoa_wait wait = { .kind = STOA_READABLE,
		                  .object = stoa_topic_object(in) };
	int fd = (int)assert_good(stoa_topic_pollfd(in, STOA_READ));
	struct child child = start_child(publish_three, "t");

	assert_hears_nothing(in);
	give_order(&child, 0);
	assert_int_equal(hear_number(in, STOA_FOREVER, NULL), 0);
	give_order(&child, 0);
	assert_result(stoa_wait_any(&wait, 1, STOA_FOREVER), 0);
	assert_int_equal(hear_number(in, STOA_NOW, NULL), 1);
	assert_hears_nothing(in);
	give_order(&child, 0);
	for (;;) {
		uint64_t number;

		until_ready(fd);
		if (stoa_topic_receive(in, &number, 8, STOA_NOW, NULL) == 8)
			break;
	}
	end_child(&child);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

/* ---- Sets ---------------------------------------------------------------------- */

static void assert_set_hears(struct stoa_topic_set *set, const char *name,
                             const char *text)
{
	char buffer[64];
	const char *from = NULL;

	assert_result(stoa_topic_set_receive(set, buffer, sizeof(buffer),
	                                     STOA_NOW, NULL, &from),
	              strlen(text));
	assert_memory_equal(buffer, text, strlen(text));
	assert_string_equal(from, name);
}

static void assert_set_hears_nothing(struct stoa_topic_set *set)
{
	char buffer[64];

	assert_result(stoa_topic_set_receive(set, buffer, sizeof(buffer),
	                                     STOA_NOW, NULL, NULL),
	              -EAGAIN);
}

TEST(a_set_hears_all_that_match_and_those_that_come)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *gold = make_topic(space, "prices.gold", 0, CAPACITY);
	struct stoa_topic *other = make_topic(space, "weather", 0, CAPACITY);
	struct stoa_topic *silver;
	struct stoa_topic_set *set;

	publish_text(gold, "early");
	assert_ok(stoa_topic_set_open(space, "prices.*", 0, &set));
	assert_int_equal(stoa_topic_set_count(set), 1);
	assert_set_hears_nothing(set);
	publish_text(gold, "one");
	publish_text(other, "rain");
	assert_set_hears(set, "prices.gold", "one");
	assert_set_hears_nothing(set);
	silver = make_topic(space, "prices.silver", 0, CAPACITY);
	publish_text(silver, "first");
	publish_text(gold, "two");
	publish_text(silver, "second");
	assert_set_hears(set, "prices.silver", "first");
	assert_set_hears(set, "prices.gold", "two");
	assert_set_hears(set, "prices.silver", "second");
	assert_set_hears_nothing(set);
	assert_int_equal(stoa_topic_set_count(set), 2);
	stoa_topic_set_close(set);
	stoa_topic_close(gold);
	stoa_topic_close(silver);
	stoa_topic_close(other);
	stoa_space_close(space);
}

TEST(a_set_drops_what_is_gone)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *gone = make_topic(space, "t.a", 0, CAPACITY);
	struct stoa_topic *old = make_topic(space, "t.b", 0, CAPACITY), *again;
	struct stoa_topic_set *set;

	assert_ok(stoa_topic_set_open(space, "t.?", 0, &set));
	publish_text(old, "last words");
	assert_ok(stoa_topic_remove(gone));
	assert_ok(stoa_topic_unlink(space, "t.b"));
	again = make_topic(space, "t.b", 0, CAPACITY);
	publish_text(again, "anew");
	assert_set_hears(set, "t.b", "last words");
	assert_set_hears(set, "t.b", "anew");
	assert_set_hears_nothing(set);
	assert_int_equal(stoa_topic_set_count(set), 1);
	stoa_topic_close(again);
	stoa_topic_close(old);
	stoa_topic_close(gone);
	stoa_topic_set_close(set);
	stoa_topic_set_close(NULL);
	stoa_space_close(space);
}

TEST(a_sets_topics_take_turns_and_wake_it)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *a = make_topic(space, "a", 0, CAPACITY);
	struct stoa_topic *b = make_topic(space, "b", 0, CAPACITY);
	struct stoa_topic_set *set;
	struct child child;
	const char *name;
	uint64_t number;
	int fd;

	assert_ok(stoa_topic_set_open(space, "*", 0, &set));
	for (int i = 0; i < 4; i++) {
		publish_text(a, "a");
		publish_text(b, "b");
	}
	for (int i = 0; i < 4; i++) {
		const char *first = NULL, *second = NULL;
		char buffer[8], was[8];

		assert_good(stoa_topic_set_receive(set, buffer, 8, STOA_NOW,
		                                   NULL, &first));
		snprintf(was, sizeof(was), "%s", first);
		assert_good(stoa_topic_set_receive(set, buffer, 8, STOA_NOW,
		                                   NULL, &second));
		assert_string_not_equal(was, second);
	}
	child = start_child(publish_three, "b");
	give_order(&child, 0);
	assert_result(stoa_topic_set_receive(set, &number, 8, STOA_FOREVER,
	                                     NULL, &name),
	              8);
	assert_string_equal(name, "b");
	assert_set_hears_nothing(set);
	fd = stoa_topic_set_pollfd(set);
	give_order(&child, 0);
	while (stoa_topic_set_receive(set, &number, 8, STOA_NOW, NULL, NULL) ==
	       -EAGAIN)
		until_ready(fd);
	give_order(&child, 0);
	assert_result(stoa_topic_set_receive(set, &number, 8,
	                                     stoa_deadline_in(600 * SECOND),
	                                     NULL, NULL),
	              8);
	assert_result(stoa_topic_set_receive(set, &number, 8,
	                                     stoa_deadline_in(MS), NULL, NULL),
	              -ETIMEDOUT);
	end_child(&child);
	assert_result(stoa_topic_set_open(space, "", 0, &set), -EINVAL);
	stoa_topic_set_close(set);
	stoa_topic_close(a);
	stoa_topic_close(b);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(it_is_readable_while_there_is_a_message_for_the_handle),
	CASE(it_is_writable_while_there_is_room),
	CASE(a_full_bell_rings_still),
	CASE(it_may_be_waited_for_beside_others),
	CASE(whoever_sleeps_is_woken),
	CASE(a_set_hears_all_that_match_and_those_that_come),
	CASE(a_set_drops_what_is_gone),
	CASE(a_sets_topics_take_turns_and_wake_it),
};

MAIN(cases)
