/* SPDX-License-Identifier: MIT */
/*
 * semaphore.c: the semaphore as a subject. Permits are conserved: what there
 * is at the end is what there was, less what was taken for good, plus what was
 * posted; with undo the dead take nothing for good, and give it back once.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define TIMED_NS INT64_C(2000000)

HANDLE_PLUMBING(semaphore)

enum situation_number {
	SOME, NONE, DEAD, PAIR, UNDO_SOME, UNDO_NONE, UNDO_HELD, UNDO_DEAD,
	UNDO_PAIR
};

#define IN(state) (UINT64_C(1) << (state))
#define WITH_UNDO (IN(UNDO_SOME) | IN(UNDO_NONE) | IN(UNDO_HELD) | \
		   IN(UNDO_DEAD) | IN(UNDO_PAIR))
#define TWO_THERE (IN(SOME) | IN(PAIR) | IN(UNDO_SOME) | IN(UNDO_PAIR))

static const uint32_t values[] = {
	[SOME] = 3, [NONE] = 0, [DEAD] = 3, [PAIR] = 2, [UNDO_SOME] = 3,
	[UNDO_NONE] = 0, [UNDO_HELD] = 3, [UNDO_DEAD] = 3, [UNDO_PAIR] = 2
};

static int has_undo(const struct scene *s)
{
	return (IN(s->state_number) & WITH_UNDO) != 0;
}

static int plumb_stat(void *object)
{
	struct stoa_semaphore_status status = { .size = sizeof(status) };

	return stoa_semaphore_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_semaphore_attributes attributes = {
		.size = sizeof(attributes),
		.value = values[s->state_number],
		.undo = (uint32_t)has_undo(s)
	};
	struct stoa_semaphore *semaphore;
	int result;

	if (s->form == FORM_PLACED)
		result = stoa_semaphore_place(s->space, s->memory,
					      STOA_SEMAPHORE_UNDO_BYTES,
					      STOA_CREATE, &attributes,
					      &semaphore);
	else
		result = stoa_semaphore_open(s->space, scene_name(s),
					     STOA_CREATE | STOA_EXCLUSIVE,
					     0600, &attributes, &semaphore);
	if (result == 0)
		*ret_object = semaphore;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static void prepare_two(struct player *p)
{
	if (stoa_semaphore_wait(p->object, 2, STOA_NOW) != 0)
		player_skip();
}

static int64_t run_wait(struct player *p)
{
	return stoa_semaphore_wait(p->object, 1, STOA_NOW);
}

static int64_t run_wait_two(struct player *p)
{
	return stoa_semaphore_wait(p->object, 2, STOA_NOW);
}

static int64_t run_wait_timed(struct player *p)
{
	return stoa_semaphore_wait(p->object, 2, stoa_deadline_in(TIMED_NS));
}

static int64_t run_post(struct player *p)
{
	return stoa_semaphore_post(p->object, 1);
}

static int64_t run_post_two(struct player *p)
{
	return stoa_semaphore_post(p->object, 2);
}

static int64_t run_close(struct player *p)
{
	stoa_semaphore_close(p->object);
	return 0;
}

static int64_t run_value(struct player *p)
{
	return stoa_semaphore_value(p->object);
}

static int visit_holder(const struct stoa_semaphore_holder *holder,
			void *context)
{
	(void)holder;
	(void)context;
	return 0;
}

static int64_t run_each_holder(struct player *p)
{
	return stoa_semaphore_each_holder(p->object, visit_holder, NULL);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait wait = {
		.kind = STOA_READABLE,
		.object = stoa_semaphore_object(p->object),
		.amount = 2
	};

	return stoa_wait_any(&wait, 1, STOA_NOW);
}

static int64_t wait_one(struct player *p)
{
	return stoa_semaphore_wait(p->object, 1, STOA_FOREVER);
}

static int64_t run_pollfd(struct player *p)
{
	return stoa_semaphore_pollfd(p->object);
}

static int64_t wait_poll(struct player *p)
{
	struct pollfd bell = { stoa_semaphore_pollfd(p->object), POLLIN, 0 };
	int64_t result;

	if (bell.fd < 0)
		return bell.fd;
	while ((result = run_wait(p)) == -EAGAIN)
		ppoll(&bell, 1, NULL, NULL);
	return result;
}

static int64_t wait_two(struct player *p)
{
	return stoa_semaphore_wait(p->object, 2, STOA_FOREVER);
}

static void finish_two(struct player *p)
{
	if (stoa_semaphore_post(p->object, 2) != 0)
		_exit(1);
}

static const struct deed holding = {
	"hold-two", 0, 0, NULL, run_wait_two, finish_two
};

enum deed_number {
	TAKE, TAKE_TWO, TAKE_TIMED, POST, POST_TWO, POST_HELD, CLOSE_HELD,
	WAIT_ONE, WAIT_TWO, WAIT_POLL, DEEDS
};

static const struct deed deeds[] = {
	[TAKE] = { "wait", DEED_CORE | DEED_REPAIRS, 0, NULL, run_wait, NULL },
	[TAKE_TWO] = { "wait-two", DEED_CORE | DEED_REPAIRS, 0, NULL,
		       run_wait_two, NULL },
	[TAKE_TIMED] = { "wait-timed", DEED_CORE | DEED_REPAIRS, 0, NULL,
			 run_wait_timed, NULL },
	[POST] = { "post", DEED_CORE | DEED_REPAIRS, 0, NULL, run_post, NULL },
	[POST_TWO] = { "post-two", DEED_CORE, 0, NULL, run_post_two, NULL },
	[POST_HELD] = { "post-held", DEED_CORE, TWO_THERE | IN(UNDO_DEAD),
			prepare_two, run_post_two, NULL },
	[CLOSE_HELD] = { "close-held", DEED_CORE | DEED_CLOSES,
			 TWO_THERE | IN(UNDO_DEAD), prepare_two, run_close,
			 NULL },
	[WAIT_ONE] = { "wait-one-forever", DEED_WAITS, 0, NULL, wait_one, NULL },
	[WAIT_TWO] = { "wait-two-forever", DEED_WAITS, 0, NULL, wait_two, NULL },
	[WAIT_POLL] = { "wait-poll", DEED_WAITS | DEED_IN_FILE, 0, NULL,
			wait_poll, NULL },
	[DEEDS] = { "value", DEED_REPAIRS, 0, NULL, run_value, NULL },
	{ "each-holder", 0, 0, NULL, run_each_holder, NULL },
	{ "wait-any", 0, 0, NULL, run_wait_any, NULL },
	{ "pollfd", DEED_IN_FILE, 0, NULL, run_pollfd, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_dead(struct scene *s)
{
	scene_dead(s, &holding);
}

static void set_held(struct scene *s)
{
	scene_helper(s, &holding);
}

static const struct situation situations[] = {
	[SOME] = { "some", NULL },
	[NONE] = { "none", NULL },
	[DEAD] = { "dead", set_dead },
	[PAIR] = { "pair", NULL },
	[UNDO_SOME] = { "undo-some", NULL },
	[UNDO_NONE] = { "undo-none", NULL },
	[UNDO_HELD] = { "undo-held", set_held },
	[UNDO_DEAD] = { "undo-dead", set_dead },
	[UNDO_PAIR] = { "undo-pair", NULL }
};

/* ---- Oracle ------------------------------------------------------------------- */

enum word { GIVEN };

struct range {
	int64_t least, most;
};

static int64_t permits_of(const struct deed *deed)
{
	return deed == &deeds[TAKE] || deed == &deeds[POST] ||
			       deed == &deeds[WAIT_ONE] ||
			       deed == &deeds[WAIT_POLL]
		       ? 1
		       : 2;
}

static int takes(const struct deed *deed)
{
	return deed == &deeds[TAKE] || deed == &deeds[TAKE_TWO] ||
	       deed == &deeds[TAKE_TIMED] || deed == &deeds[WAIT_ONE] ||
	       deed == &deeds[WAIT_TWO] || deed == &deeds[WAIT_POLL];
}

/* What a player that is dead by now has changed for good. */
static void account(const struct scene *s, uint32_t player, struct range *range)
{
	const struct deed *deed = s->deeds[player];
	int64_t permits = permits_of(deed), result = 0;
	int done = note_done(s, player, &result), undo = has_undo(s);

	if (deed == &deeds[POST] || deed == &deeds[POST_TWO]) {
		range->most += permits;
		range->least += done ? permits : 0;
	}
	if (undo)
		return;
	if (takes(deed) && (!done || result >= 0)) {
		range->least -= permits;
		range->most -= done ? permits : 0;
	} else if (deed == &deeds[POST_HELD]) {
		range->least -= done ? 0 : permits;
	} else if (deed == &deeds[CLOSE_HELD]) {
		range->least -= permits;
		range->most -= permits;
	}
}

static struct range expected(const struct scene *s)
{
	int64_t value = values[s->state_number] +
			(int64_t)atomic_load(&s->words[GIVEN]) -
			(s->state_number == DEAD ? 2 : 0);
	struct range range = { value, value };

	for (uint32_t i = VICTIM; i <= WAITER; i++)
		if (s->deeds[i] >= deeds && s->deeds[i] < &deeds[DEEDS])
			account(s, i, &range);
	return range;
}

/* A refusal is right only if there may have been too few. */
static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result, there = values[s->state_number];

		if (deed < deeds || deed >= &deeds[DEEDS] ||
		    !note_done(s, i, &result) || result >= 0)
			continue;
		if (s->state_number == UNDO_HELD || s->state_number == DEAD)
			there -= 2;
		if (takes(deed) && (result == -EAGAIN || result == -ETIMEDOUT) &&
		    (there < permits_of(deed) || s->deeds[SECOND] != NULL))
			continue;
		return trouble("the victim's %s gave %lld with %lld there",
			       deed->name, (long long)result,
			       (long long)there);
	}
	return 0;
}

static int check_value(struct scene *s, const struct range *range,
		       int64_t *ret_value)
{
	int64_t value = stoa_semaphore_value(s->eye);

	if (value < 0)
		return trouble("value: %lld", (long long)value);
	if (value < range->least || value > range->most)
		return trouble("%lld permits, not %lld to %lld",
			       (long long)value, (long long)range->least,
			       (long long)range->most);
	*ret_value = value;
	return 0;
}

static int expect(const char *what, int result, int wanted)
{
	return result == wanted ? 0 : trouble("%s gave %d, not %d", what,
					      result, wanted);
}

/* All can be taken, one by one and together, and not one more. */
static int check_use(struct scene *s, int64_t value)
{
	struct stoa_semaphore_status status = { .size = sizeof(status) };

	for (int64_t i = 0; i < value; i++)
		if (stoa_semaphore_wait(s->eye, 1, STOA_NOW) != 0)
			return trouble("only %lld of %lld can be taken",
				       (long long)i, (long long)value);
	if (expect("one wait too many",
		   stoa_semaphore_wait(s->eye, 1, STOA_NOW), -EAGAIN) != 0 ||
	    expect("post", stoa_semaphore_post(s->eye, (uint32_t)value + 1),
		   0) != 0 ||
	    expect("wait for all",
		   stoa_semaphore_wait(s->eye, (uint32_t)value + 1,
				       stoa_deadline_in(patient_ns())),
		   0) != 0)
		return -1;
	if (value > 0 &&
	    expect("post", stoa_semaphore_post(s->eye, (uint32_t)value), 0) != 0)
		return -1;
	if (expect("stat", stoa_semaphore_stat(s->eye, &status), 0) != 0)
		return -1;
	if (status.value != (uint64_t)value || status.waiting != 0)
		return trouble("stat: %u permits, %u wait", status.value,
			       status.waiting);
	/* With undo the survivor may hold some, as it took one that another
	 * had posted. */
	return status.holders <= 1 ? 0 : trouble("%u hold permits",
						 status.holders);
}

static int check(struct scene *s, uint32_t variant)
{
	struct range range = expected(s);
	int64_t value = 0, again = 0;

	(void)variant;
	if (check_results(s) != 0)
		return -1;
	if (s->state_number == UNDO_HELD) {
		struct range meanwhile = { range.least - 2, range.most - 2 };

		if (meanwhile.least < 0)
			meanwhile.least = 0;
		if (check_value(s, &meanwhile, &value) != 0)
			return -1;
	}
	if (scene_let_all_go(s) != 0 || check_value(s, &range, &value) != 0 ||
	    check_use(s, value) != 0 || check_value(s, &range, &again) != 0)
		return -1;
	return value == again ? 0 : trouble("%lld permits, then %lld",
					    (long long)value,
					    (long long)again);
}

/* The value as it stands, without giving back what the dead hold. */
static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_semaphore_status status = { .size = sizeof(status) };
	const struct deed *victims = s->deeds[VICTIM];

	/* What the victim held comes back, by its death or before it. */
	if (has_undo(s) &&
	    (victims == &deeds[POST_HELD] || victims == &deeds[CLOSE_HELD]))
		return 0;
	if (stoa_semaphore_stat(s->object, &status) != 0)
		return 0;
	return status.value < permits_of(wait);
}

static int give(struct scene *s, const struct deed *wait)
{
	uint32_t permits = (uint32_t)permits_of(wait);
	int result = stoa_semaphore_post(s->object, permits);

	if (result != 0)
		return trouble("post: %d", result);
	atomic_fetch_add(&s->words[GIVEN], permits);
	return 0;
}

#define ONE (&deeds[WAIT_ONE])
#define TWO (&deeds[WAIT_TWO])
#define POLL (&deeds[WAIT_POLL])

static const struct waking wakings[] = {
	{ ONE, NULL, NONE, NULL },
	{ TWO, NULL, NONE, NULL },
	{ ONE, NULL, NONE, TWO },
	{ ONE, NULL, UNDO_NONE, NULL },
	{ TWO, NULL, UNDO_NONE, NULL },
	{ ONE, NULL, UNDO_NONE, TWO },
	{ POLL, NULL, NONE, NULL },
	{ POLL, &deeds[POST], NONE, NULL },
	{ POLL, &deeds[POST], UNDO_NONE, NULL },
	{ ONE, &deeds[POST], NONE, NULL },
	{ TWO, &deeds[POST_TWO], NONE, NULL },
	{ TWO, &deeds[POST], NONE, NULL },
	{ ONE, &deeds[POST], UNDO_NONE, NULL },
	{ TWO, &deeds[POST_TWO], UNDO_NONE, NULL },
	{ ONE, &deeds[POST_HELD], PAIR, NULL },
	{ TWO, &deeds[POST_HELD], UNDO_PAIR, NULL },
	{ TWO, &deeds[CLOSE_HELD], UNDO_PAIR, NULL }
};

const struct subject semaphore_subject = {
	.name = "semaphore",
	.placed_bytes = STOA_SEMAPHORE_UNDO_BYTES,
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
	.unlink = stoa_semaphore_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
