/* SPDX-License-Identifier: MIT */
/* dropin/syscall.c: the drop-in's calls by number: programs that go around
 * libc's names by syscall() meet the same objects. Each noun has its own
 * switch. */
#include "syscall.h"

#include "calls.h"

#include <sys/syscall.h>

/* The kernel's names have no slash. */
static int queue_call(long number, const long a[6], long *ret_result)
{
	switch (number) {
	case SYS_mq_open:
		*ret_result = dropin_mq_open((const char *)a[0], (int)a[1],
		                             (mode_t)a[2],
		                             (const struct mq_attr *)a[3]);
		return 1;
	case SYS_mq_unlink:
		*ret_result = dropin_mq_unlink((const char *)a[0]);
		return 1;
	case SYS_mq_timedsend:
		*ret_result = dropin_mq_timedsend(
		        (mqd_t)a[0], (const char *)a[1], (size_t)a[2],
		        (unsigned)a[3], (const struct timespec *)a[4]);
		return 1;
	case SYS_mq_timedreceive:
		*ret_result = dropin_mq_timedreceive(
		        (mqd_t)a[0], (char *)a[1], (size_t)a[2],
		        (unsigned *)a[3], (const struct timespec *)a[4]);
		return 1;
	case SYS_mq_notify:
		*ret_result = dropin_mq_notify((mqd_t)a[0],
		                               (const struct sigevent *)a[1]);
		return 1;
	case SYS_mq_getsetattr:
		*ret_result = dropin_mq_getsetattr(
		        (mqd_t)a[0], (const struct mq_attr *)a[1],
		        (struct mq_attr *)a[2]);
		return 1;
	default:
		return 0;
	}
}

int dropin_syscall(long number, const long argument[6], long *ret_result)
{
	return queue_call(number, argument, ret_result);
}
