/* SPDX-License-Identifier: MIT */
/* kernel/terminal_command.c: runs a command as the leader of a session on a
 * terminal, and learns of its end. */
#include <base/error.h>
#include <base/system.h>
#include <kernel/terminal_internal.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define FAILED_EXIT 127

struct launch {
	int terminal_fd, report_fd;
	const char *directory;
	char *const *environment;
	char *const *argv;
};

/* ---- In the child: async-signal-safe calls alone ------------------------------- */

static void default_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&action.sa_mask);
	sigprocmask(SIG_SETMASK, &action.sa_mask, NULL);
}

/* The three standard ones may be closed in the caller: then one of ours may
 * stand where they will. */
static int move_up(int fd)
{
	return fd > STDERR_FILENO ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void launch(const struct launch *given)
{
	int report = move_up(given->report_fd), error;
	int terminal = move_up(given->terminal_fd);

	error = terminal < 0 ? -EMFILE : stoa_terminal_lead(terminal);
	for (int fd = 0; error == 0 && fd <= STDERR_FILENO; fd++)
		if (dup2(terminal, fd) < 0)
			error = -errno;
	if (error == 0 && given->directory && chdir(given->directory) < 0)
		error = -errno;
	if (error == 0) {
		default_signals();
		execvpe(given->argv[0], given->argv, given->environment);
		error = -errno;
	}
	while (write(report, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(FAILED_EXIT);
}

/* ---- In the caller ---------------------------------------------------------------- */

static int fork_blocked(const struct launch *given, pid_t *ret_pid)
{
	sigset_t all, before;
	pid_t pid;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	error = -errno;
	if (pid == 0)
		launch(given);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return stoa_fail(error, "can't make a process for '%s': %s",
		                 given->argv[0], strerror(-error));
	*ret_pid = pid;
	return 0;
}

/* What the child says before it executes the command: nothing, if it does. */
static int await_launch(int fd)
{
	int error = 0;
	ssize_t got;

	do
		got = stoa_sys_read(fd, &error, sizeof(error));
	while (got == -EINTR);
	return got == (ssize_t)sizeof(error) ? error : got < 0 ? (int)got : 0;
}

static void kill_and_wait(pid_t pid, int pidfd)
{
	siginfo_t info;
	long result;

	if (pidfd >= 0)
		stoa_system_call(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0, 0,
		                 0);
	else
		stoa_system_call(SYS_kill, pid, SIGKILL, 0, 0, 0, 0);
	do
		result = stoa_system_call(SYS_waitid,
		                          pidfd >= 0 ? P_PIDFD : P_PID,
		                          pidfd >= 0 ? pidfd : pid, (long)&info,
		                          WEXITED, 0, 0);
	while (result == -EINTR);
}

/* The child is not waited for by others: its number is its own until then. */
static int meet_child(const struct launch *given, pid_t pid, int report_fd,
                      int *ret_pidfd)
{
	int pidfd = (int)stoa_system_call(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
	int result = pidfd < 0 ? pidfd : await_launch(report_fd);

	if (result < 0) {
		kill_and_wait(pid, pidfd);
		if (pidfd >= 0)
			stoa_sys_close(pidfd);
		return stoa_fail(result, "can't run '%s'%s%s: %s",
		                 given->argv[0], given->directory ? " in " : "",
		                 given->directory ? given->directory : "",
		                 strerror(-result));
	}
	*ret_pidfd = pidfd;
	return 0;
}

int terminal_command_start(int terminal_fd, const char *directory,
                           char *const *environment, char *const argv[],
                           pid_t *ret_pid, int *ret_pidfd)
{
	struct launch given = { terminal_fd, -1, directory,
		                environment ? environment : environ, argv };
	int report[2];
	int result = (int)stoa_system_call(SYS_pipe2, (long)report, O_CLOEXEC,
	                                   0, 0, 0, 0);

	if (result < 0)
		return stoa_fail(result, "can't make a pipe to run '%s': %s",
		                 argv[0], strerror(-result));
	given.report_fd = report[1];
	pid_t pid = 0;

	result = fork_blocked(&given, &pid);
	stoa_sys_close(report[1]);
	if (result == 0)
		result = meet_child(&given, pid, report[0], ret_pidfd);
	stoa_sys_close(report[0]);
	if (result == 0)
		*ret_pid = pid;
	return result;
}

int terminal_command_ended(int pidfd, struct stoa_terminal_status *ret_status)
{
	siginfo_t info = { .si_pid = 0 };
	long result;

	do
		result = stoa_system_call(SYS_waitid, P_PIDFD, pidfd,
		                          (long)&info, WEXITED | WNOHANG, 0, 0);
	while (result == -EINTR);
	if (result == 0 && info.si_pid == 0)
		return 0;
	*ret_status = (struct stoa_terminal_status){ .ended = 1 };
	if (result < 0)
		ret_status->unknown = 1;
	else if (info.si_code == CLD_EXITED)
		ret_status->code = info.si_status;
	else
		ret_status->number = info.si_status;
	return 1;
}
