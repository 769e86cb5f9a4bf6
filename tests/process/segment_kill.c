/* SPDX-License-Identifier: MIT */
/* Who is attached to a segment after fork, exec and kill. */
#include "segment.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void stay(void *context)
{
	(void)context;
	report(getpid());
	await_order();
}

TEST(a_forked_child_counts_from_the_fork_on)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct child children[4];

	for (int i = 0; i < 4; i++) {
		children[i] = start_child(stay, NULL);
		/* It may not have run at all yet. */
		assert_result(stoa_segment_attached(one), 2 + i);
	}
	assert_int_equal(segment_status(one).writers, 5);
	for (int i = 0; i < 4; i++) {
		kill_child(&children[i]);
		assert_result(stoa_segment_attached(one), 4 - i);
	}
	close_segment(space, one, "s");
}

static void fork_and_stay(void *context)
{
	(void)context;
	join_segment(open_space(), "s", STOA_READ);
	report(0);
	await_order();
	if (fork() == 0) {
		report(getpid());
		for (;;)
			pause();
	}
	await_order();
}

TEST(a_child_outlives_its_parent)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct child child = start_child(fork_and_stay, NULL);
	pid_t grandchild;

	/* What it inherited, and what it opened. */
	assert_int_equal(await_report(&child), 0);
	assert_result(stoa_segment_attached(one), 3);
	give_order(&child, 0);
	grandchild = (pid_t)await_report(&child);
	assert_result(stoa_segment_attached(one), 5);
	/* The grandchild reported, so it has returned from fork. */
	kill_child(&child);
	assert_result(stoa_segment_attached(one), 3);
	assert_system(kill(grandchild, SIGKILL));
	while (stoa_segment_attached(one) != 1)
		sched_yield();
	close_segment(space, one, "s");
}

static void use_and_close(void *context)
{
	struct stoa_segment *one = context;

	strcpy(stoa_segment_data(one), "from the child");
	assert_ok(stoa_segment_resize(one, 2 * PAGE));
	assert_result(stoa_segment_attached(one), 2);
	report(0);
	await_order();
	stoa_segment_close(one);
	report(0);
	await_order();
}

TEST(a_child_detaches_for_itself)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 2 * PAGE);
	struct child child = start_child(use_and_close, one);

	assert_int_equal(await_report(&child), 0);
	assert_int_equal(stoa_segment_size(one), 2 * PAGE);
	give_order(&child, 0);
	assert_int_equal(await_report(&child), 0);
	assert_result(stoa_segment_attached(one), 1);
	assert_string_equal(stoa_segment_data(one), "from the child");
	give_order(&child, 0);
	end_child(&child);
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, "s");
}

static void exec_sleep(void *context)
{
	(void)context;
	report(0);
	await_order();
	execl("/bin/sleep", "sleep", "1000", NULL);
}

TEST(exec_detaches)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct child child = start_child(exec_sleep, NULL);

	await_report(&child);
	assert_result(stoa_segment_attached(one), 2);
	give_order(&child, 0);
	while (stoa_segment_attached(one) != 1)
		sched_yield();
	kill_child(&child);
	close_segment(space, one, "s");
}

TEST(a_stopped_one_counts)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct child child = start_child(stay, NULL);

	await_report(&child);
	stop_child(&child);
	assert_result(stoa_segment_attached(one), 2);
	kill_child(&child);
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, "s");
}

TEST(without_descriptors_a_child_counts_from_its_first_call)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct rlimit before, none;
	pid_t pid;
	int to_child[2], from_child[2], status;
	char byte = 0;

	assert_system(pipe(to_child));
	assert_system(pipe(from_child));
	assert_system(getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = 3; /* all of them are in use, and more */
	assert_system(setrlimit(RLIMIT_NOFILE, &none));
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_NOFILE, &before);
		if (read(to_child[0], &byte, 1) != 1 ||
		    stoa_segment_attached(one) != 2 ||
		    write(from_child[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	assert_result(stoa_segment_attached(one), 1);
	assert_system(write(to_child[1], &byte, 1));
	assert_int_equal(read(from_child[0], &byte, 1), 1);
	assert_result(stoa_segment_attached(one), 2);
	assert_system(kill(pid, SIGKILL));
	assert_system(waitpid(pid, &status, 0));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_result(stoa_segment_attached(one), 1);
	for (int i = 0; i < 2; i++) {
		close(to_child[i]);
		close(from_child[i]);
	}
	close_segment(space, one, "s");
}

TEST(memory_goes_with_the_last_attachment)
{
	struct stoa_space *space;
	struct stoa_segment *one;
	struct child child;

	mount_small_space("1m");
	space = open_space();
	one = make_segment(space, "s", STOA_WRITE, 800000, 0);
	child = start_child(stay, NULL);
	await_report(&child);
	assert_ok(stoa_segment_remove(one));
	stoa_segment_close(one);
	struct stoa_segment_attributes large = { .size = sizeof(large),
		                                 .bytes = 800000 };
	/* The child has it still. */
	assert_result(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE,
	                                0600, &large, &one),
	              -ENOSPC);
	kill_child(&child);
	assert_ok(stoa_segment_open(space, "s", STOA_CREATE | STOA_WRITE, 0600,
	                            &large, &one));
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, "s");
}

static void count_without_rights(void *context)
{
	(void)context;
	become_nobody();
	report(0);
	await_order();
	report(fork());
	for (;;)
		pause();
}

TEST(of_a_sealed_one_children_count_too)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct child child;

	assert_ok(stoa_segment_seal(one, STOA_SEGMENT_SEAL_WRITE));
	child = start_child(stay, NULL);
	assert_result(stoa_segment_attached(one), 2);
	kill_child(&child);
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, "s");
}

TEST(without_rights_a_child_counts_as_one_with_its_parent)
{
	skip_unless_root();
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	struct child child = start_child(count_without_rights, NULL);
	int64_t grandchild;

	await_report(&child);
	assert_result(stoa_segment_attached(one), 2);
	give_order(&child, 0);
	grandchild = await_report(&child);
	grandchild += await_report(&child); /* its own is 0 */
	assert_result(stoa_segment_attached(one), 2);
	kill_child(&child);
	/* Its child lives, and has it still. */
	assert_result(stoa_segment_attached(one), 2);
	assert_system(kill((pid_t)grandchild, SIGKILL));
	while (stoa_segment_attached(one) != 1)
		sched_yield();
	close_segment(space, one, "s");
}

/* ---- Turns ------------------------------------------------------------------- */

struct resizing {
	struct stoa_segment *segment;
	uint64_t seed;
};

static void resize_for_ever(void *context)
{
	struct resizing *resizing = context;
	struct stoa_segment *own =
		join_segment(open_space(), "s", STOA_WRITE);
	uint64_t state = resizing->seed ^ (uint64_t)getpid();

	report(0);
	for (;;) {
		uint64_t bytes = 1 + random_below(&state, 16 * PAGE);

		require(stoa_segment_resize(own, bytes) == 0);
		require(stoa_segment_size(own) <= 16 * PAGE);
	}
}

TEST(resizers_killed_at_any_time_leave_a_size_that_is_there)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 16 * PAGE);
	struct resizing resizing = { one, run_seed() };
	char *data = stoa_segment_data(one);

	for (int round = 0; round < 30; round++) {
		struct child children[2];
		uint64_t size;

		for (int i = 0; i < 2; i++) {
			children[i] = start_child(resize_for_ever, &resizing);
			assert_int_equal(await_report(&children[i]), 0);
		}
		for (int i = 0; i < 100; i++)
			assert_in_range(stoa_segment_size(one), 1, 16 * PAGE);
		for (int i = 0; i < 2; i++)
			kill_child(&children[i]);
		assert_result(stoa_segment_attached(one), 1);
		size = stoa_segment_size(one);
		memset(data, 1, size);
		assert_ok(stoa_segment_resize(one, size));
		/* Header and size, and no more. */
		assert_int_equal(segment_status(one).memory_bytes,
		                 PAGE + (size + PAGE - 1) / PAGE * PAGE);
		assert_ok(stoa_segment_resize(one, 16 * PAGE));
		assert_true(all_zeros(data + size, 16 * PAGE - size));
	}
	close_segment(space, one, "s");
}

static void seal_and_report(void *context)
{
	struct stoa_segment *own =
		join_segment(open_space(), "s", STOA_WRITE);

	(void)context;
	report(0);
	await_order();
	report(stoa_segment_seal(own, STOA_SEGMENT_SEAL_WRITE));
	await_order();
}

TEST(of_two_who_seal_neither_may_while_the_other_writes)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *look = make_segment(space, "s", 0, PAGE, 0);
	struct child children[2];

	for (int i = 0; i < 2; i++) {
		children[i] = start_child(seal_and_report, NULL);
		await_report(&children[i]);
	}
	for (int i = 0; i < 2; i++)
		give_order(&children[i], 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(await_report(&children[i]), -EBUSY);
	kill_child(&children[0]);
	kill_child(&children[1]);
	children[0] = start_child(seal_and_report, NULL);
	await_report(&children[0]);
	give_order(&children[0], 0);
	assert_int_equal(await_report(&children[0]), 0);
	assert_int_equal(segment_status(look).seals, 7);
	kill_child(&children[0]);
	close_segment(space, look, "s");
}

/* ---- Fork in many threads ------------------------------------------------------ */

static void *fork_often(void *context)
{
	(void)context;
	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(0);
		require(pid > 0);
		require(waitpid(pid, &status, 0) == pid);
		require(status == 0);
	}
	return NULL;
}

TEST(threads_fork_and_attach_at_once)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *one =
		make_segment(space, "s", STOA_WRITE, PAGE, 0);
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fork_often,
		                                NULL),
		                 0);
	for (int i = 0; i < 200; i++) {
		struct stoa_segment *more = join_segment(space, "s", STOA_READ);

		assert_true(stoa_segment_attached(more) >= 2);
		stoa_segment_close(more);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_result(stoa_segment_attached(one), 1);
	close_segment(space, one, "s");
}

static const struct CMUnitTest cases[] = {
	CASE(a_forked_child_counts_from_the_fork_on),
	CASE(a_child_outlives_its_parent),
	CASE(a_child_detaches_for_itself),
	CASE(exec_detaches),
	CASE(a_stopped_one_counts),
	CASE(without_descriptors_a_child_counts_from_its_first_call),
	CASE(of_a_sealed_one_children_count_too),
	CASE(without_rights_a_child_counts_as_one_with_its_parent),
	CASE(memory_goes_with_the_last_attachment),
	CASE(resizers_killed_at_any_time_leave_a_size_that_is_there),
	CASE(of_two_who_seal_neither_may_while_the_other_writes),
	CASE(threads_fork_and_attach_at_once),
};

MAIN(cases)
