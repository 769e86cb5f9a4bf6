/* SPDX-License-Identifier: MIT */
/* dropin_run.c: stoa run: an unmodified program on stoa's objects. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dropin.h"

#define NOT_FOUND 127
#define NOT_RUN 126
#define USUAL_PATH "/bin:/usr/bin"

static const char help[] =
	"Usage: stoa run [OPTION]... [--] COMMAND [ARG]...\n"
	"\n"
	"Runs the command with the calls of POSIX and System V IPC (mq_*,\n"
	"sem_*, shm_open, msg*, sem*, shm*) answered by stoa, not by the\n"
	"kernel. So are all commands that it runs. Its status is passed on.\n"
	"\n"
	"     --space NAME|DIR  the space of its objects, made if missing: a\n"
	"                       name, or a directory, with a slash in it\n"
	"     --private         a fresh space, gone with the last process "
	"that\n"
	"                       the command leaves; stoa run waits for that\n"
	"     --shared          other users may use the space, too\n"
	"     --limits LIST     limits of a fresh space, NAME=NUMBER divided "
        "by\n"
	"                       commas: msgmax=65536,msg_max=1000\n"
	" -h, --help            this text\n"
	" -V, --version         the version\n";

enum { PRIVATE = TOOL_OPTION_FIRST, SHARED, LIMITS };

static const struct option options[] = {
	{ "space", required_argument, NULL, 'S' },
	{ "private", no_argument, NULL, PRIVATE },
	{ "shared", no_argument, NULL, SHARED },
	{ "limits", required_argument, NULL, LIMITS },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	TOOL_LONG_END
};

struct run {
	struct tool_common common;
	struct tool_dropin dropin;
	bool is_private, shared;
	const char *limits;
	char **command;
};

/* ---- Would it be answered at all? ---------------------------------------- */

/* As execvp() finds it. False: it finds nothing. */
static bool find_command(const char *name, char *path)
{
	const char *list = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return true;
	}
	if (!list)
		list = USUAL_PATH;
	for (const char *end; *name; list = end + 1) {
		end = strchrnul(list, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - list),
		             list, end == list ? "" : "/", name) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return true;
		if (!*end)
			break;
	}
	return false;
}

/* 0 or an exit code. What can't be looked at, exec will speak of. */
static int check_command(const struct run *run)
{
	char path[PATH_MAX], loaded[TOOL_PROGRAM_LOADED];
	int program;

	if (!find_command(run->command[0], path))
		return 0;
	program = run->dropin.check_program(path, loaded);
	if (program <= 0)
		return 0;
	if (strcmp(path, loaded) != 0)
		return tool_error("%s is run by %s, which %s; its IPC would "
		                  "be the kernel's",
		                  path, loaded, run->dropin.reason(program));
	return tool_error("%s %s; its IPC would be the kernel's", path,
	                  run->dropin.reason(program));
}

/* ---- The environment ------------------------------------------------------ */

/* Whatever was preloaded before keeps its place before the drop-in, and may
 * wrap it. */
static int preload(const struct run *run)
{
	const char *before = getenv("LD_PRELOAD");
	char *list;
	int result = 0;

	if (before && strstr(before, run->dropin.path))
		return 0;
	if (asprintf(&list, "%s%s%s", before ? before : "",
	             before && *before ? ":" : "", run->dropin.path) < 0)
		return tool_error("no memory");
	if (setenv("LD_PRELOAD", list, 1) < 0)
		result = tool_error("no memory");
	free(list);
	return result;
}

static int run_in(struct run *run, const char *space)
{
	int result = preload(run);

	if (result)
		return result;
	if (setenv("STOA_SPACE", space, 1) < 0 ||
	    (run->limits && setenv("STOA_LIMITS", run->limits, 1) < 0))
		return tool_error("no memory");
	if (run->is_private)
		return tool_run_all(run->command);
	execvp(run->command[0], run->command);
	result = errno == ENOENT ? NOT_FOUND : NOT_RUN;
	tool_error("can't run '%s': %s", run->command[0], strerror(errno));
	return result;
}

static int run_private(struct run *run)
{
	struct tool_private space;
	int result = tool_private_make(run->shared, &space);

	if (result)
		return result;
	result = run_in(run, space.path);
	tool_private_remove(&space);
	return result;
}

static int run_named(struct run *run)
{
	unsigned flags = STOA_CREATE | (run->shared ? STOA_SHARED : 0);
	char path[PATH_MAX];
	struct stoa_space *space;
	int result = tool_dropin_space(run->common.space, path);

	if (result)
		return result;
	result = stoa_space_open(*path ? path : NULL, flags, &space);
	if (result < 0)
		return tool_failure(result, "opening the space");
	/* The default, too, by its path: a program that changes its user
	 * shall not change its space. */
	snprintf(path, sizeof path, "%s", stoa_space_path(space));
	stoa_space_close(space);
	return run_in(run, path);
}

/* ---- Limits --------------------------------------------------------------- */

/* As the kernel's are called in /proc/sys/kernel and /proc/sys/fs/mqueue. */
static const char *const limit_names[] = {
	"msgmax",     "msgmnb",  "msgmni",      "semmsl", "semmns",
	"semopm",     "semmni",  "shmmax",      "shmall", "shmmni",
	"queues_max", "msg_max", "msgsize_max",
};

static bool is_limit(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof limit_names / sizeof *limit_names; i++)
		if (strlen(limit_names[i]) == length &&
		    !memcmp(limit_names[i], name, length))
			return true;
	return false;
}

/* "msgmax=65536,semmni=100": each a limit there is, and a number. */
static int check_limits(const struct run *run)
{
	for (const char *at = run->limits; at; at = strchr(at, ',')) {
		at += *at == ',';
		size_t length = strcspn(at, ",");
		size_t name = strcspn(at, "=,");

		if (!is_limit(at, name))
			return tool_usage(&run->common,
			                  "there is no limit '%.*s'", (int)name,
			                  at);
		if (name + 1 >= length ||
		    strspn(at + name + 1, "0123456789") != length - name - 1)
			return tool_usage(&run->common,
			                  "'%.*s' gives no number to %.*s",
			                  (int)length, at, (int)name, at);
	}
	return TOOL_GO_ON;
}

/* ---- What was typed ------------------------------------------------------- */

static int parse_option(struct run *run, int option)
{
	switch (option) {
	case PRIVATE: run->is_private = true; return TOOL_GO_ON;
	case SHARED: run->shared = true; return TOOL_GO_ON;
	case LIMITS: run->limits = optarg; return check_limits(run);
	default: return tool_common_option(&run->common, option);
	}
}

int tool_dropin_run(int argc, char **argv)
{
	struct run run = { .common = TOOL_COMMON("run", help) };
	int option, result;

	while ((option = getopt_long(argc, argv, "+hV", options, NULL)) != -1) {
		result = parse_option(&run, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&run.common, "the command is missing");
	if (run.is_private && run.common.space)
		return tool_usage(&run.common, "--private makes a space of its "
		                               "own: --space is one too many");
	run.command = argv + optind;
	result = tool_dropin_load(&run.dropin);
	if (result)
		return result;
	result = check_command(&run);
	if (result)
		return result;
	tool_private_sweep();
	return run.is_private ? run_private(&run) : run_named(&run);
}
