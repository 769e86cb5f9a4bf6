/* SPDX-License-Identifier: MIT */
/* Every operation on topics while its n-th system call fails: nothing leaks,
 * nothing is lost, and the topic goes on. */
#include "inject.h"
#include "topic.h"

enum { RUNS_MAX = 2000, LARGE = 3000 };

static struct stoa_space *space;
static struct stoa_topic *out, *in, *other;
static struct stoa_topic_set *set;
static char data[5000];

struct case_ {
	const char *name;
	long long (*run)(void);
	void (*undo)(void); /* after a success */
	bool makes;         /* the topic isn't there before */
};

static long long create(void)
{
	struct stoa_topic_attributes attributes = { .size = sizeof(attributes),
		                                    .capacity = 10 };

	return stoa_topic_open(space, "new",
	                       STOA_CREATE | STOA_READ | STOA_WRITE, 0640,
	                       &attributes, &other);
}

static void undo_create(void)
{
	stoa_topic_close(other);
	assert_ok(stoa_topic_unlink(space, "new"));
}

static long long open_both(void)
{
	return stoa_topic_open(space, "t", STOA_READ | STOA_WRITE, 0, NULL,
	                       &other);
}

static void close_other(void)
{
	stoa_topic_close(other);
}

static long long publish_small(void)
{
	return stoa_topic_publish(out, "small", 5, STOA_NOW);
}

static void undo_publish(void)
{
	assert_result(stoa_topic_receive(in, data, sizeof(data), STOA_NOW,
	                                 NULL),
	              5);
	assert_memory_equal(data, "small", 5);
	assert_hears_nothing(in);
}

static long long publish_large(void)
{
	fill_pattern(data, LARGE, 7);
	return stoa_topic_publish(out, data, LARGE, STOA_NOW);
}

static void undo_large(void)
{
	assert_result(stoa_topic_receive(in, data, sizeof(data), STOA_NOW,
	                                 NULL),
	              LARGE);
	assert_true(has_pattern(data, LARGE, 7));
	assert_hears_nothing(in);
}

static long long reserve_and_cancel(void)
{
	struct stoa_topic_message message;
	int result = stoa_topic_reserve(out, LARGE, STOA_NOW, &message);

	return result < 0 ? result : stoa_topic_cancel(out, &message);
}

static long long receive_nothing(void)
{
	ssize_t result = stoa_topic_receive(in, data, sizeof(data),
	                                    stoa_deadline_in(2 * MS), NULL);

	return result == -ETIMEDOUT || result == -EAGAIN ? 0 : result;
}

static long long no_room(void)
{
	int result = 0;

	for (int i = 0; result == 0 && i < 1000; i++)
		result = stoa_topic_publish(out, "small", 5, STOA_NOW);
	if (result == -EAGAIN)
		result = stoa_topic_publish(out, "small", 5,
		                            stoa_deadline_in(2 * MS));
	while (stoa_topic_receive(in, data, sizeof(data), STOA_NOW, NULL) >= 0)
		;
	return result == -ETIMEDOUT || result == -EAGAIN ? 0 : result;
}

static long long poll_descriptor(void)
{
	long long result = open_both();

	if (result < 0)
		return result;
	result = stoa_topic_pollfd(other, STOA_READ);
	if (result < 0)
		stoa_topic_close(other);
	return result < 0 ? result : 0;
}

static long long open_set(void)
{
	return stoa_topic_set_open(space, "t*", 0, &set);
}

static void close_set(void)
{
	stoa_topic_set_close(set);
}

static long long receive_from_set(void)
{
	long long result = open_set();

	if (result < 0)
		return result;
	result = stoa_topic_set_receive(set, data, sizeof(data), STOA_NOW, NULL,
	                                NULL);
	stoa_topic_set_close(set);
	return result == -EAGAIN ? 0 : result;
}

static long long tell_numbers(void)
{
	struct stoa_topic_stat stat = { .size = sizeof(stat) };

	return stoa_topic_stat(in, &stat);
}

static const struct case_ operations[] = {
	{ "create", create, undo_create, true },
	{ "open", open_both, close_other, false },
	{ "publish", publish_small, undo_publish, false },
	{ "publish large", publish_large, undo_large, false },
	{ "reserve", reserve_and_cancel, NULL, false },
	{ "receive nothing", receive_nothing, NULL, false },
	{ "no room", no_room, NULL, false },
	{ "pollfd", poll_descriptor, close_other, false },
	{ "set", open_set, close_set, false },
	{ "receive from a set", receive_from_set, NULL, false },
	{ "stat", tell_numbers, NULL, false },
};

static void check_leaks(const struct case_ *operation, int error, unsigned n,
                        int descriptors, int mappings)
{
	if (count_descriptors() != descriptors)
		fail_msg("%s: error %d at call %u leaks a descriptor",
		         operation->name, error, n);
	if (count_mappings("topic") != mappings)
		fail_msg("%s: error %d at call %u leaks a mapping",
		         operation->name, error, n);
}

static void run_one(const struct case_ *operation, int error)
{
	stoa_peer self;

	/* What the library opens once and keeps, in a patrol at the latest. */
	assert_ok(stoa_space_self(space, &self));
	assert_int_equal(operation->run(), 0);
	if (operation->undo)
		operation->undo();
	for (unsigned n = 1; n < RUNS_MAX; n++) {
		int descriptors = count_descriptors();
		int mappings = count_mappings("topic");
		long long result;
		bool came;

		inject_at(error, n, false);
		result = operation->run();
		came = injected();
		if (result == 0 && operation->undo)
			operation->undo();
		if (result > 0)
			fail_msg("%s gave %lld", operation->name, result);
		if (operation->makes && result < 0 &&
		    access(case_path("new.topic"), F_OK) == 0)
			fail_msg("%s left a name", operation->name);
		check_leaks(operation, error, n, descriptors, mappings);
		/* It goes on. */
		assert_int_equal(publish_small(), 0);
		undo_publish();
		assert_int_equal(publish_large(), 0);
		undo_large();
		if (!came) {
			assert_int_equal(result, 0);
			return;
		}
	}
	fail_msg("%s has no end", operation->name);
}

TEST(every_operation_survives_every_failing_call)
{
	static const int errors[] = { ENOSPC, EMFILE, ENFILE, ENOMEM, EINTR,
		                      EAGAIN, EIO,    EACCES, ENOLCK };

	space = open_space();
	out = make_topic(space, "t", 0, 16);
	in = join_topic(space, "t", STOA_READ);
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			run_one(&operations[i], errors[e]);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_survives_every_failing_call),
};

MAIN(cases)
