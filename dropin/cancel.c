/* SPDX-License-Identifier: MIT */
/*
 * dropin/cancel.c: waits as cancellation points; see cancel.h.
 *
 *     who waits                      who cancels
 *     enters the list                libc's pthread_cancel(): the thread is
 *     looks if it is cancelled         cancelled
 *     sleeps                         looks in the list, and interrupts
 *
 * One of the two sees the other. The interruption may come before the sleep,
 * and is repeated until that wait is over.
 */
#include "cancel.h"

#include <base/private_lock.h>
#include <base/system.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#define SIGCANCEL 32 /* glibc's and musl's; its handler notes a cancellation
                        that was asked for already, and returns */
#define POKES_AT_ONCE 10
#define POKE_AGAIN_NS 200000

static struct stoa_lock waits_lock;
static struct dropin_wait *waits;
static uint64_t numbers;
static __thread pid_t own_tid; /* 0: not asked yet */

static void enter(struct dropin_wait *wait)
{
	wait->next = waits;
	wait->link = &waits;
	if (waits)
		waits->link = &wait->next;
	waits = wait;
}

/* Only the forking thread goes on in the child; it waits if a handler of a
 * signal forked that came during its wait. */
static void keep_own_waits(void)
{
	struct dropin_wait *wait = waits, *next;

	own_tid = 0;
	waits_lock = (struct stoa_lock){ 0 };
	waits = NULL;
	for (; wait; wait = next) {
		next = wait->next;
		if (!pthread_equal(wait->thread, pthread_self()))
			continue;
		wait->tid = (pid_t)stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0,
		                                    0);
		enter(wait);
	}
}

/* Not by process.h: a program that has semaphores alone needs no space. */
static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, keep_own_waits);
}

static void leave(void *context)
{
	struct dropin_wait *wait = context;

	stoa_private_lock(&waits_lock);
	*wait->link = wait->next;
	if (wait->next)
		wait->next->link = wait->link;
	stoa_private_unlock(&waits_lock);
}

void dropin_cancel_begin_word(struct dropin_wait *wait, _Atomic uint32_t *word)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	wait->noted = !__libc_single_threaded;
	atomic_store_explicit(&wait->interrupted, 0, memory_order_relaxed);
	if (!wait->noted)
		return;
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &wait->type);
	pthread_once(&once, watch_forks);
	if (!own_tid)
		own_tid = (pid_t)stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0,
		                                  0);
	wait->word = word;
	wait->thread = pthread_self();
	wait->tid = own_tid;
	stoa_private_lock(&waits_lock);
	wait->number = ++numbers;
	enter(wait);
	stoa_private_unlock(&waits_lock);
	/* After it is in the list: see above. */
	pthread_cleanup_push(leave, wait);
	pthread_testcancel();
	pthread_cleanup_pop(0);
}

void dropin_cancel_begin(struct dropin_wait *wait)
{
	dropin_cancel_begin_word(wait, NULL);
}

int dropin_cancel_end(struct dropin_wait *wait, long result)
{
	if (!wait->noted)
		return 0;
	leave(wait);
	/* What was achieved is told: a cancellation point that has done its
	 * work returns, and the next one acts. */
	if (result == -EINTR)
		pthread_testcancel();
	pthread_setcanceltype(wait->type, NULL);
	return result == -EINTR && dropin_cancel_wanted(wait);
}

/* ---- Who cancels -------------------------------------------------------------- */

static void interrupt(struct dropin_wait *wait)
{
	/* release: pairs with the acquire in dropin_cancel_wanted() */
	atomic_store_explicit(&wait->interrupted, 1, memory_order_release);
	if (!wait->word) {
		stoa_system_call(SYS_tgkill, stoa_sys_getpid(), wait->tid,
		                 SIGCANCEL, 0, 0, 0);
		return;
	}
	stoa_system_call(SYS_futex, (long)wait->word,
	                 FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, 0, 0, 0);
	stoa_system_call(SYS_futex, (long)wait->word, FUTEX_WAKE, INT_MAX, 0, 0,
	                 0);
}

/* 0: that wait is over. */
static int poke(pthread_t thread, uint64_t *number)
{
	struct dropin_wait *wait;

	stoa_private_lock(&waits_lock);
	for (wait = waits; wait; wait = wait->next)
		if (pthread_equal(wait->thread, thread) &&
		    (*number == 0 || *number == wait->number))
			break;
	if (wait) {
		*number = wait->number;
		interrupt(wait);
	}
	stoa_private_unlock(&waits_lock);
	return wait != NULL;
}

/* No cancellation point: whoever cancels may be cancelled himself. */
void dropin_cancel_interrupt(pthread_t thread)
{
	const struct timespec pause = { 0, POKE_AGAIN_NS };
	uint64_t number = 0;
	int before;

	if (pthread_equal(thread, pthread_self()))
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	for (int pokes = 0; poke(thread, &number); pokes++) {
		if (pokes < POKES_AT_ONCE)
			sched_yield();
		else
			stoa_system_call(SYS_nanosleep, (long)&pause, 0, 0, 0,
			                 0, 0);
	}
	pthread_setcancelstate(before, NULL);
}
