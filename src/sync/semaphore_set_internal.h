/* SPDX-License-Identifier: MIT */
/* sync/semaphore_set_internal.h: what the files of the semaphore set share.
 * Why it all holds is in semaphore_set_layout.h. */
#ifndef STOA_SYNC_SEMAPHORE_SET_INTERNAL_H
#define STOA_SYNC_SEMAPHORE_SET_INTERNAL_H

#include <base/deadline.h>
#include <space/event.h>
#include <sync/semaphore_set_layout.h>

#include <errno.h>

struct stoa_semaphore_set {
	struct stoa_object object;
	uint32_t count, rows, records; /* checked copies */
	struct set_control *control;
	struct set_row *row;
	_Atomic uint64_t *waiters;
	struct set_semaphore *semaphores;
	_Atomic uint64_t *record;
	_Atomic int16_t *adjustments;
	_Atomic uint32_t own_row; /* hint */
};

#define SET_NO_ROW UINT32_MAX

/* relaxed: changed under the lock only. */
#define set_get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set_put(word, new_value) \
	atomic_store_explicit(&(word), new_value, memory_order_relaxed)

/* Keeps the compiler from moving stores: what is before it is in memory before
 * what is after it, for whoever takes over from this process when it is dead. */
static inline void set_in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static inline _Atomic int16_t *set_adjustment(struct stoa_semaphore_set *set,
                                              uint32_t row, uint32_t semaphore)
{
	return &set->adjustments[(size_t)row * set->count + semaphore];
}

/* ---- The lock and intents (semaphore_set_intent.c) --------------------------- */

int set_lock_slowly(struct stoa_semaphore_set *set,
                    struct stoa_deadline deadline);
/* Does what a dead owner of the lock had written down. */
void set_finish_intent(struct stoa_semaphore_set *set);

/* 0; -EAGAIN (STOA_NOW), -ETIMEDOUT: a stopped process has it. */
static inline int set_lock(struct stoa_semaphore_set *set,
                           struct stoa_deadline deadline)
{
	uint32_t none = 0;
	int result = 0;

	/* acquire: pairs with the release in stoa_lock_release() */
	if (stoa_unlikely(!atomic_compare_exchange_strong_explicit(
	            &set->control->lock.word, &none,
	            stoa_object_token(&set->object), memory_order_acquire,
	            memory_order_relaxed)))
		result = set_lock_slowly(set, deadline);
	if (result == 0 && stoa_unlikely(set_get(set->control->intent_kind)))
		set_finish_intent(set);
	return result;
}

static inline void set_unlock(struct stoa_semaphore_set *set)
{
	uint32_t token = stoa_object_token(&set->object);

	/* release: pairs with the acquire in set_lock() */
	if (stoa_unlikely(!atomic_compare_exchange_strong_explicit(
	            &set->control->lock.word, &token, 0, memory_order_release,
	            memory_order_relaxed)))
		stoa_lock_release(&set->control->lock,
		                  stoa_object_token(&set->object));
}

/* Makes what the records say. Under the lock. */
void set_commit(struct stoa_semaphore_set *set, uint32_t count, uint32_t row);
void set_commit_one(struct stoa_semaphore_set *set, uint32_t semaphore,
                    uint32_t value);
void set_commit_all(struct stoa_semaphore_set *set, const uint16_t *values);

/* Undoes what bears the token, once; wakes who waited for it. */
int set_bury(struct stoa_semaphore_set *set, uint32_t token,
             struct stoa_deadline deadline);
/* The dead that have a row. */
void set_bury_rows(struct stoa_semaphore_set *set);

/* The row of this handle; SET_NO_ROW. */
uint32_t set_own_row(struct stoa_semaphore_set *set);
/* The same, claimed if there is none yet. SET_NO_ROW: all are taken. */
uint32_t set_claim_row(struct stoa_semaphore_set *set);

/* ---- Events --------------------------------------------------------------------- */

/* Wakes all who sleep on any semaphore. */
void set_broadcast(struct stoa_object *object);
void set_wake_slowly(struct set_semaphore *semaphore, int64_t sum);

/* Whether anybody sleeps on the semaphore. relaxed: the lock orders truth and
 * events, see EVENTS. */
static inline uint32_t set_asked(struct set_semaphore *semaphore)
{
	return (set_get(semaphore->increased) | set_get(semaphore->zero)) &
	       EVENT_ANYBODY;
}

/* Wakes those for whom it may be enough that `sum` was added. */
static inline void set_wake(struct set_semaphore *semaphore, int64_t sum)
{
	if (stoa_unlikely(set_asked(semaphore)))
		set_wake_slowly(semaphore, sum);
}

/* ---- Operating (semaphore_set_operate.c) ------------------------------------------ */

int set_ready(struct stoa_object *object, unsigned direction,
              const struct stoa_wait *wait);

/* ---- What calls have in common (semaphore_set.c) ---------------------------------- */

/* Begins and ends a call that needs the lock and has no deadline. */
int set_begin(struct stoa_semaphore_set *set);
int set_end(struct stoa_semaphore_set *set, int result);
int set_no_such(struct stoa_semaphore_set *set, uint32_t semaphore);
int set_damaged(struct stoa_semaphore_set *set);

/* The value in a word, or -EUCLEAN. */
static inline int set_value(struct stoa_semaphore_set *set, uint64_t word)
{
	uint32_t value = SET_WORD_VALUE(word);

	if (stoa_likely(value <= STOA_SEMAPHORE_SET_VALUE_MAX))
		return (int)value;
	return set_damaged(set);
}

#endif
