/* SPDX-License-Identifier: MIT */
/* barrier.c: every operation on a barrier, as a victim performs it. */
#include "hostile.h"

#include <sync/barrier_internal.h>

extern const struct noun placed_barrier_noun;

static const struct stoa_barrier_attributes shapes[] = {
	{ .size = sizeof(shapes[0]), .count = 2, .death = STOA_BARRIER_BREAKS },
	{ .size = sizeof(shapes[0]),
	  .count = 5,
	  .death = STOA_BARRIER_FORGETS },
	{ .size = sizeof(shapes[0]), .count = 1, .death = STOA_BARRIER_BREAKS },
};

/* ---- Made in every state ------------------------------------------------ */

/* As one that has come: it can't die in a wait of its own. */
static void come_and_die(void *handle)
{
	struct stoa_barrier *barrier = handle;
	uint32_t round, last = barrier->count - 1;

	stoa_barrier_wait(barrier, STOA_NOW);
	round = BARRIER_ROUND(barrier_round(barrier));
	barrier->slots[barrier_slot_index(barrier, round, last)] =
		stoa_object_agent(&barrier->object);
}

static void use(struct stoa_barrier *barrier)
{
	stoa_barrier_wait(barrier, STOA_NOW);
	hold_and_die(come_and_die, barrier);
	stoa_barrier_close(barrier);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_barrier *barrier;

	must(stoa_barrier_open(space, name, STOA_CREATE, 0600, &shapes[shape],
	                       &barrier),
	     "open");
	use(barrier);
}

static void populate_place(struct stoa_space *space, const char *name,
                           unsigned shape)
{
	struct place place =
		map_place(space, &placed_barrier_noun, name,
	                  STOA_BARRIER_BYTES_FOR(shapes[shape].count));
	struct stoa_barrier *barrier;

	must(stoa_barrier_place(space, place.memory, place.bytes, STOA_CREATE,
	                        &shapes[shape], &barrier),
	     "place");
	use(barrier);
	unmap_place(&place);
}

static int open_barrier(struct victim *victim)
{
	struct stoa_barrier *barrier;
	int result =
		victim->noun->placed
			? stoa_barrier_place(victim->space,
	                                     victim->place.memory,
	                                     victim->place.bytes, 0, NULL,
	                                     &barrier)
			: stoa_barrier_open(victim->space, victim->name,
	                                    victim->flags, 0600,
	                                    &shapes[victim->shape], &barrier);

	if (result < 0)
		return result;
	victim->handle = barrier;
	victim->object = stoa_barrier_object(barrier);
	return result;
}

static void close_barrier(struct victim *victim)
{
	stoa_barrier_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

static long long come(struct victim *victim)
{
	int result = stoa_barrier_wait(victim->handle, soon(victim));

	if (result > STOA_BARRIER_SERIAL)
		finding("wait gave %d", result);
	return result;
}

static long long look(struct victim *victim)
{
	struct stoa_barrier_status status = { .size = sizeof(status) };
	int result = stoa_barrier_stat(victim->handle, &status);

	if (result == 0 && status.waiting > status.count)
		finding("%u of %u wait", status.waiting, status.count);
	return result;
}

static int see_waiter(const struct stoa_barrier_waiter *waiter, void *context)
{
	*(unsigned *)context += (unsigned)waiter->pid;
	return 0;
}

static long long list_waiters(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_barrier_each_waiter(victim->handle, see_waiter, &seen);
}

static long long wait_any(struct victim *victim)
{
	return wait_for(victim, some(victim, 3), NULL);
}

static const struct operation operations[] = {
	{ "wait", come, 12, false, false },
	{ "stat", look, 3, false, false },
	{ "each_waiter", list_waiters, 3, false, false },
	{ "wait (once more)", come, 8, false, false },
	{ "wait_any", wait_any, 4, false, false },
	{ NULL, NULL, 0, false, false },
};

/* ---- Where things are --------------------------------------------------- */

enum { CONTROL, SLOTS, INFORMATION };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_barrier *barrier = victim->handle;

	image_region(image, "control", victim, barrier->shared,
	             sizeof(*barrier->shared), 0);
	image_region(image, "slots", victim, (const void *)barrier->slots,
	             2 * barrier->count * sizeof(*barrier->slots),
	             sizeof(*barrier->slots));
	image_region(image, "information", victim, barrier->infos,
	             2 * barrier->count * sizeof(*barrier->infos),
	             sizeof(*barrier->infos));
	image_number(image, barrier->count);
}

static const struct field fields[] = {
	FIELD(CONTROL, barrier_shared, round, MEANS_POSITION,
	      BARRIER_BROKEN | BARRIER_VERSION),
	FIELD(CONTROL, barrier_shared, held_up, MEANS_NUMBER, 0),
	FIELD(CONTROL, barrier_shared, slow, MEANS_NUMBER, 0),
	FIELD(CONTROL, barrier_shared, count, MEANS_NUMBER, 0),
	{ "slot", SLOTS, 0, 8, MEANS_AGENT, BARRIER_COMING | BARRIER_LEAVING },
	FIELD(INFORMATION, barrier_info, told, MEANS_AGENT, 0),
	{ .name = NULL },
};

static const int errors[] = { EOWNERDEAD, 0 };

const struct noun barrier_noun = {
	.kind = "barrier",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_barrier,
	.close = close_barrier,
	.locate = locate,
};

const struct noun placed_barrier_noun = {
	.kind = "placed-barrier",
	.placed = true,
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate_place,
	.open = open_barrier,
	.close = close_barrier,
	.locate = locate,
};
