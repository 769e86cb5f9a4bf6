/* SPDX-License-Identifier: MIT */
/*
 * data/topic_room.c: cells and slots, and what may be written over. See
 * OVERWRITING and WAITING in topic_layout.h.
 */
#include <base/error.h>
#include <data/topic_internal.h>

#define LOOK_FIRST 8  /* claims, before all are looked at */
#define TRIES 4
#define BURIES_MAX 1024 /* of subscribers in the way, by one call */

/* ---- Cursors ------------------------------------------------------------------- */

static uint64_t cursor_of(struct stoa_seat *seat, uint32_t *ret_token)
{
	/* Token first: a cursor is set before it. seq_cst: TOPIC_CURSOR */
	*ret_token = (uint32_t)atomic_load_explicit(&seat->own[TOPIC_SEAT_TOKEN],
	                                            memory_order_seq_cst);
	return atomic_load_explicit(&seat->own[TOPIC_SEAT_CURSOR],
	                            memory_order_seq_cst);
}

struct slowest {
	uint64_t cursor;
	uint32_t token; /* 0: nobody is below */
	stoa_peer peer;
};

static struct slowest find_slowest(struct stoa_topic *topic, uint64_t most)
{
	/* seq_cst: TOPIC_CURSOR */
	uint32_t crowd = atomic_load_explicit(topic_crowd(topic),
	                                      memory_order_seq_cst);
	struct slowest slowest = { .cursor = most };

	for (uint32_t i = 0; i < crowd; i++) {
		struct stoa_seat *seat = stoa_object_seat(&topic->object, i);
		uint32_t token;

		if (!seat)
			break; /* overwritten: there are no more seats */
		uint64_t cursor = cursor_of(seat, &token);
		if (token == 0 || cursor >= slowest.cursor)
			continue;
		slowest.cursor = cursor;
		slowest.token = token;
		slowest.peer = atomic_load_explicit(&seat->owner,
		                                    memory_order_relaxed) >>
		               16;
	}
	return slowest;
}

/*
 * The least cursor of those that subscribe, or `most`. If it's below `needed`,
 * somebody alive has it: the dead are buried, and don't count.
 */
static uint64_t least_cursor(struct stoa_topic *topic, uint64_t needed,
                             uint64_t most)
{
	struct slowest slowest = find_slowest(topic, most);

	/* Bounded: the dead could be made faster than they are buried. */
	for (int tries = 0; tries < BURIES_MAX && slowest.cursor < needed;
	     tries++) {
		if (stoa_object_alive_or_bury(&topic->object, slowest.token))
			break;
		slowest = find_slowest(topic, most);
	}
	atomic_store_explicit(&topic->slowest, slowest.peer,
	                      memory_order_relaxed);
	return slowest.cursor;
}

/* ---- Oldest ---------------------------------------------------------------------- */

static void note_safe(struct stoa_topic *topic, uint64_t safe)
{
	/* release: another thread of this handle that goes by it writes after
	 * `oldest` was raised, or the cursors were seen (TOPIC_OLDEST). */
	if (atomic_load_explicit(&topic->safe, memory_order_relaxed) < safe)
		atomic_store_explicit(&topic->safe, safe, memory_order_release);
}

/* Returns what it is after. */
static uint64_t raise_oldest(struct stoa_topic *topic, uint64_t position)
{
	_Atomic uint64_t *oldest = &topic->written.control->oldest;
	uint64_t seen = atomic_load_explicit(oldest, memory_order_seq_cst);

	/* seq_cst: TOPIC_CURSOR. As acq_rel: TOPIC_OLDEST */
	while (seen < position &&
	       !atomic_compare_exchange_weak_explicit(oldest, &seen, position,
	                                              memory_order_seq_cst,
	                                              memory_order_seq_cst))
		;
	return seen < position ? position : seen;
}

/* `wanted` is at most the tail. What the living still need stays; but `oldest`
 * is raised up to that, so that whoever moves on knows it's waited for. */
static int reclaim_consumed(struct stoa_topic *topic, uint64_t needed,
                            uint64_t wanted)
{
	uint64_t least = least_cursor(topic, needed, wanted);
	uint64_t oldest = raise_oldest(topic, least);

	/* Once more: see WAITING. */
	if (oldest > wanted)
		wanted = oldest;
	least = least_cursor(topic, needed, wanted);
	note_safe(topic, least < oldest ? least : oldest);
	return least >= needed && oldest >= needed ? 0 : -EAGAIN;
}

int topic_reclaim(struct stoa_topic *topic, uint64_t needed, uint64_t more)
{
	uint64_t wanted = needed + more, tail, word;
	int result;

	if (topic_oldest(topic) >= needed &&
	    topic->overrun == STOA_TOPIC_OVERWRITE) {
		note_safe(topic, topic_oldest(topic));
		return 0;
	}
	result = topic_find_tail(topic, &tail, &word);
	if (result < 0)
		return result;
	/* Whatever is needed was committed. */
	if (tail < needed)
		tail = needed;
	if (wanted > tail)
		wanted = tail;
	if (topic->overrun == STOA_TOPIC_WAIT)
		return reclaim_consumed(topic, needed, wanted);
	note_safe(topic, raise_oldest(topic, wanted));
	return 0;
}

/* ---- Claims ------------------------------------------------------------------------ */

static int try_claim(struct stoa_topic *topic, struct topic_pool *pool,
                     uint32_t index)
{
	/* seq_cst: EVENT_DEKKER, for who waits for room */
	uint64_t claim = atomic_load_explicit(&pool->claims[index],
	                                      memory_order_seq_cst);
	/* acquire: see note_safe() */
	uint64_t safe = atomic_load_explicit(&topic->safe,
	                                     memory_order_acquire);

	return topic_claim_free(claim, safe) &&
	       topic_claim_exchange(&pool->claims[index], claim,
	                            topic_mine(topic));
}

/* From the cursor on, `most` of them. `ret_oldest` gets the least position of
 * those that belong to messages. 1: claimed. */
static int claim_from(struct stoa_topic *topic, struct topic_pool *pool,
                      uint32_t most, uint32_t *ret_index,
                      uint64_t *ret_oldest)
{
	uint32_t index = atomic_load_explicit(&pool->cursor,
	                                      memory_order_relaxed);

	for (uint32_t i = 0; i < most; i++, index++) {
		if (index >= pool->count)
			index = 0;
		if (try_claim(topic, pool, index)) {
			atomic_store_explicit(&pool->cursor, index + 1,
			                      memory_order_relaxed);
			*ret_index = index;
			return 1;
		}
		uint64_t claim = atomic_load_explicit(&pool->claims[index],
		                                      memory_order_relaxed);
		if (claim != 0 && !(claim & TOPIC_RESERVED) &&
		    claim < *ret_oldest)
			*ret_oldest = claim;
	}
	return 0;
}

int topic_claim_slowly(struct stoa_topic *topic, struct topic_pool *pool,
                       uint32_t *ret_index)
{
	uint32_t few = pool->count < LOOK_FIRST ? pool->count : LOOK_FIRST;
	uint64_t unused = UINT64_MAX;

	if (claim_from(topic, pool, few, ret_index, &unused))
		return 0;
	for (int tries = 0; tries < TRIES; tries++) {
		uint64_t claim = UINT64_MAX;

		if (claim_from(topic, pool, pool->count, ret_index, &claim))
			return 0;
		if (claim == UINT64_MAX)
			break; /* all are reserved */
		/* A claim is its message's position and one. */
		int result = topic_reclaim(topic, claim, topic->slack - 1);
		if (result < 0)
			return result;
	}
	return -EAGAIN;
}

int topic_pool_has_room(struct stoa_topic *topic, struct topic_pool *pool)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < pool->count; i++) {
		/* seq_cst: EVENT_DEKKER */
		uint64_t claim = atomic_load_explicit(&pool->claims[i],
		                                      memory_order_seq_cst);

		if (claim == 0)
			return 1;
		if (!(claim & TOPIC_RESERVED) && claim < least)
			least = claim;
	}
		if (least == UINT64_MAX)
		return 0;
	int result = topic_reclaim(topic, least, 0);
	return result == 0 ? 1 : result == -EAGAIN ? 0 : result;
}

/* ---- Burial -------------------------------------------------------------------------- */

/* What the dead one had reserved, in one mapping. */
struct grave {
	struct stoa_topic *topic;
	struct topic_written *written;
	uint64_t reserved;
};

/* The message at `position` was committed, and its publisher died before the
 * claims said so. */
static void finish_commit(const struct grave *grave, uint64_t position,
                          uint32_t cell)
{
	struct topic_written *written = grave->written;
	struct topic_cell *at = topic_cell_written(grave->topic, written, cell);
	uint64_t taken = TOPIC_TAKEN(position);

	if (atomic_load_explicit(&written->cell_pool.claims[cell],
	                         memory_order_acquire) != grave->reserved)
		return;
	uint64_t slot = topic_get(&at->payload[0]);
	if ((topic_get(&at->header) & TOPIC_IN_SLOT) &&
	    slot < written->slot_pool.count)
		topic_claim_exchange(&written->slot_pool.claims[slot],
		                     grave->reserved, taken);
	topic_claim_exchange(&written->cell_pool.claims[cell], grave->reserved,
	                     taken);
}

/* Those that can be read: one in each place at most. */
static void finish_commits(const struct grave *grave)
{
	struct stoa_topic *topic = grave->topic;
	struct topic_written *written = grave->written;
	uint64_t oldest = atomic_load_explicit(&written->control->oldest,
	                                       memory_order_seq_cst);

	for (uint64_t i = 0; i < topic->places; i++) {
		uint64_t position = oldest + i;
		struct topic_cell *place = topic_cell_written(
		        topic, written, topic_home(topic, position));
		uint64_t word = atomic_load_explicit(&place->word,
		                                     memory_order_acquire);
		int64_t ahead = topic_ahead(topic, word, position);

		if (ahead < 0 ||
		    TOPIC_WORD_CELL(word) >= written->cell_pool.count)
			continue;
		position += (uint64_t)ahead << topic->place_bits;
		finish_commit(grave, position, TOPIC_WORD_CELL(word));
	}
}

static int has_claims(const struct topic_pool *pool, uint64_t reserved)
{
	for (uint32_t i = 0; i < pool->count; i++)
		if (atomic_load_explicit(&pool->claims[i],
		                         memory_order_acquire) == reserved)
			return 1;
	return 0;
}

static void give_back(struct topic_pool *pool, uint64_t reserved)
{
	for (uint32_t i = 0; i < pool->count; i++)
		if (atomic_load_explicit(&pool->claims[i],
		                         memory_order_acquire) == reserved)
			topic_claim_exchange(&pool->claims[i], reserved, 0);
}

static void bury_claims(const struct grave *grave)
{
	struct topic_written *written = grave->written;

	if (STOA_BUG(91) || (!has_claims(&written->cell_pool, grave->reserved) &&
	                     !has_claims(&written->slot_pool, grave->reserved)))
		return;
	finish_commits(grave);
	give_back(&written->slot_pool, grave->reserved);
	give_back(&written->cell_pool, grave->reserved);
}

/* A subscriber repairs through a mapping for that alone. */
static int bury_publisher(struct stoa_topic *topic, uint32_t token)
{
	struct topic_written written = { 0 };
	struct grave grave = { topic, &topic->written,
		               TOPIC_RESERVED | token };
	int result;

	if (topic->written.control) {
		bury_claims(&grave);
		return 0;
	}
	result = topic_map_written(topic, &written);
	if (result < 0)
		return result;
	grave.written = &written;
	bury_claims(&grave);
	topic_unmap_written(topic, &written);
	return 0;
}

int topic_bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_topic *topic = (struct stoa_topic *)object;
	struct stoa_seat *seat = stoa_object_seat(object, SEAT_INDEX(token));
	uint64_t subscribed = token;
	int result = 0;

	/* Who only subscribes reserves nothing. */
	if (!seat || (atomic_load_explicit(&seat->flags, memory_order_relaxed) &
	              STOA_WRITE))
		result = bury_publisher(topic, token);
	/* acq_rel: the seat's next owner sets its cursor after. */
	if (seat && !STOA_BUG(93))
		atomic_compare_exchange_strong_explicit(
		        &seat->own[TOPIC_SEAT_TOKEN], &subscribed, 0,
		        memory_order_acq_rel, memory_order_relaxed);
	return result;
}
