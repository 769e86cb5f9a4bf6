/* SPDX-License-Identifier: MIT */
/* data/stream_inspect.c: looking at a stream. */
#include <base/error.h>
#include <data/stream_internal.h>

static void add_handle(struct stoa_seat *seat,
                       struct stoa_stream_status *status)
{
	uint32_t flags = atomic_load(&seat->flags);

	status->users++;
	status->readers += (flags & STOA_READ) != 0;
	status->writers += (flags & STOA_WRITE) != 0;
	status->readers_waiting += atomic_load(&seat->readers_waiting);
	status->writers_waiting += atomic_load(&seat->writers_waiting);
}

static void add_seat(struct stoa_stream *stream, uint32_t index,
                     struct stoa_stream_status *status)
{
	struct stoa_seat *seat = stoa_object_seat(&stream->object, index);

	if (!seat)
		return;
	int64_t in_ns = atomic_load(&seat->last_in_ns);
	int64_t out_ns = atomic_load(&seat->last_out_ns);
	status->writes += atomic_load(&seat->messages_in);
	status->reads += atomic_load(&seat->messages_out);
	if (in_ns > status->last_write_ns) {
		status->last_write_ns = in_ns;
		status->last_writer_pid = atomic_load(&seat->last_in_pid);
	}
	if (out_ns > status->last_read_ns) {
		status->last_read_ns = out_ns;
		status->last_reader_pid = atomic_load(&seat->last_out_pid);
	}
	uint64_t owner = atomic_load(&seat->owner);
	if (owner >> 16 != 0 &&
	    stoa_life_alive(&stream->object.space->life, owner >> 16))
		add_handle(seat, status);
}

/* Who has the side's lock, or 0. */
static pid_t holder_of(struct stoa_stream *stream, enum stream_side side)
{
	uint32_t token = atomic_load_explicit(
	                         &stream->control->turn[side].lock.word,
	                         memory_order_relaxed) &
	                 0x7fffffffu;
	struct stoa_seat *seat;

	if (token == 0 || !stoa_object_alive(&stream->object, token))
		return 0;
	seat = stoa_object_seat(&stream->object, SEAT_INDEX(token));
	return seat ? atomic_load(&seat->pid) : 0;
}

static void look_at_bytes(struct stoa_stream *stream,
                          struct stoa_stream_status *status)
{
	struct stream_control *control = stream->control;
	uint64_t geometry = atomic_load(&control->geometry);

	status->capacity = stream_capacity_of(stream, geometry);
	status->max_capacity = stream->max_capacity;
	status->resizes = STREAM_SHAPE_VERSION(geometry);
	/* head first: it isn't above a tail loaded later */
	status->bytes_out = atomic_load(&control->position[SIDE_READ].bytes);
	status->bytes_in = atomic_load(&control->position[SIDE_WRITE].bytes);
	status->bytes = status->bytes_in - status->bytes_out;
	if (status->bytes > status->capacity) /* read and written meanwhile */
		status->bytes = status->capacity;
	status->has_reader = stream_has_end(stream, SIDE_READ) > 0;
	status->has_writer = stream_has_end(stream, SIDE_WRITE) > 0;
	status->reading_pid = holder_of(stream, SIDE_READ);
	status->writing_pid = holder_of(stream, SIDE_WRITE);
}

int stoa_stream_stat(struct stoa_stream *stream,
                     struct stoa_stream_status *ret_status)
{
	const struct stoa_object_header *header = &stream->object.copy;
	struct stoa_stream_status status = {
		.size = sizeof status,
		.created_ns = header->created_ns,
		.creator_pid = header->creator_pid,
		.generation = header->generation,
	};
	int result = stoa_object_enter(&stream->object);

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "stat of stream %s: size must be "
		                 "sizeof(struct stoa_stream_status)",
		                 stream->object.name);
	if (result == 0)
		result = stoa_object_health(&stream->object);
	if (result < 0)
		return result;
	look_at_bytes(stream, &status);
	uint32_t seats = stoa_object_seats(&stream->object);
	for (uint32_t i = 0; i < seats; i++)
		add_seat(stream, i, &status);
	result = (int)stream_end_call(stream, 0);
	if (result == 0)
		*ret_status = status;
	return result;
}
