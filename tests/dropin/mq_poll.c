/* SPDX-License-Identifier: MIT */
/* What poll() asks of the kernel where a descriptor means a queue. */
#include "dropin.h"

#include <dropin/calls.h>
#include <dropin/mq.h>
#include <dropin/mq_poll.h>
#include <fcntl.h>

enum { BYTES = 16 };

static nfds_t asked; /* of the kernel, in the last poll() */
static mqd_t sends_to = -1;

/* In the kernel's place: somebody sends meanwhile. */
static int kernel_poll(struct pollfd *polled, nfds_t count,
                       const struct timespec *timeout, const sigset_t *mask)
{
	(void)polled, (void)timeout, (void)mask;
	asked = count;
	if (sends_to >= 0)
		require(dropin_mq_timedsend(sends_to, "x", 1, 0, NULL) == 0);
	return 0;
}

static mqd_t open_queue(void)
{
	struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = BYTES };

	return (mqd_t)assert_good(dropin_mq_open("q", O_RDWR | O_CREAT, 0600,
	                                         &attributes));
}

/* Else each who sends has to ring from then on. */
DROPIN_TEST(who_only_looks_has_no_poll_descriptor)
{
	struct pollfd polled = { .fd = open_queue(), .events = MQ_READS };

	assert_int_equal(mq_poll(&polled, 1, 0, NULL, kernel_poll), 0);
	assert_int_equal(asked, 0);
	assert_int_equal(dropin_mq_timedsend(polled.fd, "x", 1, 0, NULL), 0);
	assert_int_equal(mq_poll(&polled, 1, 0, NULL, kernel_poll), 1);
	assert_int_equal(polled.revents, MQ_READS);
	assert_int_equal(asked, 0);
	assert_int_equal(dropin_mq_close(polled.fd), 0);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

DROPIN_TEST(who_waits_has_one)
{
	struct pollfd polled = { .fd = open_queue(), .events = MQ_READS };

	sends_to = polled.fd;
	assert_int_equal(mq_poll(&polled, 1, -1, NULL, kernel_poll), 1);
	assert_int_equal(polled.revents, MQ_READS);
	assert_int_equal(asked, 1);
	assert_int_equal(dropin_mq_close(polled.fd), 0);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

static const struct CMUnitTest cases[] = {
	CASE(who_only_looks_has_no_poll_descriptor),
	CASE(who_waits_has_one),
};
MAIN(cases)
