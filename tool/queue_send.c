/* SPDX-License-Identifier: MIT */
/* queue_send.c: stoa queue send. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define BATCH 64

static const char help[] =
	"Usage: stoa queue send [OPTION]... NAME [MESSAGE]...\n"
	"\n"
	"Sends each MESSAGE, or else each line of standard input, to queue\n"
	"NAME. Waits while there is no room.\n"
	"\n"
	" -a, --whole          all of standard input is one message\n"
	" -0, --null           messages end with NUL, not newline\n"
	" -s, --size N         each N bytes are a message; K, M, G are fine\n"
	" -p, --priority N     0 to 32767, highest first; default 0\n"
	" -t, --type N         1 or more; default 1\n"
	TOOL_HELP_WAIT TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "whole", no_argument, NULL, 'a' },
	{ "null", no_argument, NULL, '0' },
	{ "size", required_argument, NULL, 's' },
	{ "priority", required_argument, NULL, 'p' },
	{ "type", required_argument, NULL, 't' },
	TOOL_LONG_END
};

struct send {
	struct tool_common common;
	const char *name;
	enum tool_cut cut;
	uint64_t size;
	uint32_t priority;
	int64_t type;
	struct stoa_queue *queue;
	struct stoa_message batch[BATCH];
	size_t held;
	uint64_t sent;
};

static int choose_cut(struct send *send, enum tool_cut cut)
{
	if (send->cut != TOOL_CUT_LINES && send->cut != cut)
		return tool_usage(&send->common, "--whole, --null and --size "
		                                 "exclude each other");
	send->cut = cut;
	return TOOL_GO_ON;
}

static int parse_number(struct send *send, const char *what, uint64_t least,
                        uint64_t most, uint64_t *ret_number)
{
	if (tool_parse_number(optarg, most, ret_number) < 0 ||
	    *ret_number < least)
		return tool_usage(&send->common,
		                  "'%s' is not a %s, %" PRIu64 " to %" PRIu64,
		                  optarg, what, least, most);
	return TOOL_GO_ON;
}

static int send_option(struct send *send, int option)
{
	uint64_t number = 0;
	int result;

	switch (option) {
	case 'a': return choose_cut(send, TOOL_CUT_NONE);
	case '0': return choose_cut(send, TOOL_CUT_NULLS);
	case 's':
		if (tool_parse_size(optarg, &send->size) < 0 || !send->size)
			return tool_usage(&send->common, "'%s' is not a size",
			                  optarg);
		return choose_cut(send, TOOL_CUT_SIZE);
	case 'p':
		result = parse_number(send, "priority", 0,
		                      STOA_QUEUE_PRIORITIES - 1, &number);
		send->priority = (uint32_t)number;
		return result;
	case 't':
		result = parse_number(send, "type", 1, INT64_MAX, &number);
		send->type = (int64_t)number;
		return result;
	default: return tool_common_option(&send->common, option);
	}
}

/* A script that sent several wants to know how far it came. */
static int stopped(const struct send *send, int result)
{
	if (result != -EAGAIN && result != -ETIMEDOUT) {
		tool_failure(result, send->name);
		if (send->sent)
			tool_error("%" PRIu64 " messages were sent before that",
			           send->sent);
		return TOOL_FAILED;
	}
	if (send->sent)
		tool_error("%" PRIu64 " messages were sent, then the queue "
		           "'%s' stayed full",
		           send->sent, send->name);
	return send->common.no_exit;
}

static int send_held(struct send *send)
{
	size_t done = 0;

	while (done < send->held) {
		int result =
			stoa_queue_send_many(send->queue, send->batch + done,
		                             send->held - done,
		                             tool_deadline(&send->common));

		if (result < 0)
			return stopped(send, result);
		done += (size_t)result;
		send->sent += (uint64_t)result;
	}
	send->held = 0;
	return TOOL_DONE;
}

static int hold(struct send *send, char *data, size_t bytes)
{
	send->batch[send->held++] = (struct stoa_message){
		.data = data,
		.bytes = bytes,
		.type = send->type,
		.priority = send->priority,
	};
	return send->held == BATCH ? send_held(send) : TOOL_DONE;
}

static int send_arguments(struct send *send, char **messages)
{
	for (; *messages; messages++) {
		int code = hold(send, *messages, strlen(*messages));

		if (code)
			return code;
	}
	return send_held(send);
}

/* What has been read goes out before more is waited for. */
static int send_records(struct send *send, struct tool_in *in)
{
	for (;;) {
		size_t bytes;
		char *data;
		int result;

		while (tool_in_next(in, &data, &bytes)) {
			result = hold(send, data, bytes);
			if (result)
				return result;
		}
		result = send_held(send);
		if (result || in->ended)
			return result;
		result = tool_in_read(in);
		if (result == -EMSGSIZE)
			return tool_error("a message is larger than the queue "
			                  "'%s' takes, %" PRIu64 " bytes; "
			                  "%" PRIu64 " were sent before it",
			                  send->name, in->limit, send->sent);
		if (result < 0)
			return tool_error("reading standard input: %s",
			                  strerror(-result));
	}
}

static int send_input(struct send *send)
{
	struct stoa_queue_stat numbers = { .size = sizeof numbers };
	struct tool_in in;
	int result = stoa_queue_stat(send->queue, &numbers);

	if (result < 0)
		return tool_failure(result, send->name);
	tool_in_init(&in, STDIN_FILENO, send->cut, send->size,
	             numbers.max_message_bytes);
	result = send_records(send, &in);
	tool_in_fini(&in);
	return result;
}

static int open_and_send(struct send *send, char **messages)
{
	struct stoa_space *space;
	int result = tool_open_space(&send->common, 0, &space);

	if (result)
		return result;
	result = tool_queue_open(space, send->name, STOA_WRITE, &send->queue);
	if (result < 0) {
		result = tool_failure(result, send->name);
	} else {
		result = *messages ? send_arguments(send, messages)
		                   : send_input(send);
		stoa_queue_close(send->queue);
	}
	stoa_space_close(space);
	return result;
}

int tool_queue_send(int argc, char **argv)
{
	struct send send = {
		.common = TOOL_COMMON("queue send", help),
		.type = 1,
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "a0s:p:t:",
	                             options, NULL)) != -1) {
		result = send_option(&send, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&send.common,
		                  "the name of the queue is missing");
	send.name = argv[optind++];
	if (optind < argc && send.cut != TOOL_CUT_LINES)
		return tool_usage(&send.common,
		                  "--whole, --null and --size "
		                  "are for standard input, not for arguments");
	return open_and_send(&send, argv + optind);
}
