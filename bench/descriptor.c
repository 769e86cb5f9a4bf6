/* SPDX-License-Identifier: MIT */
/*
 * Descriptors passed over a pair of sockets: the bare calls, and stoa's. Each
 * message has a payload and one or more descriptors, which the receiver closes.
 */
#include "drive.h"

#include <fcntl.h>
#include <stoa/stoa.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 253

/* How many go with each message. */
static size_t count_of(const struct channel *channel)
{
	return channel->spec->held;
}

static int opened[MOST];

static int open_descriptors(struct channel *channel)
{
	for (size_t i = 0; i < count_of(channel); i++) {
		opened[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (opened[i] < 0)
			return -errno;
	}
	return 0;
}

static void close_channel(struct channel *channel)
{
	close(channel->fd[0]);
	close(channel->fd[1]);
	for (size_t i = 0; i < count_of(channel); i++)
		close(opened[i]);
}

static void close_all(const int *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(descriptors[i]);
}

/* ---- Bare -------------------------------------------------------------------- */

static int bare_open(struct channel *channel)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel->fd))
		return -errno;
	return open_descriptors(channel);
}

static ssize_t bare_send(struct channel *channel, const void *data,
                         size_t bytes)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MOST * sizeof(int))];
	size_t size = count_of(channel) * sizeof(int);
	struct iovec part = { (void *)data, bytes };
	struct msghdr message = { .msg_iov = &part,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(rights), opened, size);
	ssize_t sent = sendmsg(channel->fd[1], &message, MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

static ssize_t bare_receive(struct channel *channel, void *data, size_t bytes)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MOST * sizeof(int))];
	struct iovec part = { data, bytes };
	struct msghdr message = { .msg_iov = &part,
		                  .msg_iovlen = 1,
		                  .msg_control = control,
		                  .msg_controllen = sizeof(control) };
	int got[MOST];
	ssize_t result = recvmsg(channel->fd[0], &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	if (result < 0)
		return -errno;
	if (!rights)
		return -EBADMSG;
	memcpy(got, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
	close_all(got, (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	return result;
}

static const struct transport bare = { bare_open, NULL, bare_send, bare_receive,
	                               close_channel };

DRIVE_MEASURE_PAIRS(bare)
DRIVE_MEASURE_ONE_WAY(bare)

/* ---- stoa --------------------------------------------------------------------- */

static int stoa_open(struct channel *channel)
{
	int result = stoa_descriptor_pair(channel->fd);

	return result < 0 ? result : open_descriptors(channel);
}

static ssize_t stoa_send(struct channel *channel, const void *data,
                         size_t bytes)
{
	int result = stoa_descriptor_send(channel->fd[1], opened,
	                                  count_of(channel), data, bytes,
	                                  STOA_FOREVER);

	return result < 0 ? result : (ssize_t)bytes;
}

static ssize_t stoa_receive(struct channel *channel, void *data, size_t bytes)
{
	struct stoa_descriptor_message message;
	int got[MOST];
	ssize_t result = stoa_descriptor_receive(channel->fd[0], got, MOST, data,
	                                         bytes, STOA_FOREVER, &message);

	if (result >= 0)
		close_all(got, message.descriptors);
	return result;
}

static const struct transport stoa = { stoa_open, NULL, stoa_send, stoa_receive,
	                               close_channel };

DRIVE_MEASURE_PAIRS(stoa)
DRIVE_MEASURE_ONE_WAY(stoa)

#define ROW(name, what, base, kind, how, ...)                             \
	{                                                                 \
		name, what, base, BENCH_DESCRIPTOR, kind, BENCH_UNIT_NS,  \
		how,                                                      \
		{                                                         \
			.bytes = 64, .depth = 16, .sleeping = true,       \
			__VA_ARGS__                                       \
		}                                                         \
	}

static const struct bench_row descriptors[] = {
	ROW("descriptor/bare-1", "sendmsg and recvmsg, one", "", BENCH_KERNEL,
	    bare_pairs, .held = 1, .alone = true),
	ROW("descriptor/bare-253", "sendmsg and recvmsg, 253", "", BENCH_KERNEL,
	    bare_pairs, .held = MOST, .alone = true),
	ROW("descriptor/bare-1-way", "sendmsg and recvmsg, one, two cores", "",
	    BENCH_KERNEL, bare_one_way, .held = 1),
	ROW("descriptor/stoa-1", "stoa, one", "descriptor/bare-1", BENCH_STOA,
	    stoa_pairs, .held = 1, .alone = true),
	ROW("descriptor/stoa-253", "stoa, 253", "descriptor/bare-253",
	    BENCH_STOA, stoa_pairs, .held = MOST, .alone = true),
	ROW("descriptor/stoa-1-way", "stoa, one, two cores",
	    "descriptor/bare-1-way", BENCH_STOA, stoa_one_way, .held = 1),
};

BENCH_ADD(descriptors)
