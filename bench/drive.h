/* SPDX-License-Identifier: MIT */
/*
 * What every channel is driven by: one way and back, a stream one to one,
 * send and receive in one process, many to many. Always inlined, so that a
 * channel given as a constant (the floors') costs no indirect call.
 *
 * The work is the same everywhere: the producer copies all bytes from a
 * private buffer, the consumer copies all out; each message carries a stamp
 * at its head and at its tail, which are checked.
 */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include "harness.h"

#include <stdlib.h>

#define DRIVE_END UINT64_MAX      /* the stamp of the last message */
#define DRIVE_PAIRS 16            /* send and receive pairs in one sample */
#define DRIVE_MESSAGES_A_LOOK 64  /* between two looks at the clock */
#define DRIVE_LARGE 4096          /* from here on: a look at each message */
#define DRIVE_POLLED_MS 100
#define DRIVE_BLOCKED_MS 300
#define DRIVE_STREAM_MS 150
#define DRIVE_PAIR_MS 60
#define DRIVE_MANY_MS 900
#define DRIVE_MANY 4              /* senders, and as many receivers */
/* A blocking row whose processes slept in fewer than this share of the round
 * trips did not measure sleeping. */
#define DRIVE_ASLEEP 0.9

#define DRIVE_INLINE static inline __attribute__((always_inline))

/* One direction, as one process sees it; copied by fork. */
struct channel {
	const struct bench_spec *spec;
	char name[48];
	int fd[2];
	void *shared;
	void *handle;
	uint64_t position; /* private: next index, the peer's as last seen */
	uint64_t seen;
};

enum side { SIDE_SEND, SIDE_RECEIVE };

/* send and receive return the bytes, -EAGAIN if they would wait and the
 * channel isn't a sleeping one, or what else went wrong. */
struct transport {
	int (*open)(struct channel *channel);   /* before the fork */
	int (*attach)(struct channel *channel, enum side side); /* after */
	ssize_t (*send)(struct channel *channel, const void *data,
	                size_t bytes);
	ssize_t (*receive)(struct channel *channel, void *data, size_t bytes);
	void (*close)(struct channel *channel); /* where it was opened */
};

struct drive_stage {
	const struct bench_row *row;
	const struct transport *transport;
	struct channel there, back;
	uint64_t duration;
};

DRIVE_INLINE void drive_stamp(void *data, size_t bytes, uint64_t stamp)
{
	memcpy(data, &stamp, sizeof(stamp));
	memcpy((char *)data + bytes - sizeof(stamp), &stamp, sizeof(stamp));
}

/* The stamp, or 0 if head and tail differ. */
DRIVE_INLINE uint64_t drive_read(const void *data, size_t bytes)
{
	uint64_t head, tail;

	memcpy(&head, data, sizeof(head));
	memcpy(&tail, (const char *)data + bytes - sizeof(tail), sizeof(tail));
	return head == tail ? head : 0;
}

DRIVE_INLINE ssize_t drive_send(const struct transport *transport,
                                struct channel *channel, const void *data,
                                size_t bytes)
{
	ssize_t result;

	while ((result = transport->send(channel, data, bytes)) == -EAGAIN)
		bench_pause();
	return result;
}

DRIVE_INLINE ssize_t drive_receive(const struct transport *transport,
                                   struct channel *channel, void *data,
                                   size_t bytes, uint32_t back_off)
{
	ssize_t result;

	while ((result = transport->receive(channel, data, bytes)) == -EAGAIN) {
		bench_pause();
		for (uint32_t i = 0; i < back_off; i++)
			bench_pause();
	}
	return result;
}

static inline int drive_attach(const struct transport *transport,
                               struct channel *channel, enum side side)
{
	return transport->attach ? transport->attach(channel, side) : 0;
}

static inline void *drive_buffer(size_t bytes)
{
	void *data = NULL;

	if (posix_memalign(&data, 4096, bytes))
		return NULL;
	memset(data, 1, bytes);
	return data;
}

/*
 * Private buffers used in turn and stamped some messages ahead: a copy that
 * reads a stamp still in the store buffer would wait until all stores before
 * it, those of the message before included, have reached the cache. That
 * would be the bench's cost, and it doubles the ring's.
 */
struct drive_source {
	char *data;
	size_t bytes;
	uint64_t mask, ahead;
};

static inline int drive_source_open(struct drive_source *source, size_t bytes)
{
	uint64_t count = bytes < DRIVE_LARGE ? 32 : 4;

	source->bytes = bytes;
	source->mask = count - 1;
	source->ahead = count / 2;
	source->data = drive_buffer(count * bytes);
	if (!source->data)
		return -ENOMEM;
	for (uint64_t i = 0; i < source->ahead; i++)
		drive_stamp(source->data + (i + 1) * bytes, bytes, i + 1);
	return 0;
}

/* The message of this stamp; the one that comes `ahead` later is stamped. */
DRIVE_INLINE const void *drive_next(const struct drive_source *source,
                                    uint64_t stamp)
{
	uint64_t later = stamp + source->ahead;

	drive_stamp(source->data + (later & source->mask) * source->bytes,
	            source->bytes, later);
	return source->data + (stamp & source->mask) * source->bytes;
}

static inline void drive_hold(uint64_t until)
{
	while (bench_tick() < until)
		bench_pause();
}

/* ---- One way and back ---------------------------------------------------- */

DRIVE_INLINE int drive_ping(const struct transport *transport,
                            struct drive_stage *stage,
                            struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	uint64_t hold = bench_to_ticks(stage->row->spec.hold_us * 1e3);
	uint64_t begin, end, last, stamp = 0;
	void *answer = drive_buffer(bytes);
	struct drive_source source;

	if (drive_source_open(&source, bytes))
		return bench_fail(part, -ENOMEM, "buffers");
	bench_ready();
	begin = bench_tick();
	end = begin + stage->duration;
	do {
		const void *data = drive_next(&source, ++stamp);
		uint64_t first;
		ssize_t result;

		if (hold)
			drive_hold(bench_tick() + hold);
		first = bench_tick();
		result = drive_send(transport, &stage->there, data, bytes);
		if (result < 0)
			return bench_fail(part, (int)result, "send");
		result = drive_receive(transport, &stage->back, answer, bytes,
		                       0);
		if (result < 0)
			return bench_fail(part, (int)result, "receive");
		last = bench_tick();
		part->bad += drive_read(answer, bytes) != stamp;
		bench_shared->sample[stamp - 1] =
			(uint32_t)(last - first - hold);
	} while (last < end && stamp < BENCH_SAMPLES);
	part->messages = bench_shared->samples = (uint32_t)stamp;
	part->ticks = last - begin;
	drive_stamp(answer, bytes, DRIVE_END);
	return (int)drive_send(transport, &stage->there, answer, bytes);
}

DRIVE_INLINE int drive_pong(const struct transport *transport,
                            struct drive_stage *stage,
                            struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	uint64_t hold = bench_to_ticks(stage->row->spec.hold_us * 1e3);
	uint64_t stamp = 0;
	void *question = drive_buffer(bytes);
	struct drive_source source;

	if (drive_source_open(&source, bytes))
		return bench_fail(part, -ENOMEM, "buffers");
	bench_ready();
	for (;;) {
		const void *data = drive_next(&source, ++stamp);
		ssize_t result = drive_receive(transport, &stage->there,
		                               question, bytes, 0);

		if (result < 0)
			return bench_fail(part, (int)result, "receive");
		if (hold)
			drive_hold(bench_tick() + hold);
		if (drive_read(question, bytes) == DRIVE_END)
			return 0;
		result = drive_send(transport, &stage->back, data, bytes);
		if (result < 0)
			return bench_fail(part, (int)result, "send");
		part->bad += drive_read(question, bytes) != stamp;
		part->messages++;
	}
}

DRIVE_INLINE int drive_one_way(const struct transport *transport,
                               void *context, struct bench_part *part,
                               int index)
{
	struct drive_stage *stage = context;
	struct channel *out = index ? &stage->back : &stage->there;
	struct channel *in = index ? &stage->there : &stage->back;
	int result = drive_attach(transport, out, SIDE_SEND);

	if (!result)
		result = drive_attach(transport, in, SIDE_RECEIVE);
	if (result)
		return bench_fail(part, result, "attach");
	return index ? drive_pong(transport, stage, part) :
	               drive_ping(transport, stage, part);
}

/* ---- A stream, one to one ------------------------------------------------ */

DRIVE_INLINE int drive_produce(const struct transport *transport,
                               struct drive_stage *stage,
                               struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	uint64_t end, stamp = 0;
	void *data = drive_buffer(bytes);
	struct drive_source source;
	ssize_t result;

	if (drive_source_open(&source, bytes))
		return bench_fail(part, -ENOMEM, "buffers");
	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		result = drive_send(transport, &stage->there,
		                    drive_next(&source, ++stamp), bytes);
		if (result < 0)
			return bench_fail(part, (int)result, "send");
	} while ((bytes < DRIVE_LARGE && stamp % DRIVE_MESSAGES_A_LOOK) ||
	         bench_tick() < end);
	drive_stamp(data, bytes, DRIVE_END);
	result = drive_send(transport, &stage->there, data, bytes);
	return result < 0 ? bench_fail(part, (int)result, "send") : 0;
}

/* Counts from the moment when every place of the channel has been used. */
DRIVE_INLINE int drive_consume(const struct transport *transport,
                               struct drive_stage *stage,
                               struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	uint32_t back_off = stage->row->spec.back_off;
	uint64_t warm = 2 * stage->row->spec.depth, begin = 0, stamp, last = 0;
	void *data = drive_buffer(bytes);

	bench_ready();
	for (;;) {
		ssize_t result = drive_receive(transport, &stage->there, data,
		                               bytes, back_off);

		if (result < 0)
			return bench_fail(part, (int)result, "receive");
		stamp = drive_read(data, bytes);
		if (stamp == DRIVE_END)
			break;
		part->bad += stamp != ++last;
		if (stamp == warm)
			begin = bench_tick();
	}
	if (!begin)
		return bench_fail(part, -ETIME, "too few messages");
	part->ticks = bench_tick() - begin;
	part->messages = last - warm;
	return 0;
}

DRIVE_INLINE int drive_stream(const struct transport *transport,
                              void *context, struct bench_part *part,
                              int index)
{
	struct drive_stage *stage = context;
	int result = drive_attach(transport, &stage->there,
	                          index ? SIDE_RECEIVE : SIDE_SEND);

	if (result)
		return bench_fail(part, result, "attach");
	return index ? drive_consume(transport, stage, part) :
	               drive_produce(transport, stage, part);
}

/* ---- Send and receive in one process ------------------------------------- */

DRIVE_INLINE int drive_pairs(const struct transport *transport,
                             void *context, struct bench_part *part,
                             int index)
{
	struct drive_stage *stage = context;
	size_t bytes = stage->row->spec.bytes;
	struct channel in = stage->there;
	uint64_t end, last, stamp = 0, samples = 0;
	void *copy = drive_buffer(bytes);
	struct drive_source source;
	int result = drive_attach(transport, &stage->there, SIDE_SEND);

	if (!result)
		result = drive_attach(transport, &in, SIDE_RECEIVE);
	if (!result)
		result = drive_source_open(&source, bytes);
	if (result)
		return bench_fail(part, result, "attach");
	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		uint64_t first = bench_tick();

		for (int i = 0; i < DRIVE_PAIRS; i++) {
			const void *data = drive_next(&source, ++stamp);

			if (transport->send(&stage->there, data, bytes) < 0)
				return bench_fail(part, -EIO, "send");
			if (transport->receive(&in, copy, bytes) < 0)
				return bench_fail(part, -EIO, "receive");
			part->bad += drive_read(copy, bytes) != stamp;
		}
		last = bench_tick();
		bench_shared->sample[samples++] = (uint32_t)(last - first);
	} while (last < end && samples < BENCH_SAMPLES);
	part->messages = stamp;
	bench_shared->samples = (uint32_t)samples;
	return index;
}

/* ---- Many to many -------------------------------------------------------- */

/* The stamp is the tick before the send: waiting for room counts. */
DRIVE_INLINE int drive_many_send(const struct transport *transport,
                                 struct drive_stage *stage,
                                 struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	void *data = drive_buffer(bytes);
	uint64_t end, stamp;
	ssize_t result;

	bench_ready();
	end = bench_tick() + stage->duration;
	while ((stamp = bench_tick()) < end) {
		drive_stamp(data, bytes, stamp);
		result = drive_send(transport, &stage->there, data, bytes);
		if (result < 0)
			return bench_fail(part, (int)result, "send");
		part->messages++;
	}
	drive_stamp(data, bytes, DRIVE_END);
	result = drive_send(transport, &stage->there, data, bytes);
	return result < 0 ? bench_fail(part, (int)result, "send") : 0;
}

/* Each receiver ends with the first of the senders' last messages; the last
 * of those comes after everything else. */
DRIVE_INLINE int drive_many_receive(const struct transport *transport,
                                    struct drive_stage *stage,
                                    struct bench_part *part)
{
	size_t bytes = stage->row->spec.bytes;
	void *data = drive_buffer(bytes);
	uint64_t begin;

	bench_ready();
	begin = bench_tick();
	for (;;) {
		ssize_t result = drive_receive(transport, &stage->there, data,
		                               bytes, 0);
		uint64_t stamp = drive_read(data, bytes), now;

		if (result < 0)
			return bench_fail(part, (int)result, "receive");
		if (stamp == DRIVE_END)
			break;
		now = bench_tick();
		part->bad += stamp == 0;
		if (now > stamp && now - stamp > part->gap_ticks)
			part->gap_ticks = now - stamp;
		part->messages++;
	}
	part->ticks = bench_tick() - begin;
	return 0;
}

DRIVE_INLINE int drive_many(const struct transport *transport, void *context,
                            struct bench_part *part, int index)
{
	struct drive_stage *stage = context;
	bool receiver = index >= DRIVE_MANY;
	int result = drive_attach(transport, &stage->there,
	                          receiver ? SIDE_RECEIVE : SIDE_SEND);

	if (result)
		return bench_fail(part, result, "attach");
	return receiver ? drive_many_receive(transport, stage, part) :
	                  drive_many_send(transport, stage, part);
}

/* ---- Whole runs ---------------------------------------------------------- */

/* How a run is set up; in drive.c. */
enum drive_shape {
	DRIVE_ONE_WAY, DRIVE_STREAM, DRIVE_PAIR, DRIVE_MANY_TO_MANY
};

int drive_run(const struct bench_row *row, const struct transport *transport,
              enum drive_shape shape,
              int (*play)(void *stage, struct bench_part *part, int index),
              struct bench_result *result);

/* Makes the four ways to drive a constant transport, as rows call them. */
#define DRIVE_MEASURE(name, how, shape) \
	static int name##_##how##_play(void *stage, struct bench_part *part, \
	                               int index) \
	{ \
		return drive_##how(&name, stage, part, index); \
	} \
	static int name##_##how(const struct bench_row *row, \
	                        struct bench_result *result) \
	{ \
		return drive_run(row, &name, shape, name##_##how##_play, \
		                 result); \
	}

#define DRIVE_MEASURE_ONE_WAY(name) DRIVE_MEASURE(name, one_way, DRIVE_ONE_WAY)
#define DRIVE_MEASURE_STREAM(name) DRIVE_MEASURE(name, stream, DRIVE_STREAM)
#define DRIVE_MEASURE_PAIRS(name) DRIVE_MEASURE(name, pairs, DRIVE_PAIR)
#define DRIVE_MEASURE_MANY(name) DRIVE_MEASURE(name, many, DRIVE_MANY_TO_MANY)

#endif
