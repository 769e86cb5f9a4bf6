/* SPDX-License-Identifier: MIT */
/* data/topic_inspect.c: looking at a topic; poll descriptors. */
#include <base/error.h>
#include <data/topic_internal.h>

static void add_subscriber(struct stoa_seat *seat, uint64_t tail,
                           struct stoa_topic_stat *stat)
{
	uint64_t cursor = atomic_load(&seat->own[TOPIC_SEAT_CURSOR]);

	stat->lost += atomic_load(&seat->own[TOPIC_SEAT_LOST]);
	if (cursor >= tail || tail - cursor <= stat->lag)
		return;
	stat->lag = tail - cursor;
	stat->slowest_pid = atomic_load(&seat->pid);
}

static void add_seat(struct stoa_topic *topic, uint32_t index, uint64_t tail,
                     struct stoa_topic_stat *stat)
{
	struct stoa_seat *seat = stoa_object_seat(&topic->object, index);

	if (!seat)
		return;
	stat->messages_in += atomic_load(&seat->messages_in);
	stat->bytes_in += atomic_load(&seat->bytes_in);
	stat->messages_out += atomic_load(&seat->messages_out);
	stat->bytes_out += atomic_load(&seat->bytes_out);
	uint64_t owner = atomic_load(&seat->owner);
	if (owner >> 16 == 0 ||
	    !stoa_life_alive(&topic->object.space->life, owner >> 16))
		return;
	unsigned flags = atomic_load(&seat->flags);
	stat->users++;
	stat->publishers += !!(flags & STOA_WRITE);
	stat->subscribers += !!(flags & STOA_READ);
	stat->subscribers_waiting += atomic_load(&seat->readers_waiting);
	stat->publishers_waiting += atomic_load(&seat->writers_waiting);
	if ((flags & STOA_READ) && atomic_load(&seat->own[TOPIC_SEAT_TOKEN]))
		add_subscriber(seat, tail, stat);
}

/* By either mapping: claims are at the same place in both. */
static uint64_t count_reserved(struct stoa_topic *topic)
{
	const _Atomic uint64_t *claims =
	        (const void *)((const char *)topic->seen + TOPIC_CONTROL_BYTES);
	uint64_t count = topic->places + TOPIC_SPARE_CELLS + topic->slots;
	uint64_t reserved = 0;

	for (uint64_t i = 0; i < count; i++)
		reserved += !!(atomic_load_explicit(&claims[i],
		                                    memory_order_relaxed) &
		               TOPIC_RESERVED);
	return reserved;
}

int stoa_topic_stat(struct stoa_topic *topic, struct stoa_topic_stat *ret_stat)
{
	const struct stoa_object_header *header = &topic->object.copy;
	struct stoa_topic_stat stat = {
		.size = sizeof stat,
		.overrun = topic->overrun,
		.capacity = topic->capacity,
		.max_message_bytes = topic->max_message,
		.inline_bytes = topic->inline_bytes,
		.total_bytes = topic->total_bytes,
		.created_ns = header->created_ns,
		.creator_pid = header->creator_pid,
		.generation = header->generation,
	};
	int result = stoa_object_enter(&topic->object);
	uint64_t word;

	if (ret_stat->size != sizeof stat)
		return stoa_fail(-EINVAL, "stat of topic %s: size must be "
		                          "sizeof(struct stoa_topic_stat)",
		                 topic->object.name);
	if (result == 0)
		result = stoa_object_health(&topic->object);
	if (result == 0)
		result = topic_find_tail(topic, &stat.published, &word);
	if (result < 0)
		return (int)topic_end(topic, result);
	stat.oldest = topic_oldest(topic);
	stat.reserved = count_reserved(topic);
	uint32_t seats = stoa_object_seats(&topic->object);
	for (uint32_t i = 0; i < seats; i++)
		add_seat(topic, i, stat.published, &stat);
	result = (int)topic_end(topic, 0);
	if (result == 0)
		*ret_stat = stat;
	return result;
}

int stoa_topic_lost(struct stoa_topic *topic, uint64_t *ret_lost)
{
	int result = topic_begin(topic, STOA_READ);

	if (result == 0)
		*ret_lost = atomic_load_explicit(&topic->lost,
		                                 memory_order_relaxed);
	return result;
}

int stoa_topic_pollfd(struct stoa_topic *topic, unsigned direction)
{
	int result;

	if (direction != STOA_READ && direction != STOA_WRITE)
		return stoa_fail(-EINVAL,
		                 "a poll descriptor of topic %s is for "
		                 "STOA_READ or for STOA_WRITE",
		                 topic->object.name);
	result = topic_begin(topic, direction);
	if (result == 0)
		result = stoa_bell_open(&topic->object, direction);
	return (int)topic_end(topic, result);
}
