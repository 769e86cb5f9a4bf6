/* SPDX-License-Identifier: MIT */
/* A range lock whose file is overwritten while it is used: calls return, with
 * answers that are promised, and nothing outside is touched. */
#include "range_lock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
	ROUNDS = 60,
	CALLS = 400,
	CAPACITY = 64,
	KIND_OFFSET = 4096 + 64 * 256, /* where the lock's own bytes begin */
	PAGE = 4096
};

struct attack {
	char *base;
	size_t bytes;
	uint64_t random;
	_Atomic int stop;
};

static uint64_t some_value(struct attack *attack)
{
	uint64_t value = next_random(&attack->random);

	switch (value % 6) {
	case 0: return value >> 58; /* small */
	case 1: return 0;
	case 2: return UINT64_MAX;
	case 3: /* another word of the file */
		return *(uint64_t *)(attack->base +
		                     random_below(&attack->random,
		                                  attack->bytes / 8) *
		                             8);
	case 4: return value & 0xffff0000ffff; /* like a token */
	default: return value;
	}
}

/* Mostly the lock's own bytes: control, waiters, ranges; seldom the seats. */
static void *scribble(void *context)
{
	struct attack *attack = context;

	while (!atomic_load(&attack->stop)) {
		uint64_t value = some_value(attack);
		size_t from = random_below(&attack->random, 16) == 0 ?
		                      PAGE :
		                      KIND_OFFSET;
		size_t at = from + random_below(&attack->random,
		                                attack->bytes - from - 8);

		if (random_below(&attack->random, 4) == 0)
			at = KIND_OFFSET +
			     random_below(&attack->random, 48); /* control */
		memcpy(attack->base + at, &value,
		       random_below(&attack->random, 2) ? 8 : 4);
		if (random_below(&attack->random, 64) == 0)
			take_a_breath();
	}
	return NULL;
}

static int see_holder(const struct stoa_range_holder *holder, void *context)
{
	*(uint64_t *)context += holder->range.start;
	return 0;
}

static void assert_promised(long long result)
{
	static const int errors[] = { EUCLEAN, EAGAIN, ETIMEDOUT, EDEADLK,
		                      ENOLCK,  EIDRM,  EUSERS,    ENOSPC };

	for (size_t i = 0; i < LENGTH(errors); i++)
		if (result == -errors[i])
			return;
	if (result < 0)
		fail_msg("gave %lld, \"%s\"", result, stoa_last_error());
}

static long long call_once(struct stoa_range_lock *lock, uint64_t *random)
{
	struct stoa_range range = range_of(random_below(random, 100),
	                                   random_below(random, 50),
	                                   1 + (uint32_t)random_below(random,
	                                                              2));
	struct stoa_range_lock_status status = { .size = sizeof(status) };
	struct stoa_range_holder holder;
	uint64_t seen = 0;

	if (random_below(random, 4) == 0)
		range.mode |= STOA_RANGE_PROCESS;
	switch (random_below(random, 8)) {
	case 0: return stoa_range_lock_test(lock, &range, &holder);
	case 1: return stoa_range_lock_stat(lock, &status);
	case 2: return stoa_range_lock_each(lock, see_holder, &seen);
	case 3:
	case 4:
		range.mode &= STOA_RANGE_PROCESS;
		return stoa_range_lock_unlock(lock, &range);
	case 5:
		return stoa_range_lock_lock(lock, &range,
		                            stoa_deadline_in(3 * MS));
	default: return stoa_range_lock_lock(lock, &range, STOA_NOW);
	}
}

static void map_file(struct attack *attack, const char *name)
{
	struct stat stat;
	int fd = (int)assert_system(open(case_path(name), O_RDWR | O_CLOEXEC));

	assert_system(fstat(fd, &stat));
	attack->bytes = (size_t)stat.st_size;
	attack->base = mmap(NULL, attack->bytes, PROT_READ | PROT_WRITE,
	                    MAP_SHARED, fd, 0);
	assert_ptr_not_equal(attack->base, MAP_FAILED);
	close(fd);
}

static void run_round(struct stoa_space *space, uint64_t *random)
{
	struct stoa_range_lock *locks[2];
	struct attack attack = { .random = next_random(random) };
	pthread_t attacker;
	long long result = 0;

	for (int i = 0; i < 2; i++)
		locks[i] = make_range_lock(space, "l", CAPACITY);
	for (uint64_t i = 0; i < CAPACITY / 2; i++) {
		struct stoa_range range = exclusive(i * 3, 2);

		assert_ok(stoa_range_lock_lock(locks[i % 2], &range, STOA_NOW));
	}
	map_file(&attack, "l.range_lock");
	assert_int_equal(pthread_create(&attacker, NULL, scribble, &attack), 0);
	for (int i = 0; i < CALLS && result != -EUCLEAN; i++) {
		result = call_once(locks[i % 2], random);
		assert_promised(result);
	}
	atomic_store(&attack.stop, 1);
	assert_int_equal(pthread_join(attacker, NULL), 0);
	for (int i = 0; i < 2; i++)
		stoa_range_lock_close(locks[i]);
	munmap(attack.base, attack.bytes);
	assert_ok(stoa_range_lock_unlink(space, "l"));
}

TEST(calls_on_a_scribbled_lock_return_what_is_promised)
{
	struct stoa_space *space = open_space();
	uint64_t random = run_seed();

	for (int i = 0; i < ROUNDS; i++)
		run_round(space, &random);
	stoa_space_close(space);
}

TEST(an_unlock_does_not_hang_on_one_who_is_stopped_in_its_turn)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", CAPACITY);
	struct stoa_range_lock *other = make_range_lock(space, "l", CAPACITY);
	struct stoa_range range = exclusive(0, 10), part = exclusive(0, 5);
	struct attack attack = { 0 };
	uint32_t turn;

	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	map_file(&attack, "l.range_lock");
	/* As if the other handle's owner were in its turn: seat 1, first
	 * generation. */
	turn = 1u << 16 | 1;
	memcpy(attack.base + KIND_OFFSET, &turn, sizeof(turn));
	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -EAGAIN);
	assert_result(stoa_range_lock_unlock(lock, &part), -ETIMEDOUT);
	assert_sentence("stopped");
	assert_ok(stoa_range_lock_unlock(lock, &range));
	turn = 0;
	memcpy(attack.base + KIND_OFFSET, &turn, sizeof(turn));
	assert_ok(stoa_range_lock_lock(other, NULL, STOA_NOW));
	munmap(attack.base, attack.bytes);
	stoa_range_lock_close(other);
	close_range_lock(space, lock, "l");
}

static const struct CMUnitTest cases[] = {
	CASE(calls_on_a_scribbled_lock_return_what_is_promised),
	CASE(an_unlock_does_not_hang_on_one_who_is_stopped_in_its_turn),
};

MAIN(cases)
