/* SPDX-License-Identifier: MIT */
/* Very many signals, from many, and processes killed amid them. */
#include "signals.h"

#include <poll.h>
#include <sched.h>

enum {
	MANY = 100000,
	FEW = 1000,
	SENDERS = 4,
	EACH = 5000,
	BATCH = 100,
	ROUNDS = 12,
	SOON_MAX = 400 /* signals until a kill */
};

/* ---- 100,000, counted and in order --------------------------------------------------- */

static void count_in_order(void *context)
{
	struct stoa_signal_info infos[BATCH];
	struct stoa_signal *signal = context;
	uint64_t next = 0;

	become_somebody();
	assert_ok(stoa_signal_open(STOA_SIGNAL(RT), 0, &signal));
	report((int64_t)allow_queued(MANY));
	assert_int_equal(await_order(), 0); /* all that there is room for */
	while (next < MANY) {
		ssize_t got = stoa_signal_read(signal, infos, BATCH,
		                               STOA_FOREVER);

		assert_true(got > 0);
		for (ssize_t i = 0; i < got; i++)
			assert_int_equal(number_in(&infos[i]), next++);
	}
	assert_result(stoa_signal_read(signal, infos, 1, STOA_NOW), -EAGAIN);
	stoa_signal_close(signal);
}

/* As many at once as the hard limit lets in, and the rest behind them. */
TEST(a_hundred_thousand_queued_signals_arrive_in_order)
{
	struct child child = start_child(count_in_order, NULL);
	int64_t limit = await_report(&child);
	struct stoa_signal_target *target = target_of(child.pid);
	uint64_t sent = 0, at_once = 0;

	while (sent < MANY) {
		int result = stoa_signal_queue(target, RT, value_of(sent));

		if (result == 0)
			sent++;
		else if (result != -EAGAIN)
			fail_msg("%d: %s", result, stoa_last_error());
		else if (at_once)
			sched_yield();
		if (!at_once && (result == -EAGAIN || sent == MANY)) {
			at_once = sent;
			give_order(&child, 0);
		}
	}
	end_child(&child);
	stoa_signal_target_close(target);
	print_message("%llu of %d at once\n", (unsigned long long)at_once, MANY);
	if (at_once < FEW)
		skip_case("RLIMIT_SIGPENDING lets few be queued at once");
	if (getuid() == 0)
		assert_true(at_once >= (uint64_t)(limit < MANY ? limit : MANY));
}

/* ---- Several senders, and a limit that they meet ----------------------------------- */

struct sender {
	pid_t to;
	uint64_t number;
};

static void send_each(void *context)
{
	struct sender *sender = context;
	struct stoa_signal_target *target = target_of(sender->to);

	for (uint64_t i = 0; i < EACH;) {
		int result = stoa_signal_queue(
		        target, RT, value_of(sender->number << 32 | i));

		if (result == 0)
			i++;
		else if (result == -EAGAIN)
			sched_yield(); /* told, so nothing is lost */
		else
			fail_msg("%d: %s", result, stoa_last_error());
	}
	stoa_signal_target_close(target);
}

TEST(nothing_is_lost_or_out_of_order_at_the_limit)
{
	struct child children[SENDERS];
	struct sender senders[SENDERS];
	struct stoa_signal_info infos[BATCH];
	struct stoa_signal *signal;
	uint64_t next[SENDERS] = { 0 }, total = 0;

	become_somebody();
	limit_queued(50);
	assert_ok(stoa_signal_open(STOA_SIGNAL(RT), 0, &signal));
	for (uint64_t i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ getpid(), i };
		children[i] = start_child(send_each, &senders[i]);
	}
	while (total < SENDERS * EACH) {
		ssize_t got = stoa_signal_read(signal, infos, BATCH,
		                               STOA_FOREVER);

		assert_true(got > 0);
		total += (uint64_t)got;
		for (ssize_t i = 0; i < got; i++) {
			uint64_t value = number_in(&infos[i]);

			assert_in_range(value >> 32, 0, SENDERS - 1);
			assert_int_equal(value & UINT32_MAX,
			                 next[value >> 32]++);
		}
	}
	for (int i = 0; i < SENDERS; i++)
		end_child(&children[i]);
	assert_result(stoa_signal_read(signal, infos, 1, STOA_NOW), -EAGAIN);
	stoa_signal_close(signal);
}

/* ---- Kills ------------------------------------------------------------------------- */

static void send_on(void *context)
{
	struct stoa_signal_target *target = target_of(*(pid_t *)context);

	for (uint64_t i = 0;; i++)
		while (stoa_signal_queue(target, RT, value_of(i)) == -EAGAIN)
			sched_yield();
}

TEST(a_killed_senders_signals_are_whole_and_without_gaps)
{
	uint64_t random = run_seed();
	struct stoa_signal_info info;
	struct stoa_signal *signal;
	pid_t self = getpid();

	assert_ok(stoa_signal_open(STOA_SIGNAL(RT), 0, &signal));
	for (int round = 0; round < ROUNDS; round++) {
		struct child child = start_child(send_on, &self);
		uint64_t until = random_below(&random, SOON_MAX), next = 0;

		for (; next < until; next++) {
			assert_result(stoa_signal_read(signal, &info, 1,
			                               STOA_FOREVER),
			              1);
			assert_int_equal(number_in(&info), next);
			assert_int_equal(info.pid, child.pid);
		}
		kill_child(&child);
		while (stoa_signal_read(signal, &info, 1, STOA_NOW) == 1)
			assert_int_equal(number_in(&info), next++);
	}
	stoa_signal_close(signal);
}

static void take_on(void *context)
{
	struct stoa_signal_info info;
	struct stoa_signal *signal = context;

	assert_ok(stoa_signal_open(STOA_SIGNAL(RT), 0, &signal));
	report(0);
	for (;;)
		assert_result(stoa_signal_read(signal, &info, 1, STOA_FOREVER),
		              1);
}

TEST(who_sends_to_a_killed_one_is_told_and_reaches_nobody_else)
{
	uint64_t random = run_seed();

	for (int round = 0; round < ROUNDS; round++) {
		struct child child = start_child(take_on, NULL);
		uint64_t until = random_below(&random, SOON_MAX);

		assert_int_equal(await_report(&child), 0);
		struct stoa_signal_target *target = target_of(child.pid);
		for (uint64_t i = 0; i < until;) {
			int result = stoa_signal_queue(target, RT, value_of(i));

			assert_true(result == 0 || result == -EAGAIN);
			i += result == 0;
		}
		assert_ok(stoa_signal_send(target, SIGKILL));
		/* Killed, and not waited for: it takes nothing any more. */
		struct pollfd ended = { stoa_signal_target_pollfd(target),
			                POLLIN, 0 };
		assert_int_equal(poll(&ended, 1, -1), 1);
		assert_result(stoa_signal_queue(target, RT, value_of(0)),
		              -ESRCH);
		kill_child(&child);
		assert_result(stoa_signal_send(target, SIGKILL), -ESRCH);
		stoa_signal_target_close(target);
	}
}

static struct stoa_space *space;

static void forward_on(void *context)
{
	struct stoa_queue *queue = join_queue(space, "q");
	struct stoa_signal *signal = context;

	assert_ok(stoa_signal_open(STOA_SIGNAL(RT), 0, &signal));
	report(0);
	stoa_signal_forward(signal, queue, UINT64_MAX, STOA_FOREVER);
}

/* What it had taken from the kernel and not sent is lost with it; what it sent
 * is whole, and the queue goes on. */
TEST(a_killed_forwarder_leaves_a_queue_that_works)
{
	static const struct queue_shape shape = { STOA_FIFO, 16, 64, 4096 };
	uint64_t random = run_seed();

	space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", shape);
	for (int round = 0; round < ROUNDS; round++) {
		struct child child = start_child(forward_on, NULL);
		uint64_t until = 1 + random_below(&random, 60), next = 0;
		struct stoa_signal_info info;

		assert_int_equal(await_report(&child), 0);
		struct stoa_signal_target *target = target_of(child.pid);
		for (uint64_t i = 0; i < 2 * until; i++)
			assert_ok(stoa_signal_queue(target, RT, value_of(i)));
		for (; next < until; next++) {
			assert_result(stoa_queue_receive(queue, NULL, &info,
			                                 sizeof(info),
			                                 STOA_FOREVER, NULL),
			              sizeof(info));
			assert_int_equal(number_in(&info), next);
		}
		kill_child(&child);
		while (stoa_queue_receive(queue, NULL, &info, sizeof(info),
		                          STOA_NOW, NULL) == sizeof(info))
			assert_int_equal(number_in(&info), next++);
		assert_good(stoa_space_clean(space, 0, NULL, NULL));
		assert_capacity(queue, 16);
		stoa_signal_target_close(target);
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_hundred_thousand_queued_signals_arrive_in_order),
	CASE(nothing_is_lost_or_out_of_order_at_the_limit),
	CASE(a_killed_senders_signals_are_whole_and_without_gaps),
	CASE(who_sends_to_a_killed_one_is_told_and_reaches_nobody_else),
	CASE(a_killed_forwarder_leaves_a_queue_that_works),
};

MAIN(cases)
