/* SPDX-License-Identifier: MIT */
/* data/port_call.c: the client's side. See port_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <data/port_internal.h>

/* ---- A place ------------------------------------------------------------------ */

/* seq_cst: a server that was told to look must look so far. */
static void raise_used(struct stoa_port *port, uint32_t used)
{
	uint32_t seen = atomic_load_explicit(&port->control->used,
	                                     memory_order_relaxed);

	while (seen < used &&
	       !atomic_compare_exchange_weak_explicit(
	               &port->control->used, &seen, used, memory_order_seq_cst,
	               memory_order_relaxed))
		;
}

/* The cell that this handle kept, in REPLIED; taken out of everybody else's
 * sight. */
static struct port_cell *take_kept(struct stoa_port *port, uint32_t *ret_index,
                                   uint64_t *ret_word)
{
	/* seq_cst: EVENT_DEKKER */
	uint32_t kept = atomic_load_explicit(&port->kept, memory_order_seq_cst);

	if (kept == 0 || !atomic_compare_exchange_strong_explicit(
	                         &port->kept, &kept, 0, memory_order_acquire,
	                         memory_order_relaxed))
		return NULL;
	struct port_cell *cell = &port->cells[kept - 1];
	uint64_t word = port_word(cell);
	/* A child's own it can't be: it has inherited the number. */
	if (PORT_WORD_PHASE(word) != PORT_REPLIED ||
	    PORT_WORD_TOKEN(word) != stoa_object_token(&port->object))
		return NULL;
	*ret_index = kept - 1;
	*ret_word = word;
	return cell;
}

static int claim_any(struct stoa_port *port, uint32_t *ret_index,
                     uint64_t *ret_word)
{
	uint32_t token = stoa_object_token(&port->object);

	for (uint32_t i = 0; i < port->cell_count; i++) {
		struct port_cell *cell = &port->cells[i];
		uint64_t word = port_word(cell);
		uint64_t claim = port_with(word, PORT_WRITING, token);

		if (PORT_WORD_PHASE(word) != PORT_FREE)
			continue;
		if (i >= atomic_load_explicit(&port->control->used,
		                              memory_order_relaxed))
			raise_used(port, i + 1);
		if (!port_exchange(cell, word, claim))
			continue;
		*ret_index = i;
		*ret_word = claim;
		return 0;
	}
	return -EAGAIN;
}

int port_has_room(struct stoa_port *port)
{
	if (atomic_load_explicit(&port->kept, memory_order_relaxed) != 0)
		return 1;
	for (uint32_t i = 0; i < port->cell_count; i++)
		if (PORT_WORD_PHASE(port_word(&port->cells[i])) == PORT_FREE)
			return 1;
	return 0;
}

/* What this handle kept, or any. */
static int try_place(struct stoa_port *port, uint32_t *ret_index,
                     uint64_t *ret_word)
{
	if (stoa_likely(take_kept(port, ret_index, ret_word) != NULL))
		return 0;
	return claim_any(port, ret_index, ret_word);
}

static int wait_for_room(struct stoa_port *port, struct stoa_deadline deadline,
                         uint32_t *ret_index, uint64_t *ret_word)
{
	struct stoa_waiter waiter;
	int result = -EAGAIN, step;

	port_patrol_seldom(port);
	stoa_waiter_init(&waiter, &port->object, STOA_WRITE, deadline);
	while ((result = try_place(port, ret_index, ret_word)) == -EAGAIN &&
	       (step = stoa_waiter_step(&waiter)) == 0)
		;
	stoa_waiter_fini(&waiter);
	if (result == 0)
		return 0;
	if (step == -EAGAIN)
		port_idle(port, STOA_WRITE);
	return step;
}

/* A cell to fill, in WRITING; or kept, in REPLIED. */
static int get_place(struct stoa_port *port, struct stoa_deadline deadline,
                     uint32_t *ret_index, uint64_t *ret_word)
{
	int result = port_begin(port, STOA_WRITE);

	if (result == 0)
		result = port_passport(port);
	if (stoa_unlikely(result < 0))
		return result;
	result = try_place(port, ret_index, ret_word);
	if (stoa_unlikely(result == -EAGAIN))
		return wait_for_room(port, deadline, ret_index, ret_word);
	return result;
}

/* The cell's call is over, and was read. */
static void collect(struct stoa_port *port, uint32_t index, uint64_t word)
{
	uint32_t none = 0;

	port_forswear(port, index);
	if (index < port->calls &&
	    cell_get(&port->cells[index], reply_grant) == 0 &&
	    /* release: pairs with take_kept(); seq_cst: EVENT_DEKKER */
	    atomic_compare_exchange_strong_explicit(
	            &port->kept, &none, index + 1, memory_order_seq_cst,
	            memory_order_relaxed)) {
		port_tell_freed(port); /* another thread of this handle */
		return;
	}
	port_free_cell(port, index, word);
}

int port_has_ended(struct stoa_port *port, uint32_t index)
{
	uint64_t word = port_word(&port->cells[index]);

	return PORT_WORD_TOKEN(word) == stoa_object_token(&port->object) &&
	       (PORT_WORD_PHASE(word) == PORT_REPLIED ||
	        PORT_WORD_PHASE(word) == PORT_RESET) &&
	       atomic_load_explicit(&port->kept, memory_order_relaxed) !=
	               index + 1;
}

/* ---- Committing ----------------------------------------------------------------- */

/* Never below one given before by this handle: requests of one thread are taken
 * in their order. */
static uint64_t next_stamp(struct stoa_port *port)
{
	uint64_t last = atomic_load_explicit(&port->stamp,
	                                     memory_order_relaxed);
	uint64_t now = stoa_cpu_ticks();

	if ((int64_t)(now - last) <= 0)
		now = last + 1;
	atomic_store_explicit(&port->stamp, now, memory_order_relaxed);
	return now;
}

struct outgoing {
	uint64_t bytes, total;
	uint32_t grant;
};

/* THE COMMIT POINT of a call. */
static int commit(struct stoa_port *port, uint32_t index, uint64_t word,
                  const struct outgoing *outgoing, uint64_t *ret_word)
{
	struct port_cell *cell = &port->cells[index];
	uint32_t token = stoa_object_token(&port->object);
	uint32_t serial = PORT_WORD_SERIAL(word) +
	                  (PORT_WORD_PHASE(word) == PORT_REPLIED);
	uint64_t ready = PORT_WORD(serial, PORT_READY, token);

	cell_set(cell, client, token);
	cell_set(cell, request_bytes, outgoing->bytes);
	cell_set(cell, request_grant, outgoing->grant);
	if (outgoing->grant != 0) {
		cell_set(cell, request_total, outgoing->total);
		atomic_store_explicit(&cell->done, 0, memory_order_relaxed);
	}
	port_vouch(port, index, serial);
	cell_set(cell, stamp, next_stamp(port));
	if (!port_exchange(cell, word, ready))
		return port_stale(port);
	struct stoa_seat *seat = port_seat(port);
	port_count(&seat->messages_in, 1);
	port_count(&seat->bytes_in, outgoing->total);
	port_tell_servers(port);
	*ret_word = ready;
	return 0;
}

static void give_place_back(struct stoa_port *port, uint32_t index,
                            uint64_t word)
{
	if (PORT_WORD_PHASE(word) == PORT_REPLIED)
		collect(port, index, word);
	else
		port_free_cell(port, index, word);
}

static int too_large(struct stoa_port *port, uint64_t bytes)
{
	return stoa_fail(-EMSGSIZE,
	                 "%llu bytes are more than port %s maps at once (%llu); "
	                 "use stoa_port_exchange()",
	                 (unsigned long long)bytes, port->object.name,
	                 (unsigned long long)port->grant_bytes);
}

int stoa_port_start(struct stoa_port *port, const void *request, uint64_t bytes,
                    struct stoa_deadline deadline,
                    struct stoa_port_ticket *ret_ticket)
{
	struct outgoing outgoing = { bytes, bytes, 0 };
	uint32_t index = 0;
	uint64_t word = 0;
	char *data;

	if (bytes > port->grant_bytes)
		return too_large(port, bytes);
	int result = get_place(port, deadline, &index, &word);
	if (stoa_unlikely(result < 0))
		return (int)port_end(port, result);
	if (stoa_likely(bytes <= port->copy_bytes)) {
		data = port_request_at(port, index);
		stoa_cpu_prefetch_write(&port->cells[index].word);
	} else {
		result = port_grant_take(port, bytes, &outgoing.grant, &data);
	}
	if (result == 0) {
		if (bytes)
			memcpy(data, request, bytes);
		result = commit(port, index, word, &outgoing, &word);
	}
	if (stoa_unlikely(result < 0)) {
		port_grant_drop(port, outgoing.grant);
		give_place_back(port, index, word);
		return (int)port_end(port, result);
	}
	*ret_ticket = (struct stoa_port_ticket){ .word = word,
		                                 .cell = index,
		                                 .grant = outgoing.grant };
	return (int)port_end(port, 0);
}

int stoa_port_reserve(struct stoa_port *port, uint64_t bytes, unsigned flags,
                      struct stoa_deadline deadline,
                      struct stoa_port_ticket *ret_ticket, void **ret_data)
{
	struct stoa_port_ticket ticket = { .room = bytes };
	char *data;

	if (flags & ~STOA_PORT_MAPPED)
		return stoa_fail(-EINVAL,
		                 "a reservation on port %s: STOA_PORT_MAPPED is "
		                 "the only flag",
		                 port->object.name);
	if (bytes > port->grant_bytes)
		return too_large(port, bytes);
	int result = get_place(port, deadline, &ticket.cell, &ticket.word);
	if (result < 0)
		return (int)port_end(port, result);
	struct port_cell *cell = &port->cells[ticket.cell];
	if (PORT_WORD_PHASE(ticket.word) == PORT_REPLIED) {
		/* It may be long: let it not look like a reply. */
		uint64_t claim = PORT_WORD(PORT_WORD_SERIAL(ticket.word) + 1,
		                           PORT_WRITING,
		                           stoa_object_token(&port->object));

		if (!port_exchange(cell, ticket.word, claim))
			return port_stale(port);
		ticket.word = claim;
	}
	if (bytes > port->copy_bytes || (flags & STOA_PORT_MAPPED))
		result = port_grant_take(port, bytes, &ticket.grant, &data);
	else
		data = port_request_at(port, ticket.cell);
	if (result < 0) {
		port_free_cell(port, ticket.cell, ticket.word);
		return (int)port_end(port, result);
	}
	ticket.data = data;
	*ret_ticket = ticket;
	*ret_data = data;
	return (int)port_end(port, 0);
}

struct port_cell *port_cell_of(struct stoa_port *port, uint32_t index,
                               uint64_t word)
{
	if (index >= port->cell_count ||
	    PORT_WORD_TOKEN(word) != stoa_object_token(&port->object))
		return NULL;
	return &port->cells[index];
}

int port_commit_rounds(struct stoa_port *port, struct stoa_port_ticket *ticket,
                       uint64_t bytes, uint64_t total)
{
	struct outgoing outgoing = { bytes, total, ticket->grant };
	int result = port_begin(port, STOA_WRITE);

	if (result < 0)
		return result;
	if (PORT_WORD_PHASE(ticket->word) != PORT_WRITING ||
	    !port_cell_of(port, ticket->cell, ticket->word))
		return port_stale(port);
	if (bytes > ticket->room)
		return stoa_fail(-EMSGSIZE,
		                 "%llu bytes of a request on port %s, and room "
		                 "for %llu was reserved",
		                 (unsigned long long)bytes, port->object.name,
		                 (unsigned long long)ticket->room);
	result = commit(port, ticket->cell, ticket->word, &outgoing,
	                &ticket->word);
	return (int)port_end(port, result);
}

int stoa_port_commit(struct stoa_port *port, struct stoa_port_ticket *ticket,
                     uint64_t bytes)
{
	return port_commit_rounds(port, ticket, bytes, bytes);
}

/* ---- Waiting for the reply ------------------------------------------------------- */

/* Whether anybody serves, dead ones apart. */
static int has_server(struct stoa_port *port)
{
	uint32_t seats = stoa_object_seats(&port->object);

	for (uint32_t i = 0; i < seats; i++) {
		struct stoa_seat *seat = stoa_object_seat(&port->object, i);
		uint64_t owner = seat ? atomic_load_explicit(
		                                &seat->owner,
		                                memory_order_acquire) :
		                        0;

		if (owner >> 16 != 0 &&
		    (atomic_load_explicit(&seat->flags, memory_order_relaxed) &
		     STOA_READ) &&
		    stoa_life_alive(&port->object.space->life, owner >> 16))
			return 1;
	}
	return 0;
}

static int refused(struct stoa_port *port, struct stoa_waiter *waiter,
                   uint32_t index, uint64_t word)
{
	if (!(port->object.flags & STOA_REFUSE) || !waiter->armed ||
	    (waiter->slept && !waiter->sliced) || has_server(port) ||
	    !port_free_cell(port, index, word))
		return 0;
	port_forswear_freed(port, index, PORT_WORD_SERIAL(word));
	return stoa_fail(-ECONNREFUSED, "nobody serves port %s",
	                 port->object.name);
}

/* The server that has it is in the way: its death is told at once. */
static void watch_server(struct stoa_port *port, struct stoa_waiter *waiter,
                         uint32_t index, uint64_t word)
{
	uint32_t server = PORT_WORD_TOKEN(word);

	if (!waiter->armed)
		return;
	waiter->blocker = port_bearer(port, server);
	if ((waiter->sliced || waiter->blocker == 0) &&
	    !stoa_object_alive_or_bury(&port->object, server))
		port_bury_cell(port, index, server);
}

#define PART_DONE 2

/* 1: the call has ended. 0: it goes on. PART_DONE: look again. -errno. */
static int look_once(struct stoa_port *port, struct stoa_port_ticket *ticket,
                     struct port_rounds *rounds, struct stoa_waiter *waiter,
                     uint64_t *ret_word)
{
	struct port_cell *cell = &port->cells[ticket->cell];
	uint64_t word = port_word(cell);
	enum port_phase phase = PORT_WORD_PHASE(word);

	*ret_word = word;
	if (PORT_WORD_SERIAL(word) != PORT_WORD_SERIAL(ticket->word) ||
	    (word & PORT_CANCELLED))
		return port_stale(port);
	switch (phase) {
	case PORT_REPLIED:
	case PORT_RESET:
		return PORT_WORD_TOKEN(word) == PORT_WORD_TOKEN(ticket->word) ?
		               1 :
		               port_stale(port);
	case PORT_READY:
		waiter->blocker = 0;
		return refused(port, waiter, ticket->cell, word);
	case PORT_REPLYING:
		if (!rounds)
			return -EFBIG;
		break;
	case PORT_TAKEN:
		break;
	default:
		return port_stale(port);
	}
	int did = rounds ? port_rounds_step(port, ticket, word, rounds) : 0;
	if (did > 0)
		return stoa_deadline_left(waiter->deadline) > 0 ? PART_DONE :
		                                                  -ETIMEDOUT;
	watch_server(port, waiter, ticket->cell, word);
	return did;
}

int port_await(struct stoa_port *port, struct stoa_port_ticket *ticket,
               struct port_rounds *rounds, struct stoa_deadline deadline,
               uint64_t *ret_word)
{
	struct stoa_waiter waiter;
	int result;

	stoa_waiter_init(&waiter, &port->object, STOA_WRITE, deadline);
	stoa_waiter_move(&waiter, &port->cells[ticket->cell].client_event);
	stoa_waiter_may_yield(&waiter);
	do {
		result = look_once(port, ticket, rounds, &waiter, ret_word);
		if (result == 0)
			result = stoa_waiter_step(&waiter);
	} while (result == 0 || result == PART_DONE);
	stoa_waiter_fini(&waiter);
	return result < 0 ? result : 0;
}

/* The call was reset: tell, and give the place back. */
static int reset(struct stoa_port *port, struct stoa_port_ticket *ticket,
                 uint64_t word)
{
	port_grant_drop(port, ticket->grant);
	port_forswear(port, ticket->cell);
	port_free_cell(port, ticket->cell, word);
	ticket->word = 0;
	return stoa_fail(-ECONNRESET,
	                 "the server that took a request on port %s has died "
	                 "or closed it",
	                 port->object.name);
}

int port_look(struct stoa_port *port, struct stoa_port_ticket *ticket,
              uint64_t word, struct stoa_port_reply *ret_reply)
{
	struct port_cell *cell = &port->cells[ticket->cell];
	struct stoa_port_reply reply = { 0 };

	if (PORT_WORD_PHASE(word) == PORT_RESET)
		return reset(port, ticket, word);
	struct port_companion grant = port_reply_grant(cell);
	const char *data = port_reply_at(port, ticket->cell);

	reply.bytes = cell_get(cell, reply_bytes);
	reply.status = cell_get(cell, status);
	if (reply.bytes > (grant.number ? port->grant_bytes : port->copy_bytes))
		return stoa_object_damaged(&port->object,
		                           "a reply is larger than can be");
	if (stoa_unlikely(grant.number != 0)) {
		int result = port_view_take(port, &grant, reply.bytes, &data,
		                            &reply.view);

		if (result == -ENOENT)
			return reset(port, ticket, word);
		if (result < 0)
			return result;
		reply.mapped = 1;
	}
	reply.data = data;
	*ret_reply = reply;
	return 0;
}

/* A copy of a ticket that was finished: its cell is kept, and looks as if the
 * reply were there still. */
static int was_collected(struct stoa_port *port,
                         const struct stoa_port_ticket *ticket)
{
	return atomic_load_explicit(&port->kept, memory_order_relaxed) ==
	       ticket->cell + 1;
}

static int check_ticket(struct stoa_port *port,
                        const struct stoa_port_ticket *ticket)
{
	int result = port_begin(port, STOA_WRITE);

	if (result < 0)
		return result;
	return PORT_WORD_PHASE(ticket->word) == PORT_READY &&
	                       port_cell_of(port, ticket->cell, ticket->word) &&
	                       !was_collected(port, ticket) ?
	               0 :
	               port_stale(port);
}

int stoa_port_wait(struct stoa_port *port, struct stoa_port_ticket *ticket,
                   struct stoa_deadline deadline,
                   struct stoa_port_reply *ret_reply)
{
	uint64_t word;
	int result = check_ticket(port, ticket);

	if (result == 0)
		result = port_await(port, ticket, NULL, deadline, &word);
	if (result == -EFBIG) {
		stoa_port_cancel(port, ticket);
		return stoa_fail(-EFBIG,
		                 "a reply on port %s comes in rounds; use "
		                 "stoa_port_exchange()",
		                 port->object.name);
	}
	if (result == -ECONNREFUSED)
		port_grant_drop(port, ticket->grant);
	if (result == 0)
		result = port_look(port, ticket, word, ret_reply);
	if (result == -EAGAIN)
		port_idle(port, STOA_READ);
	return (int)port_end(port, result);
}

int stoa_port_finish(struct stoa_port *port, struct stoa_port_ticket *ticket,
                     struct stoa_port_reply *reply)
{
	int result = check_ticket(port, ticket);

	if (result < 0)
		return result;
	uint64_t word = port_word(&port->cells[ticket->cell]);
	if (word != port_with(ticket->word, PORT_REPLIED,
	                      PORT_WORD_TOKEN(ticket->word)))
		return port_stale(port);
	if (reply && port_view_drop(port, reply->view))
		result = stoa_fail(-EIO,
		                   "the server of port %s cut its reply short",
		                   port->object.name);
	port_grant_drop(port, ticket->grant);
	collect(port, ticket->cell, word);
	ticket->word = 0;
	return (int)port_end(port, result);
}

#define CANCEL_TRIES 1000

int stoa_port_cancel(struct stoa_port *port, struct stoa_port_ticket *ticket)
{
	int result = port_begin(port, STOA_WRITE);
	struct port_cell *cell = port_cell_of(port, ticket->cell, ticket->word);

	if (result < 0)
		return result;
	if (was_collected(port, ticket))
		return port_stale(port);
	for (int tries = 0; cell && tries < CANCEL_TRIES; tries++) {
		uint64_t word = port_word(cell);
		uint32_t serial = PORT_WORD_SERIAL(word);
		enum port_phase phase = PORT_WORD_PHASE(word);

		if (serial != PORT_WORD_SERIAL(ticket->word) ||
		    phase == PORT_FREE || (word & PORT_CANCELLED))
			break;
		if (phase == PORT_TAKEN || phase == PORT_REPLYING) {
			if (!port_exchange(cell, word, word | PORT_CANCELLED))
				continue;
			port_grant_give(port, ticket->grant, ticket->cell,
			                serial);
			port_tell_word(&cell->server_event);
		} else {
			if (!port_free_cell(port, ticket->cell, word))
				continue;
			port_forswear_freed(port, ticket->cell, serial);
			port_grant_drop(port, ticket->grant);
		}
		ticket->word = 0;
		return (int)port_end(port, phase != PORT_WRITING &&
		                                   phase != PORT_READY);
	}
	return port_stale(port);
}

/* ---- Call and wait --------------------------------------------------------------- */

int port_read_reply(struct stoa_port *port, struct stoa_port_ticket *ticket,
                    uint64_t word, struct stoa_port_exchange *exchange)
{
	struct stoa_port_reply reply;
	int result = port_look(port, ticket, word, &reply);

	if (stoa_unlikely(result < 0)) {
		if (ticket->word != 0) /* it stands, and can't be mapped */
			stoa_port_cancel(port, ticket);
		return result;
	}
	exchange->ret_bytes = reply.bytes;
	exchange->ret_status = reply.status;
	if (reply.bytes > exchange->reply_room)
		result = -EMSGSIZE;
	else if (reply.bytes)
		memcpy(exchange->reply, reply.data, reply.bytes);
	if (stoa_unlikely(reply.view) && port_view_drop(port, reply.view))
		result = -EIO;
	port_grant_drop(port, ticket->grant);
	collect(port, ticket->cell, word);
	return result;
}

static int exchange_once(struct stoa_port *port,
                         struct stoa_port_exchange *exchange,
                         struct stoa_deadline deadline)
{
	struct port_rounds rounds = {
		.request = exchange->request,
		.request_bytes = exchange->request_bytes,
		.reply = exchange->reply,
		.room = exchange->reply_room,
		.progress = exchange->progress,
		.context = exchange->context,
	};
	struct stoa_port_ticket ticket;
	uint64_t word;
	int result;

	if (stoa_likely(exchange->request_bytes <= port->grant_bytes))
		result = stoa_port_start(port, exchange->request,
		                         exchange->request_bytes, deadline,
		                         &ticket);
	else
		result = port_rounds_start(port, &rounds, deadline, &ticket);
	if (result < 0)
		return result;
	result = port_await(port, &ticket, &rounds, deadline, &word);
	if (stoa_likely(result == 0) && rounds.parts_got == 0)
		return port_read_reply(port, &ticket, word, exchange);
	if (result == 0)
		return port_rounds_end(port, &ticket, word, &rounds, exchange);
	if (result != -ECONNREFUSED && result != -ESTALE)
		stoa_port_cancel(port, &ticket);
	else
		port_grant_drop(port, ticket.grant);
	return result;
}

static int reply_too_large(struct stoa_port *port,
                           const struct stoa_port_exchange *exchange)
{
	return stoa_fail(-EMSGSIZE,
	                 "a reply of %llu bytes on port %s, and room for %llu",
	                 (unsigned long long)exchange->ret_bytes,
	                 port->object.name,
	                 (unsigned long long)exchange->reply_room);
}

int stoa_port_exchange(struct stoa_port *port,
                       struct stoa_port_exchange *exchange,
                       struct stoa_deadline deadline)
{
	if (exchange->size != sizeof *exchange || exchange->reserved)
		return stoa_fail(-EINVAL,
		                 "an exchange on port %s: size must be "
		                 "sizeof(struct stoa_port_exchange), reserved 0",
		                 port->object.name);
	int result = exchange_once(port, exchange, deadline);
	if (result == -EMSGSIZE)
		result = reply_too_large(port, exchange);
	return (int)port_end(port, result);
}

int64_t stoa_port_call(struct stoa_port *port, const void *request,
                       uint64_t bytes, void *reply, uint64_t room,
                       struct stoa_deadline deadline)
{
	struct stoa_port_exchange exchange = { .size = sizeof exchange,
		                               .request = request,
		                               .request_bytes = bytes,
		                               .reply = reply,
		                               .reply_room = room };
	int result = exchange_once(port, &exchange, deadline);

	if (stoa_unlikely(result == -EMSGSIZE))
		result = reply_too_large(port, &exchange);
	if (stoa_unlikely(result == 0 && exchange.ret_status != 0))
		result = stoa_fail(-EREMOTEIO,
		                   "the server of port %s answered with status "
		                   "%d",
		                   port->object.name, exchange.ret_status);
	return port_end(port, result < 0 ? result :
	                                   (int64_t)exchange.ret_bytes);
}
