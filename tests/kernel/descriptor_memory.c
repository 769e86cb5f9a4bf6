/* SPDX-License-Identifier: MIT */
/* Sealed memory: what the receiver maps can't be cut, nor changed if it isn't
 * to be. */
#include "descriptor.h"

#include <sys/resource.h>

enum { BYTES = 10000 };

static char data[BYTES];

TEST(a_copy_can_be_changed_by_nobody)
{
	uint64_t bytes;
	void *address;

	fill_pattern(data, BYTES, 3);
	int fd = (int)assert_good(stoa_descriptor_memory(data, BYTES));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 2 * BYTES), -1);
	assert_ok(stoa_descriptor_map(fd, STOA_READ, BYTES, &address, &bytes));
	assert_int_equal(bytes, BYTES);
	assert_true(has_pattern(address, BYTES, 3));
	assert_int_equal(mprotect(address, BYTES, PROT_READ | PROT_WRITE), -1);
	assert_system(munmap(address, BYTES));
	assert_result(stoa_descriptor_map(fd, STOA_READ | STOA_WRITE, BYTES,
	                                  &address, &bytes),
	              -EACCES);
	close(fd);
}

TEST(zeros_can_be_written_by_all_and_cut_by_none)
{
	uint64_t bytes;
	void *one, *two;
	int fd = (int)assert_good(stoa_descriptor_memory(NULL, BYTES));

	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 2 * BYTES), -1);
	assert_ok(stoa_descriptor_map(fd, STOA_READ | STOA_WRITE, BYTES, &one,
	                              &bytes));
	assert_ok(stoa_descriptor_map(fd, STOA_READ | STOA_WRITE, BYTES, &two,
	                              &bytes));
	for (int i = 0; i < BYTES; i++)
		assert_int_equal(((char *)one)[i], 0);
	strcpy(one, "hello");
	assert_string_equal(two, "hello");
	/* Somebody may still write: nothing to parse in place. */
	void *three = NULL;
	assert_result(stoa_descriptor_map(fd, STOA_READ, BYTES, &three, &bytes),
	              -EPERM);
	assert_sentence("change");
	assert_null(three);
	/* And nobody can seal it against those who write. */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_system(munmap(one, BYTES));
	assert_system(munmap(two, BYTES));
	close(fd);
}

TEST(what_is_not_sealed_is_not_mapped)
{
	uint64_t bytes = 77;
	void *address = NULL;
	int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int pipes[2];

	assert_system(ftruncate(fd, BYTES));
	assert_result(stoa_descriptor_map(fd, STOA_READ | STOA_WRITE, BYTES,
	                                  &address, &bytes),
	              -EPERM);
	assert_sentence("cut");
	assert_system(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	assert_result(stoa_descriptor_map(fd, STOA_READ, BYTES, &address,
	                                  &bytes),
	              -EPERM);
	assert_system(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	assert_result(stoa_descriptor_map(fd, STOA_READ, BYTES - 1, &address,
	                                  &bytes),
	              -EFBIG);
	assert_null(address);
	assert_int_equal(bytes, 77);
	assert_ok(stoa_descriptor_map(fd, STOA_READ, BYTES, &address, &bytes));
	assert_system(munmap(address, BYTES));
	close(fd);
	assert_system(pipe2(pipes, O_CLOEXEC));
	assert_result(stoa_descriptor_map(pipes[0], STOA_READ, BYTES, &address,
	                                  &bytes),
	              -EMEDIUMTYPE);
	close_pair(pipes);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_result(stoa_descriptor_map(fd, STOA_READ, BYTES, &address,
	                                  &bytes),
	              -EMEDIUMTYPE);
	close(fd);
	assert_result(stoa_descriptor_map(99999, STOA_READ, BYTES, &address,
	                                  &bytes),
	              -EBADF);
}

TEST(no_bytes_no_flags_and_too_many_bytes_are_refused)
{
	uint64_t bytes;
	void *address;
	int fd = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_result(stoa_descriptor_memory("x", 0), -EINVAL);
	assert_result(stoa_descriptor_memory(NULL, UINT64_MAX), -EFBIG);
	assert_result(stoa_descriptor_memory(NULL, INT64_MAX), -ENOMEM);
	assert_system(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
	assert_result(stoa_descriptor_map(fd, STOA_READ, BYTES, &address,
	                                  &bytes),
	              -EFBIG);
	assert_result(stoa_descriptor_map(fd, STOA_WRITE, BYTES, &address,
	                                  &bytes),
	              -EINVAL);
	assert_result(stoa_descriptor_map(fd, 0, BYTES, &address, &bytes),
	              -EINVAL);
	close(fd);
}

TEST(sealed_memory_goes_from_process_to_process)
{
	struct stoa_descriptor_message message;
	int sockets[2], fd;
	uint64_t bytes;
	void *address;

	assert_ok(stoa_descriptor_pair(sockets));
	fd = (int)assert_good(stoa_descriptor_memory("payload", 8));
	assert_ok(stoa_descriptor_send(sockets[0], &fd, 1, NULL, 0, STOA_NOW));
	close(fd);
	assert_result(stoa_descriptor_receive(sockets[1], &fd, 1, NULL, 0,
	                                      STOA_NOW, &message),
	              0);
	assert_ok(stoa_descriptor_map(fd, STOA_READ, 4096, &address, &bytes));
	close(fd);
	assert_string_equal(address, "payload");
	assert_system(munmap(address, bytes));
	close_pair(sockets);
}

/* SIGXFSZ would end this test. */
TEST(the_limit_of_files_is_an_error_and_no_signal)
{
	const struct rlimit limit = { 65536, RLIM_INFINITY };
	int fd;

	assert_system(setrlimit(RLIMIT_FSIZE, &limit));
	assert_result(stoa_descriptor_memory(NULL, 65537), -EFBIG);
	assert_sentence("ulimit -f");
	fd = (int)assert_good(stoa_descriptor_memory(NULL, 65536));
	close(fd);
}

static const struct CMUnitTest cases[] = {
	CASE(a_copy_can_be_changed_by_nobody),
	CASE(zeros_can_be_written_by_all_and_cut_by_none),
	CASE(what_is_not_sealed_is_not_mapped),
	CASE(no_bytes_no_flags_and_too_many_bytes_are_refused),
	CASE(the_limit_of_files_is_an_error_and_no_signal),
	CASE(sealed_memory_goes_from_process_to_process),
};

MAIN(cases)
