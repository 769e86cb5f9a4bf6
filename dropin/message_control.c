/* SPDX-License-Identifier: MIT */
/* dropin/message_control.c: msgget() and msgctl(). Order of checks: as
 * ipc/msg.c of Linux has it. */
#include "message.h"

#include "calls.h"
#include "fault.h"
#include "memory_probe.h"

#include <linux/capability.h>
#include <string.h>
#include <time.h>

#include <stoa/queue.h>

#define SECOND_NS INT64_C(1000000000)
#define MSGSSZ_SAID 16 /* <linux/msg.h>: unused by Linux, but told */
#define MSGSEG_SAID 0xffff

/* Cells, of 344 bytes each as soon as it is first used (they go round): as many
 * as msg_qbytes lets in messages, if it is the default. */
#define CELLS_MAX 65536u
#define ARENA_MIN (UINT64_C(256) << 10)
#define ARENA_MAX (UINT64_C(64) << 20)

static uint64_t limit(const _Atomic uint64_t *word)
{
	/* relaxed: written once, before the registry was known */
	return atomic_load_explicit(word, memory_order_relaxed);
}

static int64_t in_seconds(int64_t ns)
{
	return ns / SECOND_NS;
}

/* ---- msgget ---------------------------------------------------------------------- */

static int make_queue(struct stoa_space *space, const char *name,
                      struct registry_slot *slot, void *context)
{
	const struct registry_limits *limits = context;
	uint64_t qbytes = limit(&limits->msgmnb);
	uint64_t arena = 8 * (qbytes > limit(&limits->msgmax) ?
	                              qbytes :
	                              limit(&limits->msgmax));
	struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes),
		.order = STOA_TYPE,
		.capacity = qbytes < CELLS_MAX ? qbytes ?: 1 : CELLS_MAX,
		.max_message_bytes = limit(&limits->msgmax) ?: 1,
		.total_bytes = arena < ARENA_MIN ? ARENA_MIN :
		               arena > ARENA_MAX ? ARENA_MAX :
		                                   arena,
		.limit_bytes = qbytes,
		.limit_messages = qbytes
	};
	mode_t mode = registry_file_mode(atomic_load_explicit(
	        &slot->mode, memory_order_relaxed));
	struct stoa_queue *queue;
	int result = stoa_queue_open(space, name,
	                             STOA_CREATE | STOA_EXCLUSIVE | STOA_WRITE,
	                             mode, &attributes, &queue);

	if (result < 0)
		return result;
	stoa_queue_close(queue);
	atomic_store_explicit(&slot->word[MESSAGE_QBYTES], qbytes,
	                      memory_order_relaxed);
	return 0;
}

int dropin_msgget(key_t key, int flags)
{
	struct registry_maker maker = { .make = make_queue };
	const struct registry *registry;
	int result = registry_open(&registry);

	if (result < 0)
		return result;
	maker.most = limit(&registry->header->limits.msgmni);
	return registry_get(REGISTRY_MESSAGE, key, flags, &maker,
	                    &registry->header->limits);
}

/* ---- IPC_INFO, MSG_INFO ------------------------------------------------------------ */

/* The messages of one queue; none, if it can't be opened. */
static void add_up(int id, struct msginfo *info)
{
	struct stoa_queue_count count = { .size = sizeof(count) };
	struct handle *handle;

	if (handle_get(&message_handles, id, 0, &handle) < 0)
		return;
	if (stoa_queue_count(handle->object, &count) == 0) {
		info->msgmap += (int)count.messages;
		info->msgtql += (int)count.bytes;
	}
	handle_put(handle);
}

/* Counts queues from `*index` on, up to one that messages may be in. 0: none. */
static int next_queue(const struct registry *registry, int *index, int *queues,
                      int *ret_id)
{
	struct registry_slot *slot;
	int highest = registry_highest(registry, REGISTRY_MESSAGE);

	while (*index <= highest) {
		if (registry_find_index(registry, REGISTRY_MESSAGE, (*index)++,
		                        &slot) < 0)
			continue;
		++*queues;
		if (!atomic_load_explicit(&slot->word[MESSAGE_SENT],
		                          memory_order_relaxed))
			continue;
		*ret_id = registry_slot_id(registry, REGISTRY_MESSAGE, slot);
		return 1;
	}
	return 0;
}

static int used_now(struct msginfo *info)
{
	const struct registry *registry;
	int index = 0, found = 1, id, result = 0;

	info->msgpool = info->msgmap = info->msgtql = 0;
	while (found) {
		result = registry_lock(&registry);
		if (result < 0)
			return result;
		found = next_queue(registry, &index, &info->msgpool, &id);
		registry_unlock();
		if (found)
			add_up(id, info);
	}
	return 0;
}

static int tell_limits(int command, struct msginfo *ret_info)
{
	const struct registry *registry;
	const struct registry_limits *limits;
	struct msginfo info = { 0 };
	int highest, result = registry_lock(&registry);

	if (result < 0)
		return result;
	highest = registry_highest(registry, REGISTRY_MESSAGE);
	registry_unlock();
	limits = &registry->header->limits;
	info.msgmni = (int)limit(&limits->msgmni);
	info.msgmax = (int)limit(&limits->msgmax);
	info.msgmnb = (int)limit(&limits->msgmnb);
	info.msgssz = MSGSSZ_SAID;
	info.msgseg = MSGSEG_SAID;
	if (command == MSG_INFO) {
		result = used_now(&info);
	} else { /* as they are by default, whatever they are */
		info.msgmap = 16384;
		info.msgpool = 512000;
		info.msgtql = 16384;
	}
	if (result < 0)
		return result;
	if (!probe_writable(ret_info, sizeof(info)))
		return -EFAULT;
	*ret_info = info;
	return highest;
}

/* ---- IPC_STAT, MSG_STAT, MSG_STAT_ANY ------------------------------------------------ */

/* The registry's part. The identifier. */
static int describe(int given, int command, struct msqid_ds *ds)
{
	const struct registry *registry;
	struct dropin_permission permission;
	struct registry_slot *slot;
	int result = registry_lock(&registry);

	if (result < 0)
		return result;
	if (command == IPC_STAT)
		result = registry_find(registry, REGISTRY_MESSAGE, given, &slot);
	else
		result = registry_find_index(registry, REGISTRY_MESSAGE, given,
		                             &slot);
	if (result == 0 && command != MSG_STAT_ANY) {
		registry_permission(slot, &permission);
		result = dropin_may(&permission, 0444);
	}
	if (result == 0) {
		registry_describe(registry, REGISTRY_MESSAGE, slot,
		                  &ds->msg_perm);
		ds->msg_ctime = atomic_load_explicit(&slot->changed,
		                                     memory_order_relaxed);
		ds->msg_qbytes =
		        atomic_load_explicit(&slot->word[MESSAGE_QBYTES],
		                             memory_order_relaxed);
		result = registry_slot_id(registry, REGISTRY_MESSAGE, slot);
	}
	registry_unlock();
	return result;
}

/* The queue's part; nothing of it, if the file can't be opened: that is for
 * MSG_STAT_ANY of what the process may not touch. */
static int count(int id, struct msqid_ds *ds)
{
	struct stoa_queue_count now = { .size = sizeof(now) };
	struct handle *handle;
	int result = handle_get(&message_handles, id, 0, &handle);

	if (result < 0)
		return result == -EACCES ? 0 : result;
	result = stoa_queue_count(handle->object, &now);
	handle_put(handle);
	if (result < 0)
		return result;
	ds->msg_qnum = now.messages - DROPIN_FAULT(28);
	ds->__msg_cbytes = now.bytes;
	ds->msg_stime = in_seconds(now.last_send_ns);
	ds->msg_rtime = in_seconds(now.last_receive_ns);
	ds->msg_lspid = now.last_sender_pid;
	ds->msg_lrpid = DROPIN_FAULT(29) ? now.last_sender_pid :
	                                   now.last_receiver_pid;
	if (now.limit_bytes != STOA_QUEUE_UNLIMITED)
		ds->msg_qbytes = now.limit_bytes;
	return 0;
}

static int stat_queue(int given, int command, struct msqid_ds *ret_ds)
{
	struct msqid_ds ds;
	int id, result;

	memset(&ds, 0, sizeof(ds));
	id = describe(given, command, &ds);
	if (id < 0)
		return id;
	result = count(id, &ds);
	if (result < 0)
		return result;
	if (!probe_writable(ret_ds, sizeof(ds)))
		return -EFAULT;
	*ret_ds = ds;
	return command == IPC_STAT ? 0 : id;
}

/* ---- IPC_SET, IPC_RMID ------------------------------------------------------------------ */

static int set_qbytes(const struct registry *registry, int id,
                      struct registry_slot *slot, uint64_t qbytes)
{
	struct handle *handle;
	int result = handle_find_held(registry, &message_handles, id, 0,
	                              &handle);

	if (result < 0)
		return result;
	result = stoa_queue_set_limit(handle->object, qbytes, qbytes);
	handle_put(handle);
	if (result == 0)
		atomic_store_explicit(&slot->word[MESSAGE_QBYTES], qbytes,
		                      memory_order_relaxed);
	return result;
}

static int change(const struct registry *registry, int id,
                  struct registry_slot *slot, const struct msqid_ds *ds)
{
	int result;

	if (ds->msg_qbytes > limit(&registry->header->limits.msgmnb) &&
	    !dropin_capable(CAP_SYS_RESOURCE) && !DROPIN_FAULT(30))
		return -EPERM;
	if (ds->msg_perm.uid == (uid_t)-1 || ds->msg_perm.gid == (gid_t)-1)
		return -EINVAL;
	result = set_qbytes(registry, id, slot, ds->msg_qbytes);
	if (result < 0)
		return result;
	registry_change(registry, REGISTRY_MESSAGE, slot, ds->msg_perm.uid,
	                ds->msg_perm.gid, ds->msg_perm.mode);
	return 0;
}

static int change_or_remove(int id, int command, const struct msqid_ds *ds)
{
	const struct registry *registry;
	struct dropin_permission permission;
	struct registry_slot *slot;
	int result = registry_lock(&registry);

	if (result < 0)
		return result;
	result = registry_find(registry, REGISTRY_MESSAGE, id, &slot);
	if (result == 0) {
		registry_permission(slot, &permission);
		result = dropin_owns(&permission);
		if (result < 0 && DROPIN_FAULT(31))
			result = -EACCES;
	}
	if (result == 0 && command == IPC_SET) {
		result = change(registry, id, slot, ds);
	} else if (result == 0) {
		if (registry_remove(registry, REGISTRY_MESSAGE, slot) == -ENOMEM)
			result = -ENOMEM;
		else
			handle_forget(&message_handles, id);
	}
	registry_unlock();
	return result;
}

int dropin_msgctl(int id, int command, struct msqid_ds *ds)
{
	if (id < 0 || command < 0)
		return -EINVAL;
	switch (command) {
	case IPC_INFO:
	case MSG_INFO:
		return tell_limits(command, (struct msginfo *)(void *)ds);
	case IPC_STAT:
	case MSG_STAT:
	case MSG_STAT_ANY:
		return stat_queue(id, command, ds);
	case IPC_SET:
		if (!probe_readable(ds, sizeof(*ds)))
			return -EFAULT;
		return change_or_remove(id, command, ds);
	case IPC_RMID:
		return change_or_remove(id, command, NULL);
	default:
		return -EINVAL;
	}
}
