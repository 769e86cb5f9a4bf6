/* SPDX-License-Identifier: MIT */
/* dropin/memory_control.c: shmctl(); see memory_layout.h. */
#include "calls.h"
#include "copy.h"
#include "fault.h"
#include "kernel.h"
#include "memory.h"
#include "memory_table.h"

#include <base/system.h>

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), (value), memory_order_relaxed)

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

/* ---- Of one ---------------------------------------------------------------------- */

static void describe(const struct registry *registry,
                     const struct registry_slot *slot, uint32_t count,
                     struct shmid_ds *ret_ds)
{
	uint64_t pids = get(slot->word[MEMORY_PIDS]);

	memset(ret_ds, 0, sizeof(*ret_ds));
	registry_describe(registry, REGISTRY_MEMORY, slot, &ret_ds->shm_perm);
	ret_ds->shm_segsz = get(slot->word[MEMORY_BYTES]);
	ret_ds->shm_atime = (time_t)get(slot->word[MEMORY_ATTACHED]);
	ret_ds->shm_dtime = (time_t)get(slot->word[MEMORY_DETACHED]);
	ret_ds->shm_ctime = (time_t)get(slot->changed);
	ret_ds->shm_cpid = (pid_t)(uint32_t)pids;
	ret_ds->shm_lpid = (pid_t)(uint32_t)(pids >> 32);
	ret_ds->shm_nattch = count;
}

/* With its identifier, or (SHM_STAT) its index. The identifier. */
static int find_either(const struct registry *registry, int id, int command,
                       struct registry_slot **ret_slot, uint32_t *ret_count)
{
	struct registry_slot *slot;
	int result;

	if (command != IPC_STAT) {
		result = registry_find_index(registry, REGISTRY_MEMORY, id,
		                             &slot);
		if (result < 0)
			return result;
		id = registry_slot_id(registry, REGISTRY_MEMORY, slot);
	}
	result = memory_find(registry, id, ret_slot, ret_count);
	return result < 0 ? result : id;
}

static int look(const struct registry *registry, int id, int command,
                struct shmid_ds *ret_ds)
{
	struct dropin_permission permission;
	struct registry_slot *slot;
	uint32_t count;
	int result = find_either(registry, id, command, &slot, &count);

	if (result < 0)
		return result;
	id = result;
	registry_permission(slot, &permission);
	result = command == SHM_STAT_ANY || DROPIN_FAULT(63) ?
	                 0 :
	                 dropin_may(&permission, 0444);
	if (result < 0)
		return result;
	describe(registry, slot, count, ret_ds);
	return command == IPC_STAT ? 0 : id;
}

static int status(int id, int command, struct shmid_ds *user)
{
	const struct registry *registry;
	struct shmid_ds ds;
	int result = registry_lock(&registry), copied;

	if (result < 0)
		return result;
	result = look(registry, id, command, &ds);
	registry_unlock();
	if (result < 0)
		return result;
	copied = dropin_copy_out(user, &ds, sizeof(ds));
	return copied < 0 ? copied : result;
}

static int change(const struct registry *registry, int id, int command,
                  const struct shmid_ds *ds)
{
	struct dropin_permission permission;
	struct registry_slot *slot;
	int result = memory_find(registry, id, &slot, NULL);

	if (result < 0)
		return result;
	registry_permission(slot, &permission);
	result = dropin_owns(&permission);
	if (result < 0 && !DROPIN_FAULT(64))
		return result;
	if (command == IPC_RMID)
		return memory_remove(registry, slot, id);
	if (ds->shm_perm.uid == (uid_t)-1 || ds->shm_perm.gid == (gid_t)-1)
		return -EINVAL;
	registry_change(registry, REGISTRY_MEMORY, slot, ds->shm_perm.uid,
	                ds->shm_perm.gid, ds->shm_perm.mode);
	return 0;
}

/* Whether it may be locked in memory. Nothing is: a tmpfs has no such lock. */
static int may_lock(const struct registry_slot *slot, int command)
{
	struct dropin_permission permission;
	struct rlimit limit;
	uid_t uid = (uid_t)dropin_kernel(SYS_geteuid, 0);

	if (dropin_capable(CAP_IPC_LOCK))
		return 0;
	registry_permission(slot, &permission);
	if (uid != permission.uid && uid != permission.cuid)
		return -EPERM;
	if (command != SHM_LOCK || getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	if (limit.rlim_cur == 0)
		return -EPERM;
	return get(slot->word[MEMORY_BYTES]) > limit.rlim_cur ? -ENOMEM : 0;
}

static int lock(const struct registry *registry, int id, int command)
{
	struct registry_slot *slot;
	int result = memory_find(registry, id, &slot, NULL);

	if (result == 0)
		result = may_lock(slot, command);
	if (result < 0)
		return result;
	if (command == SHM_LOCK)
		set(slot->mode, get(slot->mode) | SHM_LOCKED);
	else
		set(slot->mode, get(slot->mode) & ~(uint32_t)SHM_LOCKED);
	return 0;
}

static int control(int id, int command, const struct shmid_ds *user)
{
	const struct registry *registry;
	struct shmid_ds ds;
	int result = command == IPC_SET ?
	                     dropin_copy_in(&ds, user, sizeof(ds)) :
	                     0;

	if (result == 0)
		result = registry_lock(&registry);
	if (result < 0)
		return result;
	if (command == SHM_LOCK || command == SHM_UNLOCK)
		result = lock(registry, id, command);
	else
		result = change(registry, id, command, &ds);
	registry_unlock();
	return result;
}

/* ---- Of all -------------------------------------------------------------------------- */

static int limits(struct shmid_ds *user)
{
	const struct registry *registry;
	struct shminfo info;
	int result = registry_lock(&registry), copied;

	if (result < 0)
		return result;
	memory_sweep(registry);
	info = (struct shminfo){
		.shmmax = get(registry->header->limits.shmmax),
		.shmmin = 1,
		.shmmni = get(registry->header->limits.shmmni),
		.shmseg = get(registry->header->limits.shmmni),
		.shmall = get(registry->header->limits.shmall)
	};
	result = registry_highest(registry, REGISTRY_MEMORY);
	registry_unlock();
	copied = dropin_copy_out(user, &info, sizeof(info));
	return copied < 0 ? copied : result;
}

/* Pages that are there; those swapped out are among them. */
static uint64_t pages_there(int id, uint64_t page)
{
	char path[REGISTRY_PATH_BYTES];
	struct stat stat;

	if (registry_path(REGISTRY_MEMORY, id, path) < 0 ||
	    stoa_sys_fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return (uint64_t)stat.st_blocks * 512 / page;
}

static void add_up(const struct registry *registry, struct shm_info *info)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int highest = registry_highest(registry, REGISTRY_MEMORY);

	for (int i = 0; i <= highest; i++) {
		struct registry_slot *slot;

		if (registry_find_index(registry, REGISTRY_MEMORY, i, &slot) <
		    0)
			continue;
		info->used_ids++;
		info->shm_tot += (get(slot->word[MEMORY_BYTES]) + page - 1) /
		                 page;
		info->shm_rss += pages_there(
		        registry_slot_id(registry, REGISTRY_MEMORY, slot),
		        page);
	}
}

static int summary(struct shmid_ds *user)
{
	const struct registry *registry;
	struct shm_info info = { 0 };
	int result = registry_lock(&registry), copied;

	if (result < 0)
		return result;
	memory_sweep(registry);
	add_up(registry, &info);
	result = registry_highest(registry, REGISTRY_MEMORY);
	registry_unlock();
	copied = dropin_copy_out(user, &info, sizeof(info));
	return copied < 0 ? copied : result;
}

int dropin_shmctl(int id, int command, struct shmid_ds *ds)
{
	if (command < 0 || id < 0)
		return -EINVAL;
	switch (command) {
	case IPC_INFO:
		return limits(ds);
	case SHM_INFO:
		return summary(ds);
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		return status(id, command, ds);
	case IPC_SET:
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
		return control(id, command, ds);
	default:
		return -EINVAL;
	}
}
