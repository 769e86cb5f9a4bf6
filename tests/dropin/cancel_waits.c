/* SPDX-License-Identifier: MIT */
/* pthread_cancel() of threads that wait in the drop-in's calls: at every moment
 * of the wait, when it is disabled, and beside what the wait is for. */
#include "support.h"

#include <dropin/calls.h>
#include <dropin/cancel.h>
#include <dropin/posix_semaphore.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/wait.h>

enum { ROUNDS = 400, FORKS = 40, LEAVES = 50 };

struct message {
	long type;
	char text[8];
};

static int queue;
static sem_t semaphore, begun;

static void *wait_semaphore(void *context UNUSED)
{
	dropin_sem_post((struct semaphore *)&begun);
	require(dropin_sem_wait(&semaphore, CLOCK_REALTIME, NULL) == 0);
	return NULL;
}

static void *wait_message(void *context UNUSED)
{
	struct message message;

	dropin_sem_post((struct semaphore *)&begun);
	require(dropin_msgrcv(queue, &message, 8, 1, 0) >= 0);
	return NULL;
}

static void *wait_disabled(void *context UNUSED)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	wait_semaphore(NULL);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	pthread_testcancel();
	return NULL;
}

static void *wait_asynchronous(void *context UNUSED)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	return wait_semaphore(NULL);
}

/* As libc_pthread_cancel() does. */
static void cancel(pthread_t thread)
{
	pthread_cancel(thread);
	dropin_cancel_interrupt(thread);
}

static void await(sem_t *word)
{
	assert_int_equal(dropin_sem_wait(word, CLOCK_REALTIME, NULL), 0);
}

static void begin(void)
{
	setenv("STOA_SPACE", case_directory(), 1);
	dropin_sem_init(&semaphore, 0, 0);
	dropin_sem_init(&begun, 0, 0);
}

/* The thread may be anywhere: before its wait, falling asleep, or asleep. */
static void cancel_at_random(void *(*run)(void *))
{
	uint64_t chance = run_seed();

	for (int i = 0; i < ROUNDS; i++) {
		pthread_t thread;
		void *result;

		pthread_create(&thread, NULL, run, NULL);
		await(&begun);
		for (uint64_t spins = random_below(&chance, 20000); spins > 0;
		     spins--)
			atomic_signal_fence(memory_order_seq_cst);
		cancel(thread);
		pthread_join(thread, &result);
		assert_ptr_equal(result, PTHREAD_CANCELED);
	}
}

TEST(a_wait_for_a_semaphore_is_cancelled_at_any_moment)
{
	begin();
	cancel_at_random(wait_semaphore);
	assert_int_equal(((struct semaphore *)&semaphore)->data, 0);
}

TEST(asynchronous_cancellation_leaves_the_semaphore_whole)
{
	begin();
	cancel_at_random(wait_asynchronous);
}

static void cancel_receivers(void *context UNUSED)
{
	begin();
	queue = dropin_msgget(IPC_PRIVATE, 0600);
	assert_true(queue >= 0);
	cancel_at_random(wait_message);
	assert_int_equal(dropin_msgctl(queue, IPC_RMID, NULL), 0);
}

TEST(a_wait_for_a_message_is_cancelled_at_any_moment)
{
	struct child child = start_child(cancel_receivers, NULL);

	end_child(&child);
}

TEST(who_disabled_it_goes_on_waiting)
{
	pthread_t thread;
	void *result;

	begin();
	pthread_create(&thread, NULL, wait_disabled, NULL);
	await(&begun);
	cancel(thread);
	dropin_sem_post((struct semaphore *)&semaphore);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(((struct semaphore *)&semaphore)->data, 0);
}

static void *cancel_other(void *other)
{
	pthread_cancel(pthread_self());
	/* No cancellation point: it returns, though this is cancelled. */
	cancel(*(pthread_t *)other);
	dropin_sem_post((struct semaphore *)&begun);
	pthread_testcancel();
	return NULL;
}

TEST(to_cancel_is_no_cancellation_point)
{
	pthread_t waiter, other;
	void *result;

	begin();
	pthread_create(&waiter, NULL, wait_semaphore, NULL);
	await(&begun);
	pthread_create(&other, NULL, cancel_other, &waiter);
	await(&begun);
	pthread_join(waiter, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	pthread_join(other, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
}

/* The child has none of the waits of threads that it doesn't have. */
static void fork_beside(void *context UNUSED)
{
	pthread_t thread;

	begin();
	pthread_create(&thread, NULL, wait_semaphore, NULL);
	await(&begun);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			pthread_t own;

			pthread_create(&own, NULL, wait_semaphore, NULL);
			await(&begun);
			cancel(own);
			pthread_join(own, NULL);
			_exit(0);
		}
		assert_system(waitpid(pid, &status, 0));
		assert_int_equal(status, 0);
	}
	cancel(thread);
	pthread_join(thread, NULL);
}

TEST(forked_children_cancel_their_own)
{
	struct child child = start_child(fork_beside, NULL);

	end_child(&child);
}

/* What a classic timeout does: the wait's frame is gone, and used for other
 * things. */
static _Thread_local sigjmp_buf before_wait;
static _Atomic pid_t waiter;

static void leave_wait(int number UNUSED)
{
	siglongjmp(before_wait, 1);
}

__attribute__((noinline)) static void scribble(int depth)
{
	volatile char frame[1024];

	memset((void *)frame, 0x41, sizeof(frame));
	if (depth > 0)
		scribble(depth - 1);
}

static void *wait_and_leave(void *context UNUSED)
{
	static volatile int left;

	atomic_store(&waiter, gettid());
	for (left = 0; left < LEAVES; left++) {
		dropin_sem_init(&semaphore, 0, 0);
		if (sigsetjmp(before_wait, 1) == 0)
			wait_semaphore(NULL);
		scribble(8);
	}
	dropin_sem_init(&semaphore, 0, 0);
	return wait_semaphore(NULL);
}

TEST(a_handler_leaves_waits_by_a_jump)
{
	struct sigaction action = { .sa_handler = leave_wait };
	pthread_t thread;
	void *result;

	begin();
	assert_system(sigaction(SIGUSR1, &action, NULL));
	pthread_create(&thread, NULL, wait_and_leave, NULL);
	for (int i = 0; i < LEAVES; i++) {
		await(&begun);
		until_blocked(atomic_load(&waiter));
		pthread_kill(thread, SIGUSR1);
	}
	await(&begun);
	dropin_sem_post((struct semaphore *)&semaphore);
	pthread_join(thread, &result);
	assert_null(result);
	/* Another thread may have its number. */
	pthread_create(&thread, NULL, wait_semaphore, NULL);
	await(&begun);
	cancel(thread);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
}

/* The wait's frame is gone when the thread ends. */
static void *leave_and_exit(void *context)
{
	void *(*wait)(void *) = context;

	atomic_store(&waiter, gettid());
	if (sigsetjmp(before_wait, 1) == 0)
		wait(NULL);
	scribble(8);
	pthread_exit(&waiter);
}

static void leave_by_jump(void *(*wait)(void *))
{
	struct sigaction action = { .sa_handler = leave_wait };
	pthread_t thread;
	void *result;

	assert_system(sigaction(SIGUSR1, &action, NULL));
	for (int i = 0; i < LEAVES; i++) {
		pthread_create(&thread, NULL, leave_and_exit, wait);
		await(&begun);
		until_blocked(atomic_load(&waiter));
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, &result);
		assert_ptr_equal(result, &waiter);
	}
}

static void leave_receipts(void *context UNUSED)
{
	begin();
	queue = dropin_msgget(IPC_PRIVATE, 0600);
	leave_by_jump(wait_message);
	assert_int_equal(dropin_msgctl(queue, IPC_RMID, NULL), 0);
}

TEST(a_thread_that_left_a_wait_by_a_jump_may_end)
{
	struct child child = start_child(leave_receipts, NULL);

	end_child(&child);
	begin();
	leave_by_jump(wait_semaphore);
}

static const struct CMUnitTest cases[] = {
	CASE(a_wait_for_a_semaphore_is_cancelled_at_any_moment),
	CASE(asynchronous_cancellation_leaves_the_semaphore_whole),
	CASE(a_wait_for_a_message_is_cancelled_at_any_moment),
	CASE(who_disabled_it_goes_on_waiting),
	CASE(to_cancel_is_no_cancellation_point),
	CASE(forked_children_cancel_their_own),
	CASE(a_handler_leaves_waits_by_a_jump),
	CASE(a_thread_that_left_a_wait_by_a_jump_may_end),
};
MAIN(cases)
