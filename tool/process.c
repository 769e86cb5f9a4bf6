/* SPDX-License-Identifier: MIT */
/* process.c: stoa process run. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "noun.h"
#include "process.h"

#define EXPIRED 124 /* as timeout(1) and env(1) */
#define OURS_FAILED 125
#define NOT_RUN 126
#define NOT_FOUND 127
#define GRACE_DEFAULT_NS INT64_C(5000000000)
#define NEXT "--pipe"
#define REST_ROUNDS 64 /* each moves more than 16 KiB: more than pipes hold */

static const char help[] =
	"Usage: stoa process run [OPTION]... [--] CMD [ARG]... "
	"[--pipe CMD [ARG]...]...\n"
	"\n"
	"Runs CMD; with --pipe several, the output of each being the input of\n"
	"the next. The exit code is the command's (of several, that of the "
        "last\n"
	"one that failed), 128+N if signal N killed it, 124 if the time was\n"
	"over, 125 if stoa failed, 126 if CMD can't be run, 127 if there is "
        "no\n"
	"such.\n"
	"\n"
	"     --in PLACE        what the first one reads: inherit, null, "
        "pipe,\n"
	"                       terminal, stream:NAME, fd:N, or a file\n"
	"     --out PLACE       where the last one writes: the same, and\n"
	"                       append:FILE\n"
	"     --err PLACE       where all write errors: the same, and out\n"
	" -w, --timeout SEC     terminate them (SIGTERM) after SEC seconds, "
        "and\n"
	"                       let streams' other ends come so long\n"
	" -k, --kill-after SEC  and kill them SEC seconds later; default 5\n"
	" -p, --with-parent     they die when stoa does, even of kill -9\n"
	" -g, --group           a process group of their own, which signals "
        "and\n"
	"                       the end of the time are for\n"
	" -s, --session         a session of its own, for each\n"
	" -d, --directory DIR   where they run\n"
	" -c, --shell           each CMD is a line for /bin/sh\n"
	"     --heirs           wait also for those whom they left their "
        "output\n"
	"     --status[=FILE]   how each ended, on standard error, or in "
        "FILE\n" TOOL_HELP_TABLE TOOL_HELP_COMMON;

enum {
	OPTION_IN = TOOL_OPTION_FIRST,
	OPTION_OUT,
	OPTION_ERR,
	OPTION_HEIRS,
	OPTION_STATUS
};

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_TABLE,
	TOOL_LONG_WAIT,
	{ "in", required_argument, NULL, OPTION_IN },
	{ "out", required_argument, NULL, OPTION_OUT },
	{ "err", required_argument, NULL, OPTION_ERR },
	{ "kill-after", required_argument, NULL, 'k' },
	{ "with-parent", no_argument, NULL, 'p' },
	{ "group", no_argument, NULL, 'g' },
	{ "session", no_argument, NULL, 's' },
	{ "directory", required_argument, NULL, 'd' },
	{ "shell", no_argument, NULL, 'c' },
	{ "heirs", no_argument, NULL, OPTION_HEIRS },
	{ "status", optional_argument, NULL, OPTION_STATUS },
	TOOL_LONG_END
};

/* ---- What was typed --------------------------------------------------------- */

static int parse_option(struct process_run *run, int option)
{
	if (tool_table_option(&run->table, option)) {
		run->status = true;
		return TOOL_GO_ON;
	}
	switch (option) {
	case OPTION_IN:
	case OPTION_OUT:
	case OPTION_ERR:
		run->place[option - OPTION_IN].typed = optarg;
		return TOOL_GO_ON;
	case 'k':
		if (tool_parse_seconds(optarg, &run->grace_ns) < 0)
			return tool_usage(&run->common,
			                  "'%s' is not a number of seconds",
			                  optarg);
		return TOOL_GO_ON;
	case 'p': run->flags |= STOA_PROCESS_WITH_PARENT; return TOOL_GO_ON;
	case 'g': run->flags |= STOA_PROCESS_GROUP; return TOOL_GO_ON;
	case 's': run->flags |= STOA_PROCESS_SESSION; return TOOL_GO_ON;
	case 'd': run->directory = optarg; return TOOL_GO_ON;
	case 'c': run->flags |= STOA_PROCESS_SHELL; return TOOL_GO_ON;
	case OPTION_HEIRS: run->flags |= STOA_PROCESS_HEIRS; return TOOL_GO_ON;
	case OPTION_STATUS:
		run->status = true;
		run->status_path = optarg;
		return TOOL_GO_ON;
	default: return tool_common_option(&run->common, option);
	}
}

/* The words of each command, cut at "--pipe". */
static int parse_commands(struct process_run *run, char **words)
{
	for (;;) {
		size_t i = run->count;

		if (!*words || !strcmp(*words, NEXT))
			return tool_usage(&run->common, "a command is missing");
		if (i == PROCESS_COMMANDS_MAX)
			return tool_usage(&run->common, "more than %d commands",
			                  PROCESS_COMMANDS_MAX);
		run->attributes[i] = (struct stoa_process_attributes){
			.size = sizeof *run->attributes,
			.flags = run->flags,
			.directory = run->directory
		};
		run->command[i] =
			(struct stoa_process_command){ words,
			                               &run->attributes[i] };
		run->count++;
		while (*words && strcmp(*words, NEXT))
			words++;
		if (!*words)
			return TOOL_GO_ON;
		*words++ = NULL;
	}
}

/* ---- Signals ---------------------------------------------------------------- */

static struct stoa_process *running;

/* Its system calls alone run here, unless the command has just ended. */
static void forward(int number)
{
	int kept = errno;

	if (running)
		stoa_process_signal(running, number);
	errno = kept;
}

/* As system(3): a terminal tells the commands itself of SIGINT and SIGQUIT,
 * unless they have a group of their own. */
static void hand_on_signals(const struct process_run *run)
{
	static const int numbers[] = { SIGTERM, SIGHUP, SIGUSR1,
		                       SIGUSR2, SIGINT, SIGQUIT };
	bool apart = run->flags & (STOA_PROCESS_GROUP | STOA_PROCESS_SESSION);
	struct sigaction action = { .sa_handler = forward,
		                    .sa_flags = SA_RESTART },
			 before;

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		sigaction(numbers[i], NULL, &before);
		if (before.sa_handler == SIG_IGN)
			continue;
		action.sa_handler =
			apart || (numbers[i] != SIGINT && numbers[i] != SIGQUIT)
				? forward
				: SIG_IGN;
		sigaction(numbers[i], &action, NULL);
	}
}

/* ---- stoa process run --------------------------------------------------------- */

static bool expired(int result)
{
	return result == -ETIMEDOUT || result == -EAGAIN;
}

static int await(struct process_run *run, struct stoa_deadline deadline,
                 struct stoa_process_status *status)
{
	struct stoa_process_exchange room,
		*exchange = process_exchange(run, &room);

	if (!exchange)
		return stoa_process_wait(run->process, deadline, status);
	return stoa_process_communicate(run->process, exchange, deadline,
	                                status);
}

/* How the last one that failed ended, else the last. 1: one still runs. */
static int look(const struct process_run *run,
                struct stoa_process_status *status)
{
	struct stoa_process_status one = { .size = sizeof one };
	int result = 0;

	for (size_t i = 0; i < run->count && result == 0; i++) {
		result = stoa_process_stat(run->process, i, &one);
		if (result == 0 && one.state == STOA_PROCESS_RUNNING)
			return 1;
		if (i == 0 || one.state != STOA_PROCESS_EXITED || one.code ||
		    (status->state == STOA_PROCESS_EXITED && !status->code))
			*status = one;
	}
	return result;
}

/* Killed, they end; what they left is moved as far as it goes: heirs aren't
 * waited for, nor who would read a stream. */
static int await_killed(struct process_run *run,
                        struct stoa_process_status *status)
{
	struct pollfd poll_end = { .fd = stoa_process_pollfd(run->process),
		                   .events = POLLIN };
	int result = -EAGAIN, left;

	while ((left = look(run, status)) > 0)
		if (await(run, STOA_NOW, status) == -EAGAIN &&
		    poll_end.fd >= 0)
			poll(&poll_end, 1, -1);
	for (int i = 0; expired(result) && i < REST_ROUNDS; i++)
		result = await(run, STOA_NOW, status);
	return expired(result) ? left : result;
}

/* Its output goes on being moved while it ends. */
static int end(struct process_run *run, struct stoa_process_status *status)
{
	int result;

	stoa_process_signal(run->process, SIGTERM);
	stoa_process_signal(run->process, SIGCONT);
	result = await(run, stoa_deadline_in(run->grace_ns), status);
	if (!expired(result))
		return result;
	if (stoa_process_signal(run->process, SIGKILL) == -EPERM)
		return await(run, STOA_FOREVER, status); /* not ours to kill */
	return await_killed(run, status);
}

static int code_of(const struct stoa_process_status *status)
{
	return status->state == STOA_PROCESS_EXITED
	               ? status->code
	               : TOOL_SIGNAL_EXIT + status->code;
}

static int start_failed(const struct process_run *run, int result)
{
	tool_failure(result, run->command[0].arguments[0]);
	return result == -ENOENT ? NOT_FOUND
	       : result == -EACCES || result == -ENOEXEC || result == -E2BIG ||
	                       result == -ENOTDIR || result == -ETXTBSY ||
	                       result == -ELOOP
	               ? NOT_RUN
	               : OURS_FAILED;
}

static int run_commands(struct process_run *run, struct stoa_deadline deadline)
{
	struct stoa_process_status status = { .size = sizeof status };
	sigset_t all, mask;
	bool over = false;
	int result;

	/* A signal between start and the handlers would be lost. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	result = stoa_process_start_pipeline(run->command, run->count,
	                                     &run->process);
	if (result == 0) {
		running = run->process;
		hand_on_signals(run);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (result < 0)
		return start_failed(run, result);
	if (process_begin_terminal(run) != TOOL_GO_ON) {
		running = NULL;
		return OURS_FAILED;
	}
	result = await(run, deadline, &status);
	over = expired(result);
	if (over)
		result = end(run, &status);
	running = NULL;
	if (result < 0) {
		tool_failure(result, run->command[0].arguments[0]);
		return OURS_FAILED;
	}
	if (run->status && process_show_status(run) != TOOL_DONE)
		return OURS_FAILED;
	if (over && code_of(&status) != TOOL_SIGNAL_EXIT + SIGKILL)
		return EXPIRED;
	return code_of(&status);
}

static int run_with_places(struct process_run *run)
{
	struct stoa_deadline deadline = tool_deadline(&run->common);
	int result = process_open_places(run, deadline);

	if (result == TOOL_GO_ON)
		result = run_commands(run, deadline);
	else
		result = OURS_FAILED;
	stoa_process_close(run->process);
	process_close_places(run);
	return result;
}

static int run(int argc, char **argv)
{
	static struct process_run run = {
		.common = TOOL_COMMON("process run", help),
		.place = { [0 ... PROCESS_ENDS - 1] = { .fd = -1 } },
		/* What whoever runs it has arranged for stays. */
		.flags = STOA_PROCESS_IGNORED | STOA_PROCESS_DESCRIPTORS,
		.grace_ns = GRACE_DEFAULT_NS,
	};
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             "+" TOOL_SHORT TOOL_SHORT_TABLE
	                                     TOOL_SHORT_WAIT "k:pgsd:c",
	                             options, NULL)) != -1) {
		result = parse_option(&run, option);
		if (result != TOOL_GO_ON)
			return result == TOOL_USAGE ? OURS_FAILED : result;
	}
	result = run.status ? process_check_table(&run) : TOOL_GO_ON;
	if (result != TOOL_GO_ON)
		return result == TOOL_DONE ? TOOL_DONE : OURS_FAILED;
	if (parse_commands(&run, argv + optind) != TOOL_GO_ON)
		return OURS_FAILED;
	return run_with_places(&run);
}

int tool_process(int argc, char **argv)
{
	static const struct tool_verb verbs[] = {
		{ "run", run, "run a command, or several in a row" },
		{ NULL, NULL, NULL }
	};

	return tool_dispatch(argc, argv, "process", verbs);
}
