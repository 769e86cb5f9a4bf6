/* SPDX-License-Identifier: MIT */
/* kill -9 of those who wait at a barrier, at random too: the others are told,
 * or wait for one more, as the barrier says, and nobody waits on the dead. */
#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void *map_shared(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static struct stoa_barrier *barrier_of(struct stoa_space *space, bool placed,
                                       uint32_t count, uint32_t death)
{
	struct stoa_barrier_attributes attributes = { .size = sizeof(attributes),
		                                      .count = count,
		                                      .death = death };
	struct stoa_barrier *barrier = NULL;

	if (placed)
		assert_ok(stoa_barrier_place(
			space, map_shared(STOA_BARRIER_BYTES_FOR(count)),
			STOA_BARRIER_BYTES_FOR(count), STOA_CREATE, &attributes,
			&barrier));
	else
		assert_ok(stoa_barrier_open(space, "b",
		                            STOA_CREATE | STOA_EXCLUSIVE, 0600,
		                            &attributes, &barrier));
	return barrier;
}

static void put_away(struct stoa_space *space, bool placed,
                     struct stoa_barrier *barrier)
{
	stoa_barrier_close(barrier);
	if (!placed)
		assert_ok(stoa_barrier_unlink(space, "b"));
}

static struct stoa_barrier_status status_of(struct stoa_barrier *barrier)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };

	assert_ok(stoa_barrier_stat(barrier, &status));
	return status;
}

static int ignore(const struct stoa_barrier_waiter *waiter UNUSED,
                  void *context UNUSED)
{
	return 0;
}

/* Counts those whom death took and nobody has found yet, too: a newcomer in
 * their place in the life table may make them look alive for a moment. */
static void until_come(struct stoa_barrier *barrier, uint32_t count)
{
	while (stoa_barrier_each_waiter(barrier, ignore, NULL) != (int)count)
		sched_yield();
}

static void wait_and_tell(void *context)
{
	report(stoa_barrier_wait(context, STOA_FOREVER));
	await_order();
}

static struct child start_waiting(struct stoa_barrier *barrier, uint32_t come)
{
	struct child child = start_child(wait_and_tell, barrier);

	until_come(barrier, come);
	return child;
}

static void finish_child(struct child *child)
{
	give_order(child, 0);
	end_child(child);
}

/* This process is the last to come; but the round is ended by whoever first
 * finds that all have, and that may be one who just looks again. */
static void end_whole_round(struct stoa_barrier *barrier,
                            struct child *children, int count)
{
	int result = stoa_barrier_wait(barrier, STOA_FOREVER);
	int serial = result == STOA_BARRIER_SERIAL;

	assert_true(serial || result == 0);
	for (int i = 0; i < count; i++) {
		int64_t theirs = await_report(&children[i]);

		assert_true(theirs == STOA_BARRIER_SERIAL || theirs == 0);
		serial += theirs == STOA_BARRIER_SERIAL;
		finish_child(&children[i]);
	}
	assert_int_equal(serial, 1);
}

TEST(those_who_wait_are_told_of_a_death_and_the_next_round_is_whole)
{
	for (int placed = 0; placed < 2; placed++) {
		struct stoa_space *space = open_space();
		struct stoa_barrier *barrier =
			barrier_of(space, placed, 4, STOA_BARRIER_BREAKS);
		struct child children[3];

		for (uint32_t i = 0; i < 3; i++)
			children[i] = start_waiting(barrier, i + 1);
		kill_child(&children[1]);
		assert_int_equal(await_report(&children[0]), -EOWNERDEAD);
		assert_int_equal(await_report(&children[2]), -EOWNERDEAD);
		finish_child(&children[0]);
		finish_child(&children[2]);
		assert_int_equal(status_of(barrier).broken, 1);
		assert_int_equal(status_of(barrier).rounds, 1);
		for (uint32_t i = 0; i < 3; i++)
			children[i] = start_waiting(barrier, i + 1);
		end_whole_round(barrier, children, 3);
		assert_int_equal(status_of(barrier).broken, 0);
		put_away(space, placed, barrier);
		stoa_space_close(space);
	}
}

TEST(a_barrier_may_forget_the_dead_and_wait_for_others)
{
	for (int placed = 0; placed < 2; placed++) {
		struct stoa_space *space = open_space();
		struct stoa_barrier *barrier =
			barrier_of(space, placed, 4, STOA_BARRIER_FORGETS);
		struct child children[4];

		for (uint32_t i = 0; i < 3; i++)
			children[i] = start_waiting(barrier, i + 1);
		kill_child(&children[0]);
		kill_child(&children[1]);
		until_come(barrier, 1);
		for (uint32_t i = 0; i < 2; i++)
			children[i] = start_waiting(barrier, i + 2);
		end_whole_round(barrier, children, 3);
		assert_int_equal(status_of(barrier).rounds, 1);
		put_away(space, placed, barrier);
		stoa_space_close(space);
	}
}

TEST(all_who_waited_may_be_dead)
{
	for (uint32_t death = 0; death < 2; death++) {
		struct stoa_space *space = open_space();
		struct stoa_barrier *barrier =
			barrier_of(space, false, 3, death);
		struct child children[3];

		for (uint32_t i = 0; i < 2; i++)
			children[i] = start_waiting(barrier, i + 1);
		/* Neither shall live to see the other's end. */
		stop_child(&children[0]);
		stop_child(&children[1]);
		kill_child(&children[0]);
		kill_child(&children[1]);
		if (death == STOA_BARRIER_BREAKS)
			assert_result(stoa_barrier_wait(barrier, STOA_FOREVER),
			              -EOWNERDEAD);
		else
			assert_result(
				stoa_barrier_wait(barrier,
			                          stoa_deadline_in(200 * MS)),
				-ETIMEDOUT);
		for (uint32_t i = 0; i < 2; i++)
			children[i] = start_waiting(barrier, i + 1);
		end_whole_round(barrier, children, 2);
		put_away(space, false, barrier);
		stoa_space_close(space);
	}
}

TEST(removal_wakes_and_tells_all)
{
	struct stoa_space *space = open_space();
	struct stoa_barrier *barrier =
		barrier_of(space, false, 3, STOA_BARRIER_BREAKS);
	struct child children[2];

	for (uint32_t i = 0; i < 2; i++)
		children[i] = start_waiting(barrier, i + 1);
	assert_ok(stoa_barrier_remove(barrier));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(await_report(&children[i]), -EIDRM);
		finish_child(&children[i]);
	}
	assert_result(stoa_barrier_wait(barrier, STOA_NOW), -EIDRM);
	stoa_barrier_close(barrier);
	stoa_space_close(space);
}

/* ---- Random kills ------------------------------------------------------- */

enum { WORKERS = 4, KILLS = 60 };

struct board {
	struct stoa_barrier *barrier;
	_Atomic int64_t *passes; /* of each worker's place */
};

static struct board board;

static void pass_for_ever(void *context)
{
	int place = (int)(intptr_t)context;

	for (;;) {
		int result = stoa_barrier_wait(board.barrier, STOA_FOREVER);

		if (result < 0 && result != -EOWNERDEAD)
			fail_msg("wait: %d", result);
		atomic_fetch_add(&board.passes[place], 1);
	}
}

static int64_t fewest_passes(void)
{
	int64_t fewest = INT64_MAX;

	for (int i = 0; i < WORKERS; i++) {
		int64_t passes = atomic_load(&board.passes[i]);

		fewest = passes < fewest ? passes : fewest;
	}
	return fewest;
}

static void until_all_pass(void)
{
	for (int i = 0; i < WORKERS; i++)
		atomic_store(&board.passes[i], 0);
	while (fewest_passes() < 3)
		usleep(100);
}

TEST(workers_killed_at_random_are_replaced_and_all_go_on)
{
	uint64_t seed = run_seed();

	for (int kind = 0; kind < 4; kind++) {
		struct stoa_space *space = open_space();
		struct child workers[WORKERS];

		board.barrier = barrier_of(space, kind / 2, WORKERS,
		                           (uint32_t)kind % 2);
		board.passes = map_shared(4096);
		for (intptr_t i = 0; i < WORKERS; i++)
			workers[i] = start_child(pass_for_ever, (void *)i);
		for (int kill = 0; kill < KILLS; kill++) {
			intptr_t victim =
				(intptr_t)random_below(&seed, WORKERS);

			if (random_below(&seed, 4) != 0)
				until_all_pass();
			usleep((useconds_t)random_below(&seed, 300));
			kill_child(&workers[victim]);
			workers[victim] =
				start_child(pass_for_ever, (void *)victim);
		}
		until_all_pass();
		for (int i = 0; i < WORKERS; i++)
			kill_child(&workers[i]);
		put_away(space, kind / 2, board.barrier);
		stoa_space_close(space);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(those_who_wait_are_told_of_a_death_and_the_next_round_is_whole),
	CASE(a_barrier_may_forget_the_dead_and_wait_for_others),
	CASE(all_who_waited_may_be_dead),
	CASE(removal_wakes_and_tells_all),
	CASE(workers_killed_at_random_are_replaced_and_all_go_on),
};
MAIN(cases)
