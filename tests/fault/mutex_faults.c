/* SPDX-License-Identifier: MIT */
/* Every operation on mutexes and conditions while its n-th system call
 * fails. */
#include "inject.h"

static struct stoa_mutex *mutex, *other;
static struct stoa_condition *condition;

static int open_mutex(struct stage *stage, unsigned flags,
                      struct stoa_mutex **ret_mutex)
{
	struct stoa_mutex *made = (struct stoa_mutex *)&made;
	int result = stoa_mutex_open(stage->space, "m", flags, 0640, NULL,
	                             &made);

	if (result == 0)
		*ret_mutex = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static void with_mutex(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(open_mutex(stage, STOA_CREATE, &mutex), 0);
}

static void with_locked(struct stage *stage)
{
	with_mutex(stage);
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
}

static void with_locked_by_other(struct stage *stage)
{
	with_mutex(stage);
	assert_int_equal(open_mutex(stage, 0, &other), 0);
	assert_ok(stoa_mutex_lock(other, STOA_NOW));
}

/* The mutex is free and works. */
static void after_all(struct stage *stage, long long result)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };

	(void)result;
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	assert_ok(stoa_mutex_unlock(mutex));
	assert_ok(stoa_mutex_stat(mutex, &status));
	assert_int_equal(status.state, STOA_MUTEX_FREE);
	assert_int_equal(status.waiters, 0);
	stoa_mutex_close(mutex);
	stoa_mutex_close(other);
	mutex = other = NULL;
	assert_ok(stoa_mutex_unlink(stage->space, "m"));
}

static void mend(void)
{
	assert_ok(stoa_mutex_consistent(mutex));
	assert_ok(stoa_mutex_unlock(mutex));
}

/* ---- Lifecycle ---------------------------------------------------------- */

static long long create(struct stage *stage)
{
	return open_mutex(stage, STOA_CREATE, &mutex);
}

static void after_create(struct stage *stage, long long result)
{
	if (result < 0) {
		if (!stage->lasting && access(case_path("m.mutex"), F_OK) == 0)
			complain(stage, "left a stale name", 0);
		stoa_mutex_unlink(stage->space, "m");
		assert_int_equal(create(stage), 0);
	}
	after_all(stage, result);
}

static long long open_it(struct stage *stage)
{
	return open_mutex(stage, 0, &other);
}

static long long close_locked(struct stage *stage)
{
	(void)stage;
	stoa_mutex_close(other);
	other = NULL;
	return 0;
}

static void after_close(struct stage *stage, long long result)
{
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EOWNERDEAD);
	mend();
	after_all(stage, result);
}

/* ---- Locking ------------------------------------------------------------- */

static long long lock(struct stage *stage)
{
	(void)stage;
	return stoa_mutex_lock(mutex, STOA_FOREVER);
}

static void after_lock(struct stage *stage, long long result)
{
	if (result == 0)
		assert_ok(stoa_mutex_unlock(mutex));
	after_all(stage, result);
}

static long long unlock(struct stage *stage)
{
	(void)stage;
	return stoa_mutex_unlock(mutex);
}

static void after_unlock(struct stage *stage, long long result)
{
	if (result < 0)
		assert_ok(stoa_mutex_unlock(mutex));
	after_all(stage, result);
}

static long long ask_stat(struct stage *stage)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };

	(void)stage;
	return stoa_mutex_stat(mutex, &status);
}

/* ---- Waiting in vain, and for the dead ------------------------------------ */

static void lock_and_stay(void *context)
{
	assert_ok(stoa_mutex_lock(context, STOA_NOW));
	report(0);
	await_order();
}

static void with_owner(struct stage *stage)
{
	with_mutex(stage);
	stage->child = start_child(lock_and_stay, mutex);
	await_report(&stage->child);
}

static void with_dead_owner(struct stage *stage)
{
	with_owner(stage);
	kill_child(&stage->child);
}

static long long lock_in_vain(struct stage *stage)
{
	(void)stage;
	return stoa_mutex_lock(mutex, stoa_deadline_in(SHORT_MS * MS));
}

static void after_vain(struct stage *stage, long long result)
{
	assert_true(result < 0 && result != -EOWNERDEAD);
	kill_child(&stage->child);
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -EOWNERDEAD);
	mend();
	after_all(stage, result);
}

static void after_dead(struct stage *stage, long long result)
{
	if (result != -EOWNERDEAD)
		assert_result(stoa_mutex_lock(mutex, STOA_FOREVER),
		              -EOWNERDEAD);
	mend();
	after_all(stage, result);
}

/* ---- Conditions ------------------------------------------------------------- */

static long long create_condition(struct stage *stage)
{
	struct stoa_condition *made = (struct stoa_condition *)&made;
	int result = stoa_condition_open(stage->space, "c", STOA_CREATE, 0640,
	                                 NULL, &made);

	if (result == 0)
		condition = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static void with_condition(struct stage *stage)
{
	with_locked(stage);
	assert_int_equal(create_condition(stage), 0);
}

/* Nobody waits, and waiting works. */
static void after_condition(struct stage *stage, long long result)
{
	(void)result;
	assert_result(stoa_mutex_held(mutex), 1);
	assert_result(stoa_condition_signal(condition), 0);
	assert_result(stoa_condition_wait(condition, mutex, STOA_NOW), -EAGAIN);
	assert_ok(stoa_mutex_unlock(mutex));
	stoa_condition_close(condition);
	condition = NULL;
	assert_ok(stoa_condition_unlink(stage->space, "c"));
	after_all(stage, result);
}

static void after_create_condition(struct stage *stage, long long result)
{
	if (result < 0) {
		if (!stage->lasting &&
		    access(case_path("c.condition"), F_OK) == 0)
			complain(stage, "left a stale name", 0);
		stoa_condition_unlink(stage->space, "c");
		assert_int_equal(create_condition(stage), 0);
	}
	after_condition(stage, result);
}

static long long wait_in_vain(struct stage *stage)
{
	(void)stage;
	return stoa_condition_wait(condition, mutex,
	                           stoa_deadline_in(SHORT_MS * MS));
}

static void wait_and_end(void *context)
{
	(void)context;
	assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
	assert_ok(stoa_condition_wait(condition, mutex, STOA_FOREVER));
	assert_ok(stoa_mutex_unlock(mutex));
}

static void with_waiter(struct stage *stage)
{
	struct stoa_condition_status status = { .size = sizeof(status) };

	with_condition(stage);
	assert_ok(stoa_mutex_unlock(mutex));
	stage->child = start_child(wait_and_end, NULL);
	do {
		assert_ok(stoa_condition_stat(condition, &status));
	} while (status.waiters == 0);
	until_blocked(stage->child.pid);
}

static void with_dead_waiter(struct stage *stage)
{
	with_waiter(stage);
	kill_child(&stage->child);
}

static long long signal_one(struct stage *stage)
{
	(void)stage;
	return stoa_condition_signal(condition);
}

/* 1 when it can't be asked whether the waiter lives. */
static long long signal_dead(struct stage *stage)
{
	int result = stoa_condition_signal(condition);

	(void)stage;
	return result < 0 ? result : 0;
}

static void after_signal(struct stage *stage, long long result)
{
	if (result != 1)
		assert_result(stoa_condition_signal(condition), 1);
	end_child(&stage->child);
	assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
	after_condition(stage, result);
}

static void after_signal_dead(struct stage *stage, long long result)
{
	assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
	after_condition(stage, result);
}

TEST(every_operation_fails_cleanly_or_succeeds)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(create, with_space, after_create),
		OPERATION_AFTER(open_it, with_mutex, after_all),
		OPERATION_AFTER(close_locked, with_locked_by_other, after_close),
		OPERATION_AFTER(lock, with_mutex, after_lock),
		OPERATION_AFTER(unlock, with_locked, after_unlock),
		OPERATION_AFTER(ask_stat, with_mutex, after_all),
		OPERATION_AFTER(create_condition, with_locked,
		                after_create_condition),
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

TEST(waits_end_cleanly)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(lock_in_vain, with_owner, after_vain),
		OPERATION_AFTER(wait_in_vain, with_condition, after_condition),
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

TEST(the_dead_are_inherited_from)
{
	static const struct operation operations[] = {
		{ "lock", with_dead_owner, lock, after_dead, true },
		{ "signal_dead", with_dead_waiter, signal_dead, after_signal_dead,
		  true },
		{ "signal_one", with_waiter, signal_one, after_signal, true },
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_fails_cleanly_or_succeeds),
	CASE(waits_end_cleanly),
	CASE(the_dead_are_inherited_from),
};
MAIN(cases)
