/* SPDX-License-Identifier: MIT */
/* process.h: what the parts of stoa process share. */
#ifndef STOA_TOOL_PROCESS_H
#define STOA_TOOL_PROCESS_H

#include "tool.h"

#define PROCESS_COMMANDS_MAX 64

/* 0: input, 1: output, 2: error. */
#define PROCESS_ENDS 3

/* What a descriptor of the commands is attached to. */
struct process_place {
	const char *typed; /* NULL: what stoa has */
	int fd; /* opened for it, or -1 */
	pid_t feeder; /* feeds the input's pipe; 0: none */
	struct stoa_stream *stream;
};

struct process_run {
	struct tool_common common;
	struct tool_table_options table;
	struct process_place place[PROCESS_ENDS];
	const char *directory;
	unsigned flags;
	int64_t grace_ns;
	bool status; /* is shown */
	const char *status_path; /* NULL: on standard error */
	struct stoa_space *space; /* NULL: not needed so far */
	struct stoa_process_attributes attributes[PROCESS_COMMANDS_MAX];
	struct stoa_process_command command[PROCESS_COMMANDS_MAX];
	size_t count;
	struct stoa_process *process;
};

/* Opens what the ends are attached to, and writes it into the attributes; waits
 * for the other ends of streams by the deadline. TOOL_GO_ON, or an exit code. */
int process_open_places(struct process_run *run, struct stoa_deadline deadline);
void process_close_places(struct process_run *run);
/* Once they run: the terminal's size and input, if there is one. TOOL_GO_ON, or an
 * exit code. */
int process_begin_terminal(struct process_run *run);

/* What goes through pipes of stoa's goes on to its own output and error; NULL
 * if there is no such. */
struct stoa_process_exchange *
process_exchange(const struct process_run *run,
                 struct stoa_process_exchange *exchange);

/* The table of each command's status. An exit code. */
int process_show_status(struct process_run *run);
/* Checks -o and prints -H. TOOL_GO_ON, or an exit code. */
int process_check_table(struct process_run *run);

#endif
