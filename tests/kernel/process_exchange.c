/* SPDX-License-Identifier: MIT */
/* Both ways at once: large data, commands that close early, heirs that hold
 * the pipes, and deadlines. */
#include "command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { LARGE = 64 << 20, MEDIUM = 3 << 20 };

static struct stoa_process_status status = { .size = sizeof(status) };

static void assert_communicates(struct stoa_process *process,
                                struct stoa_process_exchange *exchange,
                                int code)
{
	assert_ok(stoa_process_communicate(process, exchange, STOA_FOREVER,
	                                   &status));
	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, code);
}

/* ---- Both ways ------------------------------------------------------------- */

TEST(much_goes_both_ways)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input_bytes = LARGE, .limit_bytes = LARGE);
	struct stoa_process *process;
	char *input = malloc(LARGE);

	fill_pattern(input, LARGE, 1);
	exchange.input = input;
	process = start(ARGUMENTS("cat"),
	                ATTRIBUTES(.in = PIPED, .out = PIPED, .err = PIPED));
	assert_communicates(process, &exchange, 0);
	assert_int_equal(exchange.taken_bytes, LARGE);
	assert_int_equal(exchange.output_bytes, LARGE);
	assert_int_equal(exchange.error_bytes, 0);
	assert_memory_equal(exchange.output, input, LARGE);
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
	free(input);
}

TEST(output_and_error_are_gathered_at_once)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = "hello\n", .input_bytes = 6);
	struct stoa_process *process =
		start(ARGUMENTS("head -c 3145728 /dev/zero >&2; cat; "
	                        "head -c 3145728 /dev/zero >&2; exit 3"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .in = PIPED,
	                         .out = PIPED, .err = PIPED));

	assert_communicates(process, &exchange, 3);
	assert_string_equal(exchange.output, "hello\n");
	assert_int_equal(exchange.error_bytes, 2 * MEDIUM);
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

struct account {
	uint64_t given, taken[3];
	int stop;
};

static ssize_t give(void *buffer, size_t bytes, void *context)
{
	struct account *account = context;
	uint64_t left = MEDIUM - account->given;

	if (bytes > 1000)
		bytes = 1000;
	if (bytes > left)
		bytes = (size_t)left;
	memset(buffer, 'x', bytes);
	account->given += bytes;
	return (ssize_t)bytes;
}

static int take(int number, const void *data, size_t bytes, void *context)
{
	struct account *account = context;

	(void)data;
	account->taken[number] += bytes;
	return account->stop;
}

TEST(callbacks_give_and_take)
{
	struct account account = { 0 };
	struct stoa_process_exchange exchange =
		EXCHANGE(.give = give, .take = take, .context = &account);
	struct stoa_process *process =
		start(ARGUMENTS("tee", "/dev/stderr"),
	              ATTRIBUTES(.in = PIPED, .out = PIPED, .err = PIPED));

	assert_communicates(process, &exchange, 0);
	assert_int_equal(account.given, MEDIUM);
	assert_int_equal(account.taken[1], MEDIUM);
	assert_int_equal(account.taken[2], MEDIUM);
	assert_int_equal(exchange.taken_bytes, MEDIUM);
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

TEST(a_callback_stops_it)
{
	struct account account = { .stop = -ECANCELED };
	struct stoa_process_exchange exchange =
		EXCHANGE(.take = take, .context = &account);
	struct stoa_process *process =
		start(ARGUMENTS("yes"), ATTRIBUTES(.out = PIPED));

	assert_result(stoa_process_communicate(process, &exchange, STOA_FOREVER,
	                                       NULL),
	              -ECANCELED);
	assert_true(account.taken[1] > 0);
	stoa_process_close(process);
}

TEST(a_limit_is_kept_and_may_be_raised)
{
	struct stoa_process_exchange exchange = EXCHANGE(.limit_bytes = 100000);
	struct stoa_process *process =
		start(ARGUMENTS("head", "-c", "200000", "/dev/zero"),
	              ATTRIBUTES(.out = PIPED));

	assert_result(stoa_process_communicate(process, &exchange, STOA_FOREVER,
	                                       NULL),
	              -EMSGSIZE);
	assert_sentence("limit_bytes");
	assert_int_equal(exchange.output_bytes, 100000);
	exchange.limit_bytes = 200000;
	assert_communicates(process, &exchange, 0);
	assert_int_equal(exchange.output_bytes, 200000);
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

TEST(input_that_nobody_reads_is_no_error)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input_bytes = MEDIUM, .input = calloc(1, MEDIUM));
	struct stoa_process *process =
		start(ARGUMENTS("head -c 5 >/dev/null; exec <&-; echo done"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .in = PIPED,
	                         .out = PIPED));
	sigset_t pending;

	assert_communicates(process, &exchange, 0);
	assert_string_equal(exchange.output, "done\n");
	assert_true(exchange.taken_bytes >= 5);
	assert_true(exchange.taken_bytes < MEDIUM);
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGPIPE));
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
	free((void *)exchange.input);
}

TEST(output_that_is_closed_early_does_not_end_it)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = "7", .input_bytes = 1);
	struct stoa_process *process =
		start(ARGUMENTS("exec >&-; read -r code; exit $code"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .in = PIPED,
	                         .out = PIPED));

	assert_communicates(process, &exchange, 7);
	assert_int_equal(exchange.output_bytes, 0);
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

/* ---- Heirs ------------------------------------------------------------------ */

TEST(an_heir_that_holds_the_pipe_is_not_waited_for)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process_end more = { .how = STOA_PROCESS_PIPE,
		                         .number = 7,
		                         .flags = STOA_READ };
	struct stoa_process *process =
		start(ARGUMENTS("cat <&7 & printf %s kept"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .out = PIPED,
	                         .more = &more, .more_count = 1));

	assert_communicates(process, &exchange, 0);
	assert_string_equal(exchange.output, "kept");
	stoa_process_exchange_fini(&exchange);
	/* The heir's end of file comes with this. */
	stoa_process_close(process);
}

TEST(an_heir_is_waited_for_if_asked)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process_end more = { .how = STOA_PROCESS_PIPE,
		                         .number = 7,
		                         .flags = STOA_READ };
	struct stoa_process *process = start(
		ARGUMENTS("cat <&7 & printf kept"),
		ATTRIBUTES(.flags = STOA_PROCESS_SHELL | STOA_PROCESS_HEIRS,
	                   .out = PIPED, .more = &more, .more_count = 1));
	int fd = (int)assert_good(stoa_process_fd(process, 7));

	assert_result(stoa_process_communicate(process, &exchange,
	                                       stoa_deadline_in(50 * MS), NULL),
	              -ETIMEDOUT);
	assert_int_equal(write(fd, ", and more", 10), 10);
	assert_ok(stoa_process_shut(process, 7));
	assert_communicates(process, &exchange, 0);
	assert_string_equal(exchange.output, "kept, and more");
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

TEST(an_heir_that_never_stops_writing_does_not_hold_it_up)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.limit_bytes = 1 << 30);
	struct stoa_process *process =
		start(ARGUMENTS("yes & sleep 0"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .out = PIPED));

	assert_communicates(process, &exchange, 0);
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

/* ---- Deadlines ---------------------------------------------------------------- */

TEST(a_deadline_ends_the_call_and_the_next_goes_on)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = "one\n", .input_bytes = 4);
	struct stoa_process_end more = { .how = STOA_PROCESS_PIPE,
		                         .number = 7,
		                         .flags = STOA_READ };
	struct stoa_process *process =
		start(ARGUMENTS("cat; cat <&7"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .in = PIPED,
	                         .out = PIPED, .more = &more, .more_count = 1));
	int fd = (int)assert_good(stoa_process_fd(process, 7));

	while (exchange.output_bytes < 4)
		assert_result(stoa_process_communicate(process, &exchange,
		                                       stoa_deadline_in(5 * MS),
		                                       NULL),
		              -ETIMEDOUT);
	assert_result(stoa_process_communicate(process, &exchange, STOA_NOW,
	                                       NULL),
	              -EAGAIN);
	assert_int_equal(write(fd, "two\n", 4), 4);
	assert_ok(stoa_process_shut(process, 7));
	assert_communicates(process, &exchange, 0);
	assert_string_equal(exchange.output, "one\ntwo\n");
	stoa_process_close(process);
	stoa_process_exchange_fini(&exchange);
}

TEST(a_deadline_holds_though_it_never_stops_writing)
{
	struct account account = { 0 };
	struct stoa_process_exchange exchange =
		EXCHANGE(.take = take, .context = &account);
	struct stoa_process *process =
		start(ARGUMENTS("yes"), ATTRIBUTES(.out = PIPED));
	struct timespec soon;
	struct stoa_deadline deadline;

	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 20 * MS;
	if (soon.tv_nsec >= SECOND) {
		soon.tv_nsec -= SECOND;
		soon.tv_sec++;
	}
	assert_ok(stoa_deadline_at(CLOCK_REALTIME, &soon, &deadline));
	assert_result(stoa_process_communicate(process, &exchange, deadline,
	                                       NULL),
	              -ETIMEDOUT);
	stoa_process_close(process);
}

TEST(run_does_all_at_once)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = "hello", .input_bytes = 5);
	struct stoa_process_command command = COMMAND(
		ATTRIBUTES(.in = PIPED, .out = PIPED), "tr", "a-z", "A-Z");

	assert_ok(stoa_process_run(&command, 1, &exchange, STOA_FOREVER, 0,
	                           &status));
	assert_int_equal(status.flags, 0);
	assert_string_equal(exchange.output, "HELLO");
	stoa_process_exchange_fini(&exchange);
	command.arguments = ARGUMENTS("no-such-program-at-all");
	assert_result(stoa_process_run(&command, 1, NULL, STOA_FOREVER, 0,
	                               NULL),
	              -ENOENT);
}

/* Who has its output, and stays, would hold it up. */
TEST(run_waits_for_no_heir_at_its_deadline)
{
	struct stoa_process_end more = { .how = STOA_PROCESS_FD, .number = 9 };
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process_command command = COMMAND(
		ATTRIBUTES(.flags = STOA_PROCESS_SHELL | STOA_PROCESS_HEIRS,
	                   .out = PIPED, .more = &more, .more_count = 1),
		"cat <&9 & echo x; exec sleep 600");
	int fds[2];

	assert_system(pipe2(fds, O_CLOEXEC));
	more.fd = fds[0];
	for (int64_t ms = 100; exchange.output_bytes < 2; ms *= 4) {
		stoa_process_exchange_fini(&exchange);
		assert_ok(stoa_process_run(&command, 1, &exchange,
		                           stoa_deadline_in(ms * MS), MS,
		                           &status));
		assert_int_equal(status.flags, STOA_PROCESS_EXPIRED);
	}
	close(fds[0]);
	close(fds[1]); /* the heirs' end */
	stoa_process_exchange_fini(&exchange);
}

TEST(run_waits_for_no_room_in_a_stream_at_its_deadline)
{
	struct stoa_stream_status full = { .size = sizeof(full) };
	struct stoa_space *space = open_space();
	struct stoa_process_command command;
	struct stoa_stream *stream;

	assert_ok(stoa_stream_open(space, "s",
	                           STOA_CREATE | STOA_READ | STOA_WRITE, 0600,
	                           NULL, STOA_NOW, &stream));
	command = COMMAND(ATTRIBUTES(.out = STREAMED(stream)), "cat",
	                  "/dev/zero");
	for (int64_t ms = 100; full.bytes == 0 || full.bytes < full.capacity;
	     ms *= 4) {
		assert_ok(stoa_process_run(&command, 1, NULL,
		                           stoa_deadline_in(ms * MS), MS,
		                           &status));
		assert_int_equal(status.flags, STOA_PROCESS_EXPIRED);
		assert_int_equal(status.state, STOA_PROCESS_KILLED);
		assert_ok(stoa_stream_stat(stream, &full));
	}
	stoa_stream_close(stream);
	stoa_space_close(space);
}

TEST(run_ends_what_takes_too_long)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process_command command =
		COMMAND(ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .out = PIPED),
	                "trap 'echo ended; exit 5' TERM; echo begun; "
	                "while :; do sleep 0.01; done");

	/* So long that it has its trap, however busy the machine. */
	for (int64_t ms = 100; exchange.output_bytes < 6; ms *= 4) {
		stoa_process_exchange_fini(&exchange);
		assert_ok(stoa_process_run(&command, 1, &exchange,
		                           stoa_deadline_in(ms * MS),
		                           600 * SECOND, &status));
	}
	assert_int_equal(status.flags, STOA_PROCESS_EXPIRED);
	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, 5);
	assert_string_equal(exchange.output, "begun\nended\n");
	stoa_process_exchange_fini(&exchange);
}

/* ---- What is wrong ------------------------------------------------------------ */

TEST(exchanges_are_checked)
{
	struct stoa_process_exchange wrong = { .size = 1 };
	struct stoa_process_exchange reserved = EXCHANGE(.reserved = 1);
	struct stoa_process_exchange no_input = EXCHANGE(.input_bytes = 1);
	struct stoa_process_status small = { .size = 1 };
	struct stoa_process *process = start(ARGUMENTS("true"), NULL);

	assert_result(stoa_process_communicate(process, &wrong, STOA_FOREVER,
	                                       NULL),
	              -EINVAL);
	assert_result(stoa_process_communicate(process, &reserved, STOA_FOREVER,
	                                       NULL),
	              -EINVAL);
	assert_result(stoa_process_communicate(process, &no_input, STOA_FOREVER,
	                                       NULL),
	              -EINVAL);
	assert_result(stoa_process_wait(process, STOA_FOREVER, &small),
	              -EINVAL);
	assert_sentence("size");
	assert_result(stoa_process_stat(process, 1, &status), -EINVAL);
	assert_exits(process, 0);
	stoa_process_close(process);
}

static const struct CMUnitTest cases[] = {
	CASE(much_goes_both_ways),
	CASE(output_and_error_are_gathered_at_once),
	CASE(callbacks_give_and_take),
	CASE(a_callback_stops_it),
	CASE(a_limit_is_kept_and_may_be_raised),
	CASE(input_that_nobody_reads_is_no_error),
	CASE(output_that_is_closed_early_does_not_end_it),
	CASE(an_heir_that_holds_the_pipe_is_not_waited_for),
	CASE(an_heir_is_waited_for_if_asked),
	CASE(an_heir_that_never_stops_writing_does_not_hold_it_up),
	CASE(a_deadline_ends_the_call_and_the_next_goes_on),
	CASE(a_deadline_holds_though_it_never_stops_writing),
	CASE(run_does_all_at_once),
	CASE(run_waits_for_no_heir_at_its_deadline),
	CASE(run_waits_for_no_room_in_a_stream_at_its_deadline),
	CASE(run_ends_what_takes_too_long),
	CASE(exchanges_are_checked),
};

MAIN(cases)
