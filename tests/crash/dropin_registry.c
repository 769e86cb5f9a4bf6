/* SPDX-License-Identifier: MIT */
/*
 * dropin_registry.c: victims are killed in the drop-in's calls that change its
 * registry of System V objects: making, changing and removing them, and
 * repairing what another death left. Whatever the instruction: an identifier
 * has its object, an object its identifier; keys can be made again; who
 * remembers a permission that was changed is told.
 *
 * The drop-in belongs to the process that uses it: the ground is laid, and the
 * survivor looks, in processes of their own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dropin/calls.h>
#include <dropin/registry.h>

#include "harness.h"

#define PLACES_STRIDE 3u /* outside the full portion */
#define KEY_OLD 0x51
#define KEY_NEW 0x52
#define MODE_OLD 0600
#define MODE_SET 0640
#define TEXT_BYTES 5

struct text {
	long type;
	char text[TEXT_BYTES];
};

/* What the processes of an experiment tell one another. */
struct slate {
	_Atomic int returned, result;
	int queue, set; /* the old ones */
	uint64_t version; /* of the queue's slot */
};

enum deed_kind { MAKES_QUEUE = 1, MAKES_SET = 2, SETS = 4, REMOVES_QUEUE = 8,
	         REMOVES_SET = 16, AFTER_DEATH = 32, FIRST = 64 };

struct deed {
	const char *name;
	unsigned kind;
	int (*run)(void);
};

static struct slate *slate;
static char path[128];
static uint64_t serial;

static void enter_space(void)
{
	setenv("STOA_SPACE", path, 1);
}

/* ---- The ground --------------------------------------------------------------------- */

/* One who has the registry's mutex, with a queue in making, and dies. */
static void die_in_the_midst(void)
{
	const struct registry *registry;
	struct registry_slot *slot;
	int id = dropin_msgget(KEY_NEW, IPC_CREAT | 0600);

	if (id < 0 || registry_lock(&registry) != 0 ||
	    registry_find(registry, REGISTRY_MESSAGE, id, &slot) != 0)
		_exit(1);
	atomic_store(&slot->state,
	             REGISTRY_STATE((uint32_t)id >> REGISTRY_INDEX_BITS,
	                            REGISTRY_MAKING, 7));
	_exit(0);
}

static void lay_ground(void *context)
{
	const struct deed *deed = context;
	const struct registry *registry;
	struct registry_slot *slot;
	struct text text = { .type = 3 };

	enter_space();
	slate->queue = dropin_msgget(KEY_OLD, IPC_CREAT | MODE_OLD);
	slate->set = dropin_semget(KEY_OLD, 2, IPC_CREAT | MODE_OLD);
	if (slate->queue < 0 || slate->set < 0 ||
	    dropin_msgsnd(slate->queue, &text, TEXT_BYTES, IPC_NOWAIT) != 0 ||
	    dropin_semctl(slate->set, 1, SETVAL, 4) != 0 ||
	    registry_lock(&registry) != 0 ||
	    registry_find(registry, REGISTRY_MESSAGE, slate->queue, &slot) != 0)
		_exit(1);
	slate->version = REGISTRY_VERSION(atomic_load(&slot->state));
	registry_unlock();
	if (deed->kind & AFTER_DEATH)
		die_in_the_midst();
	_exit(0);
}

static void do_in_process(trace_body *body, const struct deed *deed,
                          const char *what)
{
	pid_t pid = trace_fork(body, (void *)deed);

	if (pid < 0 || trace_reap(pid) != 0)
		broken("%s failed", what);
}

static void make_space(const struct deed *deed)
{
	snprintf(path, sizeof(path), "%s/%llu", worker_path,
	         (unsigned long long)serial++);
	if (mkdir(path, 0700) != 0)
		broken("can't make %s", path);
	memset(slate, 0, sizeof(*slate));
	if (!(deed->kind & FIRST))
		do_in_process(lay_ground, deed, "the ground");
}

static void drop_space(void)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(path);
}

/* ---- The deeds ------------------------------------------------------------------------ */

static int make_queue(void)
{
	return dropin_msgget(KEY_NEW, IPC_CREAT | IPC_EXCL | 0600);
}

static int make_set(void)
{
	return dropin_semget(KEY_NEW, 3, IPC_CREAT | IPC_EXCL | 0600);
}

static int set_queue(void)
{
	struct msqid_ds ds = { .msg_perm.mode = MODE_SET, .msg_qbytes = 500 };

	ds.msg_perm.uid = geteuid();
	ds.msg_perm.gid = getegid();
	return dropin_msgctl(slate->queue, IPC_SET, &ds);
}

static int remove_queue(void)
{
	return dropin_msgctl(slate->queue, IPC_RMID, NULL);
}

static int remove_set(void)
{
	return dropin_semctl(slate->set, 0, IPC_RMID, 0);
}

static const struct deed deeds[] = {
	{ "make-queue", MAKES_QUEUE, make_queue },
	{ "make-set", MAKES_SET, make_set },
	{ "set", SETS, set_queue },
	{ "remove-queue", REMOVES_QUEUE, remove_queue },
	{ "remove-set", REMOVES_SET, remove_set },
	{ "repair", MAKES_QUEUE | AFTER_DEATH, make_queue },
	{ "first", MAKES_QUEUE | FIRST, make_queue },
};

static void victim_body(void *context)
{
	const struct deed *deed = context;
	const struct registry *registry;

	enter_space();
	if (!(deed->kind & FIRST) && registry_open(&registry) != 0 &&
	    !(deed->kind & AFTER_DEATH))
		_exit(1);
	trace_begin();
	slate->result = deed->run();
	slate->returned = 1;
	trace_end();
	_exit(0);
}

static pid_t spawn(const struct deed *deed)
{
	pid_t pid;

	make_space(deed);
	pid = trace_spawn(victim_body, (void *)deed);
	if (pid <= 0)
		broken("the victim of %s did not begin", deed->name);
	return pid;
}

/* ---- The survivor ------------------------------------------------------------------------ */

static int count_ends(const char *end)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int count = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		size_t length = strlen(entry->d_name), part = strlen(end);

		count += !strncmp(entry->d_name, "sysv.", 5) && length > part &&
		         !strcmp(entry->d_name + length - part, end);
	}
	if (directory != NULL)
		closedir(directory);
	return count;
}

static int check_files(void)
{
	struct msginfo messages;
	struct seminfo semaphores;

	if (dropin_msgctl(0, MSG_INFO, (void *)&messages) < 0 ||
	    dropin_semctl(0, 0, SEM_INFO, (unsigned long)&semaphores) < 0)
		return trouble("the registry can't be asked");
	if (count_ends(".queue") != messages.msgpool ||
	    count_ends(".semaphore_set") != semaphores.semusz)
		return trouble("%d files for %d queues, %d for %d sets",
		               count_ends(".queue"), messages.msgpool,
		               count_ends(".semaphore_set"), semaphores.semusz);
	return 0;
}

static int check_queue(int id, int has_text)
{
	struct text text = { .type = 8 };

	if (has_text && dropin_msgrcv(id, &text, TEXT_BYTES, 3, IPC_NOWAIT) !=
	                        TEXT_BYTES)
		return trouble("the old queue has lost its message");
	if (dropin_msgrcv(id, &text, TEXT_BYTES, 0, IPC_NOWAIT) != -ENOMSG)
		return trouble("a queue has more than was sent");
	text.type = 8;
	if (dropin_msgsnd(id, &text, TEXT_BYTES, IPC_NOWAIT) != 0 ||
	    dropin_msgrcv(id, &text, TEXT_BYTES, 8, IPC_NOWAIT) != TEXT_BYTES)
		return trouble("a queue that is there doesn't serve");
	return 0;
}

static int check_set(int id, int value)
{
	struct sembuf change = { 1, 1, IPC_NOWAIT };

	if (dropin_semtimedop(id, &change, 1, NULL) != 0 ||
	    dropin_semctl(id, 1, GETVAL, 0) != value + 1)
		return trouble("a set that is there doesn't serve");
	return 0;
}

/* Whoever remembers an older version must not see another mode. */
static int check_permission(void)
{
	const struct registry *registry;
	struct registry_slot *slot;
	uint64_t version;
	mode_t mode;
	int result = registry_lock(&registry);

	if (result == 0)
		result = registry_find(registry, REGISTRY_MESSAGE, slate->queue,
		                       &slot);
	if (result < 0)
		return trouble("the old queue's slot: %d", result);
	version = REGISTRY_VERSION(atomic_load(&slot->state));
	mode = atomic_load(&slot->mode) & 0777;
	registry_unlock();
	if (mode != MODE_OLD && mode != MODE_SET)
		return trouble("the mode is %o", mode);
	if (mode != MODE_OLD && version == slate->version)
		return trouble("the mode was changed, and nobody is told");
	return 0;
}

/* An object of the key: there as it should be, and then removed. */
static int check_key(const struct deed *deed, key_t key)
{
	int old = key == KEY_OLD && !(deed->kind & FIRST);
	int queue = dropin_msgget(key, 0), set = dropin_semget(key, 0, 0);
	unsigned may_miss = old ? REMOVES_QUEUE | REMOVES_SET : ~0u;

	if (queue < 0 && (queue != -ENOENT ||
	                  (old && !(deed->kind & may_miss & REMOVES_QUEUE))))
		return trouble("key %x has no queue: %d", key, queue);
	if (set < 0 && (set != -ENOENT ||
	                (old && !(deed->kind & may_miss & REMOVES_SET))))
		return trouble("key %x has no set: %d", key, set);
	if (queue >= 0 && (check_queue(queue, old) != 0 ||
	                   dropin_msgctl(queue, IPC_RMID, NULL) != 0))
		return trouble("the queue of key %x can't be removed", key);
	if (set >= 0 && (check_set(set, old ? 4 : 0) != 0 ||
	                 dropin_semctl(set, 0, IPC_RMID, 0) != 0))
		return trouble("the set of key %x can't be removed", key);
	return 0;
}

static int check_result(const struct deed *deed)
{
	int result = slate->result;

	if (!slate->returned)
		return 0;
	if (result < 0)
		return trouble("the victim's call gave %d", result);
	if (deed->kind & MAKES_QUEUE && dropin_msgget(KEY_NEW, 0) != result)
		return trouble("the queue that was made is not there");
	if (deed->kind & MAKES_SET && dropin_semget(KEY_NEW, 0, 0) != result)
		return trouble("the set that was made is not there");
	if (deed->kind & REMOVES_QUEUE && dropin_msgget(KEY_OLD, 0) != -ENOENT)
		return trouble("the queue that was removed is there");
	if (deed->kind & REMOVES_SET && dropin_semget(KEY_OLD, 0, 0) != -ENOENT)
		return trouble("the set that was removed is there");
	return 0;
}

static int check(const struct deed *deed)
{
	if (check_files() != 0 || check_result(deed) != 0)
		return -1;
	if (deed->kind & SETS && check_permission() != 0)
		return -1;
	if (check_key(deed, KEY_OLD) != 0 || check_key(deed, KEY_NEW) != 0)
		return -1;
	/* And once more, in the places that are free now. */
	slate->result = make_queue();
	slate->set = make_set();
	if (slate->result < 0 || slate->set < 0)
		return trouble("can't make again: %d, %d", slate->result,
		               slate->set);
	if (check_key(deed, KEY_NEW) != 0)
		return -1;
	if (count_ends(".queue") + count_ends(".semaphore_set") != 0)
		return trouble("files are left that no identifier has");
	return 0;
}

static void survivor_body(void *context)
{
	survivor_start();
	enter_space();
	_exit(check(context) == 0 ? 0 : 1);
}

static void judge(const struct deed *deed)
{
	pid_t pid = trace_fork(survivor_body, (void *)deed);
	int status = pid < 0 ? -1 : trace_reap(pid);

	if (status != 0 && board->trouble[0] == '\0')
		trouble("the survivor ended with status %x", status);
	if (board->trouble[0] == '\0')
		experiment_passed();
	else
		experiment_failed();
	drop_space();
}

/* ---- What others can see -------------------------------------------------------------------- */

#define SEEN_BYTES 512u /* the header, and the first slots of each kind */

static struct {
	int fd;
	off_t at[3];
	unsigned char bytes[3][SEEN_BYTES];
} seen = { .fd = -1 };

static void begin_to_see(void)
{
	char file[sizeof(path) + 16];
	struct stat status;

	snprintf(file, sizeof(file), "%s/sysv.segment", path);
	seen.fd = open(file, O_RDONLY | O_CLOEXEC);
	if (seen.fd < 0 || fstat(seen.fd, &status) != 0)
		return;
	seen.at[0] = status.st_size - (off_t)REGISTRY_BYTES;
	seen.at[1] = seen.at[0] + REGISTRY_SLOTS_AT;
	seen.at[2] = seen.at[1] + (off_t)(sizeof(struct registry_slot) *
	                                  REGISTRY_MESSAGE_SLOTS);
}

static int observe(void *context)
{
	unsigned char now[SEEN_BYTES];
	int changed = 0;

	(void)context;
	for (int i = 0; seen.fd >= 0 && i < 3; i++) {
		if (pread(seen.fd, now, SEEN_BYTES, seen.at[i]) != SEEN_BYTES ||
		    memcmp(now, seen.bytes[i], SEEN_BYTES) == 0)
			continue;
		memcpy(seen.bytes[i], now, SEEN_BYTES);
		changed = 1;
	}
	return changed;
}

/* ---- The sweep ------------------------------------------------------------------------------ */

static pid_t spawn_to(const struct deed *deed, const struct trace_point *point)
{
	for (int i = 0; i < TRIES; i++) {
		struct trace_point aim = trial(point, i);
		pid_t pid = spawn(deed);

		if (trace_run_to(pid, &aim) == 0)
			return pid;
		drop_space();
	}
	return 0;
}

static void kill_at(const struct deed *deed, const struct trace *trace,
                    size_t n)
{
	const struct trace_point *point = &trace->points[n];
	pid_t pid;

	if (!experiment("kill %s, place %zu of %zu", deed->name, n,
	                trace->count))
		return;
	board->pc = point->pc;
	pid = spawn_to(deed, point);
	if (pid == 0) {
		experiment_missed();
		return;
	}
	trace_kill(pid);
	board->counts.kills++;
	board->counts.points++;
	board->counts.instructions += point->arrival == 1;
	judge(deed);
}

static void kill_at_syscall(const struct deed *deed, size_t n)
{
	pid_t pid;

	if (!experiment("kill %s, system-call stop %zu", deed->name, n))
		return;
	board->pc = 0;
	pid = spawn(deed);
	if (trace_run_to_syscall(pid, n) == 0) {
		trace_kill(pid);
		board->counts.kills++;
		board->counts.syscalls++;
	}
	judge(deed);
}

static void run_registry(const struct job *job)
{
	const struct deed *deed = job->extra;
	struct trace trace;
	size_t stops, turn = 0;
	pid_t pid;

	slate = mmap(NULL, sizeof(*slate), PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slate == MAP_FAILED || mkdir(worker_path, 0700) != 0)
		broken("can't begin in %s", worker_path);
	pid = spawn(deed);
	begin_to_see();
	if (trace_record(pid, observe, NULL, &trace) != 0)
		broken("can't trace %s", deed->name);
	trace_kill(pid);
	if (seen.fd >= 0)
		close(seen.fd);
	drop_space();
	stops = trace_count_syscalls(spawn(deed));
	drop_space();
	for (size_t n = 1; n <= stops; n++)
		if (portion_wants_stop(n))
			kill_at_syscall(deed, n);
	for (size_t n = 0; n < trace.count; n++)
		if (portion_wants(&trace.points[n], n) &&
		    (trace.points[n].kind & TRACE_CHANGED ||
		     portion_turn(turn++, PLACES_STRIDE)))
			kill_at(deed, &trace, n);
	trace_free(&trace);
}

size_t list_dropin_registry_jobs(struct job *jobs, size_t room)
{
	size_t count = sizeof(deeds) / sizeof(deeds[0]);

	for (size_t i = 0; i < count && i < room; i++)
		jobs[i] = (struct job){ .suite = "dropin_registry",
			                .name = deeds[i].name,
			                .where = "registry",
			                .extra = &deeds[i],
			                .run = run_registry };
	return count < room ? count : room;
}
