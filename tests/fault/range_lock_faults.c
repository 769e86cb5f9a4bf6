/* SPDX-License-Identifier: MIT */
/* Every operation on range locks, and waits that are shown and checked for
 * circles, while the n-th system call fails. */
#include "inject.h"
#include "range_lock.h"

enum { SOME_MS = 240 /* some slices of a wait: a circle missed in the first is
                       * found in the next, also on a busy machine */ };

static struct stoa_range_lock *lock, *other;
static struct child holder;

static void close_both(void)
{
	stoa_range_lock_close(lock);
	stoa_range_lock_close(other);
	lock = other = NULL;
}

static void with_lock(struct stage *stage)
{
	with_space(stage);
	lock = make_range_lock(stage->space, "l", 8);
}

static void with_two(struct stage *stage)
{
	struct stoa_range range = exclusive(0, 10);

	with_lock(stage);
	other = make_range_lock(stage->space, "l", 8);
	assert_ok(stoa_range_lock_lock(other, &range, STOA_NOW));
}

/* ---- Lifecycle ---------------------------------------------------------- */

static long long create_lock(struct stage *stage)
{
	struct stoa_range_lock *made = (struct stoa_range_lock *)&made;
	int result = stoa_range_lock_open(stage->space, "l", STOA_CREATE, 0640,
	                                  NULL, &made);

	if (result == 0)
		lock = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static void after_create(struct stage *stage, long long result)
{
	if (result < 0) {
		if (!stage->lasting &&
		    access(case_path("l.range_lock"), F_OK) == 0)
			complain(stage, "left a stale name", 0);
		stoa_range_lock_unlink(stage->space, "l");
		assert_int_equal(create_lock(stage), 0);
	}
	close_both();
	assert_ok(stoa_range_lock_unlink(stage->space, "l"));
}

static long long create_unnamed(struct stage *stage)
{
	return stoa_range_lock_open(stage->space, NULL, STOA_CREATE, 0600, NULL,
	                            &lock);
}

static void after_unnamed(struct stage *stage, long long result)
{
	if (result < 0)
		assert_int_equal(create_unnamed(stage), 0);
	close_both();
}

static void after_all(struct stage *stage, long long result)
{
	(void)result;
	close_both();
	stoa_range_lock_unlink(stage->space, "l");
}

static long long open_lock(struct stage *stage)
{
	return stoa_range_lock_open(stage->space, "l", 0, 0, NULL, &other);
}

static void after_open(struct stage *stage, long long result)
{
	if (result < 0)
		assert_int_equal(open_lock(stage), 0);
	assert_ok(stoa_range_lock_lock(other, NULL, STOA_NOW));
	after_all(stage, result);
}

static long long close_lock(struct stage *stage)
{
	(void)stage;
	stoa_range_lock_close(other);
	other = NULL;
	return 0;
}

static void after_close(struct stage *stage, long long result)
{
	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	after_all(stage, result);
}

/* ---- Ranges -------------------------------------------------------------- */

static long long lock_one(struct stage *stage)
{
	struct stoa_range range = exclusive(20, 10);

	(void)stage;
	return stoa_range_lock_lock(lock, &range, STOA_NOW);
}

static void after_lock(struct stage *stage, long long result)
{
	assert_int_equal(status_of(other).ranges, result == 0 ? 2 : 1);
	after_all(stage, result);
}

static long long lock_held(struct stage *stage)
{
	(void)stage;
	return stoa_range_lock_lock(lock, NULL, STOA_NOW);
}

static long long wait_in_vain(struct stage *stage)
{
	(void)stage;
	return stoa_range_lock_lock(lock, NULL,
	                            stoa_deadline_in(AMPLE_MS * MS));
}

/* Nothing stays in line, or shown, or locked. */
static void after_vain(struct stage *stage, long long result)
{
	assert_true(result < 0);
	assert_int_equal(status_of(other).ranges, 1);
	assert_int_equal(status_of(other).waiting, 0);
	after_all(stage, result);
}

static long long unlock_part(struct stage *stage)
{
	struct stoa_range range = exclusive(3, 1);

	(void)stage;
	return stoa_range_lock_unlock(other, &range);
}

static void after_unlock(struct stage *stage, long long result)
{
	assert_int_equal(result, 0);
	assert_int_equal(status_of(other).ranges, 2);
	after_all(stage, result);
}

static long long test_one(struct stage *stage)
{
	(void)stage;
	return stoa_range_lock_test(lock, NULL, NULL);
}

static long long stat_it(struct stage *stage)
{
	struct stoa_range_lock_status status = { .size = sizeof(status) };

	(void)stage;
	return stoa_range_lock_stat(lock, &status);
}

static int ignore(const struct stoa_waiting *waiting, void *context)
{
	(void)waiting;
	(void)context;
	return 0;
}

static long long list_waiting(struct stage *stage)
{
	return stoa_space_each_waiting(stage->space, 0, ignore, NULL);
}

/* ---- The dead --------------------------------------------------------------- */

static void hold_and_wait(void *context)
{
	assert_ok(stoa_range_lock_lock(context, NULL, STOA_NOW));
	report(0);
	await_order();
}

static void with_dead_holder(struct stage *stage)
{
	with_lock(stage);
	holder = start_child(hold_and_wait, lock);
	await_report(&holder);
	kill_child(&holder);
}

static long long lock_of_dead(struct stage *stage)
{
	struct stoa_range range = shared(0, 10);

	(void)stage;
	return stoa_range_lock_lock(lock, &range,
	                            stoa_deadline_in(AMPLE_MS * MS));
}

static void after_dead(struct stage *stage, long long result)
{
	if (result < 0)
		assert_int_equal(lock_of_dead(stage), 0);
	after_all(stage, result);
}

TEST(every_operation_fails_cleanly_or_succeeds)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(create_lock, with_space, after_create),
		OPERATION_AFTER(create_unnamed, with_space, after_unnamed),
		OPERATION_AFTER(open_lock, with_lock, after_open),
		OPERATION_AFTER(close_lock, with_two, after_close),
		OPERATION_AFTER(lock_one, with_two, after_lock),
		OPERATION_AFTER(lock_held, with_two, after_vain),
		OPERATION_AFTER(unlock_part, with_two, after_unlock),
		OPERATION_AFTER(test_one, with_two, after_all),
		OPERATION_AFTER(stat_it, with_two, after_all),
		OPERATION_AFTER(list_waiting, with_two, after_all),
		/* Who can't be asked about may live. */
		{ "lock_of_dead", with_dead_holder, lock_of_dead, after_dead,
		  true },
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

TEST(a_wait_ends_whatever_fails_on_the_way)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(wait_in_vain, with_two, after_vain),
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_fails_cleanly_or_succeeds),
	CASE(a_wait_ends_whatever_fails_on_the_way),
};

MAIN(cases)
