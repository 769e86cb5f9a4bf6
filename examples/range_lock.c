/* SPDX-License-Identifier: MIT */
/* range_lock.c: two owners work on parts of one table at once, and a third
 * sees who is in its way. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <unistd.h>

int main(void)
{
	const struct stoa_range first = { .start = 0,
		                          .length = 100,
		                          .mode = STOA_RANGE_EXCLUSIVE };
	const struct stoa_range rest = { .start = 100,
		                         .mode = STOA_RANGE_SHARED };
	struct stoa_range_lock *mine, *other;
	struct stoa_range_holder holder;
	struct stoa_space *space;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_range_lock_open(space, "table", STOA_CREATE, 0600, NULL,
	                         &mine) < 0 ||
	    stoa_range_lock_open(space, "table", 0, 0, NULL, &other) < 0 ||
	    stoa_range_lock_lock(mine, &first, STOA_FOREVER) < 0 ||
	    stoa_range_lock_lock(other, &rest, STOA_FOREVER) < 0)
		errx(1, "%s", stoa_last_error());

	if (stoa_range_lock_test(other, &first, &holder) == 1)
		printf("%s has %llu numbers from %llu\n",
		       holder.pid == getpid() ? "this process" : "another",
		       (unsigned long long)holder.range.length,
		       (unsigned long long)holder.range.start);

	stoa_range_lock_unlock(mine, &first);
	if (stoa_range_lock_lock(other, &first, STOA_NOW) == 0)
		puts("now it is free");
	stoa_range_lock_unlink(space, "table");
	stoa_range_lock_close(other);
	stoa_range_lock_close(mine);
	stoa_space_close(space);
	return 0;
}
