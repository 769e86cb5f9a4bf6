/* SPDX-License-Identifier: MIT */
/* mq_send, mq_receive and the timed forms: order, sizes, waiting, limits. */
#include "conformance.h"

#include <limits.h>
#include <mqueue.h>

static mqd_t queue;
static const char *name;
static char text[64];
static unsigned int priority;

static void queue_new(long messages, long size)
{
	struct mq_attr attr = { .mq_maxmsg = messages, .mq_msgsize = size };

	name = own_name("q");
	mq_unlink(name);
	queue = need("mq_open",
	             mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
}

static long held(void)
{
	struct mq_attr attr;

	need("mq_getattr", mq_getattr(queue, &attr));
	return attr.mq_curmsgs;
}

static long wait_flag(bool nonblock)
{
	struct mq_attr attr = { .mq_flags = nonblock ? O_NONBLOCK : 0 };

	return mq_setattr(queue, &attr, NULL);
}

static int letter(void)
{
	memset(text, 0, sizeof(text));
	if (mq_receive(queue, text, sizeof(text), &priority) < 0)
		return -errno;
	return text[0];
}

static void order(void)
{
	queue_new(8, 8);
	mq_send(queue, "a", 1, 1);
	mq_send(queue, "b", 1, 5);
	mq_send(queue, "c", 1, 1);
	mq_send(queue, "d", 1, 0);
	mq_send(queue, "e", 1, 5);
	mq_send(queue, "f", 1, 32767);
	EQUAL("messages are counted", held(), 6);
	EQUAL("the highest priority comes first", letter(), 'f');
	EQUAL("with its priority", priority, 32767);
	EQUAL("then the next", letter(), 'b');
	EQUAL("with its priority, too", priority, 5);
	EQUAL("of equal priority the oldest comes first", letter(), 'e');
	EQUAL("then lower ones", letter(), 'a');
	EQUAL("in their order", letter(), 'c');
	EQUAL("and 0 is the lowest", letter(), 'd');
	EQUAL("with its priority 0", priority, 0);
	EQUAL("none is left", held(), 0);
}

static void sizes(void)
{
	queue_new(4, 8);
	GIVES("an empty message is sent", mq_send(queue, "", 0, 0), 0);
	GIVES("a message of all bytes is sent",
	      mq_send(queue, "12345678", 8, 0), 0);
	FAILS("one more byte is too long", mq_send(queue, "123456789", 9, 0),
	      EMSGSIZE);
	GIVES("an empty message is received", mq_receive(queue, text, 8, NULL),
	      0);
	FAILS("a buffer smaller than any message is refused",
	      mq_receive(queue, text, 7, NULL), EMSGSIZE);
	EQUAL("and nothing is taken", held(), 1);
	memset(text, 'x', sizeof(text));
	GIVES("a larger one is not", mq_receive(queue, text, 64, NULL), 8);
	HOLDS("the bytes are those that were sent, and no more",
	      memcmp(text, "12345678x", 9) == 0);
}

static void arguments(void)
{
	struct timespec bad = { 0, -1 };
	int pipes[2];

	queue_new(1, 8);
	NEED(pipe(pipes));
	FAILS("sending to no descriptor", mq_send(-1, "", 0, 0), EBADF);
	FAILS("receiving from none", mq_receive(-1, text, 8, NULL), EBADF);
	FAILS("sending to what is no queue", mq_send(pipes[1], "", 0, 0),
	      EBADF);
	FAILS("receiving from what is no queue",
	      mq_receive(pipes[0], text, 8, NULL), EBADF);
	FAILS("so great a priority is invalid",
	      mq_send(queue, "", 0, MQ_PRIO_MAX), EINVAL);
	FAILS("priority comes before the descriptor",
	      mq_send(-1, "", 0, MQ_PRIO_MAX), EINVAL);
	FAILS("an invalid time comes before the descriptor",
	      mq_timedsend(-1, "", 0, 0, &bad), EINVAL);
	FAILS("an invalid time counts when there is room",
	      mq_timedsend(queue, "", 0, 0, &bad), EINVAL);
	FAILS("when receiving, too",
	      mq_timedreceive(queue, text, 8, NULL, &bad), EINVAL);
	bad.tv_nsec = 1000000000;
	FAILS("a second of nanoseconds is invalid",
	      mq_timedsend(queue, "", 0, 0, &bad), EINVAL);
	bad = (struct timespec){ -1, 0 };
	FAILS("a time before all times is invalid",
	      mq_timedsend(queue, "", 0, 0, &bad), EINVAL);
	EQUAL("nothing was sent", held(), 0);
	mq_send(queue, "x", 1, 0);
	FAILS("too long comes before full", mq_send(queue, "123456789", 9, 0),
	      EMSGSIZE);
	mq_close(queue);
	FAILS("what is closed can't be sent to", mq_send(queue, "", 0, 0),
	      EBADF);
	FAILS("nor received from", mq_receive(queue, text, 8, NULL), EBADF);
}

static void faults(void)
{
	queue_new(1, 8);
	FAILS("a message nowhere faults", mq_send(queue, nowhere(), 1, 0),
	      EFAULT);
	EQUAL("and is not sent", held(), 0);
}

static void not_waiting(void)
{
	queue_new(2, 8);
	GIVES("mq_setattr sets O_NONBLOCK", wait_flag(true), 0);
	FAILS("there is nothing to receive", mq_receive(queue, text, 8, NULL),
	      EAGAIN);
	mq_send(queue, "a", 1, 0);
	GIVES("the last place is taken", mq_send(queue, "b", 1, 0), 0);
	FAILS("there is no place", mq_send(queue, "c", 1, 0), EAGAIN);
	EQUAL("nothing was sent", held(), 2);
	FAILS("priority finds no place either", mq_send(queue, "c", 1, 9),
	      EAGAIN);
	struct timespec past = { 1, 0 };
	FAILS("O_NONBLOCK says so with a time, too",
	      mq_timedsend(queue, "c", 1, 0, &past), EAGAIN);
	mqd_t other = mq_open(name, O_RDWR);
	FAILS("another description waits",
	      mq_timedsend(other, "c", 1, 0, &past), ETIMEDOUT);
	mq_receive(queue, text, 8, NULL);
	mq_receive(queue, text, 8, NULL);
	FAILS("EMSGSIZE comes before EAGAIN", mq_receive(queue, text, 7, NULL),
	      EMSGSIZE);
	FAILS("another description waits for messages",
	      mq_timedreceive(other, text, 8, NULL, &past), ETIMEDOUT);
}

static void flag_of_description(void)
{
	queue_new(1, 8);
	struct child child = START(wait_flag(true));
	finish(&child);
	FAILS("a child's flag is its parent's",
	      mq_receive(queue, text, 8, NULL), EAGAIN);
	mqd_t copy = dup(queue);
	HOLDS("a descriptor can be copied", copy >= 0);
	GIVES("the copy sends", mq_send(copy, "x", 1, 0), 0);
	FAILS("the flag is the copy's, too", mq_send(copy, "x", 1, 0), EAGAIN);
	GIVES("the copy is closed", close(copy), 0);
	EQUAL("the other is not", held(), 1);
	EQUAL("fcntl knows the flag", fcntl(queue, F_GETFL) & O_NONBLOCK,
	      O_NONBLOCK);
	fcntl(queue, F_SETFL, O_RDWR);
	struct timespec past = { 1, 0 };
	FAILS("fcntl clears the flag", mq_timedsend(queue, "x", 1, 0, &past),
	      ETIMEDOUT);
	GIVES("close closes a queue", close(queue), 0);
	FAILS("as mq_close does", mq_send(queue, "x", 1, 0), EBADF);
}

static void times(void)
{
	struct timespec past = { 0, 0 }, start = from_now(CLOCK_MONOTONIC, 0);
	struct timespec soon = from_now(CLOCK_REALTIME, 20);

	queue_new(1, 8);
	GIVES("a time that is over lets what can be sent",
	      mq_timedsend(queue, "a", 1, 0, &past), 0);
	FAILS("and fails what can't", mq_timedsend(queue, "b", 1, 0, &past),
	      ETIMEDOUT);
	FAILS("the time runs out", mq_timedsend(queue, "b", 1, 0, &soon),
	      ETIMEDOUT);
	HOLDS("and not before", elapsed_ms(&start) >= 19);
	GIVES("what can be received is",
	      mq_timedreceive(queue, text, 8, NULL, &past), 1);
	FAILS("and what can't is not",
	      mq_timedreceive(queue, text, 8, NULL, &past), ETIMEDOUT);
	start = from_now(CLOCK_MONOTONIC, 0);
	soon = from_now(CLOCK_REALTIME, 20);
	FAILS("the time to receive runs out",
	      mq_timedreceive(queue, text, 8, NULL, &soon), ETIMEDOUT);
	HOLDS("and not before that", elapsed_ms(&start) >= 19);
	struct timespec late = from_now(CLOCK_REALTIME, 1000000);
	struct child child =
		START(mq_timedreceive(queue, text, 8, NULL, &late));
	asleep(&child);
	mq_send(queue, "abc", 3, 0);
	ANSWERS("who waits with a time is woken", &child, 3);
}

static void waits_to_receive(void)
{
	queue_new(2, 8);
	struct child child = START(letter());
	asleep(&child);
	mq_send(queue, "z", 1, 3);
	ANSWERS("a receiver waits for a message", &child, 'z');
	EQUAL("which doesn't stay", held(), 0);
	struct child first = START(letter());
	asleep(&first);
	struct child second = START(letter());
	asleep(&second);
	mq_send(queue, "a", 1, 0);
	mq_send(queue, "b", 1, 9);
	ANSWERS("who waits longest is served first", &first, 'a');
	ANSWERS("then who came after", &second, 'b');
}

static void waits_to_send(void)
{
	queue_new(1, 8);
	mq_send(queue, "a", 1, 0);
	struct child first = START(mq_send(queue, "b", 1, 0));
	asleep(&first);
	EQUAL("a sender waits for a place", held(), 1);
	EQUAL("what was there is received", letter(), 'a');
	ANSWERS("then the sender goes on", &first, 0);
	EQUAL("its message is there", letter(), 'b');
	EQUAL("and was there once", held(), 0);
	mq_send(queue, "a", 1, 0);
	struct timespec late = from_now(CLOCK_REALTIME, 1000000);
	first = START(mq_timedsend(queue, "c", 1, 0, &late));
	asleep(&first);
	letter();
	ANSWERS("who waits with a time is woken", &first, 0);
	EQUAL("its message is there, too", letter(), 'c');
}

static void several_senders(void)
{
	queue_new(1, 8);
	mq_send(queue, "a", 1, 0);
	struct child first = START(mq_send(queue, "b", 1, 0));
	asleep(&first);
	struct child second = START(mq_send(queue, "c", 1, 9));
	asleep(&second);
	EQUAL("what was there is received", letter(), 'a');
	EQUAL("and then what two senders waited to send", letter() + letter(),
	      'b' + 'c');
	ANSWERS("the one goes on", &first, 0);
	ANSWERS("and the other", &second, 0);
}

static void killed_asleep(void)
{
	queue_new(1, 8);
	struct child child = START(letter());
	asleep(&child);
	slay(&child);
	GIVES("who is killed waiting takes nothing", mq_send(queue, "a", 1, 0),
	      0);
	EQUAL("the message is there", held(), 1);
	child = START(mq_send(queue, "b", 1, 0));
	asleep(&child);
	slay(&child);
	EQUAL("who is killed waiting sends nothing", letter(), 'a');
	EQUAL("there is nothing", held(), 0);
}

static void attributes(void)
{
	struct mq_attr attr = { .mq_flags = O_NONBLOCK,
		                .mq_maxmsg = 77,
		                .mq_msgsize = 78,
		                .mq_curmsgs = 79 },
		       old;

	queue_new(3, 8);
	mq_send(queue, "a", 1, 0);
	memset(&old, 0xff, sizeof(old));
	GIVES("mq_setattr returns 0", mq_setattr(queue, &attr, &old), 0);
	EQUAL("it gives the flags that were", old.mq_flags, 0);
	EQUAL("and the messages there may be", old.mq_maxmsg, 3);
	EQUAL("and their bytes", old.mq_msgsize, 8);
	EQUAL("and those there are", old.mq_curmsgs, 1);
	GIVES("mq_getattr returns 0", mq_getattr(queue, &attr), 0);
	EQUAL("the flags are set", attr.mq_flags, O_NONBLOCK);
	EQUAL("and nothing else", attr.mq_maxmsg, 3);
	attr.mq_flags = O_NONBLOCK | O_APPEND;
	FAILS("other flags are invalid", mq_setattr(queue, &attr, NULL),
	      EINVAL);
	attr.mq_flags = 0;
	GIVES("the flags are cleared", mq_setattr(queue, &attr, NULL), 0);
	mq_getattr(queue, &attr);
	EQUAL("and they are", attr.mq_flags, 0);
	FAILS("no descriptor has attributes", mq_getattr(-1, &attr), EBADF);
	FAILS("nor to set", mq_setattr(-1, &attr, NULL), EBADF);
	FAILS("nor has what is no queue", mq_getattr(0, &attr), EBADF);
	attr.mq_flags = O_APPEND;
	FAILS("EINVAL comes before EBADF", mq_setattr(-1, &attr, NULL), EINVAL);
}

static void after_fork(void)
{
	queue_new(2, 8);
	struct answer child = IN_CHILD(mq_send(queue, "c", 1, 0));
	EQUAL("a child sends by its parent's descriptor", child.value, 0);
	child = IN_CHILD(mq_close(queue));
	EQUAL("a child closes its own", child.value, 0);
	EQUAL("its parent's stays open", letter(), 'c');
}

int after_exec(const char *word)
{
	struct mq_attr attr;

	return mq_getattr(atoi(word), &attr) == -1 ? errno : 0;
}

static void after_exec_closed(void)
{
	char word[32];

	queue_new(2, 8);
	snprintf(word, sizeof(word), "%d", queue);
	struct child child = START_EXEC_AFTER((void)0, word);
	ANSWERS("exec closes descriptors", &child, EBADF);
}

CONFORMANCE(GROUP(order), GROUP(sizes), GROUP(arguments), GROUP(faults),
            GROUP(not_waiting), GROUP(flag_of_description), GROUP(times),
            GROUP(waits_to_receive), GROUP(waits_to_send),
            GROUP(several_senders), GROUP(killed_asleep), GROUP(attributes),
            GROUP(after_fork), GROUP(after_exec_closed))
