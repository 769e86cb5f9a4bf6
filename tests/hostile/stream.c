/* SPDX-License-Identifier: MIT */
/* stream.c: every operation on a stream, as a victim performs it; words of one
 * that could be true, and attacks that know the layout. */
#include "hostile.h"

#include <fcntl.h>

#include <data/stream_internal.h>

enum {
	PAGE = 4096,
	MOVED_MAX = 3 * PAGE,
	STREAK = 200, /* of turns: enough for a favour */
	FLIPS = 500,
};

#define BOTH (STOA_READ | STOA_WRITE)

static const struct stoa_stream_attributes shapes[] = {
	{ .size = sizeof(shapes[0]),
	  .capacity = PAGE,
	  .max_capacity = 4 * PAGE },
	{ .size = sizeof(shapes[0]),
	  .capacity = 3 * PAGE,
	  .max_capacity = 3 * PAGE },
};

/* ---- Made in every state ------------------------------------------------ */

/* Has both sides' favours, a reservation and a peek, and dies. */
static void hold(void *handle)
{
	struct stoa_stream *stream = handle;
	struct stoa_region region;
	char byte = 'h';

	for (int i = 0; i < STREAK; i++) {
		must(stoa_stream_write(stream, &byte, 1, STOA_NOW), "write");
		must(stoa_stream_read(stream, &byte, 1, STOA_NOW), "read");
	}
	must(stoa_stream_reserve(stream, 1, STOA_NOW, &region), "reserve");
	must(stoa_stream_peek(stream, 1, STOA_NOW, &region), "peek");
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_stream *stream;
	char bytes[PAGE / 2];

	memset(bytes, 'p', sizeof(bytes));
	must(stoa_stream_open(space, name, BOTH | STOA_CREATE, 0600,
	                      &shapes[shape], STOA_NOW, &stream),
	     "open");
	for (int i = 0; i < 5; i++) {
		must(stoa_stream_write(stream, bytes, sizeof(bytes), STOA_NOW),
		     "write");
		must(stoa_stream_read(stream, bytes,
		                      sizeof(bytes) - (i == 4 ? 100 : 0),
		                      STOA_NOW),
		     "read");
	}
	hold_and_die(hold, stream);
	stoa_stream_close(stream);
}

static int open_stream(struct victim *victim)
{
	struct stoa_stream *stream;
	int result = stoa_stream_open(victim->space, victim->name,
	                              BOTH | victim->flags, 0600, NULL,
	                              STOA_NOW, &stream);

	if (result < 0)
		return result;
	victim->handle = stream;
	victim->object = &stream->object;
	return result;
}

static void close_stream(struct victim *victim)
{
	stoa_stream_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static size_t some_size(struct victim *victim)
{
	static const size_t sizes[] = {
		0,        1,        64,           PAGE - 1,
		PAGE,     PAGE + 1, STOA_ATOMIC,  2 * PAGE,
		3 * PAGE, 4 * PAGE, 4 * PAGE + 1,
	};

	if (one_in(victim, 2))
		return some(victim, 300);
	return sizes[some(victim, LENGTH(sizes))];
}

static long long put(struct victim *victim)
{
	size_t bytes = some_size(victim);
	void *data = exact(bytes);
	ssize_t result =
		stoa_stream_write(victim->handle, data, bytes, soon(victim));

	if (result > (ssize_t)bytes)
		finding("wrote %zd of %zu bytes", result, bytes);
	free(data);
	return result;
}

static long long get(struct victim *victim)
{
	size_t room = some_size(victim);
	void *buffer = exact(room);
	ssize_t result =
		stoa_stream_read(victim->handle, buffer, room, soon(victim));

	if (result > (ssize_t)room)
		finding("read %zd bytes into %zu", result, room);
	sum_of(buffer, room);
	free(buffer);
	return result;
}

/* Short turns without another's: one is favoured. */
static long long put_and_get_often(struct victim *victim)
{
	long long result = 0;
	char byte = 'o';

	for (int i = 0; i < STREAK / 4 && result >= 0; i++) {
		result = stoa_stream_write(victim->handle, &byte, 1, STOA_NOW);
		if (result >= 0)
			result = stoa_stream_read(victim->handle, &byte, 1,
			                          STOA_NOW);
	}
	return result;
}

static void check_region(struct victim *victim, enum stream_side side,
                         const struct stoa_region *region)
{
	struct stoa_stream *stream = victim->handle;
	const struct stream_map *map = &stream->end[side].map;

	if (region->bytes > map->capacity)
		finding("%zu bytes of a capacity of %llu", region->bytes,
		        (unsigned long long)map->capacity);
	check_loan(victim, region->data, region->bytes, map->ring,
	           2 * map->capacity);
}

static long long reserve(struct victim *victim)
{
	struct stoa_region region;
	int result = stoa_stream_reserve(victim->handle, 1 + some_size(victim),
	                                 soon(victim), &region);

	if (result < 0)
		return result;
	check_region(victim, SIDE_WRITE, &region);
	memset(region.data, 'r', region.bytes);
	return result;
}

static long long commit(struct victim *victim)
{
	return stoa_stream_commit(victim->handle, some_size(victim));
}

static long long cancel(struct victim *victim)
{
	return stoa_stream_cancel(victim->handle);
}

static long long peek(struct victim *victim)
{
	struct stoa_region region = { .data = NULL };
	size_t least = one_in(victim, 2) ? 1 : 1 + some_size(victim);
	ssize_t result =
		stoa_stream_peek(victim->handle, least, soon(victim), &region);

	if (result <= 0)
		return result;
	if ((size_t)result != region.bytes)
		finding("peeked at %zd bytes; the region says %zu", result,
		        region.bytes);
	check_region(victim, SIDE_READ, &region);
	sum_of(region.data, region.bytes);
	return result;
}

static long long consume(struct victim *victim)
{
	return stoa_stream_consume(victim->handle,
	                           one_in(victim, 2) ? 0 : some_size(victim));
}

/* What was kept is given back, or nothing else could be done. */
static long long let_go(struct victim *victim)
{
	long long result = stoa_stream_cancel(victim->handle);
	long long consumed = stoa_stream_consume(victim->handle, 0);

	return consumed < 0 ? consumed : result;
}

/* So that there is room. */
static long long drain(struct victim *victim)
{
	char bytes[PAGE];
	ssize_t result = 1;

	for (int i = 0; i < 5 && result > 0; i++)
		result = stoa_stream_read(victim->handle, bytes, sizeof(bytes),
		                          STOA_NOW);
	return result;
}

static long long move_in(struct victim *victim)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int64_t result = stoa_stream_from_fd(
		victim->handle, fd, some(victim, MOVED_MAX), soon(victim));

	if (result > MOVED_MAX)
		finding("%lld bytes were moved", (long long)result);
	close(fd);
	return result;
}

static long long move_out(struct victim *victim)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int64_t result = stoa_stream_to_fd(
		victim->handle, fd, some(victim, MOVED_MAX), soon(victim));

	if (result > MOVED_MAX)
		finding("%lld bytes were moved", (long long)result);
	close(fd);
	return result;
}

static long long resize(struct victim *victim)
{
	return stoa_stream_resize(victim->handle, some_size(victim),
	                          soon(victim));
}

static long long look(struct victim *victim)
{
	struct stoa_stream_status status = { .size = sizeof(status) };

	return stoa_stream_stat(victim->handle, &status);
}

static int stream_pollfd(struct victim *victim, unsigned direction)
{
	return stoa_stream_pollfd(victim->handle, direction);
}

static long long poll_once(struct victim *victim)
{
	return poll_descriptor(stream_pollfd(
		victim, one_in(victim, 2) ? STOA_READ : STOA_WRITE));
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, one_in(victim, 2) ? 0 : some_size(victim),
	                NULL);
}

/* One end alone: waits for the other, meets end of file and -EPIPE. */
static long long open_one_end(struct victim *victim)
{
	unsigned end = one_in(victim, 2) ? STOA_READ : STOA_WRITE;
	struct stoa_stream *stream;
	char byte = 'e';
	int result = stoa_stream_open(victim->space, victim->name, end, 0, NULL,
	                              soon(victim), &stream);

	if (result < 0)
		return result;
	result = end == STOA_READ
	                 ? (int)stoa_stream_read(stream, &byte, 1, soon(victim))
	                 : (int)stoa_stream_write(stream, &byte, 1,
	                                          soon(victim));
	if (one_in(victim, 2))
		stoa_stream_shutdown(stream, end);
	stoa_stream_close(stream);
	return result;
}

static const struct operation operations[] = {
	{ "write", put, 12, false, false },
	{ "read", get, 12, false, false },
	{ "write (once more)", put, 4, false, false },
	{ "peek", peek, 6, false, false },
	{ "consume", consume, 6, false, false },
	{ "reserve", reserve, 6, false, false },
	{ "commit", commit, 6, false, false },
	{ "reserve (to cancel)", reserve, 2, false, false },
	{ "cancel", cancel, 3, false, false },
	{ "cancel and consume", let_go, 12, false, false },
	{ "resize", resize, 3, false, false },
	{ "read (all)", drain, 3, false, false },
	{ "from_fd", move_in, 3, false, false },
	{ "to_fd", move_out, 3, false, false },
	{ "stat", look, 2, false, false },
	{ "pollfd", poll_once, 2, true, false },
	{ "wait_any", wait_any, 4, false, false },
	{ "write and read often", put_and_get_often, 4, false, false },
	{ "open of one end", open_one_end, 2, true, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EPIPE, EDEADLK, EMSGSIZE, ESTALE, EINVAL, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { CONTROL, AREAS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_stream *stream = victim->handle;

	image_region(image, "control", victim, stream->control,
	             sizeof(*stream->control), 0);
	image_idle_region(image, "areas", victim,
	                  victim->object->base + STREAM_AREA_OFFSET,
	                  2 * stream->max_capacity);
	image_number(image, stream->first_capacity);
	image_number(image, stream->max_capacity);
	image_number(image, STOA_ATOMIC);
}

#define CONTROL_FIELD(member, meaning, flags) \
	FIELD(CONTROL, stream_control, member, meaning, flags)

static const struct field fields[] = {
	CONTROL_FIELD(geometry, MEANS_OWN, 0),
	CONTROL_FIELD(ends_changed, MEANS_EVENT, 0),
	CONTROL_FIELD(opened[SIDE_READ], MEANS_NUMBER, 0),
	CONTROL_FIELD(opened[SIDE_WRITE], MEANS_NUMBER, 0),
	CONTROL_FIELD(turn[SIDE_READ].lock, MEANS_TOKEN, 1u << 31),
	CONTROL_FIELD(turn[SIDE_READ].kept, MEANS_NUMBER, 0),
	CONTROL_FIELD(turn[SIDE_READ].favour, MEANS_OWN, 0),
	CONTROL_FIELD(turn[SIDE_WRITE].lock, MEANS_TOKEN, 1u << 31),
	CONTROL_FIELD(turn[SIDE_WRITE].kept, MEANS_NUMBER, 0),
	CONTROL_FIELD(turn[SIDE_WRITE].favour, MEANS_OWN, 0),
	CONTROL_FIELD(position[SIDE_READ].bytes, MEANS_POSITION, 0),
	CONTROL_FIELD(position[SIDE_WRITE].bytes, MEANS_POSITION, 0),
	CONTROL_FIELD(room_wanted, MEANS_NUMBER, 0),
	{ .name = NULL },
};

static uint64_t some_geometry(struct scribbler *scribbler)
{
	uint32_t version = (uint32_t)below(scribbler, 4);
	uint32_t pages = (uint32_t)below(scribbler, 6);

	if (below(scribbler, 4) == 0)
		pages = some_number(scribbler, 4);
	return STREAM_SHAPE(version, pages);
}

static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	uint64_t favour;

	if (field->offset == offsetof(struct stream_control, geometry))
		return some_geometry(scribbler);
	favour = STREAM_FAVOUR(some_token(scribbler), 1 + below(scribbler, 2));
	return below(scribbler, 3) == 0 ? favour | STREAM_REVOKED : favour;
}

/* ---- Attacks ------------------------------------------------------------ */

static struct stream_control *control_of(struct scribbler *scribbler)
{
	return (void *)(scribbler->base +
	                own_region(scribbler, CONTROL)->offset);
}

/* Positions as far apart as can be, in turn with such as could be true. */
static void flip_positions(struct scribbler *scribbler)
{
	struct stream_control *control = control_of(scribbler);
	uint64_t capacity = scribbler->image->numbers[below(scribbler, 2)];
	uint64_t tail = atomic_load(&control->position[SIDE_WRITE].bytes);

	for (int i = 0; i < FLIPS; i++) {
		uint64_t apart = below(scribbler, 2) == 0
		                         ? below(scribbler, capacity + 2)
		                         : next_random(&scribbler->chance) >>
		                                   below(scribbler, 64);

		atomic_store(&control->position[SIDE_READ].bytes, tail - apart);
		atomic_store(&control->position[SIDE_READ].bytes, tail);
		atomic_store(&control->position[SIDE_WRITE].bytes,
		             tail + apart);
	}
	atomic_store(&control->position[SIDE_WRITE].bytes,
	             next_random(&scribbler->chance) >> below(scribbler, 64));
	revive(scribbler);
}

static void flip_geometry(struct scribbler *scribbler)
{
	struct stream_control *control = control_of(scribbler);

	for (int i = 0; i < FLIPS; i++) {
		atomic_store(&control->geometry, some_geometry(scribbler));
		atomic_store(&control->geometry, 0);
	}
	revive(scribbler);
}

static void hold_locks(struct scribbler *scribbler)
{
	struct stream_control *control = control_of(scribbler);

	for (int side = 0; side < 2; side++) {
		atomic_store(&control->turn[side].lock.word,
		             scribbler->living_token);
		atomic_store(&control->turn[side].kept, 1);
	}
}

static struct stoa_seat *some_seat(struct scribbler *scribbler)
{
	struct stoa_seat *seats =
		(void *)(scribbler->base + OBJECT_SEATS_OFFSET);

	return &seats[below(scribbler, 4)];
}

/* One that lives is always inside, by favour. */
static void hold_favours(struct scribbler *scribbler)
{
	struct stream_control *control = control_of(scribbler);

	for (int side = 0; side < 2; side++) {
		atomic_store(&control->turn[side].favour,
		             STREAM_FAVOUR(scribbler->living_token, 1));
		atomic_store(&some_seat(scribbler)->inside[side], 1);
	}
}

static void flip_favours(struct scribbler *scribbler)
{
	struct stream_control *control = control_of(scribbler);

	learn_tokens(scribbler);
	for (int i = 0; i < FLIPS; i++) {
		int side = i & 1;

		atomic_store(&control->turn[side].favour,
		             STREAM_FAVOUR(some_token(scribbler), 1));
		atomic_store(&some_seat(scribbler)->inside[side],
		             (uint32_t)below(scribbler, 2));
		atomic_store(&control->turn[side].favour, 0);
		atomic_store(&control->turn[side].lock.word, 0);
	}
}

/* Nobody can tell who was ever there. */
static void flip_ends(struct scribbler *scribbler)
{
	struct stream_control *control = control_of(scribbler);

	atomic_fetch_add(&control->ends_changed, 1);
	atomic_store(&control->opened[SIDE_READ],
	             (uint32_t)next_random(&scribbler->chance));
	atomic_store(&control->opened[SIDE_WRITE],
	             (uint32_t)next_random(&scribbler->chance));
	atomic_store(&control->room_wanted,
	             next_random(&scribbler->chance) >> below(scribbler, 64));
}

static const struct attack attacks[] = {
	{ "positions that flip", flip_positions, 10 },
	{ "a geometry that flips", flip_geometry, 6 },
	{ "locks held for ever", hold_locks, 1 },
	{ "favours held for ever", hold_favours, 1 },
	{ "favours that flip", flip_favours, 4 },
	{ "ends that flip", flip_ends, 3 },
	{ NULL, NULL, 0 },
};

static void forge(struct scribbler *scribbler)
{
	attacks[below(scribbler, LENGTH(attacks) - 1)].store(scribbler);
}

const struct noun stream_noun = {
	.kind = "stream",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_stream,
	.close = close_stream,
	.locate = locate,
	.word = some_word,
	.forge = forge,
	.pollfd = stream_pollfd,
	.attacks = attacks,
};
