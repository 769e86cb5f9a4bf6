/* SPDX-License-Identifier: MIT */
/* Making and opening a queue: flags, attributes, modes, permissions. */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define GIB (1ULL << 30)
#define READ_WRITE (STOA_READ | STOA_WRITE)

static const struct queue_shape tiny = { STOA_FIFO, 4, 200, 8192 };

static int open_with(struct stoa_space *space, const char *name, unsigned flags,
                     const struct stoa_queue_attributes *attributes)
{
	struct stoa_queue *queue = (struct stoa_queue *)&queue;
	int result =
		stoa_queue_open(space, name, flags, 0600, attributes, &queue);

	if (result == 0)
		stoa_queue_close(queue);
	else if (queue != (struct stoa_queue *)&queue)
		fail_msg("the output was touched");
	return result;
}

TEST(a_missing_queue_is_enoent)
{
	struct stoa_space *space = open_space();

	assert_result(open_with(space, "q", READ_WRITE, NULL), -ENOENT);
	assert_result(stoa_queue_unlink(space, "q"), -ENOENT);
	stoa_space_close(space);
}

TEST(create_makes_it_once_and_then_opens_it)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue_attributes others =
		attributes_of((struct queue_shape){ STOA_TYPE, 9, 9, 4096 });

	send_text(queue, "kept");
	assert_ok(open_with(space, "q", READ_WRITE | STOA_CREATE, NULL));
	assert_ok(open_with(space, "q", READ_WRITE | STOA_CREATE, &others));
	assert_int_equal(stat_of(queue).capacity, 4);
	assert_receives(queue, "kept");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(exclusive_refuses_one_that_exists)
{
	struct stoa_space *space = open_space();

	stoa_queue_close(make_queue(space, "q", tiny));
	assert_result(open_with(space, "q",
	                        READ_WRITE | STOA_CREATE | STOA_EXCLUSIVE,
	                        NULL),
	              -EEXIST);
	assert_sentence("q");
	stoa_space_close(space);
}

/* There may be too little memory for a second one. */
TEST(exclusive_makes_no_room_for_one_that_exists)
{
	static const struct rlimit small_files = { 1 << 20, 1 << 20 };
	struct stoa_space *space = open_space();
	struct stoa_queue_attributes large = attributes_of(
		(struct queue_shape){ STOA_FIFO, 4, 1 << 20, 4 << 20 });

	stoa_queue_close(make_queue(space, "q", tiny));
	signal(SIGXFSZ, SIG_IGN);
	assert_system(setrlimit(RLIMIT_FSIZE, &small_files));
	assert_result(open_with(space, "other",
	                        READ_WRITE | STOA_CREATE | STOA_EXCLUSIVE,
	                        &large),
	              -EFBIG);
	assert_result(open_with(space, "q",
	                        READ_WRITE | STOA_CREATE | STOA_EXCLUSIVE,
	                        &large),
	              -EEXIST);
	assert_sentence("q");
	stoa_space_close(space);
}

TEST(flags_without_direction_or_unknown_are_refused)
{
	struct stoa_space *space = open_space();

	assert_result(open_with(space, "q", STOA_CREATE, NULL), -EINVAL);
	assert_result(open_with(space, "q", 0, NULL), -EINVAL);
	assert_result(open_with(space, "q",
	                        READ_WRITE | STOA_CREATE | 0x80000000u, NULL),
	              -EINVAL);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(zero_attributes_take_the_defaults)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue;
	struct stoa_queue_stat stat;

	assert_ok(stoa_queue_open(space, "q", READ_WRITE | STOA_CREATE, 0600,
	                          NULL, &queue));
	stat = stat_of(queue);
	assert_int_equal(stat.order, STOA_FIFO);
	assert_int_equal(stat.capacity, 1024);
	assert_int_equal(stat.max_message_bytes, 65536);
	assert_true(stat.total_bytes >= 16 << 20);
	assert_true(stat.total_bytes < 17 << 20);
	stoa_queue_close(queue);
	queue = make_queue(space, "z", (struct queue_shape){ 0 });
	assert_int_equal(stat_of(queue).capacity, 1024);
	assert_int_equal(stat_of(queue).max_message_bytes, 65536);
	assert_int_equal(stat_of(queue).total_bytes, stat.total_bytes);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(default_room_is_for_all_or_for_16_mib_but_for_four_of_the_largest)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue;

	queue = make_queue(space, "small",
	                   (struct queue_shape){ STOA_FIFO, 10, 4096, 0 });
	assert_true(stat_of(queue).total_bytes >= 10 * 4096);
	assert_true(stat_of(queue).total_bytes <= 20 * 4096);
	stoa_queue_close(queue);
	queue = make_queue(space, "large",
	                   (struct queue_shape){ STOA_FIFO, 10, 8 << 20, 0 });
	assert_true(stat_of(queue).total_bytes >= 32 << 20);
	assert_true(stat_of(queue).total_bytes < 80 << 20);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(attributes_of_a_wrong_size_or_with_reserved_bits_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_queue_attributes wrong;

	static const uint32_t sizes[] = { 0, 1, sizeof(wrong) - 8,
		                          sizeof(wrong) + 8, UINT32_MAX };
	for (size_t i = 0; i < LENGTH(sizes); i++) {
		wrong = attributes_of(tiny);
		wrong.size = sizes[i];
		assert_result(open_with(space, "q", READ_WRITE | STOA_CREATE,
		                        &wrong),
		              -EINVAL);
	}
	for (size_t i = 0; i < LENGTH(wrong.reserved); i++) {
		wrong = attributes_of(tiny);
		wrong.reserved[i] = 1;
		assert_result(open_with(space, "q", READ_WRITE | STOA_CREATE,
		                        &wrong),
		              -EINVAL);
	}
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(attributes_outside_the_limits_are_refused)
{
	static const struct queue_shape wrong[] = {
		{ (enum stoa_queue_order)3, 4, 100, 4096 },
		{ (enum stoa_queue_order)UINT32_MAX, 4, 100, 4096 },
		{ STOA_FIFO, (1ULL << 28) + 1, 100, 4096 },
		{ STOA_FIFO, UINT64_MAX, 100, 4096 },
		{ STOA_FIFO, 4, GIB + 1, 4 * GIB },
		{ STOA_FIFO, 4, UINT64_MAX, 4096 },
		{ STOA_TYPE, 1ULL << 63, 100, 4096 },
		{ STOA_FIFO, 4, 100, UINT64_MAX },
		{ STOA_FIFO, 4, 100, UINT64_MAX - 4096 },
		{ STOA_FIFO, 4, 100, 1ULL << 63 },
	};
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		struct stoa_queue_attributes attributes =
			attributes_of(wrong[i]);
		int result = open_with(space, "q", READ_WRITE | STOA_CREATE,
		                       &attributes);

		if (result != -EINVAL && result != -ENOSPC)
			fail_msg("shape %zu gave %d", i, result);
		if (i < 7)
			assert_int_equal(result, -EINVAL);
		assert_sentence("");
		assert_int_equal(count_stale_files(case_directory(), true), 0);
	}
	stoa_space_close(space);
}

/* Whatever can be made can carry its largest message. */
TEST(every_queue_that_can_be_made_carries_its_largest_message)
{
	static const uint64_t sizes[] = { 1,    80,   81,    256,   257,
		                          3072, 3073, 65536, 100000 };
	static const uint64_t rooms[] = { 1, 256, 4096, 8192, 65536, 1 << 20 };
	static char data[100000];
	struct stoa_space *space = open_space();
	int made = 0;

	for (size_t i = 0; i < LENGTH(sizes) * LENGTH(rooms); i++) {
		struct stoa_queue_attributes attributes =
			attributes_of((struct queue_shape){
				STOA_FIFO, 2, sizes[i / LENGTH(rooms)],
				rooms[i % LENGTH(rooms)] });
		struct stoa_queue *queue;
		size_t bytes = attributes.max_message_bytes;
		int result =
			stoa_queue_open(space, "q", READ_WRITE | STOA_CREATE,
		                        0600, &attributes, &queue);

		if (result != 0) {
			assert_int_equal(result, -EINVAL);
			assert_true(attributes.total_bytes < bytes + 8192);
			continue;
		}
		made++;
		assert_ok(stoa_queue_send(queue, data, bytes, STOA_NOW));
		assert_result(stoa_queue_receive(queue, NULL, data, bytes,
		                                 STOA_NOW, NULL),
		              bytes);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	assert_true(made > 20);
	stoa_space_close(space);
}

TEST(the_mode_is_set_exactly_whatever_the_umask)
{
	static const mode_t modes[] = { 0600, 0666, 0660, 0644, 0640, 0777 };
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	struct stoa_space *space = open_space();
	struct stoa_queue_attributes attributes = attributes_of(tiny);
	struct stoa_queue *queue;
	struct stat found;

	for (size_t i = 0; i < LENGTH(modes) * LENGTH(masks); i++) {
		mode_t mode = modes[i / LENGTH(masks)];

		umask(masks[i % LENGTH(masks)]);
		assert_ok(stoa_queue_open(space, "q", READ_WRITE | STOA_CREATE,
		                          mode, &attributes, &queue));
		assert_system(stat(case_path("q.queue"), &found));
		assert_int_equal(found.st_mode & 07777, mode);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void open_as_nobody(void *context UNUSED)
{
	struct stoa_space *space;
	struct stoa_queue *queue;

	become_nobody();
	assert_ok(stoa_space_open(case_directory(), 0, &space));
	assert_result(open_with(space, "closed", READ_WRITE, NULL), -EACCES);
	assert_sentence("closed");
	assert_result(open_with(space, "closed", STOA_READ, NULL), -EACCES);
	assert_result(open_with(space, "closed", READ_WRITE | STOA_CREATE,
	                        NULL),
	              -EACCES);
	queue = join_queue(space, "open");
	assert_receives(queue, "for all");
	send_text(queue, "by nobody");
	stoa_queue_close(queue);
	assert_ok(open_with(space, "mine", READ_WRITE | STOA_CREATE, NULL));
	stoa_space_close(space);
}

TEST(the_files_mode_decides_who_may_open)
{
	struct stoa_space *space;
	struct stoa_queue *queue;
	struct stoa_queue_attributes attributes = attributes_of(tiny);
	struct stat found;
	struct child child;

	skip_unless_root();
	assert_system(chmod(case_directory(), 01777));
	space = open_space();
	stoa_queue_close(make_queue(space, "closed", tiny));
	assert_ok(stoa_queue_open(space, "open", READ_WRITE | STOA_CREATE, 0666,
	                          &attributes, &queue));
	send_text(queue, "for all");
	child = start_child(open_as_nobody, NULL);
	end_child(&child);
	assert_receives(queue, "by nobody");
	assert_system(stat(case_path("mine.queue"), &found));
	assert_int_equal(found.st_uid, NOBODY);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_handle_does_only_what_it_was_opened_for)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *reader;
	struct stoa_queue *writer;
	struct stoa_message message = { 0 };
	char buffer[16];

	assert_ok(stoa_queue_open(space, "q", STOA_READ, 0, NULL, &reader));
	assert_ok(stoa_queue_open(space, "q", STOA_WRITE, 0, NULL, &writer));
	message.data = buffer;
	message.type = 1;
	message.buffer_bytes = sizeof(buffer);
	assert_result(stoa_queue_send(reader, "x", 1, STOA_NOW), -EBADF);
	assert_result(stoa_queue_send_message(reader, &message, STOA_NOW),
	              -EBADF);
	assert_result(stoa_queue_send_many(reader, &message, 1, STOA_NOW),
	              -EBADF);
	assert_result(stoa_queue_reserve(reader, 1, STOA_NOW, &message),
	              -EBADF);
	send_text(queue, "x");
	assert_result(stoa_queue_receive(writer, NULL, buffer, 16, STOA_NOW,
	                                 NULL),
	              -EBADF);
	assert_result(stoa_queue_receive_many(writer, NULL, &message, 1,
	                                      STOA_NOW),
	              -EBADF);
	assert_result(stoa_queue_take(writer, NULL, STOA_NOW, &message),
	              -EBADF);
	assert_result(stoa_queue_peek(writer, NULL, 0, buffer, 16, NULL),
	              -EBADF);
	assert_sentence("q");
	send_text(writer, "y");
	assert_receives(reader, "x");
	assert_receives(reader, "y");
	stoa_queue_close(writer);
	stoa_queue_close(reader);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(closing_nothing_is_fine)
{
	stoa_queue_close(NULL);
}

TEST(a_queue_outlives_its_handles)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);

	send_text(queue, "kept");
	stoa_queue_close(queue);
	stoa_space_close(space);
	space = open_space();
	queue = join_queue(space, "q");
	assert_receives(queue, "kept");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(one_process_may_have_many_handles)
{
	enum { HANDLES = 300 };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *handles[HANDLES];

	for (size_t i = 0; i < HANDLES; i++)
		handles[i] = join_queue(space, "q");
	for (size_t i = 0; i < HANDLES; i++) {
		send_text(handles[i], "x");
		assert_receives(handles[HANDLES - 1 - i], "x");
	}
	assert_int_equal(stat_of(queue).users, HANDLES + 1);
	for (size_t i = 0; i < HANDLES; i++)
		stoa_queue_close(handles[i]);
	assert_int_equal(stat_of(queue).users, 1);
	assert_int_equal(stat_of(queue).messages_in, HANDLES);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_missing_queue_is_enoent),
	CASE(create_makes_it_once_and_then_opens_it),
	CASE(exclusive_refuses_one_that_exists),
	CASE(exclusive_makes_no_room_for_one_that_exists),
	CASE(flags_without_direction_or_unknown_are_refused),
	CASE(zero_attributes_take_the_defaults),
	CASE(default_room_is_for_all_or_for_16_mib_but_for_four_of_the_largest),
	CASE(attributes_of_a_wrong_size_or_with_reserved_bits_are_refused),
	CASE(attributes_outside_the_limits_are_refused),
	CASE(every_queue_that_can_be_made_carries_its_largest_message),
	CASE(the_mode_is_set_exactly_whatever_the_umask),
	CASE(the_files_mode_decides_who_may_open),
	CASE(a_handle_does_only_what_it_was_opened_for),
	CASE(closing_nothing_is_fine),
	CASE(a_queue_outlives_its_handles),
	CASE(one_process_may_have_many_handles),
};

MAIN(cases)
