/* SPDX-License-Identifier: MIT */
/* port.h: what the tests of ports share. */
#ifndef SUPPORT_PORT_H
#define SUPPORT_PORT_H

#include "support.h"

#define BOTH (STOA_READ | STOA_WRITE)

static inline struct stoa_port *make_port(struct stoa_space *space,
                                          uint32_t calls, uint64_t copy_bytes,
                                          uint64_t grant_bytes)
{
	struct stoa_port_attributes attributes = {
		.size = sizeof(attributes),
		.calls = calls,
		.copy_bytes = copy_bytes,
		.grant_bytes = grant_bytes,
	};
	struct stoa_port *port = NULL;

	assert_ok(stoa_port_open(space, "p", BOTH | STOA_CREATE, 0600,
	                         &attributes, &port));
	return port;
}

static inline struct stoa_port *join_port(struct stoa_space *space,
                                          unsigned flags)
{
	struct stoa_port *port = NULL;

	assert_ok(stoa_port_open(space, "p", flags, 0, NULL, &port));
	return port;
}

static inline struct stoa_port_status port_status(struct stoa_port *port)
{
	struct stoa_port_status status = { .size = sizeof(status) };

	assert_ok(stoa_port_stat(port, &status));
	return status;
}

/* Takes what must be `text`, and answers with `reply` (NULL: with the same). */
static inline void serve_text(struct stoa_port *port, const char *text,
                              const char *reply)
{
	struct stoa_port_request request;

	assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER, &request));
	assert_int_equal(request.bytes, strlen(text));
	assert_memory_equal(request.data, text, strlen(text));
	if (!reply)
		reply = text;
	assert_ok(stoa_port_reply(port, &request, 0, reply, strlen(reply),
	                          STOA_FOREVER));
}

static inline struct stoa_port_ticket start_text(struct stoa_port *port,
                                                 const char *text)
{
	struct stoa_port_ticket ticket;

	assert_ok(stoa_port_start(port, text, strlen(text), STOA_NOW, &ticket));
	return ticket;
}

static inline void finish_text(struct stoa_port *port,
                               struct stoa_port_ticket *ticket,
                               const char *text)
{
	struct stoa_port_reply reply;

	assert_ok(stoa_port_wait(port, ticket, STOA_FOREVER, &reply));
	assert_int_equal(reply.bytes, strlen(text));
	assert_memory_equal(reply.data, text, strlen(text));
	assert_ok(stoa_port_finish(port, ticket, &reply));
}

/* Exactly `calls` calls, and as many again that need no others' kept places,
 * can be under way; and nothing is afterwards. */
static inline void assert_port_whole(struct stoa_port *port)
{
	uint32_t calls = port_status(port).calls;
	struct stoa_port_ticket *tickets = calloc(2 * calls, sizeof(*tickets));
	struct stoa_port_request request;
	uint32_t started = 0;

	assert_result(stoa_port_take(port, NULL, 0, STOA_NOW, &request),
	              -EAGAIN);
	while (started < 2 * calls &&
	       stoa_port_start(port, "x", 1, STOA_NOW, &tickets[started]) == 0)
		started++;
	assert_int_equal(started, 2 * calls);
	for (uint32_t i = 0; i < started; i++)
		serve_text(port, "x", "y");
	for (uint32_t i = 0; i < started; i++)
		finish_text(port, &tickets[i], "y");
	free(tickets);
}

/* In a child: serves "p" until it is asked to "end"; answers with the same. */
static inline void serve_echo(void *context)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = join_port(space, STOA_READ);
	struct stoa_port_request request;
	int last = 0;

	(void)context;
	report(0);
	while (!last) {
		assert_ok(stoa_port_take(port, NULL, 0, STOA_FOREVER,
		                         &request));
		last = request.bytes == 3 && memcmp(request.data, "end", 3) == 0;
		assert_ok(stoa_port_reply(port, &request, 0, request.data,
		                          request.bytes, STOA_FOREVER));
	}
	stoa_port_close(port);
	stoa_space_close(space);
}

#endif
