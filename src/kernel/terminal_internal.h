/* SPDX-License-Identifier: MIT */
/* kernel/terminal_internal.h: what the files of sessions share. */
#ifndef STOA_KERNEL_TERMINAL_INTERNAL_H
#define STOA_KERNEL_TERMINAL_INTERNAL_H

#include <kernel/terminal_layout.h>
#include <stoa/process.h>
#include <stoa/queue.h>
#include <stoa/range_lock.h>
#include <stoa/terminal.h>
#include <stoa/topic.h>

#include <poll.h>

#define TYPED_MOST (TERMINAL_MESSAGE_MOST - sizeof(struct terminal_request))
#define REDRAW_NS INT64_C(20000000)

/* Reads the title that a command sets (OSC 0 and 2) out of what it writes. */
struct terminal_title {
	int state;
	size_t bytes;
	char text[TERMINAL_TEXT_MOST + 1];
};

/* The session's objects, of the keeper. All NULL: it has no name. */
struct terminal_session {
	struct stoa_space *space;
	char name[STOA_NAME_MAX + 1];       /* NAME.terminal */
	char state_name[STOA_NAME_MAX + 1]; /* NAME.terminal-state */
	mode_t mode;
	struct stoa_range_lock *lock;
	struct stoa_topic *output, *state;
	struct stoa_queue *input;
	struct terminal_state now; /* as published last, or to be */
	int state_is_old;
};

struct stoa_terminal {
	int controller;
	/* Kept open: else a command that closes its own looks like one that
	 * was hung up. */
	int terminal;
	int hung; /* reading the controller gives no more, for good */
	struct stoa_process *process;
	struct stoa_terminal_status status;
	int finished; /* and all was told */
	struct stoa_terminal_size window;
	/* CLOCK_MONOTONIC: when the true size comes back; 0: it is there. */
	int64_t redraw_ns;
	struct terminal_session session;
	int input_fd, output_fd;
	struct stoa_terminal_recorder *recorder;
	int records_input;
	int64_t recorder_began_ns;
	int record_result;
	struct terminal_title title;
	char last_typed; /* the last byte from input_fd */
	/* What was typed and not taken yet: typed[at .. at + bytes). */
	size_t typed_at, typed_bytes;
	char typed[TERMINAL_MESSAGE_MOST];
	/* A message of the topic: its kind, and what was read. */
	char piece[TERMINAL_MESSAGE_MOST];
};

/* ---- The command (terminal_start.c) ------------------------------------------- */

/* Learns whether it has ended, by `deadline`. 1: yes, and terminal->status says
 * how. */
int terminal_ended(struct stoa_terminal *terminal,
                   struct stoa_deadline deadline);

/* ---- Names and messages (terminal_session.c) ----------------------------------- */

int terminal_names(const char *name, char session[STOA_NAME_MAX + 1],
                   char state[STOA_NAME_MAX + 1]);
/* 1: rows and columns are in range. */
int terminal_size_good(const struct stoa_terminal_size *size);
struct terminal_window terminal_window_of(const struct stoa_terminal_size *size);
struct stoa_terminal_size terminal_size_of(const struct terminal_window *window);
/* 1: how a command can end; and `*ret_status` says it. */
int terminal_end_read(const struct terminal_end *end,
                      struct stoa_terminal_status *ret_status);

/* Makes the session's objects, or fails with nothing left. */
int terminal_session_open(struct terminal_session *session,
                          struct stoa_space *space, const char *name,
                          const struct stoa_terminal_attributes *attributes);
/* Shows it to clients: the last step. */
int terminal_session_show(struct terminal_session *session);
/* Takes the names away, and closes. */
void terminal_session_close(struct terminal_session *session);
int terminal_session_publish(struct terminal_session *session,
                             const void *message, size_t bytes);
void terminal_session_end(struct terminal_session *session,
                          const struct stoa_terminal_status *status);

int terminal_session_bury(struct stoa_space *space, const char *name);

/* The latest state: checked for size and magic, its texts' lengths, its window,
 * its process ids, and how it ended, if it did. */
int terminal_state_read(struct stoa_topic *state,
                        struct terminal_state *ret_state);

/* ---- Titles (terminal_title.c) --------------------------------------------------- */

/* Looks at what was written. 1: the title is another than before. */
int terminal_title_look(struct terminal_title *title, const char *data,
                        size_t bytes, char *text, uint32_t *text_bytes);

#endif
