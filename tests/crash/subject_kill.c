/* SPDX-License-Identifier: MIT */
/*
 * subject_kill.c: a victim is killed at every instruction and system call of
 * every deed of every noun; and a second one, in the deed that meets what the
 * first one left.
 */
#include <stdlib.h>
#include <string.h>

#include "subject.h"

/* Outside the full portion: of the states of deeds that are not of the core;
 * and the most of deaths before a nested one, and of the places after them. */
#define STATES_STRIDE 3u
#define CORE_STRIDE 2u /* only in the default portion */
#define NESTED_STRIDE 8u
#define DEATHS_MAX 6u
#define PLACES_MAX 8u
#define CALM_VARIANTS 4u

#define FORM_OF(number) ((enum form)((number) & 3))
#define STATE_OF(number) ((number) >> 2 & 0x3f)
#define DEED_OF(number) ((number) >> 8)
#define JOB_NUMBER(deed, state, form) \
	((deed) << 8 | (state) << 2 | (unsigned)(form))

struct sweep {
	const struct subject *subject;
	const struct deed *deed;
	uint32_t state;
	struct trace trace;
};

static const struct deed *deed_of(const struct subject *subject, uint32_t i)
{
	return i < subject->deeds_count ? &subject->deeds[i]
					: &common_deeds[i -
							subject->deeds_count];
}

static uint32_t count_deeds(const struct subject *subject)
{
	return subject->deeds_count + common_deeds_count;
}

static const char *state_name(const struct subject *subject, uint32_t state)
{
	return subject->states[state].name;
}

/* ---- One victim -------------------------------------------------------------- */

static pid_t spawn(const struct sweep *sweep)
{
	pid_t pid;

	scene_make(sweep->state);
	pid = scene_spawn(VICTIM, sweep->deed);
	if (pid < 0)
		broken("the victim of %s in %s did not begin",
		       sweep->deed->name,
		       state_name(sweep->subject, sweep->state));
	return pid;
}

static pid_t spawn_to(const struct sweep *sweep,
		      const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t pid = spawn(sweep);

		if (pid > 0 && trace_run_to(pid, &aim) == 0)
			return pid;
	}
	return 0;
}

static void kill_at(const struct sweep *sweep, size_t n, uint32_t variant)
{
	const struct trace_point *point = &sweep->trace.points[n];
	uint32_t tries = 0;
	pid_t pid;

	if (!experiment("kill %s in %s %s, place %zu of %zu, variant %u",
			sweep->deed->name, sweep->subject->name,
			state_name(sweep->subject, sweep->state), n,
			sweep->trace.count, variant % CALM_VARIANTS))
		return;
	board->pc = point->pc;
	do {
		pid = spawn_to(sweep, point);
		if (pid == 0) {
			experiment_missed();
			return;
		}
		trace_kill(pid);
		board->counts.kills++;
	} while (!judged(scene_check(variant, n % 8 == 0 || point->kind),
			 &tries));
}

static void kill_at_syscall(const struct sweep *sweep, size_t n)
{
	uint32_t tries = 0;
	pid_t pid;

	if (!experiment("kill %s in %s %s, system-call stop %zu",
			sweep->deed->name, sweep->subject->name,
			state_name(sweep->subject, sweep->state), n))
		return;
	board->pc = 0;
	do {
		pid = spawn(sweep);
		if (pid == 0 || trace_run_to_syscall(pid, n) != 0) {
			experiment_missed();
			return;
		}
		trace_kill(pid);
		board->counts.kills++;
	} while (!judged(scene_check((uint32_t)n, 1), &tries));
	board->counts.syscalls++;
}

/*
 * What a process does once only, at its first use of a noun, the survivor has
 * done before victims are forked from it: else the one that is recorded would
 * be the last that does it, and its places would be missed.
 */
static void warm_up(const struct sweep *sweep)
{
	scene_make(sweep->state);
	board->trouble[0] = '\0';
	if (scene.subject->check(&scene, 0) != 0)
		printf("before %s in %s: %s\n", sweep->deed->name,
		       state_name(sweep->subject, sweep->state),
		       board->trouble);
	scene_let_all_go(&scene);
}

static int record(struct sweep *sweep)
{
	pid_t pid;

	warm_up(sweep);
	pid = spawn(sweep);
	if (pid == 0)
		return -1;
	scene_observe(&scene);
	if (trace_record(pid, scene_observe, &scene, &sweep->trace) != 0)
		broken("can't trace %s in %s", sweep->deed->name,
		       state_name(sweep->subject, sweep->state));
	trace_kill(pid);
	return 0;
}

/* ---- Jobs of the suite "<noun>" ------------------------------------------------ */

static void do_calmly(const struct sweep *sweep)
{
	pid_t pid;

	if (sweep->deed == NULL) {
		scene_make(sweep->state);
		if (sweep->subject->arrived != NULL)
			sweep->subject->arrived(&scene);
		return;
	}
	pid = spawn(sweep);
	if (pid > 0) {
		trace_release(pid);
		trace_reap(pid);
	}
}

/* Nobody is killed in the midst: the oracle must find nothing wrong with the
 * state, nor with the deed done wholly before its doer dies. */
static void run_calm(const struct sweep *sweep)
{
	uint32_t step = settings.portion == PORTION_DEFAULT ? 3 : 1;

	for (uint32_t variant = 0; variant < CALM_VARIANTS; variant += step) {
		uint32_t tries = 0;

		if (!experiment("nobody killed in the midst of %s in %s %s, "
				"variant %u",
				sweep->deed != NULL ? sweep->deed->name : "-",
				sweep->subject->name,
				state_name(sweep->subject, sweep->state),
				variant))
			continue;
		board->pc = 0;
		do
			do_calmly(sweep);
		while (!judged(scene_check(variant, 1), &tries));
	}
}

static void sweep_places(const struct sweep *sweep)
{
	const struct trace *trace = &sweep->trace;
	uint32_t tried = 0;

	for (size_t n = 0; n < trace->count; n++) {
		const struct trace_point *point = &trace->points[n];
		int all = settings.portion == PORTION_FULL &&
			  point->kind != TRACE_PLAIN;

		if (!portion_wants(point, n))
			continue;
		tried++;
		board->counts.points++;
		board->counts.instructions += point->arrival == 1 &&
					      point->repeat == 0;
		for (uint32_t i = 0; i < (all ? CALM_VARIANTS : 1); i++)
			kill_at(sweep, n,
				(uint32_t)settings.seed + tried + i);
	}
}

static void run_sweep(const struct job *job)
{
	struct sweep sweep = {
		.subject = job->extra, .state = STATE_OF(job->number)
	};
	uint32_t deed = DEED_OF(job->number);
	size_t stops;
	pid_t pid;

	scene_open(sweep.subject, FORM_OF(job->number), worker_path);
	if (deed == 0) {
		run_calm(&sweep);
		scene_close();
		return;
	}
	sweep.deed = deed_of(sweep.subject, deed - 1);
	if (record(&sweep) != 0) {
		board->counts.skipped++;
		scene_close();
		return;
	}
	run_calm(&sweep);
	sweep_places(&sweep);
	pid = spawn(&sweep);
	stops = pid > 0 ? trace_count_syscalls(pid) : 0;
	for (size_t n = 1; n <= stops; n++)
		if (portion_wants_stop(n))
			kill_at_syscall(&sweep, n);
	trace_free(&sweep.trace);
	scene_close();
}

static int applies(const struct deed *deed, uint32_t state, enum form form)
{
	if (deed->flags & DEED_WAITS)
		return 0;
	if (form != FORM_NAMED && deed->flags & DEED_NAMED)
		return 0;
	if (form == FORM_PLACED && deed->flags & DEED_IN_FILE)
		return 0;
	return deed->states == 0 || deed->states >> state & 1;
}

/* Outside the full portion forms and states take turns by the seed; those of
 * the core come more often. */
static int form_turn(const struct subject *subject, enum form form,
		     uint32_t state)
{
	return form == first_form(subject) ||
	       portion_turn(state, form == FORM_PLACED ? 2 : 3);
}

static int wanted(const struct subject *subject, const struct deed *deed,
		  uint32_t state, enum form form, uint32_t number)
{
	if (!applies(deed, state, form))
		return 0;
	if (settings.portion == PORTION_FULL)
		return 1;
	if (settings.portion == PORTION_DEFAULT && deed->flags & DEED_CORE)
		return portion_turn(state + number + form, CORE_STRIDE) &&
		       form_turn(subject, form, state);
	if (deed->flags & DEED_CORE)
		return form_turn(subject, form, state);
	return form == first_form(subject) &&
	       portion_turn(state + number, STATES_STRIDE);
}

/* Kept for good: a few thousand names. */
static const char *where(const struct subject *subject, uint32_t state,
			 unsigned form)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/%s", form_names[form],
		 state_name(subject, state));
	return strdup(name);
}

static size_t list_one(const struct subject *subject, struct job *jobs,
		       size_t room)
{
	size_t count = 0;

	for (unsigned form = 0; form < FORMS; form++)
		for (uint32_t state = 0; state < subject->states_count; state++)
			for (uint32_t d = 0; d <= count_deeds(subject); d++) {
				const struct deed *deed =
					d ? deed_of(subject, d - 1) : NULL;

				if (count == room ||
				    !has_form(subject, state, form) ||
				    (d && !wanted(subject, deed, state,
						  (enum form)form, d)))
					continue;
				jobs[count++] = (struct job){
					.suite = subject->name,
					.name = d ? deed->name : "calm",
					.where = where(subject, state, form),
					.extra = subject,
					.number = JOB_NUMBER(d, state, form),
					.run = run_sweep
				};
			}
	return count;
}

size_t list_subject_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; subjects[i] != NULL; i++)
		count += list_one(subjects[i], jobs + count, room - count);
	return count;
}

/* ---- The suite "<noun>-nested" --------------------------------------------------- */

struct nest {
	struct sweep first;
	const struct trace_point *death;
	const struct deed *repair;
};

/*
 * The second is at its beginning when the first dies, so it has not met the
 * dead yet. 0: missed. *ret_death: the first got there, so that it is the
 * second that has nothing to do.
 */
static pid_t set_up(const struct nest *nest, int number)
{
	struct trace_point death = trial(nest->death, number);
	pid_t first, second;

	scene_make(nest->first.state);
	second = scene_spawn(SECOND, nest->repair);
	if (second <= 0)
		return 0;
	first = scene_spawn(VICTIM, nest->first.deed);
	if (first > 0 && trace_run_to(first, &death) == 0) {
		trace_kill(first);
		board->counts.kills++;
		return second;
	}
	trace_kill(second);
	return 0;
}

static pid_t set_up_to(const struct nest *nest,
		       const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t pid = set_up(nest, i);

		if (pid > 0 && trace_run_to(pid, &aim) == 0)
			return pid;
	}
	return 0;
}

static void kill_second(const struct nest *nest, const struct trace *trace,
			size_t n)
{
	uint32_t tries = 0;
	pid_t pid;

	if (!experiment("nested %s in %s %s killed at %llx, then %s at place "
			"%zu of %zu", nest->first.deed->name,
			nest->first.subject->name,
			state_name(nest->first.subject, nest->first.state),
			(unsigned long long)nest->death->pc,
			nest->repair->name, n, trace->count))
		return;
	board->pc = trace->points[n].pc;
	do {
		pid = set_up_to(nest, &trace->points[n]);
		if (pid == 0) {
			experiment_missed();
			return;
		}
		trace_kill(pid);
		board->counts.kills++;
	} while (!judged(scene_check((uint32_t)n, n % 8 == 0), &tries));
	board->counts.nested++;
}

static int is_death(const struct trace_point *point, size_t n)
{
	return point->kind != TRACE_PLAIN && portion_wants(point, n);
}

/* Every so many of the places wanted make at most that many. */
static size_t stride_of(const struct trace *trace, size_t most,
			int (*counts)(const struct trace_point *, size_t))
{
	size_t count = 0;

	for (size_t n = 0; n < trace->count; n++)
		count += counts(&trace->points[n], n) != 0;
	return count / most + 1;
}

static void sweep_second(const struct nest *nest)
{
	struct trace trace;
	size_t turn = 0, stride;
	pid_t pid = 0;

	for (int i = 0; i < TRIES && pid == 0; i++)
		pid = set_up(nest, i);
	if (pid == 0)
		return;
	scene_observe(&scene);
	if (trace_record(pid, scene_observe, &scene, &trace) != 0)
		broken("can't trace %s after %s in %s", nest->repair->name,
		       nest->first.deed->name,
		       state_name(nest->first.subject, nest->first.state));
	trace_kill(pid);
	stride = stride_of(&trace, PLACES_MAX, portion_wants);
	for (size_t n = 0; n < trace.count; n++)
		if (portion_wants(&trace.points[n], n) &&
		    portion_turn(turn++, stride))
			kill_second(nest, &trace, n);
	trace_free(&trace);
}

/* The next deed, from the turn on, that repairs in this state. */
static const struct deed *find_repair(const struct sweep *first,
				      uint64_t turn, enum form form)
{
	uint32_t count = count_deeds(first->subject);

	for (uint32_t i = 0; i < count; i++) {
		const struct deed *deed =
			deed_of(first->subject, (turn + i) % count);

		if (deed->flags & DEED_REPAIRS &&
		    applies(deed, first->state, form))
			return deed;
	}
	return NULL;
}

static void run_nested(const struct job *job)
{
	struct nest nest = {
		.first = {
			.subject = job->extra,
			.state = STATE_OF(job->number),
			.deed = deed_of(job->extra, DEED_OF(job->number) - 1)
		}
	};
	uint64_t turn = settings.seed;
	size_t deaths = 0, stride;

	scene_open(nest.first.subject, FORM_OF(job->number), worker_path);
	if (record(&nest.first) != 0) {
		board->counts.skipped++;
		scene_close();
		return;
	}
	stride = stride_of(&nest.first.trace, DEATHS_MAX, is_death);
	for (size_t n = 0; n < nest.first.trace.count; n++) {
		nest.death = &nest.first.trace.points[n];
		if (!is_death(nest.death, n))
			continue;
		if (!portion_turn(deaths++, stride) &&
		    !(nest.death->kind & TRACE_END))
			continue;
		nest.repair = find_repair(&nest.first, turn++,
					  FORM_OF(job->number));
		if (nest.repair != NULL)
			sweep_second(&nest);
	}
	trace_free(&nest.first.trace);
	scene_close();
}

static size_t list_nested(const struct subject *subject, struct job *jobs,
			  size_t room)
{
	const unsigned not_these = DEED_CLOSES | DEED_UNLINKS | DEED_REMOVES;
	enum form form = first_form(subject);
	size_t count = 0;
	char suite[64];
	const char *name;

	snprintf(suite, sizeof(suite), "%s-nested", subject->name);
	name = strdup(suite);
	for (uint32_t state = 0; state < subject->states_count; state++)
		for (uint32_t d = 0; d < subject->deeds_count; d++) {
			const struct deed *deed = &subject->deeds[d];

			if (count == room || deed->flags & not_these ||
			    !(deed->flags & DEED_CORE) ||
			    !applies(deed, state, form) ||
			    !portion_turn(state + d, NESTED_STRIDE))
				continue;
			jobs[count++] = (struct job){
				.suite = name,
				.name = deed->name,
				.where = where(subject, state, form),
				.extra = subject,
				.number = JOB_NUMBER(d + 1, state, form),
				.run = run_nested
			};
		}
	return count;
}

size_t list_subject_nested_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; subjects[i] != NULL; i++)
		count += list_nested(subjects[i], jobs + count, room - count);
	return count;
}
