/* SPDX-License-Identifier: MIT */
/*
 * pool.c: the pool as a subject. Blocks are conserved: whatever was killed,
 * each block can be had once by a survivor, but those that are in flight, and
 * these can be claimed once, with what was in them. The unnamed form is a pool of
 * segments: those that are had have memory, and those discarded have none.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define BLOCKS 6u
#define PLACED_BYTES 8192
#define PAGE 4096u
#define FILE_HEADER 20480u /* before what status.bytes counts */

HANDLE_PLUMBING(pool)

enum situation_number {
	EMPTY, LEASED, HELD, DEAD, FULL_DEAD, FLIGHT, FULL, SENT, DEAD_LEASE
};

#define IN(state) (UINT64_C(1) << (state))

/* Of the scene: what the state or the survivor left. */
enum word { TRAVELLING, SURVIVORS, GIVEN = SURVIVORS + BLOCKS };

static const struct stoa_pool_attributes attributes = {
	.size = sizeof(attributes), .block_bytes = 64, .blocks = BLOCKS,
	.threads = 24
};

static int plumb_stat(void *object)
{
	struct stoa_pool_status status = { .size = sizeof(status) };

	return stoa_pool_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	struct stoa_pool_attributes wanted = attributes;
	struct stoa_pool *pool;
	int result;

	wanted.segments = s->form == FORM_UNNAMED;
	if (s->form == FORM_PLACED)
		result = stoa_pool_place(s->space, s->memory, PLACED_BYTES,
					 STOA_CREATE, &attributes, &pool);
	else
		result = stoa_pool_open(s->space, scene_name(s),
					STOA_CREATE | STOA_EXCLUSIVE, 0600,
					&wanted, &pool);
	if (result == 0)
		*ret_object = pool;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static uint64_t take(struct player *p)
{
	uint64_t block;

	if (stoa_pool_acquire(p->object, STOA_NOW, &block) != 0)
		player_skip();
	memset(stoa_pool_data(p->object, block), 0x5a, 64);
	return block;
}

/* What the deed is about: word 0 of the player's note. */
static void prepare_held(struct player *p)
{
	atomic_store(&p->note->words[0], take(p));
}

/* So that the thread knows of no free block at once, and has a lease. */
static void prepare_warm(struct player *p)
{
	uint64_t block = take(p);

	if (stoa_pool_release(p->object, block) != 0)
		player_skip();
}

static void prepare_claimed(struct player *p)
{
	uint64_t block = atomic_load(&p->scene->words[SURVIVORS]);

	if (stoa_pool_claim(p->object, block) != 0)
		player_skip();
	atomic_store(&p->note->words[0], block);
}

static int64_t run_acquire(struct player *p)
{
	uint64_t block;
	int result = stoa_pool_acquire(p->object, STOA_NOW, &block);

	if (result == 0)
		memset(stoa_pool_data(p->object, block), 0xff, 64);
	return result;
}

static int64_t run_release(struct player *p)
{
	return stoa_pool_release(p->object, atomic_load(&p->note->words[0]));
}

static int64_t run_discard(struct player *p)
{
	return stoa_pool_discard(p->object, atomic_load(&p->note->words[0]));
}

static int64_t run_give(struct player *p)
{
	return stoa_pool_give(p->object, atomic_load(&p->note->words[0]));
}

static int64_t run_claim(struct player *p)
{
	return stoa_pool_claim(p->object,
			       atomic_load(&p->scene->words[TRAVELLING]));
}

static int64_t run_close(struct player *p)
{
	stoa_pool_close(p->object);
	return 0;
}

static int64_t run_collect(struct player *p)
{
	return stoa_pool_collect(p->object);
}

static int visit(const struct stoa_pool_use *use, void *context)
{
	(void)use;
	(void)context;
	return 0;
}

static int64_t run_each(struct player *p)
{
	return stoa_pool_each(p->object, visit, NULL);
}

static int64_t run_wait_any(struct player *p)
{
	const struct stoa_wait wait = {
		.kind = STOA_READABLE, .object = stoa_pool_object(p->object)
	};

	return stoa_wait_any(&wait, 1, STOA_NOW);
}

static int64_t wait_acquire(struct player *p)
{
	uint64_t block;

	return stoa_pool_acquire(p->object, STOA_FOREVER, &block);
}

/* ---- Deeds of helpers -------------------------------------------------------- */

static int64_t hold_three(struct player *p)
{
	for (int i = 0; i < 3; i++)
		take(p);
	return 0;
}

static int64_t hold_all(struct player *p)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		take(p);
	return 0;
}

static int64_t lease_only(struct player *p)
{
	return stoa_pool_release(p->object, take(p));
}

/* Sends its identifier, as it were; the give comes or not. */
static int64_t send_one(struct player *p)
{
	prepare_held(p);
	return 0;
}

static int64_t give_one(struct player *p)
{
	prepare_held(p);
	return run_give(p);
}

static const struct deed holding = { "hold", 0, 0, NULL, hold_three, NULL };
static const struct deed holding_all = { "hold-all", 0, 0, NULL, hold_all,
					 NULL };
static const struct deed leasing = { "lease", 0, 0, NULL, lease_only, NULL };
static const struct deed sending = { "send", 0, 0, NULL, send_one, NULL };
static const struct deed giving = { "give-one", 0, 0, NULL, give_one, NULL };

enum deed_number {
	ACQUIRE, ACQUIRE_WARM, RELEASE, GIVE, CLAIM, CLOSE_HELD, RELEASE_OTHER,
	WAIT_ACQUIRE, DISCARD, DEEDS
};

static const struct deed deeds[] = {
	[ACQUIRE] = { "acquire", DEED_CORE | DEED_REPAIRS, 0, NULL, run_acquire,
		      NULL },
	[ACQUIRE_WARM] = { "acquire-warm", DEED_CORE, 0, prepare_warm,
			   run_acquire, NULL },
	[RELEASE] = { "release", DEED_CORE, 0, prepare_held, run_release, NULL },
	[GIVE] = { "give", DEED_CORE, 0, prepare_held, run_give, NULL },
	[CLAIM] = { "claim", DEED_CORE | DEED_REPAIRS, IN(FLIGHT) | IN(SENT),
		    NULL, run_claim, NULL },
	[CLOSE_HELD] = { "close-held", DEED_CLOSES, 0, prepare_held, run_close,
			 NULL },
	[RELEASE_OTHER] = { "release-claimed", DEED_CORE, IN(FULL),
			    prepare_claimed, run_release, NULL },
	[WAIT_ACQUIRE] = { "wait-acquire", DEED_WAITS, 0, NULL, wait_acquire,
			   NULL },
	[DISCARD] = { "discard", DEED_CORE, 0, prepare_held, run_discard, NULL },
	[DEEDS] = { "collect", DEED_REPAIRS, 0, NULL, run_collect, NULL },
	{ "each", 0, 0, NULL, run_each, NULL },
	{ "wait-any", DEED_REPAIRS, 0, NULL, run_wait_any, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_leased(struct scene *s)
{
	scene_helper(s, &leasing);
}

static void set_held(struct scene *s)
{
	scene_helper(s, &holding);
}

static void set_dead(struct scene *s)
{
	scene_dead(s, &holding);
}

static void set_full_dead(struct scene *s)
{
	scene_dead(s, &holding_all);
}

static void set_dead_lease(struct scene *s)
{
	scene_dead(s, &leasing);
	scene_helper(s, &holding);
}

/* It travels: those that come know its identifier. */
static void note_travelling(struct scene *s)
{
	atomic_store(&s->words[TRAVELLING],
		     atomic_load(&s->notes[HELPERS_FROM].words[0]));
}

static void set_flight(struct scene *s)
{
	scene_dead(s, &giving);
	note_travelling(s);
}

static void set_sent(struct scene *s)
{
	scene_helper(s, &sending);
	note_travelling(s);
}

static void set_full(struct scene *s)
{
	for (uint32_t i = 0; i < BLOCKS; i++) {
		uint64_t block = 0;

		if (stoa_pool_acquire(s->object, STOA_NOW, &block) != 0)
			trouble("the state can't be made");
		atomic_store(&s->words[SURVIVORS + i], block);
	}
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[LEASED] = { "leased", set_leased },
	[HELD] = { "held", set_held },
	[DEAD] = { "dead", set_dead },
	[FULL_DEAD] = { "full-dead", set_full_dead },
	[FLIGHT] = { "flight", set_flight },
	[FULL] = { "full", set_full },
	[SENT] = { "sent", set_sent },
	[DEAD_LEASE] = { "dead-lease", set_dead_lease }
};

/* ---- Oracle ------------------------------------------------------------------- */

struct range {
	int64_t least, most;
};

/* How many blocks are in flight now. */
static struct range expected(const struct scene *s)
{
	struct range range = { 0, 0 };

	if (s->state_number == FLIGHT)
		range.least = range.most = 1;
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result = 0;
		int done = note_done(s, i, &result);

		if (deed == &deeds[GIVE]) {
			range.most++;
			range.least += done ? 1 : 0;
		} else if (deed == &deeds[CLAIM] && s->state_number == FLIGHT) {
			range.least--;
			range.most -= done && result == 0 ? 1 : 0;
		}
	}
	/* One block can be claimed once more by the next. */
	if (range.least < 0)
		range.least = 0;
	if (range.most < 0)
		range.most = 0;
	return range;
}

static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= WAITER; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (deed < deeds || deed >= &deeds[DEEDS] ||
		    !note_done(s, i, &result) || result >= 0)
			continue;
		if (result == -EAGAIN && s->state_number == FULL)
			continue;
		/* Another may have claimed it, and died. */
		if (result == -ESTALE && deed == &deeds[CLAIM] &&
		    s->deeds[SECOND] != NULL)
			continue;
		return trouble("%s gave %lld", deed->name, (long long)result);
	}
	return 0;
}

/* What the survivor itself took for the state, and nobody claimed. */
static int give_own_back(struct scene *s)
{
	for (uint32_t i = 0; s->state_number == FULL && i < BLOCKS; i++) {
		uint64_t block = atomic_exchange(&s->words[SURVIVORS + i],
						 UINT64_MAX);
		int result = block == UINT64_MAX ?
				     0 :
				     stoa_pool_release(s->eye, block);

		if (result != 0 && (i != 0 || (result != -ESTALE &&
					       result != -EPERM)))
			return trouble("releasing what was not touched: %d",
				       result);
	}
	return 0;
}

static int all_are(const void *data, int byte)
{
	for (int i = 0; i < 64; i++)
		if (((const unsigned char *)data)[i] != byte)
			return 0;
	return 1;
}

static int claim_one(const struct stoa_pool_use *use, void *context)
{
	struct scene *s = context;

	if (use->holder != 0)
		return trouble("block %#llx is held by %#llx, which is %s",
			       (unsigned long long)use->block,
			       (unsigned long long)use->holder,
			       use->alive ? "alive" : "dead");
	if (stoa_pool_claim(s->eye, use->block) != 0)
		return trouble("what is in flight can't be claimed");
	if (!all_are(stoa_pool_data(s->eye, use->block), 0x5a))
		return trouble("what was in flight has changed");
	if (stoa_pool_release(s->eye, use->block) != 0)
		return trouble("what was claimed can't be released");
	return 0;
}

/* So many of the segments have memory. */
static int check_memory(struct scene *s, uint32_t count)
{
	struct stoa_pool_status status = { .size = sizeof(status) };

	if (s->form != FORM_UNNAMED)
		return 0;
	if (stoa_pool_stat(s->eye, &status) != 0)
		return trouble("stat failed");
	if (status.memory_bytes != FILE_HEADER + status.bytes -
					   (2 * BLOCKS - count) * PAGE)
		return trouble("%llu of %llu bytes have memory, not those of "
			       "%u segments",
			       (unsigned long long)status.memory_bytes,
			       (unsigned long long)status.bytes, count);
	return 0;
}

/* Takes all that are free, each once; how many. Nothing is written before it is
 * known that there is memory for it: a write would get some. */
static int take_all(struct scene *s, uint64_t *block)
{
	int got = 0;

	while (got <= (int)BLOCKS &&
	       stoa_pool_acquire(s->eye, STOA_NOW, &block[got]) == 0)
		got++;
	if (check_memory(s, BLOCKS) != 0)
		return -1;
	for (int i = 0; i < got; i++) {
		void *data = stoa_pool_data(s->eye, block[i]);

		if (data == NULL)
			return trouble("an acquired block has no data");
		memset(data, i + 1, 64);
	}
	for (int i = 0; i < got; i++)
		if (!all_are(stoa_pool_data(s->eye, block[i]), i + 1))
			return trouble("a block was given twice");
	return got;
}

static int release_all(struct scene *s, const uint64_t *block, int count)
{
	for (int i = 0; i < count; i++)
		if (stoa_pool_release(s->eye, block[i]) != 0)
			return trouble("an acquired block can't be released");
	return 0;
}

static int discard_all(struct scene *s, const uint64_t *block)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		if (stoa_pool_discard(s->eye, block[i]) != 0)
			return trouble("an acquired block can't be discarded");
	return check_memory(s, 0);
}

static int check(struct scene *s, uint32_t variant)
{
	struct range flight = expected(s);
	uint64_t block[BLOCKS + 1];
	int got;

	(void)variant;
	if (check_results(s) != 0 || scene_let_all_go(s) != 0)
		return -1;
	/* A newcomer doesn't have what the survivor has. */
	if (s->newcomer && s->state_number == FULL)
		return 0;
	if (give_own_back(s) != 0)
		return -1;
	got = take_all(s, block);
	if (got < 0)
		return -1;
	if ((int64_t)BLOCKS - got < flight.least ||
	    (int64_t)BLOCKS - got > flight.most)
		return trouble("%d of %u blocks can be had, with %d to %d in "
			       "flight",
			       got, BLOCKS, (int)flight.least,
			       (int)flight.most);
	if (release_all(s, block, got) != 0)
		return -1;
	got = stoa_pool_each(s->eye, claim_one, s);
	if (got < flight.least || got > flight.most)
		return got < 0 ? -1 : trouble("%d are in flight", got);
	got = take_all(s, block);
	if (got != (int)BLOCKS)
		return got < 0 ? -1 : trouble("%d can be had in the end", got);
	return discard_all(s, block);
}

static int count_living(const struct stoa_pool_use *use, void *context)
{
	*(uint32_t *)context += use->holder == 0 || use->alive;
	return 0;
}

static int stuck(struct scene *s, const struct deed *wait)
{
	uint32_t living = 0;

	(void)wait;
	return stoa_pool_each(s->object, count_living, &living) >= 0 &&
	       living == BLOCKS;
}

/* Once: the waiter may have the block by now, and be about to return. */
static int give(struct scene *s, const struct deed *wait)
{
	uint64_t block = atomic_exchange(&s->words[SURVIVORS + 1], UINT64_MAX);
	int result = block == UINT64_MAX ?
			     0 :
			     stoa_pool_release(s->object, block);

	(void)wait;
	return result == 0 ? 0 : trouble("release: %d", result);
}

#define WAITS (&deeds[WAIT_ACQUIRE])

static const struct waking wakings[] = {
	{ WAITS, NULL, FULL, NULL },
	{ WAITS, &deeds[RELEASE_OTHER], FULL, NULL }
};

const struct subject pool_subject = {
	.name = "pool",
	.placed_bytes = PLACED_BYTES,
	.unnamed = ALSO_UNNAMED,
	.states = situations,
	.states_count = sizeof(situations) / sizeof(situations[0]),
	.deeds = deeds,
	.deeds_count = sizeof(deeds) / sizeof(deeds[0]),
	.wakings = wakings,
	.wakings_count = sizeof(wakings) / sizeof(wakings[0]),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_pool_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check,
	.stuck = stuck,
	.give = give
};
