/* SPDX-License-Identifier: MIT */
/*
 * stoa/pool.h: a pool of blocks of one size, named or in any shared memory.
 *
 * Use it for messages, frames and records of one size that go from process to
 * process without being copied: acquire a block, fill it, send its identifier
 * by a queue, and whoever receives that claims the block. (For blocks of any
 * size, names and reference counts see heap.)
 *
 * Blocks belong to processes. A block is free, held by one process, or in
 * flight: given, and not yet claimed. An identifier names one use of a block,
 * so that one which is late, as the block was released since, is told so
 * (-ESTALE; it can be mistaken only after exactly a multiple of 16,384 uses).
 *
 * Death: a process killed at any instruction leaves each block free, held, in
 * flight, or another's. Those that it held come back: whoever needs a block and
 * finds none, stat() and stoa_pool_collect() give them back. Those in flight
 * stay, whoever gave them. To hand over a block so that no death loses or leaks
 * it, and nobody has it twice:
 *
 *	sender                            receiver
 *	acquire, fill                     take a message with the identifier
 *	send the identifier by a queue    claim; on -ESTALE forget it
 *	give                              acknowledge the message
 *
 * If the sender dies before the give, either the receiver has claimed already,
 * or the block comes back and the receiver is told -ESTALE. If the receiver
 * dies after the claim, the block comes back, and who takes the message next
 * is told -ESTALE. What is in flight when the queue itself is removed must be
 * claimed and released by somebody: stoa_pool_each() finds it.
 *
 * A pool of segments (attributes.segments) is many small pieces of shared
 * memory instead of one large one, and is used in the same way: the identifiers
 * of segments travel, and whoever claims one asks where it is. But each is given
 * memory only when it is acquired for the first time (-ENOSPC), and
 * stoa_pool_discard() gives that back; each process maps those that it uses, by
 * pages of their own, to write (stoa_pool_data) or only to be read
 * (stoa_pool_view), and what lies behind a segment is mapped by nobody: whoever
 * writes past its end gets SIGSEGV, and spoils nothing. It needs address space
 * for all of them, and two entries of /proc/sys/vm/max_map_count for each that
 * is mapped. (For single ones, with names, sizes and permissions of their own,
 * see segment.)
 *
 *   who may run at once   acquire  release  give  claim  data  stat  close
 *   any thread or process    -        -       -     -      -     -     X
 *   (- free; X the caller sees to it that nobody else uses that handle. What is
 *   done to one and the same block takes turns by whose it is.)
 *
 * A thread takes blocks from a part of the pool that it has to itself: up to
 * 1/64 of the blocks and 256. Whoever finds no others takes such a part away.
 * All is lock-free; but a thread stopped (or preempted) in the midst of an
 * acquire, a window of five instructions, keeps its part until it goes on.
 *
 * Limits: 1 to 2^24 blocks of 1 byte to 1 GiB each; threads that acquire: see
 * attributes. Fork: the child may use the handle, as itself; what the parent
 * holds stays the parent's. Not for signal handlers. No cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the pool was removed;
 * -EUCLEAN its shared memory can't be true; -EIO its file was truncated (needs
 * stoa_guard). With a deadline: -EAGAIN (STOA_NOW), -ETIMEDOUT, -EINTR
 * (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_POOL_H
#define STOA_POOL_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_POOL_BLOCKS_MAX 16777216
#define STOA_POOL_BLOCK_BYTES_MAX 1073741824
#define STOA_POOL_THREADS_MAX 4096
#define STOA_POOL_ALIGNMENT_MAX 4096

struct stoa_pool;

/* How a pool is made. Zero fields take the default. */
struct stoa_pool_attributes {
	size_t size;          /* sizeof this struct */
	uint64_t block_bytes; /* of each block: no default */
	uint32_t blocks;      /* how many: no default */
	uint32_t alignment;   /* of blocks: a power of two; default 64 */
	uint32_t threads;     /* that may acquire; default 128 */
	uint32_t segments;    /* 1: each is a segment; see above. Not in memory
	                         of the caller's */
	uint64_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/* Bytes of memory that a pool of these attributes needs. -EINVAL. */
STOA_API int64_t
stoa_pool_bytes(const struct stoa_pool_attributes *attributes);

/*
 * Opens the pool `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` are ignored when it exists). With `name`
 * NULL and STOA_CREATE it has no name: the handle is all there is, for this
 * process and those that it forks. Flags: STOA_CREATE, STOA_EXCLUSIVE,
 * STOA_INTERRUPTIBLE. Does not block. The caller closes *ret_pool.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a pool, or of a layout this build doesn't
 * know; -EUCLEAN: its content can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_pool_open(struct stoa_space *space, const char *name,
                            unsigned flags, mode_t mode,
                            const struct stoa_pool_attributes *attributes,
                            struct stoa_pool **ret_pool);

/*
 * The same for `bytes` bytes of shared memory at `memory` (in a segment, or
 * mapped MAP_SHARED), aligned to 64 and to the blocks' alignment: at least
 * stoa_pool_bytes(). With STOA_CREATE it is made there, whatever was there
 * before; without, it must have been made with the same space. The memory must
 * outlive the handle. -EINVAL: memory, flags or attributes; -EPROTO: no pool
 * there; -EXDEV: made with another space; -EIDRM, -EUCLEAN, -ENOMEM.
 */
STOA_API int stoa_pool_place(struct stoa_space *space, void *memory,
                             size_t bytes, unsigned flags,
                             const struct stoa_pool_attributes *attributes,
                             struct stoa_pool **ret_pool);

/* Frees the handle. Blocks that the process holds stay its own. NULL is fine. */
STOA_API void stoa_pool_close(struct stoa_pool *pool);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_pool_unlink(struct stoa_space *space, const char *name);

/* Everyone who waits or calls from now on gets -EIDRM; the name goes too, if
 * it is still this pool's. */
STOA_API int stoa_pool_remove(struct stoa_pool *pool);

/* For stoa_wait_any and stoa_watch_once: STOA_READABLE holds while a block is
 * free. */
STOA_API struct stoa_object *stoa_pool_object(struct stoa_pool *pool);

/* ---- Use ---------------------------------------------------------------- */

/*
 * Takes a free block: *ret_block is its identifier. Blocks while there is
 * none. Its bytes are whatever was left in them; what was written before the
 * release that freed it is visible (acquire). -EUSERS: more threads than the
 * pool was made for have acquired; -ENOMEM. Of a pool of segments also -ENOSPC:
 * it has none yet, and the tmpfs is too full to give it memory; -EBADF: the
 * program has closed the pool's descriptor.
 */
STOA_API int stoa_pool_acquire(struct stoa_pool *pool,
                               struct stoa_deadline deadline,
                               uint64_t *ret_block);

/* Frees a block that this process holds, and wakes who waits for one (release;
 * pairs with acquire). Does not block. -EINVAL: no identifier of this pool's;
 * -ESTALE: that use of the block is over; -EPERM: another's. */
STOA_API int stoa_pool_release(struct stoa_pool *pool, uint64_t block);

/* Releases it, and in a pool of segments gives its memory back to the system:
 * the next who acquires it finds zeros. Errors as of release; -EBADF. */
STOA_API int stoa_pool_discard(struct stoa_pool *pool, uint64_t block);

/* The block's first byte, in this process; block_bytes of them. NULL, with a
 * sentence: no block of this pool's, or that use of it is over; of segments
 * also: it can't be mapped. */
STOA_API void *stoa_pool_data(struct stoa_pool *pool, uint64_t block);

/* The same, to be read only. A segment is mapped for it through a descriptor
 * that was opened so: mprotect(2) can't make it writable. */
STOA_API const void *stoa_pool_view(struct stoa_pool *pool, uint64_t block);

/* The identifier of the block, in use, that begins at `data` (as data() gave
 * it). -EINVAL: none begins there; -ESTALE: it is free. */
STOA_API int stoa_pool_block(struct stoa_pool *pool, const void *data,
                             uint64_t *ret_block);

/* ---- Handing over --------------------------------------------------------- */

/*
 * Gives a block that this process holds: it is in flight, survives this
 * process, and is claimed by whoever has its identifier (release; pairs with
 * claim). 0; 1: somebody has claimed it already. Errors as of release.
 */
STOA_API int stoa_pool_give(struct stoa_pool *pool, uint64_t block);

/*
 * This process holds the block from now on (acquire; pairs with give). It was
 * in flight, or held by a process that has sent its identifier but not given it
 * yet: who claims what it was not sent takes it from somebody who uses it.
 * 0, also if this process holds it already. -EINVAL; -ESTALE: that use of the
 * block is over, as its holder died or released it.
 */
STOA_API int stoa_pool_claim(struct stoa_pool *pool, uint64_t block);

/* ---- Inspect --------------------------------------------------------------- */

/* Gives back what the dead hold: how many blocks. */
STOA_API int stoa_pool_collect(struct stoa_pool *pool);

struct stoa_pool_status {
	size_t size; /* set by the caller: sizeof this struct */
	uint64_t block_bytes;
	uint32_t blocks, alignment;
	uint32_t free, held, in_flight; /* those of the dead are free by then */
	uint32_t collected;             /* by this call */
	uint32_t threads, threads_max;  /* that have a part to themselves */
	uint64_t bytes;        /* all in all */
	uint64_t memory_bytes; /* that it takes now: less, if of segments */
	uint32_t segments;     /* 1: each is one */
	uint32_t reserved_word;
	int64_t created_ns; /* CLOCK_REALTIME; 0: in memory of the caller's */
	uint64_t generation;
	pid_t creator_pid;
	uint32_t users; /* handles; 0 for memory of the caller's */
};

/* Each number is true of some moment during the call. -EINVAL: size. */
STOA_API int stoa_pool_stat(struct stoa_pool *pool,
                            struct stoa_pool_status *ret_status);

/* A block that is not free. */
struct stoa_pool_use {
	uint64_t block;
	stoa_peer holder; /* 0: in flight */
	int alive;        /* the holder */
};

/* Calls `visit` for each block that is not free; stops at its first non-zero
 * result and returns that; else returns the number visited. */
STOA_API int stoa_pool_each(struct stoa_pool *pool,
                            int (*visit)(const struct stoa_pool_use *use,
                                         void *context),
                            void *context);

#ifdef __cplusplus
}
#endif
#endif
