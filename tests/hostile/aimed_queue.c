/* SPDX-License-Identifier: MIT */
/* One false thing in a queue, or around it, and then the operations. */
#include "queue.h"

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
	LARGE_CAPACITY = 1 << 17,
	CROWD = SEAT_MAX - SEAT_FIRST_CHUNK,
	CROWD_CAPACITY = 1 << 12,
	CROWD_OBJECTS = 50,
	CROWD_BELLS = 1000,
};

/* Of the queue's shapes: all sizes by order of sending, and by priority. */
enum { IN_ORDER = 1, BY_PRIORITY = 2 };

static const struct queue_shape plain = { STOA_FIFO, 16, 9000, 65536 };

static struct victim victim_in(struct stoa_space *space, unsigned shape)
{
	return victim_of(space, &queue_noun, shape, SHORTLY);
}

static struct stoa_seat *seat_of(struct image *image, uint32_t index)
{
	struct stoa_seat *seats = (void *)(image->base + OBJECT_SEATS_OFFSET);

	return &seats[index];
}

static void *own(struct image *image, unsigned number)
{
	return image->base + image->regions[REGION_OWN + number].offset;
}

/* The index's only leaf names a cell that has no message, and says that it
 * isn't listed: to be picked again and again. */
TEST(an_index_that_names_no_message_is_left_soon)
{
	struct stoa_space *space = open_space();
	struct victim victim = victim_in(space, BY_PRIORITY);
	struct image image;
	struct queue_control *control;
	struct queue_node *nodes;

	queue_noun.populate(space, "q", BY_PRIORITY);
	image_open(&image, space, &queue_noun, "q", BY_PRIORITY);
	nodes = own(&image, QUEUE_NODES);
	assert_int_equal(victim_open(&victim), 0);
	control = own(&image, QUEUE_CONTROL);
	for (int round = 0; round < 4; round++) {
		memset(own(&image, QUEUE_CELLS), 0,
		       image.regions[REGION_OWN + QUEUE_CELLS].bytes);
		memset(own(&image, QUEUE_ENTRIES), 0,
		       image.regions[REGION_OWN + QUEUE_ENTRIES].bytes);
		nodes[1] = (struct queue_node){ .first = 1,
			                        .last = 1,
			                        .bit = QUEUE_LEAF };
		atomic_store(&control->root, 1);
		atomic_store(&control->dirty, 0);
		atomic_store(&control->pending, 0);
		trial("round %d", round);
		operate(&victim, operation_of(&queue_noun, "receive"));
		image_revive(&image);
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
	struct victim victim = victim_in(space, IN_ORDER);
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
	assert_int_equal(victim_open(&victim), 0);
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
		stoa_queue_close(make_queue(space, name, plain));
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
	struct victim victim = victim_in(space, IN_ORDER);
	struct image image;

	queue_noun.populate(space, "q", IN_ORDER);
	image_open(&image, space, &queue_noun, "q", IN_ORDER);
	assert_int_equal(victim_open(&victim), 0);
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
	struct victim victim = victim_in(space, IN_ORDER);
	struct rlimit few = { 200, 200 };
	struct image image;
	int fd;

	queue_noun.populate(space, "q", IN_ORDER);
	image_open(&image, space, &queue_noun, "q", IN_ORDER);
	assert_int_equal(victim_open(&victim), 0);
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
		operate_on_object(&victim);
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

	queue_noun.populate(space, "q", IN_ORDER);
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
	queue = make_queue(space, "q", plain);
	chmod(case_path("q.queue"), 0666);
	image_open(&image, space, &queue_noun, "q", IN_ORDER);
	control = own(&image, QUEUE_CONTROL);
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

/* ---- Between two loads -------------------------------------------------------- */

enum {
	TEAR_CELLS = 2,
	TEAR_LARGE = 600,
	TEAR_ROOM = 9000, /* for a large one: more than it needs */
	TEARS = 300,
	TEAR_TRIES = 1 << 19, /* where both rarely run at once */
	TEAR_WATCHED = 1 << 10, /* by the watchdog as one */
};

#define TEAR_FALSE UINT32_MAX

struct tear {
	struct stoa_queue *queue;
	uint32_t *words[TEAR_CELLS]; /* of the cells: what is false at times */
	uint32_t good; /* what they are otherwise, whatever was sent */
};

static void flip_for_ever(void *context)
{
	const struct tear *tear = context;

	report(0);
	for (unsigned i = 0;; i++) {
		uint32_t *word = tear->words[i % TEAR_CELLS];

		__atomic_store_n(word, TEAR_FALSE, __ATOMIC_RELAXED);
		__atomic_store_n(word, tear->good, __ATOMIC_RELAXED);
	}
}

/* Does a word change here between two loads, as it may in the library? */
static unsigned is_torn(const struct tear *tear)
{
	unsigned torn = 0;

	for (int i = 0; i < TEAR_CELLS; i++)
		torn += __atomic_load_n(tear->words[i], __ATOMIC_RELAXED) !=
		                TEAR_FALSE &&
		        __atomic_load_n(tear->words[i], __ATOMIC_RELAXED) ==
		                TEAR_FALSE;
	return torn;
}

/* Messages go through the queue while the words change all the time, until one
 * has changed often enough at the wrong instant. */
static void pass_amid_tears(struct tear *tear, uint32_t bytes, size_t room)
{
	char *message = exact(bytes), *buffer = exact(room);
	struct child child = start_child(flip_for_ever, tear);
	unsigned torn = 0;

	await_report(&child);
	for (int i = 0; i < TEAR_TRIES && torn < TEARS; i++) {
		ssize_t got;

		if (i % TEAR_WATCHED == 0)
			watch_operation("send and receive", 0);
		stoa_queue_send(tear->queue, message, bytes, STOA_NOW);
		torn += is_torn(tear);
		got = stoa_queue_receive(tear->queue, NULL, buffer, room,
		                         STOA_NOW, NULL);
		if (got > (ssize_t)room)
			finding("%zd bytes received into %zu", got, room);
		/* That it was damaged is true, and not what is tried. */
		atomic_store(&tear->queue->object.events->state, 0);
	}
	operation_done();
	kill_child(&child);
	free(message);
	free(buffer);
}

static void tear_words(bool places, uint32_t bytes, size_t room)
{
	static const struct queue_shape small = { STOA_FIFO, TEAR_CELLS,
		                                  TEAR_ROOM, 65536 };
	struct stoa_space *space = open_space();
	struct tear tear = { .queue = make_queue(space, "q", small),
		             .good = places ? 1 : bytes };

	for (int i = 0; i < TEAR_CELLS; i++) {
		struct queue_cell *cell = &tear.queue->cells[i];

		tear.words[i] = places ? &cell->payload : &cell->bytes;
	}
	trial("%u bytes whose %s changes", bytes, places ? "place" : "size");
	pass_amid_tears(&tear, bytes, room);
	stoa_queue_close(tear.queue);
	stoa_space_close(space);
}

TEST(the_size_of_a_small_message_is_believed_once)
{
	tear_words(false, STOA_QUEUE_INLINE, STOA_QUEUE_INLINE);
}

TEST(the_size_of_a_large_message_is_believed_once)
{
	tear_words(false, TEAR_LARGE, TEAR_ROOM);
}

TEST(the_place_of_a_large_message_is_believed_once)
{
	tear_words(true, TEAR_LARGE, TEAR_ROOM);
}

static const struct CMUnitTest cases[] = {
	CASE(an_index_that_names_no_message_is_left_soon),
	CASE(a_large_queue_of_lies_is_left_by_the_deadline),
	CASE(a_crowd_of_forged_dead_is_buried_soon),
	CASE(a_crowd_of_forged_bells_is_cleaned_soon),
	CASE(a_fifo_instead_of_a_life_file_blocks_nobody),
	CASE(life_files_without_number_leave_descriptors_to_the_program),
	CASE(a_lock_on_the_directory_blocks_no_removal),
	CASE(a_forged_registration_signals_no_other_user),
	CASE(the_size_of_a_small_message_is_believed_once),
	CASE(the_size_of_a_large_message_is_believed_once),
	CASE(the_place_of_a_large_message_is_believed_once),
};

int main(int argc, char **argv)
{
	return run_noun_cases(argc, argv, NULL, 0, false, cases, LENGTH(cases));
}
