/* SPDX-License-Identifier: MIT */
/*
 * kernel/socket_await.c: waiting for a socket's name to come.
 *
 *     who waits                         who comes
 *     watch the space's directory
 *     look: nobody has the name
 *                                       bind, listen
 *                                       rename to the name: the kernel notes it
 *     sleep until there is a note
 *     look: there he is
 *
 * The watch is there before the look, so whoever comes after the look is noted;
 * and a name that comes leads to one who listens. What is decided is decided by
 * the look alone, never by what a note says: notes may be lost (then the kernel
 * says so, which is a note), and may be of one who has gone.
 */
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#define NOTES_BYTES 4096

static int watch(struct stoa_space *space)
{
	char path[32];
	long notes = stoa_system_call(SYS_inotify_init1,
	                              IN_CLOEXEC | IN_NONBLOCK, 0, 0, 0, 0, 0);

	if (notes < 0)
		return (int)notes;
	snprintf(path, sizeof path, "/proc/self/fd/%d", space->life.directory);
	long result = stoa_system_call(SYS_inotify_add_watch, notes, (long)path,
	                               IN_MOVED_TO | IN_ONLYDIR, 0, 0, 0);
	if (result < 0) {
		stoa_sys_close((int)notes);
		return (int)result;
	}
	return (int)notes;
}

static int explain(int result, const struct stoa_space *space, const char *file)
{
	if (result == -EMFILE || result == -ENOSPC)
		return stoa_fail(result,
		                 "can't wait for %s to come: no more descriptors "
		                 "(ulimit -n), or watches of this user "
		                 "(sysctl fs.inotify)",
		                 file);
	return stoa_fail(result, "can't wait for %s to come to %s: %s", file,
	                 space->path, strerror(-result));
}

/* 1: one of them is of the name, or says that some were lost. -ENOENT: there is
 * no such space any more. */
static int concerns(const char *notes, long bytes, const char *file)
{
	for (long at = 0; at < bytes;) {
		const struct inotify_event *note =
		        (const struct inotify_event *)(notes + at);

		if (note->mask & IN_IGNORED)
			return -ENOENT;
		if (note->mask & IN_Q_OVERFLOW ||
		    (note->len && strcmp(note->name, file) == 0))
			return 1;
		at += (long)(sizeof *note + note->len);
	}
	return 0;
}

static int sleep_until_noted(int notes, const char *file,
                             struct stoa_deadline deadline, unsigned flags)
{
	_Alignas(struct inotify_event) char bytes[NOTES_BYTES];

	for (;;) {
		long got = stoa_sys_read(notes, bytes, sizeof bytes);
		int result = got > 0 ? concerns(bytes, got, file) : (int)got;

		if (result > 0)
			return 0;
		if (result < 0 && result != -EAGAIN && result != -EINTR)
			return result;
		if (result < 0)
			result = stoa_socket_wait(notes, POLLIN, deadline,
			                          flags);
		if (result < 0)
			return result;
	}
}

int stoa_socket_await(struct stoa_space *space, const char *file,
                      int (*look)(void *context), void *context,
                      struct stoa_deadline deadline, unsigned flags)
{
	int result = look(context);

	if (!(flags & STOA_AWAIT) ||
	    (result != -ENOENT && result != -ECONNREFUSED))
		return result;
	if (stoa_deadline_left(deadline) == 0)
		return stoa_deadline_result(deadline);
	int notes = watch(space);
	if (notes < 0)
		return explain(notes, space, file);
	for (;;) {
		result = look(context);
		if (result != -ENOENT && result != -ECONNREFUSED)
			break;
		result = sleep_until_noted(notes, file, deadline, flags);
		if (result < 0)
			break;
	}
	stoa_sys_close(notes);
	return result;
}
