/* SPDX-License-Identifier: MIT */
/*
 * sweep.c: the victim is killed at every instruction of its operation, and at
 * entry to and exit from each of its system calls.
 */
#include "sweep.h"

#include <stdlib.h>

void play_set_up(struct play *play)
{
	stage_make(&stage, play->state);
	stage_announce(&stage, 0, play->operation);
}

pid_t play_begin(struct play *play)
{
	struct act act = {
		.stage = &stage, .operation = play->operation, .page = 0
	};
	pid_t pid = trace_spawn(act_body, &act);

	if (pid < 0)
		broken("the victim of %s in %s did not begin",
		       play->operation->name, play->state->name);
	return pid;
}

pid_t play_spawn(struct play *play)
{
	play_set_up(play);
	return play_begin(play);
}

int play_record(struct play *play)
{
	pid_t pid = play_spawn(play);

	if (pid == 0)
		return -1;
	stage_observe(&stage);
	if (trace_record(pid, stage_observe, &stage, &play->trace) != 0)
		broken("can't trace %s in %s", play->operation->name,
		       play->state->name);
	trace_kill(pid);
	return 0;
}

pid_t play_to(struct play *play, const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t pid = play_spawn(play);

		if (pid > 0 && trace_run_to(pid, &aim) == 0)
			return pid;
	}
	experiment_missed();
	return 0;
}

static void judge(const struct play *play, uint32_t variant, int thorough)
{
	if (oracle_account(&stage, 0, play->operation) == 0 &&
	    oracle_check(&stage, play->operation->flags, variant,
			 thorough) == 0)
		experiment_passed();
	else
		experiment_failed();
}

static void kill_at(struct play *play, size_t n, uint32_t variant)
{
	const struct trace_point *point = &play->trace.points[n];
	pid_t pid;

	if (!experiment("kill %s in %s, place %zu of %zu, variant %u",
			play->operation->name, play->state->name, n,
			play->trace.count, variant))
		return;
	board->pc = point->pc;
	pid = play_to(play, point);
	if (pid == 0)
		return;
	trace_kill(pid);
	board->counts.kills++;
	judge(play, variant, n % 8 == 0 || point->kind);
}

static void kill_at_syscalls(struct play *play)
{
	pid_t pid = play_spawn(play);
	size_t stops = pid > 0 ? trace_count_syscalls(pid) : 0;

	for (size_t n = 1; n <= stops; n++) {
		if (!portion_wants_stop(n))
			continue;
		if (!experiment("kill %s in %s, system-call stop %zu of %zu",
				play->operation->name, play->state->name, n,
				stops))
			continue;
		board->pc = 0;
		pid = play_spawn(play);
		if (pid == 0 || trace_run_to_syscall(pid, n) != 0) {
			experiment_missed();
			continue;
		}
		trace_kill(pid);
		board->counts.kills++;
		board->counts.syscalls++;
		judge(play, (uint32_t)n, 1);
	}
}

static int compare_pc(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t count_distinct(uint64_t *addresses, size_t count)
{
	uint64_t distinct = 0;

	qsort(addresses, count, sizeof(*addresses), compare_pc);
	for (size_t i = 0; i < count; i++)
		distinct += i == 0 || addresses[i] != addresses[i - 1];
	return distinct;
}

/* Elsewhere the survivor's ways take turns. */
static uint32_t variants_wanted(const struct trace_point *point)
{
	return settings.portion == PORTION_FULL && point->kind != TRACE_PLAIN
		       ? VARIANTS
		       : 1;
}

static int check_high_water(void)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };
	int result = stoa_queue_stat(stage.queue, &stat);

	if (result != 0)
		return trouble("stat: %d", result);
	if (stat.high_water > stage.most)
		return trouble("the high-water mark is %llu, but never more "
			       "than %u were there",
			       (unsigned long long)stat.high_water, stage.most);
	return 0;
}

/* Nobody dies: the oracle must find nothing wrong with the state itself. */
static void run_calm(const struct job *job)
{
	for (uint32_t n = 0; n < VARIANTS * SIZES; n++) {
		if (!experiment("nobody killed in %s, variant %u",
				job->state->name, n / SIZES))
			continue;
		stage_make(&stage, job->state);
		if (check_high_water() == 0 &&
		    oracle_check(&stage, 0, n / SIZES, 1) == 0)
			experiment_passed();
		else
			experiment_failed();
	}
}

size_t list_calm_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < states_count && count < room; i++)
		jobs[count++] = (struct job){
			.suite = "calm", .state = &states[i], .run = run_calm
		};
	return count;
}

static void run_kill(const struct job *job)
{
	struct play play = {
		.operation = job->operation, .state = job->state
	};
	uint64_t *addresses;
	size_t tried = 0;

	if (play_record(&play) != 0) {
		board->counts.skipped++;
		return;
	}
	addresses = calloc(play.trace.count + 1, sizeof(*addresses));
	for (size_t n = 0; n < play.trace.count && addresses != NULL; n++) {
		const struct trace_point *point = &play.trace.points[n];
		uint32_t variants = variants_wanted(point);

		if (!portion_wants(point, n))
			continue;
		addresses[tried++] = point->pc;
		for (uint32_t i = 0; i < variants; i++)
			kill_at(&play, n,
				(uint32_t)(settings.seed + tried + i));
	}
	board->counts.points += tried;
	board->counts.instructions += count_distinct(addresses, tried);
	free(addresses);
	kill_at_syscalls(&play);
	trace_free(&play.trace);
}

int applies(const struct operation *operation, const struct state *state)
{
	if (operation->flags & OP_TYPE && state->order != STOA_TYPE)
		return 0;
	if (settings.portion == PORTION_FULL)
		return 1;
	if (operation->flags & OP_CORE)
		return state->tags & STATE_CORE;
	return state->tags & STATE_NESTED && state->order == STOA_TYPE;
}

size_t list_kill_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < states_count; i++)
		for (size_t k = 0; k < operations_count && count < room; k++)
			if (applies(&operations[k], &states[i]))
				jobs[count++] = (struct job){
					.suite = "kill",
					.operation = &operations[k],
					.state = &states[i],
					.run = run_kill
				};
	return count;
}
