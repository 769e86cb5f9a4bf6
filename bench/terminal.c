/* SPDX-License-Identifier: MIT */
/*
 * Terminals: a command on the other core writes 64 MiB to its terminal. Read by
 * a bare loop of read(2) and write(2) on the controller; by stoa's keeper, to a
 * descriptor; and by the keeper of a session, with a client on that other core.
 */
#include "harness.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEBIBYTES 64
#define QUICK_MEBIBYTES 8
#define ROOM 65536
#define NAME "bench-terminal"
#define SECOND_NS INT64_C(1000000000)

struct stage {
	uint64_t bytes;
	char script[128];
};

/* Begins when something is typed. */
static void prepare(struct stage *stage)
{
	uint64_t mebibytes = bench_setup.quick ? QUICK_MEBIBYTES : MEBIBYTES;

	stage->bytes = mebibytes << 20;
	snprintf(stage->script, sizeof(stage->script),
	         "stty raw -echo; echo; head -n 1 >/dev/null;"
	         "exec head -c %lluM /dev/zero",
	         (unsigned long long)mebibytes);
}

static void move_to(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int open_null(void)
{
	return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static void report(struct bench_part *part, const struct stage *stage,
                   uint64_t begun)
{
	part->ticks = bench_tick() - begun;
	part->messages = stage->bytes;
}

/* ---- Bare -------------------------------------------------------------------------- */

static pid_t start_bare(const struct stage *stage, int controller, int terminal)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	close(controller);
	move_to(bench_setup.core[1]);
	stoa_terminal_lead(terminal);
	for (int fd = 0; fd < 3; fd++)
		dup2(terminal, fd);
	execlp("sh", "sh", "-c", stage->script, (char *)NULL);
	_exit(127);
}

static uint64_t copy_bare(int controller, int out)
{
	static char room[ROOM];
	uint64_t total = 0;
	ssize_t got;

	while ((got = read(controller, room, sizeof(room))) > 0) {
		if (write(out, room, (size_t)got) != got)
			break;
		total += (uint64_t)got;
	}
	return total;
}

static int play_bare(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;
	int controller, terminal, out = open_null();
	int result = stoa_terminal_pair(NULL, &controller, &terminal);
	uint64_t begun, total;
	char ready[16];
	pid_t pid;

	(void)index;
	if (result < 0 || out < 0)
		return bench_fail(part, result < 0 ? result : -EIO, "a pair");
	pid = start_bare(stage, controller, terminal);
	close(terminal);
	if (pid < 0 || read(controller, ready, sizeof(ready)) <= 0)
		return bench_fail(part, -EIO, "the command");
	bench_ready();
	begun = bench_tick();
	if (write(controller, "\n", 1) != 1)
		return bench_fail(part, -EIO, "typing");
	total = copy_bare(controller, out);
	report(part, stage, begun);
	waitpid(pid, NULL, 0);
	part->bad = total != stage->bytes;
	return 0;
}

/* ---- stoa's -------------------------------------------------------------------------- */

static int start(const struct stage *stage, struct stoa_space *space,
                 const char *name, struct stoa_terminal **ret_terminal)
{
	char *const argv[] = { "sh", "-c", (char *)stage->script, NULL };
	char ready[16];
	int result;

	move_to(bench_setup.core[1]);
	result = stoa_terminal_start(space, name, NULL, argv, ret_terminal);
	move_to(bench_setup.core[0]);
	if (result < 0)
		return result;
	/* The controller doesn't block. */
	while (read(stoa_terminal_controller(*ret_terminal), ready,
	            sizeof(ready)) <= 0)
		usleep(1000);
	return 0;
}

static int keep(struct stage *stage, struct stoa_terminal *terminal,
                struct bench_part *part, int out)
{
	struct stoa_terminal_status status;
	uint64_t begun;
	int result;

	stoa_terminal_join(terminal, -1, out);
	bench_ready();
	begun = bench_tick();
	result = (int)stoa_terminal_type(terminal, "\n", 1, STOA_FOREVER);
	if (result > 0)
		result = stoa_terminal_run(terminal, -1, STOA_FOREVER);
	report(part, stage, begun);
	stoa_terminal_status(terminal, &status);
	part->bad = !status.ended || status.code != 0;
	stoa_terminal_close(terminal, STOA_NOW);
	return result < 0 ? bench_fail(part, result, "keeping it") : 0;
}

static int play_pump(void *context, struct bench_part *part, int index)
{
	struct stoa_terminal *terminal;
	int result = start(context, NULL, NULL, &terminal);

	(void)index;
	if (result < 0)
		return bench_fail(part, result, "a terminal");
	return keep(context, terminal, part, open_null());
}

static int play_keeper(void *context, struct bench_part *part, int index)
{
	struct stoa_terminal *terminal;
	struct stoa_space *space;
	int result = stoa_space_open(bench_setup.space, 0, &space);

	(void)index;
	if (!result)
		result = start(context, space, NAME, &terminal);
	if (result < 0)
		return bench_fail(part, result, "a session");
	result = keep(context, terminal, part, -1);
	stoa_space_close(space);
	return result;
}

/* Sees what it can: the keeper doesn't wait for it. */
static int play_client(void *context, struct bench_part *part, int index)
{
	struct stoa_terminal_client *client;
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];
	struct stoa_space *space;
	int result = stoa_space_open(bench_setup.space, 0, &space);

	(void)context, (void)index;
	if (result < 0)
		return bench_fail(part, result, "the space");
	while ((result = stoa_terminal_attach(space, NAME, STOA_READ,
	                                      &client)) == -ENOENT)
		usleep(1000);
	if (result < 0)
		return bench_fail(part, result, "attaching");
	bench_ready();
	while ((result = stoa_terminal_next(client, buffer, sizeof(buffer),
	                                    stoa_deadline_in(60 * SECOND_NS),
	                                    &event)) == 0)
		part->messages += event.bytes;
	stoa_terminal_detach(client);
	stoa_space_close(space);
	return result == -EPIPE ? 0 : bench_fail(part, result, "watching");
}

/* ---- Rows ------------------------------------------------------------------------------ */

static int measure(const struct bench_row *row, struct bench_result *result,
                   const struct bench_role *roles, int count)
{
	struct stage stage;
	int failure;

	prepare(&stage);
	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	failure = bench_play(roles, count, &stage);
	if (failure)
		return failure;
	result->value = (double)bench_shared->part[0].messages /
	                bench_to_ns((double)bench_shared->part[0].ticks);
	bench_account(row, count, (double)stage.bytes, result);
	return 0;
}

#define MEASURE(way, ...)                                                  \
	static int measure_##way(const struct bench_row *row,              \
	                         struct bench_result *result)              \
	{                                                                  \
		static const struct bench_role roles[] = { __VA_ARGS__ };  \
                                                                           \
		return measure(row, result, roles,                         \
		               sizeof(roles) / sizeof(*roles));            \
	}
MEASURE(bare, { 0, play_bare })
MEASURE(pump, { 0, play_pump })
MEASURE(session, { 0, play_keeper }, { 1, play_client })

#define ROW(name, what, base, kind, way)                                   \
	{                                                                  \
		"terminal/" name, what, base, BENCH_TERMINAL, kind,        \
		BENCH_UNIT_GB, measure_##way, { .sleeping = true }         \
	}

static const struct bench_row rows[] = {
	ROW("bare", "read and write, bare", NULL, BENCH_KERNEL, bare),
	ROW("stoa", "stoa, to a descriptor", "terminal/bare", BENCH_STOA,
	    pump),
	ROW("stoa-session", "stoa, a session with a client", "terminal/bare",
	    BENCH_STOA, session),
};

BENCH_ADD(rows)
