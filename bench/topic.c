/* SPDX-License-Identifier: MIT */
/* stoa's topic: driven as every other channel is; loaned; and what a publish
 * costs with nobody, one and eight there to see it. */
#include "drive.h"

#include <stoa/stoa.h>

#define PUBLISH_MS 60
#define PUBLISH_BATCH 64
#define SPARE_SLOTS 4

/* ---- The channel --------------------------------------------------------- */

static int topic_handle(struct channel *channel, unsigned flags,
                        uint32_t overrun)
{
	const struct bench_spec *spec = channel->spec;
	struct stoa_topic_attributes attributes = {
		.size = sizeof(attributes),
		.overrun = overrun,
		.capacity = spec->depth,
		.max_message_bytes = spec->bytes,
		.total_bytes = spec->bytes > STOA_TOPIC_INLINE ?
		               (spec->depth + SPARE_SLOTS) * spec->bytes : 0,
	};
	struct stoa_space *space;
	struct stoa_topic *topic;
	int result = stoa_space_open(bench_setup.space, 0, &space);

	if (result)
		return result;
	result = stoa_topic_open(space, channel->name, flags, 0600, &attributes,
	                         &topic);
	channel->shared = space;
	if (!result)
		channel->handle = topic;
	return result;
}

static int topic_open(struct channel *channel)
{
	return topic_handle(channel, STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE,
	                    STOA_TOPIC_WAIT);
}

static int topic_attach(struct channel *channel, enum side side)
{
	return topic_handle(channel, side == SIDE_SEND ? STOA_WRITE : STOA_READ,
	                    STOA_TOPIC_WAIT);
}

static void topic_close(struct channel *channel)
{
	stoa_topic_close(channel->handle);
	stoa_topic_unlink(channel->shared, channel->name);
	stoa_space_close(channel->shared);
}

static struct stoa_deadline deadline_of(const struct channel *channel)
{
	return channel->spec->sleeping ? STOA_FOREVER : STOA_NOW;
}

static ssize_t topic_send(struct channel *channel, const void *data,
                          size_t bytes)
{
	int result = stoa_topic_publish(channel->handle, data, bytes,
	                                deadline_of(channel));

	return result < 0 ? result : (ssize_t)bytes;
}

static ssize_t topic_receive(struct channel *channel, void *data, size_t bytes)
{
	return stoa_topic_receive(channel->handle, data, bytes,
	                          deadline_of(channel), NULL);
}

static ssize_t hand_over(struct channel *channel, const void *data,
                         size_t bytes)
{
	struct stoa_topic_message message;
	int result = stoa_topic_reserve(channel->handle, bytes, STOA_NOW,
	                                &message);

	if (result)
		return result;
	drive_stamp(message.data, bytes, drive_read(data, bytes));
	while ((result = stoa_topic_commit(channel->handle, &message,
	                                   STOA_NOW)) == -EAGAIN)
		bench_pause();
	return result ? result : (ssize_t)bytes;
}

static ssize_t take_over(struct channel *channel, void *data, size_t bytes)
{
	struct stoa_topic_message message;
	int result = stoa_topic_take(channel->handle, STOA_NOW, &message);

	if (result)
		return result;
	drive_stamp(data, bytes, drive_read(message.data, message.bytes));
	result = stoa_topic_release(channel->handle, &message);
	return result ? result : (ssize_t)bytes;
}

static const struct transport topic = {
	topic_open, topic_attach, topic_send, topic_receive, topic_close
};
static const struct transport loaned = {
	topic_open, topic_attach, hand_over, take_over, topic_close
};

DRIVE_MEASURE_ONE_WAY(topic)
DRIVE_MEASURE_STREAM(topic)
DRIVE_MEASURE_PAIRS(topic)
DRIVE_MEASURE_ONE_WAY(loaned)

/* ---- One publisher, some subscribers ------------------------------------- */

/* Over its own time: the subscribers are on the other core, and too slow. */
static int publish(struct drive_stage *stage, struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	uint64_t end, last, stamp = 0, samples = 0;
	struct drive_source source;

	if (drive_source_open(&source, bytes))
		return bench_fail(part, -ENOMEM, "buffers");
	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		uint64_t first = bench_tick();

		for (int i = 0; i < PUBLISH_BATCH; i++) {
			const void *data = drive_next(&source, ++stamp);
			int result = stoa_topic_publish(stage->there.handle,
			                                data, bytes, STOA_NOW);

			if (result)
				return bench_fail(part, result, "publish");
		}
		last = bench_tick();
		bench_shared->sample[samples++] = (uint32_t)(last - first);
	} while (last < end && samples < BENCH_SAMPLES);
	bench_shared->samples = (uint32_t)samples;
	part->messages = stamp;
	char done[64] = { 0 };
	drive_stamp(done, bytes, DRIVE_END);
	return stoa_topic_publish(stage->there.handle, done, bytes, STOA_NOW);
}

static int subscribe(struct drive_stage *stage, struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	char data[64];

	bench_ready();
	for (;;) {
		ssize_t result = topic_receive(&stage->there, data, bytes);
		uint64_t stamp;

		if (result == -EAGAIN) {
			bench_pause();
			continue;
		}
		if (result < 0)
			return bench_fail(part, (int)result, "receive");
		stamp = drive_read(data, bytes);
		part->bad += stamp == 0;
		if (stamp == DRIVE_END)
			return 0;
	}
}

static int fan_play(void *context, struct bench_part *part, int index)
{
	struct drive_stage *stage = context;
	int result = topic_handle(&stage->there,
	                          index ? STOA_READ : STOA_WRITE, 0);

	if (result)
		return bench_fail(part, result, "attach");
	return index ? subscribe(stage, part) : publish(stage, part);
}

static int fan(const struct bench_row *row, struct bench_result *result)
{
	struct bench_role roles[BENCH_PROCESSES];
	struct drive_stage stage = { .row = row };
	int subscribers = (int)row->spec.standing, failure;

	for (int i = 0; i <= subscribers; i++)
		roles[i] = (struct bench_role){ i > 0, fan_play };
	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	stage.duration = bench_duration_ticks(PUBLISH_MS);
	stage.there.spec = &row->spec;
	snprintf(stage.there.name, sizeof(stage.there.name), "bench-fan");
	failure = topic_handle(&stage.there,
	                       STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE,
	                       STOA_TOPIC_OVERWRITE);
	if (failure)
		return bench_fail(bench_shared->part, failure,
		                  stoa_last_error());
	failure = bench_play(roles, subscribers + 1, &stage);
	if (!failure) {
		bench_percentiles(result, PUBLISH_BATCH);
		bench_account(row, subscribers + 1,
		              (double)bench_shared->part[0].messages, result);
	}
	topic_close(&stage.there);
	return failure;
}

/* ---- Rows ---------------------------------------------------------------- */

#define ROW(name, what, base, group, unit, how, ...) \
	{ name, what, base, group, BENCH_STOA, unit, how, { __VA_ARGS__ } }

static const struct bench_row topics[] = {
	ROW("latency/stoa-topic", "stoa, topic", "latency/line",
	    BENCH_LATENCY, BENCH_UNIT_NS, topic_one_way,
	    .bytes = 64, .depth = 1024),
	ROW("latency/stoa-topic-loan-64", "stoa, topic, loaned",
	    "latency/stoa-topic", BENCH_LATENCY, BENCH_UNIT_NS,
	    loaned_one_way, .bytes = 64, .depth = 16),
	ROW("latency/stoa-topic-loan-1m", "stoa, topic, 1 MiB loaned",
	    "latency/stoa-topic", BENCH_LATENCY, BENCH_UNIT_NS,
	    loaned_one_way, .bytes = 1048576, .depth = 16),
	ROW("rate64/stoa-topic", "stoa, topic", "rate64/ring",
	    BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, topic_stream,
	    .bytes = 64, .depth = 1024),
	ROW("rate64/stoa-topic-sleeping", "stoa, topic, may sleep",
	    "rate64/stoa-topic", BENCH_THROUGHPUT_64, BENCH_UNIT_RATE,
	    topic_stream, .bytes = 64, .depth = 1024, .sleeping = true),
	ROW("rate64/stoa-topic-backlog", "stoa, topic, receiver backs off",
	    "rate64/ring", BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, topic_stream,
	    .bytes = 64, .depth = 1024, .back_off = 48),
	ROW("rate4k/stoa-topic", "stoa, topic of 256 KiB", "rate4k/ring",
	    BENCH_THROUGHPUT_4K, BENCH_UNIT_GB, topic_stream,
	    .bytes = 4096, .depth = 64),
	ROW("rate1m/stoa-topic", "stoa, topic of 4 MiB", "rate1m/ring",
	    BENCH_THROUGHPUT_1M, BENCH_UNIT_GB, topic_stream,
	    .bytes = 1048576, .depth = 4),
	ROW("pair/stoa-topic", "stoa, topic", "pair/mq", BENCH_PAIR,
	    BENCH_UNIT_NS, topic_pairs, .bytes = 64, .depth = 1024,
	    .alone = true),
	ROW("block2/stoa-topic", "stoa, topic", "block2/futex",
	    BENCH_BLOCK_TWO, BENCH_UNIT_NS, topic_one_way, .bytes = 64,
	    .depth = 1024, .hold_us = 200, .sleeping = true),
	ROW("block1/stoa-topic", "stoa, topic", "block1/futex",
	    BENCH_BLOCK_ONE, BENCH_UNIT_NS, topic_one_way, .bytes = 64,
	    .depth = 1024, .sleeping = true, .one_core = true),
	ROW("topic/publish-0", "nobody subscribes", NULL, BENCH_TOPIC,
	    BENCH_UNIT_NS, fan, .bytes = 64, .depth = 1024, .standing = 0),
	ROW("topic/publish-1", "1 subscriber", "topic/publish-0", BENCH_TOPIC,
	    BENCH_UNIT_NS, fan, .bytes = 64, .depth = 1024, .standing = 1),
	ROW("topic/publish-8", "8 subscribers", "topic/publish-1", BENCH_TOPIC,
	    BENCH_UNIT_NS, fan, .bytes = 64, .depth = 1024, .standing = 8,
	    .crowded = true),
};

BENCH_ADD(topics)
