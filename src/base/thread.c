/* SPDX-License-Identifier: MIT */
/* base/thread.c: numbers for threads. */
#include <base/system.h>
#include <base/thread.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define WORDS ((STOA_THREAD_MAX + 1) / 64)

/*
 * Which numbers are taken: process-wide, as the numbers are. A forked child
 * begins with its parent's: numbers of threads that it hasn't are lost to it,
 * which its 32,767 allow for.
 */
static _Atomic uint64_t taken[WORDS] = { 1 }; /* 0 is nobody */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

__thread struct stoa_thread stoa_thread_here;

static void leave(void *argument)
{
	struct stoa_thread *thread = argument;
	uint32_t number = thread->number;

	while (thread->held) {
		struct stoa_held *held = thread->held;

		stoa_thread_let_go(thread, held);
		held->abandon(held);
	}
	thread->number = 0;
	/* release: pairs with the acquire in take() */
	atomic_fetch_and_explicit(&taken[number / 64],
	                          ~(UINT64_C(1) << number % 64),
	                          memory_order_release);
}

/* The child's one thread keeps its number; what the parent holds, it doesn't. */
static void after_fork_in_child(void)
{
	struct stoa_thread *thread = &stoa_thread_here;

	if (thread->number == 0)
		return;
	thread->held = NULL;
	thread->tid = (int32_t)stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, leave) ?:
	                    pthread_atfork(NULL, NULL, after_fork_in_child);
}

static int take(uint32_t *ret_number)
{
	for (uint32_t i = 0; i < WORDS; i++) {
		uint64_t word = atomic_load_explicit(&taken[i],
		                                     memory_order_relaxed);

		while (~word) {
			uint32_t bit = (uint32_t)__builtin_ctzll(~word);

			if (!atomic_compare_exchange_weak_explicit(
			            &taken[i], &word, word | UINT64_C(1) << bit,
			            memory_order_acquire, memory_order_relaxed))
				continue;
			*ret_number = i * 64 + bit;
			return 0;
		}
	}
	return -EAGAIN;
}

int stoa_thread_enter(void)
{
	struct stoa_thread *thread = &stoa_thread_here;
	uint32_t number;
	int result;

	pthread_once(&once, make_key);
	if (key_error)
		return -key_error;
	result = take(&number);
	if (result < 0)
		return result;
	result = pthread_setspecific(key, thread);
	if (result != 0) {
		atomic_fetch_and_explicit(&taken[number / 64],
		                          ~(UINT64_C(1) << number % 64),
		                          memory_order_release);
		return -result;
	}
	thread->tid = (int32_t)stoa_system_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
	thread->number = number;
	return 0;
}
