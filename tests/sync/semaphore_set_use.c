/* SPDX-License-Identifier: MIT */
/* Semaphore sets: what each call does, and refuses. */
#include "support.h"

#include <sys/mman.h>

enum { NO_WAIT = STOA_SEMAPHORE_NO_WAIT, UNDO = STOA_SEMAPHORE_UNDO };

struct made {
	struct stoa_space *space;
	struct stoa_semaphore_set *set;
};

static struct made make(const char *name, uint32_t count,
                        const uint16_t *values)
{
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = count, .values = values
	};
	struct made made = { .space = open_space() };

	assert_ok(stoa_semaphore_set_open(made.space, name, STOA_CREATE, 0600,
	                                  &attributes, &made.set));
	return made;
}

static void put_away(struct made *made)
{
	stoa_semaphore_set_close(made->set);
	stoa_space_close(made->space);
}

#define CHANGES(...) \
	((const struct stoa_semaphore_change[]){ __VA_ARGS__ })
#define OPERATE(set, deadline, ...)                                          \
	stoa_semaphore_set_operate(set, CHANGES(__VA_ARGS__),                \
	                           sizeof(CHANGES(__VA_ARGS__)) /            \
	                                   sizeof(struct stoa_semaphore_change), \
	                           deadline)

static void assert_values(struct stoa_semaphore_set *set,
                          const uint16_t *expected)
{
	uint16_t values[64];
	uint32_t count = stoa_semaphore_set_count(set);

	assert_ok(stoa_semaphore_set_get_all(set, values, count));
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(values[i], expected[i]);
}
#define assert_all(set, ...) assert_values(set, (const uint16_t[]){ __VA_ARGS__ })

TEST(changes_are_made_all_or_none)
{
	struct made made = make("s", 3, (const uint16_t[]){ 1, 2, 0 });

	assert_ok(OPERATE(made.set, STOA_NOW, { 0, -1, 0, 0 }, { 1, -2, 0, 0 },
	                  { 2, 5, 0, 0 }));
	assert_all(made.set, 0, 0, 5);
	assert_result(OPERATE(made.set, STOA_NOW, { 2, -1, 0, 0 },
	                      { 1, 3, 0, 0 }, { 0, -1, 0, 0 }),
	              -EAGAIN);
	assert_all(made.set, 0, 0, 5);
	assert_result(OPERATE(made.set, stoa_deadline_in(MS), { 2, -1, 0, 0 },
	                      { 0, -1, 0, 0 }),
	              -ETIMEDOUT);
	assert_result(OPERATE(made.set, STOA_FOREVER, { 2, -1, 0, 0 },
	                      { 0, -1, NO_WAIT, 0 }),
	              -EAGAIN);
	assert_all(made.set, 0, 0, 5);
	put_away(&made);
}

TEST(changes_are_judged_in_order)
{
	struct made made = make(NULL, 2, NULL);

	/* Zero first, then one: a lock, as System V's manual has it. */
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, 0, 0, 0 }, { 0, 1, 0, 0 }));
	assert_result(OPERATE(made.set, STOA_NOW, { 0, 0, 0, 0 },
	                      { 0, 1, 0, 0 }),
	              -EAGAIN);
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, -1, 0, 0 }, { 0, 0, 0, 0 },
	                  { 0, 3, 0, 0 }, { 0, -2, 0, 0 }, { 1, 1, 0, 0 },
	                  { 1, 1, 0, 0 }));
	assert_all(made.set, 1, 2);
	/* Taking more than there is isn't mended by posting later. */
	assert_result(OPERATE(made.set, STOA_NOW, { 0, -2, 0, 0 },
	                      { 0, 2, 0, 0 }),
	              -EAGAIN);
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, 2, 0, 0 },
	                  { 0, -2, 0, 0 }));
	assert_all(made.set, 1, 2);
	put_away(&made);
}

TEST(what_makes_no_sense_is_refused)
{
	struct made made = make("s", 2, NULL);
	struct stoa_semaphore_change many[501] = { { 0, 0, 0, 0 } };
	uint16_t values[3] = { 0, 40000, 0 };

	assert_result(stoa_semaphore_set_operate(made.set, many, 0, STOA_NOW),
	              -EINVAL);
	assert_result(stoa_semaphore_set_operate(made.set, many, 501, STOA_NOW),
	              -E2BIG);
	assert_ok(stoa_semaphore_set_operate(made.set, many, 500, STOA_NOW));
	assert_result(OPERATE(made.set, STOA_NOW, { 2, 1, 0, 0 }), -EFBIG);
	assert_result(OPERATE(made.set, STOA_NOW, { 0, 1, 4, 0 }), -EINVAL);
	assert_result(OPERATE(made.set, STOA_NOW, { 0, 1, 0, 1 }), -EINVAL);
	assert_result(OPERATE(made.set, STOA_NOW, { 0, 32768, 0, 0 }), -ERANGE);
	assert_result(OPERATE(made.set, STOA_NOW, { 0, -32768, 0, 0 }),
	              -ERANGE);
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, 32767, 0, 0 }));
	assert_result(OPERATE(made.set, STOA_NOW, { 1, 1, 0, 0 },
	                      { 0, 1, 0, 0 }),
	              -ERANGE);
	assert_all(made.set, 32767, 0);
	assert_result(stoa_semaphore_set_set(made.set, 2, 0), -EFBIG);
	assert_result(stoa_semaphore_set_set(made.set, 0, 32768), -ERANGE);
	assert_result(stoa_semaphore_set_set_all(made.set, values, 3), -EINVAL);
	assert_result(stoa_semaphore_set_set_all(made.set, values, 2), -ERANGE);
	assert_result(stoa_semaphore_set_get(made.set, 7), -EFBIG);
	assert_sentence("7");
	assert_all(made.set, 32767, 0);
	put_away(&made);
}

TEST(attributes_that_make_no_sense_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = 32001
	};
	struct stoa_semaphore_set *set = (void *)space;
	uint16_t value = 32768;

	assert_result(stoa_semaphore_set_open(space, "s", STOA_CREATE, 0600,
	                                      &attributes, &set),
	              -EINVAL);
	attributes.count = 1;
	attributes.values = &value;
	assert_result(stoa_semaphore_set_open(space, "s", STOA_CREATE, 0600,
	                                      &attributes, &set),
	              -EINVAL);
	attributes.values = NULL;
	attributes.reserved[0] = 1;
	assert_result(stoa_semaphore_set_open(space, "s", STOA_CREATE, 0600,
	                                      &attributes, &set),
	              -EINVAL);
	assert_result(stoa_semaphore_set_open(space, "s", STOA_WRITE, 0600,
	                                      NULL, &set),
	              -EINVAL);
	assert_result(stoa_semaphore_set_open(space, "s", 0, 0, NULL, &set),
	              -ENOENT);
	assert_ptr_equal(set, space);
	stoa_space_close(space);
}

TEST(the_largest_set_works)
{
	enum { MOST = STOA_SEMAPHORE_SET_MAX };
	struct made made = make("s", MOST, NULL);
	uint16_t *values = calloc(MOST, sizeof(*values));

	for (int i = 0; i < MOST; i++)
		values[i] = (uint16_t)i;
	assert_ok(stoa_semaphore_set_set_all(made.set, values, MOST));
	assert_ok(OPERATE(made.set, STOA_NOW, { MOST - 1, -31999, UNDO, 0 },
	                  { 0, 7, 0, 0 }));
	memset(values, 0, MOST * sizeof(*values));
	assert_ok(stoa_semaphore_set_get_all(made.set, values, MOST));
	assert_int_equal(values[0], 7);
	assert_int_equal(values[MOST - 1], 0);
	assert_int_equal(values[MOST - 2], MOST - 2);
	free(values);
	put_away(&made);
}

TEST(closing_undoes_what_was_done_with_undo)
{
	struct made made = make("s", 3, (const uint16_t[]){ 5, 5, 5 });
	struct stoa_semaphore_set *other;

	assert_ok(stoa_semaphore_set_open(made.space, "s", 0, 0, NULL, &other));
	assert_ok(OPERATE(other, STOA_NOW, { 0, -3, UNDO, 0 }, { 1, 4, UNDO, 0 },
	                  { 2, -1, 0, 0 }));
	assert_ok(OPERATE(other, STOA_NOW, { 0, 1, UNDO, 0 }));
	assert_ok(OPERATE(made.set, STOA_NOW, { 1, -8, 0, 0 }));
	assert_all(made.set, 3, 1, 4);
	stoa_semaphore_set_close(other);
	/* The second would be below zero: cut. */
	assert_all(made.set, 5, 0, 4);
	assert_ok(stoa_semaphore_set_open(made.space, "s", 0, 0, NULL, &other));
	assert_ok(OPERATE(other, STOA_NOW, { 0, -3, UNDO, 0 },
	                  { 2, -4, UNDO, 0 }));
	assert_ok(stoa_semaphore_set_set(made.set, 0, 9)); /* forgets */
	stoa_semaphore_set_close(other);
	assert_all(made.set, 9, 0, 4);
	assert_ok(stoa_semaphore_set_open(made.space, "s", 0, 0, NULL, &other));
	assert_ok(OPERATE(other, STOA_NOW, { 0, -3, UNDO, 0 },
	                  { 2, -4, UNDO, 0 }));
	assert_ok(stoa_semaphore_set_set_all(
		made.set, (const uint16_t[]){ 1, 2, 3 }, 3));
	stoa_semaphore_set_close(other);
	assert_all(made.set, 1, 2, 3);
	put_away(&made);
}

static int add_adjustment(const struct stoa_semaphore_adjustment *adjustment,
                          void *context)
{
	int *sums = context;

	assert_int_equal(adjustment->pid, getpid());
	sums[adjustment->semaphore] += adjustment->amount;
	return 0;
}

TEST(undo_is_summed_and_shown)
{
	struct made made = make("s", 2, (const uint16_t[]){ 32767, 0 });
	int sums[2] = { 0, 0 };

	assert_ok(OPERATE(made.set, STOA_NOW, { 0, -32767, UNDO, 0 }));
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, 2, 0, 0 }));
	assert_result(OPERATE(made.set, STOA_NOW, { 1, 1, 0, 0 },
	                      { 0, -1, UNDO, 0 }),
	              -ERANGE);
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, 1, UNDO, 0 },
	                  { 1, 7, UNDO, 0 }));
	assert_result(stoa_semaphore_set_each_adjustment(made.set,
	                                                 add_adjustment, sums),
	              2);
	assert_int_equal(sums[0], 32766);
	assert_int_equal(sums[1], -7);
	put_away(&made);
}

TEST(each_semaphore_tells_its_last_operator)
{
	struct made made = make("s", 2, NULL);
	struct stoa_semaphore_state one;
	struct stoa_semaphore_set_status status = { .size = sizeof(status) };

	assert_ok(stoa_semaphore_set_stat(made.set, &status));
	assert_int_equal(status.last_operation_ns, 0);
	assert_ok(stoa_semaphore_set_describe(made.set, 1, &one));
	assert_int_equal(one.last_pid, 0);
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, 0, 0, 0 }));
	assert_ok(OPERATE(made.set, STOA_NOW, { 0, 0, 0, 0 }, { 1, 3, 0, 0 }));
	assert_ok(stoa_semaphore_set_describe(made.set, 1, &one));
	assert_int_equal(one.value, 3);
	assert_int_equal(one.last_pid, getpid());
	assert_int_equal(one.waiting_increase, 0);
	assert_ok(stoa_semaphore_set_stat(made.set, &status));
	assert_true(status.last_operation_ns > 0);
	assert_true(status.last_change_ns >= status.created_ns);
	assert_int_equal(status.count, 2);
	assert_int_equal(status.users, 1);
	assert_int_equal(status.undoers, 0);
	assert_result(stoa_semaphore_set_describe(made.set, 2, &one), -EFBIG);
	put_away(&made);
}

TEST(removal_ends_every_call)
{
	struct made made = make("s", 2, NULL);
	struct stoa_semaphore_state one;
	struct stoa_semaphore_set_status status = { .size = sizeof(status) };
	uint16_t values[2] = { 0, 0 };

	assert_ok(stoa_semaphore_set_remove(made.set));
	assert_result(OPERATE(made.set, STOA_NOW, { 0, 1, 0, 0 }), -EIDRM);
	assert_result(OPERATE(made.set, STOA_FOREVER, { 0, -1, 0, 0 }), -EIDRM);
	assert_result(stoa_semaphore_set_set(made.set, 0, 1), -EIDRM);
	assert_result(stoa_semaphore_set_set_all(made.set, values, 2), -EIDRM);
	assert_result(stoa_semaphore_set_get(made.set, 0), -EIDRM);
	assert_result(stoa_semaphore_set_get_all(made.set, values, 2), -EIDRM);
	assert_result(stoa_semaphore_set_describe(made.set, 0, &one), -EIDRM);
	assert_result(stoa_semaphore_set_stat(made.set, &status), -EIDRM);
	assert_result(stoa_semaphore_set_remove(made.set), -EIDRM);
	put_away(&made);
}

TEST(several_conditions_judge_an_operation)
{
	struct made made = make("s", 2, (const uint16_t[]){ 1, 0 });
	struct stoa_semaphore_change changes[2] = { { 0, -1, 0, 0 },
		                                    { 1, -1, 0, 0 } };
	struct stoa_semaphore_operation operation = { changes, 2 };
	struct stoa_wait condition = {
		.kind = STOA_READABLE,
		.object = stoa_semaphore_set_object(made.set),
		.detail = &operation
	};

	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EAGAIN);
	assert_ok(OPERATE(made.set, STOA_NOW, { 1, 1, 0, 0 }));
	assert_ok(stoa_wait_any(&condition, 1, STOA_NOW));
	assert_all(made.set, 1, 1);
	changes[1].semaphore = 2;
	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EFBIG);
	condition.detail = NULL;
	assert_ok(stoa_wait_any(&condition, 1, STOA_NOW));
	assert_ok(stoa_semaphore_set_set_all(made.set, (uint16_t[2]){ 0, 0 },
	                                     2));
	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EAGAIN);
	put_away(&made);
}

static const struct CMUnitTest cases[] = {
	CASE(changes_are_made_all_or_none),
	CASE(changes_are_judged_in_order),
	CASE(what_makes_no_sense_is_refused),
	CASE(attributes_that_make_no_sense_are_refused),
	CASE(the_largest_set_works),
	CASE(closing_undoes_what_was_done_with_undo),
	CASE(undo_is_summed_and_shown),
	CASE(each_semaphore_tells_its_last_operator),
	CASE(removal_ends_every_call),
	CASE(several_conditions_judge_an_operation),
};

MAIN(cases)
