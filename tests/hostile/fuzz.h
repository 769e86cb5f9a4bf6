/* SPDX-License-Identifier: MIT */
/* fuzz.h: what libFuzzer calls, and what its targets share. The noun is
 * $STOA_FUZZ_NOUN. With STOA_FUZZ_SEEDS=DIRECTORY a target writes its seeds
 * there, and ends. */
#ifndef HOSTILE_FUZZ_H
#define HOSTILE_FUZZ_H

#include "hostile.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct fuzz {
	struct stoa_space *space;
	const struct noun *noun;
	struct victim victim;
	char path[300]; /* of the victim's object */
	struct image *images; /* populated, one for each shape */
};

void fuzz_start(struct fuzz *fuzz);
/* A victim that does the same for the same input, and its object, as it was
 * populated. */
struct image *fuzz_begin(struct fuzz *fuzz, unsigned shape, uint64_t chance);
void fuzz_end(struct fuzz *fuzz);
/* A file of seeds, DIRECTORY/number; the caller closes it. */
FILE *fuzz_seed(const char *directory, unsigned number);
/* Each target's own. */
void fuzz_make_seeds(const char *directory);

#endif
