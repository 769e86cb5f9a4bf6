/* SPDX-License-Identifier: MIT */
/* data/port.c: making and opening ports, burial, readiness. Calling is in
 * port_call.c, serving in port_serve.c, what goes in rounds in port_rounds.c,
 * the files beside a port in port_grant.c and port_caller.c; why it all holds
 * is in port_layout.h. */
#include <base/deadline.h>
#include <base/error.h>
#include <base/futex.h>
#include <data/kinds.h>
#include <data/port_internal.h>

#include <stdlib.h>

#define CALLS_DEFAULT 32
#define COPY_DEFAULT 16384 /* as stoa port tune has it */
#define GRANT_DEFAULT (UINT64_C(64) << 20)
#define OPEN_BURIES 64 /* of the dead at most, by who opens */
#define IDLE_PATROL_NS INT64_C(1000000)
#define IDLE_CALLS 16
#define BURY_TRIES 16 /* at one word: it may be flipped for ever */

/* ---- Making and opening ---------------------------------------------------- */

static uint64_t stride_of(uint64_t copy_bytes)
{
	return ((copy_bytes + PORT_APART - 1) &
	        ~(uint64_t)(PORT_APART - 1)) +
	       PORT_APART;
}

static uint64_t file_bytes_of(const uint64_t *geometry)
{
	uint64_t cells = 2 * geometry[PORT_GEOMETRY_CALLS];
	uint64_t end = PORT_CELLS_OFFSET +
	               cells * (sizeof(struct port_cell) +
	                        2 * stride_of(geometry[PORT_GEOMETRY_COPY]));

	return (end + 4095) & ~UINT64_C(4095);
}

static int geometry_in_range(const uint64_t *geometry)
{
	return geometry[PORT_GEOMETRY_CALLS] >= 1 &&
	       geometry[PORT_GEOMETRY_CALLS] <= STOA_PORT_CALLS_MAX &&
	       geometry[PORT_GEOMETRY_COPY] >= 1 &&
	       geometry[PORT_GEOMETRY_COPY] <= STOA_PORT_COPY_MAX &&
	       geometry[PORT_GEOMETRY_GRANT] >= geometry[PORT_GEOMETRY_COPY] &&
	       geometry[PORT_GEOMETRY_GRANT] <= STOA_PORT_GRANT_MAX;
}

static int read_attributes(const char *name,
                           const struct stoa_port_attributes *given,
                           uint64_t *geometry)
{
	struct stoa_port_attributes attributes = { 0 };
	uint64_t reserved = 0;

	if (given) {
		if (given->size != sizeof attributes)
			return stoa_fail(-EINVAL,
			                 "attributes of port %s: size must be "
			                 "sizeof(struct stoa_port_attributes)",
			                 name);
		attributes = *given;
	}
	for (int i = 0; i < 4; i++)
		reserved |= attributes.reserved[i];
	if (attributes.reserved_word || reserved)
		return stoa_fail(-EINVAL,
		                 "attributes of port %s: reserved fields must "
		                 "be zero",
		                 name);
	uint64_t copy = attributes.copy_bytes ?: COPY_DEFAULT;
	uint64_t grant = attributes.grant_bytes ?: GRANT_DEFAULT;
	geometry[PORT_GEOMETRY_CALLS] = attributes.calls ?: CALLS_DEFAULT;
	geometry[PORT_GEOMETRY_COPY] = copy;
	geometry[PORT_GEOMETRY_GRANT] = grant;
	if (!geometry_in_range(geometry))
		return stoa_fail(-EINVAL,
		                 "attributes of port %s: at most %d calls, "
		                 "copy_bytes at most 16 MiB, grant_bytes from "
		                 "copy_bytes to 64 GiB",
		                 name, STOA_PORT_CALLS_MAX);
	return 0;
}

static void set_places(struct stoa_port *port)
{
	const uint64_t *geometry = port->object.copy.geometry;
	char *base = port->object.base;

	port->calls = (uint32_t)geometry[PORT_GEOMETRY_CALLS];
	port->cell_count = 2 * port->calls;
	port->copy_bytes = geometry[PORT_GEOMETRY_COPY];
	port->grant_bytes = geometry[PORT_GEOMETRY_GRANT];
	port->stride = stride_of(port->copy_bytes);
	port->control = (void *)(base + OBJECT_KIND_OFFSET);
	port->cells = (void *)(base + PORT_CELLS_OFFSET);
	port->requests = (char *)(port->cells + port->cell_count);
	port->replies = port->requests + port->cell_count * port->stride;
	port->passport_fd = -1;
	/* Not where an earlier owner of the seat may have begun. */
	port->next_grant = (uint32_t)stoa_cpu_ticks();
}

/* All but the mapping itself. */
static int join(struct stoa_port *port)
{
	const struct stoa_object_header *header = &port->object.copy;
	struct stoa_object *object = &port->object;

	if (!geometry_in_range(header->geometry) ||
	    file_bytes_of(header->geometry) != header->file_bytes)
		return stoa_fail(-EUCLEAN,
		                 "port %s is damaged: its header can't be "
		                 "true; remove it",
		                 object->name);
	set_places(port);
	int result = stoa_object_sit(object);
	if (result >= 0)
		result = stoa_object_bury(object, OPEN_BURIES);
	if (result < 0)
		return result;
	port_sweep_companions(port);
	return object->flags & STOA_WRITE ? port_passport(port) : 0;
}

#define OPEN_FLAGS                                                \
	(STOA_READ | STOA_WRITE | STOA_CREATE | STOA_EXCLUSIVE |  \
	 STOA_INTERRUPTIBLE | STOA_REFUSE)

int stoa_port_open(struct stoa_space *space, const char *name, unsigned flags,
                   mode_t mode, const struct stoa_port_attributes *attributes,
                   struct stoa_port **ret_port)
{
	struct stoa_object_plan plan = { .kind = &stoa_port_kind,
		                         .mode = mode };
	int result = 0;

	if ((flags & ~OPEN_FLAGS) || !(flags & (STOA_READ | STOA_WRITE)))
		return stoa_fail(-EINVAL,
		                 "flags 0x%x for port %s: at least one of "
		                 "STOA_READ and STOA_WRITE, and no unknown",
		                 flags, name ? name : "(none)");
	if (!name)
		return stoa_name_check(name, &name);
	if (flags & STOA_CREATE) {
		result = read_attributes(name, attributes, plan.geometry);
		if (result < 0)
			return result;
		plan.file_bytes = file_bytes_of(plan.geometry);
	}
	struct stoa_port *port = stoa_object_allocate(&stoa_port_kind, name,
	                                              sizeof *port);
	if (!port)
		return -ENOMEM;
	result = stoa_object_open(&port->object, space, name, flags,
	                          &stoa_port_kind, &plan);
	if (result < 0)
		goto free;
	result = join(port);
	if (result < 0)
		goto close;
	*ret_port = port;
	return 0;

close:
	port_passport_drop(port);
	stoa_object_close(&port->object);
	stoa_object_abandon(&port->object);
free:
	free(port);
	return result;
}

/* Whether this process has used the handle: a forked child that hasn't has
 * nothing through it. */
static int is_ours(struct stoa_object *object)
{
	stoa_peer self = atomic_load_explicit(&object->space->life.self->peer,
	                                      memory_order_relaxed);

	return self != 0 && atomic_load_explicit(&object->peer,
	                                         memory_order_relaxed) == self;
}

void stoa_port_close(struct stoa_port *port)
{
	if (!port)
		return;
	struct stoa_object *object = &port->object;
	if (is_ours(object) &&
	    port_bury(object, stoa_object_token(object)) > 0)
		stoa_event_broadcast(object);
	port_drop_grants(port);
	port_passport_drop(port);
	stoa_object_close(object);
	free(port);
}

int stoa_port_unlink(struct stoa_space *space, const char *name)
{
	return stoa_object_unlink(space, name, &stoa_port_kind);
}

int stoa_port_remove(struct stoa_port *port)
{
	return stoa_object_remove(&port->object);
}

struct stoa_object *stoa_port_object(struct stoa_port *port)
{
	return &port->object;
}

static int open_object(struct stoa_space *space, const char *name,
                       unsigned flags, struct stoa_object **ret_object)
{
	struct stoa_port *port;
	int result = stoa_port_open(space, name,
	                            (flags & ~STOA_WRITE) | STOA_READ, 0, NULL,
	                            &port);

	if (result == 0)
		*ret_object = &port->object;
	return result;
}

static void close_object(struct stoa_object *object)
{
	stoa_port_close((struct stoa_port *)object);
}

/* All who wait for their own cell. */
static void broadcast(struct stoa_object *object)
{
	struct stoa_port *port = (struct stoa_port *)object;
	uint32_t used = port->control ? port_used(port) : 0;

	for (uint32_t i = 0; i < used; i++) {
		port_tell_word(&port->cells[i].client_event);
		port_tell_word(&port->cells[i].server_event);
	}
}

const struct stoa_object_kind stoa_port_kind = {
	.name = "port",
	.bury = port_bury_dead,
	.ready = port_ready,
	.open = open_object,
	.close = close_object,
	.broadcast = broadcast,
};

/* ---- What calls have in common ---------------------------------------------- */

int port_refuse(struct stoa_port *port, unsigned direction)
{
	return stoa_fail(-EBADF, "port %s was not opened to %s",
	                 port->object.name,
	                 direction == STOA_READ ? "serve" : "call");
}

int port_stale(struct stoa_port *port)
{
	int result = (int)port_end(port, 0);

	if (result < 0)
		return result;
	return stoa_fail(-ESTALE,
	                 "this handle has no such call on port %s (any more)",
	                 port->object.name);
}

void port_patrol_seldom(struct stoa_port *port)
{
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE);
	int64_t last = atomic_load_explicit(&port->object.patrol_ns,
	                                    memory_order_relaxed);

	if (now - last >= IDLE_PATROL_NS)
		stoa_object_patrol(&port->object);
}

void port_idle(struct stoa_port *port, unsigned direction)
{
	uint32_t calls = atomic_load_explicit(&port->idle_calls,
	                                      memory_order_relaxed);

	atomic_store_explicit(&port->idle_calls, calls + 1,
	                      memory_order_relaxed);
	if (stoa_unlikely(calls % IDLE_CALLS == 0))
		port_patrol_seldom(port);
	if (stoa_unlikely(atomic_load_explicit(&port->object.polled,
	                                       memory_order_relaxed)))
		stoa_bell_rearm(&port->object, direction);
}

void port_tell_slowly(_Atomic uint32_t *event)
{
	stoa_event_raise_word(event, STOA_FUTEX_ALL);
}

stoa_peer port_bearer(struct stoa_port *port, uint32_t token)
{
	struct stoa_seat *seat = stoa_object_seat(&port->object,
	                                          SEAT_INDEX(token));
	uint64_t owner = seat ? atomic_load_explicit(&seat->owner,
	                                             memory_order_acquire) :
	                        0;

	return (owner & SEAT_GENERATION_MASK) == SEAT_GENERATION(token) ?
	               owner >> 16 :
	               0;
}

int port_free_cell(struct stoa_port *port, uint32_t index, uint64_t word)
{
	struct port_cell *cell = &port->cells[index];
	struct port_companion grant = port_reply_grant(cell);

	if (!port_exchange(cell, word, port_freed(word)))
		return 0;
	/* seq_cst: ORPHANS */
	if (PORT_WORD_PHASE(word) == PORT_REPLIED && grant.number != 0 &&
	    atomic_load_explicit(&cell->orphan, memory_order_seq_cst) ==
	            PORT_WORD_SERIAL(word) + 1)
		port_unlink_companion(port, &grant);
	port_tell_freed(port);
	return 1;
}

/* ---- Burial ------------------------------------------------------------------- */

/* The word that follows from the death of `token`, or `word` itself. */
static uint64_t after_death(struct port_cell *cell, uint64_t word,
                            uint32_t token)
{
	int named = PORT_WORD_TOKEN(word) == token;
	uint32_t client;

	switch (PORT_WORD_PHASE(word)) {
	case PORT_WRITING:
	case PORT_READY:
	case PORT_REPLIED:
	case PORT_RESET:
		return named ? port_freed(word) : word;
	case PORT_TAKEN:
	case PORT_REPLYING:
		client = cell_get(cell, client) & PORT_TOKEN_MASK;
		/* One handle that calls itself is both. */
		if (named && ((word & PORT_CANCELLED) || client == token))
			return port_freed(word);
		if (named)
			return STOA_BUG(51) ? port_freed(word) :
			                      port_with(word, PORT_RESET,
			                                client);
		if (client == token && !STOA_BUG(50))
			return word | PORT_CANCELLED;
		return word;
	default:
		return word;
	}
}

int port_bury_cell(struct stoa_port *port, uint32_t index, uint32_t token)
{
	struct port_cell *cell = &port->cells[index];

	for (int tries = 0; tries < BURY_TRIES; tries++) {
		uint64_t word = port_word(cell);
		uint64_t next = after_death(cell, word, token);

		if (next == word)
			return 0;
		if (next == port_freed(word)) {
			if (port_free_cell(port, index, word))
				return 1;
		} else if (port_exchange(cell, word, next)) {
			return 1;
		}
	}
	return 0;
}

/* How many cells were changed. */
int port_bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_port *port = (struct stoa_port *)object;
	uint32_t used = port_used(port);
	int changed = 0;

	for (uint32_t i = 0; i < used; i++)
		changed += port_bury_cell(port, i, token);
	return changed;
}

int port_bury_dead(struct stoa_object *object, uint32_t token)
{
	int changed = port_bury(object, token);

	port_remove_companions((struct stoa_port *)object, token);
	return changed;
}

/* ---- Readiness ---------------------------------------------------------------- */

static int any_ended(struct stoa_port *port)
{
	uint32_t used = port_used(port);

	for (uint32_t i = 0; i < used; i++)
		if (port_has_ended(port, i))
			return 1;
	return 0;
}

int port_ready(struct stoa_object *object, unsigned direction,
               const struct stoa_wait *wait)
{
	struct stoa_port *port = (struct stoa_port *)object;
	struct port_found found;

	if (direction == STOA_WRITE)
		return port_has_room(port);
	if (wait && wait->detail) {
		const struct stoa_port_ticket *ticket = wait->detail;

		if (ticket->cell >= port->cell_count)
			return port_stale(port);
		uint64_t word = port_word(&port->cells[ticket->cell]);

		/* Another's call: this one is over. */
		return PORT_WORD_SERIAL(word) !=
		               PORT_WORD_SERIAL(ticket->word) ||
		       PORT_WORD_PHASE(word) == PORT_REPLIED ||
		       PORT_WORD_PHASE(word) == PORT_RESET;
	}
	if ((port->object.flags & STOA_READ) && port_find(port, &found) == 0)
		return 1;
	return (port->object.flags & STOA_WRITE) ? any_ended(port) : 0;
}

int stoa_port_pollfd(struct stoa_port *port, unsigned direction)
{
	int result = stoa_object_enter(&port->object);

	if (direction != STOA_READ && direction != STOA_WRITE)
		return stoa_fail(-EINVAL,
		                 "poll descriptor of port %s: the direction is "
		                 "STOA_READ or STOA_WRITE",
		                 port->object.name);
	if (result == 0)
		result = stoa_object_health(&port->object);
	if (result == 0)
		result = stoa_bell_open(&port->object, direction);
	return (int)port_end(port, result);
}
