/* SPDX-License-Identifier: MIT */
/*
 * semaphore_set.c: the semaphore set as a subject. An operation is whole or
 * not there: the oracle lists every set of values that the players can have
 * left, and what is there must be one of them; undo comes once.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define COUNT 4u
#define OUTCOMES_MAX 64u
#define TIMED_NS INT64_C(2000000)
#define UNDO STOA_SEMAPHORE_UNDO
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

HANDLE_PLUMBING(semaphore_set)

enum situation_number { SOME, NONE, HELD, DEAD, DEAD_TWICE };

#define IN(state) (UINT64_C(1) << (state))

typedef struct {
	int32_t of[COUNT];
} values_t;

static const values_t first_values[] = {
	[SOME] = { { 3, 2, 1, 0 } },
	[NONE] = { { 0, 0, 0, 0 } },
	[HELD] = { { 3, 2, 1, 0 } },
	[DEAD] = { { 3, 2, 1, 0 } },
	[DEAD_TWICE] = { { 3, 2, 1, 0 } }
};

static int plumb_stat(void *object)
{
	struct stoa_semaphore_set_status status = { .size = sizeof(status) };

	return stoa_semaphore_set_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	uint16_t values[COUNT];
	const struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = COUNT, .values = values
	};
	struct stoa_semaphore_set *set;
	int result;

	for (uint32_t i = 0; i < COUNT; i++)
		values[i] = (uint16_t)first_values[s->state_number].of[i];
	result = stoa_semaphore_set_open(s->space, scene_name(s),
					 STOA_CREATE | STOA_EXCLUSIVE, 0600,
					 &attributes, &set);
	if (result == 0)
		*ret_object = set;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

typedef struct stoa_semaphore_change change_t;

static const change_t taking[] = { { 0, -1, 0, 0 }, { 1, -2, 0, 0 } };
static const change_t taking_undo[] = { { 0, -1, UNDO, 0 },
					{ 1, -2, UNDO, 0 } };
static const change_t giving[] = { { 2, 2, 0, 0 }, { 3, 1, 0, 0 } };
static const change_t giving_undo[] = { { 2, 2, UNDO, 0 }, { 3, 1, 0, 0 } };
static const change_t moving[] = { { 0, -1, 0, 0 }, { 3, 0, 0, 0 },
				   { 3, 4, 0, 0 }, { 2, -1, UNDO, 0 } };
/* The second can't be, so the first must not, either. */
static const change_t too_much[] = { { 0, -1, UNDO, 0 }, { 3, -9, 0, 0 } };
static const change_t awaiting[] = { { 2, -2, 0, 0 }, { 3, -1, 0, 0 } };
static const change_t awaiting_zero[] = { { 0, 0, 0, 0 } };

static int64_t operate(struct player *p, const change_t *changes, size_t count,
		       struct stoa_deadline deadline)
{
	return stoa_semaphore_set_operate(p->object, changes, count, deadline);
}

static void prepare_undo(struct player *p)
{
	if (operate(p, taking_undo, ARRAY_SIZE(taking_undo), STOA_NOW) != 0)
		player_skip();
}

#define RUN(verb)                                                             \
	static int64_t run_##verb(struct player *p)                           \
	{                                                                     \
		return operate(p, verb, ARRAY_SIZE(verb), STOA_NOW);          \
	}
RUN(taking)
RUN(taking_undo)
RUN(giving)
RUN(giving_undo)
RUN(moving)
RUN(too_much)

static int64_t run_timed(struct player *p)
{
	return operate(p, too_much, ARRAY_SIZE(too_much),
		       stoa_deadline_in(TIMED_NS));
}

/* Gives back by hand what it would undo. */
static const change_t back[] = { { 0, 1, UNDO, 0 }, { 1, 2, UNDO, 0 } };
RUN(back)

static int64_t run_close(struct player *p)
{
	stoa_semaphore_set_close(p->object);
	return 0;
}

static int64_t run_set(struct player *p)
{
	return stoa_semaphore_set_set(p->object, 0, 5);
}

static int64_t run_set_all(struct player *p)
{
	static const uint16_t values[COUNT] = { 6, 6, 6, 6 };

	return stoa_semaphore_set_set_all(p->object, values, COUNT);
}

static int64_t run_get_all(struct player *p)
{
	uint16_t values[COUNT];
	struct stoa_semaphore_state state;
	int result = stoa_semaphore_set_get_all(p->object, values, COUNT);

	return result < 0 ? result : stoa_semaphore_set_describe(p->object, 0,
								 &state);
}

static int visit(const struct stoa_semaphore_adjustment *adjustment,
		 void *context)
{
	(void)adjustment;
	(void)context;
	return 0;
}

static int64_t run_each(struct player *p)
{
	return stoa_semaphore_set_each_adjustment(p->object, visit, NULL);
}

static int64_t wait_both(struct player *p)
{
	return operate(p, awaiting, ARRAY_SIZE(awaiting), STOA_FOREVER);
}

static int64_t wait_zero(struct player *p)
{
	return operate(p, awaiting_zero, ARRAY_SIZE(awaiting_zero),
		       STOA_FOREVER);
}

static void finish_back(struct player *p)
{
	if (run_back(p) != 0)
		_exit(1);
}

static const struct deed holding = {
	"hold", 0, 0, NULL, run_taking_undo, finish_back
};

enum deed_number {
	TAKE, TAKE_UNDO, GIVE, GIVE_UNDO, MOVE, TOO_MUCH, TIMED, GIVE_BACK,
	CLOSE_HELD, SET, SET_ALL, WAIT_BOTH, WAIT_ZERO, DEEDS
};

#define TWO_THERE (IN(SOME) | IN(DEAD) | IN(DEAD_TWICE))
#define OFTEN (DEED_CORE | DEED_REPAIRS)

static const struct deed deeds[] = {
	[TAKE] = { "take", OFTEN, 0, NULL, run_taking, NULL },
	[TAKE_UNDO] = { "take-undo", OFTEN, 0, NULL, run_taking_undo, NULL },
	[GIVE] = { "give", OFTEN, 0, NULL, run_giving, NULL },
	[GIVE_UNDO] = { "give-undo", DEED_CORE, 0, NULL, run_giving_undo,
			NULL },
	[MOVE] = { "move", DEED_CORE, 0, NULL, run_moving, NULL },
	[TOO_MUCH] = { "too-much", DEED_CORE, 0, NULL, run_too_much, NULL },
	[TIMED] = { "too-much-timed", DEED_REPAIRS, 0, NULL, run_timed, NULL },
	[GIVE_BACK] = { "give-back", DEED_CORE, TWO_THERE, prepare_undo,
			run_back, NULL },
	[CLOSE_HELD] = { "close-held", DEED_CORE | DEED_CLOSES, TWO_THERE,
			 prepare_undo, run_close, NULL },
	[SET] = { "set", DEED_CORE, TWO_THERE, prepare_undo, run_set, NULL },
	[SET_ALL] = { "set-all", DEED_CORE, TWO_THERE, prepare_undo,
		      run_set_all, NULL },
	[WAIT_BOTH] = { "wait-both", DEED_WAITS, 0, NULL, wait_both, NULL },
	[WAIT_ZERO] = { "wait-zero", DEED_WAITS, 0, NULL, wait_zero, NULL },
	[DEEDS] = { "get-all", DEED_REPAIRS, 0, NULL, run_get_all, NULL },
	{ "each-adjustment", 0, 0, NULL, run_each, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_held(struct scene *s)
{
	scene_helper(s, &holding);
}

static void set_dead(struct scene *s)
{
	scene_dead(s, &holding);
}

/* The second finds what the first left. */
static void set_dead_twice(struct scene *s)
{
	scene_dead(s, &holding);
	scene_dead(s, &holding);
}

static const struct situation situations[] = {
	[SOME] = { "some", NULL },
	[NONE] = { "none", NULL },
	[HELD] = { "held", set_held },
	[DEAD] = { "dead", set_dead },
	[DEAD_TWICE] = { "dead-twice", set_dead_twice }
};

/* ---- Oracle ------------------------------------------------------------------- */

enum word { GIVEN, DROPPED };

struct outcomes {
	uint32_t count;
	values_t of[OUTCOMES_MAX];
};

static void add(struct outcomes *outcomes, const values_t *values)
{
	for (uint32_t i = 0; i < outcomes->count; i++)
		if (memcmp(&outcomes->of[i], values, sizeof(*values)) == 0)
			return;
	if (outcomes->count == OUTCOMES_MAX)
		broken("more than %u outcomes", OUTCOMES_MAX);
	outcomes->of[outcomes->count++] = *values;
}

static int can_do(const values_t *values, const change_t *changes,
		  size_t count)
{
	values_t now = *values;

	for (size_t i = 0; i < count; i++) {
		int32_t *value = &now.of[changes[i].semaphore];

		if (changes[i].amount == 0 && *value != 0)
			return 0;
		*value += changes[i].amount;
		if (*value < 0)
			return 0;
	}
	return 1;
}

/* What is left when its doer is dead: what has no undo. */
static values_t done_and_dead(const values_t *values, const change_t *changes,
			      size_t count)
{
	values_t now = *values;

	for (size_t i = 0; i < count; i++)
		if (!(changes[i].flags & UNDO))
			now.of[changes[i].semaphore] += changes[i].amount;
	return now;
}

static const struct {
	const change_t *changes;
	size_t count;
} changes_of[DEEDS] = {
	[TAKE] = { taking, ARRAY_SIZE(taking) },
	[TAKE_UNDO] = { taking_undo, ARRAY_SIZE(taking_undo) },
	[GIVE] = { giving, ARRAY_SIZE(giving) },
	[GIVE_UNDO] = { giving_undo, ARRAY_SIZE(giving_undo) },
	[MOVE] = { moving, ARRAY_SIZE(moving) },
	[WAIT_BOTH] = { awaiting, ARRAY_SIZE(awaiting) }
};

/* Setting forgets what would be undone. */
static values_t after_set(const values_t *values, const struct deed *deed)
{
	values_t now = *values;

	if (deed == &deeds[SET_ALL])
		return (values_t){ { 6, 6, 6, 6 } };
	now.of[0] = 5;
	return now;
}

static values_t after_done(const values_t *before, const struct deed *deed)
{
	size_t number = (size_t)(deed - deeds);

	if (deed == &deeds[SET] || deed == &deeds[SET_ALL])
		return after_set(before, deed);
	if (number < DEEDS && changes_of[number].changes != NULL)
		return done_and_dead(before, changes_of[number].changes,
				     changes_of[number].count);
	return *before;
}

static void account(const struct scene *s, uint32_t player,
		    struct outcomes *outcomes)
{
	const struct deed *deed = s->deeds[player];
	struct outcomes next = { 0 };
	int64_t result = 0;
	int done = note_done(s, player, &result);

	if (deed < deeds || deed >= &deeds[DEEDS])
		return;
	for (uint32_t i = 0; i < outcomes->count; i++) {
		values_t after = after_done(&outcomes->of[i], deed);
		int was_done = done && result >= 0;

		if (!was_done)
			add(&next, &outcomes->of[i]);
		if (was_done || !done)
			add(&next, &after);
	}
	*outcomes = next;
}

static struct outcomes expected(const struct scene *s)
{
	values_t values = first_values[s->state_number];
	struct outcomes outcomes = { 0 };

	values.of[2] += 2 * (int32_t)atomic_load(&s->words[GIVEN]);
	values.of[3] += (int32_t)atomic_load(&s->words[GIVEN]);
	if (atomic_load(&s->words[DROPPED]) && s->deeds[VICTIM] != &deeds[SET])
		values.of[0] = 0;
	add(&outcomes, &values);
	for (uint32_t i = VICTIM; i <= WAITER; i++)
		account(s, i, &outcomes);
	return outcomes;
}

/* A refusal is right only where the values were too small, or may have been
 * for what others held. */
static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		size_t number = (size_t)(deed - deeds);
		int64_t result;

		if (deed < deeds || deed >= &deeds[DEEDS] ||
		    !note_done(s, i, &result))
			continue;
		if (deed == &deeds[TOO_MUCH] ? result == -EAGAIN :
		    deed == &deeds[TIMED]    ? result == -ETIMEDOUT :
					       result == 0)
			continue;
		if (result == -EAGAIN && changes_of[number].changes != NULL &&
		    (s->state_number == HELD || s->deeds[SECOND] != NULL ||
		     !can_do(&first_values[s->state_number],
			     changes_of[number].changes,
			     changes_of[number].count)))
			continue;
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

static int look(struct scene *s, values_t *ret_values)
{
	uint16_t values[COUNT];
	int result = stoa_semaphore_set_get_all(s->eye, values, COUNT);

	if (result < 0)
		return trouble("get all: %d", result);
	for (uint32_t i = 0; i < COUNT; i++) {
		ret_values->of[i] = values[i];
		result = stoa_semaphore_set_get(s->eye, i);
		if (result != values[i])
			return trouble("get %u: %d, not %u", i, result,
				       values[i]);
	}
	return 0;
}

/* What is taken back stops at zero. */
static int is_it(const values_t *outcome, const values_t *now)
{
	for (uint32_t i = 0; i < COUNT; i++)
		if (now->of[i] != (outcome->of[i] < 0 ? 0 : outcome->of[i]))
			return 0;
	return 1;
}

static int check_values(const values_t *now, const struct outcomes *outcomes)
{
	for (uint32_t i = 0; i < outcomes->count; i++)
		if (is_it(&outcomes->of[i], now))
			return 0;
	return trouble("the values are %d %d %d %d; one of %u possible: %d %d "
		       "%d %d", now->of[0], now->of[1], now->of[2], now->of[3],
		       outcomes->count, outcomes->of[0].of[0],
		       outcomes->of[0].of[1], outcomes->of[0].of[2],
		       outcomes->of[0].of[3]);
}

/* All of it can be taken at once, and given back. */
static int check_use(struct scene *s, const values_t *now)
{
	change_t changes[COUNT];
	uint32_t count = 0;
	int result;

	for (uint32_t i = 0; i < COUNT; i++)
		if (now->of[i] > 0)
			changes[count++] = (change_t){ i, -now->of[i], UNDO, 0 };
	if (count == 0)
		return 0;
	result = stoa_semaphore_set_operate(s->eye, changes, count,
					    stoa_deadline_in(patient_ns()));
	if (result != 0)
		return trouble("taking all of it: %d", result);
	for (uint32_t i = 0; i < count; i++)
		changes[i].amount = -changes[i].amount;
	result = stoa_semaphore_set_operate(s->eye, changes, count, STOA_NOW);
	return result == 0 ? 0 : trouble("giving it back: %d", result);
}

static int check(struct scene *s, uint32_t variant)
{
	struct outcomes outcomes = expected(s);
	values_t now, again;

	(void)variant;
	if (check_results(s) != 0 || scene_let_all_go(s) != 0 ||
	    look(s, &now) != 0 || check_values(&now, &outcomes) != 0 ||
	    check_use(s, &now) != 0 || look(s, &again) != 0)
		return -1;
	return memcmp(&now, &again, sizeof(now)) == 0
		       ? 0
		       : trouble("the values changed by taking and giving "
				 "back all");
}

/* ---- Blocked -------------------------------------------------------------------- */

static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_semaphore_state state[COUNT] = { 0 };

	for (uint32_t i = 0; i < COUNT; i++)
		if (stoa_semaphore_set_describe(s->object, i, &state[i]) != 0)
			return 0;
	if (wait == &deeds[WAIT_ZERO])
		return state[0].value != 0;
	return state[2].value < 2 || state[3].value < 1;
}

static int give(struct scene *s, const struct deed *wait)
{
	int result;

	if (wait == &deeds[WAIT_ZERO]) {
		result = stoa_semaphore_set_set(s->object, 0, 0);
		atomic_store(&s->words[DROPPED], 1);
	} else {
		result = stoa_semaphore_set_operate(s->object, giving,
						    ARRAY_SIZE(giving),
						    STOA_NOW);
		atomic_fetch_add(&s->words[GIVEN], 1);
	}
	return result == 0 ? 0 : trouble("give: %d", result);
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_BOTH], NULL, NONE, NULL },
	{ &deeds[WAIT_BOTH], NULL, SOME, NULL },
	{ &deeds[WAIT_ZERO], NULL, SOME, NULL },
	{ &deeds[WAIT_BOTH], &deeds[GIVE], NONE, NULL },
	{ &deeds[WAIT_BOTH], &deeds[GIVE_UNDO], NONE, NULL },
	{ &deeds[WAIT_BOTH], &deeds[GIVE], SOME, NULL }
};

const struct subject semaphore_set_subject = {
	.name = "semaphore_set",
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
	.unlink = stoa_semaphore_set_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
