/* SPDX-License-Identifier: MIT */
/* semaphore.c: every operation on a semaphore, as a victim performs it. */
#include "hostile.h"

#include <sync/semaphore_internal.h>

extern const struct noun placed_semaphore_noun;

enum { MAXIMUM = 20 };

static const struct stoa_semaphore_attributes shapes[] = {
	{ .size = sizeof(shapes[0]), .value = 3 },
	{ .size = sizeof(shapes[0]),
	  .value = 5,
	  .maximum = MAXIMUM,
	  .undo = 1 },
};

/* ---- Made in every state ------------------------------------------------ */

static void hold(void *handle)
{
	must(stoa_semaphore_wait(handle, 2, STOA_NOW), "wait");
}

static void use(struct stoa_semaphore *semaphore)
{
	must(stoa_semaphore_wait(semaphore, 1, STOA_NOW), "wait");
	hold_and_die(hold, semaphore);
	stoa_semaphore_close(semaphore);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_semaphore *semaphore;

	must(stoa_semaphore_open(space, name, STOA_CREATE, 0600, &shapes[shape],
	                         &semaphore),
	     "open");
	use(semaphore);
}

static void populate_place(struct stoa_space *space, const char *name,
                           unsigned shape)
{
	struct place place =
		map_place(space, &placed_semaphore_noun, name,
	                  shapes[shape].undo ? STOA_SEMAPHORE_UNDO_BYTES
	                                     : STOA_SEMAPHORE_BYTES);
	struct stoa_semaphore *semaphore;

	must(stoa_semaphore_place(space, place.memory, place.bytes, STOA_CREATE,
	                          &shapes[shape], &semaphore),
	     "place");
	use(semaphore);
	unmap_place(&place);
}

static int open_semaphore(struct victim *victim)
{
	struct stoa_semaphore *semaphore;
	int result = victim->noun->placed
	                     ? stoa_semaphore_place(victim->space,
	                                            victim->place.memory,
	                                            victim->place.bytes, 0,
	                                            NULL, &semaphore)
	                     : stoa_semaphore_open(victim->space, victim->name,
	                                           victim->flags, 0600, NULL,
	                                           &semaphore);

	if (result < 0)
		return result;
	victim->handle = semaphore;
	victim->object = &semaphore->object;
	return result;
}

static void close_semaphore(struct victim *victim)
{
	stoa_semaphore_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static uint32_t some_permits(struct victim *victim)
{
	if (one_in(victim, 16))
		return (uint32_t)next_random(&victim->chance);
	return one_in(victim, 2) ? 1 : (uint32_t)some(victim, 5);
}

static long long take(struct victim *victim)
{
	return stoa_semaphore_wait(victim->handle, some_permits(victim),
	                           soon(victim));
}

static long long post(struct victim *victim)
{
	return stoa_semaphore_post(victim->handle, some_permits(victim));
}

static long long ask_value(struct victim *victim)
{
	return stoa_semaphore_value(victim->handle);
}

static long long look(struct victim *victim)
{
	struct stoa_semaphore_status status = { .size = sizeof(status) };

	return stoa_semaphore_stat(victim->handle, &status);
}

static int see_holder(const struct stoa_semaphore_holder *holder, void *context)
{
	*(unsigned *)context += holder->permits;
	return 0;
}

static long long list_holders(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_semaphore_each_holder(victim->handle, see_holder, &seen);
}

static int semaphore_pollfd(struct victim *victim, unsigned direction)
{
	(void)direction;
	return stoa_semaphore_pollfd(victim->handle);
}

static long long poll_once(struct victim *victim)
{
	return poll_descriptor(semaphore_pollfd(victim, STOA_READ));
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, some_permits(victim), NULL);
}

static const struct operation operations[] = {
	{ "wait", take, 12, false, false },
	{ "post", post, 10, false, false },
	{ "wait (once more)", take, 4, false, false },
	{ "value", ask_value, 3, false, false },
	{ "stat", look, 3, false, false },
	{ "each_holder", list_holders, 3, false, false },
	{ "pollfd", poll_once, 2, true, false },
	{ "wait_any", wait_any, 4, false, false },
	{ NULL, NULL, 0, false, false },
};

static const int errors[] = { EINVAL, EOVERFLOW, EOPNOTSUPP, 0 };

/* ---- Where things are --------------------------------------------------- */

enum { WORD, EXTENSION, HOLDERS };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_semaphore *semaphore = victim->handle;
	size_t bytes = sizeof(*semaphore->extension);

	image_region(image, "word", victim, (const void *)semaphore->word,
	             sizeof(*semaphore->word), 0);
	if (semaphore->extension == NULL)
		bytes = 0;
	image_region(image, "extension", victim, semaphore->extension, bytes,
	             0);
	image_region(image, "holders", victim, semaphore->holders,
	             semaphore->holder_count * sizeof(*semaphore->holders),
	             sizeof(*semaphore->holders));
	image_number(image, MAXIMUM);
	image_number(image, semaphore->holder_count);
	image_number(image, STOA_SEMAPHORE_MAX);
}

static const struct field fields[] = {
	{ "word", WORD, 0, 8, MEANS_OWN, 0 },
	FIELD(EXTENSION, semaphore_extension, maximum, MEANS_NUMBER, 0),
	FIELD(EXTENSION, semaphore_extension, holders, MEANS_NUMBER, 0),
	FIELD(EXTENSION, semaphore_extension, turn, MEANS_AGENT, TURN_WAITERS),
	FIELD(EXTENSION, semaphore_extension, turn_event, MEANS_EVENT, 0),
	FIELD(EXTENSION, semaphore_extension, used, MEANS_NUMBER, 0),
	FIELD(EXTENSION, semaphore_extension, total, MEANS_NUMBER, 0),
	FIELD(HOLDERS, semaphore_holder, peer, MEANS_PEER, 0),
	FIELD(HOLDERS, semaphore_holder, held, MEANS_NUMBER, 0),
	FIELD(HOLDERS, semaphore_holder, serial, MEANS_NUMBER, 0),
	{ .name = NULL },
};

/* Values with the gate shut by anybody until any time. */
static uint64_t some_word(struct scribbler *scribbler,
                          const struct field *field)
{
	uint64_t word = some_number(scribbler, MAXIMUM);

	(void)field;
	if (below(scribbler, 2) == 0)
		word &= SEMAPHORE_VALUE_MASK;
	if (below(scribbler, 2) == 0)
		word |= next_random(&scribbler->chance) & SEMAPHORE_GATE_MASK;
	return word;
}

const struct noun semaphore_noun = {
	.kind = "semaphore",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_semaphore,
	.close = close_semaphore,
	.locate = locate,
	.word = some_word,
	.pollfd = semaphore_pollfd,
};

const struct noun placed_semaphore_noun = {
	.kind = "placed-semaphore",
	.placed = true,
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate_place,
	.open = open_semaphore,
	.close = close_semaphore,
	.locate = locate,
	.word = some_word,
};
