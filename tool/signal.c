/* SPDX-License-Identifier: MIT */
/* signal.c: stoa signal: picks its verb; send and list. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signal_verbs.h"

static const struct tool_verb verbs[] = {
	{ "send", tool_signal_send, "send a signal, with a value" },
	{ "wait", tool_signal_wait, "wait for signals, and print them" },
	{ "list", tool_signal_list, "list the signals there are" },
	{ "watch", tool_signal_watch, "what a process does with signals" },
	{ NULL, NULL, NULL }
};

int tool_signal(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "signal", verbs);
}

/* ---- send ------------------------------------------------------------------ */

static const char send_help[] =
	"Usage: stoa signal send [OPTION]... PID...\n"
	"\n"
	"Sends a signal to processes, each held by a descriptor: not to who\n"
	"takes the number after one has gone. The answer is no if the queue of\n"
	"signals of its user is full.\n"
	"\n"
	" -s, --signal NAME    which: TERM, SIGRTMIN+3, 15, ...; default TERM;\n"
	"                      0 sends nothing: the answer is no if there is\n"
	"                      no such process\n"
	" -v, --value N        with this integer, queued\n"
	" -t, --thread         each PID is a thread's number (Linux 6.9)\n"
	" -g, --group          each PID is a process group's (Linux 6.9)\n"
	TOOL_HELP_COMMON;

static const struct option send_options[] = {
	TOOL_LONG,
	{ "signal", required_argument, NULL, 's' },
	{ "value", required_argument, NULL, 'v' },
	{ "thread", no_argument, NULL, 't' },
	{ "group", no_argument, NULL, 'g' },
	TOOL_LONG_END
};

struct send {
	struct tool_common common;
	enum stoa_signal_scope scope;
	int number;
	bool has_value;
	union sigval value;
};

static int parse_value(struct send *send)
{
	char *end;

	errno = 0;
	int64_t number = strtoll(optarg, &end, 0);
	if (end == optarg || *end || errno)
		return tool_usage(&send->common, "'%s' is not an integer",
		                  optarg);
	send->has_value = true;
	memset(&send->value, 0, sizeof send->value);
	memcpy(&send->value, &number, sizeof number);
	return TOOL_GO_ON;
}

static int parse_signal(struct send *send)
{
	send->number = strcmp(optarg, "0") ? stoa_signal_number(optarg) : 0;
	return send->number < 0 ?
	               tool_usage(&send->common, "%s", stoa_last_error()) :
	               TOOL_GO_ON;
}

static int send_option(struct send *send, int option)
{
	switch (option) {
	case 's': return parse_signal(send);
	case 'v': return parse_value(send);
	case 't': send->scope = STOA_SIGNAL_THREAD; return TOOL_GO_ON;
	case 'g': send->scope = STOA_SIGNAL_GROUP; return TOOL_GO_ON;
	default: return tool_common_option(&send->common, option);
	}
}

static int send_to(const struct send *send, const char *typed)
{
	struct stoa_signal_target *target;
	uint64_t id;

	if (tool_parse_number(typed, INT32_MAX, &id) < 0 || !id)
		return tool_usage(&send->common, "'%s' is not a number of a "
		                                 "process",
		                  typed);
	int result = stoa_signal_target_open((pid_t)id, send->scope, &target);
	if (result >= 0) {
		result = send->has_value ?
		                 stoa_signal_queue(target, send->number,
		                                   send->value) :
		                 stoa_signal_send(target, send->number);
		stoa_signal_target_close(target);
	}
	if (result >= 0)
		return TOOL_DONE;
	if (result == -ESRCH && !send->number)
		return send->common.no_exit;
	tool_failure(result, typed);
	return result == -EAGAIN ? send->common.no_exit : TOOL_FAILED;
}

int tool_signal_send(int argc, char **argv)
{
	struct send send = { .common = TOOL_COMMON("signal send", send_help),
		             .number = SIGTERM };
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "s:v:tg",
	                             send_options, NULL)) != -1) {
		result = send_option(&send, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&send.common, "the number of a process is "
		                                "missing");
	for (; optind < argc; optind++) {
		result = send_to(&send, argv[optind]);
		if (result > worst)
			worst = result;
	}
	return worst;
}

/* ---- list ------------------------------------------------------------------ */

static const char list_help[] =
	"Usage: stoa signal list [OPTION]...\n"
	"\n"
	"Lists the signals: number, name, what each does if nothing else was\n"
	"said, and whether several of one number are queued.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const struct option list_options[] = { TOOL_LONG, TOOL_LONG_TABLE,
	                                      TOOL_LONG_END };

enum { NUMBER, NAME, DEFAULT, QUEUES, MEANING };

static const struct tool_column columns[] = {
	[NUMBER] = { "NUMBER", TOOL_NUMBER, "on this machine" },
	[NAME] = { "NAME", TOOL_TEXT, "name" },
	[DEFAULT] = { "DEFAULT", TOOL_TEXT,
	              "ends, dumps core, stops, continues, ignored" },
	[QUEUES] = { "QUEUES", TOOL_TEXT, "each is kept, in order: yes or no" },
	[MEANING] = { "MEANING", TOOL_TEXT, "when it is sent" },
};
#define LIST_USUAL "NUMBER,NAME,DEFAULT,QUEUES,MEANING"

static const char *default_of(int number)
{
	const stoa_signal_set bit = STOA_SIGNAL(number);

	if (bit & (STOA_SIGNAL(SIGQUIT) | STOA_SIGNAL(SIGILL) |
	           STOA_SIGNAL(SIGTRAP) | STOA_SIGNAL(SIGABRT) |
	           STOA_SIGNAL(SIGBUS) | STOA_SIGNAL(SIGFPE) |
	           STOA_SIGNAL(SIGSEGV) | STOA_SIGNAL(SIGXCPU) |
	           STOA_SIGNAL(SIGXFSZ) | STOA_SIGNAL(SIGSYS)))
		return "dumps core";
	if (bit & (STOA_SIGNAL(SIGCHLD) | STOA_SIGNAL(SIGURG) |
	           STOA_SIGNAL(SIGWINCH)))
		return "ignored";
	if (bit & (STOA_SIGNAL(SIGSTOP) | STOA_SIGNAL(SIGTSTP) |
	           STOA_SIGNAL(SIGTTIN) | STOA_SIGNAL(SIGTTOU)))
		return "stops";
	return number == SIGCONT ? "continues" : "ends";
}

static void list_one(struct tool_table *table, int number)
{
	char name[STOA_SIGNAL_NAME_MAX];
	const char *meaning = sigdescr_np(number);

	stoa_signal_name(number, name);
	tool_table_line(table);
	tool_table_number(table, NUMBER, (uint64_t)number);
	tool_table_text(table, NAME, name);
	tool_table_text(table, DEFAULT, default_of(number));
	tool_table_text(table, QUEUES, number >= SIGRTMIN ? "yes" : "no");
	tool_table_text(table, MEANING,
	                number >= SIGRTMIN ? "the program's own" : meaning);
}

int tool_signal_list(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("signal list", list_help);
	struct tool_table_options table_options = { 0 };
	struct tool_table table = { .name = "signals",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = &table_options };
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_TABLE,
	                             list_options, NULL)) != -1) {
		if (tool_table_option(&table_options, option))
			continue;
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind < argc)
		return tool_usage(&common, "'%s' is too much", argv[optind]);
	result = tool_table_init(&table, &common, LIST_USUAL);
	if (result != TOOL_GO_ON)
		return result;
	for (int number = 1; number <= SIGRTMAX; number++)
		if (number < 32 || number >= SIGRTMIN)
			list_one(&table, number);
	result = tool_table_print(&table);
	tool_table_fini(&table);
	return result;
}
