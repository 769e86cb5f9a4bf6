/* SPDX-License-Identifier: MIT */
/* Locking an rwlock for reading and writing: who may have it beside whom,
 * recursion, up- and downgrades, in each of the three places. */
#include "support.h"

#include <pthread.h>
#include <sys/mman.h>

enum place { NAMED, UNNAMED, PLACED, PLACES };

static void *memory; /* of the placed one */
static size_t memory_bytes;

static struct stoa_rwlock *make_rwlock(struct stoa_space *space,
                                       enum place place, uint32_t preference,
                                       uint32_t readers)
{
	struct stoa_rwlock_attributes attributes = {
		.size = sizeof(attributes),
		.preference = preference,
		.readers = readers,
	};
	struct stoa_rwlock *rwlock = NULL;

	if (place != PLACED) {
		assert_ok(stoa_rwlock_open(space,
		                           place == NAMED ? "lock" : NULL,
		                           STOA_CREATE, 0600, &attributes,
		                           &rwlock));
		return rwlock;
	}
	memory_bytes = STOA_RWLOCK_BYTES_FOR(readers ? readers : 16);
	memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE,
	              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 0xee, memory_bytes);
	assert_ok(stoa_rwlock_place(space, memory, memory_bytes, STOA_CREATE,
	                            &attributes, &rwlock));
	return rwlock;
}

static void put_away(struct stoa_space *space, enum place place,
                     struct stoa_rwlock *rwlock)
{
	stoa_rwlock_close(rwlock);
	if (place == NAMED)
		assert_ok(stoa_rwlock_unlink(space, "lock"));
	if (place == PLACED)
		munmap(memory, memory_bytes);
}

static struct stoa_rwlock_status status_of(struct stoa_rwlock *rwlock)
{
	struct stoa_rwlock_status status = { .size = sizeof(status) };

	assert_ok(stoa_rwlock_stat(rwlock, &status));
	return status;
}

/* What another thread gets that tries, and lets go again at once. */
struct attempt {
	struct stoa_rwlock *rwlock;
	int write;
	int result;
};

static void *run_attempt(void *context)
{
	struct attempt *attempt = context;

	attempt->result =
		attempt->write
			? stoa_rwlock_lock_write(attempt->rwlock, STOA_NOW)
			: stoa_rwlock_lock_read(attempt->rwlock, STOA_NOW);
	if (attempt->result == 0)
		require(stoa_rwlock_unlock(attempt->rwlock) == 0);
	return NULL;
}

static int other_tries(struct stoa_rwlock *rwlock, int write)
{
	struct attempt attempt = { rwlock, write, 0 };
	pthread_t thread;

	require(pthread_create(&thread, NULL, run_attempt, &attempt) == 0);
	require(pthread_join(thread, NULL) == 0);
	return attempt.result;
}

#define EACH_KIND(space, rwlock, readers, body)                             \
	for (int kind_ = 0; kind_ < 2 * PLACES; kind_++) {                  \
		struct stoa_space *space = open_space();                    \
		struct stoa_rwlock *rwlock = make_rwlock(                   \
			space, (enum place)(kind_ / 2), (uint32_t)kind_ % 2, \
			readers);                                           \
		body put_away(space, (enum place)(kind_ / 2), rwlock);      \
		stoa_space_close(space);                                    \
	}

TEST(readers_share_and_a_writer_excludes)
{
	EACH_KIND(space, rwlock, 0, {
		assert_int_equal(status_of(rwlock).state, STOA_RWLOCK_FREE);
		assert_ok(stoa_rwlock_lock_read(rwlock, STOA_FOREVER));
		assert_int_equal(status_of(rwlock).state, STOA_RWLOCK_READ);
		assert_int_equal(stoa_rwlock_held(rwlock), STOA_READ);
		assert_int_equal(other_tries(rwlock, 0), 0);
		assert_int_equal(other_tries(rwlock, 1), -EAGAIN);
		assert_int_equal(other_tries(rwlock, 0), 0);
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_int_equal(other_tries(rwlock, 1), 0);
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_FOREVER));
		assert_int_equal(status_of(rwlock).state,
		                 STOA_RWLOCK_WRITTEN);
		assert_int_equal(status_of(rwlock).writer_pid, getpid());
		assert_int_equal(status_of(rwlock).writer_tid, gettid());
		assert_int_equal(stoa_rwlock_held(rwlock), STOA_WRITE);
		assert_int_equal(other_tries(rwlock, 0), -EAGAIN);
		assert_int_equal(other_tries(rwlock, 1), -EAGAIN);
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_int_equal(other_tries(rwlock, 1), 0);
		assert_int_equal(stoa_rwlock_held(rwlock), 0);
	})
}

TEST(a_reader_may_lock_again_and_unlocks_as_often)
{
	EACH_KIND(space, rwlock, 2, {
		for (int i = 0; i < 5; i++)
			assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
		assert_int_equal(status_of(rwlock).readers, 1);
		for (int i = 0; i < 5; i++) {
			assert_int_equal(other_tries(rwlock, 1), -EAGAIN);
			assert_ok(stoa_rwlock_unlock(rwlock));
		}
		assert_int_equal(other_tries(rwlock, 1), 0);
		assert_result(stoa_rwlock_unlock(rwlock), -EPERM);
		assert_sentence("hasn't locked");
	})
}

TEST(who_has_it_is_told_of_a_deadlock_with_itself)
{
	EACH_KIND(space, rwlock, 0, {
		assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
		assert_result(stoa_rwlock_lock_write(rwlock, STOA_FOREVER),
		              -EDEADLK);
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		assert_result(stoa_rwlock_lock_write(rwlock, STOA_FOREVER),
		              -EDEADLK);
		assert_result(stoa_rwlock_lock_read(rwlock, STOA_FOREVER),
		              -EDEADLK);
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_int_equal(other_tries(rwlock, 1), 0);
	})
}

TEST(another_handle_of_the_same_thread_is_told_of_the_deadlock_too)
{
	struct stoa_space *space = open_space();
	struct stoa_rwlock *first = make_rwlock(space, NAMED, 0, 0);
	struct stoa_rwlock *second;

	assert_ok(stoa_rwlock_open(space, "lock", 0, 0, NULL, &second));
	assert_ok(stoa_rwlock_lock_read(first, STOA_NOW));
	assert_result(stoa_rwlock_lock_write(second, STOA_FOREVER), -EDEADLK);
	assert_ok(stoa_rwlock_lock_read(second, STOA_NOW));
	assert_ok(stoa_rwlock_unlock(first));
	assert_result(stoa_rwlock_unlock(first), -EPERM);
	assert_int_equal(other_tries(first, 1), -EAGAIN);
	assert_ok(stoa_rwlock_unlock(second));
	assert_ok(stoa_rwlock_lock_write(second, STOA_NOW));
	assert_result(stoa_rwlock_lock_read(first, STOA_FOREVER), -EDEADLK);
	assert_result(stoa_rwlock_unlock(first), -EPERM);
	assert_ok(stoa_rwlock_unlock(second));
	stoa_rwlock_close(second);
	put_away(space, NAMED, first);
	stoa_space_close(space);
}

TEST(a_writer_downgrades_and_a_lone_reader_upgrades)
{
	EACH_KIND(space, rwlock, 0, {
		assert_result(stoa_rwlock_downgrade(rwlock), -EPERM);
		assert_result(stoa_rwlock_upgrade(rwlock), -EPERM);
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		assert_ok(stoa_rwlock_downgrade(rwlock));
		assert_int_equal(other_tries(rwlock, 0), 0);
		assert_int_equal(other_tries(rwlock, 1), -EAGAIN);
		assert_ok(stoa_rwlock_upgrade(rwlock));
		assert_int_equal(other_tries(rwlock, 0), -EAGAIN);
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
		assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
		assert_result(stoa_rwlock_upgrade(rwlock), -EINVAL);
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_int_equal(other_tries(rwlock, 1), 0);
	})
}

static void *upgrade_beside_another(void *context)
{
	struct stoa_rwlock *rwlock = context;

	require(stoa_rwlock_lock_read(rwlock, STOA_NOW) == 0);
	require(stoa_rwlock_upgrade(rwlock) == -EAGAIN);
	require(stoa_rwlock_held(rwlock) == STOA_READ);
	require(stoa_rwlock_unlock(rwlock) == 0);
	return NULL;
}

TEST(nobody_upgrades_beside_another_reader)
{
	EACH_KIND(space, rwlock, 0, {
		pthread_t thread;

		assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
		assert_int_equal(pthread_create(&thread, NULL,
		                                upgrade_beside_another, rwlock),
		                 0);
		pthread_join(thread, NULL);
		assert_ok(stoa_rwlock_upgrade(rwlock));
		assert_ok(stoa_rwlock_unlock(rwlock));
	})
}

static void *read_until_told(void *context)
{
	struct stoa_rwlock *rwlock = context;

	require(stoa_rwlock_lock_read(rwlock, STOA_FOREVER) == 0);
	require(stoa_rwlock_unlock(rwlock) == 0);
	return NULL;
}

TEST(as_many_read_at_once_as_there_is_room_for)
{
	EACH_KIND(space, rwlock, 1, {
		pthread_t thread;

		assert_int_equal(status_of(rwlock).readers_max, 1);
		assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
		assert_int_equal(other_tries(rwlock, 0), -EAGAIN);
		assert_int_equal(pthread_create(&thread, NULL, read_until_told,
		                                rwlock),
		                 0);
		while (status_of(rwlock).readers_waiting == 0)
			sched_yield();
		assert_ok(stoa_rwlock_unlock(rwlock));
		pthread_join(thread, NULL);
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		assert_ok(stoa_rwlock_downgrade(rwlock));
		assert_ok(stoa_rwlock_unlock(rwlock));
	})
}

TEST(a_deadline_ends_a_wait)
{
	EACH_KIND(space, rwlock, 0, {
		struct child child;

		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		child.pid = fork();
		if (child.pid == 0) {
			int result = stoa_rwlock_lock_read(
				rwlock, stoa_deadline_in(20 * MS));

			if (result == -ETIMEDOUT)
				result = stoa_rwlock_lock_write(
					rwlock, stoa_deadline_in(20 * MS));
			_exit(result == -ETIMEDOUT ? 0 : 1);
		}
		child = watch_child(child.pid);
		end_child(&child);
		assert_int_equal(status_of(rwlock).readers_waiting, 0);
		assert_int_equal(status_of(rwlock).writers_waiting, 0);
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_ok(stoa_rwlock_lock_read(rwlock, STOA_NOW));
		assert_int_equal(other_tries(rwlock, 0), 0);
		assert_ok(stoa_rwlock_unlock(rwlock));
	})
}

static const struct CMUnitTest cases[] = {
	CASE(readers_share_and_a_writer_excludes),
	CASE(a_reader_may_lock_again_and_unlocks_as_often),
	CASE(who_has_it_is_told_of_a_deadlock_with_itself),
	CASE(another_handle_of_the_same_thread_is_told_of_the_deadlock_too),
	CASE(a_writer_downgrades_and_a_lone_reader_upgrades),
	CASE(nobody_upgrades_beside_another_reader),
	CASE(as_many_read_at_once_as_there_is_room_for),
	CASE(a_deadline_ends_a_wait),
};
MAIN(cases)
