/* SPDX-License-Identifier: MIT */
/*
 * What nobody can beat: one cache line with one atomic going there and back,
 * a bare futex, the plain ring between one sender and one receiver, memcpy.
 */
#include "drive.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROBE_TRIPS 8192
#define LINE_TRIPS (1u << 17)
#define COPY_MS 60

/* ---- The cache line ------------------------------------------------------ */

static int line_ping(uint32_t trips, struct bench_part *part)
{
	uint64_t *line = &bench_shared->line;

	for (uint32_t i = 0; i < trips; i++) {
		uint64_t first = bench_tick();

		__atomic_store_n(line, 2 * i + 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(line, __ATOMIC_ACQUIRE) != 2 * i + 2)
			;
		bench_shared->sample[i] = (uint32_t)(bench_tick() - first);
	}
	bench_shared->samples = trips;
	part->messages = trips;
	return 0;
}

static int line_pong(uint32_t trips)
{
	uint64_t *line = &bench_shared->line;

	for (uint32_t i = 0; i < trips; i++) {
		while (__atomic_load_n(line, __ATOMIC_ACQUIRE) != 2 * i + 1)
			;
		__atomic_store_n(line, 2 * i + 2, __ATOMIC_RELEASE);
	}
	return 0;
}

static int line_play(void *stage, struct bench_part *part, int index)
{
	uint32_t trips = *(uint32_t *)stage;

	bench_ready();
	return index ? line_pong(trips) : line_ping(trips, part);
}

static int line_run(uint32_t trips)
{
	static const struct bench_role roles[] = {
		{ 0, line_play }, { 1, line_play }
	};

	bench_shared->line = 0;
	return bench_play(roles, 2, &trips);
}

double bench_probe(void)
{
	struct bench_result result = { .value = 0 };

	if (!line_run(PROBE_TRIPS))
		bench_percentiles(&result, 2);
	return result.value;
}

static int line_measure(const struct bench_row *row,
                        struct bench_result *result)
{
	int failure = line_run(LINE_TRIPS);

	if (failure)
		return failure;
	bench_percentiles(result, 2);
	bench_account(row, 2, 2.0 * LINE_TRIPS, result);
	return 0;
}

/* ---- The futex ----------------------------------------------------------- */

static int futex_open(struct channel *channel)
{
	channel->shared = mmap(NULL, BENCH_LINE_BYTES, PROT_READ | PROT_WRITE,
	                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return channel->shared == MAP_FAILED ? -errno : 0;
}

static void futex_close(struct channel *channel)
{
	munmap(channel->shared, BENCH_LINE_BYTES);
}

/* The message is the word itself; the stamp beside it is for the driver. */
struct futex_line {
	uint32_t word;
	uint64_t stamp;
};

static ssize_t futex_send(struct channel *channel, const void *data,
                          size_t bytes)
{
	struct futex_line *line = channel->shared;

	memcpy(&line->stamp, data, sizeof(line->stamp));
	__atomic_store_n(&line->word, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &line->word, FUTEX_WAKE, 1, NULL, NULL, 0);
	return (ssize_t)bytes;
}

static ssize_t futex_receive(struct channel *channel, void *data,
                             size_t bytes)
{
	struct futex_line *line = channel->shared;

	while (!__atomic_load_n(&line->word, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &line->word, FUTEX_WAIT, 0, NULL, NULL, 0);
	drive_stamp(data, bytes, line->stamp);
	__atomic_store_n(&line->word, 0, __ATOMIC_RELAXED);
	return (ssize_t)bytes;
}

static const struct transport bare_futex = {
	futex_open, NULL, futex_send, futex_receive, futex_close
};

DRIVE_MEASURE_ONE_WAY(bare_futex)

/* ---- The ring ------------------------------------------------------------ */

/* Each index on a line of its own; each side remembers the other's. */
struct ring {
	_Alignas(BENCH_LINE_BYTES) uint64_t tail; /* the sender's */
	_Alignas(BENCH_LINE_BYTES) uint64_t head; /* the receiver's */
	_Alignas(4096) char slot[];
};

static size_t ring_bytes(const struct bench_spec *spec)
{
	return sizeof(struct ring) + spec->depth * spec->bytes;
}

static int ring_open(struct channel *channel)
{
	channel->shared = mmap(NULL, ring_bytes(channel->spec),
	                       PROT_READ | PROT_WRITE,
	                       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
	                       -1, 0);
	return channel->shared == MAP_FAILED ? -errno : 0;
}

static void ring_close(struct channel *channel)
{
	munmap(channel->shared, ring_bytes(channel->spec));
}

DRIVE_INLINE ssize_t ring_send(struct channel *channel, const void *data,
                               size_t bytes)
{
	struct ring *ring = channel->shared;
	uint64_t position = channel->position;
	uint64_t depth = channel->spec->depth;

	if (position - channel->seen == depth) {
		channel->seen = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
		if (position - channel->seen == depth)
			return -EAGAIN;
	}
	memcpy(&ring->slot[(position & (depth - 1)) * bytes], data, bytes);
	channel->position = position + 1;
	__atomic_store_n(&ring->tail, position + 1, __ATOMIC_RELEASE);
	return (ssize_t)bytes;
}

DRIVE_INLINE ssize_t ring_receive(struct channel *channel, void *data,
                                  size_t bytes)
{
	struct ring *ring = channel->shared;
	uint64_t position = channel->position;

	if (position == channel->seen) {
		channel->seen = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
		if (position == channel->seen)
			return -EAGAIN;
	}
	memcpy(data, &ring->slot[(position & (channel->spec->depth - 1)) *
	                         bytes], bytes);
	channel->position = position + 1;
	__atomic_store_n(&ring->head, position + 1, __ATOMIC_RELEASE);
	return (ssize_t)bytes;
}

/* A ring whose messages have a size known to the compiler. */
#define RING(name, size) \
	static ssize_t name##_send(struct channel *channel, \
	                           const void *data, size_t bytes) \
	{ \
		(void)bytes; \
		return ring_send(channel, data, size); \
	} \
	static ssize_t name##_receive(struct channel *channel, void *data, \
	                              size_t bytes) \
	{ \
		(void)bytes; \
		return ring_receive(channel, data, size); \
	} \
	static const struct transport name = { \
		ring_open, NULL, name##_send, name##_receive, ring_close \
	}; \
	DRIVE_MEASURE_STREAM(name)

RING(ring_64, 64)
RING(ring_4k, 4096)
RING(ring_64k, 65536)
RING(ring_1m, 1048576)

DRIVE_MEASURE_ONE_WAY(ring_64)
DRIVE_MEASURE_PAIRS(ring_64)

/* ---- memcpy -------------------------------------------------------------- */

static int copy_play(void *context, struct bench_part *part, int index)
{
	const struct bench_row *row = context;
	size_t bytes = row->spec.bytes;
	char *from = drive_buffer(bytes), *to = drive_buffer(bytes);
	uint64_t begin, end, samples = 0;

	bench_ready();
	begin = bench_tick();
	end = begin + bench_duration_ticks(COPY_MS);
	do {
		uint64_t first = bench_tick();

		memcpy(to, from, bytes);
		__asm__ volatile("" ::"r"(to), "r"(from) : "memory");
		bench_shared->sample[samples++] =
			(uint32_t)(bench_tick() - first);
	} while (bench_tick() < end && samples < BENCH_SAMPLES);
	bench_shared->samples = (uint32_t)samples;
	part->messages = samples;
	part->ticks = bench_tick() - begin;
	return index;
}

static int copy_measure(const struct bench_row *row,
                        struct bench_result *result)
{
	struct bench_role role = { 0, copy_play };
	int failure = bench_play(&role, 1, (void *)row);

	if (failure)
		return failure;
	bench_percentiles(result, 1);
	result->value = (double)row->spec.bytes / result->value;
	result->p99 = result->p999 = 0;
	bench_account(row, 1, (double)bench_shared->part[0].messages, result);
	return 0;
}

static const struct bench_row floors[] = {
	{ "latency/line", "cache line, one atomic", NULL,
	  BENCH_LATENCY, BENCH_FLOOR, BENCH_UNIT_NS, line_measure,
	  { .bytes = 8 } },
	{ "latency/ring", "ring, one to one", "latency/line",
	  BENCH_LATENCY, BENCH_FLOOR, BENCH_UNIT_NS, ring_64_one_way,
	  { .bytes = 64, .depth = 1024 } },
	{ "rate64/ring", "ring, one to one", NULL,
	  BENCH_THROUGHPUT_64, BENCH_FLOOR, BENCH_UNIT_RATE, ring_64_stream,
	  { .bytes = 64, .depth = 1024 } },
	{ "rate64/ring-backlog", "ring, receiver backs off", "rate64/ring",
	  BENCH_THROUGHPUT_64, BENCH_FLOOR, BENCH_UNIT_RATE, ring_64_stream,
	  { .bytes = 64, .depth = 1024, .back_off = 48 } },
	{ "rate4k/memcpy", "memcpy, one core", NULL,
	  BENCH_THROUGHPUT_4K, BENCH_FLOOR, BENCH_UNIT_GB, copy_measure,
	  { .bytes = 4096, .alone = true } },
	{ "rate4k/ring", "ring of 256 KiB", NULL,
	  BENCH_THROUGHPUT_4K, BENCH_FLOOR, BENCH_UNIT_GB, ring_4k_stream,
	  { .bytes = 4096, .depth = 64 } },
	{ "rate4k/ring-deep", "ring of 4 MiB", NULL,
	  BENCH_THROUGHPUT_4K, BENCH_FLOOR, BENCH_UNIT_GB, ring_4k_stream,
	  { .bytes = 4096, .depth = 1024 } },
	{ "rate64k/memcpy", "memcpy, one core", NULL,
	  BENCH_THROUGHPUT_64K, BENCH_FLOOR, BENCH_UNIT_GB, copy_measure,
	  { .bytes = 65536, .alone = true } },
	{ "rate64k/ring", "ring of 256 KiB", NULL,
	  BENCH_THROUGHPUT_64K, BENCH_FLOOR, BENCH_UNIT_GB, ring_64k_stream,
	  { .bytes = 65536, .depth = 4 } },
	{ "rate1m/memcpy", "memcpy, one core", NULL,
	  BENCH_THROUGHPUT_1M, BENCH_FLOOR, BENCH_UNIT_GB, copy_measure,
	  { .bytes = 1048576, .alone = true } },
	{ "rate1m/ring", "ring of 4 MiB", NULL,
	  BENCH_THROUGHPUT_1M, BENCH_FLOOR, BENCH_UNIT_GB, ring_1m_stream,
	  { .bytes = 1048576, .depth = 4 } },
	{ "pair/ring", "ring", NULL,
	  BENCH_PAIR, BENCH_FLOOR, BENCH_UNIT_NS, ring_64_pairs,
	  { .bytes = 64, .depth = 1024, .alone = true } },
	{ "block2/futex", "bare futex", NULL,
	  BENCH_BLOCK_TWO, BENCH_FLOOR, BENCH_UNIT_NS, bare_futex_one_way,
	  { .bytes = 16, .hold_us = 200, .sleeping = true } },
	{ "block1/futex", "bare futex", NULL,
	  BENCH_BLOCK_ONE, BENCH_FLOOR, BENCH_UNIT_NS, bare_futex_one_way,
	  { .bytes = 16, .sleeping = true, .one_core = true } },
};

BENCH_ADD(floors)
