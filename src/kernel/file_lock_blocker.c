/* SPDX-License-Identifier: MIT */
/*
 * file_lock_blocker.c: who is in the way of a lock on a file.
 *
 * F_OFD_GETLK names a range in the way, and its process, if it is one of fcntl's
 * old locks. A range of an open file description has no process: the kernel says
 * -1. A whole lock has the number of who took it, who may have ended since and
 * have left it to a child. So for these two it is looked for whose descriptor
 * the lock shows at: /proc/PID/fdinfo/N has a line for each lock of its
 * description,
 *
 *	lock:	1: OFDLCK  ADVISORY  WRITE -1 00:1c:2064 0 99
 *
 * and /proc/PID/fd/N is the file. (The device in that line is the file system's,
 * which on some isn't the file's st_dev: so the file is asked itself.) Processes
 * of others, whose descriptors aren't shown, can be named from /proc/locks only.
 */
#include "file_lock_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <base/error.h>
#include <base/system.h>
#include <kernel/proc.h>

#define TABLE_READINGS 16

/* One line of the kernel's about a lock. */
struct line {
	char kind[16], access[16], end[24];
	int pid;
	unsigned int major, minor;
	uint64_t inode, start;
};

/* What is looked for, and where it was found. */
struct search {
	int fd; /* the handle's own, which isn't in its own way */
	const char *kind, *access; /* NULL access: any */
	uint64_t start;
	struct stat stat;
	int pid;
	struct line line;
};

/* Those that wait have "->" after their number. */
static bool parse(const char *text, struct line *ret_line)
{
	return sscanf(text,
	              "%*u: %15s %*15s %15s %d %x:%x:%" SCNu64 " %" SCNu64
	              " %23s",
	              ret_line->kind, ret_line->access, &ret_line->pid,
	              &ret_line->major, &ret_line->minor, &ret_line->inode,
	              &ret_line->start, ret_line->end) == 8;
}

static bool matches(const struct search *search, const struct line *line)
{
	return !strcmp(line->kind, search->kind) &&
	       (!search->access || !strcmp(line->access, search->access)) &&
	       line->inode == search->stat.st_ino &&
	       line->start == search->start;
}

/* ---- Who shows the lock ---------------------------------------------------------- */

/* The kernel may not tell; a description is then taken for another one. */
static bool is_own(const struct search *search, int pid, int fd)
{
	int self = stoa_sys_getpid();

	return (pid == self && fd == search->fd) ||
	       stoa_system_call(SYS_kcmp, self, pid, KCMP_FILE, search->fd, fd,
	                        0) == 0;
}

static bool is_file(const struct search *search, int pid, int fd)
{
	char path[PROC_PATH_MAX];
	struct stat stat;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	return stoa_sys_fstatat(AT_FDCWD, path, &stat, 0) == 0 &&
	       stat.st_dev == search->stat.st_dev &&
	       stat.st_ino == search->stat.st_ino;
}

static int look_at_descriptor(int fd, void *context)
{
	static const char tag[] = "lock:";
	struct search *search = context;
	struct stoa_proc_lines lines;
	char path[PROC_PATH_MAX];
	struct line line;
	bool found = false;
	char *text;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", search->pid, fd);
	if (stoa_proc_open(&lines, path) < 0)
		return 0;
	while (!found && (text = stoa_proc_line(&lines)))
		found = !strncmp(text, tag, sizeof(tag) - 1) &&
		        parse(text + sizeof(tag) - 1, &line) &&
		        matches(search, &line);
	stoa_proc_close(&lines);
	if (!found || !is_file(search, search->pid, fd) ||
	    is_own(search, search->pid, fd))
		return 0;
	search->line = line;
	return 1;
}

/* 1: found. Those that went, or that others own, are passed over. */
static int look_at_process(int pid, void *context)
{
	struct search *search = context;
	char path[PROC_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	search->pid = pid;
	return stoa_proc_each(path, look_at_descriptor, search) == 1;
}

/* 0: nobody that can be seen. */
static int find_process(struct search *search)
{
	return stoa_proc_each("/proc", look_at_process, search) == 1 ?
	               search->pid :
	               0;
}

static void name(struct stoa_file_lock_blocker *blocker, int pid)
{
	blocker->pid = pid > 0 ? pid : 0;
	if (pid > 0)
		stoa_proc_command(pid, blocker->command,
		                  sizeof(blocker->command));
}

/* ---- Whole ------------------------------------------------------------------------- */

/* In the kernel's table: 1, and its line in search->line. The handle's own lock,
 * of access `own` (NULL: none), stands there, too: one that could be it is passed
 * over. *ret_pieces: that the table was read in. */
static int read_table(struct search *search, const char *own,
                      unsigned int *ret_pieces)
{
	struct stoa_proc_lines lines;
	struct line line;
	int found = 0;
	char *text;
	int result = stoa_proc_open(&lines, "/proc/locks");

	if (result < 0)
		return stoa_fail(result == -ENOENT ? -ENOSYS : result,
		                 "/proc/locks can't be read, so nobody knows "
		                 "who has a file locked: %s",
		                 strerrordesc_np(-result));
	while (!found && (text = stoa_proc_line(&lines))) {
		if (!parse(text, &line) || !matches(search, &line) ||
		    line.major != major(search->stat.st_dev) ||
		    line.minor != minor(search->stat.st_dev))
			continue;
		if (own && !strcmp(line.access, own)) {
			own = NULL;
			continue;
		}
		search->line = line;
		found = 1;
	}
	result = lines.error;
	*ret_pieces = lines.pieces;
	stoa_proc_close(&lines);
	if (result < 0 && !found)
		return stoa_fail(result, "/proc/locks can't be read: %s",
		                 strerrordesc_np(-result));
	return found;
}

/* Locks come and go between two pieces of a long table, and the kernel counts
 * from its beginning: a line may stand in both pieces, or in neither. So it is
 * read often before nobody is in the way; and before somebody is, who could be
 * the handle itself, seen twice. */
static int find_in_table(struct search *search, const char *own)
{
	int needed = own ? TABLE_READINGS / 2 + 1 : 1, found = 0;
	unsigned int pieces = 0;

	for (int i = 0; i < TABLE_READINGS; i++) {
		int result = read_table(search, own, &pieces);

		if (result < 0 || pieces <= 1)
			return result;
		found += result;
		if (found == needed)
			return 1;
	}
	return 0;
}

static const char *access_of(uint32_t mode)
{
	return mode == STOA_RANGE_SHARED    ? "READ" :
	       mode == STOA_RANGE_EXCLUSIVE ? "WRITE" :
	                                      NULL;
}

static uint32_t mode_of(const char *access)
{
	return strcmp(access, "READ") ? STOA_RANGE_EXCLUSIVE :
	                                STOA_RANGE_SHARED;
}

/* The descriptor that shows it, if it is to be seen; else the table. */
static int find_whole(struct search *search, const char *own, int *ret_pid)
{
	int pid = find_process(search);
	int result;

	if (pid > 0) {
		*ret_pid = pid;
		return 1;
	}
	result = find_in_table(search, own);
	if (result == 1)
		*ret_pid = search->line.pid;
	return result;
}

int stoa_file_lock_test(struct stoa_file_lock *lock, uint32_t mode,
                        struct stoa_file_lock_blocker *ret_blocker)
{
	struct search search = {
		.fd = lock->fd,
		.kind = "FLOCK",
		/* Only an exclusive one is in a shared one's way. */
		.access = mode == STOA_RANGE_SHARED ? "WRITE" : NULL,
	};
	struct stoa_file_lock_blocker blocker = { .kind = STOA_FILE_LOCK_WHOLE };
	int pid = 0;
	int result;

	if (mode != STOA_RANGE_SHARED && mode != STOA_RANGE_EXCLUSIVE)
		return stoa_fail(-EINVAL,
		                 "a file lock's mode is STOA_RANGE_SHARED or "
		                 "STOA_RANGE_EXCLUSIVE");
	result = stoa_sys_fstat(lock->fd, &search.stat);
	if (result < 0)
		return stoa_fail(result, "%s can't be looked at: %s",
		                 stoa_file_lock_name(lock),
		                 strerrordesc_np(-result));
	result = find_whole(&search, access_of(lock->whole), &pid);
	if (result != 1 || !ret_blocker)
		return result;
	blocker.range.mode = mode_of(search.line.access);
	name(&blocker, pid);
	*ret_blocker = blocker;
	return 1;
}

/* ---- Ranges -------------------------------------------------------------------------- */

static int find_owner(const struct stoa_file_lock *lock,
                      const struct flock *range)
{
	struct search search = {
		.fd = lock->fd,
		.kind = "OFDLCK",
		.access = range->l_type == F_RDLCK ? "READ" : "WRITE",
		.start = (uint64_t)range->l_start,
	};

	if (stoa_sys_fstat(lock->fd, &search.stat) < 0)
		return 0;
	return find_process(&search);
}

static void describe(const struct stoa_file_lock *lock,
                     const struct flock *range,
                     struct stoa_file_lock_blocker *ret_blocker)
{
	struct stoa_file_lock_blocker blocker = {
		.range = { .start = (uint64_t)range->l_start,
		           .length = (uint64_t)range->l_len,
		           .mode = range->l_type == F_RDLCK ?
		                           STOA_RANGE_SHARED :
		                           STOA_RANGE_EXCLUSIVE },
		.kind = range->l_pid == -1 ? STOA_FILE_LOCK_RANGE :
		                             STOA_FILE_LOCK_PROCESS,
	};

	name(&blocker, range->l_pid == -1 ? find_owner(lock, range) :
	                                    range->l_pid);
	*ret_blocker = blocker;
}

int stoa_file_lock_test_range(struct stoa_file_lock *lock,
                              const struct stoa_range *range,
                              struct stoa_file_lock_blocker *ret_blocker)
{
	struct flock asked;
	long result = stoa_file_lock_range(range, false, &asked);

	if (result < 0)
		return (int)result;
	result = stoa_system_call(SYS_fcntl, lock->fd, F_OFD_GETLK,
	                          (long)&asked, 0, 0, 0);
	if (result < 0)
		return stoa_fail((int)result, "%s can't be asked for locks: %s",
		                 stoa_file_lock_name(lock),
		                 strerrordesc_np(-(int)result));
	if (asked.l_type == F_UNLCK)
		return 0;
	if (ret_blocker)
		describe(lock, &asked, ret_blocker);
	return 1;
}
