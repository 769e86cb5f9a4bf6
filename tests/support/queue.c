/* SPDX-License-Identifier: MIT */
/* queue.c: queues and messages as most tests want them. */
#include "support.h"

enum { TEXT_BYTES = 4096 };

struct stoa_space *open_space(void)
{
	struct stoa_space *space = NULL;

	assert_ok(stoa_space_open(case_directory(), 0, &space));
	assert_non_null(space);
	return space;
}

struct stoa_queue_attributes attributes_of(struct queue_shape shape)
{
	struct stoa_queue_attributes attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.size = sizeof(attributes);
	attributes.order = shape.order;
	attributes.capacity = shape.capacity;
	attributes.max_message_bytes = shape.max_message_bytes;
	attributes.total_bytes = shape.total_bytes;
	return attributes;
}

struct stoa_queue *make_queue(struct stoa_space *space, const char *name,
                              struct queue_shape shape)
{
	struct stoa_queue_attributes attributes = attributes_of(shape);
	struct stoa_queue *queue = NULL;

	assert_ok(stoa_queue_open(space, name,
	                          STOA_READ | STOA_WRITE | STOA_CREATE |
	                                  STOA_EXCLUSIVE,
	                          0600, &attributes, &queue));
	assert_non_null(queue);
	return queue;
}

struct stoa_queue *join_queue(struct stoa_space *space, const char *name)
{
	struct stoa_queue *queue = NULL;

	assert_ok(stoa_queue_open(space, name, STOA_READ | STOA_WRITE, 0, NULL,
	                          &queue));
	assert_non_null(queue);
	return queue;
}

struct stoa_queue_stat stat_of(struct stoa_queue *queue)
{
	struct stoa_queue_stat stat;

	memset(&stat, 0, sizeof(stat));
	stat.size = sizeof(stat);
	assert_ok(stoa_queue_stat(queue, &stat));
	return stat;
}

void send_text(struct stoa_queue *queue, const char *text)
{
	assert_ok(stoa_queue_send(queue, text, strlen(text), STOA_NOW));
}

static void send_as(struct stoa_queue *queue, int64_t type, uint32_t priority,
                    const char *text)
{
	struct stoa_message message;

	memset(&message, 0, sizeof(message));
	message.data = (void *)(uintptr_t)text;
	message.bytes = strlen(text);
	message.type = type;
	message.priority = priority;
	assert_ok(stoa_queue_send_message(queue, &message, STOA_NOW));
}

void send_typed(struct stoa_queue *queue, int64_t type, const char *text)
{
	send_as(queue, type, 0, text);
}

void send_urgent(struct stoa_queue *queue, uint32_t priority, const char *text)
{
	send_as(queue, 1, priority, text);
}

static void assert_text(const void *data, long long bytes, const char *text)
{
	if ((size_t)bytes != strlen(text) ||
	    memcmp(data, text, (size_t)bytes) != 0)
		fail_msg("got \"%.*s\", not \"%s\"", (int)bytes,
		         (const char *)data, text);
}

void assert_receives_by(struct stoa_queue *queue, enum stoa_selection selection,
                        int64_t type, const char *text)
{
	struct stoa_selector selector = { selection, type };
	char buffer[TEXT_BYTES];
	long long bytes;

	bytes = assert_good(stoa_queue_receive(queue, &selector, buffer,
	                                       sizeof(buffer), STOA_NOW, NULL));
	assert_text(buffer, bytes, text);
}

void assert_receives(struct stoa_queue *queue, const char *text)
{
	assert_receives_by(queue, STOA_ANY, 0, text);
}

struct stoa_message take_text(struct stoa_queue *queue, const char *text)
{
	struct stoa_message message;

	memset(&message, 0, sizeof(message));
	assert_ok(stoa_queue_take(queue, NULL, STOA_NOW, &message));
	assert_text(message.data, (long long)message.bytes, text);
	return message;
}

void assert_empty(struct stoa_queue *queue)
{
	char buffer[1];

	assert_result(stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                                 STOA_NOW, NULL),
	              -EAGAIN);
}

uint64_t fill_queue(struct stoa_queue *queue)
{
	uint64_t count = 0;
	int result;

	while ((result = stoa_queue_send(queue, "x", 1, STOA_NOW)) == 0)
		count++;
	assert_int_equal(result, -EAGAIN);
	return count;
}

uint64_t drain_queue(struct stoa_queue *queue)
{
	static char buffer[1 << 20];
	uint64_t count = 0;
	ssize_t result;

	while ((result = stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                                    STOA_NOW, NULL)) >= 0)
		count++;
	assert_int_equal(result, -EAGAIN);
	return count;
}

void assert_capacity(struct stoa_queue *queue, uint64_t capacity)
{
	assert_empty(queue);
	assert_int_equal(fill_queue(queue), capacity);
	assert_int_equal(drain_queue(queue), capacity);
}
