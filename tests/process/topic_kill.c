/* SPDX-License-Identifier: MIT */
/* Publishers and subscribers killed and stopped at random instants: nobody
 * waits for them, nobody sees what they had not committed. */
#include "topic.h"

#include <signal.h>
#include <sys/wait.h>

enum { CAPACITY = 32, ROUNDS = 60, LARGEST = 3000 };

static void until_later(pid_t pid)
{
	uint64_t chance = (uint64_t)pid * 2654435761u;

	usleep((useconds_t)random_below(&chance, 3000));
}

/* One publisher's messages: who, which, and a pattern of both. */
struct numbered {
	uint64_t publisher, number;
};

static size_t size_of(uint64_t number)
{
	return sizeof(struct numbered) +
	       (number % 5 == 4 ? LARGEST - sizeof(struct numbered) :
	                          number % 90);
}

static void fill_numbered(void *data, uint64_t publisher, uint64_t number)
{
	struct numbered head = { publisher, number };

	memcpy(data, &head, sizeof(head));
	fill_pattern((char *)data + sizeof(head),
	             size_of(number) - sizeof(head), publisher ^ number);
}

static struct numbered check_numbered(const void *data, size_t bytes)
{
	struct numbered head;

	assert_true(bytes >= sizeof(head));
	memcpy(&head, data, sizeof(head));
	assert_int_equal(bytes, size_of(head.number));
	assert_true(has_pattern((const char *)data + sizeof(head),
	                        bytes - sizeof(head),
	                        head.publisher ^ head.number));
	return head;
}

static void publish_one(struct stoa_topic *topic, uint64_t publisher,
                        uint64_t number)
{
	static char data[LARGEST];
	struct stoa_topic_message message;

	if (number % 3 != 0) {
		fill_numbered(data, publisher, number);
		assert_ok(stoa_topic_publish(topic, data, size_of(number),
		                             STOA_FOREVER));
		return;
	}
	assert_ok(stoa_topic_reserve(topic, size_of(number), STOA_FOREVER,
	                             &message));
	fill_numbered(message.data, publisher, number);
	assert_ok(stoa_topic_commit(topic, &message, STOA_FOREVER));
}

static void publish_forever(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *topic = join_topic(space, "t", STOA_WRITE);

	report(0);
	for (uint64_t number = 0;; number++)
		publish_one(topic, *(uint64_t *)context, number);
}

static struct stoa_topic *make_mixed(struct stoa_space *space, uint32_t overrun)
{
	return make_topic_of(space, "t", STOA_WRITE, overrun, CAPACITY,
	                     LARGEST);
}

/* What one subscriber has been given so far. */
struct seen {
	uint64_t next[2]; /* number, by publisher */
	uint64_t lost;    /* as the topic says */
	uint64_t missing;
};

/* Receives until nothing more comes: each publisher's numbers in order, and no
 * more of them missing than were lost. */
static void check_what_came(struct stoa_topic *in, struct seen *seen)
{
	static char buffer[LARGEST];
	struct stoa_topic_message message;
	ssize_t got;

	while ((got = stoa_topic_receive(in, buffer, sizeof(buffer), STOA_NOW,
	                                 &message)) >= 0) {
		struct numbered head = check_numbered(buffer, (size_t)got);

		assert_true(head.publisher < LENGTH(seen->next));
		uint64_t *next = &seen->next[head.publisher];
		assert_true(head.number >= *next);
		seen->lost += message.lost;
		seen->missing += head.number - *next;
		assert_true(seen->missing <= seen->lost);
		*next = head.number + 1;
	}
	assert_int_equal(got, -EAGAIN);
}

static void kill_publishers(uint32_t overrun)
{
	struct stoa_space *space = open_space();

	for (int round = 0; round < ROUNDS; round++) {
		struct stoa_topic *keep = make_mixed(space, overrun);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);
		uint64_t name[2] = { 0, 1 };
		struct seen seen = { { 0 }, 0, 0 };
		struct child child[2];
		char small[8] = { 0 };

		for (int i = 0; i < 2; i++)
			child[i] = start_child(publish_forever, &name[i]);
		for (int i = 0; i < 2; i++)
			await_report(&child[i]);
		for (int i = 0; i < 20; i++)
			check_what_came(in, &seen);
		until_later(child[0].pid);
		kill_child(&child[0]);
		check_what_came(in, &seen);
		until_later(child[1].pid);
		kill_child(&child[1]);
		check_what_came(in, &seen);
		assert_true(seen.lost == 0 ||
		            overrun == STOA_TOPIC_OVERWRITE);
		/* Nothing is held by the dead. */
		assert_good(stoa_space_clean(space, 0, NULL, NULL));
		assert_int_equal(topic_stat(keep).reserved, 0);
		if (overrun == STOA_TOPIC_WAIT) {
			assert_true(fill_topic(keep, LARGEST) >= 7);
			drain_topic(in);
			assert_true(fill_topic(keep, 8) >= CAPACITY);
		}
		drain_topic(in);
		assert_ok(stoa_topic_publish(keep, small, 8, STOA_NOW));
		stoa_topic_close(in);
		stoa_topic_close(keep);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(killed_publishers_leave_only_what_they_committed)
{
	kill_publishers(STOA_TOPIC_WAIT);
}

TEST(the_same_where_the_oldest_is_overwritten)
{
	kill_publishers(STOA_TOPIC_OVERWRITE);
}

static void receive_forever(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	static char buffer[LARGEST];
	struct stoa_topic_message message;

	(void)context;
	report(0);
	for (;;) {
		assert_good(stoa_topic_receive(in, buffer, sizeof(buffer),
		                               STOA_FOREVER, NULL));
		assert_ok(stoa_topic_take(in, STOA_FOREVER, &message));
		stoa_topic_release(in, &message);
	}
}

TEST(a_killed_subscriber_is_not_waited_for)
{
	struct stoa_space *space = open_space();

	for (int round = 0; round < ROUNDS / 2; round++) {
		struct stoa_topic *out = make_mixed(space, STOA_TOPIC_WAIT);
		struct child child = start_child(receive_forever, NULL);
		uint64_t number = 0;
		int64_t end;

		await_report(&child);
		end = now_ns() + 2 * MS;
		while (now_ns() < end)
			publish_one(out, 0, number++);
		until_later(child.pid);
		kill_child(&child);
		for (int i = 0; i < 4 * CAPACITY; i++)
			publish_one(out, 0, number++);
		assert_int_equal(topic_stat(out).subscribers, 0);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

static void publish_many(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = join_topic(space, "t", STOA_WRITE);

	for (uint64_t i = 0; i < *(uint64_t *)context; i++)
		publish_number(out, i, STOA_FOREVER);
	stoa_topic_close(out);
	stoa_space_close(space);
}

static void subscribe_and_stay(void *context)
{
	struct stoa_space *space = open_space();

	(void)context;
	join_topic(space, "t", STOA_READ);
	report(0);
	for (;;)
		pause();
}

/* Asleep in the middle of its wait, when the one it waits for is killed. */
TEST(a_publisher_asleep_meets_the_death_of_the_slowest)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *keep = make_topic(space, "t", 0, CAPACITY);

	for (int round = 0; round < 10; round++) {
		struct child lazy = start_child(subscribe_and_stay, NULL);
		uint64_t many = 10 * CAPACITY;
		struct child busy;

		await_report(&lazy);
		busy = start_child(publish_many, &many);
		until_topic_waiting(keep, 0, 1);
		kill_child(&lazy);
		end_child(&busy);
	}
	stoa_topic_close(keep);
	stoa_space_close(space);
}

/* Stopped is alive: it is waited for. */
TEST(a_stopped_subscriber_is_waited_for_or_overrun)
{
	struct stoa_space *space = open_space();

	for (uint32_t overrun = 0; overrun <= STOA_TOPIC_OVERWRITE; overrun++) {
		struct stoa_topic *out = make_topic(space, "t", overrun,
		                                    CAPACITY);
		struct child lazy = start_child(subscribe_and_stay, NULL);

		await_report(&lazy);
		stop_child(&lazy);
		if (overrun == STOA_TOPIC_OVERWRITE) {
			for (uint64_t i = 0; i < 100 * CAPACITY; i++)
				publish_number(out, i, STOA_NOW);
		} else {
			assert_true(fill_topic(out, 8) >= CAPACITY);
			assert_result(stoa_topic_publish(
			                      out, "x", 1,
			                      stoa_deadline_in(120 * MS)),
			              -ETIMEDOUT);
		}
		kill_child(&lazy);
		publish_number(out, 0, STOA_FOREVER);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

/* Whatever instruction it is at. */
TEST(a_stopped_publisher_holds_up_nobody)
{
	struct stoa_space *space = open_space();

	for (int round = 0; round < ROUNDS; round++) {
		struct stoa_topic *out = make_mixed(space,
		                                    STOA_TOPIC_OVERWRITE);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);
		struct seen seen = { { 0 }, 0, 0 };
		uint64_t name = 0;
		struct child child = start_child(publish_forever, &name);

		await_report(&child);
		until_later(child.pid);
		stop_child(&child);
		check_what_came(in, &seen);
		for (uint64_t number = 0; number < 5 * CAPACITY; number++) {
			uint64_t lost = seen.lost;

			publish_one(out, 1, number);
			check_what_came(in, &seen);
			assert_int_equal(seen.lost, lost);
			assert_int_equal(seen.next[1], number + 1);
		}
		continue_child(&child);
		until_later(child.pid);
		check_what_came(in, &seen);
		kill_child(&child);
		check_what_came(in, &seen);
		stoa_topic_close(in);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

static void publish_without_end(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *topic = join_topic(space, "t", STOA_WRITE);

	(void)context;
	report(0);
	for (uint64_t number = 0;; number++)
		publish_number(topic, number, STOA_FOREVER);
}

/* Whoever comes, looks or publishes beside it is slower, and no worse off. */
TEST(a_publisher_without_end_leaves_room_for_others)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *keep = make_topic(space, "t", STOA_TOPIC_OVERWRITE,
	                                     CAPACITY);
	struct child child[2];

	for (int i = 0; i < 2; i++) {
		child[i] = start_child(publish_without_end, NULL);
		await_report(&child[i]);
	}
	for (int round = 0; round < 300; round++) {
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);
		struct stoa_topic_message message;
		uint64_t number;

		publish_number(keep, 7, STOA_FOREVER);
		hear_number(in, STOA_FOREVER, &message);
		assert_result(stoa_topic_latest(in, &number, sizeof(number),
		                                &message),
		              sizeof(number));
		assert_true(topic_stat(in).published > 0);
		assert_ok(stoa_topic_seek(in, STOA_TOPIC_OLDEST));
		hear_number(in, STOA_FOREVER, &message);
		stoa_topic_close(in);
	}
	for (int i = 0; i < 2; i++)
		kill_child(&child[i]);
	stoa_topic_close(keep);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(killed_publishers_leave_only_what_they_committed),
	CASE(the_same_where_the_oldest_is_overwritten),
	CASE(a_killed_subscriber_is_not_waited_for),
	CASE(a_publisher_asleep_meets_the_death_of_the_slowest),
	CASE(a_stopped_subscriber_is_waited_for_or_overrun),
	CASE(a_stopped_publisher_holds_up_nobody),
	CASE(a_publisher_without_end_leaves_room_for_others),
};

MAIN(cases)
