/* SPDX-License-Identifier: MIT */
/* Messages to a multicast group: put together from packets, counted when lost,
 * and whatever isn't sound passed over. */
#include "network.h"

#include <kernel/group_internal.h>
#include <signal.h>
#include <sys/wait.h>

enum { ROOM = 1 << 20, TRIES = 20000 };

static const char where[] = "udp:239.7.7.7:5000";
static char buffer[ROOM], data[ROOM];
static struct stoa_group_message message;

static struct stoa_group *open_group(unsigned flags, const char *topic)
{
	struct stoa_group_attributes attributes = {
		.size = sizeof(attributes),
		.interface = "lo",
		.message_bytes = 100000,
		.room_bytes = 1 << 20,
	};
	struct stoa_group *group;

	assert_ok(stoa_group_open(where, topic, flags, &attributes, &group));
	return group;
}

/* By hand: any packet. */
static struct stoa_datagram *open_bare(void)
{
	struct stoa_datagram_attributes attributes = {
		.size = sizeof(attributes), .interface = "lo"
	};
	struct stoa_datagram *bare;

	assert_ok(stoa_datagram_open(NULL, where, STOA_WRITE, 0, &attributes,
	                             &bare));
	return bare;
}

static struct packet packet_of(uint64_t sequence)
{
	return (struct packet){ .identity = 77,
		                .sequence = sequence,
		                .bytes = 3,
		                .chunk = 100,
		                .topic = "news",
		                .topic_bytes = 4,
		                .data_bytes = 3 };
}

static void put(struct stoa_datagram *bare, struct packet packet)
{
	char bytes[70000] = { 0 };
	size_t header = stoa_packet_write(&packet, bytes);

	memset(bytes + header, 'a', packet.data_bytes);
	assert_ok(stoa_datagram_send(bare, NULL, bytes,
	                             header + packet.data_bytes, STOA_FOREVER));
}

static void hears(struct stoa_group *group, size_t bytes, uint64_t sequence,
                  uint64_t lost)
{
	assert_result(stoa_group_receive(group, buffer, ROOM, STOA_FOREVER,
	                                 &message),
	              bytes);
	assert_int_equal(message.bytes, bytes);
	assert_int_equal(message.sequence, sequence);
	assert_int_equal(message.lost, lost);
}

static void hears_nothing(struct stoa_group *group)
{
	assert_result(stoa_group_receive(group, buffer, ROOM, STOA_NOW,
	                                 &message),
	              -EAGAIN);
}

TEST(messages_of_all_sizes_arrive_whole)
{
	static const size_t sizes[] = { 0,    1,    1359, 1360, 1361, 1362,
		                        2720, 2721, 5000, 65536, 100000 };

	own_network();
	struct stoa_group *in = open_group(STOA_READ, "news");
	struct stoa_group *other = open_group(STOA_READ, "weather");
	struct stoa_group *out = open_group(STOA_WRITE, "news");
	for (size_t i = 0; i < LENGTH(sizes); i++) {
		fill_pattern(data, sizes[i], i);
		assert_ok(stoa_group_publish(out, data, sizes[i],
		                             STOA_FOREVER));
		hears(in, sizes[i], i + 1, 0);
		assert_true(has_pattern(buffer, sizes[i], i));
		hears_nothing(in);
		hears_nothing(other);
	}
	assert_result(stoa_group_publish(out, data, 100001, STOA_FOREVER),
	              -EMSGSIZE);
	assert_result(stoa_group_publish(in, data, 1, STOA_FOREVER), -EBADF);
	assert_result(stoa_group_receive(out, buffer, 1, STOA_NOW, &message),
	              -EBADF);
	assert_result(stoa_group_pollfd(out), -EBADF);
	assert_int_equal(stoa_group_lost(in), 0);
	stoa_group_close(out);
	hears_nothing(in);
	stoa_group_close(other);
	stoa_group_close(in);
	stoa_group_close(NULL);
}

TEST(what_has_no_room_stays)
{
	own_network();
	struct stoa_group *both = open_group(STOA_READ | STOA_WRITE, "news");
	assert_ok(stoa_group_publish(both, data, 5000, STOA_FOREVER));
	for (int i = 0; i < 3; i++) {
		message.bytes = 0;
		assert_result(stoa_group_receive(both, buffer, 4999,
		                                 STOA_FOREVER, &message),
		              -EMSGSIZE);
		assert_int_equal(message.bytes, 5000);
	}
	hears(both, 5000, 1, 0);
	assert_result(stoa_group_receive(both, buffer, ROOM,
	                                 stoa_deadline_in(MS), &message),
	              -ETIMEDOUT);
	stoa_group_close(both);
}

TEST(what_is_lost_is_counted_by_sequence)
{
	struct packet packet;

	own_network();
	struct stoa_group *in = open_group(STOA_READ, "news");
	struct stoa_datagram *bare = open_bare();
	put(bare, packet_of(100)); /* the first that is heard */
	hears(in, 3, 100, 0);
	put(bare, packet_of(101));
	hears(in, 3, 101, 0);
	put(bare, packet_of(105));
	hears(in, 3, 105, 3);
	put(bare, packet_of(104)); /* overtaken: counted already */
	put(bare, packet_of(105)); /* twice */
	put(bare, packet_of(106));
	hears(in, 3, 106, 0);
	/* A message of which a fragment is missing, and one that is whole. */
	packet = packet_of(107);
	packet.bytes = 250;
	packet.data_bytes = 100;
	put(bare, packet);
	packet.offset = 200;
	packet.data_bytes = 50;
	put(bare, packet);
	hears_nothing(in);
	packet.sequence = 108;
	put(bare, packet);
	packet.offset = 100;
	packet.data_bytes = 100;
	put(bare, packet);
	put(bare, packet); /* twice */
	hears_nothing(in);
	packet.offset = 0;
	put(bare, packet);
	hears(in, 250, 108, 1);
	/* The last ones, when the publisher closes. */
	packet = packet_of(111);
	packet.closes = 1;
	packet.bytes = packet.data_bytes = 0;
	put(bare, packet);
	put(bare, packet);
	put(bare, packet_of(111));
	hears(in, 3, 111, 2);
	assert_int_equal(stoa_group_lost(in), 3 + 1 + 2);
	stoa_datagram_close(bare);
	stoa_group_close(in);
}

TEST(a_publisher_that_starts_again_is_another_and_several_are_kept_apart)
{
	own_network();
	struct stoa_group *in = open_group(STOA_READ, "news");
	struct stoa_group *one = open_group(STOA_WRITE, "news");
	struct stoa_group *two = open_group(STOA_WRITE, "news");
	uint64_t publisher[2];
	for (uint64_t i = 1; i <= 20; i++) {
		assert_ok(stoa_group_publish(one, data, 3000, STOA_FOREVER));
		hears(in, 3000, i, 0);
		publisher[0] = message.publisher;
		assert_ok(stoa_group_publish(two, data, 10, STOA_FOREVER));
		hears(in, 10, i, 0);
		publisher[1] = message.publisher;
		assert_true(publisher[0] != publisher[1]);
	}
	stoa_group_close(one);
	one = open_group(STOA_WRITE, "news");
	assert_ok(stoa_group_publish(one, data, 1, STOA_FOREVER));
	hears(in, 1, 1, 0);
	assert_true(message.publisher != publisher[0]);
	/* So is a forked child. */
	struct child child = watch_child(fork());
	if (child.pid == 0)
		_exit(stoa_group_publish(one, data, 2, STOA_FOREVER) != 0);
	publisher[0] = message.publisher;
	end_child(&child);
	hears(in, 2, 1, 0);
	assert_true(message.publisher != publisher[0]);
	assert_ok(stoa_group_publish(one, data, 1, STOA_FOREVER));
	hears(in, 1, 2, 0);
	assert_int_equal(stoa_group_lost(in), 0);
	stoa_group_close(one);
	stoa_group_close(two);
	stoa_group_close(in);
}

TEST(more_publishers_than_are_followed_are_heard_all_the_same)
{
	struct packet packet = packet_of(1);

	own_network();
	struct stoa_group *in = open_group(STOA_READ, "news");
	struct stoa_datagram *bare = open_bare();
	for (uint64_t i = 0; i < 300; i++) {
		packet.identity = 1000 + i;
		put(bare, packet);
		hears(in, 3, 1, 0);
		assert_int_equal(message.publisher, 1000 + i);
	}
	stoa_datagram_close(bare);
	stoa_group_close(in);
}

TEST(packets_that_lie_are_passed_over)
{
	own_network();
	struct stoa_group *in = open_group(STOA_READ, "news");
	struct stoa_datagram *bare = open_bare();
	for (int lie = 0; lie < 13; lie++) {
		struct packet packet = packet_of(5 + (uint64_t)lie);

		switch (lie) {
		case 0: packet.identity = 0; break;
		case 1: packet.sequence = 0; break;
		case 2: packet.bytes = 4; break;
		case 3: packet.bytes = 2; break;
		case 4: packet.bytes = 100001; break;
		case 5: packet.offset = 100; break;
		case 6: packet.offset = UINT32_MAX; break;
		case 7: packet.chunk = 1; packet.bytes = 50000; break;
		case 8: packet.chunk = 2; break;
		case 9: packet.topic = "newt"; break;
		case 10: packet.topic_bytes = 0; break;
		case 11: packet.closes = 1; break;
		case 12: packet.bytes = 1000; packet.offset = 900;
			packet.data_bytes = 101; break;
		}
		put(bare, packet);
		hears_nothing(in);
	}
	assert_ok(stoa_datagram_send(bare, NULL, "", 0, STOA_FOREVER));
	assert_ok(stoa_datagram_send(bare, NULL, "stoG", 4, STOA_FOREVER));
	/* No network loses so many. */
	put(bare, packet_of(1));
	hears(in, 3, 1, 0);
	put(bare, packet_of(UINT64_MAX));
	hears_nothing(in);
	put(bare, packet_of(2));
	hears(in, 3, 2, 0);
	stoa_datagram_close(bare);
	stoa_group_close(in);
}

TEST(packets_of_chance_break_nothing)
{
	uint64_t seed = run_seed();
	char bytes[600];

	own_network();
	struct stoa_group *in = open_group(STOA_READ, "news");
	struct stoa_datagram *bare = open_bare();
	for (int i = 0; i < TRIES; i++) {
		struct packet packet = packet_of(1 + random_below(&seed, 9));

		packet.bytes = (uint32_t)random_below(&seed, 500);
		packet.chunk = (uint32_t)random_below(&seed, 200);
		packet.offset = packet.chunk * (uint32_t)random_below(&seed, 4);
		size_t header = stoa_packet_write(&packet, bytes);
		size_t count = header + random_below(&seed, 250);
		if (random_below(&seed, 4) == 0)
			bytes[random_below(&seed, header)] =
				(char)next_random(&seed);
		assert_ok(stoa_datagram_send(bare, NULL, bytes, count,
		                             STOA_FOREVER));
		ssize_t got = stoa_group_receive(in, buffer, ROOM, STOA_NOW,
		                                 &message);
		assert_true(got == -EAGAIN ||
		            (got >= 0 && (size_t)got == message.bytes));
	}
	struct packet honest = packet_of(1);
	honest.identity = 5555;
	/* What came before may still be on its way. */
	do {
		put(bare, honest);
		honest.sequence++;
		stoa_group_receive(in, buffer, ROOM, stoa_deadline_in(MS),
		                   &message);
	} while (message.publisher != 5555);
	stoa_datagram_close(bare);
	stoa_group_close(in);
}

static void publish_for_ever(void *context)
{
	struct stoa_group *out = open_group(STOA_WRITE, "news");

	(void)context;
	report(0);
	for (;;)
		stoa_group_publish(out, data, 5000, STOA_FOREVER);
}

TEST(publishers_killed_at_any_instant_leave_whole_messages_or_none)
{
	uint64_t seed = run_seed();

	own_network();
	fill_pattern(data, 5000, 9);
	struct stoa_group *in = open_group(STOA_READ, "news");
	for (int round = 0; round < 10; round++) {
		struct child child = start_child(publish_for_ever, NULL);
		struct timespec pause = { 0, (long)random_below(&seed, 5 * MS) };

		await_report(&child);
		nanosleep(&pause, NULL);
		kill_child(&child);
		while (stoa_group_receive(in, buffer, ROOM, STOA_NOW,
		                          &message) >= 0) {
			assert_int_equal(message.bytes, 5000);
			assert_true(has_pattern(buffer, 5000, 9));
		}
	}
	stoa_group_close(in);
}

TEST(what_cannot_be_opened_is_refused)
{
	struct stoa_group_attributes attributes = { .size = 1 };
	struct stoa_group *group = NULL;

	assert_result(stoa_group_open("box", "t", STOA_READ, NULL, &group),
	              -EINVAL);
	assert_result(stoa_group_open("udp:192.0.2.1:5", "t", STOA_READ, NULL,
	                              &group),
	              -EINVAL);
	assert_result(stoa_group_open("udp:239.1.1.1:0", "t", STOA_READ, NULL,
	                              &group),
	              -EINVAL);
	assert_result(stoa_group_open(where, ".t", STOA_READ, NULL, &group),
	              -EINVAL);
	assert_result(stoa_group_open(where, "t", 0, NULL, &group), -EINVAL);
	assert_result(stoa_group_open(where, "t", STOA_CREATE | STOA_READ, NULL,
	                              &group),
	              -EINVAL);
	assert_result(stoa_group_open(where, "t", STOA_READ, &attributes,
	                              &group),
	              -EINVAL);
	attributes = (struct stoa_group_attributes){
		.size = sizeof(attributes),
		.message_bytes = STOA_GROUP_MESSAGE_MAX + 1
	};
	assert_result(stoa_group_open(where, "t", STOA_READ, &attributes,
	                              &group),
	              -EINVAL);
	attributes = (struct stoa_group_attributes){
		.size = sizeof(attributes), .packet_bytes = 511
	};
	assert_result(stoa_group_open(where, "t", STOA_READ, &attributes,
	                              &group),
	              -EINVAL);
	attributes = (struct stoa_group_attributes){
		.size = sizeof(attributes), .interface = "nosuch0"
	};
	assert_result(stoa_group_open(where, "t", STOA_READ, &attributes,
	                              &group),
	              -ENODEV);
	assert_null(group);
}

/* ---- Between hosts --------------------------------------------------------------- */

static const size_t far_sizes[] = { 0, 1, 1361, 5000, 65536, 100000 };

static struct stoa_group *open_on(const char *interface, unsigned flags)
{
	struct stoa_group_attributes attributes = {
		.size = sizeof(attributes),
		.interface = interface,
		.message_bytes = 100000,
		.room_bytes = 1 << 20,
	};
	struct stoa_group *group;

	assert_ok(stoa_group_open(where, "news", flags, &attributes, &group));
	return group;
}

/* At the other end of the cable: hears all, and then what it is told that it
 * has lost; tells of each. */
static void hear_from_far(void *context)
{
	struct stoa_group *group;

	(void)context;
	be_host();
	group = open_on("far", STOA_READ);
	report(0);
	for (size_t i = 0; i < LENGTH(far_sizes); i++) {
		hears(group, far_sizes[i], i + 1, 0);
		assert_true(has_pattern(buffer, far_sizes[i], i));
		report((int64_t)i);
	}
	hears(group, 3, 100, 0); /* another publisher's, from in between */
	report(0);
	hears(group, 3, 103, 2);
	assert_int_equal(stoa_group_lost(group), 2);
	stoa_group_close(group);
}

TEST(messages_reach_another_host_whole_and_losses_are_counted_there)
{
	struct stoa_datagram_attributes attributes = {
		.size = sizeof(attributes), .interface = "near"
	};
	struct child child = start_host(hear_from_far);
	struct stoa_group *group = open_on("near", STOA_WRITE);
	struct stoa_datagram *bare;

	for (size_t i = 0; i < LENGTH(far_sizes); i++) {
		fill_pattern(data, far_sizes[i], i);
		assert_ok(stoa_group_publish(group, data, far_sizes[i],
		                             STOA_FOREVER));
		assert_int_equal(await_report(&child), i);
	}
	assert_ok(stoa_datagram_open(NULL, where, STOA_WRITE, 0, &attributes,
	                             &bare));
	put(bare, packet_of(100));
	await_report(&child);
	put(bare, packet_of(103));
	end_child(&child);
	stoa_datagram_close(bare);
	stoa_group_close(group);
}

static const struct CMUnitTest cases[] = {
	CASE(messages_reach_another_host_whole_and_losses_are_counted_there),
	CASE(messages_of_all_sizes_arrive_whole),
	CASE(what_has_no_room_stays),
	CASE(what_is_lost_is_counted_by_sequence),
	CASE(a_publisher_that_starts_again_is_another_and_several_are_kept_apart),
	CASE(more_publishers_than_are_followed_are_heard_all_the_same),
	CASE(packets_that_lie_are_passed_over),
	CASE(packets_of_chance_break_nothing),
	CASE(publishers_killed_at_any_instant_leave_whole_messages_or_none),
	CASE(what_cannot_be_opened_is_refused),
};

MAIN(cases)
