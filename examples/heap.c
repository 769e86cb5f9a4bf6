/* SPDX-License-Identifier: MIT */
/* heap.c: a list in shared memory, built by one process and read by another;
 * what a killed one had not published is free again. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
	uint64_t next; /* an offset */
	int value;
};

static struct stoa_heap *heap;

static uint64_t new_node(uint64_t next, int value)
{
	uint64_t offset;
	struct node *node;

	if (stoa_heap_allocate(heap, sizeof *node, 0, &offset) < 0)
		errx(1, "%s", stoa_last_error());
	node = stoa_heap_at(heap, offset, sizeof *node);
	node->next = next;
	node->value = value;
	return offset;
}

/* Each node is published before the next one names it, the first by a root. */
static void build(void)
{
	uint64_t list = 0;

	for (int i = 3; i > 1; i--) {
		list = new_node(list, i);
		if (stoa_heap_publish(heap, list) < 0)
			errx(1, "%s", stoa_last_error());
	}
	if (stoa_heap_root_set(heap, "list", new_node(list, 1)) < 0)
		errx(1, "%s", stoa_last_error());
	new_node(0, 4); /* and never published */
	pause();
}

static uint64_t held(void)
{
	struct stoa_heap_status status = { .size = sizeof status };

	if (stoa_heap_stat(heap, &status) < 0)
		errx(1, "%s", stoa_last_error());
	return status.held;
}

int main(void)
{
	const struct stoa_heap_attributes small = { .size = sizeof small,
		                                    .bytes = 1 << 20 };
	struct stoa_space *space;
	struct node *node;
	uint64_t first;

	if (stoa_space_open(NULL, STOA_CREATE, &space) < 0 ||
	    stoa_heap_open(space, NULL, STOA_CREATE, 0600, &small, &heap) < 0)
		errx(1, "%s", stoa_last_error());
	pid_t child = fork();
	if (child == 0) {
		build();
		_exit(0);
	}
	while (stoa_heap_root_get(heap, "list", &first) < 0)
		usleep(1000);
	while (held() != 1)
		usleep(1000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (uint64_t at = first; at != 0; at = node->next) {
		node = stoa_heap_at(heap, at, sizeof *node);
		if (!node)
			errx(1, "%s", stoa_last_error());
		printf("%d\n", node->value);
	}
	printf("the builder was killed: %llu blocks held\n",
	       (unsigned long long)held());
	stoa_heap_release(heap, first);
	stoa_heap_close(heap);
	stoa_space_close(space);
	return 0;
}
