/* SPDX-License-Identifier: MIT */
/* A bounded buffer between producers and consumers who are killed at random,
 * each signal for one: no item is lost, none is had twice, and nobody sleeps
 * on while there is something to do. */
#include "support.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { SLOTS = 3, PRODUCERS = 3, CONSUMERS = 3, ITEMS = 1 << 19, KILLS = 120 };

/* In memory that all processes of the case share. */
struct buffer {
	_Atomic uint32_t in, out; /* items ever; the truth, one store each */
	_Atomic uint32_t slots[SLOTS];
	_Atomic uint8_t had[ITEMS]; /* by the consumer of the item's number */
	_Atomic uint32_t mended;
	_Alignas(64) char mutex[512];
	_Alignas(64) char room[STOA_CONDITION_BYTES];
	_Alignas(64) char more[STOA_CONDITION_BYTES];
};

struct role {
	struct stoa_space *space;
	struct buffer *buffer;
	struct stoa_mutex *mutex;
	struct stoa_condition *room, *more;
	bool produces;
};

/* A lock, or a wait's: who died in between had changed nothing, or all. But
 * it may not have come to its signal. */
static void check(struct role *role, int result)
{
	if (result == -EOWNERDEAD) {
		atomic_fetch_add(&role->buffer->mended, 1);
		assert_ok(stoa_condition_broadcast(role->room));
		assert_ok(stoa_condition_broadcast(role->more));
		assert_ok(stoa_mutex_consistent(role->mutex));
		return;
	}
	assert_int_equal(result, 0);
}

static void lock(struct role *role)
{
	check(role, stoa_mutex_lock(role->mutex, STOA_FOREVER));
}

static void wait_on(struct role *role, struct stoa_condition *condition)
{
	check(role, stoa_condition_wait(condition, role->mutex, STOA_FOREVER));
}

static bool produce(struct role *role)
{
	struct buffer *buffer = role->buffer;

	lock(role);
	while (buffer->in - buffer->out == SLOTS && buffer->in < ITEMS)
		wait_on(role, role->room);
	uint32_t number = buffer->in;
	bool more = number < ITEMS;
	if (more) {
		buffer->slots[number % SLOTS] = number;
		buffer->in = number + 1;
		assert_good(stoa_condition_signal(role->more));
	} else {
		assert_ok(stoa_condition_broadcast(role->room));
	}
	assert_ok(stoa_mutex_unlock(role->mutex));
	return more;
}

static bool consume(struct role *role)
{
	struct buffer *buffer = role->buffer;

	lock(role);
	while (buffer->in == buffer->out && buffer->out < ITEMS)
		wait_on(role, role->more);
	uint32_t number = buffer->out;
	bool more = number < ITEMS;
	if (more) {
		assert_int_equal(buffer->slots[number % SLOTS], number);
		buffer->had[number] = 1;
		buffer->out = number + 1;
		assert_good(stoa_condition_signal(role->room));
	} else {
		assert_ok(stoa_condition_broadcast(role->more));
	}
	assert_ok(stoa_mutex_unlock(role->mutex));
	return more;
}

static void work(void *context)
{
	struct role *role = context;

	while (role->produces ? produce(role) : consume(role))
		;
}

static struct role open_role(void)
{
	struct role role = { .space = open_space() };
	struct buffer *buffer = mmap(NULL, sizeof(*buffer),
	                             PROT_READ | PROT_WRITE,
	                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(buffer != MAP_FAILED);
	assert_ok(stoa_mutex_place(role.space, buffer->mutex,
	                           sizeof(buffer->mutex), STOA_CREATE, NULL,
	                           &role.mutex));
	assert_ok(stoa_condition_place(role.space, buffer->room,
	                               sizeof(buffer->room), STOA_CREATE, NULL,
	                               &role.room));
	assert_ok(stoa_condition_place(role.space, buffer->more,
	                               sizeof(buffer->more), STOA_CREATE, NULL,
	                               &role.more));
	role.buffer = buffer;
	return role;
}

static int kill_some(struct role *role, struct child *children)
{
	uint64_t seed = run_seed();
	int kills;

	for (kills = 0; kills < KILLS && role->buffer->out < ITEMS;
	     kills++) {
		int victim = (int)random_below(&seed, PRODUCERS + CONSUMERS);
		uint32_t out = role->buffer->out;

		while (role->buffer->out < out + 10 &&
		       role->buffer->out < ITEMS)
			usleep((useconds_t)random_below(&seed, 300));
		kill(children[victim].pid, SIGKILL);
		waitpid(children[victim].pid, NULL, 0);
		close(children[victim].reports);
		close(children[victim].orders);
		role->produces = victim < PRODUCERS;
		children[victim] = start_child(work, role);
	}
	return kills;
}

/* Gives how many were killed before all items were had: few where this process
 * seldom gets the processor. */
static int play(void)
{
	struct child children[PRODUCERS + CONSUMERS];
	struct role role = open_role();
	struct buffer *buffer = role.buffer;

	for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
		role.produces = i < PRODUCERS;
		children[i] = start_child(work, &role);
	}
	int kills = kill_some(&role, children);
	for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
		end_child(&children[i]);
	assert_int_equal(buffer->in, ITEMS);
	assert_int_equal(buffer->out, ITEMS);
	for (int i = 0; i < ITEMS; i++)
		assert_int_equal(buffer->had[i], 1);
	print_message("%d kills, mended %u times\n", kills,
	              atomic_load(&buffer->mended));
	stoa_condition_close(role.more);
	stoa_condition_close(role.room);
	stoa_mutex_close(role.mutex);
	munmap(buffer, sizeof(*buffer));
	stoa_space_close(role.space);
	return kills;
}

TEST(a_bounded_buffer_survives_those_who_use_it)
{
	for (int kills = 0; kills < KILLS / 2;)
		kills += play();
}

static const struct CMUnitTest cases[] = {
	CASE(a_bounded_buffer_survives_those_who_use_it),
};

MAIN(cases)
