/* SPDX-License-Identifier: MIT */
/*
 * Mutexes: stoa's and glibc's robust process-shared one, alone and among
 * processes that all want it; and how soon the next has it when its owner is
 * killed, beside how soon the kernel says so at all.
 */
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALONE_MS 60
#define CONTENDED_MS 400
#define BATCH 32
#define LOCKS_A_SAMPLE 16 /* the clock costs as much as the lock */
#define KILLS 5
#define ASLEEP_US 30000 /* until whoever waits for the dead sleeps for sure */
#define PAGE 4096

enum way { GLIBC, STOA, STOA_NAMED };

/* In memory that all processes of a run share. */
struct shared {
	pthread_mutex_t glibc;
	_Alignas(256) char place[512];
	_Alignas(256) uint64_t counter; /* what the mutex protects */
	_Alignas(64) uint32_t samples[BENCH_PROCESSES];
	uint64_t killed, dead; /* ticks; dead: says the kernel */
};

struct stage {
	const struct bench_row *row;
	struct shared *shared;
	struct stoa_space *space;
	struct stoa_mutex *mutex;
	uint64_t duration;
	int processes;
};

/* ---- The ways -------------------------------------------------------------- */

static int open_glibc(struct stage *stage)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	return -pthread_mutex_init(&stage->shared->glibc, &attributes);
}

static int open_stage(struct stage *stage)
{
	int result;

	stage->shared = mmap(NULL, sizeof(*stage->shared),
	                     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	                     -1, 0);
	if (stage->shared == MAP_FAILED)
		return -errno;
	if (stage->row->spec.order == GLIBC)
		return open_glibc(stage);
	result = stoa_space_open(bench_setup.space, 0, &stage->space);
	if (result < 0)
		return result;
	if (stage->row->spec.order == STOA_NAMED)
		return stoa_mutex_open(stage->space, "bench-mutex", STOA_CREATE,
		                       0600, NULL, &stage->mutex);
	return stoa_mutex_place(stage->space, stage->shared->place,
	                        sizeof(stage->shared->place), STOA_CREATE, NULL,
	                        &stage->mutex);
}

static void close_stage(struct stage *stage)
{
	stoa_mutex_close(stage->mutex);
	if (stage->space) {
		stoa_mutex_unlink(stage->space, "bench-mutex");
		stoa_space_close(stage->space);
	}
	if (stage->shared && stage->shared != MAP_FAILED)
		munmap(stage->shared, sizeof(*stage->shared));
}

static inline int lock(struct stage *stage, bool glibc)
{
	return glibc ? -pthread_mutex_lock(&stage->shared->glibc) :
	               stoa_mutex_lock(stage->mutex, STOA_FOREVER);
}

static inline int unlock(struct stage *stage, bool glibc)
{
	return glibc ? -pthread_mutex_unlock(&stage->shared->glibc) :
	               stoa_mutex_unlock(stage->mutex);
}

/* ---- Alone ------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int
play_alone(struct stage *stage, struct bench_part *part, bool glibc)
{
	uint32_t samples = 0;
	uint64_t first, end;
	int result = 0;

	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		first = bench_tick();
		for (int i = 0; i < BATCH; i++) {
			result |= lock(stage, glibc);
			result |= unlock(stage, glibc);
		}
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	} while (!result && bench_tick() < end && samples < BENCH_SAMPLES);
	part->messages = (uint64_t)samples * BATCH;
	bench_shared->samples = samples;
	return result ? bench_fail(part, -EIO, "locking") : 0;
}

static int play_alone_either(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;

	(void)index;
	return stage->row->spec.order == GLIBC ? play_alone(stage, part, true) :
	                                         play_alone(stage, part, false);
}

static int measure_alone(const struct bench_row *row,
                         struct bench_result *result)
{
	const struct bench_role role = { 0, play_alone_either };
	struct stage stage = { .row = row };
	int failure = open_stage(&stage);

	stage.duration = bench_duration_ticks(ALONE_MS);
	if (!failure)
		failure = bench_play(&role, 1, &stage);
	if (!failure) {
		bench_percentiles(result, BATCH);
		bench_account(row, 1, (double)bench_shared->part[0].messages,
		              result);
	}
	close_stage(&stage);
	return failure;
}

/* ---- Contended ----------------------------------------------------------------- */

/* Each process has its part of the samples. */
static uint32_t sample_room(const struct stage *stage)
{
	return BENCH_SAMPLES / (uint32_t)stage->processes;
}

/* Each of the LOCKS_A_SAMPLE comes to be timed as often as any other: before
 * the first of them a sample is stored, in memory that may be far, and nobody
 * has the mutex for longer than usual. So it is mostly there that others get
 * it. */
static inline uint32_t next_timed(uint32_t timed)
{
	return (timed * 5 + 3) % LOCKS_A_SAMPLE;
}

static inline __attribute__((always_inline)) int
play_contended(struct stage *stage, struct bench_part *part, int index,
               bool glibc)
{
	uint32_t room = sample_room(stage), pauses = stage->row->spec.back_off;
	uint32_t held = stage->row->spec.held;
	uint32_t *sample = bench_shared->sample + (uint32_t)index * room;
	uint64_t begin, now, first, locks = 0;
	uint32_t samples = 0, timed = 0;
	int result = 0;

	bench_ready();
	begin = now = first = bench_tick();
	while (!result && now < begin + stage->duration) {
		timed = next_timed(timed);
		for (uint32_t i = 0; i < LOCKS_A_SAMPLE; i++) {
			if (i == timed)
				first = bench_tick();
			result |= lock(stage, glibc);
			if (i == timed)
				now = bench_tick();
			stage->shared->counter++;
			for (uint32_t j = 0; j < held; j++)
				bench_pause();
			result |= unlock(stage, glibc);
			for (uint32_t j = 0; j < pauses; j++)
				bench_pause();
		}
		sample[samples++ % room] = now - first < UINT32_MAX ?
		                                   (uint32_t)(now - first) :
		                                   UINT32_MAX;
		locks += LOCKS_A_SAMPLE;
	}
	part->messages = locks;
	part->ticks = bench_tick() - begin;
	stage->shared->samples[index] = samples < room ? samples : room;
	return result ? bench_fail(part, -EIO, "locking") : 0;
}

static int play_contended_either(void *context, struct bench_part *part,
                                 int index)
{
	struct stage *stage = context;

	return stage->row->spec.order == GLIBC ?
	               play_contended(stage, part, index, true) :
	               play_contended(stage, part, index, false);
}

/* The parts of the samples moved together. */
static void gather(const struct stage *stage)
{
	uint32_t room = sample_room(stage), count = 0;

	for (int i = 0; i < stage->processes; i++) {
		memmove(bench_shared->sample + count,
		        bench_shared->sample + (uint32_t)i * room,
		        stage->shared->samples[i] * sizeof(uint32_t));
		count += stage->shared->samples[i];
	}
	bench_shared->samples = count;
}

static int measure_contended(const struct bench_row *row,
                             struct bench_result *result)
{
	struct bench_role roles[BENCH_PROCESSES];
	struct stage stage = { .row = row,
		               .processes = (int)row->spec.depth };
	double locks = 0, ticks = 0;
	int failure = open_stage(&stage);

	stage.duration = bench_duration_ticks(CONTENDED_MS);
	for (int i = 0; i < stage.processes; i++)
		roles[i] = (struct bench_role){ i % 2, play_contended_either };
	if (!failure)
		failure = bench_play(roles, stage.processes, &stage);
	for (int i = 0; !failure && i < stage.processes; i++) {
		const struct bench_part *part = &bench_shared->part[i];

		locks += (double)part->messages;
		if ((double)part->ticks > ticks)
			ticks = (double)part->ticks;
	}
	if (!failure) {
		gather(&stage);
		bench_percentiles(result, 1);
		if ((double)stage.shared->counter != locks)
			result->marks |= BENCH_BAD;
		bench_account(row, stage.processes, locks, result);
		result->value = locks / bench_to_ns(ticks) * 1e3;
	}
	close_stage(&stage);
	return failure;
}

/* ---- The owner is killed ---------------------------------------------------------- */

/* Makes itself as large as asked, locks, and waits for its end. */
static void be_owner(struct stage *stage, int ready)
{
	size_t bytes = (size_t)stage->row->spec.bytes;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		_exit(1);
	for (size_t i = 0; i < bytes; i += PAGE)
		memory[i] = 1;
	if (stage->mutex && stoa_mutex_lock(stage->mutex, STOA_FOREVER) < 0)
		_exit(1);
	if (write(ready, "", 1) == 1)
		for (;;)
			pause();
	_exit(1);
}

/* Kills the owner once the other sleeps, and says when, and when the kernel
 * says that it is dead: its memory was torn down before. */
static void be_killer(struct stage *stage, pid_t owner)
{
	struct pollfd pollfd = { .events = POLLIN };

	pollfd.fd = (int)syscall(SYS_pidfd_open, owner, 0);
	usleep(ASLEEP_US);
	stage->shared->killed = bench_tick();
	kill(owner, SIGKILL);
	poll(&pollfd, 1, -1);
	stage->shared->dead = bench_tick();
	_exit(0);
}

/* How long it took, or how much longer than the kernel's word. */
static int kill_and_wait(struct stage *stage, pid_t owner, uint64_t *ret_ticks)
{
	uint64_t had, from;
	int result = 0;
	pid_t killer = fork();

	if (killer == 0)
		be_killer(stage, owner);
	if (killer < 0)
		return -errno;
	if (stage->mutex)
		result = stoa_mutex_lock(stage->mutex, STOA_FOREVER);
	had = bench_tick();
	waitpid(killer, NULL, 0);
	if (!stage->mutex)
		had = stage->shared->dead;
	from = stage->row->spec.selection ? stage->shared->dead :
	                                    stage->shared->killed;
	*ret_ticks = had > from ? had - from : 1;
	if (!stage->mutex)
		return 0;
	stoa_mutex_consistent(stage->mutex);
	stoa_mutex_unlock(stage->mutex);
	return result == -EOWNERDEAD ? 0 : -EIO;
}

static int kill_once(struct stage *stage, uint64_t *ret_ticks)
{
	int ready[2], result = -EIO;
	pid_t owner;
	char byte;

	if (pipe(ready))
		return -errno;
	owner = fork();
	if (owner == 0)
		be_owner(stage, ready[1]);
	close(ready[1]);
	if (owner > 0 && read(ready[0], &byte, 1) == 1)
		result = kill_and_wait(stage, owner, ret_ticks);
	close(ready[0]);
	if (owner > 0) {
		kill(owner, SIGKILL);
		waitpid(owner, NULL, 0);
	}
	return result;
}

static int play_heir(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;
	double ns[KILLS];
	uint64_t ticks = 0;

	(void)index;
	signal(SIGCHLD, SIG_DFL);
	bench_ready();
	for (int i = 0; i < KILLS; i++) {
		if (kill_once(stage, &ticks))
			return bench_fail(part, -EIO, "killing an owner");
		ns[i] = bench_to_ns((double)ticks);
	}
	part->messages = KILLS;
	part->ticks = bench_to_ticks(bench_median(ns, KILLS));
	return 0;
}

static int measure_heir(const struct bench_row *row,
                        struct bench_result *result)
{
	const struct bench_role role = { 0, play_heir };
	struct stage stage = { .row = row };
	int failure = 0;

	if (row->kind == BENCH_STOA) {
		failure = open_stage(&stage);
	} else {
		stage.shared = mmap(NULL, sizeof(*stage.shared),
		                    PROT_READ | PROT_WRITE,
		                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		failure = stage.shared == MAP_FAILED ? -errno : 0;
	}
	if (!failure)
		failure = bench_play(&role, 1, &stage);
	if (!failure)
		result->value = bench_to_ns(
		        (double)bench_shared->part[0].ticks);
	close_stage(&stage);
	return failure;
}

/* ---- Rows -------------------------------------------------------------------------- */

#define ALONE(name, what, base, kind, which)                         \
	{                                                            \
		"lock/" name, what, base, BENCH_LOCK, kind,          \
		BENCH_UNIT_NS, measure_alone,                        \
		{ .order = which, .alone = true }                    \
	}
#define CONTENDED(name, what, base, kind, which, count, between, within) \
	{                                                                \
		"contend/" name, what, base, BENCH_CONTEND, kind,        \
		BENCH_UNIT_RATE, measure_contended,                      \
		{ .order = which, .depth = count, .back_off = between,   \
		  .held = within, .sleeping = true,                      \
		  .crowded = (count) > 2 }                               \
	}
#define CONTENDED_BOTH(name, what, count, between, within)              \
	CONTENDED("glibc-" name, "glibc, robust, " what, NULL, BENCH_PEER, \
	          GLIBC, count, between, within),                        \
	CONTENDED("stoa-" name, "stoa, " what, "contend/glibc-" name,   \
	          BENCH_STOA, STOA, count, between, within)
#define HEIR_ROW(name, what, base, kind, mebibytes, beyond)             \
	{                                                                \
		"heir/" name, what, base, BENCH_HEIR, kind,              \
		BENCH_UNIT_NS, measure_heir,                             \
		{ .bytes = (size_t)(mebibytes) << 20, .order = STOA,     \
		  .selection = beyond, .alone = true, .crowded = true,   \
		  .once = true }                                         \
	}
#define HEIR(size, mebibytes)                                            \
	HEIR_ROW("pidfd-" size, "the kernel says so, " size, NULL,        \
	         BENCH_KERNEL, mebibytes, 0),                             \
	HEIR_ROW("stoa-" size, "the next one has it, " size,              \
	         "heir/pidfd-" size, BENCH_STOA, mebibytes, 0),           \
	HEIR_ROW("beyond-" size, "after the kernel's word, " size, NULL,  \
	         BENCH_STOA, mebibytes, 1)

static const struct bench_row mutex_rows[] = {
	ALONE("glibc", "glibc, robust and process-shared", NULL, BENCH_PEER,
	      GLIBC),
	ALONE("stoa-mutex", "stoa, in memory", "lock/glibc", BENCH_STOA, STOA),
	ALONE("stoa-mutex-named", "stoa, named", "lock/glibc", BENCH_STOA,
	      STOA_NAMED),
	CONTENDED_BOTH("2", "2 processes", 2, 0, 0),
	CONTENDED_BOTH("8", "8 processes", 8, 0, 0),
	CONTENDED_BOTH("2-spaced", "2 processes, with pauses", 2, 20, 0),
	CONTENDED_BOTH("8-spaced", "8 processes, with pauses", 8, 20, 0),
	CONTENDED_BOTH("2-held", "2 processes, pauses in it too", 2, 20, 20),
	CONTENDED_BOTH("8-held", "8 processes, pauses in it too", 8, 20, 20),
	HEIR("1M", 1),
	HEIR("10M", 10),
	HEIR("100M", 100),
	HEIR("1G", 1024),
};

BENCH_ADD(mutex_rows)
