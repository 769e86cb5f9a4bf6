/* SPDX-License-Identifier: MIT */
/*
 * stoa/wait.h: waiting for any of several conditions over several objects:
 * "a message on A, or room in B, or the server's death, or the deadline".
 */
#ifndef STOA_WAIT_H
#define STOA_WAIT_H

#include <stoa/space.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_WAIT_MAX 64 /* conditions in one wait */

/* What all object handles have in common; stoa_queue_object() gives it. */
struct stoa_object;

enum stoa_wait_kind {
	STOA_READABLE = 1, /* a receive would find a message, a lock could be
	                      had (an rwlock: by a reader), permits are there */
	STOA_WRITABLE = 2, /* a send of one small message would find room; a
	                      writer could have the rwlock */
	STOA_DEATH = 3     /* the peer is dead */
};

struct stoa_wait {
	enum stoa_wait_kind kind;
	struct stoa_object *object; /* READABLE, WRITABLE */
	struct stoa_space *space;   /* DEATH */
	stoa_peer peer;             /* DEATH */
	uint64_t amount;    /* of a semaphore's permits; 0 is 1 */
	const void *detail; /* what else the object's manual asks for: the
	                       operations on a set, the range of a lock */
};

/*
 * Blocks until one of the `count` conditions holds; returns the index of the
 * first that does. Holding is a fact of that moment: another process may take
 * the message first. Death is noticed within 50 ms of the kernel's word.
 *
 * -ETIMEDOUT (deadline), -EAGAIN (STOA_NOW and none holds), -EINVAL (count 0
 * or over STOA_WAIT_MAX, unknown kind), -EIDRM (an object was removed),
 * -EINTR (an object opened STOA_INTERRUPTIBLE).
 */
STOA_API int stoa_wait_any(const struct stoa_wait *conditions,
                           size_t count, struct stoa_deadline deadline);

/* ---- Watch: callbacks from a thread, made only when asked for ------------ */

struct stoa_watch;

/* Starts one thread that buries the dead of the space promptly and calls the
 * callbacks added below. Signals are blocked in it, except SIGBUS (see
 * stoa_guard). -EAGAIN, -ENOMEM. The caller stops *ret_watch before closing
 * the space. */
STOA_API int stoa_watch_start(struct stoa_space *space,
                              struct stoa_watch **ret_watch);

/* Ends the thread and frees the watch; callbacks under way finish first. Must
 * not be called from a callback. NULL is fine. */
STOA_API void stoa_watch_stop(struct stoa_watch *watch);

/* Calls `callback` once, from the watch's thread, when the condition holds
 * (result 0) or can't any more (result -EIDRM, -EIO). The object must stay
 * open until then or until stoa_watch_stop. -ENOSPC: STOA_WAIT_MAX - 1
 * conditions are being watched. */
STOA_API int stoa_watch_once(struct stoa_watch *watch,
                             const struct stoa_wait *condition,
                             void (*callback)(int result, void *context),
                             void *context);

#ifdef __cplusplus
}
#endif
#endif
