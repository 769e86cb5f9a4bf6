/* SPDX-License-Identifier: MIT */
/* data/port_inspect.c: looking at a port. */
#include <base/error.h>
#include <data/port_internal.h>

static void add_seat(struct stoa_port *port, uint32_t index,
                     struct stoa_port_status *status)
{
	struct stoa_seat *seat = stoa_object_seat(&port->object, index);

	if (!seat)
		return;
	status->calls_made += atomic_load(&seat->messages_in);
	status->calls_taken += atomic_load(&seat->messages_out);
	status->bytes_asked += atomic_load(&seat->bytes_in);
	status->bytes_answered += atomic_load(&seat->bytes_out);
	uint64_t owner = atomic_load(&seat->owner);
	if (owner >> 16 == 0 ||
	    !stoa_life_alive(&port->object.space->life, owner >> 16))
		return;
	uint32_t flags = atomic_load(&seat->flags);
	status->servers += (flags & STOA_READ) != 0;
	status->clients += (flags & STOA_WRITE) != 0;
	status->servers_waiting += atomic_load(&seat->readers_waiting);
	status->clients_waiting += atomic_load(&seat->writers_waiting);
}

static void add_cells(struct stoa_port *port, struct stoa_port_status *status)
{
	uint32_t used = port_used(port);

	for (uint32_t i = 0; i < used; i++) {
		switch (PORT_WORD_PHASE(port_word(&port->cells[i]))) {
		case PORT_READY:
			status->waiting++;
			break;
		case PORT_TAKEN:
		case PORT_REPLYING:
			status->taken++;
			break;
		case PORT_REPLIED:
		case PORT_RESET:
			status->ended++;
			break;
		default:
			break;
		}
	}
}

int stoa_port_stat(struct stoa_port *port, struct stoa_port_status *ret_status)
{
	const struct stoa_object_header *header = &port->object.copy;
	struct stoa_port_status status = {
		.size = sizeof status,
		.calls = port->calls,
		.copy_bytes = port->copy_bytes,
		.grant_bytes = port->grant_bytes,
		.created_ns = header->created_ns,
		.creator_pid = header->creator_pid,
		.generation = header->generation,
	};
	int result = stoa_object_enter(&port->object);

	if (ret_status->size != sizeof status)
		return stoa_fail(-EINVAL,
		                 "stat of port %s: size must be "
		                 "sizeof(struct stoa_port_status)",
		                 port->object.name);
	if (result == 0)
		result = stoa_object_health(&port->object);
	if (result < 0)
		return result;
	add_cells(port, &status);
	uint32_t seats = stoa_object_seats(&port->object);
	for (uint32_t i = 0; i < seats; i++)
		add_seat(port, i, &status);
	result = (int)port_end(port, 0);
	if (result == 0)
		*ret_status = status;
	return result;
}

static pid_t pid_of(struct stoa_port *port, uint32_t token, stoa_peer *ret_peer)
{
	struct stoa_seat *seat = stoa_object_seat(&port->object,
	                                          SEAT_INDEX(token));

	*ret_peer = token ? port_bearer(port, token) : 0;
	return seat && *ret_peer ? atomic_load(&seat->pid) : 0;
}

/* 0: no call under way. */
static int describe(struct stoa_port *port, uint32_t index,
                    struct stoa_port_under_way *call)
{
	struct port_cell *cell = &port->cells[index];
	uint64_t word = port_word(cell);
	uint32_t client = PORT_WORD_TOKEN(word), server = 0;

	*call = (struct stoa_port_under_way){ .cell = index, .phase = 3 };
	switch (PORT_WORD_PHASE(word)) {
	case PORT_WRITING:
		call->phase = 0;
		break;
	case PORT_READY:
		call->phase = 1;
		break;
	case PORT_TAKEN:
	case PORT_REPLYING:
		call->phase = 2;
		server = client;
		client = cell_get(cell, client);
		break;
	case PORT_REPLIED:
	case PORT_RESET:
		break;
	default:
		return 0;
	}
	call->client_pid = pid_of(port, client, &call->client);
	call->server_pid = pid_of(port, server, &call->server);
	call->bytes = cell_get(cell, request_bytes);
	if (call->phase != 0 && cell_get(cell, request_grant) != 0 &&
	    cell_get(cell, request_total) > call->bytes) {
		call->total = cell_get(cell, request_total);
		call->bytes = call->total;
		call->done = atomic_load(&cell->done);
	}
	return 1;
}

int stoa_port_each_call(struct stoa_port *port,
                        int (*visit)(const struct stoa_port_under_way *call,
                                     void *context),
                        void *context)
{
	int visited = 0, result = stoa_object_enter(&port->object);

	if (result == 0)
		result = stoa_object_health(&port->object);
	if (result < 0)
		return result;
	uint32_t used = port_used(port);
	for (uint32_t i = 0; i < used; i++) {
		struct stoa_port_under_way call;

		if (!describe(port, i, &call))
			continue;
		result = visit(&call, context);
		if (result != 0)
			return result;
		visited++;
	}
	return (int)port_end(port, visited);
}
