/* SPDX-License-Identifier: MIT */
/* pool.c: frames that go to another process without being copied, and come
 * back whoever is killed. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stoa_pool *pool;
static struct stoa_queue *queue;

/* Take, claim, acknowledge: a death between two of these loses no frame, and
 * gives none out twice. */
static void receive(void)
{
	struct stoa_message message;
	uint64_t frame;

	while (stoa_queue_take(queue, NULL, STOA_FOREVER, &message) == 0) {
		memcpy(&frame, message.data, sizeof frame);
		int mine = stoa_pool_claim(pool, frame) == 0;
		stoa_queue_acknowledge(queue, &message);
		if (!mine)
			continue; /* its sender died before it gave it */
		printf("got: %s\n", (char *)stoa_pool_data(pool, frame));
		fflush(stdout);
		if (strcmp(stoa_pool_data(pool, frame), "the last") == 0)
			pause(); /* with a frame in hand */
		stoa_pool_release(pool, frame);
	}
}

static void send(const char *text)
{
	uint64_t frame;

	if (stoa_pool_acquire(pool, STOA_FOREVER, &frame) < 0)
		errx(1, "%s", stoa_last_error());
	strcpy(stoa_pool_data(pool, frame), text);
	if (stoa_queue_send(queue, &frame, sizeof frame, STOA_FOREVER) < 0)
		errx(1, "%s", stoa_last_error());
	stoa_pool_give(pool, frame);
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
	const struct stoa_pool_attributes frames = { .size = sizeof frames,
		                                     .block_bytes = 1 << 20,
		                                     .blocks = 4 };
	const struct stoa_queue_attributes names = {
		.size = sizeof names, .capacity = 4, .max_message_bytes = 8
	};
	struct stoa_space *space;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_pool_open(space, NULL, STOA_CREATE, 0600, &frames, &pool) <
	            0 ||
	    stoa_queue_open(space, "example-frames",
	                    STOA_CREATE | STOA_READ | STOA_WRITE, 0600, &names,
	                    &queue) < 0)
		errx(1, "%s", stoa_last_error());
	pid_t child = fork();
	if (child == 0) {
		receive();
		_exit(0);
	}
	send("the first");
	send("the last");
	while (look().held != 1 || look().free != 3)
		;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("the receiver was killed with one: %u of 4 are free\n",
	       look().free);
	stoa_queue_close(queue);
	stoa_queue_unlink(space, "example-frames");
	stoa_pool_close(pool);
	stoa_space_close(space);
	return 0;
}
