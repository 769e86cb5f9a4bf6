/* SPDX-License-Identifier: MIT */
/* base/private_lock.c: mutual exclusion in a process that may fork. */
#include <base/private_lock.h>

#define SPINS 100
#define EPOCH_MAX 0x7fffffffu

_Atomic uint32_t stoa_private_epoch = 1;

static int of_this_process(void *context, uint32_t token)
{
	const uint32_t *epoch = context;

	return token == *epoch;
}

void stoa_private_lock_slowly(struct stoa_lock *lock, uint32_t epoch)
{
	struct stoa_lock_owner owner = {
		.token = epoch,
		.spins = SPINS,
		.alive = of_this_process,
		.context = &epoch,
	};

	stoa_lock_acquire(lock, &owner, STOA_FOREVER);
}

void stoa_private_forked(void)
{
	uint32_t epoch = atomic_load_explicit(&stoa_private_epoch,
	                                      memory_order_relaxed);

	atomic_store_explicit(&stoa_private_epoch,
	                      epoch == EPOCH_MAX ? 1 : epoch + 1,
	                      memory_order_relaxed);
}
