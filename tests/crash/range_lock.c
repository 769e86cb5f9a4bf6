/* SPDX-License-Identifier: MIT */
/*
 * range_lock.c: the range lock as a subject. Whatever the victim had is free
 * after its death, whatever others have is theirs still, to the number; and as
 * many ranges fit as ever.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define CAPACITY_OF_RANGES 12u
#define TIMED_NS INT64_C(2000000)
#define SHARED STOA_RANGE_SHARED
#define EXCLUSIVE STOA_RANGE_EXCLUSIVE
#define PROCESS STOA_RANGE_PROCESS
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

HANDLE_PLUMBING(range_lock)

enum situation_number { FREE, HELD, DEAD, DEAD_BESIDE };

#define IN(state) (UINT64_C(1) << (state))

static int plumb_stat(void *object)
{
	struct stoa_range_lock_status status = { .size = sizeof(status) };

	return stoa_range_lock_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_range_lock_attributes attributes = {
		.size = sizeof(attributes), .capacity = CAPACITY_OF_RANGES
	};
	struct stoa_range_lock *lock;
	int result = stoa_range_lock_open(s->space, scene_name(s),
					  STOA_CREATE | STOA_EXCLUSIVE, 0600,
					  &attributes, &lock);

	if (result == 0)
		*ret_object = lock;
	return result;
}

/* ---- Ranges ------------------------------------------------------------------- */

/* The helper's: more than are young at a time, so that the trees have some. */
static const struct stoa_range helpers[] = {
	{ 40, 10, EXCLUSIVE, 0 }, { 60, 10, SHARED, 0 }, { 56, 1, SHARED, 0 },
	{ 86, 1, SHARED, 0 },     { 88, 1, SHARED, 0 }
};
/* A dead one's, before the victim came. */
static const struct stoa_range deads[] = {
	{ 10, 10, EXCLUSIVE, 0 }, { 62, 3, SHARED, 0 }, { 80, 5, SHARED, 0 }
};

static int lock_all(void *object, const struct stoa_range *ranges,
		    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int result = stoa_range_lock_lock(object, &ranges[i],
						  STOA_NOW);

		if (result != 0)
			return result;
	}
	return 0;
}

static int64_t run_helper(struct player *p)
{
	return lock_all(p->object, helpers, ARRAY_SIZE(helpers));
}

static int64_t run_dead(struct player *p)
{
	return lock_all(p->object, deads, ARRAY_SIZE(deads));
}

static void finish_helper(struct player *p)
{
	if (stoa_range_lock_unlock(p->object, NULL) != 0)
		_exit(1);
}

static const struct deed helping = {
	"hold", 0, 0, NULL, run_helper, finish_helper
};
static const struct deed dying = { "die", 0, 0, NULL, run_dead, NULL };

/* ---- Deeds -------------------------------------------------------------------- */

/* By name of the deed: what is locked before, and what is done. */
struct plan {
	struct stoa_range before[2];
	uint32_t count;
	struct stoa_range range;
	int unlocks;
};

enum deed_number {
	LOCK, LOCK_SHARED, LOCK_PROCESS, OVERLAP, JOIN, DOWNGRADE, UPGRADE,
	UNLOCK, SPLIT, UNLOCK_PROCESS, REFUSED, REFUSED_TIMED, PLANS,
	UNLOCK_ALL = PLANS, CLOSE_HELD, WAIT_HELD, WAIT_LINE, WAIT_BEHIND,
	WAIT_FREE, WAIT_FREE_SHARED, DEEDS
};

static const struct plan plans[] = {
	[LOCK] = { .range = { 12, 3, EXCLUSIVE, 0 } },
	[LOCK_SHARED] = { .range = { 60, 15, SHARED, 0 } },
	[LOCK_PROCESS] = { .range = { 0, 5, EXCLUSIVE | PROCESS, 0 } },
	[OVERLAP] = { { { 0, 12, EXCLUSIVE, 0 }, { 20, 10, SHARED, 0 } }, 2,
		      { 5, 20, EXCLUSIVE, 0 }, 0 },
	[JOIN] = { { { 0, 10, EXCLUSIVE, 0 }, { 20, 10, EXCLUSIVE, 0 } }, 2,
		   { 10, 10, EXCLUSIVE, 0 }, 0 },
	[DOWNGRADE] = { { { 0, 30, EXCLUSIVE, 0 } }, 1, { 5, 10, SHARED, 0 },
			0 },
	[UPGRADE] = { { { 0, 30, SHARED, 0 } }, 1, { 5, 10, EXCLUSIVE, 0 }, 0 },
	[UNLOCK] = { { { 0, 30, EXCLUSIVE, 0 } }, 1, { 0, 10, 0, 0 }, 1 },
	[SPLIT] = { { { 0, 30, EXCLUSIVE, 0 } }, 1, { 5, 10, 0, 0 }, 1 },
	[UNLOCK_PROCESS] = { { { 0, 30, EXCLUSIVE | PROCESS, 0 } }, 1,
			     { 0, 30, PROCESS, 0 }, 1 },
	[REFUSED] = { { { 0, 10, EXCLUSIVE, 0 } }, 1, { 45, 10, SHARED, 0 }, 0 },
	[REFUSED_TIMED] = { { { 0, 10, EXCLUSIVE, 0 } }, 1,
			    { 65, 10, EXCLUSIVE, 0 }, 0 }
};

static const struct deed deeds[];

static const struct plan *plan_of(const struct player *p)
{
	return &plans[p->deed - deeds];
}

static void prepare(struct player *p)
{
	const struct plan *plan = plan_of(p);

	if (lock_all(p->object, plan->before, plan->count) != 0)
		player_skip();
}

static int64_t run(struct player *p)
{
	const struct plan *plan = plan_of(p);

	if (plan->unlocks)
		return stoa_range_lock_unlock(p->object, &plan->range);
	return stoa_range_lock_lock(p->object, &plan->range, STOA_NOW);
}

static int64_t run_timed(struct player *p)
{
	return stoa_range_lock_lock(p->object, &plan_of(p)->range,
				    stoa_deadline_in(TIMED_NS));
}

static void prepare_many(struct player *p)
{
	const struct stoa_range ranges[] = {
		{ 0, 10, EXCLUSIVE, 0 }, { 20, 10, SHARED, 0 },
		{ 90, 0, EXCLUSIVE, 0 }
	};

	if (lock_all(p->object, ranges, ARRAY_SIZE(ranges)) != 0)
		player_skip();
}

static int64_t run_unlock_all(struct player *p)
{
	return stoa_range_lock_unlock(p->object, NULL);
}

static int64_t run_close(struct player *p)
{
	stoa_range_lock_close(p->object);
	return 0;
}

static int64_t run_test(struct player *p)
{
	struct stoa_range_holder holder;
	int result = stoa_range_lock_test(p->object, NULL, &holder);

	return result < 0 ? result : 0;
}

static int visit(const struct stoa_range_holder *holder, void *context)
{
	(void)holder;
	(void)context;
	return 0;
}

static int64_t run_each(struct player *p)
{
	return stoa_range_lock_each(p->object, visit, NULL);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait wait = {
		.kind = STOA_WRITABLE,
		.object = stoa_range_lock_object(p->object),
		.detail = &plans[LOCK].range
	};

	return stoa_wait_any(&wait, 1, STOA_NOW);
}

static int64_t wait_for(struct player *p, struct stoa_range range)
{
	int result = stoa_range_lock_lock(p->object, &range, STOA_FOREVER);

	return result < 0 ? result : stoa_range_lock_unlock(p->object, &range);
}

static int64_t wait_held(struct player *p)
{
	return wait_for(p, (struct stoa_range){ 45, 10, EXCLUSIVE, 0 });
}

static int64_t wait_line(struct player *p)
{
	return wait_for(p, (struct stoa_range){ 60, 10, EXCLUSIVE, 0 });
}

static int64_t wait_behind(struct player *p)
{
	return wait_for(p, (struct stoa_range){ 61, 2, SHARED, 0 });
}

static int64_t wait_free(struct player *p)
{
	return wait_for(p, (struct stoa_range){ 5, 2, EXCLUSIVE, 0 });
}

static int64_t wait_free_shared(struct player *p)
{
	return wait_for(p, (struct stoa_range){ 5, 2, SHARED, 0 });
}

#define OFTEN (DEED_CORE | DEED_REPAIRS)
#define CALM_ONES (IN(FREE) | IN(HELD))

static const struct deed deeds[] = {
	[LOCK] = { "lock", OFTEN, 0, prepare, run, NULL },
	[LOCK_SHARED] = { "lock-shared", OFTEN, 0, prepare, run, NULL },
	[LOCK_PROCESS] = { "lock-process", DEED_CORE, 0, prepare, run, NULL },
	[OVERLAP] = { "overlap", DEED_CORE, CALM_ONES, prepare, run, NULL },
	[JOIN] = { "join", DEED_CORE, CALM_ONES, prepare, run, NULL },
	[DOWNGRADE] = { "downgrade", DEED_CORE, CALM_ONES, prepare, run, NULL },
	[UPGRADE] = { "upgrade", DEED_CORE, CALM_ONES, prepare, run, NULL },
	[UNLOCK] = { "unlock", DEED_CORE, CALM_ONES, prepare, run, NULL },
	[SPLIT] = { "split", DEED_CORE, CALM_ONES, prepare, run, NULL },
	[UNLOCK_PROCESS] = { "unlock-process", DEED_CORE, CALM_ONES, prepare,
			     run, NULL },
	[REFUSED] = { "refused", DEED_CORE, IN(HELD), prepare, run, NULL },
	[REFUSED_TIMED] = { "refused-timed", DEED_CORE, IN(HELD), prepare,
			    run_timed, NULL },
	[UNLOCK_ALL] = { "unlock-all", DEED_CORE, CALM_ONES, prepare_many,
			 run_unlock_all, NULL },
	[CLOSE_HELD] = { "close-held", DEED_CORE | DEED_CLOSES, CALM_ONES,
			 prepare_many, run_close, NULL },
	[WAIT_HELD] = { "wait-held", DEED_WAITS, 0, NULL, wait_held, NULL },
	[WAIT_LINE] = { "wait-line", DEED_WAITS, 0, NULL, wait_line, NULL },
	[WAIT_BEHIND] = { "wait-behind", DEED_WAITS, 0, NULL, wait_behind,
			  NULL },
	[WAIT_FREE] = { "wait-free", DEED_WAITS, 0, NULL, wait_free, NULL },
	[WAIT_FREE_SHARED] = { "wait-free-shared", DEED_WAITS, 0, NULL,
			       wait_free_shared, NULL },
	[DEEDS] = { "test", DEED_REPAIRS, 0, NULL, run_test, NULL },
	{ "each", 0, 0, NULL, run_each, NULL },
	{ "wait-any", DEED_REPAIRS, 0, NULL, run_wait_any, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_held(struct scene *s)
{
	scene_helper(s, &helping);
}

static void set_dead(struct scene *s)
{
	scene_dead(s, &dying);
}

static void set_dead_beside(struct scene *s)
{
	set_held(s);
	scene_dead(s, &dying);
}

static const struct situation situations[] = {
	[FREE] = { "free", NULL },
	[HELD] = { "held", set_held },
	[DEAD] = { "dead", set_dead },
	[DEAD_BESIDE] = { "dead-beside", set_dead_beside }
};

/* ---- Oracle ------------------------------------------------------------------- */

static int has_helper(const struct scene *s)
{
	return (IN(s->state_number) & (IN(HELD) | IN(DEAD_BESIDE))) &&
	       !atomic_load(&s->notes[HELPERS_FROM].let_go);
}

static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (deed < deeds || deed >= &deeds[DEEDS] ||
		    !note_done(s, i, &result))
			continue;
		if (deed == &deeds[REFUSED] ? result == -EAGAIN :
		    deed == &deeds[REFUSED_TIMED] ? result == -ETIMEDOUT :
		    result == 0)
			continue;
		/* In another one's hands, living until just now. */
		if (result == -EAGAIN && s->deeds[SECOND] != NULL)
			continue;
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

static int expect(const char *what, int64_t result, int64_t wanted)
{
	return result == wanted ? 0 : trouble("%s gave %lld, not %lld", what,
					      (long long)result,
					      (long long)wanted);
}

/* What the helper has, nobody else can have; what it shares, others can share. */
static int check_helper(struct scene *s)
{
	const struct stoa_range exclusively = { 49, 1, SHARED, 0 };
	const struct stoa_range shared = { 69, 1, SHARED, 0 };
	const struct stoa_range upgraded = { 60, 1, EXCLUSIVE, 0 };
	struct stoa_range_holder holder;

	if (expect("a lock of what the helper has",
		   stoa_range_lock_lock(s->eye, &exclusively, STOA_NOW),
		   -EAGAIN) != 0 ||
	    expect("an exclusive lock of what the helper shares",
		   stoa_range_lock_lock(s->eye, &upgraded, STOA_NOW),
		   -EAGAIN) != 0 ||
	    expect("sharing with the helper",
		   stoa_range_lock_lock(s->eye, &shared,
					stoa_deadline_in(patient_ns())), 0) != 0 ||
	    expect("unlock", stoa_range_lock_unlock(s->eye, &shared), 0) != 0 ||
	    expect("a test of what the helper has",
		   stoa_range_lock_test(s->eye, &exclusively, &holder), 1) != 0)
		return -1;
	if (holder.pid != s->pids[HELPERS_FROM] || holder.range.start != 40 ||
	    holder.range.length != 10)
		return trouble("the holder is said to be %d, with %llu + %llu",
			       (int)holder.pid,
			       (unsigned long long)holder.range.start,
			       (unsigned long long)holder.range.length);
	return 0;
}

/* Everything that is not the helper's can be had. */
static int lock_the_rest(struct scene *s)
{
	const struct stoa_range rest[] = {
		{ 0, 40, EXCLUSIVE, 0 },
		{ 50, 6, EXCLUSIVE, 0 },
		{ 70, 16, EXCLUSIVE, 0 },
		{ 89, 0, EXCLUSIVE, 0 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
		int result = stoa_range_lock_lock(s->eye, &rest[i],
						  stoa_deadline_in(patient_ns()));

		if (result != 0)
			return trouble("the free range from %llu can't be had: "
				       "%d %s",
				       (unsigned long long)rest[i].start,
				       result, stoa_last_error());
	}
	return 0;
}

/* As many ranges as it was made for, one by one, and not one more. */
static int check_room(struct scene *s)
{
	struct stoa_range_lock_status status = { .size = sizeof(status) };
	struct stoa_range range = { 0, 1, EXCLUSIVE, 0 };

	if (expect("locking the whole",
		   stoa_range_lock_lock(s->eye, NULL,
					stoa_deadline_in(patient_ns())), 0) != 0 ||
	    expect("unlocking all", stoa_range_lock_unlock(s->eye, NULL),
		   0) != 0 ||
	    expect("stat", stoa_range_lock_stat(s->eye, &status), 0) != 0)
		return -1;
	if (status.ranges != 0 || status.waiting != 0)
		return trouble("stat: %llu ranges, %llu wait",
			       (unsigned long long)status.ranges,
			       (unsigned long long)status.waiting);
	for (; range.start < 2 * CAPACITY_OF_RANGES; range.start += 2)
		if (stoa_range_lock_lock(s->eye, &range, STOA_NOW) != 0)
			return trouble("only %llu ranges of %u fit: %s",
				       (unsigned long long)range.start / 2,
				       CAPACITY_OF_RANGES, stoa_last_error());
	if (expect("one range too many",
		   stoa_range_lock_lock(s->eye, &range, STOA_NOW),
		   -ENOLCK) != 0)
		return -1;
	return expect("unlocking all", stoa_range_lock_unlock(s->eye, NULL),
		      0);
}

static int check(struct scene *s, uint32_t variant)
{
	(void)variant;
	if (check_results(s) != 0 || (has_helper(s) && check_helper(s) != 0) ||
	    lock_the_rest(s) != 0 || (has_helper(s) && check_helper(s) != 0) ||
	    scene_let_all_go(s) != 0)
		return -1;
	return check_room(s);
}

/* ---- Blocked -------------------------------------------------------------------- */

/* The dead are in nobody's way. */
static int stuck(struct scene *s, const struct deed *wait)
{
	return has_helper(s) &&
	       (wait == &deeds[WAIT_HELD] || wait == &deeds[WAIT_LINE]);
}

static int give(struct scene *s, const struct deed *wait)
{
	(void)wait;
	return scene_let_all_go(s);
}

#define W(name) (&deeds[WAIT_##name])

static const struct waking wakings[] = {
	{ W(HELD), NULL, HELD, NULL },
	{ W(LINE), NULL, HELD, NULL },
	{ W(BEHIND), NULL, HELD, W(LINE) },
	{ W(FREE), &deeds[UNLOCK], FREE, NULL },
	{ W(FREE), &deeds[UNLOCK_ALL], HELD, NULL },
	{ W(FREE), &deeds[UNLOCK_PROCESS], FREE, NULL },
	{ W(FREE), &deeds[CLOSE_HELD], FREE, NULL },
	{ W(FREE), &deeds[SPLIT], HELD, NULL },
	{ W(FREE_SHARED), &deeds[DOWNGRADE], FREE, NULL }
};

const struct subject range_lock_subject = {
	.name = "range_lock",
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
	.unlink = stoa_range_lock_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
