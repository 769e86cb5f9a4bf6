/* SPDX-License-Identifier: MIT */
/* stoa's stream, driven as every other channel is. */
#include "drive.h"

#include <stoa/stoa.h>

static int stream_open(struct channel *channel)
{
	const struct bench_spec *spec = channel->spec;
	struct stoa_stream_attributes attributes = {
		.size = sizeof(attributes),
		.capacity = spec->depth * spec->bytes,
	};
	struct stoa_space *space;
	struct stoa_stream *stream;
	int result = stoa_space_open(bench_setup.space, 0, &space);

	if (result)
		return result;
	result = stoa_stream_open(space, channel->name,
	                          STOA_CREATE | STOA_EXCLUSIVE, 0600,
	                          &attributes, STOA_NOW, &stream);
	channel->shared = space;
	if (!result)
		channel->handle = stream;
	return result;
}

static int stream_attach(struct channel *channel, enum side side)
{
	struct stoa_space *space;
	struct stoa_stream *stream;
	int result = stoa_space_open(bench_setup.space, 0, &space);

	if (result)
		return result;
	result = stoa_stream_open(space, channel->name,
	                          side == SIDE_SEND ? STOA_WRITE : STOA_READ, 0,
	                          NULL, STOA_NOW, &stream);
	channel->shared = space;
	if (!result)
		channel->handle = stream;
	return result;
}

static void stream_close(struct channel *channel)
{
	stoa_stream_close(channel->handle);
	stoa_stream_unlink(channel->shared, channel->name);
	stoa_space_close(channel->shared);
}

static struct stoa_deadline deadline_of(const struct channel *channel)
{
	return channel->spec->sleeping ? STOA_FOREVER : STOA_NOW;
}

static ssize_t stream_send(struct channel *channel, const void *data,
                           size_t bytes)
{
	return stoa_stream_write(channel->handle, data, bytes,
	                         deadline_of(channel));
}

/* As a pipe's: a read may get less than one message. */
static ssize_t stream_receive(struct channel *channel, void *data,
                              size_t bytes)
{
	size_t got = 0;

	while (got < bytes) {
		ssize_t result = stoa_stream_read(channel->handle,
		                                  (char *)data + got,
		                                  bytes - got,
		                                  deadline_of(channel));

		if (result > 0)
			got += (size_t)result;
		else if (result == 0)
			return -EPIPE;
		else if (result != -EAGAIN || !got)
			return result;
	}
	return (ssize_t)got;
}

static ssize_t stream_reserve_and_commit(struct channel *channel,
                                         const void *data, size_t bytes)
{
	struct stoa_region region;
	int result = stoa_stream_reserve(channel->handle, bytes,
	                                 deadline_of(channel), &region);

	if (result)
		return result;
	memcpy(region.data, data, bytes);
	result = stoa_stream_commit(channel->handle, bytes);
	return result ? result : (ssize_t)bytes;
}

static ssize_t stream_peek_and_consume(struct channel *channel, void *data,
                                       size_t bytes)
{
	struct stoa_region region;
	ssize_t result = stoa_stream_peek(channel->handle, bytes,
	                                  deadline_of(channel), &region);

	if (result < (ssize_t)bytes)
		return result < 0 ? result : -EPIPE;
	memcpy(data, region.data, bytes);
	result = stoa_stream_consume(channel->handle, bytes);
	return result ? result : (ssize_t)bytes;
}

static const struct transport stream = { stream_open, stream_attach,
	                                 stream_send, stream_receive,
	                                 stream_close };
static const struct transport region = { stream_open, stream_attach,
	                                 stream_reserve_and_commit,
	                                 stream_peek_and_consume,
	                                 stream_close };

DRIVE_MEASURE_ONE_WAY(stream)
DRIVE_MEASURE_STREAM(stream)
DRIVE_MEASURE_PAIRS(stream)
DRIVE_MEASURE_STREAM(region)

#define ROW(name, what, base, group, unit, how, ...)                       \
	{                                                                  \
		name, what, base, group, BENCH_STOA, unit, how,            \
		{                                                          \
			__VA_ARGS__                                        \
		}                                                          \
	}

static const struct bench_row streams[] = {
	ROW("latency/stoa-stream", "stoa, stream", "latency/line",
	    BENCH_LATENCY, BENCH_UNIT_NS, stream_one_way, .bytes = 64,
	    .depth = 1024),
	ROW("rate64/stoa-stream", "stoa, stream", "rate64/ring",
	    BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, stream_stream, .bytes = 64,
	    .depth = 1024),
	ROW("rate64/stoa-stream-sleeping", "stoa, stream, may sleep",
	    "rate64/pipe-sleeping", BENCH_THROUGHPUT_64, BENCH_UNIT_RATE,
	    stream_stream, .bytes = 64, .depth = 1024, .sleeping = true),
	ROW("rate4k/stoa-stream", "stoa, stream of 256 KiB", "rate4k/ring",
	    BENCH_THROUGHPUT_4K, BENCH_UNIT_GB, stream_stream, .bytes = 4096,
	    .depth = 64),
	ROW("rate64k/stoa-stream", "stoa, stream of 256 KiB", "rate64k/ring",
	    BENCH_THROUGHPUT_64K, BENCH_UNIT_GB, stream_stream, .bytes = 65536,
	    .depth = 4, .sleeping = true),
	ROW("rate64k/stoa-stream-64k", "stoa, stream of 64 KiB",
	    "rate64k/pipe", BENCH_THROUGHPUT_64K, BENCH_UNIT_GB, stream_stream,
	    .bytes = 65536, .depth = 1, .sleeping = true),
	ROW("rate64k/stoa-region", "stoa, reserve and peek, 256 KiB",
	    "rate64k/ring", BENCH_THROUGHPUT_64K, BENCH_UNIT_GB, region_stream,
	    .bytes = 65536, .depth = 4, .sleeping = true),
	ROW("pair/stoa-stream", "stoa, stream", "pair/pipe", BENCH_PAIR,
	    BENCH_UNIT_NS, stream_pairs, .bytes = 64, .depth = 1024,
	    .alone = true),
	ROW("block2/stoa-stream", "stoa, stream", "block2/futex",
	    BENCH_BLOCK_TWO, BENCH_UNIT_NS, stream_one_way, .bytes = 64,
	    .depth = 1024, .hold_us = 200, .sleeping = true),
	ROW("block1/stoa-stream", "stoa, stream", "block1/futex",
	    BENCH_BLOCK_ONE, BENCH_UNIT_NS, stream_one_way, .bytes = 64,
	    .depth = 1024, .sleeping = true, .one_core = true),
};

BENCH_ADD(streams)
