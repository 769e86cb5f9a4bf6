/* SPDX-License-Identifier: MIT */
/* holders.c: for stoa stat: who holds a lock, and who waits for whom. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

enum { PID, THREAD, MODE, START, END, OWNER };
enum { W_PID, W_TID, W_MODE, W_START, W_END, W_SINCE, W_BLOCKERS };

static const struct tool_column holder_columns[] = {
	[PID] = { "PID", TOOL_NUMBER, "process, as it saw itself" },
	[THREAD] = { "THREAD", TOOL_NUMBER, "number within the process" },
	[MODE] = { "MODE", TOOL_TEXT, "shared or exclusive" },
	[START] = { "START", TOOL_NUMBER, "first number of the range" },
	[END] = { "END", TOOL_NUMBER, "last number; none: up to the end" },
	[OWNER] = { "OWNER", TOOL_TEXT, "handle or process" },
};
#define HOLDERS "PID,THREAD,MODE,START,END,OWNER"

static const struct tool_column waiting_columns[] = {
	[W_PID] = { "PID", TOOL_NUMBER, "process, as it saw itself" },
	[W_TID] = { "TID", TOOL_NUMBER, "thread, as it saw itself" },
	[W_MODE] = { "MODE", TOOL_TEXT, "shared or exclusive" },
	[W_START] = { "START", TOOL_NUMBER, "first number of the range" },
	[W_END] = { "END", TOOL_NUMBER, "last number; none: up to the end" },
	[W_SINCE] = { "SINCE", TOOL_TIME, "since when it waits" },
	[W_BLOCKERS] = { "BLOCKERS", TOOL_TEXT, "processes in its way" },
};
#define WAITING_RANGE "PID,TID,MODE,START,END,SINCE,BLOCKERS"
#define WAITING "PID,TID,SINCE,BLOCKERS"
#define BLOCKERS_MAX 96

struct part {
	struct tool_table table;
	struct tool_out *out;
	bool json;
	size_t printed;
};

static const char *mode_name(uint32_t mode)
{
	return mode & STOA_RANGE_EXCLUSIVE ? "exclusive" : "shared";
}

/* In JSON each line is written at once, from a table of one line. */
static void begin_line(struct part *part)
{
	if (part->json)
		tool_out_text(part->out, part->printed ? ",{" : "{");
	part->printed++;
	tool_table_line(&part->table);
}

static void end_line(struct part *part)
{
	if (!part->json)
		return;
	tool_table_print_members(&part->table, part->out);
	tool_out_text(part->out, "}");
}

static int add_holder(const struct stoa_range_holder *holder, void *context)
{
	struct part *part = context;
	struct tool_table *table = &part->table;
	const struct stoa_range *range = &holder->range;

	if (holder->waiting)
		return 0;
	begin_line(part);
	tool_table_number(table, PID, (uint64_t)holder->pid);
	tool_table_number(table, THREAD, holder->thread);
	tool_table_text(table, MODE, mode_name(range->mode));
	tool_table_number(table, START, range->start);
	if (range->length)
		tool_table_number(table, END, range->start + range->length - 1);
	tool_table_text(table, OWNER,
	                range->mode & STOA_RANGE_PROCESS ? "process" :
	                                                   "handle");
	end_line(part);
	return 0;
}

static void list_blockers(const struct stoa_waiting *waiting,
                          char text[BLOCKERS_MAX])
{
	size_t length = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < waiting->blockers; i++)
		length += (size_t)snprintf(text + length, BLOCKERS_MAX - length,
		                           "%s%d", i ? "," : "",
		                           (int)waiting->blocker_pid[i]);
}

static int add_waiting(const struct stoa_waiting *waiting, void *context)
{
	struct part *part = context;
	struct tool_table *table = &part->table;
	char blockers[BLOCKERS_MAX];

	begin_line(part);
	tool_table_number(table, W_PID, (uint64_t)waiting->pid);
	tool_table_number(table, W_TID, (uint64_t)waiting->tid);
	if (waiting->is_range) {
		tool_table_text(table, W_MODE, mode_name(waiting->mode));
		tool_table_number(table, W_START, waiting->start);
		if (waiting->last != UINT64_MAX)
			tool_table_number(table, W_END, waiting->last);
	}
	tool_table_time(table, W_SINCE, waiting->since_ns);
	list_blockers(waiting, blockers);
	tool_table_text(table, W_BLOCKERS, blockers);
	end_line(part);
	return 0;
}

static int begin_part(struct part *part, const char *name, const char *columns)
{
	if (tool_table_init(&part->table, &(struct tool_common){ .verb = "stat" },
	                    columns) != TOOL_GO_ON)
		return TOOL_FAILED;
	if (part->json) {
		tool_out_text(part->out, ",\"");
		tool_out_text(part->out, name);
		tool_out_text(part->out, "\":[");
	}
	return TOOL_DONE;
}

static void end_part(struct part *part)
{
	if (part->json) {
		tool_out_text(part->out, "]");
	} else if (part->printed) {
		tool_out_text(part->out, "\n");
		tool_out_flush(part->out);
		tool_table_print(&part->table);
		fflush(stdout);
	}
	tool_table_fini(&part->table);
}

/* The options for columns are about the table of users. */
static struct tool_table_options options_of(const struct tool_table_options *all)
{
	struct tool_table_options options = *all;

	options.output = NULL;
	options.all = false;
	return options;
}

int tool_stat_holders(struct stoa_space *space,
                      const struct stoa_object_info *info,
                      const struct tool_table_options *given,
                      struct tool_out *out)
{
	struct tool_table_options options = options_of(given);
	struct part part = {
		.table = { .name = "holders",
		           .columns = holder_columns,
		           .count = sizeof holder_columns /
		                    sizeof *holder_columns,
		           .options = &options },
		.out = out,
		.json = options.json,
	};
	struct stoa_range_lock *lock;
	int result = stoa_range_lock_open(space, info->name, 0, 0, NULL, &lock);

	if (result < 0)
		return tool_failure(result, info->name);
	if (begin_part(&part, "holders", HOLDERS) != TOOL_DONE) {
		stoa_range_lock_close(lock);
		return TOOL_FAILED;
	}
	result = stoa_range_lock_each(lock, add_holder, &part);
	end_part(&part);
	stoa_range_lock_close(lock);
	return result < 0 ? tool_failure(result, info->name) : TOOL_DONE;
}

int tool_stat_waiting(struct stoa_space *space,
                      const struct stoa_object_info *info,
                      const struct tool_table_options *given,
                      struct tool_out *out)
{
	struct tool_table_options options = options_of(given);
	struct part part = {
		.table = { .name = "waiting",
		           .columns = waiting_columns,
		           .count = sizeof waiting_columns /
		                    sizeof *waiting_columns,
		           .options = &options },
		.out = out,
		.json = options.json,
	};
	bool range = !strcmp(info->kind, "range_lock");
	int result;

	if (!info->generation)
		return TOOL_DONE;
	if (begin_part(&part, "waiting", range ? WAITING_RANGE : WAITING) !=
	    TOOL_DONE)
		return TOOL_FAILED;
	result = stoa_space_each_waiting(space, info->generation, add_waiting,
	                                 &part);
	end_part(&part);
	return result < 0 ? tool_failure(result, info->name) : TOOL_DONE;
}
