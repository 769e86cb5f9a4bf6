/* SPDX-License-Identifier: MIT */
/*
 * stoa/barrier.h: a place where threads of any processes wait until a given
 * number of them has come, and then all go on; again and again.
 *
 * Use it between the steps of a computation that several processes share. (To
 * wait until data are as wished see condition.)
 *
 * A round ends when `count` threads have come. Each is told 0, one of them
 * STOA_BARRIER_SERIAL. The next round begins at once.
 *
 * Death: the barrier knows of those who have come and wait. When one of them
 * dies before the round has ended, then, as chosen when it was made:
 *   STOA_BARRIER_BREAKS  the round ends, and all who waited in it are told
 *                        -EOWNERDEAD. They may go on with fewer, or start
 *                        another in its place and come again: the next round
 *                        is whole. This is the default, as the dead don't come
 *                        back, and those who wait should know
 *   STOA_BARRIER_FORGETS the dead one has never come, the others wait on for
 *                        one more. For a supervisor that starts the dead anew
 * One that dies just as the round ends, or after, disturbs nobody. One that
 * dies before it has come can't be missed by the barrier, which doesn't know
 * who will come: that is what deadlines, or stoa_wait_any with STOA_DEATH, are
 * for. The dead are known by the kernel's word alone; who is stopped is waited
 * for.
 *
 * Three places it may be in: a file of the space (a name), a file without a
 * name, for this process and those that it forks (name NULL, STOA_CREATE),
 * or STOA_BARRIER_BYTES_FOR(count) of any memory that is shared
 * (stoa_barrier_place).
 *
 *   who may run at once     wait  stat  close
 *   any thread or process     -     -     X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * More threads than `count` may use it: those too many come to a later round.
 * Order: what anybody wrote before it came is seen by everybody after the
 * round (release, acquire). Fork: the child may use the handle, as itself. Not
 * async-signal-safe; no cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the barrier was removed;
 * -EUCLEAN its shared memory can't be true; -EIO its file was cut short
 * (needs stoa_guard); -EUSERS too many handles; -EAGAIN 16,383 threads of
 * this process use stoa.
 */
#ifndef STOA_BARRIER_H
#define STOA_BARRIER_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_BARRIER_SERIAL 1
#define STOA_BARRIER_COUNT_MAX 16384

/* What one for so many takes in memory of the caller's. */
#define STOA_BARRIER_BYTES_FOR(count) (128 + (size_t)(count) * 64)

struct stoa_barrier;

enum stoa_barrier_death { STOA_BARRIER_BREAKS = 0, STOA_BARRIER_FORGETS = 1 };

/* How a barrier is made. */
struct stoa_barrier_attributes {
	size_t size;    /* sizeof this struct */
	uint32_t count; /* that end a round, 1 to STOA_BARRIER_COUNT_MAX */
	uint32_t death; /* enum stoa_barrier_death */
	uint32_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the barrier `name`, or makes it (STOA_CREATE; `mode` is set exactly;
 * `attributes` are needed then, and ignored when the barrier exists). `flags`:
 * STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE. Without a name (NULL,
 * STOA_CREATE) it is found by this handle only, here and in children forked
 * later. Does not block. The caller closes *ret_barrier.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes; -ENOSPC: the
 * tmpfs is too full; -EPROTO: not a barrier, or of a layout this build doesn't
 * know; -EUCLEAN: its header can't be true; -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_barrier_open(struct stoa_space *space, const char *name,
                               unsigned flags, mode_t mode,
                               const struct stoa_barrier_attributes *attributes,
                               struct stoa_barrier **ret_barrier);

/*
 * The same for a barrier in memory that processes share: a segment, or a
 * mapping MAP_SHARED | MAP_ANONYMOUS made before they were forked. With
 * STOA_CREATE it is made afresh there, whatever the bytes were: by one process,
 * before others place it. `bytes` is what there is at `memory`, at least
 * STOA_BARRIER_BYTES_FOR(attributes->count), at an address divisible by 8
 * (best by 64). The memory stays mapped until the handle is closed. `space`:
 * any that all these processes have open; it tells who is alive.
 * -EINVAL: memory, bytes, flags, attributes; -EPROTO: no barrier is there;
 * -EXDEV: it was made with another space; -EUCLEAN, -ENOMEM.
 */
STOA_API int
stoa_barrier_place(struct stoa_space *space, void *memory, size_t bytes,
                   unsigned flags,
                   const struct stoa_barrier_attributes *attributes,
                   struct stoa_barrier **ret_barrier);

/* Frees the handle; nobody may wait through it. NULL is fine. */
STOA_API void stoa_barrier_close(struct stoa_barrier *barrier);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_barrier_unlink(struct stoa_space *space, const char *name);

/* Removes the name if it is still this barrier's, and everyone who waits or
 * calls from now on gets -EIDRM. */
STOA_API int stoa_barrier_remove(struct stoa_barrier *barrier);

/* For stoa_wait_any and stoa_watch_once: STOA_READABLE holds when more rounds
 * have ended than `amount` of the condition says; STOA_WRITABLE when all but
 * one have come, so that stoa_barrier_wait would not block. */
STOA_API struct stoa_object *stoa_barrier_object(struct stoa_barrier *barrier);

/* ---- Use ---------------------------------------------------------------- */

/*
 * Comes, and blocks until as many have come as it takes. With STOA_NOW only
 * the last can succeed.
 * 0, or STOA_BARRIER_SERIAL for one of them: the round has ended with all of
 * them. -EOWNERDEAD: the round has ended because one who waited in it died
 * (STOA_BARRIER_BREAKS). Everything else: this thread has not come, and
 * nobody was let go for its sake.
 * -EAGAIN (STOA_NOW) or -ETIMEDOUT: too few have come; -EINTR
 * (STOA_INTERRUPTIBLE only).
 */
STOA_API int stoa_barrier_wait(struct stoa_barrier *barrier,
                               struct stoa_deadline deadline);

/* ---- Inspect ------------------------------------------------------------ */

struct stoa_barrier_status {
	size_t size; /* set by the caller: sizeof this struct */
	uint32_t count;
	uint32_t death;   /* enum stoa_barrier_death */
	uint32_t waiting; /* living, that have come in this round */
	uint32_t broken;  /* 1: a death ended the last round */
	uint64_t rounds;  /* that have ended; modulo 2^32 */
};

/* How it stands just now, without disturbing anybody. Does not block.
 * -EINVAL: ret_status->size. */
STOA_API int stoa_barrier_stat(struct stoa_barrier *barrier,
                               struct stoa_barrier_status *ret_status);

/* One who has come and waits. */
struct stoa_barrier_waiter {
	stoa_peer peer;
	pid_t pid; /* as it sees itself */
	pid_t tid;
	int alive;        /* 0: dead, and not found by the others yet */
	int64_t since_ns; /* CLOCK_REALTIME, by the tick */
};

/* Calls `visit` for each thread that has come in this round, the dead too.
 * Stops at its first non-zero result and returns that; else the number
 * visited. Does not block. */
STOA_API int
stoa_barrier_each_waiter(struct stoa_barrier *barrier,
                         int (*visit)(const struct stoa_barrier_waiter *waiter,
                                      void *context),
                         void *context);

#ifdef __cplusplus
}
#endif
#endif
