/* SPDX-License-Identifier: MIT */
/* terminal.c: stoa terminal: picks its verb; ls, size and rm. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"

#define SIDE_MOST 9999

static const struct tool_verb verbs[] = {
	{ "start", tool_terminal_start, "run a command as a session" },
	{ "attach", tool_terminal_attach, "watch a session, and type" },
	{ "ls", tool_terminal_ls, "list the sessions" },
	{ "record", tool_terminal_record, "run a command, and record it" },
	{ "replay", tool_terminal_replay, "show a recording" },
	{ "size", tool_terminal_size, "show or change a terminal's size" },
	{ "rm", tool_terminal_rm, "end sessions, or clear them away" },
	{ NULL, NULL, NULL }
};

int tool_terminal(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "terminal", verbs);
}

/* ---- What several verbs use -------------------------------------------------- */

bool tool_parse_window(const char *text, struct stoa_terminal_size *ret_size)
{
	char *rest;
	unsigned long rows = 0, columns = 0;

	if (text[0] >= '0' && text[0] <= '9')
		rows = strtoul(text, &rest, 10);
	else
		return false;
	if (*rest != 'x' || rest[1] < '0' || rest[1] > '9')
		return false;
	columns = strtoul(rest + 1, &rest, 10);
	if (*rest || rows < 1 || rows > SIDE_MOST || columns < 1 ||
	    columns > SIDE_MOST)
		return false;
	*ret_size = (struct stoa_terminal_size){ (uint16_t)rows,
		                                 (uint16_t)columns, 0, 0 };
	return true;
}

bool tool_parse_key(const char *text, int *ret_key)
{
	if (!strcmp(text, "none"))
		*ret_key = -1;
	else if (text[0] && !text[1])
		*ret_key = (unsigned char)text[0];
	else if (text[0] == '^' && text[1] == '?' && !text[2])
		*ret_key = 0x7f;
	else if (text[0] == '^' && text[1] >= '@' && text[1] <= '~' && !text[2])
		*ret_key = text[1] & 0x1f;
	else
		return false;
	return true;
}

int tool_terminal_code(const struct stoa_terminal_status *status)
{
	if (status->unknown)
		return TOOL_FAILED;
	return status->number ? TOOL_SIGNAL_EXIT + status->number :
	                        status->code & 0xff;
}

char **tool_terminal_command(char **rest, char *room[2])
{
	const char *shell = getenv("SHELL");

	if (rest[0])
		return rest;
	room[0] = (char *)(shell && shell[0] ? shell : "/bin/sh");
	room[1] = NULL;
	return room;
}

/* ---- ls ------------------------------------------------------------------------ */

enum column {
	NAME,
	SIZE,
	CLIENTS,
	PID,
	KEEPER,
	STARTED,
	HEALTH,
	TITLE,
	COMMAND
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the session" },
	[SIZE] = { "SIZE", TOOL_TEXT, "rows and columns of its terminal" },
	[CLIENTS] = { "CLIENTS", TOOL_NUMBER, "attached to it" },
	[PID] = { "PID", TOOL_NUMBER, "process of the command" },
	[KEEPER] = { "KEEPER", TOOL_NUMBER, "process that keeps it" },
	[STARTED] = { "STARTED", TOOL_TIME, "when it was started" },
	[HEALTH] = { "HEALTH", TOOL_TEXT,
	             "ok; dead: its keeper is, see rm; or why nothing can be "
	             "said of it" },
	[TITLE] = { "TITLE", TOOL_TEXT, "that the command has set" },
	[COMMAND] = { "COMMAND", TOOL_TEXT, "as it was started" },
};

static const char ls_help[] =
	"Usage: stoa terminal ls [OPTION]...\n"
	"\n"
	"Lists the sessions of the space. The answer is no if there are none.\n"
	"\n" TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option ls_options[] = { TOOL_LONG, TOOL_LONG_TABLE,
	                                    TOOL_LONG_END };

static const char *health_text(int health)
{
	return health == -ECONNRESET ? "dead" :
	       health < 0            ? strerror(-health) :
	                               "ok";
}

static int add_session(const struct stoa_terminal_info *info, void *context)
{
	struct tool_table *table = context;
	char size[TOOL_TEXT_MAX];

	tool_table_line(table);
	tool_table_text(table, NAME, info->name);
	tool_table_text(table, HEALTH, health_text(info->health));
	if (info->health < 0)
		tool_table_alert(table, HEALTH);
	if (info->started_ns == 0)
		return 0;
	snprintf(size, sizeof size, "%ux%u", info->window.rows,
	         info->window.columns);
	tool_table_text(table, SIZE, size);
	tool_table_number(table, CLIENTS, info->clients);
	tool_table_number(table, PID, (uint64_t)info->pid);
	tool_table_number(table, KEEPER, (uint64_t)info->keeper_pid);
	tool_table_time(table, STARTED, info->started_ns);
	tool_table_text(table, TITLE, info->title);
	tool_table_text(table, COMMAND, info->command);
	return 0;
}

static int list(const struct tool_common *common, struct tool_table *table)
{
	struct stoa_space *space;
	int result = tool_open_space(common, 0, &space), count;

	if (result)
		return result;
	count = stoa_terminal_each(space, add_session, table);
	stoa_space_close(space);
	if (count < 0)
		return tool_failure(count, "listing the sessions");
	result = tool_table_print(table);
	return result || count > 0 ? result : common->no_exit;
}

int tool_terminal_ls(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("terminal ls", ls_help);
	struct tool_table_options table_options = { 0 };
	struct tool_table table = { .name = "sessions",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = &table_options };
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_TABLE,
	                             ls_options, NULL)) != -1) {
		if (tool_table_option(&table_options, option))
			continue;
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind < argc)
		return tool_usage(&common, "'%s' is one argument too many",
		                  argv[optind]);
	result = tool_table_init(
		&table, &common,
		"NAME,SIZE,CLIENTS,PID,KEEPER,STARTED,HEALTH,TITLE,COMMAND");
	if (result == TOOL_GO_ON)
		result = list(&common, &table);
	tool_table_fini(&table);
	return result;
}

/* ---- size ------------------------------------------------------------------------ */

static const char size_help[] =
	"Usage: stoa terminal size [OPTION]... [NAME [ROWSxCOLS]]\n"
	"\n"
	"Prints the rows and columns of this terminal, or of session NAME, or\n"
	"changes the session's.\n"
	"\n" TOOL_HELP_COMMON;

static const struct option size_options[] = { TOOL_LONG, TOOL_LONG_END };

static int print_size(const struct stoa_terminal_size *size)
{
	printf("%u %u\n", size->rows, size->columns);
	return tool_close_stdout(TOOL_DONE);
}

static int own_size(void)
{
	struct stoa_terminal_size size;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (stoa_terminal_get_size(fd, &size) == 0)
			return print_size(&size);
	return tool_error("none of standard input, output and error is a "
	                  "terminal");
}

static int change_size(struct stoa_space *space, const char *name,
                       const struct stoa_terminal_size *size)
{
	struct stoa_terminal_client *client;
	int result = stoa_terminal_attach(space, name, STOA_READ | STOA_WRITE,
	                                  &client);

	if (result == 0) {
		result = stoa_terminal_ask(client, STOA_TERMINAL_RESIZE, size,
		                           STOA_FOREVER);
		stoa_terminal_detach(client);
	}
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

static int session_size(struct stoa_space *space, const char *name)
{
	struct stoa_terminal_info info;
	int result = stoa_terminal_find(space, name, &info);

	if (result == 0)
		result = info.health;
	if (result == -ECONNRESET)
		return tool_error("the keeper of session '%s' is dead", name);
	return result < 0 ? tool_failure(result, name) :
	                    print_size(&info.window);
}

int tool_terminal_size(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("terminal size", size_help);
	struct stoa_terminal_size size;
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT, size_options,
	                             NULL)) != -1) {
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return own_size();
	if (argc - optind > 2)
		return tool_usage(&common, "'%s' is one argument too many",
		                  argv[optind + 2]);
	if (argc - optind == 2 && !tool_parse_window(argv[optind + 1], &size))
		return tool_usage(&common, "'%s' is not a size such as 24x80",
		                  argv[optind + 1]);
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	result = argc - optind == 2 ? change_size(space, argv[optind], &size) :
	                              session_size(space, argv[optind]);
	stoa_space_close(space);
	return result;
}

/* ---- rm ---------------------------------------------------------------------------- */

static const char rm_help[] =
	"Usage: stoa terminal rm [OPTION]... NAME...\n"
	"\n"
	"Takes away what a keeper that was killed left of sessions. One that\n"
	"runs is refused, or ended.\n"
	"\n"
	" -k, --end            hang up (SIGHUP) the command of one that runs,\n"
	"                      and wait for its end\n"
	" -w, --timeout SEC    wait at most SEC seconds for each\n"
	" -f, --force          say nothing of what isn't there\n"
	TOOL_HELP_COMMON;

static const struct option rm_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "end", no_argument, NULL, 'k' },
	{ "force", no_argument, NULL, 'f' },
	TOOL_LONG_END
};

struct rm {
	struct tool_common common;
	bool end, force;
};

/* -ETIMEDOUT, -EAGAIN: it doesn't end. */
static int end_session(const struct rm *rm, struct stoa_space *space,
                       const char *name)
{
	struct stoa_deadline deadline = tool_deadline(&rm->common);
	struct stoa_terminal_client *client;
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];
	int result = stoa_terminal_attach(space, name, STOA_READ | STOA_WRITE,
	                                  &client);

	if (result < 0)
		return result;
	result = stoa_terminal_ask(client, STOA_TERMINAL_HANG_UP, NULL,
	                           deadline);
	while (result == 0)
		result = stoa_terminal_next(client, buffer, sizeof buffer,
		                            deadline, &event);
	stoa_terminal_detach(client);
	return result == -EPIPE ? 0 : result;
}

static int rm_one(void *context, struct stoa_space *space, const char *name)
{
	const struct rm *rm = context;
	int result = stoa_terminal_remove(space, name);

	if (result == -EBUSY && rm->end) {
		result = end_session(rm, space, name);
		if (result == -ECONNRESET)
			result = stoa_terminal_remove(space, name);
		if (result == -ENOENT)
			result = 0;
	}
	if (result == -ENOENT && rm->force)
		return TOOL_DONE;
	if (result == -EBUSY) {
		tool_failure(result, name);
		return rm->common.no_exit;
	}
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return rm->common.no_exit;
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

int tool_terminal_rm(int argc, char **argv)
{
	struct rm rm = { .common = TOOL_COMMON("terminal rm", rm_help) };
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_WAIT "kf",
	                             rm_options, NULL)) != -1) {
		if (option == 'k' || option == 'f') {
			rm.end |= option == 'k';
			rm.force |= option == 'f';
			continue;
		}
		result = tool_common_option(&rm.common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	return tool_each_name(&rm.common, 0, argv + optind,
	                      "the name of the session", rm_one, &rm);
}
