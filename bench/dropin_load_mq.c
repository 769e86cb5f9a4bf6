/* SPDX-License-Identifier: MIT */
/* Message queues of POSIX: a pair in one process, a stream of 64 bytes between
 * two, a question and its answer between two that sleep. */
#include "dropin_load.h"

#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BYTES 64
#define DEPTH 10
#define BATCH 1000
#define BLOCKED_BATCH 50

struct stage {
	mqd_t there, back;
	char data[BYTES];
};

static mqd_t open_queue(const char *what)
{
	struct mq_attr attributes = { .mq_maxmsg = DEPTH, .mq_msgsize = BYTES };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof(name), "/load-%s-%d", what, getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	if (queue >= 0)
		mq_unlink(name);
	return queue;
}

static int open_stage(struct stage *stage)
{
	memset(stage, 0, sizeof(*stage));
	stage->there = open_queue("there");
	stage->back = open_queue("back");
	return stage->there < 0 || stage->back < 0 ? -1 : 0;
}

static int send_one(mqd_t queue, struct stage *stage)
{
	return mq_send(queue, stage->data, BYTES, 0);
}

static int receive_one(mqd_t queue, struct stage *stage)
{
	return mq_receive(queue, stage->data, BYTES, NULL) == BYTES ? 0 : -1;
}

static int pair_once(void *context)
{
	struct stage *stage = context;

	return send_one(stage->there, stage) || receive_one(stage->there, stage);
}

static double pair(void)
{
	struct stage stage;

	return open_stage(&stage) ? -1 : load_repeat(pair_once, &stage, BATCH);
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
	               load_pair(send_for_ever, 1, receive_them, &stage);
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
	               load_pair(answer_for_ever, core, ask_them, &stage);
}

static double ping_one_core(void)
{
	return ping(0);
}

static double ping_two_cores(void)
{
	return ping(1);
}

static const struct load mq_loads[] = {
	{ "mq-pair", pair },
	{ "mq-stream", stream },
	{ "mq-ping-1", ping_one_core },
	{ "mq-ping-2", ping_two_cores },
};
LOAD_ADD(mq_loads)
