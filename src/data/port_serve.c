/* SPDX-License-Identifier: MIT */
/* data/port_serve.c: the server's side. See port_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <data/port_internal.h>

#define LOOKS 1000      /* a lie may look younger for ever */
#define TAKE_TRIES 1000 /* others may be quicker so often */

/* ---- Finding ------------------------------------------------------------------- */

/* One look at all cells that were ever used: the READY one with the least
 * stamp. 1 found, 0 none. */
static int look_at_all(struct stoa_port *port, uint32_t used,
                       struct port_found *found, uint64_t *stamp)
{
	int any = 0;

	for (uint32_t i = 0; i < used; i++) {
		struct port_cell *cell = &port->cells[i];
		uint64_t word = port_word(cell);

		if (PORT_WORD_PHASE(word) != PORT_READY)
			continue;
		uint64_t of = cell_get(cell, stamp);
		if (any && (int64_t)(of - *stamp) >= 0)
			continue;
		*stamp = of;
		*found = (struct port_found){ word, i };
		any = 1;
	}
	return any;
}

int port_find(struct stoa_port *port, struct port_found *ret_found)
{
	uint32_t used = port_used(port);
	struct port_found found, again;
	uint64_t stamp, stamp_again;

	if (!look_at_all(port, used, &found, &stamp))
		return -EAGAIN;
	/* PORT_ORDER: one committed behind the first look may be older than the
	 * one found. Another look tells, for all that were older when that one
	 * was committed. What it finds instead may be younger, if the first was
	 * taken or given up meanwhile: then that is a first find itself. */
	for (int looks = 0; used > 1 && looks < LOOKS; looks++) {
		if (!look_at_all(port, port_used(port), &again, &stamp_again))
			break;
		int64_t younger = (int64_t)(stamp_again - stamp);
		found = again;
		stamp = stamp_again;
		if (younger <= 0)
			break;
	}
	*ret_found = found;
	return 0;
}

/* ---- Taking -------------------------------------------------------------------- */

/* The request is out of this handle's hands. */
static void let_go(struct stoa_port *port, struct stoa_port_request *request)
{
	port_view_drop(port, request->view);
	request->view = 0;
	request->word = 0;
	request->data = NULL;
}

/* The cell that a request is of, while this process has it. `ret_word` is what
 * it says now. */
static struct port_cell *cell_of(struct stoa_port *port,
                                 const struct stoa_port_request *request,
                                 uint64_t *ret_word)
{
	struct port_cell *cell = port_cell_of(port, request->cell,
	                                      request->word);

	if (!cell || request->word == 0)
		return NULL;
	*ret_word = port_word(cell);
	return (*ret_word & ~PORT_CANCELLED) == request->word ? cell : NULL;
}

/* The client will get no reply: it is told so, unless it doesn't wait. */
static void reset_client(struct stoa_port *port, uint32_t index, uint64_t word,
                         uint32_t client)
{
	struct port_cell *cell = &port->cells[index];

	if (!(word & PORT_CANCELLED)) {
		if (port_exchange(cell, word,
		                  port_with(word, PORT_RESET, client))) {
			port_tell_client(port, cell);
			return;
		}
		word |= PORT_CANCELLED;
	}
	port_free_cell(port, index, word);
}

/* What stands in the cell, checked. */
static int describe(struct stoa_port *port, struct stoa_port_request *request)
{
	struct port_cell *cell = &port->cells[request->cell];
	uint32_t grant = cell_get(cell, request_grant);
	const char *data = port_request_at(port, request->cell);

	request->bytes = cell_get(cell, request_bytes);
	request->total_bytes = request->bytes;
	if (request->bytes > (grant ? port->grant_bytes : port->copy_bytes))
		return stoa_object_damaged(&port->object,
		                           "a request is larger than can be");
	if (stoa_unlikely(grant != 0)) {
		struct port_companion companion = {
			port_bearer(port, request->client), request->client,
			grant
		};
		int result = port_view_take(port, &companion, request->bytes,
		                            &data, &request->view);

		if (result < 0)
			return result;
		request->mapped = 1;
		request->total_bytes = cell_get(cell, request_total);
		if (request->total_bytes < request->bytes)
			request->total_bytes = request->bytes;
	}
	request->data = data;
	return 0;
}

/* One of those that wait becomes this handle's. THE COMMIT POINT of a take. */
static int claim(struct stoa_port *port, struct stoa_port_request *request)
{
	uint32_t token = stoa_object_token(&port->object);
	struct port_found found;

	for (int tries = 0; tries < TAKE_TRIES; tries++) {
		int result = port_find(port, &found);

		if (result < 0)
			return result;
		struct port_cell *cell = &port->cells[found.cell];
		uint64_t taken = port_with(found.word, PORT_TAKEN, token);

		stoa_cpu_prefetch_write(port_reply_at(port, found.cell));
		if (!port_exchange(cell, found.word, taken))
			continue;
		*request = (struct stoa_port_request){
			.cell = found.cell,
			.word = taken,
			.client = PORT_WORD_TOKEN(found.word),
			.reserved = { 1 }, /* parts seen */
		};
		return 0;
	}
	return -EAGAIN;
}

static int take_once(struct stoa_port *port, struct stoa_port_request *request)
{
	/* Bounded: somebody may write requests without grants for ever. */
	for (int tries = 0; tries < TAKE_TRIES; tries++) {
		int result = claim(port, request);

		if (result == 0)
			result = describe(port, request);
		else
			return result;
		if (stoa_likely(result == 0))
			return 0;
		if (result == -ENOENT) {
			/* Its client has died, or never made the grant. */
			reset_client(port, request->cell, request->word,
			             request->client);
			continue;
		}
		/* Not its fault: another server may do better. */
		int given = stoa_port_return(port, request);
		if (given == -EIDRM)
			result = given;
		return result;
	}
	return -EAGAIN;
}

static int wait_for_request(struct stoa_port *port,
                            struct stoa_deadline deadline,
                            struct stoa_port_request *request)
{
	struct stoa_waiter waiter;
	int result, step = 0;

	stoa_waiter_init(&waiter, &port->object, STOA_READ, deadline);
	stoa_waiter_may_yield(&waiter);
	while ((result = take_once(port, request)) == -EAGAIN &&
	       (step = stoa_waiter_step(&waiter)) == 0)
		;
	stoa_waiter_fini(&waiter);
	return result == -EAGAIN ? step : result;
}

int stoa_port_take(struct stoa_port *port, void *buffer, size_t room,
                   struct stoa_deadline deadline,
                   struct stoa_port_request *ret_request)
{
	struct stoa_port_request request;
	int result = port_begin(port, STOA_READ);

	if (stoa_unlikely(result < 0))
		return result;
	if (deadline.kind == STOA_DEADLINE_NOW)
		result = take_once(port, &request);
	else
		result = wait_for_request(port, deadline, &request);
	if (result == -EAGAIN)
		port_idle(port, STOA_READ);
	if (result < 0)
		return (int)port_end(port, result);
	if (!request.mapped && request.bytes <= room && room > 0) {
		memcpy(buffer, request.data, request.bytes);
		request.data = buffer;
	}
	port_count(&port_seat(port)->messages_out, 1);
	result = (int)port_end(port, 0);
	if (result == 0)
		*ret_request = request;
	return result;
}

/* ---- Answering ------------------------------------------------------------------- */

int stoa_port_reply_reserve(struct stoa_port *port,
                            struct stoa_port_request *request, uint64_t bytes,
                            void **ret_data)
{
	uint64_t word;
	char *data;
	int result = port_begin(port, STOA_READ);

	if (result < 0)
		return result;
	if (!cell_of(port, request, &word))
		return port_stale(port);
	if (bytes > port->grant_bytes)
		return stoa_fail(-EMSGSIZE,
		                 "%llu bytes are more than port %s maps at once "
		                 "(%llu); let stoa_port_reply() send it in "
		                 "rounds",
		                 (unsigned long long)bytes, port->object.name,
		                 (unsigned long long)port->grant_bytes);
	if (bytes <= port->copy_bytes) {
		*ret_data = port_reply_at(port, request->cell);
		return 0;
	}
	port_grant_drop(port, request->grant);
	request->grant = 0;
	result = port_grant_take(port, bytes, &request->grant, &data);
	if (result == 0)
		*ret_data = data;
	return (int)port_end(port, result);
}

/* Puts the reply where the client will look. */
static int put(struct stoa_port *port, struct stoa_port_request *request,
               const char *data, uint64_t bytes, uint32_t *ret_grant)
{
	char *at = port_reply_at(port, request->cell);
	uint64_t room = port->copy_bytes;

	*ret_grant = 0;
	if (stoa_unlikely(bytes > port->copy_bytes)) {
		char *reserved = port_grant_at(port, request->grant, &room);

		if (!reserved || room < bytes) {
			port_grant_drop(port, request->grant);
			request->grant = 0;
			int result = port_grant_take(port, bytes,
			                             &request->grant, &at);
			if (result < 0)
				return result;
		} else {
			at = reserved;
		}
		*ret_grant = request->grant;
	} else if (stoa_unlikely(request->grant != 0) &&
	           data == port_grant_at(port, request->grant, &room)) {
		at = (char *)data;
		*ret_grant = request->grant;
	}
	if (data != at && bytes)
		memcpy(at, data, bytes);
	return 0;
}

/* What was prepared for a reply that nobody will read. */
static int nobody_reads(struct stoa_port *port,
                        struct stoa_port_request *request, uint64_t word)
{
	if (!(word & PORT_CANCELLED))
		return port_stale(port);
	port_free_cell(port, request->cell, word);
	port_grant_drop(port, request->grant);
	let_go(port, request);
	return -ECANCELED;
}

/* THE COMMIT POINT of a reply. */
static int commit_reply(struct stoa_port *port,
                        struct stoa_port_request *request, int status,
                        uint64_t bytes, uint32_t grant)
{
	struct port_cell *cell = &port->cells[request->cell];
	uint64_t word = request->word;

	cell_set(cell, reply_bytes, bytes);
	cell_set(cell, status, status);
	cell_set(cell, reply_grant, grant);
	if (grant != 0)
		port_name_reply(port, cell);
	if (!port_exchange(cell, word,
	                   port_with(word, PORT_REPLIED, request->client)))
		return nobody_reads(port, request, port_word(cell));
	port_grant_give(port, request->grant, request->cell,
	                PORT_WORD_SERIAL(word));
	let_go(port, request);
	port_count(&port_seat(port)->bytes_out, bytes);
	port_tell_client(port, cell);
	return 0;
}

int stoa_port_reply(struct stoa_port *port, struct stoa_port_request *request,
                    int status, const void *data, uint64_t bytes,
                    struct stoa_deadline deadline)
{
	uint64_t word;
	uint32_t grant;
	int result = port_begin(port, STOA_READ);

	if (stoa_unlikely(result < 0))
		return result;
	if (stoa_unlikely(!cell_of(port, request, &word)))
		return port_stale(port);
	if (stoa_unlikely(word & PORT_CANCELLED))
		return nobody_reads(port, request, word);
	if (stoa_unlikely(bytes > port->grant_bytes)) {
		result = port_rounds_reply(port, request, (const char **)&data,
		                           &bytes, deadline);
		if (result < 0)
			goto reset;
	}
	result = put(port, request, data, bytes, &grant);
	if (stoa_unlikely(request->view) &&
	    port_view_poisoned(port, request->view)) {
		result = stoa_fail(-EIO,
		                   "a client of port %s cut its request short",
		                   port->object.name);
		goto reset;
	}
	if (stoa_unlikely(result < 0))
		goto reset;
	result = commit_reply(port, request, status, bytes, grant);
	return (int)port_end(port, result);

reset:
	if (result == -ENOSPC || result == -ENOBUFS || request->word == 0)
		return result;
	reset_client(port, request->cell, request->word, request->client);
	port_grant_give(port, request->grant, request->cell,
	                PORT_WORD_SERIAL(request->word));
	let_go(port, request);
	return (int)port_end(port, result);
}

int stoa_port_return(struct stoa_port *port, struct stoa_port_request *request)
{
	uint64_t word;
	int result = port_begin(port, STOA_READ);

	if (result < 0)
		return result;
	struct port_cell *cell = cell_of(port, request, &word);
	if (!cell)
		return port_stale(port);
	/* Whether or not it came: it may come now, over the first. */
	if (request->reserved[1])
		return stoa_fail(-EALREADY,
		                 "a request on port %s was read in part: it "
		                 "can't be returned",
		                 port->object.name);
	if (!(word & PORT_CANCELLED) &&
	    port_exchange(cell, word,
	                  port_with(word, PORT_READY, request->client))) {
		port_grant_drop(port, request->grant);
		let_go(port, request);
		port_tell_servers(port);
		return (int)port_end(port, 0);
	}
	return (int)port_end(port, nobody_reads(port, request, port_word(cell)));
}

int stoa_port_cancelled(struct stoa_port *port,
                        const struct stoa_port_request *request)
{
	uint64_t word;
	int result = port_begin(port, STOA_READ);

	if (result < 0)
		return result;
	if (!cell_of(port, request, &word))
		return port_stale(port);
	return (int)port_end(
	        port, (word & PORT_CANCELLED) != 0 ||
	                      !stoa_object_alive(&port->object,
	                                         request->client));
}
