/* SPDX-License-Identifier: MIT */
/* Poll descriptors of both directions, and stoa_wait_any. */
#include "stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

enum { ROUNDS = 300 };

static bool is_readable(int fd)
{
	struct pollfd pollfd = { fd, POLLIN, 0 };

	assert_system(poll(&pollfd, 1, 0));
	return pollfd.revents != 0;
}

static void until_readable(int fd)
{
	struct pollfd pollfd = { fd, POLLIN, 0 };

	assert_int_equal(poll(&pollfd, 1, -1), 1);
	assert_int_equal(pollfd.revents, POLLIN);
}

TEST(it_is_readable_while_there_are_bytes)
{
	struct stoa_space *space = open_space();
	static const char *const names[] = { "s", NULL };

	for (size_t i = 0; i < LENGTH(names); i++) {
		struct stoa_stream *stream = make_stream(space, names[i], 0);
		int fd = (int)assert_good(
			stoa_stream_pollfd(stream, STOA_READ));

		for (int round = 0; round < 5; round++) {
			assert_no_bytes(stream);
			assert_false(is_readable(fd));
			put_text(stream, "ab");
			until_readable(fd);
			assert_text(stream, "a");
			assert_true(is_readable(fd));
			assert_text(stream, "b");
		}
		stoa_stream_close(stream);
	}
	stoa_space_close(space);
}

TEST(it_is_readable_while_there_is_room)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 2 * SMALL);
	int fd = (int)assert_good(stoa_stream_pollfd(stream, STOA_WRITE));
	static char bytes[4 * SMALL];

	for (int round = 0; round < 5; round++) {
		until_readable(fd);
		assert_result(stoa_stream_write(stream, bytes, sizeof(bytes),
		                                STOA_NOW),
		              2 * SMALL);
		assert_result(stoa_stream_write(stream, bytes, 1, STOA_NOW),
		              -EAGAIN);
		assert_false(is_readable(fd));
		assert_result(stoa_stream_read(stream, bytes, SMALL, STOA_NOW),
		              SMALL);
		until_readable(fd);
		assert_result(stoa_stream_read(stream, bytes, SMALL, STOA_NOW),
		              SMALL);
	}
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(it_is_readable_when_the_other_end_has_gone)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer;
	int fd;

	assert_ok(stoa_stream_pipe(space, NULL, &reader, &writer));
	fd = (int)assert_good(stoa_stream_pollfd(reader, STOA_READ));
	assert_no_bytes(reader);
	assert_false(is_readable(fd));
	stoa_stream_close(writer);
	until_readable(fd);
	assert_result(stoa_stream_read(reader, &fd, 1, STOA_NOW), 0);
	stoa_stream_close(reader);
	stoa_space_close(space);
}

TEST(a_wrong_direction_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer;

	assert_ok(stoa_stream_pipe(space, NULL, &reader, &writer));
	assert_result(stoa_stream_pollfd(reader, 0), -EINVAL);
	assert_result(stoa_stream_pollfd(reader, STOA_READ | STOA_WRITE),
	              -EINVAL);
	assert_result(stoa_stream_pollfd(reader, STOA_WRITE), -EBADF);
	assert_result(stoa_stream_pollfd(writer, STOA_READ), -EBADF);
	assert_null(stoa_stream_object(reader, STOA_WRITE));
	stoa_stream_close(reader);
	stoa_stream_close(writer);
	stoa_space_close(space);
}

/* ---- Between processes ------------------------------------------------ */

static int watch_in_epoll(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	assert_system(epoll);
	assert_system(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

static void read_by_epoll(void *context)
{
	struct stoa_stream *stream = context;
	int fd = (int)assert_good(stoa_stream_pollfd(stream, STOA_READ));
	int epoll = watch_in_epoll(fd);
	struct epoll_event event;
	int64_t received = 0;
	char buffer[8];

	while (received < ROUNDS) {
		ssize_t result;

		assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
		while ((result = stoa_stream_read(stream, buffer, 8,
		                                  STOA_NOW)) > 0) {
			received += result;
			report(received);
		}
		assert_int_equal(result, -EAGAIN);
	}
	close(epoll);
}

TEST(epoll_wakes_for_every_byte_of_another_process)
{
	struct stoa_space *space = open_space();
	static const char *const names[] = { "s", NULL };

	for (size_t n = 0; n < LENGTH(names); n++) {
		struct stoa_stream *stream = make_stream(space, names[n], 0);
		struct child child = start_child(read_by_epoll, stream);

		for (int i = 1; i <= ROUNDS; i++) {
			if (i % 16 == 0)
				until_blocked(child.pid);
			put_text(stream, "x");
			assert_int_equal(await_report(&child), i);
		}
		end_child(&child);
		stoa_stream_close(stream);
	}
	stoa_space_close(space);
}

static void write_by_epoll(void *context)
{
	struct stoa_stream *stream = context;
	int fd = (int)assert_good(stoa_stream_pollfd(stream, STOA_WRITE));
	int epoll = watch_in_epoll(fd);
	struct epoll_event event;
	static char bytes[SMALL];
	int sent = 0;

	while (sent < ROUNDS) {
		ssize_t result = 0;

		assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
		while (sent < ROUNDS &&
		       (result = stoa_stream_write(stream, bytes, SMALL,
		                                   STOA_NOW)) == SMALL)
			sent++;
		if (sent < ROUNDS)
			assert_int_equal(result, -EAGAIN);
	}
	close(epoll);
}

TEST(epoll_wakes_for_room_made_by_another_process)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 2 * SMALL);
	struct child child = start_child(write_by_epoll, stream);
	uint64_t left = ROUNDS * SMALL;
	char buffer[1000];

	while (left > 0) {
		ssize_t got = stoa_stream_read(stream, buffer, sizeof(buffer),
		                               STOA_FOREVER);

		assert_true(got > 0);
		left -= (uint64_t)got;
	}
	end_child(&child);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

static void hold_and_die(void *context)
{
	assert_ok(stoa_stream_shutdown(context, STOA_READ));
	put_text(context, "last");
	report(0);
	await_order();
}

TEST(a_death_at_the_other_end_wakes_a_poller)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, NULL, 0);
	struct child child = start_child(hold_and_die, stream);
	int fd = (int)assert_good(stoa_stream_pollfd(stream, STOA_READ));
	ssize_t result;
	char byte;

	assert_ok(stoa_stream_shutdown(stream, STOA_WRITE));
	await_report(&child);
	assert_text(stream, "last");
	assert_no_bytes(stream);
	kill_child(&child);
	do {
		until_readable(fd);
		result = stoa_stream_read(stream, &byte, 1, STOA_NOW);
	} while (result == -EAGAIN);
	assert_int_equal(result, 0);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

/* ---- Any of several ------------------------------------------------------ */

TEST(wait_any_tells_which_stream_is_ready)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *one = make_stream(space, "one", SMALL);
	struct stoa_stream *two = make_stream(space, "two", 4 * SMALL);
	static char bytes[4 * SMALL];
	struct stoa_wait waits[3] = {
		{ .kind = STOA_READABLE,
		  .object = stoa_stream_object(one, STOA_READ) },
		{ .kind = STOA_READABLE,
		  .object = stoa_stream_object(two, STOA_READ) },
		{ .kind = STOA_WRITABLE,
		  .object = stoa_stream_object(one, STOA_WRITE) },
	};

	assert_result(stoa_wait_any(waits, 2, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(waits, 3, STOA_NOW), 2);
	put_text(two, "x");
	assert_result(stoa_wait_any(waits, 3, STOA_FOREVER), 1);
	assert_text(two, "x");
	put_text(one, "x");
	assert_result(stoa_wait_any(waits + 2, 1, STOA_NOW), -EAGAIN);
	waits[2].amount = SMALL - 1;
	assert_result(stoa_wait_any(waits + 2, 1, STOA_NOW), 0);
	waits[2].object = stoa_stream_object(two, STOA_WRITE);
	waits[2].amount = 4 * SMALL;
	assert_result(stoa_wait_any(waits + 2, 1, STOA_NOW), 0);
	assert_result(stoa_stream_write(two, bytes, 100, STOA_NOW), 100);
	assert_result(stoa_wait_any(waits + 2, 1, stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	stoa_stream_close(one);
	stoa_stream_close(two);
	stoa_space_close(space);
}

TEST(wait_any_knows_of_the_gone)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer, *other;
	struct stoa_wait wait = { .kind = STOA_READABLE };
	static char bytes[65536];

	assert_ok(stoa_stream_pipe(space, NULL, &reader, &writer));
	wait.object = stoa_stream_object(reader, STOA_READ);
	assert_result(stoa_wait_any(&wait, 1, STOA_NOW), -EAGAIN);
	stoa_stream_close(writer);
	assert_result(stoa_wait_any(&wait, 1, STOA_FOREVER), 0);
	stoa_stream_close(reader);
	assert_ok(stoa_stream_pair(space, NULL, &reader, &other));
	wait.kind = STOA_WRITABLE;
	wait.object = stoa_stream_object(reader, STOA_WRITE);
	assert_result(stoa_stream_write(reader, bytes, sizeof(bytes), STOA_NOW),
	              sizeof(bytes));
	assert_result(stoa_wait_any(&wait, 1, STOA_NOW), -EAGAIN);
	stoa_stream_close(other);
	assert_result(stoa_wait_any(&wait, 1, STOA_FOREVER), 0);
	stoa_stream_close(reader);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(it_is_readable_while_there_are_bytes),
	CASE(it_is_readable_while_there_is_room),
	CASE(it_is_readable_when_the_other_end_has_gone),
	CASE(a_wrong_direction_is_refused),
	CASE(epoll_wakes_for_every_byte_of_another_process),
	CASE(epoll_wakes_for_room_made_by_another_process),
	CASE(a_death_at_the_other_end_wakes_a_poller),
	CASE(wait_any_tells_which_stream_is_ready),
	CASE(wait_any_knows_of_the_gone),
};

MAIN(cases)
