/* SPDX-License-Identifier: MIT */
/* Bytes between a stream and pipes, sockets and files. */
#include "stream.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include <data/stream_layout.h>

enum { BYTES = 3 << 20 };

enum source { PIPE, NONBLOCKING_PIPE, SOCKET, REGULAR_FILE, SOURCES };

/* Two descriptors such that what is written to [1] is read from [0]. */
static void open_source(enum source source, int fds[2])
{
	const char *path = case_path("file");

	switch (source) {
	case PIPE:
		assert_system(pipe2(fds, O_CLOEXEC));
		break;
	case NONBLOCKING_PIPE:
		assert_system(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
		break;
	case SOCKET:
		assert_system(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
		                         fds));
		break;
	default:
		fds[1] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
		              0600);
		assert_system(fds[1]);
		fds[0] = open(path, O_RDONLY | O_CLOEXEC);
		assert_system(fds[0]);
		unlink(path);
	}
}

struct feed {
	int fds[2];
	struct stoa_stream *stream;
	enum source source;
};

static void write_all(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t put = write(fd, data, bytes);

		if (put < 0 && errno == EAGAIN)
			continue;
		assert_system(put);
		data += put;
		bytes -= (size_t)put;
	}
}

static void write_descriptor(void *context)
{
	struct feed *feed = context;
	static char buffer[50000];
	uint64_t position = 0;

	close(feed->fds[0]);
	while (position < BYTES) {
		size_t bytes = sizeof(buffer) < BYTES - position ?
		                       sizeof(buffer) :
		                       BYTES - position;

		sequence_fill(buffer, bytes, 1, position);
		write_all(feed->fds[1], buffer, bytes);
		position += bytes;
	}
}

static void read_stream(void *context)
{
	struct feed *feed = context;
	static char buffer[10000];
	uint64_t position = 0;
	ssize_t got;

	if (feed->source != REGULAR_FILE)
		close(feed->fds[1]);
	assert_ok(stoa_stream_shutdown(feed->stream, STOA_WRITE));
	while ((got = stoa_stream_read(feed->stream, buffer, sizeof(buffer),
	                               STOA_FOREVER)) > 0) {
		assert_true(
			sequence_matches(buffer, (size_t)got, 1, position));
		position += (uint64_t)got;
	}
	assert_int_equal(got, 0);
	assert_int_equal(position, BYTES);
}

TEST(from_a_descriptor_until_its_end)
{
	struct stoa_space *space = open_space();

	for (enum source source = PIPE; source < SOURCES; source++) {
		struct feed feed = { .source = source };
		struct child writer, reader;

		open_source(source, feed.fds);
		feed.stream = make_stream(space, NULL, 0);
		writer = start_child(write_descriptor, &feed);
		if (source == REGULAR_FILE)
			end_child(&writer);
		reader = start_child(read_stream, &feed);
		close(feed.fds[1]);
		assert_result(stoa_stream_from_fd(feed.stream, feed.fds[0],
		                                  STOA_STREAM_ALL,
		                                  STOA_FOREVER),
		              BYTES);
		stoa_stream_close(feed.stream);
		if (source != REGULAR_FILE)
			end_child(&writer);
		end_child(&reader);
		close(feed.fds[0]);
	}
	stoa_space_close(space);
}

static void write_stream(void *context)
{
	struct feed *feed = context;
	static char buffer[30000];
	uint64_t position = 0;

	assert_ok(stoa_stream_shutdown(feed->stream, STOA_READ));
	while (position < BYTES) {
		size_t bytes = sizeof(buffer) < BYTES - position ?
		                       sizeof(buffer) :
		                       BYTES - position;

		sequence_fill(buffer, bytes, 1, position);
		assert_result(stoa_stream_write(feed->stream, buffer, bytes,
		                                STOA_FOREVER),
		              (long long)bytes);
		position += bytes;
	}
}

static void read_descriptor(void *context)
{
	struct feed *feed = context;
	static char buffer[7000];
	uint64_t position = 0;

	if (feed->source != REGULAR_FILE)
		close(feed->fds[1]);
	while (position < BYTES) {
		ssize_t got = read(feed->fds[0], buffer, sizeof(buffer));

		if (got < 0 && errno == EAGAIN)
			continue;
		assert_true(got > 0);
		assert_true(
			sequence_matches(buffer, (size_t)got, 1, position));
		position += (uint64_t)got;
	}
}

TEST(to_a_descriptor_until_end_of_file)
{
	struct stoa_space *space = open_space();

	for (enum source source = PIPE; source < SOURCES; source++) {
		struct feed feed = { .source = source };
		struct child writer, reader;

		open_source(source, feed.fds);
		feed.stream = make_stream(space, NULL, 0);
		writer = start_child(write_stream, &feed);
		if (source != REGULAR_FILE)
			reader = start_child(read_descriptor, &feed);
		assert_ok(stoa_stream_shutdown(feed.stream, STOA_WRITE));
		assert_result(stoa_stream_to_fd(feed.stream, feed.fds[1],
		                                STOA_STREAM_ALL, STOA_FOREVER),
		              BYTES);
		stoa_stream_close(feed.stream);
		if (source == REGULAR_FILE)
			reader = start_child(read_descriptor, &feed);
		end_child(&writer);
		end_child(&reader);
		close(feed.fds[0]);
		close(feed.fds[1]);
	}
	stoa_space_close(space);
}

TEST(as_many_as_are_asked_for)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	char buffer[16] = { 0 };
	int fds[2];

	open_source(PIPE, fds);
	write_all(fds[1], "abcdefgh", 8);
	assert_ok(stoa_stream_from_fd(stream, fds[0], 0, STOA_FOREVER));
	assert_result(stoa_stream_from_fd(stream, fds[0], 3, STOA_FOREVER), 3);
	assert_text(stream, "abc");
	assert_no_bytes(stream);
	assert_result(stoa_stream_from_fd(stream, fds[0], 100, STOA_NOW), 5);
	assert_result(stoa_stream_from_fd(stream, fds[0], 100, STOA_NOW),
	              -EAGAIN);
	assert_result(stoa_stream_to_fd(stream, fds[1], 2, STOA_FOREVER), 2);
	assert_int_equal(read(fds[0], buffer, 16), 2);
	assert_memory_equal(buffer, "de", 2);
	assert_result(stoa_stream_to_fd(stream, fds[1], 100, STOA_NOW), 3);
	assert_result(stoa_stream_to_fd(stream, fds[1], 100, STOA_NOW),
	              -EAGAIN);
	close(fds[0]);
	close(fds[1]);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(it_ends_by_the_deadline)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", 1 << 18);
	static char bytes[1 << 18];
	int fds[2];
	int64_t moved;

	open_source(PIPE, fds);
	assert_result(stoa_stream_from_fd(stream, fds[0], 100,
	                                  stoa_deadline_in(80 * MS)),
	              -ETIMEDOUT);
	assert_result(stoa_stream_to_fd(stream, fds[1], 100,
	                                stoa_deadline_in(80 * MS)),
	              -ETIMEDOUT);
	/* More than a pipe takes: the rest stays. */
	assert_result(stoa_stream_write(stream, bytes, sizeof(bytes), STOA_NOW),
	              sizeof(bytes));
	moved = assert_good(stoa_stream_to_fd(stream, fds[1], STOA_STREAM_ALL,
	                                      stoa_deadline_in(80 * MS)));
	assert_true(moved > 0 && moved < (int64_t)sizeof(bytes));
	assert_int_equal(stream_status(stream).bytes,
	                 sizeof(bytes) - (uint64_t)moved);
	close(fds[0]);
	close(fds[1]);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(what_goes_wrong_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	assert_ok(stoa_stream_pipe(space, NULL, &reader, &writer));
	open_source(PIPE, fds);
	assert_result(stoa_stream_from_fd(writer, -1, 1, STOA_NOW), -EBADF);
	assert_result(stoa_stream_from_fd(writer, fds[1], 1, STOA_FOREVER),
	              -EBADF);
	assert_result(stoa_stream_from_fd(reader, fds[0], 1, STOA_NOW), -EBADF);
	assert_result(stoa_stream_to_fd(writer, fds[1], 1, STOA_NOW), -EBADF);
	put_text(writer, "kept");
	close(fds[0]);
	assert_result(stoa_stream_to_fd(reader, fds[1], STOA_STREAM_ALL,
	                                STOA_FOREVER),
	              -EPIPE);
	assert_text(reader, "kept");
	close(fds[1]);
	/* Nobody reads any more, and the source is silent. */
	open_source(PIPE, fds);
	stoa_stream_close(reader);
	assert_result(stoa_stream_from_fd(writer, fds[0], STOA_STREAM_ALL,
	                                  STOA_FOREVER),
	              -EPIPE);
	close(fds[0]);
	close(fds[1]);
	stoa_stream_close(writer);
	stoa_space_close(space);
}

/* The kernel copies to and from the hole, and raises no SIGBUS. */
static void assert_told_of_the_cut(bool out)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *stream = make_stream(space, "s", SMALL);
	int fd = open(out ? "/dev/shm" : "/dev/zero",
	              out ? O_TMPFILE | O_WRONLY | O_CLOEXEC
	                  : O_RDONLY | O_CLOEXEC,
	              0600);

	assert_system(fd);
	put_text(stream, "gone");
	assert_system(truncate(case_path("s.stream"), STREAM_AREA_OFFSET));
	if (out)
		assert_result(stoa_stream_to_fd(stream, fd, 4, STOA_NOW), -EIO);
	else
		assert_result(stoa_stream_from_fd(stream, fd, 9, STOA_NOW),
		              -EIO);
	assert_result(stoa_stream_write(stream, "x", 1, STOA_NOW), -EIO);
	close(fd);
	stoa_stream_close(stream);
	assert_ok(stoa_stream_unlink(space, "s"));
	stoa_space_close(space);
}

TEST(a_stream_that_was_cut_is_told)
{
	assert_told_of_the_cut(true);
	assert_told_of_the_cut(false);
}

static const struct CMUnitTest cases[] = {
	CASE(from_a_descriptor_until_its_end),
	CASE(to_a_descriptor_until_end_of_file),
	CASE(as_many_as_are_asked_for),
	CASE(it_ends_by_the_deadline),
	CASE(what_goes_wrong_is_told),
	CASE(a_stream_that_was_cut_is_told),
};

MAIN(cases)
