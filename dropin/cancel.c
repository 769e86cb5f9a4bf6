/* SPDX-License-Identifier: MIT */
/* dropin/cancel.c: waits as cancellation points; see cancel.h. */
#include "cancel.h"

#include "process.h"

#include <base/private_lock.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SIGCANCEL 32 /* glibc's and musl's; its handler notes a cancellation
                        that was asked for already, and returns */
#define POKE_AGAIN_NS 200000 /* it may have come just before the sleep */

static struct stoa_lock waits_lock;
static struct dropin_wait *waits;
static uint64_t numbers;

/* Only the forking thread goes on in the child, and it isn't waiting. */
static void forget_waits(void)
{
	waits = NULL;
}

static struct dropin_fork forks = { .child = forget_waits };

static void enlist_once(void)
{
	dropin_fork_enlist(&forks);
}

void dropin_cancel_begin(struct dropin_wait *wait)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	wait->noted = !__libc_single_threaded;
	wait->interrupted = 0;
	if (!wait->noted)
		return;
	pthread_once(&once, enlist_once);
	pthread_testcancel();
	wait->thread = pthread_self();
	wait->tid = (pid_t)syscall(SYS_gettid);
	stoa_private_lock(&waits_lock);
	wait->number = ++numbers;
	wait->next = waits;
	wait->link = &waits;
	if (waits)
		waits->link = &wait->next;
	waits = wait;
	stoa_private_unlock(&waits_lock);
}

int dropin_cancel_end(struct dropin_wait *wait, long result)
{
	if (!wait->noted)
		return 0;
	stoa_private_lock(&waits_lock);
	*wait->link = wait->next;
	if (wait->next)
		wait->next->link = wait->link;
	stoa_private_unlock(&waits_lock);
	/* What was achieved is told: a cancellation point that has done its
	 * work returns, and the next one acts. */
	if (result != -EINTR)
		return 0;
	pthread_testcancel();
	return wait->interrupted;
}

/* 0: that wait is over. */
static int poke(pthread_t thread, uint64_t *number)
{
	struct dropin_wait *wait;
	int found = 0;

	stoa_private_lock(&waits_lock);
	for (wait = waits; wait; wait = wait->next)
		if (pthread_equal(wait->thread, thread) &&
		    (*number == 0 || *number == wait->number))
			break;
	if (wait) {
		*number = wait->number;
		wait->interrupted = 1;
		found = syscall(SYS_tgkill, getpid(), wait->tid, SIGCANCEL) ==
		        0;
	}
	stoa_private_unlock(&waits_lock);
	return found;
}

void dropin_cancel_interrupt(pthread_t thread)
{
	const struct timespec pause = { 0, POKE_AGAIN_NS };
	uint64_t number = 0;

	if (pthread_equal(thread, pthread_self()))
		return;
	while (poke(thread, &number))
		nanosleep(&pause, NULL);
}
