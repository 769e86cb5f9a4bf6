/* SPDX-License-Identifier: MIT */
/* data/stream_read.c: reading, and peeking and consuming. */
#include <base/bug.h>
#include <base/error.h>
#include <data/stream_internal.h>

#define AHEAD 512
#define PIECE UINT64_C(16384) /* of a large copy: writers go on after it */

/* Under the turn. Consumes piece by piece; the last is told by the caller. */
static void get_pieces(struct stoa_stream *stream, uint64_t position,
                       char *buffer, uint64_t bytes)
{
	struct stream_map *map = &stream->end[SIDE_READ].map;

	while (bytes > PIECE) {
		memcpy(buffer, stream_at(map, position), PIECE);
		position += PIECE;
		buffer += PIECE;
		bytes -= PIECE;
		stream_advance(stream, SIDE_READ, position);
	}
	const char *from = stream_at(map, position);

	/* Not what a writer may be at. Mapped twice: no need to wrap. */
	if (stream->end[SIDE_READ].other - position >= bytes + AHEAD)
		stoa_cpu_prefetch(from + AHEAD);
	if (STOA_BUG(34))
		stream_advance(stream, SIDE_READ, position + bytes);
	memcpy(buffer, from, bytes);
	stream_advance(stream, SIDE_READ, position + bytes);
}

#define LINGER_BYTES 8192
#define LINGER_PAUSES 16
#define LINGER_EVERY 64u /* so often it is tried when it was of no use */

/*
 * A reader at the heels of a writer takes each line from under its hands: both
 * then go at the pace of lines crossing. So one that has caught up lets the
 * writer get some lines ahead, for as long as it gets ahead, a few microseconds;
 * one who answers a question isn't held up by it more than seldom.
 */
static int64_t linger(struct stoa_stream *stream, uint64_t position,
                      int64_t usable)
{
	struct stream_end *end = &stream->end[SIDE_READ];
	int64_t first = usable;

	end->looked = 0;
	if (usable >= LINGER_BYTES ||
	    (!end->chased && ++end->looks % LINGER_EVERY))
		return usable;
	while (usable < LINGER_BYTES) {
		for (int i = 0; i < LINGER_PAUSES; i++)
			stoa_cpu_pause();
		int64_t more = stream_usable_slowly(stream, SIDE_READ,
		                                    position);
		if (more <= usable)
			break;
		usable = more;
	}
	end->chased = usable > first;
	end->looked = 0;
	return usable;
}

ssize_t stoa_stream_read(struct stoa_stream *stream, void *buffer, size_t bytes,
                         struct stoa_deadline deadline)
{
	struct stream_need need = { SIDE_READ, 1, 1, deadline, 0 };
	uint64_t position;
	int64_t result = stream_begin(stream, SIDE_READ);

	if (stoa_unlikely(result < 0 || bytes == 0))
		return stream_end_call(stream, result);
	result = stream_enter(stream, &need, &position);
	if (stoa_unlikely(result <= 0))
		return stream_end_call(stream, result);
	if (stoa_unlikely(stream->end[SIDE_READ].looked))
		result = linger(stream, position, result);
	/* Another look at the writers' position only if it's worth it. */
	if (stoa_unlikely((uint64_t)result < bytes)) {
		int64_t more = stream_usable_slowly(stream, SIDE_READ,
		                                    position);

		result = more > result ? more : result;
	}
	if (stoa_likely((uint64_t)result > bytes))
		result = (int64_t)bytes;
	get_pieces(stream, position, buffer, (uint64_t)result);
	stream_account(stream, SIDE_READ, (uint64_t)result, stream_clock());
	stream_leave_turn(stream, SIDE_READ);
	stream_tell(stream, SIDE_READ);
	return stream_end_call(stream, result);
}

/* ---- Peeking ------------------------------------------------------------------- */

/* A reservation or peek of `least` bytes can be had at all. */
int stream_check_least(struct stoa_stream *stream, enum stream_side side,
                       uint64_t least)
{
	uint64_t capacity = stream_capacity_of(
	        stream, atomic_load_explicit(&stream->control->geometry,
	                                     memory_order_relaxed));

	if (least >= 1 && least <= capacity)
		return 0;
	return stoa_fail(-EINVAL,
	                 "%s 1 to %llu bytes of stream %s, its capacity, not "
	                 "%llu",
	                 side == SIDE_READ ? "peek at" : "reserve",
	                 (unsigned long long)capacity, stream->object.name,
	                 (unsigned long long)least);
}

ssize_t stoa_stream_peek(struct stoa_stream *stream, size_t least,
                         struct stoa_deadline deadline,
                         struct stoa_region *ret_region)
{
	struct stream_need need = { SIDE_READ, least, least, deadline, 1 };
	struct stoa_region region = { 0 };
	int64_t result = stream_begin(stream, SIDE_READ);

	if (result == 0)
		result = stream_check_least(stream, SIDE_READ, least);
	if (result == 0)
		result = stream_enter(stream, &need, &region.position);
	if (result <= 0)
		return stream_end_call(stream, result);
	int64_t more = stream_usable_slowly(stream, SIDE_READ, region.position);
	if (more > result)
		result = more;
	region.data = stream_at(&stream->end[SIDE_READ].map, region.position);
	region.bytes = (size_t)result;
	stream_hold(stream, SIDE_READ, region.bytes);
	result = stream_end_call(stream, result);
	if (result > 0)
		*ret_region = region;
	return result;
}

int stoa_stream_consume(struct stoa_stream *stream, size_t bytes)
{
	int result = stream_begin(stream, SIDE_READ);

	if (result == 0)
		result = stream_check_held(stream, SIDE_READ, bytes);
	if (result < 0)
		return (int)stream_end_call(stream, result);
	if (bytes > 0) {
		uint64_t head = atomic_load_explicit(
		        stream_position(stream, SIDE_READ),
		        memory_order_relaxed);

		stream_advance(stream, SIDE_READ, head + bytes);
		stream_account(stream, SIDE_READ, bytes, stream_clock());
	}
	stream_leave_held(stream, SIDE_READ);
	stream_tell(stream, SIDE_READ);
	return (int)stream_end_call(stream, 0);
}
