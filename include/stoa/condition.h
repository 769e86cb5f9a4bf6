/* SPDX-License-Identifier: MIT */
/*
 * stoa/condition.h: waiting, with a mutex unlocked meanwhile, until another
 * thread of any process says that what the mutex protects has changed.
 *
 *	stoa_mutex_lock(mutex, STOA_FOREVER);
 *	while (!ready)
 *		stoa_condition_wait(condition, mutex, STOA_FOREVER);
 *	...
 *	stoa_mutex_unlock(mutex);
 *
 * A signal is given to one waiter, the one that has waited longest; nobody who
 * comes later can take it away. A broadcast is for all who wait at that
 * moment. A wait doesn't end without one, except at its deadline, by a signal
 * handler (STOA_INTERRUPTIBLE), or after a death (below); look at what is
 * waited for anew each time nevertheless: it may have changed again.
 *
 * Death: a waiter that dies, asleep, just woken or while locking the mutex
 * again, has not had its signal: that goes to another waiter, within 50 ms of
 * the kernel's word; if no other waits, to the first that waits later. So one
 * that died before it slept counts as waiting until another waiter has found it
 * dead: a signal may be given to it, and told to one that began after the
 * signal. If the signaller dies, its signal was given or not; if it, or who
 * passes one on, dies in between, a waiter may also get one that was meant for
 * nobody. A broadcast is told to all or to nobody, whenever its caller dies.
 * Nobody waits for the dead.
 *
 * A signal is for those who wait; if nobody does it leaves no trace but the
 * count of stoa_condition_count(). It may be given with or without the mutex.
 * One condition may be used with several mutexes, and the other way round.
 * Places, names, fork: as mutexes have them.
 *
 *   who may run at once     wait  signal  broadcast  count  stat  close
 *   any thread or process     -      -        -        -      -     X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * Limits: as many wait at once as the condition was made for. A signal with
 * nobody waiting makes no system call. Not async-signal-safe; no cancellation
 * points: a thread must not leave a wait by longjmp.
 *
 * Errors that every call on a handle may give: -EIDRM the condition was
 * removed; -EUCLEAN its shared memory can't be true; -EIO its file was cut
 * short (needs stoa_guard); -EUSERS too many handles; -EAGAIN 32,767 threads
 * of this process use stoa.
 */
#ifndef STOA_CONDITION_H
#define STOA_CONDITION_H

#include <stoa/mutex.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_CONDITION_WAITERS_MAX 65536
/* Bytes that one takes in memory of the caller's, for so many waiters. */
#define STOA_CONDITION_BYTES_FOR(waiters) (64 + 32 * (size_t)(waiters))
#define STOA_CONDITION_BYTES STOA_CONDITION_BYTES_FOR(62) /* 2,048 */

struct stoa_condition;

/* How a condition is made. */
struct stoa_condition_attributes {
	size_t size; /* sizeof this struct */
	/* At once, of all processes: 1 .. STOA_CONDITION_WAITERS_MAX. 0: 1,024;
	 * or, in memory of the caller's, as many as there is room for. */
	uint32_t waiters;
	uint32_t reserved[5]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the condition `name`, or makes it (STOA_CREATE; `mode` is set exactly;
 * `attributes` NULL = defaults, and ignored when the condition exists).
 * `flags`: STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE. Without a name
 * (NULL, STOA_CREATE) it is found by this handle only, here and in children
 * forked later. Does not block. The caller closes *ret_condition.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a condition, or of a layout this build
 * doesn't know; -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int
stoa_condition_open(struct stoa_space *space, const char *name, unsigned flags,
                    mode_t mode,
                    const struct stoa_condition_attributes *attributes,
                    struct stoa_condition **ret_condition);

/* The same for a condition in memory that processes share, which takes
 * STOA_CONDITION_BYTES_FOR(waiters): see stoa_mutex_place. */
STOA_API int
stoa_condition_place(struct stoa_space *space, void *memory, size_t bytes,
                     unsigned flags,
                     const struct stoa_condition_attributes *attributes,
                     struct stoa_condition **ret_condition);

/* Frees the handle. NULL is fine. */
STOA_API void stoa_condition_close(struct stoa_condition *condition);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_condition_unlink(struct stoa_space *space, const char *name);

/* Removes the name if it is still this condition's, and everyone who waits or
 * calls from now on gets -EIDRM. */
STOA_API int stoa_condition_remove(struct stoa_condition *condition);

/* For stoa_wait_any and stoa_watch_once: STOA_READABLE holds when
 * stoa_condition_count() is not wait->amount any more. */
STOA_API struct stoa_object *
stoa_condition_object(struct stoa_condition *condition);

/* ---- Use ---------------------------------------------------------------- */

/*
 * Unlocks `mutex`, which the calling thread has locked, and waits to be told;
 * then locks it again, as often as it was. Nobody can lock the mutex, signal,
 * and be missed in between. The deadline is for being told: locking again
 * takes as long as it takes.
 *
 * The mutex is locked again when this returns
 *   0            told;
 *   -ETIMEDOUT, -EAGAIN (STOA_NOW)  not told by the deadline;
 *   -EINTR       a signal handler ran (condition: STOA_INTERRUPTIBLE);
 *   -EOWNERDEAD  told or not; an owner of the mutex died: see mutex;
 *   -EUSERS      as many wait as can: it was not unlocked at all;
 *   -EIDRM, -EUCLEAN, -EIO  the condition can't be waited on any more.
 * It is not locked when this returns -EPERM (it wasn't), -ENOTRECOVERABLE, or
 * when -EIDRM, -EUCLEAN or -EIO are the mutex's: stoa_mutex_held() tells.
 * (Waiting with an inconsistent mutex unlocks it, and so loses it for good.)
 */
STOA_API int stoa_condition_wait(struct stoa_condition *condition,
                                 struct stoa_mutex *mutex,
                                 struct stoa_deadline deadline);

/* Tells the one that has waited longest. Returns 1, or 0 if nobody waits
 * (1, too, if that one died before it slept: see Death, above). What was written before is seen by it (release, acquire). Does not block. */
STOA_API int stoa_condition_signal(struct stoa_condition *condition);

/* Tells all who wait now. Returns 0. Does not block. */
STOA_API int stoa_condition_broadcast(struct stoa_condition *condition);

/*
 * How many signals and broadcasts there have been, whether or not anybody
 * waited. To wait for this and other things at once: read it with the mutex
 * locked, unlock, and give it to stoa_wait_any as `amount`.
 */
STOA_API int stoa_condition_count(struct stoa_condition *condition,
                                  uint64_t *ret_count);

/* ---- Inspect ------------------------------------------------------------ */

struct stoa_condition_status {
	size_t size; /* set by the caller: sizeof this struct */
	uint32_t waiters_max;
	uint32_t waiters;    /* living, and not told yet */
	uint32_t told;       /* living, told, and locking the mutex again */
	uint32_t reserved;
	uint64_t count;      /* of stoa_condition_count() */
	uint64_t broadcasts; /* of these */
};

/* How it stands just now, without disturbing anybody. Does not block.
 * -EINVAL: ret_status->size. */
STOA_API int stoa_condition_stat(struct stoa_condition *condition,
                                 struct stoa_condition_status *ret_status);

struct stoa_condition_waiter {
	stoa_peer peer;
	pid_t pid; /* as it sees itself, in its own PID namespace */
	pid_t tid;
	int64_t since_ns; /* CLOCK_REALTIME, by the tick */
	int told;         /* is locking the mutex again */
};

/* Calls `visit` for each living waiter. Stops at its first non-zero result and
 * returns that; else the number visited. Does not block. */
STOA_API int stoa_condition_each_waiter(
        struct stoa_condition *condition,
        int (*visit)(const struct stoa_condition_waiter *waiter, void *context),
        void *context);

#ifdef __cplusplus
}
#endif
#endif
