/* SPDX-License-Identifier: MIT */
/* Zero copy: reserve, commit, cancel; take and release; read-only memory. */
#include "topic.h"

#include <sys/mman.h>

enum { CAPACITY = 16 };

static const size_t sizes[] = { 0, 1, 64, 112, 113, 5000 };

TEST(what_is_reserved_is_seen_when_committed)
{
	struct stoa_space *space = open_space();

	for (uint32_t overrun = 0; overrun <= STOA_TOPIC_OVERWRITE; overrun++) {
		struct stoa_topic *out = make_topic(space, "t", overrun,
		                                    CAPACITY);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);
		static unsigned char buffer[5000];

		for (size_t i = 0; i < 20 * LENGTH(sizes); i++) {
			size_t bytes = sizes[i % LENGTH(sizes)];
			struct stoa_topic_message message;

			assert_ok(stoa_topic_reserve(out, bytes, STOA_NOW,
			                             &message));
			assert_int_equal(topic_stat(out).reserved, 1);
			fill_pattern(message.data, bytes, i);
			assert_hears_nothing(in);
			message.bytes = bytes / 2 * 2;
			assert_ok(stoa_topic_commit(out, &message, STOA_NOW));
			assert_result(stoa_topic_commit(out, &message,
			                                STOA_NOW),
			              -ESTALE);
			assert_result(stoa_topic_receive(in, buffer,
			                                 sizeof(buffer),
			                                 STOA_NOW, NULL),
			              message.bytes);
			if (message.bytes == bytes)
				assert_true(has_pattern(buffer, bytes, i));
			assert_int_equal(topic_stat(out).reserved, 0);
		}
		stoa_topic_close(in);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

/* Others publish past it. */
TEST(a_reservation_holds_up_nobody_and_can_be_cancelled)
{
	struct stoa_space *space = open_space();

	for (uint32_t overrun = 0; overrun <= STOA_TOPIC_OVERWRITE; overrun++) {
		struct stoa_topic *out = make_topic(space, "t", overrun,
		                                    CAPACITY);
		struct stoa_topic *other = join_topic(space, "t", STOA_WRITE);
		struct stoa_topic *in = join_topic(space, "t", STOA_READ);
		struct stoa_topic_message small, large;

		assert_ok(stoa_topic_reserve(out, 8, STOA_NOW, &small));
		assert_ok(stoa_topic_reserve(out, 5000, STOA_NOW, &large));
		for (uint64_t i = 0; i < 10 * CAPACITY; i++) {
			publish_number(other, i, STOA_NOW);
			assert_int_equal(hear_number(in, STOA_NOW, NULL), i);
		}
		memcpy(small.data, &(uint64_t){ 4711 }, 8);
		assert_ok(stoa_topic_commit(out, &small, STOA_NOW));
		assert_int_equal(hear_number(in, STOA_NOW, NULL), 4711);
		assert_ok(stoa_topic_cancel(out, &large));
		assert_result(stoa_topic_cancel(out, &large), -ESTALE);
		assert_result(stoa_topic_commit(out, &large, STOA_NOW),
		              -ESTALE);
		assert_result(stoa_topic_cancel(other, &small), -ESTALE);
		assert_hears_nothing(in);
		stoa_topic_close(in);
		stoa_topic_close(other);
		stoa_topic_close(out);
		assert_ok(stoa_topic_unlink(space, "t"));
	}
	stoa_space_close(space);
}

TEST(closing_drops_what_was_reserved)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *keep = make_topic(space, "t", STOA_TOPIC_OVERWRITE,
	                                     CAPACITY);

	for (int round = 0; round < 100; round++) {
		struct stoa_topic *out = join_topic(space, "t", STOA_WRITE);
		struct stoa_topic_message message;

		for (int i = 0; i < 7; i++)
			assert_ok(stoa_topic_reserve(out, 5000, STOA_NOW,
			                             &message));
		assert_ok(stoa_topic_reserve(out, 8, STOA_NOW, &message));
		stoa_topic_close(out);
		assert_int_equal(topic_stat(keep).reserved, 0);
	}
	stoa_topic_close(keep);
	stoa_space_close(space);
}

TEST(all_slots_reserved_is_no_room_until_one_is_cancelled)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", STOA_TOPIC_OVERWRITE,
	                                    CAPACITY);
	struct stoa_topic_message message[8], more;

	for (size_t i = 0; i < LENGTH(message); i++)
		assert_ok(stoa_topic_reserve(out, 5000, STOA_NOW, &message[i]));
	assert_result(stoa_topic_reserve(out, 5000, STOA_NOW, &more), -EAGAIN);
	assert_result(stoa_topic_reserve(out, 5000, stoa_deadline_in(MS),
	                                 &more),
	              -ETIMEDOUT);
	publish_text(out, "small");
	assert_ok(stoa_topic_cancel(out, &message[3]));
	assert_ok(stoa_topic_reserve(out, 5000, STOA_NOW, &more));
	message[0].bytes = 5001;
	assert_result(stoa_topic_commit(out, &message[0], STOA_NOW), -EMSGSIZE);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(what_is_taken_is_pinned_where_publishers_wait)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct stoa_topic_message first, second;

	publish_text(out, "first");
	publish_text(out, "second");
	assert_ok(stoa_topic_take(in, STOA_NOW, &first));
	assert_ok(stoa_topic_take(in, STOA_NOW, &second));
	assert_result(stoa_topic_take(in, STOA_NOW, &(struct stoa_topic_message){
	                                                    0 }),
	              -EAGAIN);
	fill_topic(out, 8);
	drain_topic(in);
	assert_int_equal(fill_topic(out, 8), 0);
	assert_memory_equal(first.data, "first", 5);
	assert_ok(stoa_topic_release(in, &second));
	assert_hears_nothing(in);
	assert_int_equal(fill_topic(out, 8), 0);
	assert_memory_equal(first.data, "first", 5);
	assert_result(stoa_topic_seek(in, STOA_TOPIC_NEXT), -EBUSY);
	assert_ok(stoa_topic_release(in, &first));
	assert_result(stoa_topic_release(in, &first), -ESTALE);
	assert_hears_nothing(in);
	assert_true(fill_topic(out, 8) >= CAPACITY);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(release_says_whether_it_was_overwritten)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", STOA_TOPIC_OVERWRITE,
	                                    CAPACITY);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct stoa_topic_message message;

	publish_text(out, "kept");
	assert_ok(stoa_topic_take(in, STOA_NOW, &message));
	assert_memory_equal(message.data, "kept", 4);
	assert_ok(stoa_topic_release(in, &message));
	publish_text(out, "gone");
	assert_ok(stoa_topic_take(in, STOA_NOW, &message));
	for (int i = 0; i < 5 * CAPACITY; i++)
		publish_text(out, "other");
	assert_result(stoa_topic_release(in, &message), -EOVERFLOW);
	assert_sentence("overwritten");
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(only_so_many_are_taken_at_once)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *out = make_topic(space, "t", 0, 100);
	struct stoa_topic *in = join_topic(space, "t", STOA_READ);
	struct stoa_topic_message message[STOA_TOPIC_LOANS], more;

	for (int i = 0; i <= STOA_TOPIC_LOANS; i++)
		publish_text(out, "x");
	for (int i = 0; i < STOA_TOPIC_LOANS; i++)
		assert_ok(stoa_topic_take(in, STOA_NOW, &message[i]));
	assert_result(stoa_topic_take(in, STOA_NOW, &more), -EMFILE);
	assert_ok(stoa_topic_release(in, &message[5]));
	assert_ok(stoa_topic_take(in, STOA_NOW, &more));
	assert_int_equal(more.sequence, STOA_TOPIC_LOANS);
	stoa_topic_close(in);
	stoa_topic_close(out);
	stoa_space_close(space);
}

TEST(subscribers_can_not_make_it_writable)
{
	struct stoa_space *space = open_space();
	struct stoa_topic *topic = make_topic_of(
		space, "t", STOA_READ | STOA_WRITE, 0, CAPACITY, 5000);

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		static char data[5000];
		struct stoa_topic_message message;
		uintptr_t page;

		assert_ok(stoa_topic_publish(topic, data, sizes[i], STOA_NOW));
		assert_ok(stoa_topic_take(topic, STOA_NOW, &message));
		page = (uintptr_t)message.data & ~(uintptr_t)4095;
		assert_int_equal(mprotect((void *)page, 4096,
		                          PROT_READ | PROT_WRITE),
		                 -1);
		assert_int_equal(errno, EACCES);
		assert_ok(stoa_topic_release(topic, &message));
	}
	stoa_topic_close(topic);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(what_is_reserved_is_seen_when_committed),
	CASE(a_reservation_holds_up_nobody_and_can_be_cancelled),
	CASE(closing_drops_what_was_reserved),
	CASE(all_slots_reserved_is_no_room_until_one_is_cancelled),
	CASE(what_is_taken_is_pinned_where_publishers_wait),
	CASE(release_says_whether_it_was_overwritten),
	CASE(only_so_many_are_taken_at_once),
	CASE(subscribers_can_not_make_it_writable),
};

MAIN(cases)
