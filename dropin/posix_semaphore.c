/* SPDX-License-Identifier: MIT */
/* dropin/posix_semaphore.c: waiting for a semaphore; see
 * posix_semaphore_layout.h. */
#include "posix_semaphore.h"

#include "cancel.h"
#include "interrupts.h"
#include "kernel.h"

#include <base/bug.h>
#include <base/cpu.h>
#include <base/yield.h>

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/sysinfo.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define NS_PER_SECOND INT64_C(1000000000)
#define SLICE_NS INT64_C(50000000)

/* The kernel's struct futex_waitv, which older headers lack. */
struct waitv {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};
#define WAITV_32BIT 2

int dropin_sem_init(sem_t *user, int shared, unsigned value)
{
	struct semaphore *semaphore = (struct semaphore *)user;

	if (value > SEMAPHORE_VALUE_MAX)
		return -EINVAL;
	*semaphore = (struct semaphore){
		.shared = shared ? SEMAPHORE_SHARED : 0
	};
	atomic_store_explicit(&semaphore->data, value, memory_order_relaxed);
	return 0;
}

static _Atomic uint32_t *value_of(struct semaphore *semaphore)
{
	return (_Atomic uint32_t *)&semaphore->data;
}

static _Atomic uint32_t *waiters_of(struct semaphore *semaphore)
{
	return value_of(semaphore) + 1;
}

static int private_flag(int32_t shared)
{
	return shared ? 0 : FUTEX_PRIVATE_FLAG;
}

static void wake_one(struct semaphore *semaphore)
{
	dropin_kernel(SYS_futex, (long)value_of(semaphore),
	              FUTEX_WAKE | private_flag(semaphore->shared), 1);
}

/* The kernel adds one and wakes, and lets nobody die between the two. (Its
 * comparison, for which it would wake more, is never true.) */
int dropin_sem_post_and_wake(struct semaphore *semaphore)
{
	int operation = FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0xfff);
	long value = (long)value_of(semaphore);
	long result;

	if (STOA_BUG(145)) {
		atomic_fetch_add(&semaphore->data, 1);
		wake_one(semaphore);
		return 0;
	}
	result = dropin_kernel(
	        SYS_futex, value,
	        FUTEX_WAKE_OP | private_flag(semaphore->shared), 1, 0, value,
	        operation);

	return result < 0 ? (int)result : 0;
}

/* ---- Sleeping -------------------------------------------------------------------- */

static struct timespec after_slice(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	now.tv_nsec += SLICE_NS;
	if (now.tv_nsec >= NS_PER_SECOND) {
		now.tv_nsec -= NS_PER_SECOND;
		now.tv_sec++;
	}
	return now;
}

/* Any handler of a signal ends it, as libc's: EINTR. */
static int sleep_until(struct semaphore *semaphore, clockid_t clock,
                       const struct timespec *until)
{
	int operation = FUTEX_WAIT_BITSET | private_flag(semaphore->shared) |
	                (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);

	return (int)dropin_kernel(SYS_futex, (long)value_of(semaphore),
	                          operation, 0, (long)until, 0,
	                          FUTEX_BITSET_MATCH_ANY);
}

/* Before Linux 5.16, or a filter that doesn't know futex_waitv. */
static int is_unknown(int result)
{
	return result == -ENOSYS || result == -EPERM;
}

/* A handler with SA_RESTART doesn't end it: so the kernel has it without a
 * time, and for this call with one, too. */
static int sleep_a_slice(struct semaphore *semaphore)
{
	struct timespec until = after_slice();
	struct waitv wait = { .address = (uintptr_t)value_of(semaphore),
		              .flags = WAITV_32BIT };
	int result = (int)dropin_kernel(SYS_futex_waitv, (long)&wait, 1, 0,
	                                (long)&until, CLOCK_MONOTONIC);

	if (is_unknown(result))
		result = sleep_until(semaphore, CLOCK_MONOTONIC, &until);
	return result == -ETIMEDOUT ? 0 : result;
}

static int is_alone(struct semaphore *semaphore)
{
	return SEMAPHORE_WAITERS(atomic_load_explicit(
	               &semaphore->data, memory_order_relaxed)) == 1;
}

/* Until somebody posts, or comes to wait. The kernel looks at one word after
 * the other, in this order: see posix_semaphore_layout.h. */
static int sleep_alone(struct semaphore *semaphore)
{
	struct waitv wait[] = { { .address = (uintptr_t)waiters_of(semaphore),
		                  .value = 1,
		                  .flags = WAITV_32BIT },
		                { .address = (uintptr_t)value_of(semaphore),
		                  .flags = WAITV_32BIT } };
	int result = (int)dropin_kernel(SYS_futex_waitv, (long)wait, 2, 0, 0,
	                                CLOCK_MONOTONIC);

	return is_unknown(result) ? sleep_a_slice(semaphore) : result;
}

static int sleep_for_ever(struct semaphore *semaphore)
{
	return (int)dropin_kernel(SYS_futex, (long)value_of(semaphore),
	                          FUTEX_WAIT | private_flag(semaphore->shared));
}

/* Is the deadline so near that there is no slice before it? */
static int is_near(clockid_t clock, const struct timespec *deadline)
{
	struct timespec now;

	clock_gettime(clock, &now);
	if (deadline->tv_sec > now.tv_sec + 1)
		return 0;
	return (deadline->tv_sec - now.tv_sec) * NS_PER_SECOND +
	               deadline->tv_nsec - now.tv_nsec <=
	       SLICE_NS;
}

/* -ETIMEDOUT: the deadline has come. */
static int sleep_to(struct semaphore *semaphore, clockid_t clock,
                    const struct timespec *deadline)
{
	struct timespec until;
	int result;

	if (deadline->tv_sec < 0)
		return -ETIMEDOUT;
	if (!semaphore->shared || is_near(clock, deadline))
		return sleep_until(semaphore, clock, deadline);
	until = after_slice();
	result = sleep_until(semaphore, CLOCK_MONOTONIC, &until);
	return result == -ETIMEDOUT ? 0 : result;
}

static int sleep_once(struct semaphore *semaphore, clockid_t clock,
                      const struct timespec *deadline)
{
	int result;

	if (deadline)
		result = sleep_to(semaphore, clock, deadline);
	else if (!semaphore->shared || STOA_BUG(146))
		result = sleep_for_ever(semaphore);
	else if (is_alone(semaphore))
		result = STOA_BUG(147) ? sleep_for_ever(semaphore) :
		                         sleep_alone(semaphore);
	else
		result = sleep_a_slice(semaphore);
	/* Woken, or the value isn't 0 any more. */
	return result == -EINTR || result == -ETIMEDOUT ? result : 0;
}

/* ---- Waiting ----------------------------------------------------------------------- */

/* Without a permit. If there is one, it may be this that was woken for it: a
 * cancellation has come between. */
static void leave(void *context)
{
	struct semaphore *semaphore = context;
	/* relaxed: a count, which no post that comes later needs */
	uint64_t data = atomic_fetch_sub_explicit(&semaphore->data,
	                                          SEMAPHORE_WAITER,
	                                          memory_order_relaxed);

	if (SEMAPHORE_VALUE(data) > 0 && SEMAPHORE_WAITERS(data) > 1)
		wake_one(semaphore);
}

/* A permit, and waiting no more. */
static int take_and_leave(struct semaphore *semaphore)
{
	uint64_t data = atomic_load_explicit(&semaphore->data,
	                                     memory_order_relaxed);

	while (SEMAPHORE_VALUE(data) > 0)
		/* acquire: pairs with the release of posts */
		if (atomic_compare_exchange_weak_explicit(
		            &semaphore->data, &data,
		            data - 1 - SEMAPHORE_WAITER, memory_order_acquire,
		            memory_order_relaxed))
			return 1;
	return 0;
}

/* ---- Spinning ---------------------------------------------------------------------- */

/* To fall asleep and be woken costs some microseconds; who posts from another
 * processor is often sooner. How long it is worth is learnt from whether it was,
 * by all threads together. */
#define SPINS_MOST 400u
#define SPINS_LEAST 8u /* an eighth of less is nothing */
#define TRY_AGAIN 256u /* waits, after it was given up */

/* Not those that this process may run on: pinned to one, it waits for posts from
 * others. */
static int has_processors(void)
{
	static _Atomic int known; /* 0: not asked yet */
	int count = atomic_load_explicit(&known, memory_order_relaxed);

	if (count == 0) {
		count = get_nprocs();
		atomic_store_explicit(&known, count, memory_order_relaxed);
	}
	return count > 1;
}

/* 1: a permit was had. Relaxed: a budget that another thread has changed
 * meanwhile is as good. */
static int spin(struct semaphore *semaphore)
{
	static _Atomic uint32_t budget = SPINS_MOST, waits;
	uint32_t known = atomic_load_explicit(&budget, memory_order_relaxed);
	uint32_t most = known;
	int taken = 0;

	if (!has_processors())
		return 0;
	if (most < SPINS_LEAST) {
		if (atomic_fetch_add_explicit(&waits, 1, memory_order_relaxed) %
		    TRY_AGAIN)
			return 0;
		most = SPINS_MOST;
	}
	for (uint32_t i = 0; i < most && !taken; i++) {
		stoa_cpu_pause();
		taken = dropin_sem_take(semaphore);
	}
	known = taken ? known + (SPINS_MOST - known + 7) / 8 :
	                known - known / 8;
	atomic_store_explicit(&budget, known, memory_order_relaxed);
	return taken;
}

/* 1: a permit was had. The caller tells what became of it otherwise. */
static int yield_for_one(struct semaphore *semaphore, struct stoa_yields *yields)
{
	int taken = 0;

	while (yields->left > 0 && !taken) {
		stoa_yield(yields);
		taken = dropin_sem_take(semaphore);
	}
	return taken;
}

static int sleep_cancellable(struct semaphore *semaphore, clockid_t clock,
                             const struct timespec *deadline)
{
	struct dropin_wait wait = { .let_go = leave, .context = semaphore };
	int result;

	dropin_cancel_begin_word(&wait, value_of(semaphore));
	result = dropin_cancel_wanted(&wait) ?
	                 -EINTR :
	                 sleep_once(semaphore, clock, deadline);
	if (result == 0 && dropin_cancel_wanted(&wait))
		result = -EINTR;
	return dropin_cancel_end(&wait, result) ? 0 : result;
}

/* A handler that ran before the wait slept or between two slices of it; one that
 * is restarted goes by unless the wait has a deadline. */
static int handler_ran(const struct stoa_interrupts *before, int timed)
{
	struct stoa_interrupts now = dropin_interrupts_now();

	return timed ? now.all != before->all :
	               now.unrestarted != before->unrestarted;
}

static int wait_as_waiter(struct semaphore *semaphore,
                          const struct stoa_interrupts *before,
                          clockid_t clock, const struct timespec *deadline)
{
	int result = 0;

	while (!take_and_leave(semaphore)) {
		result = handler_ran(before, deadline != NULL) ?
		                 -EINTR :
		                 sleep_cancellable(semaphore, clock, deadline);
		if (result == -EINTR && DROPIN_FAULT(69))
			continue;
		if (result < 0) {
			leave(semaphore);
			break;
		}
	}
	return result;
}

/* Who slept alone, and without slices, does so no more. */
static void arrive(struct semaphore *semaphore)
{
	/* relaxed: the kernel, which compares the counts, orders them */
	uint64_t before = atomic_fetch_add_explicit(&semaphore->data,
	                                            SEMAPHORE_WAITER,
	                                            memory_order_relaxed);

	if (semaphore->shared && SEMAPHORE_WAITERS(before) > 0)
		dropin_kernel(SYS_futex, (long)waiters_of(semaphore),
		              FUTEX_WAKE, INT_MAX);
}

static int wait_long(struct semaphore *semaphore,
                     const struct stoa_interrupts *before, clockid_t clock,
                     const struct timespec *deadline)
{
	static struct stoa_yielding yielding = { .gap = STOA_YIELD_GAP_MIN };
	struct stoa_yields yields;
	int result, taken;

	stoa_yielding_begin(&yielding, &yields);
	taken = yield_for_one(semaphore, &yields);
	stoa_yielding_learn(&yielding, &yields, !taken);
	if (taken)
		return 0;
	arrive(semaphore);
	result = wait_as_waiter(semaphore, before, clock, deadline);
	return result == -ETIMEDOUT && DROPIN_FAULT(70) ? -EAGAIN : result;
}

int dropin_sem_wait(sem_t *user, clockid_t clock,
                    const struct timespec *deadline)
{
	struct stoa_interrupts before = dropin_interrupts_now();
	struct semaphore *semaphore = (struct semaphore *)user;

	return spin(semaphore) ?
	               0 :
	               wait_long(semaphore, &before, clock, deadline);
}
