/* SPDX-License-Identifier: MIT */
/* Rwlocks and barriers in memory that a peer scribbles over: whatever it says,
 * calls return by their deadlines, and nothing is touched outside. */
#include "support.h"

#include <stdatomic.h>
#include <sync/rwlock_layout.h>
#include <sys/mman.h>

enum { ROUNDS = 400, READERS = 4, COUNT = 3, EDGE = 4096 };

struct victim {
	struct stoa_space *space;
	uint64_t *memory; /* between two pages that can't be touched */
	size_t bytes;
};

/* What may be read at all must not be read beyond. */
static struct victim map_between_walls(size_t bytes)
{
	struct victim victim = { .space = open_space(), .bytes = bytes };
	size_t room = (bytes + EDGE - 1) / EDGE * EDGE;
	char *base = mmap(NULL, room + EDGE, PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(base, MAP_FAILED);
	assert_system(mprotect(base + room, EDGE, PROT_NONE));
	victim.memory = (void *)(base + room - bytes);
	return victim;
}

static uint64_t any_word(uint64_t *random, const struct victim *victim)
{
	switch (random_below(random, 6)) {
	case 0: return 0;
	case 1: return next_random(random);
	case 2: return UINT64_C(1) << random_below(random, 64);
	case 3: return UINT64_MAX;
	case 4: return random_below(random, 5);
	default:
		return victim->memory[random_below(random, victim->bytes / 8)];
	}
}

/* The removed bit would end everything, so the events are let alone. */
static void scribble_for_ever(void *context)
{
	struct victim *victim = context;
	uint64_t random = run_seed();
	uint64_t first = 3;

	report(0);
	for (;;) {
		uint64_t at = first + random_below(&random,
		                                   victim->bytes / 8 - first);

		__atomic_store_n(&victim->memory[at],
		                 any_word(&random, victim), __ATOMIC_RELAXED);
	}
}

static int see_user(const struct stoa_rwlock_user *user, void *context)
{
	*(uint64_t *)context += user->peer;
	return 0;
}

static void use_rwlock(struct stoa_rwlock *rwlock, uint64_t *random)
{
	struct stoa_deadline deadline =
		random_below(random, 2) ? STOA_NOW : stoa_deadline_in(MS / 4);
	struct stoa_rwlock_status status = { .size = sizeof(status) };
	uint64_t seen = 0;
	int result;

	switch (random_below(random, 4)) {
	case 0: result = stoa_rwlock_lock_write(rwlock, deadline); break;
	case 1: result = stoa_rwlock_stat(rwlock, &status); break;
	case 2:
		result = stoa_rwlock_each_holder(rwlock, see_user, &seen);
		stoa_rwlock_each_waiter(rwlock, see_user, &seen);
		break;
	default: result = stoa_rwlock_lock_read(rwlock, deadline); break;
	}
	if (result == -EOWNERDEAD)
		stoa_rwlock_consistent(rwlock);
	if (random_below(random, 4) == 0)
		stoa_rwlock_upgrade(rwlock);
	if (random_below(random, 4) == 0)
		stoa_rwlock_downgrade(rwlock);
	while (stoa_rwlock_held(rwlock) > 0)
		stoa_rwlock_unlock(rwlock);
}

TEST(a_scribbled_rwlock_does_no_harm)
{
	uint64_t random = run_seed();

	for (uint32_t preference = 0; preference < 2; preference++) {
		struct victim victim =
			map_between_walls(STOA_RWLOCK_BYTES_FOR(READERS));
		struct stoa_rwlock_attributes attributes = {
			.size = sizeof(attributes),
			.preference = preference,
			.readers = READERS,
		};
		struct stoa_rwlock *rwlock;
		struct stoa_rwlock *other;
		struct child child;

		assert_ok(stoa_rwlock_place(victim.space, victim.memory,
		                            victim.bytes, STOA_CREATE,
		                            &attributes, &rwlock));
		child = start_child(scribble_for_ever, &victim);
		assert_int_equal(await_report(&child), 0);
		for (int i = 0; i < ROUNDS; i++) {
			use_rwlock(rwlock, &random);
			if (stoa_rwlock_place(victim.space, victim.memory,
			                      victim.bytes, 0, NULL,
			                      &other) == 0) {
				use_rwlock(other, &random);
				stoa_rwlock_close(other);
			}
		}
		kill_child(&child);
		stoa_rwlock_close(rwlock);
		stoa_space_close(victim.space);
	}
}

static int see_waiter(const struct stoa_barrier_waiter *waiter, void *context)
{
	*(uint64_t *)context += waiter->peer;
	return 0;
}

/* Since when it is held is worked out from an instant that is foreign. */
TEST(an_instant_before_all_time_is_not_believed)
{
	struct victim victim = map_between_walls(STOA_RWLOCK_BYTES);
	struct rwlock_shared *shared = (void *)victim.memory;
	struct stoa_rwlock_status status = { .size = sizeof(status) };
	struct stoa_rwlock *rwlock;
	struct timespec now;

	assert_ok(stoa_rwlock_place(victim.space, victim.memory, victim.bytes,
	                            STOA_CREATE, NULL, &rwlock));
	stoa_rwlock_close(rwlock);
	shared->made_ns = INT64_MIN;
	assert_ok(stoa_rwlock_place(victim.space, victim.memory, victim.bytes,
	                            0, NULL, &rwlock));
	assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
	assert_ok(stoa_rwlock_stat(rwlock, &status));
	clock_gettime(CLOCK_REALTIME, &now);
	assert_in_range(status.writer_since_ns / SECOND, now.tv_sec - 3600,
	                now.tv_sec + 3600);
	stoa_rwlock_close(rwlock);
	stoa_space_close(victim.space);
}

TEST(a_scribbled_barrier_does_no_harm)
{
	uint64_t random = run_seed();

	for (uint32_t death = 0; death < 2; death++) {
		struct victim victim =
			map_between_walls(STOA_BARRIER_BYTES_FOR(COUNT));
		struct stoa_barrier_attributes attributes = {
			.size = sizeof(attributes),
			.count = COUNT,
			.death = death,
		};
		struct stoa_barrier_status status = { .size = sizeof(status) };
		struct stoa_barrier *barrier;
		struct stoa_barrier *other;
		struct child child;
		uint64_t seen = 0;

		assert_ok(stoa_barrier_place(victim.space, victim.memory,
		                             victim.bytes, STOA_CREATE,
		                             &attributes, &barrier));
		child = start_child(scribble_for_ever, &victim);
		assert_int_equal(await_report(&child), 0);
		for (int i = 0; i < ROUNDS; i++) {
			stoa_barrier_wait(barrier,
			                  random_below(&random, 2)
			                          ? STOA_NOW
			                          : stoa_deadline_in(MS / 4));
			stoa_barrier_stat(barrier, &status);
			stoa_barrier_each_waiter(barrier, see_waiter, &seen);
			if (stoa_barrier_place(victim.space, victim.memory,
			                       victim.bytes, 0, NULL,
			                       &other) == 0) {
				stoa_barrier_wait(other, STOA_NOW);
				stoa_barrier_close(other);
			}
		}
		kill_child(&child);
		stoa_barrier_close(barrier);
		stoa_space_close(victim.space);
	}
}

static const struct CMUnitTest cases[] = {
	CASE(a_scribbled_rwlock_does_no_harm),
	CASE(an_instant_before_all_time_is_not_believed),
	CASE(a_scribbled_barrier_does_no_harm),
};
MAIN(cases)
