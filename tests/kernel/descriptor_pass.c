/* SPDX-License-Identifier: MIT */
/* Messages of descriptors over a pair of sockets: any number of them, with any
 * payload, whole or not at all. */
#include "descriptor.h"

#include <poll.h>
#include <signal.h>

enum { MANY = 2000, LARGE = 1 << 20 };

static int files[MANY], got[MANY];
static char data[LARGE], buffer[LARGE];

static struct stoa_descriptor_message message;

struct sender {
	int socket;
	size_t count, bytes;
};

static void send_many(void *context)
{
	struct sender *sender = context;

	number_files(files, sender->count, 1000);
	fill_pattern(data, sender->bytes, 7);
	assert_ok(stoa_descriptor_send(sender->socket, files, sender->count,
	                               data, sender->bytes, STOA_FOREVER));
}

/* A child sends, so that neither waits for the other. */
static void pass(size_t count, size_t bytes)
{
	int sockets[2];
	struct child child;

	assert_ok(stoa_descriptor_pair(sockets));
	struct sender sender = { sockets[1], count, bytes };
	child = start_child(send_many, &sender);
	assert_result(stoa_descriptor_receive(sockets[0], got, MANY, buffer,
	                                      LARGE, STOA_FOREVER, &message),
	              bytes);
	assert_int_equal(message.descriptors, count);
	assert_int_equal(message.bytes, bytes);
	assert_int_equal(message.sender.pid, child.pid);
	assert_int_equal(message.sender.uid, getuid());
	assert_true(has_pattern(buffer, bytes, 7));
	assert_numbered(got, count, 1000);
	close_files(got, count);
	end_child(&child);
	close_pair(sockets);
}

TEST(one_descriptor_and_a_payload_arrive)
{
	pass(1, 100);
}

TEST(nothing_at_all_is_a_message_too)
{
	pass(0, 0);
	pass(0, 1);
	pass(1, 0);
}

TEST(as_many_as_the_kernel_passes_at_once_and_one_more_and_two_rounds)
{
	pass(252, 3);
	pass(253, 3);
	pass(254, 3);
	pass(506, 0);
	pass(507, 70000);
}

TEST(two_thousand_descriptors_and_a_megabyte_arrive)
{
	pass(MANY, LARGE);
	pass(0, LARGE);
	pass(MANY, 0);
}

TEST(messages_stay_apart_and_in_order)
{
	int sockets[2];

	number_files(files, 20, 0);
	assert_ok(stoa_descriptor_pair(sockets));
	for (int i = 0; i < 10; i++)
		assert_ok(stoa_descriptor_send(sockets[0], files + 2 * i,
		                               (size_t)(i % 3), &i, sizeof(i),
		                               STOA_NOW));
	for (int i = 0; i < 10; i++) {
		int number;

		assert_result(stoa_descriptor_receive(sockets[1], got, 3,
		                                      &number, sizeof(number),
		                                      STOA_NOW, &message),
		              sizeof(number));
		assert_int_equal(number, i);
		assert_int_equal(message.descriptors, i % 3);
		assert_numbered(got, message.descriptors, 2 * i);
		close_files(got, message.descriptors);
	}
	assert_result(stoa_descriptor_receive(sockets[1], got, 3, NULL, 0,
	                                      STOA_NOW, &message),
	              -EAGAIN);
	close_files(files, 20);
	close_pair(sockets);
}

TEST(what_has_no_room_is_refused_and_closed_and_the_next_one_comes)
{
	struct stoa_descriptor_message told = { 0 };
	int sockets[2];

	number_files(files, 600, 0);
	assert_ok(stoa_descriptor_pair(sockets));
	int before = count_descriptors();
	assert_ok(stoa_descriptor_send(sockets[0], files, 600, "abc", 3,
	                               STOA_FOREVER));
	assert_ok(stoa_descriptor_send(sockets[0], files, 2, data, 70000,
	                               STOA_FOREVER));
	assert_ok(stoa_descriptor_send(sockets[0], files, 2, "x", 1,
	                               STOA_FOREVER));
	assert_result(stoa_descriptor_receive(sockets[1], got, 599, buffer,
	                                      LARGE, STOA_FOREVER, &told),
	              -EMSGSIZE);
	assert_int_equal(told.descriptors, 600);
	assert_int_equal(told.bytes, 3);
	assert_sentence("600 descriptors");
	assert_result(stoa_descriptor_receive(sockets[1], got, 2, buffer, 100,
	                                      STOA_FOREVER, &told),
	              -EMSGSIZE);
	assert_int_equal(told.descriptors, 2);
	assert_int_equal(told.bytes, 70000);
	assert_int_equal(count_descriptors(), before);
	assert_result(stoa_descriptor_receive(sockets[1], got, 2, buffer, 1,
	                                      STOA_FOREVER, &told),
	              1);
	assert_int_equal(buffer[0], 'x');
	assert_numbered(got, 2, 0);
	close_files(got, 2);
	close_files(files, 600);
	close_pair(sockets);
}

TEST(a_look_says_what_comes_and_leaves_it_there)
{
	int sockets[2];

	number_files(files, 300, 0);
	assert_ok(stoa_descriptor_pair(sockets));
	assert_result(stoa_descriptor_peek(sockets[1], STOA_NOW, &message),
	              -EAGAIN);
	assert_result(stoa_descriptor_peek(sockets[1], stoa_deadline_in(1),
	                                   &message),
	              -ETIMEDOUT);
	assert_ok(stoa_descriptor_send(sockets[0], files, 300, "abcd", 4,
	                               STOA_FOREVER));
	assert_ok(stoa_descriptor_send(sockets[0], NULL, 0, "x", 1,
	                               STOA_FOREVER));
	int before = count_descriptors();
	for (int i = 0; i < 3; i++) {
		assert_ok(stoa_descriptor_peek(sockets[1], STOA_NOW, &message));
		assert_int_equal(message.descriptors, 300);
		assert_int_equal(message.bytes, 4);
	}
	assert_int_equal(count_descriptors(), before);
	/* Given up at the first round: the look passes over the second. */
	assert_result(stoa_descriptor_receive(sockets[1], got, 0, buffer, 4,
	                                      STOA_NOW, &message),
	              -EMSGSIZE);
	assert_ok(stoa_descriptor_peek(sockets[1], STOA_NOW, &message));
	assert_int_equal(message.descriptors, 0);
	assert_int_equal(message.bytes, 1);
	assert_result(stoa_descriptor_receive(sockets[1], got, 0, buffer, 4,
	                                      STOA_NOW, &message),
	              1);
	close(sockets[0]);
	assert_result(stoa_descriptor_peek(sockets[1], STOA_FOREVER, &message),
	              -EPIPE);
	close(sockets[1]);
	close_files(files, 300);
}

TEST(the_end_is_told_after_all_that_was_sent)
{
	int sockets[2];

	assert_ok(stoa_descriptor_pair(sockets));
	assert_ok(stoa_descriptor_send(sockets[0], NULL, 0, "one", 3,
	                               STOA_NOW));
	/* Unread at the one that closes: the kernel says ECONNRESET once. */
	assert_ok(stoa_descriptor_send(sockets[1], NULL, 0, "two", 3,
	                               STOA_NOW));
	close(sockets[0]);
	assert_result(stoa_descriptor_receive(sockets[1], got, 1, buffer, 10,
	                                      STOA_FOREVER, &message),
	              3);
	assert_result(stoa_descriptor_receive(sockets[1], got, 1, buffer, 10,
	                                      STOA_FOREVER, &message),
	              -EPIPE);
	/* No SIGPIPE, which would end this process. */
	assert_result(stoa_descriptor_send(sockets[1], NULL, 0, "x", 1,
	                                   STOA_FOREVER),
	              -EPIPE);
	close(sockets[1]);
}

TEST(a_full_socket_makes_the_sender_wait_by_the_deadline)
{
	struct stoa_descriptor_message last;
	int sockets[2], sent = 0, result;

	assert_ok(stoa_descriptor_pair(sockets));
	while ((result = stoa_descriptor_send(sockets[0], NULL, 0, data, 5000,
	                                      STOA_NOW)) == 0)
		sent++;
	assert_int_equal(result, -EAGAIN);
	assert_true(sent > 0);
	assert_result(stoa_descriptor_send(sockets[0], NULL, 0, data, 5000,
	                                   stoa_deadline_in(2 * MS)),
	              -ETIMEDOUT);
	for (; sent > 0; sent--)
		assert_result(stoa_descriptor_receive(sockets[1], got, 0, buffer,
		                                      5000, STOA_NOW, &last),
		              5000);
	assert_result(stoa_descriptor_receive(sockets[1], got, 0, buffer, 5000,
	                                      STOA_NOW, &last),
	              -EAGAIN);
	close_pair(sockets);
}

static void send_when_told(void *context)
{
	int *sockets = context;

	await_order();
	assert_ok(stoa_descriptor_send(sockets[0], NULL, 0, "late", 4,
	                               STOA_FOREVER));
}

TEST(a_receiver_waits_for_its_message)
{
	int sockets[2];
	struct child child;

	assert_ok(stoa_descriptor_pair(sockets));
	child = start_child(send_when_told, sockets);
	assert_result(stoa_descriptor_receive(sockets[1], got, 0, buffer, 10,
	                                      stoa_deadline_in(2 * MS),
	                                      &message),
	              -ETIMEDOUT);
	give_order(&child, 0);
	assert_result(stoa_descriptor_receive(sockets[1], got, 0, buffer, 10,
	                                      STOA_FOREVER, &message),
	              4);
	end_child(&child);
	close_pair(sockets);
}

TEST(bad_descriptors_and_sockets_are_refused)
{
	int sockets[2], streams[2], none = 99999;

	assert_ok(stoa_descriptor_pair(sockets));
	assert_result(stoa_descriptor_send(sockets[0], &none, 1, "x", 1,
	                                   STOA_NOW),
	              -EBADF);
	assert_sentence("isn't open");
	assert_result(stoa_descriptor_receive(sockets[1], got, 1, buffer, 1,
	                                      STOA_NOW, &message),
	              -EAGAIN);
	assert_result(stoa_descriptor_send(sockets[0], got, (size_t)1 << 32,
	                                   NULL, 0, STOA_NOW),
	              -EINVAL);
	assert_result(stoa_descriptor_send(none, NULL, 0, "x", 1, STOA_NOW),
	              -EBADF);
	assert_system(pipe2(streams, O_CLOEXEC));
	assert_result(stoa_descriptor_send(streams[1], NULL, 0, "x", 1,
	                                   STOA_NOW),
	              -EPROTOTYPE);
	assert_result(stoa_descriptor_receive(streams[0], got, 1, buffer, 1,
	                                      STOA_NOW, &message),
	              -EPROTOTYPE);
	assert_result(stoa_descriptor_peek(streams[0], STOA_NOW, &message),
	              -EPROTOTYPE);
	assert_true(stoa_descriptor_peer(streams[0], &message.sender) < 0);
	close_pair(streams);
	assert_system(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	                         streams));
	assert_int_equal(write(streams[1], "hello", 5), 5);
	assert_result(stoa_descriptor_receive(streams[0], got, 1, buffer, 1,
	                                      STOA_NOW, &message),
	              -EPROTOTYPE);
	close_pair(streams);
	close_pair(sockets);
}

TEST(a_full_table_at_the_receiver_is_all_or_nothing)
{
	struct rlimit limit, before;
	int sockets[2];

	assert_system(getrlimit(RLIMIT_NOFILE, &before));
	number_files(files, 400, 0);
	assert_ok(stoa_descriptor_pair(sockets));
	/* One that ends in its first round, one in its second. */
	assert_ok(stoa_descriptor_send(sockets[0], files, 20, "a", 1,
	                               STOA_FOREVER));
	assert_ok(stoa_descriptor_send(sockets[0], files, 400, "b", 1,
	                               STOA_FOREVER));
	assert_ok(stoa_descriptor_send(sockets[0], files, 5, "c", 1,
	                               STOA_FOREVER));
	int open_now = count_descriptors();
	limit_files(10);
	assert_result(stoa_descriptor_receive(sockets[1], got, MANY, buffer, 1,
	                                      STOA_FOREVER, &message),
	              -EMFILE);
	assert_sentence("RLIMIT_NOFILE");
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	assert_int_equal(count_descriptors(), open_now);
	limit_files(300);
	assert_result(stoa_descriptor_receive(sockets[1], got, MANY, buffer, 1,
	                                      STOA_FOREVER, &message),
	              -EMFILE);
	assert_system(getrlimit(RLIMIT_NOFILE, &limit));
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	assert_int_equal(count_descriptors(), open_now);
	limit_files(5);
	assert_result(stoa_descriptor_receive(sockets[1], got, MANY, buffer, 1,
	                                      STOA_FOREVER, &message),
	              1);
	assert_int_equal(buffer[0], 'c');
	assert_int_equal(message.descriptors, 5);
	assert_numbered(got, 5, 0);
	close_files(got, 5);
	assert_system(setrlimit(RLIMIT_NOFILE, &before));
	close_files(files, 400);
	close_pair(sockets);
}

static void send_as_nobody(void *context)
{
	struct sender *sender = context;
	struct rlimit limit = { 500, 500 };

	number_files(files, 100, 0);
	become_nobody();
	assert_system(setrlimit(RLIMIT_NOFILE, &limit));
	for (size_t i = 100; i < sender->count; i++)
		files[i] = files[i % 100];
	report(0);
	assert_ok(stoa_descriptor_send(sender->socket, files, sender->count,
	                               NULL, 0, STOA_FOREVER));
	/* Not taken by anybody, and no hope that they will be. */
	int sockets[2], result = 0;
	assert_ok(stoa_descriptor_pair(sockets));
	for (int i = 0; i < 10 && result == 0; i++) {
		int other[2];

		assert_ok(stoa_descriptor_pair(other));
		result = stoa_descriptor_send(other[0], files, 200, NULL, 0,
		                              STOA_FOREVER);
		if (result == 0)
			report(i);
	}
	assert_int_equal(result, -ETOOMANYREFS);
	assert_sentence("under way");
}

TEST(more_than_may_be_under_way_at_once_waits_for_the_receiver)
{
	int sockets[2];
	struct child child;

	skip_unless_root();
	assert_ok(stoa_descriptor_pair(sockets));
	struct sender sender = { sockets[1], 1500, 0 };
	child = start_child(send_as_nobody, &sender);
	await_report(&child);
	assert_result(stoa_descriptor_receive(sockets[0], got, MANY, NULL, 0,
	                                      STOA_FOREVER, &message),
	              0);
	assert_int_equal(message.descriptors, 1500);
	assert_int_equal(message.sender.uid, NOBODY);
	for (int i = 0; i < 1500; i++)
		assert_int_equal(number_in(got[i]), i % 100);
	close_files(got, 1500);
	end_child(&child);
	close_pair(sockets);
}

TEST(sockets_within_sockets_arrive)
{
	int outer[2], inner[2], deepest[2], file = numbered_file(5);

	assert_ok(stoa_descriptor_pair(outer));
	assert_ok(stoa_descriptor_pair(inner));
	assert_ok(stoa_descriptor_pair(deepest));
	assert_ok(stoa_descriptor_send(deepest[0], &file, 1, NULL, 0, STOA_NOW));
	assert_ok(stoa_descriptor_send(inner[0], deepest, 2, NULL, 0, STOA_NOW));
	assert_ok(stoa_descriptor_send(outer[0], inner, 2, NULL, 0, STOA_NOW));
	close(file);
	close_pair(inner);
	close_pair(deepest);
	assert_result(stoa_descriptor_receive(outer[1], inner, 2, NULL, 0,
	                                      STOA_NOW, &message),
	              0);
	assert_result(stoa_descriptor_receive(inner[1], deepest, 2, NULL, 0,
	                                      STOA_NOW, &message),
	              0);
	assert_result(stoa_descriptor_receive(deepest[1], &file, 1, NULL, 0,
	                                      STOA_NOW, &message),
	              0);
	assert_numbered(&file, 1, 5);
	close(file);
	close_pair(inner);
	close_pair(deepest);
	close_pair(outer);
}

static void do_nothing(void *context)
{
	(void)context;
	await_order();
}

TEST(the_peer_is_known_as_the_kernel_knows_it)
{
	struct stoa_descriptor_peer peer;
	int sockets[2];

	assert_ok(stoa_descriptor_pair(sockets));
	assert_ok(stoa_descriptor_peer(sockets[0], &peer));
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, getuid());
	assert_int_equal(peer.gid, getgid());
	int fd = stoa_descriptor_peer_pidfd(sockets[0]);
	if (fd != -ENOPROTOOPT) {
		struct pollfd alive = { fd, POLLIN, 0 };

		assert_good(fd);
		assert_int_equal(poll(&alive, 1, 0), 0);
		close(fd);
	}
	close_pair(sockets);
	struct child child = start_child(do_nothing, NULL);
	kill_child(&child);
}

TEST(sockets_are_pollable)
{
	int sockets[2];

	assert_ok(stoa_descriptor_pair(sockets));
	struct pollfd ready = { sockets[1], POLLIN, 0 };
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_ok(stoa_descriptor_send(sockets[0], NULL, 0, NULL, 0, STOA_NOW));
	assert_int_equal(poll(&ready, 1, 0), 1);
	assert_result(stoa_descriptor_receive(sockets[1], got, 1, NULL, 0,
	                                      STOA_NOW, &message),
	              0);
	assert_int_equal(poll(&ready, 1, 0), 0);
	close_pair(sockets);
}

static const struct CMUnitTest cases[] = {
	CASE(one_descriptor_and_a_payload_arrive),
	CASE(nothing_at_all_is_a_message_too),
	CASE(as_many_as_the_kernel_passes_at_once_and_one_more_and_two_rounds),
	CASE(two_thousand_descriptors_and_a_megabyte_arrive),
	CASE(messages_stay_apart_and_in_order),
	CASE(what_has_no_room_is_refused_and_closed_and_the_next_one_comes),
	CASE(a_look_says_what_comes_and_leaves_it_there),
	CASE(the_end_is_told_after_all_that_was_sent),
	CASE(a_full_socket_makes_the_sender_wait_by_the_deadline),
	CASE(a_receiver_waits_for_its_message),
	CASE(bad_descriptors_and_sockets_are_refused),
	CASE(a_full_table_at_the_receiver_is_all_or_nothing),
	CASE(more_than_may_be_under_way_at_once_waits_for_the_receiver),
	CASE(sockets_within_sockets_arrive),
	CASE(the_peer_is_known_as_the_kernel_knows_it),
	CASE(sockets_are_pollable),
};

MAIN(cases)
