/* SPDX-License-Identifier: MIT */
/* stream.c: a child that answers in capitals, over a two-way pair. */
#include <ctype.h>
#include <err.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

static void answer(struct stoa_stream *stream)
{
	char text[256];
	ssize_t got;

	while ((got = stoa_stream_read(stream, text, sizeof text,
	                               STOA_FOREVER)) > 0) {
		for (ssize_t i = 0; i < got; i++)
			text[i] = (char)toupper(text[i]);
		stoa_stream_write(stream, text, (size_t)got, STOA_FOREVER);
	}
}

int main(void)
{
	struct stoa_stream *ours = NULL, *theirs = NULL;
	struct stoa_space *space = NULL;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_stream_pair(space, NULL, &ours, &theirs) < 0)
		errx(1, "%s", stoa_last_error());
	if (fork() == 0) {
		stoa_stream_close(ours);
		answer(theirs);
		_exit(0);
	}
	stoa_stream_close(theirs);
	if (stoa_stream_write(ours, "hello, world\n", 13, STOA_FOREVER) < 0 ||
	    stoa_stream_shutdown(ours, STOA_WRITE) < 0)
		errx(1, "%s", stoa_last_error());
	/* Until the child has said all and gone. */
	while (stoa_stream_to_fd(ours, STDOUT_FILENO, STOA_STREAM_ALL,
	                         STOA_FOREVER) > 0)
		;
	wait(NULL);
	stoa_stream_close(ours);
	stoa_space_close(space);
	return 0;
}
