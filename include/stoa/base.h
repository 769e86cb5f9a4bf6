/* SPDX-License-Identifier: MIT */
/*
 * stoa/base.h: what every room of stoa shares: results, deadlines, open
 * flags, and the sentence that explains the last failure.
 *
 * Results: every function returns 0 or more on success and a negative errno
 * value (-EAGAIN, -EIDRM, ...) on failure. Outputs come last, are named ret_*
 * and are untouched on failure. errno itself is never changed.
 */
#ifndef STOA_BASE_H
#define STOA_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_API __attribute__((visibility("default")))

/* Flags of every open call. At least one of STOA_READ and STOA_WRITE. */
#define STOA_READ 0x01u      /* receive, take, peek */
#define STOA_WRITE 0x02u     /* send, reserve */
#define STOA_CREATE 0x04u    /* make the object if there is none */
#define STOA_EXCLUSIVE 0x08u /* with STOA_CREATE: -EEXIST if there is one */
#define STOA_SHARED 0x10u    /* spaces: made for all users (mode 1777) */
/* A signal handler that runs during a wait ends the wait with -EINTR.
 * Without this flag waits go on after the handler. Waits sleep in slices of
 * 50 ms: one that runs between two of them (20 to 50 us, so about one in a
 * thousand) ends nothing, unless handlers are counted: see
 * stoa_count_interrupts(). */
#define STOA_INTERRUPTIBLE 0x20u
/* With STOA_INTERRUPTIBLE, of queues: but not by a handler that was installed
 * with SA_RESTART. Needs stoa_count_interrupts(). */
#define STOA_RESTART 0x40u
/* Of what is somebody's name, and gone with him (descriptor, datagram): with
 * nobody there, waits by the deadline for somebody to come. */
#define STOA_AWAIT 0x80u

/*
 * An absolute instant on a clock: CLOCK_MONOTONIC or CLOCK_REALTIME. Passed
 * by value to whatever can wait. An instant in the past means "do not wait".
 */
struct stoa_deadline {
	int64_t ns;    /* nanoseconds since the clock's zero */
	int32_t clock; /* clockid_t */
	int32_t kind;  /* 0 instant, 1 now, 2 forever */
};

static const struct stoa_deadline STOA_NOW = { 0, CLOCK_MONOTONIC, 1 };
static const struct stoa_deadline STOA_FOREVER = { 0, CLOCK_MONOTONIC, 2 };

/* The instant `ns` nanoseconds from now on CLOCK_MONOTONIC. Never fails;
 * saturates. */
STOA_API struct stoa_deadline stoa_deadline_in(int64_t ns);

/* The instant `time` on `clock`. -EINVAL: another clock, or tv_nsec outside
 * 0 .. 999,999,999. */
STOA_API int stoa_deadline_at(clockid_t clock, const struct timespec *time,
                              struct stoa_deadline *ret_deadline);

/* How many handlers of signals have run in a thread so far. */
struct stoa_interrupts {
	uint32_t all;
	uint32_t unrestarted; /* of these, installed without SA_RESTART */
};

/*
 * For who wraps all handlers of his process: says where the calling thread's
 * count is, which its handlers raise (plain stores of one word). A handler that
 * runs while a thread is awake amid a wait, between two looks, then ends the
 * wait, too: within 50 ms. Else such a one goes unnoticed. Called in waits, and
 * must not block. Once for each process; never fails.
 */
STOA_API void stoa_count_interrupts(
        const struct stoa_interrupts *(*of_this_thread)(void));

/*
 * One sentence on the last failure of a stoa call in this thread: which
 * object, what was wrong, what to do. Never NULL; "" if nothing failed yet.
 * Valid until the thread's next stoa call. Calls that fail in the ordinary
 * course (-EAGAIN, -ETIMEDOUT, -EINTR) leave it alone.
 */
STOA_API const char *stoa_last_error(void);

#define STOA_LAYOUT_VERSION 1 /* of what stands in shared memory */

/* The library's version, "0.1.0". */
STOA_API const char *stoa_version(void);

/* The layout of shared memory that it makes and knows: its
 * STOA_LAYOUT_VERSION. */
STOA_API int stoa_layout_version(void);

#ifdef __cplusplus
}
#endif
#endif
