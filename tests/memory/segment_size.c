/* SPDX-License-Identifier: MIT */
/* Growing, shrinking and sealing segments; and a tmpfs that is full. */
#include "segment.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

TEST(it_grows_in_place_and_all_see_it)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, 100, 1 << 20);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);
	char *data = stoa_segment_data(one);
	const char *seen = stoa_segment_data(reader);
	struct stoa_segment *late;

	fill_pattern(data, 100, 1);
	assert_ok(stoa_segment_resize(one, 5000));
	assert_int_equal(stoa_segment_size(reader), 5000);
	assert_ok(stoa_segment_resize(one, 1 << 20));
	assert_ptr_equal(stoa_segment_data(one), data);
	assert_int_equal(stoa_segment_size(one), 1 << 20);
	assert_true(all_zeros(data + 100, (1 << 20) - 100));
	fill_pattern(data, 1 << 20, 2);
	assert_int_equal(stoa_segment_size(reader), 1 << 20);
	assert_ptr_equal(stoa_segment_data(reader), seen);
	assert_true(has_pattern(seen, 1 << 20, 2));
	late = join_segment(space, "s", STOA_READ);
	assert_true(has_pattern(stoa_segment_data(late), 1 << 20, 2));
	stoa_segment_close(late);
	stoa_segment_close(reader);
	close_segment(space, one, "s");
}

TEST(what_was_cut_off_is_gone_and_comes_back_as_zeros)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, 10 * PAGE, 0);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);
	char *data = stoa_segment_data(one);
	const char *seen = stoa_segment_data(reader);

	fill_pattern(data, 10 * PAGE, 1);
	assert_int_equal(segment_status(one).memory_bytes, 11 * PAGE);
	assert_ok(stoa_segment_resize(one, PAGE + 10));
	assert_int_equal(stoa_segment_size(reader), PAGE + 10);
	assert_int_equal(segment_status(one).memory_bytes, 3 * PAGE);
	assert_true(has_pattern(seen, PAGE + 10, 1));
	/* Attached still, for those who have not noticed. */
	assert_true(all_zeros(seen + PAGE + 10, 9 * PAGE - 10));
	data[5 * PAGE] = 1; /* a stray */
	data[PAGE + 11] = 1;
	assert_ok(stoa_segment_resize(one, 10 * PAGE));
	assert_true(all_zeros(seen + PAGE + 10, 9 * PAGE - 10));
	assert_true(has_pattern(seen, PAGE + 10, 1));
	stoa_segment_close(reader);
	close_segment(space, one, "s");
}

static sigjmp_buf back;

static void jump_back(int number)
{
	siglongjmp(back, number);
}

TEST(nothing_is_mapped_beyond_the_end)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 4 * PAGE);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);
	const volatile char *seen = stoa_segment_data(reader);
	int number = 0;

	signal(SIGSEGV, jump_back);
	signal(SIGBUS, jump_back);
	number = sigsetjmp(back, 1);
	if (number == 0)
		print_message("%d\n", seen[PAGE]);
	assert_int_equal(number, SIGSEGV);
	assert_ok(stoa_segment_resize(one, 2 * PAGE));
	assert_int_equal(stoa_segment_size(reader), 2 * PAGE);
	assert_int_equal(seen[PAGE], 0);
	number = sigsetjmp(back, 1);
	if (number == 0)
		print_message("%d\n", seen[2 * PAGE]);
	assert_int_equal(number, SIGSEGV);
	stoa_segment_close(reader);
	close_segment(space, one, "s");
}

TEST(sizes_that_cannot_be_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 3 * PAGE);

	assert_result(stoa_segment_resize(one, 0), -EINVAL);
	assert_result(stoa_segment_resize(one, 3 * PAGE + 1), -EFBIG);
	assert_sentence("higher limit");
	assert_ok(stoa_segment_resize(one, PAGE));
	assert_int_equal(stoa_segment_size(one), PAGE);
	close_segment(space, one, "s");
}

TEST(a_size_that_cannot_be_true_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 3 * PAGE);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);
	struct stoa_segment *late;
	uint64_t size = 3 * PAGE + 1;
	int fd = open(case_path("s.segment"), O_WRONLY);

	assert_int_equal(pwrite(fd, &size, sizeof(size), 512), sizeof(size));
	assert_int_equal(stoa_segment_size(reader), PAGE);
	assert_int_equal(stoa_segment_size(one), PAGE);
	assert_result(stoa_segment_resize(one, PAGE), -EUCLEAN);
	assert_result(stoa_segment_attached(reader), -EUCLEAN);
	assert_result(stoa_segment_open(space, "s", STOA_READ, 0, NULL, &late),
	              -EUCLEAN);
	close(fd);
	stoa_segment_close(reader);
	close_segment(space, one, "s");
}

TEST(a_truncated_file_is_an_error_and_no_signal)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 3 * PAGE);

	assert_ok(stoa_guard());
	assert_ok(stoa_segment_check(one));
	assert_system(truncate(case_path("s.segment"), 0));
	strcpy(stoa_segment_data(one), "into the void");
	assert_result(stoa_segment_check(one), -EIO);
	assert_result(stoa_segment_attached(one), -EIO);
	assert_result(stoa_segment_resize(one, 2 * PAGE), -EIO);
	close_segment(space, one, "s");
}

/* ---- Seals ------------------------------------------------------------------ */

TEST(a_sealed_size_stays)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, 2 * PAGE, 3 * PAGE);

	assert_result(stoa_segment_seal(one, 8), -EINVAL);
	assert_ok(stoa_segment_seal(one, STOA_SEGMENT_SEAL_SHRINK));
	assert_result(stoa_segment_resize(one, PAGE), -EPERM);
	assert_sentence("sealed");
	assert_ok(stoa_segment_resize(one, 3 * PAGE));
	assert_ok(stoa_segment_seal(one, STOA_SEGMENT_SEAL_GROW));
	assert_int_equal(segment_status(one).seals,
	                 STOA_SEGMENT_SEAL_GROW | STOA_SEGMENT_SEAL_SHRINK);
	assert_result(stoa_segment_resize(one, PAGE), -EPERM);
	assert_ok(stoa_segment_resize(one, 3 * PAGE));
	close_segment(space, one, "s");
}

TEST(sealed_content_is_written_by_nobody)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, 2 * PAGE, 3 * PAGE);
	struct stoa_segment *other = join_segment(space, "s", STOA_WRITE);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);
	char *data = stoa_segment_data(one);
	struct stat file;

	fill_pattern(data, 2 * PAGE, 5);
	assert_result(stoa_segment_seal(one, STOA_SEGMENT_SEAL_WRITE), -EBUSY);
	assert_sentence("1 other is attached");
	assert_int_equal(segment_status(one).seals, 0);
	data[0] = 1;
	fill_pattern(data, 2 * PAGE, 5);
	stoa_segment_close(other);
	assert_ok(stoa_segment_seal(one, STOA_SEGMENT_SEAL_WRITE));
	assert_ok(stoa_segment_seal(one, STOA_SEGMENT_SEAL_WRITE));
	assert_true(has_pattern(data, 2 * PAGE, 5));
	assert_int_equal(mprotect(data, PAGE, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_result(stoa_segment_resize(one, PAGE), -EPERM);
	assert_result(stoa_segment_resize(one, 3 * PAGE), -EPERM);
	if (geteuid() == 0)
		assert_result(stoa_segment_open(space, "s", STOA_WRITE, 0, NULL,
		                                &other),
		              -EPERM);
	else
		assert_result(stoa_segment_open(space, "s", STOA_WRITE, 0, NULL,
		                                &other),
		              -EACCES);
	assert_result(stoa_segment_attached(reader), 2);
	other = join_segment(space, "s", STOA_READ);
	assert_true(has_pattern(stoa_segment_data(other), 2 * PAGE, 5));
	assert_system(stat(case_path("s.segment"), &file));
	assert_int_equal(file.st_mode & 0777, 0400);
	stoa_segment_close(other);
	stoa_segment_close(reader);
	close_segment(space, one, "s");
}

TEST(a_seal_asked_for_by_the_dead_is_taken_back)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct stoa_segment *other;
	uint32_t asked = 0x80000000u;
	int fd = open(case_path("s.segment"), O_WRONLY);

	assert_int_equal(pwrite(fd, &asked, sizeof(asked), 520), sizeof(asked));
	assert_int_equal(segment_status(one).seals, 0);
	other = join_segment(space, "s", STOA_WRITE);
	stoa_segment_close(other);
	close(fd);
	close_segment(space, one, "s");
}

/* ---- No room ------------------------------------------------------------------ */

static uint64_t room_left(void)
{
	struct statvfs room;

	assert_system(statvfs(case_directory(), &room));
	return room.f_bavail * room.f_frsize;
}

TEST(a_full_tmpfs_is_told_and_nothing_is_left)
{
	enum { SPACE = 1 << 20 };
	struct stoa_segment_attributes large = {
		.size = sizeof(large), .bytes = 2 * SPACE
	};
	struct stoa_segment *one, *reader, *other;
	struct stoa_space *space;
	uint64_t room;

	mount_small_space("1m");
	space = open_space();
	one = make_segment(space, "s", STOA_WRITE, PAGE, 2 * SPACE);
	reader = join_segment(space, "s", STOA_READ);
	room = room_left();
	assert_result(stoa_segment_open(space, "t", STOA_CREATE | STOA_WRITE,
	                                0600, &large, &other),
	              -ENOSPC);
	assert_sentence("make it smaller");
	assert_int_equal(room_left(), room);
	assert_result(stoa_segment_unlink(space, "t"), -ENOENT);
	fill_pattern(stoa_segment_data(one), PAGE, 1);
	assert_result(stoa_segment_resize(one, 2 * SPACE), -ENOSPC);
	assert_sentence("make the tmpfs larger");
	assert_int_equal(room_left(), room);
	assert_int_equal(stoa_segment_size(reader), PAGE);
	assert_ok(stoa_segment_resize(one, PAGE + room));
	assert_int_equal(room_left(), 0);
	fill_pattern(stoa_segment_data(one), PAGE + room, 2);
	assert_int_equal(stoa_segment_size(reader), PAGE + room);
	assert_true(has_pattern(stoa_segment_data(reader), PAGE + room, 2));
	/* The whole of it is used; those who come need nothing of it. */
	other = join_segment(space, "s", STOA_WRITE);
	assert_result(stoa_segment_attached(other), 3);
	stoa_segment_close(other);
	assert_result(stoa_segment_open(space, "t", STOA_CREATE | STOA_WRITE,
	                                0600, NULL, &other),
	              -ENOSPC);
	assert_ok(stoa_segment_resize(one, 1));
	assert_int_equal(room_left(), room);
	stoa_segment_close(reader);
	close_segment(space, one, "s");
}

static const struct CMUnitTest cases[] = {
	CASE(it_grows_in_place_and_all_see_it),
	CASE(what_was_cut_off_is_gone_and_comes_back_as_zeros),
	CASE(nothing_is_mapped_beyond_the_end),
	CASE(sizes_that_cannot_be_are_refused),
	CASE(a_size_that_cannot_be_true_is_told),
	CASE(a_truncated_file_is_an_error_and_no_signal),
	CASE(a_sealed_size_stays),
	CASE(sealed_content_is_written_by_nobody),
	CASE(a_seal_asked_for_by_the_dead_is_taken_back),
	CASE(a_full_tmpfs_is_told_and_nothing_is_left),
};

MAIN(cases)
