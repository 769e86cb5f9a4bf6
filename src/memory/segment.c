/* SPDX-License-Identifier: MIT */
/* memory/segment.c: making, opening, removing and looking at segments. Who is
 * attached is in segment_attach.c, the mapping in segment_map.c, sizes and
 * seals in segment_resize.c; why it holds is in segment_layout.h. */
#include <memory/kinds.h>
#include <memory/segment_internal.h>

#include <stdlib.h>

#define OPEN_FLAGS (STOA_READ | STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE)

/* ---- Making and opening ---------------------------------------------------- */

static int read_attributes(const char *name,
                           const struct stoa_segment_attributes *given,
                           struct stoa_segment_attributes *ret_attributes)
{
	struct stoa_segment_attributes attributes = { 0 };
	uint64_t reserved = 0;

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(
			        -EINVAL,
			        "attributes of segment %s: size must be "
			        "sizeof(struct stoa_segment_attributes)",
			        name);
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		reserved |= attributes.reserved[i];
	if (reserved || attributes.reserved_word || attributes.huge > 1)
		return stoa_fail(-EINVAL,
		                 "attributes of segment %s: reserved fields "
		                 "must be zero, and huge 0 or 1",
		                 name);
	attributes.bytes = attributes.bytes ?: SEGMENT_PAGE;
	attributes.limit = attributes.limit ?: attributes.bytes;
	if (attributes.limit > STOA_SEGMENT_LIMIT ||
	    attributes.bytes > attributes.limit)
		return stoa_fail(-EINVAL,
		                 "attributes of segment %s: limit is at most 32 "
		                 "TiB, and bytes at most that",
		                 name);
	*ret_attributes = attributes;
	return 0;
}

static void make_plan(const struct stoa_segment_attributes *attributes,
                      struct stoa_object_plan *plan)
{
	uint64_t data = attributes->huge ? SEGMENT_HUGE_PAGE : SEGMENT_DATA;
	uint64_t limit = segment_page_up(attributes->limit);

	plan->geometry[SEGMENT_GEOMETRY_BYTES] = attributes->bytes;
	plan->geometry[SEGMENT_GEOMETRY_LIMIT] = limit;
	plan->geometry[SEGMENT_GEOMETRY_DATA] = data;
	plan->file_bytes = data + limit;
	plan->reserved_at = data;
	plan->reserved_bytes = segment_page_up(attributes->bytes);
}

/* The header's copy is as it should be; nothing is mapped yet. An attachment is
 * locked first, and mapped together with the header if all of it may be. */
static int prepare(struct stoa_object *object)
{
	struct stoa_segment *segment = (struct stoa_segment *)object;
	const uint64_t *geometry = object->copy.geometry;
	uint64_t bytes = geometry[SEGMENT_GEOMETRY_BYTES];
	uint64_t limit = geometry[SEGMENT_GEOMETRY_LIMIT];
	uint64_t data = geometry[SEGMENT_GEOMETRY_DATA];

	if (bytes < 1 || bytes > limit || limit > STOA_SEGMENT_LIMIT ||
	    limit % SEGMENT_PAGE != 0 ||
	    (data != SEGMENT_DATA && data != SEGMENT_HUGE_PAGE) ||
	    object->copy.file_bytes != data + limit)
		return stoa_fail(-EUCLEAN,
		                 "segment %s is damaged: its header can't be "
		                 "true; remove it",
		                 object->name);
	segment->first_size = bytes;
	segment->limit = limit;
	segment->data_offset = data;
	segment->may_write = !object->read_only;
	/* What has been made to be read is opened again: see open_again(). */
	if (!segment->attaches || (object->read_only && object->created))
		return 0;
	if (!segment->address && data == SEGMENT_DATA &&
	    segment_page_up(bytes) == limit)
		object->bytes = data + limit;
	return segment_lock(segment);
}

/* The object's file, open to be written unless it is only to be read. Without
 * an attachment as far as that's allowed. */
static int open_object(struct stoa_segment *segment, struct stoa_space *space,
                       const char *name, unsigned flags,
                       struct stoa_object_plan *plan)
{
	struct stoa_object *object = &segment->object;
	unsigned access = flags & (STOA_READ | STOA_WRITE);
	int result;

	plan->mapped_bytes = OBJECT_HEADER_BYTES;
	plan->prepare = prepare;
	plan->read_only = access == STOA_READ;
	result = stoa_object_open(object, space, name, flags,
	                          &stoa_segment_kind, plan);
	if (result == -EACCES && access == 0 && !(flags & STOA_EXCLUSIVE)) {
		plan->read_only = 1;
		result = stoa_object_open(object, space, name, flags,
		                          &stoa_segment_kind, plan);
	}
	return result;
}

/* What has just been made was opened to be written, and is to be read only. */
static int open_again(struct stoa_segment *segment,
                      struct stoa_object_plan *plan)
{
	struct stoa_object made = segment->object;
	int result;

	memset(&segment->object, 0, sizeof segment->object);
	plan->again = &made;
	result = stoa_object_open(&segment->object, made.space, NULL, made.flags,
	                          &stoa_segment_kind, plan);
	if (result < 0)
		stoa_object_abandon(&made);
	memcpy(segment->object.name, made.name, sizeof made.name);
	segment->object.created = made.created;
	stoa_object_close(&made);
	return result;
}

static int open_segment(struct stoa_segment *segment, struct stoa_space *space,
                        const char *name, unsigned flags,
                        struct stoa_object_plan *plan)
{
	struct stoa_object *object = &segment->object;
	int result;

	segment->attach_fd = -1;
	segment->attaches = flags & (STOA_READ | STOA_WRITE);
	result = open_object(segment, space, name, flags, plan);
	if (result == 0 && plan->read_only && (!name || object->created))
		result = open_again(segment, plan);
	if (result < 0)
		return result;
	segment->control = (void *)(object->base + OBJECT_WORDS_OFFSET);
	pthread_mutex_init(&segment->mutex, NULL);
	if (segment->attaches)
		result = segment_attach(segment);
	if (result < 0) {
		stoa_object_close(object);
		stoa_object_abandon(object);
		pthread_mutex_destroy(&segment->mutex);
	}
	return result;
}

int stoa_segment_open(struct stoa_space *space, const char *name, unsigned flags,
                      mode_t mode,
                      const struct stoa_segment_attributes *attributes,
                      struct stoa_segment **ret_segment)
{
	const char *shown = name ? name : "(unnamed)";
	struct stoa_object_plan plan = { .kind = &stoa_segment_kind,
		                         .mode = mode };
	struct stoa_segment_attributes wanted = { 0 };
	struct stoa_segment *segment;
	int result = read_attributes(shown, attributes, &wanted);

	if (result < 0)
		return result;
	if ((flags & ~OPEN_FLAGS) || (!name && !(flags & STOA_CREATE)))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for segment %s: STOA_READ, "
		                 "STOA_WRITE, STOA_CREATE and STOA_EXCLUSIVE "
		                 "only, and STOA_CREATE for one without a name",
		                 flags, shown);
	if ((flags & STOA_CREATE) && !(mode & 0400))
		return stoa_fail(-EINVAL,
		                 "mode %03o for segment %s: its owner must be "
		                 "allowed to read it",
		                 (unsigned)mode & 0777, shown);
	make_plan(&wanted, &plan);
	segment = stoa_object_allocate(&stoa_segment_kind, shown,
	                               sizeof *segment);
	if (!segment)
		return -ENOMEM;
	segment->address = wanted.address;
	result = open_segment(segment, space, name, flags, &plan);
	if (result < 0) {
		free(segment);
		return result;
	}
	*ret_segment = segment;
	return 0;
}

void stoa_segment_close(struct stoa_segment *segment)
{
	if (!segment)
		return;
	segment_detach(segment);
	stoa_object_close(&segment->object);
	pthread_mutex_destroy(&segment->mutex);
	free(segment);
}

int stoa_segment_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_segment_kind);
}

int stoa_segment_remove(struct stoa_segment *segment)
{
	struct stoa_object *object = &segment->object;
	char file[STOA_FILE_NAME_MAX + 1];
	int result = segment_begin_write(segment);

	if (result == -EUCLEAN)
		result = 0; /* the name goes all the same */
	if (result < 0)
		return result;
	stoa_object_mark(object, OBJECT_REMOVED);
	stoa_name_join(object->name, object->kind->name, file);
	return stoa_space_unlink(object->space, file, object->copy.generation,
	                         object->inode);
}

void *stoa_segment_data(const struct stoa_segment *segment)
{
	return segment->data;
}

/* ---- What calls have in common --------------------------------------------- */

int segment_health(struct stoa_segment *segment)
{
	struct stoa_object *object = &segment->object;

	if (stoa_object_healthy(object))
		return 0;
	if (segment_get(object->poisoned) ||
	    (segment_get(object->events->state) & OBJECT_DAMAGED))
		return stoa_object_health(object) == -EIO ?
		               -EIO :
		               stoa_fail(-EUCLEAN, "%s is damaged; remove it",
		                         object->name);
	return 0;
}

int stoa_segment_check(struct stoa_segment *segment)
{
	return segment_health(segment);
}

int segment_begin(struct stoa_segment *segment)
{
	int result = segment_get(segment->shares) ? segment_part(segment) : 0;

	return result < 0 ? result : segment_health(segment);
}

int segment_begin_write(struct stoa_segment *segment)
{
	if (!segment->may_write)
		return stoa_fail(-EBADF,
		                 "this handle on segment %s may only read; open "
		                 "it with STOA_WRITE, or without STOA_READ",
		                 segment->object.name);
	return segment_begin(segment);
}

int segment_damaged(struct stoa_segment *segment, const char *what)
{
	if (segment_get(segment->object.poisoned))
		return segment_health(segment);
	return stoa_object_damaged(&segment->object, what);
}

int segment_check_descriptor(struct stoa_segment *segment)
{
	struct stat stat;
	int result = stoa_sys_fstat(segment->object.fd, &stat);

	if (result == 0 && stat.st_ino == segment->object.inode)
		return 0;
	if (result < 0 && result != -EBADF)
		return result;
	return stoa_fail(-EBADF,
	                 "the descriptor of segment %s was closed by the "
	                 "program; open it anew",
	                 segment->object.name);
}

/* ---- Looking ------------------------------------------------------------------ */

int stoa_segment_stat(struct stoa_segment *segment,
                      struct stoa_segment_status *ret_status)
{
	struct stoa_segment_status status = { .size = sizeof status };
	struct segment_control *control = segment->control;
	struct stoa_object *object = &segment->object;
	struct stat stat;
	int result;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "status of segment %s: size must be "
		                 "sizeof(struct stoa_segment_status)",
		                 object->name);
	result = segment_begin(segment);
	if (result == 0)
		result = segment_load_size(segment, &status.bytes);
	if (result == 0)
		result = segment_check_descriptor(segment);
	if (result == 0)
		result = segment_count(segment, &status.writers);
	if (result >= 0) {
		status.attached = (uint32_t)result;
		result = stoa_sys_fstat(object->fd, &stat);
	}
	if (result < 0)
		return result;
	status.limit = segment->limit;
	status.memory_bytes = (uint64_t)stat.st_blocks * 512;
	status.huge_bytes = segment_huge_bytes(segment);
	status.seals = segment_get(control->seals) & SEALS_ALL;
	status.removed = (segment_get(object->events->state) &
	                  OBJECT_REMOVED) != 0;
	status.last_attach_ns = segment_get(control->last_attach_ns);
	status.last_detach_ns = segment_get(control->last_detach_ns);
	status.created_ns = object->copy.created_ns;
	status.last_change_ns = segment_get(control->last_change_ns) ?:
	                        status.created_ns;
	status.creator_pid = object->copy.creator_pid;
	status.last_pid = segment_get(control->last_pid);
	status.generation = object->copy.generation;
	result = segment_health(segment);
	if (result == 0)
		*ret_status = status;
	return result;
}

/* ---- The kind -------------------------------------------------------------------- */

/* Without seats there is nothing that the dead leave. */
static int segment_bury(struct stoa_object *object, uint32_t token)
{
	(void)object, (void)token;
	return 0;
}

static int segment_ready(struct stoa_object *object, unsigned direction,
                         const struct stoa_wait *wait)
{
	(void)object, (void)direction, (void)wait;
	return stoa_fail(-EINVAL, "nobody can wait for a segment");
}

static int open_kind(struct stoa_space *space, const char *name, unsigned flags,
                     struct stoa_object **ret_object)
{
	struct stoa_segment *segment;
	int result = stoa_segment_open(space, name, 0, 0, NULL, &segment);

	(void)flags;
	if (result == 0)
		*ret_object = &segment->object;
	return result;
}

static void close_kind(struct stoa_object *object)
{
	stoa_segment_close((struct stoa_segment *)object);
}

const struct stoa_object_kind stoa_segment_kind = {
	.name = "segment",
	.bury = segment_bury,
	.ready = segment_ready,
	.open = open_kind,
	.close = close_kind,
	.each_user = segment_each_user,
};
