/* SPDX-License-Identifier: MIT */
/* Threads that handle, replace handlers and take signals at once. */
#include "signals.h"

#include <pthread.h>
#include <sched.h>

enum { CHANGES = 3000, TAKERS = 3, SIGNALS = 6000 };

/* Each context says which of two handlers it belongs to. */
struct place {
	uint64_t kind;
	uint64_t calls; /* relaxed: a count, read after the threads' end */
};

static uint64_t mixed; /* relaxed: as above */

static void called(struct place *place, uint64_t kind)
{
	if (place->kind != kind)
		__atomic_fetch_add(&mixed, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&place->calls, 1, __ATOMIC_RELAXED);
}

static void first(const struct stoa_signal_info *info, void *context)
{
	(void)info;
	called(context, 1);
}

static void second(const struct stoa_signal_info *info, void *context)
{
	(void)info;
	called(context, 2);
}

static struct place places[] = { { 1, 0 }, { 2, 0 } };

static void *change_on(void *context)
{
	struct stoa_signal_action actions[2] = {
		{ .size = sizeof(actions[0]),
		  .disposition = STOA_SIGNAL_HANDLE,
		  .handler = first,
		  .context = &places[0] },
		{ .size = sizeof(actions[0]),
		  .disposition = STOA_SIGNAL_HANDLE,
		  .handler = second,
		  .context = &places[1] },
	};

	(void)context;
	for (int i = 0; i < CHANGES; i++)
		require(stoa_signal_set_action(RT, &actions[i % 2], NULL) == 0);
	return NULL;
}

static uint64_t all_calls(void)
{
	return __atomic_load_n(&places[0].calls, __ATOMIC_RELAXED) +
	       __atomic_load_n(&places[1].calls, __ATOMIC_RELAXED);
}

/* A handler never meets another's context, and every signal one of them. */
TEST(handlers_are_replaced_while_they_run)
{
	struct stoa_signal_target *target = target_of(getpid());
	pthread_t changers[2];
	uint64_t sent = 0;

	change_on(NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&changers[i], NULL, change_on,
		                                NULL),
		                 0);
	for (; sent < SIGNALS; sent++)
		while (stoa_signal_queue(target, RT, value_of(sent)) == -EAGAIN)
			sched_yield();
	for (int i = 0; i < 2; i++)
		pthread_join(changers[i], NULL);
	/* What is pending is delivered to this thread, or by and by (a sanitizer
	 * puts it off); what is lost hangs. */
	while (all_calls() < sent)
		usleep(0);
	assert_int_equal(mixed, 0);
	assert_int_equal(all_calls(), sent);
	stoa_signal_target_close(target);
}

struct taker {
	pthread_t thread;
	struct stoa_signal *signal;
	uint64_t *taken; /* how often each value came */
	uint64_t count;
};

static void *take_all(void *context)
{
	struct taker *taker = context;
	struct stoa_signal_info info;

	for (;;) {
		require(stoa_signal_read(taker->signal, &info, 1,
		                         STOA_FOREVER) == 1);
		if (info.number == SIGTERM)
			return NULL;
		__atomic_fetch_add(&taker->taken[number_in(&info)], 1,
		                   __ATOMIC_RELAXED);
		taker->count++;
	}
}

TEST(many_threads_take_each_signal_once)
{
	static uint64_t taken[SIGNALS];
	struct taker takers[TAKERS];
	struct stoa_signal *signal;
	struct stoa_signal_target *target = target_of(getpid());

	assert_ok(stoa_signal_open(STOA_SIGNAL(RT) | STOA_SIGNAL(SIGTERM), 0,
	                           &signal));
	for (int i = 0; i < TAKERS; i++) {
		takers[i] = (struct taker){ .signal = signal, .taken = taken };
		assert_int_equal(pthread_create(&takers[i].thread, NULL,
		                                take_all, &takers[i]),
		                 0);
	}
	for (uint64_t i = 0; i < SIGNALS; i++)
		while (stoa_signal_queue(target, RT, value_of(i)) == -EAGAIN)
			sched_yield();
	stoa_signal_set pending;
	do {
		sched_yield();
		assert_ok(stoa_signal_pending(&pending));
	} while (pending & STOA_SIGNAL(RT));
	/* Standard ones coalesce: one at a time. */
	for (int i = 0; i < TAKERS; i++) {
		assert_ok(stoa_signal_send(target, SIGTERM));
		do {
			sched_yield();
			assert_ok(stoa_signal_pending(&pending));
		} while (pending & STOA_SIGNAL(SIGTERM));
	}
	uint64_t total = 0;
	for (int i = 0; i < TAKERS; i++) {
		pthread_join(takers[i].thread, NULL);
		total += takers[i].count;
	}
	assert_int_equal(total, SIGNALS);
	for (int i = 0; i < SIGNALS; i++)
		assert_int_equal(taken[i], 1);
	stoa_signal_target_close(target);
	stoa_signal_close(signal);
}

static const struct CMUnitTest cases[] = {
	CASE(handlers_are_replaced_while_they_run),
	CASE(many_threads_take_each_signal_once),
};

MAIN(cases)
