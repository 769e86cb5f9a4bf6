/* SPDX-License-Identifier: MIT */
/* Senders that lie: headers that can't be, descriptors that nobody asked for,
 * rounds of one message among another's, and none that ends. */
#include "descriptor.h"

#include <kernel/descriptor_layout.h>

enum { ROOM = 4096, MOST = 1000, TRIES = 20000 };

static int sockets[2], files[MOST], got[MOST];
static char buffer[ROOM];
static struct stoa_descriptor_message message;
static int open_before;

static struct round honest(uint32_t descriptors, uint64_t bytes)
{
	return (struct round){ .magic = ROUND_MAGIC,
		               .kind = ROUND_MESSAGE,
		               .identity = 3,
		               .bytes = bytes,
		               .descriptors = descriptors,
		               .bytes_here = (uint32_t)bytes,
		               .descriptors_here = descriptors };
}

static void put(struct round round, size_t bytes, size_t count)
{
	char packet[sizeof(round) + ROOM] = { 0 };

	memcpy(packet, &round, sizeof(round));
	send_bare(sockets[0], packet, sizeof(round) + bytes, files, count);
}

static ssize_t receive(struct stoa_deadline deadline)
{
	return stoa_descriptor_receive(sockets[1], got, MOST, buffer, ROOM,
	                               deadline, &message);
}

static void begin(void)
{
	number_files(files, 20, 0);
	assert_ok(stoa_descriptor_pair(sockets));
	open_before = count_descriptors();
}

/* Nothing is left open, and an honest message comes. */
static void assert_recovers(void)
{
	assert_int_equal(count_descriptors(), open_before);
	put(honest(2, 5), 5, 2);
	assert_result(receive(STOA_NOW), 5);
	assert_int_equal(message.descriptors, 2);
	assert_numbered(got, 2, 0);
	close_files(got, 2);
	assert_int_equal(count_descriptors(), open_before);
}

static void end(void)
{
	assert_recovers();
	close_files(files, 20);
	close_pair(sockets);
}

static void refuses(struct round round, size_t bytes, size_t count)
{
	put(round, bytes, count);
	assert_result(receive(STOA_NOW), -EBADMSG);
	assert_recovers();
}

TEST(headers_that_lie_are_refused)
{
	struct round round;

	begin();
	for (int field = 0; field < 9; field++) {
		round = honest(3, 10);
		switch (field) {
		case 0: round.magic ^= 1; break;
		case 1: round.kind = ROUND_TAKEN; break;
		case 2: round.reserved = 1; break;
		case 3: round.bytes = 9; break;
		case 4: round.descriptors = 2; break;
		case 5: round.bytes_here = 9; break;
		case 6: round.bytes_here = 11; break;
		case 7: round.descriptors_here = 2; break;
		case 8: round.descriptors_here = 4; break;
		}
		refuses(round, 10, 3);
	}
	end();
}

TEST(descriptors_that_nobody_asked_for_are_closed)
{
	begin();
	refuses(honest(0, 10), 10, 20);
	send_bare(sockets[0], "x", 1, files, 20);
	assert_result(receive(STOA_NOW), -EBADMSG);
	assert_recovers();
	send_bare(sockets[0], "", 0, files, 20);
	assert_result(receive(STOA_NOW), -EBADMSG);
	assert_recovers();
	send_bare(sockets[0], "", 0, NULL, 0);
	assert_result(receive(STOA_NOW), -EBADMSG);
	send_bare(sockets[0], "x", 1, files, 20);
	assert_result(stoa_descriptor_peek(sockets[1], STOA_NOW, &message),
	              -EBADMSG);
	end();
}

TEST(rounds_out_of_line_are_refused_or_passed_over)
{
	struct round round = honest(10, 20);

	begin();
	/* A later round first: of a message that was given up. */
	round.number = 1;
	put(round, 20, 10);
	assert_result(receive(STOA_NOW), -EAGAIN);
	assert_recovers();
	/* Another's second round, too much, too little, not the next. */
	for (int lie = 0; lie < 6; lie++) {
		round = honest(10, 20);
		round.bytes_here = 10;
		round.descriptors_here = 5;
		put(round, 10, 5);
		round.number = 1;
		switch (lie) {
		case 0: round.identity++; break;
		case 1: round.number = 2; break;
		case 2: round.bytes_here = 11; break;
		case 3: round.descriptors_here = 6; break;
		case 4: round.bytes = 21; break;
		case 5: round.descriptors_here = 0, round.bytes_here = 0; break;
		}
		put(round, round.bytes_here, round.descriptors_here);
		assert_result(receive(STOA_NOW), -EBADMSG);
		assert_recovers();
	}
	/* A message that its sender gave up is forgotten for the next. */
	round = honest(10, 20);
	round.bytes_here = 10;
	round.descriptors_here = 5;
	put(round, 10, 5);
	end();
}

TEST(a_message_that_never_ends_is_closed_at_the_deadline)
{
	struct round round = honest(10, 20);

	begin();
	round.descriptors_here = 5;
	put(round, 20, 5);
	assert_result(receive(stoa_deadline_in(2 * MS)), -ETIMEDOUT);
	assert_int_equal(count_descriptors(), open_before);
	put(round, 20, 5);
	assert_result(receive(STOA_NOW), -EAGAIN);
	assert_int_equal(count_descriptors(), open_before);
	put(round, 20, 5);
	close(sockets[0]);
	assert_result(receive(STOA_FOREVER), -EPIPE);
	assert_int_equal(count_descriptors(), open_before - 1);
	close(sockets[1]);
	close_files(files, 20);
}

static void flood(void *context)
{
	struct round round = honest(0, 0);
	struct iovec part = { &round, sizeof(round) };
	struct msghdr bare = { .msg_iov = &part, .msg_iovlen = 1 };
	int peer = *(int *)context;

	close(sockets[1]);
	report(0);
	round.number = 1;
	round.bytes = 1;
	round.bytes_here = 0;
	/* Rounds of nothing would be refused: one byte each. */
	char byte = 0;
	struct iovec parts[2] = { part, { &byte, 1 } };
	bare.msg_iov = parts;
	bare.msg_iovlen = 2;
	round.bytes_here = 1;
	while (sendmsg(peer, &bare, MSG_NOSIGNAL) > 0)
		;
}

TEST(a_flood_ends_at_the_deadline)
{
	struct child child;
	ssize_t result;

	begin();
	child = start_child(flood, &sockets[0]);
	await_report(&child);
	assert_result(receive(stoa_deadline_in(20 * MS)), -ETIMEDOUT);
	result = receive(STOA_NOW);
	assert_int_equal(result, -EAGAIN);
	kill_child(&child);
	close_files(files, 20);
	close_pair(sockets);
}

TEST(packets_of_chance_leave_nothing_open)
{
	uint64_t seed = run_seed();

	begin();
	for (int i = 0; i < TRIES; i++) {
		struct round round = honest(3, 10);
		unsigned char *bytes = (void *)&round;
		uint64_t flips = random_below(&seed, 3);

		for (uint64_t flip = 0; flip < flips; flip++)
			bytes[random_below(&seed, sizeof(round))] =
				(unsigned char)next_random(&seed);
		put(round, random_below(&seed, 20), random_below(&seed, 5));
		ssize_t result = receive(STOA_NOW);
		if (result >= 0)
			close_files(got, message.descriptors);
		else
			assert_true(result == -EBADMSG || result == -EAGAIN ||
			            result == -EMSGSIZE);
		assert_int_equal(count_descriptors(), open_before);
	}
	end();
}

static const struct CMUnitTest cases[] = {
	CASE(headers_that_lie_are_refused),
	CASE(descriptors_that_nobody_asked_for_are_closed),
	CASE(rounds_out_of_line_are_refused_or_passed_over),
	CASE(a_message_that_never_ends_is_closed_at_the_deadline),
	CASE(a_flood_ends_at_the_deadline),
	CASE(packets_of_chance_leave_nothing_open),
};

MAIN(cases)
