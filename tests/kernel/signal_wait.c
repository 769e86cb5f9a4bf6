/* SPDX-License-Identifier: MIT */
/* Names, masks, waiting with a deadline, descriptors, and messages. */
#include "signals.h"

#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>

#define PAIR (STOA_SIGNAL(RT) | STOA_SIGNAL(RT + 1))

static struct stoa_signal_target *self;

static void send_self(int number, uint64_t value)
{
	assert_ok(stoa_signal_queue(self, number, value_of(value)));
}

TEST(names_and_numbers_are_each_others)
{
	static const struct {
		const char *name;
		int number;
	} known[] = { { "SIGTERM", SIGTERM }, { "term", SIGTERM },
		      { "15", 15 },           { "SIGCLD", SIGCHLD },
		      { "IO", SIGIO },        { "Hup", SIGHUP },
		      { "SIG33", 33 },        { "sig9", 9 } };
	char name[STOA_SIGNAL_NAME_MAX];

	for (int number = 1; number <= 64; number++) {
		assert_ok(stoa_signal_name(number, name));
		assert_result(stoa_signal_number(name), number);
	}
	for (size_t i = 0; i < LENGTH(known); i++)
		assert_result(stoa_signal_number(known[i].name),
		              known[i].number);
	assert_result(stoa_signal_number("RTMIN+3"), SIGRTMIN + 3);
	assert_result(stoa_signal_number("SIGRTMAX-1"), SIGRTMAX - 1);
	assert_result(stoa_signal_number("SIGRTMAX"), SIGRTMAX);
	assert_ok(stoa_signal_name(SIGRTMIN, name));
	assert_string_equal(name, "SIGRTMIN");
	assert_ok(stoa_signal_name(SIGRTMAX, name));
	assert_string_equal(name, "SIGRTMIN+30");
}

TEST(what_is_no_signal_is_told)
{
	static const char *const wrong[] = { "",         "0",      "65",
		                             "-1",       "SIG",    "TERMS",
		                             "RTMIN-1",  "RTMAX+1", "RTMIN+31",
		                             "RTMIN+",   "9x",     "007" };
	char name[STOA_SIGNAL_NAME_MAX] = "kept";

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		assert_result(stoa_signal_number(wrong[i]), -EINVAL);
		assert_sentence("there is no signal");
	}
	assert_result(stoa_signal_name(0, name), -EINVAL);
	assert_result(stoa_signal_name(65, name), -EINVAL);
	assert_string_equal(name, "kept");
}

TEST(a_thread_says_what_it_blocks)
{
	stoa_signal_set before = 0, now = 0;

	assert_ok(stoa_signal_block(PAIR, &before));
	assert_ok(stoa_signal_blocked(&now));
	assert_true(now == (before | PAIR));
	assert_ok(stoa_signal_unblock(STOA_SIGNAL(RT), &before));
	assert_ok(stoa_signal_blocked(&now));
	assert_true(now == (before & ~STOA_SIGNAL(RT)));
	assert_ok(stoa_signal_set_blocked(STOA_SIGNAL_ALL));
	assert_ok(stoa_signal_blocked(&now));
	assert_true(now == STOA_SIGNAL_ALL);
	assert_ok(stoa_signal_set_blocked(0));
	/* The kernel would say yes and do nothing. */
	assert_result(stoa_signal_block(STOA_SIGNAL(SIGKILL), NULL), -EINVAL);
	assert_sentence("SIGKILL");
	assert_result(stoa_signal_block(STOA_SIGNAL(32) | PAIR, NULL), -EINVAL);
	assert_ok(stoa_signal_blocked(&now));
	assert_true(now == 0);
}

TEST(standard_signals_coalesce_and_real_time_ones_queue_in_order)
{
	stoa_signal_set set = PAIR | STOA_SIGNAL(SIGUSR1), pending = 0;
	struct stoa_signal_info info;

	self = target_of(getpid());
	block(set);
	for (uint64_t i = 1; i <= 3; i++) {
		send_self(RT + 1, i);
		send_self(RT, 10 + i);
		send_self(SIGUSR1, 20 + i);
	}
	assert_ok(stoa_signal_pending(&pending));
	assert_true((pending & set) == set);
	assert_result(stoa_signal_wait(set, 0, STOA_NOW, &info), SIGUSR1);
	assert_int_equal(number_in(&info), 21);
	assert_int_equal(info.pid, getpid());
	assert_int_equal(info.uid, getuid());
	assert_true(info.when_ns > 0);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_result(stoa_signal_wait(set, 0, STOA_NOW, &info), RT);
		assert_int_equal(number_in(&info), 10 + i);
	}
	for (uint64_t i = 1; i <= 3; i++) {
		assert_result(stoa_signal_wait(set, 0, STOA_NOW, &info),
		              RT + 1);
		assert_int_equal(number_in(&info), i);
	}
	assert_result(stoa_signal_wait(set, 0, STOA_NOW, &info), -EAGAIN);
	stoa_signal_target_close(self);
}

TEST(a_wait_ends_at_its_deadline_on_either_clock)
{
	struct timespec soon;
	struct stoa_deadline deadline;
	int64_t began = now_ns();

	block(PAIR);
	assert_result(stoa_signal_wait(PAIR, 0, stoa_deadline_in(30 * MS),
	                               NULL),
	              -ETIMEDOUT);
	assert_true(now_ns() - began >= 30 * MS);
	clock_gettime(CLOCK_REALTIME, &soon);
	assert_ok(stoa_deadline_at(CLOCK_REALTIME, &soon, &deadline));
	deadline.ns += 70 * MS;
	assert_result(stoa_signal_wait(PAIR, 0, deadline, NULL), -ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, &soon);
	assert_true(soon.tv_sec * SECOND + soon.tv_nsec >= deadline.ns);
	assert_result(stoa_signal_wait(PAIR, 0, stoa_deadline_in(-SECOND),
	                               NULL),
	              -ETIMEDOUT);
}

TEST(what_is_not_blocked_can_not_be_waited_for)
{
	struct stoa_signal *signal = NULL;

	block(STOA_SIGNAL(RT));
	assert_result(stoa_signal_wait(PAIR, 0, STOA_NOW, NULL), -EINVAL);
	assert_sentence("SIGRTMIN+2 isn't blocked");
	assert_result(stoa_signal_wait(0, 0, STOA_NOW, NULL), -EINVAL);
	assert_result(stoa_signal_wait(STOA_SIGNAL(RT), STOA_READ, STOA_NOW,
	                               NULL),
	              -EINVAL);
	assert_result(stoa_signal_wait(STOA_SIGNAL(SIGKILL), 0, STOA_NOW, NULL),
	              -EINVAL);
	assert_result(stoa_signal_open(STOA_SIGNAL(SIGSTOP), 0, &signal),
	              -EINVAL);
	assert_result(stoa_signal_open(0, 0, &signal), -EINVAL);
	assert_result(stoa_signal_open(PAIR, STOA_WRITE, &signal), -EINVAL);
	assert_null(signal);
}

/* ---- Interruption ------------------------------------------------------------------ */

static void count(const struct stoa_signal_info *info, void *context)
{
	(void)info;
	__atomic_fetch_add((int *)context, 1, __ATOMIC_RELAXED);
}

static void wait_amid_handlers(void *context)
{
	unsigned flags = *(unsigned *)context;
	int handled = 0;
	struct stoa_signal_action action = { .size = sizeof(action),
		                             .disposition = STOA_SIGNAL_HANDLE,
		                             .handler = count,
		                             .context = &handled,
		                             /* Not the child's orders. */
		                             .flags = STOA_SIGNAL_RESTARTS };
	struct stoa_signal *signal;

	assert_ok(stoa_signal_set_action(SIGUSR2, &action, NULL));
	assert_ok(stoa_signal_open(PAIR, flags, &signal));
	struct stoa_signal_info info;

	report(0);
	if (flags) {
		assert_result(stoa_signal_wait(PAIR, flags, STOA_FOREVER, NULL),
		              -EINTR);
		report(1);
		assert_int_equal(await_order(), 0);
		assert_result(stoa_signal_read(signal, &info, 1, STOA_FOREVER),
		              -EINTR);
		report(2);
	} else {
		assert_result(stoa_signal_wait(PAIR, 0, STOA_FOREVER, NULL),
		              RT);
		assert_result(stoa_signal_read(signal, &info, 1, STOA_FOREVER),
		              1);
		assert_true(handled > 0);
	}
	stoa_signal_close(signal);
}

/* A signal that comes before the wait ends nothing: again and again. */
TEST(handlers_end_a_wait_only_if_that_was_asked_for)
{
	unsigned flags = STOA_INTERRUPTIBLE;
	struct child child = start_child(wait_amid_handlers, &flags);

	assert_int_equal(await_report(&child), 0);
	for (int64_t i = 1; i <= 2; i++) {
		while (!has_report(&child)) {
			assert_system(kill(child.pid, SIGUSR2));
			sched_yield();
		}
		assert_int_equal(await_report(&child), i);
		if (i == 1)
			give_order(&child, 0);
	}
	end_child(&child);
	flags = 0;
	child = start_child(wait_amid_handlers, &flags);
	assert_int_equal(await_report(&child), 0);
	for (int i = 0; i < 100; i++)
		assert_system(kill(child.pid, SIGUSR2));
	assert_system(kill(child.pid, RT));
	for (int i = 0; i < 100; i++)
		assert_system(kill(child.pid, SIGUSR2));
	assert_system(kill(child.pid, RT + 1));
	end_child(&child);
}

/* ---- As a descriptor ----------------------------------------------------------------- */

TEST(a_descriptor_is_readable_while_there_are_signals)
{
	struct stoa_signal_info infos[10];
	struct epoll_event event = { .events = EPOLLIN };
	struct stoa_signal *signal;
	stoa_signal_set before = 0, now = 0;
	int epoll = (int)assert_system(epoll_create1(EPOLL_CLOEXEC));

	self = target_of(getpid());
	assert_ok(stoa_signal_blocked(&before));
	assert_ok(stoa_signal_open(PAIR, 0, &signal));
	assert_system(epoll_ctl(epoll, EPOLL_CTL_ADD,
	                        stoa_signal_pollfd(signal), &event));
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	assert_result(stoa_signal_read(signal, infos, 10, STOA_NOW), -EAGAIN);
	assert_result(stoa_signal_read(signal, infos, 10,
	                               stoa_deadline_in(5 * MS)),
	              -ETIMEDOUT);
	assert_result(stoa_signal_read(signal, infos, 0, STOA_NOW), -EINVAL);
	for (uint64_t i = 0; i < 5; i++)
		send_self(RT, i);
	assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
	assert_result(stoa_signal_read(signal, infos, 2, STOA_NOW), 2);
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 1);
	assert_result(stoa_signal_read(signal, infos + 2, 8, STOA_FOREVER), 3);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(infos[i].number, RT);
		assert_int_equal(number_in(&infos[i]), i);
		assert_int_equal(infos[i].origin, STOA_SIGNAL_BY_VALUE);
		assert_int_equal(infos[i].pid, getpid());
	}
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	stoa_signal_close(signal);
	stoa_signal_close(NULL);
	assert_ok(stoa_signal_blocked(&now));
	assert_true(now == before);
	close(epoll);
	stoa_signal_target_close(self);
}

static void *leave_open(void *context)
{
	int *pipes = context;
	char byte;

	assert_true(write(pipes[3], "x", 1) == 1);
	while (read(pipes[0], &byte, 1) < 0)
		;
	return NULL;
}

TEST(a_thread_that_would_get_the_signals_is_named)
{
	struct stoa_signal *signal = NULL;
	stoa_signal_set now = 0;
	pthread_t thread;
	int pipes[4];
	char byte;

	assert_system(pipe(pipes));
	assert_system(pipe(pipes + 2));
	assert_int_equal(pthread_create(&thread, NULL, leave_open, pipes), 0);
	assert_int_equal(read(pipes[2], &byte, 1), 1);
	assert_result(stoa_signal_open(PAIR, 0, &signal), -EBUSY);
	assert_sentence("doesn't block SIGRTMIN+1");
	assert_null(signal);
	assert_ok(stoa_signal_blocked(&now));
	assert_true((now & PAIR) == 0);
	assert_ok(stoa_signal_open(PAIR, STOA_SIGNAL_THIS_THREAD, &signal));
	stoa_signal_close(signal);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	pthread_join(thread, NULL);
	for (int i = 0; i < 4; i++)
		close(pipes[i]);
}

static void use_parents(void *context)
{
	struct stoa_signal_info info;
	struct stoa_signal *signal;

	assert_result(stoa_signal_read(context, &info, 1, STOA_NOW), -ESTALE);
	assert_sentence("open your own");
	stoa_signal_close(context);
	assert_ok(stoa_signal_open(PAIR, 0, &signal));
	self = target_of(getpid());
	send_self(RT, 3);
	assert_result(stoa_signal_read(signal, &info, 1, STOA_FOREVER), 1);
	stoa_signal_close(signal);
	stoa_signal_target_close(self);
}

TEST(a_forked_child_opens_its_own)
{
	struct stoa_signal *signal;
	struct stoa_signal_info info;

	assert_ok(stoa_signal_open(PAIR, 0, &signal));
	struct child child = start_child(use_parents, signal);
	end_child(&child);
	assert_ok(stoa_signal_unblock(STOA_SIGNAL(RT), NULL));
	assert_result(stoa_signal_read(signal, &info, 1, STOA_NOW), -EINVAL);
	assert_sentence("isn't blocked");
	stoa_signal_close(signal);
}

static void end_with_seven(void *context)
{
	(void)context;
	_exit(7);
}

TEST(a_childs_end_is_told_with_its_status)
{
	struct stoa_signal_info info;
	struct stoa_signal *signal;

	assert_ok(stoa_signal_open(STOA_SIGNAL(SIGCHLD), 0, &signal));
	struct child child = start_child(end_with_seven, NULL);
	assert_result(stoa_signal_read(signal, &info, 1, STOA_FOREVER), 1);
	assert_int_equal(info.number, SIGCHLD);
	assert_int_equal(info.code, CLD_EXITED);
	assert_int_equal(info.pid, child.pid);
	assert_int_equal(info.status, 7);
	assert_int_equal(info.origin, STOA_SIGNAL_BY_KERNEL);
	int status;
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	close(child.reports);
	close(child.orders);
	stoa_signal_close(signal);
}

/* ---- As messages ---------------------------------------------------------------------- */

TEST(signals_become_messages_of_each_kind_of_queue)
{
	static const enum stoa_queue_order orders[] = { STOA_FIFO,
		                                        STOA_PRIORITY,
		                                        STOA_TYPE };
	struct stoa_space *space = open_space();
	struct stoa_signal *signal;

	self = target_of(getpid());
	assert_ok(stoa_signal_open(PAIR, 0, &signal));
	for (size_t i = 0; i < LENGTH(orders); i++) {
		struct queue_shape shape = { orders[i], 2, 100, 4096 };
		struct stoa_queue *queue = make_queue(space, "q", shape);
		struct stoa_signal_info info;
		struct stoa_message message;

		assert_result(stoa_signal_forward(signal, queue, 5, STOA_NOW),
		              -EAGAIN);
		send_self(RT + 1, 1);
		send_self(RT, 2);
		send_self(RT, 3);
		/* A full queue loses none. */
		assert_result(stoa_signal_forward(signal, queue, 5, STOA_NOW),
		              2);
		assert_result(stoa_signal_forward(signal, queue, 5,
		                                  stoa_deadline_in(5 * MS)),
		              -ETIMEDOUT);
		for (uint64_t value = 2; value <= 3; value++) {
			assert_result(stoa_queue_receive(queue, NULL, &info,
			                                 sizeof(info), STOA_NOW,
			                                 &message),
			              sizeof(info));
			assert_int_equal(number_in(&info), value);
			assert_int_equal(info.number, RT);
			if (orders[i] == STOA_TYPE)
				assert_int_equal(message.type, RT);
			if (orders[i] == STOA_PRIORITY)
				assert_int_equal(message.priority, 64 - RT);
		}
		assert_result(stoa_signal_forward(signal, queue, 1,
		                                  STOA_FOREVER),
		              1);
		assert_result(stoa_queue_receive(queue, NULL, &info,
		                                 sizeof(info), STOA_NOW, NULL),
		              sizeof(info));
		assert_int_equal(info.number, RT + 1);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_signal_close(signal);
	stoa_signal_target_close(self);
	stoa_space_close(space);
}

/* ---- Looking ------------------------------------------------------------------------------ */

static void show(void *context)
{
	struct stoa_signal_action ignore = { .size = sizeof(ignore),
		                             .disposition =
		                                     STOA_SIGNAL_IGNORE };
	int handled = 0;
	struct stoa_signal_action handle = { .size = sizeof(handle),
		                             .disposition = STOA_SIGNAL_HANDLE,
		                             .handler = count,
		                             .context = &handled };

	(void)context;
	block(PAIR);
	assert_ok(stoa_signal_set_action(SIGUSR1, &ignore, NULL));
	assert_ok(stoa_signal_set_action(SIGUSR2, &handle, NULL));
	assert_system(kill(getpid(), RT));
	report(gettid());
	await_order();
}

static int keep_state(const struct stoa_signal_state *state, void *context)
{
	*(struct stoa_signal_state *)context = *state;
	return 0;
}

TEST(what_a_process_does_with_signals_is_seen)
{
	struct stoa_signal_state seen = { .size = sizeof(seen) }, same;
	struct child child = start_child(show, NULL);

	assert_int_equal(await_report(&child), child.pid);
	assert_ok(stoa_signal_look(child.pid, 0, &seen));
	assert_int_equal(seen.pid, child.pid);
	assert_int_equal(seen.tid, child.pid);
	assert_int_equal(seen.uid, getuid());
	assert_true((seen.blocked & PAIR) == PAIR);
	assert_true(seen.ignored & STOA_SIGNAL(SIGUSR1));
	assert_true(seen.caught & STOA_SIGNAL(SIGUSR2));
	assert_true(seen.shared_pending == STOA_SIGNAL(RT));
	assert_true(seen.pending == 0);
	assert_true(seen.queued >= 1);
	assert_true(seen.queue_limit > 0);
	assert_result(stoa_signal_each_thread(child.pid, keep_state, &same),
	              1);
	assert_int_equal(same.tid, seen.tid);
	assert_true(same.blocked == seen.blocked);
	give_order(&child, 0);
	end_child(&child);
	assert_result(stoa_signal_look(child.pid, 0, &seen), -ESRCH);
	assert_sentence("no process");
	assert_result(stoa_signal_each_thread(child.pid, keep_state, &same),
	              -ESRCH);
	assert_ok(stoa_signal_look(0, 0, &seen));
	assert_int_equal(seen.pid, getpid());
	assert_result(stoa_signal_look(0, 1, &seen), -ESRCH);
	assert_sentence("no thread 1");
	seen.size = 1;
	assert_result(stoa_signal_look(0, 0, &seen), -EINVAL);
}

/* Its line of groups is as long as the rest a hundred times. */
static void look_as_member_of_many(void *unused)
{
	enum { GROUPS = 20000 };
	static gid_t groups[GROUPS];
	struct stoa_signal_state seen = { .size = sizeof(seen) };
	struct stoa_signal *signal;

	(void)unused;
	for (gid_t i = 0; i < GROUPS; i++)
		groups[i] = 1000000 + i;
	assert_system(setgroups(GROUPS, groups));
	assert_ok(stoa_signal_block(STOA_SIGNAL(SIGUSR1), NULL));
	assert_ok(stoa_signal_look(0, 0, &seen));
	assert_true(seen.blocked & STOA_SIGNAL(SIGUSR1));
	assert_int_equal(seen.threads, 1);
	assert_true(seen.queue_limit > 0);
	assert_ok(stoa_signal_open(STOA_SIGNAL(SIGUSR1), 0, &signal));
	stoa_signal_close(signal);
}

TEST(who_is_of_many_groups_is_seen_as_well)
{
	struct child child;

	skip_unless_root();
	child = start_child(look_as_member_of_many, NULL);
	end_child(&child);
}

static const struct CMUnitTest cases[] = {
	CASE(names_and_numbers_are_each_others),
	CASE(what_is_no_signal_is_told),
	CASE(a_thread_says_what_it_blocks),
	CASE(standard_signals_coalesce_and_real_time_ones_queue_in_order),
	CASE(a_wait_ends_at_its_deadline_on_either_clock),
	CASE(what_is_not_blocked_can_not_be_waited_for),
	CASE(handlers_end_a_wait_only_if_that_was_asked_for),
	CASE(a_descriptor_is_readable_while_there_are_signals),
	CASE(a_thread_that_would_get_the_signals_is_named),
	CASE(a_forked_child_opens_its_own),
	CASE(a_childs_end_is_told_with_its_status),
	CASE(signals_become_messages_of_each_kind_of_queue),
	CASE(what_a_process_does_with_signals_is_seen),
	CASE(who_is_of_many_groups_is_seen_as_well),
};

MAIN(cases)
