/* SPDX-License-Identifier: MIT */
/* Requests of one thread are taken in their order, whatever becomes of others'
 * meanwhile. */
#include "port.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CALLS = 2048, PLACES = 2 * CALLS, LOW = 2, BURST = 2, ROUNDS = 1500 };

static _Atomic int stop;

/* Calls that are given up as soon as they are made: what a server has found is
 * gone when it looks again. */
static void *start_and_cancel(void *context)
{
	struct stoa_port *port = context;
	struct stoa_port_ticket ticket;

	while (!atomic_load(&stop))
		if (stoa_port_start(port, "", 0, STOA_NOW, &ticket) == 0)
			stoa_port_cancel(port, &ticket);
	return NULL;
}

static void *call_in_turn(void *context)
{
	struct stoa_port *port = context;
	struct stoa_port_ticket tickets[BURST];
	struct stoa_port_reply reply;
	uint32_t number = 0;

	for (int i = 0; i < ROUNDS; i++) {
		for (int j = 0; j < BURST; j++, number++)
			assert_ok(stoa_port_start(port, &number, sizeof(number),
			                          STOA_FOREVER, &tickets[j]));
		for (int j = 0; j < BURST; j++) {
			assert_ok(stoa_port_wait(port, &tickets[j],
			                         STOA_FOREVER, &reply));
			assert_ok(stoa_port_finish(port, &tickets[j], &reply));
		}
	}
	return NULL;
}

/* Of all places, few are left at one end and one at the other: a look takes
 * long, and what is committed behind it goes on before it. */
static void fill_middle(struct stoa_port *port)
{
	struct stoa_port_ticket tickets[PLACES];
	void *data;

	for (int i = 0; i < PLACES; i++)
		assert_ok(stoa_port_reserve(port, 1, 0, STOA_NOW, &tickets[i],
		                            &data));
	for (int i = 0; i < LOW; i++)
		assert_ok(stoa_port_cancel(port, &tickets[i]));
	assert_ok(stoa_port_cancel(port, &tickets[PLACES - 1]));
}

TEST(requests_of_one_thread_are_taken_in_order_though_others_give_up)
{
	struct stoa_space *space = open_space();
	struct stoa_port *port = make_port(space, CALLS, 64, 0);
	struct stoa_port *caller = join_port(space, STOA_WRITE);
	struct stoa_port *giver = join_port(space, STOA_WRITE);
	struct stoa_port_request request;
	pthread_t calling, giving;
	uint32_t next = 0, number = 0;

	fill_middle(port);
	assert_int_equal(pthread_create(&giving, NULL, start_and_cancel, giver),
	                 0);
	assert_int_equal(pthread_create(&calling, NULL, call_in_turn, caller),
	                 0);
	while (next < ROUNDS * BURST) {
		assert_ok(stoa_port_take(port, &number, sizeof(number),
		                         STOA_FOREVER, &request));
		if (request.bytes == sizeof(number)) {
			assert_int_equal(number, next);
			next++;
		}
		int result = stoa_port_reply(port, &request, 0, NULL, 0,
		                             STOA_NOW);
		assert_true(result == 0 || result == -ECANCELED);
	}
	atomic_store(&stop, 1);
	pthread_join(calling, NULL);
	pthread_join(giving, NULL);
	stoa_port_close(giver);
	stoa_port_close(caller);
	stoa_port_close(port);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(requests_of_one_thread_are_taken_in_order_though_others_give_up),
};

MAIN(cases)
