/* SPDX-License-Identifier: MIT */
/* Conditions among the threads of one process: who is told, in which order,
 * what the mutex is like afterwards, and what is refused. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

enum { THREADS = 6, MANY = 40 };

static _Alignas(64) char mutex_memory[STOA_MUTEX_BYTES];
static _Alignas(64) char condition_memory[STOA_CONDITION_BYTES];

struct pair {
	struct stoa_space *space;
	struct stoa_mutex *mutex;
	struct stoa_condition *condition;
};

static struct pair make_pair_of(int place, enum stoa_mutex_kind kind)
{
	struct stoa_mutex_attributes attributes = { .size = sizeof(attributes),
		                                    .kind = kind };
	struct pair pair = { .space = open_space() };

	if (place == 2) {
		assert_ok(stoa_mutex_place(pair.space, mutex_memory,
		                           sizeof(mutex_memory), STOA_CREATE,
		                           &attributes, &pair.mutex));
		assert_ok(stoa_condition_place(pair.space, condition_memory,
		                               sizeof(condition_memory),
		                               STOA_CREATE, NULL,
		                               &pair.condition));
		return pair;
	}
	assert_ok(stoa_mutex_open(pair.space, place ? NULL : "m", STOA_CREATE,
	                          0600, &attributes, &pair.mutex));
	assert_ok(stoa_condition_open(pair.space, place ? NULL : "c",
	                              STOA_CREATE, 0600, NULL,
	                              &pair.condition));
	return pair;
}

static struct pair make_pair(void)
{
	return make_pair_of(1, STOA_MUTEX_NORMAL);
}

static void close_pair(struct pair *pair)
{
	stoa_condition_close(pair->condition);
	stoa_mutex_close(pair->mutex);
	stoa_space_close(pair->space);
}

static struct stoa_condition_status status_of(struct stoa_condition *condition)
{
	struct stoa_condition_status status = { .size = sizeof(status) };

	assert_ok(stoa_condition_stat(condition, &status));
	return status;
}

struct waiting {
	struct pair *pair;
	struct stoa_deadline deadline;
	atomic_int *ended; /* how many have before */
	atomic_int result; /* 1: still waits */
	atomic_int place;  /* among those that ended */
	pthread_t thread;
};

static void *wait_once(void *context)
{
	struct waiting *waiting = context;
	struct pair *pair = waiting->pair;

	require(stoa_mutex_lock(pair->mutex, STOA_FOREVER) == 0);
	int result = stoa_condition_wait(pair->condition, pair->mutex,
	                                 waiting->deadline);
	require(stoa_mutex_held(pair->mutex) == 1);
	atomic_store(&waiting->place, atomic_fetch_add(waiting->ended, 1));
	require(stoa_mutex_unlock(pair->mutex) == 0);
	atomic_store(&waiting->result, result);
	return NULL;
}

static void until_waiters(struct stoa_condition *condition, uint32_t waiters)
{
	while (status_of(condition).waiters != waiters)
		sched_yield();
}

/* Threads that wait, each begun when the one before did. */
static void start(struct pair *pair, struct waiting *waiting, int count,
                  struct stoa_deadline deadline, atomic_int *ended)
{
	for (int i = 0; i < count; i++) {
		waiting[i] = (struct waiting){ .pair = pair,
			                       .deadline = deadline,
			                       .ended = ended };
		atomic_init(&waiting[i].result, 1);
		assert_int_equal(pthread_create(&waiting[i].thread, NULL,
		                                wait_once, &waiting[i]),
		                 0);
		until_waiters(pair->condition, (uint32_t)i + 1);
	}
}

static void join(struct waiting *waiting, int count)
{
	for (int i = 0; i < count; i++)
		pthread_join(waiting[i].thread, NULL);
}

/* ---- Telling ------------------------------------------------------------- */

static void tell_in_order(int place, int count)
{
	struct pair pair = make_pair_of(place, STOA_MUTEX_CHECKED);
	struct waiting waiting[MANY];
	atomic_int ended = 0;

	start(&pair, waiting, count, STOA_FOREVER, &ended);
	for (int i = 0; i < count; i++) {
		assert_result(stoa_condition_signal(pair.condition), 1);
		pthread_join(waiting[i].thread, NULL);
		assert_int_equal(waiting[i].result, 0);
		assert_int_equal(ended, i + 1);
	}
	assert_result(stoa_condition_signal(pair.condition), 0);
	assert_int_equal(status_of(pair.condition).count, count + 1);
	close_pair(&pair);
}

TEST(each_signal_is_for_the_one_that_has_waited_longest)
{
	tell_in_order(0, THREADS);
	tell_in_order(1, THREADS);
	tell_in_order(2, THREADS);
}

TEST(more_waiters_than_bits_of_the_mask_are_told_one_by_one)
{
	tell_in_order(1, MANY);
}

TEST(a_broadcast_is_for_all_who_wait_and_nobody_else)
{
	struct pair pair = make_pair();
	struct waiting waiting[THREADS];
	atomic_int ended = 0;

	assert_ok(stoa_condition_broadcast(pair.condition));
	start(&pair, waiting, THREADS, STOA_FOREVER, &ended);
	assert_int_equal(ended, 0);
	assert_ok(stoa_condition_broadcast(pair.condition));
	join(waiting, THREADS);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(waiting[i].result, 0);
	assert_int_equal(status_of(pair.condition).count, 2);
	assert_int_equal(status_of(pair.condition).broadcasts, 2);
	start(&pair, waiting, 1, STOA_FOREVER, &ended);
	assert_result(stoa_condition_signal(pair.condition), 1);
	join(waiting, 1);
	close_pair(&pair);
}

TEST(a_signal_with_the_mutex_locked_is_had_after_it)
{
	struct pair pair = make_pair();
	struct waiting waiting[2];
	atomic_int ended = 0;

	start(&pair, waiting, 2, STOA_FOREVER, &ended);
	assert_ok(stoa_mutex_lock(pair.mutex, STOA_FOREVER));
	assert_result(stoa_condition_signal(pair.condition), 1);
	while (status_of(pair.condition).told != 1)
		sched_yield();
	assert_int_equal(status_of(pair.condition).waiters, 1);
	assert_int_equal(ended, 0);
	assert_ok(stoa_mutex_unlock(pair.mutex));
	pthread_join(waiting[0].thread, NULL);
	assert_int_equal(waiting[1].result, 1);
	assert_result(stoa_condition_signal(pair.condition), 1);
	pthread_join(waiting[1].thread, NULL);
	close_pair(&pair);
}

/* ---- Deadlines -------------------------------------------------------------- */

TEST(a_wait_ends_at_its_deadline_with_the_mutex)
{
	struct pair pair = make_pair_of(0, STOA_MUTEX_NORMAL);
	int64_t begun = now_ns();

	assert_ok(stoa_mutex_lock(pair.mutex, STOA_NOW));
	assert_result(stoa_condition_wait(pair.condition, pair.mutex, STOA_NOW),
	              -EAGAIN);
	assert_result(stoa_mutex_held(pair.mutex), 1);
	assert_result(stoa_condition_wait(pair.condition, pair.mutex,
	                                  stoa_deadline_in(20 * MS)),
	              -ETIMEDOUT);
	assert_true(now_ns() - begun >= 20 * MS);
	assert_result(stoa_mutex_held(pair.mutex), 1);
	assert_ok(stoa_mutex_unlock(pair.mutex));
	assert_result(stoa_condition_signal(pair.condition), 0);
	close_pair(&pair);
}

TEST(who_gave_up_is_not_told)
{
	struct pair pair = make_pair();
	struct waiting waiting[2];
	atomic_int ended = 0;

	for (int i = 0; i < 2; i++) {
		waiting[i] = (struct waiting){
			.pair = &pair,
			.deadline =
				i ? STOA_FOREVER : stoa_deadline_in(SECOND / 5),
			.ended = &ended
		};
		atomic_init(&waiting[i].result, 1);
		pthread_create(&waiting[i].thread, NULL, wait_once,
		               &waiting[i]);
		while (status_of(pair.condition).waiters == 0 && ended == 0)
			sched_yield();
	}
	pthread_join(waiting[0].thread, NULL);
	assert_int_equal(waiting[0].result, -ETIMEDOUT);
	until_waiters(pair.condition, 1);
	assert_result(stoa_condition_signal(pair.condition), 1);
	pthread_join(waiting[1].thread, NULL);
	assert_int_equal(waiting[1].result, 0);
	close_pair(&pair);
}

/* ---- The mutex ----------------------------------------------------------------- */

TEST(a_recursive_mutex_is_unlocked_wholly_and_locked_as_often)
{
	struct pair pair = make_pair_of(1, STOA_MUTEX_RECURSIVE);
	struct waiting waiting[1];
	atomic_int ended = 0;

	for (int i = 0; i < 3; i++)
		assert_ok(stoa_mutex_lock(pair.mutex, STOA_NOW));
	assert_int_equal(pthread_create(
	                         &waiting[0].thread, NULL, wait_once,
	                         memcpy(&waiting[0],
	                                &(struct waiting){
	                                        .pair = &pair,
	                                        .deadline = STOA_NOW,
	                                        .ended = &ended },
	                                sizeof(waiting[0]))),
	                 0);
	while (ended == 0)
		assert_result(stoa_condition_wait(pair.condition, pair.mutex,
		                                  stoa_deadline_in(MS)),
		              -ETIMEDOUT);
	assert_result(stoa_mutex_held(pair.mutex), 3);
	for (int i = 0; i < 3; i++)
		assert_ok(stoa_mutex_unlock(pair.mutex));
	join(waiting, 1);
	close_pair(&pair);
}

TEST(waiting_without_the_mutex_is_refused)
{
	struct pair pair = make_pair();

	assert_result(stoa_condition_wait(pair.condition, pair.mutex,
	                                  STOA_FOREVER),
	              -EPERM);
	assert_sentence("not locked");
	assert_int_equal(status_of(pair.condition).waiters, 0);
	close_pair(&pair);
}

static void *take_and_end(void *context)
{
	struct pair *pair = context;

	require(stoa_mutex_lock(pair->mutex, STOA_FOREVER) == 0);
	require(stoa_condition_signal(pair->condition) == 1);
	return NULL;
}

TEST(who_is_told_learns_of_an_owner_that_ended)
{
	struct pair pair = make_pair();
	pthread_t thread;

	assert_ok(stoa_mutex_lock(pair.mutex, STOA_NOW));
	pthread_create(&thread, NULL, take_and_end, &pair);
	assert_result(stoa_condition_wait(pair.condition, pair.mutex,
	                                  STOA_FOREVER),
	              -EOWNERDEAD);
	pthread_join(thread, NULL);
	assert_ok(stoa_mutex_consistent(pair.mutex));
	assert_ok(stoa_mutex_unlock(pair.mutex));
	assert_int_equal(status_of(pair.condition).told, 0);
	close_pair(&pair);
}

static void *lock_and_end(void *context)
{
	struct pair *pair = context;

	require(stoa_mutex_lock(pair->mutex, STOA_FOREVER) == 0);
	return NULL;
}

static void *wait_for_lost(void *context)
{
	struct waiting *waiting = context;
	struct pair *pair = waiting->pair;

	require(stoa_mutex_lock(pair->mutex, STOA_FOREVER) == 0);
	atomic_store(&waiting->result,
	             stoa_condition_wait(pair->condition, pair->mutex,
	                                 STOA_FOREVER));
	return NULL;
}

TEST(all_who_wait_learn_one_after_the_other_that_the_mutex_is_lost)
{
	struct pair pair = make_pair();
	struct waiting waiting[3];
	atomic_int ended = 0;
	pthread_t thread;

	for (int i = 0; i < 3; i++) {
		waiting[i] = (struct waiting){ .pair = &pair, .ended = &ended };
		pthread_create(&waiting[i].thread, NULL, wait_for_lost,
		               &waiting[i]);
		until_waiters(pair.condition, (uint32_t)i + 1);
	}
	pthread_create(&thread, NULL, lock_and_end, &pair);
	pthread_join(thread, NULL);
	assert_result(stoa_mutex_lock(pair.mutex, STOA_NOW), -EOWNERDEAD);
	assert_ok(stoa_mutex_unlock(pair.mutex));
	assert_result(stoa_condition_signal(pair.condition), 1);
	join(waiting, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(waiting[i].result, -ENOTRECOVERABLE);
	close_pair(&pair);
}

/* ---- Observers ------------------------------------------------------------------- */

static void *signal_soon(void *context)
{
	struct pair *pair = context;

	require(stoa_condition_signal(pair->condition) >= 0);
	return NULL;
}

TEST(wait_any_holds_when_it_was_signalled_since)
{
	struct pair pair = make_pair();
	struct stoa_wait wait = { .kind = STOA_READABLE };
	pthread_t thread;

	wait.object = stoa_condition_object(pair.condition);
	assert_result(stoa_wait_any(&wait, 1, STOA_NOW), -EAGAIN);
	assert_result(stoa_condition_signal(pair.condition), 0);
	assert_result(stoa_wait_any(&wait, 1, STOA_FOREVER), 0);
	assert_ok(stoa_condition_count(pair.condition, &wait.amount));
	assert_int_equal(wait.amount, 1);
	assert_result(stoa_wait_any(&wait, 1, stoa_deadline_in(MS)),
	              -ETIMEDOUT);
	pthread_create(&thread, NULL, signal_soon, &pair);
	assert_result(stoa_wait_any(&wait, 1, STOA_FOREVER), 0);
	pthread_join(thread, NULL);
	wait.kind = STOA_WRITABLE;
	assert_result(stoa_wait_any(&wait, 1, STOA_NOW), -EINVAL);
	close_pair(&pair);
}

/* ---- Bounds, removal, signals ------------------------------------------------------ */

TEST(more_than_it_was_made_for_are_refused_with_the_mutex_locked)
{
	struct stoa_condition_attributes attributes = {
		.size = sizeof(attributes), .waiters = 2
	};
	struct pair pair = make_pair();
	struct waiting waiting[2];
	atomic_int ended = 0;

	stoa_condition_close(pair.condition);
	assert_ok(stoa_condition_open(pair.space, "c", STOA_CREATE, 0600,
	                              &attributes, &pair.condition));
	assert_int_equal(status_of(pair.condition).waiters_max, 2);
	start(&pair, waiting, 2, STOA_FOREVER, &ended);
	assert_ok(stoa_mutex_lock(pair.mutex, STOA_FOREVER));
	assert_result(stoa_condition_wait(pair.condition, pair.mutex,
	                                  STOA_FOREVER),
	              -EUSERS);
	assert_sentence("2 wait");
	assert_result(stoa_mutex_held(pair.mutex), 1);
	assert_ok(stoa_mutex_unlock(pair.mutex));
	assert_ok(stoa_condition_broadcast(pair.condition));
	join(waiting, 2);
	close_pair(&pair);
}

TEST(who_waits_on_a_removed_one_is_told_and_has_the_mutex)
{
	struct pair pair = make_pair_of(0, STOA_MUTEX_NORMAL);
	struct waiting waiting[THREADS];
	atomic_int ended = 0;

	start(&pair, waiting, THREADS, STOA_FOREVER, &ended);
	assert_ok(stoa_condition_remove(pair.condition));
	join(waiting, THREADS);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(waiting[i].result, -EIDRM);
	assert_result(stoa_condition_signal(pair.condition), -EIDRM);
	assert_ok(stoa_mutex_lock(pair.mutex, STOA_NOW));
	assert_result(stoa_condition_wait(pair.condition, pair.mutex,
	                                  STOA_FOREVER),
	              -EIDRM);
	assert_ok(stoa_mutex_unlock(pair.mutex));
	close_pair(&pair);
}

static void handle(int number UNUSED)
{
}

TEST(a_handler_ends_the_wait_if_asked_for)
{
	struct pair pair = make_pair();
	struct sigaction action = { .sa_handler = handle };
	struct waiting waiting[1];
	atomic_int ended = 0;

	sigaction(SIGUSR1, &action, NULL);
	stoa_condition_close(pair.condition);
	assert_ok(stoa_condition_open(pair.space, "c",
	                              STOA_CREATE | STOA_INTERRUPTIBLE, 0600,
	                              NULL, &pair.condition));
	start(&pair, waiting, 1, STOA_FOREVER, &ended);
	while (ended == 0) {
		pthread_kill(waiting[0].thread, SIGUSR1);
		sched_yield();
	}
	join(waiting, 1);
	assert_int_equal(waiting[0].result, -EINTR);
	close_pair(&pair);
}

TEST(wrong_flags_attributes_and_memory_are_refused)
{
	struct pair pair = make_pair();
	struct stoa_condition_attributes wrong = { .size = sizeof(wrong) };
	struct stoa_condition *other = (void *)&wrong;

	assert_result(stoa_condition_open(pair.space, "c",
	                                  STOA_CREATE | STOA_WRITE, 0600, NULL,
	                                  &other),
	              -EINVAL);
	wrong.waiters = STOA_CONDITION_WAITERS_MAX + 1;
	assert_result(stoa_condition_open(pair.space, "c", STOA_CREATE, 0600,
	                                  &wrong, &other),
	              -EINVAL);
	wrong.waiters = 3;
	wrong.reserved[0] = 1;
	assert_result(stoa_condition_open(pair.space, "c", STOA_CREATE, 0600,
	                                  &wrong, &other),
	              -EINVAL);
	wrong.reserved[0] = 0;
	assert_result(stoa_condition_place(pair.space, condition_memory,
	                                   STOA_CONDITION_BYTES_FOR(3) - 1,
	                                   STOA_CREATE, &wrong, &other),
	              -EINVAL);
	assert_result(stoa_condition_place(pair.space, condition_memory, 64,
	                                   STOA_CREATE, NULL, &other),
	              -EINVAL);
	assert_ok(stoa_condition_place(pair.space, condition_memory,
	                               STOA_CONDITION_BYTES_FOR(3),
	                               STOA_CREATE, &wrong, &other));
	stoa_condition_close(other);
	assert_result(stoa_condition_place(pair.space, condition_memory,
	                                   STOA_CONDITION_BYTES_FOR(2), 0, NULL,
	                                   &other),
	              -EUCLEAN);
	assert_result(stoa_condition_open(pair.space, "m", 0, 0, NULL, &other),
	              -ENOENT);
	stoa_condition_close(NULL);
	close_pair(&pair);
}

static const struct CMUnitTest cases[] = {
	CASE(each_signal_is_for_the_one_that_has_waited_longest),
	CASE(more_waiters_than_bits_of_the_mask_are_told_one_by_one),
	CASE(a_broadcast_is_for_all_who_wait_and_nobody_else),
	CASE(a_signal_with_the_mutex_locked_is_had_after_it),
	CASE(a_wait_ends_at_its_deadline_with_the_mutex),
	CASE(who_gave_up_is_not_told),
	CASE(a_recursive_mutex_is_unlocked_wholly_and_locked_as_often),
	CASE(waiting_without_the_mutex_is_refused),
	CASE(who_is_told_learns_of_an_owner_that_ended),
	CASE(all_who_wait_learn_one_after_the_other_that_the_mutex_is_lost),
	CASE(wait_any_holds_when_it_was_signalled_since),
	CASE(more_than_it_was_made_for_are_refused_with_the_mutex_locked),
	CASE(who_waits_on_a_removed_one_is_told_and_has_the_mutex),
	CASE(a_handler_ends_the_wait_if_asked_for),
	CASE(wrong_flags_attributes_and_memory_are_refused),
};

MAIN(cases)
