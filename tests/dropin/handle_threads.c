/* SPDX-License-Identifier: MIT */
/* Threads that use identifiers which others of them remove and make again:
 * each call is on the object it names or on none, and no handle is closed under
 * anybody's hands, nor left open for ever. */
#include "support.h"

#include <dropin/calls.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { USERS = 3, ROUNDS = 60, LEFT_MAX = 40 };

static _Atomic int queue, set, over;

struct text {
	long type;
	int id;
};

/* What was sent to a queue says to which, and is received from no other. */
static void *use(void *context UNUSED)
{
	struct sembuf change = { 0, 1, 0 };

	while (!atomic_load(&over)) {
		struct text text = { 1, atomic_load(&queue) };
		int id = text.id;
		long result = dropin_msgsnd(id, &text, sizeof(int), IPC_NOWAIT);

		require(result == 0 || result == -EINVAL || result == -EIDRM ||
		        result == -EAGAIN);
		result = dropin_msgrcv(id, &text, sizeof(int), 0, IPC_NOWAIT);
		require(result == sizeof(int) || result == -EINVAL ||
		        result == -EIDRM || result == -ENOMSG);
		require(result < 0 || text.id == id);
		result = dropin_semtimedop(atomic_load(&set), &change, 1, NULL);
		require(result == 0 || result == -EINVAL || result == -EIDRM ||
		        result == -ERANGE);
	}
	return NULL;
}

static void use_and_remove(void *context UNUSED)
{
	pthread_t users[USERS];
	int before;

	setenv("STOA_SPACE", case_directory(), 1);
	atomic_store(&queue, assert_good(dropin_msgget(IPC_PRIVATE, 0600)));
	atomic_store(&set, assert_good(dropin_semget(IPC_PRIVATE, 1, 0600)));
	before = count_descriptors();
	for (int i = 0; i < USERS; i++)
		assert_int_equal(pthread_create(&users[i], NULL, use, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		int old = atomic_load(&queue);

		assert_true(dropin_msgctl(old, IPC_RMID, NULL) == 0);
		atomic_store(&queue,
		             assert_good(dropin_msgget(IPC_PRIVATE, 0600)));
		assert_int_not_equal(atomic_load(&queue), old);
		old = atomic_load(&set);
		assert_true(dropin_semctl(old, 0, IPC_RMID, 0) == 0);
		atomic_store(&set, assert_good(dropin_semget(IPC_PRIVATE, 1,
		                                             0600)));
	}
	atomic_store(&over, 1);
	for (int i = 0; i < USERS; i++)
		assert_int_equal(pthread_join(users[i], NULL), 0);
	assert_in_range(count_descriptors(), 0, before + LEFT_MAX);
}

TEST(who_uses_what_is_removed_meets_that_object_or_none)
{
	struct child child = start_child(use_and_remove, NULL);

	end_child(&child);
}

/* ---- Handlers of signals ------------------------------------------------------- */

static int handlers_queue;

static void remove_it(int number UNUSED)
{
	dropin_msgctl(handlers_queue, IPC_RMID, NULL);
}

static void wait_and_be_removed(void *context UNUSED)
{
	struct text text;
	struct sigaction action = { .sa_handler = remove_it,
		                    .sa_flags = SA_RESTART };
	long result;

	setenv("STOA_SPACE", case_directory(), 1);
	sigaction(SIGUSR1, &action, NULL);
	handlers_queue = (int)assert_good(dropin_msgget(IPC_PRIVATE, 0600));
	report(getpid());
	result = dropin_msgrcv(handlers_queue, &text, sizeof(int), 0, 0);
	assert_true(result == -EINTR || result == -EIDRM);
	result = dropin_msgrcv(handlers_queue, &text, sizeof(int), 0, 0);
	assert_true(result == -EINVAL);
}

TEST(a_handler_may_remove_what_its_thread_waits_for)
{
	struct child child = start_child(wait_and_be_removed, NULL);
	pid_t pid = (pid_t)await_report(&child);

	until_blocked(pid);
	kill(pid, SIGUSR1);
	end_child(&child);
}

static const struct CMUnitTest cases[] = {
	CASE(who_uses_what_is_removed_meets_that_object_or_none),
	CASE(a_handler_may_remove_what_its_thread_waits_for),
};

MAIN(cases)
