/* SPDX-License-Identifier: MIT */
/* queue_recv.c: stoa queue recv and peek. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "receive.h"

/* ---- recv ---------------------------------------------------------------- */

static const char recv_help[] =
	"Usage: stoa queue recv [OPTION]... NAME\n"
	"\n"
	"Receives a message, waiting for it, and prints it and a newline. A\n"
	"message that couldn't be printed goes back to its place.\n"
	"\n"
	" -c, --count N        receive N messages\n"
	" -f, --follow         go on, until a timeout or a signal\n"
	" -a, --all            receive all there are now, without waiting\n"
	RECEIVE_HELP_SELECT TOOL_HELP_STYLE
	" -x, --exec CMD       give each message to the shell command CMD on\n"
	"                      its standard input; if CMD fails, the message\n"
	"                      goes back and CMD's exit code is passed on\n"
	TOOL_HELP_WAIT TOOL_HELP_COMMON;

static const struct option recv_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	TOOL_LONG_STYLE,
	RECEIVE_LONG,
	{ "count", required_argument, NULL, 'c' },
	{ "follow", no_argument, NULL, 'f' },
	{ "all", no_argument, NULL, 'a' },
	{ "exec", required_argument, NULL, 'x' },
	TOOL_LONG_END
};

static int recv_option(struct tool_receive *receive, int option)
{
	switch (option) {
	case 'c': return receive_count(receive, &receive->count);
	case 'f': receive->follow = true; return TOOL_GO_ON;
	case 'a': receive->follow = receive->all = true; return TOOL_GO_ON;
	default: return receive_option(receive, option);
	}
}

/* Printed first, acknowledged then: a death between the two repeats a message,
 * but never loses one. */
static int recv_one(struct tool_receive *receive)
{
	struct stoa_message message;
	int result, settled;

	result = receive_take(receive, &message);
	if (result)
		return result;
	result = receive_deliver(receive, &message);
	settled = receive_settle(receive, &message, result == 0);
	return result ? result : settled;
}

/* Without a number asked for, an end after some messages is no "no". */
static int recv_messages(struct tool_receive *receive)
{
	uint64_t done = 0;
	int result = 0;

	while (receive->follow || done < receive->count) {
		result = recv_one(receive);
		if (result)
			break;
		done++;
	}
	if ((result == -EAGAIN || result == -ETIMEDOUT) && receive->follow &&
	    done)
		return 0;
	return result;
}

int tool_queue_recv(int argc, char **argv)
{
	static struct tool_receive receive = {
		.common = TOOL_COMMON("queue recv", recv_help),
		.count = 1,
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT TOOL_SHORT_STYLE
	                                     RECEIVE_SHORT "c:fax:",
	                             recv_options, NULL)) != -1) {
		result = recv_option(&receive, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (receive.all)
		receive.common.timeout_ns = 0;
	result = receive_open(&receive, argc, argv,
	                      STOA_READ | STOA_INTERRUPTIBLE);
	if (result)
		return result;
	tool_stop_install();
	return receive_leave(&receive, recv_messages(&receive));
}

/* ---- peek ---------------------------------------------------------------- */

static const char peek_help[] =
	"Usage: stoa queue peek [OPTION]... NAME\n"
	"\n"
	"Prints the message that a receive would get, and leaves it there.\n"
	"Does not wait; the answer is no if there is none.\n"
	"\n"
	" -c, --count N        print the first N\n"
	" -a, --all            print all\n"
	" -i, --index N        begin with the N-th; the first is 0\n"
	RECEIVE_HELP_SELECT TOOL_HELP_STYLE TOOL_HELP_COMMON;

static const struct option peek_options[] = {
	TOOL_LONG,
	TOOL_LONG_STYLE,
	RECEIVE_LONG,
	{ "count", required_argument, NULL, 'c' },
	{ "all", no_argument, NULL, 'a' },
	{ "index", required_argument, NULL, 'i' },
	TOOL_LONG_END
};

#define PEEK_ROOM 65536

struct buffer {
	char *data;
	size_t bytes;
};

/* The n-th may be another, larger one by the time there is room for it. */
static int peek_one(struct tool_receive *receive, uint64_t n,
                    struct buffer *buffer, struct stoa_message *message)
{
	const struct stoa_selector *selector =
		receive->selector.selection == STOA_ANY ? NULL
							: &receive->selector;

	for (;;) {
		ssize_t size =
			stoa_queue_peek(receive->queue, selector, n,
		                        buffer->data, buffer->bytes, message);
		char *data;

		if (size < 0)
			return (int)size;
		if ((size_t)size <= buffer->bytes) {
			message->data = buffer->data;
			message->bytes = (size_t)size;
			return 0;
		}
		data = realloc(buffer->data, (size_t)size);
		if (!data)
			return -ENOMEM;
		buffer->data = data;
		buffer->bytes = (size_t)size;
	}
}

static int peek_messages(struct tool_receive *receive)
{
	struct buffer buffer = { malloc(PEEK_ROOM), PEEK_ROOM };
	struct stoa_message message = { 0 };
	uint64_t done = 0;
	int result = buffer.data ? 0 : -ENOMEM;

	while (!result && (receive->all || done < receive->count)) {
		result = peek_one(receive, receive->index + done, &buffer,
		                  &message);
		if (result)
			break;
		tool_print_message(&receive->out, &receive->style, &message);
		result = receive->out.error;
		done++;
	}
	free(buffer.data);
	tool_out_flush(&receive->out);
	if (result == -ENOMSG && receive->all && done)
		result = 0;
	return receive->out.error ? receive->out.error : result;
}

static int peek_option(struct tool_receive *receive, int option)
{
	switch (option) {
	case 'c': return receive_count(receive, &receive->count);
	case 'a': receive->all = true; return TOOL_GO_ON;
	case 'i': return receive_count(receive, &receive->index);
	default: return receive_option(receive, option);
	}
}

int tool_queue_peek(int argc, char **argv)
{
	static struct tool_receive receive = {
		.common = TOOL_COMMON("queue peek", peek_help),
		.count = 1,
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_STYLE RECEIVE_SHORT
	                             "c:ai:",
	                             peek_options, NULL)) != -1) {
		result = peek_option(&receive, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = receive_open(&receive, argc, argv, STOA_READ);
	if (result)
		return result;
	return receive_leave(&receive, peek_messages(&receive));
}
