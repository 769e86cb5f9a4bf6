/* SPDX-License-Identifier: MIT */
/* Descriptors offered under a name and fetched by others: as often as was said,
 * by whom it was said, whoever is killed. */
#include "descriptor.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

enum { MOST = 600, FETCHERS = 6 };

static struct stoa_space *space;
static int files[MOST], got[MOST];
static char buffer[4096];
static struct stoa_descriptor_message message;

static struct stoa_offer *offer_files(const char *name, uint32_t count,
                                      size_t descriptors)
{
	struct stoa_offer_attributes attributes = { .size = sizeof(attributes),
		                                    .count = count };
	struct stoa_offer *offer;

	number_files(files, descriptors, 0);
	assert_ok(stoa_descriptor_offer(space, name, 0, 0600, &attributes,
	                                files, descriptors, "hello", 5,
	                                &offer));
	close_files(files, descriptors);
	return offer;
}

static ssize_t fetch(const char *name, struct stoa_deadline deadline)
{
	return stoa_descriptor_fetch(space, name, 0, got, MOST, buffer,
	                             sizeof(buffer), deadline, &message);
}

static void fetch_in_child(void *context)
{
	const size_t *descriptors = context;

	assert_result(fetch("box", STOA_FOREVER), 5);
	assert_memory_equal(buffer, "hello", 5);
	assert_int_equal(message.descriptors, *descriptors);
	assert_int_equal(message.sender.pid, getppid());
	assert_numbered(got, message.descriptors, 0);
	close_files(got, message.descriptors);
	report(0);
}

static void offer_and_fetch(size_t descriptors)
{
	struct stoa_descriptor_peer peer;
	struct stoa_offer *offer;
	struct child child;

	space = open_space();
	offer = offer_files("box", 1, descriptors);
	child = start_child(fetch_in_child, &descriptors);
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, &peer), 0);
	assert_int_equal(peer.pid, child.pid);
	assert_int_equal(peer.uid, getuid());
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, &peer),
	              -ESHUTDOWN);
	assert_result(fetch("box", STOA_FOREVER), -ECONNREFUSED);
	end_child(&child);
	stoa_descriptor_withdraw(offer);
	assert_result(fetch("box", STOA_FOREVER), -ENOENT);
	stoa_space_close(space);
}

TEST(what_is_offered_is_fetched_by_another)
{
	offer_and_fetch(3);
}

TEST(offers_of_none_and_of_several_rounds_are_fetched)
{
	offer_and_fetch(0);
	offer_and_fetch(MOST);
}

static void fetch_or_be_refused(void *context)
{
	ssize_t result = fetch("box", STOA_FOREVER);

	(void)context;
	if (result >= 0)
		close_files(got, message.descriptors);
	else
		assert_true(result == -ECONNRESET || result == -ECONNREFUSED ||
		            result == -ENOENT);
	report(result);
}

TEST(an_offer_is_fetched_as_often_as_it_says_and_no_more)
{
	struct child children[FETCHERS];
	struct stoa_offer *offer;
	int fetched = 0;

	space = open_space();
	offer = offer_files("box", 4, 300);
	for (int i = 0; i < FETCHERS; i++)
		children[i] = start_child(fetch_or_be_refused, NULL);
	for (int left = 3; left >= 0; left--)
		assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL),
		              left);
	stoa_descriptor_withdraw(offer);
	for (int i = 0; i < FETCHERS; i++) {
		fetched += await_report(&children[i]) == 5;
		end_child(&children[i]);
	}
	assert_int_equal(fetched, 4);
	stoa_space_close(space);
}

TEST(an_offer_without_a_limit_goes_on)
{
	struct stoa_offer *offer;
	size_t descriptors = 2;

	space = open_space();
	offer = offer_files("box", 0, descriptors);
	for (int i = 0; i < 5; i++) {
		struct child child = start_child(fetch_in_child, &descriptors);

		assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL),
		              INT_MAX);
		end_child(&child);
	}
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

TEST(nobody_comes_by_the_deadline)
{
	struct stoa_offer *offer;
	struct pollfd waiting;

	space = open_space();
	offer = offer_files("box", 1, 1);
	waiting = (struct pollfd){ stoa_descriptor_offer_pollfd(offer), POLLIN,
		                   0 };
	assert_result(stoa_descriptor_serve(offer, STOA_NOW, NULL), -EAGAIN);
	assert_result(stoa_descriptor_serve(offer, stoa_deadline_in(2 * MS),
	                                    NULL),
	              -ETIMEDOUT);
	assert_int_equal(poll(&waiting, 1, 0), 0);
	/* And who fetches from one that doesn't serve. */
	assert_result(fetch("box", stoa_deadline_in(2 * MS)), -ETIMEDOUT);
	assert_result(fetch("box", STOA_NOW), -EAGAIN);
	assert_int_equal(poll(&waiting, 1, 0), 1);
	/* Both are gone. */
	assert_result(stoa_descriptor_serve(offer, STOA_NOW, NULL), -EAGAIN);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

TEST(too_little_room_leaves_the_offer_as_it_was)
{
	struct stoa_offer *offer;
	size_t descriptors = 3;
	struct child child;

	space = open_space();
	offer = offer_files("box", 1, descriptors);
	for (int lack = 0; lack < 2; lack++) {
		pid_t pid = fork();

		if (pid == 0) {
			ssize_t result = stoa_descriptor_fetch(
				space, "box", 0, got, lack ? 2 : 3, buffer,
				lack ? 5 : 4, STOA_FOREVER, &message);
			_exit(result == -EMSGSIZE && message.bytes == 5 &&
			                      message.descriptors == 3 ?
			              0 :
			              1);
		}
		child = watch_child(pid);
		while (waitpid_done(&child) == 0)
			assert_result(stoa_descriptor_serve(
					      offer, stoa_deadline_in(MS),
					      NULL),
			              -ETIMEDOUT);
	}
	child = start_child(fetch_in_child, &descriptors);
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL), 0);
	end_child(&child);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

static int admit_none(const struct stoa_descriptor_peer *peer, void *context)
{
	assert_int_equal(peer->pid, *(pid_t *)context);
	*(pid_t *)context = 0;
	return 0;
}

static void fetch_and_be_refused(void *context)
{
	(void)context;
	await_order();
	assert_result(fetch("box", STOA_FOREVER), -ECONNRESET);
	assert_sentence("admit");
}

TEST(who_is_not_admitted_gets_nothing)
{
	struct stoa_offer_attributes attributes = { .size = sizeof(attributes),
		                                    .admit = admit_none };
	struct stoa_offer *offer;
	struct child child;
	pid_t pid;

	space = open_space();
	attributes.context = &pid;
	files[0] = numbered_file(0);
	assert_ok(stoa_descriptor_offer(space, "box", 0, 0600, &attributes,
	                                files, 1, NULL, 0, &offer));
	close(files[0]);
	child = start_child(fetch_and_be_refused, NULL);
	pid = child.pid;
	give_order(&child, 0);
	while (pid != 0)
		assert_result(stoa_descriptor_serve(
				      offer, stoa_deadline_in(MS), NULL),
		              -ETIMEDOUT);
	end_child(&child);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

TEST(a_fetcher_that_does_not_thank_does_not_count)
{
	struct stoa_offer_attributes attributes = { .size = sizeof(attributes),
		                                    .count = 1,
		                                    .patience_ns = 2 * MS };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stoa_offer *offer;
	struct child child;
	size_t descriptors = 2;

	space = open_space();
	number_files(files, 2, 0);
	assert_ok(stoa_descriptor_offer(space, "box", 0, 0600, &attributes,
	                                files, 2, "hello", 5, &offer));
	int idle = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, case_path("box.offer/socket"));
	assert_system(connect(idle, (void *)&address, sizeof(address)));
	assert_result(stoa_descriptor_serve(offer, stoa_deadline_in(MS), NULL),
	              -ETIMEDOUT);
	stoa_descriptor_withdraw(offer);
	close(idle);
	attributes.patience_ns = 0;
	assert_ok(stoa_descriptor_offer(space, "box", 0, 0600, &attributes,
	                                files, 2, "hello", 5, &offer));
	close_files(files, 2);
	child = start_child(fetch_in_child, &descriptors);
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL), 0);
	end_child(&child);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

static void on_signal(int number)
{
	(void)number;
}

static void serve_interruptibly(void *context)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct stoa_offer *offer;

	(void)context;
	assert_system(sigaction(SIGUSR1, &action, NULL));
	assert_ok(stoa_descriptor_offer(space, "box", STOA_INTERRUPTIBLE, 0600,
	                                NULL, NULL, 0, NULL, 0, &offer));
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL), -EINTR);
	stoa_descriptor_withdraw(offer);
	report(0);
}

TEST(a_signal_ends_an_interruptible_wait)
{
	struct child child;

	space = open_space();
	child = start_child(serve_interruptibly, NULL);
	signal_until_report(&child, SIGUSR1);
	end_child(&child);
	stoa_space_close(space);
}

TEST(names_flags_and_attributes_that_cannot_be_are_refused)
{
	struct stoa_offer_attributes attributes = { .size = 3 };
	struct stoa_offer *offer = NULL;
	int none = 99999;

	space = open_space();
	assert_result(stoa_descriptor_offer(space, ".x", 0, 0600, NULL, NULL, 0,
	                                    NULL, 0, &offer),
	              -EINVAL);
	assert_result(stoa_descriptor_offer(space, "x", STOA_CREATE, 0600, NULL,
	                                    NULL, 0, NULL, 0, &offer),
	              -EINVAL);
	assert_result(stoa_descriptor_offer(space, "x", 0, 0600, &attributes,
	                                    NULL, 0, NULL, 0, &offer),
	              -EINVAL);
	attributes = (struct stoa_offer_attributes){
		.size = sizeof(attributes), .reserved = { 0, 1 }
	};
	assert_result(stoa_descriptor_offer(space, "x", 0, 0600, &attributes,
	                                    NULL, 0, NULL, 0, &offer),
	              -EINVAL);
	assert_result(stoa_descriptor_offer(space, "x", 0, 0600, NULL, &none, 1,
	                                    NULL, 0, &offer),
	              -EBADF);
	assert_null(offer);
	assert_result(fetch(".x", STOA_NOW), -EINVAL);
	assert_result(fetch("x", STOA_NOW), -ENOENT);
	stoa_descriptor_withdraw(NULL);
	stoa_space_close(space);
}

/* ---- Kills -------------------------------------------------------------------- */

static void serve_for_ever(void *context)
{
	struct stoa_offer *offer = offer_files("box", 0, 300);

	(void)context;
	report(0);
	for (;;)
		stoa_descriptor_serve(offer, STOA_FOREVER, NULL);
}

static void kill_later(pid_t pid, uint64_t *seed)
{
	struct timespec pause = { 0, (long)random_below(seed, 2 * MS) };

	nanosleep(&pause, NULL);
	kill(pid, SIGKILL);
}

TEST(offerers_killed_at_any_instant_leave_whole_fetches_or_none)
{
	uint64_t seed = run_seed();

	space = open_space();
	for (int round = 0; round < 20; round++) {
		struct child server = start_child(serve_for_ever, NULL);
		pid_t killer;
		ssize_t result;

		await_report(&server);
		killer = fork();
		if (killer == 0) {
			kill_later(server.pid, &seed);
			_exit(0);
		}
		next_random(&seed);
		int before = count_descriptors();
		do {
			result = fetch("box", STOA_FOREVER);
			if (result >= 0) {
				assert_int_equal(message.descriptors, 300);
				assert_numbered(got, 300, 0);
				close_files(got, 300);
			}
		} while (result >= 0);
		assert_int_equal(count_descriptors(), before);
		assert_true(result == -ECONNRESET || result == -ECONNREFUSED);
		struct child killing = watch_child(killer);
		end_child(&killing);
		kill_child(&server);
	}
	assert_result(stoa_space_clean(space, 0, NULL, NULL), 1);
	assert_result(fetch("box", STOA_FOREVER), -ENOENT);
	stoa_space_close(space);
}

static void fetch_for_ever(void *context)
{
	(void)context;
	report(0);
	for (;;)
		if (fetch("box", STOA_FOREVER) >= 0)
			close_files(got, message.descriptors);
}

TEST(fetchers_killed_at_any_instant_leave_the_offer_to_others)
{
	uint64_t seed = run_seed();
	size_t descriptors = 300;
	struct stoa_offer *offer;

	space = open_space();
	offer = offer_files("box", 0, descriptors);
	int before = count_descriptors();
	for (int round = 0; round < 20; round++) {
		struct child fetcher = start_child(fetch_for_ever, NULL);
		pid_t killer;
		struct child killing;

		await_report(&fetcher);
		killer = fork();
		if (killer == 0) {
			kill_later(fetcher.pid, &seed);
			_exit(0);
		}
		next_random(&seed);
		killing = watch_child(killer);
		while (waitpid_done(&killing) == 0)
			stoa_descriptor_serve(offer, stoa_deadline_in(MS),
			                      NULL);
		kill_child(&fetcher);
		while (stoa_descriptor_serve(offer, STOA_NOW, NULL) >= 0)
			;
		assert_int_equal(count_descriptors(), before);
	}
	struct child child = start_child(fetch_in_child, &descriptors);
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL),
	              INT_MAX);
	end_child(&child);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

/* ---- Who isn't there yet --------------------------------------------------------- */

static ssize_t fetch_awaiting(struct stoa_deadline deadline)
{
	return stoa_descriptor_fetch(space, "box", STOA_AWAIT, got, MOST,
	                             buffer, sizeof(buffer), deadline,
	                             &message);
}

static void fetch_in_time(void *context)
{
	(void)context;
	assert_result(fetch_awaiting(STOA_FOREVER), 5);
	assert_int_equal(message.descriptors, 3);
	assert_numbered(got, 3, 0);
	close_files(got, 3);
}

static void offer_and_die(void *context)
{
	(void)context;
	offer_files("box", 1, 1);
	report(0);
	await_order();
}

TEST(a_fetch_that_awaits_sleeps_until_somebody_offers_that_name)
{
	struct stoa_offer *offer, *other;
	struct child child;

	space = open_space();
	assert_result(fetch("box", STOA_FOREVER), -ENOENT);
	assert_result(fetch_awaiting(STOA_NOW), -EAGAIN);
	assert_result(fetch_awaiting(stoa_deadline_in(MS)), -ETIMEDOUT);
	child = start_child(fetch_in_time, NULL);
	until_blocked(child.pid);
	other = offer_files("another", 1, 1);
	assert_ok(stoa_space_remove(space, "another", 0));
	offer = offer_files("box", 1, 3);
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL), 0);
	end_child(&child);
	stoa_descriptor_withdraw(offer);
	stoa_descriptor_withdraw(other);
	stoa_space_close(space);
}

TEST(a_fetch_that_awaits_sleeps_while_the_name_is_a_dead_ones)
{
	struct stoa_offer *offer;
	struct child dead, child;

	space = open_space();
	dead = start_child(offer_and_die, NULL);
	await_report(&dead);
	kill_child(&dead);
	assert_result(fetch("box", STOA_FOREVER), -ECONNREFUSED);
	assert_result(fetch_awaiting(stoa_deadline_in(MS)), -ETIMEDOUT);
	child = start_child(fetch_in_time, NULL);
	until_blocked(child.pid);
	offer = offer_files("box", 1, 3);
	assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL), 0);
	end_child(&child);
	stoa_descriptor_withdraw(offer);
	stoa_space_close(space);
}

/* Each comes and goes while the fetcher may be between its look and its sleep. */
TEST(no_offer_that_comes_is_missed)
{
	enum { TIMES = 200 };

	space = open_space();
	for (int i = 0; i < TIMES; i++) {
		struct child child = start_child(fetch_in_time, NULL);
		struct stoa_offer *offer = offer_files("box", 1, 3);

		assert_result(stoa_descriptor_serve(offer, STOA_FOREVER, NULL),
		              0);
		end_child(&child);
		stoa_descriptor_withdraw(offer);
	}
	stoa_space_close(space);
}

static void fetch_interruptibly(void *context)
{
	struct sigaction action = { .sa_handler = on_signal };

	(void)context;
	assert_system(sigaction(SIGUSR1, &action, NULL));
	assert_result(stoa_descriptor_fetch(space, "box",
	                                    STOA_AWAIT | STOA_INTERRUPTIBLE,
	                                    got, MOST, buffer, sizeof(buffer),
	                                    STOA_FOREVER, &message),
	              -EINTR);
	report(0);
}

TEST(a_signal_ends_the_wait_for_an_offer_if_asked_to)
{
	struct child child;

	space = open_space();
	child = start_child(fetch_interruptibly, NULL);
	signal_until_report(&child, SIGUSR1);
	end_child(&child);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(a_fetch_that_awaits_sleeps_until_somebody_offers_that_name),
	CASE(a_fetch_that_awaits_sleeps_while_the_name_is_a_dead_ones),
	CASE(no_offer_that_comes_is_missed),
	CASE(a_signal_ends_the_wait_for_an_offer_if_asked_to),
	CASE(what_is_offered_is_fetched_by_another),
	CASE(offers_of_none_and_of_several_rounds_are_fetched),
	CASE(an_offer_is_fetched_as_often_as_it_says_and_no_more),
	CASE(an_offer_without_a_limit_goes_on),
	CASE(nobody_comes_by_the_deadline),
	CASE(too_little_room_leaves_the_offer_as_it_was),
	CASE(who_is_not_admitted_gets_nothing),
	CASE(a_fetcher_that_does_not_thank_does_not_count),
	CASE(a_signal_ends_an_interruptible_wait),
	CASE(names_flags_and_attributes_that_cannot_be_are_refused),
	CASE(offerers_killed_at_any_instant_leave_whole_fetches_or_none),
	CASE(fetchers_killed_at_any_instant_leave_the_offer_to_others),
};

MAIN(cases)
