/* SPDX-License-Identifier: MIT */
/* Processes that operate on sets, wait, and end in all manners. */
#include "support.h"

#include <sys/mman.h>

enum { UNDO = STOA_SEMAPHORE_UNDO };

static struct stoa_semaphore_set *make(struct stoa_space *space,
                                       const char *name, uint32_t count,
                                       const uint16_t *values)
{
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = count, .values = values
	};
	struct stoa_semaphore_set *set;

	assert_ok(stoa_semaphore_set_open(space, name, STOA_CREATE, 0600,
	                                  &attributes, &set));
	return set;
}

struct operation {
	struct stoa_semaphore_set *set;
	struct stoa_semaphore_change changes[8];
	size_t count;
	int expected;
};

static int operate(const struct operation *operation,
                   struct stoa_deadline deadline)
{
	return stoa_semaphore_set_operate(operation->set, operation->changes,
	                                  operation->count, deadline);
}

static void operate_and_report(void *context)
{
	struct operation *operation = context;

	assert_result(operate(operation, STOA_FOREVER), operation->expected);
	report(1);
	await_order();
}

static void add(struct stoa_semaphore_set *set, uint32_t semaphore,
                int32_t amount)
{
	struct stoa_semaphore_change change = { semaphore, amount, 0, 0 };

	assert_ok(stoa_semaphore_set_operate(set, &change, 1, STOA_FOREVER));
}

static struct stoa_semaphore_state describe(struct stoa_semaphore_set *set,
                                            uint32_t semaphore)
{
	struct stoa_semaphore_state one;

	assert_ok(stoa_semaphore_set_describe(set, semaphore, &one));
	return one;
}

static void until_waiters(struct stoa_semaphore_set *set, uint32_t semaphore,
                          uint32_t increase, uint32_t zero)
{
	struct stoa_semaphore_state one;

	do
		one = describe(set, semaphore);
	while (one.waiting_increase != increase || one.waiting_zero != zero);
}

TEST(who_waits_is_counted_and_woken)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set = make(space, "s", 3, NULL);
	struct operation one = { set, { { 0, -1, 0, 0 } }, 1, 0 };
	struct operation both = { set,
		                  { { 0, -1, 0, 0 }, { 1, -2, 0, 0 } },
		                  2,
		                  0 };
	struct child first, second;

	first = start_child(operate_and_report, &one);
	until_waiters(set, 0, 1, 0);
	second = start_child(operate_and_report, &both);
	until_waiters(set, 0, 2, 0);
	add(set, 0, 1);
	assert_int_equal(await_report(&first), 1);
	add(set, 0, 1);
	until_waiters(set, 1, 1, 0); /* moved on, and took nothing */
	assert_result(stoa_semaphore_set_get(set, 0), 1);
	add(set, 1, 1);
	add(set, 1, 1);
	assert_int_equal(await_report(&second), 1);
	assert_int_equal(describe(set, 1).last_pid, second.pid);
	assert_int_equal(describe(set, 0).value, 0);
	until_waiters(set, 1, 0, 0);
	kill_child(&first);
	kill_child(&second);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

TEST(who_waits_for_zero_is_woken)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, NULL, 2, (const uint16_t[]){ 2, 3 });
	struct operation zero = { set, { { 0, 0, 0, 0 } }, 1, 0 };
	/* Zero once it has taken one itself. */
	struct operation last = { set,
		                  { { 1, -1, 0, 0 }, { 1, 0, 0, 0 } },
		                  2,
		                  0 };
	struct child children[4];

	for (int i = 0; i < 3; i++)
		children[i] = start_child(operate_and_report, &zero);
	children[3] = start_child(operate_and_report, &last);
	until_waiters(set, 0, 0, 3);
	until_waiters(set, 1, 0, 1);
	for (int i = 0; i < 4; i++)
		until_blocked(children[i].pid);
	add(set, 0, -1);
	add(set, 1, -1);
	add(set, 0, -1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(await_report(&children[i]), 1);
	add(set, 1, -1);
	assert_int_equal(await_report(&children[3]), 1);
	assert_result(stoa_semaphore_set_get(set, 1), 0);
	for (int i = 0; i < 4; i++)
		kill_child(&children[i]);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

TEST(setting_wakes_who_can_go_on)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, "s", 2, (const uint16_t[]){ 0, 1 });
	struct operation one = { set, { { 0, -1, 0, 0 } }, 1, 0 };
	struct operation zero = { set, { { 1, 0, 0, 0 } }, 1, 0 };
	struct child children[4];

	for (int i = 0; i < 3; i++)
		children[i] = start_child(operate_and_report, &one);
	children[3] = start_child(operate_and_report, &zero);
	for (int i = 0; i < 4; i++)
		until_blocked(children[i].pid);
	assert_ok(stoa_semaphore_set_set(set, 0, 1));
	while (stoa_semaphore_set_get(set, 0) != 0)
		;
	assert_ok(stoa_semaphore_set_set_all(set, (const uint16_t[]){ 2, 0 },
	                                     2));
	for (int i = 0; i < 4; i++)
		assert_int_equal(await_report(&children[i]), 1);
	for (int i = 0; i < 4; i++)
		kill_child(&children[i]);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

TEST(removal_wakes_everyone)
{
	for (int by_name = 0; by_name < 2; by_name++) {
		struct stoa_space *space = open_space();
		struct stoa_semaphore_set *set =
			make(space, "s", 2, (const uint16_t[]){ 0, 1 });
		struct operation one = { set, { { 0, -1, 0, 0 } }, 1, -EIDRM };
		struct operation zero = { set, { { 1, 0, 0, 0 } }, 1, -EIDRM };
		struct child children[2];

		children[0] = start_child(operate_and_report, &one);
		children[1] = start_child(operate_and_report, &zero);
		until_blocked(children[0].pid);
		until_blocked(children[1].pid);
		if (by_name)
			assert_ok(stoa_space_remove(space, "s.semaphore_set",
			                            1));
		else
			assert_ok(stoa_semaphore_set_remove(set));
		for (int i = 0; i < 2; i++) {
			assert_int_equal(await_report(&children[i]), 1);
			kill_child(&children[i]);
		}
		stoa_semaphore_set_close(set);
		stoa_space_close(space);
	}
}

TEST(undo_happens_once_however_the_process_ends)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, "s", 3, (const uint16_t[]){ 5, 5, 5 });
	struct operation operation = { set,
		                       { { 0, -3, UNDO, 0 },
		                         { 1, 2, UNDO, 0 },
		                         { 2, -1, 0, 0 } },
		                       3,
		                       0 };
	struct stoa_semaphore_set_status status = { .size = sizeof(status) };

	for (int i = 0; i < 4; i++) {
		struct child child = start_child(operate_and_report, &operation);

		assert_int_equal(await_report(&child), 1);
		assert_result(stoa_semaphore_set_get(set, 0), 2);
		assert_result(stoa_semaphore_set_get(set, 1), 7);
		if (i % 2) {
			kill_child(&child);
		} else {
			give_order(&child, 0);
			end_child(&child);
		}
		assert_result(stoa_semaphore_set_get(set, 0), 5);
		assert_result(stoa_semaphore_set_get(set, 1), 5);
		assert_result(stoa_semaphore_set_get(set, 2), 4 - i);
		assert_int_equal(describe(set, 0).last_pid > 0, 1);
	}
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	assert_result(stoa_semaphore_set_get(set, 0), 5);
	assert_ok(stoa_semaphore_set_stat(set, &status));
	assert_int_equal(status.undone, 4);
	assert_int_equal(status.undoers, 0);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

TEST(a_row_used_again_undoes_nothing_of_its_last_bearer)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, "s", 3, (const uint16_t[]){ 5, 5, 5 });

	for (uint32_t i = 0; i < 6; i++) {
		struct operation operation = {
			set, { { i % 3, -1, UNDO, 0 } }, 1, 0
		};
		struct child child = start_child(operate_and_report, &operation);

		assert_int_equal(await_report(&child), 1);
		kill_child(&child);
		for (uint32_t j = 0; j < 3; j++)
			assert_result(stoa_semaphore_set_get(set, j), 5);
	}
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

static void operate_and_exec(void *context)
{
	assert_ok(operate(context, STOA_FOREVER));
	report(1);
	execl("/bin/sleep", "sleep", "1000", NULL);
}

TEST(undo_happens_at_exec_and_wakes_who_waits)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, NULL, 2, (const uint16_t[]){ 1, 0 });
	struct operation operation = { set,
		                       { { 0, -1, UNDO, 0 },
		                         { 1, 1, UNDO, 0 } },
		                       2,
		                       0 };
	struct operation again = { set, { { 0, -1, 0, 0 } }, 1, 0 };
	struct child child = start_child(operate_and_exec, &operation);

	assert_int_equal(await_report(&child), 1);
	assert_ok(operate(&again, STOA_FOREVER));
	assert_result(stoa_semaphore_set_get(set, 1), 0);
	kill_child(&child);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

TEST(who_waits_is_woken_by_the_undo_of_the_dead)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, "s", 2, (const uint16_t[]){ 1, 0 });
	struct operation hold = { set,
		                  { { 0, -1, UNDO, 0 }, { 1, 1, UNDO, 0 } },
		                  2,
		                  0 };
	struct operation take = { set, { { 0, -1, 0, 0 } }, 1, 0 };
	struct operation zero = { set, { { 1, 0, 0, 0 } }, 1, 0 };
	struct child holder = start_child(operate_and_report, &hold);
	struct child first, second;

	assert_int_equal(await_report(&holder), 1);
	first = start_child(operate_and_report, &take);
	second = start_child(operate_and_report, &zero);
	until_waiters(set, 0, 1, 0);
	until_waiters(set, 1, 0, 1);
	until_blocked(first.pid);
	until_blocked(second.pid);
	kill_child(&holder);
	assert_int_equal(await_report(&first), 1);
	assert_int_equal(await_report(&second), 1);
	kill_child(&first);
	kill_child(&second);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

TEST(the_dead_do_not_wait)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set = make(space, "s", 1, NULL);
	struct operation one = { set, { { 0, -1, 0, 0 } }, 1, 0 };
	struct child dead = start_child(operate_and_report, &one);
	struct child other;

	until_blocked(dead.pid);
	other = start_child(operate_and_report, &one);
	until_blocked(other.pid);
	until_waiters(set, 0, 2, 0);
	kill_child(&dead);
	until_waiters(set, 0, 1, 0);
	add(set, 0, 1);
	assert_int_equal(await_report(&other), 1);
	assert_result(stoa_semaphore_set_get(set, 0), 0);
	kill_child(&other);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

static void hold_row(void *context)
{
	struct operation operation = { context,
		                       { { 0, -1, UNDO, 0 } },
		                       1,
		                       0 };

	assert_ok(operate(&operation, STOA_FOREVER));
}

TEST(rows_of_the_dead_are_used_again)
{
	enum { ROWS = 64 };
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, "s", STOA_SEMAPHORE_SET_MAX, NULL);

	add(set, 0, 1);
	for (int i = 0; i < 3 * ROWS / 2; i++) {
		struct child child = start_child(hold_row, set);

		end_child(&child);
	}
	assert_result(stoa_semaphore_set_get(set, 0), 1);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

/* ---- Random kills --------------------------------------------------------- */

enum { SEMAPHORES = 6, EACH = 4, WORKERS = 5, KILLS = 300 };

/* Moves permits about with undo: the sum stays, and so does each value once
 * nobody holds anything. */
static void work(void *context)
{
	struct stoa_semaphore_set *set = context;
	uint64_t seed = (uint64_t)getpid();

	report(0);
	for (;;) {
		struct stoa_semaphore_change there[4], back[4];
		size_t count = 1 + random_below(&seed, 4);
		int result;

		for (size_t i = 0; i < count; i++) {
			uint32_t semaphore = (uint32_t)random_below(
				&seed, SEMAPHORES);
			int32_t amount = random_below(&seed, 4) ? -1 : 1;

			there[i] = (struct stoa_semaphore_change){
				semaphore, amount, UNDO, 0
			};
			back[count - 1 - i] = (struct stoa_semaphore_change){
				semaphore, -amount, UNDO, 0
			};
		}
		result = stoa_semaphore_set_operate(
			set, there, count,
			random_below(&seed, 2) ? stoa_deadline_in(MS) :
						 STOA_NOW);
		if (result == -EAGAIN || result == -ETIMEDOUT)
			continue;
		assert_int_equal(result, 0);
		do
			result = stoa_semaphore_set_operate(
				set, back, count, stoa_deadline_in(100 * MS));
		while (result == -ETIMEDOUT);
		assert_int_equal(result, 0);
	}
}

TEST(values_are_conserved_whoever_is_killed_whenever)
{
	struct stoa_space *space = open_space();
	uint16_t values[SEMAPHORES];
	struct stoa_semaphore_set *set;
	struct child workers[WORKERS];
	uint64_t seed = run_seed();

	for (int i = 0; i < SEMAPHORES; i++)
		values[i] = 1000; /* far from the ends, where undo is cut */
	set = make(space, "s", SEMAPHORES, values);
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start_child(work, set);
	for (int i = 0; i < KILLS; i++) {
		struct child *victim = &workers[random_below(&seed, WORKERS)];
		volatile uint64_t spins = random_below(&seed, 200000);

		await_report(victim);
		while (spins > 0)
			spins--;
		kill_child(victim);
		*victim = start_child(work, set);
	}
	for (int i = 0; i < WORKERS; i++)
		kill_child(&workers[i]);
	assert_ok(stoa_semaphore_set_get_all(set, values, SEMAPHORES));
	for (int i = 0; i < SEMAPHORES; i++)
		assert_int_equal(values[i], 1000);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

/* Philosophers: each takes both forks at once, and is killed with them. */
enum { FORKS = 5 };

struct seat {
	struct stoa_semaphore_set *set;
	uint32_t number;
};

static void dine(void *context)
{
	struct seat *seat = context;
	uint32_t left = seat->number, right = (seat->number + 1) % FORKS;
	struct stoa_semaphore_change take[2] = { { left, -1, UNDO, 0 },
		                                 { right, -1, UNDO, 0 } };
	struct stoa_semaphore_change put[2] = { { left, 1, UNDO, 0 },
		                                { right, 1, UNDO, 0 } };

	for (;;) {
		assert_ok(stoa_semaphore_set_operate(seat->set, take, 2,
		                                     STOA_FOREVER));
		assert_ok(stoa_semaphore_set_operate(seat->set, put, 2,
		                                     STOA_FOREVER));
		report(1);
	}
}

TEST(philosophers_dine_though_some_are_killed)
{
	struct stoa_space *space = open_space();
	struct stoa_semaphore_set *set =
		make(space, NULL, FORKS, (const uint16_t[]){ 1, 1, 1, 1, 1 });
	struct child philosophers[FORKS];
	struct seat seats[FORKS];
	uint64_t seed = run_seed();

	for (uint32_t i = 0; i < FORKS; i++) {
		seats[i] = (struct seat){ set, i };
		philosophers[i] = start_child(dine, &seats[i]);
	}
	for (int round = 0; round < 100; round++) {
		uint32_t victim = (uint32_t)random_below(&seed, FORKS);

		for (int i = 0; i < FORKS; i++)
			assert_int_equal(await_report(&philosophers[i]), 1);
		kill_child(&philosophers[victim]);
		philosophers[victim] = start_child(dine, &seats[victim]);
	}
	for (int i = 0; i < FORKS; i++)
		kill_child(&philosophers[i]);
	for (uint32_t i = 0; i < FORKS; i++)
		assert_result(stoa_semaphore_set_get(set, i), 1);
	stoa_semaphore_set_close(set);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(who_waits_is_counted_and_woken),
	CASE(who_waits_for_zero_is_woken),
	CASE(setting_wakes_who_can_go_on),
	CASE(removal_wakes_everyone),
	CASE(undo_happens_once_however_the_process_ends),
	CASE(a_row_used_again_undoes_nothing_of_its_last_bearer),
	CASE(undo_happens_at_exec_and_wakes_who_waits),
	CASE(who_waits_is_woken_by_the_undo_of_the_dead),
	CASE(the_dead_do_not_wait),
	CASE(rows_of_the_dead_are_used_again),
	CASE(values_are_conserved_whoever_is_killed_whenever),
	CASE(philosophers_dine_though_some_are_killed),
};

MAIN(cases)
