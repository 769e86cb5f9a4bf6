/* SPDX-License-Identifier: MIT */
/* Sleeping on a word and a descriptor at once. */
#include "support.h"

#include <base/futex.h>
#include <base/ring.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

static struct stoa_ring *open_ring(void)
{
	struct stoa_ring *ring = NULL;
	int result = stoa_ring_open(&ring);

	if (result == -ENOSYS || result == -EPERM || result == -EINVAL)
		skip_case("no io_uring here");
	assert_ok(result);
	return ring;
}

static _Atomic uint32_t *shared_word(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	return page;
}

TEST(another_value_ends_the_wait_at_once)
{
	struct stoa_ring *ring = open_ring();
	_Atomic uint32_t *word = shared_word();

	for (int i = 0; i < 100; i++)
		assert_ok(stoa_ring_wait(ring, word, 1, -1, 60 * SECOND));
	stoa_ring_close(ring);
	munmap((void *)word, 4096);
}

TEST(the_time_runs_out_and_the_word_is_let_go)
{
	struct stoa_ring *ring = open_ring();
	_Atomic uint32_t *word = shared_word();
	int64_t began = now_ns();

	for (int i = 0; i < 20; i++)
		assert_result(stoa_ring_wait(ring, word, 0, -1, MS),
		              -ETIMEDOUT);
	assert_true(now_ns() - began >= 20 * MS);
	assert_int_equal(stoa_futex_wake(word, 1), 0); /* nobody sleeps */
	stoa_ring_close(ring);
	munmap((void *)word, 4096);
}

static void *wake_until_woken(void *argument)
{
	while (stoa_futex_wake(argument, 1) == 0)
		;
	return NULL;
}

TEST(a_wake_ends_the_wait)
{
	struct stoa_ring *ring = open_ring();
	_Atomic uint32_t *word = shared_word();

	for (int i = 0; i < 50; i++) {
		pthread_t waker;

		pthread_create(&waker, NULL, wake_until_woken, (void *)word);
		assert_ok(stoa_ring_wait(ring, word, 0, -1, 60 * SECOND));
		pthread_join(waker, NULL);
	}
	stoa_ring_close(ring);
	munmap((void *)word, 4096);
}

TEST(a_readable_descriptor_ends_the_wait)
{
	struct stoa_ring *ring = open_ring();
	_Atomic uint32_t *word = shared_word();
	int ends[2];

	assert_system(pipe2(ends, O_CLOEXEC));
	assert_result(stoa_ring_wait(ring, word, 0, ends[0], MS), -ETIMEDOUT);
	assert_ok(stoa_ring_wait(ring, word, 1, ends[0], 60 * SECOND));
	assert_system(write(ends[1], "", 1));
	assert_result(stoa_ring_wait(ring, word, 0, ends[0], 60 * SECOND), 1);
	assert_result(stoa_ring_wait(ring, word, 0, -1, MS), -ETIMEDOUT);
	stoa_ring_close(ring);
	close(ends[0]);
	close(ends[1]);
	munmap((void *)word, 4096);
}

static const struct CMUnitTest cases[] = {
	CASE(another_value_ends_the_wait_at_once),
	CASE(the_time_runs_out_and_the_word_is_let_go),
	CASE(a_wake_ends_the_wait),
	CASE(a_readable_descriptor_ends_the_wait),
};

MAIN(cases)
