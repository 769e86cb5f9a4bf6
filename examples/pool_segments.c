/* SPDX-License-Identifier: MIT */
/* pool_segments.c: many small segments whose identifiers travel by a queue. The
 * receiver looks at each through a mapping that it can't write, and the segment
 * of one who is killed comes back. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stoa_pool *pool;
static struct stoa_queue *queue;

/* Take, claim, acknowledge, and release what was seen. */
static void receive(void)
{
	struct stoa_message message;
	uint64_t segment;

	while (stoa_queue_take(queue, NULL, STOA_FOREVER, &message) == 0) {
		memcpy(&segment, message.data, sizeof segment);
		int mine = stoa_pool_claim(pool, segment) == 0;
		stoa_queue_acknowledge(queue, &message);
		if (!mine)
			continue; /* its sender died before it gave it */
		const char *text = stoa_pool_view(pool, segment);
		printf("seen: %s\n", text);
		fflush(stdout);
		if (strcmp(text, "the last") == 0)
			break;
		stoa_pool_release(pool, segment);
	}
}

/* Has it, and two more. */
static void keep_three(void)
{
	uint64_t segment;

	stoa_pool_acquire(pool, STOA_FOREVER, &segment);
	stoa_pool_acquire(pool, STOA_FOREVER, &segment);
	pause();
}

static void send(const char *text)
{
	uint64_t segment;

	if (stoa_pool_acquire(pool, STOA_FOREVER, &segment) < 0)
		errx(1, "%s", stoa_last_error());
	strcpy(stoa_pool_data(pool, segment), text);
	if (stoa_queue_send(queue, &segment, sizeof segment, STOA_FOREVER) < 0)
		errx(1, "%s", stoa_last_error());
	stoa_pool_give(pool, segment);
}

static struct stoa_pool_status look(void)
{
	struct stoa_pool_status status = { .size = sizeof status };

	if (stoa_pool_stat(pool, &status) < 0)
		errx(1, "%s", stoa_last_error());
	return status;
}

int main(void)
{
	const struct stoa_pool_attributes segments = { .size = sizeof segments,
		                                       .block_bytes = 1 << 20,
		                                       .blocks = 100,
		                                       .segments = 1 };
	const struct stoa_queue_attributes names = {
		.size = sizeof names, .capacity = 4, .max_message_bytes = 8
	};
	struct stoa_space *space;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_pool_open(space, NULL, STOA_CREATE, 0600, &segments, &pool) <
	            0 ||
	    stoa_queue_open(space, "example-segments",
	                    STOA_CREATE | STOA_READ | STOA_WRITE, 0600, &names,
	                    &queue) < 0)
		errx(1, "%s", stoa_last_error());
	pid_t child = fork();
	if (child == 0) {
		receive();
		keep_three();
		_exit(0);
	}
	send("the first");
	send("the last");
	while (look().held != 3)
		usleep(1000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("the receiver was killed with three: %u of 100 are free\n",
	       look().free);
	printf("memory for %s\n", look().memory_bytes < 5 << 20 ?
	                                  "four at most" :
	                                  "more than four");
	stoa_queue_close(queue);
	stoa_queue_unlink(space, "example-segments");
	stoa_pool_close(pool);
	stoa_space_close(space);
	return 0;
}
