/* SPDX-License-Identifier: MIT */
/*
 * schedule.c: two processes in turn. The first runs to a place, the second to
 * another, the first on to a third, and then, by lot, one of them is killed or
 * both go to their ends. Places and lots come from the seed, so a schedule can
 * be had again by its number.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sweep.h"

#define PATIENCE_MS 200 /* then it waits for the other one, and is killed */
#define SCHEDULES_DEFAULT 6u
#define SCHEDULES_MUTANT 4u
#define SCHEDULES_FULL 4000u

enum lot { LOT_BOTH_END, LOT_KILL_FIRST, LOT_KILL_SECOND, LOTS };

struct pair {
	struct play first, second;
	uint64_t random;
};

static uint32_t below(struct pair *pair, size_t limit)
{
	return (uint32_t)(random_next(&pair->random) % limit);
}

/* Favours the places where something changed. */
static const struct trace_point *pick(struct pair *pair,
				      const struct trace *trace)
{
	const struct trace_point *point = NULL;

	for (int i = 0; i < 4; i++) {
		point = &trace->points[below(pair, trace->count)];
		if (point->kind != TRACE_PLAIN)
			break;
	}
	return point;
}

/* Runs to the end, untraced, and reaps. */
static void finish(pid_t pid)
{
	trace_release(pid);
	trace_reap(pid);
}

static pid_t begin(const struct operation *operation, uint32_t page)
{
	struct act act = {
		.stage = &stage, .operation = operation, .page = page
	};

	return trace_spawn(act_body, &act);
}

/* Whose turn came first is not known, so order and deliveries are less so. */
static void loosen(void)
{
	for (uint32_t i = 0; i < stage.ledger.count; i++)
		if (!stage.ledger.letters[i].held)
			stage.ledger.letters[i].deliveries_max++;
	for (uint32_t page = 0; page < 2; page++)
		for (uint32_t i = 0; i < stage.pages[page].outgoing_count; i++)
			stage.ledger.letters[stage.pages[page].outgoing[i]]
				.loose = 1;
}

static void interleave(struct pair *pair, pid_t first, pid_t second)
{
	const struct trace_point *a = pick(pair, &pair->first.trace);
	const struct trace_point *b = pick(pair, &pair->second.trace);
	struct trace_point c = *pick(pair, &pair->first.trace);
	enum lot lot = (enum lot)below(pair, LOTS);
	int first_there, second_there;

	c.arrival = 1;
	c.anchor = 0;
	c.repeat = 0;
	first_there = trace_run_to(first, a) == 0;
	second_there = trace_run_to(second, b) == 0;
	if (first_there)
		first_there = trace_run_to(first, &c) == 0;
	board->counts.kills += (lot == LOT_KILL_FIRST && first_there) ||
			       (lot == LOT_KILL_SECOND && second_there);
	if (first_there && lot == LOT_KILL_FIRST)
		trace_kill(first);
	if (second_there && lot == LOT_KILL_SECOND)
		trace_kill(second);
	else if (second_there)
		finish(second);
	if (first_there && lot != LOT_KILL_FIRST)
		finish(first);
}

/* The sender first: what it sent, the other may have received. */
static int account(const struct pair *pair)
{
	const struct operation *const operations_of[] = {
		pair->first.operation, pair->second.operation
	};
	uint32_t sender = operations_of[1]->flags & OP_SEND ? 1 : 0;

	if (oracle_account(&stage, sender, operations_of[sender]) != 0)
		return -1;
	return oracle_account(&stage, !sender, operations_of[!sender]);
}

static void try_schedule(struct pair *pair, uint32_t n)
{
	pid_t first, second;

	pair->random = (settings.seed + 1) * 0x9e3779b97f4a7c15u + n;
	if (!experiment("schedule %u of %s and %s in %s, seed %llu", n,
			pair->first.operation->name,
			pair->second.operation->name, pair->first.state->name,
			(unsigned long long)settings.seed))
		return;
	board->pc = 0;
	stage_make(&stage, pair->first.state);
	stage_announce(&stage, 0, pair->first.operation);
	stage_announce(&stage, 1, pair->second.operation);
	stage.concurrent = 1;
	loosen();
	first = begin(pair->first.operation, 0);
	if (first <= 0)
		return;
	second = begin(pair->second.operation, 1);
	if (second <= 0) {
		finish(first);
		return;
	}
	interleave(pair, first, second);
	board->counts.schedules++;
	if (account(pair) == 0 &&
	    oracle_check(&stage, 0, n, n % 16 == 0) == 0)
		experiment_passed();
	else
		experiment_failed();
}

static uint32_t schedules_wanted(void)
{
	switch (settings.portion) {
	case PORTION_MUTANT:
		return SCHEDULES_MUTANT;
	case PORTION_FULL:
		return SCHEDULES_FULL;
	default:
		return SCHEDULES_DEFAULT;
	}
}

static void run_schedules(const struct job *job)
{
	struct pair pair = {
		.first = { .operation = job->operation, .state = job->state },
		.second = { .operation = job->extra, .state = job->state }
	};

	trace_set_patience(PATIENCE_MS);
	if (play_record(&pair.first) != 0 || play_record(&pair.second) != 0) {
		board->counts.skipped++;
		return;
	}
	for (uint32_t n = 0; n < schedules_wanted(); n++)
		try_schedule(&pair, n);
	trace_free(&pair.first.trace);
	trace_free(&pair.second.trace);
}

static int wanted(const struct operation *operation, const struct state *state)
{
	return operation->flags & OP_LOCK_FREE && state->order == STOA_FIFO &&
	       operation->flags & OP_CORE && state->tags & STATE_CORE;
}

size_t list_schedule_jobs(struct job *jobs, size_t room)
{
	size_t count = 0, pairs = operations_count * operations_count;

	for (size_t i = 0; i < states_count; i++)
		for (size_t k = 0; k < pairs && count < room; k++) {
			const struct operation *first =
				&operations[k / operations_count];
			const struct operation *second =
				&operations[k % operations_count];

			if (wanted(first, &states[i]) &&
			    wanted(second, &states[i]))
				jobs[count++] = (struct job){
					.suite = "schedule",
					.operation = first,
					.state = &states[i],
					.extra = second,
					.run = run_schedules
				};
		}
	return count;
}
