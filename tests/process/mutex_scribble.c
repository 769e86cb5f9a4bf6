/* SPDX-License-Identifier: MIT */
/* Mutexes and conditions whose memory somebody writes over with anything, all
 * the time: whoever uses them returns by the deadline, and is never harmed. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { THREADS = 3, ROUNDS = 5000, MEMORY = 1024, HEAD = 24, PATIENCE_MS = 1 };

struct field {
	struct stoa_space *space;
	char *memory;
	struct stoa_mutex *mutex;
	struct stoa_condition *condition;
};

/* What stands behind struct stoa_place, which is checked at open. */
static void scribble(void *context)
{
	char *memory = context;
	uint64_t seed = run_seed();

	for (;;) {
		uint64_t at = random_below(&seed, MEMORY / 8);
		uint64_t word = next_random(&seed);

		if (at * 8 % (MEMORY / 2) < HEAD)
			continue;
		if (word % 4 == 0)
			word = 0;
		else if (word % 4 == 1)
			word &= UINT64_C(0x8001000100010001);
		atomic_store((_Atomic uint64_t *)(memory + at * 8), word);
	}
}

static int nothing(const struct stoa_mutex_waiter *waiter UNUSED,
                   void *context UNUSED)
{
	return 0;
}

static int no_more(const struct stoa_condition_waiter *waiter UNUSED,
                   void *context UNUSED)
{
	return 0;
}

static void use(struct field *field, int what)
{
	struct stoa_mutex_status status = { .size = sizeof(status) };
	struct stoa_condition_status numbers = { .size = sizeof(numbers) };
	struct stoa_deadline soon = stoa_deadline_in(PATIENCE_MS * MS);

	switch (what % 8) {
	case 0: stoa_mutex_lock(field->mutex, soon); break;
	case 1: stoa_mutex_unlock(field->mutex); break;
	case 2: stoa_mutex_consistent(field->mutex); break;
	case 3: stoa_condition_signal(field->condition); break;
	case 4: stoa_condition_broadcast(field->condition); break;
	case 5:
		stoa_mutex_stat(field->mutex, &status);
		stoa_mutex_each_waiter(field->mutex, nothing, NULL);
		break;
	case 6:
		stoa_condition_stat(field->condition, &numbers);
		stoa_condition_each_waiter(field->condition, no_more, NULL);
		break;
	default: stoa_mutex_held(field->mutex); break;
	}
}

/* Each round on handles of its own, as damage is for good. */
static void *work(void *context)
{
	struct field *shared = context, field = *shared;
	uint64_t seed = run_seed() + (uintptr_t)&field;

	for (int round = 0; round < ROUNDS; round++) {
		if (stoa_mutex_place(field.space, field.memory, MEMORY / 2, 0,
		                     NULL, &field.mutex) < 0) {
			stoa_mutex_place(field.space, field.memory, MEMORY / 2,
			                 STOA_CREATE, NULL, &field.mutex);
		}
		if (stoa_condition_place(field.space, field.memory + MEMORY / 2,
		                         MEMORY / 2, 0, NULL,
		                         &field.condition) < 0)
			stoa_condition_place(
			        field.space, field.memory + MEMORY / 2,
			        MEMORY / 2, STOA_CREATE, NULL, &field.condition);
		for (int i = 0; field.mutex && field.condition && i < 16; i++)
			use(&field, (int)random_below(&seed, 8));
		stoa_condition_close(field.condition);
		stoa_mutex_close(field.mutex);
		field.condition = NULL;
		field.mutex = NULL;
	}
	return NULL;
}

TEST(whatever_is_in_their_memory_calls_return)
{
	struct field field = { .space = open_space() };
	pthread_t threads[THREADS];
	struct child scribbler;

	field.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(field.memory != MAP_FAILED);
	scribbler = start_child(scribble, field.memory);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work,
		                                &field),
		                 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	kill_child(&scribbler);
	munmap(field.memory, MEMORY);
	stoa_space_close(field.space);
}

static const struct CMUnitTest cases[] = {
	CASE(whatever_is_in_their_memory_calls_return),
};

MAIN(cases)
