/* SPDX-License-Identifier: MIT */
/* states.c: the starting states of the queue. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define SMALL_BYTES 24u
#define INLINE_BYTES STOA_QUEUE_INLINE
#define RESERVED_BYTES 700u

static void put(struct stage *s, uint32_t bytes)
{
	int result = letter_send(s->queue, ledger_add(&s->ledger, bytes),
				 STOA_NOW);

	if (result != 0)
		broken("state %s: send: %d %s", s->state->name, result,
		       stoa_last_error());
	if (++s->there > s->most)
		s->most = s->there;
}

static void put_small(struct stage *s, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		put(s, i % 2 ? INLINE_BYTES : SMALL_BYTES);
}

/* Large ones of each size, as long as they fit. */
static void put_large(struct stage *s, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		put(s, stage_sizes[(i + 1) % SIZES]);
}

static uint64_t take_first(struct stage *s, struct stoa_message *message)
{
	int result = stoa_queue_take(s->queue, NULL, STOA_NOW, message);

	if (result < 0)
		broken("state %s: take: %d", s->state->name, result);
	return letter_id(message->data);
}

static struct letter *find(struct stage *s, uint64_t id)
{
	for (uint32_t i = 0; i < s->ledger.count; i++)
		if (s->ledger.letters[i].id == id)
			return &s->ledger.letters[i];
	broken("state %s: no letter %llu", s->state->name,
	       (unsigned long long)id);
}

static void fill_one(struct stage *s)
{
	put_small(s, 1);
}

static void fill_half(struct stage *s)
{
	put_small(s, CAPACITY / 2);
}

static void fill_full(struct stage *s)
{
	put_small(s, CAPACITY);
}

static void fill_large(struct stage *s)
{
	put_large(s, 3);
}

/* No pieces left, but cells. */
static void fill_large_full(struct stage *s)
{
	uint32_t fits = s->room[s->state->order][SIZES - 1];

	for (uint32_t i = 0; i < fits && i < CAPACITY; i++)
		put(s, stage_sizes[SIZES - 1]);
}

static void hold(struct stage *s)
{
	struct letter *letter;

	s->held_id = take_first(s, &s->held);
	letter = find(s, s->held_id);
	letter->held = 1;
	letter->deliveries_min = letter->deliveries_max = 1;
}

static void fill_held(struct stage *s)
{
	fill_half(s);
	hold(s);
}

static void fill_held_large(struct stage *s)
{
	fill_large(s);
	hold(s);
}

static void fill_held_full(struct stage *s)
{
	fill_full(s);
	hold(s);
}

static void fill_held_only(struct stage *s)
{
	fill_one(s);
	hold(s);
}

/* ---- The leftovers of the dead ------------------------------------------- */

static void reserver_body(void *context)
{
	struct stage *s = context;
	struct stoa_message message;
	int result = stoa_queue_reserve(s->queue, RESERVED_BYTES, STOA_NOW,
					&message);

	_exit(result == 0 ? 0 : 1);
}

static void taker_body(void *context)
{
	struct stage *s = context;
	struct stoa_message message;

	if (stoa_queue_take(s->queue, NULL, STOA_NOW, &message) < 0)
		_exit(1);
	s->pages[0].held_id = letter_id(message.data);
	_exit(0);
}

/* Runs it to its end; it leaves without closing anything. */
static void let_die(struct stage *s, trace_body *body)
{
	pid_t pid = trace_fork(body, s);

	if (pid < 0 || trace_reap(pid) != 0)
		broken("state %s: the one to die failed", s->state->name);
}

static void dead_taker(struct stage *s)
{
	struct letter *letter;

	let_die(s, taker_body);
	letter = find(s, s->pages[0].held_id);
	letter->deliveries_min = letter->deliveries_max = 1;
}

static void fill_dead_sender(struct stage *s)
{
	put_small(s, 2);
	let_die(s, reserver_body);
	put_small(s, 2);
}

/* The ring is full but for what a dead sender had reserved. */
static void fill_dead_sender_full(struct stage *s)
{
	put_small(s, 3);
	let_die(s, reserver_body);
	put_small(s, CAPACITY - 4);
}

static void fill_dead_taker(struct stage *s)
{
	fill_half(s);
	dead_taker(s);
}

static void fill_dead_taker_only(struct stage *s)
{
	fill_one(s);
	dead_taker(s);
}

static void fill_dead_taker_full(struct stage *s)
{
	fill_full(s);
	dead_taker(s);
}

static void fill_dead_taker_large(struct stage *s)
{
	fill_large(s);
	dead_taker(s);
}

static void fill_dead_both(struct stage *s)
{
	put_small(s, 2);
	let_die(s, reserver_body);
	put_small(s, 2);
	dead_taker(s);
	let_die(s, reserver_body);
}

/* ---- Later laps ---------------------------------------------------------- */

static void pass(struct stage *s, uint32_t count, uint32_t bytes)
{
	unsigned char buffer[LETTER_MAX_BYTES];

	for (uint32_t i = 0; i < count; i++) {
		put(s, bytes);
		if (stoa_queue_receive(s->queue, NULL, buffer, sizeof(buffer),
				       STOA_NOW, NULL) < 0)
			broken("state %s: receive", s->state->name);
		s->there--;
	}
	s->ledger.count = 0;
}

static void fill_wrapped(struct stage *s)
{
	pass(s, CAPACITY * 2 - 2, SMALL_BYTES);
	put_small(s, CAPACITY / 2);
}

static void fill_wrapped_full(struct stage *s)
{
	pass(s, CAPACITY + 3, SMALL_BYTES);
	put_small(s, CAPACITY);
}

static void fill_wrapped_empty(struct stage *s)
{
	pass(s, CAPACITY * 3, SMALL_BYTES);
}

static void fill_wrapped_large(struct stage *s)
{
	pass(s, CAPACITY + 5, stage_sizes[2]);
	put_large(s, 4);
}

/* One in the middle is held, so the ring goes round it. */
static void fill_wrapped_held(struct stage *s)
{
	struct letter kept;

	put(s, SMALL_BYTES);
	hold(s);
	kept = *find(s, s->held_id);
	pass(s, CAPACITY + 2, SMALL_BYTES);
	s->ledger.letters[0] = kept;
	s->ledger.count = 1;
	put_small(s, 3);
}

#define STATES_OF(prefix, order)					\
	{ prefix "empty", order, NULL, STATE_CORE | STATE_EMPTY },	\
	{ prefix "one", order, fill_one, 0 },				\
	{ prefix "half", order, fill_half, STATE_CORE },		\
	{ prefix "full", order, fill_full, STATE_CORE },		\
	{ prefix "large", order, fill_large,				\
	  STATE_CORE | STATE_LARGE | STATE_NESTED },			\
	{ prefix "large-full", order, fill_large_full, STATE_LARGE },	\
	{ prefix "held", order, fill_held, STATE_HELD },		\
	{ prefix "held-only", order, fill_held_only,			\
	  STATE_HELD | STATE_EMPTY },					\
	{ prefix "held-full", order, fill_held_full, STATE_HELD },	\
	{ prefix "held-large", order, fill_held_large,			\
	  STATE_HELD | STATE_LARGE },					\
	{ prefix "dead-sender", order, fill_dead_sender, STATE_CORE },	\
	{ prefix "dead-sender-full", order, fill_dead_sender_full, 0 },	\
	{ prefix "dead-taker", order, fill_dead_taker, STATE_CORE },	\
	{ prefix "dead-taker-only", order, fill_dead_taker_only, 0 },	\
	{ prefix "dead-taker-full", order, fill_dead_taker_full, 0 },	\
	{ prefix "dead-taker-large", order, fill_dead_taker_large,	\
	  STATE_LARGE },						\
	{ prefix "dead-both", order, fill_dead_both, 0 },		\
	{ prefix "wrapped", order, fill_wrapped, 0 },			\
	{ prefix "wrapped-full", order, fill_wrapped_full, 0 },		\
	{ prefix "wrapped-empty", order, fill_wrapped_empty, STATE_EMPTY }, \
	{ prefix "wrapped-large", order, fill_wrapped_large, STATE_LARGE }, \
	{ prefix "wrapped-held", order, fill_wrapped_held, STATE_HELD }

const struct state states[] = {
	STATES_OF("fifo/", STOA_FIFO),
	STATES_OF("priority/", STOA_PRIORITY),
	STATES_OF("type/", STOA_TYPE)
};

const size_t states_count = sizeof(states) / sizeof(states[0]);
