/* SPDX-License-Identifier: MIT */
/* ipcrm.c: stoa ipcrm: removes System V objects from a space, as ipcrm(1) does
 * from the kernel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dropin.h"

static const char help[] =
	"Usage: stoa ipcrm [OPTION]...\n"
	"       stoa ipcrm shm|msg|sem ID...\n"
	"\n"
	"Removes System V objects of programs run by stoa run, as ipcrm(1)\n"
	"removes the kernel's.\n"
	"\n"
	" -m, --shmem-id ID        shared memory, by its identifier\n"
	" -M, --shmem-key KEY      shared memory, by its key\n"
	" -q, --queue-id ID        a message queue\n"
	" -Q, --queue-key KEY\n"
	" -s, --semaphore-id ID    a semaphore set\n"
	" -S, --semaphore-key KEY\n"
	" -a, --all[=shm|msg|sem]  all, or all of a kind\n"
	" -v, --verbose            tell what is removed\n"
	"\n"
	"     --space NAME|DIR     the space; default $STOA_SPACE, else\n"
	"                          /dev/shm/stoa-UID\n"
	" -h, --help               this text\n"
	" -V, --version            the version\n";

enum { SPACE = TOOL_OPTION_FIRST };

static const struct option options[] = {
	{ "shmem-id", required_argument, NULL, 'm' },
	{ "shmem-key", required_argument, NULL, 'M' },
	{ "queue-id", required_argument, NULL, 'q' },
	{ "queue-key", required_argument, NULL, 'Q' },
	{ "semaphore-id", required_argument, NULL, 's' },
	{ "semaphore-key", required_argument, NULL, 'S' },
	{ "all", optional_argument, NULL, 'a' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "space", required_argument, NULL, SPACE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	TOOL_LONG_END
};

enum kind { MEMORY, QUEUE, SET, KINDS };

/* One thing to remove. */
struct target {
	enum kind kind;
	bool is_key;
	int number;
	const char *typed;
};

struct remove {
	struct tool_common common;
	struct tool_dropin dropin;
	struct target *targets;
	size_t count;
	bool all[KINDS], verbose, said_no;
};

/* ---- Removing ------------------------------------------------------------- */

static int call_get(const struct remove *remove, const struct target *target)
{
	switch (target->kind) {
	case MEMORY: return remove->dropin.shmget(target->number, 0, 0);
	case QUEUE: return remove->dropin.msgget(target->number, 0);
	default: return remove->dropin.semget(target->number, 0, 0);
	}
}

static int call_remove(const struct remove *remove, enum kind kind, int id)
{
	const union tool_semun none = { 0 };

	switch (kind) {
	case MEMORY: return remove->dropin.shmctl(id, IPC_RMID, NULL);
	case QUEUE: return remove->dropin.msgctl(id, IPC_RMID, NULL);
	default: return remove->dropin.semctl(id, 0, IPC_RMID, none);
	}
}

/* Of EINVAL, ENOENT and the like. 0: it is no answer but a failure. */
static const char *answer(int error)
{
	switch (error) {
	case EACCES:
	case EPERM: return "permission denied for";
	case EINVAL:
	case ENOENT: return "invalid";
	case EIDRM: return "already removed";
	default: return NULL;
	}
}

/* 0 or an exit code. */
static int complain(struct remove *remove, const struct target *target)
{
	const char *says = answer(errno);
	const char *what = target->is_key ? "key" : "id";

	if (!says)
		return tool_error("%s %s: %s", what, target->typed,
		                  strerror(errno));
	tool_error("%s %s (%s)", says, what, target->typed);
	remove->said_no = true;
	return 0;
}

static int remove_one(struct remove *remove, const struct target *target)
{
	static const char *const names[] = {
		[MEMORY] = "shared memory segment",
		[QUEUE] = "message queue",
		[SET] = "semaphore",
	};
	int id = target->is_key ? call_get(remove, target) : target->number;

	if (id >= 0 && remove->verbose)
		printf("removing %s id `%d'\n", names[target->kind], id);
	if (id < 0 || call_remove(remove, target->kind, id) < 0)
		return complain(remove, target);
	return 0;
}

/* The identifier at an index, -1: none. */
static int call_stat(const struct remove *remove, enum kind kind, int index)
{
	union {
		struct shmid_ds memory;
		struct msqid_ds queue;
		struct semid_ds set;
	} ds;

	switch (kind) {
	case MEMORY:
		return remove->dropin.shmctl(index, SHM_STAT_ANY, &ds.memory);
	case QUEUE:
		return remove->dropin.msgctl(index, MSG_STAT_ANY, &ds.queue);
	default:
		return remove->dropin.semctl(
			index, 0, SEM_STAT_ANY,
			(union tool_semun){ .buf = &ds.set });
	}
}

static int call_highest(const struct remove *remove, enum kind kind)
{
	struct shm_info memory;
	struct msginfo queues;
	struct seminfo sets;

	switch (kind) {
	case MEMORY: return remove->dropin.shmctl(0, SHM_INFO, (void *)&memory);
	case QUEUE: return remove->dropin.msgctl(0, MSG_INFO, (void *)&queues);
	default:
		return remove->dropin.semctl(
			0, 0, SEM_INFO, (union tool_semun){ .info = &sets });
	}
}

static int remove_kind(struct remove *remove, enum kind kind)
{
	int highest = call_highest(remove, kind), result = 0;

	if (highest < 0)
		return tool_error("can't list: %s", strerror(errno));
	for (int index = 0; index <= highest && !result; index++) {
		char typed[TOOL_TEXT_MAX];
		struct target target = {
			.kind = kind,
			.number = call_stat(remove, kind, index),
			.typed = typed,
		};

		snprintf(typed, sizeof typed, "%d", target.number);
		if (target.number >= 0)
			result = remove_one(remove, &target);
	}
	return result;
}

static int remove_all(struct remove *remove)
{
	int result = 0;

	for (size_t i = 0; i < remove->count && !result; i++)
		result = remove_one(remove, &remove->targets[i]);
	for (enum kind kind = 0; kind < KINDS && !result; kind++)
		if (remove->all[kind])
			result = remove_kind(remove, kind);
	if (result)
		return result;
	return remove->said_no ? remove->common.no_exit : TOOL_DONE;
}

/* ---- What was typed ------------------------------------------------------- */

/* Keys may be hexadecimal; identifiers are decimal. */
static int add_target(struct remove *remove, enum kind kind, bool is_key,
                      const char *typed)
{
	char *end;
	long long number = strtoll(typed, &end, is_key ? 0 : 10);

	if (!*typed || *end || number < 0 ||
	    number > (is_key ? (long long)UINT32_MAX : INT32_MAX))
		return tool_usage(&remove->common,
		                  "failed to parse argument: '%s'", typed);
	if (is_key && number == IPC_PRIVATE)
		return tool_usage(&remove->common, "illegal key (%s)", typed);
	remove->targets[remove->count++] = (struct target){
		.kind = kind,
		.is_key = is_key,
		.number = (int)number,
		.typed = typed,
	};
	return TOOL_GO_ON;
}

/* "shm", "msg", "sem"; -EINVAL. */
static int parse_kind(const char *word)
{
	static const char *const words[] = { "shm", "msg", "sem" };

	for (int kind = 0; kind < KINDS; kind++)
		if (!strcmp(word, words[kind]))
			return kind;
	return -EINVAL;
}

static int parse_all(struct remove *remove)
{
	int kind = optarg ? parse_kind(optarg) : KINDS;

	if (kind < 0)
		return tool_usage(&remove->common, "unknown argument: %s",
		                  optarg);
	for (int i = 0; i < KINDS; i++)
		if (kind == KINDS || kind == i)
			remove->all[i] = true;
	return TOOL_GO_ON;
}

static int parse_option(struct remove *remove, int option)
{
	switch (option) {
	case 'm': return add_target(remove, MEMORY, false, optarg);
	case 'M': return add_target(remove, MEMORY, true, optarg);
	case 'q': return add_target(remove, QUEUE, false, optarg);
	case 'Q': return add_target(remove, QUEUE, true, optarg);
	case 's': return add_target(remove, SET, false, optarg);
	case 'S': return add_target(remove, SET, true, optarg);
	case 'a': return parse_all(remove);
	case 'v': remove->verbose = true; return TOOL_GO_ON;
	case SPACE: remove->common.space = optarg; return TOOL_GO_ON;
	default: return tool_common_option(&remove->common, option);
	}
}

/* The old way: "shm 1 2 3". */
static int parse_words(struct remove *remove, int argc, char **argv)
{
	int kind, result;

	if (optind == argc)
		return TOOL_GO_ON;
	kind = parse_kind(argv[optind]);
	if (kind < 0)
		return tool_usage(&remove->common, "unknown argument: %s",
		                  argv[optind]);
	if (++optind == argc)
		return tool_usage(&remove->common, "not enough arguments");
	for (; optind < argc; optind++) {
		result = add_target(remove, (enum kind)kind, false,
		                    argv[optind]);
		if (result != TOOL_GO_ON)
			return result;
	}
	return TOOL_GO_ON;
}

static int parse(struct remove *remove, int argc, char **argv)
{
	int option, result;

	while ((option = getopt_long(argc, argv, "m:M:q:Q:s:S:a::vhV", options,
	                             NULL)) != -1) {
		result = parse_option(remove, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	result = parse_words(remove, argc, argv);
	if (result != TOOL_GO_ON)
		return result;
	if (!remove->count && !remove->all[MEMORY] && !remove->all[QUEUE] &&
	    !remove->all[SET])
		return tool_usage(&remove->common, "what to remove is missing");
	return TOOL_GO_ON;
}

int tool_ipcrm(int argc, char **argv)
{
	struct remove remove = { .common = TOOL_COMMON("ipcrm", help) };
	int result;

	remove.targets = calloc((size_t)argc, sizeof *remove.targets);
	if (!remove.targets)
		return tool_error("no memory");
	result = parse(&remove, argc, argv);
	if (result == TOOL_GO_ON) {
		result = tool_dropin_open(remove.common.space, &remove.dropin);
		if (!result)
			result = remove_all(&remove);
	}
	free(remove.targets);
	return result;
}
