/* SPDX-License-Identifier: MIT */
/* sync/rwlock_open.c: making and opening rwlocks. */
#include <base/error.h>
#include <base/system.h>
#include <sync/rwlock_internal.h>

#include <stdlib.h>
#include <string.h>

#define READERS_DEFAULT 64
#define OPEN_BURIES 64 /* of the dead at most, by who opens */

static int bury(struct stoa_object *object, uint32_t token)
{
	(void)object; /* nothing in it bears a seat's token */
	(void)token;
	return 0;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_rwlock *rwlock;
	int result = stoa_rwlock_open(space, name,
	                              flags & ~(STOA_READ | STOA_WRITE), 0,
	                              NULL, &rwlock);

	if (result == 0)
		*ret_object = &rwlock->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_rwlock_close((struct stoa_rwlock *)object);
}

const struct stoa_object_kind stoa_rwlock_kind = {
	.name = "rwlock",
	.number = KIND_RWLOCK,
	.bury = bury,
	.ready = rwlock_ready,
	.open = open_object,
	.close = close_object,
};

static int read_attributes(const char *name, uint32_t room,
                           const struct stoa_rwlock_attributes *given,
                           uint64_t *geometry)
{
	struct stoa_rwlock_attributes attributes = { 0 };

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(-EINVAL,
			                 "attributes of rwlock %s: size must be "
			                 "sizeof(struct stoa_rwlock_attributes)",
			                 name);
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		if (attributes.reserved[i] != 0)
			return stoa_fail(-EINVAL,
			                 "attributes of rwlock %s: reserved "
			                 "fields must be zero",
			                 name);
	if (attributes.preference > STOA_RWLOCK_WRITERS ||
	    attributes.readers > STOA_RWLOCK_READERS_MAX)
		return stoa_fail(-EINVAL,
		                 "attributes of rwlock %s: preference is 0 or "
		                 "1, readers at most %d",
		                 name, STOA_RWLOCK_READERS_MAX);
	if (attributes.readers == 0)
		attributes.readers = room < READERS_DEFAULT ? room :
		                                              READERS_DEFAULT;
	geometry[RWLOCK_GEOMETRY_PREFERENCE] = attributes.preference;
	geometry[RWLOCK_GEOMETRY_READERS] = attributes.readers;
	geometry[RWLOCK_GEOMETRY_MADE_TICKS] = stoa_cpu_ticks();
	geometry[RWLOCK_GEOMETRY_MADE_NS] =
	        (uint64_t)stoa_sys_clock_ns(CLOCK_MONOTONIC);
	return 0;
}

static int geometry_in_range(const uint64_t *geometry)
{
	return geometry[RWLOCK_GEOMETRY_PREFERENCE] <= STOA_RWLOCK_WRITERS &&
	       geometry[RWLOCK_GEOMETRY_READERS] >= 1 &&
	       geometry[RWLOCK_GEOMETRY_READERS] <= STOA_RWLOCK_READERS_MAX;
}

/* The private side of what stands at `memory`. */
static int set_places(struct stoa_rwlock *rwlock, char *memory,
                      const uint64_t *geometry)
{
	rwlock->preference = (uint32_t)geometry[RWLOCK_GEOMETRY_PREFERENCE];
	rwlock->readers = (uint32_t)geometry[RWLOCK_GEOMETRY_READERS];
	rwlock->made_ticks = geometry[RWLOCK_GEOMETRY_MADE_TICKS];
	rwlock->made_ns = (int64_t)geometry[RWLOCK_GEOMETRY_MADE_NS];
	rwlock->shared = (void *)memory;
	rwlock->waiters = (void *)(memory + RWLOCK_WAITERS_OFFSET);
	rwlock->entries = (void *)(memory + RWLOCK_ENTRIES_OFFSET);
	rwlock->reader = aligned_alloc(STOA_CACHE_LINE,
	                               rwlock->readers *
	                                       sizeof *rwlock->reader);
	if (!rwlock->reader)
		return stoa_fail(-ENOMEM, "no memory to open rwlock %s",
		                 rwlock->object.name);
	memset(rwlock->reader, 0, rwlock->readers * sizeof *rwlock->reader);
	return 0;
}

int stoa_rwlock_open(struct stoa_space *space, const char *name,
                     unsigned flags, mode_t mode,
                     const struct stoa_rwlock_attributes *attributes,
                     struct stoa_rwlock **ret_rwlock)
{
	struct stoa_object_plan plan = { .kind = &stoa_rwlock_kind,
		                         .mode = mode };
	const char *called = name ? name : "(unnamed)";
	struct stoa_rwlock *rwlock;
	int result = stoa_object_check_flags(&stoa_rwlock_kind, called,
	                                     flags);

	if (result == 0 && !name && !(flags & STOA_CREATE))
		return stoa_name_check(name, &name);
	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes(called, READERS_DEFAULT, attributes,
		                         plan.geometry);
	if (result < 0)
		return result;
	plan.file_bytes = OBJECT_KIND_OFFSET +
	                  STOA_RWLOCK_BYTES_FOR(
	                          plan.geometry[RWLOCK_GEOMETRY_READERS]);
	rwlock = stoa_object_allocate(&stoa_rwlock_kind, called,
	                              sizeof *rwlock);
	if (!rwlock)
		return -ENOMEM;
	result = stoa_object_open(&rwlock->object, space, name, flags,
	                          &stoa_rwlock_kind, &plan);
	if (result < 0)
		goto free;
	const uint64_t *geometry = rwlock->object.copy.geometry;
	if (!geometry_in_range(geometry) ||
	    rwlock->object.copy.file_bytes !=
	            OBJECT_KIND_OFFSET +
	                    STOA_RWLOCK_BYTES_FOR(
	                            geometry[RWLOCK_GEOMETRY_READERS])) {
		result = stoa_fail(-EUCLEAN,
		                   "rwlock %s is damaged: its header can't be "
		                   "true; remove it",
		                   called);
		goto close;
	}
	result = set_places(rwlock, rwlock->object.base + OBJECT_KIND_OFFSET,
	                    geometry);
	if (result == 0)
		result = stoa_object_sit(&rwlock->object);
	if (result >= 0)
		result = stoa_object_bury(&rwlock->object, OPEN_BURIES);
	if (result < 0)
		goto close;
	*ret_rwlock = rwlock;
	return 0;

close:
	stoa_object_close(&rwlock->object);
	stoa_object_abandon(&rwlock->object);
free:
	free(rwlock->reader);
	free(rwlock);
	return result;
}

static void make(void *memory, const void *context)
{
	struct rwlock_shared *shared = memory;
	const uint64_t *geometry = context;

	shared->preference = (uint32_t)geometry[RWLOCK_GEOMETRY_PREFERENCE];
	shared->readers = (uint32_t)geometry[RWLOCK_GEOMETRY_READERS];
	shared->made_ticks = geometry[RWLOCK_GEOMETRY_MADE_TICKS];
	shared->made_ns = (int64_t)geometry[RWLOCK_GEOMETRY_MADE_NS];
}

/* Each word loaded once. */
static void read_geometry(const struct rwlock_shared *shared,
                          uint64_t *geometry)
{
	geometry[RWLOCK_GEOMETRY_PREFERENCE] =
	        __atomic_load_n(&shared->preference, __ATOMIC_RELAXED);
	geometry[RWLOCK_GEOMETRY_READERS] =
	        __atomic_load_n(&shared->readers, __ATOMIC_RELAXED);
	geometry[RWLOCK_GEOMETRY_MADE_TICKS] =
	        __atomic_load_n(&shared->made_ticks, __ATOMIC_RELAXED);
	geometry[RWLOCK_GEOMETRY_MADE_NS] =
	        (uint64_t)__atomic_load_n(&shared->made_ns, __ATOMIC_RELAXED);
}

/* The room that attributes leave to be chosen is that of the memory. */
static int plan_place(void *memory, size_t bytes, unsigned flags,
                      const struct stoa_rwlock_attributes *attributes,
                      uint64_t *geometry)
{
	uint32_t room = bytes < STOA_RWLOCK_BYTES_FOR(1) ?
	                        1 :
	                        (uint32_t)((bytes < STOA_RWLOCK_BYTES_FOR(64) ?
	                                            bytes :
	                                            STOA_RWLOCK_BYTES_FOR(64)) -
	                                   RWLOCK_ENTRIES_OFFSET) /
	                                64;
	int result = stoa_object_check_flags(&stoa_rwlock_kind, "in memory",
	                                     flags);

	(void)memory;
	geometry[RWLOCK_GEOMETRY_READERS] = 1;
	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes("in memory", room, attributes,
		                         geometry);
	return result;
}

int stoa_rwlock_place(struct stoa_space *space, void *memory, size_t bytes,
                      unsigned flags,
                      const struct stoa_rwlock_attributes *attributes,
                      struct stoa_rwlock **ret_rwlock)
{
	uint64_t geometry[RWLOCK_GEOMETRY_WORDS] = { 0 };
	struct stoa_rwlock *rwlock;
	int result = plan_place(memory, bytes, flags, attributes, geometry);

	if (result < 0)
		return result;
	rwlock = stoa_object_allocate(&stoa_rwlock_kind, "in memory",
	                              sizeof *rwlock);
	if (!rwlock)
		return -ENOMEM;
	result = stoa_object_place(
	        &rwlock->object, space, memory, bytes,
	        STOA_RWLOCK_BYTES_FOR(geometry[RWLOCK_GEOMETRY_READERS]),
	        flags, &stoa_rwlock_kind, make, geometry);
	if (result < 0)
		goto free;
	read_geometry(memory, geometry);
	if (!geometry_in_range(geometry) ||
	    STOA_RWLOCK_BYTES_FOR(geometry[RWLOCK_GEOMETRY_READERS]) > bytes) {
		result = stoa_fail(-EUCLEAN,
		                   "the rwlock %s is damaged, or larger than "
		                   "the %zu bytes given; make it anew",
		                   rwlock->object.name, bytes);
		goto close;
	}
	result = set_places(rwlock, memory, geometry);
	if (result == 0)
		result = stoa_object_sit(&rwlock->object);
	if (result < 0)
		goto close;
	*ret_rwlock = rwlock;
	return 0;

close:
	stoa_object_close(&rwlock->object);
free:
	free(rwlock->reader);
	free(rwlock);
	return result;
}

void stoa_rwlock_close(struct stoa_rwlock *rwlock)
{
	if (!rwlock)
		return;
	rwlock_give_up(rwlock);
	stoa_object_close(&rwlock->object);
	free(rwlock->reader);
	free(rwlock);
}

int stoa_rwlock_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_rwlock_kind);
}

int stoa_rwlock_remove(struct stoa_rwlock *rwlock)
{
	return stoa_object_remove(&rwlock->object);
}

struct stoa_object *stoa_rwlock_object(struct stoa_rwlock *rwlock)
{
	return &rwlock->object;
}
