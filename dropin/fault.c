/* SPDX-License-Identifier: MIT */
/* dropin/fault.c: which seeded fault a build with them has. */
#include "fault.h"

#ifdef DROPIN_FAULTS
#include <stdlib.h>

int dropin_fault_chosen(void)
{
	static int chosen = -1;

	if (chosen < 0) {
		const char *text = getenv("STOA_DROPIN_FAULT");

		chosen = text ? atoi(text) : 0;
	}
	return chosen;
}
#endif
