/* SPDX-License-Identifier: MIT */
/* Shared memory as POSIX has it, beside what tests/conformance compares with the
 * kernel: what is of a process (descriptors, fork, exec, its limits), and what
 * the space holds meanwhile. */
#include "dropin.h"

#include <dropin/posix_memory.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { BYTES = 8192, LONGEST = 255 };

static int make(const char *name)
{
	int fd = dropin_shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_system(ftruncate(fd, BYTES));
	return fd;
}

static char *map(int fd)
{
	char *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static void assert_absent(const char *name)
{
	assert_int_equal(dropin_shm_open(name, O_RDWR, 0), -ENOENT);
	assert_int_equal(dropin_shm_unlink(name), -ENOENT);
}

static ino_t inode_of(int fd)
{
	struct stat stat;

	assert_system(fstat(fd, &stat));
	return stat.st_ino;
}

DROPIN_TEST(no_two_names_are_the_same_memory)
{
	static const char *const names[] = { "/a", "/a.b",  "/a b", "/a.20b",
		                             "/A", "/\377", "/-" };
	int fds[LENGTH(names)];

	for (size_t i = 0; i < LENGTH(names); i++)
		fds[i] = make(names[i]);
	for (size_t i = 0; i < LENGTH(names); i++) {
		int again = dropin_shm_open(names[i], O_RDWR, 0);

		assert_true(again >= 0);
		assert_int_equal(inode_of(again), inode_of(fds[i]));
		close(again);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(inode_of(fds[i]),
			                     inode_of(fds[j]));
	}
	for (size_t i = 0; i < LENGTH(names); i++) {
		close(fds[i]);
		assert_int_equal(dropin_shm_unlink(names[i]), 0);
		assert_absent(names[i]);
	}
}

DROPIN_TEST(the_longest_name_is_good_and_one_more_is_not)
{
	char name[LONGEST + 3] = "/";

	memset(name + 1, 'n', LONGEST);
	close(make(name));
	assert_int_equal(dropin_shm_unlink(name), 0);
	assert_absent(name);
	name[LONGEST + 1] = 'n';
	assert_int_equal(dropin_shm_open(name, O_RDWR | O_CREAT, 0600),
	                 -ENAMETOOLONG);
}

DROPIN_TEST(the_mode_is_what_the_umask_leaves)
{
	static const struct {
		mode_t mask, asked, given;
	} modes[] = { { 0, 0666, 0666 },
		      { 022, 0666, 0644 },
		      { 077, 0777, 0700 },
		      { 0777, 0777, 0 } };
	mode_t before = umask(0);

	for (size_t i = 0; i < LENGTH(modes); i++) {
		struct stat stat;
		int fd;

		umask(modes[i].mask);
		fd = dropin_shm_open("/m", O_RDWR | O_CREAT | O_EXCL,
		                     modes[i].asked);
		umask(0);
		assert_true(fd >= 0);
		assert_system(fstat(fd, &stat));
		assert_int_equal(stat.st_mode & 0777, modes[i].given);
		close(fd);
		assert_int_equal(dropin_shm_unlink("/m"), 0);
	}
	umask(before);
}

DROPIN_TEST(a_descriptor_is_for_what_it_was_opened_for)
{
	int fd = make("/m"), reader;
	void *at;

	reader = dropin_shm_open("/m", O_RDONLY, 0);
	assert_true(reader >= 0);
	at = mmap(NULL, BYTES, PROT_WRITE, MAP_SHARED, reader, 0);
	assert_true(at == MAP_FAILED && errno == EACCES);
	assert_int_equal(ftruncate(reader, 1), -1);
	close(reader);
	close(fd);
	assert_int_equal(dropin_shm_unlink("/m"), 0);
}

DROPIN_TEST(exec_closes_the_descriptor_and_the_memory_stays)
{
	int fd = make("/m"), status;
	char path[64];
	pid_t pid;

	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*map(fd) = 'm';
	pid = fork();
	if (pid == 0) {
		execlp("test", "test", "-e", path, NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 1 << 8); /* it is not there */
	assert_int_equal(*map(fd), 'm');
	close(fd);
	assert_int_equal(dropin_shm_unlink("/m"), 0);
}

static void write_into(void *context)
{
	char *at = context;

	assert_int_equal(at[0], 'p');
	at[1] = 'c';
}

DROPIN_TEST(a_forked_child_has_what_was_mapped_also_after_its_removal)
{
	int fd = make("/m");
	char *at = map(fd);
	struct child child;

	at[0] = 'p';
	assert_int_equal(dropin_shm_unlink("/m"), 0);
	child = start_child(write_into, at);
	end_child(&child);
	assert_int_equal(at[1], 'c');
	munmap(at, BYTES);
	close(fd);
	assert_absent("/m");
}

DROPIN_TEST(a_name_that_was_removed_is_new_memory_to_whoever_makes_it)
{
	int old = make("/m"), fresh;
	char *before = map(old), *after;

	before[0] = 'o';
	assert_int_equal(dropin_shm_unlink("/m"), 0);
	fresh = make("/m");
	after = map(fresh);
	assert_int_equal(after[0], 0);
	after[0] = 'n';
	assert_int_equal(before[0], 'o');
	munmap(before, BYTES);
	munmap(after, BYTES);
	close(old);
	close(fresh);
	assert_int_equal(dropin_shm_unlink("/m"), 0);
}

/* As many as the limit lets it have, and not one name more. */
DROPIN_TEST(without_descriptors_no_name_is_made)
{
	struct rlimit before, few;
	int highest;

	/* The space is open from here on. */
	close(make("/first"));
	highest = dropin_shm_open("/first", O_RDWR, 0);
	assert_true(highest >= 0);
	close(highest);
	assert_system(getrlimit(RLIMIT_NOFILE, &before));
	few = before;
	few.rlim_cur = (rlim_t)highest;
	assert_system(setrlimit(RLIMIT_NOFILE, &few));
	assert_int_equal(dropin_shm_open("/m", O_RDWR | O_CREAT, 0600),
	                 -EMFILE);
	assert_int_equal(dropin_shm_open("/first", O_RDWR, 0), -EMFILE);
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	assert_absent("/m");
	assert_int_equal(dropin_shm_unlink("/first"), 0);
}

/* Others may have put something there: no file of somebody's is opened by it. */
DROPIN_TEST(what_stands_in_the_way_is_not_followed)
{
	char path[300];

	close(make("/m")); /* the space is there */
	assert_int_equal(dropin_shm_unlink("/m"), 0);
	snprintf(path, sizeof(path), "%s/shm.m.shared_memory",
	         case_directory());
	assert_system(symlink("/etc/passwd", path));
	assert_int_equal(dropin_shm_open("/m", O_RDONLY, 0), -ELOOP);
	assert_int_equal(dropin_shm_open("/m", O_RDWR | O_CREAT, 0600), -ELOOP);
	assert_int_equal(dropin_shm_unlink("/m"), 0);
	assert_system(mkdir(path, 0700));
	assert_int_equal(dropin_shm_open("/m", O_RDWR, 0), -EINVAL);
	assert_system(rmdir(path));
}

static const struct CMUnitTest cases[] = {
	CASE(no_two_names_are_the_same_memory),
	CASE(the_longest_name_is_good_and_one_more_is_not),
	CASE(the_mode_is_what_the_umask_leaves),
	CASE(a_descriptor_is_for_what_it_was_opened_for),
	CASE(exec_closes_the_descriptor_and_the_memory_stays),
	CASE(a_forked_child_has_what_was_mapped_also_after_its_removal),
	CASE(a_name_that_was_removed_is_new_memory_to_whoever_makes_it),
	CASE(without_descriptors_no_name_is_made),
	CASE(what_stands_in_the_way_is_not_followed),
};

MAIN(cases)
