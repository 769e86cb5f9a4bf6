/* SPDX-License-Identifier: MIT */
/* Names of objects: which are names, and what files they become. */
#include "support.h"

#include <sys/stat.h>

static int make(struct stoa_space *space, const char *name)
{
	struct stoa_queue *queue;
	struct stoa_queue_attributes small =
		attributes_of((struct queue_shape){ STOA_FIFO, 1, 1, 4096 });
	int result = stoa_queue_open(space, name,
	                             STOA_READ | STOA_WRITE | STOA_CREATE, 0600,
	                             &small, &queue);

	if (result == 0)
		stoa_queue_close(queue);
	return result;
}

TEST(a_name_becomes_a_file_with_its_kind)
{
	struct stoa_space *space = open_space();

	assert_ok(make(space, "orders"));
	assert_int_equal(access(case_path("orders.queue"), F_OK), 0);
	assert_ok(stoa_queue_unlink(space, "orders"));
	assert_int_equal(access(case_path("orders.queue"), F_OK), -1);
	stoa_space_close(space);
}

TEST(all_the_letters_of_a_name_are_accepted)
{
	struct stoa_space *space = open_space();

	assert_ok(make(space, "AZaz09._-"));
	assert_ok(make(space, "-x"));
	assert_ok(make(space, "_"));
	assert_ok(make(space, "9"));
	assert_ok(make(space, "a..b"));
	stoa_space_close(space);
}

TEST(every_other_byte_is_refused)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	struct stoa_space *space = open_space();
	char name[4] = "aba";

	for (int byte = 1; byte < 256; byte++) {
		name[1] = (char)byte;
		if (strchr(allowed, byte) == NULL)
			assert_result(make(space, name), -EINVAL);
	}
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(a_leading_dot_or_nothing_is_refused)
{
	static const char *const wrong[] = { "",  ".",  "..", ".x",
		                             "/", "//", "/.", "/.x" };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		assert_result(make(space, wrong[i]), -EINVAL);
		assert_sentence("");
	}
	stoa_space_close(space);
}

TEST(a_leading_slash_is_accepted_and_means_nothing)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue;

	assert_ok(make(space, "/orders"));
	assert_int_equal(access(case_path("orders.queue"), F_OK), 0);
	queue = join_queue(space, "orders");
	stoa_queue_close(queue);
	assert_ok(stoa_queue_unlink(space, "/orders"));
	assert_result(make(space, "//orders"), -EINVAL);
	assert_result(make(space, "a/b"), -EINVAL);
	assert_result(make(space, "../orders"), -EINVAL);
	stoa_space_close(space);
}

TEST(two_hundred_bytes_are_a_name_and_one_more_is_not)
{
	struct stoa_space *space = open_space();
	char name[STOA_NAME_MAX + 2];
	struct stoa_object_info info;

	memset(name, 'n', sizeof(name));
	name[STOA_NAME_MAX] = '\0';
	assert_ok(make(space, name));
	assert_ok(stoa_space_find(space, name, &info));
	assert_string_equal(info.name, name);
	name[STOA_NAME_MAX] = 'n';
	name[STOA_NAME_MAX + 1] = '\0';
	assert_result(make(space, name), -EINVAL);
	stoa_space_close(space);
}

TEST(every_call_that_takes_a_name_checks_it)
{
	struct stoa_space *space = open_space();
	struct stoa_object_info info;

	assert_result(stoa_queue_unlink(space, "a b"), -EINVAL);
	assert_result(stoa_space_find(space, "a b", &info), -EINVAL);
	assert_result(stoa_space_find(space, ".life.0", &info), -EINVAL);
	assert_result(stoa_space_remove(space, "a/b", 0), -EINVAL);
	assert_result(stoa_space_remove(space, "../x", 1), -EINVAL);
	assert_result(stoa_space_each_user(space, "a b", NULL, NULL), -EINVAL);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_name_becomes_a_file_with_its_kind),
	CASE(all_the_letters_of_a_name_are_accepted),
	CASE(every_other_byte_is_refused),
	CASE(a_leading_dot_or_nothing_is_refused),
	CASE(a_leading_slash_is_accepted_and_means_nothing),
	CASE(two_hundred_bytes_are_a_name_and_one_more_is_not),
	CASE(every_call_that_takes_a_name_checks_it),
};

MAIN(cases)
