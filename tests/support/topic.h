/* SPDX-License-Identifier: MIT */
/* topic.h: what the topics' tests share. */
#ifndef SUPPORT_TOPIC_H
#define SUPPORT_TOPIC_H

#include "support.h"

static inline struct stoa_topic *
make_topic_of(struct stoa_space *space, const char *name, unsigned flags,
              uint32_t overrun, uint64_t capacity, uint64_t largest)
{
	struct stoa_topic_attributes attributes = {
		.size = sizeof(attributes),
		.overrun = overrun,
		.capacity = capacity,
		.max_message_bytes = largest,
		.total_bytes = largest > STOA_TOPIC_INLINE ? 8 * largest : 0,
	};
	struct stoa_topic *topic;

	assert_ok(stoa_topic_open(space, name, flags | STOA_CREATE, 0600,
	                          &attributes, &topic));
	return topic;
}

static inline struct stoa_topic *make_topic(struct stoa_space *space,
                                            const char *name, uint32_t overrun,
                                            uint64_t capacity)
{
	return make_topic_of(space, name, STOA_WRITE, overrun, capacity, 5000);
}

static inline struct stoa_topic *join_topic(struct stoa_space *space,
                                            const char *name, unsigned flags)
{
	struct stoa_topic *topic;

	assert_ok(stoa_topic_open(space, name, flags, 0, NULL, &topic));
	return topic;
}

static inline struct stoa_topic_stat topic_stat(struct stoa_topic *topic)
{
	struct stoa_topic_stat stat = { .size = sizeof(stat) };

	assert_ok(stoa_topic_stat(topic, &stat));
	return stat;
}

static inline void publish_text(struct stoa_topic *topic, const char *text)
{
	assert_ok(stoa_topic_publish(topic, text, strlen(text), STOA_NOW));
}

static inline struct stoa_topic_message assert_hears(struct stoa_topic *topic,
                                                     const char *text)
{
	struct stoa_topic_message message;
	char buffer[256];

	assert_result(stoa_topic_receive(topic, buffer, sizeof(buffer),
	                                 STOA_NOW, &message),
	              strlen(text));
	assert_memory_equal(buffer, text, strlen(text));
	assert_int_equal(message.bytes, strlen(text));
	return message;
}

static inline void assert_hears_nothing(struct stoa_topic *topic)
{
	char buffer[8];

	assert_result(stoa_topic_receive(topic, buffer, sizeof(buffer),
	                                 STOA_NOW, NULL),
	              -EAGAIN);
}

static inline void publish_number(struct stoa_topic *topic, uint64_t number,
                                  struct stoa_deadline deadline)
{
	assert_ok(stoa_topic_publish(topic, &number, sizeof(number), deadline));
}

static inline uint64_t hear_number(struct stoa_topic *topic,
                                   struct stoa_deadline deadline,
                                   struct stoa_topic_message *ret_message)
{
	uint64_t number = 0;

	assert_result(stoa_topic_receive(topic, &number, sizeof(number),
	                                 deadline, ret_message),
	              sizeof(number));
	return number;
}

/* Publishes until there is no room; gives how many went. */
static inline uint64_t fill_topic(struct stoa_topic *topic, size_t bytes)
{
	static char data[1 << 20];
	uint64_t count = 0;
	int result;

	while ((result = stoa_topic_publish(topic, data, bytes, STOA_NOW)) == 0)
		count++;
	assert_int_equal(result, -EAGAIN);
	return count;
}

static inline uint64_t drain_topic(struct stoa_topic *topic)
{
	static char data[1 << 20];
	uint64_t count = 0;
	ssize_t result;

	while ((result = stoa_topic_receive(topic, data, sizeof(data), STOA_NOW,
	                                    NULL)) >= 0)
		count++;
	assert_int_equal(result, -EAGAIN);
	return count;
}

static inline void until_topic_waiting(struct stoa_topic *topic,
                                       uint32_t subscribers,
                                       uint32_t publishers)
{
	struct stoa_topic_stat stat;

	do {
		usleep(200);
		stat = topic_stat(topic);
	} while (stat.subscribers_waiting != subscribers ||
	         stat.publishers_waiting != publishers);
}

#endif
