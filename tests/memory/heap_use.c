/* SPDX-License-Identifier: MIT */
/* A heap in one process: what each call gives and refuses. */
#include "support.h"

#include <memory/heap_layout.h>
#include <pthread.h>
#include <sys/mman.h>

enum { HEAP_BYTES = 1 << 20, SMALL_HEAP = 1 << 16, MANY = 20000 };

static struct stoa_heap_attributes attributes(uint64_t bytes)
{
	return (struct stoa_heap_attributes){
		.size = sizeof(struct stoa_heap_attributes), .bytes = bytes,
		.threads = 8, .roots = 4, .references = 8
	};
}

static struct stoa_heap *make(struct stoa_space *space, const char *name,
                              uint64_t bytes)
{
	struct stoa_heap_attributes wanted = attributes(bytes);
	struct stoa_heap *heap;

	assert_ok(stoa_heap_open(space, name, STOA_CREATE, 0600, &wanted,
	                         &heap));
	return heap;
}

static void *shared_memory(void)
{
	void *memory = mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static uint64_t allocate(struct stoa_heap *heap, uint64_t bytes)
{
	uint64_t offset = 0;

	assert_ok(stoa_heap_allocate(heap, bytes, 0, &offset));
	assert_true(offset > 0);
	assert_true(stoa_heap_size(heap, offset) >= (int64_t)bytes);
	assert_non_null(stoa_heap_at(heap, offset, bytes));
	assert_int_equal(offset % 64, 0);
	return offset;
}

static struct stoa_heap_status status_of(struct stoa_heap *heap)
{
	struct stoa_heap_status status = { .size = sizeof(status) };

	assert_ok(stoa_heap_stat(heap, &status));
	return status;
}

static void assert_empty_heap(struct stoa_heap *heap)
{
	struct stoa_heap_status status = status_of(heap);
	uint64_t all;

	assert_int_equal(status.used, 0);
	assert_int_equal(status.held + status.published, 0);
	assert_int_equal(status.references, 0);
	/* All of it in one piece. */
	all = allocate(heap, status.capacity);
	assert_ok(stoa_heap_free(heap, all));
}

/* Allocates until there is no room, in blocks of these sizes by turns; each is
 * what it should be; frees them all. How many there were. */
static uint64_t fill(struct stoa_heap *heap, const uint64_t *sizes,
                     size_t count)
{
	uint64_t *offset = calloc(MANY, sizeof(*offset)), more, got = 0;

	while (got < MANY && stoa_heap_allocate(heap, sizes[got % count], 0,
	                                        &offset[got]) == 0) {
		fill_pattern(stoa_heap_at(heap, offset[got],
		                          sizes[got % count]),
		             sizes[got % count], got);
		got++;
	}
	assert_true(got < MANY);
	assert_result(stoa_heap_allocate(heap, sizes[got % count], 0, &more),
	              -ENOSPC);
	for (uint64_t i = 0; i < got; i++) {
		assert_true(has_pattern(stoa_heap_at(heap, offset[i],
		                                     sizes[i % count]),
		                        sizes[i % count], i));
		assert_ok(stoa_heap_free(heap, offset[i]));
		assert_result(stoa_heap_free(heap, offset[i]) < 0, 1);
	}
	free(offset);
	return got;
}

TEST(all_of_it_can_be_had_in_blocks_of_any_size)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	uint64_t capacity = status_of(heap).capacity;

	assert_true(capacity > HEAP_BYTES * 4 / 5);
	for (uint64_t size = 1; size <= 4 * STOA_HEAP_SMALL_MAX;
	     size = size * 5 / 4 + 1) {
		uint64_t got = fill(heap, &size, 1);

		assert_true(got * (size + size / 4 + 4096) > capacity * 3 / 4);
		assert_empty_heap(heap);
	}
	stoa_heap_close(heap);
	stoa_space_close(space);
}

/* Slabs of the larger ones have four blocks; the last of the room has none. */
TEST(a_large_heap_gives_all_of_it_in_blocks_up_to_64_KiB)
{
	static const uint64_t sizes[] = { 16385, 20000, 40960, 40961, 65535,
		                          65536, 65537, 300000 };
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", 32 * HEAP_BYTES);
	uint64_t capacity = status_of(heap).capacity, at;

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		uint64_t got = fill(heap, &sizes[i], 1);

		assert_true((got + 1) * (sizes[i] + sizes[i] / 4 + 4096) >
		            capacity);
		assert_empty_heap(heap);
	}
	assert_ok(stoa_heap_allocate(heap, 65536, 4096, &at));
	assert_int_equal((uintptr_t)stoa_heap_at(heap, at, 65536) % 4096, 0);
	assert_ok(stoa_heap_resize(heap, at, 30000, &at));
	assert_ok(stoa_heap_resize(heap, at, 200000, &at));
	assert_ok(stoa_heap_resize(heap, at, 60000, &at));
	assert_int_equal(stoa_heap_size(heap, at), 65536);
	assert_ok(stoa_heap_free(heap, at));
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(blocks_of_all_sizes_live_side_by_side)
{
	static const uint64_t sizes[] = { 1,    64,   65,    700,   4096,
		                          5000, 16384, 16385, 40000, 130 };
	static const uint64_t heaps[] = { SMALL_HEAP, HEAP_BYTES,
		                          16 * HEAP_BYTES, 32 * HEAP_BYTES };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(heaps); i++) {
		struct stoa_heap *heap = make(space, NULL, heaps[i]);

		for (int round = 0; round < 3; round++)
			if (heaps[i] / 8000 < MANY / 4)
				fill(heap, sizes, LENGTH(sizes));
		assert_empty_heap(heap);
		stoa_heap_close(heap);
	}
	stoa_space_close(space);
}

TEST(every_size_and_alignment_is_kept)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);

	for (uint64_t alignment = 1; alignment <= STOA_HEAP_ALIGNMENT_MAX;
	     alignment *= 2)
		for (uint64_t bytes = 1; bytes < 40000; bytes += bytes / 3 + 1) {
			uint64_t one, two;
			char *data;

			assert_ok(stoa_heap_allocate(heap, bytes, alignment,
			                             &one));
			assert_ok(stoa_heap_allocate(heap, bytes, alignment,
			                             &two));
			data = stoa_heap_at(heap, one, bytes);
			assert_int_equal((uintptr_t)data % alignment, 0);
			assert_int_equal(two % alignment, 0);
			assert_true(stoa_heap_size(heap, one) >=
			            (int64_t)bytes);
			assert_ok(stoa_heap_free(heap, one));
			assert_ok(stoa_heap_free(heap, two));
		}
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(a_block_can_be_resized)
{
	static const uint64_t sizes[] = { 10, 64, 100, 5000, 4000, 20000,
		                          100000, 30000, 200, 300000, 1 };
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	uint64_t offset = allocate(heap, 1), had = 1, to = 1;

	fill_pattern(stoa_heap_at(heap, offset, had), had, 7);
	for (size_t i = 0; i < LENGTH(sizes); i++) {
		uint64_t common = sizes[i] < had ? sizes[i] : had;

		assert_ok(stoa_heap_resize(heap, offset, sizes[i], &offset));
		had = sizes[i];
		assert_true(has_pattern(stoa_heap_at(heap, offset, had),
		                        common, 7));
		fill_pattern(stoa_heap_at(heap, offset, had), had, 7);
	}
	assert_int_equal(status_of(heap).held, 1);
	/* No room: it stays as it was. */
	assert_result(stoa_heap_resize(heap, offset, HEAP_BYTES, &to), -ENOSPC);
	assert_result(stoa_heap_resize(heap, offset, 0, &to), -EINVAL);
	assert_int_equal(to, 1);
	assert_true(has_pattern(stoa_heap_at(heap, offset, had), had, 7));
	assert_ok(stoa_heap_free(heap, offset));
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(offsets_that_are_no_blocks_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	uint64_t small = allocate(heap, 100), large = allocate(heap, 50000);
	uint64_t bad[] = { 0,         1,          64,
		           4096,      small + 64, small + 1,
		           large + 64, large + 4096, HEAP_BYTES,
		           UINT64_MAX, UINT64_MAX - 63, small - 128 };
	uint64_t found = 1;

	for (size_t i = 0; i < LENGTH(bad); i++) {
		assert_null(stoa_heap_at(heap, bad[i], 1));
		assert_true(stoa_heap_size(heap, bad[i]) < 0);
		assert_true(stoa_heap_free(heap, bad[i]) < 0);
		assert_true(stoa_heap_publish(heap, bad[i]) < 0);
		assert_true(stoa_heap_keep(heap, bad[i]) < 0);
		assert_true(stoa_heap_drop(heap, bad[i]) < 0);
		assert_true(stoa_heap_retain(heap, bad[i]) < 0);
		assert_true(stoa_heap_release(heap, bad[i]) < 0);
		assert_true(stoa_heap_resize(heap, bad[i], 1, &found) < 0);
		assert_true(i == 0 ||
		            stoa_heap_root_set(heap, "r", bad[i]) < 0);
	}
	assert_non_null(stoa_heap_at(heap, small, 128));
	assert_null(stoa_heap_at(heap, small, 129));
	assert_sentence("has 128 bytes");
	assert_null(stoa_heap_at(heap, large, 1 << 20));
	assert_ok(stoa_heap_offset(heap, stoa_heap_at(heap, large, 1), &found));
	assert_int_equal(found, large);
	assert_result(stoa_heap_offset(heap, &found, &found), -EINVAL);
	assert_ok(stoa_heap_free(heap, small));
	assert_result(stoa_heap_free(heap, small), -ESTALE);
	assert_sentence("is free");
	assert_ok(stoa_heap_free(heap, large));
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(a_published_block_lives_as_long_as_something_keeps_it)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	static const uint64_t sizes[] = { 100, 50000 };

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		uint64_t block = allocate(heap, sizes[i]);

		assert_result(stoa_heap_keep(heap, block), -EPERM);
		assert_result(stoa_heap_retain(heap, block), -EPERM);
		assert_ok(stoa_heap_publish(heap, block));
		assert_result(stoa_heap_publish(heap, block), -EPERM);
		assert_result(stoa_heap_free(heap, block), -EPERM);
		assert_result(stoa_heap_resize(heap, block, 1, &block), -EPERM);
		assert_result(stoa_heap_release(heap, block), -EPERM);
		assert_ok(stoa_heap_keep(heap, block));
		assert_ok(stoa_heap_retain(heap, block));
		assert_ok(stoa_heap_retain(heap, block));
		assert_ok(stoa_heap_drop(heap, block));
		assert_ok(stoa_heap_drop(heap, block));
		assert_result(stoa_heap_drop(heap, block), -EPERM);
		assert_ok(stoa_heap_release(heap, block));
		assert_int_equal(status_of(heap).published, 1);
		assert_int_equal(status_of(heap).references, 1);
		assert_ok(stoa_heap_release(heap, block));
		assert_result(stoa_heap_release(heap, block), -ESTALE);
		assert_empty_heap(heap);
	}
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(roots_are_set_found_and_replaced)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES), *other;
	uint64_t one = allocate(heap, 100), two = allocate(heap, 100), got = 0;

	assert_result(stoa_heap_root_get(heap, "r", &got), -ENOENT);
	assert_result(stoa_heap_root_set(heap, "r", 0), -ENOENT);
	assert_ok(stoa_heap_root_set(heap, "r", one));
	assert_ok(stoa_heap_root_set(heap, "r", one));
	assert_result(stoa_heap_root_set(heap, "s", one), -EEXIST);
	assert_ok(stoa_heap_open(space, "h", 0, 0, NULL, &other));
	assert_ok(stoa_heap_root_get(other, "r", &got));
	assert_int_equal(got, one);
	assert_ok(stoa_heap_root_set(heap, "r", two));
	/* Who has it still may use it. */
	assert_int_equal(status_of(heap).published, 2);
	assert_ok(stoa_heap_release(other, one));
	assert_int_equal(status_of(heap).published, 1);
	assert_ok(stoa_heap_keep(heap, two));
	assert_ok(stoa_heap_root_set(heap, "r", 0));
	assert_result(stoa_heap_root_get(heap, "r", &got), -ENOENT);
	assert_ok(stoa_heap_root_set(heap, "s", two));
	assert_ok(stoa_heap_drop(heap, two));
	assert_int_equal(status_of(heap).roots, 1);
	assert_ok(stoa_heap_root_set(heap, "s", 0));
	stoa_heap_close(other);
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(there_are_as_many_roots_and_references_as_it_was_made_for)
{
	static const char *const bad[] = { "", "a b", "a/b", NULL,
		                           "12345678901234567890123456789012345"
		                           "678901234567890123456" };
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	uint64_t block[9], got = 0;
	char name[2] = "a";

	for (size_t i = 0; i < LENGTH(bad); i++) {
		assert_result(stoa_heap_root_set(heap, bad[i], 0), -EINVAL);
		assert_result(stoa_heap_root_get(heap, bad[i], &got), -EINVAL);
	}
	for (int i = 0; i < 9; i++)
		block[i] = allocate(heap, 1);
	for (int i = 0; i < 4; i++, name[0]++)
		assert_ok(stoa_heap_root_set(heap, name, block[i]));
	assert_result(stoa_heap_root_set(heap, name, block[4]), -ENOSPC);
	for (int i = 4; i < 9; i++)
		assert_ok(stoa_heap_publish(heap, block[i]));
	for (int i = 0; i < 8; i++)
		assert_ok(stoa_heap_retain(heap, block[i]));
	assert_result(stoa_heap_retain(heap, block[8]), -ENOSPC);
	assert_result(stoa_heap_root_get(heap, name, &got), -ENOENT);
	assert_ok(stoa_heap_retain(heap, block[0]));
	stoa_heap_close(heap);
	stoa_space_close(space);
}

static int see_root(const struct stoa_heap_root *root, void *context)
{
	*(uint64_t *)context += root->offset;
	assert_string_equal(root->name, "table");
	return 0;
}

static int see_use(const struct stoa_heap_use *use, void *context)
{
	uint64_t *sum = context;

	*sum += use->offset;
	assert_int_equal(use->holder == 0, use->rooted || use->kept != 0);
	return 0;
}

TEST(what_is_in_it_can_be_seen)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	uint64_t one = allocate(heap, 100), two = allocate(heap, 50000),
		 three = allocate(heap, 3000), sum = 0;
	struct stoa_heap_status wrong = { .size = 1 };

	assert_ok(stoa_heap_root_set(heap, "table", two));
	assert_ok(stoa_heap_publish(heap, three));
	assert_result(stoa_heap_each_root(heap, see_root, &sum), 1);
	assert_int_equal(sum, two);
	sum = 0;
	assert_result(stoa_heap_each(heap, see_use, &sum), 3);
	assert_int_equal(sum, one + two + three);
	assert_int_equal(status_of(heap).held, 1);
	assert_int_equal(status_of(heap).published, 2);
	assert_int_equal(status_of(heap).slabs, 2);
	assert_int_equal(status_of(heap).users, 1);
	assert_int_equal(status_of(heap).threads, 1);
	assert_result(stoa_heap_stat(heap, &wrong), -EINVAL);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(attributes_and_memory_that_cannot_be_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_heap_attributes bad[] = {
		attributes(0), attributes(4096),
		attributes(STOA_HEAP_BYTES_MAX * 2), attributes(SMALL_HEAP),
		attributes(SMALL_HEAP), attributes(SMALL_HEAP),
		attributes(SMALL_HEAP)
	};
	char *memory = shared_memory();
	struct stoa_heap *heap = NULL;

	bad[3].size--;
	bad[4].reserved[0] = 1;
	bad[5].threads = 4097;
	bad[6].roots = 4096;
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_result(stoa_heap_open(space, "h", STOA_CREATE, 0600,
		                             &bad[i], &heap),
		              -EINVAL);
	assert_result(stoa_heap_open(space, "h", STOA_READ, 0, NULL, &heap),
	              -EINVAL);
	assert_result(stoa_heap_open(space, "h", 0, 0, NULL, &heap), -ENOENT);
	assert_result(stoa_heap_place(space, memory + 64, HEAP_BYTES / 2,
	                              STOA_CREATE, NULL, &heap),
	              -EINVAL);
	assert_result(stoa_heap_place(space, memory, 4096, STOA_CREATE, NULL,
	                              &heap),
	              -EINVAL);
	assert_result(stoa_heap_place(space, memory, HEAP_BYTES, 0, NULL,
	                              &heap),
	              -EPROTO);
	assert_ok(stoa_heap_place(space, memory, HEAP_BYTES, STOA_CREATE, NULL,
	                          &heap));
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	assert_ok(stoa_heap_place(space, memory, HEAP_BYTES, 0, NULL, &heap));
	stoa_heap_close(heap);
	((struct heap_place *)memory)->shared.units--;
	assert_result(stoa_heap_place(space, memory, HEAP_BYTES, 0, NULL,
	                              &heap),
	              -EUCLEAN);
	munmap(memory, HEAP_BYTES);
	stoa_space_close(space);
}

TEST(writing_past_the_end_spoils_the_neighbour_alone)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	uint64_t block = allocate(heap, 64), capacity;

	capacity = status_of(heap).capacity;
	memset(stoa_heap_at(heap, block, 64), 0xff, capacity - 4096);
	assert_ok(stoa_heap_free(heap, block));
	fill(heap, (uint64_t[]){ 64, 3000, 30000 }, 3);
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(removal_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	uint64_t block = allocate(heap, 64), more = 1;

	assert_ok(stoa_heap_remove(heap));
	assert_result(stoa_heap_allocate(heap, 64, 0, &more), -EIDRM);
	assert_result(stoa_heap_free(heap, block), -EIDRM);
	assert_result(stoa_heap_publish(heap, block), -EIDRM);
	assert_result(stoa_heap_retain(heap, block), -EIDRM);
	assert_result(stoa_heap_root_set(heap, "r", block), -EIDRM);
	assert_result(stoa_heap_size(heap, block), -EIDRM);
	assert_null(stoa_heap_at(heap, block, 1));
	stoa_heap_close(heap);
	stoa_space_close(space);
}

/* ---- Threads --------------------------------------------------------------------- */

static void *take_and_free_some(void *context)
{
	uint64_t offset[50];

	for (int i = 0; i < 50; i++)
		require(stoa_heap_allocate(context, 100 + (uint64_t)i * 50, 0,
		                           &offset[i]) == 0);
	for (int i = 0; i < 50; i++)
		require(stoa_heap_free(context, offset[i]) == 0);
	return NULL;
}

/* What a thread had to itself is no loss when it is idle, or has ended. */
TEST(no_room_is_out_of_reach)
{
	struct stoa_space *space = open_space();
	struct stoa_heap *heap = make(space, "h", HEAP_BYTES);
	pthread_t thread;

	take_and_free_some(heap);
	assert_int_equal(pthread_create(&thread, NULL, take_and_free_some,
	                                heap),
	                 0);
	pthread_join(thread, NULL);
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	stoa_space_close(space);
}

TEST(a_full_tmpfs_is_told_and_leaves_nothing)
{
	struct stoa_heap_attributes wanted = attributes(8 << 20);
	struct stoa_space *space;
	struct stoa_heap *heap = NULL;

	mount_small_space("2m");
	space = open_space();
	assert_result(stoa_heap_open(space, "h", STOA_CREATE, 0600, &wanted,
	                             &heap),
	              -ENOSPC);
	assert_null(heap);
	heap = make(space, "h", HEAP_BYTES);
	assert_empty_heap(heap);
	stoa_heap_close(heap);
	assert_ok(stoa_heap_unlink(space, "h"));
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(all_of_it_can_be_had_in_blocks_of_any_size),
	CASE(a_large_heap_gives_all_of_it_in_blocks_up_to_64_KiB),
	CASE(blocks_of_all_sizes_live_side_by_side),
	CASE(every_size_and_alignment_is_kept),
	CASE(a_block_can_be_resized),
	CASE(offsets_that_are_no_blocks_are_refused),
	CASE(a_published_block_lives_as_long_as_something_keeps_it),
	CASE(roots_are_set_found_and_replaced),
	CASE(there_are_as_many_roots_and_references_as_it_was_made_for),
	CASE(what_is_in_it_can_be_seen),
	CASE(attributes_and_memory_that_cannot_be_are_refused),
	CASE(writing_past_the_end_spoils_the_neighbour_alone),
	CASE(removal_is_told),
	CASE(no_room_is_out_of_reach),
	CASE(a_full_tmpfs_is_told_and_leaves_nothing),
};

MAIN(cases)
