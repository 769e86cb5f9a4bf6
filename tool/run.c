/* SPDX-License-Identifier: MIT */
/* run.c: runs a command while something is held. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

#define NOT_FOUND 127
#define NOT_RUN 126

static volatile sig_atomic_t child_pid;

static void forward(int number)
{
	int kept = errno;

	if (child_pid > 0)
		kill(child_pid, number);
	errno = kept;
}

/* As system(3): the terminal tells the command itself of SIGINT and SIGQUIT.
 * Others are for it, too, and its end is this one's. */
static void hand_on_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	struct sigaction action = { .sa_handler = forward }, before;

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		sigaction(numbers[i], NULL, &before);
		if (before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
}

/* If stoa is killed somebody else has what it held at once, so the command is
 * told to stop. Nothing of that is inherited: all of it is close-on-exec. */
__attribute__((noreturn)) static void become(char **command, pid_t parent,
                                             const sigset_t *mask)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(NOT_RUN);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(command[0], command);
	tool_error("can't run '%s': %s", command[0], strerror(errno));
	_exit(errno == ENOENT ? NOT_FOUND : NOT_RUN);
}

int tool_run(char **command)
{
	pid_t parent = getpid();
	sigset_t all, mask;
	int status;

	fflush(stdout);
	/* A signal between fork and the handlers would be lost. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	pid_t child = fork();
	if (child == 0)
		become(command, parent, &mask);
	if (child < 0) {
		status = tool_error("can't fork: %s", strerror(errno));
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return status;
	}
	child_pid = child;
	hand_on_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return tool_error("waiting for '%s': %s", command[0],
			                  strerror(errno));
	child_pid = 0;
	return WIFSIGNALED(status) ? TOOL_SIGNAL_EXIT + WTERMSIG(status) :
	                             WEXITSTATUS(status);
}
