/* SPDX-License-Identifier: MIT */
/* terminal_start.c: stoa terminal start: makes the process that keeps the
 * session, and is its first client. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "terminal.h"

#define PATIENCE_NS INT64_C(5000000000) /* with a command that is hung up */
#define SENTENCE 512

static const char help[] =
	"Usage: stoa terminal start [OPTION]... NAME [--] [COMMAND [ARGUMENT]...]\n"
	"\n"
	"Runs COMMAND ($SHELL) on a terminal of its own, as session NAME, and\n"
	"attaches to it; others attach with stoa terminal attach NAME. The\n"
	"session is kept by a process of its own: it goes on when its clients\n"
	"have left, until the command ends.\n"
	"\n"
	" -d, --detach         don't attach\n"
	" -A, --attach         if the session runs already, attach to it\n"
	" -f, --foreground     keep the session, here; don't attach\n"
	" -e, --escape KEY     the key that detaches: a character, ^CHARACTER,\n"
	"                      or none; default ^\\\n"
	" -s, --size ROWSxCOLS of the terminal; default: this one's, else 24x80\n"
	" -R, --record FILE    record what is written, as stoa terminal record\n"
	" -i, --input          record what is typed, too (passwords as well)\n"
	"     --history SIZE   what is kept for those who attach; default 1M\n"
	" -M, --mode OCTAL     who may watch; default 0600\n"
	"     --type-mode OCTAL  who may type; default as --mode\n"
	TOOL_HELP_COMMON;

enum { HISTORY = TOOL_OPTION_FIRST, TYPE_MODE };

static const struct option options[] = {
	TOOL_LONG,
	{ "detach", no_argument, NULL, 'd' },
	{ "attach", no_argument, NULL, 'A' },
	{ "foreground", no_argument, NULL, 'f' },
	{ "escape", required_argument, NULL, 'e' },
	{ "size", required_argument, NULL, 's' },
	{ "record", required_argument, NULL, 'R' },
	{ "input", no_argument, NULL, 'i' },
	{ "history", required_argument, NULL, HISTORY },
	{ "mode", required_argument, NULL, 'M' },
	{ "type-mode", required_argument, NULL, TYPE_MODE },
	TOOL_LONG_END
};

struct start {
	struct tool_common common;
	struct stoa_terminal_attributes attributes;
	struct tool_watch watch;
	bool detach, attach, foreground, input;
	const char *file;
	int record_fd;
	char **command;
};

/* What the keeper tells who started it. */
struct report {
	int result;
	char sentence[SENTENCE];
};

/* ---- The keeper ---------------------------------------------------------------------- */

static int signals_to_keep(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int begin_recording(const struct start *start,
                           struct stoa_terminal *terminal,
                           struct stoa_terminal_recorder **ret_recorder)
{
	struct stoa_terminal_cast cast = { .size = sizeof cast,
		                           .term = getenv("TERM"),
		                           .shell = getenv("SHELL"),
		                           .title = start->watch.name };
	struct timespec now;
	int result;

	if (start->record_fd < 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	cast.started_ns = now.tv_sec * INT64_C(1000000000);
	stoa_terminal_get_size(stoa_terminal_controller(terminal),
	                       &cast.window);
	result = stoa_terminal_recorder_open(start->record_fd, &cast,
	                                     ret_recorder);
	if (result == 0)
		stoa_terminal_record(terminal, *ret_recorder, start->input);
	return result;
}

/* Until the command has ended, or somebody wants the keeper to end. A recording
 * that fails doesn't end it. */
static int keep(struct stoa_terminal *terminal, int signal_fd, bool records)
{
	struct stoa_terminal_status status;
	int result = stoa_terminal_run(terminal, signal_fd, STOA_FOREVER);

	if (result < 0 && records)
		result = stoa_terminal_run(terminal, signal_fd, STOA_FOREVER);
	stoa_terminal_status(terminal, &status);
	stoa_terminal_close(terminal, stoa_deadline_in(PATIENCE_NS));
	if (result < 0)
		return tool_failure(result, "keeping the session");
	return status.ended ? tool_terminal_code(&status) : TOOL_DONE;
}

static void tell(int fd, int result)
{
	struct report report = { .result = result };

	if (result < 0)
		snprintf(report.sentence, sizeof report.sentence, "%s",
		         stoa_last_error());
	if (fd >= 0 && write(fd, &report, sizeof report) < 0)
		return; /* who started it was killed */
}

/* Until who started it has attached, or died, or doesn't want to: so he gets
 * the status of a command that ends at once. */
static void await_first_client(int go_fd)
{
	char byte;

	while (go_fd >= 0 && read(go_fd, &byte, 1) < 0 && errno == EINTR)
		;
}

/* Opens the space anew: it is another process than who started it. `report_fd`
 * -1: this one is. */
static int be_keeper(const struct start *start, int report_fd, int go_fd)
{
	struct stoa_terminal_recorder *recorder = NULL;
	struct stoa_terminal *terminal;
	struct stoa_space *space;
	int signal_fd = signals_to_keep();
	int result = tool_open_space(&start->common, STOA_CREATE, &space);

	if (result)
		return result;
	result = stoa_terminal_start(space, start->watch.name,
	                             &start->attributes, start->command,
	                             &terminal);
	if (result == 0) {
		result = begin_recording(start, terminal, &recorder);
		if (result < 0)
			stoa_terminal_close(terminal, STOA_NOW);
	}
	tell(report_fd, result);
	if (result < 0 && report_fd < 0)
		result = tool_failure(result, start->watch.name);
	if (report_fd >= 0)
		close(report_fd);
	if (result == 0) {
		await_first_client(go_fd);
		result = keep(terminal, signal_fd, recorder != NULL);
	}
	stoa_terminal_recorder_close(recorder);
	stoa_space_close(space);
	return result;
}

/* What the shell, or a script, has open is not held for the session's time: a
 * pipe's end, a lock. */
static void close_all_but(const int *kept, size_t count)
{
	unsigned int from = STDERR_FILENO + 1, least;

	do {
		least = ~0u;
		for (size_t i = 0; i < count; i++)
			if (kept[i] >= (int)from && (unsigned int)kept[i] < least)
				least = (unsigned int)kept[i];
		if (least > from)
			syscall(SYS_close_range, from, least - 1, 0);
		from = least + 1;
	} while (from);
}

/* Nothing of the terminal that it was started from stays open. */
static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
}

/* In the child. The three may have been closed before: then a pipe is one. Who
 * started it may be killed before he reads the report: the session goes on. */
static _Noreturn void run_keeper(struct start *start, int report_fd, int go_fd)
{
	int kept[] = { fcntl(report_fd, F_DUPFD_CLOEXEC, 3),
		       fcntl(go_fd, F_DUPFD_CLOEXEC, 3), -1 };

	if (start->record_fd >= 0)
		kept[2] = start->record_fd =
			fcntl(start->record_fd, F_DUPFD_CLOEXEC, 3);
	signal(SIGPIPE, SIG_IGN);
	leave_terminal();
	close_all_but(kept, 3);
	_exit(be_keeper(start, kept[0], kept[1]));
}

/* 0, and *ret_go is to be closed for it to go on; or what the keeper said. */
static int start_keeper(struct start *start, struct report *report,
                        int *ret_go)
{
	int ends[2], go[2];
	pid_t pid;
	ssize_t got;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(go, O_CLOEXEC) < 0) {
		close(ends[0]);
		close(ends[1]);
		return -EMFILE;
	}
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		close(go[1]);
		run_keeper(start, ends[1], go[0]);
	}
	close(ends[1]);
	close(go[0]);
	do
		got = pid < 0 ? 0 : read(ends[0], report, sizeof *report);
	while (got < 0 && errno == EINTR);
	close(ends[0]);
	*ret_go = go[1];
	if (got == (ssize_t)sizeof *report)
		return report->result;
	return pid < 0 ? -EAGAIN : -ECONNRESET;
}

/* ---- Who starts it ---------------------------------------------------------------------- */

static int attach(const struct start *start)
{
	struct stoa_space *space;
	int result = tool_open_space(&start->common, 0, &space);

	if (result)
		return result;
	result = tool_terminal_watch(&start->watch, space);
	stoa_space_close(space);
	return result;
}

static int run(struct start *start)
{
	struct report report = { .result = 0 };
	int result;

	if (start->file) {
		start->record_fd = open(start->file,
		                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		                        0600);
		if (start->record_fd < 0)
			return tool_error("can't record to '%s': %s",
			                  start->file, strerror(errno));
	}
	if (start->foreground)
		return be_keeper(start, -1, -1);
	result = start_keeper(start, &report, &start->watch.go_fd);
	if (start->record_fd >= 0)
		close(start->record_fd);
	if (result == -EEXIST && start->attach)
		return attach(start);
	if (result == -EEXIST) {
		tool_error("%s", report.sentence);
		return start->common.no_exit;
	}
	if (result < 0 && report.sentence[0])
		return tool_error("%s", report.sentence);
	if (result < 0)
		return tool_failure(result, start->watch.name);
	return start->detach ? TOOL_DONE : attach(start);
}

/* ---- Options --------------------------------------------------------------------------------- */

static int parse_size(struct start *start)
{
	if (tool_parse_window(optarg, &start->attributes.window))
		return TOOL_GO_ON;
	return tool_usage(&start->common, "'%s' is not a size such as 24x80",
	                  optarg);
}

static int parse_history(struct start *start)
{
	if (tool_parse_size(optarg, &start->attributes.history_bytes) < 0)
		return tool_usage(&start->common, "'%s' is not a size", optarg);
	return TOOL_GO_ON;
}

static int start_option(struct start *start, int option)
{
	switch (option) {
	case 'd': start->detach = true; return TOOL_GO_ON;
	case 'A': start->attach = true; return TOOL_GO_ON;
	case 'f': start->foreground = true; return TOOL_GO_ON;
	case 'i': start->input = true; return TOOL_GO_ON;
	case 'R': start->file = optarg; return TOOL_GO_ON;
	case 's': return parse_size(start);
	case HISTORY: return parse_history(start);
	case 'M': return tool_parse_mode(&start->common, optarg,
	                                 &start->attributes.mode);
	case TYPE_MODE: return tool_parse_mode(&start->common, optarg,
	                                       &start->attributes.type_mode);
	case 'e':
		return tool_parse_key(optarg, &start->watch.key) ?
		               TOOL_GO_ON :
		               tool_usage(&start->common, "'%s' is not a key",
		                          optarg);
	default: return tool_common_option(&start->common, option);
	}
}

static void take_own_size(struct start *start)
{
	struct stoa_terminal_size *window = &start->attributes.window;

	for (int fd = 0; window->rows == 0 && fd <= STDOUT_FILENO; fd++)
		if (stoa_terminal_get_size(fd, window) < 0 ||
		    window->columns == 0)
			window->rows = 0;
}

int tool_terminal_start(int argc, char **argv)
{
	struct start start = {
		.common = TOOL_COMMON("terminal start", help),
		.attributes = { .size = sizeof start.attributes },
		.watch = { .key = TOOL_DETACH_KEY },
		.record_fd = -1,
	};
	char *shell[2];
	int option, result;

	start.watch.common = &start.common;
	while ((option = getopt_long(argc, argv,
	                             "+" TOOL_SHORT "dAfe:s:R:iM:", options,
	                             NULL)) != -1) {
		result = start_option(&start, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&start.common,
		                  "the name of the session is missing");
	start.watch.name = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	start.command = tool_terminal_command(argv + optind, shell);
	take_own_size(&start);
	return run(&start);
}
