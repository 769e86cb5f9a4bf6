/* SPDX-License-Identifier: MIT */
/* Many threads, on handles of their own and on shared ones: one order for all,
 * nothing torn, nothing lost that isn't counted. */
#include "topic.h"

#include <pthread.h>

enum { PUBLISHERS = 3, SUBSCRIBERS = 3, EACH = 2000, WORDS = 30 };
enum { TOTAL = PUBLISHERS * EACH };

struct crew {
	struct stoa_topic *topic;
	uint64_t index;
	uint64_t received, lost;
	uint64_t order[TOTAL]; /* by sequence */
};

static uint64_t word_of(uint64_t publisher, uint64_t number, uint64_t i)
{
	return (publisher << 32 | number) + i * UINT64_C(0x9e3779b97f4a7c15);
}

static size_t words_of(uint64_t number)
{
	return 1 + number % WORDS;
}

static void *publish_all(void *context)
{
	struct crew *crew = context;

	for (uint64_t number = 0; number < EACH; number++) {
		uint64_t data[WORDS];

		for (size_t i = 0; i < words_of(number); i++)
			data[i] = word_of(crew->index, number, i);
		require(stoa_topic_publish(crew->topic, data,
		                           8 * words_of(number),
		                           STOA_FOREVER) == 0);
	}
	return NULL;
}

static void take_in(struct crew *crew, const uint64_t *data, size_t bytes,
                    const struct stoa_topic_message *message)
{
	uint64_t publisher = data[0] >> 32, number = data[0] & 0xffffffff;

	require(publisher < PUBLISHERS && number < EACH);
	require(bytes == 8 * words_of(number));
	for (size_t i = 0; i < words_of(number); i++)
		require(data[i] == word_of(publisher, number, i));
	require(message->sequence < TOTAL);
	require(crew->order[message->sequence] == 0);
	crew->order[message->sequence] = data[0] + 1;
	crew->received++;
	crew->lost += message->lost;
}

static void *receive_all(void *context)
{
	struct crew *crew = context;

	while (crew->received + crew->lost < TOTAL) {
		uint64_t data[WORDS];
		struct stoa_topic_message message;
		ssize_t got = stoa_topic_receive(crew->topic, data,
		                                 sizeof(data), STOA_FOREVER,
		                                 &message);

		require(got >= 8);
		take_in(crew, data, (size_t)got, &message);
	}
	return NULL;
}

static void check_order(struct crew *crews)
{
	uint64_t next[PUBLISHERS] = { 0 };

	for (uint64_t at = 0; at < TOTAL; at++) {
		uint64_t seen = 0;

		for (int i = 0; i < SUBSCRIBERS; i++) {
			uint64_t own = crews[i].order[at];

			require(own == 0 || seen == 0 || own == seen);
			seen = own ? own : seen;
		}
		if (seen == 0)
			continue;
		uint64_t publisher = (seen - 1) >> 32;
		require(((seen - 1) & 0xffffffff) >= next[publisher]);
		next[publisher] = ((seen - 1) & 0xffffffff) + 1;
	}
}

static void run(uint32_t overrun, uint64_t capacity)
{
	static struct crew out[PUBLISHERS], in[SUBSCRIBERS];
	pthread_t publishers[PUBLISHERS], subscribers[SUBSCRIBERS];
	struct stoa_space *space = open_space();
	struct stoa_topic *keep = make_topic_of(space, "t", STOA_WRITE, overrun,
	                                        capacity, 8 * WORDS);

	for (uint64_t i = 0; i < SUBSCRIBERS; i++) {
		in[i] = (struct crew){ join_topic(space, "t", STOA_READ), i,
			               0, 0, { 0 } };
		require(!pthread_create(&subscribers[i], NULL, receive_all,
		                        &in[i]));
	}
	for (uint64_t i = 0; i < PUBLISHERS; i++) {
		out[i] = (struct crew){ join_topic(space, "t", STOA_WRITE), i,
			                0, 0, { 0 } };
		require(!pthread_create(&publishers[i], NULL, publish_all,
		                        &out[i]));
	}
	for (int i = 0; i < PUBLISHERS; i++) {
		pthread_join(publishers[i], NULL);
		stoa_topic_close(out[i].topic);
	}
	for (int i = 0; i < SUBSCRIBERS; i++) {
		pthread_join(subscribers[i], NULL);
		assert_int_equal(in[i].received + in[i].lost, TOTAL);
		assert_true(in[i].lost == 0 || overrun == STOA_TOPIC_OVERWRITE);
		stoa_topic_close(in[i].topic);
	}
	check_order(in);
	stoa_topic_close(keep);
	assert_ok(stoa_topic_unlink(space, "t"));
	stoa_space_close(space);
}

TEST(all_see_one_order)
{
	run(STOA_TOPIC_WAIT, 1);
	run(STOA_TOPIC_WAIT, 64);
}

TEST(what_is_overwritten_is_never_seen_torn)
{
	run(STOA_TOPIC_OVERWRITE, 1);
	run(STOA_TOPIC_OVERWRITE, 64);
}

/* ---- One handle ------------------------------------------------------------- */

static _Atomic uint64_t shared_received;

static void *receive_some(void *context)
{
	struct crew *crew = context;

	while (shared_received < TOTAL) {
		struct stoa_topic_message message;
		uint64_t data[WORDS];
		ssize_t got = stoa_topic_receive(crew->topic, data,
		                                 sizeof(data),
		                                 stoa_deadline_in(MS),
		                                 &message);

		if (got == -ETIMEDOUT)
			continue;
		require(got >= 8);
		take_in(crew, data, (size_t)got, &message);
		shared_received++;
	}
	return NULL;
}

static void *take_some(void *context)
{
	struct crew *crew = context;

	while (shared_received < TOTAL) {
		struct stoa_topic_message message;
		int result = stoa_topic_take(crew->topic, stoa_deadline_in(MS),
		                             &message);

		if (result == -ETIMEDOUT)
			continue;
		require(result == 0);
		take_in(crew, message.data, message.bytes, &message);
		require(stoa_topic_release(crew->topic, &message) == 0);
		shared_received++;
	}
	return NULL;
}

TEST(threads_share_a_handles_messages)
{
	static struct crew in[4], out[PUBLISHERS];
	pthread_t threads[4], publishers[PUBLISHERS];
	struct stoa_space *space = open_space();
	struct stoa_topic *topic = make_topic_of(
		space, "t", STOA_READ | STOA_WRITE, 0, 16, 8 * WORDS);
	uint64_t received = 0;

	for (uint64_t i = 0; i < 4; i++) {
		in[i].topic = topic;
		require(!pthread_create(&threads[i], NULL,
		                        i % 2 ? receive_some : take_some,
		                        &in[i]));
	}
	for (uint64_t i = 0; i < PUBLISHERS; i++) {
		out[i].topic = topic;
		out[i].index = i;
		require(!pthread_create(&publishers[i], NULL, publish_all,
		                        &out[i]));
	}
	for (int i = 0; i < PUBLISHERS; i++)
		pthread_join(publishers[i], NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		received += in[i].received;
	}
	assert_int_equal(received, TOTAL);
	for (uint64_t at = 0; at < TOTAL; at++) {
		int seen = 0;

		for (int i = 0; i < 4; i++)
			seen += in[i].order[at] != 0;
		assert_int_equal(seen, 1);
	}
	stoa_topic_close(topic);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(all_see_one_order),
	CASE(what_is_overwritten_is_never_seen_torn),
	CASE(threads_share_a_handles_messages),
};

MAIN(cases)
