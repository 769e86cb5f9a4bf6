/* SPDX-License-Identifier: MIT */
/* stream_numbers.c: stoa stream stat: the numbers of streams. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "stream.h"

enum column {
	NAME,
	BYTES,
	CAPACITY,
	MAXCAPACITY,
	BYTESIN,
	BYTESOUT,
	WRITES,
	READS,
	READER,
	WRITER,
	USERS,
	READERS,
	WRITERS,
	READING,
	WRITING,
	LWPID,
	LRPID,
	WRITE,
	READ,
	RESIZES,
	CREATED,
	CREATOR,
	GENERATION
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the stream" },
	[BYTES] = { "BYTES", TOOL_SIZE, "bytes written and not read" },
	[CAPACITY] = { "CAPACITY", TOOL_SIZE, "bytes there is room for" },
	[MAXCAPACITY] = { "MAXCAPACITY", TOOL_SIZE, "bytes there could be" },
	[BYTESIN] = { "BYTESIN", TOOL_SIZE, "bytes ever written" },
	[BYTESOUT] = { "BYTESOUT", TOOL_SIZE, "bytes ever read" },
	[WRITES] = { "WRITES", TOOL_NUMBER, "pieces ever written" },
	[READS] = { "READS", TOOL_NUMBER, "pieces ever read" },
	[READER] = { "READER", TOOL_TEXT, "somebody has the reading end" },
	[WRITER] = { "WRITER", TOOL_TEXT, "somebody has the writing end" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
	[READERS] = { "READERS", TOOL_NUMBER, "readers that wait for bytes" },
	[WRITERS] = { "WRITERS", TOOL_NUMBER, "writers that wait for room" },
	[READING] = { "READING", TOOL_NUMBER,
	              "process that reads now, or has peeked" },
	[WRITING] = { "WRITING", TOOL_NUMBER,
	              "process that writes now, or has reserved" },
	[LWPID] = { "LWPID", TOOL_NUMBER, "process that wrote last" },
	[LRPID] = { "LRPID", TOOL_NUMBER, "process that read last" },
	[WRITE] = { "WRITE", TOOL_TIME, "when it was last written" },
	[READ] = { "READ", TOOL_TIME, "when it was last read" },
	[RESIZES] = { "RESIZES", TOOL_NUMBER, "changes of the capacity" },
	[CREATED] = { "CREATED", TOOL_TIME, "when the stream was made" },
	[CREATOR] = { "CREATOR", TOOL_NUMBER, "process that made it" },
	[GENERATION] = { "GENERATION", TOOL_TEXT,
	                 "differs for each object ever made" },
};

#define USUAL                                                          \
	"NAME,BYTES,CAPACITY,BYTESIN,BYTESOUT,READER,WRITER,READERS," \
	"WRITERS,USERS"

#define FULL                                                             \
	"BYTES,CAPACITY,MAXCAPACITY,BYTESIN,BYTESOUT,WRITES,READS,READER," \
	"WRITER,READERS,WRITERS,READING,WRITING,LWPID,LRPID,WRITE,READ,"  \
	"RESIZES"

static const char help[] =
	"Usage: stoa stream stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the streams named (shell patterns are fine), or\n"
	"of all streams, one a line.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static void start_table(struct tool_table *table,
                       const struct tool_table_options *table_options)
{
	*table = (struct tool_table){ .name = "streams",
		                      .columns = columns,
		                      .count = sizeof columns / sizeof *columns,
		                      .options = table_options };
}

static void fill_pid(struct tool_table *table, unsigned column, pid_t pid)
{
	if (pid)
		tool_table_number(table, column, (uint64_t)pid);
}

static void fill_people(struct tool_table *table,
                        const struct stoa_stream_status *status)
{
	char text[TOOL_TEXT_MAX];

	tool_table_text(table, READER, status->has_reader ? "yes" : "no");
	tool_table_text(table, WRITER, status->has_writer ? "yes" : "no");
	tool_table_number(table, READERS, status->readers_waiting);
	tool_table_number(table, WRITERS, status->writers_waiting);
	fill_pid(table, READING, status->reading_pid);
	fill_pid(table, WRITING, status->writing_pid);
	fill_pid(table, LWPID, status->last_writer_pid);
	fill_pid(table, LRPID, status->last_reader_pid);
	tool_table_time(table, WRITE, status->last_write_ns);
	tool_table_time(table, READ, status->last_read_ns);
	tool_table_number(table, RESIZES, status->resizes);
	tool_table_time(table, CREATED, status->created_ns);
	tool_table_number(table, CREATOR, (uint64_t)status->creator_pid);
	snprintf(text, sizeof text, "%" PRIu64, status->generation);
	tool_table_text(table, GENERATION, text);
}

static void fill(struct tool_table *table,
                      const struct stoa_stream_status *status)
{
	tool_table_size(table, BYTES, status->bytes);
	tool_table_size(table, CAPACITY, status->capacity);
	tool_table_size(table, MAXCAPACITY, status->max_capacity);
	tool_table_size(table, BYTESIN, status->bytes_in);
	tool_table_size(table, BYTESOUT, status->bytes_out);
	tool_table_number(table, WRITES, status->writes);
	tool_table_number(table, READS, status->reads);
	fill_people(table, status);
}

static int read_numbers(struct stoa_space *space, const char *name,
                        struct stoa_stream_status *ret_status)
{
	struct stoa_stream *stream;
	int result = tool_stream_look(space, name, &stream);

	if (result < 0)
		return result;
	ret_status->size = sizeof *ret_status;
	result = stoa_stream_stat(stream, ret_status);
	stoa_stream_close(stream);
	return result;
}

/* What stoa stat shows of it. */
int tool_stream_inside(struct stoa_space *space, const char *name,
                       const struct tool_table_options *given,
                       struct tool_out *out)
{
	struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options part = *given;
	struct stoa_stream_status status;
	struct tool_table table;
	int result = read_numbers(space, name, &status);

	if (result < 0)
		return tool_failure(result, name);
	part.output = NULL;
	part.all = false;
	start_table(&table, &part);
	if (tool_table_init(&table, &common, FULL) != TOOL_GO_ON)
		return TOOL_FAILED;
	tool_table_line(&table);
	fill(&table, &status);
	if (part.json) {
		tool_out_text(out, ",\"stream\":{");
		tool_table_print_members(&table, out);
		tool_out_text(out, "}");
	} else {
		tool_table_print_down(&table, out);
	}
	tool_table_fini(&table);
	return TOOL_DONE;
}

/* Our own handle is no user worth telling of: `users` is from before it. */
static int add_stream(struct tool_table *table, struct stoa_space *space,
                      const struct stoa_object_info *object)
{
	struct stoa_stream_status status;
	int result = read_numbers(space, object->name, &status);

	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, object->name);
	tool_table_number(table, USERS, object->users);
	fill(table, &status);
	return 0;
}

int tool_stream_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { "stream", "stream", USUAL,
		                                    add_stream };
	struct tool_table table;

	start_table(&table, NULL);
	return tool_run_stat(argc, argv, &stat, table, "stream stat", help);
}
