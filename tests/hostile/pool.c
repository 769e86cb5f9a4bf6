/* SPDX-License-Identifier: MIT */
/* pool.c: every operation on a pool, as a victim performs it. */
#include "hostile.h"

#include <memory/pool_internal.h>

extern const struct noun placed_pool_noun;

enum { BLOCKS = 150, KEPT = 8 };

static const struct stoa_pool_attributes shapes[] = {
	{ .size = sizeof(shapes[0]),
	  .block_bytes = 64,
	  .blocks = 5,
	  .threads = 4 },
	{ .size = sizeof(shapes[0]),
	  .block_bytes = 40,
	  .blocks = BLOCKS,
	  .threads = 4 },
	{ .size = sizeof(shapes[0]),
	  .block_bytes = 5000,
	  .blocks = 9,
	  .threads = 4,
	  .segments = 1 },
};

enum { PLACED_SHAPES = LENGTH(shapes) - 1 };

/* What the victim has, or thinks that it has. */
static uint64_t kept[KEPT];

/* ---- Made in every state ------------------------------------------------ */

static void hold(void *handle)
{
	uint64_t block;

	must(stoa_pool_acquire(handle, STOA_NOW, &block), "acquire");
	must(stoa_pool_acquire(handle, STOA_NOW, &block), "acquire");
}

static void use(struct stoa_pool *pool)
{
	uint64_t block;

	must(stoa_pool_acquire(pool, STOA_NOW, &block), "acquire");
	must(stoa_pool_give(pool, block), "give");
	must(stoa_pool_acquire(pool, STOA_NOW, &block), "acquire");
	hold_and_die(hold, pool);
	stoa_pool_close(pool);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_pool *pool;

	must(stoa_pool_open(space, name, STOA_CREATE, 0600, &shapes[shape],
	                    &pool),
	     "open");
	use(pool);
}

static void populate_place(struct stoa_space *space, const char *name,
                           unsigned shape)
{
	struct place place =
		map_place(space, &placed_pool_noun, name,
	                  (size_t)stoa_pool_bytes(&shapes[shape]));
	struct stoa_pool *pool;

	must(stoa_pool_place(space, place.memory, place.bytes, STOA_CREATE,
	                     &shapes[shape], &pool),
	     "place");
	use(pool);
	unmap_place(&place);
}

static int open_pool(struct victim *victim)
{
	struct stoa_pool *pool;
	int result =
		victim->noun->placed
			? stoa_pool_place(victim->space, victim->place.memory,
	                                  victim->place.bytes, 0, NULL, &pool)
			: stoa_pool_open(victim->space, victim->name,
	                                 victim->flags, 0600,
	                                 &shapes[victim->shape], &pool);

	if (result < 0)
		return result;
	victim->handle = pool;
	victim->object = &pool->object;
	return result;
}

static void close_pool(struct victim *victim)
{
	stoa_pool_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static uint64_t some_block(struct victim *victim)
{
	struct stoa_pool *pool = victim->handle;

	switch (some(victim, 4)) {
	case 0: return next_random(&victim->chance);
	case 1: {
		uint64_t index = some(victim, pool->shape.blocks);

		return POOL_BLOCK(index, atomic_load(&pool->words[index]));
	}
	default: return kept[some(victim, KEPT)];
	}
}

static long long acquire(struct victim *victim)
{
	struct stoa_pool *pool = victim->handle;
	uint64_t block;
	void *data;
	int result = stoa_pool_acquire(pool, soon(victim), &block);

	if (result < 0)
		return result;
	kept[some(victim, KEPT)] = block;
	data = stoa_pool_data(pool, block);
	if (data == NULL)
		return stoa_object_health(victim->object);
	check_loan(victim, data, pool->shape.block_bytes, pool->data,
	           pool->shape.blocks * pool->shape.stride);
	memset(data, 'v', pool->shape.block_bytes);
	return 0;
}

static long long release(struct victim *victim)
{
	return stoa_pool_release(victim->handle, some_block(victim));
}

static long long discard(struct victim *victim)
{
	return stoa_pool_discard(victim->handle, some_block(victim));
}

static long long give(struct victim *victim)
{
	return stoa_pool_give(victim->handle, some_block(victim));
}

static long long claim(struct victim *victim)
{
	return stoa_pool_claim(victim->handle, some_block(victim));
}

static long long look_at_data(struct victim *victim)
{
	struct stoa_pool *pool = victim->handle;
	char *data = stoa_pool_data(pool, some_block(victim));
	uint64_t block;

	if (data == NULL)
		return stoa_object_health(victim->object);
	check_loan(victim, data, pool->shape.block_bytes, pool->data,
	           pool->shape.blocks * pool->shape.stride);
	return stoa_pool_block(pool, data, &block);
}

static long long look_at_view(struct victim *victim)
{
	struct stoa_pool *pool = victim->handle;
	const char *view = stoa_pool_view(pool, some_block(victim));
	const char *base = pool->given ? atomic_load(&pool->view) : pool->data;

	if (view == NULL)
		return stoa_object_health(victim->object);
	check_loan(victim, view, pool->shape.block_bytes, base,
	           pool->shape.blocks * pool->shape.stride);
	return *(const volatile char *)view == 0;
}

static long long look(struct victim *victim)
{
	struct stoa_pool_status status = { .size = sizeof(status) };

	return stoa_pool_stat(victim->handle, &status);
}

static long long collect(struct victim *victim)
{
	return stoa_pool_collect(victim->handle);
}

static int see_use(const struct stoa_pool_use *use, void *context)
{
	*(uint64_t *)context += use->block + use->holder;
	return 0;
}

static long long list(struct victim *victim)
{
	uint64_t seen = 0;

	return stoa_pool_each(victim->handle, see_use, &seen);
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, 1, NULL);
}

static const struct operation operations[] = {
	{ "acquire", acquire, 16, false, false },
	{ "release", release, 10, false, false },
	{ "discard", discard, 4, false, false },
	{ "give", give, 4, false, false },
	{ "claim", claim, 6, false, false },
	{ "acquire (once more)", acquire, 8, false, false },
	{ "data", look_at_data, 4, false, false },
	{ "view", look_at_view, 4, false, false },
	{ "stat", look, 3, false, false },
	{ "collect", collect, 3, false, false },
	{ "each", list, 3, false, false },
	{ "wait_any", wait_any, 2, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EINVAL, EUSERS, ESTALE, EPERM, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { SHARED, DESKS, SLABS, BLOCK_WORDS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_pool *pool = victim->handle;

	image_region(image, "shared", victim,
	             &((const struct pool_place *)pool->base)->shared,
	             sizeof(struct pool_shared), 0);
	image_region(image, "desks", victim, pool->store.desks,
	             pool->shape.desks * sizeof(struct slab_desk),
	             sizeof(struct slab_desk));
	image_region(image, "slabs", victim, pool->slabs,
	             pool->slab_count * sizeof(struct pool_slab),
	             sizeof(struct pool_slab));
	image_region(image, "words", victim, (const void *)pool->words,
	             pool->shape.blocks * sizeof(*pool->words),
	             sizeof(*pool->words));
	if (pool->given)
		image_region(image, "given", victim,
		             (const void *)pool->given,
		             pool->shape.blocks * sizeof(*pool->given),
		             sizeof(*pool->given));
	else
		image_idle_region(image, "blocks", victim, pool->data,
		                  pool->shape.blocks * pool->shape.stride);
	image_number(image, pool->shape.blocks);
	image_number(image, pool->shape.desks);
	image_number(image, pool->shape.block_bytes);
}

static const struct field fields[] = {
	FIELD(SHARED, pool_shared, block_bytes, MEANS_NUMBER, 0),
	FIELD(SHARED, pool_shared, blocks, MEANS_NUMBER, 0),
	FIELD(SHARED, pool_shared, alignment, MEANS_NUMBER, 0),
	FIELD(SHARED, pool_shared, desks, MEANS_NUMBER, 0),
	FIELD(SHARED, pool_shared, slab_blocks, MEANS_NUMBER, 0),
	FIELD(SHARED, pool_shared, stride, MEANS_NUMBER, 0),
	FIELD(SHARED, pool_shared, data_at, MEANS_NUMBER, 0),
	FIELD(SHARED, pool_shared, page, MEANS_NUMBER, 0),
	FIELD(DESKS, slab_desk, agent, MEANS_AGENT, 0),
	FIELD(DESKS, slab_desk, inside, MEANS_NUMBER, 0),
	FIELD(DESKS, slab_desk, fenced, MEANS_NUMBER, 0),
	FIELD(DESKS, slab_desk, generation, MEANS_NUMBER, 0),
	FIELD(SLABS, pool_slab, lease, MEANS_OWN, 0),
	FIELD(SLABS, pool_slab, exhausted, MEANS_NUMBER, 0),
	{ "word", BLOCK_WORDS, 0, 8, MEANS_OWN, 0 },
	{ .name = NULL },
};

/* Leases of any desk; words of any state, of the living and the dead. */
static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	uint64_t word = below(scribbler, 4) << 62 |
	                below(scribbler, 4) << SLAB_GENERATION_SHIFT;

	if (field->region == SLABS)
		return below(scribbler, 3) << 32 |
		       (below(scribbler, 2) ? LEASE_CALLED : 0) |
		       some_number(scribbler, 5);
	return word | SLAB_PEER(some_agent(scribbler));
}

const struct noun pool_noun = {
	.kind = "pool",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_pool,
	.close = close_pool,
	.locate = locate,
	.word = some_word,
};

const struct noun placed_pool_noun = {
	.kind = "placed-pool",
	.placed = true,
	.shapes = PLACED_SHAPES,
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate_place,
	.open = open_pool,
	.close = close_pool,
	.locate = locate,
	.word = some_word,
};
