/* SPDX-License-Identifier: MIT */
/* heap.c: every operation on a heap, as a victim performs it. */
#include "hostile.h"

#include <memory/heap_internal.h>

extern const struct noun placed_heap_noun;

enum { KEPT = 8 };

static const struct stoa_heap_attributes shapes[] = {
	{ .size = sizeof(shapes[0]),
	  .bytes = 1 << 17,
	  .threads = 4,
	  .roots = 4,
	  .references = 8 },
};

static const uint64_t sizes[] = { 1, 64, 500, 3000, 10000, 16384, 20000 };

/* What the victim has, or thinks that it has. */
static uint64_t kept[KEPT];

/* ---- Made in every state ------------------------------------------------ */

static uint64_t allocate_one(struct stoa_heap *heap, uint64_t bytes)
{
	uint64_t offset = 0;

	must(stoa_heap_allocate(heap, bytes, 0, &offset), "allocate");
	return offset;
}

static void hold(void *handle)
{
	uint64_t offset;

	allocate_one(handle, 100);
	allocate_one(handle, 17000);
	must(stoa_heap_root_get(handle, "a", &offset), "root_get");
}

static void use(struct stoa_heap *heap)
{
	uint64_t offset = allocate_one(heap, 10000);

	must(stoa_heap_root_set(heap, "a", allocate_one(heap, 100)), "root");
	must(stoa_heap_root_set(heap, "b", allocate_one(heap, 18000)), "root");
	must(stoa_heap_publish(heap, offset), "publish");
	must(stoa_heap_free(heap, allocate_one(heap, 3000)), "free");
	hold_and_die(hold, heap);
	stoa_heap_close(heap);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_heap *heap;

	must(stoa_heap_open(space, name, STOA_CREATE, 0600, &shapes[shape],
	                    &heap),
	     "open");
	use(heap);
}

static void populate_place(struct stoa_space *space, const char *name,
                           unsigned shape)
{
	struct place place = map_place(space, &placed_heap_noun, name,
	                               shapes[shape].bytes);
	struct stoa_heap *heap;

	must(stoa_heap_place(space, place.memory, place.bytes, STOA_CREATE,
	                     &shapes[shape], &heap),
	     "place");
	use(heap);
	unmap_place(&place);
}

static int open_heap(struct victim *victim)
{
	struct stoa_heap *heap;
	int result =
		victim->noun->placed
			? stoa_heap_place(victim->space, victim->place.memory,
	                                  victim->place.bytes, 0, NULL, &heap)
			: stoa_heap_open(victim->space, victim->name,
	                                 victim->flags, 0600,
	                                 &shapes[victim->shape], &heap);

	if (result < 0)
		return result;
	victim->handle = heap;
	victim->object = &heap->object;
	return result;
}

static void close_heap(struct victim *victim)
{
	stoa_heap_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static uint64_t some_offset(struct victim *victim)
{
	struct stoa_heap *heap = victim->handle;

	if (one_in(victim, 8))
		return next_random(&victim->chance);
	if (one_in(victim, 3))
		return heap_offset_of(
			heap, some(victim, heap_unit_line(
						   heap, heap->shape.units)));
	return kept[some(victim, KEPT)];
}

static uint64_t some_size(struct victim *victim)
{
	return one_in(victim, 16) ? next_random(&victim->chance) :
	                            sizes[some(victim, LENGTH(sizes))];
}

/* Writes all that it says is there. */
static void write_block(struct victim *victim, uint64_t offset, uint64_t bytes)
{
	struct stoa_heap *heap = victim->handle;
	void *data = stoa_heap_at(heap, offset, bytes);

	if (data == NULL)
		return;
	check_loan(victim, data, bytes, heap->base + heap->shape.data_at,
	           (size_t)heap->shape.units << heap->shape.unit_shift);
	memset(data, 'v', bytes);
}

static long long allocate(struct victim *victim)
{
	uint64_t bytes = some_size(victim), offset;
	uint64_t alignment = one_in(victim, 4) ?
	                             UINT64_C(1) << some(victim, 14) :
	                             0;
	int result = stoa_heap_allocate(victim->handle, bytes, alignment,
	                                &offset);

	if (result < 0)
		return result;
	kept[some(victim, KEPT)] = offset;
	write_block(victim, offset, bytes);
	return 0;
}

static long long free_one(struct victim *victim)
{
	return stoa_heap_free(victim->handle, some_offset(victim));
}

static long long resize(struct victim *victim)
{
	uint64_t bytes = some_size(victim), offset;
	int result = stoa_heap_resize(victim->handle, some_offset(victim),
	                              bytes, &offset);

	if (result < 0)
		return result;
	kept[some(victim, KEPT)] = offset;
	write_block(victim, offset, bytes);
	return 0;
}

static long long look_at_data(struct victim *victim)
{
	uint64_t offset = some_offset(victim);
	int64_t bytes = stoa_heap_size(victim->handle, offset);

	if (bytes < 0)
		return bytes;
	write_block(victim, offset, (uint64_t)bytes);
	return 0;
}

static long long publish(struct victim *victim)
{
	return stoa_heap_publish(victim->handle, some_offset(victim));
}

static long long keep_or_drop(struct victim *victim)
{
	return one_in(victim, 2) ?
	               stoa_heap_keep(victim->handle, some_offset(victim)) :
	               stoa_heap_drop(victim->handle, some_offset(victim));
}

static long long retain_or_release(struct victim *victim)
{
	return one_in(victim, 2) ?
	               stoa_heap_retain(victim->handle, some_offset(victim)) :
	               stoa_heap_release(victim->handle, some_offset(victim));
}

static const char *some_name(struct victim *victim)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };

	return names[some(victim, LENGTH(names))];
}

static long long set_root(struct victim *victim)
{
	return stoa_heap_root_set(victim->handle, some_name(victim),
	                          one_in(victim, 4) ? 0 : some_offset(victim));
}

static long long get_root(struct victim *victim)
{
	uint64_t offset;
	int result = stoa_heap_root_get(victim->handle, some_name(victim),
	                                &offset);

	if (result == 0)
		kept[some(victim, KEPT)] = offset;
	return result;
}

static long long look(struct victim *victim)
{
	struct stoa_heap_status status = { .size = sizeof(status) };

	return stoa_heap_stat(victim->handle, &status);
}

static long long collect(struct victim *victim)
{
	return stoa_heap_collect(victim->handle);
}

static int see_root(const struct stoa_heap_root *root, void *context)
{
	*(uint64_t *)context += strlen(root->name) + root->bytes;
	return 0;
}

static int see_use(const struct stoa_heap_use *use, void *context)
{
	*(uint64_t *)context += use->bytes;
	return 0;
}

static long long list(struct victim *victim)
{
	uint64_t seen = 0;
	int roots = stoa_heap_each_root(victim->handle, see_root, &seen);

	return roots < 0 ? roots :
	                   stoa_heap_each(victim->handle, see_use, &seen);
}

static const struct operation operations[] = {
	{ "allocate", allocate, 16, false, false },
	{ "free", free_one, 10, false, false },
	{ "resize", resize, 5, false, false },
	{ "at", look_at_data, 5, false, false },
	{ "publish", publish, 4, false, false },
	{ "keep", keep_or_drop, 4, false, false },
	{ "retain", retain_or_release, 4, false, false },
	{ "root_set", set_root, 5, false, false },
	{ "root_get", get_root, 5, false, false },
	{ "allocate (once more)", allocate, 8, false, false },
	{ "stat", look, 2, false, false },
	{ "collect", collect, 2, false, false },
	{ "each", list, 2, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EINVAL, EUSERS, ESTALE, EPERM,     ENOSPC,
	                      ENOENT, EEXIST, EOVERFLOW, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { SHARED, TURN, DESKS, ROOTS, REFERENCES, UNITS, BLOCK_WORDS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_heap *heap = victim->handle;
	const struct heap_shared *shape = &heap->shape;

	image_region(image, "shared", victim,
	             &((const struct heap_place *)heap->base)->shared,
	             sizeof(*shape), 0);
	image_region(image, "turn", victim, heap->turn, sizeof(*heap->turn), 0);
	image_region(image, "desks", victim, heap->store.desks,
	             shape->desks * sizeof(struct slab_desk),
	             sizeof(struct slab_desk));
	image_region(image, "roots", victim, heap->roots,
	             shape->roots * sizeof(struct heap_root),
	             sizeof(struct heap_root));
	image_region(image, "references", victim, heap->references,
	             shape->references * sizeof(struct heap_reference),
	             sizeof(struct heap_reference));
	image_region(image, "units", victim, heap->units,
	             shape->units * sizeof(struct heap_unit),
	             sizeof(struct heap_unit));
	image_region(image, "words", victim, (const void *)heap->words,
	             heap_unit_line(heap, shape->units) * sizeof(*heap->words),
	             sizeof(*heap->words));
	image_idle_region(image, "blocks", victim, heap->base + shape->data_at,
	                  (size_t)shape->units << shape->unit_shift);
	image_number(image, shape->units);
	image_number(image, shape->desks);
	image_number(image, shape->bytes);
	image_number(image, shape->data_at);
}

static const struct field fields[] = {
	FIELD(SHARED, heap_shared, bytes, MEANS_NUMBER, 0),
	FIELD(SHARED, heap_shared, data_at, MEANS_NUMBER, 0),
	FIELD(SHARED, heap_shared, unit_shift, MEANS_NUMBER, 0),
	FIELD(SHARED, heap_shared, units, MEANS_NUMBER, 0),
	FIELD(SHARED, heap_shared, desks, MEANS_NUMBER, 0),
	FIELD(SHARED, heap_shared, roots, MEANS_NUMBER, 0),
	FIELD(SHARED, heap_shared, references, MEANS_NUMBER, 0),
	FIELD(TURN, heap_turn, lock, MEANS_OWN, 0),
	FIELD(TURN, heap_turn, dirty, MEANS_NUMBER, 0),
	FIELD(TURN, heap_turn, rover, MEANS_NUMBER, 0),
	FIELD(DESKS, slab_desk, agent, MEANS_AGENT, 0),
	FIELD(DESKS, slab_desk, inside, MEANS_NUMBER, 0),
	FIELD(DESKS, slab_desk, generation, MEANS_NUMBER, 0),
	FIELD(ROOTS, heap_root, offset, MEANS_OWN, 0),
	FIELD(REFERENCES, heap_reference, holder, MEANS_AGENT, 0),
	FIELD(REFERENCES, heap_reference, offset, MEANS_OWN, 0),
	FIELD(UNITS, heap_unit, shape, MEANS_OWN, 0),
	FIELD(UNITS, heap_unit, lease, MEANS_OWN, 0),
	FIELD(UNITS, heap_unit, exhausted, MEANS_NUMBER, 0),
	{ "word", BLOCK_WORDS, 0, 8, MEANS_OWN, 0 },
	{ .name = NULL },
};

static uint64_t some_shape(struct scribbler *scribbler)
{
	uint64_t length = some_number(scribbler, 32);

	switch (below(scribbler, 3)) {
	case 0: return length;
	case 1: return SHAPE_FOLLOWER | length;
	default: return SHAPE_SLAB(below(scribbler, HEAP_CLASSES + 2), length);
	}
}

/* Shapes, leases, words, offsets and the turn that could be true. */
static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	uint64_t word = below(scribbler, 4) << 62 |
	                below(scribbler, 4) << SLAB_GENERATION_SHIFT;

	switch (field->region) {
	case TURN: return below(scribbler, 4) << 12 | below(scribbler, 5);
	case ROOTS:
	case REFERENCES:
		return scribbler->image->numbers[3] +
		       64 * below(scribbler, 2000);
	case UNITS:
		if (field->offset == 0)
			return some_shape(scribbler);
		return below(scribbler, 3) << 32 |
		       (below(scribbler, 2) ? LEASE_CALLED : 0) |
		       some_number(scribbler, 5);
	default:
		return below(scribbler, 2) ?
		               word | below(scribbler, 4) |
		                       below(scribbler, 4) << 32 :
		               word | SLAB_PEER(some_agent(scribbler));
	}
}

const struct noun heap_noun = {
	.kind = "heap",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_heap,
	.close = close_heap,
	.locate = locate,
	.word = some_word,
};

const struct noun placed_heap_noun = {
	.kind = "placed-heap",
	.placed = true,
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate_place,
	.open = open_heap,
	.close = close_heap,
	.locate = locate,
	.word = some_word,
};
