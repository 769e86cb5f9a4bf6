/* SPDX-License-Identifier: MIT */
/* terminal.c: a command that believes it has a terminal: asked for its size,
 * and seen by a client, as another process would be. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>

static int fail(void)
{
	errx(1, "%s", stoa_last_error());
}

int main(void)
{
	char *const command[] = { "sh", "-c", "read line; stty size; exit 7",
		                  NULL };
	struct stoa_terminal_client *client;
	struct stoa_terminal_status status;
	struct stoa_terminal_event event;
	struct stoa_terminal *terminal;
	struct stoa_space *space;
	char buffer[STOA_TERMINAL_CHUNK], all[4096] = "";
	int rows, columns;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_terminal_start(space, "show", NULL, command, &terminal) < 0 ||
	    stoa_terminal_attach(space, "show", STOA_READ | STOA_WRITE,
	                         &client) < 0)
		fail();
	if (stoa_terminal_send(client, "go\n", 3, NULL, STOA_FOREVER) < 0 ||
	    stoa_terminal_run(terminal, -1, STOA_FOREVER) < 0)
		fail();
	stoa_terminal_status(terminal, &status);
	stoa_terminal_close(terminal, STOA_NOW);
	/* The session is over; what it wrote is still there for who attached. */
	while (stoa_terminal_next(client, buffer, sizeof buffer, STOA_FOREVER,
	                          &event) == 0)
		if (event.kind == STOA_TERMINAL_OUTPUT)
			strncat(all, event.data, event.bytes);
	stoa_terminal_detach(client);
	stoa_space_close(space);
	if (sscanf(all, "go %d %d", &rows, &columns) != 2)
		errx(1, "it wrote something else: %s", all);
	printf("the command saw a terminal of %d rows, %d columns\n", rows,
	       columns);
	printf("it exited with %d\n", status.code);
	return 0;
}
