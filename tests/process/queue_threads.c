/* SPDX-License-Identifier: MIT */
/* Threads that share one handle, or use handles of their own. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SENDERS = 3, RECEIVERS = 3, EACH = 4000, BYTES = 400 };

struct record {
	uint32_t sender;
	uint32_t number;
};

struct work {
	struct stoa_queue *queue;
	uint32_t index;
	bool holds; /* by take and reserve */
	atomic_uint *received;
	atomic_uchar (*seen)[EACH];
};

static void send_number(struct work *work, uint32_t number)
{
	unsigned char data[BYTES];
	struct record record = { work->index, number };
	size_t bytes = number % 5 == 0 ? BYTES : sizeof(record);
	struct stoa_message message;

	memset(data, 0, sizeof(data));
	memcpy(data, &record, sizeof(record));
	if (!work->holds) {
		require(stoa_queue_send(work->queue, data, bytes,
		                        STOA_FOREVER) == 0);
		return;
	}
	require(stoa_queue_reserve(work->queue, bytes, STOA_FOREVER,
	                           &message) == 0);
	memcpy(message.data, data, bytes);
	message.type = 1;
	message.priority = 0;
	require(stoa_queue_commit(work->queue, &message) == 0);
}

static void *send_all(void *context)
{
	for (uint32_t i = 0; i < EACH; i++)
		send_number(context, i);
	return NULL;
}

static bool receive_record(struct work *work, struct record *record)
{
	struct stoa_deadline soon = stoa_deadline_in(5 * MS);
	unsigned char data[BYTES];
	struct stoa_message message;
	int result;

	if (!work->holds) {
		result = (int)stoa_queue_receive(work->queue, NULL, data, BYTES,
		                                 soon, NULL);
		memcpy(record, data, sizeof(*record));
	} else {
		result = stoa_queue_take(work->queue, NULL, soon, &message);
		if (result == 0) {
			memcpy(record, message.data, sizeof(*record));
			require(stoa_queue_acknowledge(work->queue, &message) ==
			        0);
		}
	}
	require(result >= 0 || result == -ETIMEDOUT);
	return result >= 0;
}

static void *receive_all(void *context)
{
	struct work *work = context;
	int64_t last[SENDERS];
	struct record record;

	memset(last, 0xFF, sizeof(last));
	while (atomic_load(work->received) < SENDERS * EACH) {
		if (!receive_record(work, &record))
			continue;
		require(record.sender < SENDERS && record.number < EACH);
		require(record.number > last[record.sender]);
		last[record.sender] = record.number;
		require(atomic_fetch_add(
				&work->seen[record.sender][record.number], 1) ==
		        0);
		atomic_fetch_add(work->received, 1);
	}
	return NULL;
}

static void run_threads(struct stoa_space *space, enum stoa_queue_order order,
                        bool holds, bool own_handles)
{
	static atomic_uchar seen[SENDERS][EACH];
	struct stoa_queue *queue = make_queue(
		space, "q", (struct queue_shape){ order, 64, BYTES, 16384 });
	struct work works[SENDERS + RECEIVERS];
	pthread_t threads[SENDERS + RECEIVERS];
	atomic_uint received = 0;

	memset((void *)seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < LENGTH(threads); i++) {
		works[i] = (struct work){ own_handles ? join_queue(space, "q")
			                              : queue,
			                  i % SENDERS, holds, &received, seen };
		assert_int_equal(pthread_create(&threads[i], NULL,
		                                i < SENDERS ? send_all
		                                            : receive_all,
		                                &works[i]),
		                 0);
	}
	for (size_t i = 0; i < LENGTH(threads); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		if (own_handles)
			stoa_queue_close(works[i].queue);
	}
	assert_int_equal(atomic_load(&received), SENDERS * EACH);
	assert_int_equal(stat_of(queue).messages_in, SENDERS * EACH);
	assert_int_equal(stat_of(queue).messages_out, SENDERS * EACH);
	assert_capacity(queue, 64);
	stoa_queue_close(queue);
	assert_ok(stoa_queue_unlink(space, "q"));
}

TEST(threads_that_share_a_handle_lose_and_double_nothing)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++)
		run_threads(space, (enum stoa_queue_order)order, false, false);
	stoa_space_close(space);
}

TEST(threads_that_hold_messages_lose_and_double_nothing)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++)
		run_threads(space, (enum stoa_queue_order)order, true, false);
	stoa_space_close(space);
}

TEST(threads_with_handles_of_their_own_lose_and_double_nothing)
{
	struct stoa_space *space = open_space();

	run_threads(space, STOA_FIFO, false, true);
	run_threads(space, STOA_TYPE, true, true);
	stoa_space_close(space);
}

/* ---- Looking and purging beside traffic ------------------------------- */

struct looker {
	struct stoa_queue *queue;
	atomic_bool stop;
	atomic_uint_fast64_t purged;
};

static void *look(void *context)
{
	struct looker *looker = context;
	struct stoa_queue_stat stat;
	unsigned char data[BYTES];
	struct stoa_message message;

	while (!atomic_load(&looker->stop)) {
		ssize_t bytes;
		int purged;

		stat.size = sizeof(stat);
		require(stoa_queue_stat(looker->queue, &stat) == 0);
		require(stat.messages + stat.taken + stat.reserved <= 64);
		bytes = stoa_queue_peek(looker->queue, NULL, 3, data, BYTES,
		                        &message);
		require(bytes == -ENOMSG ||
		        bytes == (ssize_t)sizeof(struct record) ||
		        bytes == BYTES);
		purged = stoa_queue_purge(looker->queue);
		require(purged >= 0);
		atomic_fetch_add(&looker->purged, (uint64_t)purged);
	}
	return NULL;
}

TEST(stat_peek_and_purge_beside_traffic_account_for_every_message)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct looker looker = { .stop = false };
		pthread_t threads[3];
		struct work work = { .index = 0 };
		uint64_t received = 0;

		looker.queue = make_queue(
			space, "q",
			(struct queue_shape){ (enum stoa_queue_order)order, 64,
		                              BYTES, 16384 });
		work.queue = looker.queue;
		assert_int_equal(
			pthread_create(&threads[0], NULL, look, &looker), 0);
		assert_int_equal(
			pthread_create(&threads[1], NULL, send_all, &work), 0);
		assert_int_equal(
			pthread_create(&threads[2], NULL, send_all, &work), 0);
		while (received + atomic_load(&looker.purged) < 2 * EACH) {
			struct record record;

			received += receive_record(&work, &record);
		}
		atomic_store(&looker.stop, true);
		for (size_t i = 0; i < LENGTH(threads); i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(received + atomic_load(&looker.purged),
		                 2 * EACH);
		assert_capacity(looker.queue, 64);
		stoa_queue_close(looker.queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static void *open_and_close(void *context)
{
	for (int i = 0; i < 200; i++) {
		struct stoa_queue *queue;

		require(stoa_queue_open(context, "q", STOA_READ | STOA_WRITE, 0,
		                        NULL, &queue) == 0);
		require(stoa_queue_send(queue, "x", 1, STOA_FOREVER) == 0);
		stoa_queue_close(queue);
	}
	return NULL;
}

TEST(threads_open_and_close_handles_beside_each_other)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(
		space, "q", (struct queue_shape){ STOA_FIFO, 8, 100, 8192 });
	pthread_t threads[3];
	char buffer[8];

	for (size_t i = 0; i < LENGTH(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
		                                open_and_close, space),
		                 0);
	for (size_t i = 0; i < LENGTH(threads) * 200; i++)
		assert_result(stoa_queue_receive(queue, NULL, buffer, 8,
		                                 STOA_FOREVER, NULL),
		              1);
	for (size_t i = 0; i < LENGTH(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(stat_of(queue).users, 1);
	assert_capacity(queue, 8);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_that_share_a_handle_lose_and_double_nothing),
	CASE(threads_that_hold_messages_lose_and_double_nothing),
	CASE(threads_with_handles_of_their_own_lose_and_double_nothing),
	CASE(stat_peek_and_purge_beside_traffic_account_for_every_message),
	CASE(threads_open_and_close_handles_beside_each_other),
};

MAIN(cases)
