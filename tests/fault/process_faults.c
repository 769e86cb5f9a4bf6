/* SPDX-License-Identifier: MIT */
/* Commands while the n-th system call fails, the child's until exec among
 * them: nothing leaks, nothing is left running, and the next one runs. */
#include "inject.h"

#include "command.h"
#include "stream.h"

#include <sys/wait.h>

enum { RUNS_MAX = 2000 };

static struct stoa_space *space;
static struct stoa_stream *in, *out;

struct case_ {
	const char *name;
	int (*run)(void);
};

/* ---- Operations ------------------------------------------------------------ */

static int run_command(const struct stoa_process_command *commands,
                       size_t count, struct stoa_process_exchange *exchange)
{
	struct stoa_process_status status = { .size = sizeof(status) };
	int result = stoa_process_run(commands, count, exchange, STOA_FOREVER,
	                              0, &status);

	if (result == 0 &&
	    (status.state != STOA_PROCESS_EXITED || status.code != 0))
		result = -EPROTO;
	return result;
}

static int both_ways(void)
{
	struct stoa_process_command command = COMMAND(
		ATTRIBUTES(.in = PIPED, .out = PIPED, .err = PIPED), "cat");
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = "hello", .input_bytes = 5);
	int result = run_command(&command, 1, &exchange);

	if (result == 0)
		assert_string_equal(exchange.output, "hello");
	stoa_process_exchange_fini(&exchange);
	return result;
}

static int with_all_of_it(void)
{
	struct stoa_process_end more[] = {
		{ .how = STOA_PROCESS_NULL, .number = 5 },
		{ .how = STOA_PROCESS_FD, .number = 4, .fd = 2 },
	};
	struct stoa_process_command command = COMMAND(
		ATTRIBUTES(.flags = STOA_PROCESS_SESSION | STOA_PROCESS_UMASK |
	                            STOA_PROCESS_WITH_PARENT |
	                            STOA_PROCESS_IGNORED | STOA_PROCESS_SHELL,
	                   .directory = "/", .in = NOTHING, .out = NOTHING,
	                   .err = { .how = STOA_PROCESS_SAME, .fd = 1 },
	                   .more = more, .more_count = LENGTH(more)),
		"exit 0");

	return run_command(&command, 1, NULL);
}

static int pipeline(void)
{
	struct stoa_process_attributes *group =
		ATTRIBUTES(.flags = STOA_PROCESS_GROUP);
	struct stoa_process_command commands[] = {
		COMMAND(group, "true"),
		COMMAND(ATTRIBUTES(.flags = STOA_PROCESS_GROUP, .out = PIPED),
		        "cat"),
	};
	struct stoa_process_exchange exchange = EXCHANGE();
	int result = run_command(commands, 2, &exchange);

	stoa_process_exchange_fini(&exchange);
	return result;
}

static int streams(void)
{
	struct stoa_process_command command =
		COMMAND(ATTRIBUTES(.in = STREAMED(in), .out = STREAMED(out)),
	                "head", "-c", "3");
	char text[4];
	int result;

	if (stoa_stream_write(in, "abc", 3, STOA_NOW) != 3)
		return -EIO; /* that is another test's */
	result = run_command(&command, 1, NULL);
	while (stoa_stream_read(in, text, 3, STOA_NOW) > 0)
		;
	while (stoa_stream_read(out, text, 3, STOA_NOW) > 0)
		;
	return result;
}

static int terminate(void)
{
	struct stoa_process_status status = { .size = sizeof(status) };
	struct stoa_process *process;
	int result = stoa_process_start(ARGUMENTS("sleep", "600"),
	                                ATTRIBUTES(.flags = STOA_PROCESS_GROUP),
	                                &process);

	if (result < 0)
		return result;
	result = stoa_process_pollfd(process);
	if (result >= 0)
		result = stoa_process_terminate(process, STOA_FOREVER,
		                                STOA_FOREVER, &status);
	stoa_process_close(process);
	return result < 0 ? result : 0;
}

static int on_terminal(void)
{
	static const struct stoa_process_attributes attributes = {
		.size = sizeof(attributes),
		.flags = STOA_PROCESS_SESSION | STOA_PROCESS_CONTROL,
		.in.how = STOA_PROCESS_TERMINAL,
		.out.how = STOA_PROCESS_TERMINAL,
	};
	struct stoa_process_command command = COMMAND(&attributes, "cat");
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = "typed\n", .input_bytes = 6);
	int result = run_command(&command, 1, &exchange);

	if (result == 0 && (!exchange.output ||
	                    !strstr(exchange.output, "typed\r\n")))
		result = 1;
	stoa_process_exchange_fini(&exchange);
	return result;
}

static const struct case_ operations[] = {
	{ "terminal", on_terminal },
	{ "both ways", both_ways }, { "all of it", with_all_of_it },
	{ "pipeline", pipeline },   { "terminate", terminate },
	{ "streams", streams },
};

/* ---- The sweep ------------------------------------------------------------- */

static void run_one(const struct case_ *operation, int error)
{
	assert_int_equal(operation->run(), 0);
	for (unsigned n = 1; n < RUNS_MAX; n++) {
		int descriptors = count_descriptors(), result;
		bool came;

		inject_at(error, n, false);
		result = operation->run();
		came = injected();
		if (result > 0 || (result < 0 && !came))
			fail_msg("%s gave %d", operation->name, result);
		if (count_descriptors() != descriptors)
			fail_msg("%s: error %d at call %u leaks a descriptor",
			         operation->name, error, n);
		/* Neither running nor a zombie. */
		if (waitpid(-1, NULL, WNOHANG | __WALL) != -1 ||
		    errno != ECHILD)
			fail_msg("%s: error %d at call %u leaves a child",
			         operation->name, error, n);
		if (!came)
			return;
		if (n % 10 == 0)
			assert_int_equal(operation->run(), 0);
	}
	fail_msg("%s has no end", operation->name);
}

TEST(every_command_survives_every_failing_call)
{
	static const int errors[] = { EMFILE, ENFILE, ENOMEM, EINTR,
		                      EAGAIN, EIO,    EACCES, ENOLCK };

	space = open_space();
	in = make_stream(space, "in", SMALL);
	out = make_stream(space, "out", SMALL);
	for (size_t i = 0; i < LENGTH(operations); i++)
		for (size_t e = 0; e < LENGTH(errors); e++)
			run_one(&operations[i], errors[e]);
	stoa_stream_close(in);
	stoa_stream_close(out);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_command_survives_every_failing_call),
};

MAIN(cases)
