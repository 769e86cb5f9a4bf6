/* SPDX-License-Identifier: MIT */
/* Datagrams by name in a space: whole, in order, with their sender; never cut;
 * a full receiver makes senders wait. */
#include "descriptor.h"

#include <poll.h>
#include <signal.h>

enum { ROOM = 200000, MANY = 2000 };

static struct stoa_space *space;
static char buffer[ROOM], data[ROOM];

static struct stoa_datagram *receive_as(const char *name)
{
	struct stoa_datagram *datagram;

	assert_ok(stoa_datagram_open(space, name, STOA_READ, 0600, NULL,
	                             &datagram));
	return datagram;
}

static struct stoa_datagram *send_to(const char *name)
{
	struct stoa_datagram *datagram;

	assert_ok(stoa_datagram_open(space, name, STOA_WRITE, 0, NULL,
	                             &datagram));
	return datagram;
}

static struct stoa_datagram_address named(const char *name)
{
	struct stoa_datagram_address address;

	assert_ok(stoa_datagram_parse(name, &address));
	return address;
}

TEST(a_datagram_arrives_with_its_sender_and_can_be_answered)
{
	struct stoa_datagram_message message;
	struct stoa_datagram_address to;

	space = open_space();
	struct stoa_datagram *server = receive_as("server");
	struct stoa_datagram *client = receive_as("client");
	to = named("server");
	assert_ok(stoa_datagram_send(client, &to, "question", 8, STOA_NOW));
	assert_result(stoa_datagram_receive(server, buffer, ROOM, STOA_NOW,
	                                    &message),
	              8);
	assert_memory_equal(buffer, "question", 8);
	assert_int_equal(message.bytes, 8);
	assert_int_equal(message.has_sender, 1);
	assert_int_equal(message.pid, getpid());
	assert_int_equal(message.uid, getuid());
	assert_int_equal(message.from.kind, STOA_DATAGRAM_NAME);
	assert_string_equal(message.from.name, "client");
	assert_ok(stoa_datagram_send(server, &message.from, "answer", 6,
	                             STOA_NOW));
	assert_result(stoa_datagram_receive(client, buffer, ROOM, STOA_NOW,
	                                    &message),
	              6);
	assert_string_equal(message.from.name, "server");
	stoa_datagram_close(client);
	stoa_datagram_close(server);
	stoa_space_close(space);
}

TEST(senders_without_a_name_and_with_a_long_one_are_known_by_the_kernel)
{
	struct stoa_datagram_message message;
	struct stoa_datagram_address own;
	char name[STOA_NAME_MAX + 1];

	space = open_space();
	memset(name, 'n', STOA_NAME_MAX);
	name[STOA_NAME_MAX] = 0;
	struct stoa_datagram *server = receive_as(name);
	struct stoa_datagram *client = send_to(name);
	struct stoa_datagram *nowhere = send_to(NULL);
	assert_ok(stoa_datagram_send(client, NULL, "", 0, STOA_NOW));
	assert_result(stoa_datagram_receive(server, NULL, 0, STOA_NOW,
	                                    &message),
	              0);
	assert_int_equal(message.from.kind, STOA_DATAGRAM_NONE);
	assert_int_equal(message.pid, getpid());
	own = named(name);
	assert_ok(stoa_datagram_send(server, &own, "self", 4, STOA_NOW));
	assert_result(stoa_datagram_receive(server, buffer, 4, STOA_NOW,
	                                    &message),
	              4);
	assert_int_equal(message.from.kind, STOA_DATAGRAM_NONE);
	assert_ok(stoa_datagram_own_address(server, &own));
	assert_string_equal(own.name, name);
	assert_result(stoa_datagram_send(nowhere, NULL, "x", 1, STOA_NOW),
	              -EDESTADDRREQ);
	assert_result(stoa_datagram_receive(client, buffer, 1, STOA_NOW, NULL),
	              -EBADF);
	stoa_datagram_close(nowhere);
	stoa_datagram_close(client);
	stoa_datagram_close(server);
	stoa_space_close(space);
}

TEST(what_does_not_fit_is_told_and_stays)
{
	struct stoa_datagram_message message;

	space = open_space();
	struct stoa_datagram *server = receive_as("box");
	struct stoa_datagram *client = send_to("box");
	fill_pattern(data, 10000, 1);
	assert_ok(stoa_datagram_send(client, NULL, data, 10000, STOA_NOW));
	assert_ok(stoa_datagram_send(client, NULL, "next", 4, STOA_NOW));
	for (int i = 0; i < 3; i++) {
		message.bytes = 0;
		assert_result(stoa_datagram_receive(server, buffer,
		                                    (size_t)(9999 * (i / 2)),
		                                    STOA_FOREVER, &message),
		              -EMSGSIZE);
		assert_int_equal(message.bytes, 10000);
		assert_sentence("10000 bytes");
	}
	assert_result(stoa_datagram_receive(server, buffer, 10000, STOA_NOW,
	                                    &message),
	              10000);
	assert_true(has_pattern(buffer, 10000, 1));
	assert_result(stoa_datagram_receive(server, buffer, 4, STOA_NOW, NULL),
	              4);
	assert_result(stoa_datagram_receive(server, buffer, 4, STOA_NOW, NULL),
	              -EAGAIN);
	assert_result(stoa_datagram_receive(server, buffer, 4,
	                                    stoa_deadline_in(MS), NULL),
	              -ETIMEDOUT);
	/* More than a socket sends at once. */
	static char huge[8 << 20];
	assert_result(stoa_datagram_send(client, NULL, huge, sizeof(huge),
	                                 STOA_FOREVER),
	              -EMSGSIZE);
	assert_sentence("too many for one");
	stoa_datagram_close(client);
	stoa_datagram_close(server);
	stoa_space_close(space);
}

static void send_many(void *context)
{
	struct stoa_datagram *client = send_to("box");

	(void)context;
	for (int i = 0; i < MANY; i++)
		assert_ok(stoa_datagram_send(client, NULL, &i, sizeof(i),
		                             STOA_FOREVER));
	stoa_datagram_close(client);
}

TEST(a_full_receiver_makes_senders_wait_and_loses_nothing)
{
	int next[2] = { 0, 0 }, number, result;
	struct stoa_datagram_message message;

	space = open_space();
	struct stoa_datagram *server = receive_as("box");
	struct stoa_datagram *client = send_to("box");
	int sent = 0;
	while ((result = stoa_datagram_send(client, NULL, "x", 1, STOA_NOW)) ==
	       0)
		sent++;
	assert_int_equal(result, -EAGAIN);
	assert_true(sent > 0);
	assert_result(stoa_datagram_send(client, NULL, "x", 1,
	                                 stoa_deadline_in(2 * MS)),
	              -ETIMEDOUT);
	for (; sent > 0; sent--)
		assert_result(stoa_datagram_receive(server, buffer, 1, STOA_NOW,
		                                    NULL),
		              1);
	struct child one = start_child(send_many, NULL);
	struct child two = start_child(send_many, NULL);
	for (int i = 0; i < 2 * MANY; i++) {
		assert_result(stoa_datagram_receive(server, &number,
		                                    sizeof(number),
		                                    STOA_FOREVER, &message),
		              sizeof(number));
		assert_true(message.pid == one.pid || message.pid == two.pid);
		int who = message.pid == two.pid;
		assert_int_equal(number, next[who]);
		next[who]++;
	}
	end_child(&one);
	end_child(&two);
	stoa_datagram_close(client);
	stoa_datagram_close(server);
	stoa_space_close(space);
}

static void fill_and_wait(void *context)
{
	struct stoa_datagram *client = send_to("box");
	int result;

	(void)context;
	do
		result = stoa_datagram_send(client, NULL, "x", 1, STOA_NOW);
	while (result == 0);
	report(0);
	result = stoa_datagram_send(client, NULL, "x", 1,
	                            stoa_deadline_in(600 * SECOND));
	assert_int_equal(result, -ECONNREFUSED);
	stoa_datagram_close(client);
}

static void receive_nothing(void *context)
{
	struct stoa_datagram *server = receive_as("box");

	(void)context;
	report(0);
	await_order();
	stoa_datagram_close(server);
}

TEST(a_receiver_that_is_killed_wakes_who_waits_for_it)
{
	space = open_space();
	struct child server = start_child(receive_nothing, NULL);
	await_report(&server);
	struct child client = start_child(fill_and_wait, NULL);
	await_report(&client);
	until_blocked(client.pid);
	kill_child(&server);
	end_child(&client);
	struct stoa_datagram *late = send_to("box");
	assert_result(stoa_datagram_send(late, NULL, "x", 1, STOA_FOREVER),
	              -ECONNREFUSED);
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 1);
	assert_result(stoa_datagram_send(late, NULL, "x", 1, STOA_FOREVER),
	              -ENOENT);
	/* A name is looked for anew each time: a new receiver is found. */
	struct stoa_datagram *again = receive_as("box");
	assert_ok(stoa_datagram_send(late, NULL, "x", 1, STOA_FOREVER));
	assert_result(stoa_datagram_receive(again, buffer, 1, STOA_NOW, NULL),
	              1);
	stoa_datagram_close(again);
	stoa_datagram_close(late);
	stoa_space_close(space);
}

TEST(descriptors_that_come_unasked_are_never_opened)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int files[20], fd;

	space = open_space();
	struct stoa_datagram *server = receive_as("box");
	number_files(files, 20, 0);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, case_path("box.datagram/socket"));
	assert_system(connect(fd, (void *)&address, sizeof(address)));
	int before = count_descriptors();
	send_bare(fd, "hello", 5, files, 20);
	assert_result(stoa_datagram_receive(server, buffer, 4, STOA_NOW, NULL),
	              -EMSGSIZE);
	assert_result(stoa_datagram_receive(server, buffer, 5, STOA_NOW, NULL),
	              5);
	assert_int_equal(count_descriptors(), before);
	close(fd);
	close_files(files, 20);
	stoa_datagram_close(server);
	stoa_space_close(space);
}

TEST(names_are_one_receivers_and_listed)
{
	struct stoa_datagram *other = NULL;
	struct stoa_object_info info;
	struct pollfd ready;

	space = open_space();
	struct stoa_datagram *server = receive_as("box");
	assert_result(stoa_datagram_open(space, "box", STOA_READ, 0600, NULL,
	                                 &other),
	              -EADDRINUSE);
	assert_ok(stoa_space_find(space, "box", &info));
	assert_string_equal(info.kind, "datagram");
	assert_int_equal(info.users, 1);
	ready = (struct pollfd){ stoa_datagram_pollfd(server), POLLIN, 0 };
	assert_int_equal(poll(&ready, 1, 0), 0);
	struct stoa_datagram *client = send_to("box");
	assert_ok(stoa_datagram_send(client, NULL, "", 0, STOA_NOW));
	assert_int_equal(poll(&ready, 1, 0), 1);
	assert_result(stoa_datagram_receive(server, NULL, 0, STOA_NOW, NULL),
	              0);
	assert_int_equal(poll(&ready, 1, 0), 0);
	stoa_datagram_close(client);
	stoa_datagram_close(server);
	assert_result(stoa_space_find(space, "box", &info), -ENOENT);
	stoa_space_close(space);
}

static void on_signal(int number)
{
	(void)number;
}

static void receive_interruptibly(void *context)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct stoa_datagram *server;

	(void)context;
	assert_system(sigaction(SIGUSR1, &action, NULL));
	assert_ok(stoa_datagram_open(space, "box",
	                             STOA_READ | STOA_INTERRUPTIBLE, 0600, NULL,
	                             &server));
	assert_result(stoa_datagram_receive(server, buffer, 1, STOA_FOREVER,
	                                    NULL),
	              -EINTR);
	stoa_datagram_close(server);
	report(0);
}

TEST(a_signal_ends_an_interruptible_wait)
{
	space = open_space();
	struct child child = start_child(receive_interruptibly, NULL);
	signal_until_report(&child, SIGUSR1);
	end_child(&child);
	stoa_space_close(space);
}

TEST(what_cannot_be_opened_is_refused)
{
	struct stoa_datagram_attributes attributes = { .size = 1 };
	struct stoa_datagram *datagram = NULL;

	space = open_space();
	assert_result(stoa_datagram_open(space, NULL, STOA_READ, 0, NULL,
	                                 &datagram),
	              -EINVAL);
	assert_result(stoa_datagram_open(NULL, "box", STOA_READ, 0, NULL,
	                                 &datagram),
	              -EINVAL);
	assert_result(stoa_datagram_open(space, "box", 0, 0, NULL, &datagram),
	              -EINVAL);
	assert_result(stoa_datagram_open(space, "box", STOA_READ | STOA_CREATE,
	                                 0, NULL, &datagram),
	              -EINVAL);
	assert_result(stoa_datagram_open(space, ".box", STOA_READ, 0, NULL,
	                                 &datagram),
	              -EINVAL);
	assert_result(stoa_datagram_open(space, "box", STOA_READ, 0,
	                                 &attributes, &datagram),
	              -EINVAL);
	assert_null(datagram);
	stoa_datagram_close(NULL);
	stoa_space_close(space);
}

/* ---- Packets --------------------------------------------------------------------- */

static void echo(void *context)
{
	struct stoa_datagram *packets;
	ssize_t got;

	(void)context;
	assert_ok(stoa_datagram_connect(space, "desk", 0, STOA_FOREVER,
	                                &packets));
	while ((got = stoa_datagram_receive(packets, buffer, ROOM, STOA_FOREVER,
	                                    NULL)) >= 0)
		assert_ok(stoa_datagram_send(packets, NULL, buffer, (size_t)got,
		                             STOA_FOREVER));
	assert_int_equal(got, -EPIPE);
	assert_result(stoa_datagram_send(packets, NULL, "x", 1, STOA_FOREVER),
	              -EPIPE);
	stoa_datagram_close(packets);
}

TEST(packets_are_whole_and_in_order_over_a_connection)
{
	struct stoa_datagram *listener, *packets = NULL;
	struct stoa_datagram_message message;
	struct stoa_object_info info;

	space = open_space();
	assert_ok(stoa_datagram_listen(space, "desk", 0, 0600, &listener));
	assert_ok(stoa_space_find(space, "desk", &info));
	assert_string_equal(info.kind, "packet");
	assert_result(stoa_datagram_accept(listener, STOA_NOW, &packets),
	              -EAGAIN);
	assert_result(stoa_datagram_accept(listener, stoa_deadline_in(MS),
	                                   &packets),
	              -ETIMEDOUT);
	assert_result(stoa_datagram_receive(listener, buffer, 1, STOA_NOW,
	                                    NULL),
	              -EBADF);
	struct child child = start_child(echo, NULL);
	assert_ok(stoa_datagram_accept(listener, STOA_FOREVER, &packets));
	for (size_t bytes = 0; bytes < 100000; bytes = bytes * 3 + 1) {
		fill_pattern(data, bytes, bytes);
		assert_ok(stoa_datagram_send(packets, NULL, data, bytes,
		                             STOA_FOREVER));
		if (bytes > 0)
			assert_result(stoa_datagram_receive(
					      packets, buffer, bytes - 1,
					      STOA_FOREVER, &message),
			              -EMSGSIZE);
		assert_result(stoa_datagram_receive(packets, buffer, bytes,
		                                    STOA_FOREVER, &message),
		              bytes);
		assert_true(has_pattern(buffer, bytes, bytes));
		assert_int_equal(message.pid, child.pid);
	}
	struct stoa_datagram_address to = named("elsewhere");
	assert_result(stoa_datagram_send(packets, &to, "x", 1, STOA_NOW),
	              -EINVAL);
	assert_result(stoa_datagram_accept(packets, STOA_NOW, &packets),
	              -EINVAL);
	stoa_datagram_close(packets);
	end_child(&child);
	stoa_datagram_close(listener);
	assert_result(stoa_datagram_connect(space, "desk", 0, STOA_NOW,
	                                    &packets),
	              -ENOENT);
	stoa_space_close(space);
}

static void connect_and_die(void *context)
{
	struct stoa_datagram *packets;

	(void)context;
	assert_ok(stoa_datagram_connect(space, "desk", 0, STOA_FOREVER,
	                                &packets));
	for (int i = 0; i < 5; i++)
		assert_ok(stoa_datagram_send(packets, NULL, &i, sizeof(i),
		                             STOA_FOREVER));
	report(0);
	await_order();
	stoa_datagram_close(packets);
}

TEST(what_a_killed_sender_had_sent_is_received_and_then_the_end)
{
	struct stoa_datagram *listener, *packets;
	int number;

	space = open_space();
	assert_ok(stoa_datagram_listen(space, "desk", 0, 0600, &listener));
	struct child child = start_child(connect_and_die, NULL);
	assert_ok(stoa_datagram_accept(listener, STOA_FOREVER, &packets));
	/* Unread at the one who dies. */
	assert_ok(stoa_datagram_send(packets, NULL, "x", 1, STOA_FOREVER));
	await_report(&child);
	kill_child(&child);
	for (int i = 0; i < 5; i++) {
		assert_result(stoa_datagram_receive(packets, &number,
		                                    sizeof(number),
		                                    STOA_FOREVER, NULL),
		              sizeof(number));
		assert_int_equal(number, i);
	}
	assert_result(stoa_datagram_receive(packets, &number, sizeof(number),
	                                    STOA_FOREVER, NULL),
	              -EPIPE);
	stoa_datagram_close(packets);
	stoa_datagram_close(listener);
	stoa_space_close(space);
}

/* ---- Who isn't there yet ------------------------------------------------------------ */

static void send_awaiting(void *context)
{
	struct stoa_datagram *datagram;

	assert_ok(stoa_datagram_open(space, NULL, STOA_WRITE | STOA_AWAIT, 0,
	                             NULL, &datagram));
	struct stoa_datagram_address to = named(context);
	assert_ok(stoa_datagram_send(datagram, &to, "hello", 5, STOA_FOREVER));
	stoa_datagram_close(datagram);
}

static void send_to_one_who_comes(const char *name)
{
	struct stoa_datagram *server;
	struct child child = start_child(send_awaiting, (void *)name);

	until_blocked(child.pid);
	server = receive_as(name);
	assert_result(stoa_datagram_receive(server, buffer, ROOM, STOA_FOREVER,
	                                    NULL),
	              5);
	end_child(&child);
	stoa_datagram_close(server);
}

static void receive_and_die(void *context)
{
	receive_as(context);
	report(0);
	await_order();
}

TEST(a_send_that_awaits_sleeps_until_somebody_receives_there)
{
	struct stoa_datagram *late;
	char name[STOA_NAME_MAX + 1];

	space = open_space();
	assert_ok(stoa_datagram_open(space, "box", STOA_WRITE | STOA_AWAIT, 0,
	                             NULL, &late));
	assert_result(stoa_datagram_send(late, NULL, "x", 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_datagram_send(late, NULL, "x", 1,
	                                 stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	stoa_datagram_close(late);
	send_to_one_who_comes("box");
	memset(name, 'n', STOA_NAME_MAX);
	name[STOA_NAME_MAX] = 0;
	send_to_one_who_comes(name);
	struct child dead = start_child(receive_and_die, "box");
	await_report(&dead);
	kill_child(&dead);
	send_to_one_who_comes("box");
	stoa_space_close(space);
}

static void connect_awaiting(void *context)
{
	struct stoa_datagram *packets;

	(void)context;
	assert_ok(stoa_datagram_connect(space, "desk", STOA_AWAIT, STOA_FOREVER,
	                                &packets));
	stoa_datagram_close(packets);
}

TEST(a_connection_that_awaits_sleeps_until_somebody_listens)
{
	struct stoa_datagram *listener, *packets = NULL;

	space = open_space();
	assert_result(stoa_datagram_connect(space, "desk", STOA_AWAIT,
	                                    stoa_deadline_in(MS), &packets),
	              -ETIMEDOUT);
	assert_null(packets);
	struct child child = start_child(connect_awaiting, NULL);
	until_blocked(child.pid);
	assert_ok(stoa_datagram_listen(space, "desk", 0, 0600, &listener));
	assert_ok(stoa_datagram_accept(listener, STOA_FOREVER, &packets));
	end_child(&child);
	stoa_datagram_close(packets);
	stoa_datagram_close(listener);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_send_that_awaits_sleeps_until_somebody_receives_there),
	CASE(a_connection_that_awaits_sleeps_until_somebody_listens),
	CASE(a_datagram_arrives_with_its_sender_and_can_be_answered),
	CASE(senders_without_a_name_and_with_a_long_one_are_known_by_the_kernel),
	CASE(what_does_not_fit_is_told_and_stays),
	CASE(a_full_receiver_makes_senders_wait_and_loses_nothing),
	CASE(a_receiver_that_is_killed_wakes_who_waits_for_it),
	CASE(descriptors_that_come_unasked_are_never_opened),
	CASE(names_are_one_receivers_and_listed),
	CASE(a_signal_ends_an_interruptible_wait),
	CASE(what_cannot_be_opened_is_refused),
	CASE(packets_are_whole_and_in_order_over_a_connection),
	CASE(what_a_killed_sender_had_sent_is_received_and_then_the_end),
};

MAIN(cases)
