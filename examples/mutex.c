/* SPDX-License-Identifier: MIT */
/* mutex.c: an owner is killed with the mutex locked; the next one is told, and
 * mends what it protects. */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct account {
	_Alignas(64) char mutex[STOA_MUTEX_BYTES];
	int mine, yours; /* together always 100 */
};

int main(void)
{
	struct account *account = mmap(NULL, sizeof(*account),
	                               PROT_READ | PROT_WRITE,
	                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct stoa_mutex *mutex;
	struct stoa_space *space;

	if (account == MAP_FAILED)
		err(1, "mmap");
	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_mutex_place(space, account->mutex, sizeof(account->mutex),
	                     STOA_CREATE, NULL, &mutex) < 0)
		errx(1, "%s", stoa_last_error());
	account->mine = 100;

	pid_t child = fork();
	if (child == 0) {
		stoa_mutex_lock(mutex, STOA_FOREVER);
		account->mine -= 10;
		raise(SIGKILL); /* ten are on their way */
	}
	waitpid(child, NULL, 0);

	if (stoa_mutex_lock(mutex, STOA_FOREVER) == -EOWNERDEAD) {
		printf("the owner died: %d and %d\n", account->mine,
		       account->yours);
		account->yours = 100 - account->mine;
		stoa_mutex_consistent(mutex);
	}
	printf("mended: %d and %d\n", account->mine, account->yours);
	stoa_mutex_unlock(mutex);
	stoa_mutex_close(mutex);
	stoa_space_close(space);
	return 0;
}
