/* SPDX-License-Identifier: MIT */
/* condition.c: a child waits until its parent has put a number into memory
 * that they share. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int *number = mmap(NULL, sizeof(*number), PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct stoa_condition *changed;
	struct stoa_mutex *mutex;
	struct stoa_space *space;

	if (number == MAP_FAILED)
		err(1, "mmap");
	/* Without names: for this process and those that it forks. */
	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_mutex_open(space, NULL, STOA_CREATE, 0600, NULL, &mutex) < 0 ||
	    stoa_condition_open(space, NULL, STOA_CREATE, 0600, NULL,
	                        &changed) < 0)
		errx(1, "%s", stoa_last_error());

	pid_t child = fork();
	if (child == 0) {
		stoa_mutex_lock(mutex, STOA_FOREVER);
		while (*number == 0)
			stoa_condition_wait(changed, mutex, STOA_FOREVER);
		printf("the number is %d\n", *number);
		stoa_mutex_unlock(mutex);
		fflush(stdout);
		_exit(0);
	}
	stoa_mutex_lock(mutex, STOA_FOREVER);
	*number = 42;
	stoa_condition_signal(changed);
	stoa_mutex_unlock(mutex);
	waitpid(child, NULL, 0);

	stoa_condition_close(changed);
	stoa_mutex_close(mutex);
	stoa_space_close(space);
	return 0;
}
