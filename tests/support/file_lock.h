/* SPDX-License-Identifier: MIT */
/* file_lock.h: what the tests of locks on files share. */
#ifndef TEST_FILE_LOCK_H
#define TEST_FILE_LOCK_H

#include "support.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define AMPLE (600 * SECOND) /* of what comes */

static inline struct stoa_file_lock *open_lock(const char *name)
{
	struct stoa_file_lock *lock;

	assert_ok(stoa_file_lock_open(case_path(name),
	                              STOA_READ | STOA_WRITE | STOA_CREATE,
	                              0666, &lock));
	return lock;
}

/* The last handle of the file that the case has. */
static inline void close_lock(struct stoa_file_lock *lock, const char *name)
{
	stoa_file_lock_close(lock);
	assert_system(unlink(case_path(name)));
}

static inline struct stoa_range bytes_of(uint64_t start, uint64_t length,
                                         uint32_t mode)
{
	return (struct stoa_range){ start, length, mode, 0 };
}

/* Requests for the file that wait in the kernel. */
static inline int count_kernel_waiters(const char *path)
{
	struct stat stat_of_file;
	char inode[64], line[512];
	FILE *table = fopen("/proc/locks", "re");
	int count = 0;

	assert_non_null(table);
	assert_system(stat(path, &stat_of_file));
	snprintf(inode, sizeof(inode), " %02x:%02x:%" PRIu64 " ",
	         major(stat_of_file.st_dev), minor(stat_of_file.st_dev),
	         (uint64_t)stat_of_file.st_ino);
	while (fgets(line, sizeof(line), table))
		count += strstr(line, "->") && strstr(line, inode);
	fclose(table);
	return count;
}

static inline void until_kernel_waiters(const char *path, int count)
{
	while (count_kernel_waiters(path) != count)
		sched_yield();
}

/* The child waits in the kernel; what it reports instead ends the case. */
static inline void until_child_waits(const char *path, struct child *child)
{
	while (count_kernel_waiters(path) != 1) {
		if (has_report(child))
			fail_msg("the wait gave %lld",
			         (long long)await_report(child));
		sched_yield();
	}
}

/* Somebody else's handle has the mode of the whole: it can't be had. */
static inline bool can_lock(const char *name, uint32_t mode)
{
	struct stoa_file_lock *lock = open_lock(name);
	int result = stoa_file_lock_lock(lock, mode, STOA_NOW);

	if (result != -EAGAIN)
		assert_int_equal(result, 0);
	stoa_file_lock_close(lock);
	return result == 0;
}

static inline bool can_lock_range(const char *name, struct stoa_range range)
{
	struct stoa_file_lock *lock = open_lock(name);
	int result = stoa_file_lock_lock_range(lock, &range, STOA_NOW);

	if (result != -EAGAIN)
		assert_int_equal(result, 0);
	stoa_file_lock_close(lock);
	return result == 0;
}

#endif
