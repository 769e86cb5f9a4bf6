/* SPDX-License-Identifier: MIT */
/* Waiting at a barrier: rounds, who is told what, deadlines, more threads
 * than it takes, and what is refused. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

static struct stoa_barrier *make_barrier(struct stoa_space *space,
                                         const char *name, uint32_t count)
{
	struct stoa_barrier_attributes attributes = { .size = sizeof(attributes),
		                                      .count = count };
	struct stoa_barrier *barrier = NULL;

	assert_ok(stoa_barrier_open(space, name, STOA_CREATE, 0600, &attributes,
	                            &barrier));
	return barrier;
}

static struct stoa_barrier_status status_of(struct stoa_barrier *barrier)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };

	assert_ok(stoa_barrier_stat(barrier, &status));
	return status;
}

/* Threads that pass many rounds, and look whether all are in the same. */
struct crowd {
	struct stoa_barrier *barrier;
	_Atomic int passed[8];
	_Atomic int serial;
	int threads, rounds;
};

struct walker {
	struct crowd *crowd;
	int number;
	pthread_t thread;
};

static void *walk(void *context)
{
	struct walker *walker = context;
	struct crowd *crowd = walker->crowd;

	for (int round = 1; round <= crowd->rounds; round++) {
		int result;

		atomic_store(&crowd->passed[walker->number], round);
		result = stoa_barrier_wait(crowd->barrier, STOA_FOREVER);
		require(result == 0 || result == STOA_BARRIER_SERIAL);
		atomic_fetch_add(&crowd->serial, result);
		for (int i = 0; i < crowd->threads; i++) {
			int passed = atomic_load(&crowd->passed[i]);

			require(passed == round || passed == round + 1);
		}
	}
	return NULL;
}

static void walk_all(struct stoa_barrier *barrier, int threads, int rounds)
{
	struct crowd crowd = { .barrier = barrier,
		               .threads = threads,
		               .rounds = rounds };
	struct walker walkers[8];

	for (int i = 0; i < threads; i++) {
		walkers[i] = (struct walker){ &crowd, i, 0 };
		assert_int_equal(pthread_create(&walkers[i].thread, NULL, walk,
		                                &walkers[i]),
		                 0);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(walkers[i].thread, NULL);
	assert_int_equal(crowd.serial, rounds);
	assert_int_equal(status_of(barrier).rounds, rounds);
	assert_int_equal(status_of(barrier).waiting, 0);
}

TEST(nobody_passes_before_all_have_come_and_one_is_told_so)
{
	struct stoa_space *space = open_space();

	for (int threads = 1; threads <= 8; threads *= 2) {
		struct stoa_barrier *barrier =
			make_barrier(space, "b", (uint32_t)threads);

		walk_all(barrier, threads, 2000);
		stoa_barrier_close(barrier);
		assert_ok(stoa_barrier_unlink(space, "b"));
		barrier = make_barrier(space, NULL, (uint32_t)threads);
		walk_all(barrier, threads, 200);
		stoa_barrier_close(barrier);
	}
	stoa_space_close(space);
}

TEST(a_barrier_may_stand_in_the_callers_memory)
{
	enum { COUNT = 3 };
	size_t bytes = STOA_BARRIER_BYTES_FOR(COUNT);
	struct stoa_barrier_attributes attributes = { .size = sizeof(attributes),
		                                      .count = COUNT };
	struct stoa_space *space = open_space();
	struct stoa_barrier *barrier = NULL;
	struct stoa_barrier *same = NULL;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_result(stoa_barrier_place(space, memory, bytes, 0, NULL,
	                                 &barrier),
	              -EPROTO);
	assert_result(stoa_barrier_place(space, memory, bytes - 1, STOA_CREATE,
	                                 &attributes, &barrier),
	              -EINVAL);
	assert_result(stoa_barrier_place(space, memory + 4, bytes - 8,
	                                 STOA_CREATE, &attributes, &barrier),
	              -EINVAL);
	assert_ok(stoa_barrier_place(space, memory, bytes, STOA_CREATE,
	                             &attributes, &barrier));
	assert_ok(stoa_barrier_place(space, memory, bytes, 0, NULL, &same));
	assert_int_equal(status_of(same).count, COUNT);
	walk_all(same, COUNT, 500);
	assert_result(stoa_barrier_place(space, memory,
	                                 STOA_BARRIER_BYTES_FOR(COUNT - 1), 0,
	                                 NULL, &same),
	              -EUCLEAN);
	stoa_barrier_close(same);
	stoa_barrier_close(barrier);
	munmap(memory, bytes);
	stoa_space_close(space);
}

static void *wait_once(void *context)
{
	return (void *)(intptr_t)stoa_barrier_wait(context, STOA_FOREVER);
}

TEST(who_does_not_wait_has_not_come_unless_it_is_the_last)
{
	struct stoa_space *space = open_space();
	struct stoa_barrier *barrier = make_barrier(space, "b", 2);
	pthread_t thread;
	void *other;

	assert_result(stoa_barrier_wait(barrier, STOA_NOW), -EAGAIN);
	assert_result(stoa_barrier_wait(barrier, stoa_deadline_in(10 * MS)),
	              -ETIMEDOUT);
	assert_int_equal(status_of(barrier).waiting, 0);
	pthread_create(&thread, NULL, wait_once, barrier);
	while (status_of(barrier).waiting == 0)
		sched_yield();
	int result = stoa_barrier_wait(barrier, STOA_NOW);
	pthread_join(thread, &other);
	/* Either may be the first to find that both have come. */
	assert_true(result == 0 || result == STOA_BARRIER_SERIAL);
	assert_int_equal(result + (int)(intptr_t)other, STOA_BARRIER_SERIAL);
	stoa_barrier_close(barrier);
	assert_ok(stoa_barrier_unlink(space, "b"));
	stoa_space_close(space);
}

/* Pool threads over the number that it takes: each round has exactly so many,
 * also when some give up meanwhile. */
struct pool {
	struct stoa_barrier *barrier;
	_Atomic int passes, serials, stop;
};

static void *pass_often(void *context)
{
	struct pool *pool = context;

	for (int i = 0; !atomic_load(&pool->stop); i++) {
		int result = stoa_barrier_wait(
			pool->barrier,
			stoa_deadline_in(i % 3 == 0 ? 20000 : 20 * MS));

		require(result >= 0 || result == -ETIMEDOUT);
		if (result < 0)
			continue;
		atomic_fetch_add(&pool->passes, 1);
		atomic_fetch_add(&pool->serials, result);
	}
	return NULL;
}

TEST(each_round_lets_exactly_so_many_go)
{
	enum { THREADS = 7, COUNT = 3, ROUNDS = 3000 };
	struct stoa_space *space = open_space();
	struct pool pool = { .barrier = make_barrier(space, "b", COUNT) };
	pthread_t threads[THREADS];
	uint64_t rounds;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, pass_often, &pool);
	while (status_of(pool.barrier).rounds < ROUNDS)
		usleep(1000);
	atomic_store(&pool.stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	rounds = status_of(pool.barrier).rounds;
	assert_int_equal(pool.passes, rounds * COUNT);
	assert_int_equal(pool.serials, rounds);
	assert_int_equal(status_of(pool.barrier).waiting, 0);
	stoa_barrier_close(pool.barrier);
	assert_ok(stoa_barrier_unlink(space, "b"));
	stoa_space_close(space);
}

static _Atomic int seen_all_but_one;

static void *wait_for_rounds(void *context)
{
	struct stoa_wait conditions[2] = {
		{ .kind = STOA_READABLE, .object = context, .amount = 1 },
		{ .kind = STOA_WRITABLE, .object = context },
	};

	/* One has come of two; then the second round has ended. */
	require(stoa_wait_any(conditions, 2, STOA_FOREVER) == 1);
	atomic_store(&seen_all_but_one, 1);
	require(stoa_wait_any(conditions, 1, STOA_FOREVER) == 0);
	return NULL;
}

TEST(who_waits_for_any_hears_of_rounds)
{
	struct stoa_space *space = open_space();
	struct stoa_barrier *barrier = make_barrier(space, "b", 2);
	pthread_t watcher;
	pthread_t thread;

	pthread_create(&watcher, NULL, wait_for_rounds,
	               stoa_barrier_object(barrier));
	for (int round = 0; round < 2; round++) {
		pthread_create(&thread, NULL, wait_once, barrier);
		while (status_of(barrier).waiting == 0)
			sched_yield();
		while (!atomic_load(&seen_all_but_one))
			sched_yield();
		assert_good(stoa_barrier_wait(barrier, STOA_FOREVER));
		pthread_join(thread, NULL);
	}
	pthread_join(watcher, NULL);
	stoa_barrier_close(barrier);
	assert_ok(stoa_barrier_unlink(space, "b"));
	stoa_space_close(space);
}

TEST(what_makes_no_barrier_is_refused)
{
	struct stoa_barrier_attributes attributes = { .size = sizeof(attributes),
		                                      .count = 1 };
	struct stoa_space *space = open_space();
	struct stoa_barrier *barrier = NULL;
	struct stoa_rwlock *rwlock = NULL;

	assert_result(stoa_barrier_open(space, "b", 0, 0, NULL, &barrier),
	              -ENOENT);
	assert_result(stoa_barrier_open(space, "b", STOA_CREATE, 0600, NULL,
	                                &barrier),
	              -EINVAL);
	assert_sentence("size");
	attributes.count = 0;
	assert_result(stoa_barrier_open(space, "b", STOA_CREATE, 0600,
	                                &attributes, &barrier),
	              -EINVAL);
	assert_sentence("count");
	attributes.count = STOA_BARRIER_COUNT_MAX + 1;
	assert_result(stoa_barrier_open(space, "b", STOA_CREATE, 0600,
	                                &attributes, &barrier),
	              -EINVAL);
	attributes.count = 1;
	attributes.reserved[3] = 1;
	assert_result(stoa_barrier_open(space, "b", STOA_CREATE, 0600,
	                                &attributes, &barrier),
	              -EINVAL);
	attributes.reserved[3] = 0;
	assert_result(stoa_barrier_open(space, NULL, 0, 0600, &attributes,
	                                &barrier),
	              -EINVAL);
	assert_result(stoa_barrier_open(space, "b", STOA_READ, 0600,
	                                &attributes, &barrier),
	              -EINVAL);
	assert_ok(stoa_barrier_open(space, "b", STOA_CREATE, 0600, &attributes,
	                            &barrier));
	stoa_barrier_close(barrier);
	assert_result(stoa_barrier_open(space, "b",
	                                STOA_CREATE | STOA_EXCLUSIVE, 0600,
	                                &attributes, &barrier),
	              -EEXIST);
	assert_result(stoa_rwlock_open(space, "b", 0, 0, NULL, &rwlock),
	              -ENOENT);
	assert_ok(stoa_barrier_unlink(space, "b"));
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(nobody_passes_before_all_have_come_and_one_is_told_so),
	CASE(a_barrier_may_stand_in_the_callers_memory),
	CASE(who_does_not_wait_has_not_come_unless_it_is_the_last),
	CASE(each_round_lets_exactly_so_many_go),
	CASE(who_waits_for_any_hears_of_rounds),
	CASE(what_makes_no_barrier_is_refused),
};
MAIN(cases)
