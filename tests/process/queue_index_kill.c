/* SPDX-License-Identifier: MIT */
/* Ordered queues whose receivers are killed at random instants: every message
 * is still there, and in order. */
#include "support.h"

enum { MESSAGES = 150, KINDS = 9, ROUNDS = 250, LONGEST_SPIN = 60000 };

struct worker {
	struct stoa_queue *queue;
	uint64_t seed;
};

/* Consumes nothing, but changes the order's index all the time. */
static void take_and_return(void *context)
{
	struct worker *worker = context;
	bool typed = stat_of(worker->queue).order == STOA_TYPE;

	report(0);
	for (;;) {
		struct stoa_selector selector = { STOA_ANY, 0 };
		struct stoa_message message;
		int result;

		if (typed) {
			selector.selection = (enum stoa_selection)random_below(
				&worker->seed, 4);
			selector.type =
				1 + (int64_t)random_below(&worker->seed, KINDS);
		}
		result = stoa_queue_take(worker->queue, &selector, STOA_FOREVER,
		                         &message);
		assert_int_equal(result, 0);
		assert_ok(stoa_queue_return(worker->queue, &message));
	}
}

static void send_all(struct stoa_queue *queue, uint64_t *seed)
{
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct stoa_message message = {
			.data = &i,
			.bytes = sizeof(i),
			.type = 1 + (int64_t)random_below(seed, KINDS),
			.priority = (uint32_t)random_below(seed, KINDS),
		};

		assert_ok(stoa_queue_send_message(queue, &message, STOA_NOW));
	}
}

static bool is_before(const struct stoa_message *a, uint64_t a_id,
                      const struct stoa_message *b, uint64_t b_id, int order,
                      enum stoa_selection selection)
{
	if (order == STOA_PRIORITY && a->priority != b->priority)
		return a->priority > b->priority;
	if (selection == STOA_LOWEST && a->type != b->type)
		return a->type < b->type;
	return a_id < b_id;
}

static void receive_all(struct stoa_queue *queue, int order,
                        enum stoa_selection selection)
{
	struct stoa_selector selector = { selection, KINDS };
	struct stoa_message last;
	uint64_t last_id = 0;

	for (int i = 0; i < MESSAGES; i++) {
		struct stoa_message message;
		uint64_t id;

		assert_result(stoa_queue_receive(queue, &selector, &id,
		                                 sizeof(id), STOA_NOW,
		                                 &message),
		              sizeof(id));
		if (i > 0)
			assert_true(is_before(&last, last_id, &message, id,
			                      order, selection));
		last = message;
		last_id = id;
	}
	assert_empty(queue);
}

static void kill_receivers(int order)
{
	struct stoa_space *space = open_space();
	struct worker worker = { .seed = run_seed() };

	worker.queue =
		make_queue(space, "q",
	                   (struct queue_shape){ (enum stoa_queue_order)order,
	                                         MESSAGES, 80, 4096 });
	for (int round = 0; round < ROUNDS; round++) {
		struct child children[2];

		send_all(worker.queue, &worker.seed);
		for (size_t i = 0; i < LENGTH(children); i++) {
			next_random(&worker.seed);
			children[i] = start_child(take_and_return, &worker);
		}
		for (size_t i = 0; i < LENGTH(children); i++) {
			volatile uint64_t spins =
				random_below(&worker.seed, LONGEST_SPIN);

			await_report(&children[i]);
			while (spins > 0)
				spins--;
			kill_child(&children[i]);
		}
		assert_good(stoa_space_clean(space, 0, NULL, NULL));
		receive_all(worker.queue, order,
		            order == STOA_TYPE && round % 2 == 0 ? STOA_LOWEST
		                                                 : STOA_ANY);
	}
	stoa_queue_close(worker.queue);
	stoa_space_close(space);
}

TEST(receivers_by_priority_that_are_killed_leave_all_messages_in_order)
{
	kill_receivers(STOA_PRIORITY);
}

TEST(receivers_by_type_that_are_killed_leave_all_messages_in_order)
{
	kill_receivers(STOA_TYPE);
}

TEST(receivers_in_turn_that_are_killed_leave_all_messages_in_order)
{
	kill_receivers(STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(receivers_by_priority_that_are_killed_leave_all_messages_in_order),
	CASE(receivers_by_type_that_are_killed_leave_all_messages_in_order),
	CASE(receivers_in_turn_that_are_killed_leave_all_messages_in_order),
};

MAIN(cases)
