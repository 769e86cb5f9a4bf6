/* SPDX-License-Identifier: MIT */
/*
 * nested.c: the first victim is killed wherever it has just changed what others
 * can see; the second, who meets what it left, at every instruction of what it
 * does about it; the third checks.
 */
#include "sweep.h"

/* Of the deaths and of the places after them, outside the full portion. */
#define DEATHS_STRIDE 4u
#define PLACES_STRIDE 4u

/* Repairs, by which of them is tried after which death. */
static const struct operation *repairs[8];
static size_t repairs_count;

struct nest {
	struct play first;
	const struct trace_point *death;
	size_t death_number;
	const struct operation *repair;
};

static void find_repairs(void)
{
	repairs_count = 0;
	for (size_t i = 0; i < operations_count; i++)
		if (operations[i].flags & OP_BURY)
			repairs[repairs_count++] = &operations[i];
}

/*
 * The state, the second one at its beginning, and the first one's death in
 * that order: so the second has not yet met the dead. 0: missed.
 */
static pid_t set_up(struct nest *nest, int number)
{
	struct trace_point death = trial(nest->death, number);
	struct act act = {
		.stage = &stage, .operation = nest->repair, .page = 1
	};
	pid_t first, second;

	play_set_up(&nest->first);
	stage.concurrent = 1; /* the second may not have met the dead yet */
	stage_announce(&stage, 1, nest->repair);
	second = trace_spawn(act_body, &act);
	if (second <= 0)
		broken("%s did not begin", nest->repair->name);
	first = play_begin(&nest->first);
	if (first > 0 && trace_run_to(first, &death) == 0) {
		trace_kill(first);
		board->counts.kills++;
		return second;
	}
	trace_kill(second);
	return 0;
}

/* The second stopped at that place, the first dead; 0: missed. */
static pid_t set_up_to(struct nest *nest, const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t pid = set_up(nest, i);

		if (pid > 0 && trace_run_to(pid, &aim) == 0)
			return pid;
	}
	return 0;
}

static void judge(const struct nest *nest, uint32_t variant)
{
	if (oracle_account(&stage, 0, nest->first.operation) == 0 &&
	    oracle_account(&stage, 1, nest->repair) == 0 &&
	    oracle_check(&stage, 0, variant, variant % 16 == 0) == 0)
		experiment_passed();
	else
		experiment_failed();
}

static void kill_repairer(struct nest *nest, const struct trace *trace,
			  size_t n)
{
	pid_t pid;

	if (!experiment("nested %s in %s killed at place %zu, then %s at place "
			"%zu of %zu", nest->first.operation->name,
			nest->first.state->name, nest->death_number,
			nest->repair->name, n, trace->count))
		return;
	board->pc = trace->points[n].pc;
	pid = set_up_to(nest, &trace->points[n]);
	if (pid == 0) {
		experiment_missed();
		return;
	}
	trace_kill(pid);
	board->counts.kills++;
	board->counts.nested++;
	judge(nest, (uint32_t)n);
}

static void sweep_repair(struct nest *nest)
{
	struct trace trace;
	pid_t pid = 0;
	size_t turn = 0;

	for (int i = 0; i < TRIES && pid == 0; i++)
		pid = set_up(nest, i);
	if (pid == 0) {
		experiment_missed();
		return;
	}
	stage_observe(&stage);
	if (trace_record(pid, stage_observe, &stage, &trace) != 0)
		broken("can't trace %s after %s in %s", nest->repair->name,
		       nest->first.operation->name, nest->first.state->name);
	trace_kill(pid);
	for (size_t n = 0; n < trace.count; n++)
		if (portion_wants(&trace.points[n], n) &&
		    portion_turn(turn++, PLACES_STRIDE))
			kill_repairer(nest, &trace, n);
	trace_free(&trace);
}

static void run_nested(const struct job *job)
{
	struct nest nest = {
		.first = { .operation = job->operation, .state = job->state }
	};
	uint64_t turn = settings.seed;
	size_t deaths = 0;

	find_repairs();
	if (play_record(&nest.first) != 0) {
		board->counts.skipped++;
		return;
	}
	for (size_t n = 0; n < nest.first.trace.count; n++) {
		nest.death = &nest.first.trace.points[n];
		if (nest.death->kind == TRACE_PLAIN ||
		    !portion_wants(nest.death, n))
			continue;
		if (!portion_turn(deaths++, DEATHS_STRIDE) &&
		    !(nest.death->kind & TRACE_END))
			continue;
		nest.death_number = n;
		nest.repair = repairs[turn++ % repairs_count];
		sweep_repair(&nest);
	}
	trace_free(&nest.first.trace);
}

static int wanted(const struct operation *operation, const struct state *state)
{
	if (!(operation->flags & OP_CORE) || !(state->tags & STATE_CORE) ||
	    state->tags & STATE_EMPTY)
		return 0;
	if (operation->flags & OP_TYPE && state->order != STOA_TYPE)
		return 0;
	if (settings.portion == PORTION_FULL)
		return 1;
	return operation->flags & OP_BURY && state->tags & STATE_NESTED &&
	       state->order != STOA_PRIORITY;
}

size_t list_nested_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < states_count; i++)
		for (size_t k = 0; k < operations_count && count < room; k++)
			if (wanted(&operations[k], &states[i]))
				jobs[count++] = (struct job){
					.suite = "nested",
					.operation = &operations[k],
					.state = &states[i],
					.run = run_nested
				};
	return count;
}
