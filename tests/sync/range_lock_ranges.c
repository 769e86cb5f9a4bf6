/* SPDX-License-Identifier: MIT */
/* What locking, converting and unlocking make of ranges, beside a model that
 * keeps the owners of each number in an array. */
#include "range_lock.h"

enum { NUMBERS = 48, OWNERS = 4, STEPS = 30000, CAPACITY = 256 };

struct model {
	unsigned char mode[OWNERS][NUMBERS]; /* 0, SHARED, EXCLUSIVE */
};

/* The numbers stand near the beginning, or at the end of all. */
static uint64_t number_at(bool at_end, uint64_t index)
{
	return at_end ? UINT64_MAX - NUMBERS + 1 + index : index;
}

static bool model_allows(const struct model *model, int owner, int from, int to,
                         uint32_t mode)
{
	for (int other = 0; other < OWNERS; other++)
		for (int i = from; other != owner && i <= to; i++)
			if (model->mode[other][i] == STOA_RANGE_EXCLUSIVE ||
			    (model->mode[other][i] &&
			     mode == STOA_RANGE_EXCLUSIVE))
				return false;
	return true;
}

/* Ranges that the model has: runs of one mode. */
static int model_runs(const struct model *model)
{
	int runs = 0;

	for (int owner = 0; owner < OWNERS; owner++)
		for (int i = 0; i < NUMBERS; i++)
			if (model->mode[owner][i] &&
			    (i == 0 || model->mode[owner][i] !=
			                       model->mode[owner][i - 1]))
				runs++;
	return runs;
}

struct check {
	const struct model *model;
	bool at_end;
	int seen[OWNERS][NUMBERS];
	const uint64_t *token_of;
};

static int count_numbers(const struct stoa_range_holder *holder, void *context)
{
	struct check *check = context;
	uint64_t length = holder->range.length;
	uint64_t first = holder->range.start - number_at(check->at_end, 0);
	int found = 0;

	if (length == 0)
		length = UINT64_MAX - holder->range.start + 1;
	assert_true(first + length <= NUMBERS);
	for (int owner = 0; owner < OWNERS; owner++)
		if (check->model->mode[owner][first] == holder->range.mode)
			found = 1;
	assert_true(found);
	check->seen[0][0] += (int)length;
	return 0;
}

static int model_numbers(const struct model *model)
{
	int numbers = 0;

	for (int owner = 0; owner < OWNERS; owner++)
		for (int i = 0; i < NUMBERS; i++)
			numbers += model->mode[owner][i] != 0;
	return numbers;
}

static void compare(struct stoa_range_lock *lock, const struct model *model,
                    bool at_end)
{
	struct check check = { .model = model, .at_end = at_end };

	assert_result(stoa_range_lock_each(lock, count_numbers, &check),
	              model_runs(model));
	assert_int_equal(check.seen[0][0], model_numbers(model));
}

static void step(struct stoa_range_lock **locks, struct model *model,
                 bool at_end, uint64_t *random)
{
	int owner = (int)random_below(random, OWNERS);
	int from = (int)random_below(random, NUMBERS);
	int to = from + (int)random_below(random, (uint64_t)(NUMBERS - from));
	uint32_t mode = (uint32_t)random_below(random, 3);
	struct stoa_range range = range_of(number_at(at_end, (uint64_t)from),
	                                   (uint64_t)(to - from + 1), mode);
	bool allowed = model_allows(model, owner, from, to, mode);

	if (at_end && to == NUMBERS - 1)
		range.length = 0;
	if (mode == 0) {
		assert_ok(stoa_range_lock_unlock(locks[owner], &range));
	} else {
		assert_result(stoa_range_lock_test(locks[owner], &range, NULL),
		              !allowed);
		assert_result(stoa_range_lock_lock(locks[owner], &range,
		                                   STOA_NOW),
		              allowed ? 0 : -EAGAIN);
	}
	if (mode == 0 || allowed)
		memset(&model->mode[owner][from], (int)mode,
		       (size_t)(to - from + 1));
}

static void run_model(bool at_end)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *locks[OWNERS];
	struct model model = { 0 };
	uint64_t random = run_seed();

	for (int i = 0; i < OWNERS; i++)
		locks[i] = make_range_lock(space, "l", CAPACITY);
	for (int i = 0; i < STEPS; i++) {
		step(locks, &model, at_end, &random);
		if (i % 16 == 0)
			compare(locks[i % OWNERS], &model, at_end);
	}
	for (int i = 0; i < OWNERS; i++) {
		memset(model.mode[i], 0, NUMBERS);
		stoa_range_lock_close(locks[i]);
		if (i < OWNERS - 1)
			compare(locks[OWNERS - 1], &model, at_end);
	}
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

TEST(any_sequence_of_calls_leaves_what_the_model_has)
{
	run_model(false);
}

TEST(the_last_numbers_of_all_are_as_good_as_any)
{
	run_model(true);
}

/* ---- Singly ------------------------------------------------------------------ */

struct list {
	struct stoa_range_holder holder[16];
	int count;
};

static int add_holder(const struct stoa_range_holder *holder, void *context)
{
	struct list *list = context;

	assert_in_range(list->count, 0, LENGTH(list->holder) - 1);
	list->holder[list->count++] = *holder;
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct stoa_range_holder *first = a, *second = b;

	return first->range.start < second->range.start ? -1 : 1;
}

static void assert_ranges(struct stoa_range_lock *lock,
                          const struct stoa_range *ranges, int count)
{
	struct list list = { .count = 0 };

	assert_result(stoa_range_lock_each(lock, add_holder, &list), count);
	qsort(list.holder, (size_t)list.count, sizeof(list.holder[0]),
	      by_start);
	for (int i = 0; i < count; i++) {
		assert_int_equal(list.holder[i].range.start, ranges[i].start);
		assert_int_equal(list.holder[i].range.length, ranges[i].length);
		assert_int_equal(list.holder[i].range.mode, ranges[i].mode);
		assert_int_equal(list.holder[i].pid, getpid());
	}
}

TEST(unlocking_the_middle_splits_and_locking_it_merges)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 16);
	struct stoa_range all = range_of(0, 0, STOA_RANGE_EXCLUSIVE);
	struct stoa_range middle = range_of(100, 50, STOA_RANGE_EXCLUSIVE);
	const struct stoa_range split[] = {
		{ 0, 100, STOA_RANGE_EXCLUSIVE, 0 },
		{ 150, 0, STOA_RANGE_EXCLUSIVE, 0 },
	};

	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	assert_ranges(lock, &all, 1);
	assert_ok(stoa_range_lock_unlock(lock, &middle));
	assert_ranges(lock, split, 2);
	assert_ok(stoa_range_lock_lock(lock, &middle, STOA_NOW));
	assert_ranges(lock, &all, 1);
	assert_ok(stoa_range_lock_unlock(lock, NULL));
	assert_ranges(lock, NULL, 0);
	stoa_range_lock_close(lock);
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

TEST(a_part_is_downgraded_and_others_may_share_it)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 16);
	struct stoa_range_lock *other = make_range_lock(space, "l", 16);
	struct stoa_range whole = range_of(0, 100, STOA_RANGE_EXCLUSIVE);
	struct stoa_range part = range_of(20, 10, STOA_RANGE_SHARED);
	struct stoa_range_holder holder;

	assert_ok(stoa_range_lock_lock(lock, &whole, STOA_NOW));
	assert_result(stoa_range_lock_lock(other, &part, STOA_NOW), -EAGAIN);
	assert_result(stoa_range_lock_test(other, &part, &holder), 1);
	assert_int_equal(holder.range.start, 0);
	assert_int_equal(holder.range.length, 100);
	assert_int_equal(holder.pid, getpid());
	assert_int_equal(holder.waiting, 0);
	assert_ok(stoa_range_lock_lock(lock, &part, STOA_NOW));
	assert_ok(stoa_range_lock_lock(other, &part, STOA_NOW));
	part.mode = STOA_RANGE_EXCLUSIVE;
	assert_result(stoa_range_lock_lock(lock, &part, STOA_NOW), -EAGAIN);
	assert_ok(stoa_range_lock_unlock(other, &part));
	assert_ok(stoa_range_lock_lock(lock, &part, STOA_NOW));
	assert_ranges(lock, &whole, 1);
	stoa_range_lock_close(other);
	stoa_range_lock_close(lock);
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

TEST(a_full_table_refuses_and_changes_nothing)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 4);
	struct stoa_range ranges[4], range;

	for (uint64_t i = 0; i < 4; i++) {
		ranges[i] = range_of(i * 100, 50, STOA_RANGE_EXCLUSIVE);
		assert_ok(stoa_range_lock_lock(lock, &ranges[i], STOA_NOW));
	}
	range = range_of(1000, 1, STOA_RANGE_SHARED);
	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -ENOLCK);
	assert_sentence("no room");
	range = range_of(110, 10, STOA_RANGE_SHARED); /* splits */
	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -ENOLCK);
	assert_result(stoa_range_lock_unlock(lock, &range), -ENOLCK);
	assert_ranges(lock, ranges, 4);
	/* What needs no more is done. */
	range = range_of(100, 50, STOA_RANGE_SHARED);
	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	range = range_of(50, 60, STOA_RANGE_EXCLUSIVE);
	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	range = range_of(0, 0, 0);
	assert_ok(stoa_range_lock_unlock(lock, &range));
	assert_ranges(lock, NULL, 0);
	for (uint64_t i = 0; i < 4; i++)
		assert_ok(stoa_range_lock_lock(lock, &ranges[i], STOA_NOW));
	stoa_range_lock_close(lock);
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

TEST(the_process_owns_what_any_of_its_handles_locks_for_it)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *one = make_range_lock(space, "l", 16);
	struct stoa_range_lock *two = make_range_lock(space, "l", 16);
	struct stoa_range range = range_of(
	        0, 100, STOA_RANGE_EXCLUSIVE | STOA_RANGE_PROCESS);
	struct stoa_range part = range_of(0, 60, STOA_RANGE_PROCESS);
	struct stoa_range mine = range_of(0, 10, STOA_RANGE_SHARED);
	struct stoa_range rest = range_of(
	        60, 40, STOA_RANGE_EXCLUSIVE | STOA_RANGE_PROCESS);

	assert_ok(stoa_range_lock_lock(one, &range, STOA_NOW));
	assert_ok(stoa_range_lock_lock(two, &range, STOA_NOW));
	assert_ok(stoa_range_lock_lock(one, &range, STOA_NOW));
	/* A handle is another owner than its process. */
	assert_result(stoa_range_lock_lock(one, &mine, STOA_NOW), -EAGAIN);
	assert_ok(stoa_range_lock_unlock(two, &part));
	assert_ranges(two, &rest, 1);
	assert_ok(stoa_range_lock_lock(one, &mine, STOA_NOW));
	stoa_range_lock_close(one);
	assert_ranges(two, NULL, 0);
	assert_ok(stoa_range_lock_lock(two, &range, STOA_NOW));
	stoa_range_lock_close(two);
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

TEST(bad_ranges_are_refused_with_a_sentence)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 16);
	struct stoa_range range = range_of(2, UINT64_MAX, STOA_RANGE_SHARED);

	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -EINVAL);
	assert_sentence("2^64");
	range.start = 1;
	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	range.mode = 3;
	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -EINVAL);
	range.mode = STOA_RANGE_PROCESS;
	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -EINVAL);
	assert_result(stoa_range_lock_test(lock, &range, NULL), -EINVAL);
	range = range_of(0, 1, STOA_RANGE_SHARED);
	range.reserved = 1;
	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -EINVAL);
	assert_result(stoa_range_lock_unlock(lock, &range), -EINVAL);
	stoa_range_lock_close(lock);
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

TEST(ten_thousand_ranges_are_held_at_once)
{
	enum { MANY = 10000 };
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", MANY);
	struct stoa_range_lock *other = make_range_lock(space, "l", MANY);
	struct stoa_range_lock_status status = { .size = sizeof(status) };
	uint64_t random = run_seed();
	struct stoa_range range;

	for (uint64_t i = 0; i < MANY; i++) {
		range = range_of(i * 7919 % MANY * 10, 5, STOA_RANGE_EXCLUSIVE);
		assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	}
	assert_ok(stoa_range_lock_stat(other, &status));
	assert_int_equal(status.ranges, MANY);
	assert_int_equal(status.exclusive, MANY);
	assert_int_equal(status.capacity, MANY);
	assert_int_equal(status.users, 2);
	for (int i = 0; i < MANY; i++) {
		uint64_t at = random_below(&random, MANY * 10);

		range = range_of(at, 1, STOA_RANGE_SHARED);
		assert_result(stoa_range_lock_test(other, &range, NULL),
		              at % 10 < 5);
	}
	range = range_of(0, 0, STOA_RANGE_SHARED);
	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	assert_ok(stoa_range_lock_lock(other, &range, STOA_NOW));
	stoa_range_lock_close(lock);
	stoa_range_lock_close(other);
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

/* The ranges locked last are kept apart from the others. */
TEST(the_first_range_in_the_way_is_named_whatever_was_locked_last)
{
	enum { MANY = 12 };
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", MANY + 1);
	struct stoa_range_lock *other = make_range_lock(space, "l", MANY + 1);
	struct stoa_range all = range_of(0, 0, STOA_RANGE_EXCLUSIVE), range;
	struct stoa_range_holder holder;

	for (uint64_t order = 0; order < MANY; order++) {
		uint64_t lowest = MANY;

		for (uint64_t i = 0; i < MANY; i++) {
			uint64_t at = (i * 5 + order * 7) % MANY;

			range = range_of(at * 10, 5, STOA_RANGE_EXCLUSIVE);
			assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
			lowest = at < lowest ? at : lowest;
			assert_result(stoa_range_lock_test(other, &all,
			                                   &holder), 1);
			assert_int_equal(holder.range.start, lowest * 10);
		}
		for (uint64_t at = 0; at < MANY; at++) {
			assert_result(stoa_range_lock_test(other, &all,
			                                   &holder), 1);
			assert_int_equal(holder.range.start, at * 10);
			range = range_of(at * 10, 5, 0);
			assert_ok(stoa_range_lock_unlock(lock, &range));
		}
		assert_result(stoa_range_lock_test(other, &all, NULL), 0);
	}
	stoa_range_lock_close(lock);
	stoa_range_lock_close(other);
	assert_ok(stoa_range_lock_unlink(space, "l"));
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(any_sequence_of_calls_leaves_what_the_model_has),
	CASE(the_last_numbers_of_all_are_as_good_as_any),
	CASE(unlocking_the_middle_splits_and_locking_it_merges),
	CASE(a_part_is_downgraded_and_others_may_share_it),
	CASE(a_full_table_refuses_and_changes_nothing),
	CASE(the_process_owns_what_any_of_its_handles_locks_for_it),
	CASE(bad_ranges_are_refused_with_a_sentence),
	CASE(ten_thousand_ranges_are_held_at_once),
	CASE(the_first_range_in_the_way_is_named_whatever_was_locked_last),
};

MAIN(cases)
