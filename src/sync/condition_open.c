/* SPDX-License-Identifier: MIT */
/* sync/condition_open.c: making, opening and closing conditions. */
#include <base/error.h>
#include <base/system.h>
#include <sync/condition_internal.h>
#include <sync/kinds.h>

#include <stdlib.h>
#include <string.h>

#define OPEN_FLAGS (STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE)
#define WAITERS_DEFAULT 1024u

_Static_assert(STOA_CONDITION_BYTES_FOR(1) ==
                       sizeof(struct condition_place) +
                               sizeof(struct condition_record),
               "place size");

static uint64_t file_bytes(uint64_t capacity)
{
	return OBJECT_KIND_OFFSET + sizeof(struct condition_shared) +
	       capacity * sizeof(struct condition_record);
}

/* *ret_waiters 0: as many as there is room for. */
static int read_attributes(const char *name,
                           const struct stoa_condition_attributes *given,
                           uint32_t *ret_waiters)
{
	*ret_waiters = 0;
	if (!given)
		return 0;
	if (given->size != sizeof *given)
		return stoa_fail(-EINVAL,
		                 "attributes of condition %s: size must be "
		                 "sizeof(struct stoa_condition_attributes)",
		                 name);
	for (size_t i = 0;
	     i < sizeof given->reserved / sizeof given->reserved[0]; i++)
		if (given->reserved[i] != 0)
			return stoa_fail(-EINVAL,
			                 "attributes of condition %s: reserved "
			                 "fields must be zero",
			                 name);
	if (given->waiters > STOA_CONDITION_WAITERS_MAX)
		return stoa_fail(-EINVAL,
		                 "attributes of condition %s: at most %d can "
		                 "wait at once",
		                 name, STOA_CONDITION_WAITERS_MAX);
	*ret_waiters = given->waiters;
	return 0;
}

static int damaged(const char *name)
{
	return stoa_fail(-EUCLEAN,
	                 "condition %s is damaged: its number of waiters can't "
	                 "be true; remove it",
	                 name);
}

static struct stoa_condition *new_handle(const char *name)
{
	struct stoa_condition *condition = calloc(1, sizeof *condition);

	if (!condition)
		stoa_fail(-ENOMEM, "no memory to open condition %s", name);
	return condition;
}

int stoa_condition_open(struct stoa_space *space, const char *name,
                        unsigned flags, mode_t mode,
                        const struct stoa_condition_attributes *attributes,
                        struct stoa_condition **ret_condition)
{
	struct stoa_object_plan plan = { .kind = &stoa_condition_kind,
		                         .mode = mode };
	const char *shown = name ? name : "(unnamed)";
	struct stoa_condition *condition;
	uint32_t waiters = 0;
	int result = stoa_object_check_flags(&stoa_condition_kind, shown, flags);

	if (result == 0 && !name && !(flags & STOA_CREATE))
		return stoa_name_check(name, &name);
	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes(shown, attributes, &waiters);
	if (result < 0)
		return result;
	plan.geometry[CONDITION_GEOMETRY_CAPACITY] = waiters ?: WAITERS_DEFAULT;
	plan.file_bytes = file_bytes(waiters ?: WAITERS_DEFAULT);
	condition = new_handle(shown);
	if (!condition)
		return -ENOMEM;
	result = stoa_object_open(&condition->object, space, name,
	                          flags | STOA_READ | STOA_WRITE,
	                          &stoa_condition_kind, &plan);
	if (result < 0)
		goto free;
	const struct stoa_object_header *header = &condition->object.copy;
	uint64_t capacity = header->geometry[CONDITION_GEOMETRY_CAPACITY];
	if (capacity == 0 || capacity > STOA_CONDITION_WAITERS_MAX ||
	    header->file_bytes != file_bytes(capacity)) {
		result = damaged(shown);
		goto close;
	}
	condition->capacity = (uint32_t)capacity;
	condition->shared =
	        (void *)(condition->object.base + OBJECT_KIND_OFFSET);
	result = stoa_object_sit(&condition->object);
	if (result < 0)
		goto close;
	*ret_condition = condition;
	return 0;

close:
	stoa_object_close(&condition->object);
	stoa_object_abandon(&condition->object);
free:
	free(condition);
	return result;
}

static void make_place(void *memory, const void *context)
{
	((struct condition_place *)memory)->shared.capacity =
	        *(const uint32_t *)context;
}

int stoa_condition_place(struct stoa_space *space, void *memory, size_t bytes,
                         unsigned flags,
                         const struct stoa_condition_attributes *attributes,
                         struct stoa_condition **ret_condition)
{
	struct stoa_condition *condition;
	uint32_t waiters = 0;
	size_t room, needed;
	int result = stoa_object_check_flags(&stoa_condition_kind, "in memory", flags);

	if (result == 0 && (flags & STOA_CREATE))
		result = read_attributes("in memory", attributes, &waiters);
	if (result < 0)
		return result;
	room = bytes < STOA_CONDITION_BYTES_FOR(1) ?
	               1 :
	               (bytes - STOA_CONDITION_BYTES_FOR(0)) /
	                       sizeof(struct condition_record);
	if (room > STOA_CONDITION_WAITERS_MAX)
		room = STOA_CONDITION_WAITERS_MAX;
	if (waiters == 0)
		waiters = (uint32_t)room;
	/* Clears as much of it as it uses. */
	needed = STOA_CONDITION_BYTES_FOR(flags & STOA_CREATE ? waiters : 1);
	condition = new_handle("in memory");
	if (!condition)
		return -ENOMEM;
	result = stoa_object_place(&condition->object, space, memory, bytes,
	                           needed, flags, &stoa_condition_kind,
	                           make_place, &waiters);
	if (result < 0)
		goto free;
	condition->shared = &((struct condition_place *)memory)->shared;
	condition->capacity = condition->shared->capacity;
	if (condition->capacity == 0 || condition->capacity > room) {
		result = damaged("in memory");
		goto close;
	}
	result = stoa_object_sit(&condition->object);
	if (result < 0)
		goto close;
	*ret_condition = condition;
	return 0;

close:
	stoa_object_close(&condition->object);
free:
	free(condition);
	return result;
}

void stoa_condition_close(struct stoa_condition *condition)
{
	if (!condition)
		return;
	stoa_object_close(&condition->object);
	free(condition);
}

int stoa_condition_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_condition_kind);
}

int stoa_condition_remove(struct stoa_condition *condition)
{
	return stoa_object_remove(&condition->object);
}

struct stoa_object *stoa_condition_object(struct stoa_condition *condition)
{
	return &condition->object;
}

/* ---- The kind --------------------------------------------------------------------- */

/* Nothing of a condition bears a token: who waits finds the dead. */
static int bury(struct stoa_object *object, uint32_t token)
{
	(void)object;
	(void)token;
	return 0;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_condition *condition;
	int result = stoa_condition_open(space, name, flags & OPEN_FLAGS, 0,
	                                 NULL, &condition);

	if (result == 0)
		*ret_object = &condition->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_condition_close((struct stoa_condition *)object);
}

const struct stoa_object_kind stoa_condition_kind = {
	.name = "condition",
	.number = KIND_CONDITION,
	.bury = bury,
	.ready = condition_ready,
	.open = open_object,
	.close = close_object,
};
