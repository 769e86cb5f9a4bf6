/* SPDX-License-Identifier: MIT */
/*
 * Commands: run with input and output by pipes, until they have ended, beside
 * posix_spawn(3) with pipes and poll(2) by hand: /bin/true, also with 2 GiB in
 * the caller's memory, and cat with 1 MiB both ways.
 */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALONE_MS 400
#define MUCH (1 << 20)
#define LARGE (UINT64_C(2) << 30)
#define CHUNK 65536

enum way { SPAWN, STOA };

struct stage {
	enum way way;
	size_t bytes; /* both ways; 0: /bin/true */
	char *large;  /* memory that the caller has */
	size_t large_bytes;
	char *input, *output;
	size_t output_bytes;
	struct stoa_process_exchange exchange;
	uint64_t duration;
};

static char *const true_words[] = { "/bin/true", NULL };
static char *const cat_words[] = { "/bin/cat", NULL };

/* ---- By hand --------------------------------------------------------------- */

static int spawn_with_pipes(char *const *words, int fds[2], pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int in[2], out[2], result;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	result = posix_spawn(ret_pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	fds[0] = out[0];
	fds[1] = in[1];
	return -result;
}

static int feed(struct stage *stage, int *fd, size_t *at)
{
	ssize_t put = stage->bytes > *at ?
	                      write(*fd, stage->input + *at,
	                            stage->bytes - *at) :
	                      0;

	if (put < 0 && errno != EAGAIN)
		return -errno;
	*at += put > 0 ? (size_t)put : 0;
	if (*at < stage->bytes)
		return 0;
	close(*fd);
	*fd = -1;
	return 0;
}

static int both_ways(struct stage *stage, int fds[2])
{
	struct pollfd polls[] = { { fds[1], POLLOUT, 0 },
		                  { fds[0], POLLIN, 0 } };
	size_t at = 0;

	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	stage->output_bytes = 0;
	while (polls[1].fd >= 0) {
		if (poll(polls, 2, -1) < 0)
			return -errno;
		if (polls[0].revents && feed(stage, &polls[0].fd, &at) < 0)
			return -EIO;
		if (!polls[1].revents)
			continue;
		ssize_t got = read(polls[1].fd,
		                   stage->output + stage->output_bytes, CHUNK);
		if (got < 0)
			return -errno;
		stage->output_bytes += (size_t)got;
		if (got == 0) {
			close(polls[1].fd);
			polls[1].fd = -1;
		}
	}
	return 0;
}

static int spawn_round(struct stage *stage)
{
	int fds[2] = { -1, -1 }, status, result;
	pid_t pid;

	result = spawn_with_pipes(stage->bytes ? cat_words : true_words, fds,
	                          &pid);
	if (result == 0)
		result = both_ways(stage, fds);
	if (result == 0 && waitpid(pid, &status, 0) != pid)
		result = -errno;
	return result;
}

/* ---- stoa ------------------------------------------------------------------ */

static int stoa_round(struct stage *stage)
{
	const struct stoa_process_attributes attributes = {
		.size = sizeof(attributes),
		.in = { .how = STOA_PROCESS_PIPE },
		.out = { .how = STOA_PROCESS_PIPE }
	};
	const struct stoa_process_command command = {
		stage->bytes ? cat_words : true_words, &attributes
	};
	struct stoa_process_exchange *exchange = &stage->exchange;
	int result;

	/* The same memory each time, as by hand. */
	exchange->size = sizeof(*exchange);
	exchange->input = stage->input;
	exchange->input_bytes = stage->bytes;
	exchange->taken_bytes = exchange->output_bytes = 0;
	result = stoa_process_run(&command, 1, exchange, STOA_FOREVER, 0, NULL);
	stage->output_bytes = exchange->output_bytes;
	return result;
}

/* ---- A run ----------------------------------------------------------------- */

static int run_round(struct stage *stage)
{
	int result = stage->way == STOA ? stoa_round(stage) :
	                                  spawn_round(stage);

	return result < 0                            ? result :
	       stage->output_bytes != stage->bytes ? -EBADMSG :
	                                             0;
}

/* The command may have the other core. */
static void use_both_cores(void)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(bench_setup.core[0], &cores);
	CPU_SET(bench_setup.core[1], &cores);
	sched_setaffinity(0, sizeof(cores), &cores);
}

static int play(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;
	uint32_t samples = 0;
	uint64_t first, end;
	int result;

	(void)index;
	use_both_cores();
	result = run_round(stage);
	bench_ready();
	end = bench_tick() + stage->duration;
	while (!result && bench_tick() < end && samples < BENCH_SAMPLES) {
		first = bench_tick();
		result = run_round(stage);
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	}
	part->messages = samples;
	bench_shared->samples = samples;
	return result < 0 ? bench_fail(part, result, "a round") : 0;
}

static int open_stage(struct stage *stage)
{
	stage->input = malloc(MUCH);
	stage->output = malloc(MUCH + CHUNK);
	if (!stage->input || !stage->output)
		return -ENOMEM;
	memset(stage->input, 'x', MUCH);
	if (!stage->large_bytes)
		return 0;
	stage->large = mmap(NULL, stage->large_bytes, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return stage->large == MAP_FAILED ? -errno : 0;
}

static void close_stage(struct stage *stage)
{
	stoa_process_exchange_fini(&stage->exchange);
	free(stage->input);
	free(stage->output);
	if (stage->large && stage->large != MAP_FAILED)
		munmap(stage->large, stage->large_bytes);
}

static int measure(const struct bench_row *row, struct bench_result *result)
{
	const struct bench_role role = { 0, play };
	struct stage stage = { .way = (enum way)row->spec.order,
		               .bytes = row->spec.bytes,
		               .large_bytes = (size_t)row->spec.depth << 20 };
	int failure = open_stage(&stage);

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	stage.duration = bench_duration_ticks(ALONE_MS);
	if (!failure)
		failure = bench_play(&role, 1, &stage);
	if (!failure) {
		bench_percentiles(result, 1);
		bench_account(row, 1, (double)bench_shared->part[0].messages,
		              result);
	}
	close_stage(&stage);
	return failure;
}

/* ---- Rows ------------------------------------------------------------------ */

#define ROW(name, what, base, kind, how, both, mapped)                   \
	{                                                                \
		"process/" name, what, base, BENCH_PROCESS, kind,        \
		BENCH_UNIT_NS, measure,                                  \
		{ .order = how, .bytes = both, .depth = mapped,          \
		  .alone = true }                                        \
	}

static const struct bench_row process_rows[] = {
	ROW("spawn-true", "posix_spawn, /bin/true", NULL, BENCH_KERNEL, SPAWN,
	    0, 0),
	ROW("stoa-true", "stoa, /bin/true", "process/spawn-true", BENCH_STOA,
	    STOA, 0, 0),
	ROW("spawn-true-2g", "posix_spawn, /bin/true, by one of 2 GiB", NULL,
	    BENCH_KERNEL, SPAWN, 0, LARGE >> 20),
	ROW("stoa-true-2g", "stoa, /bin/true, by one of 2 GiB",
	    "process/spawn-true-2g", BENCH_STOA, STOA, 0, LARGE >> 20),
	ROW("spawn-cat-1m", "posix_spawn, cat, 1 MiB both ways", NULL,
	    BENCH_KERNEL, SPAWN, MUCH, 0),
	ROW("stoa-cat-1m", "stoa, cat, 1 MiB both ways",
	    "process/spawn-cat-1m", BENCH_STOA, STOA, MUCH, 0),
};

BENCH_ADD(process_rows)
