/* SPDX-License-Identifier: MIT */
/* Calls: content of every size, order, pipelining, cancellation, deadlines,
 * what is told of a call. */
#include "port.h"

enum { COPY = 1000, GRANT = 1 << 20 };

TEST(a_call_is_answered)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct child server = start_child(serve_echo, NULL);
	char reply[64];

	await_report(&server);
	for (int i = 0; i < 1000; i++) {
		int bytes = snprintf(reply, sizeof(reply), "number %d", i);
		char answer[64] = { 0 };

		assert_result(stoa_port_call(port, reply, (uint64_t)bytes,
		                             answer, sizeof(answer),
		                             STOA_FOREVER),
		              bytes);
		assert_string_equal(reply, answer);
	}
	assert_result(stoa_port_call(port, "end", 3, reply, 3, STOA_FOREVER), 3);
	end_child(&server);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static void carry(struct stoa_port *port, size_t bytes)
{
	static unsigned char out[GRANT], in[GRANT];
	struct stoa_port_ticket ticket;
	struct stoa_port_request request;
	struct stoa_port_reply reply;

	fill_pattern(out, bytes, bytes);
	assert_ok(stoa_port_start(port, out, bytes, STOA_NOW, &ticket));
	assert_ok(stoa_port_take(port, in, bytes / 2, STOA_NOW, &request));
	assert_int_equal(request.bytes, bytes);
	assert_int_equal(request.total_bytes, bytes);
	assert_int_equal(request.offset, 0);
	assert_int_equal(request.mapped, bytes > COPY);
	assert_true(has_pattern(request.data, bytes, bytes));
	assert_ok(stoa_port_reply(port, &request, (int)bytes, request.data,
	                          bytes, STOA_NOW));
	assert_ok(stoa_port_wait(port, &ticket, STOA_NOW, &reply));
	assert_int_equal(reply.bytes, bytes);
	assert_int_equal(reply.status, (int)bytes);
	assert_int_equal(reply.mapped, bytes > COPY);
	assert_true(has_pattern(reply.data, bytes, bytes));
	assert_ok(stoa_port_finish(port, &ticket, &reply));
}

TEST(every_size_goes_there_and_back)
{
	static const size_t borders[] = { 4095,  4096,  4097,      65535,
		                          65536, 65537, GRANT - 1, GRANT };
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, COPY, GRANT);

	for (size_t bytes = 0; bytes <= 1100; bytes++)
		carry(port, bytes);
	for (size_t i = 0; i < LENGTH(borders); i++)
		carry(port, borders[i]);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_small_request_is_copied_to_the_buffer)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, COPY, 0);
	struct stoa_port_ticket ticket = start_text(port, "hello");
	struct stoa_port_request request;
	char buffer[5];

	assert_ok(stoa_port_take(port, buffer, 5, STOA_NOW, &request));
	assert_ptr_equal(request.data, buffer);
	assert_memory_equal(buffer, "hello", 5);
	assert_ok(stoa_port_reply(port, &request, 0, buffer, 5, STOA_NOW));
	finish_text(port, &ticket, "hello");
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_ticket_is_over_once_it_was_finished_and_so_are_its_copies)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, COPY, 0);
	struct stoa_port_reply reply = { 0 };

	/* The place is kept the first time, and freed the second. */
	struct stoa_port_ticket first = start_text(port, "a"), copy = first;
	struct stoa_port_ticket second = start_text(port, "b");
	struct stoa_port_ticket other = second;
	serve_text(port, "a", "x");
	serve_text(port, "b", "y");
	finish_text(port, &first, "x");
	finish_text(port, &second, "y");
	for (int i = 0; i < 2; i++, copy = other) {
		assert_result(stoa_port_wait(port, &copy, STOA_NOW, &reply),
		              -ESTALE);
		assert_result(stoa_port_finish(port, &copy, &reply), -ESTALE);
		assert_result(stoa_port_cancel(port, &copy), -ESTALE);
	}
	assert_int_equal(port_status(port).ended, 1);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(requests_are_taken_in_the_order_of_their_commits)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 40, 0, 0);
	struct stoa_port *other = join_port(space, STOA_WRITE);
	struct stoa_port_ticket tickets[80];
	char text[80][8];
	uint64_t seed = run_seed();

	for (int round = 0; round < 200; round++) {
		int count = 1 + (int)random_below(&seed, 80);

		for (int i = 0; i < count; i++) {
			snprintf(text[i], sizeof(text[i]), "%d", i);
			tickets[i] = start_text(i % 2 ? port : other, text[i]);
		}
		for (int i = 0; i < count; i++)
			serve_text(port, text[i], NULL);
		/* Given back in another order, so that places get mixed. */
		for (int i = count - 1; i >= 0; i--)
			finish_text(i % 2 ? port : other, &tickets[i], text[i]);
	}
	stoa_port_close(other);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_full_port_says_so_and_waits)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port_ticket tickets[4], more;

	for (int i = 0; i < 4; i++)
		tickets[i] = start_text(port, "x");
	assert_result(stoa_port_start(port, "x", 1, STOA_NOW, &more), -EAGAIN);
	assert_result(stoa_port_start(port, "x", 1, stoa_deadline_in(10 * MS),
	                              &more),
	              -ETIMEDOUT);
	assert_ok(stoa_port_cancel(port, &tickets[2]));
	assert_ok(stoa_port_start(port, "x", 1, STOA_NOW, &more));
	assert_int_equal(port_status(port).waiting, 4);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(idle_clients_keep_no_more_than_half)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 3, 0, 0);
	struct stoa_port *idle[8];
	struct stoa_port_ticket ticket, tickets[3];

	for (int i = 0; i < 8; i++) {
		idle[i] = join_port(space, STOA_WRITE);
		ticket = start_text(idle[i], "x");
		serve_text(port, "x", NULL);
		finish_text(idle[i], &ticket, "x");
	}
	for (int i = 0; i < 3; i++)
		tickets[i] = start_text(port, "x");
	for (int i = 0; i < 3; i++)
		serve_text(port, "x", NULL);
	for (int i = 0; i < 3; i++)
		finish_text(port, &tickets[i], "x");
	for (int i = 0; i < 8; i++)
		stoa_port_close(idle[i]);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_call_can_be_cancelled_at_any_time)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, COPY, 0);
	struct stoa_port_ticket ticket, gone;
	struct stoa_port_request request;
	struct stoa_port_reply reply;
	void *data;

	assert_ok(stoa_port_reserve(port, 10, 0, STOA_NOW, &ticket, &data));
	assert_ok(stoa_port_cancel(port, &ticket));
	assert_result(stoa_port_cancel(port, &ticket), -ESTALE);

	ticket = start_text(port, "a");
	assert_ok(stoa_port_cancel(port, &ticket));
	assert_result(stoa_port_take(port, NULL, 0, STOA_NOW, &request),
	              -EAGAIN);

	ticket = start_text(port, "b");
	gone = ticket;
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_ok(stoa_port_cancelled(port, &request));
	assert_result(stoa_port_cancel(port, &ticket), 1);
	assert_result(stoa_port_cancelled(port, &request), 1);
	assert_result(stoa_port_reply(port, &request, 0, "b", 1, STOA_NOW),
	              -ECANCELED);
	assert_result(stoa_port_wait(port, &gone, STOA_NOW, &reply), -ESTALE);

	ticket = start_text(port, "c");
	serve_text(port, "c", NULL);
	assert_result(stoa_port_cancel(port, &ticket), 1);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_deadline_ends_a_call_and_withdraws_the_request)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port_request request;
	struct stoa_port_ticket ticket;
	struct stoa_port_reply reply;
	char answer[8];

	assert_result(stoa_port_call(port, "x", 1, answer, 8,
	                             stoa_deadline_in(20 * MS)),
	              -ETIMEDOUT);
	assert_result(stoa_port_take(port, NULL, 0, STOA_NOW, &request),
	              -EAGAIN);
	ticket = start_text(port, "y");
	assert_result(stoa_port_wait(port, &ticket, STOA_NOW, &reply), -EAGAIN);
	assert_result(stoa_port_wait(port, &ticket, stoa_deadline_in(10 * MS),
	                             &reply),
	              -ETIMEDOUT);
	serve_text(port, "y", NULL);
	finish_text(port, &ticket, "y");
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_returned_request_goes_to_another_server)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port *other = join_port(space, STOA_READ);
	struct stoa_port_ticket ticket = start_text(port, "x");
	struct stoa_port_request request;

	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_ok(stoa_port_return(port, &request));
	assert_result(stoa_port_return(port, &request), -ESTALE);
	serve_text(other, "x", "y");
	finish_text(port, &ticket, "y");
	stoa_port_close(other);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_server_that_closes_resets_what_it_took)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port *other = join_port(space, STOA_READ);
	struct stoa_port_ticket taken = start_text(port, "x"), waits;
	struct stoa_port_request request;
	struct stoa_port_reply reply;

	assert_ok(stoa_port_take(other, NULL, 0, STOA_NOW, &request));
	waits = start_text(port, "z");
	stoa_port_close(other);
	assert_result(stoa_port_wait(port, &taken, STOA_FOREVER, &reply),
	              -ECONNRESET);
	assert_sentence("port p");
	assert_result(stoa_port_wait(port, &taken, STOA_NOW, &reply), -ESTALE);
	serve_text(port, "z", NULL);
	finish_text(port, &waits, "z");
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(with_no_server_calls_are_refused_if_asked)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port *client = join_port(space, STOA_WRITE | STOA_REFUSE);
	char answer[8];

	stoa_port_close(port);
	assert_result(stoa_port_call(client, "x", 1, answer, 8, STOA_FOREVER),
	              -ECONNREFUSED);
	assert_sentence("nobody serves port p");
	port = join_port(space, BOTH);
	assert_result(stoa_port_call(client, "x", 1, answer, 8,
	                             stoa_deadline_in(120 * MS)),
	              -ETIMEDOUT);
	stoa_port_close(client);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static void serve_statuses(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;

	for (int i = 0; i < 3; i++) {
		assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER,
		                         &request));
		assert_ok(stoa_port_reply(port, &request, 7, "no, no", 6,
		                          STOA_FOREVER));
	}
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_status_and_a_reply_too_large_are_told)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct child server = start_child(serve_statuses, NULL);
	char answer[8];
	struct stoa_port_exchange exchange = { .size = sizeof(exchange),
		                               .request = "x",
		                               .request_bytes = 1,
		                               .reply = answer,
		                               .reply_room = sizeof(answer) };

	assert_result(stoa_port_call(port, "x", 1, answer, 8, STOA_FOREVER),
	              -EREMOTEIO);
	assert_sentence("status 7");
	assert_ok(stoa_port_exchange(port, &exchange, STOA_FOREVER));
	assert_int_equal(exchange.ret_status, 7);
	assert_int_equal(exchange.ret_bytes, 6);
	assert_memory_equal(answer, "no, no", 6);
	exchange.reply_room = 5;
	assert_result(stoa_port_exchange(port, &exchange, STOA_FOREVER),
	              -EMSGSIZE);
	assert_int_equal(exchange.ret_bytes, 6);
	assert_sentence("6 bytes");
	exchange.size = 1;
	assert_result(stoa_port_exchange(port, &exchange, STOA_NOW), -EINVAL);
	end_child(&server);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(who_is_not_a_server_or_client_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port *server = join_port(space, STOA_READ);
	struct stoa_port *client = join_port(space, STOA_WRITE);
	struct stoa_port_request request;
	struct stoa_port_ticket ticket, strange = { .cell = 1u << 30 };
	struct stoa_port_reply reply;

	assert_result(stoa_port_start(server, "x", 1, STOA_NOW, &ticket),
	              -EBADF);
	assert_result(stoa_port_take(client, NULL, 0, STOA_NOW, &request),
	              -EBADF);
	assert_result(stoa_port_wait(client, &strange, STOA_NOW, &reply),
	              -ESTALE);
	assert_result(stoa_port_cancel(client, &strange), -ESTALE);
	assert_result(stoa_port_finish(client, &strange, NULL), -ESTALE);
	assert_result(stoa_port_commit(client, &strange, 0), -ESTALE);
	/* Another handle's. */
	ticket = start_text(client, "x");
	strange = ticket;
	assert_result(stoa_port_wait(port, &strange, STOA_NOW, &reply), -ESTALE);
	assert_ok(stoa_port_take(server, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_reply(port, &request, 0, "", 0, STOA_NOW),
	              -ESTALE);
	assert_ok(stoa_port_reply(server, &request, 0, "", 0, STOA_NOW));
	assert_result(stoa_port_reply(server, &request, 0, "", 0, STOA_NOW),
	              -ESTALE);
	finish_text(client, &ticket, "");
	stoa_port_close(server);
	stoa_port_close(client);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static int count_call(const struct stoa_port_under_way *call, void *context)
{
	int *phases = context;

	assert_true(call->phase < 4);
	assert_int_equal(call->client_pid, getpid());
	phases[call->phase]++;
	return 0;
}

TEST(what_is_under_way_can_be_seen)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct stoa_port_ticket tickets[4];
	struct stoa_port_request request;
	int phases[4] = { 0 };
	void *data;

	for (int i = 0; i < 3; i++)
		tickets[i] = start_text(port, "abc");
	assert_ok(stoa_port_reserve(port, 3, 0, STOA_NOW, &tickets[3], &data));
	serve_text(port, "abc", "x");
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_each_call(port, count_call, phases), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(phases[i], 1);
	struct stoa_port_status status = port_status(port);
	assert_int_equal(status.calls, 4);
	assert_int_equal(status.waiting, 1);
	assert_int_equal(status.taken, 1);
	assert_int_equal(status.ended, 1);
	assert_int_equal(status.servers, 1);
	assert_int_equal(status.clients, 1);
	assert_int_equal(status.calls_made, 3);
	assert_int_equal(status.calls_taken, 2);
	assert_int_equal(status.bytes_asked, 9);
	assert_int_equal(status.bytes_answered, 1);
	assert_int_equal(status.creator_pid, getpid());
	status.size = 3;
	assert_result(stoa_port_stat(port, &status), -EINVAL);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(removal_ends_all_calls)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, 0, 0);
	struct stoa_port *other = join_port(space, BOTH);
	struct stoa_port_ticket ticket = start_text(other, "x");
	struct stoa_port_request request;
	struct stoa_port_reply reply;

	assert_ok(stoa_port_remove(port));
	assert_result(stoa_port_wait(other, &ticket, STOA_FOREVER, &reply),
	              -EIDRM);
	assert_result(stoa_port_take(other, NULL, 0, STOA_FOREVER, &request),
	              -EIDRM);
	assert_result(stoa_port_start(other, "x", 1, STOA_FOREVER, &ticket),
	              -EIDRM);
	assert_result(stoa_port_remove(other), -EIDRM);
	stoa_port_close(other);
	stoa_port_close(port);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_call_is_answered),
	CASE(every_size_goes_there_and_back),
	CASE(a_small_request_is_copied_to_the_buffer),
	CASE(a_ticket_is_over_once_it_was_finished_and_so_are_its_copies),
	CASE(requests_are_taken_in_the_order_of_their_commits),
	CASE(a_full_port_says_so_and_waits),
	CASE(idle_clients_keep_no_more_than_half),
	CASE(a_call_can_be_cancelled_at_any_time),
	CASE(a_deadline_ends_a_call_and_withdraws_the_request),
	CASE(a_returned_request_goes_to_another_server),
	CASE(a_server_that_closes_resets_what_it_took),
	CASE(with_no_server_calls_are_refused_if_asked),
	CASE(a_status_and_a_reply_too_large_are_told),
	CASE(who_is_not_a_server_or_client_is_told),
	CASE(what_is_under_way_can_be_seen),
	CASE(removal_ends_all_calls),
};

MAIN(cases)
