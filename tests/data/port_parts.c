/* SPDX-License-Identifier: MIT */
/* What goes in parts, when the two sides don't keep step; and what a call or a
 * reply leaves that could not map its payload. */
#include "port.h"

#include <data/port_internal.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

enum { COPY = 256, GRANT = 256 << 10, LARGE = 3 * GRANT + 12345, TAIL = 10 };

/* ---- A client that stands still after its first part ------------------------ */

static int stood;

static void stand_still(uint64_t done, uint64_t total, void *context)
{
	(void)done;
	(void)total;
	(void)context;
	if (!stood) {
		report(1);
		await_order();
	}
	stood = 1;
}

/* Sends a grant and TAIL bytes; reports what its call came to. */
static void call_in_rounds(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_WRITE);
	char *request = malloc(GRANT + TAIL), *reply = malloc(LARGE);
	struct stoa_port_exchange exchange = { .size = sizeof(exchange),
		                               .request = request,
		                               .request_bytes = GRANT + TAIL,
		                               .reply = reply,
		                               .reply_room = LARGE,
		                               .progress = stand_still };

	(void)context;
	fill_pattern(request, GRANT + TAIL, 5);
	int result = stoa_port_exchange(port, &exchange, STOA_FOREVER);
	if (result == 0 && exchange.ret_bytes == LARGE)
		result = has_pattern(reply, LARGE, 6) ? 2 : 3;
	report(result);
	free(request);
	free(reply);
	stoa_port_close(port);
	stoa_space_close(space);
}

/* It has asked for the second part, and got none. */
static struct child take_and_ask(struct stoa_port *port,
                                 struct stoa_port_request *request)
{
	struct child client = start_child(call_in_rounds, NULL);

	assert_int_equal(await_report(&client), 1);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, request));
	assert_int_equal(request->total_bytes, GRANT + TAIL);
	assert_result(stoa_port_more(port, request, STOA_NOW), -EAGAIN);
	return client;
}

TEST(a_request_is_not_returned_once_a_part_was_asked_for)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_request request;
	struct child client = take_and_ask(port, &request);

	/* The second part may come where the first stood, at any time. */
	assert_result(stoa_port_return(port, &request), -EALREADY);
	assert_ok(stoa_port_reply(port, &request, 0, "x", 1, STOA_NOW));
	give_order(&client, 0);
	assert_int_equal(await_report(&client), 0);
	end_child(&client);
	stoa_port_close(port);
	stoa_space_close(space);
}

struct reply_in_rounds {
	struct stoa_port *port;
	struct stoa_port_request request;
	int result;
};

static void *reply_in_rounds(void *context)
{
	struct reply_in_rounds *job = context;
	char *all = malloc(LARGE);

	fill_pattern(all, LARGE, 6);
	job->result = stoa_port_reply(job->port, &job->request, 0, all, LARGE,
	                              STOA_FOREVER);
	free(all);
	return NULL;
}

TEST(a_part_that_comes_late_does_not_spoil_the_reply)
{
	struct stoa_space *space = open_space();
	struct reply_in_rounds job = { .port = make_port(space, 4, COPY,
							  GRANT) };
	struct child client = take_and_ask(job.port, &job.request);
	struct port_cell *cell = &job.port->cells[job.request.cell];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, reply_in_rounds, &job),
	                 0);
	/* The first part of the reply is there; the client's second isn't. */
	while (atomic_load(&cell->put) == 0)
		sched_yield();
	give_order(&client, 0);
	assert_int_equal(await_report(&client), 2);
	pthread_join(thread, NULL);
	assert_int_equal(job.result, 0);
	end_child(&client);
	assert_port_whole(job.port);
	stoa_port_close(job.port);
	stoa_space_close(space);
}

TEST(nobody_reads_the_reply_to_one_that_died)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_request request;
	struct child client = take_and_ask(port, &request);
	char *all = calloc(1, LARGE);

	kill_child(&client);
	assert_result(stoa_port_reply(port, &request, 0, all, LARGE,
	                              STOA_FOREVER),
	              -ECANCELED);
	free(all);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

/* Foreign words: a client that says of a small grant that a large part is in
 * it. */
TEST(a_part_is_not_larger_than_what_is_mapped)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_ticket ticket;
	struct stoa_port_request request;
	void *data;

	assert_ok(stoa_port_reserve(port, 4096, STOA_PORT_MAPPED, STOA_NOW,
	                            &ticket, &data));
	assert_ok(stoa_port_commit(port, &ticket, 4096));
	struct port_cell *cell = &port->cells[ticket.cell];
	cell->request_total = 4096 + GRANT;
	cell->part_bytes = GRANT;
	atomic_store(&cell->given,
	             PORT_PARTS(PORT_WORD_SERIAL(ticket.word), 2));
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_more(port, &request, STOA_NOW), -EUCLEAN);
	assert_int_equal(request.bytes, 4096);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_request_is_not_larger_than_what_is_mapped)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_ticket ticket;
	struct stoa_port_request request = { .bytes = 7 };
	void *data;

	assert_ok(stoa_port_reserve(port, 4096, STOA_PORT_MAPPED, STOA_NOW,
	                            &ticket, &data));
	assert_ok(stoa_port_commit(port, &ticket, 4096));
	port->cells[ticket.cell].request_bytes = GRANT;
	assert_result(stoa_port_take(port, NULL, 0, STOA_NOW, &request),
	              -EAGAIN);
	assert_int_equal(request.bytes, 7);
	stoa_port_close(port);
	stoa_space_close(space);
}

/* Number 0 is a passport's: there is no such grant, and nothing is mapped. */
TEST(a_passport_is_no_grant)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct port_companion passport = port_own(port, PORT_PASSPORT);
	const char *data;
	uint64_t view;

	int mappings = count_mappings(".port.");
	for (int i = 0; i < 3; i++)
		assert_result(port_view_take(port, &passport, 1, &data, &view),
		              -ENOENT);
	assert_int_equal(count_mappings(".port."), mappings);
	stoa_port_close(port);
	stoa_space_close(space);
}

/* ---- With no descriptor to be had ------------------------------------------- */

static struct rlimit allowed;

static void forbid_descriptors(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	assert_system(getrlimit(RLIMIT_NOFILE, &allowed));
	struct rlimit none = { (rlim_t)fd, allowed.rlim_max };
	assert_system(setrlimit(RLIMIT_NOFILE, &none));
}

static void allow_descriptors(void)
{
	assert_system(setrlimit(RLIMIT_NOFILE, &allowed));
}

enum { VAIN = 4 };

static void serve_large(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;
	char *all = calloc(1, GRANT);

	(void)context;
	report(0);
	for (int i = 0; i <= VAIN; i++) {
		assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER,
		                         &request));
		assert_ok(stoa_port_reply(port, &request, 0, all, GRANT,
		                          STOA_FOREVER));
	}
	free(all);
	report(1);
	await_order(); /* its grants are still there */
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_call_whose_reply_can_not_be_mapped_gives_its_place_back)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 1, COPY, GRANT);
	struct child server = start_child(serve_large, NULL);
	char *reply = malloc(GRANT);

	await_report(&server);
	/* More often than there are places. */
	for (int i = 0; i < VAIN; i++) {
		forbid_descriptors();
		int64_t result = stoa_port_call(port, "x", 1, reply, GRANT,
		                                stoa_deadline_in(60 * SECOND));
		allow_descriptors();
		assert_result((int)result, -EMFILE);
	}
	assert_int_equal(stoa_port_call(port, "x", 1, reply, GRANT,
	                                stoa_deadline_in(60 * SECOND)),
	                 GRANT);
	assert_int_equal(await_report(&server), 1);
	give_order(&server, 0);
	end_child(&server);
	free(reply);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_reply_that_can_not_be_mapped_ends_the_request)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 1, COPY, GRANT);
	struct stoa_port_ticket ticket = start_text(port, "x");
	struct stoa_port_request request;
	struct stoa_port_reply reply;
	char *all = calloc(1, GRANT);

	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	forbid_descriptors();
	int result = stoa_port_reply(port, &request, 0, all, GRANT, STOA_NOW);
	allow_descriptors();
	assert_result(result, -EMFILE);
	assert_result(stoa_port_wait(port, &ticket, STOA_NOW, &reply),
	              -ECONNRESET);
	assert_result(stoa_port_reply(port, &request, 0, "x", 1, STOA_NOW),
	              -ESTALE);
	free(all);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_request_is_not_returned_once_a_part_was_asked_for),
	CASE(a_part_that_comes_late_does_not_spoil_the_reply),
	CASE(nobody_reads_the_reply_to_one_that_died),
	CASE(a_part_is_not_larger_than_what_is_mapped),
	CASE(a_request_is_not_larger_than_what_is_mapped),
	CASE(a_passport_is_no_grant),
	CASE(a_call_whose_reply_can_not_be_mapped_gives_its_place_back),
	CASE(a_reply_that_can_not_be_mapped_ends_the_request),
};

MAIN(cases)
