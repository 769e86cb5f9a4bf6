/* SPDX-License-Identifier: MIT */
/* memory/heap.c: allocating, freeing and publishing blocks. Room for them is
 * found in heap_run.c, roots and references are in heap_root.c, making and
 * opening in heap_open.c, what people see in heap_inspect.c; why it holds is in
 * heap_layout.h and slab_layout.h. */
#include <base/error.h>
#include <memory/heap_internal.h>

#include <string.h>

#define TRIES 100 /* that others may undo, before there is no room */
#define SLOW __attribute__((noinline))

/* ---- Finding blocks ------------------------------------------------------------- */

static SLOW int no_block(struct stoa_heap *heap, uint64_t offset)
{
	return stoa_fail(-EINVAL, "no block of heap %s begins at %#llx",
	                 heap->object.name, (unsigned long long)offset);
}

static SLOW int stale(struct stoa_heap *heap, uint64_t offset)
{
	return stoa_fail(-ESTALE,
	                 "the block at %#llx of heap %s is free: it was freed, "
	                 "or came back from one who died",
	                 (unsigned long long)offset, heap->object.name);
}

int heap_not_ours(struct stoa_heap *heap, uint64_t offset)
{
	return stoa_fail(-EPERM,
	                 "the block at %#llx of heap %s is another process's, "
	                 "or published where it must be held, or the other way "
	                 "round",
	                 (unsigned long long)offset, heap->object.name);
}

static SLOW int bad_shape(struct stoa_heap *heap)
{
	return stoa_object_damaged(&heap->object,
	                           "a slab has a shape that can't be");
}

/* `line` is in the slab that begins at unit `head`. */
static inline int find_in_slab(struct stoa_heap *heap, uint32_t head,
                               uint64_t shape, uint64_t line,
                               struct heap_block *ret_block)
{
	uint32_t class = SHAPE_CLASS(shape) - 1;
	uint64_t first = heap_unit_line(heap, head), within, index;
	const struct heap_class *kind;

	if (stoa_unlikely(class >= HEAP_CLASSES ||
	                  SHAPE_LENGTH(shape) != heap->class[class].units ||
	                  heap->shape.units - head < SHAPE_LENGTH(shape)))
		return bad_shape(heap);
	kind = &heap->class[class];
	within = line - first;
	index = within * kind->reciprocal >> 32;
	if (stoa_unlikely(index >= kind->count ||
	                  index * (kind->bytes >> HEAP_LINE_SHIFT) != within))
		return -EINVAL;
	ret_block->line = line;
	ret_block->bytes = kind->bytes;
	ret_block->head = head;
	ret_block->class = class;
	ret_block->word = &heap->words[first + index];
	return 0;
}

static inline int find(struct stoa_heap *heap, uint64_t offset,
                       struct heap_block *ret_block)
{
	uint64_t within = offset - heap->shape.data_at, shape;
	uint32_t unit = (uint32_t)(within >> heap->shape.unit_shift);
	uint64_t line = within >> HEAP_LINE_SHIFT;

	if (stoa_unlikely(offset < heap->shape.data_at ||
	                  within >> heap->shape.unit_shift >=
	                          heap->shape.units ||
	                  within % (1 << HEAP_LINE_SHIFT) != 0))
		return -EINVAL;
	shape = heap_shape(heap, unit);
	if (shape & SHAPE_FOLLOWER) {
		uint32_t back = SHAPE_LENGTH(shape);

		if (back == 0 || back > unit)
			return -EINVAL;
		unit -= back;
		shape = heap_shape(heap, unit);
		if (shape & SHAPE_FOLLOWER || SHAPE_CLASS(shape) == 0 ||
		    SHAPE_LENGTH(shape) <= back)
			return -EINVAL;
	}
	if (stoa_likely(SHAPE_CLASS(shape) != 0))
		return find_in_slab(heap, unit, shape, line, ret_block);
	if (shape == 0 || line != heap_unit_line(heap, unit) ||
	    SHAPE_LENGTH(shape) > heap->shape.units - unit)
		return -EINVAL;
	ret_block->line = line;
	ret_block->bytes = (uint64_t)SHAPE_LENGTH(shape)
	                   << heap->shape.unit_shift;
	ret_block->head = unit;
	ret_block->class = HEAP_RUN;
	ret_block->word = &heap->words[line];
	return 0;
}

int heap_find(struct stoa_heap *heap, uint64_t offset,
              struct heap_block *ret_block)
{
	int result = find(heap, offset, ret_block);

	return result == -EINVAL ? no_block(heap, offset) : result;
}

int heap_find_used(struct stoa_heap *heap, uint64_t offset,
                   struct heap_block *ret_block, uint64_t *ret_word)
{
	int result = heap_find(heap, offset, ret_block);

	if (result < 0)
		return result;
	*ret_word = slab_word(ret_block->word);
	return slab_state(*ret_word) == SLAB_FREE ? stale(heap, offset) : 0;
}

/* ---- Allocating ------------------------------------------------------------------- */

/* 64 to 512 in steps of 64, then four to each doubling. */
static inline uint32_t class_of(uint64_t bytes)
{
	uint32_t last = (uint32_t)((bytes - 1) >> HEAP_LINE_SHIFT), top;

	if (last < 4)
		return last;
	top = 31 - (uint32_t)__builtin_clz(last);
	return 4 * (top - 1) + (last >> (top - 2) & 3);
}

static int try_slab(struct stoa_heap *heap, struct slab_keeper *keeper,
                    uint32_t unit, uint32_t class, enum slab_how how)
{
	uint64_t shape = SHAPE_SLAB(class, heap->class[class].units);
	struct slab_cache *cache = &keeper->cache[class];
	struct heap_unit *slab = &heap->units[unit];

	if (!slab_lease(&heap->store, keeper, cache, &slab->lease, how))
		return 0;
	cache->first = heap_unit_line(heap, unit);
	cache->words = &heap->words[cache->first];
	cache->count = heap->class[class].count;
	cache->rover = unit;
	cache->offset = heap_offset_of(heap, cache->first);
	cache->bytes = heap->class[class].bytes;
	cache->span = (uint64_t)cache->bytes * cache->count;
	cache->reciprocal = heap->class[class].reciprocal;
	heap_set(slab->exhausted, 1);
	/* It may have been retired before the lease was ours. */
	if (heap_shape(heap, unit) == shape && slab_fill(cache) != 0)
		return 1;
	slab_give_up(cache);
	return 0;
}

static int is_slab(const struct stoa_heap *heap, uint32_t unit, uint32_t class)
{
	return heap_shape(heap, unit) ==
	               SHAPE_SLAB(class, heap->class[class].units) &&
	       heap->shape.units - unit >= heap->class[class].units;
}

/* Slabs that nobody has, and that are not known to be exhausted. */
static int look_quickly(struct stoa_heap *heap, struct slab_keeper *keeper,
                        uint32_t class)
{
	uint32_t units = heap->shape.units, at = keeper->cache[class].rover;

	for (uint32_t seen = 0; seen < units;) {
		uint32_t length = 1;
		uint64_t shape;

		at = at >= units ? 0 : at;
		shape = heap_shape(heap, at);
		if (is_slab(heap, at, class) &&
		    !heap_get(heap->units[at].exhausted) &&
		    try_slab(heap, keeper, at, class, SLAB_UNOWNED))
			return 1;
		if (!(shape & SHAPE_FOLLOWER) && SHAPE_LENGTH(shape) != 0)
			length = SHAPE_LENGTH(shape);
		else if (shape == 0)
			length = units - at; /* nothing after it yet */
		length = length < units - at ? length : units - at;
		seen += length;
		at += length;
	}
	return 0;
}

/* All slabs of the class; blocks of the dead are given back. */
static int look_everywhere(struct stoa_heap *heap, struct slab_keeper *keeper,
                           uint32_t class)
{
	struct slab_asker asker = { 0 };

	for (uint32_t unit = 0; unit < heap->shape.units; unit++)
		if (is_slab(heap, unit, class) &&
		    slab_any_free(&heap->store,
		                  &heap->words[heap_unit_line(heap, unit)],
		                  heap->class[class].count, &asker) &&
		    try_slab(heap, keeper, unit, class, SLAB_ANYBODY))
			return 1;
	return 0;
}

/* With the turn: a run of so many units. -ENOSPC, -EUCLEAN. */
static int64_t make_room(struct stoa_heap *heap, struct slab_keeper *keeper,
                         uint32_t length, int thoroughly)
{
	struct slab_asker asker = { 0 };
	int64_t head = heap_claim(heap, length);

	if (head != -ENOSPC || !thoroughly)
		return head;
	int result = heap_bury_references(heap, &asker);
	if (result >= 0)
		result = heap_bury_blocks(heap, &asker);
	if (result >= 0)
		result = heap_retire(heap, keeper);
	return result < 0 ? result : heap_claim(heap, length);
}

/* A new slab. 1: done; 0: no room; -EUCLEAN and the like. */
static int add_slab(struct stoa_heap *heap, struct slab_keeper *keeper,
                    uint32_t class, int thoroughly)
{
	int64_t head;
	int result = heap_turn_begin(heap, keeper);

	if (result < 0)
		return result;
	head = make_room(heap, keeper, heap->class[class].units, thoroughly);
	if (head >= 0) {
		heap_form(heap, (uint32_t)head, class);
		result = try_slab(heap, keeper, (uint32_t)head, class,
		                  SLAB_ANYBODY);
	}
	heap_turn_end(heap, keeper);
	return head < 0 && head != -ENOSPC ? (int)head : result;
}

/* The thread knows of no free block. 1: it does now. */
static int find_free(struct stoa_heap *heap, struct slab_keeper *keeper,
                     uint32_t class)
{
	struct slab_cache *cache = &keeper->cache[class];
	int result;

	if (slab_leased(cache) && slab_fill(cache) != 0)
		return 1;
	slab_give_up(cache);
	if (look_quickly(heap, keeper, class))
		return 1;
	result = add_slab(heap, keeper, class, 0);
	if (result != 0)
		return result;
	if (look_everywhere(heap, keeper, class))
		return 1;
	result = add_slab(heap, keeper, class, 1);
	if (result != 0)
		return result;
	/* No room for a slab, but references of the dead were given up, and
	 * blocks of slabs in use with them. */
	return look_everywhere(heap, keeper, class);
}

static SLOW int no_room(struct stoa_heap *heap, uint64_t bytes)
{
	return stoa_fail(-ENOSPC,
	                 "heap %s has no room for a block of %llu bytes",
	                 heap->object.name, (unsigned long long)bytes);
}

static int allocate_small(struct stoa_heap *heap, struct slab_keeper *keeper,
                          uint32_t class, uint64_t *ret_offset)
{
	struct slab_cache *cache = &keeper->cache[class];

	for (int i = 0; i < TRIES; i++) {
		uint64_t word;
		int32_t index = slab_take(keeper, cache, &word);

		if (index >= 0) {
			*ret_offset = cache->offset +
			              (uint64_t)index * cache->bytes;
			return 0;
		}
		int result = find_free(heap, keeper, class);
		if (result < 0)
			return result;
		if (result == 0)
			break;
	}
	return -ENOSPC;
}

static int allocate_run(struct stoa_heap *heap, struct slab_keeper *keeper,
                        uint64_t bytes, uint64_t *ret_offset)
{
	uint64_t unit = UINT64_C(1) << heap->shape.unit_shift;
	uint64_t length = (bytes + unit - 1) >> heap->shape.unit_shift;
	_Atomic uint64_t *word;
	int64_t head;
	int result = heap_turn_begin(heap, keeper);

	if (result < 0)
		return result;
	head = make_room(heap, keeper, (uint32_t)length, 1);
	if (head >= 0) {
		word = &heap->words[heap_unit_line(heap, (uint32_t)head)];
		/* Transition 1 of the slab layout: the turn is the lease.
		 * release: the shape is there before the word */
		atomic_store_explicit(
		        word,
		        slab_held_word(slab_word(word) + SLAB_GENERATION_ONE,
		                       keeper->peer),
		        memory_order_release);
		*ret_offset = heap_offset_of(
		        heap, heap_unit_line(heap, (uint32_t)head));
	}
	heap_turn_end(heap, keeper);
	return head < 0 ? (int)head : 0;
}

/* The smallest class whose blocks are all so aligned; HEAP_RUN: none is. */
static uint32_t class_for(struct stoa_heap *heap, uint64_t bytes,
                          uint64_t alignment)
{
	uint32_t class =
	        bytes > heap->small_max ? HEAP_RUN : class_of(bytes);

	while (class < heap->classes && heap->class[class].bytes % alignment)
		class++;
	return class < heap->classes ? class : HEAP_RUN;
}

static SLOW int allocate_slowly(struct stoa_heap *heap, uint64_t bytes,
                                uint64_t alignment, uint64_t *ret_offset)
{
	uint64_t offset = 0;
	struct slab_keeper *keeper;
	uint32_t class;
	int result = heap_enter(heap);

	if (result < 0)
		return result;
	if (alignment == 0)
		alignment = 1;
	if (bytes == 0 || (alignment & (alignment - 1)) != 0 ||
	    alignment > STOA_HEAP_ALIGNMENT_MAX)
		return stoa_fail(-EINVAL,
		                 "heap %s allocates 1 byte or more, aligned to "
		                 "a power of two up to %d",
		                 heap->object.name, STOA_HEAP_ALIGNMENT_MAX);
	if (bytes > (uint64_t)heap->shape.units << heap->shape.unit_shift)
		return no_room(heap, bytes);
	result = slab_keeper_make(&heap->store, &keeper);
	if (result < 0)
		return result;
	class = class_for(heap, bytes, alignment);
	if (class < HEAP_CLASSES)
		result = allocate_small(heap, keeper, class, &offset);
	/* There may be room for a block where there's none for a slab. */
	if (class >= HEAP_CLASSES_SMALL &&
	    (class == HEAP_RUN || result == -ENOSPC))
		result = allocate_run(heap, keeper, bytes, &offset);
	if (result == -ENOSPC)
		no_room(heap, bytes);
	result = (int)heap_leave(heap, result);
	if (result == 0)
		*ret_offset = offset;
	return result;
}

int stoa_heap_allocate(struct stoa_heap *heap, uint64_t bytes,
                       uint64_t alignment, uint64_t *ret_offset)
{
	struct slab_keeper *keeper = slab_keeper(&heap->store);

	if (stoa_likely(keeper && alignment <= 64 &&
	                (alignment & (alignment - 1)) == 0 &&
	                bytes - 1 < heap->small_max &&
	                stoa_object_healthy(&heap->object))) {
		uint32_t class = class_of(bytes);
		struct slab_cache *cache = &keeper->cache[class];
		uint64_t word;
		int32_t index = slab_take(keeper, cache, &word);

		/* Where the file was cut short, it may be anything. */
		if (stoa_likely(index >= 0 &&
		                !atomic_load_explicit(&heap->object.poisoned,
		                                      memory_order_relaxed))) {
			keeper->recent = cache;
			*ret_offset = cache->offset +
			              (uint64_t)index * cache->bytes;
			return 0;
		}
	}
	return allocate_slowly(heap, bytes, alignment, ret_offset);
}

/* ---- Freeing ------------------------------------------------------------------------- */

void heap_note_free(struct stoa_heap *heap, uint32_t head)
{
	if (heap_get(heap->units[head].exhausted))
		heap_set(heap->units[head].exhausted, 0);
}

static SLOW int free_slowly(struct stoa_heap *heap, uint64_t offset)
{
	struct heap_block block;
	uint64_t word;
	int result = heap_enter(heap);

	if (result == 0)
		result = heap_find_used(heap, offset, &block, &word);
	if (result < 0)
		return result;
	if (word != slab_held_word(word, heap_self(heap)) ||
	    !slab_exchange(block.word, word, slab_free_word(word)))
		return heap_not_ours(heap, offset);
	heap_note_free(heap, block.head);
	return (int)heap_leave(heap, 0);
}

/* A block of the slab that the thread took one of last: as long as the lease is
 * its own, the slab is what it was then. 1: freed. */
static inline int free_recent(struct stoa_heap *heap,
                              struct slab_keeper *keeper, uint64_t offset)
{
	struct slab_cache *cache = keeper->recent;
	uint64_t within = offset - cache->offset, index, word;

	if (within >= cache->span || !slab_leased(cache) ||
	    !stoa_object_healthy(&heap->object))
		return 0;
	index = (within >> HEAP_LINE_SHIFT) * cache->reciprocal >> 32;
	word = slab_word(&cache->words[index]);
	if (stoa_unlikely(index * cache->bytes != within ||
	                  word != slab_held_word(word, keeper->peer)))
		return 0;
	/* release: pairs with the acquire of whoever takes it next */
	atomic_store_explicit(&cache->words[index], slab_free_word(word),
	                      memory_order_release);
	slab_remember(cache, (uint32_t)index);
	return 1;
}

static SLOW int free_any(struct stoa_heap *heap, struct slab_keeper *keeper,
                         uint64_t offset)
{
	struct slab_cache *cache;
	struct heap_block block;
	uint64_t word, index;

	if (!stoa_object_healthy(&heap->object) ||
	    find(heap, offset, &block) < 0)
		return free_slowly(heap, offset);
	word = slab_word(block.word);
	if (word != slab_held_word(word, keeper->peer))
		return free_slowly(heap, offset);
	/* release: as above */
	atomic_store_explicit(block.word, slab_free_word(word),
	                      memory_order_release);
	if (block.class == HEAP_RUN)
		return 0;
	cache = &keeper->cache[block.class];
	index = (uint64_t)(block.word - heap->words) - cache->first;
	if (index < cache->count)
		slab_remember(cache, (uint32_t)index);
	else
		heap_note_free(heap, block.head);
	return 0;
}

int stoa_heap_free(struct stoa_heap *heap, uint64_t offset)
{
	struct slab_keeper *keeper = slab_keeper(&heap->store);

	if (stoa_unlikely(!keeper))
		return free_slowly(heap, offset);
	if (stoa_likely(free_recent(heap, keeper, offset)))
		return 0;
	return free_any(heap, keeper, offset);
}

/* ---- Resizing -------------------------------------------------------------------------- */

static int move(struct stoa_heap *heap, const struct heap_block *block,
                uint64_t offset, uint64_t bytes, uint64_t *ret_offset)
{
	uint64_t to = 0;
	int result = stoa_heap_allocate(heap, bytes, 0, &to);

	if (result < 0)
		return result;
	memcpy(heap->base + to, heap->base + offset,
	       bytes < block->bytes ? bytes : block->bytes);
	result = stoa_heap_free(heap, offset);
	if (result == 0)
		*ret_offset = to;
	return result;
}

static int stretch(struct stoa_heap *heap, const struct heap_block *block,
                   uint64_t bytes)
{
	uint64_t unit = UINT64_C(1) << heap->shape.unit_shift;
	struct slab_keeper *keeper;
	int result = slab_keeper_make(&heap->store, &keeper);

	if (result == 0)
		result = heap_turn_begin(heap, keeper);
	if (result < 0)
		return result;
	result = heap_stretch(heap, block,
	                      (uint32_t)((bytes + unit - 1) >>
	                                 heap->shape.unit_shift));
	heap_turn_end(heap, keeper);
	return result;
}

int stoa_heap_resize(struct stoa_heap *heap, uint64_t offset, uint64_t bytes,
                     uint64_t *ret_offset)
{
	struct heap_block block;
	uint64_t word, to = offset;
	int result = heap_enter(heap);

	if (result == 0)
		result = heap_find_used(heap, offset, &block, &word);
	if (result < 0)
		return (int)heap_leave(heap, result);
	if (bytes == 0)
		return stoa_fail(-EINVAL,
		                 "a block of heap %s has 1 byte or more",
		                 heap->object.name);
	if (word != slab_held_word(word, heap_self(heap)))
		return heap_not_ours(heap, offset);
	if (bytes > (uint64_t)heap->shape.units << heap->shape.unit_shift)
		return no_room(heap, bytes);
	result = -ENOSPC;
	if (block.class == HEAP_RUN && bytes > heap->small_max)
		result = stretch(heap, &block, bytes);
	else if (class_for(heap, bytes, 1) == block.class)
		result = 0;
	if (result == -ENOSPC)
		result = move(heap, &block, offset, bytes, &to);
	result = (int)heap_leave(heap, result);
	if (result == 0)
		*ret_offset = to;
	return result;
}

/* ---- Offsets and pointers ------------------------------------------------------------------ */

int64_t stoa_heap_size(struct stoa_heap *heap, uint64_t offset)
{
	struct heap_block block;
	uint64_t word;
	int result = heap_enter(heap);

	if (result == 0)
		result = heap_find_used(heap, offset, &block, &word);
	return heap_leave(heap, result < 0 ? result : (int64_t)block.bytes);
}

static SLOW void *not_there(struct stoa_heap *heap, uint64_t offset,
                            uint64_t bytes)
{
	struct heap_block block;
	uint64_t word;

	if (stoa_object_health(&heap->object) == 0 &&
	    heap_find_used(heap, offset, &block, &word) == 0)
		stoa_fail(-EINVAL,
		          "the block at %#llx of heap %s has %llu bytes, and "
		          "not %llu",
		          (unsigned long long)offset, heap->object.name,
		          (unsigned long long)block.bytes,
		          (unsigned long long)bytes);
	return NULL;
}

void *stoa_heap_at(struct stoa_heap *heap, uint64_t offset, uint64_t bytes)
{
	struct heap_block block;

	if (stoa_unlikely(!stoa_object_healthy(&heap->object) ||
	                  find(heap, offset, &block) < 0 ||
	                  bytes > block.bytes ||
	                  slab_state(slab_word(block.word)) == SLAB_FREE))
		return not_there(heap, offset, bytes);
	return heap->base + offset;
}

int stoa_heap_offset(struct stoa_heap *heap, const void *data,
                     uint64_t *ret_offset)
{
	uint64_t offset = (uint64_t)((const char *)data - heap->base), word;
	struct heap_block block;
	int result = heap_enter(heap);

	if (result == 0)
		result = heap_find_used(heap, offset, &block, &word);
	result = (int)heap_leave(heap, result);
	if (result == 0)
		*ret_offset = offset;
	return result;
}

/* ---- Publishing -------------------------------------------------------------------------------- */

int stoa_heap_publish(struct stoa_heap *heap, uint64_t offset)
{
	struct heap_block block;
	uint64_t word;
	int result = heap_enter(heap);

	if (result == 0)
		result = heap_find_used(heap, offset, &block, &word);
	if (result < 0)
		return (int)heap_leave(heap, result);
	if (word != slab_held_word(word, heap_self(heap)) ||
	    !slab_exchange(block.word, word,
	                   SLAB_PUBLISHED | (word & SLAB_GENERATION_MASK) | 1))
		return heap_not_ours(heap, offset);
	return (int)heap_leave(heap, 0);
}

int heap_lose(struct stoa_heap *heap, const struct heap_block *block,
              uint64_t taken)
{
	for (int i = 0; i < HEAP_SWAPS; i++) {
		uint64_t word = slab_word(block->word);
		uint64_t left = word & ~taken;

		if (slab_state(word) != SLAB_PUBLISHED)
			return 0;
		if ((left & PUBLISHED_KEEPS) == 0)
			left = slab_free_word(word);
		if (!slab_exchange(block->word, word, left))
			continue;
		if (slab_state(left) != SLAB_FREE)
			return 0;
		heap_note_free(heap, block->head);
		return 1;
	}
	stoa_object_damaged(&heap->object, "a block changes all the time");
	return 0;
}

static SLOW int too_often(struct stoa_heap *heap, uint64_t offset)
{
	return stoa_fail(-EOVERFLOW,
	                 "the block at %#llx of heap %s is kept %d times "
	                 "already",
	                 (unsigned long long)offset, heap->object.name,
	                 STOA_HEAP_COUNT_MAX);
}

/* Changes the kept count by one. */
static int count(struct stoa_heap *heap, uint64_t offset, int up)
{
	struct heap_block block;
	uint64_t word, changed;
	int result = heap_enter(heap);

	for (int i = 0; result == 0 && i < HEAP_SWAPS; i++) {
		result = heap_find_used(heap, offset, &block, &word);
		if (result < 0)
			break;
		uint32_t kept = (uint32_t)(word & PUBLISHED_COUNT_MASK);
		if (slab_state(word) != SLAB_PUBLISHED || (!up && kept == 0))
			return heap_not_ours(heap, offset);
		if (up && kept >= STOA_HEAP_COUNT_MAX)
			return too_often(heap, offset);
		changed = up ? word + 1 : word - 1;
		if ((changed & PUBLISHED_KEEPS) == 0)
			changed = slab_free_word(word);
		if (!slab_exchange(block.word, word, changed))
			continue;
		if (slab_state(changed) == SLAB_FREE)
			heap_note_free(heap, block.head);
		return (int)heap_leave(heap, 0);
	}
	if (result == 0)
		result = stoa_object_damaged(&heap->object,
		                             "a block changes all the time");
	return (int)heap_leave(heap, result);
}

int stoa_heap_keep(struct stoa_heap *heap, uint64_t offset)
{
	return count(heap, offset, 1);
}

int stoa_heap_drop(struct stoa_heap *heap, uint64_t offset)
{
	return count(heap, offset, 0);
}
