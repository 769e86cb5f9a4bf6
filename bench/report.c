/* SPDX-License-Identifier: MIT */
/* The report: tables on the terminal, the same as JSON. */
#include "harness.h"

#include <libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <stoa/base.h>

#define TEXT_BYTES 96
#define MARKS_BYTES 64

/* One column; numbers are bare in JSON. */
struct column {
	const char *name;
	int flags;
	int json;
};

#define LEFT(name) { name, 0, SCOLS_JSON_STRING }
#define NUMBER(name) { name, SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER }
#define TRUTH(name) { name, 0, SCOLS_JSON_BOOLEAN }

enum { ROW_NAME, ROW_GROUP, ROW_WHAT, ROW_VALUE, ROW_UNIT, ROW_P99, ROW_P999,
       ROW_CPU, ROW_GAP, ROW_LINE, ROW_LINE_RATIO, ROW_BASE, ROW_RATIO,
       ROW_SPREAD, ROW_RUNS, ROW_MARKS, ROW_NOTE, ROW_COLUMNS };

static const struct column row_columns[ROW_COLUMNS] = {
	LEFT("row"), LEFT("group"), LEFT("what"), NUMBER("value"),
	LEFT("unit"), NUMBER("p99"), NUMBER("p999"), NUMBER("cpu_ns"),
	NUMBER("gap_ms"), NUMBER("line_ns"), NUMBER("line_ratio"),
	LEFT("base"), NUMBER("base_ratio"), NUMBER("spread_percent"),
	NUMBER("runs"), LEFT("marks"), LEFT("note"),
};

enum { AIM_WHAT, AIM_ROW, AIM_BASE, AIM_REACHED, AIM_SENSE, AIM_LIMIT,
       AIM_UNIT, AIM_VERDICT, AIM_MARKS, AIM_COLUMNS };

static const struct column aim_columns[AIM_COLUMNS] = {
	LEFT("what"), LEFT("row"), LEFT("base"), NUMBER("figure"),
	LEFT("sense"), NUMBER("aim"), LEFT("unit"), LEFT("verdict"),
	LEFT("marks"),
};

enum { MACHINE_CPU, MACHINE_CORES, MACHINE_KERNEL, MACHINE_ARCHITECTURE,
       MACHINE_TICKS, MACHINE_LINE, MACHINE_COMPILER, MACHINE_STOA,
       MACHINE_ROUNDS, MACHINE_QUICK, MACHINE_COLUMNS };

static const struct column machine_columns[MACHINE_COLUMNS] = {
	LEFT("cpu"), LEFT("cores"), LEFT("kernel"), LEFT("architecture"),
	NUMBER("ticks_per_ns"), NUMBER("line_ns"), LEFT("compiler"),
	LEFT("stoa"), NUMBER("rounds"), TRUTH("quick"),
};

static const char *const unit_names[] = {
	[BENCH_UNIT_NS] = "ns", [BENCH_UNIT_RATE] = "M/s",
	[BENCH_UNIT_GB] = "GB/s", [BENCH_UNIT_PERCENT] = "%"
};

static struct libscols_table *new_table(const char *name,
                                        const struct column *columns,
                                        size_t count)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return NULL;
	scols_table_set_name(table, name);
	for (size_t i = 0; i < count; i++) {
		struct libscols_column *column = scols_table_new_column(
			table, columns[i].name, 0, columns[i].flags);

		scols_column_set_json_type(column, columns[i].json);
	}
	return table;
}

__attribute__((format(printf, 3, 4)))
static void set(struct libscols_line *line, int column, const char *format,
                ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	scols_line_set_data(line, (size_t)column, text);
}

/* Three or four significant digits, and nothing for nothing. */
static void set_number(struct libscols_line *line, int column, double value)
{
	if (value <= 0)
		return;
	set(line, column, "%.*f",
	    value < 1 ? 3 : value < 10 ? 2 : value < 1000 ? 1 : 0, value);
}

/* ---- Rows ---------------------------------------------------------------- */

static double base_ratio(const struct bench_record *record)
{
	const struct bench_record *base = NULL;

	if (record->row->base)
		base = bench_find(record->row->base);
	if (!base || base->median.value <= 0)
		return 0;
	return record->median.value / base->median.value;
}

static void fill_row(struct libscols_line *line,
                     const struct bench_record *record)
{
	const struct bench_row *row = record->row;
	char marks[MARKS_BYTES];

	bench_marks_text(record->median.marks, marks, sizeof(marks));
	set(line, ROW_NAME, "%s", row->name);
	set(line, ROW_GROUP, "%s", bench_group_title(row->group));
	set(line, ROW_WHAT, "%s", row->what);
	set_number(line, ROW_VALUE, record->median.value);
	set(line, ROW_UNIT, "%s", unit_names[row->unit]);
	set_number(line, ROW_P99, record->median.p99);
	set_number(line, ROW_P999, record->median.p999);
	set_number(line, ROW_CPU, record->median.cpu_ns);
	set_number(line, ROW_GAP, record->median.gap_ms);
	set_number(line, ROW_LINE, record->median.line_ns);
	if (row->group == BENCH_LATENCY)
		set_number(line, ROW_LINE_RATIO, record->line_ratio);
	set(line, ROW_BASE, "%s", row->base ? row->base : "");
	set_number(line, ROW_RATIO, base_ratio(record));
	set_number(line, ROW_SPREAD, record->spread_percent);
	set(line, ROW_RUNS, "%d", record->runs);
	set(line, ROW_MARKS, "%s", marks);
	set(line, ROW_NOTE, "%s", record->note);
}

/* Of one group, or of all. */
static struct libscols_table *rows_table(const bool *selected, int group)
{
	struct libscols_table *table = new_table("rows", row_columns,
	                                         ROW_COLUMNS);
	size_t count;
	struct bench_record *records = bench_records(&count);

	for (size_t i = 0; table && i < count; i++)
		if (selected[i] && records[i].runs &&
		    (group < 0 || (int)records[i].row->group == group))
			fill_row(scols_table_new_line(table, NULL),
			         &records[i]);
	return table;
}

/* ---- Aims ---------------------------------------------------------------- */

static double better_base(const struct bench_aim *aim, unsigned *marks)
{
	double best = 0;

	for (int i = 0; i < 2 && aim->base[i]; i++) {
		struct bench_record *base = bench_find(aim->base[i]);
		double value = base ? base->median.value : 0;
		bool less = base && bench_less_is_better(base->row->unit);

		if (value <= 0)
			continue;
		*marks |= base->median.marks;
		if (best <= 0 || (less ? value < best : value > best))
			best = value;
	}
	return best;
}

static double tail_ratio(const struct bench_aim *aim,
                         const struct bench_record *record)
{
	const struct bench_record *base = bench_find(aim->base[0]);

	if (!base || base->median.p999 <= 0)
		return 0;
	return record->median.p999 / base->median.p999;
}

/* The aim's figure; 0: it was not measured. */
static double figure_of(const struct bench_aim *aim, unsigned *marks)
{
	const struct bench_record *record = bench_find(aim->row);
	double base = better_base(aim, marks);

	if (!record || !record->runs || record->median.value <= 0)
		return 0;
	*marks |= record->median.marks;
	switch (aim->compare) {
	case BENCH_TIMES_LINE:
		return record->line_ratio;
	case BENCH_TIMES:
		return base > 0 ? record->median.value / base : 0;
	case BENCH_FASTER:
		return base / record->median.value;
	case BENCH_ABSOLUTE:
		return record->median.value;
	case BENCH_TAIL:
		return tail_ratio(aim, record);
	case BENCH_GAP:
		break;
	}
	return record->median.gap_ms;
}

static void fill_aim(struct libscols_table *table,
                     const struct bench_aim *aim)
{
	struct libscols_line *line;
	unsigned mark_bits = 0;
	double figure = figure_of(aim, &mark_bits);
	bool reached = aim->at_least ? figure >= aim->limit :
	                               figure <= aim->limit;
	char marks[MARKS_BYTES];

	if (figure <= 0)
		return;
	bench_marks_text(mark_bits, marks, sizeof(marks));
	line = scols_table_new_line(table, NULL);
	set(line, AIM_WHAT, "%s", aim->what);
	set(line, AIM_ROW, "%s", aim->row);
	set(line, AIM_BASE, "%s%s%s", aim->base[0] ? aim->base[0] : "",
	    aim->base[1] ? " " : "", aim->base[1] ? aim->base[1] : "");
	set(line, AIM_REACHED, "%.*f", figure < 0.1 ? 4 : 2, figure);
	set(line, AIM_SENSE, "%s", aim->at_least ? "at least" : "at most");
	set(line, AIM_LIMIT, "%.2f", aim->limit);
	set(line, AIM_UNIT, "%s", aim->unit);
	set(line, AIM_VERDICT, "%s", reached ? "reached" : "missed");
	set(line, AIM_MARKS, "%s", marks);
}

static struct libscols_table *aims_table(void)
{
	struct libscols_table *table = new_table("aims", aim_columns,
	                                         AIM_COLUMNS);

	for (size_t i = 0; table && i < bench_aims_count; i++)
		fill_aim(table, &bench_aims[i]);
	return table;
}

/* ---- Machine ------------------------------------------------------------- */

static void cpu_name(char *name, size_t bytes)
{
	char line[256];
	FILE *file = fopen("/proc/cpuinfo", "re");

	snprintf(name, bytes, "unknown");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "model name : %95[^\n]", name) == 1)
			break;
	if (file)
		fclose(file);
}

static struct libscols_table *machine_table(void)
{
	struct libscols_table *table = new_table("machine", machine_columns,
	                                         MACHINE_COLUMNS);
	struct libscols_line *line;
	struct utsname system;
	char name[TEXT_BYTES];

	if (!table)
		return NULL;
	line = scols_table_new_line(table, NULL);
	uname(&system);
	cpu_name(name, sizeof(name));
	set(line, MACHINE_CPU, "%s", name);
	if (bench_setup.cores > 1)
		set(line, MACHINE_CORES, "%d,%d", bench_setup.core[0],
		    bench_setup.core[1]);
	else
		set(line, MACHINE_CORES, "%d", bench_setup.core[0]);
	set(line, MACHINE_KERNEL, "%s %s", system.sysname, system.release);
	set(line, MACHINE_ARCHITECTURE, "%s", system.machine);
	set(line, MACHINE_TICKS, "%.4f", bench_setup.ticks_per_ns);
	set(line, MACHINE_LINE, "%.1f", bench_near_ns());
	set(line, MACHINE_COMPILER, "%s", __VERSION__);
	set(line, MACHINE_STOA, "%s", stoa_version());
	set(line, MACHINE_ROUNDS, "%d", bench_setup.rounds);
	set(line, MACHINE_QUICK, "%d", bench_setup.quick);
	return table;
}

/* ---- Output -------------------------------------------------------------- */

static void hide(struct libscols_table *table, int column)
{
	scols_column_set_flags(scols_table_get_column(table, (size_t)column),
	                       SCOLS_FL_HIDDEN);
}

/* Columns that no row of the table fills are left out. */
static void hide_empty(struct libscols_table *table, int columns)
{
	for (int column = 0; column < columns; column++) {
		size_t lines = scols_table_get_nlines(table), filled = 0;

		for (size_t i = 0; i < lines; i++) {
			struct libscols_cell *cell = scols_line_get_cell(
				scols_table_get_line(table, i),
				(size_t)column);
			const char *data = scols_cell_get_data(cell);

			filled += data && *data;
		}
		if (!filled)
			hide(table, column);
	}
}

static void print_terminal(const bool *selected, FILE *terminal)
{
	struct libscols_table *table;

	for (int group = 0; group < BENCH_GROUPS; group++) {
		table = rows_table(selected, group);
		if (table && !scols_table_is_empty(table)) {
			fprintf(terminal, "\n%s: %s\n",
			        bench_group_title((enum bench_group)group),
			        bench_group_work((enum bench_group)group));
			hide(table, ROW_GROUP);
			hide(table, ROW_RUNS);
			hide_empty(table, ROW_COLUMNS);
			scols_table_set_stream(table, terminal);
			scols_table_set_termforce(table,
			                          SCOLS_TERMFORCE_NEVER);
			scols_print_table(table);
		}
		scols_unref_table(table);
	}
	table = aims_table();
	if (table && !scols_table_is_empty(table)) {
		fprintf(terminal, "\nfigures to reach\n");
		hide(table, AIM_BASE);
		hide_empty(table, AIM_COLUMNS);
		scols_table_set_stream(table, terminal);
		scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
		scols_print_table(table);
	}
	scols_unref_table(table);
}

/* The library prints each table as an object of its own; what is inside the
 * braces of each goes into one. */
static void print_member(FILE *file, struct libscols_table *table,
                         const char *separator)
{
	char *text = NULL, *first, *last;

	if (!table)
		return;
	scols_table_enable_json(table, 1);
	if (!scols_print_table_to_string(table, &text) && text) {
		first = strchr(text, '{');
		last = strrchr(text, '}');
		if (first && last) {
			while (last > first && strchr("}\n ", *last))
				*last-- = '\0';
			fprintf(file, "%s%s", first + 1, separator);
		}
	}
	free(text);
	scols_unref_table(table);
}

static int print_json(const bool *selected, const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "we") : stdout;

	if (!file)
		return -errno;
	fputs("{", file);
	print_member(file, machine_table(), ",");
	print_member(file, rows_table(selected, -1), ",");
	print_member(file, aims_table(), "\n}\n");
	if (file != stdout && fclose(file))
		return -errno;
	return 0;
}

int bench_report(const bool *selected, FILE *terminal, const char *json_path)
{
	if (terminal)
		print_terminal(selected, terminal);
	return json_path ? print_json(selected, json_path) : 0;
}
