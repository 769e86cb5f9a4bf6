/* SPDX-License-Identifier: MIT */
/*
 * stoa/semaphore_set.h: semaphores that are changed several at once, in the
 * manner of System V.
 *
 * Use it when an operation needs permits of several kinds, all or none; when
 * something waits for a value to become zero; or for undo per operation. (One
 * semaphore alone is quicker: see semaphore.)
 *
 * An operation is an array of changes: negative amounts wait until there is
 * as much, positive ones add, zero waits until the value is zero. They are
 * judged in array order, each seeing the ones before it, and take effect all
 * at one instant or not at all.
 *
 * Order of service: whoever can proceed does; none waits for his turn. Those
 * who sleep are woken in order of arrival as far as what was added goes, and
 * all of those who wait for more than one of a semaphore, or for several. A
 * value that is zero for a moment only may be missed by those asleep.
 *
 * Death and undo: a process killed at any instruction leaves an operation
 * whole or undone. Changes made with STOA_SEMAPHORE_UNDO are taken back, all
 * at once and once, when the process that made them ends in whatever way,
 * executes another program, or closes the handle. The result is cut to 0 ..
 * 32,767. Setting a value forgets what would be undone to it.
 *
 *   who may run at once    operate  set  get  stat  remove  close
 *   any thread or process     -      -    -     -     -       X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * Calls take turns (a turn lasts less than a microsecond for small arrays). If
 * a stopped process has the turn, those with a deadline return by it.
 *
 * Limits: 1 .. STOA_SEMAPHORE_SET_MAX semaphores, values 0 .. 32,767, 1 ..
 * STOA_SEMAPHORE_SET_OPERATIONS changes in an operation. Handles with undo at
 * once: 1,024 for sets of up to 2,048, fewer for larger ones (64 for the
 * largest). Waiters are counted up to 1,024. Memory: 16 bytes a semaphore (at
 * least 8 KiB), and 2 for each handle with undo.
 *
 * Fork: the child may use the handle, as itself; the parent's undo stays the
 * parent's. Not async-signal-safe; no cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the set was removed;
 * -EUCLEAN its shared memory can't be true; -EIO its file was truncated (needs
 * stoa_guard); -EUSERS too many handles. With a deadline: -EAGAIN (STOA_NOW),
 * -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE only). Calls without one wait for
 * their turn as long as it takes.
 */
#ifndef STOA_SEMAPHORE_SET_H
#define STOA_SEMAPHORE_SET_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_SEMAPHORE_SET_MAX 32000 /* semaphores */
#define STOA_SEMAPHORE_SET_OPERATIONS 500
#define STOA_SEMAPHORE_SET_VALUE_MAX 32767

struct stoa_semaphore_set;

/* How a set is made. */
struct stoa_semaphore_set_attributes {
	size_t size;           /* sizeof this struct */
	uint32_t count;        /* semaphores; default 1 */
	uint32_t reserved_word;
	const uint16_t *values; /* `count` of them to begin with; NULL: zeros */
	uint64_t reserved[4];  /* zero */
};

enum {
	STOA_SEMAPHORE_NO_WAIT = 1, /* -EAGAIN rather than wait for this one */
	STOA_SEMAPHORE_UNDO = 2     /* taken back when the process ends */
};

struct stoa_semaphore_change {
	uint32_t semaphore; /* 0 .. count - 1 */
	int32_t amount;     /* negative: wait for and take; positive: add; zero:
	                       wait for zero */
	uint32_t flags;     /* STOA_SEMAPHORE_NO_WAIT, STOA_SEMAPHORE_UNDO */
	uint32_t reserved;  /* zero */
};

/* What stoa_wait.detail points at, for STOA_READABLE: would the operation
 * succeed? Without it: is any value above zero? */
struct stoa_semaphore_operation {
	const struct stoa_semaphore_change *changes;
	size_t count;
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the set `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` NULL = one semaphore of value zero, and
 * ignored when the set exists). With `name` NULL and STOA_CREATE it has no
 * name: the handle is all there is, for this process and those that it forks.
 * Flags: STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE. Does not block. The
 * caller closes *ret_set.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a set, or of a layout this build doesn't
 * know; -EUCLEAN: its content can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_semaphore_set_open(
        struct stoa_space *space, const char *name, unsigned flags, mode_t mode,
        const struct stoa_semaphore_set_attributes *attributes,
        struct stoa_semaphore_set **ret_set);

/* Undoes what was done with undo through this handle, and frees it. NULL is
 * fine. */
STOA_API void stoa_semaphore_set_close(struct stoa_semaphore_set *set);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_semaphore_set_unlink(struct stoa_space *space,
                                       const char *name);

/* As IPC_RMID: everyone who waits or calls from now on gets -EIDRM, and the
 * name goes if it is still this set's. */
STOA_API int stoa_semaphore_set_remove(struct stoa_semaphore_set *set);

/* For stoa_wait_any and stoa_watch_once. */
STOA_API struct stoa_object *
stoa_semaphore_set_object(struct stoa_semaphore_set *set);

/* Number of semaphores. */
STOA_API uint32_t stoa_semaphore_set_count(const struct stoa_semaphore_set *set);

/* ---- Use ---------------------------------------------------------------- */

/*
 * Does all of the `count` changes at once, or waits until it can; acquires
 * what those wrote who posted, and releases what this process wrote.
 * -EAGAIN also: a change with STOA_SEMAPHORE_NO_WAIT would have to wait.
 * -EINVAL: no changes, unknown flags. -E2BIG: over
 * STOA_SEMAPHORE_SET_OPERATIONS. -EFBIG: no such semaphore. -ERANGE: a value,
 * or what would be undone, would pass 32,767. -ENOSPC: too many handles with
 * undo.
 */
STOA_API int stoa_semaphore_set_operate(
        struct stoa_semaphore_set *set,
        const struct stoa_semaphore_change *changes, size_t count,
        struct stoa_deadline deadline);

/* Sets one value, and forgets what would be undone to it. -EFBIG, -ERANGE. */
STOA_API int stoa_semaphore_set_set(struct stoa_semaphore_set *set,
                                    uint32_t semaphore, uint32_t value);

/* Sets all values at once, and forgets all undo. `count` must be the set's
 * (-EINVAL). -ERANGE. */
STOA_API int stoa_semaphore_set_set_all(struct stoa_semaphore_set *set,
                                        const uint16_t *values, size_t count);

/* ---- Inspect ------------------------------------------------------------- */

/* A value, 0 or more. What the dead left is undone first. -EFBIG. */
STOA_API int stoa_semaphore_set_get(struct stoa_semaphore_set *set,
                                    uint32_t semaphore);

/* All values of one moment. `count` must be the set's (-EINVAL). */
STOA_API int stoa_semaphore_set_get_all(struct stoa_semaphore_set *set,
                                        uint16_t *ret_values, size_t count);

struct stoa_semaphore_state {
	uint32_t value;
	pid_t last_pid;           /* of the last operation on it; 0: none */
	uint32_t waiting_increase; /* threads that wait until it is larger */
	uint32_t waiting_zero;
};

/* One semaphore. -EFBIG. */
STOA_API int stoa_semaphore_set_describe(struct stoa_semaphore_set *set,
                                         uint32_t semaphore,
                                         struct stoa_semaphore_state *ret_state);

struct stoa_semaphore_set_status {
	size_t size;    /* set by the caller: sizeof this struct */
	uint32_t count; /* semaphores */
	uint32_t users; /* handles */
	uint32_t waiting;           /* threads */
	uint32_t undoers;           /* handles with undo */
	int64_t last_operation_ns;  /* CLOCK_REALTIME, by the tick; 0: none */
	int64_t last_change_ns;     /* the same: set, or made */
	int64_t created_ns;
	uint64_t undone; /* handles whose changes were taken back by others */
	pid_t creator_pid;
	uint32_t reserved;
	uint64_t generation;
};

/* Each number is true of some moment during the call. -EINVAL: size. */
STOA_API int stoa_semaphore_set_stat(struct stoa_semaphore_set *set,
                                     struct stoa_semaphore_set_status *ret_status);

/* What one handle would have undone to one semaphore. */
struct stoa_semaphore_adjustment {
	stoa_peer peer;
	pid_t pid; /* as the peer itself saw it */
	uint32_t semaphore;
	int32_t amount; /* that would be added */
};

/* Calls `visit` for each, in no particular order; stops at its first non-zero
 * result and returns that; else returns the number visited. */
STOA_API int stoa_semaphore_set_each_adjustment(
        struct stoa_semaphore_set *set,
        int (*visit)(const struct stoa_semaphore_adjustment *adjustment,
                     void *context),
        void *context);

#ifdef __cplusplus
}
#endif
#endif
