/* SPDX-License-Identifier: MIT */
/* memory/pool_inspect.c: whose the blocks are; whether one is free. */
#include <base/error.h>
#include <base/system.h>
#include <memory/pool_internal.h>

int stoa_pool_collect(struct stoa_pool *pool)
{
	struct slab_asker asker = { 0 };
	int collected = 0, result = pool_enter(pool);

	if (result < 0)
		return result;
	for (uint32_t i = 0; i < pool->shape.blocks; i++)
		if (slab_bury(&pool->store, &pool->words[i], &asker)) {
			collected++;
			pool_tell(pool, i >> pool->slab_shift);
		}
	result = stoa_object_health(&pool->object);
	return result < 0 ? result : collected;
}

int stoa_pool_each(struct stoa_pool *pool,
                   int (*visit)(const struct stoa_pool_use *use, void *context),
                   void *context)
{
	struct slab_asker asker = { 0 };
	int visited = 0, result = pool_enter(pool);

	for (uint32_t i = 0; result == 0 && i < pool->shape.blocks; i++) {
		uint64_t word = slab_word(&pool->words[i]);
		struct stoa_pool_use use = { .block = POOL_BLOCK(i, word) };

		if (slab_state(word) == SLAB_FREE)
			continue;
		if (slab_state(word) == SLAB_HELD) {
			use.holder = SLAB_PEER(word);
			use.alive = !slab_peer_dead(&pool->store, use.holder,
			                            &asker);
		}
		result = visit(&use, context);
		visited++;
	}
	if (result != 0)
		return result;
	result = stoa_object_health(&pool->object);
	return result < 0 ? result : visited;
}

static int count_use(const struct stoa_pool_use *use, void *context)
{
	struct stoa_pool_status *status = context;

	if (use->holder == 0)
		status->in_flight++;
	else
		status->held++;
	return 0;
}

static uint32_t count_desks(struct stoa_pool *pool)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < pool->store.desk_count; i++) {
		uint64_t agent = atomic_load_explicit(
		        &pool->store.desks[i].agent, memory_order_relaxed);

		if (agent != 0 &&
		    stoa_life_alive(&pool->object.space->life,
		                    AGENT_PEER(agent)))
			count++;
	}
	return count;
}

static uint32_t count_users(struct stoa_object *object)
{
	uint32_t seats = stoa_object_seats(object), users = 0;

	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(object, i);
		stoa_peer peer = seat ? atomic_load_explicit(
		                                &seat->owner,
		                                memory_order_relaxed) >>
		                                16 :
		                        0;

		users += peer != 0 &&
		         stoa_life_alive(&object->space->life, peer);
	}
	return users;
}

int stoa_pool_stat(struct stoa_pool *pool, struct stoa_pool_status *ret_status)
{
	struct stoa_pool_status status = { .size = sizeof status };
	int result;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "status of pool %s: size must be "
		                 "sizeof(struct stoa_pool_status)",
		                 pool->object.name);
	result = stoa_pool_collect(pool);
	if (result < 0)
		return result;
	status.collected = (uint32_t)result;
	result = stoa_pool_each(pool, count_use, &status);
	if (result < 0)
		return result;
	status.block_bytes = pool->shape.block_bytes;
	status.blocks = pool->shape.blocks;
	status.alignment = pool->shape.alignment;
	status.free = status.blocks - status.held - status.in_flight;
	status.threads = count_desks(pool);
	status.threads_max = pool->shape.desks;
	status.bytes = status.memory_bytes = pool->bytes;
	if (pool->given) {
		struct stat stat;

		status.segments = 1;
		status.memory_bytes =
		        stoa_sys_fstat(pool->object.fd, &stat) == 0 ?
		                (uint64_t)stat.st_blocks * 512 :
		                0;
	}
	if (pool->object.header) {
		status.created_ns = pool->object.copy.created_ns;
		status.generation = pool->object.copy.generation;
		status.creator_pid = pool->object.copy.creator_pid;
		status.users = count_users(&pool->object);
	}
	if (!stoa_object_healthy(&pool->object))
		return stoa_object_health(&pool->object);
	*ret_status = status;
	return 0;
}

/* ---- For stoa_wait_any --------------------------------------------------------- */

int pool_ready(struct stoa_object *object, unsigned direction,
               const struct stoa_wait *wait)
{
	struct stoa_pool *pool = (struct stoa_pool *)object;
	struct slab_asker asker = { 0 };

	(void)wait;
	if (direction != STOA_READ)
		return stoa_fail(-EINVAL,
		                 "pool %s: only STOA_READABLE can be waited "
		                 "for, that a block is free",
		                 object->name);
	if (atomic_load_explicit(&object->events->readable,
	                         memory_order_relaxed) &
	    (EVENT_OBSERVERS | EVENT_BELL))
		slab_wait_barrier();
	return slab_any_free(&pool->store, pool->words, pool->shape.blocks,
	                     &asker);
}
