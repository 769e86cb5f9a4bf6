/* SPDX-License-Identifier: MIT */
/*
 * mutex.c: the mutex as a subject. The oracle keeps the set of what the mutex
 * may be after all that was done to it; the next to lock it must be told one of
 * these, and the same from then on.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define TIMED_NS INT64_C(2000000)

HANDLE_PLUMBING(mutex)

enum situation_number {
	FREE, HELD, DEAD_OWNER, TOLD_OWNER, DEAD_TOLD, LOST, RECURSIVE
};

#define IN(state) (UINT64_C(1) << (state))


static int plumb_stat(void *object)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };

	return stoa_mutex_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_mutex_attributes attributes = {
		.size = sizeof(attributes),
		.kind = s->state_number == RECURSIVE ? STOA_MUTEX_RECURSIVE
						     : STOA_MUTEX_CHECKED
	};
	struct stoa_mutex *mutex;
	int result;

	if (s->form == FORM_PLACED)
		result = stoa_mutex_place(s->space, s->memory,
					  STOA_MUTEX_BYTES, STOA_CREATE,
					  &attributes, &mutex);
	else
		result = stoa_mutex_open(s->space, scene_name(s),
					 STOA_CREATE | STOA_EXCLUSIVE, 0600,
					 &attributes, &mutex);
	if (result == 0)
		*ret_object = mutex;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static void prepare_locked(struct player *p)
{
	int result = stoa_mutex_lock(p->object, STOA_NOW);

	if (result != 0 && result != -EOWNERDEAD)
		player_skip();
}

static void prepare_mended(struct player *p)
{
	if (stoa_mutex_lock(p->object, STOA_NOW) != -EOWNERDEAD ||
	    stoa_mutex_consistent(p->object) != 0)
		player_skip();
}

static void prepare_twice(struct player *p)
{
	prepare_locked(p);
	if (stoa_mutex_lock(p->object, STOA_NOW) != 0)
		player_skip();
}

static int64_t run_lock(struct player *p)
{
	return stoa_mutex_lock(p->object, STOA_NOW);
}

static int64_t run_lock_timed(struct player *p)
{
	return stoa_mutex_lock(p->object, stoa_deadline_in(TIMED_NS));
}

static int64_t run_unlock(struct player *p)
{
	return stoa_mutex_unlock(p->object);
}

static int64_t run_consistent(struct player *p)
{
	return stoa_mutex_consistent(p->object);
}

static int64_t run_close(struct player *p)
{
	stoa_mutex_close(p->object);
	return 0;
}

static int64_t run_held(struct player *p)
{
	return stoa_mutex_held(p->object);
}

static int visit_waiter(const struct stoa_mutex_waiter *waiter, void *context)
{
	(void)waiter;
	(void)context;
	return 0;
}

static int64_t run_each_waiter(struct player *p)
{
	return stoa_mutex_each_waiter(p->object, visit_waiter, NULL);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait wait = {
		.kind = STOA_READABLE, .object = stoa_mutex_object(p->object)
	};

	return stoa_wait_any(&wait, 1, STOA_NOW);
}

/* Mends if it must, and leaves the mutex free; tells how it got it. */
static int64_t wait_lock(struct player *p)
{
	int told = stoa_mutex_lock(p->object, STOA_FOREVER);

	if (told == -EOWNERDEAD && stoa_mutex_consistent(p->object) != 0)
		return -EPROTO;
	if ((told == 0 || told == -EOWNERDEAD) &&
	    stoa_mutex_unlock(p->object) != 0)
		return -EPROTO;
	return told;
}

/* Of helpers: their result must not be negative. */
static int64_t hold(struct player *p)
{
	int told = stoa_mutex_lock(p->object, STOA_NOW);

	return told == 0 || told == -EOWNERDEAD ? 0 : told;
}

static void finish_hold(struct player *p)
{
	(void)stoa_mutex_consistent(p->object);
	if (stoa_mutex_unlock(p->object) != 0)
		_exit(1);
}

static const struct deed holding = { "hold", 0, 0, NULL, hold, finish_hold };

static int64_t spoil(struct player *p)
{
	int told = stoa_mutex_lock(p->object, STOA_NOW);

	return told == -EOWNERDEAD ? stoa_mutex_unlock(p->object) : -EPROTO;
}

static const struct deed spoiling = { "spoil", 0, 0, NULL, spoil, NULL };

enum deed_number {
	LOCK, LOCK_TIMED, UNLOCK, UNLOCK_MENDED, UNLOCK_ONE, CONSISTENT, RELOCK,
	CLOSE_HELD, WAIT_LOCK
};

static const struct deed deeds[] = {
	[LOCK] = { "lock", DEED_CORE | DEED_REPAIRS, 0, NULL, run_lock, NULL },
	[LOCK_TIMED] = { "lock-timed", DEED_CORE | DEED_REPAIRS, 0, NULL,
			 run_lock_timed, NULL },
	[UNLOCK] = { "unlock", DEED_CORE, IN(FREE) | IN(DEAD_OWNER) |
		     IN(DEAD_TOLD) | IN(RECURSIVE), prepare_locked, run_unlock,
		     NULL },
	[UNLOCK_MENDED] = { "unlock-mended", DEED_CORE,
			    IN(DEAD_OWNER) | IN(DEAD_TOLD), prepare_mended,
			    run_unlock, NULL },
	[UNLOCK_ONE] = { "unlock-one-of-two", DEED_CORE, IN(RECURSIVE),
			 prepare_twice, run_unlock, NULL },
	[CONSISTENT] = { "consistent", DEED_CORE,
			 IN(DEAD_OWNER) | IN(DEAD_TOLD), prepare_locked,
			 run_consistent, NULL },
	[RELOCK] = { "relock", DEED_CORE, IN(RECURSIVE), prepare_locked,
		     run_lock, NULL },
	[CLOSE_HELD] = { "close-held", DEED_CORE | DEED_CLOSES,
			 IN(FREE) | IN(DEAD_OWNER) | IN(RECURSIVE),
			 prepare_locked, run_close, NULL },
	[WAIT_LOCK] = { "wait-lock", DEED_WAITS, 0, NULL, wait_lock, NULL },
	{ "held", 0, 0, NULL, run_held, NULL },
	{ "each-waiter", 0, 0, NULL, run_each_waiter, NULL },
	{ "wait-any", DEED_REPAIRS, 0, NULL, run_wait_any, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_held(struct scene *s)
{
	scene_helper(s, &holding);
}

static void set_dead_owner(struct scene *s)
{
	scene_dead(s, &holding);
}

static void set_told_owner(struct scene *s)
{
	scene_dead(s, &holding);
	scene_helper(s, &holding);
}

static void set_dead_told(struct scene *s)
{
	scene_dead(s, &holding);
	scene_dead(s, &holding);
}

static void set_lost(struct scene *s)
{
	scene_dead(s, &holding);
	scene_dead(s, &spoiling);
}

static const struct situation situations[] = {
	[FREE] = { "free", NULL },
	[HELD] = { "held", set_held },
	[DEAD_OWNER] = { "dead-owner", set_dead_owner },
	[TOLD_OWNER] = { "told-owner", set_told_owner },
	[DEAD_TOLD] = { "dead-told", set_dead_told },
	[LOST] = { "lost", set_lost },
	[RECURSIVE] = { "recursive", NULL }
};

/* ---- Oracle ------------------------------------------------------------------- */

/* What it may be, when nobody living has it. */
enum outcome { IS_FREE = 1, IS_ORPHANED = 2, IS_LOST = 4 };

static unsigned at_first(const struct scene *s)
{
	switch (s->state_number) {
	case DEAD_OWNER:
	case DEAD_TOLD:
		return IS_ORPHANED;
	case LOST:
		return IS_LOST;
	default:
		return IS_FREE;
	}
}

static int somebody_has_it(const struct scene *s)
{
	return (s->state_number == HELD || s->state_number == TOLD_OWNER) &&
	       !atomic_load(&s->notes[HELPERS_FROM].let_go) &&
	       !atomic_load(&s->notes[HELPERS_FROM + 1].let_go);
}

/* The victim had it, or may have had it, and died. */
static unsigned after_lock(const struct scene *s, uint32_t player,
			   unsigned before)
{
	int64_t result;

	if (!note_done(s, player, &result))
		return before | (before & IS_FREE ? IS_ORPHANED : 0);
	return result == 0 || result == -EOWNERDEAD ? IS_ORPHANED : before;
}

static unsigned after_unlock(const struct scene *s, uint32_t player)
{
	int told = s->deeds[player] == &deeds[UNLOCK] &&
		   at_first(s) == IS_ORPHANED;
	unsigned after = told ? IS_LOST : IS_FREE;

	return note_done(s, player, NULL) ? after : after | IS_ORPHANED;
}

static unsigned after(const struct scene *s, uint32_t player, unsigned before)
{
	const struct deed *deed = s->deeds[player];

	if (deed == &deeds[LOCK] || deed == &deeds[LOCK_TIMED])
		return after_lock(s, player, before);
	if (deed == &deeds[UNLOCK] || deed == &deeds[UNLOCK_MENDED])
		return after_unlock(s, player);
	if (deed == &deeds[UNLOCK_ONE] || deed == &deeds[RELOCK] ||
	    deed == &deeds[CONSISTENT] || deed == &deeds[CLOSE_HELD])
		return IS_ORPHANED;
	if (deed == &deeds[WAIT_LOCK])
		return before | (note_done(s, player, NULL) ? 0 : IS_ORPHANED);
	return before;
}

static int check_result(const struct scene *s, int64_t result, unsigned may,
			const char *who)
{
	if ((result == 0 && may & IS_FREE) ||
	    (result == -EOWNERDEAD && may & IS_ORPHANED) ||
	    (result == -ENOTRECOVERABLE && may & IS_LOST) ||
	    (result == -EAGAIN && somebody_has_it(s)) ||
	    (result == -ETIMEDOUT && somebody_has_it(s)))
		return 0;
	return trouble("%s lock gave %lld, but it may be%s%s%s", who,
		       (long long)result, may & IS_FREE ? " free" : "",
		       may & IS_ORPHANED ? " orphaned" : "",
		       may & IS_LOST ? " lost" : "");
}

/* The waiter left it free, whatever it was told; or it was lost. */
static unsigned after_waiter(const struct scene *s, unsigned before, int *bad)
{
	unsigned may = before;
	int64_t result;

	if (!note_done(s, WAITER, &result))
		return before;
	*bad |= check_result(s, result, may, "the waiter's");
	if (result == -ENOTRECOVERABLE)
		return IS_LOST;
	/* A victim that waited, too, may have had it afterwards. */
	return s->deeds[VICTIM] == &deeds[WAIT_LOCK] ? IS_FREE | IS_ORPHANED
						     : IS_FREE;
}

static int check_players(const struct scene *s, unsigned *ret_may)
{
	unsigned may = at_first(s);
	int bad = 0;

	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		int64_t result;

		if ((s->deeds[i] == &deeds[LOCK] ||
		     s->deeds[i] == &deeds[LOCK_TIMED]) &&
		    note_done(s, i, &result))
			bad |= check_result(s, result, may, "the victim's");
		else if (s->deeds[i] >= &deeds[UNLOCK] &&
			 s->deeds[i] < &deeds[WAIT_LOCK] &&
			 note_done(s, i, &result) && result != 0)
			bad |= trouble("the victim's %s gave %lld",
				       s->deeds[i]->name, (long long)result);
		may = after(s, i, may);
	}
	*ret_may = after_waiter(s, may, &bad);
	return bad;
}

static int check_stat(struct scene *s, uint32_t state)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };
	int result = stoa_mutex_stat(s->eye, &status);

	if (result != 0)
		return trouble("stat: %d", result);
	if (status.state != state || status.owner_pid != getpid() ||
	    status.depth != 1)
		return trouble("stat: state %u, owner %d, depth %u, but I have "
			       "it once, in state %u", status.state,
			       (int)status.owner_pid, status.depth, state);
	return 0;
}

static int expect(const char *what, int result, int wanted)
{
	return result == wanted ? 0 : trouble("%s gave %d, not %d", what,
					      result, wanted);
}

/* I have it, and was told that one died. */
static int check_told(struct scene *s, int mends)
{
	if (check_stat(s, STOA_MUTEX_INCONSISTENT) != 0)
		return -1;
	if (mends)
		return expect("consistent", stoa_mutex_consistent(s->eye), 0);
	if (expect("unlock unmended", stoa_mutex_unlock(s->eye), 0) != 0 ||
	    expect("lock after an unmended unlock",
		   stoa_mutex_lock(s->eye, STOA_NOW), -ENOTRECOVERABLE) != 0)
		return -1;
	return 1;
}

static int check(struct scene *s, uint32_t variant)
{
	unsigned may;
	int result;

	if (check_players(s, &may) != 0)
		return -1;
	result = stoa_mutex_lock(s->eye, STOA_NOW);
	if (somebody_has_it(s) &&
	    expect("lock while another has it", result, -EAGAIN) != 0)
		return -1;
	if (scene_let_all_go(s) != 0)
		return -1;
	if (result == -EAGAIN)
		result = stoa_mutex_lock(s->eye, stoa_deadline_in(patient_ns()));
	if (check_result(s, result, may, "the survivor's") != 0)
		return -1;
	if (result == -EOWNERDEAD) {
		result = check_told(s, variant & 4 || variant & 1);
		if (result != 0)
			return result < 0 ? -1 : 0;
	} else if (result == -ENOTRECOVERABLE) {
		return expect("lock of what is lost",
			      stoa_mutex_lock(s->eye, STOA_FOREVER),
			      -ENOTRECOVERABLE);
	}
	if (check_stat(s, STOA_MUTEX_LOCKED) != 0 ||
	    expect("unlock", stoa_mutex_unlock(s->eye), 0) != 0 ||
	    expect("lock again", stoa_mutex_lock(s->eye, STOA_NOW), 0) != 0)
		return -1;
	return expect("unlock again", stoa_mutex_unlock(s->eye), 0);
}

static int stuck(struct scene *s, const struct deed *wait)
{
	(void)wait;
	return somebody_has_it(s);
}

static int give(struct scene *s, const struct deed *wait)
{
	(void)wait;
	return scene_let_all_go(s);
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_LOCK], NULL, HELD, NULL },
	{ &deeds[WAIT_LOCK], NULL, TOLD_OWNER, NULL },
	{ &deeds[WAIT_LOCK], &deeds[UNLOCK], FREE, NULL },
	{ &deeds[WAIT_LOCK], &deeds[UNLOCK], DEAD_OWNER, NULL },
	{ &deeds[WAIT_LOCK], &deeds[UNLOCK_MENDED], DEAD_OWNER, NULL },
	{ &deeds[WAIT_LOCK], &deeds[CONSISTENT], DEAD_OWNER, NULL },
	{ &deeds[WAIT_LOCK], &deeds[CLOSE_HELD], FREE, NULL },
	{ &deeds[WAIT_LOCK], &deeds[UNLOCK_ONE], RECURSIVE, NULL }
};

const struct subject mutex_subject = {
	.name = "mutex",
	.placed_bytes = STOA_MUTEX_BYTES,
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
	.unlink = stoa_mutex_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
