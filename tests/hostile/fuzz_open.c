/* SPDX-License-Identifier: MIT */
/*
 * fuzz_open.c: libFuzzer's bytes are laid over a populated object's file, which
 * is opened and used. The first byte chooses the shape, and how many pages the
 * file is short of or beyond what it should have; then come the parts of the
 * file that decide anything, one after another, the beginning of each.
 */
#include "fuzz.h"

#include <sys/stat.h>

enum { PAGE_BYTES = 4096, PART_MAX = 4096, SHAPES = 8, SIZES = 32 };

static struct fuzz fuzz;

static size_t part_of(const struct image *image, unsigned number)
{
	const struct region *region = &image->regions[number];

	if (region->idle)
		return 0;
	if (number == REGION_SEATS && region->bytes > 0)
		return 2 * region->item;
	return region->bytes < PART_MAX ? region->bytes : PART_MAX;
}

void fuzz_make_seeds(const char *directory)
{
	for (unsigned i = 0; i < fuzz.noun->shapes; i++) {
		const struct image *image = &fuzz.images[i];
		FILE *file = fuzz_seed(directory, i);

		fputc((int)i, file);
		for (unsigned j = 0; j < image->region_count; j++)
			fwrite(image->copy + image->regions[j].offset, 1,
			       part_of(image, j), file);
		fclose(file);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_start(&fuzz);
	return 0;
}

static void lay_over(const struct image *image, const uint8_t *data,
                     size_t bytes)
{
	size_t at = 0;

	for (unsigned i = 0; i < image->region_count && at < bytes; i++) {
		size_t part = part_of(image, i);

		if (part > bytes - at)
			part = bytes - at;
		memcpy(image->base + image->regions[i].offset, data + at, part);
		at += part;
	}
}

static void set_size(const struct image *image, off_t bytes)
{
	if (bytes < 0)
		bytes = 0;
	if (ftruncate(image->fd, bytes) != 0)
		finding("ftruncate: %s", strerror(errno));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t first = bytes > 0 ? data[0] : 0;
	struct victim *victim = &fuzz.victim;
	struct image *image = fuzz_begin(&fuzz, first % SHAPES, bytes);
	off_t size = (off_t)image->bytes;

	if (bytes > 1)
		lay_over(image, data + 1, bytes - 1);
	/* 0: as it should be; else some pages more or fewer. */
	if (first / SHAPES != 0 && !fuzz.noun->placed)
		set_size(image,
		         size + (first / SHAPES - SIZES / 2) * PAGE_BYTES);
	watch_operation("open", 0);
	victim_open(victim);
	operation_done();
	operate_on_object(victim);
	if (bytes % 16 == 0)
		operate_all(victim);
	fuzz_end(&fuzz);
	set_size(image, size);
	return 0;
}
