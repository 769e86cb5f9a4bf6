/* SPDX-License-Identifier: MIT */
/* Processes killed amid calls on queues of POSIX: nobody waits for the dead,
 * and what they had registered is free. */
#include "dropin.h"

#include <dropin/calls.h>
#include <fcntl.h>
#include <signal.h>

enum { KILLS = 60, BYTES = 100 };

static mqd_t open_queue(const char *name, int flags)
{
	struct mq_attr attributes = { .mq_maxmsg = 3, .mq_msgsize = BYTES };

	return (mqd_t)assert_good(
	        dropin_mq_open(name, O_RDWR | O_CREAT | flags, 0600,
	                       &attributes));
}

static void drain(mqd_t queue)
{
	char text[BYTES];

	while (dropin_mq_timedreceive(queue, text, BYTES, NULL, NULL) >= 0)
		;
}

static const struct sigevent signalled = { .sigev_notify = SIGEV_SIGNAL,
	                                   .sigev_signo = SIGUSR1,
	                                   .sigev_value.sival_int = 7 };

static int fill(mqd_t queue)
{
	int result = 0;

	for (unsigned i = 0; i < 3 && result == 0; i++)
		result = dropin_mq_timedsend(queue, "abc", i, i, NULL);
	return result;
}

/* What a receiver was killed with comes back once, when his death is met: at
 * the latest when there's no room. */
static void fill_at_last(mqd_t queue, const sigset_t *signals)
{
	const struct timespec now = { 0, 0 };

	if (fill(queue) == 0)
		return;
	dropin_mq_notify(queue, NULL);
	while (sigtimedwait(signals, NULL, &now) > 0)
		;
	drain(queue);
	assert_int_equal(dropin_mq_notify(queue, &signalled), 0);
	assert_int_equal(fill(queue), 0);
}

/* The queue does all that an own one does. */
static void assert_sound(mqd_t queue)
{
	struct timespec limit = { HANG_LIMIT_SECONDS, 0 };
	char text[BYTES];
	unsigned priority;
	sigset_t signals;
	siginfo_t info;

	/* Ignored, and yet it comes as long as it is blocked: an assertion that
	 * fails jumps to where it isn't, and should be told. */
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	drain(queue);
	assert_int_equal(dropin_mq_notify(queue, &signalled), 0);
	fill_at_last(queue, &signals);
	assert_int_equal(dropin_mq_timedsend(queue, "abc", 1, 0, NULL),
	                 -EAGAIN);
	assert_int_equal(sigtimedwait(&signals, &info, &limit), SIGUSR1);
	assert_int_equal(info.si_code, SI_MESGQ);
	assert_int_equal(info.si_value.sival_int, 7);
	for (int i = 2; i >= 0; i--) {
		assert_int_equal(dropin_mq_timedreceive(queue, text, BYTES,
		                                        &priority, NULL),
		                 i);
		assert_int_equal(priority, i);
	}
	assert_int_equal(dropin_mq_timedreceive(queue, text, BYTES, NULL, NULL),
	                 -EAGAIN);
}

/* ---- Who has registered ------------------------------------------------------- */

static void register_and_stay(void *context)
{
	mqd_t queue = open_queue("q", 0);
	const struct sigevent *event = context;

	report(dropin_mq_notify(queue, event));
	await_order();
}

static void registrant_dies(const struct sigevent *event)
{
	struct child child;
	mqd_t queue;

	queue = open_queue("q", O_NONBLOCK);
	child = start_child(register_and_stay, (void *)event);
	assert_int_equal(await_report(&child), 0);
	assert_int_equal(dropin_mq_notify(queue, &signalled), -EBUSY);
	kill_child(&child);
	assert_sound(queue);
	dropin_mq_close(queue);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

DROPIN_TEST(a_dead_registrants_place_is_free)
{
	registrant_dies(&signalled);
}

static void nothing(union sigval value)
{
	(void)value;
}

DROPIN_TEST(and_of_one_with_a_helper_thread)
{
	const struct sigevent event = { .sigev_notify = SIGEV_THREAD,
		                        .sigev_notify_function = nothing };

	registrant_dies(&event);
}

/* ---- Who waits ------------------------------------------------------------------- */

static void wait_for_message(void *context)
{
	mqd_t queue = *(mqd_t *)context;
	char text[BYTES];

	report(0);
	dropin_mq_timedreceive(queue, text, BYTES, NULL, NULL);
}

static void wait_for_room(void *context)
{
	mqd_t queue = *(mqd_t *)context;

	report(0);
	dropin_mq_timedsend(queue, "x", 1, 0, NULL);
}

static void waiter_dies(void (*wait)(void *context), int messages)
{
	struct child child;
	mqd_t queue, own;

	queue = open_queue("q", 0);
	own = open_queue("q", O_NONBLOCK);
	for (int i = 0; i < messages; i++)
		assert_int_equal(dropin_mq_timedsend(queue, "x", 1, 0, NULL),
		                 0);
	child = start_child(wait, &queue);
	await_report(&child);
	until_blocked(child.pid);
	kill_child(&child);
	assert_sound(own);
	dropin_mq_close(queue);
	dropin_mq_close(own);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

DROPIN_TEST(a_receiver_dies_in_its_sleep)
{
	waiter_dies(wait_for_message, 0);
}

DROPIN_TEST(a_sender_dies_in_its_sleep)
{
	waiter_dies(wait_for_room, 3);
}

/* ---- At any moment ------------------------------------------------------------- */

static void do_everything(void *context)
{
	uint64_t chance = *(uint64_t *)context;
	char text[BYTES] = "";
	mqd_t queue;

	signal(SIGUSR1, SIG_IGN);
	report(0);
	for (;;) {
		queue = dropin_mq_open("q", O_RDWR | O_NONBLOCK, 0, NULL);
		if (queue < 0)
			exit(1);
		for (uint64_t n = random_below(&chance, 20); n > 0; n--) {
			dropin_mq_timedsend(queue, text,
			                    random_below(&chance, BYTES), 1,
			                    NULL);
			if (random_below(&chance, 3) == 0)
				dropin_mq_notify(queue, &signalled);
			dropin_mq_timedreceive(queue, text, BYTES, NULL, NULL);
		}
		dropin_mq_close(queue);
	}
}

DROPIN_TEST(killed_at_any_moment)
{
	uint64_t chance = run_seed();
	struct child child;
	mqd_t queue;

	queue = open_queue("q", O_NONBLOCK);
	for (int i = 0; i < KILLS; i++) {
		child = start_child(do_everything, &chance);
		await_report(&child);
		usleep((useconds_t)random_below(&chance, 3000));
		kill_child(&child);
		next_random(&chance);
		assert_sound(queue);
	}
	dropin_mq_close(queue);
	assert_int_equal(dropin_mq_unlink("q"), 0);
}

static void make_and_unlink(void *context)
{
	(void)context;
	report(0);
	for (;;) {
		mqd_t queue = dropin_mq_open("q", O_RDWR | O_CREAT, 0600, NULL);

		if (queue < 0)
			exit(1);
		dropin_mq_close(queue);
		dropin_mq_unlink("q");
	}
}

DROPIN_TEST(makers_killed_at_any_moment)
{
	uint64_t chance = run_seed();
	struct child child;

	for (int i = 0; i < KILLS; i++) {
		mqd_t queue;

		child = start_child(make_and_unlink, NULL);
		await_report(&child);
		usleep((useconds_t)random_below(&chance, 3000));
		kill_child(&child);
		queue = (mqd_t)assert_good(dropin_mq_open(
		        "q", O_RDWR | O_CREAT, 0600, NULL));
		assert_int_equal(dropin_mq_timedsend(queue, "x", 1, 0, NULL),
		                 0);
		dropin_mq_close(queue);
		assert_int_equal(dropin_mq_unlink("q"), 0);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(a_dead_registrants_place_is_free),
	CASE(and_of_one_with_a_helper_thread),
	CASE(a_receiver_dies_in_its_sleep),
	CASE(a_sender_dies_in_its_sleep),
	CASE(killed_at_any_moment),
	CASE(makers_killed_at_any_moment),
};
MAIN(cases)
