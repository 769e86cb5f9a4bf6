/* SPDX-License-Identifier: MIT */
/* seeded_switch.c: switches the bug on that $STOA_SEEDED_BUG says, in a test
 * that is linked with a library of tests/crash/seeded.h; in no other. */
#include <stdlib.h>

extern unsigned stoa_seeded_bug;

unsigned stoa_seeded_bug;

__attribute__((constructor)) static void switch_on(void)
{
	const char *number = getenv("STOA_SEEDED_BUG");

	stoa_seeded_bug = number ? (unsigned)atoi(number) : 0;
}
