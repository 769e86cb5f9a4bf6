/* SPDX-License-Identifier: MIT */
/* Deaths at random instants: of the keeper, of clients, of the command. */
#include "terminal.h"

#include <sched.h>
#include <sys/wait.h>

enum { ROUNDS = 12, SPIN_MOST = 300000 };

static void spin(uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		__asm__ volatile("" ::: "memory");
}

/* Kills it at an instant that differs each time. */
static void kill_soon(struct child *child, uint64_t *seed)
{
	spin(random_below(seed, SPIN_MOST));
	kill_child(child);
}

static void keep(const char *script)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal = start_session(space, "t", script);

	report(0);
	stoa_terminal_run(terminal, -1, STOA_FOREVER);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

static void keep_busy(void *context UNUSED)
{
	keep("while :; do echo a line of some length; done");
}

/* Begins, is busy and ends; the instants of it all are what is tried. */
static void keep_shortly(void *context UNUSED)
{
	keep("seq 300");
}

/* A keeper killed while it starts its command looks alive until that executes:
 * until then it has what the keeper had open (see stoa/space.h). */
static struct stoa_terminal *start_again(struct stoa_space *space,
                                         const char *script)
{
	char *const argv[] = { "sh", "-c", (char *)script, NULL };
	struct stoa_terminal *terminal = NULL;
	int result;

	while ((result = stoa_terminal_start(space, "t", NULL, argv,
	                                     &terminal)) == -EEXIST)
		sched_yield();
	assert_good(result);
	return terminal;
}

/* The name can be had again, and nothing of the old one shows. */
static void assert_name_free(struct stoa_space *space)
{
	struct stoa_terminal *terminal = start_again(space, "echo new; exit 3");
	struct stoa_terminal_client *client;

	assert_ok(stoa_terminal_attach(space, "t", STOA_READ, &client));
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_sees(client, "new\r\n");
	assert_sees_end(client, 3, 0);
	stoa_terminal_detach(client);
	stoa_terminal_close(terminal, STOA_NOW);
	assert_int_equal(count_sessions(space), 0);
}

TEST(a_keeper_killed_at_any_instant_is_told_to_its_client)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (int round = 0; round < ROUNDS; round++) {
		struct child child = start_child(keep_busy, NULL);
		struct stoa_terminal_client *client;
		struct stoa_terminal_event event;
		char buffer[STOA_TERMINAL_CHUNK];
		uint64_t events = random_below(&seed, 30);
		int result = 0;

		await_report(&child);
		assert_ok(stoa_terminal_attach(space, "t",
		                               STOA_READ | STOA_WRITE,
		                               &client));
		while (events-- > 0)
			assert_ok(stoa_terminal_next(client, buffer,
			                             sizeof(buffer),
			                             STOA_FOREVER, &event));
		kill_soon(&child, &seed);
		while (result == 0)
			result = stoa_terminal_next(client, buffer,
			                            sizeof(buffer),
			                            STOA_FOREVER, &event);
		assert_int_equal(result, -ECONNRESET);
		/* What is typed goes nowhere, and holds up nobody. */
		do
			result = (int)stoa_terminal_send(client, "x", 1, NULL,
			                                 STOA_FOREVER);
		while (result > 0);
		assert_int_equal(result, -ECONNRESET);
		stoa_terminal_detach(client);
		assert_name_free(space);
	}
	stoa_space_close(space);
}

TEST(a_keeper_killed_while_it_begins_or_ends_leaves_its_name)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (int round = 0; round < 3 * ROUNDS; round++) {
		struct child child = start_child(keep_shortly, NULL);

		if (round % 3 != 0)
			await_report(&child);
		spin(random_below(&seed, 20 * SPIN_MOST));
		kill(child.pid, SIGKILL); /* it may have ended */
		assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
		close(child.reports);
		close(child.orders);
		while (round % 2 == 0 && count_sessions(space) > 0) {
			assert_good(stoa_terminal_clean(space, 0, NULL, NULL));
			sched_yield();
		}
		assert_name_free(space);
	}
	stoa_space_close(space);
}

static void watch_and_type(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal_client *client;
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];

	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                               &client));
	report(0);
	for (;;) {
		stoa_terminal_send(client, "typed\n", 6, NULL, STOA_NOW);
		stoa_terminal_next(client, buffer, sizeof(buffer), STOA_NOW,
		                   &event);
	}
}

static void keep_counting(void *context UNUSED)
{
	keep("stty -echo; i=0; while read a && [ \"$a\" != end ]; do "
	     "i=$((i + 1)); echo line $i; done; exit 4");
}

TEST(clients_killed_at_any_instant_change_nothing_for_others)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal_client *client;
	uint64_t seed = run_seed();
	struct child keeper = start_child(keep_counting, NULL);

	await_report(&keeper);
	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                               &client));
	for (int round = 0; round < ROUNDS; round++) {
		struct child child = start_child(watch_and_type, NULL);

		await_report(&child);
		assert_sees(client, "line ");
		kill_soon(&child, &seed);
	}
	assert_result(stoa_terminal_send(client, "\nend\n", 5, NULL,
	                                 STOA_FOREVER),
	              5);
	assert_sees_end(client, 4, 0);
	stoa_terminal_detach(client);
	end_child(&keeper);
	assert_int_equal(count_sessions(space), 0);
	stoa_space_close(space);
}

TEST(a_command_killed_at_any_instant_is_told_with_its_signal)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (int round = 0; round < ROUNDS; round++) {
		struct stoa_terminal *terminal =
		        start_session(space, "t", "while :; do echo x; done");
		struct stoa_terminal_client *client;

		assert_ok(stoa_terminal_attach(space, "t", STOA_READ,
		                               &client));
		run_until_seen(terminal, client, "x\r\n");
		spin(random_below(&seed, SPIN_MOST));
		assert_ok(stoa_terminal_signal(terminal, SIGKILL));
		assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
		assert_ended(terminal, 0, SIGKILL);
		assert_sees_end(client, 0, SIGKILL);
		stoa_terminal_detach(client);
		stoa_terminal_close(terminal, STOA_NOW);
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_keeper_killed_at_any_instant_is_told_to_its_client),
	CASE(a_keeper_killed_while_it_begins_or_ends_leaves_its_name),
	CASE(clients_killed_at_any_instant_change_nothing_for_others),
	CASE(a_command_killed_at_any_instant_is_told_with_its_signal),
};

MAIN(cases)
