/* SPDX-License-Identifier: MIT */
/* people.c: for stoa stat: who has a lock, and who waits for it. */
#include <stdio.h>

#include "tool.h"

enum column { PID, TID, DOES, STATE, SINCE };

static const struct tool_column columns[] = {
	[PID] = { "PID", TOOL_NUMBER, "process, as it saw itself" },
	[TID] = { "TID", TOOL_NUMBER, "thread, as it saw itself" },
	[DOES] = { "DOES", TOOL_TEXT, "what it has, or waits for" },
	[STATE] = { "STATE", TOOL_TEXT, "alive or dead" },
	[SINCE] = { "SINCE", TOOL_TIME, "since when" },
};
#define COLUMNS "PID,TID,DOES,STATE,SINCE"

/* The options for columns are about the table of users. */
struct tool_table_options
tool_inside_options(const struct tool_table_options *given)
{
	struct tool_table_options options = *given;

	options.output = NULL;
	options.all = false;
	return options;
}

void tool_inside_print(struct tool_table *table, const char *member,
                       struct tool_out *out)
{
	if (!table->options->json) {
		tool_table_print_down(table, out);
		return;
	}
	tool_out_text(out, ",\"");
	tool_out_text(out, member);
	tool_out_text(out, "\":{");
	tool_table_print_members(table, out);
	tool_out_text(out, "}");
}

void tool_people_start(struct tool_people *people, const char *member,
                       const struct tool_table_options *options,
                       struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");

	*people = (struct tool_people){
		.table = { .name = member,
		           .columns = columns,
		           .count = sizeof columns / sizeof *columns,
		           .options = options },
		.out = out,
	};
	people->started = tool_table_init(&people->table, &common, COLUMNS) ==
	                  TOOL_GO_ON;
	if (!options->json)
		return;
	tool_out_text(out, ",\"");
	tool_out_text(out, member);
	tool_out_text(out, "\":[");
}

void tool_people_add(struct tool_people *people, const char *does, pid_t pid,
                     pid_t tid, bool alive, int64_t since_ns)
{
	struct tool_table *table = &people->table;

	if (!people->started)
		return;
	tool_table_line(table);
	if (pid)
		tool_table_number(table, PID, (uint64_t)pid);
	if (tid)
		tool_table_number(table, TID, (uint64_t)tid);
	tool_table_text(table, DOES, does);
	tool_table_text(table, STATE, alive ? "alive" : "dead");
	if (!alive)
		tool_table_alert(table, STATE);
	tool_table_time(table, SINCE, since_ns);
	/* In JSON each is written at once, from a table of one line. */
	if (table->options->json) {
		tool_out_text(people->out, people->printed ? ",{" : "{");
		tool_table_print_members(table, people->out);
		tool_out_text(people->out, "}");
	}
	people->printed++;
}

void tool_people_end(struct tool_people *people)
{
	if (people->table.options->json) {
		tool_out_text(people->out, "]");
	} else if (people->started && people->printed) {
		tool_out_text(people->out, "\n");
		tool_out_flush(people->out);
		tool_table_print(&people->table);
		fflush(stdout);
	}
	if (people->started)
		tool_table_fini(&people->table);
}
