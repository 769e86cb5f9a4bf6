/* SPDX-License-Identifier: MIT */
/* datagram.c: a service that answers by name, and tells who asked. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

static void serve(struct stoa_datagram *service)
{
	struct stoa_datagram_message message;
	char text[100], answer[200];
	ssize_t bytes = stoa_datagram_receive(service, text, sizeof text,
	                                      STOA_FOREVER, &message);

	if (bytes < 0)
		errx(1, "%s", stoa_last_error());
	int length = snprintf(answer, sizeof answer,
	                      "%s asked for %.*s, %s user", message.from.name,
	                      (int)bytes, text,
	                      message.uid == getuid() ? "of the same" :
	                                                "of another");
	stoa_datagram_send(service, &message.from, answer, (size_t)length,
	                   STOA_FOREVER);
}

int main(void)
{
	struct stoa_datagram *service, *client;
	struct stoa_datagram_address to;
	struct stoa_space *space = NULL;
	char answer[200];

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_datagram_open(space, "service", STOA_READ, 0600, NULL,
	                       &service) < 0)
		errx(1, "%s", stoa_last_error());
	if (fork() == 0) {
		serve(service);
		_exit(0);
	}
	if (stoa_datagram_parse("service", &to) < 0 ||
	    stoa_datagram_open(space, "client", STOA_READ, 0600, NULL,
	                       &client) < 0 ||
	    stoa_datagram_send(client, &to, "the time", 8, STOA_FOREVER) < 0)
		errx(1, "%s", stoa_last_error());
	ssize_t bytes = stoa_datagram_receive(client, answer, sizeof answer,
	                                      STOA_FOREVER, NULL);
	if (bytes < 0)
		errx(1, "%s", stoa_last_error());
	printf("%.*s\n", (int)bytes, answer);
	wait(NULL);
	stoa_datagram_close(client);
	stoa_datagram_close(service);
	stoa_space_close(space);
	return 0;
}
