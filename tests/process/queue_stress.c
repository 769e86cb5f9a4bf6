/* SPDX-License-Identifier: MIT */
/* Messages are conserved under load, with every way to send and to receive,
 * and under kill -9 of senders and receivers. */
#include "support.h"

#include <stdatomic.h>
#include <sys/mman.h>

enum {
	CAPACITY = 50,
	SENDERS = 3,
	RECEIVERS = 3,
	EACH = 5000,
	BATCH = 7,
	LARGEST = 6000,
	KINDS = 3, /* priorities or types in use */
};

struct record {
	uint32_t sender;
	uint32_t number;
};

/* In memory that all processes of the case share. */
struct tally {
	_Atomic uint32_t finished; /* nothing more is sent */
	_Atomic uint32_t next[SENDERS]; /* number to be sent next */
	_Atomic uint8_t sent[SENDERS][EACH]; /* the send returned */
	_Atomic uint8_t seen[SENDERS][EACH]; /* times received */
};

struct role {
	struct stoa_queue *queue;
	struct tally *tally;
	uint32_t index;
	uint64_t seed;
	bool gives_back;
};

static struct tally *make_tally(void)
{
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(tally != MAP_FAILED);
	return tally;
}

static size_t size_of(struct record record)
{
	uint32_t mix = record.number * 2654435761u + record.sender;

	if (mix % 16 == 0)
		return sizeof(record) + mix % (LARGEST - sizeof(record));
	return sizeof(record) + mix % 100;
}

static uint32_t kind_of(struct record record)
{
	return (record.number / 3 + record.sender) % KINDS;
}

static void fill(void *data, struct record record)
{
	memcpy(data, &record, sizeof(record));
	fill_pattern((char *)data + sizeof(record),
	             size_of(record) - sizeof(record),
	             (uint64_t)record.sender << 32 | record.number);
}

static struct record check(const void *data, size_t bytes)
{
	struct record record;

	assert_true(bytes >= sizeof(record));
	memcpy(&record, data, sizeof(record));
	assert_true(record.sender < SENDERS && record.number < EACH);
	assert_int_equal(bytes, size_of(record));
	assert_true(has_pattern((const char *)data + sizeof(record),
	                        bytes - sizeof(record),
	                        (uint64_t)record.sender << 32 | record.number));
	return record;
}

/* ---- Sending ---------------------------------------------------------- */

static void describe(struct stoa_message *message, struct record record,
                     void *data)
{
	memset(message, 0, sizeof(*message));
	message->data = data;
	message->bytes = size_of(record);
	message->priority = kind_of(record);
	message->type = kind_of(record) + 1;
	fill(data, record);
}

static void send_reserved(struct role *role, struct record record)
{
	struct stoa_message message;

	assert_ok(stoa_queue_reserve(role->queue, LARGEST, STOA_FOREVER,
	                             &message));
	fill(message.data, record);
	message.bytes = size_of(record);
	message.priority = kind_of(record);
	message.type = kind_of(record) + 1;
	assert_ok(stoa_queue_commit(role->queue, &message));
}

/* Sends one or some; returns how many. */
static uint32_t send_some(struct role *role, uint32_t number)
{
	static char data[BATCH][LARGEST];
	struct stoa_message messages[BATCH];
	struct record record = { role->index, number };
	size_t count = 0;

	switch (random_below(&role->seed, 3)) {
	case 0: send_reserved(role, record); return 1;
	case 1:
		describe(&messages[0], record, data[0]);
		assert_ok(stoa_queue_send_message(role->queue, &messages[0],
		                                  STOA_FOREVER));
		return 1;
	default:
		for (; count < BATCH && number + count < EACH; count++) {
			record.number = number + (uint32_t)count;
			describe(&messages[count], record, data[count]);
		}
		return (uint32_t)assert_good(stoa_queue_send_many(
			role->queue, messages, count, STOA_FOREVER));
	}
}

static void be_sender(void *context)
{
	struct role *role = context;
	struct tally *tally = role->tally;
	uint32_t number;

	while ((number = atomic_load(&tally->next[role->index])) < EACH) {
		uint32_t count = send_some(role, number);

		for (uint32_t i = 0; i < count; i++)
			atomic_store(&tally->sent[role->index][number + i], 1);
		atomic_store(&tally->next[role->index], number + count);
	}
}

/* ---- Receiving -------------------------------------------------------- */

struct order_check {
	enum stoa_queue_order kind;
	int64_t last[SENDERS][KINDS];
};

static void note(struct role *role, struct order_check *order,
                 struct record record, uint32_t deliveries)
{
	uint32_t kind = order->kind == STOA_FIFO ? 0 : kind_of(record);
	uint8_t before;

	if (!role->gives_back) {
		assert_true(record.number > order->last[record.sender][kind]);
		order->last[record.sender][kind] = record.number;
	}
	before = atomic_fetch_add(
		&role->tally->seen[record.sender][record.number], 1);
	if (before > 0)
		assert_true(deliveries > 0);
}

static bool receive_taken(struct role *role, struct order_check *order,
                          const struct stoa_selector *selector)
{
	struct stoa_message message;
	struct record record;
	int result = stoa_queue_take(role->queue, selector,
	                             stoa_deadline_in(5 * MS), &message);

	if (result == -ETIMEDOUT)
		return false;
	assert_int_equal(result, 0);
	record = check(message.data, message.bytes);
	if (role->gives_back && random_below(&role->seed, 4) == 0) {
		assert_ok(stoa_queue_return(role->queue, &message));
		return true;
	}
	note(role, order, record, message.deliveries);
	assert_ok(stoa_queue_acknowledge(role->queue, &message));
	return true;
}

static bool receive_copied(struct role *role, struct order_check *order,
                           const struct stoa_selector *selector)
{
	static char data[BATCH][LARGEST];
	struct stoa_message messages[BATCH];
	int result;

	for (size_t i = 0; i < BATCH; i++)
		messages[i] = (struct stoa_message){ .data = data[i],
			                             .buffer_bytes = LARGEST };
	result = stoa_queue_receive_many(role->queue, selector, messages,
	                                 1 + random_below(&role->seed, BATCH),
	                                 stoa_deadline_in(5 * MS));
	if (result == -ETIMEDOUT)
		return false;
	assert_good(result);
	for (int i = 0; i < result; i++)
		note(role, order, check(data[i], messages[i].bytes),
		     messages[i].deliveries);
	return true;
}

static bool receive_some(struct role *role, struct order_check *order)
{
	struct stoa_selector selector = { STOA_ANY, 0 };

	if (order->kind == STOA_TYPE) {
		selector.selection =
			(enum stoa_selection)random_below(&role->seed, 4);
		selector.type = 1 + (int64_t)random_below(&role->seed, KINDS);
	}
	if (role->gives_back || random_below(&role->seed, 2) == 0)
		return receive_taken(role, order, &selector);
	return receive_copied(role, order, &selector);
}

/* Ends when all is sent and nothing of any type is there. */
static void be_receiver(void *context)
{
	struct role *role = context;
	struct order_check order;

	memset(&order, 0xFF, sizeof(order));
	order.kind = (enum stoa_queue_order)stat_of(role->queue).order;
	for (;;) {
		bool finished = atomic_load(&role->tally->finished);

		if (!receive_some(role, &order) && finished &&
		    stoa_queue_peek(role->queue, NULL, 0, NULL, 0, NULL) ==
		            -ENOMSG)
			return;
	}
}

/* ---- Together --------------------------------------------------------- */

struct crew {
	struct stoa_queue *queue;
	struct tally *tally;
	struct child children[SENDERS + RECEIVERS];
	struct role roles[SENDERS + RECEIVERS];
	uint32_t receiver_kills;
};

static void start_member(struct crew *crew, uint32_t i)
{
	crew->children[i] = start_child(i < SENDERS ? be_sender : be_receiver,
	                                &crew->roles[i]);
}

static void start_crew(struct crew *crew, struct stoa_space *space, int order,
                       bool gives_back)
{
	memset(crew, 0, sizeof(*crew));
	crew->tally = make_tally();
	crew->queue =
		make_queue(space, "q",
	                   (struct queue_shape){ (enum stoa_queue_order)order,
	                                         CAPACITY, LARGEST, 1 << 18 });
	for (uint32_t i = 0; i < SENDERS + RECEIVERS; i++) {
		crew->roles[i] = (struct role){ crew->queue, crew->tally, i,
			                        run_seed() + i, gives_back };
		start_member(crew, i);
	}
}

static void end_crew(struct crew *crew, struct stoa_space *space)
{
	for (uint32_t i = 0; i < SENDERS; i++)
		end_child(&crew->children[i]);
	atomic_store(&crew->tally->finished, 1);
	for (uint32_t i = SENDERS; i < SENDERS + RECEIVERS; i++)
		end_child(&crew->children[i]);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	assert_empty(crew->queue);
	assert_capacity(crew->queue, CAPACITY);
	stoa_queue_close(crew->queue);
	assert_ok(stoa_queue_unlink(space, "q"));
}

static void conserve(bool gives_back)
{
	struct stoa_space *space = open_space();
	struct crew crew;

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		start_crew(&crew, space, order, gives_back);
		end_crew(&crew, space);
		for (size_t i = 0; i < SENDERS * EACH; i++)
			assert_int_equal(crew.tally->seen[i / EACH][i % EACH],
			                 1);
		munmap(crew.tally, sizeof(*crew.tally));
	}
	stoa_space_close(space);
}

TEST(every_message_arrives_once_and_each_senders_in_order)
{
	conserve(false);
}

TEST(every_message_arrives_once_when_some_are_given_back)
{
	conserve(true);
}

/* What a killed sender was about to send may have gone out or not: its
 * successor leaves out as many as one call can send. */
static void replace_member(struct crew *crew, uint32_t i)
{
	kill_child(&crew->children[i]);
	if (i < SENDERS) {
		uint32_t next = atomic_load(&crew->tally->next[i]) + BATCH;

		atomic_store(&crew->tally->next[i], next < EACH ? next : EACH);
	} else {
		crew->receiver_kills++;
	}
	start_member(crew, i);
}

static bool all_sent(const struct tally *tally)
{
	for (uint32_t i = 0; i < SENDERS; i++)
		if (atomic_load(&tally->next[i]) < EACH)
			return false;
	return true;
}

static void kill_members(struct crew *crew, uint64_t *seed)
{
	while (!all_sent(crew->tally)) {
		uint32_t i = (uint32_t)random_below(seed, SENDERS + RECEIVERS);
		volatile uint64_t spins = random_below(seed, 1000000);

		while (spins > 0)
			spins--;
		if (i >= SENDERS || atomic_load(&crew->tally->next[i]) < EACH)
			replace_member(crew, i);
	}
}

TEST(killed_senders_and_takers_lose_and_double_nothing)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();
	struct crew crew;

	for (int round = 0; round < 4 * 3; round++) {
		uint64_t doubles = 0;

		start_crew(&crew, space, round % 3, true);
		kill_members(&crew, &seed);
		end_crew(&crew, space);
		for (size_t i = 0; i < SENDERS * EACH; i++) {
			uint8_t sent = crew.tally->sent[i / EACH][i % EACH];
			uint8_t seen = crew.tally->seen[i / EACH][i % EACH];

			if (sent > 0 && seen == 0)
				fail_msg("%zu of sender %zu is lost", i % EACH,
				         i / EACH);
			doubles += seen > 1 ? seen - 1U : 0;
		}
		assert_true(doubles <= crew.receiver_kills);
		munmap(crew.tally, sizeof(*crew.tally));
	}
	stoa_space_close(space);
}

/* ---- Large messages in little room -------------------------------------- */

enum { LARGE_BYTES = 60000, LARGE_EACH = 400, PAIRS = 2 };

static void send_large(void *context)
{
	static char data[LARGE_BYTES];
	struct role *role = context;

	for (uint32_t i = 0; i < LARGE_EACH; i++) {
		uint64_t id = (uint64_t)role->index << 32 | i;

		memcpy(data, &id, sizeof(id));
		fill_pattern(data + sizeof(id), LARGE_BYTES - sizeof(id), id);
		assert_ok(stoa_queue_send(role->queue, data, LARGE_BYTES,
		                          STOA_FOREVER));
	}
}

static void receive_large(void *context)
{
	static char data[LARGE_BYTES];
	struct role *role = context;

	for (uint32_t i = 0; i < LARGE_EACH; i++) {
		uint64_t id;

		assert_result(stoa_queue_receive(role->queue, NULL, data,
		                                 LARGE_BYTES, STOA_FOREVER,
		                                 NULL),
		              LARGE_BYTES);
		memcpy(&id, data, sizeof(id));
		assert_true(has_pattern(data + sizeof(id),
		                        LARGE_BYTES - sizeof(id), id));
	}
}

TEST(large_messages_stay_whole_while_their_room_is_used_again)
{
	struct stoa_space *space = open_space();

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct child children[2 * PAIRS];
		struct role role = {
			.queue =
				make_queue(space, "q",
			                   (struct queue_shape){
						   (enum stoa_queue_order)order,
						   8, LARGE_BYTES, 3 * 61440 })
		};

		for (uint32_t i = 0; i < LENGTH(children); i++) {
			role.index = i;
			children[i] = start_child(
				i < PAIRS ? send_large : receive_large, &role);
		}
		for (size_t i = 0; i < LENGTH(children); i++)
			end_child(&children[i]);
		assert_empty(role.queue);
		stoa_queue_close(role.queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(every_message_arrives_once_and_each_senders_in_order),
	CASE(every_message_arrives_once_when_some_are_given_back),
	CASE(large_messages_stay_whole_while_their_room_is_used_again),
	CASE(killed_senders_and_takers_lose_and_double_nothing),
};

MAIN(cases)
