/* SPDX-License-Identifier: MIT */
/* Whole runs of the ways to drive a channel: set up, play, reckon. */
#include "drive.h"

#include <unistd.h>

static unsigned int duration_ms(enum drive_shape shape,
                                const struct bench_spec *spec)
{
	switch (shape) {
	case DRIVE_ONE_WAY:
		return spec->hold_us || spec->one_core ? DRIVE_BLOCKED_MS :
		                                         DRIVE_POLLED_MS;
	case DRIVE_STREAM:
		return DRIVE_STREAM_MS;
	case DRIVE_PAIR:
		return DRIVE_PAIR_MS;
	case DRIVE_MANY_TO_MANY:
		break;
	}
	return DRIVE_MANY_MS;
}

static int open_channels(struct drive_stage *stage, bool both)
{
	static unsigned int serial;
	const struct transport *transport = stage->transport;
	int result;

	snprintf(stage->there.name, sizeof(stage->there.name), "bench-%d-%u",
	         (int)getpid(), serial++);
	snprintf(stage->back.name, sizeof(stage->back.name), "bench-%d-%u",
	         (int)getpid(), serial++);
	stage->there.spec = stage->back.spec = &stage->row->spec;
	result = transport->open(&stage->there);
	if (result || !both)
		return result;
	result = transport->open(&stage->back);
	if (result)
		transport->close(&stage->there);
	return result;
}

static int play(struct drive_stage *stage, enum drive_shape shape,
                int (*how)(void *, struct bench_part *, int))
{
	struct bench_role roles[BENCH_PROCESSES];
	int count = shape == DRIVE_PAIR ? 1 :
	            shape == DRIVE_MANY_TO_MANY ? 2 * DRIVE_MANY : 2;

	for (int i = 0; i < count; i++) {
		roles[i].play = how;
		roles[i].core = stage->row->spec.one_core ? 0 : i % 2;
	}
	return bench_play(roles, count, stage);
}

static void rate(const struct bench_row *row, double messages, double ticks,
                 struct bench_result *result)
{
	double each_ns = bench_to_ns(ticks) / messages;

	result->value = row->unit == BENCH_UNIT_GB ?
	                (double)row->spec.bytes / each_ns : 1e3 / each_ns;
}

static void reckon_many(const struct bench_row *row,
                        struct bench_result *result)
{
	uint64_t sent = 0, received = 0, ticks = 0;

	for (int i = 0; i < DRIVE_MANY; i++) {
		struct bench_part *receiver =
			&bench_shared->part[DRIVE_MANY + i];

		sent += bench_shared->part[i].messages;
		received += receiver->messages;
		if (receiver->ticks > ticks)
			ticks = receiver->ticks;
	}
	if (sent != received)
		result->marks |= BENCH_BAD;
	rate(row, (double)received, (double)ticks, result);
	bench_account(row, 2 * DRIVE_MANY, (double)received, result);
}

static void reckon_one_way(const struct bench_row *row,
                           struct bench_result *result)
{
	const struct bench_part *part = bench_shared->part;
	double trips = (double)part[0].messages;

	bench_percentiles(result, 2);
	bench_account(row, 2, 2 * trips, result);
	if (row->spec.hold_us &&
	    (double)(part[0].slept + part[1].slept) < 2 * trips * DRIVE_ASLEEP)
		result->marks |= BENCH_AWAKE;
}

static void reckon(const struct bench_row *row, enum drive_shape shape,
                   struct bench_result *result)
{
	const struct bench_part *part = bench_shared->part;

	switch (shape) {
	case DRIVE_ONE_WAY:
		reckon_one_way(row, result);
		break;
	case DRIVE_STREAM:
		rate(row, (double)part[1].messages, (double)part[1].ticks,
		     result);
		bench_account(row, 2, (double)part[1].messages, result);
		break;
	case DRIVE_PAIR:
		bench_percentiles(result, DRIVE_PAIRS);
		bench_account(row, 1, (double)part[0].messages, result);
		break;
	case DRIVE_MANY_TO_MANY:
		reckon_many(row, result);
		break;
	}
}

int drive_run(const struct bench_row *row, const struct transport *transport,
              enum drive_shape shape,
              int (*how)(void *, struct bench_part *, int),
              struct bench_result *result)
{
	struct drive_stage stage = { .row = row, .transport = transport };
	int failure;

	stage.duration = bench_duration_ticks(duration_ms(shape, &row->spec));
	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	failure = open_channels(&stage, shape == DRIVE_ONE_WAY);
	if (failure)
		return bench_fail(&bench_shared->part[0], failure, "open");
	failure = play(&stage, shape, how);
	if (!failure)
		reckon(row, shape, result);
	transport->close(&stage.there);
	if (shape == DRIVE_ONE_WAY)
		transport->close(&stage.back);
	return failure;
}
