/* SPDX-License-Identifier: MIT */
/* barrier.c: four processes that go from step to step together; one of them
 * speaks for all. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 4, STEPS = 3 };

int main(void)
{
	const struct stoa_barrier_attributes attributes = {
		.size = sizeof attributes, .count = PROCESSES
	};
	struct stoa_space *space = NULL;
	struct stoa_barrier *barrier = NULL;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_barrier_open(space, NULL, STOA_CREATE, 0, &attributes,
	                      &barrier) < 0)
		errx(1, "%s", stoa_last_error());

	int parent = 1;
	for (int i = 1; i < PROCESSES && parent; i++)
		parent = fork() != 0;
	for (int step = 1; step <= STEPS; step++) {
		int result = stoa_barrier_wait(barrier, STOA_FOREVER);

		if (result < 0)
			errx(1, "%s", stoa_last_error());
		if (result == STOA_BARRIER_SERIAL) {
			printf("step %d is done\n", step);
			fflush(stdout);
		}
	}
	while (parent && wait(NULL) > 0)
		;
	stoa_barrier_close(barrier);
	stoa_space_close(space);
	return 0;
}
