/* SPDX-License-Identifier: MIT */
/*
 * scribble.c: a hostile peer's stores into an object's memory: noise, and
 * words that could be true. Built without sanitizers, as it races by intent.
 */
#include "hostile.h"

enum {
	BURST = 256,
	WORD = sizeof(uint64_t),
	TOGGLES = 2000,
	RESTORE_ONE_IN = 64,
	LIVE_FOR = 20000, /* loops to leave the victims in peace */
};

static uint64_t below(struct scribbler *scribbler, uint64_t bound)
{
	return bound == 0 ? 0 : random_below(&scribbler->chance, bound);
}

/* ---- Stores ------------------------------------------------------------- */

static void put8(struct scribbler *scribbler, size_t offset, uint8_t value)
{
	*(volatile uint8_t *)(scribbler->base + offset) = value;
	scribbler->stored++;
}

static void put32(struct scribbler *scribbler, size_t offset, uint32_t value)
{
	*(volatile uint32_t *)(scribbler->base + offset) = value;
	scribbler->stored += sizeof(value);
}

static void put64(struct scribbler *scribbler, size_t offset, uint64_t value)
{
	*(volatile uint64_t *)(scribbler->base + offset) = value;
	scribbler->stored += sizeof(value);
}

static uint64_t get64(struct scribbler *scribbler, size_t offset)
{
	return *(volatile uint64_t *)(scribbler->base + offset);
}

/* The arena decides nothing, and is large: seldom chosen. */
static const struct region *some_region(struct scribbler *scribbler)
{
	const struct region *region;

	do {
		uint64_t most =
			below(scribbler, 8) == 0 ? REGIONS : REGION_ARENA;

		region = &scribbler->regions[below(scribbler, most)];
	} while (region->bytes < WORD ||
	         (scribbler->spare_header &&
	          region == &scribbler->regions[REGION_HEADER]));
	return region;
}

static size_t some_word(struct scribbler *scribbler,
                        const struct region *region)
{
	return region->offset + below(scribbler, region->bytes / WORD) * WORD;
}

/* ---- Values that could be true ------------------------------------------ */

static uint32_t some_number(struct scribbler *scribbler, uint32_t bound)
{
	const uint32_t edges[] = { 0,         1,
		                   2,         bound - 1,
		                   bound,     bound + 1,
		                   2 * bound, UINT32_MAX,
		                   INT32_MAX, (uint32_t)INT32_MAX + 1 };

	if (below(scribbler, 2) == 0)
		return (uint32_t)below(scribbler, bound);
	if (below(scribbler, 4) == 0)
		return (uint32_t)next_random(&scribbler->chance);
	return edges[below(scribbler, LENGTH(edges))];
}

static uint32_t some_token(struct scribbler *scribbler)
{
	if (below(scribbler, 8) == 0)
		return (uint32_t)next_random(&scribbler->chance) &
		       QUEUE_TOKEN_MASK;
	return scribbler->tokens[below(scribbler, TOKENS_MAX)];
}

/* Near one that is there. */
static uint32_t some_lap(struct scribbler *scribbler)
{
	size_t cell =
		scribbler->regions[REGION_CELLS].offset +
		below(scribbler, scribbler->slots) * sizeof(struct queue_cell);
	uint32_t lap = QUEUE_WORD_LAP(get64(scribbler, cell)) +
	               (uint32_t)below(scribbler, 5) - 2;

	return below(scribbler, 8) == 0
	               ? (uint32_t)next_random(&scribbler->chance)
	               : lap;
}

static uint64_t some_position(struct scribbler *scribbler)
{
	uint64_t tail =
		get64(scribbler, scribbler->regions[REGION_CONTROL].offset);

	if (below(scribbler, 8) == 0)
		return next_random(&scribbler->chance) >> below(scribbler, 64);
	return tail + below(scribbler, 4 * scribbler->slots) -
	       2 * scribbler->slots;
}

static uint64_t some_cell_word(struct scribbler *scribbler)
{
	enum queue_phase phase = (enum queue_phase)below(scribbler, 8);
	uint32_t low = some_token(scribbler);

	if (phase == QUEUE_READY || phase == QUEUE_FREE)
		low = 0;
	else if (phase == QUEUE_RETURNED)
		low = (uint32_t)below(scribbler, 4);
	return QUEUE_WORD(some_lap(scribbler), phase, low);
}

static uint64_t some_arena_word(struct scribbler *scribbler)
{
	uint32_t cell = some_number(scribbler, scribbler->capacity);
	uint64_t word = ARENA_WORD(cell & 0xfffffff, some_lap(scribbler));

	switch (below(scribbler, 4)) {
	case 0: return 0;
	case 1: return (word & ~ARENA_USED) | ARENA_SPLIT;
	case 2: return word | ARENA_SPLIT;
	default: return word;
	}
}

static uint32_t some_bytes(struct scribbler *scribbler)
{
	const uint32_t sizes[] = { 0,    STOA_QUEUE_INLINE,
		                   8,    STOA_QUEUE_INLINE + 1,
		                   4096, scribbler->blocks * QUEUE_BLOCK_BYTES,
		                   3072, UINT32_MAX };

	return sizes[below(scribbler, LENGTH(sizes))];
}

/* ---- Ways to be hostile ------------------------------------------------- */

static void noise_of_bytes(struct scribbler *scribbler)
{
	const struct region *region = some_region(scribbler);

	for (int i = 0; i < BURST; i++)
		put8(scribbler,
		     region->offset + below(scribbler, region->bytes),
		     (uint8_t)next_random(&scribbler->chance));
}

static void noise_of_words(struct scribbler *scribbler)
{
	const struct region *region = some_region(scribbler);

	for (int i = 0; i < BURST; i++)
		put64(scribbler, some_word(scribbler, region),
		      next_random(&scribbler->chance) >> below(scribbler, 64));
}

static void flip_each_byte(struct scribbler *scribbler)
{
	const struct region *region = some_region(scribbler);
	size_t first = below(scribbler, region->bytes);
	uint8_t mask = (uint8_t)(1u << below(scribbler, 8));

	if (below(scribbler, 2) == 0)
		mask = 0xff;
	for (size_t i = 0; i < region->bytes && i < BURST; i++) {
		size_t at = region->offset + (first + i) % region->bytes;
		uint8_t value = *(volatile uint8_t *)(scribbler->base + at);

		put8(scribbler, at, value ^ mask);
		if (below(scribbler, 2) == 0)
			put8(scribbler, at, value);
	}
}

static void forge_cell(struct scribbler *scribbler, size_t cell)
{
	switch (below(scribbler, 6)) {
	case 0:
		put32(scribbler, cell + offsetof(struct queue_cell, bytes),
		      some_bytes(scribbler));
		break;
	case 1:
		put32(scribbler, cell + offsetof(struct queue_cell, payload),
		      some_number(scribbler,
		                  scribbler->blocks * QUEUE_BLOCK_PIECES));
		break;
	case 2:
		put32(scribbler, cell + offsetof(struct queue_cell, lap),
		      some_lap(scribbler));
		break;
	case 3:
		put64(scribbler, cell + offsetof(struct queue_cell, type),
		      some_number(scribbler, 4));
		break;
	default: put64(scribbler, cell, some_cell_word(scribbler)); break;
	}
}

static void forge_cells(struct scribbler *scribbler)
{
	size_t first = scribbler->regions[REGION_CELLS].offset;

	for (int i = 0; i < BURST; i++)
		forge_cell(scribbler,
		           first + below(scribbler, scribbler->slots) *
		                           sizeof(struct queue_cell));
}

static void forge_control(struct scribbler *scribbler)
{
	static const size_t positions[] = {
		offsetof(struct queue_control, tail),
		offsetof(struct queue_control, head),
		offsetof(struct queue_control, void_mark),
		offsetof(struct queue_control, disorder),
		offsetof(struct queue_control, ingested),
		offsetof(struct queue_control, returned),
		offsetof(struct queue_control, high_water),
	};
	static const size_t numbers[] = {
		offsetof(struct queue_control, root),
		offsetof(struct queue_control, spare),
		offsetof(struct queue_control, fresh),
		offsetof(struct queue_control, pending),
		offsetof(struct queue_control, listed),
		offsetof(struct queue_control, dirty),
	};
	size_t control = scribbler->regions[REGION_CONTROL].offset;

	for (int i = 0; i < BURST / 4; i++) {
		size_t position =
			positions[below(scribbler, LENGTH(positions))];
		size_t number = numbers[below(scribbler, LENGTH(numbers))];

		put64(scribbler, control + position, some_position(scribbler));
		put32(scribbler, control + number,
		      some_number(scribbler, 2 * scribbler->capacity));
	}
}

static void forge_locks(struct scribbler *scribbler)
{
	size_t control = scribbler->regions[REGION_CONTROL].offset;
	uint32_t waiters = below(scribbler, 2) == 0 ? 0x80000000u : 0;

	put32(scribbler, control + offsetof(struct queue_control, selection),
	      some_token(scribbler) | waiters);
	put32(scribbler, control + offsetof(struct queue_control, notify_token),
	      some_token(scribbler) | waiters);
	put32(scribbler, control + offsetof(struct queue_control, selection),
	      0);
}

static void forge_index(struct scribbler *scribbler)
{
	const struct region *nodes = &scribbler->regions[REGION_NODES];
	const struct region *entries = &scribbler->regions[REGION_ENTRIES];

	for (int i = 0; i < BURST && nodes->bytes > 0; i++) {
		size_t node = nodes->offset +
		              below(scribbler, 2 * scribbler->capacity) *
		                      sizeof(struct queue_node);
		size_t entry = entries->offset +
		               below(scribbler, scribbler->capacity) *
		                       sizeof(struct queue_entry);

		put32(scribbler, node + below(scribbler, 8) * sizeof(uint32_t),
		      some_number(scribbler, 2 * scribbler->capacity));
		put32(scribbler, node + offsetof(struct queue_node, bit),
		      some_number(scribbler, QUEUE_LEAF));
		put32(scribbler, entry + offsetof(struct queue_entry, next),
		      some_number(scribbler, scribbler->capacity));
		put32(scribbler, entry + offsetof(struct queue_entry, listed),
		      (uint32_t)below(scribbler, 4));
		put64(scribbler, entry, some_position(scribbler));
	}
}

static void forge_arena(struct scribbler *scribbler)
{
	const struct region *blocks = &scribbler->regions[REGION_BLOCK_WORDS];
	const struct region *pieces = &scribbler->regions[REGION_PIECE_WORDS];

	for (int i = 0; i < BURST && blocks->bytes > 0; i++) {
		put64(scribbler, some_word(scribbler, blocks),
		      some_arena_word(scribbler));
		put64(scribbler, some_word(scribbler, pieces),
		      some_arena_word(scribbler));
	}
}

/* Owners are put back or swapped: the living, the dead, and nobody. */
static void forge_seats(struct scribbler *scribbler)
{
	const struct region *seats = &scribbler->regions[REGION_SEATS];

	for (int i = 0; i < BURST / 8; i++) {
		size_t seat = seats->offset + below(scribbler, TOKENS_MAX) *
		                                      sizeof(struct stoa_seat);

		put64(scribbler, seat,
		      below(scribbler, 8) == 0
		              ? next_random(&scribbler->chance)
		              : scribbler
		                        ->owners[below(scribbler, TOKENS_MAX)]);
	}
}

/* One place between two values, as fast as can be: for what is loaded twice. */
static void toggle(struct scribbler *scribbler)
{
	const struct region *region = some_region(scribbler);
	size_t at = some_word(scribbler, region);
	uint64_t one = get64(scribbler, at);
	uint64_t other = next_random(&scribbler->chance);

	if (region == &scribbler->regions[REGION_CELLS] &&
	    below(scribbler, 2) == 0) {
		at -= (at - region->offset) % sizeof(struct queue_cell);
		at += below(scribbler, 4) * WORD;
		one = get64(scribbler, at);
	}
	if (below(scribbler, 2) == 0) /* a size, or a number in its place */
		other = (one & UINT32_MAX) | (uint64_t)some_bytes(scribbler)
		                                     << 32;
	for (int i = 0; i < TOGGLES; i++)
		put64(scribbler, at, i & 1 ? one : other);
}

static void copy_about(struct scribbler *scribbler)
{
	const struct region *from = some_region(scribbler);
	const struct region *to = some_region(scribbler);

	for (int i = 0; i < BURST / 4; i++)
		put64(scribbler, some_word(scribbler, to),
		      get64(scribbler, some_word(scribbler, from)));
}

/* ---- Peace: so that the victims get further than the first check -------- */

static void restore(struct scribbler *scribbler, const struct region *region)
{
	for (size_t i = 0; i + WORD <= region->bytes; i += WORD) {
		uint64_t word;

		memcpy(&word, scribbler->copy + region->offset + i, WORD);
		put64(scribbler, region->offset + i, word);
	}
}

static void restore_most(struct scribbler *scribbler)
{
	for (int i = 0; i < REGION_ARENA; i++)
		if (i != REGION_SEATS)
			restore(scribbler, &scribbler->regions[i]);
}

static void keep_peace(struct scribbler *scribbler)
{
	uint64_t loops = below(scribbler, LIVE_FOR);

	for (volatile uint64_t i = 0; i < loops; i++)
		;
}

/* Removed or damaged, a queue would answer nothing else any more. */
static void revive(struct scribbler *scribbler)
{
	put32(scribbler, offsetof(struct stoa_object_header, events.state), 0);
	if (!scribbler->spare_header && below(scribbler, 2) == 0)
		restore(scribbler, &scribbler->regions[REGION_HEADER]);
}

/* ---- All of it ---------------------------------------------------------- */

static void learn_tokens(struct scribbler *scribbler)
{
	const struct region *seats = &scribbler->regions[REGION_SEATS];

	for (uint32_t i = 0; i < TOKENS_MAX; i++) {
		uint64_t owner =
			get64(scribbler,
		              seats->offset + i * sizeof(struct stoa_seat));
		uint32_t generation = (uint32_t)owner & SEAT_GENERATION_MASK;

		if (owner >> 16 == 0)
			continue;
		scribbler->owners[i] = owner;
		scribbler->tokens[i] = SEAT_TOKEN(i, generation);
	}
}

void scribbler_init(struct scribbler *scribbler, const struct image *image,
                    uint64_t seed)
{
	memset(scribbler, 0, sizeof(*scribbler));
	scribbler->base = image->base;
	scribbler->copy = image->copy;
	scribbler->bytes = image->bytes;
	scribbler->capacity = image->capacity;
	scribbler->blocks = image->blocks;
	scribbler->slots = image->slots;
	scribbler->chance = seed;
	memcpy(scribbler->regions, image->regions, sizeof(image->regions));
}

void scribble(struct scribbler *scribbler)
{
	static void (*const ways[])(struct scribbler *) = {
		noise_of_bytes, noise_of_words, flip_each_byte, forge_cells,
		forge_cells,    forge_control,  forge_locks,    forge_index,
		forge_index,    forge_arena,    forge_seats,    toggle,
		toggle,         toggle,         copy_about,
	};

	if (below(scribbler, RESTORE_ONE_IN) == 0)
		restore_most(scribbler);
	if (below(scribbler, 4) == 0)
		learn_tokens(scribbler);
	ways[below(scribbler, LENGTH(ways))](scribbler);
	if (below(scribbler, 4) != 0)
		revive(scribbler);
	keep_peace(scribbler);
}
