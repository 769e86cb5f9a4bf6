/* SPDX-License-Identifier: MIT */
/*
 * sync/semaphore_set_intent.c: the lock of a set, and changes of more than one
 * word, made as one. See INTENT in semaphore_set_layout.h.
 */
#include <base/bug.h>
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

static inline void make_record(struct stoa_semaphore_set *set, uint64_t record,
                               uint32_t row, int32_t pid)
{
	uint32_t semaphore = SET_RECORD_SEMAPHORE(record);

	if (stoa_unlikely(semaphore >= set->count))
		return;
	set_put(set->semaphores[semaphore].word,
	        SET_WORD(SET_RECORD_VALUE(record) & STOA_SEMAPHORE_SET_VALUE_MAX,
	                 pid));
	if (SET_RECORD_ADJUSTS(record) && row < set->rows)
		set_put(*set_adjustment(set, row, semaphore),
		        SET_RECORD_ADJUSTMENT(record));
}

/* From the records: by who wrote them, or who found them. */
static void make(struct stoa_semaphore_set *set, enum set_intent kind,
                 uint32_t count, uint32_t row, int32_t pid)
{
	for (uint32_t i = 0; i < count && i < set->records; i++)
		make_record(set, set_get(set->record[i]), row, pid);
	if (stoa_likely(kind == SET_OPERATE))
		return;
	if (kind == SET_SET_ONE)
		forget(set, SET_RECORD_SEMAPHORE(set_get(set->record[0])));
	if (kind == SET_SET_ALL)
		forget_all(set);
	if (kind == SET_BURY && row < set->rows) {
		if (!STOA_BUG(27))
			clear_row(set, row);
		set_in_order();
		set_put(set->row[row].token, 0);
	}
}

void set_finish_intent(struct stoa_semaphore_set *set)
{
	struct set_control *control = set->control;

	if (!STOA_BUG(26))
		make(set, (enum set_intent)set_get(control->intent_kind),
		     set_get(control->intent_count),
		     set_get(control->intent_row),
		     set_get(control->intent_pid));
	set_in_order();
	set_put(control->intent_kind, SET_NOTHING);
	/* Who died of it can't have woken anybody. */
	set_broadcast(&set->object);
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
	/* commits */
	set_put(control->intent_kind, STOA_BUG(141) ? SET_NOTHING : kind);
	set_in_order();
	make(set, kind, count, row, pid);
	set_in_order();
	set_put(control->intent_kind, SET_NOTHING);
}

void set_commit(struct stoa_semaphore_set *set, uint32_t count, uint32_t row)
{
	commit(set, SET_OPERATE, count, row, set_get(set->object.pid));
}

void set_commit_one(struct stoa_semaphore_set *set, uint32_t semaphore,
                    uint32_t value)
{
	set_put(set->record[0], SET_RECORD(semaphore, value, 0, 0));
	if (STOA_BUG(140))
		forget(set, semaphore);
	commit(set, SET_SET_ONE, 1, SET_NO_ROW, set_get(set->object.pid));
}

void set_commit_all(struct stoa_semaphore_set *set, const uint16_t *values)
{
	for (uint32_t i = 0; i < set->count; i++)
		set_put(set->record[i], SET_RECORD(i, values[i], 0, 0));
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

static uint16_t clamp(int64_t value)
{
	if (value < 0)
		return 0;
	return value < STOA_SEMAPHORE_SET_VALUE_MAX ?
	               (uint16_t)value :
	               STOA_SEMAPHORE_SET_VALUE_MAX;
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
		uint32_t value = SET_WORD_VALUE(
		        set_get(set->semaphores[i].word));

		if (adjustment != 0)
			set_put(set->record[count++],
			        SET_RECORD(i, clamp((int64_t)value + adjustment),
			                   0, 0));
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

void set_wake_slowly(struct set_semaphore *semaphore, int64_t sum)
{
	if (sum > 0)
		stoa_event_raise_word(&semaphore->increased,
		                      sum < INT32_MAX ? (int)sum : INT32_MAX);
	/* Observers may wait for zero after taking some themselves. If it isn't
	 * zero any more, waking would be in vain. */
	if (sum < 0 && (SET_WORD_VALUE(set_get(semaphore->word)) == 0 ||
	                (set_get(semaphore->zero) & EVENT_OBSERVERS)))
		stoa_event_raise_word(&semaphore->zero, INT32_MAX);
}
