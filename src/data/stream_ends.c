/* SPDX-License-Identifier: MIT */
/* data/stream_ends.c: who has which end of a stream. See ENDS in
 * stream_layout.h. */
#include <base/error.h>
#include <data/stream_internal.h>

static void tell_change(struct stoa_stream *stream)
{
	/* release: whoever sees the count asks the kernel after the change */
	atomic_fetch_add_explicit(&stream->control->ends_changed, 1,
	                          memory_order_seq_cst);
	stoa_event_broadcast(&stream->object);
}

int stream_take_end(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	struct stoa_object *object = &stream->object;
	int fd = stoa_sys_reopen(object->fd, O_RDWR);
	int result = fd;

	if (fd >= 0)
		result = stoa_sys_lock_byte(fd, STREAM_END + side, F_RDLCK);
	if (result < 0) {
		if (fd >= 0)
			stoa_sys_close(fd);
		return stoa_fail(result, "can't take an end of stream %s: %s",
		                 object->name, strerror(-result));
	}
	end->inode = object->inode;
	end->opened_before = atomic_load(
	        &stream->control->opened[stream_other(side)]);
	atomic_store_explicit(&end->fd, fd, memory_order_relaxed);
	atomic_fetch_or_explicit(&stream->ends, stream_direction(side),
	                         memory_order_relaxed);
	atomic_fetch_add(&stream->control->opened[side], 1);
	tell_change(stream);
	return 0;
}

void stream_drop_end(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	int fd = atomic_exchange_explicit(&end->fd, -1, memory_order_relaxed);

	if (fd < 0)
		return;
	atomic_fetch_and_explicit(&stream->ends, ~stream_direction(side),
	                          memory_order_relaxed);
	stoa_sys_close_inode(fd, end->inode);
	tell_change(stream);
}

/* A descriptor to ask with. A program may have closed it and opened something
 * else in its place. */
static int asking_fd(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	int fd = atomic_load_explicit(&end->fd, memory_order_relaxed);
	struct stat stat;

	if (fd < 0 || stoa_sys_fstat(fd, &stat) < 0 ||
	    stat.st_ino != end->inode)
		return -EBADF;
	return fd;
}

int stream_has_end(struct stoa_stream *stream, enum stream_side side)
{
	int fd = asking_fd(stream, stream_other(side));
	int result;

	if (asking_fd(stream, side) >= 0)
		return 1;
	if (fd >= 0)
		return stoa_sys_byte_locked(fd, STREAM_END + side);
	/* One who has neither looks on. */
	if (atomic_load_explicit(&stream->ends, memory_order_relaxed))
		return fd;
	fd = stoa_sys_reopen(stream->object.fd, O_RDWR);
	if (fd < 0)
		return fd;
	result = stoa_sys_byte_locked(fd, STREAM_END + side);
	stoa_sys_close(fd);
	return result;
}

int stream_ask_gone(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_control *control = stream->control;
	struct stream_end *end = &stream->end[side];
	enum stream_side other = stream_other(side);
	/* Before the kernel is asked: a change meanwhile is asked for again.
	 * acquire: see stream_gone() */
	uint32_t changed = atomic_load_explicit(&control->ends_changed,
	                                        memory_order_acquire);
	int64_t now = stream_clock();
	/* If the kernel can't be asked, they are there. */
	int there = stream_has_end(stream, other) != 0;
	int gone;

	if (there)
		atomic_store_explicit(&end->met, 1, memory_order_relaxed);
	gone = !there &&
	       (atomic_load_explicit(&end->met, memory_order_relaxed) ||
	        atomic_load(&control->opened[other]) != end->opened_before);
	atomic_store_explicit(&end->gone, (uint32_t)gone, memory_order_relaxed);
	atomic_store_explicit(&end->asked_ns, now, memory_order_relaxed);
	atomic_store_explicit(&end->ends_seen, changed, memory_order_relaxed);
	return gone;
}

stoa_peer stream_sole_other(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	uint32_t changed = atomic_load_explicit(&stream->control->ends_changed,
	                                        memory_order_relaxed) |
	                   1u << 31;

	if (atomic_load_explicit(&end->sole_seen, memory_order_relaxed) !=
	    changed) {
		atomic_store_explicit(
		        &end->sole,
		        stoa_object_sole(&stream->object,
		                         stream_direction(stream_other(side))),
		        memory_order_relaxed);
		atomic_store_explicit(&end->sole_seen, changed,
		                      memory_order_relaxed);
	}
	return atomic_load_explicit(&end->sole, memory_order_relaxed);
}

/* Whether somebody has come: is there, or was, or has left bytes. */
static int other_came(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_end *end = &stream->end[side];
	enum stream_side other = stream_other(side);

	if (stream_has_end(stream, other) != 0 ||
	    atomic_load(&stream->control->opened[other]) !=
	            end->opened_before ||
	    (side == SIDE_READ &&
	     atomic_load(stream_position(stream, SIDE_WRITE)) !=
	             atomic_load(stream_position(stream, SIDE_READ))))
		atomic_store_explicit(&end->met, 1, memory_order_relaxed);
	return atomic_load_explicit(&end->met, memory_order_relaxed) != 0;
}

int stream_await_other(struct stoa_stream *stream, enum stream_side side,
                       struct stoa_deadline deadline)
{
	struct stoa_waiter waiter;
	int result = 0;

	if (other_came(stream, side) || deadline.kind == STOA_DEADLINE_NOW)
		return 0;
	stoa_waiter_init(&waiter, &stream->object, stream_direction(side),
	                 deadline);
	waiter.spins_left = 0; /* asking isn't cheap */
	while (!other_came(stream, side) && result == 0)
		result = stoa_waiter_step(&waiter);
	stoa_waiter_fini(&waiter);
	return result;
}
