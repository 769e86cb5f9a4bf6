/* SPDX-License-Identifier: MIT */
/* Making, attaching, removing and looking at segments. */
#include "segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { HUGE_TRIES = 20 };

TEST(what_one_writes_the_other_reads)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, 10000, 0);
	struct stoa_segment *other = join_segment(space, "s", STOA_WRITE);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);

	assert_int_equal(stoa_segment_size(reader), 10000);
	assert_int_equal((uintptr_t)stoa_segment_data(one) % PAGE, 0);
	assert_true(all_zeros(stoa_segment_data(reader), 10000));
	fill_pattern(stoa_segment_data(one), 10000, 7);
	assert_true(has_pattern(stoa_segment_data(other), 10000, 7));
	assert_true(has_pattern(stoa_segment_data(reader), 10000, 7));
	stoa_segment_close(one);
	stoa_segment_close(other);
	assert_true(has_pattern(stoa_segment_data(reader), 10000, 7));
	close_segment(space, reader, "s");
}

TEST(without_attributes_it_is_a_page)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *segment;

	assert_ok(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE, 0600,
	                            NULL, &segment));
	assert_int_equal(stoa_segment_size(segment), PAGE);
	assert_int_equal(segment_status(segment).limit, PAGE);
	close_segment(space, segment, "s");
}

TEST(a_read_only_attachment_cannot_be_made_writable)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct stoa_segment *readers[2] = {
		join_segment(space, "s", STOA_READ),
		make_segment(space, "t", STOA_READ, PAGE, 0)
	};

	for (int i = 0; i < 2; i++) {
		void *data = stoa_segment_data(readers[i]);

		assert_int_equal(mprotect(data, PAGE, PROT_READ | PROT_WRITE),
		                 -1);
		assert_int_equal(errno, EACCES);
		assert_result(stoa_segment_resize(readers[i], 1), -EBADF);
		assert_sentence("may only read");
		assert_result(stoa_segment_seal(readers[i], 1), -EBADF);
		assert_result(stoa_segment_remove(readers[i]), -EBADF);
		assert_int_equal(segment_status(readers[i]).writers, i == 0);
		stoa_segment_close(readers[i]);
	}
	assert_ok(stoa_segment_unlink(space, "t"));
	close_segment(space, one, "s");
}

static void look_as_nobody(void *context)
{
	struct stoa_space *shared;
	struct stoa_segment *segment;

	(void)context;
	become_nobody();
	assert_ok(stoa_space_open(case_path("all"), 0, &shared));
	assert_result(stoa_segment_open(shared, "s", STOA_WRITE, 0,
	                                NULL, &segment),
	              -EACCES);
	assert_sentence("chmod");
	segment = join_segment(shared, "s", STOA_READ);
	assert_string_equal(stoa_segment_data(segment), "text");
	report(stoa_segment_attached(segment));
	await_order();
	stoa_segment_close(segment);
	stoa_space_close(shared);
}

TEST(whoever_may_only_read_attaches_to_read)
{
	skip_unless_root();
	struct stoa_space *space = open_space();
	struct stoa_segment *one;
	struct child child;

	stoa_space_close(space);
	assert_system(chmod(case_directory(), 0755));
	assert_ok(stoa_space_open(case_path("all"), STOA_CREATE | STOA_SHARED,
	                          &space));
	assert_ok(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE, 0644,
	                            NULL, &one));
	strcpy(stoa_segment_data(one), "text");
	child = start_child(look_as_nobody, NULL);
	assert_int_equal(await_report(&child), 2 + 1); /* it was forked */
	assert_result(stoa_segment_attached(one), 3);
	assert_int_equal(segment_status(one).writers, 2);
	give_order(&child, 0);
	end_child(&child);
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, "s");
	remove_tree(case_path("all"));
}

TEST(its_maker_may_write_what_others_may_not)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one;
	struct stat stat_of_file;

	umask(077);
	assert_ok(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE, 0444,
	                            NULL, &one));
	strcpy(stoa_segment_data(one), "text");
	assert_result(stoa_segment_attached(one), 1);
	assert_system(stat(case_path("s.segment"), &stat_of_file));
	assert_int_equal(stat_of_file.st_mode & 0777, 0444);
	close_segment(space, one, "s");
}

TEST(it_is_attached_where_asked_and_over_nothing)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, 3 * PAGE, 0);
	/* Far away, where nobody else fills the hole: a sanitizer would. */
	char *room = mmap((void *)0x200000000000, 8 * PAGE, PROT_NONE,
	                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stoa_segment_attributes at = { .size = sizeof(at) };
	struct stoa_segment *other;

	assert_system(munmap(room + PAGE, 3 * PAGE));
	at.address = room + 2 * PAGE;
	assert_result(stoa_segment_open(space, "s", STOA_READ, 0, &at, &other),
	              -EADDRINUSE);
	assert_sentence("another address");
	at.address = room + PAGE + 1;
	assert_result(stoa_segment_open(space, "s", STOA_READ, 0, &at, &other),
	              -EINVAL);
	assert_sentence("page size");
	assert_result(stoa_segment_attached(one), 1);
	at.address = room + PAGE;
	assert_ok(stoa_segment_open(space, "s", STOA_READ, 0, &at, &other));
	assert_ptr_equal(stoa_segment_data(other), room + PAGE);
	assert_result(stoa_segment_attached(one), 2);
	stoa_segment_close(other);
	assert_system(munmap(room, 8 * PAGE));
	close_segment(space, one, "s");
}

TEST(the_library_itself_is_not_in_the_way)
{
	enum { MANY = 256 };
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, 3 * PAGE, 0);
	struct stoa_segment_attributes at = { .size = sizeof(at) };
	struct stoa_segment *other;
	char *pages[MANY];

	/* Whatever hole there was is filled; then there is one, of 3 pages. */
	for (int i = 0; i < MANY; i++)
		pages[i] = mmap(NULL, PAGE, PROT_NONE,
		                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	at.address = pages[MANY - 10];
	if (pages[MANY - 12] != pages[MANY - 10] + 2 * PAGE)
		skip_case("mappings don't follow each other here");
	for (int i = 0; i < 20; i++) {
		assert_system(munmap(at.address, 3 * PAGE));
		assert_ok(stoa_segment_open(space, "s", STOA_WRITE, 0, &at,
		                            &other));
		assert_ptr_equal(stoa_segment_data(other), at.address);
		fill_pattern(at.address, 3 * PAGE, (uint64_t)i);
		assert_true(has_pattern(stoa_segment_data(one), 3 * PAGE,
		                        (uint64_t)i));
		assert_result(stoa_segment_attached(other), 2);
		assert_ok(stoa_segment_resize(other, 3 * PAGE));
		stoa_segment_close(other);
		assert_ptr_equal(mmap(at.address, 3 * PAGE, PROT_NONE,
		                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		                 at.address);
	}
	for (int i = 0; i < MANY; i++)
		assert_system(munmap(pages[i], PAGE));
	close_segment(space, one, "s");
}

TEST(handles_that_only_look_are_not_attached)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *look =
		make_segment(space, "s", 0, PAGE, 2 * PAGE);
	struct stoa_segment *one;

	assert_null(stoa_segment_data(look));
	assert_result(stoa_segment_attached(look), 0);
	one = join_segment(space, "s", STOA_READ);
	assert_result(stoa_segment_attached(look), 1);
	assert_ok(stoa_segment_resize(look, 2 * PAGE));
	assert_int_equal(stoa_segment_size(look), 2 * PAGE);
	assert_int_equal(stoa_segment_size(one), 2 * PAGE);
	stoa_segment_close(one);
	close_segment(space, look, "s");
}

TEST(without_a_name_it_is_for_the_family)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one;

	assert_result(stoa_segment_open(space, NULL, STOA_WRITE, 0600, NULL,
	                                &one),
	              -EINVAL);
	one = make_segment(space, NULL, STOA_WRITE, PAGE, 0);
	strcpy(stoa_segment_data(one), "text");
	assert_result(stoa_segment_attached(one), 1);
	stoa_segment_close(one);
	one = make_segment(space, NULL, STOA_READ, PAGE, 0);
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, NULL);
}

TEST(wrong_arguments_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one;
	static const struct stoa_segment_attributes wrong[] = {
		{ .size = 1 },
		{ .size = sizeof(wrong[0]), .bytes = 2, .limit = 1 },
		{ .size = sizeof(wrong[0]), .bytes = STOA_SEGMENT_LIMIT + 1 },
		{ .size = sizeof(wrong[0]), .huge = 2 },
		{ .size = sizeof(wrong[0]), .reserved_word = 1 },
		{ .size = sizeof(wrong[0]), .reserved = { 0, 0, 0, 1 } },
	};

	for (size_t i = 0; i < LENGTH(wrong); i++)
		assert_result(stoa_segment_open(space, "s",
		                                STOA_CREATE | STOA_WRITE, 0600,
		                                &wrong[i], &one),
		              -EINVAL);
	assert_result(stoa_segment_open(space, "s", STOA_INTERRUPTIBLE, 0, NULL,
	                                &one),
	              -EINVAL);
	assert_result(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE,
	                                0200, NULL, &one),
	              -EINVAL);
	assert_sentence("owner");
	assert_result(stoa_segment_open(space, "s", STOA_READ, 0, NULL, &one),
	              -ENOENT);
	assert_result(stoa_segment_unlink(space, "s"), -ENOENT);
	one = make_segment(space, "s", STOA_WRITE, 1, 0);
	assert_result(stoa_segment_open(space, "s",
	                                STOA_CREATE | STOA_EXCLUSIVE, 0600,
	                                NULL, &one),
	              -EEXIST);
	assert_result(stoa_segment_stat(one,
	                                &(struct stoa_segment_status){ 0 }),
	              -EINVAL);
	close_segment(space, one, "s");
}

TEST(a_removed_one_goes_on_and_gives_its_name_away)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 3 * PAGE);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);
	struct stoa_segment *next;

	assert_int_equal(segment_status(reader).removed, 0);
	assert_ok(stoa_segment_remove(one));
	assert_ok(stoa_segment_remove(one));
	assert_int_equal(segment_status(reader).removed, 1);
	assert_result(stoa_segment_open(space, "s", STOA_READ, 0, NULL, &next),
	              -ENOENT);
	next = make_segment(space, "s", STOA_WRITE | STOA_EXCLUSIVE, PAGE, 0);
	strcpy(stoa_segment_data(one), "old");
	strcpy(stoa_segment_data(next), "new");
	assert_string_equal(stoa_segment_data(reader), "old");
	assert_ok(stoa_segment_resize(one, 3 * PAGE));
	assert_int_equal(stoa_segment_size(reader), 3 * PAGE);
	assert_result(stoa_segment_attached(reader), 2);
	assert_ok(stoa_segment_remove(one)); /* not the other's name */
	assert_result(stoa_segment_attached(next), 1);
	stoa_segment_close(one);
	assert_string_equal(stoa_segment_data(reader), "old");
	stoa_segment_close(reader);
	close_segment(space, next, "s");
}

TEST(a_remover_killed_before_the_name_hinders_nobody)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct stoa_segment *next;

	/* As `stoa rm --wake` does it, and dies. */
	assert_ok(stoa_space_remove(space, "s.segment", 1));
	assert_int_equal(segment_status(one).removed, 1);
	next = make_segment(space, "s", STOA_WRITE | STOA_EXCLUSIVE, PAGE, 0);
	stoa_segment_close(one);
	close_segment(space, next, "s");
}

static int count_users(const struct stoa_user *user, void *context)
{
	assert_int_equal(user->pid, getpid());
	assert_true(user->alive);
	*(unsigned *)context |= user->flags << 8;
	++*(unsigned *)context;
	return 0;
}

static int count_attachments(const struct stoa_segment_attachment *attachment,
                             void *context)
{
	assert_int_equal(attachment->pid, getpid());
	assert_int_equal(attachment->uid, geteuid());
	++*(unsigned *)context;
	return 0;
}

static int stop_at_once(const struct stoa_segment_attachment *attachment,
                        void *context)
{
	(void)attachment;
	(void)context;
	return 5;
}

TEST(the_space_shows_who_is_attached)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct stoa_segment *reader = join_segment(space, "s", STOA_READ);
	struct stoa_object_info info;
	unsigned count = 0;

	assert_ok(stoa_space_find(space, "s", &info));
	assert_int_equal(info.users, 2);
	assert_int_equal(info.dead, 0);
	assert_int_equal(info.size_bytes, 2 * PAGE);
	assert_result(stoa_space_each_user(space, "s", count_users, &count), 2);
	assert_int_equal(count, 2 | (STOA_READ | STOA_WRITE) << 8);
	count = 0;
	assert_result(stoa_segment_each_attachment(reader, count_attachments,
	                                           &count),
	              2);
	assert_int_equal(count, 2);
	assert_result(stoa_segment_each_attachment(reader, stop_at_once, NULL),
	              5);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 0);
	stoa_segment_close(reader);
	close_segment(space, one, "s");
}

TEST(many_attachments_are_counted)
{
	enum { MANY = 300 };
	struct stoa_space *space = open_space();
	struct stoa_segment *segments[MANY];

	for (int i = 0; i < MANY; i++)
		segments[i] = i ? join_segment(space, "s", i % 2 ? STOA_READ :
		                                                   STOA_WRITE) :
		                  make_segment(space, "s", STOA_WRITE, 1, 0);
	assert_result(stoa_segment_attached(segments[7]), MANY);
	assert_int_equal(segment_status(segments[8]).writers, MANY / 2);
	for (int i = 0; i < MANY - 1; i++)
		stoa_segment_close(segments[(i * 7) % (MANY - 1)]);
	assert_result(stoa_segment_attached(segments[MANY - 1]), 1);
	close_segment(space, segments[MANY - 1], "s");
}

TEST(closed_descriptors_are_noticed)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 2 * PAGE);
	struct stat file, other;

	assert_system(stat(case_path("s.segment"), &file));
	for (int fd = 3; fd < 1024; fd++) /* kept ones are high */
		if (fstat(fd, &other) == 0 && other.st_ino == file.st_ino)
			close(fd);
	assert_result(stoa_segment_attached(one), -EBADF);
	assert_sentence("closed by the program");
	assert_result(stoa_segment_resize(one, 1), -EBADF);
	strcpy(stoa_segment_data(one), "still there");
	close_segment(space, one, "s");
}

/* Whether the segment is in huge pages wholly, or the system grants none: not
 * if it grants them now, after the library has asked in vain. */
static bool has_what_is_granted(struct stoa_segment *segment, uint64_t bytes)
{
	return segment_status(segment).huge_bytes == bytes ||
	       madvise(stoa_segment_data(segment), bytes, MADV_COLLAPSE) != 0;
}

static bool is_as_huge_as_can_be(struct stoa_space *space)
{
	struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes),
		.bytes = 4 << 20,
		.limit = 8 << 20,
		.huge = 1
	};
	struct stoa_segment *one, *reader;
	bool good;

	assert_ok(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE, 0600,
	                            &attributes, &one));
	good = has_what_is_granted(one, 4 << 20);
	fill_pattern(stoa_segment_data(one), 4 << 20, 3);
	assert_true(segment_status(one).huge_bytes <= 4 << 20);
	assert_int_equal((uintptr_t)stoa_segment_data(one) % (2 << 20), 0);
	reader = join_segment(space, "s", STOA_READ);
	assert_true(has_pattern(stoa_segment_data(reader), 4 << 20, 3));
	assert_ok(stoa_segment_resize(one, 8 << 20));
	assert_int_equal(stoa_segment_size(reader), 8 << 20);
	assert_true(all_zeros((char *)stoa_segment_data(reader) + (4 << 20),
	                      4 << 20));
	good = has_what_is_granted(one, 8 << 20) && good;
	print_message("%llu bytes in huge pages\n",
	              (unsigned long long)segment_status(one).huge_bytes);
	stoa_segment_close(reader);
	stoa_segment_close(one);
	assert_ok(stoa_segment_unlink(space, "s"));
	return good;
}

/* The system may have had none at one moment, and some at the next. */
TEST(huge_pages_are_used_if_there_are_any)
{
	struct stoa_space *space = open_space();
	int tries = 0;

	while (!is_as_huge_as_can_be(space))
		assert_true(++tries < HUGE_TRIES);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_one_writes_the_other_reads),
	CASE(without_attributes_it_is_a_page),
	CASE(a_read_only_attachment_cannot_be_made_writable),
	CASE(whoever_may_only_read_attaches_to_read),
	CASE(its_maker_may_write_what_others_may_not),
	CASE(it_is_attached_where_asked_and_over_nothing),
	CASE(the_library_itself_is_not_in_the_way),
	CASE(handles_that_only_look_are_not_attached),
	CASE(without_a_name_it_is_for_the_family),
	CASE(wrong_arguments_are_refused),
	CASE(a_removed_one_goes_on_and_gives_its_name_away),
	CASE(a_remover_killed_before_the_name_hinders_nobody),
	CASE(the_space_shows_who_is_attached),
	CASE(many_attachments_are_counted),
	CASE(closed_descriptors_are_noticed),
	CASE(huge_pages_are_used_if_there_are_any),
};

MAIN(cases)
