/* SPDX-License-Identifier: MIT */
/*
 * dropin/posix_semaphore.h: POSIX semaphores, named or not. See
 * posix_semaphore_layout.h. All return 0 or -errno, as libc's of the name.
 */
#ifndef DROPIN_POSIX_SEMAPHORE_H
#define DROPIN_POSIX_SEMAPHORE_H

#include "fault.h"
#include "posix_semaphore_layout.h"

#include <errno.h>
#include <sys/types.h>
#include <time.h>

/* `mode` and `value` count with O_CREAT. */
int dropin_sem_open(const char *name, int flags, mode_t mode, unsigned value,
                    sem_t **ret_semaphore);
int dropin_sem_close(sem_t *semaphore);
int dropin_sem_unlink(const char *name);
int dropin_sem_init(sem_t *semaphore, int shared, unsigned value);

/* Waits, a cancellation point; until `deadline` on `clock`; NULL: for ever. */
int dropin_sem_wait(sem_t *semaphore, clockid_t clock,
                    const struct timespec *deadline);

/* Both at once, whoever is killed when. */
int dropin_sem_post_and_wake(struct semaphore *semaphore);

/* A permit if there is one. 1; 0: none. */
static inline int dropin_sem_take(struct semaphore *semaphore)
{
	/* relaxed: what fails promises nothing */
	uint64_t data = atomic_load_explicit(&semaphore->data,
	                                     memory_order_relaxed);

	while (SEMAPHORE_VALUE(data) > 0)
		/* acquire: pairs with the release of posts */
		if (__builtin_expect(atomic_compare_exchange_weak_explicit(
		                             &semaphore->data, &data, data - 1,
		                             memory_order_acquire,
		                             memory_order_relaxed),
		                     1))
			return 1;
	return 0;
}

static inline int dropin_sem_post(struct semaphore *semaphore)
{
	uint64_t data = atomic_load_explicit(&semaphore->data,
	                                     memory_order_relaxed);

	do {
		if (__builtin_expect(SEMAPHORE_VALUE(data) >=
		                             SEMAPHORE_VALUE_MAX,
		                     0) &&
		    !DROPIN_FAULT(68))
			return -EOVERFLOW;
		if (__builtin_expect(SEMAPHORE_WAITERS(data) > 0, 0))
			return dropin_sem_post_and_wake(semaphore);
		/* release: pairs with the acquire of who takes it */
	} while (!atomic_compare_exchange_weak_explicit(
	        &semaphore->data, &data, data + 1, memory_order_release,
	        memory_order_relaxed));
	/* The semaphore may be gone from here on: whoever has the permit may
	 * destroy it. */
	return 0;
}

#endif
