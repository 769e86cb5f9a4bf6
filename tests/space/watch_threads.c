/* SPDX-License-Identifier: MIT */
/* Watches: callbacks from a thread of the library, and prompt burial. */
#include "support.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

static const struct queue_shape tiny = { STOA_FIFO, 4, 100, 8192 };

struct call {
	sem_t done;
	int result;
	int times;
	pthread_t thread;
	sigset_t blocked;
};

static void note(int result, void *context)
{
	struct call *call = context;

	call->result = result;
	call->times++;
	call->thread = pthread_self();
	pthread_sigmask(SIG_BLOCK, NULL, &call->blocked);
	sem_post(&call->done);
}

static void prepare(struct call *call)
{
	memset(call, 0, sizeof(*call));
	assert_system(sem_init(&call->done, 0, 0));
}

static void await_call(struct call *call)
{
	while (sem_wait(&call->done) != 0)
		assert_int_equal(errno, EINTR);
}

static struct stoa_wait condition_of(struct stoa_queue *queue,
                                          enum stoa_wait_kind kind)
{
	return (struct stoa_wait){ .kind = kind,
		                        .object = stoa_queue_object(queue) };
}

TEST(the_callback_comes_once_from_the_watchs_thread)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_wait condition = condition_of(queue, STOA_READABLE);
	struct stoa_watch *watch;
	struct call call;

	assert_ok(stoa_watch_start(space, &watch));
	for (int round = 0; round < 20; round++) {
		prepare(&call);
		assert_ok(stoa_watch_once(watch, &condition, note, &call));
		send_text(queue, "x");
		await_call(&call);
		assert_int_equal(call.result, 0);
		assert_false(pthread_equal(call.thread, pthread_self()));
		assert_int_equal(sigismember(&call.blocked, SIGUSR1), 1);
		assert_int_equal(sigismember(&call.blocked, SIGTERM), 1);
		assert_receives(queue, "x");
		send_text(queue, "y");
		assert_receives(queue, "y");
		assert_int_equal(call.times, 1);
	}
	stoa_watch_stop(watch);
	assert_int_equal(call.times, 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_condition_that_holds_already_calls_too)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_wait condition = condition_of(queue, STOA_WRITABLE);
	struct stoa_watch *watch;
	struct call call;

	prepare(&call);
	assert_ok(stoa_watch_start(space, &watch));
	assert_ok(stoa_watch_once(watch, &condition, note, &call));
	await_call(&call);
	assert_int_equal(call.result, 0);
	stoa_watch_stop(watch);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(removal_calls_with_eidrm)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = make_queue(space, "other", tiny);
	struct stoa_wait condition = condition_of(queue, STOA_READABLE);
	struct stoa_wait others = condition_of(other, STOA_READABLE);
	struct stoa_watch *watch;
	struct call call;
	struct call second;

	prepare(&call);
	prepare(&second);
	assert_ok(stoa_watch_start(space, &watch));
	assert_ok(stoa_watch_once(watch, &others, note, &second));
	assert_ok(stoa_watch_once(watch, &condition, note, &call));
	assert_ok(stoa_queue_remove(queue));
	await_call(&call);
	assert_int_equal(call.result, -EIDRM);
	assert_int_equal(second.times, 0);
	send_text(other, "x");
	await_call(&second);
	assert_int_equal(second.result, 0);
	assert_int_equal(call.times, 1);
	stoa_watch_stop(watch);
	stoa_queue_close(other);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void join_and_wait(void *context)
{
	stoa_peer self;

	assert_ok(stoa_space_self(context, &self));
	report((int64_t)self);
	await_order();
}

/* Its thread meets the hole first, and must outlive that. */
TEST(a_file_that_is_cut_calls_with_eio)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_wait condition = condition_of(queue, STOA_READABLE);
	struct stoa_watch *watch;
	struct call call;

	assert_ok(stoa_guard());
	prepare(&call);
	assert_ok(stoa_watch_start(space, &watch));
	assert_ok(stoa_watch_once(watch, &condition, note, &call));
	assert_system(truncate(case_path("q.queue"), 0));
	await_call(&call);
	assert_int_equal(call.result, -EIO);
	stoa_watch_stop(watch);
	stoa_queue_close(queue);
	unlink(case_path("q.queue"));
	stoa_space_close(space);
}

TEST(the_death_of_a_peer_calls)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(join_and_wait, space);
	struct stoa_wait condition = { .kind = STOA_DEATH,
		                            .space = space };
	struct stoa_watch *watch;
	struct call call;

	prepare(&call);
	condition.peer = (stoa_peer)await_report(&child);
	assert_ok(stoa_watch_start(space, &watch));
	assert_ok(stoa_watch_once(watch, &condition, note, &call));
	kill_child(&child);
	await_call(&call);
	assert_int_equal(call.result, 0);
	stoa_watch_stop(watch);
	stoa_space_close(space);
}

TEST(no_more_than_63_conditions_are_watched)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_wait condition = condition_of(queue, STOA_READABLE);
	struct stoa_watch *watch;
	struct call call;

	prepare(&call);
	assert_ok(stoa_watch_start(space, &watch));
	for (int i = 0; i < STOA_WAIT_MAX - 1; i++)
		assert_ok(stoa_watch_once(watch, &condition, note, &call));
	assert_result(stoa_watch_once(watch, &condition, note, &call), -ENOSPC);
	send_text(queue, "x");
	for (int i = 0; i < STOA_WAIT_MAX - 1; i++)
		await_call(&call);
	assert_receives(queue, "x");
	assert_ok(stoa_watch_once(watch, &condition, note, &call));
	stoa_watch_stop(watch);
	assert_int_equal(call.times, STOA_WAIT_MAX - 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

struct chain {
	struct stoa_watch *watch;
	struct stoa_queue *queue;
	struct stoa_wait condition;
	sem_t done;
	int left;
};

static void go_on(int result, void *context)
{
	struct chain *chain = context;
	char buffer[8];

	require(result == 0);
	require(stoa_queue_receive(chain->queue, NULL, buffer, 8, STOA_NOW,
	                           NULL) == 1);
	if (--chain->left > 0)
		require(stoa_watch_once(chain->watch, &chain->condition, go_on,
		                        chain) == 0);
	sem_post(&chain->done);
}

TEST(a_callback_may_ask_for_the_next_one)
{
	struct stoa_space *space = open_space();
	struct chain chain = { .left = 100 };

	chain.queue = make_queue(space, "q", tiny);
	chain.condition = condition_of(chain.queue, STOA_READABLE);
	assert_system(sem_init(&chain.done, 0, 0));
	assert_ok(stoa_watch_start(space, &chain.watch));
	assert_ok(
		stoa_watch_once(chain.watch, &chain.condition, go_on, &chain));
	for (int i = 0; i < 100; i++) {
		send_text(chain.queue, "x");
		while (sem_wait(&chain.done) != 0)
			;
	}
	stoa_watch_stop(chain.watch);
	assert_int_equal(chain.left, 0);
	stoa_queue_close(chain.queue);
	stoa_space_close(space);
}

static void take_and_wait(void *context)
{
	struct stoa_message message;

	assert_ok(stoa_queue_take(context, NULL, STOA_NOW, &message));
	report(0);
	await_order();
}

TEST(the_dead_are_buried_without_anybody_meeting_them)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_object_info info;
	struct stoa_watch *watch;
	struct child child;

	send_text(queue, "x");
	child = start_child(take_and_wait, queue);
	await_report(&child);
	assert_ok(stoa_watch_start(space, &watch));
	kill_child(&child);
	do {
		assert_ok(stoa_space_find(space, "q", &info));
	} while (info.dead != 0 || info.users != 1);
	assert_receives(queue, "x");
	stoa_watch_stop(watch);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(stopping_nothing_and_at_once_is_fine)
{
	struct stoa_space *space = open_space();
	struct stoa_watch *watch;

	stoa_watch_stop(NULL);
	for (int i = 0; i < 50; i++) {
		assert_ok(stoa_watch_start(space, &watch));
		stoa_watch_stop(watch);
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(the_callback_comes_once_from_the_watchs_thread),
	CASE(a_condition_that_holds_already_calls_too),
	CASE(removal_calls_with_eidrm),
	CASE(a_file_that_is_cut_calls_with_eio),
	CASE(the_death_of_a_peer_calls),
	CASE(no_more_than_63_conditions_are_watched),
	CASE(a_callback_may_ask_for_the_next_one),
	CASE(the_dead_are_buried_without_anybody_meeting_them),
	CASE(stopping_nothing_and_at_once_is_fine),
};

MAIN(cases)
