/* SPDX-License-Identifier: MIT */
/* poll, select and epoll of message queue descriptors. */
#include "conformance.h"

#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static mqd_t queue;
static const char *name;
static char text[8];

static void queue_new(void)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 8 };

	name = own_name("p");
	mq_unlink(name);
	queue = need("mq_open",
	             mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
}

static int polled(int events, int milliseconds)
{
	struct pollfd fd = { .fd = queue, .events = (short)events };

	if (poll(&fd, 1, milliseconds) < 0)
		return -errno;
	return fd.revents;
}

static void by_poll(void)
{
	queue_new();
	EQUAL("an empty queue can be sent to",
	      polled(POLLIN | POLLOUT, 0) & (POLLIN | POLLOUT), POLLOUT);
	mq_send(queue, "a", 1, 0);
	EQUAL("with a message it can be received from, too",
	      polled(POLLIN | POLLOUT, 0) & (POLLIN | POLLOUT),
	      POLLIN | POLLOUT);
	mq_send(queue, "b", 1, 0);
	EQUAL("a full queue can be received from only",
	      polled(POLLIN | POLLOUT, 0) & (POLLIN | POLLOUT), POLLIN);
	EQUAL("again", polled(POLLIN, 0) & POLLIN, POLLIN);
	mq_receive(queue, text, 8, NULL);
	EQUAL("a place makes it one to send to", polled(POLLOUT, 0) & POLLOUT,
	      POLLOUT);
	mq_receive(queue, text, 8, NULL);
	EQUAL("an empty one has nothing", polled(POLLIN, 0), 0);
}

static void wakes_poll(void)
{
	queue_new();
	struct child child = START(polled(POLLIN, -1) & POLLIN);
	asleep(&child);
	mq_send(queue, "a", 1, 0);
	ANSWERS("a message wakes who polls", &child, POLLIN);
	mq_send(queue, "b", 1, 0);
	child = START(polled(POLLOUT, -1) & POLLOUT);
	asleep(&child);
	mq_receive(queue, text, 8, NULL);
	ANSWERS("a place wakes who polls", &child, POLLOUT);
	mq_receive(queue, text, 8, NULL);
	child = START(mq_send(queue, "c", 1, 0));
	EQUAL("poll waits for another process's message",
	      polled(POLLIN, -1) & POLLIN, POLLIN);
	finish(&child);
}

static void wakes_again(void)
{
	queue_new();
	for (int i = 0; i < 3; i++) {
		struct child child = START(mq_send(queue, "c", 1, 0));
		int events = polled(POLLIN, -1);
		finish(&child);
		EQUAL("each message wakes anew", events & POLLIN, POLLIN);
		mq_receive(queue, text, 8, NULL);
		EQUAL("and is over when it is received", polled(POLLIN, 0), 0);
	}
}

static int selected(bool write)
{
	struct timeval none = { 0, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(queue, &set);
	return select(queue + 1, write ? NULL : &set, write ? &set : NULL, NULL,
	              &none);
}

static void by_select(void)
{
	queue_new();
	EQUAL("select finds nothing to receive", selected(false), 0);
	EQUAL("but a place", selected(true), 1);
	mq_send(queue, "a", 1, 0);
	EQUAL("select finds a message", selected(false), 1);
	mq_send(queue, "b", 1, 0);
	EQUAL("and no place in a full queue", selected(true), 0);
}

static int waited(int epoll, int milliseconds)
{
	struct epoll_event event = { 0 };
	int count = epoll_wait(epoll, &event, 1, milliseconds);

	return count == 1 ? (int)event.events : count;
}

static void by_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	queue_new();
	GIVES("epoll takes a queue",
	      epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event), 0);
	EQUAL("there is nothing", waited(epoll, 0), 0);
	mq_send(queue, "a", 1, 0);
	EQUAL("there is a message", waited(epoll, -1), EPOLLIN);
	EQUAL("there still is", waited(epoll, 0), EPOLLIN);
	mq_receive(queue, text, 8, NULL);
	EQUAL("there is none", waited(epoll, 0), 0);
	struct child child = START(mq_send(queue, "b", 1, 0));
	EQUAL("epoll waits for another process's message", waited(epoll, -1),
	      EPOLLIN);
	finish(&child);
	GIVES("epoll lets it go",
	      epoll_ctl(epoll, EPOLL_CTL_DEL, queue, &event), 0);
	EQUAL("and tells no more", waited(epoll, 0), 0);
}

static void by_edges(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	queue_new();
	epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event);
	mq_send(queue, "a", 1, 0);
	EQUAL("a message is an edge", waited(epoll, -1) & EPOLLIN, EPOLLIN);
	EQUAL("which is told once", waited(epoll, 0), 0);
	mq_receive(queue, text, 8, NULL);
	mq_send(queue, "b", 1, 0);
	EQUAL("the next is another", waited(epoll, -1) & EPOLLIN, EPOLLIN);
}

static void by_readers_and_writers(void)
{
	queue_new();
	mqd_t both = queue;
	queue = mq_open(name, O_WRONLY);
	EQUAL("a writer polls for a place", polled(POLLOUT, 0) & POLLOUT,
	      POLLOUT);
	mq_send(both, "a", 1, 0);
	queue = mq_open(name, O_RDONLY);
	EQUAL("a reader polls for a message", polled(POLLIN, 0) & POLLIN,
	      POLLIN);
	queue = dup(queue);
	EQUAL("so does a copy", polled(POLLIN, 0) & POLLIN, POLLIN);
	struct answer child = IN_CHILD(polled(POLLIN, 0) & POLLIN);
	EQUAL("so does a child", child.value, POLLIN);
	mq_close(queue);
	EQUAL("what is closed is none to poll", polled(POLLIN, 0), POLLNVAL);
}

CONFORMANCE(GROUP(by_poll), GROUP(wakes_poll), GROUP(wakes_again),
            GROUP(by_select), GROUP(by_epoll), GROUP(by_edges),
            GROUP(by_readers_and_writers))
