/* SPDX-License-Identifier: MIT */
/*
 * stream.c: the byte stream as a subject: what is written comes once, whole
 * and in order; after the last writer's death comes end of file, after the last
 * reader's -EPIPE. (Streams whose ends are handed on by fork: duct.c.)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "pieces.h"

#define BOTH (STOA_READ | STOA_WRITE)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

enum situation_number {
	EMPTY, SOME, FULL, NO_WRITER, NO_READER, FULL_NO_READER
};

#define IN(state) (UINT64_C(1) << (state))
#define PLAIN (IN(EMPTY) | IN(SOME) | IN(FULL))
#define READERLESS (IN(NO_READER) | IN(FULL_NO_READER))

/* The survivor's, with its ends: whoever is forked drops them first. */
static struct stoa_stream *first;
static pid_t first_pid;
static int outlet[2] = { -1, -1 }; /* a pipe, for who moves bytes there */

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

static void make_outlet(void)
{
	close(outlet[0]);
	close(outlet[1]);
	if (pipe2(outlet, O_CLOEXEC | O_NONBLOCK) != 0)
		broken("no pipe");
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_stream_attributes attributes = {
		.size = sizeof(attributes),
		.capacity = CAPACITY_BYTES,
		.max_capacity = 2 * CAPACITY_BYTES
	};
	struct stoa_stream *stream;
	int result = stoa_stream_open(s->space, scene_name(s),
				      BOTH | STOA_CREATE | STOA_EXCLUSIVE,
				      0600, &attributes, STOA_NOW, &stream);

	if (result != 0)
		return result;
	if (strcmp(s->name, SCENE_NEW_NAME) != 0) {
		make_outlet();
		first = stream;
		first_pid = getpid();
	}
	*ret_object = stream;
	return 0;
}

/* ---- Deeds -------------------------------------------------------------------- */

static int64_t run_write(struct player *p)
{
	return pieces_write(p->object, OF_PLAYER(p->number), PIECE, STOA_NOW);
}

static int64_t run_write_large(struct player *p)
{
	return pieces_write(p->object, OF_PLAYER_LARGE(p->number), LARGE,
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

static int inlet;

static void prepare_inlet(struct player *p)
{
	unsigned char piece[PIECE];
	int ends[2];

	memset(piece, (int)OF_PLAYER(p->number), PIECE);
	if (pipe2(ends, O_CLOEXEC) != 0 || write(ends[1], piece, PIECE) != PIECE)
		_exit(1);
	inlet = ends[0];
}

static int64_t run_from_fd(struct player *p)
{
	return stoa_stream_from_fd(p->object, inlet, PIECE, STOA_NOW);
}

static int64_t run_to_fd(struct player *p)
{
	return stoa_stream_to_fd(p->object, outlet[1], PIECE, STOA_NOW);
}

static int64_t run_pollfd(struct player *p)
{
	int reader = stoa_stream_pollfd(p->object, STOA_READ);

	return reader < 0 ? reader : stoa_stream_pollfd(p->object, STOA_WRITE);
}

static int64_t wait_poll(struct player *p)
{
	struct pollfd bell = { stoa_stream_pollfd(p->object, STOA_READ),
			       POLLIN, 0 };
	int64_t result;

	if (bell.fd < 0)
		return bell.fd;
	while ((result = run_read(p)) == -EAGAIN)
		ppoll(&bell, 1, NULL, NULL);
	return result;
}

static int64_t wait_read(struct player *p)
{
	return stoa_stream_read(p->object, p->note->bytes, PIECE,
				STOA_FOREVER);
}

static int64_t wait_write(struct player *p)
{
	return pieces_write(p->object, OF_PLAYER(p->number), PIECE,
			   STOA_FOREVER);
}

enum deed_number {
	WRITE, WRITE_LARGE, RESERVE, COMMIT, CANCEL, READ, PEEK, CONSUME,
	RESIZE, FROM_FD, TO_FD, POLLFD, LAST_WRITE, LAST_READ, SHUT_WRITER,
	SHUT_READER, WAIT_READ, WAIT_POLL, WAIT_WRITE, WAIT_END, WAIT_POLL_END,
	WAIT_PIPE, DEEDS
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
	[FROM_FD] = { "from-fd", DEED_CORE, IN(EMPTY) | IN(SOME), prepare_inlet,
		      run_from_fd, NULL },
	[TO_FD] = { "to-fd", DEED_CORE, PLAIN, NULL, run_to_fd, NULL },
	[POLLFD] = { "pollfd", 0, PLAIN, NULL, run_pollfd, NULL },
	[LAST_WRITE] = { "last-write", DEED_CORE, IN(NO_WRITER),
			 prepare_writer, run_write, NULL },
	[LAST_READ] = { "last-read", DEED_CORE, READERLESS, prepare_reader,
			run_read, NULL },
	[SHUT_WRITER] = { "shut-writer", DEED_CORE, IN(NO_WRITER),
			  prepare_writer, run_shut_writer, NULL },
	[SHUT_READER] = { "shut-reader", DEED_CORE, READERLESS,
			  prepare_reader, run_shut_reader, NULL },
	[WAIT_READ] = { "wait-read", DEED_WAITS, 0, NULL, wait_read, NULL },
	[WAIT_POLL] = { "wait-poll", DEED_WAITS, 0, NULL, wait_poll, NULL },
	[WAIT_WRITE] = { "wait-write", DEED_WAITS, 0, NULL, wait_write, NULL },
	[WAIT_END] = { "wait-end", DEED_WAITS, 0, prepare_reader, wait_read,
		       NULL },
	[WAIT_POLL_END] = { "wait-poll-end", DEED_WAITS, 0, prepare_reader,
			    wait_poll, NULL },
	[WAIT_PIPE] = { "wait-pipe", DEED_WAITS, 0, prepare_writer, wait_write,
			NULL }
};

/* ---- States ------------------------------------------------------------------- */

enum word { THERE, GIVEN, SEEN_FROM };

static void put(struct scene *s, uint32_t pieces)
{
	for (uint32_t id = 1; id <= pieces; id++)
		if (pieces_write(s->object, id, PIECE, STOA_NOW) < 0)
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

static void set_full_no_reader(struct scene *s)
{
	put(s, FULL_PIECES);
	stoa_stream_shutdown(s->object, STOA_READ);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[SOME] = { "some", set_some },
	[FULL] = { "full", set_full },
	[NO_WRITER] = { "no-writer", set_no_writer },
	[NO_READER] = { "no-reader", set_no_reader },
	[FULL_NO_READER] = { "full-no-reader", set_full_no_reader }
};

/* ---- Oracle ------------------------------------------------------------------- */

static int is_one_of(const struct deed *deed, uint64_t numbers)
{
	return deed >= deeds && deed < &deeds[DEEDS] &&
	       IN(deed - deeds) & numbers;
}

#define WRITES (IN(WRITE) | IN(COMMIT) | IN(FROM_FD) | IN(LAST_WRITE) | \
		IN(WAIT_WRITE) | IN(WAIT_PIPE))
#define READS (IN(READ) | IN(CONSUME) | IN(LAST_READ) | IN(WAIT_READ) | \
	       IN(WAIT_POLL) | IN(WAIT_END) | IN(WAIT_POLL_END) | IN(TO_FD))

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
			/* What is in the descriptor it has whole. */
			if (is_one_of(deed, IN(TO_FD)) &&
			    read(outlet[0], s->notes[i].bytes, PIECE) < 0)
				continue;
			pieces_account_read(s, i, tally);
		}
	}
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

/* All of it can be filled at once, and comes back. */
static int check_room(struct scene *s)
{
	struct tally tally = { 0 };

	for (uint32_t i = 0; i < CAPACITY_BYTES / PIECE; i++)
		if (pieces_write(s->eye, OF_GIFT, PIECE, STOA_NOW) < 0)
			return trouble("only %u pieces of %u fit", i,
				       CAPACITY_BYTES / PIECE);
	if (pieces_drain(s->eye, &tally, STOA_NOW, -EAGAIN) != 0)
		return -1;
	return tally.seen[OF_GIFT] == CAPACITY_BYTES / PIECE
		       ? 0
		       : trouble("%u pieces came back",
				 tally.seen[OF_GIFT]);
}

static int check(struct scene *s, uint32_t variant)
{
	struct tally tally = { 0 };
	int stranger;

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
	stranger = s->newcomer && s->form == FORM_NAMED;
	if (IN(s->state_number) & READERLESS)
		return stranger ? 0 : pieces_broken_pipe(s, s->object);
	if (s->state_number == NO_WRITER && stranger)
		return pieces_drain(s->eye, &tally, STOA_NOW, -EAGAIN) == 0
			       ? pieces_settle(&tally)
			       : -1;
	/* Its first handle has the other end. */
	if (s->state_number == NO_WRITER)
		return pieces_end(s, s->object, &tally) == 0
			       ? pieces_settle(&tally)
			       : -1;
	if (pieces_drain(s->eye, &tally, STOA_NOW, -EAGAIN) != 0 ||
	    pieces_settle(&tally) != 0)
		return -1;
	return check_room(s);
}

/* ---- Blocked -------------------------------------------------------------------- */

static int stuck(struct scene *s, const struct deed *wait)
{
	struct stoa_stream_status status = { .size = sizeof(status) };

	if (is_one_of(wait, IN(WAIT_END) | IN(WAIT_POLL_END) | IN(WAIT_PIPE)) ||
	    stoa_stream_stat(s->object, &status) != 0)
		return 0; /* the end must come by itself */
	return is_one_of(wait, IN(WAIT_READ) | IN(WAIT_POLL))
		       ? status.bytes == 0
		       : status.bytes + PIECE > CAPACITY_BYTES;
}

static int give(struct scene *s, const struct deed *wait)
{
	unsigned char buffer[PIECE];
	int64_t result;

	if (is_one_of(wait, IN(WAIT_READ) | IN(WAIT_POLL))) {
		result = pieces_write(s->object, OF_GIFT, PIECE, STOA_NOW);
		atomic_fetch_add(&s->words[GIVEN], 1);
	} else {
		result = stoa_stream_read(s->object, buffer, sizeof(buffer),
					  stoa_deadline_in(patient_ns()));
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
	{ &deeds[WAIT_READ], &deeds[FROM_FD], EMPTY, NULL },
	{ &deeds[WAIT_POLL], NULL, EMPTY, NULL },
	{ &deeds[WAIT_POLL], &deeds[WRITE], EMPTY, NULL },
	{ &deeds[WAIT_WRITE], &deeds[READ], FULL, NULL },
	{ &deeds[WAIT_WRITE], &deeds[TO_FD], FULL, NULL },
	{ &deeds[WAIT_END], &deeds[SHUT_WRITER], NO_WRITER, NULL },
	{ &deeds[WAIT_END], &deeds[LAST_WRITE], NO_WRITER, NULL },
	{ &deeds[WAIT_POLL_END], &deeds[LAST_WRITE], NO_WRITER, NULL },
	{ &deeds[WAIT_PIPE], &deeds[SHUT_READER], FULL_NO_READER, NULL },
	{ &deeds[WAIT_PIPE], &deeds[LAST_READ], FULL_NO_READER, NULL }
};

const struct subject stream_subject = {
	.name = "stream",
	.unnamed = ALSO_UNNAMED,
	.prompt_ns = STREAM_PROMPT_NS,
	.states = situations,
	.states_count = ARRAY_SIZE(situations),
	.named_states = IN(NO_WRITER) | READERLESS,
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
