/* SPDX-License-Identifier: MIT */
/* stream.c: stoa stream: picks its verb; create, resize and rm. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define KIND "stream"

static const struct tool_verb verbs[] = {
	{ "create", tool_stream_create, "make a stream" },
	{ "write", tool_stream_write, "standard input into a stream" },
	{ "read", tool_stream_read, "a stream to standard output" },
	{ "copy", tool_stream_copy, "one stream into another" },
	{ "stat", tool_stream_stat, "show the numbers of streams" },
	{ "resize", tool_stream_resize, "change the capacity of streams" },
	{ "rm", tool_stream_rm, "remove streams" },
	{ NULL, NULL, NULL }
};

int tool_stream(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "stream", verbs);
}

int tool_stream_look(struct stoa_space *space, const char *name,
                     struct stoa_stream **ret_stream)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_stream_open(space, tool_bare_name(name, KIND, buffer), 0, 0,
	                        NULL, STOA_NOW, ret_stream);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa stream create [OPTION]... NAME...\n"
	"\n"
	"Makes streams, and the directory of the space if there is none. A\n"
	"stream that is there already is left as it is; the answer is no if\n"
	"its capacity is less than asked.\n"
	"\n"
	" -c, --capacity N     bytes it has room for; default 64K\n"
	" -m, --max-capacity N bytes that it can be given later; default 16M\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	"N may carry K, M, G (or KiB, MiB: 1024; KB, MB: 1000).\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "capacity", required_argument, NULL, 'c' },
	{ "max-capacity", required_argument, NULL, 'm' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_stream_attributes attributes;
	mode_t mode;
	bool exclusive;
};

static int parse_size(const struct tool_common *common, const char *text,
                      uint64_t *ret_size)
{
	if (tool_parse_size(text, ret_size) < 0 || !*ret_size)
		return tool_usage(common, "'%s' is not a size", text);
	return TOOL_GO_ON;
}

static int create_option(struct create *create, int option)
{
	switch (option) {
	case 'c':
		return parse_size(&create->common, optarg,
		                  &create->attributes.capacity);
	case 'm':
		return parse_size(&create->common, optarg,
		                  &create->attributes.max_capacity);
	case 'M': return tool_parse_mode(&create->common, optarg,
	                                 &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int check_found(const struct create *create, struct stoa_space *space,
                       const char *name)
{
	struct stoa_stream_status found = { .size = sizeof found };
	struct stoa_stream *stream;
	int result = tool_stream_look(space, name, &stream);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_stream_stat(stream, &found);
	stoa_stream_close(stream);
	if (result < 0)
		return tool_failure(result, name);
	if (found.capacity >= create->attributes.capacity &&
	    found.max_capacity >= create->attributes.max_capacity)
		return TOOL_DONE;
	tool_error("stream '%s' is there already, but its capacity is %" PRIu64
	           " bytes, at most %" PRIu64,
	           name, found.capacity, found.max_capacity);
	return create->common.no_exit;
}

static int create_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct create *create = context;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, KIND, buffer);
	struct stoa_stream *stream;
	int result = stoa_stream_open(space, name, STOA_CREATE | STOA_EXCLUSIVE,
	                              create->mode, &create->attributes,
	                              STOA_NOW, &stream);

	if (result >= 0) {
		stoa_stream_close(stream);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	if (result != TOOL_GO_ON)
		return result;
	return check_found(create, space, typed);
}

int tool_stream_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("stream create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "c:m:M:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	return tool_each_name(&create.common, STOA_CREATE, argv + optind,
	                      "the name of the stream", create_one, &create);
}

/* ---- resize ---------------------------------------------------------------- */

static const char resize_help[] =
	"Usage: stoa stream resize [OPTION]... NAME... SIZE\n"
	"\n"
	"Changes the capacity of streams to SIZE bytes, up or down, while they\n"
	"are in use. Waits until what is in a stream fits.\n"
	"\n"
	" -w, --timeout SEC    wait at most SEC seconds for each; 0 does not\n"
	"                      wait; decimals are fine\n"
	TOOL_HELP_COMMON;

static const struct option resize_options[] = { TOOL_LONG, TOOL_LONG_WAIT,
	                                        TOOL_LONG_END };

struct resize {
	struct tool_common common;
	uint64_t size;
};

static int resize_one(void *context, struct stoa_space *space,
                      const char *name)
{
	const struct resize *resize = context;
	struct stoa_stream *stream;
	int result = tool_stream_look(space, name, &stream);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_stream_resize(stream, resize->size,
	                            tool_deadline(&resize->common));
	stoa_stream_close(stream);
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return resize->common.no_exit;
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

int tool_stream_resize(int argc, char **argv)
{
	struct resize resize = {
		.common = TOOL_COMMON("stream resize", resize_help),
	};
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_WAIT,
	                             resize_options, NULL)) != -1) {
		result = tool_common_option(&resize.common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind < 2)
		return tool_usage(&resize.common,
		                  "the name of the stream or the size, which "
		                  "comes last, is missing");
	result = parse_size(&resize.common, argv[argc - 1], &resize.size);
	if (result != TOOL_GO_ON)
		return result;
	argv[argc - 1] = NULL;
	return tool_each_name(&resize.common, 0, argv + optind, "a name",
	                      resize_one, &resize);
}

/* ---- rm ---------------------------------------------------------------------- */

static const char rm_help[] =
	"Usage: stoa stream rm [OPTION]... NAME...\n"
	"\n"
	"Removes streams. Who has one open goes on with it; with --wake it is\n"
	"gone for them too.\n"
	"\n"
	TOOL_HELP_RM TOOL_HELP_COMMON;

int tool_stream_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, KIND, "stream rm", rm_help);
}
