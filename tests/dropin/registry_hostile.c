/* SPDX-License-Identifier: MIT */
/* A registry that somebody scribbles over: identifiers, limits and counts may
 * be anything; every call returns, and nobody reads or writes beyond it. */
#include "support.h"

#include <dropin/calls.h>
#include <dropin/registry.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { CALLS = 4000, WORDS_NEAR = 64, KEYS = 5, KEY = 0x5702 };

struct text {
	long type;
	char text[300];
};

static void use_space(void)
{
	setenv("STOA_SPACE", case_directory(), 1);
}

static void call_message(int id, uint64_t *chance)
{
	struct text text = { .type = 1 };
	struct msqid_ds ds;

	dropin_msgsnd(id, &text, random_below(chance, 300), IPC_NOWAIT);
	dropin_msgrcv(id, &text, random_below(chance, 300), -3,
	              IPC_NOWAIT | MSG_NOERROR);
	dropin_msgrcv(id, &text, 300, (long)random_below(chance, 3),
	              IPC_NOWAIT | MSG_COPY);
	if (dropin_msgctl(id, IPC_STAT, &ds) == 0)
		dropin_msgctl(id, IPC_SET, &ds);
	dropin_msgctl((int)random_below(chance, 40), MSG_STAT_ANY, &ds);
	if (random_below(chance, 8) == 0)
		dropin_msgctl(0, MSG_INFO, &ds);
	if (random_below(chance, 4) == 0)
		dropin_msgctl(id, IPC_RMID, NULL);
}

static void call_semaphore(int id, uint64_t *chance)
{
	struct sembuf changes[3] = { { 0, 1, SEM_UNDO },
		                     { 1, 1, IPC_NOWAIT },
		                     { 9, -1, IPC_NOWAIT } };
	unsigned short values[STOA_SEMAPHORE_SET_MAX];
	struct semid_ds ds;
	struct seminfo info;

	dropin_semtimedop(id, changes, 1 + random_below(chance, 3), NULL);
	dropin_semctl(id, 0, GETALL, (unsigned long)values);
	dropin_semctl(id, 1, SETVAL, random_below(chance, 9));
	dropin_semctl(id, 0, IPC_STAT, (unsigned long)&ds);
	dropin_semctl((int)random_below(chance, 40), 0, SEM_STAT_ANY,
	              (unsigned long)&ds);
	if (random_below(chance, 8) == 0)
		dropin_semctl(0, 0, SEM_INFO, (unsigned long)&info);
	if (random_below(chance, 4) == 0)
		dropin_semctl(id, 0, IPC_RMID, 0);
}

static void call(void *context)
{
	uint64_t chance = *(uint64_t *)context;

	use_space();
	assert_good(dropin_msgget(IPC_PRIVATE, 0600));
	report(0);
	for (int i = 0; i < CALLS; i++) {
		key_t key = (key_t)random_below(&chance, KEYS);
		int id;

		if (key != IPC_PRIVATE)
			key += KEY;
		if (random_below(&chance, 2)) {
			id = dropin_msgget(key, IPC_CREAT | 0600);
			call_message(id, &chance);
		} else {
			id = dropin_semget(key, 2, IPC_CREAT | 0600);
			call_semaphore(id, &chance);
		}
	}
}

/* Words of the header, and of the first slots of each kind. */
static void scribble(void *context)
{
	uint64_t chance = *(uint64_t *)context;
	int fd = open(case_path("sysv.segment"), O_RDWR | O_CLOEXEC);
	struct stat file;
	_Atomic uint64_t *words;
	const uint64_t at[] = {
		0, REGISTRY_BLOCKS_AT,
		REGISTRY_BLOCKS_AT +
		        offsetof(struct registry_block, slots[REGISTRY_SEMAPHORE])
	};

	assert_system(fd);
	assert_system(fstat(fd, &file));
	words = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE,
	             MAP_SHARED, fd, 0);
	assert_ptr_not_equal(words, MAP_FAILED);
	size_t skipped = ((size_t)file.st_size - REGISTRY_BYTES_MOST) / 8;
	report(0);
	for (;;) {
		uint64_t word = at[random_below(&chance, LENGTH(at))] / 8 +
		                random_below(&chance, WORDS_NEAR);
		uint64_t value = next_random(&chance);

		if (random_below(&chance, 2))
			value >>= random_below(&chance, 64);
		words[skipped + word] = value;
		sched_yield();
	}
}

TEST(whatever_the_registry_says_every_call_returns)
{
	uint64_t chance = run_seed(), seeds[2];
	struct child caller, scribbler;

	seeds[0] = next_random(&chance);
	seeds[1] = next_random(&chance);
	caller = start_child(call, &seeds[0]);
	await_report(&caller);
	scribbler = start_child(scribble, &seeds[1]);
	await_report(&scribbler);
	end_child(&caller);
	kill_child(&scribbler);
}

static void call_after_all(void *context)
{
	int id;

	(void)context;
	use_space();
	id = dropin_msgget(IPC_PRIVATE, 0600);
	if (id >= 0)
		dropin_msgctl(id, IPC_RMID, NULL);
	report(id);
}

/* A registry too small to be one is told of, and not touched. */
static void meet_small(void *context)
{
	struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes), .bytes = 4096
	};
	struct stoa_segment *segment;
	struct stoa_space *space = open_space();

	(void)context;
	assert_ok(stoa_segment_open(space, "sysv",
	                            STOA_CREATE | STOA_READ | STOA_WRITE, 0600,
	                            &attributes, &segment));
	call_after_all(NULL);
}

TEST(a_registry_that_is_too_small_is_refused)
{
	struct child child = start_child(meet_small, NULL);

	assert_true(await_report(&child) < 0);
	end_child(&child);
}

static const struct CMUnitTest cases[] = {
	CASE(whatever_the_registry_says_every_call_returns),
	CASE(a_registry_that_is_too_small_is_refused),
};

MAIN(cases)
