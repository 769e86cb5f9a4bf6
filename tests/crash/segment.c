/* SPDX-License-Identifier: MIT */
/*
 * segment.c: the segment as a subject. Its size is one that somebody gave it,
 * with memory for all of it and no more; what was in it is there as far as it
 * was never cut off, and what it grew by is zeros; and the living are attached,
 * and nobody else.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define OPEN_FLAGS STOA_WRITE
#define PAGE 4096u
#define LIMIT (8 * PAGE)
#define MADE (3 * PAGE + 100)
#define GROWN (6 * PAGE + 1)
#define SHRUNK (PAGE + 7)
#define SIZES_MAX 16u
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

HANDLE_PLUMBING(segment)

enum situation_number { MADE_SO, RESIZED, SEALED, ATTACHED, DEAD };

static int plumb_stat(void *object)
{
	struct stoa_segment_status status = { .size = sizeof(status) };
	int result = stoa_segment_stat(object, &status);

	return result == 0 && status.removed ? -EIDRM : result;
}

static int make(struct scene *s, void **ret_object)
{
	const struct stoa_segment_attributes attributes = {
		.size = sizeof(attributes), .bytes = MADE, .limit = LIMIT
	};
	struct stoa_segment *segment;
	int result = stoa_segment_open(
		s->space, s->name, STOA_CREATE | STOA_EXCLUSIVE | STOA_WRITE,
		0600, &attributes, &segment);

	if (result < 0)
		return result;
	memset(stoa_segment_data(segment), 'x', MADE);
	*ret_object = segment;
	return 0;
}

/* ---- Deeds -------------------------------------------------------------------- */

static int64_t run_grow(struct player *p)
{
	return stoa_segment_resize(p->object, GROWN);
}

static int64_t run_shrink(struct player *p)
{
	return stoa_segment_resize(p->object, SHRUNK);
}

static int64_t run_seal_size(struct player *p)
{
	return stoa_segment_seal(p->object, STOA_SEGMENT_SEAL_GROW |
						    STOA_SEGMENT_SEAL_SHRINK);
}

/* The survivor may write, so it must not be. */
static int64_t run_seal_write(struct player *p)
{
	return stoa_segment_seal(p->object, STOA_SEGMENT_SEAL_WRITE);
}

static int64_t run_attached(struct player *p)
{
	return stoa_segment_attached(p->object) > 1 ? 0 : -ENOMSG;
}

static int64_t run_read_only(struct player *p)
{
	struct stoa_segment *segment;
	int result = stoa_segment_open(p->space, p->scene->name, STOA_READ, 0,
				       NULL, &segment);

	if (result < 0)
		return result;
	return *(char *)stoa_segment_data(segment) == 'x' ? 0 : -ENOMSG;
}

static int visit(const struct stoa_segment_attachment *attachment,
		 void *context)
{
	(void)attachment;
	(void)context;
	return 0;
}

static int64_t run_each(struct player *p)
{
	int result = stoa_segment_each_attachment(p->object, visit, NULL);

	return result > 1 ? 0 : -ENOMSG;
}

/* Its child may be left behind, and ends at once. */
static int64_t run_fork(struct player *p)
{
	pid_t pid = fork();
	int status;

	(void)p;
	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return -errno;
	return waitpid(pid, &status, 0) == pid ? 0 : -errno;
}

enum deed_number {
	GROW, SHRINK, SEAL_SIZE, SEAL_WRITE, COUNT, READ_ONLY, EACH, FORK, DEEDS
};

#define OFTEN (DEED_CORE | DEED_REPAIRS)

static const struct deed deeds[] = {
	[GROW] = { "grow", OFTEN, 0, NULL, run_grow, NULL },
	[SHRINK] = { "shrink", OFTEN, 0, NULL, run_shrink, NULL },
	[SEAL_SIZE] = { "seal-size", DEED_CORE, 0, NULL, run_seal_size, NULL },
	[SEAL_WRITE] = { "seal-write", OFTEN, 0, NULL, run_seal_write, NULL },
	[COUNT] = { "attached", DEED_CORE, 0, NULL, run_attached, NULL },
	[READ_ONLY] = { "read-only", OFTEN, 0, NULL, run_read_only, NULL },
	[EACH] = { "each", 0, 0, NULL, run_each, NULL },
	[FORK] = { "fork", DEED_CORE, 0, NULL, run_fork, NULL }
};

/* ---- States ------------------------------------------------------------------- */

static void set_resized(struct scene *s)
{
	if (stoa_segment_resize(s->object, GROWN) != 0 ||
	    stoa_segment_size(s->object) != GROWN)
		broken("resize: %s", stoa_last_error());
	memset((char *)stoa_segment_data(s->object) + MADE, 'x', GROWN - MADE);
}

static void set_sealed(struct scene *s)
{
	if (stoa_segment_seal(s->object, STOA_SEGMENT_SEAL_GROW) != 0)
		broken("seal: %s", stoa_last_error());
}

static void set_attached(struct scene *s)
{
	scene_helper(s, &deeds[COUNT]);
	scene_helper(s, &deeds[READ_ONLY]);
}

/* Beyond the end is what a stray wrote before somebody cut it off. */
static void set_dead(struct scene *s)
{
	set_resized(s);
	scene_dead(s, &deeds[SHRINK]);
	memset((char *)stoa_segment_data(s->object) + SHRUNK, 'y',
	       GROWN - SHRUNK);
}

static const struct situation situations[] = {
	[MADE_SO] = { "made", NULL },
	[RESIZED] = { "resized", set_resized },
	[SEALED] = { "sealed", set_sealed },
	[ATTACHED] = { "attached", set_attached },
	[DEAD] = { "dead", set_dead }
};

/* ---- Oracle ------------------------------------------------------------------- */

struct sizes {
	uint32_t count;
	uint64_t of[SIZES_MAX];
	uint64_t least; /* that it may have had at any time */
};

static void add(struct sizes *sizes, uint64_t size)
{
	for (uint32_t i = 0; i < sizes->count; i++)
		if (sizes->of[i] == size)
			return;
	sizes->of[sizes->count++] = size;
	if (size < sizes->least)
		sizes->least = size;
}

static int has(const struct sizes *sizes, uint64_t size)
{
	for (uint32_t i = 0; i < sizes->count; i++)
		if (sizes->of[i] == size)
			return 1;
	return 0;
}

static void account(const struct scene *s, uint32_t player,
		    struct sizes *sizes)
{
	const struct deed *deed = s->deeds[player];
	uint64_t after = deed == &deeds[GROW] ? GROWN : SHRUNK;
	int64_t result = 0;
	int done = note_done(s, player, &result);

	if (deed != &deeds[GROW] && deed != &deeds[SHRINK])
		return;
	if (done && result == 0)
		sizes->count = 0;
	if (!done || result == 0)
		add(sizes, after);
}

static struct sizes expected(const struct scene *s)
{
	struct sizes sizes = { .least = LIMIT };

	add(&sizes, s->state_number == RESIZED ? GROWN :
		    s->state_number == DEAD    ? SHRUNK :
						 MADE);
	for (uint32_t i = VICTIM; i <= SECOND; i++)
		account(s, i, &sizes);
	return sizes;
}

static int is_sealing(const struct deed *deed)
{
	return deed == &deeds[SEAL_SIZE];
}

static int check_results(const struct scene *s)
{
	for (uint32_t i = VICTIM; i <= SECOND; i++) {
		const struct deed *deed = s->deeds[i];
		int64_t result;

		if (deed < deeds || deed >= &deeds[DEEDS] ||
		    !note_done(s, i, &result))
			continue;
		if (deed == &deeds[SEAL_WRITE] ? result == -EBUSY : result == 0)
			continue;
		if (result == -EPERM && i == SECOND &&
		    is_sealing(s->deeds[VICTIM]))
			continue;
		if (result == -EPERM && s->state_number == SEALED &&
		    deed == &deeds[GROW])
			continue;
		return trouble("the victim's %s gave %lld", deed->name,
			       (long long)result);
	}
	return 0;
}

static int is_all(const char *data, uint64_t from, uint64_t to, char byte)
{
	for (uint64_t i = from; i < to; i++)
		if (data[i] != byte)
			return trouble("byte %llu is %02x, not %02x",
				       (unsigned long long)i, data[i], byte);
	return 0;
}

static uint64_t pages(uint64_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* The survivor; as a newcomer, its handle inherited, and the eye. */
static int check_attached(struct scene *s)
{
	int64_t until = clock_ns() + patient_ns();
	int wanted = s->newcomer ? 3 : 1, attached;

	/* A forked child of the victim's may not have come to its end. */
	do {
		attached = stoa_segment_attached(s->eye);
		if (attached == wanted)
			return 0;
		sched_yield();
	} while (s->deeds[VICTIM] == &deeds[FORK] && clock_ns() < until);
	return trouble("%d are attached, not %d", attached, wanted);
}

/* What it has must be there, whatever it grows by zeros, and no memory lost. */
static int check_use(struct scene *s, const struct sizes *sizes,
		     const struct stoa_segment_status *status)
{
	char *data = stoa_segment_data(s->eye);
	struct stoa_segment_status after = { .size = sizeof(after) };
	uint64_t whole = status->bytes;
	int result;

	if (status->seals & (STOA_SEGMENT_SEAL_GROW | STOA_SEGMENT_SEAL_SHRINK))
		return 0;
	result = stoa_segment_resize(s->eye, LIMIT);
	if (result != 0 || stoa_segment_size(s->eye) != LIMIT)
		return trouble("resize to the limit: %d", result);
	if (is_all(data, whole, LIMIT, 0) != 0)
		return -1;
	memset(data + whole, 'z', LIMIT - whole);
	result = stoa_segment_resize(s->eye, sizes->least);
	if (result != 0 || stoa_segment_stat(s->eye, &after) != 0)
		return trouble("shrink: %d", result);
	if (after.memory_bytes != PAGE + pages(sizes->least))
		return trouble("%llu bytes of memory for %llu",
			       (unsigned long long)after.memory_bytes,
			       (unsigned long long)sizes->least);
	return is_all(data, 0, sizes->least, 'x');
}

static int check(struct scene *s, uint32_t variant)
{
	struct stoa_segment_status status = { .size = sizeof(status) };
	struct sizes sizes = expected(s);
	int result;

	(void)variant;
	if (check_results(s) != 0 || scene_let_all_go(s) != 0 ||
	    check_attached(s) != 0)
		return -1;
	result = stoa_segment_stat(s->eye, &status);
	if (result != 0)
		return trouble("stat: %d", result);
	if (!has(&sizes, status.bytes))
		return trouble("its size is %llu",
			       (unsigned long long)status.bytes);
	if (status.memory_bytes < PAGE + pages(status.bytes))
		return trouble("there is no memory for %llu bytes, only %llu",
			       (unsigned long long)status.bytes,
			       (unsigned long long)status.memory_bytes);
	if (status.seals & STOA_SEGMENT_SEAL_WRITE)
		return trouble("it is sealed, and was written to by another");
	if (stoa_segment_size(s->eye) != status.bytes)
		return trouble("size: %llu", (unsigned long long)
			       stoa_segment_size(s->eye));
	if (is_all(stoa_segment_data(s->eye), 0,
		   sizes.least < status.bytes ? sizes.least : status.bytes,
		   'x') != 0)
		return -1;
	/* Never cut off, if nobody shrank it. */
	if (s->deeds[VICTIM] == &deeds[SHRINK] && s->deeds[SECOND] == NULL &&
	    is_all(stoa_segment_data(s->eye), 0, status.bytes, 'x') != 0)
		return -1;
	return check_use(s, &sizes, &status);
}

const struct subject segment_subject = {
	.name = "segment",
	.states = situations,
	.states_count = ARRAY_SIZE(situations),
	.deeds = deeds,
	.deeds_count = ARRAY_SIZE(deeds),
	.make = make,
	.open = plumb_open,
	.close = plumb_close,
	.unlink = stoa_segment_unlink,
	.remove = plumb_remove,
	.stat = plumb_stat,
	.check = check
};
