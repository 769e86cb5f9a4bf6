/* SPDX-License-Identifier: MIT */
/* memory/heap_open.c: making, opening and closing heaps. */
#include <base/error.h>
#include <memory/heap_internal.h>
#include <memory/kinds.h>

#include <stdlib.h>
#include <string.h>

#define OPEN_FLAGS (STOA_CREATE | STOA_EXCLUSIVE | STOA_INTERRUPTIBLE)
#define DEFAULT_THREADS 64u
#define DEFAULT_ROOTS 64u
#define DEFAULT_REFERENCES 256u
#define OPEN_BURIES 64
#define SLAB_BYTES_MAX 65536u
#define SLAB_BLOCKS_LARGE 4u
#define SLAB_BLOCKS 32u /* to be had at once, if they aren't too large */

/* ---- Attributes and geometry --------------------------------------------------- */

static uint64_t round_up(uint64_t number, uint64_t unit)
{
	return (number + unit - 1) & ~(unit - 1);
}

static uint64_t roots_at(const struct heap_shared *shape)
{
	return sizeof(struct heap_place) +
	       shape->desks * sizeof(struct slab_desk);
}

static uint64_t references_at(const struct heap_shared *shape)
{
	return roots_at(shape) + shape->roots * sizeof(struct heap_root);
}

static uint64_t units_at(const struct heap_shared *shape)
{
	return references_at(shape) +
	       shape->references * sizeof(struct heap_reference);
}

static uint64_t words_at(const struct heap_shared *shape)
{
	return round_up(units_at(shape) +
	                        (uint64_t)shape->units * sizeof(struct heap_unit),
	                STOA_CACHE_LINE);
}

static uint64_t data_at(const struct heap_shared *shape)
{
	uint64_t lines = (uint64_t)shape->units
	                 << (shape->unit_shift - HEAP_LINE_SHIFT);

	return round_up(words_at(shape) + lines * sizeof(uint64_t), 4096);
}

/* Everything else follows from bytes, desks, roots and references. 0: they
 * can't be. */
static int work_out(struct heap_shared *shape)
{
	uint64_t unit, needed;

	if (shape->bytes < STOA_HEAP_BYTES_MIN ||
	    shape->bytes > STOA_HEAP_BYTES_MAX || shape->desks == 0 ||
	    shape->desks > SLAB_DESKS_MAX || shape->roots == 0 ||
	    shape->roots > HEAP_ROOTS_MAX || shape->references == 0 ||
	    shape->references > HEAP_REFERENCES_MAX)
		return 0;
	shape->unit_shift = HEAP_UNIT_SHIFT_MIN;
	while (shape->bytes >> shape->unit_shift > HEAP_UNITS_MAX)
		shape->unit_shift++;
	unit = UINT64_C(1) << shape->unit_shift;
	needed = units_at(shape) + 2 * 4096;
	if (shape->bytes < needed)
		return 0;
	shape->units = (uint32_t)((shape->bytes - needed) /
	                          (unit + sizeof(struct heap_unit) +
	                           (unit >> HEAP_LINE_SHIFT) *
	                                   sizeof(uint64_t)));
	shape->data_at = data_at(shape);
	return shape->units != 0 &&
	       shape->data_at + shape->units * unit <= shape->bytes;
}

/* A slab is 1/512 of the room, and 32 blocks unless that's more than 1/16 of
 * it; between a unit and 64 KiB. Those of the larger blocks have four. */
static void work_out_classes(struct stoa_heap *heap)
{
	uint64_t unit = UINT64_C(1) << heap->shape.unit_shift;
	uint64_t room = heap->shape.units * unit;

	heap->classes = room < HEAP_ROOM_LARGE ? HEAP_CLASSES_SMALL :
	                                         HEAP_CLASSES;
	heap->small_max = STOA_HEAP_SMALL_MAX
	                  << (heap->classes - HEAP_CLASSES_SMALL) / 4;
	for (uint32_t i = 0; i < HEAP_CLASSES; i++) {
		struct heap_class *class = &heap->class[i];
		uint32_t lines = i < 4 ? i + 1 :
		                         (4 + (i & 3) + 1) << (i / 4 - 1);
		uint64_t bytes = (uint64_t)lines << HEAP_LINE_SHIFT;
		uint64_t slab = SLAB_BLOCKS * bytes;

		slab = slab < room / 16 ? slab : room / 16;
		slab = slab > room / 512 ? slab : room / 512;
		slab = slab < SLAB_BYTES_MAX ? slab : SLAB_BYTES_MAX;
		if (i >= HEAP_CLASSES_SMALL)
			slab = SLAB_BLOCKS_LARGE * bytes;
		slab = round_up(slab > bytes ? slab : bytes, unit);
		class->bytes = (uint32_t)bytes;
		class->units = (uint32_t)(slab / unit);
		class->count = (uint32_t)(slab / bytes);
		class->reciprocal = ((UINT64_C(1) << 32) + lines - 1) / lines;
	}
}

static int bad_attributes(const char *name, const char *what)
{
	return stoa_fail(-EINVAL, "attributes of heap %s: %s", name, what);
}

/* `bytes` 0: as the attributes say. */
static int read_attributes(const char *name, uint64_t bytes,
                           const struct stoa_heap_attributes *given,
                           struct heap_shared *shape)
{
	struct stoa_heap_attributes attributes = { 0 };

	if (given) {
		if (given->size != sizeof *given)
			return bad_attributes(name, "size must be sizeof(struct "
			                            "stoa_heap_attributes)");
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		if (attributes.reserved[i] != 0 ||
		    attributes.reserved_word != 0)
			return bad_attributes(name,
			                      "reserved fields must be zero");
	*shape = (struct heap_shared){
		.bytes = bytes ?: attributes.bytes,
		.desks = attributes.threads ?: DEFAULT_THREADS,
		.roots = attributes.roots ?: DEFAULT_ROOTS,
		.references = attributes.references ?: DEFAULT_REFERENCES,
	};
	shape->bytes &= ~UINT64_C(4095);
	if (!work_out(shape))
		return stoa_fail(-EINVAL,
		                 "attributes of heap %s: %d bytes or more, up "
		                 "to %lld, enough for at most %u threads, %u "
		                 "roots, %u references and some blocks",
		                 name, STOA_HEAP_BYTES_MIN,
		                 (long long)STOA_HEAP_BYTES_MAX, SLAB_DESKS_MAX,
		                 HEAP_ROOTS_MAX, HEAP_REFERENCES_MAX);
	return 0;
}

/* ---- Making and opening ----------------------------------------------------------- */

/* Reads once what is constant, and checks the copy: it must be what follows
 * from four of its numbers, and fit. */
static int adopt(struct stoa_heap *heap, char *base, uint64_t bytes)
{
	const struct heap_place *place = (const void *)base;
	struct heap_shared found = { 0 }, shape;

	if (bytes >= sizeof *place)
		found = place->shared;
	shape = (struct heap_shared){ .bytes = found.bytes,
		                      .desks = found.desks,
		                      .roots = found.roots,
		                      .references = found.references };
	if (!work_out(&shape) || shape.bytes > bytes ||
	    memcmp(&shape, &found, sizeof shape) != 0)
		return stoa_fail(-EUCLEAN,
		                 "heap %s is damaged: its shape can't be true; "
		                 "remove it",
		                 heap->object.name);
	heap->shape = shape;
	heap->base = base;
	heap->turn = &((struct heap_place *)base)->turn;
	heap->roots = (void *)(base + roots_at(&shape));
	heap->references = (void *)(base + references_at(&shape));
	heap->units = (void *)(base + units_at(&shape));
	heap->words = (void *)(base + words_at(&shape));
	slab_store_init(&heap->store, &heap->object);
	heap->store.desks = (void *)(base + sizeof(struct heap_place));
	heap->store.desk_count = shape.desks;
	heap->store.caches = HEAP_CLASSES;
	work_out_classes(heap);
	return 0;
}

static int set_up(struct stoa_heap *heap, char *base, uint64_t bytes)
{
	int result = adopt(heap, base, bytes);

	if (result == 0)
		result = stoa_object_sit(&heap->object);
	if (result == 0 && heap->object.header)
		stoa_object_bury(&heap->object, OPEN_BURIES);
	return result;
}

int stoa_heap_open(struct stoa_space *space, const char *name, unsigned flags,
                   mode_t mode, const struct stoa_heap_attributes *attributes,
                   struct stoa_heap **ret_heap)
{
	const char *shown = name ? name : "(unnamed)";
	struct heap_place content = { 0 };
	struct stoa_object_plan plan = { .kind = &stoa_heap_kind,
		                         .mode = mode,
		                         .content = &content,
		                         .content_bytes = sizeof content };
	struct stoa_heap *heap;
	int result = stoa_object_check_flags(&stoa_heap_kind, shown, flags);

	if (result == 0 && !name && !(flags & STOA_CREATE))
		return stoa_name_check(name, &shown);
	if (result == 0 && (flags & STOA_CREATE)) {
		result = read_attributes(shown, 0, attributes, &content.shared);
		plan.file_bytes = OBJECT_KIND_OFFSET + content.shared.bytes;
	}
	if (result < 0)
		return result;
	heap = stoa_object_allocate(&stoa_heap_kind, shown, sizeof *heap);
	if (!heap)
		return -ENOMEM;
	struct stoa_object *object = &heap->object;
	result = stoa_object_open(object, space, name,
	                          flags | STOA_READ | STOA_WRITE,
	                          &stoa_heap_kind, &plan);
	if (result < 0)
		goto free;
	result = set_up(heap, object->base + OBJECT_KIND_OFFSET,
	                object->bytes - OBJECT_KIND_OFFSET);
	if (result < 0)
		goto close;
	*ret_heap = heap;
	return 0;

close:
	stoa_object_close(object);
	stoa_object_abandon(object);
free:
	free(heap);
	return result;
}

static void make_place(void *memory, const void *context)
{
	((struct heap_place *)memory)->shared =
	        *(const struct heap_shared *)context;
}

int stoa_heap_place(struct stoa_space *space, void *memory, size_t bytes,
                    unsigned flags,
                    const struct stoa_heap_attributes *attributes,
                    struct stoa_heap **ret_heap)
{
	struct heap_shared shape = { 0 };
	uint64_t needed = sizeof(struct heap_place);
	struct stoa_heap *heap;
	int result = stoa_object_check_flags(&stoa_heap_kind, "in memory", flags);

	if (result == 0 && (uintptr_t)memory % 4096 != 0)
		result = stoa_fail(-EINVAL,
		                   "memory for a heap must be aligned to 4096, "
		                   "and not at %p",
		                   memory);
	if (result == 0 && (flags & STOA_CREATE)) {
		result = read_attributes("in memory", bytes ?: 1, attributes,
		                         &shape);
		needed = shape.data_at; /* blocks need not be cleared */
	}
	if (result < 0)
		return result;
	heap = stoa_object_allocate(&stoa_heap_kind, "in memory", sizeof *heap);
	if (!heap)
		return -ENOMEM;
	result = stoa_object_place(&heap->object, space, memory, bytes, needed,
	                           flags, &stoa_heap_kind, make_place, &shape);
	if (result < 0)
		goto free;
	result = set_up(heap, memory, bytes);
	if (result < 0)
		goto close;
	*ret_heap = heap;
	return 0;

close:
	stoa_object_close(&heap->object);
free:
	free(heap);
	return result;
}

void stoa_heap_close(struct stoa_heap *heap)
{
	if (!heap)
		return;
	slab_store_fini(&heap->store);
	stoa_object_close(&heap->object);
	free(heap);
}

int stoa_heap_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_heap_kind);
}

int stoa_heap_remove(struct stoa_heap *heap)
{
	return stoa_object_remove(&heap->object);
}

struct stoa_object *stoa_heap_object(struct stoa_heap *heap)
{
	return &heap->object;
}

/* ---- The kind --------------------------------------------------------------------- */

/* Nothing of a heap bears a token: the peers that it names are given back. */
static int bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_heap *heap = (struct stoa_heap *)object;
	stoa_peer peer = atomic_load_explicit(&object->peer,
	                                      memory_order_relaxed);
	struct slab_asker asker = { 0 };
	struct slab_keeper *keeper;
	int result;

	(void)token;
	/* Who buries on the way to a seat has none yet, and no desk without:
	 * asking for one would wait for the lock that this thread has. */
	if (!heap->words || peer == 0 || peer != heap_self(heap) ||
	    slab_keeper_make(&heap->store, &keeper) < 0)
		return 0; /* whoever needs room will */
	/* Who opens must not wait for one who was stopped with the turn. */
	result = heap_turn_by(heap, keeper, STOA_NOW);
	if (result < 0)
		return result == -EAGAIN ? 0 : result;
	result = heap_bury_references(heap, &asker);
	if (result >= 0)
		result = heap_bury_blocks(heap, &asker);
	heap_turn_end(heap, keeper);
	return result < 0 ? result : 0;
}

static int ready(struct stoa_object *object, unsigned direction,
                 const struct stoa_wait *wait)
{
	(void)direction;
	(void)wait;
	return stoa_fail(-EINVAL, "heap %s: there is nothing to wait for",
	                 object->name);
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_heap *heap;
	int result = stoa_heap_open(space, name, flags & OPEN_FLAGS, 0, NULL,
	                            &heap);

	if (result == 0)
		*ret_object = &heap->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_heap_close((struct stoa_heap *)object);
}

const struct stoa_object_kind stoa_heap_kind = {
	.name = "heap",
	.number = KIND_HEAP,
	.bury = bury,
	.ready = ready,
	.open = open_object,
	.close = close_object,
};
