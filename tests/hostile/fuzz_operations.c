/* SPDX-License-Identifier: MIT */
/*
 * fuzz_operations.c: libFuzzer's bytes become a sequence of operations on a
 * queue, and of stores into its memory between them. The first byte chooses
 * the queue. Then each step has four bytes: what; and, for an operation, two
 * that seed its choices; for a store, the region and what to store where.
 */
#include "fuzz.h"

#include <sys/stat.h>

enum {
	STEP_BYTES = 4,
	STEPS_MAX = 100,
	STORES = 128, /* from here on a step is a store */
	SEEDS = 40,
	SEED_STEPS = 20,
};

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, 4, 80, 0 },
	{ STOA_FIFO, 8, 9000, 65536 },
	{ STOA_PRIORITY, 8, 9000, 65536 },
	{ STOA_TYPE, 8, 9000, 65536 },
};

static struct fuzz fuzz;
static struct image images[LENGTH(shapes)];

static void make_images(void)
{
	for (size_t i = 0; i < LENGTH(shapes); i++) {
		char name[16];

		snprintf(name, sizeof(name), "shape-%zu", i);
		populate(fuzz.space, name, shapes[i]);
		image_open(&images[i], fuzz.space, name);
	}
}

/* Sequences by chance: mostly operations, and stores in between. */
void fuzz_make_seeds(const char *directory)
{
	uint64_t chance = 1;

	for (int i = 0; i < SEEDS; i++) {
		char path[300];
		FILE *file;

		snprintf(path, sizeof(path), "%s/operations-%d", directory, i);
		file = fopen(path, "we");
		if (file == NULL)
			finding("%s: %s", path, strerror(errno));
		fputc(i, file);
		for (int j = 0; j < SEED_STEPS; j++) {
			fputc((int)random_below(&chance, STORES + 32), file);
			for (int k = 1; k < STEP_BYTES; k++)
				fputc((int)random_below(&chance, 256), file);
		}
		fclose(file);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_start(&fuzz);
	make_images();
	return 0;
}

static uint64_t some_value(const struct image *image, uint8_t choice)
{
	const uint64_t values[] = {
		0,
		1,
		image->capacity - 1,
		image->capacity,
		image->capacity + 1,
		2 * image->capacity,
		image->blocks * QUEUE_BLOCK_PIECES,
		image->blocks * QUEUE_BLOCK_PIECES + 1,
		image->blocks * QUEUE_BLOCK_BYTES,
		QUEUE_LEAF,
		INT32_MAX,
		UINT32_MAX,
		UINT64_MAX,
		QUEUE_WORD(choice & 7, choice >> 3 & 7, 0),
		QUEUE_WORD(4, choice >> 4 & 7, 0x10000 + (choice & 3)),
		(uint64_t)choice << (choice & 31),
		ARENA_WORD(choice & 7, choice >> 3 & 7),
		ARENA_SPLIT | choice,
		choice,
	};

	return values[choice % LENGTH(values)];
}

static void store(const struct image *image, const uint8_t *step)
{
	const struct region *region = &image->regions[step[0] % REGION_ARENA];
	unsigned place = (unsigned)step[1] << 8 | step[2];
	uint64_t value = some_value(image, step[3]);

	if (region->bytes < sizeof(uint64_t))
		return;
	/* An odd place: 32 bits. */
	if (place & 1) {
		place = place / 2 % (region->bytes / sizeof(uint32_t));
		memcpy(image->base + region->offset + place * sizeof(uint32_t),
		       &value, sizeof(uint32_t));
	} else {
		place = place / 2 % (region->bytes / sizeof(uint64_t));
		memcpy(image->base + region->offset + place * sizeof(uint64_t),
		       &value, sizeof(value));
	}
}

static void operate_on(struct victim *victim, const uint8_t *step)
{
	size_t all = queue_operation_count + 1;
	size_t number = step[0] % all;

	victim->chance =
		(uint64_t)step[1] << 16 | (uint64_t)step[2] << 8 | step[3] | 1;
	if (number < queue_operation_count)
		operate(victim, &queue_operations[number]);
	else
		operate(victim, &space_operations[space_operation_count - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	size_t shape = bytes > 0 ? data[0] % LENGTH(shapes) : 0;
	struct image *image = &images[shape];
	struct victim *victim = &fuzz.victim;
	char name[16];

	image_restore(image);
	fuzz_begin(&fuzz, bytes);
	snprintf(name, sizeof(name), "shape-%zu", shape);
	victim->name = name;
	victim->message_max = shapes[shape].max_message_bytes;
	if (link(image->path, fuzz.path) != 0 && errno != EEXIST)
		finding("link: %s", strerror(errno));
	watch_operation("open", 0);
	if (victim_open(victim) < 0)
		finding("can't open");
	operation_done();
	for (size_t i = 0; i < STEPS_MAX && 1 + (i + 1) * STEP_BYTES <= bytes;
	     i++) {
		const uint8_t *step = data + 1 + i * STEP_BYTES;

		if (step[0] >= STORES)
			store(image, step);
		else
			operate_on(victim, step);
	}
	victim_close(victim);
	/* An open of what says that it was removed takes its name away. */
	if (link(fuzz.path, image->path) != 0 && errno != EEXIST)
		finding("link: %s", strerror(errno));
	unlink(fuzz.path);
	return 0;
}
