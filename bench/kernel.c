/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own: POSIX and System V message queues, pipe, UNIX socket. As
 * deep as an unprivileged process may have them (10 messages in a POSIX
 * queue, 16 KiB in a System V one).
 */
#include "drive.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <unistd.h>

#define MQ_DEPTH 10
#define SYSV_TEXT_BYTES 4096

static int open_mode(const struct channel *channel)
{
	return channel->spec->sleeping ? 0 : O_NONBLOCK;
}

/* ---- POSIX queue --------------------------------------------------------- */

static int mq_channel_open(struct channel *channel)
{
	struct mq_attr attributes = {
		.mq_maxmsg = MQ_DEPTH,
		.mq_msgsize = (long)channel->spec->bytes
	};
	char name[sizeof(channel->name) + 1];
	int flags = O_RDWR | O_CREAT | O_EXCL | open_mode(channel);

	snprintf(name, sizeof(name), "/%s", channel->name);
	channel->fd[0] = mq_open(name, flags, 0600, &attributes);
	if (channel->fd[0] < 0)
		return -errno;
	mq_unlink(name);
	return 0;
}

static ssize_t mq_channel_send(struct channel *channel, const void *data,
                               size_t bytes)
{
	return mq_send(channel->fd[0], data, bytes, 0) ? -errno :
	                                                 (ssize_t)bytes;
}

static ssize_t mq_channel_receive(struct channel *channel, void *data,
                                  size_t bytes)
{
	ssize_t result = mq_receive(channel->fd[0], data, bytes, NULL);

	return result < 0 ? -errno : result;
}

static void mq_channel_close(struct channel *channel)
{
	mq_close(channel->fd[0]);
}

static const struct transport posix_mq = {
	mq_channel_open, NULL, mq_channel_send, mq_channel_receive,
	mq_channel_close
};

DRIVE_MEASURE_ONE_WAY(posix_mq)
DRIVE_MEASURE_STREAM(posix_mq)
DRIVE_MEASURE_PAIRS(posix_mq)
DRIVE_MEASURE_MANY(posix_mq)

/* ---- System V queue ------------------------------------------------------ */

struct sysv_message {
	long type;
	char text[SYSV_TEXT_BYTES];
};

static int sysv_open(struct channel *channel)
{
	channel->fd[0] = msgget(IPC_PRIVATE, 0600);
	return channel->fd[0] < 0 ? -errno : 0;
}

/* The copy into the private message is the copy that the others make from a
 * private buffer; the kernel makes one more in each direction, as it must. */
static ssize_t sysv_send(struct channel *channel, const void *data,
                         size_t bytes)
{
	int flags = channel->spec->sleeping ? 0 : IPC_NOWAIT;
	struct sysv_message message;

	message.type = 1;
	memcpy(message.text, data, bytes);
	return msgsnd(channel->fd[0], &message, bytes, flags) ?
	       -errno : (ssize_t)bytes;
}

static ssize_t sysv_receive(struct channel *channel, void *data,
                            size_t bytes)
{
	int flags = channel->spec->sleeping ? 0 : IPC_NOWAIT;
	struct sysv_message message;
	ssize_t result = msgrcv(channel->fd[0], &message, bytes, 0, flags);

	if (result < 0)
		return errno == ENOMSG ? -EAGAIN : -errno;
	memcpy(data, message.text, (size_t)result);
	return result;
}

static void sysv_close(struct channel *channel)
{
	msgctl(channel->fd[0], IPC_RMID, NULL);
}

static const struct transport sysv_msg = {
	sysv_open, NULL, sysv_send, sysv_receive, sysv_close
};

DRIVE_MEASURE_ONE_WAY(sysv_msg)
DRIVE_MEASURE_STREAM(sysv_msg)
DRIVE_MEASURE_PAIRS(sysv_msg)
DRIVE_MEASURE_MANY(sysv_msg)

/* ---- Pipe and UNIX socket ------------------------------------------------ */

static int pipe_open(struct channel *channel)
{
	return pipe2(channel->fd, O_CLOEXEC | open_mode(channel)) ? -errno : 0;
}

static ssize_t pipe_send(struct channel *channel, const void *data,
                         size_t bytes)
{
	ssize_t result = write(channel->fd[1], data, bytes);

	return result < 0 ? -errno : result;
}

/* Writes up to PIPE_BUF are whole, but a read may get less than one. */
static ssize_t pipe_receive(struct channel *channel, void *data,
                            size_t bytes)
{
	size_t got = 0;

	while (got < bytes) {
		ssize_t result = read(channel->fd[0], (char *)data + got,
		                      bytes - got);

		if (result > 0)
			got += (size_t)result;
		else if (result == 0)
			return -EPIPE;
		else if (errno != EAGAIN || !got)
			return -errno;
	}
	return (ssize_t)got;
}

static void pipe_close(struct channel *channel)
{
	close(channel->fd[0]);
	close(channel->fd[1]);
}

static const struct transport unix_pipe = {
	pipe_open, NULL, pipe_send, pipe_receive, pipe_close
};

DRIVE_MEASURE_ONE_WAY(unix_pipe)
DRIVE_MEASURE_STREAM(unix_pipe)
DRIVE_MEASURE_PAIRS(unix_pipe)

static int socket_open(struct channel *channel)
{
	int type = SOCK_SEQPACKET | SOCK_CLOEXEC |
	           (channel->spec->sleeping ? 0 : SOCK_NONBLOCK);

	return socketpair(AF_UNIX, type, 0, channel->fd) ? -errno : 0;
}

static ssize_t socket_send(struct channel *channel, const void *data,
                           size_t bytes)
{
	ssize_t result = send(channel->fd[1], data, bytes, MSG_NOSIGNAL);

	return result < 0 ? -errno : result;
}

static ssize_t socket_receive(struct channel *channel, void *data,
                              size_t bytes)
{
	ssize_t result = recv(channel->fd[0], data, bytes, 0);

	return result < 0 ? -errno : result;
}

static const struct transport unix_socket = {
	socket_open, NULL, socket_send, socket_receive, pipe_close
};

DRIVE_MEASURE_ONE_WAY(unix_socket)
DRIVE_MEASURE_STREAM(unix_socket)
DRIVE_MEASURE_PAIRS(unix_socket)
DRIVE_MEASURE_MANY(unix_socket)

/* ---- Rows ---------------------------------------------------------------- */

#define ROW(prefix, short_name, text, group, unit, base, how, ...) \
	{ prefix "/" short_name, text, base, group, BENCH_KERNEL, unit, how, \
	  __VA_ARGS__ }

/* The same row for each of the four. */
#define FOUR(prefix, group, unit, base, how, ...) \
	ROW(prefix, "mq", "POSIX mq", group, unit, base, posix_mq_##how, \
	    __VA_ARGS__), \
	ROW(prefix, "msg", "System V msg", group, unit, base, \
	    sysv_msg_##how, __VA_ARGS__), \
	ROW(prefix, "pipe", "pipe", group, unit, base, unix_pipe_##how, \
	    __VA_ARGS__), \
	ROW(prefix, "unix", "UNIX seqpacket", group, unit, base, \
	    unix_socket_##how, __VA_ARGS__)

static const struct bench_row kernel[] = {
	FOUR("latency", BENCH_LATENCY, BENCH_UNIT_NS, "latency/line", one_way,
	     { .bytes = 64, .depth = MQ_DEPTH }),
	FOUR("rate64", BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, "rate64/ring",
	     stream, { .bytes = 64, .depth = MQ_DEPTH }),
	FOUR("rate4k", BENCH_THROUGHPUT_4K, BENCH_UNIT_GB, "rate4k/ring",
	     stream, { .bytes = 4096, .depth = MQ_DEPTH }),
	FOUR("pair", BENCH_PAIR, BENCH_UNIT_NS, "pair/ring", pairs,
	     { .bytes = 64, .depth = MQ_DEPTH, .alone = true }),
	FOUR("block2", BENCH_BLOCK_TWO, BENCH_UNIT_NS, "block2/futex",
	     one_way, { .bytes = 64, .depth = MQ_DEPTH, .hold_us = 200,
	                .sleeping = true }),
	FOUR("block1", BENCH_BLOCK_ONE, BENCH_UNIT_NS, "block1/futex",
	     one_way, { .bytes = 64, .depth = MQ_DEPTH, .sleeping = true,
	                .one_core = true }),
	ROW("rate64", "pipe-sleeping", "pipe, who waits may sleep",
	    BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, "rate64/ring",
	    unix_pipe_stream, { .bytes = 64, .depth = MQ_DEPTH,
	                        .sleeping = true }),
	ROW("rate64k", "pipe", "pipe of 64 KiB", BENCH_THROUGHPUT_64K,
	    BENCH_UNIT_GB, "rate64k/ring", unix_pipe_stream,
	    { .bytes = 65536, .depth = 1, .sleeping = true }),
	ROW("many", "mq", "POSIX mq", BENCH_MANY, BENCH_UNIT_RATE, NULL,
	    posix_mq_many, { .bytes = 64, .depth = MQ_DEPTH,
	                     .sleeping = true, .crowded = true }),
	ROW("many", "msg", "System V msg", BENCH_MANY, BENCH_UNIT_RATE, NULL,
	    sysv_msg_many, { .bytes = 64, .depth = MQ_DEPTH,
	                     .sleeping = true, .crowded = true }),
	ROW("many", "unix", "UNIX seqpacket", BENCH_MANY, BENCH_UNIT_RATE,
	    NULL, unix_socket_many, { .bytes = 64, .depth = MQ_DEPTH,
	                              .sleeping = true, .crowded = true }),
};

BENCH_ADD(kernel)
