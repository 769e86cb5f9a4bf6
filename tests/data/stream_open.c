/* SPDX-License-Identifier: MIT */
/* Opening, and what stat tells. */
#include "stream.h"

#include <sys/stat.h>

static int open_with(struct stoa_space *space, const char *name, unsigned flags,
                     struct stoa_stream_attributes attributes)
{
	struct stoa_stream *stream = NULL;
	int result = stoa_stream_open(space, name, flags, 0600, &attributes,
	                              STOA_NOW, &stream);

	if (result < 0)
		assert_null(stream);
	else
		stoa_stream_close(stream);
	return result;
}

TEST(what_cant_be_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_stream_attributes good = stream_attributes(0), bad;
	unsigned both = STOA_READ | STOA_WRITE;

	assert_result(open_with(space, "s", both, good), -ENOENT);
	assert_result(open_with(space, "s", both | 0x1000, good), -EINVAL);
	assert_result(open_with(space, "s/t", both | STOA_CREATE, good),
	              -EINVAL);
	assert_result(open_with(space, NULL, both, good), -EINVAL);
	assert_result(open_with(space, NULL, STOA_CREATE, good), -EINVAL);
	bad = good;
	bad.size = 4;
	assert_result(open_with(space, "s", both | STOA_CREATE, bad), -EINVAL);
	bad = good;
	bad.reserved = 1;
	assert_result(open_with(space, "s", both | STOA_CREATE, bad), -EINVAL);
	bad = good;
	bad.reserved_more[3] = 1;
	assert_result(open_with(space, "s", both | STOA_CREATE, bad), -EINVAL);
	bad = good;
	bad.capacity = UINT64_MAX;
	assert_result(open_with(space, "s", both | STOA_CREATE, bad), -EINVAL);
	bad.capacity = 3 * SMALL;
	bad.max_capacity = 2 * SMALL;
	assert_result(open_with(space, "s", both | STOA_CREATE, bad), -EINVAL);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	assert_ok(open_with(space, "s", both | STOA_CREATE, good));
	assert_result(open_with(space, "s",
	                        both | STOA_CREATE | STOA_EXCLUSIVE, good),
	              -EEXIST);
	assert_ok(open_with(space, "s", both | STOA_CREATE, good));
	stoa_space_close(space);
}

TEST(one_end_cant_do_the_others_work)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer, *look;
	struct stoa_region region;
	char byte;

	stoa_stream_close(make_stream(space, "s", 0));
	reader = join_stream(space, "s", STOA_READ);
	writer = join_stream(space, "s", STOA_WRITE);
	look = join_stream(space, "s", 0);
	assert_result(stoa_stream_write(reader, "x", 1, STOA_NOW), -EBADF);
	assert_result(stoa_stream_reserve(reader, 1, STOA_NOW, &region),
	              -EBADF);
	assert_result(stoa_stream_read(writer, &byte, 1, STOA_NOW), -EBADF);
	assert_result(stoa_stream_peek(writer, 1, STOA_NOW, &region), -EBADF);
	assert_result(stoa_stream_read(look, &byte, 1, STOA_NOW), -EBADF);
	assert_result(stoa_stream_write(look, "x", 1, STOA_NOW), -EBADF);
	assert_ok(stoa_stream_resize(look, SMALL, STOA_NOW));
	assert_int_equal(stream_status(reader).capacity, SMALL);
	put_text(writer, "x");
	assert_text(reader, "x");
	stoa_stream_close(look);
	stoa_stream_close(writer);
	stoa_stream_close(reader);
	stoa_space_close(space);
}

TEST(the_mode_is_set_exactly)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream;
	struct stat status;

	umask(0777);
	assert_ok(stoa_stream_open(space, "s", STOA_CREATE | STOA_READ, 0640,
	                           NULL, STOA_NOW, &stream));
	assert_system(stat(case_path("s.stream"), &status));
	assert_int_equal(status.st_mode & 07777, 0640);
	umask(0);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(stat_tells_what_is_there)
{
	struct stoa_space *space = open_space();
	struct stoa_stream_attributes attributes = stream_attributes(5000);
	struct stoa_stream_status status, wrong = { .size = 3 };
	struct stoa_stream *stream, *writer;
	struct stoa_region region;

	attributes.max_capacity = 40000;
	assert_ok(stoa_stream_open(space, "s", STOA_CREATE | STOA_READ, 0600,
	                           &attributes, STOA_NOW, &stream));
	writer = join_stream(space, "s", STOA_WRITE);
	assert_result(stoa_stream_stat(stream, &wrong), -EINVAL);
	put_text(writer, "abc");
	put_text(writer, "defg");
	assert_text(stream, "abcde");
	status = stream_status(stream);
	assert_int_equal(status.capacity, 2 * SMALL);
	assert_int_equal(status.max_capacity, 10 * SMALL);
	assert_int_equal(status.bytes, 2);
	assert_int_equal(status.bytes_in, 7);
	assert_int_equal(status.bytes_out, 5);
	assert_int_equal(status.writes, 2);
	assert_int_equal(status.reads, 1);
	assert_int_equal(status.users, 2);
	assert_int_equal(status.readers, 1);
	assert_int_equal(status.writers, 1);
	assert_int_equal(status.has_reader, 1);
	assert_int_equal(status.has_writer, 1);
	assert_int_equal(status.writing_pid, 0);
	assert_int_equal(status.last_writer_pid, getpid());
	assert_int_equal(status.last_reader_pid, getpid());
	assert_int_equal(status.creator_pid, getpid());
	assert_true(status.last_write_ns > 0 && status.created_ns > 0);
	assert_ok(stoa_stream_reserve(writer, 1, STOA_NOW, &region));
	assert_int_equal(stream_status(stream).writing_pid, getpid());
	stoa_stream_close(writer);
	assert_int_equal(stream_status(stream).writing_pid, 0);
	assert_int_equal(stream_status(stream).has_writer, 0);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(the_space_lists_it)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	struct stoa_object_info info;

	assert_ok(stoa_space_find(space, "s", &info));
	assert_string_equal(info.kind, "stream");
	assert_int_equal(info.health, 0);
	assert_int_equal(info.users, 1);
	/* What it takes, not what it may grow to. */
	assert_true(info.size_bytes < 100000);
	stoa_stream_close(stream);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	assert_ok(stoa_stream_unlink(space, "s"));
	assert_result(stoa_stream_unlink(space, "s"), -ENOENT);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_cant_be_is_refused),
	CASE(one_end_cant_do_the_others_work),
	CASE(the_mode_is_set_exactly),
	CASE(stat_tells_what_is_there),
	CASE(the_space_lists_it),
};

MAIN(cases)
