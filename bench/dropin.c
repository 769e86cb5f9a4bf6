/* SPDX-License-Identifier: MIT */
/*
 * The drop-in beside the kernel: the same program, dropin-load, natively and
 * with libstoa-dropin.so preloaded. A row names its load: NAME of
 * "dropin/NAME" and "dropin/NAME-kernel".
 */
#include "harness.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD_MS 300
#define QUICK_MS 100
#define FIGURE_BYTES 64

static void become_load(const char *load, bool preloaded, int out)
{
	char program[300], library[300], ms[16], core[2][16];

	snprintf(program, sizeof(program), "%s/dropin-load",
	         bench_setup.directory);
	snprintf(library, sizeof(library), "%s/../libstoa-dropin.so",
	         bench_setup.directory);
	snprintf(ms, sizeof(ms), "%d", bench_setup.quick ? QUICK_MS : LOAD_MS);
	for (int i = 0; i < 2; i++)
		snprintf(core[i], sizeof(core[i]), "%d", bench_setup.core[i]);
	if (preloaded) {
		setenv("LD_PRELOAD", library, 1);
		setenv("STOA_SPACE", bench_setup.space, 1);
	}
	dup2(out, STDOUT_FILENO);
	execl(program, program, load, ms, core[0], core[1], (char *)NULL);
	_exit(127);
}

/* What the load prints, or a negative number. */
static double run_load(const char *load, bool preloaded)
{
	char text[FIGURE_BYTES] = "";
	int ends[2], status = -1;
	ssize_t got;
	pid_t child;

	if (pipe(ends))
		return -1;
	child = fork();
	if (child == 0) {
		close(ends[0]);
		become_load(load, preloaded, ends[1]);
	}
	close(ends[1]);
	got = child < 0 ? -1 : read(ends[0], text, sizeof(text) - 1);
	close(ends[0]);
	if (child > 0)
		waitpid(child, &status, 0);
	return got > 0 && status == 0 ? atof(text) : -1;
}

static int measure(const struct bench_row *row, struct bench_result *result)
{
	const char *name = strchr(row->name, '/') + 1;
	char load[FIGURE_BYTES];
	double figure;

	snprintf(load, sizeof(load), "%s", name);
	if (row->kind == BENCH_KERNEL)
		load[strlen(load) - strlen("-kernel")] = '\0';
	figure = run_load(load, row->kind == BENCH_STOA);
	if (figure < 0)
		return -EIO;
	result->value = figure;
	return 0;
}

#define BOTH(name, what, group, is_alone, on_one_core)                     \
	{ "dropin/" name "-kernel", what ", the kernel's", NULL, group,    \
	  BENCH_KERNEL, BENCH_UNIT_NS, measure,                            \
	  { .bytes = 64, .alone = is_alone, .one_core = on_one_core } },   \
	{                                                                  \
		"dropin/" name, what ", drop-in", "dropin/" name "-kernel", \
			group, BENCH_STOA, BENCH_UNIT_NS, measure,         \
		{                                                          \
			.bytes = 64, .alone = is_alone,                    \
			.one_core = on_one_core                            \
		}                                                          \
	}

static const struct bench_row dropin_rows[] = {
	BOTH("mq-pair", "mq_send, mq_receive, one process", BENCH_DROPIN, true,
	     false),
	BOTH("mq-stream", "mq, 64 B from one to another", BENCH_DROPIN, false,
	     false),
	BOTH("mq-ping-1", "mq, question and answer, one core", BENCH_DROPIN,
	     false, true),
	BOTH("mq-ping-2", "mq, question and answer, two cores", BENCH_DROPIN,
	     false, false),
	BOTH("msg-pair", "msgsnd, msgrcv, one process", BENCH_DROPIN, true,
	     false),
	BOTH("msg-stream", "msgsnd, 64 B from one to another", BENCH_DROPIN,
	     false, false),
	BOTH("msg-ping-1", "msgsnd, question and answer, one core",
	     BENCH_DROPIN, false, true),
	BOTH("msg-ping-2", "msgsnd, question and answer, two cores",
	     BENCH_DROPIN, false, false),
	BOTH("semop", "semop, nobody waits", BENCH_DROPIN, true, false),
	BOTH("semop-undo", "semop with SEM_UNDO, nobody waits", BENCH_DROPIN,
	     true, false),
	BOTH("semop-ping-1", "semop, question and answer, one core",
	     BENCH_DROPIN, false, true),
	BOTH("semop-ping-2", "semop, question and answer, two cores",
	     BENCH_DROPIN, false, false),
	BOTH("sem", "sem_wait, sem_post, nobody waits", BENCH_DROPIN, true,
	     false),
	BOTH("sem-ping-1", "sem_wait, question and answer, one core",
	     BENCH_DROPIN, false, true),
	BOTH("sem-ping-2", "sem_wait, question and answer, two cores",
	     BENCH_DROPIN, false, false),
	BOTH("shm-cycle", "shmget, shmat, shmdt, IPC_RMID", BENCH_DROPIN, true,
	     false),
};
BENCH_ADD(dropin_rows)
