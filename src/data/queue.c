/* SPDX-License-Identifier: MIT */
/* data/queue.c: making and opening queues; sending and receiving. The cells
 * are in queue_ring.c, payloads in queue_arena.c, order by priority or type in
 * queue_select.c; why it all holds is in queue_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/system.h>
#include <data/kinds.h>
#include <data/queue_internal.h>

#include <limits.h>
#include <stdlib.h>
#include <sys/single_threaded.h>

#define CAPACITY_DEFAULT 1024
#define MESSAGE_DEFAULT 65536
#define TOTAL_DEFAULT_MAX (UINT64_C(16) << 20)
#define TOTAL_DEFAULT_MESSAGES 4
#define BLOCKS_MAX ((UINT64_C(1) << 28) - 1)
#define LOST_MAX (1 << 20) /* a message lost to others so often: look again */
#define IDLE_CALLS 16      /* so often the clock is looked at */
#define IDLE_PATROL_NS INT64_C(1000000)

/* ---- Making and opening ---------------------------------------------------- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + 4095) & ~UINT64_C(4095);
}

/* Room for `messages` of the largest, in any order of coming and going: twice
 * their blocks, as gaps between smaller ones may each be one block short. */
static uint64_t blocks_for(uint64_t messages, uint64_t max_message)
{
	uint64_t pieces = (max_message + QUEUE_PIECE_BYTES - 1) /
	                  QUEUE_PIECE_BYTES;

	if (max_message <= STOA_QUEUE_INLINE)
		return 0;
	if (max_message <= QUEUE_PIECES_MAX_BYTES) {
		uint64_t in_block = QUEUE_BLOCK_PIECES / pieces;

		return 2 * ((messages + in_block - 1) / in_block);
	}
	return 2 * messages *
	       ((max_message + QUEUE_BLOCK_BYTES - 1) / QUEUE_BLOCK_BYTES);
}

static uint64_t default_blocks(uint64_t capacity, uint64_t max_message)
{
	uint64_t most = TOTAL_DEFAULT_MAX / QUEUE_BLOCK_BYTES;
	uint64_t all = blocks_for(capacity, max_message);
	uint64_t least = blocks_for(capacity < TOTAL_DEFAULT_MESSAGES ?
	                                    capacity :
	                                    TOTAL_DEFAULT_MESSAGES,
	                            max_message);

	if (all <= most)
		return all;
	return most > least ? most : least;
}

/* Where everything stands in the file; from the geometry alone. */
struct places {
	uint64_t cells, entries, nodes, block_words, piece_words, arena, end;
};

static struct places places_of(const uint64_t *geometry)
{
	uint64_t capacity = geometry[QUEUE_GEOMETRY_CAPACITY];
	uint64_t blocks = geometry[QUEUE_GEOMETRY_BLOCKS];
	int ordered = geometry[QUEUE_GEOMETRY_ORDER] != STOA_FIFO;
	struct places at;

	at.cells = OBJECT_KIND_OFFSET + QUEUE_CONTROL_BYTES;
	at.entries = at.cells + capacity * sizeof(struct queue_cell);
	at.nodes = at.entries +
	           (ordered ? capacity * sizeof(struct queue_entry) : 0);
	at.nodes = (at.nodes + 63) & ~UINT64_C(63);
	at.block_words = at.nodes + (ordered ? 2 * capacity *
	                                               sizeof(struct queue_node) :
	                                       0);
	at.piece_words = at.block_words + blocks * sizeof(uint64_t);
	at.arena = page_up(at.piece_words +
	                   blocks * QUEUE_BLOCK_PIECES * sizeof(uint64_t));
	at.end = at.arena + blocks * QUEUE_BLOCK_BYTES;
	return at;
}

static int geometry_in_range(const uint64_t *geometry)
{
	uint64_t capacity = geometry[QUEUE_GEOMETRY_CAPACITY];
	uint64_t largest = geometry[QUEUE_GEOMETRY_MAX_MESSAGE];
	uint64_t blocks = geometry[QUEUE_GEOMETRY_BLOCKS];

	return geometry[QUEUE_GEOMETRY_ORDER] <= STOA_TYPE && capacity >= 1 &&
	       capacity <= QUEUE_CAPACITY_MAX && largest <= QUEUE_MESSAGE_MAX &&
	       blocks <= BLOCKS_MAX &&
	       (largest <= STOA_QUEUE_INLINE ||
	        largest <= blocks * QUEUE_BLOCK_BYTES);
}

static int read_attributes(const char *name,
                           const struct stoa_queue_attributes *given,
                           uint64_t *geometry)
{
	struct stoa_queue_attributes attributes = { 0 };

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(-EINVAL,
			                 "attributes of queue %s: size must be "
			                 "sizeof(struct stoa_queue_attributes)",
			                 name);
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		if (attributes.reserved[i] != 0)
			return stoa_fail(-EINVAL,
			                 "attributes of queue %s: reserved "
			                 "fields must be zero",
			                 name);
	uint64_t capacity = attributes.capacity ?: CAPACITY_DEFAULT;
	uint64_t largest = attributes.max_message_bytes ?: MESSAGE_DEFAULT;
	uint64_t total = attributes.total_bytes;
	if (attributes.order > STOA_TYPE || capacity > QUEUE_CAPACITY_MAX ||
	    largest > QUEUE_MESSAGE_MAX ||
	    total > BLOCKS_MAX * QUEUE_BLOCK_BYTES)
		return stoa_fail(-EINVAL,
		                 "attributes of queue %s: order is 0 to 2, "
		                 "capacity at most 2^28 messages, a message "
		                 "at most 1 GiB, the total at most 1 TiB",
		                 name);
	if (total != 0 && largest > STOA_QUEUE_INLINE && total < largest)
		return stoa_fail(-EINVAL,
		                 "attributes of queue %s: total_bytes must "
		                 "have room for one message of "
		                 "max_message_bytes",
		                 name);
	geometry[QUEUE_GEOMETRY_ORDER] = attributes.order;
	geometry[QUEUE_GEOMETRY_CAPACITY] = capacity;
	geometry[QUEUE_GEOMETRY_MAX_MESSAGE] = largest;
	geometry[QUEUE_GEOMETRY_BLOCKS] =
	        largest <= STOA_QUEUE_INLINE ? 0 :
	        total ? page_up(total) / QUEUE_BLOCK_BYTES :
	                default_blocks(capacity, largest);
	return 0;
}

static void set_places(struct stoa_queue *queue)
{
	const uint64_t *geometry = queue->object.copy.geometry;
	struct places at = places_of(geometry);
	char *base = queue->object.base;

	queue->order = (enum stoa_queue_order)geometry[QUEUE_GEOMETRY_ORDER];
	queue->capacity = (uint32_t)geometry[QUEUE_GEOMETRY_CAPACITY];
	queue->max_message = geometry[QUEUE_GEOMETRY_MAX_MESSAGE];
	queue->blocks = (uint32_t)geometry[QUEUE_GEOMETRY_BLOCKS];
	queue->control = (void *)(base + OBJECT_KIND_OFFSET);
	queue->cells = (void *)(base + at.cells);
	queue->entries = (void *)(base + at.entries);
	queue->nodes = (void *)(base + at.nodes);
	queue->block_words = (void *)(base + at.block_words);
	queue->piece_words = (void *)(base + at.piece_words);
	queue->arena = base + at.arena;
	atomic_store_explicit(&queue->head, QUEUE_FIRST_POSITION,
	                      memory_order_relaxed);
	atomic_store_explicit(&queue->tail, QUEUE_FIRST_POSITION,
	                      memory_order_relaxed);
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_queue *queue;
	int result = stoa_queue_open(space, name, flags, 0, NULL, &queue);

	if (result == 0)
		*ret_object = &queue->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_queue_close((struct stoa_queue *)object);
}

const struct stoa_object_kind stoa_queue_kind = {
	.name = "queue",
	.bury = queue_bury,
	.ready = queue_ready,
	.open = open_object,
	.close = close_object,
};

#define OPEN_FLAGS                                                  \
	(STOA_READ | STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE |     \
	 STOA_INTERRUPTIBLE)

int stoa_queue_open(struct stoa_space *space, const char *name, unsigned flags,
                    mode_t mode, const struct stoa_queue_attributes *attributes,
                    struct stoa_queue **ret_queue)
{
	struct stoa_object_plan plan = { .kind = &stoa_queue_kind,
		                         .mode = mode };
	struct stoa_queue *queue;
	int result;

	if ((flags & ~OPEN_FLAGS) || !(flags & (STOA_READ | STOA_WRITE)))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for queue %s: at least one of "
		                 "STOA_READ and STOA_WRITE, and no unknown",
		                 flags, name ? name : "(none)");
	if (flags & STOA_CREATE) {
		result = read_attributes(name ? name : "(none)", attributes,
		                         plan.geometry);
		if (result < 0)
			return result;
		plan.file_bytes = places_of(plan.geometry).end;
	}
	queue = aligned_alloc(STOA_CACHE_LINE, sizeof *queue);
	if (!queue)
		return -ENOMEM;
	memset(queue, 0, sizeof *queue);
	result = stoa_object_open(&queue->object, space, name, flags,
	                          &stoa_queue_kind, &plan);
	if (result < 0)
		goto free;
	const uint64_t *geometry = queue->object.copy.geometry;
	if (!geometry_in_range(geometry) ||
	    places_of(geometry).end != queue->object.copy.file_bytes) {
		result = stoa_fail(-EUCLEAN,
		                   "queue %s is damaged: its header can't be "
		                   "true; remove it",
		                   name);
		goto close;
	}
	set_places(queue);
	result = stoa_object_sit(&queue->object);
	if (result >= 0)
		result = stoa_object_bury_all(&queue->object);
	if (result < 0)
		goto close;
	*ret_queue = queue;
	return 0;

close:
	stoa_object_close(&queue->object);
free:
	free(queue);
	return result;
}

void stoa_queue_close(struct stoa_queue *queue)
{
	if (!queue)
		return;
	struct stoa_object *object = &queue->object;
	stoa_peer self = atomic_load_explicit(&object->space->life.self->peer,
	                                      memory_order_relaxed);
	uint32_t token = stoa_object_token(object);
	if (self != 0 &&
	    atomic_load_explicit(&object->peer, memory_order_relaxed) == self) {
		if (atomic_load_explicit(&queue->held, memory_order_relaxed)) {
			queue_bury(object, token);
			stoa_event_broadcast(object);
		}
		stoa_queue_notify(queue, NULL);
	}
	stoa_object_close(object);
	free(queue);
}

int stoa_queue_unlink(struct stoa_space *space, const char *name)
{
	char file[STOA_FILE_NAME_MAX + 1];
	int result = stoa_name_check(name, &name);

	if (result < 0)
		return result;
	stoa_name_join(name, stoa_queue_kind.name, file);
	return stoa_space_remove(space, file, 0);
}

int stoa_queue_remove(struct stoa_queue *queue)
{
	struct stoa_object *object = &queue->object;
	char file[STOA_FILE_NAME_MAX + 1];
	struct stoa_object_info info;

	stoa_object_mark(object, OBJECT_REMOVED);
	stoa_name_join(object->name, stoa_queue_kind.name, file);
	int result = stoa_space_find(object->space, file, &info);
	if (result == 0 && info.generation == object->copy.generation)
		result = stoa_sys_unlinkat(object->space->directory, file);
	return result == -ENOENT ? 0 : result;
}

struct stoa_object *stoa_queue_object(struct stoa_queue *queue)
{
	return &queue->object;
}

/* ---- What calls have in common ---------------------------------------------- */

static int begin(struct stoa_queue *queue, unsigned direction)
{
	int result = stoa_object_enter(&queue->object);

	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(!(queue->object.flags & direction)))
		return stoa_fail(-EBADF, "queue %s was not opened to %s",
		                 queue->object.name,
		                 direction == STOA_READ ? "receive" : "send");
	return stoa_object_health(&queue->object);
}

/* A call with STOA_NOW found nothing. The dead must be met by somebody who
 * never sleeps, too. */
static void idle(struct stoa_queue *queue, unsigned direction)
{
	uint32_t calls = atomic_fetch_add_explicit(&queue->idle_calls, 1,
	                                           memory_order_relaxed);

	stoa_bell_rearm(&queue->object, direction);
	if (calls % IDLE_CALLS != 0)
		return;
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC);
	int64_t last = atomic_load_explicit(&queue->idle_patrol_ns,
	                                    memory_order_relaxed);
	if (now - last < IDLE_PATROL_NS)
		return;
	atomic_store_explicit(&queue->idle_patrol_ns, now,
	                      memory_order_relaxed);
	stoa_object_patrol(&queue->object);
}

/* relaxed: for people. Threads that share a handle share the seat. */
static void count(_Atomic uint64_t *counter, uint64_t amount)
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

static void account(struct stoa_queue *queue, unsigned direction,
                    uint64_t bytes)
{
	struct stoa_seat *seat = atomic_load_explicit(&queue->object.seat,
	                                              memory_order_relaxed);
	int64_t now = stoa_sys_clock_ns(CLOCK_REALTIME_COARSE);

	if (direction == STOA_WRITE) {
		count(&seat->messages_in, 1);
		count(&seat->bytes_in, bytes);
		atomic_store_explicit(&seat->last_in_ns, now,
		                      memory_order_relaxed);
	} else {
		count(&seat->messages_out, 1);
		count(&seat->bytes_out, bytes);
		atomic_store_explicit(&seat->last_out_ns, now,
		                      memory_order_relaxed);
	}
}

static void tell_receivers(struct stoa_queue *queue, uint64_t position,
                           int messages)
{
	uint32_t asked = stoa_event_asked(&queue->object, STOA_READ);

	if (stoa_likely(asked == 0))
		return;
	/* One who waits for another type would sleep on what is for others. */
	int woken = stoa_event_raise(&queue->object, STOA_READ,
	                             queue->order == STOA_TYPE ? INT_MAX :
	                                                         messages);
	if ((asked & EVENT_NOTIFY) && woken == 0)
		queue_notify_arrival(queue, position);
}

/* A small room may not be what the one who is woken waits for. */
static void tell_senders(struct stoa_queue *queue, int cells)
{
	if (stoa_likely(stoa_event_asked(&queue->object, STOA_WRITE) == 0))
		return;
	stoa_event_raise(&queue->object, STOA_WRITE,
	                 queue->blocks ? INT_MAX : cells);
}

/* ---- Payloads --------------------------------------------------------------- */

/* Word by word and relaxed, as a reader that has lost the message to another
 * may still be loading. */
static void put_inline(struct queue_cell *cell, const void *data, size_t bytes)
{
	uint64_t words[STOA_QUEUE_INLINE / 8];
	uint64_t *to = (uint64_t *)cell->inline_payload;

	memcpy(words, data, bytes);
	for (size_t i = 0; i < (bytes + 7) / 8; i++)
		__atomic_store_n(&to[i], words[i], __ATOMIC_RELAXED);
}

static void get_inline(struct queue_cell *cell, uint64_t *words, size_t bytes)
{
	uint64_t *from = (uint64_t *)cell->inline_payload;

	for (size_t i = 0; i < (bytes + 7) / 8; i++)
		words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static char *payload_at(struct stoa_queue *queue, struct queue_cell *cell,
                        uint32_t payload, size_t bytes)
{
	if (payload == 0)
		return bytes <= STOA_QUEUE_INLINE ?
		               (char *)cell->inline_payload :
		               NULL;
	return queue_arena_at(queue, payload, bytes);
}

/* ---- Sending ------------------------------------------------------------------ */

/* Claims a cell and room for the payload. */
static int claim_message(struct stoa_queue *queue, enum queue_phase phase,
                         size_t bytes, struct queue_found *claim)
{
	uint32_t payload = 0;
	int result = queue_claim(queue, phase, claim);

	if (result < 0)
		return result;
	if (bytes > STOA_QUEUE_INLINE) {
		result = queue_arena_allocate(
		        queue, queue_index_of(claim->position),
		        queue_lap_of(claim->position), bytes, &payload);
		if (result < 0) {
			queue_give_up(queue, claim->cell, claim->word);
			return result;
		}
	}
	cell_set(claim->cell, lap, queue_lap_of(claim->position));
	cell_set(claim->cell, payload, payload);
	return 0;
}

static void fill_cell(struct stoa_queue *queue, struct queue_cell *cell,
                      const struct stoa_message *message)
{
	struct stoa_seat *seat = atomic_load_explicit(&queue->object.seat,
	                                              memory_order_relaxed);

	cell_set(cell, bytes, (uint32_t)message->bytes);
	cell_set(cell, type, message->type);
	cell_set(cell, priority, message->priority);
	cell_set(cell, sender,
	         atomic_load_explicit(&queue->object.peer,
	                              memory_order_relaxed));
	cell_set(cell, sender_pid,
	         atomic_load_explicit(&seat->pid, memory_order_relaxed));
	cell_set(cell, deliveries, 0);
}

static int commit_word(struct stoa_queue *queue, struct queue_cell *cell,
                       uint64_t word)
{
	/* Before the commit, too: see bell.c. */
	if (stoa_unlikely(stoa_event_asked(&queue->object, STOA_READ) &
	                  EVENT_BELL))
		stoa_bell_ring(&queue->object, STOA_READ);
	if (queue_exchange(cell, word,
	                   QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_READY, 0)))
		return 0;
	return stoa_fail(-ESTALE,
	                 "this process was taken for dead by others on queue "
	                 "%s (were its descriptors closed?); send again",
	                 queue->object.name);
}

static int try_send(struct stoa_queue *queue,
                    const struct stoa_message *message, uint64_t *ret_position)
{
	struct queue_found claim;
	int result = claim_message(queue, QUEUE_WRITING, message->bytes,
	                           &claim);

	if (stoa_unlikely(result < 0))
		return result;
	fill_cell(queue, claim.cell, message);
	if (STOA_BUG(1)) {
		commit_word(queue, claim.cell, claim.word);
		claim.word = QUEUE_WORD(QUEUE_WORD_LAP(claim.word),
		                        QUEUE_READY, 0);
	}
	if (stoa_likely(message->bytes <= STOA_QUEUE_INLINE))
		put_inline(claim.cell, message->data, message->bytes);
	else
		memcpy(queue_arena_at(queue, cell_get(claim.cell, payload),
		                      message->bytes) ?:
		               queue->arena,
		       message->data, message->bytes);
	result = STOA_BUG(1) ? 0 : commit_word(queue, claim.cell, claim.word);
	if (stoa_unlikely(result < 0))
		return result;
	account(queue, STOA_WRITE, message->bytes);
	*ret_position = claim.position;
	return 0;
}

static int check_message(struct stoa_queue *queue,
                         const struct stoa_message *message)
{
	if (stoa_unlikely(message->bytes > queue->max_message))
		return stoa_fail(-EMSGSIZE,
		                 "a message of %zu bytes is too large for "
		                 "queue %s, which takes up to %llu",
		                 message->bytes, queue->object.name,
		                 (unsigned long long)queue->max_message);
	if (queue->order == STOA_PRIORITY &&
	    message->priority >= STOA_QUEUE_PRIORITIES)
		return stoa_fail(-EINVAL, "priority %u: it must be 0 to 32767",
		                 message->priority);
	if (queue->order == STOA_TYPE && message->type < 1)
		return stoa_fail(-EINVAL, "type %lld: it must be 1 or more",
		                 (long long)message->type);
	return 0;
}

static int send_slowly(struct stoa_queue *queue,
                       const struct stoa_message *message,
                       struct stoa_deadline deadline, uint64_t *ret_position)
{
	struct stoa_waiter waiter;
	int result = -EAGAIN, step = 0;

	stoa_waiter_init(&waiter, &queue->object, STOA_WRITE, deadline);
	while (step == 0 && result == -EAGAIN) {
		step = stoa_waiter_step(&waiter);
		if (step == 0)
			result = try_send(queue, message, ret_position);
	}
	stoa_waiter_fini(&waiter);
	if (step == -EAGAIN)
		idle(queue, STOA_WRITE);
	return step < 0 ? step : result;
}

int stoa_queue_send_many(struct stoa_queue *queue,
                         const struct stoa_message *messages, size_t count,
                         struct stoa_deadline deadline)
{
	uint64_t position = 0;
	size_t sent = 0;
	int result = begin(queue, STOA_WRITE);

	if (count == 0 || count > INT_MAX)
		return -EINVAL;
	for (; result == 0 && sent < count; sent += result == 0) {
		result = check_message(queue, &messages[sent]);
		if (result == 0)
			result = try_send(queue, &messages[sent], &position);
		if (stoa_unlikely(result == -EAGAIN && sent == 0))
			result = send_slowly(queue, messages, deadline,
			                     &position);
	}
	if (sent == 0)
		return result;
	tell_receivers(queue, position, (int)sent);
	result = stoa_object_health(&queue->object);
	return result == -EIO ? result : (int)sent;
}

int stoa_queue_send_message(struct stoa_queue *queue,
                            const struct stoa_message *message,
                            struct stoa_deadline deadline)
{
	uint64_t position;
	int result = begin(queue, STOA_WRITE);

	if (result == 0)
		result = check_message(queue, message);
	if (result == 0)
		result = try_send(queue, message, &position);
	if (stoa_unlikely(result == -EAGAIN))
		result = send_slowly(queue, message, deadline, &position);
	if (stoa_unlikely(result < 0))
		return result;
	tell_receivers(queue, position, 1);
	if (stoa_unlikely(atomic_load_explicit(&queue->object.poisoned,
	                                       memory_order_relaxed)))
		return stoa_object_health(&queue->object);
	return 0;
}

int stoa_queue_send(struct stoa_queue *queue, const void *data, size_t bytes,
                    struct stoa_deadline deadline)
{
	struct stoa_message message = { .data = (void *)data,
		                        .bytes = bytes,
		                        .type = 1 };

	return stoa_queue_send_message(queue, &message, deadline);
}

/* ---- Reserving ------------------------------------------------------------------ */

static int try_reserve(struct stoa_queue *queue, size_t bytes,
                       struct stoa_message *ret_message)
{
	struct queue_found claim;
	int result = claim_message(queue, QUEUE_RESERVED, bytes, &claim);

	if (result < 0)
		return result;
	cell_set(claim.cell, bytes, (uint32_t)bytes);
	*ret_message = (struct stoa_message){
		.data = payload_at(queue, claim.cell,
		                   cell_get(claim.cell, payload), bytes),
		.bytes = bytes,
		.buffer_bytes = bytes,
		.type = 1,
		.cell = queue_index_of(claim.position),
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
	struct stoa_message message = { .bytes = bytes, .type = 1 };
	struct stoa_waiter waiter;
	int result = begin(queue, STOA_WRITE), step = 0;

	if (result == 0)
		result = check_message(queue, &message);
	if (result < 0)
		return result;
	stoa_waiter_init(&waiter, &queue->object, STOA_WRITE, deadline);
	while ((result = try_reserve(queue, bytes, &message)) == -EAGAIN &&
	       (step = stoa_waiter_step(&waiter)) == 0)
		;
	stoa_waiter_fini(&waiter);
	if (step == -EAGAIN)
		idle(queue, STOA_WRITE);
	if (step < 0 || result < 0)
		return step < 0 ? step : result;
	atomic_fetch_add_explicit(&queue->held, 1, memory_order_relaxed);
	*ret_message = message;
	return 0;
}

static int stale(struct stoa_queue *queue)
{
	return stoa_fail(-ESTALE,
	                 "this handle holds no such message of queue %s (any "
	                 "more)",
	                 queue->object.name);
}

/* The cell that a caller's message names, if the message is in `phase` and
 * this process's by the word that it was given. */
static struct queue_cell *cell_of(struct stoa_queue *queue,
                                  const struct stoa_message *message,
                                  enum queue_phase phase)
{
	if (message->cell >= queue->capacity ||
	    QUEUE_WORD_PHASE(message->word) != phase ||
	    QUEUE_WORD_TOKEN(message->word) !=
	            stoa_object_token(&queue->object))
		return NULL;
	return &queue->cells[message->cell];
}

static uint64_t with_phase(uint64_t word, enum queue_phase phase)
{
	return QUEUE_WORD(QUEUE_WORD_LAP(word), phase, QUEUE_WORD_TOKEN(word));
}

int stoa_queue_commit(struct stoa_queue *queue,
                      const struct stoa_message *message)
{
	uint64_t writing = with_phase(message->word, QUEUE_WRITING);
	struct queue_cell *cell = cell_of(queue, message, QUEUE_RESERVED);
	int result = begin(queue, STOA_WRITE);

	if (result < 0)
		return result;
	if (!cell)
		return stale(queue);
	if (message->bytes > message->buffer_bytes)
		return stoa_fail(-EMSGSIZE,
		                 "%zu bytes to commit, but %zu were reserved",
		                 message->bytes, message->buffer_bytes);
	result = check_message(queue, message);
	if (result < 0)
		return result;
	if (!queue_exchange(cell, message->word, writing))
		return stale(queue);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	fill_cell(queue, cell, message);
	uint64_t position = queue_position(cell_get(cell, lap), message->cell);
	result = commit_word(queue, cell, writing);
	if (result < 0)
		return result;
	account(queue, STOA_WRITE, message->bytes);
	tell_receivers(queue, position, 1);
	return stoa_object_health(&queue->object);
}

int stoa_queue_cancel(struct stoa_queue *queue,
                      const struct stoa_message *message)
{
	struct queue_cell *cell = cell_of(queue, message, QUEUE_RESERVED);
	int result = begin(queue, STOA_WRITE);

	if (result < 0)
		return result;
	if (!cell || atomic_load_explicit(&cell->word, memory_order_relaxed) !=
	                     message->word)
		return stale(queue);
	if (!STOA_BUG(14))
		queue_give_up(queue, cell, message->word);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	tell_senders(queue, 1);
	return 0;
}

/* ---- Receiving --------------------------------------------------------------------- */

struct request {
	const struct stoa_selector *selector;
	void *buffer;
	size_t buffer_bytes;
	int take;
	struct stoa_message message; /* the answer */
};

enum { CONSUME_LOST = -EBUSY }; /* to another; look again */

void queue_describe(struct stoa_queue *queue, const struct queue_found *found,
                    struct stoa_message *message)
{
	struct queue_cell *cell = found->cell;
	uint64_t laps = queue_lap_of(found->position) - 1;

	message->bytes = cell_get(cell, bytes);
	message->type = cell_get(cell, type);
	message->priority = cell_get(cell, priority);
	message->deliveries =
	        QUEUE_WORD_PHASE(found->word) == QUEUE_RETURNED ?
	                QUEUE_WORD_TOKEN(found->word) :
	                0;
	message->sequence = laps * queue->capacity +
	                    queue_index_of(found->position);
	message->sender = cell_get(cell, sender);
	message->sender_pid = cell_get(cell, sender_pid);
	message->cell = (uint32_t)(cell - queue->cells);
}

/* What was read may be nonsense because the message was lost meanwhile, or
 * because somebody scribbles. */
static int lost_or_damaged(struct stoa_queue *queue,
                           const struct queue_found *found)
{
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&found->cell->word, memory_order_relaxed) !=
	    found->word)
		return CONSUME_LOST;
	return stoa_object_damaged(&queue->object,
	                           "a message's size or place can't be true");
}

/* relaxed: for people. The depth is greatest just before a receive, so the
 * cell that lies the high-water mark ahead is looked at. */
static void raise_high_water(struct stoa_queue *queue, uint64_t position)
{
	uint64_t high = atomic_load_explicit(&queue->control->high_water,
	                                     memory_order_relaxed);
	uint64_t before = high;

	while (high < queue->capacity) {
		uint64_t index = queue_index_of(position) + high;
		uint32_t lap = queue_lap_of(position);

		if (index >= queue->capacity) {
			index -= queue->capacity;
			lap++;
		}
		if (atomic_load_explicit(&queue->cells[index].word,
		                         memory_order_relaxed) !=
		    QUEUE_WORD(lap, QUEUE_READY, 0))
			break;
		high++;
	}
	if (high != before)
		atomic_store_explicit(&queue->control->high_water, high,
		                      memory_order_relaxed);
}

static void before_consuming(struct stoa_queue *queue,
                             const struct queue_found *found)
{
	if (stoa_unlikely(found->out_of_order))
		queue_raise(&queue->control->disorder, found->position);
	if (queue->order == STOA_FIFO)
		raise_high_water(queue, found->position);
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
static int consume_inline(struct stoa_queue *queue,
                          const struct queue_found *found,
                          struct request *request)
{
	uint64_t words[STOA_QUEUE_INLINE / 8];
	uint64_t freed = QUEUE_WORD(QUEUE_WORD_LAP(found->word) + 1, QUEUE_FREE,
	                            0);

	if (!STOA_BUG(2))
		get_inline(found->cell, words, request->message.bytes);
	before_consuming(queue, found);
	if (stoa_unlikely(QUEUE_WORD_PHASE(found->word) == QUEUE_RETURNED))
		freed = queue_freed(queue, found->word);
	if (stoa_unlikely(!queue_exchange(found->cell, found->word, freed)))
		return CONSUME_LOST;
	if (STOA_BUG(2))
		get_inline(found->cell, words, request->message.bytes);
	memcpy(request->buffer, words, request->message.bytes);
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
	cell_set(found->cell, deliveries, request->message.deliveries);
	request->message.word = taken;
	after_consuming(queue, found);
	return 0;
}

/* Makes the message found this call's. 0, CONSUME_LOST, -EMSGSIZE, -EUCLEAN. */
static int consume(struct stoa_queue *queue, const struct queue_found *found,
                   struct request *request)
{
	uint32_t payload = cell_get(found->cell, payload);

	queue_describe(queue, found, &request->message);
	request->message.data = payload_at(queue, found->cell, payload,
	                                   request->message.bytes);
	if (stoa_unlikely(!request->message.data))
		return lost_or_damaged(queue, found);
	if (stoa_unlikely(!request->take &&
	                  request->message.bytes > request->buffer_bytes)) {
		int result = lost_or_damaged(queue, found);

		(void)result;
		return result == CONSUME_LOST ? result : -EMSGSIZE;
	}
	if (payload == 0 && !request->take)
		return consume_inline(queue, found, request);
	return consume_take(queue, found, request);
}

static int try_fifo(struct stoa_queue *queue, struct request *request)
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

static int try_ordered(struct stoa_queue *queue, struct request *request,
                       struct stoa_deadline deadline)
{
	struct queue_found found;
	int result = queue_selection_lock(queue, deadline);

	if (result < 0)
		return result;
	for (int i = 0; i < LOST_MAX; i++) {
		result = queue_select(queue, request->selector, &found);
		if (result == 0)
			result = consume(queue, &found, request);
		if (result == 0)
			queue_deselect(queue, &found);
		if (result != CONSUME_LOST)
			break;
	}
	queue_selection_unlock(queue);
	return result == CONSUME_LOST ? -EAGAIN : result;
}

/* A message of the arena was made this call's: copies it out, and lets go. */
static void finish_receive(struct stoa_queue *queue, struct request *request)
{
	struct queue_cell *cell = &queue->cells[request->message.cell];
	uint64_t word = request->message.word;

	if (STOA_BUG(3))
		queue_exchange(cell, word, queue_freed(queue, word));
	memcpy(request->buffer, request->message.data, request->message.bytes);
	queue_exchange(cell, word, queue_freed(queue, word));
}

static int try_receive(struct stoa_queue *queue, struct request *request,
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
		account(queue, STOA_READ, request->message.bytes);
	}
	return 0;
}

static int receive_slowly(struct stoa_queue *queue, struct request *request,
                          struct stoa_deadline deadline)
{
	struct stoa_waiter waiter;
	int result = -EAGAIN, step = 0;

	stoa_waiter_init(&waiter, &queue->object, STOA_READ, deadline);
	while (step == 0 && result == -EAGAIN) {
		step = stoa_waiter_step(&waiter);
		if (step == 0)
			result = try_receive(queue, request, deadline);
	}
	stoa_waiter_fini(&waiter);
	if (step == -EAGAIN)
		idle(queue, STOA_READ);
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
	if (result == 0 &&
	    stoa_unlikely(atomic_load_explicit(&queue->object.poisoned,
	                                       memory_order_relaxed)))
		return stoa_object_health(&queue->object);
	return result;
}

static int begin_receive(struct stoa_queue *queue,
                         const struct stoa_selector *selector)
{
	int result = begin(queue, STOA_READ);

	return result < 0 ? result : queue_check_selector(queue, selector);
}

ssize_t stoa_queue_receive(struct stoa_queue *queue,
                           const struct stoa_selector *selector, void *buffer,
                           size_t buffer_bytes, struct stoa_deadline deadline,
                           struct stoa_message *ret_message)
{
	struct request request = { .selector = selector,
		                   .buffer = buffer,
		                   .buffer_bytes = buffer_bytes };
	int result = begin_receive(queue, selector);

	if (result == 0)
		result = receive(queue, &request, deadline);
	if (stoa_unlikely(result < 0)) {
		if (result != -EMSGSIZE)
			return result;
		if (ret_message)
			ret_message->bytes = request.message.bytes;
		return stoa_fail(result,
		                 "the next message of queue %s has %zu bytes, "
		                 "the buffer %zu",
		                 queue->object.name, request.message.bytes,
		                 buffer_bytes);
	}
	tell_senders(queue, 1);
	if (ret_message)
		*ret_message = request.message;
	return (ssize_t)request.message.bytes;
}

int stoa_queue_receive_many(struct stoa_queue *queue,
                            const struct stoa_selector *selector,
                            struct stoa_message *messages, size_t count,
                            struct stoa_deadline deadline)
{
	size_t received = 0;
	int result = begin_receive(queue, selector);

	if (count == 0 || count > INT_MAX)
		return -EINVAL;
	while (result == 0 && received < count) {
		struct stoa_message *message = &messages[received];
		struct request request = { .selector = selector,
			                   .buffer = message->data,
			                   .buffer_bytes =
			                           message->buffer_bytes };

		result = received == 0 ?
		                 receive(queue, &request, deadline) :
		                 try_receive(queue, &request, STOA_NOW);
		if (result < 0)
			break;
		request.message.buffer_bytes = message->buffer_bytes;
		*message = request.message;
		received++;
	}
	if (received == 0)
		return result;
	tell_senders(queue, (int)received);
	return (int)received;
}

int stoa_queue_take(struct stoa_queue *queue,
                    const struct stoa_selector *selector,
                    struct stoa_deadline deadline,
                    struct stoa_message *ret_message)
{
	struct request request = { .selector = selector, .take = 1 };
	int result = begin_receive(queue, selector);

	if (result == 0)
		result = receive(queue, &request, deadline);
	if (result < 0)
		return result;
	atomic_fetch_add_explicit(&queue->held, 1, memory_order_relaxed);
	*ret_message = request.message;
	return 0;
}

int stoa_queue_acknowledge(struct stoa_queue *queue,
                           const struct stoa_message *message)
{
	struct queue_cell *cell = cell_of(queue, message, QUEUE_TAKEN);
	int result = begin(queue, STOA_READ);

	if (result < 0)
		return result;
	if (!cell || !queue_exchange(cell, message->word,
	                             queue_freed(queue, message->word)))
		return stale(queue);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	account(queue, STOA_READ, message->bytes);
	tell_senders(queue, 1);
	return 0;
}

int stoa_queue_return(struct stoa_queue *queue,
                      const struct stoa_message *message)
{
	uint64_t returning = with_phase(message->word, QUEUE_RETURNING);
	struct queue_cell *cell = cell_of(queue, message, QUEUE_TAKEN);
	int result = begin(queue, STOA_READ);

	if (result < 0)
		return result;
	if (!cell || !queue_exchange(cell, message->word, returning))
		return stale(queue);
	queue_finish_return(queue, cell, returning);
	atomic_fetch_sub_explicit(&queue->held, 1, memory_order_relaxed);
	tell_receivers(queue,
	               queue_position(cell_get(cell, lap), message->cell), 1);
	return 0;
}

/* ---- Readiness ---------------------------------------------------------------------- */

static int ordered_ready(struct stoa_queue *queue)
{
	struct queue_found found;
	int result = queue_selection_lock(queue, STOA_NOW);

	if (result < 0)
		return result == -EAGAIN ? STOA_READY_SOON : result;
	result = queue_select(queue, NULL, &found);
	if (result == -EAGAIN &&
	    atomic_load_explicit(&queue->control->pending,
	                         memory_order_relaxed) != 0)
		result = STOA_READY_SOON;
	else
		result = result == 0 ? 1 : result == -EAGAIN ? 0 : result;
	queue_selection_unlock(queue);
	return result;
}

int queue_ready(struct stoa_object *object, unsigned direction)
{
	struct stoa_queue *queue = (struct stoa_queue *)object;
	struct queue_found found;
	int soon;

	if (direction == STOA_WRITE)
		return queue_has_room(queue);
	if (queue->order != STOA_FIFO)
		return ordered_ready(queue);
	if (queue_find(queue, &found, &soon) == 0)
		return 1;
	return soon ? STOA_READY_SOON : 0;
}

int stoa_queue_pollfd(struct stoa_queue *queue, unsigned direction)
{
	int result = stoa_object_enter(&queue->object);

	if (direction != STOA_READ && direction != STOA_WRITE)
		return -EINVAL;
	if (result == 0)
		result = begin(queue, direction);
	return result < 0 ? result : stoa_bell_open(&queue->object, direction);
}
