/* SPDX-License-Identifier: MIT */
/* dropin/descriptor_symbols.c: what closes and duplicates descriptors. The
 * kernel does it as ever; the table of what they mean follows. */
#include "descriptor.h"
#include "mq.h"
#include "symbol.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

LIBC_CALL int libc_close(int fd);
LIBC_CALL int libc_close_range(unsigned first, unsigned last, int flags);
LIBC_CALL void libc_closefrom(int first);
LIBC_CALL int libc_dup(int fd);
LIBC_CALL int libc_dup2(int fd, int copy);
LIBC_CALL int libc_dup3(int fd, int copy, int flags);
LIBC_CALL int libc_fcntl(int fd, int command, ...);
LIBC_CALL int libc_fcntl64(int fd, int command, ...);

/* The queue's side of it keeps errno. */
static void forget(int fd)
{
	int before = errno;

	mq_forget(fd);
	errno = before;
}

static void copied(int fd, int copy)
{
	int before = errno;

	mq_copy(fd, copy);
	errno = before;
}

LIBC_CALL int libc_close(int fd)
{
	if (mq_is(fd))
		forget(fd);
	return LIBC_REAL(int (*)(int), close)(fd);
}

LIBC_CALL int libc_close_range(unsigned first, unsigned last, int flags)
{
	int before = errno;

	if (flags == 0 && first <= last)
		mq_forget_range(first, last);
	errno = before;
	return LIBC_REAL(int (*)(unsigned, unsigned, int), close_range)(
	        first, last, flags);
}

LIBC_CALL void libc_closefrom(int first)
{
	int before = errno;

	mq_forget_range(first > 0 ? (unsigned)first : 0, UINT_MAX);
	errno = before;
	LIBC_REAL(void (*)(int), closefrom)(first);
}

LIBC_CALL int libc_dup(int fd)
{
	int copy = LIBC_REAL(int (*)(int), dup)(fd);

	if (copy >= 0)
		copied(fd, copy);
	return copy;
}

LIBC_CALL int libc_dup2(int fd, int copy)
{
	int result = LIBC_REAL(int (*)(int, int), dup2)(fd, copy);

	if (result >= 0)
		copied(fd, copy);
	return result;
}

LIBC_CALL int libc_dup3(int fd, int copy, int flags)
{
	int result = LIBC_REAL(int (*)(int, int, int), dup3)(fd, copy, flags);

	if (result >= 0)
		copied(fd, copy);
	return result;
}

/* One argument is fetched whatever was passed, as libc's does. */
#define FCNTL(name)                                                        \
	LIBC_CALL int libc_##name(int fd, int command, ...)                \
	{                                                                  \
		va_list list;                                              \
		void *argument;                                            \
		int result;                                                \
                                                                           \
		va_start(list, command);                                   \
		argument = va_arg(list, void *);                           \
		va_end(list);                                              \
		result = LIBC_REAL(int (*)(int, int, ...), name)(          \
		        fd, command, argument);                            \
		if (result >= 0 &&                                         \
		    (command == F_DUPFD || command == F_DUPFD_CLOEXEC))    \
			copied(fd, result);                                \
		return result;                                             \
	}

FCNTL(fcntl)
FCNTL(fcntl64)

LIBC_SYMBOL(libc_close, close, LIBC_BASE);
LIBC_SYMBOL(libc_close_range, close_range, LIBC_2_34);
LIBC_SYMBOL(libc_closefrom, closefrom, LIBC_2_34);
LIBC_SYMBOL(libc_dup, dup, LIBC_BASE);
LIBC_SYMBOL(libc_dup2, dup2, LIBC_BASE);
LIBC_SYMBOL(libc_dup3, dup3, LIBC_2_9);
LIBC_SYMBOL(libc_fcntl, fcntl, LIBC_BASE);
LIBC_SYMBOL(libc_fcntl64, fcntl64, LIBC_2_28);
