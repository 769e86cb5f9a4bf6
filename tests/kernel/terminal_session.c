/* SPDX-License-Identifier: MIT */
/* Sessions: a command on a terminal, clients that watch and type, sizes, ends
 * and their status, names, and what the dead leave. */
#include "terminal.h"

TEST(a_command_writes_and_ends)
{
	struct stoa_terminal *terminal = start_alone("echo hello; exit 7");
	struct stoa_terminal_status status;
	int pipe[2];

	make_pipe(pipe);
	stoa_terminal_join(terminal, -1, pipe[1]);
	stoa_terminal_status(terminal, &status);
	assert_int_equal(status.ended, 0);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	close(pipe[1]);
	assert_pipe(pipe[0], "hello\r\n");
	assert_ended(terminal, 7, 0);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	stoa_terminal_close(terminal, STOA_NOW);
}

TEST(a_command_that_a_signal_kills_is_told)
{
	struct stoa_terminal *terminal = start_alone("kill -TERM $$");

	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_ended(terminal, 0, SIGTERM);
	assert_result(stoa_terminal_signal(terminal, SIGTERM), -ESRCH);
	stoa_terminal_close(terminal, STOA_NOW);
}

TEST(the_command_leads_a_session_on_its_own_terminal)
{
	struct stoa_terminal *terminal = start_alone(
	        "test -t 0 && test -t 1 && test -t 2 && stty size && "
	        "test $(ps -o pgid= $$) = $$ && test $(ps -o sess= $$) = $$ && "
	        "echo </dev/tty >/dev/tty");
	int pipe[2];

	make_pipe(pipe);
	stoa_terminal_join(terminal, -1, pipe[1]);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	close(pipe[1]);
	assert_pipe(pipe[0], "24 80\r\n\r\n");
	assert_ended(terminal, 0, 0);
	stoa_terminal_close(terminal, STOA_NOW);
}

TEST(the_command_inherits_no_signals)
{
	struct stoa_terminal *terminal;
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	terminal = start_alone(
	        "grep -q '^SigBlk:.0*$' /proc/self/status && "
	        "grep -q '^SigIgn:.0*$' /proc/self/status");
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_ended(terminal, 0, 0);
	stoa_terminal_close(terminal, STOA_NOW);
}

TEST(a_command_that_is_not_there_is_refused)
{
	static char *const argv[] = { "/nonexistent/command", NULL };
	static char *const none[] = { NULL };
	struct stoa_terminal_attributes attributes = {
		.size = sizeof(attributes), .directory = "/nonexistent"
	};
	static char *const shell[] = { "sh", NULL };
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal = NULL;

	assert_result(stoa_terminal_start(space, "t", NULL, argv, &terminal),
	              -ENOENT);
	assert_sentence("/nonexistent/command");
	assert_result(stoa_terminal_start(space, "t", NULL, none, &terminal),
	              -EINVAL);
	assert_result(stoa_terminal_start(space, "t", &attributes, shell,
	                                  &terminal),
	              -ENOENT);
	assert_sentence("/nonexistent");
	attributes.directory = NULL;
	attributes.reserved[3] = 1;
	assert_result(stoa_terminal_start(space, "t", &attributes, shell,
	                                  &terminal),
	              -EINVAL);
	attributes.reserved[3] = 0;
	attributes.window.rows = 10;
	assert_result(stoa_terminal_start(space, "t", &attributes, shell,
	                                  &terminal),
	              -EINVAL);
	assert_result(stoa_terminal_start(space, ".t", NULL, shell, &terminal),
	              -EINVAL);
	assert_result(stoa_terminal_start(space, "a/b", NULL, shell, &terminal),
	              -EINVAL);
	assert_result(stoa_terminal_start(NULL, "t", NULL, shell, &terminal),
	              -EINVAL);
	assert_null(terminal);
	assert_int_equal(count_sessions(space), 0);
	stoa_space_close(space);
}

TEST(typed_bytes_come_to_the_command)
{
	struct stoa_terminal *terminal = start_alone("read a; echo got $a");
	int pipe[2];

	make_pipe(pipe);
	stoa_terminal_join(terminal, -1, pipe[1]);
	assert_result(stoa_terminal_type(terminal, "word\n", 5, STOA_FOREVER),
	              5);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	close(pipe[1]);
	assert_pipe(pipe[0], "word\r\ngot word\r\n");
	assert_result(stoa_terminal_type(terminal, "x", 1, STOA_NOW), -EIO);
	stoa_terminal_close(terminal, STOA_NOW);
}

TEST(the_end_of_a_joined_file_is_the_end_of_input)
{
	struct stoa_terminal *terminal =
	        start_alone("stty -echo; echo ready; cat; echo end");
	int in[2], out[2];

	make_pipe(in);
	make_pipe(out);
	stoa_terminal_join(terminal, -1, out[1]);
	run_until(terminal, out[0], "ready\r\n");
	assert_int_equal(write(in[1], "a\nb", 3), 3);
	close(in[1]);
	stoa_terminal_join(terminal, in[0], out[1]);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	close(out[1]);
	assert_pipe(out[0], "a\r\nbend\r\n");
	close(in[0]);
	stoa_terminal_close(terminal, STOA_NOW);
}

TEST(an_output_that_nobody_reads_any_more_kills_nobody)
{
	struct stoa_terminal *terminal = start_alone("seq 10000");
	int pipe[2];

	make_pipe(pipe);
	close(pipe[0]);
	stoa_terminal_join(terminal, -1, pipe[1]);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_ended(terminal, 0, 0);
	close(pipe[1]);
	stoa_terminal_close(terminal, STOA_NOW);
}

TEST(a_run_ends_by_its_deadline_or_when_woken)
{
	struct stoa_terminal *terminal = start_alone("read a");
	int pipe[2];

	make_pipe(pipe);
	assert_result(stoa_terminal_run(terminal, pipe[0], STOA_NOW), -EAGAIN);
	assert_result(stoa_terminal_run(terminal, pipe[0],
	                                stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	assert_int_equal(write(pipe[1], "x", 1), 1);
	assert_result(stoa_terminal_run(terminal, pipe[0], STOA_FOREVER), 1);
	stoa_terminal_close(terminal, STOA_NOW);
	close(pipe[0]);
	close(pipe[1]);
}

/* It writes faster than that is passed on. */
TEST(a_run_ends_by_its_deadline_however_much_there_is_to_do)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal = start_session(space, "s", "exec yes");
	struct stoa_terminal_client *client;

	assert_ok(stoa_terminal_attach(space, "s", STOA_READ, &client));
	run_until_seen(terminal, client, "y\r\ny");
	for (int i = 0; i < 3; i++) {
		assert_result(stoa_terminal_run(terminal, -1,
		                                stoa_deadline_in(MS)),
		              -ETIMEDOUT);
		assert_result(stoa_terminal_run(terminal, -1, STOA_NOW),
		              -EAGAIN);
	}
	stoa_terminal_detach(client);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

TEST(closing_hangs_the_command_up)
{
	struct stoa_terminal *terminal = start_alone("cat");

	stoa_terminal_close(terminal, STOA_FOREVER);
	terminal = start_alone("trap '' HUP; while :; do sleep 100; done");
	stoa_terminal_close(terminal, STOA_NOW); /* killed, as it won't go */
}

/* ---- Clients ------------------------------------------------------------------- */

TEST(every_client_sees_every_byte)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal =
	        start_session(space, "t", "read a; seq 1000; exit 3");
	struct stoa_terminal_client *client[3];

	for (int i = 0; i < 3; i++)
		assert_ok(stoa_terminal_attach(space, "t",
		                               STOA_READ | STOA_WRITE,
		                               &client[i]));
	assert_result(stoa_terminal_send(client[1], "go\n", 3, NULL,
	                                 STOA_FOREVER),
	              3);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_ended(terminal, 3, 0);
	stoa_terminal_close(terminal, STOA_NOW);
	for (int i = 0; i < 3; i++) {
		assert_sees(client[i], "\r\n1\r\n2\r\n");
		assert_sees(client[i], "\r\n1000\r\n");
		assert_sees_end(client[i], 3, 0);
		stoa_terminal_detach(client[i]);
	}
	assert_int_equal(count_sessions(space), 0);
	stoa_space_close(space);
}

TEST(a_late_client_sees_what_was_written_before)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal =
	        start_session(space, "t", "echo early; read a; echo $a");
	struct stoa_terminal_client *first, *late;
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];

	assert_ok(stoa_terminal_attach(space, "t", STOA_READ, &first));
	run_until_seen(terminal, first, "early\r\n");
	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                               &late));
	assert_ok(stoa_terminal_next(late, buffer, sizeof(buffer), STOA_NOW,
	                             &event));
	assert_int_equal(event.kind, STOA_TERMINAL_OUTPUT);
	assert_int_equal(event.old, 1);
	assert_true(event.bytes > 0 && event.data[0] == 'e');
	assert_ok(stoa_terminal_skip(late));
	assert_result(stoa_terminal_next(late, buffer, sizeof(buffer),
	                                 STOA_NOW, &event),
	              -EAGAIN);
	assert_result(stoa_terminal_send(first, "x", 1, NULL, STOA_NOW),
	              -EBADF);
	assert_result(stoa_terminal_send(late, "late\n", 5, NULL, STOA_NOW), 5);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_ok(stoa_terminal_next(late, buffer, sizeof(buffer), STOA_NOW,
	                             &event));
	assert_int_equal(event.old, 0);
	assert_sees(first, "late\r\n");
	assert_sees_end(first, 0, 0);
	stoa_terminal_detach(first);
	stoa_terminal_detach(late);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

TEST(the_size_is_that_of_who_typed_last)
{
	const struct stoa_terminal_size one = { 30, 90, 0, 0 };
	const struct stoa_terminal_size two = { 40, 120, 0, 0 };
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal = start_session(
	        space, "t", "stty -echo; echo ready; while read a; do stty size; done");
	struct stoa_terminal_client *a, *b;
	struct stoa_terminal_info info;

	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE, &a));
	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE, &b));
	run_until_seen(terminal, a, "ready\r\n");
	assert_result(stoa_terminal_send(a, "\n", 1, &one, STOA_NOW), 1);
	run_until_seen(terminal, a, "30 90\r\n");
	assert_result(stoa_terminal_send(b, "\n", 1, &two, STOA_NOW), 1);
	run_until_seen(terminal, b, "40 120\r\n");
	assert_ok(stoa_terminal_ask(a, STOA_TERMINAL_RESIZE, &one, STOA_NOW));
	assert_result(stoa_terminal_send(a, "\n", 1, NULL, STOA_NOW), 1);
	run_until_seen(terminal, a, "30 90\r\n");
	assert_ok(stoa_terminal_find(space, "t", &info));
	assert_int_equal(info.window.rows, 30);
	assert_int_equal(info.clients, 2);
	assert_int_equal(info.health, 0);
	assert_int_equal(info.keeper_pid, getpid());
	assert_true(strstr(info.command, "stty size") != NULL);
	assert_result(stoa_terminal_ask(a, 'q', NULL, STOA_NOW), -EINVAL);
	assert_result(stoa_terminal_ask(a, STOA_TERMINAL_RESIZE, NULL,
	                                STOA_NOW),
	              -EINVAL);
	assert_ok(stoa_terminal_ask(a, STOA_TERMINAL_HANG_UP, NULL, STOA_NOW));
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_ended(terminal, 0, SIGHUP);
	stoa_terminal_detach(a);
	stoa_terminal_detach(b);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

TEST(a_redraw_tells_the_command_and_leaves_the_size)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal = start_session(
	        space, "t",
	        "trap 'echo told' WINCH; echo ready; until read a; do :; done;"
	        "until read b; do :; done; stty size");
	struct stoa_terminal_client *client;

	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                               &client));
	run_until_seen(terminal, client, "ready\r\n");
	assert_ok(stoa_terminal_ask(client, STOA_TERMINAL_REDRAW, NULL,
	                            STOA_NOW));
	assert_result(stoa_terminal_send(client, "x\n", 2, NULL, STOA_NOW), 2);
	run_until_seen(terminal, client, "told\r\n");
	run_until_size(terminal, 24);
	assert_result(stoa_terminal_send(client, "y\n", 2, NULL, STOA_NOW), 2);
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_sees(client, "24 80\r\n");
	stoa_terminal_detach(client);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

TEST(titles_are_told_and_made_printable)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal = start_session(
	        space, "t",
	        "printf '\\033]0;one \\302\\233 two\\001 \\303\\244\\377\\007ready'; read a");
	struct stoa_terminal_client *client;
	struct stoa_terminal_info info;

	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                               &client));
	run_until_seen(terminal, client, "ready");
	assert_result(stoa_terminal_run(terminal, -1, STOA_NOW), -EAGAIN);
	assert_ok(stoa_terminal_find(space, "t", &info));
	assert_string_equal(info.title, "one ? two? \303\244?");
	stoa_terminal_detach(client);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

/* ---- Names, and deaths ------------------------------------------------------------ */

TEST(a_name_is_one_session_s)
{
	static char *const argv[] = { "cat", NULL };
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal = start_session(space, "t", "cat");
	struct stoa_terminal *other = NULL;

	assert_result(stoa_terminal_start(space, "t", NULL, argv, &other),
	              -EEXIST);
	assert_null(other);
	assert_result(stoa_terminal_remove(space, "t"), -EBUSY);
	assert_int_equal(stoa_terminal_clean(space, 0, NULL, NULL), 0);
	assert_int_equal(count_sessions(space), 1);
	stoa_terminal_close(terminal, STOA_FOREVER);
	assert_int_equal(count_sessions(space), 0);
	assert_result(stoa_terminal_remove(space, "t"), -ENOENT);
	terminal = start_session(space, "t", "cat");
	stoa_terminal_close(terminal, STOA_FOREVER);
	stoa_space_close(space);
}

static void keep_until_killed(void *context UNUSED)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal *terminal =
	        start_session(space, "t", "echo alive; exec cat");

	report(0);
	stoa_terminal_run(terminal, -1, STOA_FOREVER);
}

TEST(a_keeper_s_death_is_told_and_its_name_is_taken_over)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal_client *client;
	struct stoa_terminal *terminal;
	struct stoa_terminal_event event;
	struct stoa_terminal_info info;
	char buffer[STOA_TERMINAL_CHUNK];
	struct child child = start_child(keep_until_killed, NULL);

	await_report(&child);
	assert_ok(stoa_terminal_attach(space, "t", STOA_READ | STOA_WRITE,
	                               &client));
	assert_sees(client, "alive\r\n");
	kill_child(&child);
	assert_result(stoa_terminal_next(client, buffer, sizeof(buffer),
	                                 STOA_FOREVER, &event),
	              -ECONNRESET);
	assert_ok(stoa_terminal_find(space, "t", &info));
	assert_int_equal(info.health, -ECONNRESET);
	stoa_terminal_detach(client);
	assert_result(stoa_terminal_attach(space, "t", STOA_READ, &client),
	              -ECONNRESET);
	terminal = start_session(space, "t", "echo again");
	assert_ok(stoa_terminal_attach(space, "t", STOA_READ, &client));
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	assert_sees(client, "again\r\n");
	assert_sees_end(client, 0, 0);
	stoa_terminal_detach(client);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

static void note_clean(const char *name, int result, void *context)
{
	assert_string_equal(name, "t");
	assert_int_equal(result, 0);
	++*(int *)context;
}

TEST(what_a_dead_keeper_left_can_be_cleaned)
{
	struct stoa_space *space = open_space();
	int told = 0;

	for (int round = 0; round < 2; round++) {
		struct child child = start_child(keep_until_killed, NULL);

		await_report(&child);
		kill_child(&child);
		assert_int_equal(count_sessions(space), 1);
		if (round == 0) {
			assert_int_equal(stoa_terminal_clean(space, 1,
			                                     note_clean, &told),
			                 1);
			assert_int_equal(count_sessions(space), 1);
			assert_int_equal(stoa_terminal_clean(space, 0,
			                                     note_clean, &told),
			                 1);
			assert_int_equal(told, 2);
		} else {
			assert_ok(stoa_terminal_remove(space, "t"));
		}
		assert_int_equal(count_sessions(space), 0);
	}
	stoa_space_close(space);
}

TEST(a_stopped_client_holds_nobody_back)
{
	struct stoa_space *space = open_space();
	struct stoa_terminal_attributes attributes = {
		.size = sizeof(attributes), .history_bytes = 65536
	};
	struct stoa_terminal *terminal;
	struct stoa_terminal_client *client;
	struct stoa_terminal_event event;
	char buffer[STOA_TERMINAL_CHUNK];
	uint64_t lost = 0;

	terminal = start_with(space, "t", &attributes, "seq 200000");
	assert_ok(stoa_terminal_attach(space, "t", STOA_READ, &client));
	assert_ok(stoa_terminal_run(terminal, -1, STOA_FOREVER));
	do {
		assert_ok(stoa_terminal_next(client, buffer, sizeof(buffer),
		                             STOA_NOW, &event));
		lost += event.lost;
	} while (event.kind != STOA_TERMINAL_END);
	assert_true(lost > 0);
	stoa_terminal_detach(client);
	stoa_terminal_close(terminal, STOA_NOW);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_command_writes_and_ends),
	CASE(a_command_that_a_signal_kills_is_told),
	CASE(the_command_leads_a_session_on_its_own_terminal),
	CASE(the_command_inherits_no_signals),
	CASE(a_command_that_is_not_there_is_refused),
	CASE(typed_bytes_come_to_the_command),
	CASE(the_end_of_a_joined_file_is_the_end_of_input),
	CASE(an_output_that_nobody_reads_any_more_kills_nobody),
	CASE(a_run_ends_by_its_deadline_or_when_woken),
	CASE(a_run_ends_by_its_deadline_however_much_there_is_to_do),
	CASE(closing_hangs_the_command_up),
	CASE(every_client_sees_every_byte),
	CASE(a_late_client_sees_what_was_written_before),
	CASE(the_size_is_that_of_who_typed_last),
	CASE(a_redraw_tells_the_command_and_leaves_the_size),
	CASE(titles_are_told_and_made_printable),
	CASE(a_name_is_one_session_s),
	CASE(a_keeper_s_death_is_told_and_its_name_is_taken_over),
	CASE(what_a_dead_keeper_left_can_be_cleaned),
	CASE(a_stopped_client_holds_nobody_back),
};

MAIN(cases)
