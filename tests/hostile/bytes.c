/* SPDX-License-Identifier: MIT */
/*
 * Every byte of an object's control structures set to several values, then
 * opened, and every operation performed. HOSTILE_FULL tries each byte with
 * each order; else the orders take turns.
 */
#include "hostile.h"

#include <sys/stat.h>

enum {
	HELD_PAGE_BYTES = 4096,
	PATIENCE_NS = 20000,
	HIGH_BIT = 0x80,
	/* Of long regions the first bytes stand for the others. */
	CELLS_TRIED = 4,
	SEATS_TRIED = 3,
	WORDS_TRIED = 6,
};

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, 8, 5000, 32768 },
	{ STOA_PRIORITY, 7, 5000, 32768 },
	{ STOA_TYPE, 9, 5000, 32768 },
};

struct stage {
	struct stoa_space *space;
	struct victim victim;
	struct image image;
	unsigned order;
	unsigned trials, opened;
};

static void set_up(struct stage *stage, unsigned order)
{
	memset(stage, 0, sizeof(*stage));
	stage->order = order;
	stage->space = open_space();
	populate(stage->space, "q", shapes[order]);
	image_open(&stage->image, stage->space, "q");
	stage->victim.space = stage->space;
	stage->victim.name = "q";
	stage->victim.chance = run_seed();
	stage->victim.message_max = shapes[order].max_message_bytes;
	stage->victim.patience_ns = PATIENCE_NS;
	catch_notifications();
}

static void tear_down(struct stage *stage)
{
	remark("order %u: %u trials, of which %u opened", stage->order,
	       stage->trials, stage->opened);
	image_close(&stage->image);
	stoa_space_close(stage->space);
	remove_tree(case_directory());
	assert_system(mkdir(case_directory(), 0700));
}

/* An open of what says that it was removed takes its name away. */
static void put_name_back(struct stage *stage)
{
	char kept[300];

	snprintf(kept, sizeof(kept), "%s/.kept", case_directory());
	if (access(kept, F_OK) != 0)
		assert_system(link(stage->image.path, kept));
	else if (link(kept, stage->image.path) != 0 && errno != EEXIST)
		finding("link: %s", strerror(errno));
}

static void operate_on_false(struct stage *stage)
{
	struct victim *victim = &stage->victim;
	long long result;

	watch_operation("open", 0);
	result = victim_open(victim);
	operation_done();
	stage->trials++;
	stage->opened += result == 0;
	if (result == 0)
		operate_on_queue(victim);
	if (random_below(&victim->chance, 8) == 0)
		operate_all(victim);
	watch_operation("close", 0);
	victim_close(victim);
	operation_done();
	put_name_back(stage);
	image_restore(&stage->image);
}

static void try_byte(struct stage *stage, const char *where, size_t offset,
                     uint8_t value)
{
	uint8_t *byte = (uint8_t *)stage->image.base + offset;

	if (*byte == value)
		return;
	trial("order %u, %s, byte %zu set to 0x%02x", stage->order, where,
	      offset, value);
	*byte = value;
	operate_on_false(stage);
}

/* While the handle is open already, too: what was checked at open is not. */
static void try_byte_late(struct stage *stage, const char *where, size_t offset,
                          uint8_t value)
{
	uint8_t *byte = (uint8_t *)stage->image.base + offset;

	trial("order %u, %s, byte %zu set to 0x%02x under an open handle",
	      stage->order, where, offset, value);
	if (victim_open(&stage->victim) < 0)
		finding("can't open");
	*byte = value;
	stage->trials++;
	operate_on_queue(&stage->victim);
	watch_operation("close", 0);
	victim_close(&stage->victim);
	operation_done();
	put_name_back(stage);
	image_restore(&stage->image);
}

static bool is_its_turn(const struct stage *stage, size_t offset, int value)
{
	return getenv("HOSTILE_FULL") != NULL ||
	       (offset + (size_t)value) % LENGTH(shapes) == stage->order;
}

static void try_values(struct stage *stage, const char *where, size_t offset,
                       bool important)
{
	uint8_t real = (uint8_t)stage->image.copy[offset];
	const uint8_t values[] = { 0xff,     0x00, real ^ 1, real ^ HIGH_BIT,
		                   real + 1, 0x7f };
	int count = important ? (int)LENGTH(values) : 1;

	for (int i = 0; i < count; i++)
		if (is_its_turn(stage, offset, i))
			try_byte(stage, where, offset, values[i]);
	if (is_its_turn(stage, offset, 0))
		try_byte_late(stage, where, offset,
		              (uint8_t)next_random(&stage->victim.chance));
}

static void try_bytes(struct stage *stage, enum region_name name, size_t bytes)
{
	struct region region = stage->image.regions[name];

	if (bytes == 0 || bytes > region.bytes)
		bytes = region.bytes;
	for (size_t i = 0; i < bytes; i++)
		try_values(stage, region_names[name], region.offset + i, true);
}

TEST(each_byte_of_the_header_page)
{
	for (unsigned order = 0; order < LENGTH(shapes); order++) {
		struct stage stage;
		size_t end;

		set_up(&stage, order);
		put_name_back(&stage);
		try_bytes(&stage, REGION_HEADER, 0);
		try_bytes(&stage, REGION_STATE, 0);
		end = stage.image.regions[REGION_STATE].offset +
		      stage.image.regions[REGION_STATE].bytes;
		for (; end < OBJECT_HEADER_BYTES; end++)
			try_values(&stage, "unused", end, false);
		tear_down(&stage);
	}
}

TEST(each_byte_of_the_control_page)
{
	for (unsigned order = 0; order < LENGTH(shapes); order++) {
		struct stage stage;
		struct region control;

		set_up(&stage, order);
		put_name_back(&stage);
		try_bytes(&stage, REGION_CONTROL, 0);
		control = stage.image.regions[REGION_CONTROL];
		for (size_t i = control.bytes; i < HELD_PAGE_BYTES; i++)
			try_values(&stage, "unused control", control.offset + i,
			           false);
		tear_down(&stage);
	}
}

TEST(each_byte_of_seats_cells_and_index)
{
	for (unsigned order = 0; order < LENGTH(shapes); order++) {
		struct stage stage;

		set_up(&stage, order);
		put_name_back(&stage);
		try_bytes(&stage, REGION_SEATS,
		          SEATS_TRIED * sizeof(struct stoa_seat));
		try_bytes(&stage, REGION_CELLS,
		          CELLS_TRIED * sizeof(struct queue_cell));
		try_bytes(&stage, REGION_ENTRIES,
		          CELLS_TRIED * sizeof(struct queue_entry));
		try_bytes(&stage, REGION_NODES,
		          CELLS_TRIED * sizeof(struct queue_node));
		try_bytes(&stage, REGION_BLOCK_WORDS,
		          WORDS_TRIED * sizeof(uint64_t));
		try_bytes(&stage, REGION_PIECE_WORDS,
		          WORDS_TRIED * sizeof(uint64_t));
		tear_down(&stage);
	}
}

/* Each 32-bit word to each value at which something ends. */
static void try_words(struct stage *stage, enum region_name name)
{
	struct region region = stage->image.regions[name];
	uint32_t capacity = stage->image.capacity;
	uint32_t pieces = stage->image.blocks * QUEUE_BLOCK_PIECES;
	const uint32_t values[] = { 0,
		                    1,
		                    capacity,
		                    capacity + 1,
		                    pieces,
		                    pieces + 1,
		                    2 * capacity,
		                    INT32_MAX,
		                    UINT32_MAX,
		                    UINT32_MAX - 1 };

	for (size_t i = 0; i + sizeof(uint32_t) <= region.bytes;
	     i += sizeof(uint32_t)) {
		for (size_t j = 0; j < LENGTH(values); j++) {
			size_t at = region.offset + i;

			if (!is_its_turn(stage, i / sizeof(uint32_t), (int)j))
				continue;
			trial("order %u, %s, word at %zu set to 0x%08x",
			      stage->order, region_names[name], at, values[j]);
			memcpy(stage->image.base + at, &values[j],
			       sizeof(uint32_t));
			operate_on_false(stage);
		}
	}
}

TEST(each_word_to_each_edge)
{
	static const enum region_name names[] = { REGION_HEADER, REGION_CONTROL,
		                                  REGION_ENTRIES,
		                                  REGION_NODES };

	for (unsigned order = 0; order < LENGTH(shapes); order++) {
		struct stage stage;

		set_up(&stage, order);
		put_name_back(&stage);
		for (size_t i = 0; i < LENGTH(names); i++)
			try_words(&stage, names[i]);
		tear_down(&stage);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(each_byte_of_the_header_page),
	CASE(each_byte_of_the_control_page),
	CASE(each_byte_of_seats_cells_and_index),
	CASE(each_word_to_each_edge),
};

HOSTILE_MAIN(cases)
