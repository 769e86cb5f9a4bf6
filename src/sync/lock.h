/* SPDX-License-Identifier: MIT */
/*
 * sync/lock.h: the internal lock: one 32-bit word in shared memory whose owner
 * may die at any instruction.
 *
 *     31        30              0
 *     | waiters |     token      |    token 0: free
 *
 * Truth: the word. Transitions, all by compare-and-swap:
 *   0 -> token          acquire, seldom contended (acquire order)
 *   token -> token|W    a waiter is going to sleep
 *   token|W -> mine|W   a waiter found the owner dead: takeover. The bit
 *                       stays: others may sleep still
 *   token -> 0          release (release order); with W: wake one
 *   0 -> mine|W         whoever acquires after having slept keeps the bit, as
 *                       others may still sleep
 * States a death may leave: a dead token. A waiter finds it at the latest
 * after one slice (50 ms). What the lock protects must be able to tell that
 * it was being changed (a dirty word beside it).
 *
 * A token bears a generation: without it a newcomer on the dead owner's seat
 * would find its own name on the lock, and wait for itself.
 */
#ifndef STOA_SYNC_LOCK_H
#define STOA_SYNC_LOCK_H

#include <stoa/base.h>

#include <stdatomic.h>

struct stoa_lock {
	_Atomic uint32_t word;
};

/* Who asks, and how to find out about others. */
struct stoa_lock_owner {
	uint32_t token; /* 31 bits, not 0 */
	int spins;      /* before sleeping */
	int (*alive)(void *context, uint32_t token);
	void *context;
};

/* Without waiting, and without looking whether the owner lives: 1 acquired. */
static inline int stoa_lock_try(struct stoa_lock *lock, uint32_t token)
{
	uint32_t word = 0;

	/* acquire: pairs with the release in stoa_lock_release() */
	return atomic_compare_exchange_strong_explicit(&lock->word, &word,
	                                               token,
	                                               memory_order_acquire,
	                                               memory_order_relaxed);
}

/* 0: acquired. -EAGAIN, -ETIMEDOUT. */
int stoa_lock_acquire(struct stoa_lock *lock,
                      const struct stoa_lock_owner *owner,
                      struct stoa_deadline deadline);

void stoa_lock_release(struct stoa_lock *lock, uint32_t token);

#endif
