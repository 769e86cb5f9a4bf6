/* SPDX-License-Identifier: MIT */
/* One false thing in a port, between two steps of a call: what no scribbler on
 * a busy machine is sure to meet. Sizes are of the other side's choosing, and
 * the memory that they are of may be smaller. */
#include "hostile.h"

#include <data/port_internal.h>

#include <fcntl.h>

enum { COPY = 100, GRANT = 8192, SHORT = 4096, TOTAL = 3 * GRANT };

static struct stoa_space *space;
static struct stoa_port *client, *server;
static struct stoa_port_ticket ticket;
static struct stoa_port_request request;
static char payload[GRANT];

static void begin(void)
{
	static const struct stoa_port_attributes attributes = {
		.size = sizeof(attributes),
		.calls = 3,
		.copy_bytes = COPY,
		.grant_bytes = GRANT,
	};

	space = open_space();
	must(stoa_port_open(space, "q", STOA_READ | STOA_CREATE, 0600,
	                    &attributes, &server),
	     "open");
	must(stoa_port_open(space, "q", STOA_WRITE, 0, NULL, &client), "open");
}

static void end(void)
{
	stoa_port_close(client);
	stoa_port_close(server);
	must(stoa_port_unlink(space, "q"), "unlink");
	stoa_space_close(space);
}

static struct port_cell *cell_of_call(void)
{
	return &client->cells[ticket.cell];
}

/* What it told of is the other side's fault, and over with the object. */
static void revive_port(void)
{
	atomic_store(&server->object.events->state, 0);
}

static void must_take(size_t bytes)
{
	must(stoa_port_start(client, payload, bytes, STOA_NOW, &ticket),
	     "start");
	must(stoa_port_take(server, NULL, 0, STOA_NOW, &request), "take");
}

/* The file that the companion is: somebody else's, who may cut it. */
static void cut(struct port_companion companion, off_t bytes)
{
	char name[64], path[300];

	port_companion_name(client, &companion, name);
	snprintf(path, sizeof(path), "%s/%s", case_directory(), name);
	if (truncate(path, bytes) != 0)
		finding("%s: %s", path, strerror(errno));
}

/* Of a reply that was given: nothing is believed that is out of bounds. */
static void wait_for_lie(uint64_t bytes, uint64_t bound, int expected)
{
	struct stoa_port_reply reply;
	int result;

	trial("a reply of %llu bytes, where %llu may be",
	      (unsigned long long)bytes, (unsigned long long)bound);
	cell_set(cell_of_call(), reply_bytes, bytes);
	watch_operation("wait", 0);
	result = stoa_port_wait(client, &ticket, STOA_NOW, &reply);
	operation_done();
	if (result == 0) {
		sum_of(reply.data, reply.bytes);
		finding("%llu bytes of a reply are told",
		        (unsigned long long)reply.bytes);
	}
	assert_int_equal(result, expected);
	revive_port();
}

TEST(a_copied_reply_is_no_larger_than_can_be)
{
	static const uint64_t lies[] = { COPY + 1, GRANT, UINT32_MAX,
		                         UINT64_MAX };

	begin();
	for (size_t i = 0; i < LENGTH(lies); i++) {
		must_take(1);
		must(stoa_port_reply(server, &request, 0, payload, 1, STOA_NOW),
		     "reply");
		wait_for_lie(lies[i], COPY, -EUCLEAN);
		stoa_port_cancel(client, &ticket);
	}
	end();
}

TEST(a_mapped_reply_is_no_larger_than_can_be)
{
	static const uint64_t lies[] = { GRANT + 1, UINT32_MAX, UINT64_MAX };

	begin();
	for (size_t i = 0; i < LENGTH(lies); i++) {
		must_take(1);
		must(stoa_port_reply(server, &request, 0, payload, GRANT,
		                     STOA_NOW),
		     "reply");
		wait_for_lie(lies[i], GRANT, -EUCLEAN);
		stoa_port_cancel(client, &ticket);
	}
	end();
}

TEST(a_view_of_a_reply_is_not_shorter_than_it)
{
	begin();
	must_take(1);
	must(stoa_port_reply(server, &request, 0, payload, GRANT, STOA_NOW),
	     "reply");
	cut(port_reply_grant(cell_of_call()), SHORT);
	wait_for_lie(GRANT, SHORT, -ECONNRESET);
	end();
}

static struct port_companion request_grant_of(struct port_cell *cell)
{
	return (struct port_companion){ atomic_load(&client->object.peer),
		                        stoa_object_token(&client->object),
		                        cell_get(cell, request_grant) };
}

TEST(a_view_of_a_request_is_not_shorter_than_it)
{
	int result;

	begin();
	must(stoa_port_start(client, payload, GRANT, STOA_NOW, &ticket),
	     "start");
	cut(request_grant_of(cell_of_call()), SHORT);
	watch_operation("take", 0);
	result = stoa_port_take(server, NULL, 0, STOA_NOW, &request);
	operation_done();
	if (result == 0) {
		sum_of(request.data, request.bytes);
		finding("a request of %llu bytes is told",
		        (unsigned long long)request.bytes);
	}
	end();
}

/* The first part fits the client's memory, and the next is said to be larger. */
TEST(a_part_of_a_request_is_not_longer_than_its_view)
{
	struct port_cell *cell;
	int result;

	begin();
	must(stoa_port_start(client, payload, GRANT, STOA_NOW, &ticket),
	     "start");
	cell = cell_of_call();
	cut(request_grant_of(cell), SHORT);
	cell_set(cell, request_bytes, 1);
	cell_set(cell, request_total, TOTAL);
	must(stoa_port_take(server, NULL, 0, STOA_NOW, &request), "take");
	assert_int_equal(request.total_bytes, TOTAL);
	cell_set(cell, part_bytes, GRANT);
	atomic_store(&cell->given,
	             PORT_PARTS(PORT_WORD_SERIAL(request.word), TOTAL));
	watch_operation("more", 0);
	result = stoa_port_more(server, &request, STOA_NOW);
	operation_done();
	if (result > 0) {
		sum_of(request.data, request.bytes);
		finding("a part of %llu bytes is told",
		        (unsigned long long)request.bytes);
	}
	assert_int_equal(result, -EUCLEAN);
	end();
}

static const struct CMUnitTest cases[] = {
	CASE(a_copied_reply_is_no_larger_than_can_be),
	CASE(a_mapped_reply_is_no_larger_than_can_be),
	CASE(a_view_of_a_reply_is_not_shorter_than_it),
	CASE(a_view_of_a_request_is_not_shorter_than_it),
	CASE(a_part_of_a_request_is_not_longer_than_its_view),
};

int main(int argc, char **argv)
{
	watchdog_start();
	return run_cases(argc, argv, cases, LENGTH(cases));
}
