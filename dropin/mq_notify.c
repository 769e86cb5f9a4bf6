/* SPDX-License-Identifier: MIT */
/*
 * dropin/mq_notify.c: one word when a message comes to an empty queue.
 *
 * A signal from a queue that nobody else may write is libstoa's: the sender
 * sends it. Where others may write the queue, shared memory mustn't say whom
 * they signal; and a thread nobody can start from outside. There a helper
 * thread waits until the registration is used up (stoa_queue_await), and
 * signals its own process, or starts the thread that was asked for. It belongs
 * to the registration, and ends with it.
 *
 * A process that may become another user (CAP_SETUID) has both: one that it
 * forks and that does so can send to the queue, and not signal.
 *
 * A registration's life, under the lock:
 *
 *   WAITS    the helper waits; -> DROPPED by mq_notify(NULL) or a close,
 *            before the registration is taken from the queue, so that the
 *            helper that then wakes knows why
 *   FIRES    the helper signals; -> the helper frees it
 *   DROPPED  the helper frees it
 *
 * In the kernel the signal is there when the message is. So whoever of this
 * process has received from the queue waits while a registration for a signal
 * FIRES, or was used up and its helper doesn't know yet (mq_notify_settle);
 * each that is over raises `settled`.
 *
 * The queue stays open for as long as the helper looks at it: it counts among
 * the users of the struct mq.
 */
#include "mq.h"

#include "calls.h"
#include "fault.h"
#include "kernel.h"
#include "lock.h"
#include "memory_probe.h"
#include "process.h"

#include <limits.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELPER_STACK (64 * 1024)

struct mq_registration {
	struct mq *mq;
	struct sigevent event;
	pthread_attr_t *attributes; /* of the thread to start, or NULL */
	sigset_t mask;              /* of who asked: the new thread's */
	uint32_t number;            /* as the queue names it */
	int fires, dropped;
	struct mq_registration *next, **link;
};

static struct stoa_lock registrations_lock;
static struct mq_registration *registrations; /* that have a helper */
static _Atomic uint32_t settled; /* a futex */
_Atomic int mq_helped;

/* ---- The helper --------------------------------------------------------------------- */

static void free_registration(struct mq_registration *registration)
{
	free(registration->attributes);
	free(registration);
}

/* As the kernel would: of SI_MESGQ, to the process, whichever signal. */
static void signal_self(const struct sigevent *event,
                        const struct stoa_notifier *notifier)
{
	siginfo_t info = { 0 };
	pid_t self = (pid_t)dropin_kernel(SYS_getpid, 0);

	info.si_signo = event->sigev_signo;
	info.si_code = SI_MESGQ;
	info.si_pid = notifier->pid;
	info.si_uid = notifier->uid;
	info.si_value = event->sigev_value;
	dropin_kernel(SYS_rt_sigqueueinfo, self, event->sigev_signo,
	              (long)&info);
}

static void *run_function(void *context)
{
	struct mq_registration *registration = context;
	struct sigevent event = registration->event;
	sigset_t mask = registration->mask;

	free_registration(registration);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	event.sigev_notify_function(event.sigev_value);
	return NULL;
}

/* Detached, whatever the attributes say: nobody could join it. */
static void start_function(struct mq_registration *registration)
{
	pthread_attr_t *attributes = registration->attributes, plain;
	pthread_t thread;

	if (!attributes) {
		pthread_attr_init(&plain);
		attributes = &plain;
	}
	pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, attributes, run_function, registration))
		free_registration(registration);
}

static int by_signal(const struct mq_registration *registration)
{
	return registration->event.sigev_notify == SIGEV_SIGNAL;
}

static void put_in_list(struct mq_registration *registration)
{
	dropin_lock(&registrations_lock);
	registration->next = registrations;
	registration->link = &registrations;
	if (registrations)
		registrations->link = &registration->next;
	registrations = registration;
	atomic_fetch_add(&mq_helped, by_signal(registration));
	dropin_unlock(&registrations_lock);
}

static void take_from_list(struct mq_registration *registration)
{
	dropin_lock(&registrations_lock);
	*registration->link = registration->next;
	if (registration->next)
		registration->next->link = registration->link;
	atomic_fetch_sub(&mq_helped, by_signal(registration));
	dropin_unlock(&registrations_lock);
	atomic_fetch_add(&settled, 1);
	dropin_kernel(SYS_futex, (long)&settled,
	              FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX);
}

/* It was used up. 0: by nobody, but dropped. */
static int begin_firing(struct mq_registration *registration)
{
	dropin_lock(&registrations_lock);
	registration->fires = !registration->dropped;
	dropin_unlock(&registrations_lock);
	return registration->fires;
}

static void *help(void *context)
{
	struct stoa_notifier notifier = { .size = sizeof(notifier) };
	struct mq_registration *registration = context;
	struct mq *mq = registration->mq;
	int result = stoa_queue_await(mq->queue, registration->number,
	                              STOA_FOREVER, &notifier);
	int fires = begin_firing(registration) && result == 0 &&
	            !notifier.signalled;

	if (fires && by_signal(registration))
		signal_self(&registration->event, &notifier);
	take_from_list(registration);
	mq_put(mq);
	if (fires && !by_signal(registration))
		start_function(registration);
	else
		free_registration(registration);
	return NULL;
}

/* Is the process about to be signalled by it? */
static int is_due(const struct mq_registration *registration,
                  uint64_t generation)
{
	struct stoa_notifier notifier = { .size = sizeof(notifier) };

	if (registration->mq->generation != generation ||
	    !by_signal(registration))
		return 0;
	if (registration->fires || registration->dropped)
		return registration->fires;
	return stoa_queue_await(registration->mq->queue, registration->number,
	                        STOA_NOW, &notifier) == 0 &&
	       !notifier.signalled;
}

void mq_notify_settle(uint64_t generation)
{
	int due = !DROPIN_FAULT(90);

	while (due) {
		uint32_t seen = atomic_load(&settled);

		due = 0;
		dropin_lock(&registrations_lock);
		for (struct mq_registration *entry = registrations; entry;
		     entry = entry->next)
			due |= is_due(entry, generation);
		dropin_unlock(&registrations_lock);
		if (due)
			dropin_kernel(SYS_futex, (long)&settled,
			              FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen);
	}
}

static int start_helper(struct mq_registration *registration)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int result;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, HELPER_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&thread, &attributes, help, registration);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	/* Of no thread mq_notify(3) knows nothing. */
	return result == EAGAIN ? -ENOMEM : -result;
}

/* The parent's registrations are the parent's. */
static void in_child(void)
{
	registrations = NULL;
	atomic_store(&mq_helped, 0);
}

static struct dropin_fork forks = { .child = in_child };

static void enlist_once(void)
{
	dropin_fork_enlist(&forks);
}

/* ---- Registering -------------------------------------------------------------------- */

/* glibc's pthread_attr_t is copied as it is; its processors and signals, which
 * it points to, stay the caller's. */
static int copy_attributes(const struct sigevent *event,
                           struct mq_registration *registration)
{
	if (event->sigev_notify != SIGEV_THREAD ||
	    !event->sigev_notify_attributes)
		return 0;
	registration->attributes = malloc(sizeof(pthread_attr_t));
	if (!registration->attributes)
		return -ENOMEM;
	memcpy(registration->attributes, event->sigev_notify_attributes,
	       sizeof(pthread_attr_t));
	return 0;
}

static int with_helper(struct mq *mq, const struct sigevent *event,
                       const struct stoa_notification *notification)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct mq_registration *registration = calloc(1, sizeof(*registration));
	int result;

	if (!registration)
		return -ENOMEM;
	pthread_once(&once, enlist_once);
	registration->mq = mq;
	registration->event = *event;
	pthread_sigmask(SIG_SETMASK, NULL, &registration->mask);
	result = copy_attributes(event, registration);
	if (result == 0)
		result = stoa_queue_notify(mq->queue, notification);
	if (result < 0) {
		free_registration(registration);
		return result;
	}
	registration->number = stoa_queue_registration(mq->queue);
	atomic_fetch_add(&mq->users, 1); /* the helper's */
	put_in_list(registration);
	result = start_helper(registration);
	if (result < 0) {
		stoa_queue_notify(mq->queue, NULL);
		take_from_list(registration);
		free_registration(registration);
		mq_put(mq);
	}
	return result;
}

/* Those are sent by nobody else. */
static int is_own(int number)
{
	return number == SIGKILL || number == SIGSTOP || number > SIGRTMAX;
}

static int add(struct mq *mq, const struct sigevent *event)
{
	struct stoa_notification notification = { .size = sizeof(notification) };
	int signals = event->sigev_notify == SIGEV_SIGNAL &&
	              event->sigev_signo != 0 && !DROPIN_FAULT(15);
	int result;

	if (event->sigev_notify == SIGEV_THREAD)
		return with_helper(mq, event, &notification);
	if (!signals)
		return stoa_queue_notify(mq->queue, &notification);
	if (!is_own(event->sigev_signo)) {
		notification.signal_number = event->sigev_signo;
		notification.value = event->sigev_value;
		if (DROPIN_FAULT(16))
			notification.value.sival_int = 0;
		result = dropin_capable(CAP_SETUID) ?
		                 with_helper(mq, event, &notification) :
		                 stoa_queue_notify(mq->queue, &notification);
		if (result != -EPERM)
			return result;
		notification.signal_number = 0;
	}
	return with_helper(mq, event, &notification);
}

/* ---- Dropping ---------------------------------------------------------------------- */

static void drop_own(struct mq *mq, void *context)
{
	if (mq->generation == *(uint64_t *)context)
		stoa_queue_notify(mq->queue, NULL);
}

void mq_notify_drop(uint64_t generation)
{
	struct mq_registration *entry;

	if (DROPIN_FAULT(17))
		return;
	mq_notify_settle(generation);
	dropin_lock(&registrations_lock);
	for (entry = registrations; entry; entry = entry->next)
		if (entry->mq->generation == generation)
			entry->dropped = 1;
	dropin_unlock(&registrations_lock);
	mq_each(drop_own, &generation);
	mq_notify_settle(generation); /* what fires already */
}

static int check(const struct sigevent *event)
{
	switch (event->sigev_notify) {
	case SIGEV_SIGNAL:
		return event->sigev_signo < 0 || event->sigev_signo > _NSIG - 1 ?
		               -EINVAL :
		               0;
	case SIGEV_NONE:
	case SIGEV_THREAD:
		return 0;
	default:
		return -EINVAL;
	}
}

int dropin_mq_notify(mqd_t fd, const struct sigevent *event)
{
	struct mq *mq;
	int result = 0;

	if (event && !probe(PROBE_READ, event, sizeof(*event)))
		return -EFAULT;
	if (event)
		result = check(event);
	if (result < 0)
		return result;
	mq = mq_get(fd);
	if (!mq)
		return -EBADF;
	if (event)
		result = add(mq, event);
	else
		mq_notify_drop(mq->generation);
	mq_put(mq);
	if (result == -EBUSY && DROPIN_FAULT(18))
		return 0;
	return result;
}
