/* SPDX-License-Identifier: MIT */
/* base/lock.c: the internal lock. */
#include <base/cpu.h>
#include <base/deadline.h>
#include <base/futex.h>
#include <base/lock.h>

#include <errno.h>

#define WAITERS 0x80000000u

static int exchange(struct stoa_lock *lock, uint32_t expected, uint32_t desired)
{
	/* acquire: pairs with the release in release(), or with nothing when
	 * the owner died (its writes ended before the kernel said so) */
	return atomic_compare_exchange_strong_explicit(
	        &lock->word, &expected, desired, memory_order_acquire,
	        memory_order_relaxed);
}

static int dead(const struct stoa_lock_owner *owner, uint32_t word)
{
	return word != 0 && !owner->alive(owner->context, word & ~WAITERS);
}

static int acquire_slowly(struct stoa_lock *lock,
                          const struct stoa_lock_owner *owner,
                          struct stoa_deadline deadline)
{
	uint32_t keep = 0; /* WAITERS once slept */
	int result = 0;

	for (int i = 0; i < owner->spins; i++) {
		stoa_cpu_pause();
		if (atomic_load_explicit(&lock->word, memory_order_relaxed) ==
		            0 &&
		    exchange(lock, 0, owner->token))
			return 0;
	}
	for (;;) {
		uint32_t word = atomic_load_explicit(&lock->word,
		                                     memory_order_relaxed);
		int64_t left = stoa_deadline_left(deadline);

		if (word == 0 || word == WAITERS) {
			if (exchange(lock, word,
			             owner->token | keep | word))
				return 0;
		} else if (dead(owner, word)) {
			if (exchange(lock, word, owner->token | WAITERS))
				return 0;
		} else if (left == 0) {
			break;
		} else if ((word & WAITERS) ||
		           exchange(lock, word, word | WAITERS)) {
			result = stoa_futex_wait(&lock->word, word | WAITERS,
			                         left < STOA_SLICE_NS ?
			                                 left :
			                                 STOA_SLICE_NS);
			keep = WAITERS;
		}
		if (left == 0 || (result == -EINTR && owner->interruptible))
			break;
	}
	/* This one may have been woken in another's stead. */
	if (keep)
		stoa_futex_wake(&lock->word, 1);
	return result == -EINTR && owner->interruptible ?
	               -EINTR :
	               stoa_deadline_result(deadline);
}

int stoa_lock_acquire(struct stoa_lock *lock,
                      const struct stoa_lock_owner *owner,
                      struct stoa_deadline deadline)
{
	if (stoa_likely(stoa_lock_try(lock, owner->token)))
		return 0;
	return acquire_slowly(lock, owner, deadline);
}

void stoa_lock_release(struct stoa_lock *lock, uint32_t token)
{
	uint32_t word = token;

	/* release: pairs with the acquire in exchange() */
	if (stoa_likely(atomic_compare_exchange_strong_explicit(
	            &lock->word, &word, 0, memory_order_release,
	            memory_order_relaxed)))
		return;
	word = token | WAITERS;
	if (atomic_compare_exchange_strong_explicit(
	            &lock->word, &word, 0, memory_order_release,
	            memory_order_relaxed))
		stoa_futex_wake(&lock->word, 1);
	/* Else others took us for dead, or somebody scribbled: not ours. */
}
