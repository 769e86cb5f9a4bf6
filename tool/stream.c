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

static int create_one(const struct create *create, struct stoa_space *space,
                      const char *typed)
{
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
	if (result != -EEXIST)
		return tool_failure(result, typed);
	if (create->exclusive) {
		tool_failure(result, typed);
		return create->common.no_exit;
	}
	return check_found(create, space, typed);
}

int tool_stream_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("stream create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	struct stoa_space *space;
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "c:m:M:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&create.common,
		                  "the name of the stream is missing");
	result = tool_open_space(&create.common, STOA_CREATE, &space);
	if (result)
		return result;
	for (; optind < argc; optind++) {
		result = create_one(&create, space, argv[optind]);
		worst = result > worst ? result : worst;
	}
	stoa_space_close(space);
	return worst;
}

/* ---- resize ---------------------------------------------------------------- */

static const char resize_help[] =
	"Usage: stoa stream resize [OPTION]... SIZE NAME...\n"
	"\n"
	"Changes the capacity of streams to SIZE bytes, up or down, while they\n"
	"are in use. Waits until what is in a stream fits.\n"
	"\n"
	" -w, --timeout SEC    wait at most SEC seconds for each; 0 does not\n"
	"                      wait; decimals are fine\n"
	TOOL_HELP_COMMON;

static const struct option resize_options[] = { TOOL_LONG, TOOL_LONG_WAIT,
	                                        TOOL_LONG_END };

static int resize_one(const struct tool_common *common,
                      struct stoa_space *space, const char *name, uint64_t size)
{
	struct stoa_stream *stream;
	int result = tool_stream_look(space, name, &stream);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_stream_resize(stream, size, tool_deadline(common));
	stoa_stream_close(stream);
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return common->no_exit;
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

int tool_stream_resize(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("stream resize", resize_help);
	struct stoa_space *space;
	int option, result, worst = TOOL_DONE;
	uint64_t size;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_WAIT,
	                             resize_options, NULL)) != -1) {
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind < 2)
		return tool_usage(&common, "the size or the name of the stream "
		                           "is missing");
	result = parse_size(&common, argv[optind++], &size);
	if (result != TOOL_GO_ON)
		return result;
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	for (; optind < argc; optind++) {
		result = resize_one(&common, space, argv[optind], size);
		worst = result > worst ? result : worst;
	}
	stoa_space_close(space);
	return worst;
}

/* ---- rm ---------------------------------------------------------------------- */

static const char rm_help[] =
	"Usage: stoa stream rm [OPTION]... NAME...\n"
	"\n"
	"Removes streams. Who has one open goes on with it; with --wake it is\n"
	"gone for them too.\n"
	"\n"
	" -w, --wake           who waits on it, or uses it later, gets EIDRM\n"
	" -f, --force          say nothing of streams that aren't there\n"
	TOOL_HELP_COMMON;

static const struct option rm_options[] = { TOOL_LONG,
	                                    { "wake", no_argument, NULL, 'w' },
	                                    { "force", no_argument, NULL, 'f' },
	                                    TOOL_LONG_END };

static int remove_one(struct stoa_space *space, const char *typed, bool wake,
                      bool force)
{
	char buffer[STOA_NAME_MAX + 1];
	char file[STOA_NAME_MAX + sizeof "." KIND];
	int result;

	snprintf(file, sizeof file, "%s." KIND,
	         tool_bare_name(typed, KIND, buffer));
	result = stoa_space_remove(space, file, wake);
	if (result < 0 && !(force && result == -ENOENT))
		return tool_failure(result, typed);
	return TOOL_DONE;
}

int tool_stream_rm(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("stream rm", rm_help);
	struct stoa_space *space;
	bool wake = false, force = false;
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "wf", rm_options,
	                             NULL)) != -1) {
		if (option == 'w' || option == 'f') {
			*(option == 'w' ? &wake : &force) = true;
			continue;
		}
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc && !force)
		return tool_usage(&common, "the name of a stream is missing");
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	for (; optind < argc; optind++) {
		result = remove_one(space, argv[optind], wake, force);
		worst = result > worst ? result : worst;
	}
	stoa_space_close(space);
	return worst;
}
