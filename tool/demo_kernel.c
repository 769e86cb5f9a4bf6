/* SPDX-License-Identifier: MIT */
/*
 * demo_kernel.c: the demo's channels as the kernel's own mechanisms: a POSIX
 * message queue, a System V message queue, a pipe in packet mode.
 *
 * Their limits are raised where the process may (root, in a private IPC
 * namespace); otherwise the stream is cut into messages that fit.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <unistd.h>

#include "demo.h"

#define DEPTH 256l
#define QUEUE_BYTES (8l << 20) /* System V, and the pipe at most */
#define SEND_TYPE 1l

/* What msgsnd and msgrcv expect before the message. */
struct buffer {
	long type;
	unsigned char bytes[DEMO_MESSAGE_MAX];
};

static void free_buffers(struct demo_carrier *carrier)
{
	for (int end = 0; end < DEMO_ENDS; end++) {
		free(carrier->channel[end].out);
		free(carrier->channel[end].in);
		carrier->channel[end].out = NULL;
		carrier->channel[end].in = NULL;
	}
}

static int make_buffers(struct demo_carrier *carrier)
{
	for (int end = 0; end < DEMO_ENDS; end++) {
		carrier->channel[end].out = calloc(1, sizeof(struct buffer));
		carrier->channel[end].in = calloc(1, sizeof(struct buffer));
		if (!carrier->channel[end].out || !carrier->channel[end].in) {
			free_buffers(carrier);
			return -ENOMEM;
		}
	}
	return 0;
}

static void unpack(struct demo_parcel *parcel, struct buffer *buffer)
{
	parcel->header = (struct demo_header *)buffer->bytes;
	parcel->data = (uint8_t *)(parcel->header + 1);
}

static int reserve(struct demo_channel *channel, size_t bytes,
                   struct demo_parcel *ret_parcel)
{
	(void)bytes;
	unpack(ret_parcel, channel->out);
	return 0;
}

/* These mechanisms forget a message when it's received. */
static int acknowledge(struct demo_channel *channel,
                       const struct demo_parcel *parcel)
{
	(void)channel;
	(void)parcel;
	return 0;
}

static size_t message_bytes(const struct demo_parcel *parcel)
{
	return sizeof(struct demo_header) + parcel->header->bytes;
}

static int received(struct demo_channel *channel, ssize_t bytes,
                    struct demo_parcel *ret_parcel)
{
	if (bytes < 0)
		return -errno;
	unpack(ret_parcel, channel->in);
	if ((size_t)bytes < sizeof(struct demo_header) ||
	    (size_t)bytes != message_bytes(ret_parcel))
		return -EBADMSG;
	return 0;
}

static void set_limits(struct demo_carrier *carrier, long messages,
                       size_t bytes)
{
	carrier->piece_max = bytes - sizeof(struct demo_header);
	if (carrier->piece_max > DEMO_PIECE_MAX)
		carrier->piece_max = DEMO_PIECE_MAX;
	snprintf(carrier->limits, sizeof(carrier->limits), "%ld x %zu KiB",
	         messages, bytes >> 10);
}

/* Raises a limit, never the whole system's; it's the caller who finds out. */
static void raise_limit(const struct demo_carrier *carrier, const char *path,
                        long value)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld\n", value);
	int descriptor;
	ssize_t ignored;

	if (!carrier->own_limits)
		return;
	descriptor = open(path, O_WRONLY | O_CLOEXEC);
	if (descriptor < 0)
		return;
	ignored = write(descriptor, text, (size_t)length);
	(void)ignored;
	close(descriptor);
}

static long system_limit(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%ld", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

/* ---- POSIX -------------------------------------------------------------- */

static void mq_close_both(struct demo_carrier *carrier)
{
	for (int end = 0; end < DEMO_ENDS; end++) {
		if (carrier->channel[end].id > 0)
			mq_close((mqd_t)carrier->channel[end].id);
		carrier->channel[end].id = 0;
	}
	free_buffers(carrier);
}

/* The name is gone at once: children inherit the descriptor. */
static int mq_make(struct demo_channel *channel, long messages, long bytes)
{
	struct mq_attr attributes = { .mq_maxmsg = messages,
		                      .mq_msgsize = bytes };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof(name), "/stoa-demo-%d", (int)getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600,
	                &attributes);
	if (queue == (mqd_t)-1)
		return -errno;
	mq_unlink(name);
	channel->id = (int)queue;
	return 0;
}

static int mq_try(struct demo_carrier *carrier, long messages, long bytes)
{
	int result = mq_make(&carrier->channel[DEMO_WORK], messages, bytes);

	if (result < 0)
		return result;
	result = mq_make(&carrier->channel[DEMO_RESULTS], messages, bytes);
	if (result < 0) {
		mq_close((mqd_t)carrier->channel[DEMO_WORK].id);
		carrier->channel[DEMO_WORK].id = 0;
		return result;
	}
	set_limits(carrier, messages, (size_t)bytes);
	return 0;
}

static int mq_open_both(struct demo_carrier *carrier)
{
	/* From roomy to what every user is allowed; 6 of the largest in each of
	 * two queues is what the default RLIMIT_MSGQUEUE has room for. */
	static const long attempts[][2] = {
		{ DEPTH, DEMO_MESSAGE_MAX },
		{ 10, DEMO_MESSAGE_MAX },
		{ 6, DEMO_MESSAGE_MAX },
		{ 10, 8192 },
	};
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int result = make_buffers(carrier);

	if (result < 0)
		return result;
	raise_limit(carrier, "/proc/sys/fs/mqueue/msg_max", DEPTH);
	raise_limit(carrier, "/proc/sys/fs/mqueue/msgsize_max",
	            DEMO_MESSAGE_MAX);
	setrlimit(RLIMIT_MSGQUEUE, &unlimited);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		result = mq_try(carrier, attempts[i][0], attempts[i][1]);
		if (result >= 0)
			return 0;
	}
	free_buffers(carrier);
	return result;
}

static int mq_commit(struct demo_channel *channel,
                     const struct demo_parcel *parcel)
{
	int result = mq_send((mqd_t)channel->id, (const char *)parcel->header,
	                     message_bytes(parcel), 0);

	return result < 0 ? -errno : 0;
}

static int mq_take(struct demo_channel *channel, int wait,
                   struct demo_parcel *ret_parcel)
{
	struct buffer *buffer = channel->in;

	if (!wait)
		return -EAGAIN;
	return received(channel,
	                mq_receive((mqd_t)channel->id, (char *)buffer->bytes,
	                           sizeof(buffer->bytes), NULL),
	                ret_parcel);
}

const struct demo_operations demo_mq = {
	mq_open_both, mq_close_both, reserve, mq_commit, mq_take, acknowledge,
};

/* ---- System V ----------------------------------------------------------- */

static void sysv_close(struct demo_carrier *carrier)
{
	for (int end = 0; end < DEMO_ENDS; end++)
		if (carrier->channel[end].id >= 0)
			msgctl(carrier->channel[end].id, IPC_RMID, NULL);
	free_buffers(carrier);
}

static int sysv_open(struct demo_carrier *carrier)
{
	long bytes;
	struct msqid_ds state;
	int result = make_buffers(carrier);

	if (result < 0)
		return result;
	raise_limit(carrier, "/proc/sys/kernel/msgmax", DEMO_MESSAGE_MAX);
	raise_limit(carrier, "/proc/sys/kernel/msgmnb", QUEUE_BYTES);
	carrier->channel[DEMO_WORK].id = msgget(IPC_PRIVATE, 0600);
	carrier->channel[DEMO_RESULTS].id = msgget(IPC_PRIVATE, 0600);
	bytes = system_limit("/proc/sys/kernel/msgmax");
	if (msgctl(carrier->channel[DEMO_WORK].id, IPC_STAT, &state) < 0 ||
	    carrier->channel[DEMO_RESULTS].id < 0 ||
	    bytes < (long)(sizeof(struct demo_header) + DEMO_PIECE_MIN)) {
		result = errno ? -errno : -ENOSYS;
		sysv_close(carrier);
		return result;
	}
	if (bytes > (long)state.msg_qbytes)
		bytes = (long)state.msg_qbytes;
	set_limits(carrier, (long)state.msg_qbytes / bytes, (size_t)bytes);
	return 0;
}

static int sysv_commit(struct demo_channel *channel,
                       const struct demo_parcel *parcel)
{
	struct buffer *buffer = channel->out;

	buffer->type = SEND_TYPE;
	if (msgsnd(channel->id, buffer, message_bytes(parcel), 0) < 0)
		return -errno;
	return 0;
}

static int sysv_take(struct demo_channel *channel, int wait,
                     struct demo_parcel *ret_parcel)
{
	struct buffer *buffer = channel->in;
	const size_t room = sizeof(buffer->bytes);

	if (!wait)
		return -EAGAIN;
	return received(channel, msgrcv(channel->id, buffer, room, 0, 0),
	                ret_parcel);
}

const struct demo_operations demo_sysv = {
	sysv_open, sysv_close, reserve, sysv_commit, sysv_take, acknowledge,
};

/* ---- Pipe --------------------------------------------------------------- */

static void pipe_close(struct demo_carrier *carrier)
{
	for (int end = 0; end < DEMO_ENDS; end++)
		for (int side = 0; side < 2; side++)
			if (carrier->channel[end].descriptor[side] > 0)
				close(carrier->channel[end].descriptor[side]);
	free_buffers(carrier);
}

/* Packet mode: one write is one read, up to PIPE_BUF bytes, so that several
 * workers can read from one pipe without a lock around it. */
static int pipe_open(struct demo_carrier *carrier)
{
	long pages = 0;
	int result = make_buffers(carrier);

	if (result < 0)
		return result;
	for (int end = 0; end < DEMO_ENDS; end++) {
		struct demo_channel *channel = &carrier->channel[end];
		long bytes = system_limit("/proc/sys/fs/pipe-max-size");

		if (pipe2(channel->descriptor, O_DIRECT | O_CLOEXEC) < 0) {
			result = -errno;
			pipe_close(carrier);
			return result;
		}
		if (bytes > QUEUE_BYTES)
			bytes = QUEUE_BYTES;
		fcntl(channel->descriptor[1], F_SETPIPE_SZ, (int)bytes);
		pages = fcntl(channel->descriptor[1], F_GETPIPE_SZ) /
		        sysconf(_SC_PAGESIZE);
	}
	set_limits(carrier, pages, PIPE_BUF);
	return 0;
}

static int pipe_commit(struct demo_channel *channel,
                       const struct demo_parcel *parcel)
{
	ssize_t bytes = write(channel->descriptor[1], parcel->header,
	                      message_bytes(parcel));

	return bytes < 0 ? -errno : 0;
}

static int pipe_take(struct demo_channel *channel, int wait,
                     struct demo_parcel *ret_parcel)
{
	struct buffer *buffer = channel->in;

	if (!wait)
		return -EAGAIN;
	return received(channel,
	                read(channel->descriptor[0], buffer->bytes,
	                     sizeof(buffer->bytes)),
	                ret_parcel);
}

const struct demo_operations demo_pipe = {
	pipe_open, pipe_close, reserve, pipe_commit, pipe_take, acknowledge,
};
