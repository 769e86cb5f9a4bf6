/* SPDX-License-Identifier: MIT */
/* A pool in one process: what each call gives and refuses. */
#include "support.h"

#include <memory/pool_layout.h>
#include <pthread.h>
#include <sys/mman.h>

enum { BLOCKS = 200, BLOCK_BYTES = 100, PLACE_BYTES = 1 << 20 };

static struct stoa_pool_attributes attributes(uint32_t blocks)
{
	return (struct stoa_pool_attributes){
		.size = sizeof(struct stoa_pool_attributes),
		.block_bytes = BLOCK_BYTES, .blocks = blocks, .threads = 8
	};
}

static struct stoa_pool *make(struct stoa_space *space, const char *name,
                              uint32_t blocks)
{
	struct stoa_pool_attributes wanted = attributes(blocks);
	struct stoa_pool *pool;

	assert_ok(stoa_pool_open(space, name, STOA_CREATE, 0600, &wanted,
	                         &pool));
	return pool;
}

static void *shared_memory(void)
{
	void *memory = mmap(NULL, PLACE_BYTES, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static uint64_t acquire(struct stoa_pool *pool)
{
	uint64_t block = UINT64_MAX;

	assert_ok(stoa_pool_acquire(pool, STOA_NOW, &block));
	assert_non_null(stoa_pool_data(pool, block));
	return block;
}

static struct stoa_pool_status status_of(struct stoa_pool *pool)
{
	struct stoa_pool_status status = { .size = sizeof(status) };

	assert_ok(stoa_pool_stat(pool, &status));
	return status;
}

/* Takes all there are, which must be so many, all different; frees them. */
static void assert_all_free(struct stoa_pool *pool, uint32_t blocks)
{
	uint64_t *block = calloc(blocks, sizeof(*block)), more = 0;

	for (uint32_t i = 0; i < blocks; i++) {
		block[i] = acquire(pool);
		memset(stoa_pool_data(pool, block[i]), 0, BLOCK_BYTES);
	}
	assert_result(stoa_pool_acquire(pool, STOA_NOW, &more), -EAGAIN);
	for (uint32_t i = 0; i < blocks; i++)
		*(uint32_t *)stoa_pool_data(pool, block[i]) = i + 1;
	for (uint32_t i = 0; i < blocks; i++) {
		assert_int_equal(*(uint32_t *)stoa_pool_data(pool, block[i]),
		                 i + 1);
		assert_ok(stoa_pool_release(pool, block[i]));
	}
	free(block);
}

TEST(every_block_can_be_had_once)
{
	static const uint32_t sizes[] = { 1, 2, 63, 64, 127, 128, 200, 5000 };
	struct stoa_space *space = open_space();

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		struct stoa_pool *pool = make(space, NULL, sizes[i]);

		assert_all_free(pool, sizes[i]);
		assert_all_free(pool, sizes[i]);
		stoa_pool_close(pool);
	}
	stoa_space_close(space);
}

TEST(a_placed_pool_is_found_by_another_handle)
{
	struct stoa_space *space = open_space();
	struct stoa_pool_attributes wanted = attributes(BLOCKS);
	void *memory = shared_memory();
	struct stoa_pool *pool, *other;
	uint64_t block;

	assert_true(stoa_pool_bytes(&wanted) < PLACE_BYTES);
	assert_ok(stoa_pool_place(space, memory, PLACE_BYTES, STOA_CREATE,
	                          &wanted, &pool));
	assert_ok(stoa_pool_place(space, memory, PLACE_BYTES, 0, NULL, &other));
	block = acquire(pool);
	assert_ptr_equal(stoa_pool_data(pool, block),
	                 stoa_pool_data(other, block));
	/* Blocks belong to the process, not to a handle. */
	assert_ok(stoa_pool_release(other, block));
	assert_all_free(other, BLOCKS);
	stoa_pool_close(other);
	assert_all_free(pool, BLOCKS);
	stoa_pool_close(pool);
	munmap(memory, PLACE_BYTES);
	stoa_space_close(space);
}

TEST(what_is_over_is_stale_and_what_is_not_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BLOCKS);
	uint64_t block = acquire(pool), again = 1;
	char *data = stoa_pool_data(pool, block);

	assert_ok(stoa_pool_block(pool, data, &again));
	assert_int_equal(again, block);
	assert_result(stoa_pool_block(pool, data + 1, &again), -EINVAL);
	assert_result(stoa_pool_block(pool, &space, &again), -EINVAL);
	assert_ok(stoa_pool_release(pool, block));
	assert_result(stoa_pool_release(pool, block), -ESTALE);
	assert_sentence("was released");
	assert_result(stoa_pool_claim(pool, block), -ESTALE);
	assert_result(stoa_pool_block(pool, data, &again), -ESTALE);
	assert_null(stoa_pool_data(pool, block));
	assert_result(stoa_pool_release(pool, BLOCKS), -EINVAL);
	assert_result(stoa_pool_release(pool, UINT64_MAX), -EINVAL);
	assert_result(stoa_pool_claim(pool, BLOCKS), -EINVAL);
	assert_result(stoa_pool_give(pool, BLOCKS), -EINVAL);
	assert_null(stoa_pool_data(pool, BLOCKS));
	/* The next use of the same block is another. */
	again = acquire(pool);
	assert_int_equal(again & UINT32_MAX, block & UINT32_MAX);
	assert_int_not_equal(again, block);
	assert_null(stoa_pool_data(pool, block));
	assert_ok(stoa_pool_release(pool, again));
	stoa_pool_close(pool);
	stoa_space_close(space);
}

TEST(a_block_is_given_and_claimed)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BLOCKS);
	uint64_t block = acquire(pool);

	assert_ok(stoa_pool_give(pool, block));
	assert_int_equal(status_of(pool).in_flight, 1);
	assert_result(stoa_pool_release(pool, block), -EPERM);
	assert_ok(stoa_pool_claim(pool, block));
	assert_ok(stoa_pool_claim(pool, block));
	assert_int_equal(status_of(pool).held, 1);
	assert_ok(stoa_pool_release(pool, block));
	assert_result(stoa_pool_give(pool, block), 1);
	assert_int_equal(status_of(pool).free, BLOCKS);
	stoa_pool_close(pool);
	stoa_space_close(space);
}

TEST(attributes_that_cannot_be_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_pool_attributes bad[] = {
		attributes(0), attributes(STOA_POOL_BLOCKS_MAX + 1u),
		attributes(1), attributes(1), attributes(1), attributes(1),
		attributes(1), attributes(1), attributes(1)
	};
	struct stoa_pool *pool = NULL;

	bad[2].size--;
	bad[3].block_bytes = 0;
	bad[4].block_bytes = STOA_POOL_BLOCK_BYTES_MAX + 1ull;
	bad[5].alignment = 48;
	bad[6].alignment = 8192;
	bad[7].reserved[3] = 1;
	bad[8].threads = STOA_POOL_THREADS_MAX + 1;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		assert_result(stoa_pool_bytes(&bad[i]), -EINVAL);
		assert_result(stoa_pool_open(space, "p", STOA_CREATE, 0600,
		                             &bad[i], &pool),
		              -EINVAL);
	}
	assert_result(stoa_pool_open(space, "p", STOA_CREATE, 0600, NULL,
	                             &pool),
	              -EINVAL);
	assert_result(stoa_pool_open(space, "p", STOA_READ, 0, NULL, &pool),
	              -EINVAL);
	assert_result(stoa_pool_open(space, NULL, 0, 0, NULL, &pool), -EINVAL);
	assert_result(stoa_pool_open(space, "p", 0, 0, NULL, &pool), -ENOENT);
	assert_null(pool);
	stoa_space_close(space);
}

TEST(memory_that_cannot_be_a_pool_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_pool_attributes wanted = attributes(BLOCKS);
	char *memory = shared_memory();
	struct stoa_pool *pool = NULL;
	size_t bytes = (size_t)stoa_pool_bytes(&wanted);

	assert_result(stoa_pool_place(space, memory, bytes - 1, STOA_CREATE,
	                              &wanted, &pool),
	              -EINVAL);
	assert_result(stoa_pool_place(space, memory + 8, bytes, STOA_CREATE,
	                              &wanted, &pool),
	              -EINVAL);
	assert_result(stoa_pool_place(space, memory, 1 << 12, 0, NULL, &pool),
	              -EPROTO);
	assert_ok(stoa_pool_place(space, memory, bytes, STOA_CREATE, &wanted,
	                          &pool));
	stoa_pool_close(pool);
	assert_result(stoa_pool_place(space, memory, bytes - 1, 0, NULL, &pool),
	              -EUCLEAN);
	((struct pool_place *)memory)->shared.stride++;
	assert_result(stoa_pool_place(space, memory, bytes, 0, NULL, &pool),
	              -EUCLEAN);
	munmap(memory, PLACE_BYTES);
	stoa_space_close(space);
}

TEST(alignment_is_kept)
{
	struct stoa_space *space = open_space();
	struct stoa_pool_attributes wanted = attributes(10);
	struct stoa_pool *pool;

	for (wanted.alignment = 1; wanted.alignment <= STOA_POOL_ALIGNMENT_MAX;
	     wanted.alignment *= 2) {
		assert_ok(stoa_pool_open(space, NULL, STOA_CREATE, 0600,
		                         &wanted, &pool));
		for (int i = 0; i < 10; i++)
			assert_int_equal((uintptr_t)stoa_pool_data(
			                         pool, acquire(pool)) %
			                         wanted.alignment,
			                 0);
		stoa_pool_close(pool);
	}
	stoa_space_close(space);
}

TEST(removal_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BLOCKS);
	uint64_t block = acquire(pool), more;

	assert_ok(stoa_pool_remove(pool));
	assert_result(stoa_pool_acquire(pool, STOA_FOREVER, &more), -EIDRM);
	assert_result(stoa_pool_release(pool, block), -EIDRM);
	assert_result(stoa_pool_claim(pool, block), -EIDRM);
	assert_result(stoa_pool_give(pool, block), -EIDRM);
	assert_result(stoa_pool_collect(pool), -EIDRM);
	assert_null(stoa_pool_data(pool, block));
	stoa_pool_close(pool);
	stoa_space_close(space);
}

static int see(const struct stoa_pool_use *use, void *context)
{
	uint64_t *sum = context;

	assert_true(use->holder == 0 || use->alive);
	*sum += use->block;
	return 0;
}

TEST(what_is_in_use_can_be_seen)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", BLOCKS);
	uint64_t one = acquire(pool), two = acquire(pool), sum = 0;
	struct stoa_pool_status status, wrong = { .size = 1 };

	assert_ok(stoa_pool_give(pool, two));
	assert_result(stoa_pool_each(pool, see, &sum), 2);
	assert_int_equal(sum, one + two);
	status = status_of(pool);
	assert_int_equal(status.blocks, BLOCKS);
	assert_int_equal(status.block_bytes, BLOCK_BYTES);
	assert_int_equal(status.free, BLOCKS - 2);
	assert_int_equal(status.held, 1);
	assert_int_equal(status.in_flight, 1);
	assert_int_equal(status.threads, 1);
	assert_int_equal(status.threads_max, 8);
	assert_int_equal(status.users, 1);
	assert_result(stoa_pool_stat(pool, &wrong), -EINVAL);
	stoa_pool_close(pool);
	stoa_space_close(space);
}

/* ---- Threads ------------------------------------------------------------------ */

static void *take_all(void *context)
{
	uint64_t block;

	while (stoa_pool_acquire(context, STOA_NOW, &block) == 0)
		;
	return NULL;
}

static void *take_one_and_free_it(void *context)
{
	uint64_t block;

	require(stoa_pool_acquire(context, STOA_NOW, &block) == 0);
	require(stoa_pool_release(context, block) == 0);
	return NULL;
}

static void run(void *(*body)(void *context), struct stoa_pool *pool)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, body, pool), 0);
	pthread_join(thread, NULL);
}

/* The part of an idle thread, or of one that has ended, is no loss. */
TEST(no_free_block_is_out_of_reach)
{
	struct stoa_space *space = open_space();
	static const uint32_t sizes[] = { 1, 7, BLOCKS, 3000 };

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		struct stoa_pool *pool = make(space, NULL, sizes[i]);
		uint64_t block = acquire(pool);

		assert_ok(stoa_pool_release(pool, block));
		run(take_one_and_free_it, pool);
		run(take_all, pool);
		assert_int_equal(status_of(pool).held, sizes[i]);
		stoa_pool_close(pool);
	}
	stoa_space_close(space);
}

TEST(more_threads_than_it_was_made_for_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_pool_attributes wanted = attributes(BLOCKS);
	struct stoa_pool *pool, *other;
	uint64_t block, more;

	wanted.threads = 1;
	assert_ok(stoa_pool_open(space, "p", STOA_CREATE, 0600, &wanted,
	                         &pool));
	assert_ok(stoa_pool_open(space, "p", 0, 0, NULL, &other));
	block = acquire(pool);
	assert_result(stoa_pool_acquire(other, STOA_NOW, &more), -EUSERS);
	assert_sentence("make it for more");
	/* To give back, or hand on, none is needed. */
	assert_ok(stoa_pool_give(other, block));
	assert_ok(stoa_pool_claim(other, block));
	assert_ok(stoa_pool_release(other, block));
	stoa_pool_close(pool);
	assert_ok(stoa_pool_acquire(other, STOA_NOW, &more));
	stoa_pool_close(other);
	stoa_space_close(space);
}

TEST(one_can_wait_for_a_block_or_not)
{
	struct stoa_space *space = open_space();
	struct stoa_pool *pool = make(space, "p", 1);
	uint64_t block = acquire(pool), more = 0;
	const struct stoa_wait wait = { .kind = STOA_READABLE,
		                        .object = stoa_pool_object(pool) };

	assert_result(stoa_pool_acquire(pool, stoa_deadline_in(2 * MS), &more),
	              -ETIMEDOUT);
	assert_result(stoa_wait_any(&wait, 1, STOA_NOW), -EAGAIN);
	assert_ok(stoa_pool_release(pool, block));
	assert_result(stoa_wait_any(&wait, 1, STOA_NOW), 0);
	assert_ok(stoa_pool_acquire(pool, STOA_FOREVER, &more));
	stoa_pool_close(pool);
	stoa_space_close(space);
}

TEST(a_full_tmpfs_is_told_and_leaves_nothing)
{
	struct stoa_pool_attributes wanted = attributes(100000);
	struct stoa_space *space;
	struct stoa_pool *pool = NULL;

	mount_small_space("1m");
	space = open_space();
	assert_result(stoa_pool_open(space, "p", STOA_CREATE, 0600, &wanted,
	                             &pool),
	              -ENOSPC);
	assert_null(pool);
	wanted.blocks = 100;
	assert_ok(stoa_pool_open(space, "p", STOA_CREATE, 0600, &wanted,
	                         &pool));
	assert_all_free(pool, 100);
	stoa_pool_close(pool);
	assert_ok(stoa_pool_unlink(space, "p"));
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_block_can_be_had_once),
	CASE(a_placed_pool_is_found_by_another_handle),
	CASE(what_is_over_is_stale_and_what_is_not_is_refused),
	CASE(a_block_is_given_and_claimed),
	CASE(attributes_that_cannot_be_are_refused),
	CASE(memory_that_cannot_be_a_pool_is_refused),
	CASE(alignment_is_kept),
	CASE(removal_is_told),
	CASE(what_is_in_use_can_be_seen),
	CASE(no_free_block_is_out_of_reach),
	CASE(more_threads_than_it_was_made_for_are_refused),
	CASE(one_can_wait_for_a_block_or_not),
	CASE(a_full_tmpfs_is_told_and_leaves_nothing),
};

MAIN(cases)
