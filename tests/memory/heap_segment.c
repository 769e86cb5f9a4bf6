/* SPDX-License-Identifier: MIT */
/* Heaps and pools in a segment: one large piece of shared memory, found by its
 * name, attached wherever it fits, and larger tomorrow than today. */
#include "segment.h"

enum { FIRST = 1 << 20, SECOND_BYTES = 1 << 19, LIMIT = 4 << 20 };

static const char text[] = "the same offset everywhere";

/* A heap at the beginning of the segment. */
static struct stoa_heap *heap_in(struct stoa_space *space,
                                 struct stoa_segment *segment, uint64_t from,
                                 uint64_t bytes, unsigned flags)
{
	struct stoa_heap *heap;

	assert_ok(stoa_heap_place(space,
	                          (char *)stoa_segment_data(segment) + from,
	                          bytes, flags, NULL, &heap));
	return heap;
}

static uint64_t put(struct stoa_heap *heap, const char *root)
{
	uint64_t offset;
	char *at;

	assert_ok(stoa_heap_allocate(heap, sizeof(text), 0, &offset));
	at = stoa_heap_at(heap, offset, sizeof(text));
	assert_non_null(at);
	memcpy(at, text, sizeof(text));
	assert_ok(stoa_heap_root_set(heap, root, offset));
	return offset;
}

static void assert_root(struct stoa_heap *heap, const char *root)
{
	uint64_t offset;

	assert_ok(stoa_heap_root_get(heap, root, &offset));
	assert_string_equal(stoa_heap_at(heap, offset, sizeof(text)), text);
	assert_ok(stoa_heap_release(heap, offset));
}

static struct stoa_heap_status status_of(struct stoa_heap *heap)
{
	struct stoa_heap_status status = { .size = sizeof(status) };

	assert_ok(stoa_heap_stat(heap, &status));
	return status;
}

/* Another process, that has nothing of its parent's but the names. */
static void join_and_use(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *segment = join_segment(space, "s", STOA_WRITE);
	struct stoa_heap *heap = heap_in(space, segment, 0, FIRST, 0);
	uint64_t held;

	assert_ptr_not_equal(stoa_segment_data(segment), context);
	assert_root(heap, "of-the-parent");
	put(heap, "of-the-child");
	assert_ok(stoa_heap_allocate(heap, 5000, 0, &held));
	report(0);
	await_order();
}

TEST(a_heap_in_a_segment_is_found_by_name_and_survives_its_users)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *segment =
		make_segment(space, "s", STOA_WRITE, FIRST, LIMIT);
	struct stoa_heap *heap =
		heap_in(space, segment, 0, FIRST, STOA_CREATE);
	struct child child;

	put(heap, "of-the-parent");
	child = start_child(join_and_use, stoa_segment_data(segment));
	await_report(&child);
	assert_int_equal(status_of(heap).held, 1);
	kill_child(&child);
	/* What it held is free, what it published stays. */
	assert_int_equal(status_of(heap).held, 0);
	assert_root(heap, "of-the-child");
	/* With nobody attached both stay, as long as the segment has its name. */
	stoa_heap_close(heap);
	stoa_segment_close(segment);
	segment = join_segment(space, "s", STOA_WRITE);
	assert_result(stoa_segment_attached(segment), 1);
	heap = heap_in(space, segment, 0, FIRST, 0);
	assert_root(heap, "of-the-parent");
	assert_root(heap, "of-the-child");
	stoa_heap_close(heap);
	close_segment(space, segment, "s");
}

static void use_what_it_has_grown_by(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *segment = join_segment(space, "s", STOA_WRITE);
	struct stoa_heap *heap, *second;

	(void)context;
	assert_int_equal(stoa_segment_size(segment), FIRST);
	heap = heap_in(space, segment, 0, FIRST, 0);
	report(0);
	await_order();
	/* From this call on what it has grown by can be touched. */
	assert_int_equal(stoa_segment_size(segment), FIRST + SECOND_BYTES);
	second = heap_in(space, segment, FIRST, SECOND_BYTES, 0);
	assert_root(heap, "first");
	assert_root(second, "second");
	stoa_heap_close(second);
	stoa_heap_close(heap);
	stoa_segment_close(segment);
	stoa_space_close(space);
}

TEST(what_a_segment_grows_by_has_room_for_another_heap)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *segment =
		make_segment(space, "s", STOA_WRITE, FIRST, LIMIT);
	struct stoa_heap *heap =
		heap_in(space, segment, 0, FIRST, STOA_CREATE);
	struct child child = start_child(use_what_it_has_grown_by, NULL);
	struct stoa_heap *second;
	uint64_t capacity = status_of(heap).capacity, all;

	await_report(&child);
	put(heap, "first");
	assert_ok(stoa_segment_resize(segment, FIRST + SECOND_BYTES));
	/* The first is what it was, where it was. */
	assert_int_equal(status_of(heap).capacity, capacity);
	second = heap_in(space, segment, FIRST, SECOND_BYTES, STOA_CREATE);
	put(second, "second");
	give_order(&child, 0);
	end_child(&child);
	assert_root(heap, "first");
	assert_ok(stoa_heap_root_set(second, "second", 0));
	assert_ok(stoa_heap_allocate(second, status_of(second).capacity, 0,
	                             &all));
	stoa_heap_close(second);
	stoa_heap_close(heap);
	close_segment(space, segment, "s");
}

static void hold_blocks(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_segment *segment = join_segment(space, "s", STOA_WRITE);
	const uint64_t *sent = context;
	struct stoa_pool *pool;
	uint64_t block;

	assert_ok(stoa_pool_place(space,
	                          (char *)stoa_segment_data(segment) + FIRST,
	                          SECOND_BYTES, 0, NULL, &pool));
	assert_ok(stoa_pool_claim(pool, *sent));
	assert_string_equal(stoa_pool_data(pool, *sent), text);
	for (int i = 0; i < 3; i++)
		assert_ok(stoa_pool_acquire(pool, STOA_NOW, &block));
	report(0);
	await_order();
}

TEST(a_pool_stands_beside_a_heap)
{
	const struct stoa_pool_attributes wanted = { .size = sizeof(wanted),
		                                     .block_bytes = 1000,
		                                     .blocks = 100 };
	struct stoa_pool_status status = { .size = sizeof(status) };
	struct stoa_space *space = open_space();
	struct stoa_segment *segment = make_segment(
		space, "s", STOA_WRITE, FIRST + SECOND_BYTES, LIMIT);
	struct stoa_heap *heap =
		heap_in(space, segment, 0, FIRST, STOA_CREATE);
	struct stoa_pool *pool;
	struct child child;
	uint64_t block;

	assert_in_range(stoa_pool_bytes(&wanted), 1, SECOND_BYTES);
	assert_ok(stoa_pool_place(space,
	                          (char *)stoa_segment_data(segment) + FIRST,
	                          SECOND_BYTES, STOA_CREATE, &wanted, &pool));
	put(heap, "beside");
	assert_ok(stoa_pool_acquire(pool, STOA_NOW, &block));
	memcpy(stoa_pool_data(pool, block), text, sizeof(text));
	assert_ok(stoa_pool_give(pool, block));
	child = start_child(hold_blocks, &block);
	await_report(&child);
	assert_ok(stoa_pool_stat(pool, &status));
	assert_int_equal(status.held, 4);
	kill_child(&child);
	assert_ok(stoa_pool_stat(pool, &status));
	assert_int_equal(status.free, 100);
	assert_root(heap, "beside");
	stoa_pool_close(pool);
	stoa_heap_close(heap);
	close_segment(space, segment, "s");
}

static const struct CMUnitTest cases[] = {
	CASE(a_heap_in_a_segment_is_found_by_name_and_survives_its_users),
	CASE(what_a_segment_grows_by_has_room_for_another_heap),
	CASE(a_pool_stands_beside_a_heap),
};

MAIN(cases)
