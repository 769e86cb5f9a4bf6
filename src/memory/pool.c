/* SPDX-License-Identifier: MIT */
/* memory/pool.c: acquiring, releasing and handing over blocks. Making and
 * opening is in pool_open.c, what people see in pool_inspect.c; why it holds is
 * in pool_layout.h and slab_layout.h. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <memory/pool_internal.h>

#define TRIES 100 /* that others may undo, before there is none */

/* ---- Identifiers ------------------------------------------------------------- */

static int no_block(struct stoa_pool *pool, uint64_t block)
{
	return stoa_fail(-EINVAL,
	                 "%#llx is no block of pool %s, which has %u",
	                 (unsigned long long)block, pool->object.name,
	                 pool->shape.blocks);
}

static int stale(struct stoa_pool *pool, uint64_t block)
{
	return stoa_fail(-ESTALE,
	                 "block %#llx of pool %s was released since, or came "
	                 "back from one who died",
	                 (unsigned long long)block, pool->object.name);
}

int pool_not_ours(struct stoa_pool *pool, uint64_t block)
{
	return stoa_fail(-EPERM,
	                 "block %#llx of pool %s is not this process's: claim "
	                 "it first",
	                 (unsigned long long)block, pool->object.name);
}

static int is_block(const struct stoa_pool *pool, uint64_t block)
{
	return POOL_INDEX(block) < pool->shape.blocks &&
	       (block & ~(SLAB_GENERATION_MASK | UINT32_MAX)) == 0;
}

static int is_current(uint64_t word, uint64_t block)
{
	return slab_state(word) != SLAB_FREE &&
	       (word & SLAB_GENERATION_MASK) == POOL_GENERATION(block);
}

int pool_look_up(struct stoa_pool *pool, uint64_t block, uint64_t *ret_word)
{
	uint64_t word;

	if (!is_block(pool, block))
		return no_block(pool, block);
	word = slab_word(&pool->words[POOL_INDEX(block)]);
	if (!is_current(word, block))
		return stale(pool, block);
	*ret_word = word;
	return 0;
}

void *stoa_pool_data(struct stoa_pool *pool, uint64_t block)
{
	uint64_t word;

	if (stoa_unlikely(!stoa_object_healthy(&pool->object)) ||
	    stoa_unlikely(pool_look_up(pool, block, &word) < 0)) {
		stoa_object_health(&pool->object);
		return NULL;
	}
	if (stoa_unlikely(pool->opened))
		return pool_open_segment(pool, POOL_INDEX(block), POOL_WRITES);
	return pool->data + POOL_INDEX(block) * pool->shape.stride;
}

int stoa_pool_block(struct stoa_pool *pool, const void *data,
                    uint64_t *ret_block)
{
	uint64_t offset = (uint64_t)((const char *)data - pool->data);
	uint64_t index = offset / pool->shape.stride, word;
	int result = stoa_object_health(&pool->object);

	if (result < 0)
		return result;
	if ((const char *)data < pool->data || index >= pool->shape.blocks ||
	    offset % pool->shape.stride != 0)
		return stoa_fail(-EINVAL, "no block of pool %s begins at %p",
		                 pool->object.name, data);
	word = slab_word(&pool->words[index]);
	if (slab_state(word) == SLAB_FREE)
		return stale(pool, POOL_BLOCK(index, word));
	*ret_block = POOL_BLOCK(index, word);
	return 0;
}

static __attribute__((noinline)) void wake(struct stoa_pool *pool)
{
	/* seq_cst: the event is looked at after what was freed */
	atomic_thread_fence(memory_order_seq_cst);
	if (stoa_event_asked(&pool->object, STOA_READ))
		stoa_event_raise(&pool->object, STOA_READ, 1);
}

/* ---- Acquiring ---------------------------------------------------------------- */

static int try_slab(struct stoa_pool *pool, struct slab_keeper *keeper,
                    uint32_t number, enum slab_how how)
{
	struct pool_slab *slab = &pool->slabs[number];
	struct slab_cache *cache = &keeper->cache[0];

	if (!slab_lease(&pool->store, keeper, cache, &slab->lease, how))
		return 0;
	cache->first = (uint64_t)number << pool->slab_shift;
	cache->words = &pool->words[cache->first];
	cache->count = pool_slab_blocks(pool, number);
	cache->rover = number;
	/* relaxed: for speed only */
	atomic_store_explicit(&slab->exhausted, 1, memory_order_relaxed);
	if (slab_fill(cache) != 0)
		return 1;
	slab_give_up(cache);
	return 0;
}

/* All slabs from where the thread was last. */
static int look_quickly(struct stoa_pool *pool, struct slab_keeper *keeper)
{
	uint32_t first = keeper->cache[0].rover;

	for (uint32_t i = 0; i < pool->slab_count; i++) {
		uint32_t number = (first + i) % pool->slab_count;

		/* relaxed: for speed only */
		if (atomic_load_explicit(&pool->slabs[number].exhausted,
		                         memory_order_relaxed))
			continue;
		if (try_slab(pool, keeper, number, SLAB_UNOWNED))
			return 1;
	}
	return 0;
}

/* Looks at every word, the dead ones', too. */
static int look_everywhere(struct stoa_pool *pool, struct slab_keeper *keeper)
{
	uint32_t first = keeper->cache[0].rover;
	struct slab_asker asker = { 0 };

	for (uint32_t i = 0; i < pool->slab_count; i++) {
		uint32_t number = (first + i) % pool->slab_count;

		if (slab_any_free(&pool->store,
		                  &pool->words[(uint64_t)number
		                               << pool->slab_shift],
		                  pool_slab_blocks(pool, number), &asker) &&
		    try_slab(pool, keeper, number, SLAB_ANYBODY))
			return 1;
	}
	return 0;
}

/* The thread knows of no free block. 1: it does now. */
static int find_free(struct stoa_pool *pool, struct slab_keeper *keeper)
{
	struct slab_cache *cache = &keeper->cache[0];

	if (cache->rover >= pool->slab_count)
		cache->rover = (uint32_t)((uint64_t)keeper->desk_index *
		                          pool->slab_count /
		                          pool->store.desk_count);
	if (slab_leased(cache) && slab_fill(cache) != 0)
		return 1;
	slab_give_up(cache);
	return look_quickly(pool, keeper) || look_everywhere(pool, keeper);
}

static int try_acquire(struct stoa_pool *pool, struct slab_keeper *keeper,
                       uint64_t *ret_block)
{
	struct slab_cache *cache = &keeper->cache[0];

	for (int i = 0; i < TRIES; i++) {
		uint64_t word;
		int32_t index = slab_take(keeper, cache, &word);

		if (index >= 0) {
			*ret_block = POOL_BLOCK(
			        cache->first + (uint32_t)index, word);
			return 0;
		}
		if (!find_free(pool, keeper))
			break;
	}
	return -EAGAIN;
}

int pool_take(struct stoa_pool *pool, uint64_t *ret_block)
{
	struct slab_keeper *keeper;
	int result = slab_keeper_make(&pool->store, &keeper);

	return result < 0 ? result : try_acquire(pool, keeper, ret_block);
}

static __attribute__((noinline)) int
acquire_slowly(struct stoa_pool *pool, struct stoa_deadline deadline,
               uint64_t *ret_block)
{
	struct stoa_waiter waiter;
	uint64_t block = 0;
	int step, result = pool_enter(pool);

	if (result == 0)
		result = pool_take(pool, &block);
	if (result != -EAGAIN || deadline.kind == STOA_DEADLINE_NOW)
		goto out;
	stoa_waiter_init(&waiter, &pool->object, STOA_READ, deadline);
	waiter.spins_left = 0; /* each look is a long one */
	while (result == -EAGAIN) {
		step = stoa_waiter_step(&waiter);
		if (step < 0) {
			result = step;
			break;
		}
		if (waiter.armed)
			slab_wait_barrier();
		result = pool_take(pool, &block);
	}
	stoa_waiter_fini(&waiter);
	/* This one may have been woken in another's stead. */
	if (waiter.slept && result < 0)
		wake(pool);
out:
	if (stoa_unlikely(!stoa_object_healthy(&pool->object)))
		return stoa_object_health(&pool->object);
	if (result == 0 && !pool_furnished(pool, block))
		result = pool_furnish(pool, &block);
	if (result == 0)
		*ret_block = block;
	return result;
}

int stoa_pool_acquire(struct stoa_pool *pool, struct stoa_deadline deadline,
                      uint64_t *ret_block)
{
	struct slab_keeper *keeper = slab_keeper(&pool->store);

	if (stoa_likely(keeper && stoa_object_healthy(&pool->object))) {
		struct slab_cache *cache = &keeper->cache[0];
		uint64_t word;
		int32_t index = slab_take(keeper, cache, &word);

		if (stoa_likely(index >= 0)) {
			uint64_t block = POOL_BLOCK(
			        cache->first + (uint32_t)index, word);

			if (stoa_unlikely(!pool_furnished(pool, block))) {
				int result = pool_furnish(pool, &block);

				if (result < 0)
					return result;
			}
			*ret_block = block;
			return 0;
		}
	}
	return acquire_slowly(pool, deadline, ret_block);
}

/* ---- Releasing ------------------------------------------------------------------ */

/* relaxed: for speed only; most often it is known */
static void note_free(struct stoa_pool *pool, uint32_t slab)
{
	_Atomic uint32_t *exhausted = &pool->slabs[slab].exhausted;

	if (atomic_load_explicit(exhausted, memory_order_relaxed))
		atomic_store_explicit(exhausted, 0, memory_order_relaxed);
}

void pool_tell(struct stoa_pool *pool, uint32_t slab)
{
	note_free(pool, slab);
	wake(pool);
}

static __attribute__((noinline)) int release_slowly(struct stoa_pool *pool,
                                                    uint64_t block)
{
	uint64_t word = 0;
	int result = pool_enter(pool);

	if (result == 0)
		result = pool_look_up(pool, block, &word);
	if (result < 0)
		return result;
	stoa_peer peer = atomic_load_explicit(&pool->object.peer,
	                                      memory_order_relaxed);
	if (word != slab_held_word(word, peer) ||
	    !slab_exchange(&pool->words[POOL_INDEX(block)], word,
	                   slab_free_word(word)))
		return pool_not_ours(pool, block);
	pool_tell(pool, POOL_INDEX(block) >> pool->slab_shift);
	return stoa_object_health(&pool->object);
}

int stoa_pool_release(struct stoa_pool *pool, uint64_t block)
{
	struct slab_keeper *keeper = slab_keeper(&pool->store);
	struct slab_cache *cache;
	uint32_t index = POOL_INDEX(block);

	if (stoa_unlikely(!keeper || !is_block(pool, block) ||
	                  !stoa_object_healthy(&pool->object) ||
	                  slab_word(&pool->words[index]) !=
	                          slab_held_word(POOL_GENERATION(block),
	                                         keeper->peer)))
		return release_slowly(pool, block);
	/* release: pairs with the acquire of whoever takes it next */
	atomic_store_explicit(&pool->words[index],
	                      SLAB_FREE | POOL_GENERATION(block),
	                      memory_order_release);
	/* Before the event is looked at: the waiter's barrier does the rest. */
	atomic_signal_fence(memory_order_seq_cst);
	cache = &keeper->cache[0];
	if (stoa_likely(index - cache->first < cache->count))
		slab_remember(cache, index - (uint32_t)cache->first);
	else
		note_free(pool, index >> pool->slab_shift);
	/* relaxed: see Waiting in pool_layout.h */
	if (stoa_unlikely(atomic_load_explicit(&pool->object.events->readable,
	                                       memory_order_relaxed) &
	                  EVENT_ANYBODY))
		wake(pool);
	return 0;
}

/* ---- Handing over ---------------------------------------------------------------- */

int stoa_pool_give(struct stoa_pool *pool, uint64_t block)
{
	uint64_t word = 0;
	int result = pool_enter(pool);

	if (result < 0)
		return result;
	if (!is_block(pool, block))
		return no_block(pool, block);
	stoa_peer peer = atomic_load_explicit(&pool->object.peer,
	                                      memory_order_relaxed);
	word = slab_held_word(POOL_GENERATION(block), peer);
	/* Claimed already, and maybe released, is given, too. */
	result = !STOA_BUG(71) &&
	         !slab_exchange(&pool->words[POOL_INDEX(block)], word,
	                        SLAB_PUBLISHED | POOL_GENERATION(block));
	if (stoa_unlikely(!stoa_object_healthy(&pool->object)))
		return stoa_object_health(&pool->object);
	return result;
}

int stoa_pool_claim(struct stoa_pool *pool, uint64_t block)
{
	uint64_t word = 0, mine;
	int result = pool_enter(pool);

	if (result < 0)
		return result;
	mine = slab_held_word(POOL_GENERATION(block),
	                      atomic_load_explicit(&pool->object.peer,
	                                           memory_order_relaxed));
	for (int i = 0; i < TRIES; i++) {
		result = pool_look_up(pool, block, &word);
		if (result < 0 || word == mine)
			break;
		result = slab_exchange(&pool->words[POOL_INDEX(block)], word,
		                       mine) ?
		                 0 :
		                 -EUCLEAN;
		if (result == 0)
			break;
	}
	if (stoa_unlikely(!stoa_object_healthy(&pool->object)))
		return stoa_object_health(&pool->object);
	return result == -EUCLEAN ?
	               stoa_object_damaged(&pool->object,
	                                   "a block changes all the time") :
	               result;
}
