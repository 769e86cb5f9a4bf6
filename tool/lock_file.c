/* SPDX-License-Identifier: MIT */
/* lock_file.c: stoa lock --file: locks files as flock(1) and lockf(3) do. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lock.h"

#define FILE_MODE 0666 /* less the umask, as flock(1) */
#define REPLACED_MAX 1000 /* times that the file may vanish under the lock */

static const char *name_of(const struct tool_file_lock *file, char *text)
{
	if (file->path)
		return file->path;
	snprintf(text, TOOL_TEXT_MAX, "descriptor %d", file->fd);
	return text;
}

/* ---- Opening ------------------------------------------------------------------ */

/* A whole needs no access but to open it, and a directory can't be made. */
static int open_path(const struct tool_file_lock *file, unsigned more,
                     struct stoa_file_lock **ret_lock)
{
	bool writes = file->ranged && file->range.mode == STOA_RANGE_EXCLUSIVE;
	unsigned flags = STOA_READ | (writes ? STOA_WRITE : 0) | more;
	int result = stoa_file_lock_open(file->path, flags | STOA_CREATE,
	                                 FILE_MODE, ret_lock);

	if (result == -EISDIR && !writes)
		result = stoa_file_lock_open(file->path, flags, 0, ret_lock);
	return result;
}

static int open_file(const struct tool_file_lock *file, unsigned more,
                     struct stoa_file_lock **ret_lock)
{
	return file->path ? open_path(file, more, ret_lock) :
	                    stoa_file_lock_adopt(file->fd, 0, ret_lock);
}

/* ---- Locking ------------------------------------------------------------------- */

static void say_who(const struct tool_file_lock *file,
                    struct stoa_file_lock *lock)
{
	struct stoa_file_lock_blocker blocker;
	char text[TOOL_TEXT_MAX];
	const char *name = name_of(file, text);
	int result = file->ranged ?
	                     stoa_file_lock_test_range(lock, &file->range,
	                                               &blocker) :
	                     stoa_file_lock_test(lock, file->range.mode,
	                                         &blocker);

	if (result != 1)
		return;
	if (blocker.pid)
		fprintf(stderr, "stoa: %s is locked by process %d (%s)\n", name,
		        blocker.pid, blocker.command);
	else
		fprintf(stderr,
		        "stoa: %s is locked by a process that can't be seen "
		        "from here\n", name);
}

static int lock_once(const struct tool_file_lock *file,
                     struct stoa_file_lock *lock,
                     struct stoa_deadline deadline)
{
	return file->ranged ?
	               stoa_file_lock_lock_range(lock, &file->range, deadline) :
	               stoa_file_lock_lock(lock, file->range.mode, deadline);
}

/* What is in the way is told before it is waited for. */
static int lock_by(const struct tool_file_lock *file,
                   struct stoa_file_lock *lock, struct stoa_deadline deadline)
{
	int result = lock_once(file, lock, STOA_NOW);

	if (result != -EAGAIN)
		return result;
	if (file->verbose)
		say_who(file, lock);
	return lock_once(file, lock, deadline);
}

/* The file that was locked may have been removed or replaced while this waited:
 * then others lock another one. */
static bool is_lost(const struct tool_file_lock *file,
                    struct stoa_file_lock *lock)
{
	struct stoa_file_lock_status status = { .size = sizeof(status) };

	return file->path && stoa_file_lock_stat(lock, &status) == 0 &&
	       status.current == 0;
}

static int obtain(const struct tool_file_lock *file,
                  struct stoa_deadline deadline,
                  struct stoa_file_lock **ret_lock)
{
	struct stoa_file_lock *lock;
	unsigned more = 0;
	int result;

	for (int i = 0; i < REPLACED_MAX; i++) {
		result = open_file(file, more, &lock);
		if (result < 0)
			return result;
		result = lock_by(file, lock, deadline);
		if (result >= 0 && !is_lost(file, lock)) {
			*ret_lock = lock;
			return 0;
		}
		stoa_file_lock_close(lock);
		/* NFS wants to write for an exclusive lock. */
		if (result == -EBADF && file->path && !file->ranged && !more)
			more = STOA_WRITE;
		else if (result < 0)
			return result;
	}
	return -EAGAIN;
}

/* ---- stoa lock --file ------------------------------------------------------------ */

static int unlock(const struct tool_file_lock *file)
{
	struct stoa_file_lock *lock;
	int result = open_file(file, 0, &lock);

	if (result < 0)
		return tool_failure(result, "unlocking");
	result = file->ranged ?
	                 stoa_file_lock_unlock_range(lock, &file->range) :
	                 stoa_file_lock_unlock(lock);
	stoa_file_lock_close(lock);
	return result < 0 ? tool_failure(result, "unlocking") : TOOL_DONE;
}

/* Of an adopted descriptor, too: it came open to be inherited, but a command
 * holds the lock only if that was asked for. */
static int settle_inheritance(const struct tool_file_lock *file,
                              struct stoa_file_lock *lock)
{
	return fcntl(stoa_file_lock_fd(lock), F_SETFD,
	             file->inherit ? 0 : FD_CLOEXEC) ?
	               tool_failure(-errno, "the descriptor") :
	               TOOL_DONE;
}

int tool_lock_file(const struct tool_common *common,
                   const struct tool_file_lock *file, char **command)
{
	struct stoa_file_lock *lock;
	char text[TOOL_TEXT_MAX];
	int code, result;

	if (file->unlock)
		return unlock(file);
	result = obtain(file, tool_deadline(common), &lock);
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return common->no_exit;
	if (result < 0)
		return tool_failure(result, name_of(file, text));
	code = command ? settle_inheritance(file, lock) : TOOL_DONE;
	if (command && code == TOOL_DONE)
		code = tool_run(command);
	stoa_file_lock_close(lock);
	return code;
}
