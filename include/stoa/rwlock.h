/* SPDX-License-Identifier: MIT */
/*
 * stoa/rwlock.h: a lock that many threads of any processes have for reading
 * at once, or one has for writing, and whose holders and waiters may die at
 * any instruction.
 *
 * Use it around data in memory that is read far more often than written. (For
 * short sections a mutex costs less; for parts of something large see
 * range_lock.)
 *
 * Who is preferred is chosen when it is made:
 *   STOA_RWLOCK_READERS  a reader has it whenever no writer has. Readers that
 *                        overlap without end keep a writer waiting
 *   STOA_RWLOCK_WRITERS  a writer that waits stops readers that come later,
 *                        except those that have it already. Writers that
 *                        follow each other without end keep readers waiting
 *
 * Death: every rwlock is robust. A dead reader is forgotten. When a writer
 * dies, or its thread ends, or its handle is closed, the next to lock, for
 * reading or for writing, gets -EOWNERDEAD: it has the lock, *and has it for
 * writing*, whatever it asked for, as what the lock protects may be half
 * changed. It mends that, calls stoa_rwlock_consistent(), and unlocks or
 * downgrades. If it unlocks without, the lock is of no use to anybody any
 * more: whoever waits or comes later gets -ENOTRECOVERABLE. If it dies itself,
 * the next is told again. A writer that died while it waited has changed
 * nothing, and nobody is told. The dead are known by the kernel's word alone;
 * a stopped holder is never robbed.
 *
 * Three places it may be in: a file of the space (a name), a file without a
 * name, for this process and those that it forks (name NULL, STOA_CREATE),
 * or STOA_RWLOCK_BYTES of any memory that is shared (stoa_rwlock_place).
 *
 *   who may run at once     lock  unlock  up/downgrade  stat  close
 *   any thread or process     -      -         -          -     X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * A thread may lock for reading again what it has for reading, and unlocks as
 * often. Order: what was written before unlock is seen after the next lock
 * (release, acquire). Fork: the child may use the handle, as itself; what the
 * parent's threads have locked stays theirs. Not async-signal-safe; no
 * cancellation points.
 *
 * Limits: as many threads at once have it for reading as `readers` says; one
 * more waits until one of them unlocks. A writer looks at as many cache lines
 * as ever had a reader at once.
 *
 * Errors that every call on a handle may give: -EIDRM the lock was removed;
 * -EUCLEAN its shared memory can't be true; -EIO its file was cut short
 * (needs stoa_guard); -EUSERS too many handles; -EAGAIN 32,767 threads of
 * this process use stoa.
 */
#ifndef STOA_RWLOCK_H
#define STOA_RWLOCK_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_RWLOCK_READERS_MAX 16384

/* What one takes in memory of the caller's, with so many readers at once. */
#define STOA_RWLOCK_BYTES_FOR(readers) (512 + (size_t)(readers) * 64)
#define STOA_RWLOCK_BYTES STOA_RWLOCK_BYTES_FOR(16)

struct stoa_rwlock;

enum stoa_rwlock_preference { STOA_RWLOCK_READERS = 0, STOA_RWLOCK_WRITERS = 1 };

/* How an rwlock is made. Zero fields take the default. */
struct stoa_rwlock_attributes {
	size_t size;         /* sizeof this struct */
	uint32_t preference; /* enum stoa_rwlock_preference */
	/* Threads that can have it for reading at once, 1 to
	 * STOA_RWLOCK_READERS_MAX; default 64, or as many as there is room for
	 * in the caller's memory, at most 64. */
	uint32_t readers;
	uint32_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the rwlock `name`, or makes it (STOA_CREATE; `mode` is set exactly;
 * `attributes` NULL = all defaults, and ignored when the lock exists).
 * `flags`: STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE. Without a name
 * (NULL, STOA_CREATE) it is found by this handle only, here and in children
 * forked later. Does not block. The caller closes *ret_rwlock.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not an rwlock, or of a layout this build doesn't
 * know; -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_rwlock_open(struct stoa_space *space, const char *name,
                              unsigned flags, mode_t mode,
                              const struct stoa_rwlock_attributes *attributes,
                              struct stoa_rwlock **ret_rwlock);

/*
 * The same for an rwlock in memory that processes share: a segment, or a
 * mapping MAP_SHARED | MAP_ANONYMOUS made before they were forked. With
 * STOA_CREATE it is made afresh there, whatever the bytes were: by one process,
 * before others place it. `bytes` is what there is at `memory`, at least
 * STOA_RWLOCK_BYTES_FOR(attributes->readers), at an address divisible by 8
 * (best by 64). The memory stays mapped until the handle is closed. `space`:
 * any that all these processes have open; it tells who is alive.
 * -EINVAL: memory, bytes, flags, attributes; -EPROTO: no rwlock is there;
 * -EXDEV: it was made with another space; -EUCLEAN, -ENOMEM.
 */
STOA_API int stoa_rwlock_place(struct stoa_space *space, void *memory,
                               size_t bytes, unsigned flags,
                               const struct stoa_rwlock_attributes *attributes,
                               struct stoa_rwlock **ret_rwlock);

/* Frees the handle. What the calling thread has locked through it is given up:
 * for reading, unlocked; for writing, as if it had died. Other threads must
 * have nothing locked through it. NULL is fine. */
STOA_API void stoa_rwlock_close(struct stoa_rwlock *rwlock);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_rwlock_unlink(struct stoa_space *space, const char *name);

/* Removes the name if it is still this lock's, and everyone who waits or
 * calls from now on gets -EIDRM. */
STOA_API int stoa_rwlock_remove(struct stoa_rwlock *rwlock);

/* For stoa_wait_any and stoa_watch_once: STOA_READABLE holds when a reader,
 * STOA_WRITABLE when a writer would not have to wait. */
STOA_API struct stoa_object *stoa_rwlock_object(struct stoa_rwlock *rwlock);

/* ---- Use ---------------------------------------------------------------- */

/*
 * Locks for reading. Blocks while a writer has it, or waits for it and is
 * preferred, or `readers` others have it; STOA_NOW doesn't.
 * 0: locked. -EOWNERDEAD: locked *for writing*, and the last writer died with
 * it: see above. Everything else: not locked.
 * -EAGAIN (STOA_NOW) or -ETIMEDOUT: it can't be had; -EINTR
 * (STOA_INTERRUPTIBLE only); -EDEADLK: this thread has it for writing;
 * -EOVERFLOW: this thread has it for reading 2^32 - 1 times;
 * -ENOTRECOVERABLE: nobody can have it any more.
 */
STOA_API int stoa_rwlock_lock_read(struct stoa_rwlock *rwlock,
                                   struct stoa_deadline deadline);

/* Locks for writing. Blocks while anybody else has it. Results as above, but
 * -EDEADLK: this thread has it already, for reading or for writing. */
STOA_API int stoa_rwlock_lock_write(struct stoa_rwlock *rwlock,
                                    struct stoa_deadline deadline);

/* Unlocks what this thread has through this handle; of several locks for
 * reading, one. Wakes those who can go on. Does not block. -EPERM: it has
 * nothing (or others took its process for dead: its descriptors were
 * closed). */
STOA_API int stoa_rwlock_unlock(struct stoa_rwlock *rwlock);

/* From writing to reading, without anybody writing in between. Does not block.
 * -EPERM: this thread hasn't locked it for writing; -EINVAL: it was told of a
 * death, and stoa_rwlock_consistent() comes first; -EAGAIN: there is no room
 * for one more reader. It has it for writing still, then. */
STOA_API int stoa_rwlock_downgrade(struct stoa_rwlock *rwlock);

/* From reading to writing, without anybody writing in between, if nobody else
 * reads and no writer is before it. Does not block. -EPERM: this thread hasn't
 * locked it for reading; -EINVAL: it has more than once; -EAGAIN: others are
 * in the way. It has it for reading still, then. (To wait, unlock and lock for
 * writing: two that waited with it in hand would wait for each other.) */
STOA_API int stoa_rwlock_upgrade(struct stoa_rwlock *rwlock);

/* What the lock protects is whole again: after -EOWNERDEAD. Does not block.
 * -EINVAL: there was no death; -EPERM: this thread hasn't locked it. */
STOA_API int stoa_rwlock_consistent(struct stoa_rwlock *rwlock);

/* What the calling thread has through this handle: 0 nothing, STOA_READ,
 * STOA_WRITE. Does not block. */
STOA_API int stoa_rwlock_held(struct stoa_rwlock *rwlock);

/* ---- Inspect ------------------------------------------------------------ */

enum stoa_rwlock_state {
	STOA_RWLOCK_FREE = 0,
	STOA_RWLOCK_READ = 1,    /* one or more read */
	STOA_RWLOCK_WRITTEN = 2, /* one writes */
	/* Locked for writing by one who was told of a death and has not mended
	 * it yet. */
	STOA_RWLOCK_INCONSISTENT = 3,
	/* Its writer is dead or gone; the next to lock it will be told. */
	STOA_RWLOCK_ORPHANED = 4,
	STOA_RWLOCK_NOT_RECOVERABLE = 5
};

struct stoa_rwlock_status {
	size_t size; /* set by the caller: sizeof this struct */
	uint32_t preference;
	uint32_t state;       /* enum stoa_rwlock_state */
	uint32_t readers_max; /* that can be at once */
	uint32_t readers;     /* living, that have it */
	/* Of the writer that has it; 0 when there is none. */
	stoa_peer writer;
	pid_t writer_pid; /* as it sees itself, in its own PID namespace */
	pid_t writer_tid;
	int64_t writer_since_ns; /* CLOCK_REALTIME, by the tick */
	uint32_t readers_waiting; /* that stoa_rwlock_each_waiter would show */
	uint32_t writers_waiting;
};

/* How it stands just now, without disturbing anybody. Does not block.
 * -EINVAL: ret_status->size. */
STOA_API int stoa_rwlock_stat(struct stoa_rwlock *rwlock,
                              struct stoa_rwlock_status *ret_status);

/* One who has it, or waits for it. */
struct stoa_rwlock_user {
	stoa_peer peer;
	pid_t pid; /* as it sees itself */
	pid_t tid;
	unsigned mode;    /* STOA_READ or STOA_WRITE */
	int alive;        /* 0: dead, and in nobody's way so far */
	int64_t since_ns; /* CLOCK_REALTIME, by the tick */
};

/* Calls `visit` for each thread that has it, the dead too. Stops at its first
 * non-zero result and returns that; else the number visited. Does not
 * block. */
STOA_API int
stoa_rwlock_each_holder(struct stoa_rwlock *rwlock,
                        int (*visit)(const struct stoa_rwlock_user *user,
                                     void *context),
                        void *context);

/* The same for each living thread that sleeps until it can have it; for
 * sixteen of them when there are more. */
STOA_API int
stoa_rwlock_each_waiter(struct stoa_rwlock *rwlock,
                        int (*visit)(const struct stoa_rwlock_user *user,
                                     void *context),
                        void *context);

#ifdef __cplusplus
}
#endif
#endif
