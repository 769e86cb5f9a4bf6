/* SPDX-License-Identifier: MIT */
/* mutex.c: every operation on a mutex, as a victim performs it. */
#include "hostile.h"

#include <sync/mutex_internal.h>

extern const struct noun placed_mutex_noun;

static const struct stoa_mutex_attributes shapes[] = {
	{ .size = sizeof(shapes[0]), .kind = STOA_MUTEX_NORMAL },
	{ .size = sizeof(shapes[0]), .kind = STOA_MUTEX_RECURSIVE },
	{ .size = sizeof(shapes[0]), .kind = STOA_MUTEX_CHECKED },
};

/* ---- Made in every state ------------------------------------------------ */

static void hold(void *handle)
{
	must(stoa_mutex_lock(handle, STOA_NOW), "lock");
}

static void use(struct stoa_mutex *mutex)
{
	must(stoa_mutex_lock(mutex, STOA_NOW), "lock");
	must(stoa_mutex_unlock(mutex), "unlock");
	hold_and_die(hold, mutex);
	stoa_mutex_close(mutex);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_mutex *mutex;

	must(stoa_mutex_open(space, name, STOA_CREATE, 0600, &shapes[shape],
	                     &mutex),
	     "open");
	use(mutex);
}

static void populate_place(struct stoa_space *space, const char *name,
                           unsigned shape)
{
	struct place place =
		map_place(space, &placed_mutex_noun, name, STOA_MUTEX_BYTES);
	struct stoa_mutex *mutex;

	must(stoa_mutex_place(space, place.memory, place.bytes, STOA_CREATE,
	                      &shapes[shape], &mutex),
	     "place");
	use(mutex);
	unmap_place(&place);
}

static int open_mutex(struct victim *victim)
{
	struct stoa_mutex *mutex;
	int result =
		victim->noun->placed
			? stoa_mutex_place(victim->space, victim->place.memory,
	                                   victim->place.bytes, 0, NULL, &mutex)
			: stoa_mutex_open(victim->space, victim->name,
	                                  victim->flags, 0600, NULL, &mutex);

	if (result < 0)
		return result;
	victim->handle = mutex;
	victim->object = &mutex->object;
	return result;
}

static void close_mutex(struct victim *victim)
{
	stoa_mutex_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static long long lock(struct victim *victim)
{
	return stoa_mutex_lock(victim->handle, soon(victim));
}

static long long unlock(struct victim *victim)
{
	return stoa_mutex_unlock(victim->handle);
}

static long long mend(struct victim *victim)
{
	return stoa_mutex_consistent(victim->handle);
}

static long long ask_held(struct victim *victim)
{
	return stoa_mutex_held(victim->handle);
}

static long long look(struct victim *victim)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };
	int result = stoa_mutex_stat(victim->handle, &status);

	if (result == 0 && status.state > STOA_MUTEX_NOT_RECOVERABLE)
		finding("state %u", status.state);
	return result;
}

static int see_waiter(const struct stoa_mutex_waiter *waiter, void *context)
{
	*(unsigned *)context += (unsigned)waiter->pid;
	return 0;
}

static long long list_waiters(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_mutex_each_waiter(victim->handle, see_waiter, &seen);
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, 0, NULL);
}

static const struct operation operations[] = {
	{ "lock", lock, 12, false, false },
	{ "consistent", mend, 4, false, false },
	{ "unlock", unlock, 14, false, false },
	{ "lock (once more)", lock, 4, false, false },
	{ "lock (twice)", lock, 2, false, false },
	{ "held", ask_held, 2, false, false },
	{ "stat", look, 2, false, false },
	{ "each_waiter", list_waiters, 2, false, false },
	{ "wait_any", wait_any, 3, false, false },
	{ "consistent (once more)", mend, 4, false, false },
	{ "unlock (once more)", unlock, 8, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EOWNERDEAD, ENOTRECOVERABLE, EDEADLK, EOVERFLOW,
	                      EPERM,      EINVAL,          0 };

/* ---- Where things are --------------------------------------------------- */

enum { SHARED, WAITERS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct mutex_shared *shared =
		((const struct stoa_mutex *)victim->handle)->shared;

	image_region(image, "shared", victim, shared,
	             offsetof(struct mutex_shared, waiters), 0);
	image_region(image, "waiters", victim, shared->waiters,
	             sizeof(shared->waiters), sizeof(shared->waiters[0]));
	image_number(image, STOA_MUTEX_DEPTH_MAX);
	image_number(image, STOA_MUTEX_CHECKED);
}

static const struct field fields[] = {
	FIELD(SHARED, mutex_shared, owner, MEANS_AGENT, MUTEX_DIED),
	FIELD(SHARED, mutex_shared, since, MEANS_POSITION, 0),
	FIELD(SHARED, mutex_shared, depth, MEANS_NUMBER, 0),
	FIELD(SHARED, mutex_shared, kind, MEANS_NUMBER, 0),
	FIELD(SHARED, mutex_shared, made_ticks, MEANS_POSITION, 0),
	FIELD(WAITERS, mutex_waiter, agent, MEANS_AGENT, 0),
	{ .name = NULL },
};

const struct noun mutex_noun = {
	.kind = "mutex",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_mutex,
	.close = close_mutex,
	.locate = locate,
};

const struct noun placed_mutex_noun = {
	.kind = "placed-mutex",
	.placed = true,
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate_place,
	.open = open_mutex,
	.close = close_mutex,
	.locate = locate,
};
