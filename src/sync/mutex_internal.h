/* SPDX-License-Identifier: MIT */
/* sync/mutex_internal.h: what the mutex's sources share. */
#ifndef STOA_SYNC_MUTEX_INTERNAL_H
#define STOA_SYNC_MUTEX_INTERNAL_H

#include <base/cpu.h>
#include <space/event.h>
#include <space/object.h>
#include <stoa/mutex.h>
#include <sync/mutex_layout.h>

#include <errno.h>

struct stoa_mutex {
	struct stoa_object object;
	struct mutex_shared *shared;

	/* Checked at open, constant since; never read from the file again. */
	enum stoa_mutex_kind kind;
	uint64_t made_ticks;
	int64_t made_ns;

	/* The agent that locked it through this handle, or 0. */
	_Atomic uint64_t locked;
	_Atomic int64_t asked_ns; /* observers, whether the owner lives */
	/* All of this process: for threads that end. Under mutex_list. */
	struct stoa_mutex *next, **link;
};

/* seq_cst: EVENT_DEKKER, MUTEX_WAKING. */
static inline uint64_t mutex_owner(const struct stoa_mutex *mutex)
{
	return atomic_load_explicit(&mutex->shared->owner,
	                            memory_order_seq_cst);
}

static inline int mutex_exchange(struct stoa_mutex *mutex, uint64_t expected,
                                 uint64_t desired)
{
	/* seq_cst: EVENT_DEKKER, MUTEX_WAKING; as acq_rel each pairs with the
	 * next owner's */
	return atomic_compare_exchange_strong_explicit(
	        &mutex->shared->owner, &expected, desired, memory_order_seq_cst,
	        memory_order_relaxed);
}

/* Nobody's, and a lock would succeed. */
static inline int mutex_unowned(uint64_t word)
{
	return word == MUTEX_FREE || word == MUTEX_ORPHANED;
}

/* The handle is one of the process's, or is not any more. */
int mutex_enlist(struct stoa_mutex *mutex);
void mutex_delist(struct stoa_mutex *mutex);
/* What the ending thread holds is to be given up. */
void mutex_watch_thread(struct stoa_thread *thread);

/* Gives up what `agent` of this process has: see transition 7. */
void mutex_abandon(struct stoa_mutex *mutex, uint64_t agent);

/* The mutex was unlocked: tells who waits. */
void mutex_tell(struct stoa_mutex *mutex);

/* For people: the thread begins to wait, or has ended. */
struct mutex_waiter *mutex_list_waiter(struct stoa_mutex *mutex,
                                       uint64_t agent);
void mutex_unlist_waiter(struct mutex_waiter *waiter, uint64_t agent);

int mutex_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait);

/* ---- Threads of this process ---------------------------------------------- */

struct mutex_thread {
	struct stoa_held held;
	int32_t tid; /* whose list `held` is on; 0: none's */
};

extern __thread struct mutex_thread mutex_thread_here
        __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Every call begins here: 0, and who calls. */
static inline int mutex_begin(struct stoa_mutex *mutex, uint64_t *ret_agent)
{
	int result = stoa_object_enter(&mutex->object);

	if (stoa_unlikely(result < 0))
		return result;
	*ret_agent = stoa_object_agent(&mutex->object);
	if (stoa_unlikely(*ret_agent == 0))
		return -EAGAIN;
	/* A forked child has another thread number of the kernel's. */
	if (stoa_unlikely(mutex_thread_here.tid != stoa_thread_here.tid))
		mutex_watch_thread(&stoa_thread_here);
	return 0;
}

#endif
