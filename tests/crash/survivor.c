/* SPDX-License-Identifier: MIT */
/*
 * survivor.c: what a survivor does with the queue: it receives, and compares
 * with the ledger; it fills, and compares with what fitted before.
 */
#include "oracle.h"

#include <errno.h>
#include <string.h>

#define PROBE_BYTES 32u

static unsigned long long ull(uint64_t value)
{
	return value;
}

/* ---- Receiving ----------------------------------------------------------- */

static int check_received(struct survivor *v, struct letter *letter,
			  const struct stoa_message *message)
{
	struct ledger *ledger = &v->stage->ledger;
	const struct letter *last = v->last;

	if (message->bytes != letter->bytes)
		return trouble("letter %llu has %zu bytes, not %u",
			       ull(letter->id), message->bytes, letter->bytes);
	if (letter->held)
		return trouble("letter %llu is held, yet was received",
			       ull(letter->id));
	if (ledger->order == STOA_TYPE && message->type != letter->type)
		return trouble("letter %llu has type %lld, not %lld",
			       ull(letter->id), (long long)message->type,
			       (long long)letter->type);
	if (ledger->order == STOA_PRIORITY &&
	    message->priority != letter->priority)
		return trouble("letter %llu has priority %u, not %u",
			       ull(letter->id), message->priority,
			       letter->priority);
	if (message->deliveries < letter->deliveries_min ||
	    message->deliveries > letter->deliveries_max)
		return trouble("letter %llu has %u deliveries, not %u to %u",
			       ull(letter->id), message->deliveries,
			       letter->deliveries_min, letter->deliveries_max);
	if (v->unordered || (v->patient && message->deliveries > 0))
		return 0;
	if (last != NULL && letter_before(ledger, letter, last))
		return trouble("letter %llu came after %llu", ull(letter->id),
			       ull(last->id));
	return 0;
}

int survivor_receive(struct survivor *v)
{
	static unsigned char buffer[LETTER_MAX_BYTES];
	struct stoa_message message = { 0 };
	struct letter *letter;
	ssize_t got = stoa_queue_receive(v->queue, NULL, buffer,
					 sizeof(buffer), STOA_NOW, &message);

	if (got == -EAGAIN)
		return 0;
	if (got < 0)
		return trouble("receive: %zd %s", got, stoa_last_error());
	if ((size_t)got < sizeof(uint64_t))
		return trouble("received %zd bytes", got);
	letter = ledger_find(&v->stage->ledger, letter_id(buffer));
	if (letter == NULL)
		return trouble("received %zd bytes that are no letter: %llx",
			       got, ull(letter_id(buffer)));
	if (!letter_whole(letter, buffer))
		return trouble("letter %llu is torn", ull(letter->id));
	if (check_received(v, letter, &message) != 0)
		return -1;
	letter->seen++;
	v->drained++;
	if (!v->patient || message.deliveries == 0)
		v->last = letter;
	return 1;
}

static int anything_missing(const struct stage *s)
{
	for (uint32_t i = 0; i < s->ledger.count; i++) {
		const struct letter *letter = &s->ledger.letters[i];

		if (letter->fate == FATE_STAYS && letter->seen == 0 &&
		    letter->copied == 0 && !letter->held)
			return 1;
	}
	return 0;
}

/*
 * A call that doesn't wait may find nothing while a letter is in dead hands:
 * the dead are buried by one such call in a while. Who asks again must get it.
 */
int survivor_drain(struct survivor *v)
{
	int64_t limit = clock_ns() + patient_ns();

	for (;;) {
		int got = survivor_receive(v);

		if (got < 0)
			return -1;
		if (v->drained > LETTERS_MAX)
			return trouble("the queue gives letters without end");
		if (got > 0)
			continue;
		if (!v->patient || !anything_missing(v->stage) ||
		    clock_ns() > limit)
			return 0;
	}
}

/* ---- The verdict on each letter ------------------------------------------ */

static int settle_letter(const struct letter *letter)
{
	if (letter->seen > 1)
		return trouble("letter %llu came %u times", ull(letter->id),
			       letter->seen);
	if (letter->held)
		return 0;
	if (letter->fate == FATE_GONE && letter->seen != 0)
		return trouble("letter %llu was gone, yet came",
			       ull(letter->id));
	if (letter->fate == FATE_STAYS && letter->seen == 0 &&
	    letter->copied == 0)
		return trouble("letter %llu is lost", ull(letter->id));
	return 0;
}

/* What a dead sender sent of a batch is its beginning. */
static int settle_batches(struct stage *s)
{
	for (uint32_t i = 1; i < s->ledger.count; i++) {
		const struct letter *letter = &s->ledger.letters[i];

		if (letter->batched && letter->fate == FATE_MAYBE &&
		    letter->seen && !letter[-1].seen && !letter[-1].copied &&
		    letter[-1].fate == FATE_MAYBE)
			return trouble("letter %llu was sent, %llu before it "
				       "was not", ull(letter->id),
				       ull(letter[-1].id));
	}
	return 0;
}

int oracle_settle(struct stage *s)
{
	for (uint32_t i = 0; i < s->ledger.count; i++)
		if (settle_letter(&s->ledger.letters[i]) != 0)
			return -1;
	return settle_batches(s);
}

/* ---- All the room is there again ----------------------------------------- */

static void forget(struct survivor *v)
{
	v->stage->ledger.count = 0;
	v->last = NULL;
	v->drained = 0;
}

int survivor_fill(struct survivor *v, uint32_t bytes, uint32_t *ret_sent)
{
	uint32_t sent = 0;

	for (;;) {
		struct letter *letter = ledger_add(&v->stage->ledger, bytes);
		int result = letter_send(v->queue, letter, STOA_NOW);

		if (result == -EAGAIN) {
			v->stage->ledger.count--;
			*ret_sent = sent;
			return 0;
		}
		if (result != 0)
			return trouble("refill: %d %s", result,
				       stoa_last_error());
		sent++;
	}
}

static int check_stat(struct survivor *v, uint32_t messages)
{
	struct stoa_queue_stat stat = { .size = sizeof(stat) };
	int result = stoa_queue_stat(v->queue, &stat);

	if (result != 0)
		return trouble("stat: %d %s", result, stoa_last_error());
	if (stat.messages != messages || stat.taken != 0 || stat.reserved != 0)
		return trouble("stat says %llu messages, %llu taken, %llu "
			       "reserved, not %u, 0, 0", ull(stat.messages),
			       ull(stat.taken), ull(stat.reserved), messages);
	return 0;
}

static int refill(struct survivor *v, uint32_t bytes, uint32_t room)
{
	uint32_t sent = 0;

	forget(v);
	if (survivor_fill(v, bytes, &sent) != 0)
		return -1;
	if (sent != room)
		return trouble("%u letters of %u bytes fit, not %u", sent,
			       bytes, room);
	if (check_stat(v, room) != 0 || survivor_drain(v) != 0)
		return -1;
	return oracle_settle(v->stage);
}

/* On the empty queue: what a dead one had reserved or registered is free. */
static int reserve_and_notify(struct survivor *v)
{
	const struct stoa_notification notification = {
		.size = sizeof(notification)
	};
	struct stoa_message message;
	int result = stoa_queue_reserve(v->queue, stage_sizes[1], STOA_NOW,
					&message);

	if (result != 0)
		return trouble("reserve: %d %s", result, stoa_last_error());
	result = stoa_queue_cancel(v->queue, &message);
	if (result != 0)
		return trouble("cancel: %d %s", result, stoa_last_error());
	result = stoa_queue_notify(v->queue, &notification);
	if (result != 0)
		return trouble("notify: %d %s", result, stoa_last_error());
	result = stoa_queue_notify(v->queue, NULL);
	return result == 0 ? 0 : trouble("notify nobody: %d", result);
}

int survivor_refill(struct survivor *v)
{
	struct stage *s = v->stage;
	uint32_t size = (uint32_t)(s->serial % SIZES);

	if (reserve_and_notify(v) != 0 ||
	    refill(v, PROBE_BYTES, CAPACITY) != 0)
		return -1;
	return refill(v, stage_sizes[size],
		      s->room[s->state->order][size]);
}
