/* SPDX-License-Identifier: MIT */
/* mq_notify: one registration, by signal, thread or nothing, and its end. */
#include "conformance.h"

#include <mqueue.h>

static mqd_t queue;
static const char *name;
static char text[8];
static sigset_t signals;

static void queue_new(void)
{
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 8 };

	name = own_name("n");
	mq_unlink(name);
	queue = need("mq_open",
	             mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigprocmask(SIG_BLOCK, &signals, NULL);
}

static long by_signal(mqd_t to, int signal, int value)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
		                  .sigev_signo = signal,
		                  .sigev_value.sival_int = value };

	return mq_notify(to, &event);
}

static long by_nothing(mqd_t to)
{
	struct sigevent event = { .sigev_notify = SIGEV_NONE };

	return mq_notify(to, &event);
}

static bool pending(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGUSR1) || sigismember(&set, SIGUSR2);
}

/* Waits for the signal that must come; false if none comes in a minute. */
static bool signalled(siginfo_t *info)
{
	struct timespec limit = { 60, 0 };

	memset(info, 0, sizeof(*info));
	return sigtimedwait(&signals, info, &limit) > 0;
}

static void signal_comes(void)
{
	siginfo_t info;

	queue_new();
	GIVES("a process registers", by_signal(queue, SIGUSR1, 4711), 0);
	HOLDS("nothing comes before a message", !pending());
	struct child child = START(mq_send(queue, "x", 1, 0));
	pid_t pid = child.pid;
	finish(&child);
	HOLDS("the signal comes", signalled(&info));
	EQUAL("it is the one", info.si_signo, SIGUSR1);
	EQUAL("it is a queue's", info.si_code, SI_MESGQ);
	EQUAL("it has the value", info.si_value.sival_int, 4711);
	EQUAL("it names the sender", info.si_pid, pid);
	EQUAL("and its user", info.si_uid, getuid());
	mq_receive(queue, text, 8, NULL);
	mq_send(queue, "y", 1, 0);
	HOLDS("it comes once", !pending());
	GIVES("and can be registered again", by_signal(queue, SIGUSR2, 1), 0);
}

static void only_when_empty(void)
{
	siginfo_t info;

	queue_new();
	mq_send(queue, "a", 1, 0);
	GIVES("a queue that has messages can be registered for",
	      by_signal(queue, SIGUSR1, 0), 0);
	mq_send(queue, "b", 1, 0);
	HOLDS("a message more makes no signal", !pending());
	mq_receive(queue, text, 8, NULL);
	mq_receive(queue, text, 8, NULL);
	HOLDS("nor does emptying", !pending());
	mq_send(queue, "c", 1, 0);
	HOLDS("but the first message after", signalled(&info));
}

static void not_past_receivers(void)
{
	siginfo_t info;

	queue_new();
	by_signal(queue, SIGUSR1, 0);
	struct child child = START(mq_receive(queue, text, 8, NULL));
	asleep(&child);
	mq_send(queue, "a", 1, 0);
	ANSWERS("who waits gets the message", &child, 1);
	HOLDS("and nobody is notified", !pending());
	mq_send(queue, "b", 1, 0);
	HOLDS("until one comes that nobody waits for", signalled(&info));
}

static void one_registration(void)
{
	queue_new();
	GIVES("one registers", by_signal(queue, SIGUSR1, 0), 0);
	FAILS("it can't twice", by_signal(queue, SIGUSR1, 0), EBUSY);
	struct answer child = IN_CHILD(by_signal(queue, SIGUSR2, 0));
	tell_failure("nor can another", child.value, child.error, EBUSY);
	child = IN_CHILD(by_nothing(queue));
	tell_failure("nor for nothing", child.value, child.error, EBUSY);
	child = IN_CHILD(mq_notify(queue, NULL));
	EQUAL("another may give up what it hasn't", child.value, 0);
	FAILS("which changes nothing", by_signal(queue, SIGUSR1, 0), EBUSY);
	GIVES("who registered gives up", mq_notify(queue, NULL), 0);
	GIVES("who has nothing to give up may", mq_notify(queue, NULL), 0);
	mq_send(queue, "a", 1, 0);
	HOLDS("then nothing comes", !pending());
	GIVES("and one can register", by_signal(queue, SIGUSR1, 0), 0);
}

static void of_nothing(void)
{
	queue_new();
	GIVES("one registers for nothing", by_nothing(queue), 0);
	FAILS("that is a registration", by_signal(queue, SIGUSR1, 0), EBUSY);
	mq_send(queue, "a", 1, 0);
	HOLDS("of which nothing comes", !pending());
	GIVES("and which a message ends", by_nothing(queue), 0);
}

static void arguments(void)
{
	struct sigevent event = { .sigev_notify = 4711 };

	queue_new();
	FAILS("a manner that isn't is invalid", mq_notify(queue, &event),
	      EINVAL);
	FAILS("a signal that isn't is invalid", by_signal(queue, 65, 0),
	      EINVAL);
	FAILS("a negative signal is invalid", by_signal(queue, -1, 0), EINVAL);
	FAILS("no descriptor", by_signal(-1, SIGUSR1, 0), EBADF);
	FAILS("no descriptor to give up", mq_notify(-1, NULL), EBADF);
	FAILS("what is no queue", by_signal(0, SIGUSR1, 0), EBADF);
	FAILS("EINVAL comes before EBADF", by_signal(-1, 65, 0), EINVAL);
	GIVES("a reader registers",
	      by_signal(mq_open(name, O_RDONLY), SIGUSR1, 0), 0);
	mq_notify(queue, NULL);
	GIVES("a writer registers",
	      by_signal(mq_open(name, O_WRONLY), SIGUSR1, 0), 0);
}

static void dropped_by_close(void)
{
	queue_new();
	mqd_t other = mq_open(name, O_RDWR);
	by_signal(other, SIGUSR1, 0);
	FAILS("one is registered", by_nothing(queue), EBUSY);
	mq_close(other);
	GIVES("closing drops it", by_nothing(queue), 0);
	mq_notify(queue, NULL);
	by_signal(queue, SIGUSR1, 0);
	mq_close(mq_open(name, O_RDWR));
	GIVES("closing any descriptor of it does", by_nothing(queue), 0);
	mq_notify(queue, NULL);
	by_signal(queue, SIGUSR1, 0);
	struct child child = START(mq_close(queue));
	finish(&child);
	FAILS("a child's closing does not", by_nothing(queue), EBUSY);
}

static long register_and_wait(void)
{
	if (by_signal(queue, SIGUSR1, 0) != 0)
		return -1;
	__atomic_store_n(&board->notes[0], 1, __ATOMIC_SEQ_CST);
	return pause();
}

static void dropped_by_death(void)
{
	queue_new();
	struct child child = START(by_signal(queue, SIGUSR1, 0));
	ANSWERS("a child registers", &child, 0);
	GIVES("its end drops it", by_nothing(queue), 0);
	mq_notify(queue, NULL);
	child = START(register_and_wait());
	await_note(0, 1);
	FAILS("another is registered", by_nothing(queue), EBUSY);
	slay(&child);
	GIVES("its kill drops it", by_nothing(queue), 0);
}

static void over_fork(void)
{
	siginfo_t info;

	queue_new();
	by_signal(queue, SIGUSR1, 0);
	struct answer child = IN_CHILD(mq_send(queue, "x", 1, 0) + pending());
	EQUAL("a child is not notified of its parent's", child.value, 0);
	HOLDS("its parent is", signalled(&info));
}

int after_exec(const char *word)
{
	queue = mq_open(word, O_RDWR);
	return by_nothing(queue) == 0 ? 0 : errno;
}

static void over_exec(void)
{
	queue_new();
	struct child child =
		START_EXEC_AFTER(by_signal(queue, SIGUSR1, 0), name);
	ANSWERS("exec drops a registration", &child, 0);
}

static int pipes[2];

static void tell_thread(union sigval value)
{
	char byte = (char)value.sival_int;

	if (write(pipes[1], &byte, 1) != 1)
		abort();
}

static long by_thread(int value)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD,
		                  .sigev_notify_function = tell_thread,
		                  .sigev_value.sival_int = value };

	return mq_notify(queue, &event);
}

static void thread_comes(void)
{
	char byte = 0;

	queue_new();
	NEED(pipe(pipes));
	EQUAL("one registers for a thread", by_thread(42), 0);
	FAILS("that is a registration", by_nothing(queue), EBUSY);
	mq_send(queue, "x", 1, 0);
	HOLDS("the thread comes", read(pipes[0], &byte, 1) == 1);
	EQUAL("with the value", byte, 42);
	mq_receive(queue, text, 8, NULL);
	EQUAL("one registers again", by_thread(43), 0);
	struct child child = START(mq_send(queue, "y", 1, 0));
	finish(&child);
	HOLDS("it comes for what another process sends",
	      read(pipes[0], &byte, 1) == 1 && byte == 43);
	EQUAL("one registers and", by_thread(44), 0);
	GIVES("gives up", mq_notify(queue, NULL), 0);
	GIVES("another can then", by_nothing(queue), 0);
}

static void after_unlink(void)
{
	siginfo_t info;

	queue_new();
	mq_unlink(name);
	GIVES("one registers at a queue without a name",
	      by_signal(queue, SIGUSR1, 3), 0);
	mq_send(queue, "x", 1, 0);
	HOLDS("and is notified", signalled(&info));
	EQUAL("with the value", info.si_value.sival_int, 3);
	EQUAL("a process is its own sender", info.si_pid, getpid());
}

/* ---- Beside senders ---------------------------------------------------------------- */

enum { ROUNDS = 300 };

static long send_rounds(void)
{
	for (int i = 0; i < ROUNDS; i++)
		if (mq_send(queue, "x", 1, 0) != 0)
			return -1;
	return 0;
}

/* Whose message a process has, that one's signal it has, too. */
static void before_the_next_wait(void)
{
	int received = 0, interrupted = 0;

	queue_new();
	handle(SIGUSR1, 0);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	struct child child = START(send_rounds());
	while (received < ROUNDS) {
		by_signal(queue, SIGUSR1, 0);
		if (mq_receive(queue, text, 8, NULL) == 1)
			received++;
		else if (errno == EINTR)
			interrupted++;
		else
			break;
	}
	EQUAL("all is received", received, ROUNDS);
	EQUAL("no wait is interrupted by what came before", interrupted, 0);
	ANSWERS("all is sent", &child, 0);
}

static long send_when_told(void)
{
	for (int i = 1; i <= ROUNDS; i++) {
		await_note(0, i);
		if (mq_send(queue, "x", 1, 0) != 0)
			return -1;
	}
	return 0;
}

static void comes_with_the_message(const char *rule)
{
	struct timespec now = { 0, 0 };
	mqd_t polled = mq_open(name, O_RDONLY | O_NONBLOCK);
	int late = 0;

	__atomic_store_n(&board->notes[0], 0, __ATOMIC_SEQ_CST);
	struct child child = START(send_when_told());
	for (int i = 1; i <= ROUNDS; i++) {
		if (by_signal(queue, SIGUSR1, i) != 0)
			late += ROUNDS;
		__atomic_store_n(&board->notes[0], i, __ATOMIC_SEQ_CST);
		while (mq_receive(polled, text, 8, NULL) != 1)
			sched_yield();
		late += sigtimedwait(&signals, NULL, &now) != SIGUSR1;
	}
	EQUAL(rule, late, 0);
	ANSWERS("all is sent", &child, 0);
}

static void there_with_the_message(void)
{
	queue_new();
	comes_with_the_message("who has the message has the signal");
}

static void there_for_all(void)
{
	mode_t mask = umask(0);
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 8 };

	queue_new();
	mq_unlink(name);
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0666, &attr);
	umask(mask);
	comes_with_the_message("who has it of a queue that all may write, too");
}

CONFORMANCE(GROUP(before_the_next_wait), GROUP(there_with_the_message),
            GROUP(there_for_all), GROUP(signal_comes), GROUP(only_when_empty),
            GROUP(not_past_receivers), GROUP(one_registration),
            GROUP(of_nothing), GROUP(arguments), GROUP(dropped_by_close),
            GROUP(dropped_by_death), GROUP(over_fork), GROUP(over_exec),
            GROUP(thread_comes), GROUP(after_unlink))
