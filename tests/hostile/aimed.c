/* SPDX-License-Identifier: MIT */
/*
 * Attacks that know the layout: each keeps one kind of word false for as long
 * as the victim works, and the victim must come back.
 */
#include "hostile.h"

#include <sched.h>
#include <sys/stat.h>

#define SHORTLY (20 * MS)
#define BRIEFLY (2 * MS)

enum { LOOKS = 4 /* at an object, for each open */, FLIPS = 200 };

/* ---- While an attacker stores without end ------------------------------- */

struct attacker {
	struct scribbler scribbler;
	void (*store)(struct scribbler *scribbler);
};

/* What fields are false while attack_field() runs. */
static const struct field *false_field;

static void store_for_ever(void *context)
{
	struct attacker *attacker = context;

	report(0);
	for (;;)
		attacker->store(&attacker->scribbler);
}

/* Opens, works, and closes, a few times. */
static void work(struct victim *victim, const char *what, int times)
{
	for (int round = 0; round < times; round++) {
		trial("%s, shape %u, round %d", what, victim->shape, round);
		watch_operation("open", 0);
		victim_open(victim);
		operation_done();
		for (int i = 1; i < LOOKS && victim->handle != NULL; i++)
			operate_on_object(victim);
		operate_all(victim);
		watch_operation("close", 0);
		victim_close(victim);
		operation_done();
	}
}

/* A living seat that isn't the victim's. */
static void learn_bystander(struct attacker *attacker,
                            const struct victim *bystander)
{
	uint32_t token = stoa_object_token(bystander->object);
	struct stoa_seat *seats =
		(void *)(attacker->scribbler.base + OBJECT_SEATS_OFFSET);

	if (bystander->noun->placed || token == 0)
		return;
	attacker->scribbler.living_token = token;
	attacker->scribbler.living_owner =
		atomic_load(&seats[SEAT_INDEX(token)].owner);
}

static void withstand(const struct noun *noun, unsigned shape,
                      const struct attack *attack, int64_t patience_ns)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space, noun, shape, patience_ns);
	struct victim bystander = victim;
	struct attacker attacker = { .store = attack->store };
	struct image image;
	struct child child;
	stoa_peer self;

	noun->populate(space, "q", shape);
	image_open(&image, space, noun, "q", shape);
	must(victim_open(&bystander), "open");
	must(stoa_space_self(space, &self), "self");
	scribbler_init(&attacker.scribbler, &image, run_seed() + 1);
	attacker.scribbler.spare_header = true;
	operate(&bystander, &noun->operations[0]);
	learn_tokens(&attacker.scribbler);
	learn_bystander(&attacker, &bystander);
	child = start_child(store_for_ever, &attacker);
	await_report(&child);
	work(&victim, attack->name, attack->times);
	kill_child(&child);
	image_restore(&image);
	watch_operation("close", 0);
	victim_close(&bystander);
	operation_done();
	image_close(&image);
	stoa_space_close(space);
	remove_tree(case_directory());
	assert_system(mkdir(case_directory(), 0700));
}

static void withstand_all(const struct noun *noun, const struct attack *attack)
{
	for (unsigned shape = 0; shape < noun->shapes; shape++)
		withstand(noun, shape, attack, SHORTLY);
}

/* ---- One word kept false ------------------------------------------------ */

static void flip_field(struct scribbler *scribbler)
{
	const struct field *field = false_field;
	size_t item;

	if (own_region(scribbler, field->region)->bytes == 0)
		return;
	item = some_item(scribbler, field->region);
	for (int i = 0; i < FLIPS; i++)
		put_field(scribbler, field, item,
		          field_value(scribbler, field, item + field->offset));
	revive(scribbler);
}

/* For some time each; then as it was, so that whoever waits may go on. */
static void hold_field(struct scribbler *scribbler)
{
	const struct field *field = false_field;
	uint64_t value, real = 0;
	size_t item;

	if (own_region(scribbler, field->region)->bytes == 0)
		return;
	item = some_item(scribbler, field->region);
	value = field_value(scribbler, field, item + field->offset);
	memcpy(&real, scribbler->image->copy + item + field->offset,
	       field->bytes);
	for (int i = 0; i < FLIPS; i++) {
		put_field(scribbler, field, item, value);
		sched_yield();
	}
	put_field(scribbler, field, item, real);
	revive(scribbler);
	sched_yield();
}

static void each_word_may_flip_without_end(const struct noun *noun)
{
	static const struct attack ways[] = { { "flips", flip_field, 1 },
		                              { "held", hold_field, 1 } };

	for (unsigned i = 0; noun->fields[i].name != NULL; i++) {
		unsigned shape = (i + (unsigned)run_seed()) % noun->shapes;

		false_field = &noun->fields[i];
		for (size_t j = 0; j < LENGTH(ways); j++) {
			struct attack attack = ways[j];
			char name[80];

			snprintf(name, sizeof(name), "%s %s", false_field->name,
			         ways[j].name);
			attack.name = name;
			withstand(noun, shape, &attack, BRIEFLY);
		}
	}
}

/* ---- What every object has ---------------------------------------------- */

static struct stoa_seat *seat_of(struct scribbler *scribbler, uint32_t index)
{
	struct stoa_seat *seats =
		(void *)(scribbler->base + OBJECT_SEATS_OFFSET);

	return &seats[index];
}

/* A peer of slot 0 that was never alive. */
static void fill_seats_with_dead(struct scribbler *scribbler)
{
	uint64_t owner =
		(UINT64_C(0x7fff0000) | 1) << 16 |
		(next_random(&scribbler->chance) & SEAT_GENERATION_MASK);

	for (uint32_t i = 0; i < SEAT_FIRST_CHUNK; i++)
		atomic_store(&seat_of(scribbler, i)->owner, owner);
}

static void fill_seats_with_living(struct scribbler *scribbler)
{
	for (uint32_t i = 0; i < SEAT_FIRST_CHUNK; i++)
		atomic_store(&seat_of(scribbler, i)->owner,
		             scribbler->living_owner);
}

static void flip_events(struct scribbler *scribbler)
{
	struct stoa_events *events =
		(void *)(scribbler->base +
	                 scribbler->image->regions[REGION_STATE].offset);

	atomic_store(&events->readable,
	             (uint32_t)next_random(&scribbler->chance));
	atomic_store(&events->writable,
	             (uint32_t)next_random(&scribbler->chance));
}

static void what_every_object_has_may_be_false(const struct noun *noun)
{
	static const struct attack attacks[] = {
		{ "seats kept full of the dead", fill_seats_with_dead, 2 },
		{ "seats kept full of the living", fill_seats_with_living, 2 },
		{ "events that flip", flip_events, 3 },
	};

	for (size_t i = noun->placed ? 2 : 0; i < LENGTH(attacks); i++)
		withstand_all(noun, &attacks[i]);
}

static void its_own_attacks_are_withstood(const struct noun *noun)
{
	if (noun->attacks == NULL)
		return;
	for (const struct attack *attack = noun->attacks; attack->name != NULL;
	     attack++)
		withstand_all(noun, attack);
}

static const struct noun_case cases[] = {
	{ "each_word_may_flip_without_end", each_word_may_flip_without_end },
	{ "what_every_object_has_may_be_false",
	  what_every_object_has_may_be_false },
	{ "its_own_attacks_are_withstood", its_own_attacks_are_withstood },
};

int main(int argc, char **argv)
{
	return run_noun_cases(argc, argv, cases, LENGTH(cases), true, NULL, 0);
}
