/* SPDX-License-Identifier: MIT */
/* queue_false.c: words of a queue that could be true, and attacks on it that
 * know the layout. */
#include "queue.h"

enum { BURST = 64, FLIPS = 1000 };

#define CONTROL(member, meaning) \
	FIELD(QUEUE_CONTROL, queue_control, member, meaning, 0)
#define CELL(member, meaning) FIELD(QUEUE_CELLS, queue_cell, member, meaning, 0)
#define ENTRY(member, meaning) \
	FIELD(QUEUE_ENTRIES, queue_entry, member, meaning, 0)
#define NODE(member, meaning) FIELD(QUEUE_NODES, queue_node, member, meaning, 0)

const struct field queue_fields[] = {
	CONTROL(tail, MEANS_POSITION),
	CONTROL(head, MEANS_POSITION),
	CONTROL(void_mark, MEANS_POSITION),
	CONTROL(returned, MEANS_POSITION),
	CONTROL(disorder, MEANS_POSITION),
	FIELD(QUEUE_CONTROL, queue_control, selection, MEANS_TOKEN, 1u << 31),
	CONTROL(ingested, MEANS_POSITION),
	CONTROL(root, MEANS_NUMBER),
	CONTROL(spare, MEANS_NUMBER),
	CONTROL(fresh, MEANS_NUMBER),
	CONTROL(pending, MEANS_NUMBER),
	CONTROL(listed, MEANS_NUMBER),
	CONTROL(listed_bytes, MEANS_NUMBER),
	CONTROL(admitted, MEANS_NUMBER),
	CONTROL(left, MEANS_NUMBER),
	CONTROL(limits, MEANS_NUMBER),
	CONTROL(doubts, MEANS_NUMBER),
	CONTROL(settled, MEANS_NUMBER),
	CONTROL(counted_ns, MEANS_NUMBER),
	CONTROL(dirty, MEANS_NUMBER),
	FIELD(QUEUE_CONTROL, queue_control, notify_token, MEANS_TOKEN,
	      1u << 31),
	CONTROL(notify_peer, MEANS_PEER),
	CELL(word, MEANS_OWN),
	CELL(lap, MEANS_OWN),
	CELL(bytes, MEANS_NUMBER),
	CELL(payload, MEANS_NUMBER),
	CELL(type, MEANS_NUMBER),
	CELL(counted, MEANS_NUMBER),
	ENTRY(next, MEANS_NUMBER),
	ENTRY(listed, MEANS_NUMBER),
	NODE(bit, MEANS_NUMBER),
	NODE(first, MEANS_NUMBER),
	NODE(last, MEANS_NUMBER),
	NODE(child, MEANS_NUMBER),
	{ .name = "block", QUEUE_BLOCK_WORDS, 0, 8, MEANS_OWN, 0 },
	{ .name = "piece", QUEUE_PIECE_WORDS, 0, 8, MEANS_OWN, 0 },
	{ .name = NULL },
};

static uint32_t capacity_of(const struct scribbler *scribbler)
{
	return (uint32_t)scribbler->image->numbers[0];
}

/* Near one that is there. */
static uint32_t some_lap(struct scribbler *scribbler)
{
	uint32_t lap = QUEUE_WORD_LAP(
		get64(scribbler, some_item(scribbler, QUEUE_CELLS)));

	lap += (uint32_t)below(scribbler, 5) - 2;
	return below(scribbler, 8) == 0
	               ? (uint32_t)next_random(&scribbler->chance)
	               : lap;
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
	uint32_t cell = some_number(scribbler, capacity_of(scribbler));
	uint64_t word = ARENA_WORD(cell & 0xfffffff, some_lap(scribbler));

	switch (below(scribbler, 4)) {
	case 0: return 0;
	case 1: return (word & ~ARENA_USED) | ARENA_SPLIT;
	case 2: return word | ARENA_SPLIT;
	default: return word;
	}
}

uint64_t queue_word(struct scribbler *scribbler, const struct field *field)
{
	if (field->region != QUEUE_CELLS)
		return some_arena_word(scribbler);
	return field->bytes == sizeof(uint32_t) ? some_lap(scribbler)
	                                        : some_cell_word(scribbler);
}

/* ---- Bursts ------------------------------------------------------------------ */

static void forge_cells(struct scribbler *scribbler)
{
	for (int i = 0; i < BURST; i++) {
		size_t cell = some_item(scribbler, QUEUE_CELLS);

		put64(scribbler, cell, some_cell_word(scribbler));
		put32(scribbler, cell + offsetof(struct queue_cell, lap),
		      some_lap(scribbler));
	}
}

static void forge_lock(struct scribbler *scribbler)
{
	size_t selection = some_item(scribbler, QUEUE_CONTROL) +
	                   offsetof(struct queue_control, selection);
	uint32_t waiters = below(scribbler, 2) == 0 ? 0x80000000u : 0;

	put32(scribbler, selection, some_token(scribbler) | waiters);
	put32(scribbler, selection, 0);
}

static void forge_index(struct scribbler *scribbler)
{
	uint32_t capacity = capacity_of(scribbler);

	for (int i = 0; i < BURST; i++) {
		size_t node, entry;

		if (own_region(scribbler, QUEUE_NODES)->bytes == 0)
			return;
		node = some_item(scribbler, QUEUE_NODES);
		entry = some_item(scribbler, QUEUE_ENTRIES);
		put32(scribbler, node + below(scribbler, 8) * sizeof(uint32_t),
		      some_number(scribbler, 2 * capacity));
		put32(scribbler, entry + offsetof(struct queue_entry, next),
		      some_number(scribbler, capacity));
		put32(scribbler, entry + offsetof(struct queue_entry, listed),
		      (uint32_t)below(scribbler, 4));
	}
}

static void forge_arena(struct scribbler *scribbler)
{
	for (int i = 0; i < BURST; i++) {
		if (own_region(scribbler, QUEUE_BLOCK_WORDS)->bytes == 0)
			return;
		put64(scribbler, some_item(scribbler, QUEUE_BLOCK_WORDS),
		      some_arena_word(scribbler));
		put64(scribbler, some_item(scribbler, QUEUE_PIECE_WORDS),
		      some_arena_word(scribbler));
	}
}

static void flip_sizes(struct scribbler *scribbler);

void queue_forge(struct scribbler *scribbler)
{
	static void (*const ways[])(struct scribbler *) = {
		forge_cells, forge_cells, forge_lock, forge_index,
		forge_index, forge_arena, flip_sizes,
	};

	ways[below(scribbler, LENGTH(ways))](scribbler);
}

/* ---- Attacks ----------------------------------------------------------------- */

static struct queue_control *control_of(struct scribbler *scribbler)
{
	return (void *)(scribbler->base +
	                own_region(scribbler, QUEUE_CONTROL)->offset);
}

static uint32_t slots_of(struct scribbler *scribbler)
{
	return (uint32_t)(own_region(scribbler, QUEUE_CELLS)->bytes /
	                  sizeof(struct queue_cell));
}

static struct queue_cell *cell_of(struct scribbler *scribbler, uint32_t index)
{
	struct queue_cell *cells =
		(void *)(scribbler->base +
	                 own_region(scribbler, QUEUE_CELLS)->offset);

	return &cells[index];
}

static void hold_selection(struct scribbler *scribbler)
{
	atomic_store(&control_of(scribbler)->selection.word,
	             scribbler->living_token);
}

static void flip_selection(struct scribbler *scribbler)
{
	uint32_t words[] = { 0, scribbler->living_token,
		             scribbler->living_token | 0x80000000u, 0x80000000u,
		             (uint32_t)next_random(&scribbler->chance) };

	atomic_store(&control_of(scribbler)->selection.word,
	             words[below(scribbler, LENGTH(words))]);
}

static void flip_cell_words(struct scribbler *scribbler)
{

	for (uint32_t i = 0; i < slots_of(scribbler); i++) {
		uint32_t phase = (uint32_t)below(scribbler, 8);
		uint32_t lap = QUEUE_WORD_LAP(cell_of(scribbler, i)->word) - 1 +
		               (uint32_t)below(scribbler, 3);

		atomic_store(&cell_of(scribbler, i)->word,
		             QUEUE_WORD(lap, phase,
		                        phase == QUEUE_TAKEN
		                                ? scribbler->living_token
		                                : 0));
	}
	revive(scribbler);
}

/* What was found is gone at each look, so that it is looked for again. */
static void flip_messages(struct scribbler *scribbler)
{
	uint32_t index = (uint32_t)below(scribbler, slots_of(scribbler));
	struct queue_cell *cell = cell_of(scribbler, index);
	uint64_t word = atomic_load(&cell->word);
	uint64_t ready = QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_READY, 0);

	for (int i = 0; i < FLIPS; i++) {
		atomic_store(&cell->word, ready);
		atomic_store(&cell->word, word);
	}
	revive(scribbler);
}

/* True while it is checked, and false when it is used. */
static void flip_sizes(struct scribbler *scribbler)
{
	uint32_t index = (uint32_t)below(scribbler, slots_of(scribbler));
	struct queue_cell *cell = cell_of(scribbler, index);
	uint32_t bytes = (uint32_t)below(scribbler, STOA_QUEUE_INLINE);
	uint32_t piece = (uint32_t)below(
		scribbler, (uint32_t)scribbler->image->numbers[2]);
	bool large = below(scribbler, 2) == 0;

	for (int i = 0; i < FLIPS; i++) {
		cell_set(cell, bytes, bytes);
		cell_set(cell, payload, large ? piece : 0);
		cell_set(cell, bytes, UINT32_MAX >> (i & 15));
		cell_set(cell, payload, large ? UINT32_MAX - piece : 0);
	}
	cell_set(cell, bytes, bytes);
	cell_set(cell, payload, large ? piece : 0);
	revive(scribbler);
}

static void flip_marks(struct scribbler *scribbler)
{
	struct queue_control *control = control_of(scribbler);
	uint64_t position =
		next_random(&scribbler->chance) >> below(scribbler, 33);

	atomic_store(&control->void_mark, position);
	atomic_store(&control->returned, position);
	atomic_store(&control->disorder, ~position);
	atomic_store(&control->head, position);
	atomic_store(&control->tail, ~position);
	atomic_store(&control->ingested, position);
	revive(scribbler);
}

/* What is in is anything, and what may be; and there always is doubt. */
static void flip_sums(struct scribbler *scribbler)
{
	struct queue_control *control = control_of(scribbler);
	uint64_t sum = next_random(&scribbler->chance) >> below(scribbler, 64);

	atomic_store(&control->admitted, sum);
	atomic_store(&control->left, ~sum);
	atomic_fetch_add(&control->doubts, 1);
	atomic_store(&control->counted_ns, (int64_t)sum);
	atomic_store(&control->limits, below(scribbler, 2) == 0 ? 0 : sum);
	atomic_store(&control->left, sum);
	revive(scribbler);
}

/* All nodes lead to each other and all lists go round. */
static void knot_index(struct scribbler *scribbler)
{
	struct queue_entry *entries =
		(void *)(scribbler->base +
	                 own_region(scribbler, QUEUE_ENTRIES)->offset);
	struct queue_node *nodes =
		(void *)(scribbler->base +
	                 own_region(scribbler, QUEUE_NODES)->offset);
	struct queue_control *control = control_of(scribbler);
	uint32_t capacity = capacity_of(scribbler);

	if (own_region(scribbler, QUEUE_NODES)->bytes == 0)
		return;
	for (uint32_t i = 0; i < capacity; i++) {
		entries[i].next = 1 + (uint32_t)below(scribbler, capacity);
		entries[i].listed = (uint32_t)below(scribbler, 3);
	}
	for (uint32_t i = 0; i < 2 * capacity; i++) {
		nodes[i].bit = (uint32_t)below(scribbler, QUEUE_LEAF + 1);
		nodes[i].first = nodes[i].last =
			1 + (uint32_t)below(scribbler, capacity);
		for (int side = 0; side < 2; side++)
			nodes[i].child[side] =
				1 +
				(uint32_t)below(scribbler, 2 * capacity - 1);
	}
	atomic_store(&control->root, 1);
	atomic_store(&control->pending, 1);
	atomic_store(&control->dirty, 0);
	revive(scribbler);
}

const struct attack queue_attacks[] = {
	{ "a selection lock held for ever", hold_selection, 1 },
	{ "a selection lock that flips", flip_selection, 4 },
	{ "cell words that flip", flip_cell_words, 8 },
	{ "a message that comes and goes", flip_messages, 8 },
	{ "sizes that flip", flip_sizes, 40 },
	{ "marks that flip", flip_marks, 8 },
	{ "an index in knots", knot_index, 4 },
	{ "sums that flip", flip_sums, 8 },
	{ NULL, NULL, 0 },
};
