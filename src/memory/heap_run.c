/* SPDX-License-Identifier: MIT */
/* memory/heap_run.c: the turn, and room for slabs and large blocks. See the
 * chain in heap_layout.h. */
#include <base/bug.h>
#include <base/deadline.h>
#include <base/error.h>
#include <memory/heap_internal.h>

#define SPINS 1000
#define TOKEN_DESK_BITS 12
#define TOKEN_GENERATIONS 0x7ffffu

/* ---- The turn ------------------------------------------------------------------- */

static uint32_t token_of(uint32_t desk, uint32_t generation)
{
	return (generation % TOKEN_GENERATIONS + 1) << TOKEN_DESK_BITS | desk;
}

struct turn_taker {
	struct stoa_heap *heap;
	uint32_t token;
};

static int turn_alive(void *context, uint32_t token)
{
	const struct turn_taker *taker = context;
	struct slab_store *store = &taker->heap->store;
	uint32_t index = token & ((1u << TOKEN_DESK_BITS) - 1);
	uint64_t agent;

	/* One's own thread would not be here if it had the turn. */
	if (token == taker->token || index >= store->desk_count)
		return 0;
	agent = atomic_load_explicit(&store->desks[index].agent,
	                             memory_order_acquire);
	return token == token_of(index,
	                         heap_get(store->desks[index].generation)) &&
	       agent != 0 &&
	       stoa_life_alive(&store->object->space->life, AGENT_PEER(agent));
}

int heap_turn_by(struct stoa_heap *heap, struct slab_keeper *keeper,
                 struct stoa_deadline deadline)
{
	struct turn_taker taker = { heap, token_of(keeper->desk_index,
		                                   keeper->generation) };
	struct stoa_lock_owner owner = {
		.token = taker.token,
		.spins = heap_get(heap->object.processors) > 1 ? SPINS : 0,
		.alive = turn_alive,
		.context = &taker
	};
	int result = stoa_lock_acquire(&heap->turn->lock, &owner, deadline);

	if (result == 0 && stoa_unlikely(heap_get(heap->turn->dirty) != 0) &&
	    !STOA_BUG(74)) {
		result = heap_mend(heap);
		if (result < 0)
			heap_turn_end(heap, keeper);
	}
	return result;
}

int heap_turn_begin(struct stoa_heap *heap, struct slab_keeper *keeper)
{
	return heap_turn_by(heap, keeper, STOA_FOREVER);
}

void heap_turn_end(struct stoa_heap *heap, struct slab_keeper *keeper)
{
	stoa_lock_release(&heap->turn->lock,
	                  token_of(keeper->desk_index, keeper->generation));
}

/* ---- The chain -------------------------------------------------------------------- */

/* The run at `head`, which is in the chain. -EUCLEAN: it can't be. */
static int read_run(struct stoa_heap *heap, uint32_t head,
                    struct heap_run *ret_run)
{
	uint64_t shape = heap_shape(heap, head);
	uint32_t left = heap->shape.units - head;

	ret_run->head = head;
	ret_run->length = shape == 0 ? left : SHAPE_LENGTH(shape);
	ret_run->class = SHAPE_CLASS(shape) == 0 ? HEAP_RUN :
	                                           SHAPE_CLASS(shape) - 1;
	if ((shape & SHAPE_FOLLOWER) || ret_run->length == 0 ||
	    ret_run->length > left ||
	    (ret_run->class != HEAP_RUN &&
	     (ret_run->class > HEAP_RUN ||
	      ret_run->length != heap->class[ret_run->class].units)))
		return stoa_object_damaged(&heap->object,
		                           "its chain is broken");
	return 0;
}

int heap_each_run(struct stoa_heap *heap,
                  int (*visit)(struct stoa_heap *heap,
                               const struct heap_run *run, void *context),
                  void *context)
{
	struct heap_run run;
	int result = 0;

	for (uint32_t at = 0; result == 0 && at < heap->shape.units;
	     at = run.head + run.length) {
		result = read_run(heap, at, &run);
		if (result == 0)
			result = visit(heap, &run, context);
	}
	return result;
}

static _Atomic uint64_t *run_word(struct stoa_heap *heap, uint32_t head)
{
	return &heap->words[heap_unit_line(heap, head)];
}

static int is_free(struct stoa_heap *heap, const struct heap_run *run)
{
	/* A release by whoever freed it: slab_word() acquires. */
	return run->class == HEAP_RUN &&
	       slab_state(slab_word(run_word(heap, run->head))) == SLAB_FREE;
}

/* Merges what is free after `run`, until it has `length` units or no more. */
static int merge(struct stoa_heap *heap, struct heap_run *run, uint32_t length)
{
	while (run->length < length &&
	       run->head + run->length < heap->shape.units) {
		struct heap_run next;
		uint32_t rover = heap_get(heap->turn->rover);
		int result = read_run(heap, run->head + run->length, &next);

		if (result < 0 || !is_free(heap, &next))
			return result;
		if (rover == next.head)
			heap_set(heap->turn->rover, run->head);
		run->length += next.length;
		heap_set_shape(heap, run->head, run->length);
	}
	return 0;
}

/* The run keeps its first `length` units. */
static void split(struct stoa_heap *heap, const struct heap_run *run,
                  uint32_t length)
{
	uint32_t rest = run->head + length;
	_Atomic uint64_t *word;

	if (run->length == length) {
		heap_set_shape(heap, run->head, length); /* was 0, maybe */
		return;
	}
	word = run_word(heap, rest);
	/* It is FREE, unless somebody scribbled. */
	if (slab_state(slab_word(word)) != SLAB_FREE)
		heap_set(*word, slab_free_word(slab_word(word)));
	if (STOA_BUG(75))
		heap_set_shape(heap, run->head, length);
	heap_set_shape(heap, rest, run->length - length);
	heap_set_shape(heap, run->head, length);
}

static uint32_t rover_of(struct stoa_heap *heap)
{
	uint32_t rover = heap_get(heap->turn->rover);
	uint64_t shape;

	if (rover >= heap->shape.units)
		return 0;
	shape = heap_shape(heap, rover);
	return shape & SHAPE_FOLLOWER ? 0 : rover;
}

int64_t heap_claim(struct stoa_heap *heap, uint32_t length)
{
	uint32_t units = heap->shape.units, at = rover_of(heap), seen = 0;
	uint32_t first = at;

	/* Once around, and again over what came before the first. */
	while (seen < units + first) {
		struct heap_run run;
		int result = read_run(heap, at, &run);

		if (result == 0 && is_free(heap, &run))
			result = merge(heap, &run, length);
		if (result < 0)
			return result;
		if (is_free(heap, &run) && run.length >= length) {
			split(heap, &run, length);
			at = run.head + length;
			heap_set(heap->turn->rover, at < units ? at : 0);
			return run.head;
		}
		seen += run.length;
		at += run.length;
		at = at < units ? at : 0;
	}
	return -ENOSPC;
}

void heap_form(struct stoa_heap *heap, uint32_t head, uint32_t class)
{
	const struct heap_class *kind = &heap->class[class];
	_Atomic uint64_t *words = run_word(heap, head);

	/* They are FREE, unless somebody scribbled. */
	for (uint32_t i = 0; i < kind->count; i++)
		if (slab_state(slab_word(&words[i])) != SLAB_FREE)
			heap_set(words[i], slab_free_word(words[i]));
	for (uint32_t i = 1; i < kind->units; i++)
		heap_set_shape(heap, head + i, SHAPE_FOLLOWER | i);
	heap_set(heap->units[head].exhausted, 0);
	heap_set_shape(heap, head, SHAPE_SLAB(class, kind->units));
}

int heap_stretch(struct stoa_heap *heap, const struct heap_block *block,
                 uint32_t length)
{
	struct heap_run run;
	int result = read_run(heap, block->head, &run);

	if (result < 0)
		return result;
	if (run.class != HEAP_RUN)
		return stoa_object_damaged(&heap->object,
		                           "a block became a slab");
	/* It may end up longer than before and too short: no harm. */
	result = merge(heap, &run, length);
	if (result < 0 || run.length < length)
		return result < 0 ? result : -ENOSPC;
	split(heap, &run, length);
	return 0;
}

/* ---- What is not used ---------------------------------------------------------------- */

static int all_free(_Atomic uint64_t *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (slab_state(slab_word(&words[i])) != SLAB_FREE)
			return 0;
	return 1;
}

struct retirer {
	struct slab_keeper *keeper;
	int retired;
};

static int retire(struct stoa_heap *heap, const struct heap_run *run,
                  void *context)
{
	struct retirer *retirer = context;
	struct slab_cache lease = { 0 };
	_Atomic uint64_t *words = run_word(heap, run->head);

	if (run->class == HEAP_RUN ||
	    !all_free(words, heap->class[run->class].count) ||
	    !slab_lease(&heap->store, retirer->keeper, &lease,
	                &heap->units[run->head].lease, SLAB_ANYBODY))
		return 0;
	/* Nobody takes a block of it any more. */
	if (all_free(words, heap->class[run->class].count)) {
		heap_set_shape(heap, run->head, run->length);
		retirer->retired++;
	}
	slab_give_up(&lease);
	return 0;
}

int heap_retire(struct stoa_heap *heap, struct slab_keeper *keeper)
{
	struct retirer retirer = { keeper, 0 };
	int result = heap_each_run(heap, retire, &retirer);

	return result < 0 ? result : retirer.retired;
}

struct burier {
	struct slab_asker *asker;
	int buried;
};

static int bury_run(struct stoa_heap *heap, const struct heap_run *run,
                    void *context)
{
	struct burier *burier = context;
	_Atomic uint64_t *words = run_word(heap, run->head);
	uint32_t count = run->class == HEAP_RUN ?
	                         1 :
	                         heap->class[run->class].count;

	for (uint32_t i = 0; i < count; i++)
		if (slab_bury(&heap->store, &words[i], burier->asker)) {
			heap_note_free(heap, run->head);
			burier->buried++;
		}
	return 0;
}

int heap_bury_blocks(struct stoa_heap *heap, struct slab_asker *asker)
{
	struct burier burier = { asker, 0 };
	int result = heap_each_run(heap, bury_run, &burier);

	return result < 0 ? result : burier.buried;
}
