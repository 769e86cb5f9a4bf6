/* SPDX-License-Identifier: MIT */
/* queue.c: stoa queue: picks its verb; create and purge. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "noun.h"


static const struct tool_verb verbs[] = {
	{ "create", tool_queue_create, "make a queue" },
	{ "send", tool_queue_send, "send messages" },
	{ "recv", tool_queue_recv, "receive messages, and print or run" },
	{ "take", tool_queue_take, "hold a message until it is done with" },
	{ "peek", tool_queue_peek, "print messages and leave them there" },
	{ "purge", tool_queue_purge, "drop all messages" },
	{ "stat", tool_queue_stat, "show the numbers of queues" },
	{ "bench", tool_queue_bench, "measure queues on this machine" },
	{ NULL, NULL, NULL }
};

int tool_queue(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "queue", verbs);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa queue create [OPTION]... NAME...\n"
	"\n"
	"Makes queues, and the directory of the space if there is none. A\n"
	"queue that is there already is left as it is; the answer is no if it\n"
	"is smaller than asked, or of another order.\n"
	"\n"
	" -c, --capacity N     messages it has room for; default 1024\n"
	" -m, --max-message N  bytes of the largest message; default 64K\n"
	" -t, --total N        bytes of room for messages over 80 bytes\n"
	" -O, --order ORDER    fifo (default), priority (highest first), or\n"
	"                      type (receivers may choose by type)\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	"N may carry K, M, G (or KiB, MiB: 1024; KB, MB: 1000).\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "capacity", required_argument, NULL, 'c' },
	{ "max-message", required_argument, NULL, 'm' },
	{ "total", required_argument, NULL, 't' },
	{ "order", required_argument, NULL, 'O' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_queue_attributes attributes;
	mode_t mode;
	bool exclusive, order_given;
};

static int parse_size(const struct tool_common *common, const char *text,
                      uint64_t *ret_size)
{
	if (tool_parse_size(text, ret_size) < 0 || !*ret_size)
		return tool_usage(common, "'%s' is not a size", text);
	return TOOL_GO_ON;
}

static int create_option(struct create *create, int option)
{
	struct stoa_queue_attributes *attributes = &create->attributes;

	switch (option) {
	case 'c':
		return parse_size(&create->common, optarg,
		                  &attributes->capacity);
	case 'm':
		return parse_size(&create->common, optarg,
		                  &attributes->max_message_bytes);
	case 't':
		return parse_size(&create->common, optarg,
		                  &attributes->total_bytes);
	case 'O':
		create->order_given = true;
		if (tool_parse_order(optarg, &attributes->order) < 0)
			return tool_usage(&create->common,
			                  "'%s' is not an "
			                  "order: fifo, priority or type",
			                  optarg);
		return TOOL_GO_ON;
	case 'M': return tool_parse_mode(&create->common, optarg,
	                                 &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

/* The library may round up, so more than was asked is as asked. */
static int check_found(const struct create *create, const char *name,
                       const struct stoa_queue_stat *found)
{
	const struct stoa_queue_attributes *asked = &create->attributes;

	if (create->order_given && asked->order != found->order)
		tool_error("queue '%s' is there already, but its order is %s",
		           name, tool_order(found->order));
	else if (found->capacity < asked->capacity)
		tool_error("queue '%s' is there already, but its capacity is "
		           "%" PRIu64 " messages",
		           name, found->capacity);
	else if (found->max_message_bytes < asked->max_message_bytes)
		tool_error("queue '%s' is there already, but its largest "
		           "message is %" PRIu64 " bytes",
		           name, found->max_message_bytes);
	else if (found->total_bytes < asked->total_bytes)
		tool_error("queue '%s' is there already, but has room for "
		           "%" PRIu64 " bytes",
		           name, found->total_bytes);
	else
		return TOOL_DONE;
	return create->common.no_exit;
}

static int create_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct create *create = context;
	unsigned flags = STOA_READ | STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_queue_name(typed, buffer);
	struct stoa_queue_stat found;
	struct stoa_queue *queue;
	int result = stoa_queue_open(space, name, flags, create->mode,
	                             &create->attributes, &queue);

	if (result >= 0) {
		stoa_queue_close(queue);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	if (result != TOOL_GO_ON)
		return result;
	result = tool_queue_numbers(space, name, &found);
	if (result < 0)
		return tool_failure(result, typed);
	return check_found(create, name, &found);
}

int tool_queue_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("queue create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "c:m:t:O:M:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	return tool_each_name(&create.common, STOA_CREATE, argv + optind,
	                      "the name of the queue", create_one, &create);
}

/* ---- purge --------------------------------------------------------------- */

static const char purge_help[] =
	"Usage: stoa queue purge [OPTION]... NAME...\n"
	"\n"
	"Drops every message that is in the queue and not taken, and prints\n"
	"how many. The answer is no if there was none.\n"
	"\n"
	" -q, --quiet          print nothing\n"
	TOOL_HELP_COMMON;

static const struct option purge_options[] = {
	TOOL_LONG, { "quiet", no_argument, NULL, 'q' }, TOOL_LONG_END
};

struct purge {
	struct tool_common common;
	bool quiet, dropped;
};

static int purge_one(void *context, struct stoa_space *space, const char *name)
{
	struct purge *purge = context;
	struct stoa_queue *queue;
	int result = tool_queue_open(space, name, STOA_READ, &queue);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_queue_purge(queue);
	stoa_queue_close(queue);
	if (result < 0)
		return tool_failure(result, name);
	if (!purge->quiet)
		printf("%d\n", result);
	purge->dropped |= result > 0;
	return TOOL_DONE;
}

int tool_queue_purge(int argc, char **argv)
{
	struct purge purge = { .common = TOOL_COMMON("queue purge",
		                                     purge_help) };
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "q", purge_options,
	                             NULL)) != -1) {
		if (option == 'q') {
			purge.quiet = true;
			continue;
		}
		result = tool_common_option(&purge.common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = tool_each_name(&purge.common, 0, argv + optind,
	                        "the name of the queue", purge_one, &purge);
	return result || purge.dropped ? result : purge.common.no_exit;
}
