/* SPDX-License-Identifier: MIT */
/* mutex.c: stoa mutex: running a command while a mutex is locked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "noun.h"

#define NOUN "mutex"
#define SHELL "/bin/sh"
#define DIED_VARIABLE "STOA_OWNER_DIED"

static int run_create(int argc, char **argv);
static int run_lock(int argc, char **argv);
static int run_stat(int argc, char **argv);

static const struct tool_verb verbs[] = {
	{ "create", run_create, "make a mutex" },
	{ "lock", run_lock, "run a command while it is locked" },
	{ "stat", run_stat, "show who has mutexes" },
	{ NULL, NULL, NULL }
};

int tool_mutex(int argc, char **argv)
{
	return tool_dispatch(argc, argv, "mutex", verbs);
}

static int open_mutex(struct stoa_space *space, const char *name,
                      unsigned flags, struct stoa_mutex **ret_mutex)
{
	char buffer[STOA_NAME_MAX + 1];

	return stoa_mutex_open(space, tool_bare_name(name, NOUN, buffer), flags,
	                       TOOL_MODE_DEFAULT, NULL, ret_mutex);
}

static int read_status(struct stoa_space *space, const char *name,
                       struct stoa_mutex_status *ret_status)
{
	struct stoa_mutex *mutex;
	int result = open_mutex(space, name, 0, &mutex);

	if (result < 0)
		return result;
	ret_status->size = sizeof *ret_status;
	result = stoa_mutex_stat(mutex, ret_status);
	stoa_mutex_close(mutex);
	return result;
}

static const char *const kind_names[] = { "normal", "recursive", "checked" };
#define KINDS (sizeof kind_names / sizeof *kind_names)

static const char *kind_name(uint32_t kind)
{
	return kind < KINDS ? kind_names[kind] : "unknown";
}

/* ---- create ---------------------------------------------------------------- */

static const char create_help[] =
	"Usage: stoa mutex create [OPTION]... NAME...\n"
	"\n"
	"Makes mutexes, and the directory of the space if there is none. A\n"
	"mutex that is there already is left as it is; the answer is no if it\n"
	"is of another kind than asked for.\n"
	"\n"
	" -k, --kind KIND      normal (default), recursive or checked\n"
	" -M, --mode OCTAL     permissions, set exactly; default 0600\n"
	" -x, --exclusive      the answer is no if it is there already\n"
	TOOL_HELP_COMMON;

static const struct option create_options[] = {
	TOOL_LONG,
	{ "kind", required_argument, NULL, 'k' },
	{ "mode", required_argument, NULL, 'M' },
	{ "exclusive", no_argument, NULL, 'x' },
	TOOL_LONG_END
};

struct create {
	struct tool_common common;
	struct stoa_mutex_attributes attributes;
	mode_t mode;
	bool exclusive, kind_given;
};

static int parse_kind(struct create *create, const char *text)
{
	create->kind_given = true;
	for (uint32_t i = 0; i < KINDS; i++) {
		if (strcmp(text, kind_names[i]))
			continue;
		create->attributes.kind = i;
		return TOOL_GO_ON;
	}
	return tool_usage(&create->common,
	                  "'%s' is not a kind: normal, recursive or checked",
	                  text);
}

static int create_option(struct create *create, int option)
{
	switch (option) {
	case 'k': return parse_kind(create, optarg);
	case 'M': return tool_parse_mode(&create->common, optarg,
	                                 &create->mode);
	case 'x': create->exclusive = true; return TOOL_GO_ON;
	default: return tool_common_option(&create->common, option);
	}
}

static int create_one(void *context, struct stoa_space *space,
                      const char *typed)
{
	const struct create *create = context;
	char buffer[STOA_NAME_MAX + 1];
	const char *name = tool_bare_name(typed, NOUN, buffer);
	struct stoa_mutex_status found;
	struct stoa_mutex *mutex;
	int result = stoa_mutex_open(space, name, STOA_CREATE | STOA_EXCLUSIVE,
	                             create->mode, &create->attributes, &mutex);

	if (result >= 0) {
		stoa_mutex_close(mutex);
		return TOOL_DONE;
	}
	result = tool_create_failed(&create->common, create->exclusive, typed,
	                            result);
	if (result != TOOL_GO_ON)
		return result;
	result = read_status(space, name, &found);
	if (result < 0)
		return tool_failure(result, typed);
	if (!create->kind_given || found.kind == create->attributes.kind)
		return TOOL_DONE;
	tool_error("mutex '%s' is there already, but is %s", name,
	           kind_name(found.kind));
	return create->common.no_exit;
}

static int run_create(int argc, char **argv)
{
	struct create create = {
		.common = TOOL_COMMON("mutex create", create_help),
		.attributes = { .size = sizeof create.attributes },
		.mode = TOOL_MODE_DEFAULT,
	};
	int option, result;

	while ((option = getopt_long(argc, argv, TOOL_SHORT "k:M:x",
	                             create_options, NULL)) != -1) {
		result = create_option(&create, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	return tool_each_name(&create.common, STOA_CREATE, argv + optind,
	                      "the name of the mutex", create_one, &create);
}

/* ---- lock -------------------------------------------------------------------- */

static const char lock_help[] =
	"Usage: stoa mutex lock [OPTION]... NAME [--] COMMAND [ARG]...\n"
	"       stoa mutex lock [OPTION]... -c COMMAND NAME\n"
	"\n"
	"Locks the mutex (made if there is none), runs the command, and unlocks\n"
	"when it ends. Its status is passed on; a command killed by signal N\n"
	"gives 128 + N. The answer is no if the mutex can't be had.\n"
	"\n"
	"If its last owner died with it, what it protects may be half changed:\n"
	"the command finds " DIED_VARIABLE "=1 in its environment. If it ends\n"
	"with 0 all is taken to be mended; else the next owner is told, too.\n"
	"\n"
	" -n, --nonblock       don't wait; the same as -w 0\n"
	" -w, --timeout SEC    wait at most SEC seconds; decimals are fine\n"
	" -c, --command CMD    run CMD by the shell\n"
	TOOL_HELP_COMMON;

static const struct option lock_options[] = {
	TOOL_LONG,
	TOOL_LONG_WAIT,
	{ "nonblock", no_argument, NULL, 'n' },
	{ "command", required_argument, NULL, 'c' },
	TOOL_LONG_END
};

struct lock {
	struct tool_common common;
	char *shell[4];
	char **command;
	const char *name;
};

static int lock_option(struct lock *lock, int option)
{
	switch (option) {
	case 'n': lock->common.timeout_ns = 0; return TOOL_GO_ON;
	case 'c': lock->shell[2] = optarg; return TOOL_GO_ON;
	default: return tool_common_option(&lock->common, option);
	}
}

static int lock_rest(struct lock *lock, int argc, char **argv)
{
	if (optind == argc)
		return tool_usage(&lock->common,
		                  "the name of the mutex is missing");
	lock->name = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	if (!lock->shell[2] == (optind == argc))
		return tool_usage(&lock->common,
		                  optind == argc ?
		                          "the command is missing" :
		                          "a command is there twice");
	lock->command = lock->shell[2] ? lock->shell : argv + optind;
	return TOOL_GO_ON;
}

/* Closing without unlocking gives it up as the dead do. */
static int run_orphan(struct lock *lock, struct stoa_mutex *mutex)
{
	setenv(DIED_VARIABLE, "1", 1);
	int code = tool_run(lock->command);

	if (code != TOOL_DONE) {
		tool_error("mutex '%s': its last owner died, and the command "
		           "has not mended that: the next will be told, too",
		           lock->name);
		return code;
	}
	stoa_mutex_consistent(mutex);
	stoa_mutex_unlock(mutex);
	return code;
}

static int lock_and_run(struct lock *lock, struct stoa_space *space)
{
	struct stoa_mutex *mutex;
	int code;
	int result = open_mutex(space, lock->name, STOA_CREATE, &mutex);

	if (result < 0)
		return tool_failure(result, lock->name);
	unsetenv(DIED_VARIABLE);
	result = stoa_mutex_lock(mutex, tool_deadline(&lock->common));
	if (result == 0) {
		code = tool_run(lock->command);
		result = stoa_mutex_unlock(mutex);
		if (result < 0)
			code = tool_failure(result, lock->name);
	} else if (result == -EOWNERDEAD) {
		code = run_orphan(lock, mutex);
	} else if (result == -EAGAIN || result == -ETIMEDOUT) {
		code = lock->common.no_exit;
	} else {
		code = tool_failure(result, lock->name);
	}
	stoa_mutex_close(mutex);
	return code;
}

static int run_lock(int argc, char **argv)
{
	struct lock lock = {
		.common = TOOL_COMMON("mutex lock", lock_help),
		.shell = { SHELL, "-c" },
	};
	struct stoa_space *space;
	int option, result;

	while ((option = getopt_long(argc, argv,
	                             "+" TOOL_SHORT TOOL_SHORT_WAIT "nc:",
	                             lock_options, NULL)) != -1) {
		result = lock_option(&lock, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = lock_rest(&lock, argc, argv);
	if (result != TOOL_GO_ON)
		return result;
	result = tool_open_space(&lock.common, STOA_CREATE, &space);
	if (result)
		return result;
	result = lock_and_run(&lock, space);
	stoa_space_close(space);
	return result;
}

/* ---- stat -------------------------------------------------------------------- */

enum column { NAME, KIND, STATE, PID, TID, SINCE, DEPTH, WAITING, USERS };

static const struct tool_column columns[] = {
	[NAME] = { "NAME", TOOL_TEXT, "name of the mutex" },
	[KIND] = { "KIND", TOOL_TEXT, "normal, recursive or checked" },
	[STATE] = { "STATE", TOOL_TEXT,
	            "free, locked, inconsistent, orphaned, lost" },
	[PID] = { "PID", TOOL_NUMBER, "owner's process, as it saw itself" },
	[TID] = { "TID", TOOL_NUMBER, "owner's thread, as it saw itself" },
	[SINCE] = { "SINCE", TOOL_TIME, "since when it is locked" },
	[DEPTH] = { "DEPTH", TOOL_NUMBER, "how often it is locked" },
	[WAITING] = { "WAITING", TOOL_NUMBER, "threads that sleep on it" },
	[USERS] = { "USERS", TOOL_NUMBER, "living handles" },
};

#define COLUMNS_USUAL "NAME,KIND,STATE,PID,TID,SINCE,DEPTH,WAITING,USERS"
#define COLUMNS_INSIDE "KIND,STATE,PID,TID,SINCE,DEPTH,WAITING"

static const char stat_help[] =
	"Usage: stoa mutex stat [OPTION]... [NAME]...\n"
	"\n"
	"Shows the mutexes named (shell patterns are fine), or all, one a line,\n"
	"and who has each and since when. Who waits is shown by stoa stat.\n"
	"\n"
	TOOL_HELP_TABLE TOOL_HELP_COMMON;

static struct tool_table new_table(const struct tool_table_options *options)
{
	return (struct tool_table){ .name = "mutexes",
		                    .columns = columns,
		                    .count = sizeof columns / sizeof *columns,
		                    .options = options };
}

static void fill_status(struct tool_table *table,
                        const struct stoa_mutex_status *status)
{
	static const char *const states[] = { "free", "locked", "inconsistent",
		                              "orphaned", "lost" };

	tool_table_text(table, KIND, kind_name(status->kind));
	tool_table_text(table, STATE,
	                status->state < sizeof states / sizeof *states ?
	                        states[status->state] :
	                        "unknown");
	if (status->state >= STOA_MUTEX_INCONSISTENT)
		tool_table_alert(table, STATE);
	tool_table_number(table, WAITING, status->waiters);
	if (!status->owner)
		return;
	tool_table_number(table, PID, (uint64_t)status->owner_pid);
	tool_table_number(table, TID, (uint64_t)status->owner_tid);
	tool_table_time(table, SINCE, status->owner_since_ns);
	tool_table_number(table, DEPTH, status->depth);
}

static int add_mutex(struct tool_table *table, struct stoa_space *space,
                     const struct stoa_object_info *object)
{
	struct stoa_mutex_status status;
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
		                                    add_mutex };

	return tool_run_stat(argc, argv, &stat, new_table(NULL), "mutex stat",
	                     stat_help);
}

/* ---- For stoa stat -------------------------------------------------------------- */

static int add_waiter(const struct stoa_mutex_waiter *waiter, void *context)
{
	tool_people_add(context, "waits", waiter->pid, waiter->tid, true,
	                waiter->since_ns);
	return 0;
}

int tool_mutex_inside(struct stoa_space *space, const char *name,
                      const struct tool_table_options *given,
                      struct tool_out *out)
{
	const struct tool_common common = TOOL_COMMON("stat", "");
	struct tool_table_options options = tool_inside_options(given);
	struct stoa_mutex_status status = { .size = sizeof status };
	struct tool_table table = new_table(&options);
	struct tool_people people;
	struct stoa_mutex *mutex;
	int result = open_mutex(space, name, 0, &mutex);

	if (result < 0)
		return tool_failure(result, name);
	result = stoa_mutex_stat(mutex, &status);
	if (result == 0 &&
	    tool_table_init(&table, &common, COLUMNS_INSIDE) == TOOL_GO_ON) {
		tool_table_line(&table);
		fill_status(&table, &status);
		tool_inside_print(&table, "mutex", out);
		tool_table_fini(&table);
		tool_people_start(&people, "waiters", &options, out);
		result = stoa_mutex_each_waiter(mutex, add_waiter, &people);
		tool_people_end(&people);
	}
	stoa_mutex_close(mutex);
	return result < 0 ? tool_failure(result, name) : TOOL_DONE;
}
