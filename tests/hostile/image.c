/* SPDX-License-Identifier: MIT */
/* image.c: a populated queue's file, where everything in it is, and a copy to
 * go back to. */
#include "hostile.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define STATE_OFFSET offsetof(struct stoa_object_header, events)
#define STATE_BYTES sizeof(struct stoa_events)

const char *const region_names[REGIONS] = {
	[REGION_HEADER] = "header",
	[REGION_STATE] = "events and state",
	[REGION_SEATS] = "seats",
	[REGION_CONTROL] = "control",
	[REGION_CELLS] = "cells",
	[REGION_PAYLOADS] = "payloads",
	[REGION_ENTRIES] = "entries",
	[REGION_NODES] = "nodes",
	[REGION_BLOCK_WORDS] = "block words",
	[REGION_PIECE_WORDS] = "piece words",
	[REGION_ARENA] = "arena",
};

static void check(long long result, const char *what)
{
	if (result < 0)
		finding("can't populate a queue: %s gave %lld", what, result);
}

static void send_some(struct stoa_queue *queue, size_t bytes)
{
	struct stoa_message message;

	memset(&message, 0, sizeof(message));
	if (bytes > queue->max_message)
		bytes = queue->max_message;
	message.bytes = bytes;
	message.data = calloc(1, bytes + 1);
	message.type = 1 + (int64_t)(bytes & 3);
	message.priority = (uint32_t)(bytes & 3);
	stoa_queue_send_message(queue, &message, STOA_NOW);
	free(message.data);
}

/* Several laps, so that the words aren't all alike. */
static void turn_over(struct stoa_queue *queue)
{
	char *buffer = malloc(queue->max_message + 1);

	for (uint32_t i = 0; i < 3 * queue->capacity; i++) {
		send_some(queue, i % 96);
		check(stoa_queue_receive(queue, NULL, buffer,
		                         queue->max_message, STOA_NOW, NULL),
		      "receive");
	}
	free(buffer);
}

/* In a process of its own, which dies with what it holds. */
static void hold_and_die(struct stoa_space *space, const char *name)
{
	struct stoa_notification notification;
	struct stoa_message message;
	struct stoa_queue *queue;
	int status;
	pid_t pid = fork();

	if (pid != 0) {
		check(waitpid(pid, &status, 0), "waitpid");
		check(-status, "the holder");
		return;
	}
	memset(&notification, 0, sizeof(notification));
	notification.size = sizeof(notification);
	notification.signal_number = SIGUSR1;
	check(stoa_queue_open(space, name, STOA_READ | STOA_WRITE, 0, NULL,
	                      &queue),
	      "open");
	check(stoa_queue_notify(queue, &notification), "notify");
	check(stoa_queue_take(queue, NULL, STOA_NOW, &message), "take");
	if (queue->capacity > 2)
		check(stoa_queue_reserve(queue, 8, STOA_NOW, &message),
		      "reserve");
	_exit(0);
}

void populate(struct stoa_space *space, const char *name,
              struct queue_shape shape)
{
	struct stoa_queue_attributes attributes = attributes_of(shape);
	struct stoa_message message;
	struct stoa_queue *queue;

	check(stoa_queue_open(space, name, STOA_READ | STOA_WRITE | STOA_CREATE,
	                      0600, &attributes, &queue),
	      "open");
	turn_over(queue);
	send_some(queue, 5);
	for (uint32_t i = 1; i < queue->capacity / 2; i++)
		send_some(queue, (size_t)i * 700);
	if (queue->capacity > 4) {
		check(stoa_queue_take(queue, NULL, STOA_NOW, &message), "take");
		check(stoa_queue_return(queue, &message), "return");
	}
	hold_and_die(space, name);
	stoa_queue_close(queue);
}

/* ---- Where things are --------------------------------------------------- */

static struct region between(const struct stoa_queue *queue, const void *first,
                             const void *end)
{
	const char *base = queue->object.base;

	return (struct region){ (size_t)((const char *)first - base),
		                (size_t)((const char *)end -
		                         (const char *)first) };
}

static void place_regions(struct image *image, const struct stoa_queue *queue)
{
	struct region *regions = image->regions;
	size_t ordered = queue->order != STOA_FIFO ? queue->capacity : 0;
	size_t blocks = queue->blocks;

	regions[REGION_HEADER] = (struct region){ 0, STATE_OFFSET };
	regions[REGION_STATE] = (struct region){ STATE_OFFSET, STATE_BYTES };
	regions[REGION_SEATS] =
		between(queue, queue->object.base + OBJECT_SEATS_OFFSET,
	                queue->object.base + OBJECT_KIND_OFFSET);
	regions[REGION_CONTROL] =
		between(queue, queue->control, queue->control + 1);
	regions[REGION_CELLS] = between(queue, queue->cells, queue->payloads);
	regions[REGION_PAYLOADS] =
		between(queue, queue->payloads, queue->entries);
	regions[REGION_ENTRIES] =
		between(queue, queue->entries, queue->entries + ordered);
	regions[REGION_NODES] =
		between(queue, queue->nodes, queue->nodes + 2 * ordered);
	regions[REGION_BLOCK_WORDS] =
		between(queue, queue->block_words, queue->block_words + blocks);
	regions[REGION_PIECE_WORDS] =
		between(queue, queue->piece_words,
	                queue->piece_words + blocks * QUEUE_BLOCK_PIECES);
	regions[REGION_ARENA] = between(
		queue, queue->arena, queue->arena + blocks * QUEUE_BLOCK_BYTES);
	image->slots = (uint32_t)(regions[REGION_CELLS].bytes /
	                          sizeof(struct queue_cell));
}

static void map_image(struct image *image)
{
	struct stat stat;

	image->fd = open(image->path, O_RDWR | O_CLOEXEC);
	if (image->fd < 0 || fstat(image->fd, &stat) != 0)
		finding("%s: %s", image->path, strerror(errno));
	image->bytes = (size_t)stat.st_size;
	image->base = mmap(NULL, image->bytes, PROT_READ | PROT_WRITE,
	                   MAP_SHARED, image->fd, 0);
	image->copy = malloc(image->bytes);
	if (image->base == MAP_FAILED || image->copy == NULL)
		finding("%s can't be mapped", image->path);
	memcpy(image->copy, image->base, image->bytes);
}

/* The regions come from a handle; the copy is from before it was opened. */
void image_open(struct image *image, struct stoa_space *space, const char *name)
{
	struct stoa_queue *queue;

	snprintf(image->path, sizeof(image->path), "%s/%s.queue",
	         stoa_space_path(space), name);
	map_image(image);
	check(stoa_queue_open(space, name, STOA_READ | STOA_WRITE, 0, NULL,
	                      &queue),
	      "open");
	image->capacity = queue->capacity;
	image->blocks = queue->blocks;
	place_regions(image, queue);
	stoa_queue_close(queue);
	image_restore(image);
}

void image_restore(struct image *image)
{
	memcpy(image->base, image->copy, image->bytes);
}

void image_close(struct image *image)
{
	munmap(image->base, image->bytes);
	free(image->copy);
	close(image->fd);
}
