/* SPDX-License-Identifier: MIT */
/* topic.c: stoa topic: picks its verb; create, latest and rm. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "topic.h"

static const struct tool_verb verbs[] = {
	{ "create", tool_topic_create, "make a topic" },
	{ "pub", tool_topic_pub, "publish messages" },
	{ "sub", tool_topic_sub, "print what is published" },
	{ "echo", tool_topic_echo, "the same, with where and when" },
	{ "hz", tool_topic_hz, "how much is published" },
	{ "latest", tool_topic_latest, "print the newest message" },
	{ "record", tool_topic_record, "write what is published to a file" },
	{ "replay", tool_topic_replay, "publish what was recorded" },
	{ "stat", tool_topic_stat, "show the numbers of topics" },
	{ "rm", tool_topic_rm, "remove topics" },
	{ NULL, NULL, NULL }
};

int tool_topic(int argc, char **argv)
{
	return tool_dispatch(argc, argv, TOPIC_KIND, verbs);
}

int tool_topic_open(struct stoa_space *space, const char *name, unsigned flags,
                    struct stoa_topic **ret_topic)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_topic_open(space, tool_bare_name(name, TOPIC_KIND, buffer),
	                       flags, 0, NULL, ret_topic);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa topic create [OPTION]... NAME...\n"
	"\n"
	"Makes topics, and the directory of the space if there is none. A\n"
	"topic that is there already is left as it is; the answer is no if it\n"
	"does otherwise with slow subscribers, or takes or keeps less.\n"
	"\n"
	" -o, --overwrite      overwrite the oldest; else publishers wait for\n"
	"                      slow subscribers\n"
	" -c, --capacity N     messages it keeps at least; default 1024\n"
	" -m, --max-message N  bytes of the largest message; default 64K\n"
	" -i, --inline N       messages up to N bytes stand in the ring\n"
	"                      itself; default 112, at most 4080\n"
	" -t, --total N        bytes of room for larger ones; default: for\n"
	"                      all, at most 16M\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	"N may carry K, M, G (or KiB, MiB: 1024; KB, MB: 1000).\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "overwrite", no_argument, NULL, 'o' },
	{ "capacity", required_argument, NULL, 'c' },
	{ "max-message", required_argument, NULL, 'm' },
	{ "inline", required_argument, NULL, 'i' },
	{ "total", required_argument, NULL, 't' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_topic_attributes attributes;
	mode_t mode;
	bool exclusive;
};

static int parse_size(const struct tool_common *common, uint64_t *ret_size)
{
	if (tool_parse_size(optarg, ret_size) < 0 || !*ret_size)
		return tool_usage(common, "'%s' is not a size", optarg);
	return TOOL_GO_ON;
}

static int create_option(struct create *create, int option)
{
	struct stoa_topic_attributes *attributes = &create->attributes;

	switch (option) {
	case 'o':
		attributes->overrun = STOA_TOPIC_OVERWRITE;
		return TOOL_GO_ON;
	case 'c': return parse_size(&create->common, &attributes->capacity);
	case 'm':
		return parse_size(&create->common,
		                  &attributes->max_message_bytes);
	case 'i': return parse_size(&create->common, &attributes->inline_bytes);
	case 't': return parse_size(&create->common, &attributes->total_bytes);
	case 'M':
		return tool_parse_mode(&create->common, optarg, &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int check_found(const struct create *create, struct stoa_space *space,
                       const char *name)
{
	const struct stoa_topic_attributes *asked = &create->attributes;
	struct stoa_topic_stat found = { .size = sizeof found };
	struct stoa_topic *topic;
	int result = tool_topic_open(space, name, STOA_WRITE, &topic);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_topic_stat(topic, &found);
	stoa_topic_close(topic);
	if (result < 0)
		return tool_failure(result, name);
	if (found.overrun == asked->overrun &&
	    found.capacity >= asked->capacity &&
	    found.max_message_bytes >= asked->max_message_bytes &&
	    found.total_bytes >= asked->total_bytes)
		return TOOL_DONE;
	tool_error("topic '%s' is there already, but %s, keeps %" PRIu64
	           " messages and takes up to %" PRIu64 " bytes",
	           name, found.overrun ? "overwrites" : "waits", found.capacity,
	           found.max_message_bytes);
	return create->common.no_exit;
}

static int create_one(const struct create *create, struct stoa_space *space,
                      const char *typed)
{
	char buffer[STOA_NAME_MAX + 1];
	struct stoa_topic *topic;
	int result = stoa_topic_open(
		space, tool_bare_name(typed, TOPIC_KIND, buffer),
		STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE, create->mode,
		&create->attributes, &topic);

	if (result >= 0) {
		stoa_topic_close(topic);
		return TOOL_DONE;
	}
	if (result != -EEXIST)
		return tool_failure(result, typed);
	if (create->exclusive) {
		tool_failure(result, typed);
		return create->common.no_exit;
	}
	return check_found(create, space, typed);
}

int tool_topic_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("topic create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	struct stoa_space *space;
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "oc:m:i:t:M:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&create.common,
		                  "the name of the topic is missing");
	result = tool_open_space(&create.common, STOA_CREATE, &space);
	if (result)
		return result;
	for (; optind < argc; optind++) {
		result = create_one(&create, space, argv[optind]);
		worst = result > worst ? result : worst;
	}
	stoa_space_close(space);
	return worst;
}

/* ---- latest ---------------------------------------------------------------- */

static const char latest_help[] =
	"Usage: stoa topic latest [OPTION]... NAME\n"
	"\n"
	"Prints the newest message and a newline. Does not wait; the answer is\n"
	"no if there is none.\n"
	"\n"
	" -0, --null           end it with NUL, not newline\n"
	" -r, --raw            the bytes of the message and nothing else\n"
	" -J, --json           as a JSON object\n"
	TOOL_HELP_COMMON;

static const struct option latest_options[] = { TOOL_LONG, TOOL_LONG_STYLE,
	                                        TOOL_LONG_END };

static int read_latest(struct stoa_topic *topic,
                       struct stoa_topic_message *message)
{
	struct stoa_topic_stat stat = { .size = sizeof stat };
	int result = stoa_topic_stat(topic, &stat);
	void *room;

	if (result < 0)
		return result;
	room = malloc(stat.max_message_bytes ?: 1);
	if (!room)
		return -ENOMEM;
	ssize_t got = stoa_topic_latest(topic, room, stat.max_message_bytes,
	                                message);
	if (got < 0)
		free(room);
	return got < 0 ? (int)got : 0;
}

static int print_latest(struct stoa_topic *topic, struct tool_style *style)
{
	static struct tool_out out;
	struct stoa_topic_message message;
	int result = read_latest(topic, &message);

	if (result < 0)
		return result;
	tool_out_init(&out, STDOUT_FILENO);
	tool_style_settle(style, STDOUT_FILENO);
	tool_print_message(&out, style,
	                   &(struct stoa_message){
	                           .data = message.data,
	                           .bytes = message.bytes,
	                           .sequence = message.sequence,
	                           .sender_pid = message.sender_pid });
	free(message.data);
	return tool_out_flush(&out);
}

int tool_topic_latest(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("topic latest", latest_help);
	struct tool_style style = { 0 };
	struct stoa_space *space;
	struct stoa_topic *topic;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "0rJ",
	                             latest_options, NULL)) != -1) {
		if (tool_style_option(&style, option))
			continue;
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&common, "the name of one topic is needed");
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	result = tool_topic_open(space, argv[optind], STOA_READ, &topic);
	if (result == 0) {
		result = print_latest(topic, &style);
		stoa_topic_close(topic);
	}
	stoa_space_close(space);
	if (result == -ENOMSG)
		return common.no_exit;
	return result < 0 ? tool_failure(result, argv[optind]) : TOOL_DONE;
}

/* ---- rm ---------------------------------------------------------------------- */

static const char rm_help[] =
	"Usage: stoa topic rm [OPTION]... NAME...\n"
	"\n"
	"Removes topics. Who has one open goes on with it; with --wake it is\n"
	"gone for them too.\n"
	"\n"
	" -w, --wake           who waits on it, or uses it later, gets EIDRM\n"
	" -f, --force          say nothing of topics that aren't there\n"
	TOOL_HELP_COMMON;

static const struct option rm_options[] = { TOOL_LONG,
	                                    { "wake", no_argument, NULL, 'w' },
	                                    { "force", no_argument, NULL, 'f' },
	                                    TOOL_LONG_END };

static int remove_one(struct stoa_space *space, const char *typed, bool wake,
                      bool force)
{
	char buffer[STOA_NAME_MAX + 1];
	char file[STOA_NAME_MAX + sizeof "." TOPIC_KIND];
	int result;

	snprintf(file, sizeof file, "%s." TOPIC_KIND,
	         tool_bare_name(typed, TOPIC_KIND, buffer));
	result = stoa_space_remove(space, file, wake);
	if (result < 0 && !(force && result == -ENOENT))
		return tool_failure(result, typed);
	return TOOL_DONE;
}

int tool_topic_rm(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("topic rm", rm_help);
	struct stoa_space *space;
	bool wake = false, force = false;
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "wf", rm_options,
	                             NULL)) != -1) {
		if (option == 'w' || option == 'f') {
			*(option == 'w' ? &wake : &force) = true;
			continue;
		}
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc && !force)
		return tool_usage(&common, "the name of a topic is missing");
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	for (; optind < argc; optind++) {
		result = remove_one(space, argv[optind], wake, force);
		worst = result > worst ? result : worst;
	}
	stoa_space_close(space);
	return worst;
}
