/* SPDX-License-Identifier: MIT */
/* Every operation on barriers while its n-th system call fails. */
#include "inject.h"

static struct stoa_barrier *barrier, *other;

static int open_it(struct stage *stage, uint32_t count,
                   struct stoa_barrier **ret_barrier)
{
	struct stoa_barrier_attributes attributes = {
		.size = sizeof(attributes),
		.count = count,
		.death = stage->order == STOA_FIFO ? STOA_BARRIER_BREAKS
		                                   : STOA_BARRIER_FORGETS,
	};

	return stoa_barrier_open(stage->space, "b", STOA_CREATE, 0640,
	                         &attributes, ret_barrier);
}

static void with_one(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(open_it(stage, 1, &barrier), 0);
}

static void with_two(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(open_it(stage, 2, &barrier), 0);
}

/* Nobody has come, and a round of it works. */
static void after_all(struct stage *stage, long long result)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };

	(void)result;
	assert_ok(stoa_barrier_stat(barrier, &status));
	assert_int_equal(status.waiting, 0);
	if (status.count == 1)
		assert_result(stoa_barrier_wait(barrier, STOA_NOW),
		              STOA_BARRIER_SERIAL);
	else
		assert_result(stoa_barrier_wait(barrier, STOA_NOW), -EAGAIN);
	stoa_barrier_close(barrier);
	stoa_barrier_close(other);
	barrier = other = NULL;
	assert_ok(stoa_barrier_unlink(stage->space, "b"));
}

static long long create_barrier(struct stage *stage)
{
	return open_it(stage, 1, &barrier);
}

static void after_create(struct stage *stage, long long result)
{
	if (result < 0) {
		if (!stage->lasting &&
		    access(case_path("b.barrier"), F_OK) == 0)
			complain(stage, "left a stale name", 0);
		stoa_barrier_unlink(stage->space, "b");
		assert_int_equal(create_barrier(stage), 0);
	}
	after_all(stage, result);
}

static long long open_barrier(struct stage *stage)
{
	return stoa_barrier_open(stage->space, "b", 0, 0, NULL, &other);
}

static long long close_barrier(struct stage *stage)
{
	(void)stage;
	stoa_barrier_close(other);
	other = NULL;
	return 0;
}

static void with_both(struct stage *stage)
{
	with_one(stage);
	assert_ok(open_barrier(stage));
}

static long long wait_alone(struct stage *stage)
{
	(void)stage;
	return stoa_barrier_wait(barrier, STOA_FOREVER);
}

static long long wait_in_vain(struct stage *stage)
{
	(void)stage;
	return stoa_barrier_wait(barrier, stoa_deadline_in(SHORT_MS * MS));
}

/* One question that the kernel doesn't answer: the next sleep asks again. The
 * barrier that forgets the dead waits in vain. */
static long long wait_with_dead(struct stage *stage)
{
	int64_t ms = stage->order == STOA_FIFO ? AMPLE_MS : 3 * SHORT_MS;

	return stoa_barrier_wait(barrier, stoa_deadline_in(ms * MS));
}

static long long ask_stat(struct stage *stage)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };

	(void)stage;
	return stoa_barrier_stat(barrier, &status);
}

/* ---- The dead --------------------------------------------------------------- */

static void wait_for_ever(void *context)
{
	report(0);
	stoa_barrier_wait(context, STOA_FOREVER);
}

static void with_dead_waiter(struct stage *stage)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };

	with_space(stage);
	assert_int_equal(open_it(stage, 3, &barrier), 0);
	stage->child = start_child(wait_for_ever, barrier);
	await_report(&stage->child);
	until_blocked(stage->child.pid);
	do {
		assert_ok(stoa_barrier_stat(barrier, &status));
	} while (status.waiting == 0);
	kill_child(&stage->child);
}

TEST(every_operation_fails_cleanly_or_succeeds)
{
	static const struct operation operations[] = {
		OPERATION_AFTER(create_barrier, with_space, after_create),
		OPERATION_AFTER(open_barrier, with_one, after_all),
		OPERATION_AFTER(close_barrier, with_both, after_all),
		OPERATION_AFTER(wait_alone, with_one, after_all),
		OPERATION_AFTER(wait_in_vain, with_two, after_all),
		OPERATION_AFTER(ask_stat, with_one, after_all),
	};

	sweep(operations, LENGTH(operations), STOA_PRIORITY);
}

TEST(the_dead_are_told_of_or_forgotten)
{
	static const struct operation operations[] = {
		{ "wait_with_dead", with_dead_waiter, wait_with_dead, after_all,
		  true },
	};

	sweep(operations, LENGTH(operations), STOA_PRIORITY);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_fails_cleanly_or_succeeds),
	CASE(the_dead_are_told_of_or_forgotten),
};
MAIN(cases)
