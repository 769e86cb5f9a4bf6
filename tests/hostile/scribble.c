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
	FIELDS_AT_ONCE = 64,
	AGENT_FIELDS_LEARNT = 8,
};

uint64_t below(struct scribbler *scribbler, uint64_t bound)
{
	return bound == 0 ? 0 : random_below(&scribbler->chance, bound);
}

/* ---- Stores ------------------------------------------------------------- */

static void put8(struct scribbler *scribbler, size_t offset, uint8_t value)
{
	*(volatile uint8_t *)(scribbler->base + offset) = value;
	scribbler->stored++;
}

void put32(struct scribbler *scribbler, size_t offset, uint32_t value)
{
	*(volatile uint32_t *)(scribbler->base + offset) = value;
	scribbler->stored += sizeof(value);
}

void put64(struct scribbler *scribbler, size_t offset, uint64_t value)
{
	*(volatile uint64_t *)(scribbler->base + offset) = value;
	scribbler->stored += sizeof(value);
}

uint64_t get64(struct scribbler *scribbler, size_t offset)
{
	return *(volatile uint64_t *)(scribbler->base + offset);
}

static uint32_t get32(struct scribbler *scribbler, size_t offset)
{
	return *(volatile uint32_t *)(scribbler->base + offset);
}

/* Content decides nothing, and is large: seldom chosen. */
static const struct region *some_region(struct scribbler *scribbler)
{
	const struct image *image = scribbler->image;
	const struct region *region;

	do {
		region = &image->regions[below(scribbler, image->region_count)];
	} while (region->bytes < WORD ||
	         (region->idle && below(scribbler, 4) != 0) ||
	         (scribbler->spare_header &&
	          region == &image->regions[REGION_HEADER]));
	return region;
}

static size_t some_word(struct scribbler *scribbler,
                        const struct region *region)
{
	return region->offset + below(scribbler, region->bytes / WORD) * WORD;
}

const struct region *own_region(const struct scribbler *scribbler,
                                unsigned number)
{
	return &scribbler->image->regions[REGION_OWN + number];
}

size_t some_item(struct scribbler *scribbler, unsigned number)
{
	const struct region *region = own_region(scribbler, number);

	return region->item == 0
	               ? region->offset
	               : region->offset + below(scribbler,
	                                        region->bytes / region->item) *
	                                          region->item;
}

/* ---- Values that could be true ------------------------------------------ */

uint32_t some_number(struct scribbler *scribbler, uint32_t bound)
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

uint32_t some_token(struct scribbler *scribbler)
{
	if (below(scribbler, 8) == 0)
		return (uint32_t)next_random(&scribbler->chance) & INT32_MAX;
	if (scribbler->living_token != 0 && below(scribbler, 2) == 0)
		return scribbler->living_token;
	return scribbler->tokens[below(scribbler, TOKENS_MAX)];
}

static uint64_t some_peer(struct scribbler *scribbler)
{
	if (below(scribbler, 8) == 0)
		return next_random(&scribbler->chance) >> 16;
	if (scribbler->living_owner != 0 && below(scribbler, 2) == 0)
		return scribbler->living_owner >> 16;
	return scribbler->owners[below(scribbler, TOKENS_MAX)] >> 16;
}

uint64_t some_agent(struct scribbler *scribbler)
{
	uint64_t agent = scribbler->agents[below(scribbler, TOKENS_MAX)];

	if (agent != 0 && below(scribbler, 2) == 0)
		return agent;
	return some_peer(scribbler) | (1 + below(scribbler, 3)) << 48;
}

static uint64_t some_position(struct scribbler *scribbler, uint64_t there)
{
	const struct image *image = scribbler->image;
	uint64_t number = image->numbers[below(scribbler, image->number_count)];

	switch (below(scribbler, 8)) {
	case 0: return next_random(&scribbler->chance) >> below(scribbler, 64);
	case 1: return there + number;
	case 2: return there - number;
	default: return there + below(scribbler, 9) - 4;
	}
}

static uint64_t some_number_of(struct scribbler *scribbler, unsigned bytes)
{
	const struct image *image = scribbler->image;
	uint64_t bound =
		image->number_count == 0
			? 2
			: image->numbers[below(scribbler, image->number_count)];

	if (bytes == WORD && below(scribbler, 2) == 0)
		return bound + below(scribbler, 5) - 2;
	return some_number(scribbler, (uint32_t)bound);
}

uint64_t field_value(struct scribbler *scribbler, const struct field *field,
                     size_t at)
{
	uint64_t there = field->bytes == WORD ? get64(scribbler, at)
	                                      : get32(scribbler, at);
	uint64_t value = 0;

	if (field->meaning != MEANS_OWN && below(scribbler, 8) == 0)
		return next_random(&scribbler->chance) & field->flags;
	switch (field->meaning) {
	case MEANS_ANYTHING:
		value = next_random(&scribbler->chance) >> below(scribbler, 64);
		break;
	case MEANS_NUMBER:
		value = some_number_of(scribbler, field->bytes);
		break;
	case MEANS_POSITION: value = some_position(scribbler, there); break;
	case MEANS_TOKEN: value = some_token(scribbler); break;
	case MEANS_PEER: value = some_peer(scribbler); break;
	case MEANS_AGENT: value = some_agent(scribbler); break;
	case MEANS_EVENT: value = there + below(scribbler, 17); break;
	case MEANS_OWN: value = scribbler->noun->word(scribbler, field); break;
	}
	if (field->flags != 0 && below(scribbler, 2) == 0)
		value |= next_random(&scribbler->chance) & field->flags;
	return value;
}

void put_field(struct scribbler *scribbler, const struct field *field,
               size_t item, uint64_t value)
{
	if (field->bytes == WORD)
		put64(scribbler, item + field->offset, value);
	else
		put32(scribbler, item + field->offset, (uint32_t)value);
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

static const struct field *some_field(struct scribbler *scribbler)
{
	const struct field *fields = scribbler->noun->fields;
	size_t count = 0;

	while (fields[count].name != NULL)
		count++;
	return &fields[below(scribbler, count)];
}

static void forge_fields(struct scribbler *scribbler)
{
	for (int i = 0; i < FIELDS_AT_ONCE; i++) {
		const struct field *field = some_field(scribbler);
		size_t item;

		if (own_region(scribbler, field->region)->bytes == 0)
			continue;
		item = some_item(scribbler, field->region);
		put_field(scribbler, field, item,
		          field_value(scribbler, field, item + field->offset));
	}
}

static void forge_own(struct scribbler *scribbler)
{
	if (scribbler->noun->forge != NULL)
		scribbler->noun->forge(scribbler);
	else
		forge_fields(scribbler);
}

/* Owners are put back or swapped: the living, the dead, and nobody. */
static void forge_seats(struct scribbler *scribbler)
{
	const struct region *seats = &scribbler->image->regions[REGION_SEATS];

	for (int i = 0; i < BURST / 8 && seats->bytes > 0; i++) {
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
	uint64_t low = one & UINT32_MAX;

	if (below(scribbler, 2) == 0) /* a size, or a number in its place */
		other = low | some_number_of(scribbler, 4) << 32;
	else if (below(scribbler, 2) == 0)
		other = some_position(scribbler, one);
	for (int i = 0; i < TOGGLES; i++)
		put64(scribbler, at, i & 1 ? one : other);
}

/* The same for a word whose meaning is known. */
static void toggle_field(struct scribbler *scribbler)
{
	const struct field *field = some_field(scribbler);
	size_t item;
	uint64_t one, other;

	if (own_region(scribbler, field->region)->bytes == 0)
		return;
	item = some_item(scribbler, field->region);
	one = get64(scribbler, (item + field->offset) & ~(size_t)(WORD - 1));
	if (field->bytes == sizeof(uint32_t))
		one >>= (item + field->offset) % WORD * 8;
	other = field_value(scribbler, field, item + field->offset);
	for (int i = 0; i < TOGGLES; i++)
		put_field(scribbler, field, item, i & 1 ? one : other);
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

		memcpy(&word, scribbler->image->copy + region->offset + i,
		       WORD);
		put64(scribbler, region->offset + i, word);
	}
}

static void restore_most(struct scribbler *scribbler)
{
	const struct image *image = scribbler->image;

	for (unsigned i = 0; i < image->region_count; i++)
		if (i != REGION_SEATS && !image->regions[i].idle)
			restore(scribbler, &image->regions[i]);
}

static void keep_peace(struct scribbler *scribbler)
{
	uint64_t loops = below(scribbler, LIVE_FOR);

	for (volatile uint64_t i = 0; i < loops; i++)
		;
}

/* Removed or damaged, an object would answer nothing else any more. */
void revive(struct scribbler *scribbler)
{
	put32(scribbler,
	      (size_t)((char *)scribbler->image->state -
	               scribbler->image->base),
	      0);
	if (!scribbler->spare_header && below(scribbler, 2) == 0)
		restore(scribbler, &scribbler->image->regions[REGION_HEADER]);
}

/* ---- All of it ---------------------------------------------------------- */

/* What stands in the noun's words, before it is overwritten. */
static void learn_agents(struct scribbler *scribbler)
{
	for (int i = 0; i < AGENT_FIELDS_LEARNT; i++) {
		const struct field *field = some_field(scribbler);
		uint64_t agent;

		if (field->meaning != MEANS_AGENT ||
		    own_region(scribbler, field->region)->bytes == 0)
			continue;
		agent = get64(scribbler, some_item(scribbler, field->region) +
		                                 field->offset);
		if (AGENT_PEER(agent) != 0)
			scribbler->agents[below(scribbler, TOKENS_MAX)] =
				agent & ~field->flags;
	}
}

void learn_tokens(struct scribbler *scribbler)
{
	const struct region *seats = &scribbler->image->regions[REGION_SEATS];

	learn_agents(scribbler);
	for (uint32_t i = 0; i < TOKENS_MAX && seats->bytes > 0; i++) {
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
	scribbler->image = image;
	scribbler->noun = image->noun;
	scribbler->base = image->base;
	scribbler->chance = seed;
}

void scribble(struct scribbler *scribbler)
{
	static void (*const ways[])(struct scribbler *) = {
		noise_of_bytes, noise_of_words, flip_each_byte, forge_own,
		forge_own,      forge_own,      forge_own,      forge_fields,
		forge_fields,   forge_seats,    toggle,         toggle,
		toggle_field,   toggle_field,   copy_about,
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
