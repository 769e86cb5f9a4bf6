/* SPDX-License-Identifier: MIT */
/*
 * dropin/copy.h: memory that a program hands to a call, which may not be there:
 * -EFAULT, as the kernel says, and no fault of the program's. By a system call
 * (0.4 us), so not on paths that are short.
 */
#ifndef DROPIN_COPY_H
#define DROPIN_COPY_H

#include <stddef.h>

int dropin_copy_in(void *to, const void *from, size_t bytes);
int dropin_copy_out(void *to, const void *from, size_t bytes);

#endif
