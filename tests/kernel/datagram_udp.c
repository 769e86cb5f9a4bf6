/* SPDX-License-Identifier: MIT */
/* UDP to one, to all, and to groups, in networks of the test's own: two hosts
 * with a cable between them. */
#include "network.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/wait.h>

enum { ROOM = 70000, PORT = 5000 };

static char buffer[ROOM], data[ROOM];
static struct stoa_datagram_message message;

static struct stoa_datagram *open_udp(const char *address, unsigned flags,
                                      const struct stoa_datagram_attributes *how)
{
	struct stoa_datagram *datagram;

	assert_ok(stoa_datagram_open(NULL, address, flags, 0, how, &datagram));
	return datagram;
}

static struct stoa_datagram_address own_of(struct stoa_datagram *datagram)
{
	struct stoa_datagram_address address;

	assert_ok(stoa_datagram_own_address(datagram, &address));
	return address;
}

static struct stoa_datagram_address parsed(const char *text)
{
	struct stoa_datagram_address address;

	assert_ok(stoa_datagram_parse(text, &address));
	return address;
}

static void put_text(struct stoa_datagram *datagram,
                      const struct stoa_datagram_address *to, const char *text)
{
	assert_ok(stoa_datagram_send(datagram, to, text, strlen(text),
	                             STOA_FOREVER));
}

static void hears(struct stoa_datagram *datagram, const char *text)
{
	assert_result(stoa_datagram_receive(datagram, buffer, ROOM,
	                                    STOA_FOREVER, &message),
	              strlen(text));
	assert_memory_equal(buffer, text, strlen(text));
}

static void hears_nothing(struct stoa_datagram *datagram)
{
	assert_result(stoa_datagram_receive(datagram, buffer, ROOM, STOA_NOW,
	                                    &message),
	              -EAGAIN);
}

TEST(addresses_are_read_and_written)
{
	static const char *const good[] = {
		"box", "a.b_c-d", "udp:192.0.2.1:5000", "udp:*:0",
		"udp:[2001:db8::1]:65535", "udp:[*]:1", "udp:239.1.2.3:7",
		"udp:[::1]:1", "udp:255.255.255.255:9",
	};
	static const char *const bad[] = {
		"", ".box", "a b", "udp:", "udp:1.2.3.4", "udp:1.2.3.4:",
		"udp:1.2.3.4:65536", "udp:1.2.3.4:+1", "udp:1.2.3:1",
		"udp:host.example:1", "udp:[::1]", "udp:[::1]1", "udp:[]:1",
		"udp:[::1:1", "udp:::1:1", "udp:1.2.3.4:1x", "udp:1.2.3.4: 1",
		"udp:1.2.3.4:00001x", "udp:*:", "udp:[1.2.3.4]:1",
		"udp:[fe80::1%]:x",
	};
	char text[STOA_DATAGRAM_TEXT_MAX];
	struct stoa_datagram_address address;

	for (size_t i = 0; i < LENGTH(good); i++) {
		address = parsed(good[i]);
		assert_string_equal(stoa_datagram_print(&address, text),
		                    good[i]);
		assert_int_equal(stoa_datagram_is_group(&address),
		                 strcmp(good[i], "udp:239.1.2.3:7") == 0);
	}
	for (size_t i = 0; i < LENGTH(bad); i++) {
		memset(&address, 0x55, sizeof(address));
		if (stoa_datagram_parse(bad[i], &address) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(address.kind, 0x5555);
		assert_sentence("is no address");
	}
	assert_result(stoa_datagram_parse(NULL, &address), -EINVAL);
	assert_result(stoa_datagram_parse("udp:[fe80::1%nosuch0]:1", &address),
	              -ENODEV);
	address = parsed("udp:[ff02::1]:1");
	assert_int_equal(stoa_datagram_is_group(&address), 1);
	address = (struct stoa_datagram_address){ 0 };
	assert_string_equal(stoa_datagram_print(&address, text), "-");
}

static void pass_udp(const char *any, const char *host, size_t most)
{
	char where[64];
	struct stoa_datagram *server = open_udp(any, STOA_READ, NULL);

	snprintf(where, sizeof(where), "udp:%s:%u", host, own_of(server).port);
	struct stoa_datagram *client = open_udp(where, STOA_WRITE, NULL);
	put_text(client, NULL, "question");
	hears(server, "question");
	assert_int_equal(message.from.port, own_of(client).port);
	assert_int_equal(message.has_sender, 0);
	assert_true(message.interface > 0);
	put_text(server, &message.from, "answer");
	hears(client, "answer");
	/* An empty one, the largest, one more, and one that doesn't fit. */
	assert_ok(stoa_datagram_send(client, NULL, NULL, 0, STOA_FOREVER));
	assert_result(stoa_datagram_receive(server, buffer, ROOM, STOA_FOREVER,
	                                    &message),
	              0);
	fill_pattern(data, most, 5);
	assert_ok(stoa_datagram_send(client, NULL, data, most, STOA_FOREVER));
	assert_result(stoa_datagram_send(client, NULL, data, most + 1,
	                                 STOA_FOREVER),
	              -EMSGSIZE);
	assert_result(stoa_datagram_receive(server, buffer, most - 1,
	                                    STOA_FOREVER, &message),
	              -EMSGSIZE);
	assert_int_equal(message.bytes, most);
	assert_result(stoa_datagram_receive(server, buffer, most, STOA_FOREVER,
	                                    &message),
	              most);
	assert_true(has_pattern(buffer, most, 5));
	hears_nothing(server);
	stoa_datagram_close(server);
	/* Nobody listens any more: the kernel tells who is connected. */
	assert_ok(stoa_datagram_send(client, NULL, "x", 1, STOA_FOREVER));
	assert_result(stoa_datagram_receive(client, buffer, ROOM, STOA_FOREVER,
	                                    &message),
	              -ECONNREFUSED);
	stoa_datagram_close(client);
}

TEST(udp_passes_datagrams_of_all_sizes_and_refuses_larger_ones)
{
	own_network();
	pass_udp("udp:*:0", "127.0.0.1", STOA_DATAGRAM_UDP_MAX);
}

TEST(udp_over_ipv6_too)
{
	skip_without_six();
	own_network();
	pass_udp("udp:[*]:0", "[::1]", 65527);
}

TEST(ports_that_are_taken_and_addresses_of_others_are_refused)
{
	struct stoa_datagram_attributes attributes = {
		.size = sizeof(attributes), .interface = "nosuch0"
	};
	struct stoa_datagram *other = NULL;
	char text[64];

	own_network();
	struct stoa_datagram *server = open_udp("udp:127.0.0.1:0", STOA_READ,
	                                        NULL);
	snprintf(text, sizeof(text), "udp:127.0.0.1:%u", own_of(server).port);
	assert_result(stoa_datagram_open(NULL, text, STOA_READ, 0, NULL,
	                                 &other),
	              -EADDRINUSE);
	assert_result(stoa_datagram_open(NULL, "udp:192.0.2.1:0", STOA_READ, 0,
	                                 NULL, &other),
	              -EADDRNOTAVAIL);
	assert_result(stoa_datagram_open(NULL, "udp:127.0.0.1:0", STOA_WRITE, 0,
	                                 NULL, &other),
	              -EINVAL);
	assert_result(stoa_datagram_open(NULL, "udp:239.1.1.1:1", STOA_READ, 0,
	                                 &attributes, &other),
	              -ENODEV);
	attributes = (struct stoa_datagram_attributes){
		.size = sizeof(attributes), .ttl = 256
	};
	assert_result(stoa_datagram_open(NULL, "udp:239.1.1.1:1", STOA_READ, 0,
	                                 &attributes, &other),
	              -EINVAL);
	struct stoa_datagram_address six = parsed("udp:[::1]:1");
	assert_result(stoa_datagram_send(server, &six, "x", 1, STOA_NOW),
	              -EAFNOSUPPORT);
	assert_result(stoa_datagram_join(server, &six, NULL), -EINVAL);
	six = parsed("udp:[ff05::1]:1");
	assert_result(stoa_datagram_join(server, &six, NULL), -EAFNOSUPPORT);
	assert_null(other);
	stoa_datagram_close(server);
}

/* ---- Two hosts ----------------------------------------------------------------- */

static const char group[] = "udp:239.7.7.7:5000";

static struct stoa_datagram_attributes on(const char *interface)
{
	return (struct stoa_datagram_attributes){
		.size = sizeof(struct stoa_datagram_attributes),
		.interface = interface
	};
}

static void answer_group(void *context)
{
	struct stoa_datagram_attributes there = on("far");

	(void)context;
	be_host();
	struct stoa_datagram *member = open_udp(group, STOA_READ, &there);
	struct stoa_datagram *again = open_udp(group, STOA_READ, &there);
	struct stoa_datagram *stranger = open_udp("udp:239.7.7.8:5000",
	                                          STOA_READ, &there);
	struct stoa_datagram *all = open_udp("udp:*:5001", STOA_READ, &there);
	report(0);
	hears(member, "to the group");
	struct stoa_datagram_address sender = message.from;
	assert_int_equal(message.to.host[0], 239);
	assert_int_equal(message.interface, if_nametoindex("far"));
	hears(again, "to the group");
	hears_nothing(stranger);
	/* One that isn't a member of anything gets nothing of groups, though
	 * others here are. */
	put_text(member, &sender, "heard");
	hears(all, "to all");
	assert_int_equal(message.to.host[3], 255);
	struct stoa_datagram_address other = parsed("udp:239.7.7.9:5001");
	assert_ok(stoa_datagram_join(all, &other, NULL));
	assert_result(stoa_datagram_join(all, &other, NULL), -EALREADY);
	put_text(member, &sender, "joined");
	hears(all, "to another");
	assert_ok(stoa_datagram_leave(all, &other, NULL));
	assert_result(stoa_datagram_leave(all, &other, "far"), -ENOENT);
	put_text(member, &sender, "left");
	hears(all, "straight");
	stoa_datagram_close(all);
	stoa_datagram_close(stranger);
	stoa_datagram_close(again);
	stoa_datagram_close(member);
}

TEST(groups_and_broadcasts_reach_another_host)
{
	struct stoa_datagram_attributes here = on("near");
	struct child child = start_host(answer_group);
	struct stoa_datagram_address to = parsed(group);

	struct stoa_datagram *near = open_udp("udp:10.9.8.1:0", STOA_READ,
	                                      &here);
	put_text(near, &to, "to the group");
	hears(near, "heard");
	assert_int_equal(message.from.host[3], 2);
	/* Not a member here, so nothing came back. */
	to = parsed("udp:10.9.8.255:5001");
	assert_result(stoa_datagram_send(near, &to, "x", 1, STOA_NOW), -EACCES);
	here.broadcast = 1;
	struct stoa_datagram *loud = open_udp("udp:10.9.8.255:5001", STOA_WRITE,
	                                      &here);
	put_text(loud, NULL, "to all");
	hears(near, "joined");
	to = parsed("udp:239.7.7.9:5001");
	put_text(near, &to, "to another");
	hears(near, "left");
	put_text(near, &to, "to nobody");
	to = parsed("udp:10.9.8.2:5001");
	put_text(near, &to, "straight");
	end_child(&child);
	stoa_datagram_close(loud);
	stoa_datagram_close(near);
}

TEST(what_is_sent_to_a_group_comes_back_to_members_here_unless_asked_not_to)
{
	struct stoa_datagram_attributes here = on("lo");

	own_network();
	struct stoa_datagram *member = open_udp(group, STOA_READ, &here);
	struct stoa_datagram *other = open_udp("udp:239.7.7.8:5000", STOA_READ,
	                                       &here);
	struct stoa_datagram *sender = open_udp(group, STOA_WRITE, &here);
	put_text(sender, NULL, "looped");
	hears(member, "looped");
	hears_nothing(member);
	hears_nothing(other);
	stoa_datagram_close(sender);
	stoa_datagram_close(other);
	stoa_datagram_close(member);
}

static void hear_six(void *context)
{
	struct stoa_datagram_attributes there = on("far");

	(void)context;
	be_host();
	ip("addr add fd00:9:8::2/64 dev far nodad");
	struct stoa_datagram *member = open_udp("udp:[ff15::7]:5000", STOA_READ,
	                                        &there);
	report(0);
	hears(member, "six to the group");
	struct stoa_datagram_address sender = message.from;
	assert_int_equal(message.to.host[0], 0xff);
	put_text(member, &sender, "six heard");
	stoa_datagram_close(member);
}

TEST(groups_of_ipv6_reach_another_host)
{
	struct stoa_datagram_attributes here = on("near");

	skip_without_six();
	struct child child = start_host(hear_six);
	ip("addr add fd00:9:8::1/64 dev near nodad");
	here.ttl = 2;
	struct stoa_datagram *near = open_udp("udp:[fd00:9:8::1]:0", STOA_READ,
	                                      &here);
	struct stoa_datagram_address to = parsed("udp:[ff15::7]:5000");
	put_text(near, &to, "six to the group");
	hears(near, "six heard");
	end_child(&child);
	stoa_datagram_close(near);
}

static const struct CMUnitTest cases[] = {
	CASE(addresses_are_read_and_written),
	CASE(udp_passes_datagrams_of_all_sizes_and_refuses_larger_ones),
	CASE(udp_over_ipv6_too),
	CASE(ports_that_are_taken_and_addresses_of_others_are_refused),
	CASE(groups_and_broadcasts_reach_another_host),
	CASE(what_is_sent_to_a_group_comes_back_to_members_here_unless_asked_not_to),
	CASE(groups_of_ipv6_reach_another_host),
};

MAIN(cases)
