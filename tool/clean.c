/* SPDX-License-Identifier: MIT */
/* clean.c: stoa clean: gives back what dead processes held. */
#include <stdio.h>
#include <string.h>

#include "tool.h"

enum column { ACTION, NAME, PID, RESULT };

static const struct tool_column columns[] = {
	[ACTION] = { "ACTION", TOOL_TEXT, "bury the dead, or remove a file" },
	[NAME] = { "NAME", TOOL_TEXT, "file in the space" },
	[PID] = { "PID", TOOL_NUMBER, "the dead process" },
	[RESULT] = { "RESULT", TOOL_TEXT, "done, to do, or why not" },
};

static const char help[] =
	"Usage: stoa clean [OPTION]...\n"
	"\n"
	"Buries the dead: what they had taken comes back, what they had half\n"
	"made vanishes, who waited for them wakes, their leftover files go.\n"
	"Objects and messages stay, but for those of terminals' sessions whose\n"
	"keepers are dead. Prints what was done; nothing if there was nothing to\n"
	"do.\n"
	"\n"
	" -d, --dry-run        only tell what would be done\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option options[] = { TOOL_LONG,
	                                 TOOL_LONG_TABLE,
	                                 { "dry-run", no_argument, NULL, 'd' },
	                                 TOOL_LONG_END };

struct clean {
	struct tool_table table;
	bool dry_run, failed;
};

static void add_action(const struct stoa_cleaning *cleaning, void *context)
{
	struct clean *clean = context;
	struct tool_table *table = &clean->table;

	tool_table_line(table);
	tool_table_text(table, ACTION, cleaning->action);
	tool_table_text(table, NAME, cleaning->name);
	if (cleaning->pid)
		tool_table_number(table, PID, (uint64_t)cleaning->pid);
	if (cleaning->result < 0) {
		clean->failed = true;
		tool_table_text(table, RESULT, strerror(-cleaning->result));
		tool_table_alert(table, RESULT);
	} else {
		tool_table_text(table, RESULT,
		                clean->dry_run ? "to do" : "done");
	}
}

static void add_session(const char *name, int result, void *context)
{
	char file[STOA_NAME_MAX + 16];
	const struct stoa_cleaning cleaning = { .name = file,
		                                .action = "remove",
		                                .result = result };

	snprintf(file, sizeof file, "%s.terminal", name);
	add_action(&cleaning, context);
}

static int clean_space(struct clean *clean, struct stoa_space *space)
{
	int code, result = stoa_space_clean(space, clean->dry_run, add_action,
	                                    clean);

	if (result >= 0)
		result = stoa_terminal_clean(space, clean->dry_run, add_session,
		                             clean);
	code = tool_table_print(&clean->table);
	if (result < 0)
		code = tool_failure(result, "cleaning the space");
	return clean->failed ? TOOL_FAILED : code;
}

int tool_clean(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("clean", help);
	struct tool_table_options table_options = { 0 };
	struct clean clean = { .table = { .name = "actions",
		                          .columns = columns,
		                          .count = sizeof columns /
		                                   sizeof *columns,
		                          .options = &table_options } };
	struct stoa_space *space;
	int option, result;

	while ((option =
	                getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_TABLE "d",
	                            options, NULL)) != -1) {
		if (tool_table_option(&table_options, option))
			continue;
		if (option == 'd') {
			clean.dry_run = true;
			continue;
		}
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind < argc)
		return tool_usage(&common, "'%s' is one argument too many",
		                  argv[optind]);
	result = tool_table_init(&clean.table, &common,
	                         "ACTION,NAME,PID,RESULT");
	if (result != TOOL_GO_ON)
		return result;
	result = tool_open_space(&common, 0, &space);
	if (!result) {
		result = clean_space(&clean, space);
		stoa_space_close(space);
	}
	tool_table_fini(&clean.table);
	return result;
}
