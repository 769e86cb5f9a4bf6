/* SPDX-License-Identifier: MIT */
/* segment.c: stoa segment: memory that processes share by name. Reading and
 * writing is in segment_bytes.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "segment.h"

static int run_create(int argc, char **argv);
static int run_ls(int argc, char **argv);
static int run_stat(int argc, char **argv);
static int run_resize(int argc, char **argv);
static int run_seal(int argc, char **argv);
static int run_attach_count(int argc, char **argv);
static int run_rm(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", run_create, "make a segment" },
	{ "ls", run_ls, "list segments, and how many have them attached" },
	{ "read", tool_segment_read, "print bytes, or show them" },
	{ "write", tool_segment_write, "copy standard input into a segment" },
	{ "resize", run_resize, "change the size" },
	{ "seal", run_seal, "let it not grow, shrink, or be written" },
	{ "attach-count", run_attach_count, "print how many are attached" },
	{ "stat", run_stat, "show the numbers of segments" },
	{ "rm", run_rm, "remove segments" },
	{ NULL, NULL, NULL }
};

int tool_segment(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "segment", verbs);
}

int tool_segment_open(struct stoa_space *space, const char *name,
                      unsigned flags, struct stoa_segment **ret_segment)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_segment_open(space,
	                         tool_bare_name(name, SEGMENT_KIND, buffer),
	                         flags, 0, NULL, ret_segment);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa segment create [OPTION]... NAME...\n"
	"\n"
	"Makes segments of zeros, and the directory of the space if there is\n"
	"none. One that is there already is left as it is.\n"
	"\n"
	" -s, --size SIZE      bytes; default 4K. K, M, G are fine\n"
	" -l, --limit SIZE     that it can grow to; default its size\n"
	"     --huge           in huge pages, as far as the system grants them\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

enum { OPTION_HUGE = TOOL_OPTION_FIRST };

static const struct option create_options[] = {
	TOOL_LONG,
	{ "size", required_argument, NULL, 's' },
	{ "limit", required_argument, NULL, 'l' },
	{ "huge", no_argument, NULL, OPTION_HUGE },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_segment_attributes attributes;
	mode_t mode;
	bool exclusive;
};

static int create_option(struct create *create, int option)
{
	uint64_t *size = option == 's' ? &create->attributes.bytes :
	                                 &create->attributes.limit;

	switch (option) {
	case 's':
	case 'l':
		if (tool_parse_size(optarg, size) < 0 || *size == 0)
			return tool_usage(&create->common,
			                  "'%s' is not a size, as 64K or 1.5G",
			                  optarg);
		return TOOL_GO_ON;
	case OPTION_HUGE: create->attributes.huge = 1; return TOOL_GO_ON;
	case 'M':
		return tool_parse_mode(&create->common, optarg, &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int create_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct create *create = context;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, SEGMENT_KIND, buffer);
	/* Huge pages are had by mapping. */
	unsigned attached = create->attributes.huge ? STOA_WRITE : 0;
	struct stoa_segment *segment;
	int result = stoa_segment_open(
	        space, name, attached | STOA_CREATE | STOA_EXCLUSIVE,
	        create->mode, &create->attributes, &segment);

	if (result >= 0) {
		stoa_segment_close(segment);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	return result == TOOL_GO_ON ? TOOL_DONE : result;
}

static int run_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("segment create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, TOOL_SHORT "s:l:M:x",
	                             create_options, NULL)) != -1)
		result = create_option(&create, option);
	if (result != TOOL_GO_ON)
		return result;
	return tool_each_name(&create.common, STOA_CREATE, argv + optind,
	                      "the name of the segment", create_one, &create);
}

/* ---- resize, seal ---------------------------------------------------------- */

static const char resize_help[] =
	"Usage: stoa segment resize [OPTION]... NAME SIZE\n"
	"\n"
	"Changes the size, up to the limit that the segment was made with. All\n"
	"who have it attached see it. What it grows by is zeros; what is cut\n"
	"off is gone. The answer is no if it is sealed against that.\n"
	"\n"
	TOOL_HELP_COMMON;

static const char seal_help[] =
	"Usage: stoa segment seal [OPTION]... NAME WHAT...\n"
	"\n"
	"Lets the segment not grow, shrink or be written any more; WHAT is\n"
	"grow, shrink, or write, which is all of them. The answer is no if\n"
	"somebody has it attached who may write.\n"
	"\n"
	TOOL_HELP_COMMON;

static const struct option plain_options[] = { TOOL_LONG, TOOL_LONG_END };

static int plain_option_loop(struct tool_common *common, int argc, char **argv)
{
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, TOOL_SHORT, plain_options,
	                             NULL)) != -1)
		result = tool_common_option(common, option);
	return result;
}

/* Does `change` to the segment of that name; `no` is the result that means no. */
static int change_segment(const struct tool_common *common, const char *name,
                          int (*change)(struct stoa_segment *segment,
                                        uint64_t argument),
                          uint64_t argument, int no)
{
	struct stoa_segment *segment;
	struct stoa_space *space;
	int result, code = tool_open_space(common, 0, &space);

	if (code)
		return code;
	result = tool_segment_open(space, name, 0, &segment);
	if (result == 0) {
		result = change(segment, argument);
		stoa_segment_close(segment);
	}
	stoa_space_close(space);
	if (result < 0)
		code = tool_failure(result, name);
	return result == no ? common->no_exit : code;
}

static int run_resize(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("segment resize", resize_help);
	uint64_t size = 0;
	int result = plain_option_loop(&common, argc, argv);

	if (result != TOOL_GO_ON)
		return result;
	if (argc - optind != 2)
		return tool_usage(&common, "the name of the segment and its "
		                           "size are needed");
	if (tool_parse_size(argv[optind + 1], &size) < 0)
		return tool_usage(&common, "'%s' is not a size, as 64K or 1.5G",
		                  argv[optind + 1]);
	return change_segment(&common, argv[optind], stoa_segment_resize, size,
	                      -EPERM);
}

static int seal(struct stoa_segment *segment, uint64_t seals)
{
	return stoa_segment_seal(segment, (unsigned)seals);
}

static int run_seal(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("segment seal", seal_help);
	unsigned seals = 0;
	int result = plain_option_loop(&common, argc, argv);

	if (result != TOOL_GO_ON)
		return result;
	if (argc - optind < 2)
		return tool_usage(&common, "the name of the segment and what "
		                           "to seal are needed");
	for (char **what = argv + optind + 1; *what; what++) {
		if (!strcmp(*what, "grow"))
			seals |= STOA_SEGMENT_SEAL_GROW;
		else if (!strcmp(*what, "shrink"))
			seals |= STOA_SEGMENT_SEAL_SHRINK;
		else if (!strcmp(*what, "write"))
			seals |= STOA_SEGMENT_SEAL_WRITE;
		else
			return tool_usage(&common,
			                  "'%s' is not grow, shrink or write",
			                  *what);
	}
	return change_segment(&common, argv[optind], seal, seals, -EBUSY);
}

/* ---- attach-count, rm ------------------------------------------------------ */

static const char count_help[] =
	"Usage: stoa segment attach-count [OPTION]... NAME...\n"
	"\n"
	"Prints how many attachments each segment has, a line each. Right also\n"
	"just after kill -9, exec and fork.\n"
	"\n"
	TOOL_HELP_COMMON;

static const char rm_help[] =
	"Usage: stoa segment rm [OPTION]... NAME...\n"
	"\n"
	"Removes segments. Who has one attached goes on with it; its memory\n"
	"goes with the last of them. With --wake they see that it was removed.\n"
	"\n"
	TOOL_HELP_RM TOOL_HELP_COMMON;

static int count_one(void *context, struct stoa_space *space,
                     const char *typed)
{
	struct stoa_segment *segment;
	int result = tool_segment_open(space, typed, 0, &segment);

	(void)context;
	if (result < 0)
		return tool_failure(result, typed);
	result = stoa_segment_attached(segment);
	stoa_segment_close(segment);
	if (result < 0)
		return tool_failure(result, typed);
	printf("%d\n", result);
	return TOOL_DONE;
}

static int run_attach_count(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("segment attach-count",
	                                        count_help);
	int result = plain_option_loop(&common, argc, argv);

	if (result != TOOL_GO_ON)
		return result;
	return tool_each_name(&common, 0, argv + optind,
	                      "the name of the segment", count_one, NULL);
}

static int run_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, SEGMENT_KIND, "segment rm", rm_help);
}

/* ---- ls, stat ---------------------------------------------------------------- */

enum column {
	NAME, SIZE, LIMIT, MEMORY, PERMS, OWNER, NATTCH, WRITERS, SEALS, STATUS,
	ATTACH, DETACH, CHANGE, CREATOR, LPID
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the segment" },
	[SIZE] = { "SIZE", TOOL_SIZE, "its size" },
	[LIMIT] = { "LIMIT", TOOL_SIZE, "that it can grow to" },
	[MEMORY] = { "MEMORY", TOOL_SIZE, "memory that it takes" },
	[PERMS] = { "PERMS", TOOL_TEXT, "permissions" },
	[OWNER] = { "OWNER", TOOL_TEXT, "user that owns it" },
	[NATTCH] = { "NATTCH", TOOL_NUMBER, "attachments" },
	[WRITERS] = { "WRITERS", TOOL_NUMBER, "of them, that may write" },
	[SEALS] = { "SEALS", TOOL_TEXT, "grow, shrink, write: sealed" },
	[STATUS] = { "STATUS", TOOL_TEXT, "removed, or nothing" },
	[ATTACH] = { "ATTACH", TOOL_TIME, "last attached" },
	[DETACH] = { "DETACH", TOOL_TIME, "last detached" },
	[CHANGE] = { "CHANGE", TOOL_TIME, "made, resized or sealed" },
	[CREATOR] = { "CPID", TOOL_NUMBER, "process that made it" },
	[LPID] = { "LPID", TOOL_NUMBER, "that attached or detached last" },
};
#define COLUMNS_LS "NAME,SIZE,PERMS,OWNER,NATTCH,SEALS"
#define COLUMNS_USUAL "NAME,SIZE,LIMIT,MEMORY,NATTCH,WRITERS,SEALS,CHANGE"
#define COLUMNS_INSIDE                                                  \
	"SIZE,LIMIT,MEMORY,NATTCH,WRITERS,SEALS,STATUS,ATTACH,DETACH," \
	"CHANGE,CPID,LPID"

static const char ls_help[] =
	"Usage: stoa segment ls [OPTION]... [NAME]...\n"
	"\n"
	"Lists the segments named (shell patterns are fine), or all.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static const char stat_help[] =
	"Usage: stoa segment stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the segments named (shell patterns are fine), or\n"
	"of all, one a line. Who has them attached is shown by stoa stat.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "segments",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

static const char *name_seals(uint32_t seals, char *text)
{
	snprintf(text, TOOL_TEXT_MAX, "%s%s%s",
	         seals & STOA_SEGMENT_SEAL_GROW ? "grow," : "",
	         seals & STOA_SEGMENT_SEAL_SHRINK ? "shrink," : "",
	         seals & STOA_SEGMENT_SEAL_WRITE ? "write," : "");
	if (*text)
		text[strlen(text) - 1] = '\0';
	return text;
}

static void fill_status(struct tool_table *table,
                        const struct stoa_segment_status *status)
{
	char text[TOOL_TEXT_MAX];

	tool_table_size(table, SIZE, status->bytes);
	tool_table_size(table, LIMIT, status->limit);
	tool_table_size(table, MEMORY, status->memory_bytes);
	tool_table_number(table, NATTCH, status->attached);
	tool_table_number(table, WRITERS, status->writers);
	tool_table_text(table, SEALS, name_seals(status->seals, text));
	tool_table_text(table, STATUS, status->removed ? "removed" : "");
	tool_table_time(table, ATTACH, status->last_attach_ns);
	tool_table_time(table, DETACH, status->last_detach_ns);
	tool_table_time(table, CHANGE, status->last_change_ns);
	tool_table_number(table, CREATOR, (uint64_t)status->creator_pid);
	if (status->last_pid)
		tool_table_number(table, LPID, (uint64_t)status->last_pid);
}

static int add_one(struct tool_table *table, struct stoa_space *space,
                   const struct stoa_object_info *object)
{
	struct stoa_segment_status status = { .size = sizeof status };
	struct stoa_segment *segment;
	char text[TOOL_TEXT_MAX];
	int result = tool_segment_open(space, object->name, 0, &segment);

	if (result < 0)
		return result;
	result = stoa_segment_stat(segment, &status);
	stoa_segment_close(segment);
	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, object->name);
	tool_table_text(table, PERMS, tool_permissions(object->mode, text));
	tool_table_text(table, OWNER, tool_user_name(object->uid, text));
	fill_status(table, &status);
	return 0;
}

static int run_ls(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { SEGMENT_KIND, "segment",
		                                    COLUMNS_LS, add_one };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "segment ls",
	                     ls_help);
}

static int run_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { SEGMENT_KIND, "segment",
		                                    COLUMNS_USUAL, add_one };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "segment stat",
	                     stat_help);
}

/* ---- For stoa stat ------------------------------------------------------- */

int tool_segment_inside(struct stoa_space *space, const char *name,
                        const struct tool_table_options *given,
                        struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options options = tool_inside_options(given);
	struct stoa_segment_status status = { .size = sizeof status };
	struct tool_table table = new_table(&options);
	struct stoa_segment *segment;
	int result = tool_segment_open(space, name, 0, &segment);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_segment_stat(segment, &status);
	if (result == 0 &&
	    tool_table_init(&table, &common, COLUMNS_INSIDE) == TOOL_GO_ON) {
		tool_table_line(&table);
		fill_status(&table, &status);
		tool_inside_print(&table, "segment", out);
		tool_table_fini(&table);
	}
	stoa_segment_close(segment);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}
