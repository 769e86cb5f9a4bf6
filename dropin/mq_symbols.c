/* SPDX-License-Identifier: MIT */
/* dropin/mq_symbols.c: libc's names of the calls on message queues. */
#include "calls.h"
#include "symbol.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* What succeeds leaves errno as it was, whatever was tried on the way. */
static long result_of(long result, int errno_before)
{
	errno = errno_before;
	return libc_result(result);
}

LIBC_CALL mqd_t libc_mq_open(const char *name, int flags, ...);
LIBC_CALL mqd_t libc_mq_open_2(const char *name, int flags);
LIBC_CALL int libc_mq_close(mqd_t queue);
LIBC_CALL int libc_mq_unlink(const char *name);
LIBC_CALL int libc_mq_send(mqd_t queue, const char *data, size_t bytes,
                           unsigned priority);
LIBC_CALL int libc_mq_timedsend(mqd_t queue, const char *data, size_t bytes,
                                unsigned priority,
                                const struct timespec *deadline);
LIBC_CALL ssize_t libc_mq_receive(mqd_t queue, char *buffer, size_t bytes,
                                  unsigned *ret_priority);
LIBC_CALL ssize_t libc_mq_timedreceive(mqd_t queue, char *buffer, size_t bytes,
                                       unsigned *ret_priority,
                                       const struct timespec *deadline);
LIBC_CALL int libc_mq_notify(mqd_t queue, const struct sigevent *notification);
LIBC_CALL int libc_mq_getattr(mqd_t queue, struct mq_attr *ret_attributes);
LIBC_CALL int libc_mq_setattr(mqd_t queue, const struct mq_attr *attributes,
                              struct mq_attr *ret_before);

/* ---- Names --------------------------------------------------------------------- */

LIBC_CALL mqd_t libc_mq_open(const char *name, int flags, ...)
{
	const struct mq_attr *attributes = NULL;
	int before = errno;
	mode_t mode = 0;

	if (name[0] != '/')
		return (mqd_t)libc_result(-EINVAL);
	if (flags & O_CREAT) {
		va_list list;

		va_start(list, flags);
		mode = va_arg(list, mode_t);
		attributes = va_arg(list, const struct mq_attr *);
		va_end(list);
	}
	return (mqd_t)result_of(
	        dropin_mq_open(name + 1, flags, mode, attributes), before);
}

/* What a fortified program calls without mode and attributes. */
LIBC_CALL mqd_t libc_mq_open_2(const char *name, int flags)
{
	if (flags & O_CREAT) {
		fputs("*** invalid mq_open call: O_CREAT without mode and "
		      "attr ***: terminated\n",
		      stderr);
		abort();
	}
	return libc_mq_open(name, flags);
}

LIBC_CALL int libc_mq_close(mqd_t queue)
{
	int before = errno;

	return (int)result_of(dropin_mq_close(queue), before);
}

/* Where the directory's sticky bit forbids it, POSIX says EACCES. */
LIBC_CALL int libc_mq_unlink(const char *name)
{
	int before = errno, result;

	if (name[0] != '/')
		return (int)libc_result(-EINVAL);
	result = dropin_mq_unlink(name + 1);
	return (int)result_of(result == -EPERM ? -EACCES : result, before);
}

/* ---- Messages -------------------------------------------------------------------- */

LIBC_CALL int libc_mq_send(mqd_t queue, const char *data, size_t bytes,
                           unsigned priority)
{
	return (int)libc_result(
	        dropin_mq_timedsend(queue, data, bytes, priority, NULL));
}

LIBC_CALL int libc_mq_timedsend(mqd_t queue, const char *data, size_t bytes,
                                unsigned priority,
                                const struct timespec *deadline)
{
	return (int)libc_result(
	        dropin_mq_timedsend(queue, data, bytes, priority, deadline));
}

LIBC_CALL ssize_t libc_mq_receive(mqd_t queue, char *buffer, size_t bytes,
                                  unsigned *ret_priority)
{
	return libc_result(dropin_mq_timedreceive(queue, buffer, bytes,
	                                          ret_priority, NULL));
}

LIBC_CALL ssize_t libc_mq_timedreceive(mqd_t queue, char *buffer, size_t bytes,
                                       unsigned *ret_priority,
                                       const struct timespec *deadline)
{
	return libc_result(dropin_mq_timedreceive(queue, buffer, bytes,
	                                          ret_priority, deadline));
}

LIBC_CALL int libc_mq_notify(mqd_t queue, const struct sigevent *notification)
{
	int before = errno;

	return (int)result_of(dropin_mq_notify(queue, notification), before);
}

LIBC_CALL int libc_mq_getattr(mqd_t queue, struct mq_attr *ret_attributes)
{
	int before = errno;

	return (int)result_of(dropin_mq_getsetattr(queue, NULL, ret_attributes),
	                      before);
}

LIBC_CALL int libc_mq_setattr(mqd_t queue, const struct mq_attr *attributes,
                              struct mq_attr *ret_before)
{
	int before = errno;

	return (int)result_of(dropin_mq_getsetattr(queue, attributes,
	                                           ret_before),
	                      before);
}

/* ---- Versions: in libc itself since 2.34, before that in librt ---------------------- */

#define BOTH(name)                                                        \
	LIBC_SYMBOL(libc_##name, name, LIBC_2_34);                        \
	LIBC_OLD_SYMBOL(libc_##name, libc_##name##_old, name, LIBC_2_3_4)

BOTH(mq_open);
BOTH(mq_close);
BOTH(mq_unlink);
BOTH(mq_send);
BOTH(mq_timedsend);
BOTH(mq_receive);
BOTH(mq_timedreceive);
BOTH(mq_notify);
BOTH(mq_getattr);
BOTH(mq_setattr);
LIBC_SYMBOL(libc_mq_open_2, __mq_open_2, LIBC_2_34);
LIBC_OLD_SYMBOL(libc_mq_open_2, libc_mq_open_2_old, __mq_open_2, LIBC_2_7);
