/* SPDX-License-Identifier: MIT */
/*
 * base/thread.h: a small number for the calling thread, different from those
 * of all other threads that the process has now, and what is to be given up
 * when a thread ends. With the peer it names whoever holds something.
 */
#ifndef STOA_BASE_THREAD_H
#define STOA_BASE_THREAD_H

#include <stdint.h>

#define STOA_THREAD_BITS 15
#define STOA_THREAD_MAX ((1 << STOA_THREAD_BITS) - 1)

/* Something that the thread holds, in private memory of the library's. */
struct stoa_held {
	struct stoa_held *next, *previous;
	/* The thread ends and still holds it. */
	void (*abandon)(struct stoa_held *held);
};

struct stoa_thread {
	uint32_t number; /* 1 to STOA_THREAD_MAX; 0: not asked yet */
	int32_t tid;     /* for people */
	uint64_t raised; /* stoa_cpu_ticks() when it last gave something up */
	int gave_up; /* something, since then and maybe without waking: when
	                it waits it will say that it was only just */
	struct stoa_held *held;
};

extern __thread struct stoa_thread stoa_thread_here
        __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Gives the thread its number. -EAGAIN: as many threads have one as can. */
int stoa_thread_enter(void);

/* The calling thread, or NULL: there are too many. */
static inline struct stoa_thread *stoa_thread_self(void)
{
	if (__builtin_expect(stoa_thread_here.number == 0, 0) &&
	    stoa_thread_enter() < 0)
		return 0;
	return &stoa_thread_here;
}

static inline void stoa_thread_hold(struct stoa_thread *thread,
                                    struct stoa_held *held)
{
	held->previous = 0;
	held->next = thread->held;
	if (thread->held)
		thread->held->previous = held;
	thread->held = held;
}

/* `held` must be the calling thread's. */
static inline void stoa_thread_let_go(struct stoa_thread *thread,
                                      struct stoa_held *held)
{
	if (held->previous)
		held->previous->next = held->next;
	else
		thread->held = held->next;
	if (held->next)
		held->next->previous = held->previous;
}

#endif
