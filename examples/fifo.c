/* SPDX-License-Identifier: MIT */
/* fifo.c: a reader that stays while writers, who know nothing of stoa, come and
 * go. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_lines(const char *path)
{
	char command[200];

	snprintf(command, sizeof command,
	         "echo one >%s; echo two >%s; echo end >%s", path, path, path);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

int main(void)
{
	char directory[] = "/tmp/stoa-example-XXXXXX", path[100], line[64];
	struct stoa_fifo *fifo = NULL;
	ssize_t got = 1;

	if (!mkdtemp(directory))
		err(1, "%s", directory);
	snprintf(path, sizeof path, "%s/lines", directory);
	if (stoa_fifo_open(path, STOA_READ | STOA_CREATE | STOA_FIFO_STAYS,
	                   0600, STOA_NOW, &fifo) < 0)
		errx(1, "%s", stoa_last_error());
	if (fork() == 0)
		write_lines(path);
	/* Three writers, with nobody in between. */
	for (int lines = 0; lines < 3 && got > 0;) {
		got = stoa_fifo_read(fifo, line, sizeof line, STOA_FOREVER);
		for (ssize_t i = 0; i < got; i++)
			lines += line[i] == '\n';
		fwrite(line, 1, got > 0 ? (size_t)got : 0, stdout);
	}
	wait(NULL);
	if (stoa_fifo_read(fifo, line, sizeof line, STOA_NOW) == -EAGAIN)
		printf("nobody writes now\n");
	stoa_fifo_close(fifo);
	stoa_fifo_unlink(path);
	rmdir(directory);
	return 0;
}
