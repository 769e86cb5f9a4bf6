/* SPDX-License-Identifier: MIT */
/* queue.h: what is false of a queue, by somebody who knows its layout. */
#ifndef HOSTILE_QUEUE_H
#define HOSTILE_QUEUE_H

#include "hostile.h"

#include <data/queue_internal.h>

/* The regions, as queue.c places them. */
enum queue_region {
	QUEUE_CONTROL,
	QUEUE_CELLS,
	QUEUE_ENTRIES,
	QUEUE_NODES,
	QUEUE_BLOCK_WORDS,
	QUEUE_PIECE_WORDS,
	QUEUE_PAYLOADS,
	QUEUE_ARENA
};

extern const struct noun queue_noun;
extern const struct field queue_fields[];
extern const struct attack queue_attacks[];
uint64_t queue_word(struct scribbler *scribbler, const struct field *field);
void queue_forge(struct scribbler *scribbler);

#endif
