/* SPDX-License-Identifier: MIT */
/* table.c: tables in the manner of util-linux, drawn by libsmartcols. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tool.h"

#define ALERT_COLOR "red"
#define NAME_WIDTH 11 /* of the longest column */

bool tool_table_option(struct tool_table_options *options, int option)
{
	switch (option) {
	case 'o': options->output = optarg; return true;
	case 'O': options->all = true; return true;
	case 'J': options->json = true; return true;
	case 'r': options->raw = true; return true;
	case 'n': options->no_headings = true; return true;
	case 'b': options->bytes = true; return true;
	case 'H': options->list = true; return true;
	default: return false;
	}
}

static bool color_wanted(void)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(none && *none) && term &&
	       strcmp(term, "dumb");
}

static int find_column(const struct tool_table *table, const char *name,
                       size_t bytes)
{
	for (size_t i = 0; i < table->count; i++)
		if (strlen(table->columns[i].name) == bytes &&
		    !strncasecmp(table->columns[i].name, name, bytes))
			return (int)i;
	return -ENOENT;
}

/* Adds the columns of a comma-separated list; a column named twice shows
 * once. -EINVAL: *ret_unknown is no column. */
static int add_columns(struct tool_table *table, const char *list,
                       const char **ret_unknown)
{
	while (*list) {
		size_t bytes = strcspn(list, ",");
		int column = find_column(table, list, bytes);

		if (column < 0) {
			*ret_unknown = list;
			return -EINVAL;
		}
		if (!tool_table_shows(table, (unsigned)column))
			table->shown[table->shown_count++] = (unsigned)column;
		list += bytes;
		if (*list)
			list++;
	}
	return 0;
}

static int choose_columns(struct tool_table *table,
                          const struct tool_common *common, const char *usual)
{
	const char *wanted = table->options->output, *unknown = NULL;
	int result = 0;

	if (table->options->all) {
		for (unsigned i = 0; i < table->count; i++)
			table->shown[i] = i;
		table->shown_count = table->count;
		return TOOL_GO_ON;
	}
	if (!wanted || *wanted == '+')
		result = add_columns(table, usual, &unknown);
	if (!result && wanted)
		result =
			add_columns(table, wanted + (*wanted == '+'), &unknown);
	if (result < 0)
		return tool_usage(common,
		                  "there is no column '%.*s'; -H lists them",
		                  (int)strcspn(unknown, ","), unknown);
	if (!table->shown_count)
		return tool_usage(common, "no column was named");
	return TOOL_GO_ON;
}

static int json_type(enum tool_column_type type, bool bytes)
{
	if (type == TOOL_NUMBER || (type == TOOL_SIZE && bytes))
		return SCOLS_JSON_NUMBER;
	return SCOLS_JSON_STRING;
}

static int start_table(struct tool_table *table)
{
	const struct tool_table_options *options = table->options;
	struct libscols_table *scols = scols_new_table();

	if (!scols)
		return tool_error("out of memory");
	table->scols = scols;
	scols_table_set_name(scols, table->name);
	scols_table_enable_json(scols, options->json);
	scols_table_enable_raw(scols, options->raw && !options->json);
	scols_table_enable_noheadings(scols, options->no_headings);
	scols_table_enable_colors(scols, color_wanted());
	for (size_t i = 0; i < table->shown_count; i++) {
		const struct tool_column *column =
			&table->columns[table->shown[i]];
		int right = column->type == TOOL_NUMBER ||
		            column->type == TOOL_SIZE;
		struct libscols_column *added = scols_table_new_column(
			scols, column->name, 0, right ? SCOLS_FL_RIGHT : 0);

		if (!added)
			return tool_error("out of memory");
		scols_column_set_json_type(
			added, json_type(column->type,
		                         options->bytes || options->json));
	}
	return TOOL_GO_ON;
}

/* What -H shows is a table too, and obeys the same options. */
static int list_columns(const struct tool_table *table,
                        const struct tool_common *common)
{
	static const struct tool_column columns[] = {
		{ "COLUMN", TOOL_TEXT, "name" },
		{ "TYPE", TOOL_TEXT, "string or number, in JSON" },
		{ "DESCRIPTION", TOOL_TEXT, "what it shows" },
	};
	struct tool_table_options options = *table->options;
	struct tool_table list = { .name = "columns",
		                   .columns = columns,
		                   .count = sizeof columns / sizeof *columns,
		                   .options = &options };
	int result;

	options.list = options.all = false;
	options.output = NULL;
	result = tool_table_init(&list, common, "COLUMN,TYPE,DESCRIPTION");
	if (result != TOOL_GO_ON)
		return result;
	for (size_t i = 0; i < table->count; i++) {
		enum tool_column_type type = table->columns[i].type;

		tool_table_line(&list);
		tool_table_text(&list, 0, table->columns[i].name);
		tool_table_text(&list, 1,
		                json_type(type, true) == SCOLS_JSON_NUMBER
		                        ? "number"
		                        : "string");
		tool_table_text(&list, 2, table->columns[i].help);
	}
	result = tool_table_print(&list);
	tool_table_fini(&list);
	return result;
}

int tool_table_init(struct tool_table *table, const struct tool_common *common,
                    const char *usual)
{
	int result;

	if (table->options->list)
		return list_columns(table, common);
	result = choose_columns(table, common, usual);
	if (result == TOOL_GO_ON)
		result = start_table(table);
	if (result != TOOL_GO_ON)
		tool_table_fini(table);
	return result;
}

/* The place of the column among those shown, or -1. */
static int place(const struct tool_table *table, unsigned column)
{
	for (size_t i = 0; i < table->shown_count; i++)
		if (table->shown[i] == column)
			return (int)i;
	return -1;
}

bool tool_table_shows(const struct tool_table *table, unsigned column)
{
	return place(table, column) >= 0;
}

void tool_table_line(struct tool_table *table)
{
	table->line = scols_table_new_line(table->scols, NULL);
}

void tool_table_text(struct tool_table *table, unsigned column,
                     const char *text)
{
	int at = place(table, column);

	if (at >= 0 && table->line)
		scols_line_set_data(table->line, (size_t)at, text);
}

void tool_table_number(struct tool_table *table, unsigned column,
                       uint64_t number)
{
	char text[TOOL_TEXT_MAX];

	snprintf(text, sizeof text, "%" PRIu64, number);
	tool_table_text(table, column, text);
}

void tool_table_real(struct tool_table *table, unsigned column, int decimals,
                     double number)
{
	char text[TOOL_TEXT_MAX];

	snprintf(text, sizeof text, "%.*f", decimals, number);
	tool_table_text(table, column, text);
}

void tool_table_size(struct tool_table *table, unsigned column, uint64_t bytes)
{
	char text[TOOL_TEXT_MAX];

	if (table->options->bytes || table->options->json)
		tool_table_number(table, column, bytes);
	else
		tool_table_text(table, column, tool_human_size(bytes, text));
}

void tool_table_time(struct tool_table *table, unsigned column, int64_t ns)
{
	char text[TOOL_TEXT_MAX];

	if (ns <= 0)
		return;
	if (table->options->json || table->options->raw)
		tool_table_text(table, column, tool_iso_time(ns, text));
	else
		tool_table_text(table, column, tool_short_time(ns, text));
}

void tool_table_alert(struct tool_table *table, unsigned column)
{
	int at = place(table, column);

	if (at >= 0 && table->line)
		scols_cell_set_color(scols_line_get_cell(table->line,
		                                         (size_t)at),
		                     ALERT_COLOR);
}

int tool_table_print(struct tool_table *table)
{
	if (scols_print_table(table->scols) < 0)
		return tool_error("the table could not be printed");
	return TOOL_DONE;
}

static const char *shown_text(const struct tool_table *table, size_t i)
{
	struct libscols_cell *cell = scols_line_get_cell(table->line, i);

	return cell ? scols_cell_get_data(cell) : NULL;
}

void tool_table_print_down(struct tool_table *table, struct tool_out *out)
{
	for (size_t i = 0; i < table->shown_count; i++) {
		const char *text = shown_text(table, i);

		if (text)
			tool_out_format(out, "%-*s %s\n", NAME_WIDTH,
			                table->columns[table->shown[i]].name,
			                text);
	}
}

void tool_table_print_members(struct tool_table *table, struct tool_out *out)
{
	for (size_t i = 0; i < table->shown_count; i++) {
		const struct tool_column *column =
			&table->columns[table->shown[i]];
		const char *text = shown_text(table, i);

		tool_out_text(out, i ? ",\"" : "\"");
		for (const char *at = column->name; *at; at++)
			tool_out_format(out, "%c", tolower((unsigned char)*at));
		tool_out_text(out, "\":");
		if (!text)
			tool_out_text(out, "null");
		else if (json_type(column->type, true) == SCOLS_JSON_NUMBER)
			tool_out_text(out, text);
		else
			tool_out_json(out, text, strlen(text));
	}
}

void tool_table_fini(struct tool_table *table)
{
	scols_unref_table(table->scols);
	table->scols = NULL;
}
