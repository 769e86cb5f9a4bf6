/* SPDX-License-Identifier: MIT */
/*
 * dropin/mq.h: message queues of POSIX, as this process has them open.
 *
 * A queue "/name" is the stoa queue "mq.name", ordered STOA_PRIORITY (see
 * mq_name.c). Its label tells who made it, and with what mode: see mq_open.c.
 *
 * A descriptor is a real one: of /dev/null, opened with the queue's access
 * mode and O_CLOEXEC. So the kernel itself keeps what belongs to the open file
 * description: O_NONBLOCK (only looked at where a call would wait), which fork,
 * dup and descriptors passed on share; it hands out the number, and closes it
 * at exec. What the number means here is in a table: one load, one compare.
 *
 * Several threads at once, and close() beside: as in handle.h. A struct mq is
 * never freed but used again. `users` is one word: how many, and MQ_CLOSING.
 *
 *     uses                               closes
 *     R table[fd]                        W table[fd] = NULL (seq_cst)
 *     W users + 1 (seq_cst)              W users |= CLOSING (seq_cst)
 *     R table[fd]: the same? (seq_cst)   nobody: W users: CLOSING -> 0
 */
#ifndef DROPIN_MQ_H
#define DROPIN_MQ_H

#include <errno.h>
#include <mqueue.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/single_threaded.h>

#include <stoa/queue.h>

#define MQ_TABLE (1 << 20) /* descriptor numbers */
#define MQ_NAME_BYTES (STOA_NAME_MAX + 1)
#define MQ_NAME_MAX 255
#define MQ_PRIORITIES 32768u
#define MQ_CLOSING 0x80000000u

struct mq_registration;

struct mq {
	_Atomic uint32_t users;   /* calls under way, and MQ_CLOSING */
	uint32_t descriptors;     /* that mean it; under the table's lock */
	unsigned access;          /* STOA_READ, STOA_WRITE: of the description */
	_Atomic int waits; /* the description had no O_NONBLOCK, last time */
	uint64_t capacity, message_bytes;
	uint64_t generation;      /* of the queue */
	struct stoa_queue *queue; /* opened for both */
	struct mq_registration *registration; /* see mq_notify.c */
	struct mq *next_free, *next_made;
};

extern struct mq *_Atomic mq_table[MQ_TABLE];

/* ---- Using ------------------------------------------------------------------- */

/* Closes the queue, if nobody uses it and nobody else closes it. */
void mq_close_unused(struct mq *mq);

static inline void mq_put(struct mq *mq)
{
	uint32_t users;

	/* relaxed: alone, but for handlers of signals, which nest. (One that
	 * closes the queue between the two leaves it open.) */
	if (__libc_single_threaded) {
		users = atomic_load_explicit(&mq->users, memory_order_relaxed) -
		        1;
		atomic_store_explicit(&mq->users, users, memory_order_relaxed);
	} else {
		users = atomic_fetch_sub(&mq->users, 1) - 1;
	}
	if (__builtin_expect(users == MQ_CLOSING, 0))
		mq_close_unused(mq);
}

/* What the descriptor means, to be put back by mq_put(); NULL: no queue. */
static inline struct mq *mq_get(mqd_t fd)
{
	struct mq *mq;

	if (__builtin_expect((unsigned)fd >= MQ_TABLE, 0))
		return NULL;
	/* seq_cst, both: see above */
	mq = atomic_load(&mq_table[fd]);
	if (__builtin_expect(!mq, 0))
		return NULL;
	if (__libc_single_threaded)
		atomic_store_explicit(
		        &mq->users,
		        atomic_load_explicit(&mq->users,
		                             memory_order_relaxed) +
		                1,
		        memory_order_relaxed);
	else
		atomic_fetch_add(&mq->users, 1);
	if (__builtin_expect(atomic_load(&mq_table[fd]) == mq, 1))
		return mq;
	mq_put(mq);
	return NULL;
}

/* ---- Descriptors (mq_descriptor.c) ------------------------------------------- */

/* Whether any number has ever meant a queue: else there's nothing to see to. */
extern _Atomic int mq_any;

static inline int mq_is(int fd)
{
	return atomic_load_explicit(&mq_any, memory_order_relaxed) &&
	       (unsigned)fd < MQ_TABLE &&
	       atomic_load_explicit(&mq_table[fd], memory_order_relaxed);
}

/* A fresh one, known to nobody yet. -ENOMEM. */
int mq_make(struct mq **ret_mq);
/* One that never came to be known. */
void mq_unmake(struct mq *mq);
/* Now `fd` means it. */
void mq_know(int fd, struct mq *mq);
/* `fd` means nothing any more: before it is closed. */
void mq_forget(int fd);
void mq_forget_range(unsigned first, unsigned last);
/* `copy` is a duplicate of `fd`: it means the same, whatever it meant. */
void mq_copy(int fd, int copy);
/* Calls `visit` for each of the process's open queues, under the lock. */
void mq_each(void (*visit)(struct mq *mq, void *context), void *context);

/* ---- Names (mq_name.c) ----------------------------------------------------- */

/* The name of the stoa queue. -ENOENT, -EACCES, -ENAMETOOLONG, as the kernel. */
int mq_name(const char *name, char ret_name[MQ_NAME_BYTES]);

/* ---- Notification (mq_notify.c) -------------------------------------------- */

/* Drops what this process has registered at the queue. */
void mq_notify_drop(uint64_t generation);

/* How many registrations of this process for a signal a helper thread sees to:
 * the sender may leave it to that to signal. */
extern _Atomic int mq_helped;

/* Waits until what a message of this queue was to signal was signalled. */
void mq_notify_settle(uint64_t generation);

/* After a message was received. */
static inline void mq_received(struct mq *mq)
{
	if (__builtin_expect(atomic_load(&mq_helped) != 0, 0))
		mq_notify_settle(mq->generation);
}

#endif
