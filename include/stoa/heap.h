/* SPDX-License-Identifier: MIT */
/*
 * stoa/heap.h: blocks of any size in shared memory, named or in a segment.
 *
 * Use it for structures that processes build together: each block is allocated
 * by one process, filled, and published; others find it under a name (a root)
 * or by an offset that stands in another block. Offsets are the same in all
 * processes; pointers are not, and must not be stored. 0 is no block. (For
 * blocks of one size that are handed from process to process see pool.)
 *
 * A block is free, or held by one process, or published. Who holds a block
 * alone may free it, resize it and publish it. What keeps a published block:
 *
 *   root        its name in the heap; one at most
 *   kept count  of references that stand in shared memory: publish, keep, drop
 *   process     of a process that uses it: root_get, retain, release
 *
 * and when the last of all these goes, the block is free.
 *
 * Death: a process killed at any instruction leaks nothing and spoils nothing.
 * Blocks that it held, so had not published, are free. Its own references
 * (root_get, retain) are given up. A root is what it was before, or after. What
 * it kept with publish and keep stays: that belongs to the data in which it
 * stands, and only who knows the data can tell what a death left there. So let
 * a structure be built of held blocks, be published by its last store, and then
 * be found from a root; or publish a block before its offset is stored, and
 * the death between the two leaves a block that nobody knows: stoa_heap_each()
 * finds it. All this is done by whoever finds no memory any more, by stat() and
 * by stoa_heap_collect().
 *
 * The heap's own data stand apart, before the first block: whoever writes past
 * the end of a block spoils the next block, and nothing of the heap's.
 *
 *   who may run at once        all calls   close
 *   any thread or process          -         X
 *   (- free; X the caller sees to it that nobody else uses that handle. One and
 *   the same block that is held is its holder's to look after.)
 *
 * Allocating and freeing up to STOA_HEAP_SMALL_MAX bytes (in heaps over 20 MiB:
 * four times that) takes no turn and no locked instruction, most of the time.
 * What needs new room, blocks that are larger, roots and references of processes
 * take turns; a dead one's turn is taken over, and a stopped one's is waited for.
 *
 * Limits: a heap of 64 KiB to 256 GiB; a block of 1 byte to all of it. Blocks
 * begin on a cache line of their own: sizes are rounded up to 64 bytes, then in
 * steps of 1/8 to 1/4, and those that take turns to 4 KiB (in heaps over 512
 * MiB: to 1/131072 of it). About 1/7 of the memory is the heap's own. Fork: the
 * child may use the handle, as itself; what the parent holds stays the
 * parent's. Not for signal handlers. No cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the heap was removed;
 * -EUCLEAN its shared memory can't be true; -EIO its file was truncated (needs
 * stoa_guard); -EUSERS more threads than it was made for; -ENOMEM. Calls that
 * are given an offset: -EINVAL no block begins there; -ESTALE the block there
 * is free; -EPERM it is not this process's, or not in that state.
 */
#ifndef STOA_HEAP_H
#define STOA_HEAP_H

#include <stoa/space.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_HEAP_BYTES_MIN 65536
#define STOA_HEAP_BYTES_MAX 274877906944
#define STOA_HEAP_SMALL_MAX 16384
#define STOA_HEAP_ALIGNMENT_MAX 4096
#define STOA_HEAP_ROOT_NAME_MAX 55
#define STOA_HEAP_COUNT_MAX 1000000000 /* of references kept to one block */

struct stoa_heap;

/* How a heap is made. Zero fields take the default. */
struct stoa_heap_attributes {
	size_t size;         /* sizeof this struct */
	uint64_t bytes;      /* all in all; ignored in memory of the caller's,
	                        which is used as a whole. No default */
	uint32_t threads;    /* that use it; default 64, at most 4,096 */
	uint32_t roots;      /* default 64, at most 4,096 */
	uint32_t references; /* of processes; default 256, at most 65,536 */
	uint32_t reserved_word;
	uint64_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the heap `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` are ignored when it exists). With `name`
 * NULL and STOA_CREATE it has no name: the handle is all there is, for this
 * process and those that it forks. Flags: STOA_CREATE, STOA_EXCLUSIVE. Does
 * not block. The caller closes *ret_heap.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a heap, or of a layout this build doesn't
 * know; -EUCLEAN: its content can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_heap_open(struct stoa_space *space, const char *name,
                            unsigned flags, mode_t mode,
                            const struct stoa_heap_attributes *attributes,
                            struct stoa_heap **ret_heap);

/*
 * The same for `bytes` bytes of shared memory at `memory` (in a segment, or
 * mapped MAP_SHARED), aligned to 4,096. With STOA_CREATE it is made there,
 * whatever was there before (`attributes` NULL: all defaults); without, it must
 * have been made with the same space. The memory must outlive the handle. It
 * stays as large as it was made: what a segment grows by has room for another
 * heap. -EINVAL: memory, flags or attributes; -EPROTO: no heap there; -EXDEV: made
 * with another space; -EIDRM, -EUCLEAN, -ENOMEM.
 */
STOA_API int stoa_heap_place(struct stoa_space *space, void *memory,
                             size_t bytes, unsigned flags,
                             const struct stoa_heap_attributes *attributes,
                             struct stoa_heap **ret_heap);

/* Frees the handle. What the process holds stays its own. NULL is fine. */
STOA_API void stoa_heap_close(struct stoa_heap *heap);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_heap_unlink(struct stoa_space *space, const char *name);

/* Everyone who calls from now on gets -EIDRM; the name goes too, if it is
 * still this heap's. */
STOA_API int stoa_heap_remove(struct stoa_heap *heap);

/* For stoa_watch_once and the like: nothing of a heap can be waited for. */
STOA_API struct stoa_object *stoa_heap_object(struct stoa_heap *heap);

/* ---- Blocks --------------------------------------------------------------- */

/*
 * Allocates a block of at least `bytes` bytes at an address divisible by
 * `alignment` (0: 64; a power of two up to STOA_HEAP_ALIGNMENT_MAX): its offset.
 * This process holds it. Its bytes are whatever was left there. Does not block,
 * but for its turn. -EINVAL: bytes or alignment; -ENOSPC: no room.
 */
STOA_API int stoa_heap_allocate(struct stoa_heap *heap, uint64_t bytes,
                                uint64_t alignment, uint64_t *ret_offset);

/* Frees a block that this process holds (release: whoever gets it next sees
 * what was written before). */
STOA_API int stoa_heap_free(struct stoa_heap *heap, uint64_t offset);

/*
 * Changes the size of a block that this process holds, in its place or in
 * another, to which its content is copied; *ret_offset is where it is then.
 * Alignment is kept as far as 64. A process killed meanwhile held both, so
 * that both are free. -EINVAL: bytes; -ENOSPC: no room, and the block is as it
 * was.
 */
STOA_API int stoa_heap_resize(struct stoa_heap *heap, uint64_t offset,
                              uint64_t bytes, uint64_t *ret_offset);

/* How many bytes a block that is not free has: as many as were asked for, or
 * more. */
STOA_API int64_t stoa_heap_size(struct stoa_heap *heap, uint64_t offset);

/*
 * The address in this process of the block at `offset`, of which `bytes` bytes
 * are to be used. NULL, with a sentence: no block in use begins there, or it
 * has fewer bytes. So an offset from shared memory can be believed no further
 * than it is true; that the block is not freed meanwhile is for the caller to
 * see to (root_get, retain).
 */
STOA_API void *stoa_heap_at(struct stoa_heap *heap, uint64_t offset,
                            uint64_t bytes);

/* The offset of the block in use that begins at `data`. */
STOA_API int stoa_heap_offset(struct stoa_heap *heap, const void *data,
                              uint64_t *ret_offset);

/* ---- Publishing ------------------------------------------------------------- */

/* The block that this process holds becomes everybody's, kept once: by the
 * place in shared memory where its offset is to stand (release; pairs with at,
 * root_get and retain). */
STOA_API int stoa_heap_publish(struct stoa_heap *heap, uint64_t offset);

/* One more, or one less, place in shared memory has the offset. With the last
 * of all references the block is free. -EOVERFLOW. */
STOA_API int stoa_heap_keep(struct stoa_heap *heap, uint64_t offset);
STOA_API int stoa_heap_drop(struct stoa_heap *heap, uint64_t offset);

/* This process uses a published block, or has done with it. Each retain is
 * given up once: by release, or by the death of the process. -ENOSPC: as many
 * references as the heap was made for; -EOVERFLOW: 65,535 of one. */
STOA_API int stoa_heap_retain(struct stoa_heap *heap, uint64_t offset);
STOA_API int stoa_heap_release(struct stoa_heap *heap, uint64_t offset);

/*
 * `name` is the block's from now on, in one step: who asks for the root gets
 * the old block or the new one. A block that this process holds is published
 * by it. What the root was before loses it; with `offset` 0 the root is gone.
 * `name`: 1 to STOA_HEAP_ROOT_NAME_MAX of A-Z a-z 0-9 . _ -. -EINVAL: name;
 * -ENOENT: there is none to take away; -EEXIST: the block is another root's;
 * -ENOSPC: as many roots as the heap was made for.
 */
STOA_API int stoa_heap_root_set(struct stoa_heap *heap, const char *name,
                                uint64_t offset);

/* The block of the root, retained for this process. -ENOENT. */
STOA_API int stoa_heap_root_get(struct stoa_heap *heap, const char *name,
                                uint64_t *ret_offset);

/* ---- Inspect ------------------------------------------------------------------ */

/* Gives up what the dead had: how many blocks and references. */
STOA_API int stoa_heap_collect(struct stoa_heap *heap);

struct stoa_heap_status {
	size_t size;        /* set by the caller: sizeof this struct */
	uint64_t bytes;     /* of memory, all in all */
	uint64_t capacity;  /* of them, for blocks */
	uint64_t used;      /* by blocks, as rounded up */
	uint64_t largest;   /* free in one piece; STOA_HEAP_SMALL_MAX or less may
	                       be had where there is none */
	uint64_t held, published; /* blocks */
	uint64_t slabs;           /* cut into blocks of one size */
	uint32_t roots, roots_max;
	uint32_t references, references_max; /* of processes */
	uint32_t threads, threads_max;
	uint32_t collected; /* by this call */
	uint32_t users;     /* handles; 0 for memory of the caller's */
	int64_t created_ns; /* CLOCK_REALTIME; 0: in memory of the caller's */
	uint64_t generation;
	pid_t creator_pid;
};

/* Takes a turn, so that all numbers but used, held and published are true of
 * one moment. -EINVAL: size. */
STOA_API int stoa_heap_stat(struct stoa_heap *heap,
                            struct stoa_heap_status *ret_status);

struct stoa_heap_root {
	char name[STOA_HEAP_ROOT_NAME_MAX + 1];
	uint64_t offset, bytes;
};

/* Calls `visit` for each root; stops at its first non-zero result and returns
 * that; else returns the number visited. The block may have lost the root
 * meanwhile. */
STOA_API int stoa_heap_each_root(struct stoa_heap *heap,
                                 int (*visit)(const struct stoa_heap_root *root,
                                              void *context),
                                 void *context);

/* A block that is not free. */
struct stoa_heap_use {
	uint64_t offset, bytes;
	stoa_peer holder; /* 0: published */
	uint32_t kept;    /* times; of a published one */
	int rooted, retained;
};

/* The same for each block that is not free. They may change meanwhile, and
 * `visit` may change them. */
STOA_API int stoa_heap_each(struct stoa_heap *heap,
                            int (*visit)(const struct stoa_heap_use *use,
                                         void *context),
                            void *context);

#ifdef __cplusplus
}
#endif
#endif
