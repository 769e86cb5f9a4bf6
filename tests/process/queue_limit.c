/* SPDX-License-Identifier: MIT */
/* Senders and receivers of a queue with limits are killed at random instants:
 * never is more in it than the limit, and afterwards room for all of it. */
#include "support.h"

enum {
	LIMIT = 2000,
	MESSAGES = 12,
	LARGEST = 700,
	WORKERS = 3,
	ROUNDS = 150,
	LONGEST_SPIN = 200000
};

struct worker {
	struct stoa_queue *queue;
	uint64_t seed;
};

static struct stoa_queue *make_limited(struct stoa_space *space,
                                       uint64_t bytes, uint64_t messages)
{
	struct stoa_queue_attributes attributes = attributes_of(
		(struct queue_shape){ STOA_TYPE, 4096, LARGEST, 1 << 20 });
	struct stoa_queue *queue = NULL;

	attributes.limit_bytes = bytes;
	attributes.limit_messages = messages;
	assert_ok(stoa_queue_open(space, "q",
	                          STOA_READ | STOA_WRITE | STOA_CREATE, 0600,
	                          &attributes, &queue));
	return queue;
}

static void check_count(struct stoa_queue *queue)
{
	struct stoa_queue_count count = { .size = sizeof(count) };

	assert_ok(stoa_queue_count(queue, &count));
	assert_true(count.bytes <= count.limit_bytes);
	assert_true(count.messages <= count.limit_messages);
}

static void send_and_receive(void *context)
{
	struct worker *worker = context;
	char data[LARGEST];

	memset(data, 'x', sizeof(data));
	report(0);
	for (;;) {
		uint64_t chance = random_below(&worker->seed, 16);
		int result;

		if (chance == 0) {
			check_count(worker->queue);
			continue;
		}
		result = chance % 2 == 0 ?
		                 stoa_queue_send(
					 worker->queue, data,
					 random_below(&worker->seed, LARGEST),
					 STOA_NOW) :
		                 (int)stoa_queue_receive(worker->queue, NULL,
		                                         data, sizeof(data),
		                                         STOA_NOW, NULL);
		assert_true(result >= 0 || result == -EAGAIN);
	}
}

/* What is in the queue now is within the limit. */
static void drain(struct stoa_queue *queue, uint64_t bytes, uint64_t messages)
{
	char data[LARGEST];
	uint64_t got_bytes = 0, got = 0;
	ssize_t result;

	while ((result = stoa_queue_receive(queue, NULL, data, sizeof(data),
	                                    STOA_NOW, NULL)) >= 0) {
		got_bytes += (uint64_t)result;
		got++;
	}
	assert_int_equal(result, -EAGAIN);
	assert_true(got_bytes <= bytes);
	assert_true(got <= messages);
}

/* Nobody is about; so much more fits exactly, though nobody has buried the
 * dead yet. */
static void fill(struct stoa_queue *queue, uint64_t bytes, uint64_t messages)
{
	struct stoa_queue_count count = { .size = sizeof(count) };
	uint64_t sent = 0;
	int result;

	assert_ok(stoa_queue_count(queue, &count));
	while ((result = stoa_queue_send(queue, "x", 1, STOA_NOW)) == 0)
		sent++;
	assert_int_equal(result, -EAGAIN);
	if (bytes - count.bytes < messages - count.messages)
		assert_int_equal(sent, bytes - count.bytes);
	else
		assert_int_equal(sent, messages - count.messages);
}

static void kill_workers(uint64_t bytes, uint64_t messages)
{
	struct stoa_space *space = open_space();
	struct worker worker = { .seed = run_seed() };

	worker.queue = make_limited(space, bytes, messages);
	for (int round = 0; round < ROUNDS; round++) {
		struct child children[WORKERS];

		for (size_t i = 0; i < WORKERS; i++) {
			next_random(&worker.seed);
			children[i] = start_child(send_and_receive, &worker);
		}
		for (size_t i = 0; i < WORKERS; i++) {
			volatile uint64_t spins =
				random_below(&worker.seed, LONGEST_SPIN);

			await_report(&children[i]);
			while (spins > 0)
				spins--;
			kill_child(&children[i]);
		}
		if (round % 3 != 0)
			fill(worker.queue, bytes, messages);
		drain(worker.queue, bytes, messages);
		if (round % 3 != 1)
			fill(worker.queue, bytes, messages);
		drain(worker.queue, bytes, messages);
	}
	stoa_queue_close(worker.queue);
	stoa_space_close(space);
}

TEST(killed_ones_leave_the_limit_in_bytes_true)
{
	kill_workers(LIMIT, STOA_QUEUE_UNLIMITED);
}

TEST(killed_ones_leave_the_limit_in_messages_true)
{
	kill_workers(STOA_QUEUE_UNLIMITED, MESSAGES);
}

static void send_for_ever(void *context)
{
	char byte = 'x';

	report(0);
	while (stoa_queue_send(context, &byte, 1, STOA_FOREVER) == 0)
		;
}

/* Room that a dead one had is room for who sleeps. */
TEST(who_waits_for_room_is_woken_when_one_with_it_dies)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, 10, 0);
	uint64_t seed = run_seed();

	for (int round = 0; round < ROUNDS; round++) {
		struct child children[2];
		volatile uint64_t spins = random_below(&seed, LONGEST_SPIN / 4);
		char byte;

		for (size_t i = 0; i < LENGTH(children); i++) {
			children[i] = start_child(send_for_ever, queue);
			await_report(&children[i]);
		}
		while (spins > 0)
			spins--;
		kill_child(&children[0]);
		for (int i = 0; i < 50; i++)
			assert_result(stoa_queue_receive(queue, NULL, &byte, 1,
			                                 STOA_FOREVER, NULL),
			              1);
		kill_child(&children[1]);
		drain(queue, 10, STOA_QUEUE_UNLIMITED);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(killed_ones_leave_the_limit_in_bytes_true),
	CASE(killed_ones_leave_the_limit_in_messages_true),
	CASE(who_waits_for_room_is_woken_when_one_with_it_dies),
};

MAIN(cases)
