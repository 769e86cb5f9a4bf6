/* SPDX-License-Identifier: MIT */
/* sync/barrier_inspect.c: how a barrier stands, and who waits. */
#include <base/error.h>
#include <sync/barrier_internal.h>

static uint32_t how_many_have_come(struct stoa_barrier *barrier)
{
	uint32_t round = BARRIER_ROUND(barrier_round(barrier));
	uint32_t come = 0;

	for (uint32_t i = 0; i < barrier->count; i++)
		come += (uint32_t)barrier_has_come(
		        barrier_slot(barrier, round, i));
	return come;
}

int barrier_ready(struct stoa_object *object, unsigned direction,
                  const struct stoa_wait *wait)
{
	struct stoa_barrier *barrier = (struct stoa_barrier *)object;
	uint32_t seen = wait ? (uint32_t)wait->amount : 0;

	if (direction == STOA_WRITE)
		return how_many_have_come(barrier) + 1 >= barrier->count;
	return (int32_t)(BARRIER_ROUND(barrier_round(barrier)) - seen) > 0;
}

static int find_waiter(struct stoa_barrier *barrier, uint32_t round,
                       uint32_t slot, struct stoa_barrier_waiter *ret_waiter)
{
	struct barrier_info *info =
	        &barrier->infos[barrier_slot_index(barrier, round, slot)];
	uint64_t word = barrier_slot(barrier, round, slot);
	struct life_record record;
	stoa_peer peer = AGENT_PEER(word);

	if (!barrier_has_come(word))
		return 0;
	*ret_waiter = (struct stoa_barrier_waiter){
		.peer = peer, .alive = barrier_alive(barrier, word)
	};
	if (stoa_life_record(&barrier->object.space->life, LIFE_SLOT(peer),
	                     &record) == 0 &&
	    record.generation == LIFE_GENERATION(peer))
		ret_waiter->pid = record.pid;
	/* acquire: pairs with the release in inform() */
	if (atomic_load_explicit(&info->told, memory_order_acquire) == word) {
		ret_waiter->tid = atomic_load_explicit(&info->tid,
		                                       memory_order_relaxed);
		ret_waiter->since_ns = atomic_load_explicit(
		        &info->since_ns, memory_order_relaxed);
	}
	return 1;
}

static int finish(struct stoa_barrier *barrier, int result)
{
	if (atomic_load_explicit(&barrier->object.poisoned,
	                         memory_order_relaxed))
		return stoa_object_health(&barrier->object);
	return result;
}

int stoa_barrier_each_waiter(struct stoa_barrier *barrier,
                             int (*visit)(const struct stoa_barrier_waiter *,
                                          void *context),
                             void *context)
{
	struct stoa_barrier_waiter waiter;
	int visited = 0, result = stoa_object_enter(&barrier->object);

	if (result == 0)
		result = stoa_object_health(&barrier->object);
	if (result < 0)
		return result;
	uint32_t round = BARRIER_ROUND(barrier_round(barrier));
	for (uint32_t i = 0; i < barrier->count && result == 0; i++) {
		if (!find_waiter(barrier, round, i, &waiter))
			continue;
		visited++;
		result = visit(&waiter, context);
	}
	return finish(barrier, result != 0 ? result : visited);
}

static int count_waiter(const struct stoa_barrier_waiter *waiter, void *context)
{
	uint32_t *count = context;

	*count += (uint32_t)waiter->alive;
	return 0;
}

int stoa_barrier_stat(struct stoa_barrier *barrier,
                      struct stoa_barrier_status *ret_status)
{
	struct stoa_barrier_status status = { .size = sizeof status,
		                              .count = barrier->count,
		                              .death = barrier->death };
	uint64_t word;
	int result;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL, "barrier %s: the size of what "
		                          "stoa_barrier_stat fills in is not "
		                          "that of struct stoa_barrier_status",
		                 barrier->object.name);
	word = barrier_round(barrier);
	result = stoa_barrier_each_waiter(barrier, count_waiter,
	                                  &status.waiting);
	if (result < 0)
		return result;
	status.rounds = BARRIER_ROUND(word);
	status.broken = (word & BARRIER_BROKEN) != 0;
	*ret_status = status;
	return 0;
}
