/* SPDX-License-Identifier: MIT */
/* Pairs: what is written on one side, the size and who is told of a change,
 * modes put and given back, a session on it, hanging up, and the walls. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>

struct pair {
	int controller, terminal;
};

static struct pair make_pair(void)
{
	struct pair pair;

	assert_ok(stoa_terminal_pair(NULL, &pair.controller, &pair.terminal));
	return pair;
}

static void close_pair(struct pair pair)
{
	close(pair.controller);
	close(pair.terminal);
}

static void write_text(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Reads exactly `text`, in however many pieces it comes. */
static void assert_reads(int fd, const char *text)
{
	char got[256];
	size_t bytes = 0, wanted = strlen(text);

	while (bytes < wanted) {
		ssize_t more = read(fd, got + bytes, wanted - bytes);

		assert_true(more > 0);
		bytes += (size_t)more;
	}
	assert_memory_equal(got, text, wanted);
}

TEST(each_side_reads_what_the_other_writes)
{
	struct pair pair = make_pair();

	write_text(pair.terminal, "out\n");
	assert_reads(pair.controller, "out\r\n");
	write_text(pair.controller, "in\n");
	assert_reads(pair.terminal, "in\n");
	assert_reads(pair.controller, "in\r\n"); /* the echo */
	close_pair(pair);
}

TEST(both_descriptors_are_close_on_exec)
{
	struct pair pair = make_pair();

	assert_true(fcntl(pair.controller, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(pair.terminal, F_GETFD) & FD_CLOEXEC);
	assert_true(isatty(pair.controller));
	assert_true(isatty(pair.terminal));
	close_pair(pair);
}

TEST(the_size_is_the_same_from_both_sides)
{
	const struct stoa_terminal_size wanted = { 33, 101, 808, 660 };
	struct stoa_terminal_size size;
	struct pair pair = make_pair();

	assert_ok(stoa_terminal_get_size(pair.controller, &size));
	assert_int_equal(size.rows, 24);
	assert_int_equal(size.columns, 80);
	assert_ok(stoa_terminal_set_size(pair.terminal, &wanted));
	assert_ok(stoa_terminal_get_size(pair.controller, &size));
	assert_memory_equal(&size, &wanted, sizeof(size));
	close_pair(pair);
	assert_ok(stoa_terminal_pair(&wanted, &pair.controller,
	                             &pair.terminal));
	assert_ok(stoa_terminal_get_size(pair.terminal, &size));
	assert_memory_equal(&size, &wanted, sizeof(size));
	close_pair(pair);
}

static void lead(struct pair *pair)
{
	close(pair->controller);
	assert_ok(stoa_terminal_lead(pair->terminal));
}

static void await_window_changes(void *context)
{
	struct pair *pair = context;
	struct stoa_terminal_size size;
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	lead(pair);
	assert_int_equal(tcgetpgrp(pair->terminal), getpid());
	report(0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sigwait(&set, &number), 0);
		assert_ok(stoa_terminal_get_size(pair->terminal, &size));
		report(size.rows);
	}
}

TEST(a_changed_size_is_told_to_the_session)
{
	struct stoa_terminal_size size = { 24, 80, 0, 0 };
	struct pair pair = make_pair();
	struct child child = start_child(await_window_changes, &pair);

	await_report(&child);
	for (uint16_t rows = 30; rows < 33; rows++) {
		size.rows = rows;
		assert_ok(stoa_terminal_set_size(pair.controller, &size));
		assert_int_equal(await_report(&child), rows);
	}
	end_child(&child);
	close_pair(pair);
}

static void await_hangup(void *context)
{
	struct pair *pair = context;

	lead(pair);
	report(0);
	for (;;)
		pause();
}

TEST(closing_the_controller_hangs_the_session_up)
{
	struct pair pair = make_pair();
	struct child child = start_child(await_hangup, &pair);
	int status;

	await_report(&child);
	close(pair.controller);
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGHUP);
	close(pair.terminal);
	close(child.reports);
	close(child.orders);
}

static void lead_twice(void *context)
{
	struct pair *pair = context;

	lead(pair);
	assert_result(stoa_terminal_lead(pair->terminal), -EPERM);
}

TEST(a_leader_can_not_lead_again)
{
	struct pair pair = make_pair();
	struct child child = start_child(lead_twice, &pair);

	end_child(&child);
	close_pair(pair);
}

static void lead_a_file(void *context UNUSED)
{
	int fd = open("/dev/null", O_RDWR);

	assert_result(stoa_terminal_lead(fd), -ENOTTY);
	assert_result(stoa_terminal_lead(-1), -EPERM); /* leads already */
	close(fd);
}

TEST(what_is_no_terminal_is_refused)
{
	struct stoa_terminal_size size = { 1, 1, 0, 0 };
	struct stoa_terminal_mode mode;
	int fd = open("/dev/null", O_RDWR);
	struct child child = start_child(lead_a_file, NULL);

	end_child(&child);
	assert_result(stoa_terminal_get_size(fd, &size), -ENOTTY);
	assert_result(stoa_terminal_set_size(fd, &size), -ENOTTY);
	assert_result(stoa_terminal_get_mode(fd, &mode), -ENOTTY);
	assert_result(stoa_terminal_raw(fd, &mode), -ENOTTY);
	assert_result(stoa_terminal_cooked(fd), -ENOTTY);
	close(fd);
	assert_result(stoa_terminal_get_size(fd, &size), -EBADF);
	assert_result(stoa_terminal_raw(fd, &mode), -EBADF);
}

/* ---- Modes ------------------------------------------------------------------ */

static struct termios settings_of(int fd)
{
	struct termios settings;

	memset(&settings, 0, sizeof(settings));
	assert_system(tcgetattr(fd, &settings));
	return settings;
}

TEST(raw_is_what_cfmakeraw_makes_and_the_way_back_is_whole)
{
	struct stoa_terminal_mode mode, again;
	struct pair pair = make_pair();
	struct termios before, raw, expected;

	before = settings_of(pair.terminal);
	before.c_lflag &= ~(tcflag_t)ECHOK;
	before.c_cc[VINTR] = 7;
	before.c_iflag |= IXANY;
	assert_system(tcsetattr(pair.terminal, TCSANOW, &before));
	before = settings_of(pair.terminal);
	assert_ok(stoa_terminal_raw(pair.terminal, &mode));
	raw = settings_of(pair.terminal);
	expected = before;
	cfmakeraw(&expected);
	assert_int_equal(raw.c_lflag, expected.c_lflag);
	assert_int_equal(raw.c_oflag, expected.c_oflag);
	assert_int_equal(raw.c_cflag, expected.c_cflag);
	assert_int_equal(raw.c_iflag & expected.c_iflag, raw.c_iflag);
	assert_ok(stoa_terminal_set_mode(pair.terminal, &mode));
	raw = settings_of(pair.terminal);
	assert_memory_equal(&raw, &before, sizeof(raw));
	assert_ok(stoa_terminal_get_mode(pair.terminal, &again));
	assert_memory_equal(&again, &mode, sizeof(mode));
	close_pair(pair);
}

TEST(raw_bytes_pass_as_they_are)
{
	struct pair pair = make_pair();
	char bytes[256], got[256];
	size_t have = 0;

	assert_ok(stoa_terminal_raw(pair.terminal, NULL));
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	assert_int_equal(write(pair.controller, bytes, 256), 256);
	while (have < 256)
		have += (size_t)assert_system(
		        read(pair.terminal, got + have, 256 - have));
	assert_memory_equal(got, bytes, 256);
	assert_int_equal(write(pair.terminal, bytes, 256), 256);
	for (have = 0; have < 256;)
		have += (size_t)assert_system(
		        read(pair.controller, got + have, 256 - have));
	assert_memory_equal(got, bytes, 256); /* and nothing was echoed */
	close_pair(pair);
}

TEST(cooked_is_as_a_new_terminal_is)
{
	struct pair pair = make_pair();
	struct termios before = settings_of(pair.terminal), after;

	assert_ok(stoa_terminal_raw(pair.terminal, NULL));
	assert_ok(stoa_terminal_cooked(pair.terminal));
	after = settings_of(pair.terminal);
	assert_int_equal(after.c_iflag, before.c_iflag);
	assert_int_equal(after.c_oflag, before.c_oflag);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_cflag, before.c_cflag);
	assert_memory_equal(after.c_cc, before.c_cc, sizeof(after.c_cc));
	close_pair(pair);
}

static struct stoa_terminal_mode kept;

static void give_mode_back(int number)
{
	stoa_terminal_set_mode(0, &kept);
	signal(number, SIG_DFL);
	raise(number);
}

static void go_raw_and_wait(void *context)
{
	struct pair *pair = context;

	lead(pair);
	dup2(pair->terminal, 0);
	assert_ok(stoa_terminal_raw(0, &kept));
	signal(SIGTERM, give_mode_back);
	report(0);
	for (;;)
		pause();
}

TEST(a_handler_may_give_the_mode_back)
{
	struct pair pair = make_pair();
	struct termios before = settings_of(pair.terminal), after;
	struct child child = start_child(go_raw_and_wait, &pair);
	int status;

	await_report(&child);
	after = settings_of(pair.terminal);
	assert_int_not_equal(after.c_lflag, before.c_lflag);
	kill(child.pid, SIGTERM);
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_true(WIFSIGNALED(status));
	after = settings_of(pair.controller);
	assert_memory_equal(&after, &before, sizeof(after));
	close_pair(pair);
	close(child.reports);
	close(child.orders);
}

/* ---- Walls ------------------------------------------------------------------- */

TEST(without_descriptors_nothing_is_left)
{
	struct rlimit limit;
	int controller = -7, terminal = -7, before = count_descriptors();

	assert_system(getrlimit(RLIMIT_NOFILE, &limit));
	for (rlim_t room = 0; room < 2; room++) {
		int next = dup(0);

		close(next);
		limit.rlim_cur = (rlim_t)next + room;
		assert_system(setrlimit(RLIMIT_NOFILE, &limit));
		assert_result(stoa_terminal_pair(NULL, &controller, &terminal),
		              -EMFILE);
		assert_sentence("pseudoterminal");
		assert_int_equal(controller, -7);
		assert_int_equal(terminal, -7);
		limit.rlim_cur = limit.rlim_max;
		assert_system(setrlimit(RLIMIT_NOFILE, &limit));
		assert_int_equal(count_descriptors(), before);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(each_side_reads_what_the_other_writes),
	CASE(both_descriptors_are_close_on_exec),
	CASE(the_size_is_the_same_from_both_sides),
	CASE(a_changed_size_is_told_to_the_session),
	CASE(closing_the_controller_hangs_the_session_up),
	CASE(a_leader_can_not_lead_again),
	CASE(what_is_no_terminal_is_refused),
	CASE(raw_is_what_cfmakeraw_makes_and_the_way_back_is_whole),
	CASE(raw_bytes_pass_as_they_are),
	CASE(cooked_is_as_a_new_terminal_is),
	CASE(a_handler_may_give_the_mode_back),
	CASE(without_descriptors_nothing_is_left),
};

MAIN(cases)
