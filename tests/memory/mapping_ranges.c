/* SPDX-License-Identifier: MIT */
/* What is done to ranges of mappings: copies, protection, pins, residency,
 * advice. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { PAGE = 4096 };

static struct stoa_mapping *map(int file, uint32_t shared, uint64_t offset,
                                uint64_t bytes)
{
	struct stoa_mapping_attributes attributes = {
		.size = sizeof(attributes),
		.file = file,
		.shared = shared,
		.protection = STOA_READ | STOA_WRITE,
		.offset = offset,
		.bytes = bytes
	};
	struct stoa_mapping *mapping;

	assert_ok(stoa_mapping_map(&attributes, &mapping));
	return mapping;
}

static int make_file(size_t bytes)
{
	int fd = open(case_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *data = malloc(bytes);

	assert_system(fd);
	fill_pattern(data, bytes, 1);
	assert_int_equal(write(fd, data, bytes), bytes);
	free(data);
	return fd;
}

/* ---- Copies ------------------------------------------------------------------ */

TEST(copies_go_both_ways)
{
	struct stoa_mapping *mapping = map(STOA_MAPPING_ANONYMOUS, 0, 0, 10000);
	char *buffer = malloc(10000);

	fill_pattern(buffer, 9000, 4);
	assert_result(stoa_mapping_write(mapping, 1000, buffer, 9000), 9000);
	memset(buffer, 0, 9000);
	assert_result(stoa_mapping_read(mapping, 1000, buffer, 9000), 9000);
	assert_true(has_pattern(buffer, 9000, 4));
	assert_result(stoa_mapping_read(mapping, 0, buffer, 0), 0);
	assert_result(stoa_mapping_read(mapping, 10000, buffer, 0), 0);
	assert_result(stoa_mapping_read(mapping, 10000, buffer, 1), -ERANGE);
	assert_result(stoa_mapping_write(mapping, 1, buffer, UINT64_MAX),
	              -ERANGE);
	assert_sentence("not in a mapping of 10000");
	stoa_mapping_unmap(mapping);
	free(buffer);
}

TEST(a_shortened_file_is_an_error_and_no_signal)
{
	int fd = make_file(8 * PAGE);
	struct stoa_mapping *mapping = map(fd, 1, 100, 7 * PAGE);
	char *buffer = malloc(8 * PAGE);

	assert_system(ftruncate(fd, 2 * PAGE));
	assert_result(stoa_mapping_read(mapping, 0, buffer, 7 * PAGE), -EIO);
	assert_sentence("cut short");
	assert_result(stoa_mapping_write(mapping, 3 * PAGE, buffer, 10), -EIO);
	assert_result(stoa_mapping_pin(mapping, 0, 7 * PAGE), -EIO);
	assert_result(stoa_mapping_populate(mapping, 0, 7 * PAGE, STOA_READ,
	                                    NULL, NULL),
	              -EIO);
	/* What is there is there. */
	assert_result(stoa_mapping_read(mapping, 0, buffer + 100, PAGE), PAGE);
	assert_int_equal(pread(fd, buffer, 100, 0), 100);
	assert_true(has_pattern(buffer, 100 + PAGE, 1));
	assert_system(ftruncate(fd, 8 * PAGE));
	assert_result(stoa_mapping_read(mapping, 0, buffer, 7 * PAGE),
	              7 * PAGE);
	stoa_mapping_unmap(mapping);
	close(fd);
	free(buffer);
}

TEST(through_the_pointer_the_guard_makes_it_an_error)
{
	int fd = make_file(4 * PAGE);
	struct stoa_mapping *mapping = map(fd, 1, 0, 4 * PAGE);
	char byte;

	assert_ok(stoa_guard());
	assert_ok(stoa_mapping_resize(mapping, 3 * PAGE, 0));
	assert_ok(stoa_mapping_resize(mapping, 4 * PAGE,
	                              STOA_MAPPING_MAY_MOVE));
	assert_system(ftruncate(fd, PAGE));
	assert_int_equal(*((volatile char *)stoa_mapping_data(mapping) +
	                   2 * PAGE),
	                 0);
	assert_result(stoa_mapping_read(mapping, 0, &byte, 1), -EIO);
	assert_result(stoa_mapping_sync(mapping, 0, 1, 0), -EIO);
	stoa_mapping_unmap(mapping);
	close(fd);
}

/* ---- Protection ---------------------------------------------------------------- */

static sigjmp_buf back;

static void jump_back(int number)
{
	siglongjmp(back, number);
}

static bool stores(volatile char *at)
{
	bool stored = sigsetjmp(back, 1) == 0;

	if (stored)
		*at = 1;
	return stored;
}

static bool loads(const volatile char *at)
{
	bool loaded = sigsetjmp(back, 1) == 0;

	if (loaded)
		(void)*at;
	return loaded;
}

TEST(parts_are_protected_by_the_page)
{
	struct stoa_mapping *mapping =
		map(STOA_MAPPING_ANONYMOUS, 0, 0, 4 * PAGE);
	char *data = stoa_mapping_data(mapping);
	char buffer[PAGE];

	signal(SIGSEGV, jump_back);
	assert_ok(stoa_mapping_protect(mapping, PAGE + 5, 1, STOA_READ));
	assert_ok(stoa_mapping_protect(mapping, 2 * PAGE, PAGE, 0));
	assert_true(stores(data) && stores(data + 3 * PAGE));
	assert_false(stores(data + PAGE));
	assert_true(loads(data + PAGE));
	assert_false(loads(data + 2 * PAGE));
	assert_result(stoa_mapping_read(mapping, PAGE, buffer, PAGE), PAGE);
	assert_result(stoa_mapping_write(mapping, PAGE, buffer, 1), -EACCES);
	assert_sentence("protected");
	assert_result(stoa_mapping_read(mapping, 2 * PAGE, buffer, 1), -EACCES);
	assert_ok(stoa_mapping_protect(mapping, 0, 4 * PAGE,
	                               STOA_READ | STOA_WRITE |
	                                       STOA_MAPPING_EXECUTE));
	assert_true(stores(data + PAGE) && stores(data + 2 * PAGE));
	assert_result(stoa_mapping_protect(mapping, 0, 1, 0x40), -EINVAL);
	assert_result(stoa_mapping_protect(mapping, 4 * PAGE, 1, 0), -ERANGE);
	stoa_mapping_unmap(mapping);
}

TEST(a_file_opened_to_be_read_is_not_written)
{
	int fd = make_file(PAGE);
	char path[64];
	int reader;
	struct stoa_mapping *mapping;
	struct stoa_mapping_attributes attributes = {
		.size = sizeof(attributes), .shared = 1,
		.protection = STOA_READ
	};

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	attributes.file = reader;
	assert_ok(stoa_mapping_map(&attributes, &mapping));
	close(reader);
	assert_result(stoa_mapping_protect(mapping, 0, PAGE,
	                                   STOA_READ | STOA_WRITE),
	              -EACCES);
	assert_sentence("opened");
	assert_result(stoa_mapping_write(mapping, 0, path, 1), -EACCES);
	stoa_mapping_unmap(mapping);
	close(fd);
}

/* ---- Memory --------------------------------------------------------------------- */

TEST(residency_is_counted_and_shown)
{
	struct stoa_mapping *mapping =
		map(STOA_MAPPING_ANONYMOUS, 0, 0, 20 * PAGE);
	char *data = stoa_mapping_data(mapping);
	uint8_t bitmap[4] = { 0xff, 0xff, 0xff, 0xff };

	assert_ok(stoa_mapping_advise(mapping, 0, 20 * PAGE,
	                              STOA_ADVISE_NO_HUGE_PAGE));
	assert_result(stoa_mapping_resident(mapping, 0, 20 * PAGE, bitmap), 0);
	data[0] = data[3 * PAGE] = data[9 * PAGE] = data[19 * PAGE] = 1;
	assert_result(stoa_mapping_resident(mapping, 0, 20 * PAGE, bitmap), 4);
	assert_int_equal(bitmap[0], 0x09);
	assert_int_equal(bitmap[1], 0x02);
	assert_int_equal(bitmap[2], 0x08);
	assert_int_equal(bitmap[3], 0xff);
	assert_result(stoa_mapping_resident(mapping, 3 * PAGE + 1, 1, NULL), 1);
	assert_int_equal(stoa_mapping_pages(mapping, PAGE - 1, 2), 2);
	assert_int_equal(stoa_mapping_pages(mapping, 0, 20 * PAGE + 1), 0);
	/* Discarding leaves what is next to the range. */
	assert_ok(stoa_mapping_advise(mapping, 1, 20 * PAGE - 2,
	                              STOA_ADVISE_DONT_NEED));
	assert_result(stoa_mapping_resident(mapping, 0, 20 * PAGE, NULL), 2);
	assert_int_equal(data[0], 1);
	assert_ok(stoa_mapping_advise(mapping, 0, 20 * PAGE,
	                              STOA_ADVISE_DONT_NEED));
	assert_int_equal(data[0], 0);
	stoa_mapping_unmap(mapping);
}

static int count_steps(uint64_t done, uint64_t bytes, void *context)
{
	uint64_t *last = context;

	assert_true(done > *last && done <= bytes);
	*last = done;
	return done > bytes / 2 ? 7 : 0;
}

TEST(populating_tells_how_far_it_is)
{
	uint64_t bytes = UINT64_C(80) << 20, last = 0;
	struct stoa_mapping *mapping =
		map(STOA_MAPPING_ANONYMOUS, 0, 0, bytes);

	assert_result(stoa_mapping_populate(mapping, 0, bytes, STOA_READ,
	                                    count_steps, &last),
	              7);
	assert_true(last > bytes / 2 && last < bytes);
	assert_ok(stoa_mapping_populate(mapping, 5, 3 * PAGE, STOA_WRITE, NULL,
	                                NULL));
	assert_true(stoa_mapping_resident(mapping, 5, 3 * PAGE, NULL) == 4);
	assert_result(stoa_mapping_populate(mapping, 0, 1, 0, NULL, NULL),
	              -EINVAL);
	stoa_mapping_unmap(mapping);
}

static uint64_t locked_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[200];

	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "VmLck: %llu", &kib) == 1)
			break;
	fclose(status);
	return kib * 1024;
}

TEST(what_is_pinned_stays)
{
	struct stoa_mapping *mapping =
		map(STOA_MAPPING_ANONYMOUS, 0, 0, 10 * PAGE);

	assert_ok(stoa_mapping_pin(mapping, PAGE - 1, 2));
	assert_int_equal(locked_bytes(), 2 * PAGE);
	assert_result(stoa_mapping_resident(mapping, 0, 10 * PAGE, NULL), 2);
	assert_ok(stoa_mapping_unpin(mapping, 0, PAGE));
	assert_int_equal(locked_bytes(), PAGE);
	assert_ok(stoa_mapping_pin_process(STOA_PIN_FUTURE |
	                                   STOA_PIN_ON_TOUCH));
	assert_ok(stoa_mapping_unpin_process());
	assert_int_equal(locked_bytes(), 0);
	assert_result(stoa_mapping_pin_process(0), -EINVAL);
	assert_result(stoa_mapping_pin_process(STOA_PIN_ON_TOUCH), -EINVAL);
	stoa_mapping_unmap(mapping);
}

static void pin_too_much(void *context)
{
	struct stoa_mapping *mapping = context;
	struct rlimit limit = { 2 * PAGE, 4 * PAGE };

	assert_system(setrlimit(RLIMIT_MEMLOCK, &limit));
	become_nobody();
	assert_result(stoa_mapping_pin(mapping, 0, 10 * PAGE), -ENOMEM);
	assert_sentence("RLIMIT_MEMLOCK");
	assert_sentence("8192 bytes in all");
	assert_sentence("ulimit -l");
	assert_int_equal(locked_bytes(), 0);
	assert_ok(stoa_mapping_pin(mapping, 0, 2 * PAGE));
	assert_result(stoa_mapping_pin_process(STOA_PIN_PRESENT), -ENOMEM);
	assert_sentence("8192 bytes in all");
}

TEST(a_limit_says_which_and_how_to_raise_it)
{
	struct stoa_mapping *mapping =
		map(STOA_MAPPING_ANONYMOUS, 0, 0, 10 * PAGE);
	struct child child = start_child(pin_too_much, mapping);

	end_child(&child);
	stoa_mapping_unmap(mapping);
}

TEST(all_advice_has_a_name_and_most_is_taken)
{
	struct stoa_mapping *own = map(STOA_MAPPING_ANONYMOUS, 0, 0, 4 * PAGE);
	struct stoa_mapping *common =
		map(STOA_MAPPING_ANONYMOUS, 1, 0, 4 * PAGE);
	int taken = 0;

	for (int i = 1; stoa_mapping_advice_name((enum stoa_advice)i); i++) {
		int result = stoa_mapping_advise(own, 1, 4 * PAGE - 2,
		                                 (enum stoa_advice)i);

		assert_true(result == 0 || result == -EINVAL ||
		            i == STOA_ADVISE_COLLAPSE);
		taken += result == 0;
	}
	assert_true(taken >= 14);
	assert_ok(stoa_mapping_advise(own, 0, 4 * PAGE, STOA_ADVISE_FREE));
	assert_result(stoa_mapping_advise(common, 0, 4 * PAGE,
	                                  STOA_ADVISE_FREE),
	              -EINVAL);
	assert_sentence("shared, anonymous");
	strcpy(stoa_mapping_data(common), "text");
	assert_ok(stoa_mapping_advise(common, 0, 4 * PAGE,
	                              STOA_ADVISE_REMOVE));
	assert_string_equal(stoa_mapping_data(common), "");
	assert_result(stoa_mapping_advise(own, 0, 1, (enum stoa_advice)0),
	              -EINVAL);
	assert_result(stoa_mapping_advise(own, 0, 1, (enum stoa_advice)99),
	              -EINVAL);
	assert_null(stoa_mapping_advice_name((enum stoa_advice)0));
	stoa_mapping_unmap(own);
	stoa_mapping_unmap(common);
}

static void find_nothing(void *context)
{
	struct stoa_mapping *mapping = context;
	char byte;

	assert_int_not_equal(stoa_mapping_read(mapping, 0, &byte, 1), 1);
}

TEST(what_is_not_for_children_they_do_not_have)
{
	struct stoa_mapping *mapping =
		map(STOA_MAPPING_ANONYMOUS, 0, 0, 4 * PAGE);
	struct child child;

	assert_ok(stoa_mapping_advise(mapping, 0, 4 * PAGE,
	                              STOA_ADVISE_DONT_FORK));
	child = start_child(find_nothing, mapping);
	end_child(&child);
	stoa_mapping_unmap(mapping);
}

static const struct CMUnitTest cases[] = {
	CASE(copies_go_both_ways),
	CASE(a_shortened_file_is_an_error_and_no_signal),
	CASE(through_the_pointer_the_guard_makes_it_an_error),
	CASE(parts_are_protected_by_the_page),
	CASE(a_file_opened_to_be_read_is_not_written),
	CASE(residency_is_counted_and_shown),
	CASE(populating_tells_how_far_it_is),
	CASE(what_is_pinned_stays),
	CASE(a_limit_says_which_and_how_to_raise_it),
	CASE(all_advice_has_a_name_and_most_is_taken),
	CASE(what_is_not_for_children_they_do_not_have),
};

MAIN(cases)
