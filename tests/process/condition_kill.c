/* SPDX-License-Identifier: MIT */
/* kill -9 of those who wait on a condition: asleep, told and not yet awake,
 * told and locking the mutex, with the mutex locked. Another waiter gets the
 * signal, and nobody gets one that nobody gave. */
#include "support.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

enum { PLACES = 3, FEW = 2 };

struct setting {
	struct stoa_space *space;
	struct stoa_mutex *mutex;
	struct stoa_condition *condition;
	char *memory;
};

static struct setting set_up(int place)
{
	struct stoa_condition_attributes attributes = {
		.size = sizeof(attributes), .waiters = FEW
	};
	struct setting setting = { .space = open_space() };

	if (place == 2) {
		setting.memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(setting.memory != MAP_FAILED);
		assert_ok(stoa_mutex_place(setting.space, setting.memory, 1024,
		                           STOA_CREATE, NULL, &setting.mutex));
		assert_ok(stoa_condition_place(setting.space,
		                               setting.memory + 1024, 3072,
		                               STOA_CREATE, &attributes,
		                               &setting.condition));
		return setting;
	}
	assert_ok(stoa_mutex_open(setting.space, place ? NULL : "m",
	                          STOA_CREATE, 0600, NULL, &setting.mutex));
	assert_ok(stoa_condition_open(setting.space, place ? NULL : "c",
	                              STOA_CREATE, 0600, &attributes,
	                              &setting.condition));
	return setting;
}

static void tear_down(struct setting *setting)
{
	stoa_condition_close(setting->condition);
	stoa_mutex_close(setting->mutex);
	stoa_mutex_unlink(setting->space, "m");
	stoa_condition_unlink(setting->space, "c");
	if (setting->memory)
		munmap(setting->memory, 4096);
	stoa_space_close(setting->space);
}

static void on_each_place(void (*body)(struct setting *setting))
{
	for (int place = 0; place < PLACES; place++) {
		struct setting setting = set_up(place);

		body(&setting);
		tear_down(&setting);
	}
}

static struct stoa_condition_status status_of(struct setting *setting)
{
	struct stoa_condition_status status = { .size = sizeof(status) };

	assert_ok(stoa_condition_stat(setting->condition, &status));
	return status;
}

static void until_waiters(struct setting *setting, uint32_t waiters)
{
	while (status_of(setting).waiters != waiters)
		sched_yield();
}

static void until_told(struct setting *setting, uint32_t told)
{
	while (status_of(setting).told != told)
		sched_yield();
}

static void wait_and_obey(void *context)
{
	struct setting *setting = context;

	assert_ok(stoa_mutex_lock(setting->mutex, STOA_FOREVER));
	int result = stoa_condition_wait(setting->condition, setting->mutex,
	                                 STOA_FOREVER);
	report(result);
	if (await_order() == 1)
		assert_ok(stoa_mutex_consistent(setting->mutex));
	assert_ok(stoa_mutex_unlock(setting->mutex));
}

static struct child start_waiter(struct setting *setting, uint32_t waiters)
{
	struct child child = start_child(wait_and_obey, setting);

	until_waiters(setting, waiters);
	return child;
}

static void finish(struct child *child, int expected)
{
	assert_int_equal(await_report(child), expected);
	give_order(child, expected == -EOWNERDEAD);
	end_child(child);
}

static void lock(struct setting *setting)
{
	assert_ok(stoa_mutex_lock(setting->mutex, STOA_FOREVER));
}

static void unlock(struct setting *setting)
{
	assert_ok(stoa_mutex_unlock(setting->mutex));
}

/* ---- Waiters that die ------------------------------------------------------- */

static void kill_asleep(struct setting *setting)
{
	struct child first = start_waiter(setting, 1);
	struct child second = start_waiter(setting, 2);

	kill_child(&first);
	assert_result(stoa_condition_signal(setting->condition), 1);
	finish(&second, 0);
	assert_result(stoa_condition_signal(setting->condition), 0);
}

TEST(a_signal_is_not_for_one_that_was_killed_asleep)
{
	on_each_place(kill_asleep);
}

static void kill_woken(struct setting *setting)
{
	struct child first = start_waiter(setting, 1);
	struct child second = start_waiter(setting, 2);

	stop_child(&first);
	assert_result(stoa_condition_signal(setting->condition), 1);
	until_told(setting, 1);
	kill_child(&first);
	finish(&second, 0);
	assert_result(stoa_condition_signal(setting->condition), 0);
}

TEST(the_signal_of_one_killed_just_woken_goes_to_another)
{
	on_each_place(kill_woken);
}

static void kill_locking(struct setting *setting)
{
	struct child first = start_waiter(setting, 1);
	struct child second = start_waiter(setting, 2);
	struct stoa_mutex_status status = { .size = sizeof(status) };

	lock(setting);
	assert_result(stoa_condition_signal(setting->condition), 1);
	do {
		assert_ok(stoa_mutex_stat(setting->mutex, &status));
	} while (status.waiters == 0);
	kill_child(&first);
	until_told(setting, 1);
	unlock(setting);
	finish(&second, 0);
}

TEST(the_signal_of_one_killed_while_locking_goes_to_another)
{
	on_each_place(kill_locking);
}

static void kill_returned(struct setting *setting)
{
	struct child first = start_waiter(setting, 1);
	struct child second = start_waiter(setting, 2);

	assert_result(stoa_condition_signal(setting->condition), 1);
	assert_int_equal(await_report(&first), 0);
	kill_child(&first);
	assert_result(stoa_condition_signal(setting->condition), 1);
	finish(&second, -EOWNERDEAD);
}

TEST(the_next_waiter_learns_that_the_one_before_died_with_the_mutex)
{
	on_each_place(kill_returned);
}

static void kill_one_of_broadcast(struct setting *setting)
{
	struct child first = start_waiter(setting, 1);
	struct child second = start_waiter(setting, 2);

	lock(setting);
	stop_child(&first);
	assert_ok(stoa_condition_broadcast(setting->condition));
	until_told(setting, 2);
	kill_child(&first);
	assert_int_equal(status_of(setting).waiters, 0);
	/* Its broadcast is nobody else's: who comes now is not told. */
	unlock(setting);
	finish(&second, 0);
	struct child late = start_waiter(setting, 1);
	lock(setting);
	assert_result(stoa_condition_wait(setting->condition, setting->mutex,
	                                  stoa_deadline_in(120 * MS)),
	              -ETIMEDOUT);
	unlock(setting);
	assert_int_equal(status_of(setting).waiters, 1);
	assert_result(stoa_condition_signal(setting->condition), 1);
	finish(&late, 0);
}

TEST(a_broadcast_passes_nothing_on)
{
	on_each_place(kill_one_of_broadcast);
}

static void fill_with_dead(struct setting *setting)
{
	for (int round = 0; round < 3; round++) {
		struct child children[FEW];

		for (uint32_t i = 0; i < FEW; i++)
			children[i] = start_waiter(setting, i + 1);
		for (int i = 0; i < FEW; i++)
			kill_child(&children[i]);
		assert_int_equal(status_of(setting).waiters, 0);
	}
	lock(setting);
	assert_result(stoa_condition_wait(setting->condition, setting->mutex,
	                                  stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	unlock(setting);
	assert_result(stoa_condition_signal(setting->condition), 0);
}

TEST(the_dead_take_up_no_room)
{
	on_each_place(fill_with_dead);
}

/* ---- Waiters that are stopped, and those who look on -------------------------- */

static void stop_told(struct setting *setting)
{
	struct child first = start_waiter(setting, 1);
	struct child second = start_waiter(setting, 2);

	stop_child(&first);
	assert_result(stoa_condition_signal(setting->condition), 1);
	assert_result(stoa_condition_signal(setting->condition), 1);
	finish(&second, 0);
	assert_int_equal(status_of(setting).told, 1);
	continue_child(&first);
	finish(&first, 0);
}

TEST(a_stopped_waiter_keeps_its_signal_and_no_other)
{
	on_each_place(stop_told);
}

static int compare(const struct stoa_condition_waiter *waiter, void *context)
{
	pid_t *pid = context;

	assert_int_equal(waiter->pid, *pid);
	assert_int_equal(waiter->tid, *pid);
	assert_int_equal(waiter->told, 0);
	assert_true(waiter->since_ns > 0);
	return 0;
}

static void look(struct setting *setting)
{
	struct child child = start_waiter(setting, 1);

	assert_result(stoa_condition_each_waiter(setting->condition, compare,
	                                         &child.pid),
	              1);
	assert_int_equal(status_of(setting).waiters_max, FEW);
	kill_child(&child);
	assert_result(stoa_condition_each_waiter(setting->condition, compare,
	                                         &child.pid),
	              0);
}

TEST(waiters_can_be_seen_by_others)
{
	on_each_place(look);
}

static void observe(void *context)
{
	struct setting *setting = context;
	struct stoa_wait wait = { .kind = STOA_READABLE,
		                  .object = stoa_condition_object(
		                          setting->condition) };

	assert_ok(stoa_condition_count(setting->condition, &wait.amount));
	report(0);
	assert_result(stoa_wait_any(&wait, 1, STOA_FOREVER), 0);
}

static void observe_signal(struct setting *setting)
{
	struct child observer = start_child(observe, setting);
	struct child waiter = start_waiter(setting, 1);

	await_report(&observer);
	until_blocked(observer.pid);
	assert_result(stoa_condition_signal(setting->condition), 1);
	finish(&waiter, 0);
	end_child(&observer);
}

TEST(an_observer_takes_nothing_from_a_waiter)
{
	on_each_place(observe_signal);
}

static const struct CMUnitTest cases[] = {
	CASE(a_signal_is_not_for_one_that_was_killed_asleep),
	CASE(the_signal_of_one_killed_just_woken_goes_to_another),
	CASE(the_signal_of_one_killed_while_locking_goes_to_another),
	CASE(the_next_waiter_learns_that_the_one_before_died_with_the_mutex),
	CASE(a_broadcast_passes_nothing_on),
	CASE(the_dead_take_up_no_room),
	CASE(a_stopped_waiter_keeps_its_signal_and_no_other),
	CASE(waiters_can_be_seen_by_others),
	CASE(an_observer_takes_nothing_from_a_waiter),
};

MAIN(cases)
