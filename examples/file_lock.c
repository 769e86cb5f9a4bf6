/* SPDX-License-Identifier: MIT */
/* file_lock.c: takes turns at a real file with whatever else locks it, waits
 * with a deadline, and sees who is in the way. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <unistd.h>

int main(void)
{
	const struct stoa_range first = { .start = 0,
		                          .length = 100,
		                          .mode = STOA_RANGE_EXCLUSIVE };
	char path[] = "/tmp/stoa-example-XXXXXX";
	struct stoa_file_lock *mine, *other;
	struct stoa_file_lock_blocker blocker;
	int fd = mkstemp(path);

	if (fd < 0)
		err(1, "%s", path);
	if (stoa_file_lock_open(path, STOA_READ | STOA_WRITE, 0, &mine) < 0 ||
	    stoa_file_lock_open(path, STOA_READ | STOA_WRITE, 0, &other) < 0 ||
	    stoa_file_lock_lock_range(mine, &first, STOA_FOREVER) < 0)
		errx(1, "%s", stoa_last_error());

	/* Ten milliseconds, then it is told. */
	if (stoa_file_lock_lock_range(other, &first,
	                              stoa_deadline_in(10000000)) < 0 &&
	    stoa_file_lock_test_range(other, &first, &blocker) == 1)
		printf("%s has %llu bytes from %llu\n",
		       blocker.pid == getpid() ? "this process" : "another",
		       (unsigned long long)blocker.range.length,
		       (unsigned long long)blocker.range.start);

	stoa_file_lock_unlock_range(mine, &first);
	if (stoa_file_lock_lock_range(other, &first, STOA_NOW) == 0)
		puts("now it is free");

	/* As flock(1) locks. */
	if (stoa_file_lock_lock(mine, STOA_RANGE_EXCLUSIVE, STOA_FOREVER) == 0)
		puts("the whole is locked");
	stoa_file_lock_close(other);
	stoa_file_lock_close(mine);
	close(fd);
	unlink(path);
	return 0;
}
