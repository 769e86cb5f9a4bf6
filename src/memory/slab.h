/* SPDX-License-Identifier: MIT */
/*
 * memory/slab.h: taking blocks of slabs that one thread at a time has the
 * lease of. Why it holds is in slab_layout.h.
 */
#ifndef STOA_MEMORY_SLAB_H
#define STOA_MEMORY_SLAB_H

#include <memory/slab_layout.h>
#include <space/object.h>

#define SLAB_CACHE 64u /* free blocks known to a thread at once */
#define SLAB_BLOCKS_MAX 65535u /* of a slab: free[] below */

/* The slab that a thread takes blocks of one size from. */
struct slab_cache {
	_Atomic uint64_t *lease; /* NULL: none */
	uint64_t held;           /* the lease while it is ours */
	_Atomic uint64_t *words;
	uint64_t first; /* its first block, as the noun numbers them */
	uint32_t count; /* of blocks; 0 without a lease */
	uint32_t cursor;
	uint32_t rover; /* where the noun looks next for a slab; UINT32_MAX */
	/* The heap's: where the slab's blocks are, how many bytes, and of what
	 * size; see struct heap_class. */
	uint32_t bytes;
	uint64_t offset, span, reciprocal;
	uint32_t free_count; /* of free[]: they were free once */
	uint16_t free[SLAB_CACHE];
};

/* What a thread has of one handle; in private memory. */
struct slab_keeper {
	stoa_peer peer;
	uint64_t agent;
	struct slab_desk *desk;
	uint32_t desk_index;
	uint32_t fenced;
	uint32_t generation; /* of the desk, since it is the thread's */
	uint32_t caches;
	struct slab_cache *recent; /* that a block was taken through */
	struct slab_cache cache[];
};

#define SLAB_CHUNK 64u

struct slab_keepers {
	struct slab_keeper *keeper[SLAB_CHUNK];
};

/* A handle's. */
struct slab_store {
	struct stoa_object *object;
	const _Atomic stoa_peer *self; /* of this process, 0 after a fork */
	uint64_t serial; /* of handles of this process: none has it again */
	struct slab_desk *desks;
	uint32_t desk_count;
	uint32_t caches; /* of each keeper */
	/* By thread number: each thread uses its own entry alone. */
	struct slab_keepers *_Atomic chunk[(STOA_THREAD_MAX + 1) / SLAB_CHUNK];
};

/* Answers about the dead, good for one walk over many words. */
#define SLAB_ASKED 128u

struct slab_asker {
	stoa_peer peer[SLAB_ASKED]; /* each in the place that its slot says */
	uint8_t dead[SLAB_ASKED];
};

enum slab_how {
	SLAB_UNOWNED,  /* the lease only if nobody has it */
	SLAB_DEAD_TOO, /* or a dead one */
	SLAB_ANYBODY   /* or a living one that has no use for it just now */
};

/* `object` is open; the noun fills in desks, desk_count and caches. */
void slab_store_init(struct slab_store *store, struct stoa_object *object);
/* Gives up leases and desks of all threads, and frees the keepers. */
void slab_store_fini(struct slab_store *store);

/* The calling thread's keeper, made if need be. -EUSERS: all desks are taken.
 * -EAGAIN: too many threads. -ENOMEM. */
int slab_keeper_make(struct slab_store *store, struct slab_keeper **ret_keeper);

/* The one that the thread used last, and of which handle. */
struct slab_thread {
	uint64_t serial; /* 0: none */
	struct slab_keeper *keeper;
	struct stoa_held held; /* so that it is forgotten when the thread ends */
	int32_t tid;           /* whose list `held` is on */
};

extern __thread struct slab_thread slab_thread_here
        __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The calling thread's keeper of this handle, or NULL: then make it. */
static inline struct slab_keeper *slab_keeper(struct slab_store *store)
{
	struct slab_keeper *keeper = slab_thread_here.keeper;

	/* Not this process's after a fork. relaxed: set in it before */
	if (stoa_unlikely(slab_thread_here.serial != store->serial ||
	                  keeper->peer !=
	                          atomic_load_explicit(store->self,
	                                               memory_order_relaxed)))
		return NULL;
	return keeper;
}

static inline uint64_t slab_state(uint64_t word)
{
	return word & SLAB_STATE_MASK;
}

static inline uint64_t slab_held_word(uint64_t generation, stoa_peer peer)
{
	return SLAB_HELD | (generation & SLAB_GENERATION_MASK) | peer;
}

static inline uint64_t slab_free_word(uint64_t word)
{
	return SLAB_FREE | (word & SLAB_GENERATION_MASK);
}

/* acquire: pairs with the release of whoever wrote it */
static inline uint64_t slab_word(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static inline int slab_exchange(_Atomic uint64_t *word, uint64_t expected,
                                uint64_t desired)
{
	/* seq_cst: as acq_rel pairs with the next one's; and whoever freed a
	 * block looks at the event next (EVENT_DEKKER) */
	return atomic_compare_exchange_strong_explicit(
	        word, &expected, desired, memory_order_seq_cst,
	        memory_order_relaxed);
}

/*
 * Takes a block of the slab that the thread has the lease of: its index, and
 * its word. -1: none is known, or the lease is gone.
 */
stoa_always_inline int32_t slab_take(struct slab_keeper *keeper,
                                     struct slab_cache *cache,
                                     uint64_t *ret_word)
{
	struct slab_desk *desk = keeper->desk;
	int32_t taken = -1;

	/* relaxed: SLAB_INSIDE, T1 */
	atomic_store_explicit(&desk->inside, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (stoa_unlikely(keeper->fenced))
		atomic_thread_fence(memory_order_seq_cst);
	while (taken < 0 && cache->free_count != 0) {
		/* relaxed: T2 */
		if (stoa_unlikely(
		            atomic_load_explicit(cache->lease,
		                                 memory_order_relaxed) !=
		            cache->held)) {
			cache->free_count = 0;
			break;
		}
		uint32_t index = cache->free[--cache->free_count];
		uint64_t word = slab_word(&cache->words[index]);

		if (stoa_unlikely(slab_state(word) != SLAB_FREE))
			continue; /* known twice, and taken the first time */
		word = slab_held_word(word + SLAB_GENERATION_ONE, keeper->peer);
		/* relaxed: T3. It gives nothing to anybody but the thread */
		atomic_store_explicit(&cache->words[index], word,
		                      memory_order_relaxed);
		*ret_word = word;
		taken = (int32_t)index;
	}
	/* release: T4, pairs with the acquire in C3 */
	atomic_store_explicit(&desk->inside, 0, memory_order_release);
	return taken;
}

/* Block `index` of the cache's slab was freed by the thread. */
static inline void slab_remember(struct slab_cache *cache, uint32_t index)
{
	if (stoa_likely(cache->free_count < SLAB_CACHE))
		cache->free[cache->free_count++] = (uint16_t)index;
}

/* Whether the cache still has its lease. */
static inline int slab_leased(const struct slab_cache *cache)
{
	return cache->lease &&
	       atomic_load_explicit(cache->lease, memory_order_relaxed) ==
	               cache->held;
}

/* Looks for free blocks in the cache's slab. How many it knows now. */
uint32_t slab_fill(struct slab_cache *cache);

/* Takes the lease of another slab for the cache, which has none. 1: done. */
int slab_lease(struct slab_store *store, struct slab_keeper *keeper,
               struct slab_cache *cache, _Atomic uint64_t *lease,
               enum slab_how how);
void slab_give_up(struct slab_cache *cache);

/* Gives back a block if its holder is dead (6). 1: it is free now. */
int slab_bury(struct slab_store *store, _Atomic uint64_t *word,
              struct slab_asker *asker);
/* Whether one of them is free; those of the dead are given back first. */
int slab_any_free(struct slab_store *store, _Atomic uint64_t *words,
                  uint32_t count, struct slab_asker *asker);
int slab_peer_dead(struct slab_store *store, stoa_peer peer,
                   struct slab_asker *asker);

/* What makes a change visible that others made by plain stores just before
 * they looked at an event: the waiter's half of EVENT_DEKKER, as
 * T1 to T4 above. */
void slab_wait_barrier(void);

#endif
