/* SPDX-License-Identifier: MIT */
/* subjects.c: the nouns that the generic sweep knows. */
#include "subject.h"

extern const struct subject barrier_subject;
extern const struct subject circle_subject;
extern const struct subject condition_subject;
extern const struct subject heap_subject;
extern const struct subject limit_subject;
extern const struct subject mutex_subject;
extern const struct subject notify_subject;
extern const struct subject pair_subject;
extern const struct subject pipe_subject;
extern const struct subject port_subject;
extern const struct subject pool_subject;
extern const struct subject queue_subject;
extern const struct subject range_lock_subject;
extern const struct subject rwlock_subject;
extern const struct subject segment_subject;
extern const struct subject semaphore_subject;
extern const struct subject semaphore_set_subject;
extern const struct subject stream_subject;
extern const struct subject topic_subject;

const struct subject *const subjects[] = {
	&port_subject,
	&pool_subject,
	&heap_subject,
	&queue_subject,
	&limit_subject,
	&notify_subject,
	&semaphore_subject,
	&semaphore_set_subject,
	&mutex_subject,
	&condition_subject,
	&rwlock_subject,
	&barrier_subject,
	&range_lock_subject,
	&stream_subject,
	&segment_subject,
	&pipe_subject,
	&pair_subject,
	&circle_subject,
	&topic_subject,
	NULL
};
