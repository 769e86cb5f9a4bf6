/* SPDX-License-Identifier: MIT */
/* Many processes at once on one queue, and many creators of one name. */
#include "support.h"

enum { PROCESSES = 96, EACH = 40, CROWD = 1000, CREATORS = 16, RACES = 30 };

static void send_and_receive(void *context)
{
	struct stoa_queue *queue = context;
	char buffer[300];

	for (int i = 0; i < EACH; i++) {
		assert_ok(
			stoa_queue_send(queue, buffer, i % 300, STOA_FOREVER));
		assert_good(stoa_queue_receive(queue, NULL, buffer, 300,
		                               STOA_FOREVER, NULL));
	}
}

TEST(a_hundred_processes_share_a_queue)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct child children[PROCESSES];
		struct stoa_queue *queue = make_queue(
			space, "q",
			(struct queue_shape){ (enum stoa_queue_order)order, 128,
		                              300, 1 << 17 });

		for (size_t i = 0; i < PROCESSES; i++)
			children[i] = start_child(send_and_receive, queue);
		for (size_t i = 0; i < PROCESSES; i++)
			end_child(&children[i]);
		assert_empty(queue);
		assert_int_equal(stat_of(queue).messages_in, PROCESSES * EACH);
		assert_int_equal(stat_of(queue).messages_out, PROCESSES * EACH);
		assert_capacity(queue, 128);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void receive_one(void *context)
{
	uint64_t number;

	assert_result(stoa_queue_receive(context, NULL, &number, sizeof(number),
	                                 STOA_FOREVER, NULL),
	              sizeof(number));
	report((int64_t)number);
}

TEST(a_thousand_processes_wait_and_each_gets_its_message)
{
	static struct child children[CROWD];
	static bool seen[CROWD];
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q", (struct queue_shape){ STOA_FIFO, 64, 100, 8192 });

	for (size_t i = 0; i < CROWD; i++)
		children[i] = start_child(receive_one, queue);
	until_waiting(queue, CROWD, 0);
	for (uint64_t i = 0; i < CROWD; i++)
		assert_ok(stoa_queue_send(queue, &i, sizeof(i), STOA_FOREVER));
	for (size_t i = 0; i < CROWD; i++) {
		int64_t number = await_report(&children[i]);

		assert_in_range(number, 0, CROWD - 1);
		assert_false(seen[number]);
		seen[number] = true;
		end_child(&children[i]);
	}
	assert_empty(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* ---- Creation by many at once ----------------------------------------- */

static void create_and_send(void *context)
{
	struct stoa_queue_attributes attributes = attributes_of(
		(struct queue_shape){ STOA_FIFO, CREATORS, 100, 8192 });
	struct stoa_queue *queue;

	await_order();
	assert_ok(stoa_queue_open(context, "q",
	                          STOA_READ | STOA_WRITE | STOA_CREATE, 0600,
	                          &attributes, &queue));
	send_text(queue, "x");
	stoa_queue_close(queue);
}

TEST(of_many_creators_one_makes_it_and_all_use_it)
{
	struct stoa_space *space = open_space();

	for (int race = 0; race < RACES; race++) {
		struct child children[CREATORS];
		struct stoa_queue *queue;

		for (size_t i = 0; i < CREATORS; i++)
			children[i] = start_child(create_and_send, space);
		for (size_t i = 0; i < CREATORS; i++)
			give_order(&children[i], 0);
		for (size_t i = 0; i < CREATORS; i++)
			end_child(&children[i]);
		queue = join_queue(space, "q");
		assert_int_equal(drain_queue(queue), CREATORS);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void create_alone(void *context)
{
	struct stoa_queue *queue;
	int result;

	await_order();
	result = stoa_queue_open(context, "q",
	                         STOA_READ | STOA_CREATE | STOA_EXCLUSIVE, 0600,
	                         NULL, &queue);
	assert_true(result == 0 || result == -EEXIST);
	if (result == 0)
		stoa_queue_close(queue);
	report(result);
}

TEST(of_many_exclusive_creators_exactly_one_succeeds)
{
	struct stoa_space *space = open_space();

	for (int race = 0; race < RACES; race++) {
		struct child children[CREATORS];
		int made = 0;

		for (size_t i = 0; i < CREATORS; i++)
			children[i] = start_child(create_alone, space);
		for (size_t i = 0; i < CREATORS; i++)
			give_order(&children[i], 0);
		for (size_t i = 0; i < CREATORS; i++) {
			made += await_report(&children[i]) == 0;
			end_child(&children[i]);
		}
		assert_int_equal(made, 1);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void churn(void *context)
{
	struct stoa_queue_attributes attributes =
		attributes_of((struct queue_shape){ STOA_FIFO, 4, 100, 8192 });
	struct stoa_space *space;

	assert_ok(stoa_space_open(context, STOA_CREATE, &space));
	for (int i = 0; i < 200; i++) {
		struct stoa_queue *queue;
		int result;

		assert_ok(stoa_queue_open(space, "q",
		                          STOA_READ | STOA_WRITE | STOA_CREATE,
		                          0600, &attributes, &queue));
		result = stoa_queue_send(queue, "x", 1, STOA_NOW);
		assert_true(result == 0 || result == -EAGAIN ||
		            result == -EIDRM);
		if (i % 3 == 0)
			result = stoa_queue_remove(queue);
		else
			result = stoa_queue_unlink(space, "q");
		assert_true(result == 0 || result == -ENOENT ||
		            result == -EIDRM);
		stoa_queue_close(queue);
	}
	stoa_space_close(space);
}

TEST(making_and_removing_one_name_at_once_is_always_whole)
{
	struct stoa_space *space = open_space();
	struct child children[6];

	for (size_t i = 0; i < LENGTH(children); i++)
		children[i] =
			start_child(churn, (void *)(uintptr_t)case_directory());
	for (size_t i = 0; i < LENGTH(children); i++)
		end_child(&children[i]);
	stoa_queue_unlink(space, "q");
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(creators_killed_at_any_time_leave_no_half_made_queue)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (int round = 0; round < 150; round++) {
		struct child child =
			start_child(churn, (void *)(uintptr_t)case_directory());
		volatile uint64_t spins = random_below(&seed, 3000000);
		struct stoa_queue *queue = NULL;
		int result;

		while (spins > 0)
			spins--;
		kill_child(&child);
		result = stoa_queue_open(space, "q", STOA_READ | STOA_WRITE, 0,
		                         NULL, &queue);
		if (result == 0) {
			drain_queue(queue);
			assert_capacity(queue, 4);
			stoa_queue_close(queue);
			assert_ok(stoa_queue_unlink(space, "q"));
		} else {
			assert_int_equal(result, -ENOENT);
		}
		assert_good(stoa_space_clean(space, 0, NULL, NULL));
		assert_int_equal(count_stale_files(case_directory(), true), 0);
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_hundred_processes_share_a_queue),
	CASE(a_thousand_processes_wait_and_each_gets_its_message),
	CASE(of_many_creators_one_makes_it_and_all_use_it),
	CASE(of_many_exclusive_creators_exactly_one_succeeds),
	CASE(making_and_removing_one_name_at_once_is_always_whole),
	CASE(creators_killed_at_any_time_leave_no_half_made_queue),
};

MAIN(cases)
