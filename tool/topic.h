/* SPDX-License-Identifier: MIT */
/* topic.h: what the verbs of topics share. */
#ifndef STOA_TOOL_TOPIC_H
#define STOA_TOOL_TOPIC_H

#include "noun.h"

#define TOPIC_KIND "topic"

/* What is said of a group. */
struct tool_group {
	const char *address; /* NULL: none */
	struct stoa_group_attributes attributes;
	bool bridge;
};

/* Options without letters: of both verbs. */
enum {
	TOPIC_GROUP = TOOL_OPTION_FIRST + 64,
	TOPIC_INTERFACE,
	TOPIC_TTL,
	TOPIC_NO_LOOP,
	TOPIC_LARGEST,
	TOPIC_BRIDGE,
	TOPIC_LAST
};

#define TOPIC_LONG_GROUP                                           \
	{ "group", required_argument, NULL, TOPIC_GROUP },         \
	{ "interface", required_argument, NULL, TOPIC_INTERFACE }, \
	{ "ttl", required_argument, NULL, TOPIC_TTL },             \
	{ "no-loop", no_argument, NULL, TOPIC_NO_LOOP },           \
	{ "largest", required_argument, NULL, TOPIC_LARGEST },     \
	{ "bridge", no_argument, NULL, TOPIC_BRIDGE }

/* TOOL_GO_ON, or an exit code. */
int tool_group_option(const struct tool_common *common,
                      struct tool_group *group, int option);

int tool_topic_create(int argc, char **argv);
int tool_topic_pub(int argc, char **argv);
int tool_topic_sub(int argc, char **argv);
int tool_topic_echo(int argc, char **argv);
int tool_topic_hz(int argc, char **argv);
int tool_topic_latest(int argc, char **argv);
int tool_topic_record(int argc, char **argv);
int tool_topic_replay(int argc, char **argv);
/* The same with --group: over the network. */
int tool_topic_group_pub(const struct tool_common *common,
                         const struct tool_group *group, const char *name,
                         enum tool_cut cut, uint64_t size, char **messages);
int tool_topic_group_sub(const struct tool_common *common,
                         const struct tool_group *group, const char *name,
                         struct tool_style *style, uint64_t count);
int tool_topic_stat(int argc, char **argv);
int tool_topic_rm(int argc, char **argv);

/* Opens a topic whose name may carry ".topic". 0 or -errno. */
int tool_topic_open(struct stoa_space *space, const char *name, unsigned flags,
                    struct stoa_topic **ret_topic);

/* Subscriptions to what a pattern, or a name, means. */
struct tool_topics {
	struct stoa_space *space;
	struct stoa_topic_set *set;
	struct stoa_topic *one; /* a plain name: from where it was asked for */
	const char *name;
	char *buffer;
	size_t room;
};

/* `place`: enum stoa_topic_place. 0 or an exit code. */
int tool_topics_open(struct tool_topics *topics,
                     const struct tool_common *common, const char *pattern,
                     int place);
/* The next message, whatever its size, and its topic's name. 0 or -errno. */
int tool_topics_next(struct tool_topics *topics, struct stoa_deadline deadline,
                     struct stoa_topic_message *message, const char **ret_name);
void tool_topics_close(struct tool_topics *topics);

/* What ended a verb that goes on until it's stopped, as an exit code; `done`
 * messages came. Dies of the signal, if it was one. */
int tool_topics_leave(struct tool_topics *topics,
                      const struct tool_common *common, int result,
                      uint64_t done);

#endif
