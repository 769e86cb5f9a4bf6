/* SPDX-License-Identifier: MIT */
/*
 * oracle.c: the survivor. It goes on with the queue as any program would, and
 * whatever the ledger can't explain is wrong.
 */
#include "oracle.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PROBE_BYTES 32u
#define OPEN_BOTH (STOA_READ | STOA_WRITE)
#define SPARE_FILES 2u /* life files grow by shards */

/* How the survivor goes about it; see VARIANTS. */
enum variant {
	VARIANT_RECEIVE_FIRST = 0, /* receive one, send one, drain */
	VARIANT_SEND_FIRST = 1,    /* the same, by a handle opened afterwards */
	VARIANT_CLEAN_FIRST = 2,
	VARIANT_NEWCOMER = 3       /* somebody new has the dead one's slot */
};

/* ---- One send, one receive ----------------------------------------------- */

/* Letters that are in the queue, or may be. */
static uint32_t count_there(const struct stage *s)
{
	uint32_t there = 0;

	for (uint32_t i = 0; i < s->ledger.count; i++) {
		const struct letter *letter = &s->ledger.letters[i];

		there += letter->fate != FATE_GONE && letter->seen == 0;
	}
	return there;
}

/* It may be refused only if the queue may be full. */
static int send_probe(struct survivor *v)
{
	struct letter *letter = ledger_add(&v->stage->ledger, PROBE_BYTES);
	int64_t limit = clock_ns() + patient_ns();
	uint32_t there;
	int result;

	letter->priority = 0;
	letter->fate = FATE_GONE;
	there = count_there(v->stage);
	do
		result = letter_send(v->queue, letter, STOA_NOW);
	while (result == -EAGAIN && v->patient && there < CAPACITY &&
	       clock_ns() < limit);
	if (result == 0)
		letter->fate = FATE_STAYS;
	else if (result != -EAGAIN)
		return trouble("send: %d %s", result, stoa_last_error());
	else if (there < CAPACITY)
		return trouble("no room for a letter with at most %u of %u "
			       "there", there, CAPACITY);
	return 0;
}

static int go_on(struct survivor *v, enum variant variant)
{
	int got = 1;

	if (variant != VARIANT_SEND_FIRST)
		got = survivor_receive(v);
	if (got < 0 || send_probe(v) != 0)
		return -1;
	if (variant == VARIANT_SEND_FIRST && survivor_receive(v) < 0)
		return -1;
	if (survivor_drain(v) != 0)
		return -1;
	if (got == 0 && v->drained > 1 && !v->patient)
		return trouble("a receive found nothing, the next ones %u",
			       v->drained);
	return 0;
}

/* Now at the latest all that was in dead hands is back. */
static int clean_and_drain(struct survivor *v)
{
	int result = stoa_space_clean(v->stage->space, 0, NULL, NULL);

	if (result < 0)
		return trouble("clean: %d %s", result, stoa_last_error());
	if (survivor_drain(v) != 0)
		return -1;
	v->patient = 0;
	return 0;
}

/* ---- The space ----------------------------------------------------------- */

static int visit_object(const struct stoa_object_info *info, void *context)
{
	struct stage *s = context;

	if (strcmp(info->name, s->name) != 0)
		return 0;
	if (info->health != 0)
		return trouble("the space lists %s with health %d", info->name,
			       info->health);
	if (info->users != 1 || info->dead != 0 || info->waiting != 0)
		return trouble("the space lists %s with %u users, %u dead, %u "
			       "waiting", info->name, info->users, info->dead,
			       info->waiting);
	return 0;
}

int oracle_space(struct stage *s)
{
	struct stoa_object_info info;
	int result = stoa_space_clean(s->space, 0, NULL, NULL);

	if (result < 0)
		return trouble("clean: %d %s", result, stoa_last_error());
	result = stoa_space_clean(s->space, 0, NULL, NULL);
	if (result != 0)
		return trouble("a second clean did %d things", result);
	result = stoa_space_find(s->space, s->name, &info);
	if (result != 0)
		return trouble("find: %d %s", result, stoa_last_error());
	result = stoa_space_each(s->space, visit_object, s);
	if (result < 0)
		return trouble("each: %d %s", result, stoa_last_error());
	if (count_files(s->path) > s->files + 1 + SPARE_FILES)
		return trouble("%u files are in the space, %u before",
			       count_files(s->path), s->files);
	return 0;
}

/* ---- Removal ------------------------------------------------------------- */

/* The name is there and good, or gone and free. */
static int check_name(struct stage *s, int must_be_gone)
{
	struct stoa_queue_attributes attributes;
	struct stoa_queue *queue;
	int result = stoa_queue_open(s->space, s->name, OPEN_BOTH, 0, NULL,
				     &queue);

	if (result == 0) {
		stoa_queue_close(queue);
		return must_be_gone ? trouble("the name is still there") : 0;
	}
	if (result != -ENOENT && result != -EIDRM)
		return trouble("open: %d %s", result, stoa_last_error());
	stage_attributes(s->state, &attributes);
	result = stoa_queue_open(s->space, s->name, OPEN_BOTH | STOA_CREATE,
				 0600, &attributes, &queue);
	if (result != 0)
		return trouble("the name can't be used again: %d %s", result,
			       stoa_last_error());
	stoa_queue_close(queue);
	return 0;
}

/* 1: removed, and nothing else is to be checked. */
static int check_removal(struct stage *s, unsigned flags)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };
	int returned = s->pages[0].returned != 0, result;

	if (flags & OP_REMOVE) {
		result = stoa_queue_stat(s->queue, &stat);
		if (result != 0 && result != -EIDRM)
			return trouble("stat: %d %s", result,
				       stoa_last_error());
		if (returned && result == 0)
			return trouble("removed, but goes on");
		if (result == -EIDRM)
			return check_name(s, returned) == 0 ? 1 : -1;
	}
	return check_name(s, returned);
}

/* ---- Held by the survivor, and somebody new ------------------------------ */

static int give_back(struct stage *s)
{
	struct letter *letter = ledger_find(&s->ledger, s->held_id);
	int result = stoa_queue_return(s->queue, &s->held);

	s->held_id = 0;
	if (result != 0)
		return trouble("return of what the survivor holds: %d %s",
			       result, stoa_last_error());
	letter->held = 0;
	return 0;
}

/* The one it held all along comes back, alone. */
static int check_held(struct survivor *v)
{
	if (give_back(v->stage) != 0)
		return -1;
	v->last = NULL;
	return survivor_drain(v);
}

struct newcomer {
	struct stage *stage;
	int ready[2];
};

static void newcomer_body(void *context)
{
	struct newcomer *newcomer = context;
	struct stage *s = newcomer->stage;
	struct stoa_queue *queue;
	int result = stoa_queue_open(s->space, s->name, OPEN_BOTH, 0, NULL,
				     &queue);
	char told = result == 0;

	if (write(newcomer->ready[1], &told, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* Joins after the death, so that it has the dead one's slot. */
static pid_t newcomer_start(struct stage *s)
{
	struct newcomer newcomer = { .stage = s };
	char told = 0;
	pid_t pid;

	if (pipe(newcomer.ready) != 0)
		broken("no pipe");
	pid = trace_fork(newcomer_body, &newcomer);
	close(newcomer.ready[1]);
	if (read(newcomer.ready[0], &told, 1) != 1 || !told)
		trouble("nobody new can open the queue");
	close(newcomer.ready[0]);
	return pid;
}

/* ---- All of it ----------------------------------------------------------- */

static int survive(struct survivor *v, enum variant variant)
{
	struct stage *s = v->stage;

	v->patient = variant == VARIANT_RECEIVE_FIRST;
	if (variant == VARIANT_CLEAN_FIRST &&
	    stoa_space_clean(s->space, 0, NULL, NULL) < 0)
		return trouble("clean: %s", stoa_last_error());
	if (s->held_id != 0 && variant % 2 == 1 && give_back(s) != 0)
		return -1;
	if (go_on(v, variant) != 0)
		return -1;
	if (v->patient && clean_and_drain(v) != 0)
		return -1;
	if (s->held_id != 0 && check_held(v) != 0)
		return -1;
	return oracle_settle(s) != 0 ? -1 : survivor_refill(v);
}

static int survive_with(struct stage *s, enum variant variant)
{
	struct survivor v = { .stage = s, .queue = s->queue };
	int fresh = variant % 2 == 1, result;

	if (fresh) {
		result = stoa_queue_open(s->space, s->name, OPEN_BOTH, 0, NULL,
					 &v.queue);
		if (result != 0)
			return trouble("open: %d %s", result,
				       stoa_last_error());
	}
	result = survive(&v, variant);
	if (fresh)
		stoa_queue_close(v.queue);
	return result;
}

int oracle_check(struct stage *s, unsigned flags, uint32_t number,
		 int thorough)
{
	enum variant variant = (enum variant)(number % VARIANTS);
	int64_t began = clock_ns(), spent;
	pid_t newcomer = 0;
	int result;

	if (flags & OP_UNLINK) {
		result = check_removal(s, flags);
		if (result != 0)
			return result < 0 ? -1 : 0;
		variant = VARIANT_RECEIVE_FIRST;
		thorough = 0;
	}
	if (variant == VARIANT_NEWCOMER)
		newcomer = newcomer_start(s);
	result = survive_with(s, variant);
	spent = clock_ns() - began;
	if (spent > (int64_t)board->worst_ns)
		board->worst_ns = (uint64_t)spent;
	if (newcomer > 0)
		trace_kill(newcomer);
	return result == 0 && thorough ? oracle_space(s) : result;
}
