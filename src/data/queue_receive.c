/* SPDX-License-Identifier: MIT */
/* data/queue_receive.c: receiving, and taking, acknowledging, returning. */
#include <base/error.h>
#include <base/deadline.h>
#include <data/queue_internal.h>

#include <limits.h>

#define LOST_MAX 1024 /* a message lost to others so often: see the deadline */

stoa_always_inline void get_word(const uint64_t *from, char *to, size_t bytes)
{
	uint64_t word = __atomic_load_n(from, __ATOMIC_RELAXED);

	memcpy(to, &word, bytes);
}

/* Word by word and relaxed: see put_inline(). Straight into the caller's
 * buffer, as nothing may be left to do once the message is gone. */
stoa_always_inline void get_inline(const uint64_t *from, char *to, size_t bytes)
{
	for (; bytes >= 32; bytes -= 32, from += 4, to += 32) {
		get_word(from, to, 8);
		get_word(from + 1, to + 8, 8);
		get_word(from + 2, to + 16, 8);
		get_word(from + 3, to + 24, 8);
	}
	for (; bytes >= 8; bytes -= 8, to += 8)
		get_word(from++, to, 8);
	if (bytes != 0)
		get_word(from, to, bytes);
}

/* ---- Receiving --------------------------------------------------------------------- */

struct request {
	const struct stoa_selector *selector;
	void *buffer;
	size_t buffer_bytes;
	int take;
	int cut; /* to the buffer, if it is larger */
	int describe;                /* the caller wants all of it */
	struct stoa_message message; /* the answer; else data, bytes, cell and
	                                word only */
};

/* Field by field: clearing the message each time would cost as much as
 * receiving it. */
static void ask(struct request *request, const struct stoa_selector *selector,
                void *buffer, size_t buffer_bytes, int describe)
{
	request->selector = selector;
	request->buffer = buffer;
	request->buffer_bytes = buffer_bytes;
	request->take = 0;
	request->cut = 0;
	request->describe = describe;
	request->message.buffer_bytes = buffer_bytes;
}

enum { CONSUME_LOST = -EBUSY }; /* to another; look again */

static uint32_t deliveries_of(uint64_t word)
{
	return QUEUE_WORD_PHASE(word) == QUEUE_RETURNED ?
	               QUEUE_WORD_TOKEN(word) :
	               0;
}

void queue_describe(struct stoa_queue *queue, const struct queue_found *found,
                    struct stoa_message *message)
{
	struct queue_cell *cell = found->cell;
	uint64_t laps = queue_lap_of(queue, found->position) - QUEUE_FIRST_LAP;

	message->bytes = cell_get(cell, bytes);
	message->type = cell_get(cell, type);
	message->priority = cell_get(cell, priority);
	message->deliveries = deliveries_of(found->word);
	message->sequence = laps * queue->capacity +
	                    queue_index_of(queue, found->position);
	message->sender = cell_get(cell, sender);
	message->sender_pid = cell_get(cell, sender_pid);
	message->cell = queue_index_of(queue, found->position);
}

/* What was read may be nonsense because the message was lost meanwhile, or
 * because somebody scribbles. */
static int still_there(const struct queue_found *found)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&found->cell->word,
	                            memory_order_relaxed) == found->word;
}

static int lost_or_damaged(struct stoa_queue *queue,
                           const struct queue_found *found)
{
	if (!still_there(found))
		return CONSUME_LOST;
	return stoa_object_damaged(&queue->object,
	                           "a message's size or place can't be true");
}

static inline void before_consuming(struct stoa_queue *queue,
                             const struct queue_found *found)
{
	if (stoa_unlikely(found->out_of_order))
		queue_raise(&queue->control->disorder, found->position);
	if (queue->order == STOA_FIFO)
		queue_raise_high_water(queue, found->position);
}

static void after_consuming(struct stoa_queue *queue,
                            const struct queue_found *found)
{
	if (queue->order == STOA_FIFO && !found->out_of_order &&
	    QUEUE_WORD_PHASE(found->word) == QUEUE_READY)
		queue_advance_head(queue, queue_next(queue, found->position));
}

/* An inline message: copied, then freed by one compare-and-swap, which is the
 * commit point. No state in between that a death could leave. */
static inline int consume_inline(struct stoa_queue *queue,
                          const struct queue_found *found,
                          struct request *request)
{
	uint64_t freed = QUEUE_WORD(QUEUE_WORD_LAP(found->word) + 1, QUEUE_FREE,
	                            0);
	size_t bytes = request->message.bytes;

	if (stoa_unlikely(bytes > STOA_QUEUE_INLINE))
		return lost_or_damaged(queue, found);
	if (stoa_unlikely(bytes > request->buffer_bytes)) {
		if (!request->cut)
			return still_there(found) ? -EMSGSIZE : CONSUME_LOST;
		bytes = request->buffer_bytes;
	}
	if (!STOA_BUG(2))
		get_inline(queue_inline(queue, found->cell), request->buffer,
		           bytes);
	before_consuming(queue, found);
	if (stoa_unlikely(QUEUE_WORD_PHASE(found->word) == QUEUE_RETURNED ||
	                  queue->order != STOA_FIFO))
		freed = queue_freed(queue, found->word);
	if (stoa_unlikely(!queue_exchange(found->cell, found->word, freed)))
		return CONSUME_LOST;
	if (STOA_BUG(2))
		get_inline(queue_inline(queue, found->cell), request->buffer,
		           bytes);
	request->message.word = 0;
	after_consuming(queue, found);
	return 0;
}

static int consume_take(struct stoa_queue *queue,
                        const struct queue_found *found,
                        struct request *request)
{
	uint64_t taken = QUEUE_WORD(QUEUE_WORD_LAP(found->word), QUEUE_TAKEN,
	                            stoa_object_token(&queue->object));

	before_consuming(queue, found);
	if (stoa_unlikely(!queue_exchange(found->cell, found->word, taken)))
		return CONSUME_LOST;
	cell_set(found->cell, deliveries, deliveries_of(found->word));
	request->message.word = taken;
	request->message.cell = queue_index_at(queue, found->cell);
	after_consuming(queue, found);
	return 0;
}

static void copy_message(struct request *request)
{
	size_t bytes = request->message.bytes < request->buffer_bytes ?
	                       request->message.bytes :
	                       request->buffer_bytes;

	if (bytes != 0)
		memcpy(request->buffer, request->message.data, bytes);
}

/* A message of the arena in a queue with limits: copied in the turn, then
 * freed. See LIMITS. */
static int consume_in_turn(struct stoa_queue *queue,
                           const struct queue_found *found,
                           struct request *request)
{
	copy_message(request);
	if (!queue_exchange(found->cell, found->word,
	                    queue_freed(queue, found->word)))
		return CONSUME_LOST;
	request->message.word = 0;
	return 0;
}

/* Makes the message found this call's. 0, CONSUME_LOST, -EMSGSIZE, -EUCLEAN. */
stoa_always_inline int consume(struct stoa_queue *queue, const struct queue_found *found,
                   struct request *request)
{
	uint32_t payload = cell_get(found->cell, payload);

	if (request->describe)
		queue_describe(queue, found, &request->message);
	else
		request->message.bytes = cell_get(found->cell, bytes);
	if (payload == 0 && stoa_likely(!request->take))
		return consume_inline(queue, found, request);
	request->message.data = queue_payload_at(queue, found->cell, payload,
	                                         request->message.bytes);
	if (stoa_unlikely(!request->message.data))
		return lost_or_damaged(queue, found);
	if (stoa_unlikely(!request->take && !request->cut &&
	                  request->message.bytes > request->buffer_bytes))
		return still_there(found) ? -EMSGSIZE : CONSUME_LOST;
	if (queue->limits && !request->take)
		return consume_in_turn(queue, found, request);
	return consume_take(queue, found, request);
}

static inline int try_fifo(struct stoa_queue *queue, struct request *request)
{
	struct queue_found found;
	int soon;

	for (int i = 0; i < LOST_MAX; i++) {
		int result = queue_find(queue, &found, &soon);

		if (result == 0)
			result = consume(queue, &found, request);
		if (stoa_likely(result != CONSUME_LOST))
			return result;
	}
	return -EAGAIN;
}

/* For people, as note_sender(). */
static void note_receiver(struct stoa_queue *queue)
{
	atomic_store_explicit(&queue->control->last_receive_ns, queue_now(),
	                      memory_order_relaxed);
	atomic_store_explicit(&queue->control->last_receiver_pid,
	                      atomic_load_explicit(&queue->object.pid,
	                                           memory_order_relaxed),
	                      memory_order_relaxed);
}

/* As consume(), under the lock of a queue with limits. */
__attribute__((noinline)) static int
consume_within(struct stoa_queue *queue,
                          const struct queue_found *found,
                          struct request *request)
{
	uint64_t unit = queue_counted(found->cell);

	if (STOA_BUG(44))
		queue_leave(queue, unit);
	int result = consume(queue, found, request);
	if (stoa_unlikely(result < 0))
		return result;
	if (!request->take && !STOA_BUG(44))
		queue_leave(queue, unit);
	note_receiver(queue);
	return 0;
}

/* relaxed: a hint */
static void count_streak(struct stoa_queue *queue)
{
	atomic_store_explicit(&queue->streak,
	                      atomic_load_explicit(&queue->streak,
	                                           memory_order_relaxed) +
	                              1,
	                      memory_order_relaxed);
}

static int try_ordered(struct stoa_queue *queue, struct request *request,
                       struct stoa_deadline deadline)
{
	struct queue_found found;

	if (queue_select_vain(queue, request->selector))
		return -EAGAIN;
	int result = queue_selection_lock(queue, deadline);
	if (result < 0)
		return result;
	for (int i = 0; i < LOST_MAX; i++) {
		result = queue_select(queue, request->selector, &found);
		if (result == 0)
			result = stoa_unlikely(queue->limits) ?
			                 consume_within(queue, &found,
			                                request) :
			                 consume(queue, &found, request);
		if (result == 0) {
			queue_deselect(queue, &found);
			count_streak(queue);
		}
		if (result != CONSUME_LOST)
			break;
	}
	if (result == -EAGAIN)
		queue_note_vain(queue, request->selector);
	queue_selection_unlock(queue);
	return result == CONSUME_LOST ? -EAGAIN : result;
}

/* A message of the arena was made this call's: copies it out, and lets go. */
static void finish_receive(struct stoa_queue *queue, struct request *request)
{
	struct queue_cell *cell = queue_cell_at(queue, request->message.cell);
	uint64_t word = request->message.word;

	if (STOA_BUG(3))
		queue_exchange(cell, word, queue_freed(queue, word));
	copy_message(request);
	queue_exchange(cell, word, queue_freed(queue, word));
}

static inline int try_receive(struct stoa_queue *queue, struct request *request,
                       struct stoa_deadline deadline)
{
	int result = queue->order == STOA_FIFO ?
	                     try_fifo(queue, request) :
	                     try_ordered(queue, request, deadline);

	if (stoa_unlikely(result < 0))
		return result;
	if (!request->take) {
		if (request->message.word != 0)
			finish_receive(queue, request);
		request->message.data = request->buffer;
	}
	return 0;
}

#define LINGER_STREAK 4u /* so many at once: a stream, and no answer */
#define LINGER_SPINS 64u

/* So long a receiver of an ordered queue that has caught up with a stream of
 * messages doesn't look: at the sender's heels, it would have the sender wait for
 * each line, and wait itself. 0: it may be an answer that it waits for. */
static uint32_t linger_spins(struct stoa_queue *queue)
{
	if (queue->order == STOA_FIFO ||
	    atomic_exchange_explicit(&queue->streak, 0, memory_order_relaxed) <
	            LINGER_STREAK)
		return 0;
	return queue->capacity < LINGER_SPINS / 2 ? 2 * queue->capacity :
	                                            LINGER_SPINS - 1;
}

static int receive_slowly(struct stoa_queue *queue, struct request *request,
                          struct stoa_deadline deadline)
{
	struct stoa_waiter waiter;
	int result = -EAGAIN, step = 0;

	if (deadline.kind == STOA_DEADLINE_NOW) {
		queue_idle(queue, STOA_READ);
		return -EAGAIN;
	}
	queue_waits++;
	stoa_waiter_init(&waiter, &queue->object, STOA_READ, deadline);
	stoa_waiter_may_yield(&waiter);
	uint32_t lingers = linger_spins(queue);
	while (step == 0 && result == -EAGAIN) {
		step = stoa_waiter_step(&waiter);
		if (waiter.spins_left > 0 && waiter.spun < lingers)
			continue;
		if (step == 0)
			result = try_receive(queue, request, deadline);
		/* A signal on its way is none that ends this wait. */
		if (result == -EAGAIN && (waiter.seen & EVENT_NOTIFY) &&
		    queue_await_signal(queue))
			stoa_waiter_forgive(&waiter);
	}
	stoa_waiter_fini(&waiter);
	/* Woken, but not by a message for this one: it may be for another. */
	if (waiter.slept && step == 0 && result < 0)
		stoa_event_raise(&queue->object, STOA_READ, 1);
	if (waiter.armed &&
	    (stoa_event_asked(&queue->object, STOA_READ) & EVENT_NOTIFY))
		queue_notify_late(queue);
	return step < 0 ? step : result;
}

int queue_matches(const struct stoa_selector *selector, int64_t type)
{
	switch (selector ? selector->selection : STOA_ANY) {
	case STOA_EXACTLY:
		return type == selector->type;
	case STOA_EXCEPT:
		return type != selector->type;
	case STOA_LOWEST:
		return type <= selector->type;
	default:
		return 1;
	}
}

int queue_check_selector(const struct stoa_queue *queue,
                         const struct stoa_selector *selector)
{
	if (!selector || selector->selection == STOA_ANY)
		return 0;
	if (queue->order != STOA_TYPE || selector->selection < STOA_ANY ||
	    selector->selection > STOA_LOWEST || selector->type < 1)
		return stoa_fail(-EINVAL,
		                 "queue %s: only queues ordered by type are "
		                 "received from by type, and types are 1 or "
		                 "more",
		                 queue->object.name);
	return 0;
}

static int receive(struct stoa_queue *queue, struct request *request,
                   struct stoa_deadline deadline)
{
	int result = try_receive(queue, request, deadline);

	if (stoa_unlikely(result == -EAGAIN))
		result = receive_slowly(queue, request, deadline);
	if (stoa_unlikely(atomic_load_explicit(&queue->object.poisoned,
	                                       memory_order_relaxed)))
		return stoa_object_health(&queue->object);
	return result;
}

stoa_always_inline int begin_receive(struct stoa_queue *queue,
                                     const struct stoa_selector *selector)
{
	int result = queue_begin(queue, STOA_READ);

	if (stoa_likely(result == 0 && !selector))
		return 0;
	if (result == 0)
		result = queue_check_selector(queue, selector);
	return result < 0 ? (int)queue_end(queue, result) : 0;
}

enum { THE_LONG_WAY = -EBUSY };

/* Any message, from any queue. Its size, and all of `message` if wanted. */
static ssize_t receive_the_long_way(struct stoa_queue *queue,
                                    const struct stoa_selector *selector,
                                    void *buffer, size_t buffer_bytes, int cut,
                                    struct stoa_deadline deadline,
                                    struct stoa_message *message)
{
	struct request request;

	ask(&request, selector, buffer, buffer_bytes, message != NULL);
	request.cut = cut;
	int result = receive(queue, &request, deadline);
	if (result == 0) {
		if (message)
			*message = request.message;
		return (ssize_t)request.message.bytes;
	}
	if (result != -EMSGSIZE)
		return result;
	if (message)
		message->bytes = request.message.bytes;
	return stoa_fail(result,
	                 "the next message of queue %s has %zu bytes, the "
	                 "buffer %zu",
	                 queue->object.name, request.message.bytes,
	                 buffer_bytes);
}

/* Receives what most receives are for: an inline message that is READY at the
 * head of a FIFO queue. Its size; -EAGAIN: there is none; THE_LONG_WAY. */
stoa_always_inline ssize_t receive_quickly(struct stoa_queue *queue,
                                           void *buffer, size_t buffer_bytes,
                                           struct stoa_message *message,
                                           int64_t *ret_now)
{
	struct stoa_message described;
	struct queue_found found;

	if (queue->order != STOA_FIFO || STOA_BUG(2))
		return THE_LONG_WAY;
	int result = queue_find_quickly(queue, &found);
	if (result < 0)
		return result;
	stoa_cpu_prefetch(queue_inline(queue, found.cell));
	size_t bytes = cell_get(found.cell, bytes);
	if (stoa_unlikely(cell_get(found.cell, payload) != 0 ||
	                  bytes > STOA_QUEUE_INLINE || bytes > buffer_bytes))
		return THE_LONG_WAY;
	/* While the payload is on its way. */
	if (ret_now)
		*ret_now = queue_now();
	queue_raise_high_water(queue, found.position);
	if (message)
		queue_describe(queue, &found, &described);
	get_inline(queue_inline(queue, found.cell), buffer, bytes);
	if (stoa_unlikely(!queue_exchange(
	            found.cell, found.word,
	            QUEUE_WORD(QUEUE_WORD_LAP(found.word) + 1, QUEUE_FREE, 0))))
		return THE_LONG_WAY;
	queue_advance_head(queue, queue_next(queue, found.position));
	if (message && stoa_likely(queue_end(queue, 0) == 0)) {
		described.data = buffer;
		described.bytes = bytes;
		described.buffer_bytes = buffer_bytes;
		described.word = 0;
		*message = described;
	}
	return (ssize_t)bytes;
}

stoa_always_inline ssize_t
receive_one(struct stoa_queue *queue, const struct stoa_selector *selector,
            void *buffer, size_t buffer_bytes, int cut,
            struct stoa_deadline deadline, struct stoa_message *ret_message)
{
	int64_t now;
	ssize_t result = begin_receive(queue, selector);

	if (stoa_unlikely(result < 0))
		return result;
	result = receive_quickly(queue, buffer, buffer_bytes, ret_message, &now);
	if (stoa_unlikely(result < 0)) {
		if (result == -EAGAIN && deadline.kind == STOA_DEADLINE_NOW) {
			queue_idle(queue, STOA_READ);
			return queue_end(queue, result);
		}
		result = receive_the_long_way(queue, selector, buffer,
		                              buffer_bytes, cut,
		                              deadline, ret_message);
		if (result < 0)
			return result;
		now = queue_received_at(queue);
	}
	queue_account(queue, STOA_READ, 1, (uint64_t)result, now);
	queue_tell_senders(queue, 1);
	queue_received(queue);
	return queue_end(queue, result);
}

ssize_t stoa_queue_receive(struct stoa_queue *queue,
                           const struct stoa_selector *selector, void *buffer,
                           size_t buffer_bytes, struct stoa_deadline deadline,
                           struct stoa_message *ret_message)
{
	return receive_one(queue, selector, buffer, buffer_bytes, 0, deadline,
	                   ret_message);
}

ssize_t stoa_queue_receive_cut(struct stoa_queue *queue,
                               const struct stoa_selector *selector,
                               void *buffer, size_t buffer_bytes,
                               struct stoa_deadline deadline,
                               struct stoa_message *ret_message)
{
	return receive_one(queue, selector, buffer, buffer_bytes, 1, deadline,
	                   ret_message);
}

/* The next of a batch. 0, or what ends it. */
stoa_always_inline int receive_next(struct stoa_queue *queue,
                                    const struct stoa_selector *selector,
                                    struct stoa_message *message,
                                    struct stoa_deadline deadline, int first)
{
	ssize_t result = receive_quickly(queue, message->data,
	                                 message->buffer_bytes, message, NULL);
	struct request request;

	if (stoa_likely(result >= 0))
		return 0;
	if (result == -EAGAIN && !first)
		return -EAGAIN;
	ask(&request, selector, message->data, message->buffer_bytes, 1);
	result = first ? receive(queue, &request, deadline) :
	                 try_receive(queue, &request, STOA_NOW);
	if (result == 0)
		*message = request.message;
	return (int)result;
}

int stoa_queue_receive_many(struct stoa_queue *queue,
                            const struct stoa_selector *selector,
                            struct stoa_message *messages, size_t count,
                            struct stoa_deadline deadline)
{
	uint64_t bytes = 0;
	size_t received = 0;
	int result = begin_receive(queue, selector);

	if (count == 0 || count > INT_MAX)
		return queue_bad_count(queue);
	while (result == 0 && received < count) {
		result = receive_next(queue, selector, &messages[received],
		                      deadline, received == 0);
		if (result < 0)
			break;
		bytes += messages[received++].bytes;
		
	}
	if (received == 0)
		return result;
	queue_account(queue, STOA_READ, received, bytes,
	              queue_received_at(queue));
	queue_tell_senders(queue, (int)received);
	queue_received(queue);
	return (int)queue_end(queue, (long)received);
}

int stoa_queue_take(struct stoa_queue *queue,
                    const struct stoa_selector *selector,
                    struct stoa_deadline deadline,
                    struct stoa_message *ret_message)
{
	struct request request;
	int result = begin_receive(queue, selector);

	ask(&request, selector, NULL, 0, 1);
	request.take = 1;
	if (result == 0)
		result = receive(queue, &request, deadline);
	if (result < 0)
		return result;
	atomic_fetch_add_explicit(&queue->held, 1, memory_order_relaxed);
	queue_received(queue);
	*ret_message = request.message;
	return 0;
}

int stoa_queue_acknowledge(struct stoa_queue *queue,
                           const struct stoa_message *message)
{
	int result = queue_begin(queue, STOA_READ);

	if (result < 0)
		return result;
	struct queue_cell *cell = queue_cell_of(queue, message, QUEUE_TAKEN);
	if (!cell || !queue_free_cell(queue, cell, message->word))
		return queue_stale(queue);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	queue_account(queue, STOA_READ, 1, message->bytes, queue_now());
	queue_tell_senders(queue, 1);
	return (int)queue_end(queue, 0);
}

int stoa_queue_return(struct stoa_queue *queue,
                      const struct stoa_message *message)
{
	uint64_t returning = queue_with_phase(message->word, QUEUE_RETURNING);
	int result = queue_begin(queue, STOA_READ);

	if (result < 0)
		return result;
	struct queue_cell *cell = queue_cell_of(queue, message, QUEUE_TAKEN);
	if (!cell || !queue_exchange(cell, message->word, returning))
		return queue_stale(queue);
	queue_finish_return(queue, cell, returning);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	queue_tell_receivers(queue,
	               queue_position(queue,
	                              queue_near(queue, cell_get(cell, lap)),
	                              message->cell), 1);
	return (int)queue_end(queue, 0);
}

