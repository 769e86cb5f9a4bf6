/* SPDX-License-Identifier: MIT */
/* fuzz_common.c: a space for the fuzzers, removed at the end. */
#include "fuzz.h"

#include <sys/stat.h>

static char directory[] = "/dev/shm/stoa-fuzz-XXXXXX";

static void remove_directory(void)
{
	remove_tree(directory);
}

/* Out of sight: an open of what says that it was removed takes its name away. */
static void hide(struct image *image, unsigned shape)
{
	char hidden[sizeof(image->path)];

	snprintf(hidden, sizeof(hidden), "%s/.kept-%u", directory, shape);
	if (rename(image->path, hidden) != 0)
		finding("rename: %s", strerror(errno));
	strcpy(image->path, hidden);
}

static void make_images(struct fuzz *fuzz)
{
	const struct noun *noun = fuzz->noun;

	fuzz->images = calloc(noun->shapes, sizeof(*fuzz->images));
	for (unsigned i = 0; i < noun->shapes; i++) {
		char name[32];

		snprintf(name, sizeof(name), "shape-%u", i);
		noun->populate(fuzz->space, name, i);
		image_open(&fuzz->images[i], fuzz->space, noun, name, i);
		hide(&fuzz->images[i], i);
	}
}

void fuzz_start(struct fuzz *fuzz)
{
	const char *seeds = getenv("STOA_FUZZ_SEEDS");
	const char *kind = getenv("STOA_FUZZ_NOUN");

	watchdog_start();
	catch_notifications();
	fuzz->noun = find_noun(kind != NULL ? kind : "queue");
	if (fuzz->noun == NULL)
		finding("STOA_FUZZ_NOUN=%s is no noun", kind);
	if (mkdtemp(directory) == NULL ||
	    stoa_space_open(directory, 0, &fuzz->space) != 0)
		finding("no space in %s", directory);
	atexit(remove_directory);
	make_images(fuzz);
	object_path(fuzz->path, sizeof(fuzz->path), fuzz->space, fuzz->noun,
	            "q");
	if (seeds == NULL)
		return;
	fuzz_make_seeds(seeds);
	stoa_space_close(fuzz->space);
	exit(EXIT_SUCCESS);
}

FILE *fuzz_seed(const char *seeds, unsigned number)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/seed-%u", seeds, number);
	file = fopen(path, "we");
	if (file == NULL)
		finding("%s: %s", path, strerror(errno));
	return file;
}

struct image *fuzz_begin(struct fuzz *fuzz, unsigned shape, uint64_t chance)
{
	struct image *image = &fuzz->images[shape % fuzz->noun->shapes];

	image_restore(image);
	memset(&fuzz->victim, 0, sizeof(fuzz->victim));
	fuzz->victim.space = fuzz->space;
	fuzz->victim.noun = fuzz->noun;
	fuzz->victim.name = "q";
	fuzz->victim.shape = shape % fuzz->noun->shapes;
	fuzz->victim.chance = chance + 1;
	/* Few inputs wait at all. */
	fuzz->victim.patience_ns = chance % 64 == 63 ? MS / 64 : 0;
	unlink(fuzz->path);
	if (link(image->path, fuzz->path) != 0)
		finding("link: %s", strerror(errno));
	return image;
}

void fuzz_end(struct fuzz *fuzz)
{
	watch_operation("close", 0);
	victim_close(&fuzz->victim);
	operation_done();
}
