/* SPDX-License-Identifier: MIT */
/* stream_move.c: stoa stream write, read and copy. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define TICK_NS (NS_PER_SECOND / 2) /* between two lines of progress */
#define COPY_LEAST 1

#define HELP_MOVE                                                          \
	" -n, --bytes N        at most N bytes; K, M, G are fine\n"         \
	" -p, --progress       bytes, time and rate on standard error\n"    \
	" -c, --capacity N     of a stream that is made; default 64K\n"     \
	" -w, --timeout SEC    the answer is no if nothing could be moved\n" \
	"                      for SEC seconds, or nobody came to the other\n" \
	"                      end; decimals are fine\n"

static const char write_help[] =
	"Usage: stoa stream write [OPTION]... NAME\n"
	"\n"
	"Writes standard input to the stream NAME, until end of file. Makes\n"
	"the stream if there is none, and waits for a reader, as for a FIFO's.\n"
	"\n" HELP_MOVE TOOL_HELP_COMMON;

static const char read_help[] =
	"Usage: stoa stream read [OPTION]... NAME\n"
	"\n"
	"Reads the stream NAME to standard output, until the last writer has\n"
	"gone. Makes the stream if there is none, and waits for a writer.\n"
	"\n" HELP_MOVE TOOL_HELP_COMMON;

static const char copy_help[] =
	"Usage: stoa stream copy [OPTION]... FROM TO\n"
	"\n"
	"Moves what is in the stream FROM to the stream TO, until the last\n"
	"writer of FROM has gone. Makes them if there are none.\n"
	"\n" HELP_MOVE TOOL_HELP_COMMON;

static const struct option options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "bytes", required_argument, NULL, 'n' },
	{ "progress", no_argument, NULL, 'p' },
	{ "capacity", required_argument, NULL, 'c' },
	TOOL_LONG_END
};

struct move {
	struct tool_common common;
	struct stoa_stream_attributes attributes;
	uint64_t limit, moved;
	bool progress;
	struct stoa_stream *from, *to; /* NULL: a standard descriptor */
	const char *from_name, *to_name;
	int64_t began_ns, told_ns, idle_since_ns;
	uint64_t told;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* ---- Progress -------------------------------------------------------------- */

static void tell(struct move *move, bool last)
{
	int64_t now = now_ns(), since = last ? move->began_ns : move->told_ns;
	uint64_t bytes = last ? move->moved : move->moved - move->told;
	double seconds = (double)(now - since) / (double)NS_PER_SECOND;
	int64_t whole = (now - move->began_ns) / NS_PER_SECOND;
	char size[TOOL_TEXT_MAX], rate[TOOL_TEXT_MAX];
	bool terminal = isatty(STDERR_FILENO);

	if (!move->progress || (!last && now - move->told_ns < TICK_NS))
		return;
	fprintf(stderr, "%s%s %" PRId64 ":%02d:%02d [%s/s]%s%s",
	        terminal ? "\r" : "", tool_human_size(move->moved, size),
	        whole / 3600, (int)(whole / 60 % 60), (int)(whole % 60),
	        tool_human_size(seconds > 0 ?
	                                (uint64_t)((double)bytes / seconds) :
	                                0,
	                        rate),
	        terminal ? "\033[K" : "", last || !terminal ? "\n" : "");
	move->told_ns = now;
	move->told = move->moved;
}

/* ---- Moving ----------------------------------------------------------------- */

/* Until the next line of progress, or the end of patience. */
static struct stoa_deadline next_deadline(const struct move *move)
{
	int64_t left = move->common.timeout_ns;

	if (left != TOOL_NO_TIMEOUT) {
		left -= now_ns() - move->idle_since_ns;
		left = left < 0 ? 0 : left;
	}
	if (move->progress && (left == TOOL_NO_TIMEOUT || left > TICK_NS))
		left = TICK_NS;
	return left == TOOL_NO_TIMEOUT ? STOA_FOREVER : stoa_deadline_in(left);
}

static int64_t copy_some(struct move *move, uint64_t most,
                         struct stoa_deadline deadline)
{
	struct stoa_region region;
	ssize_t got = stoa_stream_peek(move->from, COPY_LEAST, deadline,
	                               &region);

	if (got <= 0)
		return got;
	ssize_t put = stoa_stream_write(
	        move->to, region.data,
	        region.bytes < most ? region.bytes : (size_t)most, deadline);
	int result = stoa_stream_consume(move->from,
	                                 put > 0 ? (size_t)put : 0);
	return result < 0 ? result : put;
}

static int64_t move_some(struct move *move)
{
	struct stoa_deadline deadline = next_deadline(move);
	uint64_t most = move->limit - move->moved;

	if (move->from && move->to)
		return copy_some(move, most, deadline);
	if (move->from)
		return stoa_stream_to_fd(move->from, STDOUT_FILENO, most,
		                         deadline);
	return stoa_stream_from_fd(move->to, STDIN_FILENO, most, deadline);
}

static bool patience_is_over(const struct move *move)
{
	return move->common.timeout_ns != TOOL_NO_TIMEOUT &&
	       now_ns() - move->idle_since_ns >= move->common.timeout_ns;
}

static int explain(const struct move *move, int result)
{
	if (result == -EPIPE && move->to)
		return tool_error("nobody reads the stream '%s' any more; "
		                  "%" PRIu64 " bytes were written",
		                  move->to_name, move->moved);
	if (result == -EPIPE)
		return TOOL_FAILED; /* who closed our output knows */
	return tool_failure(result, move->from ? move->from_name :
	                                         move->to_name);
}

static int move_all(struct move *move)
{
	int64_t result = 1;

	move->began_ns = move->told_ns = move->idle_since_ns = now_ns();
	while (move->moved < move->limit) {
		result = move_some(move);
		tell(move, false);
		if (result > 0) {
			move->moved += (uint64_t)result;
			move->idle_since_ns = now_ns();
		} else if (result != -ETIMEDOUT || patience_is_over(move)) {
			break;
		}
	}
	tell(move, true);
	if (result == -ETIMEDOUT)
		return move->common.no_exit;
	return result < 0 ? explain(move, (int)result) : TOOL_DONE;
}

/* ---- Options ------------------------------------------------------------------ */

static int parse_size(const struct move *move, uint64_t *ret_size)
{
	if (tool_parse_size(optarg, ret_size) < 0 || !*ret_size)
		return tool_usage(&move->common, "'%s' is not a size", optarg);
	return TOOL_GO_ON;
}

static int move_option(struct move *move, int option)
{
	switch (option) {
	case 'n': return parse_size(move, &move->limit);
	case 'c': return parse_size(move, &move->attributes.capacity);
	case 'p': move->progress = true; return TOOL_GO_ON;
	default: return tool_common_option(&move->common, option);
	}
}

static int open_end(struct move *move, struct stoa_space *space,
                    const char *typed, unsigned flags,
                    struct stoa_stream **ret_stream)
{
	char buffer[STOA_NAME_MAX + 1];
	int result = stoa_stream_open(space, tool_bare_name(typed, "stream", buffer),
	                              flags | STOA_CREATE, 0600,
	                              &move->attributes,
	                              move->common.timeout_ns ==
	                                              TOOL_NO_TIMEOUT ?
	                                      STOA_FOREVER :
	                                      stoa_deadline_in(
	                                              move->common.timeout_ns),
	                              ret_stream);

	if (result == -ETIMEDOUT)
		return move->common.no_exit;
	return result < 0 ? tool_failure(result, typed) : TOOL_DONE;
}

static int run(int argc, char **argv, const char *verb, const char *help,
               int from, int to)
{
	struct move move = { .common = TOOL_COMMON(verb, help),
		             .attributes = { .size = sizeof move.attributes },
		             .limit = STOA_STREAM_ALL };
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "n:c:p",
	                             options, NULL)) != -1) {
		result = move_option(&move, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != from + to)
		return tool_usage(&move.common,
		                  from + to == 1 ?
		                          "one name of a stream is needed" :
		                          "two names of streams are needed");
	result = tool_open_space(&move.common, STOA_CREATE, &space);
	if (result)
		return result;
	move.from_name = move.to_name = argv[optind];
	if (from)
		result = open_end(&move, space, argv[optind++], STOA_READ,
		                  &move.from);
	if (!result && to) {
		move.to_name = argv[optind];
		result = open_end(&move, space, argv[optind], STOA_WRITE,
		                  &move.to);
	}
	if (!result)
		result = move_all(&move);
	stoa_stream_close(move.from);
	stoa_stream_close(move.to);
	stoa_space_close(space);
	return result;
}

int tool_stream_write(int argc, char **argv)
{
	return run(argc, argv, "stream write", write_help, 0, 1);
}

int tool_stream_read(int argc, char **argv)
{
	return run(argc, argv, "stream read", read_help, 1, 0);
}

int tool_stream_copy(int argc, char **argv)
{
	return run(argc, argv, "stream copy", copy_help, 1, 1);
}
