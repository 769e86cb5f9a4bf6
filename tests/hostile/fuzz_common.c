/* SPDX-License-Identifier: MIT */
/* fuzz_common.c: a space for the fuzzers, removed at the end. */
#include "fuzz.h"

#include <sys/stat.h>

static char directory[] = "/dev/shm/stoa-fuzz-XXXXXX";

static void remove_directory(void)
{
	remove_tree(directory);
}

void fuzz_start(struct fuzz *fuzz)
{
	const char *seeds = getenv("STOA_FUZZ_SEEDS");

	watchdog_start();
	catch_notifications();
	if (mkdtemp(directory) == NULL ||
	    stoa_space_open(directory, 0, &fuzz->space) != 0)
		finding("no space in %s", directory);
	atexit(remove_directory);
	snprintf(fuzz->path, sizeof(fuzz->path), "%s/q.queue", directory);
	if (seeds == NULL)
		return;
	fuzz_make_seeds(seeds);
	stoa_space_close(fuzz->space);
	exit(EXIT_SUCCESS);
}

void fuzz_begin(struct fuzz *fuzz, uint64_t chance)
{
	memset(&fuzz->victim, 0, sizeof(fuzz->victim));
	fuzz->victim.space = fuzz->space;
	fuzz->victim.name = "q";
	fuzz->victim.chance = chance + 1;
	/* Few inputs wait at all. */
	fuzz->victim.patience_ns = chance % 64 == 63 ? MS / 64 : 0;
}
