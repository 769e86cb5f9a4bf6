/* SPDX-License-Identifier: MIT */
/* mapping.c: stoa mapping: what of files is in memory, advice about it, and
 * their bytes by way of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "noun.h"

#define PIECE (1u << 20)
#define MAP_CELLS 64u

static int run_resident(int argc, char **argv);
static int run_advise(int argc, char **argv);
static int run_cat(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "resident", run_resident, "how much of files is in memory" },
	{ "advise", run_advise, "tell the kernel how files will be used" },
	{ "cat", run_cat, "print files by way of memory" },
	{ NULL, NULL, NULL }
};

int tool_mapping(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "mapping", verbs);
}

/* Maps the range of a file, shared and to be read. -ENODATA: it's empty. */
static int map_file(const char *path, uint64_t from, uint64_t count,
                    struct stoa_mapping **ret_mapping)
{
	struct stoa_mapping_attributes attributes = {
		.size = sizeof attributes,
		.shared = 1,
		.protection = STOA_READ,
		.offset = from,
		.bytes = count
	};
	int result;

	attributes.file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (attributes.file < 0) {
		result = -errno;
		tool_error("can't open '%s': %s", path, strerror(errno));
		return result;
	}
	result = stoa_mapping_map(&attributes, ret_mapping);
	close(attributes.file);
	if (result < 0 && result != -ENODATA)
		tool_error("'%s': %s", path, stoa_last_error());
	return result;
}

/* ---- resident ---------------------------------------------------------------- */

enum column { FILE_NAME, SIZE, PAGES, RESIDENT, BYTES, PERCENT, MAP };

static const struct tool_column columns[] = {
	[FILE_NAME] = { "FILE", TOOL_TEXT, "the file" },
	[SIZE] = { "SIZE", TOOL_SIZE, "its size" },
	[PAGES] = { "PAGES", TOOL_NUMBER, "pages that it has" },
	[RESIDENT] = { "RESIDENT", TOOL_NUMBER, "of them in memory" },
	[BYTES] = { "MEMORY", TOOL_SIZE, "bytes of these pages" },
	[PERCENT] = { "RES%", TOOL_NUMBER, "share that is in memory" },
	[MAP] = { "MAP", TOOL_TEXT,
	          "where: # all, + some, . nothing in memory" },
};
#define COLUMNS_USUAL "FILE,SIZE,PAGES,RESIDENT,RES%"

static const char resident_help[] =
	"Usage: stoa mapping resident [OPTION]... FILE...\n"
	"\n"
	"Shows how many pages of each file are in memory. Of files that you\n"
	"neither own nor may write the kernel says so of all pages. The column\n"
	"MAP shows where they are.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "files",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

/* Draws the pages into at most MAP_CELLS cells. */
static void draw_map(const uint8_t *bitmap, uint64_t pages, char *text)
{
	uint64_t cells = pages < MAP_CELLS ? pages : MAP_CELLS;

	for (uint64_t cell = 0; cell < cells; cell++) {
		uint64_t first = cell * pages / cells, there = 0;
		uint64_t end = (cell + 1) * pages / cells;

		for (uint64_t i = first; i < end; i++)
			there += bitmap[i / 8] >> i % 8 & 1;
		text[cell] = there == 0           ? '.' :
		             there == end - first ? '#' :
		                                    '+';
	}
	text[cells] = '\0';
}

static int add_pages(struct tool_table *table, struct stoa_mapping *mapping)
{
	uint64_t size = stoa_mapping_size(mapping);
	uint64_t pages = stoa_mapping_pages(mapping, 0, size);
	uint8_t *bitmap = calloc(1, (size_t)(pages / 8 + 1));
	char map[MAP_CELLS + 1];
	int64_t there = -ENOMEM;

	if (bitmap)
		there = stoa_mapping_resident(mapping, 0, size, bitmap);
	if (there >= 0) {
		draw_map(bitmap, pages, map);
		tool_table_size(table, SIZE, size);
		tool_table_number(table, PAGES, pages);
		tool_table_number(table, RESIDENT, (uint64_t)there);
		tool_table_size(table, BYTES,
		                (uint64_t)there * stoa_mapping_page(mapping));
		tool_table_real(table, PERCENT, 1,
		                100.0 * (double)there / (double)pages);
		tool_table_text(table, MAP, map);
	}
	free(bitmap);
	return there < 0 ? tool_failure((int)there, "residency") : TOOL_DONE;
}

static int add_file(struct tool_table *table, const char *path)
{
	struct stoa_mapping *mapping;
	int code, result = map_file(path, 0, 0, &mapping);

	if (result < 0 && result != -ENODATA)
		return TOOL_FAILED;
	tool_table_line(table);
	tool_table_text(table, FILE_NAME, path);
	if (result < 0) {
		tool_table_size(table, SIZE, 0);
		tool_table_number(table, PAGES, 0);
		tool_table_number(table, RESIDENT, 0);
		return TOOL_DONE;
	}
	code = add_pages(table, mapping);
	stoa_mapping_unmap(mapping);
	return code;
}

static int run_resident(int argc, char **argv)
{
	static const struct option options[] = { TOOL_LONG, TOOL_LONG_TABLE,
		                                 TOOL_LONG_END };
	struct tool_common common = TOOL_COMMON("mapping resident",
	                                        resident_help);
	struct tool_table_options shown = { 0 };
	struct tool_table table = new_table(&shown);
	int option, result, worst = TOOL_DONE;

	while ((option = getopt_long(argc, argv, TOOL_SHORT TOOL_SHORT_TABLE,
	                             options, NULL)) != -1) {
		if (tool_table_option(&shown, option))
			continue;
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = tool_table_init(&table, &common, COLUMNS_USUAL);
	if (result != TOOL_GO_ON)
		return result;
	if (optind == argc) {
		tool_table_fini(&table);
		return tool_usage(&common, "a file is missing");
	}
	for (; optind < argc; optind++) {
		result = add_file(&table, argv[optind]);
		worst = result > worst ? result : worst;
	}
	result = tool_table_print(&table);
	tool_table_fini(&table);
	return result > worst ? result : worst;
}

/* ---- advise, cat --------------------------------------------------------------- */

static const char advise_help[] =
	"Usage: stoa mapping advise [OPTION]... ADVICE FILE...\n"
	"       stoa mapping advise --list\n"
	"\n"
	"Tells the kernel how the files will be used. What lasts is what is done\n"
	"to their pages: will-need and populate-read bring them into memory,\n"
	"cold and page-out let them go first or now, collapse joins them into\n"
	"huge ones.\n"
	"\n"
	" -f, --from SIZE      from there on; K, M, G are fine\n"
	" -c, --count SIZE     so many bytes; default to the end\n"
	" -l, --list           print the advice there is\n"
	TOOL_HELP_COMMON;

static const char cat_help[] =
	"Usage: stoa mapping cat [OPTION]... FILE...\n"
	"\n"
	"Prints the files by way of memory. A file that is cut short meanwhile\n"
	"is a failure, and no signal.\n"
	"\n"
	" -f, --from SIZE      begin there; K, M, G are fine\n"
	" -c, --count SIZE     print so many bytes; default to the end\n"
	TOOL_HELP_COMMON;

static const struct option range_options[] = {
	TOOL_LONG,
	{ "from", required_argument, NULL, 'f' },
	{ "count", required_argument, NULL, 'c' },
	{ "list", no_argument, NULL, 'l' },
	TOOL_LONG_END
};

struct range {
	struct tool_common common;
	uint64_t from, count;
	bool list;
};

static int read_range(struct range *range, int argc, char **argv,
                      const char *letters)
{
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, letters, range_options,
	                             NULL)) != -1) {
		uint64_t *size = option == 'f' ? &range->from : &range->count;

		if (option == 'l')
			range->list = true;
		else if (option != 'f' && option != 'c')
			result = tool_common_option(&range->common, option);
		else if (tool_parse_size(optarg, size) < 0)
			result = tool_usage(&range->common,
			                    "'%s' is not a size, as 64K or "
			                    "1.5G",
			                    optarg);
	}
	return result;
}

static int advise_file(const struct range *range, const char *path,
                       enum stoa_advice advice)
{
	struct stoa_mapping *mapping;
	int result = map_file(path, range->from, range->count, &mapping);

	if (result < 0)
		return result == -ENODATA ? TOOL_DONE : TOOL_FAILED;
	result = stoa_mapping_advise(mapping, 0, stoa_mapping_size(mapping),
	                             advice);
	stoa_mapping_unmap(mapping);
	return result < 0 ? tool_failure(result, path) : TOOL_DONE;
}

/* By its name; 0: there is none. */
static enum stoa_advice find_advice(const char *name)
{
	for (int i = 1; stoa_mapping_advice_name((enum stoa_advice)i); i++)
		if (!strcmp(name, stoa_mapping_advice_name((enum stoa_advice)i)))
			return (enum stoa_advice)i;
	return (enum stoa_advice)0;
}

static int run_advise(int argc, char **argv)
{
	struct range range = { .common = TOOL_COMMON("mapping advise",
		                                     advise_help) };
	int worst = TOOL_DONE;
	int result = read_range(&range, argc, argv, TOOL_SHORT "f:c:l");
	enum stoa_advice advice;

	if (result != TOOL_GO_ON)
		return result;
	for (int i = 1; range.list &&
	                stoa_mapping_advice_name((enum stoa_advice)i);
	     i++)
		puts(stoa_mapping_advice_name((enum stoa_advice)i));
	if (range.list)
		return TOOL_DONE;
	if (argc - optind < 2)
		return tool_usage(&range.common,
		                  "advice and a file are needed");
	advice = find_advice(argv[optind]);
	if (!advice)
		return tool_usage(&range.common,
		                  "there is no advice '%s'; --list shows them",
		                  argv[optind]);
	while (++optind < argc) {
		result = advise_file(&range, argv[optind], advice);
		worst = result > worst ? result : worst;
	}
	return worst;
}

static int print_file(const struct range *range, const char *path,
                      struct tool_out *out)
{
	static char piece[PIECE];
	struct stoa_mapping *mapping;
	int result = map_file(path, range->from, range->count, &mapping);

	if (result < 0)
		return result == -ENODATA ? TOOL_DONE : TOOL_FAILED;
	uint64_t size = stoa_mapping_size(mapping);
	int64_t got = 0;
	for (uint64_t at = 0; at < size && out->error == 0;
	     at += (uint64_t)got) {
		got = stoa_mapping_read(mapping, at, piece,
		                        size - at < PIECE ? size - at : PIECE);
		if (got < 0)
			break;
		tool_out_put(out, piece, (size_t)got);
	}
	stoa_mapping_unmap(mapping);
	return got < 0 ? tool_failure((int)got, path) : TOOL_DONE;
}

static int run_cat(int argc, char **argv)
{
	static struct tool_out out;
	struct range range = { .common = TOOL_COMMON("mapping cat", cat_help) };
	int worst = TOOL_DONE;
	int result = read_range(&range, argc, argv, TOOL_SHORT "f:c:");

	if (result != TOOL_GO_ON)
		return result;
	if (optind == argc)
		return tool_usage(&range.common, "a file is missing");
	tool_out_init(&out, STDOUT_FILENO);
	for (; optind < argc; optind++) {
		result = print_file(&range, argv[optind], &out);
		worst = result > worst ? result : worst;
	}
	result = tool_out_flush(&out);
	if (result < 0)
		return tool_failure(result, "standard output");
	return worst;
}
