/* SPDX-License-Identifier: MIT */
/*
 * Ports: a call and its answer between two cores, awake and asleep; requests
 * of 64 B to 16 MiB, copied and mapped, beside what copying them costs.
 */
#include "drive.h"

#include <stoa/stoa.h>
#include <unistd.h>

#define CALLED_MS 100
#define BLOCKED_MS 300
#define LARGE_MS 200
#define CALLS 8

enum way { CALL, LOAN, COPY };

struct stage {
	const struct bench_row *row;
	struct stoa_space *space;
	struct stoa_port *port;
	char name[48];
	uint64_t duration;
};

static int port_fail(struct bench_part *part, int64_t error)
{
	return bench_fail(part, (int)error, stoa_last_error());
}

static int join(struct stage *stage, unsigned flags, struct stoa_port **port)
{
	struct stoa_space *space;
	int result = stoa_space_open(bench_setup.space, 0, &space);

	return result ? result :
	                stoa_port_open(space, stage->name, flags, 0, NULL,
	                               port);
}

/* ---- The server: its answer is the first 64 bytes ------------------------- */

static int serve(struct stage *stage, struct bench_part *part)
{
	const struct bench_spec *spec = &stage->row->spec;
	uint64_t hold = bench_to_ticks(spec->hold_us * 1e3);
	struct stoa_port_request request;
	struct stoa_port *port;
	char buffer[64];
	int result = join(stage, STOA_READ, &port);

	if (result)
		return port_fail(part, result);
	bench_ready();
	for (;;) {
		while ((result = stoa_port_take(port, buffer, sizeof(buffer),
		                                spec->sleeping ? STOA_FOREVER :
		                                                 STOA_NOW,
		                                &request)) == -EAGAIN)
			bench_pause();
		if (result)
			return port_fail(part, result);
		if (hold)
			drive_hold(bench_tick() + hold);
		bool last = drive_read(request.data, 64) == DRIVE_END;
		result = stoa_port_reply(port, &request, 0, request.data, 64,
		                         STOA_NOW);
		if (result)
			return port_fail(part, result);
		part->messages++;
		if (last)
			return 0;
	}
}

/* ---- The client ---------------------------------------------------------------- */

/* One that is filled where the server will see it: here, its first bytes. */
static int64_t loan(struct stoa_port *port, uint64_t bytes, const void *stamp,
                    void *answer)
{
	struct stoa_port_ticket ticket;
	struct stoa_port_reply reply;
	void *data;
	int result = stoa_port_reserve(port, bytes, STOA_PORT_MAPPED,
	                               STOA_FOREVER, &ticket, &data);

	if (result)
		return result;
	memcpy(data, stamp, 64);
	result = stoa_port_commit(port, &ticket, bytes);
	if (!result)
		result = stoa_port_wait(port, &ticket, STOA_FOREVER, &reply);
	if (result)
		return result;
	memcpy(answer, reply.data, 64);
	return stoa_port_finish(port, &ticket, &reply);
}

static int64_t ask(struct stage *stage, struct stoa_port *port, char *request,
                   char *answer, uint64_t stamp)
{
	uint64_t bytes = stage->row->spec.bytes;

	drive_stamp(request, 64, stamp);
	if (stage->row->spec.order == LOAN)
		return loan(port, bytes, request, answer);
	return stoa_port_call(port, request, bytes, answer, 64, STOA_FOREVER);
}

static int call(struct stage *stage, struct bench_part *part)
{
	uint64_t hold = bench_to_ticks(stage->row->spec.hold_us * 1e3);
	uint64_t bytes = stage->row->spec.bytes, end, begin, last, stamp = 0;
	char *request = drive_buffer(bytes < 64 ? 64 : bytes);
	char answer[64];
	struct stoa_port *port;
	int64_t result = join(stage, STOA_WRITE, &port);

	if (result)
		return port_fail(part, result);
	bench_ready();
	begin = bench_tick();
	end = begin + stage->duration;
	do {
		if (hold)
			drive_hold(bench_tick() + hold);
		uint64_t first = bench_tick();

		result = ask(stage, port, request, answer, ++stamp);
		if (result < 0)
			return port_fail(part, result);
		last = bench_tick();
		part->bad += drive_read(answer, 64) != stamp;
		bench_shared->sample[stamp - 1] =
			(uint32_t)(last - first - hold);
	} while (last < end && stamp < BENCH_SAMPLES - 1);
	part->messages = bench_shared->samples = (uint32_t)stamp;
	part->ticks = last - begin;
	result = ask(stage, port, request, answer, DRIVE_END);
	return result < 0 ? port_fail(part, result) : 0;
}

static int play(void *context, struct bench_part *part, int index)
{
	return index ? serve(context, part) : call(context, part);
}

/* ---- Runs -------------------------------------------------------------------------- */

static int open_stage(struct stage *stage)
{
	static unsigned int serial;
	struct stoa_port_attributes attributes = { .size = sizeof(attributes),
		                                   .calls = CALLS };
	int result = stoa_space_open(bench_setup.space, 0, &stage->space);

	if (result)
		return result;
	snprintf(stage->name, sizeof(stage->name), "bench-%d-p%u",
	         (int)getpid(), serial++);
	return stoa_port_open(stage->space, stage->name,
	                      STOA_READ | STOA_CREATE | STOA_EXCLUSIVE, 0600,
	                      &attributes, &stage->port);
}

static void reckon(const struct bench_row *row, struct bench_result *result)
{
	const struct bench_part *part = bench_shared->part;
	double calls = (double)part[0].messages;
	/* Where others have half a round trip, so has this. */
	bool half = row->group != BENCH_PORT;

	bench_percentiles(result, half ? 2 : 1);
	if (row->unit == BENCH_UNIT_GB)
		result->value = (double)row->spec.bytes / result->value;
	bench_account(row, 2, half ? 2 * calls : calls, result);
	if (row->spec.hold_us &&
	    (double)(part[0].slept + part[1].slept) < 2 * calls * DRIVE_ASLEEP)
		result->marks |= BENCH_AWAKE;
}

static int measure(const struct bench_row *row, struct bench_result *result)
{
	struct stage stage = { .row = row };
	int second = row->spec.one_core ? 0 : 1;
	struct bench_role roles[2] = { { 0, play }, { second, play } };
	unsigned int ms = row->spec.hold_us || row->spec.one_core ? BLOCKED_MS :
	                  row->group == BENCH_PORT               ? LARGE_MS :
	                                                           CALLED_MS;

	stage.duration = bench_duration_ticks(ms);
	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	int failure = open_stage(&stage);
	if (failure)
		return bench_fail(&bench_shared->part[0], failure,
		                  stoa_last_error());
	failure = bench_play(roles, 2, &stage);
	if (!failure)
		reckon(row, result);
	stoa_port_close(stage.port);
	stoa_port_unlink(stage.space, stage.name);
	stoa_space_close(stage.space);
	return failure;
}

/* ---- What copying costs ---------------------------------------------------------- */

static int copy_play(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;
	size_t bytes = stage->row->spec.bytes;
	char *from = drive_buffer(bytes), *to = drive_buffer(bytes);
	uint64_t end, last, samples = 0;

	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		uint64_t first = bench_tick();

		memcpy(to, from, bytes);
		__asm__ volatile("" ::"r"(to) : "memory");
		last = bench_tick();
		bench_shared->sample[samples++] = (uint32_t)(last - first);
	} while (last < end && samples < BENCH_SAMPLES);
	part->messages = samples;
	bench_shared->samples = (uint32_t)samples;
	return index;
}

static int measure_copy(const struct bench_row *row,
                        struct bench_result *result)
{
	static const struct bench_role role = { 0, copy_play };
	struct stage stage = { .row = row };

	stage.duration = bench_duration_ticks(LARGE_MS);
	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	int failure = bench_play(&role, 1, &stage);
	if (failure)
		return failure;
	bench_percentiles(result, 1);
	result->value = (double)row->spec.bytes / result->value;
	bench_account(row, 1, (double)bench_shared->part[0].messages, result);
	return 0;
}

/* ---- Rows ------------------------------------------------------------------------ */

#define MIB (1u << 20)
#define ROW(name, what, base, group, kind, unit, how, ...) \
	{ name, what, base, group, kind, unit, how, { __VA_ARGS__ } }

static const struct bench_row ports[] = {
	ROW("latency/stoa-port", "stoa, port, server spinning", "latency/line",
	    BENCH_LATENCY, BENCH_STOA, BENCH_UNIT_NS, measure, .bytes = 64),
	ROW("block2/stoa-port", "stoa, port", "block2/futex", BENCH_BLOCK_TWO,
	    BENCH_STOA, BENCH_UNIT_NS, measure, .bytes = 64, .hold_us = 200,
	    .sleeping = true),
	ROW("block1/stoa-port", "stoa, port", "block1/futex", BENCH_BLOCK_ONE,
	    BENCH_STOA, BENCH_UNIT_NS, measure, .bytes = 64, .sleeping = true,
	    .one_core = true),
	ROW("port/loan-64", "request of 64 B, mapped", NULL, BENCH_PORT,
	    BENCH_STOA, BENCH_UNIT_NS, measure, .bytes = 64, .order = LOAN),
	ROW("port/loan-1m", "request of 1 MiB, mapped", "port/loan-64",
	    BENCH_PORT, BENCH_STOA, BENCH_UNIT_NS, measure, .bytes = MIB,
	    .order = LOAN),
	ROW("port/loan-16m", "request of 16 MiB, mapped", "port/loan-64",
	    BENCH_PORT, BENCH_STOA, BENCH_UNIT_NS, measure, .bytes = 16 * MIB,
	    .order = LOAN),
	ROW("port/memcpy-16m", "memcpy of 16 MiB", NULL, BENCH_PORT,
	    BENCH_FLOOR, BENCH_UNIT_GB, measure_copy, .bytes = 16 * MIB,
	    .alone = true),
	ROW("port/copy-16m", "request of 16 MiB, from private memory",
	    "port/memcpy-16m", BENCH_PORT, BENCH_STOA, BENCH_UNIT_GB, measure,
	    .bytes = 16 * MIB, .order = COPY),
};

BENCH_ADD(ports)
