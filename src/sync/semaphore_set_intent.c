/* SPDX-License-Identifier: MIT */
/*
 * sync/semaphore_set_intent.c: the lock of a set, and changes of more than one
 * word, made as one. See INTENT in semaphore_set_layout.h.
 */
#include <base/error.h>
#include <base/system.h>
#include <sync/semaphore_set_internal.h>

#define SPINS 1000
/* A call with STOA_NOW waits for its turn so long at most; turns are short,
 * unless their owner is preempted or stopped. */
#define TURN_NS INT64_C(10000000)

/* ---- The lock ---------------------------------------------------------------- */

static int owner_alive(void *context, uint32_t token)
{
	return stoa_object_alive(context, token);
}

int set_lock_slowly(struct stoa_semaphore_set *set,
                    struct stoa_deadline deadline)
{
	struct stoa_object *object = &set->object;
	struct stoa_lock_owner owner = {
		.token = stoa_object_token(object),
		.spins = set_get(object->processors) > 1 ? SPINS : 0,
		.alive = owner_alive,
		.context = object
	};
	int now = deadline.kind == STOA_DEADLINE_NOW;

	if (now)
		deadline = stoa_deadline_in(TURN_NS);
	int result = stoa_lock_acquire(&set->control->lock, &owner, deadline);
	return result < 0 && now ? -EAGAIN : result;
}

/* ---- Making what an intent says -------------------------------------------------- */

static void put_word(struct stoa_semaphore_set *set, uint32_t semaphore,
                     uint32_t value, int32_t pid)
{
	if (semaphore < set->count)
		set_put(set->semaphores[semaphore].word,
		        SET_WORD(value & STOA_SEMAPHORE_SET_VALUE_MAX, pid));
}

static uint32_t rows_used(struct stoa_semaphore_set *set)
{
	uint32_t used = set_get(set->control->rows_used);

	return used < set->rows ? used : set->rows;
}

static void clear_row(struct stoa_semaphore_set *set, uint32_t row)
{
	for (uint32_t i = 0; i < set->count; i++)
		set_put(*set_adjustment(set, row, i), 0);
}

static void forget(struct stoa_semaphore_set *set, uint32_t semaphore)
{
	uint32_t rows = rows_used(set);

	if (semaphore >= set->count)
		return;
	for (uint32_t row = 0; row < rows; row++)
		set_put(*set_adjustment(set, row, semaphore), 0);
}

static void forget_all(struct stoa_semaphore_set *set)
{
	uint32_t rows = rows_used(set);

	for (uint32_t row = 0; row < rows; row++)
		if (set_get(set->row[row].token) != 0)
			clear_row(set, row);
}

/* From the records: by who wrote them, or who found them. */
static void make(struct stoa_semaphore_set *set, enum set_intent kind)
{
	struct set_control *control = set->control;
	uint32_t count = set_get(control->intent_count);
	uint32_t row = set_get(control->intent_row);
	int32_t pid = set_get(control->intent_pid);

	for (uint32_t i = 0; i < count && i < set->records; i++) {
		uint64_t record = set_get(set->record[i]);
		uint32_t semaphore = SET_RECORD_SEMAPHORE(record);

		put_word(set, semaphore, SET_RECORD_VALUE(record), pid);
		if (kind == SET_OPERATE && SET_RECORD_ADJUSTS(record) &&
		    row < set->rows && semaphore < set->count)
			set_put(*set_adjustment(set, row, semaphore),
			        SET_RECORD_ADJUSTMENT(record));
		if (kind == SET_SET_ONE)
			forget(set, semaphore);
	}
	if (kind == SET_SET_ALL)
		forget_all(set);
	if (kind == SET_BURY && row < set->rows) {
		clear_row(set, row);
		set_in_order();
		set_put(set->row[row].token, 0);
	}
}

void set_finish_intent(struct stoa_semaphore_set *set)
{
	make(set, (enum set_intent)set_get(set->control->intent_kind));
	set_in_order();
	set_put(set->control->intent_kind, SET_NOTHING);
	/* Who died of it can't have woken anybody. */
	set_broadcast(&set->object);
}

static void record(struct stoa_semaphore_set *set, uint32_t number,
                   const struct set_step *step)
{
	set_put(set->record[number],
	        SET_RECORD(step->semaphore, step->value, step->adjustment,
	                   step->adjusts));
}

/* The records are there. */
static void commit(struct stoa_semaphore_set *set, enum set_intent kind,
                   uint32_t count, uint32_t row, int32_t pid)
{
	struct set_control *control = set->control;

	set_put(control->intent_count, count);
	set_put(control->intent_row, row);
	set_put(control->intent_pid, pid);
	set_in_order();
	set_put(control->intent_kind, kind); /* commits */
	set_in_order();
	make(set, kind);
	set_in_order();
	set_put(control->intent_kind, SET_NOTHING);
}

void set_commit(struct stoa_semaphore_set *set, const struct set_step *steps,
                uint32_t count, uint32_t row)
{
	int32_t pid = set_get(set->object.pid);

	if (count == 1 && !steps->adjusts) {
		put_word(set, steps->semaphore, steps->value, pid); /* commits */
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		record(set, i, &steps[i]);
	commit(set, SET_OPERATE, count, row, pid);
}

void set_commit_one(struct stoa_semaphore_set *set, uint32_t semaphore,
                    uint32_t value)
{
	struct set_step step = { .semaphore = semaphore, .value = value };

	record(set, 0, &step);
	commit(set, SET_SET_ONE, 1, SET_NO_ROW, set_get(set->object.pid));
}

void set_commit_all(struct stoa_semaphore_set *set, const uint16_t *values)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct set_step step = { .semaphore = i, .value = values[i] };

		record(set, i, &step);
	}
	commit(set, SET_SET_ALL, set->count, SET_NO_ROW,
	       set_get(set->object.pid));
}

/* ---- Rows ------------------------------------------------------------------------ */

static uint32_t find_row(struct stoa_semaphore_set *set, uint32_t token)
{
	uint32_t rows = rows_used(set);

	for (uint32_t row = 0; row < rows; row++)
		if (set_get(set->row[row].token) == token)
			return row;
	return SET_NO_ROW;
}

uint32_t set_own_row(struct stoa_semaphore_set *set)
{
	uint32_t token = stoa_object_token(&set->object);
	uint32_t row = set_get(set->own_row);

	if (row < set->rows && set_get(set->row[row].token) == token)
		return row;
	row = find_row(set, token);
	set_put(set->own_row, row);
	return row;
}

uint32_t set_claim_row(struct stoa_semaphore_set *set)
{
	uint32_t row = set_own_row(set);

	if (row != SET_NO_ROW)
		return row;
	for (row = 0; row < set->rows; row++)
		if (set_get(set->row[row].token) == 0)
			break;
	if (row == set->rows)
		return SET_NO_ROW;
	if (row >= set_get(set->control->rows_used))
		set_put(set->control->rows_used, row + 1);
	set_in_order();
	set_put(set->row[row].token, stoa_object_token(&set->object));
	set_put(set->own_row, row);
	return row;
}

/* ---- Burying --------------------------------------------------------------------- */

static uint32_t clamp(int64_t value)
{
	return value < 0                            ? 0 :
	       value > STOA_SEMAPHORE_SET_VALUE_MAX ?
	                                              STOA_SEMAPHORE_SET_VALUE_MAX :
	                                              (uint32_t)value;
}

static int32_t pid_of(struct stoa_semaphore_set *set, uint32_t token)
{
	struct stoa_seat *seat = stoa_object_seat(&set->object,
	                                          SEAT_INDEX(token));

	return seat ? set_get(seat->pid) : 0;
}

/* Records what the row's undo makes of the semaphores. Returns how many. */
static uint32_t record_undo(struct stoa_semaphore_set *set, uint32_t row)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		int32_t adjustment = set_get(*set_adjustment(set, row, i));
		struct set_step step = { .semaphore = i };

		if (adjustment == 0)
			continue;
		step.value = clamp((int64_t)SET_WORD_VALUE(set_get(
		                           set->semaphores[i].word)) +
		                   adjustment);
		record(set, count++, &step);
	}
	return count;
}

/* One who waits may also be kept by less. */
static void wake_undone(struct stoa_semaphore_set *set, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t semaphore = SET_RECORD_SEMAPHORE(
		        set_get(set->record[i]));

		if (semaphore >= set->count)
			continue;
		stoa_event_raise_word(&set->semaphores[semaphore].increased,
		                      INT32_MAX);
		stoa_event_raise_word(&set->semaphores[semaphore].zero,
		                      INT32_MAX);
	}
	if (count > 0 && stoa_event_asked(&set->object, STOA_READ))
		stoa_event_raise(&set->object, STOA_READ, INT32_MAX);
}

static void bury_waiters(struct stoa_semaphore_set *set, uint32_t token)
{
	for (uint32_t i = 0; i < SET_WAITERS; i++) {
		uint64_t waiter = set_get(set->waiters[i]);

		if (waiter != 0 && SET_WAITER_TOKEN(waiter) == token)
			atomic_compare_exchange_strong_explicit(
			        &set->waiters[i], &waiter, 0,
			        memory_order_relaxed, memory_order_relaxed);
	}
}

int set_bury(struct stoa_semaphore_set *set, uint32_t token,
             struct stoa_deadline deadline)
{
	int result;

	bury_waiters(set, token);
	result = set_lock(set, deadline);
	if (result < 0)
		return result;
	uint32_t row = find_row(set, token);
	if (row != SET_NO_ROW) {
		uint32_t count = record_undo(set, row);

		commit(set, SET_BURY, count, row, pid_of(set, token));
		set_put(set->control->undone,
		        set_get(set->control->undone) + (count != 0));
		wake_undone(set, count);
	}
	set_unlock(set);
	return 0;
}

void set_bury_rows(struct stoa_semaphore_set *set)
{
	uint32_t own = stoa_object_token(&set->object);
	uint32_t rows = rows_used(set);

	for (uint32_t i = 0; i < rows; i++) {
		uint32_t token = set_get(set->row[i].token);

		if (token != 0 && token != own)
			stoa_object_alive_or_bury(&set->object, token);
	}
}

/* ---- Events ---------------------------------------------------------------------- */

void set_broadcast(struct stoa_object *object)
{
	struct stoa_semaphore_set *set = (struct stoa_semaphore_set *)object;

	if (!set->semaphores)
		return; /* not quite open yet */
	for (uint32_t i = 0; i < set->count; i++) {
		stoa_event_raise_word(&set->semaphores[i].increased, INT32_MAX);
		stoa_event_raise_word(&set->semaphores[i].zero, INT32_MAX);
	}
}

void set_wake_slowly(struct set_semaphore *semaphore, uint32_t before,
                     uint32_t value)
{
	/* Observers may wait for zero after taking some themselves. */
	if (value > before)
		stoa_event_raise_word(&semaphore->increased,
		                      (int)(value - before));
	else if (value < before &&
	         (value == 0 || (set_get(semaphore->zero) & EVENT_OBSERVERS)))
		stoa_event_raise_word(&semaphore->zero, INT32_MAX);
}
