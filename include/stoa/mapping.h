/* SPDX-License-Identifier: MIT */
/*
 * stoa/mapping.h: files and memory mapped into this process: private or
 * shared, of a file or anonymous, through one interface that checks.
 *
 * Use it for files of one's own, for memory that forked children share, and for
 * what the kernel can do with mapped memory: protecting, pinning, advising. (For
 * memory that other programs find by name see segment.)
 *
 *   private, anonymous   memory of this process's own
 *   shared, anonymous    memory that it shares with those that it forks
 *   private, file        the file's bytes; what is written stays here
 *   shared, file         the file's bytes; what is written goes to the file
 *
 * Offsets and lengths are in bytes and need not be multiples of a page. What
 * the kernel can only do with whole pages is done with every page that has a
 * byte of the range; except where that would lose bytes next to it: advice that
 * discards is given for the pages that lie in the range as a whole.
 *
 * Ranges are checked: one that isn't in the mapping is -ERANGE.
 *
 * A file that is shortened while it is mapped: stoa_mapping_read() and _write()
 * answer -EIO, whatever the program does about signals. Who goes through the
 * pointer gets SIGBUS; after stoa_guard() zeros instead, and then -EIO from each
 * call (but unmap) on the mapping.
 *
 *   who may run at once   read  write  the rest  resize, unmap
 *   any thread              -     -       -           X
 *   (- free; X the caller sees to it that nobody else uses the mapping)
 *
 * Per process: all of it. A forked child has the mapping and the handle too,
 * except what was advised STOA_ADVISE_DONT_FORK; pins are not inherited. Nothing
 * survives exec. A process killed in the middle leaves what the kernel wrote to
 * the file. Not async-signal-safe; no cancellation points.
 *
 * Descriptors: none is kept (one, of shared anonymous memory). Failures of the
 * kernel's: its error, with a sentence; -EIO: see above.
 */
#ifndef STOA_MAPPING_H
#define STOA_MAPPING_H

#include <stoa/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_mapping;

#define STOA_MAPPING_EXECUTE 0x10000u /* beside STOA_READ and STOA_WRITE */
#define STOA_MAPPING_ANONYMOUS (-1)   /* instead of a descriptor */
#define STOA_MAPPING_ZERO (-2)        /* the same by way of /dev/zero */

struct stoa_mapping_attributes {
	size_t size;         /* sizeof this struct */
	int file;            /* descriptor, which the caller may close then, or
	                        STOA_MAPPING_ANONYMOUS, STOA_MAPPING_ZERO */
	uint32_t shared;     /* 1: shared; 0: private */
	uint32_t protection; /* STOA_READ, STOA_WRITE, STOA_MAPPING_EXECUTE; 0:
	                        none may touch it, for now */
	uint32_t beyond;     /* 1: may reach beyond the end of the file */
	uint64_t offset;     /* in the file */
	uint64_t bytes;      /* 0: from there to the end of the file */
	void *address; /* of the page that has the first byte; NULL: anywhere.
	                  Nothing that is mapped is replaced */
	uint64_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Maps. Does not read the file yet, and reserves no memory. The caller unmaps
 * *ret_mapping.
 * -EINVAL: attributes; no bytes; the address. -EBADF: no such descriptor.
 * -EACCES: the descriptor wasn't opened for that. -ENODATA: the file has no bytes
 * there. -ENXIO: it ends before the range does. -ENODEV: not a file that can be
 * mapped. -EADDRINUSE: something is mapped at the address. -EOVERFLOW, -ENOMEM.
 */
STOA_API int
stoa_mapping_map(const struct stoa_mapping_attributes *attributes,
                 struct stoa_mapping **ret_mapping);

/* Unmaps; what was pinned is not any more. NULL is fine. */
STOA_API void stoa_mapping_unmap(struct stoa_mapping *mapping);

/* The first byte; changed by stoa_mapping_resize() alone. */
STOA_API void *stoa_mapping_data(const struct stoa_mapping *mapping);
STOA_API uint64_t stoa_mapping_size(const struct stoa_mapping *mapping);
/* Bytes of a page: the unit of what is done to ranges. */
STOA_API uint64_t stoa_mapping_page(const struct stoa_mapping *mapping);

enum { STOA_MAPPING_MAY_MOVE = 1 };

/*
 * Makes it larger or smaller; larger at the same address, unless it can't be
 * had and `flags` has STOA_MAPPING_MAY_MOVE. What it grows by is zeros, or the
 * file's. A file's size isn't changed. -EINVAL: no bytes, flags. -ENOMEM: what
 * follows is in use, and it may not move. -ENXIO: beyond the end that the
 * file had when it was mapped, and that wasn't allowed. -EOPNOTSUPP: larger, and shared by way of
 * /dev/zero. -EFAULT: parts of it are protected differently.
 */
STOA_API int stoa_mapping_resize(struct stoa_mapping *mapping, uint64_t bytes,
                                 unsigned flags);

/* ---- Use ---------------------------------------------------------------- */

/* Copies `bytes` bytes from `from` on, and returns how many. -EIO: the file has
 * been shortened, or can't be read; some of the buffer may be written. -EACCES:
 * a page is protected against it. -ERANGE. */
STOA_API int64_t stoa_mapping_read(struct stoa_mapping *mapping, uint64_t from,
                                   void *ret_buffer, uint64_t bytes);
/* The other way round; some of it may be written. */
STOA_API int64_t stoa_mapping_write(struct stoa_mapping *mapping, uint64_t from,
                                    const void *buffer, uint64_t bytes);

/* Says what may be done to the range from now on: STOA_READ, STOA_WRITE,
 * STOA_MAPPING_EXECUTE, or 0. -EACCES: more than the file was opened for. */
STOA_API int stoa_mapping_protect(struct stoa_mapping *mapping, uint64_t from,
                                  uint64_t bytes, unsigned protection);

/*
 * Reads the range into memory (STOA_READ), or makes it ready to be written to
 * (STOA_WRITE), in steps, and calls `progress` (may be NULL) after each with how
 * much is done; its first non-zero result ends it and is returned. 0. -EIO: see
 * stoa_mapping_read. -EACCES, -ERANGE. -EINVAL: also before Linux 5.14.
 */
STOA_API int stoa_mapping_populate(struct stoa_mapping *mapping, uint64_t from,
                                   uint64_t bytes, unsigned access,
                                   int (*progress)(uint64_t done,
                                                   uint64_t bytes,
                                                   void *context),
                                   void *context);

enum { STOA_MAPPING_ASYNC = 1, STOA_MAPPING_INVALIDATE = 2 };

/* Writes what was changed to the file, and returns when it is there; with
 * STOA_MAPPING_ASYNC only sees to it that it will be. With
 * STOA_MAPPING_INVALIDATE other mappings see what is in the file. -EIO: the
 * file can't be written. -EBUSY: to invalidate, and it is pinned. -ERANGE. */
STOA_API int stoa_mapping_sync(struct stoa_mapping *mapping, uint64_t from,
                               uint64_t bytes, unsigned flags);

/* ---- Memory ------------------------------------------------------------- */

/* Brings the range into memory and keeps it there, until it is unpinned (once,
 * however often it was pinned) or unmapped. -EPERM, -ENOMEM, -EAGAIN: more than
 * RLIMIT_MEMLOCK allows; the sentence tells its value and how to raise it.
 * -EIO, -EACCES: as stoa_mapping_read. -ERANGE. On failure nothing of the range
 * is pinned. */
STOA_API int stoa_mapping_pin(struct stoa_mapping *mapping, uint64_t from,
                              uint64_t bytes);
STOA_API int stoa_mapping_unpin(struct stoa_mapping *mapping, uint64_t from,
                                uint64_t bytes);

enum {
	STOA_PIN_PRESENT = 1,  /* all that is mapped now */
	STOA_PIN_FUTURE = 2,   /* all that will be */
	STOA_PIN_ON_TOUCH = 4 /* with these: only once it was touched */
};

/* The same with all memory of the process. -EINVAL: flags. */
STOA_API int stoa_mapping_pin_process(unsigned flags);
STOA_API int stoa_mapping_unpin_process(void);

/*
 * How many pages of the range are in memory, of stoa_mapping_pages() of it.
 * Bit i (of byte i / 8, the lowest first) of `ret_bitmap`, unless that is NULL,
 * says it of page i. For files that the caller neither owns nor may write the
 * kernel says so of all. -ERANGE, -ENOMEM.
 */
STOA_API int64_t stoa_mapping_resident(struct stoa_mapping *mapping,
                                       uint64_t from, uint64_t bytes,
                                       uint8_t *ret_bitmap);

/* Pages that have a byte of the range. 0: it isn't one. */
STOA_API uint64_t stoa_mapping_pages(const struct stoa_mapping *mapping,
                                     uint64_t from, uint64_t bytes);

/* See madvise(2). Those of the first group discard: inner pages alone. */
enum stoa_advice {
	STOA_ADVISE_DONT_NEED = 1, /* drop it now: zeros, or the file's again */
	STOA_ADVISE_FREE,   /* drop it when memory is short; private anonymous */
	STOA_ADVISE_REMOVE, /* free it in the file: zeros; shared, of tmpfs */

	STOA_ADVISE_NORMAL,
	STOA_ADVISE_SEQUENTIAL, /* read ahead much */
	STOA_ADVISE_RANDOM,     /* read ahead nothing */
	STOA_ADVISE_WILL_NEED,  /* read it soon */
	STOA_ADVISE_COLD,       /* of all, write this out first */
	STOA_ADVISE_PAGE_OUT,   /* now */
	STOA_ADVISE_HUGE_PAGE,
	STOA_ADVISE_NO_HUGE_PAGE,
	STOA_ADVISE_COLLAPSE, /* into huge pages now */
	STOA_ADVISE_MERGEABLE, /* with equal pages */
	STOA_ADVISE_UNMERGEABLE,
	STOA_ADVISE_DONT_FORK, /* children don't have it */
	STOA_ADVISE_DO_FORK,
	STOA_ADVISE_WIPE_ON_FORK, /* children have zeros; private anonymous */
	STOA_ADVISE_KEEP_ON_FORK,
	STOA_ADVISE_DONT_DUMP, /* not in core files */
	STOA_ADVISE_DO_DUMP,
	STOA_ADVISE_POPULATE_READ, /* see stoa_mapping_populate */
	STOA_ADVISE_POPULATE_WRITE
};

/* The name of an advice, as stoa(1) takes it ("will-need"). NULL: unknown. */
STOA_API const char *stoa_mapping_advice_name(enum stoa_advice advice);

/* -EINVAL: unknown, or this mapping or kernel can't; -ERANGE, -EIO. */
STOA_API int stoa_mapping_advise(struct stoa_mapping *mapping, uint64_t from,
                                 uint64_t bytes, enum stoa_advice advice);

#ifdef __cplusplus
}
#endif
#endif
