/* SPDX-License-Identifier: MIT */
/* Dining philosophers who are killed at random, with a fork in each hand or
 * reaching for one: nobody starves, no fork is in two hands, and who finds a
 * dead one's fork is told so exactly then. */
#include "support.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { SEATS = 5, MEALS = 400, KILLS = 150 };

/* In memory that all processes of the case share. */
struct table {
	_Atomic int32_t user[SEATS];    /* pid of who eats with the fork */
	_Atomic uint32_t meals[SEATS];
	_Atomic uint32_t inherited; /* forks of the dead */
	_Atomic uint32_t finished;
	_Alignas(64) char forks[SEATS][512];
};

struct place {
	struct stoa_space *space;
	struct table *table;
	struct stoa_mutex *forks[SEATS];
	int index;
	enum stoa_mutex_kind kind;
};

static void take(struct place *place, int fork)
{
	struct table *table = place->table;
	int result = stoa_mutex_lock(place->forks[fork], STOA_FOREVER);
	int32_t user = atomic_load(&table->user[fork]);

	if (result == -EOWNERDEAD) {
		/* Dead or being torn down; and if killed between lock and
		 * entry, it never said that it eats. */
		atomic_fetch_add(&table->inherited, 1);
		atomic_store(&table->user[fork], 0);
		assert_ok(stoa_mutex_consistent(place->forks[fork]));
	} else {
		assert_int_equal(result, 0);
		assert_int_equal(user, 0);
	}
	atomic_store(&table->user[fork], getpid());
}

static void put_down(struct place *place, int fork)
{
	struct table *table = place->table;

	assert_int_equal(atomic_load(&table->user[fork]), getpid());
	atomic_store(&table->user[fork], 0);
	assert_ok(stoa_mutex_unlock(place->forks[fork]));
}

static void dine(void *context)
{
	struct place *place = context;
	struct table *table = place->table;
	int left = place->index, right = (place->index + 1) % SEATS;
	int low = left < right ? left : right;
	int high = left < right ? right : left;

	while (!atomic_load(&table->finished)) {
		take(place, low);
		take(place, high);
		atomic_fetch_add(&table->meals[place->index], 1);
		put_down(place, high);
		put_down(place, low);
	}
}

static bool all_have_eaten(struct table *table, uint32_t meals)
{
	for (int i = 0; i < SEATS; i++)
		if (atomic_load(&table->meals[i]) < meals)
			return false;
	return true;
}

static void lay(struct place *place, bool named)
{
	place->space = open_space();
	place->table = mmap(NULL, sizeof(*place->table), PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(place->table != MAP_FAILED);
	for (int i = 0; i < SEATS; i++) {
		char name[] = { 'f', (char)('0' + i), 0 };

		if (named)
			assert_ok(stoa_mutex_open(place->space, name,
			                          STOA_CREATE, 0600, NULL,
			                          &place->forks[i]));
		else
			assert_ok(stoa_mutex_place(
			        place->space, place->table->forks[i], 512,
			        STOA_CREATE, NULL, &place->forks[i]));
	}
}

static void clear(struct place *place)
{
	for (int i = 0; i < SEATS; i++)
		stoa_mutex_close(place->forks[i]);
	munmap(place->table, sizeof(*place->table));
	stoa_space_close(place->space);
}

static void dine_and_die(bool named)
{
	struct place place = { .index = 0 };
	struct child children[SEATS];
	uint64_t seed = run_seed();

	lay(&place, named);
	for (place.index = 0; place.index < SEATS; place.index++)
		children[place.index] = start_child(dine, &place);
	/* Enough of them with a fork in hand, which is a matter of chance. */
	for (int kills = 0;
	     kills < KILLS || atomic_load(&place.table->inherited) <= KILLS / 4;
	     kills++) {
		int victim = (int)random_below(&seed, SEATS);
		uint32_t eaten = atomic_load(&place.table->meals[victim]);

		/* Each eats between deaths, so that they meet all states. */
		while (atomic_load(&place.table->meals[victim]) < eaten + 3)
			usleep((useconds_t)random_below(&seed, 300));
		kill_child(&children[victim]);
		place.index = victim;
		children[victim] = start_child(dine, &place);
	}
	while (!all_have_eaten(place.table, MEALS))
		usleep(1000);
	atomic_store(&place.table->finished, 1);
	for (int i = 0; i < SEATS; i++)
		end_child(&children[i]);
	for (int i = 0; i < SEATS; i++) {
		/* Nobody may have come for the fork of the last that died. */
		if (stoa_mutex_lock(place.forks[i], STOA_NOW) == -EOWNERDEAD)
			assert_ok(stoa_mutex_consistent(place.forks[i]));
		assert_ok(stoa_mutex_unlock(place.forks[i]));
	}
	print_message("%u forks were inherited\n",
	              atomic_load(&place.table->inherited));
	clear(&place);
}

TEST(philosophers_dine_at_named_forks)
{
	dine_and_die(true);
}

TEST(philosophers_dine_at_forks_in_memory)
{
	dine_and_die(false);
}

static const struct CMUnitTest cases[] = {
	CASE(philosophers_dine_at_named_forks),
	CASE(philosophers_dine_at_forks_in_memory),
};

MAIN(cases)
