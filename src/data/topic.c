/* SPDX-License-Identifier: MIT */
/* data/topic.c: making and opening topics, and what their calls have in
 * common. Publishing is in topic_publish.c, room for it in topic_room.c,
 * subscribing in topic_receive.c; why it all holds is in topic_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <data/kinds.h>
#include <data/topic_internal.h>
#include <space/guard.h>

#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#define CAPACITY_DEFAULT 1024
#define MESSAGE_DEFAULT 65536
#define TOTAL_DEFAULT_MAX (UINT64_C(16) << 20)
#define SLOTS_DEFAULT_MIN 4
#define OPEN_BURIES 64 /* of the dead at most, by who opens */
#define IDLE_PATROL_NS INT64_C(1000000)
#define WALK_STEPS 4096
#define WALK_LOOK 4

/* ---- Geometry --------------------------------------------------------------- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + 4095) & ~UINT64_C(4095);
}

static uint64_t power_up(uint64_t count)
{
	return count <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(count - 1));
}

/* An eighth more than capacity: cursors lag, and `oldest` is raised ahead. */
static uint64_t places_for(uint64_t capacity)
{
	uint64_t more = capacity / 8 < 2 ? 2 : capacity / 8;
	uint64_t places = power_up(capacity + more);

	return places < TOPIC_PLACES_MIN ? TOPIC_PLACES_MIN : places;
}

static uint64_t slot_bytes_for(uint64_t largest)
{
	return (largest + 63) & ~UINT64_C(63);
}

/* An odd number of lines. */
static uint64_t slot_stride_for(uint64_t largest)
{
	uint64_t bytes = slot_bytes_for(largest);

	return bytes / 64 % 2 ? bytes : bytes + 64;
}

static uint64_t default_slots(uint64_t capacity, uint64_t slot_bytes)
{
	uint64_t most = TOTAL_DEFAULT_MAX / slot_bytes;
	uint64_t slots = capacity < SLOTS_DEFAULT_MIN ? SLOTS_DEFAULT_MIN :
	                                                capacity;

	if (slots > most)
		slots = most;
	return slots < SLOTS_DEFAULT_MIN ? SLOTS_DEFAULT_MIN : slots;
}

/* Where everything stands, from the data's beginning; from the geometry alone. */
struct places {
	uint64_t cell_claims, slot_claims, cells, slots, end;
};

static struct places places_of(const uint64_t *geometry)
{
	uint64_t cells = places_for(geometry[TOPIC_GEOMETRY_CAPACITY]) +
	                 TOPIC_SPARE_CELLS;
	uint64_t slots = geometry[TOPIC_GEOMETRY_SLOTS];
	struct places at;

	at.cell_claims = TOPIC_CONTROL_BYTES;
	at.slot_claims = at.cell_claims + cells * sizeof(uint64_t);
	at.cells = page_up(at.slot_claims + slots * sizeof(uint64_t));
	at.slots = page_up(at.cells +
	                   cells * geometry[TOPIC_GEOMETRY_CELL_BYTES]);
	at.end = page_up(
	        at.slots +
	        slots * slot_stride_for(geometry[TOPIC_GEOMETRY_MAX_MESSAGE]));
	return at;
}

static int geometry_in_range(const uint64_t *geometry)
{
	uint64_t capacity = geometry[TOPIC_GEOMETRY_CAPACITY];
	uint64_t largest = geometry[TOPIC_GEOMETRY_MAX_MESSAGE];
	uint64_t cell_bytes = geometry[TOPIC_GEOMETRY_CELL_BYTES];
	uint64_t slots = geometry[TOPIC_GEOMETRY_SLOTS];

	return geometry[TOPIC_GEOMETRY_OVERRUN] <= STOA_TOPIC_OVERWRITE &&
	       capacity >= 1 && capacity <= TOPIC_CAPACITY_MAX &&
	       largest <= TOPIC_MESSAGE_MAX &&
	       cell_bytes >= sizeof(struct topic_cell) &&
	       cell_bytes <= TOPIC_INLINE_MAX + 16 &&
	       (cell_bytes & (cell_bytes - 1)) == 0 &&
	       slots <= TOPIC_SLOTS_MAX &&
	       (slots >= 2 || largest <= cell_bytes - 16);
}

static int check_attributes(const char *name,
                            const struct stoa_topic_attributes *attributes)
{
	uint64_t reserved = 0;

	if (attributes->size != sizeof *attributes)
		return stoa_fail(-EINVAL,
		                 "attributes of topic %s: size must be "
		                 "sizeof(struct stoa_topic_attributes)",
		                 name);
	for (int i = 0; i < 4; i++)
		reserved |= attributes->reserved[i];
	if (reserved)
		return stoa_fail(-EINVAL,
		                 "attributes of topic %s: reserved fields must "
		                 "be zero",
		                 name);
	if (attributes->overrun > STOA_TOPIC_OVERWRITE ||
	    attributes->capacity > TOPIC_CAPACITY_MAX ||
	    attributes->max_message_bytes > TOPIC_MESSAGE_MAX ||
	    attributes->inline_bytes > TOPIC_INLINE_MAX)
		return stoa_fail(-EINVAL,
		                 "attributes of topic %s: overrun is 0 or 1, "
		                 "capacity at most 2^24 messages, a message at "
		                 "most 1 GiB, inline_bytes at most 4,080",
		                 name);
	return 0;
}

static int read_attributes(const char *name,
                           const struct stoa_topic_attributes *given,
                           uint64_t *geometry)
{
	struct stoa_topic_attributes attributes = { .size = sizeof attributes };
	int result;

	if (given)
		attributes = *given;
	result = check_attributes(name, &attributes);
	if (result < 0)
		return result;
	uint64_t capacity = attributes.capacity ?: CAPACITY_DEFAULT;
	uint64_t largest = attributes.max_message_bytes ?: MESSAGE_DEFAULT;
	uint64_t slot_bytes = slot_bytes_for(largest);
	uint64_t cell_bytes = power_up(attributes.inline_bytes + 16);
	uint64_t slots;

	if (cell_bytes < sizeof(struct topic_cell))
		cell_bytes = sizeof(struct topic_cell);
	if (largest <= cell_bytes - 16)
		slots = 0;
	else if (attributes.total_bytes)
		slots = attributes.total_bytes / largest;
	else
		slots = default_slots(capacity, slot_bytes);
	if (largest > cell_bytes - 16 && (slots < 2 || slots > TOPIC_SLOTS_MAX))
		return stoa_fail(-EINVAL,
		                 "attributes of topic %s: total_bytes must have "
		                 "room for 2 to 2^24 messages of "
		                 "max_message_bytes",
		                 name);
	geometry[TOPIC_GEOMETRY_OVERRUN] = attributes.overrun;
	geometry[TOPIC_GEOMETRY_CAPACITY] = capacity;
	geometry[TOPIC_GEOMETRY_MAX_MESSAGE] = largest;
	geometry[TOPIC_GEOMETRY_CELL_BYTES] = cell_bytes;
	geometry[TOPIC_GEOMETRY_SLOTS] = slots;
	return 0;
}

static uint64_t least(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static void set_geometry(struct stoa_topic *topic)
{
	const uint64_t *geometry = topic->object.copy.geometry;
	uint64_t spare;

	topic->overrun =
	        (enum stoa_topic_overrun)geometry[TOPIC_GEOMETRY_OVERRUN];
	topic->capacity = geometry[TOPIC_GEOMETRY_CAPACITY];
	topic->max_message = geometry[TOPIC_GEOMETRY_MAX_MESSAGE];
	topic->slots = (uint32_t)geometry[TOPIC_GEOMETRY_SLOTS];
	topic->slot_bytes = slot_bytes_for(topic->max_message);
	topic->slot_stride = slot_stride_for(topic->max_message);
	topic->total_bytes = topic->slots * topic->max_message;
	topic->inline_bytes = geometry[TOPIC_GEOMETRY_CELL_BYTES] - 16;
	topic->cell_shift = (uint32_t)__builtin_ctzll(
	        geometry[TOPIC_GEOMETRY_CELL_BYTES]);
	topic->places = places_for(topic->capacity);
	topic->place_bits = (uint32_t)__builtin_ctzll(topic->places);
	topic->spread = (0x9e3779b9u >> (32 - topic->place_bits)) | 1;
	spare = (topic->places - topic->capacity) / 2;
	topic->batch = least(spare, topic->places / 8) ?: 1;
	topic->slack = topic->batch;
	if (topic->slots)
		topic->slack = least(topic->slack, topic->slots / 8) ?: 1;
	topic->data_bytes = places_of(geometry).end;
}

/* ---- Mapping ------------------------------------------------------------------ */

static int map_data(struct stoa_topic *topic, int protection, char **ret_data)
{
	struct stoa_object *object = &topic->object;
	int fd = object->fd;
	void *data;

	/* Of a description that is open for reading alone, the kernel maps
	 * nothing that could ever be written. */
	if (!(protection & PROT_WRITE)) {
		fd = stoa_sys_reopen(object->fd, O_RDONLY);
		if (fd < 0)
			return fd;
	}
	int result = stoa_sys_mmap(NULL, topic->data_bytes, protection,
	                           MAP_SHARED, fd, TOPIC_DATA_OFFSET, &data);
	if (fd != object->fd)
		stoa_sys_close(fd);
	if (result < 0)
		return result;
	result = stoa_guard_add(data, topic->data_bytes, &object->poisoned);
	if (result < 0) {
		stoa_sys_munmap(data, topic->data_bytes);
		return result;
	}
	*ret_data = data;
	return 0;
}

static void unmap_data(struct stoa_topic *topic, const void *control)
{
	void *data = (void *)(uintptr_t)control;

	if (!data)
		return;
	stoa_guard_remove(data);
	stoa_sys_munmap(data, topic->data_bytes);
}

int topic_map_written(struct stoa_topic *topic,
                      struct topic_written *ret_written)
{
	struct places at = places_of(topic->object.copy.geometry);
	char *data;
	int result = map_data(topic, PROT_READ | PROT_WRITE, &data);

	if (result < 0)
		return result;
	*ret_written = (struct topic_written){
		.control = (void *)data,
		.cells = data + at.cells,
		.slots = data + at.slots,
		.cell_pool = { (void *)(data + at.cell_claims),
		               (uint32_t)topic->places + TOPIC_SPARE_CELLS,
		               (uint32_t)topic->places },
		.slot_pool = { (void *)(data + at.slot_claims), topic->slots,
		               0 },
	};
	return 0;
}

void topic_unmap_written(struct stoa_topic *topic,
                         struct topic_written *written)
{
	unmap_data(topic, written->control);
	written->control = NULL;
}

static int map_all(struct stoa_topic *topic)
{
	struct places at = places_of(topic->object.copy.geometry);
	unsigned flags = topic->object.flags;
	int result = 0;
	char *data;

	if (flags & STOA_WRITE)
		result = topic_map_written(topic, &topic->written);
	if (result < 0)
		goto fail;
	data = (char *)topic->written.control;
	if (flags & STOA_READ)
		result = map_data(topic, PROT_READ, &data);
	if (result < 0)
		goto fail;
	topic->seen = (const void *)data;
	topic->cells = data + at.cells;
	topic->slots_at = data + at.slots;
	return 0;

fail:
	return stoa_fail(result, "can't map topic %s (%llu bytes): %s",
	                 topic->object.name,
	                 (unsigned long long)topic->data_bytes,
	                 strerror(-result));
}

static void unmap_all(struct stoa_topic *topic)
{
	if (topic->object.flags & STOA_READ)
		unmap_data(topic, topic->seen);
	topic_unmap_written(topic, &topic->written);
}

/* ---- Opening ------------------------------------------------------------------- */

static int join(struct stoa_topic *topic)
{
	const uint64_t *geometry = topic->object.copy.geometry;
	int result = geometry_in_range(geometry) &&
	                             places_of(geometry).end +
	                                             TOPIC_DATA_OFFSET ==
	                                     topic->object.copy.file_bytes ?
	                     0 :
	                     stoa_fail(-EUCLEAN,
	                               "topic %s is damaged: its header can't "
	                               "be true; remove it",
	                               topic->object.name);

	if (result < 0)
		return result;
	set_geometry(topic);
	result = map_all(topic);
	if (result == 0)
		result = stoa_object_sit(&topic->object);
	if (result >= 0)
		result = stoa_object_bury(&topic->object, OPEN_BURIES);
	if (result >= 0 && (topic->object.flags & STOA_READ))
		result = stoa_topic_seek(topic, STOA_TOPIC_NEXT);
	return result < 0 ? result : 0;
}

static int open_handle(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object_plan *plan,
                       struct stoa_topic **ret_topic)
{
	struct stoa_topic *topic =
	        stoa_object_allocate(&stoa_topic_kind, name, sizeof *topic);
	int result;

	if (!topic)
		return -ENOMEM;
	plan->kind = &stoa_topic_kind;
	plan->mapped_bytes = TOPIC_DATA_OFFSET;
	result = stoa_object_open(&topic->object, space, name, flags,
	                          &stoa_topic_kind, plan);
	if (result < 0)
		goto free;
	result = join(topic);
	if (result < 0)
		goto close;
	*ret_topic = topic;
	return 0;

close:
	unmap_all(topic);
	stoa_object_close(&topic->object);
	stoa_object_abandon(&topic->object);
free:
	free(topic);
	return result;
}

#define OPEN_FLAGS                                               \
	(STOA_READ | STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE | \
	 STOA_INTERRUPTIBLE)

int stoa_topic_open(struct stoa_space *space, const char *name, unsigned flags,
                    mode_t mode, const struct stoa_topic_attributes *attributes,
                    struct stoa_topic **ret_topic)
{
	struct stoa_object_plan plan = { .mode = mode };
	int result = 0;

	if ((flags & ~OPEN_FLAGS) || !(flags & (STOA_READ | STOA_WRITE)))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for topic %s: at least one of "
		                 "STOA_READ and STOA_WRITE, and no unknown",
		                 flags, name ? name : "(none)");
	if (!name)
		return stoa_name_check(name, &name);
	if (flags & STOA_CREATE) {
		result = read_attributes(name, attributes, plan.geometry);
		plan.file_bytes = TOPIC_DATA_OFFSET +
		                  places_of(plan.geometry).end;
	}
	if (result < 0)
		return result;
	return open_handle(space, name, flags, &plan, ret_topic);
}

/* What this process has by the handle; not what it has inherited. */
static void give_back(struct stoa_topic *topic)
{
	struct stoa_object *object = &topic->object;
	stoa_peer self = atomic_load_explicit(&object->space->life.self->peer,
	                                      memory_order_relaxed);

	if (self == 0 ||
	    atomic_load_explicit(&object->peer, memory_order_relaxed) != self)
		return;
	topic_leave(topic);
	if (atomic_load_explicit(&topic->held, memory_order_relaxed)) {
		topic_bury(object, stoa_object_token(object));
		stoa_event_broadcast(object);
	}
}

void stoa_topic_close(struct stoa_topic *topic)
{
	if (!topic)
		return;
	give_back(topic);
	stoa_object_stand(&topic->object);
	unmap_all(topic);
	stoa_object_close(&topic->object);
	free(topic);
}

int stoa_topic_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_topic_kind);
}

int stoa_topic_remove(struct stoa_topic *topic)
{
	return stoa_object_remove(&topic->object);
}

struct stoa_object *stoa_topic_object(struct stoa_topic *topic)
{
	return &topic->object;
}

/* To bury and to mark: as a publisher, as a subscriber would be waited for. */
static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_object_plan plan = { 0 };
	struct stoa_topic *topic;
	int result = open_handle(space, name,
	                         (flags & STOA_INTERRUPTIBLE) | STOA_WRITE,
	                         &plan, &topic);

	if (result == 0)
		*ret_object = &topic->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_topic_close((struct stoa_topic *)object);
}

const struct stoa_object_kind stoa_topic_kind = {
	.name = "topic",
	.bury = topic_bury,
	.ready = topic_ready,
	.open = open_object,
	.close = close_object,
	.each_bell = 1,
};

/* ---- What calls have in common --------------------------------------------------- */

_Thread_local uint32_t topic_vain;

int topic_refuse(struct stoa_topic *topic, unsigned direction)
{
	return stoa_fail(-EBADF, "topic %s was not opened to %s",
	                 topic->object.name,
	                 direction == STOA_READ ? "subscribe" : "publish");
}

int topic_damaged(struct stoa_topic *topic)
{
	return stoa_object_damaged(&topic->object,
	                           "a message's size, place or order can't be "
	                           "true");
}

int topic_stale(struct stoa_topic *topic)
{
	if (topic_end(topic, 0) < 0)
		return -EIO;
	return stoa_fail(-ESTALE,
	                 "this handle has no such message of topic %s (any "
	                 "more)",
	                 topic->object.name);
}

/* So that those who never sleep meet the dead, too. */
void topic_patrol_seldom(struct stoa_topic *topic)
{
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE);
	int64_t last = atomic_load_explicit(&topic->object.patrol_ns,
	                                    memory_order_relaxed);

	if (now - last >= IDLE_PATROL_NS)
		stoa_object_patrol(&topic->object);
}

static uint64_t hinted_tail(struct stoa_topic *topic)
{
	uint64_t own = atomic_load_explicit(&topic->tail, memory_order_relaxed);
	uint64_t hint = atomic_load_explicit(&topic->seen->tail,
	                                     memory_order_relaxed);

	return hint > own ? hint : own;
}

/* A hint that is too high can't be; one that lags by laps is led on by the word
 * at its place. Who publishes without end may be faster than this one walks:
 * then 1, and a position that was passed. */
static int walk(struct stoa_topic *topic, uint64_t from, uint64_t *ret_position,
                uint64_t *ret_word)
{
	uint64_t position = from;

	for (uint32_t i = 1; i <= WALK_STEPS; i++) {
		/* seq_cst: EVENT_DEKKER, for who waits for a message */
		uint64_t word = atomic_load_explicit(
		        &topic_cell(topic, topic_home(topic, position))->word,
		        memory_order_seq_cst);
		int64_t ahead = topic_ahead(topic, word, position);

		*ret_position = position;
		*ret_word = word;
		if (ahead == -1)
			return 0;
		if (ahead < 0)
			return -EUCLEAN;
		position += ((uint64_t)ahead << topic->place_bits) + 1;
		if (i % WALK_LOOK == 0 && hinted_tail(topic) > position)
			position = hinted_tail(topic);
	}
	*ret_position = position;
	return 1;
}

int topic_find_tail(struct stoa_topic *topic, uint64_t *ret_position,
                    uint64_t *ret_word)
{
	uint64_t hint = hinted_tail(topic);
	int result = walk(topic, hint, ret_position, ret_word);

	/* Overwritten by somebody, or lagging by more than all words tell. */
	if (stoa_unlikely(result < 0))
		result = walk(topic, topic_oldest(topic), ret_position,
		              ret_word);
	if (stoa_unlikely(result < 0))
		return topic_damaged(topic);
	if (*ret_position > hint)
		atomic_store_explicit(&topic->tail, *ret_position,
		                      memory_order_relaxed);
	return result;
}
