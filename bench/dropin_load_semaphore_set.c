/* SPDX-License-Identifier: MIT */
/* Semaphore sets of System V: one operation that needn't wait, with and without
 * undo, and a question and its answer between two that sleep. */
#include "dropin_load.h"

#include <sys/sem.h>

#define BATCH 1000
#define BLOCKED_BATCH 50

struct stage {
	int set, turn;
	short flags;
};

static int open_stage(struct stage *stage, short flags)
{
	stage->set = semget(IPC_PRIVATE, 2, 0600);
	stage->turn = 0;
	stage->flags = flags;
	return stage->set;
}

/* It lasts longer than its processes. */
static double close_stage(struct stage *stage, double figure)
{
	semctl(stage->set, 0, IPC_RMID);
	return figure;
}

static int change(struct stage *stage, unsigned short semaphore, short amount)
{
	struct sembuf operation = { semaphore, amount, stage->flags };

	return semop(stage->set, &operation, 1);
}

/* Up and down in turn. */
static int operate_once(void *context)
{
	struct stage *stage = context;

	stage->turn = !stage->turn;
	return change(stage, 0, stage->turn ? 1 : -1);
}

static double operate(short flags)
{
	struct stage stage;

	return open_stage(&stage, flags) < 0 ?
	               -1 :
	               close_stage(&stage,
	                           load_repeat(operate_once, &stage, BATCH));
}

static double plain(void)
{
	return operate(0);
}

static double undone(void)
{
	return operate(SEM_UNDO);
}

static void answer_for_ever(void *context)
{
	while (change(context, 0, -1) == 0 && change(context, 1, 1) == 0)
		;
}

static int ask_once(void *context)
{
	return change(context, 0, 1) || change(context, 1, -1);
}

static double ask_them(void *context)
{
	return load_repeat(ask_once, context, BLOCKED_BATCH);
}

static double ping(int core)
{
	struct stage stage;

	return open_stage(&stage, 0) < 0 ?
	               -1 :
	               close_stage(&stage, load_pair(answer_for_ever, core,
	                                             ask_them, &stage));
}

static double ping_one_core(void)
{
	return ping(0);
}

static double ping_two_cores(void)
{
	return ping(1);
}

static const struct load semaphore_set_loads[] = {
	{ "semop", plain },
	{ "semop-undo", undone },
	{ "semop-ping-1", ping_one_core },
	{ "semop-ping-2", ping_two_cores },
};
LOAD_ADD(semaphore_set_loads)
