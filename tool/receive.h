/* SPDX-License-Identifier: MIT */
/* receive.h: what recv, take and peek share. */
#ifndef STOA_TOOL_RECEIVE_H
#define STOA_TOOL_RECEIVE_H

#include "tool.h"

struct tool_receive {
	struct tool_common common;
	const char *name;
	struct tool_style style;
	struct stoa_selector selector;
	const char *command; /* --exec */
	uint64_t count;      /* --count; default 1 */
	uint64_t index;      /* --index */
	bool follow, all, acknowledge;
	struct stoa_space *space;
	struct stoa_queue *queue;
	struct tool_out out;
};

#define RECEIVE_SHORT "t:"
#define RECEIVE_LONG                                               \
	{ "type", required_argument, NULL, 't' },                  \
	{ "except", required_argument, NULL, RECEIVE_EXCEPT },     \
	{ "lowest", required_argument, NULL, RECEIVE_LOWEST }

enum { RECEIVE_EXCEPT = TOOL_OPTION_FIRST, RECEIVE_LOWEST };

#define RECEIVE_HELP_SELECT                                               \
	" -t, --type N         only of type N\n"                           \
	"     --except N       only of other types than N\n"               \
	"     --lowest N       of the lowest type there is, at most N\n"

/* An option of selection, style or common. TOOL_GO_ON, or an exit code. */
int receive_option(struct tool_receive *receive, int option);
int receive_count(struct tool_receive *receive, uint64_t *ret_count);
/* Opens what the one argument names. 0 or an exit code. */
int receive_open(struct tool_receive *receive, int argc, char **argv,
                 unsigned flags);
void receive_close(struct tool_receive *receive);

/* Takes one message. 0, or -errno; -EINTR: stop was asked for. */
int receive_take(struct tool_receive *receive, struct stoa_message *message);
/* Prints it, whole, or gives it to the command. 0; -errno: the output failed;
 * above 0: the command's exit code. If not 0, the message must go back. */
int receive_deliver(struct tool_receive *receive,
                    const struct stoa_message *message);
/* Acknowledges it, or gives it back; -errno if that failed. */
int receive_settle(struct tool_receive *receive,
                   const struct stoa_message *message, bool done);

/* Closes all, and turns the result of the calls above into an exit code,
 * saying why if it is neither done nor no. Dies of the signal, if it was one
 * that ended it. */
int receive_leave(struct tool_receive *receive, int result);

#endif
