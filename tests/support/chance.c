/* SPDX-License-Identifier: MIT */
/* chance.c: repeatable random numbers, and content that can be verified. */
#include "support.h"

#include <sys/random.h>

/* Marsaglia's xorshift64*, seeded through splitmix64's step. */
#define XORSHIFT_MULTIPLIER 0x2545F4914F6CDD1DULL
#define SPLITMIX_STEP 0x9E3779B97F4A7C15ULL

uint64_t run_seed(void)
{
	static uint64_t seed;
	const char *given = getenv("STOA_TEST_SEED");

	if (seed != 0)
		return seed;
	if (given != NULL)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		abort();
	seed = (seed & UINT32_MAX) | 1;
	return seed;
}

uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state != 0 ? *state : SPLITMIX_STEP;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * XORSHIFT_MULTIPLIER;
}

uint64_t random_below(uint64_t *state, uint64_t bound)
{
	return next_random(state) % bound;
}

void fill_pattern(void *data, size_t bytes, uint64_t seed)
{
	unsigned char *at = data;
	uint64_t state = (seed + 1) * SPLITMIX_STEP;

	while (bytes > 0) {
		uint64_t word = next_random(&state);
		size_t part = bytes < sizeof(word) ? bytes : sizeof(word);

		memcpy(at, &word, part);
		at += part;
		bytes -= part;
	}
}

bool has_pattern(const void *data, size_t bytes, uint64_t seed)
{
	const unsigned char *at = data;
	uint64_t state = (seed + 1) * SPLITMIX_STEP;

	while (bytes > 0) {
		uint64_t word = next_random(&state);
		size_t part = bytes < sizeof(word) ? bytes : sizeof(word);

		if (memcmp(at, &word, part) != 0)
			return false;
		at += part;
		bytes -= part;
	}
	return true;
}
