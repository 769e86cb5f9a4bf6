/* SPDX-License-Identifier: MIT */
/* topic_numbers.c: stoa topic stat: the numbers of topics. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "topic.h"

enum column {
	NAME,
	SLOW,
	PUBLISHED,
	KEPT,
	CAPACITY,
	MAXMESSAGE,
	INLINE,
	TOTALBYTES,
	RESERVED,
	LAG,
	SLOWEST,
	LOST,
	MSGSIN,
	BYTESIN,
	MSGSOUT,
	BYTESOUT,
	PUBS,
	SUBS,
	PUBSWAIT,
	SUBSWAIT,
	CREATED,
	CREATOR,
	GENERATION
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the topic" },
	[SLOW] = { "SLOW", TOOL_TEXT,
	           "what slow subscribers do: wait (publishers wait for "
	           "them), lose" },
	[PUBLISHED] = { "PUBLISHED", TOOL_NUMBER, "messages ever" },
	[KEPT] = { "KEPT", TOOL_NUMBER, "messages that can be read" },
	[CAPACITY] = { "CAPACITY", TOOL_NUMBER, "messages kept at least" },
	[MAXMESSAGE] = { "MAXMESSAGE", TOOL_SIZE, "bytes of the largest" },
	[INLINE] = { "INLINE", TOOL_SIZE, "bytes of the largest in the ring" },
	[TOTALBYTES] = { "TOTALBYTES", TOOL_SIZE, "room for larger ones" },
	[RESERVED] = { "RESERVED", TOOL_NUMBER,
	               "cells and slots not committed yet" },
	[LAG] = { "LAG", TOOL_NUMBER,
	          "messages that the slowest subscriber is behind" },
	[SLOWEST] = { "SLOWEST", TOOL_NUMBER, "its process" },
	[LOST] = { "LOST", TOOL_NUMBER, "by the subscribers that are there" },
	[MSGSIN] = { "MSGSIN", TOOL_NUMBER, "messages ever published" },
	[BYTESIN] = { "BYTESIN", TOOL_SIZE, "bytes ever published" },
	[MSGSOUT] = { "MSGSOUT", TOOL_NUMBER, "messages ever received" },
	[BYTESOUT] = { "BYTESOUT", TOOL_SIZE, "bytes ever received" },
	[PUBS] = { "PUBS", TOOL_NUMBER, "publishers" },
	[SUBS] = { "SUBS", TOOL_NUMBER, "subscribers" },
	[PUBSWAIT] = { "PUBSWAIT", TOOL_NUMBER, "publishers that wait" },
	[SUBSWAIT] = { "SUBSWAIT", TOOL_NUMBER, "subscribers that wait" },
	[CREATED] = { "CREATED", TOOL_TIME, "when the topic was made" },
	[CREATOR] = { "CREATOR", TOOL_NUMBER, "process that made it" },
	[GENERATION] = { "GENERATION", TOOL_TEXT,
	                 "differs for each object ever made" },
};

#define USUAL "NAME,SLOW,PUBLISHED,KEPT,CAPACITY,PUBS,SUBS,LAG,SLOWEST,LOST"
#define FULL                                                              \
	"SLOW,PUBLISHED,KEPT,CAPACITY,MAXMESSAGE,INLINE,TOTALBYTES,"      \
	"RESERVED,PUBS,SUBS,PUBSWAIT,SUBSWAIT,LAG,SLOWEST,LOST,MSGSIN,"   \
	"BYTESIN,MSGSOUT,BYTESOUT"

static const char help[] =
	"Usage: stoa topic stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the topics named (shell patterns are fine), or\n"
	"of all topics, one a line.\n"
	"\n" TOOL_HELP_TABLE TOOL_HELP_COMMON;

static void start_table(struct tool_table *table,
                        const struct tool_table_options *table_options)
{
	*table = (struct tool_table){ .name = "topics",
		                      .columns = columns,
		                      .count = sizeof columns / sizeof *columns,
		                      .options = table_options };
}

static void fill_people(struct tool_table *table,
                        const struct stoa_topic_stat *stat)
{
	char text[TOOL_TEXT_MAX];

	/* This command's own handle publishes nothing. */
	tool_table_number(table, PUBS, stat->publishers - 1);
	tool_table_number(table, SUBS, stat->subscribers);
	tool_table_number(table, PUBSWAIT, stat->publishers_waiting);
	tool_table_number(table, SUBSWAIT, stat->subscribers_waiting);
	tool_table_number(table, LAG, stat->lag);
	if (stat->slowest_pid)
		tool_table_number(table, SLOWEST, (uint64_t)stat->slowest_pid);
	tool_table_number(table, LOST, stat->lost);
	tool_table_time(table, CREATED, stat->created_ns);
	tool_table_number(table, CREATOR, (uint64_t)stat->creator_pid);
	snprintf(text, sizeof text, "%" PRIu64, stat->generation);
	tool_table_text(table, GENERATION, text);
}

static void fill(struct tool_table *table, const struct stoa_topic_stat *stat)
{
	tool_table_text(table, SLOW, stat->overrun ? "lose" : "wait");
	tool_table_number(table, PUBLISHED, stat->published);
	tool_table_number(table, KEPT,
	                  stat->published > stat->oldest ?
	                          stat->published - stat->oldest :
	                          0);
	tool_table_number(table, CAPACITY, stat->capacity);
	tool_table_size(table, MAXMESSAGE, stat->max_message_bytes);
	tool_table_size(table, INLINE, stat->inline_bytes);
	tool_table_size(table, TOTALBYTES, stat->total_bytes);
	tool_table_number(table, RESERVED, stat->reserved);
	tool_table_number(table, MSGSIN, stat->messages_in);
	tool_table_size(table, BYTESIN, stat->bytes_in);
	tool_table_number(table, MSGSOUT, stat->messages_out);
	tool_table_size(table, BYTESOUT, stat->bytes_out);
	fill_people(table, stat);
}

/* As a publisher: a subscriber would be waited for. */
static int read_numbers(struct stoa_space *space, const char *name,
                        struct stoa_topic_stat *ret_stat)
{
	struct stoa_topic *topic;
	int result = tool_topic_open(space, name, STOA_WRITE, &topic);

	if (result < 0)
		return result;
	ret_stat->size = sizeof *ret_stat;
	result = stoa_topic_stat(topic, ret_stat);
	stoa_topic_close(topic);
	return result;
}

/* What stoa stat shows of it. */
int tool_topic_inside(struct stoa_space *space, const char *name,
                      const struct tool_table_options *given,
                      struct tool_out *out)
{
	struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options part = *given;
	struct stoa_topic_stat stat;
	struct tool_table table;
	int result = read_numbers(space, name, &stat);

	if (result < 0)
		return tool_failure(result, name);
	part.output = NULL;
	part.all = false;
	start_table(&table, &part);
	if (tool_table_init(&table, &common, FULL) != TOOL_GO_ON)
		return TOOL_FAILED;
	tool_table_line(&table);
	fill(&table, &stat);
	if (part.json) {
		tool_out_text(out, ",\"topic\":{");
		tool_table_print_members(&table, out);
		tool_out_text(out, "}");
	} else {
		tool_table_print_down(&table, out);
	}
	tool_table_fini(&table);
	return TOOL_DONE;
}

static int add_topic(struct tool_table *table, struct stoa_space *space,
                     const struct stoa_object_info *object)
{
	struct stoa_topic_stat stat;
	int result = read_numbers(space, object->name, &stat);

	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, object->name);
	fill(table, &stat);
	return 0;
}

int tool_topic_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { TOPIC_KIND, TOPIC_KIND,
		                                    USUAL, add_topic };
	struct tool_table table;

	start_table(&table, NULL);
	return tool_run_stat(argc, argv, &stat, table, "topic stat", help);
}
