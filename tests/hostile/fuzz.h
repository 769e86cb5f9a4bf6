/* SPDX-License-Identifier: MIT */
/* fuzz.h: what libFuzzer calls, and what its targets share. With
 * STOA_FUZZ_SEEDS=DIRECTORY a target writes its seeds there, and ends. */
#ifndef HOSTILE_FUZZ_H
#define HOSTILE_FUZZ_H

#include "hostile.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct fuzz {
	struct stoa_space *space;
	struct victim victim;
	char path[300]; /* of the victim's queue */
};

void fuzz_start(struct fuzz *fuzz);
/* A victim that does the same for the same input. */
void fuzz_begin(struct fuzz *fuzz, uint64_t chance);
/* Each target's own. */
void fuzz_make_seeds(const char *directory);

#endif
