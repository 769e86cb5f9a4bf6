/* SPDX-License-Identifier: MIT */
/* port.c: every operation on a port, as a victim performs it; words of one
 * that could be true, and attacks that know the layout. */
#include "hostile.h"

#include <data/port_internal.h>

enum { COPY = 100, GRANT = 8192, KEPT = 4, FLIPS = 300 };

#define BOTH (STOA_READ | STOA_WRITE)

static const struct stoa_port_attributes shapes[] = {
	{ .size = sizeof(shapes[0]),
	  .calls = 3,
	  .copy_bytes = COPY,
	  .grant_bytes = GRANT },
};

/* ---- Made in every state ------------------------------------------------ */

static char payload[3 * GRANT];

static void must_start(struct stoa_port *port, size_t bytes)
{
	struct stoa_port_ticket ticket;

	must(stoa_port_start(port, payload, bytes, STOA_NOW, &ticket), "start");
}

/* Dies with a reservation, a request that waits, and one that it took. */
static void hold(void *handle)
{
	struct stoa_port *port = handle;
	struct stoa_port_ticket ticket;
	struct stoa_port_request request;
	void *data;

	must_start(port, 10);
	must(stoa_port_take(port, NULL, 0, STOA_NOW, &request), "take");
	must_start(port, 1000);
	must(stoa_port_reserve(port, 10, 0, STOA_NOW, &ticket, &data),
	     "reserve");
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_port *port;
	struct stoa_port_request request;

	must(stoa_port_open(space, name, BOTH | STOA_CREATE, 0600,
	                    &shapes[shape], &port),
	     "open");
	must_start(port, 20);
	must(stoa_port_take(port, NULL, 0, STOA_NOW, &request), "take");
	must(stoa_port_reply(port, &request, 0, payload, 500, STOA_NOW),
	     "reply");
	hold_and_die(hold, port);
	stoa_port_close(port);
}

static int open_port(struct victim *victim)
{
	struct stoa_port *port;
	int result = stoa_port_open(victim->space, victim->name,
	                            BOTH | victim->flags, 0600, NULL, &port);

	if (result < 0)
		return result;
	victim->handle = port;
	victim->object = &port->object;
	return result;
}

static void close_port(struct victim *victim)
{
	stoa_port_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

/* What it has, or had: of an earlier handle, too. */
static struct stoa_port_ticket tickets[KEPT];
static struct stoa_port_request requests[KEPT];

static size_t some_size(struct victim *victim)
{
	static const size_t sizes[] = { 0,    1,     COPY,      COPY + 1,
		                        4096, GRANT, GRANT + 1, 64 };

	return one_in(victim, 2) ? some(victim, 2 * COPY) :
	                           sizes[some(victim, LENGTH(sizes))];
}

static struct stoa_port_ticket *some_ticket(struct victim *victim)
{
	return &tickets[some(victim, KEPT)];
}

static struct stoa_port_request *some_request(struct victim *victim)
{
	return &requests[some(victim, KEPT)];
}

static long long start(struct victim *victim)
{
	size_t bytes = some_size(victim);
	void *data = exact(bytes);
	int result = stoa_port_start(victim->handle, data, bytes, soon(victim),
	                             some_ticket(victim));

	free(data);
	return result;
}

static long long reserve(struct victim *victim)
{
	size_t bytes = some_size(victim);
	void *data;
	int result = stoa_port_reserve(victim->handle, bytes,
	                               one_in(victim, 2) ? STOA_PORT_MAPPED : 0,
	                               soon(victim), &tickets[0], &data);

	if (result == 0)
		memset(data, 'r', bytes);
	return result;
}

static long long commit(struct victim *victim)
{
	return stoa_port_commit(victim->handle, &tickets[0],
	                        some_size(victim));
}

static long long cancel(struct victim *victim)
{
	return stoa_port_cancel(victim->handle, some_ticket(victim));
}

static void check_bytes(struct victim *victim, const void *data, uint64_t bytes,
                        int mapped)
{
	struct stoa_port *port = victim->handle;

	if (bytes > (mapped ? port->grant_bytes : port->copy_bytes))
		finding("%llu bytes, mapped: %d", (unsigned long long)bytes,
		        mapped);
	if (!mapped)
		check_loan(victim, data, bytes, port->requests,
		           2 * port->cell_count * port->stride);
	sum_of(data, bytes);
}

static long long wait_and_finish(struct victim *victim)
{
	struct stoa_port_ticket *ticket = some_ticket(victim);
	struct stoa_port_reply reply;
	int result = stoa_port_wait(victim->handle, ticket, soon(victim),
	                            &reply);

	if (result < 0)
		return result;
	check_bytes(victim, reply.data, reply.bytes, (int)reply.mapped);
	return stoa_port_finish(victim->handle, ticket, &reply);
}

static long long take(struct victim *victim)
{
	struct stoa_port_request *request = some_request(victim);
	size_t room = some_size(victim);
	void *buffer = exact(room);
	int result = stoa_port_take(victim->handle, buffer, room, soon(victim),
	                            request);

	if (result == 0 && request->data == buffer) {
		if (request->bytes > room)
			finding("took %llu bytes into %zu",
			        (unsigned long long)request->bytes, room);
		sum_of(buffer, request->bytes);
		request->data = NULL;
	} else if (result == 0) {
		check_bytes(victim, request->data, request->bytes,
		            (int)request->mapped);
	}
	free(buffer);
	return result;
}

static long long more(struct victim *victim)
{
	struct stoa_port_request *request = some_request(victim);
	int result = stoa_port_more(victim->handle, request, soon(victim));

	if (result != 1)
		return result;
	struct stoa_port *port = victim->handle;
	if (request->bytes > port->views[request->view - 1].bytes)
		finding("a part of %llu bytes, and fewer are mapped",
		        (unsigned long long)request->bytes);
	check_bytes(victim, request->data, request->bytes, 1);
	return result;
}

static long long reply(struct victim *victim)
{
	size_t bytes = some_size(victim);
	void *data = exact(bytes);
	int result = stoa_port_reply(victim->handle, some_request(victim), 0,
	                             data, bytes, soon(victim));

	free(data);
	return result;
}

static long long reply_in_place(struct victim *victim)
{
	struct stoa_port_request *request = some_request(victim);
	size_t bytes = some_size(victim);
	void *data;
	int result = stoa_port_reply_reserve(victim->handle, request, bytes,
	                                     &data);

	if (result < 0)
		return result;
	memset(data, 'a', bytes);
	return stoa_port_reply(victim->handle, request, 0, data, bytes,
	                       STOA_NOW);
}

static long long give_back(struct victim *victim)
{
	return stoa_port_return(victim->handle, some_request(victim));
}

static long long ask_cancelled(struct victim *victim)
{
	return stoa_port_cancelled(victim->handle, some_request(victim));
}

static long long ask_caller(struct victim *victim)
{
	struct stoa_port_caller caller;

	return stoa_port_caller(victim->handle, some_request(victim), &caller);
}

static long long call(struct victim *victim)
{
	size_t bytes = one_in(victim, 4) ? sizeof(payload) : some_size(victim);
	size_t room = some_size(victim);
	void *data = exact(bytes), *answer = exact(room);
	long long result = stoa_port_call(victim->handle, data, bytes, answer,
	                                  room, soon(victim));

	if (result > (long long)room)
		finding("a reply of %lld bytes in %zu", result, room);
	sum_of(answer, room);
	free(data);
	free(answer);
	return result;
}

static int see_call(const struct stoa_port_under_way *under_way, void *context)
{
	*(unsigned *)context += under_way->phase;
	return 0;
}

static long long look(struct victim *victim)
{
	struct stoa_port_status status = { .size = sizeof(status) };
	unsigned seen = 0;
	int result = stoa_port_stat(victim->handle, &status);

	return result < 0 ? result :
	                    stoa_port_each_call(victim->handle, see_call, &seen);
}

static int port_pollfd(struct victim *victim, unsigned direction)
{
	return stoa_port_pollfd(victim->handle, direction);
}

static long long poll_once(struct victim *victim)
{
	return poll_descriptor(port_pollfd(
		victim, one_in(victim, 2) ? STOA_READ : STOA_WRITE));
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, 0, some_ticket(victim));
}

static const struct operation operations[] = {
	{ "start", start, 12, false, false },
	{ "take", take, 12, false, false },
	{ "reply", reply, 12, false, false },
	{ "wait and finish", wait_and_finish, 12, false, false },
	{ "reserve", reserve, 5, false, false },
	{ "commit", commit, 5, false, false },
	{ "take (once more)", take, 6, false, false },
	{ "reply in place", reply_in_place, 6, false, false },
	{ "more", more, 4, false, false },
	{ "return", give_back, 4, false, false },
	{ "cancelled", ask_cancelled, 4, false, false },
	{ "caller", ask_caller, 4, false, false },
	{ "cancel", cancel, 8, false, false },
	{ "call", call, 6, false, false },
	{ "stat", look, 3, false, false },
	{ "pollfd", poll_once, 2, true, false },
	{ "wait_any", wait_any, 4, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { ESTALE,    ECONNRESET, ECANCELED, EMSGSIZE,
	                      EREMOTEIO, ENOBUFS,    EFBIG,     EPERM,
	                      EALREADY,  EINVAL,     ENOENT,    0 };

/* ---- Where things are --------------------------------------------------- */

enum { CONTROL, CELLS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_port *port = victim->handle;

	image_region(image, "control", victim, port->control,
	             sizeof(*port->control), 0);
	image_region(image, "cells", victim, port->cells,
	             port->cell_count * sizeof(*port->cells),
	             sizeof(*port->cells));
	image_idle_region(image, "payloads", victim, port->requests,
	                  2 * port->cell_count * port->stride);
	image_number(image, port->cell_count);
	image_number(image, port->copy_bytes);
	image_number(image, port->grant_bytes);
}

#define CELL_FIELD(member, meaning) \
	FIELD(CELLS, port_cell, member, meaning, 0)

static const struct field fields[] = {
	FIELD(CONTROL, port_control, used, MEANS_NUMBER, 0),
	CELL_FIELD(word, MEANS_OWN),
	CELL_FIELD(stamp, MEANS_ANYTHING),
	CELL_FIELD(client, MEANS_TOKEN),
	CELL_FIELD(request_bytes, MEANS_NUMBER),
	CELL_FIELD(reply_bytes, MEANS_NUMBER),
	CELL_FIELD(request_grant, MEANS_NUMBER),
	CELL_FIELD(reply_grant, MEANS_NUMBER),
	CELL_FIELD(reply_owner, MEANS_TOKEN),
	CELL_FIELD(reply_peer, MEANS_PEER),
	CELL_FIELD(client_event, MEANS_EVENT),
	CELL_FIELD(server_event, MEANS_EVENT),
	CELL_FIELD(orphan, MEANS_NUMBER),
	CELL_FIELD(request_total, MEANS_NUMBER),
	CELL_FIELD(reply_total, MEANS_NUMBER),
	CELL_FIELD(asked, MEANS_OWN),
	CELL_FIELD(given, MEANS_OWN),
	CELL_FIELD(put, MEANS_OWN),
	CELL_FIELD(got, MEANS_OWN),
	CELL_FIELD(part_bytes, MEANS_NUMBER),
	{ .name = NULL },
};

static uint64_t some_cell_word(struct scribbler *scribbler)
{
	uint64_t word = PORT_WORD(below(scribbler, 6), below(scribbler, 8),
	                          some_token(scribbler) & PORT_TOKEN_MASK);

	return below(scribbler, 4) == 0 ? word | PORT_CANCELLED : word;
}

static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	if (field->offset == offsetof(struct port_cell, word))
		return some_cell_word(scribbler);
	return PORT_PARTS(below(scribbler, 6), below(scribbler, 4));
}

/* ---- Attacks ------------------------------------------------------------ */

static struct port_cell *some_cell(struct scribbler *scribbler)
{
	struct port_cell *cells =
		(void *)(scribbler->base +
	                 own_region(scribbler, CELLS)->offset);

	return &cells[below(scribbler, scribbler->image->numbers[0])];
}

/* Phases and owners change under everybody's hands. */
static void flip_words(struct scribbler *scribbler)
{
	learn_tokens(scribbler);
	for (int i = 0; i < FLIPS; i++) {
		struct port_cell *cell = some_cell(scribbler);
		uint64_t word = atomic_load(&cell->word);

		atomic_store(&cell->word, some_cell_word(scribbler));
		atomic_store(&cell->word,
		             (word & ~(UINT64_C(15) << 31)) |
		                     below(scribbler, 8) << 31);
	}
	revive(scribbler);
}

/* Sizes and numbers of grants change between two loads. */
static void flip_sizes(struct scribbler *scribbler)
{
	for (int i = 0; i < FLIPS; i++) {
		struct port_cell *cell = some_cell(scribbler);
		uint64_t bytes = below(scribbler, 2) ?
		                         below(scribbler, 2 * GRANT) :
		                         next_random(&scribbler->chance) >>
		                                 below(scribbler, 64);

		__atomic_store_n(&cell->request_bytes, bytes, __ATOMIC_RELAXED);
		__atomic_store_n(&cell->reply_bytes, bytes, __ATOMIC_RELAXED);
		__atomic_store_n(&cell->part_bytes, bytes, __ATOMIC_RELAXED);
		__atomic_store_n(&cell->request_total,
		                 next_random(&scribbler->chance),
		                 __ATOMIC_RELAXED);
		__atomic_store_n(&cell->request_bytes, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&cell->reply_bytes, 1, __ATOMIC_RELAXED);
	}
	revive(scribbler);
}

/* Requests with grants that are nowhere, without end. */
static void ready_for_ever(struct scribbler *scribbler)
{
	for (int i = 0; i < FLIPS; i++) {
		struct port_cell *cell = some_cell(scribbler);

		__atomic_store_n(&cell->request_grant, 77, __ATOMIC_RELAXED);
		atomic_store(&cell->word,
		             PORT_WORD(i, PORT_READY, scribbler->living_token));
	}
}

/* Parts of rounds are asked for and put, without end. */
static void rounds_for_ever(struct scribbler *scribbler)
{
	for (int i = 0; i < FLIPS; i++) {
		struct port_cell *cell = some_cell(scribbler);
		uint32_t serial = PORT_WORD_SERIAL(atomic_load(&cell->word));

		__atomic_store_n(&cell->request_total, 3 * GRANT,
		                 __ATOMIC_RELAXED);
		__atomic_store_n(&cell->part_bytes, GRANT, __ATOMIC_RELAXED);
		atomic_store(&cell->asked, PORT_PARTS(serial, i + 2));
		atomic_store(&cell->given, PORT_PARTS(serial, i + 2));
		atomic_store(&cell->put, PORT_PARTS(serial, i + 2));
		atomic_store(&cell->got, PORT_PARTS(serial, i + 2));
	}
}

static const struct attack attacks[] = {
	{ "words that flip", flip_words, 6 },
	{ "sizes that flip", flip_sizes, 6 },
	{ "requests without end", ready_for_ever, 3 },
	{ "rounds without end", rounds_for_ever, 3 },
	{ NULL, NULL, 0 },
};

static void forge(struct scribbler *scribbler)
{
	attacks[below(scribbler, LENGTH(attacks) - 1)].store(scribbler);
}

const struct noun port_noun = {
	.kind = "port",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_port,
	.close = close_port,
	.locate = locate,
	.word = some_word,
	.forge = forge,
	.pollfd = port_pollfd,
	.attacks = attacks,
};
