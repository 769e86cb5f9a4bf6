/* SPDX-License-Identifier: MIT */
/* data/port_rounds.c: what is larger than one grant, in parts. See ROUNDS in
 * port_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <data/port_internal.h>

/* How many parts of this call's a word of line 1 counts. */
static uint32_t parts_of(_Atomic uint64_t *word, uint32_t serial)
{
	/* seq_cst: EVENT_DEKKER; and acquire, for the part's bytes */
	uint64_t value = atomic_load_explicit(word, memory_order_seq_cst);

	return value >> 32 == serial ? (uint32_t)value : 0;
}

static void set_parts(_Atomic uint64_t *word, uint32_t serial, uint32_t parts)
{
	/* seq_cst: EVENT_DEKKER; and release */
	atomic_exchange_explicit(word, PORT_PARTS(serial, parts),
	                         memory_order_seq_cst);
}

/* ---- The client ------------------------------------------------------------------ */

static void tell_progress(struct stoa_port *port,
                          const struct stoa_port_ticket *ticket,
                          const struct port_rounds *rounds)
{
	uint64_t done = rounds->given + rounds->got;

	atomic_store_explicit(&port->cells[ticket->cell].done, done,
	                      memory_order_relaxed);
	if (rounds->progress)
		rounds->progress(done,
		                 rounds->request_bytes + rounds->reply_total,
		                 rounds->context);
}

static uint64_t next_part(struct stoa_port *port,
                          const struct port_rounds *rounds)
{
	uint64_t left = rounds->request_bytes - rounds->given;

	return left < port->grant_bytes ? left : port->grant_bytes;
}

int port_rounds_start(struct stoa_port *port, struct port_rounds *rounds,
                      struct stoa_deadline deadline,
                      struct stoa_port_ticket *ret_ticket)
{
	struct stoa_port_ticket ticket;
	void *data;
	int result = stoa_port_reserve(port, port->grant_bytes,
	                               STOA_PORT_MAPPED, deadline, &ticket,
	                               &data);

	if (result < 0)
		return result;
	memcpy(data, rounds->request, port->grant_bytes);
	rounds->given = port->grant_bytes;
	rounds->parts_given = 1;
	result = port_commit_rounds(port, &ticket, port->grant_bytes,
	                            rounds->request_bytes);
	if (result < 0) {
		stoa_port_cancel(port, &ticket);
		return result;
	}
	tell_progress(port, &ticket, rounds);
	*ret_ticket = ticket;
	return 0;
}

static int give_part(struct stoa_port *port, struct stoa_port_ticket *ticket,
                     struct port_rounds *rounds, uint32_t serial)
{
	struct port_cell *cell = &port->cells[ticket->cell];
	uint64_t bytes = next_part(port, rounds), room = 0;
	char *grant = port_grant_at(port, ticket->grant, &room);

	if (!grant || room < bytes)
		return port_stale(port);
	memcpy(grant, rounds->request + rounds->given, bytes);
	cell_set(cell, part_bytes, bytes);
	rounds->given += bytes;
	rounds->parts_given++;
	set_parts(&cell->given, serial, rounds->parts_given);
	port_tell_word(&cell->server_event);
	tell_progress(port, ticket, rounds);
	return 1;
}

static int get_part(struct stoa_port *port, struct stoa_port_ticket *ticket,
                    struct port_rounds *rounds, uint32_t serial)
{
	struct port_cell *cell = &port->cells[ticket->cell];
	/* Not part_bytes: a part of the request may be given at any time. */
	uint64_t bytes = port->grant_bytes, view;
	const char *data;

	struct port_companion grant = port_reply_grant(cell);
	int result = port_view_take(port, &grant, bytes, &data, &view);
	if (result < 0)
		return result == -ENOENT ? 0 : result; /* its death is met */
	if (rounds->got + bytes <= rounds->room)
		memcpy(rounds->reply + rounds->got, data, bytes);
	rounds->got += bytes;
	rounds->reply_total = cell_get(cell, reply_total);
	rounds->parts_got++;
	if (port_view_drop(port, view))
		return -EIO;
	set_parts(&cell->got, serial, rounds->parts_got);
	port_tell_word(&cell->server_event);
	tell_progress(port, ticket, rounds);
	return 1;
}

int port_rounds_step(struct stoa_port *port, struct stoa_port_ticket *ticket,
                     uint64_t word, struct port_rounds *rounds)
{
	struct port_cell *cell = &port->cells[ticket->cell];
	uint32_t serial = PORT_WORD_SERIAL(word);

	/* What fits in one grant has nothing to give. */
	if (rounds->given != 0 && rounds->given < rounds->request_bytes &&
	    parts_of(&cell->asked, serial) > rounds->parts_given)
		return give_part(port, ticket, rounds, serial);
	if (PORT_WORD_PHASE(word) == PORT_REPLYING &&
	    parts_of(&cell->put, serial) > rounds->parts_got)
		return get_part(port, ticket, rounds, serial);
	return 0;
}

int port_rounds_end(struct stoa_port *port, struct stoa_port_ticket *ticket,
                    uint64_t word, struct port_rounds *rounds,
                    struct stoa_port_exchange *exchange)
{
	uint64_t got = rounds->got;
	struct stoa_port_exchange last = *exchange;

	last.reply = rounds->reply + (got < rounds->room ? got : rounds->room);
	last.reply_room = got < rounds->room ? rounds->room - got : 0;
	int result = port_read_reply(port, ticket, word, &last);
	if (result < 0 && result != -EMSGSIZE)
		return result;
	exchange->ret_bytes = got + last.ret_bytes;
	exchange->ret_status = last.ret_status;
	if (exchange->ret_bytes > rounds->room)
		return -EMSGSIZE;
	if (rounds->progress)
		rounds->progress(rounds->given + exchange->ret_bytes,
		                 rounds->given + exchange->ret_bytes,
		                 rounds->context);
	return 0;
}

/* ---- The server ------------------------------------------------------------------ */

/* Waits until the client has raised `*count` to `parts`. */
static int await_parts(struct stoa_port *port,
                       const struct stoa_port_request *request,
                       _Atomic uint64_t *count, uint32_t parts,
                       struct stoa_deadline deadline)
{
	struct port_cell *cell = &port->cells[request->cell];
	uint32_t serial = PORT_WORD_SERIAL(request->word);
	struct stoa_waiter waiter;
	int result = 0;

	stoa_waiter_init(&waiter, &port->object, STOA_READ, deadline);
	stoa_waiter_move(&waiter, &cell->server_event);
	while (result == 0 && parts_of(count, serial) < parts) {
		uint64_t word = port_word(cell);

		if (word != request->word) {
			result = (word & ~PORT_CANCELLED) != request->word ?
			                 port_stale(port) :
			         stoa_object_alive(&port->object,
			                           request->client) ?
			                 -ECANCELED :
			                 -ECONNRESET;
			break;
		}
		if (waiter.armed) {
			waiter.blocker = port_bearer(port, request->client);
			if (waiter.sliced)
				stoa_object_alive_or_bury(&port->object,
				                          request->client);
		}
		result = stoa_waiter_step(&waiter);
	}
	stoa_waiter_fini(&waiter);
	return result;
}

int stoa_port_more(struct stoa_port *port, struct stoa_port_request *request,
                   struct stoa_deadline deadline)
{
	int result = port_begin(port, STOA_READ);

	if (result < 0)
		return result;
	struct port_cell *cell = port_cell_of(port, request->cell,
	                                      request->word);
	if (!cell || request->word == 0)
		return port_stale(port);
	if (request->offset + request->bytes >= request->total_bytes)
		return 0;
	uint32_t parts = (uint32_t)request->reserved[0] + 1;
	request->reserved[1] = 1; /* it can't be returned any more */
	set_parts(&cell->asked, PORT_WORD_SERIAL(request->word), parts);
	/* Even if the part doesn't come: it was asked for. */
	port_tell_word(&cell->client_event);
	result = await_parts(port, request, &cell->given, parts, deadline);
	if (result < 0)
		return (int)port_end(port, result);
	uint64_t bytes = cell_get(cell, part_bytes);
	uint64_t offset = request->offset + request->bytes;
	/* The first part may have needed less than this one does. */
	if (bytes > port->grant_bytes ||
	    bytes > request->total_bytes - offset ||
	    bytes > port_view_bytes(port, request->view))
		return stoa_object_damaged(&port->object,
		                           "a request is larger than can be");
	request->offset = offset;
	request->bytes = bytes;
	request->reserved[0] = parts;
	return (int)port_end(port, 1);
}

int port_rounds_reply(struct stoa_port *port, struct stoa_port_request *request,
                      const char **data, uint64_t *bytes,
                      struct stoa_deadline deadline)
{
	struct port_cell *cell = &port->cells[request->cell];
	uint64_t next = port_with(request->word, PORT_REPLYING,
	                          PORT_WORD_TOKEN(request->word));
	uint64_t total = *bytes;
	uint32_t serial = PORT_WORD_SERIAL(next);
	char *at;

	port_grant_drop(port, request->grant);
	request->grant = 0;
	int result = port_grant_take(port, port->grant_bytes, &request->grant,
	                             &at);
	if (result < 0)
		return result;
	port_name_reply(port, cell);
	cell_set(cell, reply_grant, request->grant);
	cell_set(cell, reply_total, total);
	if (!port_exchange(cell, request->word, next))
		return -ECANCELED;
	request->word = next;
	for (uint32_t parts = 1; result == 0 && *bytes > port->grant_bytes;
	     parts++) {
		memcpy(at, *data, port->grant_bytes);
		set_parts(&cell->put, serial, parts);
		port_tell_word(&cell->client_event);
		result = await_parts(port, request, &cell->got, parts,
		                     deadline);
		*data += port->grant_bytes;
		*bytes -= port->grant_bytes;
	}
	/* Who gave up and who died are one to who answers. */
	return result == -ECONNRESET ? -ECANCELED : result;
}
