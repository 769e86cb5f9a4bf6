/* SPDX-License-Identifier: MIT */
/* receive.c: what recv, take and peek share. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "receive.h"

static int select_type(struct tool_receive *receive,
                       enum stoa_selection selection)
{
	uint64_t type;

	if (receive->selector.selection != STOA_ANY)
		return tool_usage(&receive->common,
		                  "--type, --except and "
		                  "--lowest exclude each other");
	if (tool_parse_number(optarg, INT64_MAX, &type) < 0 || !type)
		return tool_usage(&receive->common,
		                  "'%s' is not a type, 1 or more", optarg);
	receive->selector.selection = selection;
	receive->selector.type = (int64_t)type;
	return TOOL_GO_ON;
}

int receive_option(struct tool_receive *receive, int option)
{
	if (tool_style_option(&receive->style, option))
		return TOOL_GO_ON;
	switch (option) {
	case 't': return select_type(receive, STOA_EXACTLY);
	case RECEIVE_EXCEPT: return select_type(receive, STOA_EXCEPT);
	case RECEIVE_LOWEST: return select_type(receive, STOA_LOWEST);
	case 'x': receive->command = optarg; return TOOL_GO_ON;
	default: return tool_common_option(&receive->common, option);
	}
}

int receive_count(struct tool_receive *receive, uint64_t *ret_count)
{
	if (tool_parse_number(optarg, UINT64_MAX, ret_count) < 0)
		return tool_usage(&receive->common, "'%s' is not a number",
		                  optarg);
	return TOOL_GO_ON;
}

int receive_open(struct tool_receive *receive, int argc, char **argv,
                 unsigned flags)
{
	int result;

	if (optind == argc)
		return tool_usage(&receive->common,
		                  "the name of the queue is missing");
	receive->name = argv[optind];
	if (optind + 1 < argc)
		return tool_usage(&receive->common,
		                  "'%s' is one argument too many",
		                  argv[optind + 1]);
	tool_style_settle(&receive->style, STDOUT_FILENO);
	tool_out_init(&receive->out, STDOUT_FILENO);
	result = tool_open_space(&receive->common, 0, &receive->space);
	if (result)
		return result;
	result = tool_queue_open(receive->space, receive->name, flags,
	                         &receive->queue);
	if (result >= 0)
		return TOOL_DONE;
	stoa_space_close(receive->space);
	return tool_failure(result, receive->name);
}

int receive_take(struct tool_receive *receive, struct stoa_message *message)
{
	const struct stoa_selector *selector =
		receive->selector.selection == STOA_ANY ? NULL
							: &receive->selector;
	struct stoa_deadline deadline = tool_deadline(&receive->common);
	int result;

	do {
		if (tool_stop_asked())
			return -EINTR;
		result = stoa_queue_take(receive->queue, selector, deadline,
		                         message);
	} while (result == -EINTR);
	return result < 0 ? result : 0;
}

int receive_deliver(struct tool_receive *receive,
                    const struct stoa_message *message)
{
	int result;

	if (!receive->command) {
		tool_print_message(&receive->out, &receive->style, message);
		return tool_out_flush(&receive->out);
	}
	result = tool_run_command(receive->command, receive->name, message);
	if (result < 0)
		return tool_error("running '%s': %s", receive->command,
		                  strerror(-result));
	return result;
}

int receive_settle(struct tool_receive *receive,
                   const struct stoa_message *message, bool done)
{
	return done ? stoa_queue_acknowledge(receive->queue, message)
	            : stoa_queue_return(receive->queue, message);
}

int receive_leave(struct tool_receive *receive, int result)
{
	bool stopped = result && tool_stop_asked();
	int code = result;

	if (result == -EAGAIN || result == -ETIMEDOUT || result == -ENOMSG)
		code = receive->common.no_exit;
	else if (receive->out.error && !stopped)
		code = tool_error("writing the output: %s",
		                  strerror(-receive->out.error));
	else if (result < 0 && !stopped)
		code = tool_failure(result, receive->name);
	stoa_queue_close(receive->queue);
	stoa_space_close(receive->space);
	if (stopped)
		tool_stop_die();
	return code;
}
