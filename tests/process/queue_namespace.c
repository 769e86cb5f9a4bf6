/* SPDX-License-Identifier: MIT */
/* Processes in different PID namespaces that share a space: equal process ids
 * confuse nobody. */
#include "support.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

static const struct queue_shape tiny = { STOA_FIFO, 8, 5000, 1 << 17 };

struct stage {
	struct stoa_space *space;
	struct stoa_queue *queue;
};

static void take_as_first(struct stage *stage)
{
	struct stoa_message message;
	stoa_peer self;

	assert_int_equal(getpid(), 1);
	assert_ok(stoa_space_self(stage->space, &self));
	assert_ok(stoa_queue_take(stage->queue, NULL, STOA_FOREVER, &message));
	report((int64_t)self);
	await_order();
	assert_ok(stoa_queue_acknowledge(stage->queue, &message));
	stoa_queue_close(make_queue(stage->space, "made-inside", tiny));
	report(1);
}

/* Its child is process 1 of a namespace of its own, and dies with it. */
static void become_namespace(void *context)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID) != 0) {
		report(0);
		return;
	}
	pid = fork();
	if (pid == 0) {
		take_as_first(context);
		_exit(EXIT_SUCCESS);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static stoa_peer start_or_skip(struct child *child, struct stage *stage)
{
	stoa_peer peer;

	*child = start_child(become_namespace, stage);
	peer = (stoa_peer)await_report(child);
	if (peer == 0) {
		end_child(child);
		stoa_queue_close(stage->queue);
		stoa_space_close(stage->space);
		skip_case("no PID namespace allowed");
	}
	return peer;
}

/* The inner process is found as the child of the outer one. */
static void kill_inner(struct child *outer)
{
	char path[64];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", outer->pid,
	         outer->pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	fclose(file);
	assert_system(kill(pid, SIGKILL));
	waitpid(outer->pid, NULL, 0);
	close(outer->reports);
	close(outer->orders);
}

TEST(two_processes_with_the_same_id_are_told_apart)
{
	struct stage stage = { .space = open_space() };
	struct child a;
	struct child b;
	stoa_peer peer_a;
	stoa_peer peer_b;

	stage.queue = make_queue(stage.space, "q", tiny);
	send_text(stage.queue, "a");
	peer_a = start_or_skip(&a, &stage);
	send_text(stage.queue, "b");
	peer_b = start_or_skip(&b, &stage);
	assert_true(peer_a != peer_b);
	assert_result(stoa_space_alive(stage.space, peer_a), 1);
	assert_result(stoa_space_alive(stage.space, peer_b), 1);
	assert_result(stoa_space_clean(stage.space, 0, NULL, NULL), 0);
	kill_inner(&a);
	assert_result(stoa_space_alive(stage.space, peer_a), 0);
	assert_result(stoa_space_alive(stage.space, peer_b), 1);
	assert_good(stoa_space_clean(stage.space, 0, NULL, NULL));
	assert_receives(stage.queue, "a");
	assert_empty(stage.queue);
	give_order(&b, 0);
	assert_int_equal(await_report(&b), 1);
	end_child(&b);
	assert_empty(stage.queue);
	assert_capacity(stage.queue, tiny.capacity);
	stoa_queue_close(stage.queue);
	stoa_space_close(stage.space);
}

static int see_pid(const struct stoa_peer_info *info, void *context)
{
	int *ones = context;

	*ones += info->pid == 1;
	return 0;
}

TEST(a_peers_process_id_is_told_as_itself_saw_it)
{
	struct stage stage = { .space = open_space() };
	struct child child;
	int ones = 0;

	stage.queue = make_queue(stage.space, "q", tiny);
	send_text(stage.queue, "x");
	start_or_skip(&child, &stage);
	assert_good(stoa_space_each_peer(stage.space, see_pid, &ones));
	assert_int_equal(ones, 1);
	kill_inner(&child);
	stoa_queue_close(stage.queue);
	stoa_space_close(stage.space);
}

static const struct CMUnitTest cases[] = {
	CASE(two_processes_with_the_same_id_are_told_apart),
	CASE(a_peers_process_id_is_told_as_itself_saw_it),
};

MAIN(cases)
