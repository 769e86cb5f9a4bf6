/* SPDX-License-Identifier: MIT */
/* dropin/lock.c: locks that handlers of signals may take. */
#include "lock.h"

#include "kernel.h"

#include <base/private_lock.h>

#include <signal.h>
#include <stdint.h>

/* Of this thread: how many it has, and the signals that were blocked before. */
static __thread unsigned depth __attribute__((tls_model("initial-exec")));
static __thread uint64_t before __attribute__((tls_model("initial-exec")));

void dropin_lock(struct stoa_lock *lock)
{
	uint64_t all = UINT64_MAX, mask;

	if (depth == 0) {
		dropin_kernel(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all,
		              (long)&mask, sizeof(mask));
		before = mask;
	}
	depth++;
	stoa_private_lock(lock);
}

void dropin_unlock(struct stoa_lock *lock)
{
	uint64_t mask = before;

	stoa_private_unlock(lock);
	if (--depth == 0)
		dropin_kernel(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0,
		              sizeof(mask));
}
