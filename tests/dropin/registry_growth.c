/* SPDX-License-Identifier: MIT */
/* The registry takes memory for the objects that there are, and grows for all
 * who use the space; one of another version is told of. */
#include "dropin.h"

#include <dropin/calls.h>
#include <dropin/registry.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
	SMALL = 64 * 1024,
	QUEUES = 3 * REGISTRY_BLOCK_SLOTS,
	SEGMENTS = REGISTRY_BLOCK_ATTACHMENTS + 10,
	KEY = 0x5703
};

static uint64_t registry_memory(void)
{
	struct stat file;

	assert_system(stat(case_path("sysv.segment"), &file));
	return (uint64_t)file.st_blocks * 512;
}

static int make_object(int key)
{
	return (int)assert_good(dropin_msgget(key, IPC_CREAT | 0600));
}

DROPIN_TEST(a_space_with_few_objects_has_a_small_one)
{
	int id = make_object(KEY);

	assert_true(registry_memory() <= SMALL);
	assert_int_equal(dropin_msgctl(id, IPC_RMID, NULL), 0);
}

/* Has the registry open since it was small. */
static void find_later(void *context)
{
	(void)context;
	setenv("STOA_SPACE", case_directory(), 1);
	report(dropin_msgget(KEY, 0));
	await_order();
	report(dropin_msgget(KEY + QUEUES - 1, 0));
	report(dropin_msgget(KEY, 0));
}

DROPIN_TEST(more_objects_than_it_began_with_are_found_by_all)
{
	struct child other;
	int ids[QUEUES];

	ids[0] = make_object(KEY);
	other = start_child(find_later, NULL);
	assert_int_equal(await_report(&other), ids[0]);
	for (int i = 1; i < QUEUES; i++)
		ids[i] = make_object(KEY + i);
	give_order(&other, 1);
	assert_int_equal(await_report(&other), ids[QUEUES - 1]);
	assert_int_equal(await_report(&other), ids[0]);
	end_child(&other);
	for (int i = 0; i < QUEUES; i++) {
		assert_int_equal(dropin_msgget(KEY + i, 0), ids[i]);
		assert_int_equal(dropin_msgctl(ids[i], IPC_RMID, NULL), 0);
	}
}

DROPIN_TEST(more_attachments_than_it_began_with_are_counted)
{
	static void *at[SEGMENTS];
	static int ids[SEGMENTS];
	struct shmid_ds ds;

	for (int i = 0; i < SEGMENTS; i++) {
		ids[i] = (int)assert_good(
		        dropin_shmget(IPC_PRIVATE, 100, 0600));
		assert_int_equal(dropin_shmat(ids[i], NULL, 0, &at[i]), 0);
	}
	for (int i = 0; i < SEGMENTS; i++) {
		assert_int_equal(dropin_shmctl(ids[i], IPC_STAT, &ds), 0);
		assert_int_equal(ds.shm_nattch, 1);
		assert_int_equal(dropin_shmdt(at[i]), 0);
		assert_int_equal(dropin_shmctl(ids[i], IPC_STAT, &ds), 0);
		assert_int_equal(ds.shm_nattch, 0);
		assert_int_equal(dropin_shmctl(ids[i], IPC_RMID, NULL), 0);
	}
}

/* ---- Another version's ---------------------------------------------------------------- */

static void make_other(uint64_t bytes)
{
	struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes), .bytes = bytes
	};
	struct stoa_segment *segment;
	struct stoa_space *space = open_space();

	assert_ok(stoa_segment_open(space, "sysv",
	                            STOA_CREATE | STOA_READ | STOA_WRITE, 0600,
	                            &attributes, &segment));
	stoa_segment_close(segment);
	stoa_space_close(space);
}

/* What comes on the error output of two calls that fail. */
static void fail_twice(char *said, size_t bytes)
{
	int file = open(case_path("said"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int before = dup(STDERR_FILENO);
	ssize_t length;

	assert_system(file);
	assert_system(before);
	fflush(stderr);
	assert_system(dup2(file, STDERR_FILENO));
	assert_true(dropin_msgget(IPC_PRIVATE, 0600) < 0);
	assert_true(dropin_semget(IPC_PRIVATE, 1, 0600) < 0);
	fflush(stderr);
	assert_system(dup2(before, STDERR_FILENO));
	length = pread(file, said, bytes - 1, 0);
	assert_system(length);
	said[length] = 0;
	close(before);
	close(file);
	assert_system(unlink(case_path("said")));
}

DROPIN_TEST(one_of_another_size_is_told_of_once)
{
	char said[2000], number[32];
	const char *first;

	make_other(12357632); /* what they once had */
	fail_twice(said, sizeof(said));
	first = strstr(said, "stoa: no System V interprocess communication");
	assert_non_null(first);
	assert_null(strstr(first + 1, "stoa: no System V"));
	assert_non_null(strstr(said, "12357632 bytes"));
	snprintf(number, sizeof(number), "for %llu;",
	         (unsigned long long)REGISTRY_BYTES_MOST);
	assert_non_null(strstr(said, number));
	assert_non_null(strstr(said, case_path("sysv.segment")));
}

static const struct CMUnitTest cases[] = {
	CASE(a_space_with_few_objects_has_a_small_one),
	CASE(more_objects_than_it_began_with_are_found_by_all),
	CASE(more_attachments_than_it_began_with_are_counted),
	CASE(one_of_another_size_is_told_of_once),
};

MAIN(cases)
