/* SPDX-License-Identifier: MIT */
/* space/place.c: small objects in memory of the caller's. */
#include <base/error.h>
#include <space/event.h>
#include <space/object.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Peers mean nothing in another space, so the memory says in which they are
 * to be looked for: the inode number of its directory, mixed to 32 bits. A
 * check against mistakes, not against malice.
 */
static uint32_t space_mark(const struct stoa_space *space)
{
	uint64_t inode = space->life.directory_inode *
	                 UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(inode >> 32);
}

static int check(const struct stoa_place *place, struct stoa_space *space,
                 const struct stoa_object_kind *kind)
{
	/* acquire: pairs with the release in make_place() */
	if (atomic_load_explicit(&place->magic, memory_order_acquire) !=
	    PLACE_MAGIC)
		return stoa_fail(-EPROTO,
		                 "the memory at %p holds no %s; make one there "
		                 "with STOA_CREATE",
		                 (const void *)place, kind->name);
	if (place->kind != kind->number ||
	    place->layout_version != OBJECT_LAYOUT_VERSION)
		return stoa_fail(-EPROTO,
		                 "the memory at %p holds another kind of object "
		                 "than a %s, or one of another layout version "
		                 "than %d",
		                 (const void *)place, kind->name,
		                 OBJECT_LAYOUT_VERSION);
	if (place->space != space_mark(space))
		return stoa_fail(-EXDEV,
		                 "the %s at %p was made with another space than "
		                 "%s; open that one",
		                 kind->name, (const void *)place, space->path);
	return 0;
}

int stoa_object_place(struct stoa_object *object, struct stoa_space *space,
                      void *memory, size_t bytes, size_t needed, unsigned flags,
                      const struct stoa_object_kind *kind,
                      void (*make)(void *memory, const void *context),
                      const void *context)
{
	struct stoa_place *place = memory;
	int result;

	if (!memory || bytes < needed || (uintptr_t)memory % 8 != 0)
		return stoa_fail(-EINVAL,
		                 "a %s needs %zu bytes at an address divisible "
		                 "by 8, not %zu at %p",
		                 kind->name, needed, bytes, memory);
	if (flags & STOA_CREATE) {
		memset(memory, 0, needed);
		place->kind = kind->number;
		place->layout_version = OBJECT_LAYOUT_VERSION;
		place->space = space_mark(space);
		if (make)
			make(memory, context);
		/* release: whoever sees the magic sees the rest */
		atomic_store_explicit(&place->magic, PLACE_MAGIC,
		                      memory_order_release);
		object->created = 1;
	} else {
		result = check(place, space, kind);
		if (result < 0)
			return result;
	}
	object->kind = kind;
	object->space = space;
	object->flags = flags;
	atomic_store(&object->directions, flags & (STOA_READ | STOA_WRITE));
	object->fd = -1;
	object->events = &place->events;
	snprintf(object->name, sizeof object->name, "at %p", memory);
	stoa_event_init(object);
	return stoa_object_health(object);
}
