/* SPDX-License-Identifier: MIT */
/*
 * kernel/signal_target.c: sending signals, by pidfd. Between a look at a process
 * number and a kill(2) another process may get the number; a pidfd is the
 * process itself, and -ESRCH once it has gone.
 */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/proc.h>
#include <kernel/signal_internal.h>
#include <space/space.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What headers older than the kernel lack. */
#define OPEN_THREAD O_EXCL /* PIDFD_THREAD */
#define SEND_TO_THREAD 1u  /* PIDFD_SIGNAL_THREAD, and so on */
#define SEND_TO_PROCESS 2u
#define SEND_TO_GROUP 4u

#define STATUS_MAX 4096

struct stoa_signal_target {
	int fd;
	enum stoa_signal_scope scope;
	unsigned send_flags;
	pid_t id; /* as it was named; for sentences */
};

static const char *const scope_names[] = {
	[STOA_SIGNAL_PROCESS] = "process",
	[STOA_SIGNAL_THREAD] = "thread",
	[STOA_SIGNAL_GROUP] = "process group",
};

/* ---- Opening ---------------------------------------------------------------- */

/* Takes `fd` over, also on failure. */
static int make_target(int fd, enum stoa_signal_scope scope, unsigned flags,
                       pid_t id, struct stoa_signal_target **ret_target)
{
	struct stoa_signal_target *target = malloc(sizeof *target);

	if (!target) {
		stoa_sys_close(fd);
		return stoa_fail(-ENOMEM, "no memory to name %s %d",
		                 scope_names[scope], (int)id);
	}
	*target = (struct stoa_signal_target){ fd, scope, flags, id };
	*ret_target = target;
	return 0;
}

static int check_scope(enum stoa_signal_scope scope)
{
	if ((unsigned)scope > STOA_SIGNAL_GROUP)
		return stoa_fail(-EINVAL, "%u is no scope of a signal",
		                 (unsigned)scope);
	return 0;
}

static int open_failed(int error, pid_t id, enum stoa_signal_scope scope)
{
	const char *what = scope_names[scope];

	switch (error) {
	case -ESRCH:
		return stoa_fail(error,
		                 scope == STOA_SIGNAL_GROUP ?
		                         "the leader of %s %d has gone, or there "
		                         "is no such group; without it the kernel "
		                         "has no descriptor for the group" :
		                         "there is no %s %d",
		                 what, (int)id);
	case -ENOENT:
		return stoa_fail(error,
		                 "%d is a thread and no %s; name it with "
		                 "STOA_SIGNAL_THREAD (--thread)",
		                 (int)id, what);
	case -EINVAL: /* a number over 0, and known flags */
		if (scope == STOA_SIGNAL_THREAD)
			return stoa_fail(-ENOSYS,
			                 "a thread can't be held by this kernel: "
			                 "that takes Linux 6.9; name its process");
		return stoa_fail(-ENOENT, "%d is a thread and no %s", (int)id,
		                 what);
	case -ENOSYS:
		return stoa_fail(error, "this kernel has no pidfds; that takes "
		                        "Linux 5.3");
	}
	return stoa_fail(error, "%s %d can't be held by a descriptor: %s", what,
	                 (int)id, strerrordesc_np(-error));
}

int stoa_signal_target_open(pid_t id, enum stoa_signal_scope scope,
                            struct stoa_signal_target **ret_target)
{
	int result = check_scope(scope);

	if (result < 0)
		return result;
	if (id <= 0)
		return stoa_fail(-EINVAL,
		                 "a %s has a number over 0, not %d (kill(2) "
		                 "would send to many)",
		                 scope_names[scope], (int)id);
	int fd = (int)stoa_system_call(
	        SYS_pidfd_open, id,
	        scope == STOA_SIGNAL_THREAD ? OPEN_THREAD : 0, 0, 0, 0, 0);
	if (fd < 0)
		return open_failed(fd, id, scope);
	return make_target(fd, scope,
	                   scope == STOA_SIGNAL_GROUP ? SEND_TO_GROUP : 0, id,
	                   ret_target);
}

int stoa_signal_target_pidfd(int pidfd, enum stoa_signal_scope scope,
                             struct stoa_signal_target **ret_target)
{
	static const unsigned send_flags[] = {
		[STOA_SIGNAL_THREAD] = SEND_TO_THREAD,
		[STOA_SIGNAL_GROUP] = SEND_TO_GROUP,
	};
	int result = check_scope(scope);

	if (result < 0)
		return result;
	int fd = (int)stoa_system_call(SYS_fcntl, pidfd, F_DUPFD_CLOEXEC, 0, 0,
	                               0, 0);
	if (fd < 0)
		return stoa_fail(fd, "descriptor %d: %s", pidfd,
		                 strerrordesc_np(-fd));
	/* Whoever can be sent signal 0, or can't for want of a right, is a
	 * process. */
	result = (int)stoa_system_call(SYS_pidfd_send_signal, fd, 0, 0, 0, 0,
	                               0);
	if (result == -EBADF || result == -ENOSYS) {
		stoa_sys_close(fd);
		return stoa_fail(result, "descriptor %d is no pidfd", pidfd);
	}
	unsigned flags = send_flags[scope];
	long status = stoa_system_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
	/* Of one that names a thread, its process is meant. */
	if (scope == STOA_SIGNAL_PROCESS && status >= 0 &&
	    (status & OPEN_THREAD))
		flags = SEND_TO_PROCESS;
	pid_t id = stoa_proc_pidfd(fd);
	return make_target(fd, scope, flags, id > 0 ? id : 0, ret_target);
}

void stoa_signal_target_close(struct stoa_signal_target *target)
{
	if (!target)
		return;
	stoa_sys_close(target->fd);
	free(target);
}

int stoa_signal_target_pollfd(const struct stoa_signal_target *target)
{
	return target->fd;
}

pid_t stoa_signal_target_id(const struct stoa_signal_target *target)
{
	pid_t id = stoa_proc_pidfd(target->fd);

	if (id == -ESRCH)
		return stoa_fail(-ESRCH, "%s %d has gone",
		                 scope_names[target->scope], (int)target->id);
	return id;
}

/* ---- Who may, and how many: said in words ------------------------------------- */

/* What the kernel says of the target now, into `status`, and nothing of who
 * took its number. 0, or -errno. */
static int look_at(const struct stoa_signal_target *target,
                   char status[STATUS_MAX])
{
	char path[PROC_PATH_MAX];
	pid_t pid = stoa_proc_pidfd(target->fd);

	if (pid < 0)
		return pid;
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	ssize_t result = stoa_proc_status(path, status, STATUS_MAX);
	if (result < 0)
		return (int)result;
	return stoa_proc_pidfd(target->fd) == pid ? 0 : -ESRCH;
}

static int not_permitted(const struct stoa_signal_target *target,
                         const char *name)
{
	char status[STATUS_MAX];
	int64_t uid = look_at(target, status) < 0 ?
	                      -1 :
	                      stoa_proc_number(status, "Uid", 10, -1);

	if (uid < 0)
		return stoa_fail(-EPERM,
		                 "user %d may not send %s to %s %d: it is "
		                 "another user's",
		                 stoa_sys_getuid(), name,
		                 scope_names[target->scope], (int)target->id);
	return stoa_fail(-EPERM,
	                 "user %d may not send %s to %s %d, which is user %d's; "
	                 "that user may, and root, and for SIGCONT whoever is of "
	                 "the same session",
	                 stoa_sys_getuid(), name, scope_names[target->scope],
	                 (int)target->id, (int)uid);
}

static int too_many(const struct stoa_signal_target *target, const char *name)
{
	char status[STATUS_MAX];
	const char *queued = NULL;

	if (look_at(target, status) == 0)
		queued = stoa_proc_value(status, "SigQ");
	if (!queued)
		queued = "all";
	return stoa_fail(-EAGAIN,
	                 "%s can't be queued for %s %d: its user has %.*s "
	                 "signals queued of those RLIMIT_SIGPENDING allows; some "
	                 "must be taken first, or ulimit -i raised there",
	                 name, scope_names[target->scope], (int)target->id,
	                 (int)strcspn(queued, "\n"), queued);
}

static int send_failed(const struct stoa_signal_target *target, int number,
                       int error)
{
	char name[STOA_SIGNAL_NAME_MAX] = "signals";

	if (number)
		stoa_signal_name(number, name);
	switch (error) {
	case -ESRCH:
		return stoa_fail(error, "%s %d has gone, and got no %s",
		                 scope_names[target->scope], (int)target->id,
		                 name);
	case -EPERM: return not_permitted(target, name);
	case -EAGAIN: return too_many(target, name);
	case -EINVAL:
		if (target->send_flags)
			return stoa_fail(-ENOSYS,
			                 "this kernel can't send to a %s by "
			                 "descriptor: that takes Linux 6.9",
			                 scope_names[target->scope]);
	}
	return stoa_fail(error, "%s to %s %d: %s", name,
	                 scope_names[target->scope], (int)target->id,
	                 strerrordesc_np(-error));
}

/* ---- Sending ------------------------------------------------------------------ */

static int deliver(const struct stoa_signal_target *target, int number,
                   siginfo_t *info)
{
	int result = number ? stoa_signal_check(number, 1, "sent") : 0;

	if (result < 0)
		return result;
	/* One that ended and wasn't waited for would take it, for nothing. A
	 * group lives on without its leader. */
	if (target->scope != STOA_SIGNAL_GROUP &&
	    stoa_proc_ended(target->fd) == 1)
		return send_failed(target, number, -ESRCH);
	if (STOA_BUG(110) && target->scope == STOA_SIGNAL_PROCESS)
		result = (int)stoa_system_call(SYS_kill, target->id, number, 0,
		                               0, 0, 0);
	else
		result = (int)stoa_system_call(SYS_pidfd_send_signal,
		                               target->fd, number, (long)info,
		                               target->send_flags, 0, 0);
	return result < 0 ? send_failed(target, number, result) : 0;
}

static int deliver_value(const struct stoa_signal_target *target, int number,
                         union sigval value)
{
	siginfo_t info;

	memset(&info, 0, sizeof info);
	info.si_signo = number;
	info.si_code = SI_QUEUE;
	info.si_pid = stoa_sys_getpid();
	info.si_uid = (uid_t)stoa_system_call(SYS_getuid, 0, 0, 0, 0, 0, 0);
	info.si_value = value;
	return deliver(target, number, &info);
}

int stoa_signal_send(const struct stoa_signal_target *target, int number)
{
	union sigval none;

	memset(&none, 0, sizeof none);
	/* What kill(2) can't queue it drops without a word. */
	if (number > SIGNAL_LIBC_LAST && number <= STOA_SIGNAL_MAX)
		return deliver_value(target, number, none);
	return deliver(target, number, NULL);
}

int stoa_signal_queue(const struct stoa_signal_target *target, int number,
                      union sigval value)
{
	return deliver_value(target, number, value);
}
