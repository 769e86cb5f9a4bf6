/* SPDX-License-Identifier: MIT */
/* sync/condition_internal.h: what the condition's sources share. */
#ifndef STOA_SYNC_CONDITION_INTERNAL_H
#define STOA_SYNC_CONDITION_INTERNAL_H

#include <base/cpu.h>
#include <space/event.h>
#include <space/object.h>
#include <stoa/condition.h>
#include <sync/condition_layout.h>

#include <errno.h>

struct stoa_condition {
	struct stoa_object object;
	struct condition_shared *shared;
	uint32_t capacity; /* checked at open, constant since */
	_Atomic uint32_t cursor; /* whose life a sleeper asks for next */
};

/* Records that may be in use; a foreign number made safe. acquire: pairs with
 * the release of whoever raised it over its record. */
static inline uint32_t condition_used(const struct stoa_condition *condition)
{
	uint32_t used = atomic_load_explicit(&condition->shared->used,
	                                     memory_order_acquire);

	return used < condition->capacity ? used : condition->capacity;
}

/* Every call begins here: 0, and who calls. */
static inline int condition_begin(struct stoa_condition *condition,
                                  uint64_t *ret_agent)
{
	int result = stoa_object_enter(&condition->object);

	if (stoa_unlikely(result < 0))
		return result;
	*ret_agent = stoa_object_agent(&condition->object);
	return stoa_likely(*ret_agent != 0) ? 0 : -EAGAIN;
}

static inline int condition_end(struct stoa_condition *condition, int result)
{
	return stoa_likely(stoa_object_healthy(&condition->object)) ?
	               result :
	               stoa_object_health(&condition->object);
}

/* Tells one waiter, if there is any: 1, or 0. */
int condition_tell_one(struct stoa_condition *condition);

/* Frees the record of a dead agent, whose word was `word`; what it was told
 * goes to another. */
void condition_bury(struct stoa_condition *condition,
                    struct condition_record *record, uint64_t word,
                    uint64_t agent);

/* Buries all of the dead. */
void condition_bury_all(struct stoa_condition *condition, uint64_t agent);

/* What a sleeper does at its slice: buries the dead that were told, and some
 * others. */
void condition_patrol(struct stoa_condition *condition, uint64_t agent);

int condition_ready(struct stoa_object *object, unsigned direction,
                    const struct stoa_wait *wait);

#endif
