/* SPDX-License-Identifier: MIT */
/* dropin/mq_descriptor.c: what descriptor numbers mean; see mq.h. */
#include "mq.h"

#include "kernel.h"
#include "lock.h"
#include "mq_poll.h"
#include "process.h"

#include <pthread.h>
#include <stdlib.h>

struct mq *_Atomic mq_table[MQ_TABLE];
_Atomic int mq_any;

static struct stoa_lock table_lock; /* of the lists, and to change the table */
static struct mq *free_mqs, *made_mqs;
static int highest = -1; /* number that ever meant a queue */
static pid_t process;    /* whose table it is */

/* ---- Processes ----------------------------------------------------------------- */

/* The other threads, and their calls, are not in the child. Of one thread, the
 * calls that a handler of signals has interrupted are. */
static void in_child(void)
{
	process = (pid_t)dropin_kernel(SYS_getpid, 0);
	if (__libc_single_threaded)
		return;
	for (struct mq *mq = made_mqs; mq; mq = mq->next_made)
		atomic_fetch_and_explicit(&mq->users, MQ_CLOSING,
		                          memory_order_relaxed);
}

static struct dropin_fork forks = { .child = in_child };

static void begin_once(void)
{
	process = (pid_t)dropin_kernel(SYS_getpid, 0);
	dropin_fork_enlist(&forks);
}

/* A child of vfork() has this memory, and descriptors of its own. */
static int borrowed(void)
{
	return (pid_t)dropin_kernel(SYS_getpid, 0) != process;
}

/* ---- Lives --------------------------------------------------------------------- */

int mq_make(struct mq **ret_mq)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct mq *mq;

	pthread_once(&once, begin_once);
	dropin_lock(&table_lock);
	mq = free_mqs;
	if (mq) {
		free_mqs = mq->next_free;
	} else {
		mq = calloc(1, sizeof(*mq));
		if (mq) {
			mq->next_made = made_mqs;
			made_mqs = mq;
		}
	}
	dropin_unlock(&table_lock);
	if (!mq)
		return -ENOMEM;
	*ret_mq = mq;
	return 0;
}

void mq_unmake(struct mq *mq)
{
	dropin_lock(&table_lock);
	mq->next_free = free_mqs;
	free_mqs = mq;
	dropin_unlock(&table_lock);
}

void mq_close_unused(struct mq *mq)
{
	uint32_t nobody = MQ_CLOSING;

	/* By one step: it may have been closed, opened again, used and closed
	 * since the caller looked. */
	if (!atomic_compare_exchange_strong(&mq->users, &nobody, 0))
		return;
	stoa_queue_close(mq->queue);
	mq->queue = NULL;
	mq_unmake(mq);
}

/* ---- The table ------------------------------------------------------------------- */

/* What is to be closed when the lock was given back, or NULL. */
static struct mq *take_out(int fd)
{
	struct mq *mq = atomic_exchange(&mq_table[fd], NULL);

	return mq && --mq->descriptors == 0 ? mq : NULL;
}

static void give_up(struct mq *mq)
{
	if (!mq)
		return;
	atomic_fetch_or(&mq->users, MQ_CLOSING);
	mq_close_unused(mq);
}

void mq_know(int fd, struct mq *mq)
{
	struct mq *before;

	atomic_store_explicit(&mq_any, 1, memory_order_relaxed);
	dropin_lock(&table_lock);
	/* Closed where the drop-in couldn't see it. */
	before = take_out(fd);
	mq->descriptors++;
	if (fd > highest)
		highest = fd;
	atomic_store(&mq_table[fd], mq);
	dropin_unlock(&table_lock);
	give_up(before);
}

void mq_forget(int fd)
{
	struct mq *mq;

	if (!mq_is(fd) || borrowed())
		return;
	mq = atomic_load(&mq_table[fd]);
	/* As the kernel: whichever of its descriptors a process closes. */
	if (mq)
		mq_notify_drop(mq->generation);
	if (atomic_load_explicit(&mq_watched, memory_order_relaxed))
		mq_epoll_forget(fd);
	dropin_lock(&table_lock);
	mq = take_out(fd);
	dropin_unlock(&table_lock);
	give_up(mq);
}

void mq_forget_range(unsigned first, unsigned last)
{
	if (!atomic_load_explicit(&mq_any, memory_order_relaxed))
		return;
	for (; first <= last && first < MQ_TABLE && (int)first <= highest;
	     first++)
		mq_forget((int)first);
}

void mq_copy(int fd, int copy)
{
	struct mq *before, *mq;

	if (fd == copy || (!mq_is(fd) && !mq_is(copy)) || borrowed())
		return;
	if (!mq_is(fd)) {
		mq_forget(copy);
		return;
	}
	if (copy >= MQ_TABLE)
		return;
	dropin_lock(&table_lock);
	mq = atomic_load(&mq_table[fd]);
	if (mq)
		mq->descriptors++;
	if (copy > highest)
		highest = copy;
	before = take_out(copy);
	atomic_store(&mq_table[copy], mq);
	dropin_unlock(&table_lock);
	give_up(before);
}

void mq_each(void (*visit)(struct mq *mq, void *context), void *context)
{
	dropin_lock(&table_lock);
	for (int fd = 0; fd <= highest; fd++) {
		struct mq *mq = atomic_load(&mq_table[fd]);

		if (mq)
			visit(mq, context);
	}
	dropin_unlock(&table_lock);
}
