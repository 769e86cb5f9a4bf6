/* SPDX-License-Identifier: MIT */
/* memory/segment_attach.c: who is attached to a segment. See ATTACHMENTS in
 * segment_layout.h. */
#include <base/bug.h>
#include <memory/segment_internal.h>

#include <stdlib.h>
#include <sys/mman.h>

#define ATTACHMENTS_MAX 65536 /* that are looked at in one file */

/* ---- Locks --------------------------------------------------------------------- */

/* Locks a byte that nobody else has. The first number to try is any. */
static int lock_some_byte(int fd, int64_t label, uint32_t first,
                          int64_t *ret_byte)
{
	for (uint32_t i = 0; i < ATTACH_NUMBERS; i++) {
		int64_t byte = label | ((first + i) & (ATTACH_NUMBERS - 1));
		int result = stoa_sys_lock_byte(fd, byte, F_RDLCK);

		if (result < 0)
			return result;
		result = stoa_sys_byte_locked(fd, byte);
		if (result == 0) {
			*ret_byte = byte;
			return 0;
		}
		stoa_sys_lock_byte(fd, byte, F_UNLCK);
		if (result < 0)
			return result;
	}
	return -EUSERS;
}

int segment_lock(struct stoa_segment *segment)
{
	struct stoa_object *object = &segment->object;
	int writes = object->flags & STOA_WRITE;
	stoa_peer peer = 0;
	int result;

	/* Who may only read the space is nobody in it. */
	stoa_life_join(&object->space->life, &peer);
	result = lock_some_byte(object->fd,
	                        ATTACH_FIRST | (writes ? ATTACH_WRITES : 0) |
	                                (int64_t)(peer << ATTACH_NUMBER_BITS),
	                        (uint32_t)object->copy.generation,
	                        &segment->attach_byte);
	return result < 0 ? stoa_fail(result, "can't attach segment %s: %s",
	                              object->name, strerror(-result)) :
	                    0;
}

/* Sealed, or being sealed? See seals in segment_layout.h. */
static int check_seals(struct stoa_segment *segment)
{
	_Atomic uint32_t *seals = &segment->control->seals;
	uint64_t agent;

	/* seq_cst: pairs with the read-modify-write in seal_write() */
	if (atomic_load_explicit(seals, memory_order_seq_cst) & SEAL_ASKED) {
		int result = segment_take_turn(segment, &agent);

		if (result < 0)
			return result;
		segment_leave_turn(segment, agent);
	}
	if (atomic_load_explicit(seals, memory_order_seq_cst) &
	    STOA_SEGMENT_SEAL_WRITE)
		return stoa_fail(-EPERM,
		                 "segment %s is sealed: it can't be written any "
		                 "more; open it to read",
		                 segment->object.name);
	return 0;
}

/* ---- Fork ------------------------------------------------------------------------ */

static struct stoa_segment *forked_segment(struct stoa_fork *entry)
{
	return (void *)((char *)entry - offsetof(struct stoa_segment, fork));
}

/* Another description for this attachment's descriptor. Once it is sealed, or
 * rights were given up, it may be one that only reads: that's enough to count. */
static int open_another(struct stoa_segment *segment, int *ret_writes)
{
	int fd = -EACCES;

	*ret_writes = segment->may_write &&
	              segment->attach_fd == segment->object.fd;
	if (*ret_writes)
		fd = stoa_sys_reopen(segment->attach_fd, O_RDWR);
	if (fd == -EACCES) {
		*ret_writes = 0;
		fd = stoa_sys_reopen(segment->attach_fd, O_RDONLY);
	}
	return fd;
}

static int replace_descriptor(int old, int fd)
{
	int result = (int)stoa_system_call(SYS_dup3, fd, old, O_CLOEXEC, 0, 0,
	                                   0);

	stoa_sys_close(fd);
	return result;
}

/* The first fork: the lock goes to a description that nothing is mapped by.
 * Both have the byte for an instant, so whoever counts finds it once. */
static int unpin(struct stoa_segment *segment)
{
	int mapped = segment->attach_fd, writes;
	int fd = open_another(segment, &writes);
	int result;

	if (fd < 0)
		return fd;
	result = stoa_sys_lock_byte(fd, segment->attach_byte, F_RDLCK);
	if (result == 0 && !STOA_BUG(64))
		result = stoa_sys_lock_byte(mapped, segment->attach_byte,
		                            F_UNLCK);
	if (result == 0 && (writes || !segment->may_write))
		return replace_descriptor(mapped, fd);
	if (result == 0)
		segment->attach_fd = fd;
	else
		stoa_sys_close(fd);
	return result;
}

/* The child's attachment: it is there before the child is. */
static void before_fork(struct stoa_fork *entry)
{
	struct stoa_segment *segment = forked_segment(entry);
	int64_t label = segment->attach_byte & ~(int64_t)(ATTACH_NUMBERS - 1);
	struct stat stat;
	int writes;

	segment->child_fd = -1;
	/* The program may have closed it, and opened something else. */
	if (stoa_sys_fstat(segment->attach_fd, &stat) < 0 ||
	    stat.st_ino != segment->object.inode || STOA_BUG(63))
		return;
	if (segment->pinned && unpin(segment) < 0)
		return;
	segment->pinned = 0;
	int fd = open_another(segment, &writes);
	if (fd < 0)
		return;
	if (lock_some_byte(fd, label, (uint32_t)segment->attach_byte + 1,
	                   &segment->child_byte) < 0) {
		stoa_sys_close(fd);
		return;
	}
	segment->child_fd = fd;
}

static void in_parent(struct stoa_fork *entry)
{
	struct stoa_segment *segment = forked_segment(entry);

	if (segment->child_fd >= 0)
		stoa_sys_close(segment->child_fd);
}

/* The child's own takes the place of its parent's, in the descriptor too. */
static void in_child(struct stoa_fork *entry)
{
	struct stoa_segment *segment = forked_segment(entry);
	int fd = segment->child_fd;

	pthread_mutex_init(&segment->mutex, NULL);
	if (fd >= 0) {
		replace_descriptor(segment->attach_fd, fd);
		segment->attach_byte = segment->child_byte;
	}
	segment_put(segment->shares, fd < 0);
}

int segment_part(struct stoa_segment *segment)
{
	int64_t label = segment->attach_byte & ~(int64_t)(ATTACH_NUMBERS - 1);
	int result = segment_check_descriptor(segment);
	int fd, writes;

	if (result < 0)
		return result;
	fd = result = open_another(segment, &writes);
	if (fd >= 0)
		result = lock_some_byte(fd, label, 0, &segment->attach_byte);
	if (result >= 0 && segment->pinned && (writes || !segment->may_write))
		result = segment_map_again(segment, fd);
	else
		segment->pinned = 0;
	if (result >= 0) {
		result = replace_descriptor(segment->attach_fd, fd);
		segment_put(segment->shares, 0);
	} else if (fd >= 0) {
		stoa_sys_close(fd);
	}
	if (result < 0)
		return stoa_fail(result,
		                 "can't attach segment %s in this forked child: "
		                 "%s",
		                 segment->object.name, strerror(-result));
	return 0;
}

/* ---- Attaching --------------------------------------------------------------------- */

static void note(struct stoa_segment *segment, _Atomic int64_t *when_ns)
{
	if (!segment->may_write || segment_get(segment->object.poisoned))
		return;
	segment_put(*when_ns, stoa_sys_clock_ns(CLOCK_REALTIME));
	segment_put(segment->control->last_pid,
	            stoa_life_pid(&segment->object.space->life));
}

int segment_attach(struct stoa_segment *segment)
{
	struct stoa_object *object = &segment->object;
	int result = 0;

	segment->protection = object->flags & STOA_WRITE ?
	                              PROT_READ | PROT_WRITE :
	                              PROT_READ;
	if (segment->protection & PROT_WRITE)
		result = check_seals(segment);
	if (result == 0)
		result = segment_map(segment);
	if (result < 0)
		return result;
	segment->attach_fd = object->fd;
	segment->pinned = 1;
	segment->fork = (struct stoa_fork){ .before = before_fork,
		                            .parent = in_parent,
		                            .child = in_child };
	stoa_fork_enlist(&segment->fork);
	note(segment, &segment->control->last_attach_ns);
	return 0;
}

/* The memory goes first: where no lock is, there is no mapping. The rest of
 * both goes with the object. */
void segment_detach(struct stoa_segment *segment)
{
	struct stoa_object *object = &segment->object;

	if (segment->attach_fd < 0)
		return;
	stoa_fork_delist(&segment->fork);
	note(segment, &segment->control->last_detach_ns);
	segment_unmap(segment);
	if (segment->attach_fd != object->fd)
		stoa_sys_close_inode(segment->attach_fd, object->inode);
	segment->attach_fd = -1; /* else stoa_object_close() closes it */
}

/* ---- Counting ----------------------------------------------------------------------- */

struct stretch {
	off_t start, end;
};

struct search {
	struct stretch *left; /* not looked at yet */
	size_t count, room;
};

static int leave(struct search *search, off_t start, off_t end)
{
	if (start >= end)
		return 0;
	if (search->count == search->room) {
		size_t room = search->room * 2;
		struct stretch *more = malloc(room * sizeof *more);

		if (!more)
			return -ENOMEM;
		memcpy(more, search->left, search->count * sizeof *more);
		if (search->room > 64)
			free(search->left);
		search->left = more;
		search->room = room;
	}
	search->left[search->count++] = (struct stretch){ start, end };
	return 0;
}

/* Finds each byte that another description than fd's has locked. A lock on
 * several is none of stoa's, and counts as one. */
static int each_lock(int fd, int (*visit)(int64_t byte, void *context),
                     void *context)
{
	struct stretch first[64] = { { ATTACH_FIRST, ATTACH_END } };
	struct search search = { first, 1, 64 };
	int visited = 0, result = 0;

	while (search.count > 0 && result == 0) {
		struct stretch in = search.left[--search.count];
		off_t start, end;

		result = stoa_sys_find_lock(fd, in.start, in.end, &start, &end);
		if (result <= 0)
			continue;
		result = visited < ATTACHMENTS_MAX ? visit(start, context) :
		                                     -EOVERFLOW;
		visited++;
		if (result == 0)
			result = leave(&search, in.start, start);
		if (result == 0)
			result = leave(&search, end, in.end);
	}
	if (search.left != first)
		free(search.left);
	return result != 0 ? result : visited;
}

static int count_writer(int64_t byte, void *context)
{
	if (byte & ATTACH_WRITES)
		++*(uint32_t *)context;
	return 0;
}

int segment_count(struct stoa_segment *segment, uint32_t *ret_writers)
{
	uint32_t writers = 0;
	int attached = segment->attach_fd >= 0;
	int count = each_lock(attached ? segment->attach_fd :
	                                 segment->object.fd,
	                      count_writer, &writers);

	if (count < 0)
		return stoa_fail(count, "can't count who is attached to segment "
		                        "%s: %s",
		                 segment->object.name, strerror(-count));
	if (attached)
		count_writer(segment->attach_byte, &writers);
	if (ret_writers)
		*ret_writers = writers;
	return count + attached;
}

int stoa_segment_attached(struct stoa_segment *segment)
{
	int result = segment_begin(segment);

	if (result == 0)
		result = segment_check_descriptor(segment);
	return result < 0 ? result : segment_count(segment, NULL);
}

/* ---- Listing --------------------------------------------------------------------------- */

static void describe(struct stoa_space *space, int64_t byte,
                     struct stoa_segment_attachment *ret_attachment)
{
	struct stoa_segment_attachment attachment = {
		.peer = ATTACH_PEER(byte),
		.flags = byte & ATTACH_WRITES ? STOA_READ | STOA_WRITE :
		                                STOA_READ,
	};
	struct life_record record;

	if (attachment.peer != 0 &&
	    stoa_life_record(&space->life, LIFE_SLOT(attachment.peer),
	                     &record) == 0 &&
	    record.generation == LIFE_GENERATION(attachment.peer)) {
		attachment.pid = record.pid;
		attachment.uid = record.uid;
	}
	*ret_attachment = attachment;
}

struct listing {
	struct stoa_space *space;
	int (*visit)(const struct stoa_segment_attachment *, void *);
	int (*visit_user)(const struct stoa_user *, void *);
	void *context;
};

static int list_one(int64_t byte, void *context)
{
	struct listing *listing = context;
	struct stoa_segment_attachment attachment;

	describe(listing->space, byte, &attachment);
	return listing->visit(&attachment, listing->context);
}

int stoa_segment_each_attachment(
        struct stoa_segment *segment,
        int (*visit)(const struct stoa_segment_attachment *, void *),
        void *context)
{
	struct listing listing = { .space = segment->object.space,
		                   .visit = visit,
		                   .context = context };
	int attached = segment->attach_fd >= 0;
	int result = segment_begin(segment);

	if (result == 0)
		result = segment_check_descriptor(segment);
	if (result == 0 && attached)
		result = list_one(segment->attach_byte, &listing);
	if (result != 0)
		return result;
	result = each_lock(attached ? segment->attach_fd : segment->object.fd,
	                   list_one, &listing);
	return result < 0 ? result : result + attached;
}

/* Whoever holds the lock lives, whether or not it is the peer that took it. */
static int list_user(int64_t byte, void *context)
{
	struct listing *listing = context;
	struct stoa_segment_attachment attachment;

	describe(listing->space, byte, &attachment);
	struct stoa_user user = { .peer = attachment.peer,
		                  .pid = attachment.pid,
		                  .uid = attachment.uid,
		                  .alive = 1,
		                  .flags = attachment.flags };
	return listing->visit_user(&user, listing->context);
}

int segment_each_user(struct stoa_space *space, int fd,
                      int (*visit)(const struct stoa_user *user, void *context),
                      void *context)
{
	struct listing listing = { .space = space,
		                   .visit_user = visit,
		                   .context = context };

	return each_lock(fd, list_user, &listing);
}
