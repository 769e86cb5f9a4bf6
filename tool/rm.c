/* SPDX-License-Identifier: MIT */
/* rm.c: stoa rm. */
#include "noun.h"

static const char help[] =
	"Usage: stoa rm [OPTION]... NAME...\n"
	"\n"
	"Removes objects. Who has one open goes on with it; with --wake it is\n"
	"gone for them too. NAME may carry the kind: orders.queue.\n"
	"\n"
	TOOL_HELP_RM TOOL_HELP_COMMON;

int tool_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, NULL, "rm", help);
}
