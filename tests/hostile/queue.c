/* SPDX-License-Identifier: MIT */
/* queue.c: every operation on a queue, as a victim performs it. Buffers are as
 * long as the library was told and not a byte longer. */
#include "hostile.h"

#include <signal.h>

#include "queue.h"

enum { HELD_MAX = 4, BATCH_MAX = 8, BEYOND_BYTES = 100, TYPES = 4 };

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, 8, 80, 0 },           { STOA_FIFO, 12, 9000, 65536 },
	{ STOA_PRIORITY, 9, 9000, 65536 }, { STOA_TYPE, 11, 9000, 65536 },
	{ STOA_FIFO, 1, 300, 4096 },       { STOA_TYPE, 11, 9000, 65536 },
};

enum { LIMITED = 5 }; /* this shape has limits */

/* ---- A victim's ------------------------------------------------------------ */

struct held {
	struct stoa_queue *queue;
	struct stoa_message taken[HELD_MAX];
	struct stoa_message reserved[HELD_MAX];
	unsigned taken_count;
	unsigned reserved_count;
};

static struct held *held_of(struct victim *victim)
{
	return victim->handle;
}

static struct stoa_queue *queue_of(struct victim *victim)
{
	return held_of(victim)->queue;
}

static uint64_t message_max(const struct victim *victim)
{
	return shapes[victim->shape].max_message_bytes;
}

static int open_queue(struct victim *victim)
{
	struct held *held = calloc(1, sizeof(*held));
	int result = held == NULL ? -ENOMEM
	                          : stoa_queue_open(victim->space, victim->name,
	                                            STOA_READ | STOA_WRITE |
	                                                    victim->flags,
	                                            0600, NULL, &held->queue);

	if (result < 0) {
		free(held);
		return result;
	}
	victim->handle = held;
	victim->object = &held->queue->object;
	return 0;
}

static void close_queue(struct victim *victim)
{
	stoa_queue_close(queue_of(victim));
	free(victim->handle);
}

/* ---- Made in every state ---------------------------------------------------- */

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
		must(stoa_queue_receive(queue, NULL, buffer, queue->max_message,
		                        STOA_NOW, NULL),
		     "receive");
	}
	free(buffer);
}

/* In a process of its own, which dies with what it holds. */
static void hold(void *handle)
{
	struct stoa_queue *queue = handle;
	struct stoa_notification notification;
	struct stoa_message message;

	memset(&notification, 0, sizeof(notification));
	notification.size = sizeof(notification);
	notification.signal_number = SIGUSR1;
	must(stoa_queue_notify(queue, &notification), "notify");
	must(stoa_queue_take(queue, NULL, STOA_NOW, &message), "take");
	if (queue->capacity > 2)
		must(stoa_queue_reserve(queue, 8, STOA_NOW, &message),
		     "reserve");
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_queue_attributes attributes = attributes_of(shapes[shape]);
	struct stoa_message message;
	struct stoa_queue *queue;

	if (shape == LIMITED) {
		attributes.limit_bytes = 40000;
		attributes.limit_messages = attributes.capacity;
	}
	must(stoa_queue_open(space, name, STOA_READ | STOA_WRITE | STOA_CREATE,
	                     0600, &attributes, &queue),
	     "open");
	turn_over(queue);
	send_some(queue, 5);
	for (uint32_t i = 1; i < queue->capacity / 2; i++)
		send_some(queue, (size_t)i * 700);
	if (queue->capacity > 4) {
		must(stoa_queue_take(queue, NULL, STOA_NOW, &message), "take");
		must(stoa_queue_return(queue, &message), "return");
	}
	hold_and_die(hold, queue);
	stoa_queue_close(queue);
}

/* ---- Operations ------------------------------------------------------------- */

/* Sizes around every border of the layout, and a little too large. */
static size_t some_size(struct victim *victim)
{
	const size_t sizes[] = { 0,
		                 1,
		                 STOA_QUEUE_INLINE,
		                 STOA_QUEUE_INLINE + 1,
		                 QUEUE_PIECE_BYTES,
		                 QUEUE_PIECE_BYTES + 1,
		                 QUEUE_PIECES_MAX_BYTES,
		                 QUEUE_PIECES_MAX_BYTES + 1,
		                 QUEUE_BLOCK_BYTES,
		                 message_max(victim),
		                 message_max(victim) + 1 };
	size_t most = message_max(victim) + BEYOND_BYTES;
	size_t size = sizes[random_below(&victim->chance, LENGTH(sizes))];

	if (one_in(victim, 3))
		size = random_below(&victim->chance, STOA_QUEUE_INLINE + 2);
	else if (one_in(victim, 3))
		size = random_below(&victim->chance, most);
	return size < most ? size : most;
}

static struct stoa_selector some_selector(struct victim *victim)
{
	struct stoa_selector selector = { STOA_ANY, 1 };

	if (queue_of(victim)->order != STOA_TYPE)
		return selector;
	selector.selection =
		(enum stoa_selection)random_below(&victim->chance, 4);
	selector.type = 1 + (int64_t)random_below(&victim->chance, TYPES);
	return selector;
}

static struct stoa_message some_message(struct victim *victim)
{
	struct stoa_message message;

	memset(&message, 0, sizeof(message));
	message.bytes = some_size(victim);
	message.data = exact(message.bytes);
	message.type = 1 + (int64_t)random_below(&victim->chance, TYPES);
	message.priority = (uint32_t)random_below(&victim->chance, TYPES);
	return message;
}

static void check_message(struct victim *victim,
                          const struct stoa_message *message)
{
	check_loan(victim, message->data, message->bytes, victim->object->base,
	           victim->object->bytes);
}

/* ---- Sending ------------------------------------------------------------ */

static long long send_one(struct victim *victim)
{
	size_t bytes = some_size(victim);
	void *data = exact(bytes);
	int result =
		stoa_queue_send(queue_of(victim), data, bytes, soon(victim));

	free(data);
	return result;
}

static long long send_message(struct victim *victim)
{
	struct stoa_message message = some_message(victim);
	int result = stoa_queue_send_message(queue_of(victim), &message,
	                                     soon(victim));

	free(message.data);
	return result;
}

static long long send_many(struct victim *victim)
{
	struct stoa_message messages[BATCH_MAX];
	size_t count = 1 + random_below(&victim->chance, BATCH_MAX);
	int result;

	for (size_t i = 0; i < count; i++)
		messages[i] = some_message(victim);
	result = stoa_queue_send_many(queue_of(victim), messages, count,
	                              soon(victim));
	if (result > (int)count)
		finding("%d of %zu messages were sent", result, count);
	for (size_t i = 0; i < count; i++)
		free(messages[i].data);
	return result;
}

static long long reserve(struct victim *victim)
{
	struct stoa_message message;
	int result;

	if (held_of(victim)->reserved_count == HELD_MAX)
		return 0;
	result = stoa_queue_reserve(queue_of(victim), some_size(victim),
	                            soon(victim), &message);
	if (result < 0)
		return result;
	check_message(victim, &message);
	memset(message.data, 'r', message.bytes);
	held_of(victim)->reserved[held_of(victim)->reserved_count++] = message;
	return result;
}

/* Takes one out of a list of held messages, by chance. */
static bool pick(struct victim *victim, struct stoa_message *list,
                 unsigned *count, struct stoa_message *ret_message)
{
	unsigned index;

	if (*count == 0)
		return false;
	index = (unsigned)random_below(&victim->chance, *count);
	*ret_message = list[index];
	if (!one_in(victim, 8)) /* else used once more later */
		list[index] = list[--*count];
	return true;
}

static long long commit(struct victim *victim)
{
	struct stoa_message message;

	if (!pick(victim, held_of(victim)->reserved,
	          &held_of(victim)->reserved_count, &message))
		return 0;
	message.type = 1;
	if (message.bytes > 0 && one_in(victim, 2))
		message.bytes = random_below(&victim->chance, message.bytes);
	else if (one_in(victim, 8))
		message.bytes++;
	return stoa_queue_commit(queue_of(victim), &message);
}

static long long cancel(struct victim *victim)
{
	struct stoa_message message;

	if (!pick(victim, held_of(victim)->reserved,
	          &held_of(victim)->reserved_count, &message))
		return 0;
	return stoa_queue_cancel(queue_of(victim), &message);
}

/* ---- Receiving ---------------------------------------------------------- */

static long long receive(struct victim *victim)
{
	struct stoa_selector selector = some_selector(victim);
	struct stoa_message message;
	size_t room = some_size(victim);
	void *buffer = exact(room);
	ssize_t result = stoa_queue_receive(queue_of(victim), &selector, buffer,
	                                    room, soon(victim), &message);

	if (result >= 0 && ((size_t)result > room || message.data != buffer ||
	                    message.bytes != (size_t)result))
		finding("received %zd bytes into %zu; the message says %zu",
		        result, room, message.bytes);
	free(buffer);
	return result;
}

static long long receive_many(struct victim *victim)
{
	struct stoa_selector selector = some_selector(victim);
	struct stoa_message messages[BATCH_MAX];
	size_t count = 1 + random_below(&victim->chance, BATCH_MAX);
	void *buffers[BATCH_MAX];
	int result;

	memset(messages, 0, sizeof(messages));
	for (size_t i = 0; i < count; i++) {
		messages[i].buffer_bytes = some_size(victim);
		buffers[i] = exact(messages[i].buffer_bytes);
		messages[i].data = buffers[i];
	}
	result = stoa_queue_receive_many(queue_of(victim), &selector, messages,
	                                 count, soon(victim));
	if (result > (int)count)
		finding("received %d messages, not %zu", result, count);
	for (int i = 0; i < result; i++)
		if (messages[i].data != buffers[i] ||
		    messages[i].bytes > messages[i].buffer_bytes)
			finding("message %d of a batch has %zu bytes, its "
			        "buffer %zu",
			        i, messages[i].bytes, messages[i].buffer_bytes);
	for (size_t i = 0; i < count; i++)
		free(buffers[i]);
	return result;
}

static long long take(struct victim *victim)
{
	struct stoa_selector selector = some_selector(victim);
	struct stoa_message message;
	int result;

	if (held_of(victim)->taken_count == HELD_MAX)
		return 0;
	result = stoa_queue_take(queue_of(victim), &selector, soon(victim),
	                         &message);
	if (result < 0)
		return result;
	check_message(victim, &message);
	sum_of(message.data, message.bytes);
	held_of(victim)->taken[held_of(victim)->taken_count++] = message;
	return result;
}

static long long acknowledge(struct victim *victim)
{
	struct stoa_message message;

	if (!pick(victim, held_of(victim)->taken, &held_of(victim)->taken_count,
	          &message))
		return 0;
	return stoa_queue_acknowledge(queue_of(victim), &message);
}

static long long give_back(struct victim *victim)
{
	struct stoa_message message;

	if (!pick(victim, held_of(victim)->taken, &held_of(victim)->taken_count,
	          &message))
		return 0;
	return stoa_queue_return(queue_of(victim), &message);
}

/* Names that no call ever gave out. */
static long long use_forged_message(struct victim *victim)
{
	struct stoa_message message;
	long long result;

	memset(&message, 0, sizeof(message));
	message.cell = (uint32_t)next_random(&victim->chance) >>
	               random_below(&victim->chance, 32);
	message.word = next_random(&victim->chance);
	message.type = 1;
	result = stoa_queue_acknowledge(queue_of(victim), &message);
	if (result >= 0)
		return result;
	result = stoa_queue_return(queue_of(victim), &message);
	if (result >= 0)
		return result;
	result = stoa_queue_cancel(queue_of(victim), &message);
	return result < 0 ? stoa_queue_commit(queue_of(victim), &message)
	                  : result;
}

static long long peek(struct victim *victim)
{
	struct stoa_selector selector = some_selector(victim);
	struct stoa_message message;
	size_t room = some_size(victim);
	void *buffer = exact(room);
	uint64_t n = random_below(&victim->chance, 4);
	ssize_t result;

	if (one_in(victim, 8))
		n = next_random(&victim->chance);
	result = stoa_queue_peek(queue_of(victim), &selector, n, buffer, room,
	                         &message);
	if (result >= 0)
		sum_of(buffer, room);
	free(buffer);
	return result;
}

static long long purge(struct victim *victim)
{
	return stoa_queue_purge(queue_of(victim));
}

/* ---- Looking and waiting ------------------------------------------------ */

static long long look(struct victim *victim)
{
	struct stoa_queue_stat stat;

	memset(&stat, 0, sizeof(stat));
	stat.size = sizeof(stat);
	return stoa_queue_stat(queue_of(victim), &stat);
}

static long long count(struct victim *victim)
{
	struct stoa_queue_count count;

	memset(&count, 0, sizeof(count));
	count.size = sizeof(count);
	return stoa_queue_count(queue_of(victim), &count);
}

/* Not of all: only of those that have one. */
static long long set_limit(struct victim *victim)
{
	if (!queue_of(victim)->limits)
		return 0;
	return stoa_queue_set_limit(queue_of(victim),
	                            random_below(&victim->chance, 50000),
	                            random_below(&victim->chance, 20));
}

static long long notify(struct victim *victim)
{
	struct stoa_notification notification;

	memset(&notification, 0, sizeof(notification));
	notification.size = sizeof(notification);
	notification.signal_number = one_in(victim, 4) ? 0 : SIGUSR1;
	return stoa_queue_notify(queue_of(victim),
	                         one_in(victim, 3) ? NULL : &notification);
}

static int queue_pollfd(struct victim *victim, unsigned direction)
{
	return stoa_queue_pollfd(queue_of(victim), direction);
}

static long long poll_once(struct victim *victim)
{
	return poll_descriptor(queue_pollfd(
		victim, one_in(victim, 2) ? STOA_READ : STOA_WRITE));
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, 0, NULL);
}

static const struct operation operations[] = {
	{ "send", send_one, 12, false, false },
	{ "send_message", send_message, 12, false, false },
	{ "receive", receive, 12, false, false },
	{ "receive (once more)", receive, 6, false, false },
	{ "send_many", send_many, 4, false, false },
	{ "take", take, 8, false, false },
	{ "acknowledge", acknowledge, 6, false, false },
	{ "send (before taking)", send_one, 4, false, false },
	{ "take (to return)", take, 4, false, false },
	{ "return", give_back, 4, false, false },
	{ "reserve", reserve, 6, false, false },
	{ "commit", commit, 5, false, false },
	{ "reserve (to cancel)", reserve, 2, false, false },
	{ "cancel", cancel, 3, false, false },
	{ "peek", peek, 6, false, false },
	{ "stat", look, 2, false, false },
	{ "count", count, 3, false, false },
	{ "set_limit", set_limit, 2, false, false },
	{ "notify", notify, 2, true, false },
	{ "pollfd", poll_once, 2, true, false },
	{ "wait_any", wait_any, 4, false, false },
	{ "receive_many", receive_many, 4, false, false },
	{ "forged messages", use_forged_message, 2, false, false },
	{ "purge", purge, 1, false, false },
	{ NULL, NULL, 0, false, false },
};

/* ---- Where things are ------------------------------------------------------- */

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_queue *queue =
		((const struct held *)victim->handle)->queue;
	size_t ordered = queue->order != STOA_FIFO ? queue->capacity : 0;
	size_t blocks = queue->blocks;

	image_region(image, "control", victim, queue->control,
	             sizeof(*queue->control), 0);
	image_region(image, "cells", victim, queue->cells,
	             (size_t)((const char *)queue->payloads -
	                      (const char *)queue->cells),
	             sizeof(struct queue_cell));
	image_region(image, "entries", victim, queue->entries,
	             ordered * sizeof(*queue->entries),
	             sizeof(struct queue_entry));
	image_region(image, "nodes", victim, queue->nodes,
	             2 * ordered * sizeof(*queue->nodes),
	             sizeof(struct queue_node));
	image_region(image, "block words", victim, queue->block_words,
	             blocks * sizeof(uint64_t), sizeof(uint64_t));
	image_region(image, "piece words", victim, queue->piece_words,
	             blocks * QUEUE_BLOCK_PIECES * sizeof(uint64_t),
	             sizeof(uint64_t));
	image_idle_region(image, "payloads", victim, queue->payloads,
	                  (size_t)((const char *)queue->entries -
	                           (const char *)queue->payloads));
	image_idle_region(image, "arena", victim, queue->arena,
	                  blocks * QUEUE_BLOCK_BYTES);
	image_number(image, queue->capacity);
	image_number(image, queue->capacity * 2);
	image_number(image, queue->blocks * QUEUE_BLOCK_PIECES);
	image_number(image, QUEUE_LEAF);
	image_number(image, STOA_QUEUE_INLINE);
}

static const int errors[] = { ESTALE, EMSGSIZE, ENOMSG, 0 };

const struct noun queue_noun = {
	.kind = "queue",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = queue_fields,
	.populate = populate,
	.open = open_queue,
	.close = close_queue,
	.locate = locate,
	.word = queue_word,
	.forge = queue_forge,
	.pollfd = queue_pollfd,
	.attacks = queue_attacks,
};
