/* SPDX-License-Identifier: MIT */
/* descriptor.c: a child that may open nothing fetches what its parent offers:
 * the end of a pipe, and memory that neither can cut. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fetch(struct stoa_space *space)
{
	struct stoa_descriptor_message message;
	uint64_t bytes;
	void *text;
	int fds[2];

	if (stoa_descriptor_fetch(space, "tools", 0, fds, 2, NULL, 0,
	                          STOA_FOREVER, &message) < 0 ||
	    stoa_descriptor_map(fds[1], STOA_READ, 4096, &text, &bytes) < 0)
		errx(1, "%s", stoa_last_error());
	dprintf(fds[0], "%d descriptors of my parent's: %s\n",
	        (int)message.descriptors,
	        message.sender.pid == getppid() ? (char *)text : "a stranger");
}

int main(void)
{
	const char text[] = "sealed, so that it can be read in peace";
	int memory = stoa_descriptor_memory(text, sizeof text);
	struct stoa_space *space = NULL;
	struct stoa_offer *offer = NULL;
	int fds[2] = { STDOUT_FILENO, memory };

	if (memory < 0 || stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_descriptor_offer(space, "tools", 0, 0600, NULL, fds, 2, NULL,
	                          0, &offer) < 0)
		errx(1, "%s", stoa_last_error());
	if (fork() == 0) {
		fetch(space);
		_exit(0);
	}
	if (stoa_descriptor_serve(offer, STOA_FOREVER, NULL) < 0)
		errx(1, "%s", stoa_last_error());
	wait(NULL);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
	close(memory);
	return 0;
}
