/* SPDX-License-Identifier: MIT */
/* terminal_record.c: stoa terminal record and replay. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "terminal.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define PATIENCE_NS INT64_C(5000000000) /* with a command that is hung up */

/* ---- record ---------------------------------------------------------------------- */

static const char record_help[] =
	"Usage: stoa terminal record [OPTION]... FILE [--] [COMMAND [ARGUMENT]...]\n"
	"\n"
	"Runs COMMAND ($SHELL) on a terminal of its own, and records what it\n"
	"writes in FILE, as asciicast v2, until it ends. Exits with its status.\n"
	"\n"
	" -f, --force          overwrite FILE\n"
	" -i, --input          record what is typed, too (passwords as well)\n"
	"     --idle-limit SEC players are told to wait at most SEC seconds\n"
	" -s, --size ROWSxCOLS of the terminal; default: this one's, else 24x80\n"
	" -t, --title TEXT     title of the recording\n"
	TOOL_HELP_COMMON;

enum { IDLE_LIMIT = TOOL_OPTION_FIRST };

static const struct option record_options[] = {
	TOOL_LONG,
	{ "force", no_argument, NULL, 'f' },
	{ "input", no_argument, NULL, 'i' },
	{ "idle-limit", required_argument, NULL, IDLE_LIMIT },
	{ "size", required_argument, NULL, 's' },
	{ "title", required_argument, NULL, 't' },
	TOOL_LONG_END
};

struct record {
	struct tool_common common;
	struct stoa_terminal_attributes attributes;
	struct stoa_terminal_cast cast;
	const char *file;
	bool force, input, own_size;
	char **command;
	struct stoa_terminal *terminal;
	struct stoa_terminal_recorder *recorder;
	struct tool_screen screen;
};

static void follow_size(struct record *record)
{
	struct stoa_terminal_size size;

	record->screen.resized = false;
	if (record->own_size && tool_screen_size(&record->screen, &size))
		stoa_terminal_resize(record->terminal, &size);
}

/* 0 or -errno: of the recording, which goes on without. */
static int run(struct record *record)
{
	int failed = 0, result;

	do {
		result = stoa_terminal_run(record->terminal,
		                           record->screen.signal_fd,
		                           STOA_FOREVER);
		if (result > 0)
			tool_screen_signals(&record->screen);
		if (record->screen.resized)
			follow_size(record);
		if (result < 0)
			failed = failed ? failed : result;
	} while (result != 0 && !record->screen.signal);
	return failed;
}

static int start(struct record *record, int fd)
{
	int result = stoa_terminal_start(NULL, NULL, &record->attributes,
	                                 record->command, &record->terminal);

	if (result < 0)
		return tool_failure(result, record->command[0]);
	result = stoa_terminal_recorder_open(fd, &record->cast,
	                                     &record->recorder);
	if (result == 0)
		return TOOL_DONE;
	stoa_terminal_close(record->terminal, STOA_NOW);
	return tool_failure(result, record->file);
}

static int record_to(struct record *record, int fd)
{
	struct stoa_terminal_status status;
	int result = start(record, fd), failed;

	if (result)
		return result;
	result = tool_screen_enter(&record->screen);
	if (result == 0) {
		stoa_terminal_join(record->terminal, STDIN_FILENO,
		                   STDOUT_FILENO);
		stoa_terminal_record(record->terminal, record->recorder,
		                     record->input);
		failed = run(record);
		tool_screen_leave(&record->screen);
		if (failed < 0)
			result = tool_failure(failed, record->file);
	}
	stoa_terminal_status(record->terminal, &status);
	stoa_terminal_close(record->terminal, stoa_deadline_in(PATIENCE_NS));
	failed = stoa_terminal_recorder_close(record->recorder);
	if (failed < 0 && result == 0)
		result = tool_failure(failed, record->file);
	tool_screen_die(&record->screen);
	return result ? result : tool_terminal_code(&status);
}

static int open_file(const struct record *record)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC |
	            (record->force ? O_TRUNC : O_EXCL);
	int fd = open(record->file, flags, 0600);

	if (fd < 0 && errno == EEXIST)
		tool_error("'%s' is there already; --force overwrites it",
		           record->file);
	else if (fd < 0)
		tool_error("can't record to '%s': %s", record->file,
		           strerror(errno));
	return fd;
}

static void take_own_size(struct record *record)
{
	struct stoa_terminal_size *window = &record->attributes.window;

	record->own_size = window->rows == 0;
	for (int fd = 0; window->rows == 0 && fd <= STDOUT_FILENO; fd++)
		if (stoa_terminal_get_size(fd, window) < 0 ||
		    window->columns == 0)
			window->rows = 0;
	record->cast.window = *window;
	if (window->rows == 0)
		record->cast.window =
			(struct stoa_terminal_size){ 24, 80, 0, 0 };
}

/* The words of the command, in one. Freed by the process's end. */
static const char *join_words(char **words)
{
	size_t bytes = 1;
	char *text;

	for (char **word = words; *word; word++)
		bytes += strlen(*word) + 1;
	text = calloc(1, bytes);
	for (char **word = words; text && *word; word++) {
		if (word != words)
			strcat(text, " ");
		strcat(text, *word);
	}
	return text;
}

static int record_option(struct record *record, int option)
{
	switch (option) {
	case 'f': record->force = true; return TOOL_GO_ON;
	case 'i': record->input = true; return TOOL_GO_ON;
	case 't': record->cast.title = optarg; return TOOL_GO_ON;
	case 's':
		return tool_parse_window(optarg, &record->attributes.window) ?
		               TOOL_GO_ON :
		               tool_usage(&record->common,
		                          "'%s' is not a size such as 24x80",
		                          optarg);
	case IDLE_LIMIT:
		return tool_parse_seconds(optarg,
		                          &record->cast.idle_limit_ns) == 0 ?
		               TOOL_GO_ON :
		               tool_usage(&record->common,
		                          "'%s' is not a number of seconds",
		                          optarg);
	default: return tool_common_option(&record->common, option);
	}
}

int tool_terminal_record(int argc, char **argv)
{
	struct record record = {
		.common = TOOL_COMMON("terminal record", record_help),
		.attributes = { .size = sizeof record.attributes },
		.cast = { .size = sizeof record.cast,
		          .term = getenv("TERM"),
		          .shell = getenv("SHELL") },
	};
	struct timespec now;
	char *shell[2];
	int option, result, fd;

	while ((option = getopt_long(argc, argv, "+" TOOL_SHORT "fis:t:",
	                             record_options, NULL)) != -1) {
		result = record_option(&record, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&record.common,
		                  "the name of the file is missing");
	record.file = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	if (argv[optind])
		record.cast.command = join_words(argv + optind);
	record.command = tool_terminal_command(argv + optind, shell);
	take_own_size(&record);
	clock_gettime(CLOCK_REALTIME, &now);
	record.cast.started_ns = now.tv_sec * NS_PER_SECOND;
	fd = open_file(&record);
	if (fd < 0)
		return TOOL_FAILED;
	result = record_to(&record, fd);
	close(fd);
	free((char *)record.cast.command);
	return result;
}

/* ---- replay ------------------------------------------------------------------------ */

static const char replay_help[] =
	"Usage: stoa terminal replay [OPTION]... [FILE]\n"
	"\n"
	"Shows the recording in FILE, or standard input: an asciicast v2. At a\n"
	"terminal, q or ^C ends it, and the space bar holds it and lets it go on.\n"
	"\n"
	" -s, --speed N        so many times as fast; 0: without waiting\n"
	"     --idle-limit SEC wait at most SEC seconds; default: what the\n"
	"                      recording says\n"
	TOOL_HELP_COMMON;

static const struct option replay_options[] = {
	TOOL_LONG,
	{ "speed", required_argument, NULL, 's' },
	{ "idle-limit", required_argument, NULL, IDLE_LIMIT },
	TOOL_LONG_END
};

struct replay {
	struct tool_common common;
	int64_t speed; /* in billionths; 0: no waiting */
	int64_t idle_limit_ns; /* -1: as the recording says */
	struct stoa_terminal_player *player;
	struct tool_screen screen;
	bool held, ended;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

static void take_key(struct replay *replay)
{
	char key;

	if (read(STDIN_FILENO, &key, 1) != 1)
		replay->ended = true;
	else if (key == 'q' || key == 3)
		replay->ended = true;
	else if (key == ' ')
		replay->held = !replay->held;
}

/* Until that instant, and while it's held; gives how long it was held. */
static int64_t wait_until(struct replay *replay, int64_t until)
{
	int64_t begun = now_ns(), held = 0, held_since = 0;

	while (!replay->ended && !replay->screen.signal) {
		int64_t now = now_ns(), left = until + held - now;
		bool was_held = replay->held;
		struct timespec time = { left / NS_PER_SECOND,
			                 left % NS_PER_SECOND };
		struct pollfd wait[] = {
			{ .fd = replay->screen.signal_fd, .events = POLLIN },
			{ .fd = replay->screen.in ? STDIN_FILENO : -1,
			  .events = POLLIN },
		};

		if (left < 0)
			time = (struct timespec){ 0, 0 };
		if (ppoll(wait, 2, was_held ? NULL : &time, NULL) < 0 &&
		    errno != EINTR)
			break;
		if (wait[0].revents)
			tool_screen_signals(&replay->screen);
		if (wait[1].revents)
			take_key(replay);
		now = now_ns();
		if (replay->held && !was_held)
			held_since = now;
		if (!replay->held && was_held)
			held += now - held_since;
		if (!replay->held && now >= until + held)
			break;
	}
	return begun > until ? held + begun - until : held;
}

static int64_t slower(const struct replay *replay, int64_t ns, int64_t limit)
{
	if (limit >= 0 && ns > limit)
		ns = limit;
	if (replay->speed == 0)
		return 0;
	return (int64_t)((double)ns * (double)NS_PER_SECOND /
	                 (double)replay->speed);
}

/* Each event is due so long after the last; what writing takes isn't added, but
 * what it was held, or was late by, is. */
static int play(struct replay *replay, int64_t limit)
{
	struct stoa_terminal_frame frame;
	int64_t due = now_ns(), last = 0;
	int result;

	while ((result = stoa_terminal_player_next(replay->player, &frame)) >
	       0) {
		due += slower(replay, frame.ns - last, limit);
		last = frame.ns;
		due += wait_until(replay, due);
		if (replay->ended || replay->screen.signal)
			return 0;
		if (frame.kind != 'o')
			continue;
		tool_sequences_follow(&replay->screen.sequences, frame.data,
		                      frame.bytes, NULL);
		result = tool_screen_put(&replay->screen, frame.data,
		                         frame.bytes);
		if (result < 0)
			return result == -EINTR ? 0 : result;
	}
	return result;
}

/* What the terminal answered to questions in the recording isn't for the
 * shell. */
static void drop_answers(const struct replay *replay)
{
	if (replay->screen.in)
		tcflush(STDIN_FILENO, TCIFLUSH);
}

static int replay_from(struct replay *replay, int fd, const char *name)
{
	struct stoa_terminal_cast cast = { .size = sizeof cast };
	int result = stoa_terminal_player_open(fd, &cast, &replay->player);
	int64_t limit = replay->idle_limit_ns;

	if (result < 0)
		return tool_failure(result, name);
	if (limit < 0)
		limit = cast.idle_limit_ns > 0 ? cast.idle_limit_ns : -1;
	result = tool_screen_enter(&replay->screen);
	if (result == 0) {
		/* Keys come from a terminal, not from the recording. */
		replay->screen.in = replay->screen.in && fd != STDIN_FILENO;
		result = play(replay, limit);
		drop_answers(replay);
		tool_screen_leave(&replay->screen);
		if (result == -EPIPE)
			result = TOOL_FAILED;
		else if (result < 0)
			result = tool_failure(result, name);
	}
	stoa_terminal_player_close(replay->player);
	tool_screen_die(&replay->screen);
	return result;
}

static int replay_option(struct replay *replay, int option)
{
	switch (option) {
	case 's':
		return tool_parse_seconds(optarg, &replay->speed) == 0 ?
		               TOOL_GO_ON :
		               tool_usage(&replay->common,
		                          "'%s' is not a speed", optarg);
	case IDLE_LIMIT:
		return tool_parse_seconds(optarg, &replay->idle_limit_ns) == 0 ?
		               TOOL_GO_ON :
		               tool_usage(&replay->common,
		                          "'%s' is not a number of seconds",
		                          optarg);
	default: return tool_common_option(&replay->common, option);
	}
}

int tool_terminal_replay(int argc, char **argv)
{
	struct replay replay = {
		.common = TOOL_COMMON("terminal replay", replay_help),
		.speed = NS_PER_SECOND,
		.idle_limit_ns = -1,
	};
	int option, result, fd = STDIN_FILENO;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "s:",
	                             replay_options, NULL)) != -1) {
		result = replay_option(&replay, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind > 1)
		return tool_usage(&replay.common, "'%s' is one argument too many",
		                  argv[optind + 1]);
	if (optind < argc)
		fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return tool_error("can't read '%s': %s", argv[optind],
		                  strerror(errno));
	result = replay_from(&replay, fd,
	                     optind < argc ? argv[optind] : "the recording");
	if (fd != STDIN_FILENO)
		close(fd);
	return result;
}
