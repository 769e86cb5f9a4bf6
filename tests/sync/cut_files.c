/* SPDX-License-Identifier: MIT */
/* Locks whose file is cut short while they are open: with the guard each call
 * that meets the hole says so, whatever it read there. */
#include "support.h"

static void cut(const char *name)
{
	assert_ok(stoa_guard());
	assert_system(truncate(case_path(name), 0));
}

TEST(a_mutex_that_was_cut_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_mutex *mutex;

	assert_ok(stoa_mutex_open(space, "m", STOA_CREATE, 0600, NULL, &mutex));
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	assert_ok(stoa_mutex_unlock(mutex));
	cut("m.mutex");
	assert_result(stoa_mutex_held(mutex), -EIO);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EIO);
	stoa_mutex_close(mutex);
	unlink(case_path("m.mutex"));
	stoa_space_close(space);
}

TEST(an_rwlock_that_was_cut_while_it_was_read_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_rwlock *rwlock;

	assert_ok(stoa_rwlock_open(space, "r", STOA_CREATE, 0600, NULL,
	                           &rwlock));
	assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
	cut("r.rwlock");
	assert_result(stoa_rwlock_lock_read(rwlock, STOA_NOW), -EIO);
	stoa_rwlock_close(rwlock);
	unlink(case_path("r.rwlock"));
	stoa_space_close(space);
}

TEST(a_range_lock_that_was_cut_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock;

	assert_ok(stoa_range_lock_open(space, "l", STOA_CREATE, 0600, NULL,
	                               &lock));
	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	cut("l.range_lock");
	assert_result(stoa_range_lock_lock(lock, NULL, STOA_NOW), -EIO);
	stoa_range_lock_close(lock);
	unlink(case_path("l.range_lock"));
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_mutex_that_was_cut_is_told),
	CASE(an_rwlock_that_was_cut_while_it_was_read_is_told),
	CASE(a_range_lock_that_was_cut_is_told),
};

MAIN(cases)
