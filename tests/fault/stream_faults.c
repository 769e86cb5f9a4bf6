/* SPDX-License-Identifier: MIT */
/* Every operation on streams while its n-th system call fails: nothing leaks,
 * nothing is lost, and the stream goes on. */
#include "inject.h"
#include "stream.h"

#include <fcntl.h>

enum { BYTES = 3000, RUNS_MAX = 2000, STREAK = 100 };

static struct stoa_space *space;
static struct stoa_stream *stream, *other;
static int fds[2];
static char data[BYTES];

struct case_ {
	const char *name;
	long long (*run)(void);
	void (*undo)(void); /* after a success */
	bool makes;         /* the stream isn't there before */
};

/* ---- Operations ----------------------------------------------------------- */

static long long create(void)
{
	struct stoa_stream_attributes attributes = stream_attributes(SMALL);

	return stoa_stream_open(space, "new", STOA_CREATE | STOA_READ, 0640,
	                        &attributes, STOA_NOW, &other);
}

static void undo_create(void)
{
	stoa_stream_close(other);
	assert_ok(stoa_stream_unlink(space, "new"));
}

static long long open_both(void)
{
	return stoa_stream_open(space, "s", STOA_READ | STOA_WRITE, 0, NULL,
	                        STOA_NOW, &other);
}

static long long make_pair(void)
{
	struct stoa_stream *peer;
	int result = stoa_stream_pair(space, NULL, &other, &peer);

	if (result == 0)
		stoa_stream_close(peer);
	return result;
}

static void close_other(void)
{
	stoa_stream_close(other);
}

static long long write_bytes(void)
{
	sequence_fill(data, 100, 1, 0);
	return stoa_stream_write(stream, data, 100, STOA_NOW) - 100;
}

static void undo_write(void)
{
	assert_result(stoa_stream_read(stream, data, 100, STOA_NOW), 100);
	assert_true(sequence_matches(data, 100, 1, 0));
}

static long long read_nothing(void)
{
	ssize_t result = stoa_stream_read(stream, data, 100,
	                                  stoa_deadline_in(2 * MS));

	return result == -ETIMEDOUT || result == -EAGAIN ? 0 : result;
}

static long long resize(void)
{
	return stoa_stream_resize(stream, 3 * SMALL, STOA_NOW);
}

static void undo_resize(void)
{
	assert_ok(stoa_stream_resize(stream, 2 * SMALL, STOA_NOW));
}

static long long poll_descriptor(void)
{
	long long result = open_both();

	if (result < 0)
		return result;
	result = stoa_stream_pollfd(other, STOA_READ);
	if (result < 0)
		stoa_stream_close(other);
	return result < 0 ? result : 0;
}

static long long from_descriptor(void)
{
	assert_int_equal(write(fds[1], "abc", 3), 3);
	long long result = stoa_stream_from_fd(stream, fds[0], 3,
	                                       STOA_FOREVER);
	char text[4];

	if (result < 0)
		assert_int_equal(read(fds[0], text, 3), 3);
	return result == 3 ? 0 : result;
}

static void undo_from(void)
{
	assert_text(stream, "abc");
}

static long long to_descriptor(void)
{
	char text[4];

	put_text(stream, "xyz");
	long long result = stoa_stream_to_fd(stream, fds[1], 3, STOA_FOREVER);
	if (result < 0) {
		assert_text(stream, "xyz");
		return result;
	}
	assert_int_equal(result, 3);
	assert_int_equal(read(fds[0], text, 3), 3);
	assert_memory_equal(text, "xyz", 3);
	return 0;
}

/* Another handle has had the side to itself: its favour is revoked. */
static long long lose_favour(void)
{
	int result = open_both();
	ssize_t put = -EIO;

	if (result < 0)
		return result;
	for (int i = 0; i < STREAK; i++)
		if (stoa_stream_write(other, "x", 1, STOA_NOW) == 1)
			put = stoa_stream_read(other, data, 1, STOA_NOW);
	if (put == 1)
		put = stoa_stream_write(stream, "x", 1, STOA_NOW);
	if (put == 1)
		put = stoa_stream_read(stream, data, 1, STOA_NOW);
	stoa_stream_close(other);
	return put == 1 ? 0 : put < 0 ? put : -EIO;
}

static long long tell_numbers(void)
{
	struct stoa_stream_status status = { .size = sizeof(status) };

	return stoa_stream_stat(stream, &status);
}

static long long shut_down(void)
{
	int result = stoa_stream_open(space, NULL,
	                              STOA_CREATE | STOA_READ | STOA_WRITE, 0,
	                              NULL, STOA_NOW, &other);

	if (result < 0)
		return result;
	result = stoa_stream_shutdown(other, STOA_WRITE);
	if (result < 0)
		stoa_stream_close(other);
	return result;
}

static const struct case_ operations[] = {
	{ "create", create, undo_create, true },
	{ "open", open_both, close_other, false },
	{ "pair", make_pair, close_other, false },
	{ "write", write_bytes, undo_write, false },
	{ "read nothing", read_nothing, NULL, false },
	{ "resize", resize, undo_resize, false },
	{ "pollfd", poll_descriptor, close_other, false },
	{ "from_fd", from_descriptor, undo_from, false },
	{ "to_fd", to_descriptor, NULL, false },
	{ "losing favour", lose_favour, NULL, false },
	{ "stat", tell_numbers, NULL, false },
	{ "shutdown", shut_down, close_other, false },
};

/* ---- The sweep --------------------------------------------------------------- */

static void run_one(const struct case_ *operation, int error)
{
	stoa_peer self;

	/* What the library opens once and keeps, in a patrol at the latest. */
	assert_ok(stoa_space_self(space, &self));
	assert_int_equal(operation->run(), 0);
	if (operation->undo)
		operation->undo();
	for (unsigned n = 1; n < RUNS_MAX; n++) {
		int descriptors = count_descriptors();
		int mappings = count_mappings("stream");
		long long result;
		bool came;

		inject_at(error, n, false);
		result = operation->run();
		came = injected();
		if (result == 0 && operation->undo)
			operation->undo();
		if (result > 0)
			fail_msg("%s gave %lld", operation->name, result);
		if (operation->makes && result < 0 &&
		    access(case_path("new.stream"), F_OK) == 0)
			fail_msg("%s left a name", operation->name);
		if (count_descriptors() != descriptors)
			fail_msg("%s: error %d at call %u leaks a descriptor",
			         operation->name, error, n);
		if (count_mappings("stream") != mappings)
			fail_msg("%s: error %d at call %u leaks a mapping",
			         operation->name, error, n);
		/* It goes on. */
		assert_int_equal(write_bytes(), 0);
		undo_write();
		if (!came) {
			assert_int_equal(result, 0);
			return;
		}
	}
	fail_msg("%s has no end", operation->name);
}

TEST(every_operation_survives_every_failing_call)
{
	static const int errors[] = { ENOSPC, EMFILE, ENFILE, ENOMEM, EINTR,
		                      EAGAIN, EIO,    EACCES, ENOLCK };

	space = open_space();
	stream = make_stream(space, "s", 2 * SMALL);
	/* So that no end has to be asked for in between. */
	assert_system(pipe2(fds, O_CLOEXEC));
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			run_one(&operations[i], errors[e]);
	close(fds[0]);
	close(fds[1]);
	stoa_stream_close(stream);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_operation_survives_every_failing_call),
};

MAIN(cases)
