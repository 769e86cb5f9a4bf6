/* SPDX-License-Identifier: MIT */
/*
 * stoa/semaphore.h: a counting semaphore between threads and processes, named,
 * unnamed (for a process and those that it forks) or in any shared memory.
 *
 * Use it for permits that anyone may post: slots of a pool, items that wait.
 * (For one owner at a time who is known see mutex; for several semaphores
 * changed at once see semaphore_set.)
 *
 * A wait takes n permits at once or none. Permits go to whoever takes them
 * first, not by order of arrival; but one who waits for several and has been
 * passed over for a while closes a gate: until it has its permits, dies, or
 * was not heard of for 100 ms, nobody else takes any. So those who take one by
 * one can't starve it. Nobody who asks for one ever closes the gate.
 *
 * Death: a wait and a post take effect at one instant each, and a process
 * killed at any other leaves nothing. Permits that it had are gone with it,
 * unless the semaphore was made with undo: then the permits that were taken
 * through a handle and not posted through the same handle come back, once,
 * when its process ends in whatever way, executes another program, or closes
 * the handle. (A permit that one process takes and another posts is posted
 * once too often when the first one dies: don't use undo for that.)
 *
 *   who may run at once     wait  post  value  stat  remove  close
 *   any thread or process     -     -      -     -      -      X
 *   (- free; X the caller sees to it that nobody else uses that handle)
 *
 * Without undo every call is lock-free: a process stopped at any instruction
 * blocks nobody. With undo calls take turns; a wait then returns by its
 * deadline even if a stopped process has the turn.
 *
 * Limits: 0 .. STOA_SEMAPHORE_MAX permits; with undo, 1,024 handles that hold
 * permits at once (122 in memory of the caller's). Fork: the child may use the
 * handle, as itself; what the parent holds stays the parent's. post() without
 * undo may be called by a signal handler; nothing else. No cancellation points.
 *
 * Errors that every call on a handle may give: -EIDRM the semaphore was
 * removed; -EUCLEAN its shared memory can't be true; -EIO its file was
 * truncated (needs stoa_guard); -EUSERS too many handles. With a deadline:
 * -EAGAIN (STOA_NOW), -ETIMEDOUT, -EINTR (STOA_INTERRUPTIBLE only).
 */
#ifndef STOA_SEMAPHORE_H
#define STOA_SEMAPHORE_H

#include <stoa/space.h>
#include <stoa/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_SEMAPHORE_MAX 2147483647
#define STOA_SEMAPHORE_BYTES 32        /* in memory of the caller's */
#define STOA_SEMAPHORE_UNDO_BYTES 2048 /* with undo or another maximum */

struct stoa_semaphore;

/* How a semaphore is made. Zero fields take the default. */
struct stoa_semaphore_attributes {
	size_t size;      /* sizeof this struct */
	uint32_t value;   /* permits to begin with */
	uint32_t maximum; /* default STOA_SEMAPHORE_MAX */
	uint32_t undo;    /* 1: what the dead held comes back */
	uint32_t reserved_word;
	uint64_t reserved[4]; /* zero */
};

/* ---- Lifecycle ---------------------------------------------------------- */

/*
 * Opens the semaphore `name`, or makes it (STOA_CREATE; `mode` is set exactly,
 * whatever the umask; `attributes` NULL = no permits and all defaults, and
 * ignored when it exists). With `name` NULL and STOA_CREATE it has no name:
 * the handle is all there is, for this process and those that it forks. Flags:
 * STOA_CREATE, STOA_EXCLUSIVE, STOA_INTERRUPTIBLE. Does not block. The caller
 * closes *ret_semaphore.
 * -ENOENT, -EEXIST, -EACCES; -EINVAL: name, flags or attributes (value over
 * the maximum); -ENOSPC: the tmpfs is too full; -EPROTO: not a semaphore, or
 * of a layout this build doesn't know; -EUCLEAN: its content can't be true;
 * -ENOMEM, -EMFILE, -EUSERS.
 */
STOA_API int stoa_semaphore_open(struct stoa_space *space, const char *name,
                                 unsigned flags, mode_t mode,
                                 const struct stoa_semaphore_attributes *attributes,
                                 struct stoa_semaphore **ret_semaphore);

/*
 * The same for `bytes` bytes of shared memory at `memory` (in a segment, or
 * mapped MAP_SHARED), aligned to 8: at least STOA_SEMAPHORE_BYTES, or
 * STOA_SEMAPHORE_UNDO_BYTES if it has undo or a maximum of its own. With
 * STOA_CREATE it is made there, whatever was there before; without, it must
 * have been made with the same space. The memory must outlive the handle.
 * -EINVAL: memory, flags or attributes; -EPROTO: no semaphore there; -EXDEV:
 * made with another space; -EIDRM, -EUCLEAN, -ENOMEM.
 */
STOA_API int stoa_semaphore_place(struct stoa_space *space, void *memory,
                                  size_t bytes, unsigned flags,
                                  const struct stoa_semaphore_attributes *attributes,
                                  struct stoa_semaphore **ret_semaphore);

/* Frees the handle; with undo, permits held through it come back. NULL is
 * fine. */
STOA_API void stoa_semaphore_close(struct stoa_semaphore *semaphore);

/* Removes the name; handles go on working. -ENOENT, -EACCES, -EINVAL. */
STOA_API int stoa_semaphore_unlink(struct stoa_space *space, const char *name);

/* Everyone who waits or calls from now on gets -EIDRM; the name goes too, if
 * it is still this semaphore's. */
STOA_API int stoa_semaphore_remove(struct stoa_semaphore *semaphore);

/* For stoa_wait_any and stoa_watch_once: STOA_READABLE holds while a wait for
 * `amount` permits would succeed. */
STOA_API struct stoa_object *
stoa_semaphore_object(struct stoa_semaphore *semaphore);

/* ---- Use ---------------------------------------------------------------- */

/*
 * Takes `permits` permits, all at once; blocks while there are fewer. What was
 * written before the posts that gave them is visible after it (acquire).
 * -EINVAL: no permits, or more than the maximum. -ENOSPC: with undo, too many
 * handles hold permits.
 */
STOA_API int stoa_semaphore_wait(struct stoa_semaphore *semaphore,
                                 uint32_t permits,
                                 struct stoa_deadline deadline);

/* Adds `permits` permits and wakes who waits for them (release; pairs with
 * wait). Does not block, but for its turn if there is undo. -EOVERFLOW: the
 * value would pass the maximum, and stays as it was. -EINVAL: no permits. */
STOA_API int stoa_semaphore_post(struct stoa_semaphore *semaphore,
                                 uint32_t permits);

/* Permits that there are now: 0 or more. With undo, those of the dead are
 * given back first. */
STOA_API int stoa_semaphore_value(struct stoa_semaphore *semaphore);

/* ---- Inspect and be told ------------------------------------------------- */

struct stoa_semaphore_status {
	size_t size; /* set by the caller: sizeof this struct */
	uint32_t value, maximum;
	uint32_t undo;
	uint32_t holders; /* handles that hold permits; 0 without undo */
	uint64_t held;    /* by them */
	uint64_t undone;  /* permits that ever came back from the dead */
	uint32_t waiting; /* processes that wait; 0 for memory of the caller's */
	uint32_t users;   /* handles; 0 for memory of the caller's */
	uint32_t gate_closed; /* 1: one who waits for several has the gate closed */
	pid_t creator_pid;
	int64_t created_ns; /* CLOCK_REALTIME; 0: in memory of the caller's */
	uint64_t generation;
};

/* Each number is true of some moment during the call. -EINVAL: size. */
STOA_API int stoa_semaphore_stat(struct stoa_semaphore *semaphore,
                                 struct stoa_semaphore_status *ret_status);

/* One handle that holds permits of a semaphore with undo. */
struct stoa_semaphore_holder {
	stoa_peer peer;
	pid_t pid; /* as the peer itself saw it; 0: not known */
	uint32_t permits;
	int alive;
};

/* Calls `visit` for each holder; stops at its first non-zero result and
 * returns that; else returns the number visited. */
STOA_API int stoa_semaphore_each_holder(
        struct stoa_semaphore *semaphore,
        int (*visit)(const struct stoa_semaphore_holder *holder, void *context),
        void *context);

/* A descriptor for poll and epoll that is readable while there are permits.
 * It falls back when a wait with STOA_NOW has answered -EAGAIN. Owned by the
 * handle, close-on-exec. -EOPNOTSUPP: in memory of the caller's. */
STOA_API int stoa_semaphore_pollfd(struct stoa_semaphore *semaphore);

#ifdef __cplusplus
}
#endif
#endif
