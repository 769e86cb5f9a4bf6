/* SPDX-License-Identifier: MIT */
/* signal_watch.c: stoa signal watch. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "signal_verbs.h"

#define MS_PER_NS 1000000
#define SECOND_NS INT64_C(1000000000)
#define SET_TEXT_MAX 1024
#define HOME_AND_CLEAR "\033[H\033[J"

static const char help[] =
	"Usage: stoa signal watch [OPTION]... PID\n"
	"\n"
	"Shows for each thread of a process which signals it blocks and which\n"
	"wait for it, and for the process those that wait, are ignored and are\n"
	"caught, from the kernel's own tables. On a terminal again and again,\n"
	"until the process ends.\n"
	"\n"
	" -i, --interval SEC   between two looks; default 1\n"
	" -1, --once           one look; so if the output is no terminal\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_TABLE,
	{ "interval", required_argument, NULL, 'i' },
	{ "once", no_argument, NULL, '1' },
	TOOL_LONG_END
};

enum {
	PID,
	TID,
	COMMAND,
	STATE,
	USER,
	BLOCKED,
	PENDING,
	SHARED,
	IGNORED,
	CAUGHT,
	QUEUED,
	LIMIT
};

static const struct tool_column columns[] = {
	[PID] = { "PID", TOOL_NUMBER, "process" },
	[TID] = { "TID", TOOL_NUMBER, "thread" },
	[COMMAND] = { "COMMAND", TOOL_TEXT, "name of the thread" },
	[STATE] = { "STATE", TOOL_TEXT, "R runs, S sleeps, T stopped, ..." },
	[USER] = { "USER", TOOL_TEXT, "real user" },
	[BLOCKED] = { "BLOCKED", TOOL_TEXT, "blocked by the thread" },
	[PENDING] = { "PENDING", TOOL_TEXT, "waiting for the thread" },
	[SHARED] = { "SHARED", TOOL_TEXT, "waiting for the process" },
	[IGNORED] = { "IGNORED", TOOL_TEXT, "ignored by the process" },
	[CAUGHT] = { "CAUGHT", TOOL_TEXT, "handled by the process" },
	[QUEUED] = { "QUEUED", TOOL_NUMBER, "queued for its user" },
	[LIMIT] = { "LIMIT", TOOL_NUMBER, "of those (RLIMIT_SIGPENDING)" },
};
#define USUAL "TID,COMMAND,BLOCKED,PENDING,SHARED,IGNORED,CAUGHT"

struct watch {
	struct tool_common common;
	struct tool_table_options table_options;
	struct tool_table table;
	pid_t pid;
	int64_t interval_ns;
	bool once;
};

/* Names without SIG, with commas; most of them as "all but ...". */
static const char *set_text(stoa_signal_set set, char text[SET_TEXT_MAX])
{
	bool most = __builtin_popcountll(set) > STOA_SIGNAL_MAX / 2;
	size_t length = 0;

	text[0] = '\0';
	if (most)
		set = STOA_SIGNAL_ALL & ~set;
	if (most)
		length = (size_t)snprintf(text, SET_TEXT_MAX, "%s",
		                          set ? "all but " : "all");
	for (int number = 1; number <= STOA_SIGNAL_MAX; number++) {
		char name[STOA_SIGNAL_NAME_MAX];

		if (!(set & STOA_SIGNAL(number)))
			continue;
		stoa_signal_name(number, name);
		length += (size_t)snprintf(text + length, SET_TEXT_MAX - length,
		                           "%s,", name + strlen("SIG"));
	}
	if (length && text[length - 1] == ',')
		text[length - 1] = '\0';
	return text;
}

static int add_thread(const struct stoa_signal_state *state, void *context)
{
	struct tool_table *table = context;
	char text[SET_TEXT_MAX], letter[] = { state->state, '\0' };
	char user[TOOL_TEXT_MAX];

	tool_table_line(table);
	tool_table_number(table, PID, (uint64_t)state->pid);
	tool_table_number(table, TID, (uint64_t)state->tid);
	tool_table_text(table, COMMAND, state->command);
	tool_table_text(table, STATE, letter);
	tool_table_text(table, USER, tool_user_name(state->uid, user));
	tool_table_text(table, BLOCKED, set_text(state->blocked, text));
	tool_table_text(table, PENDING, set_text(state->pending, text));
	tool_table_text(table, SHARED, set_text(state->shared_pending, text));
	tool_table_text(table, IGNORED, set_text(state->ignored, text));
	tool_table_text(table, CAUGHT, set_text(state->caught, text));
	tool_table_number(table, QUEUED, state->queued);
	tool_table_number(table, LIMIT, state->queue_limit);
	return 0;
}

/* An exit code, or TOOL_GO_ON. */
static int show(struct watch *watch)
{
	int result = tool_table_init(&watch->table, &watch->common, USUAL);

	if (result != TOOL_GO_ON)
		return result;
	result = stoa_signal_each_thread(watch->pid, add_thread,
	                                 &watch->table);
	if (result >= 0 && !watch->once)
		printf(HOME_AND_CLEAR);
	if (result >= 0)
		result = tool_table_print(&watch->table) ? -EIO : 0;
	tool_table_fini(&watch->table);
	if (result == -ESRCH && !watch->once)
		return TOOL_DONE; /* it ended before our eyes */
	if (result < 0)
		return tool_failure(result, "reading /proc");
	fflush(stdout);
	return TOOL_GO_ON;
}

/* Looks until the process has ended, which its descriptor tells at once. */
static int look_on(struct watch *watch)
{
	struct stoa_signal_target *target = NULL;
	int result = stoa_signal_target_open(watch->pid, STOA_SIGNAL_PROCESS,
	                                     &target);

	if (result < 0)
		return tool_failure(result, "opening the process");
	struct pollfd ended = { stoa_signal_target_pollfd(target), POLLIN, 0 };
	do
		result = show(watch);
	while (result == TOOL_GO_ON && !watch->once &&
	       poll(&ended, 1, (int)(watch->interval_ns / MS_PER_NS)) == 0);
	stoa_signal_target_close(target);
	return result == TOOL_GO_ON ? TOOL_DONE : result;
}

static int watch_option(struct watch *watch, int option)
{
	if (tool_table_option(&watch->table_options, option))
		return TOOL_GO_ON;
	switch (option) {
	case 'i':
		if (tool_parse_seconds(optarg, &watch->interval_ns) < 0 ||
		    watch->interval_ns < MS_PER_NS ||
		    watch->interval_ns / SECOND_NS > INT32_MAX / 1000)
			return tool_usage(&watch->common,
			                  "'%s' is not a number of seconds "
			                  "between two looks",
			                  optarg);
		return TOOL_GO_ON;
	case '1': watch->once = true; return TOOL_GO_ON;
	default: return tool_common_option(&watch->common, option);
	}
}

int tool_signal_watch(int argc, char **argv)
{
	struct watch watch = { .common = TOOL_COMMON("signal watch", help),
		               .interval_ns = SECOND_NS,
		               .once = !isatty(STDOUT_FILENO) };
	uint64_t pid;
	int option, result;

	watch.table = (struct tool_table){
		.name = "threads",
		.columns = columns,
		.count = sizeof columns / sizeof *columns,
		.options = &watch.table_options,
	};
	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_TABLE "i:1", options,
	                             NULL)) != -1) {
		result = watch_option(&watch, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (watch.table_options.list)
		return tool_table_init(&watch.table, &watch.common, USUAL);
	if (argc - optind != 1)
		return tool_usage(&watch.common, "the number of one process is "
		                                 "needed");
	if (tool_parse_number(argv[optind], INT32_MAX, &pid) < 0 || !pid)
		return tool_usage(&watch.common,
		                  "'%s' is not a number of a process",
		                  argv[optind]);
	watch.pid = (pid_t)pid;
	return look_on(&watch);
}
