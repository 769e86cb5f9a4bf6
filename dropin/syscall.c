/* SPDX-License-Identifier: MIT */
/* dropin/syscall.c: the drop-in's calls by number: programs that go around
 * libc's names by syscall() meet the same objects. Each noun has its own
 * switch. */
#include "syscall.h"

#include "calls.h"

#include <sys/syscall.h>

/* Arguments as the system calls have them: each a word, of which an int is the
 * low half. */
static int system_v(long number, const long a[6], long *ret_result)
{
	switch (number) {
	case SYS_msgget:
		*ret_result = dropin_msgget((key_t)a[0], (int)a[1]);
		return 1;
	case SYS_msgsnd:
		*ret_result = dropin_msgsnd((int)a[0], (void *)a[1],
		                            (size_t)a[2], (int)a[3]);
		return 1;
	case SYS_msgrcv:
		*ret_result = dropin_msgrcv((int)a[0], (void *)a[1],
		                            (size_t)a[2], a[3], (int)a[4]);
		return 1;
	case SYS_msgctl:
		*ret_result = dropin_msgctl((int)a[0], (int)a[1], (void *)a[2]);
		return 1;
	case SYS_semget:
		*ret_result = dropin_semget((key_t)a[0], (int)a[1], (int)a[2]);
		return 1;
	case SYS_semop:
		*ret_result = dropin_semtimedop((int)a[0], (void *)a[1],
		                                (size_t)a[2], NULL);
		return 1;
	case SYS_semtimedop:
		*ret_result = dropin_semtimedop((int)a[0], (void *)a[1],
		                                (size_t)a[2], (void *)a[3]);
		return 1;
	case SYS_semctl:
		*ret_result = dropin_semctl((int)a[0], (int)a[1], (int)a[2],
		                            (unsigned long)a[3]);
		return 1;
	default:
		return 0;
	}
}

static long memory_attach(const long a[6])
{
	void *at;
	int result = dropin_shmat((int)a[0], (void *)a[1], (int)a[2], &at);

	return result < 0 ? result : (long)at;
}

static int memory_call(long number, const long a[6], long *ret_result)
{
	switch (number) {
	case SYS_shmget:
		*ret_result = dropin_shmget((key_t)a[0], (size_t)a[1],
		                            (int)a[2]);
		return 1;
	case SYS_shmat:
		*ret_result = memory_attach(a);
		return 1;
	case SYS_shmdt:
		*ret_result = dropin_shmdt((void *)a[0]);
		return 1;
	case SYS_shmctl:
		*ret_result = dropin_shmctl((int)a[0], (int)a[1], (void *)a[2]);
		return 1;
	default:
		return 0;
	}
}

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

int dropin_syscall_becomes(long number)
{
	switch (number) {
	case SYS_setuid:
	case SYS_setgid:
	case SYS_setreuid:
	case SYS_setregid:
	case SYS_setresuid:
	case SYS_setresgid:
	case SYS_setfsuid:
	case SYS_setfsgid:
	case SYS_setgroups:
	case SYS_capset:
		return 1;
	default:
		return 0;
	}
}

int dropin_syscall(long number, const long argument[6], long *ret_result)
{
	return system_v(number, argument, ret_result) ||
	       memory_call(number, argument, ret_result) ||
	       queue_call(number, argument, ret_result);
}
