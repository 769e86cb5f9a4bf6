/* SPDX-License-Identifier: MIT */
/* stat.c: stoa stat: an object, its numbers, and who uses it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

enum column {
	PID,
	OWNER,
	MODE,
	STATE,
	WAITS,
	SINCE,
	OPENED,
	MSGSIN,
	BYTESIN,
	MSGSOUT,
	BYTESOUT,
	UID
};

static const struct tool_column columns[] = {
	[PID] = { "PID", TOOL_NUMBER, "process, as it saw itself" },
	[OWNER] = { "OWNER", TOOL_TEXT, "user of the process" },
	[MODE] = { "MODE", TOOL_TEXT, "opened to r receive, w send" },
	[STATE] = { "STATE", TOOL_TEXT, "alive or dead" },
	[WAITS] = { "WAITS", TOOL_TEXT, "what it waits for: receive, send" },
	[SINCE] = { "SINCE", TOOL_TIME, "since when" },
	[OPENED] = { "OPENED", TOOL_TIME, "when it opened the object" },
	[MSGSIN] = { "MSGSIN", TOOL_NUMBER, "messages it sent" },
	[BYTESIN] = { "BYTESIN", TOOL_SIZE, "bytes it sent" },
	[MSGSOUT] = { "MSGSOUT", TOOL_NUMBER, "messages it received" },
	[BYTESOUT] = { "BYTESOUT", TOOL_SIZE, "bytes it received" },
	[UID] = { "UID", TOOL_NUMBER, "user id of the process" },
};

#define USERS_USUAL "PID,OWNER,MODE,STATE,WAITS,SINCE,OPENED,MSGSIN,MSGSOUT"
#define USERS_FULL USERS_USUAL ",BYTESIN,BYTESOUT,UID"
#define FULL_NAME_MAX (STOA_NAME_MAX + 32)

static const char help[] =
	"Usage: stoa stat [OPTION]... NAME...\n"
	"\n"
	"Shows each object named: itself, its numbers, and who has it open,\n"
	"who waits for what, and since when. NAME may carry the kind:\n"
	"orders.queue. The options for columns concern the table of users.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option options[] = { TOOL_LONG, TOOL_LONG_TABLE,
	                                 TOOL_LONG_END };

struct stat {
	struct tool_common common;
	struct tool_table_options options;
	struct stoa_space *space;
	struct tool_table users;
	struct tool_out out;
	size_t printed;
};

static int add_user(const struct stoa_user *user, void *context)
{
	struct tool_table *table = context;
	char text[TOOL_TEXT_MAX];

	tool_table_line(table);
	tool_table_number(table, PID, (uint64_t)user->pid);
	tool_table_number(table, UID, user->uid);
	tool_table_text(table, OWNER, tool_user_name(user->uid, text));
	text[0] = user->flags & STOA_READ ? 'r' : '-';
	text[1] = user->flags & STOA_WRITE ? 'w' : '-';
	text[2] = '\0';
	tool_table_text(table, MODE, text);
	tool_table_text(table, STATE, user->alive ? "alive" : "dead");
	if (!user->alive)
		tool_table_alert(table, STATE);
	if (user->waiting) {
		tool_table_text(table, WAITS,
		                user->waiting & STOA_READ ? "receive" : "send");
		tool_table_time(table, SINCE, user->waiting_since_ns);
	}
	tool_table_time(table, OPENED, user->opened_ns);
	tool_table_number(table, MSGSIN, user->messages_in);
	tool_table_number(table, MSGSOUT, user->messages_out);
	tool_table_size(table, BYTESIN, user->bytes_in);
	tool_table_size(table, BYTESOUT, user->bytes_out);
	return 0;
}

/* In JSON each user is written at once, from a table of one line. */
static int write_user(const struct stoa_user *user, void *context)
{
	struct stat *stat = context;

	tool_out_text(&stat->out, stat->printed++ ? ",{" : "{");
	add_user(user, &stat->users);
	tool_table_print_members(&stat->users, &stat->out);
	tool_out_text(&stat->out, "}");
	return 0;
}

static void print_part(struct stat *stat, struct tool_table *table)
{
	if (stat->options.json)
		tool_table_print_members(table, &stat->out);
	else
		tool_table_print_down(table, &stat->out);
}

static void print_object(struct stat *stat, const struct stoa_object_info *info)
{
	struct tool_table_options part = stat->options;
	struct tool_table table;

	part.output = NULL;
	part.all = false;
	tool_object_table(&table, &part);
	if (tool_table_init(&table, &stat->common, TOOL_OBJECT_FULL) !=
	    TOOL_GO_ON)
		return;
	tool_object_fill(&table, info);
	print_part(stat, &table);
	tool_table_fini(&table);
}

static void print_numbers(struct stat *stat,
                          const struct stoa_queue_stat *numbers)
{
	struct tool_table_options part = stat->options;
	struct tool_table table;

	part.output = NULL;
	part.all = false;
	tool_numbers_table(&table, &part);
	if (tool_table_init(&table, &stat->common, TOOL_NUMBERS_FULL) !=
	    TOOL_GO_ON)
		return;
	tool_table_line(&table);
	tool_numbers_fill(&table, numbers);
	if (stat->options.json)
		tool_out_text(&stat->out, ",\"queue\":{");
	print_part(stat, &table);
	if (stat->options.json)
		tool_out_text(&stat->out, "}");
	tool_table_fini(&table);
}

static int start_users(struct stat *stat)
{
	stat->users =
		(struct tool_table){ .name = "users",
		                     .columns = columns,
		                     .count = sizeof columns / sizeof *columns,
		                     .options = &stat->options };
	return tool_table_init(&stat->users, &stat->common,
	                       stat->options.json ? USERS_FULL : USERS_USUAL);
}

static int print_users(struct stat *stat, const char *name)
{
	int result = start_users(stat);

	if (result != TOOL_GO_ON)
		return result;
	stat->printed = 0;
	if (stat->options.json) {
		tool_out_text(&stat->out, ",\"users\":[");
		result = stoa_space_each_user(stat->space, name, write_user,
		                              stat);
		tool_out_text(&stat->out, "]");
	} else {
		result = stoa_space_each_user(stat->space, name, add_user,
		                              &stat->users);
		if (result > 0)
			tool_out_text(&stat->out, "\n");
		tool_out_flush(&stat->out);
		tool_table_print(&stat->users);
		fflush(stdout);
	}
	tool_table_fini(&stat->users);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

/* These tell themselves who holds them and who waits. */
static const struct inside {
	const char *kind;
	int (*print)(struct stoa_space *space, const char *name,
	             const struct tool_table_options *options,
	             struct tool_out *out);
} insides[] = {
	{ "rwlock", tool_rwlock_inside },
	{ "barrier", tool_barrier_inside },
	{ "heap", tool_heap_inside },
	{ "mutex", tool_mutex_inside },
	{ "pool", tool_pool_inside },
	{ "port", tool_port_inside },
	{ "condition", tool_condition_inside },
	{ "semaphore", tool_sem_inside },
	{ "semaphore_set", tool_semset_inside },
	{ "segment", tool_segment_inside },
	{ "stream", tool_stream_inside },
	{ "topic", tool_topic_inside },
};

static const struct inside *inside_of(const struct stoa_object_info *info)
{
	for (size_t i = 0; i < sizeof insides / sizeof *insides; i++)
		if (!strcmp(info->kind, insides[i].kind))
			return &insides[i];
	return NULL;
}

static int tells_inside(const struct stoa_object_info *info)
{
	return inside_of(info) != NULL;
}

static int print_inside(struct stat *stat, const struct stoa_object_info *info)
{
	const struct inside *inside = inside_of(info);

	return inside ? inside->print(stat->space, info->name, &stat->options,
	                              &stat->out) :
	                TOOL_DONE;
}

/* Who has it open; of locks who holds it, and who waits. Waits of other kinds
 * are the users'. */
static int print_people(struct stat *stat, const struct stoa_object_info *info,
                        const char *name)
{
	int code = print_users(stat, name);

	if (code != TOOL_DONE || !strcmp(info->kind, "queue") ||
	    tells_inside(info))
		return code;
	if (!strcmp(info->kind, "range_lock"))
		code = tool_stat_holders(stat->space, info, &stat->options,
		                         &stat->out);
	return code ? code :
	              tool_stat_waiting(stat->space, info, &stat->options,
	                                &stat->out);
}

/* Its users are asked for, and counted, before this opens the queue itself. */
static int show_object(struct stat *stat, const struct stoa_object_info *info)
{
	char name[FULL_NAME_MAX];
	struct stoa_queue_stat numbers;
	int result, code = info->health ? TOOL_FAILED : TOOL_DONE;

	snprintf(name, sizeof name, "%s.%s", info->name, info->kind);
	print_object(stat, info);
	if (!code && !strcmp(info->kind, "queue")) {
		result = tool_queue_numbers(stat->space, info->name, &numbers);
		if (!result)
			print_numbers(stat, &numbers);
		else
			code = tool_failure(result, name);
	}
	if (!code)
		code = print_inside(stat, info);
	if (!info->health)
		result = print_people(stat, info, name);
	else
		result = tool_error("'%s' is %s", name,
		                    tool_health(info->health));
	return result > code ? result : code;
}

static int show_all(struct stat *stat, char **names)
{
	const char *between = "";
	struct stoa_object_info info;
	int worst = TOOL_DONE, result;

	tool_out_init(&stat->out, STDOUT_FILENO);
	if (stat->options.json)
		tool_out_text(&stat->out, "{\"objects\":[");
	for (; *names; names++) {
		result = stoa_space_find(stat->space, *names, &info);
		if (result < 0) {
			worst = tool_failure(result, *names);
			continue;
		}
		tool_out_text(&stat->out, between);
		tool_out_text(&stat->out, stat->options.json ? "{" : "");
		result = show_object(stat, &info);
		worst = result > worst ? result : worst;
		tool_out_text(&stat->out, stat->options.json ? "}" : "");
		between = stat->options.json ? "," : "\n";
	}
	if (stat->options.json)
		tool_out_text(&stat->out, "]}\n");
	if (tool_out_flush(&stat->out) < 0)
		worst = tool_error("writing the output: %s",
		                   strerror(-stat->out.error));
	return worst;
}

int tool_stat(int argc, char **argv)
{
	static struct stat stat = {
		.common = TOOL_COMMON("stat", help),
	};
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_TABLE,
	                             options, NULL)) != -1) {
		if (tool_table_option(&stat.options, option))
			continue;
		result = tool_common_option(&stat.common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = start_users(&stat);
	if (result != TOOL_GO_ON)
		return result;
	tool_table_fini(&stat.users);
	if (optind == argc)
		return tool_usage(&stat.common, "the name of an object is "
		                                "missing");
	result = tool_open_space(&stat.common, 0, &stat.space);
	if (result)
		return result;
	result = show_all(&stat, argv + optind);
	stoa_space_close(stat.space);
	return result;
}
