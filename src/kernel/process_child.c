/* SPDX-License-Identifier: MIT */
/*
 * kernel/process_child.c: from clone to exec.
 *
 * The child runs in the caller's memory, on a piece of the caller's stack, with
 * the caller's thread standing still (CLONE_VM, CLONE_VFORK): no page table is
 * copied, however much is mapped. What it may do here is therefore little:
 *
 *  - nothing but system calls, all by stoa_system_call(): no lock, no memory,
 *    nothing of libc's that keeps state (sigaction and sigprocmask of libc are
 *    wrapped by sanitizers, whose tables are the caller's);
 *  - no signal may be taken: a handler would run in the caller's memory as
 *    somebody else. All are blocked before the clone (the kernel's own call:
 *    libc keeps two back for itself) and unblocked when none has a handler any
 *    more;
 *  - descriptors, directory, umask and dispositions are copies (no CLONE_FILES,
 *    CLONE_FS, CLONE_SIGHAND), and may be changed;
 *  - what it writes into the plan the caller reads when it runs again: after
 *    exec or _exit, in order. So an exec's errno needs no pipe.
 *
 * The exit signal is none until exec, which makes it SIGCHLD: of a child that
 * never came so far no other waiter and no handler hears.
 */
#include <base/bug.h>
#include <kernel/process_internal.h>

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES 16384
#define FAILED_STATUS 127
#define GUARD_LEAST 200
#define SIGNAL_LAST 64
#define MASK_BYTES 8 /* the kernel's sigset_t */

/* The kernel's struct sigaction, on x86-64 and aarch64. */
struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static void fail(struct process_plan *plan, enum process_step step, int which,
                 long error)
{
	plan->step = step;
	plan->which = which;
	plan->error = (int)error;
	stoa_system_call(SYS_exit_group, FAILED_STATUS, 0, 0, 0, 0, 0);
}

/* ---- Descriptors ------------------------------------------------------------------- */

static int is_number(const struct process_plan *plan, int fd)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->moves[i].number == fd)
			return 1;
	return 0;
}

static int highest(const struct process_plan *plan)
{
	return plan->count ? plan->moves[plan->count - 1].number : 2;
}

static long open_null(void)
{
	return stoa_system_call(SYS_openat, AT_FDCWD, (long)"/dev/null",
	                        O_RDWR | O_CLOEXEC, 0, 0, 0);
}

/* To a number that nothing is to have: above all of them, or, at the limit,
 * between. */
static long move_away(const struct process_plan *plan, long fd)
{
	long result = stoa_system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
	                               highest(plan) + 1, 0, 0, 0);
	long least = STDERR_FILENO + 1;

	if (result != -EINVAL && result != -EMFILE)
		return result;
	for (;; least = result + 1) {
		result = stoa_system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least,
		                          0, 0, 0);
		if (result < 0)
			return result == -EINVAL ? -EMFILE : result;
		if (!is_number(plan, (int)result))
			return result;
		stoa_system_call(SYS_close, result, 0, 0, 0, 0, 0);
	}
}

/* A source that has a number which something else is to have goes out of the
 * way. */
static void clear_the_way(struct process_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct process_move *move = &plan->moves[i];
		long fd = move->fd;

		if (move->fd == PROCESS_OPEN_NULL)
			fd = open_null();
		if (fd >= 0 && fd != move->number && is_number(plan, (int)fd))
			fd = move_away(plan, fd);
		if (fd < 0)
			fail(plan, PROCESS_STEP_DESCRIPTOR, move->number, fd);
		move->fd = (int)fd;
	}
}

static void place(struct process_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct process_move *move = &plan->moves[i];
		long result;

		if (move->fd == move->number)
			result = stoa_system_call(SYS_fcntl, move->fd, F_SETFD,
			                          0, 0, 0, 0);
		else
			result = stoa_system_call(SYS_dup3, move->fd,
			                          move->number, 0, 0, 0, 0);
		if (result < 0)
			fail(plan, PROCESS_STEP_DESCRIPTOR, move->number,
			     result);
	}
}

static void close_between(struct process_plan *plan, unsigned from, unsigned to)
{
	long result;

	if (from > to)
		return;
	result = stoa_system_call(SYS_close_range, from, to, 0, 0, 0, 0);
	if (result < 0)
		fail(plan, PROCESS_STEP_CLOSE, 0, result);
}

/* All but those that it is to have; the guard is above these. */
static void close_others(struct process_plan *plan)
{
	unsigned from = STDERR_FILENO + 1;

	for (size_t i = 0; i < plan->count; i++) {
		unsigned number = (unsigned)plan->moves[i].number;

		if (number < from)
			continue;
		close_between(plan, from, number - 1);
		from = number + 1;
	}
	if (plan->guard >= 0) {
		close_between(plan, from, (unsigned)plan->guard - 1);
		from = (unsigned)plan->guard + 1;
	}
	close_between(plan, from, ~0u);
}

/* ---- All else -------------------------------------------------------------------- */

static void enter_session(struct process_plan *plan)
{
	long result = 0;

	if (plan->flags & STOA_PROCESS_SESSION) {
		result = stoa_system_call(SYS_setsid, 0, 0, 0, 0, 0, 0);
		if (result < 0)
			fail(plan, PROCESS_STEP_SESSION, 0, result);
	} else if (plan->flags & STOA_PROCESS_GROUP) {
		result = stoa_system_call(SYS_setpgid, 0, plan->group, 0, 0, 0,
		                          0);
		/* All of it may have ended, and been waited for. */
		if (result == -EPERM && plan->group) {
			plan->group = 0;
			plan->leads = 1;
			result =
				stoa_system_call(SYS_setpgid, 0, 0, 0, 0, 0, 0);
		}
		if (result < 0)
			fail(plan, PROCESS_STEP_GROUP, 0, result);
	}
	if (plan->flags & STOA_PROCESS_CONTROL)
		result = stoa_system_call(SYS_ioctl, STDIN_FILENO, TIOCSCTTY, 0,
		                          0, 0, 0);
	if (result < 0)
		fail(plan, PROCESS_STEP_CONTROL, 0, result);
}

/*
 * The parent has the only descriptor of the other end, and the kernel closes it
 * when the parent is gone: that is an event of this pipe, and its signal is
 * SIGKILL. It is asked for first and looked for then, so that none is missed.
 */
static void set_guard(struct process_plan *plan)
{
	struct f_owner_ex owner = { F_OWNER_PID, 0 };
	struct pollfd poll = { .events = POLLIN };
	struct timespec none = { 0, 0 };
	long result, fd = plan->guard;

	if (plan->flags & (STOA_PROCESS_GROUP | STOA_PROCESS_SESSION))
		owner.type = F_OWNER_PGRP;
	owner.pid = (pid_t)stoa_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	if (owner.type == F_OWNER_PGRP && plan->group)
		owner.pid = plan->group;
	result = stoa_system_call(SYS_fcntl, fd, F_SETOWN_EX, (long)&owner, 0,
	                          0, 0);
	if (result >= 0)
		result = stoa_system_call(SYS_fcntl, fd, F_SETSIG, SIGKILL, 0,
		                          0, 0);
	if (result >= 0)
		result = stoa_system_call(SYS_fcntl, fd, F_SETFL,
		                          O_RDONLY | O_ASYNC, 0, 0, 0);
	poll.fd = (int)fd;
	if (result >= 0)
		result = stoa_system_call(SYS_ppoll, (long)&poll, 1,
		                          (long)&none, 0, 0, 0);
	if (result > 0)
		result = -ECANCELED; /* it is gone: nobody will read this */
	if (result < 0)
		fail(plan, PROCESS_STEP_GUARD, 0, result);
}

/* Above all that it is to have, and those that programs are used to take. */
static void lift_guard(struct process_plan *plan)
{
	int least = highest(plan) + 1;
	long result =
		stoa_system_call(SYS_fcntl, plan->guard, F_DUPFD,
	                         least > GUARD_LEAST ? least : GUARD_LEAST, 0,
	                         0, 0);

	if (result == -EINVAL)
		result = stoa_system_call(SYS_fcntl, plan->guard, F_DUPFD,
		                          least, 0, 0, 0);
	if (result < 0)
		fail(plan, PROCESS_STEP_GUARD, 0,
		     result == -EINVAL ? -EMFILE : result);
	plan->guard = (int)result;
}

static void enter_directory(struct process_plan *plan)
{
	long result = 0;

	if (plan->directory)
		result = stoa_system_call(SYS_chdir, (long)plan->directory, 0,
		                          0, 0, 0, 0);
	if (result < 0)
		fail(plan, PROCESS_STEP_DIRECTORY, 0, result);
	if (plan->flags & STOA_PROCESS_UMASK)
		stoa_system_call(SYS_umask, plan->umask, 0, 0, 0, 0, 0);
}

/* An ignored signal would stay ignored across exec; one with a handler must
 * lose it before signals are unblocked. */
static void reset_signals(struct process_plan *plan)
{
	struct kernel_action action = { 0 };
	uint64_t none = 0;
	long result;

	for (int number = 1; number <= SIGNAL_LAST; number++) {
		if (number == SIGKILL || number == SIGSTOP)
			continue;
		if ((plan->flags & STOA_PROCESS_IGNORED) || STOA_BUG(121)) {
			result = stoa_system_call(SYS_rt_sigaction, number, 0,
			                          (long)&action, MASK_BYTES, 0,
			                          0);
			if (result < 0 || action.handler == SIG_IGN)
				continue;
			memset(&action, 0, sizeof action);
		}
		stoa_system_call(SYS_rt_sigaction, number, (long)&action, 0,
		                 MASK_BYTES, 0, 0);
	}
	result = stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none,
	                          0, MASK_BYTES, 0, 0);
	if (result < 0)
		fail(plan, PROCESS_STEP_SIGNALS, 0, result);
}

static long execute(struct process_plan *plan, const char *file)
{
	return stoa_system_call(SYS_execve, (long)file, (long)plan->arguments,
	                        (long)plan->environment, 0, 0, 0);
}

/* As execvp(3): what can't be executed is passed over, and remembered. */
static long execute_along_path(struct process_plan *plan)
{
	const char *at = plan->path;
	size_t length = strlen(plan->file) + 1;
	long error = -ENOENT;

	for (;;) {
		const char *end = strchrnul(at, ':');
		size_t part = (size_t)(end - at);
		char *to = mempcpy(plan->candidate, at, part);

		if (part)
			*to++ = '/';
		memcpy(to, plan->file, length);
		long result = execute(plan, plan->candidate);
		if (result == -EACCES)
			error = result;
		else if (result != -ENOENT && result != -ENOTDIR &&
		         result != -ESTALE && result != -ENODEV &&
		         result != -ETIMEDOUT)
			return result;
		if (!*end)
			return error;
		at = end + 1;
	}
}

static int run_child(void *context)
{
	struct process_plan *plan = context;

	plan->leads =
		!plan->group &&
		(plan->flags & (STOA_PROCESS_GROUP | STOA_PROCESS_SESSION));
	if (plan->guard >= 0)
		lift_guard(plan);
	clear_the_way(plan);
	place(plan);
	if (!(plan->flags & STOA_PROCESS_DESCRIPTORS) && !STOA_BUG(120))
		close_others(plan);
	enter_session(plan);
	if (plan->guard >= 0)
		set_guard(plan);
	enter_directory(plan);
	reset_signals(plan);
	fail(plan, PROCESS_STEP_EXEC, 0,
	     plan->path ? execute_along_path(plan) : execute(plan, plan->file));
	return FAILED_STATUS;
}

/* ---- In the caller ------------------------------------------------------------- */

static void bury(int pidfd)
{
	siginfo_t info;
	long result;

	do
		result = stoa_system_call(SYS_waitid, P_PIDFD, pidfd,
		                          (long)&info, WEXITED | __WALL, 0, 0);
	while (result == -EINTR);
	stoa_sys_close(pidfd);
}

static long raised(int fd)
{
	return stoa_system_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
	                        STDERR_FILENO + 1, 0, 0, 0);
}

int process_make_above(int *fd)
{
	long result = *fd;

	if (*fd > STDERR_FILENO)
		return 0;
	result = raised(*fd);
	if (result < 0)
		return (int)result;
	stoa_sys_close(*fd);
	*fd = (int)result;
	return 0;
}

int process_make_pipe(int fds[2])
{
	int made[2];
	int result = (int)stoa_system_call(SYS_pipe2, (long)made, O_CLOEXEC, 0,
	                                   0, 0, 0);

	if (result < 0)
		return result;
	for (int i = 0; i < 2 && result == 0; i++)
		result = process_make_above(&made[i]);
	if (result < 0) {
		stoa_sys_close(made[0]);
		stoa_sys_close(made[1]);
		return result;
	}
	fds[0] = made[0];
	fds[1] = made[1];
	return 0;
}

/* The same for the pidfd; without room for it there is no command. */
static int raise_pidfd(int *pidfd)
{
	int result = process_make_above(pidfd);

	if (result < 0)
		while (stoa_system_call(SYS_pidfd_send_signal, *pidfd, SIGKILL,
		                        0, 0, 0, 0) == -ENOMEM)
			;
	return result;
}

pid_t process_launch(struct process_plan *plan, int *ret_pidfd)
{
	_Alignas(16) char stack[STACK_BYTES];
	uint64_t all = ~UINT64_C(0), before = 0;
	int pidfd = -1;
	long pid;

	plan->step = PROCESS_STEP_NONE;
	plan->error = 0;
	pid = stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all,
	                       (long)&before, MASK_BYTES, 0, 0);
	if (pid < 0)
		return (pid_t)pid;
	pid = stoa_sys_clone(run_child, stack + sizeof stack,
	                     CLONE_VM | CLONE_VFORK | CLONE_PIDFD, plan,
	                     &pidfd);
	stoa_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0,
	                 MASK_BYTES, 0, 0);
	if (pid < 0)
		return (pid_t)pid;
	if (!plan->error)
		plan->error = raise_pidfd(&pidfd);
	if (plan->error) {
		bury(pidfd);
		return plan->error;
	}
	*ret_pidfd = pidfd;
	return (pid_t)pid;
}
