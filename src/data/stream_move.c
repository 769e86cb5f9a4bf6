/* SPDX-License-Identifier: MIT */
/*
 * data/stream_move.c: between a stream and a descriptor, without a buffer in
 * between.
 *
 * Why by read and write, and not by splice or vmsplice. 64 KiB, in us, with what
 * it takes to fill or drain the far side (bench rows move/..., Linux 6.18):
 *
 *                     pipe   UNIX socket   file   /dev/null
 *   to     write      12.7       8.8       5.9       0.7
 *          spliced     3.1       6.4       7.0       2.2
 *   from   read       14.0      10.3       5.0
 *          spliced    15.5      12.8       8.4
 *
 * Into the stream nothing is saved: its memory is a file's, and the kernel copies
 * into a file whatever it is spliced from. Out of it nothing is saved where the
 * kernel copies anyway (a file) or looks at nothing (/dev/null).
 *
 * What is quicker, a pipe and a socket, isn't safe. They take the pages
 * themselves, and still have them when the call returns; the stream's next writer
 * would write over what the reader hasn't read. SPLICE_F_GIFT doesn't change
 * that: nobody copies on a write to shared memory. To wait until the pipe is
 * empty (FIONREAD) isn't enough either: whoever reads it by splice or tee has
 * moved the pages on, into another pipe or a socket, and so has a sender whose
 * segment may be sent again. Nothing tells when the last has gone. What is
 * provably safe is to give the pages up: to punch them out of the stream's file
 * after the vmsplice, so that nobody can write to them any more, and to reserve
 * new ones. That takes 63.7 us: five times the copy.
 */
#include <base/bug.h>
#include <base/error.h>
#include <data/stream_internal.h>

#include <poll.h>
#include <stdio.h>
#include <sys/uio.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

#define MOST_AT_ONCE UINT64_C(262144)
#define VAIN_MAX 3
#define LEAST_AT_ONCE UINT64_C(4096) /* what poll promises there is room for */

/* How a descriptor is read or written. */
struct mover {
	struct stoa_stream *stream;
	enum stream_side side; /* of the stream */
	int fd;
	int nowait; /* RWF_NOWAIT is understood */
	int vain;   /* so often in turn it would have blocked, after poll said
	               that it wouldn't */
	struct stoa_deadline deadline;
};

static int mover_init(struct mover *mover)
{
	struct stat stat;
	int result = stoa_sys_fstat(mover->fd, &stat);
	long flags = stoa_system_call(SYS_fcntl, mover->fd, F_GETFL, 0, 0, 0, 0);

	/* poll would wait for ever for what can't be */
	if (flags >= 0 && (flags & O_ACCMODE) ==
	                          (mover->side == SIDE_WRITE ? O_WRONLY :
	                                                       O_RDONLY))
		result = -EBADF;
	if (result < 0)
		return stoa_fail(result, "descriptor %d for stream %s: %s",
		                 mover->fd, mover->stream->object.name,
		                 strerror(-result));
	mover->nowait = S_ISFIFO(stat.st_mode) || S_ISSOCK(stat.st_mode);
	return 0;
}

static int poll_fd(struct mover *mover, int64_t ns)
{
	struct pollfd poll = { .fd = mover->fd,
		               .events = mover->side == SIDE_WRITE ? POLLIN :
		                                                     POLLOUT };
	struct timespec time = { ns / 1000000000, ns % 1000000000 };

	return (int)stoa_system_call(SYS_ppoll, (long)&poll, 1, (long)&time, 0,
	                             0, 0);
}

/* Waits until the descriptor is ready. Looks at the stream once a slice. */
static int64_t await_fd(struct mover *mover)
{
	struct stoa_stream *stream = mover->stream;

	for (;;) {
		int64_t left = stoa_deadline_left(mover->deadline);
		int result = poll_fd(mover, left < STOA_SLICE_NS ?
		                                    left :
		                                    STOA_SLICE_NS);

		if (result > 0)
			return 0;
		if (result == -EINTR &&
		    !(stream->object.flags & STOA_INTERRUPTIBLE))
			continue;
		if (result < 0)
			return result;
		result = stoa_object_health(&stream->object);
		if (result < 0)
			return result;
		if (mover->side == SIDE_WRITE &&
		    stream_gone(stream, SIDE_WRITE, stream_clock()))
			return -EPIPE;
		if (left <= STOA_SLICE_NS &&
		    stoa_deadline_left(mover->deadline) == 0)
			return stoa_deadline_result(mover->deadline);
	}
}

static ssize_t move_once(struct mover *mover, void *data, uint64_t bytes)
{
	struct iovec vector = { data, bytes };

	if (mover->nowait && mover->vain < VAIN_MAX) {
		ssize_t result = stoa_system_call(
		        mover->side == SIDE_WRITE ? SYS_preadv2 : SYS_pwritev2,
		        mover->fd, (long)&vector, 1, -1, -1, RWF_NOWAIT);
		if (result != -EOPNOTSUPP && result != -ENOSYS &&
		    result != -EINVAL)
			return result;
		mover->nowait = 0;
	}
	/* Not more than is sure not to block, where that is known. */
	if (mover->vain && bytes > LEAST_AT_ONCE)
		bytes = LEAST_AT_ONCE;
	return mover->side == SIDE_WRITE ?
	               stoa_sys_read(mover->fd, data, bytes) :
	               stoa_sys_write(mover->fd, data, bytes);
}

/* How much may be moved at once, of what is usable. */
static int64_t portion(struct mover *mover, int64_t usable, uint64_t most,
                       uint64_t position)
{
	if (mover->side == SIDE_READ)
		usable = stream_usable_slowly(mover->stream, SIDE_READ,
		                              position);
	if (usable > (int64_t)MOST_AT_ONCE)
		usable = (int64_t)MOST_AT_ONCE;
	return usable > 0 && (uint64_t)usable > most ? (int64_t)most : usable;
}

/* Moves once. 0: end of file. *ret_busy: the descriptor would have blocked. */
static int64_t move_some(struct mover *mover, uint64_t most, int *ret_busy)
{
	struct stoa_stream *stream = mover->stream;
	enum stream_side side = mover->side;
	struct stream_need need = { side, 1, LEAST_AT_ONCE, mover->deadline,
		                    1 };
	uint64_t position;
	int64_t usable = stream_enter(stream, &need, &position);

	if (usable <= 0)
		return usable;
	usable = portion(mover, usable, most, position);
	ssize_t moved = usable;
	if (STOA_BUG(side == SIDE_WRITE ? 36 : 37) && usable > 0)
		stream_advance(stream, side, position + (uint64_t)usable);
	if (usable > 0)
		moved = move_once(mover,
		                  stream_at(&stream->end[side].map, position),
		                  (uint64_t)usable);
	if (moved > usable)
		moved = -EIO; /* no kernel does */
	/* The kernel met the hole of a file that was cut: it raises no SIGBUS. */
	if (moved == -EFAULT)
		atomic_store(&stream->object.poisoned, 1);
	if (moved > 0) {
		stream_advance(stream, side, position + (uint64_t)moved);
		stream_account(stream, side, (uint64_t)moved, stream_clock());
	}
	stream_leave_turn(stream, side);
	if (moved > 0)
		stream_tell(stream, side);
	*ret_busy = moved == -EAGAIN;
	return moved;
}

static int64_t move(struct mover *mover, uint64_t bytes)
{
	unsigned flags = mover->stream->object.flags;
	/* A source is asked first, so that a turn isn't taken for nothing. */
	int ask = mover->side == SIDE_WRITE;
	uint64_t total = 0;
	int64_t result = 0;

	while (total < bytes) {
		int busy = 0;

		result = ask ? await_fd(mover) : 0;
		if (result == 0)
			result = move_some(mover, bytes - total, &busy);
		if (result > 0) {
			total += (uint64_t)result;
			mover->vain = 0;
			ask = mover->side == SIDE_WRITE;
		} else if (busy) {
			mover->vain += ask;
			ask = 1;
		} else if (result != -EINTR || (flags & STOA_INTERRUPTIBLE)) {
			break;
		}
	}
	return total > 0 ? (int64_t)total : result;
}

static int64_t move_checked(struct mover *mover, uint64_t bytes)
{
	int64_t result = stream_begin(mover->stream, mover->side);

	if (result == 0)
		result = mover_init(mover);
	if (result == 0 && bytes > 0)
		result = move(mover, bytes < INT64_MAX ? bytes : INT64_MAX);
	return stream_end_call(mover->stream, result);
}

int64_t stoa_stream_from_fd(struct stoa_stream *stream, int fd, uint64_t bytes,
                            struct stoa_deadline deadline)
{
	struct mover mover = { .stream = stream_writer(stream),
		               .side = SIDE_WRITE,
		               .fd = fd,
		               .deadline = deadline };

	return move_checked(&mover, bytes);
}

int64_t stoa_stream_to_fd(struct stoa_stream *stream, int fd, uint64_t bytes,
                          struct stoa_deadline deadline)
{
	struct mover mover = { .stream = stream,
		               .side = SIDE_READ,
		               .fd = fd,
		               .deadline = deadline };

	return move_checked(&mover, bytes);
}
