/* SPDX-License-Identifier: MIT */
/* sync/rwlock_internal.h: what the files of the rwlock share. */
#ifndef STOA_SYNC_RWLOCK_INTERNAL_H
#define STOA_SYNC_RWLOCK_INTERNAL_H

#include <space/event.h>
#include <stoa/rwlock.h>
#include <sync/kinds.h>
#include <sync/rwlock_layout.h>

#include <errno.h>

#define RWLOCK_HINTS 64

/* What a thread of this process has through this handle; the thread's alone
 * while the shared word that belongs to it bears its agent. */
struct rwlock_hold {
	_Alignas(STOA_CACHE_LINE) struct stoa_held held;
	struct stoa_rwlock *rwlock;
	_Atomic uint64_t agent; /* whose list it is on; 0: on none */
	_Atomic int32_t pid;    /* of that process: a forked child's copy is void */
	uint32_t count;
	int told_of_death; /* the writer's; nothing is mended yet */
};

struct stoa_rwlock {
	struct stoa_object object;
	struct rwlock_shared *shared;
	struct rwlock_waiter *waiters;
	struct rwlock_entry *entries;
	uint32_t readers; /* entries; checked at open */
	uint32_t preference;
	uint64_t made_ticks;
	int64_t made_ns;
	_Atomic uint32_t hint[RWLOCK_HINTS]; /* entry + 1, by thread; 0: none */
	struct rwlock_hold writer;
	struct rwlock_hold *reader; /* one for each entry */
};

/* One who asks for the lock. */
struct rwlock_call {
	struct stoa_rwlock *rwlock;
	uint64_t me;
	int ask;   /* whether who is in the way lives */
	int brief; /* won't wait, so mustn't keep others off */
	uint64_t blocker; /* the agent that was found in the way */
	uint64_t edge;    /* the same if nobody else could make room: for notes */
};

static inline int rwlock_alive(struct stoa_rwlock *rwlock, uint64_t word)
{
	return stoa_life_alive(&rwlock->object.space->life, AGENT_PEER(word));
}

/* Entries that may have been taken. */
static inline uint32_t rwlock_used(struct stoa_rwlock *rwlock)
{
	/* seq_cst: RWLOCK_DEKKER */
	uint32_t used = atomic_load_explicit(&rwlock->shared->used,
	                                     memory_order_seq_cst);

	return used < rwlock->readers ? used : rwlock->readers;
}

/* Whether one could have it now, without taking it. */
int rwlock_ready(struct stoa_object *object, unsigned direction,
                 const struct stoa_wait *wait);

/* Gives up what the calling thread has through the handle, which closes. */
void rwlock_give_up(struct stoa_rwlock *rwlock);

/* Among those whom others see waiting: the place, -1 if there is no room.
 * `place` is what it said before. */
int rwlock_enlist(struct rwlock_call *call, unsigned direction, int place);
void rwlock_delist(struct rwlock_call *call, unsigned direction, int place);

#endif
