/* SPDX-License-Identifier: MIT */
/*
 * queue.c: the queue as a subject: a small one, as its own suites go deeper.
 * What they don't try: making, removing and closing with somebody else's
 * handles about, and the queue's bytes inherited across fork.
 */
#include <errno.h>
#include <string.h>

#include "subject.h"

#define OPEN_FLAGS (STOA_READ | STOA_WRITE)
#define ROOM 4u

HANDLE_PLUMBING(queue)

static int plumb_stat(void *object)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	return stoa_queue_stat(object, &stat);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes), .capacity = ROOM
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

enum word { THERE, GIVEN, TAKEN_OUT, TAKEN_FROM };

enum state_number { EMPTY, TWO, FULL, TAKEN, DEAD_TAKER };

/* Numbers of the messages sent: by the state, the players, the oracle. */
#define OF_PLAYER(number) (10 + (uint64_t)(number))
#define OF_GIFT 40u
#define IDS 41u

static int64_t send(struct player *p, struct stoa_deadline deadline)
{
	uint64_t id = OF_PLAYER(p->number);

	return stoa_queue_send(p->object, &id, sizeof(id), deadline);
}

static int64_t receive(struct player *p, struct stoa_deadline deadline)
{
	ssize_t got = stoa_queue_receive(p->object, NULL, p->note->bytes,
					 sizeof(uint64_t), deadline, NULL);

	return got < 0 ? got : 0;
}

static int64_t run_send(struct player *p)
{
	return send(p, STOA_NOW);
}

static int64_t run_receive(struct player *p)
{
	return receive(p, STOA_NOW);
}

static int64_t run_take(struct player *p)
{
	struct stoa_message message;

	return stoa_queue_take(p->object, NULL, STOA_NOW, &message);
}

static int64_t wait_send(struct player *p)
{
	return send(p, STOA_FOREVER);
}

static int64_t wait_receive(struct player *p)
{
	return receive(p, STOA_FOREVER);
}

static const struct deed deeds[] = {
	{ "send", DEED_CORE | DEED_REPAIRS, 0, NULL, run_send, NULL },
	{ "receive", DEED_CORE | DEED_REPAIRS, 0, NULL, run_receive, NULL },
	{ "take", DEED_REPAIRS, 0, NULL, run_take, NULL },
	{ "wait-send", DEED_WAITS, 0, NULL, wait_send, NULL },
	{ "wait-receive", DEED_WAITS, 0, NULL, wait_receive, NULL }
};

enum deed_number { SEND, RECEIVE, TAKE, WAIT_SEND, WAIT_RECEIVE };

/* ---- States ------------------------------------------------------------------- */

/* Messages 1, 2, .. are there from the start. */
static void put(struct scene *s, uint32_t count)
{
	for (uint64_t id = 1; id <= count; id++)
		if (stoa_queue_send(s->object, &id, sizeof(id), STOA_NOW) != 0)
			broken("send: %s", stoa_last_error());
	atomic_store(&s->words[THERE], count);
}

static void set_two(struct scene *s)
{
	put(s, 2);
}

static void set_full(struct scene *s)
{
	put(s, ROOM);
}

static void set_taken(struct scene *s)
{
	put(s, 2);
	scene_helper(s, &deeds[TAKE]);
}

static void set_dead_taker(struct scene *s)
{
	put(s, 2);
	scene_dead(s, &deeds[TAKE]);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[TWO] = { "two", set_two },
	[FULL] = { "full", set_full },
	[TAKEN] = { "taken", set_taken },
	[DEAD_TAKER] = { "dead-taker", set_dead_taker }
};

/* ---- Oracle ------------------------------------------------------------------- */

static uint64_t got(const struct scene *s, uint32_t player)
{
	uint64_t id = 0;

	memcpy(&id, s->notes[player].bytes, sizeof(id));
	return id < IDS ? id : 0;
}

/* How often each message may be seen, by what the players say. */
struct tally {
	uint32_t seen[IDS], least[IDS], most[IDS];
};

static void expect(const struct scene *s, struct tally *tally)
{
	for (uint64_t id = 1; id <= atomic_load(&s->words[THERE]); id++)
		tally->least[id] = tally->most[id] = 1;
	for (uint32_t i = 0; i < PLAYERS; i++) {
		int64_t result;
		int done = note_done(s, i, &result);

		if (done && result >= 0)
			tally->least[OF_PLAYER(i)] = 1;
		if (note_torn(s, i) || (done && result >= 0))
			tally->most[OF_PLAYER(i)] = 1;
	}
	tally->least[OF_GIFT] = tally->most[OF_GIFT] =
		(uint32_t)atomic_load(&s->words[GIVEN]);
}

/* What players received is seen, or may be if they did not return. */
static void account(const struct scene *s, struct tally *tally)
{
	for (uint32_t i = 0; i < PLAYERS; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (deed != &deeds[RECEIVE] && deed != &deeds[WAIT_RECEIVE]) {
			if (deed != &deeds[SEND] && deed != &deeds[WAIT_SEND])
				tally->least[OF_PLAYER(i)] =
					tally->most[OF_PLAYER(i)] = 0;
			continue;
		}
		tally->least[OF_PLAYER(i)] = tally->most[OF_PLAYER(i)] = 0;
		if (note_done(s, i, &result) && result >= 0)
			tally->seen[got(s, i)]++;
		else if (tally->least[got(s, i)] > 0)
			tally->least[got(s, i)]--;
	}
	tally->seen[0] = tally->least[0] = tally->most[0] = 0;
}

static int drain(struct scene *s, struct tally *tally)
{
	uint64_t id;
	ssize_t result;

	while ((result = stoa_queue_receive(s->eye, NULL, &id, sizeof(id),
					    STOA_NOW, NULL)) >= 0) {
		if (result != sizeof(id) || id == 0 || id >= IDS)
			return trouble("received what nobody sent");
		if (tally->seen[id]++ > ROOM)
			break;
	}
	return result == -EAGAIN ? 0 : trouble("receive: %zd", result);
}

/* All that were sent and not received are there, once, when the living have
 * gone and the dead are buried; and as many fit as ever. */
static int check(struct scene *s, uint32_t variant)
{
	struct tally tally = { 0 };
	uint64_t id = OF_GIFT;

	(void)variant;
	expect(s, &tally);
	account(s, &tally);
	scene_let_all_go(s);
	if (drain(s, &tally) != 0)
		return -1;
	if (stoa_space_clean(s->space, 0, NULL, NULL) < 0)
		return trouble("clean: %s", stoa_last_error());
	if (drain(s, &tally) != 0)
		return -1;
	for (uint64_t i = 0; i < atomic_load(&s->words[TAKEN_OUT]); i++)
		tally.seen[atomic_load(&s->words[TAKEN_FROM + i]) % IDS]++;
	for (uint32_t i = 1; i < IDS; i++)
		if (tally.seen[i] < tally.least[i] ||
		    tally.seen[i] > tally.most[i])
			return trouble("message %u was seen %u times, not %u "
				       "to %u", i, tally.seen[i],
				       tally.least[i], tally.most[i]);
	for (uint32_t i = 0; i < ROOM; i++)
		if (stoa_queue_send(s->eye, &id, sizeof(id), STOA_NOW) != 0)
			return trouble("only %u of %u messages fit", i, ROOM);
	return 0;
}

static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	if (stoa_queue_stat(s->object, &stat) != 0)
		return 0;
	return wait == &deeds[WAIT_SEND]
		       ? stat.messages + stat.taken >= ROOM
		       : stat.messages + stat.taken + stat.reserved == 0;
}

static int give(struct scene *s, const struct deed *wait)
{
	uint64_t id = OF_GIFT;
	ssize_t result;

	if (wait == &deeds[WAIT_SEND]) {
		result = stoa_queue_receive(s->object, NULL, &id, sizeof(id),
					    STOA_NOW, NULL);
		if (result < 0)
			return trouble("give room: %zd", result);
		atomic_store(&s->words[TAKEN_FROM +
				       atomic_fetch_add(&s->words[TAKEN_OUT],
							1) % ROOM], id);
		return 0;
	}
	result = stoa_queue_send(s->object, &id, sizeof(id), STOA_NOW);
	if (result < 0)
		return trouble("give a message: %zd", result);
	atomic_fetch_add(&s->words[GIVEN], 1);
	return 0;
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_SEND], NULL, FULL, NULL },
	{ &deeds[WAIT_SEND], &deeds[RECEIVE], FULL, NULL },
	{ &deeds[WAIT_RECEIVE], NULL, EMPTY, NULL },
	{ &deeds[WAIT_RECEIVE], &deeds[SEND], EMPTY, NULL }
};

const struct subject queue_subject = {
	.name = "queue",
	.states = situations,
	.states_count = sizeof(situations) / sizeof(situations[0]),
	.deeds = deeds,
	.deeds_count = sizeof(deeds) / sizeof(deeds[0]),
	.wakings = wakings,
	.wakings_count = sizeof(wakings) / sizeof(wakings[0]),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_queue_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
