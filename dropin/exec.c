/* SPDX-License-Identifier: MIT */
/* dropin/exec.c: tells of programs that the drop-in won't be in. */
#include "exec.h"
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define USUAL_PATH "/bin:/usr/bin"
#define LIBRARY "libstoa-dropin.so"

static int preloaded; /* not linked to it: then that stays so */

void dropin_exec_note(void)
{
	const char *list = getenv("LD_PRELOAD");

	preloaded = list && strstr(list, LIBRARY);
}

static const char *variable(char *const environment[], const char *name)
{
	size_t length = strlen(name);

	for (; environment && *environment; environment++)
		if (!strncmp(*environment, name, length) &&
		    (*environment)[length] == '=')
			return *environment + length + 1;
	return NULL;
}

/* One write: lines of several processes don't mix. */
static void tell(const char *path, const char *reason)
{
	const char *words[] = { "stoa: ", path, " ", reason,
		                "; its IPC is the kernel's\n" };
	struct iovec parts[sizeof words / sizeof *words];

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		parts[i] = (struct iovec){ .iov_base = (char *)words[i],
			                   .iov_len = strlen(words[i]) };
	if (writev(STDERR_FILENO, parts, sizeof words / sizeof *words) < 0)
		return; /* there is nobody to tell */
}

void dropin_exec_tell(const char *path, char *const environment[])
{
	char loaded[DROPIN_PROGRAM_PATH];
	int kept = errno, program;
	const char *there = variable(environment, "LD_PRELOAD");

	if (!path || !preloaded)
		return;
	program = dropin_program_check(path, loaded);
	if (program > DROPIN_PROGRAM_FITS)
		tell(loaded, dropin_program_reason(program));
	else if (program == DROPIN_PROGRAM_FITS &&
	         (!there || !strstr(there, LIBRARY)))
		tell(path, "is run without LD_PRELOAD");
	errno = kept;
}

void dropin_exec_tell_searched(const char *name, char *const environment[])
{
	char path[PATH_MAX];
	const char *list = getenv("PATH");
	int kept = errno;

	if (!name || strchr(name, '/')) {
		dropin_exec_tell(name, environment);
		return;
	}
	if (!list)
		list = USUAL_PATH;
	for (const char *end;; list = end + 1) {
		end = strchrnul(list, ':');
		size_t length = (size_t)(end - list);

		if (length + 1 + strlen(name) < sizeof path) {
			memcpy(path, list, length);
			path[length] = '/';
			strcpy(path + length + !!length, name);
			if (access(path, X_OK) == 0) {
				dropin_exec_tell(path, environment);
				break;
			}
		}
		if (!*end)
			break;
	}
	errno = kept;
}
