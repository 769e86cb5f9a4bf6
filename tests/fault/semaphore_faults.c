/* SPDX-License-Identifier: MIT */
/* Every operation on semaphores and sets while its n-th system call fails. */
#include "inject.h"

static struct stoa_semaphore *semaphore, *other;
static struct stoa_semaphore_set *set, *other_set;
static struct child holder;

static const uint16_t values[3] = { 1, 0, 5 };
static const struct stoa_semaphore_change take[2] = {
	{ 0, -1, STOA_SEMAPHORE_UNDO, 0 }, { 2, -2, STOA_SEMAPHORE_UNDO, 0 }
};

static void close_all(void)
{
	stoa_semaphore_close(semaphore);
	stoa_semaphore_close(other);
	stoa_semaphore_set_close(set);
	stoa_semaphore_set_close(other_set);
	semaphore = other = NULL;
	set = other_set = NULL;
}

static void after_all(struct stage *stage, long long result)
{
	(void)result;
	close_all();
	stoa_semaphore_unlink(stage->space, "s");
	stoa_semaphore_set_unlink(stage->space, "s");
}

/* ---- Lifecycle ---------------------------------------------------------- */

static long long create_semaphore(struct stage *stage)
{
	struct stoa_semaphore_attributes attributes = {
		.size = sizeof(attributes), .value = 2, .undo = 1
	};
	struct stoa_semaphore *made = (struct stoa_semaphore *)&made;
	int result = stoa_semaphore_open(stage->space, "s", STOA_CREATE, 0640,
	                                 &attributes, &made);

	if (result == 0)
		semaphore = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static long long create_set(struct stage *stage)
{
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = 3, .values = values
	};
	struct stoa_semaphore_set *made = (struct stoa_semaphore_set *)&made;
	int result = stoa_semaphore_set_open(stage->space, "s", STOA_CREATE,
	                                     0640, &attributes, &made);

	if (result == 0)
		set = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static void after_create(struct stage *stage, long long result)
{
	bool stale = access(case_path("s.semaphore"), F_OK) == 0 ||
	             access(case_path("s.semaphore_set"), F_OK) == 0;

	if (result < 0 && stale && !stage->lasting)
		complain(stage, "left a stale name", 0);
	after_all(stage, result);
	assert_int_equal(create_semaphore(stage), 0);
	assert_int_equal(create_set(stage), 0);
	after_all(stage, result);
}

static void with_both(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(create_semaphore(stage), 0);
	assert_int_equal(create_set(stage), 0);
}

static long long open_semaphore(struct stage *stage)
{
	return stoa_semaphore_open(stage->space, "s", 0, 0, NULL, &other);
}

static long long open_set(struct stage *stage)
{
	return stoa_semaphore_set_open(stage->space, "s", 0, 0, NULL,
	                               &other_set);
}

static void after_open(struct stage *stage, long long result)
{
	if (!other && !other_set)
		assert_int_equal(open_semaphore(stage), 0);
	if (other)
		assert_ok(stoa_semaphore_wait(other, 2, STOA_NOW));
	if (other_set)
		assert_result(stoa_semaphore_set_get(other_set, 2), 5);
	after_all(stage, result);
}

static void with_held(struct stage *stage)
{
	with_both(stage);
	assert_int_equal(open_semaphore(stage), 0);
	assert_int_equal(open_set(stage), 0);
	assert_ok(stoa_semaphore_wait(other, 2, STOA_NOW));
	assert_ok(stoa_semaphore_set_operate(other_set, take, 2, STOA_NOW));
}

static long long close_held(struct stage *stage)
{
	(void)stage;
	stoa_semaphore_close(other);
	stoa_semaphore_set_close(other_set);
	other = NULL;
	other_set = NULL;
	return 0;
}

static void after_close(struct stage *stage, long long result)
{
	assert_result(stoa_semaphore_value(semaphore), 2);
	assert_result(stoa_semaphore_set_get(set, 0), 1);
	assert_result(stoa_semaphore_set_get(set, 2), 5);
	after_all(stage, result);
}

/* ---- Use ------------------------------------------------------------------ */

static long long wait_now(struct stage *stage)
{
	(void)stage;
	return stoa_semaphore_wait(semaphore, 2, STOA_NOW);
}

static long long wait_shortly(struct stage *stage)
{
	(void)stage;
	return stoa_semaphore_wait(semaphore, 3,
	                           stoa_deadline_in(SHORT_MS * MS));
}

static long long post_one(struct stage *stage)
{
	(void)stage;
	return stoa_semaphore_post(semaphore, 1);
}

static long long operate_now(struct stage *stage)
{
	(void)stage;
	return stoa_semaphore_set_operate(set, take, 2, STOA_NOW);
}

static long long operate_shortly(struct stage *stage)
{
	struct stoa_semaphore_change change = { 1, -1, 0, 0 };

	(void)stage;
	return stoa_semaphore_set_operate(set, &change, 1,
	                                  stoa_deadline_in(SHORT_MS * MS));
}

static long long set_all(struct stage *stage)
{
	(void)stage;
	return stoa_semaphore_set_set_all(set, values, 3);
}

static long long get_all(struct stage *stage)
{
	uint16_t got[3];

	(void)stage;
	return stoa_semaphore_set_get_all(set, got, 3);
}

static long long look(struct stage *stage)
{
	struct stoa_semaphore_status status = { .size = sizeof(status) };
	struct stoa_semaphore_set_status numbers = { .size = sizeof(numbers) };
	int result = stoa_semaphore_stat(semaphore, &status);

	(void)stage;
	return result < 0 ? result : stoa_semaphore_set_stat(set, &numbers);
}

/* ---- The dead ------------------------------------------------------------- */

static void hold_both(void *context)
{
	(void)context;
	assert_ok(stoa_semaphore_wait(semaphore, 2, STOA_NOW));
	assert_ok(stoa_semaphore_set_operate(set, take, 2, STOA_NOW));
	report(1);
	await_order();
}

static void with_dead_holder(struct stage *stage)
{
	with_both(stage);
	holder = start_child(hold_both, NULL);
	assert_int_equal(await_report(&holder), 1);
	kill_child(&holder);
}

static long long take_after_death(struct stage *stage)
{
	(void)stage;
	return stoa_semaphore_wait(semaphore, 2,
	                           stoa_deadline_in(AMPLE_MS * MS));
}

static long long operate_after_death(struct stage *stage)
{
	(void)stage;
	return stoa_semaphore_set_operate(set, take, 2,
	                                  stoa_deadline_in(AMPLE_MS * MS));
}

/* Whether or not it could be told then, it can be now. */
static void after_death(struct stage *stage, long long result)
{
	close_all();
	assert_int_equal(create_semaphore(stage), 0);
	assert_int_equal(create_set(stage), 0);
	assert_result(stoa_semaphore_value(semaphore), 2);
	assert_result(stoa_semaphore_set_get(set, 0), 1);
	assert_result(stoa_semaphore_set_get(set, 2), 5);
	after_all(stage, result);
}

static const struct operation operations[] = {
	OPERATION_AFTER(create_semaphore, with_space, after_create),
	OPERATION_AFTER(create_set, with_space, after_create),
	OPERATION_AFTER(open_semaphore, with_both, after_open),
	OPERATION_AFTER(open_set, with_both, after_open),
	OPERATION_AFTER(close_held, with_held, after_close),
	OPERATION_AFTER(wait_now, with_both, after_all),
	OPERATION_AFTER(wait_shortly, with_both, after_all),
	OPERATION_AFTER(post_one, with_both, after_all),
	OPERATION_AFTER(operate_now, with_both, after_all),
	OPERATION_AFTER(operate_shortly, with_both, after_all),
	OPERATION_AFTER(set_all, with_both, after_all),
	OPERATION_AFTER(get_all, with_both, after_all),
	OPERATION_AFTER(look, with_both, after_all),
	/* Who can't be asked about may live. */
	{ "take_after_death", with_dead_holder, take_after_death, after_death,
	  true },
	{ "operate_after_death", with_dead_holder, operate_after_death,
	  after_death, true },
};

TEST(each_operation_survives_the_failure_of_each_call)
{
	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(each_operation_survives_the_failure_of_each_call),
};

MAIN(cases)
