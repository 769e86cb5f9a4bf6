/* SPDX-License-Identifier: MIT */
/* memory/heap_root.c: roots, references of processes, and mending both. See the
 * truth in heap_layout.h. */
#include <base/bug.h>
#include <base/error.h>
#include <memory/heap_internal.h>

#include <string.h>

/* Keeps the compiler from moving stores: what is before it is in memory before
 * what is after it, for whoever takes over when this process is dead. */
static void in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* The turn, and `dirty`: between the two roots and references are changed. */
static int begin(struct stoa_heap *heap, struct slab_keeper **ret_keeper)
{
	int result = heap_enter(heap);

	if (result == 0)
		result = slab_keeper_make(&heap->store, ret_keeper);
	if (result == 0)
		result = heap_turn_begin(heap, *ret_keeper);
	if (result < 0)
		return result;
	heap_set(heap->turn->dirty, 1);
	in_order();
	return 0;
}

static int end(struct stoa_heap *heap, struct slab_keeper *keeper, int result)
{
	in_order();
	heap_set(heap->turn->dirty, 0);
	heap_turn_end(heap, keeper);
	return (int)heap_leave(heap, result);
}

/* ---- References of processes ---------------------------------------------------- */

static int is_named(struct stoa_heap *heap, uint64_t offset)
{
	for (uint32_t i = 0; i < heap->shape.references; i++)
		if (heap_get(heap->references[i].holder) != 0 &&
		    heap_get(heap->references[i].offset) == offset)
			return 1;
	return 0;
}

/* A reference to `offset` is gone. 1: the block is free now. */
static int lose_shared(struct stoa_heap *heap, uint64_t offset)
{
	struct heap_block block;

	if (is_named(heap, offset) || heap_find(heap, offset, &block) < 0)
		return 0;
	return heap_lose(heap, &block, PUBLISHED_SHARED);
}

int heap_bury_references(struct stoa_heap *heap, struct slab_asker *asker)
{
	uint32_t dirty = heap_get(heap->turn->dirty);
	int buried = 0;

	heap_set(heap->turn->dirty, 1);
	in_order();
	for (uint32_t i = 0; i < heap->shape.references; i++) {
		struct heap_reference *reference = &heap->references[i];
		uint64_t holder = heap_get(reference->holder);

		if (holder == 0 ||
		    !slab_peer_dead(&heap->store, AGENT_PEER(holder), asker))
			continue;
		heap_set(reference->holder, 0);
		in_order();
		if (!STOA_BUG(73))
			lose_shared(heap, heap_get(reference->offset));
		buried++;
	}
	in_order();
	heap_set(heap->turn->dirty, dirty);
	return buried;
}

static struct heap_reference *find_reference(struct stoa_heap *heap,
                                             stoa_peer peer, uint64_t offset)
{
	for (uint32_t i = 0; i < heap->shape.references; i++)
		if (AGENT_PEER(heap_get(heap->references[i].holder)) == peer &&
		    (peer == 0 ||
		     heap_get(heap->references[i].offset) == offset))
			return &heap->references[i];
	return NULL;
}

/* The block is published, and something keeps it while we have the turn or the
 * caller knows it: the swap says whether that was so. */
static int set_flag(const struct heap_block *block, uint64_t flag)
{
	for (int i = 0; i < HEAP_SWAPS; i++) {
		uint64_t word = slab_word(block->word);

		if (slab_state(word) != SLAB_PUBLISHED)
			break;
		if (slab_exchange(block->word, word, word | flag))
			return 0;
	}
	return -ESTALE;
}

static int add_reference(struct stoa_heap *heap, const struct heap_block *block,
                         uint64_t offset)
{
	stoa_peer self = heap_self(heap);
	struct heap_reference *reference = find_reference(heap, self, offset);
	struct slab_asker asker = { 0 };
	uint64_t holder;

	if (reference) {
		holder = heap_get(reference->holder);
		if (holder >> REFERENCE_COUNT_SHIFT >= REFERENCE_COUNT_MAX)
			return stoa_fail(-EOVERFLOW,
			                 "heap %s: this process has retained "
			                 "the block at %#llx %u times",
			                 heap->object.name,
			                 (unsigned long long)offset,
			                 REFERENCE_COUNT_MAX);
		heap_set(reference->holder,
		         holder + (UINT64_C(1) << REFERENCE_COUNT_SHIFT));
		return 0;
	}
	reference = find_reference(heap, 0, 0);
	if (!reference && heap_bury_references(heap, &asker) > 0)
		reference = find_reference(heap, 0, 0);
	if (!reference)
		return stoa_fail(-ENOSPC,
		                 "heap %s was made for %u references of "
		                 "processes, and has as many",
		                 heap->object.name, heap->shape.references);
	if (set_flag(block, PUBLISHED_SHARED) < 0)
		return stoa_fail(-ESTALE,
		                 "the block at %#llx of heap %s was freed",
		                 (unsigned long long)offset,
		                 heap->object.name);
	in_order();
	heap_set(reference->offset, offset);
	in_order();
	heap_set(reference->holder,
	         self | UINT64_C(1) << REFERENCE_COUNT_SHIFT); /* commits */
	return 0;
}

int stoa_heap_retain(struct stoa_heap *heap, uint64_t offset)
{
	struct slab_keeper *keeper;
	struct heap_block block;
	uint64_t word;
	int result = begin(heap, &keeper);

	if (result < 0)
		return result;
	result = heap_find_used(heap, offset, &block, &word);
	if (result == 0 && slab_state(word) != SLAB_PUBLISHED)
		result = heap_not_ours(heap, offset);
	if (result == 0)
		result = add_reference(heap, &block, offset);
	return end(heap, keeper, result);
}

int stoa_heap_release(struct stoa_heap *heap, uint64_t offset)
{
	struct slab_keeper *keeper;
	struct heap_reference *reference;
	struct heap_block block;
	uint64_t word, holder;
	int result = begin(heap, &keeper);

	if (result < 0)
		return result;
	result = heap_find_used(heap, offset, &block, &word);
	reference = result < 0 ? NULL :
	                         find_reference(heap, heap_self(heap), offset);
	if (result == 0 && !reference)
		result = heap_not_ours(heap, offset);
	if (result < 0)
		return end(heap, keeper, result);
	holder = heap_get(reference->holder) -
	         (UINT64_C(1) << REFERENCE_COUNT_SHIFT);
	if (holder >> REFERENCE_COUNT_SHIFT == 0)
		holder = 0;
	heap_set(reference->holder, holder); /* commits */
	in_order();
	if (holder == 0)
		lose_shared(heap, offset);
	return end(heap, keeper, 0);
}

/* ---- Roots ------------------------------------------------------------------------- */

static int check_name(struct stoa_heap *heap, const char *name)
{
	size_t length = name ? strnlen(name, STOA_HEAP_ROOT_NAME_MAX + 1) : 0;

	if (length != 0 && length <= STOA_HEAP_ROOT_NAME_MAX &&
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                 "abcdefghijklmnopqrstuvwxyz0123456789._-") == length)
		return 0;
	return stoa_fail(-EINVAL,
	                 "heap %s: a root's name is 1 to %d of A-Z a-z 0-9 . _ "
	                 "-",
	                 heap->object.name, STOA_HEAP_ROOT_NAME_MAX);
}

/* NULL: the first that is free. */
static struct heap_root *find_root(struct stoa_heap *heap, const char *name)
{
	for (uint32_t i = 0; i < heap->shape.roots; i++) {
		struct heap_root *root = &heap->roots[i];

		if ((heap_get(root->offset) == 0) != !name)
			continue;
		if (!name || strncmp(root->name, name, sizeof root->name) == 0)
			return root;
	}
	return NULL;
}

static int no_root(struct stoa_heap *heap, const char *name)
{
	return stoa_fail(-ENOENT, "heap %s has no root %s", heap->object.name,
	                 name);
}

/* The block loses its name, which is another's or nobody's by now. */
static int lose_root(struct stoa_heap *heap, uint64_t offset)
{
	struct heap_block block;
	int result = offset == 0 ? 0 : heap_find(heap, offset, &block);

	if (offset == 0 || result < 0)
		return result < 0 ? stoa_object_damaged(
		                            &heap->object,
		                            "a root is no block") :
		                    0;
	heap_lose(heap, &block, PUBLISHED_ROOTED);
	return 0;
}

/* The block gets its name: published if it was this process's. */
static int take_root(struct stoa_heap *heap, uint64_t offset)
{
	struct heap_block block;
	uint64_t word;
	int result = heap_find_used(heap, offset, &block, &word);

	if (result < 0)
		return result;
	if (slab_state(word) == SLAB_PUBLISHED) {
		if (word & PUBLISHED_ROOTED)
			return stoa_fail(-EEXIST,
			                 "the block at %#llx of heap %s is a "
			                 "root already",
			                 (unsigned long long)offset,
			                 heap->object.name);
		result = set_flag(&block, PUBLISHED_ROOTED);
		return result < 0 ? stoa_fail(result,
		                              "the block at %#llx of heap %s "
		                              "was freed",
		                              (unsigned long long)offset,
		                              heap->object.name) :
		                    0;
	}
	if (word != slab_held_word(word, heap_self(heap)) ||
	    !slab_exchange(block.word, word,
	                   SLAB_PUBLISHED | (word & SLAB_GENERATION_MASK) |
	                           PUBLISHED_ROOTED))
		return heap_not_ours(heap, offset);
	return 0;
}

static int set_root(struct stoa_heap *heap, const char *name, uint64_t offset)
{
	struct heap_root *root = find_root(heap, name);
	uint64_t before = root ? heap_get(root->offset) : 0;
	int result;

	if (before == offset)
		return offset == 0 ? no_root(heap, name) : 0;
	if (offset != 0 && !root) {
		root = find_root(heap, NULL);
		if (!root)
			return stoa_fail(-ENOSPC,
			                 "heap %s was made for %u roots, and "
			                 "has as many",
			                 heap->object.name, heap->shape.roots);
		result = take_root(heap, offset);
		if (result < 0)
			return result;
		memset(root->name, 0, sizeof root->name);
		memcpy(root->name, name, strlen(name));
	} else if (offset != 0) {
		result = take_root(heap, offset);
		if (result < 0)
			return result;
	}
	in_order();
	/* release: pairs with the acquire of the next turn; commits */
	atomic_store_explicit(&root->offset, offset, memory_order_release);
	in_order();
	return STOA_BUG(76) ? 0 : lose_root(heap, before);
}

int stoa_heap_root_set(struct stoa_heap *heap, const char *name,
                       uint64_t offset)
{
	struct slab_keeper *keeper;
	int result = check_name(heap, name);

	if (result == 0)
		result = begin(heap, &keeper);
	if (result < 0)
		return result;
	return end(heap, keeper, set_root(heap, name, offset));
}

int stoa_heap_root_get(struct stoa_heap *heap, const char *name,
                       uint64_t *ret_offset)
{
	struct slab_keeper *keeper;
	struct heap_block block;
	struct heap_root *root;
	uint64_t offset = 0;
	int result = check_name(heap, name);

	if (result == 0)
		result = begin(heap, &keeper);
	if (result < 0)
		return result;
	root = find_root(heap, name);
	if (!root)
		return end(heap, keeper, no_root(heap, name));
	offset = heap_get(root->offset);
	result = heap_find(heap, offset, &block);
	if (result < 0 || slab_state(slab_word(block.word)) != SLAB_PUBLISHED)
		result = stoa_object_damaged(&heap->object,
		                             "a root is no block");
	else
		result = add_reference(heap, &block, offset);
	result = end(heap, keeper, result);
	if (result == 0)
		*ret_offset = offset;
	return result;
}

/* ---- Mending ------------------------------------------------------------------------ */

static int is_rooted(struct stoa_heap *heap, uint64_t offset)
{
	for (uint32_t i = 0; i < heap->shape.roots; i++)
		if (heap_get(heap->roots[i].offset) == offset)
			return 1;
	return 0;
}

static int mend_run(struct stoa_heap *heap, const struct heap_run *run,
                    void *context)
{
	uint64_t first = heap_unit_line(heap, run->head);
	const struct heap_class *class = run->class == HEAP_RUN ?
	                                         NULL :
	                                         &heap->class[run->class];

	(void)context;
	for (uint32_t i = 0; i < (class ? class->count : 1); i++) {
		struct heap_block block = { .head = run->head,
			                    .word = &heap->words[first + i] };
		uint64_t word = slab_word(block.word), taken = 0;
		uint64_t offset = heap_offset_of(heap, first) +
		                  (class ? (uint64_t)i * class->bytes : 0);

		if (slab_state(word) != SLAB_PUBLISHED)
			continue;
		if ((word & PUBLISHED_ROOTED) && !is_rooted(heap, offset))
			taken |= PUBLISHED_ROOTED;
		if ((word & PUBLISHED_SHARED) && !is_named(heap, offset))
			taken |= PUBLISHED_SHARED;
		if (taken != 0)
			heap_lose(heap, &block, taken);
	}
	return 0;
}

int heap_mend(struct stoa_heap *heap)
{
	int result = heap_each_run(heap, mend_run, NULL);

	in_order();
	if (result == 0)
		heap_set(heap->turn->dirty, 0);
	return result;
}
