/* SPDX-License-Identifier: MIT */
/* topic.c: every operation on a topic, as a victim performs it; words of one
 * that could be true, and attacks that know the layout. */
#include "hostile.h"

#include <data/topic_internal.h>

enum {
	CAPACITY = 6,
	LARGEST = 1000,
	SLOTS = 4,
	KEPT = 4,
	FLIPS = 300,
	SEATS = 3, /* that are ever taken */
	SPARE = 4, /* cells that are taken besides the places' */
};

#define BOTH (STOA_READ | STOA_WRITE)

static const struct stoa_topic_attributes shapes[] = {
	{ .size = sizeof(shapes[0]),
	  .overrun = STOA_TOPIC_WAIT,
	  .capacity = CAPACITY,
	  .max_message_bytes = LARGEST,
	  .total_bytes = SLOTS * LARGEST },
	{ .size = sizeof(shapes[0]),
	  .overrun = STOA_TOPIC_OVERWRITE,
	  .capacity = CAPACITY,
	  .max_message_bytes = LARGEST,
	  .total_bytes = SLOTS * LARGEST },
};

/* ---- Made in every state ------------------------------------------------ */

static char payload[LARGEST];

static void must_publish(struct stoa_topic *topic, size_t bytes)
{
	must(stoa_topic_publish(topic, payload, bytes, STOA_NOW), "publish");
}

static void must_receive(struct stoa_topic *topic)
{
	char buffer[LARGEST];

	must(stoa_topic_receive(topic, buffer, sizeof(buffer), STOA_NOW, NULL),
	     "receive");
}

/* Subscribes, and dies with a cell, a slot and a loan. */
static void hold(void *handle)
{
	struct stoa_topic_message message;

	must(stoa_topic_reserve(handle, 10, STOA_NOW, &message), "reserve");
	must(stoa_topic_reserve(handle, LARGEST, STOA_NOW, &message),
	     "reserve");
	must_publish(handle, 20);
	must(stoa_topic_take(handle, STOA_NOW, &message), "take");
}

/* More than a lap: cells and slots that were written over. */
static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_topic *topic;

	must(stoa_topic_open(space, name, BOTH | STOA_CREATE, 0600,
	                     &shapes[shape], &topic),
	     "open");
	for (int i = 0; i < 3 * CAPACITY; i++) {
		must_publish(topic, i % 3 == 0 ? LARGEST / 2 : 50);
		must_receive(topic);
	}
	must_publish(topic, 30);
	must_publish(topic, LARGEST);
	hold_and_die(hold, topic);
	stoa_topic_close(topic);
}

static int open_topic(struct victim *victim)
{
	struct stoa_topic *topic;
	int result = stoa_topic_open(victim->space, victim->name,
	                             BOTH | victim->flags, 0600, NULL, &topic);

	if (result < 0)
		return result;
	victim->handle = topic;
	victim->object = &topic->object;
	return result;
}

static void close_topic(struct victim *victim)
{
	stoa_topic_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

/* What it has, or had: of an earlier handle, too. */
static struct stoa_topic_message taken[KEPT];
static struct stoa_topic_message reserved[KEPT];

static size_t some_size(struct victim *victim)
{
	static const size_t sizes[] = { 0,       STOA_TOPIC_INLINE,
		                        1,       STOA_TOPIC_INLINE + 1,
		                        LARGEST, LARGEST + 1 };

	return one_in(victim, 2) ? some(victim, 2 * STOA_TOPIC_INLINE) :
	                           sizes[some(victim, LENGTH(sizes))];
}

static struct stoa_topic_message *some_taken(struct victim *victim)
{
	return &taken[some(victim, KEPT)];
}

static struct stoa_topic_message *some_reserved(struct victim *victim)
{
	return &reserved[some(victim, KEPT)];
}

static long long publish(struct victim *victim)
{
	size_t bytes = some_size(victim);
	void *data = exact(bytes);
	int result =
		stoa_topic_publish(victim->handle, data, bytes, soon(victim));

	free(data);
	return result;
}

static long long check_copy(ssize_t result, const void *buffer, size_t room)
{
	if (result > (ssize_t)room)
		finding("%zd bytes in %zu", result, room);
	sum_of(buffer, room);
	return result;
}

static long long receive(struct victim *victim)
{
	struct stoa_topic_message message;
	size_t room = one_in(victim, 2) ? LARGEST : some_size(victim);
	void *buffer = exact(room);
	long long result = check_copy(
		stoa_topic_receive(victim->handle, buffer, room, soon(victim),
	                           one_in(victim, 2) ? &message : NULL),
		buffer, room);

	free(buffer);
	return result;
}

static long long latest(struct victim *victim)
{
	struct stoa_topic_message message;
	size_t room = one_in(victim, 2) ? LARGEST : some_size(victim);
	void *buffer = exact(room);
	long long result = check_copy(
		stoa_topic_latest(victim->handle, buffer, room, &message),
		buffer, room);

	free(buffer);
	return result;
}

/* As the subscriber has it, or the publisher. */
static void check_message(struct victim *victim, const void *control,
                          const struct stoa_topic_message *message)
{
	struct stoa_topic *topic = victim->handle;

	check_loan(victim, message->data, message->bytes, control,
	           topic->data_bytes);
	if (message->bytes > topic->slot_bytes)
		finding("a message of %zu bytes", message->bytes);
}

/* In a cell, or in a slot, whole. */
static void check_taken(struct victim *victim,
                        const struct stoa_topic_message *message)
{
	struct stoa_topic *topic = victim->handle;
	const char *data = message->data;
	size_t most = topic->inline_bytes;

	check_message(victim, topic->seen, message);
	if (data >= topic->slots_at) {
		most = topic->slot_bytes;
		if ((size_t)(data - topic->slots_at) % topic->slot_stride != 0)
			finding("a message between two slots");
	}
	if (message->bytes > most)
		finding("%zu bytes where there is room for %zu", message->bytes,
		        most);
	sum_of(data, message->bytes);
}

static long long take(struct victim *victim)
{
	struct stoa_topic_message *message = some_taken(victim);
	int result = stoa_topic_take(victim->handle, soon(victim), message);

	if (result == 0)
		check_taken(victim, message);
	return result;
}

/* What was there before this handle was. */
static long long take_all(struct victim *victim)
{
	struct stoa_topic_message message;
	char buffer[LARGEST];
	long long result =
		stoa_topic_seek(victim->handle, STOA_TOPIC_OLDEST);

	for (int i = 0; i < 2 * CAPACITY && result >= 0; i++) {
		result = stoa_topic_take(victim->handle, STOA_NOW, &message);
		if (result < 0)
			break;
		check_taken(victim, &message);
		result = stoa_topic_release(victim->handle, &message);
	}
	if (result != -EAGAIN || one_in(victim, 2))
		return result;
	result = stoa_topic_seek(victim->handle, STOA_TOPIC_OLDEST);
	for (int i = 0; i < 2 * CAPACITY && result >= 0; i++)
		result = stoa_topic_receive(victim->handle, buffer,
		                            sizeof(buffer), STOA_NOW, NULL);
	return result;
}

static long long release(struct victim *victim)
{
	return stoa_topic_release(victim->handle, some_taken(victim));
}

static long long reserve(struct victim *victim)
{
	struct stoa_topic *topic = victim->handle;
	struct stoa_topic_message *message = some_reserved(victim);
	int result = stoa_topic_reserve(topic, some_size(victim), soon(victim),
	                                message);

	if (result < 0)
		return result;
	check_message(victim, topic->written.control, message);
	memset(message->data, 'r', message->bytes);
	return result;
}

static long long commit(struct victim *victim)
{
	struct stoa_topic_message *message = some_reserved(victim);

	if (one_in(victim, 4))
		message->bytes = some_size(victim);
	return stoa_topic_commit(victim->handle, message, soon(victim));
}

static long long cancel(struct victim *victim)
{
	return stoa_topic_cancel(victim->handle, some_reserved(victim));
}

/* As a caller makes them who mistakes one for another. */
static long long use_false_message(struct victim *victim)
{
	struct stoa_topic_message message = *some_reserved(victim);

	message.cell = (uint32_t)(next_random(&victim->chance) >>
	                          some(victim, 64));
	if (one_in(victim, 2))
		message.word = next_random(&victim->chance) >> some(victim, 64);
	switch (some(victim, 3)) {
	case 0: return stoa_topic_release(victim->handle, &message);
	case 1: return stoa_topic_cancel(victim->handle, &message);
	default:
		return stoa_topic_commit(victim->handle, &message,
		                         soon(victim));
	}
}

/* What is kept is given back, or nothing else could be done. */
static long long let_go(struct victim *victim)
{
	char buffer[LARGEST];
	ssize_t result = 0;

	for (int i = 0; i < KEPT; i++) {
		stoa_topic_release(victim->handle, &taken[i]);
		stoa_topic_cancel(victim->handle, &reserved[i]);
	}
	for (int i = 0; i < 2 * CAPACITY && result >= 0; i++)
		result = stoa_topic_receive(victim->handle, buffer,
		                            sizeof(buffer), STOA_NOW, NULL);
	return result;
}

static long long seek(struct victim *victim)
{
	return stoa_topic_seek(victim->handle,
	                       (enum stoa_topic_place)some(victim, 4));
}

static long long look(struct victim *victim)
{
	struct stoa_topic_stat stat = { .size = sizeof(stat) };
	uint64_t lost;
	int result = stoa_topic_stat(victim->handle, &stat);

	return result < 0 ? result : stoa_topic_lost(victim->handle, &lost);
}

static int topic_pollfd(struct victim *victim, unsigned direction)
{
	return stoa_topic_pollfd(victim->handle, direction);
}

static long long poll_once(struct victim *victim)
{
	return poll_descriptor(topic_pollfd(
		victim, one_in(victim, 2) ? STOA_READ : STOA_WRITE));
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, 0, NULL);
}

/* A publisher has one mapping, a subscriber another; each meets what it may. */
static long long open_one_side(struct victim *victim)
{
	unsigned side = one_in(victim, 2) ? STOA_READ : STOA_WRITE;
	struct stoa_topic *topic;
	char buffer[LARGEST];
	long long result = stoa_topic_open(victim->space, victim->name, side, 0,
	                                   NULL, &topic);

	if (result < 0)
		return result;
	if (side == STOA_WRITE)
		result = stoa_topic_publish(topic, payload, some(victim, 200),
		                            soon(victim));
	else
		result = stoa_topic_seek(topic, STOA_TOPIC_OLDEST);
	if (side == STOA_READ && result == 0)
		result = stoa_topic_receive(topic, buffer, sizeof(buffer),
		                            soon(victim), NULL);
	stoa_topic_close(topic);
	return result;
}

/* Seldom: the kernel takes 10 ms to take an inotify watch away. */
static long long use_set(struct victim *victim)
{
	struct stoa_topic_set *set;
	char buffer[LARGEST];
	const char *name;
	long long result, published, received;

	if (!one_in(victim, 16))
		return 0;
	result = stoa_topic_set_open(victim->space, "*", 0, &set);
	if (result < 0)
		return result;
	published = stoa_topic_publish(victim->handle, payload, 10, STOA_NOW);
	received = stoa_topic_set_receive(set, buffer, sizeof(buffer),
	                                  soon(victim), NULL, &name);
	if (received >= 0)
		sum_of(name, strlen(name));
	stoa_topic_set_close(set);
	return received < 0 && published < 0 ? published : received;
}

static const struct operation operations[] = {
	{ "take all", take_all, 12, false, false },
	{ "publish", publish, 12, false, false },
	{ "receive", receive, 12, false, false },
	{ "publish (once more)", publish, 6, false, false },
	{ "take", take, 8, false, false },
	{ "release", release, 6, false, false },
	{ "reserve", reserve, 8, false, false },
	{ "commit", commit, 6, false, false },
	{ "reserve (to cancel)", reserve, 3, false, false },
	{ "cancel", cancel, 4, false, false },
	{ "latest", latest, 4, false, false },
	{ "seek", seek, 3, false, false },
	{ "publish (after seek)", publish, 3, false, false },
	{ "receive (after seek)", receive, 3, false, false },
	{ "false messages", use_false_message, 3, false, false },
	{ "release, cancel, receive all", let_go, 12, false, false },
	{ "stat", look, 3, false, false },
	{ "pollfd", poll_once, 2, true, false },
	{ "wait_any", wait_any, 4, false, false },
	{ "open of one side", open_one_side, 2, true, false },
	{ "set", use_set, 4, true, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EMSGSIZE, ESTALE, EOVERFLOW, ENOMSG,
	                      EMFILE,   EINVAL, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { CONTROL, CELL_CLAIMS, SLOT_CLAIMS, CELLS, SUBSCRIPTIONS, CROWD };

static const void *in_file(const struct victim *victim, const void *data)
{
	const struct stoa_topic *topic = victim->handle;

	return victim->object->base + TOPIC_DATA_OFFSET +
	       ((const char *)data - (const char *)topic->written.control);
}

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_topic *topic = victim->handle;
	const struct topic_written *written = &topic->written;
	size_t cell = (size_t)1 << topic->cell_shift;

	image_region(image, "control", victim,
	             in_file(victim, written->control),
	             sizeof(*written->control), 0);
	image_region(image, "cell claims", victim,
	             in_file(victim, written->cell_pool.claims),
	             written->cell_pool.count * sizeof(uint64_t),
	             sizeof(uint64_t));
	image_region(image, "slot claims", victim,
	             in_file(victim, written->slot_pool.claims),
	             written->slot_pool.count * sizeof(uint64_t),
	             sizeof(uint64_t));
	image_region(image, "cells", victim, in_file(victim, written->cells),
	             (topic->places + SPARE) * cell, cell);
	image_region(image, "subscriptions", victim,
	             victim->object->base + OBJECT_SEATS_OFFSET,
	             SEATS * sizeof(struct stoa_seat),
	             sizeof(struct stoa_seat));
	image_region(image, "crowd", victim,
	             victim->object->base + TOPIC_CROWD_OFFSET,
	             sizeof(uint32_t), 0);
	image_idle_region(image, "slots", victim,
	                  in_file(victim, written->slots),
	                  topic->slots * topic->slot_stride);
	image_number(image, topic->places);
	image_number(image, written->cell_pool.count);
	image_number(image, topic->inline_bytes);
	image_number(image, topic->slot_bytes);
}

struct claim {
	uint64_t word;
};

struct crowd {
	uint32_t seats;
};

static const struct field fields[] = {
	FIELD(CONTROL, topic_control, tail, MEANS_POSITION, 0),
	FIELD(CONTROL, topic_control, hurry, MEANS_NUMBER, 0),
	FIELD(CONTROL, topic_control, oldest, MEANS_POSITION, 0),
	FIELD(CELL_CLAIMS, claim, word, MEANS_OWN, 0),
	FIELD(SLOT_CLAIMS, claim, word, MEANS_OWN, 0),
	FIELD(CELLS, topic_cell, word, MEANS_OWN, 0),
	FIELD(CELLS, topic_cell, header, MEANS_OWN, 0),
	FIELD(CELLS, topic_cell, payload[0], MEANS_NUMBER, 0),
	FIELD(SUBSCRIPTIONS, stoa_seat, own[TOPIC_SEAT_CURSOR], MEANS_POSITION,
	      0),
	FIELD(SUBSCRIPTIONS, stoa_seat, own[TOPIC_SEAT_TOKEN], MEANS_TOKEN, 0),
	FIELD(SUBSCRIPTIONS, stoa_seat, own[TOPIC_SEAT_LOST], MEANS_ANYTHING,
	      0),
	FIELD(CROWD, crowd, seats, MEANS_NUMBER, 0),
	{ .name = NULL },
};

static struct topic_control *control_of(struct scribbler *scribbler)
{
	return (void *)(scribbler->base +
	                own_region(scribbler, CONTROL)->offset);
}

static uint64_t some_position(struct scribbler *scribbler)
{
	return atomic_load(&control_of(scribbler)->tail) +
	       below(scribbler, 4 * CAPACITY) - 2 * CAPACITY;
}

static uint64_t some_claim(struct scribbler *scribbler)
{
	switch (below(scribbler, 4)) {
	case 0: return 0;
	case 1: return TOPIC_TAKEN(some_position(scribbler));
	default: return TOPIC_RESERVED | some_token(scribbler);
	}
}

static uint64_t some_place(struct scribbler *scribbler)
{
	uint64_t places = scribbler->image->numbers[0];
	uint64_t lap = some_position(scribbler) / places + below(scribbler, 2);
	uint32_t cell = (uint32_t)below(scribbler, 2 * places);

	if (below(scribbler, 4) == 0)
		cell = TOPIC_WORD_CELL(next_random(&scribbler->chance));
	return TOPIC_WORD(lap, cell);
}

static uint64_t some_header(struct scribbler *scribbler)
{
	uint64_t bytes = some_number(scribbler, 2 * LARGEST) & 0x7fffffff;

	return TOPIC_HEADER(bytes, below(scribbler, 9)) |
	       (below(scribbler, 2) == 0 ? TOPIC_IN_SLOT : 0);
}

static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	if (field->region != CELLS)
		return some_claim(scribbler);
	return field->offset == offsetof(struct topic_cell, word) ?
	               some_place(scribbler) :
	               some_header(scribbler);
}

/* ---- Attacks ------------------------------------------------------------ */

static struct topic_cell *some_cell(struct scribbler *scribbler)
{
	return (void *)(scribbler->base + some_item(scribbler, CELLS));
}

static struct stoa_seat *some_seat(struct scribbler *scribbler)
{
	return (void *)(scribbler->base + some_item(scribbler, SUBSCRIPTIONS));
}

/* Sizes and numbers of slots change between two loads. */
static void flip_messages(struct scribbler *scribbler)
{
	for (int i = 0; i < FLIPS; i++) {
		struct topic_cell *cell = some_cell(scribbler);
		uint64_t header = topic_get(&cell->header);
		uint64_t first = topic_get(&cell->payload[0]);

		topic_put(&cell->header, some_header(scribbler));
		topic_put(&cell->payload[0], next_random(&scribbler->chance) >>
		                                     below(scribbler, 64));
		topic_put(&cell->header, header);
		topic_put(&cell->payload[0], first);
	}
	revive(scribbler);
}

/* Places name cells that are nowhere, and laps that never were. */
static void flip_places(struct scribbler *scribbler)
{
	for (int i = 0; i < FLIPS; i++) {
		struct topic_cell *cell = some_cell(scribbler);
		uint64_t word = atomic_load(&cell->word);

		atomic_store(&cell->word,
		             word ^ below(scribbler, 1 << TOPIC_CELL_BITS));
		atomic_store(&cell->word, some_place(scribbler));
		atomic_store(&cell->word, word);
	}
	revive(scribbler);
}

/* Who looks for the end, or for what it may not lose, is never there. */
static void rise_for_ever(struct scribbler *scribbler)
{
	struct topic_control *control = control_of(scribbler);

	for (int i = 0; i < 100 * FLIPS; i++) {
		atomic_fetch_add(&control->oldest, 1);
		atomic_fetch_add(&control->tail, 3);
	}
	revive(scribbler);
}

static void fall_back_for_ever(struct scribbler *scribbler)
{
	struct topic_control *control = control_of(scribbler);

	for (int i = 0; i < 10 * FLIPS; i++) {
		atomic_store(&control->oldest, below(scribbler, 100));
		atomic_store(&control->tail, below(scribbler, 100));
		atomic_store(&control->hurry, 1);
	}
	revive(scribbler);
}

/* All room is reserved, by one that lives. */
static void reserve_all(struct scribbler *scribbler)
{
	for (unsigned number = CELL_CLAIMS; number <= SLOT_CLAIMS; number++) {
		const struct region *region = own_region(scribbler, number);

		for (size_t at = 0; at < region->bytes; at += region->item)
			put64(scribbler, region->offset + at,
			      TOPIC_RESERVED | scribbler->living_token);
	}
}

static void flip_claims(struct scribbler *scribbler)
{
	learn_tokens(scribbler);
	for (int i = 0; i < FLIPS; i++) {
		size_t at = some_item(scribbler, CELL_CLAIMS + (i & 1));

		put64(scribbler, at, some_claim(scribbler));
		put64(scribbler, at, next_random(&scribbler->chance) >>
		                             below(scribbler, 64));
	}
	revive(scribbler);
}

/* Subscribers that need what is oldest: by tokens of nobody, of the dead, of
 * the living, and in a crowd of as many as there can't be. */
static void lag_for_ever(struct scribbler *scribbler)
{
	_Atomic uint32_t *crowd =
		(void *)(scribbler->base +
	                 own_region(scribbler, CROWD)->offset);

	learn_tokens(scribbler);
	for (int i = 0; i < FLIPS; i++) {
		struct stoa_seat *seat = some_seat(scribbler);

		atomic_store(&seat->own[TOPIC_SEAT_CURSOR],
		             below(scribbler, 2) * some_position(scribbler));
		atomic_store(&seat->own[TOPIC_SEAT_TOKEN],
		             below(scribbler, 4) == 0 ?
		                     next_random(&scribbler->chance) :
		                     some_token(scribbler));
		atomic_store(crowd, some_number(scribbler, 2 * SEATS));
	}
	revive(scribbler);
}

static const struct attack attacks[] = {
	{ "messages that flip", flip_messages, 6 },
	{ "places that flip", flip_places, 6 },
	{ "positions that rise for ever", rise_for_ever, 4 },
	{ "positions that fall back", fall_back_for_ever, 4 },
	{ "everything reserved", reserve_all, 1 },
	{ "claims that flip", flip_claims, 4 },
	{ "subscribers that lag for ever", lag_for_ever, 4 },
	{ NULL, NULL, 0 },
};

static void forge(struct scribbler *scribbler)
{
	attacks[below(scribbler, LENGTH(attacks) - 1)].store(scribbler);
}

const struct noun topic_noun = {
	.kind = "topic",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_topic,
	.close = close_topic,
	.locate = locate,
	.word = some_word,
	.forge = forge,
	.pollfd = topic_pollfd,
	.attacks = attacks,
};
