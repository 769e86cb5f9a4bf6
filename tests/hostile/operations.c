/* SPDX-License-Identifier: MIT */
/* operations.c: every operation on a queue, as a victim performs it. Buffers
 * are as long as the library was told and not a byte longer. */
#include "hostile.h"

#include <poll.h>
#include <signal.h>

enum { BATCH_MAX = 8, BEYOND_BYTES = 100, TYPES = 4 };

static _Atomic unsigned notifications;

static void on_notification(int number)
{
	(void)number;
	atomic_fetch_add(&notifications, 1);
}

void catch_notifications(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_notification;
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
}

static bool one_in(struct victim *victim, unsigned n)
{
	return random_below(&victim->chance, n) == 0;
}

struct stoa_deadline soon(struct victim *victim)
{
	if (victim->patience_ns == 0)
		return STOA_NOW;
	switch (random_below(&victim->chance, 4)) {
	case 0: return stoa_deadline_in(victim->patience_ns);
	case 1: return stoa_deadline_in(victim->patience_ns / 16);
	default: return STOA_NOW;
	}
}

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
		                 victim->message_max,
		                 victim->message_max + 1 };
	size_t most = victim->message_max + BEYOND_BYTES;
	size_t size = sizes[random_below(&victim->chance, LENGTH(sizes))];

	if (one_in(victim, 3))
		size = random_below(&victim->chance, STOA_QUEUE_INLINE + 2);
	else if (one_in(victim, 3))
		size = random_below(&victim->chance, most);
	return size < most ? size : most;
}

/* Of exactly so many bytes: the sanitizer sees one more. */
static void *exact(size_t bytes)
{
	void *data = malloc(bytes);

	if (data == NULL)
		finding("no memory");
	if (bytes > 0)
		memset(data, 'v', bytes);
	return data;
}

static struct stoa_selector some_selector(struct victim *victim)
{
	struct stoa_selector selector = { STOA_ANY, 1 };

	if (victim->queue->order != STOA_TYPE)
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

/* What was loaned lies within the mapping, whatever the memory says. */
static void check_loan(struct victim *victim,
                       const struct stoa_message *message)
{
	const struct stoa_object *object = &victim->queue->object;
	const char *data = message->data;

	victim->whole_at_loan = atomic_load(&object->poisoned) == 0;
	if (data < object->base || message->bytes > object->bytes ||
	    data > object->base + (object->bytes - message->bytes))
		finding("loaned %zu bytes at %p, outside the mapping of %zu "
		        "at %p",
		        message->bytes, (const void *)data, object->bytes,
		        (const void *)object->base);
}

static unsigned sum_of(const void *data, size_t bytes)
{
	const volatile unsigned char *at = data;
	unsigned sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum += at[i];
	return sum;
}

/* ---- Sending ------------------------------------------------------------ */

static long long send_one(struct victim *victim)
{
	size_t bytes = some_size(victim);
	void *data = exact(bytes);
	int result = stoa_queue_send(victim->queue, data, bytes, soon(victim));

	free(data);
	return result;
}

static long long send_message(struct victim *victim)
{
	struct stoa_message message = some_message(victim);
	int result =
		stoa_queue_send_message(victim->queue, &message, soon(victim));

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
	result = stoa_queue_send_many(victim->queue, messages, count,
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

	if (victim->reserved_count == HELD_MAX)
		return 0;
	result = stoa_queue_reserve(victim->queue, some_size(victim),
	                            soon(victim), &message);
	if (result < 0)
		return result;
	check_loan(victim, &message);
	memset(message.data, 'r', message.bytes);
	victim->reserved[victim->reserved_count++] = message;
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

	if (!pick(victim, victim->reserved, &victim->reserved_count, &message))
		return 0;
	message.type = 1;
	if (message.bytes > 0 && one_in(victim, 2))
		message.bytes = random_below(&victim->chance, message.bytes);
	else if (one_in(victim, 8))
		message.bytes++;
	return stoa_queue_commit(victim->queue, &message);
}

static long long cancel(struct victim *victim)
{
	struct stoa_message message;

	if (!pick(victim, victim->reserved, &victim->reserved_count, &message))
		return 0;
	return stoa_queue_cancel(victim->queue, &message);
}

/* ---- Receiving ---------------------------------------------------------- */

static long long receive(struct victim *victim)
{
	struct stoa_selector selector = some_selector(victim);
	struct stoa_message message;
	size_t room = some_size(victim);
	void *buffer = exact(room);
	ssize_t result = stoa_queue_receive(victim->queue, &selector, buffer,
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
	result = stoa_queue_receive_many(victim->queue, &selector, messages,
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

	if (victim->taken_count == HELD_MAX)
		return 0;
	result = stoa_queue_take(victim->queue, &selector, soon(victim),
	                         &message);
	if (result < 0)
		return result;
	check_loan(victim, &message);
	sum_of(message.data, message.bytes);
	victim->taken[victim->taken_count++] = message;
	return result;
}

static long long acknowledge(struct victim *victim)
{
	struct stoa_message message;

	if (!pick(victim, victim->taken, &victim->taken_count, &message))
		return 0;
	return stoa_queue_acknowledge(victim->queue, &message);
}

static long long give_back(struct victim *victim)
{
	struct stoa_message message;

	if (!pick(victim, victim->taken, &victim->taken_count, &message))
		return 0;
	return stoa_queue_return(victim->queue, &message);
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
	result = stoa_queue_acknowledge(victim->queue, &message);
	if (result >= 0)
		return result;
	result = stoa_queue_return(victim->queue, &message);
	if (result >= 0)
		return result;
	result = stoa_queue_cancel(victim->queue, &message);
	return result < 0 ? stoa_queue_commit(victim->queue, &message) : result;
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
	result = stoa_queue_peek(victim->queue, &selector, n, buffer, room,
	                         &message);
	if (result >= 0)
		sum_of(buffer, room);
	free(buffer);
	return result;
}

static long long purge(struct victim *victim)
{
	return stoa_queue_purge(victim->queue);
}

/* ---- Looking and waiting ------------------------------------------------ */

static long long look(struct victim *victim)
{
	struct stoa_queue_stat stat;

	memset(&stat, 0, sizeof(stat));
	stat.size = sizeof(stat);
	return stoa_queue_stat(victim->queue, &stat);
}

static long long notify(struct victim *victim)
{
	struct stoa_notification notification;

	memset(&notification, 0, sizeof(notification));
	notification.size = sizeof(notification);
	notification.signal_number = one_in(victim, 4) ? 0 : SIGUSR1;
	return stoa_queue_notify(victim->queue,
	                         one_in(victim, 3) ? NULL : &notification);
}

static long long poll_once(struct victim *victim)
{
	unsigned direction = one_in(victim, 2) ? STOA_READ : STOA_WRITE;
	struct pollfd poller = { -1, POLLIN, 0 };
	int fd = stoa_queue_pollfd(victim->queue, direction);

	if (fd < 0)
		return fd;
	poller.fd = fd;
	poll(&poller, 1, 0);
	return 0;
}

static long long wait_any(struct victim *victim)
{
	struct stoa_object *object = stoa_queue_object(victim->queue);
	const struct stoa_wait conditions[] = {
		{ .kind = STOA_READABLE, .object = object },
		{ .kind = STOA_WRITABLE, .object = object },
	};
	size_t first = one_in(victim, 4) ? 1 : 0;
	int result = stoa_wait_any(conditions + first, 1, soon(victim));

	return result;
}

static long long wait_for_death(struct victim *victim)
{
	const struct stoa_wait conditions[] = {
		{ .kind = STOA_DEATH,
		  .space = victim->space,
		  .peer = next_random(&victim->chance) },
		{ .kind = STOA_READABLE,
		  .object = stoa_queue_object(victim->queue) },
	};

	return stoa_wait_any(conditions, LENGTH(conditions), soon(victim));
}

const struct operation queue_operations[] = {
	{ "send", send_one, 12, true, false },
	{ "send_message", send_message, 12, true, false },
	{ "receive", receive, 12, true, false },
	{ "receive (once more)", receive, 6, true, false },
	{ "send_many", send_many, 4, true, false },
	{ "take", take, 8, true, false },
	{ "acknowledge", acknowledge, 6, true, false },
	{ "send (before taking)", send_one, 4, true, false },
	{ "take (to return)", take, 4, true, false },
	{ "return", give_back, 4, true, false },
	{ "reserve", reserve, 6, true, false },
	{ "commit", commit, 5, true, false },
	{ "reserve (to cancel)", reserve, 2, true, false },
	{ "cancel", cancel, 3, true, false },
	{ "peek", peek, 6, true, false },
	{ "stat", look, 2, true, false },
	{ "notify", notify, 2, true, true },
	{ "pollfd", poll_once, 2, true, true },
	{ "wait_any", wait_any, 4, true, false },
	{ "wait_any for a death", wait_for_death, 1, true, false },
	{ "receive_many", receive_many, 4, true, false },
	{ "forged messages", use_forged_message, 2, true, false },
	{ "purge", purge, 1, true, false },
};
const size_t queue_operation_count = LENGTH(queue_operations);
