/* SPDX-License-Identifier: MIT */
/* space/wait.c: waiting for any of several conditions. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <space/event.h>
#include <space/wait.h>

#include <errno.h>

#define SPINS 200u

static int check(const struct stoa_wait *condition)
{
	switch (condition->kind) {
	case STOA_READABLE:
	case STOA_WRITABLE:
		return condition->object ? 0 : -EINVAL;
	case STOA_DEATH:
		return condition->space ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static unsigned direction_of(const struct stoa_wait *condition)
{
	return condition->kind == STOA_READABLE ? STOA_READ : STOA_WRITE;
}

int stoa_wait_holds(const struct stoa_wait *condition)
{
	struct stoa_object *object = condition->object;
	int result;

	if (condition->kind == STOA_DEATH)
		return !stoa_life_alive(&condition->space->life,
		                        condition->peer);
	result = stoa_object_health(object);
	if (result < 0)
		return result;
	result = stoa_object_enter(object);
	if (result < 0)
		return result;
	result = object->kind->ready(object, direction_of(condition), condition);
	if (!stoa_object_healthy(object))
		return stoa_object_health(object);
	return result == STOA_READY_SOON ? 0 : result;
}

/* The index of the first that holds, -EAGAIN, or why one can't any more. */
static int first_that_holds(const struct stoa_wait *conditions,
                            size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int result = stoa_wait_holds(&conditions[i]);

		if (result < 0)
			return result;
		if (result > 0)
			return (int)i;
	}
	return -EAGAIN;
}

/* seq_cst: EVENT_DEKKER; the conditions are looked at next. */
static size_t arm(const struct stoa_wait *conditions, size_t count,
                  struct stoa_futex_wait *waits)
{
	size_t armed = 0;

	for (size_t i = 0; i < count; i++) {
		if (conditions[i].kind == STOA_DEATH)
			continue;
		_Atomic uint32_t *word = stoa_event_word(
		        conditions[i].object, direction_of(&conditions[i]));
		waits[armed].value =
		        atomic_fetch_or_explicit(word, EVENT_OBSERVERS,
		                                 memory_order_seq_cst) |
		        EVENT_OBSERVERS;
		waits[armed++].word = word;
	}
	return armed;
}

static int interruptible(const struct stoa_wait *conditions, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (conditions[i].kind != STOA_DEATH &&
		    (conditions[i].object->flags & STOA_INTERRUPTIBLE))
			return 1;
	return 0;
}

static void patrol(const struct stoa_wait *conditions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stoa_object *object = conditions[i].object;

		if (conditions[i].kind == STOA_DEATH)
			continue;
		stoa_life_reprobe(&object->space->life);
		if (stoa_object_enter(object) == 0)
			stoa_object_patrol(object);
	}
}

int stoa_wait_several(const struct stoa_wait *conditions, size_t count,
                         const struct stoa_futex_wait *bystander,
                         struct stoa_deadline deadline)
{
	struct stoa_futex_wait waits[STOA_WAIT_MAX + 1];
	_Atomic uint32_t nobody = 0;
	int result = first_that_holds(conditions, count);

	for (unsigned i = 0; result == -EAGAIN && i < SPINS &&
	                     deadline.kind != STOA_DEADLINE_NOW && !bystander;
	     i++) {
		stoa_cpu_pause();
		result = first_that_holds(conditions, count);
	}
	while (result == -EAGAIN) {
		int64_t left = stoa_deadline_left(deadline);
		size_t armed;

		if (left == 0)
			return stoa_deadline_result(deadline);
		armed = arm(conditions, count, waits);
		result = first_that_holds(conditions, count);
		if (result != -EAGAIN)
			break;
		if (bystander)
			waits[armed++] = *bystander;
		if (armed == 0) /* deaths alone: the kernel rings nowhere */
			waits[armed++] = (struct stoa_futex_wait){ &nobody, 0 };
		result = stoa_futex_wait_any(
		        waits, armed,
		        left < STOA_SLICE_NS ? left : STOA_SLICE_NS);
		if (result == -EINTR && interruptible(conditions, count))
			return -EINTR;
		if (result == -ETIMEDOUT)
			patrol(conditions, count);
		result = first_that_holds(conditions, count);
		if (result == -EAGAIN && bystander &&
		    atomic_load(bystander->word) != bystander->value)
			return -ECANCELED;
	}
	return result;
}

int stoa_wait_any(const struct stoa_wait *conditions, size_t count,
                  struct stoa_deadline deadline)
{
	if (count == 0 || count > STOA_WAIT_MAX)
		return stoa_fail(-EINVAL, "a wait is for 1 to %d conditions",
		                 STOA_WAIT_MAX);
	for (size_t i = 0; i < count; i++)
		if (check(&conditions[i]) < 0)
			return stoa_fail(-EINVAL,
			                 "condition %zu of a wait is of no "
			                 "known kind, or lacks its object or "
			                 "space",
			                 i);
	return stoa_wait_several(conditions, count, NULL, deadline);
}
