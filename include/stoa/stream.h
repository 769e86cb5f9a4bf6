/* SPDX-License-Identifier: MIT */
/*
 * stoa/stream.h: a byte stream between processes: a pipe, a FIFO, or both
 * ways at once, in shared memory.
 *
 * Use it for bytes without borders. (For messages see queue.)
 *
 * An end of a stream is a handle opened STOA_READ or STOA_WRITE, in every
 * process that has it. Ends are counted by the kernel, as a pipe's are: a
 * forked child has the parent's ends from the fork on, used or not, until it
 * closes them, executes another program, exits, or is killed. So
 *   - a read of an empty stream whose last writer has gone returns 0, end of
 *     file; committed bytes are read first, whoever died;
 *   - a write to a stream whose last reader has gone returns -EPIPE (there is
 *     no SIGPIPE).
 * Both are so at once when the last end was closed, and within 100 ms of the
 * kernel's word when its process died. Neither is said before the handle has met
 * somebody at the other end: one that was there when it was opened or came
 * since, or whose bytes it found.
 *
 * A stream keeps its bytes for as long as it has a name or a handle: those that
 * were written before all readers went are there for the next.
 *
 * Death: bytes become visible at one instant, when all of a piece has been
 * copied. A writer killed before leaves nothing of the piece; pieces of up to
 * STOA_ATOMIC bytes are whole writes. A reader killed before the instant at
 * which its bytes are consumed leaves them to others.
 *
 *   who may run at once      write    read     close
 *                            reserve  peek
 *   any thread or process      -        -        X
 *   (- free: writers take turns among themselves, and so do readers;
 *    X the caller sees to it that nobody else uses that handle)
 *
 * A process that is stopped (SIGSTOP) in the middle of a write holds up other
 * writers, not readers; and the other way round. So does one that keeps a
 * reservation, or what it peeked at.
 *
 * Limits: capacity 4 KiB to 64 GiB, in pages of 4 KiB; 65,472 handles.
 * Descriptors: two for a handle with one end, three with both; without a name,
 * two more; twice that for one of a pair. Not async-signal-safe; no cancellation
 * points.
 *
 * Errors that every call on a handle may give: -EIDRM the stream was removed
 * (stoa_stream_remove, stoa rm --wake); -EUCLEAN its shared memory can't be
 * true; -EIO its file was truncated (needs stoa_guard); -EBADF the handle has
 * not the end that this needs; -EUSERS too many handles; -ENOMEM, after the
 * capacity was changed: it can't be mapped anew. With a deadline: -EAGAIN
 * (STOA_NOW), -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_STREAM_H
#define STOA_STREAM_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes of up to so many bytes are never mixed with others', and are done
 * whole or not at all. */
#define STOA_ATOMIC 4096

struct stoa_stream;

/* How a stream is made. Zero fields take the default. */
struct stoa_stream_attributes {
	uint32_t size; /* sizeof this struct */
	uint32_t reserved;
	uint64_t capacity;     /* bytes, rounded up to pages; default 65,536 */
	uint64_t max_capacity; /* for stoa_stream_resize; default 16 MiB, or
	                          capacity if that is more. Costs nothing until
	                          it is used */
	uint64_t reserved_more[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the stream `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` NULL = all defaults, and ignored when the
 * stream exists). `flags` has STOA_READ, STOA_WRITE or both: which ends; or
 * neither, for a handle that is no end, to look at the stream, to resize or
 * remove it.
 *
 * With one end, waits by `deadline` until somebody has the other, as a FIFO's
 * open does: has it now, or has had it since this call began; bytes in the
 * stream do, too, for a reader. With STOA_NOW, or both ends, it doesn't wait.
 * On failure no end is left; a stream that the call has made stays.
 *
 * `name` NULL with STOA_CREATE makes a stream that only this process and those
 * that it forks have; `mode` and `deadline` mean nothing then. Each of them
 * drops the end that it doesn't want by stoa_stream_shutdown().
 *
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a stream, or of a layout this build doesn't
 * know; -EUCLEAN: its header can't be true; -ETIMEDOUT, -EINTR: nobody came to
 * the other end; -ENOMEM, -EMFILE, -EUSERS, -ENOLCK.
 */
STOA_API int stoa_stream_open(struct stoa_space *space, const char *name,
                              unsigned flags, mode_t mode,
                              const struct stoa_stream_attributes *attributes,
                              struct stoa_deadline deadline,
                              struct stoa_stream **ret_stream);

/* An unnamed stream as two handles, one for each end, as pipe(2). Close each,
 * in each process. Errors as stoa_stream_open. */
STOA_API int stoa_stream_pipe(struct stoa_space *space,
                              const struct stoa_stream_attributes *attributes,
                              struct stoa_stream **ret_reader,
                              struct stoa_stream **ret_writer);

/* Two unnamed streams as two handles, each of which reads what is written to
 * the other, as socketpair(2). */
STOA_API int stoa_stream_pair(struct stoa_space *space,
                              const struct stoa_stream_attributes *attributes,
                              struct stoa_stream **ret_one,
                              struct stoa_stream **ret_other);

/* Drops this process's ends that the handle has, and what it has reserved or
 * peeked at, and frees it. NULL is fine. Does not block. */
STOA_API void stoa_stream_close(struct stoa_stream *stream);

/* Drops one end, STOA_READ or STOA_WRITE, for this process: the other side is
 * told end of file, or -EPIPE, if it was the last. The handle stays, for the
 * other direction. As close, not while other threads use this end. -EBADF: it
 * has not this end. -EINVAL: another direction. */
STOA_API int stoa_stream_shutdown(struct stoa_stream *stream,
                                  unsigned direction);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_stream_unlink(struct stoa_space *space, const char *name);

/* Removes the name if it is still this stream's, and everyone who waits or
 * calls from now on gets -EIDRM. A pair's two streams are removed one after the
 * other: a kill in between leaves one direction, until this is called again. */
STOA_API int stoa_stream_remove(struct stoa_stream *stream);

/* For stoa_wait_any and stoa_watch_once: the object of the direction; one of a
 * pair has two. NULL: the handle has not that end. Readable: bytes, or end of
 * file. Writable: room for wait.amount bytes (0: STOA_ATOMIC), or -EPIPE. */
STOA_API struct stoa_object *stoa_stream_object(struct stoa_stream *stream,
                                                unsigned direction);

/* ---- Write -------------------------------------------------------------- */

/*
 * Writes `bytes` bytes. Up to STOA_ATOMIC (or the capacity, if that were less)
 * go whole: the call waits until there is room for all of them, and returns
 * `bytes` or an error with nothing written. More go in pieces as room comes,
 * between which other writers' may come; the call returns `bytes`, or, if the
 * deadline, a signal or -EPIPE came in between, how many were written, if that
 * is not 0 (the next call then tells of the error). With STOA_NOW it writes
 * what there is room for: -EAGAIN if there is none, or if another writer is at
 * it. Bytes written are visible to readers before this returns (release; pairs
 * with read).
 */
STOA_API ssize_t stoa_stream_write(struct stoa_stream *stream,
                                   const void *data, size_t bytes,
                                   struct stoa_deadline deadline);

/* A stretch of a stream's memory: contiguous, valid until committed,
 * cancelled or consumed. */
struct stoa_region {
	void *data;
	size_t bytes;
	uint64_t position; /* of its first byte, from the stream's beginning */
	uint64_t reserved;
};

/*
 * Reserves all the room that there is, and at least `least` bytes (1 to the
 * capacity; else -EINVAL), for the caller to fill. Other writers wait until
 * stoa_stream_commit or stoa_stream_cancel, by any thread of this process.
 * -EDEADLK: the calling thread has a reservation already (as write has, then).
 */
STOA_API int stoa_stream_reserve(struct stoa_stream *stream, size_t least,
                                 struct stoa_deadline deadline,
                                 struct stoa_region *ret_region);

/* Writes the first `bytes` bytes of the reservation, and ends it. Does not
 * block. -EMSGSIZE: more than were reserved (it stays). -ESTALE: this process
 * has none. */
STOA_API int stoa_stream_commit(struct stoa_stream *stream, size_t bytes);

/* Ends the reservation with nothing written. -ESTALE. */
STOA_API int stoa_stream_cancel(struct stoa_stream *stream);

/* ---- Read --------------------------------------------------------------- */

/* Reads up to `bytes` bytes into `buffer`; waits only while there are none.
 * Returns how many; 0 at end of file (or when `bytes` is 0). With STOA_NOW,
 * -EAGAIN also when another reader is at it. On failure the buffer's bytes are
 * undefined. */
STOA_API ssize_t stoa_stream_read(struct stoa_stream *stream, void *buffer,
                                  size_t bytes, struct stoa_deadline deadline);

/*
 * Shows what can be read, without copying: waits until there are at least
 * `least` bytes (1 to the capacity; else -EINVAL), or fewer and then end of
 * file. Returns how many there are, 0 at end of file (nothing is held then).
 * Other readers wait until stoa_stream_consume, by any thread of this process.
 * The bytes are for reading only. -EDEADLK: the calling thread is peeking
 * already.
 */
STOA_API ssize_t stoa_stream_peek(struct stoa_stream *stream, size_t least,
                                  struct stoa_deadline deadline,
                                  struct stoa_region *ret_region);

/* Takes the first `bytes` bytes of what was peeked at away (0: none), and lets
 * others read. Does not block. -EMSGSIZE, -ESTALE, as commit. */
STOA_API int stoa_stream_consume(struct stoa_stream *stream, size_t bytes);

/* ---- Between a stream and a descriptor ------------------------------------- */

#define STOA_STREAM_ALL UINT64_MAX

/*
 * Reads from `fd`, whatever it is, straight into the stream: until its end of
 * file, or `bytes` bytes, or the deadline. Returns how many bytes went; if that
 * is 0, it may be why: -ETIMEDOUT, -EPIPE, or what read(2) said. The
 * descriptor is waited for with poll(2); other writers wait only while bytes
 * are being moved.
 */
STOA_API int64_t stoa_stream_from_fd(struct stoa_stream *stream, int fd,
                                     uint64_t bytes,
                                     struct stoa_deadline deadline);

/*
 * Writes to `fd` straight from the stream: until the stream's end of file, or
 * `bytes` bytes, or the deadline; returns as above. Bytes are consumed once
 * the descriptor has them; a process killed in between leaves them to the next
 * reader a second time. SIGPIPE is the descriptor's, as with write(2). The bytes
 * are copied, not spliced: what the descriptor leads to never sees the stream's
 * memory, which others overwrite.
 */
STOA_API int64_t stoa_stream_to_fd(struct stoa_stream *stream, int fd,
                                   uint64_t bytes,
                                   struct stoa_deadline deadline);

/* ---- Shape, and inspect ---------------------------------------------------- */

/*
 * Changes the capacity to `capacity` bytes (rounded up to pages), up or down:
 * at one instant, when no other call is at the stream's bytes (reservations
 * and peeks are waited for) and what is in it fits. Writers wait until then,
 * readers don't. Handles everywhere map the new memory at their next call; the
 * old is given back. -EINVAL: over the max_capacity that it was made with, or 0. -ENOSPC: the
 * tmpfs is too full; nothing has changed. For a pair, both its streams. -EDEADLK: this thread has
 * reserved or peeked. Any end may do it.
 */
STOA_API int stoa_stream_resize(struct stoa_stream *stream, uint64_t capacity,
                                struct stoa_deadline deadline);

/*
 * A descriptor for poll and epoll that is readable while the stream is
 * (STOA_READ: bytes, or end of file), or while it has room for STOA_ATOMIC
 * bytes or nobody reads it (STOA_WRITE). Level-triggered: it falls back when a
 * call with STOA_NOW has answered -EAGAIN. It may be readable once too often,
 * never once too seldom. Owned by the handle, close-on-exec, good in this
 * process only. -EINVAL: the direction. -EMFILE.
 */
STOA_API int stoa_stream_pollfd(struct stoa_stream *stream,
                                unsigned direction);

struct stoa_stream_status {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t users;
	uint64_t capacity, max_capacity;
	uint64_t bytes;                /* written and not read */
	uint64_t bytes_in, bytes_out;  /* written and read since it was made */
	uint64_t writes, reads;        /* pieces */
	uint32_t readers, writers;     /* handles that have made a call */
	uint32_t readers_waiting, writers_waiting;
	int32_t has_reader, has_writer; /* 1: somebody has that end */
	pid_t writing_pid, reading_pid; /* at it now, or has reserved or peeked;
	                                   0: nobody */
	pid_t last_writer_pid, last_reader_pid;
	int64_t last_write_ns, last_read_ns; /* CLOCK_REALTIME, by the tick */
	int64_t created_ns;
	pid_t creator_pid;
	uint32_t resizes; /* how often the capacity was changed */
	uint64_t generation;
	uint64_t reserved[4];
};

/* Of a pair: the stream that this handle reads. Disturbs nobody. -EINVAL:
 * size. */
STOA_API int stoa_stream_stat(struct stoa_stream *stream,
                              struct stoa_stream_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif
