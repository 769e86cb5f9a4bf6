/* SPDX-License-Identifier: MIT */
/* Deaths: of servers with and without requests, of clients in each phase, at
 * random places; what the other side is told, and how soon. */
#include "port.h"

#include <signal.h>
#include <sys/wait.h>

enum { COPY = 256, GRANT = 128 << 10, ROUNDS = 3 * GRANT };

static void take_and_hold(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;

	report(0);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER, &request));
	report(1);
	await_order();
}

TEST(a_dead_servers_client_is_reset_and_the_rest_go_to_another)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct child victim = start_child(take_and_hold, NULL);
	struct stoa_port_ticket taken, waits;
	struct stoa_port_reply reply;

	await_report(&victim);
	taken = start_text(port, "a");
	await_report(&victim);
	waits = start_text(port, "b");
	kill_child(&victim);
	assert_result(stoa_port_wait(port, &taken, STOA_FOREVER, &reply),
	              -ECONNRESET);
	serve_text(port, "b", "c");
	finish_text(port, &waits, "c");
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static void call_and_be_reset(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_WRITE);
	char answer[8];

	report(0);
	assert_result(stoa_port_call(port, "a", 1, answer, 8, STOA_FOREVER),
	              -ECONNRESET);
	report(1);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_sleeping_client_learns_of_its_servers_death)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct child victim = start_child(take_and_hold, NULL);
	struct child client;

	await_report(&victim);
	client = start_child(call_and_be_reset, NULL);
	await_report(&client);
	await_report(&victim);
	until_blocked(client.pid);
	kill_child(&victim);
	await_report(&client);
	end_child(&client);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_stopped_server_is_not_dead)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, 0, 0);
	struct child server = start_child(serve_echo, NULL);
	struct stoa_port_ticket ticket;
	struct stoa_port_reply reply;

	await_report(&server);
	until_blocked(server.pid);
	stop_child(&server);
	ticket = start_text(port, "a");
	assert_result(stoa_port_wait(port, &ticket, stoa_deadline_in(200 * MS),
	                             &reply),
	              -ETIMEDOUT);
	continue_child(&server);
	finish_text(port, &ticket, "a");
	ticket = start_text(port, "end");
	finish_text(port, &ticket, "end");
	end_child(&server);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static void start_three(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_WRITE);
	struct stoa_port_ticket ticket;
	static char large[GRANT];
	void *data;

	assert_ok(stoa_port_start(port, large, sizeof(large), STOA_NOW,
	                          &ticket));
	assert_ok(stoa_port_start(port, large, sizeof(large), STOA_NOW,
	                          &ticket));
	assert_ok(stoa_port_reserve(port, GRANT, 0, STOA_NOW, &ticket, &data));
	assert_ok(stoa_port_reserve(port, 1, 0, STOA_NOW, &ticket, &data));
	report(0);
	await_order();
}

TEST(a_dead_client_leaves_nothing)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct child victim = start_child(start_three, NULL);
	struct stoa_port_request request;
	struct stoa_port_caller caller;

	await_report(&victim);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_ok(stoa_port_cancelled(port, &request));
	assert_ok(stoa_port_caller(port, &request, &caller));
	assert_int_equal(caller.pid, victim.pid);
	assert_int_equal(caller.uid, geteuid());
	assert_int_equal(caller.bytes_checked, 1);
	kill_child(&victim);
	assert_result(stoa_port_cancelled(port, &request), 1);
	assert_true(stoa_space_clean(space, 0, NULL, NULL) > 0);
	assert_result(stoa_port_caller(port, &request, &caller), -ECONNRESET);
	/* The view is still there. */
	assert_int_equal(((const char *)request.data)[GRANT - 1], 0);
	assert_result(stoa_port_reply(port, &request, 0, "", 0, STOA_NOW),
	              -ECANCELED);
	assert_port_whole(port);
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

static void take_and_reply_large(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;
	static char large[GRANT];

	fill_pattern(large, sizeof(large), 4);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER, &request));
	assert_ok(stoa_port_reply(port, &request, 0, large, sizeof(large),
	                          STOA_FOREVER));
	report(0);
	await_order();
}

TEST(a_mapped_reply_outlives_its_server)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_ticket ticket = start_text(port, "x");
	struct child victim = start_child(take_and_reply_large, NULL);
	struct stoa_port_reply reply;

	await_report(&victim);
	kill_child(&victim);
	assert_true(stoa_space_clean(space, 0, NULL, NULL) > 0);
	assert_ok(stoa_port_wait(port, &ticket, STOA_NOW, &reply));
	assert_true(has_pattern(reply.data, GRANT, 4));
	assert_ok(stoa_port_finish(port, &ticket, &reply));
	assert_port_whole(port);
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

static void call_in_rounds(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_WRITE);
	char *large = calloc(1, ROUNDS);

	report(0);
	report(stoa_port_call(port, large, ROUNDS, large, ROUNDS,
	                      STOA_FOREVER));
	free(large);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_client_that_dies_in_rounds_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct child victim = start_child(call_in_rounds, NULL);
	struct stoa_port_request request;

	await_report(&victim);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER, &request));
	assert_result(stoa_port_more(port, &request, STOA_FOREVER), 1);
	stop_child(&victim);
	assert_result(stoa_port_more(port, &request, stoa_deadline_in(10 * MS)),
	              -ETIMEDOUT);
	kill_child(&victim);
	int result = stoa_port_more(port, &request, STOA_FOREVER);
	assert_true(result == -ECONNRESET || result == -ECANCELED);
	assert_result(stoa_port_reply(port, &request, 0, "", 0, STOA_NOW),
	              -ECANCELED);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static void take_some_rounds(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;

	assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER, &request));
	assert_result(stoa_port_more(port, &request, STOA_FOREVER), 1);
	report(0);
	await_order();
}

TEST(a_server_that_dies_in_rounds_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct child victim = start_child(take_some_rounds, NULL);
	struct child client = start_child(call_in_rounds, NULL);

	await_report(&client);
	await_report(&victim);
	kill_child(&victim);
	assert_int_equal(await_report(&client), -ECONNRESET);
	end_child(&client);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

/* ---- At random places ------------------------------------------------------ */

static void call_for_ever(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_WRITE);
	uint64_t seed = (uint64_t)getpid();
	static char out[2048], in[2048];

	report(0);
	for (;;) {
		size_t bytes = random_below(&seed, sizeof(out));
		int64_t result;

		fill_pattern(out, bytes, seed);
		result = stoa_port_call(port, out, bytes, in, sizeof(in),
		                        STOA_FOREVER);
		if (result == -ECONNRESET)
			continue;
		assert_int_equal(result, bytes);
		assert_memory_equal(in, out, bytes);
	}
}

/* Its clients die, too. */
static void serve_for_ever(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;

	report(0);
	for (;;) {
		assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER,
		                         &request));
		int result = stoa_port_reply(port, &request, 0, request.data,
		                             request.bytes, STOA_FOREVER);
		assert_true(result == 0 || result == -ECANCELED);
	}
}

TEST(whoever_is_killed_wherever_the_port_stays_whole)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct child clients[2], servers[2];
	uint64_t seed = run_seed();

	for (int i = 0; i < 2; i++) {
		clients[i] = start_child(call_for_ever, NULL);
		servers[i] = start_child(serve_for_ever, NULL);
	}
	for (int i = 0; i < 2; i++) {
		await_report(&clients[i]);
		await_report(&servers[i]);
	}
	for (int round = 0; round < 60; round++) {
		int which = (int)random_below(&seed, 2);
		struct timespec pause = {
			0, (long)random_below(&seed, 3 * MS)
		};

		nanosleep(&pause, NULL); /* a random place, not a wait */
		if (random_below(&seed, 2)) {
			kill_child(&clients[which]);
			clients[which] = start_child(call_for_ever, NULL);
			await_report(&clients[which]);
		} else {
			kill_child(&servers[which]);
			servers[which] = start_child(serve_for_ever, NULL);
			await_report(&servers[which]);
		}
	}
	for (int i = 0; i < 2; i++)
		kill_child(&clients[i]);
	for (int i = 0; i < 2; i++)
		kill_child(&servers[i]);
	assert_true(stoa_space_clean(space, 0, NULL, NULL) >= 0);
	assert_port_whole(port);
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_dead_servers_client_is_reset_and_the_rest_go_to_another),
	CASE(a_sleeping_client_learns_of_its_servers_death),
	CASE(a_stopped_server_is_not_dead),
	CASE(a_dead_client_leaves_nothing),
	CASE(a_mapped_reply_outlives_its_server),
	CASE(a_client_that_dies_in_rounds_is_told),
	CASE(a_server_that_dies_in_rounds_is_told),
	CASE(whoever_is_killed_wherever_the_port_stays_whole),
};

MAIN(cases)
