/* SPDX-License-Identifier: MIT */
/* dropin/posix_memory_symbols.c: libc's names for POSIX shared memory. */
#include "posix_memory.h"
#include "symbol.h"

#include <sys/mman.h>

LIBC_CALL int libc_shm_open(const char *name, int flags, mode_t mode);
LIBC_CALL int libc_shm_unlink(const char *name);

LIBC_CALL int libc_shm_open(const char *name, int flags, mode_t mode)
{
	return (int)libc_result(dropin_shm_open(name, flags, mode));
}

LIBC_CALL int libc_shm_unlink(const char *name)
{
	return (int)libc_result(dropin_shm_unlink(name));
}

LIBC_SYMBOL(libc_shm_open, shm_open, LIBC_2_34);
LIBC_OLD_SYMBOL(libc_shm_open, libc_shm_open_old, shm_open, LIBC_BASE);
LIBC_SYMBOL(libc_shm_unlink, shm_unlink, LIBC_2_34);
LIBC_OLD_SYMBOL(libc_shm_unlink, libc_shm_unlink_old, shm_unlink, LIBC_BASE);
