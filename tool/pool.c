/* SPDX-License-Identifier: MIT */
/* pool.c: stoa pool: blocks and segments of one size that go from process to
 * process. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "noun.h"

#define NOUN "pool"

static int run_create(int argc, char **argv);
static int run_stat(int argc, char **argv);
static int run_blocks(int argc, char **argv);
static int run_rm(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", run_create, "make a pool" },
	{ "stat", run_stat, "show the numbers of pools" },
	{ "blocks", run_blocks, "list the blocks that are not free" },
	{ "rm", run_rm, "remove pools" },
	{ NULL, NULL, NULL }
};

int tool_pool(int argc, char **argv)
{
	return tool_dispatch(argc, argv, NOUN, verbs);
}

static int open_pool(struct stoa_space *space, const char *name,
                     struct stoa_pool **ret_pool)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_pool_open(space, tool_bare_name(name, NOUN, buffer), 0, 0,
	                      NULL, ret_pool);
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa pool create [OPTION]... NAME...\n"
	"\n"
	"Makes pools, and the directory of the space if there is none. One that\n"
	"is there already is left as it is.\n"
	"\n"
	" -s, --size SIZE      bytes of a block; default 4K. K, M, G are fine\n"
	" -c, --count N        how many blocks; default 1024\n"
	" -g, --segments       each is a segment: with memory once it is used,\n"
	"                      and mapped by itself\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "size", required_argument, NULL, 's' },
	{ "count", required_argument, NULL, 'c' },
	{ "segments", no_argument, NULL, 'g' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_pool_attributes attributes;
	mode_t mode;
	bool exclusive;
};

static int count_option(struct create *create)
{
	uint64_t count;

	if (tool_parse_number(optarg, STOA_POOL_BLOCKS_MAX, &count) < 0)
		return tool_usage(&create->common,
		                  "'%s' is not a number of blocks, 1 to %d",
		                  optarg, STOA_POOL_BLOCKS_MAX);
	create->attributes.blocks = (uint32_t)count;
	return TOOL_GO_ON;
}

static int create_option(struct create *create, int option)
{
	switch (option) {
	case 's':
		if (tool_parse_size(optarg, &create->attributes.block_bytes) <
		    0)
			return tool_usage(&create->common,
			                  "'%s' is not a size, as 64K or 1.5G",
			                  optarg);
		return TOOL_GO_ON;
	case 'c': return count_option(create);
	case 'g': create->attributes.segments = 1; return TOOL_GO_ON;
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
	struct stoa_pool *pool;
	int result = stoa_pool_open(space, tool_bare_name(typed, NOUN, buffer),
	                            STOA_CREATE | STOA_EXCLUSIVE, create->mode,
	                            &create->attributes, &pool);

	if (result >= 0) {
		stoa_pool_close(pool);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	return result == TOOL_GO_ON ? TOOL_DONE : result;
}

static int run_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("pool create", create_help),
		.attributes = { .size = sizeof create.attributes,
		                .block_bytes = 4096,
		                .blocks = 1024 },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, TOOL_SHORT "s:c:gM:x",
	                             create_options, NULL)) != -1)
		result = create_option(&create, option);
	if (result != TOOL_GO_ON)
		return result;
	return tool_each_name(&create.common, STOA_CREATE, argv + optind,
	                      "the name of the pool", create_one, &create);
}

/* ---- stat ------------------------------------------------------------------ */

enum column {
	NAME, SIZE, BLOCKS, FREE, HELD, FLIGHT, SEGMENTS, MEMORY, THREADS, USERS
};

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the pool" },
	[SIZE] = { "SIZE", TOOL_SIZE, "bytes of a block" },
	[BLOCKS] = { "BLOCKS", TOOL_NUMBER, "how many there are" },
	[FREE] = { "FREE", TOOL_NUMBER, "blocks that are free" },
	[HELD] = { "HELD", TOOL_NUMBER, "blocks of one process each" },
	[FLIGHT] = { "FLIGHT", TOOL_NUMBER, "blocks given and not claimed" },
	[SEGMENTS] = { "SEGMENTS", TOOL_TEXT, "whether each is a segment" },
	[MEMORY] = { "MEMORY", TOOL_SIZE, "bytes that it takes now" },
	[THREADS] = { "THREADS", TOOL_NUMBER, "that have acquired" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
};

#define COLUMNS_USUAL \
	"NAME,SIZE,BLOCKS,FREE,HELD,FLIGHT,SEGMENTS,MEMORY,USERS"
#define COLUMNS_INSIDE \
	"SIZE,BLOCKS,FREE,HELD,FLIGHT,SEGMENTS,MEMORY,THREADS"

static const char stat_help[] =
	"Usage: stoa pool stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the pools named (shell patterns are fine), or of\n"
	"all pools, one a line. What the dead held is given back first.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "pools",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

static int add_numbers(struct tool_table *table, struct stoa_space *space,
                       const char *name)
{
	struct stoa_pool_status status = { .size = sizeof status };
	struct stoa_pool *pool;
	int result = open_pool(space, name, &pool);

	if (result < 0)
		return result;
	result = stoa_pool_stat(pool, &status);
	stoa_pool_close(pool);
	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, name);
	tool_table_number(table, SIZE, status.block_bytes);
	tool_table_number(table, BLOCKS, status.blocks);
	tool_table_number(table, FREE, status.free);
	tool_table_number(table, HELD, status.held);
	tool_table_number(table, FLIGHT, status.in_flight);
	tool_table_text(table, SEGMENTS, status.segments ? "yes" : "no");
	tool_table_number(table, MEMORY, status.memory_bytes);
	tool_table_number(table, THREADS, status.threads);
	return 0;
}

static int add_pool(struct tool_table *table, struct stoa_space *space,
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
		                                    add_pool };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "pool stat",
	                     stat_help);
}

int tool_pool_inside(struct stoa_space *space, const char *name,
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
		tool_inside_print(&table, "pool", out);
	tool_table_fini(&table);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

/* ---- blocks ------------------------------------------------------------------ */

enum block_column { POOL, BLOCK, STATE, PID };

static const struct tool_column block_columns[] = {
	[POOL] = { "NAME", TOOL_TEXT, "name of the pool" },
	[BLOCK] = { "BLOCK", TOOL_TEXT, "identifier of this use of it" },
	[STATE] = { "STATE", TOOL_TEXT, "held, flight, or dead's" },
	[PID] = { "PID", TOOL_NUMBER, "of the process that holds it" },
};

static const char blocks_help[] =
	"Usage: stoa pool blocks [OPTION]... [NAME]...\n"
	"\n"
	"Lists the blocks that are not free of the pools named (shell patterns\n"
	"are fine), or of all pools: who holds them, or that they are in flight:\n"
	"given, and not claimed yet. Of the dead are those that nobody has\n"
	"needed since; stat gives them back.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

struct listing {
	struct tool_table *table;
	struct stoa_space *space;
	const char *pool;
	stoa_peer holder;
	pid_t pid;
};

static int match_peer(const struct stoa_peer_info *info, void *context)
{
	struct listing *listing = context;

	if (info->peer != listing->holder)
		return 0;
	listing->pid = info->pid;
	return 1;
}

/* Mostly it's the one of the block before. */
static pid_t pid_of(struct listing *listing, stoa_peer holder)
{
	if (listing->holder == holder)
		return listing->pid;
	listing->holder = holder;
	listing->pid = 0;
	stoa_space_each_peer(listing->space, match_peer, listing);
	return listing->pid;
}

static int add_block(const struct stoa_pool_use *use, void *context)
{
	struct listing *listing = context;
	char block[24];

	snprintf(block, sizeof block, "%#llx", (unsigned long long)use->block);
	tool_table_line(listing->table);
	tool_table_text(listing->table, POOL, listing->pool);
	tool_table_text(listing->table, BLOCK, block);
	tool_table_text(listing->table, STATE,
	                use->holder == 0 ? "flight" :
	                use->alive       ? "held" :
	                                   "dead's");
	if (use->holder != 0 && use->alive)
		tool_table_number(listing->table, PID,
		                  (uint64_t)pid_of(listing, use->holder));
	return 0;
}

static int add_blocks(struct tool_table *table, struct stoa_space *space,
                      const struct stoa_object_info *object)
{
	struct listing listing = { table, space, object->name, 0, 0 };
	struct stoa_pool *pool;
	int result = open_pool(space, object->name, &pool);

	if (result < 0)
		return result;
	result = stoa_pool_each(pool, add_block, &listing);
	stoa_pool_close(pool);
	return result < 0 ? result : 0;
}

static int run_blocks(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { NOUN, NOUN,
		                                    "NAME,BLOCK,STATE,PID",
		                                    add_blocks };
	const struct tool_table table = {
		.name = "blocks",
		.columns = block_columns,
		.count = sizeof block_columns / sizeof *block_columns
	};

	return tool_run_stat(argc, argv, &stat, table, "pool blocks",
	                     blocks_help);
}

/* ---- rm ------------------------------------------------------------------------ */

static const char rm_help[] =
	"Usage: stoa pool rm [OPTION]... NAME...\n"
	"\n"
	"Removes pools. Who has one open goes on.\n"
	"\n"
	TOOL_HELP_RM TOOL_HELP_COMMON;

static int run_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, NOUN, "pool rm", rm_help);
}
