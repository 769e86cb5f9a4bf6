/* SPDX-License-Identifier: MIT */
/* sync/condition_inspect.c: who waits on a condition, and whether it has been
 * signalled. */
#include <base/error.h>
#include <sync/condition_internal.h>

static int32_t pid_of(struct stoa_condition *condition, stoa_peer peer)
{
	struct life_record record;

	if (stoa_life_record(&condition->object.space->life, LIFE_SLOT(peer),
	                     &record) < 0 ||
	    record.generation != LIFE_GENERATION(peer))
		return 0;
	return record.pid;
}

/* 1: a living wait, and what to show of it. relaxed: for people. */
static int look_at(struct stoa_condition *condition,
                   const struct condition_record *record,
                   struct stoa_condition_waiter *shown)
{
	uint64_t word = atomic_load_explicit(&record->word,
	                                     memory_order_relaxed);
	uint64_t ticket = atomic_load_explicit(&record->ticket,
	                                       memory_order_relaxed);
	uint64_t released = atomic_load_explicit(&condition->shared->released,
	                                         memory_order_relaxed);

	*shown = (struct stoa_condition_waiter){
		.peer = AGENT_PEER(word),
		.told = (word & CONDITION_TOLD) || ticket <= released,
		.tid = atomic_load_explicit(&record->tid, memory_order_relaxed),
		.since_ns = atomic_load_explicit(&record->since_ns,
		                                 memory_order_relaxed)
	};
	if (shown->peer == 0 ||
	    !stoa_life_alive(&condition->object.space->life, shown->peer))
		return 0;
	shown->pid = pid_of(condition, shown->peer);
	return 1;
}

int stoa_condition_each_waiter(
        struct stoa_condition *condition,
        int (*visit)(const struct stoa_condition_waiter *waiter, void *context),
        void *context)
{
	uint64_t agent;
	int visited = 0;
	int result = condition_begin(condition, &agent);
	uint32_t used = result < 0 ? 0 : condition_used(condition);

	if (result < 0)
		return result;
	for (uint32_t i = 0; i < used; i++) {
		struct stoa_condition_waiter shown;

		if (!look_at(condition, &condition->shared->records[i], &shown))
			continue;
		result = visit(&shown, context);
		if (result != 0)
			return result;
		visited++;
	}
	return condition_end(condition, visited);
}

static int count_waiter(const struct stoa_condition_waiter *waiter,
                        void *context)
{
	struct stoa_condition_status *status = context;

	status->told += waiter->told ? 1 : 0;
	status->waiters += waiter->told ? 0 : 1;
	return 0;
}

int stoa_condition_stat(struct stoa_condition *condition,
                        struct stoa_condition_status *ret_status)
{
	struct stoa_condition_status status = { .size = sizeof status };
	int result;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "status of condition %s: size must be "
		                 "sizeof(struct stoa_condition_status)",
		                 condition->object.name);
	result = stoa_condition_each_waiter(condition, count_waiter, &status);
	if (result < 0)
		return result;
	status.waiters_max = condition->capacity;
	status.count = atomic_load_explicit(&condition->shared->count,
	                                    memory_order_relaxed);
	status.broadcasts = atomic_load_explicit(&condition->shared->broadcasts,
	                                         memory_order_relaxed);
	result = condition_end(condition, 0);
	if (result == 0)
		*ret_status = status;
	return result;
}

int stoa_condition_count(struct stoa_condition *condition, uint64_t *ret_count)
{
	uint64_t agent, count;
	int result = condition_begin(condition, &agent);

	if (result < 0)
		return result;
	count = atomic_load_explicit(&condition->shared->count,
	                             memory_order_seq_cst);
	result = condition_end(condition, 0);
	if (result == 0)
		*ret_count = count;
	return result;
}

int condition_ready(struct stoa_object *object, unsigned direction,
                    const struct stoa_wait *wait)
{
	struct stoa_condition *condition = (struct stoa_condition *)object;
	uint64_t seen = wait ? wait->amount : 0;

	if (direction != STOA_READ)
		return stoa_fail(-EINVAL,
		                 "condition %s: only STOA_READABLE can be "
		                 "waited for, that it was signalled",
		                 object->name);
	/* seq_cst: EVENT_DEKKER */
	return atomic_load_explicit(&condition->shared->count,
	                            memory_order_seq_cst) != seen;
}
