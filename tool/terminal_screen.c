/* SPDX-License-Identifier: MIT */
/*
 * terminal_screen.c: the terminal that the command was called from: raw for a
 * while, and given back however that ends.
 *
 * By a signal that can be caught: it comes by a descriptor, and the command
 * leaves in order. By kill -9: a guard, a child that does nothing but wait for
 * the end of a pipe, gives the mode back.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "terminal.h"

static void wanted_signals(sigset_t *set)
{
	static const int numbers[] = { SIGWINCH, SIGTERM, SIGHUP, SIGINT,
		                       SIGQUIT };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaddset(set, numbers[i]);
}

/* ---- The guard ---------------------------------------------------------------- */

/* In the child. A byte: all was given back already. */
static _Noreturn void guard(const struct tool_screen *screen, int fd)
{
	sigset_t all;
	char byte;
	ssize_t got;

	sigfillset(&all); /* SIGTTOU among them: the shell may have come back */
	sigprocmask(SIG_SETMASK, &all, NULL);
	do
		got = read(fd, &byte, 1);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		stoa_terminal_set_mode(STDIN_FILENO, &screen->mode);
	_exit(0);
}

/* Without one it goes, too. */
static void start_guard(struct tool_screen *screen)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	screen->guard = fork();
	if (screen->guard == 0) {
		close(ends[1]);
		close(screen->signal_fd);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		guard(screen, ends[0]);
	}
	close(ends[0]);
	screen->guard_fd = ends[1];
	if (screen->guard < 0)
		close(ends[1]);
}

static void end_guard(struct tool_screen *screen)
{
	if (screen->guard <= 0)
		return;
	while (write(screen->guard_fd, "", 1) < 0 && errno == EINTR)
		;
	close(screen->guard_fd);
	while (waitpid(screen->guard, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- In and out ----------------------------------------------------------------- */

int tool_screen_enter(struct tool_screen *screen)
{
	sigset_t set;
	int result;

	*screen = (struct tool_screen){ .in = isatty(STDIN_FILENO),
		                        .out = isatty(STDOUT_FILENO) };
	wanted_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	screen->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen->signal_fd < 0)
		return tool_failure(-errno, "signals");
	if (!screen->in)
		return 0;
	result = stoa_terminal_get_mode(STDIN_FILENO, &screen->mode);
	if (result < 0)
		return tool_failure(result, "the terminal");
	start_guard(screen);
	result = stoa_terminal_raw(STDIN_FILENO, NULL);
	screen->raw = result == 0;
	if (result < 0) {
		tool_screen_leave(screen);
		return tool_failure(result, "the terminal");
	}
	return 0;
}

void tool_screen_leave(struct tool_screen *screen)
{
	char undo[TOOL_UNDO_ROOM];
	size_t bytes = tool_sequences_undo(&screen->sequences, undo,
	                                   sizeof undo);
	sigset_t set;

	if (screen->out && bytes > 0)
		tool_screen_put(screen, undo, bytes);
	if (screen->out)
		tool_screen_put(screen, "\033[0m", 4);
	if (screen->raw)
		stoa_terminal_set_mode(STDIN_FILENO, &screen->mode);
	screen->raw = false;
	end_guard(screen);
	close(screen->signal_fd);
	wanted_signals(&set);
	if (!screen->signal)
		sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void tool_screen_die(const struct tool_screen *screen)
{
	sigset_t set;

	if (!screen->signal)
		return;
	wanted_signals(&set);
	signal(screen->signal, SIG_DFL);
	raise(screen->signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- Meanwhile -------------------------------------------------------------------- */

void tool_screen_signals(struct tool_screen *screen)
{
	struct signalfd_siginfo info;

	while (read(screen->signal_fd, &info, sizeof info) ==
	       (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGWINCH)
			screen->resized = true;
		else
			screen->signal = (int)info.ssi_signo;
	}
}

bool tool_screen_size(const struct tool_screen *screen,
                      struct stoa_terminal_size *ret_size)
{
	int fd = screen->out ? STDOUT_FILENO : STDIN_FILENO;

	return (screen->out || screen->in) &&
	       stoa_terminal_get_size(fd, ret_size) == 0 &&
	       ret_size->rows > 0 && ret_size->columns > 0;
}

int tool_screen_put(struct tool_screen *screen, const char *data, size_t bytes)
{
	while (bytes > 0) {
		struct pollfd poll_for[] = {
			{ .fd = STDOUT_FILENO, .events = POLLOUT },
			{ .fd = screen->signal_fd, .events = POLLIN },
		};
		ssize_t got;

		/* A terminal that was stopped takes nothing for long. */
		if (poll(poll_for, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (poll_for[1].revents)
			tool_screen_signals(screen);
		if (screen->signal && !(poll_for[0].revents & POLLOUT))
			return -EINTR;
		if (!poll_for[0].revents)
			continue;
		got = write(STDOUT_FILENO, data, bytes);
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (got > 0) {
			data += got;
			bytes -= (size_t)got;
		}
	}
	return 0;
}
