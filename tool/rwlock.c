/* SPDX-License-Identifier: MIT */
/* rwlock.c: for stoa stat: how an rwlock stands, who has it and who waits. */
#include <stdio.h>

#include "tool.h"

enum column { PREFERS, STATE, READERS, READERSMAX, READWAIT, WRITEWAIT };

static const struct tool_column columns[] = {
	[PREFERS] = { "PREFERS", TOOL_TEXT, "readers or writers" },
	[STATE] = { "STATE", TOOL_TEXT,
	            "free, read, written, inconsistent, orphaned, lost" },
	[READERS] = { "READERS", TOOL_NUMBER, "that have it" },
	[READERSMAX] = { "READERSMAX", TOOL_NUMBER, "that can at once" },
	[READWAIT] = { "READWAIT", TOOL_NUMBER, "readers that wait" },
	[WRITEWAIT] = { "WRITEWAIT", TOOL_NUMBER, "writers that wait" },
};
#define COLUMNS "PREFERS,STATE,READERS,READERSMAX,READWAIT,WRITEWAIT"

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		"free", "read", "written", "inconsistent", "orphaned", "lost"
	};

	return state < sizeof names / sizeof *names ? names[state] : "unknown";
}

static int add_holder(const struct stoa_rwlock_user *user, void *context)
{
	tool_people_add(context, user->mode == STOA_WRITE ? "write" : "read",
	                user->pid, user->tid, user->alive, user->since_ns);
	return 0;
}

static void print_status(const struct stoa_rwlock_status *status,
                         const struct tool_table_options *options,
                         struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table table = { .name = "rwlocks",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };

	if (tool_table_init(&table, &common, COLUMNS) != TOOL_GO_ON)
		return;
	tool_table_line(&table);
	tool_table_text(&table, PREFERS,
	                status->preference == STOA_RWLOCK_READERS ? "readers" :
	                                                            "writers");
	tool_table_text(&table, STATE, state_name(status->state));
	tool_table_number(&table, READERS, status->readers);
	tool_table_number(&table, READERSMAX, status->readers_max);
	tool_table_number(&table, READWAIT, status->readers_waiting);
	tool_table_number(&table, WRITEWAIT, status->writers_waiting);
	tool_inside_print(&table, "rwlock", out);
	tool_table_fini(&table);
}

static int print_people(struct stoa_rwlock *rwlock,
                        const struct tool_table_options *options,
                        struct tool_out *out)
{
	struct tool_people people;
	int result;

	tool_people_start(&people, "holders", options, out);
	result = stoa_rwlock_each_holder(rwlock, add_holder, &people);
	tool_people_end(&people);
	if (result < 0)
		return result;
	tool_people_start(&people, "waiters", options, out);
	result = stoa_rwlock_each_waiter(rwlock, add_holder, &people);
	tool_people_end(&people);
	return result;
}

int tool_rwlock_inside(struct stoa_space *space, const char *name,
                       const struct tool_table_options *given,
                       struct tool_out *out)
{
	struct tool_table_options options = tool_inside_options(given);
	struct stoa_rwlock_status status = { .size = sizeof status };
	struct stoa_rwlock *rwlock;
	int result = stoa_rwlock_open(space, name, 0, 0, NULL, &rwlock);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_rwlock_stat(rwlock, &status);
	if (result == 0) {
		print_status(&status, &options, out);
		result = print_people(rwlock, &options, out);
	}
	stoa_rwlock_close(rwlock);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}
