/* SPDX-License-Identifier: MIT */
/* Ends: opening waits for the other, end of file, -EPIPE, shutting down,
 * unnamed streams and pairs. */
#include "stream.h"

#include <space/object.h>

TEST(end_of_file_comes_after_the_bytes_when_the_last_writer_has_closed)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *one, *two;

	stoa_stream_close(make_stream(space, "s", 0));
	reader = join_stream(space, "s", STOA_READ);
	one = join_stream(space, "s", STOA_WRITE);
	two = join_stream(space, "s", STOA_WRITE);
	put_text(one, "first");
	put_text(two, "second");
	stoa_stream_close(one);
	assert_text(reader, "first");
	assert_text(reader, "second");
	assert_no_bytes(reader);
	put_text(two, "third");
	stoa_stream_close(two);
	assert_text(reader, "third");
	assert_end_of_file(reader);
	assert_end_of_file(reader);
	/* And goes when somebody comes. */
	one = join_stream(space, "s", STOA_WRITE);
	assert_no_bytes(reader);
	put_text(one, "again");
	assert_text(reader, "again");
	stoa_stream_close(one);
	assert_end_of_file(reader);
	stoa_stream_close(reader);
	stoa_space_close(space);
}

TEST(a_write_is_refused_when_the_last_reader_has_closed)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *writer, *one, *two;
	struct stoa_region region;

	stoa_stream_close(make_stream(space, "s", 0));
	writer = join_stream(space, "s", STOA_WRITE);
	one = join_stream(space, "s", STOA_READ);
	two = join_stream(space, "s", STOA_READ);
	put_text(writer, "x");
	stoa_stream_close(one);
	put_text(writer, "y");
	stoa_stream_close(two);
	assert_result(stoa_stream_write(writer, "z", 1, STOA_NOW), -EPIPE);
	assert_result(stoa_stream_write(writer, "z", 1, STOA_FOREVER), -EPIPE);
	assert_result(stoa_stream_reserve(writer, 1, STOA_NOW, &region),
	              -EPIPE);
	one = join_stream(space, "s", STOA_READ);
	put_text(writer, "z");
	assert_text(one, "xyz");
	stoa_stream_close(writer);
	stoa_stream_close(one);
	stoa_space_close(space);
}

TEST(nobody_is_told_gone_who_was_never_there)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer;
	char byte;

	stoa_stream_close(make_stream(space, "s", SMALL));
	reader = join_stream(space, "s", STOA_READ);
	assert_no_bytes(reader);
	assert_result(stoa_stream_read(reader, &byte, 1,
	                               stoa_deadline_in(60 * MS)),
	              -ETIMEDOUT);
	writer = join_stream(space, "s", STOA_WRITE);
	stoa_stream_close(writer);
	assert_end_of_file(reader);
	stoa_stream_close(reader);

	writer = join_stream(space, "s", STOA_WRITE);
	put_text(writer, "kept");
	stoa_stream_close(writer);
	stoa_space_close(space);
}

/* ---- Opening ------------------------------------------------------------ */

struct opening {
	struct stoa_space *space;
	unsigned flags;
};

static void open_and_wait(void *context)
{
	struct opening *opening = context;
	struct stoa_stream *stream;

	assert_ok(stoa_stream_open(opening->space, "s", opening->flags, 0600,
	                           NULL, STOA_FOREVER, &stream));
	report(1);
	await_order();
	stoa_stream_close(stream);
}

TEST(opening_one_end_waits_for_the_other)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *look = NULL, *stream;

	for (int i = 0; i < 2; i++) {
		struct opening opening = { space, STOA_CREATE |
			                                  (i ? STOA_READ :
			                                       STOA_WRITE) };
		struct child child = start_child(open_and_wait, &opening);

		while (!look && stoa_stream_open(space, "s", 0, 0, NULL,
		                                 STOA_NOW, &look) < 0)
			;
		until_stream_waiting(look, (uint32_t)i, (uint32_t)!i);
		assert_ok(stoa_stream_open(space, "s",
		                           i ? STOA_WRITE : STOA_READ, 0, NULL,
		                           STOA_FOREVER, &stream));
		assert_int_equal(await_report(&child), 1);
		give_order(&child, 0);
		end_child(&child);
		stoa_stream_close(stream);
	}
	stoa_stream_close(look);
	stoa_space_close(space);
}

TEST(opening_gives_up_by_the_deadline_and_leaves_no_end)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = NULL, *look;

	for (int i = 0; i < 2; i++) {
		assert_result(stoa_stream_open(
				      space, "s",
				      STOA_CREATE | (i ? STOA_READ : STOA_WRITE),
				      0600, NULL, stoa_deadline_in(30 * MS),
				      &stream),
		              -ETIMEDOUT);
		assert_null(stream);
	}
	look = join_stream(space, "s", 0);
	assert_int_equal(stream_status(look).has_reader, 0);
	assert_int_equal(stream_status(look).has_writer, 0);
	assert_int_equal(stream_status(look).users, 1);
	stoa_stream_close(look);
	stoa_space_close(space);
}

/* A writer that is done before the reader looks again. */
static void write_and_go(void *context)
{
	struct stoa_stream *stream;

	assert_ok(stoa_stream_open(context, "s", STOA_WRITE, 0600, NULL,
	                           STOA_NOW, &stream));
	put_text(stream, "quick");
	stoa_stream_close(stream);
}

TEST(one_who_came_and_went_is_enough)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream, *reader;
	struct child child;

	stream = make_stream(space, "s", 0);
	stoa_stream_close(stream);
	child = start_child(write_and_go, space);
	end_child(&child);
	assert_ok(stoa_stream_open(space, "s", STOA_READ, 0, NULL, STOA_FOREVER,
	                           &reader));
	assert_text(reader, "quick");
	assert_end_of_file(reader);
	stoa_stream_close(reader);
	stoa_space_close(space);
}

/* ---- Without a name ------------------------------------------------------ */

static void write_through_pipe(void *context)
{
	struct stoa_stream **ends = context;

	stoa_stream_close(ends[0]);
	await_order();
	put_text(ends[1], "from the child");
	stoa_stream_close(ends[1]);
}

/* The parent drops its end long before the child makes its first call: no end
 * of file is told in between. */
TEST(a_forked_child_has_its_end_before_its_first_call)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *ends[2];
	struct child child;
	char byte;

	assert_ok(stoa_stream_pipe(space, NULL, &ends[0], &ends[1]));
	child = start_child(write_through_pipe, ends);
	stoa_stream_close(ends[1]);
	assert_no_bytes(ends[0]);
	assert_result(stoa_stream_read(ends[0], &byte, 1,
	                               stoa_deadline_in(150 * MS)),
	              -ETIMEDOUT);
	give_order(&child, 0);
	assert_text(ends[0], "from the child");
	assert_end_of_file(ends[0]);
	end_child(&child);
	stoa_stream_close(ends[0]);
	stoa_space_close(space);
}

static void answer(void *context)
{
	struct stoa_stream **ends = context;
	char buffer[64];
	ssize_t got;

	stoa_stream_close(ends[0]);
	while ((got = stoa_stream_read(ends[1], buffer, sizeof(buffer),
	                               STOA_FOREVER)) > 0)
		assert_result(stoa_stream_write(ends[1], buffer, (size_t)got,
		                                STOA_FOREVER),
		              got);
	assert_int_equal(got, 0);
	stoa_stream_close(ends[1]);
}

TEST(a_pair_goes_both_ways)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *ends[2];
	struct child child;

	assert_ok(stoa_stream_pair(space, NULL, &ends[0], &ends[1]));
	child = start_child(answer, ends);
	stoa_stream_close(ends[1]);
	put_text(ends[0], "ping");
	assert_text(ends[0], "ping");
	put_text(ends[0], "pong");
	assert_ok(stoa_stream_shutdown(ends[0], STOA_WRITE));
	assert_result(stoa_stream_write(ends[0], "x", 1, STOA_NOW), -EBADF);
	assert_result(stoa_stream_shutdown(ends[0], STOA_WRITE), -EBADF);
	assert_text(ends[0], "pong");
	assert_end_of_file(ends[0]);
	end_child(&child);
	stoa_stream_close(ends[0]);
	stoa_space_close(space);
}

TEST(an_unnamed_stream_is_split_by_shutting_down)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, NULL, 0);

	put_text(stream, "x");
	assert_result(stoa_stream_shutdown(stream, 0), -EINVAL);
	assert_ok(stoa_stream_shutdown(stream, STOA_WRITE));
	assert_text(stream, "x");
	assert_end_of_file(stream);
	assert_result(stoa_stream_write(stream, "x", 1, STOA_NOW), -EBADF);
	stoa_stream_close(stream);

	stream = make_stream(space, NULL, 0);
	assert_ok(stoa_stream_shutdown(stream, STOA_READ));
	assert_result(stoa_stream_write(stream, "x", 1, STOA_NOW), -EPIPE);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(an_unnamed_stream_leaves_no_name_in_the_space)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *ends[2];
	assert_ok(stoa_stream_pair(space, NULL, &ends[0], &ends[1]));
	assert_good(stoa_stream_pollfd(ends[0], STOA_READ));
	assert_good(stoa_stream_pollfd(ends[0], STOA_WRITE));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_stream_close(ends[0]);
	stoa_stream_close(ends[1]);
	stoa_space_close(space);
}

/* ---- Removal -------------------------------------------------------------- */

static void read_until_removed(void *context)
{
	char byte;

	assert_result(stoa_stream_read(context, &byte, 1, STOA_FOREVER),
	              -EIDRM);
}

TEST(removal_wakes_who_waits)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 0);
	struct child child = start_child(read_until_removed, stream);

	until_stream_waiting(stream, 1, 0);
	assert_ok(stoa_stream_remove(stream));
	end_child(&child);
	assert_result(stoa_stream_write(stream, "x", 1, STOA_NOW), -EIDRM);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

/* As a kill between the two leaves it. */
TEST(removing_a_pair_removes_what_is_left_of_it)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *ends[2];

	for (unsigned removed = 0; removed <= (STOA_READ | STOA_WRITE);
	     removed++) {
		assert_ok(stoa_stream_pair(space, NULL, &ends[0], &ends[1]));
		for (unsigned side = STOA_READ; side <= STOA_WRITE; side++)
			if (removed & side)
				assert_ok(stoa_object_remove(
					stoa_stream_object(ends[0], side)));
		assert_result(stoa_stream_remove(ends[0]),
		              removed == (STOA_READ | STOA_WRITE) ? -EIDRM : 0);
		for (int i = 0; i < 2; i++)
			assert_result(stoa_stream_write(ends[i], "x", 1,
			                                STOA_NOW),
			              -EIDRM);
		assert_result(stoa_stream_remove(ends[1]), -EIDRM);
		stoa_stream_close(ends[0]);
		stoa_stream_close(ends[1]);
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(end_of_file_comes_after_the_bytes_when_the_last_writer_has_closed),
	CASE(a_write_is_refused_when_the_last_reader_has_closed),
	CASE(nobody_is_told_gone_who_was_never_there),
	CASE(opening_one_end_waits_for_the_other),
	CASE(opening_gives_up_by_the_deadline_and_leaves_no_end),
	CASE(one_who_came_and_went_is_enough),
	CASE(a_forked_child_has_its_end_before_its_first_call),
	CASE(a_pair_goes_both_ways),
	CASE(an_unnamed_stream_is_split_by_shutting_down),
	CASE(an_unnamed_stream_leaves_no_name_in_the_space),
	CASE(removal_wakes_who_waits),
	CASE(removing_a_pair_removes_what_is_left_of_it),
};

MAIN(cases)
