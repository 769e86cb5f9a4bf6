/* SPDX-License-Identifier: MIT */
/* kernel/terminal_client.c: who watches a session, and types. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/terminal_internal.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ATTACH_TRIES 10 /* each of them met the end of a session */
#define STATE_NS INT64_C(1000000000) /* between its name and its first state */
#define SENSELESS_MOST 64 /* messages passed over between two looks at the clock */

_Static_assert(STOA_TERMINAL_CHUNK == TERMINAL_MESSAGE_MOST,
               "a chunk has room for any message");

struct stoa_terminal_client {
	struct stoa_space *space;
	struct stoa_topic *output;
	struct stoa_queue *input; /* NULL: to watch only */
	stoa_peer keeper;
	uint64_t first_new; /* sequence of what is not old */
	int ended;          /* END was given */
};

/* ---- Attaching ---------------------------------------------------------------------- */

/* The state may not be there yet, for an instant after its name is. */
static int await_state(struct stoa_topic *topic, struct terminal_state *state)
{
	int result = terminal_state_read(topic, state);

	if (result != -ENOMSG)
		return result;
	ssize_t got = stoa_topic_receive(topic, state, sizeof(*state),
	                                 stoa_deadline_in(STATE_NS), NULL);

	if (got == -ETIMEDOUT)
		return -ECONNRESET;
	if (got < 0 && got != -EMSGSIZE)
		return (int)got;
	return terminal_state_read(topic, state);
}

/* -EIDRM: what was opened is, or may be, of different sessions. */
static int check_session(struct stoa_terminal_client *client,
                         struct stoa_topic *topic)
{
	struct terminal_state state;
	int result = await_state(topic, &state);

	if (result < 0)
		return result;
	if (state.ended)
		return -EIDRM;
	if (!stoa_space_alive(client->space, state.keeper))
		return -ECONNRESET;
	client->keeper = state.keeper;
	return 0;
}

static int seek_oldest(struct stoa_terminal_client *client)
{
	struct stoa_topic_stat stat = { .size = sizeof(stat) };
	int result = stoa_topic_stat(client->output, &stat);

	if (result < 0)
		return result;
	client->first_new = stat.published;
	return stoa_topic_seek(client->output, STOA_TOPIC_OLDEST);
}

static void close_objects(struct stoa_terminal_client *client)
{
	stoa_topic_close(client->output);
	stoa_queue_close(client->input);
	client->output = NULL;
	client->input = NULL;
}

static int open_objects(struct stoa_terminal_client *client, const char *name,
                        const char *state_name, unsigned flags)
{
	struct stoa_topic *state;
	int result = stoa_topic_open(client->space, state_name, STOA_READ, 0,
	                             NULL, &state);

	if (result < 0)
		return result;
	result = stoa_topic_open(client->space, name, STOA_READ, 0, NULL,
	                         &client->output);
	if (result == 0 && (flags & STOA_WRITE))
		result = stoa_queue_open(client->space, name, STOA_WRITE, 0,
		                         NULL, &client->input);
	if (result == -ENOENT)
		result = -EIDRM;
	if (result == 0 || result == -EIDRM) {
		int checked = check_session(client, state);

		result = checked < 0 ? checked : result;
	}
	stoa_topic_close(state);
	if (result == 0)
		result = seek_oldest(client);
	return result;
}

static int explain(int result, const char *name)
{
	if (result == -ENOENT || result == -EIDRM)
		return stoa_fail(-ENOENT, "there is no session %s; see stoa "
		                          "terminal ls",
		                 name);
	if (result == -ECONNRESET)
		return stoa_fail(result,
		                 "the keeper of session %s is dead; stoa "
		                 "terminal rm takes away what it left",
		                 name);
	return result;
}

int stoa_terminal_attach(struct stoa_space *space, const char *name,
                         unsigned flags,
                         struct stoa_terminal_client **ret_client)
{
	char session[STOA_NAME_MAX + 1], state[STOA_NAME_MAX + 1];
	int result = terminal_names(name, session, state);

	if (result < 0)
		return result;
	if ((flags & ~(STOA_READ | STOA_WRITE)) || !(flags & STOA_READ))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for session %s: STOA_READ, and "
		                 "STOA_WRITE to type",
		                 flags, name);
	struct stoa_terminal_client *client = calloc(1, sizeof(*client));

	if (!client)
		return stoa_fail(-ENOMEM, "no memory to attach to session %s",
		                 name);
	client->space = space;
	result = -EIDRM;
	for (int i = 0; result == -EIDRM && i < ATTACH_TRIES; i++) {
		close_objects(client);
		result = open_objects(client, session, state, flags);
	}
	if (result < 0) {
		stoa_terminal_detach(client);
		return explain(result, name);
	}
	*ret_client = client;
	return 0;
}

void stoa_terminal_detach(struct stoa_terminal_client *client)
{
	if (!client)
		return;
	close_objects(client);
	free(client);
}

/* ---- Watching ------------------------------------------------------------------------- */

static int gone(void)
{
	return stoa_fail(-ECONNRESET, "the session's keeper is dead, or the "
	                              "session was removed");
}

/* 1: an event; 0: it makes no sense. */
static int read_event(struct stoa_terminal_client *client, char *message,
                      size_t bytes, struct stoa_terminal_event *event)
{
	struct terminal_window window;
	struct terminal_end end;

	if (bytes < 2)
		return 0;
	event->kind = (enum stoa_terminal_event_kind)message[0];
	if (message[0] == STOA_TERMINAL_OUTPUT) {
		event->data = message + 1;
		event->bytes = bytes - 1;
		return 1;
	}
	if (message[0] == STOA_TERMINAL_SIZE && bytes == 1 + sizeof(window)) {
		memcpy(&window, message + 1, sizeof(window));
		event->window = terminal_size_of(&window);
		return terminal_size_good(&event->window);
	}
	if (message[0] != STOA_TERMINAL_END || bytes != 1 + sizeof(end))
		return 0;
	memcpy(&end, message + 1, sizeof(end));
	client->ended = terminal_end_read(&end, &event->status);
	return client->ended;
}

/* A message that no keeper sends: it may be larger than any of ours. */
static int pass_over(struct stoa_terminal_client *client)
{
	struct stoa_topic_message message;
	int result = stoa_topic_take(client->output, STOA_NOW, &message);

	if (result == 0)
		stoa_topic_release(client->output, &message);
	return result;
}

/* The next event that is there. -EAGAIN: there is none. */
static int try_next(struct stoa_terminal_client *client, void *buffer,
                    size_t buffer_bytes, struct stoa_terminal_event *ret_event)
{
	struct stoa_topic_message message;
	uint64_t lost = 0;

	for (int i = 0; i < SENSELESS_MOST; i++) {
		struct stoa_terminal_event event = { .old = 0 };
		ssize_t got = stoa_topic_receive(client->output, buffer,
		                                 buffer_bytes, STOA_NOW,
		                                 &message);

		if (got == -EMSGSIZE)
			got = pass_over(client) < 0 ? -EAGAIN : 0;
		else if (got >= 0)
			lost += message.lost;
		if (got == -EIDRM)
			return gone();
		if (got < 0)
			return (int)got;
		if (!read_event(client, buffer, (size_t)got, &event))
			continue;
		event.old = message.sequence < client->first_new;
		event.lost = lost;
		*ret_event = event;
		return 0;
	}
	return -EAGAIN;
}

int stoa_terminal_next(struct stoa_terminal_client *client, void *buffer,
                       size_t buffer_bytes, struct stoa_deadline deadline,
                       struct stoa_terminal_event *ret_event)
{
	const struct stoa_wait conditions[] = {
		{ .kind = STOA_READABLE,
		  .object = stoa_topic_object(client->output) },
		{ .kind = STOA_DEATH,
		  .space = client->space,
		  .peer = client->keeper },
	};

	if (buffer_bytes < STOA_TERMINAL_CHUNK)
		return stoa_fail(-EINVAL, "a buffer of STOA_TERMINAL_CHUNK "
		                          "bytes is needed");
	if (client->ended)
		return -EPIPE;
	for (;;) {
		/* Before: what it published then is there now. */
		int alive = stoa_space_alive(client->space, client->keeper);
		int result = try_next(client, buffer, buffer_bytes, ret_event);

		if (result != -EAGAIN)
			return result;
		if (!alive)
			return gone();
		if (stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
		result = stoa_wait_any(conditions, 2, deadline);
		if (result == -EIDRM)
			return gone();
		if (result < 0 && result != -ETIMEDOUT && result != -EAGAIN)
			return result;
	}
}

int stoa_terminal_skip(struct stoa_terminal_client *client)
{
	return stoa_topic_seek(client->output, STOA_TOPIC_NEXT);
}

/* ---- Typing ----------------------------------------------------------------------------- */

static int send(struct stoa_terminal_client *client, const void *message,
                size_t bytes, struct stoa_deadline deadline)
{
	const struct stoa_wait conditions[] = {
		{ .kind = STOA_WRITABLE,
		  .object = client->input ? stoa_queue_object(client->input) :
		                            NULL },
		{ .kind = STOA_DEATH,
		  .space = client->space,
		  .peer = client->keeper },
	};

	if (!client->input)
		return stoa_fail(-EBADF, "the session was attached to watch, "
		                         "not to type");
	for (;;) {
		int result = stoa_queue_send(client->input, message, bytes,
		                             STOA_NOW);

		if (result == -EIDRM)
			return gone();
		if (result != -EAGAIN)
			return result;
		if (!stoa_space_alive(client->space, client->keeper))
			return gone();
		if (stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
		result = stoa_wait_any(conditions, 2, deadline);
		if (result < 0 && result != -ETIMEDOUT && result != -EAGAIN &&
		    result != -EIDRM)
			return result;
	}
}

ssize_t stoa_terminal_send(struct stoa_terminal_client *client,
                           const void *data, size_t bytes,
                           const struct stoa_terminal_size *window,
                           struct stoa_deadline deadline)
{
	char message[TERMINAL_MESSAGE_MOST];
	struct terminal_request request = { .kind = 'i' };
	size_t taken = bytes < TYPED_MOST ? bytes : TYPED_MOST;

	if (bytes == 0)
		return 0;
	if (window)
		request.window = terminal_window_of(window);
	memcpy(message, &request, sizeof(request));
	memcpy(message + sizeof(request), data, taken);
	int result = send(client, message, sizeof(request) + taken, deadline);

	return result < 0 ? result : (ssize_t)taken;
}

int stoa_terminal_ask(struct stoa_terminal_client *client,
                      enum stoa_terminal_request kind,
                      const struct stoa_terminal_size *window,
                      struct stoa_deadline deadline)
{
	struct terminal_request request = { .kind = (uint8_t)kind };

	if ((kind != STOA_TERMINAL_RESIZE && kind != STOA_TERMINAL_REDRAW &&
	     kind != STOA_TERMINAL_HANG_UP) ||
	    (kind == STOA_TERMINAL_RESIZE &&
	     (!window || !terminal_size_good(window))))
		return stoa_fail(-EINVAL, "no such request, or a size that is "
		                          "not 1 to %d",
		                 TERMINAL_SIDE_MOST);
	if (window)
		request.window = terminal_window_of(window);
	return send(client, &request, sizeof(request), deadline);
}

int stoa_terminal_pollfd(struct stoa_terminal_client *client,
                         unsigned direction)
{
	if (direction == STOA_READ)
		return stoa_topic_pollfd(client->output, STOA_READ);
	if (direction != STOA_WRITE)
		return stoa_fail(-EINVAL, "a direction is STOA_READ or "
		                          "STOA_WRITE");
	if (!client->input)
		return stoa_fail(-EBADF, "the session was attached to watch, "
		                         "not to type");
	return stoa_queue_pollfd(client->input, STOA_WRITE);
}
