/* SPDX-License-Identifier: MIT */
/* semaphore_set.c: a brush and a bucket, both at once or none. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>

enum { BRUSH, BUCKET, TOOLS };

int main(void)
{
	const uint16_t values[TOOLS] = { 1, 0 };
	const struct stoa_semaphore_set_attributes attributes = {
		.size = sizeof attributes, .count = TOOLS, .values = values
	};
	const struct stoa_semaphore_change take[] = {
		{ BRUSH, -1, STOA_SEMAPHORE_UNDO, 0 },
		{ BUCKET, -1, STOA_SEMAPHORE_UNDO, 0 },
	};
	const struct stoa_semaphore_change bucket = { BUCKET, 1, 0, 0 };
	struct stoa_semaphore_set *tools;
	struct stoa_space *space;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_semaphore_set_open(space, "tools", STOA_CREATE, 0600,
	                            &attributes, &tools) < 0)
		errx(1, "%s", stoa_last_error());

	if (stoa_semaphore_set_operate(tools, take, 2, STOA_NOW) < 0)
		puts("both or none: not now");
	stoa_semaphore_set_operate(tools, &bucket, 1, STOA_FOREVER);
	if (stoa_semaphore_set_operate(tools, take, 2, STOA_FOREVER) == 0)
		puts("both");

	stoa_semaphore_set_close(tools); /* gives them back */
	stoa_semaphore_set_unlink(space, "tools");
	stoa_space_close(space);
	return 0;
}
