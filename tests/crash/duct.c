/* SPDX-License-Identifier: MIT */
/*
 * duct.c: streams whose ends are handed on by fork: the anonymous pipe, and the
 * pair that goes both ways. In states EMPTY to FULL all have all ends; in the
 * others the survivor drops, once the victim is there, what the victim is to be
 * the last to have, so that its death must be told to the other side.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "pieces.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

enum situation_number {
	EMPTY, SOME, FULL, LAST_WRITER, LAST_READER, LAST_READER_FULL
};

#define IN(state) (UINT64_C(1) << (state))
#define PLAIN (IN(EMPTY) | IN(SOME) | IN(FULL))
#define LAST_READERS (IN(LAST_READER) | IN(LAST_READER_FULL))

/*
 * Of a pipe both sides are the same two handles. Of a pair the survivor has
 * `near`, from which it reads what players write to `far`; and the other way
 * round. A handle that was dropped is NULL.
 */
struct duct {
	int is_pair;
	struct stoa_stream *near, *far;
};

/* What players read from and write to; a pipe's `near` is its reader. */
static struct stoa_stream *source(const struct duct *duct)
{
	return duct->is_pair ? duct->far : duct->near;
}

static struct stoa_stream *sink(const struct duct *duct)
{
	return duct->far;
}

/* What the survivor writes to, for players. */
static struct stoa_stream *feed(const struct duct *duct)
{
	return duct->is_pair ? duct->near : duct->far;
}

static int make_duct(struct scene *s, int is_pair, void **ret_object)
{
	const struct stoa_stream_attributes attributes = {
		.size = sizeof(attributes),
		.capacity = CAPACITY_BYTES,
		.max_capacity = 2 * CAPACITY_BYTES
	};
	struct duct *duct = malloc(sizeof(*duct));
	int result;

	if (duct == NULL)
		return -ENOMEM;
	duct->is_pair = is_pair;
	result = is_pair ? stoa_stream_pair(s->space, &attributes, &duct->near,
					    &duct->far)
			 : stoa_stream_pipe(s->space, &attributes, &duct->near,
					    &duct->far);
	if (result == 0)
		*ret_object = duct;
	else
		free(duct);
	return result;
}

static int make_pipe(struct scene *s, void **ret_object)
{
	return make_duct(s, 0, ret_object);
}

static int make_pair(struct scene *s, void **ret_object)
{
	return make_duct(s, 1, ret_object);
}

static void drop(struct stoa_stream **handle)
{
	stoa_stream_close(*handle);
	*handle = NULL;
}

static void plumb_close(void *object)
{
	struct duct *duct = object;

	drop(&duct->near);
	drop(&duct->far);
	free(duct);
}

static int plumb_remove(void *object)
{
	struct duct *duct = object;

	return stoa_stream_remove(duct->near != NULL ? duct->near : duct->far);
}

static int plumb_stat(void *object)
{
	struct stoa_stream_status status = { .size = sizeof(status) };
	struct duct *duct = object;

	return stoa_stream_stat(duct->near != NULL ? duct->near : duct->far,
				&status);
}

static int never_opened(struct stoa_space *space, const char *name,
			void **ret_object)
{
	(void)space;
	(void)name;
	(void)ret_object;
	return -ENOENT;
}

static int never_unlinked(struct stoa_space *space, const char *name)
{
	(void)space;
	(void)name;
	return -ENOENT;
}

/* ---- Deeds -------------------------------------------------------------------- */

static int64_t run_write(struct player *p)
{
	return pieces_write(sink(p->object), OF_PLAYER(p->number), PIECE,
			    STOA_NOW);
}

static int64_t run_write_large(struct player *p)
{
	return pieces_write(sink(p->object), OF_PLAYER_LARGE(p->number), LARGE,
			    STOA_NOW);
}

static int64_t run_read(struct player *p)
{
	return stoa_stream_read(source(p->object), p->note->bytes, PIECE,
				STOA_NOW);
}

static int64_t run_commit(struct player *p)
{
	struct stoa_region region;
	int result = stoa_stream_reserve(sink(p->object), PIECE, STOA_NOW,
					 &region);

	if (result != 0)
		return result;
	memset(region.data, (int)OF_PLAYER(p->number), PIECE);
	return stoa_stream_commit(sink(p->object), PIECE);
}

static int64_t run_consume(struct player *p)
{
	struct stoa_region region;
	ssize_t there = stoa_stream_peek(source(p->object), PIECE, STOA_NOW,
					 &region);
	int result;

	if (there <= 0)
		return there;
	memcpy(p->note->bytes, region.data, PIECE);
	result = stoa_stream_consume(source(p->object), PIECE);
	return result < 0 ? result : (int64_t)PIECE;
}

static int64_t run_resize(struct player *p)
{
	return stoa_stream_resize(sink(p->object), 2 * CAPACITY_BYTES,
				  STOA_NOW);
}

/* Another one, which nobody else has. */
static int64_t run_make(struct player *p)
{
	void *object;
	int result = p->scene->subject->make(p->scene, &object);

	if (result == 0)
		plumb_close(object);
	return result;
}

static int64_t run_drop_sink(struct player *p)
{
	struct duct *duct = p->object;

	drop(&duct->far);
	return 0;
}

static int64_t run_drop_source(struct player *p)
{
	struct duct *duct = p->object;

	drop(duct->is_pair ? &duct->far : &duct->near);
	return 0;
}

static int64_t wait_read(struct player *p)
{
	return stoa_stream_read(source(p->object), p->note->bytes, PIECE,
				STOA_FOREVER);
}

static int64_t wait_write(struct player *p)
{
	return pieces_write(sink(p->object), OF_PLAYER(p->number), PIECE,
			    STOA_FOREVER);
}

/* On the survivor's side. */
static int64_t wait_end(struct player *p)
{
	struct duct *duct = p->object;

	return stoa_stream_read(duct->near, p->note->bytes, PIECE,
				STOA_FOREVER);
}

static int64_t wait_poll_end(struct player *p)
{
	struct duct *duct = p->object;
	struct pollfd bell = { stoa_stream_pollfd(duct->near, STOA_READ),
			       POLLIN, 0 };
	int64_t result;

	if (bell.fd < 0)
		return bell.fd;
	while ((result = stoa_stream_read(duct->near, p->note->bytes, PIECE,
					  STOA_NOW)) == -EAGAIN)
		ppoll(&bell, 1, NULL, NULL);
	return result;
}

static int64_t wait_pipe(struct player *p)
{
	return pieces_write(feed(p->object), OF_PLAYER(p->number), PIECE,
			    STOA_FOREVER);
}

enum deed_number {
	WRITE, WRITE_LARGE, READ, COMMIT, CONSUME, RESIZE, MAKE, LAST_WRITE,
	LAST_READ, DROP_SINK, DROP_SOURCE, WAIT_READ, WAIT_WRITE, WAIT_END,
	WAIT_POLL_END, WAIT_PIPE, DEEDS
};

#define OFTEN (DEED_CORE | DEED_REPAIRS)

static const struct deed deeds[] = {
	[WRITE] = { "write", OFTEN, PLAIN, NULL, run_write, NULL },
	[WRITE_LARGE] = { "write-large", DEED_CORE, PLAIN, NULL,
			  run_write_large, NULL },
	[READ] = { "read", OFTEN, PLAIN, NULL, run_read, NULL },
	[COMMIT] = { "commit", DEED_CORE, PLAIN, NULL, run_commit, NULL },
	[CONSUME] = { "consume", DEED_CORE, PLAIN, NULL, run_consume, NULL },
	[RESIZE] = { "resize", DEED_REPAIRS, PLAIN, NULL, run_resize, NULL },
	[MAKE] = { "make", DEED_CORE, IN(EMPTY), NULL, run_make, NULL },
	[LAST_WRITE] = { "last-write", DEED_CORE, IN(LAST_WRITER), NULL,
			 run_write, NULL },
	[LAST_READ] = { "last-read", DEED_CORE, LAST_READERS, NULL, run_read,
			NULL },
	[DROP_SINK] = { "drop-sink", DEED_CORE, IN(LAST_WRITER), NULL,
			run_drop_sink, NULL },
	[DROP_SOURCE] = { "drop-source", DEED_CORE, LAST_READERS, NULL,
			  run_drop_source, NULL },
	[WAIT_READ] = { "wait-read", DEED_WAITS, 0, NULL, wait_read, NULL },
	[WAIT_WRITE] = { "wait-write", DEED_WAITS, 0, NULL, wait_write, NULL },
	[WAIT_END] = { "wait-end", DEED_WAITS, 0, NULL, wait_end, NULL },
	[WAIT_POLL_END] = { "wait-poll-end", DEED_WAITS, 0, NULL, wait_poll_end,
			    NULL },
	[WAIT_PIPE] = { "wait-pipe", DEED_WAITS, 0, NULL, wait_pipe, NULL }
};

/* ---- States ------------------------------------------------------------------- */

enum word { THERE, GIVEN_DOWN, GIVEN_UP, TAKEN_TO };

/* Of a pair, into both directions. */
static void put(struct scene *s, uint32_t pieces)
{
	struct duct *duct = s->object;

	for (uint32_t id = 1; id <= pieces; id++)
		if (pieces_write(feed(duct), id, PIECE, STOA_NOW) < 0 ||
		    (duct->is_pair &&
		     pieces_write(sink(duct), id, PIECE, STOA_NOW) < 0))
			broken("write: %s", stoa_last_error());
	atomic_store(&s->words[THERE], pieces);
}

static void set_some(struct scene *s)
{
	put(s, 3);
}

static void set_full(struct scene *s)
{
	put(s, FULL_PIECES);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[SOME] = { "some", set_some },
	[FULL] = { "full", set_full },
	[LAST_WRITER] = { "last-writer", NULL },
	[LAST_READER] = { "last-reader", set_some },
	[LAST_READER_FULL] = { "last-reader-full", set_full }
};

static void arrived(struct scene *s)
{
	struct duct *duct = s->object;

	if (IN(s->state_number) & PLAIN)
		return;
	if (duct->is_pair || s->state_number == LAST_WRITER)
		drop(&duct->far);
	else
		drop(&duct->near);
}

/* ---- Oracle ------------------------------------------------------------------- */

/* Up is what players write and the survivor reads; of a pipe they are one. */
struct tallies {
	struct tally tally[2];
	struct tally *up, *down;
};

static int is_one_of(const struct deed *deed, uint64_t numbers)
{
	return deed >= deeds && deed < &deeds[DEEDS] &&
	       IN(deed - deeds) & numbers;
}

#define WRITES (IN(WRITE) | IN(COMMIT) | IN(LAST_WRITE) | IN(WAIT_WRITE) | \
		IN(WAIT_PIPE))
#define READS_DOWN (IN(READ) | IN(CONSUME) | IN(LAST_READ) | IN(WAIT_READ))
#define READS_UP (IN(WAIT_END) | IN(WAIT_POLL_END))

static void account_write(const struct scene *s, uint32_t player,
			  struct tally *tally)
{
	int large = s->deeds[player] == &deeds[WRITE_LARGE];
	uint32_t id = large ? OF_PLAYER_LARGE(player) : OF_PLAYER(player);
	int64_t result = 0;
	int done = note_done(s, player, &result);

	tally->most[id] = !done || result >= 0;
	tally->least[id] = done && result >= 0;
}

static void account(const struct scene *s, struct tallies *t)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];

		if (is_one_of(deed, WRITES | IN(WRITE_LARGE)))
			account_write(s, i, deed == &deeds[WAIT_PIPE]
						    ? t->down
						    : t->up);
		else if (is_one_of(deed, READS_DOWN))
			pieces_account_read(s, i, t->down);
		else if (is_one_of(deed, READS_UP))
			pieces_account_read(s, i, t->up);
	}
}

static void expect(const struct scene *s, struct tallies *t)
{
	const struct duct *duct = s->object;
	uint32_t up = (uint32_t)atomic_load(&s->words[GIVEN_UP]);
	uint32_t down = (uint32_t)atomic_load(&s->words[GIVEN_DOWN]);

	memset(t, 0, sizeof(*t));
	t->up = &t->tally[0];
	t->down = &t->tally[duct->is_pair];
	for (uint64_t id = 1; id <= atomic_load(&s->words[THERE]); id++) {
		t->up->least[id] = t->up->most[id] = 1;
		t->down->least[id] = t->down->most[id] = 1;
		t->up->seen[id] += id <= atomic_load(&s->words[TAKEN_TO]);
	}
	t->up->least[OF_GIFT] += up;
	t->down->least[OF_GIFT] += down;
	t->up->most[OF_GIFT] = t->up->least[OF_GIFT];
	t->down->most[OF_GIFT] = t->down->least[OF_GIFT];
	account(s, t);
}

static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (!is_one_of(deed, ~UINT64_C(0)) ||
		    !note_done(s, i, &result) || result >= 0)
			continue;
		if (result == -EAGAIN &&
		    (s->state_number == FULL || s->state_number == EMPTY ||
		     s->deeds[SECOND] != NULL))
			continue;
		if (result == -EPIPE && is_one_of(deed, IN(WAIT_PIPE)))
			continue;
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

/* All of it can be filled, and comes back. */
static int check_room(struct stoa_stream *to, struct stoa_stream *from)
{
	struct tally tally = { 0 };

	for (uint32_t i = 0; i < CAPACITY_BYTES / PIECE; i++)
		if (pieces_write(to, OF_GIFT, PIECE, STOA_NOW) < 0)
			return trouble("only %u pieces of %u fit", i,
				       CAPACITY_BYTES / PIECE);
	if (pieces_drain(from, &tally, STOA_NOW, -EAGAIN) != 0)
		return -1;
	return tally.seen[OF_GIFT] == CAPACITY_BYTES / PIECE
		       ? 0
		       : trouble("%u pieces came back",
				 tally.seen[OF_GIFT]);
}

static int check_plain(const struct duct *duct, struct tallies *t)
{
	if (pieces_drain(duct->near, t->up, STOA_NOW, -EAGAIN) != 0)
		return -1;
	if (duct->is_pair &&
	    (pieces_drain(duct->far, t->down, STOA_NOW, -EAGAIN) != 0 ||
	     pieces_settle(t->down) != 0))
		return -1;
	if (pieces_settle(t->up) != 0 || check_room(duct->far, duct->near) != 0)
		return -1;
	return duct->is_pair ? check_room(duct->near, duct->far) : 0;
}

/* Nobody has the players' side any more. */
static int check_last(struct scene *s, const struct duct *duct,
		      struct tallies *t)
{
	if ((duct->is_pair || s->state_number == LAST_WRITER) &&
	    (pieces_end(s, duct->near, t->up) != 0 ||
	     pieces_settle(t->up) != 0))
		return -1;
	if (duct->is_pair || IN(s->state_number) & LAST_READERS)
		return pieces_broken_pipe(s, feed(duct));
	return 0;
}

static int check(struct scene *s, uint32_t variant)
{
	struct tallies t;

	(void)variant;
	if (s->deeds[VICTIM] == NULL)
		arrived(s);
	expect(s, &t);
	if (check_results(s) != 0)
		return -1;
	return IN(s->state_number) & PLAIN ? check_plain(s->object, &t)
					   : check_last(s, s->object, &t);
}

/* ---- Blocked -------------------------------------------------------------------- */

static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_stream_status status = { .size = sizeof(status) };
	struct duct *duct = s->object;
	struct stoa_stream *read = is_one_of(wait, IN(WAIT_READ)) ? source(duct)
								  : duct->near;

	/* The end must come by itself. */
	if (!(IN(s->state_number) & PLAIN) ||
	    stoa_stream_stat(read, &status) != 0)
		return 0;
	return is_one_of(wait, IN(WAIT_WRITE))
		       ? status.bytes + PIECE > CAPACITY_BYTES
		       : status.bytes == 0;
}

static int give(struct scene *s, const struct deed *wait)
{
	struct duct *duct = s->object;
	unsigned char buffer[PIECE];
	int64_t result;

	if (wait == &deeds[WAIT_WRITE]) {
		result = stoa_stream_read(duct->near, buffer, sizeof(buffer),
					  stoa_deadline_in(patient_ns()));
		if (result == PIECE && buffer[0] <= FULL_PIECES)
			atomic_store(&s->words[TAKEN_TO], buffer[0]);
	} else if (wait == &deeds[WAIT_READ]) {
		result = pieces_write(feed(duct), OF_GIFT, PIECE, STOA_NOW);
		atomic_fetch_add(&s->words[GIVEN_DOWN], 1);
	} else {
		result = pieces_write(sink(duct), OF_GIFT, PIECE, STOA_NOW);
		atomic_fetch_add(&s->words[GIVEN_UP], 1);
	}
	return result > 0 ? 0 : trouble("give: %lld", (long long)result);
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_READ], NULL, EMPTY, NULL },
	{ &deeds[WAIT_WRITE], NULL, FULL, NULL },
	{ &deeds[WAIT_END], NULL, EMPTY, NULL },
	{ &deeds[WAIT_END], &deeds[WRITE], EMPTY, NULL },
	{ &deeds[WAIT_POLL_END], &deeds[WRITE], EMPTY, NULL },
	{ &deeds[WAIT_END], &deeds[LAST_WRITE], LAST_WRITER, NULL },
	{ &deeds[WAIT_END], &deeds[DROP_SINK], LAST_WRITER, NULL },
	{ &deeds[WAIT_POLL_END], &deeds[LAST_WRITE], LAST_WRITER, NULL },
	{ &deeds[WAIT_PIPE], &deeds[LAST_READ], LAST_READER_FULL, NULL },
	{ &deeds[WAIT_PIPE], &deeds[DROP_SOURCE], LAST_READER_FULL, NULL }
};

#define DUCT(noun)                                          \
	{                                                   \
		.name = #noun,                              \
		.unnamed = ONLY_UNNAMED,                    \
		.states = situations,                       \
		.states_count = ARRAY_SIZE(situations),     \
		.deeds = deeds,                             \
		.deeds_count = ARRAY_SIZE(deeds),           \
		.wakings = wakings,                         \
		.wakings_count = ARRAY_SIZE(wakings),       \
		.make = make_##noun,                        \
		.open = never_opened,                       \
		.close = plumb_close,                       \
		.unlink = never_unlinked,                   \
		.remove = plumb_remove,                     \
		.stat = plumb_stat,                         \
		.prompt_ns = STREAM_PROMPT_NS,              \
		.arrived = arrived,                         \
		.check = check,                             \
		.stuck = stuck,                             \
		.give = give                                \
	}

const struct subject pipe_subject = DUCT(pipe);
const struct subject pair_subject = DUCT(pair);
