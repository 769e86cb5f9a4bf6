/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c: the rwlock as a subject. As with the mutex, the oracle keeps the
 * set of what the lock may be; dead readers must leave nothing.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define TIMED_NS INT64_C(2000000)
#define READERS 3u

HANDLE_PLUMBING(rwlock)

enum situation_number {
	FREE, READ, WRITTEN, DEAD_READER, DEAD_WRITER, DEAD_TOLD, LOST,
	READ_PREFERS_WRITERS, FULL, DEAD_FULL
};

#define IN(state) (UINT64_C(1) << (state))
#define NOBODY (IN(FREE) | IN(DEAD_READER) | IN(DEAD_FULL))

static int plumb_stat(void *object)
{
	struct stoa_rwlock_status status = { .size = sizeof(status) };

	return stoa_rwlock_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_rwlock_attributes attributes = {
		.size = sizeof(attributes),
		.preference = s->state_number == READ_PREFERS_WRITERS
				      ? STOA_RWLOCK_WRITERS
				      : STOA_RWLOCK_READERS,
		.readers = READERS
	};
	struct stoa_rwlock *rwlock;
	int result;

	if (s->form == FORM_PLACED)
		result = stoa_rwlock_place(s->space, s->memory,
					   STOA_RWLOCK_BYTES, STOA_CREATE,
					   &attributes, &rwlock);
	else
		result = stoa_rwlock_open(s->space, scene_name(s),
					  STOA_CREATE | STOA_EXCLUSIVE, 0600,
					  &attributes, &rwlock);
	if (result == 0)
		*ret_object = rwlock;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static void prepare_read(struct player *p)
{
	if (stoa_rwlock_lock_read(p->object, STOA_NOW) != 0)
		player_skip();
}

static void prepare_write(struct player *p)
{
	int result = stoa_rwlock_lock_write(p->object, STOA_NOW);

	if (result != 0 && result != -EOWNERDEAD)
		player_skip();
}

static void prepare_mended(struct player *p)
{
	if (stoa_rwlock_lock_write(p->object, STOA_NOW) != -EOWNERDEAD ||
	    stoa_rwlock_consistent(p->object) != 0)
		player_skip();
}

static int64_t run_read(struct player *p)
{
	return stoa_rwlock_lock_read(p->object, STOA_NOW);
}

static int64_t run_write(struct player *p)
{
	return stoa_rwlock_lock_write(p->object, STOA_NOW);
}

static int64_t run_read_timed(struct player *p)
{
	return stoa_rwlock_lock_read(p->object, stoa_deadline_in(TIMED_NS));
}

static int64_t run_write_timed(struct player *p)
{
	return stoa_rwlock_lock_write(p->object, stoa_deadline_in(TIMED_NS));
}

static int64_t run_unlock(struct player *p)
{
	return stoa_rwlock_unlock(p->object);
}

static int64_t run_downgrade(struct player *p)
{
	return stoa_rwlock_downgrade(p->object);
}

static int64_t run_upgrade(struct player *p)
{
	return stoa_rwlock_upgrade(p->object);
}

static int64_t run_consistent(struct player *p)
{
	return stoa_rwlock_consistent(p->object);
}

static int64_t run_close(struct player *p)
{
	stoa_rwlock_close(p->object);
	return 0;
}

static int64_t run_held(struct player *p)
{
	return stoa_rwlock_held(p->object);
}

static int visit_user(const struct stoa_rwlock_user *user, void *context)
{
	(void)user;
	(void)context;
	return 0;
}

static int64_t run_each(struct player *p)
{
	int result = stoa_rwlock_each_holder(p->object, visit_user, NULL);

	return result < 0 ? result
			  : stoa_rwlock_each_waiter(p->object, visit_user,
						    NULL);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait waits[] = {
		{ .kind = STOA_READABLE,
		  .object = stoa_rwlock_object(p->object) },
		{ .kind = STOA_WRITABLE,
		  .object = stoa_rwlock_object(p->object) }
	};

	return stoa_wait_any(waits, 2, STOA_NOW);
}

/* Mends if it must, and unlocks; tells how it got it. */
static int64_t leave_free(struct player *p, int told)
{
	if (told == -EOWNERDEAD && stoa_rwlock_consistent(p->object) != 0)
		return -EPROTO;
	if ((told == 0 || told == -EOWNERDEAD) &&
	    stoa_rwlock_unlock(p->object) != 0)
		return -EPROTO;
	return told;
}

static int64_t wait_read(struct player *p)
{
	return leave_free(p, stoa_rwlock_lock_read(p->object, STOA_FOREVER));
}

static int64_t wait_write(struct player *p)
{
	return leave_free(p, stoa_rwlock_lock_write(p->object, STOA_FOREVER));
}

static int64_t hold_write(struct player *p)
{
	int told = stoa_rwlock_lock_write(p->object, STOA_NOW);

	return told == -EOWNERDEAD ? 0 : told;
}

static void finish_hold(struct player *p)
{
	if (stoa_rwlock_unlock(p->object) != 0)
		_exit(1);
}

static int64_t spoil(struct player *p)
{
	int told = stoa_rwlock_lock_write(p->object, STOA_NOW);

	return told == -EOWNERDEAD ? stoa_rwlock_unlock(p->object) : -EPROTO;
}

static const struct deed reading = {
	"hold-read", 0, 0, NULL, run_read, finish_hold
};
static const struct deed writing = {
	"hold-write", 0, 0, NULL, hold_write, finish_hold
};
static const struct deed spoiling = { "spoil", 0, 0, NULL, spoil, NULL };

enum deed_number {
	LOCK_READ, LOCK_WRITE, LOCK_READ_TIMED, LOCK_WRITE_TIMED, UNLOCK_READ,
	UNLOCK_WRITE, UNLOCK_MENDED, DOWNGRADE, DOWNGRADE_MENDED, UPGRADE,
	CONSISTENT, CLOSE_READ, CLOSE_WRITE, WAIT_READ, WAIT_WRITE
};

#define READABLE (NOBODY | IN(READ))
#define TOLD (IN(DEAD_WRITER) | IN(DEAD_TOLD))

static const struct deed deeds[] = {
	[LOCK_READ] = { "lock-read", DEED_CORE | DEED_REPAIRS, 0, NULL,
			run_read, NULL },
	[LOCK_WRITE] = { "lock-write", DEED_CORE | DEED_REPAIRS, 0, NULL,
			 run_write, NULL },
	[LOCK_READ_TIMED] = { "lock-read-timed", 0, 0, NULL, run_read_timed,
			      NULL },
	[LOCK_WRITE_TIMED] = { "lock-write-timed", DEED_CORE | DEED_REPAIRS, 0,
			       NULL, run_write_timed, NULL },
	[UNLOCK_READ] = { "unlock-read", DEED_CORE, READABLE, prepare_read,
			  run_unlock, NULL },
	[UNLOCK_WRITE] = { "unlock-write", DEED_CORE, NOBODY | TOLD,
			   prepare_write, run_unlock, NULL },
	[UNLOCK_MENDED] = { "unlock-mended", DEED_CORE, TOLD, prepare_mended,
			    run_unlock, NULL },
	[DOWNGRADE] = { "downgrade", DEED_CORE, NOBODY, prepare_write,
			run_downgrade, NULL },
	[DOWNGRADE_MENDED] = { "downgrade-mended", DEED_CORE, TOLD,
			       prepare_mended, run_downgrade, NULL },
	[UPGRADE] = { "upgrade", DEED_CORE, READABLE, prepare_read, run_upgrade,
		      NULL },
	[CONSISTENT] = { "consistent", DEED_CORE, TOLD, prepare_write,
			 run_consistent, NULL },
	[CLOSE_READ] = { "close-read", DEED_CLOSES, READABLE, prepare_read,
			 run_close, NULL },
	[CLOSE_WRITE] = { "close-write", DEED_CORE | DEED_CLOSES, NOBODY | TOLD,
			  prepare_write, run_close, NULL },
	[WAIT_READ] = { "wait-read", DEED_WAITS, 0, NULL, wait_read, NULL },
	[WAIT_WRITE] = { "wait-write", DEED_WAITS, 0, NULL, wait_write, NULL },
	{ "held", 0, 0, NULL, run_held, NULL },
	{ "each", 0, 0, NULL, run_each, NULL },
	{ "wait-any", DEED_REPAIRS, 0, NULL, run_wait_any, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_read(struct scene *s)
{
	scene_helper(s, &reading);
}

static void set_written(struct scene *s)
{
	scene_helper(s, &writing);
}

static void set_dead_reader(struct scene *s)
{
	scene_dead(s, &reading);
}

static void set_dead_writer(struct scene *s)
{
	scene_dead(s, &writing);
}

static void set_dead_told(struct scene *s)
{
	scene_dead(s, &writing);
	scene_dead(s, &writing);
}

static void set_lost(struct scene *s)
{
	scene_dead(s, &writing);
	scene_dead(s, &spoiling);
}

static void set_full(struct scene *s)
{
	for (uint32_t i = 0; i < READERS; i++)
		scene_helper(s, &reading);
}

static void set_dead_full(struct scene *s)
{
	for (uint32_t i = 0; i < READERS; i++)
		scene_dead(s, &reading);
}

static const struct situation situations[] = {
	[FREE] = { "free", NULL },
	[READ] = { "read", set_read },
	[WRITTEN] = { "written", set_written },
	[DEAD_READER] = { "dead-reader", set_dead_reader },
	[DEAD_WRITER] = { "dead-writer", set_dead_writer },
	[DEAD_TOLD] = { "dead-told", set_dead_told },
	[LOST] = { "lost", set_lost },
	[READ_PREFERS_WRITERS] = { "read-prefers-writers", set_read },
	[FULL] = { "full", set_full },
	[DEAD_FULL] = { "dead-full", set_dead_full }
};

/* ---- Oracle ------------------------------------------------------------------- */

/* What it may be, when nobody living has it. */
enum outcome { IS_FREE = 1, IS_ORPHANED = 2, IS_LOST = 4 };

static unsigned at_first(const struct scene *s)
{
	if (IN(s->state_number) & TOLD)
		return IS_ORPHANED;
	return s->state_number == LOST ? IS_LOST : IS_FREE;
}

#define HAS_HELPER(s)                                                         \
	(IN((s)->state_number) & (IN(READ) | IN(WRITTEN) | IN(FULL) |         \
				  IN(READ_PREFERS_WRITERS)))

static int has_helper(const struct scene *s)
{
	return HAS_HELPER(s) &&
	       !atomic_load(&s->notes[HELPERS_FROM].let_go);
}

static int somebody_writes(const struct scene *s)
{
	return s->state_number == WRITTEN && has_helper(s);
}

static int is_one_of(const struct deed *deed, uint64_t numbers)
{
	return deed >= deeds && deed <= &deeds[WAIT_WRITE] &&
	       IN(deed - deeds) & numbers;
}

#define READS (IN(LOCK_READ) | IN(LOCK_READ_TIMED))
#define WRITES (IN(LOCK_WRITE) | IN(LOCK_WRITE_TIMED))

static unsigned after_done(const struct scene *s, const struct deed *deed,
			   int64_t result, unsigned before)
{
	if (is_one_of(deed, READS))
		return result == -EOWNERDEAD ? IS_ORPHANED : before;
	if (is_one_of(deed, WRITES))
		return result == 0 || result == -EOWNERDEAD ? IS_ORPHANED
							    : before;
	if (is_one_of(deed, IN(UNLOCK_WRITE)))
		return at_first(s) == IS_ORPHANED ? IS_LOST : IS_FREE;
	if (is_one_of(deed, IN(UNLOCK_MENDED) | IN(DOWNGRADE) |
				    IN(DOWNGRADE_MENDED)))
		return IS_FREE;
	if (is_one_of(deed, IN(UPGRADE)))
		return result == 0 ? IS_ORPHANED : before;
	if (is_one_of(deed, IN(CONSISTENT) | IN(CLOSE_WRITE)))
		return IS_ORPHANED;
	return before;
}

/* Killed in its midst, it may have had it for writing. */
static unsigned after_torn(const struct scene *s, const struct deed *deed,
			   unsigned before)
{
	/* Not with others about that have it, nor in its sleep. */
	if ((is_one_of(deed, WRITES) && HAS_HELPER(s)) ||
	    (is_one_of(deed, IN(WAIT_WRITE)) && s->died_asleep))
		return before;
	if (is_one_of(deed, WRITES | IN(UPGRADE) | IN(WAIT_WRITE)))
		return before | (before & IS_FREE ? IS_ORPHANED : 0);
	if (is_one_of(deed, IN(UNLOCK_WRITE) | IN(UNLOCK_MENDED) |
				    IN(DOWNGRADE) | IN(DOWNGRADE_MENDED)))
		return after_done(s, deed, 0, before) | IS_ORPHANED;
	if (is_one_of(deed, IN(CONSISTENT) | IN(CLOSE_WRITE)))
		return IS_ORPHANED;
	return before;
}

static unsigned after(const struct scene *s, uint32_t player, unsigned before)
{
	int64_t result;

	if (s->deeds[player] == NULL)
		return before;
	if (note_done(s, player, &result))
		return after_done(s, s->deeds[player], result, before);
	return after_torn(s, s->deeds[player], before);
}

static int check_result(const struct scene *s, int64_t result, unsigned may,
			const char *who)
{
	int refused = result == -EAGAIN || result == -ETIMEDOUT;

	if ((result == 0 && may & IS_FREE) ||
	    (result == -EOWNERDEAD && may & IS_ORPHANED) ||
	    (result == -ENOTRECOVERABLE && may & IS_LOST) ||
	    (refused && has_helper(s)))
		return 0;
	return trouble("%s lock gave %lld, but it may be%s%s%s", who,
		       (long long)result, may & IS_FREE ? " free" : "",
		       may & IS_ORPHANED ? " orphaned" : "",
		       may & IS_LOST ? " lost" : "");
}

static unsigned after_waiter(const struct scene *s, unsigned before, int *bad)
{
	int64_t result;

	if (!note_done(s, WAITER, &result))
		return before;
	*bad |= check_result(s, result, before, "the waiter's");
	if (result == -ENOTRECOVERABLE)
		return IS_LOST;
	/* A victim that waited, too, may have had it afterwards. */
	return is_one_of(s->deeds[VICTIM], IN(WAIT_WRITE)) && !s->died_asleep
		       ? IS_FREE | IS_ORPHANED
		       : IS_FREE;
}

static int check_players(const struct scene *s, unsigned *ret_may)
{
	unsigned may = at_first(s);
	int bad = 0;

	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (deed != NULL && note_done(s, i, &result)) {
			if (is_one_of(deed, READS | WRITES))
				bad |= check_result(s, result, may,
						    "the victim's");
			else if (is_one_of(deed, ~(uint64_t)0) && result < 0 &&
				 !(is_one_of(deed, IN(UPGRADE)) &&
				   result == -EAGAIN && has_helper(s)))
				bad |= trouble("the victim's %s gave %lld",
					       deed->name, (long long)result);
		}
		may = after(s, i, may);
	}
	*ret_may = after_waiter(s, may, &bad);
	return bad;
}

static int expect(const char *what, int result, int wanted)
{
	return result == wanted ? 0 : trouble("%s gave %d, not %d", what,
					      result, wanted);
}

static int check_stat(struct scene *s, uint32_t state, uint32_t readers)
{
	struct stoa_rwlock_status status = { .size = sizeof(status) };
	int result = stoa_rwlock_stat(s->eye, &status);

	if (result != 0)
		return trouble("stat: %d", result);
	if (status.state != state || status.readers != readers)
		return trouble("stat: state %u with %u readers, not %u with %u",
			       status.state, status.readers, state, readers);
	return 0;
}

/* While helpers have it. */
static int check_exclusion(struct scene *s)
{
	if (expect("lock for writing while others have it",
		   stoa_rwlock_lock_write(s->eye, STOA_NOW), -EAGAIN) != 0)
		return -1;
	if (somebody_writes(s) || s->state_number == FULL)
		return expect("lock for reading while others have it",
			      stoa_rwlock_lock_read(s->eye, STOA_NOW),
			      -EAGAIN);
	if (expect("lock for reading beside a reader",
		   stoa_rwlock_lock_read(s->eye,
					 stoa_deadline_in(patient_ns())),
		   0) != 0)
		return -1;
	return expect("unlock", stoa_rwlock_unlock(s->eye), 0);
}

/* I have it, for writing, and was told that one died. */
static int check_told(struct scene *s, int mends)
{
	if (expect("held", stoa_rwlock_held(s->eye), STOA_WRITE) != 0 ||
	    check_stat(s, STOA_RWLOCK_INCONSISTENT, 0) != 0)
		return -1;
	if (mends)
		return expect("consistent", stoa_rwlock_consistent(s->eye), 0);
	if (expect("unlock unmended", stoa_rwlock_unlock(s->eye), 0) != 0 ||
	    expect("lock after an unmended unlock",
		   stoa_rwlock_lock_read(s->eye, STOA_NOW),
		   -ENOTRECOVERABLE) != 0)
		return -1;
	return 1;
}

/* Nobody else is there any more: all READERS fit, and a writer. */
static int check_use(struct scene *s)
{
	if (expect("lock for writing",
		   stoa_rwlock_lock_write(s->eye,
					  stoa_deadline_in(patient_ns())),
		   0) != 0 ||
	    check_stat(s, STOA_RWLOCK_WRITTEN, 0) != 0 ||
	    expect("downgrade", stoa_rwlock_downgrade(s->eye), 0) != 0 ||
	    check_stat(s, STOA_RWLOCK_READ, 1) != 0 ||
	    expect("upgrade", stoa_rwlock_upgrade(s->eye), 0) != 0 ||
	    expect("unlock", stoa_rwlock_unlock(s->eye), 0) != 0)
		return -1;
	return check_stat(s, STOA_RWLOCK_FREE, 0);
}

static int check(struct scene *s, uint32_t variant)
{
	struct stoa_deadline soon = stoa_deadline_in(patient_ns());
	unsigned may;
	int result;

	if (check_players(s, &may) != 0)
		return -1;
	if (has_helper(s) && may == IS_FREE && check_exclusion(s) != 0)
		return -1;
	if (scene_let_all_go(s) != 0)
		return -1;
	result = variant & 4 ? stoa_rwlock_lock_read(s->eye, soon)
			     : stoa_rwlock_lock_write(s->eye, soon);
	if (check_result(s, result, may, "the survivor's") != 0)
		return -1;
	if (result == -ENOTRECOVERABLE)
		return expect("lock of what is lost",
			      stoa_rwlock_lock_read(s->eye, STOA_FOREVER),
			      -ENOTRECOVERABLE);
	if (result == -EOWNERDEAD) {
		result = check_told(s, variant & 8 || variant & 1);
		if (result != 0)
			return result < 0 ? -1 : 0;
	}
	if (expect("unlock", stoa_rwlock_unlock(s->eye), 0) != 0)
		return -1;
	return check_use(s);
}

/* A reader waits rightly while one writes; a writer while anybody has it. */
static int stuck(struct scene *s, const struct deed *wait)
{
	return wait == &deeds[WAIT_WRITE] || s->state_number == FULL
		       ? has_helper(s)
		       : somebody_writes(s);
}

static int give(struct scene *s, const struct deed *wait)
{
	(void)wait;
	return scene_let_all_go(s);
}

#define W(waits) (&deeds[WAIT_##waits])

static const struct waking wakings[] = {
	{ W(WRITE), NULL, READ, NULL },
	{ W(WRITE), NULL, WRITTEN, NULL },
	{ W(READ), NULL, WRITTEN, NULL },
	{ W(READ), NULL, FULL, NULL },
	{ W(READ), NULL, READ_PREFERS_WRITERS, W(WRITE) },
	{ W(WRITE), NULL, WRITTEN, W(READ) },
	{ W(READ), &deeds[UNLOCK_WRITE], FREE, NULL },
	{ W(READ), &deeds[UNLOCK_WRITE], DEAD_WRITER, NULL },
	{ W(WRITE), &deeds[UNLOCK_WRITE], FREE, NULL },
	{ W(WRITE), &deeds[UNLOCK_READ], FREE, NULL },
	{ W(WRITE), &deeds[UNLOCK_MENDED], DEAD_WRITER, NULL },
	{ W(READ), &deeds[DOWNGRADE], FREE, NULL },
	{ W(WRITE), &deeds[CLOSE_READ], FREE, NULL },
	{ W(READ), &deeds[CLOSE_WRITE], FREE, NULL }
};

const struct subject rwlock_subject = {
	.name = "rwlock",
	.placed_bytes = STOA_RWLOCK_BYTES,
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
	.unlink = stoa_rwlock_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
