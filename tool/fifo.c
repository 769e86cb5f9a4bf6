/* SPDX-License-Identifier: MIT */
/* fifo.c: stoa fifo create, write and read. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "noun.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define TICK_NS (NS_PER_SECOND / 2) /* between two lines of progress */
#define PIECE 65536

static int fifo_create(int argc, char **argv);
static int fifo_write(int argc, char **argv);
static int fifo_read(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", fifo_create, "make a FIFO" },
	{ "write", fifo_write, "standard input into a FIFO" },
	{ "read", fifo_read, "a FIFO to standard output" },
	{ NULL, NULL, NULL }
};

int tool_fifo(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "fifo", verbs);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa fifo create [OPTION]... PATH...\n"
	"\n"
	"Makes FIFOs of the kernel. One that is there already is left as it is.\n"
	"\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

static int create_one(const struct tool_common *common, const char *path,
                      mode_t mode, bool exclusive)
{
	struct stat there;
	int result = stoa_fifo_create(path, mode);

	if (result >= 0)
		return TOOL_DONE;
	if (result != -EEXIST)
		return tool_failure(result, path);
	if (exclusive) {
		tool_failure(result, path);
		return common->no_exit;
	}
	/* To open it would wake who waits for it. */
	if (stat(path, &there) == 0 && S_ISFIFO(there.st_mode))
		return TOOL_DONE;
	return tool_failure(result, path);
}

static int fifo_create(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("fifo create", create_help);
	mode_t mode = TOOL_MODE_DEFAULT;
	bool exclusive = false;
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "M:x",
	                             create_options, NULL)) != -1) {
		result = TOOL_GO_ON;
		if (option == 'M')
			result = tool_parse_mode(&common, optarg, &mode);
		else if (option == 'x')
			exclusive = true;
		else
			result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&common, "the path of the FIFO is missing");
	for (; optind < argc; optind++) {
		result = create_one(&common, argv[optind], mode, exclusive);
		if (result > worst)
			worst = result;
	}
	return worst;
}

/* ---- write and read ---------------------------------------------------------- */

#define HELP_MOVE                                                          \
	" -n, --bytes N        at most N bytes; K, M, G are fine\n"         \
	" -p, --progress       bytes, time and rate on standard error\n"    \
	" -w, --timeout SEC    the answer is no if nothing could be moved\n" \
	"                      for SEC seconds, or nobody came to the other\n" \
	"                      end; decimals are fine\n"

static const char write_help[] =
	"Usage: stoa fifo write [OPTION]... PATH\n"
	"\n"
	"Writes standard input to the FIFO PATH, until end of file. Makes the\n"
	"FIFO if there is none, and waits for a reader.\n"
	"\n" HELP_MOVE TOOL_HELP_COMMON;

static const char read_help[] =
	"Usage: stoa fifo read [OPTION]... PATH\n"
	"\n"
	"Reads the FIFO PATH to standard output, until the last writer has gone.\n"
	"Makes the FIFO if there is none, and waits for a writer.\n"
	"\n" HELP_MOVE
	" -s, --stay           waits for the next writer when the last has gone\n"
	TOOL_HELP_COMMON;

static const struct option move_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "bytes", required_argument, NULL, 'n' },
	{ "progress", no_argument, NULL, 'p' },
	{ "stay", no_argument, NULL, 's' },
	TOOL_LONG_END
};

struct move {
	struct tool_common common;
	const char *path;
	bool reads, stays, progress;
	uint64_t limit, moved, told;
	int64_t began_ns, told_ns, idle_since_ns;
	struct stoa_fifo *fifo;
	char *room;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

static void tell(struct move *move, bool last)
{
	int64_t now = now_ns(), since = last ? move->began_ns : move->told_ns;
	uint64_t bytes = last ? move->moved : move->moved - move->told;
	double seconds = (double)(now - since) / (double)NS_PER_SECOND;
	int64_t whole = (now - move->began_ns) / NS_PER_SECOND;
	char size[TOOL_TEXT_MAX], rate[TOOL_TEXT_MAX];
	bool terminal = isatty(STDERR_FILENO);
	uint64_t each = seconds > 0 ? (uint64_t)((double)bytes / seconds) : 0;

	if (!move->progress || (!last && now - move->told_ns < TICK_NS))
		return;
	fprintf(stderr, "%s%s %" PRId64 ":%02d:%02d [%s/s]%s%s",
	        terminal ? "\r" : "", tool_human_size(move->moved, size),
	        whole / 3600, (int)(whole / 60 % 60), (int)(whole % 60),
	        tool_human_size(each, rate), terminal ? "\033[K" : "",
	        last || !terminal ? "\n" : "");
	move->told_ns = now;
	move->told = move->moved;
}

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

static bool patience_is_over(const struct move *move)
{
	return move->common.timeout_ns != TOOL_NO_TIMEOUT &&
	       now_ns() - move->idle_since_ns >= move->common.timeout_ns;
}

static void count(struct move *move, ssize_t bytes)
{
	move->moved += (uint64_t)bytes;
	move->idle_since_ns = now_ns();
	tell(move, false);
}

/* Waits for standard input as long as for the FIFO. Bytes, 0 at its end,
 * -ETIMEDOUT, -errno. */
static ssize_t read_input(struct move *move, size_t most)
{
	struct pollfd asked = { STDIN_FILENO, POLLIN, 0 };

	while (move->progress || move->common.timeout_ns != TOOL_NO_TIMEOUT) {
		struct stoa_deadline until = next_deadline(move);
		int64_t left = until.ns - now_ns();
		int ready = poll(&asked, 1,
		                 left < 0 ? 0 : (int)(left / 1000000) + 1);

		tell(move, false);
		if (ready)
			break;
		if (patience_is_over(move))
			return -ETIMEDOUT;
	}
	ssize_t got = read(STDIN_FILENO, move->room, most);
	return got < 0 ? -errno : got;
}

static int write_piece(struct move *move, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t put = stoa_fifo_write(move->fifo, move->room + done,
		                              bytes - done,
		                              next_deadline(move));

		if (put > 0) {
			done += (size_t)put;
			count(move, put);
		} else if (put != -ETIMEDOUT || patience_is_over(move)) {
			return (int)put;
		}
		tell(move, false);
	}
	return 0;
}

/* Bytes moved, 0 at the end, or -errno. */
static ssize_t write_some(struct move *move, size_t most)
{
	ssize_t got = read_input(move, most);
	int result = got > 0 ? write_piece(move, (size_t)got) : 0;

	return result < 0 ? result : got;
}

static ssize_t read_some(struct move *move, size_t most)
{
	ssize_t got = stoa_fifo_read(move->fifo, move->room, most,
	                             next_deadline(move));

	for (ssize_t done = 0; done < got;) {
		ssize_t put = write(STDOUT_FILENO, move->room + done,
		                    (size_t)(got - done));

		if (put < 0 && errno != EINTR)
			return -EPIPE; /* who closed our output knows */
		if (put > 0) {
			done += put;
			count(move, put);
		}
	}
	return got;
}

static int explain(const struct move *move, int result)
{
	if (result == -EPIPE && move->reads)
		return TOOL_FAILED;
	if (result == -EPIPE)
		return tool_error("nobody reads the FIFO '%s' any more; "
		                  "%" PRIu64 " bytes were written",
		                  move->path, move->moved);
	return tool_failure(result, move->path);
}

static int move_all(struct move *move)
{
	ssize_t result = 1;

	move->began_ns = move->told_ns = move->idle_since_ns = now_ns();
	while (move->moved < move->limit) {
		uint64_t left = move->limit - move->moved;
		size_t most = left < PIECE ? (size_t)left : PIECE;

		result = move->reads ? read_some(move, most) :
		                       write_some(move, most);
		tell(move, false);
		if (result == -EINTR)
			continue;
		if (result == 0 ||
		    (result < 0 &&
		     (result != -ETIMEDOUT || patience_is_over(move))))
			break;
	}
	tell(move, true);
	if (result == -ETIMEDOUT)
		return move->common.no_exit;
	return result < 0 ? explain(move, (int)result) : TOOL_DONE;
}

static int move_option(struct move *move, int option)
{
	switch (option) {
	case 'n':
		if (tool_parse_size(optarg, &move->limit) < 0 || !move->limit)
			return tool_usage(&move->common, "'%s' is not a size",
			                  optarg);
		return TOOL_GO_ON;
	case 'p': move->progress = true; return TOOL_GO_ON;
	case 's':
		if (!move->reads)
			return tool_usage(&move->common,
			                  "readers stay, not writers");
		move->stays = true;
		return TOOL_GO_ON;
	default: return tool_common_option(&move->common, option);
	}
}

static int open_and_move(struct move *move)
{
	static char room[PIECE];
	unsigned flags = STOA_CREATE | (move->reads ? STOA_READ : STOA_WRITE) |
	                 (move->stays ? STOA_FIFO_STAYS : 0);
	struct stoa_deadline deadline =
	        move->common.timeout_ns == TOOL_NO_TIMEOUT ?
	                STOA_FOREVER :
	                stoa_deadline_in(move->common.timeout_ns);
	int result = stoa_fifo_open(move->path, flags, TOOL_MODE_DEFAULT,
	                            deadline, &move->fifo);

	if (result == -ETIMEDOUT)
		return move->common.no_exit;
	if (result < 0)
		return tool_failure(result, move->path);
	move->room = room;
	result = move_all(move);
	stoa_fifo_close(move->fifo);
	return result;
}

static int run(int argc, char **argv, struct move *move)
{
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "n:ps",
	                             move_options, NULL)) != -1) {
		result = move_option(move, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind != 1)
		return tool_usage(&move->common,
		                  "the path of one FIFO is needed");
	move->path = argv[optind];
	return open_and_move(move);
}

static int fifo_write(int argc, char **argv)
{
	struct move move = { .common = TOOL_COMMON("fifo write", write_help),
		             .limit = UINT64_MAX };

	return run(argc, argv, &move);
}

static int fifo_read(int argc, char **argv)
{
	struct move move = { .common = TOOL_COMMON("fifo read", read_help),
		             .limit = UINT64_MAX,
		             .reads = true };

	return run(argc, argv, &move);
}
