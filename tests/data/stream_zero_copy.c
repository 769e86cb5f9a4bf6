/* SPDX-License-Identifier: MIT */
/* Reserving and committing, peeking and consuming. */
#include "stream.h"

TEST(what_is_committed_is_read)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct stoa_region region;

	assert_ok(stoa_stream_reserve(stream, 10, STOA_NOW, &region));
	assert_int_equal(region.bytes, SMALL);
	assert_int_equal(region.position, 0);
	memcpy(region.data, "abcdefghij", 10);
	assert_no_bytes(stream);
	assert_ok(stoa_stream_commit(stream, 6));
	assert_text(stream, "abcdef");
	assert_no_bytes(stream);
	assert_ok(stoa_stream_reserve(stream, 1, STOA_NOW, &region));
	assert_int_equal(region.position, 6);
	assert_ok(stoa_stream_cancel(stream));
	assert_no_bytes(stream);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(what_is_peeked_at_stays_until_consumed)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct stoa_region region;

	put_text(stream, "abcdef");
	assert_result(stoa_stream_peek(stream, 1, STOA_NOW, &region), 6);
	assert_int_equal(region.bytes, 6);
	assert_memory_equal(region.data, "abcdef", 6);
	assert_ok(stoa_stream_consume(stream, 0));
	assert_result(stoa_stream_peek(stream, 6, STOA_NOW, &region), 6);
	assert_ok(stoa_stream_consume(stream, 2));
	assert_text(stream, "cdef");
	assert_no_bytes(stream);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(every_region_is_contiguous_wherever_it_begins)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	uint64_t position = 0;

	for (int i = 0; i < 500; i++) {
		struct stoa_region region;
		size_t bytes = (size_t)(i * 37 % SMALL + 1);

		assert_ok(stoa_stream_reserve(stream, SMALL, STOA_NOW,
		                              &region));
		assert_int_equal(region.bytes, SMALL);
		sequence_fill(region.data, bytes, 5, position);
		assert_ok(stoa_stream_commit(stream, bytes));
		assert_result(stoa_stream_peek(stream, bytes, STOA_NOW,
		                               &region),
		              (long long)bytes);
		assert_true(
			sequence_matches(region.data, bytes, 5, position));
		assert_ok(stoa_stream_consume(stream, bytes));
		position += bytes;
	}
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(a_peek_waits_for_as_many_as_it_asks_for)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL), *writer;
	struct stoa_region region;

	put_text(stream, "abc");
	assert_result(stoa_stream_peek(stream, 4, STOA_NOW, &region), -EAGAIN);
	assert_result(stoa_stream_peek(stream, 4, stoa_deadline_in(20 * MS),
	                               &region),
	              -ETIMEDOUT);
	/* Fewer only at end of file. */
	writer = join_stream(space, "s", STOA_WRITE);
	assert_ok(stoa_stream_shutdown(stream, STOA_WRITE));
	assert_result(stoa_stream_peek(stream, 4, STOA_NOW, &region), -EAGAIN);
	stoa_stream_close(writer);
	assert_result(stoa_stream_peek(stream, 4, STOA_FOREVER, &region), 3);
	assert_memory_equal(region.data, "abc", 3);
	assert_ok(stoa_stream_consume(stream, 3));
	assert_result(stoa_stream_peek(stream, 4, STOA_FOREVER, &region), 0);
	assert_result(stoa_stream_consume(stream, 0), -ESTALE);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(what_cant_be_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct stoa_region region;
	char byte;

	assert_result(stoa_stream_reserve(stream, 0, STOA_NOW, &region),
	              -EINVAL);
	assert_result(stoa_stream_reserve(stream, SMALL + 1, STOA_NOW, &region),
	              -EINVAL);
	assert_result(stoa_stream_peek(stream, 0, STOA_NOW, &region), -EINVAL);
	assert_result(stoa_stream_peek(stream, SMALL + 1, STOA_NOW, &region),
	              -EINVAL);
	assert_result(stoa_stream_commit(stream, 0), -ESTALE);
	assert_result(stoa_stream_cancel(stream), -ESTALE);
	assert_result(stoa_stream_consume(stream, 0), -ESTALE);

	put_text(stream, "abc");
	assert_ok(stoa_stream_reserve(stream, 1, STOA_NOW, &region));
	assert_result(stoa_stream_commit(stream, region.bytes + 1), -EMSGSIZE);
	assert_result(stoa_stream_write(stream, "x", 1, STOA_FOREVER),
	              -EDEADLK);
	assert_result(stoa_stream_reserve(stream, 1, STOA_FOREVER, &region),
	              -EDEADLK);
	assert_result(stoa_stream_resize(stream, 2 * SMALL, STOA_FOREVER),
	              -EDEADLK);
	assert_ok(stoa_stream_cancel(stream));
	assert_result(stoa_stream_peek(stream, 1, STOA_NOW, &region), 3);
	assert_result(stoa_stream_consume(stream, 4), -EMSGSIZE);
	assert_result(stoa_stream_read(stream, &byte, 1, STOA_FOREVER),
	              -EDEADLK);
	assert_result(stoa_stream_resize(stream, 2 * SMALL, STOA_FOREVER),
	              -EDEADLK);
	assert_ok(stoa_stream_consume(stream, 3));
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(others_of_the_same_side_wait_and_the_other_side_does_not)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct stoa_stream *other =
		join_stream(space, "s", STOA_READ | STOA_WRITE);
	struct stoa_region region;
	char byte;

	put_text(stream, "ab");
	assert_ok(stoa_stream_reserve(stream, 1, STOA_NOW, &region));
	assert_result(stoa_stream_write(other, "x", 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_stream_write(other, "x", 1,
	                                stoa_deadline_in(70 * MS)),
	              -ETIMEDOUT);
	assert_int_equal(stream_status(other).writing_pid, getpid());
	assert_text(other, "a");
	assert_ok(stoa_stream_commit(stream, 0));
	put_text(other, "c");
	assert_result(stoa_stream_peek(stream, 1, STOA_NOW, &region), 2);
	assert_result(stoa_stream_read(other, &byte, 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_stream_read(other, &byte, 1,
	                               stoa_deadline_in(70 * MS)),
	              -ETIMEDOUT);
	put_text(other, "d");
	assert_ok(stoa_stream_consume(stream, 1));
	assert_text(other, "cd");
	stoa_stream_close(other);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(closing_gives_up_what_is_held)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct stoa_stream *other =
		join_stream(space, "s", STOA_READ | STOA_WRITE);
	struct stoa_region region;

	put_text(other, "ab");
	assert_ok(stoa_stream_reserve(stream, 1, STOA_NOW, &region));
	assert_result(stoa_stream_peek(stream, 1, STOA_NOW, &region), 2);
	stoa_stream_close(stream);
	assert_text(other, "ab");
	put_text(other, "cd");
	assert_text(other, "cd");
	stoa_stream_close(other);
	stoa_space_close(space);
}

static void use_inherited(void *context)
{
	struct stoa_stream *stream = context;

	assert_result(stoa_stream_commit(stream, 1), -ESTALE);
	assert_result(stoa_stream_consume(stream, 1), -ESTALE);
	assert_result(stoa_stream_write(stream, "x", 1, STOA_NOW), -EAGAIN);
	stoa_stream_close(stream);
}

TEST(what_the_parent_holds_stays_the_parents)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct stoa_region region;
	struct child child;

	put_text(stream, "ab");
	assert_result(stoa_stream_peek(stream, 1, STOA_NOW, &region), 2);
	assert_ok(stoa_stream_reserve(stream, 1, STOA_NOW, &region));
	child = start_child(use_inherited, stream);
	end_child(&child);
	memcpy(region.data, "cd", 2);
	assert_ok(stoa_stream_commit(stream, 2));
	assert_ok(stoa_stream_consume(stream, 2));
	assert_text(stream, "cd");
	stoa_stream_close(stream);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_is_committed_is_read),
	CASE(what_is_peeked_at_stays_until_consumed),
	CASE(every_region_is_contiguous_wherever_it_begins),
	CASE(a_peek_waits_for_as_many_as_it_asks_for),
	CASE(what_cant_be_is_refused),
	CASE(others_of_the_same_side_wait_and_the_other_side_does_not),
	CASE(closing_gives_up_what_is_held),
	CASE(what_the_parent_holds_stays_the_parents),
};

MAIN(cases)
