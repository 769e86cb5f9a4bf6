/* SPDX-License-Identifier: MIT */
/* stoa: one command for people and scripts. This file picks the verb. */
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

const char *tool_space_path;

static const struct tool_verb verbs[] = {
	{ "ls", tool_ls, "list the objects of a space" },
	{ "stat", tool_stat, "show objects, and who uses them" },
	{ "rm", tool_rm, "remove objects" },
	{ "clean", tool_clean, "give back what dead processes held" },
	{ "queue", tool_queue,
	  "create, send, recv, take, peek, purge, stat, bench" },
	{ "mutex", tool_mutex, "create, lock, stat" },
	{ "sem", tool_sem, "create, wait, post, value, stat, rm" },
	{ "semset", tool_semset, "create, op, get, set, stat" },
	{ "barrier", tool_barrier, "create, wait, stat" },
	{ "lock", tool_lock, "run a command while a lock is held" },
	{ "segment", tool_segment,
	  "create, ls, read, write, resize, seal, attach-count, stat, rm" },
	{ "mapping", tool_mapping, "resident, advise, cat" },
	{ "port", tool_port, "create, serve, call, stat, tune" },
	{ "heap", tool_heap, "create, stat, roots, rm" },
	{ "pool", tool_pool, "create, stat, blocks, rm" },
	{ "stream", tool_stream,
	  "create, write, read, copy, stat, resize, rm" },
	{ "topic", tool_topic,
	  "create, pub, sub, echo, hz, latest, record, replay, stat, rm" },
	{ "fifo", tool_fifo, "create, write, read" },
	{ "signal", tool_signal, "send, wait, list, watch" },
	{ "datagram", tool_datagram, "send, recv, rm" },
	{ "descriptor", tool_descriptor, "offer, fetch, rm" },
	{ "terminal", tool_terminal,
	  "start, attach, ls, record, replay, size, rm" },
	{ "process", tool_process, "run" },
	{ "run", tool_dropin_run,
	  "run a program with its IPC answered by stoa" },
	{ "ipcs", tool_ipcs, "list the System V objects of such programs" },
	{ "ipcmk", tool_ipcmk, "make System V objects" },
	{ "ipcrm", tool_ipcrm, "remove System V objects" },
	{ "bench", tool_queue_bench, "measure stoa on this machine" },
	{ "demo", stoa_tool_demo, "one real job by several processes" },
	{ NULL, NULL, NULL }
};

const struct tool_verb *tool_find_verb(const struct tool_verb *list,
                                       const char *name)
{
	for (; list->name; list++)
		if (!strcmp(list->name, name))
			return list;
	return NULL;
}

void tool_print_verbs(const struct tool_verb *list)
{
	for (; list->name; list++)
		printf(" %-10s %s\n", list->name, list->summary);
}

static void print_help(void)
{
	puts("Usage: stoa [-S DIR] VERB [OPTION]... [ARGUMENT]...\n"
	     "\n"
	     "Interprocess communication over shared memory.\n"
	     "\n"
	     "Verbs:");
	tool_print_verbs(verbs);
	puts("\n"
	     "Options:\n"
	     " -S, --space DIR      the space; default $STOA_SPACE, else\n"
	     "                      /dev/shm/stoa-UID\n"
	     " -h, --help           this text\n"
	     " -V, --version        the version\n"
	     "\n"
	     "Exit codes: 0 done, 1 the answer is no, 2 usage, 3 failure.\n"
	     "More: stoa VERB --help, and the manual, stoa(1).");
}

static int run_verb(int argc, char **argv)
{
	const struct tool_common common = TOOL_COMMON("", "");
	const struct tool_verb *verb;
	int result;

	if (!argc)
		return tool_usage(&common, "a verb is missing");
	verb = tool_find_verb(verbs, argv[0]);
	if (!verb)
		return tool_usage(&common, "there is no verb '%s'", argv[0]);
	result = stoa_guard();
	if (result < 0)
		return tool_failure(result, "guarding against truncation");
	argv[0] = "stoa";
	optind = 0;
	return verb->run(argc, argv);
}

/* A standard descriptor that is closed would else be the number of the next
 * file opened, and messages would be written into that. Opened the wrong way
 * round, it goes on failing. */
static void fill_closed(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null",
			     fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { TOOL_LONG, TOOL_LONG_END };
	struct tool_common common = TOOL_COMMON("", "");
	int option;

	fill_closed();
	setlocale(LC_CTYPE, "");
	argv[0] = "stoa";
	while ((option = getopt_long(argc, argv, "+S:hV", options, NULL)) !=
	       -1) {
		switch (option) {
		case 'S': tool_space_path = optarg; break;
		case 'h': print_help(); return tool_close_stdout(TOOL_DONE);
		case 'V':
			printf("stoa %s\n", stoa_version());
			return tool_close_stdout(TOOL_DONE);
		default: return tool_usage(&common, NULL);
		}
	}
	return tool_close_stdout(run_verb(argc - optind, argv + optind));
}
