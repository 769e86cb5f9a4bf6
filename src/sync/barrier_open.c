/* SPDX-License-Identifier: MIT */
/* sync/barrier_open.c: making and opening barriers. */
#include <base/error.h>
#include <sync/barrier_internal.h>

#include <stdlib.h>
#include <string.h>

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
	struct stoa_barrier *barrier;
	int result = stoa_barrier_open(space, name,
	                              flags & ~(STOA_READ | STOA_WRITE), 0,
	                              NULL, &barrier);

	if (result == 0)
		*ret_object = &barrier->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_barrier_close((struct stoa_barrier *)object);
}

const struct stoa_object_kind stoa_barrier_kind = {
	.name = "barrier",
	.number = KIND_BARRIER,
	.bury = bury,
	.ready = barrier_ready,
	.open = open_object,
	.close = close_object,
};

static int read_attributes(const char *name,
                           const struct stoa_barrier_attributes *given,
                           uint64_t *geometry)
{
	if (!given || given->size != sizeof *given)
		return stoa_fail(-EINVAL,
		                 "attributes of barrier %s: they are needed, "
		                 "and size must be "
		                 "sizeof(struct stoa_barrier_attributes)",
		                 name);
	for (int i = 0; i < 4; i++)
		if (given->reserved[i] != 0)
			return stoa_fail(-EINVAL,
			                 "attributes of barrier %s: reserved "
			                 "fields must be zero",
			                 name);
	if (given->count < 1 || given->count > STOA_BARRIER_COUNT_MAX ||
	    given->death > STOA_BARRIER_FORGETS)
		return stoa_fail(-EINVAL,
		                 "attributes of barrier %s: count is 1 to %d, "
		                 "death 0 or 1",
		                 name, STOA_BARRIER_COUNT_MAX);
	geometry[BARRIER_GEOMETRY_COUNT] = given->count;
	geometry[BARRIER_GEOMETRY_DEATH] = given->death;
	return 0;
}

static int geometry_in_range(const uint64_t *geometry)
{
	return geometry[BARRIER_GEOMETRY_DEATH] <= STOA_BARRIER_FORGETS &&
	       geometry[BARRIER_GEOMETRY_COUNT] >= 1 &&
	       geometry[BARRIER_GEOMETRY_COUNT] <= STOA_BARRIER_COUNT_MAX;
}

/* The private side of what stands at `memory`. */
static void set_places(struct stoa_barrier *barrier, char *memory,
                       const uint64_t *geometry)
{
	barrier->count = (uint32_t)geometry[BARRIER_GEOMETRY_COUNT];
	barrier->death = (uint32_t)geometry[BARRIER_GEOMETRY_DEATH];
	barrier->shared = (void *)memory;
	barrier->slots = (void *)(memory + BARRIER_SLOTS_OFFSET);
	barrier->infos = (void *)(barrier->slots + 2 * (size_t)barrier->count);
}

int stoa_barrier_open(struct stoa_space *space, const char *name,
                     unsigned flags, mode_t mode,
                     const struct stoa_barrier_attributes *attributes,
                     struct stoa_barrier **ret_barrier)
{
	struct stoa_object_plan plan = { .kind = &stoa_barrier_kind,
		                         .mode = mode };
	const char *called = name ? name : "(unnamed)";
	struct stoa_barrier *barrier;
	int result = stoa_object_check_flags(&stoa_barrier_kind, called,
	                                     flags);

	if (result == 0 && !name && !(flags & STOA_CREATE))
		return stoa_name_check(name, &name);
	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes(called, attributes, plan.geometry);
	if (result < 0)
		return result;
	plan.file_bytes = OBJECT_KIND_OFFSET +
	                  STOA_BARRIER_BYTES_FOR(
	                          plan.geometry[BARRIER_GEOMETRY_COUNT]);
	barrier = stoa_object_allocate(&stoa_barrier_kind, called,
	                              sizeof *barrier);
	if (!barrier)
		return -ENOMEM;
	result = stoa_object_open(&barrier->object, space, name, flags,
	                          &stoa_barrier_kind, &plan);
	if (result < 0)
		goto free;
	const uint64_t *geometry = barrier->object.copy.geometry;
	if (!geometry_in_range(geometry) ||
	    barrier->object.copy.file_bytes !=
	            OBJECT_KIND_OFFSET +
	                    STOA_BARRIER_BYTES_FOR(
	                            geometry[BARRIER_GEOMETRY_COUNT])) {
		result = stoa_fail(-EUCLEAN,
		                   "barrier %s is damaged: its header can't be "
		                   "true; remove it",
		                   called);
		goto close;
	}
	set_places(barrier, barrier->object.base + OBJECT_KIND_OFFSET,
	           geometry);
	result = stoa_object_sit(&barrier->object);
	if (result >= 0)
		result = stoa_object_bury(&barrier->object, OPEN_BURIES);
	if (result < 0)
		goto close;
	*ret_barrier = barrier;
	return 0;

close:
	stoa_object_close(&barrier->object);
	stoa_object_abandon(&barrier->object);
free:
	free(barrier);
	return result;
}

static void make(void *memory, const void *context)
{
	struct barrier_shared *shared = memory;
	const uint64_t *geometry = context;

	shared->death = (uint32_t)geometry[BARRIER_GEOMETRY_DEATH];
	shared->count = (uint32_t)geometry[BARRIER_GEOMETRY_COUNT];
}

int stoa_barrier_place(struct stoa_space *space, void *memory, size_t bytes,
                      unsigned flags,
                      const struct stoa_barrier_attributes *attributes,
                      struct stoa_barrier **ret_barrier)
{
	uint64_t geometry[2] = { [BARRIER_GEOMETRY_COUNT] = 1 };
	struct stoa_barrier *barrier;
	int result = stoa_object_check_flags(&stoa_barrier_kind, "in memory",
	                                     flags);

	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes("in memory", attributes, geometry);
	if (result < 0)
		return result;
	barrier = stoa_object_allocate(&stoa_barrier_kind, "in memory",
	                              sizeof *barrier);
	if (!barrier)
		return -ENOMEM;
	result = stoa_object_place(
	        &barrier->object, space, memory, bytes,
	        STOA_BARRIER_BYTES_FOR(geometry[BARRIER_GEOMETRY_COUNT]),
	        flags, &stoa_barrier_kind, make, geometry);
	if (result < 0)
		goto free;
	const struct barrier_shared *shared = memory;
	geometry[BARRIER_GEOMETRY_DEATH] =
	        __atomic_load_n(&shared->death, __ATOMIC_RELAXED);
	geometry[BARRIER_GEOMETRY_COUNT] =
	        __atomic_load_n(&shared->count, __ATOMIC_RELAXED);
	if (!geometry_in_range(geometry) ||
	    STOA_BARRIER_BYTES_FOR(geometry[BARRIER_GEOMETRY_COUNT]) > bytes) {
		result = stoa_fail(-EUCLEAN,
		                   "the barrier %s is damaged, or larger than "
		                   "the %zu bytes given; make it anew",
		                   barrier->object.name, bytes);
		goto close;
	}
	set_places(barrier, memory, geometry);
	result = stoa_object_sit(&barrier->object);
	if (result < 0)
		goto close;
	*ret_barrier = barrier;
	return 0;

close:
	stoa_object_close(&barrier->object);
free:
	free(barrier);
	return result;
}

void stoa_barrier_close(struct stoa_barrier *barrier)
{
	if (!barrier)
		return;
	stoa_object_close(&barrier->object);
	free(barrier);
}

int stoa_barrier_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_barrier_kind);
}

int stoa_barrier_remove(struct stoa_barrier *barrier)
{
	return stoa_object_remove(&barrier->object);
}

struct stoa_object *stoa_barrier_object(struct stoa_barrier *barrier)
{
	return &barrier->object;
}
