/* SPDX-License-Identifier: MIT */
/* SEM_UNDO through the drop-in: once, at whatever end, of this set alone. */
#include "support.h"

#include <dropin/calls.h>
#include <pthread.h>

static int make_set(void)
{
	return (int)assert_good(dropin_semget(IPC_PRIVATE, 2, 0600));
}

static int change(int id, int semaphore, int amount, int flags)
{
	struct sembuf operation = { (unsigned short)semaphore, (short)amount,
		                    (short)flags };

	return dropin_semtimedop(id, &operation, 1, NULL);
}

static int value(int id, int semaphore)
{
	return (int)assert_good(dropin_semctl(id, semaphore, GETVAL, 0));
}

static void use_space(void)
{
	setenv("STOA_SPACE", case_directory(), 1);
}

/* ---- Who dies -------------------------------------------------------------------- */

static void take_and_stay(void *context)
{
	int id = *(int *)context;

	assert_true(change(id, 0, -2, SEM_UNDO) == 0);
	assert_true(change(id, 1, 3, SEM_UNDO) == 0);
	assert_true(change(id, 1, 1, 0) == 0);
	report(0);
	await_order();
}

static void wait_for_what_is_held(void *context)
{
	int id = *(int *)context;

	report(getpid());
	report(change(id, 0, -5, 0));
}

static void undo_by(void (*end)(struct child *child))
{
	struct child taker, waiter;
	int id;

	id = make_set();
	assert_true(dropin_semctl(id, 0, SETVAL, 5) == 0);
	taker = start_child(take_and_stay, &id);
	await_report(&taker);
	assert_int_equal(value(id, 0), 3);
	assert_int_equal(value(id, 1), 4);
	waiter = start_child(wait_for_what_is_held, &id);
	await_report(&waiter);
	until_blocked(waiter.pid);
	end(&taker);
	assert_int_equal(await_report(&waiter), 0);
	end_child(&waiter);
	assert_int_equal(value(id, 0), 0);
	assert_int_equal(value(id, 1), 1);
	assert_true(dropin_semctl(id, 0, IPC_RMID, 0) == 0);
}

static void end_orderly(struct child *child)
{
	give_order(child, 0);
	end_child(child);
}

static void in_child_killed(void *context UNUSED)
{
	use_space();
	undo_by(kill_child);
}

static void in_child_orderly(void *context UNUSED)
{
	use_space();
	undo_by(end_orderly);
}

/* The process that uses the drop-in keeps its space open: a child each time. */
static void in_child(void (*run)(void *context))
{
	struct child child = start_child(run, NULL);

	end_child(&child);
}

TEST(what_was_done_is_undone_when_its_process_is_killed)
{
	in_child(in_child_killed);
}

TEST(what_was_done_is_undone_when_its_process_ends)
{
	in_child(in_child_orderly);
}

/* ---- What isn't undone --------------------------------------------------------------- */

static void use_stale(void *context)
{
	const int *ids = context;

	assert_true(change(ids[1], 0, 4, SEM_UNDO) == 0);
	/* The same index, and another serial: not this process's set. */
	assert_true(change(ids[0], 0, 1, 0) == -EINVAL);
	assert_true(dropin_semctl(ids[0], 0, GETVAL, 0) == -EINVAL);
	report(value(ids[1], 0));
	await_order();
}

static void stale(void *context UNUSED)
{
	struct child child;
	int ids[2];

	use_space();
	ids[0] = make_set();
	assert_true(dropin_semctl(ids[0], 0, IPC_RMID, 0) == 0);
	ids[1] = make_set();
	assert_int_equal(ids[0] & 0x7fff, ids[1] & 0x7fff);
	assert_int_not_equal(ids[0], ids[1]);
	child = start_child(use_stale, ids);
	assert_int_equal(await_report(&child), 4);
	assert_int_equal(value(ids[1], 0), 4);
	kill_child(&child);
	assert_int_equal(value(ids[1], 0), 0);
}

TEST(a_call_on_a_removed_set_undoes_nothing_of_the_one_in_its_place)
{
	in_child(stale);
}

static void *add_in_thread(void *context)
{
	require(change(*(int *)context, 0, 1, SEM_UNDO) == 0);
	return NULL;
}

static void add_by_threads(void *context)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
		                                add_in_thread, context),
		                 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	report(value(*(int *)context, 0));
	await_order();
}

static void threads(void *context UNUSED)
{
	struct child child;
	int id;

	use_space();
	id = make_set();
	child = start_child(add_by_threads, &id);
	assert_int_equal(await_report(&child), 4);
	assert_int_equal(value(id, 0), 4);
	kill_child(&child);
	assert_int_equal(value(id, 0), 0);
}

TEST(threads_share_their_undo_and_one_of_them_ending_is_no_end)
{
	in_child(threads);
}

static void end_at_once(void *context)
{
	assert_int_equal(value(*(int *)context, 0), 2);
}

static void forks(void *context UNUSED)
{
	struct child child;
	int id;

	use_space();
	id = make_set();
	assert_true(change(id, 0, 2, SEM_UNDO) == 0);
	child = start_child(end_at_once, &id);
	end_child(&child);
	assert_int_equal(value(id, 0), 2);
}

TEST(a_forked_child_has_nothing_to_undo)
{
	in_child(forks);
}

static const struct CMUnitTest cases[] = {
	CASE(what_was_done_is_undone_when_its_process_is_killed),
	CASE(what_was_done_is_undone_when_its_process_ends),
	CASE(a_call_on_a_removed_set_undoes_nothing_of_the_one_in_its_place),
	CASE(threads_share_their_undo_and_one_of_them_ending_is_no_end),
	CASE(a_forked_child_has_nothing_to_undo),
};

MAIN(cases)
