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
#include <sys/file.h>
#include <sys/time.h>

#define TOLD_MAX 50 /* what of sun_path is left for a file's name */
#define MADE_MAX (sizeof SOCKET_PREFIX + 17 + TOLD_MAX)
#define MAKE_TRIES 8
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

const char *stoa_socket_told(const struct sockaddr_un *address, size_t bytes,
                             char room[SOCKET_TOLD_BYTES])
{
	size_t before = offsetof(struct sockaddr_un, sun_path);
	const char *const inner = "/" SOCKET_INNER;
	size_t prefix = strlen(SOCKET_PREFIX) + 16 + 1;
	const char *last, *end;

	/* The kernel ends it with a zero, if there is room. */
	if (address->sun_family != AF_UNIX || bytes <= before + 1 ||
	    bytes > sizeof *address ||
	    !memchr(address->sun_path, 0, bytes - before))
		return NULL;
	strcpy(room, address->sun_path);
	end = room + strlen(room);
	if ((size_t)(end - room) <= strlen(inner) ||
	    strcmp(end - strlen(inner), inner) != 0)
		return NULL;
	room[end - room - (ptrdiff_t)strlen(inner)] = 0;
	last = strrchr(room, '/');
	last = last ? last + 1 : room;
	if (strncmp(last, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) != 0)
		return last;
	return strlen(last) > prefix ? last + prefix : NULL;
}

/*
 * A directory for the socket, under a name that nobody looks for, and locked
 * against cleaners. -ECANCELED: one was quicker, or its random number was had.
 *
 * What the kernel tells others as a socket's address is what it was bound to,
 * for ever. So the name that it will have is in it, if that fits: see
 * stoa_socket_told().
 */
static int make_directory(struct stoa_space *space, const char *file,
                          char made[MADE_MAX])
{
	int directory = space->life.directory;
	int told = strlen(file) <= TOLD_MAX;
	unsigned long long fresh = stoa_life_fresh(&space->life);

	snprintf(made, MADE_MAX, SOCKET_PREFIX "%016llx%s%.*s", fresh,
	         told ? "." : "", told ? TOLD_MAX : 0, file);
	long result = stoa_system_call(SYS_mkdirat, directory, (long)made, 0700,
	                               0, 0, 0);
	if (result < 0)
		return result == -EEXIST ? -ECANCELED : (int)result;
	int fd = stoa_sys_openat(directory, made,
	                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) {
		stoa_system_call(SYS_unlinkat, directory, (long)made,
		                 AT_REMOVEDIR, 0, 0, 0);
		return fd == -ENOENT ? -ECANCELED : fd;
	}
	result = stoa_socket_lock(fd);
	if (result < 0) {
		stoa_system_call(SYS_unlinkat, directory, (long)made,
		                 AT_REMOVEDIR, 0, 0, 0);
		stoa_sys_close(fd);
		return result == -EAGAIN ? -ECANCELED : (int)result;
	}
	return fd;
}

/*
 * With the mode, and listening: half of it is never seen under its own name. The
 * mode is set on the socket first, which the kernel cuts by the umask: so it is
 * never wider than it will be. -ECANCELED: a cleaner took the directory before
 * it was locked.
 */
static int bind_within(int directory, const char *made, int within, int fd,
                       mode_t mode, int backlog, uint64_t *ret_inode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat stat;
	long result = stoa_sys_fchmod(fd, mode);

	if (result < 0)
		return (int)result;
	snprintf(address.sun_path, sizeof address.sun_path,
	         "/proc/self/fd/%d/%s/" SOCKET_INNER, directory, made);
	result = stoa_system_call(SYS_bind, fd, (long)&address, sizeof address,
	                          0, 0, 0);
	if (result < 0)
		return result == -ENOENT ? -ECANCELED : (int)result;
	result = stoa_system_call(SYS_fchmodat, within, (long)SOCKET_INNER,
	                          (long)mode, 0, 0, 0);
	if (result == 0 && backlog)
		result = stoa_system_call(SYS_listen, fd, backlog, 0, 0, 0, 0);
	if (result == 0)
		result = stoa_sys_fstatat(within, SOCKET_INNER, &stat,
		                          AT_SYMLINK_NOFOLLOW);
	if (result == 0)
		result = stoa_sys_fchmod(within, 0755);
	if (result == 0)
		*ret_inode = stat.st_ino;
	return (int)result;
}

static void drop_made(int directory, const char *made, int within)
{
	stoa_sys_unlinkat(within, SOCKET_INNER);
	stoa_system_call(SYS_unlinkat, directory, (long)made, AT_REMOVEDIR, 0,
	                 0, 0);
}

/* Unlocked first: a child forked meanwhile has the same description. */
static void leave_made(int within)
{
	stoa_system_call(SYS_flock, within, LOCK_UN, 0, 0, 0, 0);
	stoa_sys_close(within);
}

/* -ECANCELED: not bound yet, and may be tried again. */
static int bind_once(struct stoa_space *space, int fd, const char *file,
                     mode_t mode, int backlog, uint64_t *ret_inode)
{
	int directory = space->life.directory;
	char made[MADE_MAX];
	uint64_t inode = 0;
	int within = make_directory(space, file, made);

	if (within < 0)
		return within;
	int result = bind_within(directory, made, within, fd, mode, backlog,
	                         &inode);
	if (result == 0)
		result = stoa_socket_publish(directory, made, file);
	if (result < 0)
		drop_made(directory, made, within);
	leave_made(within);
	if (result == 0)
		*ret_inode = inode;
	return result;
}

int stoa_socket_bind(struct stoa_space *space, int fd, const char *file,
                     mode_t mode, int backlog, uint64_t *ret_inode)
{
	stoa_peer self;
	int result = stoa_life_join(&space->life, &self);

	if (result < 0)
		return result;
	for (int i = 0; i < MAKE_TRIES; i++) {
		result = bind_once(space, fd, file, mode & 0777, backlog,
		                   ret_inode);
		if (result != -ECANCELED)
			return result;
	}
	return -EBUSY;
}

void stoa_socket_unbind(struct stoa_space *space, const char *file,
                        uint64_t inode)
{
	stoa_socket_remove(space->life.directory, file, inode, 0);
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

struct connection {
	struct stoa_space *space;
	int fd;
	const char *file;
	struct stoa_deadline deadline;
	unsigned flags;
};

static int connect_now(void *context)
{
	const struct connection *connection = context;
	struct stoa_deadline deadline = connection->deadline;
	struct sockaddr_un address;
	int where = stoa_socket_locate(connection->space->life.directory,
	                               connection->file, &address);
	int result;

	if (where < 0)
		return where;
	for (;;) {
		result = connect_once(connection->fd, &address, deadline);
		if (result == -EINTR &&
		    (connection->flags & STOA_INTERRUPTIBLE))
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

int stoa_socket_connect(struct stoa_space *space, int fd, const char *file,
                        struct stoa_deadline deadline, unsigned flags)
{
	struct connection connection = { space, fd, file, deadline, flags };

	return stoa_socket_await(space, file, connect_now, &connection,
	                         deadline, flags);
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
