/* SPDX-License-Identifier: MIT */
/*
 * heap.c: the heap as a subject. Room is conserved: whoever was killed, what
 * roots and the living keep is whole, and all else can be had again, in one
 * piece. A root is what it was before a torn deed, or what the deed makes it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS 0
#define HEAP_BYTES 65536u
#define PLACED_BYTES HEAP_BYTES
#define SMALL 100u
#define LARGE 20000u /* a run of its own */

HANDLE_PLUMBING(heap)

enum situation_number {
	EMPTY, DEAD, HELD, ROOTED, RETAINED, LEASED, FULL_DEAD, KEPT
};

#define IN(state) (UINT64_C(1) << (state))
#define WITH_ROOT (IN(ROOTED) | IN(RETAINED))

/* What is under the root "r": the byte that its block is full of; 0: nothing. */
enum { NOTHING = 0, FIRST = 0x11, SECONDS = 0x22 };

static const struct stoa_heap_attributes attributes = {
	.size = sizeof(attributes), .bytes = HEAP_BYTES, .threads = 24,
	.roots = 4, .references = 8
};

static int plumb_stat(void *object)
{
	struct stoa_heap_status status = { .size = sizeof(status) };

	return stoa_heap_stat(object, &status);
}

static int make(struct scene *s, void **ret_object)
{
	struct stoa_heap *heap;
	int result;

	if (s->form == FORM_PLACED)
		result = stoa_heap_place(s->space,
					 (void *)(((uintptr_t)s->memory +
						   4095) & ~(uintptr_t)4095),
					 HEAP_BYTES, STOA_CREATE, &attributes,
					 &heap);
	else
		result = stoa_heap_open(s->space, s->name,
					STOA_CREATE | STOA_EXCLUSIVE, 0600,
					&attributes, &heap);
	if (result == 0)
		*ret_object = heap;
	return result;
}

/* ---- Deeds -------------------------------------------------------------------- */

static uint64_t allocate(struct player *p, uint64_t bytes, int byte)
{
	uint64_t offset = 0;

	if (stoa_heap_allocate(p->object, bytes, 0, &offset) != 0)
		player_skip();
	memset(stoa_heap_at(p->object, offset, bytes), byte, bytes);
	return offset;
}

static uint64_t own(struct player *p)
{
	return atomic_load(&p->note->words[0]);
}

static void prepare_small(struct player *p)
{
	atomic_store(&p->note->words[0], allocate(p, SMALL, SECONDS));
}

static void prepare_large(struct player *p)
{
	atomic_store(&p->note->words[0], allocate(p, LARGE, SECONDS));
}

static void prepare_warm(struct player *p)
{
	if (stoa_heap_free(p->object, allocate(p, SMALL, 0)) != 0)
		player_skip();
}

static void prepare_published(struct player *p)
{
	prepare_small(p);
	if (stoa_heap_publish(p->object, own(p)) != 0)
		player_skip();
}

static void prepare_retained(struct player *p)
{
	uint64_t offset;

	if (stoa_heap_root_get(p->object, "r", &offset) != 0)
		player_skip();
	atomic_store(&p->note->words[0], offset);
}

static int64_t run_small(struct player *p)
{
	uint64_t offset;

	return stoa_heap_allocate(p->object, SMALL, 0, &offset);
}

static int64_t run_large(struct player *p)
{
	uint64_t offset;

	return stoa_heap_allocate(p->object, LARGE, 0, &offset);
}

static int64_t run_free(struct player *p)
{
	return stoa_heap_free(p->object, own(p));
}

static int64_t run_grow(struct player *p)
{
	uint64_t offset;

	return stoa_heap_resize(p->object, own(p), LARGE + 5000, &offset);
}

static int64_t run_shrink(struct player *p)
{
	uint64_t offset;

	return stoa_heap_resize(p->object, own(p), LARGE - 3000, &offset);
}

static int64_t run_publish(struct player *p)
{
	return stoa_heap_publish(p->object, own(p));
}

static int64_t run_drop(struct player *p)
{
	return stoa_heap_drop(p->object, own(p));
}

static int64_t run_root(struct player *p)
{
	return stoa_heap_root_set(p->object, "r", own(p));
}

static int64_t run_unroot(struct player *p)
{
	return stoa_heap_root_set(p->object, "r", 0);
}

static int64_t run_get(struct player *p)
{
	uint64_t offset;

	return stoa_heap_root_get(p->object, "r", &offset);
}

static int64_t run_release(struct player *p)
{
	return stoa_heap_release(p->object, own(p));
}

static int64_t run_close(struct player *p)
{
	stoa_heap_close(p->object);
	return 0;
}

static int64_t run_collect(struct player *p)
{
	return stoa_heap_collect(p->object);
}

static int visit_root(const struct stoa_heap_root *root, void *context)
{
	(void)root;
	(void)context;
	return 0;
}

static int visit_use(const struct stoa_heap_use *use, void *context)
{
	(void)use;
	(void)context;
	return 0;
}

static int64_t run_each(struct player *p)
{
	int roots = stoa_heap_each_root(p->object, visit_root, NULL);

	return roots < 0 ? roots : stoa_heap_each(p->object, visit_use, NULL);
}

/* ---- Deeds of helpers -------------------------------------------------------- */

static int64_t hold_some(struct player *p)
{
	allocate(p, SMALL, 1);
	allocate(p, LARGE, 2);
	allocate(p, 3000, 3);
	return 0;
}

static int64_t hold_all(struct player *p)
{
	uint64_t offset;

	while (stoa_heap_allocate(p->object, 10000, 0, &offset) == 0)
		;
	while (stoa_heap_allocate(p->object, SMALL, 0, &offset) == 0)
		;
	return 0;
}

static int64_t root_one(struct player *p)
{
	return stoa_heap_root_set(p->object, "r", allocate(p, SMALL, FIRST));
}

/* Uses what is under the root, and one that is under none any more. */
static int64_t root_and_retain(struct player *p)
{
	uint64_t offset;
	int result = stoa_heap_root_set(p->object, "r",
					allocate(p, LARGE, FIRST));

	if (result == 0)
		result = stoa_heap_root_get(p->object, "r", &offset);
	return result < 0 ? result : root_one(p);
}

static int64_t lease_only(struct player *p)
{
	return stoa_heap_free(p->object, allocate(p, SMALL, 0));
}

/* As data does that is in no tree yet. */
static int64_t keep_one(struct player *p)
{
	prepare_small(p);
	return stoa_heap_publish(p->object, own(p));
}

static const struct deed holding = { "hold", 0, 0, NULL, hold_some, NULL };
static const struct deed holding_all = { "hold-all", 0, 0, NULL, hold_all,
					 NULL };
static const struct deed rooting = { "root-one", 0, 0, NULL, root_one, NULL };
static const struct deed retaining = { "retain", 0, 0, NULL, root_and_retain,
				       NULL };
static const struct deed leasing = { "lease", 0, 0, NULL, lease_only, NULL };
static const struct deed keeping = { "keep", 0, 0, NULL, keep_one, NULL };

enum deed_number {
	ALLOCATE, ALLOCATE_WARM, ALLOCATE_RUN, FREE, FREE_RUN, GROW, SHRINK,
	PUBLISH, DROP, ROOT_SET, ROOT_REPLACE, ROOT_GONE, ROOT_GET, RELEASE,
	CLOSE_HELD, DEEDS
};

static const struct deed deeds[] = {
	[ALLOCATE] = { "allocate", DEED_CORE | DEED_REPAIRS, 0, NULL, run_small,
		       NULL },
	[ALLOCATE_WARM] = { "allocate-warm", 0, IN(EMPTY) | IN(LEASED),
			    prepare_warm, run_small, NULL },
	[ALLOCATE_RUN] = { "allocate-run", DEED_CORE | DEED_REPAIRS, 0, NULL,
			   run_large, NULL },
	[FREE] = { "free", DEED_CORE, IN(EMPTY) | IN(HELD), prepare_small,
		   run_free, NULL },
	[FREE_RUN] = { "free-run", 0, IN(EMPTY) | IN(DEAD), prepare_large,
		       run_free, NULL },
	[GROW] = { "grow", 0, IN(EMPTY) | IN(ROOTED), prepare_large, run_grow,
		   NULL },
	[SHRINK] = { "shrink", 0, IN(EMPTY) | IN(ROOTED), prepare_large,
		     run_shrink, NULL },
	[PUBLISH] = { "publish", DEED_CORE, IN(EMPTY), prepare_small,
		      run_publish, NULL },
	[DROP] = { "drop", DEED_CORE, IN(EMPTY) | IN(ROOTED), prepare_published,
		   run_drop, NULL },
	[ROOT_SET] = { "root-set", DEED_CORE, ~WITH_ROOT & ~IN(FULL_DEAD),
		       prepare_small, run_root, NULL },
	[ROOT_REPLACE] = { "root-replace", DEED_CORE | DEED_REPAIRS, WITH_ROOT,
			   prepare_large, run_root, NULL },
	[ROOT_GONE] = { "root-gone", DEED_CORE, WITH_ROOT, NULL, run_unroot,
			NULL },
	[ROOT_GET] = { "root-get", DEED_CORE | DEED_REPAIRS, WITH_ROOT, NULL,
		       run_get, NULL },
	[RELEASE] = { "release", DEED_CORE, WITH_ROOT, prepare_retained,
		      run_release, NULL },
	[CLOSE_HELD] = { "close-held", DEED_CLOSES, IN(EMPTY) | IN(LEASED),
			 prepare_small, run_close, NULL },
	[DEEDS] = { "collect", DEED_CORE | DEED_REPAIRS, 0, NULL, run_collect,
		    NULL },
	{ "each", 0, 0, NULL, run_each, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_dead(struct scene *s)
{
	scene_dead(s, &holding);
}

static void set_held(struct scene *s)
{
	scene_helper(s, &holding);
}

static void set_rooted(struct scene *s)
{
	scene_dead(s, &rooting);
}

static void set_retained(struct scene *s)
{
	scene_dead(s, &retaining);
}

static void set_leased(struct scene *s)
{
	scene_helper(s, &leasing);
}

static void set_full_dead(struct scene *s)
{
	scene_dead(s, &holding_all);
}

static void set_kept(struct scene *s)
{
	scene_dead(s, &keeping);
}

static const struct situation situations[] = {
	[EMPTY] = { "empty", NULL },
	[DEAD] = { "dead", set_dead },
	[HELD] = { "held", set_held },
	[ROOTED] = { "rooted", set_rooted },
	[RETAINED] = { "retained", set_retained },
	[LEASED] = { "leased", set_leased },
	[FULL_DEAD] = { "full-dead", set_full_dead },
	[KEPT] = { "kept", set_kept }
};

/* ---- Oracle ------------------------------------------------------------------- */

/* Sets of what the root may be: bits of NOTHING, FIRST, SECONDS. */
enum { MAY_BE_NOTHING = 1, MAY_BE_FIRST = 2, MAY_BE_SECOND = 4 };

struct expected {
	unsigned root;
	int64_t least, most; /* blocks that are kept, in no root */
};

static struct expected expected(const struct scene *s)
{
	struct expected is = { MAY_BE_NOTHING, 0, 0 };

	if (IN(s->state_number) & WITH_ROOT)
		is.root = MAY_BE_FIRST;
	if (s->state_number == KEPT)
		is.least = is.most = 1;
	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		const struct deed *deed = s->deeds[i];
		unsigned becomes = 0;
		int64_t result = 0;
		int done = note_done(s, i, &result);

		if (deed == &deeds[ROOT_SET] || deed == &deeds[ROOT_REPLACE])
			becomes = MAY_BE_SECOND;
		if (deed == &deeds[ROOT_GONE])
			becomes = MAY_BE_NOTHING;
		if (becomes != 0 && (!done || result == 0))
			is.root = done ? becomes : is.root | becomes;
		if (deed == &deeds[PUBLISH]) {
			is.most++;
			is.least += done && result == 0;
		}
		if (deed == &deeds[DROP]) {
			is.most++;
			is.least += !done && !note_torn(s, i);
			is.most -= done && result == 0;
		}
	}
	return is;
}

static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (deed < deeds || deed >= &deeds[DEEDS] ||
		    !note_done(s, i, &result) || result >= 0)
			continue;
		if (result == -ENOSPC && s->state_number == HELD)
			continue;
		if (result == -ENOENT && s->deeds[SECOND] != NULL)
			continue;
		return trouble("%s gave %lld", deed->name, (long long)result);
	}
	return 0;
}

static int all_are(const unsigned char *data, uint64_t bytes, int byte)
{
	for (uint64_t i = 0; i < bytes; i++)
		if (data[i] != byte)
			return 0;
	return 1;
}

/* The root is one of those that it may be, and whole; then it is taken away. */
static int check_root(struct scene *s, unsigned may_be)
{
	uint64_t offset = 0;
	const unsigned char *data;
	unsigned is = MAY_BE_NOTHING;
	int result = stoa_heap_root_get(s->eye, "r", &offset);

	if (result == 0) {
		data = stoa_heap_at(s->eye, offset, SMALL);
		if (data == NULL)
			return trouble("the root is no block");
		is = data[0] == FIRST ? MAY_BE_FIRST : MAY_BE_SECOND;
		if (!all_are(data, SMALL, data[0]) ||
		    (data[0] != FIRST && data[0] != SECONDS))
			return trouble("what is under the root is not whole");
	} else if (result != -ENOENT) {
		return trouble("root_get: %d", result);
	}
	if ((is & may_be) == 0)
		return trouble("the root is %u, not of %u", is, may_be);
	if (result == 0 && (stoa_heap_root_set(s->eye, "r", 0) != 0 ||
			    stoa_heap_release(s->eye, offset) != 0))
		return trouble("the root can't be given up");
	return 0;
}

static int drop_one(const struct stoa_heap_use *use, void *context)
{
	struct scene *s = context;

	if (use->holder != 0 || use->rooted || use->retained || use->kept != 1)
		return trouble("%llu bytes at %#llx are held by %#llx, kept "
			       "%u times, rooted %d, retained %d",
			       (unsigned long long)use->bytes,
			       (unsigned long long)use->offset,
			       (unsigned long long)use->holder, use->kept,
			       use->rooted, use->retained);
	if (stoa_heap_drop(s->eye, use->offset) != 0)
		return trouble("what is kept can't be dropped");
	return 0;
}

/* All of the room, in blocks of a size and in one piece. */
static int check_room(struct scene *s)
{
	struct stoa_heap_status status = { .size = sizeof(status) };
	uint64_t offset[64], all = 0;
	int got = 0;

	while (got < 64 &&
	       stoa_heap_allocate(s->eye, 4096, 0, &offset[got]) == 0) {
		memset(stoa_heap_at(s->eye, offset[got], 4096), got + 1, 4096);
		got++;
	}
	for (int i = 0; i < got; i++)
		if (!all_are(stoa_heap_at(s->eye, offset[i], 4096), 4096,
			     i + 1))
			return trouble("room was given twice");
	for (int i = 0; i < got; i++)
		if (stoa_heap_free(s->eye, offset[i]) != 0)
			return trouble("a block can't be freed");
	if (stoa_heap_stat(s->eye, &status) != 0)
		return trouble("stat");
	if (status.used != 0 || status.references != 0 || status.roots != 0)
		return trouble("%llu bytes are used in the end, by %u roots, "
			       "%u references",
			       (unsigned long long)status.used, status.roots,
			       status.references);
	if ((uint64_t)got != status.capacity / 4096)
		return trouble("%d blocks of 4096 in %llu bytes", got,
			       (unsigned long long)status.capacity);
	if (stoa_heap_allocate(s->eye, status.capacity, 0, &all) != 0 ||
	    stoa_heap_free(s->eye, all) != 0)
		return trouble("it can't be had in one piece");
	return 0;
}

static int check(struct scene *s, uint32_t variant)
{
	struct expected is = expected(s);
	int kept;

	(void)variant;
	if (check_results(s) != 0 || scene_let_all_go(s) != 0 ||
	    check_root(s, is.root) != 0)
		return -1;
	if (stoa_heap_collect(s->eye) < 0)
		return trouble("collect");
	kept = stoa_heap_each(s->eye, drop_one, s);
	if (kept < is.least || kept > is.most)
		return kept < 0 ? -1 :
				  trouble("%d are kept, not %d to %d", kept,
					  (int)is.least, (int)is.most);
	return check_room(s);
}

const struct subject heap_subject = {
	.name = "heap",
	.placed_bytes = PLACED_BYTES,
	.states = situations,
	.states_count = sizeof(situations) / sizeof(situations[0]),
	.deeds = deeds,
	.deeds_count = sizeof(deeds) / sizeof(deeds[0]),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_heap_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check
};
