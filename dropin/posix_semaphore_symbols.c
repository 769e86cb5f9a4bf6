/* SPDX-License-Identifier: MIT */
/* dropin/posix_semaphore_symbols.c: libc's names for POSIX semaphores. A call
 * that doesn't wait does nothing that libc's doesn't. */
#include "cancel.h"
#include "posix_semaphore.h"
#include "symbol.h"

#include <fcntl.h>
#include <stdarg.h>

LIBC_CALL sem_t *libc_sem_open(const char *name, int flags, ...);
LIBC_CALL int libc_sem_close(sem_t *semaphore);
LIBC_CALL int libc_sem_unlink(const char *name);
LIBC_CALL int libc_sem_init(sem_t *semaphore, int shared, unsigned value);
LIBC_CALL int libc_sem_destroy(sem_t *semaphore);
LIBC_CALL int libc_sem_wait(sem_t *semaphore);
LIBC_CALL int libc_sem_trywait(sem_t *semaphore);
LIBC_CALL int libc_sem_timedwait(sem_t *semaphore,
                                 const struct timespec *deadline);
LIBC_CALL int libc_sem_clockwait(sem_t *semaphore, clockid_t clock,
                                 const struct timespec *deadline);
LIBC_CALL int libc_sem_post(sem_t *semaphore);
LIBC_CALL int libc_sem_getvalue(sem_t *semaphore, int *ret_value);

LIBC_CALL sem_t *libc_sem_open(const char *name, int flags, ...)
{
	unsigned value = 0;
	sem_t *semaphore;
	mode_t mode = 0;
	va_list list;

	if (flags & O_CREAT) {
		va_start(list, flags);
		mode = va_arg(list, mode_t);
		value = va_arg(list, unsigned);
		va_end(list);
	}
	if (libc_result(dropin_sem_open(name, flags, mode, value, &semaphore)) <
	    0)
		return SEM_FAILED;
	return semaphore;
}

LIBC_CALL int libc_sem_close(sem_t *semaphore)
{
	return (int)libc_result(dropin_sem_close(semaphore));
}

LIBC_CALL int libc_sem_unlink(const char *name)
{
	return (int)libc_result(dropin_sem_unlink(name));
}

LIBC_CALL int libc_sem_init(sem_t *semaphore, int shared, unsigned value)
{
	return (int)libc_result(dropin_sem_init(semaphore, shared, value));
}

LIBC_CALL int libc_sem_destroy(sem_t *semaphore)
{
	(void)semaphore;
	return 0;
}

LIBC_CALL int libc_sem_wait(sem_t *semaphore)
{
	dropin_cancel_point();
	if (__builtin_expect(dropin_sem_take((struct semaphore *)semaphore), 1))
		return 0;
	return (int)libc_result(
	        dropin_sem_wait(semaphore, CLOCK_REALTIME, NULL));
}

LIBC_CALL int libc_sem_trywait(sem_t *semaphore)
{
	if (dropin_sem_take((struct semaphore *)semaphore))
		return 0;
	return (int)libc_result(-EAGAIN);
}

LIBC_CALL int libc_sem_clockwait(sem_t *semaphore, clockid_t clock,
                                 const struct timespec *deadline)
{
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
		return (int)libc_result(-EINVAL);
	if ((deadline->tv_nsec < 0 || deadline->tv_nsec > 999999999) &&
	    !DROPIN_FAULT(71))
		return (int)libc_result(-EINVAL);
	dropin_cancel_point();
	if (__builtin_expect(dropin_sem_take((struct semaphore *)semaphore), 1))
		return 0;
	return (int)libc_result(dropin_sem_wait(semaphore, clock, deadline));
}

LIBC_CALL int libc_sem_timedwait(sem_t *semaphore,
                                 const struct timespec *deadline)
{
	return libc_sem_clockwait(semaphore, CLOCK_REALTIME, deadline);
}

LIBC_CALL int libc_sem_post(sem_t *semaphore)
{
	int result = dropin_sem_post((struct semaphore *)semaphore);

	if (__builtin_expect(result < 0, 0))
		return (int)libc_result(result);
	return 0;
}

LIBC_CALL int libc_sem_getvalue(sem_t *semaphore, int *ret_value)
{
	uint64_t data =
	        atomic_load_explicit(&((struct semaphore *)semaphore)->data,
	                             memory_order_relaxed);

	*ret_value = (int)SEMAPHORE_VALUE(data) + (DROPIN_FAULT(72) ? 1 : 0);
	return 0;
}

#define BOTH(name)                                       \
	LIBC_SYMBOL(libc_##name, name, LIBC_2_34); \
	LIBC_OLD_SYMBOL(libc_##name, libc_##name##_old, name, LIBC_BASE)

BOTH(sem_open);
BOTH(sem_close);
BOTH(sem_unlink);
BOTH(sem_init);
BOTH(sem_destroy);
BOTH(sem_wait);
BOTH(sem_trywait);
BOTH(sem_timedwait);
BOTH(sem_post);
BOTH(sem_getvalue);
LIBC_SYMBOL(libc_sem_clockwait, sem_clockwait, LIBC_2_34);
LIBC_OLD_SYMBOL(libc_sem_clockwait, libc_sem_clockwait_old, sem_clockwait,
                LIBC_2_30);
