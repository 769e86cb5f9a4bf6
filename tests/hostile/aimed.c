/* SPDX-License-Identifier: MIT */
/*
 * Attacks that know the layout: each keeps one kind of word false for as long
 * as the victim works, and the victim must come back.
 */
#include "hostile.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <space/life_layout.h>

#define SHORTLY (20 * MS)

enum {
	STATUS_BYTES = 64,
	LOOKS = 4, /* at a queue, for each open */
	FLIPS = 1000,
	LARGE_CAPACITY = 1 << 17,
	CROWD = SEAT_MAX - SEAT_FIRST_CHUNK,
	CROWD_CAPACITY = 1 << 12,
	CROWD_OBJECTS = 50,
	CROWD_BELLS = 1000,
};

static const struct queue_shape shapes[] = {
	{ STOA_FIFO, 16, 9000, 65536 },
	{ STOA_PRIORITY, 16, 9000, 65536 },
	{ STOA_TYPE, 16, 9000, 65536 },
};

struct attack {
	struct image image;
	uint64_t owner; /* of a living seat that isn't the victim's */
	uint32_t token;
};

static struct victim victim_of(struct stoa_space *space)
{
	struct victim victim;

	memset(&victim, 0, sizeof(victim));
	victim.space = space;
	victim.name = "q";
	victim.chance = run_seed();
	victim.message_max = shapes[0].max_message_bytes;
	victim.patience_ns = SHORTLY;
	catch_notifications();
	return victim;
}

static struct queue_control *control_of(struct image *image)
{
	return (void *)(image->base + image->regions[REGION_CONTROL].offset);
}

static struct queue_cell *cell_of(struct image *image, uint32_t index)
{
	struct queue_cell *cells =
		(void *)(image->base + image->regions[REGION_CELLS].offset);

	return &cells[index];
}

static struct stoa_seat *seat_of(struct image *image, uint32_t index)
{
	struct stoa_seat *seats = (void *)(image->base + OBJECT_SEATS_OFFSET);

	return &seats[index];
}

static void revive(struct image *image)
{
	struct stoa_object_header *header = (void *)image->base;

	atomic_store(&header->events.state, 0);
}

/* ---- While an attacker stores without end ------------------------------- */

typedef void (*stores)(struct attack *attack, uint64_t *chance);

struct attacker {
	struct attack *attack;
	stores store;
};

static void store_for_ever(void *context)
{
	struct attacker *attacker = context;
	uint64_t chance = run_seed() + 1;

	report(0);
	for (;;)
		attacker->store(attacker->attack, &chance);
}

/* Opens, works, and closes, a few times. */
static void work(struct victim *victim, int times)
{
	for (int round = 0; round < times; round++) {
		trial("order %d, round %d", (int)victim->order, round);
		watch_operation("open", 0);
		victim_open(victim);
		operation_done();
		for (int i = 1; i < LOOKS && victim->queue != NULL; i++)
			operate_on_queue(victim);
		operate_all(victim);
		watch_operation("close", 0);
		victim_close(victim);
		operation_done();
	}
}

static void withstand_with(struct queue_shape shape, stores store, int times)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	struct attack attack;
	struct attacker attacker = { &attack, store };
	struct stoa_queue *bystander;
	struct child child;

	victim.order = shape.order;
	populate(space, "q", shape);
	memset(&attack, 0, sizeof(attack));
	image_open(&attack.image, space, "q");
	bystander = join_queue(space, "q");
	attack.token = stoa_object_token(&bystander->object);
	attack.owner = atomic_load(
		&seat_of(&attack.image, SEAT_INDEX(attack.token))->owner);
	child = start_child(store_for_ever, &attacker);
	await_report(&child);
	work(&victim, times);
	kill_child(&child);
	revive(&attack.image);
	stoa_queue_close(bystander);
	image_close(&attack.image);
	stoa_space_close(space);
	remove_tree(case_directory());
	assert_system(mkdir(case_directory(), 0700));
}

static void withstand(stores store, int times)
{
	for (size_t i = 0; i < LENGTH(shapes); i++)
		withstand_with(shapes[i], store, times);
}

/* A peer of slot 0 that was never alive. */
static void fill_seats_with_dead(struct attack *attack, uint64_t *chance)
{
	uint64_t owner = (UINT64_C(0x7fff0000) | 1) << 16 |
	                 (next_random(chance) & SEAT_GENERATION_MASK);

	for (uint32_t i = 0; i < SEAT_FIRST_CHUNK; i++)
		atomic_store(&seat_of(&attack->image, i)->owner, owner);
}

TEST(seats_kept_full_of_the_dead_end_an_open)
{
	withstand(fill_seats_with_dead, 2);
}

static void fill_seats_with_living(struct attack *attack, uint64_t *chance)
{
	(void)chance;
	for (uint32_t i = 0; i < SEAT_FIRST_CHUNK; i++)
		atomic_store(&seat_of(&attack->image, i)->owner, attack->owner);
}

TEST(seats_kept_full_of_the_living_end_an_open)
{
	withstand(fill_seats_with_living, 2);
}

static void hold_selection(struct attack *attack, uint64_t *chance)
{
	(void)chance;
	atomic_store(&control_of(&attack->image)->selection.word,
	             attack->token);
}

TEST(a_selection_lock_held_for_ever_ends_a_receive)
{
	withstand(hold_selection, 1);
}

static void flip_selection(struct attack *attack, uint64_t *chance)
{
	uint32_t words[] = { 0, attack->token, attack->token | 0x80000000u,
		             0x80000000u, (uint32_t)next_random(chance) };

	atomic_store(&control_of(&attack->image)->selection.word,
	             words[random_below(chance, LENGTH(words))]);
}

TEST(a_selection_lock_that_flips_ends_a_receive)
{
	withstand(flip_selection, 4);
}

static void flip_cell_words(struct attack *attack, uint64_t *chance)
{
	struct image *image = &attack->image;

	for (uint32_t i = 0; i < image->slots; i++) {
		uint32_t phase = (uint32_t)random_below(chance, 8);
		uint32_t lap = QUEUE_WORD_LAP(cell_of(image, i)->word) - 1 +
		               (uint32_t)random_below(chance, 3);

		atomic_store(&cell_of(image, i)->word,
		             QUEUE_WORD(lap, phase,
		                        phase == QUEUE_TAKEN ? attack->token
		                                             : 0));
	}
	revive(image);
}

TEST(cell_words_that_flip_end_every_operation)
{
	withstand(flip_cell_words, 8);
}

/* What was found is gone at each look, so that it is looked for again. */
static void flip_messages(struct attack *attack, uint64_t *chance)
{
	struct image *image = &attack->image;
	uint32_t index = (uint32_t)random_below(chance, image->slots);
	struct queue_cell *cell = cell_of(image, index);
	uint64_t word = atomic_load(&cell->word);
	uint64_t ready = QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_READY, 0);

	for (int i = 0; i < FLIPS; i++) {
		atomic_store(&cell->word, ready);
		atomic_store(&cell->word, word);
	}
	revive(image);
}

TEST(a_message_that_comes_and_goes_ends_every_operation)
{
	withstand(flip_messages, 8);
}

/* True while it is checked, and false when it is used. */
static void flip_sizes(struct attack *attack, uint64_t *chance)
{
	struct image *image = &attack->image;
	uint32_t index = (uint32_t)random_below(chance, image->slots);
	struct queue_cell *cell = cell_of(image, index);
	uint32_t bytes = (uint32_t)random_below(chance, STOA_QUEUE_INLINE);
	uint32_t piece = (uint32_t)random_below(
		chance, image->blocks * QUEUE_BLOCK_PIECES);
	bool large = random_below(chance, 2) == 0;

	for (int i = 0; i < FLIPS; i++) {
		cell_set(cell, bytes, bytes);
		cell_set(cell, payload, large ? piece : 0);
		cell_set(cell, bytes, UINT32_MAX >> (i & 15));
		cell_set(cell, payload, large ? UINT32_MAX - piece : 0);
	}
	cell_set(cell, bytes, bytes);
	cell_set(cell, payload, large ? piece : 0);
	revive(image);
}

TEST(sizes_that_flip_end_every_operation)
{
	withstand(flip_sizes, 40);
}

static void flip_marks(struct attack *attack, uint64_t *chance)
{
	struct queue_control *control = control_of(&attack->image);
	uint64_t position = next_random(chance) >> random_below(chance, 33);

	atomic_store(&control->void_mark, position);
	atomic_store(&control->returned, position);
	atomic_store(&control->disorder, ~position);
	atomic_store(&control->head, position);
	atomic_store(&control->tail, ~position);
	atomic_store(&control->ingested, position);
	revive(&attack->image);
}

TEST(marks_that_flip_end_every_operation)
{
	withstand(flip_marks, 8);
}

static void flip_events(struct attack *attack, uint64_t *chance)
{
	struct stoa_object_header *header = (void *)attack->image.base;

	atomic_store(&header->events.readable, (uint32_t)next_random(chance));
	atomic_store(&header->events.writable, (uint32_t)next_random(chance));
}

TEST(events_that_flip_end_every_wait)
{
	withstand(flip_events, 4);
}

/* All nodes lead to each other and all lists go round. */
static void knot_index(struct attack *attack, uint64_t *chance)
{
	struct image *image = &attack->image;
	struct queue_entry *entries =
		(void *)(image->base + image->regions[REGION_ENTRIES].offset);
	struct queue_node *nodes =
		(void *)(image->base + image->regions[REGION_NODES].offset);
	struct queue_control *control = control_of(image);

	if (image->regions[REGION_NODES].bytes == 0)
		return;
	for (uint32_t i = 0; i < image->capacity; i++) {
		entries[i].next =
			1 + (uint32_t)random_below(chance, image->capacity);
		entries[i].listed = (uint32_t)random_below(chance, 3);
	}
	for (uint32_t i = 0; i < 2 * image->capacity; i++) {
		nodes[i].bit = (uint32_t)random_below(chance, QUEUE_LEAF + 1);
		nodes[i].first = nodes[i].last =
			1 + (uint32_t)random_below(chance, image->capacity);
		for (int side = 0; side < 2; side++)
			nodes[i].child[side] =
				1 + (uint32_t)random_below(
					    chance, 2 * image->capacity - 1);
	}
	atomic_store(&control->root, 1);
	atomic_store(&control->pending, 1);
	atomic_store(&control->dirty, 0);
	revive(image);
}

TEST(an_index_in_knots_ends_every_receive)
{
	withstand(knot_index, 4);
}

/* ---- One false thing, and then the operations --------------------------- */

/* The index's only leaf names a cell that has no message, and says that it
 * isn't listed: to be picked again and again. */
TEST(an_index_that_names_no_message_is_left_soon)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	struct image image;
	struct queue_control *control;
	struct queue_node *nodes;

	populate(space, "q", shapes[1]);
	image_open(&image, space, "q");
	nodes = (void *)(image.base + image.regions[REGION_NODES].offset);
	assert_ok(victim_open(&victim));
	control = control_of(&image);
	for (int round = 0; round < 4; round++) {
		memset(image.base + image.regions[REGION_CELLS].offset, 0,
		       image.regions[REGION_CELLS].bytes);
		memset(image.base + image.regions[REGION_ENTRIES].offset, 0,
		       image.regions[REGION_ENTRIES].bytes);
		nodes[1] = (struct queue_node){ .first = 1,
			                        .last = 1,
			                        .bit = QUEUE_LEAF };
		atomic_store(&control->root, 1);
		atomic_store(&control->dirty, 0);
		atomic_store(&control->pending, 0);
		trial("round %d", round);
		operate(&victim, &queue_operations[2]);
		revive(&image);
	}
	victim_close(&victim);
	image_close(&image);
	unlink(case_path("q.queue"));
	stoa_space_close(space);
}

/* Cells without end that are being written, by somebody who lives. */
TEST(a_large_queue_of_lies_is_left_by_the_deadline)
{
	static const struct queue_shape large = { STOA_FIFO, LARGE_CAPACITY, 80,
		                                  0 };
	struct stoa_space *space = open_space();
	struct stoa_queue *queue = make_queue(space, "q", large);
	uint32_t token = stoa_object_token(&queue->object);
	char buffer[STOA_QUEUE_INLINE];
	ssize_t result;

	for (uint32_t i = 0; i < LARGE_CAPACITY; i++)
		atomic_store(&queue->cells[i].word,
		             QUEUE_WORD(1, QUEUE_WRITING, token));
	watch_operation("receive", SHORTLY);
	result = stoa_queue_receive(queue, NULL, buffer, sizeof(buffer),
	                            stoa_deadline_in(SHORTLY), NULL);
	operation_done();
	assert_int_equal(result, -ETIMEDOUT);
	watch_operation("send", SHORTLY);
	assert_result(stoa_queue_send(queue, "x", 1, stoa_deadline_in(SHORTLY)),
	              -ETIMEDOUT);
	operation_done();
	stoa_queue_close(queue);
	stoa_space_close(space);
}

/* As many seats as there can be, each of somebody who was never alive. */
TEST(a_crowd_of_forged_dead_is_buried_soon)
{
	static const struct queue_shape large = { STOA_FIFO, CROWD_CAPACITY, 80,
		                                  0 };
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	struct stoa_seat *seats;
	struct stat found;
	int fd;

	stoa_queue_close(make_queue(space, "q", large));
	fd = open(case_path("q.queue"), O_RDWR | O_CLOEXEC);
	assert_system(fd);
	assert_system(fstat(fd, &found));
	seats = mmap(NULL, CROWD * sizeof(*seats), PROT_READ | PROT_WRITE,
	             MAP_SHARED, fd, found.st_size);
	assert_ptr_not_equal(seats, MAP_FAILED);
	assert_system(
		ftruncate(fd, found.st_size + (off_t)(CROWD * sizeof(*seats))));
	for (uint32_t i = 0; i < CROWD; i++)
		atomic_store(&seats[i].owner,
		             LIFE_PEER(9, UINT64_C(7)) << 16 | 3);
	watch_operation("open", 0);
	assert_ok(victim_open(&victim));
	operation_done();
	operate_all(&victim);
	victim_close(&victim);
	munmap(seats, CROWD * sizeof(*seats));
	close(fd);
	stoa_space_close(space);
	remove_tree(case_directory());
}

TEST(a_crowd_of_forged_bells_is_cleaned_soon)
{
	struct stoa_space *space = open_space();
	char name[64];

	for (int i = 0; i < CROWD_OBJECTS; i++) {
		snprintf(name, sizeof(name), "q%d", i);
		stoa_queue_close(make_queue(space, name, shapes[0]));
	}
	for (int i = 0; i < CROWD_BELLS; i++) {
		snprintf(name, sizeof(name), ".bell.%016x.r", i);
		assert_system(mkfifo(case_path(name), 0666));
	}
	watch_operation("space_clean", 0);
	assert_good(stoa_space_clean(space, 0, NULL, NULL));
	operation_done();
	stoa_space_close(space);
	remove_tree(case_directory());
}

/* The first life file that nobody has made yet. */
TEST(a_fifo_instead_of_a_life_file_blocks_nobody)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	struct image image;

	populate(space, "q", shapes[0]);
	image_open(&image, space, "q");
	assert_ok(victim_open(&victim));
	assert_system(mkfifo(case_path(".life.1"), 0666));
	atomic_store(&seat_of(&image, 5)->owner,
	             LIFE_PEER(LIFE_SLOTS, UINT64_C(7)) << 16 | 3);
	trial("a seat of slot %d", LIFE_SLOTS);
	operate_all(&victim);
	victim_close(&victim);
	image_close(&image);
	stoa_space_close(space);
	remove_tree(case_directory());
}

/* Names of all possible life files, and seats that name peers in them. */
TEST(life_files_without_number_leave_descriptors_to_the_program)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_of(space);
	struct rlimit few = { 200, 200 };
	struct image image;
	int fd;

	populate(space, "q", shapes[0]);
	image_open(&image, space, "q");
	assert_ok(victim_open(&victim));
	for (int shard = 1; shard < LIFE_SHARDS; shard++) {
		char name[32];

		snprintf(name, sizeof(name), ".life.%d", shard);
		fd = open(case_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		assert_system(fd);
		assert_system(ftruncate(fd, LIFE_FILE_BYTES));
		close(fd);
	}
	assert_system(setrlimit(RLIMIT_NOFILE, &few));
	for (uint32_t round = 0; round < LIFE_SHARDS / 32; round++) {
		for (uint32_t i = 0; i < 32; i++)
			atomic_store(
				&seat_of(&image, 8 + i)->owner,
				LIFE_PEER((round * 32 + i) * LIFE_SLOTS + 9,
			                  UINT64_C(7))
						<< 16 |
					3);
		operate_on_queue(&victim);
	}
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("no descriptor is left to the program: %d are open",
		         count_descriptors());
	close(fd);
	victim_close(&victim);
	image_close(&image);
	stoa_space_close(space);
	remove_tree(case_directory());
}

static void lock_directory(void *context)
{
	int fd = open(case_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)context;
	assert_system(fd);
	assert_system(flock(fd, LOCK_EX));
	report(0);
	await_order();
}

TEST(a_lock_on_the_directory_blocks_no_removal)
{
	struct stoa_space *space = open_space();
	struct child child = start_child(lock_directory, NULL);
	int result;

	populate(space, "q", shapes[0]);
	await_report(&child);
	watch_operation("unlink", 0);
	result = stoa_queue_unlink(space, "q");
	operation_done();
	if (result != 0 && result != -EBUSY && result != -EAGAIN)
		fail_msg("unlink gave %d", result);
	kill_child(&child);
	unlink(case_path("q.queue"));
	stoa_space_close(space);
}

/* ---- A registration for somebody who never asked ------------------------ */

static void wait_for_signal(void *context)
{
	(void)context;
	catch_notifications();
	report(getpid());
	await_order();
	_exit(EXIT_SUCCESS);
}

static bool is_pending_or_caught(pid_t pid, int number)
{
	char path[STATUS_BYTES], line[256];
	unsigned long long mask = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return true;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "ShdPnd: %llx", &mask) == 1)
			break;
	fclose(file);
	return mask >> (number - 1) & 1;
}

/* The attacker, another user, may write the queue and nothing else. It wants
 * the sender, who may signal anybody, to signal a stopped bystander. */
TEST(a_forged_registration_signals_no_other_user)
{
	struct stoa_space *space = open_space();
	struct stoa_queue *queue;
	struct child bystander;
	struct image image;
	struct queue_control *control;
	stoa_peer self;
	uint32_t token;

	skip_unless_root();
	bystander = start_child(wait_for_signal, NULL);
	await_report(&bystander);
	stop_child(&bystander);
	queue = make_queue(space, "q", shapes[0]);
	chmod(case_path("q.queue"), 0666);
	image_open(&image, space, "q");
	control = control_of(&image);
	assert_ok(stoa_space_self(space, &self));
	token = stoa_object_token(&queue->object);
	stoa_queue_close(queue);
	queue = join_queue(space, "q");
	atomic_store(&control->notify_pid, bystander.pid);
	atomic_store(&control->notify_signal, SIGUSR2);
	atomic_store(&control->notify_peer, self);
	atomic_store(&control->notify_token, token);
	atomic_fetch_or(&queue->object.header->events.readable, EVENT_NOTIFY);
	assert_ok(stoa_queue_send(queue, "x", 1, STOA_NOW));
	if (is_pending_or_caught(bystander.pid, SIGUSR2))
		fail_msg("the sender was made to signal a bystander");
	kill_child(&bystander);
	stoa_queue_close(queue);
	image_close(&image);
	stoa_space_close(space);
	remove_tree(case_directory());
}

static const struct CMUnitTest cases[] = {
	CASE(seats_kept_full_of_the_dead_end_an_open),
	CASE(seats_kept_full_of_the_living_end_an_open),
	CASE(a_selection_lock_held_for_ever_ends_a_receive),
	CASE(a_selection_lock_that_flips_ends_a_receive),
	CASE(cell_words_that_flip_end_every_operation),
	CASE(a_message_that_comes_and_goes_ends_every_operation),
	CASE(sizes_that_flip_end_every_operation),
	CASE(marks_that_flip_end_every_operation),
	CASE(events_that_flip_end_every_wait),
	CASE(an_index_in_knots_ends_every_receive),
	CASE(an_index_that_names_no_message_is_left_soon),
	CASE(a_large_queue_of_lies_is_left_by_the_deadline),
	CASE(a_crowd_of_forged_dead_is_buried_soon),
	CASE(a_crowd_of_forged_bells_is_cleaned_soon),
	CASE(a_fifo_instead_of_a_life_file_blocks_nobody),
	CASE(life_files_without_number_leave_descriptors_to_the_program),
	CASE(a_lock_on_the_directory_blocks_no_removal),
	CASE(a_forged_registration_signals_no_other_user),
};

HOSTILE_MAIN(cases)
