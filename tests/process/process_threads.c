/* SPDX-License-Identifier: MIT */
/* Threads that start commands at once: no descriptor gets into another's
 * child, none waits for another's, and a signal may come from any of them. */
#include "command.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

enum { THREADS = 4, ROUNDS = 40 };

/* By the way that a pipe's end stays open as long as anybody has it: each
 * command lives until the thread has met the end of file of its next one. */
static struct stoa_process *start_cat(unsigned flags)
{
	struct stoa_process *process = NULL;

	require(stoa_process_start(ARGUMENTS("cat"),
	                           ATTRIBUTES(.flags = flags, .in = PIPED,
	                                      .out = PIPED),
	                           &process) == 0);
	return process;
}

static void use_to_the_end(struct stoa_process *process)
{
	char text[8];

	require(write(stoa_process_fd(process, 0), "hello", 5) == 5);
	require(stoa_process_shut(process, 0) == 0);
	require(read(stoa_process_fd(process, 1), text, 8) == 5);
	require(read(stoa_process_fd(process, 1), text, 8) == 0);
	require(stoa_process_wait(process, STOA_FOREVER, NULL) == 0);
	stoa_process_close(process);
}

static void *start_many(void *context)
{
	unsigned flags = *(unsigned *)context;
	struct stoa_process *before = start_cat(flags);

	for (int i = 0; i < ROUNDS; i++) {
		struct stoa_process *next = start_cat(flags);

		use_to_the_end(before);
		before = next;
	}
	use_to_the_end(before);
	return NULL;
}

static void run_threads(void *(*run)(void *), const unsigned *flags)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run,
		                                (void *)&flags[i]),
		                 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

TEST(no_descriptor_gets_into_another_child)
{
	static const unsigned flags[THREADS] = { 0, STOA_PROCESS_DESCRIPTORS, 0,
		                                 STOA_PROCESS_WITH_PARENT };

	run_threads(start_many, flags);
}

static void *communicate(void *context)
{
	size_t bytes = 300000;
	char *input = malloc(bytes);

	require(input != NULL);
	fill_pattern(input, bytes, *(unsigned *)context);
	for (int i = 0; i < ROUNDS / 4; i++) {
		struct stoa_process_exchange exchange =
			EXCHANGE(.input = input, .input_bytes = bytes);
		struct stoa_process_status status = { .size = sizeof(status) };
		struct stoa_process_command command =
			COMMAND(ATTRIBUTES(.in = PIPED, .out = PIPED), "cat");

		require(stoa_process_run(&command, 1, &exchange, STOA_FOREVER,
		                         0, &status) == 0);
		require(status.state == STOA_PROCESS_EXITED);
		require(exchange.output_bytes == bytes);
		require(memcmp(exchange.output, input, bytes) == 0);
		stoa_process_exchange_fini(&exchange);
	}
	free(input);
	return NULL;
}

TEST(each_thread_gets_what_it_gave)
{
	static const unsigned seeds[THREADS] = { 1, 2, 3, 4 };

	run_threads(communicate, seeds);
}

static void *wait_for_it(void *context)
{
	struct stoa_process_status status = { .size = sizeof(status) };

	require(stoa_process_wait(context, STOA_FOREVER, &status) == 0);
	require(status.state == STOA_PROCESS_KILLED);
	require(status.code == SIGKILL);
	return NULL;
}

TEST(one_thread_waits_and_another_signals)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct stoa_process *process = start_cat(0);
		pthread_t thread;

		assert_int_equal(
			pthread_create(&thread, NULL, wait_for_it, process), 0);
		assert_ok(stoa_process_signal(process, SIGKILL));
		assert_int_equal(pthread_join(thread, NULL), 0);
		stoa_process_close(process);
	}
}

/* ---- The thread that started it ---------------------------------------------- */

static void *start_with_parent(void *context)
{
	*(struct stoa_process **)context = start_cat(STOA_PROCESS_WITH_PARENT);
	return NULL;
}

TEST(it_outlives_the_thread_that_started_it)
{
	struct stoa_process *process = NULL;
	pthread_t thread;

	assert_int_equal(
		pthread_create(&thread, NULL, start_with_parent, &process), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	use_to_the_end(process);
}

static const struct CMUnitTest cases[] = {
	CASE(no_descriptor_gets_into_another_child),
	CASE(each_thread_gets_what_it_gave),
	CASE(one_thread_waits_and_another_signals),
	CASE(it_outlives_the_thread_that_started_it),
};

MAIN(cases)
