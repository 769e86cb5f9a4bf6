/* SPDX-License-Identifier: MIT */
/*
 * subject_blocked.c: deaths around waiting, for every noun. A waiter is killed
 * asleep, or at each place after it was woken, and the one who should wake
 * others at each place of that; a second waiter, alive, must always come to its
 * end.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "subject.h"

/* Outside the full portion: of the places where nothing changed, and the most
 * of all in one job. */
#define PLAIN_STRIDE 13u
#define PLACES_MAX 40u
#define ROUNDS_DEFAULT 4u
#define ROUNDS_MUTANT 2u
#define ROUNDS_FULL 100u
#define PATIENCE_MS 200 /* then the victim sleeps again: a place missed */
#define WOKEN_MAX 2000u
/* All system calls come by one instruction. */
#define ARRIVALS_MAX 64u

#define JOB_NUMBER(waking, form) ((waking) << 2 | (unsigned)(form))
#define WAKING_OF(number) ((number) >> 2)
#define FORM_OF(number) ((enum form)((number) & 3))

struct vigil {
	const struct subject *subject;
	const struct waking *waking;
};

static const char *state_name(const struct vigil *vigil)
{
	return vigil->subject->states[vigil->waking->state].name;
}

/*
 * The waiter ends by itself, or rightly waits and ends when it is given what
 * it waits for; once more if others got it. (The hang limit is the worker's.)
 */
static int satisfy(const struct vigil *vigil)
{
	const struct deed *wait = vigil->waking->wait;
	int given = 0;

	prompt_watch(&scene);
	kill(scene.pids[WAITER], SIGCONT);
	while (!scene_waiter_ended()) {
		if (vigil->subject->stuck(&scene, wait)) {
			given = 1;
			if (vigil->subject->give(&scene, wait) != 0)
				return -1;
		}
		sched_yield();
	}
	if (scene_await_waiter() != 0)
		return -1;
	return given || vigil->subject->prompt_ns == 0 ?
		       0 :
		       prompt_waiter(&scene);
}

/* 0: it is to be done again. */
static int judge(const struct vigil *vigil, uint32_t variant, uint32_t *tries)
{
	int result = satisfy(vigil);

	board->counts.blocked++;
	if (result == 0)
		result = scene_check(variant, 1);
	return judged(result, tries);
}

static const struct deed *sleeper_of(const struct vigil *vigil)
{
	return vigil->waking->sleeper != NULL ? vigil->waking->sleeper
					      : vigil->waking->wait;
}

/* ---- The waiter dies ------------------------------------------------------------ */

static pid_t bring_sleeper(const struct vigil *vigil)
{
	pid_t victim;

	scene_make(vigil->waking->state);
	victim = scene_spawn(VICTIM, sleeper_of(vigil));
	if (victim <= 0 || trace_run_to_sleep(victim) != 0)
		broken("%s does not sleep in %s", sleeper_of(vigil)->name,
		       state_name(vigil));
	return victim;
}

static void kill_asleep(const struct vigil *vigil, uint32_t round)
{
	const struct deed *wait = vigil->waking->wait;
	int gives_first = round % 2 == 0;
	uint32_t tries = 0;
	pid_t victim;

	if (!experiment("%s in %s %s killed asleep, round %u",
			sleeper_of(vigil)->name, vigil->subject->name,
			state_name(vigil), round))
		return;
	board->pc = 0;
	do {
		victim = bring_sleeper(vigil);
		scene_start_waiter(wait);
		if (gives_first)
			vigil->subject->give(&scene, sleeper_of(vigil));
		trace_kill(victim);
		scene.died_asleep = 1;
		board->counts.kills++;
	} while (!judge(vigil, round, &tries));
}

/*
 * The living waiter stands still until the victim is dead: else it would take
 * what was given from under the victim's hands, which then sleeps on.
 */
static void start_stopped_waiter(const struct vigil *vigil)
{
	scene_start_waiter(vigil->waking->wait);
	if (vigil->subject->asleep != NULL)
		vigil->subject->asleep(&scene);
	trace_stop(scene.pids[WAITER]);
}

/* The first waiter at its return from its sleep, when it was given what it
 * waits for. */
static pid_t bring_woken(const struct vigil *vigil)
{
	pid_t victim = bring_sleeper(vigil);

	start_stopped_waiter(vigil);
	if (vigil->subject->give(&scene, sleeper_of(vigil)) != 0 ||
	    trace_run_to_return(victim) != 0)
		broken("%s is not woken in %s", sleeper_of(vigil)->name,
		       state_name(vigil));
	return victim;
}

static pid_t to_place(const struct vigil *vigil,
		      pid_t (*bring)(const struct vigil *),
		      const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t victim = bring(vigil);

		trace_set_patience(PATIENCE_MS);
		if (trace_run_to(victim, &aim) == 0)
			return victim;
	}
	return 0;
}

static void kill_woken(const struct vigil *vigil, const struct trace *trace,
		       size_t n)
{
	uint32_t tries = 0;
	pid_t victim;

	if (!experiment("%s in %s %s killed at place %zu of %zu after waking",
			sleeper_of(vigil)->name, vigil->subject->name,
			state_name(vigil), n, trace->count))
		return;
	board->pc = trace->points[n].pc;
	do {
		victim = to_place(vigil, bring_woken, &trace->points[n]);
		if (victim == 0) {
			experiment_missed();
			return;
		}
		trace_kill(victim);
		board->counts.kills++;
	} while (!judge(vigil, (uint32_t)n, &tries));
}

/* Far behind the beginning is mostly spinning, and what one can see of it. */
static int wanted(const struct trace *trace, size_t n)
{
	const struct trace_point *point = &trace->points[n];

	if (point->kind != TRACE_PLAIN)
		return point->arrival <= ARRIVALS_MAX ||
		       portion_wants(point, n);
	if (n >= WOKEN_MAX)
		return 0;
	return portion_wants(point, n) ||
	       (settings.portion != PORTION_MUTANT &&
		portion_turn(n, PLAIN_STRIDE));
}

static void sweep_places(const struct vigil *vigil, const struct trace *trace,
			 void (*kill_there)(const struct vigil *,
					    const struct trace *, size_t))
{
	size_t count = 0, turn = 0;

	for (size_t n = 0; n < trace->count; n++)
		count += wanted(trace, n) != 0;
	for (size_t n = 0; n < trace->count; n++)
		if (wanted(trace, n) &&
		    portion_turn(turn++, count / PLACES_MAX + 1))
			kill_there(vigil, trace, n);
}

static uint32_t rounds_wanted(void)
{
	switch (settings.portion) {
	case PORTION_MUTANT:
		return ROUNDS_MUTANT;
	case PORTION_FULL:
		return ROUNDS_FULL;
	default:
		return ROUNDS_DEFAULT;
	}
}

static void run_waiter_dies(const struct vigil *vigil)
{
	struct trace trace;
	pid_t victim;

	for (uint32_t round = 0; round < rounds_wanted(); round++)
		kill_asleep(vigil, round);
	victim = bring_woken(vigil);
	scene_observe(&scene);
	if (trace_record(victim, scene_observe, &scene, &trace) != 0)
		broken("can't trace %s after waking",
		       sleeper_of(vigil)->name);
	trace_kill(victim);
	sweep_places(vigil, &trace, kill_woken);
	trace_free(&trace);
}

/* ---- The one who should wake dies ------------------------------------------------- */

/* What the waker holds, it holds before the waiter comes. */
static pid_t bring_waker(const struct vigil *vigil)
{
	pid_t victim;

	scene_make(vigil->waking->state);
	victim = scene_spawn(VICTIM, vigil->waking->waker);
	if (victim <= 0)
		broken("the victim of %s in %s did not begin",
		       vigil->waking->waker->name, state_name(vigil));
	start_stopped_waiter(vigil);
	return victim;
}

static void kill_waker(const struct vigil *vigil, const struct trace *trace,
		       size_t n)
{
	uint32_t tries = 0;
	pid_t victim;

	if (!experiment("%s waits in %s %s, %s killed at place %zu of %zu",
			vigil->waking->wait->name, vigil->subject->name,
			state_name(vigil), vigil->waking->waker->name, n,
			trace->count))
		return;
	board->pc = trace->points[n].pc;
	do {
		victim = to_place(vigil, bring_waker, &trace->points[n]);
		if (victim == 0) {
			experiment_missed();
			return;
		}
		trace_kill(victim);
		board->counts.kills++;
	} while (!judge(vigil, (uint32_t)n, &tries));
}

static void run_waker_dies(const struct vigil *vigil)
{
	struct trace trace;
	pid_t victim;

	/* A rehearsal: see warm_up() in subject_kill.c. */
	trace_kill(bring_waker(vigil));
	if ((satisfy(vigil) != 0 || scene_check(0, 0) != 0) && !board->late)
		broken("%s killed before it began: %s",
		       vigil->waking->waker->name, board->trouble);
	victim = bring_waker(vigil);
	scene_observe(&scene);
	if (trace_record(victim, scene_observe, &scene, &trace) != 0)
		broken("can't trace %s", vigil->waking->waker->name);
	trace_kill(victim);
	sweep_places(vigil, &trace, kill_waker);
	trace_free(&trace);
}

/* ---- Jobs ---------------------------------------------------------------------------- */

static void run_blocked(const struct job *job)
{
	const struct subject *subject = job->extra;
	struct vigil vigil = {
		.subject = subject,
		.waking = &subject->wakings[WAKING_OF(job->number)]
	};

	scene_open(subject, FORM_OF(job->number), worker_path);
	/* As warm_up() in subject_kill.c. */
	scene_make(vigil.waking->state);
	if (subject->check(&scene, 0) != 0)
		broken("before anything happened: %s", board->trouble);
	if (vigil.waking->waker == NULL)
		run_waiter_dies(&vigil);
	else
		run_waker_dies(&vigil);
	scene_close();
}

/* Outside the full portion the other forms take turns. */
static int form_wanted(const struct subject *subject, uint32_t i,
		       enum form form)
{
	const struct waking *waking = &subject->wakings[i];

	if (form == FORM_PLACED && waking->wait->flags & DEED_IN_FILE)
		return 0;
	return has_form(subject, waking->state, form) &&
	       (form == first_form(subject) || portion_turn(i + form, FORMS));
}

static const char *where(const struct subject *subject,
			 const struct waking *waking, enum form form)
{
	int first = form == first_form(subject);
	char text[96];

	snprintf(text, sizeof(text), "%s%s%s/%s%s%s", waking->wait->name,
		 waking->sleeper != NULL ? "+" : "",
		 waking->sleeper != NULL ? waking->sleeper->name : "",
		 subject->states[waking->state].name, first ? "" : "/",
		 first ? "" : form_names[form]);
	return strdup(text);
}

static size_t list_one(const struct subject *subject, enum form form,
		       const char *suite, struct job *jobs, size_t room)
{
	size_t count = 0;

	for (uint32_t i = 0; i < subject->wakings_count && count < room; i++) {
		const struct waking *waking = &subject->wakings[i];

		if (!form_wanted(subject, i, form))
			continue;
		jobs[count++] = (struct job){
			.suite = suite,
			.name = waking->waker != NULL ? waking->waker->name
						      : "waiter",
			.where = where(subject, waking, form),
			.extra = subject,
			.number = JOB_NUMBER(i, form),
			.run = run_blocked
		};
	}
	return count;
}

size_t list_subject_blocked_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;
	char suite[96];

	for (size_t i = 0; subjects[i] != NULL; i++) {
		snprintf(suite, sizeof(suite), "%s-blocked", subjects[i]->name);
		for (enum form form = 0; form < FORMS; form++)
			count += list_one(subjects[i], form, strdup(suite),
					  jobs + count, room - count);
	}
	return count;
}
