/* SPDX-License-Identifier: MIT */
/* semaphore.c: permits that come back when their holder is killed. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	const struct stoa_semaphore_attributes three = {
		.size = sizeof three, .value = 3, .undo = 1
	};
	struct stoa_semaphore *seats;
	struct stoa_space *space;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_semaphore_open(space, NULL, STOA_CREATE, 0600, &three,
	                        &seats) < 0)
		errx(1, "%s", stoa_last_error());

	pid_t child = fork();
	if (child == 0) {
		stoa_semaphore_wait(seats, 1, STOA_FOREVER);
		pause();
	}
	while (stoa_semaphore_value(seats) == 3)
		;
	printf("%d of 3 permits left\n", stoa_semaphore_value(seats));

	kill(child, SIGKILL);
	stoa_semaphore_wait(seats, 3, STOA_FOREVER);
	stoa_semaphore_post(seats, 3);
	printf("one killed with a permit: %d permits\n",
	       stoa_semaphore_value(seats));
	waitpid(child, NULL, 0);
	stoa_semaphore_close(seats);
	stoa_space_close(space);
	return 0;
}
