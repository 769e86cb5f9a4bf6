/* SPDX-License-Identifier: MIT */
/* sync/barrier_internal.h: what the files of the barrier share. */
#ifndef STOA_SYNC_BARRIER_INTERNAL_H
#define STOA_SYNC_BARRIER_INTERNAL_H

#include <space/event.h>
#include <stoa/barrier.h>
#include <sync/barrier_layout.h>
#include <sync/kinds.h>

#include <errno.h>

#define BARRIER_HINTS 64

struct stoa_barrier {
	struct stoa_object object;
	struct barrier_shared *shared;
	_Atomic uint64_t *slots; /* of even rounds, then of odd */
	struct barrier_info *infos;
	uint32_t count; /* checked at open */
	uint32_t death;
	_Atomic uint32_t hint[BARRIER_HINTS]; /* slot + 1, by thread; 0: none */
};

/* seq_cst: a look is judged by the round word that was seen before it */
static inline uint64_t barrier_round(struct stoa_barrier *barrier)
{
	return atomic_load_explicit(&barrier->shared->round,
	                            memory_order_seq_cst);
}

static inline uint32_t barrier_slot_index(struct stoa_barrier *barrier,
                                          uint32_t round, uint32_t slot)
{
	return (round & 1) * barrier->count + slot;
}

static inline uint64_t barrier_slot(struct stoa_barrier *barrier,
                                    uint32_t round, uint32_t slot)
{
	return atomic_load_explicit(
	        &barrier->slots[barrier_slot_index(barrier, round, slot)],
	        memory_order_seq_cst);
}

static inline int barrier_has_come(uint64_t word)
{
	return word != 0 && !(word & (BARRIER_COMING | BARRIER_LEAVING));
}

static inline int barrier_alive(struct stoa_barrier *barrier, uint64_t word)
{
	return stoa_life_alive(&barrier->object.space->life, AGENT_PEER(word));
}

int barrier_ready(struct stoa_object *object, unsigned direction,
                  const struct stoa_wait *wait);

#endif
