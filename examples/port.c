/* SPDX-License-Identifier: MIT */
/* port.c: a server that adds, two calls at once, and one whose server dies. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Adds two numbers; dies of two zeros. */
static void serve(struct stoa_port *port)
{
	struct stoa_port_request request;
	int numbers[2];

	while (stoa_port_take(port, numbers, sizeof numbers, STOA_FOREVER,
	                      &request) == 0) {
		int sum = numbers[0] + numbers[1];

		if (numbers[0] == 0 && numbers[1] == 0)
			raise(SIGKILL);
		stoa_port_reply(port, &request, 0, &sum, sizeof sum, STOA_NOW);
	}
}

int main(void)
{
	static const int pairs[3][2] = { { 1, 2 }, { 30, 12 }, { 0, 0 } };
	struct stoa_port_ticket tickets[3];
	struct stoa_space *space = NULL;
	struct stoa_port *port = NULL;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_port_open(space, "adder", STOA_READ | STOA_WRITE | STOA_CREATE,
	                   0600, NULL, &port) < 0)
		errx(1, "%s", stoa_last_error());
	pid_t server = fork();
	if (server == 0)
		serve(port);
	for (int i = 0; i < 3; i++)
		if (stoa_port_start(port, pairs[i], sizeof pairs[i],
		                    STOA_FOREVER, &tickets[i]) < 0)
			errx(1, "%s", stoa_last_error());
	for (int i = 0; i < 3; i++) {
		struct stoa_port_reply reply;
		int sum;

		if (stoa_port_wait(port, &tickets[i], STOA_FOREVER, &reply) <
		    0) {
			puts("the server has died");
			continue;
		}
		memcpy(&sum, reply.data, sizeof sum);
		stoa_port_finish(port, &tickets[i], &reply);
		printf("%d + %d = %d\n", pairs[i][0], pairs[i][1], sum);
	}
	waitpid(server, NULL, 0);
	stoa_port_close(port);
	stoa_port_unlink(space, "adder");
	stoa_space_close(space);
	return 0;
}
