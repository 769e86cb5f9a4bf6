/* SPDX-License-Identifier: MIT */
/* topic_group.c: stoa topic pub and sub with --group: topics over a network. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "topic.h"

#define TTL_MOST 255
#define ADDRESS_MAX 128
#define ROOM_FIRST 65536

int tool_group_option(const struct tool_common *common,
                      struct tool_group *group, int option)
{
	uint64_t number;

	switch (option) {
	case TOPIC_GROUP: group->address = optarg; return TOOL_GO_ON;
	case TOPIC_INTERFACE:
		group->attributes.interface = optarg;
		return TOOL_GO_ON;
	case TOPIC_TTL:
		if (tool_parse_number(optarg, TTL_MOST, &number) < 0 || !number)
			return tool_usage(common,
			                  "'%s' is not a time to live, 1 to %d",
			                  optarg, TTL_MOST);
		group->attributes.ttl = (uint32_t)number;
		return TOOL_GO_ON;
	case TOPIC_NO_LOOP:
		group->attributes.loop = STOA_DATAGRAM_NO_LOOP;
		return TOOL_GO_ON;
	case TOPIC_LARGEST:
		if (tool_parse_size(optarg, &number) < 0 || !number ||
		    number > STOA_GROUP_MESSAGE_MAX)
			return tool_usage(common, "'%s' is not a size, up to "
			                          "16M",
			                  optarg);
		group->attributes.message_bytes = (uint32_t)number;
		return TOOL_GO_ON;
	default: group->bridge = true; return TOOL_GO_ON;
	}
}

static int open_group(const struct tool_group *group, const char *name,
                      unsigned flags, struct stoa_group **ret_group)
{
	struct stoa_group_attributes attributes = group->attributes;
	char address[ADDRESS_MAX], buffer[STOA_NAME_MAX + 1];
	bool has_udp = strncmp(group->address, "udp:", 4) == 0;

	attributes.size = sizeof attributes;
	snprintf(address, sizeof address, "%s%s", has_udp ? "" : "udp:",
	         group->address);
	return stoa_group_open(address,
	                       tool_bare_name(name, TOPIC_KIND, buffer), flags,
	                       &attributes, ret_group);
}

/* ---- pub ------------------------------------------------------------------- */

struct group_pub {
	const struct tool_common *common;
	struct stoa_group *group;
	uint64_t published;
};

static int publish_one(struct group_pub *pub, const void *data, size_t bytes)
{
	int result = stoa_group_publish(pub->group, data, bytes,
	                                tool_deadline(pub->common));

	if (result >= 0) {
		pub->published++;
		return TOOL_DONE;
	}
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return pub->common->no_exit;
	tool_failure(result, "publishing");
	if (pub->published)
		tool_error("%" PRIu64 " messages were published before that",
		           pub->published);
	return TOOL_FAILED;
}

static int publish_input(struct group_pub *pub, enum tool_cut cut,
                         uint64_t size)
{
	struct tool_in in;
	int result = TOOL_DONE;

	tool_in_init(&in, STDIN_FILENO, cut, size, STOA_GROUP_MESSAGE_MAX);
	while (!result) {
		size_t bytes;
		char *data;

		while (!result && tool_in_next(&in, &data, &bytes))
			result = publish_one(pub, data, bytes);
		if (result || in.ended)
			break;
		int error = tool_in_read(&in);
		if (error < 0)
			result = tool_error("reading standard input: %s",
			                    strerror(-error));
	}
	tool_in_fini(&in);
	return result;
}

/* From the topic of this space to the group. */
static int publish_topic(struct group_pub *pub, const char *name)
{
	struct stoa_topic_message message;
	struct tool_topics topics = { 0 };
	const char *from;
	int result, code = tool_topics_open(&topics, pub->common, name,
	                                    STOA_TOPIC_NEXT);

	if (code)
		return code;
	tool_stop_install();
	do {
		result = tool_topics_next(&topics, STOA_FOREVER, &message,
		                          &from);
		if (result < 0)
			break;
		if (message.lost)
			tool_error("%" PRIu64 " messages of topic '%s' were "
			           "lost before %" PRIu64,
			           message.lost, from, message.sequence);
		code = publish_one(pub, message.data, message.bytes);
	} while (!code);
	tool_topics_close(&topics);
	if (code || (result == -EINTR && tool_stop_asked()))
		return code;
	return tool_failure(result, name);
}

int tool_topic_group_pub(const struct tool_common *common,
                         const struct tool_group *group, const char *name,
                         enum tool_cut cut, uint64_t size, char **messages)
{
	struct group_pub pub = { .common = common };
	int result;

	if (group->bridge && (*messages || cut != TOOL_CUT_LINES))
		return tool_usage(common, "with --bridge, messages come from "
		                          "the topic '%s'",
		                  name);
	result = open_group(group, name, STOA_WRITE, &pub.group);
	if (result < 0)
		return tool_failure(result, group->address);
	if (group->bridge)
		result = publish_topic(&pub, name);
	else if (!*messages)
		result = publish_input(&pub, cut, size);
	for (; *messages && !result; messages++)
		result = publish_one(&pub, *messages, strlen(*messages));
	stoa_group_close(pub.group);
	tool_stop_die();
	return result;
}

/* ---- sub ------------------------------------------------------------------- */

struct group_sub {
	const struct tool_common *common;
	const struct tool_style *style;
	const char *name;
	struct stoa_group *group;
	struct stoa_space *space; /* of --bridge */
	struct stoa_topic *topic;
	struct tool_out out;
	char *buffer;
	size_t room;
	uint64_t done, told;
};

/* 0 or -errno. */
static int next(struct group_sub *sub, struct stoa_deadline deadline,
                struct stoa_group_message *message)
{
	for (;;) {
		ssize_t result;
		char *more;

		if (tool_stop_asked())
			return -EINTR;
		result = stoa_group_receive(sub->group, sub->buffer, sub->room,
		                            deadline, message);
		if (result == -EINTR && !tool_stop_asked())
			continue;
		if (result != -EMSGSIZE)
			return result < 0 ? (int)result : 0;
		more = realloc(sub->buffer, message->bytes);
		if (!more)
			return -ENOMEM;
		sub->buffer = more;
		sub->room = message->bytes;
	}
}

static void print_json(struct group_sub *sub,
                       const struct stoa_group_message *message)
{
	char from[STOA_DATAGRAM_TEXT_MAX];
	struct tool_out *out = &sub->out;

	stoa_datagram_print(&message->from, from);
	tool_out_text(out, "{\"topic\":");
	tool_out_json(out, sub->name, strlen(sub->name));
	tool_out_text(out, ",\"from\":");
	tool_out_json(out, from, strlen(from));
	tool_out_format(out,
	                ",\"publisher\":\"%016" PRIx64 "\",\"sequence\":%" PRIu64
	                ",\"lost\":%" PRIu64 ",\"bytes\":%zu,",
	                message->publisher, message->sequence, message->lost,
	                message->bytes);
	if (tool_is_utf8(sub->buffer, message->bytes)) {
		tool_out_text(out, "\"text\":");
		tool_out_json(out, sub->buffer, message->bytes);
	} else {
		tool_out_text(out, "\"base64\":");
		tool_out_base64(out, sub->buffer, message->bytes);
	}
	tool_out_text(out, "}\n");
}

/* 0 or -errno. */
static int put_one(struct group_sub *sub,
                   const struct stoa_group_message *message)
{
	if (sub->topic)
		return stoa_topic_publish(sub->topic, sub->buffer,
		                          message->bytes, STOA_FOREVER);
	if (sub->style->form == TOOL_JSON)
		print_json(sub, message);
	else
		tool_print_message(&sub->out, sub->style,
		                   &(struct stoa_message){
		                           .data = sub->buffer,
		                           .bytes = message->bytes });
	return sub->out.error;
}

static void tell_lost(struct group_sub *sub)
{
	uint64_t lost = stoa_group_lost(sub->group) - sub->told;

	if (lost)
		tool_error("%" PRIu64 " messages of topic '%s' were lost by "
		           "the network",
		           lost, sub->name);
	sub->told += lost;
}

static int receive_all(struct group_sub *sub, uint64_t count)
{
	int result = 0;

	while (result == 0 && (!count || sub->done < count)) {
		struct stoa_group_message message;

		result = next(sub, STOA_NOW, &message);
		/* What has come goes out before more is waited for. */
		if (result == -EAGAIN) {
			result = tool_out_flush(&sub->out);
			if (result == 0)
				result = next(sub, tool_deadline(sub->common),
				              &message);
		}
		tell_lost(sub);
		if (result == 0)
			result = put_one(sub, &message);
		if (result == 0)
			sub->done++;
	}
	return result;
}

static int leave(struct group_sub *sub, int result)
{
	int flushed = tool_out_flush(&sub->out);

	if (result == 0)
		result = flushed;
	if (result == -EINTR && tool_stop_asked())
		return TOOL_DONE; /* dies of the signal */
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return sub->done ? TOOL_DONE : sub->common->no_exit;
	if (result == -EPIPE)
		return TOOL_FAILED; /* who read it is gone, and knows */
	return result < 0 ? tool_failure(result, sub->name) : TOOL_DONE;
}

static int open_bridge(struct group_sub *sub, const char *name)
{
	int result = tool_open_space(sub->common, 0, &sub->space);

	if (result)
		return result;
	result = tool_topic_open(sub->space, name, STOA_WRITE, &sub->topic);
	if (result < 0) {
		result = tool_failure(result, name);
		stoa_space_close(sub->space);
	}
	return result;
}

int tool_topic_group_sub(const struct tool_common *common,
                         const struct tool_group *group, const char *name,
                         struct tool_style *style, uint64_t count)
{
	struct group_sub *sub = calloc(1, sizeof *sub);
	char *buffer = malloc(ROOM_FIRST);
	int result = 0;

	if (!sub || !buffer) {
		free(sub);
		free(buffer);
		return tool_error("no memory for messages");
	}
	sub->buffer = buffer;
	sub->room = ROOM_FIRST;
	sub->common = common;
	sub->style = style;
	sub->name = name;
	tool_style_settle(style, STDOUT_FILENO);
	tool_out_init(&sub->out, STDOUT_FILENO);
	if (group->bridge)
		result = open_bridge(sub, name);
	if (!result) {
		result = open_group(group, name,
		                    STOA_READ | STOA_INTERRUPTIBLE,
		                    &sub->group);
		if (result < 0) {
			result = tool_failure(result, group->address);
		} else {
			tool_stop_install();
			result = leave(sub, receive_all(sub, count));
		}
		stoa_group_close(sub->group);
		stoa_topic_close(sub->topic);
		stoa_space_close(sub->space);
	}
	free(sub->buffer);
	free(sub);
	tool_stop_die();
	return result;
}
