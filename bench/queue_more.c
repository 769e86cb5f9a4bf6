/* SPDX-License-Identifier: MIT */
/*
 * What only stoa's queue has: zero copy, receiving by priority or type from
 * a deep queue, and what a receiver costs that waits in vain.
 */
#include "queue.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TAKE_MS 60
#define TAKE_BATCH 4
#define DEPTH_MS 100
#define DEPTH_BATCH 8
#define DEPTH_DEEP 100000
#define DEPTH_SHALLOW 10
#define TYPES_DEEP 1000
#define SEED 0x9e3779b97f4a7c15u
#define IDLE_SECONDS 10
#define IDLE_SECONDS_QUICK 2

/* ---- Zero copy ----------------------------------------------------------- */

/* Puts a batch in without writing more than its stamps. */
static int fill_batch(struct stoa_queue *queue, size_t bytes)
{
	for (int i = 0; i < TAKE_BATCH; i++) {
		struct stoa_message message;
		int result = stoa_queue_reserve(queue, bytes, STOA_NOW,
		                                &message);

		if (result)
			return result;
		drive_stamp(message.data, bytes, (uint64_t)i + 1);
		result = stoa_queue_commit(queue, &message);
		if (result)
			return result;
	}
	return 0;
}

/* One batch taken, and then acknowledged outside the time. */
static int take_batch(struct stoa_queue *queue, struct bench_part *part,
                      uint32_t *ticks)
{
	struct stoa_message message[TAKE_BATCH];
	uint64_t first = bench_tick();
	int result = 0;

	for (int i = 0; i < TAKE_BATCH && !result; i++)
		result = stoa_queue_take(queue, NULL, STOA_NOW, &message[i]);
	*ticks = (uint32_t)(bench_tick() - first);
	for (int i = 0; i < TAKE_BATCH && !result; i++) {
		part->bad += drive_read(message[i].data, message[i].bytes) !=
		             (uint64_t)i + 1;
		result = stoa_queue_acknowledge(queue, &message[i]);
	}
	return result;
}

static int take_play(void *context, struct bench_part *part, int index)
{
	struct drive_stage *stage = context;
	struct stoa_queue *queue = stage->there.handle;
	uint64_t end = bench_tick() + stage->duration;
	uint32_t samples = 0;

	bench_ready();
	do {
		int result = fill_batch(queue, stage->row->spec.bytes);

		if (!result)
			result = take_batch(queue, part,
			                    &bench_shared->sample[samples++]);
		if (result)
			return queue_fail(part, result);
	} while (bench_tick() < end && samples < BENCH_SAMPLES);
	part->messages = samples * TAKE_BATCH;
	bench_shared->samples = samples;
	return index;
}

/* Runs one process on a queue of the row's geometry. */
static int alone(const struct bench_row *row, unsigned int ms, double per,
                 int (*play)(void *, struct bench_part *, int),
                 struct bench_result *result)
{
	struct drive_stage stage = { .row = row };
	struct bench_role role = { 0, play };
	int failure;

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	stage.duration = bench_duration_ticks(ms);
	stage.there.spec = &row->spec;
	snprintf(stage.there.name, sizeof(stage.there.name), "bench-alone");
	failure = queue_open(&stage.there);
	if (failure)
		return queue_fail(bench_shared->part, failure);
	failure = bench_play(&role, 1, &stage);
	if (!failure) {
		bench_percentiles(result, per);
		bench_account(row, 1, (double)bench_shared->part[0].messages,
		              result);
	}
	queue_close(&stage.there);
	return failure;
}

static int take(const struct bench_row *row, struct bench_result *result)
{
	return alone(row, TAKE_MS, TAKE_BATCH, take_play, result);
}

static ssize_t hand_over(struct channel *channel, const void *data,
                         size_t bytes)
{
	struct stoa_message message;
	int result = stoa_queue_reserve(channel->handle, bytes, STOA_NOW,
	                                &message);

	if (result)
		return result;
	drive_stamp(message.data, bytes, drive_read(data, bytes));
	result = stoa_queue_commit(channel->handle, &message);
	return result ? result : (ssize_t)bytes;
}

static ssize_t take_over(struct channel *channel, void *data, size_t bytes)
{
	struct stoa_message message;
	int result = stoa_queue_take(channel->handle, NULL, STOA_NOW,
	                             &message);

	if (result)
		return result;
	drive_stamp(data, bytes, drive_read(message.data, message.bytes));
	result = stoa_queue_acknowledge(channel->handle, &message);
	return result ? result : (ssize_t)bytes;
}

static const struct transport loan = {
	queue_open, queue_attach, hand_over, take_over, queue_close
};

DRIVE_MEASURE_STREAM(loan)

/* ---- Depth --------------------------------------------------------------- */

struct depth {
	struct stoa_queue *queue;
	struct bench_part *part;
	const struct bench_spec *spec;
	uint64_t random;
	uint64_t types;
	char data[64];
};

static uint64_t next_random(struct depth *depth)
{
	depth->random ^= depth->random << 13;
	depth->random ^= depth->random >> 7;
	depth->random ^= depth->random << 17;
	return depth->random;
}

static int put(struct depth *depth, uint32_t priority, int64_t type)
{
	struct stoa_message message = {
		.data = depth->data, .bytes = sizeof(depth->data),
		.priority = priority, .type = type,
	};

	return stoa_queue_send_message(depth->queue, &message, STOA_NOW);
}

static uint32_t random_priority(struct depth *depth)
{
	return (uint32_t)(next_random(depth) % STOA_QUEUE_PRIORITIES);
}

/* As many of each type as of any other; priorities at random. */
static int fill_depth(struct depth *depth)
{
	int result = 0;

	for (uint64_t i = 0; i < depth->spec->depth && !result; i++)
		result = depth->spec->order == STOA_PRIORITY ?
		         put(depth, random_priority(depth), 0) :
		         put(depth, 0, (int64_t)(i % depth->types) + 1);
	return result;
}

/* Receives a batch, timed, and puts the same kinds back. */
static int depth_batch(struct depth *depth, uint32_t *ticks)
{
	struct stoa_selector selector[DEPTH_BATCH];
	struct stoa_message message[DEPTH_BATCH];
	bool by_type = depth->spec->order == STOA_TYPE;
	uint64_t start = next_random(depth), first;
	ssize_t result = 0;

	for (uint64_t i = 0; i < DEPTH_BATCH; i++) {
		selector[i].selection =
			(enum stoa_selection)depth->spec->selection;
		selector[i].type = depth->spec->selection == STOA_LOWEST ?
		                   (int64_t)depth->types :
		                   (int64_t)((start + i) % depth->types) + 1;
	}
	first = bench_tick();
	for (int i = 0; i < DEPTH_BATCH && result >= 0; i++)
		result = stoa_queue_receive(depth->queue,
		                            by_type ? &selector[i] : NULL,
		                            depth->data, sizeof(depth->data),
		                            STOA_NOW, &message[i]);
	*ticks = (uint32_t)(bench_tick() - first);
	for (int i = 0; i < DEPTH_BATCH && result >= 0; i++)
		result = by_type ? put(depth, 0, message[i].type) :
		         put(depth, random_priority(depth), 0);
	return result < 0 ? (int)result : 0;
}

static int depth_play(void *context, struct bench_part *part, int index)
{
	struct drive_stage *stage = context;
	struct depth depth = {
		.queue = stage->there.handle, .part = part,
		.spec = &stage->row->spec, .random = SEED,
	};
	uint32_t samples = 0;
	uint64_t end;
	int result;

	depth.types = depth.spec->depth > TYPES_DEEP ? TYPES_DEEP :
	                                               depth.spec->depth;
	result = fill_depth(&depth);
	if (!result) /* the first receive makes the index */
		result = depth_batch(&depth, &bench_shared->sample[0]);
	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		if (!result)
			result = depth_batch(&depth,
			                     &bench_shared->sample[samples++]);
		if (result)
			return queue_fail(part, result);
	} while (bench_tick() < end && samples < BENCH_SAMPLES);
	part->messages = samples * DEPTH_BATCH;
	bench_shared->samples = samples;
	return index;
}

static int depth_measure(const struct bench_row *row,
                         struct bench_result *result)
{
	return alone(row, DEPTH_MS, DEPTH_BATCH, depth_play, result);
}

/* ---- Idle ---------------------------------------------------------------- */

static uint64_t cpu_ns_so_far(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * BENCH_NS + (uint64_t)used.tv_nsec;
}

/* The first waits; the second sends after all the time has passed. */
static int idle_play(void *context, struct bench_part *part, int index)
{
	struct drive_stage *stage = context;
	struct channel *channel = &stage->there;
	uint64_t begin, cpu_begin;
	char data[64] = { 0 };
	ssize_t result = queue_attach(channel, index ? SIDE_SEND :
	                                               SIDE_RECEIVE);

	if (result)
		return queue_fail(part, (int)result);
	bench_ready();
	if (index) {
		sleep(bench_setup.quick ? IDLE_SECONDS_QUICK : IDLE_SECONDS);
		result = stoa_queue_send(channel->handle, data, sizeof(data),
		                         STOA_FOREVER);
		return result < 0 ? queue_fail(part, (int)result) : 0;
	}
	begin = bench_tick();
	cpu_begin = cpu_ns_so_far();
	result = stoa_queue_receive(channel->handle, NULL, data, sizeof(data),
	                            STOA_FOREVER, NULL);
	part->messages = cpu_ns_so_far() - cpu_begin;
	part->ticks = bench_tick() - begin;
	return result < 0 ? queue_fail(part, (int)result) : 0;
}

static int idle(const struct bench_row *row, struct bench_result *result)
{
	static const struct bench_role roles[] = {
		{ 0, idle_play }, { 1, idle_play }
	};
	struct drive_stage stage = { .row = row };
	const struct bench_part *part = bench_shared->part;
	int failure;

	stage.there.spec = &row->spec;
	snprintf(stage.there.name, sizeof(stage.there.name), "bench-idle");
	failure = queue_open(&stage.there);
	if (failure)
		return queue_fail(bench_shared->part, failure);
	failure = bench_play(roles, 2, &stage);
	queue_close(&stage.there);
	if (!failure)
		result->value = 100 * (double)part[0].messages /
		                bench_to_ns((double)part[0].ticks);
	return failure;
}

/* ---- Rows ---------------------------------------------------------------- */

#define ROW(name, what, base, group, unit, how, ...) \
	{ name, what, base, group, BENCH_STOA, unit, how, { __VA_ARGS__ } }
#define DEPTH_PAIR(name, what, ...) \
	ROW("depth/" name "-10", what ", depth 10", NULL, BENCH_DEPTH, \
	    BENCH_UNIT_NS, depth_measure, .bytes = 64, .alone = true, \
	    .depth = DEPTH_SHALLOW, .room = DEPTH_SHALLOW, __VA_ARGS__), \
	ROW("depth/" name "-100000", what ", depth 100,000", \
	    "depth/" name "-10", BENCH_DEPTH, BENCH_UNIT_NS, depth_measure, \
	    .bytes = 64, .alone = true, .depth = DEPTH_DEEP, \
	    .room = DEPTH_DEEP, __VA_ARGS__)

static const struct bench_row queue_more[] = {
	ROW("take/stoa-64", "take, 64 B", NULL, BENCH_TAKE, BENCH_UNIT_NS,
	    take, .bytes = 64, .depth = 8, .alone = true),
	ROW("take/stoa-16k", "take, 16 KiB", "take/stoa-64", BENCH_TAKE,
	    BENCH_UNIT_NS, take, .bytes = 16384, .depth = 8, .alone = true),
	ROW("take/stoa-1m", "take, 1 MiB", "take/stoa-64", BENCH_TAKE,
	    BENCH_UNIT_NS, take, .bytes = 1048576, .depth = 8,
	    .alone = true),
	ROW("take/handoff-64", "handoffs, 64 B", NULL, BENCH_TAKE,
	    BENCH_UNIT_RATE, loan_stream, .bytes = 64, .depth = 64),
	ROW("take/handoff-1m", "handoffs, 1 MiB untouched",
	    "take/handoff-64", BENCH_TAKE, BENCH_UNIT_RATE, loan_stream,
	    .bytes = 1048576, .depth = 16),
	DEPTH_PAIR("priority", "by priority", .order = STOA_PRIORITY),
	DEPTH_PAIR("exactly", "one type", .order = STOA_TYPE,
	           .selection = STOA_EXACTLY),
	DEPTH_PAIR("lowest", "lowest type", .order = STOA_TYPE,
	           .selection = STOA_LOWEST),
	ROW("depth/priority-full", "by priority, depth 10,000, full",
	    "depth/priority-10", BENCH_DEPTH, BENCH_UNIT_NS, depth_measure,
	    .bytes = 64, .alone = true, .depth = 10000,
	    .order = STOA_PRIORITY),
	ROW("idle/stoa", "stoa", NULL, BENCH_IDLE, BENCH_UNIT_PERCENT, idle,
	    .bytes = 64, .depth = 16, .sleeping = true, .alone = true,
	    .once = true),
};

BENCH_ADD(queue_more)
