/* SPDX-License-Identifier: MIT */
/* Bytes through FIFOs: end of file, EPIPE, atomic writes, polling, kills. */
#include "fifo.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>

enum { WRITERS = 4, RECORDS = 200, ROUNDS = 12, SOON_MAX = 60, WIDE = 1 << 20 };

static bool is_readable(int fd)
{
	struct pollfd pollfd = { fd, POLLIN, 0 };

	assert_system(poll(&pollfd, 1, 0));
	return pollfd.revents != 0;
}

/* ---- End of file ------------------------------------------------------------------ */

TEST(the_reader_stays_after_each_end_of_file)
{
	struct stoa_fifo *reader = open_reader();
	int fd = (int)assert_good(stoa_fifo_pollfd(reader));

	assert_read(reader, -EAGAIN);
	for (int round = 0; round < 5; round++) {
		assert_false(is_readable(fd));
		struct stoa_fifo *writer = open_writer();
		assert_read(reader, -EAGAIN);
		assert_false(is_readable(fd));
		put_bytes(writer, "abc");
		assert_true(is_readable(fd));
		assert_bytes(reader, "abc");
		assert_read(reader, -EAGAIN);
		put_bytes(writer, "de");
		stoa_fifo_close(writer);
		assert_bytes(reader, "de");
		assert_true(is_readable(fd));
		assert_read(reader, 0);
		assert_read(reader, -EAGAIN);
	}
	/* One that came and went with nothing to say. */
	stoa_fifo_close(open_writer());
	assert_true(is_readable(fd));
	assert_read(reader, 0);
	assert_false(is_readable(fd));
	stoa_fifo_close(reader);
	remove_fifo();
}

TEST(writers_may_come_and_go_unseen)
{
	struct stoa_fifo *reader = open_fifo(
	        STOA_READ | STOA_CREATE | STOA_FIFO_STAYS, STOA_NOW);
	char byte;

	for (int round = 0; round < 5; round++) {
		struct stoa_fifo *writer = open_writer();

		put_bytes(writer, "abc");
		stoa_fifo_close(writer);
		assert_bytes(reader, "abc");
		assert_read(reader, -EAGAIN);
		stoa_fifo_close(open_writer());
		assert_result(stoa_fifo_read(reader, &byte, 1,
		                             stoa_deadline_in(2 * MS)),
		              -ETIMEDOUT);
	}
	stoa_fifo_close(reader);
	remove_fifo();
}

static void write_later(void *context)
{
	struct stoa_fifo *writer;

	(void)context;
	await_order();
	writer = open_writer();
	put_bytes(writer, "a");
	stoa_fifo_close(writer);
}

TEST(a_read_waits_for_the_next_writer)
{
	struct stoa_fifo *reader = open_reader();
	char byte;

	for (int round = 0; round < 3; round++) {
		struct child child = start_child(write_later, NULL);

		give_order(&child, 0);
		assert_result(stoa_fifo_read(reader, &byte, 1, STOA_FOREVER),
		              1);
		assert_result(stoa_fifo_read(reader, &byte, 1, STOA_FOREVER),
		              0);
		end_child(&child);
	}
	assert_result(stoa_fifo_read(reader, &byte, 0, STOA_FOREVER), 0);
	assert_result(stoa_fifo_write(reader, &byte, 1, STOA_NOW), -EBADF);
	assert_result(stoa_fifo_await(reader, STOA_NOW), -EBADF);
	stoa_fifo_close(reader);
	remove_fifo();
}

/* ---- Nobody reads ------------------------------------------------------------------- */

TEST(a_write_that_nobody_reads_is_told_and_no_signal)
{
	struct stoa_fifo *reader = open_reader();
	struct stoa_fifo *writer = open_writer();
	stoa_signal_set before = 0, after = 0;
	int fd = (int)assert_good(stoa_fifo_pollfd(writer));
	char byte;

	signal(SIGPIPE, SIG_DFL);
	assert_ok(stoa_signal_blocked(&before));
	put_bytes(writer, "lost");
	stoa_fifo_close(reader);
	assert_result(stoa_fifo_write(writer, "a", 1, STOA_FOREVER), -EPIPE);
	assert_sentence("nobody reads");
	assert_true(is_readable(fd));
	assert_ok(stoa_signal_blocked(&after));
	assert_true(before == after);
	assert_ok(stoa_signal_pending(&after));
	assert_false(after & STOA_SIGNAL(SIGPIPE));
	assert_result(stoa_fifo_await(writer, STOA_NOW), -EAGAIN);
	assert_result(stoa_fifo_await(writer, stoa_deadline_in(5 * MS)),
	              -ETIMEDOUT);
	/* It goes on with the next reader, who finds what the last one left. */
	reader = open_reader();
	assert_ok(stoa_fifo_await(writer, STOA_NOW));
	assert_ok(stoa_fifo_await(writer, STOA_FOREVER));
	put_bytes(writer, "b");
	assert_bytes(reader, "lostb");
	assert_result(stoa_fifo_read(writer, &byte, 1, STOA_NOW), -EBADF);
	stoa_fifo_close(writer);
	stoa_fifo_close(reader);
	remove_fifo();
}

static void read_later(void *context)
{
	struct stoa_fifo *reader;

	(void)context;
	await_order();
	reader = open_reader();
	await_order();
	assert_bytes(reader, "x");
	stoa_fifo_close(reader);
}

TEST(a_writer_waits_for_the_next_reader)
{
	struct stoa_fifo *reader = open_reader();
	struct stoa_fifo *writer = open_writer();

	stoa_fifo_close(reader);
	struct child child = start_child(read_later, NULL);
	give_order(&child, 0);
	assert_ok(stoa_fifo_await(writer, STOA_FOREVER));
	put_bytes(writer, "x");
	give_order(&child, 0);
	end_child(&child);
	stoa_fifo_close(writer);
	remove_fifo();
}

/* ---- Room --------------------------------------------------------------------------- */

TEST(small_writes_go_whole_or_not_at_all)
{
	static char bytes[WIDE], back[WIDE];
	struct stoa_fifo *reader = open_reader();
	struct stoa_fifo *writer = open_writer();
	struct stoa_fifo_status status = { .size = sizeof(status) };
	int fd = (int)assert_good(stoa_fifo_pollfd(writer));
	size_t most = 0;

	fill_pattern(bytes, sizeof(bytes), 1);
	while (stoa_fifo_write(writer, bytes + most, STOA_FIFO_ATOMIC,
	                       STOA_NOW) == STOA_FIFO_ATOMIC)
		most += STOA_FIFO_ATOMIC;
	assert_result(stoa_fifo_write(writer, bytes, STOA_FIFO_ATOMIC,
	                              STOA_NOW),
	              -EAGAIN);
	assert_false(is_readable(fd));
	assert_result(stoa_fifo_write(writer, bytes, 1,
	                              stoa_deadline_in(5 * MS)),
	              -ETIMEDOUT);
	assert_ok(stoa_fifo_stat(writer, &status));
	assert_int_equal(status.bytes, most);
	assert_true(status.capacity >= most);
	assert_int_equal(status.has_other, 1);
	assert_result(stoa_fifo_read(reader, back, 100, STOA_NOW), 100);
	/* There is no room for all of it, and so for none of it. */
	assert_result(stoa_fifo_write(writer, bytes + most, STOA_FIFO_ATOMIC,
	                              STOA_NOW),
	              -EAGAIN);
	assert_result(stoa_fifo_read(reader, back + 100, WIDE, STOA_NOW),
	              most - 100);
	assert_memory_equal(bytes, back, most);
	assert_true(is_readable(fd));
	/* A larger one: what there is room for. */
	ssize_t some = stoa_fifo_write(writer, bytes, WIDE, STOA_NOW);
	assert_true(some >= STOA_FIFO_ATOMIC && some < WIDE);
	stoa_fifo_close(writer);
	stoa_fifo_close(reader);
	remove_fifo();
}

TEST(shape_and_state_are_told)
{
	struct stoa_fifo *reader = open_reader();
	struct stoa_fifo_status status = { .size = sizeof(status) };
	static char bytes[8192];

	assert_ok(stoa_fifo_stat(reader, &status));
	assert_int_equal(status.has_other, 0);
	assert_int_equal(status.bytes, 0);
	assert_int_equal(status.mode, 0600);
	assert_int_equal(status.uid, geteuid());
	struct stoa_fifo *writer = open_writer();
	assert_ok(stoa_fifo_stat(reader, &status));
	assert_int_equal(status.has_other, 1);
	assert_result(stoa_fifo_resize(writer, 4097), 8192);
	assert_ok(stoa_fifo_stat(reader, &status));
	assert_int_equal(status.capacity, 8192);
	assert_result(stoa_fifo_write(writer, bytes, 8192, STOA_NOW), 8192);
	assert_result(stoa_fifo_resize(writer, 4096), -EBUSY);
	assert_sentence("doesn't fit");
	assert_result(stoa_fifo_resize(writer, 0), -EINVAL);
	stoa_fifo_close(writer);
	assert_ok(stoa_fifo_stat(reader, &status));
	assert_int_equal(status.has_other, 0);
	assert_int_equal(status.bytes, 8192);
	status.size = 0;
	assert_result(stoa_fifo_stat(reader, &status), -EINVAL);
	stoa_fifo_close(reader);
	remove_fifo();
}

/* ---- Several writers, and kills ------------------------------------------------------- */

static void write_records(void *context)
{
	uint64_t number = *(uint64_t *)context, i = 0;
	struct stoa_fifo *writer = open_fifo(STOA_WRITE, STOA_FOREVER);
	static char record[STOA_FIFO_ATOMIC];

	for (; number == UINT64_MAX || i < RECORDS; i++) {
		uint64_t seed = number << 32 | i;

		memcpy(record, &seed, sizeof(seed));
		fill_pattern(record + sizeof(seed),
		             sizeof(record) - sizeof(seed), seed);
		assert_result(stoa_fifo_write(writer, record, sizeof(record),
		                              STOA_FOREVER),
		              sizeof(record));
	}
	stoa_fifo_close(writer);
}

/* The next record, in pieces of odd sizes. False: end of file. */
static bool read_record(struct stoa_fifo *reader, uint64_t *ret_seed)
{
	static char record[STOA_FIFO_ATOMIC];
	size_t got = 0;

	while (got < sizeof(record)) {
		size_t most = sizeof(record) - got;
		ssize_t some = stoa_fifo_read(reader, record + got,
		                              most < 999 ? most : 999,
		                              STOA_FOREVER);

		assert_true(some >= 0);
		if (some == 0) {
			assert_int_equal(got, 0); /* no half record */
			return false;
		}
		got += (size_t)some;
	}
	memcpy(ret_seed, record, sizeof(*ret_seed));
	assert_true(has_pattern(record + sizeof(*ret_seed),
	                        sizeof(record) - sizeof(*ret_seed),
	                        *ret_seed));
	return true;
}

TEST(records_of_many_writers_are_not_mixed)
{
	struct stoa_fifo *reader = open_reader();
	struct child children[WRITERS];
	uint64_t numbers[WRITERS], next[WRITERS] = { 0 }, seed;

	for (uint64_t i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		children[i] = start_child(write_records, &numbers[i]);
	}
	for (int total = 0; total < WRITERS * RECORDS;) {
		/* Between two writers there may be nobody. */
		if (!read_record(reader, &seed))
			continue;
		total++;
		assert_in_range(seed >> 32, 0, WRITERS - 1);
		assert_int_equal(seed & UINT32_MAX, next[seed >> 32]++);
	}
	for (int i = 0; i < WRITERS; i++)
		end_child(&children[i]);
	stoa_fifo_close(reader);
	remove_fifo();
}

TEST(a_killed_writer_leaves_whole_records_and_an_end)
{
	uint64_t random = run_seed(), number = UINT64_MAX;

	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	for (int round = 0; round < ROUNDS; round++) {
		struct child child = start_child(write_records, &number);
		struct stoa_fifo *reader = open_fifo(STOA_READ, STOA_FOREVER);
		uint64_t until = random_below(&random, SOON_MAX), next = 0;
		uint64_t seed;

		for (; next < until; next++) {
			assert_true(read_record(reader, &seed));
			assert_int_equal(seed & UINT32_MAX, next);
		}
		kill_child(&child);
		while (read_record(reader, &seed))
			assert_int_equal(seed & UINT32_MAX, next++);
		stoa_fifo_close(reader);
	}
	remove_fifo();
}

static void read_some(void *context)
{
	struct stoa_fifo *reader = open_fifo(STOA_READ, STOA_FOREVER);
	uint64_t seed;

	(void)context;
	for (int i = 0; read_record(reader, &seed); i++)
		report(i);
}

TEST(who_writes_to_a_killed_reader_is_told)
{
	static char record[STOA_FIFO_ATOMIC];
	uint64_t random = run_seed();

	assert_ok(stoa_fifo_create(case_path("f"), 0600));
	signal(SIGPIPE, SIG_DFL);
	fill_pattern(record + 8, sizeof(record) - 8, 0);
	for (int round = 0; round < ROUNDS; round++) {
		struct child child = start_child(read_some, NULL);
		struct stoa_fifo *writer = open_fifo(STOA_WRITE, STOA_FOREVER);
		uint64_t until = random_below(&random, SOON_MAX);

		for (uint64_t i = 0; i < until; i++) {
			assert_result(stoa_fifo_write(writer, record,
			                              sizeof(record),
			                              STOA_FOREVER),
			              sizeof(record));
			assert_int_equal(await_report(&child), i);
		}
		assert_system(kill(child.pid, SIGKILL));
		ssize_t result;
		do
			result = stoa_fifo_write(writer, record, sizeof(record),
			                         STOA_FOREVER);
		while (result == sizeof(record));
		assert_int_equal(result, -EPIPE);
		kill_child(&child);
		stoa_fifo_close(writer);
	}
	remove_fifo();
}

static const struct CMUnitTest cases[] = {
	CASE(the_reader_stays_after_each_end_of_file),
	CASE(writers_may_come_and_go_unseen),
	CASE(a_read_waits_for_the_next_writer),
	CASE(a_write_that_nobody_reads_is_told_and_no_signal),
	CASE(a_writer_waits_for_the_next_reader),
	CASE(small_writes_go_whole_or_not_at_all),
	CASE(shape_and_state_are_told),
	CASE(records_of_many_writers_are_not_mixed),
	CASE(a_killed_writer_leaves_whole_records_and_an_end),
	CASE(who_writes_to_a_killed_reader_is_told),
};

MAIN(cases)
