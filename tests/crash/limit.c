/* SPDX-License-Identifier: MIT */
/*
 * limit.c: a queue with a limit as a subject. Whatever anybody dies in, never
 * is more in it than the limit; and what the dead had is room for others at
 * once, whether they are buried or not.
 */
#include <errno.h>
#include <string.h>

#include "subject.h"

#define OPEN_FLAGS (STOA_READ | STOA_WRITE)
#define ROOM 4u /* messages; and bytes for so many of the large ones */
#define CELLS 16u
#define LARGE 200u
#define ALL_BYTES ((uint64_t)ROOM * LARGE)

HANDLE_PLUMBING(queue)

/* Takes no turn, so what the dead one left is there still. */
static int plumb_stat(void *object)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };

	return stoa_queue_stat(object, &stat);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_queue_attributes attributes = {
		.size = sizeof(attributes), .order = STOA_TYPE,
		.capacity = CELLS, .max_message_bytes = LARGE,
		.limit_bytes = ALL_BYTES, .limit_messages = ROOM
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
enum noted { OF_TAKEN };

enum state_number { EMPTY, SOME, FULL, TAKEN, DEAD_TAKER, DEAD_RESERVER };

/* Numbers of the messages sent: by the state, the players, the oracle. */
#define OF_PLAYER(number) (10 + (uint64_t)(number))
#define OF_GIFT 40u
#define OF_FILLER 41u
#define IDS 42u

struct large {
	uint64_t id;
	unsigned char rest[LARGE - sizeof(uint64_t)];
};

static int64_t send(struct player *p, size_t bytes,
		    struct stoa_deadline deadline)
{
	struct large message = { .id = OF_PLAYER(p->number) };

	return stoa_queue_send(p->object, &message, bytes, deadline);
}

static int64_t receive(struct player *p, struct stoa_deadline deadline)
{
	ssize_t got = stoa_queue_receive(p->object, NULL, p->note->bytes,
					 LARGE, deadline, NULL);

	return got < 0 ? got : 0;
}

static int64_t run_send(struct player *p)
{
	return send(p, sizeof(uint64_t), STOA_NOW);
}

static int64_t run_send_large(struct player *p)
{
	return send(p, LARGE, STOA_NOW);
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

/* Of the player that runs: each is a process of its own. */
static struct stoa_message held;

static void prepare_taken(struct player *p)
{
	uint64_t id;

	if (stoa_queue_take(p->object, NULL, STOA_NOW, &held) != 0)
		player_skip();
	memcpy(&id, held.data, sizeof(id));
	atomic_store(&p->note->words[OF_TAKEN], id);
}

static int64_t run_acknowledge(struct player *p)
{
	return stoa_queue_acknowledge(p->object, &held);
}

static int64_t run_reserve(struct player *p)
{
	return stoa_queue_reserve(p->object, LARGE, STOA_NOW, &held);
}

static void prepare_reserved(struct player *p)
{
	if (run_reserve(p) != 0)
		player_skip();
}

static int64_t run_commit(struct player *p)
{
	uint64_t id = OF_PLAYER(p->number);

	memcpy(held.data, &id, sizeof(id));
	held.bytes = sizeof(id);
	return stoa_queue_commit(p->object, &held);
}

static int64_t run_cancel(struct player *p)
{
	return stoa_queue_cancel(p->object, &held);
}

static int64_t run_set_limit(struct player *p)
{
	return stoa_queue_set_limit(p->object, ALL_BYTES, ROOM);
}

static int64_t run_count(struct player *p)
{
	struct stoa_queue_count count = { .size = sizeof(count) };

	return stoa_queue_count(p->object, &count);
}

static int64_t wait_send(struct player *p)
{
	return send(p, sizeof(uint64_t), STOA_FOREVER);
}

static int64_t wait_receive(struct player *p)
{
	return receive(p, STOA_FOREVER);
}

static const struct deed deeds[] = {
	{ "send", DEED_CORE | DEED_REPAIRS, 0, NULL, run_send, NULL },
	{ "send-large", 0, 0, NULL, run_send_large, NULL },
	{ "receive", DEED_CORE | DEED_REPAIRS, 0, NULL, run_receive, NULL },
	{ "take", 0, 0, NULL, run_take, NULL },
	{ "acknowledge", 0, 0, prepare_taken, run_acknowledge, NULL },
	{ "reserve", 0, 0, NULL, run_reserve, NULL },
	{ "commit", 0, 0, prepare_reserved, run_commit, NULL },
	{ "cancel", 0, 0, prepare_reserved, run_cancel, NULL },
	{ "set-limit", 0, 0, NULL, run_set_limit, NULL },
	{ "count", DEED_REPAIRS, 0, NULL, run_count, NULL },
	{ "wait-send", DEED_WAITS, 0, NULL, wait_send, NULL },
	{ "wait-receive", DEED_WAITS, 0, NULL, wait_receive, NULL }
};

enum deed_number { SEND, SEND_LARGE, RECEIVE, TAKE, ACKNOWLEDGE, RESERVE,
		   COMMIT, CANCEL, SET_LIMIT, COUNT, WAIT_SEND, WAIT_RECEIVE };

static int sends(const struct deed *deed)
{
	return deed == &deeds[SEND] || deed == &deeds[SEND_LARGE] ||
	       deed == &deeds[COMMIT] || deed == &deeds[WAIT_SEND];
}

static int receives(const struct deed *deed)
{
	return deed == &deeds[RECEIVE] || deed == &deeds[WAIT_RECEIVE];
}

/* ---- States ------------------------------------------------------------------- */

/* Messages 1, 2, .. are there from the start; every other one is large. */
static void put(struct scene *s, uint32_t count)
{
	struct large message = { 0 };

	for (message.id = 1; message.id <= count; message.id++)
		if (stoa_queue_send(s->object, &message,
				    message.id % 2 == 0 ? LARGE : 8,
				    STOA_NOW) != 0)
			broken("send: %s", stoa_last_error());
	atomic_store(&s->words[THERE], count);
}

static void set_some(struct scene *s)
{
	put(s, 3);
}

static void set_full(struct scene *s)
{
	put(s, ROOM);
}

static void set_taken(struct scene *s)
{
	put(s, ROOM);
	scene_helper(s, &deeds[TAKE]);
}

static void set_dead_taker(struct scene *s)
{
	put(s, ROOM);
	scene_dead(s, &deeds[TAKE]);
}

static void set_dead_reserver(struct scene *s)
{
	put(s, 3);
	scene_dead(s, &deeds[RESERVE]);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[SOME] = { "some", set_some },
	[FULL] = { "full", set_full },
	[TAKEN] = { "taken", set_taken },
	[DEAD_TAKER] = { "dead-taker", set_dead_taker },
	[DEAD_RESERVER] = { "dead-reserver", set_dead_reserver }
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
	uint32_t all; /* in the queue */
};

static void expect(const struct scene *s, struct tally *tally)
{
	for (uint64_t id = 1; id <= atomic_load(&s->words[THERE]); id++)
		tally->least[id] = tally->most[id] = 1;
	for (uint32_t i = 0; i < PLAYERS; i++) {
		int64_t result;
		int done = note_done(s, i, &result);

		if (s->deeds[i] == NULL || !sends(s->deeds[i]))
			continue;
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
		int64_t result;
		int done = note_done(s, i, &result);
		uint64_t id;

		if (s->deeds[i] == &deeds[ACKNOWLEDGE]) {
			id = atomic_load(&s->notes[i].words[OF_TAKEN]) % IDS;
			tally->least[id] = 0;
			if (done && result >= 0)
				tally->most[id] = 0;
		}
		if (s->deeds[i] == NULL || !receives(s->deeds[i]))
			continue;
		id = got(s, i);
		if (done && result >= 0)
			tally->seen[id]++;
		else if (tally->least[id] > 0)
			tally->least[id]--;
	}
}

/* Receives `most` messages or all. */
static int drain_until(struct scene *s, struct tally *tally, uint32_t most,
		       struct stoa_deadline deadline)
{
	struct large message;
	ssize_t result = 0;

	while (tally->all < most &&
	       (result = stoa_queue_receive(s->eye, NULL, &message, LARGE,
					    deadline, NULL)) >= 0) {
		if (message.id == 0 || message.id >= IDS)
			return trouble("received what nobody sent");
		tally->all++;
		tally->seen[message.id]++;
	}
	return result >= 0 || result == -EAGAIN || result == -ETIMEDOUT
		       ? 0
		       : trouble("receive: %zd", result);
}

static int drain(struct scene *s, struct tally *tally)
{
	return drain_until(s, tally, UINT32_MAX, STOA_NOW);
}

/* Sends messages of so many bytes until the queue is full; how many. */
static int fill(struct scene *s, size_t bytes, struct tally *tally)
{
	struct large message = { .id = OF_FILLER };
	int filled = 0, result;

	while ((result = stoa_queue_send(s->eye, &message, bytes,
					 STOA_NOW)) == 0 &&
	       filled < 2 * (int)ROOM)
		filled++;
	if (result != -EAGAIN && result != 0)
		return trouble("fill: %d", result);
	tally->least[OF_FILLER] += (uint32_t)filled;
	tally->most[OF_FILLER] += (uint32_t)filled;
	return filled;
}

/* Empty: then the limit is what fits, in messages and in bytes. */
static int check_exact(struct scene *s)
{
	struct tally tally = { 0 };
	int filled = fill(s, LARGE, &tally);

	if (filled != ROOM)
		return filled < 0 ? -1 : trouble("%d large messages fit, not %u",
						 filled, ROOM);
	if (stoa_queue_set_limit(s->eye, ALL_BYTES, CELLS) != 0)
		return trouble("set limit: %s", stoa_last_error());
	if (fill(s, 1, &tally) != 0)
		return trouble("a byte more than the limit fits");
	if (drain(s, &tally) != 0)
		return -1;
	filled = fill(s, LARGE, &tally);
	if (filled != ROOM)
		return trouble("then %d large messages fit, not %u", filled,
			       ROOM);
	return 0;
}

static int check_count(struct scene *s)
{
	struct stoa_queue_count count = { .size = sizeof(count) };

	if (stoa_queue_count(s->eye, &count) != 0)
		return trouble("count: %s", stoa_last_error());
	if (count.messages > ROOM || count.bytes > ALL_BYTES)
		return trouble("%llu messages of %llu bytes are in",
			       (unsigned long long)count.messages,
			       (unsigned long long)count.bytes);
	return 0;
}

static int check_seen(struct scene *s, const struct tally *tally)
{
	for (uint32_t i = 1; i < IDS; i++)
		if (tally->seen[i] < tally->least[i] ||
		    tally->seen[i] > tally->most[i])
			return trouble("message %u was seen %u times, not %u "
				       "to %u", i, tally->seen[i],
				       tally->least[i], tally->most[i]);
	(void)s;
	return 0;
}

/* With one that is dead, and perhaps not buried, as much is sent as fits: then
 * exactly as many are in as may be, but for what the living hold. */
static int check(struct scene *s, uint32_t variant)
{
	struct tally tally = { 0 };

	(void)variant;
	expect(s, &tally);
	account(s, &tally);
	if (fill(s, sizeof(uint64_t), &tally) < 0 || check_count(s) != 0)
		return -1;
	scene_let_all_go(s);
	if (drain(s, &tally) != 0)
		return -1;
	if (stoa_space_clean(s->space, 0, NULL, NULL) < 0)
		return trouble("clean: %s", stoa_last_error());
	if (drain(s, &tally) != 0)
		return -1;
	/* Without a name there is no cleaning; who waits buries. */
	if (drain_until(s, &tally, ROOM, stoa_deadline_in(patient_ns())) != 0)
		return -1;
	if (tally.all != ROOM)
		return trouble("%u messages were in, not %u", tally.all, ROOM);
	for (uint64_t i = 0; i < atomic_load(&s->words[TAKEN_OUT]); i++)
		tally.seen[atomic_load(&s->words[TAKEN_FROM + i]) % IDS]++;
	tally.seen[0] = 0;
	if (check_seen(s, &tally) != 0)
		return -1;
	return check_exact(s);
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
	struct large message = { .id = OF_GIFT };
	ssize_t result;

	if (wait == &deeds[WAIT_SEND]) {
		result = stoa_queue_receive(s->object, NULL, &message, LARGE,
					    STOA_NOW, NULL);
		if (result < 0)
			return trouble("give room: %zd", result);
		atomic_store(&s->words[TAKEN_FROM +
				       atomic_fetch_add(&s->words[TAKEN_OUT],
							1) % ROOM],
			     message.id);
		return 0;
	}
	result = stoa_queue_send(s->object, &message, sizeof(uint64_t),
				 STOA_NOW);
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

const struct subject limit_subject = {
	.name = "limit",
	.kind = "queue",
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
