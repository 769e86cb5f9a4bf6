/* SPDX-License-Identifier: MIT */
/* sem.c: stoa sem: counting permits. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "noun.h"

#define KIND "semaphore"

static int run_create(int argc, char **argv);
static int run_wait(int argc, char **argv);
static int run_post(int argc, char **argv);
static int run_value(int argc, char **argv);
static int run_stat(int argc, char **argv);
static int run_rm(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", run_create, "make a semaphore" },
	{ "wait", run_wait, "take permits, and run a command with them" },
	{ "post", run_post, "add permits" },
	{ "value", run_value, "print how many permits there are" },
	{ "stat", run_stat, "show the numbers of semaphores" },
	{ "rm", run_rm, "remove semaphores" },
	{ NULL, NULL, NULL }
};

int tool_sem(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "sem", verbs);
}

static int open_sem(struct stoa_space *space, const char *name, unsigned flags,
                    struct stoa_semaphore **ret_semaphore)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_semaphore_open(space, tool_bare_name(name, KIND, buffer),
	                           flags, 0, NULL, ret_semaphore);
}

static int read_status(struct stoa_semaphore *semaphore,
                       struct stoa_semaphore_status *ret_status)
{
	ret_status->size = sizeof *ret_status;
	return stoa_semaphore_stat(semaphore, ret_status);
}

static int parse_permits(const struct tool_common *common, const char *text,
                         uint32_t *ret_permits)
{
	uint64_t permits;

	if (tool_parse_number(text, STOA_SEMAPHORE_MAX, &permits) < 0)
		return tool_usage(common,
		                  "'%s' is not a number of permits, at most %d",
		                  text, STOA_SEMAPHORE_MAX);
	*ret_permits = (uint32_t)permits;
	return TOOL_GO_ON;
}

/* ---- create -------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa sem create [OPTION]... NAME...\n"
	"\n"
	"Makes semaphores, and the directory of the space if there is none. A\n"
	"semaphore that is there already is left as it is; the answer is no if\n"
	"it has another maximum than asked for, or lacks the undo asked for.\n"
	"\n"
	" -v, --value N        permits to begin with; default 0\n"
	" -m, --maximum N      permits there can be; default 2147483647\n"
	" -u, --undo           permits held by a process that dies come back\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "value", required_argument, NULL, 'v' },
	{ "maximum", required_argument, NULL, 'm' },
	{ "undo", no_argument, NULL, 'u' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_semaphore_attributes attributes;
	mode_t mode;
	bool exclusive;
};

static int create_option(struct create *create, int option)
{
	switch (option) {
	case 'v':
		return parse_permits(&create->common, optarg,
		                     &create->attributes.value);
	case 'm':
		return parse_permits(&create->common, optarg,
		                     &create->attributes.maximum);
	case 'u': create->attributes.undo = 1; return TOOL_GO_ON;
	case 'M':
		return tool_parse_mode(&create->common, optarg, &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int check_found(const struct create *create, struct stoa_space *space,
                       const char *name)
{
	const struct stoa_semaphore_attributes *asked = &create->attributes;
	struct stoa_semaphore_status found;
	struct stoa_semaphore *semaphore;
	int result = open_sem(space, name, 0, &semaphore);

	if (result == 0) {
		result = read_status(semaphore, &found);
		stoa_semaphore_close(semaphore);
	}
	if (result < 0)
		return tool_failure(result, name);
	if (asked->maximum && found.maximum != asked->maximum)
		tool_error("semaphore '%s' is there already, but its maximum "
		           "is %u",
		           name, found.maximum);
	else if (asked->undo && !found.undo)
		tool_error("semaphore '%s' is there already, but has no undo",
		           name);
	else
		return TOOL_DONE;
	return create->common.no_exit;
}

static int create_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct create *create = context;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, KIND, buffer);
	struct stoa_semaphore *semaphore;
	int result = stoa_semaphore_open(space, name,
	                                 STOA_CREATE | STOA_EXCLUSIVE,
	                                 create->mode, &create->attributes,
	                                 &semaphore);

	if (result >= 0) {
		stoa_semaphore_close(semaphore);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	if (result != TOOL_GO_ON)
		return result;
	return check_found(create, space, name);
}

static int run_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("sem create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "v:m:uM:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	return tool_each_name(&create.common, STOA_CREATE, argv + optind,
	                      "the name of the semaphore", create_one, &create);
}

/* ---- wait ---------------------------------------------------------------- */

static const char wait_help[] =
	"Usage: stoa sem wait [OPTION]... NAME [[--] COMMAND [ARG]...]\n"
	"\n"
	"Takes permits, waiting for them; with a command, runs it and posts\n"
	"them again when it ends. Its status is passed on; a command killed by\n"
	"signal N gives 128 + N. The answer is no if there are none in time.\n"
	"Of a semaphore with undo permits come back when their process ends: it\n"
	"needs a command.\n"
	"\n"
	" -n, --permits N      how many, all at once; default 1\n"
	" -w, --timeout SEC    wait at most SEC seconds; 0 does not wait;\n"
	"                      decimals are fine\n"
	TOOL_HELP_COMMON;

static const struct option wait_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "permits", required_argument, NULL, 'n' },
	TOOL_LONG_END
};

static int refuse_undo(struct stoa_semaphore *semaphore, const char *name)
{
	struct stoa_semaphore_status status;
	int result = read_status(semaphore, &status);

	if (result < 0)
		return tool_failure(result, name);
	if (!status.undo)
		return TOOL_DONE;
	return tool_error("semaphore '%s' has undo: the permits would come "
	                  "back as soon as this ends; give a command to run",
	                  name);
}

static int wait_and_run(const struct tool_common *common,
                        struct stoa_semaphore *semaphore, char **words,
                        uint32_t permits)
{
	struct stoa_deadline deadline = tool_deadline(common);
	int code = words[1] ? TOOL_DONE : refuse_undo(semaphore, words[0]);
	int result;

	if (code != TOOL_DONE)
		return code;
	do
		result = stoa_semaphore_wait(semaphore, permits, deadline);
	while (result == -EINTR && !tool_stop_asked());
	if (result == -EINTR)
		return TOOL_DONE; /* dies of the signal */
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return common->no_exit;
	if (result < 0)
		return tool_failure(result, words[0]);
	if (!words[1])
		return TOOL_DONE;
	code = tool_run(words + 1);
	result = stoa_semaphore_post(semaphore, permits);
	return result < 0 ? tool_failure(result, words[0]) : code;
}

static int run_wait(int argc, char **argv)
{
	struct tool_common common = TOOL_COMMON("sem wait", wait_help);
	struct stoa_semaphore *semaphore;
	struct stoa_space *space;
	uint32_t permits = 1;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             "+" TOOL_SHORT TOOL_SHORT_WAIT "n:",
	                             wait_options, NULL)) != -1) {
		result = option == 'n' ?
		                 parse_permits(&common, optarg, &permits) :
		                 tool_common_option(&common, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&common,
		                  "the name of the semaphore is missing");
	char **words = argv + optind;
	if (words[1] && !strcmp(words[1], "--")) {
		words[1] = words[0];
		words++;
	}
	result = tool_open_space(&common, 0, &space);
	if (result)
		return result;
	tool_stop_install();
	result = open_sem(space, words[0], STOA_INTERRUPTIBLE, &semaphore);
	if (result == 0) {
		result = wait_and_run(&common, semaphore, words, permits);
		stoa_semaphore_close(semaphore);
	} else {
		result = tool_failure(result, words[0]);
	}
	stoa_space_close(space);
	tool_stop_die();
	return result;
}

/* ---- post, value, rm ------------------------------------------------------ */

static const char post_help[] =
	"Usage: stoa sem post [OPTION]... NAME...\n"
	"\n"
	"Adds permits, and wakes who waits for them.\n"
	"\n"
	" -n, --permits N      how many; default 1\n"
	TOOL_HELP_COMMON;

static const char value_help[] =
	"Usage: stoa sem value [OPTION]... NAME...\n"
	"\n"
	"Prints how many permits there are, a line for each semaphore.\n"
	"\n"
	" -J, --json           as JSON: an object of names and values\n"
	TOOL_HELP_COMMON;

static const char rm_help[] =
	"Usage: stoa sem rm [OPTION]... NAME...\n"
	"\n"
	"Removes semaphores. Who has one open goes on with it; with --wake it\n"
	"is gone for them too.\n"
	"\n"
	TOOL_HELP_RM TOOL_HELP_COMMON;

struct each {
	struct tool_common common;
	uint32_t permits;
	bool json;
	size_t done;
};

static int post_one(void *context, struct stoa_space *space,
                    const char *name)
{
	const struct each *each = context;
	struct stoa_semaphore *semaphore;
	int result = open_sem(space, name, 0, &semaphore);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_semaphore_post(semaphore, each->permits);
	stoa_semaphore_close(semaphore);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}

static int value_one(void *context, struct stoa_space *space,
                     const char *typed)
{
	struct each *each = context;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, KIND, buffer);
	struct stoa_semaphore *semaphore;
	int result = open_sem(space, name, 0, &semaphore);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_semaphore_value(semaphore);
	stoa_semaphore_close(semaphore);
	if (result < 0)
		return tool_failure(result, name);
	if (each->json)
		printf("%s\"%s\":%d", each->done++ ? "," : "", name, result);
	else
		printf("%d\n", result);
	return TOOL_DONE;
}

static int each_option(struct each *each, int option)
{
	switch (option) {
	case 'n': return parse_permits(&each->common, optarg, &each->permits);
	case 'J': each->json = true; return TOOL_GO_ON;
	default: return tool_common_option(&each->common, option);
	}
}

static int run_each(int argc, char **argv, struct each *each,
                    const char *letters, const struct option *options,
                    int (*one)(void *context, struct stoa_space *space,
                               const char *typed))
{
	int option, result;

	while ((option = getopt_long(argc, argv, letters, options, NULL)) !=
	       -1) {
		result = each_option(each, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (each->json && optind < argc)
		printf("{");
	result = tool_each_name(&each->common, 0, argv + optind,
	                        "the name of the semaphore", one, each);
	if (each->json && optind < argc)
		puts("}");
	return result;
}

static int run_post(int argc, char **argv)
{
	static const struct option options[] = {
		TOOL_LONG,
		{ "permits", required_argument, NULL, 'n' },
		TOOL_LONG_END
	};
	struct each each = { .common = TOOL_COMMON("sem post", post_help),
		             .permits = 1 };

	return run_each(argc, argv, &each, TOOL_SHORT "n:", options, post_one);
}

static int run_value(int argc, char **argv)
{
	static const struct option options[] = {
		TOOL_LONG, { "json", no_argument, NULL, 'J' }, TOOL_LONG_END
	};
	struct each each = { .common = TOOL_COMMON("sem value", value_help) };

	return run_each(argc, argv, &each, TOOL_SHORT "J", options, value_one);
}

static int run_rm(int argc, char **argv)
{
	return tool_run_rm(argc, argv, KIND, "sem rm", rm_help);
}

/* ---- stat ---------------------------------------------------------------- */

enum column { NAME, VALUE, MAXIMUM, UNDO, HOLDERS, HELD, UNDONE, WAITING, USERS };

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the semaphore" },
	[VALUE] = { "VALUE", TOOL_NUMBER, "permits there are" },
	[MAXIMUM] = { "MAXIMUM", TOOL_NUMBER, "permits there can be" },
	[UNDO] = { "UNDO", TOOL_NUMBER, "1: those of the dead come back" },
	[HOLDERS] = { "HOLDERS", TOOL_NUMBER, "handles that hold some" },
	[HELD] = { "HELD", TOOL_NUMBER, "permits that they hold" },
	[UNDONE] = { "UNDONE", TOOL_NUMBER, "permits that came back so far" },
	[WAITING] = { "WAITING", TOOL_NUMBER, "processes that wait" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
};
#define COLUMNS_USUAL "NAME,VALUE,MAXIMUM,UNDO,HOLDERS,HELD,WAITING,USERS"
#define COLUMNS_INSIDE "VALUE,MAXIMUM,UNDO,HOLDERS,HELD,UNDONE"

static const char stat_help[] =
	"Usage: stoa sem stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the semaphores named (shell patterns are fine),\n"
	"or of all semaphores, one a line. Who holds permits and who waits is\n"
	"shown by stoa stat.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "semaphores",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

static void fill_status(struct tool_table *table,
                        const struct stoa_semaphore_status *status)
{
	tool_table_number(table, VALUE, status->value);
	tool_table_number(table, MAXIMUM, status->maximum);
	tool_table_number(table, UNDO, status->undo);
	tool_table_number(table, HOLDERS, status->holders);
	tool_table_number(table, HELD, status->held);
	tool_table_number(table, UNDONE, status->undone);
}

static int add_one(struct tool_table *table, struct stoa_space *space,
                   const struct stoa_object_info *object)
{
	struct stoa_semaphore_status status;
	struct stoa_semaphore *semaphore;
	int result = open_sem(space, object->name, 0, &semaphore);

	if (result < 0)
		return result;
	result = read_status(semaphore, &status);
	stoa_semaphore_close(semaphore);
	if (result < 0)
		return result;
	tool_table_line(table);
	tool_table_text(table, NAME, object->name);
	tool_table_number(table, USERS, object->users);
	tool_table_number(table, WAITING, status.waiting);
	fill_status(table, &status);
	return 0;
}

static int run_stat(int argc, char **argv)
{
	static const struct tool_noun_stat stat = { KIND, "semaphore", COLUMNS_USUAL,
		                              add_one };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "sem stat",
	                    stat_help);
}

/* ---- For stoa stat ------------------------------------------------------- */

static int add_holder(const struct stoa_semaphore_holder *holder, void *context)
{
	char does[TOOL_TEXT_MAX];

	snprintf(does, sizeof does, "holds %u", holder->permits);
	tool_people_add(context, does, holder->pid, 0, holder->alive, 0);
	return 0;
}

int tool_sem_inside(struct stoa_space *space, const char *name,
                    const struct tool_table_options *given,
                    struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options options = tool_inside_options(given);
	struct tool_table table = new_table(&options);
	struct stoa_semaphore_status status;
	struct stoa_semaphore *semaphore;
	struct tool_people people;
	int result = open_sem(space, name, 0, &semaphore);

	if (result < 0)
		return tool_failure(result, name);
	result = read_status(semaphore, &status);
	if (result == 0 &&
	    tool_table_init(&table, &common, COLUMNS_INSIDE) == TOOL_GO_ON) {
		tool_table_line(&table);
		fill_status(&table, &status);
		tool_inside_print(&table, "semaphore", out);
		tool_table_fini(&table);
		tool_people_start(&people, "holders", &options, out);
		result = stoa_semaphore_each_holder(semaphore, add_holder,
		                                    &people);
		tool_people_end(&people);
	}
	stoa_semaphore_close(semaphore);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}
