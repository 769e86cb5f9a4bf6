/* SPDX-License-Identifier: MIT */
/* space/space.c: opening a space, and what is in it. */
#include <base/error.h>
#include <base/system.h>
#include <space/event.h>
#include <space/object.h>
#include <space/space.h>

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>

#define ENTRIES_BYTES 8192
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

static const char *default_path(char path[PATH_MAX], unsigned *flags)
{
	const char *from_environment = getenv("STOA_SPACE");

	if (from_environment && *from_environment)
		return from_environment;
	snprintf(path, PATH_MAX, "/dev/shm/stoa-%d", stoa_sys_getuid());
	*flags |= STOA_CREATE;
	return path;
}

static int make_directory(const char *path, int shared)
{
	mode_t mode = shared ? 01777 : 0700;
	int result = (int)stoa_system_call(SYS_mkdirat, AT_FDCWD, (long)path,
	                                   0700, 0, 0, 0);

	if (result == -EEXIST)
		return 0;
	if (result < 0)
		return stoa_fail(result, "can't make the space %s: %s", path,
		                 strerror(-result));
	result = (int)stoa_system_call(SYS_fchmodat, AT_FDCWD, (long)path,
	                               (long)mode, 0, 0, 0);
	if (result < 0)
		stoa_system_call(SYS_unlinkat, AT_FDCWD, (long)path,
		                 AT_REMOVEDIR, 0, 0, 0);
	return result;
}

static int check_directory(int fd, const char *path)
{
	uid_t self = (uid_t)stoa_sys_getuid();
	struct statfs filesystem;
	struct stat stat;
	int result = stoa_sys_fstat(fd, &stat);

	if (result < 0)
		return result;
	if (stat.st_uid != self && stat.st_uid != 0)
		return stoa_fail(-EPERM,
		                 "the space %s belongs to user %u, who could "
		                 "tamper with it; use a space of your own or "
		                 "of root's",
		                 path, stat.st_uid);
	if ((stat.st_mode & 022) && !(stat.st_mode & S_ISVTX))
		return stoa_fail(-EPERM,
		                 "the space %s may be written by others and "
		                 "has no sticky bit; chmod it to 0700 or 1777",
		                 path);
	result = (int)stoa_system_call(SYS_fstatfs, fd, (long)&filesystem, 0, 0,
	                               0, 0);
	if (result < 0)
		return result;
	if (filesystem.f_type != TMPFS_MAGIC)
		return stoa_fail(-EMEDIUMTYPE,
		                 "%s is not on a tmpfs; use a directory "
		                 "under /dev/shm",
		                 path);
	return !!(stat.st_mode & 022);
}

static int open_directory(const char *path)
{
	int fd = stoa_sys_openat(AT_FDCWD, path,
	                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd == -ENOTDIR || fd == -ELOOP) {
		struct stat stat;

		if (stoa_sys_fstatat(AT_FDCWD, path, &stat,
		                     AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISLNK(stat.st_mode))
			return stoa_fail(-EPERM,
			                 "%s is a symbolic link, which could "
			                 "be turned elsewhere; name the "
			                 "directory itself",
			                 path);
	}
	if (fd < 0)
		return stoa_fail(fd, "can't open the space %s: %s", path,
		                 strerror(-fd));
	return stoa_sys_keep(fd);
}

/* The boot id as 16 of its 36 characters' hex digits: enough to differ. */
static void read_boot_id(uint8_t boot_id[16])
{
	char text[37] = { 0 };
	int fd = stoa_sys_openat(AT_FDCWD, BOOT_ID_PATH, O_RDONLY, 0);

	memset(boot_id, 0, 16);
	if (fd < 0)
		return;
	if (stoa_sys_read(fd, text, 36) == 36)
		memcpy(boot_id, text + 20, 16);
	stoa_sys_close(fd);
}

int stoa_space_open(const char *path, unsigned flags,
                    struct stoa_space **ret_space)
{
	char buffer[PATH_MAX];
	struct stoa_space *space;

	if (flags & ~(STOA_CREATE | STOA_SHARED | STOA_READ | STOA_WRITE))
		return stoa_fail(-EINVAL, "unknown flags for the space %s: 0x%x",
		                 path ? path : "of this user", flags);
	if (!path)
		path = default_path(buffer, &flags);
	if (path[0] != '/' || strlen(path) >= PATH_MAX - STOA_NAME_MAX)
		return stoa_fail(-EINVAL,
		                 "'%.80s' is no absolute path; a space is a "
		                 "directory such as /dev/shm/stoa-0",
		                 path);
	/* "link/" would follow a symbolic link */
	if (path != buffer)
		snprintf(buffer, sizeof buffer, "%s", path);
	path = buffer;
	for (size_t end = strlen(buffer); end > 1 && buffer[end - 1] == '/';)
		buffer[--end] = 0;
	int result = flags & STOA_CREATE ?
	                     make_directory(path, !!(flags & STOA_SHARED)) :
	                     0;
	if (result < 0)
		return result;
	int fd = open_directory(path);
	if (fd < 0)
		return fd;
	result = check_directory(fd, path);
	if (result < 0)
		goto close;
	int shared = result;
	space = calloc(1, sizeof *space);
	result = -ENOMEM;
	if (!space)
		goto close;
	space->path = strdup(path);
	if (!space->path)
		goto free;
	result = stoa_life_init(&space->life, fd, space->path, shared);
	if (result < 0)
		goto free;
	read_boot_id(space->boot_id);
	space->processors = (uint32_t)get_nprocs();
	*ret_space = space;
	return 0;

free:
	free(space->path);
	free(space);
close:
	stoa_sys_close(fd);
	return result;
}

void stoa_space_close(struct stoa_space *space)
{
	if (!space)
		return;
	stoa_life_fini(&space->life);
	free(space->path);
	free(space);
}

const char *stoa_space_path(const struct stoa_space *space)
{
	return space->path;
}

int stoa_space_self(struct stoa_space *space, stoa_peer *ret_peer)
{
	stoa_life_reprobe(&space->life);
	return stoa_life_join(&space->life, ret_peer);
}

int stoa_space_alive(struct stoa_space *space, stoa_peer peer)
{
	return stoa_life_alive(&space->life, peer);
}

int stoa_space_each_peer(struct stoa_space *space,
                         int (*visit)(const struct stoa_peer_info *, void *),
                         void *context)
{
	int visited = 0;

	for (uint32_t slot = 0; slot < LIFE_SHARDS * LIFE_SLOTS; slot++) {
		struct stoa_peer_info info = { 0 };
		struct life_record record;
		int result = stoa_life_record(&space->life, slot, &record);

		if (result == -ENOENT)
			break; /* shards are made in order */
		if (result < 0)
			return result;
		info.peer = LIFE_PEER(slot, record.generation);
		if (record.generation == 0 ||
		    !stoa_life_alive(&space->life, info.peer))
			continue;
		info.pid = record.pid;
		info.uid = record.uid;
		info.joined_ns = record.joined_ns;
		memcpy(info.command, record.command, sizeof info.command);
		info.command[sizeof info.command - 1] = 0;
		result = visit(&info, context);
		if (result != 0)
			return result;
		visited++;
	}
	return visited;
}

/* The kernel's directory entry. */
struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

int stoa_directory_each(int directory, int (*visit)(const char *, void *),
                        void *context)
{
	_Alignas(uint64_t) char bytes[ENTRIES_BYTES];
	int fd = stoa_sys_openat(directory, ".", O_RDONLY | O_DIRECTORY, 0);
	int result = 0;

	if (fd < 0)
		return fd;
	for (;;) {
		long got = stoa_system_call(SYS_getdents64, fd, (long)bytes,
		                            sizeof bytes, 0, 0, 0);

		if (got <= 0) {
			result = (int)got;
			break;
		}
		for (long at = 0; at < got && result == 0;) {
			struct entry *entry = (struct entry *)(bytes + at);

			if (strcmp(entry->name, ".") != 0 &&
			    strcmp(entry->name, "..") != 0)
				result = visit(entry->name, context);
			at += entry->length;
		}
		if (result != 0)
			break;
	}
	stoa_sys_close(fd);
	return result;
}
