/* SPDX-License-Identifier: MIT */
/* Room: capacity is exact, bytes run out and come back, no fragment is lost,
 * and a full tmpfs leaves nothing behind. */
#include "support.h"

enum { LARGEST = 100000 };

static char data[LARGEST];

TEST(capacity_is_exact)
{
	static const uint64_t capacities[] = { 1,   2,   3,    4,    5,   7,
		                               8,   9,   63,   64,   65,  100,
		                               255, 256, 1000, 1024, 4097 };
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		for (size_t i = 0; i < LENGTH(capacities); i++) {
			struct stoa_queue *queue =
				make_queue(space, "q",
			                   (struct queue_shape){
						   (enum stoa_queue_order)order,
						   capacities[i], 80, 4096 });

			for (int round = 0; round < 3; round++)
				assert_capacity(queue, capacities[i]);
			stoa_queue_close(queue);
			assert_ok(stoa_queue_unlink(space, "q"));
		}
	}
	stoa_space_close(space);
}

TEST(capacity_holds_at_every_position)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = make_queue(
			space, "q",
			(struct queue_shape){ (enum stoa_queue_order)order, 5,
		                              80, 4096 });

		for (int round = 0; round < 40; round++) {
			send_text(queue, "x");
			assert_receives(queue, "x");
			assert_int_equal(fill_queue(queue), 5);
			assert_receives(queue, "x");
			assert_int_equal(fill_queue(queue), 1);
			assert_int_equal(drain_queue(queue), 5);
		}
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(held_messages_count_for_capacity)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q", (struct queue_shape){ STOA_FIFO, 4, 80, 4096 });
	struct stoa_message taken;
	struct stoa_message reserved;

	send_text(queue, "taken");
	taken = take_text(queue, "taken");
	memset(&reserved, 0, sizeof(reserved));
	assert_ok(stoa_queue_reserve(queue, 1, STOA_NOW, &reserved));
	assert_int_equal(fill_queue(queue), 2);
	assert_result(stoa_queue_reserve(queue, 1, STOA_NOW, &reserved),
	              -EAGAIN);
	assert_ok(stoa_queue_acknowledge(queue, &taken));
	assert_int_equal(fill_queue(queue), 1);
	assert_ok(stoa_queue_cancel(queue, &reserved));
	assert_int_equal(fill_queue(queue), 1);
	assert_int_equal(drain_queue(queue), 4);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* Sends messages of `bytes` bytes until there is no room. */
static uint64_t fill_with(struct stoa_queue *queue, size_t bytes)
{
	uint64_t count = 0;
	int result;

	while ((result = stoa_queue_send(queue, data, bytes, STOA_NOW)) == 0)
		count++;
	assert_int_equal(result, -EAGAIN);
	return count;
}

TEST(bytes_run_out_and_come_back)
{
	static const size_t sizes[] = { 81,   256,  257,  1000,  3072,
		                        3073, 4096, 4097, 20000, LARGEST };
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_queue *queue = make_queue(
			space, "q",
			(struct queue_shape){ (enum stoa_queue_order)order,
		                              10000, LARGEST, 400000 });

		for (size_t i = 0; i < LENGTH(sizes); i++) {
			uint64_t count = fill_with(queue, sizes[i]);

			assert_true(count * sizes[i] <=
			            stat_of(queue).total_bytes);
			assert_true(count >= 1);
			assert_int_equal(fill_queue(queue), 10000 - count);
			assert_int_equal(drain_queue(queue), 10000);
			for (int round = 0; round < 3; round++) {
				assert_int_equal(fill_with(queue, sizes[i]),
				                 count);
				assert_int_equal(drain_queue(queue), count);
			}
		}
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

/* What total_bytes promises for messages of one size: pieces of 256 bytes,
 * or of 4 KiB over 3 KiB. (A run of pieces lies within 4 KiB.) */
TEST(the_promised_room_is_there)
{
	static const size_t sizes[] = { 81,   256,  512,  1024,
		                        2048, 4096, 8192, 65536 };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		size_t piece = sizes[i] > 3072 ? 4096 : 256;
		size_t used = (sizes[i] + piece - 1) / piece * piece;
		struct stoa_queue *queue = make_queue(
			space, "q",
			(struct queue_shape){ STOA_FIFO, 1000, sizes[i],
		                              100 * used });

		if (fill_with(queue, sizes[i]) < 100)
			fail_msg("no 100 messages of %zu in %zu bytes",
			         sizes[i], 100 * used);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(after_any_fragmentation_the_largest_message_fits)
{
	enum { HELD = 400 };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q",
		(struct queue_shape){ STOA_FIFO, HELD, LARGEST, 2 * LARGEST });
	static struct stoa_message held[HELD];
	uint64_t seed = run_seed();
	uint64_t largest = fill_with(queue, LARGEST);

	assert_int_equal(drain_queue(queue), largest);
	for (int round = 0; round < 60; round++) {
		size_t count = 0;
		int result = 0;

		while (count < HELD && result == 0) {
			size_t bytes =
				random_below(&seed, random_below(&seed, 8) == 0
			                                    ? 30000
			                                    : 600);

			result = stoa_queue_send(queue, data, bytes, STOA_NOW);
			count += result == 0;
		}
		for (size_t i = 0; i < count; i++)
			assert_ok(stoa_queue_take(queue, NULL, STOA_NOW,
			                          &held[i]));
		while (count > 0) {
			size_t i = random_below(&seed, count);

			assert_ok(stoa_queue_acknowledge(queue, &held[i]));
			held[i] = held[--count];
		}
		assert_int_equal(fill_with(queue, LARGEST), largest);
		assert_int_equal(drain_queue(queue), largest);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* Large messages between small ones that stay for a long time. */
TEST(room_freed_between_held_messages_is_used_again)
{
	enum { SMALL = 64 };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q",
		(struct queue_shape){ STOA_FIFO, 1000, 20000, 400000 });
	struct stoa_message held[SMALL];
	struct stoa_message passing;
	uint64_t all = fill_with(queue, 300);

	assert_true(all > 2 * SMALL);
	for (size_t i = 0; i < SMALL; i++) {
		assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &held[i]));
		assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &passing));
		assert_ok(stoa_queue_acknowledge(queue, &passing));
	}
	assert_int_equal(drain_queue(queue), all - 2 * SMALL);
	for (int round = 0; round < 20; round++) {
		uint64_t small = fill_with(queue, 300);

		assert_int_equal(small, all - SMALL);
		assert_int_equal(drain_queue(queue), small);
		assert_true(fill_with(queue, 20000) >= 1);
		drain_queue(queue);
	}
	for (size_t i = 0; i < SMALL; i++)
		assert_ok(stoa_queue_acknowledge(queue, &held[i]));
	assert_int_equal(fill_with(queue, 300), all);
	drain_queue(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(cancelled_reservations_give_their_bytes_back)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q",
		(struct queue_shape){ STOA_FIFO, 100, LARGEST, 400000 });
	uint64_t count = fill_with(queue, LARGEST);
	struct stoa_message held[100];

	assert_int_equal(drain_queue(queue), count);
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < count; i++)
			assert_ok(stoa_queue_reserve(queue, LARGEST, STOA_NOW,
			                             &held[i]));
		assert_result(stoa_queue_send(queue, data, LARGEST, STOA_NOW),
		              -EAGAIN);
		for (size_t i = 0; i < count; i++)
			assert_ok(stoa_queue_cancel(queue, &held[i]));
	}
	assert_int_equal(fill_with(queue, LARGEST), count);
	drain_queue(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(bytes_wait_for_room_and_get_it)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q",
		(struct queue_shape){ STOA_FIFO, 100, LARGEST, 200000 });
	uint64_t count = fill_with(queue, LARGEST);

	assert_result(stoa_queue_send(queue, data, LARGEST,
	                              stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	send_text(queue, "inline needs no bytes");
	assert_int_equal(drain_queue(queue), count + 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* ---- A full tmpfs ----------------------------------------------------- */

static void fill_tmpfs(void)
{
	FILE *filler = fopen(case_path("filler"), "we");

	assert_non_null(filler);
	setvbuf(filler, NULL, _IONBF, 0);
	while (fwrite(data, 1, 4096, filler) == 4096)
		;
	fclose(filler);
}

TEST(a_full_tmpfs_is_enospc_at_create_and_leaves_nothing)
{
	struct stoa_queue_attributes large = attributes_of(
		(struct queue_shape){ STOA_FIFO, 10, LARGEST, 8 << 20 });
	struct stoa_queue *queue = NULL;
	struct stoa_space *space;

	mount_small_space("1m");
	space = open_space();
	for (int i = 0; i < 5; i++) {
		assert_result(stoa_queue_open(space, "q",
		                              STOA_READ | STOA_WRITE |
		                                      STOA_CREATE,
		                              0600, &large, &queue),
		              -ENOSPC);
		assert_sentence("q");
		assert_null(queue);
		assert_int_equal(count_stale_files(case_directory(), true), 0);
	}
	queue = make_queue(space, "q",
	                   (struct queue_shape){ STOA_FIFO, 8, LARGEST,
	                                         400000 });
	assert_true(fill_with(queue, LARGEST) >= 3);
	drain_queue(queue);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_queue_goes_on_working_when_the_tmpfs_fills_up)
{
	struct stoa_space *space;
	struct stoa_queue *queue;
	uint64_t count;

	mount_small_space("1m");
	space = open_space();
	queue = make_queue(space, "q",
	                   (struct queue_shape){ STOA_FIFO, 8, LARGEST,
	                                         400000 });
	fill_tmpfs();
	count = fill_with(queue, LARGEST);
	assert_true(count >= 3);
	assert_int_equal(drain_queue(queue), count);
	assert_capacity(queue, 8);
	stoa_queue_close(queue);
	unlink(case_path("filler"));
	stoa_space_close(space);
}

/* Handles need room, too, in steps of some hundred. */
TEST(handles_that_a_full_tmpfs_has_no_room_for_are_enospc)
{
	enum { HANDLES = 200 };
	struct stoa_queue *handles[HANDLES];
	struct stoa_space *space;
	struct stoa_queue *queue;
	size_t count = 0;
	int result = 0;

	mount_small_space("1m");
	space = open_space();
	queue = make_queue(space, "q",
	                   (struct queue_shape){ STOA_FIFO, 8, LARGEST,
	                                         400000 });
	fill_tmpfs();
	while (count < HANDLES && result == 0) {
		result = stoa_queue_open(space, "q", STOA_READ | STOA_WRITE, 0,
		                         NULL, &handles[count]);
		count += result == 0;
	}
	assert_int_equal(result, -ENOSPC);
	assert_sentence("q");
	assert_true(count > 0);
	assert_capacity(handles[count - 1], 8);
	unlink(case_path("filler"));
	for (; count < HANDLES; count++)
		handles[count] = join_queue(space, "q");
	assert_capacity(handles[HANDLES - 1], 8);
	assert_int_equal(stat_of(queue).users, HANDLES + 1);
	while (count > 0)
		stoa_queue_close(handles[--count]);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_tmpfs_without_any_room_is_told_and_nothing_breaks)
{
	struct stoa_queue_attributes tiny =
		attributes_of((struct queue_shape){ STOA_FIFO, 1, 1, 4096 });
	struct stoa_space *space = NULL;
	struct stoa_queue *queue;
	int result;

	mount_small_space("64k");
	fill_tmpfs();
	result = stoa_space_open(case_directory(), 0, &space);
	if (result == 0) {
		result = stoa_queue_open(space, "q", STOA_READ | STOA_CREATE,
		                         0600, &tiny, &queue);
		stoa_space_close(space);
	}
	assert_int_equal(result, -ENOSPC);
	unlink(case_path("filler"));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
}

static const struct CMUnitTest cases[] = {
	CASE(capacity_is_exact),
	CASE(capacity_holds_at_every_position),
	CASE(held_messages_count_for_capacity),
	CASE(bytes_run_out_and_come_back),
	CASE(the_promised_room_is_there),
	CASE(after_any_fragmentation_the_largest_message_fits),
	CASE(room_freed_between_held_messages_is_used_again),
	CASE(cancelled_reservations_give_their_bytes_back),
	CASE(bytes_wait_for_room_and_get_it),
	CASE(a_full_tmpfs_is_enospc_at_create_and_leaves_nothing),
	CASE(a_queue_goes_on_working_when_the_tmpfs_fills_up),
	CASE(handles_that_a_full_tmpfs_has_no_room_for_are_enospc),
	CASE(a_tmpfs_without_any_room_is_told_and_nothing_breaks),
};

MAIN(cases)
