/* SPDX-License-Identifier: MIT */
/*
 * dropin/lock.h: the internal lock (base/private_lock.h) for what a handler of
 * signals may do, too. While a thread has such a lock all its signals are
 * blocked: no handler finds a lock that the thread below it has, and none
 * leaves one behind by siglongjmp(). Two system calls, so not for fast paths.
 * They nest.
 */
#ifndef DROPIN_LOCK_H
#define DROPIN_LOCK_H

#include <base/lock.h>

void dropin_lock(struct stoa_lock *lock);
void dropin_unlock(struct stoa_lock *lock);

#endif
