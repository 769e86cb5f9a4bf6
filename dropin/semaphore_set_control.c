/* SPDX-License-Identifier: MIT */
/* dropin/semaphore_set_control.c: semget() and semctl(). Order of checks: as
 * ipc/sem.c of Linux has it. */
#include "semaphore_set.h"

#include "calls.h"
#include "fault.h"
#include "memory_probe.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <stoa/semaphore_set.h>

#define SECOND_NS INT64_C(1000000000)
/* <linux/sem.h>: told, though Linux doesn't use them. */
#define SEMMNS_SAID 1024000000
#define SEMUME_SAID 500
#define SEMUSZ_SAID 20

#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)

/* ---- semget ----------------------------------------------------------------------- */

struct wish {
	const struct registry *registry;
	uint32_t count;
};

/* Semaphores of all sets. With the lock held. */
static uint64_t semaphores_used(const struct registry *registry, int *ret_sets)
{
	int highest = registry_highest(registry, REGISTRY_SEMAPHORE), sets = 0;
	struct registry_slot *slot;
	uint64_t sum = 0;

	for (int i = 0; i <= highest; i++) {
		if (registry_find_index(registry, REGISTRY_SEMAPHORE, i,
		                        &slot) < 0)
			continue;
		sum += get(slot->word[SEMAPHORE_COUNT]);
		sets++;
	}
	*ret_sets = sets;
	return sum;
}

static int admit_set(void *context)
{
	const struct wish *wish = context;
	const struct registry_limits *limits = &wish->registry->header->limits;
	int sets;

	if (wish->count == 0)
		return -EINVAL;
	/* If each set could be as large as it may, there is nothing to add. */
	if (get(limits->semmsl) * get(limits->semmni) <= get(limits->semmns))
		return 0;
	return semaphores_used(wish->registry, &sets) + wish->count >
	                       get(limits->semmns) ?
	               -ENOSPC :
	               0;
}

static int make_set(struct stoa_space *space, const char *name,
                    struct registry_slot *slot, void *context)
{
	const struct wish *wish = context;
	struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof(attributes), .count = wish->count
	};
	struct stoa_semaphore_set *set;
	int result = stoa_semaphore_set_open(
	        space, name, STOA_CREATE | STOA_EXCLUSIVE,
	        registry_file_mode(get(slot->mode)), &attributes, &set);

	if (result < 0)
		return result;
	stoa_semaphore_set_close(set);
	atomic_store_explicit(&slot->word[SEMAPHORE_COUNT], wish->count,
	                      memory_order_relaxed);
	return 0;
}

static int check_set(const struct registry_slot *slot, void *context)
{
	const struct wish *wish = context;

	return wish->count > get(slot->word[SEMAPHORE_COUNT]) &&
	                       !DROPIN_FAULT(35) ?
	               -EINVAL :
	               0;
}

int dropin_semget(key_t key, int count, int flags)
{
	struct registry_maker maker = { .admit = admit_set,
		                        .make = make_set,
		                        .check = check_set };
	struct wish wish;
	int result = registry_open(&wish.registry);

	if (result < 0)
		return result;
	const struct registry_limits *limits = &wish.registry->header->limits;
	if (count < 0 || (uint64_t)count > get(limits->semmsl))
		return -EINVAL;
	wish.count = (uint32_t)count;
	maker.most = get(limits->semmni);
	return registry_get(REGISTRY_SEMAPHORE, key, flags, &maker, &wish);
}

/* ---- IPC_INFO, SEM_INFO --------------------------------------------------------------- */

static int tell_limits(int command, struct seminfo *ret_info)
{
	const struct registry *registry;
	int highest, sets = 0, result = registry_lock(&registry);
	uint64_t used;

	if (result < 0)
		return result;
	highest = registry_highest(registry, REGISTRY_SEMAPHORE);
	used = semaphores_used(registry, &sets);
	registry_unlock();
	const struct registry_limits *limits = &registry->header->limits;
	struct seminfo info = { .semmni = (int)get(limits->semmni),
		                .semmns = (int)get(limits->semmns),
		                .semmsl = (int)get(limits->semmsl),
		                .semopm = (int)get(limits->semopm),
		                .semvmx = STOA_SEMAPHORE_SET_VALUE_MAX,
		                .semmnu = SEMMNS_SAID,
		                .semmap = SEMMNS_SAID,
		                .semume = SEMUME_SAID,
		                .semusz = SEMUSZ_SAID,
		                .semaem = STOA_SEMAPHORE_SET_VALUE_MAX };
	if (command == SEM_INFO) {
		info.semusz = sets;
		info.semaem = (int)used;
	}
	if (!probe_writable(ret_info, sizeof(info)))
		return -EFAULT;
	*ret_info = info;
	return highest;
}

/* ---- IPC_STAT, SEM_STAT, SEM_STAT_ANY ------------------------------------------------- */

/* The registry's part. The identifier. */
static int describe(int given, int command, struct semid_ds *ds)
{
	const struct registry *registry;
	struct dropin_permission permission;
	struct registry_slot *slot;
	int result = registry_lock(&registry);

	if (result < 0)
		return result;
	if (command == IPC_STAT)
		result = registry_find(registry, REGISTRY_SEMAPHORE, given,
		                       &slot);
	else
		result = registry_find_index(registry, REGISTRY_SEMAPHORE,
		                             given, &slot);
	if (result == 0 && command != SEM_STAT_ANY) {
		registry_permission(slot, &permission);
		result = dropin_may(&permission, 0444);
	}
	if (result == 0) {
		registry_describe(registry, REGISTRY_SEMAPHORE, slot,
		                  &ds->sem_perm);
		ds->sem_ctime = get(slot->changed);
		ds->sem_nsems = get(slot->word[SEMAPHORE_COUNT]);
		result = registry_slot_id(registry, REGISTRY_SEMAPHORE, slot);
	}
	registry_unlock();
	return result;
}

/* The set's part; nothing of it, if the file can't be opened: that is for
 * SEM_STAT_ANY of what the process may not touch. */
static int look(int id, struct semid_ds *ds)
{
	struct stoa_semaphore_set_status status = { .size = sizeof(status) };
	struct handle *handle;
	int result = handle_get(&semaphore_handles, id, 0, &handle);
	time_t set;

	if (result < 0)
		return result == -EACCES ? 0 : result;
	result = stoa_semaphore_set_stat(handle->object, &status);
	handle_put(handle);
	if (result < 0)
		return result;
	ds->sem_otime = DROPIN_FAULT(36) ?
	                        0 :
	                        status.last_operation_ns / SECOND_NS;
	/* When it was made the registry says, by the tick as time() does: that
	 * may be a second before the time itself. */
	set = status.last_change_ns / SECOND_NS;
	if (status.last_change_ns != status.created_ns && set > ds->sem_ctime)
		ds->sem_ctime = set;
	return 0;
}

static int stat_set(int given, int command, struct semid_ds *ret_ds)
{
	struct semid_ds ds;
	int id, result;

	memset(&ds, 0, sizeof(ds));
	id = describe(given, command, &ds);
	if (id < 0)
		return id;
	result = look(id, &ds);
	if (result < 0)
		return result;
	if (!probe_writable(ret_ds, sizeof(ds)))
		return -EFAULT;
	*ret_ds = ds;
	return command == IPC_STAT ? 0 : id;
}

/* ---- Values ------------------------------------------------------------------------------ */

static int get_all(struct stoa_semaphore_set *set, unsigned short *ret_values)
{
	uint32_t count = stoa_semaphore_set_count(set);
	uint16_t *values = malloc(count * sizeof(*values));
	int result = values ? stoa_semaphore_set_get_all(set, values, count) :
	                      -ENOMEM;

	if (result == 0 &&
	    !probe_writable(ret_values, count * sizeof(*ret_values)))
		result = -EFAULT;
	if (result == 0)
		memcpy(ret_values, values, count * sizeof(*values));
	free(values);
	return result;
}

static int set_all(struct stoa_semaphore_set *set, const unsigned short *values)
{
	uint32_t count = stoa_semaphore_set_count(set);

	if (!probe_readable(values, count * sizeof(*values)))
		return -EFAULT;
	return stoa_semaphore_set_set_all(set, values, count);
}

static int get_one(struct stoa_semaphore_set *set, int semaphore, int command)
{
	struct stoa_semaphore_state state;
	int result;

	if (semaphore < 0 ||
	    (uint32_t)semaphore >= stoa_semaphore_set_count(set))
		return -EINVAL;
	if (command == GETVAL)
		return stoa_semaphore_set_get(set, (uint32_t)semaphore);
	result = stoa_semaphore_set_describe(set, (uint32_t)semaphore, &state);
	if (result < 0)
		return result;
	switch (command) {
	case GETPID:
		return DROPIN_FAULT(37) ? 0 : state.last_pid;
	case GETNCNT:
		return (int)(DROPIN_FAULT(38) ? state.waiting_zero :
		                                state.waiting_increase);
	default:
		return (int)state.waiting_zero;
	}
}

static int on_values(int id, int semaphore, int command, void *argument)
{
	struct handle *handle;
	int result = handle_get(&semaphore_handles, id,
	                        command == SETALL ? HANDLE_WRITE : HANDLE_READ,
	                        &handle);

	if (result < 0)
		return result;
	if (command == GETALL)
		result = get_all(handle->object, argument);
	else if (command == SETALL)
		result = set_all(handle->object, argument);
	else
		result = get_one(handle->object, semaphore, command);
	handle_put(handle);
	return result;
}

/* That there is no such semaphore is told before that it may not be set. */
static int set_one(int id, int semaphore, int value)
{
	struct handle *handle;
	int result, count;

	if (value > STOA_SEMAPHORE_SET_VALUE_MAX || value < 0)
		return DROPIN_FAULT(39) ? -EINVAL : -ERANGE;
	result = handle_get(&semaphore_handles, id, HANDLE_WRITE, &handle);
	if (result == -EACCES) {
		count = semaphore_count(id);
		return count < 0 || semaphore < 0 || semaphore >= count ?
		               -EINVAL :
		               result;
	}
	if (result < 0)
		return result;
	result = semaphore < 0 ? -EINVAL :
	                         stoa_semaphore_set_set(handle->object,
	                                                (uint32_t)semaphore,
	                                                (uint32_t)value);
	handle_put(handle);
	return result == -EFBIG ? -EINVAL : result;
}

/* ---- IPC_SET, IPC_RMID ------------------------------------------------------------------- */

static int change_or_remove(int id, int command, const struct semid_ds *ds)
{
	const struct registry *registry;
	struct dropin_permission permission;
	struct registry_slot *slot;
	int result = registry_lock(&registry);

	if (result < 0)
		return result;
	result = registry_find(registry, REGISTRY_SEMAPHORE, id, &slot);
	if (result == 0) {
		registry_permission(slot, &permission);
		result = dropin_owns(&permission);
	}
	if (result == 0 && command == IPC_RMID) {
		if (registry_remove(registry, REGISTRY_SEMAPHORE, slot) == -ENOMEM)
			result = -ENOMEM;
		else
			handle_forget(&semaphore_handles, id);
	} else if (result == 0 && (ds->sem_perm.uid == (uid_t)-1 ||
	                           ds->sem_perm.gid == (gid_t)-1)) {
		result = -EINVAL;
	} else if (result == 0) {
		registry_change(registry, REGISTRY_SEMAPHORE, slot,
		                ds->sem_perm.uid, ds->sem_perm.gid,
		                ds->sem_perm.mode);
	}
	registry_unlock();
	return result;
}

int dropin_semctl(int id, int semaphore, int command, unsigned long argument)
{
	void *pointer = (void *)argument;

	if (id < 0)
		return -EINVAL;
	switch (command) {
	case IPC_INFO:
	case SEM_INFO:
		return tell_limits(command, pointer);
	case IPC_STAT:
	case SEM_STAT:
	case SEM_STAT_ANY:
		return stat_set(id, command, pointer);
	case GETALL:
	case GETVAL:
	case GETPID:
	case GETNCNT:
	case GETZCNT:
	case SETALL:
		return on_values(id, semaphore, command, pointer);
	case SETVAL:
		return set_one(id, semaphore, (int)argument);
	case IPC_SET:
		if (!probe_readable(pointer, sizeof(struct semid_ds)))
			return -EFAULT;
		return change_or_remove(id, command, pointer);
	case IPC_RMID:
		return change_or_remove(id, command, NULL);
	default:
		return -EINVAL;
	}
}
