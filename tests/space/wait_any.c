/* SPDX-License-Identifier: MIT */
/* Waiting for several conditions: which index, which error, and death. */
#include "support.h"

#include <signal.h>

static const struct queue_shape tiny = { STOA_FIFO, 2, 100, 8192 };

static struct stoa_wait readable(struct stoa_queue *queue)
{
	return (struct stoa_wait){ .kind = STOA_READABLE,
		                        .object = stoa_queue_object(queue) };
}

static struct stoa_wait writable(struct stoa_queue *queue)
{
	return (struct stoa_wait){ .kind = STOA_WRITABLE,
		                        .object = stoa_queue_object(queue) };
}

static struct stoa_wait death(struct stoa_space *space, stoa_peer peer)
{
	return (struct stoa_wait){ .kind = STOA_DEATH,
		                        .space = space,
		                        .peer = peer };
}

TEST(the_index_of_the_first_that_holds_is_returned)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *a = make_queue(space, "a", tiny);
	struct stoa_queue *b = make_queue(space, "b", tiny);
	struct stoa_wait conditions[] = { readable(a), readable(b),
		                               writable(a) };

	assert_result(stoa_wait_any(conditions, 2, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(conditions, 3, STOA_FOREVER), 2);
	send_text(b, "x");
	assert_result(stoa_wait_any(conditions, 3, STOA_NOW), 1);
	assert_result(stoa_wait_any(conditions, 2, STOA_FOREVER), 1);
	send_text(a, "x");
	assert_result(stoa_wait_any(conditions, 3, STOA_FOREVER), 0);
	fill_queue(a);
	assert_result(stoa_wait_any(&conditions[2], 1, STOA_NOW), -EAGAIN);
	drain_queue(a);
	assert_result(stoa_wait_any(&conditions[2], 1, STOA_NOW), 0);
	stoa_queue_close(b);
	stoa_queue_close(a);
	stoa_space_close(space);
}

TEST(waiting_ends_at_the_deadline)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_wait condition = readable(queue);
	int64_t start = now_ns();

	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(&condition, 1, stoa_deadline_in(-1)),
	              -ETIMEDOUT);
	assert_result(stoa_wait_any(&condition, 1, stoa_deadline_in(20 * MS)),
	              -ETIMEDOUT);
	assert_true(now_ns() - start >= 20 * MS);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(wrong_counts_and_kinds_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_wait conditions[STOA_WAIT_MAX + 1];

	for (size_t i = 0; i < LENGTH(conditions); i++)
		conditions[i] = readable(queue);
	assert_result(stoa_wait_any(conditions, 0, STOA_NOW), -EINVAL);
	assert_result(stoa_wait_any(conditions, STOA_WAIT_MAX + 1, STOA_NOW),
	              -EINVAL);
	assert_result(stoa_wait_any(conditions, STOA_WAIT_MAX, STOA_NOW),
	              -EAGAIN);
	assert_result(stoa_wait_any(conditions, STOA_WAIT_MAX,
	                            stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	conditions[0].kind = (enum stoa_wait_kind)0;
	assert_result(stoa_wait_any(conditions, 1, STOA_NOW), -EINVAL);
	conditions[0].kind = (enum stoa_wait_kind)4;
	assert_result(stoa_wait_any(conditions, 1, STOA_FOREVER), -EINVAL);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_removed_object_is_eidrm)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *a = make_queue(space, "a", tiny);
	struct stoa_queue *b = make_queue(space, "b", tiny);
	struct stoa_wait conditions[] = { readable(a), readable(b) };

	assert_ok(stoa_queue_remove(b));
	assert_result(stoa_wait_any(conditions, 2, STOA_FOREVER), -EIDRM);
	assert_result(stoa_wait_any(conditions, 2, STOA_NOW), -EIDRM);
	stoa_queue_close(b);
	stoa_queue_close(a);
	stoa_space_close(space);
}

/* ---- With other processes --------------------------------------------- */

struct stage {
	struct stoa_space *space;
	struct stoa_queue *a;
	struct stoa_queue *b;
	stoa_peer peer;
};

static void wait_for_all_kinds(void *context)
{
	struct stage *stage = context;
	struct stoa_wait conditions[] = {
		readable(stage->a),
		writable(stage->b),
		death(stage->space, stage->peer),
	};

	report(stoa_wait_any(conditions, LENGTH(conditions), STOA_FOREVER));
}

static void join_and_wait(void *context)
{
	struct stage *stage = context;
	stoa_peer self;

	assert_ok(stoa_space_self(stage->space, &self));
	report((int64_t)self);
	await_order();
}

static void make_readable(struct stage *stage, struct child *peer)
{
	(void)peer;
	send_text(stage->a, "x");
}

static void make_writable(struct stage *stage, struct child *peer)
{
	(void)peer;
	assert_receives(stage->b, "x");
}

static void make_dead(struct stage *stage, struct child *peer)
{
	(void)stage;
	kill_child(peer);
}

static void remove_one(struct stage *stage, struct child *peer)
{
	(void)peer;
	assert_ok(stoa_queue_remove(stage->b));
}

static void wake_by(void (*event)(struct stage *, struct child *),
                    int64_t expected)
{
	struct stage stage;
	struct child peer;
	struct child waiter;

	stage.space = open_space();
	for (int round = 0; round < 5; round++) {
		stage.a = make_queue(stage.space, "a", tiny);
		stage.b = make_queue(stage.space, "b", tiny);
		fill_queue(stage.b);
		peer = start_child(join_and_wait, &stage);
		stage.peer = (stoa_peer)await_report(&peer);
		waiter = start_child(wait_for_all_kinds, &stage);
		until_blocked(waiter.pid);
		event(&stage, &peer);
		assert_int_equal(await_report(&waiter), expected);
		end_child(&waiter);
		if (peer.pid > 0)
			kill_child(&peer);
		stoa_queue_close(stage.a);
		stoa_queue_close(stage.b);
		stoa_queue_unlink(stage.space, "a");
		stoa_queue_unlink(stage.space, "b");
	}
	stoa_space_close(stage.space);
}

TEST(a_message_wakes)
{
	wake_by(make_readable, 0);
}

TEST(room_wakes)
{
	wake_by(make_writable, 1);
}

TEST(the_death_of_a_peer_wakes)
{
	wake_by(make_dead, 2);
}

TEST(removal_wakes)
{
	wake_by(remove_one, -EIDRM);
}

TEST(a_stopped_peer_is_no_death)
{
	struct stage stage = { 0 };
	struct stoa_wait condition;
	struct child peer;

	stage.space = open_space();
	peer = start_child(join_and_wait, &stage);
	condition = death(stage.space, (stoa_peer)await_report(&peer));
	stop_child(&peer);
	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(&condition, 1, stoa_deadline_in(200 * MS)),
	              -ETIMEDOUT);
	kill_child(&peer);
	assert_result(stoa_wait_any(&condition, 1, STOA_FOREVER), 0);
	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), 0);
	stoa_space_close(stage.space);
}

/* A waiter who may not act must not eat the wake of one who may. */
TEST(waiting_does_not_keep_a_message_from_a_receiver)
{
	struct stage stage = { 0 };
	struct child waiter;
	char buffer[8];

	stage.space = open_space();
	stage.a = make_queue(stage.space, "a", tiny);
	stage.b = make_queue(stage.space, "b", tiny);
	fill_queue(stage.b);
	assert_ok(stoa_space_self(stage.space, &stage.peer));
	waiter = start_child(wait_for_all_kinds, &stage);
	until_blocked(waiter.pid);
	send_text(stage.a, "x");
	assert_result(stoa_queue_receive(stage.a, NULL, buffer, 8, STOA_FOREVER,
	                                 NULL),
	              1);
	/* It may have seen the first, and else sees this one. */
	send_text(stage.a, "y");
	assert_int_equal(await_report(&waiter), 0);
	end_child(&waiter);
	stoa_queue_close(stage.a);
	stoa_queue_close(stage.b);
	stoa_space_close(stage.space);
}

static void ignore_signal(int number)
{
	(void)number;
}

static void wait_interrupted(void *context)
{
	struct stoa_queue *queue = context;
	struct stoa_wait condition = readable(queue);
	struct sigaction action = { .sa_handler = ignore_signal };

	assert_system(sigaction(SIGUSR1, &action, NULL));
	report(0);
	report(stoa_wait_any(&condition, 1, STOA_FOREVER));
}

TEST(a_signal_ends_the_wait_if_an_object_was_opened_interruptible)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *interruptible;
	struct child child;

	assert_ok(stoa_queue_open(space, "q",
	                          STOA_READ | STOA_WRITE | STOA_INTERRUPTIBLE,
	                          0, NULL, &interruptible));
	child = start_child(wait_interrupted, interruptible);
	await_report(&child);
	signal_until_report(&child, SIGUSR1);
	assert_int_equal(await_report(&child), -EINTR);
	end_child(&child);
	child = start_child(wait_interrupted, queue);
	await_report(&child);
	until_blocked(child.pid);
	assert_system(kill(child.pid, SIGUSR1));
	until_blocked(child.pid);
	send_text(queue, "x");
	assert_int_equal(await_report(&child), 0);
	end_child(&child);
	stoa_queue_close(interruptible);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(the_index_of_the_first_that_holds_is_returned),
	CASE(waiting_ends_at_the_deadline),
	CASE(wrong_counts_and_kinds_are_refused),
	CASE(a_removed_object_is_eidrm),
	CASE(a_message_wakes),
	CASE(room_wakes),
	CASE(the_death_of_a_peer_wakes),
	CASE(removal_wakes),
	CASE(a_stopped_peer_is_no_death),
	CASE(waiting_does_not_keep_a_message_from_a_receiver),
	CASE(a_signal_ends_the_wait_if_an_object_was_opened_interruptible),
};

MAIN(cases)
