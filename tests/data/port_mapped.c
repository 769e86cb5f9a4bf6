/* SPDX-License-Identifier: MIT */
/* Payloads that are mapped: views, reservations, what a grant costs and leaves,
 * a full space, and what goes in rounds. */
#include "port.h"

#include <sys/mman.h>
#include <sys/stat.h>

enum { COPY = 256, GRANT = 256 << 10, ROUNDS = 3 * GRANT + 12345 };

static struct stoa_port_ticket start_mapped(struct stoa_port *port,
                                            size_t bytes, uint64_t seed)
{
	struct stoa_port_ticket ticket;
	void *data;

	assert_ok(stoa_port_reserve(port, bytes, STOA_PORT_MAPPED, STOA_NOW,
	                            &ticket, &data));
	fill_pattern(data, bytes, seed);
	assert_ok(stoa_port_commit(port, &ticket, bytes));
	return ticket;
}

TEST(a_mapped_request_is_seen_where_it_was_written)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_request request;
	struct stoa_port_reply reply;
	void *data;

	for (int i = 0; i < 100; i++) {
		struct stoa_port_ticket ticket = start_mapped(port, GRANT,
		                                              (uint64_t)i);

		assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
		assert_int_equal(request.mapped, 1);
		assert_true(has_pattern(request.data, GRANT, (uint64_t)i));
		assert_ok(stoa_port_reply_reserve(port, &request, GRANT, &data));
		fill_pattern(data, GRANT, (uint64_t)i + 1);
		assert_ok(stoa_port_reply(port, &request, 0, data, GRANT,
		                          STOA_NOW));
		assert_ok(stoa_port_wait(port, &ticket, STOA_NOW, &reply));
		assert_int_equal(reply.mapped, 1);
		assert_true(has_pattern(reply.data, GRANT, (uint64_t)i + 1));
		assert_ok(stoa_port_finish(port, &ticket, &reply));
	}
	/* Views: one of the client, one of the server, over and over. */
	assert_int_equal(count_mappings(".port."), 2);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_view_can_not_be_written_through)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_ticket ticket = start_mapped(port, 4096, 1);
	struct stoa_port_request request;

	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_int_equal(mprotect((void *)request.data, 4096,
	                          PROT_READ | PROT_WRITE),
	                 -1);
	assert_ok(stoa_port_reply(port, &request, 0, "x", 1, STOA_NOW));
	finish_text(port, &ticket, "x");
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_small_request_may_be_mapped_and_a_reply_shorter_than_reserved)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_ticket ticket = start_mapped(port, 5, 3);
	struct stoa_port_request request;
	void *data;

	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_int_equal(request.mapped, 1);
	assert_int_equal(request.bytes, 5);
	assert_ok(stoa_port_reply_reserve(port, &request, GRANT, &data));
	memcpy(data, "yes", 3);
	assert_ok(stoa_port_reply(port, &request, 0, data, 3, STOA_NOW));
	finish_text(port, &ticket, "yes");
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(what_was_reserved_bounds_what_is_committed)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_ticket ticket;
	struct stoa_port_request request;
	void *data;

	assert_ok(stoa_port_reserve(port, 10, 0, STOA_NOW, &ticket, &data));
	assert_result(stoa_port_commit(port, &ticket, 11), -EMSGSIZE);
	assert_sentence("11 bytes");
	assert_ok(stoa_port_commit(port, &ticket, 10));
	assert_result(stoa_port_commit(port, &ticket, 10), -ESTALE);
	assert_result(stoa_port_reserve(port, GRANT + 1, 0, STOA_NOW, &ticket,
	                                &data),
	              -EMSGSIZE);
	assert_result(stoa_port_reserve(port, 1, 2, STOA_NOW, &ticket, &data),
	              -EINVAL);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_reply_reserve(port, &request, GRANT + 1, &data),
	              -EMSGSIZE);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(all_grants_in_use_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 64, COPY, GRANT);
	struct stoa_port_ticket tickets[STOA_PORT_GRANTS], one;
	void *data;

	for (int i = 0; i < STOA_PORT_GRANTS; i++)
		assert_ok(stoa_port_reserve(port, 4096, STOA_PORT_MAPPED,
		                            STOA_NOW, &tickets[i], &data));
	assert_result(stoa_port_reserve(port, 4096, STOA_PORT_MAPPED, STOA_NOW,
	                                &one, &data),
	              -ENOBUFS);
	assert_sentence("64 mapped payloads");
	assert_ok(stoa_port_cancel(port, &tickets[7]));
	/* A larger one takes the place of a free one. */
	assert_ok(stoa_port_reserve(port, GRANT, STOA_PORT_MAPPED, STOA_NOW,
	                            &one, &data));
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_cancelled_request_stays_the_servers_to_read)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_ticket ticket = start_mapped(port, GRANT, 1), other;
	struct stoa_port_request request;

	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_cancel(port, &ticket), 1);
	other = start_mapped(port, GRANT, 2);
	assert_true(has_pattern(request.data, GRANT, 1));
	assert_result(stoa_port_reply(port, &request, 0, "", 0, STOA_NOW),
	              -ECANCELED);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_true(has_pattern(request.data, GRANT, 2));
	assert_ok(stoa_port_reply(port, &request, 0, "", 0, STOA_NOW));
	finish_text(port, &other, "");
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(a_mapped_reply_outlives_a_server_that_closes)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port *server = join_port(space, STOA_READ);
	struct stoa_port_ticket ticket = start_text(port, "x");
	struct stoa_port_request request;
	struct stoa_port_reply reply;
	void *data;

	assert_ok(stoa_port_take(server, NULL, 0, STOA_NOW, &request));
	assert_ok(stoa_port_reply_reserve(server, &request, GRANT, &data));
	fill_pattern(data, GRANT, 9);
	assert_ok(stoa_port_reply(server, &request, 0, data, GRANT, STOA_NOW));
	stoa_port_close(server);
	/* Somebody who sweeps what is nobody's leaves it. */
	server = join_port(space, STOA_READ);
	assert_ok(stoa_port_wait(port, &ticket, STOA_NOW, &reply));
	assert_true(has_pattern(reply.data, GRANT, 9));
	assert_ok(stoa_port_finish(port, &ticket, &reply));
	stoa_port_close(server);
	assert_port_whole(port);
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(cleaning_leaves_the_living_of_a_port_without_a_name_alone)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct stoa_port_request request;
	struct stoa_port_caller caller;

	assert_ok(stoa_port_unlink(space, "p"));
	struct stoa_port_ticket ticket = start_mapped(port, GRANT, 3);
	assert_int_equal(stoa_space_clean(space, 0, NULL, NULL), 0);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_true(has_pattern(request.data, GRANT, 3));
	assert_ok(stoa_port_caller(port, &request, &caller));
	assert_int_equal(caller.pid, getpid());
	assert_int_equal(caller.bytes_checked, 1);
	assert_ok(stoa_port_reply(port, &request, 0, "x", 1, STOA_NOW));
	finish_text(port, &ticket, "x");
	stoa_port_close(port);
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

TEST(a_full_space_is_told_and_nothing_is_left)
{
	mount_small_space("1M");
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 2, COPY, 8 << 20), *none;
	struct stoa_port_ticket ticket;
	struct stoa_port_attributes attributes = { .size = sizeof(attributes),
		                                   .calls = 4096 };
	char answer[8];
	void *data;
	static char large[2 << 20];
	struct stoa_port_request request;

	assert_result(stoa_port_open(space, "q", BOTH | STOA_CREATE, 0600,
	                             &attributes, &none),
	              -ENOSPC);
	assert_result(stoa_port_reserve(port, 2 << 20, 0, STOA_NOW, &ticket,
	                                &data),
	              -ENOSPC);
	assert_sentence("2097152 bytes");
	assert_result(stoa_port_call(port, large, sizeof(large), answer, 8,
	                             STOA_NOW),
	              -ENOSPC);
	ticket = start_text(port, "x");
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_reply_reserve(port, &request, 2 << 20, &data),
	              -ENOSPC);
	assert_result(stoa_port_reply(port, &request, 0, large, sizeof(large),
	                              STOA_NOW),
	              -ENOSPC);
	assert_ok(stoa_port_reply(port, &request, 0, "y", 1, STOA_NOW));
	finish_text(port, &ticket, "y");
	/* Half of it twice: the first is given up for the second. */
	for (int i = 0; i < 10; i++) {
		assert_ok(stoa_port_reserve(port, (400 << 10) + 8192 * i, 0,
		                            STOA_NOW, &ticket, &data));
		assert_ok(stoa_port_cancel(port, &ticket));
	}
	assert_port_whole(port);
	stoa_port_close(port);
	assert_ok(stoa_port_unlink(space, "p"));
	assert_int_equal(count_stale_files(case_directory(), true), 0);
	stoa_space_close(space);
}

/* ---- Rounds -------------------------------------------------------------- */

static void serve_rounds(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;
	char *all = malloc(ROUNDS);
	size_t reply_bytes = *(size_t *)context;
	int more;

	report(0);
	assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER, &request));
	assert_int_equal(request.total_bytes, ROUNDS);
	do {
		assert_true(request.offset + request.bytes <= ROUNDS);
		memcpy(all + request.offset, request.data, request.bytes);
	} while ((more = stoa_port_more(port, &request, STOA_FOREVER)) == 1);
	assert_int_equal(more, 0);
	assert_true(has_pattern(all, ROUNDS, 5));
	assert_result(stoa_port_return(port, &request), -EALREADY);
	fill_pattern(all, reply_bytes, 6);
	assert_ok(stoa_port_reply(port, &request, 3, all, reply_bytes,
	                          STOA_FOREVER));
	free(all);
	stoa_port_close(port);
	stoa_space_close(space);
}

struct progress {
	uint64_t calls, done, total;
};

static void note_progress(uint64_t done, uint64_t total, void *context)
{
	struct progress *progress = context;

	assert_true(done >= progress->done && done <= total);
	progress->calls++;
	progress->done = done;
	progress->total = total;
}

static void carry_in_rounds(size_t reply_bytes)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	struct child server = start_child(serve_rounds, &reply_bytes);
	struct progress progress = { 0 };
	char *request = malloc(ROUNDS), *reply = malloc(ROUNDS);
	struct stoa_port_exchange exchange = { .size = sizeof(exchange),
		                               .request = request,
		                               .request_bytes = ROUNDS,
		                               .reply = reply,
		                               .reply_room = ROUNDS,
		                               .progress = note_progress,
		                               .context = &progress };

	await_report(&server);
	fill_pattern(request, ROUNDS, 5);
	assert_ok(stoa_port_exchange(port, &exchange, STOA_FOREVER));
	assert_int_equal(exchange.ret_bytes, reply_bytes);
	assert_int_equal(exchange.ret_status, 3);
	assert_true(has_pattern(reply, reply_bytes, 6));
	assert_true(progress.calls >= 4);
	assert_true(progress.done >= ROUNDS);
	end_child(&server);
	free(request);
	free(reply);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

TEST(what_is_larger_than_a_grant_goes_in_rounds)
{
	carry_in_rounds(ROUNDS);
}

TEST(a_last_round_may_be_small_or_a_whole_grant)
{
	carry_in_rounds(GRANT + 1);
	assert_system(unlink(case_path("p.port")));
	carry_in_rounds(2 * GRANT);
}

TEST(a_reply_that_fits_follows_a_request_in_rounds)
{
	carry_in_rounds(GRANT);
}

TEST(rounds_need_somebody_there)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, 4, COPY, GRANT);
	char *large = calloc(1, ROUNDS);
	struct stoa_port_ticket ticket;
	struct stoa_port_request request;

	assert_result(stoa_port_start(port, large, ROUNDS, STOA_NOW, &ticket),
	              -EMSGSIZE);
	assert_sentence("stoa_port_exchange()");
	ticket = start_text(port, "x");
	assert_ok(stoa_port_take(port, NULL, 0, STOA_NOW, &request));
	assert_result(stoa_port_reply(port, &request, 0, large, ROUNDS,
	                              stoa_deadline_in(10 * MS)),
	              -ETIMEDOUT);
	struct stoa_port_reply reply;
	assert_result(stoa_port_wait(port, &ticket, STOA_NOW, &reply),
	              -ECONNRESET);
	free(large);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_mapped_request_is_seen_where_it_was_written),
	CASE(a_view_can_not_be_written_through),
	CASE(a_small_request_may_be_mapped_and_a_reply_shorter_than_reserved),
	CASE(what_was_reserved_bounds_what_is_committed),
	CASE(all_grants_in_use_is_told),
	CASE(a_cancelled_request_stays_the_servers_to_read),
	CASE(a_mapped_reply_outlives_a_server_that_closes),
	CASE(cleaning_leaves_the_living_of_a_port_without_a_name_alone),
	CASE(a_full_space_is_told_and_nothing_is_left),
	CASE(what_is_larger_than_a_grant_goes_in_rounds),
	CASE(a_last_round_may_be_small_or_a_whole_grant),
	CASE(a_reply_that_fits_follows_a_request_in_rounds),
	CASE(rounds_need_somebody_there),
};

MAIN(cases)
