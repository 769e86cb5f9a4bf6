/* SPDX-License-Identifier: MIT */
/* The rows of Boost's message queue. */
#include "drive.h"
#include "peers_boost.h"

static int boost_open(struct channel *channel)
{
	channel->handle = boost_queue_open(channel->name,
	                                   channel->spec->depth,
	                                   channel->spec->bytes);
	return channel->handle ? 0 : -EIO;
}

static ssize_t boost_send(struct channel *channel, const void *data,
                          size_t bytes)
{
	return boost_queue_send(channel->handle, data, bytes,
	                        channel->spec->sleeping);
}

static ssize_t boost_receive(struct channel *channel, void *data,
                             size_t bytes)
{
	return boost_queue_receive(channel->handle, data, bytes,
	                           channel->spec->sleeping);
}

static void boost_close(struct channel *channel)
{
	boost_queue_close(channel->handle, channel->name);
}

static const struct transport boost = {
	boost_open, NULL, boost_send, boost_receive, boost_close
};

DRIVE_MEASURE_ONE_WAY(boost)
DRIVE_MEASURE_STREAM(boost)
DRIVE_MEASURE_PAIRS(boost)
DRIVE_MEASURE_MANY(boost)

#define ROW(name, base, group, unit, how, ...) \
	{ name, "Boost message_queue", base, group, BENCH_PEER, unit, \
	  boost_##how, { __VA_ARGS__ } }

static const struct bench_row peers_boost[] = {
	ROW("latency/boost", "latency/line", BENCH_LATENCY, BENCH_UNIT_NS,
	    one_way, .bytes = 64, .depth = 1024),
	ROW("rate64/boost", "rate64/ring", BENCH_THROUGHPUT_64,
	    BENCH_UNIT_RATE, stream, .bytes = 64, .depth = 1024),
	ROW("rate4k/boost", "rate4k/ring", BENCH_THROUGHPUT_4K,
	    BENCH_UNIT_GB, stream, .bytes = 4096, .depth = 64),
	ROW("rate1m/boost", "rate1m/ring", BENCH_THROUGHPUT_1M,
	    BENCH_UNIT_GB, stream, .bytes = 1048576, .depth = 4),
	ROW("pair/boost", "pair/ring", BENCH_PAIR, BENCH_UNIT_NS, pairs,
	    .bytes = 64, .depth = 1024, .alone = true),
	ROW("block2/boost", "block2/futex", BENCH_BLOCK_TWO, BENCH_UNIT_NS,
	    one_way, .bytes = 64, .depth = 1024, .hold_us = 200,
	    .sleeping = true),
	ROW("block1/boost", "block1/futex", BENCH_BLOCK_ONE, BENCH_UNIT_NS,
	    one_way, .bytes = 64, .depth = 1024, .sleeping = true,
	    .one_core = true),
	ROW("many/boost", "many/mq", BENCH_MANY, BENCH_UNIT_RATE, many,
	    .bytes = 64, .depth = 1024, .sleeping = true, .crowded = true),
};

BENCH_ADD(peers_boost)
