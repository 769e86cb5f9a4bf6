/* SPDX-License-Identifier: MIT */
/* What goes in parts, when the two sides don't keep step. */
#include "port.h"

#include <data/port_internal.h>

enum { COPY = 256, GRANT = 256 << 10 };

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

static const struct CMUnitTest cases[] = {
	CASE(a_part_is_not_larger_than_what_is_mapped),
	CASE(a_passport_is_no_grant),
};

MAIN(cases)
