/* SPDX-License-Identifier: MIT */
/*
 * stream.c: the byte stream as a subject. Bytes are written in pieces of one
 * value each, so that what comes out shows which pieces are whole, in order,
 * and there once; after the last writer's death comes end of file, after the
 * last reader's -EPIPE.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define CAPACITY_BYTES 4096u
#define PIECE 100u
#define LARGE 3000u
#define FULL_PIECES 40u
#define IDS 256u
#define OF_PLAYER(number) (100u + (number))
#define OF_PLAYER_LARGE(number) (130u + (number))
#define OF_GIFT 200u
#define END_NS INT64_C(1000000000) /* promised within 100 ms of the end */
#define BOTH (STOA_READ | STOA_WRITE)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

enum situation_number { EMPTY, SOME, FULL, NO_WRITER, NO_READER };

#define IN(state) (UINT64_C(1) << (state))
#define PLAIN (IN(EMPTY) | IN(SOME) | IN(FULL))

/* The survivor's, with its ends: whoever is forked drops them first. */
static struct stoa_stream *first;
static pid_t first_pid;

static int plumb_open(struct stoa_space *space, const char *name,
		      void **ret_object)
{
	struct stoa_stream *stream;
	int result;

	if (getpid() != first_pid) {
		stoa_stream_shutdown(first, STOA_READ);
		stoa_stream_shutdown(first, STOA_WRITE);
	}
	result = stoa_stream_open(space, name, BOTH, 0, NULL, STOA_NOW,
				  &stream);
	if (result == 0)
		*ret_object = stream;
	return result;
}

static void plumb_close(void *object)
{
	stoa_stream_close(object);
}

static int plumb_remove(void *object)
{
	return stoa_stream_remove(object);
}

static int plumb_stat(void *object)
{
	struct stoa_stream_status status = { .size = sizeof(status) };

	return stoa_stream_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_stream_attributes attributes = {
		.size = sizeof(attributes),
		.capacity = CAPACITY_BYTES,
		.max_capacity = 2 * CAPACITY_BYTES
	};
	struct stoa_stream *stream;
	int result = stoa_stream_open(s->space, s->name,
				      BOTH | STOA_CREATE | STOA_EXCLUSIVE,
				      0600, &attributes, STOA_NOW, &stream);

	if (result != 0)
		return result;
	if (strcmp(s->name, SCENE_NEW_NAME) != 0) {
		first = stream;
		first_pid = getpid();
	}
	*ret_object = stream;
	return 0;
}

/* ---- Deeds -------------------------------------------------------------------- */

static unsigned char pattern[LARGE];

static int64_t write_piece(void *object, uint32_t id, size_t bytes,
			   struct stoa_deadline deadline)
{
	ssize_t result;

	memset(pattern, (int)id, bytes);
	result = stoa_stream_write(object, pattern, bytes, deadline);
	if (result >= 0 && (size_t)result != bytes)
		return -EPROTO;
	return result;
}

static int64_t run_write(struct player *p)
{
	return write_piece(p->object, OF_PLAYER(p->number), PIECE, STOA_NOW);
}

static int64_t run_write_large(struct player *p)
{
	return write_piece(p->object, OF_PLAYER_LARGE(p->number), LARGE,
			   STOA_NOW);
}

static void prepare_reserved(struct player *p)
{
	struct stoa_region region;

	if (stoa_stream_reserve(p->object, PIECE, STOA_NOW, &region) != 0)
		player_skip();
	memset(region.data, (int)OF_PLAYER(p->number), PIECE);
}

static int64_t run_reserve(struct player *p)
{
	struct stoa_region region;

	return stoa_stream_reserve(p->object, PIECE, STOA_NOW, &region);
}

static int64_t run_commit(struct player *p)
{
	return stoa_stream_commit(p->object, PIECE);
}

static int64_t run_cancel(struct player *p)
{
	return stoa_stream_cancel(p->object);
}

static int64_t run_read(struct player *p)
{
	return stoa_stream_read(p->object, p->note->bytes, PIECE, STOA_NOW);
}

static void prepare_peeked(struct player *p)
{
	struct stoa_region region;

	if (stoa_stream_peek(p->object, PIECE, STOA_NOW, &region) < 0)
		player_skip();
	memcpy(p->note->bytes, region.data, PIECE);
}

static int64_t run_peek(struct player *p)
{
	struct stoa_region region;

	return stoa_stream_peek(p->object, 1, STOA_NOW, &region);
}

static int64_t run_consume(struct player *p)
{
	int result = stoa_stream_consume(p->object, PIECE);

	return result < 0 ? result : (int64_t)PIECE;
}

static int64_t run_resize(struct player *p)
{
	return stoa_stream_resize(p->object, 2 * CAPACITY_BYTES, STOA_NOW);
}

static void prepare_writer(struct player *p)
{
	if (stoa_stream_shutdown(p->object, STOA_READ) != 0)
		player_skip();
}

static void prepare_reader(struct player *p)
{
	if (stoa_stream_shutdown(p->object, STOA_WRITE) != 0)
		player_skip();
}

static int64_t run_shut_writer(struct player *p)
{
	return stoa_stream_shutdown(p->object, STOA_WRITE);
}

static int64_t run_shut_reader(struct player *p)
{
	return stoa_stream_shutdown(p->object, STOA_READ);
}

static int64_t wait_read(struct player *p)
{
	return stoa_stream_read(p->object, p->note->bytes, PIECE,
				STOA_FOREVER);
}

static int64_t wait_write(struct player *p)
{
	return write_piece(p->object, OF_PLAYER(p->number), PIECE,
			   STOA_FOREVER);
}

enum deed_number {
	WRITE, WRITE_LARGE, RESERVE, COMMIT, CANCEL, READ, PEEK, CONSUME,
	RESIZE, LAST_WRITE, LAST_READ, SHUT_WRITER, SHUT_READER, WAIT_READ,
	WAIT_WRITE, WAIT_END, DEEDS
};

#define OFTEN (DEED_CORE | DEED_REPAIRS)

static const struct deed deeds[] = {
	[WRITE] = { "write", OFTEN, PLAIN, NULL, run_write, NULL },
	[WRITE_LARGE] = { "write-large", DEED_CORE, PLAIN, NULL,
			  run_write_large, NULL },
	[RESERVE] = { "reserve", DEED_REPAIRS, PLAIN, NULL, run_reserve, NULL },
	[COMMIT] = { "commit", DEED_CORE, IN(EMPTY) | IN(SOME),
		     prepare_reserved, run_commit, NULL },
	[CANCEL] = { "cancel", DEED_CORE, IN(EMPTY) | IN(SOME),
		     prepare_reserved, run_cancel, NULL },
	[READ] = { "read", OFTEN, PLAIN, NULL, run_read, NULL },
	[PEEK] = { "peek", DEED_REPAIRS, PLAIN, NULL, run_peek, NULL },
	[CONSUME] = { "consume", DEED_CORE, IN(SOME) | IN(FULL),
		      prepare_peeked, run_consume, NULL },
	[RESIZE] = { "resize", DEED_CORE, PLAIN, NULL, run_resize, NULL },
	[LAST_WRITE] = { "last-write", DEED_CORE, IN(NO_WRITER),
			 prepare_writer, run_write, NULL },
	[LAST_READ] = { "last-read", DEED_CORE, IN(NO_READER), prepare_reader,
			run_read, NULL },
	[SHUT_WRITER] = { "shut-writer", DEED_CORE, IN(NO_WRITER),
			  prepare_writer, run_shut_writer, NULL },
	[SHUT_READER] = { "shut-reader", DEED_CORE, IN(NO_READER),
			  prepare_reader, run_shut_reader, NULL },
	[WAIT_READ] = { "wait-read", DEED_WAITS, 0, NULL, wait_read, NULL },
	[WAIT_WRITE] = { "wait-write", DEED_WAITS, 0, NULL, wait_write, NULL },
	[WAIT_END] = { "wait-end", DEED_WAITS, 0, prepare_reader, wait_read,
		       NULL }
};

/* ---- States ------------------------------------------------------------------- */

enum word { THERE, GIVEN, SEEN_FROM };

static void put(struct scene *s, uint32_t pieces)
{
	for (uint32_t id = 1; id <= pieces; id++)
		if (write_piece(s->object, id, PIECE, STOA_NOW) < 0)
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

/* Of the two ends the survivor keeps one. */
static void set_no_writer(struct scene *s)
{
	stoa_stream_shutdown(s->object, STOA_WRITE);
}

static void set_no_reader(struct scene *s)
{
	put(s, 3);
	stoa_stream_shutdown(s->object, STOA_READ);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[SOME] = { "some", set_some },
	[FULL] = { "full", set_full },
	[NO_WRITER] = { "no-writer", set_no_writer },
	[NO_READER] = { "no-reader", set_no_reader }
};

/* ---- Oracle ------------------------------------------------------------------- */

struct tally {
	uint32_t seen[IDS], least[IDS], most[IDS];
	uint32_t last;	 /* of the state's, as they came */
	uint32_t id, left; /* of a piece that has not all come yet */
};

static uint32_t bytes_of(uint32_t id)
{
	return id >= OF_PLAYER_LARGE(0) && id < OF_GIFT ? LARGE : PIECE;
}

static int count_byte(struct tally *tally, uint32_t id)
{
	if (tally->left == 0) {
		tally->id = id;
		tally->left = bytes_of(id);
		tally->seen[id]++;
		if (id <= FULL_PIECES && id < tally->last)
			return trouble("piece %u came after %u", id,
				       tally->last);
		tally->last = id <= FULL_PIECES ? id : tally->last;
	}
	tally->left--;
	return id == tally->id ? 0 : trouble("a byte of %u in piece %u", id,
					     tally->id);
}

/* Reads until there is nothing (STOA_NOW) or the end (a deadline). */
static int drain(struct scene *s, struct tally *tally,
		 struct stoa_deadline deadline, int wanted)
{
	static unsigned char buffer[512];
	ssize_t got;

	while ((got = stoa_stream_read(s->eye, buffer, sizeof(buffer),
				       deadline)) > 0)
		for (ssize_t i = 0; i < got; i++)
			if (count_byte(tally, buffer[i]) != 0)
				return -1;
	if (got != wanted)
		return trouble("read at the end gave %zd, not %d", got, wanted);
	return tally->left == 0 ? 0 : trouble("piece %u is cut short",
					      tally->id);
}

static int is_one_of(const struct deed *deed, uint64_t numbers)
{
	return deed >= deeds && deed < &deeds[DEEDS] &&
	       IN(deed - deeds) & numbers;
}

#define WRITES (IN(WRITE) | IN(COMMIT) | IN(LAST_WRITE) | IN(WAIT_WRITE))
#define READS (IN(READ) | IN(CONSUME) | IN(LAST_READ) | IN(WAIT_READ) | \
	       IN(WAIT_END))

/* A reader that did not return may have consumed what it has whole. */
static void account_read(const struct scene *s, uint32_t player,
			 struct tally *tally)
{
	const unsigned char *bytes = s->notes[player].bytes;
	uint32_t id = bytes[0];
	int64_t result;

	if (id == 0)
		return;
	for (uint32_t i = 1; i < PIECE; i++)
		if (bytes[i] != id)
			return;
	if (!note_done(s, player, &result))
		tally->least[id] -= tally->least[id] > 0;
	else if (result > 0)
		tally->seen[id]++;
}

static void account(const struct scene *s, struct tally *tally)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		uint32_t id = is_one_of(deed, IN(WRITE_LARGE))
				      ? OF_PLAYER_LARGE(i)
				      : OF_PLAYER(i);
		int64_t result = 0;
		int done = note_done(s, i, &result);

		if (is_one_of(deed, WRITES | IN(WRITE_LARGE))) {
			tally->most[id] = !done || result >= 0;
			tally->least[id] = done && result >= 0;
		} else if (is_one_of(deed, READS)) {
			account_read(s, i, tally);
		}
	}
}

static int settle(const struct tally *tally)
{
	for (uint32_t id = 1; id < IDS; id++)
		if (tally->seen[id] < tally->least[id] ||
		    tally->seen[id] > tally->most[id])
			return trouble("piece %u came %u times, not %u to %u",
				       id, tally->seen[id], tally->least[id],
				       tally->most[id]);
	return 0;
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
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

/* All of it can be filled at once, and comes back. */
static int check_room(struct scene *s)
{
	struct tally tally = { 0 };

	for (uint32_t i = 0; i < CAPACITY_BYTES / PIECE; i++)
		if (write_piece(s->eye, OF_GIFT, PIECE, STOA_NOW) < 0)
			return trouble("only %u pieces of %u fit", i,
				       CAPACITY_BYTES / PIECE);
	if (drain(s, &tally, STOA_NOW, -EAGAIN) != 0)
		return -1;
	return tally.seen[OF_GIFT] == CAPACITY_BYTES / PIECE
		       ? 0
		       : trouble("%u pieces came back",
				 tally.seen[OF_GIFT]);
}

/* Nobody reads any more, whoever died. */
static int check_broken_pipe(struct scene *s)
{
	int64_t result;
	int64_t limit = clock_ns() + END_NS;

	do
		result = write_piece(s->object, OF_GIFT, PIECE,
				     stoa_deadline_in(END_NS));
	while (result > 0 && clock_ns() < limit);
	return result == -EPIPE ? 0 : trouble("write without readers gave %lld",
					      (long long)result);
}

static int check(struct scene *s, uint32_t variant)
{
	struct tally tally = { 0 };

	(void)variant;
	for (uint64_t id = 1; id <= atomic_load(&s->words[THERE]); id++)
		tally.least[id] = tally.most[id] = 1;
	tally.least[OF_GIFT] = tally.most[OF_GIFT] =
		(uint32_t)atomic_load(&s->words[GIVEN]);
	account(s, &tally);
	for (uint32_t id = 1; id <= FULL_PIECES; id++)
		tally.seen[id] += (uint32_t)(atomic_load(&s->words[SEEN_FROM])
					     >= id);
	if (check_results(s) != 0)
		return -1;
	/* A newcomer has met nobody at the other end, and is told nothing. */
	if (s->state_number == NO_READER)
		return s->newcomer ? 0 : check_broken_pipe(s);
	if (s->state_number == NO_WRITER && s->newcomer)
		return drain(s, &tally, STOA_NOW, -EAGAIN) == 0
			       ? settle(&tally)
			       : -1;
	if (s->state_number == NO_WRITER) {
		s->eye = s->object; /* which has the one end */
		return drain(s, &tally, stoa_deadline_in(END_NS), 0) == 0
			       ? settle(&tally)
			       : -1;
	}
	if (drain(s, &tally, STOA_NOW, -EAGAIN) != 0 || settle(&tally) != 0)
		return -1;
	return check_room(s);
}

/* ---- Blocked -------------------------------------------------------------------- */

static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_stream_status status = { .size = sizeof(status) };

	if (wait == &deeds[WAIT_END] ||
	    stoa_stream_stat(s->object, &status) != 0)
		return 0; /* the end must come by itself */
	return wait == &deeds[WAIT_READ]
		       ? status.bytes == 0
		       : status.bytes + PIECE > CAPACITY_BYTES;
}

static int give(struct scene *s, const struct deed *wait)
{
	unsigned char buffer[PIECE];
	int64_t result;

	if (wait == &deeds[WAIT_READ]) {
		result = write_piece(s->object, OF_GIFT, PIECE, STOA_NOW);
		atomic_fetch_add(&s->words[GIVEN], 1);
	} else {
		result = stoa_stream_read(s->object, buffer, sizeof(buffer),
					  stoa_deadline_in(END_NS));
		if (result == PIECE && buffer[0] <= FULL_PIECES)
			atomic_store(&s->words[SEEN_FROM], buffer[0]);
	}
	return result > 0 ? 0 : trouble("give: %lld", (long long)result);
}

static const struct waking wakings[] = {
	{ &deeds[WAIT_READ], NULL, EMPTY, NULL },
	{ &deeds[WAIT_WRITE], NULL, FULL, NULL },
	{ &deeds[WAIT_READ], &deeds[WRITE], EMPTY, NULL },
	{ &deeds[WAIT_READ], &deeds[COMMIT], EMPTY, NULL },
	{ &deeds[WAIT_END], &deeds[SHUT_WRITER], NO_WRITER, NULL }
};

const struct subject stream_subject = {
	.name = "stream",
	.states = situations,
	.states_count = ARRAY_SIZE(situations),
	.deeds = deeds,
	.deeds_count = ARRAY_SIZE(deeds),
	.wakings = wakings,
	.wakings_count = ARRAY_SIZE(wakings),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_stream_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
