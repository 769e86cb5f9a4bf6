/* SPDX-License-Identifier: MIT */
/*
 * stoa/range_lock.h: shared and exclusive locks on ranges of numbers: bytes
 * of a file, records of a table, keys. What the numbers mean is the callers'
 * matter; the lock is an object of its own and touches no file.
 *
 * Use it when many may work on different parts of one thing at once. (For a
 * thing as a whole see mutex and rwlock.)
 *
 * Manners are fcntl's: locking a range that one has already changes its mode
 * (upgrade, downgrade), in part if it is a part; unlocking a part splits;
 * neighbours of one mode become one. What fcntl lacks: the owner is the
 * handle, or the process if asked; whoever waits has a place in line; every
 * wait has a deadline and is checked for deadlock over all of stoa's locks.
 *
 * In line: a request waits while somebody else's range is in its way (one of
 * the two being exclusive), or an older request that waits itself and would
 * be in its way. So a writer is never starved by readers who come later. One
 * exception: who holds what the older request waits for goes past it, as
 * both would wait for one another else. The first 256 waiters have a place;
 * more come after them in any order. A process that is stopped keeps its
 * place, and what it has locked.
 *
 * Death: what a handle has locked is free when its process ends in whatever
 * way, or closes the handle. Whoever waited for it has it within
 * milliseconds of the kernel's word. There is nothing to make consistent:
 * what the ranges protect, only their users can tell.
 *
 *   who may run at once     lock  unlock  test  stat  close
 *   any thread or process     -      -      -     -     X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * Threads that share a handle share what it has locked: they don't exclude
 * one another by it. A thread that needs to opens a handle of its own.
 *
 * Limits: `capacity` ranges at once (1 .. 2^24, 64 bytes each), 65,472
 * handles. A lock or unlock costs O(log ranges), and as much again for each
 * range of one's own that it changes. Fork: the child may use the handle, as
 * another owner; what the parent has locked stays the parent's. Not
 * async-signal-safe; no cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the lock was removed;
 * -EUCLEAN its shared memory can't be true; -EIO its file was truncated
 * (needs stoa_guard); -EUSERS too many handles. With a deadline: -EAGAIN
 * (STOA_NOW), -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_RANGE_LOCK_H
#define STOA_RANGE_LOCK_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_range_lock;

/* Modes of a range. */
#define STOA_RANGE_SHARED 1u    /* others may share it */
#define STOA_RANGE_EXCLUSIVE 2u /* nobody else has any of it */
/* With either: the owner is the process, not the handle. All handles of the
 * process own such a range together: any of them may convert or unlock it,
 * and none is hindered by it. It ends with the process, or with the handle
 * that locked it last (not, as fcntl's, with any). */
#define STOA_RANGE_PROCESS 4u

struct stoa_range {
	uint64_t start;
	uint64_t length; /* 0: up to the end of all numbers */
	uint32_t mode;   /* STOA_RANGE_*; unlock: STOA_RANGE_PROCESS or 0 */
	uint32_t reserved; /* zero */
};

/* How a range lock is made. Zero fields take the default. */
struct stoa_range_lock_attributes {
	uint32_t size;     /* sizeof this struct */
	uint32_t unused;   /* zero */
	uint64_t capacity; /* ranges at once; default 1,024 */
	uint64_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the range lock `name`, or makes it (STOA_CREATE; `mode` is set
 * exactly, whatever the umask; `attributes` NULL = all defaults, and ignored
 * when it exists). `name` NULL with STOA_CREATE: one without a name, for this
 * process and those that it forks. Does not block.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, attributes, or flags other than
 * STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE; -ENOSPC: the tmpfs is too
 * full; -EPROTO: not a range lock, or of a layout this build doesn't know;
 * -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int
stoa_range_lock_open(struct stoa_space *space, const char *name,
                     unsigned flags, mode_t mode,
                     const struct stoa_range_lock_attributes *attributes,
                     struct stoa_range_lock **ret_lock);

/* Unlocks what was locked through the handle, and frees it. NULL is fine. */
STOA_API void stoa_range_lock_close(struct stoa_range_lock *lock);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_range_lock_unlink(struct stoa_space *space,
                                    const char *name);

/* As IPC_RMID: removes the name if it is still this lock's, and everyone who
 * waits or calls from now on gets -EIDRM. */
STOA_API int stoa_range_lock_remove(struct stoa_range_lock *lock);

/* For stoa_wait_any and stoa_watch_once: STOA_READABLE holds while `detail`
 * (const struct stoa_range *, NULL: the whole) could be locked shared,
 * STOA_WRITABLE while it could be exclusively; the mode in `detail` counts
 * only for STOA_RANGE_PROCESS. */
STOA_API struct stoa_object *
stoa_range_lock_object(struct stoa_range_lock *lock);

/* ---- Lock --------------------------------------------------------------- */

/*
 * Locks `range` (NULL: the whole, exclusively). Blocks while others are in
 * the way. What this owner has in the range already gets the new mode; until
 * then, and if the call fails, it keeps the old one. What the last owner wrote
 * before its unlock is visible (acquire; pairs with unlock).
 * -EINVAL: start + length is over 2^64, unknown mode. -ENOLCK: as many ranges
 * are locked as there is room for. -EDEADLK: waiting would close a circle of
 * waits; stoa_last_error() names it. A wait that lasts is checked, from its
 * first millisecond on; of two that close a circle at once, one is refused.
 * (A range counts as held by the thread that locked it. If another thread is
 * meant to unlock it, a circle may be seen that is none.)
 */
STOA_API int stoa_range_lock_lock(struct stoa_range_lock *lock,
                                  const struct stoa_range *range,
                                  struct stoa_deadline deadline);

/* Unlocks what this owner has of `range` (NULL: everything of the handle's);
 * having none of it is no error. Blocks only while others change the table
 * of ranges, which takes microseconds. -EINVAL; -ENOLCK: to split a range
 * takes room for one more; -ETIMEDOUT: a process is stopped in the middle of
 * such a change, so for a second no range could be unlocked in part. */
STOA_API int stoa_range_lock_unlock(struct stoa_range_lock *lock,
                                    const struct stoa_range *range);

/* ---- Inspect ------------------------------------------------------------ */

/* One range that is locked, or waited for. */
struct stoa_range_holder {
	struct stoa_range range;
	uint32_t waiting; /* 1: it is waited for */
	uint32_t thread;  /* number of the thread within its process */
	stoa_peer peer;
	pid_t pid;
	/* Of one that waits: the first that is in its way. 0: nobody now. */
	pid_t blocker_pid;
	stoa_peer blocker;
	uint64_t reserved[4];
};

/*
 * Whether `range` (NULL: the whole, exclusively) could be locked now. 0: yes.
 * 1: no, and *ret_holder (may be NULL) is the first in the way: a holder, or
 * one that waits in line before. -EINVAL. As F_GETLK, the answer may be
 * outdated when it comes.
 */
STOA_API int stoa_range_lock_test(struct stoa_range_lock *lock,
                                  const struct stoa_range *range,
                                  struct stoa_range_holder *ret_holder);

/* Calls `visit` for each range that is locked or waited for, in no order,
 * until it returns other than 0, which is returned then; else how many there
 * were. Each is true of some moment during the call. `visit` may use the
 * lock. */
STOA_API int
stoa_range_lock_each(struct stoa_range_lock *lock,
                     int (*visit)(const struct stoa_range_holder *,
                                  void *context),
                     void *context);

struct stoa_range_lock_status {
	uint32_t size; /* set by the caller: sizeof this struct */
	uint32_t users;
	uint64_t capacity;
	uint64_t ranges; /* locked: shared and exclusive */
	uint64_t exclusive;
	uint64_t waiting; /* that have a place in line */
	int64_t created_ns; /* CLOCK_REALTIME */
	pid_t creator_pid;
	uint32_t unused;
	uint64_t generation;
	uint64_t reserved[4];
};

/* The numbers of one moment. O(capacity used). -EINVAL: size. */
STOA_API int stoa_range_lock_stat(struct stoa_range_lock *lock,
                                  struct stoa_range_lock_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif
