/* SPDX-License-Identifier: MIT */
/* Limits in bytes and messages, as msg_qbytes; counting; and messages cut to
 * the buffer, as MSG_NOERROR does. */
#include "support.h"

#include <sys/stat.h>

enum { ROOM = 64, LARGE = 1000 };

static char data[4 * LARGE];

static struct stoa_queue *make_limited(struct stoa_space *space, int order,
                                       uint64_t bytes, uint64_t messages)
{
	struct stoa_queue_attributes attributes = attributes_of(
		(struct queue_shape){ (enum stoa_queue_order)order, ROOM,
	                              4 * LARGE, 0 });
	struct stoa_queue *queue = NULL;

	attributes.limit_bytes = bytes;
	attributes.limit_messages = messages;
	assert_ok(stoa_queue_open(space, "q",
	                          STOA_READ | STOA_WRITE | STOA_CREATE |
	                                  STOA_EXCLUSIVE,
	                          0600, &attributes, &queue));
	return queue;
}

static int try_send(struct stoa_queue *queue, size_t bytes)
{
	return stoa_queue_send(queue, data, bytes, STOA_NOW);
}

static struct stoa_queue_count count_of(struct stoa_queue *queue)
{
	struct stoa_queue_count count = { .size = sizeof(count) };

	assert_ok(stoa_queue_count(queue, &count));
	return count;
}

static void assert_count(struct stoa_queue *queue, uint64_t messages,
                         uint64_t bytes)
{
	assert_int_equal(count_of(queue).messages, messages);
	assert_int_equal(count_of(queue).bytes, bytes);
	assert_int_equal(stat_of(queue).messages, messages);
	assert_int_equal(stat_of(queue).bytes, bytes);
}

static void receive_bytes(struct stoa_queue *queue, size_t bytes)
{
	char buffer[4 * LARGE];

	assert_result(stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                                 STOA_NOW, NULL),
	              (ssize_t)bytes);
}

static void discard(struct stoa_space *space, struct stoa_queue *queue)
{
	stoa_queue_close(queue);
	assert_ok(stoa_queue_unlink(space, "q"));
}

TEST(bytes_are_limited_exactly)
{
	static const size_t sizes[] = { 1, 80, 81, LARGE };
	struct stoa_space *space = open_space();

	for (int order = STOA_PRIORITY; order <= STOA_TYPE; order++) {
		for (size_t i = 0; i < LENGTH(sizes); i++) {
			size_t bytes = sizes[i];
			struct stoa_queue *queue =
				make_limited(space, order, 3 * bytes, 0);

			for (int round = 0; round < 5; round++) {
				assert_ok(try_send(queue, bytes));
				assert_ok(try_send(queue, 2 * bytes));
				assert_result(try_send(queue, 1), -EAGAIN);
				assert_ok(try_send(queue, 0));
				assert_count(queue, 3, 3 * bytes);
				receive_bytes(queue, bytes);
				assert_result(try_send(queue, bytes + 1),
				              -EAGAIN);
				assert_ok(try_send(queue, bytes));
				receive_bytes(queue, 2 * bytes);
				receive_bytes(queue, 0);
				receive_bytes(queue, bytes);
				assert_count(queue, 0, 0);
			}
			discard(space, queue);
		}
	}
	stoa_space_close(space);
}

TEST(messages_are_limited_exactly_empty_ones_too)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 0, 3);

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 3; i++)
			assert_ok(try_send(queue, 0));
		assert_result(try_send(queue, 0), -EAGAIN);
		receive_bytes(queue, 0);
		assert_ok(try_send(queue, LARGE));
		assert_result(try_send(queue, 0), -EAGAIN);
		receive_bytes(queue, 0);
		receive_bytes(queue, 0);
		receive_bytes(queue, LARGE);
	}
	discard(space, queue);
	stoa_space_close(space);
}

TEST(a_message_over_the_limit_waits_for_a_higher_one)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 10, 0);

	assert_result(try_send(queue, 11), -EAGAIN);
	assert_ok(stoa_queue_set_limit(queue, 11, STOA_QUEUE_UNLIMITED));
	assert_ok(try_send(queue, 11));
	discard(space, queue);
	stoa_space_close(space);
}

TEST(a_lowered_limit_keeps_what_is_in)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 100, 10);

	for (int i = 0; i < 10; i++)
		assert_ok(try_send(queue, 10));
	assert_ok(stoa_queue_set_limit(queue, 50, 5));
	assert_int_equal(count_of(queue).limit_bytes, 50);
	assert_int_equal(count_of(queue).limit_messages, 5);
	for (int i = 0; i < 6; i++) {
		assert_result(try_send(queue, 0), -EAGAIN);
		receive_bytes(queue, 10);
	}
	assert_ok(try_send(queue, 10));
	assert_result(try_send(queue, 0), -EAGAIN);
	assert_int_equal(drain_queue(queue), 5);
	assert_ok(stoa_queue_set_limit(queue, 0, 0));
	assert_result(try_send(queue, 0), -EAGAIN);
	assert_ok(stoa_queue_set_limit(queue, 0, 2));
	assert_ok(try_send(queue, 0));
	assert_result(try_send(queue, 1), -EAGAIN);
	assert_ok(try_send(queue, 0));
	assert_result(try_send(queue, 0), -EAGAIN);
	discard(space, queue);
	stoa_space_close(space);
}

TEST(no_limit_is_none)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 0, 1);

	assert_int_equal(count_of(queue).limit_bytes, STOA_QUEUE_UNLIMITED);
	assert_ok(stoa_queue_set_limit(queue, UINT64_C(1) << 36,
	                               UINT64_C(1) << 28));
	assert_int_equal(count_of(queue).limit_bytes, STOA_QUEUE_UNLIMITED);
	assert_int_equal(count_of(queue).limit_messages, STOA_QUEUE_UNLIMITED);
	assert_int_equal(fill_queue(queue), ROOM);
	discard(space, queue);
	stoa_space_close(space);
}

TEST(only_ordered_queues_made_with_limits_have_them)
{
	struct stoa_space *space = open_space();
	struct stoa_queue_attributes attributes =
		attributes_of((struct queue_shape){ STOA_FIFO, 4, 80, 0 });
	struct stoa_queue *queue;

	attributes.limit_messages = 1;
	assert_result(stoa_queue_open(space, "q", STOA_READ | STOA_CREATE, 0600,
	                              &attributes, &queue),
	              -EINVAL);
	assert_sentence("ordered");
	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		queue = make_limited(space, order, 0, 0);
		assert_result(stoa_queue_set_limit(queue, 1, 1), -EINVAL);
		assert_sentence("without limits");
		assert_int_equal(count_of(queue).limit_bytes,
		                 STOA_QUEUE_UNLIMITED);
		assert_int_equal(count_of(queue).limit_messages,
		                 STOA_QUEUE_UNLIMITED);
		discard(space, queue);
	}
	stoa_space_close(space);
}

TEST(what_is_taken_or_reserved_counts)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 30, 0);
	struct stoa_message taken, reserved;

	assert_ok(try_send(queue, 10));
	assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &taken));
	assert_ok(stoa_queue_reserve(queue, 20, STOA_NOW, &reserved));
	assert_result(try_send(queue, 1), -EAGAIN);
	assert_ok(stoa_queue_return(queue, &taken));
	assert_result(try_send(queue, 1), -EAGAIN);
	assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &taken));
	assert_ok(stoa_queue_acknowledge(queue, &taken));
	assert_result(try_send(queue, 11), -EAGAIN);
	assert_ok(try_send(queue, 10));
	assert_ok(stoa_queue_cancel(queue, &reserved));
	assert_ok(stoa_queue_reserve(queue, 20, STOA_NOW, &reserved));
	reserved.bytes = 5;
	assert_ok(stoa_queue_commit(queue, &reserved));
	assert_result(try_send(queue, 1), -EAGAIN);
	receive_bytes(queue, 10);
	receive_bytes(queue, 5);
	assert_ok(try_send(queue, 30));
	assert_int_equal(stoa_queue_purge(queue), 1);
	assert_count(queue, 0, 0);
	assert_ok(try_send(queue, 30));
	assert_result(try_send(queue, 1), -EAGAIN);
	discard(space, queue);
	stoa_space_close(space);
}

TEST(a_closed_handles_messages_count_no_longer)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 30, 0);
	struct stoa_queue *other = join_queue(space, "q");
	struct stoa_message message;

	assert_ok(stoa_queue_reserve(other, 30, STOA_NOW, &message));
	assert_result(try_send(queue, 1), -EAGAIN);
	stoa_queue_close(other);
	assert_ok(try_send(queue, 30));
	other = join_queue(space, "q");
	assert_ok(stoa_queue_take(other, NULL, STOA_NOW, &message));
	stoa_queue_close(other);
	assert_result(try_send(queue, 1), -EAGAIN);
	assert_count(queue, 1, 30);
	receive_bytes(queue, 30);
	assert_ok(try_send(queue, 30));
	discard(space, queue);
	stoa_space_close(space);
}

static void send_and_report(void *context)
{
	report(stoa_queue_send(context, data, 20, STOA_FOREVER));
}

TEST(a_sender_that_waits_is_woken_by_a_higher_limit_or_by_room)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 30, 0);
	struct child child;

	assert_ok(try_send(queue, 30));
	child = start_child(send_and_report, queue);
	until_waiting(queue, 0, 1);
	assert_ok(stoa_queue_set_limit(queue, 50, STOA_QUEUE_UNLIMITED));
	assert_int_equal(await_report(&child), 0);
	end_child(&child);
	child = start_child(send_and_report, queue);
	until_waiting(queue, 0, 1);
	receive_bytes(queue, 30);
	assert_int_equal(await_report(&child), 0);
	end_child(&child);
	child = start_child(send_and_report, queue);
	until_waiting(queue, 0, 1);
	assert_ok(stoa_queue_remove(queue));
	assert_int_equal(await_report(&child), -EIDRM);
	end_child(&child);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(who_waits_for_room_waits_for_the_limit)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 2, 0);
	struct stoa_wait wait = { .kind = STOA_WRITABLE,
		                  .object = stoa_queue_object(queue) };

	assert_good(stoa_wait_any(&wait, 1, STOA_NOW));
	assert_ok(try_send(queue, 2));
	assert_result(stoa_wait_any(&wait, 1, STOA_NOW), -EAGAIN);
	receive_bytes(queue, 2);
	assert_good(stoa_wait_any(&wait, 1, STOA_NOW));
	discard(space, queue);
	stoa_space_close(space);
}

/* ---- Growth ------------------------------------------------------------------ */

static struct stoa_queue *make_wide(struct stoa_space *space, uint64_t capacity)
{
	struct stoa_queue_attributes attributes = attributes_of(
		(struct queue_shape){ STOA_TYPE, capacity, 100, 8192 });
	struct stoa_queue *queue = NULL;

	attributes.limit_messages = capacity;
	assert_ok(stoa_queue_open(space, "q",
	                          STOA_READ | STOA_WRITE | STOA_CREATE, 0600,
	                          &attributes, &queue));
	return queue;
}

static int64_t memory_of(const char *name)
{
	struct stat stat_buffer;

	assert_system(stat(case_path(name), &stat_buffer));
	return stat_buffer.st_blocks * 512;
}

TEST(memory_is_taken_as_places_are_first_used)
{
	static const uint64_t capacities[] = { 1,   2,   63,  64,   65,
		                               255, 256, 257, 1000, 16384 };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(capacities); i++) {
		struct stoa_queue *queue = make_wide(space, capacities[i]);
		struct stoa_queue *other = join_queue(space, "q");

		assert_empty(queue);
		assert_int_equal(stat_of(other).messages, 0);
		if (capacities[i] == 16384)
			assert_true(memory_of("q.queue") < 200000);
		for (int round = 0; round < 3; round++)
			assert_capacity(round % 2 == 0 ? queue : other,
			                capacities[i]);
		send_text(other, "x");
		assert_count(queue, 1, 1);
		stoa_queue_close(other);
		discard(space, queue);
	}
	stoa_space_close(space);
}

TEST(a_sender_is_told_of_a_full_tmpfs)
{
	struct stoa_space *space;
	struct stoa_queue *queue;
	uint64_t sent = 0;
	int result;

	mount_small_space("2m");
	space = open_space();
	queue = make_wide(space, 16384);
	while ((result = try_send(queue, 1)) == 0)
		sent++;
	assert_int_equal(result, -ENOSPC);
	assert_sentence("tmpfs is full");
	assert_true(sent > 256);
	for (int round = 0; round < 3; round++) {
		assert_count(queue, sent, sent);
		assert_result(try_send(queue, 1), -ENOSPC);
	}
	assert_int_equal(drain_queue(queue), sent);
	discard(space, queue);
	stoa_space_close(space);
}

TEST(memory_for_large_messages_is_taken_as_it_is_first_used)
{
	struct stoa_queue_attributes attributes = attributes_of(
		(struct queue_shape){ STOA_TYPE, 1024, LARGE, 4 << 20 });
	struct stoa_space *space;
	struct stoa_queue *queue, *other;
	uint64_t sent = 0;
	int result;

	mount_small_space("1m");
	space = open_space();
	attributes.limit_messages = 1024;
	assert_ok(stoa_queue_open(space, "q",
	                          STOA_READ | STOA_WRITE | STOA_CREATE, 0600,
	                          &attributes, &queue));
	other = join_queue(space, "q");
	assert_true(memory_of("q.queue") < 200000);
	assert_capacity(queue, 1024); /* all places have memory then */
	while ((result = try_send(sent % 2 ? other : queue, LARGE)) == 0)
		sent++;
	assert_int_equal(result, -ENOSPC);
	assert_sentence("tmpfs is full");
	assert_true(sent > 100);
	for (int round = 0; round < 3; round++) {
		assert_result(try_send(other, LARGE), -ENOSPC);
		assert_count(queue, sent, sent * LARGE);
	}
	/* What failed has kept nothing. */
	for (int round = 0; round < 3; round++) {
		assert_int_equal(drain_queue(queue), sent);
		for (uint64_t i = 0; i < sent; i++)
			assert_ok(try_send(other, LARGE));
	}
	stoa_queue_close(other);
	discard(space, queue);
	stoa_space_close(space);
}

/* ---- Counting --------------------------------------------------------------- */

static void send_one(void *context)
{
	assert_ok(stoa_queue_send(context, data, 7, STOA_NOW));
	report(getpid());
}

static void receive_one(void *context)
{
	receive_bytes(context, 7);
	report(getpid());
}

static int64_t by_another(void (*run)(void *), struct stoa_queue *queue)
{
	struct child child = start_child(run, queue);
	int64_t pid = await_report(&child);

	end_child(&child);
	return pid;
}

TEST(a_count_says_who_was_last)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_limited(space, STOA_TYPE, 1000, 0);
	struct stoa_queue_count count = count_of(queue);

	assert_int_equal(count.last_sender_pid, 0);
	assert_int_equal(count.last_receiver_pid, 0);
	assert_int_equal(count.last_send_ns, 0);
	assert_int_equal(count.last_receive_ns, 0);
	for (int i = 0; i < 20; i++) {
		int64_t pid = by_another(send_one, queue);

		assert_int_equal(count_of(queue).last_sender_pid, pid);
		assert_ok(try_send(queue, 7));
		assert_int_equal(count_of(queue).last_sender_pid, getpid());
		assert_true(count_of(queue).last_send_ns > 0);
		pid = by_another(receive_one, queue);
		assert_int_equal(count_of(queue).last_receiver_pid, pid);
		receive_bytes(queue, 7);
		assert_int_equal(count_of(queue).last_receiver_pid, getpid());
		assert_int_equal(count_of(queue).last_sender_pid, getpid());
		assert_true(count_of(queue).last_receive_ns > 0);
	}
	discard(space, queue);
	stoa_space_close(space);
}

TEST(a_count_of_any_queue_is_true)
{
	struct stoa_space *space = open_space();
	struct stoa_queue_count wrong = { .size = 8 };

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = make_limited(space, order, 0, 0);
		struct stoa_message message;

		assert_result(stoa_queue_count(queue, &wrong), -EINVAL);
		for (uint64_t i = 1; i <= 20; i++) {
			assert_ok(try_send(queue, 9));
			assert_count(queue, i, 9 * i);
		}
		assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &message));
		assert_count(queue, 19, 9 * 19);
		assert_ok(stoa_queue_return(queue, &message));
		assert_count(queue, 20, 9 * 20);
		receive_bytes(queue, 9);
		assert_count(queue, 19, 9 * 19);
		assert_int_equal(count_of(queue).last_receiver_pid, getpid());
		assert_int_equal(stoa_queue_purge(queue), 19);
		assert_count(queue, 0, 0);
		assert_ok(try_send(queue, 9));
		assert_count(queue, 1, 9);
		discard(space, queue);
	}
	stoa_space_close(space);
}

/* ---- Cutting, and peeking by age -------------------------------------------- */

TEST(a_message_is_cut_to_the_buffer_in_one_step)
{
	static const size_t sizes[] = { 4, 80, 81, LARGE, 4 * LARGE };
	struct stoa_space *space = open_space();

	fill_pattern(data, sizeof(data), 1);
	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = make_limited(
			space, order, order == STOA_TYPE ? 100000 : 0, 0);

		for (size_t i = 0; i < LENGTH(sizes); i++) {
			char buffer[4 * LARGE] = { 0 };
			struct stoa_message message = { 0 };

			assert_ok(try_send(queue, sizes[i]));
			assert_result(stoa_queue_receive(queue, NULL, buffer, 3,
			                                 STOA_NOW, &message),
			              -EMSGSIZE);
			assert_int_equal(message.bytes, sizes[i]);
			assert_result(stoa_queue_receive_cut(queue, NULL,
			                                     buffer, 3,
			                                     STOA_NOW,
			                                     &message),
			              (ssize_t)sizes[i]);
			assert_int_equal(message.bytes, sizes[i]);
			assert_memory_equal(buffer, data, 3);
			assert_int_equal(buffer[3], 0);
			assert_empty(queue);
			assert_ok(try_send(queue, sizes[i]));
			assert_result(stoa_queue_receive_cut(queue, NULL, NULL,
			                                     0, STOA_NOW, NULL),
			              (ssize_t)sizes[i]);
			assert_ok(try_send(queue, sizes[i]));
			assert_result(stoa_queue_receive_cut(
					      queue, NULL, buffer,
					      sizeof(buffer), STOA_NOW, NULL),
			              (ssize_t)sizes[i]);
			assert_memory_equal(buffer, data, sizes[i]);
		}
		discard(space, queue);
	}
	stoa_space_close(space);
}

TEST(peeking_by_age_counts_in_the_order_of_sending)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = make_limited(space, order, 0, 0);
		char buffer[2];

		for (uint32_t i = 0; i < 10; i++) {
			char text[3] = { 'a', (char)('0' + i), 0 };
			struct stoa_message message = { .data = text,
				                        .bytes = 3,
				                        .type = 10 - i,
				                        .priority = i % 3 };

			assert_ok(stoa_queue_send_message(queue, &message,
			                                  STOA_NOW));
		}
		for (uint32_t i = 0; i < 10; i++) {
			assert_result(stoa_queue_peek_at(queue, i, buffer, 2,
			                                 NULL),
			              3);
			assert_int_equal(buffer[1], '0' + i);
		}
		assert_result(stoa_queue_peek_at(queue, 10, buffer, 2, NULL),
		              -ENOMSG);
		assert_int_equal(stat_of(queue).messages, 10);
		discard(space, queue);
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(bytes_are_limited_exactly),
	CASE(messages_are_limited_exactly_empty_ones_too),
	CASE(a_message_over_the_limit_waits_for_a_higher_one),
	CASE(a_lowered_limit_keeps_what_is_in),
	CASE(no_limit_is_none),
	CASE(only_ordered_queues_made_with_limits_have_them),
	CASE(what_is_taken_or_reserved_counts),
	CASE(a_closed_handles_messages_count_no_longer),
	CASE(a_sender_that_waits_is_woken_by_a_higher_limit_or_by_room),
	CASE(who_waits_for_room_waits_for_the_limit),
	CASE(memory_is_taken_as_places_are_first_used),
	CASE(a_sender_is_told_of_a_full_tmpfs),
	CASE(memory_for_large_messages_is_taken_as_it_is_first_used),
	CASE(a_count_says_who_was_last),
	CASE(a_count_of_any_queue_is_true),
	CASE(a_message_is_cut_to_the_buffer_in_one_step),
	CASE(peeking_by_age_counts_in_the_order_of_sending),
};

MAIN(cases)
