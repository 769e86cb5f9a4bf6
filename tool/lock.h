/* SPDX-License-Identifier: MIT */
/* lock.h: what stoa lock does with files. */
#ifndef STOA_TOOL_LOCK_H
#define STOA_TOOL_LOCK_H

#include "tool.h"

struct tool_file_lock {
	const char *path; /* NULL: a descriptor */
	int fd;
	bool ranged; /* bytes; else the whole */
	bool inherit, unlock, verbose;
	struct stoa_range range; /* the mode counts for the whole, too */
};

/* Locks, and runs the command (NULL: none). An exit code. */
int tool_lock_file(const struct tool_common *common,
                   const struct tool_file_lock *file, char **command);

#endif
