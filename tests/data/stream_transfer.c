/* SPDX-License-Identifier: MIT */
/* Bytes come out as they went in: sizes, wrapping around, full and empty,
 * deadlines. */
#include "stream.h"

TEST(bytes_come_out_as_they_went_in)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 0);
	char buffer[64];

	put_text(stream, "hello, ");
	put_text(stream, "world");
	assert_result(stoa_stream_read(stream, buffer, 3, STOA_NOW), 3);
	assert_memory_equal(buffer, "hel", 3);
	assert_result(stoa_stream_read(stream, buffer, 64, STOA_NOW), 9);
	assert_memory_equal(buffer, "lo, world", 9);
	assert_no_bytes(stream);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(nothing_is_written_and_read_at_once)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);

	assert_ok(stoa_stream_write(stream, "x", 0, STOA_NOW));
	assert_ok(stoa_stream_read(stream, NULL, 0, STOA_NOW));
	assert_no_bytes(stream);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

/* A model beside it: two positions and the sequence between them. */
TEST(random_sizes_keep_every_byte_in_order)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 3 * SMALL);
	static char buffer[4 * SMALL];
	uint64_t seed = run_seed(), chance = seed;
	uint64_t tail = 0, head = 0, capacity = 3 * SMALL;

	for (int i = 0; i < 200000; i++) {
		size_t bytes = 1 + random_below(&chance,
		                                i % 8 ? 300 : sizeof(buffer));
		uint64_t room = capacity - (tail - head);
		uint64_t there = tail - head;

		if (random_below(&chance, 2)) {
			uint64_t all = bytes <= STOA_ATOMIC ? bytes : 1;
			uint64_t some = bytes < room ? bytes : room;

			sequence_fill(buffer, bytes, seed, tail);
			assert_result(
				stoa_stream_write(stream, buffer, bytes,
			                          STOA_NOW),
				room < all ? -EAGAIN : (long long)some);
			tail += room < all ? 0 : some;
			continue;
		}
		uint64_t some = bytes < there ? bytes : there;
		assert_result(stoa_stream_read(stream, buffer, bytes, STOA_NOW),
		              some ? (long long)some : -EAGAIN);
		assert_true(sequence_matches(buffer, some, seed, head));
		head += some;
	}
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(a_full_stream_takes_no_more)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 2 * SMALL);
	static char big[4 * SMALL];

	assert_result(stoa_stream_write(stream, big, sizeof(big), STOA_NOW),
	              2 * SMALL);
	assert_result(stoa_stream_write(stream, big, sizeof(big), STOA_NOW),
	              -EAGAIN);
	assert_result(stoa_stream_write(stream, "x", 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_stream_read(stream, big, 1, STOA_NOW), 1);
	assert_result(stoa_stream_write(stream, "xy", 2, STOA_NOW), -EAGAIN);
	assert_result(stoa_stream_write(stream, "x", 1, STOA_NOW), 1);
	assert_result(stoa_stream_read(stream, big, sizeof(big), STOA_NOW),
	              2 * SMALL);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(an_atomic_write_goes_whole_or_not_at_all)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	static char bytes[STOA_ATOMIC];

	put_text(stream, "x");
	assert_result(stoa_stream_write(stream, bytes, STOA_ATOMIC, STOA_NOW),
	              -EAGAIN);
	assert_result(stoa_stream_write(stream, bytes, STOA_ATOMIC,
	                                stoa_deadline_in(20 * MS)),
	              -ETIMEDOUT);
	assert_text(stream, "x");
	assert_no_bytes(stream);
	assert_result(stoa_stream_write(stream, bytes, STOA_ATOMIC, STOA_NOW),
	              STOA_ATOMIC);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(a_large_write_tells_how_far_it_came_by_the_deadline)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	static char bytes[2 * SMALL];
	int64_t before = now_ns();

	put_text(stream, "x");
	assert_result(stoa_stream_write(stream, bytes, sizeof(bytes),
	                                stoa_deadline_in(30 * MS)),
	              SMALL - 1);
	assert_true(now_ns() - before >= 30 * MS);
	assert_result(stoa_stream_write(stream, bytes, sizeof(bytes),
	                                stoa_deadline_in(10 * MS)),
	              -ETIMEDOUT);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(a_read_of_nothing_ends_by_the_deadline)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	int64_t before = now_ns();
	char byte;

	assert_result(stoa_stream_read(stream, &byte, 1,
	                               stoa_deadline_in(120 * MS)),
	              -ETIMEDOUT);
	assert_true(now_ns() - before >= 120 * MS);
	assert_result(stoa_stream_read(stream, &byte, 1, stoa_deadline_in(-1)),
	              -ETIMEDOUT);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(bytes_stay_when_nobody_has_it_open)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);

	put_text(stream, "for whom it may concern");
	stoa_stream_close(stream);
	stream = join_stream(space, "s", STOA_READ);
	assert_text(stream, "for whom it may concern");
	assert_end_of_file(stream);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

/* ---- Two processes ----------------------------------------------------- */

struct transfer {
	struct stoa_stream *stream;
	uint64_t seed, bytes;
	size_t most;
};

static void write_sequence(void *context)
{
	struct transfer *transfer = context;
	uint64_t chance = transfer->seed ^ 1, position = 0;
	char *buffer = malloc(transfer->most);

	while (position < transfer->bytes) {
		size_t bytes = 1 + random_below(&chance, transfer->most);

		if (bytes > transfer->bytes - position)
			bytes = transfer->bytes - position;
		sequence_fill(buffer, bytes, transfer->seed, position);
		assert_result(stoa_stream_write(transfer->stream, buffer, bytes,
		                                STOA_FOREVER),
		              (long long)bytes);
		position += bytes;
	}
	free(buffer);
}

static void read_sequence(struct transfer *transfer)
{
	uint64_t chance = transfer->seed ^ 2, position = 0;
	char *buffer = malloc(transfer->most);

	while (position < transfer->bytes) {
		size_t bytes = 1 + random_below(&chance, transfer->most);
		ssize_t got = stoa_stream_read(transfer->stream, buffer, bytes,
		                               STOA_FOREVER);

		assert_true(got > 0 && (size_t)got <= bytes);
		assert_true(sequence_matches(buffer, (size_t)got,
		                             transfer->seed, position));
		position += (uint64_t)got;
	}
	assert_int_equal(position, transfer->bytes);
	free(buffer);
}

TEST(another_process_reads_what_this_one_writes)
{
	static const uint64_t capacities[] = { SMALL, 5 * SMALL, 1 << 20 };
	static const size_t most[] = { 1, 64, 5000, 100000 };
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (size_t c = 0; c < LENGTH(capacities); c++) {
		for (size_t m = 0; m < LENGTH(most); m++) {
			struct transfer transfer = {
				make_stream(space, "s", capacities[c]), seed,
				most[m] * 200 < 1 << 20 ? most[m] * 200 :
							  1 << 20,
				most[m]
			};
			struct child child = start_child(write_sequence,
			                                 &transfer);

			read_sequence(&transfer);
			end_child(&child);
			assert_no_bytes(transfer.stream);
			stoa_stream_close(transfer.stream);
			assert_ok(stoa_stream_unlink(space, "s"));
		}
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(bytes_come_out_as_they_went_in),
	CASE(nothing_is_written_and_read_at_once),
	CASE(random_sizes_keep_every_byte_in_order),
	CASE(a_full_stream_takes_no_more),
	CASE(an_atomic_write_goes_whole_or_not_at_all),
	CASE(a_large_write_tells_how_far_it_came_by_the_deadline),
	CASE(a_read_of_nothing_ends_by_the_deadline),
	CASE(bytes_stay_when_nobody_has_it_open),
	CASE(another_process_reads_what_this_one_writes),
};

MAIN(cases)
