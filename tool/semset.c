/* SPDX-License-Identifier: MIT */
/* semset.c: stoa semset: several semaphores changed at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "noun.h"

#define KIND "semaphore_set"

static int run_create(int argc, char **argv);
static int run_op(int argc, char **argv);
static int run_get(int argc, char **argv);
static int run_set(int argc, char **argv);
static int run_stat(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", run_create, "make a set of semaphores" },
	{ "op", run_op, "change several at once, and run a command" },
	{ "get", run_get, "print values" },
	{ "set", run_set, "set values" },
	{ "stat", run_stat, "show the numbers of sets" },
	{ NULL, NULL, NULL }
};

int tool_semset(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "semset", verbs);
}

static int open_set(struct stoa_space *space, const char *name, unsigned flags,
                    struct stoa_semaphore_set **ret_set)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_semaphore_set_open(space, tool_bare_name(name, KIND, buffer),
	                               flags, 0, NULL, ret_set);
}

/* "3,0,1" into a new array; NULL: tells what is wrong. */
static uint16_t *parse_values(const struct tool_common *common,
                              const char *text, size_t *ret_count)
{
	size_t count = 1;
	char *copy = strdup(text);

	for (const char *at = text; *at; at++)
		count += *at == ',';
	uint16_t *values = calloc(count, sizeof *values);
	if (!copy || !values) {
		tool_failure(-ENOMEM, "values");
		goto fail;
	}
	char *rest = copy;
	for (size_t i = 0; i < count; i++) {
		uint64_t value;
		const char *word = strsep(&rest, ",");

		if (tool_parse_number(word, STOA_SEMAPHORE_SET_VALUE_MAX,
		                      &value) < 0) {
			tool_usage(common, "'%s' is not a value, 0 to %d", word,
			           STOA_SEMAPHORE_SET_VALUE_MAX);
			goto fail;
		}
		values[i] = (uint16_t)value;
	}
	free(copy);
	*ret_count = count;
	return values;

fail:
	free(copy);
	free(values);
	return NULL;
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa semset create [OPTION]... NAME...\n"
	"\n"
	"Makes sets of semaphores, and the directory of the space if there is\n"
	"none. A set that is there already is left as it is; the answer is no\n"
	"if it has another number of semaphores than asked for.\n"
	"\n"
	" -c, --count N        semaphores; default 1, or as many as values\n"
	" -v, --values LIST    values to begin with: 1,0,5\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "count", required_argument, NULL, 'c' },
	{ "values", required_argument, NULL, 'v' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_semaphore_set_attributes attributes;
	uint16_t *values;
	size_t value_count;
	mode_t mode;
	bool exclusive;
};

static int create_option(struct create *create, int option)
{
	uint64_t count;

	switch (option) {
	case 'c':
		if (tool_parse_number(optarg, STOA_SEMAPHORE_SET_MAX, &count) <
		            0 ||
		    !count)
			return tool_usage(&create->common,
			                  "'%s' is not a count, 1 to %d",
			                  optarg, STOA_SEMAPHORE_SET_MAX);
		create->attributes.count = (uint32_t)count;
		return TOOL_GO_ON;
	case 'v':
		free(create->values);
		create->values = parse_values(&create->common, optarg,
		                              &create->value_count);
		return create->values ? TOOL_GO_ON : TOOL_USAGE;
	case 'M':
		return tool_parse_mode(&create->common, optarg, &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int check_found(const struct create *create, struct stoa_space *space,
                       const char *name)
{
	struct stoa_semaphore_set *set;
	int result = open_set(space, name, 0, &set);

	if (result < 0)
		return tool_failure(result, name);
	uint32_t count = stoa_semaphore_set_count(set);
	stoa_semaphore_set_close(set);
	if (!create->attributes.count || create->attributes.count == count)
		return TOOL_DONE;
	tool_error("set '%s' is there already, but has %u semaphores", name,
	           count);
	return create->common.no_exit;
}

static int create_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct create *create = context;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, KIND, buffer);
	struct stoa_semaphore_set *set;
	int result = stoa_semaphore_set_open(space, name,
	                                     STOA_CREATE | STOA_EXCLUSIVE,
	                                     create->mode, &create->attributes,
	                                     &set);

	if (result >= 0) {
		stoa_semaphore_set_close(set);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	if (result != TOOL_GO_ON)
		return result;
	return check_found(create, space, name);
}

static int create_all(struct create *create, char **names)
{
	struct stoa_semaphore_set_attributes *attributes = &create->attributes;

	if (create->values && !attributes->count)
		attributes->count = (uint32_t)create->value_count;
	if (create->values && attributes->count != create->value_count)
		return tool_usage(&create->common,
		                  "%zu values for %u semaphores",
		                  create->value_count, attributes->count);
	attributes->values = create->values;
	return tool_each_name(&create->common, STOA_CREATE, names,
	                      "the name of the set", create_one, create);
}

static int run_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("semset create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result = TOOL_GO_ON;

	while (result == TOOL_GO_ON &&
	       (option = getopt_long(argc, argv, TOOL_SHORT "c:v:M:x",
	                             create_options, NULL)) != -1)
		result = create_option(&create, option);
	if (result == TOOL_GO_ON)
		result = create_all(&create, argv + optind);
	free(create.values);
	return result;
}

/* ---- op ------------------------------------------------------------------ */

static const char op_help[] =
	"Usage: stoa semset op [OPTION]... NAME CHANGE... [-- COMMAND [ARG]...]\n"
	"\n"
	"Makes all of the changes at once, waiting until that can be. A CHANGE\n"
	"is NUMBER-AMOUNT (wait for as much and take it), NUMBER+AMOUNT (add),\n"
	"or NUMBER=0 (wait for zero). With a command, runs it and then takes\n"
	"the changes back, also if this is killed; its status is passed on. The\n"
	"answer is no if it can't be in time.\n"
	"\n"
	" -w, --timeout SEC    wait at most SEC seconds; 0 does not wait;\n"
	"                      decimals are fine\n"
	TOOL_HELP_COMMON;

static const struct option op_options[] = { TOOL_LONG, TOOL_LONG_WAIT,
	                                    TOOL_LONG_END };

struct op {
	struct tool_common common;
	const char *name;
	char **command; /* NULL: none */
	struct stoa_semaphore_change changes[STOA_SEMAPHORE_SET_OPERATIONS];
	size_t count;
};

static int parse_change(struct op *op, const char *text)
{
	struct stoa_semaphore_change *change = &op->changes[op->count];
	size_t digits = strspn(text, "0123456789");
	char number[TOOL_TEXT_MAX];
	uint64_t semaphore, amount;

	if (op->count == STOA_SEMAPHORE_SET_OPERATIONS)
		return tool_usage(&op->common, "at most %d changes at once",
		                  STOA_SEMAPHORE_SET_OPERATIONS);
	snprintf(number, sizeof number, "%.*s", (int)digits, text);
	if (digits >= sizeof number || !text[digits] ||
	    tool_parse_number(number, STOA_SEMAPHORE_SET_MAX, &semaphore) < 0 ||
	    tool_parse_number(text + digits + 1, STOA_SEMAPHORE_SET_VALUE_MAX,
	                      &amount) < 0 ||
	    !strchr("+-=", text[digits]) || (text[digits] == '=') != !amount)
		return tool_usage(&op->common,
		                  "'%s' is not a change: NUMBER-AMOUNT, "
		                  "NUMBER+AMOUNT or NUMBER=0",
		                  text);
	change->semaphore = (uint32_t)semaphore;
	change->amount = text[digits] == '-' ? -(int32_t)amount :
	                                       (int32_t)amount;
	op->count++;
	return TOOL_GO_ON;
}

static int parse_words(struct op *op, char **words)
{
	int result = TOOL_GO_ON;

	op->name = *words ? *words++ : NULL;
	for (; result == TOOL_GO_ON && *words && strcmp(*words, "--"); words++)
		result = parse_change(op, *words);
	if (result != TOOL_GO_ON)
		return result;
	if (!op->name || !op->count)
		return tool_usage(&op->common,
		                  "the name of a set and changes are needed");
	if (*words && !words[1])
		return tool_usage(&op->common, "the command is missing");
	op->command = *words ? words + 1 : NULL;
	for (size_t i = 0; op->command && i < op->count; i++)
		op->changes[i].flags = STOA_SEMAPHORE_UNDO;
	return TOOL_GO_ON;
}

static int operate(struct op *op, struct stoa_semaphore_set *set)
{
	struct stoa_deadline deadline = tool_deadline(&op->common);
	int result;

	do
		result = stoa_semaphore_set_operate(set, op->changes, op->count,
		                                    deadline);
	while (result == -EINTR && !tool_stop_asked());
	if (result == -EINTR)
		return TOOL_DONE; /* dies of the signal */
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return op->common.no_exit;
	if (result < 0)
		return tool_failure(result, op->name);
	/* Closing the set takes them back. */
	return op->command ? tool_run(op->command) : TOOL_DONE;
}

static int run_op(int argc, char **argv)
{
	static struct op op = { .common = TOOL_COMMON("semset op", op_help) };
	struct stoa_semaphore_set *set;
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             "+" TOOL_SHORT TOOL_SHORT_WAIT, op_options,
	                             NULL)) != -1) {
		result = tool_common_option(&op.common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = parse_words(&op, argv + optind);
	if (result != TOOL_GO_ON)
		return result;
	result = tool_open_space(&op.common, 0, &space);
	if (result)
		return result;
	tool_stop_install();
	result = open_set(space, op.name, STOA_INTERRUPTIBLE, &set);
	if (result == 0) {
		result = operate(&op, set);
		stoa_semaphore_set_close(set);
	} else {
		result = tool_failure(result, op.name);
	}
	stoa_space_close(space);
	tool_stop_die();
	return result;
}

/* ---- get, set -------------------------------------------------------------- */

static const char get_help[] =
	"Usage: stoa semset get [OPTION]... NAME [NUMBER]...\n"
	"\n"
	"Prints the values of the semaphores numbered, or of all at one moment,\n"
	"on one line.\n"
	"\n"
	" -J, --json           as a JSON array\n"
	TOOL_HELP_COMMON;

static const struct option get_options[] = {
	TOOL_LONG, { "json", no_argument, NULL, 'J' }, TOOL_LONG_END
};

static int parse_number(const struct tool_common *common,
                        const struct stoa_semaphore_set *set, const char *text,
                        uint32_t *ret_number)
{
	uint64_t number;
	uint32_t count = stoa_semaphore_set_count(set);

	if (tool_parse_number(text, count - 1, &number) < 0)
		return tool_usage(common,
		                  "'%s' is not a semaphore's number, 0 to %u",
		                  text, count - 1);
	*ret_number = (uint32_t)number;
	return TOOL_GO_ON;
}

static int print_values(const struct tool_common *common,
                        struct stoa_semaphore_set *set, char **numbers,
                        bool json)
{
	uint32_t count = stoa_semaphore_set_count(set), number;
	uint16_t *values = calloc(count, sizeof *values);
	int result = values ? stoa_semaphore_set_get_all(set, values, count) :
	                      -ENOMEM;
	int code = result < 0 ? tool_failure(result, "values") : TOOL_GO_ON;

	for (char **at = numbers; *at && code == TOOL_GO_ON; at++)
		code = parse_number(common, set, *at, &number);
	for (uint32_t i = 0; code == TOOL_GO_ON; i++) {
		if (*numbers ? !numbers[i] : i == count)
			break;
		number = i;
		if (*numbers)
			parse_number(common, set, numbers[i], &number);
		printf("%s%u", i ? json ? "," : " " : json ? "[" : "",
		       values[number]);
	}
	free(values);
	if (code != TOOL_GO_ON)
		return code;
	puts(json ? "]" : "");
	return TOOL_DONE;
}

static int run_get(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("semset get", get_help);
	struct stoa_semaphore_set *set;
	struct stoa_space *space;
	bool json = false;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "J", get_options,
	                             NULL)) != -1) {
		json = json || option == 'J';
		result = option == 'J' ? TOOL_GO_ON :
		                         tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&common, "the name of the set is missing");
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	result = open_set(space, argv[optind], 0, &set);
	if (result == 0) {
		result = print_values(&common, set, argv + optind + 1, json);
		stoa_semaphore_set_close(set);
	} else {
		result = tool_failure(result, argv[optind]);
	}
	stoa_space_close(space);
	return result;
}

static const char set_help[] =
	"Usage: stoa semset set [OPTION]... NAME NUMBER VALUE\n"
	"       stoa semset set [OPTION]... NAME VALUE,VALUE,...\n"
	"\n"
	"Sets one value, or all at once. What would be undone to them is\n"
	"forgotten; who can go on is woken.\n"
	"\n"
	TOOL_HELP_COMMON;

static const struct option set_options[] = { TOOL_LONG, TOOL_LONG_END };

static int set_values(const struct tool_common *common,
                      struct stoa_semaphore_set *set, char **words)
{
	size_t count;
	uint32_t number = 0;
	uint16_t *values = parse_values(common, words[2] ? words[2] : words[1],
	                                &count);
	int result, code = values ? TOOL_GO_ON : TOOL_USAGE;

	if (code == TOOL_GO_ON && words[2])
		code = count == 1 ?
		               parse_number(common, set, words[1], &number) :
		               tool_usage(common, "one value is needed");
	if (code == TOOL_GO_ON) {
		result = words[2] ?
		                 stoa_semaphore_set_set(set, number,
		                                        values[0]) :
		                 stoa_semaphore_set_set_all(set, values, count);
		code = result < 0 ? tool_failure(result, words[0]) : TOOL_DONE;
	}
	free(values);
	return code;
}

static int run_set(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("semset set", set_help);
	struct stoa_semaphore_set *set;
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT, set_options,
	                             NULL)) != -1) {
		result = tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind < 2 || argc - optind > 3)
		return tool_usage(&common, "the name of a set and values are "
		                           "needed");
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	result = open_set(space, argv[optind], 0, &set);
	if (result == 0) {
		result = set_values(&common, set, argv + optind);
		stoa_semaphore_set_close(set);
	} else {
		result = tool_failure(result, argv[optind]);
	}
	stoa_space_close(space);
	return result;
}

/* ---- stat ---------------------------------------------------------------- */

enum column { NAME, COUNT, UNDOERS, UNDONE, WAITING, USERS, OPERATED, CHANGED };

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the set" },
	[COUNT] = { "COUNT", TOOL_NUMBER, "semaphores in it" },
	[UNDOERS] = { "UNDOERS", TOOL_NUMBER, "handles with undo" },
	[UNDONE] = { "UNDONE", TOOL_NUMBER, "handles undone so far" },
	[WAITING] = { "WAITING", TOOL_NUMBER, "threads that wait" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
	[OPERATED] = { "OPERATED", TOOL_TIME, "last operation" },
	[CHANGED] = { "CHANGED", TOOL_TIME, "made, or a value set" },
};
#define COLUMNS_USUAL "NAME,COUNT,UNDOERS,WAITING,USERS,OPERATED,CHANGED"
#define COLUMNS_INSIDE "COUNT,UNDOERS,UNDONE,WAITING,OPERATED,CHANGED"

static const char stat_help[] =
	"Usage: stoa semset stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the sets named (shell patterns are fine), or of\n"
	"all sets, one a line. Who has changes to be undone, and who waits, is\n"
	"shown by stoa stat.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "semaphore_sets",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

static void fill_status(struct tool_table *table,
                        const struct stoa_semaphore_set_status *status)
{
	tool_table_number(table, COUNT, status->count);
	tool_table_number(table, UNDOERS, status->undoers);
	tool_table_number(table, UNDONE, status->undone);
	tool_table_number(table, WAITING, status->waiting);
	tool_table_time(table, OPERATED, status->last_operation_ns);
	tool_table_time(table, CHANGED, status->last_change_ns);
}

static int add_one(struct tool_table *table, struct stoa_space *space,
                   const struct stoa_object_info *object)
{
	struct stoa_semaphore_set_status status = { .size = sizeof status };
	struct stoa_semaphore_set *set;
	int result = open_set(space, object->name, 0, &set);

	if (result < 0)
		return result;
	result = stoa_semaphore_set_stat(set, &status);
	stoa_semaphore_set_close(set);
	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, object->name);
	tool_table_number(table, USERS, object->users);
	fill_status(table, &status);
	return 0;
}

static int run_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { KIND, "set", COLUMNS_USUAL,
		                              add_one };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "semset stat",
	                    stat_help);
}

/* ---- For stoa stat ------------------------------------------------------- */

static int add_adjustment(const struct stoa_semaphore_adjustment *adjustment,
                          void *context)
{
	char does[TOOL_TEXT_MAX];

	snprintf(does, sizeof does, "undo of %u: %+d", adjustment->semaphore,
	         adjustment->amount);
	tool_people_add(context, does, adjustment->pid, 0, true, 0);
	return 0;
}

int tool_semset_inside(struct stoa_space *space, const char *name,
                       const struct tool_table_options *given,
                       struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options options = tool_inside_options(given);
	struct stoa_semaphore_set_status status = { .size = sizeof status };
	struct tool_table table = new_table(&options);
	struct stoa_semaphore_set *set;
	struct tool_people people;
	int result = open_set(space, name, 0, &set);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_semaphore_set_stat(set, &status);
	if (result == 0 &&
	    tool_table_init(&table, &common, COLUMNS_INSIDE) == TOOL_GO_ON) {
		tool_table_line(&table);
		fill_status(&table, &status);
		tool_inside_print(&table, "semaphore_set", out);
		tool_table_fini(&table);
		tool_people_start(&people, "holders", &options, out);
		result = stoa_semaphore_set_each_adjustment(set, add_adjustment,
		                                            &people);
		tool_people_end(&people);
	}
	stoa_semaphore_set_close(set);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}
