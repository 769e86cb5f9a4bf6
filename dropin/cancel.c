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

#include "lock.h"

#include <base/system.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#define SIGCANCEL 32 /* glibc's and musl's; its handler notes a cancellation
                        that was asked for already, and returns */
#define POKES_AT_ONCE 10
#define POKE_AGAIN_NS 200000
#define NOTES_FIRST 64
#define NOTES_MORE 256

static struct stoa_lock waits_lock;
static struct dropin_note *waits, *free_notes;
static uint64_t numbers;
static __thread pid_t own_tid; /* 0: not asked yet */

/* ---- The list, under the lock ------------------------------------------------- */

static void enter(struct dropin_note *note)
{
	note->next = waits;
	note->link = &waits;
	if (waits)
		waits->link = &note->next;
	waits = note;
}

static void put_free(struct dropin_note *note)
{
	note->number = 0;
	note->next = free_notes;
	free_notes = note;
}

static void take_out(struct dropin_note *note)
{
	*note->link = note->next;
	if (note->next)
		note->next->link = note->link;
	put_free(note);
}

/* Without malloc(), which a handler of signals may have interrupted. */
static struct dropin_note *take_free(void)
{
	static struct dropin_note first[NOTES_FIRST];
	static unsigned used;
	struct dropin_note *note = free_notes;
	void *more;

	if (note) {
		free_notes = note->next;
		return note;
	}
	if (used < NOTES_FIRST)
		return &first[used++];
	if (stoa_sys_mmap(NULL, NOTES_MORE * sizeof(*note),
	                  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0, &more) < 0)
		return NULL;
	note = more;
	for (int i = 1; i < NOTES_MORE; i++)
		put_free(&note[i]);
	return note;
}

static int on_other_stack(void)
{
	stack_t stack = { 0 };

	return sigaltstack(NULL, &stack) == 0 && stack.ss_flags & SS_ONSTACK;
}

/* A handler has left waits of this thread by siglongjmp(): those that would be
 * where this one is, or deeper. Not told from those that a handler on a stack
 * of its own has interrupted. */
static void forget_left(const struct dropin_wait *wait)
{
	struct dropin_note *note = waits, *next;

	for (; note; note = next) {
		next = note->next;
		if (!pthread_equal(note->thread, pthread_self()))
			continue;
		if (note->tid != own_tid)
			take_out(note); /* of a thread that ended since */
		else if ((uintptr_t)note->wait <= (uintptr_t)wait &&
		         !on_other_stack())
			take_out(note);
	}
}

/* Only the forking thread goes on in the child; it waits if a handler of a
 * signal forked that came during its wait. */
static void keep_own_waits(void)
{
	struct dropin_note *note = waits, *next;

	own_tid = (pid_t)stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
	waits_lock = (struct stoa_lock){ 0 };
	waits = NULL;
	for (; note; note = next) {
		next = note->next;
		if (!pthread_equal(note->thread, pthread_self())) {
			put_free(note);
			continue;
		}
		note->tid = own_tid;
		enter(note);
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

	dropin_lock(&waits_lock);
	if (wait->note->number == wait->number)
		take_out(wait->note);
	dropin_unlock(&waits_lock);
}

/* The thread ends. */
static void let_go(void *context)
{
	struct dropin_wait *wait = context;

	if (wait->let_go)
		wait->let_go(wait->context);
}

static void leave_and_let_go(void *context)
{
	leave(context);
	let_go(context);
}

static struct dropin_note *add_note(struct dropin_wait *wait,
                                    _Atomic uint32_t *word)
{
	struct dropin_note *note;

	dropin_lock(&waits_lock);
	forget_left(wait);
	note = take_free();
	if (note) {
		note->word = word;
		note->thread = pthread_self();
		note->tid = own_tid;
		note->wait = wait;
		note->number = wait->number = ++numbers;
		atomic_store_explicit(&note->interrupted, 0,
		                      memory_order_relaxed);
		enter(note);
	}
	dropin_unlock(&waits_lock);
	return note;
}

void dropin_cancel_begin_word(struct dropin_wait *wait, _Atomic uint32_t *word)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	wait->note = NULL;
	if (__libc_single_threaded)
		return;
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &wait->type);
	pthread_once(&once, watch_forks);
	if (!own_tid)
		own_tid = (pid_t)stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0,
		                                  0);
	wait->note = add_note(wait, word);
	if (!wait->note) {
		pthread_setcanceltype(wait->type, NULL);
		return;
	}
	/* After it is in the list: see above. */
	pthread_cleanup_push(leave_and_let_go, wait);
	pthread_testcancel();
	pthread_cleanup_pop(0);
}

void dropin_cancel_begin(struct dropin_wait *wait)
{
	dropin_cancel_begin_word(wait, NULL);
}

int dropin_cancel_end(struct dropin_wait *wait, long result)
{
	int wanted = dropin_cancel_wanted(wait);

	if (!wait->note)
		return 0;
	leave(wait);
	/* What was achieved is told: a cancellation point that has done its
	 * work returns, and the next one acts. */
	if (result == -EINTR) {
		pthread_cleanup_push(let_go, wait);
		pthread_testcancel();
		pthread_cleanup_pop(0);
	}
	pthread_setcanceltype(wait->type, NULL);
	return result == -EINTR && wanted;
}

/* ---- Who cancels -------------------------------------------------------------- */

static void interrupt(struct dropin_note *note)
{
	/* release: pairs with the acquire in dropin_cancel_wanted() */
	atomic_store_explicit(&note->interrupted, 1, memory_order_release);
	if (!note->word) {
		stoa_system_call(SYS_tgkill, stoa_sys_getpid(), note->tid,
		                 SIGCANCEL, 0, 0, 0);
		return;
	}
	stoa_system_call(SYS_futex, (long)note->word,
	                 FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, 0, 0, 0);
	stoa_system_call(SYS_futex, (long)note->word, FUTEX_WAKE, INT_MAX, 0, 0,
	                 0);
}

/* The thread left it by siglongjmp() and has ended. */
static int is_over(const struct dropin_note *note)
{
	return stoa_system_call(SYS_tgkill, stoa_sys_getpid(), note->tid, 0, 0,
	                        0, 0) == -ESRCH;
}

/* 0: that wait is over. */
static int poke(pthread_t thread, uint64_t *number)
{
	struct dropin_note *note, *next;

	dropin_lock(&waits_lock);
	for (note = waits; note; note = next) {
		next = note->next;
		if (!pthread_equal(note->thread, thread) ||
		    (*number != 0 && *number != note->number))
			continue;
		if (!is_over(note))
			break;
		take_out(note);
	}
	if (note) {
		*number = note->number;
		interrupt(note);
	}
	dropin_unlock(&waits_lock);
	return note != NULL;
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
