/* SPDX-License-Identifier: MIT */
/*
 * stoa/segment.h: memory that several processes share by name.
 *
 * Use it for data that many look at in place, or that is too large to copy.
 * (For messages see queue, for bytes in order stream, for many small pieces in
 * one segment heap; for files of one's own mapping.)
 *
 * A handle that is opened STOA_READ or STOA_WRITE is an attachment: the memory
 * is mapped at stoa_segment_data(), at one address until the handle is closed.
 * It can grow up to the limit that it was made with, in place: address space
 * for the limit is kept from the beginning. A segment is zeros when it is made,
 * and so is what it grows by.
 *
 *   STOA_READ    read-only. Mapped through a descriptor that was opened so:
 *                mprotect(2) can't make it writable (-EACCES). Nothing in the
 *                segment is written; leave to read its file is enough.
 *   STOA_WRITE   read and write.
 *   neither      not attached: to look at it, to resize or remove it.
 *
 * Attachments are counted by the kernel, not by numbers in memory: each is a
 * lock on a byte of the file that it drops when the process ends, in whatever
 * way, executes another program, or closes the handle; in each case after the
 * memory was unmapped. A forked child has its parent's attachments from the
 * fork on, used or not, and is counted with it. So the count is exact right
 * after kill -9, exec and fork, with these exceptions:
 *   - while the parent still is in fork() a child that has died at once is
 *     counted, and a parent that is killed before the child has returned from
 *     fork() is counted until it has;
 *   - a child made by clone(2) or _Fork(), or when no descriptor or right to
 *     open the file was left at the fork, counts as one with its parent; in the
 *     latter case until its next call on the handle;
 *   - whoever may read the file can lock bytes of it, too.
 *
 * Removal is deferred: stoa_segment_remove() takes the name at once, so that
 * nobody attaches any more and another segment can have the name; attachments go
 * on, forked children inherit them; the kernel frees the memory with the last.
 *
 * Death: nothing of a segment's own is ever half done: a resize takes effect at
 * one instant. What processes write into it is theirs to keep whole; see mutex,
 * heap, and queue for what survives.
 *
 *   who may run at once    resize  seal  stat  attached  remove  close
 *   any thread or process     -     -     -       -        -       X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * Resizes and seals take turns; if a stopped process has the turn, others wait.
 *
 * Seals. What the kernel enforces: a read-only attachment stays one; once
 * STOA_SEGMENT_SEAL_WRITE is set there is no writable mapping of a stoa handle
 * left, and the file's mode allows no one to write (if the caller owns it). By
 * agreement only, among those who use stoa: that nobody attaches to write,
 * resizes, or unseals. tmpfs files take no seals of the kernel's: the owner and
 * root can always open the file by other means. Pairs that don't trust each
 * other at all share a sealed memfd_create(2) by descriptor.
 *
 * Limits: 1 byte to 32 TiB, in any number of bytes; memory is in pages. At
 * most 4,096 attachments of one process to one segment. Descriptors: one for a
 * handle (two, if the mode doesn't let its owner write); for an instant in
 * fork(), one more for each. Memory besides: one page, and the handle. Not
 * async-signal-safe; no cancellation points.
 *
 * Errors that every call on a handle may give: -EUCLEAN its shared memory can't
 * be true; -EIO its file was truncated (needs stoa_guard).
 */
#ifndef STOA_SEGMENT_H
#define STOA_SEGMENT_H

#include <stoa/space.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_SEGMENT_LIMIT (UINT64_C(1) << 45) /* bytes */

struct stoa_segment;

/* How a segment is made, and where it is attached. */
struct stoa_segment_attributes {
	size_t size;    /* sizeof this struct */
	uint64_t bytes; /* default 4,096 */
	uint64_t limit; /* that it can grow to; default: bytes. Takes address
	                   space of each attachment, and nothing else */
	void *address;  /* of this attachment, a multiple of the page size; NULL:
	                   anywhere. Nothing that is mapped is replaced */
	uint32_t huge;  /* 1: in huge pages, as far as the system grants them */
	uint32_t reserved_word;
	uint64_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the segment `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask, and must let its owner read; `attributes` NULL = all
 * defaults; of one that exists only `address` counts), and attaches as the flags
 * say. With `name` NULL and STOA_CREATE it has no name: the handle is all there
 * is, for this process and those that it forks. Flags: STOA_READ, STOA_WRITE,
 * STOA_CREATE, STOA_EXCLUSIVE. Does not block, other than by zeroing memory. The
 * caller closes *ret_segment.
 *
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full, and nothing was made; -EADDRINUSE: something is mapped at
 * the address; -EPERM: to write, and it is sealed; -ENOMEM: no memory or address
 * space; -EPROTO: not a segment, or of a layout this build doesn't know;
 * -EUCLEAN: its header can't be true; -EUSERS, -EMFILE, -ENOLCK.
 */
STOA_API int
stoa_segment_open(struct stoa_space *space, const char *name, unsigned flags,
                  mode_t mode, const struct stoa_segment_attributes *attributes,
                  struct stoa_segment **ret_segment);

/* Detaches, and frees the handle. NULL is fine. */
STOA_API void stoa_segment_close(struct stoa_segment *segment);

/* Takes the name away, and nothing else. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_segment_unlink(struct stoa_space *space, const char *name);

/* As IPC_RMID: marks the segment removed (see stoa_segment_status), and takes
 * the name if it is still this segment's. Attachments go on. Again: 0. -EACCES;
 * -EBADF: the handle may only read. */
STOA_API int stoa_segment_remove(struct stoa_segment *segment);

/* ---- Use ---------------------------------------------------------------- */

/* Where it is attached; constant. NULL: it isn't. */
STOA_API void *stoa_segment_data(const struct stoa_segment *segment);

/*
 * Its size in bytes now; what it has grown by since is there from this call on,
 * at the same address, whatever was written to it before whoever told of it
 * (acquire). Never fails: without address space or with a damaged size it
 * answers with what is attached. Two loads if nothing has changed.
 *
 * What lies beyond was never mapped, and touching it is SIGSEGV, as beyond any
 * memory; except after others made the segment smaller: what was attached
 * stays so, reads as zeros, and what is stored there is lost by the next resize.
 */
STOA_API uint64_t stoa_segment_size(struct stoa_segment *segment);

/*
 * Changes the size, for all attachments: others meet it at their next
 * stoa_segment_size(). Grows wholly or not at all. Smaller: what was beyond is
 * gone, and its memory given back. 0; -EINVAL: no bytes; -EFBIG: over the
 * limit; -ENOSPC: the tmpfs is too full; -EPERM: sealed; -EBADF: the handle may
 * only read; -ENOMEM: it is done, but can't be attached here.
 */
STOA_API int stoa_segment_resize(struct stoa_segment *segment, uint64_t bytes);

enum {
	STOA_SEGMENT_SEAL_GROW = 1,
	STOA_SEGMENT_SEAL_SHRINK = 2,
	/* Content and size stay as they are; this handle's attachment becomes a
	 * read-only one, at its address. */
	STOA_SEGMENT_SEAL_WRITE = 4
};

/* Adds seals; none is ever taken away. -EBUSY: STOA_SEGMENT_SEAL_WRITE, and
 * there are other attachments that may write (a forked child's is another).
 * -EINVAL: unknown seals. -EBADF: the handle may only read. */
STOA_API int stoa_segment_seal(struct stoa_segment *segment, unsigned seals);

/* ---- Inspect ------------------------------------------------------------ */

/* 0, or what is wrong with it: -EIO, a fault was met in its memory, which reads
 * as zeros since (needs stoa_guard); -EUCLEAN. To be asked after touching memory
 * that others may take away. Two loads. */
STOA_API int stoa_segment_check(struct stoa_segment *segment);

/* The number of attachments, this one included. Each that lasts as long as the
 * call is counted once; those that come or go meanwhile may be. 0.3 us for
 * each, and more if there are hundreds. */
STOA_API int stoa_segment_attached(struct stoa_segment *segment);

struct stoa_segment_attachment {
	stoa_peer peer; /* that made it: of a forked child its parent; 0: of one
	                   that may not join the space */
	pid_t pid; /* of the peer, as it saw itself; 0: not known any more */
	uid_t uid;
	unsigned flags; /* STOA_READ, STOA_WRITE: as it was opened */
};

/* Calls `visit` for each, in no particular order; stops at its first non-zero
 * result and returns that; else returns the number visited. */
STOA_API int stoa_segment_each_attachment(
        struct stoa_segment *segment,
        int (*visit)(const struct stoa_segment_attachment *attachment,
                     void *context),
        void *context);

struct stoa_segment_status {
	size_t size;    /* set by the caller: sizeof this struct */
	uint64_t bytes; /* its size */
	uint64_t limit;
	uint64_t memory_bytes; /* that it takes now */
	uint64_t huge_bytes;   /* of this attachment, in huge pages; 0 also where
	                          the kernel doesn't tell */
	uint32_t attached;
	uint32_t writers; /* of them, those that may write */
	uint32_t seals;
	uint32_t removed; /* 1: the name is gone, and it goes with the last */
	/* CLOCK_REALTIME; 0: never. By those who may write, in orderly calls. */
	int64_t last_attach_ns;
	int64_t last_detach_ns;
	int64_t last_change_ns; /* made, resized, sealed */
	int64_t created_ns;
	pid_t creator_pid;
	pid_t last_pid; /* of the last attach or detach */
	uint64_t generation;
};

/* Each number is true of some moment during the call. -EINVAL: size. */
STOA_API int stoa_segment_stat(struct stoa_segment *segment,
                               struct stoa_segment_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif
