/* SPDX-License-Identifier: MIT */
/*
 * Blocks: glibc's malloc and free, stoa's heap and pool. One block taken and
 * given back; and many taken before they are given back, of one size or of
 * sizes by turns.
 */
#include "harness.h"

#include <stdlib.h>
#include <stoa/stoa.h>

#define ALONE_MS 60
#define BATCH 32
#define ROUND 256 /* blocks at once */
#define HEAP_BYTES (64 << 20)

enum way { GLIBC, HEAP, POOL };
enum shape { ONE, MANY, MIXED };

struct stage {
	const struct bench_row *row;
	struct stoa_space *space;
	struct stoa_heap *heap;
	struct stoa_pool *pool;
	uint64_t bytes;
	uint64_t duration;
	uint64_t block[ROUND];
};

/* ---- The ways: so that neither is inlined, and both are called through one
 * pointer ------------------------------------------------------------------- */

struct way_of {
	int (*take)(struct stage *stage, uint64_t bytes, uint64_t *ret_block);
	int (*give)(struct stage *stage, uint64_t block);
};

static int glibc_take(struct stage *stage, uint64_t bytes, uint64_t *ret_block)
{
	void *volatile block = malloc(bytes);

	(void)stage;
	*ret_block = (uint64_t)(uintptr_t)block;
	return block ? 0 : -ENOMEM;
}

static int glibc_give(struct stage *stage, uint64_t block)
{
	(void)stage;
	free((void *)(uintptr_t)block);
	return 0;
}

static int heap_take(struct stage *stage, uint64_t bytes, uint64_t *ret_block)
{
	return stoa_heap_allocate(stage->heap, bytes, 0, ret_block);
}

static int heap_give(struct stage *stage, uint64_t block)
{
	return stoa_heap_free(stage->heap, block);
}

static int pool_take(struct stage *stage, uint64_t bytes, uint64_t *ret_block)
{
	(void)bytes;
	return stoa_pool_acquire(stage->pool, STOA_NOW, ret_block);
}

static int pool_give(struct stage *stage, uint64_t block)
{
	return stoa_pool_release(stage->pool, block);
}

static const struct way_of ways[] = {
	[GLIBC] = { glibc_take, glibc_give },
	[HEAP] = { heap_take, heap_give },
	[POOL] = { pool_take, pool_give },
};

/* ---- Measuring ---------------------------------------------------------------- */

static int open_stage(struct stage *stage)
{
	const struct stoa_heap_attributes heap = { .size = sizeof(heap),
		                                   .bytes = HEAP_BYTES };
	const struct stoa_pool_attributes pool = { .size = sizeof(pool),
		                                   .block_bytes = stage->bytes,
		                                   .blocks = 4096 };
	int result = 0;

	if (stage->row->spec.order != GLIBC)
		result = stoa_space_open(bench_setup.space, 0, &stage->space);
	if (result == 0 && stage->row->spec.order == HEAP)
		result = stoa_heap_open(stage->space, NULL, STOA_CREATE, 0600,
		                        &heap, &stage->heap);
	if (result == 0 && stage->row->spec.order == POOL)
		result = stoa_pool_open(stage->space, NULL, STOA_CREATE, 0600,
		                        &pool, &stage->pool);
	return result;
}

static void close_stage(struct stage *stage)
{
	stoa_heap_close(stage->heap);
	stoa_pool_close(stage->pool);
	if (stage->space)
		stoa_space_close(stage->space);
}

static inline __attribute__((always_inline)) int
once(struct stage *stage, const struct way_of *way)
{
	uint64_t block = 0;

	return way->take(stage, stage->bytes, &block) |
	       way->give(stage, block);
}

/* Sizes by turns, if they are mixed: 64 to 4,096. */
static inline __attribute__((always_inline)) int
many(struct stage *stage, const struct way_of *way, int mixed)
{
	int result = 0;

	for (uint32_t i = 0; i < ROUND; i++)
		result |= way->take(stage,
		                    mixed ? UINT64_C(64) << i % 7 :
		                            stage->bytes,
		                    &stage->block[i]);
	for (uint32_t i = 0; i < ROUND; i++)
		result |= way->give(stage, stage->block[i]);
	return result;
}

static inline __attribute__((always_inline)) int
play_way(struct stage *stage, struct bench_part *part,
         const struct way_of *way)
{
	uint32_t samples = 0, shape = stage->row->spec.depth;
	uint32_t pairs = shape == ONE ? BATCH : ROUND;
	uint64_t first, end;
	int result = 0;

	bench_ready();
	end = bench_tick() + stage->duration;
	do {
		first = bench_tick();
		for (int i = 0; shape == ONE && i < BATCH; i++)
			result |= once(stage, way);
		if (shape != ONE)
			result |= many(stage, way, shape == MIXED);
		bench_shared->sample[samples++] =
		        (uint32_t)(bench_tick() - first);
	} while (!result && bench_tick() < end && samples < BENCH_SAMPLES);
	part->messages = (uint64_t)samples * pairs;
	bench_shared->samples = samples;
	return result ? bench_fail(part, -EIO, "taking and giving back") : 0;
}

static int play(void *context, struct bench_part *part, int index)
{
	struct stage *stage = context;

	(void)index;
	switch (stage->row->spec.order) {
	case GLIBC: return play_way(stage, part, &ways[GLIBC]);
	case HEAP: return play_way(stage, part, &ways[HEAP]);
	default: return play_way(stage, part, &ways[POOL]);
	}
}

static int measure(const struct bench_row *row, struct bench_result *result)
{
	const struct bench_role role = { 0, play };
	struct stage stage = { .row = row, .bytes = row->spec.bytes };
	int failure = open_stage(&stage);

	memset(bench_shared->part, 0, sizeof(bench_shared->part));
	stage.duration = bench_duration_ticks(ALONE_MS);
	if (!failure)
		failure = bench_play(&role, 1, &stage);
	if (!failure) {
		bench_percentiles(result,
		                  row->spec.depth == ONE ? BATCH : ROUND);
		bench_account(row, 1, (double)bench_shared->part[0].messages,
		              result);
	}
	close_stage(&stage);
	return failure;
}

/* ---- Rows ------------------------------------------------------------------------ */

#define ROW(name, what, base, kind, way, shape, size)                      \
	{                                                                  \
		"block/" name, what, base, BENCH_BLOCK, kind,              \
		BENCH_UNIT_NS, measure,                                    \
		{ .order = way, .depth = shape, .bytes = size, .alone = true } \
	}

static const struct bench_row heap_rows[] = {
	ROW("glibc-64", "glibc, 64 B", NULL, BENCH_PEER, GLIBC, ONE, 64),
	ROW("heap-64", "stoa heap, 64 B", "block/glibc-64", BENCH_STOA, HEAP,
	    ONE, 64),
	ROW("pool-64", "stoa pool, 64 B", "block/glibc-64", BENCH_STOA, POOL,
	    ONE, 64),
	ROW("glibc-4k", "glibc, 4 KiB", NULL, BENCH_PEER, GLIBC, ONE, 4096),
	ROW("heap-4k", "stoa heap, 4 KiB", "block/glibc-4k", BENCH_STOA, HEAP,
	    ONE, 4096),
	ROW("pool-4k", "stoa pool, 4 KiB", "block/glibc-4k", BENCH_STOA, POOL,
	    ONE, 4096),
	ROW("glibc-64k", "glibc, 64 KiB", NULL, BENCH_PEER, GLIBC, ONE, 65536),
	ROW("heap-64k", "stoa heap, 64 KiB", "block/glibc-64k", BENCH_STOA,
	    HEAP, ONE, 65536),
	ROW("glibc-many", "glibc, 256 of 64 B", NULL, BENCH_PEER, GLIBC, MANY,
	    64),
	ROW("heap-many", "stoa heap, 256 of 64 B", "block/glibc-many",
	    BENCH_STOA, HEAP, MANY, 64),
	ROW("pool-many", "stoa pool, 256 of 64 B", "block/glibc-many",
	    BENCH_STOA, POOL, MANY, 64),
	ROW("glibc-many-64k", "glibc, 256 of 64 KiB", NULL, BENCH_PEER, GLIBC,
	    MANY, 65536),
	ROW("heap-many-64k", "stoa heap, 256 of 64 KiB",
	    "block/glibc-many-64k", BENCH_STOA, HEAP, MANY, 65536),
	ROW("glibc-mixed", "glibc, 256 of 64 B to 4 KiB", NULL, BENCH_PEER,
	    GLIBC, MIXED, 64),
	ROW("heap-mixed", "stoa heap, 256 of 64 B to 4 KiB",
	    "block/glibc-mixed", BENCH_STOA, HEAP, MIXED, 64),
};

BENCH_ADD(heap_rows)
