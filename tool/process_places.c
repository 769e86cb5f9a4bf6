/* SPDX-License-Identifier: MIT */
/* process_places.c: what a command's input, output and error are attached to. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "noun.h"
#include "process.h"

#define STREAM "stream:"
#define NUMBER "fd:"
#define APPEND "append:"
#define FEED_BYTES 65536
#define NEW_FILE_MODE 0666

static bool starts_with(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

/* ---- Streams --------------------------------------------------------------- */

static int open_stream(struct process_run *run, int number,
                       struct stoa_deadline deadline)
{
	struct process_place *place = &run->place[number];
	char buffer[STOA_NAME_MAX + 1];
	const char *name =
		tool_bare_name(place->typed + strlen(STREAM), "stream", buffer);
	unsigned end = number == STDIN_FILENO ? STOA_READ : STOA_WRITE;
	int result = 0;

	if (!run->space)
		result =
			tool_open_space(&run->common, STOA_CREATE, &run->space);
	if (result)
		return result;
	result = stoa_stream_open(run->space, name, STOA_CREATE | end,
	                          TOOL_MODE_DEFAULT, NULL, deadline,
	                          &place->stream);
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return tool_error("nobody came to the other end of stream %s",
		                  name);
	return result < 0 ? tool_failure(result, name) : TOOL_GO_ON;
}

/* ---- Pipes ----------------------------------------------------------------- */

/* Copies stoa's input into a pipe until one of the two ends. */
__attribute__((noreturn)) static void feed(int to, pid_t parent)
{
	static char bytes[FEED_BYTES];
	ssize_t got;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	signal(SIGPIPE, SIG_DFL);
	while ((got = read(STDIN_FILENO, bytes, sizeof bytes)) > 0 ||
	       (got < 0 && errno == EINTR))
		for (ssize_t at = 0, put; at < got; at += put)
			if ((put = write(to, bytes + at, (size_t)(got - at))) <
			    0)
				_exit(1);
	_exit(0);
}

static int open_feeder(struct process_place *place)
{
	pid_t parent = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return tool_error("a pipe: %s", strerror(errno));
	place->fd = fds[0];
	place->feeder = fork();
	if (place->feeder == 0) {
		close(fds[0]);
		feed(fds[1], parent);
	}
	close(fds[1]);
	if (place->feeder < 0) {
		place->feeder = 0;
		return tool_error("can't fork: %s", strerror(errno));
	}
	return TOOL_GO_ON;
}

/* What is left of a chunk when the output has gone is nobody's. */
static int hand_on(int number, const void *data, size_t bytes, void *context)
{
	const char *at = data;

	(void)context;
	while (bytes) {
		ssize_t put = write(number, at, bytes);

		if (put < 0 && errno != EINTR)
			return -errno;
		at += put > 0 ? put : 0;
		bytes -= put > 0 ? (size_t)put : 0;
	}
	return 0;
}

struct stoa_process_exchange *
process_exchange(const struct process_run *run,
                 struct stoa_process_exchange *exchange)
{
	*exchange = (struct stoa_process_exchange){ .size = sizeof *exchange,
		                                    .take = hand_on };
	for (int i = STDOUT_FILENO; i < PROCESS_ENDS; i++)
		if (run->place[i].typed &&
		    (!strcmp(run->place[i].typed, "pipe") ||
		     !strcmp(run->place[i].typed, "terminal")))
			return exchange;
	return NULL;
}

/* ---- Terminals ------------------------------------------------------------- */

/* All of it, though the terminal has no room now. */
static void type(int to, const char *bytes, size_t count)
{
	struct pollfd room = { .fd = to, .events = POLLOUT };

	while (count) {
		ssize_t put = write(to, bytes, count);

		if (put < 0 && errno != EAGAIN && errno != EINTR)
			_exit(1);
		if (put < 0)
			poll(&room, 1, -1);
		bytes += put > 0 ? put : 0;
		count -= put > 0 ? (size_t)put : 0;
	}
}

/* Types stoa's input; its end is ^D, twice within a line. */
__attribute__((noreturn)) static void feed_terminal(int to, pid_t parent)
{
	static char bytes[FEED_BYTES];
	bool within = false;
	ssize_t got;

	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	/* Signals are handed on by stoa, once. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	while ((got = read(STDIN_FILENO, bytes, sizeof bytes)) > 0 ||
	       (got < 0 && errno == EINTR))
		if (got > 0) {
			type(to, bytes, (size_t)got);
			within = bytes[got - 1] != '\n';
		}
	type(to, "\4\4", within ? 2 : 1);
	_exit(0);
}

static bool is_terminal(const struct process_run *run, int number)
{
	return run->place[number].typed &&
	       !strcmp(run->place[number].typed, "terminal");
}

int process_begin_terminal(struct process_run *run)
{
	struct stoa_terminal_size size;
	pid_t parent = getpid(), *feeder = &run->place[STDIN_FILENO].feeder;
	int number = is_terminal(run, STDOUT_FILENO) ? STDOUT_FILENO
	                                             : STDERR_FILENO;

	/* What is shown on a terminal is made for its size. */
	if (is_terminal(run, number) &&
	    stoa_terminal_get_size(number, &size) == 0 && size.rows)
		stoa_terminal_set_size(stoa_process_fd(run->process, number),
		                       &size);
	if (!is_terminal(run, STDIN_FILENO))
		return TOOL_GO_ON;
	*feeder = fork();
	if (*feeder == 0)
		feed_terminal(stoa_process_fd(run->process, STDIN_FILENO),
		              parent);
	if (*feeder < 0) {
		*feeder = 0;
		return tool_error("can't fork: %s", strerror(errno));
	}
	stoa_process_shut(run->process, STDIN_FILENO);
	return TOOL_GO_ON;
}

/* ---- Files ----------------------------------------------------------------- */

static int open_file(struct process_place *place, int number)
{
	const char *path = place->typed;
	int flags = O_WRONLY | O_CREAT | O_TRUNC;

	if (number == STDIN_FILENO) {
		flags = O_RDONLY;
	} else if (starts_with(path, APPEND)) {
		path += strlen(APPEND);
		flags = O_WRONLY | O_CREAT | O_APPEND;
	}
	place->fd = open(path, flags | O_CLOEXEC | O_NOCTTY, NEW_FILE_MODE);
	if (place->fd < 0)
		return tool_error("'%s': %s", path, strerror(errno));
	return TOOL_GO_ON;
}

/* ---- One end --------------------------------------------------------------- */

/* How it is attached; TOOL_GO_ON, or an exit code. */
static int open_place(struct process_run *run, int number,
                      struct stoa_deadline deadline,
                      struct stoa_process_end *end)
{
	struct process_place *place = &run->place[number];
	const char *typed = place->typed;
	uint64_t fd;
	int result;

	if (!typed || !strcmp(typed, "inherit"))
		return TOOL_GO_ON;
	if (!strcmp(typed, "null")) {
		end->how = STOA_PROCESS_NULL;
		return TOOL_GO_ON;
	}
	if (!strcmp(typed, "terminal")) {
		end->how = STOA_PROCESS_TERMINAL;
		return TOOL_GO_ON;
	}
	if (number == STDERR_FILENO && !strcmp(typed, "out")) {
		end->how = STOA_PROCESS_SAME;
		end->fd = STDOUT_FILENO;
		return TOOL_GO_ON;
	}
	if (starts_with(typed, STREAM)) {
		result = open_stream(run, number, deadline);
		end->how = STOA_PROCESS_STREAM;
		end->stream = place->stream;
		return result;
	}
	if (!strcmp(typed, "pipe") && number != STDIN_FILENO) {
		end->how = STOA_PROCESS_PIPE;
		return TOOL_GO_ON;
	}
	end->how = STOA_PROCESS_FD;
	if (starts_with(typed, NUMBER)) {
		if (tool_parse_number(typed + strlen(NUMBER), INT32_MAX, &fd) <
		    0)
			return tool_usage(&run->common, "'%s' is no descriptor",
			                  typed);
		end->fd = (int32_t)fd;
		return TOOL_GO_ON;
	}
	result = strcmp(typed, "pipe") ? open_file(place, number)
	                               : open_feeder(place);
	end->fd = place->fd;
	return result;
}

int process_open_places(struct process_run *run, struct stoa_deadline deadline)
{
	struct stoa_process_end ends[PROCESS_ENDS] = { 0 };

	for (int i = 0; i < PROCESS_ENDS; i++) {
		int result = open_place(run, i, deadline, &ends[i]);

		if (result != TOOL_GO_ON)
			return result;
	}
	for (size_t i = 0; i < run->count; i++)
		run->attributes[i].err = ends[STDERR_FILENO];
	if (is_terminal(run, STDIN_FILENO)) {
		if (!is_terminal(run, STDOUT_FILENO) &&
		    !is_terminal(run, STDERR_FILENO))
			return tool_usage(&run->common,
			                  "--in terminal needs --out or --err "
			                  "terminal, where what is typed is "
			                  "echoed");
		run->flags |= STOA_PROCESS_SESSION;
		run->attributes[0].flags |=
			STOA_PROCESS_SESSION | STOA_PROCESS_CONTROL;
	}
	run->attributes[0].in = ends[STDIN_FILENO];
	run->attributes[run->count - 1].out = ends[STDOUT_FILENO];
	return TOOL_GO_ON;
}

void process_close_places(struct process_run *run)
{
	for (int i = 0; i < PROCESS_ENDS; i++) {
		struct process_place *place = &run->place[i];

		if (place->feeder > 0) {
			kill(place->feeder, SIGKILL);
			while (waitpid(place->feeder, NULL, 0) < 0 &&
			       errno == EINTR)
				;
		}
		if (place->fd >= 0)
			close(place->fd);
		stoa_stream_close(place->stream);
	}
	stoa_space_close(run->space);
}
