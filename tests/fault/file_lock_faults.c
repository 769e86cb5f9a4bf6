/* SPDX-License-Identifier: MIT */
/* Every operation on locks of files while its n-th system call fails. */
#include "inject.h"

static struct stoa_file_lock *lock, *other;

static int open_it(struct stoa_file_lock **ret_lock)
{
	return stoa_file_lock_open(case_path("f"),
	                           STOA_READ | STOA_WRITE | STOA_CREATE, 0600,
	                           ret_lock);
}

static void with_lock(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(open_it(&lock), 0);
}

static void with_two(struct stage *stage)
{
	with_lock(stage);
	assert_int_equal(open_it(&other), 0);
}

static void with_held(struct stage *stage)
{
	with_two(stage);
	assert_ok(stoa_file_lock_lock(other, STOA_RANGE_EXCLUSIVE, STOA_NOW));
	assert_ok(stoa_file_lock_lock_range(other, NULL, STOA_NOW));
}

/* Whatever failed: the lock is free, or this handle's, and works. */
static void after_all(struct stage *stage, long long result)
{
	(void)stage, (void)result;
	stoa_file_lock_close(other);
	other = NULL;
	if (!lock)
		assert_int_equal(open_it(&lock), 0);
	assert_good(stoa_file_lock_lock(lock, STOA_RANGE_EXCLUSIVE, STOA_NOW));
	assert_ok(stoa_file_lock_lock_range(lock, NULL, STOA_NOW));
	assert_ok(stoa_file_lock_unlock(lock));
	assert_ok(stoa_file_lock_unlock_range(lock, NULL));
	stoa_file_lock_close(lock);
	lock = NULL;
	assert_system(unlink(case_path("f")));
}

static long long open_file(struct stage *stage)
{
	struct stoa_file_lock *made = (struct stoa_file_lock *)&made;
	int result = open_it(&made);

	(void)stage;
	if (result == 0)
		lock = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static long long adopt(struct stage *stage)
{
	(void)stage;
	return stoa_file_lock_adopt(stoa_file_lock_fd(lock), 0, &other);
}

static long long lock_whole(struct stage *stage)
{
	(void)stage;
	return stoa_file_lock_lock(lock, STOA_RANGE_EXCLUSIVE, STOA_FOREVER);
}

static long long lock_range(struct stage *stage)
{
	(void)stage;
	return stoa_file_lock_lock_range(lock, NULL, STOA_FOREVER);
}

static long long unlock_both(struct stage *stage)
{
	int result = stoa_file_lock_unlock(lock);

	(void)stage;
	return result ? result : stoa_file_lock_unlock_range(lock, NULL);
}

static long long wait_whole(struct stage *stage)
{
	(void)stage;
	return stoa_file_lock_lock(lock, STOA_RANGE_EXCLUSIVE,
	                           stoa_deadline_in(SHORT_MS * MS));
}

static long long wait_range(struct stage *stage)
{
	(void)stage;
	return stoa_file_lock_lock_range(lock, NULL,
	                                 stoa_deadline_in(SHORT_MS * MS));
}

static long long ask_stat(struct stage *stage)
{
	struct stoa_file_lock_status status = { .size = sizeof(status) };

	(void)stage;
	return stoa_file_lock_stat(lock, &status);
}

TEST(every_operation_on_a_lock_of_a_file_survives_every_failure)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(open_file, with_space, after_all),
		OPERATION_AFTER(adopt, with_lock, after_all),
		OPERATION_AFTER(lock_whole, with_two, after_all),
		OPERATION_AFTER(lock_range, with_two, after_all),
		OPERATION_AFTER(unlock_both, with_lock, after_all),
		OPERATION_AFTER(wait_whole, with_held, after_all),
		OPERATION_AFTER(wait_range, with_held, after_all),
		OPERATION_AFTER(ask_stat, with_lock, after_all),
	};

	sweep(operations, LENGTH(operations), 0);
}

/* The walk over /proc has as many calls as the machine has descriptors: the
 * first ones are of every sort. */
enum { CALLS = 40 };

static void test_failing(int error, unsigned n)
{
	struct stoa_file_lock_blocker blocker;
	int descriptors = count_descriptors();
	int whole, range;

	inject_at(error, n, false);
	whole = stoa_file_lock_test(lock, STOA_RANGE_SHARED, &blocker);
	injected();
	if (whole != 1 && whole != -error)
		fail_msg("call %u failing: the whole gave %d", n, whole);
	inject_at(error, n, false);
	range = stoa_file_lock_test_range(lock, NULL, &blocker);
	injected();
	if (range != 1 && range != -error)
		fail_msg("call %u failing: the range gave %d", n, range);
	assert_int_equal(count_descriptors(), descriptors);
}

TEST(a_lock_that_is_held_never_seems_free_while_looking_fails)
{
	static const int errors[] = { EMFILE, ENFILE, ENOMEM, EINTR,
		                      EACCES, EIO, ENOLCK };

	assert_int_equal(open_it(&lock), 0);
	assert_int_equal(open_it(&other), 0);
	assert_ok(stoa_file_lock_lock(other, STOA_RANGE_EXCLUSIVE, STOA_NOW));
	assert_ok(stoa_file_lock_lock_range(other, NULL, STOA_NOW));
	for (size_t e = 0; e < LENGTH(errors); e++)
		for (unsigned n = 1; n <= CALLS; n++)
			test_failing(errors[e], n);
	after_all(NULL, 0);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_on_a_lock_of_a_file_survives_every_failure),
	CASE(a_lock_that_is_held_never_seems_free_while_looking_fails),
};

MAIN(cases)
