/* SPDX-License-Identifier: MIT */
/* descriptor.h: what tests of passed descriptors share. */
#ifndef SUPPORT_DESCRIPTOR_H
#define SUPPORT_DESCRIPTOR_H

#include "support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A file that nobody else has, with a number in it. */
static inline int numbered_file(int64_t number)
{
	int fd = memfd_create("numbered", MFD_CLOEXEC);

	assert_system(fd);
	assert_int_equal(pwrite(fd, &number, sizeof(number), 0),
	                 sizeof(number));
	return fd;
}

static inline int64_t number_in(int fd)
{
	int64_t number = -1;

	assert_int_equal(pread(fd, &number, sizeof(number), 0), sizeof(number));
	return number;
}

static inline void number_files(int *files, size_t count, int64_t first)
{
	for (size_t i = 0; i < count; i++)
		files[i] = numbered_file(first + (int64_t)i);
}

static inline void close_files(const int *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_system(close(files[i]));
}

/* They are numbered from `first`, and close-on-exec. */
static inline void assert_numbered(const int *files, size_t count,
                                   int64_t first)
{
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(number_in(files[i]), first + (int64_t)i);
		assert_int_equal(fcntl(files[i], F_GETFD), FD_CLOEXEC);
	}
}

/* At most so many more descriptors than are open now. */
static inline void limit_files(unsigned more)
{
	struct rlimit limit;
	int next = dup(0);

	assert_system(next);
	close(next);
	assert_system(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = (rlim_t)next + more;
	assert_system(setrlimit(RLIMIT_NOFILE, &limit));
}

/* 1: a child forked by hand has ended well, and is no more; 0: it runs. */
static inline int waitpid_done(struct child *child)
{
	int status;
	pid_t pid = waitpid(child->pid, &status, WNOHANG);

	assert_system(pid);
	if (pid == 0)
		return 0;
	assert_int_equal(status, 0);
	child->pid = -1;
	return 1;
}

static inline void close_pair(const int sockets[2])
{
	close_files(sockets, 2);
}

/* Sends by the bare call: bytes of any content, and descriptors unasked for. */
static inline void send_bare(int socket, const void *data, size_t bytes,
                             const int *files, size_t count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec part = { (void *)data, bytes };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(rights), files, count * sizeof(int));
	}
	assert_int_equal(sendmsg(socket, &message, MSG_NOSIGNAL), bytes);
}

#endif
