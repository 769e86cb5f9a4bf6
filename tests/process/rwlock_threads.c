/* SPDX-License-Identifier: MIT */
/* Readers and writers as threads, on plain memory: the thread sanitizer sees
 * whether the lock orders what it should. */
#include "support.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 4000 };

struct shared {
	struct stoa_rwlock *rwlock;
	uint64_t left, right; /* equal, and plain */
};

struct worker {
	struct shared *shared;
	uint64_t random;
	uint64_t written;
	pthread_t thread;
};

static void *work(void *context)
{
	struct worker *worker = context;
	struct shared *shared = worker->shared;
	struct stoa_rwlock *rwlock = shared->rwlock;

	for (int i = 0; i < ROUNDS; i++) {
		bool write = random_below(&worker->random, 3) == 0;

		if (write)
			require(stoa_rwlock_lock_write(rwlock, STOA_FOREVER) ==
			        0);
		else
			require(stoa_rwlock_lock_read(rwlock, STOA_FOREVER) ==
			        0);
		if (!write && random_below(&worker->random, 4) == 0)
			write = stoa_rwlock_upgrade(rwlock) == 0;
		require(shared->left == shared->right);
		if (write) {
			shared->left++;
			shared->right++;
			worker->written++;
			if (random_below(&worker->random, 4) == 0)
				require(stoa_rwlock_downgrade(rwlock) == 0);
		}
		require(shared->left == shared->right);
		require(stoa_rwlock_unlock(rwlock) == 0);
	}
	return NULL;
}

TEST(threads_see_what_others_wrote_before_unlocking)
{
	struct stoa_space *space = open_space();
	uint64_t seed = run_seed();

	for (uint32_t kind = 0; kind < 4; kind++) {
		struct stoa_rwlock_attributes attributes = {
			.size = sizeof(attributes),
			.preference = kind % 2,
			.readers = kind / 2 ? 2 : 0,
		};
		struct shared shared = { 0 };
		struct worker workers[THREADS];
		uint64_t written = 0;

		assert_ok(stoa_rwlock_open(space, "lock", STOA_CREATE, 0600,
		                           &attributes, &shared.rwlock));
		for (int i = 0; i < THREADS; i++) {
			workers[i] = (struct worker){
				.shared = &shared, .random = next_random(&seed)
			};
			pthread_create(&workers[i].thread, NULL, work,
			               &workers[i]);
		}
		for (int i = 0; i < THREADS; i++) {
			pthread_join(workers[i].thread, NULL);
			written += workers[i].written;
		}
		assert_int_equal(shared.left, written);
		stoa_rwlock_close(shared.rwlock);
		assert_ok(stoa_rwlock_unlink(space, "lock"));
	}
	stoa_space_close(space);
}

static const struct CMUnitTest cases[] = {
	CASE(threads_see_what_others_wrote_before_unlocking),
};
MAIN(cases)
