/* SPDX-License-Identifier: MIT */
/* data/topic_publish.c: publishing, and reserving and committing. */
#include <base/deadline.h>
#include <base/error.h>
#include <data/topic_copy.h>
#include <data/topic_internal.h>

#include <limits.h>

#define COMMIT_TRIES 1000 /* lost to others so often: see the deadline */
#define PATIENCE 4        /* from here on others are asked to let it pass */
#define COURTESY_SPINS 50
#define NEAR_HOMES 4      /* of later positions, before any other cell */
#define FIRST_LINE 6      /* words of payload beside word and header */
#define STREAM_CALLS 16
#define STREAM_PLACES 16
#define IN_SLOT (UINT64_C(1) << 62) /* in a message's private word */

/* ---- Claiming a cell ---------------------------------------------------------- */

static inline uint64_t tail_hint(struct stoa_topic *topic)
{
	uint64_t own = atomic_load_explicit(&topic->tail, memory_order_relaxed);
	uint64_t shared = atomic_load_explicit(&topic->written.control->tail,
	                                       memory_order_relaxed);

	return shared > own ? shared : own;
}

/* The word and bytes of `position` may be written over. 0, -EAGAIN, ... */
stoa_always_inline int make_room(struct stoa_topic *topic, uint64_t position)
{
	/* acquire: see note_safe() */
	uint64_t safe = atomic_load_explicit(&topic->safe,
	                                     memory_order_acquire);

	if (stoa_likely(position < topic->places + safe))
		return 0;
	return topic_reclaim(topic, position - topic->places + 1,
	                     topic->batch - 1);
}

stoa_always_inline int claim_home(struct stoa_topic *topic, uint64_t position,
                                  uint32_t *ret_cell)
{
	uint32_t cell = topic_home(topic, position);
	_Atomic uint64_t *claims = topic->written.cell_pool.claims;
	uint64_t claim = atomic_load_explicit(&claims[cell],
	                                      memory_order_acquire);

	/* acquire: see note_safe() */
	if (!topic_claim_free(claim, atomic_load_explicit(
	                                     &topic->safe,
	                                     memory_order_acquire)) ||
	    !topic_claim_exchange(&claims[cell], claim, topic_mine(topic)))
		return 0;
	*ret_cell = cell;
	return 1;
}

/* Others are about to commit, or stopped. */
static int claim_other(struct stoa_topic *topic, uint64_t position,
                       uint32_t *ret_cell)
{
	uint32_t cell = 0;
	int result = 0;

	for (uint32_t i = 1; i < NEAR_HOMES; i++)
		if (claim_home(topic, position + i, ret_cell))
			return 0;
	result = topic_claim_slowly(topic, &topic->written.cell_pool, &cell);
	if (result == 0)
		*ret_cell = cell;
	return result;
}

/* A cell for a message that is to be committed next. */
stoa_always_inline int claim_cell(struct stoa_topic *topic, uint32_t *ret_cell)
{
	uint64_t position = tail_hint(topic);
	struct topic_cell *home = topic_cell_written(
	        topic, &topic->written, topic_home(topic, position));

	stoa_cpu_prefetch_write(home);
	stoa_cpu_prefetch_write(&home->payload[FIRST_LINE]);
	int result = make_room(topic, position);
	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(!claim_home(topic, position, ret_cell)))
		result = claim_other(topic, position, ret_cell);
	/* Before its bytes are: TOPIC_OLDEST */
	atomic_thread_fence(memory_order_release);
	return result;
}

static void drop_claim(struct topic_pool *pool, struct stoa_topic *topic,
                       uint32_t index)
{
	topic_claim_exchange(&pool->claims[index], topic_mine(topic), 0);
}

/* ---- Committing ------------------------------------------------------------------ */

static int taken_for_dead(struct stoa_topic *topic)
{
	if (topic_end(topic, 0) < 0)
		return -EIO;
	return stoa_fail(-ESTALE,
	                 "this process was taken for dead by others on topic "
	                 "%s (were its descriptors closed?); publish again",
	                 topic->object.name);
}

/*
 * Who is far from one who publishes without end would never come in time. relaxed:
 * a courtesy, and in the line that publishers write anyway.
 */
static void ask_for_a_turn(struct stoa_topic *topic)
{
	atomic_store_explicit(&topic->written.control->hurry, 1,
	                      memory_order_relaxed);
}

static void give_a_turn(struct stoa_topic *topic)
{
	atomic_store_explicit(&topic->written.control->hurry, 0,
	                      memory_order_relaxed);
	for (int i = 0; i < COURTESY_SPINS; i++)
		stoa_cpu_pause();
}

/* The first position that isn't committed; at first sight, mostly. */
stoa_always_inline int next_position(struct stoa_topic *topic,
                                     uint64_t *ret_position, uint64_t *ret_word)
{
	uint64_t position = tail_hint(topic), word;
	const struct topic_cell *place = topic_cell_written(
	        topic, &topic->written, topic_home(topic, position));

	word = atomic_load_explicit(&place->word, memory_order_acquire);
	if (stoa_unlikely(topic_ahead(topic, word, position) != -1)) {
		int result = topic_find_tail(topic, &position, &word);

		if (result != 0)
			return result;
	}
	*ret_position = position;
	*ret_word = word;
	return 0;
}

/* The bytes are in the cell, or where it says. 0: committed at *ret_position;
 * -EAGAIN: no room now; -EBUSY: lost to others all the time; the claims stand. */
stoa_always_inline int commit_word(struct stoa_topic *topic, uint32_t cell,
                                   uint64_t *ret_position)
{
	_Atomic uint64_t *claims = topic->written.cell_pool.claims;

	/* Before the commit, too: see bell.c. */
	if (stoa_unlikely(stoa_event_asked(&topic->object, STOA_READ) &
	                  EVENT_BELL))
		stoa_bell_ring(&topic->object, STOA_READ);
	for (int tries = 0; tries < COMMIT_TRIES; tries++) {
		uint64_t position = 0, word = 0;
		int result = next_position(topic, &position, &word);

		if (stoa_unlikely(tries >= PATIENCE))
			ask_for_a_turn(topic);
		if (stoa_likely(result == 0))
			result = make_room(topic, position);
		if (stoa_unlikely(result < 0))
			return result;
		if (stoa_unlikely(result > 0))
			continue;
		if (stoa_unlikely(atomic_load_explicit(&claims[cell],
		                                       memory_order_relaxed) !=
		                  topic_mine(topic)))
			return taken_for_dead(topic);
		struct topic_cell *place = topic_cell_written(
		        topic, &topic->written, topic_home(topic, position));
		/* seq_cst: EVENT_DEKKER; as release it pairs with the acquire
		 * of subscribers. THE COMMIT POINT. */
		if (stoa_likely(atomic_compare_exchange_strong_explicit(
		            &place->word, &word,
		            TOPIC_WORD(topic_lap(topic, position), cell),
		            memory_order_seq_cst, memory_order_relaxed))) {
			*ret_position = position;
			return 0;
		}
	}
	return -EBUSY;
}

/* Now that it is committed: who wants the cell next looks at the position. A
 * plain store is a quarter of a publish cheaper than an exchange: see CLAIMS. */
stoa_always_inline void settle(struct stoa_topic *topic, uint32_t cell,
                               uint64_t position)
{
	struct topic_written *written = &topic->written;

	atomic_store_explicit(&written->cell_pool.claims[cell],
	                      TOPIC_TAKEN(position), memory_order_release);
	atomic_store_explicit(&topic->tail, position + 1, memory_order_relaxed);
	if (atomic_load_explicit(&written->control->tail,
	                         memory_order_relaxed) <= position)
		atomic_store_explicit(&written->control->tail, position + 1,
		                      memory_order_relaxed);
}

static void wake_subscribers(struct stoa_topic *topic)
{
	stoa_event_raise(&topic->object, STOA_READ, INT_MAX);
}

stoa_always_inline void tell(struct stoa_topic *topic, size_t bytes)
{
	struct stoa_seat *seat = topic_seat(topic);

	topic_count(&seat->messages_in, 1);
	topic_count(&seat->bytes_in, bytes);
	if (stoa_unlikely(atomic_load_explicit(&topic->written.control->hurry,
	                                       memory_order_relaxed)))
		give_a_turn(topic);
	if (stoa_unlikely(stoa_event_asked(&topic->object, STOA_READ) != 0))
		wake_subscribers(topic);
}

static inline void wake_publishers(struct stoa_topic *topic)
{
	if (stoa_unlikely(stoa_event_asked(&topic->object, STOA_WRITE) != 0))
		stoa_event_raise(&topic->object, STOA_WRITE, INT_MAX);
}

/* ---- Publishing -------------------------------------------------------------------- */

stoa_always_inline uint64_t header_of(struct stoa_topic *topic, size_t bytes)
{
	return TOPIC_HEADER(bytes, atomic_load_explicit(&topic->object.pid,
	                                                memory_order_relaxed));
}

/* The line with the word last, as subscribers poll it. */
stoa_always_inline void fill_cell(struct stoa_topic *topic, uint32_t cell,
                                  const char *data, size_t bytes)
{
	struct topic_cell *at = topic_cell_written(topic, &topic->written,
	                                           cell);
	size_t first = bytes;

	if (bytes > FIRST_LINE * 8) {
		first = FIRST_LINE * 8;
		topic_put_words(&at->payload[FIRST_LINE], data + first,
		                bytes - first);
	}
	topic_put_words(at->payload, data, first);
	topic_put(&at->header, header_of(topic, bytes));
}

static void fill_cell_for_slot(struct stoa_topic *topic, uint32_t cell,
                               uint32_t slot, size_t bytes)
{
	struct topic_cell *at = topic_cell_written(topic, &topic->written,
	                                           cell);

	topic_put(&at->payload[0], (uint64_t)slot);
	topic_put(&at->header, header_of(topic, bytes) | TOPIC_IN_SLOT);
}

static char *slot_at(struct stoa_topic *topic, uint32_t slot)
{
	return topic->written.slots + slot * topic->slot_stride;
}

/* What is in a claimed slot. The slot's claim stands if it fails. */
static int commit_slot(struct stoa_topic *topic, uint32_t slot, size_t bytes)
{
	uint64_t position = 0;
	uint32_t cell = 0;
	int result = claim_cell(topic, &cell);

	if (result < 0)
		return result;
	fill_cell_for_slot(topic, cell, slot, bytes);
	result = commit_word(topic, cell, &position);
	if (result < 0) {
		drop_claim(&topic->written.cell_pool, topic, cell);
		return result;
	}
	/* The slot first: see STATES A DEATH MAY LEAVE. */
	if (!STOA_BUG(92))
		topic_claim_exchange(&topic->written.slot_pool.claims[slot],
		                     topic_mine(topic),
		                     TOPIC_TAKEN(position));
	settle(topic, cell, position);
	return 0;
}

static int claim_slot(struct stoa_topic *topic, uint32_t *ret_slot)
{
	int result = topic_claim_slowly(topic, &topic->written.slot_pool,
	                                ret_slot);

	/* Before its bytes are: TOPIC_OLDEST */
	atomic_thread_fence(memory_order_release);
	return result;
}

static int publish_in_slot(struct stoa_topic *topic, const char *data,
                           size_t bytes)
{
	uint32_t slot = 0;
	int result = make_room(topic, tail_hint(topic));

	if (result == 0)
		result = claim_slot(topic, &slot);
	if (result < 0)
		return result;
	if (STOA_BUG(90)) {
		result = commit_slot(topic, slot, bytes);
		topic_copy_in(slot_at(topic, slot), data, bytes);
		return result;
	}
	topic_copy_in(slot_at(topic, slot), data, bytes);
	result = commit_slot(topic, slot, bytes);
	if (result < 0)
		drop_claim(&topic->written.slot_pool, topic, slot);
	return result;
}

/* Whether this thread publishes without end: then the cells to come are fetched
 * before their turn. See queue_streams(). */
static inline int streams(struct stoa_topic *topic)
{
	uint32_t calls = 1 + atomic_load_explicit(&topic->publishes,
	                                          memory_order_relaxed);

	if (stoa_unlikely(calls == STREAM_CALLS)) {
		uint32_t before = atomic_load_explicit(&topic->waits,
		                                       memory_order_relaxed);

		atomic_store_explicit(&topic->waits, topic_vain,
		                      memory_order_relaxed);
		atomic_store_explicit(&topic->streaming, topic_vain == before,
		                      memory_order_relaxed);
		calls = 0;
	}
	atomic_store_explicit(&topic->publishes, calls, memory_order_relaxed);
	return (int)atomic_load_explicit(&topic->streaming,
	                                 memory_order_relaxed);
}

static inline void prefetch(struct stoa_topic *topic, uint64_t position)
{
	struct topic_cell *cell = topic_cell_written(
	        topic, &topic->written, topic_home(topic, position));

	stoa_cpu_prefetch_write(cell);
	stoa_cpu_prefetch_write(&cell->payload[FIRST_LINE]);
}

stoa_always_inline int try_publish(struct stoa_topic *topic, const char *data,
                                   size_t bytes)
{
	uint64_t position = 0;
	uint32_t cell = 0;

	if (stoa_unlikely(bytes > topic->inline_bytes))
		return publish_in_slot(topic, data, bytes);
	int result = claim_cell(topic, &cell);
	if (stoa_unlikely(result < 0))
		return result;
	if (!STOA_BUG(90))
		fill_cell(topic, cell, data, bytes);
	result = commit_word(topic, cell, &position);
	if (STOA_BUG(90))
		fill_cell(topic, cell, data, bytes);
	if (stoa_unlikely(result < 0)) {
		drop_claim(&topic->written.cell_pool, topic, cell);
		return result;
	}
	settle(topic, cell, position);
	if (streams(topic))
		prefetch(topic, position + STREAM_PLACES);
	return 0;
}

static int check_size(struct stoa_topic *topic, size_t bytes)
{
	if (stoa_likely(bytes <= topic->max_message))
		return 0;
	return stoa_fail(-EMSGSIZE,
	                 "a message of %zu bytes is too large for topic %s, "
	                 "which takes up to %llu",
	                 bytes, topic->object.name,
	                 (unsigned long long)topic->max_message);
}

typedef int try_once(struct stoa_topic *topic, void *context);

/* Others go first as long as they can; nobody would wake this one. */
static int try_hard(struct stoa_topic *topic, try_once *once, void *context,
                    struct stoa_deadline deadline)
{
	int result;

	while ((result = once(topic, context)) == -EBUSY) {
		result = stoa_object_health(&topic->object);
		if (result < 0)
			return result;
		if (stoa_deadline_left(deadline) == 0)
			return stoa_deadline_result(deadline);
	}
	return result;
}

/* Tries `once` until there is room. `result` is of the first try. */
static int publish_slowly(struct stoa_topic *topic, int result, try_once *once,
                          void *context, struct stoa_deadline deadline)
{
	struct stoa_waiter waiter;
	int step = 0;

	if (result == -EBUSY)
		result = try_hard(topic, once, context, deadline);
	if (result == -EAGAIN && deadline.kind == STOA_DEADLINE_NOW)
		topic_idle(topic, STOA_WRITE);
	if (result != -EAGAIN || deadline.kind == STOA_DEADLINE_NOW)
		return result;
	stoa_waiter_init(&waiter, &topic->object, STOA_WRITE, deadline);
	stoa_waiter_may_yield(&waiter);
	while (step == 0 && result == -EAGAIN) {
		waiter.blocker = atomic_load_explicit(&topic->slowest,
		                                      memory_order_relaxed);
		step = stoa_waiter_step(&waiter);
		if (step == 0)
			result = try_hard(topic, once, context, deadline);
	}
	stoa_waiter_fini(&waiter);
	return step < 0 ? step : result;
}

struct outgoing {
	const void *data;
	size_t bytes;
};

static int publish_once(struct stoa_topic *topic, void *context)
{
	const struct outgoing *message = context;

	return try_publish(topic, message->data, message->bytes);
}

int stoa_topic_publish(struct stoa_topic *topic, const void *data, size_t bytes,
                       struct stoa_deadline deadline)
{
	int result = topic_begin(topic, STOA_WRITE);

	if (stoa_likely(result == 0))
		result = check_size(topic, bytes);
	if (stoa_likely(result == 0))
		result = try_publish(topic, data, bytes);
	if (stoa_unlikely(result == -EAGAIN || result == -EBUSY)) {
		struct outgoing message = { data, bytes };

		result = publish_slowly(topic, result, publish_once, &message,
		                        deadline);
	}
	if (stoa_likely(result == 0))
		tell(topic, bytes);
	return (int)topic_end(topic, result);
}

/* ---- Reserving -------------------------------------------------------------------- */

static int reserve_once(struct stoa_topic *topic, void *context)
{
	struct stoa_topic_message *message = context;
	uint32_t index = 0;
	int result;

	if (message->buffer_bytes > topic->inline_bytes) {
		result = claim_slot(topic, &index);
		message->data = slot_at(topic, index);
		message->word = topic_mine(topic) | IN_SLOT;
	} else {
		result = claim_cell(topic, &index);
		message->data = topic_cell_written(topic, &topic->written,
		                                   index)
		                        ->payload;
		message->word = topic_mine(topic);
	}
	message->cell = index;
	return result;
}

int stoa_topic_reserve(struct stoa_topic *topic, size_t bytes,
                       struct stoa_deadline deadline,
                       struct stoa_topic_message *ret_message)
{
	struct stoa_topic_message message = { .bytes = bytes,
		                              .buffer_bytes = bytes };
	int result = topic_begin(topic, STOA_WRITE);

	if (result == 0)
		result = check_size(topic, bytes);
	if (result == 0)
		result = reserve_once(topic, &message);
	if (result == -EAGAIN)
		result = publish_slowly(topic, result, reserve_once, &message,
		                        deadline);
	if (result == 0)
		atomic_fetch_add_explicit(&topic->held, 1,
		                          memory_order_relaxed);
	result = (int)topic_end(topic, result);
	if (result == 0)
		*ret_message = message;
	return result;
}

/* The pool in which the caller's message is reserved by this handle, or NULL. */
static struct topic_pool *pool_of(struct stoa_topic *topic,
                                  const struct stoa_topic_message *message)
{
	struct topic_pool *pool = message->word & IN_SLOT ?
	                                  &topic->written.slot_pool :
	                                  &topic->written.cell_pool;

	if ((message->word & ~IN_SLOT) != topic_mine(topic) ||
	    message->cell >= pool->count ||
	    atomic_load_explicit(&pool->claims[message->cell],
	                         memory_order_relaxed) != topic_mine(topic))
		return NULL;
	return pool;
}

static int commit_once(struct stoa_topic *topic, void *context)
{
	const struct stoa_topic_message *message = context;
	uint64_t position = 0;

	if (message->word & IN_SLOT)
		return commit_slot(topic, message->cell, message->bytes);
	struct topic_cell *at = topic_cell_written(topic, &topic->written,
	                                           message->cell);
	topic_put(&at->header, header_of(topic, message->bytes));
	int result = commit_word(topic, message->cell, &position);
	if (result == 0)
		settle(topic, message->cell, position);
	return result;
}

int stoa_topic_commit(struct stoa_topic *topic,
                      const struct stoa_topic_message *message,
                      struct stoa_deadline deadline)
{
	struct stoa_topic_message copy = *message;
	uint64_t most = copy.word & IN_SLOT ? topic->max_message :
	                                      topic->inline_bytes;
	int result = topic_begin(topic, STOA_WRITE);

	if (result < 0)
		return result;
	if (!pool_of(topic, &copy))
		return topic_stale(topic);
	if (copy.bytes > copy.buffer_bytes || copy.bytes > most)
		return stoa_fail(-EMSGSIZE,
		                 "%zu bytes to commit, but %zu were reserved",
		                 copy.bytes, copy.buffer_bytes);
	result = commit_once(topic, &copy);
	if (result == -EAGAIN || result == -EBUSY)
		result = publish_slowly(topic, result, commit_once, &copy,
		                        deadline);
	if (result == 0) {
		atomic_fetch_sub_explicit(&topic->held, 1,
		                          memory_order_relaxed);
		tell(topic, copy.bytes);
		/* EVENT_DEKKER: the claim was plainly stored. */
		atomic_thread_fence(memory_order_seq_cst);
		wake_publishers(topic);
	}
	return (int)topic_end(topic, result);
}

int stoa_topic_cancel(struct stoa_topic *topic,
                      const struct stoa_topic_message *message)
{
	int result = topic_begin(topic, STOA_WRITE);

	if (result < 0)
		return result;
	struct topic_pool *pool = pool_of(topic, message);
	if (!pool)
		return topic_stale(topic);
	drop_claim(pool, topic, message->cell);
	atomic_fetch_sub_explicit(&topic->held, 1, memory_order_relaxed);
	wake_publishers(topic);
	return (int)topic_end(topic, 0);
}
