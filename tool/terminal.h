/* SPDX-License-Identifier: MIT */
/* terminal.h: what the verbs of terminals share. */
#ifndef STOA_TOOL_TERMINAL_H
#define STOA_TOOL_TERMINAL_H

#include "noun.h"

int tool_terminal_start(int argc, char **argv);
int tool_terminal_attach(int argc, char **argv);
int tool_terminal_ls(int argc, char **argv);
int tool_terminal_record(int argc, char **argv);
int tool_terminal_replay(int argc, char **argv);
int tool_terminal_size(int argc, char **argv);
int tool_terminal_rm(int argc, char **argv);

/* ---- Control sequences: what a screen was put into ------------------------ */

#define TOOL_SEQUENCE_MOST 64

/* Follows what a terminal is told. */
struct tool_sequences {
	int state;
	char text[TOOL_SEQUENCE_MOST]; /* of the sequence in hand */
	size_t bytes;
	bool too_long;
	uint32_t changed; /* bit i: mode i isn't as it usually is */
};

/* Follows `bytes` bytes at `data`. With `old`, copies to it (room for
 * bytes + TOOL_SEQUENCE_MOST) those that make a picture and no terminal would
 * answer or obey otherwise; returns how many. */
size_t tool_sequences_follow(struct tool_sequences *sequences,
                             const char *data, size_t bytes, char *old);

/* What puts the modes back, into `out`, of TOOL_UNDO_ROOM. */
size_t tool_sequences_undo(const struct tool_sequences *sequences, char *out,
                           size_t room);
#define TOOL_UNDO_ROOM 256

/* ---- The terminal that the command was called from -------------------------- */

struct tool_screen {
	bool in, out; /* input, output are a terminal */
	bool raw;
	struct stoa_terminal_mode mode; /* as it was before */
	int signal_fd;
	int signal;   /* that asked to leave, 0: none */
	bool resized; /* the size may be another */
	pid_t guard;
	int guard_fd;
	struct tool_sequences sequences;
};

/* Signals come by a descriptor from now on; the input becomes raw, and is given
 * back by tool_screen_leave(), or by a guard if this process is killed. 0 or an
 * exit code. */
int tool_screen_enter(struct tool_screen *screen);
/* Gives all back: what the bytes written had changed, mode, signals. */
void tool_screen_leave(struct tool_screen *screen);
/* Dies of the signal that asked, if one did. */
void tool_screen_die(const struct tool_screen *screen);
/* Reads what signals came: see screen->signal and resized. */
void tool_screen_signals(struct tool_screen *screen);
/* The size, of output or input; false: neither is a terminal, or it's not
 * known. */
bool tool_screen_size(const struct tool_screen *screen,
                      struct stoa_terminal_size *ret_size);
/* Writes all of it, on standard output. 0 or -errno; -EINTR: a signal asks to
 * leave. */
int tool_screen_put(struct tool_screen *screen, const char *data, size_t bytes);

/* ---- The rest ------------------------------------------------------------------ */

/* "24x80", rows first. False: it isn't a size. */
bool tool_parse_window(const char *text, struct stoa_terminal_size *ret_size);

/* "^\", "^]", "q", "none" (-1). False: it isn't a key. */
bool tool_parse_key(const char *text, int *ret_key);
#define TOOL_DETACH_KEY 0x1c

/* The status of a command as an exit code. */
int tool_terminal_code(const struct stoa_terminal_status *status);

struct tool_watch {
	const struct tool_common *common;
	const char *name;
	int key; /* that detaches; -1: none */
	bool read_only, no_history;
	int go_fd; /* closed once it has attached; 0: none */
};

/* Is a client of the session until it ends, or is left. An exit code. */
int tool_terminal_watch(const struct tool_watch *watch,
                        struct stoa_space *space);

/* The words after the options, or the user's shell. `room` has place for two. */
char **tool_terminal_command(char **rest, char *room[2]);

#endif
