/* SPDX-License-Identifier: MIT */
/* Who gets a signal, who may send it, and what is said if it can't be sent. */
#include "signals.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

/* Reports number, origin, pid and value of each signal that it gets. */
static void tell_signals(void *context)
{
	stoa_signal_set set = *(stoa_signal_set *)context;

	report(0);
	for (;;) {
		struct stoa_signal_info info;

		assert_good(stoa_signal_wait(set, 0, STOA_FOREVER, &info));
		report(info.number);
		report(info.origin);
		report(info.pid);
		report((int64_t)number_in(&info));
		if (info.number == SIGTERM)
			return;
	}
}

static stoa_signal_set usual;

static struct child start_listener(void)
{
	usual = STOA_SIGNAL(SIGUSR1) | STOA_SIGNAL(SIGTERM) | STOA_SIGNAL(RT);
	block(usual);
	struct child child = start_child(tell_signals, &usual);
	assert_int_equal(await_report(&child), 0);
	return child;
}

static void hears(struct child *child, int number, int origin, int64_t value)
{
	assert_int_equal(await_report(child), number);
	assert_int_equal(await_report(child), origin);
	assert_int_equal(await_report(child), getpid());
	assert_int_equal(await_report(child), value);
}

static void end_listener(struct child *child, struct stoa_signal_target *target)
{
	assert_ok(stoa_signal_send(target, SIGTERM));
	hears(child, SIGTERM, STOA_SIGNAL_BY_PROCESS, 0);
	end_child(child);
	assert_result(stoa_signal_send(target, SIGTERM), -ESRCH);
	assert_sentence("gone");
	stoa_signal_target_close(target);
}

TEST(a_process_gets_signals_and_values)
{
	struct child child = start_listener();
	struct stoa_signal_target *target = target_of(child.pid);
	int here;

	assert_result(stoa_signal_target_id(target), child.pid);
	assert_ok(stoa_signal_send(target, 0));
	assert_ok(stoa_signal_send(target, SIGUSR1));
	hears(&child, SIGUSR1, STOA_SIGNAL_BY_PROCESS, 0);
	assert_ok(stoa_signal_queue(target, RT, value_of(77)));
	hears(&child, RT, STOA_SIGNAL_BY_VALUE, 77);
	assert_ok(stoa_signal_queue(target, SIGUSR1,
	                            (union sigval){ .sival_ptr = &here }));
	hears(&child, SIGUSR1, STOA_SIGNAL_BY_VALUE, (int64_t)(uintptr_t)&here);
	/* Else the kernel would lose it in silence when there is no room. */
	assert_ok(stoa_signal_send(target, RT));
	hears(&child, RT, STOA_SIGNAL_BY_VALUE, 0);
	end_listener(&child, target);
}

TEST(a_pidfd_of_the_callers_names_a_process)
{
	struct child child = start_listener();
	int pidfd = (int)assert_system(syscall(SYS_pidfd_open, child.pid, 0));
	struct stoa_signal_target *target;

	assert_ok(stoa_signal_target_pidfd(pidfd, STOA_SIGNAL_PROCESS,
	                                   &target));
	close(pidfd);
	assert_ok(stoa_signal_send(target, SIGUSR1));
	hears(&child, SIGUSR1, STOA_SIGNAL_BY_PROCESS, 0);
	end_listener(&child, target);
	assert_result(stoa_signal_target_pidfd(STDIN_FILENO,
	                                       STOA_SIGNAL_PROCESS, &target),
	              -EBADF);
	assert_sentence("pidfd");
	assert_result(stoa_signal_target_pidfd(-1, STOA_SIGNAL_PROCESS,
	                                       &target),
	              -EBADF);
}

static void end_at_once(void *context)
{
	(void)context;
}

TEST(one_that_ended_and_was_not_waited_for_is_gone)
{
	struct child child = start_child(end_at_once, NULL);
	struct stoa_signal_target *target = target_of(child.pid);
	struct pollfd ended = { stoa_signal_target_pollfd(target), POLLIN, 0 };

	assert_int_equal(poll(&ended, 1, -1), 1);
	assert_result(stoa_signal_send(target, SIGTERM), -ESRCH);
	assert_result(stoa_signal_queue(target, RT, value_of(1)), -ESRCH);
	end_child(&child);
	assert_result(stoa_signal_send(target, 0), -ESRCH);
	assert_result(stoa_signal_target_id(target), -ESRCH);
	stoa_signal_target_close(target);
}

TEST(what_can_not_be_named_or_sent_is_told)
{
	struct stoa_signal_target *target = NULL;

	assert_result(stoa_signal_target_open(0, STOA_SIGNAL_PROCESS, &target),
	              -EINVAL);
	assert_result(stoa_signal_target_open(-1, STOA_SIGNAL_GROUP, &target),
	              -EINVAL);
	assert_result(stoa_signal_target_open(
	                      1, (enum stoa_signal_scope)3, &target),
	              -EINVAL);
	assert_result(stoa_signal_target_open(INT32_MAX, STOA_SIGNAL_PROCESS,
	                                      &target),
	              -ESRCH);
	assert_sentence("no process");
	assert_null(target);
	stoa_signal_target_close(NULL);

	target = target_of(getpid());
	assert_result(stoa_signal_send(target, -1), -EINVAL);
	assert_result(stoa_signal_send(target, 65), -EINVAL);
	assert_sentence("1 to 64");
	assert_result(stoa_signal_send(target, 32), -EINVAL);
	assert_sentence("libc");
	stoa_signal_target_close(target);
}

/* ---- Threads and groups ---------------------------------------------------------- */

struct listener {
	pthread_t thread;
	int tid;
	int got;
};

static void *listen_alone(void *context)
{
	struct listener *listener = context;

	/* release: pairs with the acquire in until_named() */
	__atomic_store_n(&listener->tid, gettid(), __ATOMIC_RELEASE);
	listener->got = stoa_signal_wait(STOA_SIGNAL(SIGUSR1) |
	                                         STOA_SIGNAL(SIGUSR2),
	                                 0, STOA_FOREVER, NULL);
	return NULL;
}

static int until_named(struct listener *listener)
{
	int tid;

	while ((tid = __atomic_load_n(&listener->tid, __ATOMIC_ACQUIRE)) == 0)
		sched_yield();
	return tid;
}

/* Or the case is skipped. */
static struct stoa_signal_target *target_in(pid_t id,
                                            enum stoa_signal_scope scope)
{
	struct stoa_signal_target *target = NULL;
	int result = stoa_signal_target_open(id, scope, &target);

	if (result == -ENOSYS)
		skip_case(stoa_last_error());
	assert_int_equal(result, 0);
	return target;
}

TEST(a_thread_gets_what_is_sent_to_it)
{
	struct listener listeners[2] = { { .tid = 0 }, { .tid = 0 } };
	struct stoa_signal_target *target, *process;

	block(STOA_SIGNAL(SIGUSR1) | STOA_SIGNAL(SIGUSR2));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&listeners[i].thread, NULL,
		                                listen_alone, &listeners[i]),
		                 0);
	assert_true(until_named(&listeners[0]) > 0);
	target = target_in(until_named(&listeners[1]), STOA_SIGNAL_THREAD);
	/* Not a process: told before anything is sent. */
	assert_result(stoa_signal_target_open(until_named(&listeners[1]),
	                                      STOA_SIGNAL_PROCESS, &process),
	              -ENOENT);
	assert_sentence("thread");
	assert_ok(stoa_signal_queue(target, SIGUSR2, value_of(5)));
	pthread_join(listeners[1].thread, NULL);
	assert_int_equal(listeners[1].got, SIGUSR2);
	/* It was joined a moment before the kernel is done with it. */
	struct pollfd ended = { stoa_signal_target_pollfd(target), POLLIN, 0 };
	assert_int_equal(poll(&ended, 1, -1), 1);
	assert_result(stoa_signal_send(target, SIGUSR2), -ESRCH);
	process = target_of(getpid());
	assert_ok(stoa_signal_send(process, SIGUSR1));
	pthread_join(listeners[0].thread, NULL);
	assert_int_equal(listeners[0].got, SIGUSR1);
	stoa_signal_target_close(process);
	stoa_signal_target_close(target);
}

static void wait_in_group(void *context)
{
	pid_t leader = *(pid_t *)context;
	struct stoa_signal_info info;

	block(STOA_SIGNAL(RT));
	assert_system(setpgid(0, leader));
	report(getpgid(0));
	assert_result(stoa_signal_wait(STOA_SIGNAL(RT), 0, STOA_FOREVER, &info),
	              RT);
	report((int64_t)number_in(&info));
	await_order();
}

TEST(a_group_gets_it_all_also_without_its_leader)
{
	pid_t leader = 0;
	struct child first = start_child(wait_in_group, &leader);
	struct stoa_signal_target *group;

	leader = (pid_t)await_report(&first);
	assert_int_equal(leader, first.pid);
	struct child second = start_child(wait_in_group, &leader);
	assert_int_equal(await_report(&second), leader);
	group = target_in(leader, STOA_SIGNAL_GROUP);
	int result = stoa_signal_queue(group, RT, value_of(9));
	if (result == -ENOSYS)
		skip_case(stoa_last_error());
	assert_int_equal(result, 0);
	assert_int_equal(await_report(&first), 9);
	assert_int_equal(await_report(&second), 9);
	give_order(&first, 0);
	end_child(&first);
	assert_ok(stoa_signal_send(group, 0));
	kill_child(&second);
	assert_result(stoa_signal_send(group, 0), -ESRCH);
	stoa_signal_target_close(group);
}

/* ---- Who may, and how many -------------------------------------------------------- */

static void send_as_nobody(void *context)
{
	struct stoa_signal_target *target = target_of(*(pid_t *)context);

	become_nobody();
	assert_result(stoa_signal_send(target, SIGTERM), -EPERM);
	assert_sentence("65534");
	assert_sentence("user 0's");
	assert_result(stoa_signal_send(target, 0), -EPERM);
	stoa_signal_target_close(target);
}

TEST(who_may_not_is_told_who_may)
{
	pid_t self = getpid();

	skip_unless_root();
	struct child child = start_child(send_as_nobody, &self);
	end_child(&child);
}

static void take_few(void *context)
{
	(void)context;
	limit_queued(0);
	report(0);
	await_order();
}

TEST(a_full_queue_of_signals_is_told)
{
	block(STOA_SIGNAL(RT) | STOA_SIGNAL(SIGUSR1));
	struct child child = start_child(take_few, NULL);
	struct stoa_signal_target *target = target_of(child.pid);

	assert_int_equal(await_report(&child), 0);
	assert_result(stoa_signal_queue(target, RT, value_of(1)), -EAGAIN);
	assert_sentence("RLIMIT_SIGPENDING");
	assert_sentence("/0");
	/* kill(2) would say it was sent, and it would be without a place. */
	assert_result(stoa_signal_send(target, RT), -EAGAIN);
	assert_ok(stoa_signal_send(target, SIGUSR1));
	stoa_signal_target_close(target);
	give_order(&child, 0);
	end_child(&child);
}

/* ---- Peers ------------------------------------------------------------------------- */

static struct stoa_space *space;

static void join_and_listen(void *context)
{
	stoa_peer peer;

	assert_ok(stoa_space_self(space, &peer));
	report((int64_t)peer);
	tell_signals(context);
}

TEST(a_peer_leads_to_its_process)
{
	struct stoa_signal_target *target;
	stoa_peer self;

	space = open_space();
	usual = STOA_SIGNAL(SIGTERM);
	block(usual);
	struct child child = start_child(join_and_listen, &usual);
	stoa_peer peer = (stoa_peer)await_report(&child);
	assert_int_equal(await_report(&child), 0);
	assert_ok(stoa_signal_target_peer(space, peer, &target));
	assert_result(stoa_signal_target_id(target), child.pid);
	end_listener(&child, target);
	assert_result(stoa_signal_target_peer(space, peer, &target), -ESRCH);
	assert_sentence("dead");
	assert_result(stoa_signal_target_peer(space, 0, &target), -ESRCH);
	assert_ok(stoa_space_self(space, &self));
	assert_ok(stoa_signal_target_peer(space, self, &target));
	assert_result(stoa_signal_target_id(target), getpid());
	stoa_signal_target_close(target);
	stoa_space_close(space);
}

/* The record of a peer is bytes that others may write; the lock isn't. */
TEST(a_forged_record_leads_nobody_astray)
{
	struct stoa_signal_target *target;

	space = open_space();
	usual = STOA_SIGNAL(SIGTERM);
	block(usual);
	struct child child = start_child(join_and_listen, &usual);
	stoa_peer peer = (stoa_peer)await_report(&child);
	assert_int_equal(await_report(&child), 0);
	int file = (int)assert_system(
	        open(case_path(".life.0"), O_RDWR | O_CLOEXEC));
	int32_t forged[] = { 1, getppid(), 0, INT32_MAX };

	for (size_t i = 0; i < LENGTH(forged); i++) {
		/* 64 bytes each; the pid is at 4. */
		off_t at = (off_t)(peer & 0xffff) * 64 + 4;

		assert_int_equal(pwrite(file, &forged[i], 4, at), 4);
		assert_ok(stoa_signal_target_peer(space, peer, &target));
		assert_result(stoa_signal_target_id(target), child.pid);
		stoa_signal_target_close(target);
	}
	close(file);
	end_listener(&child, target_of(child.pid));
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_process_gets_signals_and_values),
	CASE(a_pidfd_of_the_callers_names_a_process),
	CASE(one_that_ended_and_was_not_waited_for_is_gone),
	CASE(what_can_not_be_named_or_sent_is_told),
	CASE(a_thread_gets_what_is_sent_to_it),
	CASE(a_group_gets_it_all_also_without_its_leader),
	CASE(who_may_not_is_told_who_may),
	CASE(a_full_queue_of_signals_is_told),
	CASE(a_peer_leads_to_its_process),
	CASE(a_forged_record_leads_nobody_astray),
};

MAIN(cases)
