/* SPDX-License-Identifier: MIT */
/* condition.c: for stoa stat: a condition's numbers, and who waits on it. */
#include <stdio.h>

#include "tool.h"

enum column { WAITING, TOLD, WAITERSMAX, SIGNALS, BROADCASTS };

static const struct tool_column columns[] = {
	[WAITING] = { "WAITING", TOOL_NUMBER, "threads that wait" },
	[TOLD] = { "TOLD", TOOL_NUMBER, "told, and locking the mutex again" },
	[WAITERSMAX] = { "WAITERSMAX", TOOL_NUMBER, "that can wait at once" },
	[SIGNALS] = { "SIGNALS", TOOL_NUMBER, "ever, of one and of all" },
	[BROADCASTS] = { "BROADCASTS", TOOL_NUMBER, "of these, of all" },
};
#define COLUMNS "WAITING,TOLD,WAITERSMAX,SIGNALS,BROADCASTS"

static int add_waiter(const struct stoa_condition_waiter *waiter, void *context)
{
	tool_people_add(context, waiter->told ? "told" : "waits", waiter->pid,
	                waiter->tid, true, waiter->since_ns);
	return 0;
}

static void print_status(const struct stoa_condition_status *status,
                         const struct tool_table_options *options,
                         struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table table = { .name = "conditions",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };

	if (tool_table_init(&table, &common, COLUMNS) != TOOL_GO_ON)
		return;
	tool_table_line(&table);
	tool_table_number(&table, WAITING, status->waiters);
	tool_table_number(&table, TOLD, status->told);
	tool_table_number(&table, WAITERSMAX, status->waiters_max);
	tool_table_number(&table, SIGNALS, status->count);
	tool_table_number(&table, BROADCASTS, status->broadcasts);
	tool_inside_print(&table, "condition", out);
	tool_table_fini(&table);
}

int tool_condition_inside(struct stoa_space *space, const char *name,
                          const struct tool_table_options *given,
                          struct tool_out *out)
{
	struct tool_table_options options = tool_inside_options(given);
	struct stoa_condition_status status = { .size = sizeof status };
	struct stoa_condition *condition;
	struct tool_people people;
	int result = stoa_condition_open(space, name, 0, 0, NULL, &condition);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_condition_stat(condition, &status);
	if (result == 0) {
		print_status(&status, &options, out);
		tool_people_start(&people, "waiters", &options, out);
		result = stoa_condition_each_waiter(condition, add_waiter,
		                                    &people);
		tool_people_end(&people);
	}
	stoa_condition_close(condition);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}
