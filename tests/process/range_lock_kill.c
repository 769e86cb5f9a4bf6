/* SPDX-License-Identifier: MIT */
/* kill -9 of holders and waiters of ranges, blocked and at random instants:
 * nothing stays locked, nobody's range is lost, and who waits goes on. */
#include "range_lock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sync/range_lock_layout.h>

struct job {
	struct stoa_range_lock *lock;
	struct stoa_range range;
};

static void lock_forever(void *context)
{
	struct job *job = context;

	report(0);
	report(stoa_range_lock_lock(job->lock, &job->range, STOA_FOREVER));
	await_order();
}

static struct child start_job(struct stoa_range_lock *lock,
                              struct stoa_range range)
{
	struct job job = { lock, range };
	struct child child = start_child(lock_forever, &job);

	await_report(&child);
	return child;
}

enum {
	RECORDS_OFFSET = OBJECT_KIND_OFFSET + RANGE_CONTROL_BYTES +
	                 RANGE_WAITERS * sizeof(struct range_waiter),
	FILE_BYTES = RECORDS_OFFSET + 2 * sizeof(struct range_record)
};

static char *map_range_lock(const char *name)
{
	char file[64];
	char *base;
	int fd;

	snprintf(file, sizeof(file), "%s.range_lock", name);
	fd = (int)assert_system(open(case_path(file), O_RDWR | O_CLOEXEC));
	base = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	            0);
	assert_ptr_not_equal(base, MAP_FAILED);
	close(fd);
	return base;
}

TEST(what_a_killed_holder_had_is_the_waiters)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);

	for (int i = 0; i < 10; i++) {
		struct child holder = start_job(lock, exclusive(0, 100));
		struct child waiter;

		assert_int_equal(await_report(&holder), 0);
		waiter = start_job(lock, shared(50, 100));
		until_in_line(lock, 1);
		kill_child(&holder);
		assert_int_equal(await_report(&waiter), 0);
		kill_child(&waiter);
	}
	/* Dead holders are in nobody's way, even of who doesn't wait. */
	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	close_range_lock(space, lock, "l");
}

TEST(a_killed_waiter_leaves_its_place_in_line)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range range = shared(0, 10);

	for (int i = 0; i < 10; i++) {
		struct child writer, reader;

		assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
		writer = start_job(lock, exclusive(0, 10));
		until_in_line(lock, 1);
		reader = start_job(lock, range);
		until_in_line(lock, 2);
		kill_child(&writer);
		assert_int_equal(await_report(&reader), 0);
		kill_child(&reader);
		assert_ok(stoa_range_lock_unlock(lock, &range));
	}
	close_range_lock(space, lock, "l");
}

TEST(the_dead_in_line_behind_a_dead_holder_are_in_nobodys_way)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct child holder = start_job(lock, exclusive(0, 10));
	struct child waiters[3];
	int waiting = LENGTH(waiters);

	assert_int_equal(await_report(&holder), 0);
	for (int i = 0; i < waiting; i++)
		waiters[i] = start_job(lock, exclusive(0, 10));
	until_in_line(lock, (uint64_t)waiting);
	/* Nobody gets the holder's range before it is dead, too. */
	for (int i = 0; i < waiting; i++)
		kill_child(&waiters[i]);
	kill_child(&holder);
	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	close_range_lock(space, lock, "l");
}

/* One who closes, or buries, without the table's lock frees words, then says
 * so. It may be stopped in between. */
TEST(what_is_freed_and_not_said_to_be_is_room)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 2);
	struct stoa_range range = exclusive(9, 1);
	struct child holders[2];
	struct range_record *records;
	char *base;

	for (uint64_t i = 0; i < 2; i++) {
		holders[i] = start_job(lock, exclusive(i * 2, 1));
		assert_int_equal(await_report(&holders[i]), 0);
	}
	assert_result(stoa_range_lock_lock(lock, &range, STOA_NOW), -ENOLCK);
	base = map_range_lock("l");
	records = (struct range_record *)(base + RECORDS_OFFSET);
	assert_int_not_equal(atomic_load(&records[1].word), 0);
	atomic_store(&records[1].word, 0);
	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	munmap(base, FILE_BYTES);
	for (int i = 0; i < 2; i++)
		kill_child(&holders[i]);
	close_range_lock(space, lock, "l");
}

TEST(a_stopped_holder_is_never_robbed)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct child holder = start_job(lock, exclusive(0, 100));
	struct stoa_range range = shared(0, 1);

	assert_int_equal(await_report(&holder), 0);
	stop_child(&holder);
	assert_result(stoa_range_lock_lock(lock, &range,
	                                   stoa_deadline_in(300 * MS)),
	              -ETIMEDOUT);
	continue_child(&holder);
	kill_child(&holder);
	assert_ok(stoa_range_lock_lock(lock, &range, STOA_FOREVER));
	close_range_lock(space, lock, "l");
}

TEST(the_dead_are_in_no_circle)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock *lock = make_range_lock(space, "l", 0);
	struct stoa_range_lock *other = make_range_lock(space, "m", 0);
	struct stoa_range range = exclusive(0, 10);
	struct child child, grandchild;
	int shown = 0;

	assert_ok(stoa_range_lock_lock(lock, &range, STOA_NOW));
	child = start_job(other, exclusive(0, 10));
	assert_int_equal(await_report(&child), 0);
	grandchild = start_job(lock, exclusive(0, 10));
	until_shown(space, 1);
	kill_child(&grandchild);
	assert_good(stoa_space_each_waiting(space, 0, count_waiting, &shown));
	assert_int_equal(shown, 0);
	kill_child(&child);
	assert_ok(stoa_range_lock_lock(other, &range, STOA_FOREVER));
	stoa_range_lock_close(other);
	assert_ok(stoa_range_lock_unlink(space, "m"));
	close_range_lock(space, lock, "l");
}

TEST(a_forked_child_has_nothing_of_its_parents)
{
	struct stoa_space *space = open_space();
	struct stoa_range_lock_attributes attributes = {
		.size = sizeof(attributes)
	};
	struct stoa_range_lock *lock;
	struct child child;

	assert_ok(stoa_range_lock_open(space, NULL, STOA_CREATE, 0600,
	                               &attributes, &lock));
	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_NOW));
	child = start_job(lock, shared(3, 1));
	until_in_line(lock, 1);
	assert_ok(stoa_range_lock_unlock(lock, NULL));
	assert_int_equal(await_report(&child), 0);
	assert_result(stoa_range_lock_lock(lock, NULL, STOA_NOW), -EAGAIN);
	kill_child(&child);
	assert_ok(stoa_range_lock_lock(lock, NULL, STOA_FOREVER));
	close_range_lock(space, lock, NULL);
}

/* ---- At random ------------------------------------------------------------------- */

enum { NUMBERS = 32, WORKERS = 4, KILLS = 150, ROOM = 64 };

/* What the ranges protect: who is there. Whoever is being killed doesn't
 * count any more. */
struct place {
	_Atomic int32_t writer; /* number of the worker, from 1; 0: none */
	_Atomic int32_t readers[WORKERS];
};

struct arena {
	struct place places[NUMBERS];
	_Atomic int32_t dying[WORKERS];
	_Atomic uint64_t done[WORKERS];
	_Atomic uint32_t wrong;
};

struct stress {
	struct stoa_range_lock *lock;
	struct arena *arena;
	uint64_t random;
	int index;
};

static void object_if(struct stress *stress, int worker, bool there)
{
	if (there && worker != stress->index &&
	    !atomic_load(&stress->arena->dying[worker]))
		atomic_fetch_add(&stress->arena->wrong, 1);
}

static void enter(struct stress *stress, struct place *place, uint32_t mode)
{
	int writer = atomic_load(&place->writer);

	object_if(stress, writer - 1, writer != 0);
	for (int k = 0; mode == STOA_RANGE_EXCLUSIVE && k < WORKERS; k++)
		object_if(stress, k, atomic_load(&place->readers[k]) != 0);
	if (mode == STOA_RANGE_EXCLUSIVE)
		atomic_store(&place->writer, stress->index + 1);
	else
		atomic_store(&place->readers[stress->index], 1);
}

static void leave(struct stress *stress, struct place *place, uint32_t mode)
{
	int writer = atomic_load(&place->writer);

	object_if(stress, writer - 1, writer != 0);
	if (mode != STOA_RANGE_EXCLUSIVE) {
		atomic_store(&place->readers[stress->index], 0);
		return;
	}
	if (writer != stress->index + 1)
		atomic_fetch_add(&stress->arena->wrong, 1);
	atomic_store(&place->writer, 0);
}

static void stress_step(struct stress *stress)
{
	int from = (int)random_below(&stress->random, NUMBERS);
	int to = from + (int)random_below(&stress->random,
	                                  (uint64_t)(NUMBERS - from));
	uint32_t mode = 1 + (uint32_t)random_below(&stress->random, 2);
	struct stoa_range range = range_of((uint64_t)from,
	                                   (uint64_t)(to - from + 1), mode);
	bool waits = random_below(&stress->random, 4) != 0;
	int result = stoa_range_lock_lock(stress->lock, &range,
	                                  waits ? STOA_FOREVER : STOA_NOW);

	if (result == -EAGAIN && !waits)
		return;
	assert_int_equal(result, 0);
	for (int i = from; i <= to; i++)
		enter(stress, &stress->arena->places[i], mode);
	for (int i = from; i <= to; i++)
		leave(stress, &stress->arena->places[i], mode);
	/* Splits, and gives up by parts. */
	if (to - from > 2) {
		struct stoa_range middle = range_of((uint64_t)from + 1, 1, 0);

		assert_ok(stoa_range_lock_unlock(stress->lock, &middle));
	}
	assert_ok(stoa_range_lock_unlock(stress->lock, &range));
	atomic_fetch_add(&stress->arena->done[stress->index], 1);
}

static void stress_forever(void *context)
{
	struct stress *stress = context;

	for (;;)
		stress_step(stress);
}

static void kill_worker(struct arena *arena, struct child *worker, int at)
{
	atomic_store(&arena->dying[at], 1);
	kill_child(worker);
	for (int k = 0; k < NUMBERS; k++) {
		int writer = at + 1;

		atomic_store(&arena->places[k].readers[at], 0);
		atomic_compare_exchange_strong(&arena->places[k].writer,
		                               &writer, 0);
	}
	atomic_store(&arena->dying[at], 0);
}

static struct child start_worker(struct stress *stress, int at)
{
	stress->index = at;
	next_random(&stress->random);
	return start_child(stress_forever, stress);
}

/* After each kill the next worker gets further. */
static void kill_and_look(struct stress *stress, struct child *workers,
                          uint64_t *random)
{
	struct arena *arena = stress->arena;

	for (int i = 0; i < KILLS; i++) {
		int at = (int)random_below(random, WORKERS);
		int other = (at + 1) % WORKERS;
		uint64_t before;

		kill_worker(arena, &workers[at], at);
		before = atomic_load(&arena->done[other]);
		while (atomic_load(&arena->done[other]) < before + 3)
			take_a_breath();
		workers[at] = start_worker(stress, at);
	}
}

TEST(random_kills_wedge_nobody_and_let_nobody_in_wrongly)
{
	struct stoa_space *space = open_space();
	struct stress stress = { .random = run_seed() };
	struct child workers[WORKERS];
	uint64_t random = stress.random;

	stress.arena = mmap(NULL, sizeof(*stress.arena), PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(stress.arena, MAP_FAILED);
	stress.lock = make_range_lock(space, "l", ROOM);
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start_worker(&stress, i);
	kill_and_look(&stress, workers, &random);
	for (int i = 0; i < WORKERS; i++)
		kill_worker(stress.arena, &workers[i], i);
	assert_int_equal(atomic_load(&stress.arena->wrong), 0);
	assert_ok(stoa_range_lock_lock(stress.lock, NULL, STOA_FOREVER));
	assert_ok(stoa_range_lock_unlock(stress.lock, NULL));
	/* All room is there again. */
	for (uint64_t i = 0; i < ROOM; i++) {
		struct stoa_range range = exclusive(i * 2, 1);

		assert_ok(stoa_range_lock_lock(stress.lock, &range, STOA_NOW));
	}
	munmap(stress.arena, sizeof(*stress.arena));
	close_range_lock(space, stress.lock, "l");
}

static const struct CMUnitTest cases[] = {
	CASE(what_a_killed_holder_had_is_the_waiters),
	CASE(a_killed_waiter_leaves_its_place_in_line),
	CASE(the_dead_in_line_behind_a_dead_holder_are_in_nobodys_way),
	CASE(what_is_freed_and_not_said_to_be_is_room),
	CASE(a_stopped_holder_is_never_robbed),
	CASE(the_dead_are_in_no_circle),
	CASE(a_forked_child_has_nothing_of_its_parents),
	CASE(random_kills_wedge_nobody_and_let_nobody_in_wrongly),
};

MAIN(cases)
