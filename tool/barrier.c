/* SPDX-License-Identifier: MIT */
/* barrier.c: stoa barrier: waiting until others have come. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "noun.h"

#define NOUN "barrier"
#define EXIT_CODE_MAX 255

static int run_create(int argc, char **argv);
static int run_wait(int argc, char **argv);
static int run_stat(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", run_create, "make a barrier" },
	{ "wait", run_wait, "wait until all have come" },
	{ "stat", run_stat, "show the numbers of barriers" },
	{ NULL, NULL, NULL }
};

int tool_barrier(int argc, char **argv)
{
	return tool_dispatch(argc, argv, NOUN, verbs);
}

static int open_barrier(struct stoa_space *space, const char *name,
                        unsigned flags, struct stoa_barrier **ret_barrier)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_barrier_open(space, tool_bare_name(name, NOUN, buffer),
	                         flags, 0, NULL, ret_barrier);
}

static int read_status(struct stoa_space *space, const char *name,
                       struct stoa_barrier_status *ret_status)
{
	struct stoa_barrier *barrier;
	int result = open_barrier(space, name, 0, &barrier);

	if (result < 0)
		return result;
	ret_status->size = sizeof *ret_status;
	result = stoa_barrier_stat(barrier, ret_status);
	stoa_barrier_close(barrier);
	return result;
}

static const char *death_name(uint32_t death)
{
	return death == STOA_BARRIER_BREAKS ? "breaks" : "forgets";
}

/* ---- create ---------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa barrier create [OPTION]... COUNT NAME...\n"
	"\n"
	"Makes barriers for COUNT processes, and the directory of the space if\n"
	"there is none. A barrier that is there already is left as it is; the\n"
	"answer is no if it is another than asked for.\n"
	"\n"
	" -d, --death HOW      what the death of one who waits does: breaks\n"
	"                      (default): the others are told and go on;\n"
	"                      forgets: they wait for one more\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "death", required_argument, NULL, 'd' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_barrier_attributes attributes;
	mode_t mode;
	bool exclusive, death_given;
};

static int parse_death(struct create *create, const char *text)
{
	create->death_given = true;
	if (!strcmp(text, "breaks"))
		create->attributes.death = STOA_BARRIER_BREAKS;
	else if (!strcmp(text, "forgets"))
		create->attributes.death = STOA_BARRIER_FORGETS;
	else
		return tool_usage(&create->common,
		                  "'%s' is not what a death can do: breaks "
		                  "or forgets",
		                  text);
	return TOOL_GO_ON;
}

static int create_option(struct create *create, int option)
{
	switch (option) {
	case 'd': return parse_death(create, optarg);
	case 'M': return tool_parse_mode(&create->common, optarg,
	                                 &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int check_found(const struct create *create, struct stoa_space *space,
                       const char *name)
{
	struct stoa_barrier_status found;
	int result = read_status(space, name, &found);

	if (result < 0)
		return tool_failure(result, name);
	if (found.count != create->attributes.count)
		tool_error("barrier '%s' is there already, but is for %u", name,
		           found.count);
	else if (create->death_given && found.death != create->attributes.death)
		tool_error("barrier '%s' is there already, but a death %s it",
		           name, death_name(found.death));
	else
		return TOOL_DONE;
	return create->common.no_exit;
}

static int create_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct create *create = context;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, NOUN, buffer);
	struct stoa_barrier *barrier;
	int result = stoa_barrier_open(space, name,
	                               STOA_CREATE | STOA_EXCLUSIVE,
	                               create->mode, &create->attributes,
	                               &barrier);

	if (result >= 0) {
		stoa_barrier_close(barrier);
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
		.common = TOOL_COMMON("barrier create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result;
	uint64_t count;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "d:M:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (argc - optind < 2)
		return tool_usage(&create.common,
		                  "a count and the name of a barrier are "
		                  "needed");
	if (tool_parse_number(argv[optind], STOA_BARRIER_COUNT_MAX, &count) <
	            0 ||
	    !count)
		return tool_usage(&create.common,
		                  "'%s' is not a count, 1 to %d", argv[optind],
		                  STOA_BARRIER_COUNT_MAX);
	create.attributes.count = (uint32_t)count;
	return tool_each_name(&create.common, STOA_CREATE, argv + optind + 1,
	                      "the name", create_one, &create);
}

/* ---- wait -------------------------------------------------------------------- */

static const char wait_help[] =
	"Usage: stoa barrier wait [OPTION]... NAME\n"
	"\n"
	"Waits until as many have come as the barrier is for. The answer is no\n"
	"if they haven't in time, or if one that waited died.\n"
	"\n"
	" -w, --timeout SEC    wait at most SEC seconds; 0 does not wait;\n"
	"                      decimals are fine\n"
	" -s, --serial CODE    one of those who were let go exits with CODE,\n"
	"                      not 0\n"
	" -J, --json           print how it ended as JSON: serial, passed,\n"
	"                      broken or timeout\n"
	TOOL_HELP_COMMON;

static const struct option wait_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "serial", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'J' },
	TOOL_LONG_END
};

struct wait {
	struct tool_common common;
	int serial_exit;
	bool json;
};

static int wait_option(struct wait *wait, int option)
{
	uint64_t code;

	switch (option) {
	case 's':
		if (tool_parse_number(optarg, EXIT_CODE_MAX, &code) < 0)
			return tool_usage(&wait->common,
			                  "'%s' is not an exit code, 0 to %d",
			                  optarg, EXIT_CODE_MAX);
		wait->serial_exit = (int)code;
		return TOOL_GO_ON;
	case 'J': wait->json = true; return TOOL_GO_ON;
	default: return tool_common_option(&wait->common, option);
	}
}

static int end_wait(const struct wait *wait, const char *name, int result)
{
	const char *how = result == STOA_BARRIER_SERIAL ? "serial" :
	                  result == 0                   ? "passed" :
	                  result == -EOWNERDEAD         ? "broken" :
	                                                  "timeout";

	if (result < 0 && result != -EOWNERDEAD && result != -EAGAIN &&
	    result != -ETIMEDOUT)
		return tool_failure(result, name);
	if (wait->json) {
		printf("{\"barrier\":\"%s\",\"result\":\"%s\"}\n", name, how);
		if (tool_close_stdout(TOOL_DONE) != TOOL_DONE)
			return TOOL_FAILED;
	}
	if (result == -EOWNERDEAD)
		tool_error("barrier '%s': one of those who waited died", name);
	if (result < 0)
		return wait->common.no_exit;
	return result == STOA_BARRIER_SERIAL ? wait->serial_exit : TOOL_DONE;
}

static int wait_at(const struct wait *wait, struct stoa_space *space,
                   const char *typed)
{
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, NOUN, buffer);
	struct stoa_deadline deadline = tool_deadline(&wait->common);
	struct stoa_barrier *barrier;
	int result = open_barrier(space, name, STOA_INTERRUPTIBLE, &barrier);

	if (result < 0)
		return tool_failure(result, name);
	/* Leaving by a signal isn't dying: the others wait on for one more. */
	do
		result = stoa_barrier_wait(barrier, deadline);
	while (result == -EINTR && !tool_stop_asked());
	stoa_barrier_close(barrier);
	return result == -EINTR ? TOOL_DONE : end_wait(wait, name, result);
}

static int run_wait(int argc, char **argv)
{
	struct wait wait = { .common = TOOL_COMMON("barrier wait", wait_help) };
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             TOOL_SHORT TOOL_SHORT_WAIT "s:J",
	                             wait_options, NULL)) != -1) {
		result = wait_option(&wait, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind == argc)
		return tool_usage(&wait.common,
		                  "the name of the barrier is missing");
	if (argc - optind > 1)
		return tool_usage(&wait.common, "only one barrier can be "
		                                "waited at");
	result = tool_open_space(&wait.common, 0, &space);
	if (result)
		return result;
	tool_stop_install();
	result = wait_at(&wait, space, argv[optind]);
	stoa_space_close(space);
	tool_stop_die();
	return result;
}

/* ---- stat -------------------------------------------------------------------- */

enum column { NAME, COUNT, WAITING, ROUNDS, BROKEN, DEATH, USERS };

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the barrier" },
	[COUNT] = { "COUNT", TOOL_NUMBER, "how many end a round" },
	[WAITING] = { "WAITING", TOOL_NUMBER, "how many have come" },
	[ROUNDS] = { "ROUNDS", TOOL_NUMBER, "rounds that have ended" },
	[BROKEN] = { "BROKEN", TOOL_NUMBER, "1: a death ended the last" },
	[DEATH] = { "DEATH", TOOL_TEXT, "breaks a round, or is forgotten" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
};

#define COLUMNS_USUAL "NAME,COUNT,WAITING,ROUNDS,BROKEN,DEATH,USERS"
#define COLUMNS_INSIDE "COUNT,WAITING,ROUNDS,BROKEN,DEATH"

static const char stat_help[] =
	"Usage: stoa barrier stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the numbers of the barriers named (shell patterns are fine), or\n"
	"of all barriers, one a line. Who waits is shown by stoa stat.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "barriers",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

static void fill_status(struct tool_table *table,
                        const struct stoa_barrier_status *status)
{
	tool_table_number(table, COUNT, status->count);
	tool_table_number(table, WAITING, status->waiting);
	tool_table_number(table, ROUNDS, status->rounds);
	tool_table_number(table, BROKEN, status->broken);
	tool_table_text(table, DEATH, death_name(status->death));
}

static int add_barrier(struct tool_table *table, struct stoa_space *space,
                     const struct stoa_object_info *object)
{
	struct stoa_barrier_status status;
	int result = read_status(space, object->name, &status);

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
	static const struct tool_noun_stat stat = { NOUN, NOUN, COLUMNS_USUAL,
		                                    add_barrier };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "barrier stat",
	                     stat_help);
}

/* ---- For stoa stat -------------------------------------------------------------- */

static int add_waiter(const struct stoa_barrier_waiter *waiter, void *context)
{
	tool_people_add(context, "waits", waiter->pid, waiter->tid,
	                waiter->alive, waiter->since_ns);
	return 0;
}

int tool_barrier_inside(struct stoa_space *space, const char *name,
                        const struct tool_table_options *given,
                        struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options options = tool_inside_options(given);
	struct stoa_barrier_status status = { .size = sizeof status };
	struct tool_table table = new_table(&options);
	struct stoa_barrier *barrier;
	struct tool_people people;
	int result = open_barrier(space, name, 0, &barrier);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_barrier_stat(barrier, &status);
	if (result == 0 &&
	    tool_table_init(&table, &common, COLUMNS_INSIDE) == TOOL_GO_ON) {
		tool_table_line(&table);
		fill_status(&table, &status);
		tool_inside_print(&table, "barrier", out);
		tool_table_fini(&table);
		tool_people_start(&people, "waiters", &options, out);
		result = stoa_barrier_each_waiter(barrier, add_waiter, &people);
		tool_people_end(&people);
	}
	stoa_barrier_close(barrier);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}
