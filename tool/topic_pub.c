/* SPDX-License-Identifier: MIT */
/* topic_pub.c: stoa topic pub. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "topic.h"

static const char help[] =
	"Usage: stoa topic pub [OPTION]... NAME [MESSAGE]...\n"
	"\n"
	"Publishes each MESSAGE, or else each line of standard input, to topic\n"
	"NAME. Waits while there is no room: for slow subscribers, unless the\n"
	"topic overwrites.\n"
	"\n"
	" -a, --whole          all of standard input is one message\n"
	" -0, --null           messages end with NUL, not newline\n"
	" -s, --size N         each N bytes are a message; K, M, G are fine\n"
	" -w, --timeout SEC    wait at most SEC seconds for room; 0 does not\n"
	"                      wait; decimals are fine\n"
	"     --group ADDRESS  to members of the multicast group, 239.1.2.3:5000\n"
	"                      or [ff15::1]:5000, and not to this space\n"
	"     --interface IF   the group's network interface\n"
	"     --ttl N          machines that it may pass; default 1\n"
	"     --no-loop        not to members on this machine\n"
	"     --largest N      bytes of the largest message; default 64K\n"
	"     --bridge         what is published to topic NAME of this space,\n"
	"                      from now on, goes to the group\n"
	TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "whole", no_argument, NULL, 'a' },
	{ "null", no_argument, NULL, '0' },
	{ "size", required_argument, NULL, 's' },
	TOPIC_LONG_GROUP,
	TOOL_LONG_END
};

struct pub {
	struct tool_common common;
	const char *name;
	enum tool_cut cut;
	uint64_t size;
	struct stoa_topic *topic;
	uint64_t published;
	struct tool_group group;
};

static int choose_cut(struct pub *pub, enum tool_cut cut)
{
	if (pub->cut != TOOL_CUT_LINES && pub->cut != cut)
		return tool_usage(&pub->common, "--whole, --null and --size "
		                                "exclude each other");
	pub->cut = cut;
	return TOOL_GO_ON;
}

static int pub_option(struct pub *pub, int option)
{
	switch (option) {
	case 'a': return choose_cut(pub, TOOL_CUT_NONE);
	case '0': return choose_cut(pub, TOOL_CUT_NULLS);
	case 's':
		if (tool_parse_size(optarg, &pub->size) < 0 || !pub->size)
			return tool_usage(&pub->common, "'%s' is not a size",
			                  optarg);
		return choose_cut(pub, TOOL_CUT_SIZE);
	default:
		if (option >= TOPIC_GROUP && option < TOPIC_LAST)
			return tool_group_option(&pub->common, &pub->group,
			                         option);
		return tool_common_option(&pub->common, option);
	}
}

static int publish_one(struct pub *pub, const void *data, size_t bytes)
{
	int result = stoa_topic_publish(pub->topic, data, bytes,
	                                tool_deadline(&pub->common));

	if (result >= 0) {
		pub->published++;
		return TOOL_DONE;
	}
	if (result != -EAGAIN && result != -ETIMEDOUT)
		tool_failure(result, pub->name);
	if (pub->published)
		tool_error("%" PRIu64 " messages were published before that",
		           pub->published);
	return result == -EAGAIN || result == -ETIMEDOUT ? pub->common.no_exit :
	                                                   TOOL_FAILED;
}

static int publish_records(struct pub *pub, struct tool_in *in)
{
	for (;;) {
		size_t bytes;
		char *data;
		int result;

		while (tool_in_next(in, &data, &bytes)) {
			result = publish_one(pub, data, bytes);
			if (result)
				return result;
		}
		if (in->ended)
			return TOOL_DONE;
		result = tool_in_read(in);
		if (result == -EMSGSIZE)
			return tool_error("a message is larger than the topic "
			                  "'%s' takes, %" PRIu64 " bytes; "
			                  "%" PRIu64 " were published before it",
			                  pub->name, in->limit, pub->published);
		if (result < 0)
			return tool_error("reading standard input: %s",
			                  strerror(-result));
	}
}

static int publish_input(struct pub *pub)
{
	struct stoa_topic_stat numbers = { .size = sizeof numbers };
	struct tool_in in;
	int result = stoa_topic_stat(pub->topic, &numbers);

	if (result < 0)
		return tool_failure(result, pub->name);
	tool_in_init(&in, STDIN_FILENO, pub->cut, pub->size,
	             numbers.max_message_bytes);
	result = publish_records(pub, &in);
	tool_in_fini(&in);
	return result;
}

static int publish_all(struct pub *pub, char **messages)
{
	int result = TOOL_DONE;

	if (!*messages)
		return publish_input(pub);
	for (; *messages && !result; messages++)
		result = publish_one(pub, *messages, strlen(*messages));
	return result;
}

int tool_topic_pub(int argc, char **argv)
{
	struct pub pub = { .common = TOOL_COMMON("topic pub", help) };
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "a0s:", options,
	                             NULL)) != -1) {
		result = pub_option(&pub, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&pub.common,
		                  "the name of the topic is missing");
	pub.name = argv[optind++];
	if (optind < argc && pub.cut != TOOL_CUT_LINES)
		return tool_usage(&pub.common,
		                  "--whole, --null and --size are for standard "
		                  "input, not for arguments");
	if (pub.group.address)
		return tool_topic_group_pub(&pub.common, &pub.group, pub.name,
		                            pub.cut, pub.size, argv + optind);
	result = tool_open_space(&pub.common, 0, &space);
	if (result)
		return result;
	result = tool_topic_open(space, pub.name, STOA_WRITE, &pub.topic);
	if (result < 0) {
		result = tool_failure(result, pub.name);
	} else {
		result = publish_all(&pub, argv + optind);
		stoa_topic_close(pub.topic);
	}
	stoa_space_close(space);
	return result;
}
