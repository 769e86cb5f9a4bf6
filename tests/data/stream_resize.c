/* SPDX-License-Identifier: MIT */
/* The capacity goes up and down while the stream is in use. */
#include "stream.h"

#include <sys/stat.h>

static uint64_t blocks_of(struct stoa_space *space, const char *file)
{
	struct stat status;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", stoa_space_path(space), file);
	assert_system(stat(path, &status));
	return (uint64_t)status.st_blocks * 512;
}

TEST(what_is_in_it_stays)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	static char buffer[8 * SMALL];

	/* So that the bytes wrap around in one size or the other. */
	for (uint64_t turn = 0; turn < 12; turn++) {
		uint64_t capacity = (turn * 5 % 7 + 1) * SMALL;

		sequence_fill(buffer, 3000, turn, 0);
		assert_result(stoa_stream_write(stream, buffer, 3000,
		                                STOA_NOW),
		              3000);
		assert_ok(stoa_stream_resize(stream, capacity, STOA_NOW));
		assert_int_equal(stream_status(stream).capacity, capacity);
		assert_int_equal(stream_status(stream).bytes, 3000);
		memset(buffer, 0, 3000);
		assert_result(stoa_stream_read(stream, buffer, SMALL, STOA_NOW),
		              3000);
		assert_true(sequence_matches(buffer, 3000, turn, 0));
		assert_result(stoa_stream_write(stream, buffer, sizeof(buffer),
		                                STOA_NOW),
		              (long long)capacity);
		assert_result(stoa_stream_read(stream, buffer, sizeof(buffer),
		                               STOA_NOW),
		              (long long)capacity);
	}
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(what_doesnt_fit_is_waited_for)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 4 * SMALL);
	static char buffer[4 * SMALL];

	assert_result(stoa_stream_write(stream, buffer, 2 * SMALL, STOA_NOW),
	              2 * SMALL);
	assert_result(stoa_stream_resize(stream, SMALL, STOA_NOW), -EAGAIN);
	assert_result(stoa_stream_resize(stream, SMALL,
	                                 stoa_deadline_in(120 * MS)),
	              -ETIMEDOUT);
	assert_int_equal(stream_status(stream).capacity, 4 * SMALL);
	assert_result(stoa_stream_read(stream, buffer, SMALL, STOA_NOW), SMALL);
	assert_ok(stoa_stream_resize(stream, SMALL, STOA_NOW));
	assert_result(stoa_stream_write(stream, buffer, 1, STOA_NOW), -EAGAIN);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(memory_is_taken_and_given_back)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	uint64_t small = blocks_of(space, "s.stream");

	assert_ok(stoa_stream_resize(stream, 4 << 20, STOA_NOW));
	assert_int_equal(blocks_of(space, "s.stream"),
	                 small - SMALL + (4 << 20));
	assert_ok(stoa_stream_resize(stream, SMALL, STOA_NOW));
	assert_int_equal(blocks_of(space, "s.stream"), small);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(what_cant_be_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);

	assert_result(stoa_stream_resize(stream, 0, STOA_NOW), -EINVAL);
	assert_result(stoa_stream_resize(stream, UINT64_MAX, STOA_NOW),
	              -EINVAL);
	assert_result(stoa_stream_resize(stream, (16 << 20) + 1, STOA_NOW),
	              -EINVAL);
	assert_ok(stoa_stream_resize(stream, SMALL + 1, STOA_NOW));
	assert_int_equal(stream_status(stream).capacity, 2 * SMALL);
	assert_ok(stoa_stream_resize(stream, 1, STOA_NOW));
	assert_int_equal(stream_status(stream).capacity, SMALL);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(a_full_tmpfs_is_told_and_changes_nothing)
{
	mount_small_space("2m");
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);

	put_text(stream, "kept");
	assert_result(stoa_stream_resize(stream, 8 << 20, STOA_NOW), -ENOSPC);
	assert_int_equal(stream_status(stream).capacity, SMALL);
	assert_text(stream, "kept");
	assert_ok(stoa_stream_resize(stream, 1 << 20, STOA_NOW));
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(both_streams_of_a_pair_change)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *ends[2];

	assert_ok(stoa_stream_pair(space, NULL, &ends[0], &ends[1]));
	assert_ok(stoa_stream_resize(ends[0], SMALL, STOA_NOW));
	assert_int_equal(stream_status(ends[0]).capacity, SMALL);
	assert_int_equal(stream_status(ends[1]).capacity, SMALL);
	stoa_stream_close(ends[0]);
	stoa_stream_close(ends[1]);
	stoa_space_close(space);
}

/* ---- Under load --------------------------------------------------------- */

enum { LOAD_BYTES = 8 << 20 };

static void write_load(void *context)
{
	struct stoa_stream *stream = context;
	uint64_t chance = 7, position = 0;
	static char buffer[20000];

	while (position < LOAD_BYTES) {
		size_t bytes = 1 + random_below(&chance, sizeof(buffer));

		sequence_fill(buffer, bytes, 9, position);
		assert_result(stoa_stream_write(stream, buffer, bytes,
		                                STOA_FOREVER),
		              (long long)bytes);
		position += bytes;
	}
	assert_ok(stoa_stream_shutdown(stream, STOA_WRITE));
}

static void change_capacity(void *context)
{
	struct stoa_stream *stream = context;
	uint64_t chance = 3;
	int changed = 0;

	assert_ok(stoa_stream_shutdown(stream, STOA_WRITE));
	assert_ok(stoa_stream_shutdown(stream, STOA_READ));
	while (stream_status(stream).has_writer) {
		uint64_t pages = 1 + random_below(&chance, 40);
		int result = stoa_stream_resize(stream, pages * SMALL,
		                                stoa_deadline_in(200 * MS));

		assert_true(result == 0 || result == -ETIMEDOUT);
		if (result == 0 && changed++ == 0)
			report(0);
	}
}

TEST(bytes_keep_their_order_while_it_changes)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct child writer = start_child(write_load, stream);
	struct child resizer = start_child(change_capacity, stream);
	static char buffer[30000];
	uint64_t chance = 5, position = 0;
	ssize_t got;

	assert_ok(stoa_stream_shutdown(stream, STOA_WRITE));
	await_report(&resizer); /* the writer isn't through before */
	while ((got = stoa_stream_read(stream, buffer,
	                               1 + random_below(&chance,
	                                                sizeof(buffer)),
	                               STOA_FOREVER)) > 0) {
		assert_true(
			sequence_matches(buffer, (size_t)got, 9, position));
		position += (uint64_t)got;
	}
	assert_int_equal(got, 0);
	assert_true(position >= LOAD_BYTES);
	end_child(&writer);
	end_child(&resizer);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_is_in_it_stays),
	CASE(what_doesnt_fit_is_waited_for),
	CASE(memory_is_taken_and_given_back),
	CASE(what_cant_be_is_refused),
	CASE(a_full_tmpfs_is_told_and_changes_nothing),
	CASE(both_streams_of_a_pair_change),
	CASE(bytes_keep_their_order_while_it_changes),
};

MAIN(cases)
