/* SPDX-License-Identifier: MIT */
/* space/object.c: making, opening, mapping and closing object files. */
#include <base/bug.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <space/event.h>
#include <space/guard.h>
#include <space/object.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define OPEN_TRIES 100

static void fill_header(struct stoa_object_header *header,
                        struct stoa_space *space,
                        const struct stoa_object_plan *plan)
{
	stoa_peer creator = 0;

	stoa_life_join(&space->life, &creator);
	memcpy(header->magic, OBJECT_MAGIC, sizeof OBJECT_MAGIC);
	header->layout_version = OBJECT_LAYOUT_VERSION;
	header->byte_order = OBJECT_BYTE_ORDER;
	snprintf(header->kind, sizeof header->kind, "%s", plan->kind->name);
	memcpy(header->boot_id, space->boot_id, sizeof header->boot_id);
	header->generation = stoa_life_fresh(&space->life) | 1;
	header->file_bytes = plan->file_bytes;
	header->created_ns = stoa_sys_clock_ns(CLOCK_REALTIME);
	header->creator = creator;
	header->creator_pid = stoa_life_pid(&space->life);
	header->creator_uid = (uint32_t)stoa_sys_getuid();
	memcpy(header->geometry, plan->geometry, sizeof plan->geometry);
}

static int put_content(int fd, const struct stoa_object_plan *plan)
{
	const char *content = plan->content;
	size_t bytes = plan->content_bytes;
	off_t at = OBJECT_KIND_OFFSET;

	while (bytes > 0) {
		ssize_t put = stoa_sys_pwrite(fd, content, bytes, at);

		if (put <= 0)
			return put < 0 ? (int)put : -EIO;
		content += put;
		bytes -= (size_t)put;
		at += put;
	}
	return 0;
}

/* Whatever the umask. Mostly it's so already. */
static int set_mode(int fd, mode_t mode, uint64_t *ret_inode)
{
	struct stat stat;
	int result = stoa_sys_fstat(fd, &stat);

	if (result < 0)
		return result;
	*ret_inode = stat.st_ino;
	return (stat.st_mode & 07777) == mode ? 0 : stoa_sys_fchmod(fd, mode);
}

/* An unnamed file, complete, open at the returned descriptor. */
static int make_file(struct stoa_object *object,
                     const struct stoa_object_plan *plan)
{
	struct stoa_space *space = object->space;
	struct stoa_object_header *header = &object->copy;
	int fd = stoa_sys_openat(space->life.directory, ".", O_TMPFILE | O_RDWR,
	                         plan->mode & 0777);

	if (fd < 0)
		return stoa_fail(fd, "can't make a file in the space %s: %s",
		                 space->path, strerror(-fd));
	uint64_t reserved = plan->reserved_bytes ?: plan->file_bytes;
	int result = stoa_sys_fallocate(fd, (off_t)plan->reserved_at,
	                                (off_t)reserved);
	if (result == 0 && plan->reserved_at + reserved < plan->file_bytes)
		result = stoa_sys_ftruncate(fd, (off_t)plan->file_bytes);
	if (result < 0) {
		stoa_fail(result,
		          "%s needs %llu bytes in %s, which has no room for "
		          "them: %s; make it smaller or %s larger",
		          object->name, (unsigned long long)reserved,
		          space->path, strerror(-result),
		          result == -EFBIG ? "what a file may have (ulimit -f)"
		                           : "the tmpfs");
		goto close;
	}
	memset(header, 0, sizeof *header);
	fill_header(header, space, plan);
	ssize_t put = STOA_BUG(13) ? (ssize_t)sizeof *header :
	                             stoa_sys_pwrite(fd, header,
	                                             sizeof *header, 0);
	result = put == sizeof *header ? 0 : put < 0 ? (int)put : -EIO;
	if (result == 0)
		result = put_content(fd, plan);
	if (result == 0)
		result = set_mode(fd, plan->mode & 0777, &object->inode);
	if (result < 0)
		goto close;
	return fd;

close:
	stoa_sys_close(fd);
	return result;
}

/* Makes and names the file. -EEXIST: lost the race. */
static int create_file(struct stoa_object *object, const char *file,
                       const struct stoa_object_plan *plan)
{
	struct stoa_space *space = object->space;
	int fd = make_file(object, plan);

	if (fd < 0)
		return fd;
	int result = stoa_sys_publish(fd, space->life.directory, file);
	if (result < 0) {
		stoa_sys_close(fd);
		object->inode = 0;
		return result;
	}
	if (STOA_BUG(13))
		stoa_sys_pwrite(fd, &object->copy, sizeof object->copy, 0);
	return fd;
}

int stoa_object_check(const char *name, const struct stoa_object_header *header,
                      uint64_t file_bytes)
{
	if (memcmp(header->magic, OBJECT_MAGIC, sizeof OBJECT_MAGIC) != 0)
		return stoa_fail(-EPROTO,
		                 "%s is not a stoa object; remove it or use "
		                 "another name",
		                 name);
	if (header->byte_order != OBJECT_BYTE_ORDER)
		return stoa_fail(-EPROTO,
		                 "%s was made on a machine of another byte "
		                 "order; remove it",
		                 name);
	if (header->layout_version != OBJECT_LAYOUT_VERSION)
		return stoa_fail(-EPROTO,
		                 "%s has layout version %u, this build knows "
		                 "%u; use the stoa that made it, or remove it",
		                 name, header->layout_version,
		                 OBJECT_LAYOUT_VERSION);
	if (header->file_bytes < OBJECT_KIND_OFFSET ||
	    header->file_bytes > file_bytes ||
	    !memchr(header->kind, 0, sizeof header->kind))
		return stoa_fail(-EUCLEAN,
		                 "%s is damaged (cut short, or its header was "
		                 "overwritten); remove it",
		                 name);
	return 0;
}

static int open_file(struct stoa_space *space, const char *name,
                     const char *file, int flags)
{
	int fd = stoa_sys_openat(space->life.directory, file,
	                         flags | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd == -ENOENT)
		return stoa_fail(fd, "there is no %s in the space %s", file,
		                 space->path);
	if (fd == -EACCES)
		return stoa_fail(fd,
		                 "%s may not be %s by this user; its owner can "
		                 "change that with chmod",
		                 name,
		                 flags == O_RDONLY ? "read" :
		                                     "read and written");
	if (fd == -ELOOP || fd == -ENXIO || fd == -EISDIR)
		return stoa_fail(-EPROTO,
		                 "%s is not a stoa object; remove it or use "
		                 "another name",
		                 file);
	return fd;
}

static int check_file(struct stoa_object *object, const char *kind)
{
	struct stat stat;
	ssize_t got;
	int result;

	if (object->inode)
		return 0; /* just made: copy is what was written */
	result = stoa_sys_fstat(object->fd, &stat);
	if (result < 0)
		return result;
	object->inode = stat.st_ino;
	if (!S_ISREG(stat.st_mode))
		return stoa_fail(-EPROTO, "%s is not a stoa object; remove it "
		                          "or use another name",
		                 object->name);
	got = stoa_sys_pread(object->fd, &object->copy, sizeof object->copy, 0);
	if (got < 0)
		return (int)got;
	if (got != sizeof object->copy)
		return stoa_fail(-EPROTO, "%s is not a stoa object (too "
		                          "short); remove it",
		                 object->name);
	result = stoa_object_check(object->name, &object->copy,
	                           (uint64_t)stat.st_size);
	if (result < 0)
		return result;
	if (strcmp(object->copy.kind, kind) != 0)
		return stoa_fail(-EPROTO,
		                 "%s is a %s and not a %s, whatever its name "
		                 "says; rename or remove it",
		                 object->name,
		                 stoa_name_printable(object->copy.kind,
		                                     sizeof object->copy.kind) ?
		                         object->copy.kind :
		                         "stranger",
		                 kind);
	return 0;
}

static int map_file(struct stoa_object *object,
                    const struct stoa_object_plan *plan)
{
	void *base;
	int result;

	object->bytes = object->copy.file_bytes;
	if (plan->mapped_bytes > object->bytes)
		return stoa_fail(-EUCLEAN,
		                 "%s is damaged: its header can't be true; "
		                 "remove it",
		                 object->name);
	if (plan->mapped_bytes)
		object->bytes = plan->mapped_bytes;
	if (plan->prepare) {
		result = plan->prepare(object);
		if (result < 0)
			return result;
	}
	result = stoa_sys_mmap(NULL, object->bytes,
	                       object->read_only ? PROT_READ :
	                                           PROT_READ | PROT_WRITE,
	                       MAP_SHARED, object->fd, 0, &base);
	if (result < 0)
		return stoa_fail(result, "can't map %s (%zu bytes): %s",
		                 object->name, object->bytes,
		                 strerror(-result));
	result = stoa_guard_add(base, object->bytes, &object->poisoned);
	if (result < 0) {
		stoa_sys_munmap(base, object->bytes);
		return result;
	}
	object->base = base;
	object->header = base;
	object->events = &object->header->events;
	atomic_store_explicit(&object->chunk[0],
	                      (struct stoa_seat *)(object->base +
	                                           OBJECT_SEATS_OFFSET),
	                      memory_order_relaxed);
	return 0;
}

static int is_taken(struct stoa_space *space, const char *file)
{
	struct stat stat;

	return stoa_sys_fstatat(space->life.directory, file, &stat,
	                        AT_SYMLINK_NOFOLLOW) == 0;
}

static int find_or_make(struct stoa_object *object, const char *file,
                        const struct stoa_object_plan *plan)
{
	struct stoa_space *space = object->space;
	unsigned flags = object->flags;
	int fd;
	int access = plan->read_only ? O_RDONLY : O_RDWR;

	if (plan->again)
		return stoa_sys_reopen(plan->again->fd, access);
	if (!file)
		return make_file(object, plan);
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		if (!(flags & STOA_EXCLUSIVE) || !(flags & STOA_CREATE)) {
			fd = open_file(space, object->name, file, access);
			if (fd != -ENOENT || !(flags & STOA_CREATE))
				return fd;
		}
		/* Before there is room made for one that nobody gets. */
		fd = is_taken(space, file) ? -EEXIST :
		                             create_file(object, file, plan);
		object->created = fd >= 0;
		if (fd == -EEXIST && (flags & STOA_EXCLUSIVE))
			return stoa_fail(fd, "there is a %s in %s already",
			                 file, space->path);
		if (fd != -EEXIST)
			return fd;
	}
	return -EAGAIN; /* made and removed by others so often */
}

static int open_once(struct stoa_object *object, const char *file,
                     const struct stoa_object_plan *plan)
{
	int result;

	object->created = 0;
	object->inode = 0;
	object->fd = stoa_sys_keep(find_or_make(object, file, plan));
	if (object->fd < 0)
		return object->fd;
	result = check_file(object, object->kind->name);
	if (result < 0)
		goto close;
	result = map_file(object, plan);
	if (result < 0)
		goto close;
	result = stoa_object_health(object);
	if (result < 0)
		goto unmap;
	return 0;

unmap:
	stoa_guard_remove(object->base);
	stoa_sys_munmap(object->base, object->bytes);
close:
	stoa_sys_close(object->fd);
	stoa_object_abandon(object);
	return result;
}

void stoa_object_abandon(struct stoa_object *object)
{
	char file[STOA_FILE_NAME_MAX + 1];

	if (!object->created)
		return;
	stoa_name_join(object->name, object->kind->name, file);
	stoa_space_unlink(object->space, file, object->copy.generation, 0);
}

int stoa_object_open(struct stoa_object *object, struct stoa_space *space,
                     const char *name, unsigned flags,
                     const struct stoa_object_kind *kind,
                     const struct stoa_object_plan *plan)
{
	char file[STOA_FILE_NAME_MAX + 1];
	const char *checked = "(unnamed)";
	int result = name ? stoa_name_check(name, &checked) : 0;

	if (result < 0)
		return result;
	object->kind = kind;
	object->space = space;
	object->flags = flags;
	object->read_only = plan->read_only;
	atomic_store(&object->directions, flags & (STOA_READ | STOA_WRITE));
	snprintf(object->name, sizeof object->name, "%s", checked);
	if (name)
		stoa_name_join(checked, kind->name, file);
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		result = open_once(object, name ? file : NULL, plan);
		if (result != -EIDRM)
			break;
		/* Marked removed, but a remover has not come to the name, or
		 * died before it did. */
		result = stoa_space_unlink(space, file,
		                           object->copy.generation, 0);
		if (result < 0)
			break;
	}
	if (result < 0)
		return result;
	if (!kind->each_user) /* else nobody waits */
		stoa_event_init(object);
	return 0;
}

void stoa_object_close(struct stoa_object *object)
{
	if (!object->header)
		return;
	stoa_object_stand(object);
	for (uint32_t i = 1; i < SEAT_CHUNKS; i++) {
		struct stoa_seat *chunk = atomic_load_explicit(
		        &object->chunk[i], memory_order_relaxed);
		if (!chunk)
			continue;
		stoa_guard_remove(chunk);
		stoa_sys_munmap(chunk, stoa_seat_chunk_seats(i) *
		                               sizeof(struct stoa_seat));
	}
	stoa_guard_remove(object->base);
	stoa_sys_munmap(object->base, object->bytes);
	stoa_event_fini(object);
	stoa_sys_close_inode(object->fd, object->inode);
}

void stoa_object_mark(struct stoa_object *object, uint32_t state_bit)
{
	if (object->read_only)
		return;
	atomic_fetch_or_explicit(&object->events->state, state_bit,
	                         memory_order_seq_cst);
	if (!object->kind->each_user) /* else nobody waits */
		stoa_event_broadcast(object);
}

int stoa_object_check_flags(const struct stoa_object_kind *kind,
                            const char *name, unsigned flags)
{
	if (!(flags & ~(STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE)))
		return 0;
	return stoa_fail(-EINVAL,
	                 "flags 0x%x for %s %s: STOA_CREATE, STOA_EXCLUSIVE and "
	                 "STOA_INTERRUPTIBLE only",
	                 flags, kind->name, name);
}

void *stoa_object_allocate(const struct stoa_object_kind *kind,
                           const char *name, size_t bytes)
{
	size_t lines = (bytes + STOA_CACHE_LINE - 1) / STOA_CACHE_LINE;
	void *handle = aligned_alloc(STOA_CACHE_LINE, lines * STOA_CACHE_LINE);

	if (handle)
		memset(handle, 0, lines * STOA_CACHE_LINE);
	else
		stoa_fail(-ENOMEM, "no memory to open %s %s", kind->name, name);
	return handle;
}

int stoa_object_unlink(struct stoa_space *space, const char *name,
                       const struct stoa_object_kind *kind)
{
	char file[STOA_FILE_NAME_MAX + 1];
	int result = stoa_name_check(name, &name);

	if (result < 0)
		return result;
	stoa_name_join(name, kind->name, file);
	return stoa_space_remove(space, file, 0);
}

int stoa_object_remove(struct stoa_object *object)
{
	char file[STOA_FILE_NAME_MAX + 1];
	int result = stoa_object_enter(object);

	if (result == 0)
		result = stoa_object_health(object);
	if (result == -EIDRM || result == -EIO)
		return result;
	stoa_object_mark(object, OBJECT_REMOVED);
	if (!object->header)
		return 0;
	stoa_name_join(object->name, object->kind->name, file);
	return stoa_space_unlink(object->space, file, object->copy.generation,
	                         object->inode);
}

int stoa_object_damaged(struct stoa_object *object, const char *what)
{
	if (atomic_load_explicit(&object->poisoned, memory_order_relaxed))
		return stoa_object_health(object);
	stoa_object_mark(object, OBJECT_DAMAGED);
	return stoa_fail(-EUCLEAN, "%s is damaged: %s; remove it",
	                 object->name, what);
}

int stoa_object_health(struct stoa_object *object)
{
	uint32_t state = atomic_load_explicit(&object->events->state,
	                                      memory_order_relaxed);

	if (stoa_unlikely(atomic_load_explicit(&object->poisoned,
	                                       memory_order_relaxed)))
		return stoa_fail(-EIO, "the file of %s was cut short by "
		                       "somebody; close and remove it",
		                 object->name);
	if (stoa_likely(state == 0))
		return 0;
	if (state & OBJECT_REMOVED)
		return stoa_fail(-EIDRM, "%s was removed", object->name);
	return stoa_fail(-EUCLEAN, "%s is damaged; remove it", object->name);
}
