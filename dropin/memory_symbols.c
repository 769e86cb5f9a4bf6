/* SPDX-License-Identifier: MIT */
/* dropin/memory_symbols.c: libc's names for System V's shared memory; and
 * munmap(), which detaches as shmdt() does. */
#include "calls.h"
#include "memory.h"
#include "symbol.h"

#include <sys/mman.h>

LIBC_CALL int libc_shmget(key_t key, size_t bytes, int flags);
LIBC_CALL void *libc_shmat(int id, const void *address, int flags);
LIBC_CALL int libc_shmdt(const void *address);
LIBC_CALL int libc_shmctl(int id, int command, struct shmid_ds *ds);
LIBC_CALL int libc_munmap(void *address, size_t bytes);

LIBC_CALL int libc_shmget(key_t key, size_t bytes, int flags)
{
	return (int)libc_result(dropin_shmget(key, bytes, flags));
}

LIBC_CALL void *libc_shmat(int id, const void *address, int flags)
{
	void *at;

	if (libc_result(dropin_shmat(id, address, flags, &at)) < 0)
		return (void *)-1;
	return at;
}

LIBC_CALL int libc_shmdt(const void *address)
{
	return (int)libc_result(dropin_shmdt(address));
}

LIBC_CALL int libc_shmctl(int id, int command, struct shmid_ds *ds)
{
	return (int)libc_result(dropin_shmctl(id, command, ds));
}

LIBC_CALL int libc_munmap(void *address, size_t bytes)
{
	return (int)libc_result(memory_munmap(address, bytes));
}

LIBC_SYMBOL(libc_shmget, shmget, LIBC_BASE);
LIBC_SYMBOL(libc_shmat, shmat, LIBC_BASE);
LIBC_SYMBOL(libc_shmdt, shmdt, LIBC_BASE);
LIBC_SYMBOL(libc_shmctl, shmctl, LIBC_BASE);
LIBC_SYMBOL(libc_munmap, munmap, LIBC_BASE);
