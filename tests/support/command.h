/* SPDX-License-Identifier: MIT */
/* command.h: what the tests of commands share. */
#ifndef COMMAND_H
#define COMMAND_H

#include "support.h"

#define ARGUMENTS(...) ((char *const[]){ __VA_ARGS__, NULL })
#define ATTRIBUTES(...)                     \
	(&(struct stoa_process_attributes){ \
		.size = sizeof(struct stoa_process_attributes), __VA_ARGS__ })
#define COMMAND(attributes, ...) \
	((struct stoa_process_command){ ARGUMENTS(__VA_ARGS__), attributes })
#define EXCHANGE(...)                    \
	((struct stoa_process_exchange){ \
		.size = sizeof(struct stoa_process_exchange), __VA_ARGS__ })
#define PIPED                            \
	{                                \
		.how = STOA_PROCESS_PIPE \
	}
#define NOTHING                          \
	{                                \
		.how = STOA_PROCESS_NULL \
	}
#define STREAMED(from)                                       \
	{                                                    \
		.how = STOA_PROCESS_STREAM, .stream = (from) \
	}
#define GIVEN(number)                                  \
	{                                              \
		.how = STOA_PROCESS_FD, .fd = (number) \
	}

static UNUSED struct stoa_process *start(char *const *arguments,
                                         struct stoa_process_attributes *how)
{
	struct stoa_process *process;

	assert_ok(stoa_process_start(arguments, how, &process));
	return process;
}

static UNUSED struct stoa_process_status wait_for(struct stoa_process *process)
{
	struct stoa_process_status status = { .size = sizeof(status) };

	assert_ok(stoa_process_wait(process, STOA_FOREVER, &status));
	return status;
}

static UNUSED void assert_exits(struct stoa_process *process, int code)
{
	struct stoa_process_status status = wait_for(process);

	assert_int_equal(status.state, STOA_PROCESS_EXITED);
	assert_int_equal(status.code, code);
}

static UNUSED void assert_killed(struct stoa_process *process, int number)
{
	struct stoa_process_status status = wait_for(process);

	assert_int_equal(status.state, STOA_PROCESS_KILLED);
	assert_int_equal(status.code, number);
}

/* What is read from a descriptor until its end. */
static UNUSED const char *read_all(int fd)
{
	static char text[4096];
	size_t bytes = 0;
	ssize_t got;

	while ((got = read(fd, text + bytes, sizeof(text) - 1 - bytes)) > 0)
		bytes += (size_t)got;
	assert_true(got == 0);
	text[bytes] = '\0';
	return text;
}

/* Until nobody has the pipe's other end. */
static UNUSED void await_hangup(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
}

#endif
