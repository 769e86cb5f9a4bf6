/* SPDX-License-Identifier: MIT */
/*
 * notify.c: notification as a subject: a queue at which the survivor is
 * registered for a signal. Whatever a sender dies in, a message that is there
 * has been notified when its death was met; if there is none, the registration
 * stands, or was used up by a signal.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS (STOA_READ | STOA_WRITE)
#define BYTES 8u
#define CELLS 4u
#define NUMBER SIGUSR2
#define STATUS_BYTES 4096

HANDLE_PLUMBING(queue)

static int plumb_stat(void *object)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	return stoa_queue_stat(object, &stat);
}

enum word { REGISTRANT };
enum state_number { EMPTY, SOME };

static void drop_signals(void)
{
	struct timespec now = { 0, 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, NUMBER);
	sigprocmask(SIG_BLOCK, &set, NULL);
	while (sigtimedwait(&set, NULL, &now) > 0)
		;
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes), .order = STOA_PRIORITY,
		.capacity = CELLS, .max_message_bytes = BYTES
	};
	struct stoa_queue *queue;
	int result = stoa_queue_open(s->space, s->name,
				     OPEN_FLAGS | STOA_CREATE | STOA_EXCLUSIVE,
				     0600, &attributes, &queue);

	if (result == 0)
		*ret_object = queue;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static int64_t run_send(struct player *p)
{
	return stoa_queue_send(p->object, "message", BYTES, STOA_NOW);
}

static int64_t run_receive(struct player *p)
{
	char text[BYTES];

	return stoa_queue_receive(p->object, NULL, text, BYTES, STOA_NOW, NULL);
}

static int64_t run_both(struct player *p)
{
	int64_t result = run_send(p);

	return result < 0 ? result : run_receive(p);
}

static const struct deed deeds[] = {
	{ "send", DEED_CORE | DEED_REPAIRS, 0, NULL, run_send, NULL },
	{ "receive", DEED_CORE | DEED_REPAIRS, 0, NULL, run_receive, NULL },
	{ "send-receive", DEED_CORE, 0, NULL, run_both, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void register_survivor(struct scene *s)
{
	struct stoa_notification ask = { .size = sizeof(ask),
					 .signal_number = NUMBER };

	drop_signals();
	atomic_store(&s->words[REGISTRANT], (uint64_t)getpid());
	if (stoa_queue_notify(s->object, &ask) != 0)
		abort();
}

/* Registered while there is a message: for one that comes when it is gone. */
static void register_late(struct scene *s)
{
	if (stoa_queue_send(s->object, "message", BYTES, STOA_NOW) != 0)
		abort();
	register_survivor(s);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", register_survivor },
	[SOME] = { "some", register_late }
};

/* ---- Oracle ------------------------------------------------------------------- */

/* Whoever checks may be another process. */
static int is_signalled(const struct scene *s)
{
	char path[32], line[128];
	unsigned long long pending = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status",
		 (int)atomic_load(&s->words[REGISTRANT]));
	status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "ShdPnd: %llx", &pending) == 1)
			break;
	if (status)
		fclose(status);
	return (pending >> (NUMBER - 1) & 1) != 0;
}

static int count_messages(struct scene *s)
{
	char text[BYTES];
	int count = 0;

	while (stoa_queue_receive(s->eye, NULL, text, BYTES, STOA_NOW, NULL) >=
	       0)
		count++;
	return count;
}

static int check(struct scene *s, uint32_t variant)
{
	int messages, signalled;

	(void)variant;
	if (stoa_space_clean(s->space, 0, NULL, NULL) < 0)
		return trouble("clean: %s", stoa_last_error());
	signalled = is_signalled(s);
	messages = count_messages(s);
	if (s->state_number == EMPTY && messages > 0 && !signalled)
		return trouble("%d messages, and nobody was notified",
			       messages);
	if (signalled)
		return 0;
	if (stoa_queue_send(s->eye, "message", BYTES, STOA_NOW) != 0)
		return trouble("send: %s", stoa_last_error());
	if (!is_signalled(s))
		return trouble("neither notified nor registered any more");
	return count_messages(s) == 1 ? 0 : trouble("the message is gone");
}

const struct subject notify_subject = {
	.name = "notify",
	.kind = "queue",
	.states = situations,
	.states_count = sizeof(situations) / sizeof(situations[0]),
	.deeds = deeds,
	.deeds_count = sizeof(deeds) / sizeof(deeds[0]),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_queue_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check
};
