/* SPDX-License-Identifier: MIT */
/*
 * circle.c: deadlock circles over three kinds of lock as a subject.
 *
 *     victim  has the near lock,  waits for the far one, which closes the circle
 *     helper  has the middle one, waits for the near one
 *     waiter  has the far one,    waits for the middle one
 *
 * The victim is refused, as it asked last (or sleeps on, where its lock refuses
 * nobody), and dies at each place on the way there. Then the circle is none: its
 * record in the wait files is a dead one's. The helper stands still until the
 * waiter has looked again, and must not have been refused; then the helper has
 * the near lock, and in the end the waiter the middle one.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <base/thread.h>
#include <space/object.h>

#include "subject.h"

#define LOCKS 3u
/* It looks two or three times in so many. */
#define STEPS_WHERE_NOT_REFUSED 12000u
/* So often it has gone to sleep since it was shown, at most, before it looks
 * again: the sleep, one slice more, the stop, the sleep that the kernel takes up
 * again after it; and then once more when it has looked. */
#define LOOKED_AGAIN 5u
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* By the kind of the lock that the victim waits for. */
enum situation_number { MUTEX, RANGE, RWLOCK };
enum place { NEAR, MIDDLE, FAR };

struct circle {
	struct stoa_mutex *mutex;
	struct stoa_range_lock *range;
	struct stoa_rwlock *rwlock;
};

static const enum situation_number kinds[][LOCKS] = {
	[MUTEX] = { [NEAR] = RWLOCK, [MIDDLE] = RANGE, [FAR] = MUTEX },
	[RANGE] = { [NEAR] = MUTEX, [MIDDLE] = RWLOCK, [FAR] = RANGE },
	[RWLOCK] = { [NEAR] = RANGE, [MIDDLE] = MUTEX, [FAR] = RWLOCK }
};

/* 0, -EOWNERDEAD with the lock, or another error. */
static int lock(struct scene *s, enum place place,
		struct stoa_deadline deadline)
{
	struct circle *circle = s->object;

	switch (kinds[s->state_number][place]) {
	case MUTEX: return stoa_mutex_lock(circle->mutex, deadline);
	case RANGE:
		return stoa_range_lock_lock(circle->range, NULL, deadline);
	default: return stoa_rwlock_lock_write(circle->rwlock, deadline);
	}
}

static int mend(struct scene *s, enum place place)
{
	struct circle *circle = s->object;

	switch (kinds[s->state_number][place]) {
	case MUTEX: return stoa_mutex_consistent(circle->mutex);
	case RWLOCK: return stoa_rwlock_consistent(circle->rwlock);
	default: return -EINVAL; /* a range lock tells of no dead owner */
	}
}

static int unlock(struct scene *s, enum place place)
{
	struct circle *circle = s->object;

	switch (kinds[s->state_number][place]) {
	case MUTEX: return stoa_mutex_unlock(circle->mutex);
	case RANGE: return stoa_range_lock_unlock(circle->range, NULL);
	default: return stoa_rwlock_unlock(circle->rwlock);
	}
}

static int lock_and_mend(struct scene *s, enum place place)
{
	int result = lock(s, place, stoa_deadline_in(patient_ns()));

	return result == -EOWNERDEAD ? mend(s, place) : result;
}

/* ---- The object ----------------------------------------------------------------- */

static void plumb_close(void *object)
{
	struct circle *circle = object;

	stoa_mutex_close(circle->mutex);
	stoa_range_lock_close(circle->range);
	stoa_rwlock_close(circle->rwlock);
	free(circle);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_mutex_attributes checked = {
		.size = sizeof(checked), .kind = STOA_MUTEX_CHECKED
	};
	struct circle *circle = calloc(1, sizeof(*circle));
	int result = circle == NULL ? -ENOMEM : 0;

	if (result == 0)
		result = stoa_mutex_open(s->space, NULL, STOA_CREATE, 0,
					 &checked, &circle->mutex);
	if (result == 0)
		result = stoa_range_lock_open(s->space, NULL, STOA_CREATE, 0,
					      NULL, &circle->range);
	if (result == 0)
		result = stoa_rwlock_open(s->space, NULL, STOA_CREATE, 0, NULL,
					  &circle->rwlock);
	if (result == 0)
		*ret_object = circle;
	else if (circle != NULL)
		plumb_close(circle);
	return result;
}

static int never_opened(struct stoa_space *space, const char *name,
			void **ret_object)
{
	(void)space;
	(void)name;
	(void)ret_object;
	return -ENOENT;
}

static int never_unlinked(struct stoa_space *space, const char *name)
{
	(void)space;
	(void)name;
	return -ENOENT;
}

static int plumb_remove(void *object)
{
	struct circle *circle = object;

	return stoa_mutex_remove(circle->mutex);
}

static int plumb_stat(void *object)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };
	struct circle *circle = object;

	return stoa_mutex_stat(circle->mutex, &status);
}

/* ---- Deeds ------------------------------------------------------------------------ */

/* What was given up before, here or by the survivor, is nothing to do with it;
 * but who stands still can't look again, to see that. */
static void forget_given_up(void)
{
	stoa_thread_here.gave_up = 0;
}

static void have(struct player *p, enum place place)
{
	if (lock(p->scene, place, STOA_NOW) != 0)
		_exit(1);
	forget_given_up();
}

/* As on a machine with one processor: ten thousand steps of spinning would
 * come before what this is about. (Its handle has entered the far lock by then:
 * that counts processors anew.) */
static void never_spin(const struct circle *circle)
{
	atomic_store(&stoa_mutex_object(circle->mutex)->processors, 1);
	atomic_store(&stoa_range_lock_object(circle->range)->processors, 1);
	atomic_store(&stoa_rwlock_object(circle->rwlock)->processors, 1);
}

static void have_near(struct player *p)
{
	have(p, FAR);
	if (unlock(p->scene, FAR) != 0)
		_exit(1);
	have(p, NEAR);
	never_spin(p->object);
}

static void have_middle(struct player *p)
{
	have(p, MIDDLE);
}

static void have_far(struct player *p)
{
	have(p, FAR);
}

static int64_t close_circle(struct player *p)
{
	return lock(p->scene, FAR, STOA_FOREVER);
}

/* Gives up all when it has got it, so that the others come to their end. */
static int64_t wait_for(struct player *p, enum place wanted, enum place had)
{
	int result = lock(p->scene, wanted, STOA_FOREVER);

	if (result == -EOWNERDEAD)
		result = mend(p->scene, wanted);
	if (result == 0)
		result = unlock(p->scene, wanted);
	return result == 0 ? unlock(p->scene, had) : result;
}

static int64_t wait_near(struct player *p)
{
	return wait_for(p, NEAR, MIDDLE);
}

static int64_t wait_middle(struct player *p)
{
	return wait_for(p, MIDDLE, FAR);
}

static const struct deed helping = {
	"wait-near", DEED_WAITS, 0, have_middle, wait_near, NULL
};

enum deed_number { CLOSE_CIRCLE, WAIT_MIDDLE, DEEDS };

static const struct deed deeds[] = {
	[CLOSE_CIRCLE] = { "close-circle", DEED_WAITS, 0, have_near,
			   close_circle, NULL },
	[WAIT_MIDDLE] = { "wait-middle", DEED_WAITS, 0, have_far, wait_middle,
			  NULL }
};

static const struct situation situations[] = {
	[MUTEX] = { "mutex", NULL },
	[RANGE] = { "range", NULL },
	[RWLOCK] = { "rwlock", NULL }
};

/* ---- Standing still ----------------------------------------------------------------- */

enum word { SWITCHES, LOOKED };

struct sought {
	pid_t pid;
	int shown;
};

static int look_for_pid(const struct stoa_waiting *waiting, void *context)
{
	struct sought *sought = context;

	sought->shown |= waiting->pid == sought->pid;
	return 0;
}

/* Until the wait files show it. */
static void await_shown(struct scene *s, uint32_t player)
{
	struct sought sought = { s->pids[player], 0 };

	while (!sought.shown) {
		if (scene_ended(s, player))
			broken("player %u ended instead of waiting", player);
		sched_yield();
		stoa_space_each_waiting(s->space, 0, look_for_pid, &sought);
	}
}

static uint64_t switches_of(pid_t pid)
{
	unsigned long long switches = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL &&
	       sscanf(line, "voluntary_ctxt_switches: %llu", &switches) != 1)
		;
	if (file != NULL)
		fclose(file);
	return switches;
}

static void arrived(struct scene *s)
{
	uint32_t helper;

	if (s->deeds[VICTIM] != &deeds[CLOSE_CIRCLE])
		return;
	trace_set_steps(s->state_number == RWLOCK ? STEPS_WHERE_NOT_REFUSED : 0);
	helper = scene_sleeper(s, &helping);
	await_shown(s, helper);
	trace_stop(s->pids[helper]);
}

static void asleep(struct scene *s)
{
	await_shown(s, WAITER);
	atomic_store(&s->words[SWITCHES], switches_of(s->pids[WAITER]));
}

/* ---- Oracle --------------------------------------------------------------------------- */

static int check_results(const struct scene *s)
{
	int64_t result;

	if (s->deeds[VICTIM] == &deeds[CLOSE_CIRCLE] &&
	    note_done(s, VICTIM, &result) && result != -EDEADLK)
		return trouble("who closed the circle was told %lld, not "
			       "-EDEADLK", (long long)result);
	if (note_done(s, WAITER, &result) && result != 0)
		return trouble("the waiter was told %lld when there was no "
			       "circle any more", (long long)result);
	if (note_done(s, HELPERS_FROM, &result) && result != 0)
		return trouble("the helper was told %lld", (long long)result);
	return 0;
}

static int any(const struct stoa_waiting *waiting, void *context)
{
	(void)waiting;
	(void)context;
	return 0;
}

/* All locks can be had, as often as one likes, and nobody is seen to wait. */
static int check(struct scene *s, uint32_t variant)
{
	int result, waiting;

	(void)variant;
	if (check_results(s) != 0)
		return -1;
	for (enum place place = NEAR; place <= FAR; place++) {
		result = lock_and_mend(s, place);
		if (result == 0)
			result = unlock(s, place);
		if (result != 0)
			return trouble("lock %d of the circle: %d", (int)place,
				       result);
	}
	waiting = stoa_space_each_waiting(s->space, 0, any, NULL);
	return waiting == 0 ? 0 : trouble("%d are seen to wait", waiting);
}

/* ---- Blocked ---------------------------------------------------------------------------- */

/* The helper goes on when the waiter has looked, and slept again. */
static int stuck(struct scene *s, const struct deed *wait)
{
	(void)wait;
	if (atomic_load(&s->words[LOOKED]) == 0 &&
	    switches_of(s->pids[WAITER]) >=
		    atomic_load(&s->words[SWITCHES]) + LOOKED_AGAIN) {
		atomic_store(&s->words[LOOKED], 1);
		kill(s->pids[HELPERS_FROM], SIGCONT);
	}
	return 0;
}

static int give(struct scene *s, const struct deed *wait)
{
	(void)s;
	(void)wait;
	return 0;
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_MIDDLE], &deeds[CLOSE_CIRCLE], MUTEX, NULL },
	{ &deeds[WAIT_MIDDLE], &deeds[CLOSE_CIRCLE], RANGE, NULL },
	{ &deeds[WAIT_MIDDLE], &deeds[CLOSE_CIRCLE], RWLOCK, NULL }
};

const struct subject circle_subject = {
	.name = "circle",
	.unnamed = ONLY_UNNAMED,
	.states = situations,
	.states_count = ARRAY_SIZE(situations),
	.deeds = deeds,
	.deeds_count = ARRAY_SIZE(deeds),
	.wakings = wakings,
	.wakings_count = ARRAY_SIZE(wakings),
	.make = make,
	.open = never_opened,
	.close = plumb_close,
	.unlink = never_unlinked,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.arrived = arrived,
	.asleep = asleep,
	.check = check,
	.stuck = stuck,
	.give = give
};
