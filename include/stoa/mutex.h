/* SPDX-License-Identifier: MIT */
/*
 * stoa/mutex.h: a mutual exclusion lock between threads of any processes,
 * whose owner may die at any instruction.
 *
 * Use it around data in memory that several processes write. (To wait until
 * the data are as wished see condition; for many readers at once see rwlock;
 * for parts of something large see range_lock.)
 *
 * Kinds, chosen when it is made:
 *   STOA_MUTEX_NORMAL     locking it again waits, for its own thread too
 *   STOA_MUTEX_RECURSIVE  its thread may lock it again, and unlocks as often
 *   STOA_MUTEX_CHECKED    locking it again is -EDEADLK, and so is a wait that
 *                         closes a circle of waits (see stoa/range_lock.h)
 * Of each kind only the thread that locked it can unlock it (else -EPERM).
 *
 * Death: every mutex is robust. When the owner dies, by kill -9 or otherwise,
 * or its thread ends, or its handle is closed, the next to lock gets it with
 * -EOWNERDEAD: it *has* the lock, and what the mutex protects may be half
 * changed. It mends that and calls stoa_mutex_consistent(). If it unlocks
 * without, the mutex is of no use to anybody any more: whoever waits or comes
 * later gets -ENOTRECOVERABLE. If it dies itself, the next is told again.
 * The dead are known by the kernel's word alone; a stopped owner is never
 * robbed. (A thread that ends by a raw system call is not noticed while its
 * process lives.)
 *
 * Three places it may be in: a file of the space (a name), a file without a
 * name, for this process and those that it forks (name NULL, STOA_CREATE),
 * or STOA_MUTEX_BYTES of any memory that is shared (stoa_mutex_place).
 *
 *   who may run at once     lock  unlock  consistent  stat  close
 *   any thread or process     -      -         -        -     X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * Order: what was written before unlock is seen after the next lock (release,
 * acquire). Not fair: a thread that comes when it is free has it at once; who
 * sleeps is woken in turn, one at a time. Fork: the child may use the handle,
 * as itself; what the parent's threads have locked stays theirs. Not
 * async-signal-safe; no cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the mutex was removed;
 * -EUCLEAN its shared memory can't be true; -EIO its file was cut short
 * (needs stoa_guard); -EUSERS too many handles; -EAGAIN 32,767 threads of
 * this process use stoa.
 */
#ifndef STOA_MUTEX_H
#define STOA_MUTEX_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_MUTEX_BYTES 320 /* that one takes in memory of the caller's */
#define STOA_MUTEX_DEPTH_MAX 0x7fffffff

struct stoa_mutex;

enum stoa_mutex_kind {
	STOA_MUTEX_NORMAL = 0,
	STOA_MUTEX_RECURSIVE = 1,
	STOA_MUTEX_CHECKED = 2
};

/* How a mutex is made. */
struct stoa_mutex_attributes {
	size_t size;   /* sizeof this struct */
	uint32_t kind; /* enum stoa_mutex_kind */
	uint32_t reserved[5]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the mutex `name`, or makes it (STOA_CREATE; `mode` is set exactly;
 * `attributes` NULL = STOA_MUTEX_NORMAL, and ignored when the mutex exists).
 * `flags`: STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE. Without a name
 * (NULL, STOA_CREATE) it is found by this handle only, here and in children
 * forked later. Does not block. The caller closes *ret_mutex.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a mutex, or of a layout this build doesn't
 * know; -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_mutex_open(struct stoa_space *space, const char *name,
                             unsigned flags, mode_t mode,
                             const struct stoa_mutex_attributes *attributes,
                             struct stoa_mutex **ret_mutex);

/*
 * The same for a mutex in memory that processes share: a segment, or a mapping
 * MAP_SHARED | MAP_ANONYMOUS made before they were forked. With STOA_CREATE it
 * is made afresh there, whatever the bytes were: by one process, before others
 * place it. `bytes` is what there is at `memory`, STOA_MUTEX_BYTES or more, at
 * an address divisible by 8 (best by 64). The memory stays mapped until the
 * handle is closed. `space`: any that all these processes have open; it tells
 * who is alive.
 * -EINVAL: memory, bytes, flags, attributes; -EPROTO: no mutex is there;
 * -EXDEV: it was made with another space; -EUCLEAN, -ENOMEM.
 */
STOA_API int stoa_mutex_place(struct stoa_space *space, void *memory,
                              size_t bytes, unsigned flags,
                              const struct stoa_mutex_attributes *attributes,
                              struct stoa_mutex **ret_mutex);

/* Frees the handle. If this process has the mutex locked through it, that is
 * given up as if the owner had died. NULL is fine. */
STOA_API void stoa_mutex_close(struct stoa_mutex *mutex);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_mutex_unlink(struct stoa_space *space, const char *name);

/* Removes the name if it is still this mutex's, and everyone who waits or
 * calls from now on gets -EIDRM. */
STOA_API int stoa_mutex_remove(struct stoa_mutex *mutex);

/* For stoa_wait_any and stoa_watch_once: STOA_READABLE holds when a lock
 * would not have to wait. */
STOA_API struct stoa_object *stoa_mutex_object(struct stoa_mutex *mutex);

/* ---- Use ---------------------------------------------------------------- */

/*
 * Locks the mutex. Blocks while another thread has it; STOA_NOW doesn't.
 * 0: locked. -EOWNERDEAD: *locked*, and the last owner died with it: see
 * above. Everything else: not locked.
 * -EAGAIN (STOA_NOW) or -ETIMEDOUT: another has it; -EINTR
 * (STOA_INTERRUPTIBLE only); -EDEADLK: STOA_MUTEX_CHECKED, and this thread has
 * it, or waiting would close a circle of waits, which stoa_last_error() names; -EOVERFLOW: STOA_MUTEX_RECURSIVE, and this thread has it
 * STOA_MUTEX_DEPTH_MAX times; -ENOTRECOVERABLE: nobody can have it any more.
 */
STOA_API int stoa_mutex_lock(struct stoa_mutex *mutex,
                             struct stoa_deadline deadline);

/* Unlocks it: STOA_MUTEX_RECURSIVE once of as often as it was locked. Wakes
 * one of those who wait. Does not block. -EPERM: this thread hasn't locked it
 * (or others took its process for dead: its descriptors were closed). */
STOA_API int stoa_mutex_unlock(struct stoa_mutex *mutex);

/* What the mutex protects is whole again: after -EOWNERDEAD. Does not block.
 * -EINVAL: there was no death; -EPERM: this thread hasn't locked it. */
STOA_API int stoa_mutex_consistent(struct stoa_mutex *mutex);

/* How often the calling thread has it locked: 0 not, 1, or more if
 * STOA_MUTEX_RECURSIVE. Does not block. */
STOA_API int stoa_mutex_held(struct stoa_mutex *mutex);

/* ---- Inspect ------------------------------------------------------------ */

enum stoa_mutex_state {
	STOA_MUTEX_FREE = 0,
	STOA_MUTEX_LOCKED = 1,
	/* Locked by one who was told of a death and has not mended it yet. */
	STOA_MUTEX_INCONSISTENT = 2,
	/* Its owner is dead or gone; the next to lock it will be told. */
	STOA_MUTEX_ORPHANED = 3,
	STOA_MUTEX_NOT_RECOVERABLE = 4
};

struct stoa_mutex_status {
	size_t size; /* set by the caller: sizeof this struct */
	uint32_t kind;
	uint32_t state; /* enum stoa_mutex_state */
	/* Of the owner; 0 when there is none. */
	stoa_peer owner;
	pid_t owner_pid; /* as it sees itself, in its own PID namespace */
	pid_t owner_tid;
	int64_t owner_since_ns; /* CLOCK_REALTIME; of the first lock of many */
	uint32_t depth;         /* of a recursive one's locks: 1 .. */
	uint32_t waiters;       /* that stoa_mutex_each_waiter would show */
};

/* How it stands just now, without disturbing anybody. Does not block.
 * -EINVAL: ret_status->size. */
STOA_API int stoa_mutex_stat(struct stoa_mutex *mutex,
                             struct stoa_mutex_status *ret_status);

struct stoa_mutex_waiter {
	stoa_peer peer;
	pid_t pid; /* as it sees itself */
	pid_t tid;
	int64_t since_ns; /* CLOCK_REALTIME, by the tick */
};

/* Calls `visit` for each living thread that sleeps until it can have the
 * mutex; for ten of them when there are more. Stops at its first non-zero
 * result and returns that; else the number visited. Does not block. */
STOA_API int
stoa_mutex_each_waiter(struct stoa_mutex *mutex,
                       int (*visit)(const struct stoa_mutex_waiter *waiter,
                                    void *context),
                       void *context);

#ifdef __cplusplus
}
#endif
#endif
