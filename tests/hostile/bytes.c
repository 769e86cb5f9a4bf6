/* SPDX-License-Identifier: MIT */
/*
 * Every byte of an object's control structures set to several values, then
 * opened, and every operation performed. HOSTILE_FULL tries each byte with
 * each value in each shape; else the shapes take turns, and of the nouns that
 * have few, the seed chooses.
 */
#include "hostile.h"

#include <sys/stat.h>

enum {
	PATIENCE_NS = 20000,
	HIGH_BIT = 0x80,
	/* Of long regions the first items stand for the others. */
	ITEMS_TRIED = 4,
	SEATS_TRIED = 2,
	THING_BYTES_TRIED = 4096,
	TURNS = 4, /* one trial of so many is made */
};

struct stage {
	struct stoa_space *space;
	struct victim victim;
	struct image image;
	unsigned shape;
	unsigned trials, opened;
};

static void set_up(struct stage *stage, const struct noun *noun, unsigned shape)
{
	memset(stage, 0, sizeof(*stage));
	stage->shape = shape;
	stage->space = open_space();
	noun->populate(stage->space, "q", shape);
	image_open(&stage->image, stage->space, noun, "q", shape);
	stage->victim = victim_of(stage->space, noun, shape, PATIENCE_NS);
}

static void tear_down(struct stage *stage)
{
	remark("%s, shape %u: %u trials, of which %u opened",
	       stage->victim.noun->kind, stage->shape, stage->trials,
	       stage->opened);
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
		operate_on_object(victim);
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
	trial("shape %u, %s, byte %zu set to 0x%02x", stage->shape, where,
	      offset, value);
	*byte = value;
	operate_on_false(stage);
}

/* While the handle is open already, too: what was checked at open is not. */
static void try_byte_late(struct stage *stage, const char *where, size_t offset,
                          uint8_t value)
{
	uint8_t *byte = (uint8_t *)stage->image.base + offset;

	trial("shape %u, %s, byte %zu set to 0x%02x under an open handle",
	      stage->shape, where, offset, value);
	if (victim_open(&stage->victim) < 0)
		finding("can't open");
	*byte = value;
	stage->trials++;
	operate_on_object(&stage->victim);
	watch_operation("close", 0);
	victim_close(&stage->victim);
	operation_done();
	put_name_back(stage);
	image_restore(&stage->image);
}

static bool is_its_turn(const struct stage *stage, size_t offset, int value)
{
	unsigned shapes = stage->victim.noun->shapes;
	size_t turn = offset + (size_t)value + run_seed();
	size_t turns = shapes > TURNS ? shapes : TURNS;

	return getenv("HOSTILE_FULL") != NULL || turn % turns == stage->shape;
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

static size_t tried_of(const struct image *image, unsigned number)
{
	const struct region *region = &image->regions[number];
	size_t most = region->item == 0 ? THING_BYTES_TRIED
	                                : ITEMS_TRIED * region->item;

	if (number == REGION_SEATS)
		most = SEATS_TRIED * region->item;
	if (region->idle)
		most = 0;
	return region->bytes < most ? region->bytes : most;
}

static void try_bytes(struct stage *stage, unsigned number)
{
	struct region region = stage->image.regions[number];
	size_t bytes = tried_of(&stage->image, number);

	for (size_t i = 0; i < bytes; i++)
		try_values(stage, region.name, region.offset + i, true);
}

static void each_byte_of_the_header_page(const struct noun *noun)
{
	for (unsigned shape = 0; shape < noun->shapes; shape++) {
		struct stage stage;
		size_t end;

		set_up(&stage, noun, shape);
		put_name_back(&stage);
		try_bytes(&stage, REGION_HEADER);
		try_bytes(&stage, REGION_STATE);
		end = stage.image.regions[REGION_STATE].offset +
		      stage.image.regions[REGION_STATE].bytes;
		for (; !noun->placed && end < OBJECT_HEADER_BYTES; end += 32)
			try_values(&stage, "unused", end, false);
		tear_down(&stage);
	}
}

static void each_byte_of_seats(const struct noun *noun)
{
	for (unsigned shape = 0; shape < noun->shapes; shape++) {
		struct stage stage;

		set_up(&stage, noun, shape);
		put_name_back(&stage);
		try_bytes(&stage, REGION_SEATS);
		tear_down(&stage);
	}
}

static void each_byte_of_its_own(const struct noun *noun)
{
	for (unsigned shape = 0; shape < noun->shapes; shape++) {
		struct stage stage;

		set_up(&stage, noun, shape);
		put_name_back(&stage);
		for (unsigned i = REGION_OWN; i < stage.image.region_count; i++)
			try_bytes(&stage, i);
		tear_down(&stage);
	}
}

/* Each 32-bit word to each value at which something ends. */
static void try_word(struct stage *stage, const struct region *region,
                     size_t at)
{
	const struct image *image = &stage->image;
	uint32_t values[6 + 2 * NUMBERS_MAX] = { 0,         1,
		                                 INT32_MAX, UINT32_MAX,
		                                 1u << 31,  UINT32_MAX - 1 };
	size_t count = 6;

	for (unsigned i = 0; i < image->number_count; i++) {
		values[count++] = (uint32_t)image->numbers[i];
		values[count++] = (uint32_t)image->numbers[i] + 1;
	}
	for (size_t i = 0; i < count; i++) {
		if (!is_its_turn(stage, at / sizeof(uint32_t), (int)i))
			continue;
		trial("shape %u, %s, word at %zu set to 0x%08x", stage->shape,
		      region->name, at, values[i]);
		memcpy(stage->image.base + at, &values[i], sizeof(uint32_t));
		operate_on_false(stage);
	}
}

static void each_word_to_each_edge(const struct noun *noun)
{
	for (unsigned shape = 0; shape < noun->shapes; shape++) {
		struct stage stage;

		set_up(&stage, noun, shape);
		put_name_back(&stage);
		for (unsigned i = 0; i < stage.image.region_count; i++) {
			struct region region = stage.image.regions[i];
			size_t bytes = i == REGION_SEATS
			                       ? 0
			                       : tried_of(&stage.image, i);

			for (size_t at = 0; at + sizeof(uint32_t) <= bytes;
			     at += sizeof(uint32_t))
				try_word(&stage, &region, region.offset + at);
		}
		tear_down(&stage);
	}
}

static const struct noun_case cases[] = {
	{ "each_byte_of_the_header_page", each_byte_of_the_header_page },
	{ "each_byte_of_seats", each_byte_of_seats },
	{ "each_byte_of_its_own", each_byte_of_its_own },
	{ "each_word_to_each_edge", each_word_to_each_edge },
};

int main(int argc, char **argv)
{
	return run_noun_cases(argc, argv, cases, LENGTH(cases), true, NULL, 0);
}
