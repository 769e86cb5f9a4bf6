/* SPDX-License-Identifier: MIT */
/* sync/kinds.h: the kinds of object that are for taking turns. */
#ifndef STOA_SYNC_KINDS_H
#define STOA_SYNC_KINDS_H

#include <space/object.h>

/* Numbers of those that may stand in the caller's memory: struct stoa_place. */
enum {
	KIND_SEMAPHORE = 1,
	KIND_SEMAPHORE_SET,
	KIND_MUTEX,
	KIND_CONDITION,
	KIND_RWLOCK,
	KIND_BARRIER,
	KIND_RANGE_LOCK
};

extern const struct stoa_object_kind stoa_mutex_kind;
extern const struct stoa_object_kind stoa_condition_kind;
extern const struct stoa_object_kind stoa_semaphore_kind;
extern const struct stoa_object_kind stoa_semaphore_set_kind;
extern const struct stoa_object_kind stoa_range_lock_kind;
extern const struct stoa_object_kind stoa_rwlock_kind;
extern const struct stoa_object_kind stoa_barrier_kind;

#endif
