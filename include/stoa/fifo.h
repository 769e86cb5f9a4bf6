/* SPDX-License-Identifier: MIT */
/*
 * stoa/fifo.h: the named FIFOs of the kernel without their traps.
 *
 * Use it to talk to programs that know nothing of stoa: a FIFO has a path, and
 * any program can open it. (Between programs that know stoa, a stream is faster,
 * tells more and survives more; see stream.)
 *
 * What is different from open(2), read(2) and write(2):
 *   - Opening waits for the other side by a deadline, and in vain without a
 *     trace. What is there and is no FIFO is refused before it is opened.
 *   - A write that nobody reads is -EPIPE; there is no SIGPIPE, and the program's
 *     disposition of it is neither needed nor changed.
 *   - The reader stays: at end of file, when the last writer has gone, a read
 *     returns 0 once. The next read waits for the next writer; and so does the
 *     poll descriptor, which does not stay readable for ever. With
 *     STOA_FIFO_STAYS reads wait for the next writer without a 0 in between.
 *   - Up to STOA_FIFO_ATOMIC bytes are written whole or not at all, never mixed
 *     with those of other writers.
 *
 * Everything is in the kernel: a process killed at any instruction leaves the
 * FIFO's name, and bytes that it had written, for as long as anyone has the FIFO
 * open; then they are gone. Whoever may open the FIFO may read what is meant for
 * others, or write anything: mode and owner decide, at open.
 *
 *   who may run at once       read    write   close
 *   one thread for a handle     X       X       X     (handles are cheap; others,
 *                                                      here or elsewhere, are free)
 *
 * Descriptors: one; one more once it is polled; during an open that waits, two
 * more. Fork: the child has the same end, and shares its place; one of them
 * closes. Not async-signal-safe; no cancellation points. Paths are as open(2)
 * takes them: relative to the working directory, and symbolic links are
 * followed.
 */
#ifndef STOA_FIFO_H
#define STOA_FIFO_H

#include <stoa/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_FIFO_ATOMIC 4096 /* PIPE_BUF */
#define STOA_FIFO_STAYS 0x200u /* a reader: writers may come and go */

struct stoa_fifo;

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Makes a FIFO at `path`, of exactly this mode, whatever the umask. (It is made
 * with less and given the rest; a kill in between leaves it with less.)
 * -EEXIST: there is a file; says if it is a FIFO; or another was put under the
 * name meanwhile, which is left alone. -EACCES, -ENOENT, -ENOTDIR,
 * -EROFS, -ENOSPC, -EPERM (the file system has none), -ENAMETOOLONG,
 * -EINVAL: mode.
 */
STOA_API int stoa_fifo_create(const char *path, mode_t mode);

/*
 * Opens one end, STOA_READ or STOA_WRITE, and waits by `deadline` until somebody
 * has the other end, or has had it since the call began. With STOA_NOW it
 * doesn't wait: a reader is there at once, a writer only if there is a reader
 * (else -EAGAIN). STOA_CREATE makes a FIFO if there is none (`mode` as above);
 * with STOA_EXCLUSIVE -EEXIST if there is a file. STOA_INTERRUPTIBLE: signal
 * handlers end its waits. STOA_FIFO_STAYS: see above; readers only.
 *   It is the kernel that waits (by an io_uring), woken by the other's open;
 * where there is none, it is asked each 50 ms. Another reader or writer that
 * waits the kernel's own way is not disturbed.
 *
 * -EPROTO: the file is no FIFO (nothing was done to it). -ENOENT, -EACCES,
 * -EEXIST; -EINVAL: flags; -ETIMEDOUT, -EAGAIN, -EINTR: nobody came; -EMFILE,
 * -ENFILE, -ENOMEM.
 */
STOA_API int stoa_fifo_open(const char *path, unsigned flags, mode_t mode,
                            struct stoa_deadline deadline,
                            struct stoa_fifo **ret_fifo);

/* NULL is fine. */
STOA_API void stoa_fifo_close(struct stoa_fifo *fifo);

/* Removes the name; ends that are open go on. -EPROTO: it is no FIFO, and stays.
 * -ENOENT, -EACCES, -EPERM. */
STOA_API int stoa_fifo_unlink(const char *path);

/* ---- Use ------------------------------------------------------------------- */

/*
 * Writes `bytes` bytes. Up to STOA_FIFO_ATOMIC go whole: the call waits until
 * there is room, and returns `bytes` or an error with nothing written. More go
 * in pieces, between which other writers' may come; the call returns `bytes`,
 * or, if the deadline, a signal or -EPIPE came in between, how many were written.
 * -EPIPE: nobody has the FIFO open to read; later somebody may, and writes go on
 * (stoa_fifo_await). -EAGAIN, -ETIMEDOUT, -EINTR; -EBADF: a reader's handle.
 */
STOA_API ssize_t stoa_fifo_write(struct stoa_fifo *fifo, const void *data,
                                 size_t bytes, struct stoa_deadline deadline);

/*
 * Reads up to `bytes` bytes; waits only while there are none. Returns how many;
 * 0 when the last writer has gone, once for each time (never with
 * STOA_FIFO_STAYS), or when `bytes` is 0. -EAGAIN, -ETIMEDOUT, -EINTR; -EBADF: a
 * writer's handle. With STOA_FIFO_STAYS also what opening may give: -EACCES,
 * -EMFILE ...
 */
STOA_API ssize_t stoa_fifo_read(struct stoa_fifo *fifo, void *buffer,
                                size_t bytes, struct stoa_deadline deadline);

/* A writer's: waits until somebody has the FIFO open to read. -EAGAIN,
 * -ETIMEDOUT, -EINTR, -EBADF, -EMFILE, -EACCES. */
STOA_API int stoa_fifo_await(struct stoa_fifo *fifo,
                             struct stoa_deadline deadline);

/* For poll and epoll: readable while a read would find bytes, or end of file; a
 * writer's, while there is room for STOA_FIFO_ATOMIC bytes, or nobody reads.
 * Level-triggered, owned by the handle, close-on-exec. -EMFILE, -ENOMEM. */
STOA_API int stoa_fifo_pollfd(struct stoa_fifo *fifo);

/* ---- Shape, and inspect ------------------------------------------------------ */

/* Changes the capacity, up to a power of two of pages; returns what it is now.
 * -EPERM: more than /proc/sys/fs/pipe-max-size, or the user's pipes have too
 * much; -EBUSY: what is in it doesn't fit; -EINVAL: 0. */
STOA_API int64_t stoa_fifo_resize(struct stoa_fifo *fifo, uint64_t capacity);

struct stoa_fifo_status {
	uint32_t size; /* set by the caller: sizeof this struct */
	int32_t has_other; /* 1: somebody has the other end */
	uint64_t bytes;    /* written and not read */
	uint64_t capacity;
	uint64_t inode, device;
	mode_t mode; /* permissions */
	uid_t uid;
	gid_t gid;
	uint32_t reserved;
};

/* Disturbs nobody. -EINVAL: size. -EMFILE. */
STOA_API int stoa_fifo_stat(struct stoa_fifo *fifo,
                            struct stoa_fifo_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif
