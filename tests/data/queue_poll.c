/* SPDX-License-Identifier: MIT */
/* Poll descriptors: level-triggered, never readable once too seldom. */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

enum { CAPACITY = 4, ROUNDS = 300 };

static const struct queue_shape tiny = { STOA_FIFO, CAPACITY, 5000, 1 << 16 };

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

/* Once too often is allowed: the first call may bury somebody. */
static void assert_falls_back(struct stoa_queue *queue, int fd)
{
	assert_empty(queue);
	if (is_readable(fd))
		assert_empty(queue);
	assert_false(is_readable(fd));
}

/* It may be readable once too often, as who sends rings before, too. */
static void receive_by_poll(struct stoa_queue *queue, int fd)
{
	char buffer[64];
	ssize_t result;

	do {
		until_readable(fd);
		result = stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
		                            STOA_NOW, NULL);
	} while (result == -EAGAIN);
	assert_good(result);
}

TEST(it_is_readable_while_the_queue_is)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct stoa_queue *queue;
		int fd;

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_READ));
		for (int round = 0; round < 5; round++) {
			assert_empty(queue);
			assert_false(is_readable(fd));
			send_text(queue, "a");
			until_readable(fd);
			send_text(queue, "b");
			assert_true(is_readable(fd));
			assert_true(is_readable(fd));
			assert_receives(queue, "a");
			assert_true(is_readable(fd));
			assert_receives(queue, "b");
		}
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(it_is_readable_while_there_is_room)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	int fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_WRITE));

	for (int round = 0; round < 5; round++) {
		until_readable(fd);
		assert_int_equal(fill_queue(queue), CAPACITY);
		assert_false(is_readable(fd));
		assert_receives(queue, "x");
		until_readable(fd);
		assert_true(is_readable(fd));
		assert_int_equal(fill_queue(queue), 1);
		assert_false(is_readable(fd));
		assert_result(stoa_queue_purge(queue), CAPACITY);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(one_made_late_shows_what_is_there_already)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	int fd;

	send_text(queue, "early");
	fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_READ));
	until_readable(fd);
	fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_WRITE));
	until_readable(fd);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(it_is_the_same_one_each_time_and_closed_on_exec)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	int fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_READ));
	int flags = fcntl(fd, F_GETFD);

	assert_system(flags);
	assert_true(flags & FD_CLOEXEC);
	for (int i = 0; i < 10; i++)
		assert_result(stoa_queue_pollfd(queue, STOA_READ), fd);
	stoa_queue_close(queue);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	stoa_space_close(space);
}

TEST(a_wrong_direction_is_refused)
{
	static const unsigned wrong[] = { 0, STOA_READ | STOA_WRITE,
		                          STOA_CREATE, 0x80000000u };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);

	for (size_t i = 0; i < LENGTH(wrong); i++)
		assert_result(stoa_queue_pollfd(queue, wrong[i]), -EINVAL);
	stoa_queue_close(queue);
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

static void receive_by_epoll(void *context)
{
	struct stoa_queue *queue = context;
	int fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_READ));
	int epoll = watch_in_epoll(fd);
	struct epoll_event event;
	int received = 0;
	char buffer[8];

	while (received < ROUNDS) {
		ssize_t result;

		assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
		while ((result = stoa_queue_receive(queue, NULL, buffer,
		                                    sizeof(buffer), STOA_NOW,
		                                    NULL)) >= 0) {
			received++;
			report(received);
		}
		assert_int_equal(result, -EAGAIN);
	}
	close(epoll);
}

TEST(epoll_wakes_for_every_message_of_another_process)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct stoa_queue *queue;
		struct child child;

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		child = start_child(receive_by_epoll, queue);
		for (int i = 1; i <= ROUNDS; i++) {
			if (i % 16 == 0)
				until_blocked(child.pid);
			send_text(queue, "x");
			assert_int_equal(await_report(&child), i);
		}
		end_child(&child);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void send_by_epoll(void *context)
{
	struct stoa_queue *queue = context;
	int fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_WRITE));
	int epoll = watch_in_epoll(fd);
	struct epoll_event event;
	int sent = 0;

	while (sent < ROUNDS) {
		int result;

		assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
		while (sent < ROUNDS &&
		       (result = stoa_queue_send(queue, "x", 1, STOA_NOW)) == 0)
			sent++;
		if (sent < ROUNDS)
			assert_int_equal(result, -EAGAIN);
	}
	close(epoll);
}

TEST(epoll_wakes_for_room_made_by_another_process)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child = start_child(send_by_epoll, queue);
	char buffer[8];

	for (int i = 0; i < ROUNDS; i++)
		assert_result(stoa_queue_receive(queue, NULL, buffer, 8,
		                                 STOA_FOREVER, NULL),
		              1);
	end_child(&child);
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(several_pollers_are_all_woken)
{
	enum { POLLERS = 4 };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *handles[POLLERS];
	int fds[POLLERS];

	for (size_t i = 0; i < POLLERS; i++) {
		handles[i] = join_queue(space, "q");
		fds[i] = (int)assert_good(
			stoa_queue_pollfd(handles[i], STOA_READ));
		assert_empty(handles[i]);
		assert_false(is_readable(fds[i]));
	}
	for (int round = 0; round < 5; round++) {
		send_text(queue, "x");
		for (size_t i = 0; i < POLLERS; i++)
			until_readable(fds[i]);
		assert_receives(queue, "x");
		for (size_t i = 0; i < POLLERS; i++) {
			assert_empty(handles[i]);
			assert_false(is_readable(fds[i]));
		}
	}
	for (size_t i = 0; i < POLLERS; i++)
		stoa_queue_close(handles[i]);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void take_and_wait(void *context)
{
	struct stoa_message message;

	assert_ok(stoa_queue_take(context, NULL, STOA_NOW, &message));
	report(0);
	await_order();
}

TEST(a_message_given_back_wakes_a_poller)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = join_queue(space, "q");
	int fd = (int)assert_good(stoa_queue_pollfd(other, STOA_READ));
	struct stoa_message message;

	send_text(queue, "x");
	message = take_text(queue, "x");
	assert_falls_back(other, fd);
	assert_ok(stoa_queue_return(queue, &message));
	until_readable(fd);
	assert_receives(other, "x");
	stoa_queue_close(other);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_message_of_the_dead_wakes_a_poller_when_they_are_buried)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child;
	int fd;

	send_text(queue, "x");
	child = start_child(take_and_wait, queue);
	await_report(&child);
	fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_READ));
	assert_falls_back(queue, fd);
	kill_child(&child);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	until_readable(fd);
	assert_receives(queue, "x");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void poll_inherited(void *context)
{
	struct stoa_queue *queue = context;
	int fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_READ));

	assert_empty(queue);
	report(0);
	receive_by_poll(queue, fd);
}

TEST(a_forked_child_asks_for_its_own)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	int fd = (int)assert_good(stoa_queue_pollfd(queue, STOA_READ));
	struct child child = start_child(poll_inherited, queue);

	await_report(&child);
	until_blocked(child.pid);
	send_text(queue, "for the child");
	end_child(&child);
	assert_falls_back(queue, fd);
	send_text(queue, "for the parent");
	until_readable(fd);
	assert_receives(queue, "for the parent");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(it_is_readable_while_the_queue_is),
	CASE(it_is_readable_while_there_is_room),
	CASE(one_made_late_shows_what_is_there_already),
	CASE(it_is_the_same_one_each_time_and_closed_on_exec),
	CASE(a_wrong_direction_is_refused),
	CASE(epoll_wakes_for_every_message_of_another_process),
	CASE(epoll_wakes_for_room_made_by_another_process),
	CASE(several_pollers_are_all_woken),
	CASE(a_message_given_back_wakes_a_poller),
	CASE(a_message_of_the_dead_wakes_a_poller_when_they_are_buried),
	CASE(a_forked_child_asks_for_its_own),
};

MAIN(cases)
