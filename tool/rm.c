/* SPDX-License-Identifier: MIT */
/* rm.c: stoa rm. */
#include <errno.h>

#include "tool.h"

static const char help[] =
	"Usage: stoa rm [OPTION]... NAME...\n"
	"\n"
	"Removes objects. Who has one open goes on with it; with --wake it is\n"
	"gone for them too. NAME may carry the kind: orders.queue.\n"
	"\n"
	" -w, --wake           who waits on it, or uses it later, gets EIDRM\n"
	" -f, --force          say nothing of objects that aren't there\n"
	TOOL_HELP_COMMON;

static const struct option options[] = { TOOL_LONG,
	                                 { "wake", no_argument, NULL, 'w' },
	                                 { "force", no_argument, NULL, 'f' },
	                                 TOOL_LONG_END };

static int remove_all(struct stoa_space *space, char **names, bool wake,
                      bool force)
{
	int code = TOOL_DONE;

	for (; *names; names++) {
		int result = stoa_space_remove(space, *names, wake);

		if (result < 0 && !(force && result == -ENOENT))
			code = tool_failure(result, *names);
	}
	return code;
}

int tool_rm(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("rm", help);
	struct stoa_space *space;
	bool wake = false, force = false;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "wf", options,
	                             NULL)) != -1) {
		if (option == 'w') {
			wake = true;
			continue;
		}
		if (option == 'f') {
			force = true;
			continue;
		}
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc && !force)
		return tool_usage(&common, "the name of an object is missing");
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	result = remove_all(space, argv + optind, wake, force);
	stoa_space_close(space);
	return result;
}
