/* SPDX-License-Identifier: MIT */
/* demo_round.c: starts a round's processes, kills the victim, watches until
 * all have ended, and judges. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "demo.h"

#define TICK_MS 100
#define HANG_NS 60000000000 /* without any progress */
#define KILL_DELAY_NS 2000000
#define RANDOM_HALF (1l << 30) /* of nrand48 */
#define KILL_RANDOM 0x5eed /* not the cutter's sequence of numbers */
#define NS_PER_S 1000000000

enum role { FEEDER, COLLECTOR, WORKER };

struct process {
	enum role role;
	unsigned index;
	pid_t pid; /* 0: ended */
};

struct watch {
	struct demo_round *round;
	struct process process[DEMO_WORKERS_MAX + 2];
	unsigned count, running;
	int signals; /* signalfd */
	int stopped_by;
	uint64_t progress;
	int64_t progress_ns;
};

int64_t demo_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

const char *demo_reason(const struct demo_carrier *carrier, int result)
{
	const char *sentence = stoa_last_error();

	if (carrier->operations == &demo_stoa && *sentence)
		return sentence;
	return strerror(-result);
}

/* ---- Plan --------------------------------------------------------------- */

static void make_plan(struct demo_round *round)
{
	struct demo_cutter cutter;
	uint16_t random[3] = { (uint16_t)round->seed,
		               (uint16_t)(round->seed >> 16), KILL_RANDOM };
	uint64_t middle;

	demo_cutter_init(&cutter, round->seed, round->total,
	                 round->carrier.piece_max);
	round->messages = 0;
	while (demo_cutter_next(&cutter))
		round->messages++;

	/* Somewhere in the middle eight tenths. */
	middle = round->messages * 8 / 10 + 1;
	round->kill_sequence = round->messages / 10 +
			       (uint64_t)nrand48(random) % middle;
	round->pass_on_first = nrand48(random) >= RANDOM_HALF;
	round->kill_delay_ns = nrand48(random) % KILL_DELAY_NS;
}

/* ---- Processes ---------------------------------------------------------- */

static int run_role(struct demo_round *round, const struct process *process)
{
	switch (process->role) {
	case FEEDER:
		return demo_feeder(round);
	case COLLECTOR:
		return demo_collector(round);
	case WORKER:
		return demo_worker(round, process->index);
	}
	return EXIT_FAILURE;
}

static int start(struct watch *watch, enum role role, unsigned index,
                 const sigset_t *mask)
{
	struct process *process = &watch->process[watch->count];
	pid_t parent = getpid();

	*process = (struct process){ .role = role, .index = index };
	process->pid = fork();
	if (process->pid < 0) {
		process->pid = 0;
		return -errno;
	}
	if (!process->pid) {
		/* Nobody outlives a parent that was killed itself. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		sigprocmask(SIG_SETMASK, mask, NULL);
		signal(SIGPIPE, SIG_IGN);
		_exit(run_role(watch->round, process));
	}
	watch->count++;
	watch->running++;
	return 0;
}

static int start_all(struct watch *watch, const sigset_t *mask)
{
	int result = start(watch, COLLECTOR, 0, mask);

	for (unsigned i = 0; result >= 0 && i < watch->round->workers; i++)
		result = start(watch, WORKER, i, mask);
	if (result >= 0)
		result = start(watch, FEEDER, 0, mask);
	return result;
}

static void kill_all(struct watch *watch)
{
	for (unsigned i = 0; i < watch->count; i++)
		if (watch->process[i].pid)
			kill(watch->process[i].pid, SIGKILL);
}

static void __attribute__((format(printf, 2, 3)))
fail(struct demo_round *round, const char *format, ...)
{
	va_list arguments;

	round->result = 1;
	if (*round->note)
		return; /* the first reason is the cause of the others */
	va_start(arguments, format);
	vsnprintf(round->note, sizeof(round->note), format, arguments);
	va_end(arguments);
}

/* ---- Watching ----------------------------------------------------------- */

static void kill_victim(struct watch *watch)
{
	struct demo_round *round = watch->round;
	const struct timespec delay = { 0, round->kill_delay_ns };
	unsigned char index;

	if (read(round->tell[0], &index, sizeof(index)) != sizeof(index))
		return;
	nanosleep(&delay, NULL); /* this is the random instant */
	for (unsigned i = 0; i < watch->count; i++) {
		const struct process *process = &watch->process[i];

		if (process->role != WORKER || process->index != index ||
		    !process->pid)
			continue;
		atomic_store(&round->board->killed_ns, demo_now_ns());
		kill(process->pid, SIGKILL);
		round->killed_pid = process->pid;
		round->killed_worker = index;
	}
}

static const char *role_name(enum role role)
{
	static const char *const names[] = { "feeder", "collector", "worker" };

	return names[role];
}

static void ended(struct watch *watch, struct process *process, int status)
{
	struct demo_round *round = watch->round;
	int is_victim = process->pid == round->killed_pid;

	process->pid = 0;
	watch->running--;
	if (is_victim && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return;
	if (WIFEXITED(status) && !WEXITSTATUS(status) && !is_victim)
		return;
	if (is_victim)
		fail(round, "the victim had ended before it was killed");
	else if (WIFSIGNALED(status))
		fail(round, "the %s died by signal %d (%s)",
		     role_name(process->role), WTERMSIG(status),
		     strsignal(WTERMSIG(status)));
	else
		fail(round, "the %s failed", role_name(process->role));
	kill_all(watch);
}

static void reap(struct watch *watch)
{
	for (unsigned i = 0; i < watch->count; i++) {
		struct process *process = &watch->process[i];
		int status;

		if (process->pid &&
		    waitpid(process->pid, &status, WNOHANG) == process->pid)
			ended(watch, process, status);
	}
}

static void read_signals(struct watch *watch)
{
	struct signalfd_siginfo info;

	while (read(watch->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		watch->stopped_by = (int)info.ssi_signo;
		fail(watch->round, "stopped by signal %d",
		     watch->stopped_by);
		kill_all(watch);
	}
	reap(watch);
}

static void check_progress(struct watch *watch)
{
	struct demo_round *round = watch->round;
	uint64_t progress = atomic_load(&round->board->messages) +
			    atomic_load(&round->board->fed);
	int64_t now = demo_now_ns();

	demo_progress(round);
	if (progress != watch->progress) {
		watch->progress = progress;
		watch->progress_ns = now;
	}
	if (now - watch->progress_ns < HANG_NS)
		return;
	fail(round, "nothing moved for %d s; %llu of %llu messages arrived",
	     (int)(HANG_NS / NS_PER_S),
	     (unsigned long long)atomic_load(&round->board->messages),
	     (unsigned long long)round->messages);
	watch->progress_ns = now;
	kill_all(watch);
}

static void watch_until_ended(struct watch *watch)
{
	struct pollfd polls[] = {
		{ .fd = watch->signals, .events = POLLIN },
		{ .fd = watch->round->tell[0], .events = POLLIN },
	};

	watch->progress_ns = demo_now_ns();
	while (watch->running) {
		if (poll(polls, 2, TICK_MS) < 0 && errno != EINTR)
			break;
		if (polls[1].revents & POLLIN)
			kill_victim(watch);
		read_signals(watch);
		check_progress(watch);
	}
}

static void open_signals(struct watch *watch, sigset_t *ret_before)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, ret_before);
	watch->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* ---- Judging ------------------------------------------------------------ */

/* A message that came back after its result was known may be left; anything
 * else that's left wasn't worked on. */
static void drain(struct demo_round *round)
{
	struct demo_channel *work = &round->carrier.channel[DEMO_WORK];
	struct demo_parcel parcel;

	while (round->carrier.operations->take(work, 0, &parcel) >= 0) {
		if (parcel.header->kind != DEMO_DATA ||
		    !parcel.message.deliveries)
			fail(round, "a message was left in the queue");
		round->board->redelivered++;
		round->board->redelivered_bytes += parcel.header->bytes;
		round->board->repeated++;
		round->carrier.operations->acknowledge(work, &parcel);
	}
}

/* The queues' own books must balance too, once the dead are buried whom nobody
 * met: a place reserved by the victim, for one, in nobody's way. */
static void audit(struct demo_round *round, enum demo_end end)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };
	int result = stoa_queue_stat(round->carrier.channel[end].queue, &stat);

	if (result < 0)
		fail(round, "stat: %s", demo_reason(&round->carrier, result));
	else if (stat.messages || stat.taken || stat.reserved)
		fail(round, "left in a queue: %llu messages, %llu taken, "
		     "%llu reserved", (unsigned long long)stat.messages,
		     (unsigned long long)stat.taken,
		     (unsigned long long)stat.reserved);
	if (end == DEMO_WORK)
		round->returned = stat.returned;
}

static void judge(struct demo_round *round)
{
	struct demo_board *board = round->board;

	round->seconds = (double)(board->finished_ns - board->started_ns) /
			 NS_PER_S;
	if (round->result)
		return;
	if (round->carrier.operations == &demo_stoa) {
		drain(round);
		stoa_space_clean(round->carrier.space, 0, NULL, NULL);
		audit(round, DEMO_WORK);
		audit(round, DEMO_RESULTS);
	}
	if (board->messages != round->messages || board->bytes != round->total)
		fail(round, "%llu of %llu messages arrived",
		     (unsigned long long)board->messages,
		     (unsigned long long)round->messages);
	if (board->doubled)
		fail(round, "%llu messages were doubled",
		     (unsigned long long)board->doubled);
	if (board->bad_digest)
		fail(round, "%llu hashes don't fit their data",
		     (unsigned long long)board->bad_digest);
	if (memcmp(board->digest, round->digest, DEMO_DIGEST_BYTES))
		fail(round, "the stream's SHA-256 isn't that of the input");
	if (round->kill && !round->killed_pid)
		fail(round, "no worker was killed");
	if (round->kill && !round->returned)
		fail(round, "the killed worker's messages never came back");
}

/* ---- Round -------------------------------------------------------------- */

static void run_processes(struct watch *watch, const sigset_t *mask)
{
	int result = watch->signals < 0 ? -errno : start_all(watch, mask);

	if (result < 0) {
		fail(watch->round, "can't start: %s", strerror(-result));
		kill_all(watch);
	}
	watch_until_ended(watch);
	demo_progress_clear();
}

static void not_run(struct demo_round *round, int result)
{
	round->result = result;
	snprintf(round->note, sizeof(round->note), "%s",
	         demo_reason(&round->carrier, result));
}

void demo_round_fini(struct demo_round *round)
{
	if (round->board)
		munmap(round->board, sizeof(*round->board));
	round->board = NULL;
}

int demo_round_run(struct demo_round *round)
{
	struct watch watch = { .round = round };
	sigset_t before;
	int result;

	round->board = mmap(NULL, sizeof(*round->board),
	                    PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (round->board == MAP_FAILED) {
		round->board = NULL;
		not_run(round, -errno);
		return 0;
	}
	if (pipe(round->tell) < 0) {
		not_run(round, -errno);
		return 0;
	}
	/* From here on a signal must not end this process before it has taken
	 * down what it made. */
	open_signals(&watch, &before);
	result = round->carrier.operations->open(&round->carrier);
	if (result < 0) {
		not_run(round, result);
	} else {
		make_plan(round);
		run_processes(&watch, &before);
		judge(round);
		round->carrier.operations->close(&round->carrier);
	}
	close(watch.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(round->tell[0]);
	close(round->tell[1]);
	return watch.stopped_by;
}
