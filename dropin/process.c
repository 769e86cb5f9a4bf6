/* SPDX-License-Identifier: MIT */
/* dropin/process.c: the space, who the process is, and its forks. */
#include "kernel.h"
#include "lock.h"
#include "process.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct stoa_lock process_lock;

/* ---- The space ------------------------------------------------------------- */

static struct stoa_space *_Atomic the_space;
static int refused; /* and told */

static void tell_refusal(int result)
{
	if (refused)
		return;
	refused = 1;
	fprintf(stderr,
	        "stoa: no interprocess communication for process %d: %s (%s)\n",
	        getpid(), stoa_last_error(), strerror(-result));
}

int dropin_space(struct stoa_space **ret_space)
{
	/* acquire: pairs with the release below */
	struct stoa_space *space =
	        atomic_load_explicit(&the_space, memory_order_acquire);
	int result = 0;

	if (!space) {
		dropin_lock(&process_lock);
		space = atomic_load_explicit(&the_space, memory_order_relaxed);
		if (!space)
			result = stoa_space_open(NULL, 0, &space);
		if (result < 0)
			tell_refusal(result);
		else
			atomic_store_explicit(&the_space, space,
			                      memory_order_release);
		dropin_unlock(&process_lock);
	}
	if (result < 0)
		return -ENOSYS;
	*ret_space = space;
	return 0;
}

/* ---- Who asks ----------------------------------------------------------------- */

_Atomic uint32_t dropin_identity = 1;

/* What the kernel said when the identity was `known`: it, and not a library
 * that plays another user for the program, as fakeroot does, and may itself ask
 * by a message, here under the lock. */
static struct {
	uint32_t known;
	uid_t uid;
	gid_t gid;
	uint64_t capabilities;
	int group_count;
	gid_t *groups;
} who;

static uint64_t effective_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2] = { 0 };

	if (dropin_kernel(SYS_capget, (long)&header, (long)data) < 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static void learn_groups(void)
{
	long count = dropin_kernel(SYS_getgroups, 0, 0);
	gid_t *groups = count > 0 ? calloc((size_t)count, sizeof(gid_t)) : NULL;

	free(who.groups);
	who.groups = groups;
	who.group_count = groups ? (int)dropin_kernel(SYS_getgroups, count,
	                                              (long)groups) :
	                           0;
	if (who.group_count < 0)
		who.group_count = 0;
}

/* With the lock held, which the caller gives back. */
static void who_asks(void)
{
	uint32_t now = dropin_identity_now();

	dropin_lock(&process_lock);
	if (who.known == now)
		return;
	who.uid = (uid_t)dropin_kernel(SYS_geteuid, 0);
	who.gid = (gid_t)dropin_kernel(SYS_getegid, 0);
	who.capabilities = effective_capabilities();
	learn_groups();
	who.known = now;
}

static int in_group(gid_t gid)
{
	if (who.gid == gid)
		return 1;
	for (int i = 0; i < who.group_count; i++)
		if (who.groups[i] == gid)
			return 1;
	return 0;
}

static int has(int capability)
{
	return who.capabilities >> capability & 1;
}

int dropin_may(const struct dropin_permission *permission, mode_t wanted)
{
	mode_t granted = permission->mode;
	int result;

	wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
	who_asks();
	if (who.uid == permission->cuid || who.uid == permission->uid)
		granted >>= 6;
	else if (in_group(permission->cgid) || in_group(permission->gid))
		granted >>= 3;
	result = (wanted & ~granted & 7) && !has(CAP_IPC_OWNER) ? -EACCES : 0;
	dropin_unlock(&process_lock);
	return result;
}

int dropin_owns(const struct dropin_permission *permission)
{
	int result;

	who_asks();
	result = who.uid == permission->cuid || who.uid == permission->uid ||
	                         has(CAP_SYS_ADMIN) ?
	                 0 :
	                 -EPERM;
	dropin_unlock(&process_lock);
	return result;
}

int dropin_capable(int capability)
{
	int result;

	who_asks();
	result = has(capability);
	dropin_unlock(&process_lock);
	return result;
}

int dropin_may_open(uid_t uid, gid_t gid, mode_t mode, unsigned wanted)
{
	int result;

	who_asks();
	if (who.uid == uid)
		mode >>= 6;
	else if (in_group(gid))
		mode >>= 3;
	result = !(wanted & ~mode & 7) || has(CAP_DAC_OVERRIDE) ||
	                         (wanted == 4 && has(CAP_DAC_READ_SEARCH)) ?
	                 0 :
	                 -EACCES;
	dropin_unlock(&process_lock);
	return result;
}

/* umask() tells it only by changing it, which other threads would notice. */
mode_t dropin_umask(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned mask, found = 0;
	char line[128];

	while (status && !found && fgets(line, sizeof(line), status))
		found = sscanf(line, "Umask: %o", &mask) == 1;
	if (status)
		fclose(status);
	if (found)
		return mask;
	mask = umask(077);
	umask(mask);
	return mask;
}

void dropin_self(struct dropin_permission *ret_permission, mode_t mode)
{
	who_asks();
	*ret_permission = (struct dropin_permission){
		.uid = who.uid,
		.cuid = who.uid,
		.gid = who.gid,
		.cgid = who.gid,
		.mode = mode & 0777
	};
	dropin_unlock(&process_lock);
}

/* ---- Forks ---------------------------------------------------------------------- */

static struct dropin_fork *forks; /* the newest first */

static void before_fork(void)
{
	for (struct dropin_fork *entry = forks; entry; entry = entry->next)
		if (entry->before)
			entry->before();
}

static void in_parent(void)
{
	for (struct dropin_fork *entry = forks; entry; entry = entry->next)
		if (entry->parent)
			entry->parent();
}

static void in_child(void)
{
	for (struct dropin_fork *entry = forks; entry; entry = entry->next)
		entry->child();
}

/* libstoa's own handlers must know of the child first: the space is opened
 * before, and child handlers run in the order of their registration. */
static void register_handlers(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

void dropin_fork_enlist(struct dropin_fork *entry)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct stoa_space *space;

	if (dropin_space(&space) < 0)
		return;
	pthread_once(&once, register_handlers);
	dropin_lock(&process_lock);
	entry->next = forks;
	forks = entry;
	dropin_unlock(&process_lock);
}

/* ---- Time -------------------------------------------------------------------------- */

int dropin_deadline(clockid_t clock, const struct timespec *time,
                    struct stoa_deadline *ret_deadline)
{
	if (!time) {
		*ret_deadline = STOA_FOREVER;
		return 0;
	}
	if (time->tv_sec < 0 || time->tv_nsec < 0 ||
	    time->tv_nsec > 999999999)
		return -EINVAL;
	return stoa_deadline_at(clock, time, ret_deadline);
}
