/* SPDX-License-Identifier: MIT */
/* Notification: one signal, with its value, when a message arrives at the
 * empty queue while no receiver waits. */
#include "support.h"

#include <data/queue_internal.h>
#include <signal.h>
#include <sys/stat.h>

static const struct queue_shape tiny = { STOA_FIFO, 4, 100, 8192 };

static struct stoa_notification ask_for(int signal_number, int value)
{
	struct stoa_notification notification;

	memset(&notification, 0, sizeof(notification));
	notification.size = sizeof(notification);
	notification.signal_number = signal_number;
	notification.value.sival_int = value;
	return notification;
}

static sigset_t block(int signal_number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal_number);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	return set;
}

static void assert_signalled(const sigset_t *set, int value)
{
	struct timespec long_enough = { HANG_LIMIT_SECONDS, 0 };
	siginfo_t info;

	assert_system(sigtimedwait(set, &info, &long_enough));
	assert_int_equal(info.si_code, SI_MESGQ);
	assert_int_equal(info.si_value.sival_int, value);
}

static void assert_not_signalled(const sigset_t *set)
{
	struct timespec now = { 0, 0 };

	assert_int_equal(sigtimedwait(set, NULL, &now), -1);
	assert_int_equal(errno, EAGAIN);
}

static void send_x(void *context)
{
	send_text(context, "x");
	report((int64_t)getpid());
}

TEST(one_signal_comes_with_its_value_and_no_second_one)
{
	struct stoa_space *space = open_space();
	sigset_t set = block(SIGUSR1);

	for (int order = STOA_FIFO; order <= STOA_TYPE; order++) {
		struct stoa_notification ask = ask_for(SIGUSR1, 40 + order);
		struct queue_shape shape = tiny;
		struct stoa_queue *queue;

		shape.order = (enum stoa_queue_order)order;
		queue = make_queue(space, "q", shape);
		assert_ok(stoa_queue_notify(queue, &ask));
		assert_not_signalled(&set);
		send_text(queue, "x");
		assert_signalled(&set, 40 + order);
		assert_receives(queue, "x");
		send_text(queue, "y");
		assert_not_signalled(&set);
		stoa_queue_close(queue);
		assert_ok(stoa_queue_unlink(space, "q"));
	}
	stoa_space_close(space);
}

TEST(another_processes_message_signals_and_tells_its_sender)
{
	struct stoa_notification ask = ask_for(SIGRTMIN + 3, 5);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct timespec long_enough = { HANG_LIMIT_SECONDS, 0 };
	sigset_t set = block(SIGRTMIN + 3);
	struct child child;
	siginfo_t info;

	assert_ok(stoa_queue_notify(queue, &ask));
	child = start_child(send_x, queue);
	assert_system(sigtimedwait(&set, &info, &long_enough));
	assert_int_equal(info.si_code, SI_MESGQ);
	assert_int_equal(info.si_value.sival_int, 5);
	assert_int_equal(info.si_pid, await_report(&child));
	assert_int_equal(info.si_uid, getuid());
	end_child(&child);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_message_at_a_queue_that_is_not_empty_does_not_signal)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);

	send_text(queue, "there");
	assert_ok(stoa_queue_notify(queue, &ask));
	send_text(queue, "second");
	assert_not_signalled(&set);
	assert_int_equal(drain_queue(queue), 2);
	assert_not_signalled(&set);
	send_text(queue, "arrives at the empty queue");
	assert_signalled(&set, 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void receive_two(void *context)
{
	char buffer[8];

	for (int i = 0; i < 2; i++) {
		report(i);
		assert_result(stoa_queue_receive(context, NULL, buffer, 8,
		                                 STOA_FOREVER, NULL),
		              1);
	}
}

TEST(a_waiting_receiver_comes_before_the_signal)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);
	struct child child = start_child(receive_two, queue);

	assert_ok(stoa_queue_notify(queue, &ask));
	await_report(&child);
	until_waiting(queue, 1, 0);
	until_blocked(child.pid);
	send_text(queue, "x");
	assert_int_equal(await_report(&child), 1);
	assert_not_signalled(&set);
	until_waiting(queue, 1, 0);
	kill_child(&child);
	send_text(queue, "y");
	assert_signalled(&set, 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_registration_without_a_signal_sends_nothing)
{
	struct stoa_notification ask = ask_for(0, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = join_queue(space, "q");

	assert_ok(stoa_queue_notify(queue, &ask));
	assert_result(stoa_queue_notify(other, &ask), -EBUSY);
	send_text(other, "x");
	assert_receives(queue, "x");
	assert_ok(stoa_queue_notify(other, &ask));
	stoa_queue_close(other);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(one_registration_a_queue)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = join_queue(space, "q");
	sigset_t set = block(SIGUSR1);

	assert_ok(stoa_queue_notify(queue, &ask));
	assert_result(stoa_queue_notify(other, &ask), -EBUSY);
	assert_sentence("q");
	assert_ok(stoa_queue_notify(other, NULL));
	assert_result(stoa_queue_notify(other, &ask), -EBUSY);
	assert_ok(stoa_queue_notify(queue, NULL));
	ask.value.sival_int = 2;
	assert_ok(stoa_queue_notify(other, &ask));
	send_text(queue, "x");
	assert_signalled(&set, 2);
	stoa_queue_close(other);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(null_drops_the_registration)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);

	assert_ok(stoa_queue_notify(queue, NULL));
	assert_ok(stoa_queue_notify(queue, &ask));
	assert_ok(stoa_queue_notify(queue, NULL));
	send_text(queue, "x");
	assert_not_signalled(&set);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(closing_drops_the_registration)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_queue *other = join_queue(space, "q");
	sigset_t set = block(SIGUSR1);

	assert_ok(stoa_queue_notify(other, &ask));
	stoa_queue_close(other);
	send_text(queue, "x");
	assert_not_signalled(&set);
	assert_ok(stoa_queue_notify(queue, &ask));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static void register_and_wait(void *context)
{
	struct stoa_notification ask = ask_for(SIGUSR2, 1);

	block(SIGUSR2);
	assert_ok(stoa_queue_notify(context, &ask));
	report(0);
	await_order();
}

TEST(death_drops_the_registration)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);
	struct child child = start_child(register_and_wait, queue);

	await_report(&child);
	assert_result(stoa_queue_notify(queue, &ask), -EBUSY);
	stop_child(&child);
	assert_result(stoa_queue_notify(queue, &ask), -EBUSY);
	kill_child(&child);
	assert_ok(stoa_queue_notify(queue, &ask));
	send_text(queue, "x");
	assert_signalled(&set, 1);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_notification_of_a_wrong_size_or_signal_is_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_notification ask = ask_for(SIGUSR1, 1);

	ask.size = 0;
	assert_result(stoa_queue_notify(queue, &ask), -EINVAL);
	ask = ask_for(-1, 1);
	assert_result(stoa_queue_notify(queue, &ask), -EINVAL);
	ask = ask_for(65, 1);
	assert_result(stoa_queue_notify(queue, &ask), -EINVAL);
	ask = ask_for(SIGKILL, 1);
	assert_result(stoa_queue_notify(queue, &ask), -EINVAL);
	ask = ask_for(SIGSTOP, 1);
	assert_result(stoa_queue_notify(queue, &ask), -EINVAL);
	ask = ask_for(SIGUSR1, 1);
	assert_ok(stoa_queue_notify(queue, &ask));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_queue_that_others_may_write_gives_no_signals)
{
	static const mode_t modes[] = { 0620, 0602, 0666 };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct stoa_notification ask = ask_for(SIGUSR1, 1);

	for (size_t i = 0; i < LENGTH(modes); i++) {
		assert_system(chmod(case_path("q.queue"), modes[i]));
		assert_result(stoa_queue_notify(queue, &ask), -EPERM);
		assert_sentence("q");
	}
	assert_system(chmod(case_path("q.queue"), 0644));
	assert_ok(stoa_queue_notify(queue, &ask));
	stoa_queue_close(queue);
	stoa_space_close(space);
}

TEST(a_batch_that_comes_to_the_empty_queue_signals)
{
	struct stoa_message batch[3] = { { .data = "a", .bytes = 1, .type = 1 },
		                         { .data = "b", .bytes = 1, .type = 1 },
		                         { .data = "c", .bytes = 1, .type = 1 } };
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);

	assert_ok(stoa_queue_notify(queue, &ask));
	assert_result(stoa_queue_send_many(queue, batch, 3, STOA_NOW), 3);
	assert_signalled(&set, 1);
	assert_ok(stoa_queue_notify(queue, &ask));
	assert_int_equal(drain_queue(queue), 3);
	assert_not_signalled(&set);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* As the kernel, which gives the first to the receiver, whether it runs or
 * not. */
TEST(what_comes_before_a_waiting_receiver_has_run_signals)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);
	struct child child = start_child(receive_two, queue);

	assert_ok(stoa_queue_notify(queue, &ask));
	await_report(&child);
	until_waiting(queue, 1, 0);
	until_blocked(child.pid);
	stop_child(&child);
	send_text(queue, "x");
	send_text(queue, "y");
	assert_not_signalled(&set);
	continue_child(&child);
	assert_int_equal(await_report(&child), 1);
	assert_signalled(&set, 1);
	end_child(&child);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

enum { ROUNDS = 200, SENDERS = 3 };

/* Several at once: each sees the others' messages; one must tell. */
static void send_at_once(void *context)
{
	for (int i = 0; i < ROUNDS; i++) {
		await_order();
		send_text(context, "x");
		report(0);
	}
}

TEST(of_senders_that_come_at_once_one_signals)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);
	struct child child[SENDERS];

	for (int s = 0; s < SENDERS; s++)
		child[s] = start_child(send_at_once, queue);
	for (int i = 0; i < ROUNDS; i++) {
		assert_ok(stoa_queue_notify(queue, &ask));
		for (int s = 0; s < SENDERS; s++)
			give_order(&child[s], 0);
		for (int s = 0; s < SENDERS; s++)
			await_report(&child[s]);
		assert_signalled(&set, 1);
		assert_int_equal(drain_queue(queue), SENDERS);
	}
	for (int s = 0; s < SENDERS; s++)
		end_child(&child[s]);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* ---- A sender that dies signalling ----------------------------------------------- */

/* The last of the registration's words, as a sender would have written them. */
static void pretend_to_fire(struct stoa_queue *queue, uint32_t token, int sent)
{
	struct queue_control *control = queue->control;

	atomic_store(&control->firing,
	             QUEUE_FIRING(atomic_load(&control->notify_count), token));
	if (!sent)
		return;
	atomic_store(&control->notifier, UINT64_C(1) << 31 | 1);
	atomic_store(&control->notify_token, 0);
}

static void fire_and_stay(void *context)
{
	pretend_to_fire(context, stoa_object_token(stoa_queue_object(context)),
	                1);
	report(0);
	await_order();
}

static void enter_fire_and_stay(void *context)
{
	send_text(context, "x"); /* now it has a token of its own */
	fire_and_stay(context);
}

TEST(what_a_killed_sender_was_about_to_signal_is_signalled)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	sigset_t set = block(SIGUSR1);
	struct child child;

	send_text(queue, "there");
	assert_ok(stoa_queue_notify(queue, &ask));
	child = start_child(enter_fire_and_stay, queue);
	await_report(&child);
	kill_child(&child);
	assert_not_signalled(&set);
	assert_receives(queue, "there");
	assert_signalled(&set, 1);
	assert_receives(queue, "x");
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* Whoever has the message goes on when it is sure that no signal comes, or that
 * the sender is stopped. */
TEST(a_stopped_sender_holds_nobody_up)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	struct child child;

	send_text(queue, "there");
	assert_ok(stoa_queue_notify(queue, &ask));
	child = start_child(enter_fire_and_stay, queue);
	await_report(&child);
	stop_child(&child);
	assert_receives(queue, "there");
	assert_int_equal(atomic_load(&queue->control->firing), 0);
	assert_receives(queue, "x");
	kill_child(&child);
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* Shared bytes are foreign: of the dead, of nobody, of this very process. */
TEST(whatever_is_said_to_be_firing_a_receive_returns)
{
	struct stoa_notification ask = ask_for(SIGUSR1, 1);
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", tiny);
	uint32_t own = stoa_object_token(stoa_queue_object(queue));
	const uint32_t tokens[] = { 0x7fffffff, 0xffffffff, 0, 1, own };

	block(SIGUSR1); /* what is forged may signal its owner */
	send_text(queue, "there");
	for (size_t i = 0; i < LENGTH(tokens); i++) {
		assert_ok(stoa_queue_notify(queue, &ask));
		atomic_store(&queue->control->notifier, UINT64_MAX);
		pretend_to_fire(queue, tokens[i], 0);
		send_text(queue, "second");
		assert_receives(queue, "there");
		assert_receives(queue, "second");
		pretend_to_fire(queue, tokens[i], 0);
		assert_ok(stoa_queue_notify(queue, NULL));
		assert_int_equal(atomic_load(&queue->control->firing), 0);
		send_text(queue, "there");
	}
	stoa_queue_close(queue);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(one_signal_comes_with_its_value_and_no_second_one),
	CASE(another_processes_message_signals_and_tells_its_sender),
	CASE(a_message_at_a_queue_that_is_not_empty_does_not_signal),
	CASE(a_waiting_receiver_comes_before_the_signal),
	CASE(a_registration_without_a_signal_sends_nothing),
	CASE(one_registration_a_queue),
	CASE(null_drops_the_registration),
	CASE(closing_drops_the_registration),
	CASE(death_drops_the_registration),
	CASE(a_notification_of_a_wrong_size_or_signal_is_refused),
	CASE(a_queue_that_others_may_write_gives_no_signals),
	CASE(a_batch_that_comes_to_the_empty_queue_signals),
	CASE(what_comes_before_a_waiting_receiver_has_run_signals),
	CASE(of_senders_that_come_at_once_one_signals),
	CASE(what_a_killed_sender_was_about_to_signal_is_signalled),
	CASE(a_stopped_sender_holds_nobody_up),
	CASE(whatever_is_said_to_be_firing_a_receive_returns),
};

MAIN(cases)
