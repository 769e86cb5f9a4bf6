/* SPDX-License-Identifier: MIT */
/* memory/heap_inspect.c: what is in a heap, and what keeps it. */
#include <base/error.h>
#include <memory/heap_internal.h>

#include <string.h>

static int begin(struct stoa_heap *heap, struct slab_keeper **ret_keeper)
{
	int result = heap_enter(heap);

	if (result == 0)
		result = slab_keeper_make(&heap->store, ret_keeper);
	return result < 0 ? result : heap_turn_begin(heap, *ret_keeper);
}

static int collect(struct stoa_heap *heap)
{
	struct slab_asker asker = { 0 };
	int references = heap_bury_references(heap, &asker);
	int blocks = references < 0 ? 0 : heap_bury_blocks(heap, &asker);

	return references < 0 ? references :
	       blocks < 0     ? blocks :
	                        references + blocks;
}

int stoa_heap_collect(struct stoa_heap *heap)
{
	struct slab_keeper *keeper;
	int result = begin(heap, &keeper);

	if (result < 0)
		return result;
	result = collect(heap);
	heap_turn_end(heap, keeper);
	return (int)heap_leave(heap, result);
}

/* ---- Numbers -------------------------------------------------------------------- */

struct sums {
	struct stoa_heap_status *status;
	uint64_t free_units; /* in a row, up to here */
};

static void count_word(struct stoa_heap_status *status, uint64_t word,
                       uint64_t bytes)
{
	if (slab_state(word) == SLAB_FREE)
		return;
	status->used += bytes;
	if (slab_state(word) == SLAB_HELD)
		status->held++;
	else
		status->published++;
}

static int count_run(struct stoa_heap *heap, const struct heap_run *run,
                     void *context)
{
	struct sums *sums = context;
	struct stoa_heap_status *status = sums->status;
	_Atomic uint64_t *words =
	        &heap->words[heap_unit_line(heap, run->head)];
	uint64_t bytes = (uint64_t)run->length << heap->shape.unit_shift;

	if (run->class != HEAP_RUN) {
		const struct heap_class *class = &heap->class[run->class];

		status->slabs++;
		for (uint32_t i = 0; i < class->count; i++)
			count_word(status, slab_word(&words[i]), class->bytes);
		sums->free_units = 0;
		return 0;
	}
	count_word(status, slab_word(words), bytes);
	sums->free_units = slab_state(slab_word(words)) == SLAB_FREE ?
	                           sums->free_units + run->length :
	                           0;
	if (sums->free_units << heap->shape.unit_shift > status->largest)
		status->largest = sums->free_units << heap->shape.unit_shift;
	return 0;
}

static void count_tables(struct stoa_heap *heap, struct stoa_heap_status *status)
{
	struct stoa_life *life = &heap->object.space->life;

	for (uint32_t i = 0; i < heap->shape.roots; i++)
		status->roots += heap_get(heap->roots[i].offset) != 0;
	for (uint32_t i = 0; i < heap->shape.references; i++)
		status->references += heap_get(heap->references[i].holder) != 0;
	for (uint32_t i = 0; i < heap->shape.desks; i++) {
		uint64_t agent = heap_get(heap->store.desks[i].agent);

		status->threads += agent != 0 &&
		                   stoa_life_alive(life, AGENT_PEER(agent));
	}
}

static void tell_file(struct stoa_object *object,
                      struct stoa_heap_status *status)
{
	uint32_t seats = stoa_object_seats(object);

	if (!object->header)
		return;
	status->created_ns = object->copy.created_ns;
	status->generation = object->copy.generation;
	status->creator_pid = object->copy.creator_pid;
	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(object, i);
		stoa_peer peer = seat ? heap_get(seat->owner) >> 16 : 0;

		status->users += peer != 0 &&
		                 stoa_life_alive(&object->space->life, peer);
	}
}

int stoa_heap_stat(struct stoa_heap *heap, struct stoa_heap_status *ret_status)
{
	struct stoa_heap_status status = { .size = sizeof status };
	struct sums sums = { .status = &status };
	struct slab_keeper *keeper;
	int result;

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "status of heap %s: size must be "
		                 "sizeof(struct stoa_heap_status)",
		                 heap->object.name);
	result = begin(heap, &keeper);
	if (result < 0)
		return result;
	result = collect(heap);
	status.collected = result < 0 ? 0 : (uint32_t)result;
	if (result >= 0)
		result = heap_each_run(heap, count_run, &sums);
	if (result == 0)
		count_tables(heap, &status);
	heap_turn_end(heap, keeper);
	status.bytes = heap->shape.bytes;
	status.capacity = (uint64_t)heap->shape.units << heap->shape.unit_shift;
	status.roots_max = heap->shape.roots;
	status.references_max = heap->shape.references;
	status.threads_max = heap->shape.desks;
	tell_file(&heap->object, &status);
	result = (int)heap_leave(heap, result);
	if (result == 0)
		*ret_status = status;
	return result;
}

/* ---- One by one -------------------------------------------------------------------- */

int stoa_heap_each_root(struct stoa_heap *heap,
                        int (*visit)(const struct stoa_heap_root *root,
                                     void *context),
                        void *context)
{
	int visited = 0, result = 0;

	for (uint32_t i = 0; result == 0 && i < heap->shape.roots; i++) {
		struct stoa_heap_root shown = { .offset = 0 };
		struct slab_keeper *keeper;
		struct heap_block block;

		result = begin(heap, &keeper);
		if (result < 0)
			break;
		shown.offset = heap_get(heap->roots[i].offset);
		memcpy(shown.name, heap->roots[i].name, sizeof shown.name - 1);
		if (shown.offset != 0)
			result = heap_find(heap, shown.offset, &block);
		heap_turn_end(heap, keeper);
		if (result == -EINVAL ||
		    (shown.offset != 0 && shown.name[0] == 0))
			result = stoa_object_damaged(&heap->object,
			                             "a root is no block");
		if (result < 0 || shown.offset == 0)
			continue;
		shown.bytes = block.bytes;
		result = visit(&shown, context);
		visited++;
	}
	if (result != 0)
		return result;
	return (int)heap_leave(heap, visited);
}

static int see(struct stoa_heap *heap, uint64_t line, uint64_t bytes,
               uint64_t word,
               int (*visit)(const struct stoa_heap_use *use, void *context),
               void *context)
{
	struct stoa_heap_use use = { .offset = heap_offset_of(heap, line),
		                     .bytes = bytes };

	if (slab_state(word) == SLAB_FREE)
		return 0;
	if (slab_state(word) == SLAB_HELD) {
		use.holder = SLAB_PEER(word);
	} else {
		use.kept = (uint32_t)(word & PUBLISHED_COUNT_MASK);
		use.rooted = (word & PUBLISHED_ROOTED) != 0;
		use.retained = (word & PUBLISHED_SHARED) != 0;
	}
	return visit(&use, context);
}

/* Without the turn, so that `visit` may do what it likes: units that aren't what
 * they seem any more are passed over. */
int stoa_heap_each(struct stoa_heap *heap,
                   int (*visit)(const struct stoa_heap_use *use, void *context),
                   void *context)
{
	int visited = 0, result = heap_enter(heap);

	for (uint32_t at = 0; result == 0 && at < heap->shape.units;) {
		uint64_t shape = heap_shape(heap, at);
		uint64_t line = heap_unit_line(heap, at);
		uint32_t length = SHAPE_LENGTH(shape), count = 1, class;
		uint64_t bytes = (uint64_t)length << heap->shape.unit_shift;

		class = SHAPE_CLASS(shape);
		if (shape == 0)
			break;
		if ((shape & SHAPE_FOLLOWER) || class > HEAP_CLASSES ||
		    length == 0 || length > heap->shape.units - at) {
			at++;
			continue;
		}
		if (class != 0) {
			count = heap->class[class - 1].count;
			bytes = heap->class[class - 1].bytes;
			if (length != heap->class[class - 1].units)
				count = 0;
		}
		for (uint32_t i = 0; result == 0 && i < count; i++) {
			uint64_t word = slab_word(&heap->words[line + i]);

			visited += slab_state(word) != SLAB_FREE;
			result = see(heap, line + i * (bytes >> HEAP_LINE_SHIFT),
			             bytes, word, visit, context);
		}
		at += length;
	}
	if (result != 0)
		return result;
	return (int)heap_leave(heap, visited);
}
