/* SPDX-License-Identifier: MIT */
/* Every operation on groups while its n-th system call, or allocation, fails:
 * nothing is left open, a message is heard whole or not at all, what was lost is
 * counted, and the next one is heard. */
#include "inject.h"
#include "network.h"

enum { RUNS_MAX = 300, LARGE = 5000, NO_ALLOCATION = ENOMEDIUM };

static const char where[] = "udp:239.7.7.8:5000";
static struct stoa_group *in, *out;
static struct stoa_group_message message;
static char data[LARGE], buffer[LARGE];

struct case_ {
	const char *name;
	long long (*run)(void);
};

static const int errors[] = { EMFILE, ENFILE, ENOMEM, EINTR,   EAGAIN,
	                      EIO,    EACCES, ENOSPC, ENOBUFS, NO_ALLOCATION };

static int open_one(unsigned flags, struct stoa_group **ret_group)
{
	const struct stoa_group_attributes attributes = {
		.size = sizeof(attributes),
		.interface = "lo",
		.message_bytes = LARGE,
		.room_bytes = 1 << 16,
	};

	return stoa_group_open(where, "news", flags, &attributes, ret_group);
}

static long long open_to(unsigned flags)
{
	struct stoa_group *group;
	int result = open_one(flags, &group);

	if (result == 0)
		stoa_group_close(group);
	return result;
}

static long long open_to_receive(void)
{
	return open_to(STOA_READ);
}

static long long open_to_publish(void)
{
	return open_to(STOA_WRITE);
}

static long long publish_small(void)
{
	return stoa_group_publish(out, data, 5, STOA_FOREVER);
}

static long long publish_large(void)
{
	return stoa_group_publish(out, data, LARGE, STOA_FOREVER);
}

/* What is heard, if anything is, is what was said. */
static long long hear(size_t bytes, struct stoa_deadline deadline)
{
	ssize_t got = stoa_group_receive(in, buffer, LARGE, deadline, &message);

	if (got < 0)
		return got;
	if (got != (ssize_t)bytes || memcmp(buffer, data, bytes) != 0)
		return -EBADMSG;
	return 0;
}

static long long hear_large(void)
{
	int result = stoa_group_publish(out, data, LARGE, STOA_FOREVER);

	return result < 0 ? result
	                  : hear(LARGE, stoa_deadline_in(AMPLE_MS * MS));
}

static long long hear_nothing(void)
{
	long long result = hear(0, stoa_deadline_in(MS));

	return result == -ETIMEDOUT || result == -EAGAIN ? 0 : result;
}

static const struct case_ operations[] = {
	{ "open to receive", open_to_receive },
	{ "open to publish", open_to_publish },
	{ "publish one packet", publish_small },
	{ "publish several", publish_large },
	{ "receive", hear_large },
	{ "receive nothing", hear_nothing },
};

/* All that is there, and then one more. */
static void hear_next(void)
{
	uint64_t sequence = 0;

	while (stoa_group_receive(in, buffer, LARGE, STOA_NOW, &message) >= 0)
		sequence = message.sequence;
	memset(data, 'n', 4);
	assert_ok(stoa_group_publish(out, data, 4, STOA_FOREVER));
	assert_int_equal(hear(4, STOA_FOREVER), 0);
	assert_true(message.sequence > sequence);
	if (sequence > 0)
		assert_int_equal(message.lost, message.sequence - sequence - 1);
}

/* Whether there was an n-th call to fail. */
static bool run_failing(const struct case_ *operation, int error, unsigned n)
{
	bool allocation = error == NO_ALLOCATION, hit;
	long long result;
	int before;

	fill_pattern(data, LARGE, n);
	assert_ok(open_one(STOA_READ, &in));
	assert_ok(open_one(STOA_WRITE, &out));
	before = count_descriptors();
	if (allocation)
		inject_allocation_at(n);
	else
		inject_at(error, n, false);
	result = operation->run();
	hit = allocation ? allocation_injected() : injected();
	if (result != 0 &&
	    (result != -(allocation ? ENOMEM : error) || error == EINTR))
		fail_msg("%s, call %u failing with %s: %lld (%s)",
		         operation->name, n, strerrorname_np(error), result,
		         stoa_last_error());
	if (count_descriptors() != before)
		fail_msg("%s, call %u failing with %s: left %d descriptors",
		         operation->name, n, strerrorname_np(error),
		         count_descriptors() - before);
	hear_next();
	stoa_group_close(out);
	stoa_group_close(in);
	return hit;
}

TEST(no_failing_call_loses_more_than_its_message)
{
	unsigned failed = 0;

	own_network();
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			for (unsigned n = 1; n < RUNS_MAX; n++) {
				if (!run_failing(&operations[i], errors[e], n))
					break;
				failed++;
			}
	assert_true(failed > 50);
}

static const struct CMUnitTest cases[] = {
	CASE(no_failing_call_loses_more_than_its_message),
};

MAIN(cases)
