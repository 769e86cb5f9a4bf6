/* SPDX-License-Identifier: MIT */
/* SIGKILL for whoever started commands, and for commands, at any instant:
 * nothing is left, and nobody waits for the dead. */
#include "command.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { KILLS = 100, MUCH = 4 << 20 };

static uint64_t chance;

static void pass_some_time(void)
{
	struct timespec some = { 0, (long)random_below(&chance, 3 * MS) };

	nanosleep(&some, NULL);
}

/* ---- Whoever started them -------------------------------------------------- */

/* Every command, and what it starts, has the descriptor. */
static void start_for_ever(void *context)
{
	int fd = *(int *)context;

	report(0);
	for (;;) {
		struct stoa_process *one, *other;

		one = start(ARGUMENTS("sleep 600 & sleep 600"),
		            ATTRIBUTES(.flags = STOA_PROCESS_SHELL |
		                                STOA_PROCESS_GROUP |
		                                STOA_PROCESS_WITH_PARENT,
		                       .out = GIVEN(fd), .err = NOTHING));
		other = start(ARGUMENTS("sleep", "600"),
		              ATTRIBUTES(.flags = STOA_PROCESS_WITH_PARENT,
		                         .in = PIPED, .out = GIVEN(fd)));
		stoa_process_close(one);
		stoa_process_close(other);
	}
}

TEST(with_the_parent_all_of_it_dies)
{
	chance = run_seed();
	for (int i = 0; i < KILLS; i++) {
		struct child child;
		int fds[2];

		assert_system(pipe2(fds, O_CLOEXEC));
		child = start_child(start_for_ever, &fds[1]);
		close(fds[1]);
		await_report(&child);
		pass_some_time();
		kill_child(&child);
		await_hangup(fds[0]);
	}
}

/* It has the descriptors of its parent, but it isn't the parent. */
static void start_and_fork(void *context)
{
	int *fds = context;

	start(ARGUMENTS("sleep", "600"),
	      ATTRIBUTES(.flags = STOA_PROCESS_WITH_PARENT,
	                 .out = GIVEN(fds[1])));
	if (fork() == 0) {
		close(fds[1]);
		/* Until the case has seen it. */
		_exit(await_order() == 0 ? 0 : 1);
	}
	report(0);
	pause();
}

TEST(a_forked_child_of_the_parent_does_not_count_as_it)
{
	int fds[2], orders;
	struct child child;

	assert_system(pipe2(fds, O_CLOEXEC));
	child = start_child(start_and_fork, fds);
	close(fds[1]);
	await_report(&child);
	orders = dup(child.orders);
	kill_child(&child);
	await_hangup(fds[0]);
	assert_int_equal(write(orders, &(int64_t){ 0 }, 8), 8);
	close(orders);
}

static void start_and_execute(void *context)
{
	start(ARGUMENTS("sleep", "600"),
	      ATTRIBUTES(.flags = STOA_PROCESS_WITH_PARENT,
	                 .out = GIVEN(*(int *)context)));
	execlp("sleep", "sleep", "600", (char *)NULL);
}

TEST(a_parent_that_executes_another_program_is_gone_too)
{
	int fds[2];
	struct child child;

	assert_system(pipe2(fds, O_CLOEXEC));
	child = start_child(start_and_execute, &fds[1]);
	close(fds[1]);
	await_hangup(fds[0]);
	kill_child(&child);
}

/* Its input ends with the parent, and so does it, in its own time. */
static void start_and_report(void *context)
{
	start(ARGUMENTS("cat"),
	      ATTRIBUTES(.in = PIPED, .out = GIVEN(*(int *)context)));
	report(0);
	pause();
}

TEST(without_being_asked_it_lives_on)
{
	int fds[2];
	struct child child;

	assert_system(pipe2(fds, O_CLOEXEC));
	child = start_child(start_and_report, &fds[1]);
	close(fds[1]);
	await_report(&child);
	kill_child(&child);
	await_hangup(fds[0]);
}

/* ---- The command ------------------------------------------------------------------ */

static void *kill_it(void *context)
{
	pass_some_time();
	require(stoa_process_signal(context, SIGKILL) == 0 ||
	        strstr(stoa_last_error(), "has ended"));
	return NULL;
}

TEST(a_killed_command_holds_nobody_up)
{
	char *input = malloc(MUCH);
	int descriptors = count_descriptors(), killed = 0;

	chance = run_seed();
	fill_pattern(input, MUCH, 1);
	for (int i = 0; i < KILLS; i++) {
		struct stoa_process_status status = { .size = sizeof(status) };
		struct stoa_process_exchange exchange =
			EXCHANGE(.input = input, .input_bytes = MUCH);
		struct stoa_process *process =
			start(ARGUMENTS("cat"),
		              ATTRIBUTES(.in = PIPED, .out = PIPED));
		pthread_t thread;

		assert_int_equal(
			pthread_create(&thread, NULL, kill_it, process), 0);
		assert_ok(stoa_process_communicate(process, &exchange,
		                                   STOA_FOREVER, &status));
		assert_int_equal(pthread_join(thread, NULL), 0);
		killed += status.state == STOA_PROCESS_KILLED;
		assert_memory_equal(exchange.output ? exchange.output : "",
		                    input, exchange.output_bytes);
		stoa_process_close(process);
		stoa_process_exchange_fini(&exchange);
		assert_int_equal(count_descriptors(), descriptors);
	}
	print_message("%d of %d were killed\n", killed, KILLS);
	free(input);
}

static const struct CMUnitTest cases[] = {
	CASE(with_the_parent_all_of_it_dies),
	CASE(a_forked_child_of_the_parent_does_not_count_as_it),
	CASE(a_parent_that_executes_another_program_is_gone_too),
	CASE(without_being_asked_it_lives_on),
	CASE(a_killed_command_holds_nobody_up),
};

MAIN(cases)
