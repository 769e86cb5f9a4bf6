/* SPDX-License-Identifier: MIT */
/* stoa's queue, driven as every other channel is. */
#include "queue.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 32
#define STANDING_BYTES 64
#define PIECE_BYTES 4096

/* ---- The channel --------------------------------------------------------- */

static int open_handle(struct channel *channel, unsigned flags)
{
	const struct bench_spec *spec = channel->spec;
	size_t inline_bytes = STOA_QUEUE_INLINE;
	struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes),
		.order = (uint32_t)spec->order,
		.capacity = spec->depth + spec->standing + spec->room,
		.max_message_bytes = spec->bytes > inline_bytes ?
		                     spec->bytes : inline_bytes,
		.total_bytes = spec->bytes > inline_bytes ?
		               spec->depth * spec->bytes : PIECE_BYTES,
		.limit_bytes = spec->limited ? 16384 : 0,
	};
	struct stoa_space *space;
	struct stoa_queue *queue;
	int result = stoa_space_open(bench_setup.space, 0, &space);

	if (result)
		return result;
	result = stoa_queue_open(space, channel->name, flags, 0600,
	                         &attributes, &queue);
	if (!result)
		channel->handle = queue;
	channel->shared = space;
	return result;
}

static int put_standing(struct channel *channel)
{
	char data[STANDING_BYTES] = { 0 };
	struct stoa_message message = {
		.data = data, .bytes = sizeof(data),
		.type = QUEUE_STANDING_TYPE,
	};
	int result = 0;

	for (uint32_t i = 0; i < channel->spec->standing && !result; i++)
		result = stoa_queue_send_message(channel->handle, &message,
		                                 STOA_NOW);
	return result;
}

int queue_open(struct channel *channel)
{
	int result = open_handle(channel, STOA_READ | STOA_WRITE |
	                                  STOA_CREATE | STOA_EXCLUSIVE);

	return result ? result : put_standing(channel);
}

int queue_attach(struct channel *channel, enum side side)
{
	return open_handle(channel, side == SIDE_SEND ? STOA_WRITE :
	                                                STOA_READ);
}

void queue_close(struct channel *channel)
{
	stoa_queue_close(channel->handle);
	stoa_queue_unlink(channel->shared, channel->name);
	stoa_space_close(channel->shared);
}

int queue_fail(struct bench_part *part, int error)
{
	return bench_fail(part, error, stoa_last_error());
}

static ssize_t queue_send(struct channel *channel, const void *data,
                          size_t bytes)
{
	int result = stoa_queue_send(channel->handle, data, bytes,
	                             queue_deadline(channel));

	return result < 0 ? result : (ssize_t)bytes;
}

static ssize_t queue_receive(struct channel *channel, void *data,
                             size_t bytes)
{
	return stoa_queue_receive(channel->handle, NULL, data, bytes,
	                          queue_deadline(channel), NULL);
}

static ssize_t queue_send_ordered(struct channel *channel, const void *data,
                                  size_t bytes)
{
	struct stoa_message message = {
		.data = (void *)data, .bytes = bytes,
		.priority = channel->spec->order == STOA_PRIORITY ?
		            QUEUE_PING_PRIORITY : 0,
		.type = QUEUE_PING_TYPE,
	};
	int result = stoa_queue_send_message(channel->handle, &message,
	                                     queue_deadline(channel));

	return result < 0 ? result : (ssize_t)bytes;
}

static ssize_t queue_receive_ordered(struct channel *channel, void *data,
                                     size_t bytes)
{
	static const struct stoa_selector ping = {
		STOA_EXACTLY, QUEUE_PING_TYPE
	};

	return stoa_queue_receive(channel->handle,
	                          channel->spec->order == STOA_TYPE ?
	                          &ping : NULL, data, bytes,
	                          queue_deadline(channel), NULL);
}

static const struct transport fifo = {
	queue_open, queue_attach, queue_send, queue_receive, queue_close
};
static const struct transport ordered = {
	queue_open, queue_attach, queue_send_ordered, queue_receive_ordered,
	queue_close
};

DRIVE_MEASURE_ONE_WAY(fifo)
DRIVE_MEASURE_STREAM(fifo)
DRIVE_MEASURE_PAIRS(fifo)
DRIVE_MEASURE_MANY(fifo)
DRIVE_MEASURE_ONE_WAY(ordered)

/* ---- Batches ------------------------------------------------------------- */

static int send_batches(struct drive_stage *stage, struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	struct stoa_message batch[BATCH];
	char *data = drive_buffer(2 * BATCH * bytes);
	uint64_t end, stamp = 0;
	bool last;

	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		size_t count, sent = 0;

		last = bench_tick() >= end;
		for (count = 0; count < (last ? 1 : BATCH); count++) {
			char *at = data + (stamp++ % (2 * BATCH)) * bytes;

			drive_stamp(at, bytes, last ? DRIVE_END : stamp);
			batch[count] = (struct stoa_message){
				.data = at, .bytes = bytes
			};
		}
		while (sent < count) {
			int result = stoa_queue_send_many(
				stage->there.handle, batch + sent,
				count - sent, STOA_NOW);

			if (result < 0 && result != -EAGAIN)
				return queue_fail(part, result);
			if (result == -EAGAIN)
				bench_pause();
			else
				sent += (size_t)result;
		}
	} while (!last);
	return 0;
}

/* Whether the last message was among them. */
static bool read_batch(const struct stoa_message *batch, int count,
                       struct bench_part *part, uint64_t *stamp)
{
	for (int i = 0; i < count; i++) {
		uint64_t found = drive_read(batch[i].data, batch[i].bytes);

		if (found == DRIVE_END)
			return true;
		part->bad += found != ++*stamp;
	}
	return false;
}

static int receive_batches(struct drive_stage *stage, struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	struct stoa_message batch[BATCH] = { { .data = NULL } };
	char *data = drive_buffer(BATCH * bytes);
	uint64_t stamp = 0, begin = 0, warm_stamp = 0;
	int result;

	for (int i = 0; i < BATCH; i++) {
		batch[i].data = data + (size_t)i * bytes;
		batch[i].buffer_bytes = bytes;
	}
	bench_ready();
	do {
		while ((result = stoa_queue_receive_many(
				stage->there.handle, NULL, batch, BATCH,
				STOA_NOW)) == -EAGAIN)
			bench_pause();
		if (result < 0)
			return queue_fail(part, result);
		if (!begin && stamp > 2 * stage->row->spec.depth) {
			begin = bench_tick();
			warm_stamp = stamp + (uint64_t)result;
		}
	} while (!read_batch(batch, result, part, &stamp));
	part->ticks = bench_tick() - begin;
	part->messages = stamp - warm_stamp;
	return begin ? 0 : bench_fail(part, -ETIME, "too few messages");
}

static int batch_play(void *context, struct bench_part *part, int index)
{
	struct drive_stage *stage = context;
	int result = queue_attach(&stage->there,
	                          index ? SIDE_RECEIVE : SIDE_SEND);

	if (result)
		return queue_fail(part, result);
	return index ? receive_batches(stage, part) :
	               send_batches(stage, part);
}

static int batch_stream(const struct bench_row *row,
                        struct bench_result *result)
{
	return drive_run(row, &fifo, DRIVE_STREAM, batch_play, result);
}

/* ---- The same with constant tokens --------------------------------------- */

/* Runs one row once in the program that was linked to the other build. */
static int twin(const struct bench_row *row, struct bench_result *result)
{
	char command[512];
	FILE *pipe;
	int got;

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	snprintf(command, sizeof(command),
	         "exec '%s/stoa-bench-constant-token' --once %s "
	         "--cores %d,%d%s", bench_setup.directory, row->spec.twin,
	         bench_setup.core[0], bench_setup.core[1],
	         bench_setup.quick ? " --quick" : "");
	pipe = popen(command, "re");
	if (!pipe)
		return bench_fail(bench_shared->part, -errno, "popen");
	got = fscanf(pipe, "%lf %lf %lf %lf %lf %u", &result->value,
	             &result->p99, &result->p999, &result->cpu_ns,
	             &result->gap_ms, &result->marks);
	if (pclose(pipe) || got != 6)
		return bench_fail(bench_shared->part, -ECHILD,
		                  "the build with constant tokens failed");
	return 0;
}

/* ---- Rows ---------------------------------------------------------------- */

#define ROW(name, what, base, group, unit, how, ...) \
	{ name, what, base, group, BENCH_STOA, unit, how, { __VA_ARGS__ } }

static const struct bench_row queue[] = {
	ROW("latency/stoa-fifo", "stoa, FIFO", "latency/line",
	    BENCH_LATENCY, BENCH_UNIT_NS, fifo_one_way,
	    .bytes = 64, .depth = 1024),
	ROW("latency/stoa-constant", "stoa, FIFO, constant tokens",
	    "latency/stoa-fifo", BENCH_LATENCY, BENCH_UNIT_NS, twin,
	    .bytes = 64, .twin = "latency/stoa-fifo"),
	ROW("latency/stoa-waiting", "stoa, FIFO, default waiting",
	    "latency/line", BENCH_LATENCY, BENCH_UNIT_NS, fifo_one_way,
	    .bytes = 64, .depth = 1024, .sleeping = true),
	/* Nothing may lie there: it would be received while none else is. */
	ROW("latency/stoa-priority", "stoa, by priority",
	    "latency/line", BENCH_LATENCY, BENCH_UNIT_NS, ordered_one_way,
	    .bytes = 64, .depth = 1024, .order = STOA_PRIORITY),
	ROW("latency/stoa-type", "stoa, by type, depth 10",
	    "latency/line", BENCH_LATENCY, BENCH_UNIT_NS, ordered_one_way,
	    .bytes = 64, .depth = 1024, .standing = 10, .order = STOA_TYPE),
	ROW("rate64/stoa-fifo", "stoa", "rate64/ring",
	    BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, fifo_stream,
	    .bytes = 64, .depth = 1024),
	ROW("rate64/stoa-constant", "stoa, constant tokens",
	    "rate64/stoa-fifo", BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, twin,
	    .bytes = 64, .twin = "rate64/stoa-fifo"),
	ROW("rate64/stoa-sleeping", "stoa, who waits may sleep",
	    "rate64/stoa-fifo", BENCH_THROUGHPUT_64, BENCH_UNIT_RATE,
	    fifo_stream, .bytes = 64, .depth = 1024, .sleeping = true),
	ROW("rate64/stoa-batch", "stoa, batches of 32", "rate64/ring",
	    BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, batch_stream,
	    .bytes = 64, .depth = 1024),
	ROW("rate64/stoa-backlog", "stoa, receiver backs off", "rate64/ring",
	    BENCH_THROUGHPUT_64, BENCH_UNIT_RATE, fifo_stream,
	    .bytes = 64, .depth = 1024, .back_off = 48),
	ROW("rate4k/stoa", "stoa, 256 KiB", "rate4k/ring",
	    BENCH_THROUGHPUT_4K, BENCH_UNIT_GB, fifo_stream,
	    .bytes = 4096, .depth = 64),
	ROW("rate4k/stoa-deep", "stoa, 4 MiB", "rate4k/ring-deep",
	    BENCH_THROUGHPUT_4K, BENCH_UNIT_GB, fifo_stream,
	    .bytes = 4096, .depth = 1024),
	ROW("rate1m/stoa", "stoa, 4 MiB", "rate1m/ring",
	    BENCH_THROUGHPUT_1M, BENCH_UNIT_GB, fifo_stream,
	    .bytes = 1048576, .depth = 4),
	ROW("pair/stoa", "stoa", "pair/mq", BENCH_PAIR, BENCH_UNIT_NS,
	    fifo_pairs, .bytes = 64, .depth = 1024, .alone = true),
	ROW("pair/stoa-type", "stoa, by type, 16,384 places", "pair/mq",
	    BENCH_PAIR, BENCH_UNIT_NS, fifo_pairs, .bytes = 64,
	    .depth = 16384, .alone = true, .order = STOA_TYPE),
	ROW("pair/stoa-limited", "stoa, the same with a limit",
	    "pair/stoa-type", BENCH_PAIR, BENCH_UNIT_NS, fifo_pairs,
	    .bytes = 64, .depth = 16384, .alone = true, .order = STOA_TYPE,
	    .limited = true),
	ROW("pair/stoa-constant", "stoa, constant tokens", "pair/stoa",
	    BENCH_PAIR, BENCH_UNIT_NS, twin,
	    .bytes = 64, .alone = true, .twin = "pair/stoa"),
	ROW("block2/stoa", "stoa", "block2/futex",
	    BENCH_BLOCK_TWO, BENCH_UNIT_NS, fifo_one_way,
	    .bytes = 64, .depth = 1024, .hold_us = 200, .sleeping = true),
	ROW("block1/stoa", "stoa", "block1/futex",
	    BENCH_BLOCK_ONE, BENCH_UNIT_NS, fifo_one_way,
	    .bytes = 64, .depth = 1024, .sleeping = true, .one_core = true),
	ROW("many/stoa", "stoa", "many/mq", BENCH_MANY, BENCH_UNIT_RATE,
	    fifo_many, .bytes = 64, .depth = 1024, .sleeping = true,
	    .crowded = true),
};

BENCH_ADD(queue)
