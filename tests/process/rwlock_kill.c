/* SPDX-License-Identifier: MIT */
/* kill -9 of readers, writers and waiters of an rwlock, of threads that end
 * with it, and what the others are told. */
#include "support.h"

#include <pthread.h>
#include <sys/mman.h>

static struct stoa_rwlock *rwlock_of(struct stoa_space *space,
                                     uint32_t preference, bool placed)
{
	struct stoa_rwlock_attributes attributes = { .size = sizeof(attributes),
		                                     .preference = preference };
	struct stoa_rwlock *rwlock = NULL;
	void *memory;

	if (!placed) {
		assert_ok(stoa_rwlock_open(space, "lock",
		                           STOA_CREATE | STOA_EXCLUSIVE, 0600,
		                           &attributes, &rwlock));
		return rwlock;
	}
	memory = mmap(NULL, STOA_RWLOCK_BYTES, PROT_READ | PROT_WRITE,
	              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_ok(stoa_rwlock_place(space, memory, STOA_RWLOCK_BYTES,
	                            STOA_CREATE, &attributes, &rwlock));
	return rwlock;
}

static void put_away(struct stoa_space *space, struct stoa_rwlock *rwlock,
                     bool placed)
{
	stoa_rwlock_close(rwlock);
	if (!placed)
		assert_ok(stoa_rwlock_unlink(space, "lock"));
}

static struct stoa_rwlock_status status_of(struct stoa_rwlock *rwlock)
{
	struct stoa_rwlock_status status = { .size = sizeof(status) };

	assert_ok(stoa_rwlock_stat(rwlock, &status));
	return status;
}

static void until_waiting_here(struct stoa_rwlock *rwlock, uint32_t readers,
                               uint32_t writers)
{
	struct stoa_rwlock_status status;

	do {
		status = status_of(rwlock);
		sched_yield();
	} while (status.readers_waiting != readers ||
	         status.writers_waiting != writers);
}

/* Each reports 0 before it locks, and then what it got. */
static void read_and_hold(void *context)
{
	report(0);
	report(stoa_rwlock_lock_read(context, STOA_FOREVER));
	await_order();
	assert_ok(stoa_rwlock_unlock(context));
	report(2);
}

static void write_and_hold(void *context)
{
	report(0);
	report(stoa_rwlock_lock_write(context, STOA_FOREVER));
	await_order();
	assert_ok(stoa_rwlock_unlock(context));
	report(2);
}

static struct child start_waiting(void (*run)(void *),
                                  struct stoa_rwlock *rwlock)
{
	struct child child = start_child(run, rwlock);

	assert_int_equal(await_report(&child), 0);
	return child;
}

static struct child start_holding(void (*run)(void *),
                                  struct stoa_rwlock *rwlock)
{
	struct child child = start_waiting(run, rwlock);

	assert_int_equal(await_report(&child), 0);
	return child;
}

static void let_go(struct child *child)
{
	give_order(child, 0);
	assert_int_equal(await_report(child), 2);
	end_child(child);
}

#define EACH_KIND(space, rwlock, ...)                                       \
	for (int kind_ = 0; kind_ < 4; kind_++) {                           \
		struct stoa_space *space = open_space();                    \
		struct stoa_rwlock *rwlock =                                \
			rwlock_of(space, (uint32_t)kind_ % 2, kind_ / 2);   \
		__VA_ARGS__ put_away(space, rwlock, kind_ / 2);            \
		stoa_space_close(space);                                    \
	}

TEST(a_dead_reader_is_forgotten)
{
	EACH_KIND(space, rwlock, {
		struct child victim = start_holding(read_and_hold, rwlock);
		struct child other = start_holding(read_and_hold, rwlock);
		struct child writer;

		assert_result(stoa_rwlock_lock_write(rwlock, STOA_NOW),
		              -EAGAIN);
		writer = start_waiting(write_and_hold, rwlock);
		until_waiting_here(rwlock, 0, 1);
		kill_child(&victim);
		let_go(&other);
		assert_int_equal(await_report(&writer), 0);
		let_go(&writer);
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		assert_ok(stoa_rwlock_unlock(rwlock));
		victim = start_holding(read_and_hold, rwlock);
		kill_child(&victim);
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		assert_ok(stoa_rwlock_unlock(rwlock));
	})
}

TEST(the_next_is_told_of_a_dead_writer_and_has_the_lock)
{
	for (int reads = 0; reads < 2; reads++) {
		EACH_KIND(space, rwlock, {
			struct child victim =
				start_holding(write_and_hold, rwlock);
			struct child next = start_waiting(
				reads ? read_and_hold : write_and_hold, rwlock);

			until_waiting_here(rwlock, reads, !reads);
			assert_result(stoa_rwlock_lock_read(rwlock, STOA_NOW),
			              -EAGAIN);
			kill_child(&victim);
			assert_int_equal(await_report(&next), -EOWNERDEAD);
			assert_int_equal(status_of(rwlock).state,
			                 STOA_RWLOCK_INCONSISTENT);
			assert_result(stoa_rwlock_lock_read(rwlock, STOA_NOW),
			              -EAGAIN);
			kill_child(&next);
			assert_int_equal(status_of(rwlock).state,
			                 STOA_RWLOCK_ORPHANED);
			assert_result(reads ? stoa_rwlock_lock_read(rwlock,
			                                            STOA_NOW)
			                    : stoa_rwlock_lock_write(rwlock,
			                                             STOA_NOW),
			              -EOWNERDEAD);
			assert_int_equal(stoa_rwlock_held(rwlock), STOA_WRITE);
			assert_result(stoa_rwlock_downgrade(rwlock), -EINVAL);
			assert_ok(stoa_rwlock_consistent(rwlock));
			assert_result(stoa_rwlock_consistent(rwlock), -EINVAL);
			assert_ok(stoa_rwlock_downgrade(rwlock));
			assert_ok(stoa_rwlock_unlock(rwlock));
			assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
			assert_ok(stoa_rwlock_unlock(rwlock));
		})
	}
}

TEST(an_heir_that_gives_up_leaves_it_to_nobody)
{
	EACH_KIND(space, rwlock, {
		struct child victim = start_holding(write_and_hold, rwlock);
		struct child heir = start_waiting(write_and_hold, rwlock);
		struct child readers[2];
		struct child writer;

		until_waiting_here(rwlock, 0, 1);
		kill_child(&victim);
		assert_int_equal(await_report(&heir), -EOWNERDEAD);
		for (int i = 0; i < 2; i++)
			readers[i] = start_waiting(read_and_hold, rwlock);
		writer = start_waiting(write_and_hold, rwlock);
		until_waiting_here(rwlock, 2, 1);
		let_go(&heir);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(await_report(&readers[i]),
			                 -ENOTRECOVERABLE);
			kill_child(&readers[i]);
		}
		assert_int_equal(await_report(&writer), -ENOTRECOVERABLE);
		kill_child(&writer);
		assert_int_equal(status_of(rwlock).state,
		                 STOA_RWLOCK_NOT_RECOVERABLE);
		assert_result(stoa_rwlock_lock_read(rwlock, STOA_FOREVER),
		              -ENOTRECOVERABLE);
		assert_result(stoa_rwlock_lock_write(rwlock, STOA_NOW),
		              -ENOTRECOVERABLE);
		assert_sentence("hadn't mended");
	})
}

TEST(a_writer_killed_while_it_waits_holds_up_nobody)
{
	EACH_KIND(space, rwlock, {
		struct child reader = start_holding(read_and_hold, rwlock);
		struct child victim = start_waiting(write_and_hold, rwlock);
		struct child next;

		until_waiting_here(rwlock, 0, 1);
		until_blocked(victim.pid);
		if (kind_ % 2 == STOA_RWLOCK_WRITERS) {
			assert_result(stoa_rwlock_lock_read(rwlock, STOA_NOW),
			              -EAGAIN);
			next = start_waiting(read_and_hold, rwlock);
			until_waiting_here(rwlock, 1, 1);
		} else {
			next = start_waiting(read_and_hold, rwlock);
		}
		kill_child(&victim);
		assert_int_equal(await_report(&next), 0);
		let_go(&next);
		let_go(&reader);
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		assert_ok(stoa_rwlock_unlock(rwlock));
	})
}

TEST(a_second_waiting_writer_stops_readers_and_its_death_lets_them_in)
{
	struct stoa_space *space = open_space();
	struct stoa_rwlock *rwlock =
		rwlock_of(space, STOA_RWLOCK_WRITERS, false);
	struct child holder = start_holding(write_and_hold, rwlock);
	struct child victim = start_waiting(write_and_hold, rwlock);
	struct child reader;

	until_waiting_here(rwlock, 0, 1);
	until_blocked(victim.pid);
	stop_child(&victim);
	reader = start_waiting(read_and_hold, rwlock);
	until_waiting_here(rwlock, 1, 1);
	let_go(&holder);
	/* The stopped writer is before the reader still. */
	assert_result(stoa_rwlock_lock_read(rwlock, stoa_deadline_in(100 * MS)),
	              -ETIMEDOUT);
	kill_child(&victim);
	assert_int_equal(await_report(&reader), 0);
	let_go(&reader);
	put_away(space, rwlock, false);
	stoa_space_close(space);
}

TEST(a_stopped_holder_is_never_robbed)
{
	EACH_KIND(space, rwlock, {
		struct child reader = start_holding(read_and_hold, rwlock);
		struct child writer;

		stop_child(&reader);
		assert_result(stoa_rwlock_lock_write(
				      rwlock, stoa_deadline_in(120 * MS)),
		              -ETIMEDOUT);
		continue_child(&reader);
		let_go(&reader);
		writer = start_holding(write_and_hold, rwlock);
		stop_child(&writer);
		assert_result(stoa_rwlock_lock_read(rwlock,
		                                    stoa_deadline_in(120 * MS)),
		              -ETIMEDOUT);
		continue_child(&writer);
		let_go(&writer);
	})
}

static void *end_with_it(void *context)
{
	void **arguments = context;

	require((arguments[1] ? stoa_rwlock_lock_write(arguments[0], STOA_NOW)
	                      : stoa_rwlock_lock_read(arguments[0],
	                                              STOA_NOW)) == 0);
	return NULL;
}

TEST(a_thread_that_ends_gives_up_what_it_has)
{
	EACH_KIND(space, rwlock, {
		void *arguments[2] = { rwlock, NULL };
		pthread_t thread;

		pthread_create(&thread, NULL, end_with_it, arguments);
		pthread_join(thread, NULL);
		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		assert_ok(stoa_rwlock_unlock(rwlock));
		arguments[1] = rwlock;
		pthread_create(&thread, NULL, end_with_it, arguments);
		pthread_join(thread, NULL);
		assert_int_equal(status_of(rwlock).state, STOA_RWLOCK_ORPHANED);
		assert_result(stoa_rwlock_lock_read(rwlock, STOA_FOREVER),
		              -EOWNERDEAD);
		assert_ok(stoa_rwlock_consistent(rwlock));
		assert_ok(stoa_rwlock_unlock(rwlock));
	})
}

TEST(a_handle_that_closes_gives_up_what_it_has)
{
	struct stoa_space *space = open_space();
	struct stoa_rwlock *rwlock = rwlock_of(space, 0, false);
	struct stoa_rwlock *other;

	assert_ok(stoa_rwlock_open(space, "lock", 0, 0, NULL, &other));
	assert_ok(stoa_rwlock_lock_read(other, STOA_NOW));
	stoa_rwlock_close(other);
	assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
	assert_ok(stoa_rwlock_unlock(rwlock));
	assert_ok(stoa_rwlock_open(space, "lock", 0, 0, NULL, &other));
	assert_ok(stoa_rwlock_lock_write(other, STOA_NOW));
	stoa_rwlock_close(other);
	assert_result(stoa_rwlock_lock_write(rwlock, STOA_FOREVER),
	              -EOWNERDEAD);
	assert_ok(stoa_rwlock_consistent(rwlock));
	assert_ok(stoa_rwlock_unlock(rwlock));
	put_away(space, rwlock, false);
	stoa_space_close(space);
}

static void hold_nothing(void *context)
{
	assert_int_equal(stoa_rwlock_held(context), 0);
	assert_result(stoa_rwlock_unlock(context), -EPERM);
	assert_result(stoa_rwlock_lock_write(context, STOA_NOW), -EAGAIN);
	report(0);
	await_order();
	assert_ok(stoa_rwlock_lock_read(context, STOA_NOW));
	assert_ok(stoa_rwlock_unlock(context));
	assert_ok(stoa_rwlock_lock_write(context, STOA_NOW));
	assert_ok(stoa_rwlock_unlock(context));
}

TEST(a_forked_child_has_nothing_of_what_its_parent_has)
{
	EACH_KIND(space, rwlock, {
		for (int write = 0; write < 2; write++) {
			struct child child;

			assert_ok(write ? stoa_rwlock_lock_write(rwlock,
			                                         STOA_NOW)
			                : stoa_rwlock_lock_read(rwlock,
			                                        STOA_NOW));
			child = start_child(hold_nothing, rwlock);
			assert_int_equal(await_report(&child), 0);
			assert_ok(stoa_rwlock_unlock(rwlock));
			give_order(&child, 0);
			end_child(&child);
		}
	})
}

TEST(removal_wakes_and_tells_all)
{
	EACH_KIND(space, rwlock, {
		struct child children[2];

		assert_ok(stoa_rwlock_lock_write(rwlock, STOA_NOW));
		children[0] = start_waiting(read_and_hold, rwlock);
		children[1] = start_waiting(write_and_hold, rwlock);
		until_waiting_here(rwlock, 1, 1);
		assert_ok(stoa_rwlock_remove(rwlock));
		for (int i = 0; i < 2; i++) {
			assert_int_equal(await_report(&children[i]), -EIDRM);
			kill_child(&children[i]);
		}
		assert_ok(stoa_rwlock_unlock(rwlock));
		assert_result(stoa_rwlock_lock_read(rwlock, STOA_NOW), -EIDRM);
		if (!(kind_ / 2)) {
			stoa_rwlock_close(rwlock);
			rwlock = rwlock_of(space, 0, false);
		}
	})
}

static void wait_for_either(void *context)
{
	struct stoa_wait conditions[2] = {
		{ .kind = STOA_WRITABLE,
		  .object = stoa_rwlock_object(context) },
		{ .kind = STOA_READABLE,
		  .object = stoa_rwlock_object(context) },
	};

	report(0);
	report(stoa_wait_any(conditions, 2, STOA_FOREVER));
	report(stoa_wait_any(conditions, 1, STOA_FOREVER));
}

TEST(who_waits_for_any_hears_of_readiness_and_of_deaths)
{
	EACH_KIND(space, rwlock, {
		struct child reader = start_holding(read_and_hold, rwlock);
		struct child watcher = start_child(wait_for_either, rwlock);
		struct child writer;

		assert_int_equal(await_report(&watcher), 0);
		assert_int_equal(await_report(&watcher), 1);
		let_go(&reader);
		assert_int_equal(await_report(&watcher), 0);
		end_child(&watcher);
		writer = start_holding(write_and_hold, rwlock);
		watcher = start_child(wait_for_either, rwlock);
		assert_int_equal(await_report(&watcher), 0);
		until_blocked(watcher.pid);
		kill_child(&writer);
		assert_int_equal(await_report(&watcher), 0);
		assert_int_equal(await_report(&watcher), 0);
		end_child(&watcher);
	})
}

static const struct CMUnitTest cases[] = {
	CASE(a_dead_reader_is_forgotten),
	CASE(the_next_is_told_of_a_dead_writer_and_has_the_lock),
	CASE(an_heir_that_gives_up_leaves_it_to_nobody),
	CASE(a_writer_killed_while_it_waits_holds_up_nobody),
	CASE(a_second_waiting_writer_stops_readers_and_its_death_lets_them_in),
	CASE(a_stopped_holder_is_never_robbed),
	CASE(a_thread_that_ends_gives_up_what_it_has),
	CASE(a_handle_that_closes_gives_up_what_it_has),
	CASE(a_forked_child_has_nothing_of_what_its_parent_has),
	CASE(removal_wakes_and_tells_all),
	CASE(who_waits_for_any_hears_of_readiness_and_of_deaths),
};
MAIN(cases)
