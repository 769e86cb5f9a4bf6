/* SPDX-License-Identifier: MIT */
/* ls.c: stoa ls, and the columns for objects. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

enum column {
	NAME,
	KIND,
	PERMS,
	OWNER,
	GROUP,
	UID,
	GID,
	SIZE,
	USERS,
	WAITING,
	DEAD,
	CREATED,
	CREATOR,
	GENERATION,
	HEALTH,
	MSGS,
	USEDBYTES
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name, without the kind" },
	[KIND] = { "KIND", TOOL_TEXT, "what it is: queue" },
	[PERMS] = { "PERMS", TOOL_TEXT, "permissions" },
	[OWNER] = { "OWNER", TOOL_TEXT, "owner" },
	[GROUP] = { "GROUP", TOOL_TEXT, "group" },
	[UID] = { "UID", TOOL_NUMBER, "user id of the owner" },
	[GID] = { "GID", TOOL_NUMBER, "group id" },
	[SIZE] = { "SIZE", TOOL_SIZE, "size of the file" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
	[WAITING] = { "WAITING", TOOL_NUMBER, "of these, waiting" },
	[DEAD] = { "DEAD", TOOL_NUMBER, "handles of the dead, not buried yet" },
	[CREATED] = { "CREATED", TOOL_TIME, "when it was made" },
	[CREATOR] = { "CREATOR", TOOL_NUMBER, "process that made it" },
	[GENERATION] = { "GENERATION", TOOL_TEXT,
	                 "differs for each object ever made" },
	[HEALTH] = { "HEALTH", TOOL_TEXT,
	             "ok, foreign, damaged, removed, unreadable, truncated" },
	[MSGS] = { "MSGS", TOOL_NUMBER, "messages that a receive could get" },
	[USEDBYTES] = { "USEDBYTES", TOOL_SIZE, "bytes in these messages" },
};

static const char help[] =
	"Usage: stoa ls [OPTION]... [NAME]...\n"
	"\n"
	"Lists the objects of a space: all, or those named (shell patterns\n"
	"are fine). The answer is no if a NAME means none.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option options[] = { TOOL_LONG, TOOL_LONG_TABLE,
	                                 TOOL_LONG_END };

void tool_object_table(struct tool_table *table,
                       const struct tool_table_options *table_options)
{
	*table = (struct tool_table){ .name = "objects",
		                      .columns = columns,
		                      .count = sizeof columns / sizeof *columns,
		                      .options = table_options };
}

/* What is told by the object itself means nothing if it isn't sound. */
static void fill_content(struct tool_table *table,
                         const struct stoa_object_info *info)
{
	char text[TOOL_TEXT_MAX];

	tool_table_number(table, USERS, info->users);
	tool_table_number(table, WAITING, info->waiting);
	tool_table_number(table, DEAD, info->dead);
	tool_table_time(table, CREATED, info->created_ns);
	if (info->creator_pid)
		tool_table_number(table, CREATOR, (uint64_t)info->creator_pid);
	snprintf(text, sizeof text, "%" PRIu64, info->generation);
	tool_table_text(table, GENERATION, text);
	if (info->dead)
		tool_table_alert(table, DEAD);
}

void tool_object_fill(struct tool_table *table,
                      const struct stoa_object_info *info)
{
	char text[TOOL_TEXT_MAX];

	tool_table_line(table);
	tool_table_text(table, NAME, info->name);
	tool_table_text(table, KIND, info->kind);
	tool_table_text(table, PERMS, tool_permissions(info->mode, text));
	tool_table_text(table, OWNER, tool_user_name(info->uid, text));
	tool_table_text(table, GROUP, tool_group_name(info->gid, text));
	tool_table_number(table, UID, info->uid);
	tool_table_number(table, GID, info->gid);
	tool_table_size(table, SIZE, info->size_bytes);
	tool_table_text(table, HEALTH, tool_health(info->health));
	if (info->health)
		tool_table_alert(table, HEALTH);
	else
		fill_content(table, info);
}

static void fill_queue(struct tool_table *table, struct stoa_space *space,
                       const struct stoa_object_info *info)
{
	struct stoa_queue_stat numbers;

	if (strcmp(info->kind, "queue") ||
	    tool_queue_numbers(space, info->name, &numbers) < 0)
		return;
	tool_table_number(table, MSGS, numbers.messages);
	tool_table_size(table, USEDBYTES, numbers.bytes);
}

static bool is_wanted(const struct stoa_object_info *info, char **names,
                      bool *seen)
{
	bool wanted = !*names;

	for (size_t i = 0; names[i]; i++) {
		if (!tool_object_matches(info, names[i]))
			continue;
		seen[i] = true;
		wanted = true;
	}
	return wanted;
}

static int list_objects(struct tool_table *table, struct stoa_space *space,
                        const struct tool_common *common, char **names,
                        size_t name_count)
{
	bool looks_inside = tool_table_shows(table, MSGS) ||
	                    tool_table_shows(table, USEDBYTES);
	struct tool_objects objects;
	bool seen[name_count + 1];
	int result = tool_objects_read(space, &objects), code;

	if (result < 0)
		return tool_failure(result, "reading the space");
	memset(seen, 0, sizeof seen);
	for (size_t i = 0; i < objects.count; i++) {
		if (!is_wanted(&objects.list[i], names, seen))
			continue;
		tool_object_fill(table, &objects.list[i]);
		if (looks_inside && !objects.list[i].health)
			fill_queue(table, space, &objects.list[i]);
	}
	tool_objects_free(&objects);
	code = tool_table_print(table);
	for (size_t i = 0; i < name_count && !code; i++)
		if (!seen[i])
			code = common->no_exit;
	return code;
}

int tool_ls(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("ls", help);
	struct tool_table_options table_options = { 0 };
	struct tool_table table;
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_TABLE,
	                             options, NULL)) != -1) {
		if (tool_table_option(&table_options, option))
			continue;
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	tool_object_table(&table, &table_options);
	result = tool_table_init(&table, &common, TOOL_OBJECT_USUAL);
	if (result != TOOL_GO_ON)
		return result;
	result = tool_open_space(&common, 0, &space);
	if (!result) {
		result = list_objects(&table, space, &common, argv + optind,
		                      (size_t)(argc - optind));
		stoa_space_close(space);
	}
	tool_table_fini(&table);
	return result;
}
