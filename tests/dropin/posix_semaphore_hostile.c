/* SPDX-License-Identifier: MIT */
/* A sem_t of shared memory holds whatever others write there. Each call does
 * what the value says that it found, or refuses, and comes back by its deadline;
 * and the bytes behind the two words are nobody's concern. */
#include "dropin.h"

#include <dropin/posix_semaphore.h>
#include <sys/mman.h>

enum { LATE_MS = 1, ROUNDS = 300, BURST = 64 };

/* At the end of a page behind which nothing is. */
static sem_t *map_semaphore(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
	                MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	assert_system(mprotect(at + page, (size_t)page, PROT_NONE));
	return (sem_t *)(at + page - sizeof(sem_t));
}

static struct timespec soon(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now.tv_nsec += LATE_MS * MS;
	if (now.tv_nsec >= SECOND) {
		now.tv_nsec -= SECOND;
		now.tv_sec++;
	}
	return now;
}

static int wait_shortly(sem_t *semaphore)
{
	const struct timespec deadline = soon();

	return dropin_sem_wait(semaphore, CLOCK_MONOTONIC, &deadline);
}

static int post(sem_t *semaphore)
{
	return dropin_sem_post((struct semaphore *)semaphore);
}

static void assert_as_new(sem_t *semaphore)
{
	assert_int_equal(dropin_sem_init(semaphore, 1, 1), 0);
	assert_int_equal(wait_shortly(semaphore), 0);
	assert_int_equal(wait_shortly(semaphore), -ETIMEDOUT);
	assert_int_equal(post(semaphore), 0);
	assert_int_equal(wait_shortly(semaphore), 0);
}

static void try_words(sem_t *semaphore, uint32_t value, uint32_t waiters,
                      int32_t shared)
{
	struct semaphore *words = (struct semaphore *)semaphore;
	uint64_t data = (uint64_t)waiters << 32 | value;

	memset(semaphore, 0xff, sizeof(*semaphore));
	words->shared = shared;
	atomic_store(&words->data, data);
	assert_int_equal(wait_shortly(semaphore), value > 0 ? 0 : -ETIMEDOUT);
	assert_int_equal(SEMAPHORE_VALUE(atomic_load(&words->data)),
	                 value > 0 ? value - 1 : 0);
	atomic_store(&words->data, data);
	assert_int_equal(dropin_sem_take(words), value > 0);
	atomic_store(&words->data, data);
	assert_int_equal(post(semaphore),
	                 value >= SEMAPHORE_VALUE_MAX ? -EOVERFLOW : 0);
	assert_int_equal(SEMAPHORE_VALUE(atomic_load(&words->data)),
	                 value >= SEMAPHORE_VALUE_MAX ? value : value + 1);
	assert_int_equal(words->shared, shared);
}

TEST(each_call_does_what_the_false_words_say)
{
	static const uint32_t values[] = { 0,          1,          2,
		                           0x7ffffffe, 0x7fffffff, 0x80000000,
		                           UINT32_MAX };
	static const uint32_t waiters[] = { 0, 1, 0x7fffffff, 0x80000000,
		                            UINT32_MAX };
	static const int32_t shared[] = { 0, SEMAPHORE_SHARED, 1, -1,
		                          INT32_MIN };
	sem_t *semaphore = map_semaphore();

	for (size_t i = 0; i < LENGTH(values); i++)
		for (size_t j = 0; j < LENGTH(waiters); j++)
			for (size_t k = 0; k < LENGTH(shared); k++)
				try_words(semaphore, values[i], waiters[j],
				          shared[k]);
	assert_as_new(semaphore);
}

static void scribble_for_ever(void *context)
{
	uint32_t *words = context;
	uint64_t chance = run_seed();

	report(0);
	for (;;) {
		uint32_t *word =
			&words[random_below(&chance, sizeof(sem_t) / 4)];

		for (int i = 0; i < BURST; i++)
			__atomic_store_n(
				word,
				random_below(&chance, 2)
					? (uint32_t)random_below(&chance, 3)
					: (uint32_t)next_random(&chance),
				__ATOMIC_RELAXED);
	}
}

TEST(each_call_comes_back_while_the_words_change)
{
	sem_t *semaphore = map_semaphore();
	struct child child;

	assert_int_equal(dropin_sem_init(semaphore, 1, 0), 0);
	child = start_child(scribble_for_ever, semaphore);
	await_report(&child);
	for (int i = 0; i < ROUNDS; i++) {
		int result = wait_shortly(semaphore);

		assert_true(result == 0 || result == -ETIMEDOUT);
		result = post(semaphore);
		assert_true(result == 0 || result == -EOVERFLOW);
		dropin_sem_take((struct semaphore *)semaphore);
	}
	kill_child(&child);
	assert_as_new(semaphore);
}

static void wait_for_good(void *context)
{
	report(0);
	assert_int_equal(dropin_sem_wait(context, CLOCK_REALTIME, NULL), 0);
}

/* A false count of waiters makes posts ask the kernel in vain, and keeps none
 * from who waits. */
TEST(a_post_reaches_who_waits_under_any_count_of_waiters)
{
	static const uint32_t waiters[] = { 0, 1, 77, 0x7fffffff, UINT32_MAX };
	sem_t *semaphore = map_semaphore();
	struct semaphore *words = (struct semaphore *)semaphore;

	for (size_t i = 0; i < LENGTH(waiters); i++) {
		struct child child;

		assert_int_equal(dropin_sem_init(semaphore, 1, 0), 0);
		atomic_store(&words->data, (uint64_t)waiters[i] << 32);
		child = start_child(wait_for_good, semaphore);
		await_report(&child);
		until_blocked(child.pid);
		assert_int_equal(post(semaphore), 0);
		end_child(&child);
	}
	assert_as_new(semaphore);
}

static const struct CMUnitTest cases[] = {
	CASE(each_call_does_what_the_false_words_say),
	CASE(each_call_comes_back_while_the_words_change),
	CASE(a_post_reaches_who_waits_under_any_count_of_waiters),
};

MAIN(cases)
