/* SPDX-License-Identifier: MIT */
/* Several commands in a row, groups, their end, and streams. */
#include "command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "stream.h"

enum { MUCH = 8 << 20 };

static struct stoa_process_status status = { .size = sizeof(status) };

static struct stoa_process *
start_pipeline(const struct stoa_process_command *commands, size_t count)
{
	struct stoa_process *process;

	assert_ok(stoa_process_start_pipeline(commands, count, &process));
	return process;
}

/* ---- Pipelines ------------------------------------------------------------- */

TEST(each_output_is_the_next_input)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = "b\na\nc\n", .input_bytes = 6);
	struct stoa_process_command commands[] = {
		COMMAND(ATTRIBUTES(.in = PIPED), "sort"),
		COMMAND(NULL, "tr", "a-z", "A-Z"),
		COMMAND(ATTRIBUTES(.out = PIPED), "tail", "-n", "2"),
	};
	struct stoa_process *process = start_pipeline(commands, 3);

	assert_ok(stoa_process_communicate(process, &exchange, STOA_FOREVER,
	                                   &status));
	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, 0);
	assert_int_equal(status.command, 2);
	assert_string_equal(exchange.output, "B\nC\n");
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

TEST(the_last_that_failed_is_told_and_each_one_can_be_asked)
{
	struct stoa_process_attributes *shell =
		ATTRIBUTES(.flags = STOA_PROCESS_SHELL);
	struct stoa_process_command commands[] = {
		COMMAND(shell, "exit 3"),
		COMMAND(shell, "kill -USR1 $$"),
		COMMAND(shell, "cat; exit 0"),
	};
	struct stoa_process *process = start_pipeline(commands, 3);

	assert_ok(stoa_process_wait(process, STOA_FOREVER, &status));
	assert_int_equal(status.command, 1);
	assert_int_equal(status.state, STOA_PROCESS_KILLED);
	assert_int_equal(status.code, SIGUSR1);
	assert_ok(stoa_process_stat(process, 0, &status));
	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, 3);
	assert_ok(stoa_process_stat(process, 2, &status));
	assert_int_equal(status.code, 0);
	assert_result(stoa_process_stat(process, 3, &status), -EINVAL);
	stoa_process_close(process);
}

TEST(errors_of_all_are_gathered)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process_attributes *shell =
		ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .err = PIPED);
	struct stoa_process_command commands[] = {
		COMMAND(shell, "echo one >&2; echo more"),
		COMMAND(shell, "cat >/dev/null; echo two >&2"),
	};
	struct stoa_process *process = start_pipeline(commands, 2);

	assert_ok(stoa_process_communicate(process, &exchange, STOA_FOREVER,
	                                   &status));
	assert_string_equal(exchange.error, "one\ntwo\n");
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

TEST(one_that_cannot_be_started_ends_those_before)
{
	int descriptors = count_descriptors();
	struct stoa_process_command commands[] = {
		COMMAND(NULL, "sleep", "600"),
		COMMAND(NULL, "no-such-program-at-all"),
	};
	struct stoa_process_command twice[] = {
		COMMAND(ATTRIBUTES(.out = NOTHING), "true"),
		COMMAND(NULL, "true"),
	};
	struct stoa_process *process;

	assert_result(stoa_process_start_pipeline(commands, 2, &process),
	              -ENOENT);
	assert_sentence("no-such-program-at-all");
	assert_result(stoa_process_start_pipeline(twice, 2, &process), -EINVAL);
	assert_sentence("pipeline");
	assert_result(stoa_process_start_pipeline(commands, 0, &process),
	              -EINVAL);
	assert_result(stoa_process_start_pipeline(commands, 65, &process),
	              -EINVAL);
	assert_int_equal(count_descriptors(), descriptors);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

TEST(a_poll_descriptor_tells_of_each_end)
{
	struct stoa_process_command commands[] = {
		COMMAND(ATTRIBUTES(.in = PIPED), "cat"),
		COMMAND(ATTRIBUTES(.out = NOTHING), "cat"),
	};
	struct stoa_process *process = start_pipeline(commands, 2);
	struct pollfd poll_for = {
		(int)assert_good(stoa_process_pollfd(process)), POLLIN, 0
	};

	assert_int_equal(poll(&poll_for, 1, 0), 0);
	assert_ok(stoa_process_shut(process, 0));
	do
		assert_int_equal(poll(&poll_for, 1, -1), 1);
	while (stoa_process_wait(process, STOA_NOW, NULL) == -EAGAIN);
	assert_int_equal(poll(&poll_for, 1, 0), 0);
	assert_exits(process, 0);
	stoa_process_close(process);
}

/* ---- Groups, and their end ----------------------------------------------------- */

TEST(a_group_gets_the_signal_together)
{
	struct stoa_process_attributes *group =
		ATTRIBUTES(.flags = STOA_PROCESS_GROUP);
	struct stoa_process_command commands[] = {
		COMMAND(group, "sleep", "600"),
		COMMAND(group, "sleep", "600"),
	};
	struct stoa_process *process = start_pipeline(commands, 2);
	pid_t leader = stoa_process_pid(process);

	assert_ok(stoa_process_stat(process, 1, &status));
	assert_int_equal(status.state, STOA_PROCESS_RUNNING);
	assert_int_equal(getpgid(status.pid), leader);
	assert_ok(stoa_process_signal(process, 0));
	assert_ok(stoa_process_signal(process, SIGINT));
	for (size_t i = 0; i < 2; i++) {
		assert_ok(stoa_process_wait(process, STOA_FOREVER, NULL));
		assert_ok(stoa_process_stat(process, i, &status));
		assert_int_equal(status.state, STOA_PROCESS_KILLED);
		assert_int_equal(status.code, SIGINT);
	}
	assert_result(stoa_process_signal(process, 0), -ESRCH);
	stoa_process_close(process);
}

/* All children are reaped by the kernel at once, and the group is gone before
 * the second command can join it. */
/* The second of a group, which is there but in a session of its own. */
static struct stoa_process *start_one_that_leaves(void)
{
	struct stoa_process_attributes *group =
		ATTRIBUTES(.flags = STOA_PROCESS_GROUP, .in = NOTHING);
	struct stoa_process *process;
	char text[8];
	int fds[2];

	assert_system(pipe2(fds, O_CLOEXEC));
	process = start_pipeline(
		(struct stoa_process_command[]){
			COMMAND(group, "sleep", "600"),
			COMMAND(ATTRIBUTES(.flags = STOA_PROCESS_GROUP,
	                                   .err = GIVEN(fds[1])),
	                        "setsid", "sh", "-c",
	                        "echo gone >&2; exec sleep 600"),
		},
		2);
	close(fds[1]);
	assert_int_equal(read(fds[0], text, 5), 5);
	close(fds[0]);
	return process;
}

TEST(one_that_left_the_group_gets_signals_and_is_killed)
{
	struct stoa_process *process = start_one_that_leaves();

	assert_ok(stoa_process_signal(process, SIGINT));
	for (size_t i = 0; i < 2; i++) {
		assert_ok(stoa_process_wait(process, STOA_FOREVER, NULL));
		assert_ok(stoa_process_stat(process, i, &status));
		assert_int_equal(status.state, STOA_PROCESS_KILLED);
		assert_int_equal(status.code, SIGINT);
	}
	stoa_process_close(process);
	stoa_process_close(start_one_that_leaves());
	process = start_one_that_leaves();
	assert_ok(stoa_process_terminate(process, STOA_NOW, STOA_FOREVER,
	                                 &status));
	stoa_process_close(process);
}

TEST(a_group_that_has_gone_is_made_anew)
{
	struct stoa_process_attributes *group =
		ATTRIBUTES(.flags = STOA_PROCESS_GROUP, .in = NOTHING);
	struct stoa_process_command commands[] = {
		COMMAND(group, "true"),
		COMMAND(ATTRIBUTES(.flags = STOA_PROCESS_GROUP), "cat"),
	};

	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 20; i++) {
		struct stoa_process *process = start_pipeline(commands, 2);
		int result = stoa_process_wait(process, STOA_FOREVER, NULL);

		assert_true(result == 0 || result == -ECHILD);
		stoa_process_close(process);
	}
	signal(SIGCHLD, SIG_DFL);
}

TEST(terminate_gives_time_to_end)
{
	char text[8];
	struct stoa_process *process =
		start(ARGUMENTS("trap 'exit 4' TERM; echo ready; "
	                        "while :; do sleep 0.01; done"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .out = PIPED));

	assert_int_equal(read(stoa_process_fd(process, 1), text, 6), 6);
	assert_ok(stoa_process_terminate(process, STOA_FOREVER, STOA_FOREVER,
	                                 &status));
	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, 4);
	stoa_process_close(process);
}

TEST(terminate_kills_what_ignores_it)
{
	char text[8];
	struct stoa_process *process =
		start(ARGUMENTS("trap '' TERM; echo ready; "
	                        "while :; do sleep 0.01; done"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .out = PIPED));

	assert_int_equal(read(stoa_process_fd(process, 1), text, 6), 6);
	assert_ok(stoa_process_terminate(process, stoa_deadline_in(10 * MS),
	                                 STOA_FOREVER, &status));
	assert_int_equal(status.state, STOA_PROCESS_KILLED);
	assert_int_equal(status.code, SIGKILL);
	stoa_process_close(process);
}

TEST(terminate_wakes_what_is_stopped)
{
	struct stoa_process *process = start(ARGUMENTS("sleep", "600"), NULL);

	assert_ok(stoa_process_signal(process, SIGSTOP));
	assert_ok(stoa_process_terminate(process, STOA_FOREVER, STOA_FOREVER,
	                                 &status));
	assert_int_equal(status.code, SIGTERM);
	stoa_process_close(process);
}

TEST(terminate_ends_all_of_a_group)
{
	int fds[2];
	char text[8];
	struct stoa_process *process;

	assert_system(pipe2(fds, O_CLOEXEC));
	/* A child that ignores the signal, of a leader that doesn't. */
	process = start(ARGUMENTS("(trap '' TERM; echo ready; "
	                          "while :; do sleep 0.01; done) & wait"),
	                ATTRIBUTES(.flags = STOA_PROCESS_SHELL |
	                                    STOA_PROCESS_GROUP,
	                           .out = GIVEN(fds[1])));
	close(fds[1]);
	assert_int_equal(read(fds[0], text, 6), 6);
	assert_ok(stoa_process_terminate(process, stoa_deadline_in(10 * MS),
	                                 STOA_FOREVER, &status));
	await_hangup(fds[0]);
	stoa_process_close(process);
}

/* ---- Streams --------------------------------------------------------------------- */

TEST(a_stream_is_read_and_another_written)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *in = make_stream(space, "in", 65536);
	struct stoa_stream *out = make_stream(space, "out", 65536);
	struct stoa_process *process;

	put_text(in, "hello, world");
	process = start(ARGUMENTS("head -c 12 | tr a-z A-Z"),
	                ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                           .in = STREAMED(in), .out = STREAMED(out)));
	assert_result(stoa_process_fd(process, 0), -EBADF);
	assert_exits(process, 0);
	assert_text(out, "HELLO, WORLD");
	stoa_process_close(process);
	stoa_stream_close(in);
	stoa_stream_close(out);
	stoa_space_close(space);
}

static void write_much(void *context)
{
	struct stoa_stream *stream;
	char *data = malloc(MUCH);

	fill_pattern(data, MUCH, 3);
	assert_ok(stoa_stream_open(context, "in", STOA_WRITE, 0, NULL,
	                           STOA_FOREVER, &stream));
	assert_result(stoa_stream_write(stream, data, MUCH, STOA_FOREVER),
	              MUCH);
	stoa_stream_close(stream);
	free(data);
}

static void read_much(void *context)
{
	struct stoa_stream *stream;
	char *data = malloc(MUCH);
	size_t bytes = 0;

	assert_ok(stoa_stream_open(context, "out", STOA_READ, 0, NULL,
	                           STOA_FOREVER, &stream));
	while (bytes < MUCH) {
		ssize_t got = stoa_stream_read(stream, data + bytes,
		                               MUCH - bytes, STOA_FOREVER);

		assert_true(got > 0);
		bytes += (size_t)got;
	}
	assert_true(has_pattern(data, MUCH, 3));
	assert_result(stoa_stream_read(stream, data, 1, STOA_FOREVER), 0);
	stoa_stream_close(stream);
	free(data);
}

TEST(streams_of_others_to_their_end)
{
	struct stoa_space *space = open_space();
	struct stoa_stream_attributes small = stream_attributes(SMALL);
	struct stoa_stream *in, *out;
	struct stoa_process *process;
	struct child writer, reader;

	assert_ok(stoa_stream_open(space, "in", STOA_CREATE, 0600, &small,
	                           STOA_NOW, &in));
	assert_ok(stoa_stream_open(space, "out", STOA_CREATE, 0600, &small,
	                           STOA_NOW, &out));
	stoa_stream_close(in);
	stoa_stream_close(out);
	writer = start_child(write_much, space);
	reader = start_child(read_much, space);
	assert_ok(stoa_stream_open(space, "in", STOA_READ, 0, NULL,
	                           STOA_FOREVER, &in));
	assert_ok(stoa_stream_open(space, "out", STOA_WRITE, 0, NULL,
	                           STOA_FOREVER, &out));
	process = start(ARGUMENTS("cat"),
	                ATTRIBUTES(.in = STREAMED(in), .out = STREAMED(out)));
	assert_exits(process, 0);
	stoa_process_close(process);
	stoa_stream_close(in);
	stoa_stream_close(out);
	end_child(&writer);
	end_child(&reader);
	assert_ok(stoa_stream_unlink(space, "in"));
	assert_ok(stoa_stream_unlink(space, "out"));
	stoa_space_close(space);
}

/* The command sees EPIPE, as it would of a pipe. */
TEST(a_stream_that_nobody_reads_any_more)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer;
	struct stoa_process *process;

	assert_ok(stoa_stream_pipe(space, NULL, &reader, &writer));
	process = start(ARGUMENTS("yes"),
	                ATTRIBUTES(.out = STREAMED(writer), .err = NOTHING));
	assert_result(stoa_process_wait(process, stoa_deadline_in(20 * MS),
	                                NULL),
	              -ETIMEDOUT);
	stoa_stream_close(reader);
	assert_killed(process, SIGPIPE);
	stoa_process_close(process);
	stoa_stream_close(writer);
	stoa_space_close(space);
}

TEST(a_stream_needs_the_right_end)
{
	struct stoa_space *space = open_space();
	struct stoa_stream *reader, *writer;
	struct stoa_process *process;

	assert_ok(stoa_stream_pipe(space, NULL, &reader, &writer));
	assert_result(stoa_process_start(ARGUMENTS("true"),
	                                 ATTRIBUTES(.in = STREAMED(writer)),
	                                 &process),
	              -EINVAL);
	assert_sentence("opened for reading");
	assert_result(stoa_process_start(ARGUMENTS("true"),
	                                 ATTRIBUTES(.out = STREAMED(NULL)),
	                                 &process),
	              -EINVAL);
	stoa_stream_close(reader);
	stoa_stream_close(writer);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(each_output_is_the_next_input),
	CASE(the_last_that_failed_is_told_and_each_one_can_be_asked),
	CASE(errors_of_all_are_gathered),
	CASE(one_that_cannot_be_started_ends_those_before),
	CASE(a_poll_descriptor_tells_of_each_end),
	CASE(a_group_gets_the_signal_together),
	CASE(one_that_left_the_group_gets_signals_and_is_killed),
	CASE(a_group_that_has_gone_is_made_anew),
	CASE(terminate_gives_time_to_end),
	CASE(terminate_kills_what_ignores_it),
	CASE(terminate_wakes_what_is_stopped),
	CASE(terminate_ends_all_of_a_group),
	CASE(a_stream_is_read_and_another_written),
	CASE(streams_of_others_to_their_end),
	CASE(a_stream_that_nobody_reads_any_more),
	CASE(a_stream_needs_the_right_end),
};

MAIN(cases)
