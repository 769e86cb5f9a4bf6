/* SPDX-License-Identifier: MIT */
/* kill -9, exec, exit and stops of a mutex's owner and of those who wait for
 * it: the next has it and is told, and nobody is robbed or forgotten. */
#include "support.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PLACES = 3 };

struct setting {
	struct stoa_space *space;
	struct stoa_mutex *mutex;
	void *memory;
};

static struct setting set_up(int place)
{
	struct setting setting = { .space = open_space() };

	if (place == 2) {
		setting.memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(setting.memory != MAP_FAILED);
		assert_ok(stoa_mutex_place(setting.space, setting.memory, 4096,
		                           STOA_CREATE, NULL, &setting.mutex));
	} else {
		assert_ok(stoa_mutex_open(setting.space, place ? NULL : "m",
		                          STOA_CREATE, 0600, NULL,
		                          &setting.mutex));
	}
	return setting;
}

static void tear_down(struct setting *setting)
{
	stoa_mutex_close(setting->mutex);
	stoa_mutex_unlink(setting->space, "m");
	if (setting->memory)
		munmap(setting->memory, 4096);
	stoa_space_close(setting->space);
}

static void on_each_place(void (*body)(struct stoa_mutex *mutex))
{
	for (int place = 0; place < PLACES; place++) {
		struct setting setting = set_up(place);

		body(setting.mutex);
		assert_int_equal(stoa_mutex_held(setting.mutex), 0);
		tear_down(&setting);
	}
}

static struct stoa_mutex_status status_of(struct stoa_mutex *mutex)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };

	assert_ok(stoa_mutex_stat(mutex, &status));
	return status;
}

static void until_waiters(struct stoa_mutex *mutex, uint32_t waiters)
{
	while (status_of(mutex).waiters != waiters)
		sched_yield();
}

/* Reports the result of its lock; told 1, it mends; then unlocks if it can,
 * and reports that. */
static void lock_and_obey(void *context)
{
	struct stoa_mutex *mutex = context;
	int result = stoa_mutex_lock(mutex, STOA_FOREVER);

	report(result);
	if (await_order() == 1)
		assert_ok(stoa_mutex_consistent(mutex));
	if (result == 0 || result == -EOWNERDEAD)
		report(stoa_mutex_unlock(mutex));
}

static struct child start_owner(struct stoa_mutex *mutex)
{
	struct child child = start_child(lock_and_obey, mutex);

	assert_int_equal(await_report(&child), 0);
	return child;
}

static struct child start_waiter(struct stoa_mutex *mutex, uint32_t waiters)
{
	struct child child = start_child(lock_and_obey, mutex);

	until_waiters(mutex, waiters);
	return child;
}

static void finish(struct child *child, int order)
{
	give_order(child, order);
	assert_int_equal(await_report(child), 0);
	end_child(child);
}

static void lock_whole(struct stoa_mutex *mutex)
{
	assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
	assert_ok(stoa_mutex_unlock(mutex));
}

/* ---- Owners ----------------------------------------------------------------- */

static void kill_owner(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);

	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EAGAIN);
	kill_child(&owner);
	assert_int_equal(status_of(mutex).state, STOA_MUTEX_ORPHANED);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EOWNERDEAD);
	assert_ok(stoa_mutex_consistent(mutex));
	assert_ok(stoa_mutex_unlock(mutex));
	lock_whole(mutex);
}

TEST(a_killed_owners_mutex_is_had_at_once_and_told_of)
{
	on_each_place(kill_owner);
}

static void kill_owner_with_waiter(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);
	struct child waiter = start_waiter(mutex, 1);
	struct child second = start_waiter(mutex, 2);

	kill_child(&owner);
	/* Either may be first. */
	while (status_of(mutex).waiters > 1)
		sched_yield();
	struct stoa_mutex_status status = status_of(mutex);
	assert_int_equal(status.state, STOA_MUTEX_INCONSISTENT);
	if (status.owner_pid == second.pid) {
		struct child swap = waiter;

		waiter = second;
		second = swap;
	}
	assert_int_equal(status.owner_pid, waiter.pid);
	assert_int_equal(await_report(&waiter), -EOWNERDEAD);
	finish(&waiter, 1);
	assert_int_equal(await_report(&second), 0);
	finish(&second, 0);
	lock_whole(mutex);
}

TEST(a_sleeper_takes_over_from_a_killed_owner)
{
	on_each_place(kill_owner_with_waiter);
}

static void kill_three(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);

	for (int i = 0; i < 3; i++) {
		struct child waiter = start_waiter(mutex, 1);

		kill_child(&owner);
		assert_int_equal(await_report(&waiter), -EOWNERDEAD);
		owner = waiter;
	}
	finish(&owner, 1);
	lock_whole(mutex);
}

TEST(a_second_death_is_told_of_again)
{
	on_each_place(kill_three);
}

static void lose(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);
	struct child heir = start_waiter(mutex, 1);
	struct child waiter;

	kill_child(&owner);
	assert_int_equal(await_report(&heir), -EOWNERDEAD);
	waiter = start_waiter(mutex, 1);
	struct child another = start_waiter(mutex, 2);
	finish(&heir, 0);
	assert_int_equal(await_report(&waiter), -ENOTRECOVERABLE);
	assert_int_equal(await_report(&another), -ENOTRECOVERABLE);
	give_order(&waiter, 0);
	give_order(&another, 0);
	end_child(&waiter);
	end_child(&another);
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -ENOTRECOVERABLE);
}

TEST(sleepers_are_woken_and_told_when_it_is_lost)
{
	on_each_place(lose);
}

static void stop_owner(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);

	stop_child(&owner);
	assert_result(stoa_mutex_lock(mutex, stoa_deadline_in(150 * MS)),
	              -ETIMEDOUT);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EAGAIN);
	continue_child(&owner);
	finish(&owner, 0);
	lock_whole(mutex);
}

TEST(a_stopped_owner_is_not_robbed)
{
	on_each_place(stop_owner);
}

static void lock_and_exit(void *context)
{
	assert_ok(stoa_mutex_lock(context, STOA_FOREVER));
}

static void lock_and_exec(void *context)
{
	assert_ok(stoa_mutex_lock(context, STOA_FOREVER));
	report(0);
	execlp("sleep", "sleep", "1000", (char *)NULL);
}

static void leave(struct stoa_mutex *mutex)
{
	struct child child = start_child(lock_and_exit, mutex);

	end_child(&child);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EOWNERDEAD);
	assert_ok(stoa_mutex_consistent(mutex));
	assert_ok(stoa_mutex_unlock(mutex));
	child = start_child(lock_and_exec, mutex);
	await_report(&child);
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -EOWNERDEAD);
	assert_ok(stoa_mutex_consistent(mutex));
	assert_ok(stoa_mutex_unlock(mutex));
	kill_child(&child);
}

TEST(exit_and_exec_give_it_up_too)
{
	on_each_place(leave);
}

static void use_inherited(void *context)
{
	struct stoa_mutex *mutex = context;

	assert_result(stoa_mutex_held(mutex), 0);
	assert_result(stoa_mutex_unlock(mutex), -EPERM);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EAGAIN);
	stoa_mutex_close(mutex);
}

static void fork_owner(struct stoa_mutex *mutex)
{
	struct child child;

	assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
	child = start_child(use_inherited, mutex);
	end_child(&child);
	assert_result(stoa_mutex_held(mutex), 1);
	assert_ok(stoa_mutex_unlock(mutex));
	child = start_owner(mutex);
	finish(&child, 0);
}

TEST(a_forked_child_has_nothing_of_its_parents)
{
	on_each_place(fork_owner);
}

/* ---- Those who wait ------------------------------------------------------------ */

static void kill_waiter(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);
	struct child first = start_waiter(mutex, 1);
	struct child second = start_waiter(mutex, 2);

	kill_child(&first);
	until_waiters(mutex, 1);
	finish(&owner, 0);
	assert_int_equal(await_report(&second), 0);
	finish(&second, 0);
	lock_whole(mutex);
}

TEST(a_killed_sleeper_is_not_missed)
{
	on_each_place(kill_waiter);
}

static void kill_woken(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);
	struct child first = start_waiter(mutex, 1);
	struct child second = start_waiter(mutex, 2);

	/* The wake goes to the first, which can't follow it. */
	stop_child(&first);
	finish(&owner, 0);
	kill_child(&first);
	assert_int_equal(await_report(&second), 0);
	finish(&second, 0);
	lock_whole(mutex);
}

TEST(a_sleeper_killed_just_woken_leaves_it_to_another)
{
	on_each_place(kill_woken);
}

static void stop_woken(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);
	struct child first = start_waiter(mutex, 1);
	struct child second = start_waiter(mutex, 2);

	stop_child(&first);
	finish(&owner, 0);
	assert_int_equal(await_report(&second), 0);
	continue_child(&first);
	finish(&second, 0);
	assert_int_equal(await_report(&first), 0);
	finish(&first, 0);
}

TEST(a_sleeper_stopped_just_woken_does_not_hold_back_another)
{
	on_each_place(stop_woken);
}

static int compare(const struct stoa_mutex_waiter *waiter, void *context)
{
	struct child *children = context;

	assert_int_equal(waiter->pid, waiter->tid);
	assert_true(waiter->pid == children[0].pid ||
	            waiter->pid == children[1].pid);
	assert_true(waiter->since_ns > 0);
	return 0;
}

static void look(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);
	struct child waiters[2];

	waiters[0] = start_waiter(mutex, 1);
	waiters[1] = start_waiter(mutex, 2);
	assert_int_equal(status_of(mutex).owner_pid, owner.pid);
	assert_int_equal(status_of(mutex).owner_tid, owner.pid);
	assert_result(stoa_mutex_each_waiter(mutex, compare, waiters), 2);
	finish(&owner, 0);
	kill_child(&waiters[0]);
	kill_child(&waiters[1]);
	assert_int_equal(status_of(mutex).waiters, 0);
}

TEST(owner_and_waiters_can_be_seen_by_others)
{
	on_each_place(look);
}

static void wait_any_then_lock(void *context)
{
	struct stoa_wait condition = { .kind = STOA_READABLE,
		                       .object = stoa_mutex_object(context) };

	report(0);
	assert_result(stoa_wait_any(&condition, 1, STOA_FOREVER), 0);
	assert_result(stoa_mutex_lock(context, STOA_FOREVER), -EOWNERDEAD);
	report(1);
}

static void observe_death(struct stoa_mutex *mutex)
{
	struct child owner = start_owner(mutex);
	struct child observer = start_child(wait_any_then_lock, mutex);

	await_report(&observer);
	until_blocked(observer.pid);
	kill_child(&owner);
	assert_int_equal(await_report(&observer), 1);
	end_child(&observer);
}

TEST(an_observer_finds_that_the_owner_died)
{
	on_each_place(observe_death);
}

static const struct CMUnitTest cases[] = {
	CASE(a_killed_owners_mutex_is_had_at_once_and_told_of),
	CASE(a_sleeper_takes_over_from_a_killed_owner),
	CASE(a_second_death_is_told_of_again),
	CASE(sleepers_are_woken_and_told_when_it_is_lost),
	CASE(a_stopped_owner_is_not_robbed),
	CASE(exit_and_exec_give_it_up_too),
	CASE(a_forked_child_has_nothing_of_its_parents),
	CASE(a_killed_sleeper_is_not_missed),
	CASE(a_sleeper_killed_just_woken_leaves_it_to_another),
	CASE(a_sleeper_stopped_just_woken_does_not_hold_back_another),
	CASE(owner_and_waiters_can_be_seen_by_others),
	CASE(an_observer_finds_that_the_owner_died),
};

MAIN(cases)
