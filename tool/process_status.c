/* SPDX-License-Identifier: MIT */
/* process_status.c: the table of how each command ended. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#define NS_PER_SECOND 1e9
#define WORDS_MAX 256
#define NEW_FILE_MODE 0666

enum column {
	NUMBER,
	PID,
	STATE,
	CODE,
	SIGNAL,
	ELAPSED,
	USER,
	SYSTEM,
	RESIDENT,
	MAJFLT,
	MINFLT,
	WAITS,
	PREEMPTIONS,
	COMMAND
};

static const struct tool_column columns[] = {
	[NUMBER] = { "NUMBER", TOOL_NUMBER, "which of the commands, from 0" },
	[PID] = { "PID", TOOL_NUMBER, "its process, while it ran" },
	[STATE] = { "STATE", TOOL_TEXT, "exited, killed, dumped" },
	[CODE] = { "CODE", TOOL_NUMBER, "status of its exit" },
	[SIGNAL] = { "SIGNAL", TOOL_TEXT, "what killed it" },
	[ELAPSED] = { "ELAPSED", TOOL_NUMBER, "from start to end, seconds" },
	[USER] = { "USER", TOOL_NUMBER, "seconds of processor as user" },
	[SYSTEM] = { "SYSTEM", TOOL_NUMBER, "seconds of processor as kernel" },
	[RESIDENT] = { "RESIDENT", TOOL_SIZE, "most memory resident at once" },
	[MAJFLT] = { "MAJFLT", TOOL_NUMBER, "page faults that read a file" },
	[MINFLT] = { "MINFLT", TOOL_NUMBER, "page faults that didn't" },
	[WAITS] = { "WAITS", TOOL_NUMBER, "times it gave up the processor" },
	[PREEMPTIONS] = { "PREEMPTIONS", TOOL_NUMBER,
	                  "times it lost the processor" },
	[COMMAND] = { "COMMAND", TOOL_TEXT, "its words" },
};

#define USUAL "PID,STATE,CODE,SIGNAL,ELAPSED,USER,SYSTEM,RESIDENT,COMMAND"

static struct tool_table new_table(const struct process_run *run)
{
	return (struct tool_table){ .name = "commands",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = &run->table };
}

int process_check_table(struct process_run *run)
{
	struct tool_table table = new_table(run);
	int result = tool_table_init(&table, &run->common, USUAL);

	if (result == TOOL_GO_ON)
		tool_table_fini(&table);
	return result;
}

static void add_end(struct tool_table *table,
                    const struct stoa_process_status *status)
{
	static const char *const states[] = { "running", "exited", "killed",
		                              "dumped" };
	char name[STOA_SIGNAL_NAME_MAX];

	tool_table_text(table, STATE, states[status->state]);
	if (status->state == STOA_PROCESS_EXITED)
		tool_table_number(table, CODE, (uint64_t)status->code);
	else if (stoa_signal_name(status->code, name) >= 0)
		tool_table_text(table, SIGNAL, name);
}

static void add_command(struct tool_table *table, char *const *words,
                        const struct stoa_process_status *status)
{
	char text[WORDS_MAX] = "";

	for (size_t at = 0; *words && at < sizeof text; words++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%s",
		                       at ? " " : "", *words);
	tool_table_line(table);
	tool_table_number(table, NUMBER, status->command);
	tool_table_number(table, PID, (uint64_t)status->pid);
	add_end(table, status);
	tool_table_real(table, ELAPSED, 3,
	                (double)(status->ended_ns - status->started_ns) /
	                        NS_PER_SECOND);
	tool_table_real(table, USER, 3,
	                (double)status->user_ns / NS_PER_SECOND);
	tool_table_real(table, SYSTEM, 3,
	                (double)status->system_ns / NS_PER_SECOND);
	tool_table_size(table, RESIDENT, status->resident_bytes);
	tool_table_number(table, MAJFLT, status->major_faults);
	tool_table_number(table, MINFLT, status->minor_faults);
	tool_table_number(table, WAITS, status->waits);
	tool_table_number(table, PREEMPTIONS, status->preemptions);
	tool_table_text(table, COMMAND, text);
}

/* Standard output is the commands'. */
static int turn_output(const struct process_run *run)
{
	int fd = STDERR_FILENO;

	if (run->status_path)
		fd = open(run->status_path,
		          O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		          NEW_FILE_MODE);
	fflush(stdout);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		return tool_error("'%s': %s", run->status_path,
		                  strerror(errno));
	if (fd != STDERR_FILENO)
		close(fd);
	return TOOL_GO_ON;
}

int process_show_status(struct process_run *run)
{
	struct tool_table table = new_table(run);
	int result = turn_output(run);

	if (result == TOOL_GO_ON)
		result = tool_table_init(&table, &run->common, USUAL);
	if (result != TOOL_GO_ON)
		return result;
	for (size_t i = 0; i < run->count; i++) {
		struct stoa_process_status status = { .size = sizeof status };

		if (stoa_process_stat(run->process, i, &status) == 0)
			add_command(&table, run->command[i].arguments, &status);
	}
	result = tool_table_print(&table);
	tool_table_fini(&table);
	return result;
}
