/* SPDX-License-Identifier: MIT */
/* rwlock.c: a table that processes share: a writer is killed in the middle of
 * a change, and the next to come mends it. */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct table {
	int left, right; /* always equal, for who has the lock */
};

int main(void)
{
	struct table *table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct stoa_space *space = NULL;
	struct stoa_rwlock *lock = NULL;

	if (table == MAP_FAILED)
		err(1, "mmap");
	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_rwlock_open(space, NULL, STOA_CREATE, 0, NULL, &lock) < 0)
		errx(1, "%s", stoa_last_error());

	if (fork() == 0) {
		stoa_rwlock_lock_write(lock, STOA_FOREVER);
		table->left = 1;
		kill(getpid(), SIGKILL);
	}
	wait(NULL);

	/* Asked for reading, had for writing: there is something to mend. */
	if (stoa_rwlock_lock_read(lock, STOA_FOREVER) == -EOWNERDEAD) {
		puts("a writer died");
		table->right = table->left;
		stoa_rwlock_consistent(lock);
		stoa_rwlock_downgrade(lock);
	}
	printf("%d %d\n", table->left, table->right);
	stoa_rwlock_unlock(lock);
	stoa_rwlock_close(lock);
	stoa_space_close(space);
	return 0;
}
