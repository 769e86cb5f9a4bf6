/* SPDX-License-Identifier: MIT */
/* lock.c: stoa lock: runs a command while a range of a lock is held. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lock.h"
#include "noun.h"

#define SUFFIX ".range_lock"
#define SHELL "/bin/sh"

static const char help[] =
	"Usage: stoa lock [OPTION]... NAME[:START-END] [--] COMMAND [ARG]...\n"
	"       stoa lock [OPTION]... NAME[:START-END] -c COMMAND\n"
	"       stoa lock [OPTION]... --file PATH[:START-END] [--] COMMAND [ARG]...\n"
	"       stoa lock [OPTION]... --fd NUMBER[:START-END] [[--] COMMAND [ARG]...]\n"
	"\n"
	"Locks the range lock NAME (made if there is none), runs the command,\n"
	"and unlocks when it ends. Its status is passed on; a command killed\n"
	"by signal N gives 128 + N. The answer is no if the lock can't be had.\n"
	"\n"
	"START-END locks those numbers only, both included; START- goes up to\n"
	"the end, and START is one number.\n"
	"\n"
	" -s, --shared         others may share it\n"
	" -x, -e, --exclusive  nobody else has it (default)\n"
	" -n, --nonblock       don't wait; the same as -w 0\n"
	" -w, --timeout SEC    wait at most SEC seconds; decimals are fine\n"
	" -c, --command CMD    run CMD by the shell\n"
	"     --file PATH      lock a file (made if there is none) as flock(1)\n"
	"                      does, or with a range its bytes as lockf(3) does\n"
	"     --fd NUMBER      lock an open descriptor; without a command, for\n"
	"                      whoever has it\n"
	"     --inherit        the command has the descriptor, and holds the lock\n"
	"                      of the file, too, with all that it leaves behind\n"
	" -u, --unlock         with --fd: unlock\n"
	" -v, --verbose        of a file: say who is in the way\n"
	TOOL_HELP_COMMON;

enum { OPTION_FILE = TOOL_OPTION_FIRST, OPTION_FD, OPTION_INHERIT };

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "shared", no_argument, NULL, 's' },
	{ "exclusive", no_argument, NULL, 'x' },
	{ "nonblock", no_argument, NULL, 'n' },
	{ "command", required_argument, NULL, 'c' },
	{ "file", required_argument, NULL, OPTION_FILE },
	{ "fd", required_argument, NULL, OPTION_FD },
	{ "inherit", no_argument, NULL, OPTION_INHERIT },
	{ "unlock", no_argument, NULL, 'u' },
	{ "verbose", no_argument, NULL, 'v' },
	TOOL_LONG_END
};

struct lock {
	struct tool_common common;
	struct stoa_range range;
	char name[STOA_NAME_MAX + sizeof SUFFIX];
	char *shell[4];
	char **command;
	char *typed_file; /* --file or --fd; NULL: neither */
	struct tool_file_lock file;
};

/* ---- What was typed --------------------------------------------------------- */

/* "10-19", "10-", "10". */
static int parse_range(char *text, struct stoa_range *range)
{
	char *dash = strchr(text, '-');
	uint64_t last;

	if (dash)
		*dash++ = '\0';
	if (tool_parse_number(text, UINT64_MAX, &range->start) < 0)
		return -EINVAL;
	last = range->start;
	if (dash && *dash == '\0')
		last = UINT64_MAX;
	else if (dash && tool_parse_number(dash, UINT64_MAX, &last) < 0)
		return -EINVAL;
	if (last < range->start)
		return -EINVAL;
	range->length = last == UINT64_MAX ? 0 : last - range->start + 1;
	return 0;
}

static int parse_name(struct lock *lock, const char *typed)
{
	char range[TOOL_TEXT_MAX];
	const char *colon = strchr(typed, ':');
	size_t length = colon ? (size_t)(colon - typed) : strlen(typed);
	size_t suffix = strlen(SUFFIX);

	if (length >= sizeof lock->name)
		return tool_usage(&lock->common, "'%s' is no name", typed);
	memcpy(lock->name, typed, length);
	lock->name[length] = '\0';
	if (length > suffix && !strcmp(lock->name + length - suffix, SUFFIX))
		lock->name[length - suffix] = '\0';
	if (!colon)
		return TOOL_GO_ON;
	if (snprintf(range, sizeof range, "%s", colon + 1) >=
	            (int)sizeof range ||
	    parse_range(range, &lock->range) < 0)
		return tool_usage(&lock->common,
		                  "'%s' is not a range: START-END, START- or "
		                  "START, and END not below START",
		                  colon + 1);
	return TOOL_GO_ON;
}

/* What follows the last colon is a range if it is of digits and a dash, or
 * nothing: then the whole is meant, and the rest may have colons. */
static int parse_file(struct lock *lock)
{
	char *colon = strrchr(lock->typed_file, ':');

	if (colon && colon[strspn(colon + 1, "0123456789-") + 1] == '\0') {
		*colon++ = '\0';
		lock->file.ranged = *colon;
		if (*colon && parse_range(colon, &lock->range) < 0)
			return tool_usage(&lock->common,
			                  "this is no range of bytes: "
			                  "START-END, START- or START, and END "
			                  "not below START");
	}
	if (!lock->file.path) {
		uint64_t fd;

		if (tool_parse_number(lock->typed_file, INT_MAX, &fd) < 0)
			return tool_usage(&lock->common,
			                  "'%s' is no number of a descriptor",
			                  lock->typed_file);
		lock->file.fd = (int)fd;
	}
	if (lock->file.unlock && lock->file.path)
		return tool_usage(&lock->common,
		                  "a file is unlocked when the command ends; "
		                  "--unlock is for --fd");
	lock->file.range = lock->range;
	/* Numbers of bytes end below 2^63. */
	if (lock->range.start + lock->range.length > INT64_MAX)
		lock->file.range.length = 0;
	return TOOL_GO_ON;
}

static int parse_file_option(struct lock *lock, int option)
{
	switch (option) {
	case OPTION_FILE:
	case OPTION_FD:
		if (lock->typed_file)
			return tool_usage(&lock->common,
			                  "one file at a time: --file or --fd");
		lock->typed_file = optarg;
		lock->file.path = option == OPTION_FILE ? optarg : NULL;
		return TOOL_GO_ON;
	case OPTION_INHERIT: lock->file.inherit = true; return TOOL_GO_ON;
	case 'u': lock->file.unlock = true; return TOOL_GO_ON;
	case 'v': lock->file.verbose = true; return TOOL_GO_ON;
	default: return tool_common_option(&lock->common, option);
	}
}

static int parse_option(struct lock *lock, int option)
{
	switch (option) {
	case 's': lock->range.mode = STOA_RANGE_SHARED; return TOOL_GO_ON;
	case 'x':
	case 'e': lock->range.mode = STOA_RANGE_EXCLUSIVE; return TOOL_GO_ON;
	case 'n': lock->common.timeout_ns = 0; return TOOL_GO_ON;
	case 'c': lock->shell[2] = optarg; return TOOL_GO_ON;
	default: return parse_file_option(lock, option);
	}
}

static int parse_subject(struct lock *lock, int argc, char **argv)
{
	if (lock->typed_file)
		return parse_file(lock);
	if (lock->file.inherit || lock->file.unlock || lock->file.verbose)
		return tool_usage(&lock->common,
		                  "--inherit, --unlock and --verbose are for "
		                  "--file and --fd");
	if (optind == argc)
		return tool_usage(&lock->common,
		                  "the name of the lock is missing");
	return parse_name(lock, argv[optind++]);
}

/* flock(1) takes -c after the name, too. */
static int parse_rest(struct lock *lock, int argc, char **argv)
{
	bool alone = lock->typed_file && !lock->file.path;
	int result = parse_subject(lock, argc, argv);

	if (result != TOOL_GO_ON)
		return result;
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	else if (optind + 1 < argc && !lock->shell[2] &&
	         (!strcmp(argv[optind], "-c") ||
	          !strcmp(argv[optind], "--command"))) {
		lock->shell[2] = argv[optind + 1];
		optind += 2;
	}
	if (alone && !lock->shell[2] && optind == argc)
		return TOOL_GO_ON;
	if (!lock->shell[2] == (optind == argc))
		return tool_usage(&lock->common,
		                  optind == argc ?
		                          "the command is missing" :
		                          "a command is there twice");
	if (lock->file.unlock)
		return tool_usage(&lock->common,
		                  "--unlock runs no command");
	lock->command = lock->shell[2] ? lock->shell : argv + optind;
	return TOOL_GO_ON;
}

/* ---- stoa lock ------------------------------------------------------------------ */

static int lock_and_run(struct lock *lock, struct stoa_space *space)
{
	struct stoa_range_lock *held;
	int code;
	int result = stoa_range_lock_open(space, lock->name, STOA_CREATE,
	                                  TOOL_MODE_DEFAULT, NULL, &held);

	if (result < 0)
		return tool_failure(result, lock->name);
	result = stoa_range_lock_lock(held, &lock->range,
	                              tool_deadline(&lock->common));
	if (result == -EAGAIN || result == -ETIMEDOUT)
		code = lock->common.no_exit;
	else if (result < 0)
		code = tool_failure(result, lock->name);
	else
		code = tool_run(lock->command);
	stoa_range_lock_close(held);
	return code;
}

int tool_lock(int argc, char **argv)
{
	struct lock lock = {
		.common = TOOL_COMMON("lock", help),
		.range = { .mode = STOA_RANGE_EXCLUSIVE },
		.shell = { SHELL, "-c" },
	};
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             "+" TOOL_SHORT TOOL_SHORT_WAIT "sxenuvc:",
	                             options, NULL)) != -1) {
		result = parse_option(&lock, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = parse_rest(&lock, argc, argv);
	if (result != TOOL_GO_ON)
		return result;
	if (lock.typed_file)
		return tool_lock_file(&lock.common, &lock.file, lock.command);
	result = tool_open_space(&lock.common, STOA_CREATE, &space);
	if (result)
		return result;
	result = lock_and_run(&lock, space);
	stoa_space_close(space);
	return result;
}
