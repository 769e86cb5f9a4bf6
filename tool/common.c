/* SPDX-License-Identifier: MIT */
/* common.c: options that all verbs have, complaints, spaces and deadlines. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define EXIT_CODE_MAX 255

int tool_error(const char *format, ...)
{
	va_list list;

	fflush(stdout);
	fputs("stoa: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	return TOOL_FAILED;
}

int tool_failure(int error, const char *what)
{
	const char *sentence = stoa_last_error();

	if (*sentence)
		return tool_error("%s", sentence);
	return tool_error("%s: %s", what, strerror(-error));
}

int tool_usage(const struct tool_common *common, const char *format, ...)
{
	const char *blank = *common->verb ? " " : "";
	va_list list;

	if (format) {
		fputs("stoa: ", stderr);
		va_start(list, format);
		vfprintf(stderr, format, list);
		va_end(list);
		fputc('\n', stderr);
	}
	fprintf(stderr, "Try 'stoa%s%s --help'.\n", blank, common->verb);
	return TOOL_USAGE;
}

int tool_close_stdout(int code)
{
	bool failed = ferror(stdout) != 0;

	if (fflush(stdout) || failed) {
		tool_error("writing the output: %s", strerror(errno));
		return TOOL_FAILED;
	}
	return code;
}

static int parse_wait(struct tool_common *common)
{
	if (tool_parse_seconds(optarg, &common->timeout_ns) < 0)
		return tool_usage(common, "'%s' is not a number of seconds",
		                  optarg);
	return TOOL_GO_ON;
}

static int parse_no_exit(struct tool_common *common)
{
	uint64_t number;

	if (tool_parse_number(optarg, EXIT_CODE_MAX, &number) < 0)
		return tool_usage(common, "'%s' is not an exit code, 0 to %d",
		                  optarg, EXIT_CODE_MAX);
	common->no_exit = (int)number;
	return TOOL_GO_ON;
}

int tool_common_option(struct tool_common *common, int option)
{
	switch (option) {
	case 'S': common->space = optarg; return TOOL_GO_ON;
	case 'E': return parse_no_exit(common);
	case 'w': return parse_wait(common);
	case 'h': fputs(common->help, stdout); return TOOL_DONE;
	case 'V': printf("stoa %s\n", stoa_version()); return TOOL_DONE;
	default: return tool_usage(common, NULL);
	}
}

int tool_open_space(const struct tool_common *common, unsigned flags,
                    struct stoa_space **ret_space)
{
	const char *path = common->space ? common->space : tool_space_path;
	char *absolute = NULL;
	int result;

	if (path && *path != '/') {
		char *here = getcwd(NULL, 0);

		if (!here || asprintf(&absolute, "%s/%s", here, path) < 0)
			absolute = NULL;
		free(here);
		if (!absolute)
			return tool_error("space '%s': %s", path,
			                  strerror(errno));
		path = absolute;
	}
	result = stoa_space_open(path, flags, ret_space);
	free(absolute);
	return result < 0 ? tool_failure(result, "opening the space") : 0;
}

struct stoa_deadline tool_deadline(const struct tool_common *common)
{
	if (common->timeout_ns == TOOL_NO_TIMEOUT)
		return STOA_FOREVER;
	if (!common->timeout_ns)
		return STOA_NOW;
	return stoa_deadline_in(common->timeout_ns);
}
