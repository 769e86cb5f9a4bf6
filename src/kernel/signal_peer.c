/* SPDX-License-Identifier: MIT */
/*
 * kernel/signal_peer.c: from a peer of a space to its process.
 *
 * The record of a peer says a process number, but whoever may write the life
 * file may have forged it, and a number of another PID namespace is somebody
 * else's here. What can't be forged is the lock that makes the peer alive: the
 * kernel lists, in /proc/PID/fdinfo, the locks of each process's descriptors.
 * So: hold the process (pidfd), see that it has the lock, see that the peer is
 * alive still, and that the process is. Then process and peer were one at that
 * moment, and the pidfd is the process for ever. The record's number is only
 * where the search begins.
 */
#include <base/error.h>
#include <base/system.h>
#include <kernel/proc.h>
#include <kernel/signal_internal.h>
#include <space/space.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define INFO_MAX 4096

struct search {
	char lock[96]; /* the end of the lock's line */
	pid_t pid;     /* whose descriptors are being looked at */
	int refused;   /* some processes can't be looked at */
	int outcome;   /* -errno that ends the search */
	struct stoa_space *space;
	stoa_peer peer;
	struct stoa_signal_target *target; /* once found */
};

/* "lock:\t1: OFDLCK ADVISORY  WRITE 42 00:1a:123 1048576 1048576" */
static int describe_lock(struct search *search)
{
	uint32_t slot = LIFE_SLOT(search->peer);
	char name[32];
	struct stat stat;

	snprintf(name, sizeof name, ".life.%u", slot / LIFE_SLOTS);
	int result = stoa_sys_fstatat(search->space->life.directory, name,
	                              &stat, AT_SYMLINK_NOFOLLOW);
	if (result < 0)
		return result == -ENOENT ? -ESRCH : result;
	unsigned byte = LIFE_LOCK_OFFSET + slot % LIFE_SLOTS;
	snprintf(search->lock, sizeof search->lock,
	         " %02x:%02x:%" PRIu64 " %u %u\n", major(stat.st_dev),
	         minor(stat.st_dev), (uint64_t)stat.st_ino, byte, byte);
	return 0;
}

/* 1: this descriptor has the lock. */
static int look_at_descriptor(int fd, void *context)
{
	struct search *search = context;
	char path[PROC_PATH_MAX], text[INFO_MAX];

	snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)search->pid, fd);
	if (stoa_proc_read(path, text, sizeof text) < 0)
		return 0;
	const char *found = strstr(text, search->lock);
	return found && strstr(text, "OFDLCK") && strstr(text, "WRITE");
}

/* 1: the target is found; 0: it's another process. */
static int try_process(struct search *search, pid_t pid)
{
	struct stoa_signal_target *target;
	char path[PROC_PATH_MAX];
	int result = stoa_signal_target_open(pid, STOA_SIGNAL_PROCESS, &target);

	if (result < 0) {
		if (result == -EMFILE || result == -ENFILE || result == -ENOMEM)
			search->outcome = result;
		return search->outcome != 0;
	}
	search->pid = pid;
	snprintf(path, sizeof path, "/proc/%d/fdinfo", (int)pid);
	result = stoa_proc_each(path, look_at_descriptor, search);
	if (result == -EACCES || result == -EPERM)
		search->refused = 1;
	if (result == 1 &&
	    stoa_life_alive(&search->space->life, search->peer) &&
	    stoa_proc_ended(stoa_signal_target_pollfd(target)) == 0) {
		search->target = target;
		return 1;
	}
	stoa_signal_target_close(target);
	return 0;
}

static int visit_process(int number, void *context)
{
	return try_process(context, (pid_t)number);
}

static int not_found(const struct search *search)
{
	if (search->outcome)
		return search->outcome;
	if (search->refused)
		return stoa_fail(-EACCES,
		                 "who is peer %" PRIx64 " of %s can't be seen "
		                 "here: some processes are other users', and "
		                 "only root may look at them",
		                 search->peer, search->space->path);
	return stoa_fail(-ESRCH,
	                 "peer %" PRIx64 " of %s is dead, or its process is not "
	                 "to be seen from here",
	                 search->peer, search->space->path);
}

int stoa_signal_target_peer(struct stoa_space *space, stoa_peer peer,
                            struct stoa_signal_target **ret_target)
{
	struct search search = { .space = space, .peer = peer };
	struct life_record record;
	int result;

	if (!peer || !stoa_life_alive(&space->life, peer))
		return not_found(&search);
	result = describe_lock(&search);
	if (result < 0)
		return not_found(&search);
	result = stoa_life_record(&space->life, LIFE_SLOT(peer), &record);
	if (result == 0 && record.pid > 0)
		try_process(&search, record.pid);
	if (!search.target && !search.outcome) {
		result = stoa_proc_each("/proc", visit_process, &search);
		if (result < 0 && !search.outcome)
			search.outcome = result;
	}
	if (!search.target)
		return not_found(&search);
	*ret_target = search.target;
	return 0;
}
