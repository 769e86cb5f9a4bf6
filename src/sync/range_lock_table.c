/* SPDX-License-Identifier: MIT */
/*
 * sync/range_lock_table.c: the table of ranges and the line of waiters: whose
 * turn it is to change it, who may have what, splitting and merging, burial.
 */
#include <base/bug.h>
#include <base/deadline.h>
#include <sync/range_lock_internal.h>

#include <errno.h>

#define SPINS 1000
/* A call that may not wait waits for its turn so long at most; turns last less
 * than a microsecond, unless their holder is preempted or stopped. */
#define TURN_NS INT64_C(10000000)
#define OWN_STEPS 16

/* ---- Free records ----------------------------------------------------------- */

/* release: the fields before it are complete for whoever sees the word; and
 * burial, which reads words only, frees nothing that is half made. */
static void set_word(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static void give_record(struct stoa_range_lock *lock,
                        struct range_record *record)
{
	set(record->link[RANGE_PLACE][0], get(lock->control->spare));
	set(lock->control->spare, range_number(lock, record));
}

/* 0 and a record, -ENOLCK, -EUCLEAN. */
static int take_record(struct stoa_range_lock *lock,
                       struct range_record **ret_record)
{
	uint32_t number = get(lock->control->spare);
	struct range_record *record = range_at(lock, number);

	if (number) {
		if (!record || get(record->word) != 0 ||
		    range_index_listed(record))
			return -EUCLEAN;
		set(lock->control->spare, get(record->link[RANGE_PLACE][0]));
	} else {
		uint32_t fresh = range_fresh(lock);

		if (fresh == lock->capacity)
			return -ENOLCK;
		record = &lock->records[fresh];
		/* before any word of it: burial looks at all below */
		atomic_store_explicit(&lock->control->fresh, fresh + 1,
		                      memory_order_release);
		if (get(record->word) != 0 || range_index_listed(record))
			return -EUCLEAN;
	}
	*ret_record = record;
	return 0;
}

static int room_for(struct stoa_range_lock *lock, uint32_t records)
{
	struct range_record *first = range_at(lock, get(lock->control->spare));
	uint32_t room = lock->capacity - range_fresh(lock);

	if (first)
		room += get(first->link[RANGE_PLACE][0]) ? 2 : 1;
	return room >= records;
}

/* ---- Turns -------------------------------------------------------------------- */

static int holder_alive(void *context, uint32_t token)
{
	return stoa_object_alive(context, token);
}

static void bound_waiters(struct stoa_range_lock *lock)
{
	uint32_t used = range_waiters_used(lock);

	while (used > 0 && get(lock->waiters[used - 1].word) == 0)
		used--;
	set(lock->control->waiters_used, used);
}

/* Somebody died over a change: what the words say is all that is true. */
static int rebuild(struct stoa_range_lock *lock)
{
	uint32_t fresh = range_fresh(lock);

	set(lock->control->spare, 0);
	range_index_clear(lock);
	for (uint32_t i = 0; i < fresh; i++) {
		struct range_record *record = &lock->records[i];
		/* acquire: pairs with the release in set_word() */
		uint64_t word = atomic_load_explicit(&record->word,
		                                     memory_order_acquire);
		int result = 0;

		set(record->link[RANGE_OWN][1], 0);
		if (word == 0)
			give_record(lock, record);
		else if (get(record->start) > get(record->last))
			result = -EUCLEAN;
		else
			result = range_index_insert(lock, record);
		if (result < 0)
			return result;
	}
	set(lock->control->waiters_used, RANGE_WAITERS);
	bound_waiters(lock);
	return 0;
}

/* Burial freed words that are listed still. */
static int sweep(struct stoa_range_lock *lock)
{
	uint32_t fresh = range_fresh(lock);

	/* acq_rel: the words freed before it was raised are seen to be */
	atomic_exchange_explicit(&lock->control->stale, 0,
	                         memory_order_acq_rel);
	for (uint32_t i = 0; i < fresh; i++) {
		struct range_record *record = &lock->records[i];

		if (!range_index_listed(record) || get(record->word) != 0)
			continue;
		int result = range_index_remove(lock, record);
		if (result < 0)
			return result;
		give_record(lock, record);
	}
	bound_waiters(lock);
	return 0;
}

static int make_true(struct stoa_range_lock *lock, int dirty)
{
	int result = dirty ? rebuild(lock) : 0;

	if (result == 0 && get(lock->control->stale) && !STOA_BUG(31))
		result = sweep(lock);
	if (result < 0) {
		stoa_lock_release(&lock->control->turn,
		                  stoa_object_token(&lock->object));
		return stoa_object_damaged(&lock->object,
		                           "its index can't be rebuilt");
	}
	return 0;
}

int range_turn_begin(struct stoa_range_lock *lock,
                     struct stoa_deadline deadline)
{
	struct stoa_object *object = &lock->object;
	struct range_control *control = lock->control;
	struct stoa_lock_owner owner = {
		.token = stoa_object_token(object),
		.spins = get(object->processors) > 1 ? SPINS : 0,
		.alive = holder_alive,
		.context = object
	};
	int now = deadline.kind == STOA_DEADLINE_NOW;
	uint32_t none = 0;

	/* acquire: pairs with the release of the turn before */
	if (stoa_unlikely(!atomic_compare_exchange_strong_explicit(
	            &control->turn.word, &none, owner.token,
	            memory_order_acquire, memory_order_relaxed))) {
		int result = stoa_lock_acquire(
		        &control->turn, &owner,
		        now ? stoa_deadline_in(TURN_NS) : deadline);
		if (result < 0)
			return now ? -EAGAIN : result;
	}
	uint32_t dirty = get(control->dirty);
	set(control->dirty, RANGE_CHANGING);
	atomic_signal_fence(memory_order_seq_cst); /* before any change */
	if (stoa_unlikely(dirty != 0 || get(control->stale) != 0))
		return make_true(lock, dirty != 0 && !STOA_BUG(30));
	return 0;
}

void range_turn_end(struct stoa_range_lock *lock)
{
	atomic_signal_fence(memory_order_seq_cst); /* after every change */
	set(lock->control->dirty, 0);
	stoa_lock_release(&lock->control->turn,
	                  stoa_object_token(&lock->object));
}

/* ---- In line ------------------------------------------------------------------- */

static int overlap(uint64_t start, uint64_t last, uint64_t other_start,
                   uint64_t other_last)
{
	return start <= other_last && other_start <= last;
}

static struct range_waiter *place_of(struct stoa_range_lock *lock,
                                     const struct range_request *request)
{
	if (request->place == 0)
		return NULL;
	struct range_waiter *waiter = &lock->waiters[request->place - 1];
	return get(waiter->word) == RANGE_WORD(request->token, request->mode,
	                                       request->thread) ?
	               waiter :
	               NULL;
}

void range_line_enter(struct stoa_range_lock *lock,
                      struct range_request *request)
{
	struct range_waiter *waiter = place_of(lock, request);
	uint64_t blocker = request->blocker[0].word;

	if (waiter) {
		set(waiter->blocker, blocker);
		return;
	}
	request->place = 0;
	for (uint32_t i = 0; i < RANGE_WAITERS; i++) {
		uint64_t ticket = get(lock->control->next_ticket);

		waiter = &lock->waiters[i];
		if (get(waiter->word) != 0)
			continue;
		set(lock->control->next_ticket, ticket + 1);
		set(waiter->owner, request->owner);
		set(waiter->start, request->start);
		set(waiter->last, request->last);
		set(waiter->ticket, ticket);
		set(waiter->blocker, blocker);
		if (i >= range_waiters_used(lock))
			atomic_store_explicit(&lock->control->waiters_used,
			                      i + 1, memory_order_release);
		set_word(&waiter->word,
		         RANGE_WORD(request->token, request->mode,
		                    request->thread));
		request->place = i + 1;
		return;
	}
}

void range_line_leave(struct stoa_range_lock *lock,
                      struct range_request *request)
{
	struct range_waiter *waiter = place_of(lock, request);
	uint64_t word = RANGE_WORD(request->token, request->mode,
	                           request->thread);

	/* release: nothing of the place is used after it */
	if (waiter)
		atomic_compare_exchange_strong_explicit(
		        &waiter->word, &word, 0, memory_order_release,
		        memory_order_relaxed);
	request->place = 0;
}

/* Whether the owner holds something that the waiter waits for. To go past
 * it is no injustice then, and to stay behind it would be a deadlock. */
static int holds_up(struct stoa_range_lock *lock, uint64_t owner,
                    uint64_t start, uint64_t last, int exclusive)
{
	struct range_record *record = range_index_own(lock, owner, start);

	for (int i = 0; record && i < OWN_STEPS; i++) {
		uint64_t word = get(record->word), end = get(record->last);

		if (get(record->start) > last)
			return 0;
		if (word != 0 &&
		    (exclusive ||
		     RANGE_WORD_MODE(word) == STOA_RANGE_EXCLUSIVE))
			return 1;
		if (end == UINT64_MAX)
			return 0;
		record = range_index_own(lock, owner, end + 1);
	}
	return 0;
}

static int in_line_before(struct stoa_range_lock *lock,
                          struct range_request *request)
{
	bound_waiters(lock);
	struct range_waiter *mine = place_of(lock, request);
	uint64_t ticket = mine ? get(mine->ticket) : UINT64_MAX;
	uint32_t used = range_waiters_used(lock);

	for (uint32_t i = 0; i < used; i++) {
		struct range_waiter *other = &lock->waiters[i];
		uint64_t word = atomic_load_explicit(&other->word,
		                                     memory_order_acquire);
		uint64_t start = get(other->start), last = get(other->last);
		int exclusive = RANGE_WORD_MODE(word) == STOA_RANGE_EXCLUSIVE;

		if (word == 0 || other == mine ||
		    get(other->owner) == request->owner ||
		    get(other->ticket) >= ticket ||
		    !overlap(request->start, request->last, start, last) ||
		    (!exclusive && request->mode != STOA_RANGE_EXCLUSIVE) ||
		    holds_up(lock, request->owner, start, last, exclusive))
			continue;
		request->blocker[request->blockers++] =
		        (struct range_blocker){ word, start, last, 1 };
		if (request->blockers == RANGE_BLOCKERS)
			break;
	}
	return request->blockers ? -EAGAIN : 0;
}

int range_admit(struct stoa_range_lock *lock, struct range_request *request)
{
	request->blockers = 0;
	int result = range_index_conflicts(lock, request);
	if (result < 0)
		return result;
	if (request->blockers)
		return -EAGAIN;
	if (stoa_likely(get(lock->control->waiters_used) == 0) ||
	    request->pass)
		return 0;
	return in_line_before(lock, request);
}

/* ---- Changing ------------------------------------------------------------------- */

static int same_kind(const struct range_record *record,
                     const struct range_request *request)
{
	uint64_t word = get(record->word);

	return RANGE_WORD_MODE(word) == request->mode &&
	       RANGE_WORD_TOKEN(word) == request->token;
}

static int put(struct stoa_range_lock *lock, uint64_t word, uint64_t owner,
               uint64_t start, uint64_t last)
{
	struct range_record *record;
	int result = take_record(lock, &record);

	if (stoa_unlikely(result < 0))
		return result;
	set(record->owner, owner);
	set(record->start, start);
	set(record->last, last);
	set_word(&record->word, word);
	return range_index_insert(lock, record);
}

static int drop(struct stoa_range_lock *lock, struct range_record *record)
{
	int result = range_index_remove(lock, record);

	set_word(&record->word, 0);
	give_record(lock, record);
	return result;
}

/* Takes what the request is about out of one of the owner's ranges, which may
 * be all of it, an end, or the middle. */
static int cut(struct stoa_range_lock *lock, struct range_record *record,
               const struct range_request *request)
{
	uint64_t start = get(record->start), last = get(record->last);
	uint64_t word = get(record->word), owner = get(record->owner);
	int result = 0;

	if (word == 0 || (start >= request->start && last <= request->last))
		return drop(lock, record);
	if (start < request->start && last > request->last)
		result = put(lock, word, owner, request->last + 1, last);
	if (result == 0)
		result = range_index_remove_place(lock, record);
	if (start < request->start)
		set(record->last, request->start - 1);
	else
		set(record->start, request->last + 1);
	return result ?: range_index_insert_place(lock, record);
}

struct merged {
	uint64_t start, last;
};

/* One of the owner's ranges that overlaps the request or adjoins it. */
static int change_one(struct stoa_range_lock *lock,
                      struct range_record *record,
                      struct range_request *request, struct merged *merged)
{
	uint64_t start = get(record->start), last = get(record->last);

	if (request->mode && same_kind(record, request)) {
		if (start < merged->start)
			merged->start = start;
		if (last > merged->last)
			merged->last = last;
		return drop(lock, record);
	}
	if (!overlap(start, last, request->start, request->last))
		return 0;
	request->eased |= request->mode != STOA_RANGE_EXCLUSIVE;
	return cut(lock, record, request);
}

/* Records that the change needs beyond those that it frees. */
static uint32_t records_needed(struct stoa_range_lock *lock,
                               const struct range_request *request,
                               struct range_record *first)
{
	uint32_t needed = request->mode ? 1 : 0;

	for (int i = 0; first && i < 2; i++) {
		uint64_t start = get(first->start), last = get(first->last);
		int same = request->mode && same_kind(first, request);

		if (!same &&
		    !overlap(start, last, request->start, request->last) &&
		    start > request->last)
			break;
		if (same || (start >= request->start && last <= request->last))
			return 0;
		if (start < request->start && last > request->last)
			return needed + 1;
		if (last >= request->last)
			break;
		first = range_index_own(lock, request->owner, last + 1);
	}
	return needed;
}

static int covered(const struct range_record *first,
                   const struct range_request *request)
{
	return request->mode && same_kind(first, request) &&
	       get(first->start) <= request->start &&
	       get(first->last) >= request->last;
}

int range_apply(struct stoa_range_lock *lock, struct range_request *request)
{
	struct merged merged = { request->start, request->last };
	int adjoining = request->mode != 0;
	uint64_t from = request->start - (adjoining && request->start > 0);
	uint64_t to = request->last +
	              (adjoining && request->last < UINT64_MAX);
	struct range_record *record = range_index_own(lock, request->owner,
	                                              from);

	if (record && covered(record, request))
		return 0;
	if (!room_for(lock, records_needed(lock, request, record)))
		return -ENOLCK;
	for (uint32_t i = 0; record && get(record->start) <= to; i++) {
		uint64_t last = get(record->last);
		int result = i > lock->capacity ?
		                     -EUCLEAN :
		                     change_one(lock, record, request, &merged);

		if (stoa_unlikely(result < 0))
			return -EUCLEAN;
		if (last >= to)
			break;
		record = range_index_own(lock, request->owner, last + 1);
	}
	if (!request->mode)
		return 0;
	return put(lock,
	           RANGE_WORD(request->token, request->mode, request->thread),
	           request->owner, merged.start, merged.last);
}

/* ---- Burial ---------------------------------------------------------------------- */

static void free_word(_Atomic uint64_t *address, uint32_t token)
{
	uint64_t word = atomic_load_explicit(address, memory_order_acquire);

	if (word != 0 && RANGE_WORD_TOKEN(word) == token)
		atomic_compare_exchange_strong_explicit(address, &word, 0,
		                                        memory_order_acq_rel,
		                                        memory_order_relaxed);
}

/* 0: it isn't one of the owner's in the request; 1: it was, and is free now;
 * -ETIMEDOUT: only a part of it is in the request. */
static int free_range(struct range_record *record,
                      const struct range_request *request)
{
	uint64_t word = atomic_load_explicit(&record->word,
	                                     memory_order_acquire);
	uint64_t start = get(record->start), last = get(record->last);

	if (word == 0 || RANGE_WORD_TOKEN(word) != request->token ||
	    get(record->owner) != request->owner ||
	    !overlap(start, last, request->start, request->last))
		return 0;
	if (start < request->start || last > request->last)
		return -ETIMEDOUT;
	/* release: pairs with the acquire of whoever locks it next */
	return atomic_compare_exchange_strong_explicit(
	        &record->word, &word, 0, memory_order_acq_rel,
	        memory_order_relaxed);
}

int range_release_unturned(struct stoa_range_lock *lock,
                           struct range_request *request)
{
	uint32_t fresh = range_fresh(lock);
	int result = 0;

	for (uint32_t i = 0; i < fresh; i++) {
		int one = free_range(&lock->records[i], request);

		request->eased |= one > 0;
		if (one < 0)
			result = one;
	}
	/* release: pairs with the exchange in sweep() */
	atomic_store_explicit(&lock->control->stale, 1, memory_order_release);
	return result;
}

/* Without the table's lock: see range_lock_layout.h. */
int range_bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_range_lock *lock = (struct stoa_range_lock *)object;
	uint32_t fresh = range_fresh(lock);

	for (uint32_t i = 0; i < fresh; i++)
		free_word(&lock->records[i].word, token);
	for (uint32_t i = 0; i < RANGE_WAITERS; i++)
		free_word(&lock->waiters[i].word, token);
	/* release: pairs with the exchange in sweep() */
	atomic_store_explicit(&lock->control->stale, 1, memory_order_release);
	return 0;
}

void range_find_freed(struct stoa_range_lock *lock)
{
	uint32_t fresh = range_fresh(lock);

	for (uint32_t i = 0; i < fresh; i++) {
		struct range_record *record = &lock->records[i];

		/* acquire: pairs with the release of who freed it. Unlisted
		 * meanwhile: a sweep for nothing. */
		if (atomic_load_explicit(&record->word,
		                         memory_order_acquire) != 0 ||
		    !range_index_listed(record))
			continue;
		/* release: pairs with the exchange in sweep() */
		atomic_store_explicit(&lock->control->stale, 1,
		                      memory_order_release);
		return;
	}
}
