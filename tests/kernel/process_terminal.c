/* SPDX-License-Identifier: MIT */
/* Commands attached to a terminal that the handle makes: what they write there
 * comes whole, what is given is typed, and its end is the end of the input. */
#include "command.h"

#include <fcntl.h>
#include <signal.h>

enum { MANY = 200000 };

#define ON_TERMINAL                          \
	{                                    \
		.how = STOA_PROCESS_TERMINAL \
	}

static struct stoa_process_status status = { .size = sizeof(status) };

static void assert_communicates(struct stoa_process *process,
                                struct stoa_process_exchange *exchange)
{
	assert_ok(stoa_process_communicate(process, exchange, STOA_FOREVER,
	                                   &status));
	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, 0);
}

static void assert_writes(struct stoa_process_attributes *attributes,
                          char *line, const char *output)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process *process = start(ARGUMENTS(line), attributes);

	assert_communicates(process, &exchange);
	assert_string_equal(exchange.output, output);
	stoa_process_exchange_fini(&exchange);
	stoa_process_close(process);
}

TEST(an_output_that_is_a_terminal_is_one_and_comes_whole)
{
	assert_writes(ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                         .out = ON_TERMINAL),
	              "test -t 1 && ! test -t 2 && stty size <&1",
	              "24 80\r\n");
	assert_writes(ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                         .out = ON_TERMINAL, .err = ON_TERMINAL),
	              "test -t 1 && test -t 2 && echo one; echo two >&2",
	              "one\r\ntwo\r\n");
}

TEST(nothing_that_was_written_last_is_missed)
{
	for (int i = 0; i < 200; i++)
		assert_writes(ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
		                         .out = ON_TERMINAL),
		              "printf last", "last");
}

struct numbers {
	long next;
	char line[32];
	size_t at;
};

static int check_numbers(int number, const void *data, size_t bytes,
                         void *context)
{
	struct numbers *numbers = context;
	const char *text = data;

	assert_int_equal(number, STDOUT_FILENO);
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] != '\n') {
			numbers->line[numbers->at++] = text[i];
			assert_true(numbers->at < sizeof(numbers->line));
			continue;
		}
		numbers->line[numbers->at] = 0;
		assert_int_equal(strtol(numbers->line, NULL, 10),
		                 ++numbers->next);
		numbers->at = 0;
	}
	return 0;
}

TEST(much_output_comes_in_order)
{
	struct numbers numbers = { 0 };
	struct stoa_process_exchange exchange =
		EXCHANGE(.take = check_numbers, .context = &numbers);
	struct stoa_process *process =
		start(ARGUMENTS("seq", "200000"),
	              ATTRIBUTES(.out = ON_TERMINAL));

	assert_communicates(process, &exchange);
	assert_int_equal(numbers.next, MANY);
	stoa_process_close(process);
}

/* What is read goes to a pipe: the terminal has the echo, too. */
static void assert_reads(const char *input, size_t bytes)
{
	struct stoa_process_exchange exchange =
		EXCHANGE(.input = input, .input_bytes = bytes);
	struct stoa_process *process =
		start(ARGUMENTS("cat"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SESSION |
	                                  STOA_PROCESS_CONTROL,
	                         .in = ON_TERMINAL, .out = PIPED,
	                         .err = ON_TERMINAL));

	assert_communicates(process, &exchange);
	assert_int_equal(exchange.output_bytes, bytes);
	if (bytes)
		assert_memory_equal(exchange.output, input, bytes);
	stoa_process_exchange_fini(&exchange);
	stoa_process_close(process);
}

TEST(what_is_given_is_typed_and_its_end_is_the_end_of_file)
{
	static char lines[MANY];

	assert_reads("", 0);
	assert_reads("one\ntwo\n", 8);
	assert_reads("one\ntwo", 7);
	for (int i = 0; i < MANY; i++)
		lines[i] = i % 80 == 79 || i == MANY - 1 ? '\n'
		                                         : (char)('a' + i % 26);
	assert_reads(lines, MANY);
}

TEST(a_controlling_terminal_can_be_opened_by_its_name)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process *process =
		start(ARGUMENTS("tty >/dev/tty"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL |
	                                  STOA_PROCESS_SESSION |
	                                  STOA_PROCESS_CONTROL,
	                         .in = ON_TERMINAL, .out = NOTHING,
	                         .err = ON_TERMINAL));

	assert_communicates(process, &exchange);
	/* ^D is echoed, or not, as it comes first or the shell's end does. */
	assert_non_null(strstr(exchange.error, "/dev/pts/"));
	stoa_process_exchange_fini(&exchange);
	stoa_process_close(process);
}

TEST(the_callers_end_is_the_controller)
{
	struct stoa_terminal_size size = { 7, 33, 0, 0 };
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process *process =
		start(ARGUMENTS("read line && stty size"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                         .in = ON_TERMINAL, .out = ON_TERMINAL));
	int typing = (int)assert_good(stoa_process_fd(process, 0));
	int seeing = (int)assert_good(stoa_process_fd(process, 1));

	assert_result(stoa_process_fd(process, 2), -EBADF);
	assert_int_not_equal(typing, seeing);
	assert_ok(stoa_terminal_set_size(seeing, &size));
	assert_int_equal(write(typing, "go\n", 3), 3);
	assert_ok(stoa_process_shut(process, 0));
	assert_communicates(process, &exchange);
	assert_non_null(strstr(exchange.output, "7 33\r\n"));
	stoa_process_exchange_fini(&exchange);
	stoa_process_close(process);
}

TEST(commands_of_a_pipeline_share_one)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process_attributes *both =
		ATTRIBUTES(.flags = STOA_PROCESS_SHELL, .err = ON_TERMINAL);
	struct stoa_process_command commands[] = {
		COMMAND(both, "tty <&2 >&2; tty <&2"),
		COMMAND(both, "cat >&2"),
	};
	struct stoa_process *process;

	assert_ok(stoa_process_start_pipeline(commands, 2, &process));
	assert_communicates(process, &exchange);
	char *second = strstr(exchange.error, "\r\n") + 2;
	assert_int_equal(2 * (second - exchange.error), exchange.error_bytes);
	assert_memory_equal(exchange.error, second, second - exchange.error);
	stoa_process_exchange_fini(&exchange);
	stoa_process_close(process);
}

TEST(an_input_alone_is_refused)
{
	struct stoa_process *process = NULL;

	assert_result(stoa_process_start(ARGUMENTS("true"),
	                                 ATTRIBUTES(.in = ON_TERMINAL),
	                                 &process),
	              -EINVAL);
	assert_sentence("echoed");
	assert_null(process);
}

TEST(an_heir_that_holds_the_terminal_is_not_waited_for)
{
	struct stoa_process_exchange exchange = EXCHANGE();
	struct stoa_process_end more = { .how = STOA_PROCESS_PIPE,
		                         .number = 7,
		                         .flags = STOA_READ };
	struct stoa_process *process =
		start(ARGUMENTS("cat <&7 & printf %s kept"),
	              ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                         .out = ON_TERMINAL, .more = &more,
	                         .more_count = 1));

	assert_communicates(process, &exchange);
	assert_string_equal(exchange.output, "kept");
	stoa_process_exchange_fini(&exchange);
	stoa_process_close(process);
}

TEST(standard_descriptors_that_are_closed_are_no_controller_in_the_child)
{
	int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);

	close(STDIN_FILENO);
	assert_writes(ATTRIBUTES(.flags = STOA_PROCESS_SHELL,
	                         .out = ON_TERMINAL),
	              "readlink /proc/self/fd/0", "/dev/null\r\n");
	if (kept >= 0) {
		assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
		close(kept);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(an_output_that_is_a_terminal_is_one_and_comes_whole),
	CASE(nothing_that_was_written_last_is_missed),
	CASE(much_output_comes_in_order),
	CASE(what_is_given_is_typed_and_its_end_is_the_end_of_file),
	CASE(a_controlling_terminal_can_be_opened_by_its_name),
	CASE(the_callers_end_is_the_controller),
	CASE(commands_of_a_pipeline_share_one),
	CASE(an_input_alone_is_refused),
	CASE(an_heir_that_holds_the_terminal_is_not_waited_for),
	CASE(standard_descriptors_that_are_closed_are_no_controller_in_the_child),
};

MAIN(cases)
