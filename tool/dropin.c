/* SPDX-License-Identifier: MIT */
/* dropin.c: where libstoa-dropin.so is, and which space its verbs mean. */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dropin.h"

#define LIBRARY "libstoa-dropin.so"

/* ---- The library -------------------------------------------------------- */

/* Beside the program, as built; in ../lib, as installed. */
static bool find_beside(const char *format, char *path)
{
	char own[PATH_MAX];
	ssize_t bytes = readlink("/proc/self/exe", own, sizeof own - 1);

	if (bytes <= 0)
		return false;
	own[bytes] = '\0';
	char *slash = strrchr(own, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return snprintf(path, PATH_MAX, format, own) < PATH_MAX &&
	       access(path, R_OK) == 0;
}

static int load_library(struct tool_dropin *dropin)
{
	struct link_map *map;
	const char *name = LIBRARY;

	if (find_beside("%s/" LIBRARY, dropin->path) ||
	    find_beside("%s/../lib/" LIBRARY, dropin->path))
		name = dropin->path;
	dropin->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!dropin->library)
		return tool_error("can't load the drop-in: %s", dlerror());
	/* LD_PRELOAD is divided by blanks and colons */
	if (dlinfo(dropin->library, RTLD_DI_LINKMAP, &map) < 0 ||
	    !realpath(map->l_name, dropin->path) || strpbrk(dropin->path, " :"))
		return tool_error("'%s' can't be preloaded: its path must have "
		                  "no blank and no colon",
		                  map->l_name);
	return 0;
}

struct symbol {
	const char *name;
	void *place;
};

/* dlsym() looks into what the library is linked to as well: libc's msgget()
 * would be the kernel's. */
static int find_symbols(const struct tool_dropin *dropin,
                        const struct symbol *symbols, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		void *address = dlsym(dropin->library, symbols[i].name);
		char path[PATH_MAX];
		Dl_info info;

		if (!address || !dladdr(address, &info) ||
		    !realpath(info.dli_fname, path) ||
		    strcmp(path, dropin->path) != 0)
			return tool_error("%s has no %s: it is of another "
			                  "version than this command",
			                  dropin->path, symbols[i].name);
		memcpy(symbols[i].place, &address, sizeof address);
	}
	return 0;
}

int tool_dropin_load(struct tool_dropin *dropin)
{
	const struct symbol symbols[] = {
		{ "stoa_dropin_check_program", &dropin->check_program },
		{ "stoa_dropin_reason", &dropin->reason },
	};
	int result = load_library(dropin);

	return result ? result
	              : find_symbols(dropin, symbols,
	                             sizeof symbols / sizeof *symbols);
}

static int find_calls(struct tool_dropin *dropin)
{
	const struct symbol symbols[] = {
		{ "msgget", &dropin->msgget }, { "msgctl", &dropin->msgctl },
		{ "semget", &dropin->semget }, { "semctl", &dropin->semctl },
		{ "shmget", &dropin->shmget }, { "shmctl", &dropin->shmctl },
	};

	return find_symbols(dropin, symbols, sizeof symbols / sizeof *symbols);
}

/* ---- The space ---------------------------------------------------------- */

static bool is_name(const char *typed)
{
	return *typed != '.' && *typed && strlen(typed) <= STOA_NAME_MAX &&
	       strspn(typed, "abcdefghijklmnopqrstuvwxyz"
	                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                     "0123456789._-") == strlen(typed);
}

int tool_dropin_space(const char *typed, char *path)
{
	char here[PATH_MAX];
	int length;

	if (!typed)
		typed = tool_space_path;
	if (!typed)
		typed = "";
	if (!*typed)
		length = snprintf(path, PATH_MAX, "%s", "");
	else if (*typed == '/')
		length = snprintf(path, PATH_MAX, "%s", typed);
	else if (strchr(typed, '/'))
		length =
			getcwd(here, sizeof here)
				? snprintf(path, PATH_MAX, "%s/%s", here, typed)
				: PATH_MAX;
	else if (is_name(typed))
		length = snprintf(path, PATH_MAX, "/dev/shm/stoa-%u.%s",
		                  getuid(), typed);
	else
		return tool_error("'%s' is no name of a space: letters, "
		                  "digits, dots, lines, and no dot first; a "
		                  "directory has a slash in it",
		                  typed);
	if (length >= PATH_MAX)
		return tool_error("space '%s': %s", typed,
		                  strerror(ENAMETOOLONG));
	return 0;
}

int tool_dropin_open(const char *typed, struct tool_dropin *dropin)
{
	struct stoa_space *space;
	char path[PATH_MAX];
	int result = tool_dropin_space(typed, path);

	if (result)
		return result;
	result = stoa_space_open(*path ? path : NULL, 0, &space);
	if (result < 0)
		return tool_failure(result, "opening the space");
	setenv("STOA_SPACE", stoa_space_path(space), 1);
	stoa_space_close(space);
	result = tool_dropin_load(dropin);
	return result ? result : find_calls(dropin);
}
