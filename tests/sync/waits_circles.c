/* SPDX-License-Identifier: MIT */
/* Circles of waits over several kinds of lock, and what others see of them. */
#include "range_lock.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

struct pair {
	struct stoa_mutex *mutex;
	struct stoa_range_lock *lock;
};

static struct stoa_mutex *make_mutex(struct stoa_space *space,
                                     enum stoa_mutex_kind kind)
{
	struct stoa_mutex_attributes attributes = { .size = sizeof(attributes),
		                                    .kind = kind };
	struct stoa_mutex *mutex;

	assert_ok(stoa_mutex_open(space, "m", STOA_CREATE, 0600, &attributes,
	                          &mutex));
	return mutex;
}

static struct pair make_pair(struct stoa_space *space,
                             enum stoa_mutex_kind kind)
{
	return (struct pair){ make_mutex(space, kind),
		              make_range_lock(space, "l", 0) };
}

static void put_pair_away(struct stoa_space *space, struct pair *pair)
{
	stoa_mutex_close(pair->mutex);
	assert_ok(stoa_mutex_unlink(space, "m"));
	close_range_lock(space, pair->lock, "l");
}

/* Has the mutex, asks for the range. */
static void mutex_first(void *context)
{
	struct pair *pair = context;
	int result;

	assert_ok(stoa_mutex_lock(pair->mutex, STOA_NOW));
	report(0);
	await_order();
	result = stoa_range_lock_lock(pair->lock, NULL, STOA_FOREVER);
	if (result == -EDEADLK)
		assert_sentence("m.mutex");
	report(result);
	await_order();
	assert_ok(stoa_mutex_unlock(pair->mutex));
	stoa_range_lock_unlock(pair->lock, NULL);
	report(0);
}

/* Has the range, asks for the mutex. */
static void range_first(void *context)
{
	struct pair *pair = context;
	int result;

	assert_ok(stoa_range_lock_lock(pair->lock, NULL, STOA_NOW));
	report(0);
	await_order();
	result = stoa_mutex_lock(pair->mutex, STOA_FOREVER);
	if (result == -EDEADLK) {
		assert_sentence("m.mutex");
		assert_sentence("l.range_lock [0, end)");
	}
	report(result);
	await_order();
	assert_ok(stoa_range_lock_unlock(pair->lock, NULL));
	if (result == 0)
		assert_ok(stoa_mutex_unlock(pair->mutex));
	report(0);
}

static void finish(struct child *child)
{
	give_order(child, 0);
	assert_int_equal(await_report(child), 0);
	end_child(child);
}

TEST(a_checked_mutex_that_closes_a_circle_is_refused)
{
	struct stoa_space *space = open_space();
	struct pair pair = make_pair(space, STOA_MUTEX_CHECKED);
	struct child first = start_child(mutex_first, &pair);
	struct child second = start_child(range_first, &pair);

	await_report(&first);
	await_report(&second);
	give_order(&first, 0);
	until_shown(space, 1);
	give_order(&second, 0);
	assert_int_equal(await_report(&second), -EDEADLK);
	finish(&second);
	assert_int_equal(await_report(&first), 0);
	finish(&first);
	put_pair_away(space, &pair);
}

/* A mutex of a kind that isn't refused closes it: the other one is. */
TEST(if_who_closes_a_circle_cannot_be_refused_another_is)
{
	struct stoa_space *space = open_space();
	struct pair pair = make_pair(space, STOA_MUTEX_NORMAL);
	struct child first = start_child(mutex_first, &pair);
	struct child second = start_child(range_first, &pair);

	await_report(&first);
	await_report(&second);
	give_order(&first, 0);
	until_shown(space, 1);
	give_order(&second, 0);
	assert_int_equal(await_report(&first), -EDEADLK);
	finish(&first);
	assert_int_equal(await_report(&second), 0);
	finish(&second);
	put_pair_away(space, &pair);
}

static void *lock_in_thread(void *context)
{
	struct pair *pair = context;
	int result;

	require(stoa_range_lock_lock(pair->lock, NULL, STOA_NOW) == 0);
	result = stoa_mutex_lock(pair->mutex, STOA_FOREVER);
	require(stoa_range_lock_unlock(pair->lock, NULL) == 0);
	if (result == 0)
		require(stoa_mutex_unlock(pair->mutex) == 0);
	return (void *)(intptr_t)result;
}

TEST(threads_of_one_process_close_circles_too)
{
	struct stoa_space *space = open_space();
	struct pair pair = make_pair(space, STOA_MUTEX_CHECKED);
	struct stoa_range_lock *mine = make_range_lock(space, "l", 0);
	pthread_t thread;
	void *other;
	int result;

	assert_ok(stoa_mutex_lock(pair.mutex, STOA_NOW));
	assert_int_equal(pthread_create(&thread, NULL, lock_in_thread, &pair),
	                 0);
	until_shown(space, 1);
	result = stoa_range_lock_lock(mine, NULL, STOA_FOREVER);
	assert_int_equal(result, -EDEADLK);
	assert_ok(stoa_mutex_unlock(pair.mutex));
	assert_int_equal(pthread_join(thread, &other), 0);
	assert_int_equal((intptr_t)other, 0);
	stoa_range_lock_close(mine);
	put_pair_away(space, &pair);
}

static int keep_waiting(const struct stoa_waiting *waiting, void *context)
{
	*(struct stoa_waiting *)context = *waiting;
	return 1;
}

TEST(a_wait_is_shown_with_who_and_since_when_and_then_no_more)
{
	struct stoa_space *space = open_space();
	struct pair pair = make_pair(space, STOA_MUTEX_NORMAL);
	struct stoa_waiting waiting;
	struct timespec now;
	struct child child;
	int shown = 0;

	child = start_child(range_first, &pair);
	await_report(&child);
	assert_ok(stoa_mutex_lock(pair.mutex, STOA_NOW));
	give_order(&child, 0);
	until_shown(space, 1);
	assert_result(stoa_space_each_waiting(space, 0, keep_waiting, &waiting),
	              1);
	assert_string_equal(waiting.name, "m.mutex");
	assert_int_equal(waiting.pid, child.pid);
	assert_int_equal(waiting.tid, child.pid);
	assert_int_equal(waiting.blockers, 1);
	assert_int_equal(waiting.blocker_pid[0], getpid());
	clock_gettime(CLOCK_REALTIME, &now);
	assert_true(waiting.since_ns <= now.tv_sec * SECOND + now.tv_nsec);
	assert_true(waiting.since_ns > (now.tv_sec - 60) * SECOND);
	assert_result(stoa_space_each_waiting(space, waiting.generation,
	                                      keep_waiting, &waiting),
	              1);
	assert_result(stoa_space_each_waiting(space, waiting.generation ^ 2,
	                                      keep_waiting, &waiting),
	              0);
	assert_ok(stoa_mutex_unlock(pair.mutex));
	assert_int_equal(await_report(&child), 0);
	assert_good(stoa_space_each_waiting(space, 0, count_waiting, &shown));
	assert_int_equal(shown, 0);
	finish(&child);
	put_pair_away(space, &pair);
}

struct rw_pair {
	struct stoa_rwlock *rwlock;
	struct stoa_range_lock *lock;
	bool reads;
};

/* Has the rwlock, asks for the range. */
static void rwlock_first(void *context)
{
	struct rw_pair *pair = context;
	int result;

	assert_ok(pair->reads ? stoa_rwlock_lock_read(pair->rwlock, STOA_NOW) :
	                        stoa_rwlock_lock_write(pair->rwlock, STOA_NOW));
	report(0);
	await_order();
	result = stoa_range_lock_lock(pair->lock, NULL, STOA_FOREVER);
	if (result == -EDEADLK)
		assert_sentence("r.rwlock");
	report(result);
	await_order();
	assert_ok(stoa_rwlock_unlock(pair->rwlock));
	report(0);
}

static void run_rw_circle(struct stoa_space *space, struct rw_pair *pair)
{
	struct child child = start_child(rwlock_first, pair);
	struct stoa_range_lock_status status = { .size = sizeof(status) };

	await_report(&child);
	assert_ok(stoa_range_lock_lock(pair->lock, NULL, STOA_NOW));
	give_order(&child, 0);
	until_shown(space, 1);
	/* This one can't be refused; the child is, and gives its own up. */
	give_order(&child, 0);
	assert_ok(pair->reads ?
	                  stoa_rwlock_lock_write(pair->rwlock, STOA_FOREVER) :
	                  stoa_rwlock_lock_read(pair->rwlock, STOA_FOREVER));
	assert_int_equal(await_report(&child), -EDEADLK);
	assert_int_equal(await_report(&child), 0);
	end_child(&child);
	assert_ok(stoa_rwlock_unlock(pair->rwlock));
	assert_ok(stoa_range_lock_unlock(pair->lock, NULL));
	assert_ok(stoa_range_lock_stat(pair->lock, &status));
	assert_int_equal(status.ranges, 0);
}

TEST(readers_and_writers_are_part_of_circles)
{
	struct stoa_space *space = open_space();
	struct rw_pair pair = { .lock = make_range_lock(space, "l", 0) };

	assert_ok(stoa_rwlock_open(space, "r", STOA_CREATE, 0600, NULL,
	                           &pair.rwlock));
	run_rw_circle(space, &pair);
	pair.reads = true;
	run_rw_circle(space, &pair);
	stoa_rwlock_close(pair.rwlock);
	assert_ok(stoa_rwlock_unlink(space, "r"));
	close_range_lock(space, pair.lock, "l");
}

/* ---- Foreign bytes ------------------------------------------------------------ */

static void scribble(struct stoa_space *space, uint64_t *random)
{
	char path[4096], bytes[256];
	int fd;

	snprintf(path, sizeof(path), "%s/.waits.0", stoa_space_path(space));
	fd = (int)assert_system(open(path, O_WRONLY | O_CLOEXEC));
	for (int i = 0; i < 64; i++) {
		fill_pattern(bytes, sizeof(bytes), next_random(random));
		assert_system(pwrite(fd, bytes,
		                     1 + random_below(random, sizeof(bytes) - 1),
		                     (off_t)random_below(random, 1 << 20)));
	}
	close(fd);
}

TEST(scribbled_waits_harm_nobody)
{
	struct stoa_space *space = open_space();
	struct pair pair = make_pair(space, STOA_MUTEX_CHECKED);
	uint64_t random = run_seed();

	for (int i = 0; i < 5; i++) {
		struct child first = start_child(mutex_first, &pair);
		int shown = 0;

		await_report(&first);
		assert_ok(stoa_range_lock_lock(pair.lock, NULL, STOA_NOW));
		give_order(&first, 0);
		until_shown(space, 1);
		scribble(space, &random);
		assert_good(stoa_space_each_waiting(space, 0, count_waiting,
		                                    &shown));
		assert_in_range(shown, 0, 1);
		/* It tells again, so the circle is found all the same. */
		assert_result(stoa_mutex_lock(pair.mutex, STOA_FOREVER),
		              -EDEADLK);
		assert_ok(stoa_range_lock_unlock(pair.lock, NULL));
		assert_int_equal(await_report(&first), 0);
		finish(&first);
	}
	put_pair_away(space, &pair);
}

TEST(a_file_that_is_no_wait_file_is_left_alone)
{
	struct stoa_space *space = open_space();
	struct pair pair = make_pair(space, STOA_MUTEX_CHECKED);
	struct child first;
	char path[4096];

	snprintf(path, sizeof(path), "%s/.waits.0", stoa_space_path(space));
	assert_system(mkfifo(path, 0600));
	first = start_child(mutex_first, &pair);
	await_report(&first);
	assert_ok(stoa_range_lock_lock(pair.lock, NULL, STOA_NOW));
	give_order(&first, 0);
	assert_result(stoa_mutex_lock(pair.mutex, stoa_deadline_in(200 * MS)),
	              -ETIMEDOUT);
	assert_ok(stoa_range_lock_unlock(pair.lock, NULL));
	assert_int_equal(await_report(&first), 0);
	finish(&first);
	assert_system(unlink(path));
	put_pair_away(space, &pair);
}

static const struct CMUnitTest cases[] = {
	CASE(a_checked_mutex_that_closes_a_circle_is_refused),
	CASE(if_who_closes_a_circle_cannot_be_refused_another_is),
	CASE(threads_of_one_process_close_circles_too),
	CASE(a_wait_is_shown_with_who_and_since_when_and_then_no_more),
	CASE(readers_and_writers_are_part_of_circles),
	CASE(scribbled_waits_harm_nobody),
	CASE(a_file_that_is_no_wait_file_is_left_alone),
};

MAIN(cases)
