/* SPDX-License-Identifier: MIT */
/* command.c: runs a command with a message on its standard input. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

#define SHELL "/bin/sh"
#define SHELL_FAILED 127

static void set_number(const char *name, uint64_t number)
{
	char text[TOOL_TEXT_MAX];

	snprintf(text, sizeof text, "%" PRIu64, number);
	setenv(name, text, 1);
}

static void tell_about(const char *queue, const struct stoa_message *message)
{
	setenv("STOA_QUEUE", queue, 1);
	set_number("STOA_SEQUENCE", message->sequence);
	set_number("STOA_TYPE", (uint64_t)message->type);
	set_number("STOA_PRIORITY", message->priority);
	set_number("STOA_DELIVERIES", message->deliveries);
	set_number("STOA_BYTES", message->bytes);
	set_number("STOA_SENDER_PID", (uint64_t)message->sender_pid);
}

/* If stoa is killed its message goes to somebody else at once, so the command
 * is told to stop working on it. */
__attribute__((noreturn)) static void become(const char *command,
                                             const char *queue,
                                             const struct stoa_message *message,
                                             int input, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || dup2(input, STDIN_FILENO) < 0)
		_exit(SHELL_FAILED);
	tell_about(queue, message);
	execl(SHELL, "sh", "-c", command, (char *)NULL);
	_exit(SHELL_FAILED);
}

/* A command that doesn't read its input is no failure: its status decides. */
static void feed(int fd, const struct stoa_message *message)
{
	const char *at = message->data;
	size_t bytes = message->bytes;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;

	sigaction(SIGPIPE, &ignore, &before);
	while (bytes) {
		ssize_t written = write(fd, at, bytes);

		if (written < 0 && (errno != EINTR || tool_stop_asked()))
			break;
		if (written > 0) {
			at += written;
			bytes -= (size_t)written;
		}
	}
	sigaction(SIGPIPE, &before, NULL);
}

static int wait_for(pid_t child)
{
	bool forwarded = false;
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
		if (tool_stop_asked() && !forwarded) {
			kill(child, tool_stop_signal());
			forwarded = true;
		}
	}
	return WIFSIGNALED(status) ? TOOL_SIGNAL_EXIT + WTERMSIG(status)
	                           : WEXITSTATUS(status);
}

int tool_run_command(const char *command, const char *queue,
                     const struct stoa_message *message)
{
	pid_t child, parent = getpid();
	int ends[2], status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0)
		become(command, queue, message, ends[0], parent);
	close(ends[0]);
	if (child < 0) {
		status = -errno;
		close(ends[1]);
		return status;
	}
	feed(ends[1], message);
	close(ends[1]);
	status = wait_for(child);
	return status;
}
