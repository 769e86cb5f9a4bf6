/* SPDX-License-Identifier: MIT */
/* kernel/fifo.c: reading and writing a FIFO, and waiting for it. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/fifo_internal.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>

#define NO_SIGNAL 0x100 /* RWF_NOSIGNAL: Linux 6.18 */
#define SIGPIPE_BIT (UINT64_C(1) << (SIGPIPE - 1))
#define AT_POSITION (-1L)
#define NANOSECONDS_NONE 0

static int check_end(const struct stoa_fifo *fifo, unsigned end)
{
	if (fifo->flags & end)
		return 0;
	return stoa_fail(-EBADF, "this FIFO was opened to %s",
	                 end == STOA_READ ? "write, not to read" :
	                                    "read, not to write");
}

/* ---- Write ------------------------------------------------------------------------ */

/*
 * For kernels that know no writes without SIGPIPE. The signal is this thread's
 * alone, so it is enough that this thread blocks it, and takes it if it wasn't
 * there before. Handlers and other threads see nothing.
 */
static ssize_t write_blocking_signal(int fd, const void *data, size_t bytes)
{
	uint64_t set = SIGPIPE_BIT, before = 0, pending = 0;
	struct timespec now = { 0, NANOSECONDS_NONE };

	stoa_system_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set,
	                 (long)&before, sizeof set, 0, 0);
	stoa_system_call(SYS_rt_sigpending, (long)&pending, sizeof pending, 0,
	                 0, 0, 0);
	ssize_t result = stoa_sys_write(fd, data, bytes);
	if (result == -EPIPE && !(pending & SIGPIPE_BIT))
		while (stoa_system_call(SYS_rt_sigtimedwait, (long)&set, 0,
		                        (long)&now, sizeof set, 0,
		                        0) == -EINTR)
			;
	stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0,
	                 sizeof set, 0, 0);
	return result;
}

static ssize_t write_some(struct stoa_fifo *fifo, const void *data,
                          size_t bytes)
{
	struct iovec piece = { (void *)(uintptr_t)data, bytes };

	if (STOA_BUG(130))
		return stoa_sys_write(fifo->fd, data, bytes);
	if (!fifo->signals) {
		long result = stoa_system_call(SYS_pwritev2, fifo->fd,
		                               (long)&piece, 1, AT_POSITION, 0,
		                               NO_SIGNAL);

		if (result != -EOPNOTSUPP && result != -EINVAL &&
		    result != -ENOSYS)
			return result;
		fifo->signals = 1;
	}
	return write_blocking_signal(fifo->fd, data, bytes);
}

ssize_t stoa_fifo_write(struct stoa_fifo *fifo, const void *data, size_t bytes,
                        struct stoa_deadline deadline)
{
	size_t done = 0;
	ssize_t result = check_end(fifo, STOA_WRITE);

	while (result >= 0 && done < bytes) {
		/* Up to PIPE_BUF: all of it, or EAGAIN. */
		result = write_some(fifo, (const char *)data + done,
		                    bytes - done);
		if (result > 0)
			done += (size_t)result;
		else if (result == -EAGAIN)
			result = stoa_fifo_sleep(fifo->fd, POLLOUT, fifo->flags,
			                         deadline);
		else if (result == -EINTR &&
		         !(fifo->flags & STOA_INTERRUPTIBLE))
			result = 0;
	}
	if (done)
		return (ssize_t)done;
	if (result == -EPIPE)
		return stoa_fail(-EPIPE, "nobody reads the FIFO");
	return result < 0 ? result : 0;
}

int stoa_fifo_await(struct stoa_fifo *fifo, struct stoa_deadline deadline)
{
	int result = check_end(fifo, STOA_WRITE);

	if (result < 0)
		return result;
	/* POLLERR: no reader. */
	result = stoa_fifo_sleep(fifo->fd, 0, fifo->flags, STOA_NOW);
	if (result == -EAGAIN)
		return 0;
	if (result < 0)
		return result;
	if (deadline.kind == STOA_DEADLINE_NOW)
		return -EAGAIN;
	/* An open that waits is woken by the reader; it has done its duty then. */
	result = stoa_fifo_open_waiting(fifo->fd, O_WRONLY, fifo->flags,
	                                deadline);
	if (result < 0) {
		if (result != -ETIMEDOUT && result != -EINTR)
			stoa_fail(result, "waiting for a reader of a FIFO: %s",
			          strerrordesc_np(-result));
		return result;
	}
	stoa_sys_close(result);
	return 0;
}

/* ---- Read ------------------------------------------------------------------------- */

static int add_to_epoll(const struct stoa_fifo *fifo)
{
	struct epoll_event event = {
		.events = fifo->flags & STOA_READ ? EPOLLIN : EPOLLOUT
	};

	return (int)stoa_system_call(SYS_epoll_ctl, fifo->epoll, EPOLL_CTL_ADD,
	                             fifo->fd, (long)&event, 0, 0);
}

/*
 * Opens anew, for the next writer. The new description is there before the old
 * one goes, so that writers meanwhile don't find the FIFO without a reader. The
 * number stays; epoll forgets the old description with it.
 */
static int begin_anew(struct stoa_fifo *fifo)
{
	if (STOA_BUG(131))
		return 0;
	int fd = stoa_sys_reopen(fifo->fd, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return stoa_fail(fd, "the FIFO can't be opened again: %s",
		                 strerrordesc_np(-fd));
	int result = (int)stoa_system_call(SYS_dup3, fd, fifo->fd, O_CLOEXEC, 0,
	                                   0, 0);
	stoa_sys_close(fd);
	if (result < 0)
		return stoa_fail(result, "the FIFO can't be opened again: %s",
		                 strerrordesc_np(-result));
	fifo->met = 0;
	if (fifo->epoll >= 0)
		result = add_to_epoll(fifo);
	return result < 0 ? stoa_fail(result, "the FIFO can't be polled: %s",
	                              strerrordesc_np(-result)) :
	                    0;
}

/* 0: end of file. -EAGAIN: nothing yet. */
static ssize_t read_some(struct stoa_fifo *fifo, void *buffer, size_t bytes)
{
	if (!fifo->met) {
		int seen = stoa_fifo_sleep(fifo->fd, POLLIN, 0, STOA_NOW);

		if (seen < 0)
			return seen;
		fifo->met = 1;
	}
	return stoa_sys_read(fifo->fd, buffer, bytes);
}

ssize_t stoa_fifo_read(struct stoa_fifo *fifo, void *buffer, size_t bytes,
                       struct stoa_deadline deadline)
{
	ssize_t result = check_end(fifo, STOA_READ);

	if (result < 0 || !bytes)
		return result;
	for (;;) {
		result = read_some(fifo, buffer, bytes);
		if (result > 0)
			return result;
		if (result == 0) {
			int anew = begin_anew(fifo);

			/* The end was reached, whatever comes next. */
			if (!(fifo->flags & STOA_FIFO_STAYS))
				return 0;
			if (anew < 0)
				return anew;
		}
		if (result == -EINTR && (fifo->flags & STOA_INTERRUPTIBLE))
			return -EINTR;
		if (result < 0 && result != -EAGAIN && result != -EINTR)
			return stoa_fail((int)result, "reading a FIFO: %s",
			                 strerrordesc_np((int)-result));
		if (result == -EAGAIN)
			result = stoa_fifo_sleep(fifo->fd, POLLIN, fifo->flags,
			                         deadline);
		if (result < 0 && result != -EINTR)
			return result;
		if (result == -EINTR && (fifo->flags & STOA_INTERRUPTIBLE))
			return -EINTR;
	}
}

/* ---- Poll, shape, inspect ------------------------------------------------------------ */

int stoa_fifo_pollfd(struct stoa_fifo *fifo)
{
	if (fifo->epoll >= 0)
		return fifo->epoll;
	fifo->epoll = (int)stoa_system_call(SYS_epoll_create1, EPOLL_CLOEXEC, 0,
	                                    0, 0, 0, 0);
	int result = fifo->epoll < 0 ? fifo->epoll : add_to_epoll(fifo);
	if (result < 0) {
		if (fifo->epoll >= 0)
			stoa_sys_close(fifo->epoll);
		fifo->epoll = -1;
		return stoa_fail(result, "the FIFO can't be polled: %s",
		                 strerrordesc_np(-result));
	}
	return fifo->epoll;
}

int64_t stoa_fifo_resize(struct stoa_fifo *fifo, uint64_t capacity)
{
	if (!capacity || capacity > INT32_MAX)
		return stoa_fail(-EINVAL,
		                 "the capacity of a FIFO is 1 byte to 2 GiB");
	long result = stoa_system_call(SYS_fcntl, fifo->fd, F_SETPIPE_SZ,
	                               (long)capacity, 0, 0, 0);
	if (result == -EPERM)
		return stoa_fail(-EPERM,
		                 "a FIFO may not have %llu bytes: "
		                 "/proc/sys/fs/pipe-max-size is the limit",
		                 (unsigned long long)capacity);
	if (result == -EBUSY)
		return stoa_fail(-EBUSY,
		                 "what is in the FIFO doesn't fit %llu bytes",
		                 (unsigned long long)capacity);
	return result < 0 ? stoa_fail((int)result,
	                              "the FIFO can't be resized: %s",
	                              strerrordesc_np((int)-result)) :
	                    result;
}

static int has_other(const struct stoa_fifo *fifo)
{
	int seen = stoa_fifo_sleep(fifo->fd,
	                           fifo->flags & STOA_READ ? POLLIN : 0, 0,
	                           STOA_NOW);

	if (fifo->flags & STOA_WRITE)
		return seen == -EAGAIN ? 1 : seen < 0 ? seen : 0;
	if (seen > 0)
		return !(seen & POLLHUP);
	if (seen < 0 && seen != -EAGAIN)
		return seen;
	return stoa_fifo_has_writer(fifo->fd);
}

int stoa_fifo_stat(struct stoa_fifo *fifo, struct stoa_fifo_status *ret_status)
{
	struct stoa_fifo_status status = { .size = sizeof status };
	struct stat stat;
	int bytes = 0;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL, "a status's size is %zu, not %u",
		                 sizeof status, ret_status->size);
	int result = stoa_sys_fstat(fifo->fd, &stat);
	if (result == 0)
		result = (int)stoa_system_call(SYS_ioctl, fifo->fd, FIONREAD,
		                               (long)&bytes, 0, 0, 0);
	long capacity = result < 0 ? result :
	                             stoa_system_call(SYS_fcntl, fifo->fd,
	                                              F_GETPIPE_SZ, 0, 0, 0, 0);
	status.has_other = capacity < 0 ? (int)capacity : has_other(fifo);
	if (status.has_other < 0)
		return stoa_fail(status.has_other,
		                 "the FIFO can't be looked at: %s",
		                 strerrordesc_np(-status.has_other));
	status.bytes = (uint64_t)bytes;
	status.capacity = (uint64_t)capacity;
	status.inode = stat.st_ino;
	status.device = stat.st_dev;
	status.mode = stat.st_mode & 07777;
	status.uid = stat.st_uid;
	status.gid = stat.st_gid;
	*ret_status = status;
	return 0;
}
