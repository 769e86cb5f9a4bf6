/* SPDX-License-Identifier: MIT */
/*
 * base/system.h: the one door to the kernel. Every system call of the library
 * goes through stoa_system_call(), so that tests can make the n-th one fail.
 * Results are those of the kernel: 0 or more, or -errno. errno is kept.
 */
#ifndef STOA_BASE_SYSTEM_H
#define STOA_BASE_SYSTEM_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

#ifdef STOA_TESTING
/* If it sets *ret_handled, its result stands for the kernel's. */
extern long (*stoa_system_hook)(long number, const long argument[6],
                                int *ret_handled);
#endif

long stoa_system_call(long number, long a, long b, long c, long d, long e,
                      long f);

int stoa_sys_openat(int directory, const char *path, int flags, mode_t mode);
int stoa_sys_close(int fd);
/* For a descriptor that will stay open: gives it a high number, if it can be,
 * as programs may count on the lowest for theirs (POSIX). Returns it, or what
 * isn't one as it is. */
int stoa_sys_keep(int fd);
/* Closes `fd` unless it is another file than it was. */
void stoa_sys_close_inode(int fd, uint64_t inode);
int stoa_sys_fstat(int fd, struct stat *ret_stat);
int stoa_sys_fstatat(int directory, const char *path, struct stat *ret_stat,
                     int flags);
/* -EFBIG over RLIMIT_FSIZE, and no SIGXFSZ. */
int stoa_sys_fallocate(int fd, off_t offset, off_t length);
int stoa_sys_ftruncate(int fd, off_t length);
/* Gives memory back: the bytes read as zeros. `length` may go beyond. */
int stoa_sys_punch(int fd, off_t offset, off_t length);
/* The file that `fd` is, opened once more. */
int stoa_sys_reopen(int fd, int flags);
int stoa_sys_fchmod(int fd, mode_t mode);
/* Gives the unnamed file `fd` the name `path`; -EEXIST if that is taken. */
int stoa_sys_publish(int fd, int directory, const char *path);
int stoa_sys_unlinkat(int directory, const char *path);
ssize_t stoa_sys_pread(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t stoa_sys_pwrite(int fd, const void *buffer, size_t bytes,
                        off_t offset);
ssize_t stoa_sys_read(int fd, void *buffer, size_t bytes);
ssize_t stoa_sys_write(int fd, const void *buffer, size_t bytes);
/* MAP_FAILED never comes back: 0 and *ret_address, or -errno. */
int stoa_sys_mmap(void *address, size_t bytes, int protection, int flags,
                  int fd, off_t offset, void **ret_address);
int stoa_sys_munmap(void *address, size_t bytes);
int stoa_sys_getpid(void);
/* A child that calls run(context) on the stack that ends (begins, downward) at
 * `stack`; `flags` have CLONE_PIDFD. Its process id, or -errno. */
int stoa_sys_clone(int (*run)(void *context), void *stack, int flags,
                   void *context, int *ret_pidfd);
/* The call itself. */
long stoa_system_clone(long flags, void *stack, int *ret_pidfd,
                       int (*run)(void *context), void *context);
int stoa_sys_getuid(void);

/*
 * Makes every thread that runs now, in processes that have registered, pass a
 * full memory barrier before this returns; whoever doesn't run has passed one.
 * So one side of a protocol may do without. 0 or -errno: not to be had here.
 */
int stoa_sys_barrier_register(void);
int stoa_sys_barrier(void);

/* Open-file-description lock on one byte. `type` is F_WRLCK, F_RDLCK (shared)
 * or F_UNLCK. */
int stoa_sys_lock_byte(int fd, off_t offset, int type);
/* 1: somebody else's description holds a lock on the byte; 0: nobody. */
int stoa_sys_byte_locked(int fd, off_t offset);
/* 1: a lock of somebody else's description on bytes of [start, end), cut to
 * these, whichever the kernel finds first; 0: there is none. */
int stoa_sys_find_lock(int fd, off_t start, off_t end, off_t *ret_start,
                       off_t *ret_end);

static inline int64_t stoa_sys_clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
