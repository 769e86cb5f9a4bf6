/* SPDX-License-Identifier: MIT */
/* What excludes what, how modes are changed, and what the words say. */
#include "file_lock.h"

#define SHARED STOA_RANGE_SHARED
#define EXCLUSIVE STOA_RANGE_EXCLUSIVE

TEST(an_exclusive_whole_excludes_all_and_a_shared_one_excludes_exclusive_ones)
{
	struct stoa_file_lock *lock = open_lock("f");

	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	assert_false(can_lock("f", EXCLUSIVE));
	assert_false(can_lock("f", SHARED));
	assert_ok(stoa_file_lock_unlock(lock));
	assert_ok(stoa_file_lock_unlock(lock));
	assert_true(can_lock("f", EXCLUSIVE));
	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_NOW));
	assert_true(can_lock("f", SHARED));
	assert_false(can_lock("f", EXCLUSIVE));
	close_lock(lock, "f");
}

TEST(ranges_exclude_where_they_overlap_and_are_split_and_joined)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct stoa_range range = bytes_of(10, 10, EXCLUSIVE);
	struct stoa_range middle = bytes_of(14, 2, 0);

	assert_ok(stoa_file_lock_lock_range(lock, &range, STOA_NOW));
	assert_true(can_lock_range("f", bytes_of(0, 10, EXCLUSIVE)));
	assert_true(can_lock_range("f", bytes_of(20, 0, EXCLUSIVE)));
	assert_false(can_lock_range("f", bytes_of(0, 11, SHARED)));
	assert_false(can_lock_range("f", bytes_of(19, 0, SHARED)));
	assert_ok(stoa_file_lock_unlock_range(lock, &middle));
	assert_true(can_lock_range("f", bytes_of(14, 2, EXCLUSIVE)));
	assert_false(can_lock_range("f", bytes_of(13, 2, EXCLUSIVE)));
	assert_ok(stoa_file_lock_unlock_range(lock, NULL));
	assert_true(can_lock_range("f", bytes_of(0, 0, EXCLUSIVE)));
	/* NULL is all of it, to the last byte that there can be. */
	assert_ok(stoa_file_lock_lock_range(lock, NULL, STOA_NOW));
	assert_false(can_lock_range("f", bytes_of((1ull << 63) - 1, 1, SHARED)));
	close_lock(lock, "f");
}

TEST(a_whole_and_a_range_do_not_know_of_one_another)
{
	struct stoa_file_lock *lock = open_lock("f");

	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	assert_true(can_lock_range("f", bytes_of(0, 0, EXCLUSIVE)));
	close_lock(lock, "f");
}

TEST(a_whole_that_is_converted_says_that_there_was_an_instant_between)
{
	struct stoa_file_lock *lock = open_lock("f"), *other = open_lock("f");
	struct stoa_file_lock_status status = { .size = sizeof(status) };

	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_NOW));
	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_NOW));
	assert_result(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW), 1);
	assert_false(can_lock("f", SHARED));
	assert_result(stoa_file_lock_lock(lock, SHARED, STOA_NOW), 1);
	assert_true(can_lock("f", SHARED));
	/* A conversion in vain loses what there was. */
	assert_ok(stoa_file_lock_lock(other, SHARED, STOA_NOW));
	assert_result(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW), -EAGAIN);
	assert_ok(stoa_file_lock_stat(lock, &status));
	assert_int_equal(status.whole, 0);
	assert_result(stoa_file_lock_lock(other, EXCLUSIVE, STOA_NOW), 1);
	stoa_file_lock_close(other);
	/* And so does one that waited in vain. */
	other = open_lock("f");
	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_NOW));
	assert_ok(stoa_file_lock_lock(other, SHARED, STOA_NOW));
	assert_result(stoa_file_lock_lock(lock, EXCLUSIVE,
	                                  stoa_deadline_in(5 * MS)), -ETIMEDOUT);
	assert_result(stoa_file_lock_lock(other, EXCLUSIVE, STOA_NOW), 1);
	stoa_file_lock_close(other);
	close_lock(lock, "f");
}

TEST(a_range_is_converted_at_one_instant_or_stays_as_it_was)
{
	struct stoa_file_lock *lock = open_lock("f"), *other = open_lock("f");
	struct stoa_range range = bytes_of(0, 10, SHARED);
	struct stoa_range up = bytes_of(0, 10, EXCLUSIVE);

	assert_ok(stoa_file_lock_lock_range(lock, &range, STOA_NOW));
	assert_ok(stoa_file_lock_lock_range(other, &range, STOA_NOW));
	assert_result(stoa_file_lock_lock_range(lock, &up, STOA_NOW), -EAGAIN);
	assert_result(stoa_file_lock_lock_range(lock, &up,
	                                        stoa_deadline_in(5 * MS)),
	              -ETIMEDOUT);
	/* It still has what it had: nobody else gets it. */
	assert_ok(stoa_file_lock_unlock_range(other, NULL));
	assert_result(stoa_file_lock_lock_range(other, &up, STOA_NOW), -EAGAIN);
	assert_ok(stoa_file_lock_lock_range(lock, &up, STOA_NOW));
	assert_false(can_lock_range("f", range));
	assert_ok(stoa_file_lock_lock_range(lock, &range, STOA_NOW));
	assert_true(can_lock_range("f", range));
	stoa_file_lock_close(other);
	close_lock(lock, "f");
}

TEST(a_descriptor_that_is_open_for_the_wrong_thing_is_told_in_words)
{
	struct stoa_file_lock *lock = open_lock("f"), *reader, *writer;
	struct stoa_range read = bytes_of(0, 1, SHARED);
	struct stoa_range write = bytes_of(0, 1, EXCLUSIVE);

	assert_ok(stoa_file_lock_open(case_path("f"), STOA_READ, 0, &reader));
	assert_ok(stoa_file_lock_open(case_path("f"), STOA_WRITE, 0, &writer));
	assert_result(stoa_file_lock_lock_range(reader, &write, STOA_NOW),
	              -EBADF);
	assert_sentence("open it with STOA_WRITE");
	assert_result(stoa_file_lock_lock_range(writer, &read, STOA_FOREVER),
	              -EBADF);
	assert_sentence("open it with STOA_READ");
	assert_ok(stoa_file_lock_lock_range(reader, &read, STOA_NOW));
	assert_ok(stoa_file_lock_lock(reader, EXCLUSIVE, STOA_NOW));
	assert_ok(stoa_file_lock_unlock(reader));
	assert_ok(stoa_file_lock_lock(writer, SHARED, STOA_NOW));
	stoa_file_lock_close(reader);
	stoa_file_lock_close(writer);
	close_lock(lock, "f");
}

TEST(what_makes_no_sense_is_refused)
{
	struct stoa_file_lock_status status = { .size = 1 };
	struct stoa_file_lock *lock = open_lock("f"), *none;
	struct stoa_range range = bytes_of(1ull << 63, 0, SHARED);

	assert_result(stoa_file_lock_lock(lock, 0, STOA_NOW), -EINVAL);
	assert_result(stoa_file_lock_lock(lock, 3, STOA_NOW), -EINVAL);
	assert_result(stoa_file_lock_test(lock, 7, NULL), -EINVAL);
	assert_result(stoa_file_lock_lock_range(lock, &range, STOA_NOW),
	              -EINVAL);
	assert_sentence("2^63");
	range = bytes_of(2, (1ull << 63) - 1, SHARED);
	assert_result(stoa_file_lock_unlock_range(lock, &range), -EINVAL);
	range = bytes_of(UINT64_MAX, 2, SHARED);
	assert_result(stoa_file_lock_test_range(lock, &range, NULL), -EINVAL);
	range = bytes_of(0, 1, SHARED | STOA_RANGE_PROCESS);
	assert_result(stoa_file_lock_lock_range(lock, &range, STOA_NOW),
	              -EINVAL);
	range = bytes_of(1, (1ull << 63) - 1, SHARED);
	assert_ok(stoa_file_lock_lock_range(lock, &range, STOA_NOW));
	assert_result(stoa_file_lock_stat(lock, &status), -EINVAL);
	assert_result(stoa_file_lock_open(case_path("f"), 0, 0, &none), -EINVAL);
	assert_result(stoa_file_lock_open("", STOA_READ, 0, &none), -EINVAL);
	assert_result(stoa_file_lock_open(case_path("f"),
	                                  STOA_READ | STOA_EXCLUSIVE, 0, &none),
	              -EINVAL);
	assert_result(stoa_file_lock_open(case_path("g"), STOA_READ, 0, &none),
	              -ENOENT);
	assert_result(stoa_file_lock_open(case_path("f"),
	                                  STOA_READ | STOA_CREATE |
	                                          STOA_EXCLUSIVE, 0600, &none),
	              -EEXIST);
	assert_result(stoa_file_lock_open(case_directory(), STOA_WRITE, 0,
	                                  &none), -EISDIR);
	assert_sentence("STOA_READ");
	assert_result(stoa_file_lock_adopt(-1, 0, &none), -EBADF);
	assert_result(stoa_file_lock_adopt(0, STOA_READ, &none), -EINVAL);
	close_lock(lock, "f");
}

TEST(a_directory_and_a_fifo_are_locked_as_wholes)
{
	struct stoa_file_lock *directory, *fifo;

	assert_ok(stoa_file_lock_open(case_directory(), STOA_READ, 0,
	                              &directory));
	assert_ok(stoa_file_lock_lock(directory, EXCLUSIVE, STOA_NOW));
	assert_system(mkfifo(case_path("p"), 0600));
	assert_ok(stoa_file_lock_open(case_path("p"), STOA_READ, 0, &fifo));
	assert_ok(stoa_file_lock_lock(fifo, EXCLUSIVE, STOA_NOW));
	stoa_file_lock_close(directory);
	close_lock(fifo, "p");
}

TEST(a_file_that_was_replaced_is_known_by_it)
{
	struct stoa_file_lock_status status = { .size = sizeof(status) };
	struct stoa_file_lock *lock = open_lock("f"), *other, *adopted;
	struct stat file;

	assert_ok(stoa_file_lock_lock(lock, SHARED, STOA_NOW));
	assert_ok(stoa_file_lock_stat(lock, &status));
	assert_system(stat(case_path("f"), &file));
	assert_int_equal(status.current, 1);
	assert_int_equal(status.remote, 0);
	assert_int_equal(status.whole, SHARED);
	assert_int_equal(status.inode, file.st_ino);
	assert_int_equal(status.device, file.st_dev);
	other = open_lock("g");
	assert_system(rename(case_path("g"), case_path("f")));
	assert_ok(stoa_file_lock_stat(lock, &status));
	assert_int_equal(status.current, 0);
	assert_system(unlink(case_path("f")));
	assert_ok(stoa_file_lock_stat(lock, &status));
	assert_int_equal(status.current, 0);
	assert_ok(stoa_file_lock_adopt(stoa_file_lock_fd(other), 0, &adopted));
	assert_ok(stoa_file_lock_stat(adopted, &status));
	assert_int_equal(status.current, -1);
	stoa_file_lock_close(adopted);
	stoa_file_lock_close(other);
	stoa_file_lock_close(lock);
}

/* ---- Who holds it -------------------------------------------------------------- */

TEST(an_adopted_descriptor_is_locked_and_stays_open)
{
	int fd = open(case_path("f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stoa_file_lock *lock;

	assert_ok(stoa_file_lock_adopt(fd, 0, &lock));
	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	stoa_file_lock_close(lock);
	assert_false(can_lock("f", SHARED));
	assert_system(close(fd));
	assert_true(can_lock("f", EXCLUSIVE));
	assert_system(unlink(case_path("f")));
}

static void close_on_order(void *context)
{
	report(0);
	await_order();
	stoa_file_lock_close(context);
	report(0);
	await_order();
}

TEST(a_forked_child_shares_the_locks_and_closing_does_not_unlock)
{
	struct stoa_file_lock *lock = open_lock("f");
	struct child child;

	assert_ok(stoa_file_lock_lock(lock, EXCLUSIVE, STOA_NOW));
	assert_ok(stoa_file_lock_lock_range(lock, NULL, STOA_NOW));
	child = start_child(close_on_order, lock);
	await_report(&child);
	give_order(&child, 0);
	await_report(&child);
	assert_false(can_lock("f", SHARED));
	assert_false(can_lock_range("f", bytes_of(0, 0, SHARED)));
	give_order(&child, 0);
	end_child(&child);
	assert_false(can_lock("f", SHARED));
	/* And the child has it when the parent has closed. */
	child = start_child(close_on_order, lock);
	await_report(&child);
	stoa_file_lock_close(lock);
	assert_false(can_lock("f", SHARED));
	assert_false(can_lock_range("f", bytes_of(0, 0, SHARED)));
	kill_child(&child);
	assert_true(can_lock("f", EXCLUSIVE));
	assert_true(can_lock_range("f", bytes_of(0, 0, EXCLUSIVE)));
	assert_system(unlink(case_path("f")));
}

TEST(a_command_that_is_executed_does_not_hold_the_lock)
{
	struct stoa_file_lock *lock = open_lock("f");

	assert_true(fcntl(stoa_file_lock_fd(lock), F_GETFD) & FD_CLOEXEC);
	close_lock(lock, "f");
}

static const struct CMUnitTest cases[] = {
	CASE(an_exclusive_whole_excludes_all_and_a_shared_one_excludes_exclusive_ones),
	CASE(ranges_exclude_where_they_overlap_and_are_split_and_joined),
	CASE(a_whole_and_a_range_do_not_know_of_one_another),
	CASE(a_whole_that_is_converted_says_that_there_was_an_instant_between),
	CASE(a_range_is_converted_at_one_instant_or_stays_as_it_was),
	CASE(a_descriptor_that_is_open_for_the_wrong_thing_is_told_in_words),
	CASE(what_makes_no_sense_is_refused),
	CASE(a_directory_and_a_fifo_are_locked_as_wholes),
	CASE(a_file_that_was_replaced_is_known_by_it),
	CASE(an_adopted_descriptor_is_locked_and_stays_open),
	CASE(a_forked_child_shares_the_locks_and_closing_does_not_unlock),
	CASE(a_command_that_is_executed_does_not_hold_the_lock),
};

MAIN(cases)
