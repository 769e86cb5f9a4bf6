/* SPDX-License-Identifier: MIT */
/* signal_wait.c: stoa signal wait. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "signal_verbs.h"

static const char help[] =
	"Usage: stoa signal wait [OPTION]... SIGNAL...\n"
	"\n"
	"Blocks the signals named (all: every one that can be), waits until one\n"
	"is sent to this process, and prints its name, sender and value. What\n"
	"comes meanwhile waits; SIGKILL and SIGSTOP can't be waited for.\n"
	"\n"
	" -c, --count N        for so many; default 1, 0 is without end\n"
	" -p, --pid            prints this process's number first, once the\n"
	"                      signals are blocked and may be sent\n"
	" -q, --queue NAME     sends them to this queue of the space, as\n"
	"                      messages of 64 bytes; see stoa_signal(3)\n"
	" -J, --json           one JSON object a line\n"
	" -w, --timeout SEC    wait at most SEC seconds for each; 0 does not\n"
	"                      wait; decimals are fine\n"
	TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "count", required_argument, NULL, 'c' },
	{ "pid", no_argument, NULL, 'p' },
	{ "queue", required_argument, NULL, 'q' },
	{ "json", no_argument, NULL, 'J' },
	TOOL_LONG_END
};

struct waiting {
	struct tool_common common;
	uint64_t count;
	bool tell_pid, json;
	const char *queue_name;
	stoa_signal_set set;
	struct stoa_signal *signal;
};

static int64_t integer_of(const struct stoa_signal_info *info)
{
	int64_t integer;

	memcpy(&integer, &info->value, sizeof integer);
	return integer;
}

static const char *const origins[] = {
	[STOA_SIGNAL_BY_KERNEL] = "kernel",
	[STOA_SIGNAL_BY_PROCESS] = "process",
	[STOA_SIGNAL_BY_VALUE] = "value",
};

static void print_one(const struct waiting *waiting,
                      const struct stoa_signal_info *info)
{
	char name[STOA_SIGNAL_NAME_MAX];

	stoa_signal_name(info->number, name);
	if (waiting->json) {
		printf("{\"signal\":\"%s\",\"number\":%d,\"code\":%d,"
		       "\"origin\":\"%s\",\"pid\":%d,\"uid\":%" PRIu32
		       ",\"value\":%" PRId64 ",\"status\":%d}\n",
		       name, info->number, info->code, origins[info->origin],
		       info->pid, info->uid, integer_of(info), info->status);
	} else {
		printf("%s", name);
		if (info->pid)
			printf(" from %d", info->pid);
		if (info->origin == STOA_SIGNAL_BY_VALUE)
			printf(" value %" PRId64, integer_of(info));
		else if (info->number == SIGCHLD && info->code > 0)
			printf(" status %d", info->status);
		putchar('\n');
	}
	fflush(stdout);
}

static int wait_and_print(struct waiting *waiting)
{
	struct stoa_signal_info info;
	ssize_t result = 1;

	for (uint64_t i = 0; !waiting->count || i < waiting->count; i++) {
		result = stoa_signal_read(waiting->signal, &info, 1,
		                          tool_deadline(&waiting->common));
		if (result < 0)
			break;
		print_one(waiting, &info);
		if (ferror(stdout))
			return TOOL_FAILED;
	}
	return (int)result;
}

static int forward(struct waiting *waiting, struct stoa_queue *queue)
{
	int64_t result = 1;

	for (uint64_t i = 0; !waiting->count || i < waiting->count; i++) {
		result = stoa_signal_forward(waiting->signal, queue, 1,
		                             tool_deadline(&waiting->common));
		if (result < 0)
			break;
	}
	return (int)result;
}

static int into_queue(struct waiting *waiting)
{
	struct stoa_queue *queue;
	struct stoa_space *space;
	int result = tool_open_space(&waiting->common, 0, &space);

	if (result)
		return result;
	result = tool_queue_open(space, waiting->queue_name, STOA_WRITE,
	                         &queue);
	if (result >= 0) {
		result = forward(waiting, queue);
		stoa_queue_close(queue);
	}
	stoa_space_close(space);
	return result;
}

static int run(struct waiting *waiting)
{
	int result = stoa_signal_open(waiting->set, 0, &waiting->signal);

	if (result < 0)
		return tool_failure(result, "waiting for signals");
	if (waiting->tell_pid) {
		printf("%d\n", (int)getpid());
		fflush(stdout);
	}
	result = waiting->queue_name ? into_queue(waiting) :
	                               wait_and_print(waiting);
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return waiting->common.no_exit;
	if (result < 0)
		return tool_failure(result, "waiting for signals");
	/* Positive: how many were done in the end, or an exit code over 1. */
	return result == 1 ? TOOL_DONE : result;
}

static int wait_option(struct waiting *waiting, int option)
{
	switch (option) {
	case 'c':
		if (tool_parse_number(optarg, INT64_MAX, &waiting->count) < 0)
			return tool_usage(&waiting->common,
			                  "'%s' is not a number of signals",
			                  optarg);
		return TOOL_GO_ON;
	case 'p': waiting->tell_pid = true; return TOOL_GO_ON;
	case 'J': waiting->json = true; return TOOL_GO_ON;
	case 'q': waiting->queue_name = optarg; return TOOL_GO_ON;
	default: return tool_common_option(&waiting->common, option);
	}
}

/* TOOL_GO_ON, or an exit code. */
static int add_signal(struct waiting *waiting, const char *typed)
{
	int number;

	if (!strcmp(typed, "all")) {
		waiting->set = STOA_SIGNAL_ALL;
		return TOOL_GO_ON;
	}
	number = stoa_signal_number(typed);
	if (number < 0)
		return tool_usage(&waiting->common, "%s", stoa_last_error());
	waiting->set |= STOA_SIGNAL(number);
	return TOOL_GO_ON;
}

int tool_signal_wait(int argc, char **argv)
{
	struct waiting waiting = { .common = TOOL_COMMON("signal wait", help),
		                   .count = 1 };
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "c:pq:J",
	                             options, NULL)) != -1) {
		result = wait_option(&waiting, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&waiting.common, "the name of a signal is "
		                                   "missing");
	for (; optind < argc; optind++) {
		result = add_signal(&waiting, argv[optind]);
		if (result != TOOL_GO_ON)
			return result;
	}
	return run(&waiting);
}
