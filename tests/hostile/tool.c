/* SPDX-License-Identifier: MIT */
/* The stoa command looks at objects that are false, and at such as are being
 * overwritten: it must end, in one of the ways it promises, and show nothing
 * that a terminal would obey. */
#include "hostile.h"

enum { STILL_ROUNDS = 2, LIVE_ROUNDS = 2, BURSTS = 6 };

static void put_name_back(const struct image *image)
{
	char kept[300];

	snprintf(kept, sizeof(kept), "%s/.kept", case_directory());
	if (link(image->path, kept) != 0 && errno == ENOENT &&
	    link(kept, image->path) != 0)
		finding("link: %s", strerror(errno));
}

static void look(const struct image *image)
{
	char name[64];
	const char *const commands[][4] = {
		{ "ls", NULL },           { "stat", name, NULL },
		{ "ls", "--json", NULL }, { "stat", "--json", name, NULL },
		{ "clean", NULL },
	};

	snprintf(name, sizeof(name), "q.%s", image->noun->kind);
	for (size_t i = 0; i < LENGTH(commands); i++) {
		run_command(commands[i]);
		put_name_back(image);
	}
}

static void store_for_ever(void *context)
{
	struct scribbler *scribbler = context;

	report(0);
	for (;;)
		scribble(scribbler);
}

static void the_command_looks_at_false_objects(const struct noun *noun)
{
	unsigned shape = (unsigned)run_seed() % noun->shapes;
	struct stoa_space *space = open_space();
	struct scribbler scribbler;
	struct image image;
	struct child child;

	find_command();
	noun->populate(space, "q", shape);
	image_open(&image, space, noun, "q", shape);
	put_name_back(&image);
	scribbler_init(&scribbler, &image, run_seed());
	learn_tokens(&scribbler);
	for (int i = 0; i < STILL_ROUNDS; i++) {
		trial("shape %u, still, round %d", shape, i);
		for (int j = 0; j < BURSTS; j++)
			scribble(&scribbler);
		look(&image);
		image_restore(&image);
	}
	child = start_child(store_for_ever, &scribbler);
	await_report(&child);
	for (int i = 0; i < LIVE_ROUNDS; i++) {
		trial("shape %u, live, round %d", shape, i);
		look(&image);
	}
	kill_child(&child);
	image_close(&image);
	stoa_space_close(space);
	remove_tree(case_directory());
}

static const struct noun_case cases[] = {
	{ "the_command_looks_at_false_objects",
	  the_command_looks_at_false_objects },
};

int main(int argc, char **argv)
{
	return run_noun_cases(argc, argv, cases, LENGTH(cases), false, NULL, 0);
}
