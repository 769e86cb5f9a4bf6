/* SPDX-License-Identifier: MIT */
/* data/queue_send.c: sending, and reserving and committing. */
#include <base/error.h>
#include <base/deadline.h>
#include <data/queue_internal.h>

#include <limits.h>

#define ADMIT_TRIES 1000

stoa_always_inline void put_word(uint64_t *to, const char *from, size_t bytes)
{
	uint64_t word = 0;

	memcpy(&word, from, bytes);
	__atomic_store_n(to, word, __ATOMIC_RELAXED);
}

/* Word by word and relaxed, as a reader that has lost the message to another
 * may still be loading. */
stoa_always_inline void put_inline(uint64_t *to, const char *from, size_t bytes)
{
	for (; bytes >= 32; bytes -= 32, from += 32, to += 4) {
		put_word(to, from, 8);
		put_word(to + 1, from + 8, 8);
		put_word(to + 2, from + 16, 8);
		put_word(to + 3, from + 24, 8);
	}
	for (; bytes >= 8; bytes -= 8, from += 8)
		put_word(to++, from, 8);
	if (bytes != 0)
		put_word(to, from, bytes);
}

_Thread_local uint32_t queue_waits;

/* ---- Sending ------------------------------------------------------------------ */

/* A message as it is sent; by value, so that it stays in registers. */
struct outgoing {
	const void *data;
	size_t bytes;
	int64_t type;
	uint32_t priority;
};

stoa_always_inline struct outgoing outgoing(const struct stoa_message *message)
{
	return (struct outgoing){ message->data, message->bytes, message->type,
		                  message->priority };
}

/* Claims a cell and room in the arena for the payload, if it needs that. */
static int claim_message(struct stoa_queue *queue, enum queue_phase phase,
                         size_t bytes, struct queue_found *claim)
{
	uint32_t payload = 0;
	int result;

	/* Claiming and giving up again would wake others for nothing. */
	if (bytes > STOA_QUEUE_INLINE && !queue_arena_has_room(queue, bytes))
		return -EAGAIN;
	result = queue_claim(queue, phase, claim);
	if (stoa_unlikely(result < 0))
		return result;
	queue_advance_tail(queue, queue_next(queue, claim->position));
	if (bytes > STOA_QUEUE_INLINE) {
		result = queue_arena_allocate(
		        queue, queue_index_of(queue, claim->position),
		        (uint32_t)queue_lap_of(queue, claim->position), bytes,
		        &payload);
		if (result < 0) {
			queue_give_up(queue, claim->cell, claim->word);
			queue_tell_senders(queue, 1);
			return result;
		}
		/* Others may have taken what was let go for used. */
		if (stoa_unlikely(result > 0))
			queue_tell_senders(queue, 1);
	}
	cell_set(claim->cell, lap,
	         (uint32_t)queue_lap_of(queue, claim->position));
	cell_set(claim->cell, payload, payload);
	return 0;
}

stoa_always_inline void fill_cell(struct stoa_queue *queue,
                                  struct queue_cell *cell,
                                  struct outgoing message)
{
	cell_set(cell, bytes, (uint32_t)message.bytes);
	cell_set(cell, type, message.type);
	cell_set(cell, priority, message.priority);
	cell_set(cell, sender,
	         atomic_load_explicit(&queue->object.peer,
	                              memory_order_relaxed));
	cell_set(cell, sender_pid,
	         atomic_load_explicit(&queue->object.pid,
	                              memory_order_relaxed));
	cell_set(cell, deliveries, 0);
}

/* Before the commit, too: see bell.c, and NOTIFICATION. */
static void before_commit(struct stoa_queue *queue, uint32_t asked)
{
	if (asked & EVENT_BELL)
		stoa_bell_ring(&queue->object, STOA_READ);
	if (asked & EVENT_NOTIFY)
		queue_notify_expect(queue);
}

static int commit_failed(struct stoa_queue *queue)
{
	queue_notify_over(queue);
	if (queue->limits)
		queue_doubt(queue);
	if (queue_end(queue, 0) < 0)
		return -EIO;
	return stoa_fail(-ESTALE,
	                 "this process was taken for dead by others on queue "
	                 "%s (were its descriptors closed?); send again",
	                 queue->object.name);
}

stoa_always_inline int commit_word(struct stoa_queue *queue,
                                   struct queue_cell *cell, uint64_t word)
{
	uint32_t asked = stoa_event_asked(&queue->object, STOA_READ);

	if (stoa_unlikely(asked & (EVENT_BELL | EVENT_NOTIFY)))
		before_commit(queue, asked);
	if (stoa_likely(queue_exchange(
	            cell, word,
	            QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_READY, 0))))
		return 0;
	return commit_failed(queue);
}

/* Commits before the payload is there, or after: see base/bug.h. */
stoa_always_inline int commit_early(struct stoa_queue *queue,
                                    const struct queue_found *claim, int early)
{
	return STOA_BUG(1) == early ?
	               commit_word(queue, claim->cell, claim->word) :
	               0;
}

/* ---- With limits: see LIMITS in queue_layout.h -------------------------------- */

/* Claims as claim_message() does, and is let in. -EAGAIN may be wrong, if not
 * `surely`. */
static int claim_within(struct stoa_queue *queue, enum queue_phase phase,
                        size_t bytes, int surely, struct queue_found *claim)
{
	for (int tries = 0; tries < ADMIT_TRIES; tries++) {
		uint64_t admitted;
		int result = 0;

		if (stoa_unlikely(!queue_would_fit(queue, bytes, &admitted)))
			result = surely && !STOA_BUG(163) ?
			                 queue_full(queue, bytes) :
			                 -EAGAIN;
		if (stoa_likely(result == 0))
			result = queue_grow_in_time(queue);
		if (stoa_likely(result == 0))
			result = claim_message(queue, phase, bytes, claim);
		if (stoa_unlikely(result < 0))
			return result;
		if (STOA_BUG(46) || stoa_likely(queue_admit(queue, claim->cell,
		                                            claim->word,
		                                            bytes) == 0))
			return 0;
		queue_give_up(queue, claim->cell, claim->word);
		queue_tell_senders(queue, 1);
	}
	return -EAGAIN;
}

/* Before the commit: whoever has the message knows whose it is. For people,
 * and relaxed. */
static void note_sender(struct stoa_queue *queue)
{
	atomic_store_explicit(&queue->control->last_send_ns, queue_now(),
	                      memory_order_relaxed);
	atomic_store_explicit(&queue->control->last_sender_pid,
	                      atomic_load_explicit(&queue->object.pid,
	                                           memory_order_relaxed),
	                      memory_order_relaxed);
}

/* The usual way: there is room, and the message is small. 0, or -EAGAIN. */
stoa_always_inline int claim_quickly(struct stoa_queue *queue, size_t bytes,
                                     struct queue_found *claim)
{
	uint64_t admitted;

	if (stoa_unlikely(bytes > STOA_QUEUE_INLINE || STOA_BUG(46)) ||
	    stoa_unlikely(!queue_would_fit(queue, bytes, &admitted)))
		return -EAGAIN;
	int result = queue_grow_in_time(queue);
	if (stoa_likely(result == 0))
		result = queue_claim(queue, QUEUE_WRITING, claim);
	if (stoa_unlikely(result < 0))
		return result;
	queue_advance_tail(queue, queue_next(queue, claim->position));
	cell_set(claim->cell, lap,
	         (uint32_t)queue_lap_of(queue, claim->position));
	cell_set(claim->cell, payload, 0);
	result = queue_admit(queue, claim->cell, claim->word, bytes);
	if (stoa_unlikely(result < 0)) {
		queue_give_up(queue, claim->cell, claim->word);
		queue_tell_senders(queue, 1);
	}
	return result;
}

static int send_within(struct stoa_queue *queue, struct outgoing message,
                       int surely, uint64_t *ret_position)
{
	struct queue_found claim;
	int result = claim_quickly(queue, message.bytes, &claim);

	if (stoa_unlikely(result < 0))
		result = claim_within(queue, QUEUE_WRITING, message.bytes,
		                      surely, &claim);
	if (stoa_unlikely(result < 0))
		return result;
	fill_cell(queue, claim.cell, message);
	if (stoa_likely(message.bytes <= STOA_QUEUE_INLINE))
		put_inline(queue_inline(queue, claim.cell), message.data,
		           message.bytes);
	else
		memcpy(queue_arena_at(queue, cell_get(claim.cell, payload),
		                      message.bytes) ?:
		               queue->arena,
		       message.data, message.bytes);
	note_sender(queue);
	*ret_position = claim.position;
	result = commit_word(queue, claim.cell, claim.word);
	if (STOA_BUG(46))
		queue_admit(queue, claim.cell, claim.word, message.bytes);
	return result;
}

/* ---- The usual ways ------------------------------------------------------------ */

static int send_in_arena(struct stoa_queue *queue,
                         struct outgoing message, int surely,
                         uint64_t *ret_position)
{
	struct queue_found claim;

	if (queue->limits)
		return send_within(queue, message, surely, ret_position);
	int result = claim_message(queue, QUEUE_WRITING, message.bytes,
	                           &claim);
	if (result < 0)
		return result;
	fill_cell(queue, claim.cell, message);
	commit_early(queue, &claim, 1);
	memcpy(queue_arena_at(queue, cell_get(claim.cell, payload),
	                      message.bytes) ?:
	               queue->arena,
	       message.data, message.bytes);
	*ret_position = claim.position;
	return commit_early(queue, &claim, 0);
}

/* 0, or -EAGAIN: there is no room, or, if not `surely`, there seems to be none. */
stoa_always_inline int try_send(struct stoa_queue *queue,
                                struct outgoing message, int surely,
                                uint64_t *ret_position)
{
	struct queue_found claim;

	if (stoa_unlikely(message.bytes >= queue->quick_bytes))
		return send_in_arena(queue, message, surely, ret_position);
	int result = queue_claim(queue, QUEUE_WRITING, &claim);
	if (stoa_unlikely(result < 0))
		return result;
	/* As little as can be until the commit: a receiver may be polling. */
	cell_set(claim.cell, lap,
	         (uint32_t)queue_lap_of(queue, claim.position));
	cell_set(claim.cell, payload, 0);
	fill_cell(queue, claim.cell, message);
	commit_early(queue, &claim, 1);
	put_inline(queue_inline(queue, claim.cell), message.data,
	           message.bytes);
	result = commit_early(queue, &claim, 0);
	queue_advance_tail(queue, queue_next(queue, claim.position));
	*ret_position = claim.position;
	return result;
}

static int too_large(struct stoa_queue *queue,
                     struct outgoing message)
{
	return stoa_fail(-EMSGSIZE,
	                 "a message of %zu bytes is too large for queue %s, "
	                 "which takes up to %llu",
	                 message.bytes, queue->object.name,
	                 (unsigned long long)queue->max_message);
}

static int bad_order(struct stoa_queue *queue,
                     struct outgoing message)
{
	if (queue->order == STOA_PRIORITY)
		return stoa_fail(-EINVAL, "priority %u: it must be 0 to 32767",
		                 message.priority);
	return stoa_fail(-EINVAL, "type %lld: it must be 1 or more",
	                 (long long)message.type);
}

stoa_always_inline int check_message(struct stoa_queue *queue,
                                     struct outgoing message)
{
	if (stoa_unlikely(message.bytes > queue->max_message))
		return too_large(queue, message);
	if (stoa_likely(queue->order == STOA_FIFO))
		return 0;
	if (queue->order == STOA_PRIORITY ?
	            message.priority >= STOA_QUEUE_PRIORITIES :
	            message.type < 1)
		return bad_order(queue, message);
	return 0;
}

/* ---- Waiting for room ---------------------------------------------------------- */

/*
 * Who waits awake for room lingers until half of the queue is free, for a few
 * microseconds at most. Then sender and receiver each work on a half of their
 * own; else each message would have both wait for each other's lines.
 */
#define LINGER_SPINS 256u
#define LINGER_LOOK_SPINS 4u /* the looks take lines from the receiver */
#define LINGER_FETCH 4u

static int half_is_free(struct stoa_queue *queue)
{
	uint32_t half = (queue->capacity + 1) / 2;
	uint64_t position = queue_tail(queue);
	uint64_t admitted;

	if (queue->limits) {
		uint64_t limits = queue_limits(queue);

		return queue_fits(
		        queue_pack_limits((limits & QUEUE_LIMIT_BYTES) / 2,
		                          (limits >> QUEUE_LIMIT_BITS) / 2),
		        queue_content(queue, &admitted), 0);
	}
	/* Those before it are, if they went in the order of sending. */
	uint64_t index = queue_index_of(queue, position) + half - 1;
	if (index >= queue->capacity)
		index -= queue->capacity;
	uint64_t word = atomic_load_explicit(
	        &queue_cell_at(queue, (uint32_t)index)->word,
	        memory_order_relaxed);
	if (QUEUE_WORD_PHASE(word) != QUEUE_FREE)
		return 0;
	for (uint32_t i = 0; i < half && i < LINGER_FETCH; i++)
		queue_prefetch(queue, position, i);
	return 1;
}

/* Whether it is too early to try again. */
static int lingers(struct stoa_queue *queue, const struct stoa_waiter *waiter)
{
	if (waiter->armed || waiter->yields.done)
		return 0;
	if (waiter->spun % LINGER_LOOK_SPINS != 0)
		return 1;
	return waiter->spun % LINGER_SPINS != 0 && !half_is_free(queue);
}

static int send_slowly(struct stoa_queue *queue,
                       struct outgoing message,
                       struct stoa_deadline deadline, uint64_t *ret_position)
{
	struct stoa_waiter waiter;
	int result = -EAGAIN, step = 0;

	if (deadline.kind == STOA_DEADLINE_NOW) {
		queue_idle(queue, STOA_WRITE);
		return queue_bury_holders(queue) ?
		               try_send(queue, message, 1, ret_position) :
		               -EAGAIN;
	}
	stoa_waiter_init(&waiter, &queue->object, STOA_WRITE, deadline);
	stoa_waiter_may_yield(&waiter);
	while (step == 0 && result == -EAGAIN) {
		step = stoa_waiter_step(&waiter);
		/* Armed: before it sleeps it has to be sure. */
		if (step == 0 && !lingers(queue, &waiter))
			result = try_send(queue, message, waiter.armed,
			                  ret_position);
	}
	stoa_waiter_fini(&waiter);
	return step < 0 ? step : result;
}

int stoa_queue_send_many(struct stoa_queue *queue,
                         const struct stoa_message *messages, size_t count,
                         struct stoa_deadline deadline)
{
	uint64_t position = 0, bytes = 0;
	size_t sent = 0;
	int result = queue_begin(queue, STOA_WRITE);

	if (count == 0 || count > INT_MAX)
		return queue_bad_count(queue);
	while (result == 0 && sent < count) {
		struct outgoing message = outgoing(&messages[sent]);

		result = check_message(queue, message);
		if (stoa_likely(result == 0))
			result = try_send(queue, message,
			                  deadline.kind == STOA_DEADLINE_NOW,
			                  &position);
		if (stoa_unlikely(result == -EAGAIN && sent == 0))
			result = send_slowly(queue, message, deadline,
			                     &position);
		if (result < 0)
			break;
		bytes += message.bytes;
		sent++;
		queue_prefetch(queue, position, QUEUE_BATCH_PLACES);
		
	}
	if (sent == 0)
		return (int)queue_end(queue, result);
	queue_account(queue, STOA_WRITE, sent, bytes, queue_sent_at(queue));
	queue_tell_receivers(queue, position, (int)sent);
	return (int)queue_end(queue, (long)sent);
}

stoa_always_inline int send_one(struct stoa_queue *queue,
                                struct outgoing message,
                                struct stoa_deadline deadline)
{
	uint64_t position;
	int result = queue_begin(queue, STOA_WRITE);

	if (stoa_likely(result == 0))
		result = check_message(queue, message);
	if (stoa_likely(result == 0))
		result = try_send(queue, message,
		                  deadline.kind == STOA_DEADLINE_NOW, &position);
	if (stoa_unlikely(result == -EAGAIN))
		result = send_slowly(queue, message, deadline, &position);
	if (stoa_likely(result == 0)) {
		if (queue->capacity >= QUEUE_STREAM_CAPACITY &&
		    queue_streams(queue))
			queue_prefetch(queue, position, QUEUE_STREAM_PLACES);
		queue_account(queue, STOA_WRITE, 1, message.bytes,
		              queue_sent_at(queue));
		queue_tell_receivers(queue, position, 1);
	}
	return (int)queue_end(queue, result);
}

int stoa_queue_send_message(struct stoa_queue *queue,
                            const struct stoa_message *message,
                            struct stoa_deadline deadline)
{
	return send_one(queue, outgoing(message), deadline);
}

int stoa_queue_send(struct stoa_queue *queue, const void *data, size_t bytes,
                    struct stoa_deadline deadline)
{
	return send_one(queue, (struct outgoing){ data, bytes, 1, 0 }, deadline);
}

/* ---- Reserving ------------------------------------------------------------------ */

static int try_reserve(struct stoa_queue *queue, size_t bytes,
                       struct stoa_message *ret_message)
{
	struct queue_found claim;
	int result = queue->limits ?
	                     claim_within(queue, QUEUE_RESERVED, bytes, 1,
	                                  &claim) :
	                     claim_message(queue, QUEUE_RESERVED, bytes,
	                                   &claim);

	if (result < 0)
		return result;
	cell_set(claim.cell, bytes, (uint32_t)bytes);
	*ret_message = (struct stoa_message){
		.data = queue_payload_at(queue, claim.cell,
		                   cell_get(claim.cell, payload), bytes),
		.bytes = bytes,
		.buffer_bytes = bytes,
		.type = 1,
		.cell = queue_index_of(queue, claim.position),
		.word = claim.word,
	};
	if (!ret_message->data)
		return stoa_object_damaged(&queue->object,
		                           "a place in it was overwritten");
	return 0;
}

int stoa_queue_reserve(struct stoa_queue *queue, size_t bytes,
                       struct stoa_deadline deadline,
                       struct stoa_message *ret_message)
{
	struct outgoing planned = { NULL, bytes, 1, 0 };
	struct stoa_message message;
	struct stoa_waiter waiter;
	int result = queue_begin(queue, STOA_WRITE), step = 0;

	if (result == 0)
		result = check_message(queue, planned);
	if (result < 0)
		return (int)queue_end(queue, result);
	stoa_waiter_init(&waiter, &queue->object, STOA_WRITE, deadline);
	stoa_waiter_may_yield(&waiter);
	while ((result = try_reserve(queue, bytes, &message)) == -EAGAIN &&
	       (step = stoa_waiter_step(&waiter)) == 0)
		;
	stoa_waiter_fini(&waiter);
	if (step == -EAGAIN)
		queue_idle(queue, STOA_WRITE);
	if (step < 0 || result < 0)
		return step < 0 ? step : result;
	atomic_fetch_add_explicit(&queue->held, 1, memory_order_relaxed);
	result = (int)queue_end(queue, 0);
	if (result == 0)
		*ret_message = message;
	return result;
}

int stoa_queue_commit(struct stoa_queue *queue,
                      const struct stoa_message *message)
{
	uint64_t writing = queue_with_phase(message->word, QUEUE_WRITING);
	int result = queue_begin(queue, STOA_WRITE);

	if (result < 0)
		return result;
	struct queue_cell *cell = queue_cell_of(queue, message, QUEUE_RESERVED);
	if (!cell)
		return queue_stale(queue);
	if (message->bytes > message->buffer_bytes)
		result = stoa_fail(-EMSGSIZE,
		                   "%zu bytes to commit, but %zu were reserved",
		                   message->bytes, message->buffer_bytes);
	else
		result = check_message(queue, outgoing(message));
	if (result < 0)
		return (int)queue_end(queue, result);
	if (!queue_exchange(cell, message->word, writing))
		return queue_stale(queue);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	fill_cell(queue, cell, outgoing(message));
	uint64_t position = queue_position(
	        queue, queue_near(queue, cell_get(cell, lap)), message->cell);
	if (queue->limits)
		note_sender(queue);
	result = commit_word(queue, cell, writing);
	if (result < 0)
		return result;
	queue_account(queue, STOA_WRITE, 1, message->bytes, queue_now());
	queue_tell_receivers(queue, position, 1);
	return stoa_object_health(&queue->object);
}

int stoa_queue_cancel(struct stoa_queue *queue,
                      const struct stoa_message *message)
{
	int result = queue_begin(queue, STOA_WRITE);

	if (result < 0)
		return result;
	struct queue_cell *cell = queue_cell_of(queue, message, QUEUE_RESERVED);
	if (!cell || atomic_load_explicit(&cell->word, memory_order_relaxed) !=
	                     message->word)
		return queue_stale(queue);
	if (queue->limits)
		queue_free_cell(queue, cell, message->word);
	else if (!STOA_BUG(14))
		queue_give_up(queue, cell, message->word);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	queue_tell_senders(queue, 1);
	return (int)queue_end(queue, 0);
}

