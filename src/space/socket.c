/* SPDX-License-Identifier: MIT */
/* space/socket.c: whose a socket's name is: had, taken over, given up. */
#include <base/system.h>
#include <space/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>

/* How many come and die while one binds, before a name counts as in use. */
#define PUBLISH_TRIES 1000

/* ---- The name's directory -------------------------------------------------- */

static int open_name(int directory, const char *file)
{
	int fd = stoa_sys_openat(directory, file,
	                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	return fd == -ENOTDIR || fd == -ELOOP ? -ENOTSOCK : fd;
}

static int see_entry(const char *file, void *context)
{
	(void)context;
	return strcmp(file, SOCKET_INNER) == 0 ? 0 : -ENOTSOCK;
}

/* 0: nothing has ever been in it but a socket. -ENOTSOCK: no name's. */
static int check_entries(int name)
{
	return stoa_directory_each(name, see_entry, NULL);
}

static int locate_in(int name, struct sockaddr_un *ret_address)
{
	struct stat stat;
	int fd = stoa_sys_openat(name, SOCKET_INNER, O_PATH | O_NOFOLLOW, 0);

	if (fd < 0)
		return fd;
	int result = stoa_sys_fstat(fd, &stat);
	if (result == 0 && !S_ISSOCK(stat.st_mode))
		result = -ENOTSOCK;
	if (result < 0) {
		stoa_sys_close(fd);
		return result;
	}
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret_address->sun_path, sizeof ret_address->sun_path,
	         "/proc/self/fd/%d", fd);
	return fd;
}

static int ask_bound(const struct sockaddr_un *address)
{
	long fd = stoa_system_call(SYS_socket, AF_UNIX,
	                           SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	                           0, 0, 0);
	long result = fd;

	if (fd >= 0) {
		result = stoa_system_call(SYS_connect, fd, (long)address,
		                          sizeof *address, 0, 0, 0);
		stoa_sys_close((int)fd);
	}
	switch (result) {
	case -ECONNREFUSED: return 0;
	case 0:
	case -EPROTOTYPE: /* of another type */
	case -EPERM: return 1; /* connected to somebody, who isn't this one */
	default: return (int)result;
	}
}

static int bound_in(int name)
{
	struct sockaddr_un address;
	int where = locate_in(name, &address);

	if (where < 0)
		return where;
	int result = ask_bound(&address);
	stoa_sys_close(where);
	return result;
}

int stoa_socket_lock(int name)
{
	long result;

	do
		result = stoa_system_call(SYS_flock, name, LOCK_EX | LOCK_NB, 0,
		                          0, 0, 0);
	while (result == -EINTR);
	return (int)result;
}

/* 1: it is dead, or empty. 0: it is somebody's, or in the making: then the lock
 * is another's. */
static int stale_in(int name)
{
	int result = stoa_socket_lock(name);

	if (result == -EAGAIN)
		return 0;
	if (result == 0)
		result = bound_in(name);
	if (result == -ENOENT) {
		result = check_entries(name);
		return result == -ENOTSOCK ? 0 : result < 0 ? result : 1;
	}
	return result < 0 ? result : result == 0;
}

/* ---- Looking ----------------------------------------------------------------- */

int stoa_socket_locate(int directory, const char *file,
                       struct sockaddr_un *ret_address)
{
	int name = open_name(directory, file);

	if (name < 0)
		return name;
	int result = locate_in(name, ret_address);
	stoa_sys_close(name);
	return result;
}

int stoa_socket_stat(int directory, const char *file, struct stat *ret_stat)
{
	struct stat stat;
	int name = open_name(directory, file);

	if (name < 0)
		return name;
	int result = stoa_sys_fstatat(name, SOCKET_INNER, &stat,
	                              AT_SYMLINK_NOFOLLOW);
	if (result == 0 && !S_ISSOCK(stat.st_mode))
		result = -ENOTSOCK;
	if (result == -ENOENT && check_entries(name) == -ENOTSOCK)
		result = -ENOTSOCK;
	stoa_sys_close(name);
	if (result == 0)
		*ret_stat = stat;
	return result;
}

int stoa_socket_bound(int directory, const char *file)
{
	int name = open_name(directory, file);

	if (name < 0)
		return name;
	int result = bound_in(name);
	stoa_sys_close(name);
	return result;
}

int stoa_socket_stale(int directory, const char *file)
{
	int name = open_name(directory, file);

	if (name < 0)
		return name;
	int result = stale_in(name);
	stoa_sys_close(name);
	return result;
}

/* ---- Taking and giving up ----------------------------------------------------- */

/* Takes its dead socket away, so that it is empty. 0 also when it was. */
static int empty_of_dead(int directory, const char *file)
{
	int name = open_name(directory, file);

	if (name == -ENOENT)
		return 0;
	if (name < 0)
		return name;
	int result = bound_in(name);
	if (result == 0)
		result = stoa_sys_unlinkat(name, SOCKET_INNER);
	else if (result > 0)
		result = -EADDRINUSE;
	else if (result == -ENOENT)
		result = check_entries(name);
	stoa_sys_close(name);
	return result == -ENOENT ? 0 : result;
}

int stoa_socket_publish(int directory, const char *made, const char *file)
{
	int result = -EADDRINUSE;

	for (int i = 0; i < PUBLISH_TRIES; i++) {
		result = (int)stoa_system_call(SYS_renameat2, directory,
		                               (long)made, directory,
		                               (long)file, 0, 0);
		if (result != -ENOTEMPTY && result != -EEXIST)
			break;
		result = empty_of_dead(directory, file);
		if (result < 0)
			break;
		result = -EADDRINUSE;
	}
	switch (result) {
	case -ENOTDIR:
	case -ENOTSOCK: return -EEXIST;
	case -EPERM: return -EACCES;
	default: return result;
	}
}

static int remove_from(int name, uint64_t inode, int dead)
{
	struct stat stat;
	int result = dead ? stale_in(name) : 1;

	if (result <= 0)
		return result < 0 ? result : -ENOENT;
	result = stoa_sys_fstatat(name, SOCKET_INNER, &stat,
	                          AT_SYMLINK_NOFOLLOW);
	if (result == 0 && inode && stat.st_ino != inode)
		return -ENOENT;
	if (result == 0)
		result = stoa_sys_unlinkat(name, SOCKET_INNER);
	return result == -ENOENT && !inode ? 0 : result;
}

/* What is left empty, as its directory may not be written, is nobody's still. */
int stoa_socket_remove(int directory, const char *file, uint64_t inode,
                       int dead)
{
	int name = open_name(directory, file);

	if (name < 0)
		return name;
	int result = remove_from(name, inode, dead);
	if (result == 0)
		stoa_system_call(SYS_unlinkat, directory, (long)file,
		                 AT_REMOVEDIR, 0, 0, 0);
	stoa_sys_close(name);
	return result;
}
