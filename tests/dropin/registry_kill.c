/* SPDX-License-Identifier: MIT */
/* kill -9 of processes in the midst of making, changing, using and removing
 * System V objects, at random moments: the others go on, no identifier is lost
 * or given twice, and no file is left without one. */
#include "support.h"

#include <dirent.h>
#include <dropin/calls.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

enum { WORKERS = 3, KILLS = 120, KEYS = 6, KEY = 0x5701, PAUSE_NS = 3000000 };

struct text {
	long type;
	char text[120];
};

static void use_space(void)
{
	setenv("STOA_SPACE", case_directory(), 1);
}

static void use_queue(int id, uint64_t *chance)
{
	struct text text = { .type = 1 + (long)random_below(chance, 3) };
	struct msqid_ds ds;

	switch (random_below(chance, 4)) {
	case 0:
		dropin_msgsnd(id, &text, random_below(chance, 120), IPC_NOWAIT);
		break;
	case 1:
		dropin_msgrcv(id, &text, 120, 0, IPC_NOWAIT);
		break;
	case 2:
		if (dropin_msgctl(id, IPC_STAT, &ds) == 0) {
			ds.msg_perm.mode ^= 0040;
			dropin_msgctl(id, IPC_SET, &ds);
		}
		break;
	default:
		if (random_below(chance, 3) == 0)
			dropin_msgctl(id, IPC_RMID, NULL);
	}
}

static void use_set(int id, uint64_t *chance)
{
	struct sembuf up = { 0, 1, SEM_UNDO }, down = { 0, -1, IPC_NOWAIT };

	switch (random_below(chance, 4)) {
	case 0:
		dropin_semtimedop(id, &up, 1, NULL);
		break;
	case 1:
		dropin_semtimedop(id, &down, 1, NULL);
		break;
	case 2:
		dropin_semctl(id, 0, SETVAL, random_below(chance, 9));
		break;
	default:
		if (random_below(chance, 3) == 0)
			dropin_semctl(id, 0, IPC_RMID, 0);
	}
}

/* What may be told of an object that others remove at any time. */
static void expect(int result)
{
	assert_true(result >= 0 || result == -EINVAL || result == -EIDRM ||
	            result == -EAGAIN || result == -ENOENT);
}

static void work(void *context)
{
	uint64_t chance = *(uint64_t *)context;

	use_space();
	report(0);
	for (;;) {
		key_t key = KEY + (key_t)random_below(&chance, KEYS);
		int id;

		if (random_below(&chance, 2)) {
			id = dropin_msgget(key, IPC_CREAT | 0600);
			expect(id);
			if (id >= 0)
				use_queue(id, &chance);
		} else {
			id = dropin_semget(key, 2, IPC_CREAT | 0600);
			expect(id);
			if (id >= 0)
				use_set(id, &chance);
		}
	}
}

static int count_files(const char *end)
{
	DIR *stream = opendir(case_directory());
	struct dirent *entry;
	int count = 0;

	assert_non_null(stream);
	while ((entry = readdir(stream)) != NULL) {
		size_t length = strlen(entry->d_name), part = strlen(end);

		count += strncmp(entry->d_name, "sysv.", 5) == 0 &&
		         length > part &&
		         strcmp(entry->d_name + length - part, end) == 0;
	}
	closedir(stream);
	return count;
}

static void check_all(void *context UNUSED)
{
	struct msginfo messages;
	struct seminfo semaphores;
	struct text text = { .type = 7 };
	int queues, sets;

	use_space();
	queues = (int)assert_good(dropin_msgctl(0, MSG_INFO, (void *)&messages));
	sets = (int)assert_good(
	        dropin_semctl(0, 0, SEM_INFO, (unsigned long)&semaphores));
	assert_int_equal(count_files(".queue"), messages.msgpool);
	assert_int_equal(count_files(".semaphore_set"), semaphores.semusz);
	assert_in_range(queues, 0, KEYS);
	assert_in_range(sets, 0, KEYS);
	for (int i = 0; i < KEYS; i++) {
		int id = (int)assert_good(
		        dropin_msgget(KEY + i, IPC_CREAT | 0600));

		assert_true(dropin_msgget(KEY + i, 0) == id);
		while (dropin_msgrcv(id, &text, 120, 0, IPC_NOWAIT) >= 0)
			;
		assert_true(dropin_msgsnd(id, &text, 5, IPC_NOWAIT) == 0);
		assert_true(dropin_msgrcv(id, &text, 120, 0, IPC_NOWAIT) == 5);
		assert_true(dropin_msgctl(id, IPC_RMID, NULL) == 0);
		assert_true(dropin_msgctl(id, IPC_RMID, NULL) == -EINVAL);
		assert_true(dropin_msgget(KEY + i, 0) == -ENOENT);
		id = (int)assert_good(
		        dropin_semget(KEY + i, 2, IPC_CREAT | 0600));
		assert_true(dropin_semctl(id, 0, SETVAL, 3) == 0);
		assert_true(dropin_semctl(id, 0, GETVAL, 0) == 3);
		assert_true(dropin_semctl(id, 0, IPC_RMID, 0) == 0);
	}
	assert_int_equal(count_files(".queue"), 0);
	assert_int_equal(count_files(".semaphore_set"), 0);
}

TEST(others_go_on_whoever_dies_in_whatever_call)
{
	uint64_t chance = run_seed(), seeds[WORKERS];
	struct child workers[WORKERS], checker;

	for (int i = 0; i < WORKERS; i++) {
		seeds[i] = next_random(&chance);
		workers[i] = start_child(work, &seeds[i]);
		await_report(&workers[i]);
	}
	for (int kill = 0; kill < KILLS; kill++) {
		struct timespec pause = { 0, (long)random_below(&chance,
			                                        PAUSE_NS) };
		int i = (int)random_below(&chance, WORKERS);

		nanosleep(&pause, NULL); /* a moment by chance, no more */
		kill_child(&workers[i]);
		seeds[i] = next_random(&chance);
		workers[i] = start_child(work, &seeds[i]);
		await_report(&workers[i]);
	}
	for (int i = 0; i < WORKERS; i++)
		kill_child(&workers[i]);
	checker = start_child(check_all, NULL);
	end_child(&checker);
}

static const struct CMUnitTest cases[] = {
	CASE(others_go_on_whoever_dies_in_whatever_call),
};

MAIN(cases)
