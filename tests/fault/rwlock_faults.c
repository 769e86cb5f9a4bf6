/* SPDX-License-Identifier: MIT */
/* Every operation on rwlocks while its n-th system call fails. */
#include "inject.h"

static struct stoa_rwlock *lock, *other;

static struct stoa_rwlock *make_rwlock(struct stage *stage)
{
	struct stoa_rwlock_attributes attributes = {
		.size = sizeof(attributes),
		.preference = stage->order == STOA_FIFO ? STOA_RWLOCK_READERS
		                                        : STOA_RWLOCK_WRITERS,
		.readers = 2,
	};
	struct stoa_rwlock *made = (struct stoa_rwlock *)&made;
	int result = stoa_rwlock_open(stage->space, "l", STOA_CREATE, 0640,
	                              &attributes, &made);

	if (result == 0)
		return made;
	assert_ptr_equal(made, &made);
	return NULL;
}

static void with_lock(struct stage *stage)
{
	with_space(stage);
	lock = make_rwlock(stage);
	assert_non_null(lock);
}

static void with_two(struct stage *stage)
{
	with_lock(stage);
	other = make_rwlock(stage);
	assert_non_null(other);
}

/* The lock is free, and both ways to have it work. */
static void after_all(struct stage *stage, long long result)
{
	struct stoa_rwlock_status status = { .size = sizeof(status) };

	(void)result;
	assert_ok(stoa_rwlock_lock_write(lock, STOA_NOW));
	assert_ok(stoa_rwlock_unlock(lock));
	assert_ok(stoa_rwlock_lock_read(lock, STOA_NOW));
	assert_ok(stoa_rwlock_unlock(lock));
	assert_ok(stoa_rwlock_stat(lock, &status));
	assert_int_equal(status.state, STOA_RWLOCK_FREE);
	assert_int_equal(status.readers_waiting + status.writers_waiting, 0);
	stoa_rwlock_close(lock);
	stoa_rwlock_close(other);
	lock = other = NULL;
	assert_ok(stoa_rwlock_unlink(stage->space, "l"));
}

static void after_locked(struct stage *stage, long long result)
{
	if (result == 0)
		assert_ok(stoa_rwlock_unlock(lock));
	after_all(stage, result);
}

/* ---- Lifecycle ---------------------------------------------------------- */

static long long create_lock(struct stage *stage)
{
	return stoa_rwlock_open(stage->space, "l", STOA_CREATE, 0640, NULL,
	                        &lock);
}

static void after_create(struct stage *stage, long long result)
{
	if (result < 0) {
		if (!stage->lasting && access(case_path("l.rwlock"), F_OK) == 0)
			complain(stage, "left a stale name", 0);
		stoa_rwlock_unlink(stage->space, "l");
		assert_int_equal(create_lock(stage), 0);
	}
	after_all(stage, result);
}

static long long open_lock(struct stage *stage)
{
	return stoa_rwlock_open(stage->space, "l", 0, 0, NULL, &other);
}

static long long close_held(struct stage *stage)
{
	(void)stage;
	stoa_rwlock_close(other);
	other = NULL;
	return 0;
}

static void with_read_by_other(struct stage *stage)
{
	with_two(stage);
	assert_ok(stoa_rwlock_lock_read(other, STOA_NOW));
}

static void with_read(struct stage *stage)
{
	with_lock(stage);
	assert_ok(stoa_rwlock_lock_read(lock, STOA_NOW));
}

static void with_written(struct stage *stage)
{
	with_lock(stage);
	assert_ok(stoa_rwlock_lock_write(lock, STOA_NOW));
}

/* ---- Locking --------------------------------------------------------------- */

static long long lock_read(struct stage *stage)
{
	(void)stage;
	return stoa_rwlock_lock_read(lock, STOA_FOREVER);
}

static long long lock_write(struct stage *stage)
{
	(void)stage;
	return stoa_rwlock_lock_write(lock, STOA_FOREVER);
}

static long long unlock(struct stage *stage)
{
	(void)stage;
	return stoa_rwlock_unlock(lock);
}

static long long upgrade_and_downgrade(struct stage *stage)
{
	int result = stoa_rwlock_upgrade(lock);

	(void)stage;
	return result < 0 ? result : stoa_rwlock_downgrade(lock);
}

static void after_read(struct stage *stage, long long result)
{
	assert_int_equal(stoa_rwlock_held(lock), STOA_READ);
	assert_ok(stoa_rwlock_unlock(lock));
	after_all(stage, result);
}

/* ---- Waiting in vain, and for the dead ---------------------------------------- */

static void write_and_wait(void *context)
{
	assert_ok(stoa_rwlock_lock_write(context, STOA_NOW));
	report(0);
	await_order();
}

static void read_and_wait(void *context)
{
	assert_ok(stoa_rwlock_lock_read(context, STOA_NOW));
	report(0);
	await_order();
}

static void with_holder(struct stage *stage, void (*run)(void *), bool dead)
{
	with_lock(stage);
	stage->child = start_child(run, lock);
	await_report(&stage->child);
	if (dead)
		kill_child(&stage->child);
}

static void with_writer(struct stage *stage)
{
	with_holder(stage, write_and_wait, false);
}

static void with_dead_writer(struct stage *stage)
{
	with_holder(stage, write_and_wait, true);
}

static void with_dead_reader(struct stage *stage)
{
	with_holder(stage, read_and_wait, true);
}

static long long read_in_vain(struct stage *stage)
{
	(void)stage;
	return stoa_rwlock_lock_read(lock, stoa_deadline_in(SHORT_MS * MS));
}

static long long write_in_vain(struct stage *stage)
{
	(void)stage;
	return stoa_rwlock_lock_write(lock, stoa_deadline_in(SHORT_MS * MS));
}

static void after_vain(struct stage *stage, long long result)
{
	assert_true(result < 0);
	kill_child(&stage->child);
	assert_result(stoa_rwlock_lock_read(lock, STOA_FOREVER), -EOWNERDEAD);
	assert_ok(stoa_rwlock_consistent(lock));
	assert_ok(stoa_rwlock_unlock(lock));
	after_all(stage, result);
}

static void after_inherited(struct stage *stage, long long result)
{
	if (result != -EOWNERDEAD)
		assert_result(stoa_rwlock_lock_write(lock, STOA_FOREVER),
		              -EOWNERDEAD);
	assert_ok(stoa_rwlock_consistent(lock));
	assert_ok(stoa_rwlock_unlock(lock));
	after_all(stage, result);
}

static void after_forgotten(struct stage *stage, long long result)
{
	if (result == 0)
		assert_ok(stoa_rwlock_unlock(lock));
	after_all(stage, result);
}

static long long ask_stat(struct stage *stage)
{
	struct stoa_rwlock_status status = { .size = sizeof(status) };

	(void)stage;
	return stoa_rwlock_stat(lock, &status);
}

TEST(every_operation_fails_cleanly_or_succeeds)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(create_lock, with_space, after_create),
		OPERATION_AFTER(open_lock, with_lock, after_all),
		OPERATION_AFTER(close_held, with_read_by_other, after_all),
		OPERATION_AFTER(lock_read, with_lock, after_locked),
		OPERATION_AFTER(lock_write, with_lock, after_locked),
		OPERATION_AFTER(unlock, with_read, after_all),
		OPERATION_AFTER(unlock, with_written, after_all),
		OPERATION_AFTER(upgrade_and_downgrade, with_read, after_read),
		OPERATION_AFTER(ask_stat, with_lock, after_all),
	};

	sweep(operations, LENGTH(operations), STOA_PRIORITY);
}

TEST(waits_end_cleanly)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(read_in_vain, with_writer, after_vain),
		OPERATION_AFTER(write_in_vain, with_writer, after_vain),
	};

	sweep(operations, LENGTH(operations), STOA_FIFO);
}

TEST(the_dead_are_inherited_from)
{
	static const struct operation operations[] = {
		{ "lock_write", with_dead_writer, lock_write, after_inherited,
		  true },
		{ "lock_read", with_dead_writer, lock_read, after_inherited,
		  true },
		{ "lock_write", with_dead_reader, lock_write, after_forgotten,
		  true },
	};

	sweep(operations, LENGTH(operations), STOA_PRIORITY);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_fails_cleanly_or_succeeds),
	CASE(waits_end_cleanly),
	CASE(the_dead_are_inherited_from),
};
MAIN(cases)
