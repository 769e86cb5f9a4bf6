/* SPDX-License-Identifier: MIT */
/* dropin/syscall.h: system calls by number, as syscall(2) has them. */
#ifndef DROPIN_SYSCALL_H
#define DROPIN_SYSCALL_H

/* 1: it is one of the drop-in's, and *ret_result is 0 or more, or -errno. */
int dropin_syscall(long number, const long argument[6], long *ret_result);

/* Is it one after which the process may be somebody else? */
int dropin_syscall_becomes(long number);

#endif
