/* SPDX-License-Identifier: MIT */
/*
 * kernel/fifo_open.c: making and opening FIFOs, and waiting for the other side.
 *
 * open(2) of a FIFO waits without a deadline, or with O_NONBLOCK not at all: then
 * a writer gets ENXIO. How to wait until a reader comes?
 *   inotify tells of opens once they have succeeded; but a reader's open doesn't
 *   succeed before a writer's: each would wait for the other.
 *   To open both ends for a moment lets a writer in; but it wakes every other
 *   writer that waits, who then finds nobody: his write is lost to EPIPE.
 *   So the kernel's own open waits, in a thread of the kernel's, by an io_uring:
 *   it is woken as any open is, and is taken back at the deadline as if by a
 *   signal. Nobody else can tell the difference.
 * Where there is no io_uring, a slice at a time: the open that doesn't wait, again.
 */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/ring.h>
#include <base/system.h>
#include <kernel/fifo_internal.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_SECOND INT64_C(1000000000)
#define PERMISSIONS 07777
#define LINK_MAX (sizeof "/proc/self/fd/" + 12)
#define KNOWN_FLAGS                                                          \
	(STOA_READ | STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE |             \
	 STOA_INTERRUPTIBLE | STOA_FIFO_STAYS)

/* ---- Waiting ----------------------------------------------------------------- */

int stoa_fifo_sleep(int fd, short events, unsigned flags,
                    struct stoa_deadline deadline)
{
	struct pollfd asked = { fd, events, 0 };

	for (;;) {
		int64_t left = stoa_deadline_left(deadline);

		/* A clock that may be set is looked at each slice. */
		if (deadline.clock == CLOCK_REALTIME && left > STOA_SLICE_NS)
			left = STOA_SLICE_NS;
		struct timespec timeout = { left / NS_PER_SECOND,
			                    left % NS_PER_SECOND };
		long result = stoa_system_call(
		        SYS_ppoll, (long)&asked, 1,
		        left == INT64_MAX ? 0 : (long)&timeout, 0, 0, 0);

		if (result > 0)
			return asked.revents;
		if (result == -EINTR && (flags & STOA_INTERRUPTIBLE))
			return -EINTR;
		if (result < 0 && result != -EINTR)
			return stoa_fail((int)result, "waiting for a FIFO: %s",
			                 strerrordesc_np((int)-result));
		if (result == 0 && stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
	}
}

/* tee(2) copies without taking, and like read(2) says EAGAIN if there are no
 * bytes but a writer, and 0 if there is neither. */
int stoa_fifo_has_writer(int fd)
{
	int ends[2];
	long result = stoa_system_call(SYS_pipe2, (long)ends, O_CLOEXEC, 0, 0,
	                               0, 0);

	if (result < 0)
		return (int)result;
	do
		result = stoa_system_call(SYS_tee, fd, ends[1], 1,
		                          SPLICE_F_NONBLOCK, 0, 0);
	while (result == -EINTR);
	stoa_sys_close(ends[0]);
	stoa_sys_close(ends[1]);
	if (result == -EAGAIN)
		return 1;
	return result < 0 ? (int)result : result > 0;
}

/* Sleeps for a slice, or less by the deadline. 0: look again. */
static int sleep_slice(int fd, short events, unsigned flags,
                       struct stoa_deadline deadline)
{
	int64_t left = stoa_deadline_left(deadline);

	if (left == 0)
		return stoa_deadline_result(deadline);
	int result = stoa_fifo_sleep(
	        fd, events, flags,
	        stoa_deadline_in(left < STOA_SLICE_NS ? left : STOA_SLICE_NS));
	return result == -ETIMEDOUT ? 0 : result;
}

static int reader_by_slices(int fd, unsigned flags,
                            struct stoa_deadline deadline)
{
	int opened = stoa_sys_reopen(fd, O_RDONLY | O_NONBLOCK);
	int result = 0;

	while (opened >= 0 && result == 0) {
		result = stoa_fifo_has_writer(opened);
		if (result == 0) /* > 0: bytes, or one came and went */
			result = sleep_slice(opened, POLLIN, flags, deadline);
	}
	if (opened >= 0 && result < 0) {
		stoa_sys_close(opened);
		return result;
	}
	return opened;
}

static int writer_by_slices(int fd, unsigned flags,
                            struct stoa_deadline deadline)
{
	for (;;) {
		int opened = stoa_sys_reopen(fd, O_WRONLY | O_NONBLOCK);

		if (opened != -ENXIO)
			return opened;
		/* No descriptor tells: it only sleeps. */
		int result = sleep_slice(-1, 0, flags, deadline);
		if (result < 0)
			return result;
	}
}

static int open_by_ring(struct stoa_ring *ring, int fd, int access,
                        unsigned flags, struct stoa_deadline deadline)
{
	char path[LINK_MAX];
	int interruptible = (flags & STOA_INTERRUPTIBLE) != 0;
	int result;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	do
		result = stoa_ring_open_path(ring, path, access, deadline,
		                             interruptible);
	while (result == -EINTR && !interruptible);
	return result;
}

int stoa_fifo_open_waiting(int fd, int access, unsigned flags,
                           struct stoa_deadline deadline)
{
	struct stoa_ring *ring;
	int result = stoa_ring_open(&ring);

	if (result == 0) {
		result = open_by_ring(ring, fd, access, flags, deadline);
		stoa_ring_close(ring);
		if (result != -EINVAL && result != -ENOSYS &&
		    result != -EPERM && result != -EAGAIN)
			return result;
	}
	return access == O_RDONLY ? reader_by_slices(fd, flags, deadline) :
	                            writer_by_slices(fd, flags, deadline);
}

/* ---- Making --------------------------------------------------------------------- */

/* The file at `path` as an O_PATH descriptor, if it is a FIFO. */
static int find(const char *path, int flags, struct stat *ret_stat)
{
	int fd = stoa_sys_openat(AT_FDCWD, path, O_PATH | flags, 0);

	if (fd < 0)
		return stoa_fail(fd, "%s: %s", path, strerrordesc_np(-fd));
	int result = stoa_sys_fstat(fd, ret_stat);
	if (result == 0 && !S_ISFIFO(ret_stat->st_mode))
		result = stoa_fail(-EPROTO,
		                   "%s is there and is no FIFO; take another "
		                   "path, or remove it",
		                   path);
	if (result < 0)
		stoa_sys_close(fd);
	return result < 0 ? result : fd;
}

/* Who may rename in the directory may have put another's there meanwhile. */
static bool may_be_ours(const struct stat *stat)
{
	long user = stoa_system_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);

	return stat->st_nlink == 1 && (long)stat->st_uid == user;
}

/* What the umask took away is given back to the file that we made, and to no
 * other that may have its name now: -EEXIST. */
static int set_mode(const char *path, mode_t mode)
{
	char link[LINK_MAX];
	struct stat stat;
	int fd = find(path, O_NOFOLLOW, &stat), result = 0;

	if (fd < 0)
		return fd == -EPROTO ? -EEXIST : fd;
	if (!may_be_ours(&stat)) {
		result = -EEXIST;
	} else if ((stat.st_mode & PERMISSIONS) != mode) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		result = (int)stoa_system_call(SYS_fchmodat, AT_FDCWD,
		                               (long)link, (long)mode, 0, 0, 0);
		if (result < 0)
			stoa_fail(result, "%s can't be given mode %o: %s", path,
			          (unsigned)mode, strerrordesc_np(-result));
	}
	stoa_sys_close(fd);
	return result;
}

static int make(const char *path, mode_t mode)
{
	int result;

	if (mode & ~(mode_t)PERMISSIONS)
		return stoa_fail(-EINVAL, "%o is no mode of a file",
		                 (unsigned)mode);
	result = (int)stoa_system_call(SYS_mknodat, AT_FDCWD, (long)path,
	                               (long)(S_IFIFO | mode), 0, 0, 0);
	if (result < 0)
		return result;
	result = set_mode(path, mode);
	if (result < 0 && result != -EEXIST)
		stoa_sys_unlinkat(AT_FDCWD, path);
	return result;
}

static int make_failed(const char *path, int error)
{
	struct stat stat;

	if (error == -EEXIST &&
	    stoa_sys_fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) == 0)
		return stoa_fail(error, "%s is there already%s", path,
		                 S_ISFIFO(stat.st_mode) ? "" :
		                                          ", and is no FIFO");
	return stoa_fail(error, "the FIFO %s can't be made: %s", path,
	                 strerrordesc_np(-error));
}

int stoa_fifo_create(const char *path, mode_t mode)
{
	int result = make(path, mode);

	return result < 0 && result != -EINVAL ? make_failed(path, result) :
	                                         result;
}

int stoa_fifo_unlink(const char *path)
{
	struct stat stat;
	int fd = find(path, O_NOFOLLOW, &stat);

	if (fd < 0)
		return fd;
	int result = stoa_sys_unlinkat(AT_FDCWD, path);
	stoa_sys_close(fd);
	return result < 0 ? stoa_fail(result, "%s can't be removed: %s", path,
	                              strerrordesc_np(-result)) :
	                    result;
}

/* ---- Opening ------------------------------------------------------------------- */

static int check_flags(unsigned flags)
{
	unsigned ends = flags & (STOA_READ | STOA_WRITE);

	if ((flags & ~KNOWN_FLAGS) || !ends || ends == (STOA_READ | STOA_WRITE))
		return stoa_fail(-EINVAL,
		                 "a FIFO is opened STOA_READ or STOA_WRITE, one "
		                 "of them, and with no unknown flags");
	if ((flags & STOA_FIFO_STAYS) && !(flags & STOA_READ))
		return stoa_fail(-EINVAL,
		                 "STOA_FIFO_STAYS is for readers of a FIFO");
	return 0;
}

static int open_failed(const char *path, const struct stat *stat, int error,
                       unsigned flags)
{
	const char *what = flags & STOA_READ ? "read" : "written";

	if (error == -EAGAIN || error == -ETIMEDOUT || error == -EINTR)
		return error;
	if (error == -EACCES)
		return stoa_fail(error,
		                 "the FIFO %s may not be %s by user %d: it is "
		                 "user %d's, with mode %03o",
		                 path, what, stoa_sys_getuid(),
		                 (int)stat->st_uid,
		                 (unsigned)stat->st_mode & PERMISSIONS);
	return stoa_fail(error, "the FIFO %s can't be %s: %s", path, what,
	                 strerrordesc_np(-error));
}

/* Without waiting first: that needs no ring. A reader would be there at once, so
 * it does only if it isn't to wait. */
static int open_end(int fd, unsigned flags, struct stoa_deadline deadline,
                    int *ret_met)
{
	int access = flags & STOA_READ ? O_RDONLY : O_WRONLY;
	int wait = deadline.kind != STOA_DEADLINE_NOW;
	int opened = -ENXIO;

	*ret_met = 0;
	if (access == O_WRONLY || !wait)
		opened = stoa_sys_reopen(fd, access | O_NONBLOCK);
	if (opened != -ENXIO)
		return opened;
	if (!wait)
		return -EAGAIN;
	opened = stoa_fifo_open_waiting(fd, access, flags, deadline);
	if (opened < 0)
		return opened;
	*ret_met = 1;
	long result = stoa_system_call(SYS_fcntl, opened, F_SETFL,
	                               access | O_NONBLOCK, 0, 0, 0);
	if (result < 0)
		stoa_sys_close(opened);
	return result < 0 ? (int)result : opened;
}

static int make_if_asked(const char *path, unsigned flags, mode_t mode)
{
	if (!(flags & STOA_CREATE))
		return 0;
	int result = make(path, mode);
	if (result == -EEXIST && !(flags & STOA_EXCLUSIVE))
		return 0;
	return result < 0 && result != -EINVAL ? make_failed(path, result) :
	                                         result;
}

int stoa_fifo_open(const char *path, unsigned flags, mode_t mode,
                   struct stoa_deadline deadline, struct stoa_fifo **ret_fifo)
{
	struct stoa_fifo *fifo;
	struct stat stat;
	int result = check_flags(flags);

	if (result == 0)
		result = make_if_asked(path, flags, mode);
	if (result < 0)
		return result;
	int fd = find(path, 0, &stat);
	if (fd < 0)
		return fd;
	fifo = malloc(sizeof *fifo);
	if (!fifo) {
		stoa_sys_close(fd);
		return stoa_fail(-ENOMEM, "no memory for the FIFO %s", path);
	}
	*fifo = (struct stoa_fifo){ .flags = flags, .epoll = -1 };
	fifo->fd = open_end(fd, flags, deadline, &fifo->met);
	stoa_sys_close(fd);
	if (fifo->fd < 0) {
		result = open_failed(path, &stat, fifo->fd, flags);
		free(fifo);
		return result;
	}
	*ret_fifo = fifo;
	return 0;
}

void stoa_fifo_close(struct stoa_fifo *fifo)
{
	if (!fifo)
		return;
	if (fifo->epoll >= 0)
		stoa_sys_close(fifo->epoll);
	stoa_sys_close(fifo->fd);
	free(fifo);
}
