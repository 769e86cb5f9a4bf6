/* SPDX-License-Identifier: MIT */
/* Processes that allocate, publish and use blocks of a heap, and end in all
 * manners. */
#include "support.h"

#include <memory/heap_layout.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { BYTES = 1 << 19, WORKERS = 4, KILLS = 120, ROOTS = 6 };

static const struct stoa_heap_attributes attributes = {
	.size = sizeof(attributes), .bytes = BYTES, .threads = 16,
	.roots = ROOTS + 2, .references = 32
};

struct stage {
	struct stoa_space *space;
	struct stoa_heap *heap;
	void *memory;
	uint64_t capacity;
};

static struct stoa_heap_status status_of(struct stage *stage)
{
	struct stoa_heap_status status = { .size = sizeof(status) };

	assert_ok(stoa_heap_stat(stage->heap, &status));
	return status;
}

static struct stage begin(int where)
{
	struct stage stage = { .space = open_space() };

	stage.memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(stage.memory, MAP_FAILED);
	if (where == 2)
		assert_ok(stoa_heap_place(stage.space, stage.memory, BYTES,
		                          STOA_CREATE, &attributes,
		                          &stage.heap));
	else
		assert_ok(stoa_heap_open(stage.space, where ? NULL : "h",
		                         STOA_CREATE, 0600, &attributes,
		                         &stage.heap));
	stage.capacity = status_of(&stage).capacity;
	return stage;
}

static void finish(struct stage *stage)
{
	stoa_heap_close(stage->heap);
	munmap(stage->memory, BYTES);
	stoa_space_close(stage->space);
}

#define EVERYWHERE(stage)                                               \
	for (int where = 0; where < 3; where++)                         \
		for (struct stage stage = begin(where), *once_ = &stage; \
		     once_; finish(&stage), once_ = NULL)

static void assert_all_there(struct stage *stage)
{
	struct stoa_heap_status status = status_of(stage);
	uint64_t all = 0;

	assert_int_equal(status.used, 0);
	assert_ok(stoa_heap_allocate(stage->heap, stage->capacity, 0, &all));
	memset(stoa_heap_at(stage->heap, all, 1), 0, stage->capacity);
	assert_ok(stoa_heap_free(stage->heap, all));
}

static const uint64_t sizes[] = { 50, 200, 1000, 5000, 17000, 64, 30000 };

static void allocate_all_sizes(void *context)
{
	struct stage *stage = context;
	uint64_t offset;

	for (size_t i = 0; i < LENGTH(sizes); i++)
		assert_ok(stoa_heap_allocate(stage->heap, sizes[i], 0,
		                             &offset));
	report(0);
	await_order();
}

TEST(what_the_dead_had_not_published_is_free)
{
	EVERYWHERE(stage)
	{
		struct child child = start_child(allocate_all_sizes, &stage);

		await_report(&child);
		assert_int_equal(status_of(&stage).held, LENGTH(sizes));
		kill_child(&child);
		struct stoa_heap_status status = status_of(&stage);
		assert_int_equal(status.collected, LENGTH(sizes));
		assert_int_equal(status.held, 0);
		assert_all_there(&stage);
	}
}

TEST(who_needs_room_finds_that_of_the_dead)
{
	EVERYWHERE(stage)
	{
		struct child child = start_child(allocate_all_sizes, &stage);
		uint64_t all;

		await_report(&child);
		kill_child(&child);
		assert_ok(stoa_heap_allocate(stage.heap, stage.capacity, 0,
		                             &all));
		assert_ok(stoa_heap_free(stage.heap, all));
	}
}

static void publish_and_retain(void *context)
{
	struct stage *stage = context;
	uint64_t kept, rooted, retained;

	assert_ok(stoa_heap_allocate(stage->heap, 100, 0, &kept));
	assert_ok(stoa_heap_publish(stage->heap, kept));
	assert_ok(stoa_heap_allocate(stage->heap, 30000, 0, &rooted));
	assert_ok(stoa_heap_root_set(stage->heap, "rooted", rooted));
	assert_ok(stoa_heap_allocate(stage->heap, 100, 0, &retained));
	assert_ok(stoa_heap_root_set(stage->heap, "gone", retained));
	assert_ok(stoa_heap_root_get(stage->heap, "gone", &retained));
	assert_ok(stoa_heap_root_set(stage->heap, "gone", 0));
	report((int64_t)kept);
	await_order();
}

TEST(what_the_dead_published_stays_and_what_they_used_does_not)
{
	EVERYWHERE(stage)
	{
		struct child child = start_child(publish_and_retain, &stage);
		uint64_t kept = (uint64_t)await_report(&child), rooted;

		assert_int_equal(status_of(&stage).published, 3);
		kill_child(&child);
		struct stoa_heap_status status = status_of(&stage);
		assert_int_equal(status.published, 2);
		assert_int_equal(status.references, 0);
		assert_ok(stoa_heap_drop(stage.heap, kept));
		assert_ok(stoa_heap_root_get(stage.heap, "rooted", &rooted));
		assert_ok(stoa_heap_root_set(stage.heap, "rooted", 0));
		assert_ok(stoa_heap_release(stage.heap, rooted));
		assert_all_there(&stage);
	}
}

TEST(a_child_holds_for_itself)
{
	EVERYWHERE(stage)
	{
		uint64_t offset;
		struct child child;

		assert_ok(stoa_heap_allocate(stage.heap, 100, 0, &offset));
		child = start_child(allocate_all_sizes, &stage);
		await_report(&child);
		kill_child(&child);
		assert_int_equal(status_of(&stage).held, 1);
		assert_ok(stoa_heap_free(stage.heap, offset));
		assert_all_there(&stage);
	}
}

TEST(a_stopped_process_keeps_what_it_holds_and_no_more)
{
	EVERYWHERE(stage)
	{
		struct child child = start_child(allocate_all_sizes, &stage);
		uint64_t offset, got = 0;

		await_report(&child);
		stop_child(&child);
		while (stoa_heap_allocate(stage.heap, 64, 0, &offset) == 0)
			got++;
		assert_true(got > stage.capacity / 64 / 2);
		continue_child(&child);
		kill_child(&child);
	}
}

/* As if it had been killed while it changed roots: `dirty`, a block that says
 * it is a root's and is not, and the turn. */
TEST(what_a_death_left_half_done_is_mended)
{
	EVERYWHERE(stage)
	{
		char *base = where == 2 ? stage.memory : NULL;
		uint64_t offset;

		if (!base)
			continue;
		struct heap_place *place = (void *)base;
		assert_ok(stoa_heap_allocate(stage.heap, 100, 0, &offset));
		assert_ok(stoa_heap_root_set(stage.heap, "r", offset));
		struct heap_root *roots =
			(void *)(base + sizeof(*place) +
		                 attributes.threads * sizeof(struct slab_desk));
		assert_int_equal(roots[0].offset, offset);
		roots[0].offset = 0;
		place->turn.dirty = 1;
		place->turn.lock.word = 0x1234;
		assert_all_there(&stage);
	}
}

static void take_all_seats(void *context)
{
	struct stage *stage = context;
	struct stoa_heap *heap;

	for (int i = 1; i < SEAT_FIRST_CHUNK; i++)
		assert_ok(stoa_heap_open(stage->space, "h", 0, 0, NULL, &heap));
	report(0);
	await_order();
}

TEST(who_finds_all_seats_taken_by_the_dead_gets_one)
{
	struct stage stage = begin(0);
	struct child child = start_child(take_all_seats, &stage);
	struct stoa_heap *heap;

	await_report(&child);
	kill_child(&child);
	assert_ok(stoa_heap_open(stage.space, "h", 0, 0, NULL, &heap));
	stoa_heap_close(heap);
	assert_all_there(&stage);
	finish(&stage);
}

static void retain_root(void *context)
{
	struct stage *stage = context;
	uint64_t offset;

	assert_ok(stoa_heap_root_get(stage->heap, "r", &offset));
	report(0);
	await_order();
}

TEST(a_block_that_only_the_dead_used_is_found_when_there_is_no_other)
{
	EVERYWHERE(stage)
	{
		uint64_t offset, more;
		struct child child;

		assert_ok(stoa_heap_allocate(stage.heap, 64, 0, &offset));
		assert_ok(stoa_heap_root_set(stage.heap, "r", offset));
		child = start_child(retain_root, &stage);
		await_report(&child);
		assert_ok(stoa_heap_root_set(stage.heap, "r", 0));
		while (stoa_heap_allocate(stage.heap, 64, 0, &more) == 0)
			;
		kill_child(&child);
		assert_ok(stoa_heap_allocate(stage.heap, 64, 0, &more));
		assert_int_equal(more, offset);
		assert_result(stoa_heap_allocate(stage.heap, 64, 0, &more),
		           -ENOSPC);
	}
}

static void allocate_without_a_desk(void *context)
{
	struct stage *stage = context;
	uint64_t offset;

	assert_result(stoa_heap_allocate(stage->heap, 64, 0, &offset), -EUSERS);
}

static void fork_without_a_desk(void *context)
{
	struct child child;

	allocate_without_a_desk(context);
	child = start_child(allocate_without_a_desk, context);
	end_child(&child);
}

/* The grandchild is nobody at first, as is who has no desk. */
TEST(a_child_of_one_who_got_no_desk_gets_none)
{
	EVERYWHERE(stage)
	{
		struct stoa_heap_attributes one = attributes;
		struct stage few = stage;
		uint64_t offset;
		struct child child;

		one.threads = 1;
		assert_ok(stoa_heap_open(stage.space, NULL, STOA_CREATE, 0600,
		                         &one, &few.heap));
		assert_ok(stoa_heap_allocate(few.heap, 64, 0, &offset));
		child = start_child(fork_without_a_desk, &few);
		end_child(&child);
		stoa_heap_close(few.heap);
	}
}

static void use_it_and_die(void *context)
{
	struct stage *stage = context;
	struct stoa_heap *heap;

	assert_ok(stoa_heap_open(stage->space, "h", 0, 0, NULL, &heap));
	report(0);
	await_order();
}

/* As if this handle's thread were stopped while it has the turn. */
TEST(opening_waits_for_nobody_s_turn)
{
	struct stage stage = begin(0);
	struct child child = start_child(use_it_and_die, &stage);
	uint64_t offset;
	struct stoa_heap *heap;
	struct heap_place *place;
	struct slab_desk *desk;

	await_report(&child);
	assert_ok(stoa_heap_allocate(stage.heap, 100, 0, &offset));
	place = (void *)((char *)stoa_heap_at(stage.heap, offset, 1) - offset);
	desk = (void *)(place + 1);
	for (uint32_t i = 0; i < attributes.threads; i++)
		if (desk[i].agent != 0)
			place->turn.lock.word = (desk[i].generation + 1) << 12 |
			                        i;
	kill_child(&child);
	assert_ok(stoa_heap_open(stage.space, "h", 0, 0, NULL, &heap));
	place->turn.lock.word = 0;
	stoa_heap_close(heap);
	assert_ok(stoa_heap_free(stage.heap, offset));
	assert_all_there(&stage);
	finish(&stage);
}

/* ---- Random kills -------------------------------------------------------------------- */

static void check_and_free(struct stage *stage, const uint64_t *offset,
                           const uint64_t *size, uint64_t count, uint64_t seed)
{
	for (uint64_t i = 0; i < count; i++) {
		assert_true(has_pattern(stoa_heap_at(stage->heap, offset[i],
		                                     size[i]),
		                        size[i], seed + i));
		assert_ok(stoa_heap_free(stage->heap, offset[i]));
	}
}

static void work_alone(void *context)
{
	struct stage *stage = context;
	uint64_t seed = (uint64_t)getpid(), offset[20], size[20];

	report(0);
	for (;;) {
		uint64_t mark = seed, count = 0;

		for (; count < 1 + random_below(&seed, 20); count++) {
			size[count] = sizes[random_below(&seed, LENGTH(sizes))];
			if (stoa_heap_allocate(stage->heap, size[count], 0,
			                       &offset[count]) < 0)
				break;
			fill_pattern(stoa_heap_at(stage->heap, offset[count],
			                          size[count]),
			             size[count], mark + count);
		}
		check_and_free(stage, offset, size, count, mark);
	}
}

struct leaf {
	uint64_t bytes, seed;
	unsigned char data[];
};

/* Roots are replaced and read by all; what is found under one is whole. */
static void work_together(void *context)
{
	struct stage *stage = context;
	uint64_t seed = (uint64_t)getpid(), offset;
	struct leaf *leaf;

	report(0);
	for (;;) {
		uint64_t bytes = sizes[random_below(&seed, LENGTH(sizes))];
		char name[2] = { (char)('a' + random_below(&seed, ROOTS)) };
		int result = 0;

		if (random_below(&seed, 3) == 0) {
			result = stoa_heap_allocate(stage->heap, bytes, 0,
			                            &offset);
			if (result < 0)
				continue;
			leaf = stoa_heap_at(stage->heap, offset, bytes);
			leaf->bytes = bytes - sizeof(*leaf);
			leaf->seed = seed;
			fill_pattern(leaf->data, leaf->bytes, leaf->seed);
			assert_ok(stoa_heap_root_set(stage->heap, name,
			                             offset));
			continue;
		}
		if (random_below(&seed, 8) == 0) {
			result = stoa_heap_root_set(stage->heap, name, 0);
			assert_true(result == 0 || result == -ENOENT);
			continue;
		}
		result = stoa_heap_root_get(stage->heap, name, &offset);
		assert_true(result == 0 || result == -ENOENT);
		if (result < 0)
			continue;
		leaf = stoa_heap_at(stage->heap, offset, sizeof(*leaf));
		assert_non_null(leaf);
		assert_true(has_pattern(leaf->data, leaf->bytes, leaf->seed));
		assert_ok(stoa_heap_release(stage->heap, offset));
	}
}

static void kill_at_random(struct stage *stage, void (*work)(void *context))
{
	struct child child[WORKERS];
	uint64_t seed = run_seed();

	for (int i = 0; i < WORKERS; i++)
		child[i] = start_child(work, stage);
	for (int i = 0; i < KILLS; i++) {
		struct child *victim = &child[random_below(&seed, WORKERS)];
		volatile uint64_t spins = random_below(&seed, 200000);

		await_report(victim);
		while (spins > 0)
			spins--;
		kill_child(victim);
		*victim = start_child(work, stage);
	}
	for (int i = 0; i < WORKERS; i++)
		kill_child(&child[i]);
}

TEST(nothing_is_lost_or_had_twice_whoever_is_killed_whenever)
{
	EVERYWHERE(stage)
	{
		kill_at_random(&stage, work_alone);
		assert_all_there(&stage);
	}
}

TEST(roots_are_whole_whoever_is_killed_whenever)
{
	EVERYWHERE(stage)
	{
		kill_at_random(&stage, work_together);
		for (int i = 0; i < ROOTS; i++) {
			char name[2] = { (char)('a' + i) };
			int result = stoa_heap_root_set(stage.heap, name, 0);

			assert_true(result == 0 || result == -ENOENT);
		}
		assert_all_there(&stage);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(what_the_dead_had_not_published_is_free),
	CASE(who_needs_room_finds_that_of_the_dead),
	CASE(what_the_dead_published_stays_and_what_they_used_does_not),
	CASE(a_child_holds_for_itself),
	CASE(a_stopped_process_keeps_what_it_holds_and_no_more),
	CASE(what_a_death_left_half_done_is_mended),
	CASE(who_finds_all_seats_taken_by_the_dead_gets_one),
	CASE(a_block_that_only_the_dead_used_is_found_when_there_is_no_other),
	CASE(a_child_of_one_who_got_no_desk_gets_none),
	CASE(opening_waits_for_nobody_s_turn),
	CASE(nothing_is_lost_or_had_twice_whoever_is_killed_whenever),
	CASE(roots_are_whole_whoever_is_killed_whenever),
};

MAIN(cases)
