/* SPDX-License-Identifier: MIT */
/* process.c: a command both ways, a pipeline, and one that takes too long. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>

#define SECOND 1000000000LL

static char *const sort[] = { "sort", NULL };
static char *const capitals[] = { "tr", "a-z", "A-Z", NULL };
static char *const sleeper[] = { "sleep", "600", NULL };

int main(void)
{
	struct stoa_process_attributes reads = {
		.size = sizeof reads, .in = { .how = STOA_PROCESS_PIPE }
	};
	struct stoa_process_attributes writes = {
		.size = sizeof writes, .out = { .how = STOA_PROCESS_PIPE }
	};
	struct stoa_process_command both[] = { { sort, &reads },
		                               { capitals, &writes } };
	struct stoa_process_command slow = { sleeper, NULL };
	struct stoa_process_exchange exchange = {
		.size = sizeof exchange, .input = "b\na\n", .input_bytes = 4
	};
	struct stoa_process_status status = { .size = sizeof status };

	if (stoa_process_run(both, 2, &exchange, STOA_FOREVER, 0, &status) < 0)
		errx(1, "%s", stoa_last_error());
	fputs(exchange.output, stdout);
	stoa_process_exchange_fini(&exchange);

	/* A tenth of a second, and then SIGTERM. */
	if (stoa_process_run(&slow, 1, NULL, stoa_deadline_in(SECOND / 10),
	                     10 * SECOND, &status) < 0)
		errx(1, "%s", stoa_last_error());
	if (status.flags & STOA_PROCESS_EXPIRED)
		printf("it took too long: %s\n",
		       status.state == STOA_PROCESS_KILLED ?
		               strsignal(status.code) :
		               "it ended by itself");
	return 0;
}
