/* SPDX-License-Identifier: MIT */
/* Message queues of System V: a pair in one process, a stream of 64 bytes
 * between two, a question and its answer between two that sleep. */
#include "dropin_load.h"

#include <string.h>
#include <sys/msg.h>

#define BYTES 64
#define BATCH 1000
#define BLOCKED_BATCH 50

struct message {
	long type;
	char data[BYTES];
};

struct stage {
	int there, back;
	struct message message;
};

static int open_stage(struct stage *stage)
{
	memset(stage, 0, sizeof(*stage));
	stage->message.type = 1;
	stage->there = msgget(IPC_PRIVATE, 0600);
	stage->back = msgget(IPC_PRIVATE, 0600);
	return stage->there < 0 || stage->back < 0 ? -1 : 0;
}

/* These last longer than their processes. */
static double close_stage(struct stage *stage, double figure)
{
	msgctl(stage->there, IPC_RMID, NULL);
	msgctl(stage->back, IPC_RMID, NULL);
	return figure;
}

static int send_one(int queue, struct stage *stage)
{
	return msgsnd(queue, &stage->message, BYTES, 0);
}

static int receive_one(int queue, struct stage *stage)
{
	return msgrcv(queue, &stage->message, BYTES, 0, 0) == BYTES ? 0 : -1;
}

static int pair_once(void *context)
{
	struct stage *stage = context;

	return send_one(stage->there, stage) || receive_one(stage->there, stage);
}

static double pair(void)
{
	struct stage stage;

	return open_stage(&stage) ?
	               -1 :
	               close_stage(&stage,
	                           load_repeat(pair_once, &stage, BATCH));
}

static void send_for_ever(void *context)
{
	struct stage *stage = context;

	while (send_one(stage->there, stage) == 0)
		;
}

static int receive_once(void *context)
{
	struct stage *stage = context;

	return receive_one(stage->there, stage);
}

static double receive_them(void *context)
{
	return load_repeat(receive_once, context, BATCH);
}

static double stream(void)
{
	struct stage stage;

	return open_stage(&stage) ?
	               -1 :
	               close_stage(&stage,
	                           load_pair(send_for_ever, 1, receive_them,
	                                     &stage));
}

static void answer_for_ever(void *context)
{
	struct stage *stage = context;

	while (receive_one(stage->there, stage) == 0 &&
	       send_one(stage->back, stage) == 0)
		;
}

static int ask_once(void *context)
{
	struct stage *stage = context;

	return send_one(stage->there, stage) || receive_one(stage->back, stage);
}

static double ask_them(void *context)
{
	return load_repeat(ask_once, context, BLOCKED_BATCH);
}

static double ping(int core)
{
	struct stage stage;

	return open_stage(&stage) ?
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

static const struct load message_loads[] = {
	{ "msg-pair", pair },
	{ "msg-stream", stream },
	{ "msg-ping-1", ping_one_core },
	{ "msg-ping-2", ping_two_cores },
};
LOAD_ADD(message_loads)
