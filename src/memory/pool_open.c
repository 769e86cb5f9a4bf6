/* SPDX-License-Identifier: MIT */
/* memory/pool_open.c: making, opening and closing pools. */
#include <base/error.h>
#include <memory/kinds.h>
#include <memory/pool_internal.h>
#include <stoa/segment.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPEN_FLAGS (STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE)
#define DEFAULT_THREADS 128u
#define DEFAULT_ALIGNMENT 64u
#define OPEN_BURIES 64

/* ---- Attributes and geometry -------------------------------------------------- */

static int is_power_of_two(uint64_t number)
{
	return number != 0 && (number & (number - 1)) == 0;
}

static uint64_t round_up(uint64_t number, uint64_t unit)
{
	return (number + unit - 1) & ~(unit - 1);
}

static uint32_t slab_blocks_of(uint32_t blocks)
{
	uint32_t slab = 1;

	while (slab < POOL_SLAB_BLOCKS && slab * 2 * POOL_SLABS <= blocks)
		slab *= 2;
	return slab;
}

static uint64_t slab_count_of(const struct pool_shared *shape)
{
	return ((uint64_t)shape->blocks + shape->slab_blocks - 1) /
	       shape->slab_blocks;
}

static int is_page_size(uint64_t bytes)
{
	return is_power_of_two(bytes) && bytes >= 4096 && bytes <= 65536;
}

static uint64_t words_at(const struct pool_shared *shape)
{
	return sizeof(struct pool_place) +
	       shape->desks * sizeof(struct slab_desk) +
	       slab_count_of(shape) * sizeof(struct pool_slab);
}

/* Where segments begin is a page of the file. 0: too large a file. */
static uint64_t work_out_segments(struct pool_shared *shape)
{
	uint64_t end = OBJECT_KIND_OFFSET + words_at(shape) +
	               shape->blocks * (sizeof(uint64_t) + sizeof(uint32_t));
	uint64_t bytes;

	if (!is_page_size(shape->page) || shape->alignment > shape->page)
		return 0;
	shape->stride = round_up(shape->block_bytes, shape->page) +
	                shape->page;
	shape->data_at = round_up(end, shape->page) - OBJECT_KIND_OFFSET;
	bytes = shape->data_at + shape->blocks * shape->stride;
	return bytes <= STOA_SEGMENT_LIMIT ? bytes : 0;
}

/* Everything else follows from these five. 0: they can't be. */
static uint64_t work_out(struct pool_shared *shape)
{
	if (shape->blocks == 0 || shape->blocks > STOA_POOL_BLOCKS_MAX ||
	    shape->block_bytes == 0 ||
	    shape->block_bytes > STOA_POOL_BLOCK_BYTES_MAX ||
	    shape->desks == 0 || shape->desks > STOA_POOL_THREADS_MAX ||
	    !is_power_of_two(shape->alignment) ||
	    shape->alignment > STOA_POOL_ALIGNMENT_MAX)
		return 0;
	shape->slab_blocks = slab_blocks_of(shape->blocks);
	if (shape->page)
		return work_out_segments(shape);
	shape->stride = round_up(shape->block_bytes, shape->alignment);
	shape->data_at = round_up(words_at(shape) +
	                                  shape->blocks * sizeof(uint64_t),
	                          shape->alignment > STOA_CACHE_LINE ?
	                                  shape->alignment :
	                                  STOA_CACHE_LINE);
	return shape->data_at + shape->blocks * shape->stride;
}

static int bad_attributes(const char *name, const char *what)
{
	return stoa_fail(-EINVAL, "attributes of pool %s: %s", name, what);
}

static int64_t read_attributes(const char *name,
                               const struct stoa_pool_attributes *given,
                               struct pool_shared *shape)
{
	uint64_t bytes;

	if (!given)
		return bad_attributes(name, "to make one, block_bytes and "
		                            "blocks must be said");
	if (given->size != sizeof *given)
		return bad_attributes(name, "size must be sizeof(struct "
		                            "stoa_pool_attributes)");
	for (int i = 0; i < 4; i++)
		if (given->reserved[i] != 0 || given->segments > 1)
			return bad_attributes(name,
			                      "reserved fields must be zero, "
			                      "and segments 0 or 1");
	*shape = (struct pool_shared){
		.block_bytes = given->block_bytes,
		.blocks = given->blocks,
		.alignment = given->alignment ?: DEFAULT_ALIGNMENT,
		.desks = given->threads ?: DEFAULT_THREADS,
		.page = given->segments ? (uint64_t)sysconf(_SC_PAGESIZE) : 0,
	};
	bytes = work_out(shape);
	if (bytes == 0)
		return stoa_fail(-EINVAL,
		                 "attributes of pool %s: 1 to %d blocks of 1 "
		                 "to %d bytes, alignment a power of two up to "
		                 "%d, and at most %d threads; of segments 32 "
		                 "TiB",
		                 name, STOA_POOL_BLOCKS_MAX,
		                 STOA_POOL_BLOCK_BYTES_MAX,
		                 STOA_POOL_ALIGNMENT_MAX,
		                 STOA_POOL_THREADS_MAX);
	return (int64_t)bytes;
}

int64_t stoa_pool_bytes(const struct stoa_pool_attributes *attributes)
{
	struct pool_shared shape;

	if (attributes && attributes->segments)
		return bad_attributes("in memory", "segments are mapped from "
		                                   "a file: see "
		                                   "stoa_pool_open");
	return read_attributes("in memory", attributes, &shape);
}

/* ---- Making and opening -------------------------------------------------------- */

/* Reads once what is constant, and checks the copy: it must be what follows
 * from four of its numbers, and fit. */
static int adopt(struct stoa_pool *pool, char *base, uint64_t bytes)
{
	const struct pool_place *place = (const void *)base;
	const struct stoa_object *object = &pool->object;
	struct pool_shared found = { 0 }, shape;
	uint64_t needed, room = bytes;

	if (bytes >= sizeof *place)
		found = place->shared;
	shape = (struct pool_shared){ .block_bytes = found.block_bytes,
		                      .blocks = found.blocks,
		                      .alignment = found.alignment,
		                      .desks = found.desks,
		                      .page = found.page };
	needed = work_out(&shape);
	if (shape.page && !object->header)
		needed = 0; /* nothing to map them from */
	else if (shape.page)
		room = object->copy.file_bytes - OBJECT_KIND_OFFSET;
	if (needed == 0 || needed > room || shape.data_at > bytes ||
	    (shape.page && shape.page != (uint64_t)sysconf(_SC_PAGESIZE)) ||
	    memcmp(&shape, &found, sizeof shape) != 0)
		return stoa_fail(-EUCLEAN,
		                 "pool %s is damaged: its shape can't be true; "
		                 "remove it",
		                 pool->object.name);
	if ((uintptr_t)base % STOA_CACHE_LINE != 0 ||
	    (uintptr_t)base % shape.alignment != 0)
		return stoa_fail(-EINVAL,
		                 "pool %s: its memory must be aligned to %d, "
		                 "and to its blocks' %u",
		                 pool->object.name, STOA_CACHE_LINE,
		                 shape.alignment);
	pool->shape = shape;
	pool->slab_shift = (uint32_t)__builtin_ctz(shape.slab_blocks);
	pool->slab_count = (uint32_t)slab_count_of(&shape);
	pool->bytes = needed;
	pool->base = base;
	slab_store_init(&pool->store, &pool->object);
	pool->store.desks = (void *)(base + sizeof(struct pool_place));
	pool->store.desk_count = shape.desks;
	pool->store.caches = 1;
	pool->slabs = (void *)(pool->store.desks + shape.desks);
	pool->words = (void *)(base + words_at(&shape));
	if (shape.page)
		pool->given = (void *)(pool->words + shape.blocks);
	else
		pool->data = base + shape.data_at;
	return 0;
}

static struct stoa_pool *new_handle(const char *name)
{
	struct stoa_pool *pool =
	        stoa_object_allocate(&stoa_pool_kind, name, sizeof *pool);

	return pool;
}

/* The object is there. */
static int set_up(struct stoa_pool *pool, char *base, uint64_t bytes)
{
	int result = adopt(pool, base, bytes);

	if (result == 0 && pool->given)
		result = pool_map(pool);
	if (result == 0)
		result = stoa_object_sit(&pool->object);
	if (result == 0 && pool->object.header)
		stoa_object_bury(&pool->object, OPEN_BURIES);
	return result;
}

/* Of a pool of segments only what comes before them is mapped at once. */
static int prepare(struct stoa_object *object)
{
	uint64_t mapped = object->copy.geometry[POOL_GEOMETRY_MAPPED];

	if (mapped == 0)
		return 0;
	if (mapped < OBJECT_KIND_OFFSET + sizeof(struct pool_place) ||
	    mapped > object->bytes)
		return stoa_fail(-EUCLEAN,
		                 "pool %s is damaged: its header can't be true; "
		                 "remove it",
		                 object->name);
	object->bytes = mapped;
	return 0;
}

static void make_plan(const struct pool_shared *shape, uint64_t bytes,
                      struct stoa_object_plan *plan)
{
	plan->file_bytes = OBJECT_KIND_OFFSET + bytes;
	if (shape->page)
		plan->reserved_bytes = OBJECT_KIND_OFFSET + shape->data_at;
	plan->geometry[POOL_GEOMETRY_MAPPED] = plan->reserved_bytes;
}

int stoa_pool_open(struct stoa_space *space, const char *name, unsigned flags,
                   mode_t mode, const struct stoa_pool_attributes *attributes,
                   struct stoa_pool **ret_pool)
{
	const char *shown = name ? name : "(unnamed)";
	struct pool_place content = { 0 };
	struct stoa_object_plan plan = { .kind = &stoa_pool_kind,
		                         .mode = mode,
		                         .prepare = prepare,
		                         .content = &content,
		                         .content_bytes = sizeof content };
	struct stoa_pool *pool;
	int64_t result = stoa_object_check_flags(&stoa_pool_kind, shown, flags);

	if (result == 0 && !name && !(flags & STOA_CREATE))
		return stoa_name_check(name, &shown);
	if (result == 0 && (flags & STOA_CREATE)) {
		result = read_attributes(shown, attributes, &content.shared);
		make_plan(&content.shared, (uint64_t)result, &plan);
	}
	if (result < 0)
		return (int)result;
	pool = new_handle(shown);
	if (!pool)
		return -ENOMEM;
	struct stoa_object *object = &pool->object;
	result = stoa_object_open(object, space, name,
	                          flags | STOA_READ | STOA_WRITE,
	                          &stoa_pool_kind, &plan);
	if (result < 0)
		goto free;
	result = set_up(pool, object->base + OBJECT_KIND_OFFSET,
	                object->bytes - OBJECT_KIND_OFFSET);
	if (result < 0)
		goto close;
	*ret_pool = pool;
	return 0;

close:
	pool_unmap(pool);
	stoa_object_close(object);
	stoa_object_abandon(object);
free:
	free(pool);
	return (int)result;
}

static void make_place(void *memory, const void *context)
{
	((struct pool_place *)memory)->shared =
	        *(const struct pool_shared *)context;
}

int stoa_pool_place(struct stoa_space *space, void *memory, size_t bytes,
                    unsigned flags,
                    const struct stoa_pool_attributes *attributes,
                    struct stoa_pool **ret_pool)
{
	struct pool_shared shape = { 0 };
	uint64_t needed = sizeof(struct pool_place);
	struct stoa_pool *pool;
	int64_t result =
	        stoa_object_check_flags(&stoa_pool_kind, "in memory", flags);

	if (result == 0 && (flags & STOA_CREATE)) {
		result = stoa_pool_bytes(attributes);
		if (result >= 0)
			result = read_attributes("in memory", attributes,
			                         &shape);
		if (result > (int64_t)bytes)
			result = stoa_fail(-EINVAL,
			                   "such a pool needs %lld bytes of "
			                   "memory, not %zu",
			                   (long long)result, bytes);
		needed = shape.data_at; /* blocks need not be cleared */
	}
	if (result < 0)
		return (int)result;
	pool = new_handle("in memory");
	if (!pool)
		return -ENOMEM;
	result = stoa_object_place(&pool->object, space, memory, bytes, needed,
	                           flags, &stoa_pool_kind, make_place, &shape);
	if (result < 0)
		goto free;
	result = set_up(pool, memory, bytes);
	if (result < 0)
		goto close;
	*ret_pool = pool;
	return 0;

close:
	stoa_object_close(&pool->object);
free:
	free(pool);
	return (int)result;
}

void stoa_pool_close(struct stoa_pool *pool)
{
	if (!pool)
		return;
	slab_store_fini(&pool->store);
	pool_unmap(pool);
	stoa_object_close(&pool->object);
	free(pool);
}

int stoa_pool_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_pool_kind);
}

int stoa_pool_remove(struct stoa_pool *pool)
{
	return stoa_object_remove(&pool->object);
}

struct stoa_object *stoa_pool_object(struct stoa_pool *pool)
{
	return &pool->object;
}

/* ---- The kind ------------------------------------------------------------------- */

/* Nothing of a pool bears a token: blocks are held by peers, who have no seats
 * in memory of the caller's. */
static int bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_pool *pool = (struct stoa_pool *)object;
	struct slab_asker asker = { 0 };

	(void)token;
	for (uint32_t i = 0; pool->words && i < pool->shape.blocks; i++)
		if (slab_bury(&pool->store, &pool->words[i], &asker))
			pool_tell(pool, i >> pool->slab_shift);
	return 0;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_pool *pool;
	int result = stoa_pool_open(space, name, flags & OPEN_FLAGS, 0, NULL,
	                            &pool);

	if (result == 0)
		*ret_object = &pool->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_pool_close((struct stoa_pool *)object);
}

const struct stoa_object_kind stoa_pool_kind = {
	.name = "pool",
	.number = KIND_POOL,
	.bury = bury,
	.ready = pool_ready,
	.open = open_object,
	.close = close_object,
};
