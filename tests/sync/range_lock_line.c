/* SPDX-License-Identifier: MIT */
/* Who waits for whom, in which order, and until when. */
#include "range_lock.h"

#include <signal.h>
#include <sys/wait.h>

struct job {
	struct stoa_range_lock *lock;
	struct stoa_range range;
	struct stoa_deadline deadline;
};

/* Reports the result of its lock, then unlocks on order. */
static void lock_and_hold(void *context)
{
	struct job *job = context;

	report(0);
	report(stoa_range_lock_lock(job->lock, &job->range, job->deadline));
	await_order();
	assert_ok(stoa_range_lock_unlock(job->lock, &job->range));
	report(0);
}

static struct child start_job(struct stoa_range_lock *lock,
                              struct stoa_range range)
{
	struct job job = { lock, range, STOA_FOREVER };
	struct child child = start_child(lock_and_hold, &job);

	await_report(&child);
	return child;
}

static void finish_job(struct child *child)
{
	give_order(child, 0);
	assert_int_equal(await_report(child), 0);
	end_child(child);
}

TEST(a_writer_that_waits_is_not_starved_by_later_readers)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range_lock *late = make_range_lock(space, "l", 0);
	struct stoa_range part = shared(0, 10), elsewhere = shared(100, 10);
	struct stoa_range_holder holder;
	struct child writer, reader;

	assert_ok(stoa_range_lock_lock(lock, &part, STOA_NOW));
	writer = start_job(lock, exclusive(0, 100));
	until_in_line(lock, 1);
	/* Later readers get in line, one that may not wait doesn't get it. */
	assert_result(stoa_range_lock_lock(late, &part, STOA_NOW), -EAGAIN);
	assert_result(stoa_range_lock_test(late, &part, &holder), 1);
	assert_int_equal(holder.waiting, 1);
	assert_int_equal(holder.pid, writer.pid);
	assert_ok(stoa_range_lock_lock(late, &elsewhere, STOA_NOW));
	reader = start_job(late, part);
	until_in_line(lock, 2);
	assert_ok(stoa_range_lock_unlock(lock, &part));
	assert_int_equal(await_report(&writer), 0);
	until_in_line(lock, 1);
	finish_job(&writer);
	assert_int_equal(await_report(&reader), 0);
	finish_job(&reader);
	stoa_range_lock_close(late);
	close_range_lock(space, lock, "l");
}

TEST(who_holds_what_another_waits_for_goes_past_it)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range part = shared(0, 10), more = shared(5, 50);
	struct child writer;

	assert_ok(stoa_range_lock_lock(lock, &part, STOA_NOW));
	writer = start_job(lock, exclusive(0, 100));
	until_in_line(lock, 1);
	assert_ok(stoa_range_lock_lock(lock, &more, STOA_FOREVER));
	assert_ok(stoa_range_lock_unlock(lock, NULL));
	assert_int_equal(await_report(&writer), 0);
	finish_job(&writer);
	close_range_lock(space, lock, "l");
}

static int find_waiter(const struct stoa_range_holder *holder, void *context)
{
	if (!holder->waiting)
		return 0;
	*(struct stoa_range_holder *)context = *holder;
	return 1;
}

/* Starts one who waits until a deadline, and sees it in line: on a busy machine
 * it may have given up before, and another one is more patient. */
static struct child start_impatient(struct stoa_range_lock *lock,
                                    struct stoa_range range,
                                    struct stoa_range_holder *ret_waiter)
{
	for (int64_t patience = 200 * MS;; patience *= 2) {
		struct job job = { lock, range, stoa_deadline_in(patience) };
		struct child child = start_child(lock_and_hold, &job);

		await_report(&child);
		while (!has_report(&child)) {
			ret_waiter->waiting = 0;
			assert_good(stoa_range_lock_each(lock, find_waiter,
			                                 ret_waiter));
			if (ret_waiter->waiting)
				return child;
			take_a_breath();
		}
		assert_int_equal(await_report(&child), -ETIMEDOUT);
		finish_job(&child);
	}
}

TEST(a_wait_names_its_blocker_and_ends_at_its_deadline)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range range = exclusive(7, 3);
	struct stoa_range_holder waiter;
	struct child child;

	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	child = start_impatient(lock, range, &waiter);
	assert_int_equal(waiter.pid, child.pid);
	assert_int_equal(waiter.blocker_pid, getpid());
	assert_int_equal(waiter.range.start, 7);
	assert_int_equal(waiter.range.length, 3);
	assert_int_equal(await_report(&child), -ETIMEDOUT);
	until_in_line(lock, 0);
	finish_job(&child);
	close_range_lock(space, lock, "l");
}

TEST(who_gives_up_lets_those_behind_it_go_on)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range range = shared(0, 10);
	struct stoa_range_holder waiter;
	struct child writer, reader;

	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	writer = start_impatient(lock, exclusive(0, 10), &waiter);
	reader = start_job(lock, range);
	assert_int_equal(await_report(&writer), -ETIMEDOUT);
	assert_int_equal(await_report(&reader), 0);
	finish_job(&reader);
	finish_job(&writer);
	close_range_lock(space, lock, "l");
}

/* ---- Deadlocks ----------------------------------------------------------------- */

struct circle {
	struct stoa_range_lock *locks[3];
	int count, index;
};

/* Holds the one of its index, then asks for the next. */
static void hold_one_ask_next(void *context)
{
	struct circle *circle = context;
	struct stoa_range mine = exclusive(10, 10), next = exclusive(15, 1);
	int index = circle->index;
	int result;

	assert_ok(stoa_range_lock_lock(circle->locks[index], &mine, STOA_NOW));
	report(0);
	await_order();
	result = stoa_range_lock_lock(
	        circle->locks[(index + 1) % circle->count], &next,
	        STOA_FOREVER);
	report(result);
	if (result == -EDEADLK) {
		assert_sentence("deadlock");
		assert_sentence("[15, 16)");
		assert_sentence("l0.range_lock");
	}
	await_order();
	stoa_range_lock_unlock(circle->locks[index], NULL);
	stoa_range_lock_unlock(circle->locks[(index + 1) % circle->count],
	                       NULL);
	report(0);
}

static void start_circle(struct circle circle, struct child *children)
{
	for (circle.index = 0; circle.index < circle.count; circle.index++) {
		children[circle.index] = start_child(hold_one_ask_next,
		                                     &circle);
		await_report(&children[circle.index]);
	}
}

/* The last to ask closes the circle, and is refused; the others go on one by
 * one as it gives up what it holds. */
static void run_circle(struct stoa_space *space, struct circle circle)
{
	struct child children[3];
	int last = circle.count - 1;

	start_circle(circle, children);
	for (int i = 0; i <= last; i++) {
		give_order(&children[i], 0);
		if (i < last)
			until_shown(space, i + 1);
	}
	for (int i = last; i >= 0; i--) {
		assert_int_equal(await_report(&children[i]),
		                 i == last ? -EDEADLK : 0);
		finish_job(&children[i]);
	}
}

/* All ask at once; each goes on to its end by itself. */
static void run_circle_at_once(struct circle circle)
{
	struct child children[3];
	int refused = 0;

	start_circle(circle, children);
	for (int i = 0; i < circle.count; i++)
		give_order(&children[i], 0);
	for (int i = 0; i < circle.count; i++)
		give_order(&children[i], 0);
	for (int i = 0; i < circle.count; i++) {
		int64_t result = await_report(&children[i]);

		assert_true(result == 0 || result == -EDEADLK);
		refused += result == -EDEADLK;
		assert_int_equal(await_report(&children[i]), 0);
		end_child(&children[i]);
	}
	/* None, if one was through before the other asked. */
	assert_true(refused <= 1);
}

static struct circle make_circle(struct stoa_space *space, int count)
{
	static const char *const names[] = { "l0", "l1", "l2" };
	struct circle circle = { .count = count };

	for (int i = 0; i < count; i++)
		circle.locks[i] = make_range_lock(space, names[i], 0);
	return circle;
}

static void put_circle_away(struct stoa_space *space, struct circle *circle)
{
	static const char *const names[] = { "l0", "l1", "l2" };

	for (int i = 0; i < circle->count; i++) {
		stoa_range_lock_close(circle->locks[i]);
		assert_ok(stoa_range_lock_unlink(space, names[i]));
	}
	stoa_space_close(space);
}

TEST(who_closes_a_circle_of_two_is_refused)
{
	struct stoa_space *space = open_space();
	struct circle circle = make_circle(space, 2);

	run_circle(space, circle);
	put_circle_away(space, &circle);
}

TEST(who_closes_a_circle_of_three_is_refused)
{
	struct stoa_space *space = open_space();
	struct circle circle = make_circle(space, 3);

	run_circle(space, circle);
	put_circle_away(space, &circle);
}

TEST(of_those_that_close_a_circle_at_once_one_is_refused)
{
	struct stoa_space *space = open_space();
	struct circle circle = make_circle(space, 2);

	for (int i = 0; i < 20; i++)
		run_circle_at_once(circle);
	put_circle_away(space, &circle);
}

/* Shares a range, then wants it alone. */
static void upgrade(void *context)
{
	struct stoa_range_lock *lock = context;
	struct stoa_range range = shared(0, 10);
	int result;

	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	report(0);
	await_order();
	range.mode = STOA_RANGE_EXCLUSIVE;
	result = stoa_range_lock_lock(lock, &range, STOA_FOREVER);
	report(result);
	await_order();
	assert_ok(stoa_range_lock_unlock(lock, &range));
	report(0);
}

TEST(of_two_that_upgrade_one_is_refused_and_keeps_what_it_had)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct child first = start_child(upgrade, lock);
	struct child second = start_child(upgrade, lock);

	await_report(&first);
	await_report(&second);
	give_order(&first, 0);
	until_shown(space, 1);
	give_order(&second, 0);
	assert_int_equal(await_report(&second), -EDEADLK);
	assert_int_equal(status_of(lock).ranges, 2);
	finish_job(&second);
	assert_int_equal(await_report(&first), 0);
	finish_job(&first);
	close_range_lock(space, lock, "l");
}

TEST(one_thread_does_not_wait_for_itself)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range_lock *other = make_range_lock(space, "l", 0);

	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	assert_result(stoa_range_lock_lock(other, NULL, STOA_FOREVER),
	              -EDEADLK);
	assert_sentence("the same pid");
	assert_int_equal(status_of(lock).waiting, 0);
	stoa_range_lock_close(other);
	close_range_lock(space, lock, "l");
}

TEST(a_wait_that_closes_no_circle_is_not_refused)
{
	struct stoa_space *space = open_space();
	struct circle circle = make_circle(space, 3);
	struct stoa_range all = exclusive(0, 0);
	struct child children[2];

	assert_ok(stoa_range_lock_lock(circle.locks[2], &all, STOA_NOW));
	for (circle.index = 0; circle.index < 2; circle.index++) {
		children[circle.index] = start_child(hold_one_ask_next,
		                                     &circle);
		await_report(&children[circle.index]);
	}
	give_order(&children[0], 0);
	give_order(&children[1], 0);
	until_shown(space, 2);
	for (int i = 0; i < 1000; i++) /* they look again and again */
		take_a_breath();
	assert_ok(stoa_range_lock_unlock(circle.locks[2], &all));
	assert_int_equal(await_report(&children[1]), 0);
	finish_job(&children[1]);
	assert_int_equal(await_report(&children[0]), 0);
	finish_job(&children[0]);
	put_circle_away(space, &circle);
}

TEST(a_waiter_is_told_of_the_removal)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct child waiter;

	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	waiter = start_job(lock, exclusive(0, 1));
	until_in_line(lock, 1);
	assert_ok(stoa_range_lock_remove(lock));
	assert_int_equal(await_report(&waiter), -EIDRM);
	assert_result(stoa_range_lock_unlock(lock, NULL), -EIDRM);
	kill_child(&waiter);
	close_range_lock(space, lock, NULL);
}

TEST(several_are_waited_for_at_once)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range_lock *other = make_range_lock(space, "l", 0);
	struct stoa_range left = exclusive(0, 10), right = exclusive(10, 10);
	struct stoa_wait conditions[] = {
		{ .kind = STOA_WRITABLE,
		  .object = stoa_range_lock_object(other),
		  .detail = &left },
		{ .kind = STOA_READABLE,
		  .object = stoa_range_lock_object(other),
		  .detail = &right },
	};

	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	assert_result(stoa_wait_any(conditions, 2, STOA_NOW), -EAGAIN);
	assert_ok(stoa_range_lock_unlock(lock, &right));
	assert_result(stoa_wait_any(conditions, 2, STOA_NOW), 1);
	right.mode = STOA_RANGE_SHARED;
	assert_ok(stoa_range_lock_lock(lock, &right, STOA_NOW));
	assert_result(stoa_wait_any(conditions, 2, STOA_FOREVER), 1);
	assert_ok(stoa_range_lock_unlock(lock, &left));
	assert_result(stoa_wait_any(conditions, 2, STOA_FOREVER), 0);
	stoa_range_lock_close(other);
	close_range_lock(space, lock, "l");
}

static const struct CMUnitTest cases[] = {
	CASE(a_writer_that_waits_is_not_starved_by_later_readers),
	CASE(who_holds_what_another_waits_for_goes_past_it),
	CASE(a_wait_names_its_blocker_and_ends_at_its_deadline),
	CASE(who_gives_up_lets_those_behind_it_go_on),
	CASE(who_closes_a_circle_of_two_is_refused),
	CASE(who_closes_a_circle_of_three_is_refused),
	CASE(of_those_that_close_a_circle_at_once_one_is_refused),
	CASE(of_two_that_upgrade_one_is_refused_and_keeps_what_it_had),
	CASE(one_thread_does_not_wait_for_itself),
	CASE(a_wait_that_closes_no_circle_is_not_refused),
	CASE(a_waiter_is_told_of_the_removal),
	CASE(several_are_waited_for_at_once),
};

MAIN(cases)
