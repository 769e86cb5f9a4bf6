/* SPDX-License-Identifier: MIT */
/* data/queue_inspect.c: looking at a queue, and purging it. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <base/system.h>
#include <data/queue_internal.h>

#include <limits.h>
#include <stdlib.h>

#define PEEK_TRIES 100

/* ---- Statistics --------------------------------------------------------------- */

static void add_seat(struct stoa_queue *queue, uint32_t index,
                     struct stoa_queue_stat *stat)
{
	struct stoa_seat *seat = stoa_object_seat(&queue->object, index);

	if (!seat)
		return;
	int64_t in_ns = atomic_load(&seat->last_in_ns);
	int64_t out_ns = atomic_load(&seat->last_out_ns);
	stat->messages_in += atomic_load(&seat->messages_in);
	stat->bytes_in += atomic_load(&seat->bytes_in);
	stat->messages_out += atomic_load(&seat->messages_out);
	stat->bytes_out += atomic_load(&seat->bytes_out);
	if (in_ns > stat->last_send_ns) {
		stat->last_send_ns = in_ns;
		stat->last_sender_pid = atomic_load(&seat->last_in_pid);
	}
	if (out_ns > stat->last_receive_ns) {
		stat->last_receive_ns = out_ns;
		stat->last_receiver_pid = atomic_load(&seat->last_out_pid);
	}
	uint64_t owner = atomic_load(&seat->owner);
	if (owner >> 16 == 0 ||
	    !stoa_life_alive(&queue->object.space->life, owner >> 16))
		return;
	stat->users++;
	stat->receivers_waiting += atomic_load(&seat->readers_waiting);
	stat->senders_waiting += atomic_load(&seat->writers_waiting);
}

static void add_seats(struct stoa_queue *queue, struct stoa_queue_stat *stat)
{
	uint32_t seats = stoa_object_seats(&queue->object);

	for (uint32_t i = 0; i < seats; i++)
		add_seat(queue, i, stat);
}

static void add_cell(struct queue_cell *cell, struct stoa_queue_stat *stat)
{
	switch (QUEUE_WORD_PHASE(atomic_load_explicit(&cell->word,
	                                              memory_order_acquire))) {
	case QUEUE_READY:
	case QUEUE_RETURNED:
	case QUEUE_RETURNING:
		stat->messages++;
		stat->bytes += cell_get(cell, bytes);
		break;
	case QUEUE_TAKEN:
		stat->taken++;
		break;
	case QUEUE_RESERVED:
	case QUEUE_WRITING:
		stat->reserved++;
		break;
	default:
		break;
	}
}

int stoa_queue_stat(struct stoa_queue *queue, struct stoa_queue_stat *ret_stat)
{
	const struct stoa_object_header *header = &queue->object.copy;
	struct stoa_queue_stat stat = {
		.size = sizeof stat,
		.order = queue->order,
		.capacity = queue->capacity,
		.max_message_bytes = queue->max_message,
		.total_bytes = (uint64_t)queue->blocks * QUEUE_BLOCK_BYTES,
		.created_ns = header->created_ns,
		.creator_pid = header->creator_pid,
		.generation = header->generation,
		.label = { header->geometry[QUEUE_GEOMETRY_LABEL],
		           header->geometry[QUEUE_GEOMETRY_LABEL + 1] },
	};
	int result = stoa_object_enter(&queue->object);

	if (ret_stat->size != sizeof stat)
		return stoa_fail(-EINVAL, "stat of queue %s: size must be "
		                          "sizeof(struct stoa_queue_stat)",
		                 queue->object.name);
	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result < 0)
		return result;
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		add_cell(queue_cell_at(queue, i), &stat);
	add_seats(queue, &stat);
	stat.high_water = atomic_load(&queue->control->high_water);
	if (stat.high_water < stat.messages)
		stat.high_water = stat.messages;
	stat.returned = atomic_load(&queue->control->returned_total);
	result = (int)queue_end(queue, 0);
	if (result == 0)
		*ret_stat = stat;
	return result;
}

/* ---- Counting -------------------------------------------------------------------- */

/* What the index of an ordered queue lists. -EAGAIN: a stopped one has the
 * lock. */
static int count_listed(struct stoa_queue *queue,
                        struct stoa_queue_count *count)
{
	int result = queue_selection_lock(queue, STOA_NOW);

	if (result < 0)
		return result;
	result = queue_list_surely(queue);
	/* relaxed: changed under the selection lock only */
	count->messages = atomic_load_explicit(&queue->control->listed,
	                                       memory_order_relaxed);
	count->bytes = atomic_load_explicit(&queue->control->listed_bytes,
	                                    memory_order_relaxed);
	queue_selection_unlock(queue);
	return result;
}

static int count_messages(struct stoa_queue *queue,
                          struct stoa_queue_count *count)
{
	struct stoa_queue_stat stat = { 0 };
	int result = queue->order == STOA_FIFO ? -EAGAIN :
	                                         count_listed(queue, count);

	if (result != -EAGAIN)
		return result;
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		add_cell(queue_cell_at(queue, i), &stat);
	count->messages = stat.messages;
	count->bytes = stat.bytes;
	return 0;
}

static void count_last(struct stoa_queue *queue, struct stoa_queue_count *count)
{
	struct queue_control *control = queue->control;
	struct stoa_queue_stat stat = { 0 };

	if (queue->limits) {
		count->last_sender_pid = atomic_load(&control->last_sender_pid);
		count->last_send_ns = atomic_load(&control->last_send_ns);
		count->last_receiver_pid =
		        atomic_load(&control->last_receiver_pid);
		count->last_receive_ns = atomic_load(&control->last_receive_ns);
		return;
	}
	add_seats(queue, &stat);
	count->last_sender_pid = stat.last_sender_pid;
	count->last_send_ns = stat.last_send_ns;
	count->last_receiver_pid = stat.last_receiver_pid;
	count->last_receive_ns = stat.last_receive_ns;
}

/* As it was given: the most that fits is none. */
static uint64_t limit_or_none(uint64_t limit, uint64_t most)
{
	return limit == most ? STOA_QUEUE_UNLIMITED : limit;
}

int stoa_queue_count(struct stoa_queue *queue,
                     struct stoa_queue_count *ret_count)
{
	struct stoa_queue_count count = { .size = sizeof count };
	int result = stoa_object_enter(&queue->object);

	if (ret_count->size != sizeof count)
		return stoa_fail(-EINVAL,
		                 "count of queue %s: size must be "
		                 "sizeof(struct stoa_queue_count)",
		                 queue->object.name);
	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result == 0)
		result = count_messages(queue, &count);
	if (result < 0)
		return result;
	uint64_t limits = queue->limits ? queue_limits(queue) : UINT64_MAX;
	count.limit_bytes = limit_or_none(limits & QUEUE_LIMIT_BYTES,
	                                  QUEUE_LIMIT_BYTES);
	count.limit_messages = limit_or_none(limits >> QUEUE_LIMIT_BITS,
	                                     QUEUE_LIMIT_MESSAGES);
	count_last(queue, &count);
	result = (int)queue_end(queue, 0);
	if (result == 0)
		*ret_count = count;
	return result;
}

/* ---- Peeking -------------------------------------------------------------------- */

struct peeked {
	uint64_t key;
	struct queue_found found;
};

static int by_order(const void *a, const void *b)
{
	const struct peeked *left = a, *right = b;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return (left->found.position > right->found.position) -
	       (left->found.position < right->found.position);
}

/* What sorts before position: nothing, unless the order is by key. */
static uint64_t sort_key(struct stoa_queue *queue,
                         const struct stoa_selector *selector,
                         struct queue_cell *cell)
{
	if (queue->order == STOA_PRIORITY)
		return queue_key(queue, 0, cell_get(cell, priority));
	if (selector && selector->selection == STOA_LOWEST)
		return (uint64_t)cell_get(cell, type);
	return 0;
}

static uint64_t collect(struct stoa_queue *queue,
                        const struct stoa_selector *selector, int by_age,
                        struct peeked *peeked)
{
	uint64_t count = 0;

	for (uint32_t i = 0, used = queue_used(queue); i < used; i++) {
		struct queue_cell *cell = queue_cell_at(queue, i);
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_acquire);
		enum queue_phase phase = QUEUE_WORD_PHASE(word);

		if ((phase != QUEUE_READY && phase != QUEUE_RETURNED) ||
		    !queue_matches(selector, cell_get(cell, type)))
			continue;
		peeked[count++] = (struct peeked){
			by_age ? 0 : sort_key(queue, selector, cell),
			{ queue_position(queue,
			                 queue_near(queue,
			                            cell_get(cell, lap)),
			                 i),
			  word, cell, 0 }
		};
	}
	qsort(peeked, count, sizeof *peeked, by_order);
	return count;
}

/*
 * Copies what another process, or thread, may be overwriting: the caller looks
 * at the word after, and throws a torn copy away. That race is meant, so the
 * thread sanitizer is told to let it be; and the compiler, not to make a call
 * of memcpy from it, which the sanitizer would watch.
 */
__attribute__((no_sanitize("thread"))) static void
copy_racing(char *to, const char *from, size_t bytes)
{
	uint64_t word;

	for (; bytes >= sizeof word; bytes -= sizeof word) {
		__builtin_memcpy(&word, from, sizeof word);
		__builtin_memcpy(to, &word, sizeof word);
		from += sizeof word;
		to += sizeof word;
		__asm__ volatile("" ::: "memory");
	}
	for (; bytes > 0; bytes--) {
		*to++ = *from++;
		__asm__ volatile("" ::: "memory");
	}
}

/* Copies, then looks whether the message was there all the while. */
static int copy_out(struct stoa_queue *queue, const struct queue_found *found,
                    void *buffer, size_t buffer_bytes,
                    struct stoa_message *message)
{
	struct queue_cell *cell = found->cell;
	uint32_t payload = cell_get(cell, payload);

	queue_describe(queue, found, message);
	char *data = payload ? queue_arena_at(queue, payload, message->bytes) :
	                       (char *)queue_inline(queue, cell);
	int sound = data && (payload || message->bytes <= STOA_QUEUE_INLINE);
	if (sound && buffer_bytes != 0)
		copy_racing(buffer, data,
		            message->bytes < buffer_bytes ? message->bytes :
		                                            buffer_bytes);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&cell->word, memory_order_relaxed) !=
	    found->word)
		return -EAGAIN;
	if (!sound)
		return stoa_object_damaged(&queue->object,
		                           "a message's size or place can't be "
		                           "true");
	message->data = buffer;
	message->word = 0;
	return 0;
}

static ssize_t peek(struct stoa_queue *queue,
                    const struct stoa_selector *selector, int by_age,
                    uint64_t n, void *buffer, size_t buffer_bytes,
                    struct stoa_message *ret_message)
{
	struct stoa_message message = { 0 };
	int result = stoa_object_enter(&queue->object);

	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result == 0)
		result = queue_check_selector(queue, selector);
	if (result < 0)
		return result;
	if (!(queue->object.flags & STOA_READ))
		return stoa_fail(-EBADF,
		                 "queue %s was not opened to receive: open it "
		                 "with STOA_READ to peek",
		                 queue->object.name);
	struct peeked *peeked = malloc(queue->capacity * sizeof *peeked);
	if (!peeked)
		return stoa_fail(-ENOMEM, "no memory to peek into queue %s",
		                 queue->object.name);
	for (int tries = 0; tries < PEEK_TRIES; tries++) {
		uint64_t count = collect(queue, selector, by_age, peeked);

		result = n < count ? copy_out(queue, &peeked[n].found, buffer,
		                              buffer_bytes, &message) :
		                     -ENOMSG;
		if (result != -EAGAIN)
			break;
	}
	free(peeked);
	result = (int)queue_end(queue, result);
	if (result < 0)
		return result;
	if (ret_message)
		*ret_message = message;
	return (ssize_t)message.bytes;
}

ssize_t stoa_queue_peek(struct stoa_queue *queue,
                        const struct stoa_selector *selector, uint64_t n,
                        void *buffer, size_t buffer_bytes,
                        struct stoa_message *ret_message)
{
	return peek(queue, selector, 0, n, buffer, buffer_bytes, ret_message);
}

ssize_t stoa_queue_peek_at(struct stoa_queue *queue, uint64_t n, void *buffer,
                           size_t buffer_bytes,
                           struct stoa_message *ret_message)
{
	return peek(queue, NULL, 1, n, buffer, buffer_bytes, ret_message);
}

/* ---- Purging ---------------------------------------------------------------------- */

static int purge_cell(struct stoa_queue *queue, struct queue_cell *cell,
                      int locked)
{
	uint64_t word = atomic_load_explicit(&cell->word, memory_order_acquire);
	enum queue_phase phase = QUEUE_WORD_PHASE(word);
	uint64_t unit = queue_counted(cell);

	if (phase != QUEUE_READY && phase != QUEUE_RETURNED)
		return 0;
	queue_note_disorder(queue, cell, word);
	if (!queue_exchange(cell, word, queue_freed(queue, word)))
		return 0;
	if (locked && queue->limits)
		queue_leave(queue, unit);
	return 1;
}

int stoa_queue_purge(struct stoa_queue *queue)
{
	int result = stoa_object_enter(&queue->object);
	int purged = 0;

	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result < 0)
		return result;
	if (!(queue->object.flags & STOA_READ))
		return stoa_fail(-EBADF, "queue %s was not opened to receive",
		                 queue->object.name);
	/* Without the lock only if a stopped one has it. */
	int locked = queue->order != STOA_FIFO &&
	             queue_selection_lock(queue, STOA_NOW) == 0;
	if (queue->order != STOA_FIFO && !locked)
		queue_doubt(queue);
	for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
		if (purge_cell(queue, queue_cell_at(queue, i), locked) &&
		    purged < INT_MAX)
			purged++;
	if (locked) {
		queue_distrust_index(queue);
		queue_selection_unlock(queue);
	}
	if (stoa_event_asked(&queue->object, STOA_WRITE))
		stoa_event_raise(&queue->object, STOA_WRITE, INT_MAX);
	return (int)queue_end(queue, purged);
}
