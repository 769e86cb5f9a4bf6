/* SPDX-License-Identifier: MIT */
/* kernel/terminal_session.c: the objects of a session: made, shown, published
 * to, and taken away. Why in which order is in terminal_layout.h. */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <kernel/terminal_internal.h>
#include <kernel/terminal_text.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOCK_TRIES 100 /* each of them met an end, or a removal, of others */
#define LOCK_RANGES 16
#define CELL_BYTES 240
#define QUEUE_MESSAGES 64
#define QUEUE_BYTES 65536
#define HISTORY_DEFAULT (UINT64_C(1) << 20)
#define HISTORY_LEAST UINT64_C(65536)
#define HISTORY_MOST (UINT64_C(1) << 30)
#define BYTES_PER_CELL 576

/* ---- Names, sizes and states ----------------------------------------------------- */

int terminal_names(const char *name, char session[STOA_NAME_MAX + 1],
                   char state[STOA_NAME_MAX + 1])
{
	int length;

	if (name && name[0] == '/')
		name++;
	if (!name || name[0] == '\0' || name[0] == '.')
		return stoa_fail(-EINVAL, "a session's name has 1 to %d of A-Z "
		                          "a-z 0-9 . _ -, and no leading dot",
		                 (int)(STOA_NAME_MAX -
		                       sizeof(TERMINAL_STATE_SUFFIX) + 1));
	length = snprintf(state, STOA_NAME_MAX + 1, "%s%s", name,
	                  TERMINAL_STATE_SUFFIX);
	if (length > STOA_NAME_MAX)
		return stoa_fail(-EINVAL,
		                 "a session's name has at most %d characters",
		                 (int)(STOA_NAME_MAX -
		                       sizeof(TERMINAL_STATE_SUFFIX) + 1));
	snprintf(session, STOA_NAME_MAX + 1, "%.*s%s",
	         length - (int)sizeof(TERMINAL_STATE_SUFFIX) + 1, name,
	         TERMINAL_SUFFIX);
	return 0;
}

int terminal_size_good(const struct stoa_terminal_size *size)
{
	return size->rows >= 1 && size->rows <= TERMINAL_SIDE_MOST &&
	       size->columns >= 1 && size->columns <= TERMINAL_SIDE_MOST;
}

struct terminal_window terminal_window_of(const struct stoa_terminal_size *size)
{
	return (struct terminal_window){ size->rows, size->columns,
		                         size->width_pixels,
		                         size->height_pixels };
}

struct stoa_terminal_size terminal_size_of(const struct terminal_window *window)
{
	return (struct stoa_terminal_size){ window->rows, window->columns,
		                            window->width_pixels,
		                            window->height_pixels };
}

int terminal_end_read(const struct terminal_end *end,
                      struct stoa_terminal_status *ret_status)
{
	if (end->code < 0 || end->code > TERMINAL_CODE_MOST ||
	    end->number < 0 || end->number > TERMINAL_SIGNAL_MOST ||
	    end->unknown > 1)
		return 0;
	*ret_status = (struct stoa_terminal_status){ 1, end->code, end->number,
		                                     end->unknown };
	return 1;
}

static int state_good(const struct terminal_state *state)
{
	const struct stoa_terminal_size size = terminal_size_of(&state->window);
	struct stoa_terminal_status status;

	return state->magic == TERMINAL_MAGIC && terminal_size_good(&size) &&
	       state->pid >= 0 && state->keeper_pid >= 0 &&
	       state->command_bytes <= TERMINAL_TEXT_MOST &&
	       state->title_bytes <= TERMINAL_TEXT_MOST &&
	       (!state->ended || terminal_end_read(&state->end, &status));
}

int terminal_state_read(struct stoa_topic *state,
                        struct terminal_state *ret_state)
{
	struct terminal_state copy;
	ssize_t got = stoa_topic_latest(state, &copy, sizeof(copy), NULL);

	if (got < 0 && got != -EMSGSIZE)
		return (int)got;
	if (got != (ssize_t)sizeof(copy) || !state_good(&copy))
		return stoa_fail(-EPROTO, "what the session's state says is "
		                          "not of a session, or of another "
		                          "version");
	*ret_state = copy;
	return 0;
}

/* ---- Who is the keeper ------------------------------------------------------------- */

/* 0: `session` has the lock. -EEXIST. -EIDRM: it was removed meanwhile. */
static int try_lock(struct terminal_session *session, mode_t mode)
{
	const struct stoa_range_lock_attributes attributes = {
		.size = sizeof(attributes), .capacity = LOCK_RANGES
	};
	struct stoa_range_lock *lock;
	int result = stoa_range_lock_open(session->space, session->name,
	                                  STOA_CREATE, mode, &attributes,
	                                  &lock);

	if (result < 0)
		return result;
	result = stoa_range_lock_lock(lock, NULL, STOA_NOW);
	if (result == 0) {
		session->lock = lock;
		return 0;
	}
	stoa_range_lock_close(lock);
	return result == -EAGAIN ?
	               stoa_fail(-EEXIST,
	                         "session %s runs already; attach to it, or "
	                         "take another name",
	                         session->name) :
	               result;
}

static int become_keeper(struct terminal_session *session, mode_t mode)
{
	int result = -EIDRM;

	for (int tries = 0; result == -EIDRM && tries < LOCK_TRIES; tries++)
		result = try_lock(session, mode);
	return result;
}

/* What a dead keeper left: its clients are woken. */
static int remove_old(struct terminal_session *session)
{
	static const char *const kinds[] = { "topic", "topic", "queue" };

	for (int i = 0; i < 3; i++) {
		char file[STOA_NAME_MAX + 16];

		snprintf(file, sizeof(file), "%s.%s",
		         i == 0 ? session->state_name : session->name,
		         kinds[i]);
		int result = stoa_space_remove(session->space, file, 1);

		if (result < 0 && result != -ENOENT)
			return result;
	}
	return 0;
}

/* ---- Making -------------------------------------------------------------------------- */

static int make_output(struct terminal_session *session, mode_t mode,
                       uint64_t history)
{
	const struct stoa_topic_attributes attributes = {
		.size = sizeof(attributes),
		.overrun = STOA_TOPIC_OVERWRITE,
		.capacity = history / BYTES_PER_CELL,
		.max_message_bytes = TERMINAL_MESSAGE_MOST,
		.inline_bytes = CELL_BYTES,
		.total_bytes = history,
	};

	return stoa_topic_open(session->space, session->name,
	                       STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE, mode,
	                       &attributes, &session->output);
}

static int make_input(struct terminal_session *session, mode_t mode)
{
	const struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes),
		.capacity = QUEUE_MESSAGES,
		.max_message_bytes = TERMINAL_MESSAGE_MOST,
		.total_bytes = QUEUE_BYTES,
	};

	return stoa_queue_open(session->space, session->name,
	                       STOA_READ | STOA_CREATE | STOA_EXCLUSIVE, mode,
	                       &attributes, &session->input);
}

static int make_state(struct terminal_session *session, mode_t mode)
{
	const struct stoa_topic_attributes attributes = {
		.size = sizeof(attributes),
		.overrun = STOA_TOPIC_OVERWRITE,
		.capacity = 4,
		.max_message_bytes = sizeof(struct terminal_state),
		.inline_bytes = sizeof(struct terminal_state),
		.total_bytes = 4 * sizeof(struct terminal_state),
	};

	return stoa_topic_open(session->space, session->state_name,
	                       STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE, mode,
	                       &attributes, &session->state);
}

static int make_objects(struct terminal_session *session,
                        const struct stoa_terminal_attributes *attributes)
{
	mode_t mode = attributes->mode ? attributes->mode : 0600;
	mode_t type_mode = attributes->type_mode ? attributes->type_mode : mode;
	uint64_t history = attributes->history_bytes ?
	                           attributes->history_bytes :
	                           HISTORY_DEFAULT;
	int result;

	if (history < HISTORY_LEAST)
		history = HISTORY_LEAST;
	if (history > HISTORY_MOST)
		return stoa_fail(-EINVAL, "session %s: at most 1 GiB can be "
		                          "kept of what it writes",
		                 session->name);
	result = become_keeper(session, 0600);
	if (result == 0 && !STOA_BUG(125))
		result = remove_old(session);
	if (result == 0)
		result = make_output(session, mode, history);
	if (result == 0)
		result = make_input(session, type_mode);
	if (result == 0)
		result = stoa_queue_pollfd(session->input, STOA_READ);
	session->mode = mode;
	return result < 0 ? result : 0;
}

int terminal_session_open(struct terminal_session *session,
                          struct stoa_space *space, const char *name,
                          const struct stoa_terminal_attributes *attributes)
{
	int result = terminal_names(name, session->name, session->state_name);

	if (result < 0)
		return result;
	session->space = space;
	result = stoa_space_self(space, &session->now.keeper);
	if (result == 0)
		result = make_objects(session, attributes);
	if (result < 0)
		terminal_session_close(session);
	return result;
}

int terminal_session_show(struct terminal_session *session)
{
	int result;

	session->now.magic = TERMINAL_MAGIC;
	session->now.started_ns = stoa_sys_clock_ns(CLOCK_REALTIME);
	session->now.keeper_pid = getpid();
	result = make_state(session, session->mode);
	if (result == 0)
		result = stoa_topic_publish(session->state, &session->now,
		                            sizeof(session->now), STOA_NOW);
	return result;
}

/* What a dead keeper of `name` left goes away. */
int terminal_session_bury(struct stoa_space *space, const char *name)
{
	struct terminal_session session = { .space = space };
	int result = terminal_names(name, session.name, session.state_name);

	if (result == 0)
		result = become_keeper(&session, 0600);
	if (result == -EEXIST)
		return stoa_fail(-EBUSY, "session %s is kept by a living "
		                         "process; end its command first",
		                 name);
	if (result == 0)
		result = remove_old(&session);
	terminal_session_close(&session);
	return result;
}

/* ---- Telling, and taking away ---------------------------------------------------------- */

/* Nobody may hold the keeper back: a message for which there is no place (they
 * are all reserved, by a scribbler) counts as lost. */
int terminal_session_publish(struct terminal_session *session,
                             const void *message, size_t bytes)
{
	int result = 0;

	if (!session->output)
		return 0;
	if (session->state_is_old) {
		session->state_is_old = 0;
		result = stoa_topic_publish(session->state, &session->now,
		                            sizeof(session->now), STOA_NOW);
	}
	if (bytes > 0 && (result == 0 || result == -EAGAIN))
		result = stoa_topic_publish(session->output, message, bytes,
		                            STOA_NOW);
	return result == -EAGAIN ? 0 : result;
}

void terminal_session_end(struct terminal_session *session,
                          const struct stoa_terminal_status *status)
{
	struct {
		char kind, end[sizeof(struct terminal_end)];
	} message = { .kind = STOA_TERMINAL_END };
	const struct terminal_end end = { status->code, status->number,
		                          status->unknown, 0 };

	if (!session->state)
		return;
	memcpy(message.end, &end, sizeof(end));
	session->now.ended = 1;
	session->now.end = end;
	session->state_is_old = 1;
	terminal_session_publish(session, &message,
	                         STOA_BUG(124) ? 0 : sizeof(message));
}

/* Who has one open reads on to the end: nothing is marked removed, but the
 * lock, for whom waits to be the next keeper. */
void terminal_session_close(struct terminal_session *session)
{
	if (session->state)
		stoa_topic_unlink(session->space, session->state_name);
	if (session->output)
		stoa_topic_unlink(session->space, session->name);
	if (session->input)
		stoa_queue_unlink(session->space, session->name);
	stoa_topic_close(session->state);
	stoa_topic_close(session->output);
	stoa_queue_close(session->input);
	if (session->lock)
		stoa_range_lock_remove(session->lock);
	stoa_range_lock_close(session->lock);
	session->state = session->output = NULL;
	session->input = NULL;
	session->lock = NULL;
}
