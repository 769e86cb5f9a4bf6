/* SPDX-License-Identifier: MIT */
/* segment.c: every operation on a segment, as a victim performs it. */
#include "hostile.h"

#include <memory/segment_internal.h>

#include <sys/mman.h>

static const struct stoa_segment_attributes shapes[] = {
	{ .size = sizeof(shapes[0]), .bytes = 3 * SEGMENT_PAGE },
	{ .size = sizeof(shapes[0]),
	  .bytes = 5000,
	  .limit = 8 * SEGMENT_PAGE },
	{ .size = sizeof(shapes[0]),
	  .bytes = 2 * SEGMENT_PAGE,
	  .limit = 4 * SEGMENT_PAGE },
};

/* ---- Made in every state ------------------------------------------------ */

/* As one that dies in its turn, about to seal. */
static void turn_and_die(void *handle)
{
	struct stoa_segment *segment = handle;
	uint64_t agent;

	must(segment_take_turn(segment, &agent), "turn");
	atomic_fetch_or(&segment->control->seals, SEAL_ASKED);
}

static void populate(struct stoa_space *space, const char *name, unsigned shape)
{
	struct stoa_segment *segment;

	must(stoa_segment_open(space, name, STOA_CREATE | STOA_WRITE, 0600,
	                       &shapes[shape], &segment),
	     "open");
	memset(stoa_segment_data(segment), 'd', stoa_segment_size(segment));
	must(stoa_segment_resize(segment, segment->limit), "resize");
	if (shape == 2)
		must(stoa_segment_seal(segment, STOA_SEGMENT_SEAL_SHRINK),
		     "seal");
	hold_and_die(turn_and_die, segment);
	stoa_segment_close(segment);
}

static int open_segment(struct victim *victim)
{
	struct stoa_segment *segment;
	unsigned access = victim->flags || one_in(victim, 2) ?
				  STOA_WRITE :
				  STOA_READ;
	int result = stoa_segment_open(victim->space, victim->name,
	                               access | victim->flags, 0600,
	                               &shapes[victim->shape], &segment);

	if (result < 0)
		return result;
	victim->handle = segment;
	victim->object = &segment->object;
	return result;
}

static void close_segment(struct victim *victim)
{
	stoa_segment_close(victim->handle);
}

/* ---- Operations --------------------------------------------------------- */

/* All of it that it says it has can be touched. */
static long long touch(struct victim *victim)
{
	struct stoa_segment *segment = victim->handle;
	uint64_t size = stoa_segment_size(segment);
	char *data = stoa_segment_data(segment);

	if (size > segment->limit)
		finding("%llu bytes of %llu", (unsigned long long)size,
		        (unsigned long long)segment->limit);
	sum_of(data, size);
	if (segment->protection & PROT_WRITE && size > 0)
		data[some(victim, size)] = 'v';
	return stoa_segment_check(segment);
}

static long long resize(struct victim *victim)
{
	struct stoa_segment *segment = victim->handle;

	return stoa_segment_resize(segment,
	                           1 + some(victim, segment->limit));
}

static long long seal(struct victim *victim)
{
	return stoa_segment_seal(victim->handle,
	                         (unsigned)some(victim, 4) & ~1u);
}

static long long look(struct victim *victim)
{
	struct stoa_segment_status status = { .size = sizeof(status) };
	int result = stoa_segment_stat(victim->handle, &status);

	if (result == 0 && (status.bytes > status.limit ||
	                    status.writers > status.attached))
		finding("%llu bytes of %llu, %u of %u write",
		        (unsigned long long)status.bytes,
		        (unsigned long long)status.limit, status.writers,
		        status.attached);
	return result;
}

static long long count(struct victim *victim)
{
	int result = stoa_segment_attached(victim->handle);

	if (result == 0)
		finding("nobody is attached");
	return result;
}

static int see(const struct stoa_segment_attachment *attachment, void *context)
{
	*(unsigned *)context += (unsigned)attachment->pid;
	return 0;
}

static long long list(struct victim *victim)
{
	unsigned seen = 0;

	return stoa_segment_each_attachment(victim->handle, see, &seen);
}

static long long attach_again(struct victim *victim)
{
	struct stoa_segment *segment;
	int result = stoa_segment_open(victim->space, victim->name,
	                               one_in(victim, 2) ? STOA_WRITE :
							   STOA_READ,
	                               0, NULL, &segment);

	if (result < 0)
		return result;
	sum_of(stoa_segment_data(segment), stoa_segment_size(segment));
	stoa_segment_close(segment);
	return 0;
}

static const struct operation operations[] = {
	{ "touch", touch, 12, false, false },
	{ "resize", resize, 6, true, false },
	{ "seal", seal, 1, false, false },
	{ "stat", look, 3, false, false },
	{ "attached", count, 3, false, false },
	{ "each_attachment", list, 3, false, false },
	{ "open (once more)", attach_again, 3, true, false },
	{ "touch (once more)", touch, 4, false, false },
	{ NULL, NULL, 0, false, false },
};

/* ---- Where things are --------------------------------------------------- */

enum { CONTROL };

static void locate(struct image *image, const struct victim *victim)
{
	const struct stoa_segment *segment = victim->handle;

	image_region(image, "control", victim, segment->control,
	             sizeof(*segment->control), 0);
	image_idle_region(image, "data", victim,
	                  victim->object->base + segment->data_offset,
	                  segment->limit);
	image_number(image, segment->limit);
	image_number(image, segment->first_size);
}

static const struct field fields[] = {
	FIELD(CONTROL, segment_control, size, MEANS_NUMBER, 0),
	FIELD(CONTROL, segment_control, seals, MEANS_NUMBER, SEAL_ASKED),
	FIELD(CONTROL, segment_control, turned, MEANS_NUMBER, 0),
	FIELD(CONTROL, segment_control, owner, MEANS_AGENT, 0),
	{ .name = NULL },
};

/* Sealed; may only read; too full. */
static const int errors[] = { EPERM, EBADF, EBUSY, ENOSPC, 0 };

const struct noun segment_noun = {
	.kind = "segment",
	.shapes = LENGTH(shapes),
	.operations = operations,
	.errors = errors,
	.fields = fields,
	.populate = populate,
	.open = open_segment,
	.close = close_segment,
	.locate = locate,
};
