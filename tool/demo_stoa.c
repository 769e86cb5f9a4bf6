/* SPDX-License-Identifier: MIT */
/* demo_stoa.c: the demo's channels as two stoa queues in a private space. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"

#define CAPACITY 256u
#define PAYLOAD_BYTES (8u << 20)

static int open_queue(struct demo_carrier *carrier, enum demo_end end,
                      const char *name)
{
	const struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes),
		.order = STOA_FIFO,
		.capacity = CAPACITY,
		.max_message_bytes = DEMO_MESSAGE_MAX,
		.total_bytes = PAYLOAD_BYTES,
	};

	return stoa_queue_open(carrier->space, name,
	                       STOA_CREATE | STOA_EXCLUSIVE | STOA_READ |
	                               STOA_WRITE,
	                       0600, &attributes,
	                       &carrier->channel[end].queue);
}

static void remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(path);
}

static void stoa_close(struct demo_carrier *carrier)
{
	for (int end = 0; end < DEMO_ENDS; end++) {
		stoa_queue_close(carrier->channel[end].queue);
		carrier->channel[end].queue = NULL;
	}
	stoa_space_close(carrier->space);
	carrier->space = NULL;
	remove_directory(carrier->path);
}

static int stoa_open(struct demo_carrier *carrier)
{
	int result;

	snprintf(carrier->path, sizeof(carrier->path),
	         "/dev/shm/stoa-demo-%d-XXXXXX", (int)getpid());
	if (!mkdtemp(carrier->path))
		return -errno;
	result = stoa_space_open(carrier->path, 0, &carrier->space);
	if (result >= 0)
		result = open_queue(carrier, DEMO_WORK, "work");
	if (result >= 0)
		result = open_queue(carrier, DEMO_RESULTS, "results");
	if (result < 0) {
		stoa_close(carrier);
		return result;
	}
	carrier->piece_max = DEMO_PIECE_MAX;
	snprintf(carrier->limits, sizeof(carrier->limits), "%u x %u KiB",
	         CAPACITY, DEMO_PIECE_MAX >> 10);
	return 0;
}

static void unpack(struct demo_parcel *parcel)
{
	parcel->header = parcel->message.data;
	parcel->data = (uint8_t *)(parcel->header + 1);
}

static int reserve(struct demo_channel *channel, size_t bytes,
                   struct demo_parcel *ret_parcel)
{
	int result = stoa_queue_reserve(channel->queue,
	                                sizeof(struct demo_header) + bytes,
	                                STOA_FOREVER, &ret_parcel->message);

	if (result >= 0)
		unpack(ret_parcel);
	return result;
}

static int commit(struct demo_channel *channel,
                  const struct demo_parcel *parcel)
{
	return stoa_queue_commit(channel->queue, &parcel->message);
}

static int take(struct demo_channel *channel, int wait,
                struct demo_parcel *ret_parcel)
{
	int result = stoa_queue_take(channel->queue, NULL,
	                             wait ? STOA_FOREVER : STOA_NOW,
	                             &ret_parcel->message);

	if (result < 0)
		return result;
	if (ret_parcel->message.bytes < sizeof(struct demo_header))
		return -EBADMSG;
	unpack(ret_parcel);
	return 0;
}

static int acknowledge(struct demo_channel *channel,
                       const struct demo_parcel *parcel)
{
	return stoa_queue_acknowledge(channel->queue, &parcel->message);
}

const struct demo_operations demo_stoa = {
	stoa_open, stoa_close, reserve, commit, take, acknowledge,
};
