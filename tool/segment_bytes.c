/* SPDX-License-Identifier: MIT */
/* segment_bytes.c: stoa segment read and write. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "segment.h"

#define PIECE 65536u

/* ---- read ------------------------------------------------------------------- */

static const char read_help[] =
	"Usage: stoa segment read [OPTION]... NAME\n"
	"\n"
	"Prints the bytes of a segment: as they are, or on a terminal as\n"
	"hexdump -C shows them. Leave to read it is enough.\n"
	"\n"
	" -f, --from SIZE      begin there; K, M, G are fine\n"
	" -c, --count SIZE     print so many, or what there is\n"
	" -x, --hex            as hexdump -C shows them\n"
	" -r, --raw            as they are\n"
	TOOL_HELP_COMMON;

static const struct option read_options[] = {
	TOOL_LONG,
	{ "from", required_argument, NULL, 'f' },
	{ "count", required_argument, NULL, 'c' },
	{ "hex", no_argument, NULL, 'x' },
	{ "raw", no_argument, NULL, 'r' },
	TOOL_LONG_END
};

struct range {
	struct tool_common common;
	uint64_t from, count;
	bool hex, grow;
};

static int range_option(struct range *range, int option)
{
	uint64_t *size = option == 'f' ? &range->from : &range->count;

	switch (option) {
	case 'f':
	case 'c':
		if (tool_parse_size(optarg, size) < 0)
			return tool_usage(&range->common,
			                  "'%s' is not a size, as 64K or 1.5G",
			                  optarg);
		return TOOL_GO_ON;
	case 'x': range->hex = true; return TOOL_GO_ON;
	case 'r': range->hex = false; return TOOL_GO_ON;
	case 'g': range->grow = true; return TOOL_GO_ON;
	default: return tool_common_option(&range->common, option);
	}
}

/* Bytes are copied before they are printed: whoever shares them may change
 * them, or cut the file short. */
static int print_bytes(const struct range *range, struct stoa_segment *segment)
{
	static struct tool_out out;
	static char piece[PIECE];
	const char *data = stoa_segment_data(segment);
	uint64_t size = stoa_segment_size(segment);
	uint64_t at = range->from < size ? range->from : size;
	uint64_t end = range->count < size - at ? at + range->count : size;
	struct tool_hexdump dump;
	int result = 0;

	tool_out_init(&out, STDOUT_FILENO);
	tool_hexdump_start(&dump, &out, at);
	while (at < end && out.error == 0) {
		size_t bytes = end - at < PIECE ? (size_t)(end - at) : PIECE;

		memcpy(piece, data + at, bytes);
		result = stoa_segment_check(segment);
		if (result < 0)
			break;
		if (range->hex)
			tool_hexdump_put(&dump, piece, bytes);
		else
			tool_out_put(&out, piece, bytes);
		at += bytes;
	}
	if (range->hex)
		tool_hexdump_end(&dump);
	if (result >= 0)
		result = tool_out_flush(&out);
	return result < 0 ? result : 0;
}

/* Opens the segment named by the words that are left, and does `run`. */
static int with_segment(struct range *range, char **words, unsigned flags,
                        int (*run)(const struct range *range,
                                   struct stoa_segment *segment))
{
	struct stoa_segment *segment;
	struct stoa_space *space;
	int result;

	if (!words[0] || words[1])
		return tool_usage(&range->common,
		                  "the name of one segment is needed");
	result = tool_open_space(&range->common, 0, &space);
	if (result)
		return result;
	result = tool_segment_open(space, words[0], flags, &segment);
	if (result == 0) {
		result = run(range, segment);
		stoa_segment_close(segment);
	}
	stoa_space_close(space);
	if (result < 0)
		return tool_failure(result, words[0]);
	return result ? TOOL_FAILED : TOOL_DONE;
}

int tool_segment_read(int argc, char **argv)
{
	struct range range = {
		.common = TOOL_COMMON("segment read", read_help),
		.count = UINT64_MAX,
		.hex = isatty(STDOUT_FILENO) == 1,
	};
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, TOOL_SHORT "f:c:xr",
	                             read_options, NULL)) != -1)
		result = range_option(&range, option);
	if (result != TOOL_GO_ON)
		return result;
	return with_segment(&range, argv + optind, STOA_READ, print_bytes);
}

/* ---- write ------------------------------------------------------------------ */

static const char write_help[] =
	"Usage: stoa segment write [OPTION]... NAME\n"
	"\n"
	"Copies standard input into a segment, up to its end; with --grow it\n"
	"is made larger as needed, up to its limit. What doesn't fit is a\n"
	"failure; what came before it is written.\n"
	"\n"
	" -f, --from SIZE      begin there; K, M, G are fine\n"
	" -g, --grow           make it larger as needed\n"
	TOOL_HELP_COMMON;

static const struct option write_options[] = {
	TOOL_LONG,
	{ "from", required_argument, NULL, 'f' },
	{ "grow", no_argument, NULL, 'g' },
	TOOL_LONG_END
};

/* How many of `bytes` from `at` on have room, after it has grown. */
static int64_t make_room(const struct range *range,
                         struct stoa_segment *segment, uint64_t at,
                         size_t bytes)
{
	uint64_t size = stoa_segment_size(segment);

	if (range->grow && (at > size || bytes > size - at)) {
		int result = stoa_segment_resize(segment, at + bytes);

		if (result < 0)
			return result;
		size = stoa_segment_size(segment);
	}
	if (at >= size)
		return 0;
	return (int64_t)(bytes < size - at ? bytes : size - at);
}

static int copy_input(const struct range *range, struct stoa_segment *segment)
{
	static char piece[PIECE];
	char *data = stoa_segment_data(segment);
	uint64_t at = range->from;
	ssize_t got;

	while ((got = read(STDIN_FILENO, piece, PIECE)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		int64_t room = make_room(range, segment, at, (size_t)got);
		if (room < 0)
			return (int)room;
		memcpy(data + at, piece, (size_t)room);
		int result = stoa_segment_check(segment);
		if (result < 0)
			return result;
		at += (uint64_t)room;
		if (room < got) {
			tool_error("the segment ends after %llu bytes, and "
			           "more came",
			           (unsigned long long)stoa_segment_size(
					   segment));
			return 1;
		}
	}
	return 0;
}

int tool_segment_write(int argc, char **argv)
{
	struct range range = {
		.common = TOOL_COMMON("segment write", write_help),
	};
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, TOOL_SHORT "f:g",
	                             write_options, NULL)) != -1)
		result = range_option(&range, option);
	if (result != TOOL_GO_ON)
		return result;
	return with_segment(&range, argv + optind, STOA_WRITE, copy_input);
}
