/* SPDX-License-Identifier: MIT */
/* memory/slab.c: desks, leases, and the blocks of the dead. */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <memory/slab.h>

#include <errno.h>
#include <stdlib.h>

#define INSIDE_LOOKS 64 /* at a desk, before its slab is left alone */

/* ---- Desks ------------------------------------------------------------------ */

int slab_peer_dead(struct slab_store *store, stoa_peer peer,
                   struct slab_asker *asker)
{
	unsigned place = LIFE_SLOT(peer) % SLAB_ASKED;

	if (asker->peer[place] == peer && peer != 0)
		return asker->dead[place];
	asker->peer[place] = peer;
	asker->dead[place] =
	        !stoa_life_alive(&store->object->space->life, peer);
	return asker->dead[place];
}

static int claim_desk(struct slab_desk *desk, uint64_t from, uint64_t agent)
{
	/* acq_rel: pairs with that of the desk's last owner */
	if (!atomic_compare_exchange_strong_explicit(&desk->agent, &from, agent,
	                                             memory_order_acq_rel,
	                                             memory_order_relaxed))
		return 0;
	atomic_store_explicit(&desk->fenced, stoa_sys_barrier_register() < 0,
	                      memory_order_relaxed);
	atomic_fetch_add_explicit(&desk->generation, 1, memory_order_relaxed);
	/* release: who finds 0 finds `fenced`, too */
	atomic_store_explicit(&desk->inside, 0, memory_order_release);
	return 1;
}

/* Free ones first: asking about the dead costs a system call each. */
static int find_desk(struct slab_store *store, uint64_t agent,
                     uint32_t *ret_index)
{
	struct slab_asker asker = { 0 };
	uint32_t count = store->desk_count;
	uint32_t first = (uint32_t)((agent ^ agent >> 48) % count);

	for (int dead_too = 0; dead_too < 2; dead_too++)
		for (uint32_t i = 0; i < count; i++) {
			uint32_t index = (first + i) % count;
			struct slab_desk *desk = &store->desks[index];
			uint64_t from = atomic_load_explicit(
			        &desk->agent, memory_order_relaxed);

			if (from != 0 &&
			    (!dead_too ||
			     !slab_peer_dead(store, AGENT_PEER(from), &asker)))
				continue;
			if (claim_desk(desk, from, agent)) {
				*ret_index = index;
				return 0;
			}
		}
	return stoa_fail(-EUSERS,
	                 "%s %s: %u threads have taken something of it "
	                 "already; make it for more",
	                 store->object->kind->name, store->object->name, count);
}

/* ---- Keepers ------------------------------------------------------------------ */

static struct slab_keepers *find_chunk(struct slab_store *store,
                                       uint32_t number)
{
	struct slab_keepers *_Atomic *at = &store->chunk[number / SLAB_CHUNK];
	struct slab_keepers *chunk =
	        atomic_load_explicit(at, memory_order_acquire);
	struct slab_keepers *none = NULL;

	if (chunk)
		return chunk;
	chunk = calloc(1, sizeof *chunk);
	/* acq_rel: whoever finds it finds it cleared */
	if (chunk && !atomic_compare_exchange_strong_explicit(
	                     at, &none, chunk, memory_order_acq_rel,
	                     memory_order_acquire)) {
		free(chunk);
		chunk = none;
	}
	return chunk;
}

__thread struct slab_thread slab_thread_here;

void slab_store_init(struct slab_store *store, struct stoa_object *object)
{
	static _Atomic uint64_t serials;

	store->object = object;
	store->self = &object->space->life.self->peer;
	/* relaxed: only that it's another one each time */
	store->serial = 1 + atomic_fetch_add_explicit(&serials, 1,
	                                              memory_order_relaxed);
}

static int no_memory(struct slab_store *store)
{
	return stoa_fail(-ENOMEM, "no memory to use %s %s",
	                 store->object->kind->name, store->object->name);
}

static struct slab_keeper *new_keeper(struct slab_store *store)
{
	size_t bytes = sizeof(struct slab_keeper) +
	               store->caches * sizeof(struct slab_cache);

	bytes = (bytes + STOA_CACHE_LINE - 1) / STOA_CACHE_LINE *
	        STOA_CACHE_LINE;
	return aligned_alloc(STOA_CACHE_LINE, bytes);
}

/* A desk, and nothing on it. */
static int set_up(struct slab_store *store, struct slab_keeper *keeper,
                  uint64_t agent)
{
	int result;

	*keeper = (struct slab_keeper){ .agent = agent,
		                        .caches = store->caches };
	for (uint32_t i = 0; i < store->caches; i++)
		keeper->cache[i] = (struct slab_cache){ .rover = UINT32_MAX };
	result = find_desk(store, agent, &keeper->desk_index);
	if (result < 0)
		return result;
	keeper->desk = &store->desks[keeper->desk_index];
	keeper->fenced = atomic_load_explicit(&keeper->desk->fenced,
	                                      memory_order_relaxed) != 0;
	keeper->recent = &keeper->cache[0];
	keeper->generation = atomic_load_explicit(&keeper->desk->generation,
	                                          memory_order_relaxed);
	keeper->peer = AGENT_PEER(agent);
	return 0;
}

/* Its number, and with it the keeper, may be another thread's next. */
static void thread_ends(struct stoa_held *held)
{
	(void)held;
	slab_thread_here.serial = 0;
	slab_thread_here.tid = 0;
}

static void remember_here(struct slab_store *store, struct slab_keeper *keeper)
{
	struct slab_thread *here = &slab_thread_here;

	here->keeper = keeper;
	here->serial = store->serial;
	if (here->tid == stoa_thread_here.tid)
		return;
	here->tid = stoa_thread_here.tid;
	here->held.abandon = thread_ends;
	stoa_thread_hold(&stoa_thread_here, &here->held);
}

int slab_keeper_make(struct slab_store *store, struct slab_keeper **ret_keeper)
{
	struct slab_keepers *chunk;
	struct slab_keeper **at;
	uint64_t agent;
	int result;

	/* What it had is not this process's, or is not to be had: a keeper
	 * without a desk and a forked child that has not joined yet are both
	 * nobody's, and must not be taken for each other. */
	slab_thread_here.serial = 0;
	result = stoa_object_enter(store->object);
	if (result < 0)
		return result;
	agent = stoa_object_agent(store->object);
	if (agent == 0)
		return stoa_fail(-EAGAIN,
		                 "this process has more threads than %s %s can "
		                 "tell apart",
		                 store->object->kind->name,
		                 store->object->name);
	chunk = find_chunk(store, AGENT_THREAD(agent));
	if (!chunk)
		return no_memory(store);
	at = &chunk->keeper[AGENT_THREAD(agent) % SLAB_CHUNK];
	if (!*at) {
		*at = new_keeper(store);
		if (!*at)
			return no_memory(store);
		(*at)->peer = 0;
	}
	/* One from before a fork has nothing that is this process's. */
	if ((*at)->peer != AGENT_PEER(agent)) {
		result = set_up(store, *at, agent);
		if (result < 0)
			return result;
	}
	remember_here(store, *at);
	*ret_keeper = *at;
	return 0;
}

static void give_up_desk(struct slab_keeper *keeper)
{
	uint64_t agent = keeper->agent;

	for (uint32_t i = 0; i < keeper->caches; i++)
		slab_give_up(&keeper->cache[i]);
	/* release: pairs with the acquire in claim_desk() */
	atomic_compare_exchange_strong_explicit(&keeper->desk->agent, &agent, 0,
	                                        memory_order_release,
	                                        memory_order_relaxed);
}

void slab_store_fini(struct slab_store *store)
{
	stoa_peer self = atomic_load_explicit(
	        &store->object->space->life.self->peer, memory_order_relaxed);

	for (uint32_t i = 0; i < (STOA_THREAD_MAX + 1) / SLAB_CHUNK; i++) {
		struct slab_keepers *chunk = atomic_load_explicit(
		        &store->chunk[i], memory_order_acquire);

		for (uint32_t j = 0; chunk && j < SLAB_CHUNK; j++) {
			struct slab_keeper *keeper = chunk->keeper[j];

			if (keeper && keeper->peer != 0 &&
			    keeper->peer == self)
				give_up_desk(keeper);
			free(keeper);
		}
		free(chunk);
	}
}

/* ---- Leases -------------------------------------------------------------------- */

uint32_t slab_fill(struct slab_cache *cache)
{
	uint32_t found = 0, at = cache->cursor;

	for (uint32_t i = 0; i < cache->count && found < SLAB_CACHE; i++) {
		if (slab_state(slab_word(&cache->words[at])) == SLAB_FREE)
			cache->free[found++] = (uint16_t)at;
		at = at + 1 == cache->count ? 0 : at + 1;
	}
	cache->cursor = at;
	cache->free_count = found;
	return found;
}

/* C1 to C3 of SLAB_INSIDE. 1: the desk's owner is outside. */
static int call(struct slab_desk *desk, _Atomic uint64_t *lease, uint64_t now)
{
	if (!(now & LEASE_CALLED) &&
	    !slab_exchange(lease, now, now | LEASE_CALLED))
		return 0;
	if (atomic_load_explicit(&desk->fenced, memory_order_relaxed))
		atomic_thread_fence(memory_order_seq_cst);
	else if (stoa_sys_barrier() < 0)
		return 0;
	for (int i = 0; i < INSIDE_LOOKS; i++) {
		/* acquire: C3, pairs with the release in slab_take() */
		if (atomic_load_explicit(&desk->inside, memory_order_acquire) ==
		    0)
			return 1;
		stoa_cpu_pause();
	}
	return 0;
}

int slab_lease(struct slab_store *store, struct slab_keeper *keeper,
               struct slab_cache *cache, _Atomic uint64_t *lease,
               enum slab_how how)
{
	struct slab_asker asker = { 0 };
	/* acquire: the desk is looked at as it was for this lease, or later */
	uint64_t now = atomic_load_explicit(lease, memory_order_acquire);
	uint64_t mine = LEASE_NEXT(now, keeper->desk_index + 1);
	uint32_t desk = LEASE_DESK(now);

	if (desk != 0 && how == SLAB_UNOWNED)
		return 0;
	/* A desk that can't be is nobody's. */
	if (desk != 0 && desk <= store->desk_count) {
		struct slab_desk *owner = &store->desks[desk - 1];
		uint64_t agent = atomic_load_explicit(&owner->agent,
		                                      memory_order_acquire);

		if (STOA_BUG(70) && owner != keeper->desk)
			return 0;
		if (owner != keeper->desk && agent != 0 &&
		    !slab_peer_dead(store, AGENT_PEER(agent), &asker)) {
			if (how != SLAB_ANYBODY || !call(owner, lease, now))
				return 0;
			now |= LEASE_CALLED;
		}
	}
	if (!slab_exchange(lease, now, mine))
		return 0;
	cache->lease = lease;
	cache->held = mine;
	cache->cursor = 0;
	cache->free_count = 0;
	return 1;
}

void slab_give_up(struct slab_cache *cache)
{
	uint64_t now = cache->held;

	if (!cache->lease)
		return;
	if (!slab_exchange(cache->lease, now, LEASE_NEXT(now, 0)))
		slab_exchange(cache->lease, now | LEASE_CALLED,
		              LEASE_NEXT(now, 0));
	cache->lease = NULL;
	cache->count = 0;
	cache->span = 0;
	cache->free_count = 0;
}

/* ---- The dead -------------------------------------------------------------------- */

int slab_bury(struct slab_store *store, _Atomic uint64_t *at,
              struct slab_asker *asker)
{
	uint64_t word = slab_word(at);

	if (slab_state(word) != SLAB_HELD ||
	    !slab_peer_dead(store, SLAB_PEER(word), asker) || STOA_BUG(72))
		return 0;
	return slab_exchange(at, word, slab_free_word(word));
}

int slab_any_free(struct slab_store *store, _Atomic uint64_t *words,
                  uint32_t count, struct slab_asker *asker)
{
	for (uint32_t i = 0; i < count; i++)
		if (slab_state(slab_word(&words[i])) == SLAB_FREE ||
		    slab_bury(store, &words[i], asker))
			return 1;
	return 0;
}

void slab_wait_barrier(void)
{
	if (stoa_sys_barrier() < 0)
		atomic_thread_fence(memory_order_seq_cst);
}
