/* SPDX-License-Identifier: MIT */
/* libqb's ring buffer: one sender, one receiver. */
#include "drive.h"

#include <qb/qbrb.h>

#define CHUNK_HEADER_BYTES 64 /* more than enough beside each message */

static int rb_open(struct channel *channel)
{
	const struct bench_spec *spec = channel->spec;
	uint32_t flags = QB_RB_FLAG_CREATE | QB_RB_FLAG_SHARED_PROCESS;

	if (!spec->sleeping)
		flags |= QB_RB_FLAG_NO_SEMAPHORE;
	channel->handle = qb_rb_open(channel->name, spec->depth *
	                             (spec->bytes + CHUNK_HEADER_BYTES),
	                             flags, 0);
	return channel->handle ? 0 : -errno;
}

static ssize_t rb_send(struct channel *channel, const void *data,
                       size_t bytes)
{
	return qb_rb_chunk_write(channel->handle, data, bytes);
}

static ssize_t rb_receive(struct channel *channel, void *data, size_t bytes)
{
	ssize_t result = qb_rb_chunk_read(channel->handle, data, bytes,
	                                  channel->spec->sleeping ? -1 : 0);

	return result == -ETIMEDOUT || result == 0 ? -EAGAIN : result;
}

static void rb_close(struct channel *channel)
{
	qb_rb_close(channel->handle);
}

static const struct transport ring_buffer = {
	rb_open, NULL, rb_send, rb_receive, rb_close
};

DRIVE_MEASURE_ONE_WAY(ring_buffer)
DRIVE_MEASURE_STREAM(ring_buffer)
DRIVE_MEASURE_PAIRS(ring_buffer)

#define ROW(name, base, group, unit, how, ...) \
	{ name, "libqb ringbuffer", base, group, BENCH_PEER, unit, \
	  ring_buffer_##how, { __VA_ARGS__ } }

static const struct bench_row peers_qb[] = {
	ROW("latency/qb", "latency/line", BENCH_LATENCY, BENCH_UNIT_NS,
	    one_way, .bytes = 64, .depth = 1024),
	ROW("rate64/qb", "rate64/ring", BENCH_THROUGHPUT_64, BENCH_UNIT_RATE,
	    stream, .bytes = 64, .depth = 1024),
	ROW("rate4k/qb", "rate4k/ring", BENCH_THROUGHPUT_4K, BENCH_UNIT_GB,
	    stream, .bytes = 4096, .depth = 64),
	ROW("rate1m/qb", "rate1m/ring", BENCH_THROUGHPUT_1M, BENCH_UNIT_GB,
	    stream, .bytes = 1048576, .depth = 4),
	ROW("pair/qb", "pair/ring", BENCH_PAIR, BENCH_UNIT_NS, pairs,
	    .bytes = 64, .depth = 1024, .alone = true),
	ROW("block2/qb", "block2/futex", BENCH_BLOCK_TWO, BENCH_UNIT_NS,
	    one_way, .bytes = 64, .depth = 1024, .hold_us = 200,
	    .sleeping = true),
	ROW("block1/qb", "block1/futex", BENCH_BLOCK_ONE, BENCH_UNIT_NS,
	    one_way, .bytes = 64, .depth = 1024, .sleeping = true,
	    .one_core = true),
};

BENCH_ADD(peers_qb)
