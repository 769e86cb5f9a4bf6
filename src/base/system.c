/* SPDX-License-Identifier: MIT */
/* base/system.c: the one door to the kernel. */
#include <base/system.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define KEPT_FROM 512 /* half of what a process has by default */

#ifdef STOA_TESTING
long (*stoa_system_hook)(long, const long[6], int *);

static long injected(long number, const long argument[6], int *ret_handled)
{
	return stoa_system_hook ?
	               stoa_system_hook(number, argument, ret_handled) :
	               0;
}
#else
static long injected(long number, const long argument[6], int *ret_handled)
{
	(void)number, (void)argument, (void)ret_handled;
	return 0;
}
#endif

long stoa_system_call(long number, long a, long b, long c, long d, long e,
                      long f)
{
	const long argument[6] = { a, b, c, d, e, f };
	int handled = 0;
	long result = injected(number, argument, &handled);

	if (handled)
		return result;

	int kept = errno;
	result = syscall(number, a, b, c, d, e, f);
	if (result < 0) {
		result = -errno;
		errno = kept;
	}
	return result;
}

int stoa_sys_openat(int directory, const char *path, int flags, mode_t mode)
{
	return (int)stoa_system_call(SYS_openat, directory, (long)path,
	                             flags | O_CLOEXEC, (long)mode, 0, 0);
}

int stoa_sys_close(int fd)
{
	return (int)stoa_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

void stoa_sys_close_inode(int fd, uint64_t inode)
{
	struct stat stat;

	int result = stoa_sys_fstat(fd, &stat);

	if (result == -EBADF || (result == 0 && stat.st_ino != inode))
		return;
	stoa_sys_close(fd);
}

/* The kernel's struct stat is libc's on 64-bit machines, the only ones here. */
int stoa_sys_fstat(int fd, struct stat *ret_stat)
{
	return (int)stoa_system_call(SYS_fstat, fd, (long)ret_stat, 0, 0, 0, 0);
}

int stoa_sys_keep(int fd)
{
	long high = fd < 0 || fd >= KEPT_FROM ?
	                    -EINVAL :
	                    stoa_system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
	                                     KEPT_FROM, 0, 0, 0);

	if (high < 0)
		return fd;
	stoa_sys_close(fd);
	return (int)high;
}

int stoa_sys_fstatat(int directory, const char *path, struct stat *ret_stat,
                     int flags)
{
	return (int)stoa_system_call(SYS_newfstatat, directory, (long)path,
	                             (long)ret_stat, flags, 0, 0);
}

/* The kernel raises SIGXFSZ, which kills whoever has no handler for it, where a
 * file would grow over RLIMIT_FSIZE; one in memory, too. */
static int check_limit(int fd, off_t end)
{
	struct rlimit64 limit;
	struct stat stat;

	if (stoa_system_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0,
	                     0) < 0 ||
	    (uint64_t)end <= limit.rlim_cur)
		return 0;
	return stoa_sys_fstat(fd, &stat) == 0 && stat.st_size >= end ? 0
	                                                            : -EFBIG;
}

int stoa_sys_fallocate(int fd, off_t offset, off_t length)
{
	long result = check_limit(fd, offset + length);

	if (result < 0)
		return (int)result;
	do
		result = stoa_system_call(SYS_fallocate, fd, 0, offset, length,
		                          0, 0);
	while (result == -EINTR);
	return (int)result;
}

int stoa_sys_ftruncate(int fd, off_t length)
{
	int result = check_limit(fd, length);

	return result < 0 ? result
	                  : (int)stoa_system_call(SYS_ftruncate, fd, length, 0,
	                                          0, 0, 0);
}

int stoa_sys_punch(int fd, off_t offset, off_t length)
{
	return (int)stoa_system_call(
	        SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	        offset, length, 0, 0);
}

int stoa_sys_reopen(int fd, int flags)
{
	char path[sizeof "/proc/self/fd/" + 12];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return stoa_sys_openat(AT_FDCWD, path, flags, 0);
}

int stoa_sys_fchmod(int fd, mode_t mode)
{
	return (int)stoa_system_call(SYS_fchmod, fd, (long)mode, 0, 0, 0, 0);
}

int stoa_sys_publish(int fd, int directory, const char *path)
{
	char from[sizeof "/proc/self/fd/" + 12];
	/* Since Linux 6.10, of one's own files: no path to walk. */
	long result = stoa_system_call(SYS_linkat, fd, (long)"", directory,
	                               (long)path, AT_EMPTY_PATH, 0);

	if (result != -ENOENT)
		return (int)result;
	snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
	return (int)stoa_system_call(SYS_linkat, AT_FDCWD, (long)from,
	                             directory, (long)path, AT_SYMLINK_FOLLOW,
	                             0);
}

int stoa_sys_unlinkat(int directory, const char *path)
{
	return (int)stoa_system_call(SYS_unlinkat, directory, (long)path, 0, 0,
	                             0, 0);
}

ssize_t stoa_sys_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
	return stoa_system_call(SYS_pread64, fd, (long)buffer, (long)bytes,
	                        offset, 0, 0);
}

ssize_t stoa_sys_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return stoa_system_call(SYS_pwrite64, fd, (long)buffer, (long)bytes,
	                        offset, 0, 0);
}

ssize_t stoa_sys_read(int fd, void *buffer, size_t bytes)
{
	return stoa_system_call(SYS_read, fd, (long)buffer, (long)bytes, 0, 0,
	                        0);
}

ssize_t stoa_sys_write(int fd, const void *buffer, size_t bytes)
{
	return stoa_system_call(SYS_write, fd, (long)buffer, (long)bytes, 0, 0,
	                        0);
}

int stoa_sys_mmap(void *address, size_t bytes, int protection, int flags,
                  int fd, off_t offset, void **ret_address)
{
	long result = stoa_system_call(SYS_mmap, (long)address, (long)bytes,
	                               protection, flags, fd, offset);

	if (result < 0 && result > -4096)
		return (int)result;
	*ret_address = (void *)result;
	return 0;
}

int stoa_sys_munmap(void *address, size_t bytes)
{
	return (int)stoa_system_call(SYS_munmap, (long)address, (long)bytes, 0,
	                             0, 0, 0);
}

int stoa_sys_getpid(void)
{
	return (int)stoa_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

int stoa_sys_clone(int (*run)(void *context), void *stack, int flags,
                   void *context, int *ret_pidfd)
{
	const long argument[6] = { flags, (long)stack, (long)ret_pidfd, 0, 0, 0 };
	int handled = 0;
	long result = injected(SYS_clone, argument, &handled);

	if (!handled)
		result = stoa_system_clone(flags, stack, ret_pidfd, run,
		                           context);
	return (int)result;
}

int stoa_sys_getuid(void)
{
	return (int)stoa_system_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

int stoa_sys_barrier_register(void)
{
	return (int)stoa_system_call(
	        SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0,
	        0, 0, 0);
}

int stoa_sys_barrier(void)
{
	return (int)stoa_system_call(SYS_membarrier,
	                             MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0, 0,
	                             0, 0);
}

int stoa_sys_lock_byte(int fd, off_t offset, int type)
{
	struct flock lock = { .l_type = (short)type, .l_whence = SEEK_SET,
		              .l_start = offset, .l_len = 1 };

	return (int)stoa_system_call(SYS_fcntl, fd, F_OFD_SETLK, (long)&lock, 0,
	                             0, 0);
}

int stoa_sys_byte_locked(int fd, off_t offset)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
		              .l_start = offset, .l_len = 1 };
	long result = stoa_system_call(SYS_fcntl, fd, F_OFD_GETLK, (long)&lock,
	                               0, 0, 0);

	return result < 0 ? (int)result : lock.l_type != F_UNLCK;
}

int stoa_sys_find_lock(int fd, off_t start, off_t end, off_t *ret_start,
                       off_t *ret_end)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
		              .l_start = start, .l_len = end - start };
	long result = stoa_system_call(SYS_fcntl, fd, F_OFD_GETLK, (long)&lock,
	                               0, 0, 0);

	if (result < 0)
		return (int)result;
	if (lock.l_type == F_UNLCK)
		return 0;
	/* Length 0: to the end of all files. */
	int open_ended = lock.l_len == 0 || lock.l_len > end - lock.l_start;
	*ret_start = lock.l_start > start ? lock.l_start : start;
	*ret_end = open_ended ? end : lock.l_start + lock.l_len;
	return 1;
}
