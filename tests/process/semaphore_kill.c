/* SPDX-License-Identifier: MIT */
/* Processes that wait, are woken, hold permits, and end in all manners. */
#include "support.h"

#include <signal.h>
#include <stdatomic.h>
#include <sync/semaphore_layout.h>
#include <sys/mman.h>

static struct stoa_semaphore *make(struct stoa_space *space, const char *name,
                                   uint32_t value, uint32_t undo)
{
	struct stoa_semaphore_attributes attributes = {
		.size = sizeof(attributes), .value = value, .undo = undo
	};
	struct stoa_semaphore *semaphore;

	assert_ok(stoa_semaphore_open(space, name, STOA_CREATE, 0600,
	                              &attributes, &semaphore));
	return semaphore;
}

static struct stoa_semaphore *place(struct stoa_space *space, void *memory,
                                    uint32_t value, uint32_t undo)
{
	struct stoa_semaphore_attributes attributes = {
		.size = sizeof(attributes), .value = value, .undo = undo
	};
	struct stoa_semaphore *semaphore;

	assert_ok(stoa_semaphore_place(space, memory, 4096, STOA_CREATE,
	                               &attributes, &semaphore));
	return semaphore;
}

static void *shared_memory(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

/* Named, unnamed and placed; without undo and with. */
#define EVERYWHERE(value, semaphore)                                           \
	for (uint32_t undo = 0; undo < 2; undo++)                              \
		for (int where = 0; where < 3; where++)                        \
			for (struct stoa_semaphore *semaphore =                \
			             where == 2 ?                              \
			                     place(space, memory, value, undo) : \
			                     make(space, where ? NULL : "s",   \
			                          value, undo);                \
			     semaphore; semaphore = put_away(space, where,     \
			                                     semaphore))

static void *put_away(struct stoa_space *space, int where,
                      struct stoa_semaphore *semaphore)
{
	stoa_semaphore_close(semaphore);
	if (where == 0)
		assert_ok(stoa_semaphore_unlink(space, "s"));
	return NULL;
}

/* Takes what it is told to, for as long as it is told so. */
static void take(void *context)
{
	for (;;) {
		int64_t permits = await_order();

		if (permits == 0)
			return;
		if (permits < 0)
			assert_ok(stoa_semaphore_post(context,
			                              (uint32_t)-permits));
		else
			assert_ok(stoa_semaphore_wait(context,
			                              (uint32_t)permits,
			                              STOA_FOREVER));
		report(permits);
	}
}

static struct child taker(struct stoa_semaphore *semaphore, int64_t permits)
{
	struct child child = start_child(take, semaphore);

	give_order(&child, permits);
	return child;
}

static void begin(struct stoa_space **space, void **memory)
{
	*space = open_space();
	*memory = shared_memory();
}

static void finish(struct stoa_space *space, void *memory)
{
	munmap(memory, 4096);
	stoa_space_close(space);
}

TEST(who_waits_is_woken_by_a_post)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(0, semaphore)
	{
		struct child one = taker(semaphore, 1);
		struct child three = taker(semaphore, 3);

		until_blocked(one.pid);
		until_blocked(three.pid);
		assert_ok(stoa_semaphore_post(semaphore, 1));
		assert_int_equal(await_report(&one), 1);
		assert_ok(stoa_semaphore_post(semaphore, 2));
		assert_ok(stoa_semaphore_post(semaphore, 1));
		assert_int_equal(await_report(&three), 3);
		give_order(&one, -1);
		await_report(&one);
		give_order(&three, -3);
		await_report(&three);
		give_order(&one, 0);
		give_order(&three, 0);
		end_child(&one);
		end_child(&three);
		assert_result(stoa_semaphore_value(semaphore), 4);
	}
	finish(space, memory);
}

TEST(one_post_wakes_one_who_can_use_it)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(0, semaphore)
	{
		struct child two = taker(semaphore, 2), one;

		until_blocked(two.pid);
		one = taker(semaphore, 1);
		until_blocked(one.pid);
		/* The first in line can't use it. Nor does the gate, which it
		 * closes after a while, stay closed once it is dead. */
		kill_child(&two);
		assert_ok(stoa_semaphore_post(semaphore, 1));
		assert_int_equal(await_report(&one), 1);
		kill_child(&one);
	}
	finish(space, memory);
}

TEST(permits_of_the_dead_come_back_with_undo_only)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(5, semaphore)
	{
		struct child dead = taker(semaphore, 3);
		struct stoa_semaphore_status status = { .size = sizeof(status) };

		assert_int_equal(await_report(&dead), 3);
		give_order(&dead, -1);
		await_report(&dead);
		assert_result(stoa_semaphore_value(semaphore), 3);
		kill_child(&dead);
		assert_result(stoa_semaphore_value(semaphore), undo ? 5 : 3);
		assert_ok(stoa_semaphore_stat(semaphore, &status));
		assert_int_equal(status.undone, undo ? 2 : 0);
		assert_int_equal(status.holders, 0);
		/* Once. */
		assert_result(stoa_semaphore_value(semaphore), undo ? 5 : 3);
	}
	finish(space, memory);
}

TEST(permits_come_back_at_exit_and_no_wait_finds_them)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(2, semaphore)
	{
		struct child child = taker(semaphore, 2);

		assert_int_equal(await_report(&child), 2);
		assert_result(stoa_semaphore_wait(semaphore, 2, STOA_NOW),
		              -EAGAIN);
		give_order(&child, 0);
		end_child(&child);
		assert_result(stoa_semaphore_wait(semaphore, 2, STOA_NOW),
		              undo ? 0 : -EAGAIN);
	}
	finish(space, memory);
}

static void take_and_exec(void *context)
{
	assert_ok(stoa_semaphore_wait(context, 2, STOA_FOREVER));
	report(1);
	execl("/bin/sleep", "sleep", "1000", NULL);
}

TEST(permits_come_back_at_exec)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(2, semaphore)
	{
		struct child child = start_child(take_and_exec, semaphore);

		assert_int_equal(await_report(&child), 1);
		if (undo)
			assert_ok(stoa_semaphore_wait(semaphore, 2,
			                              STOA_FOREVER));
		kill_child(&child);
	}
	finish(space, memory);
}

TEST(who_waits_is_woken_by_the_death_of_a_holder)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	for (int where = 0; where < 3; where++) {
		struct stoa_semaphore *semaphore =
			where == 2 ? place(space, memory, 3, 1) :
				     make(space, where ? NULL : "s", 3, 1);
		struct child holder = taker(semaphore, 2), waiter;

		assert_int_equal(await_report(&holder), 2);
		waiter = taker(semaphore, 3);
		until_blocked(waiter.pid);
		kill_child(&holder);
		assert_int_equal(await_report(&waiter), 3);
		kill_child(&waiter);
		put_away(space, where, semaphore);
	}
	finish(space, memory);
}

static void take_post_and_tell(void *context)
{
	assert_ok(stoa_semaphore_wait(context, 1, STOA_NOW));
	assert_ok(stoa_semaphore_post(context, 1));
	report(1);
	await_order();
}

/* As if it had been killed between the store that commits its post and the one
 * that brings the value up to date. */
TEST(a_post_that_was_committed_counts_though_the_poster_died_of_it)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	struct stoa_semaphore *semaphore = place(space, memory, 3, 1);
	_Atomic uint64_t *word =
		(void *)((char *)memory + sizeof(struct stoa_place));
	struct semaphore_extension *extension = (void *)(word + 1);
	struct semaphore_holder *holders = (void *)(extension + 1);
	struct child child = start_child(take_post_and_tell, semaphore);

	assert_int_equal(await_report(&child), 1);
	assert_int_equal(*word & SEMAPHORE_VALUE_MASK, 3);
	*word -= 1;
	extension->turn = holders[0].peer;
	kill_child(&child);
	assert_ok(stoa_semaphore_wait(semaphore, 3, STOA_NOW));
	stoa_semaphore_close(semaphore);
	finish(space, memory);
}

TEST(a_child_holds_for_itself)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(5, semaphore)
	{
		struct child child;

		assert_ok(stoa_semaphore_wait(semaphore, 2, STOA_NOW));
		child = taker(semaphore, 1);
		assert_int_equal(await_report(&child), 1);
		kill_child(&child);
		assert_result(stoa_semaphore_value(semaphore), undo ? 3 : 2);
	}
	finish(space, memory);
}

static void wait_until_removed(void *context)
{
	assert_result(stoa_semaphore_wait(context, 1, STOA_FOREVER), -EIDRM);
}

TEST(who_waits_is_told_of_removal)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(0, semaphore)
	{
		struct child child = start_child(wait_until_removed, semaphore);

		until_blocked(child.pid);
		assert_ok(stoa_semaphore_remove(semaphore));
		end_child(&child);
		if (where == 0) {
			stoa_semaphore_close(semaphore);
			semaphore = make(space, "s", 0, 0);
		}
	}
	finish(space, memory);
}

/* Takes one and posts it, as fast as it can. */
static void take_one_by_one(void *context)
{
	for (;;) {
		assert_ok(stoa_semaphore_wait(context, 1, STOA_FOREVER));
		assert_ok(stoa_semaphore_post(context, 1));
	}
}

TEST(who_waits_for_many_does_not_starve)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(4, semaphore)
	{
		struct child greedy[6];

		for (size_t i = 0; i < LENGTH(greedy); i++)
			greedy[i] = start_child(take_one_by_one, semaphore);
		for (int round = 0; round < 3; round++) {
			assert_ok(stoa_semaphore_wait(semaphore, 4,
			                              STOA_FOREVER));
			assert_ok(stoa_semaphore_post(semaphore, 4));
		}
		for (size_t i = 0; i < LENGTH(greedy); i++)
			kill_child(&greedy[i]);
	}
	finish(space, memory);
}

TEST(a_stopped_one_that_waits_for_many_keeps_nobody_out)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(1, semaphore)
	{
		struct stoa_semaphore_status status = { .size = sizeof(status) };
		struct child many = taker(semaphore, 2);

		do
			assert_ok(stoa_semaphore_stat(semaphore, &status));
		while (!status.gate_closed);
		assert_int_equal(status.value, 1);
		stop_child(&many);
		assert_ok(stoa_semaphore_wait(semaphore, 1, STOA_FOREVER));
		continue_child(&many);
		assert_ok(stoa_semaphore_post(semaphore, 2));
		assert_int_equal(await_report(&many), 2);
		kill_child(&many);
	}
	finish(space, memory);
}

TEST(a_dead_one_that_waited_for_many_keeps_nobody_out_at_all)
{
	struct stoa_space *space;
	void *memory;

	begin(&space, &memory);
	EVERYWHERE(3, semaphore)
	{
		struct stoa_semaphore_status status = { .size = sizeof(status) };
		struct child many = taker(semaphore, 4);

		do
			assert_ok(stoa_semaphore_stat(semaphore, &status));
		while (!status.gate_closed);
		assert_result(stoa_semaphore_wait(semaphore, 2, STOA_NOW),
		              -EAGAIN);
		kill_child(&many);
		assert_ok(stoa_semaphore_wait(semaphore, 2, STOA_NOW));
		assert_ok(stoa_semaphore_wait(semaphore, 1, STOA_NOW));
		assert_ok(stoa_semaphore_stat(semaphore, &status));
		assert_int_equal(status.gate_closed, 0);
	}
	finish(space, memory);
}

/* ---- Random kills --------------------------------------------------------- */

enum { PERMITS = 5, WORKERS = 5, KILLS = 150 };

struct bench {
	struct stoa_semaphore *semaphore;
	_Atomic int inside; /* holders, by their own count; the dead stay in */
};

static void work(void *context)
{
	struct bench *bench = context;
	uint64_t seed = (uint64_t)getpid();

	report(0);
	for (;;) {
		uint32_t permits = 1 + (uint32_t)random_below(&seed, 3);
		int result = stoa_semaphore_wait(
			bench->semaphore, permits,
			random_below(&seed, 4) ?
				STOA_FOREVER :
				stoa_deadline_in((int64_t)random_below(
					&seed, 100000)));

		if (result == -ETIMEDOUT)
			continue;
		assert_int_equal(result, 0);
		for (uint64_t i = random_below(&seed, 300); i > 0; i--)
			bench->inside += 0;
		assert_ok(stoa_semaphore_post(bench->semaphore, permits));
	}
}

TEST(permits_are_conserved_whoever_is_killed_whenever)
{
	struct stoa_space *space;
	void *memory;
	uint64_t seed = run_seed();

	begin(&space, &memory);
	for (int where = 0; where < 3; where++) {
		struct bench *bench = shared_memory();
		struct child workers[WORKERS];

		bench->semaphore = where == 2 ?
			                   place(space, memory, PERMITS, 1) :
			                   make(space, where ? NULL : "s",
			                        PERMITS, 1);
		for (int i = 0; i < WORKERS; i++)
			workers[i] = start_child(work, bench);
		for (int i = 0; i < KILLS; i++) {
			struct child *victim =
				&workers[random_below(&seed, WORKERS)];
			volatile uint64_t spins = random_below(&seed, 200000);

			await_report(victim);
			while (spins > 0)
				spins--;
			kill_child(victim);
			*victim = start_child(work, bench);
		}
		for (int i = 0; i < WORKERS; i++)
			kill_child(&workers[i]);
		assert_result(stoa_semaphore_value(bench->semaphore), PERMITS);
		/* One of them may have left the gate closed. */
		assert_ok(stoa_semaphore_wait(bench->semaphore, PERMITS,
		                              STOA_FOREVER));
		put_away(space, where, bench->semaphore);
		munmap(bench, 4096);
	}
	finish(space, memory);
}

/* Without undo, what the dead had in hand is gone, and no more than that. */
TEST(without_undo_a_death_costs_at_most_what_was_in_hand)
{
	struct stoa_space *space;
	void *memory;
	uint64_t seed = run_seed();

	begin(&space, &memory);
	for (int where = 0; where < 3; where++) {
		struct stoa_semaphore *semaphore =
			where == 2 ? place(space, memory, 1000, 0) :
				     make(space, where ? NULL : "s", 1000, 0);
		int64_t value = 1000;

		for (int i = 0; i < 50; i++) {
			struct bench bench = { .semaphore = semaphore };
			struct child worker = start_child(work, &bench);
			volatile uint64_t spins = random_below(&seed, 100000);

			await_report(&worker);
			while (spins > 0)
				spins--;
			kill_child(&worker);
			int64_t now = stoa_semaphore_value(semaphore);
			assert_true(now <= value && now >= value - 3);
			value = now;
		}
		put_away(space, where, semaphore);
	}
	finish(space, memory);
}

static const struct CMUnitTest cases[] = {
	CASE(who_waits_is_woken_by_a_post),
	CASE(one_post_wakes_one_who_can_use_it),
	CASE(permits_of_the_dead_come_back_with_undo_only),
	CASE(permits_come_back_at_exit_and_no_wait_finds_them),
	CASE(permits_come_back_at_exec),
	CASE(who_waits_is_woken_by_the_death_of_a_holder),
	CASE(a_post_that_was_committed_counts_though_the_poster_died_of_it),
	CASE(a_child_holds_for_itself),
	CASE(who_waits_is_told_of_removal),
	CASE(who_waits_for_many_does_not_starve),
	CASE(a_stopped_one_that_waits_for_many_keeps_nobody_out),
	CASE(a_dead_one_that_waited_for_many_keeps_nobody_out_at_all),
	CASE(permits_are_conserved_whoever_is_killed_whenever),
	CASE(without_undo_a_death_costs_at_most_what_was_in_hand),
};

MAIN(cases)
