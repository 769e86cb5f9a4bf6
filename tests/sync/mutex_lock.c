/* SPDX-License-Identifier: MIT */
/* One process's mutex: kinds, depths, deadlines, and what is refused, in each
 * place that it may stand in. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define KIND(which)                                          \
	&(const struct stoa_mutex_attributes)                \
	{                                                    \
		.size = sizeof(struct stoa_mutex_attributes), \
		.kind = which                                \
	}

static _Alignas(64) char memory[STOA_MUTEX_BYTES];

static struct stoa_mutex *
make_mutex(struct stoa_space *space, int place,
           const struct stoa_mutex_attributes *attributes)
{
	struct stoa_mutex *mutex = NULL;

	if (place == 2)
		assert_ok(stoa_mutex_place(space, memory, sizeof(memory),
		                           STOA_CREATE, attributes, &mutex));
	else
		assert_ok(stoa_mutex_open(space, place ? NULL : "m",
		                          STOA_CREATE, 0600, attributes,
		                          &mutex));
	return mutex;
}

static void on_each_place(void (*body)(struct stoa_mutex *mutex),
                          const struct stoa_mutex_attributes *attributes)
{
	struct stoa_space *space = open_space();

	for (int place = 0; place < 3; place++) {
		struct stoa_mutex *mutex = make_mutex(space, place, attributes);

		body(mutex);
		stoa_mutex_close(mutex);
		if (place == 0)
			assert_ok(stoa_mutex_unlink(space, "m"));
	}
	stoa_space_close(space);
}

static struct stoa_mutex_status status_of(struct stoa_mutex *mutex)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };

	assert_ok(stoa_mutex_stat(mutex, &status));
	return status;
}

struct foreign {
	struct stoa_mutex *mutex;
	int (*call)(struct stoa_mutex *mutex);
	int result;
};

static void *run_foreign(void *context)
{
	struct foreign *foreign = context;

	foreign->result = foreign->call(foreign->mutex);
	return NULL;
}

/* What the call gives another thread, which then ends. */
static int elsewhere(struct stoa_mutex *mutex,
                     int (*call)(struct stoa_mutex *mutex))
{
	struct foreign foreign = { mutex, call, 0 };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run_foreign, &foreign),
	                 0);
	pthread_join(thread, NULL);
	return foreign.result;
}

static int lock_now(struct stoa_mutex *mutex)
{
	return stoa_mutex_lock(mutex, STOA_NOW);
}

static int lock_forever(struct stoa_mutex *mutex)
{
	return stoa_mutex_lock(mutex, STOA_FOREVER);
}

static int lock_and_unlock(struct stoa_mutex *mutex)
{
	int result = stoa_mutex_lock(mutex, STOA_NOW);

	return result < 0 ? result : stoa_mutex_unlock(mutex);
}

/* ---- Locking ------------------------------------------------------------ */

static void take_turns(struct stoa_mutex *mutex)
{
	assert_result(stoa_mutex_held(mutex), 0);
	for (int i = 0; i < 3; i++) {
		assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
		assert_result(stoa_mutex_held(mutex), 1);
		assert_int_equal(elsewhere(mutex, stoa_mutex_held), 0);
		assert_int_equal(elsewhere(mutex, lock_now), -EAGAIN);
		assert_int_equal(elsewhere(mutex, stoa_mutex_unlock), -EPERM);
		assert_int_equal(elsewhere(mutex, stoa_mutex_consistent),
		                 -EPERM);
		assert_result(stoa_mutex_consistent(mutex), -EINVAL);
		assert_ok(stoa_mutex_unlock(mutex));
		assert_int_equal(elsewhere(mutex, lock_and_unlock), 0);
	}
	assert_result(stoa_mutex_unlock(mutex), -EPERM);
	assert_sentence("has not locked it");
}

TEST(one_thread_has_it_at_a_time)
{
	on_each_place(take_turns, NULL);
	on_each_place(take_turns, KIND(STOA_MUTEX_RECURSIVE));
	on_each_place(take_turns, KIND(STOA_MUTEX_CHECKED));
}

static void lock_twice(struct stoa_mutex *mutex)
{
	int64_t start = now_ns();

	assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EAGAIN);
	assert_result(stoa_mutex_lock(mutex, stoa_deadline_in(20 * MS)),
	              -ETIMEDOUT);
	assert_true(now_ns() - start >= 20 * MS);
	assert_result(stoa_mutex_lock(mutex, stoa_deadline_in(-1)),
	              -ETIMEDOUT);
	assert_ok(stoa_mutex_unlock(mutex));
}

TEST(a_normal_one_waits_for_its_own_thread_too)
{
	on_each_place(lock_twice, KIND(STOA_MUTEX_NORMAL));
}

static void lock_deep(struct stoa_mutex *mutex)
{
	for (int i = 1; i <= 5; i++) {
		assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
		assert_result(stoa_mutex_held(mutex), i);
		assert_int_equal(status_of(mutex).depth, i);
	}
	for (int i = 4; i >= 0; i--) {
		assert_int_equal(elsewhere(mutex, lock_now), -EAGAIN);
		assert_ok(stoa_mutex_unlock(mutex));
		assert_result(stoa_mutex_held(mutex), i);
	}
	assert_int_equal(elsewhere(mutex, lock_and_unlock), 0);
	assert_result(stoa_mutex_unlock(mutex), -EPERM);
}

TEST(a_recursive_one_is_unlocked_as_often_as_locked)
{
	on_each_place(lock_deep, KIND(STOA_MUTEX_RECURSIVE));
}

static void lock_checked(struct stoa_mutex *mutex)
{
	assert_ok(stoa_mutex_lock(mutex, STOA_FOREVER));
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -EDEADLK);
	assert_sentence("already");
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EDEADLK);
	assert_ok(stoa_mutex_unlock(mutex));
}

TEST(a_checked_one_tells_of_the_second_lock)
{
	on_each_place(lock_checked, KIND(STOA_MUTEX_CHECKED));
}

TEST(two_handles_of_a_process_are_one_owner)
{
	struct stoa_space *space = open_space();
	struct stoa_mutex *a = make_mutex(space, 0,
	                                  KIND(STOA_MUTEX_RECURSIVE));
	struct stoa_mutex *b;

	assert_ok(stoa_mutex_open(space, "m", 0, 0, NULL, &b));
	assert_ok(stoa_mutex_lock(a, STOA_NOW));
	assert_ok(stoa_mutex_lock(b, STOA_NOW));
	assert_result(stoa_mutex_held(a), 2);
	assert_ok(stoa_mutex_unlock(a));
	assert_ok(stoa_mutex_unlock(b));
	assert_result(stoa_mutex_held(b), 0);
	stoa_mutex_close(b);
	stoa_mutex_close(a);
	stoa_space_close(space);
}

/* ---- Owners that end ---------------------------------------------------- */

static void heal(struct stoa_mutex *mutex)
{
	assert_int_equal(elsewhere(mutex, lock_now), 0);
	assert_int_equal(status_of(mutex).state, STOA_MUTEX_ORPHANED);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EOWNERDEAD);
	assert_int_equal(status_of(mutex).state, STOA_MUTEX_INCONSISTENT);
	assert_int_equal(elsewhere(mutex, stoa_mutex_consistent), -EPERM);
	assert_ok(stoa_mutex_consistent(mutex));
	assert_int_equal(status_of(mutex).state, STOA_MUTEX_LOCKED);
	assert_result(stoa_mutex_consistent(mutex), -EINVAL);
	assert_ok(stoa_mutex_unlock(mutex));
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	assert_ok(stoa_mutex_unlock(mutex));
}

TEST(a_thread_that_ends_gives_up_what_it_has)
{
	on_each_place(heal, NULL);
	on_each_place(heal, KIND(STOA_MUTEX_RECURSIVE));
	on_each_place(heal, KIND(STOA_MUTEX_CHECKED));
}

static void end_again(struct stoa_mutex *mutex)
{
	assert_int_equal(elsewhere(mutex, lock_now), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(elsewhere(mutex, lock_now), -EOWNERDEAD);
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -EOWNERDEAD);
	assert_ok(stoa_mutex_consistent(mutex));
	assert_ok(stoa_mutex_unlock(mutex));
}

TEST(who_ends_without_mending_leaves_it_to_the_next)
{
	on_each_place(end_again, NULL);
}

static void give_up(struct stoa_mutex *mutex)
{
	assert_int_equal(elsewhere(mutex, lock_now), 0);
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -EOWNERDEAD);
	assert_ok(stoa_mutex_unlock(mutex));
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -ENOTRECOVERABLE);
	assert_sentence("stoa_mutex_consistent");
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -ENOTRECOVERABLE);
	assert_result(stoa_mutex_unlock(mutex), -EPERM);
	assert_result(stoa_mutex_consistent(mutex), -EPERM);
	assert_int_equal(status_of(mutex).state, STOA_MUTEX_NOT_RECOVERABLE);
	assert_int_equal(status_of(mutex).owner, 0);
}

TEST(unlocking_without_mending_loses_it_for_all)
{
	on_each_place(give_up, NULL);
	on_each_place(give_up, KIND(STOA_MUTEX_RECURSIVE));
}

static int lock_thrice(struct stoa_mutex *mutex)
{
	for (int i = 0; i < 3; i++)
		require(stoa_mutex_lock(mutex, STOA_NOW) == 0);
	return 0;
}

static void begin_anew(struct stoa_mutex *mutex)
{
	assert_int_equal(elsewhere(mutex, lock_thrice), 0);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EOWNERDEAD);
	assert_result(stoa_mutex_held(mutex), 1);
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	assert_ok(stoa_mutex_unlock(mutex));
	assert_ok(stoa_mutex_consistent(mutex));
	assert_ok(stoa_mutex_unlock(mutex));
	assert_result(stoa_mutex_held(mutex), 0);
}

TEST(a_recursive_one_of_the_ended_begins_at_one_lock)
{
	on_each_place(begin_anew, KIND(STOA_MUTEX_RECURSIVE));
}

TEST(closing_gives_up_what_was_locked_through_the_handle)
{
	struct stoa_space *space = open_space();
	struct stoa_mutex *mutex = make_mutex(space, 0, NULL);
	struct stoa_mutex *other;

	assert_ok(stoa_mutex_open(space, "m", 0, 0, NULL, &other));
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	stoa_mutex_close(other);
	assert_int_equal(status_of(mutex).state, STOA_MUTEX_LOCKED);
	assert_ok(stoa_mutex_open(space, "m", 0, 0, NULL, &other));
	stoa_mutex_close(mutex);
	assert_result(stoa_mutex_lock(other, STOA_NOW), -EOWNERDEAD);
	assert_ok(stoa_mutex_consistent(other));
	assert_ok(stoa_mutex_unlock(other));
	stoa_mutex_close(other);
	stoa_mutex_close(NULL);
	stoa_space_close(space);
}

/* ---- What can be seen ---------------------------------------------------- */

static int64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static void look(struct stoa_mutex *mutex)
{
	struct stoa_mutex_status status = status_of(mutex);

	assert_int_equal(status.state, STOA_MUTEX_FREE);
	assert_int_equal(status.owner, 0);
	assert_int_equal(status.owner_pid, 0);
	assert_int_equal(status.depth, 0);
	assert_int_equal(status.waiters, 0);
	int64_t before = realtime_ns();
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	int64_t after = realtime_ns();
	while (realtime_ns() < after + 2 * MS) /* so that now is not then */
		;
	status = status_of(mutex);
	assert_int_equal(status.state, STOA_MUTEX_LOCKED);
	assert_int_equal(status.owner_pid, getpid());
	assert_int_equal(status.owner_tid, gettid());
	assert_int_equal(status.depth, 1);
	assert_true(status.owner_since_ns >= before - MS / 2);
	assert_true(status.owner_since_ns <= after + MS / 2);
	assert_ok(stoa_mutex_unlock(mutex));
	status.size--;
	assert_result(stoa_mutex_stat(mutex, &status), -EINVAL);
}

TEST(the_owner_and_since_when_can_be_seen)
{
	on_each_place(look, KIND(STOA_MUTEX_RECURSIVE));
}

static void wait_any(struct stoa_mutex *mutex)
{
	struct stoa_wait condition = { .kind = STOA_READABLE,
		                       .object = stoa_mutex_object(mutex) };

	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), 0);
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_wait_any(&condition, 1, stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	assert_ok(stoa_mutex_unlock(mutex));
	assert_result(stoa_wait_any(&condition, 1, STOA_FOREVER), 0);
	assert_int_equal(elsewhere(mutex, lock_now), 0);
	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), 0);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EOWNERDEAD);
	assert_ok(stoa_mutex_unlock(mutex));
	assert_result(stoa_wait_any(&condition, 1, STOA_FOREVER),
	              -ENOTRECOVERABLE);
	condition.kind = STOA_WRITABLE;
	assert_result(stoa_wait_any(&condition, 1, STOA_NOW), -EINVAL);
}

TEST(wait_any_holds_when_it_could_be_had)
{
	on_each_place(wait_any, NULL);
}

/* ---- Opening --------------------------------------------------------------- */

TEST(wrong_flags_and_attributes_are_refused)
{
	struct stoa_space *space = open_space();
	struct stoa_mutex_attributes wrong = { .size = sizeof(wrong) };
	struct stoa_mutex *mutex = (void *)&wrong;

	assert_result(stoa_mutex_open(space, "m", STOA_CREATE | STOA_READ, 0600,
	                              NULL, &mutex),
	              -EINVAL);
	wrong.kind = STOA_MUTEX_CHECKED + 1;
	assert_result(stoa_mutex_open(space, "m", STOA_CREATE, 0600, &wrong,
	                              &mutex),
	              -EINVAL);
	assert_sentence("kind");
	wrong.kind = 0;
	wrong.reserved[4] = 1;
	assert_result(stoa_mutex_open(space, "m", STOA_CREATE, 0600, &wrong,
	                              &mutex),
	              -EINVAL);
	wrong.reserved[4] = 0;
	wrong.size++;
	assert_result(stoa_mutex_place(space, memory, sizeof(memory),
	                               STOA_CREATE, &wrong, &mutex),
	              -EINVAL);
	assert_result(stoa_mutex_open(space, "m", 0, 0600, NULL, &mutex),
	              -ENOENT);
	assert_result(stoa_mutex_open(space, NULL, 0, 0600, NULL, &mutex),
	              -EINVAL);
	assert_ptr_equal(mutex, &wrong);
	stoa_space_close(space);
}

TEST(memory_is_checked)
{
	struct stoa_space *space = open_space();
	struct stoa_mutex *mutex, *second;

	memset(memory, 0, sizeof(memory));
	assert_result(stoa_mutex_place(space, memory, sizeof(memory), 0, NULL,
	                               &mutex),
	              -EPROTO);
	assert_result(stoa_mutex_place(space, memory, sizeof(memory) - 1,
	                               STOA_CREATE, NULL, &mutex),
	              -EINVAL);
	assert_result(stoa_mutex_place(space, memory + 4, sizeof(memory),
	                               STOA_CREATE, NULL, &mutex),
	              -EINVAL);
	assert_ok(stoa_mutex_place(space, memory, sizeof(memory), STOA_CREATE,
	                           KIND(STOA_MUTEX_CHECKED), &mutex));
	assert_ok(stoa_mutex_place(space, memory, sizeof(memory), 0, NULL,
	                           &second));
	assert_ok(stoa_mutex_lock(second, STOA_NOW));
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EDEADLK);
	assert_ok(stoa_mutex_unlock(mutex));
	stoa_mutex_close(second);
	stoa_mutex_close(mutex);
	memset(memory + 24, 0xa5, sizeof(memory) - 24);
	assert_result(stoa_mutex_place(space, memory, sizeof(memory), 0, NULL,
	                               &mutex),
	              -EUCLEAN);
	stoa_space_close(space);
}

TEST(an_owner_that_cannot_be_is_damage)
{
	struct stoa_space *space = open_space();
	struct stoa_mutex *mutex = make_mutex(space, 2, NULL);

	memory[24 + 6] = 5; /* a thread of nobody */
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -EUCLEAN);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EUCLEAN);
	assert_result(stoa_mutex_unlock(mutex), -EUCLEAN);
	stoa_mutex_close(mutex);
	stoa_space_close(space);
}

TEST(who_waits_for_a_removed_one_is_told)
{
	struct stoa_space *space = open_space();
	struct stoa_mutex *mutex = make_mutex(space, 0, NULL);
	struct foreign foreign = { mutex, lock_forever, 0 };
	pthread_t thread;

	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	pthread_create(&thread, NULL, run_foreign, &foreign);
	while (status_of(mutex).waiters == 0)
		sched_yield();
	assert_ok(stoa_mutex_remove(mutex));
	pthread_join(thread, NULL);
	assert_int_equal(foreign.result, -EIDRM);
	assert_result(stoa_mutex_lock(mutex, STOA_NOW), -EIDRM);
	assert_result(stoa_mutex_unlock(mutex), -EIDRM);
	assert_result(stoa_mutex_remove(mutex), -EIDRM);
	stoa_mutex_close(mutex);
	assert_result(stoa_mutex_open(space, "m", 0, 0, NULL, &mutex), -ENOENT);
	stoa_space_close(space);
}

static void handle(int number UNUSED)
{
}

struct interrupted {
	struct stoa_mutex *mutex;
	pthread_t waiter;
};

static void *interrupt(void *context)
{
	struct interrupted *interrupted = context;
	struct stoa_mutex_status status = { .size = sizeof(status) };

	do {
		require(stoa_mutex_stat(interrupted->mutex, &status) == 0);
	} while (status.waiters == 0);
	while (status.waiters != 0) {
		pthread_kill(interrupted->waiter, SIGUSR1);
		sched_yield();
		require(stoa_mutex_stat(interrupted->mutex, &status) == 0);
	}
	return NULL;
}

static void *hold_and_interrupt(void *context)
{
	struct interrupted *interrupted = context;

	require(stoa_mutex_lock(interrupted->mutex, STOA_NOW) == 0);
	interrupt(context);
	require(stoa_mutex_unlock(interrupted->mutex) == 0);
	return NULL;
}

TEST(a_handler_ends_the_wait_if_asked_for)
{
	struct stoa_space *space = open_space();
	struct interrupted interrupted = { .waiter = pthread_self() };
	struct sigaction action = { .sa_handler = handle };
	struct stoa_mutex *mutex;
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	assert_ok(stoa_mutex_open(space, "m", STOA_CREATE | STOA_INTERRUPTIBLE,
	                          0600, NULL, &mutex));
	interrupted.mutex = mutex;
	pthread_create(&thread, NULL, hold_and_interrupt, &interrupted);
	while (status_of(mutex).state != STOA_MUTEX_LOCKED)
		sched_yield();
	assert_result(stoa_mutex_lock(mutex, STOA_FOREVER), -EINTR);
	pthread_join(thread, NULL);
	assert_ok(stoa_mutex_lock(mutex, STOA_NOW));
	assert_ok(stoa_mutex_unlock(mutex));
	stoa_mutex_close(mutex);
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(one_thread_has_it_at_a_time),
	CASE(a_normal_one_waits_for_its_own_thread_too),
	CASE(a_recursive_one_is_unlocked_as_often_as_locked),
	CASE(a_checked_one_tells_of_the_second_lock),
	CASE(two_handles_of_a_process_are_one_owner),
	CASE(a_thread_that_ends_gives_up_what_it_has),
	CASE(who_ends_without_mending_leaves_it_to_the_next),
	CASE(unlocking_without_mending_loses_it_for_all),
	CASE(a_recursive_one_of_the_ended_begins_at_one_lock),
	CASE(closing_gives_up_what_was_locked_through_the_handle),
	CASE(the_owner_and_since_when_can_be_seen),
	CASE(wait_any_holds_when_it_could_be_had),
	CASE(wrong_flags_and_attributes_are_refused),
	CASE(memory_is_checked),
	CASE(an_owner_that_cannot_be_is_damage),
	CASE(who_waits_for_a_removed_one_is_told),
	CASE(a_handler_ends_the_wait_if_asked_for),
};

MAIN(cases)
