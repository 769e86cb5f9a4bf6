/* SPDX-License-Identifier: MIT */
/* heap.c: stoa heap: blocks of any size in shared memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "noun.h"

#define NOUN "heap"

static int run_create(int argc, char **argv);
static int run_stat(int argc, char **argv);
static int run_roots(int argc, char **argv);
static int run_rm(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", run_create, "make a heap" },
	{ "stat", run_stat, "show the numbers of heaps" },
	{ "roots", run_roots, "list the names in heaps" },
	{ "rm", run_rm, "remove heaps" },
	{ NULL, NULL, NULL }
};

int tool_heap(int argc, char **argv)
{
	return tool_dispatch(argc, argv, NOUN, verbs);
}

static int open_heap(struct stoa_space *space, const char *name,
                     struct stoa_heap **ret_heap)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_heap_open(space, tool_bare_name(name, NOUN, buffer), 0, 0,
	                      NULL, ret_heap);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa heap create [OPTION]... NAME...\n"
	"\n"
	"Makes heaps, and the directory of the space if there is none. One that\n"
	"is there already is left as it is.\n"
	"\n"
	" -s, --size SIZE      bytes, all in all; default 16M. K, M, G are fine\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "size", required_argument, NULL, 's' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_heap_attributes attributes;
	mode_t mode;
	bool exclusive;
};

static int create_option(struct create *create, int option)
{
	switch (option) {
	case 's':
		if (tool_parse_size(optarg, &create->attributes.bytes) < 0)
			return tool_usage(&create->common,
			                  "'%s' is not a size, as 64K or 1.5G",
			                  optarg);
		return TOOL_GO_ON;
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
	struct stoa_heap *heap;
	int result = stoa_heap_open(space, tool_bare_name(typed, NOUN, buffer),
	                            STOA_CREATE | STOA_EXCLUSIVE, create->mode,
	                            &create->attributes, &heap);

	if (result >= 0) {
		stoa_heap_close(heap);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	return result == TOOL_GO_ON ? TOOL_DONE : result;
}

static int run_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("heap create", create_help),
		.attributes = { .size = sizeof create.attributes,
		                .bytes = 16 << 20 },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, TOOL_SHORT "s:M:x",
	                             create_options, NULL)) != -1)
		result = create_option(&create, option);
	if (result != TOOL_GO_ON)
		return result;
	return tool_each_name(&create.common, STOA_CREATE, argv + optind,
	                      "the name of the heap", create_one, &create);
}

/* ---- stat ------------------------------------------------------------------ */

enum column {
	NAME, SIZE, USED, LARGEST, HELD, PUBLISHED, ROOTS, REFERENCES, USERS
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the heap" },
	[SIZE] = { "SIZE", TOOL_SIZE, "bytes that there are for blocks" },
	[USED] = { "USED", TOOL_SIZE, "bytes of blocks that are not free" },
	[LARGEST] = { "LARGEST", TOOL_SIZE, "bytes free in one piece" },
	[HELD] = { "HELD", TOOL_NUMBER, "blocks of one process each" },
	[PUBLISHED] = { "PUBLISHED", TOOL_NUMBER, "blocks for all" },
	[ROOTS] = { "ROOTS", TOOL_NUMBER, "blocks that have a name" },
	[REFERENCES] = { "REFS", TOOL_NUMBER, "of processes, to blocks" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
};

#define COLUMNS_USUAL \
	"NAME,SIZE,USED,LARGEST,HELD,PUBLISHED,ROOTS,REFS,USERS"
#define COLUMNS_INSIDE "SIZE,USED,LARGEST,HELD,PUBLISHED,ROOTS,REFS"

static const char stat_help[] =
	"Usage: stoa heap stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the heaps named (shell patterns are fine), or of\n"
	"all heaps, one a line. What the dead held is given back first.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "heaps",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

static int add_numbers(struct tool_table *table, struct stoa_space *space,
                       const char *name)
{
	struct stoa_heap_status status = { .size = sizeof status };
	struct stoa_heap *heap;
	int result = open_heap(space, name, &heap);

	if (result < 0)
		return result;
	result = stoa_heap_stat(heap, &status);
	stoa_heap_close(heap);
	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, name);
	tool_table_number(table, SIZE, status.capacity);
	tool_table_number(table, USED, status.used);
	tool_table_number(table, LARGEST, status.largest);
	tool_table_number(table, HELD, status.held);
	tool_table_number(table, PUBLISHED, status.published);
	tool_table_number(table, ROOTS, status.roots);
	tool_table_number(table, REFERENCES, status.references);
	return 0;
}

static int add_heap(struct tool_table *table, struct stoa_space *space,
                    const struct stoa_object_info *object)
{
	int result = add_numbers(table, space, object->name);

	if (result == 0)
		tool_table_number(table, USERS, object->users);
	return result;
}

static int run_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { NOUN, NOUN, COLUMNS_USUAL,
		                                    add_heap };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "heap stat",
	                     stat_help);
}

int tool_heap_inside(struct stoa_space *space, const char *name,
                     const struct tool_table_options *given,
                     struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options options = tool_inside_options(given);
	struct tool_table table = new_table(&options);
	int result;

	if (tool_table_init(&table, &common, COLUMNS_INSIDE) != TOOL_GO_ON)
		return TOOL_DONE;
	result = add_numbers(&table, space, name);
	if (result == 0)
		tool_inside_print(&table, "heap", out);
	tool_table_fini(&table);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

/* ---- roots ------------------------------------------------------------------- */

enum root_column { HEAP, ROOT, OFFSET, BYTES };

static const struct tool_column root_columns[] = {
	[HEAP] = { "NAME", TOOL_TEXT, "name of the heap" },
	[ROOT] = { "ROOT", TOOL_TEXT, "name in the heap" },
	[OFFSET] = { "OFFSET", TOOL_NUMBER, "of its block" },
	[BYTES] = { "SIZE", TOOL_SIZE, "bytes of the block, as rounded up" },
};

static const char roots_help[] =
	"Usage: stoa heap roots [OPTION]... [NAME]...\n"
	"\n"
	"Lists the roots of the heaps named (shell patterns are fine), or of\n"
	"all heaps: what processes find blocks by.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

struct rooted {
	struct tool_table *table;
	const char *heap;
};

static int add_root(const struct stoa_heap_root *root, void *context)
{
	struct rooted *rooted = context;

	tool_table_line(rooted->table);
	tool_table_text(rooted->table, HEAP, rooted->heap);
	tool_table_text(rooted->table, ROOT, root->name);
	tool_table_number(rooted->table, OFFSET, root->offset);
	tool_table_number(rooted->table, BYTES, root->bytes);
	return 0;
}

static int add_roots(struct tool_table *table, struct stoa_space *space,
                     const struct stoa_object_info *object)
{
	struct rooted rooted = { table, object->name };
	struct stoa_heap *heap;
	int result = open_heap(space, object->name, &heap);

	if (result < 0)
		return result;
	result = stoa_heap_each_root(heap, add_root, &rooted);
	stoa_heap_close(heap);
	return result < 0 ? result : 0;
}

static int run_roots(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { NOUN, NOUN,
		                                    "NAME,ROOT,OFFSET,SIZE",
		                                    add_roots };
	const struct tool_table table = {
		.name = "roots",
		.columns = root_columns,
		.count = sizeof root_columns / sizeof *root_columns
	};

	return tool_run_stat(argc, argv, &stat, table, "heap roots",
	                     roots_help);
}

/* ---- rm ------------------------------------------------------------------------ */

static const char rm_help[] =
	"Usage: stoa heap rm [OPTION]... NAME...\n"
	"\n"
	"Removes heaps. Who has one open goes on.\n"
	"\n"
	TOOL_HELP_RM TOOL_HELP_COMMON;

static int run_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, NOUN, "heap rm", rm_help);
}
