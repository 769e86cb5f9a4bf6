/* SPDX-License-Identifier: MIT */
/*
 * dropin_attach.c: victims are killed in the calls that change who is attached
 * to a segment of System V: shmat(), shmdt(), munmap() of a part, SHM_REMAP,
 * IPC_RMID, and fork(), on both sides of it. Whatever the instruction: right
 * afterwards nattch is the number of attachments of the living; a segment that
 * was removed goes with the last of them, however that one went; and one that
 * was not removed has its key.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dropin/calls.h>
#include <dropin/memory.h>

#include "dropin_sweep.h"

#define KEY 0x53
#define PAGE 4096
#define BYTES ((size_t)3 * PAGE)

/* Words of the slate. */
enum word { ID, READY, OTHER, AT_FORK };

enum deed_kind {
	HOLDS = 1,    /* the victim is attached before */
	HELPER = 2,   /* somebody alive is */
	REMOVED = 4,  /* before the victim begins */
	REMOVES = 8,
	FORKS = 16,   /* the parent is the victim */
	IN_CHILD = 32, /* the child is */
	REPLACES = 64  /* by the other segment */
};

static const struct dropin_deed *the_deed; /* of the victim */
static void *where;                        /* it is attached */
static int fifo;

static int id(void)
{
	return (int)slate->words[ID];
}

static int attach(int segment, const void *at, int flags)
{
	return dropin_shmat(segment, at, flags, &where);
}

/* ---- The ground --------------------------------------------------------------------- */

static void lay_ground(const struct dropin_deed *deed)
{
	(void)deed;
	slate->words[ID] = dropin_shmget(KEY, BYTES, IPC_CREAT | 0600);
	slate->words[OTHER] = dropin_shmget(IPC_PRIVATE, BYTES, 0600);
	if (id() < 0 || slate->words[OTHER] < 0)
		_exit(1);
}

static void stay_attached(void)
{
	slate->words[READY] = attach(id(), NULL, 0) == 0 ? 1 : -1;
	for (;;)
		pause();
}

static void begin(const struct dropin_deed *deed)
{
	if (!(deed->kind & HELPER))
		return;
	dropin_helper(0, stay_attached);
	while (slate->words[READY] == 0)
		if (trace_await_sleep(slate->helpers[0]) != 0)
			broken("the helper ended");
	if (slate->words[READY] < 0)
		broken("the helper is not attached");
}

/* Which the dead victim's child has open, too, if there is one. */
static int open_fifo(int flags)
{
	char name[192];

	snprintf(name, sizeof(name), "%s/child", dropin_path);
	if (mkfifo(name, 0600) != 0 && errno != EEXIST)
		return -1;
	return open(name, flags | O_NONBLOCK | O_CLOEXEC);
}

static void in_forked_child(void)
{
	if (the_deed->kind & IN_CHILD)
		trace_begin();
}

static void prepare(const struct dropin_deed *deed)
{
	struct shmid_ds ds;

	the_deed = deed;
	fifo = open_fifo(O_RDWR);
	/* Before the drop-in's handlers, and so first. */
	if (deed->kind & IN_CHILD) {
		slate->helpers[1] = getpid();
		pthread_atfork(NULL, NULL, in_forked_child);
	}
	if (dropin_shmctl(id(), IPC_STAT, &ds) != 0 ||
	    (deed->kind & HOLDS && attach(id(), NULL, 0) != 0) ||
	    (deed->kind & REMOVED && dropin_shmctl(id(), IPC_RMID, NULL) != 0))
		_exit(1);
}

/* ---- The deeds ------------------------------------------------------------------------ */

static int64_t run_attach(void)
{
	return attach(id(), NULL, 0);
}

static int64_t run_replace(void)
{
	return attach((int)slate->words[OTHER], where, SHM_REMAP);
}

static int64_t run_detach(void)
{
	return dropin_shmdt(where);
}

static int64_t run_unmap(void)
{
	return memory_munmap((char *)where + PAGE, PAGE);
}

static int64_t run_remove(void)
{
	return dropin_shmctl(id(), IPC_RMID, NULL);
}

static int64_t attachments(void)
{
	struct shmid_ds ds;
	int result = dropin_shmctl(id(), IPC_STAT, &ds);

	return result < 0 ? result : (int64_t)ds.shm_nattch;
}

/* The child of the victim stays, and says so. */
static int64_t run_fork(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0 ? pid : 0;
	slate->helpers[1] = getpid();
	if (write(fifo, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* The victim's parent stays, and says what it saw when fork() was back. */
static int64_t run_in_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		return 0;
	slate->words[AT_FORK] = attachments();
	slate->words[READY] = 1;
	for (;;)
		pause();
}

static const struct dropin_deed deeds[] = {
	{ "attach", 0, run_attach },
	{ "attach-more", HOLDS | HELPER, run_attach },
	{ "attach-removed", HELPER | REMOVED, run_attach },
	{ "replace", HOLDS | HELPER | REPLACES, run_replace },
	{ "detach", HOLDS | HELPER, run_detach },
	{ "detach-removed", HOLDS | REMOVED, run_detach },
	{ "unmap", HOLDS | HELPER, run_unmap },
	{ "remove", HELPER | REMOVES, run_remove },
	{ "remove-own", HOLDS | REMOVES, run_remove },
	{ "fork", HOLDS | FORKS, run_fork },
	{ "fork-removed", HOLDS | FORKS | REMOVED, run_fork },
	{ "child", HOLDS | IN_CHILD | DEED_FORKED, run_in_child },
};

/* ---- The survivor ------------------------------------------------------------------------ */

/* Is there a child of the dead victim? Then until it is out of its fork, or
 * dead. */
static int child_left(void)
{
	int fd = open_fifo(O_RDONLY);
	ssize_t got;
	char said;

	while ((got = read(fd, &said, 1)) < 0 && errno == EAGAIN)
		sched_yield();
	close(fd);
	return got == 1;
}

/* The parent, whose child was killed, comes out of fork(). */
static int check_parent(void)
{
	while (!slate->words[READY])
		if (trace_await_sleep(slate->helpers[1]) != 0)
			return trouble("the parent ended");
	/* The child may have died behind it. */
	if (slate->words[AT_FORK] != 1 && slate->words[AT_FORK] != 2)
		return trouble("the parent saw %lld attachments, not 1 or 2",
		               (long long)slate->words[AT_FORK]);
	return 1;
}

static int check_count(int64_t wanted)
{
	int64_t found = attachments();

	return found == wanted ? 0 :
	                         trouble("nattch is %lld, not %lld",
	                                 (long long)found, (long long)wanted);
}

/* Who is removed and of whom nobody is left is nowhere. */
static int check_gone(int files)
{
	struct shm_info info;
	int result = dropin_shmget(KEY, 0, 0);

	if (result != -ENOENT)
		return trouble("the key of a removed segment: %d", result);
	if (dropin_shmctl(0, SHM_INFO, (struct shmid_ds *)&info) < 0)
		return trouble("SHM_INFO failed");
	if (info.used_ids != files)
		return trouble("%d segments are there, not %d", info.used_ids,
		               files);
	if (dropin_count_files("sysv.", ".shared_memory") != files)
		return trouble("%d files of segments, not %d",
		               dropin_count_files("sysv.", ".shared_memory"),
		               files);
	return attachments() == -EINVAL ? 0 :
	                                  trouble("a segment is there still");
}

static int is_removed(void)
{
	struct shmid_ds ds;

	return dropin_shmctl(id(), IPC_STAT, &ds) != 0 ||
	       ds.shm_perm.mode & SHM_DEST;
}

/* Attached and detached once more, and again by one that dies. */
static int check_serves(int64_t before)
{
	pid_t pid;

	if (attach(id(), NULL, 0) != 0 || check_count(before + 1) != 0)
		return trouble("can't attach");
	*(char *)where = 1;
	pid = fork();
	if (pid == 0) {
		if (check_count(before + 2) != 0)
			_exit(1);
		_exit(attach(id(), NULL, 0) != 0 ||
		      check_count(before + 3) != 0);
	}
	if (pid < 0 || trace_reap(pid) != 0)
		return trouble("another can't attach");
	if (check_count(before + 1) != 0 || dropin_shmdt(where) != 0)
		return trouble("can't detach");
	return check_count(before);
}

static int64_t count_living(const struct dropin_deed *deed)
{
	int64_t living = deed->kind & HELPER ? 1 : 0;

	if (deed->kind & FORKS)
		living += child_left();
	if (deed->kind & IN_CHILD)
		living += check_parent();
	return living;
}

/* The other segment, which stays. */
static int check_other(void)
{
	struct shmid_ds ds;

	if (dropin_shmctl((int)slate->words[OTHER], IPC_STAT, &ds) != 0 ||
	    ds.shm_nattch != 0)
		return trouble("the other segment is not as it was");
	return 0;
}

static int end_living(int64_t living, int removed)
{
	for (int i = 0; i < 2; i++)
		if (slate->helpers[i] > 0)
			dropin_helper_end(slate->helpers[i]);
	return removed ? 0 : living > 0 ? check_count(0) : 0;
}

static int check(const struct dropin_deed *deed)
{
	int64_t living = count_living(deed);
	int removed;

	if (slate->returned && slate->result != 0)
		return trouble("the victim's call gave %lld",
		               (long long)slate->result);
	if (living < 0)
		return -1;
	/* Before anybody asks for it by its identifier, which finds it so. */
	if (living == 0 && deed->kind & REMOVED)
		return check_gone(1) != 0 ? -1 : check_other();
	removed = is_removed();
	if (removed && !(deed->kind & (REMOVED | REMOVES)))
		return trouble("the segment is gone");
	if (!removed && (deed->kind & REMOVED ||
	                 (deed->kind & REMOVES && slate->returned)))
		return trouble("the segment that was removed is there");
	if (!removed && dropin_shmget(KEY, 0, 0) != id())
		return trouble("the segment has lost its key");
	if (removed && living == 0)
		return check_gone(1) != 0 ? -1 : check_other();
	if (removed && dropin_shmget(KEY, 0, 0) != -ENOENT)
		return trouble("the removed segment has its key");
	if (check_count(living) != 0 || check_serves(living) != 0 ||
	    end_living(living, removed) != 0 || check_other() != 0)
		return -1;
	if (!removed && dropin_shmctl(id(), IPC_RMID, NULL) != 0)
		return trouble("the segment can't be removed");
	return check_gone(1);
}

/* The header; the slots of segments; the attachments. */
static size_t parts(struct dropin_part parts[PARTS_MAX])
{
	const uint64_t at[] = { 0,
		                REGISTRY_BLOCKS_AT +
		                        offsetof(struct registry_block,
		                                 slots[REGISTRY_MEMORY]),
		                REGISTRY_BLOCKS_AT +
		                        offsetof(struct registry_block,
		                                 attachments) };

	for (size_t i = 0; i < PARTS_MAX; i++)
		parts[i] = (struct dropin_part){
			.file = "sysv.segment",
			.at = (int64_t)at[i] - (int64_t)REGISTRY_BYTES_MOST,
			.bytes = 512
		};
	return PARTS_MAX;
}

const struct dropin_noun dropin_attach_noun = {
	.suite = "dropin_attach",
	.where = "segment",
	.deeds = deeds,
	.count = sizeof(deeds) / sizeof(deeds[0]),
	.begin = begin,
	.ground = lay_ground,
	.prepare = prepare,
	.check = check,
	.parts = parts
};
