/* SPDX-License-Identifier: MIT */
/*
 * space.c: victims are killed in every operation on a space: opening it,
 * joining, making, finding and removing objects in it, cleaning it. Whatever
 * the instruction, no name is left half made or wedged, the space lists, and
 * what the dead held comes back.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errands.h"
#include "oracle.h"

#define PLACES_STRIDE 2u /* outside the full portion */
#define OLD_LETTERS 3u
#define LETTER_BYTES 32u

static const char *const ground_names[GROUNDS] = { "nothing", "empty",
						   "peopled" };

static struct yard yard;

static int visit_peer(const struct stoa_peer_info *info, void *context)
{
	(void)info;
	(void)context;
	return 0;
}

/* ---- The ground ---------------------------------------------------------- */

static void open_space(struct yard *y)
{
	int result = stoa_space_open(y->path, STOA_CREATE, &y->space);

	if (result != 0)
		broken("open space: %d %s", result, stoa_last_error());
}

static void taker_body(void *context)
{
	struct yard *y = context;
	struct stoa_message message;
	struct stoa_queue *queue;

	if (stoa_queue_open(y->space, "old", BOTH, 0, NULL, &queue) != 0 ||
	    stoa_queue_take(queue, NULL, STOA_NOW, &message) < 0 ||
	    stoa_queue_pollfd(queue, STOA_READ) < 0)
		_exit(1);
	_exit(0);
}

/* A queue with letters, one of them in dead hands, and a dead one's bell. */
static void people(struct yard *y)
{
	const struct stoa_queue_attributes attributes = attributes_new();
	struct stoa_queue *queue;
	pid_t pid;

	y->ledger.count = 0;
	if (stoa_queue_open(y->space, "old", BOTH | STOA_CREATE, NEW_MODE,
			    &attributes, &queue) != 0)
		broken("make old: %s", stoa_last_error());
	for (uint32_t i = 0; i < OLD_LETTERS; i++)
		if (letter_send(queue, ledger_add(&y->ledger, LETTER_BYTES),
				STOA_NOW) != 0)
			broken("send to old");
	pid = trace_fork(taker_body, y);
	if (pid < 0 || trace_reap(pid) != 0)
		broken("the taker failed");
	y->ledger.letters[0].deliveries_max = 1;
	stoa_queue_close(queue);
	if (stoa_space_self(y->space, &y->self) != 0)
		broken("join: %s", stoa_last_error());
}

static void yard_make(struct yard *y)
{
	snprintf(y->path, sizeof(y->path), "%s/%u", worker_path, y->serial++);
	memset(y->page, 0, offsetof(struct page, buffers));
	y->space = NULL;
	if (y->ground == GROUND_NOTHING)
		return;
	open_space(y);
	if (y->ground == GROUND_PEOPLED)
		people(y);
}

static void yard_drop(struct yard *y)
{
	DIR *directory;
	const struct dirent *entry;

	stoa_space_close(y->space);
	directory = opendir(y->path);
	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(y->path);
}

static void visit_body(void *context)
{
	struct visit visit = *(struct visit *)context;
	const struct errand *errand = visit.errand;
	struct yard *y = visit.yard;

	if (!(errand->flags & ERRAND_OPENS) &&
	    stoa_space_open(y->path, 0, &visit.space) != 0)
		_exit(1);
	if (errand->flags & ERRAND_QUEUE &&
	    stoa_queue_open(visit.space, "old", BOTH, 0, NULL,
			    &visit.queue) != 0)
		_exit(1);
	if (errand->flags & ERRAND_WATCH &&
	    stoa_watch_start(visit.space, &visit.watch) != 0)
		_exit(1);
	trace_begin();
	y->page->result = errand->run(&visit);
	y->page->returned = 1;
	trace_end();
	_exit(0);
}

static pid_t yard_spawn(struct yard *y, const struct errand *errand)
{
	struct visit visit = { .yard = y, .errand = errand };
	pid_t pid;

	yard_make(y);
	pid = trace_spawn(visit_body, &visit);
	if (pid <= 0)
		broken("the victim of %s did not begin", errand->name);
	return pid;
}

/* ---- The survivor -------------------------------------------------------- */

static int check_fresh_queue(struct stoa_queue *queue)
{
	struct stage here = { .queue = queue };
	struct survivor v = { .stage = &here, .queue = queue };
	struct stoa_queue_stat stat = { .size = sizeof(stat) };
	uint32_t sent = 0;

	if (stoa_queue_stat(queue, &stat) != 0 || stat.capacity != CAPACITY ||
	    stat.messages != 0)
		return trouble("new is not as it was made: capacity %llu, "
			       "%llu messages",
			       (unsigned long long)stat.capacity,
			       (unsigned long long)stat.messages);
	if (survivor_fill(&v, LETTER_BYTES, &sent) != 0 ||
	    survivor_drain(&v) != 0)
		return -1;
	if (sent != CAPACITY)
		return trouble("%u letters fit into new, not %u", sent,
			       CAPACITY);
	return oracle_settle(&here);
}

static int unlink_new(struct yard *y)
{
	int result = stoa_queue_unlink(y->space, "new");

	return result == 0 ? 0 : trouble("unlink new: %d", result);
}

/* "new" is whole or not there; and it can be made again. */
static int check_new(struct yard *y, const struct errand *errand)
{
	const struct stoa_queue_attributes attributes = attributes_new();
	struct stoa_object_info info;
	struct stoa_queue *queue;
	int result = stoa_queue_open(y->space, "new", BOTH, 0, NULL, &queue);
	int must = errand->flags & ERRAND_MAKES && y->page->returned;

	if (result != -ENOENT && (result != 0 ||
				  !(errand->flags & ERRAND_MAKES)))
		return trouble("open new: %d %s", result, stoa_last_error());
	if (must && result != 0)
		return trouble("new was made, but is not there");
	if (result == 0) {
		result = check_fresh_queue(queue);
		stoa_queue_close(queue);
		if (result != 0)
			return -1;
		result = stoa_space_find(y->space, "new", &info);
		if (result != 0 || (info.mode & 0777) != NEW_MODE)
			return trouble("find new: %d, mode %o", result,
				       info.mode);
		if (unlink_new(y) != 0)
			return -1;
	}
	result = stoa_queue_open(y->space, "new",
				 BOTH | STOA_CREATE | STOA_EXCLUSIVE, NEW_MODE,
				 &attributes, &queue);
	if (result != 0)
		return trouble("make new: %d %s", result, stoa_last_error());
	result = check_fresh_queue(queue);
	stoa_queue_close(queue);
	return result == 0 ? unlink_new(y) : -1;
}

/* The letters of "old" are all there. */
static int check_old(struct yard *y, const struct errand *errand)
{
	struct stage here = { .ledger = y->ledger };
	struct survivor v = { .stage = &here };
	int result = stoa_queue_open(y->space, "old", BOTH, 0, NULL, &v.queue);
	int gone = result == -ENOENT ||
		   (result == -EIDRM && errand->flags & ERRAND_REMOVED);

	if (gone && errand->flags & ERRAND_REMOVES) {
		result = stoa_space_remove(y->space, "old", 0);
		return result == 0 || result == -ENOENT
			       ? 0
			       : trouble("remove old: %d", result);
	}
	if (result != 0)
		return trouble("open old: %d %s", result, stoa_last_error());
	if (y->page->returned && errand->flags & ERRAND_REMOVES)
		return trouble("old was removed, but is there");
	result = survivor_drain(&v);
	stoa_queue_close(v.queue);
	if (result != 0 || oracle_settle(&here) != 0)
		return -1;
	result = stoa_queue_unlink(y->space, "old");
	return result == 0 ? 0 : trouble("unlink old: %d", result);
}

static int visit_health(const struct stoa_object_info *info, void *context)
{
	const struct errand *errand = context;

	if (info->health == 0 ||
	    (info->health == -EIDRM && errand->flags & ERRAND_REMOVED))
		return 0;
	return trouble("%s.%s is listed with health %d", info->name, info->kind,
		       info->health);
}

static int check_lists(struct yard *y, const struct errand *errand)
{
	int result = stoa_space_each(y->space, visit_health, (void *)errand);

	if (result < 0)
		return trouble("each: %d %s", result, stoa_last_error());
	result = stoa_space_each_peer(y->space, visit_peer, NULL);
	if (result != 1)
		return trouble("%d peers are listed, not 1", result);
	result = stoa_space_clean(y->space, 0, NULL, NULL);
	if (result < 0)
		return trouble("clean: %d %s", result, stoa_last_error());
	result = stoa_space_clean(y->space, 0, NULL, NULL);
	return result == 0 ? 0 : trouble("a second clean did %d things",
					 result);
}

static int check(struct yard *y, const struct errand *errand, uint32_t variant)
{
	stoa_peer self;

	if (y->space == NULL)
		open_space(y);
	if (y->page->returned && y->page->result < 0)
		return trouble("the victim's call gave %lld",
			       (long long)y->page->result);
	if (stoa_space_self(y->space, &self) != 0)
		return trouble("join: %s", stoa_last_error());
	if (variant % 2 == 0 && check_lists(y, errand) != 0)
		return -1;
	if (check_new(y, errand) != 0)
		return -1;
	if (y->ground == GROUND_PEOPLED && check_old(y, errand) != 0)
		return -1;
	if (check_lists(y, errand) != 0)
		return -1;
	if (y->files == 0)
		y->files = count_files(y->path);
	if (count_files(y->path) > y->files)
		return trouble("%u files are left, not %u",
			       count_files(y->path), y->files);
	return 0;
}

/* ---- The sweep ----------------------------------------------------------- */

static void judge(const struct errand *errand, uint32_t variant)
{
	if (check(&yard, errand, variant) == 0)
		experiment_passed();
	else
		experiment_failed();
	yard_drop(&yard);
}

/* A victim stopped at that place; 0: missed. */
static pid_t spawn_to(const struct errand *errand,
		      const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t pid = yard_spawn(&yard, errand);

		if (trace_run_to(pid, &aim) == 0)
			return pid;
		yard_drop(&yard);
	}
	return 0;
}

static void kill_at(const struct errand *errand, const struct trace *trace,
		    size_t n)
{
	const struct trace_point *point = &trace->points[n];
	pid_t pid;

	if (!experiment("kill %s on %s ground, place %zu of %zu", errand->name,
			ground_names[yard.ground], n, trace->count))
		return;
	board->pc = point->pc;
	pid = spawn_to(errand, point);
	if (pid == 0) {
		experiment_missed();
		return;
	}
	trace_kill(pid);
	board->counts.kills++;
	board->counts.points++;
	board->counts.instructions += point->arrival == 1;
	judge(errand, (uint32_t)n);
}

static void kill_at_syscall(const struct errand *errand, size_t n)
{
	pid_t pid;

	if (!experiment("kill %s on %s ground, system-call stop %zu",
			errand->name, ground_names[yard.ground], n))
		return;
	board->pc = 0;
	pid = yard_spawn(&yard, errand);
	if (trace_run_to_syscall(pid, n) == 0) {
		trace_kill(pid);
		board->counts.kills++;
		board->counts.syscalls++;
	}
	judge(errand, (uint32_t)n);
}

/* Nobody dies: sets what is to be expected. */
static void run_calm(const struct errand *errand)
{
	static const struct errand nothing = { .name = "nothing" };

	yard.files = 0;
	yard_make(&yard);
	yard.page->returned = 0;
	if (check(&yard, &nothing, 0) != 0)
		broken("before %s: %s", errand->name, board->trouble);
	yard_drop(&yard);
}

static void run_space(const struct job *job)
{
	const struct errand *errand = job->extra;
	struct trace trace;
	size_t stops, turn = 0;
	pid_t pid;

	yard.ground = (enum ground)job->number;
	yard.page = mmap(NULL, sizeof(*yard.page), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (yard.page == MAP_FAILED)
		broken("no memory");
	if (mkdir(worker_path, 0700) != 0)
		broken("can't make %s", worker_path);
	run_calm(errand);
	pid = yard_spawn(&yard, errand);
	if (trace_record(pid, NULL, NULL, &trace) != 0)
		broken("can't trace %s", errand->name);
	trace_kill(pid);
	yard_drop(&yard);
	for (size_t n = 0; n < trace.count; n++)
		if (portion_wants(&trace.points[n], n) &&
		    portion_turn(turn++, PLACES_STRIDE))
			kill_at(errand, &trace, n);
	trace_free(&trace);
	stops = trace_count_syscalls(yard_spawn(&yard, errand));
	yard_drop(&yard);
	for (size_t n = 1; n <= stops; n++)
		if (portion_wants_stop(n))
			kill_at_syscall(errand, n);
}

static int wanted(const struct errand *errand, unsigned ground)
{
	return (errand->grounds & 1u << ground) != 0;
}

size_t list_space_jobs(struct job *jobs, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < errands_count; i++)
		for (unsigned ground = 0; ground < GROUNDS; ground++)
			if (count < room && wanted(&errands[i], ground))
				jobs[count++] = (struct job){
					.suite = "space",
					.name = errands[i].name,
					.where = ground_names[ground],
					.extra = &errands[i],
					.number = ground,
					.run = run_space
				};
	return count;
}
