/* SPDX-License-Identifier: MIT */
/* Every operation on heaps and pools while its n-th system call fails. */
#include "inject.h"

enum {
	HEAP_BYTES = 1 << 17,
	BLOCKS = 4,
	LARGE = 30000
};

static struct stoa_heap *heap, *other_heap;
static struct stoa_pool *pool, *other_pool;
static uint64_t offset, block;
static struct child holder;

static void close_all(void)
{
	stoa_heap_close(heap);
	stoa_heap_close(other_heap);
	stoa_pool_close(pool);
	stoa_pool_close(other_pool);
	heap = other_heap = NULL;
	pool = other_pool = NULL;
}

static void after_all(struct stage *stage, long long result)
{
	(void)result;
	close_all();
	stoa_heap_unlink(stage->space, "h");
	stoa_pool_unlink(stage->space, "p");
}

/* ---- Lifecycle ---------------------------------------------------------- */

static long long create_heap(struct stage *stage)
{
	struct stoa_heap_attributes attributes = { .size = sizeof(attributes),
		                                   .bytes = HEAP_BYTES };
	struct stoa_heap *made = (struct stoa_heap *)&made;
	int result = stoa_heap_open(stage->space, "h", STOA_CREATE, 0640,
	                            &attributes, &made);

	if (result == 0)
		heap = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static long long create_as(struct stage *stage, uint32_t segments)
{
	struct stoa_pool_attributes attributes = { .size = sizeof(attributes),
		                                   .block_bytes = 64,
		                                   .blocks = BLOCKS,
		                                   .segments = segments };
	struct stoa_pool *made = (struct stoa_pool *)&made;
	int result = stoa_pool_open(stage->space, "p", STOA_CREATE, 0640,
	                            &attributes, &made);

	if (result == 0)
		pool = made;
	else
		assert_ptr_equal(made, &made);
	return result;
}

static long long create_pool(struct stage *stage)
{
	return create_as(stage, 0);
}

static long long create_segments(struct stage *stage)
{
	return create_as(stage, 1);
}

static void after_create(struct stage *stage, long long result)
{
	bool stale = access(case_path("h.heap"), F_OK) == 0 ||
	             access(case_path("p.pool"), F_OK) == 0;

	if (result < 0 && stale && !stage->lasting)
		complain(stage, "left a stale name", 0);
	after_all(stage, result);
	assert_int_equal(create_heap(stage), 0);
	assert_int_equal(create_pool(stage), 0);
	after_all(stage, result);
}

static void with_both(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(create_heap(stage), 0);
	assert_int_equal(create_pool(stage), 0);
}

static void with_segments(struct stage *stage)
{
	with_space(stage);
	assert_int_equal(create_heap(stage), 0);
	assert_int_equal(create_segments(stage), 0);
	offset = 0;
	block = UINT64_MAX;
}

static long long open_heap(struct stage *stage)
{
	return stoa_heap_open(stage->space, "h", 0, 0, NULL, &other_heap);
}

static long long open_pool(struct stage *stage)
{
	return stoa_pool_open(stage->space, "p", 0, 0, NULL, &other_pool);
}

/* ---- Use ------------------------------------------------------------------ */

/* All of both can be had. */
static void assert_whole(void)
{
	struct stoa_heap_status status = { .size = sizeof(status) };
	uint64_t all, blocks[BLOCKS];

	assert_ok(stoa_heap_stat(heap, &status));
	assert_int_equal(status.used, 0);
	assert_ok(stoa_heap_allocate(heap, status.capacity, 0, &all));
	assert_ok(stoa_heap_free(heap, all));
	for (int i = 0; i < BLOCKS; i++)
		assert_ok(stoa_pool_acquire(pool, STOA_NOW, &blocks[i]));
	for (int i = 0; i < BLOCKS; i++)
		assert_ok(stoa_pool_release(pool, blocks[i]));
}

static void after_use(struct stage *stage, long long result)
{
	if (result == 0 && offset != 0)
		assert_ok(stoa_heap_free(heap, offset));
	if (result == 0 && block != UINT64_MAX)
		assert_ok(stoa_pool_release(pool, block));
	assert_whole();
	after_all(stage, result);
}

static void with_nothing_taken(struct stage *stage)
{
	with_both(stage);
	offset = 0;
	block = UINT64_MAX;
}

static long long allocate_first(struct stage *stage)
{
	(void)stage;
	return stoa_heap_allocate(heap, 100, 0, &offset);
}

static long long allocate_run(struct stage *stage)
{
	(void)stage;
	return stoa_heap_allocate(heap, LARGE, 0, &offset);
}

static long long acquire_first(struct stage *stage)
{
	(void)stage;
	return stoa_pool_acquire(pool, STOA_NOW, &block);
}

static long long acquire_shortly(struct stage *stage)
{
	(void)stage;
	return stoa_pool_acquire(pool, stoa_deadline_in(SHORT_MS * MS), &block);
}

/* Memory that it got may have been taken by who tried. */
static void with_segment(struct stage *stage)
{
	with_segments(stage);
	assert_ok(stoa_pool_acquire(pool, STOA_NOW, &block));
	memset(stoa_pool_data(pool, block), 'x', 64);
}

/* There is a sentence, and no number. */
static long long view_segment(struct stage *stage)
{
	const char *view = stoa_pool_view(pool, block);

	(void)stage;
	if (view == NULL)
		assert_sentence("pool p");
	return view == NULL || *view == 'x' ? 0 : -EPROTO;
}

static void after_view(struct stage *stage, long long result)
{
	(void)result;
	if (stoa_pool_view(pool, block) == NULL)
		complain(stage, "can't be viewed after all", 0);
	after_use(stage, 0);
}

static long long discard_segment(struct stage *stage)
{
	(void)stage;
	return stoa_pool_discard(pool, block);
}

static void after_discard(struct stage *stage, long long result)
{
	if (result < 0)
		assert_ok(stoa_pool_discard(pool, block));
	block = UINT64_MAX;
	after_use(stage, 0);
}

static void with_root(struct stage *stage)
{
	uint64_t at;

	with_nothing_taken(stage);
	assert_ok(stoa_heap_allocate(heap, 100, 0, &at));
	assert_ok(stoa_heap_root_set(heap, "r", at));
}

/* The root may be had, and taken away. */
static long long use_root(struct stage *stage)
{
	uint64_t at;
	int result = stoa_heap_root_get(heap, "r", &at);

	(void)stage;
	return result < 0 ? result : stoa_heap_release(heap, at);
}

static void after_root(struct stage *stage, long long result)
{
	assert_ok(stoa_heap_root_set(heap, "r", 0));
	assert_whole();
	after_all(stage, result);
}

static long long look(struct stage *stage)
{
	struct stoa_heap_status status = { .size = sizeof(status) };
	struct stoa_pool_status numbers = { .size = sizeof(numbers) };
	int result = stoa_heap_stat(heap, &status);

	(void)stage;
	return result < 0 ? result : stoa_pool_stat(pool, &numbers);
}

/* ---- The dead ------------------------------------------------------------- */

static void hold_both(void *context)
{
	uint64_t at;

	(void)context;
	assert_ok(stoa_heap_allocate(heap, LARGE, 0, &at));
	assert_ok(stoa_heap_allocate(heap, 100, 0, &at));
	for (int i = 0; i < BLOCKS; i++)
		assert_ok(stoa_pool_acquire(pool, STOA_NOW, &at));
	report(1);
	await_order();
}

static void with_dead_holder(struct stage *stage)
{
	with_nothing_taken(stage);
	holder = start_child(hold_both, NULL);
	assert_int_equal(await_report(&holder), 1);
	kill_child(&holder);
}

static const struct operation operations[] = {
	OPERATION_AFTER(create_heap, with_space, after_create),
	OPERATION_AFTER(create_pool, with_space, after_create),
	OPERATION_AFTER(open_heap, with_both, after_all),
	OPERATION_AFTER(open_pool, with_both, after_all),
	OPERATION_AFTER(allocate_first, with_nothing_taken, after_use),
	OPERATION_AFTER(allocate_run, with_nothing_taken, after_use),
	OPERATION_AFTER(acquire_first, with_nothing_taken, after_use),
	OPERATION_AFTER(create_segments, with_space, after_create),
	OPERATION_AFTER(open_pool, with_segments, after_all),
	OPERATION_AFTER(acquire_first, with_segments, after_use),
	OPERATION_AFTER(view_segment, with_segment, after_view),
	OPERATION_AFTER(discard_segment, with_segment, after_discard),
	OPERATION_AFTER(use_root, with_root, after_root),
	OPERATION_AFTER(look, with_both, after_all),
	/* Who can't be asked about may live. */
	{ "acquire_after_death", with_dead_holder, acquire_shortly, after_use,
	  true },
	{ "allocate_after_death", with_dead_holder, allocate_run, after_use,
	  true },
};

TEST(each_operation_survives_the_failure_of_each_call)
{
	sweep(operations, LENGTH(operations), STOA_FIFO);
}

static const struct CMUnitTest cases[] = {
	CASE(each_operation_survives_the_failure_of_each_call),
};

MAIN(cases)
