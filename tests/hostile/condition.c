/* SPDX-License-Identifier: MIT */
/* condition.c: every operation on a condition, as a victim performs it, with a
 * mutex that nobody overwrites. */
#include "hostile.h"

#include <sync/condition_internal.h>

extern const struct noun placed_condition_noun;

static const struct stoa_condition_attributes shapes[] = {
	{ .size = sizeof(shapes[0]), .waiters = 2 },
	{ .size = sizeof(shapes[0]), .waiters = 40 },
};

static const char mutex_name[] = "beside";

struct both {
	struct stoa_condition *condition;
	struct stoa_mutex *mutex;
};

static struct stoa_condition *condition_of(const struct victim *victim)
{
	return ((const struct both *)victim->handle)->condition;
}

/* ---- Made in every state ------------------------------------------------ */

/* A wait that was told, of one who died before it had the mutex again. */
static void be_told_and_die(void *handle)
{
	struct stoa_condition *condition = handle;
	struct condition_record *record = &condition->shared->records[0];
	uint64_t count;

	must(stoa_condition_count(condition, &count), "count");
	atomic_store(&record->word,
	             stoa_object_agent(&condition->object) | CONDITION_TOLD);
	atomic_store(&condition->shared->used, 1);
	atomic_fetch_add(&condition->shared->tickets, 3);
}

static void use(struct stoa_condition *condition)
{
	must(stoa_condition_signal(condition), "signal");
	must(stoa_condition_broadcast(condition), "broadcast");
	hold_and_die(be_told_and_die, condition);
	stoa_condition_close(condition);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_condition *condition;

	must(stoa_condition_open(space, name, STOA_CREATE, 0600, &shapes[shape],
	                         &condition),
	     "open");
	use(condition);
}

static void populate_place(struct stoa_space *space, const char *name,
                           unsigned shape)
{
	struct place place =
		map_place(space, &placed_condition_noun, name,
	                  STOA_CONDITION_BYTES_FOR(shapes[shape].waiters));
	struct stoa_condition *condition;

	must(stoa_condition_place(space, place.memory, place.bytes, STOA_CREATE,
	                          &shapes[shape], &condition),
	     "place");
	use(condition);
	unmap_place(&place);
}

static int open_condition(struct victim *victim, struct both *both)
{
	if (victim->noun->placed)
		return stoa_condition_place(victim->space, victim->place.memory,
		                            victim->place.bytes, 0, NULL,
		                            &both->condition);
	return stoa_condition_open(victim->space, victim->name, victim->flags,
	                           0600, NULL, &both->condition);
}

static int open_both(struct victim *victim)
{
	struct both *both = calloc(1, sizeof(*both));
	int result = both == NULL ? -ENOMEM : open_condition(victim, both);

	if (result == 0)
		result = stoa_mutex_open(victim->space, mutex_name, STOA_CREATE,
		                         0600, NULL, &both->mutex);
	if (result < 0) {
		if (both != NULL)
			stoa_condition_close(both->condition);
		free(both);
		return result;
	}
	victim->handle = both;
	victim->object = &both->condition->object;
	return result;
}

static void close_both(struct victim *victim)
{
	struct both *both = victim->handle;

	stoa_condition_close(both->condition);
	stoa_mutex_close(both->mutex);
	free(both);
}

/* ---- Operations --------------------------------------------------------- */

/* Has it then, whoever died with it before. */
static int lock(struct victim *victim)
{
	struct both *both = victim->handle;
	int result = stoa_mutex_lock(both->mutex,
	                             stoa_deadline_in(victim->patience_ns));

	if (result == -EOWNERDEAD)
		result = stoa_mutex_consistent(both->mutex);
	return result;
}

static int unlock(struct victim *victim)
{
	struct both *both = victim->handle;

	if (stoa_mutex_held(both->mutex) <= 0)
		return 0;
	stoa_mutex_consistent(both->mutex);
	return stoa_mutex_unlock(both->mutex);
}

static long long wait(struct victim *victim)
{
	struct both *both = victim->handle;
	int result = lock(victim), unlocked;

	if (result < 0)
		return result;
	result =
		stoa_condition_wait(both->condition, both->mutex, soon(victim));
	unlocked = unlock(victim);
	return result < 0 ? result : unlocked;
}

static long long tell(struct victim *victim)
{
	int result = stoa_condition_signal(condition_of(victim));

	if (result > 1)
		finding("%d were told", result);
	return result;
}

static long long tell_all(struct victim *victim)
{
	return stoa_condition_broadcast(condition_of(victim));
}

static long long tell_locked(struct victim *victim)
{
	long long result = lock(victim);

	if (result < 0)
		return result;
	result = one_in(victim, 2) ? tell(victim) : tell_all(victim);
	unlock(victim);
	return result;
}

static long long ask_count(struct victim *victim)
{
	uint64_t count;

	return stoa_condition_count(condition_of(victim), &count);
}

static long long look(struct victim *victim)
{
	struct stoa_condition_status status = { .size = sizeof(status) };
	int result = stoa_condition_stat(condition_of(victim), &status);

	if (result == 0 && (status.waiters > status.waiters_max ||
	                    status.told > status.waiters_max))
		finding("%u and %u of %u wait", status.waiters, status.told,
		        status.waiters_max);
	return result;
}

static int see_waiter(const struct stoa_condition_waiter *waiter, void *context)
{
	*(unsigned *)context += (unsigned)waiter->pid;
	return 0;
}

static long long list_waiters(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_condition_each_waiter(condition_of(victim), see_waiter,
	                                  &seen);
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, some(victim, 4), NULL);
}

static const struct operation operations[] = {
	{ "wait", wait, 12, false, false },
	{ "signal", tell, 6, false, false },
	{ "broadcast", tell_all, 4, false, false },
	{ "signal and broadcast, locked", tell_locked, 4, false, false },
	{ "wait (once more)", wait, 8, false, false },
	{ "count", ask_count, 2, false, false },
	{ "stat", look, 2, false, false },
	{ "each_waiter", list_waiters, 2, false, false },
	{ "wait_any", wait_any, 3, false, false },
	{ NULL, NULL, 0, false, false },
};

/* EINVAL: of waiting until it is writable. */
static const int errors[] = { EOWNERDEAD, ENOTRECOVERABLE, EPERM, EINVAL, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { SHARED, RECORDS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_condition *condition = condition_of(victim);

	image_region(image, "shared", victim, condition->shared,
	             sizeof(*condition->shared), 0);
	image_region(image, "records", victim, condition->shared->records,
	             condition->capacity * sizeof(struct condition_record),
	             sizeof(struct condition_record));
	image_number(image, condition->capacity);
	image_number(image, CONDITION_BITS);
}

static const struct field fields[] = {
	FIELD(SHARED, condition_shared, tickets, MEANS_POSITION, 0),
	FIELD(SHARED, condition_shared, released, MEANS_POSITION, 0),
	FIELD(SHARED, condition_shared, count, MEANS_POSITION, 0),
	FIELD(SHARED, condition_shared, used, MEANS_NUMBER, 0),
	FIELD(SHARED, condition_shared, capacity, MEANS_NUMBER, 0),
	FIELD(RECORDS, condition_record, word, MEANS_AGENT, CONDITION_TOLD),
	FIELD(RECORDS, condition_record, ticket, MEANS_POSITION, 0),
	FIELD(RECORDS, condition_record, asleep, MEANS_NUMBER, 0),
	{ .name = NULL },
};

const struct noun condition_noun = {
	.kind = "condition",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_both,
	.close = close_both,
	.locate = locate,
};

const struct noun placed_condition_noun = {
	.kind = "placed-condition",
	.placed = true,
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate_place,
	.open = open_both,
	.close = close_both,
	.locate = locate,
};
