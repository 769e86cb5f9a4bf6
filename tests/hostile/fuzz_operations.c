/* SPDX-License-Identifier: MIT */
/*
 * fuzz_operations.c: libFuzzer's bytes become a sequence of operations on an
 * object, and of stores into its memory between them. The first byte chooses
 * the shape. Then each step has four bytes: what; and, for an operation, three
 * that seed its choices; for a store, where, and what to store: one of the
 * noun's fields or any word, by the second byte.
 */
#include "fuzz.h"

enum {
	STEP_BYTES = 4,
	STEPS_MAX = 100,
	STORES = 128, /* from here on a step is a store */
	FIELD_STORES = 192, /* of which these are to fields */
	SEEDS = 40,
	SEED_STEPS = 20,
};

static struct fuzz fuzz;

/* Sequences by chance: mostly operations, and stores in between. */
void fuzz_make_seeds(const char *directory)
{
	uint64_t chance = 1;

	for (unsigned i = 0; i < SEEDS; i++) {
		FILE *file = fuzz_seed(directory, i);

		fputc((int)i, file);
		for (int j = 0; j < SEED_STEPS; j++) {
			int what = (int)random_below(&chance, STORES + 32);

			if (what > STORES)
				what += (int)random_below(&chance, 96);
			fputc(what, file);
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
	return 0;
}

static uint64_t some_value(const struct image *image, uint8_t choice)
{
	const uint64_t values[] = {
		0,
		1,
		INT32_MAX,
		UINT32_MAX,
		UINT64_MAX,
		INT64_MAX,
		UINT64_C(1) << 63,
		UINT64_C(1) << 31,
		(uint64_t)choice << (choice & 31),
		(uint64_t)choice << (choice & 63),
		0x10000 + (choice & 3),
		choice,
	};
	uint64_t number = choice % (LENGTH(values) + 3 * NUMBERS_MAX);

	if (number < LENGTH(values))
		return values[number];
	number -= LENGTH(values);
	return image->numbers[number / 3 % NUMBERS_MAX] + number % 3 - 1;
}

static void store(const struct image *image, const uint8_t *step)
{
	unsigned number = step[0] % image->region_count;
	const struct region *region = &image->regions[number];
	unsigned place = (unsigned)step[1] << 8 | step[2];
	uint64_t value = some_value(image, step[3]);

	if (region->idle || region->bytes < sizeof(uint64_t))
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

/* A word that could be true where it is. Only the dead are named: what is said
 * to be held by the living, calls without a deadline wait for. */
static void store_field(const struct image *image, const uint8_t *step)
{
	struct scribbler scribbler;
	size_t count = 0, item;
	const struct field *field;

	while (fuzz.noun->fields[count].name != NULL)
		count++;
	field = &fuzz.noun->fields[step[1] % count];
	scribbler_init(&scribbler, image,
	               (uint64_t)step[2] << 16 | (uint64_t)step[3] << 8 | 1);
	scribbler.base = image->copy;
	learn_tokens(&scribbler);
	scribbler.base = image->base;
	if (own_region(&scribbler, field->region)->bytes == 0)
		return;
	item = some_item(&scribbler, field->region);
	put_field(&scribbler, field, item,
	          field_value(&scribbler, field, item + field->offset));
}

static void operate_on(struct victim *victim, const uint8_t *step)
{
	size_t count = operations_of(victim->noun);
	size_t number = step[0] % (count + 1);

	victim->chance =
		(uint64_t)step[1] << 16 | (uint64_t)step[2] << 8 | step[3] | 1;
	if (number < count)
		operate(victim, &victim->noun->operations[number]);
	else
		operate(victim, &space_operations[space_operation_count - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct victim *victim = &fuzz.victim;
	struct image *image = fuzz_begin(&fuzz, bytes > 0 ? data[0] : 0, bytes);

	watch_operation("open", 0);
	if (victim_open(victim) < 0)
		finding("can't open");
	operation_done();
	for (size_t i = 0; i < STEPS_MAX && 1 + (i + 1) * STEP_BYTES <= bytes;
	     i++) {
		const uint8_t *step = data + 1 + i * STEP_BYTES;

		if (step[0] >= FIELD_STORES)
			store_field(image, step);
		else if (step[0] >= STORES)
			store(image, step);
		else
			operate_on(victim, step);
	}
	fuzz_end(&fuzz);
	return 0;
}
