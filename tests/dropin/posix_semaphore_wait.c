/* SPDX-License-Identifier: MIT */
/* Waiting for POSIX semaphores: waiters and posters that are killed, handlers of
 * signals, and cancellation, of which none may cost the others a permit. */
#include "support.h"

#include <dropin/cancel.h>
#include <dropin/posix_semaphore.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

enum { WAITERS = 4, KILLS = 40, ROUNDS = 300, THREADS = 4 };

static sem_t *shared_semaphores(void)
{
	sem_t *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(both != MAP_FAILED);
	return both;
}

static void post(sem_t *semaphore)
{
	assert_int_equal(dropin_sem_post((struct semaphore *)semaphore), 0);
}

static int wait_for(sem_t *semaphore)
{
	return dropin_sem_wait(semaphore, CLOCK_REALTIME, NULL);
}

static uint32_t waiters_of(sem_t *semaphore)
{
	return SEMAPHORE_WAITERS(
	        atomic_load(&((struct semaphore *)semaphore)->data));
}

/* Takes and tells, until it's killed. */
static void take_for_ever(void *context)
{
	sem_t *semaphores = context;

	for (;;) {
		assert_int_equal(wait_for(&semaphores[0]), 0);
		post(&semaphores[1]);
	}
}

/* A permit that the killed had may be gone with it; one that nobody had taken
 * may not: so there is always one that is taken in the end. */
TEST(the_killed_cost_the_others_no_wake_up)
{
	sem_t *semaphores = shared_semaphores();
	struct child children[WAITERS];

	dropin_sem_init(&semaphores[0], 1, 0);
	dropin_sem_init(&semaphores[1], 1, 0);
	for (int i = 0; i < WAITERS; i++)
		children[i] = start_child(take_for_ever, semaphores);
	for (int i = 0; i < KILLS; i++) {
		int victim = i % WAITERS;

		while (waiters_of(&semaphores[0]) == 0)
			sched_yield();
		post(&semaphores[0]);
		kill_child(&children[victim]);
		children[victim] = start_child(take_for_ever, semaphores);
		/* A wake-up that was lost would leave this one's permit, or
		 * the one before, where nobody takes it. */
		post(&semaphores[0]);
		assert_int_equal(wait_for(&semaphores[1]), 0);
	}
	while (dropin_sem_take((struct semaphore *)&semaphores[0]))
		;
	for (int i = 0; i < WAITERS; i++)
		kill_child(&children[i]);
	munmap(semaphores, 4096);
}

static void wait_once(void *context)
{
	report(1);
	assert_int_equal(wait_for(context), 0);
}

/* As if one who was woken for it had died. */
TEST(a_permit_that_nobody_was_woken_for_is_found)
{
	sem_t *semaphore = shared_semaphores();
	struct child children[2];

	dropin_sem_init(semaphore, 1, 0);
	for (uint32_t i = 0; i < 2; i++) {
		children[i] = start_child(wait_once, semaphore);
		await_report(&children[i]);
		while (waiters_of(semaphore) <= i)
			sched_yield();
		until_blocked(children[i].pid);
	}
	atomic_fetch_add(&((struct semaphore *)semaphore)->data, 1);
	while (waiters_of(semaphore) > 1)
		sched_yield();
	post(semaphore);
	end_child(&children[0]);
	end_child(&children[1]);
	assert_int_equal(waiters_of(semaphore), 0);
	munmap(semaphore, 4096);
}

static void handle(int number UNUSED)
{
}

static void install(int flags)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = flags };

	sigaction(SIGUSR1, &action, NULL);
}

static void be_interrupted(void *context)
{
	struct timespec far = { INT32_MAX, 0 };
	sem_t *semaphore = context;

	install(0);
	report(1);
	assert_int_equal(wait_for(semaphore), -EINTR);
	assert_int_equal(waiters_of(semaphore), 0);
	install(SA_RESTART);
	report(2);
	assert_int_equal(dropin_sem_wait(semaphore, CLOCK_REALTIME, &far),
	                 -EINTR);
	report(3);
	assert_int_equal(wait_for(semaphore), 0);
}

static void interrupt(struct child *child, sem_t *semaphore)
{
	await_report(child);
	while (waiters_of(semaphore) == 0)
		sched_yield();
	until_blocked(child->pid);
	assert_system(kill(child->pid, SIGUSR1));
}

static void check_interruption(int shared)
{
	sem_t *semaphore = shared_semaphores();
	struct child child;

	dropin_sem_init(semaphore, shared, 0);
	child = start_child(be_interrupted, semaphore);
	interrupt(&child, semaphore);
	interrupt(&child, semaphore);
	interrupt(&child, semaphore); /* goes on */
	if (shared) {
		post(semaphore);
		end_child(&child);
	} else {
		until_blocked(child.pid);
		kill_child(&child);
	}
	munmap(semaphore, 4096);
}

TEST(handlers_end_a_wait_that_is_shared)
{
	check_interruption(1);
}

TEST(handlers_end_a_wait_that_is_private)
{
	check_interruption(0);
}

TEST(a_deadline_ends_a_wait)
{
	struct timespec past = { 1, 0 }, before_all = { -1, 0 }, soon;
	sem_t *semaphore = shared_semaphores();

	for (int shared = 0; shared < 2; shared++) {
		dropin_sem_init(semaphore, shared, 0);
		assert_int_equal(
		        dropin_sem_wait(semaphore, CLOCK_REALTIME, &past),
		        -ETIMEDOUT);
		assert_int_equal(dropin_sem_wait(semaphore, CLOCK_MONOTONIC,
		                                 &before_all),
		                 -ETIMEDOUT);
		clock_gettime(CLOCK_MONOTONIC, &soon);
		soon.tv_nsec += 120 * (long)MS;
		if (soon.tv_nsec >= SECOND) {
			soon.tv_nsec -= SECOND;
			soon.tv_sec++;
		}
		assert_int_equal(dropin_sem_wait(semaphore, CLOCK_MONOTONIC,
		                                 &soon),
		                 -ETIMEDOUT);
		assert_true(now_ns() >= soon.tv_sec * SECOND + soon.tv_nsec);
		assert_int_equal(waiters_of(semaphore), 0);
	}
	munmap(semaphore, 4096);
}

/* ---- Threads ---------------------------------------------------------------- */

static sem_t permits, taken;

static void *take_one(void *context UNUSED)
{
	require(wait_for(&permits) == 0);
	post(&taken);
	return NULL;
}

/* One of those that wait is cancelled as a permit comes: it takes it, or leaves
 * it to another, whom nothing but a wake-up tells. */
TEST(a_cancelled_waiter_leaves_its_wake_up_to_others)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_t threads[THREADS];
		int cancelled = 0;

		dropin_sem_init(&permits, 0, 0);
		dropin_sem_init(&taken, 0, 0);
		for (int j = 0; j < THREADS; j++)
			pthread_create(&threads[j], NULL, take_one, NULL);
		while (waiters_of(&permits) < THREADS)
			sched_yield();
		post(&permits);
		/* libc's, and then what the drop-in's adds */
		pthread_cancel(threads[0]);
		dropin_cancel_interrupt(threads[0]);
		assert_int_equal(wait_for(&taken), 0);
		for (int j = 0; j < THREADS; j++)
			post(&permits);
		for (int j = 0; j < THREADS; j++) {
			void *result;

			pthread_join(threads[j], &result);
			cancelled += result == PTHREAD_CANCELED;
		}
		assert_in_range(cancelled, 0, 1);
		assert_int_equal(waiters_of(&permits), 0);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(the_killed_cost_the_others_no_wake_up),
	CASE(a_permit_that_nobody_was_woken_for_is_found),
	CASE(handlers_end_a_wait_that_is_shared),
	CASE(handlers_end_a_wait_that_is_private),
	CASE(a_deadline_ends_a_wait),
	CASE(a_cancelled_waiter_leaves_its_wake_up_to_others),
};
MAIN(cases)
