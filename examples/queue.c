/* SPDX-License-Identifier: MIT */
/* queue.c: sends one message and receives it. README shows the middle. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>

int main(void)
{
	const unsigned flags = STOA_CREATE | STOA_READ | STOA_WRITE;
	struct stoa_space *space = NULL;
	struct stoa_queue *queue = NULL;
	char text[64] = "";

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_queue_open(space, "hello", flags, 0600, NULL, &queue) < 0 ||
	    stoa_queue_send(queue, "hello, world", 13, STOA_FOREVER) < 0 ||
	    stoa_queue_receive(queue, NULL, text, 64, STOA_FOREVER, NULL) < 0)
		errx(1, "%s", stoa_last_error());

	puts(text);
	stoa_queue_unlink(space, "hello");
	stoa_queue_close(queue);
	stoa_space_close(space);
	return 0;
}
