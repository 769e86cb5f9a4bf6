/* SPDX-License-Identifier: MIT */
/* dropin/posix_memory.c: see posix_memory.h. */
#include "posix_memory.h"

#include "fault.h"
#include "name.h"
#include "process.h"

#include <base/system.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES (PATH_MAX + 256)

static int is_directory(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int find_path(const char *name, char ret_path[PATH_BYTES])
{
	char object[DROPIN_NAME_BYTES];
	struct stoa_space *space;
	int result = dropin_name_check(name, NAME_MAX, &name);

	if (result < 0)
		return result;
	if (is_directory(name))
		return -EISDIR;
	result = dropin_space(&space);
	if (result < 0)
		return result;
	dropin_object_name("shm.", name, object);
	snprintf(ret_path, PATH_BYTES, "%s/%s.shared_memory",
	         stoa_space_path(space), object);
	return 0;
}

int dropin_shm_open(const char *name, int flags, mode_t mode)
{
	char path[PATH_BYTES];
	int result = find_path(name, path);

	if (DROPIN_FAULT(65))
		flags &= ~O_TRUNC;
	if (DROPIN_FAULT(66))
		flags &= ~O_EXCL;
	if (result == 0)
		result = stoa_sys_openat(AT_FDCWD, path, flags | O_NOFOLLOW,
		                         mode);
	return result == -EISDIR ? -EINVAL : result;
}

int dropin_shm_unlink(const char *name)
{
	char path[PATH_BYTES];
	int result = find_path(name, path);

	if (result == -EINVAL)
		return DROPIN_FAULT(67) ? -EINVAL : -ENOENT;
	if (result == 0)
		result = stoa_sys_unlinkat(AT_FDCWD, path);
	return result == -EPERM ? -EACCES : result;
}
