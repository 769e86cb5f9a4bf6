/* SPDX-License-Identifier: MIT */
/* Send and receive: content of every size, order, what is told of a message,
 * deadlines, both ways of being too large. */
#include "support.h"

#include <sys/statvfs.h>
#include <time.h>

#define GIB (1ULL << 30)

enum { LARGEST = 70000 };

static const struct queue_shape small = { STOA_FIFO, 8, LARGEST, 1 << 20 };

static void carry(struct stoa_queue *queue, size_t bytes)
{
	static unsigned char out[LARGEST];
	static unsigned char in[LARGEST + 1];
	struct stoa_message message;

	fill_pattern(out, bytes, bytes);
	memset(in, 0xA5, sizeof(in));
	assert_ok(stoa_queue_send(queue, out, bytes, STOA_NOW));
	assert_result(stoa_queue_receive(queue, NULL, in, bytes, STOA_NOW,
	                                 &message),
	              bytes);
	assert_true(has_pattern(in, bytes, bytes));
	assert_int_equal(in[bytes], 0xA5);
	assert_int_equal(message.bytes, bytes);
	assert_ptr_equal(message.data, in);
}

static void carry_all_sizes(enum stoa_queue_order order)
{
	static const size_t borders[] = { 3071,  3072,  3073,  4095,   4096,
		                          4097,  8191,  8192,  8193,   16384,
		                          65535, 65536, 65537, LARGEST };
	struct stoa_space *space = open_space();
	struct queue_shape shape = small;
	struct stoa_queue *queue;

	shape.order = order;
	queue = make_queue(space, "q", shape);
	for (size_t bytes = 0; bytes <= 1100; bytes++)
		carry(queue, bytes);
	for (size_t i = 0; i < LENGTH(borders); i++)
		carry(queue, borders[i]);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(every_size_arrives_whole_first_in_first_out)
{
	carry_all_sizes(STOA_FIFO);
}

TEST(every_size_arrives_whole_by_priority)
{
	carry_all_sizes(STOA_PRIORITY);
}

TEST(every_size_arrives_whole_by_type)
{
	carry_all_sizes(STOA_TYPE);
}

TEST(random_sizes_arrive_whole_and_in_order)
{
	static unsigned char data[LARGEST];
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q",
		(struct queue_shape){ STOA_FIFO, 50, LARGEST, 1 << 20 });
	uint64_t seed = run_seed();
	size_t sizes[50];
	uint64_t sent = 0;
	uint64_t received = 0;

	while (received < 5000) {
		size_t bytes = random_below(
			&seed, random_below(&seed, 4) == 0 ? LARGEST : 400);

		if (random_below(&seed, 2) == 0 && sent < received + 50) {
			fill_pattern(data, bytes, sent);
			if (stoa_queue_send(queue, data, bytes, STOA_NOW) == 0)
				sizes[sent++ % 50] = bytes;
		} else if (sent > received) {
			bytes = sizes[received % 50];
			assert_result(stoa_queue_receive(queue, NULL, data,
			                                 sizeof(data), STOA_NOW,
			                                 NULL),
			              bytes);
			assert_true(has_pattern(data, bytes, received));
			received++;
		} else {
			assert_empty(queue);
		}
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_message_of_one_gib_is_carried)
{
	struct stoa_space *space = open_space();
	struct statvfs room;
	struct stoa_queue *queue;
	struct stoa_message message;
	unsigned char *data;

	assert_system(statvfs(case_directory(), &room));
	if ((uint64_t)room.f_bavail * room.f_bsize < 4 * GIB ||
	    (uint64_t)sysconf(_SC_AVPHYS_PAGES) * 4096 < 6 * GIB) {
		stoa_space_close(space);
		skip_case("not enough memory for a message of 1 GiB");
	}
	queue = make_queue(space, "q",
	                   (struct queue_shape){ STOA_FIFO, 2, GIB, GIB });
	data = malloc(GIB);
	assert_non_null(data);
	fill_pattern(data, GIB, 1);
	assert_ok(stoa_queue_send(queue, data, GIB, STOA_NOW));
	assert_result(stoa_queue_send(queue, data, GIB + 1, STOA_NOW),
	              -EMSGSIZE);
	assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &message));
	assert_int_equal(message.bytes, GIB);
	assert_true(memcmp(message.data, data, GIB) == 0);
	assert_ok(stoa_queue_return(queue, &message));
	memset(data, 0, GIB);
	assert_result(stoa_queue_receive(queue, NULL, data, GIB, STOA_NOW,
	                                 NULL),
	              GIB);
	assert_true(has_pattern(data, GIB, 1));
	free(data);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(messages_keep_their_order)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);

	for (int round = 0; round < 10; round++) {
		send_text(queue, "one");
		send_text(queue, "two");
		send_text(queue, "three");
		assert_receives(queue, "one");
		assert_receives(queue, "two");
		assert_receives(queue, "three");
		assert_empty(queue);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_message_tells_its_sender_type_priority_and_sequence)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);
	struct stoa_message sent = { .bytes = 0, .type = 77, .priority = 88 };
	struct stoa_message message;
	uint64_t last = 0;
	stoa_peer self;

	assert_ok(stoa_space_self(space, &self));
	for (int i = 0; i < 20; i++) {
		assert_ok(stoa_queue_send_message(queue, &sent, STOA_NOW));
		assert_result(stoa_queue_receive(queue, NULL, NULL, 0, STOA_NOW,
		                                 &message),
		              0);
		assert_int_equal(message.type, 77);
		assert_int_equal(message.priority, 88);
		assert_int_equal(message.deliveries, 0);
		assert_int_equal(message.sender_pid, getpid());
		assert_true(message.sender == self);
		assert_true(i == 0 || message.sequence > last);
		last = message.sequence;
	}
	assert_ok(stoa_queue_send(queue, "", 0, STOA_NOW));
	assert_result(stoa_queue_receive(queue, NULL, NULL, 0, STOA_NOW,
	                                 &message),
	              0);
	assert_int_equal(message.type, 1);
	assert_int_equal(message.priority, 0);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_message_over_the_maximum_is_emsgsize_and_nothing_is_sent)
{
	static char data[LARGEST + 1];
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);
	struct stoa_message message = { .data = data, .type = 1 };

	message.bytes = LARGEST + 1;
	assert_result(stoa_queue_send(queue, data, LARGEST + 1, STOA_NOW),
	              -EMSGSIZE);
	assert_sentence("q");
	assert_result(stoa_queue_send(queue, data, SIZE_MAX, STOA_FOREVER),
	              -EMSGSIZE);
	assert_result(stoa_queue_send_message(queue, &message, STOA_FOREVER),
	              -EMSGSIZE);
	assert_result(stoa_queue_reserve(queue, LARGEST + 1, STOA_FOREVER,
	                                 &message),
	              -EMSGSIZE);
	assert_int_equal(stat_of(queue).messages, 0);
	assert_capacity(queue, small.capacity);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_small_maximum_counts_even_for_what_fits_inline)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q", (struct queue_shape){ STOA_FIFO, 4, 10, 4096 });

	assert_ok(stoa_queue_send(queue, "0123456789", 10, STOA_NOW));
	assert_result(stoa_queue_send(queue, "01234567890", 11, STOA_NOW),
	              -EMSGSIZE);
	assert_receives(queue, "0123456789");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void keep_too_large(struct stoa_queue *queue, size_t bytes)
{
	static unsigned char data[LARGEST];
	struct stoa_message message;

	fill_pattern(data, bytes, 3);
	assert_ok(stoa_queue_send(queue, data, bytes, STOA_NOW));
	send_text(queue, "after");
	memset(&message, 0, sizeof(message));
	assert_result(stoa_queue_receive(queue, NULL, data, bytes - 1, STOA_NOW,
	                                 &message),
	              -EMSGSIZE);
	assert_int_equal(message.bytes, bytes);
	assert_result(stoa_queue_receive(queue, NULL, data, 0, STOA_FOREVER,
	                                 NULL),
	              -EMSGSIZE);
	assert_result(stoa_queue_receive(queue, NULL, data, bytes, STOA_NOW,
	                                 &message),
	              bytes);
	assert_true(has_pattern(data, bytes, 3));
	assert_int_equal(message.deliveries, 0);
	assert_receives(queue, "after");
}

TEST(a_message_larger_than_the_buffer_stays_and_its_size_is_told)
{
	static const size_t sizes[] = { 1, 80, 81, 256, 3000, 5000, LARGEST };
	struct stoa_space *space = open_space();
	struct queue_shape shape = small;

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue;

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		for (size_t i = 0; i < LENGTH(sizes); i++)
			keep_too_large(queue, sizes[i]);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void assert_times_out(struct stoa_queue *queue, bool full)
{
	int64_t start = now_ns();
	struct stoa_deadline soon = stoa_deadline_in(20 * MS);
	struct stoa_deadline past = stoa_deadline_in(-SECOND);
	struct stoa_deadline real;
	struct timespec time;
	char buffer[8];

#define TRY(deadline)                                    \
	(full ? stoa_queue_send(queue, "x", 1, deadline) \
	      : stoa_queue_receive(queue, NULL, buffer, 8, deadline, NULL))
	assert_result(TRY(STOA_NOW), -EAGAIN);
	assert_result(TRY(past), -ETIMEDOUT);
	assert_result(TRY(soon), -ETIMEDOUT);
	assert_true(now_ns() - start >= 20 * MS);
	clock_gettime(CLOCK_REALTIME, &time);
	assert_ok(stoa_deadline_at(CLOCK_REALTIME, &time, &real));
	assert_result(TRY(real), -ETIMEDOUT);
	real.ns += 20 * MS;
	assert_result(TRY(real), -ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, &time);
	assert_true(time.tv_sec * SECOND + time.tv_nsec >= real.ns);
}

TEST(an_empty_queue_makes_receive_wait_until_the_deadline)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);

	assert_times_out(queue, false);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_full_queue_makes_send_wait_until_the_deadline)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);

	assert_int_equal(fill_queue(queue), small.capacity);
	assert_times_out(queue, true);
	assert_int_equal(drain_queue(queue), small.capacity);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_past_deadline_does_what_needs_no_waiting)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);
	struct stoa_deadline past = stoa_deadline_in(-SECOND);
	char buffer[8];

	assert_ok(stoa_queue_send(queue, "x", 1, past));
	assert_result(stoa_queue_receive(queue, NULL, buffer, 8, past, NULL),
	              1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* Whether all bytes are still the filler. */
static bool is_untouched(const void *data, size_t bytes)
{
	const unsigned char *at = data;

	for (size_t i = 0; i < bytes; i++)
		if (at[i] != 0xA5)
			return false;
	return true;
}

TEST(outputs_are_untouched_on_failure)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);
	struct stoa_message message;
	char buffer[16];

	memset(&message, 0xA5, sizeof(message));
	assert_result(stoa_queue_receive(queue, NULL, buffer, 16, STOA_NOW,
	                                 &message),
	              -EAGAIN);
	assert_result(stoa_queue_receive(queue, NULL, buffer, 16,
	                                 stoa_deadline_in(MS), &message),
	              -ETIMEDOUT);
	assert_result(stoa_queue_take(queue, NULL, STOA_NOW, &message),
	              -EAGAIN);
	assert_result(stoa_queue_peek(queue, NULL, 0, buffer, 16, &message),
	              -ENOMSG);
	assert_result(stoa_queue_reserve(queue, LARGEST + 1, STOA_NOW,
	                                 &message),
	              -EMSGSIZE);
	assert_true(is_untouched(&message, sizeof(message)));
	send_text(queue, "longer than sixteen");
	assert_result(stoa_queue_receive(queue, NULL, buffer, 16, STOA_NOW,
	                                 &message),
	              -EMSGSIZE);
	assert_int_equal(message.bytes, strlen("longer than sixteen"));
	memset(&message.bytes, 0xA5, sizeof(message.bytes));
	assert_true(is_untouched(&message, sizeof(message)));
	assert_int_equal(fill_queue(queue), small.capacity - 1);
	assert_result(stoa_queue_reserve(queue, 1, STOA_NOW, &message),
	              -EAGAIN);
	assert_true(is_untouched(&message, sizeof(message)));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_batch_that_fails_leaves_its_messages_untouched)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", small);
	struct stoa_message message;
	struct stoa_message before;
	char buffer[4] = { 0 };

	memset(&message, 0xA5, sizeof(message));
	message.data = buffer;
	message.buffer_bytes = sizeof(buffer);
	before = message;
	assert_result(stoa_queue_receive_many(queue, NULL, &message, 1,
	                                      STOA_NOW),
	              -EAGAIN);
	assert_memory_equal(&message, &before, sizeof(message));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_size_arrives_whole_first_in_first_out),
	CASE(every_size_arrives_whole_by_priority),
	CASE(every_size_arrives_whole_by_type),
	CASE(random_sizes_arrive_whole_and_in_order),
	CASE(a_message_of_one_gib_is_carried),
	CASE(messages_keep_their_order),
	CASE(a_message_tells_its_sender_type_priority_and_sequence),
	CASE(a_message_over_the_maximum_is_emsgsize_and_nothing_is_sent),
	CASE(a_small_maximum_counts_even_for_what_fits_inline),
	CASE(a_message_larger_than_the_buffer_stays_and_its_size_is_told),
	CASE(an_empty_queue_makes_receive_wait_until_the_deadline),
	CASE(a_full_queue_makes_send_wait_until_the_deadline),
	CASE(a_past_deadline_does_what_needs_no_waiting),
	CASE(outputs_are_untouched_on_failure),
	CASE(a_batch_that_fails_leaves_its_messages_untouched),
};

MAIN(cases)
