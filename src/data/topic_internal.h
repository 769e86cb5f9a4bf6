/* SPDX-License-Identifier: MIT */
/* data/topic_internal.h: what the topic's sources share. */
#ifndef STOA_DATA_TOPIC_INTERNAL_H
#define STOA_DATA_TOPIC_INTERNAL_H

#include <base/bug.h>
#include <base/cpu.h>
#include <base/private_lock.h>
#include <base/system.h>
#include <data/topic_layout.h>
#include <space/event.h>
#include <space/object.h>

#include <errno.h>
#include <string.h>
#include <sys/single_threaded.h>

/* Cells or slots: claims, and where to look for a free one. */
struct topic_pool {
	_Atomic uint64_t *claims; /* publishers only */
	uint32_t count;
	_Atomic uint32_t cursor; /* relaxed: a hint */
};

/* The data as publishers have it. */
struct topic_written {
	struct topic_control *control; /* NULL: not mapped */
	char *cells, *slots;
	struct topic_pool cell_pool, slot_pool;
};

struct stoa_topic {
	struct stoa_object object;

	/* Checked at open, constant since; never read from the file again. */
	enum stoa_topic_overrun overrun;
	uint64_t capacity;
	uint64_t max_message;
	uint64_t slot_bytes, slot_stride;
	uint64_t inline_bytes;
	uint64_t total_bytes;
	uint64_t places;     /* of the ring, a power of two */
	uint32_t place_bits;
	uint32_t cell_shift; /* log2 of cell_bytes */
	uint32_t spread;     /* odd: see queue_layout.h, PLACES */
	uint32_t slots;
	uint64_t slack; /* a cursor lags so much at most */
	uint64_t batch; /* `oldest` is raised so far ahead of need */

	/* The data, as it's read. */
	uint64_t data_bytes;
	const struct topic_control *seen;
	const char *cells, *slots_at;
	struct topic_written written;

	/* A publisher's own. relaxed throughout: each is a hint, but `safe`,
	 * which is never above what it stands for (acquire, release). */
	_Alignas(STOA_CACHE_LINE) _Atomic uint64_t tail;
	_Atomic uint64_t safe; /* positions below it may be written over */
	_Atomic uint32_t held; /* reserved, not committed */
	_Atomic uint32_t publishes, waits, streaming;
	_Atomic stoa_peer slowest; /* met last; a hint for the one who waits */

	/* A subscriber's own. */
	_Alignas(STOA_CACHE_LINE) _Atomic uint64_t position; /* the next */
	_Atomic uint64_t published; /* the cursor in the seat */
	_Atomic uint32_t joined; /* the token by which it subscribes; 0: none */
	_Atomic uint32_t loans;
	_Atomic uint32_t idle_calls;
	_Atomic uint32_t run;   /* received in a row, nothing missing */
	_Atomic uint64_t known; /* published by then, when it was last asked */
	_Atomic uint64_t lost;     /* since it was opened */
	_Atomic uint64_t lost_now; /* not told with a message yet */
	struct stoa_lock lock; /* stoa_private_lock: cursor and loans */
	uint64_t loan[STOA_TOPIC_LOANS]; /* position + 1; 0: none */
};

/* ---- Places and cells ------------------------------------------------------ */

static inline uint64_t topic_lap(const struct stoa_topic *topic,
                                 uint64_t position)
{
	return (position >> topic->place_bits) + 1;
}

/* The number of the cell that has the word of a position, and is its home. */
static inline uint32_t topic_home(const struct stoa_topic *topic,
                                  uint64_t position)
{
	return ((uint32_t)position * topic->spread) &
	       (uint32_t)(topic->places - 1);
}

static inline const struct topic_cell *
topic_cell(const struct stoa_topic *topic, uint32_t cell)
{
	return (const void *)(topic->cells +
	                      ((size_t)cell << topic->cell_shift));
}

static inline struct topic_cell *
topic_cell_written(const struct stoa_topic *topic,
                   const struct topic_written *written, uint32_t cell)
{
	return (void *)(written->cells + ((size_t)cell << topic->cell_shift));
}

/* How many laps the word is ahead of the position (36 bits, signed): 0 says
 * committed, -1 not yet. */
static inline int64_t topic_ahead(const struct stoa_topic *topic, uint64_t word,
                                  uint64_t position)
{
	uint64_t difference = TOPIC_WORD_LAP(word) - topic_lap(topic, position);

	return (int64_t)(difference << TOPIC_CELL_BITS) >> TOPIC_CELL_BITS;
}

static inline _Atomic uint32_t *topic_crowd(const struct stoa_topic *topic)
{
	return (void *)(topic->object.base + TOPIC_CROWD_OFFSET);
}

static inline uint64_t topic_oldest(const struct stoa_topic *topic)
{
	/* seq_cst: TOPIC_CURSOR. As acquire it pairs with the raise: who sees
	 * it raised by another may write. */
	return atomic_load_explicit(&topic->seen->oldest, memory_order_seq_cst);
}

/* relaxed: what is read may be overwritten meanwhile (TOPIC_OLDEST). */
#define topic_get(from) __atomic_load_n(from, __ATOMIC_RELAXED)
#define topic_put(to, value) __atomic_store_n(to, value, __ATOMIC_RELAXED)

/* The first position that isn't committed, and its place's word. 0; 1: publishers
 * are too fast, and it's beyond what was committed when this began; -EUCLEAN. */
int topic_find_tail(struct stoa_topic *topic, uint64_t *ret_position,
                    uint64_t *ret_word);

/* ---- Room (topic_room.c) ---------------------------------------------------- */

/* Whether what the claim stands for may be written by whoever claims it. */
static inline int topic_claim_free(uint64_t claim, uint64_t safe)
{
	return claim == 0 || (!(claim & TOPIC_RESERVED) && claim <= safe);
}

static inline int topic_claim_exchange(_Atomic uint64_t *claim,
                                       uint64_t expected, uint64_t desired)
{
	/* seq_cst: EVENT_DEKKER for those that wait for room. As acq_rel it
	 * orders the last publisher's bytes before the next one's. */
	return atomic_compare_exchange_strong_explicit(claim, &expected, desired,
	                                               memory_order_seq_cst,
	                                               memory_order_relaxed);
}

static inline uint64_t topic_mine(struct stoa_topic *topic)
{
	return TOPIC_RESERVED | stoa_object_token(&topic->object);
}

/* Claims any free cell or slot for this handle. 0, or -EAGAIN: no room now,
 * -EUCLEAN. */
int topic_claim_slowly(struct stoa_topic *topic, struct topic_pool *pool,
                       uint32_t *ret_index);
int topic_pool_has_room(struct stoa_topic *topic, struct topic_pool *pool);

/* Makes positions below `needed` free to be written over, and `more` if there
 * are. 0, or -EAGAIN: somebody alive needs them still; topic->slowest says
 * who. */
int topic_reclaim(struct stoa_topic *topic, uint64_t needed, uint64_t more);

int topic_bury(struct stoa_object *object, uint32_t token);

/* ---- Subscriptions (topic_receive.c) ------------------------------------------ */

void topic_leave(struct stoa_topic *topic);

/* ---- What calls have in common (topic.c) -------------------------------------- */

int topic_map_written(struct stoa_topic *topic,
                      struct topic_written *ret_written);
void topic_unmap_written(struct stoa_topic *topic,
                         struct topic_written *written);
int topic_refuse(struct stoa_topic *topic, unsigned direction);
int topic_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait);
void topic_patrol_seldom(struct stoa_topic *topic);
int topic_damaged(struct stoa_topic *topic);
int topic_stale(struct stoa_topic *topic);

/* Every call on a handle begins so. `direction`: opened for it? */
static inline int topic_begin(struct stoa_topic *topic, unsigned direction)
{
	int result = stoa_object_enter(&topic->object);

	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(!(topic->object.flags & direction)))
		return topic_refuse(topic, direction);
	return stoa_object_healthy(&topic->object) ?
	               0 :
	               stoa_object_health(&topic->object);
}

/* Every call that has touched the mapping ends so: a fault in it makes zeros of
 * all that was read since. */
static inline long topic_end(struct stoa_topic *topic, long result)
{
	if (stoa_likely(!atomic_load_explicit(&topic->object.poisoned,
	                                      memory_order_relaxed)))
		return result;
	return stoa_object_health(&topic->object);
}

/* A process with one thread needs no lock. */
static inline int topic_lock(struct stoa_topic *topic)
{
	if (__libc_single_threaded)
		return 0;
	stoa_private_lock(&topic->lock);
	return 1;
}

static inline void topic_unlock(struct stoa_topic *topic, int locked)
{
	if (locked)
		stoa_private_unlock(&topic->lock);
}

/* relaxed: for people. Threads that share a handle share the seat. */
static inline void topic_count(_Atomic uint64_t *counter, uint64_t amount)
{
	if (__libc_single_threaded)
		atomic_store_explicit(counter,
		                      atomic_load_explicit(
		                              counter, memory_order_relaxed) +
		                              amount,
		                      memory_order_relaxed);
	else
		atomic_fetch_add_explicit(counter, amount,
		                          memory_order_relaxed);
}

static inline struct stoa_seat *topic_seat(struct stoa_topic *topic)
{
	return atomic_load_explicit(&topic->object.seat, memory_order_relaxed);
}

/* How often this thread found nothing to receive: see topic_streams(). */
extern _Thread_local uint32_t topic_vain
        __attribute__((tls_model("initial-exec"), visibility("hidden")));

#define TOPIC_IDLE_CALLS 16 /* so often the clock is looked at */

/* A call with STOA_NOW found nothing. The dead must be met by somebody who
 * never sleeps, too. */
static inline void topic_idle(struct stoa_topic *topic, unsigned direction)
{
	uint32_t calls = atomic_load_explicit(&topic->idle_calls,
	                                      memory_order_relaxed);

	atomic_store_explicit(&topic->idle_calls, calls + 1,
	                      memory_order_relaxed);
	if (direction == STOA_READ)
		topic_vain++;
	if (stoa_unlikely(calls % TOPIC_IDLE_CALLS == 0))
		topic_patrol_seldom(topic);
	if (stoa_unlikely(atomic_load_explicit(&topic->object.polled,
	                                       memory_order_relaxed)))
		stoa_bell_rearm(&topic->object, direction);
}

#endif
