/* SPDX-License-Identifier: MIT */
/* memory/heap_internal.h: what the heap's sources share. */
#ifndef STOA_MEMORY_HEAP_INTERNAL_H
#define STOA_MEMORY_HEAP_INTERNAL_H

#include <base/cpu.h>
#include <memory/heap_layout.h>
#include <memory/slab.h>
#include <space/object.h>

#include <errno.h>

/* Of blocks of one size. */
struct heap_class {
	uint32_t bytes;
	uint32_t units;      /* of a slab */
	uint32_t count;      /* of blocks in it */
	uint64_t reciprocal; /* of bytes / 64, times 2^32, rounded up */
};

struct stoa_heap {
	struct stoa_object object;
	struct slab_store store;

	/* Checked at open, constant since; never read from memory again. */
	struct heap_shared shape;
	struct heap_class class[HEAP_CLASSES];
	uint32_t classes;   /* of them in use; follows from the shape */
	uint64_t small_max; /* bytes of a block of the last */
	char *base; /* where the place begins */
	struct heap_turn *turn;
	struct heap_root *roots;
	struct heap_reference *references;
	struct heap_unit *units;
	_Atomic uint64_t *words;
};

/* Tries of a compare-and-swap, before somebody must be playing with us. */
#define HEAP_SWAPS 100000
#define HEAP_RUN HEAP_CLASSES /* the class of a block that is a run */

struct heap_block {
	uint64_t line;  /* its first, from the first of all */
	uint64_t bytes; /* may be used */
	uint32_t head;  /* unit where its slab or run begins */
	uint32_t class;
	_Atomic uint64_t *word;
};

/* relaxed: what is written with the turn only, or for speed */
#define heap_get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define heap_set(word, value) \
	atomic_store_explicit(&(word), value, memory_order_relaxed)

/* acquire: pairs with the release of whoever formed it */
static inline uint64_t heap_shape(const struct stoa_heap *heap, uint32_t unit)
{
	return atomic_load_explicit(&heap->units[unit].shape,
	                            memory_order_acquire);
}

static inline void heap_set_shape(struct stoa_heap *heap, uint32_t unit,
                                  uint64_t shape)
{
	/* release: who finds it finds all that was made ready before */
	atomic_store_explicit(&heap->units[unit].shape, shape,
	                      memory_order_release);
}

static inline uint64_t heap_unit_line(const struct stoa_heap *heap,
                                      uint32_t unit)
{
	return (uint64_t)unit << (heap->shape.unit_shift - HEAP_LINE_SHIFT);
}

static inline uint64_t heap_offset_of(const struct stoa_heap *heap,
                                      uint64_t line)
{
	return heap->shape.data_at + (line << HEAP_LINE_SHIFT);
}

static inline stoa_peer heap_self(const struct stoa_heap *heap)
{
	return atomic_load_explicit(heap->store.self, memory_order_relaxed);
}

/* Every call but the quickest begins here, and ends there. */
static inline int heap_enter(struct stoa_heap *heap)
{
	int result = stoa_object_enter(&heap->object);

	return result < 0 ? result : stoa_object_health(&heap->object);
}

static inline int64_t heap_leave(struct stoa_heap *heap, int64_t result)
{
	if (stoa_unlikely(!stoa_object_healthy(&heap->object)))
		return stoa_object_health(&heap->object);
	return result;
}

/* Finds the block that begins at `offset`, free or not. -EINVAL, -EUCLEAN. */
int heap_find(struct stoa_heap *heap, uint64_t offset,
              struct heap_block *ret_block);
/* The same, and its word; -ESTALE: it is free. */
int heap_find_used(struct stoa_heap *heap, uint64_t offset,
                   struct heap_block *ret_block, uint64_t *ret_word);
int heap_not_ours(struct stoa_heap *heap, uint64_t offset);

/* A published block keeps what `taken` doesn't name; free if that's nothing.
 * 1: it is free now. */
int heap_lose(struct stoa_heap *heap, const struct heap_block *block,
              uint64_t taken);
/* Makes known that a block of a slab was freed. */
void heap_note_free(struct stoa_heap *heap, uint32_t head);

/* ---- The turn (heap_run.c) ----------------------------------------------------- */

/* -EAGAIN, -ETIMEDOUT: another has it. -EUCLEAN. */
int heap_turn_by(struct stoa_heap *heap, struct slab_keeper *keeper,
                 struct stoa_deadline deadline);
int heap_turn_begin(struct stoa_heap *heap, struct slab_keeper *keeper);
void heap_turn_end(struct stoa_heap *heap, struct slab_keeper *keeper);

/* With the turn: calls `visit` for each run in the chain, until one isn't 0.
 * -EUCLEAN: the chain is broken. */
struct heap_run {
	uint32_t head, length, class; /* class HEAP_RUN: no slab */
};
int heap_each_run(struct stoa_heap *heap,
                  int (*visit)(struct stoa_heap *heap,
                               const struct heap_run *run, void *context),
                  void *context);

/* With the turn: a free run of so many units: its head, or -ENOSPC. */
int64_t heap_claim(struct stoa_heap *heap, uint32_t length);
/* With the turn: makes such a run a slab. */
void heap_form(struct stoa_heap *heap, uint32_t head, uint32_t class);
/* With the turn: slabs without a used block become free runs. How many. */
int heap_retire(struct stoa_heap *heap, struct slab_keeper *keeper);
/* With the turn: a run of this process's gets `length` units in its place.
 * -ENOSPC: not there. */
int heap_stretch(struct stoa_heap *heap, const struct heap_block *block,
                 uint32_t length);

/* ---- The dead (heap_root.c, heap_run.c) ------------------------------------------- */

/* With the turn: ROOTED and SHARED anew. */
int heap_mend(struct stoa_heap *heap);
/* With the turn: gives up references of the dead. How many. */
int heap_bury_references(struct stoa_heap *heap, struct slab_asker *asker);
/* With the turn: frees blocks of the dead. How many. */
int heap_bury_blocks(struct stoa_heap *heap, struct slab_asker *asker);

#endif
