/* SPDX-License-Identifier: MIT */
/*
 * dropin/mq_open.c: opening and unlinking queues.
 *
 * Whoever may do anything with a queue must be able to write its file, so the
 * file's mode is wider than the queue's. What the queue's own permission is,
 * its label tells, which never changes:
 *
 *   label[0]   MQ_LABEL | mode, nine bits
 *   label[1]   owner's user << 32 | group
 *
 * The kernel's word on the file still is the last: a label gives nothing.
 */
#include "mq.h"

#include "calls.h"
#include "fault.h"
#include "kernel.h"
#include "memory_probe.h"
#include "process.h"
#include "registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MQ_LABEL (UINT64_C(0x716d) << 48)
#define SUFFIX ".queue"
#define PATH_BYTES (4096 + MQ_NAME_BYTES + sizeof(SUFFIX))
#define OPEN_TRIES 100
#define OPEN_FLAGS (STOA_READ | STOA_WRITE | STOA_INTERRUPTIBLE | STOA_RESTART)

/* The kernel's, of include/linux/ipc_namespace.h and ipc/mqueue.c. */
#define QUEUES_MAX 256
#define MSG_MAX 10
#define MSGSIZE_MAX 8192
#define MSG_DEFAULT 10
#define MSGSIZE_DEFAULT 8192
#define HARD_MSGMAX 65536
#define HARD_MSGSIZEMAX (16 * 1024 * 1024)
#define MSG_BYTES 48  /* of its own for each message: struct msg_msg */
#define NODE_BYTES 48 /* and for each priority: struct posix_msg_tree_node */

/* ---- Limits ---------------------------------------------------------------------- */

struct limits {
	uint64_t queues_max, msg_max, msgsize_max;
};

static void find_limits(struct limits *ret_limits)
{
	const struct registry *registry;
	struct registry_limits *limits;

	*ret_limits = (struct limits){ QUEUES_MAX, MSG_MAX, MSGSIZE_MAX };
	if (registry_open(&registry) < 0)
		return;
	limits = &registry->header->limits;
	/* relaxed: constant since the registry was made */
	ret_limits->queues_max = atomic_load_explicit(&limits->mq_queues_max,
	                                              memory_order_relaxed);
	ret_limits->msg_max = atomic_load_explicit(&limits->mq_msg_max,
	                                           memory_order_relaxed);
	ret_limits->msgsize_max = atomic_load_explicit(&limits->mq_msgsize_max,
	                                               memory_order_relaxed);
}

/* What the kernel counts against RLIMIT_MSGQUEUE. */
static uint64_t counted_bytes(uint64_t messages, uint64_t message_bytes)
{
	uint64_t nodes = messages < MQ_PRIORITIES ? messages : MQ_PRIORITIES;

	return messages * (message_bytes + MSG_BYTES) + nodes * NODE_BYTES;
}

static int is_queue(const char *file)
{
	size_t bytes = strlen(file);

	return (strncmp(file, "mq.", 3) == 0 || strncmp(file, "mq-.", 4) == 0) &&
	       bytes > sizeof(SUFFIX) &&
	       strcmp(file + bytes - (sizeof(SUFFIX) - 1), SUFFIX) == 0;
}

/* What the queue `file` counts, if it is the caller's. */
static uint64_t bytes_of(struct stoa_space *space, DIR *directory,
                         const char *file)
{
	struct stoa_queue_stat found = { .size = sizeof(found) };
	char name[MQ_NAME_BYTES];
	struct stoa_queue *queue;
	struct stat status;

	if (dropin_kernel(SYS_newfstatat, dirfd(directory), (long)file,
	                  (long)&status, AT_SYMLINK_NOFOLLOW) < 0 ||
	    status.st_uid != (uid_t)dropin_kernel(SYS_geteuid, 0))
		return 0;
	snprintf(name, sizeof(name), "%.*s",
	         (int)(strlen(file) - (sizeof(SUFFIX) - 1)), file);
	if (stoa_queue_open(space, name, STOA_READ, 0, NULL, &queue) < 0)
		return 0;
	if (stoa_queue_stat(queue, &found) < 0)
		found.capacity = 0;
	stoa_queue_close(queue);
	return counted_bytes(found.capacity, found.max_message_bytes);
}

/* Is there room for one more, of that many bytes? 0 bytes: however many it has,
 * and then what the others have isn't looked at. -ENOSPC, -EMFILE. */
static int check_room(struct stoa_space *space, const struct limits *limits,
                      uint64_t bytes)
{
	int any_number = dropin_capable(CAP_SYS_RESOURCE);
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	struct dirent *entry;
	uint64_t queues = 0;
	DIR *directory;

	if (bytes != 0)
		getrlimit(RLIMIT_MSGQUEUE, &limit);
	if (any_number && limit.rlim_cur == RLIM_INFINITY)
		return 0;
	directory = opendir(stoa_space_path(space));
	if (!directory)
		return -ENOSPC;
	while ((entry = readdir(directory))) {
		if (!is_queue(entry->d_name))
			continue;
		queues++;
		if (limit.rlim_cur != RLIM_INFINITY && bytes <= limit.rlim_cur)
			bytes += bytes_of(space, directory, entry->d_name);
	}
	closedir(directory);
	if (queues >= limits->queues_max && !any_number)
		return -ENOSPC;
	return bytes > limit.rlim_cur ? -EMFILE : 0;
}

static int shape(const struct mq_attr *asked, const struct limits *limits,
                 struct stoa_queue_attributes *attributes)
{
	uint64_t most = limits->msg_max, largest = limits->msgsize_max;
	uint64_t messages = most < MSG_DEFAULT ? most : MSG_DEFAULT;
	uint64_t bytes = largest < MSGSIZE_DEFAULT ? largest : MSGSIZE_DEFAULT;

	if (asked) {
		if (asked->mq_maxmsg <= 0 || asked->mq_msgsize <= 0)
			return -EINVAL;
		messages = (uint64_t)asked->mq_maxmsg;
		bytes = (uint64_t)asked->mq_msgsize;
	}
	if (dropin_capable(CAP_SYS_RESOURCE)) {
		most = HARD_MSGMAX;
		largest = HARD_MSGSIZEMAX;
	}
	if (asked && !DROPIN_FAULT(2) && (messages > most || bytes > largest))
		return -EINVAL;
	*attributes = (struct stoa_queue_attributes){
		.size = sizeof(*attributes),
		.order = STOA_PRIORITY,
		.capacity = messages,
		.max_message_bytes = bytes,
	};
	/* Any mixture finds room, whatever the gaps: twice, in whole blocks of
	 * 4 KiB if it can be. */
	if (bytes > STOA_QUEUE_INLINE)
		attributes->total_bytes =
		        2 * messages * (bytes > 2048 ? (bytes + 4095) & ~4095ul :
		                                       2 * bytes) +
		        2 * 4096;
	return 0;
}

/* ---- Opening ----------------------------------------------------------------------- */

struct opening {
	struct stoa_space *space;
	char name[MQ_NAME_BYTES]; /* stoa's */
	int flags;
	mode_t mode;
	const struct mq_attr *attributes;
};

/* Of a queue that exists: may it be opened so? */
static int check_access(const struct opening *opening,
                        const struct stoa_queue_stat *found)
{
	static const unsigned wanted[] = { 4, 2, 6 };
	int access = opening->flags & O_ACCMODE;

	if (access == O_ACCMODE || found->order != STOA_PRIORITY)
		return -EINVAL;
	if ((found->label[0] & ~UINT64_C(0777)) != MQ_LABEL)
		return 0; /* made by other means: the file's mode is its own */
	if (DROPIN_FAULT(3))
		return 0;
	return dropin_may_open((uid_t)(found->label[1] >> 32),
	                       (gid_t)found->label[1],
	                       (mode_t)(found->label[0] & 0777),
	                       wanted[access]);
}

static int make_queue(const struct opening *opening, struct stoa_queue **ret)
{
	struct stoa_queue_attributes attributes;
	struct limits limits;
	mode_t mode;
	int result;

	find_limits(&limits);
	result = shape(opening->attributes, &limits, &attributes);
	/* Where both are wrong, the kernel counts the queues first. */
	if (result == 0)
		result = check_room(opening->space, &limits,
		                    counted_bytes(attributes.capacity,
		                                  attributes.max_message_bytes));
	else if (check_room(opening->space, &limits, 0) == -ENOSPC)
		result = -ENOSPC;
	if (result < 0)
		return result;
	mode = opening->mode & 0777 & ~(DROPIN_FAULT(4) ? 0 : dropin_umask());
	attributes.label[0] = MQ_LABEL | mode;
	attributes.label[1] = (uint64_t)dropin_kernel(SYS_geteuid, 0) << 32 |
	                      (uint64_t)dropin_kernel(SYS_getegid, 0);
	return stoa_queue_open(opening->space, opening->name,
	                       OPEN_FLAGS | STOA_CREATE | STOA_EXCLUSIVE,
	                       registry_file_mode(mode), &attributes, ret);
}

static int exists(const struct opening *opening)
{
	char path[PATH_BYTES];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s" SUFFIX,
	         stoa_space_path(opening->space), opening->name);
	return dropin_kernel(SYS_newfstatat, AT_FDCWD, (long)path,
	                     (long)&status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* 1: made; 0: opened. */
static int open_or_make(const struct opening *opening, struct stoa_queue **ret)
{
	int exclusive = (opening->flags & O_CREAT) && (opening->flags & O_EXCL);
	int result;

	if (exclusive && exists(opening))
		return -EEXIST;
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		result = exclusive ? -ENOENT :
		                     stoa_queue_open(opening->space,
		                                     opening->name,
		                                     OPEN_FLAGS, 0, NULL, ret);
		if (result != -ENOENT || !(opening->flags & O_CREAT))
			return result;
		result = make_queue(opening, ret);
		if (result != -EEXIST || exclusive)
			return result < 0 ? result : 1;
	}
	return -ENOENT; /* made and unlinked by others so often */
}

static int open_queue(const struct opening *opening, struct mq *mq)
{
	static const unsigned access[] = { STOA_READ, STOA_WRITE,
		                           STOA_READ | STOA_WRITE, 0 };
	struct stoa_queue_stat found = { .size = sizeof(found) };
	struct stoa_queue *queue;
	int made = open_or_make(opening, &queue);
	int result = made < 0 ? made : stoa_queue_stat(queue, &found);

	if (made < 0)
		return made;
	if (result == 0 && !made)
		result = check_access(opening, &found);
	if (result < 0) {
		stoa_queue_close(queue);
		return result;
	}
	mq->queue = queue;
	mq->access = access[opening->flags & O_ACCMODE];
	mq->capacity = found.capacity;
	mq->message_bytes = found.max_message_bytes;
	mq->generation = found.generation;
	mq->descriptors = 0;
	mq->registration = NULL;
	return 0;
}

/* A number, and what belongs to the description. */
static int reserve_descriptor(int flags)
{
	long fd = dropin_kernel(SYS_openat, AT_FDCWD, (long)"/dev/null",
	                        (flags & (O_ACCMODE | O_NONBLOCK)) | O_CLOEXEC);

	if (fd < 0 && fd != -EMFILE && fd != -ENFILE) {
		fd = dropin_kernel(SYS_memfd_create, (long)"mq", 1);
		if (fd >= 0)
			dropin_kernel(SYS_fcntl, fd, F_SETFL,
			              flags & O_NONBLOCK);
	}
	if (fd >= MQ_TABLE) {
		dropin_kernel(SYS_close, fd);
		fd = -EMFILE;
	}
	return (int)fd;
}

int dropin_mq_open(const char *name, int flags, mode_t mode,
                   const struct mq_attr *attributes)
{
	struct opening opening = { .flags = flags,
		                   .mode = mode,
		                   .attributes = attributes };
	struct mq *mq;
	int fd, result;

	if ((attributes &&
	     !probe(PROBE_READ, attributes, sizeof(*attributes))) ||
	    !probe(PROBE_READ, name, 1))
		return -EFAULT;
	result = *name ? dropin_space(&opening.space) : -ENOENT;
	if (result < 0)
		return result;
	fd = reserve_descriptor(flags);
	if (fd < 0)
		return fd;
	result = mq_name(name, opening.name);
	if (result == 0)
		result = mq_make(&mq);
	if (result == 0) {
		result = open_queue(&opening, mq);
		if (result < 0)
			mq_unmake(mq);
	}
	if (result < 0) {
		dropin_kernel(SYS_close, fd);
		return result;
	}
	mq_know(fd, mq);
	return fd;
}

int dropin_mq_unlink(const char *name)
{
	char stoa_name[MQ_NAME_BYTES];
	struct stoa_space *space;
	int result = probe(PROBE_READ, name, 1) ? 0 : -EFAULT;

	if (result == 0)
		result = dropin_space(&space);
	if (result == 0)
		result = mq_name(name, stoa_name);
	if (result == 0)
		result = stoa_queue_unlink(space, stoa_name);
	/* The kernel does without. */
	if (result == -EMFILE || result == -ENFILE || result == -ENOSPC)
		return -ENOMEM;
	return result;
}
