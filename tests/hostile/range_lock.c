/* SPDX-License-Identifier: MIT */
/* range_lock.c: every operation on a range lock, as a victim performs it. */
#include "hostile.h"

#include <sync/range_lock_internal.h>

enum { NUMBERS = 1000, RANGES_MADE = 12 };

static const struct stoa_range_lock_attributes shapes[] = {
	{ .size = sizeof(shapes[0]), .capacity = 40 },
	{ .size = sizeof(shapes[0]), .capacity = 3 },
};

/* ---- Made in every state ------------------------------------------------ */

static void lock_some(struct stoa_range_lock *lock, unsigned ranges,
                      uint64_t first)
{
	for (unsigned i = 0; i < ranges; i++) {
		const struct stoa_range range = {
			.start = first + i * 10,
			.length = 5,
			.mode = i % 3 == 0 ? STOA_RANGE_EXCLUSIVE
			                   : STOA_RANGE_SHARED
		};

		must(stoa_range_lock_lock(lock, &range, STOA_NOW), "lock");
	}
}

static void hold(void *handle)
{
	struct stoa_range_lock *lock = handle;

	lock_some(lock, lock->capacity < RANGES_MADE ? 1 : RANGES_MADE, 500);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_range_lock *lock;

	must(stoa_range_lock_open(space, name, STOA_CREATE, 0600,
	                          &shapes[shape], &lock),
	     "open");
	lock_some(lock, shape == 0 ? RANGES_MADE : 2, 0);
	must(stoa_range_lock_unlock(lock, NULL), "unlock");
	hold_and_die(hold, lock);
	stoa_range_lock_close(lock);
}

static int open_lock(struct victim *victim)
{
	struct stoa_range_lock *lock;
	int result = stoa_range_lock_open(victim->space, victim->name,
	                                  victim->flags, 0600, NULL, &lock);

	if (result < 0)
		return result;
	victim->handle = lock;
	victim->object = &lock->object;
	return result;
}

static void close_lock(struct victim *victim)
{
	stoa_range_lock_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static struct stoa_range some_range(struct victim *victim)
{
	struct stoa_range range = { .start = some(victim, NUMBERS),
		                    .length = some(victim, 30) };

	range.mode =
		one_in(victim, 2) ? STOA_RANGE_SHARED : STOA_RANGE_EXCLUSIVE;
	if (one_in(victim, 8))
		range.mode |= STOA_RANGE_PROCESS;
	if (one_in(victim, 16))
		range.length = next_random(&victim->chance);
	return range;
}

static long long lock(struct victim *victim)
{
	struct stoa_range range = some_range(victim);

	return stoa_range_lock_lock(victim->handle,
	                            one_in(victim, 16) ? NULL : &range,
	                            soon(victim));
}

static long long lock_many(struct victim *victim)
{
	long long result = 0;

	for (int i = 0; i < RANGES_MADE && result == 0; i++) {
		struct stoa_range range = some_range(victim);

		range.length = 1 + some(victim, 5);
		result = stoa_range_lock_lock(victim->handle, &range, STOA_NOW);
	}
	return result;
}

static long long unlock(struct victim *victim)
{
	struct stoa_range range = some_range(victim);

	range.mode &= STOA_RANGE_PROCESS;
	return stoa_range_lock_unlock(victim->handle,
	                              one_in(victim, 4) ? NULL : &range);
}

static long long test(struct victim *victim)
{
	struct stoa_range range = some_range(victim);
	struct stoa_range_holder holder;

	return stoa_range_lock_test(victim->handle, &range, &holder);
}

static int see_holder(const struct stoa_range_holder *holder, void *context)
{
	*(unsigned *)context += (unsigned)holder->pid;
	return 0;
}

static long long list_holders(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_range_lock_each(victim->handle, see_holder, &seen);
}

static long long look(struct victim *victim)
{
	struct stoa_range_lock_status status = { .size = sizeof(status) };
	int result = stoa_range_lock_stat(victim->handle, &status);

	if (result == 0 && status.ranges > status.capacity)
		finding("%llu ranges of %llu",
		        (unsigned long long)status.ranges,
		        (unsigned long long)status.capacity);
	return result;
}

static long long wait_any(struct victim *victim)
{
	struct stoa_range range = some_range(victim);

	return wait_for(victim, 0, &range);
}

static const struct operation operations[] = {
	{ "lock", lock, 12, false, false },
	{ "lock (many)", lock_many, 6, false, false },
	{ "unlock", unlock, 8, false, false },
	{ "test", test, 4, false, false },
	{ "lock (once more)", lock, 6, false, false },
	{ "each", list_holders, 2, false, false },
	{ "stat", look, 2, false, false },
	{ "wait_any", wait_any, 4, false, false },
	{ "unlock (once more)", unlock, 6, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EINVAL, ENOLCK, EDEADLK, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { CONTROL, ROOTS, WAITERS, RECORDS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_range_lock *lock = victim->handle;

	image_region(image, "control", victim, lock->control,
	             offsetof(struct range_control, unused), 0);
	image_region(image, "roots", victim, lock->control->own_root,
	             sizeof(lock->control->own_root),
	             sizeof(lock->control->own_root[0]));
	image_region(image, "waiters", victim, lock->waiters,
	             RANGE_WAITERS * sizeof(*lock->waiters),
	             sizeof(*lock->waiters));
	image_region(image, "ranges", victim, lock->records,
	             lock->capacity * sizeof(*lock->records),
	             sizeof(*lock->records));
	image_number(image, lock->capacity);
	image_number(image, RANGE_WAITERS);
}

#define FLAGS_ABOVE_LINKS ((uint64_t)~RANGE_LINK_MASK & UINT32_MAX)

static const struct field fields[] = {
	FIELD(CONTROL, range_control, turn, MEANS_TOKEN, 1u << 31),
	FIELD(CONTROL, range_control, dirty, MEANS_NUMBER, 1),
	FIELD(CONTROL, range_control, stale, MEANS_NUMBER, 1),
	FIELD(CONTROL, range_control, place_root, MEANS_NUMBER, 0),
	FIELD(CONTROL, range_control, spare, MEANS_NUMBER, 0),
	FIELD(CONTROL, range_control, fresh, MEANS_NUMBER, 0),
	FIELD(CONTROL, range_control, waiters_used, MEANS_NUMBER, 0),
	FIELD(CONTROL, range_control, next_ticket, MEANS_POSITION, 0),
	FIELD(CONTROL, range_control, young_next, MEANS_NUMBER, 0),
	FIELD(CONTROL, range_control, young[0], MEANS_NUMBER, 0),
	FIELD(CONTROL, range_control, young[3], MEANS_NUMBER, 0),
	{ "own_root", ROOTS, 0, 4, MEANS_NUMBER, 0 },
	FIELD(WAITERS, range_waiter, word, MEANS_OWN, 0),
	FIELD(WAITERS, range_waiter, owner, MEANS_PEER, RANGE_OWNER_PROCESS),
	FIELD(WAITERS, range_waiter, start, MEANS_POSITION, 0),
	FIELD(WAITERS, range_waiter, last, MEANS_POSITION, 0),
	FIELD(WAITERS, range_waiter, ticket, MEANS_POSITION, 0),
	FIELD(RECORDS, range_record, word, MEANS_OWN, 0),
	FIELD(RECORDS, range_record, owner, MEANS_TOKEN, RANGE_OWNER_PROCESS),
	FIELD(RECORDS, range_record, start, MEANS_POSITION, 0),
	FIELD(RECORDS, range_record, last, MEANS_POSITION, 0),
	FIELD(RECORDS, range_record, most, MEANS_POSITION, 0),
	FIELD(RECORDS, range_record, most_exclusive, MEANS_POSITION, 0),
	FIELD(RECORDS, range_record, link[0][0], MEANS_NUMBER,
	      FLAGS_ABOVE_LINKS),
	FIELD(RECORDS, range_record, link[0][1], MEANS_NUMBER,
	      FLAGS_ABOVE_LINKS),
	FIELD(RECORDS, range_record, link[1][0], MEANS_NUMBER,
	      FLAGS_ABOVE_LINKS),
	FIELD(RECORDS, range_record, link[1][1], MEANS_NUMBER,
	      FLAGS_ABOVE_LINKS),
	{ .name = NULL },
};

static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	(void)field;
	if (below(scribbler, 4) == 0)
		return 0;
	return RANGE_WORD(some_token(scribbler), below(scribbler, 4),
	                  below(scribbler, 3));
}

/* ---- Attacks ------------------------------------------------------------ */

/* All records lead to each other, in both trees, with any height. */
static void knot_trees(struct scribbler *scribbler)
{
	struct range_control *control =
		(void *)(scribbler->base +
	                 own_region(scribbler, CONTROL)->offset);
	struct range_record *records =
		(void *)(scribbler->base +
	                 own_region(scribbler, RECORDS)->offset);
	uint32_t capacity = (uint32_t)scribbler->image->numbers[0];

	for (uint32_t i = 0; i < capacity; i++) {
		for (int j = 0; j < 4; j++)
			atomic_store(
				&records[i].link[j / 2][j % 2],
				(1 + (uint32_t)below(scribbler, capacity)) |
					(uint32_t)below(scribbler, 64)
						<< RANGE_LINK_BITS);
		atomic_store(&records[i].most, UINT64_MAX);
		atomic_store(&records[i].most_exclusive, UINT64_MAX);
		if (below(scribbler, 4) == 0)
			atomic_store(&records[i].word,
			             some_word(scribbler, NULL));
	}
	for (int i = 0; i < RANGE_OWN_TREES; i++)
		atomic_store(&control->own_root[i],
		             1 + (uint32_t)below(scribbler, capacity));
	atomic_store(&control->place_root,
	             1 + (uint32_t)below(scribbler, capacity));
	for (int i = 0; i < RANGE_YOUNG; i++)
		atomic_store(&control->young[i],
		             (uint32_t)below(scribbler, capacity + 2));
	atomic_store(&control->young_next,
	             (uint32_t)next_random(&scribbler->chance));
	atomic_store(&control->spare, 1);
	atomic_store(&control->dirty, 0);
	atomic_store(&control->stale, 0);
	atomic_store(&control->fresh, capacity);
	revive(scribbler);
}

static const struct attack attacks[] = {
	{ "trees in knots", knot_trees, 10 },
	{ NULL, NULL, 0 },
};

const struct noun range_lock_noun = {
	.kind = "range_lock",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_lock,
	.close = close_lock,
	.locate = locate,
	.word = some_word,
	.forge = knot_trees,
	.attacks = attacks,
};
