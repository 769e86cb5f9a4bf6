/* SPDX-License-Identifier: MIT */
/* terminal_watch.c: a client of a session, on the terminal that it was called
 * from; stoa terminal attach. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"

#define TYPED_ROOM 4080
#define EVENTS_AT_ONCE 64

struct client {
	const struct tool_watch *watch;
	struct stoa_terminal_client *session;
	struct tool_screen screen;
	bool typing;  /* standard input is read */
	bool old;     /* what was written before is being shown */
	bool redraw;  /* is to be asked for */
	bool left;    /* by the key */
	int result;   /* that ended it: -errno */
	struct stoa_terminal_status status;
	uint64_t lost;
	size_t typed, sent;
	char input[TYPED_ROOM];
	char output[STOA_TERMINAL_CHUNK];
	char picture[STOA_TERMINAL_CHUNK + TOOL_SEQUENCE_MOST];
};

/* ---- What the session writes ------------------------------------------------------ */

static const struct stoa_terminal_size *
own_size(const struct client *client, struct stoa_terminal_size *room)
{
	return tool_screen_size(&client->screen, room) ? room : NULL;
}

/* All of the past is there: what is drawn on a whole screen is drawn anew, for
 * this one. */
static void end_of_old(struct client *client)
{
	client->redraw |= client->old && client->screen.out;
	client->old = false;
}

static int show(struct client *client, const struct stoa_terminal_event *event)
{
	struct tool_sequences *sequences = &client->screen.sequences;
	bool filter = event->old && client->screen.out;
	size_t used = tool_sequences_follow(sequences, event->data,
	                                    event->bytes,
	                                    filter ? client->picture : NULL);

	if (filter)
		return tool_screen_put(&client->screen, client->picture, used);
	return tool_screen_put(&client->screen, event->data, event->bytes);
}

/* 0: go on. 1: the session has ended. -errno; -EAGAIN: nothing is there. */
static int take_event(struct client *client)
{
	struct stoa_terminal_event event;
	int result = stoa_terminal_next(client->session, client->output,
	                                sizeof client->output, STOA_NOW,
	                                &event);

	if (result == -EAGAIN || (result == 0 && !event.old))
		end_of_old(client);
	if (result < 0)
		return result;
	client->lost += event.old ? 0 : event.lost;
	if (event.kind == STOA_TERMINAL_END) {
		client->status = event.status;
		return 1;
	}
	return event.kind == STOA_TERMINAL_OUTPUT ? show(client, &event) : 0;
}

/* 0: go on. 1: it has ended. */
static int take_events(struct client *client)
{
	for (int i = 0; i < EVENTS_AT_ONCE; i++) {
		int result = take_event(client);

		if (result == -EAGAIN)
			return 0;
		if (result == -EINTR)
			return 0; /* a signal: seen elsewhere */
		if (result != 0)
			return result;
	}
	return 0;
}

/* ---- What is typed ------------------------------------------------------------------- */

static void send_typed(struct client *client)
{
	struct stoa_terminal_size room;

	while (client->sent < client->typed) {
		ssize_t got = stoa_terminal_send(
		        client->session, client->input + client->sent,
		        client->typed - client->sent, own_size(client, &room),
		        STOA_NOW);

		if (got == -EAGAIN)
			return;
		if (got < 0)
			break; /* its end is told elsewhere */
		client->sent += (size_t)got;
	}
	client->sent = client->typed = 0;
}

static void take_typed(struct client *client)
{
	ssize_t got = read(STDIN_FILENO, client->input, sizeof client->input);
	char *key = NULL;

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0) {
		client->typing = false;
		/* A terminal that is gone has nobody before it. */
		client->left = client->screen.in;
		return;
	}
	if (client->screen.in && client->watch->key >= 0)
		key = memchr(client->input, client->watch->key, (size_t)got);
	client->left = key != NULL;
	client->typed = key ? (size_t)(key - client->input) : (size_t)got;
	if (client->watch->read_only)
		client->typed = 0;
	send_typed(client);
}

/* ---- Round and round -------------------------------------------------------------------- */

/* Whether it is done with: if there was no room, it is asked again. */
static bool ask(struct client *client, enum stoa_terminal_request kind)
{
	struct stoa_terminal_size room;
	const struct stoa_terminal_size *size = own_size(client, &room);

	if (client->watch->read_only || (kind == STOA_TERMINAL_RESIZE && !size))
		return true;
	return stoa_terminal_ask(client->session, kind, size, STOA_NOW) !=
	       -EAGAIN;
}

static void ask_what_is_due(struct client *client)
{
	if (client->screen.resized)
		client->screen.resized = !ask(client, STOA_TERMINAL_RESIZE);
	if (client->redraw)
		client->redraw = !ask(client, STOA_TERMINAL_REDRAW);
}

static int go_round(struct client *client)
{
	bool full = client->sent < client->typed;
	bool asks = client->screen.resized || client->redraw;
	struct pollfd wait[] = {
		{ .fd = stoa_terminal_pollfd(client->session, STOA_READ),
		  .events = POLLIN },
		{ .fd = client->screen.signal_fd, .events = POLLIN },
		{ .fd = client->typing && !full ? STDIN_FILENO : -1,
		  .events = POLLIN },
		{ .fd = full || asks ?
		                stoa_terminal_pollfd(client->session,
		                                     STOA_WRITE) :
		                -1,
		  .events = POLLIN },
	};

	if (wait[0].fd < 0)
		return wait[0].fd;
	if (poll(wait, 4, -1) < 0 && errno != EINTR)
		return -errno;
	if (wait[1].revents)
		tool_screen_signals(&client->screen);
	if (full)
		send_typed(client);
	if (wait[2].revents)
		take_typed(client);
	int result = wait[0].revents ? take_events(client) : 0;
	ask_what_is_due(client);
	return result;
}

static void be_client(struct client *client)
{
	/* The screen is another's from here on; what is above it stays. */
	if (client->screen.out)
		tool_screen_put(&client->screen, "\033[H\033[J", 6);
	if (client->watch->no_history)
		stoa_terminal_skip(client->session);
	client->old = true;
	do
		client->result = go_round(client);
	while (client->result == 0 && !client->left && !client->screen.signal);
}

static int tell_end(const struct client *client)
{
	const char *name = client->watch->name;

	if (client->lost > 0)
		fprintf(stderr, "stoa: %" PRIu64 " pieces of what '%s' wrote "
		                "were lost: they came too fast\n",
		        client->lost, name);
	if (client->result == 1)
		return tool_terminal_code(&client->status);
	if (client->result == -EPIPE || client->result == -EIO)
		return TOOL_FAILED; /* who took our output is gone, and knows */
	if (client->result < 0)
		return tool_failure(client->result, name);
	if (client->screen.out)
		fprintf(stderr, "\nstoa: detached from '%s'\n", name);
	return TOOL_DONE;
}

int tool_terminal_watch(const struct tool_watch *watch,
                        struct stoa_space *space)
{
	struct client *client = calloc(1, sizeof *client);
	unsigned flags = STOA_READ | (watch->read_only ? 0 : STOA_WRITE);
	int result;

	if (!client)
		return tool_failure(-ENOMEM, watch->name);
	client->watch = watch;
	client->typing = true;
	result = stoa_terminal_attach(space, watch->name, flags,
	                              &client->session);
	if (watch->go_fd > 0)
		close(watch->go_fd);
	if (result < 0)
		result = tool_failure(result, watch->name);
	else
		result = tool_screen_enter(&client->screen);
	if (client->session && !result) {
		be_client(client);
		tool_screen_leave(&client->screen);
		tool_screen_die(&client->screen);
		result = tell_end(client);
	}
	stoa_terminal_detach(client->session);
	free(client);
	return result;
}

/* ---- attach ---------------------------------------------------------------------------------- */

static const char help[] =
	"Usage: stoa terminal attach [OPTION]... NAME\n"
	"\n"
	"Shows what the command of session NAME writes, and gives it what is\n"
	"typed, until it ends or the key is typed that detaches. Exits with the\n"
	"command's status. The session has the size of the terminal that was\n"
	"typed at, or whose size was changed, last.\n"
	"\n"
	" -e, --escape KEY     the key that detaches: a character, ^CHARACTER,\n"
	"                      or none; default ^\\\n"
	" -r, --read-only      only look\n"
	"     --no-history     not what was written before\n"
	TOOL_HELP_COMMON;

enum { NO_HISTORY = TOOL_OPTION_FIRST };

static const struct option options[] = {
	TOOL_LONG,
	{ "escape", required_argument, NULL, 'e' },
	{ "read-only", no_argument, NULL, 'r' },
	{ "no-history", no_argument, NULL, NO_HISTORY },
	TOOL_LONG_END
};

static int attach_option(struct tool_watch *watch, struct tool_common *common,
                         int option)
{
	switch (option) {
	case 'e':
		return tool_parse_key(optarg, &watch->key) ?
		               TOOL_GO_ON :
		               tool_usage(common, "'%s' is not a key", optarg);
	case 'r': watch->read_only = true; return TOOL_GO_ON;
	case NO_HISTORY: watch->no_history = true; return TOOL_GO_ON;
	default: return tool_common_option(common, option);
	}
}

int tool_terminal_attach(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("terminal attach", help);
	struct tool_watch watch = { .common = &common,
		                    .key = TOOL_DETACH_KEY };
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "e:r", options,
	                             NULL)) != -1) {
		result = attach_option(&watch, &common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&common, "the name of one session is needed");
	watch.name = argv[optind];
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	result = tool_terminal_watch(&watch, space);
	stoa_space_close(space);
	return result;
}
