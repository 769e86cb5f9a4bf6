/* SPDX-License-Identifier: MIT */
/* ipcmk.c: stoa ipcmk: makes System V objects in a space, as ipcmk(1) does in
 * the kernel. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "dropin.h"

#define MODE_USUAL 0644
#define MODE_BITS 0777
#define KEY_TRIES 64 /* at finding a key that nobody has */

static const char help[] =
	"Usage: stoa ipcmk [OPTION]...\n"
	"\n"
	"Makes System V objects for programs run by stoa run, as ipcmk(1) "
        "does\n"
	"in the kernel, and prints their identifiers. Keys are chosen at "
        "random.\n"
	"\n"
	" -M, --shmem SIZE       a shared memory segment of that size\n"
	" -S, --semaphore NUMBER a set of so many semaphores\n"
	" -Q, --queue            a message queue\n"
	" -p, --mode MODE        permissions, octal (default 0644)\n"
	"\n"
	"     --space NAME|DIR   the space; default $STOA_SPACE, else\n"
	"                        /dev/shm/stoa-UID\n"
	" -h, --help             this text\n"
	" -V, --version          the version\n";

enum { SPACE = TOOL_OPTION_FIRST };

static const struct option options[] = {
	{ "shmem", required_argument, NULL, 'M' },
	{ "semaphore", required_argument, NULL, 'S' },
	{ "queue", no_argument, NULL, 'Q' },
	{ "mode", required_argument, NULL, 'p' },
	{ "space", required_argument, NULL, SPACE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	TOOL_LONG_END
};

struct make {
	struct tool_common common;
	struct tool_dropin dropin;
	bool queue, memory, set;
	uint64_t memory_bytes, semaphores;
	unsigned mode;
};

static int make_memory(const struct make *make, key_t key, int flags)
{
	return make->dropin.shmget(key, make->memory_bytes, flags);
}

static int make_set(const struct make *make, key_t key, int flags)
{
	return make->dropin.semget(key, (int)make->semaphores, flags);
}

static int make_queue(const struct make *make, key_t key, int flags)
{
	return make->dropin.msgget(key, flags);
}

/* 0 or an exit code. */
static int make_one(const struct make *make, const char *what,
                    int (*get)(const struct make *, key_t, int))
{
	int flags = IPC_CREAT | IPC_EXCL | (int)make->mode, id = -1;

	errno = EEXIST;
	for (int i = 0; i < KEY_TRIES && id < 0 && errno == EEXIST; i++) {
		key_t key = IPC_PRIVATE;

		if (getrandom(&key, sizeof key, 0) == sizeof key &&
		    key != IPC_PRIVATE)
			id = get(make, key, flags);
	}
	if (id < 0)
		return tool_error("can't make a %s: %s", what, strerror(errno));
	printf("%c%s id: %d\n", what[0] - 'a' + 'A', what + 1, id);
	return 0;
}

static int make_all(const struct make *make)
{
	int result = 0;

	if (make->memory)
		result = make_one(make, "shared memory", make_memory);
	if (!result && make->queue)
		result = make_one(make, "message queue", make_queue);
	if (!result && make->set)
		result = make_one(make, "semaphore", make_set);
	return result;
}

static int parse_mode(struct make *make)
{
	if (strspn(optarg, "01234567") != strlen(optarg) || !*optarg ||
	    sscanf(optarg, "%o", &make->mode) != 1 || make->mode > MODE_BITS)
		return tool_usage(&make->common, "'%s' is no mode: 0644",
		                  optarg);
	return TOOL_GO_ON;
}

static int parse_option(struct make *make, int option)
{
	switch (option) {
	case 'Q': make->queue = true; return TOOL_GO_ON;
	case 'M':
		make->memory = true;
		if (tool_parse_size(optarg, &make->memory_bytes) == 0)
			return TOOL_GO_ON;
		return tool_usage(&make->common, "'%s' is no size", optarg);
	case 'S':
		make->set = true;
		if (tool_parse_number(optarg, INT32_MAX, &make->semaphores) ==
		    0)
			return TOOL_GO_ON;
		return tool_usage(&make->common,
		                  "'%s' is no number of "
		                  "semaphores",
		                  optarg);
	case 'p': return parse_mode(make);
	case SPACE: make->common.space = optarg; return TOOL_GO_ON;
	default: return tool_common_option(&make->common, option);
	}
}

int tool_ipcmk(int argc, char **argv)
{
	struct make make = { .common = TOOL_COMMON("ipcmk", help),
		             .mode = MODE_USUAL };
	int option, result;

	while ((option = getopt_long(argc, argv, "M:S:Qp:hV", options, NULL)) !=
	       -1) {
		result = parse_option(&make, option);
		if (result != TOOL_GO_ON)
			return result;
	}
	if (optind < argc)
		return tool_usage(&make.common, "'%s' is one argument too many",
		                  argv[optind]);
	if (!make.memory && !make.queue && !make.set)
		return tool_usage(&make.common, "what to make is missing: -M, "
		                                "-S or -Q");
	result = tool_dropin_open(make.common.space, &make.dropin);
	return result ? result : make_all(&make);
}
