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

#define CAPACITY_DEFAULT 1024
#define MESSAGE_DEFAULT 65536
#define TOTAL_DEFAULT_MAX (UINT64_C(16) << 20)
#define TOTAL_DEFAULT_MESSAGES 4
#define BLOCKS_MAX ((UINT64_C(1) << 28) - 1)
#define OPEN_BURIES 64 /* of the dead at most, by who opens */
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

static uint32_t index_bits(uint32_t capacity)
{
	return capacity == 1 ? 0 : 32 - (uint32_t)__builtin_clz(capacity - 1);
}

/* Where everything stands in the file; from the geometry alone. */
struct places {
	uint64_t cells, payloads, entries, nodes, block_words, piece_words, arena, end;
};

static struct places places_of(const uint64_t *geometry)
{
	uint64_t capacity = geometry[QUEUE_GEOMETRY_CAPACITY];
	uint64_t blocks = geometry[QUEUE_GEOMETRY_BLOCKS];
	int ordered = geometry[QUEUE_GEOMETRY_ORDER] != STOA_FIFO;
	struct places at;

	int limited = geometry[QUEUE_GEOMETRY_LIMITS] != 0;
	uint64_t control_end = OBJECT_KIND_OFFSET + QUEUE_CONTROL_BYTES;
	uint64_t slots = UINT64_C(1) << index_bits((uint32_t)capacity);
	uint64_t words = blocks * (1 + QUEUE_BLOCK_PIECES) * sizeof(uint64_t);
	uint64_t room = blocks * QUEUE_BLOCK_BYTES;

	/* What grows comes last: see GROWTH. */
	at.cells = limited ? page_up(control_end + words) : control_end;
	at.payloads = at.cells + slots * sizeof(struct queue_cell);
	at.entries = at.payloads + slots * sizeof(struct queue_payload);
	at.nodes = at.entries +
	           (ordered ? capacity * sizeof(struct queue_entry) : 0);
	at.nodes = (at.nodes + 63) & ~UINT64_C(63);
	at.end = at.nodes +
	         (ordered ? 2 * capacity * sizeof(struct queue_node) : 0);
	at.block_words = limited ? control_end : at.end;
	at.piece_words = at.block_words + blocks * sizeof(uint64_t);
	at.arena = page_up(limited ? at.end : at.block_words + words);
	at.end = at.arena + room;
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
	       (geometry[QUEUE_GEOMETRY_LIMITS] == 0 ||
	        geometry[QUEUE_GEOMETRY_ORDER] != STOA_FIFO) &&
	       (largest <= STOA_QUEUE_INLINE ||
	        largest <= blocks * QUEUE_BLOCK_BYTES);
}

static uint64_t limits_asked(const struct stoa_queue_attributes *attributes)
{
	uint64_t bytes = attributes->limit_bytes ?: STOA_QUEUE_UNLIMITED;
	uint64_t messages = attributes->limit_messages ?: STOA_QUEUE_UNLIMITED;

	if (!attributes->limit_bytes && !attributes->limit_messages)
		return 0;
	return queue_pack_limits(bytes, messages);
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
	for (int i = 0; i < 2; i++)
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
	if ((attributes.limit_bytes || attributes.limit_messages) &&
	    attributes.order == STOA_FIFO)
		return stoa_fail(-EINVAL,
		                 "attributes of queue %s: only queues ordered "
		                 "by priority or type have limits",
		                 name);
	geometry[QUEUE_GEOMETRY_LIMITS] = limits_asked(&attributes);
	geometry[QUEUE_GEOMETRY_ORDER] = attributes.order;
	geometry[QUEUE_GEOMETRY_CAPACITY] = capacity;
	geometry[QUEUE_GEOMETRY_MAX_MESSAGE] = largest;
	geometry[QUEUE_GEOMETRY_BLOCKS] =
	        largest <= STOA_QUEUE_INLINE ? 0 :
	        total ? page_up(total) / QUEUE_BLOCK_BYTES :
	                default_blocks(capacity, largest);
	memcpy(&geometry[QUEUE_GEOMETRY_LABEL], attributes.label,
	       sizeof attributes.label);
	return 0;
}

/* Near the golden section of the slots, and odd; and its inverse modulo any
 * power of two, by Newton's iteration. */
static void set_spread(struct stoa_queue *queue)
{
	uint32_t spread = queue->index_bits < 2 || queue->limits ?
	                          1 :
	                          (0x9e3779b9u >> (32 - queue->index_bits)) | 1;
	uint32_t gather = spread;

	for (int i = 0; i < 5; i++)
		gather *= 2 - spread * gather;
	queue->spread = spread;
	queue->gather = gather;
}

static void set_places(struct stoa_queue *queue)
{
	const uint64_t *geometry = queue->object.copy.geometry;
	struct places at = places_of(geometry);
	char *base = queue->object.base;

	queue->order = (enum stoa_queue_order)geometry[QUEUE_GEOMETRY_ORDER];
	queue->capacity = (uint32_t)geometry[QUEUE_GEOMETRY_CAPACITY];
	queue->max_message = geometry[QUEUE_GEOMETRY_MAX_MESSAGE];
	queue->limits = geometry[QUEUE_GEOMETRY_LIMITS];
	queue->quick_bytes = queue->limits ? 0 : STOA_QUEUE_INLINE + 1;
	queue->blocks = (uint32_t)geometry[QUEUE_GEOMETRY_BLOCKS];
	queue->control = (void *)(base + OBJECT_KIND_OFFSET);
	queue->cells = (void *)(base + at.cells);
	queue->payloads = (void *)(base + at.payloads);
	queue->entries = (void *)(base + at.entries);
	queue->nodes = (void *)(base + at.nodes);
	queue->block_words = (void *)(base + at.block_words);
	queue->piece_words = (void *)(base + at.piece_words);
	queue->arena = base + at.arena;
	queue->index_bits = index_bits(queue->capacity);
	queue->index_mask = (UINT64_C(1) << queue->index_bits) - 1;
	set_spread(queue);
	queue->era_mask = (QUEUE_ERA_LAPS << queue->index_bits) - 1;
	atomic_store_explicit(&queue->head,
	                      queue_position(queue, QUEUE_FIRST_LAP, 0),
	                      memory_order_relaxed);
	atomic_store_explicit(&queue->tail,
	                      queue_position(queue, QUEUE_FIRST_LAP, 0),
	                      memory_order_relaxed);
	atomic_store_explicit(&queue->grown_to, 0, memory_order_relaxed);
	if (queue->limits) {
		uint64_t content = queue_content(queue, &queue->known.admitted);

		queue->known.left = queue->known.admitted - content;
	}
	atomic_store_explicit(&queue->arena_grown,
	                      queue->limits ? 0 : UINT32_MAX,
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
	 STOA_INTERRUPTIBLE | STOA_RESTART)

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
	if (!name)
		return stoa_name_check(name, &name);
	if (flags & STOA_CREATE) {
		result = read_attributes(name ? name : "(none)", attributes,
		                         plan.geometry);
		if (result < 0)
			return result;
		plan.file_bytes = places_of(plan.geometry).end;
		if (plan.geometry[QUEUE_GEOMETRY_LIMITS])
			plan.reserved_bytes = places_of(plan.geometry).cells +
			                      QUEUE_BLOCK_BYTES;
	}
	queue = aligned_alloc(STOA_CACHE_LINE, sizeof *queue);
	if (!queue)
		return stoa_fail(-ENOMEM, "no memory to open queue %s",
		                 name ? name : "(none)");
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
		result = stoa_object_bury(&queue->object, OPEN_BURIES);
	if (result < 0)
		goto close;
	*ret_queue = queue;
	return 0;

close:
	stoa_object_close(&queue->object);
	stoa_object_abandon(&queue->object);
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
	return stoa_object_unlink(space, name, &stoa_queue_kind);
}

int stoa_queue_remove(struct stoa_queue *queue)
{
	return stoa_object_remove(&queue->object);
}

struct stoa_object *stoa_queue_object(struct stoa_queue *queue)
{
	return &queue->object;
}

/* ---- What calls have in common ---------------------------------------------- */

int queue_refuse(struct stoa_queue *queue, unsigned direction)
{
	return stoa_fail(-EBADF, "queue %s was not opened to %s",
	                 queue->object.name,
	                 direction == STOA_READ ? "receive" : "send");
}

/* So that those who never sleep meet the dead, too. */
void queue_patrol_seldom(struct stoa_queue *queue)
{
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE);
	int64_t last = atomic_load_explicit(&queue->object.patrol_ns,
	                                    memory_order_relaxed);
	if (now - last >= IDLE_PATROL_NS)
		stoa_object_patrol(&queue->object);
}

int queue_bad_count(struct stoa_queue *queue)
{
	return stoa_fail(-EINVAL,
	                 "a batch on queue %s has 1 to 2,147,483,647 messages",
	                 queue->object.name);
}

void queue_wake_receivers(struct stoa_queue *queue, uint32_t asked,
                          uint64_t position, int messages)
{
	/* One who waits for another type would sleep on what is for others. */
	int woken = stoa_event_raise(&queue->object, STOA_READ,
	                             queue->order == STOA_TYPE ? INT_MAX :
	                                                         messages);
	if (!(asked & EVENT_NOTIFY))
		return;
	if (woken == 0)
		queue_notify_arrival(queue, position, messages);
	queue_notify_over(queue);
}

/* A small room may not be what the one who is woken waits for. */
void queue_wake_senders(struct stoa_queue *queue, int cells)
{
	stoa_event_raise(&queue->object, STOA_WRITE,
	                 queue->blocks || queue->limits ? INT_MAX : cells);
}

int queue_stale(struct stoa_queue *queue)
{
	if (queue_end(queue, 0) < 0)
		return -EIO;
	return stoa_fail(-ESTALE,
	                 "this handle holds no such message of queue %s (any "
	                 "more)",
	                 queue->object.name);
}

/* The cell that a caller's message names, if the message is in `phase` and
 * this process's by the word that it was given. */
struct queue_cell *queue_cell_of(struct stoa_queue *queue,
                                  const struct stoa_message *message,
                                  enum queue_phase phase)
{
	if (message->cell >= queue->capacity ||
	    QUEUE_WORD_PHASE(message->word) != phase ||
	    QUEUE_WORD_TOKEN(message->word) !=
	            stoa_object_token(&queue->object))
		return NULL;
	struct queue_cell *cell = queue_cell_at(queue, message->cell);
	/* Returned, and taken again by this handle: the word is the same. */
	if (phase == QUEUE_TAKEN &&
	    cell_get(cell, deliveries) != message->deliveries)
		return NULL;
	return cell;
}

uint64_t queue_with_phase(uint64_t word, enum queue_phase phase)
{
	return QUEUE_WORD(QUEUE_WORD_LAP(word), phase, QUEUE_WORD_TOKEN(word));
}

char *queue_payload_at(struct stoa_queue *queue, struct queue_cell *cell,
                        uint32_t payload, size_t bytes)
{
	if (payload == 0)
		return bytes <= STOA_QUEUE_INLINE ?
		               (char *)queue_inline(queue, cell) :
		               NULL;
	return queue_arena_at(queue, payload, bytes);
}

/* ---- Readiness ---------------------------------------------------------------------- */

static int ordered_ready(struct stoa_queue *queue)
{
	struct queue_found found;
	int result = queue_selection_lock(queue, STOA_NOW);

	if (result < 0)
		return result == -EAGAIN ? STOA_READY_SOON : result;
	result = queue_select(queue, NULL, &found);
	/* What is being written has to be listed, to be told of. */
	if (result == -EAGAIN && queue_list_all(queue) == 0 &&
	    queue_select_soon(queue))
		result = STOA_READY_SOON;
	else
		result = result == 0 ? 1 : result == -EAGAIN ? 0 : result;
	queue_selection_unlock(queue);
	return result;
}

/* For a message of one byte. */
static int within_limit(struct stoa_queue *queue)
{
	uint64_t admitted;

	return !queue->limits ||
	       queue_fits(queue_limits(queue), queue_content(queue, &admitted),
	                  1) ||
	       queue_full(queue, 1) == 0;
}

int queue_ready(struct stoa_object *object, unsigned direction,
                const struct stoa_wait *wait)
{
	(void)wait;
	struct stoa_queue *queue = (struct stoa_queue *)object;
	struct queue_found found;
	int soon;

	if (direction == STOA_WRITE)
		return queue_has_room(queue) && within_limit(queue);
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
		return stoa_fail(-EINVAL,
		                 "poll descriptor of queue %s: the direction "
		                 "is STOA_READ or STOA_WRITE",
		                 queue->object.name);
	if (result == 0)
		result = queue_begin(queue, direction);
	if (result == 0)
		result = stoa_bell_open(&queue->object, direction);
	return (int)queue_end(queue, result);
}
