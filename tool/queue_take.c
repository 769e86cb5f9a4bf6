/* SPDX-License-Identifier: MIT */
/*
 * queue_take.c: stoa queue take: holds one message until it is told that the
 * message is done with. Whoever goes without saying so, by death or by the end
 * of input, has not done it: the message goes back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "receive.h"

#define LINE_MAX_BYTES 64

static const char help[] =
	"Usage: stoa queue take [OPTION]... NAME\n"
	"\n"
	"Takes a message, waiting for it, prints it, and holds it: nobody\n"
	"else sees it. The line 'ack' on standard input acknowledges it; the\n"
	"line 'return', the end of input, a signal or death give it back to\n"
	"its old place, and then the answer is no.\n"
	"\n"
	" -A, --acknowledge    the end of input acknowledges too\n"
	RECEIVE_HELP_SELECT TOOL_HELP_STYLE
	" -x, --exec CMD       don't print: give it to the shell command CMD\n"
	"                      on its standard input; acknowledge if CMD\n"
	"                      succeeds, else give it back and pass on CMD's\n"
	"                      exit code\n"
	TOOL_HELP_WAIT TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	TOOL_LONG_STYLE,
	RECEIVE_LONG,
	{ "exec", required_argument, NULL, 'x' },
	{ "acknowledge", no_argument, NULL, 'A' },
	TOOL_LONG_END
};

enum order { ORDER_NONE, ORDER_ACKNOWLEDGE, ORDER_RETURN };

static enum order read_line(char *line)
{
	if (!strcmp(line, "ack") || !strcmp(line, "acknowledge"))
		return ORDER_ACKNOWLEDGE;
	if (!strcmp(line, "return"))
		return ORDER_RETURN;
	tool_error("'%s' is neither 'ack' nor 'return'; still holding it",
	           line);
	return ORDER_NONE;
}

/* Byte by byte, so that what follows the line stays for who reads next. A
 * line too long for any order is cut, and so is none. */
static enum order await_order(const struct tool_receive *receive)
{
	char line[LINE_MAX_BYTES];
	enum order order = ORDER_NONE;
	size_t used = 0;

	while (order == ORDER_NONE) {
		char byte;
		ssize_t got = read(STDIN_FILENO, &byte, 1);

		if (tool_stop_asked() || (got < 0 && errno != EINTR))
			return ORDER_RETURN;
		if (got < 0)
			continue;
		if (got && byte != '\n') {
			if (used < sizeof line - 1)
				line[used++] = byte;
			continue;
		}
		line[used] = '\0';
		if (used)
			order = read_line(line);
		used = 0;
		if (!got && order == ORDER_NONE)
			return receive->acknowledge ? ORDER_ACKNOWLEDGE
			                            : ORDER_RETURN;
	}
	return order;
}

static int hold(struct tool_receive *receive)
{
	if (isatty(STDIN_FILENO))
		fputs("stoa: holding it; 'ack' acknowledges it, "
		      "'return' or the end of input gives it back\n",
		      stderr);
	if (await_order(receive) == ORDER_ACKNOWLEDGE)
		return 0;
	return -EAGAIN;
}

static int take(struct tool_receive *receive)
{
	struct stoa_message message;
	int result = receive_take(receive, &message), settled;

	if (result)
		return result;
	result = receive_deliver(receive, &message);
	if (!result && !receive->command)
		result = hold(receive);
	settled = receive_settle(receive, &message, result == 0);
	if (settled < 0)
		return settled;
	return tool_stop_asked() && result ? -EINTR : result;
}

static int take_option(struct tool_receive *receive, int option)
{
	if (option == 'A') {
		receive->acknowledge = true;
		return TOOL_GO_ON;
	}
	return receive_option(receive, option);
}

int tool_queue_take(int argc, char **argv)
{
	static struct tool_receive receive = {
		.common = TOOL_COMMON("queue take", help),
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT TOOL_SHORT_STYLE
	                                     RECEIVE_SHORT "x:A",
	                             options, NULL)) != -1) {
		result = take_option(&receive, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = receive_open(&receive, argc, argv,
	                      STOA_READ | STOA_INTERRUPTIBLE);
	if (result)
		return result;
	tool_stop_install();
	return receive_leave(&receive, take(&receive));
}
