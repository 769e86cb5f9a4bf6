/* SPDX-License-Identifier: MIT */
/* dropin_sweep.c: victims in the drop-in's calls; see dropin_sweep.h. */
#include "dropin_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACES_STRIDE 3u /* outside the full portion */
#define DEEDS_MAX 64u

struct slate *slate;
const char *dropin_path;

static char path[128];
static uint64_t serial;

/* What a job is about. */
struct play {
	const struct dropin_noun *noun;
	const struct dropin_deed *deed;
};

static void enter_space(void)
{
	setenv("STOA_SPACE", path, 1);
}

/* ---- The ground --------------------------------------------------------------------- */

static void ground_body(void *context)
{
	const struct play *play = context;

	enter_space();
	play->noun->ground(play->deed);
	_exit(0);
}

static void helper_body(void *body)
{
	enter_space();
	(*(void (**)(void))body)();
	_exit(0);
}

void dropin_helper(unsigned number, void (*body)(void))
{
	pid_t pid = trace_fork(helper_body, &body);

	if (pid < 0)
		broken("no helper");
	slate->helpers[number] = pid;
}

void dropin_helper_await(pid_t pid)
{
	struct pollfd ended = { .fd = (int)syscall(SYS_pidfd_open, pid, 0),
		                .events = POLLIN };

	if (ended.fd < 0)
		return;
	while (poll(&ended, 1, -1) < 0)
		;
	close(ended.fd);
}

void dropin_helper_end(pid_t pid)
{
	kill(pid, SIGKILL);
	dropin_helper_await(pid);
}

static void make_space(const struct play *play)
{
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%llu", worker_path,
	         (unsigned long long)serial++);
	dropin_path = path;
	if (mkdir(path, 0700) != 0)
		broken("can't make %s", path);
	memset(slate, 0, sizeof(*slate));
	if (play->noun->ground && !(play->deed->kind & DEED_FIRST_USE)) {
		pid = trace_fork(ground_body, (void *)play);
		if (pid < 0 || trace_reap(pid) != 0)
			broken("the ground of %s failed", play->deed->name);
	}
	if (play->noun->begin)
		play->noun->begin(play->deed);
}

/* Helpers, and what a victim's fork has left to this process. */
static void end_others(void)
{
	for (unsigned i = 0; i < SLATE_HELPERS; i++)
		if (slate->helpers[i] > 0)
			kill(slate->helpers[i], SIGKILL);
	if (slate->victim > 0)
		kill(slate->victim, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
		;
}

static void drop_space(void)
{
	DIR *directory;
	const struct dirent *entry;

	end_others();
	directory = opendir(path);
	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(path);
}

int dropin_count_files(const char *begin, const char *end)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int count = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		size_t length = strlen(entry->d_name), part = strlen(end);

		count += !strncmp(entry->d_name, begin, strlen(begin)) &&
		         length > part &&
		         !strcmp(entry->d_name + length - part, end);
	}
	if (directory != NULL)
		closedir(directory);
	return count;
}

/* ---- The victim ------------------------------------------------------------------------ */

static void victim_body(void *context)
{
	const struct play *play = context;

	enter_space();
	slate->victim = getpid();
	if (play->noun->prepare)
		play->noun->prepare(play->deed);
	/* A forked victim begins in its fork handler. */
	trace_begin();
	slate->result = play->deed->run();
	slate->returned = 1;
	trace_end();
	_exit(0);
}

static pid_t spawn(const struct play *play)
{
	pid_t pid;

	make_space(play);
	if (play->deed->kind & DEED_FORKED)
		pid = trace_spawn_forked(victim_body, (void *)play);
	else
		pid = trace_spawn(victim_body, (void *)play);
	if (pid <= 0)
		broken("the victim of %s did not begin", play->deed->name);
	return pid;
}

static pid_t spawn_to(const struct play *play, const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t pid = spawn(play);

		if (trace_run_to(pid, &aim) == 0)
			return pid;
		drop_space();
	}
	return 0;
}

/* ---- The survivor ------------------------------------------------------------------------ */

static void survivor_body(void *context)
{
	const struct play *play = context;

	survivor_start();
	enter_space();
	_exit(play->noun->check(play->deed) == 0 ? 0 : 1);
}

static void judge(const struct play *play)
{
	pid_t pid;
	int status;

	slate->dead = 1;
	pid = trace_fork(survivor_body, (void *)play);
	status = pid < 0 ? -1 : trace_reap(pid);
	if (status != 0 && board->trouble[0] == '\0')
		trouble("the survivor ended with status %x", status);
	if (board->trouble[0] == '\0')
		experiment_passed();
	else
		experiment_failed();
	drop_space();
}

/* ---- What others can see -------------------------------------------------------------------- */

static struct {
	size_t count;
	int fds[PARTS_MAX];
	struct dropin_part parts[PARTS_MAX];
	unsigned char bytes[PARTS_MAX][PART_BYTES];
	unsigned char semaphore[sizeof(sem_t)];
} seen;

static void open_part(int *fd, struct dropin_part *part)
{
	char file[sizeof(path) + sizeof(part->file)];
	struct stat status;

	snprintf(file, sizeof(file), "%s/%s", path, part->file);
	*fd = open(file, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0 && part->at < 0 && fstat(*fd, &status) == 0)
		part->at += status.st_size;
}

static void begin_to_see(const struct play *play)
{
	memset(&seen, 0, sizeof(seen));
	if (play->noun->parts)
		seen.count = play->noun->parts(seen.parts);
	for (size_t i = 0; i < seen.count; i++)
		open_part(&seen.fds[i], &seen.parts[i]);
}

static void end_to_see(void)
{
	for (size_t i = 0; i < seen.count; i++)
		if (seen.fds[i] >= 0)
			close(seen.fds[i]);
}

static int observe(void *context)
{
	unsigned char now[PART_BYTES];
	int changed = memcmp(seen.semaphore, &slate->semaphore,
	                     sizeof(sem_t)) != 0;

	(void)context;
	memcpy(seen.semaphore, &slate->semaphore, sizeof(sem_t));
	for (size_t i = 0; i < seen.count; i++) {
		size_t bytes = seen.parts[i].bytes;

		if (seen.fds[i] < 0 ||
		    pread(seen.fds[i], now, bytes, seen.parts[i].at) !=
		            (ssize_t)bytes ||
		    memcmp(now, seen.bytes[i], bytes) == 0)
			continue;
		memcpy(seen.bytes[i], now, bytes);
		changed = 1;
	}
	return changed;
}

/* ---- The sweep ------------------------------------------------------------------------------ */

static void let_go(const struct play *play, pid_t pid)
{
	play->noun->standing(play->deed);
	trace_release(pid);
	play->noun->gone_on(play->deed);
}

static void kill_at(const struct play *play, const struct trace *trace,
                    size_t n)
{
	const struct trace_point *point = &trace->points[n];
	pid_t pid;

	if (!experiment("kill %s, place %zu of %zu", play->deed->name, n,
	                trace->count))
		return;
	board->pc = point->pc;
	pid = spawn_to(play, point);
	if (pid == 0) {
		experiment_missed();
		return;
	}
	if (play->deed->kind & DEED_LET_GO)
		let_go(play, pid);
	else
		trace_kill(pid);
	board->counts.kills++;
	board->counts.points++;
	board->counts.instructions += point->arrival == 1;
	judge(play);
}

static void kill_at_syscall(const struct play *play, size_t n)
{
	pid_t pid;

	if (!experiment("kill %s, system-call stop %zu", play->deed->name, n))
		return;
	board->pc = 0;
	pid = spawn(play);
	if (trace_run_to_syscall(pid, n) == 0) {
		trace_kill(pid);
		board->counts.kills++;
		board->counts.syscalls++;
	}
	judge(play);
}

static void record(const struct play *play, struct trace *ret_trace,
                   size_t *ret_stops)
{
	pid_t pid = spawn(play);

	begin_to_see(play);
	if (trace_record(pid, observe, NULL, ret_trace) != 0)
		broken("can't trace %s", play->deed->name);
	trace_kill(pid);
	end_to_see();
	drop_space();
	*ret_stops = trace_count_syscalls(spawn(play));
	drop_space();
}

static void run_deed(const struct job *job)
{
	const struct play *play = job->extra;
	struct trace trace;
	size_t stops, turn = 0;

	slate = mmap(NULL, sizeof(*slate), PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slate == MAP_FAILED || mkdir(worker_path, 0700) != 0)
		broken("can't begin in %s", worker_path);
	/* Children of victims come to this process, which ends them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	record(play, &trace, &stops);
	for (size_t n = 1; n <= stops && !(play->deed->kind & DEED_LET_GO); n++)
		if (portion_wants_stop(n))
			kill_at_syscall(play, n);
	for (size_t n = 0; n < trace.count; n++)
		if (portion_wants(&trace.points[n], n) &&
		    (trace.points[n].kind & TRACE_CHANGED ||
		     portion_turn(turn++, PLACES_STRIDE)))
			kill_at(play, &trace, n);
	trace_free(&trace);
}

static const struct dropin_noun *const nouns[] = {
	&dropin_registry_noun,
	&dropin_undo_noun,
	&dropin_attach_noun,
	&dropin_semaphore_noun,
};

size_t list_dropin_jobs(struct job *jobs, size_t room)
{
	static struct play plays[DEEDS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++)
		for (size_t k = 0; k < nouns[i]->count && count < room &&
		                   count < DEEDS_MAX; k++) {
			plays[count] = (struct play){ nouns[i],
				                      &nouns[i]->deeds[k] };
			jobs[count] = (struct job){
				.suite = nouns[i]->suite,
				.name = nouns[i]->deeds[k].name,
				.where = nouns[i]->where,
				.extra = &plays[count],
				.run = run_deed
			};
			count++;
		}
	return count;
}
