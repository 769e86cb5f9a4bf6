/* SPDX-License-Identifier: MIT */
/* What is no queue of this build: foreign files, other kinds and layouts, cut
 * and overwritten ones. */
#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <space/object_layout.h>

static const struct queue_shape tiny = { STOA_FIFO, 4, 200, 8192 };

static int try_open(struct stoa_space *space, const char *name, unsigned flags)
{
	struct stoa_queue *queue = (struct stoa_queue *)&queue;
	int result =
		stoa_queue_open(space, name, STOA_READ | STOA_WRITE | flags,
	                        0600, NULL, &queue);

	if (result == 0)
		stoa_queue_close(queue);
	else if (queue != (struct stoa_queue *)&queue)
		fail_msg("the output was touched");
	return result;
}

static void write_at(const char *path, off_t offset, const void *data,
                     size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_system(fd);
	assert_int_equal(pwrite(fd, data, bytes, offset), bytes);
	close(fd);
}

static void remake(struct stoa_space *space)
{
	unlink(case_path("q.queue"));
	stoa_queue_close(make_queue(space, "q", tiny));
}

TEST(a_file_that_is_no_object_is_eproto)
{
	struct stoa_space *space = open_space();
	static char zeros[100000];

	write_at(case_path("q.queue"), 0, "", 0);
	assert_result(try_open(space, "q", 0), -EPROTO);
	assert_sentence("q");
	assert_result(try_open(space, "q", STOA_CREATE), -EPROTO);
	write_at(case_path("q.queue"), 0, "text", 4);
	assert_result(try_open(space, "q", 0), -EPROTO);
	write_at(case_path("q.queue"), 0, zeros, sizeof(zeros));
	assert_result(try_open(space, "q", 0), -EPROTO);
	unlink(case_path("q.queue"));
	stoa_space_close(space);
}

TEST(what_is_no_file_is_refused)
{
	struct stoa_space *space = open_space();

	assert_system(mkdir(case_path("d.queue"), 0700));
	assert_system(mkfifo(case_path("f.queue"), 0600));
	assert_system(symlink("q.queue", case_path("s.queue")));
	stoa_queue_close(make_queue(space, "q", tiny));
	assert_result(try_open(space, "d", 0), -EPROTO);
	assert_result(try_open(space, "f", 0), -EPROTO);
	assert_result(try_open(space, "s", 0), -EPROTO);
	assert_result(try_open(space, "s", STOA_CREATE), -EPROTO);
	rmdir(case_path("d.queue"));
	unlink(case_path("f.queue"));
	unlink(case_path("s.queue"));
	stoa_space_close(space);
}

TEST(another_kind_is_eproto)
{
	struct stoa_space *space = open_space();

	remake(space);
	write_at(case_path("q.queue"),
	         offsetof(struct stoa_object_header, kind), "stream", 7);
	assert_result(try_open(space, "q", 0), -EPROTO);
	assert_sentence("stream");
	stoa_space_close(space);
}

TEST(another_layout_version_is_eproto_and_both_versions_are_told)
{
	struct stoa_space *space = open_space();
	uint32_t version = 7777;

	remake(space);
	write_at(case_path("q.queue"),
	         offsetof(struct stoa_object_header, layout_version), &version,
	         sizeof(version));
	assert_result(try_open(space, "q", 0), -EPROTO);
	assert_sentence("7777");
	stoa_space_close(space);
}

TEST(another_byte_order_is_eproto)
{
	struct stoa_space *space = open_space();
	uint32_t order = __builtin_bswap32(OBJECT_BYTE_ORDER);

	remake(space);
	write_at(case_path("q.queue"),
	         offsetof(struct stoa_object_header, byte_order), &order,
	         sizeof(order));
	assert_result(try_open(space, "q", 0), -EPROTO);
	stoa_space_close(space);
}

TEST(a_file_cut_anywhere_is_refused)
{
	struct stoa_space *space = open_space();
	struct stat found;
	uint64_t seed = run_seed();

	remake(space);
	assert_system(stat(case_path("q.queue"), &found));
	for (int i = 0; i < 200; i++) {
		off_t bytes =
			(off_t)random_below(&seed, (uint64_t)found.st_size);
		int result;

		remake(space);
		assert_system(truncate(case_path("q.queue"), bytes));
		result = try_open(space, "q", 0);
		if (result != -EPROTO && result != -EUCLEAN)
			fail_msg("cut to %ld bytes: %d", (long)bytes, result);
		assert_sentence("q");
	}
	stoa_space_close(space);
}

/* Opening reads nothing but the header; the words that are constant in it
 * are tried one by one. */
TEST(a_header_that_cannot_be_true_is_refused)
{
	static const uint64_t values[] = { 0, UINT64_MAX, 1ULL << 63,
		                           1ULL << 32, 0x0101010101010101 };
	struct stoa_space *space = open_space();
	size_t refused = 0;

	for (size_t word = 0; word < OBJECT_GEOMETRY_WORDS; word++) {
		for (size_t i = 0; i < LENGTH(values); i++) {
			off_t at = (off_t)(offsetof(struct stoa_object_header,
			                            geometry) +
			                   8 * word);
			int result;

			remake(space);
			write_at(case_path("q.queue"), at, &values[i], 8);
			result = try_open(space, "q", 0);
			if (result != 0 && result != -EUCLEAN &&
			    result != -EPROTO)
				fail_msg("word %zu: %d", word, result);
			refused += result != 0;
		}
	}
	assert_true(refused >= 4 * LENGTH(values) - 4);
	for (size_t i = 0; i < LENGTH(values); i++) {
		remake(space);
		write_at(case_path("q.queue"),
		         offsetof(struct stoa_object_header, file_bytes),
		         &values[i], 8);
		assert_result(try_open(space, "q", 0), -EUCLEAN);
		assert_sentence("q");
	}
	stoa_space_close(space);
}

TEST(a_file_cut_while_open_is_eio_with_the_guard)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue_stat stat = { .size = sizeof(stat) };
	struct stoa_message message;
	char buffer[8];

	assert_ok(stoa_guard());
	assert_ok(stoa_guard());
	send_text(queue, "lost");
	assert_system(truncate(case_path("q.queue"), 0));
	assert_result(stoa_queue_send(queue, "x", 1, STOA_NOW), -EIO);
	assert_sentence("q");
	assert_result(stoa_queue_receive(queue, NULL, buffer, 8, STOA_NOW,
	                                 NULL),
	              -EIO);
	assert_result(stoa_queue_take(queue, NULL, stoa_deadline_in(MS),
	                              &message),
	              -EIO);
	assert_result(stoa_queue_peek(queue, NULL, 0, buffer, 8, NULL), -EIO);
	assert_result(stoa_queue_stat(queue, &stat), -EIO);
	assert_result(stoa_queue_purge(queue), -EIO);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void wait_cut(void *context)
{
	char buffer[8];

	assert_ok(stoa_guard());
	report(0);
	assert_result(stoa_queue_receive(context, NULL, buffer, 8, STOA_FOREVER,
	                                 NULL),
	              -EIO);
}

TEST(a_file_cut_while_waited_for_is_eio_with_the_guard)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child = start_child(wait_cut, queue);

	until_waiting(queue, 1, 0);
	until_blocked(child.pid);
	assert_ok(stoa_guard());
	assert_system(truncate(case_path("q.queue"), 0));
	end_child(&child);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_file_that_is_no_object_is_eproto),
	CASE(what_is_no_file_is_refused),
	CASE(another_kind_is_eproto),
	CASE(another_layout_version_is_eproto_and_both_versions_are_told),
	CASE(another_byte_order_is_eproto),
	CASE(a_file_cut_anywhere_is_refused),
	CASE(a_header_that_cannot_be_true_is_refused),
	CASE(a_file_cut_while_open_is_eio_with_the_guard),
	CASE(a_file_cut_while_waited_for_is_eio_with_the_guard),
};

MAIN(cases)
