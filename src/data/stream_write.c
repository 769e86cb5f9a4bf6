/* SPDX-License-Identifier: MIT */
/* data/stream_write.c: writing, and reserving and committing. */
#include <base/bug.h>
#include <base/error.h>
#include <data/stream_internal.h>

#include <limits.h>

#define AHEAD 512
#define PIECE UINT64_C(16384) /* of a large copy: readers begin with it */

/* Nobody reads any more, and nobody will be told otherwise. */
static inline int check_readers(struct stoa_stream *stream, int64_t now_ns)
{
	return stoa_unlikely(stream_gone(stream, SIDE_WRITE, now_ns)) ? -EPIPE :
	                                                                0;
}

/* Under the turn. Commits piece by piece; the last is told by the caller. */
static void put_pieces(struct stoa_stream *stream, uint64_t position,
                       const char *data, uint64_t bytes)
{
	struct stream_map *map = &stream->end[SIDE_WRITE].map;

	while (bytes > PIECE) {
		memcpy(stream_at(map, position), data, PIECE);
		position += PIECE;
		data += PIECE;
		bytes -= PIECE;
		stream_advance(stream, SIDE_WRITE, position);
		/* relaxed: a hint, there is another look after the last */
		if (stoa_unlikely(
		            atomic_load_explicit(
		                    &stream->object.events->readable,
		                    memory_order_relaxed) &
		            EVENT_ANYBODY))
			stream_wake_readers(stream);
	}
	char *to = stream_at(map, position);

	/* Not what a reader may be at. Mapped twice: no need to wrap. */
	if (position + bytes + AHEAD - stream->end[SIDE_WRITE].other <=
	    map->capacity)
		stoa_cpu_prefetch_write(to + AHEAD);
	if (STOA_BUG(35))
		stream_advance(stream, SIDE_WRITE, position + bytes);
	memcpy(to, data, bytes);
	stream_advance(stream, SIDE_WRITE, position + bytes);
}

/* Before the commit, too: see bell.c. */
static inline void ring_before(struct stoa_stream *stream, unsigned direction)
{
	if (stoa_unlikely(atomic_load_explicit(
	                          stoa_event_word(&stream->object, direction),
	                          memory_order_relaxed) &
	                  EVENT_BELL))
		stoa_bell_ring(&stream->object, direction);
}

/* Writes what there is room for, at least `least` bytes. */
static inline int64_t write_some(struct stoa_stream *stream, const char *data,
                                 uint64_t bytes, uint64_t least,
                                 struct stoa_deadline deadline, int64_t now_ns)
{
	struct stream_need need = { SIDE_WRITE, least, least, deadline, 0 };
	uint64_t position;

	if (stoa_unlikely(bytes > least)) {
		uint64_t half = stream->end[SIDE_WRITE].map.capacity / 2;

		need.wanted = bytes < half ? bytes : half ?: 1;
	}
	int64_t room = stream_enter(stream, &need, &position);
	if (stoa_unlikely(room < 0))
		return room;
	/* Another look at the readers' position only if it's worth it. */
	if (stoa_unlikely((uint64_t)room < bytes)) {
		int64_t more = stream_usable_slowly(stream, SIDE_WRITE,
		                                    position);

		room = more > room ? more : room;
		bytes = bytes < (uint64_t)room ? bytes : (uint64_t)room;
	}
	ring_before(stream, STOA_READ);
	put_pieces(stream, position, data, bytes);
	stream_account(stream, SIDE_WRITE, bytes, now_ns);
	stream_leave_turn(stream, SIDE_WRITE);
	stream_tell(stream, SIDE_WRITE);
	return (int64_t)bytes;
}

static int64_t write_large(struct stoa_stream *stream, const char *data,
                           uint64_t bytes, struct stoa_deadline deadline,
                           int64_t now_ns)
{
	uint64_t written = 0;

	while (written < bytes) {
		int64_t result = write_some(stream, data + written,
		                            bytes - written, 1, deadline,
		                            now_ns);

		if (result < 0)
			return written ? (int64_t)written : result;
		written += (uint64_t)result;
		if (written == bytes || deadline.kind == STOA_DEADLINE_NOW ||
		    !stoa_object_healthy(&stream->object))
			break;
		if (check_readers(stream, stream_clock()) < 0)
			break;
	}
	return (int64_t)written;
}

ssize_t stoa_stream_write(struct stoa_stream *stream, const void *data,
                          size_t bytes, struct stoa_deadline deadline)
{
	stream = stream_writer(stream);
	int64_t now_ns = stream_clock();
	int64_t result = stream_begin(stream, SIDE_WRITE);

	if (stoa_likely(result == 0))
		result = check_readers(stream, now_ns);
	if (stoa_unlikely(result < 0 || bytes == 0))
		return stream_end_call(stream, result);
	if (stoa_likely(bytes <= STOA_ATOMIC))
		result = write_some(stream, data, bytes, bytes, deadline,
		                    now_ns);
	else
		result = write_large(stream, data, bytes, deadline, now_ns);
	return stream_end_call(stream, result);
}

/* ---- Reserving ---------------------------------------------------------------- */

int stoa_stream_reserve(struct stoa_stream *stream, size_t least,
                        struct stoa_deadline deadline,
                        struct stoa_region *ret_region)
{
	struct stoa_region region = { 0 };
	struct stream_need need = { SIDE_WRITE, least, least, deadline, 1 };

	stream = stream_writer(stream);
	int64_t result = stream_begin(stream, SIDE_WRITE);
	if (result == 0)
		result = check_readers(stream, stream_clock());
	if (result == 0)
		result = stream_check_least(stream, SIDE_WRITE, least);
	if (result == 0)
		result = stream_enter(stream, &need, &region.position);
	if (result < 0)
		return (int)stream_end_call(stream, result);
	region.data = stream_at(&stream->end[SIDE_WRITE].map, region.position);
	region.bytes = (size_t)result;
	stream_hold(stream, SIDE_WRITE, region.bytes);
	result = stream_end_call(stream, 0);
	if (result == 0)
		*ret_region = region;
	return (int)result;
}

int stoa_stream_commit(struct stoa_stream *stream, size_t bytes)
{
	stream = stream_writer(stream);
	int result = stream_begin(stream, SIDE_WRITE);

	if (result == 0)
		result = stream_check_held(stream, SIDE_WRITE, bytes);
	if (result < 0)
		return (int)stream_end_call(stream, result);
	if (bytes > 0) {
		uint64_t tail = atomic_load_explicit(
		        stream_position(stream, SIDE_WRITE),
		        memory_order_relaxed);

		ring_before(stream, STOA_READ);
		stream_advance(stream, SIDE_WRITE, tail + bytes);
		stream_account(stream, SIDE_WRITE, bytes, stream_clock());
	}
	stream_leave_held(stream, SIDE_WRITE);
	stream_tell(stream, SIDE_WRITE);
	return (int)stream_end_call(stream, 0);
}

int stoa_stream_cancel(struct stoa_stream *stream)
{
	return stoa_stream_commit(stream, 0);
}
