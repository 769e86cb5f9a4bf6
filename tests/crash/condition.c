/* SPDX-License-Identifier: MIT */
/*
 * condition.c: the condition as a subject, with a mutex that every player
 * inherits. A signal that a dead waiter has not had must come to another; a
 * broadcast comes to all or to nobody; the mutex is never left locked.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define TIMED_NS INT64_C(2000000)
#define ROOM 4u /* waiters */

HANDLE_PLUMBING(condition)

/* Without a name; made anew with each condition. */
static struct stoa_mutex *mutex;

static int plumb_stat(void *object)
{
	struct stoa_condition_status status = { .size = sizeof(status) };

	return stoa_condition_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_condition_attributes attributes = {
		.size = sizeof(attributes), .waiters = ROOM
	};
	struct stoa_condition *condition;
	int result;

	if (strcmp(s->name, SCENE_NEW_NAME) != 0) {
		stoa_mutex_close(mutex);
		mutex = NULL;
		result = stoa_mutex_open(s->space, NULL, STOA_CREATE, 0600,
					 NULL, &mutex);
		if (result != 0)
			return result;
	}
	if (s->form == FORM_PLACED)
		result = stoa_condition_place(s->space, s->memory,
					      STOA_CONDITION_BYTES_FOR(ROOM),
					      STOA_CREATE, &attributes,
					      &condition);
	else
		result = stoa_condition_open(s->space, scene_name(s),
					     STOA_CREATE | STOA_EXCLUSIVE,
					     0600, &attributes, &condition);
	if (result == 0)
		*ret_object = condition;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

/* Has it then, whoever died with it before. */
static int lock(struct stoa_deadline deadline)
{
	int result = stoa_mutex_lock(mutex, deadline);

	return result == -EOWNERDEAD ? stoa_mutex_consistent(mutex) : result;
}

/* One wait, in the mutex. -EOWNERDEAD: somebody died with the mutex, and
 * nothing is said of the signal. */
static int64_t wait(struct player *p, struct stoa_deadline deadline)
{
	int result;

	if (lock(STOA_FOREVER) != 0)
		return -EPROTO;
	result = stoa_condition_wait(p->object, mutex, deadline);
	if (result == -EOWNERDEAD && stoa_mutex_consistent(mutex) != 0)
		return -EPROTO;
	if (stoa_mutex_held(mutex) && stoa_mutex_unlock(mutex) != 0)
		return -EPROTO;
	return result;
}

static int64_t run_wait_now(struct player *p)
{
	return wait(p, STOA_NOW);
}

static int64_t run_wait_timed(struct player *p)
{
	return wait(p, stoa_deadline_in(TIMED_NS));
}

static int64_t run_wait(struct player *p)
{
	return wait(p, STOA_FOREVER);
}

static int64_t run_signal(struct player *p)
{
	return stoa_condition_signal(p->object);
}

/* The signaller has the mutex, and dies with it. */
static void prepare_locked(struct player *p)
{
	(void)p;
	if (lock(STOA_NOW) != 0)
		player_skip();
}

static int64_t run_signal_locked(struct player *p)
{
	int result = stoa_condition_signal(p->object);

	return stoa_mutex_unlock(mutex) == 0 ? result : -EPROTO;
}

static int64_t run_broadcast(struct player *p)
{
	return stoa_condition_broadcast(p->object);
}

static int64_t run_count(struct player *p)
{
	uint64_t count;

	return stoa_condition_count(p->object, &count);
}

static int visit_waiter(const struct stoa_condition_waiter *waiter,
			void *context)
{
	(void)waiter;
	(void)context;
	return 0;
}

static int64_t run_each_waiter(struct player *p)
{
	return stoa_condition_each_waiter(p->object, visit_waiter, NULL);
}

enum deed_number {
	WAIT_NOW, WAIT_TIMED, SIGNAL, SIGNAL_LOCKED, BROADCAST, WAIT
};

static const struct deed deeds[] = {
	[WAIT_NOW] = { "wait-now", DEED_CORE | DEED_REPAIRS, 0, NULL,
		       run_wait_now, NULL },
	[WAIT_TIMED] = { "wait-timed", DEED_CORE | DEED_REPAIRS, 0, NULL,
			 run_wait_timed, NULL },
	[SIGNAL] = { "signal", DEED_CORE | DEED_REPAIRS, 0, NULL, run_signal,
		     NULL },
	[SIGNAL_LOCKED] = { "signal-locked", DEED_CORE, 0, prepare_locked,
			    run_signal_locked, NULL },
	[BROADCAST] = { "broadcast", DEED_CORE | DEED_REPAIRS, 0, NULL,
			run_broadcast, NULL },
	[WAIT] = { "wait", DEED_WAITS, 0, NULL, run_wait, NULL },
	{ "count", 0, 0, NULL, run_count, NULL },
	{ "each-waiter", 0, 0, NULL, run_each_waiter, NULL }
};

/* ---- States ------------------------------------------------------------------- */

enum situation_number { NONE, ONE, THREE, DEAD_ONE, DEAD_AND_ONE, DEAD_FULL };

static void set_one(struct scene *s)
{
	scene_sleeper(s, &deeds[WAIT]);
}

static void set_three(struct scene *s)
{
	for (uint32_t i = 0; i < 3; i++)
		scene_sleeper(s, &deeds[WAIT]);
}

static void set_dead_one(struct scene *s)
{
	scene_kill(s, scene_sleeper(s, &deeds[WAIT]));
}

static void set_dead_and_one(struct scene *s)
{
	set_dead_one(s);
	set_one(s);
}

static void set_dead_full(struct scene *s)
{
	for (uint32_t i = 0; i < ROOM; i++)
		set_dead_one(s);
}

static const struct situation situations[] = {
	[NONE] = { "none", NULL },
	[ONE] = { "one", set_one },
	[THREE] = { "three", set_three },
	[DEAD_ONE] = { "dead", set_dead_one },
	[DEAD_AND_ONE] = { "dead-and-one", set_dead_and_one },
	[DEAD_FULL] = { "dead-four", set_dead_full }
};

/* ---- Oracle ------------------------------------------------------------------- */

static uint32_t count_sleeping(const struct scene *s)
{
	uint32_t sleeping = 0;

	for (uint32_t i = WAITER; i < PLAYERS; i++)
		sleeping += s->deeds[i] == &deeds[WAIT] && s->pids[i] > 0 &&
			    !scene_ended(s, i);
	return sleeping;
}

static uint32_t count_alive(const struct scene *s)
{
	uint32_t alive = 0;

	for (uint32_t i = WAITER; i < PLAYERS; i++)
		alive += s->deeds[i] == &deeds[WAIT] &&
			 (note_done(s, i, NULL) || !scene_ended(s, i));
	return alive;
}

static int await_fewer(const struct scene *s, uint32_t than, const char *why)
{
	int64_t limit = clock_ns() + patient_ns();

	while (count_sleeping(s) >= than)
		if (clock_ns() > limit)
			return trouble("%u sleep on after %s", than, why);
		else
			sched_yield();
	return 0;
}

/* What a victim certainly did must have had its effect by itself. */
static int check_effects(struct scene *s)
{
	uint32_t sleepers = count_alive(s);
	int64_t result;

	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		const struct deed *deed = s->deeds[i];

		if (deed == NULL || !note_done(s, i, &result))
			continue;
		if (deed == &deeds[BROADCAST] && result != 0)
			return trouble("broadcast gave %lld",
				       (long long)result);
		if (deed == &deeds[BROADCAST] && i == VICTIM && sleepers > 0 &&
		    await_fewer(s, 1, "a broadcast") != 0)
			return -1;
		if (deed != &deeds[SIGNAL] && deed != &deeds[SIGNAL_LOCKED])
			continue;
		if (result != (sleepers > 0) &&
		    s->deeds[VICTIM] != &deeds[BROADCAST] &&
		    s->deeds[SECOND] != &deeds[BROADCAST] && i == VICTIM)
			return trouble("signal gave %lld with %u waiting",
				       (long long)result, sleepers);
		if (result == 1 && sleepers > 0 &&
		    await_fewer(s, sleepers, "a signal") != 0)
			return -1;
	}
	return 0;
}

static int check_waits(const struct scene *s)
{
	int64_t result;

	for (uint32_t i = VICTIM; i < PLAYERS; i++) {
		const struct deed *deed = s->deeds[i];

		if (deed == NULL || !note_done(s, i, &result))
			continue;
		if (deed == &deeds[WAIT] && result != 0 &&
		    result != -EOWNERDEAD)
			return trouble("a wait gave %lld", (long long)result);
		if (deed == &deeds[WAIT_NOW] && result != -EAGAIN &&
		    result != -EOWNERDEAD && result != 0)
			return trouble("wait now gave %lld",
				       (long long)result);
		if (deed == &deeds[WAIT_TIMED] && result != -ETIMEDOUT &&
		    result != -EOWNERDEAD && result != 0)
			return trouble("a timed wait gave %lld",
				       (long long)result);
	}
	return 0;
}

/* Each signal ends one wait, at the latest when the dead are known. */
static int signal_all(struct scene *s)
{
	int64_t limit = clock_ns() + patient_ns();
	uint32_t sleeping;

	while ((sleeping = count_sleeping(s)) > 0) {
		int result = stoa_condition_signal(s->eye);

		if (result < 0)
			return trouble("signal: %d", result);
		if (result == 1 &&
		    await_fewer(s, sleeping, "the survivor's signal") != 0)
			return -1;
		if (clock_ns() > limit)
			return trouble("%u can't be told", sleeping);
	}
	return 0;
}

/*
 * One who died while it began to wait may be told before it is known to be
 * dead, once each; and what it was told may come to the next who waits.
 */
static uint32_t count_extra(const struct scene *s)
{
	uint32_t extra = 0;

	for (uint32_t i = VICTIM; i < PLAYERS; i++)
		extra += note_torn(s, i);
	return extra;
}

static int check_waits_for_nothing(struct scene *s, uint32_t extra)
{
	int result;

	if (lock(stoa_deadline_in(patient_ns())) != 0)
		return trouble("the mutex can't be had");
	for (uint32_t i = 0; i < 2 * ROOM; i++) {
		result = stoa_condition_wait(s->eye, mutex, STOA_NOW);
		if (result == 0 && extra > 0)
			extra--;
		else if (result != -EAGAIN)
			return trouble("wait %u for nothing gave %d", i,
				       result);
	}
	result = stoa_mutex_unlock(mutex);
	return result == 0 ? 0 : trouble("unlock: %d", result);
}

static int check_idle(struct scene *s)
{
	struct stoa_condition_status status = { .size = sizeof(status) };
	uint32_t extra = count_extra(s);
	int result;

	if (check_waits_for_nothing(s, extra) != 0)
		return -1;
	do
		result = stoa_condition_signal(s->eye);
	while (result == 1 && extra-- > 0);
	if (result != 0)
		return trouble("a signal to nobody gave %d", result);
	if (check_waits_for_nothing(s, count_extra(s)) != 0)
		return -1;
	result = stoa_condition_stat(s->eye, &status);
	if (result != 0 || status.waiters != 0 || status.told != 0)
		return trouble("stat: %d, %u wait, %u are told", result,
			       status.waiters, status.told);
	return 0;
}

/* A broadcast is told to all. */
static int broadcast_all(struct scene *s)
{
	int result = stoa_condition_broadcast(s->eye);

	if (result != 0)
		return trouble("broadcast: %d", result);
	return await_fewer(s, 1, "the survivor's broadcast");
}

static int check(struct scene *s, uint32_t variant)
{
	int result;

	if (check_effects(s) != 0)
		return -1;
	result = variant & 4 ? broadcast_all(s) : signal_all(s);
	if (result != 0 || check_waits(s) != 0)
		return -1;
	return check_idle(s);
}

/* ---- Blocked -------------------------------------------------------------------- */

enum word { GIVEN_NS };

#define OWN_ACCORD_NS INT64_C(120000000) /* two slices */

/*
 * Nobody is told, and no signal is in a dead one's hands. Whether a victim has
 * had the signal before it died can't be known: then the other waits rightly,
 * and that is taken for granted after a while.
 */
static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_condition_status status = { .size = sizeof(status) };
	int64_t given = (int64_t)atomic_load(&s->words[GIVEN_NS]);

	(void)wait;
	if (stoa_condition_stat(s->object, &status) != 0 ||
	    status.waiters == 0 || status.told != 0)
		return 0;
	if (given != 0 && s->died_asleep)
		return 0; /* what it was told must be passed on */
	if (given != 0 && s->deeds[VICTIM] == &deeds[WAIT] &&
	    note_torn(s, VICTIM))
		return clock_ns() - given > OWN_ACCORD_NS;
	return 1;
}

static int give(struct scene *s, const struct deed *wait)
{
	int result = stoa_condition_signal(s->object);

	(void)wait;
	atomic_store(&s->words[GIVEN_NS], (uint64_t)clock_ns());
	return result < 0 ? trouble("signal: %d", result) : 0;
}

static const struct waking wakings[] = {
	{ &deeds[WAIT], NULL, NONE, NULL },
	{ &deeds[WAIT], NULL, DEAD_ONE, NULL },
	{ &deeds[WAIT], &deeds[SIGNAL], NONE, NULL },
	{ &deeds[WAIT], &deeds[SIGNAL], ONE, NULL },
	{ &deeds[WAIT], &deeds[BROADCAST], ONE, NULL }
};

const struct subject condition_subject = {
	.name = "condition",
	.placed_bytes = STOA_CONDITION_BYTES_FOR(ROOM),
	.unnamed = ALSO_UNNAMED,
	.states = situations,
	.states_count = sizeof(situations) / sizeof(situations[0]),
	.deeds = deeds,
	.deeds_count = sizeof(deeds) / sizeof(deeds[0]),
	.wakings = wakings,
	.wakings_count = sizeof(wakings) / sizeof(wakings[0]),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_condition_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
