/* SPDX-License-Identifier: MIT */
/* sync/semaphore_internal.h: what the files of the semaphore share. Why it all
 * holds is in semaphore_layout.h. */
#ifndef STOA_SYNC_SEMAPHORE_INTERNAL_H
#define STOA_SYNC_SEMAPHORE_INTERNAL_H

#include <space/event.h>
#include <sync/semaphore_layout.h>

#include <errno.h>

struct stoa_semaphore {
	struct stoa_object object;
	_Atomic uint64_t *word;
	struct semaphore_extension *extension; /* NULL: none */
	struct semaphore_holder *holders;      /* NULL: no undo */
	uint32_t maximum;                      /* checked copies */
	uint32_t holder_count;
	/* This handle's holder; changed under the turn only. Good if the holder
	 * still says so. */
	uint64_t own_peer;
	uint32_t own_index, own_serial;
};

/* ---- The gate (semaphore.c) ----------------------------------------------- */

/* Whether permits are kept for another than `tag` (0: nobody's). */
int semaphore_gate_closed(uint64_t word, uint32_t tag);

/* The gate's bits of the word after one with this tag took permits. */
static inline uint64_t semaphore_gate_after(uint64_t word, uint32_t tag)
{
	(void)tag; /* open, the taker's, or lapsed: else it couldn't take */
	return word & ~SEMAPHORE_GATE_MASK;
}

/* ---- With undo (semaphore_undo.c) ------------------------------------------ */

/* As the public calls, once and without waiting for permits. The deadline is
 * for the turn. */
int semaphore_undo_take(struct stoa_semaphore *semaphore, uint32_t permits,
                        uint32_t tag, struct stoa_deadline deadline);
int semaphore_undo_post(struct stoa_semaphore *semaphore, uint32_t permits);

/* Takes back what the dead held, and makes known what a dead one has posted.
 * Returns how many permits came (at least 1 if any did), or -errno. */
int64_t semaphore_undo_bury(struct stoa_semaphore *semaphore);

/* Gives back what is held through this handle. */
void semaphore_undo_give_up(struct stoa_semaphore *semaphore);

/* One of those who hold permits, 0 if nobody does. */
stoa_peer semaphore_undo_somebody(struct stoa_semaphore *semaphore);

#endif
