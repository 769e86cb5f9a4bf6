/* SPDX-License-Identifier: MIT */
/*
 * dropin/posix_memory.h: shm_open() and shm_unlink(). An object is a plain file
 * of the space, "shm.NAME.shared_memory", and what is returned is a descriptor
 * of it, as the kernel gives it: all that a program does with it is the kernel's
 * business. There is nothing that a death could leave.
 */
#ifndef DROPIN_POSIX_MEMORY_H
#define DROPIN_POSIX_MEMORY_H

#include <sys/types.h>

/* As libc's; the descriptor, or -errno. */
int dropin_shm_open(const char *name, int flags, mode_t mode);
int dropin_shm_unlink(const char *name);

#endif
