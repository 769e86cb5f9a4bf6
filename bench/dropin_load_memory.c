/* SPDX-License-Identifier: MIT */
/* POSIX semaphores: taken and posted by one, and a question and its answer
 * between two processes that sleep; and a segment of System V from its making to
 * its removal. */
#include "dropin_load.h"

#include <semaphore.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define BATCH 1000
#define BLOCKED_BATCH 50
#define CYCLE_BATCH 20
#define SEGMENT_BYTES 65536

static int take_and_post(void *context)
{
	return sem_wait(context) || sem_post(context);
}

static double alone(void)
{
	sem_t semaphore;

	return sem_init(&semaphore, 0, 1) ?
	               -1 :
	               load_repeat(take_and_post, &semaphore, BATCH);
}

static void answer_for_ever(void *context)
{
	sem_t *both = context;

	while (sem_wait(&both[0]) == 0 && sem_post(&both[1]) == 0)
		;
}

static int ask_once(void *context)
{
	sem_t *both = context;

	return sem_post(&both[0]) || sem_wait(&both[1]);
}

static double ask_them(void *context)
{
	return load_repeat(ask_once, context, BLOCKED_BATCH);
}

static double ping(int core)
{
	sem_t *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (both == MAP_FAILED || sem_init(&both[0], 1, 0) ||
	    sem_init(&both[1], 1, 0))
		return -1;
	return load_pair(answer_for_ever, core, ask_them, both);
}

static double ping_one_core(void)
{
	return ping(0);
}

static double ping_two_cores(void)
{
	return ping(1);
}

static int make_and_remove(void *context)
{
	int id = shmget(IPC_PRIVATE, SEGMENT_BYTES, 0600);
	void *at = shmat(id, NULL, 0);

	(void)context;
	return at == (void *)-1 || shmdt(at) || shmctl(id, IPC_RMID, NULL);
}

static double cycle(void)
{
	return load_repeat(make_and_remove, NULL, CYCLE_BATCH);
}

static const struct load memory_loads[] = {
	{ "sem", alone },
	{ "sem-ping-1", ping_one_core },
	{ "sem-ping-2", ping_two_cores },
	{ "shm-cycle", cycle },
};
LOAD_ADD(memory_loads)
