/* SPDX-License-Identifier: MIT */
/* Fork at any time: the child uses the handle at once, as itself; what the
 * parent holds stays the parent's. */
#include "support.h"

#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

static const struct queue_shape tiny = { STOA_FIFO, 8, 5000, 1 << 17 };

static void send_hello(void *context)
{
	send_text(context, "hello");
}

TEST(the_child_uses_the_inherited_handle_at_once)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct stoa_queue *queue;
		char buffer[8];

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		for (int i = 0; i < 20; i++) {
			struct child child = start_child(send_hello, queue);
			struct stoa_message message;

			assert_result(stoa_queue_receive(queue, NULL, buffer, 8,
			                                 STOA_FOREVER,
			                                 &message),
			              5);
			assert_int_equal(message.sender_pid, child.pid);
			end_child(&child);
		}
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

struct held {
	struct stoa_queue *queue;
	struct stoa_message taken;
	struct stoa_message reserved;
};

static void hold(struct held *held)
{
	memset(&held->reserved, 0, sizeof(held->reserved));
	send_text(held->queue, "taken");
	held->taken = take_text(held->queue, "taken");
	assert_ok(
		stoa_queue_reserve(held->queue, 8, STOA_NOW, &held->reserved));
	memcpy(held->reserved.data, "reserved", 8);
	held->reserved.type = 1;
}

static void try_parents(void *context)
{
	struct held *held = context;

	assert_result(stoa_queue_acknowledge(held->queue, &held->taken),
	              -ESTALE);
	assert_result(stoa_queue_return(held->queue, &held->taken), -ESTALE);
	assert_result(stoa_queue_commit(held->queue, &held->reserved), -ESTALE);
	assert_result(stoa_queue_cancel(held->queue, &held->reserved), -ESTALE);
}

static void close_inherited(void *context)
{
	struct held *held = context;

	stoa_queue_close(held->queue);
}

static void use_and_close(void *context)
{
	struct held *held = context;
	struct stoa_message message;

	send_text(held->queue, "mine");
	message = take_text(held->queue, "mine");
	(void)message;
	stoa_queue_close(held->queue);
}

static void use_and_wait(void *context)
{
	struct held *held = context;

	send_text(held->queue, "mine");
	take_text(held->queue, "mine");
	report(0);
	await_order();
}

TEST(what_the_parent_holds_stays_the_parents)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct queue_shape shape = tiny;
		struct held held;
		struct child child;

		shape.order = (enum stoa_queue_order)order;
		held.queue = make_queue(space, "q", shape);
		hold(&held);
		child = start_child(try_parents, &held);
		end_child(&child);
		child = start_child(close_inherited, &held);
		end_child(&child);
		child = start_child(use_and_close, &held);
		end_child(&child);
		assert_receives(held.queue, "mine");
		child = start_child(use_and_wait, &held);
		await_report(&child);
		kill_child(&child);
		assert_good(stoa_space_clean(space, 0, NULL, NULL));
		assert_receives(held.queue, "mine");
		assert_int_equal(stat_of(held.queue).taken, 1);
		assert_int_equal(stat_of(held.queue).reserved, 1);
		assert_memory_equal(held.taken.data, "taken", 5);
		assert_ok(stoa_queue_acknowledge(held.queue, &held.taken));
		assert_ok(stoa_queue_commit(held.queue, &held.reserved));
		assert_receives(held.queue, "reserved");
		assert_capacity(held.queue, tiny.capacity);
		stoa_queue_close(held.queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

/* The inner child goes on with its father's handle after his death. */
static void serve_orphan(void *context)
{
	struct stoa_queue *queue = context;

	send_text(queue, "from the orphan");
	report(0);
	await_order();
}

static void hold_and_fork(void *context)
{
	struct stoa_queue *queue = context;
	struct child inner;

	take_text(queue, "held");
	inner = start_child(serve_orphan, queue);
	await_report(&inner);
	report(0);
	await_order();
}

TEST(what_a_dead_parent_held_comes_back_while_its_child_lives)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child;
	char buffer[16];

	send_text(queue, "held");
	child = start_child(hold_and_fork, queue);
	await_report(&child);
	assert_receives(queue, "from the orphan");
	assert_empty(queue);
	kill_child(&child);
	assert_result(stoa_queue_receive(queue, NULL, buffer, 16, STOA_FOREVER,
	                                 NULL),
	              4);
	assert_memory_equal(buffer, "held", 4);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* ---- Fork while other threads are in the midst of it ------------------ */

enum { FORKS = 150 };

struct busy {
	struct stoa_queue *queue;
	struct stoa_queue *results;
	atomic_bool stop;
};

static void *pass_messages(void *context)
{
	struct busy *busy = context;
	char buffer[5000];

	for (unsigned i = 0; !atomic_load(&busy->stop); i++) {
		int result = stoa_queue_send(busy->queue, buffer,
		                             i % 7 == 0 ? 4000 : 16, STOA_NOW);

		require(result == 0 || result == -EAGAIN);
		ssize_t bytes =
			stoa_queue_receive(busy->queue, NULL, buffer,
		                           sizeof(buffer), STOA_NOW, NULL);
		require(bytes >= 0 || bytes == -EAGAIN);
	}
	return NULL;
}

static void pass_and_tell(void *context)
{
	struct busy *busy = context;

	for (int i = 0; i < 5; i++) {
		char buffer[5000];
		ssize_t result;

		assert_good(stoa_queue_send(busy->queue, buffer, 100,
		                            STOA_FOREVER));
		result = stoa_queue_receive(busy->queue, NULL, buffer,
		                            sizeof(buffer), STOA_NOW, NULL);
		assert_true(result >= 0 || result == -EAGAIN);
	}
	send_text(busy->results, "done");
}

TEST(forking_while_threads_are_in_calls_harms_nobody)
{
	struct stoa_space *space = open_space();
	struct busy busy = { .stop = false };
	pthread_t threads[2];

	busy.queue = make_queue(space, "q", tiny);
	busy.results = make_queue(space, "r", tiny);
	for (size_t i = 0; i < LENGTH(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
		                                pass_messages, &busy),
		                 0);
	for (int i = 0; i < FORKS; i++) {
		struct child child = start_child(pass_and_tell, &busy);

		end_child(&child);
		assert_receives(busy.results, "done");
	}
	atomic_store(&busy.stop, true);
	for (size_t i = 0; i < LENGTH(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	drain_queue(busy.queue);
	assert_capacity(busy.queue, tiny.capacity);
	stoa_queue_close(busy.results);
	stoa_queue_close(busy.queue);
	stoa_space_close(space);
}

TEST(a_spawned_command_disturbs_nothing)
{
	struct stoa_space *space = open_space();
	struct held held = { .queue = make_queue(space, "q", tiny) };
	char *arguments[] = { (char *)(uintptr_t) "true", NULL };
	char *environment[] = { NULL };
	int status;
	pid_t pid;

	hold(&held);
	assert_int_equal(posix_spawnp(&pid, "true", NULL, NULL, arguments,
	                              environment),
	                 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 0);
	assert_ok(stoa_queue_acknowledge(held.queue, &held.taken));
	assert_ok(stoa_queue_commit(held.queue, &held.reserved));
	assert_receives(held.queue, "reserved");
	stoa_queue_close(held.queue);
	stoa_space_close(space);
}

static void fork_deeply(void *context)
{
	struct held *held = context;
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)held->taken.bytes);
	send_text(held->queue, text);
	if (held->taken.bytes-- > 1) {
		struct child child = start_child(fork_deeply, held);

		end_child(&child);
	}
}

TEST(children_of_children_use_the_handle_too)
{
	struct stoa_space *space = open_space();
	struct held held = { .queue = make_queue(space, "q", tiny) };
	struct child child;

	held.taken.bytes = 6;
	child = start_child(fork_deeply, &held);
	end_child(&child);
	assert_receives(held.queue, "6");
	assert_receives(held.queue, "5");
	assert_receives(held.queue, "4");
	assert_receives(held.queue, "3");
	assert_receives(held.queue, "2");
	assert_receives(held.queue, "1");
	assert_empty(held.queue);
	stoa_queue_close(held.queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(the_child_uses_the_inherited_handle_at_once),
	CASE(what_the_parent_holds_stays_the_parents),
	CASE(what_a_dead_parent_held_comes_back_while_its_child_lives),
	CASE(forking_while_threads_are_in_calls_harms_nobody),
	CASE(a_spawned_command_disturbs_nothing),
	CASE(children_of_children_use_the_handle_too),
};

MAIN(cases)
