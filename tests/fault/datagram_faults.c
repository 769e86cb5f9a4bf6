/* SPDX-License-Identifier: MIT */
/* Every operation on datagrams while its n-th system call fails: nothing is left
 * open, no name is left behind, and the next datagram goes. */
#include "inject.h"

enum { RUNS_MAX = 300 };

static struct stoa_space *space;
static struct stoa_datagram *server, *client;
static char buffer[100];

struct case_ {
	const char *name;
	long long (*run)(void);
};

static const int errors[] = { EMFILE, ENFILE, ENOMEM, EINTR,  EAGAIN,
	                      EIO,    EACCES, ENOSPC, ENOBUFS };

static long long keep(int result, struct stoa_datagram **datagram)
{
	if (result == 0)
		stoa_datagram_close(*datagram);
	return result;
}

static long long open_name(void)
{
	struct stoa_datagram *other;

	return keep(stoa_datagram_open(space, "new", STOA_READ, 0600, NULL,
	                               &other),
	            &other);
}

static long long open_sender(void)
{
	struct stoa_datagram *other;

	return keep(stoa_datagram_open(space, "box", STOA_WRITE, 0, NULL,
	                               &other),
	            &other);
}

static long long open_udp(void)
{
	struct stoa_datagram *other;

	return keep(stoa_datagram_open(NULL, "udp:127.0.0.1:0", STOA_READ, 0,
	                               NULL, &other),
	            &other);
}

static long long listen_and_connect(void)
{
	struct stoa_datagram *listener, *one, *two;
	int result = stoa_datagram_listen(space, "desk", 0, 0600, &listener);

	if (result < 0)
		return result;
	result = stoa_datagram_connect(space, "desk", 0,
	                               stoa_deadline_in(AMPLE_MS * MS), &one);
	if (result == 0) {
		result = stoa_datagram_accept(
			listener, stoa_deadline_in(AMPLE_MS * MS), &two);
		if (result == 0)
			stoa_datagram_close(two);
		stoa_datagram_close(one);
	}
	stoa_datagram_close(listener);
	return result;
}

static long long send_one(void)
{
	return stoa_datagram_send(client, NULL, "hello", 5,
	                          stoa_deadline_in(AMPLE_MS * MS));
}

static long long receive_one(void)
{
	int result = stoa_datagram_send(client, NULL, "hello", 5, STOA_NOW);

	if (result < 0)
		return result;
	ssize_t got = stoa_datagram_receive(server, buffer, sizeof(buffer),
	                                    stoa_deadline_in(AMPLE_MS * MS),
	                                    NULL);
	return got == 5 ? 0 : got;
}

static long long send_to_a_full_one(void)
{
	int result;

	do
		result = stoa_datagram_send(client, NULL, "x", 1, STOA_NOW);
	while (result == 0);
	return result == -EAGAIN ? 0 : result;
}

static const struct case_ operations[] = {
	{ "open", open_name },
	{ "open to send", open_sender },
	{ "open UDP", open_udp },
	{ "listen and connect", listen_and_connect },
	{ "send", send_one },
	{ "receive", receive_one },
	{ "send until full", send_to_a_full_one },
};

static void drain(void)
{
	while (stoa_datagram_receive(server, buffer, sizeof(buffer), STOA_NOW,
	                             NULL) >= 0)
		;
	assert_ok(stoa_datagram_send(client, NULL, "next", 4, STOA_NOW));
	assert_result(stoa_datagram_receive(server, buffer, sizeof(buffer),
	                                    STOA_NOW, NULL),
	              4);
}

/* Whether there was an n-th call to fail. */
static bool run_failing(const struct case_ *operation, int error, unsigned n)
{
	bool hit;

	space = open_space();
	assert_ok(stoa_datagram_open(space, "box", STOA_READ, 0600, NULL,
	                             &server));
	assert_ok(stoa_datagram_open(space, "box", STOA_WRITE, 0, NULL,
	                             &client));
	int before = count_descriptors();
	inject_at(error, n, false);
	long long result = operation->run();
	hit = injected();
	if (result != 0 && (result != -error || error == EINTR))
		fail_msg("%s, call %u failing with %d: %lld (%s)",
		         operation->name, n, error, result, stoa_last_error());
	if (count_descriptors() != before)
		fail_msg("%s, call %u failing with %d: left %d descriptors",
		         operation->name, n, error,
		         count_descriptors() - before);
	drain();
	stoa_datagram_close(client);
	stoa_datagram_close(server);
	stoa_space_clean(space, 0, NULL, NULL);
	stoa_space_close(space);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	return hit;
}

TEST(no_failing_call_leaves_anything_behind)
{
	unsigned failed = 0;

	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			for (unsigned n = 1; n < RUNS_MAX; n++) {
				if (!run_failing(&operations[i], errors[e], n))
					break;
				failed++;
			}
	assert_true(failed > 100);
}

static const struct CMUnitTest cases[] = {
	CASE(no_failing_call_leaves_anything_behind),
};

MAIN(cases)
