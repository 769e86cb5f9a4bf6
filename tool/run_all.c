/* SPDX-License-Identifier: MIT */
/*
 * run_all.c: runs a command and waits for all its descendants. Those whose
 * parents end become children of this process: it is their subreaper.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dropin.h"

#define NOT_FOUND 127
#define NOT_RUN 126

/* Sends it to each child: the command is gone, others are not. */
static void tell_children(int number)
{
	char path[64];
	FILE *file;
	int pid;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
	file = fopen(path, "re");
	if (!file)
		return;
	while (fscanf(file, "%d", &pid) == 1)
		kill(pid, number);
	fclose(file);
}

/* What the terminal sends, it sends to the command, too: its process group is
 * the same. */
static void hand_on(const siginfo_t *info, pid_t command)
{
	if (info->si_code != SI_KERNEL) {
		if (command)
			kill(command, info->si_signo);
		else
			tell_children(info->si_signo);
	} else if (info->si_signo == SIGTSTP) {
		raise(SIGSTOP);
	}
}

/* Returns when there are no children left. `*status` is the command's. */
static void wait_for_all(pid_t command, int *status)
{
	siginfo_t info;
	sigset_t all;

	sigfillset(&all);
	for (;;) {
		int ended;
		pid_t pid = waitpid(-1, &ended, WNOHANG);

		if (pid < 0)
			return;
		if (pid == command) {
			*status = ended;
			command = 0;
		}
		if (pid == 0 && sigwaitinfo(&all, &info) > 0 &&
		    info.si_signo != SIGCHLD)
			hand_on(&info, command);
	}
}

__attribute__((noreturn)) static void
become(char **command, const sigset_t *mask, const struct sigaction *child)
{
	sigaction(SIGCHLD, child, NULL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(command[0], command);
	tool_error("can't run '%s': %s", command[0], strerror(errno));
	_exit(errno == ENOENT ? NOT_FOUND : NOT_RUN);
}

int tool_run_all(char **command)
{
	struct sigaction usual = { .sa_handler = SIG_DFL }, before;
	sigset_t all, mask;
	int status = 0;

	fflush(stdout);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigaction(SIGCHLD, &usual, &before);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	pid_t child = fork();
	if (child == 0)
		become(command, &mask, &before);
	if (child < 0)
		return tool_error("can't fork: %s", strerror(errno));
	wait_for_all(child, &status);
	return WIFSIGNALED(status) ? TOOL_SIGNAL_EXIT + WTERMSIG(status)
	                           : WEXITSTATUS(status);
}
