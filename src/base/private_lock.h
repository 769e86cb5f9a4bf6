/* SPDX-License-Identifier: MIT */
/*
 * base/private_lock.h: mutual exclusion among the threads of a process that may
 * fork at any time, in private memory. It's the internal lock (base/lock.h),
 * with the number of forks since the first process for its token: a lock that a
 * forked child finds taken was taken by a thread that it doesn't have, and is
 * taken over. What it protects may be half changed then; in a child that is
 * made anew (seats, subscriptions), or is whole after each store (lists).
 */
#ifndef STOA_BASE_PRIVATE_LOCK_H
#define STOA_BASE_PRIVATE_LOCK_H

#include <base/lock.h>

/* 1, and one more in each forked child (space/fork.c). */
extern _Atomic uint32_t stoa_private_epoch;

void stoa_private_lock_slowly(struct stoa_lock *lock, uint32_t epoch);

static inline void stoa_private_lock(struct stoa_lock *lock)
{
	uint32_t epoch = atomic_load_explicit(&stoa_private_epoch,
	                                      memory_order_relaxed);

	if (!stoa_lock_try(lock, epoch))
		stoa_private_lock_slowly(lock, epoch);
}

static inline void stoa_private_unlock(struct stoa_lock *lock)
{
	stoa_lock_release(lock, atomic_load_explicit(&stoa_private_epoch,
	                                             memory_order_relaxed));
}

/* In the child, while it has one thread. */
void stoa_private_forked(void);

#endif
