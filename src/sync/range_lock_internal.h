/* SPDX-License-Identifier: MIT */
/* sync/range_lock_internal.h: what the files of the range lock share. See
 * range_lock_layout.h for the protocol. */
#ifndef STOA_SYNC_RANGE_LOCK_INTERNAL_H
#define STOA_SYNC_RANGE_LOCK_INTERNAL_H

#include <space/object.h>
#include <space/waits.h>
#include <sync/kinds.h>
#include <sync/range_lock_layout.h>

#define RANGE_BLOCKERS WAITS_BLOCKERS /* that a request takes note of */
#define RANGE_BURIALS 512 /* tries past the dead: forged tokens have no end */

/* relaxed: changed under the table's lock only, or checked under it again. */
#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), value, memory_order_relaxed)

struct stoa_range_lock {
	struct stoa_object object;
	uint32_t capacity;
	struct range_control *control;
	struct range_waiter *waiters;
	struct range_record *records;
	/* 1: something was locked by it; 2: for the process, too. */
	_Atomic uint32_t used;
};

struct range_blocker {
	uint64_t word;
	uint64_t start, last;
	int waiting; /* in line before, not holding */
};

struct range_request {
	uint64_t start, last; /* grow when neighbours are merged */
	uint64_t owner;
	uint32_t mode; /* STOA_RANGE_SHARED, _EXCLUSIVE; 0: unlock */
	uint32_t token;
	uint32_t thread;
	uint32_t place; /* in line, + 1; 0: none */
	int process;    /* is the owner, not the handle */
	int queueing;   /* take a place when somebody is in the way */
	int pass;       /* whoever is in line */
	int eased;      /* set: others may have found more room */
	uint32_t blockers;
	struct range_blocker blocker[RANGE_BLOCKERS];
};

static inline struct range_record *range_at(struct stoa_range_lock *lock,
                                            uint32_t number)
{
	return stoa_likely(number - 1 < lock->capacity) ?
	               &lock->records[number - 1] :
	               NULL;
}

static inline uint32_t range_number(const struct stoa_range_lock *lock,
                                    const struct range_record *record)
{
	return (uint32_t)(record - lock->records) + 1;
}

/* Records that were ever used; the word is foreign. */
static inline uint32_t range_fresh(const struct stoa_range_lock *lock)
{
	uint32_t fresh = get(lock->control->fresh);

	return fresh < lock->capacity ? fresh : lock->capacity;
}

static inline uint32_t range_waiters_used(const struct stoa_range_lock *lock)
{
	uint32_t used = get(lock->control->waiters_used);

	return used < RANGE_WAITERS ? used : RANGE_WAITERS;
}

/* ---- Index (range_lock_index.c); all under the table's lock --------------- */

void range_index_clear(struct stoa_range_lock *lock);
int range_index_listed(const struct range_record *record);
/* Both trees. 0, -EUCLEAN. */
int range_index_insert(struct stoa_range_lock *lock,
                       struct range_record *record);
int range_index_remove(struct stoa_range_lock *lock,
                       struct range_record *record);
/* The tree by place alone, around a change of `start` or `last` that keeps
 * the order of the owner's ranges. */
int range_index_remove_place(struct stoa_range_lock *lock,
                             struct range_record *record);
int range_index_insert_place(struct stoa_range_lock *lock,
                             struct range_record *record);

/* The first of the owner's ranges that ends at `from` or after it; NULL. */
struct range_record *range_index_own(struct stoa_range_lock *lock,
                                     uint64_t owner, uint64_t from);

/* Notes ranges of others that are in the request's way, by start, up to
 * RANGE_BLOCKERS. 0, -EUCLEAN. */
int range_index_conflicts(struct stoa_range_lock *lock,
                          struct range_request *request);

/* ---- Table (range_lock_table.c) -------------------------------------------- */

/* Gets the table's lock, with an index that is true. 0, -EAGAIN, -ETIMEDOUT,
 * -EUCLEAN. */
int range_turn_begin(struct stoa_range_lock *lock,
                     struct stoa_deadline deadline);
void range_turn_end(struct stoa_range_lock *lock);

/* Under the table's lock. 0: nobody is in the way; -EAGAIN: request->blocker
 * are. -EUCLEAN. */
int range_admit(struct stoa_range_lock *lock, struct range_request *request);
/* Gives the owner the range in the mode, or takes it away (mode 0). 0,
 * -ENOLCK: nothing was changed; -EUCLEAN. */
int range_apply(struct stoa_range_lock *lock, struct range_request *request);

/* A place in line, under the table's lock; and out of it, without. */
void range_line_enter(struct stoa_range_lock *lock,
                      struct range_request *request);
void range_line_leave(struct stoa_range_lock *lock,
                      struct range_request *request);

/* Unlocks without the table's lock what is a whole range of the owner's, as
 * burial does. -ETIMEDOUT: a part of one was asked for, which takes the lock. */
int range_release_unturned(struct stoa_range_lock *lock,
                           struct range_request *request);

int range_bury(struct stoa_object *object, uint32_t token);
/* Has those swept that were freed without the table's lock and aren't said to
 * be yet. Without the table's lock. */
void range_find_freed(struct stoa_range_lock *lock);

/* 0: *request is the caller's `range`. -EINVAL. */
int range_read_request(struct stoa_range_lock *lock,
                       const struct stoa_range *range,
                       struct range_request *request);
/* 1: some of the blockers were dead, and are buried now. */
int range_bury_blockers(struct stoa_range_lock *lock,
                        const struct range_request *request);
/* Of the seat that the word's token names; 0: nobody sits there. */
stoa_peer range_peer_of(struct stoa_range_lock *lock, uint64_t word);
int range_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait);
int range_end(struct stoa_range_lock *lock, int result);

#endif
