/* SPDX-License-Identifier: MIT */
/* rwlock.c: every operation on an rwlock, as a victim performs it. */
#include "hostile.h"

#include <sync/rwlock_internal.h>

extern const struct noun placed_rwlock_noun;

static const struct stoa_rwlock_attributes shapes[] = {
	{ .size = sizeof(shapes[0]),
	  .preference = STOA_RWLOCK_READERS,
	  .readers = 3 },
	{ .size = sizeof(shapes[0]),
	  .preference = STOA_RWLOCK_WRITERS,
	  .readers = 16 },
};

/* ---- Made in every state ------------------------------------------------ */

static void read_and_die(void *handle)
{
	must(stoa_rwlock_lock_read(handle, STOA_NOW), "lock_read");
}

static void write_and_die(void *handle)
{
	must(stoa_rwlock_lock_write(handle, STOA_NOW), "lock_write");
}

static void use(struct stoa_rwlock *rwlock)
{
	hold_and_die(write_and_die, rwlock);
	if (stoa_rwlock_lock_read(rwlock, STOA_NOW) == -EOWNERDEAD)
		must(stoa_rwlock_consistent(rwlock), "consistent");
	must(stoa_rwlock_unlock(rwlock), "unlock");
	hold_and_die(read_and_die, rwlock);
	hold_and_die(read_and_die, rwlock);
	stoa_rwlock_close(rwlock);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_rwlock *rwlock;

	must(stoa_rwlock_open(space, name, STOA_CREATE, 0600, &shapes[shape],
	                      &rwlock),
	     "open");
	use(rwlock);
}

static void populate_place(struct stoa_space *space, const char *name,
                           unsigned shape)
{
	struct place place =
		map_place(space, &placed_rwlock_noun, name,
	                  STOA_RWLOCK_BYTES_FOR(shapes[shape].readers));
	struct stoa_rwlock *rwlock;

	must(stoa_rwlock_place(space, place.memory, place.bytes, STOA_CREATE,
	                       &shapes[shape], &rwlock),
	     "place");
	use(rwlock);
	unmap_place(&place);
}

static int open_rwlock(struct victim *victim)
{
	struct stoa_rwlock *rwlock;
	int result =
		victim->noun->placed
			? stoa_rwlock_place(victim->space, victim->place.memory,
	                                    victim->place.bytes, 0, NULL,
	                                    &rwlock)
			: stoa_rwlock_open(victim->space, victim->name,
	                                   victim->flags, 0600, NULL, &rwlock);

	if (result < 0)
		return result;
	victim->handle = rwlock;
	victim->object = &rwlock->object;
	return result;
}

static void close_rwlock(struct victim *victim)
{
	stoa_rwlock_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static long long lock_read(struct victim *victim)
{
	return stoa_rwlock_lock_read(victim->handle, soon(victim));
}

static long long lock_write(struct victim *victim)
{
	return stoa_rwlock_lock_write(victim->handle, soon(victim));
}

static long long unlock(struct victim *victim)
{
	return stoa_rwlock_unlock(victim->handle);
}

static long long upgrade(struct victim *victim)
{
	return stoa_rwlock_upgrade(victim->handle);
}

static long long downgrade(struct victim *victim)
{
	return stoa_rwlock_downgrade(victim->handle);
}

static long long mend(struct victim *victim)
{
	return stoa_rwlock_consistent(victim->handle);
}

static long long ask_held(struct victim *victim)
{
	return stoa_rwlock_held(victim->handle);
}

static long long look(struct victim *victim)
{
	struct stoa_rwlock_status status = { .size = sizeof(status) };
	int result = stoa_rwlock_stat(victim->handle, &status);

	if (result == 0 && (status.state > STOA_RWLOCK_NOT_RECOVERABLE ||
	                    status.readers > status.readers_max))
		finding("state %u, %u readers of %u", status.state,
		        status.readers, status.readers_max);
	return result;
}

static int see_user(const struct stoa_rwlock_user *user, void *context)
{
	*(unsigned *)context += (unsigned)user->pid;
	return 0;
}

static long long list_holders(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_rwlock_each_holder(victim->handle, see_user, &seen);
}

static long long list_waiters(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_rwlock_each_waiter(victim->handle, see_user, &seen);
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, 0, NULL);
}

static const struct operation operations[] = {
	{ "lock_read", lock_read, 10, false, false },
	{ "consistent", mend, 3, false, false },
	{ "upgrade", upgrade, 3, false, false },
	{ "lock_read (once more)", lock_read, 4, false, false },
	{ "unlock", unlock, 12, false, false },
	{ "unlock (once more)", unlock, 4, false, false },
	{ "lock_write", lock_write, 8, false, false },
	{ "downgrade", downgrade, 3, false, false },
	{ "held", ask_held, 2, false, false },
	{ "stat", look, 2, false, false },
	{ "each_holder", list_holders, 2, false, false },
	{ "each_waiter", list_waiters, 2, false, false },
	{ "wait_any", wait_any, 3, false, false },
	{ "consistent (once more)", mend, 3, false, false },
	{ "unlock (in the end)", unlock, 8, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EOWNERDEAD, ENOTRECOVERABLE, EDEADLK, EOVERFLOW,
	                      EPERM,      EINVAL,          0 };

/* ---- Where things are --------------------------------------------------- */

enum { SHARED, WAITERS, ENTRIES };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_rwlock *rwlock = victim->handle;

	image_region(image, "shared", victim, rwlock->shared,
	             sizeof(*rwlock->shared), 0);
	image_region(image, "waiters", victim, rwlock->waiters,
	             RWLOCK_WAITERS * sizeof(*rwlock->waiters),
	             sizeof(*rwlock->waiters));
	image_region(image, "entries", victim, rwlock->entries,
	             rwlock->readers * sizeof(*rwlock->entries),
	             sizeof(*rwlock->entries));
	image_number(image, rwlock->readers);
	image_number(image, RWLOCK_WAITERS);
}

static const struct field fields[] = {
	FIELD(SHARED, rwlock_shared, preference, MEANS_NUMBER, 0),
	FIELD(SHARED, rwlock_shared, readers, MEANS_NUMBER, 0),
	FIELD(SHARED, rwlock_shared, writer, MEANS_AGENT, RWLOCK_PENDING | 1),
	FIELD(SHARED, rwlock_shared, waiting, MEANS_ANYTHING, 0xffffffff),
	FIELD(SHARED, rwlock_shared, used, MEANS_NUMBER, 0),
	FIELD(SHARED, rwlock_shared, full, MEANS_NUMBER, 0),
	FIELD(SHARED, rwlock_shared, told, MEANS_AGENT, 0),
	FIELD(SHARED, rwlock_shared, mending, MEANS_NUMBER, 0),
	FIELD(WAITERS, rwlock_waiter, agent, MEANS_AGENT, RWLOCK_WRITES),
	FIELD(ENTRIES, rwlock_entry, owner, MEANS_AGENT, 0),
	FIELD(ENTRIES, rwlock_entry, told, MEANS_AGENT, 0),
	{ .name = NULL },
};

const struct noun rwlock_noun = {
	.kind = "rwlock",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_rwlock,
	.close = close_rwlock,
	.locate = locate,
};

const struct noun placed_rwlock_noun = {
	.kind = "placed-rwlock",
	.placed = true,
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate_place,
	.open = open_rwlock,
	.close = close_rwlock,
	.locate = locate,
};
