/* SPDX-License-Identifier: MIT */
/* dropin/semaphore_set_symbols.c: libc's names of the semaphore sets. */
#include "calls.h"
#include "symbol.h"

#include <stdarg.h>

LIBC_CALL int libc_semget(key_t key, int count, int flags);
LIBC_CALL int libc_semop(int id, struct sembuf *operations, size_t count);
LIBC_CALL int libc_semtimedop(int id, struct sembuf *operations, size_t count,
                              const struct timespec *timeout);
LIBC_CALL int libc_semctl(int id, int semaphore, int command, ...);

LIBC_CALL int libc_semget(key_t key, int count, int flags)
{
	return (int)libc_result(dropin_semget(key, count, flags));
}

LIBC_CALL int libc_semop(int id, struct sembuf *operations, size_t count)
{
	return (int)libc_result(
	        dropin_semtimedop(id, operations, count, NULL));
}

LIBC_CALL int libc_semtimedop(int id, struct sembuf *operations, size_t count,
                              const struct timespec *timeout)
{
	return (int)libc_result(
	        dropin_semtimedop(id, operations, count, timeout));
}

/* The fourth is fetched whatever was passed: an int, a pointer, or a union of
 * them, which travels as a word; commands that have none don't look at it. */
LIBC_CALL int libc_semctl(int id, int semaphore, int command, ...)
{
	unsigned long argument;
	va_list list;

	va_start(list, command);
	argument = va_arg(list, unsigned long);
	va_end(list);
	return (int)libc_result(
	        dropin_semctl(id, semaphore, command, argument));
}

LIBC_SYMBOL(libc_semget, semget, LIBC_BASE);
LIBC_SYMBOL(libc_semop, semop, LIBC_BASE);
LIBC_SYMBOL(libc_semtimedop, semtimedop, LIBC_2_3_3);
LIBC_SYMBOL(libc_semctl, semctl, LIBC_BASE);
