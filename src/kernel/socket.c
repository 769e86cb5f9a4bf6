/* SPDX-License-Identifier: MIT */
/* kernel/socket.c: UNIX sockets by name in a space. */
#include <base/deadline.h>
#include <base/system.h>
#include <kernel/socket.h>
#include <space/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#define TOLD_MAX 56 /* what of sun_path is left for a file's name */
#define TEMPORARY_MAX (sizeof SOCKET_PREFIX + 17 + TOLD_MAX)
#define BIND_TRIES 8
#define NS_PER_SECOND INT64_C(1000000000)
#define NS_PER_US 1000
/* Of a deadline on a clock that may be set: how often it is looked at. */
#define CLOCK_SLICE_NS NS_PER_SECOND

int stoa_socket_make(int family, int type, int protocol)
{
	return (int)stoa_system_call(SYS_socket, family,
	                             type | SOCK_CLOEXEC | SOCK_NONBLOCK,
	                             protocol, 0, 0, 0);
}

int stoa_socket_set(int fd, int level, int option, int value)
{
	return (int)stoa_system_call(SYS_setsockopt, fd, level, option,
	                             (long)&value, sizeof value, 0);
}

int stoa_socket_get(int fd, int level, int option, int *ret_value)
{
	int value = 0;
	socklen_t bytes = sizeof value;
	long result = stoa_system_call(SYS_getsockopt, fd, level, option,
	                               (long)&value, (long)&bytes, 0);

	if (result == 0)
		*ret_value = value;
	return (int)result;
}

/* ---- Names ---------------------------------------------------------------- */

/*
 * What the kernel tells others as this socket's address is what it was bound to,
 * for ever. So the name that it will have is in it, if that fits: see
 * stoa_socket_told().
 */
static void name_temporary(struct stoa_space *space, const char *file,
                           char temporary[TEMPORARY_MAX],
                           struct sockaddr_un *ret_address)
{
	unsigned long long fresh = stoa_life_fresh(&space->life);
	int told = strlen(file) <= TOLD_MAX;

	snprintf(temporary, TEMPORARY_MAX, SOCKET_PREFIX "%016llx%s%.*s",
	         fresh, told ? "." : "", told ? TOLD_MAX : 0, file);
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret_address->sun_path, sizeof ret_address->sun_path,
	         "/proc/self/fd/%d/%s", space->life.directory, temporary);
}

const char *stoa_socket_told(const struct sockaddr_un *address, size_t bytes)
{
	size_t before = offsetof(struct sockaddr_un, sun_path);
	size_t prefix = strlen(SOCKET_PREFIX) + 16 + 1;
	const char *last;

	/* The kernel ends it with a zero, if there is room. */
	if (address->sun_family != AF_UNIX || bytes <= before + 1 ||
	    bytes > sizeof *address ||
	    !memchr(address->sun_path, 0, bytes - before))
		return NULL;
	last = strrchr(address->sun_path, '/');
	last = last ? last + 1 : address->sun_path;
	if (strncmp(last, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) != 0)
		return last;
	return strlen(last) > prefix ? last + prefix : NULL;
}

/*
 * Binds under a name that nobody looks for, with the mode, and listening: half
 * of it is never seen under its own name. The mode is set on the socket first,
 * which the kernel cuts by the umask: so it is never wider than it will be.
 */
static int bind_temporary(struct stoa_space *space, int fd, const char *file,
                          mode_t mode, int backlog,
                          char temporary[TEMPORARY_MAX])
{
	int directory = space->life.directory;
	struct sockaddr_un address;
	long result = stoa_sys_fchmod(fd, mode);

	if (result < 0)
		return (int)result;
	name_temporary(space, file, temporary, &address);
	result = stoa_system_call(SYS_bind, fd, (long)&address, sizeof address,
	                          0, 0, 0);
	if (result < 0)
		return (int)result;
	result = stoa_system_call(SYS_fchmodat, directory, (long)temporary,
	                          (long)mode, 0, 0, 0);
	if (result == 0 && backlog)
		result = stoa_system_call(SYS_listen, fd, backlog, 0, 0, 0, 0);
	if (result < 0)
		stoa_sys_unlinkat(directory, temporary);
	return (int)result;
}

static int rename_to(int directory, const char *from, const char *to,
                     unsigned how)
{
	return (int)stoa_system_call(SYS_renameat2, directory, (long)from,
	                             directory, (long)to, how, 0);
}

/* In the name's turn. */
static int publish(int directory, const char *temporary, const char *file)
{
	int result = rename_to(directory, temporary, file, RENAME_NOREPLACE);

	if (result != -EEXIST)
		return result;
	result = stoa_socket_bound(directory, file);
	if (result == -ENOENT) /* removed by who takes no turn: rm(1) */
		return rename_to(directory, temporary, file, RENAME_NOREPLACE);
	if (result == -ENOTSOCK)
		return -EEXIST;
	if (result == 1)
		return -EADDRINUSE;
	if (result < 0)
		return result;
	result = rename_to(directory, temporary, file, 0);
	return result == -EPERM ? -EACCES : result;
}

static int publish_in_turn(struct stoa_space *space, const char *temporary,
                           const char *file, uint64_t *ret_inode)
{
	struct stoa_socket_turn turn;
	struct stat stat;
	int result = stoa_sys_fstatat(space->life.directory, temporary, &stat,
	                              AT_SYMLINK_NOFOLLOW);

	if (result < 0)
		return result == -ENOENT ? -EBUSY : result;
	result = stoa_socket_turn_begin(space, file, &turn);
	if (result < 0)
		return result;
	result = publish(space->life.directory, temporary, file);
	stoa_socket_turn_end(&turn);
	/* A cleaner took it for dead in the instant in which it was bound. */
	if (result == -ENOENT)
		result = -EBUSY;
	if (result == 0)
		*ret_inode = stat.st_ino;
	return result;
}

int stoa_socket_bind(struct stoa_space *space, int fd, const char *file,
                     mode_t mode, int backlog, uint64_t *ret_inode)
{
	char temporary[TEMPORARY_MAX];
	stoa_peer self;
	int result = stoa_life_join(&space->life, &self);

	if (result < 0)
		return result;
	for (int i = 0; i < BIND_TRIES; i++) {
		result = bind_temporary(space, fd, file, mode & 0777, backlog,
		                        temporary);
		/* Left by one whose random number was ours. */
		if (result != -EADDRINUSE)
			break;
	}
	if (result < 0)
		return result;
	result = publish_in_turn(space, temporary, file, ret_inode);
	if (result < 0)
		stoa_sys_unlinkat(space->life.directory, temporary);
	return result;
}

void stoa_socket_unbind(struct stoa_space *space, const char *file,
                        uint64_t inode)
{
	stoa_socket_remove(space, file, inode, 0);
}

/* The kernel waits in connect() alone, which knows SO_SNDTIMEO. */
static int connect_once(int fd, const struct sockaddr_un *address,
                        struct stoa_deadline deadline)
{
	int64_t left = stoa_deadline_left(deadline);
	struct timeval patience = { 0 };
	int blocking = left > 0;

	if (deadline.clock == CLOCK_REALTIME && left > CLOCK_SLICE_NS)
		left = CLOCK_SLICE_NS;
	if (left != INT64_MAX) {
		left += NS_PER_US; /* 0 would be for ever */
		patience.tv_sec = left / NS_PER_SECOND;
		patience.tv_usec = left % NS_PER_SECOND / NS_PER_US;
	}
	long result = stoa_system_call(SYS_setsockopt, fd, SOL_SOCKET,
	                               SO_SNDTIMEO, (long)&patience,
	                               sizeof patience, 0);
	if (result == 0)
		result = stoa_system_call(SYS_fcntl, fd, F_SETFL,
		                          blocking ? 0 : O_NONBLOCK, 0, 0, 0);
	if (result == 0)
		result = stoa_system_call(SYS_connect, fd, (long)address,
		                          sizeof *address, 0, 0, 0);
	if (blocking)
		stoa_system_call(SYS_fcntl, fd, F_SETFL, O_NONBLOCK, 0, 0, 0);
	return (int)result;
}

int stoa_socket_connect(struct stoa_space *space, int fd, const char *file,
                        struct stoa_deadline deadline, unsigned flags)
{
	struct sockaddr_un address;
	int where = stoa_socket_locate(space->life.directory, file, &address);
	int result;

	if (where < 0)
		return where;
	for (;;) {
		result = connect_once(fd, &address, deadline);
		if (result == -EINTR && (flags & STOA_INTERRUPTIBLE))
			break;
		if (result != -EINTR && result != -EAGAIN)
			break;
		if (stoa_deadline_left(deadline) == 0) {
			result = stoa_deadline_result(deadline);
			break;
		}
	}
	stoa_sys_close(where);
	return result;
}

/* ---- Waiting --------------------------------------------------------------- */

int stoa_socket_wait(int fd, short events, struct stoa_deadline deadline,
                     unsigned flags)
{
	struct pollfd ready = { fd, events, 0 };

	for (;;) {
		int64_t left = stoa_deadline_left(deadline);

		if (deadline.clock == CLOCK_REALTIME && left > CLOCK_SLICE_NS &&
		    left != INT64_MAX)
			left = CLOCK_SLICE_NS;
		struct timespec time = { left / NS_PER_SECOND,
			                 left % NS_PER_SECOND };
		long result = stoa_system_call(
		        SYS_ppoll, (long)&ready, 1,
		        left == INT64_MAX ? 0 : (long)&time, 0, 0, 0);

		if (result > 0)
			return ready.revents;
		if (result < 0 && (result != -EINTR ||
		                   (flags & STOA_INTERRUPTIBLE)))
			return (int)result;
		if (stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
	}
}

/* Whether to try again after `result`: 1, or what to answer. */
static int after(long result, int fd, short events,
                 struct stoa_deadline deadline, unsigned flags)
{
	if (result == -EINTR)
		return flags & STOA_INTERRUPTIBLE ? -EINTR : 1;
	if (result != -EAGAIN)
		return (int)result;
	if (stoa_deadline_left(deadline) == 0)
		return stoa_deadline_result(deadline);
	int ready = stoa_socket_wait(fd, events, deadline, flags);
	return ready < 0 ? ready : 1;
}

ssize_t stoa_socket_send(int fd, const struct msghdr *message, int how,
                         struct stoa_deadline deadline, unsigned flags)
{
	/* Who waits for ever may as well wait in the call itself. */
	int wait = deadline.kind == STOA_DEADLINE_FOREVER ? 0 : MSG_DONTWAIT;

	for (;;) {
		long result = stoa_system_call(SYS_sendmsg, fd, (long)message,
		                               MSG_NOSIGNAL | wait | how, 0, 0,
		                               0);
		if (result >= 0)
			return result;
		int again = after(result, fd, POLLOUT, deadline, flags);
		if (again <= 0)
			return again;
	}
}

ssize_t stoa_socket_receive(int fd, struct msghdr *message, int how,
                            struct stoa_deadline deadline, unsigned flags)
{
	int wait = deadline.kind == STOA_DEADLINE_FOREVER ? 0 : MSG_DONTWAIT;
	size_t control_bytes = message->msg_controllen;
	socklen_t name_bytes = message->msg_namelen;

	for (;;) {
		message->msg_controllen = control_bytes;
		message->msg_namelen = name_bytes;
		long result = stoa_system_call(SYS_recvmsg, fd, (long)message,
		                               MSG_CMSG_CLOEXEC | wait | how, 0,
		                               0, 0);
		if (result >= 0)
			return result;
		int again = after(result, fd, POLLIN, deadline, flags);
		if (again <= 0)
			return again;
	}
}
