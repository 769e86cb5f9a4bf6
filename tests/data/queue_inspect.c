/* SPDX-License-Identifier: MIT */
/* Peek, purge and stat. */
#include "support.h"

#include <time.h>

enum { CAPACITY = 8 };

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, CAPACITY, 8192, 1 << 17 },
	{ STOA_PRIORITY, CAPACITY, 8192, 1 << 17 },
	{ STOA_TYPE, CAPACITY, 8192, 1 << 17 },
};

static void assert_peeks(struct stoa_queue *queue, enum stoa_selection kind,
                         int64_t type, uint64_t n, const char *text)
{
	struct stoa_selector selector = { kind, type };
	struct stoa_message message;
	char buffer[100];

	assert_result(stoa_queue_peek(queue, &selector, n, buffer,
	                              sizeof(buffer), &message),
	              (ssize_t)strlen(text));
	assert_memory_equal(buffer, text, strlen(text));
	assert_int_equal(message.bytes, strlen(text));
	assert_int_equal(message.sender_pid, getpid());
}

static void assert_no_nth(struct stoa_queue *queue, enum stoa_selection kind,
                          int64_t type, uint64_t n)
{
	struct stoa_selector selector = { kind, type };

	assert_result(stoa_queue_peek(queue, &selector, n, NULL, 0, NULL),
	              -ENOMSG);
}

TEST(peek_copies_the_nth_without_consuming)
{
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct stoa_queue *queue = make_queue(space, "q", shapes[i]);

		assert_no_nth(queue, STOA_ANY, 0, 0);
		send_text(queue, "zero");
		send_text(queue, "one");
		send_text(queue, "two");
		for (int round = 0; round < 3; round++) {
			assert_peeks(queue, STOA_ANY, 0, 0, "zero");
			assert_peeks(queue, STOA_ANY, 0, 2, "two");
			assert_peeks(queue, STOA_ANY, 0, 1, "one");
			assert_no_nth(queue, STOA_ANY, 0, 3);
			assert_no_nth(queue, STOA_ANY, 0, UINT64_MAX);
		}
		assert_int_equal(stat_of(queue).messages, 3);
		assert_int_equal(stat_of(queue).messages_out, 0);
		assert_receives(queue, "zero");
		assert_peeks(queue, STOA_ANY, 0, 0, "one");
		assert_receives(queue, "one");
		assert_receives(queue, "two");
		assert_no_nth(queue, STOA_ANY, 0, 0);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(peek_follows_priority)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[1]);

	send_urgent(queue, 1, "low one");
	send_urgent(queue, 9, "high");
	send_urgent(queue, 1, "low two");
	send_urgent(queue, 3, "middle");
	assert_peeks(queue, STOA_ANY, 0, 0, "high");
	assert_peeks(queue, STOA_ANY, 0, 1, "middle");
	assert_peeks(queue, STOA_ANY, 0, 2, "low one");
	assert_peeks(queue, STOA_ANY, 0, 3, "low two");
	assert_no_nth(queue, STOA_ANY, 0, 4);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(peek_follows_every_selection)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[2]);

	send_typed(queue, 4, "a");
	send_typed(queue, 2, "b");
	send_typed(queue, 4, "c");
	send_typed(queue, 1, "d");
	send_typed(queue, 2, "e");
	assert_peeks(queue, STOA_ANY, 0, 3, "d");
	assert_peeks(queue, STOA_EXACTLY, 4, 1, "c");
	assert_no_nth(queue, STOA_EXACTLY, 4, 2);
	assert_no_nth(queue, STOA_EXACTLY, 3, 0);
	assert_peeks(queue, STOA_EXCEPT, 4, 0, "b");
	assert_peeks(queue, STOA_EXCEPT, 4, 2, "e");
	assert_no_nth(queue, STOA_EXCEPT, 4, 3);
	assert_peeks(queue, STOA_LOWEST, 2, 0, "d");
	assert_no_nth(queue, STOA_EXACTLY, 9, 0);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(the_nth_lowest_is_what_the_nth_receive_would_give)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[2]);

	send_typed(queue, 4, "a");
	send_typed(queue, 2, "b");
	send_typed(queue, 1, "c");
	send_typed(queue, 2, "d");
	assert_peeks(queue, STOA_LOWEST, 3, 1, "b");
	assert_peeks(queue, STOA_LOWEST, 3, 2, "d");
	assert_no_nth(queue, STOA_LOWEST, 3, 3);
	assert_peeks(queue, STOA_LOWEST, 4, 3, "a");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(peek_cuts_what_is_larger_than_the_buffer)
{
	static const size_t sizes[] = { 10, 80, 81, 300, 3000, 8000 };
	static unsigned char data[8000];
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[0]);
	struct stoa_message message;

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		unsigned char buffer[9];

		fill_pattern(data, sizes[i], i);
		memset(buffer, 0xA5, sizeof(buffer));
		assert_ok(stoa_queue_send(queue, data, sizes[i], STOA_NOW));
		assert_result(stoa_queue_peek(queue, NULL, 0, buffer, 8,
		                              &message),
		              (ssize_t)sizes[i]);
		assert_int_equal(message.bytes, sizes[i]);
		assert_memory_equal(buffer, data, 8);
		assert_int_equal(buffer[8], 0xA5);
		assert_int_equal(drain_queue(queue), 1);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(purge_drops_what_is_not_taken_and_counts_it)
{
	static char large[8000];
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct stoa_queue *queue = make_queue(space, "q", shapes[i]);
		struct stoa_message message;

		assert_result(stoa_queue_purge(queue), 0);
		for (int round = 0; round < 50; round++) {
			send_text(queue, "kept");
			message = take_text(queue, "kept");
			assert_ok(stoa_queue_send(queue, large, sizeof(large),
			                          STOA_NOW));
			assert_ok(stoa_queue_send(queue, large, 500, STOA_NOW));
			assert_int_equal(fill_queue(queue), CAPACITY - 3);
			assert_result(stoa_queue_purge(queue), CAPACITY - 1);
			assert_empty(queue);
			assert_int_equal(stat_of(queue).taken, 1);
			assert_ok(stoa_queue_return(queue, &message));
			assert_result(stoa_queue_purge(queue), 1);
			assert_result(stoa_queue_purge(queue), 0);
		}
		assert_capacity(queue, CAPACITY);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(purge_leaves_reservations)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[0]);
	struct stoa_message message;

	memset(&message, 0, sizeof(message));
	assert_ok(stoa_queue_reserve(queue, 4, STOA_NOW, &message));
	send_text(queue, "dropped");
	assert_result(stoa_queue_purge(queue), 1);
	memcpy(message.data, "kept", 4);
	message.type = 1;
	assert_ok(stoa_queue_commit(queue, &message));
	assert_receives(queue, "kept");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static int64_t real_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

TEST(stat_counts_messages_and_bytes)
{
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct stoa_queue *queue = make_queue(space, "q", shapes[i]);
		struct stoa_queue_stat stat = stat_of(queue);
		static char large[5000];

		assert_int_equal(stat.order, shapes[i].order);
		assert_int_equal(stat.capacity, CAPACITY);
		assert_int_equal(stat.max_message_bytes, 8192);
		assert_true(stat.total_bytes >= 1 << 17);
		assert_int_equal(stat.messages + stat.bytes + stat.taken +
		                         stat.reserved + stat.high_water +
		                         stat.messages_in + stat.bytes_in +
		                         stat.messages_out + stat.bytes_out +
		                         stat.returned,
		                 0);
		assert_int_equal(stat.senders_waiting, 0);
		assert_int_equal(stat.receivers_waiting, 0);
		assert_int_equal(stat.users, 1);
		assert_int_equal(stat.last_send_ns, 0);
		assert_int_equal(stat.last_receive_ns, 0);
		assert_int_equal(stat.creator_pid, getpid());
		send_text(queue, "four");
		assert_ok(stoa_queue_send(queue, large, 5000, STOA_NOW));
		send_text(queue, "");
		stat = stat_of(queue);
		assert_int_equal(stat.messages, 3);
		assert_int_equal(stat.bytes, 5004);
		assert_int_equal(stat.messages_in, 3);
		assert_int_equal(stat.bytes_in, 5004);
		assert_receives(queue, "four");
		stat = stat_of(queue);
		assert_int_equal(stat.messages, 2);
		assert_int_equal(stat.bytes, 5000);
		assert_int_equal(stat.messages_out, 1);
		assert_int_equal(stat.bytes_out, 4);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(stat_counts_what_is_taken_and_acknowledged)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[0]);
	struct stoa_message message;
	struct stoa_queue_stat stat;

	send_text(queue, "abc");
	message = take_text(queue, "abc");
	stat = stat_of(queue);
	assert_int_equal(stat.messages, 0);
	assert_int_equal(stat.bytes, 0);
	assert_int_equal(stat.taken, 1);
	assert_ok(stoa_queue_return(queue, &message));
	stat = stat_of(queue);
	assert_int_equal(stat.messages, 1);
	assert_int_equal(stat.bytes, 3);
	assert_int_equal(stat.taken, 0);
	assert_int_equal(stat.returned, 1);
	message = take_text(queue, "abc");
	assert_ok(stoa_queue_acknowledge(queue, &message));
	stat = stat_of(queue);
	assert_int_equal(stat.messages_out, 1);
	assert_int_equal(stat.bytes_out, 3);
	assert_int_equal(stat.messages_in, 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(stat_tells_last_times_and_pids)
{
	struct stoa_space *space = open_space();
	int64_t before = real_ns() - SECOND; /* by the tick */
	struct stoa_queue *queue = make_queue(space, "q", shapes[0]);
	struct stoa_queue_stat stat;

	send_text(queue, "x");
	stat = stat_of(queue);
	assert_int_equal(stat.last_sender_pid, getpid());
	assert_true(stat.created_ns >= before);
	assert_true(stat.last_send_ns >= before);
	assert_true(stat.last_send_ns <= real_ns());
	assert_int_equal(stat.last_receive_ns, 0);
	assert_receives(queue, "x");
	stat = stat_of(queue);
	assert_int_equal(stat.last_receiver_pid, getpid());
	assert_true(stat.last_receive_ns >= before);
	assert_true(stat.last_receive_ns <= real_ns());
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(stat_keeps_the_high_water_mark)
{
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct stoa_queue *queue = make_queue(space, "q", shapes[i]);

		for (int n = 0; n < 5; n++)
			send_text(queue, "x");
		assert_int_equal(drain_queue(queue), 5);
		send_text(queue, "x");
		assert_int_equal(drain_queue(queue), 1);
		assert_int_equal(stat_of(queue).high_water, 5);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

/* Times are kept by the tick: the next one has to come. */
static void until_next_tick(void)
{
	struct timespec first;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &first);
	do {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == first.tv_sec && now.tv_nsec == first.tv_nsec);
}

static void send_one(void *context)
{
	until_next_tick();
	send_text(context, "from the child");
}

TEST(totals_stay_when_users_come_and_go)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[0]);
	struct stoa_queue_stat stat;
	pid_t pid = 0;

	for (int i = 0; i < 5; i++) {
		struct child child = start_child(send_one, queue);

		pid = child.pid;
		end_child(&child);
		assert_receives(queue, "from the child");
	}
	stat = stat_of(queue);
	assert_int_equal(stat.messages_in, 5);
	assert_int_equal(stat.messages_out, 5);
	assert_int_equal(stat.bytes_in, 5 * strlen("from the child"));
	assert_int_equal(stat.last_sender_pid, pid);
	assert_int_equal(stat.users, 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_stat_of_a_wrong_size_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shapes[0]);
	struct stoa_queue_stat stat;
	struct stoa_queue_stat untouched;

	memset(&stat, 0xA5, sizeof(stat));
	stat.size = 0;
	untouched = stat;
	assert_result(stoa_queue_stat(queue, &stat), -EINVAL);
	assert_memory_equal(&stat, &untouched, sizeof(stat));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(peek_copies_the_nth_without_consuming),
	CASE(peek_follows_priority),
	CASE(peek_follows_every_selection),
	CASE(the_nth_lowest_is_what_the_nth_receive_would_give),
	CASE(peek_cuts_what_is_larger_than_the_buffer),
	CASE(purge_drops_what_is_not_taken_and_counts_it),
	CASE(purge_leaves_reservations),
	CASE(stat_counts_messages_and_bytes),
	CASE(stat_counts_what_is_taken_and_acknowledged),
	CASE(stat_tells_last_times_and_pids),
	CASE(stat_keeps_the_high_water_mark),
	CASE(totals_stay_when_users_come_and_go),
	CASE(a_stat_of_a_wrong_size_is_refused),
};

MAIN(cases)
