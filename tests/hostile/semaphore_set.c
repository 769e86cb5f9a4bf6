/* SPDX-License-Identifier: MIT */
/* semaphore_set.c: every operation on a semaphore set, as a victim performs
 * it. */
#include "hostile.h"

#include <sync/semaphore_set_internal.h>

enum { COUNT_MAX = 7, CHANGES_MAX = 4 };

static const uint16_t values[COUNT_MAX] = { 3, 0, 7, 1, 32767, 2, 5 };

static const struct stoa_semaphore_set_attributes shapes[] = {
	{ .size = sizeof(shapes[0]), .count = 1, .values = values },
	{ .size = sizeof(shapes[0]), .count = COUNT_MAX, .values = values },
};

/* ---- Made in every state ------------------------------------------------ */

static void hold(void *handle)
{
	uint32_t count = stoa_semaphore_set_count(handle);
	const struct stoa_semaphore_change changes[] = {
		{ .amount = -1, .flags = STOA_SEMAPHORE_UNDO },
		{ .semaphore = count / 2,
		  .amount = 2,
		  .flags = STOA_SEMAPHORE_UNDO },
	};

	must(stoa_semaphore_set_operate(handle, changes, LENGTH(changes),
	                                STOA_NOW),
	     "operate");
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_semaphore_set *set;

	must(stoa_semaphore_set_open(space, name, STOA_CREATE, 0600,
	                             &shapes[shape], &set),
	     "open");
	hold(set);
	hold_and_die(hold, set);
	stoa_semaphore_set_close(set);
}

static int open_set(struct victim *victim)
{
	struct stoa_semaphore_set *set;
	int result = stoa_semaphore_set_open(victim->space, victim->name,
	                                     victim->flags, 0600, NULL, &set);

	if (result < 0)
		return result;
	victim->handle = set;
	victim->object = &set->object;
	return result;
}

static void close_set(struct victim *victim)
{
	stoa_semaphore_set_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static uint32_t some_semaphore(struct victim *victim)
{
	uint32_t count = stoa_semaphore_set_count(victim->handle);

	return (uint32_t)some(victim, count + (one_in(victim, 16) ? 2 : 0));
}

static uint32_t some_changes(struct victim *victim,
                             struct stoa_semaphore_change *changes)
{
	uint32_t count = 1 + (uint32_t)some(victim, CHANGES_MAX);

	memset(changes, 0, CHANGES_MAX * sizeof(*changes));
	for (uint32_t i = 0; i < count; i++) {
		changes[i].semaphore = some_semaphore(victim);
		changes[i].amount = (int32_t)some(victim, 7) - 3;
		if (one_in(victim, 16))
			changes[i].amount =
				(int32_t)next_random(&victim->chance);
		changes[i].flags = (uint32_t)some(victim, 4);
	}
	return count;
}

static long long change(struct victim *victim)
{
	struct stoa_semaphore_change changes[CHANGES_MAX];
	uint32_t count = some_changes(victim, changes);

	return stoa_semaphore_set_operate(victim->handle, changes, count,
	                                  soon(victim));
}

static long long set_one(struct victim *victim)
{
	return stoa_semaphore_set_set(victim->handle, some_semaphore(victim),
	                              (uint32_t)some(victim, 10));
}

static long long set_all(struct victim *victim)
{
	return stoa_semaphore_set_set_all(
		victim->handle, values,
		stoa_semaphore_set_count(victim->handle));
}

static long long ask_one(struct victim *victim)
{
	int result =
		stoa_semaphore_set_get(victim->handle, some_semaphore(victim));

	if (result > STOA_SEMAPHORE_SET_VALUE_MAX)
		finding("a value of %d", result);
	return result;
}

static long long ask_all(struct victim *victim)
{
	uint32_t count = stoa_semaphore_set_count(victim->handle);
	uint16_t *all = exact(count * sizeof(*all));
	int result = stoa_semaphore_set_get_all(victim->handle, all, count);

	for (uint32_t i = 0; result == 0 && i < count; i++)
		if (all[i] > STOA_SEMAPHORE_SET_VALUE_MAX)
			finding("a value of %u", all[i]);
	free(all);
	return result;
}

static long long describe(struct victim *victim)
{
	struct stoa_semaphore_state state;

	return stoa_semaphore_set_describe(victim->handle,
	                                   some_semaphore(victim), &state);
}

static long long look(struct victim *victim)
{
	struct stoa_semaphore_set_status status = { .size = sizeof(status) };

	return stoa_semaphore_set_stat(victim->handle, &status);
}

static int see_adjustment(const struct stoa_semaphore_adjustment *adjustment,
                          void *context)
{
	*(unsigned *)context += (unsigned)adjustment->amount;
	return 0;
}

static long long list_adjustments(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_semaphore_set_each_adjustment(victim->handle,
	                                          see_adjustment, &seen);
}

static long long wait_any(struct victim *victim)
{
	struct stoa_semaphore_change changes[CHANGES_MAX];
	struct stoa_semaphore_operation operation = { changes, 0 };

	operation.count = some_changes(victim, changes);
	return wait_for(victim, 0, &operation);
}

static const struct operation operations[] = {
	{ "operate", change, 16, false, false },
	{ "get", ask_one, 3, false, false },
	{ "operate (once more)", change, 8, false, false },
	{ "get_all", ask_all, 3, false, false },
	{ "describe", describe, 2, false, false },
	{ "stat", look, 2, false, false },
	{ "each_adjustment", list_adjustments, 2, false, false },
	{ "wait_any", wait_any, 4, false, false },
	{ "set", set_one, 3, false, false },
	{ "set_all", set_all, 2, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EINVAL, EFBIG, ERANGE, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { CONTROL, ROWS, WAITERS, SEMAPHORES, RECORDS, ADJUSTMENTS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_semaphore_set *set = victim->handle;

	image_region(image, "control", victim, set->control,
	             sizeof(*set->control), 0);
	image_region(image, "rows", victim, set->row,
	             set->rows * sizeof(*set->row), sizeof(*set->row));
	image_region(image, "waiters", victim, (const void *)set->waiters,
	             SET_WAITERS * sizeof(*set->waiters),
	             sizeof(*set->waiters));
	image_region(image, "semaphores", victim, set->semaphores,
	             set->count * sizeof(*set->semaphores),
	             sizeof(*set->semaphores));
	image_region(image, "records", victim, (const void *)set->record,
	             set->records * sizeof(*set->record), sizeof(*set->record));
	image_region(image, "adjustments", victim,
	             (const void *)set->adjustments,
	             (size_t)set->rows * set->count * sizeof(int16_t),
	             sizeof(uint64_t));
	image_number(image, set->count);
	image_number(image, set->rows);
	image_number(image, set->records);
	image_number(image, STOA_SEMAPHORE_SET_VALUE_MAX);
}

static const struct field fields[] = {
	FIELD(CONTROL, set_control, lock, MEANS_TOKEN, 1u << 31),
	FIELD(CONTROL, set_control, intent_kind, MEANS_NUMBER, 7),
	FIELD(CONTROL, set_control, intent_count, MEANS_NUMBER, 0),
	FIELD(CONTROL, set_control, intent_row, MEANS_NUMBER, 0),
	FIELD(CONTROL, set_control, rows_used, MEANS_NUMBER, 0),
	FIELD(ROWS, set_row, token, MEANS_TOKEN, 0),
	{ "waiter", WAITERS, 0, 8, MEANS_OWN, 0 },
	FIELD(SEMAPHORES, set_semaphore, word, MEANS_NUMBER,
	      UINT64_C(0xffff) << 32),
	FIELD(SEMAPHORES, set_semaphore, increased, MEANS_EVENT, 0),
	FIELD(SEMAPHORES, set_semaphore, zero, MEANS_EVENT, 0),
	{ "record", RECORDS, 0, 8, MEANS_OWN, 0 },
	{ "adjustment", ADJUSTMENTS, 0, 8, MEANS_ANYTHING, 0 },
	{ .name = NULL },
};

static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	uint32_t count = (uint32_t)scribbler->image->numbers[0];
	uint32_t semaphore = some_number(scribbler, count);

	if (field->region == WAITERS)
		return SET_WAITER(some_token(scribbler), below(scribbler, 2),
		                  semaphore & INT32_MAX);
	return SET_RECORD(semaphore & 0xffff,
	                  some_number(scribbler, 5) & 0xffff,
	                  some_number(scribbler, 3), below(scribbler, 2));
}

/* ---- Attacks ------------------------------------------------------------ */

/* As if one after another died with an intent written down, of what can't
 * be. */
static void leave_intents(struct scribbler *scribbler)
{
	struct set_control *control =
		(void *)(scribbler->base +
	                 own_region(scribbler, CONTROL)->offset);
	uint32_t count = (uint32_t)scribbler->image->numbers[0];

	for (int i = 0; i < 4; i++)
		put64(scribbler, some_item(scribbler, RECORDS),
		      some_word(scribbler, &fields[10]));
	atomic_store(&control->intent_count, some_number(scribbler, count));
	atomic_store(&control->intent_row,
	             some_number(scribbler,
	                         (uint32_t)scribbler->image->numbers[1]));
	atomic_store(&control->intent_kind, (uint32_t)below(scribbler, 6));
	atomic_store(&control->lock.word, 0);
	revive(scribbler);
}

static const struct attack attacks[] = {
	{ "intents of what can't be", leave_intents, 10 },
	{ NULL, NULL, 0 },
};

const struct noun semaphore_set_noun = {
	.kind = "semaphore_set",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_set,
	.close = close_set,
	.locate = locate,
	.word = some_word,
	.forge = leave_intents,
	.attacks = attacks,
};
