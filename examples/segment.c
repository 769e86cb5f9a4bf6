/* SPDX-License-Identifier: MIT */
/* segment.c: memory that a child shares, that grows, and that knows who has it. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	const struct stoa_segment_attributes attributes = {
		.size = sizeof attributes, .bytes = 4096, .limit = 1 << 20
	};
	struct stoa_segment *table;
	struct stoa_space *space;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_segment_open(space, "table", STOA_CREATE | STOA_WRITE, 0600,
	                      &attributes, &table) < 0)
		errx(1, "%s", stoa_last_error());
	char *text = stoa_segment_data(table);

	pid_t child = fork();
	if (child == 0) {
		strcpy(text, "hello");
		_exit(0);
	}
	waitpid(child, NULL, 0);
	printf("the child: %s\n", text);

	if (stoa_segment_resize(table, 1 << 20) < 0)
		errx(1, "%s", stoa_last_error());
	if (stoa_segment_data(table) == text)
		printf("%llu bytes at the same place\n",
		       (unsigned long long)stoa_segment_size(table));

	child = fork();
	if (child == 0)
		for (;;)
			pause();
	printf("%d attached\n", stoa_segment_attached(table));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("killed: %d attached\n", stoa_segment_attached(table));

	stoa_segment_remove(table); /* the memory goes with the last */
	stoa_segment_close(table);
	stoa_space_close(space);
	return 0;
}
