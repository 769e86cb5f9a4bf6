/* SPDX-License-Identifier: MIT */
/* Processes that hold blocks of a pool, hand them over, and end in all
 * manners. */
#include "support.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { NAMED, UNNAMED, PLACED, SEGMENTS, PLACES };
enum { BLOCKS = 100, BYTES = 256, PLACE_BYTES = 1 << 18, WORKERS = 4,
       KILLS = 150 };

static const struct stoa_pool_attributes attributes = {
	.size = sizeof(attributes), .block_bytes = BYTES, .blocks = BLOCKS,
	.threads = 16
};

struct stage {
	struct stoa_space *space;
	struct stoa_pool *pool;
	struct stoa_queue *queue;
	void *memory;
};

static struct stage begin(int where)
{
	struct stage stage = { .space = open_space() };
	struct stoa_pool_attributes wanted = attributes;

	stage.memory = mmap(NULL, PLACE_BYTES, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(stage.memory, MAP_FAILED);
	wanted.segments = where == SEGMENTS;
	if (where == PLACED)
		assert_ok(stoa_pool_place(stage.space, stage.memory,
		                          PLACE_BYTES, STOA_CREATE, &attributes,
		                          &stage.pool));
	else
		assert_ok(stoa_pool_open(stage.space,
		                         where == NAMED    ? "p" :
		                         where == SEGMENTS ? "s" :
		                                             NULL,
		                         STOA_CREATE, 0600, &wanted,
		                         &stage.pool));
	return stage;
}

static void finish(struct stage *stage)
{
	stoa_pool_close(stage->pool);
	munmap(stage->memory, PLACE_BYTES);
	stoa_space_close(stage->space);
}

static struct stoa_pool_status status_of(struct stage *stage)
{
	struct stoa_pool_status status = { .size = sizeof(status) };

	assert_ok(stoa_pool_stat(stage->pool, &status));
	return status;
}

static void assert_all_there(struct stage *stage)
{
	uint64_t block[BLOCKS], more;

	for (int i = 0; i < BLOCKS; i++) {
		assert_ok(stoa_pool_acquire(stage->pool, STOA_NOW, &block[i]));
		memset(stoa_pool_data(stage->pool, block[i]), 0, BYTES);
	}
	assert_result(stoa_pool_acquire(stage->pool, STOA_NOW, &more), -EAGAIN);
	for (int i = 0; i < BLOCKS; i++)
		assert_ok(stoa_pool_release(stage->pool, block[i]));
}

#define EVERYWHERE(stage)                                               \
	for (int where = 0; where < PLACES; where++)                    \
		for (struct stage stage = begin(where), *once_ = &stage; \
		     once_; finish(&stage), once_ = NULL)

/* Takes as many as it is told to; gives away as many as a negative order
 * says. */
static void hold(void *context)
{
	struct stage *stage = context;
	uint64_t block[BLOCKS];
	int held = 0;

	for (;;) {
		int64_t order = await_order();

		for (; order > 0; order--)
			assert_ok(stoa_pool_acquire(stage->pool, STOA_FOREVER,
			                            &block[held++]));
		for (; order < 0; order++)
			assert_ok(stoa_pool_give(stage->pool, block[--held]));
		report(held);
	}
}

TEST(what_the_dead_held_comes_back_and_what_they_gave_stays)
{
	EVERYWHERE(stage)
	{
		struct child child = start_child(hold, &stage);

		give_order(&child, 30);
		await_report(&child);
		give_order(&child, -10);
		assert_int_equal(await_report(&child), 20);
		assert_int_equal(status_of(&stage).held, 20);
		kill_child(&child);
		struct stoa_pool_status status = status_of(&stage);
		assert_int_equal(status.collected, 20);
		assert_int_equal(status.free, BLOCKS - 10);
		assert_int_equal(status.in_flight, 10);
	}
}

TEST(who_needs_a_block_finds_those_of_the_dead)
{
	EVERYWHERE(stage)
	{
		struct child child = start_child(hold, &stage);

		give_order(&child, BLOCKS);
		await_report(&child);
		kill_child(&child);
		assert_all_there(&stage);
	}
}

TEST(who_waits_is_woken_by_a_release_and_by_a_death)
{
	EVERYWHERE(stage)
	{
		uint64_t block[BLOCKS];
		struct child child = start_child(hold, &stage);

		for (int i = 0; i < BLOCKS; i++)
			assert_ok(stoa_pool_acquire(stage.pool, STOA_NOW,
			                            &block[i]));
		give_order(&child, 1);
		until_blocked(child.pid);
		assert_ok(stoa_pool_release(stage.pool, block[0]));
		assert_int_equal(await_report(&child), 1);
		kill_child(&child);
		assert_ok(stoa_pool_acquire(stage.pool, STOA_FOREVER,
		                            &block[0]));
	}
}

static void wait_until_removed(void *context)
{
	struct stage *stage = context;
	uint64_t block;

	assert_result(stoa_pool_acquire(stage->pool, STOA_FOREVER, &block),
	              -EIDRM);
}

TEST(who_waits_is_told_of_removal)
{
	EVERYWHERE(stage)
	{
		uint64_t block;
		struct child child;

		for (int i = 0; i < BLOCKS; i++)
			assert_ok(stoa_pool_acquire(stage.pool, STOA_NOW,
			                            &block));
		child = start_child(wait_until_removed, &stage);
		until_blocked(child.pid);
		assert_ok(stoa_pool_remove(stage.pool));
		end_child(&child);
	}
}

TEST(a_stopped_process_keeps_what_it_holds_and_no_more)
{
	EVERYWHERE(stage)
	{
		struct child child = start_child(hold, &stage);
		uint64_t block[BLOCKS];

		give_order(&child, 3);
		await_report(&child);
		stop_child(&child);
		for (int i = 0; i < BLOCKS - 3; i++)
			assert_ok(stoa_pool_acquire(stage.pool, STOA_NOW,
			                            &block[i]));
		assert_result(stoa_pool_acquire(stage.pool, STOA_NOW,
		                                &block[0]),
		              -EAGAIN);
		continue_child(&child);
		kill_child(&child);
	}
}

/* ---- Many holders -------------------------------------------------------- */

enum { HOLDERS = 10 };

struct share {
	struct stage *stage;
	const uint64_t *block;
	int first;
};

static void claim_share(void *context)
{
	struct share *share = context;

	for (int i = share->first; i < BLOCKS; i += HOLDERS)
		assert_ok(stoa_pool_claim(share->stage->pool, share->block[i]));
	report(0);
	await_order();
}

/* Reads of files by this process, those of the life table among them. */
static unsigned long reads_so_far(void)
{
	FILE *file = fopen("/proc/self/io", "re");
	unsigned long reads = 0;
	char line[80];

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "syscr: %lu", &reads);
	if (file)
		fclose(file);
	return reads;
}

TEST(each_holder_is_asked_after_once_however_many_there_are)
{
	EVERYWHERE(stage)
	{
		struct child child[HOLDERS];
		uint64_t block[BLOCKS], more;
		unsigned long before;

		for (int i = 0; i < BLOCKS; i++)
			assert_ok(stoa_pool_acquire(stage.pool, STOA_NOW,
			                            &block[i]));
		for (int i = 0; i < HOLDERS; i++) {
			struct share share = { &stage, block, i };

			child[i] = start_child(claim_share, &share);
			await_report(&child[i]);
		}
		before = reads_so_far();
		assert_result(stoa_pool_acquire(stage.pool, STOA_NOW, &more),
		              -EAGAIN);
		assert_in_range(reads_so_far() - before, 0, BLOCKS / 2);
		for (int i = 0; i < HOLDERS; i++)
			kill_child(&child[i]);
		assert_all_there(&stage);
	}
}

TEST(a_child_holds_for_itself)
{
	EVERYWHERE(stage)
	{
		uint64_t block;
		struct child child;

		assert_ok(stoa_pool_acquire(stage.pool, STOA_NOW, &block));
		child = start_child(hold, &stage);
		give_order(&child, 5);
		await_report(&child);
		assert_int_equal(status_of(&stage).held, 6);
		kill_child(&child);
		assert_int_equal(status_of(&stage).held, 1);
		assert_ok(stoa_pool_release(stage.pool, block));
		assert_all_there(&stage);
	}
}

/* ---- Random kills ---------------------------------------------------------------- */

static void mark(void *data, uint64_t value)
{
	for (size_t i = 0; i < BYTES / 8; i++)
		((uint64_t *)data)[i] = value;
}

static void assert_marked(const void *data, uint64_t value)
{
	for (size_t i = 0; i < BYTES / 8; i++)
		assert_int_equal(((const uint64_t *)data)[i], value);
}

/* Whatever it holds is its own for as long. */
static void take_and_free(void *context)
{
	struct stage *stage = context;
	uint64_t seed = (uint64_t)getpid(), serial = seed << 32;
	uint64_t block[40], first[40];

	report(0);
	for (;;) {
		uint64_t count = 1 + random_below(&seed, 40), got = 0;

		for (uint64_t i = 0; i < count; i++) {
			if (stoa_pool_acquire(stage->pool, STOA_NOW,
			                      &block[i]) == -EAGAIN)
				break;
			first[i] = serial;
			mark(stoa_pool_data(stage->pool, block[i]), serial++);
			got++;
		}
		for (uint64_t i = 0; i < got; i++) {
			assert_marked(stoa_pool_data(stage->pool, block[i]),
			              first[i]);
			assert_ok(stoa_pool_release(stage->pool, block[i]));
		}
	}
}

static void kill_at_random(struct stage *stage, void (*work)(void *context),
                           int workers)
{
	struct child child[WORKERS];
	uint64_t seed = run_seed();

	for (int i = 0; i < workers; i++)
		child[i] = start_child(work, stage);
	for (int i = 0; i < KILLS; i++) {
		struct child *victim =
			&child[random_below(&seed, (uint64_t)workers)];
		volatile uint64_t spins = random_below(&seed, 100000);

		await_report(victim);
		while (spins > 0)
			spins--;
		kill_child(victim);
		*victim = start_child(work, stage);
	}
	for (int i = 0; i < workers; i++)
		kill_child(&child[i]);
}

TEST(no_block_is_lost_or_had_twice_whoever_is_killed_whenever)
{
	EVERYWHERE(stage)
	{
		kill_at_random(&stage, take_and_free, WORKERS);
		assert_all_there(&stage);
	}
}

struct letter {
	uint64_t block, mark;
};

static void send_one(struct stage *stage, uint64_t *serial)
{
	struct letter letter = { .mark = (*serial)++ };

	assert_ok(stoa_pool_acquire(stage->pool, STOA_FOREVER, &letter.block));
	mark(stoa_pool_data(stage->pool, letter.block), letter.mark);
	assert_ok(stoa_queue_send(stage->queue, &letter, sizeof(letter),
	                          STOA_FOREVER));
	assert_good(stoa_pool_give(stage->pool, letter.block));
}

static int receive_one(struct stage *stage, struct stoa_deadline deadline)
{
	struct stoa_message message;
	struct letter letter;
	int result = stoa_queue_take(stage->queue, NULL, deadline, &message);

	if (result < 0)
		return result;
	memcpy(&letter, message.data, sizeof(letter));
	result = stoa_pool_claim(stage->pool, letter.block);
	if (result == 0)
		assert_marked(stoa_pool_data(stage->pool, letter.block),
		              letter.mark);
	else
		assert_int_equal(result, -ESTALE);
	assert_ok(stoa_queue_acknowledge(stage->queue, &message));
	if (result == 0)
		assert_ok(stoa_pool_release(stage->pool, letter.block));
	return 0;
}

static void send_or_receive(void *context)
{
	struct stage *stage = context;
	uint64_t serial = (uint64_t)getpid() << 32;

	report(0);
	for (;;) {
		if (getpid() % 2)
			send_one(stage, &serial);
		else
			assert_ok(receive_one(stage, STOA_FOREVER));
	}
}

/* What the dead had taken comes back when they are buried, which a receive that
 * doesn't wait leaves to the patrol. */
static void receive_all(struct stage *stage)
{
	assert_good(stoa_space_clean(stage->space, 0, NULL, NULL));
	while (receive_one(stage, STOA_NOW) == 0)
		;
}

TEST(blocks_that_travel_by_queue_survive_all_deaths_and_none_leaks)
{
	EVERYWHERE(stage)
	{
		stage.queue = make_queue(stage.space, "q",
		                         (struct queue_shape){
					         STOA_FIFO, 32,
					         sizeof(struct letter), 0 });
		kill_at_random(&stage, send_or_receive, WORKERS);
		receive_all(&stage);
		assert_all_there(&stage);
		stoa_queue_close(stage.queue);
		assert_ok(stoa_queue_unlink(stage.space, "q"));
	}
}

static const struct CMUnitTest cases[] = {
	CASE(what_the_dead_held_comes_back_and_what_they_gave_stays),
	CASE(who_needs_a_block_finds_those_of_the_dead),
	CASE(who_waits_is_woken_by_a_release_and_by_a_death),
	CASE(who_waits_is_told_of_removal),
	CASE(a_stopped_process_keeps_what_it_holds_and_no_more),
	CASE(each_holder_is_asked_after_once_however_many_there_are),
	CASE(a_child_holds_for_itself),
	CASE(no_block_is_lost_or_had_twice_whoever_is_killed_whenever),
	CASE(blocks_that_travel_by_queue_survive_all_deaths_and_none_leaks),
};

MAIN(cases)
