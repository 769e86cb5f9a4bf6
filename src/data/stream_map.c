/* SPDX-License-Identifier: MIT */
/* data/stream_map.c: the memory of a stream, and changing how much it is. */
#include <base/error.h>
#include <data/stream_internal.h>
#include <space/guard.h>

#include <limits.h>
#include <sys/mman.h>

#define FIT_NS INT64_C(50000000) /* writers are kept out for no longer */

/* ---- Mapping --------------------------------------------------------------- */

uint64_t stream_capacity_of(const struct stoa_stream *stream, uint64_t word)
{
	uint64_t capacity = word == 0 ? stream->first_capacity :
	                                STREAM_SHAPE_PAGES(word) * STREAM_PAGE;

	return capacity <= stream->max_capacity ? capacity : 0;
}

static uint64_t area_offset(const struct stoa_stream *stream, uint32_t version)
{
	return STREAM_AREA_OFFSET + (version & 1) * stream->max_capacity;
}

static int map_twice(char *ring, uint64_t capacity, int fd, uint64_t offset)
{
	for (int i = 0; i < 2; i++) {
		void *address;
		int result = stoa_sys_mmap(
		        ring + (uint64_t)i * capacity, capacity,
		        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		        (off_t)offset, &address);

		if (result < 0)
			return result;
	}
	return 0;
}

int stream_map_make(struct stoa_stream *stream, uint64_t word,
                    struct stream_map *ret_map)
{
	struct stoa_object *object = &stream->object;
	uint64_t capacity = stream_capacity_of(stream, word);
	struct stat stat;
	void *ring;

	if (capacity == 0)
		return stoa_object_damaged(object,
		                           "its capacity was overwritten");
	int result = stoa_sys_fstat(object->fd, &stat);
	if (result < 0 || stat.st_ino != object->inode)
		return stoa_fail(-EBADF, "the descriptor of stream %s was "
		                         "closed by the program",
		                 object->name);
	result = stoa_sys_mmap(NULL, 2 * capacity, PROT_NONE,
	                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
	                       0, &ring);
	if (result < 0)
		goto fail;
	result = map_twice(ring, capacity, object->fd,
	                   area_offset(stream, STREAM_SHAPE_VERSION(word)));
	if (result == 0)
		result = stoa_guard_add(ring, 2 * capacity, &object->poisoned);
	if (result < 0) {
		stoa_sys_munmap(ring, 2 * capacity);
		goto fail;
	}
	*ret_map = (struct stream_map){ .ring = ring,
		                        .geometry = word,
		                        .capacity = capacity };
	return 0;

fail:
	return stoa_fail(result, "can't map stream %s (%llu bytes): %s",
	                 object->name, 2 * (unsigned long long)capacity,
	                 strerror(-result));
}

void stream_map_drop(struct stream_map *map)
{
	if (!map->ring)
		return;
	stoa_guard_remove(map->ring);
	stoa_sys_munmap(map->ring, 2 * map->capacity);
	map->ring = NULL;
}

/* A fork in the middle leaves the child a map that it makes anew. */
int stream_remap(struct stoa_stream *stream, enum stream_side side)
{
	struct stream_map *map = &stream->end[side].map;
	struct stream_map fresh, old = *map;
	uint64_t word = atomic_load_explicit(&stream->control->geometry,
	                                     memory_order_acquire);
	int result = stream_map_make(stream, word, &fresh);

	if (result < 0) {
		stream_leave_turn(stream, side);
		return result;
	}
	map->ring = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	map->geometry = fresh.geometry;
	map->capacity = fresh.capacity;
	map->base = 0;
	atomic_signal_fence(memory_order_seq_cst);
	map->ring = fresh.ring;
	stream_map_drop(&old);
	return 0;
}

/* ---- Resizing --------------------------------------------------------------- */

/* Bytes that wrap around in one map don't in the other. */
static void copy_bytes(struct stream_map *from, struct stream_map *to,
                       uint64_t position, uint64_t bytes)
{
	memcpy(stream_at(to, position), stream_at(from, position), bytes);
}

/* Under both locks. -EAGAIN: what is in it doesn't fit. */
static int switch_area(struct stoa_stream *stream, uint64_t word,
                       uint64_t pages)
{
	struct stream_control *control = stream->control;
	struct stoa_object *object = &stream->object;
	uint32_t version = STREAM_SHAPE_VERSION(word) + 1;
	uint64_t fresh_word = STREAM_SHAPE(version, pages);
	off_t area = (off_t)area_offset(stream, version);
	uint64_t head = atomic_load(&control->position[SIDE_READ].bytes);
	uint64_t used = atomic_load(&control->position[SIDE_WRITE].bytes) - head;
	struct stream_map from, to;

	if (used > stream_capacity_of(stream, word))
		return stoa_object_damaged(object, "its positions were "
		                                   "overwritten");
	if (used > pages * STREAM_PAGE)
		return -EAGAIN;
	int result = stream_map_make(stream, word, &from);
	if (result < 0)
		return result;
	/* What a resizer that died has left there. */
	stoa_sys_punch(object->fd, area, (off_t)stream->max_capacity);
	result = stoa_sys_fallocate(object->fd, area,
	                            (off_t)(pages * STREAM_PAGE));
	if (result < 0)
		stoa_fail(result, "no room for stream %s to have %llu bytes: %s",
		          object->name,
		          (unsigned long long)(pages * STREAM_PAGE),
		          strerror(-result));
	else
		result = stream_map_make(stream, fresh_word, &to);
	if (result == 0) {
		copy_bytes(&from, &to, head, used);
		/* release: STREAM_BYTES; the commit point */
		atomic_store_explicit(&control->geometry, fresh_word,
		                      memory_order_release);
		stream_map_drop(&to);
		area = (off_t)area_offset(stream, version - 1);
	}
	/* While nobody can be at it. */
	stoa_sys_punch(object->fd, area, (off_t)stream->max_capacity);
	stream_map_drop(&from);
	return result;
}

/* The writers' lock is held, so that readers make it fit; but not for long, as
 * whoever reads may write first. */
static int try_switch(struct stoa_stream *stream, uint64_t pages,
                      struct stoa_deadline slice)
{
	struct stream_control *control = stream->control;
	struct stoa_waiter waiter;
	int result, step = 0;

	stoa_waiter_init(&waiter, &stream->object, STOA_WRITE, slice);
	do {
		uint64_t word = atomic_load(&control->geometry);
		uint64_t capacity = stream_capacity_of(stream, word);

		if (capacity == pages * STREAM_PAGE) {
			result = 0;
			break;
		}
		if (waiter.armed && capacity > pages * STREAM_PAGE)
			stream_want_room(stream,
			                 capacity - pages * STREAM_PAGE);
		result = stream_take_lock(stream, SIDE_READ, slice);
		if (result < 0)
			break;
		result = switch_area(stream, word, pages);
		stream_leave_turn(stream, SIDE_READ);
	} while (result == -EAGAIN && (step = stoa_waiter_step(&waiter)) == 0);
	stoa_waiter_fini(&waiter);
	return step < 0 ? step : result;
}

static int resize(struct stoa_stream *stream, uint64_t pages,
                  struct stoa_deadline deadline)
{
	for (;;) {
		struct stoa_deadline slice = deadline;
		int result = stream_take_lock(stream, SIDE_WRITE, deadline);

		if (result < 0)
			return result;
		if (stoa_deadline_left(deadline) > FIT_NS)
			slice = stoa_deadline_in(FIT_NS);
		result = try_switch(stream, pages, slice);
		stream_leave_turn(stream, SIDE_WRITE);
		if (result == 0)
			stoa_event_broadcast(&stream->object);
		if (result != -ETIMEDOUT || stoa_deadline_left(deadline) == 0)
			return result;
	}
}

int stoa_stream_resize(struct stoa_stream *stream, uint64_t capacity,
                       struct stoa_deadline deadline)
{
	uint64_t pages = capacity / STREAM_PAGE +
	                 (capacity % STREAM_PAGE != 0);
	int result = stoa_object_enter(&stream->object);

	if (result == 0)
		result = stoa_object_health(&stream->object);
	if (result < 0)
		return result;
	if (pages == 0 || pages > stream->max_capacity / STREAM_PAGE)
		return stoa_fail(-EINVAL,
		                 "stream %s can have 1 to %llu bytes, as it "
		                 "was made, not %llu",
		                 stream->object.name,
		                 (unsigned long long)stream->max_capacity,
		                 (unsigned long long)capacity);
	result = (int)stream_end_call(stream, resize(stream, pages, deadline));
	if (result == 0 && stream->twin)
		result = stoa_stream_resize(stream->twin, capacity, deadline);
	return result;
}
