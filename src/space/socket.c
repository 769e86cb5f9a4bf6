/* SPDX-License-Identifier: MIT */
/* space/socket.c: whose a socket's name is, and turns at it. */
#include <base/system.h>
#include <space/socket.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define TURN_FILE ".life.0"
#define TURN_OFFSET ((off_t)1 << 40) /* life's own locks are at 1 << 20 */
#define TURN_TRIES 1000
#define TURN_PAUSE_NS 1000000

/* FNV-1a. Two names of one byte only wait for each other. */
static off_t turn_byte(const char *file)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *file; file++)
		hash = (hash ^ (unsigned char)*file) * UINT64_C(0x100000001b3);
	return TURN_OFFSET + (off_t)(hash >> 4);
}

int stoa_socket_turn_begin(struct stoa_space *space, const char *file,
                           struct stoa_socket_turn *ret_turn)
{
	struct stoa_socket_turn turn = { .byte = turn_byte(file) };
	int result = -EBUSY;

	turn.fd = stoa_sys_openat(space->life.directory, TURN_FILE, O_RDWR, 0);
	if (turn.fd == -ENOENT) {
		turn.fd = -1;
		*ret_turn = turn;
		return 0;
	}
	if (turn.fd < 0)
		return turn.fd;
	for (int i = 0; i < TURN_TRIES; i++) {
		struct timespec pause = { 0, TURN_PAUSE_NS };

		result = stoa_sys_lock_byte(turn.fd, turn.byte, F_WRLCK);
		if (result != -EAGAIN && result != -EACCES)
			break;
		result = -EBUSY;
		stoa_system_call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0,
		                 (long)&pause, 0, 0, 0);
	}
	if (result < 0) {
		stoa_sys_close(turn.fd);
		return result;
	}
	*ret_turn = turn;
	return 0;
}

/* Unlocked first: a child forked meanwhile has the same description. */
void stoa_socket_turn_end(const struct stoa_socket_turn *turn)
{
	if (turn->fd < 0)
		return;
	stoa_sys_lock_byte(turn->fd, turn->byte, F_UNLCK);
	stoa_sys_close(turn->fd);
}

int stoa_socket_locate(int directory, const char *file,
                       struct sockaddr_un *ret_address)
{
	struct stat stat;
	int fd = stoa_sys_openat(directory, file, O_PATH | O_NOFOLLOW, 0);

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

int stoa_socket_bound(int directory, const char *file)
{
	struct sockaddr_un address;
	int where = stoa_socket_locate(directory, file, &address);

	if (where < 0)
		return where;
	long fd = stoa_system_call(SYS_socket, AF_UNIX,
	                           SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	                           0, 0, 0);
	long result = fd;
	if (fd >= 0) {
		result = stoa_system_call(SYS_connect, fd, (long)&address,
		                          sizeof address, 0, 0, 0);
		stoa_sys_close((int)fd);
	}
	stoa_sys_close(where);
	switch (result) {
	case -ECONNREFUSED: return 0;
	case 0:
	case -EPROTOTYPE: /* of another type */
	case -EPERM: return 1; /* connected to somebody, who isn't this one */
	default: return (int)result;
	}
}

static int remove_in_turn(int directory, const char *file, uint64_t inode,
                          int dead)
{
	struct stat stat;
	int result = stoa_sys_fstatat(directory, file, &stat,
	                              AT_SYMLINK_NOFOLLOW);

	if (result == 0 && inode && stat.st_ino != inode)
		result = -ENOENT;
	if (result == 0 && dead) {
		result = stoa_socket_bound(directory, file);
		if (result > 0)
			result = -ENOENT;
	}
	return result < 0 ? result : stoa_sys_unlinkat(directory, file);
}

int stoa_socket_remove(struct stoa_space *space, const char *file,
                       uint64_t inode, int dead)
{
	struct stoa_socket_turn turn;
	int result = stoa_socket_turn_begin(space, file, &turn);

	if (result < 0)
		return result;
	result = remove_in_turn(space->life.directory, file, inode, dead);
	stoa_socket_turn_end(&turn);
	return result;
}
