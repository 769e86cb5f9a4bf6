/* SPDX-License-Identifier: MIT */
/* numbers.c: the columns for the numbers of a queue. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "noun.h"

enum column {
	NAME,
	ORDER,
	MSGS,
	CAPACITY,
	USEDBYTES,
	TOTALBYTES,
	MAXMESSAGE,
	TAKEN,
	RESERVED,
	HIGHWATER,
	MSGSIN,
	BYTESIN,
	MSGSOUT,
	BYTESOUT,
	RETURNED,
	SENDERS,
	RECEIVERS,
	USERS,
	LSPID,
	LRPID,
	SEND,
	RECV,
	CREATED,
	CREATOR,
	GENERATION
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the queue" },
	[ORDER] = { "ORDER", TOOL_TEXT, "fifo, priority or type" },
	[MSGS] = { "MSGS", TOOL_NUMBER, "messages that a receive could get" },
	[CAPACITY] = { "CAPACITY", TOOL_NUMBER, "messages there is room for" },
	[USEDBYTES] = { "USEDBYTES", TOOL_SIZE, "bytes in these messages" },
	[TOTALBYTES] = { "TOTALBYTES", TOOL_SIZE, "room for larger messages" },
	[MAXMESSAGE] = { "MAXMESSAGE", TOOL_SIZE, "largest size of a message" },
	[TAKEN] = { "TAKEN", TOOL_NUMBER, "messages taken, not acknowledged" },
	[RESERVED] = { "RESERVED", TOOL_NUMBER,
	               "messages reserved, not committed" },
	[HIGHWATER] = { "HIGHWATER", TOOL_NUMBER,
	                "most messages seen waiting" },
	[MSGSIN] = { "MSGSIN", TOOL_NUMBER, "messages ever sent" },
	[BYTESIN] = { "BYTESIN", TOOL_SIZE, "bytes ever sent" },
	[MSGSOUT] = { "MSGSOUT", TOOL_NUMBER, "messages ever received" },
	[BYTESOUT] = { "BYTESOUT", TOOL_SIZE, "bytes ever received" },
	[RETURNED] = { "RETURNED", TOOL_NUMBER,
	               "messages that came back, by death or by return" },
	[SENDERS] = { "SENDERS", TOOL_NUMBER, "senders that wait for room" },
	[RECEIVERS] = { "RECEIVERS", TOOL_NUMBER,
	                "receivers that wait for a message" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
	[LSPID] = { "LSPID", TOOL_NUMBER, "process that sent last" },
	[LRPID] = { "LRPID", TOOL_NUMBER, "process that received last" },
	[SEND] = { "SEND", TOOL_TIME, "when a message was last sent" },
	[RECV] = { "RECV", TOOL_TIME, "when a message was last received" },
	[CREATED] = { "CREATED", TOOL_TIME, "when the queue was made" },
	[CREATOR] = { "CREATOR", TOOL_NUMBER, "process that made it" },
	[GENERATION] = { "GENERATION", TOOL_TEXT,
	                 "differs for each object ever made" },
};

#define NUMBERS_USUAL                                                       \
	"NAME,ORDER,MSGS,CAPACITY,USEDBYTES,TAKEN,MSGSIN,MSGSOUT,RETURNED," \
	"SENDERS,RECEIVERS,USERS"

static const char help[] =
	"Usage: stoa queue stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the queues named (shell patterns are fine), or\n"
	"of all queues, one a line.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

void tool_numbers_table(struct tool_table *table,
                        const struct tool_table_options *table_options)
{
	*table = (struct tool_table){ .name = "queues",
		                      .columns = columns,
		                      .count = sizeof columns / sizeof *columns,
		                      .options = table_options };
}

static void fill_times(struct tool_table *table,
                       const struct stoa_queue_stat *numbers)
{
	char text[TOOL_TEXT_MAX];

	if (numbers->last_sender_pid)
		tool_table_number(table, LSPID,
		                  (uint64_t)numbers->last_sender_pid);
	if (numbers->last_receiver_pid)
		tool_table_number(table, LRPID,
		                  (uint64_t)numbers->last_receiver_pid);
	tool_table_time(table, SEND, numbers->last_send_ns);
	tool_table_time(table, RECV, numbers->last_receive_ns);
	tool_table_time(table, CREATED, numbers->created_ns);
	tool_table_number(table, CREATOR, (uint64_t)numbers->creator_pid);
	snprintf(text, sizeof text, "%" PRIu64, numbers->generation);
	tool_table_text(table, GENERATION, text);
}

void tool_numbers_fill(struct tool_table *table,
                       const struct stoa_queue_stat *numbers)
{
	tool_table_text(table, ORDER, tool_order(numbers->order));
	tool_table_number(table, MSGS, numbers->messages);
	tool_table_number(table, CAPACITY, numbers->capacity);
	tool_table_size(table, USEDBYTES, numbers->bytes);
	tool_table_size(table, TOTALBYTES, numbers->total_bytes);
	tool_table_size(table, MAXMESSAGE, numbers->max_message_bytes);
	tool_table_number(table, TAKEN, numbers->taken);
	tool_table_number(table, RESERVED, numbers->reserved);
	tool_table_number(table, HIGHWATER, numbers->high_water);
	tool_table_number(table, MSGSIN, numbers->messages_in);
	tool_table_size(table, BYTESIN, numbers->bytes_in);
	tool_table_number(table, MSGSOUT, numbers->messages_out);
	tool_table_size(table, BYTESOUT, numbers->bytes_out);
	tool_table_number(table, RETURNED, numbers->returned);
	tool_table_number(table, SENDERS, numbers->senders_waiting);
	tool_table_number(table, RECEIVERS, numbers->receivers_waiting);
	fill_times(table, numbers);
}

/* Our own handle is no user worth telling of: `users` is from before it. */
static int add_queue(struct tool_table *table, struct stoa_space *space,
                     const struct stoa_object_info *object)
{
	struct stoa_queue_stat numbers;
	int result = tool_queue_numbers(space, object->name, &numbers);

	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, object->name);
	tool_table_number(table, USERS, object->users);
	tool_numbers_fill(table, &numbers);
	return 0;
}

int tool_queue_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { "queue", "queue", NUMBERS_USUAL,
		                                    add_queue };
	struct tool_table table;

	tool_numbers_table(&table, NULL);
	return tool_run_stat(argc, argv, &stat, table, "queue stat", help);
}
