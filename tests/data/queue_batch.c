/* SPDX-License-Identifier: MIT */
/* Batches: as many as there is room for, as many as there are, waiting only
 * for the first. */
#include "support.h"

enum { CAPACITY = 10, COUNT = 16, BYTES = 5000 };

static const struct queue_shape fifo = { STOA_FIFO, CAPACITY, BYTES, 1 << 17 };

static void prepare(struct stoa_message *messages, uint64_t *numbers,
                    size_t count)
{
	memset(messages, 0, count * sizeof(*messages));
	for (size_t i = 0; i < count; i++) {
		messages[i].data = &numbers[i];
		messages[i].bytes = sizeof(numbers[i]);
		messages[i].buffer_bytes = sizeof(numbers[i]);
		messages[i].type = 1;
	}
}

TEST(as_many_are_sent_as_there_is_room_for_and_in_order)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = fifo;
		struct stoa_queue *queue;
		struct stoa_message messages[COUNT];
		uint64_t numbers[COUNT];

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		prepare(messages, numbers, COUNT);
		for (size_t i = 0; i < COUNT; i++)
			numbers[i] = i;
		assert_result(
			stoa_queue_send_many(queue, messages, 3, STOA_NOW), 3);
		assert_result(stoa_queue_send_many(queue, &messages[3],
		                                   COUNT - 3, STOA_FOREVER),
		              CAPACITY - 3);
		assert_result(stoa_queue_send_many(queue, messages, COUNT,
		                                   STOA_NOW),
		              -EAGAIN);
		assert_result(stoa_queue_send_many(queue, messages, COUNT,
		                                   stoa_deadline_in(MS)),
		              -ETIMEDOUT);
		memset(numbers, 0xFF, sizeof(numbers));
		assert_result(stoa_queue_receive_many(queue, NULL, messages, 4,
		                                      STOA_NOW),
		              4);
		assert_result(stoa_queue_receive_many(queue, NULL, &messages[4],
		                                      COUNT - 4, STOA_FOREVER),
		              CAPACITY - 4);
		for (size_t i = 0; i < CAPACITY; i++) {
			assert_int_equal(numbers[i], i);
			assert_int_equal(messages[i].bytes, 8);
			assert_ptr_equal(messages[i].data, &numbers[i]);
		}
		assert_result(stoa_queue_receive_many(queue, NULL, messages,
		                                      COUNT, STOA_NOW),
		              -EAGAIN);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(long_batches_of_random_sizes_keep_order_and_content)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", fifo);
	static unsigned char out[COUNT][BYTES];
	static unsigned char in[COUNT][BYTES];
	struct stoa_message messages[COUNT];
	uint64_t seed = run_seed();
	uint64_t sent = 0;
	uint64_t received = 0;

	while (received < 3000) {
		size_t count = 1 + random_below(&seed, COUNT);
		int result;

		memset(messages, 0, sizeof(messages));
		for (size_t i = 0; i < count; i++) {
			messages[i].data = out[i];
			messages[i].bytes = (sent + i) * 7919 % BYTES;
			messages[i].type = 1;
			fill_pattern(out[i], messages[i].bytes, sent + i);
		}
		result = stoa_queue_send_many(queue, messages, count, STOA_NOW);
		if (result != -EAGAIN)
			sent += (uint64_t)assert_good(result);
		count = 1 + random_below(&seed, COUNT);
		for (size_t i = 0; i < count; i++) {
			messages[i].data = in[i];
			messages[i].buffer_bytes = BYTES;
		}
		result = stoa_queue_receive_many(queue, NULL, messages, count,
		                                 STOA_NOW);
		if (result == -EAGAIN)
			continue;
		assert_good(result);
		for (int i = 0; i < result; i++, received++) {
			assert_int_equal(messages[i].bytes,
			                 received * 7919 % BYTES);
			assert_true(has_pattern(in[i], messages[i].bytes,
			                        received));
		}
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_message_too_large_ends_a_batch_before_it)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", fifo);
	struct stoa_message messages[4];
	uint64_t numbers[4] = { 0, 1, 2, 3 };
	static char big[BYTES + 1];
	int result;

	prepare(messages, numbers, 4);
	messages[0].data = big;
	messages[0].bytes = sizeof(big);
	assert_result(stoa_queue_send_many(queue, messages, 4, STOA_NOW),
	              -EMSGSIZE);
	assert_empty(queue);
	prepare(messages, numbers, 4);
	messages[2].data = big;
	messages[2].bytes = sizeof(big);
	result = stoa_queue_send_many(queue, messages, 4, STOA_NOW);
	if (result != 2 && result != -EMSGSIZE)
		fail_msg("gave %d", result);
	assert_int_equal(drain_queue(queue), result == 2 ? 2 : 0);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_buffer_too_small_ends_a_batch_before_it)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", fifo);
	struct stoa_message messages[4];
	uint64_t numbers[4] = { 0, 1, 2, 3 };

	send_text(queue, "one");
	send_text(queue, "two");
	send_text(queue, "too large");
	send_text(queue, "four");
	prepare(messages, numbers, 4);
	assert_result(
		stoa_queue_receive_many(queue, NULL, messages, 4, STOA_NOW), 2);
	assert_memory_equal(&numbers[0], "one", 3);
	assert_memory_equal(&numbers[1], "two", 3);
	assert_result(stoa_queue_receive_many(queue, NULL, messages, 4,
	                                      STOA_NOW),
	              -EMSGSIZE);
	assert_receives(queue, "too large");
	assert_receives(queue, "four");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_batch_ends_where_the_bytes_end)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q",
		(struct queue_shape){ STOA_FIFO, 100, 4096, 8 * 4096 });
	static char data[4096];
	struct stoa_message messages[50];
	int result;

	memset(messages, 0, sizeof(messages));
	for (size_t i = 0; i < LENGTH(messages); i++)
		messages[i] = (struct stoa_message){ .data = data,
			                             .bytes = sizeof(data),
			                             .type = 1 };
	result = stoa_queue_send_many(queue, messages, LENGTH(messages),
	                              STOA_NOW);
	assert_true(result >= 7 && result < 50);
	assert_result(stoa_queue_send_many(queue, messages, 1, STOA_NOW),
	              -EAGAIN);
	assert_int_equal(drain_queue(queue), result);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_batch_is_received_by_type)
{
	struct stoa_space *space = open_space();
	struct queue_shape shape = fifo;
	struct stoa_queue *queue;
	struct stoa_selector exactly = { STOA_EXACTLY, 2 };
	struct stoa_message messages[4];
	uint64_t numbers[4];

	shape.order = STOA_TYPE;
	queue = make_queue(space, "q", shape);
	send_typed(queue, 1, "a");
	send_typed(queue, 2, "b");
	send_typed(queue, 3, "c");
	send_typed(queue, 2, "d");
	prepare(messages, numbers, 4);
	assert_result(stoa_queue_receive_many(queue, &exactly, messages, 4,
	                                      STOA_NOW),
	              2);
	assert_memory_equal(&numbers[0], "b", 1);
	assert_memory_equal(&numbers[1], "d", 1);
	assert_int_equal(messages[1].type, 2);
	assert_receives(queue, "a");
	assert_receives(queue, "c");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_batch_goes_out_by_priority)
{
	struct stoa_space *space = open_space();
	struct queue_shape shape = fifo;
	struct stoa_queue *queue;
	struct stoa_message messages[5];
	uint64_t numbers[5] = { 0, 1, 2, 3, 4 };
	static const uint32_t priorities[] = { 1, 7, 0, 7, 32767 };
	static const uint64_t expected[] = { 4, 1, 3, 0, 2 };

	shape.order = STOA_PRIORITY;
	queue = make_queue(space, "q", shape);
	prepare(messages, numbers, 5);
	for (size_t i = 0; i < 5; i++)
		messages[i].priority = priorities[i];
	assert_result(stoa_queue_send_many(queue, messages, 5, STOA_NOW), 5);
	assert_result(
		stoa_queue_receive_many(queue, NULL, messages, 5, STOA_NOW), 5);
	assert_memory_equal(numbers, expected, sizeof(expected));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(as_many_are_sent_as_there_is_room_for_and_in_order),
	CASE(long_batches_of_random_sizes_keep_order_and_content),
	CASE(a_message_too_large_ends_a_batch_before_it),
	CASE(a_buffer_too_small_ends_a_batch_before_it),
	CASE(a_batch_ends_where_the_bytes_end),
	CASE(a_batch_is_received_by_type),
	CASE(a_batch_goes_out_by_priority),
};

MAIN(cases)
