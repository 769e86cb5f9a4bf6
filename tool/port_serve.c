/* SPDX-License-Identifier: MIT */
/* port_serve.c: stoa port serve: answers each request by a command. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "port.h"

#define SHELL "/bin/sh"
#define SHELL_FAILED 127
#define LOOK_MS 100 /* so often: does the caller still want it? */
#define ROOM_FIRST 65536

static const char help[] =
	"Usage: stoa port serve [OPTION]... --exec CMD NAME\n"
	"\n"
	"Answers requests, one after another, until it gets a signal: CMD is run\n"
	"by the shell with the request on its standard input; its standard\n"
	"output is the reply, its exit code the status. Start several of these\n"
	"to answer several requests at once. The answer is no if no request\n"
	"comes in time.\n"
	"\n"
	" -e, --exec CMD       what answers\n"
	" -c, --create         make the port if there is none\n"
	" -n, --count N        end after N requests\n"
	" -w, --timeout SEC    wait at most SEC seconds for each request\n"
	"\n"
	"CMD has STOA_PORT (the name), STOA_BYTES, and the caller, as the kernel\n"
	"knows it: STOA_CALLER_PID, STOA_CALLER_UID, STOA_CALLER_GID; these are\n"
	"not set if nobody vouches for the request. If the caller gives up or\n"
	"dies, CMD gets SIGTERM.\n"
	"\n"
	TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "exec", required_argument, NULL, 'e' },
	{ "create", no_argument, NULL, 'c' },
	{ "count", required_argument, NULL, 'n' },
	TOOL_LONG_END
};

struct serve {
	struct tool_common common;
	const char *command, *name;
	bool create;
	uint64_t count;
	struct stoa_port *port;
};

/* A command that answers one request. */
struct job {
	pid_t child;
	int input, output; /* -1: closed */
	char *reply;
	size_t bytes, room;
	const char *at; /* of the part that it is given */
	size_t left;
	bool ended; /* nothing more to give */
	int error;
};

/* ---- The command ----------------------------------------------------------- */

static void set_number(const char *name, uint64_t number)
{
	char text[TOOL_TEXT_MAX];

	snprintf(text, sizeof text, "%" PRIu64, number);
	setenv(name, text, 1);
}

static void tell_about(const struct serve *serve,
                       const struct stoa_port_request *request,
                       const struct stoa_port_caller *caller)
{
	setenv("STOA_PORT", serve->name, 1);
	set_number("STOA_BYTES", request->total_bytes);
	unsetenv("STOA_CALLER_PID");
	unsetenv("STOA_CALLER_UID");
	unsetenv("STOA_CALLER_GID");
	if (!caller)
		return;
	if (caller->pid)
		set_number("STOA_CALLER_PID", (uint64_t)caller->pid);
	set_number("STOA_CALLER_UID", caller->uid);
	set_number("STOA_CALLER_GID", caller->gid);
}

__attribute__((noreturn)) static void become(const struct serve *serve,
                                             int input, int output,
                                             pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || dup2(input, STDIN_FILENO) < 0 ||
	    dup2(output, STDOUT_FILENO) < 0)
		_exit(SHELL_FAILED);
	signal(SIGPIPE, SIG_DFL);
	execl(SHELL, "sh", "-c", serve->command, (char *)NULL);
	_exit(SHELL_FAILED);
}

static int start(const struct serve *serve,
                 const struct stoa_port_request *request, struct job *job)
{
	struct stoa_port_caller caller;
	int known = stoa_port_caller(serve->port, request, &caller) == 0;
	int in[2], out[2];
	pid_t parent = getpid();

	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		int result = -errno;

		close(in[0]);
		close(in[1]);
		return result;
	}
	job->child = fork();
	if (job->child == 0) {
		tell_about(serve, request, known ? &caller : NULL);
		become(serve, in[0], out[1], parent);
	}
	int result = job->child < 0 ? -errno : 0;
	close(in[0]);
	close(out[1]);
	job->input = in[1];
	job->output = out[0];
	fcntl(job->input, F_SETFL, O_NONBLOCK);
	return result;
}

/* ---- Bytes to it and from it --------------------------------------------------- */

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* A command that doesn't read its input is no failure: its status decides. */
static void give(const struct serve *serve, struct stoa_port_request *request,
                 struct job *job)
{
	while (job->left == 0 && !job->ended) {
		int more = stoa_port_more(serve->port, request, STOA_FOREVER);

		if (more < 0 && more != -EINTR) {
			kill(job->child, SIGTERM);
			job->error = more;
		}
		job->ended = more != 1;
		if (more == 1) {
			job->at = request->data;
			job->left = request->bytes;
		}
	}
	if (job->left == 0) {
		close_end(&job->input);
		return;
	}
	ssize_t put = write(job->input, job->at, job->left);
	if (put > 0) {
		job->at += put;
		job->left -= (size_t)put;
	} else if (put < 0 && errno != EINTR && errno != EAGAIN) {
		close_end(&job->input);
	}
}

static void get(struct job *job)
{
	if (job->bytes == job->room) {
		size_t room = job->room ? 2 * job->room : ROOM_FIRST;
		char *larger = realloc(job->reply, room);

		if (!larger) {
			job->error = -ENOMEM;
			close_end(&job->output);
			return;
		}
		job->reply = larger;
		job->room = room;
	}
	ssize_t got = read(job->output, job->reply + job->bytes,
	                   job->room - job->bytes);
	if (got > 0)
		job->bytes += (size_t)got;
	else if (got == 0 || errno != EINTR)
		close_end(&job->output);
}

static void run(const struct serve *serve, struct stoa_port_request *request,
                struct job *job)
{
	bool told = false;

	while (job->output >= 0) {
		struct pollfd ends[2] = { { job->output, POLLIN, 0 },
			                  { job->input, POLLOUT, 0 } };

		if (poll(ends, job->input >= 0 ? 2 : 1, LOOK_MS) < 0 &&
		    errno != EINTR)
			break;
		if (ends[0].revents)
			get(job);
		if (job->input >= 0 && ends[1].revents)
			give(serve, request, job);
		if (!told && stoa_port_cancelled(serve->port, request) == 1) {
			kill(job->child, SIGTERM);
			told = true;
		}
	}
	close_end(&job->input);
	close_end(&job->output);
}

static int status_of(const struct job *job)
{
	int status;

	while (waitpid(job->child, &status, 0) < 0)
		if (errno != EINTR)
			return TOOL_FAILED;
	return WIFSIGNALED(status) ? TOOL_SIGNAL_EXIT + WTERMSIG(status) :
	                             WEXITSTATUS(status);
}

/* ---- Requests --------------------------------------------------------------- */

/* 0 or -errno: what makes it of no use to go on. */
static int answer(struct serve *serve, struct stoa_port_request *request)
{
	struct job job = { .input = -1,
		           .output = -1,
		           .at = request->data,
		           .left = request->bytes };
	int result = start(serve, request, &job);

	if (result < 0) {
		stoa_port_return(serve->port, request);
		return result;
	}
	run(serve, request, &job);
	int status = status_of(&job);
	if (job.error == -ENOMEM) {
		tool_error("no memory for the reply");
		status = TOOL_FAILED;
		job.bytes = 0;
	}
	result = stoa_port_reply(serve->port, request, status, job.reply,
	                         job.bytes, STOA_FOREVER);
	if (result == -ENOSPC || result == -ENOBUFS) {
		tool_failure(result, serve->name);
		result = stoa_port_reply(serve->port, request, TOOL_FAILED,
		                         NULL, 0, STOA_FOREVER);
	}
	free(job.reply);
	return result == -ECANCELED || result == -EIO ? 0 : result;
}

static int serve_all(struct serve *serve)
{
	for (uint64_t done = 0; !serve->count || done < serve->count; done++) {
		struct stoa_port_request request;
		int result = stoa_port_take(serve->port, NULL, 0,
		                            tool_deadline(&serve->common),
		                            &request);

		if (tool_stop_asked()) {
			if (result == 0)
				stoa_port_return(serve->port, &request);
			return TOOL_DONE;
		}
		if (result == -EAGAIN || result == -ETIMEDOUT)
			return serve->common.no_exit;
		if (result == -EINTR) {
			done--;
			continue;
		}
		if (result == 0)
			result = answer(serve, &request);
		if (result < 0)
			return tool_failure(result, serve->name);
		if (tool_stop_asked())
			return TOOL_DONE;
	}
	return TOOL_DONE;
}

static int serve_option(struct serve *serve, int option)
{
	switch (option) {
	case 'e': serve->command = optarg; return TOOL_GO_ON;
	case 'c': serve->create = true; return TOOL_GO_ON;
	case 'n':
		if (tool_parse_number(optarg, UINT64_MAX, &serve->count) < 0 ||
		    !serve->count)
			return tool_usage(&serve->common,
			                  "'%s' is not a number of requests",
			                  optarg);
		return TOOL_GO_ON;
	default: return tool_common_option(&serve->common, option);
	}
}

static int open_and_serve(struct serve *serve, struct stoa_space *space)
{
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(serve->name, "port", buffer);
	unsigned flags = STOA_READ | STOA_INTERRUPTIBLE |
	                 (serve->create ? STOA_CREATE : 0);
	int result = stoa_port_open(space, name, flags, TOOL_MODE_DEFAULT, NULL,
	                            &serve->port);

	if (result < 0)
		return tool_failure(result, serve->name);
	serve->name = name;
	result = serve_all(serve);
	stoa_port_close(serve->port);
	return result;
}

int tool_port_serve(int argc, char **argv)
{
	struct serve serve = { .common = TOOL_COMMON("port serve", help) };
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "e:cn:",
	                             options, NULL)) != -1) {
		result = serve_option(&serve, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (!serve.command)
		return tool_usage(&serve.common, "--exec CMD is missing");
	if (argc - optind != 1)
		return tool_usage(&serve.common, "the name of one port is "
		                                 "wanted");
	serve.name = argv[optind];
	tool_stop_install();
	result = tool_open_space(&serve.common,
	                         serve.create ? STOA_CREATE : 0, &space);
	if (result)
		return result;
	result = open_and_serve(&serve, space);
	stoa_space_close(space);
	tool_stop_die();
	return result;
}
