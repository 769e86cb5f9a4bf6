/* SPDX-License-Identifier: MIT */
/*
 * barrier.c: the barrier as a subject. Those who came in one round are told the
 * same; nobody waits for the dead; and the next round is whole.
 */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define COUNT 4u
#define TIMED_NS INT64_C(2000000)
#define SOON_NS INT64_C(20000000)
#define OWN_ACCORD_NS INT64_C(120000000) /* two slices */
#define ROUNDS 10u
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

HANDLE_PLUMBING(barrier)

enum situation_number {
	EMPTY, ONE, TWO, THREE, DEAD, FORGETS_ONE, FORGETS_TWO, FORGETS_THREE,
	FORGETS_DEAD
};

static int breaks(const struct scene *s)
{
	return s->state_number < FORGETS_ONE;
}

static int plumb_stat(void *object)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };

	return stoa_barrier_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_barrier_attributes attributes = {
		.size = sizeof(attributes),
		.count = COUNT,
		.death = breaks(s) ? STOA_BARRIER_BREAKS : STOA_BARRIER_FORGETS
	};
	struct stoa_barrier *barrier;
	int result;

	if (s->form == FORM_PLACED)
		result = stoa_barrier_place(s->space, s->memory,
					    STOA_BARRIER_BYTES_FOR(COUNT),
					    STOA_CREATE, &attributes, &barrier);
	else
		result = stoa_barrier_open(s->space, scene_name(s),
					   STOA_CREATE | STOA_EXCLUSIVE, 0600,
					   &attributes, &barrier);
	if (result == 0)
		*ret_object = barrier;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static int64_t run_wait_now(struct player *p)
{
	return stoa_barrier_wait(p->object, STOA_NOW);
}

static int64_t run_wait_timed(struct player *p)
{
	return stoa_barrier_wait(p->object, stoa_deadline_in(TIMED_NS));
}

static int64_t run_wait(struct player *p)
{
	return stoa_barrier_wait(p->object, STOA_FOREVER);
}

static int visit(const struct stoa_barrier_waiter *waiter, void *context)
{
	(void)waiter;
	(void)context;
	return 0;
}

static int64_t run_each(struct player *p)
{
	return stoa_barrier_each_waiter(p->object, visit, NULL);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait wait = {
		.kind = STOA_WRITABLE, .object = stoa_barrier_object(p->object)
	};

	return stoa_wait_any(&wait, 1, STOA_NOW);
}

enum deed_number { WAIT_NOW, WAIT_TIMED, WAIT };

static const struct deed deeds[] = {
	[WAIT_NOW] = { "wait-now", DEED_CORE | DEED_REPAIRS, 0, NULL,
		       run_wait_now, NULL },
	[WAIT_TIMED] = { "wait-timed", DEED_CORE | DEED_REPAIRS, 0, NULL,
			 run_wait_timed, NULL },
	[WAIT] = { "wait", DEED_WAITS, 0, NULL, run_wait, NULL },
	{ "each-waiter", 0, 0, NULL, run_each, NULL },
	{ "wait-any", DEED_REPAIRS, 0, NULL, run_wait_any, NULL }
};

/* The oracle's own: by the survivor's handle, as the name may be gone. */
static const struct deed coming = {
	"come", DEED_FIRST, 0, NULL, run_wait, NULL
};

/* ---- States ------------------------------------------------------------------- */

static void come(struct scene *s, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		scene_sleeper(s, &deeds[WAIT]);
}

static void set_one(struct scene *s)
{
	come(s, 1);
}

static void set_two(struct scene *s)
{
	come(s, 2);
}

static void set_three(struct scene *s)
{
	come(s, 3);
}

static void set_dead(struct scene *s)
{
	scene_kill(s, scene_sleeper(s, &deeds[WAIT]));
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[ONE] = { "one", set_one },
	[TWO] = { "two", set_two },
	[THREE] = { "three", set_three },
	[DEAD] = { "dead", set_dead },
	[FORGETS_ONE] = { "forgets-one", set_one },
	[FORGETS_TWO] = { "forgets-two", set_two },
	[FORGETS_THREE] = { "forgets-three", set_three },
	[FORGETS_DEAD] = { "forgets-dead", set_dead }
};

/* ---- Oracle ------------------------------------------------------------------- */

static int is_through(int64_t result)
{
	return result == 0 || result == STOA_BARRIER_SERIAL;
}

static uint32_t waiting_now(struct scene *s)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };

	return stoa_barrier_stat(s->eye, &status) == 0 ? status.waiting : 0;
}

static uint32_t count_asleep(const struct scene *s)
{
	uint32_t asleep = 0;

	for (uint32_t i = WAITER; i < PLAYERS; i++)
		asleep += (s->deeds[i] == &deeds[WAIT] ||
			   s->deeds[i] == &coming) &&
			  !note_done(s, i, NULL) && !scene_ended(s, i);
	return asleep;
}

/*
 * One step towards the round's end: who is missing comes, when all that are
 * alive wait in it (others are on their way in or out). 1: only the survivor is
 * missing.
 */
static int help(struct scene *s)
{
	uint32_t alive = count_asleep(s);

	if (waiting_now(s) != alive) {
		sched_yield();
		return 0;
	}
	if (alive == COUNT - 1)
		return 1;
	if (HELPERS_FROM + s->helpers == PLAYERS)
		return trouble("too many rounds break");
	scene_start(s, &coming);
	return 0;
}

/* Nobody of those who wait may wait for the dead. */
static int end_round(struct scene *s)
{
	int64_t limit = clock_ns() + patient_ns();

	while (count_asleep(s) > 0) {
		if (clock_ns() > limit)
			return trouble("%u wait on, %u of them in the round",
				       count_asleep(s), waiting_now(s));
		if (help(s) == 1)
			stoa_barrier_wait(s->eye, stoa_deadline_in(SOON_NS));
		else if (board->trouble[0] != '\0')
			return -1;
	}
	return 0;
}

/* Those who were there first are of one round, and are told the same. */
static int check_told(const struct scene *s, uint32_t first)
{
	uint32_t broken_ones = 0, serial = 0, told = 0;

	for (uint32_t i = HELPERS_FROM; i < HELPERS_FROM + first; i++) {
		int64_t result;

		if (!note_done(s, i, &result))
			continue;
		told++;
		broken_ones += result == -EOWNERDEAD;
		serial += result == STOA_BARRIER_SERIAL;
		if (!is_through(result) && result != -EOWNERDEAD)
			return trouble("a wait gave %lld", (long long)result);
	}
	if (broken_ones != 0 && broken_ones != told)
		return trouble("%u of %u in one round were told of a death",
			       broken_ones, told);
	if (broken_ones != 0 && !breaks(s))
		return trouble("a round broke that should forget");
	return serial <= 1 ? 0 : trouble("%u were told to be the one", serial);
}

static int check_victims(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		const struct deed *deed = s->deeds[i];
		int last = s->state_number == THREE ||
			   s->state_number == FORGETS_THREE;
		int64_t result;

		if ((deed != &deeds[WAIT_NOW] && deed != &deeds[WAIT_TIMED]) ||
		    !note_done(s, i, &result) || is_through(result))
			continue;
		if (result == -EOWNERDEAD && breaks(s))
			continue;
		if (result == (deed == &deeds[WAIT_NOW] ? -EAGAIN
							: -ETIMEDOUT) &&
		    (!last || s->deeds[SECOND] != NULL))
			continue;
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

/* A round of living ones. 1: it broke, for one of the dead, and those who are
 * still there are of the next. */
static int fresh_round(struct scene *s)
{
	uint32_t there[PLAYERS], count = 0, serial;
	int64_t limit = clock_ns() + patient_ns(), result;

	while ((result = help(s)) == 0)
		if (clock_ns() > limit)
			return trouble("%u live, %u wait in a fresh round",
				       count_asleep(s), waiting_now(s));
	if (result < 0)
		return -1;
	for (uint32_t i = HELPERS_FROM; i < PLAYERS; i++)
		if (s->deeds[i] == &coming && !note_done(s, i, NULL))
			there[count++] = i;
	result = stoa_barrier_wait(
		s->eye, stoa_deadline_in(breaks(s) ? SOON_NS : patient_ns()));
	if (breaks(s) && (result == -EOWNERDEAD || result == -ETIMEDOUT))
		return 1;
	if (!is_through(result))
		return trouble("a fresh round gave %lld", (long long)result);
	serial = result == STOA_BARRIER_SERIAL;
	for (uint32_t i = 0; i < count; i++) {
		if (scene_await(s, there[i]) != 0 ||
		    !note_done(s, there[i], &result))
			return -1;
		if (!is_through(result))
			return breaks(s) ? 1
					 : trouble("a fresh round gave %lld to "
						   "one", (long long)result);
		serial += result == STOA_BARRIER_SERIAL;
	}
	return serial == 1 ? 0 : trouble("%u were told to be the one in a "
					 "fresh round", serial);
}

static int check(struct scene *s, uint32_t variant)
{
	uint32_t first = s->helpers;
	int result = 1;

	(void)variant;
	if (check_victims(s) != 0 || end_round(s) != 0 ||
	    check_told(s, first) != 0)
		return -1;
	for (uint32_t i = 0; i < ROUNDS && result == 1; i++)
		result = fresh_round(s);
	return result == 1 ? trouble("%u rounds of the living broke", ROUNDS)
			   : result;
}

/* ---- Blocked -------------------------------------------------------------------- */

enum word { ASKED_NS };

/* One who certainly had come, and died, breaks the round by itself; of one who
 * may have come that can't be said. */
static int stuck(struct scene *s, const struct deed *wait)
{
	uint64_t now = (uint64_t)clock_ns(), never = 0;

	(void)wait;
	atomic_compare_exchange_strong(&s->words[ASKED_NS], &never, now);
	if (breaks(s) && s->died_asleep)
		return 0;
	if (breaks(s) && note_torn(s, VICTIM) &&
	    now - atomic_load(&s->words[ASKED_NS]) < OWN_ACCORD_NS)
		return 0;
	return waiting_now(s) > 0;
}

static int give(struct scene *s, const struct deed *wait)
{
	(void)wait;
	/* The victim, too, may be alive, and wait. */
	if (waiting_now(s) == COUNT - 1 || help(s) == 1)
		stoa_barrier_wait(s->eye, stoa_deadline_in(SOON_NS));
	return board->trouble[0] == '\0' ? 0 : -1;
}

static const struct waking wakings[] = {
	{ &deeds[WAIT], NULL, ONE, NULL },
	{ &deeds[WAIT], NULL, FORGETS_ONE, NULL },
	{ &deeds[WAIT], &deeds[WAIT_NOW], TWO, NULL },
	{ &deeds[WAIT], &deeds[WAIT_NOW], FORGETS_TWO, NULL },
	{ &deeds[WAIT], &deeds[WAIT_TIMED], TWO, NULL }
};

const struct subject barrier_subject = {
	.name = "barrier",
	.placed_bytes = STOA_BARRIER_BYTES_FOR(COUNT),
	.unnamed = ALSO_UNNAMED,
	.states = situations,
	.states_count = ARRAY_SIZE(situations),
	.deeds = deeds,
	.deeds_count = ARRAY_SIZE(deeds),
	.wakings = wakings,
	.wakings_count = ARRAY_SIZE(wakings),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_barrier_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
