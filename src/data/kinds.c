/* SPDX-License-Identifier: MIT */
/* data/kinds.c: the kinds of object that this build knows. */
#include <data/kinds.h>
#include <memory/kinds.h>
#include <sync/kinds.h>

const struct stoa_object_kind *const stoa_object_kinds[] = {
	&stoa_queue_kind,
	&stoa_port_kind,
	&stoa_mutex_kind,
	&stoa_condition_kind,
	&stoa_semaphore_kind,
	&stoa_semaphore_set_kind,
	&stoa_range_lock_kind,
	&stoa_stream_kind,
	&stoa_topic_kind,
	&stoa_rwlock_kind,
	&stoa_barrier_kind,
	&stoa_segment_kind,
	&stoa_heap_kind,
	&stoa_pool_kind,
	NULL,
};
