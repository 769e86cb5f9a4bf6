/* SPDX-License-Identifier: MIT */
/* file_lock.c: locks on real files: handles, and asking the kernel. */
#include "file_lock_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statfs.h>

#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>

#define OFFSETS (UINT64_C(1) << 63) /* of a file: below this */

const char *stoa_file_lock_name(const struct stoa_file_lock *lock)
{
	return lock->adopted ? "the descriptor" : lock->path;
}

/* ---- Lifecycle ---------------------------------------------------------------- */

static int make(const char *path, int fd, unsigned flags,
                struct stoa_file_lock **ret_lock)
{
	size_t bytes = strlen(path) + 1;
	struct stoa_file_lock *lock = malloc(sizeof(*lock) + bytes);

	if (!lock)
		return stoa_fail(-ENOMEM, "no memory for a file lock's handle");
	lock->fd = fd;
	lock->whole = 0;
	lock->adopted = path[0] == '\0';
	lock->interruptible = flags & STOA_INTERRUPTIBLE;
	memcpy(lock->path, path, bytes);
	*ret_lock = lock;
	return 0;
}

/* O_NONBLOCK: a FIFO isn't waited for. Where a lease is to be broken first, that
 * gives -EAGAIN, and only regular files have leases. */
static int open_file(const char *path, unsigned flags, mode_t mode)
{
	int access = !(flags & STOA_WRITE) ? O_RDONLY :
	             flags & STOA_READ     ? O_RDWR :
	                                     O_WRONLY;
	int how = access | O_NOCTTY | (flags & STOA_CREATE ? O_CREAT : 0) |
	          (flags & STOA_EXCLUSIVE ? O_EXCL : 0);
	int fd = stoa_sys_openat(AT_FDCWD, path, how | O_NONBLOCK, mode);

	while (fd == -EINTR || fd == -EAGAIN)
		fd = stoa_sys_openat(AT_FDCWD, path, how, mode);
	return fd;
}

int stoa_file_lock_open(const char *path, unsigned flags, mode_t mode,
                        struct stoa_file_lock **ret_lock)
{
	const unsigned known = STOA_READ | STOA_WRITE | STOA_CREATE |
	                       STOA_EXCLUSIVE | STOA_INTERRUPTIBLE;
	int fd, result;

	if (!path || !path[0] || flags & ~known ||
	    !(flags & (STOA_READ | STOA_WRITE)) ||
	    (flags & STOA_EXCLUSIVE && !(flags & STOA_CREATE)))
		return stoa_fail(-EINVAL,
		                 "a file lock is opened by a path and with "
		                 "STOA_READ, STOA_WRITE or both, STOA_EXCLUSIVE "
		                 "with STOA_CREATE only");
	fd = open_file(path, flags, mode);
	if (fd < 0)
		return stoa_fail(fd, "%s can't be opened for locking: %s%s", path,
		                 strerrordesc_np(-fd),
		                 fd == -EISDIR ? "; open it STOA_READ" : "");
	result = make(path, fd, flags, ret_lock);
	if (result < 0)
		stoa_sys_close(fd);
	return result;
}

int stoa_file_lock_adopt(int fd, unsigned flags,
                         struct stoa_file_lock **ret_lock)
{
	struct stat stat;
	int result;

	if (flags & ~STOA_INTERRUPTIBLE)
		return stoa_fail(-EINVAL,
		                 "a descriptor is adopted with STOA_INTERRUPTIBLE "
		                 "or no flags");
	result = stoa_sys_fstat(fd, &stat);
	if (result < 0)
		return stoa_fail(result, "descriptor %d can't be locked: %s", fd,
		                 strerrordesc_np(-result));
	return make("", fd, flags, ret_lock);
}

void stoa_file_lock_close(struct stoa_file_lock *lock)
{
	if (!lock)
		return;
	if (!lock->adopted)
		stoa_sys_close(lock->fd);
	free(lock);
}

int stoa_file_lock_fd(const struct stoa_file_lock *lock)
{
	return lock->fd;
}

/* ---- Asking ----------------------------------------------------------------------- */

int stoa_file_lock_ask(const struct stoa_file_request *request)
{
	long result;

	do
		result = request->operation ?
		                 stoa_system_call(SYS_flock, request->fd,
		                                  request->operation | LOCK_NB,
		                                  0, 0, 0, 0) :
		                 stoa_system_call(SYS_fcntl, request->fd,
		                                  F_OFD_SETLK,
		                                  (long)&request->range, 0, 0,
		                                  0);
	while (result == -EINTR);
	/* As POSIX allows, and some network file systems do. */
	return result == -EACCES ? -EAGAIN : (int)result;
}

static int explain_access(const char *name,
                          const struct stoa_file_request *request)
{
	if (request->operation)
		return stoa_fail(-EBADF,
		                 "%s lies where an exclusive lock needs a "
		                 "descriptor that is open for writing: open it "
		                 "with STOA_WRITE", name);
	if (request->range.l_type == F_WRLCK)
		return stoa_fail(-EBADF,
		                 "%s is open for reading only, and an exclusive "
		                 "lock of a range needs writing: open it with "
		                 "STOA_WRITE, or lock shared, or the whole", name);
	return stoa_fail(-EBADF,
	                 "%s is open for writing only, and a shared lock of a "
	                 "range needs reading: open it with STOA_READ, or lock "
	                 "the whole", name);
}

static int explain(const struct stoa_file_lock *lock,
                   const struct stoa_file_request *request, int error)
{
	const char *name = stoa_file_lock_name(lock);

	switch (error) {
	case -EAGAIN:
	case -ETIMEDOUT:
	case -EINTR:
	case -EUSERS: /* told by the wait */
		return error;
	case -EBADF:
		return explain_access(name, request);
	case -ENOLCK:
		return stoa_fail(error,
		                 "%s can't be locked: the kernel, or the file's "
		                 "server, has no more locks", name);
	default:
		return stoa_fail(error, "%s can't be locked: %s", name,
		                 strerrordesc_np(-error));
	}
}

/* The first question is the only one if the lock is free. */
static int obtain(struct stoa_file_lock *lock,
                  const struct stoa_file_request *request,
                  struct stoa_deadline deadline)
{
	int result = stoa_file_lock_ask(request);

	if (result == 0)
		return 0;
	if (result == -EAGAIN && deadline.kind != STOA_DEADLINE_NOW)
		result = stoa_file_lock_wait(request, deadline,
		                             lock->interruptible);
	return result == 0 ? 0 : explain(lock, request, result);
}

/* ---- The whole --------------------------------------------------------------------- */

int stoa_file_lock_lock(struct stoa_file_lock *lock, uint32_t mode,
                        struct stoa_deadline deadline)
{
	struct stoa_file_request request = {
		.fd = lock->fd,
		.operation = mode == STOA_RANGE_SHARED ? LOCK_SH : LOCK_EX,
	};
	uint32_t had = lock->whole;
	int result;

	if (mode != STOA_RANGE_SHARED && mode != STOA_RANGE_EXCLUSIVE)
		return stoa_fail(-EINVAL,
		                 "a file lock's mode is STOA_RANGE_SHARED or "
		                 "STOA_RANGE_EXCLUSIVE");
	result = obtain(lock, &request, deadline);
	/* flock(2) drops what it had before it asks for the other mode. */
	if (result == 0)
		lock->whole = mode;
	else if (had != mode)
		lock->whole = 0;
	if (result < 0)
		return result;
	return had != 0 && had != mode && !STOA_BUG(128);
}

int stoa_file_lock_unlock(struct stoa_file_lock *lock)
{
	long result;

	do
		result = stoa_system_call(SYS_flock, lock->fd, LOCK_UN, 0, 0, 0,
		                          0);
	while (result == -EINTR);
	if (result < 0)
		return stoa_fail((int)result, "%s can't be unlocked: %s",
		                 stoa_file_lock_name(lock),
		                 strerrordesc_np(-(int)result));
	if (!STOA_BUG(129))
		lock->whole = 0;
	return 0;
}

/* ---- Ranges ------------------------------------------------------------------------- */

int stoa_file_lock_range(const struct stoa_range *range, bool unlock,
                         struct flock *ret_range)
{
	static const struct stoa_range all = { .mode = STOA_RANGE_EXCLUSIVE };
	struct flock made = { .l_whence = SEEK_SET };

	if (!range)
		range = &all;
	if (range->start >= OFFSETS || range->length > OFFSETS ||
	    range->start + range->length > OFFSETS || range->reserved)
		return stoa_fail(-EINVAL,
		                 "bytes of a file are numbered below 2^63; this "
		                 "range has %llu from %llu",
		                 (unsigned long long)range->length,
		                 (unsigned long long)range->start);
	if (!unlock && range->mode != STOA_RANGE_SHARED &&
	    range->mode != STOA_RANGE_EXCLUSIVE)
		return stoa_fail(-EINVAL,
		                 "the mode of a file's range is STOA_RANGE_SHARED "
		                 "or STOA_RANGE_EXCLUSIVE");
	made.l_start = (off_t)range->start;
	/* Up to the last byte that can be is up to the end. */
	made.l_len = range->start + range->length == OFFSETS ?
	                     0 :
	                     (off_t)range->length;
	made.l_type = unlock                             ? F_UNLCK :
	              range->mode == STOA_RANGE_SHARED ? F_RDLCK :
	                                                   F_WRLCK;
	*ret_range = made;
	return 0;
}

int stoa_file_lock_lock_range(struct stoa_file_lock *lock,
                              const struct stoa_range *range,
                              struct stoa_deadline deadline)
{
	struct stoa_file_request request = { .fd = lock->fd };
	int result = stoa_file_lock_range(range, false, &request.range);

	return result < 0 ? result : obtain(lock, &request, deadline);
}

int stoa_file_lock_unlock_range(struct stoa_file_lock *lock,
                                const struct stoa_range *range)
{
	struct stoa_file_request request = { .fd = lock->fd };
	int result = stoa_file_lock_range(range, true, &request.range);

	if (result < 0)
		return result;
	result = stoa_file_lock_ask(&request);
	if (result == 0)
		return 0;
	return stoa_fail(result, "a range of %s can't be unlocked: %s",
	                 stoa_file_lock_name(lock), strerrordesc_np(-result));
}

/* ---- Inspect ------------------------------------------------------------------------- */

/* Where locks are a matter of a server, or of who knows whom. */
static bool is_remote(long type)
{
	static const uint32_t types[] = {
		0x00006969, /* NFS */     0xff534d42, /* CIFS */
		0xfe534d42, /* SMB2 */    0x0000517b, /* SMB */
		0x65735546, /* FUSE */    0x01021997, /* 9P */
		0x00c36400, /* Ceph */    0x5346414f, /* AFS */
		0x6b414653, /* kAFS */    0x0bd00bd0, /* Lustre */
		0x01161970, /* GFS2 */    0x7461636f, /* OCFS2 */
		0x47504653, /* GPFS */    0x0000564c, /* NCP */
		0x73757245, /* Coda */    0x19830326, /* BeeGFS */
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i] == (uint32_t)type)
			return true;
	return false;
}

static int find_current(const struct stoa_file_lock *lock,
                        const struct stat *stat, int32_t *ret_current)
{
	struct stat there;
	int result;

	*ret_current = lock->adopted ? -1 : 0;
	if (lock->adopted)
		return 0;
	result = stoa_sys_fstatat(AT_FDCWD, lock->path, &there, 0);
	if (result == -ENOENT || result == -ENOTDIR)
		return 0;
	if (result == 0)
		*ret_current = there.st_dev == stat->st_dev &&
		               there.st_ino == stat->st_ino;
	return result;
}

int stoa_file_lock_stat(struct stoa_file_lock *lock,
                        struct stoa_file_lock_status *ret_status)
{
	struct stoa_file_lock_status status = { .size = sizeof(status) };
	struct statfs system;
	struct stat stat;
	int result;

	if (ret_status->size != sizeof(status))
		return stoa_fail(-EINVAL,
		                 "stoa_file_lock_status.size isn't its size");
	result = stoa_sys_fstat(lock->fd, &stat);
	if (result == 0)
		result = (int)stoa_system_call(SYS_fstatfs, lock->fd,
		                               (long)&system, 0, 0, 0, 0);
	if (result == 0)
		result = find_current(lock, &stat, &status.current);
	if (result < 0)
		return stoa_fail(result, "%s can't be looked at: %s",
		                 stoa_file_lock_name(lock),
		                 strerrordesc_np(-result));
	status.whole = lock->whole;
	status.remote = is_remote(system.f_type);
	status.device = stat.st_dev;
	status.inode = stat.st_ino;
	*ret_status = status;
	return 0;
}
