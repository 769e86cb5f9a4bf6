/* SPDX-License-Identifier: MIT */
/*
 * dropin/cancel.h: waits as cancellation points.
 *
 * libstoa's waits aren't: to be torn out of one at any instruction would leave
 * half of it behind. So a thread that is about to wait says so (begin); the
 * drop-in's pthread_cancel() first does what libc's does, and then interrupts
 * that wait by a signal until it has ended; the wait returns -EINTR, and
 * dropin_cancel_end() acts on the cancellation where nothing is half done.
 *
 *     struct dropin_wait wait = { .let_go = ..., .context = ... };
 *     do {
 *             dropin_cancel_begin(&wait);
 *             result = stoa_..._receive(... , deadline, ...);
 *     } while (dropin_cancel_end(&wait, result));
 *
 * First try with STOA_NOW, or, if it would wait, DROPIN_SOON: this is for waits.
 * Handles must have been opened
 * STOA_INTERRUPTIBLE. What the caller holds he gives back by let_go() if the
 * thread ends here; and not by pthread_cleanup_push() around the wait, as a
 * handler may leave it by siglongjmp(), which forgets none of these.
 */
#ifndef DROPIN_CANCEL_H
#define DROPIN_CANCEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include <stoa/base.h>

/* Long past: who finds nothing at once spins, if that has been of use, but
 * doesn't sleep: -ETIMEDOUT. */
static const struct stoa_deadline DROPIN_SOON = { 0, CLOCK_MONOTONIC, 0 };

/* Of a wait under way, in a list. Used again, but never freed, and not on the
 * waiter's stack: a handler of a signal may leave the wait by siglongjmp(). */
struct dropin_note {
	/* A futex word that the wait sleeps on, and that may be woken for
	 * nothing; NULL: it's a wait of libstoa's, which a signal ends. */
	_Atomic uint32_t *word;
	pthread_t thread;
	pid_t tid;
	_Atomic int interrupted; /* by pthread_cancel() */
	uint64_t number; /* no two waits have the same */
	const struct dropin_wait *wait; /* where it was, not what is there */
	struct dropin_note *next, **link;
};

struct dropin_wait {
	void (*let_go)(void *context); /* set by the caller, or NULL */
	void *context;
	struct dropin_note *note; /* NULL: nobody could cancel it */
	uint64_t number;          /* while the note is this wait's */
	int type;                 /* of cancellation, as it was */
};

/* Is a cancellation point itself. Until the end no cancellation acts, of
 * whichever type. */
void dropin_cancel_begin(struct dropin_wait *wait);

/* The same of a wait that sleeps on `word`. */
void dropin_cancel_begin_word(struct dropin_wait *wait, _Atomic uint32_t *word);

/* With a word: it was woken, or is not to sleep, for a cancellation: the wait
 * ends with -EINTR. */
static inline int dropin_cancel_wanted(struct dropin_wait *wait)
{
	/* acquire: pairs with the release in cancel.c */
	return wait->note && atomic_load_explicit(&wait->note->interrupted,
	                                          memory_order_acquire);
}

/* 1: it was interrupted by a cancellation that this thread doesn't want now;
 * wait again. Doesn't return if it does. */
int dropin_cancel_end(struct dropin_wait *wait, long result);

/* At the beginning of each cancellation point. */
static inline void dropin_cancel_point(void)
{
	extern char __libc_single_threaded;

	if (!__libc_single_threaded)
		pthread_testcancel();
}

/* After libc's pthread_cancel(thread). */
void dropin_cancel_interrupt(pthread_t thread);

#endif
