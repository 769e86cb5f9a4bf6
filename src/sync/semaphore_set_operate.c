/* SPDX-License-Identifier: MIT */
/* sync/semaphore_set_operate.c: judging an array of changes, making them, and
 * waiting until it can be done. */
#include <base/error.h>
#include <base/system.h>
#include <sync/semaphore_set_internal.h>

/* What needs a stack frame is kept out of the quick way. */
#define SLOW __attribute__((noinline))
#define KNOWN_FLAGS ((uint32_t)(STOA_SEMAPHORE_NO_WAIT | STOA_SEMAPHORE_UNDO))

/* Beside 0 and -errno: no errors of this library. */
enum { IS_BLOCKED = -1000, IS_STRANGE = -1001, NO_ROW = -1002 };

struct request {
	const struct stoa_semaphore_change *changes;
	size_t count;
	struct stoa_semaphore_change blocked; /* the one that can't be made;
	                                         a checked copy */
	uint32_t undoes;
	uint32_t row; /* with this handle's undo, if it undoes */
	uint32_t asked; /* bits of the events of what was judged */
};

/* ---- Judging ------------------------------------------------------------------- */

static SLOW int range(struct stoa_semaphore_set *set, uint32_t semaphore)
{
	return stoa_fail(-ERANGE,
	                 "semaphore %u of set %s: its value, or what would be "
	                 "undone, would pass %d",
	                 semaphore, set->object.name,
	                 STOA_SEMAPHORE_SET_VALUE_MAX);
}

static SLOW int bad_count(struct stoa_semaphore_set *set, size_t count)
{
	if (count == 0)
		return stoa_fail(-EINVAL, "an operation on set %s has changes",
		                 set->object.name);
	return stoa_fail(-E2BIG, "an operation on set %s has at most %d changes",
	                 set->object.name, STOA_SEMAPHORE_SET_OPERATIONS);
}

/* Whether each change makes sense. Called when one could not be made: an
 * array that has one that makes none is refused at once, and never waits. */
static SLOW int check(struct stoa_semaphore_set *set,
                      const struct request *request)
{
	for (size_t i = 0; i < request->count; i++) {
		const struct stoa_semaphore_change *change =
		        &request->changes[i];

		if ((change->flags & ~KNOWN_FLAGS) || change->reserved != 0)
			return stoa_fail(-EINVAL,
			                 "change %zu on set %s has unknown "
			                 "flags, or its reserved field isn't "
			                 "zero",
			                 i, set->object.name);
		if (change->semaphore >= set->count)
			return set_no_such(set, change->semaphore);
		if (change->amount < -STOA_SEMAPHORE_SET_VALUE_MAX)
			return range(set, change->semaphore);
	}
	return 0;
}

/* Flags and such that mean nothing. */
static inline uint32_t strange(const struct stoa_semaphore_change *change)
{
	return (change->flags & ~KNOWN_FLAGS) | change->reserved;
}

/* The record of a semaphore among the first `count`; count if it has none. */
static uint32_t find_record(const _Atomic uint64_t *records, uint32_t count,
                            uint32_t semaphore)
{
	for (uint32_t i = 0; i < count; i++)
		if (SET_RECORD_SEMAPHORE(set_get(records[i])) == semaphore)
			return i;
	return count;
}

/* What the value becomes, 0 or more; IS_BLOCKED, -ERANGE. Less than zero is
 * more than anything. */
static inline int judge_value(struct stoa_semaphore_set *set,
                              const struct stoa_semaphore_change *change,
                              int value)
{
	uint32_t after = (uint32_t)value + (uint32_t)change->amount;

	if (stoa_likely(after <= STOA_SEMAPHORE_SET_VALUE_MAX &&
	                (change->amount != 0 || value == 0)))
		return (int)after;
	return change->amount > 0 ? range(set, change->semaphore) : IS_BLOCKED;
}

/* The record with the change's undo, if it has one. */
static int judge_undo(struct stoa_semaphore_set *set,
                      const struct stoa_semaphore_change *change, uint32_t row,
                      uint64_t *record)
{
	int32_t adjustment = SET_RECORD_ADJUSTMENT(*record);

	if (!SET_RECORD_ADJUSTS(*record) && row != SET_NO_ROW)
		adjustment = set_get(
		        *set_adjustment(set, row, change->semaphore));
	int64_t after = (int64_t)adjustment - change->amount;
	if (after > STOA_SEMAPHORE_SET_VALUE_MAX ||
	    after < -STOA_SEMAPHORE_SET_VALUE_MAX)
		return range(set, change->semaphore);
	*record = SET_RECORD(change->semaphore, SET_RECORD_VALUE(*record),
	                     after, 1);
	return 0;
}

/* request->blocked, whatever it is; its record is `at`, or to be the next, if
 * that is `count`. What is read back from the records is foreign again, and
 * used as what it may be. 0, IS_BLOCKED, -ERANGE, -EUCLEAN. */
static SLOW int judge_slowly(struct stoa_semaphore_set *set,
                             struct request *request, uint32_t at,
                             uint32_t count)
{
	const struct stoa_semaphore_change *change = &request->blocked;
	uint64_t word = set_get(set->semaphores[change->semaphore].word);
	uint64_t record = at < count ? set_get(set->record[at]) : 0;
	int value = at < count ? (int)SET_RECORD_VALUE(record) :
	                         set_value(set, word);

	if (value >= 0)
		value = judge_value(set, change, value);
	if (value < 0)
		return value;
	record = SET_RECORD(change->semaphore, value,
	                    SET_RECORD_ADJUSTMENT(record),
	                    SET_RECORD_ADJUSTS(record));
	if ((change->flags & STOA_SEMAPHORE_UNDO) && change->amount != 0) {
		if (!request->undoes)
			request->row = set_own_row(set);
		request->undoes = 1;
		int result = judge_undo(set, change, request->row, &record);
		if (result < 0)
			return result;
	}
	set_put(set->record[at], record);
	return 0;
}

/* Under the lock: records what the operation would do; changes nothing else.
 * 0, IS_BLOCKED, IS_STRANGE, or -ERANGE, -EUCLEAN. */
static int judge(struct stoa_semaphore_set *set, struct request *request,
                 uint32_t *ret_count)
{
	struct set_semaphore *semaphores = set->semaphores;
	_Atomic uint64_t *records = set->record;
	const struct stoa_semaphore_change *change = request->changes;
	const struct stoa_semaphore_change *end = change + request->count;
	uint32_t asked = 0, unknown = 0, most = set->count, count = 0;
	uint64_t seen = 0; /* what isn't can't have a record */

	request->undoes = 0;
	request->row = SET_NO_ROW;
	for (; change < end; change++) {
		uint32_t semaphore = change->semaphore;
		uint64_t bit = UINT64_C(1) << semaphore % 64;

		if (stoa_unlikely(semaphore >= most))
			return IS_STRANGE;
		uint32_t before = SET_WORD_VALUE(
		        set_get(semaphores[semaphore].word));
		uint32_t amount = (uint32_t)change->amount;
		uint32_t after = before + amount; /* below 0: large */

		unknown |= strange(change);
		asked |= set_asked(&semaphores[semaphore]);
		if (stoa_likely((before | after) <=
		                        STOA_SEMAPHORE_SET_VALUE_MAX &&
		                amount != 0 && !(seen & bit) &&
		                !(change->flags & STOA_SEMAPHORE_UNDO))) {
			set_put(records[count++],
			        SET_RECORD(semaphore, after, 0, 0));
		} else {
			uint32_t at = seen & bit ? find_record(records, count,
			                                       semaphore) :
			                           count;
			/* As it is now; but what was checked is kept. */
			request->blocked = *change;
			request->blocked.semaphore = semaphore;
			int result = judge_slowly(set, request, at, count);
			if (result < 0)
				return result;
			count += at == count;
		}
		seen |= bit;
	}
	request->asked = asked;
	*ret_count = count;
	return stoa_likely(unknown == 0) ? 0 : IS_STRANGE;
}

/* ---- Making -------------------------------------------------------------------- */

static void operated(struct stoa_semaphore_set *set)
{
	set_put(set->control->last_operation_ns,
	        stoa_sys_clock_ns(CLOCK_REALTIME_COARSE));
}

static void tell(struct stoa_semaphore_set *set)
{
	if (stoa_unlikely(stoa_event_asked(&set->object, STOA_READ)))
		stoa_event_raise(&set->object, STOA_READ, INT32_MAX);
}

/* Wakes those for whom what was done to one semaphore may be enough. */
static SLOW void wake(struct stoa_semaphore_set *set,
                      const struct request *request, uint32_t semaphore)
{
	int64_t sum = 0;

	for (size_t i = 0; i < request->count; i++)
		if (request->changes[i].semaphore == semaphore)
			sum += request->changes[i].amount;
	set_wake_slowly(&set->semaphores[semaphore], sum);
}

static SLOW void wake_all(struct stoa_semaphore_set *set,
                            const struct request *request)
{
	struct set_semaphore *semaphores = set->semaphores;

	for (size_t i = 0; i < request->count; i++) {
		uint32_t semaphore = request->changes[i].semaphore;

		if (semaphore < set->count && set_asked(&semaphores[semaphore]))
			wake(set, request, semaphore);
	}
}

static int attempt_many(struct stoa_semaphore_set *set,
                        struct request *request, struct stoa_deadline deadline)
{
	uint32_t count, row = SET_NO_ROW;
	int result = set_lock(set, deadline);

	if (stoa_unlikely(result < 0))
		return result;
	result = judge(set, request, &count);
	if (result == 0 && request->undoes) {
		row = set_claim_row(set);
		if (row == SET_NO_ROW)
			result = NO_ROW;
	}
	if (result == 0) {
		set_commit(set, count, row);
		operated(set);
	}
	set_unlock(set);
	if (result != 0)
		return result;
	if (stoa_unlikely(request->asked))
		wake_all(set, request);
	tell(set);
	return 0;
}

/* One change without undo: one store. */
static int attempt_one(struct stoa_semaphore_set *set, struct request *request,
                       struct stoa_deadline deadline)
{
	const struct stoa_semaphore_change *change = &request->blocked;
	struct set_semaphore *semaphore = &set->semaphores[change->semaphore];
	int result = set_lock(set, deadline);

	if (stoa_unlikely(result < 0))
		return result;
	result = set_value(set, set_get(semaphore->word));
	if (stoa_likely(result >= 0))
		result = judge_value(set, change, result);
	if (stoa_likely(result >= 0)) {
		set_put(semaphore->word, /* commits */
		        SET_WORD((uint32_t)result, set_get(set->object.pid)));
		operated(set);
	}
	request->asked = set_asked(semaphore);
	set_unlock(set);
	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(request->asked))
		wake_all(set, request);
	tell(set);
	return 0;
}

/* 0, IS_BLOCKED, IS_STRANGE, or why it can't be. */
static int attempt(struct stoa_semaphore_set *set, struct request *request,
                   struct stoa_deadline deadline)
{
	struct stoa_semaphore_change first = request->changes[0];
	int result;

	request->blocked = first;
	if (request->count == 1 && first.semaphore < set->count &&
	    !strange(&first) && !(first.flags & STOA_SEMAPHORE_UNDO))
		return attempt_one(set, request, deadline);
	result = attempt_many(set, request, deadline);
	if (result != NO_ROW)
		return result;
	set_bury_rows(set);
	result = attempt_many(set, request, deadline);
	if (result != NO_ROW)
		return result;
	return stoa_fail(-ENOSPC,
	                 "as many handles of set %s have undo as it can tell "
	                 "apart (%u)",
	                 set->object.name, set->rows);
}

/* ---- Waiting -------------------------------------------------------------------- */

/* One change of -1 takes what wakes it, and one for zero takes nothing. */
static int simple(const struct request *request)
{
	return request->count == 1 && request->changes->amount >= -1;
}

static _Atomic uint32_t *event_of(struct stoa_semaphore_set *set,
                                  const struct request *request)
{
	const struct stoa_semaphore_change *change = &request->blocked;
	struct set_semaphore *semaphore = &set->semaphores[change->semaphore];

	return change->amount == 0 ? &semaphore->zero : &semaphore->increased;
}

/* Without the lock, which spinning would keep from those who are waited for. */
static int looks_blocked(struct stoa_semaphore_set *set,
                         const struct request *request)
{
	const struct stoa_semaphore_change *change = &request->blocked;
	uint32_t value = SET_WORD_VALUE(
	        set_get(set->semaphores[change->semaphore].word));

	if (request->count > 1)
		return 0;
	return change->amount == 0 ? value != 0 :
	                             (int64_t)value + change->amount < 0;
}

/* A handle whose end would give what is waited for. */
static stoa_peer find_blocker(struct stoa_semaphore_set *set,
                              const struct request *request)
{
	const struct stoa_semaphore_change *change = &request->blocked;
	uint32_t rows = set_get(set->control->rows_used);

	for (uint32_t row = 0; row < rows && row < set->rows; row++) {
		int adjustment = set_get(
		        *set_adjustment(set, row, change->semaphore));
		uint32_t token = set_get(set->row[row].token);
		struct stoa_seat *seat;

		if (token == 0 ||
		    (change->amount == 0 ? adjustment >= 0 : adjustment <= 0))
			continue;
		seat = stoa_object_seat(&set->object, SEAT_INDEX(token));
		return seat ? set_get(seat->owner) >> 16 : 0;
	}
	return 0;
}

struct registration {
	uint32_t index;
	uint64_t word; /* 0: none */
};

/* For people: who waits for what. */
static void enlist(struct stoa_semaphore_set *set,
                   const struct request *request, struct registration *place)
{
	const struct stoa_semaphore_change *change = &request->blocked;
	uint64_t word = SET_WAITER(stoa_object_token(&set->object),
	                           change->amount == 0, change->semaphore);

	if (place->word == word)
		return;
	if (place->word != 0 &&
	    atomic_compare_exchange_strong_explicit(
	            &set->waiters[place->index], &place->word, word,
	            memory_order_relaxed, memory_order_relaxed)) {
		place->word = word;
		return;
	}
	place->word = 0;
	for (uint32_t i = 0; i < SET_WAITERS; i++) {
		uint64_t none = 0;

		if (set_get(set->waiters[i]) == 0 &&
		    atomic_compare_exchange_strong_explicit(
		            &set->waiters[i], &none, word, memory_order_relaxed,
		            memory_order_relaxed)) {
			*place = (struct registration){ i, word };
			return;
		}
	}
}

static void delist(struct stoa_semaphore_set *set, struct registration *place)
{
	if (place->word != 0)
		atomic_compare_exchange_strong_explicit(
		        &set->waiters[place->index], &place->word, 0,
		        memory_order_relaxed, memory_order_relaxed);
}

/* seq_cst: EVENT_DEKKER; the truth is looked at next. */
static void observe(_Atomic uint32_t *event)
{
	if (!(set_get(*event) & EVENT_OBSERVERS))
		atomic_fetch_or_explicit(event, EVENT_OBSERVERS,
		                         memory_order_seq_cst);
}

/* Between a vain attempt and the next. */
static int await_change(struct stoa_semaphore_set *set,
                        struct request *request, struct stoa_waiter *waiter,
                        struct registration *place)
{
	int result = 0;

	if (request->blocked.flags & STOA_SEMAPHORE_NO_WAIT)
		return -EAGAIN;
	if (!stoa_waiter_move(waiter, event_of(set, request))) {
		if (waiter->armed) {
			waiter->blocker = find_blocker(set, request);
			enlist(set, request, place);
		}
		do
			result = stoa_waiter_step(waiter);
		while (result == 0 && !waiter->armed &&
		       looks_blocked(set, request));
	}
	if (result == 0 && waiter->armed && !simple(request))
		observe(waiter->word);
	return result;
}

static int wait(struct stoa_semaphore_set *set, struct request *request,
                struct stoa_deadline deadline)
{
	struct registration place = { 0 };
	struct stoa_waiter waiter;
	int result;

	set_bury_rows(set);
	result = attempt(set, request, deadline);
	if (result != IS_BLOCKED)
		return result;
	stoa_waiter_init(&waiter, &set->object, STOA_READ, deadline);
	stoa_waiter_may_yield(&waiter);
	for (;;) {
		int step = await_change(set, request, &waiter, &place);

		if (step < 0) {
			result = step;
			break;
		}
		result = attempt(set, request, deadline);
		if (result != IS_BLOCKED)
			break;
	}
	delist(set, &place);
	stoa_waiter_fini(&waiter);
	return result;
}

/* After a vain attempt. */
static SLOW int go_on(struct stoa_semaphore_set *set, struct request *request,
                      int result, struct stoa_deadline deadline)
{
	int refused = check(set, request);

	if (refused < 0)
		return refused;
	if (result == IS_BLOCKED)
		result = wait(set, request, deadline);
	/* The caller has changed it meanwhile. */
	return result == IS_STRANGE ? -EINVAL : result;
}

int stoa_semaphore_set_operate(struct stoa_semaphore_set *set,
                               const struct stoa_semaphore_change *changes,
                               size_t count, struct stoa_deadline deadline)
{
	struct request request = { .changes = changes, .count = count };
	int result = stoa_object_enter(&set->object);

	if (stoa_unlikely(count - 1 >= STOA_SEMAPHORE_SET_OPERATIONS))
		return bad_count(set, count);
	if (result == 0 && stoa_unlikely(!stoa_object_healthy(&set->object)))
		result = stoa_object_health(&set->object);
	if (stoa_unlikely(result < 0))
		return result;
	result = attempt(set, &request, deadline);
	if (stoa_unlikely(result < 0))
		result = go_on(set, &request, result, deadline);
	return set_end(set, result);
}

/* ---- Readiness ------------------------------------------------------------------ */

static int any_value(struct stoa_semaphore_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (SET_WORD_VALUE(atomic_load_explicit(
		            &set->semaphores[i].word, memory_order_seq_cst)) !=
		    0)
			return 1;
	return 0;
}

static int judge_alone(struct stoa_semaphore_set *set, struct request *request)
{
	uint32_t count;
	int result = set_lock(set, STOA_NOW);

	if (result < 0)
		return result == -EAGAIN ? STOA_READY_SOON : result;
	result = judge(set, request, &count);
	set_unlock(set);
	return result == IS_BLOCKED ? 0 : 1; /* a failure comes at once, too */
}

int set_ready(struct stoa_object *object, unsigned direction,
              const struct stoa_wait *wait_for)
{
	struct stoa_semaphore_set *set = (struct stoa_semaphore_set *)object;
	const struct stoa_semaphore_operation *operation =
	        wait_for ? wait_for->detail : NULL;
	struct request request = { 0 };

	if (direction == STOA_WRITE)
		return 1;
	if (!operation)
		return any_value(set);
	request.changes = operation->changes;
	request.count = operation->count;
	if (request.count - 1 >= STOA_SEMAPHORE_SET_OPERATIONS)
		return bad_count(set, request.count);
	int result = check(set, &request);
	if (result < 0)
		return result;
	result = judge_alone(set, &request);
	if (result != 0)
		return result;
	set_bury_rows(set);
	return judge_alone(set, &request);
}
