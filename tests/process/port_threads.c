/* SPDX-License-Identifier: MIT */
/* Threads of one process on one handle: calls, cancellations, servers. */
#include "port.h"

#include <pthread.h>

enum { CLIENTS = 3, SERVERS = 2, ROUNDS = 300, COPY = 128, MOST = 600 };

static struct stoa_port *port;
static _Atomic int going;

static void call_once(uint64_t *seed)
{
	unsigned char out[MOST], in[MOST];
	size_t bytes = random_below(seed, MOST);
	int64_t result;

	fill_pattern(out, bytes, *seed);
	result = stoa_port_call(port, out, bytes, in, sizeof(in), STOA_FOREVER);
	require(result == (int64_t)bytes);
	require(memcmp(in, out, bytes) == 0);
}

static void start_and_give_up(uint64_t *seed)
{
	struct stoa_port_ticket ticket;
	struct stoa_port_reply reply;

	require(stoa_port_start(port, "gone", 4, STOA_FOREVER, &ticket) == 0);
	if (random_below(seed, 2)) {
		require(stoa_port_cancel(port, &ticket) >= 0);
		return;
	}
	require(stoa_port_wait(port, &ticket, STOA_FOREVER, &reply) == 0);
	require(reply.bytes == 4 && memcmp(reply.data, "gone", 4) == 0);
	require(stoa_port_finish(port, &ticket, &reply) == 0);
}

static void *client(void *context)
{
	uint64_t seed = *(uint64_t *)context;

	for (int i = 0; i < ROUNDS; i++)
		if (random_below(&seed, 4))
			call_once(&seed);
		else
			start_and_give_up(&seed);
	return NULL;
}

static void *server(void *context)
{
	uint64_t seed = *(uint64_t *)context;
	struct stoa_port_request request;

	while (going) {
		char buffer[64];
		int result = stoa_port_take(port, buffer, sizeof(buffer),
		                            stoa_deadline_in(5 * MS), &request);

		if (result == -ETIMEDOUT)
			continue;
		require(result == 0);
		if (random_below(&seed, 8) == 0) {
			result = stoa_port_return(port, &request);
			require(result == 0 || result == -ECANCELED);
			continue;
		}
		require(stoa_port_cancelled(port, &request) >= 0);
		result = stoa_port_reply(port, &request, 0, request.data,
		                         request.bytes, STOA_FOREVER);
		require(result == 0 || result == -ECANCELED);
	}
	return NULL;
}

TEST(threads_share_a_handle)
{
	struct stoa_space *space = open_space();
	pthread_t clients[CLIENTS], servers[SERVERS];
	uint64_t seed = run_seed(), seeds[CLIENTS + SERVERS];

	port = make_port(space, 4, COPY, 4096);
	going = 1;
	for (int i = 0; i < CLIENTS + SERVERS; i++)
		seeds[i] = next_random(&seed);
	for (int i = 0; i < SERVERS; i++)
		require(pthread_create(&servers[i], NULL, server, &seeds[i]) ==
		        0);
	for (int i = 0; i < CLIENTS; i++)
		require(pthread_create(&clients[i], NULL, client,
		                       &seeds[SERVERS + i]) == 0);
	for (int i = 0; i < CLIENTS; i++)
		require(pthread_join(clients[i], NULL) == 0);
	going = 0;
	for (int i = 0; i < SERVERS; i++)
		require(pthread_join(servers[i], NULL) == 0);
	assert_port_whole(port);
	stoa_port_close(port);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_share_a_handle),
};

MAIN(cases)
