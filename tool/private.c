/* SPDX-License-Identifier: MIT */
/*
 * private.c: spaces that vanish with their last process.
 *
 * They are directories in one of the user's, /dev/shm/stoa-UID.private. The
 * runner of each holds a lock on it. A runner that is killed leaves it; the
 * next one removes what has no lock, no living peer, and no process that has
 * it in its environment and may still join. Making, locking and sweeping are
 * done under the lock of the directory above: none is swept half made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dropin.h"

#define PARENT "/dev/shm/stoa-%u.private"
#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define DIRECTORIES_MAX 16 /* that nftw() keeps open */

/* ---- The directory above ------------------------------------------------ */

/* Its descriptor, locked, or -errno. */
static int lock_parent(bool make, char *path)
{
	struct stat stat;
	int fd;

	snprintf(path, PATH_MAX, PARENT, getuid());
	if (make && mkdir(path, 0711) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, OPEN_FLAGS);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) < 0 || stat.st_uid != getuid() ||
	    (stat.st_mode & 022)) {
		close(fd);
		return -EPERM;
	}
	/* For other users to pass through, whatever the umask. */
	if (make)
		fchmod(fd, 0711);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			int error = -errno;

			close(fd);
			return error;
		}
	return fd;
}

/* ---- Removing ----------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *stat, int type,
                      struct FTW *where)
{
	(void)stat;
	(void)where;
	if (type == FTW_DP)
		rmdir(path);
	else
		unlink(path);
	return 0;
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS);
}

void tool_private_remove(struct tool_private *space)
{
	remove_tree(space->path);
	close(space->space_fd);
}

/* ---- Making ------------------------------------------------------------- */

static int make_locked(bool shared, struct tool_private *space)
{
	char *end = space->path + strlen(space->path);

	if (snprintf(end, sizeof "/XXXXXX", "/XXXXXX") < 0 ||
	    !mkdtemp(space->path))
		return -errno;
	space->space_fd = open(space->path, OPEN_FLAGS);
	if (space->space_fd < 0 ||
	    flock(space->space_fd, LOCK_EX | LOCK_NB) < 0 ||
	    fchmod(space->space_fd, shared ? 01777 : 0700) < 0) {
		int error = -errno;

		if (space->space_fd >= 0)
			close(space->space_fd);
		rmdir(space->path);
		return error;
	}
	return 0;
}

int tool_private_make(bool shared, struct tool_private *ret_space)
{
	struct tool_private space = { .space_fd = -1 };
	int result;

	space.parent_fd = lock_parent(true, space.path);
	result = space.parent_fd < 0 ? space.parent_fd
	                             : make_locked(shared, &space);
	if (space.parent_fd >= 0)
		close(space.parent_fd);
	if (result < 0)
		return tool_error("can't make a private space in " PARENT
		                  ": %s",
		                  getuid(), strerror(-result));
	*ret_space = space;
	return 0;
}

/* ---- Sweeping ----------------------------------------------------------- */

static int count_peer(const struct stoa_peer_info *info, void *context)
{
	(void)info;
	(void)context;
	return 0;
}

static bool has_peers(const char *path)
{
	struct stoa_space *space;
	int peers;

	if (stoa_space_open(path, 0, &space) < 0)
		return false;
	peers = stoa_space_each_peer(space, count_peer, NULL);
	stoa_space_close(space);
	return peers > 0;
}

/* Is `wanted` one of the strings of an environment? */
static bool environment_has(const char *process, const char *wanted)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	bool found = false;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%s/environ", process);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && getdelim(&line, &room, '\0', file) > 0)
		found = !strcmp(line, wanted);
	free(line);
	fclose(file);
	return found;
}

static bool may_be_joined(const char *path)
{
	char wanted[PATH_MAX + sizeof "STOA_SPACE="];
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	if (!processes)
		return true;
	snprintf(wanted, sizeof wanted, "STOA_SPACE=%s", path);
	while (!found && (entry = readdir(processes)))
		found = *entry->d_name >= '1' && *entry->d_name <= '9' &&
		        environment_has(entry->d_name, wanted);
	closedir(processes);
	return found;
}

static void sweep_one(int parent, const char *parent_path, const char *name)
{
	char path[PATH_MAX];
	int fd = openat(parent, name, OPEN_FLAGS);

	if (fd < 0)
		return;
	if (snprintf(path, sizeof path, "%s/%s", parent_path, name) <
	            (int)sizeof path &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0 && !has_peers(path) &&
	    !may_be_joined(path))
		remove_tree(path);
	close(fd);
}

void tool_private_sweep(void)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int fd = lock_parent(false, path);

	if (fd < 0)
		return;
	DIR *directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return;
	}
	while ((entry = readdir(directory)))
		if (*entry->d_name != '.')
			sweep_one(fd, path, entry->d_name);
	closedir(directory);
}
