/* SPDX-License-Identifier: MIT */
/* range_lock.h: what tests of range locks share. */
#ifndef RANGE_LOCK_H
#define RANGE_LOCK_H

#include "support.h"

#include <time.h>

static inline struct stoa_range_lock *make_range_lock(struct stoa_space *space,
                                                      const char *name,
                                                      uint64_t capacity)
{
	struct stoa_range_lock_attributes attributes = {
		.size = sizeof(attributes), .capacity = capacity
	};
	struct stoa_range_lock *lock;

	assert_ok(stoa_range_lock_open(space, name, STOA_CREATE, 0600,
	                               &attributes, &lock));
	return lock;
}

static inline struct stoa_range range_of(uint64_t start, uint64_t length,
                                         uint32_t mode)
{
	return (struct stoa_range){ start, length, mode, 0 };
}

static inline struct stoa_range shared(uint64_t start, uint64_t length)
{
	return range_of(start, length, STOA_RANGE_SHARED);
}

static inline struct stoa_range exclusive(uint64_t start, uint64_t length)
{
	return range_of(start, length, STOA_RANGE_EXCLUSIVE);
}

static inline struct stoa_range_lock_status
status_of(struct stoa_range_lock *lock)
{
	struct stoa_range_lock_status status = { .size = sizeof(status) };

	assert_ok(stoa_range_lock_stat(lock, &status));
	return status;
}

static inline void take_a_breath(void)
{
	nanosleep(&(struct timespec){ 0, 200000 }, NULL);
}

/* Waits until so many have a place in line. */
static inline void until_in_line(struct stoa_range_lock *lock, uint64_t waiting)
{
	while (status_of(lock).waiting != waiting)
		take_a_breath();
}

static inline int count_waiting(const struct stoa_waiting *waiting,
                                void *context)
{
	(void)waiting;
	++*(int *)context;
	return 0;
}

/* Waits until so many threads of the space are shown to wait. */
static inline void until_shown(struct stoa_space *space, int count)
{
	int shown;

	do {
		shown = 0;
		assert_good(stoa_space_each_waiting(space, 0, count_waiting,
		                                    &shown));
	} while (shown != count);
}

static inline void close_range_lock(struct stoa_space *space,
                                    struct stoa_range_lock *lock,
                                    const char *name)
{
	stoa_range_lock_close(lock);
	if (name)
		assert_ok(stoa_range_lock_unlink(space, name));
	stoa_space_close(space);
}

#endif
