/* SPDX-License-Identifier: MIT */
/* memory/segment_resize.c: the size of a segment, and its seals. */
#include <base/bug.h>
#include <base/futex.h>
#include <memory/segment_internal.h>

#define SEAL_MODE 0444 /* what stays of a sealed segment's mode */

/* ---- Turns --------------------------------------------------------------------- */

/* Whether the turn's owner is there; this thread itself isn't anymore. */
static int owner_alive(struct stoa_segment *segment, uint64_t owner,
                       uint64_t agent)
{
	return owner != agent &&
	       stoa_life_alive(&segment->object.space->life,
	                       AGENT_PEER(owner));
}

int segment_take_turn(struct stoa_segment *segment, uint64_t *ret_agent)
{
	struct segment_control *control = segment->control;
	int result = stoa_object_enter(&segment->object);
	uint64_t agent;

	if (result < 0)
		return result;
	agent = stoa_object_agent(&segment->object);
	if (agent == 0)
		return stoa_fail(-EAGAIN, "the process has too many threads");
	for (;;) {
		uint32_t turned = atomic_load_explicit(&control->turned,
		                                       memory_order_acquire);
		uint64_t owner = segment_get(control->owner);

		if (owner == 0 || !owner_alive(segment, owner, agent)) {
			/* acquire: pairs with the release in leave_turn() */
			if (atomic_compare_exchange_strong_explicit(
			            &control->owner, &owner, agent,
			            memory_order_acquire,
			            memory_order_relaxed))
				break;
			continue;
		}
		stoa_futex_wait(&control->turned, turned, STOA_SLICE_NS);
		result = segment_health(segment);
		if (result < 0)
			return result;
	}
	/* Whoever asked has died: the turn was its own. */
	if (segment_get(control->seals) & SEAL_ASKED)
		atomic_fetch_and_explicit(&control->seals, ~SEAL_ASKED,
		                          memory_order_seq_cst);
	*ret_agent = agent;
	return 0;
}

void segment_leave_turn(struct stoa_segment *segment, uint64_t agent)
{
	struct segment_control *control = segment->control;

	/* release: pairs with the acquire in take_turn() */
	atomic_compare_exchange_strong_explicit(&control->owner, &agent, 0,
	                                        memory_order_release,
	                                        memory_order_relaxed);
	atomic_fetch_add_explicit(&control->turned, 1, memory_order_release);
	stoa_futex_wake(&control->turned, STOA_FUTEX_ALL);
}

/* ---- Sizes ---------------------------------------------------------------------- */

int segment_load_size(struct stoa_segment *segment, uint64_t *ret_size)
{
	/* acquire: pairs with the release in commit_size() */
	uint64_t size = atomic_load_explicit(&segment->control->size,
	                                     memory_order_acquire) ?:
	                segment->first_size;

	if (size > segment->limit)
		return segment_damaged(segment, "its size was overwritten");
	*ret_size = size;
	return 0;
}

uint64_t stoa_segment_size(struct stoa_segment *segment)
{
	uint64_t mapped = segment_get(segment->mapped);
	uint64_t size = 0;

	if (segment_load_size(segment, &size) < 0)
		return mapped;
	if (size <= mapped || !segment->data)
		return size;
	return segment_extend(segment, size) < 0 ? mapped : size;
}

/* THE COMMIT POINT. release: what was done to the memory comes before. */
static void commit_size(struct stoa_segment *segment, uint64_t size)
{
	atomic_store_explicit(&segment->control->size, size,
	                      memory_order_release);
	segment_put(segment->control->last_change_ns,
	            stoa_sys_clock_ns(CLOCK_REALTIME));
}

/* Gives back whatever is beyond the size, and clears the rest of its page. */
static int give_back(struct stoa_segment *segment, uint64_t size)
{
	int result = 0;

	if (size < segment->limit)
		do
			result = stoa_sys_punch(
			        segment->object.fd,
			        (off_t)(segment->data_offset + size),
			        (off_t)(segment->limit - size));
		while (result == -EINTR);
	return result;
}

static int grow(struct stoa_segment *segment, uint64_t old, uint64_t bytes)
{
	struct stoa_object *object = &segment->object;
	int result = 0;

	if (STOA_BUG(60))
		commit_size(segment, bytes);
	/* Else it would not be zeros that it grows by. */
	if (!STOA_BUG(62))
		result = give_back(segment, old);
	if (result == 0)
		result = stoa_sys_fallocate(
		        object->fd, (off_t)(segment->data_offset + old),
		        (off_t)(bytes - old));
	if (result < 0) {
		give_back(segment, old);
		return stoa_fail(result,
		                 "no room for segment %s to have %llu bytes: "
		                 "%s; make the tmpfs larger",
		                 object->name, (unsigned long long)bytes,
		                 strerror(-result));
	}
	commit_size(segment, bytes);
	return segment_extend(segment, bytes);
}

/* Under the turn. */
static int resize(struct stoa_segment *segment, uint64_t bytes)
{
	uint32_t seals = segment_get(segment->control->seals);
	uint64_t old = 0;
	int result = segment_load_size(segment, &old);

	if (result < 0)
		return result;
	if (bytes > old ? seals & STOA_SEGMENT_SEAL_GROW :
	                  bytes < old && (seals & STOA_SEGMENT_SEAL_SHRINK))
		return stoa_fail(-EPERM,
		                 "segment %s is sealed: it can't %s any more",
		                 segment->object.name,
		                 bytes > old ? "grow" : "shrink");
	if (bytes > old)
		return grow(segment, old, bytes);
	if (STOA_BUG(61))
		give_back(segment, bytes);
	if (bytes < old)
		commit_size(segment, bytes);
	give_back(segment, bytes);
	return 0;
}

int stoa_segment_resize(struct stoa_segment *segment, uint64_t bytes)
{
	uint64_t agent;
	int result = segment_begin_write(segment);

	if (result < 0)
		return result;
	if (bytes == 0)
		return stoa_fail(-EINVAL, "segment %s can't have 0 bytes",
		                 segment->object.name);
	if (bytes > segment->limit)
		return stoa_fail(-EFBIG,
		                 "segment %s can have up to %llu bytes, as it "
		                 "was made, not %llu; make another with a "
		                 "higher limit",
		                 segment->object.name,
		                 (unsigned long long)segment->limit,
		                 (unsigned long long)bytes);
	result = segment_check_descriptor(segment);
	if (result == 0)
		result = segment_take_turn(segment, &agent);
	if (result < 0)
		return result;
	result = resize(segment, bytes);
	segment_leave_turn(segment, agent);
	return result;
}

/* ---- Seals ------------------------------------------------------------------------ */

/* Under the turn. See seals in segment_layout.h. */
static int seal_write(struct stoa_segment *segment)
{
	struct segment_control *control = segment->control;
	uint32_t writers;
	int result;

	/* seq_cst: pairs with the load in check_seals() */
	atomic_fetch_or_explicit(&control->seals, SEAL_ASKED,
	                         memory_order_seq_cst);
	result = segment_count(segment, &writers);
	if (result >= 0 && segment->data && writers > 0)
		writers--; /* this one */
	if (result >= 0 && writers > 0)
		result = stoa_fail(-EBUSY,
		                   "segment %s can't be sealed: %u other%s "
		                   "attached to write to it; stoa stat shows "
		                   "who",
		                   segment->object.name, writers,
		                   writers == 1 ? " is" : "s are");
	if (result >= 0 && segment->data)
		result = segment_map_read_only(segment);
	if (result < 0)
		atomic_fetch_and_explicit(&control->seals, ~SEAL_ASKED,
		                          memory_order_seq_cst);
	return result < 0 ? result : 0;
}

/* Those who don't ask stoa are kept out by the mode, if it's ours to change. */
static void seal_mode(struct stoa_segment *segment)
{
	struct stat stat;

	if (stoa_sys_fstat(segment->object.fd, &stat) == 0)
		stoa_sys_fchmod(segment->object.fd, stat.st_mode & SEAL_MODE);
}

/* Under the turn. */
static int seal(struct stoa_segment *segment, uint32_t seals)
{
	struct segment_control *control = segment->control;
	uint32_t before = segment_get(control->seals) & SEALS_ALL;
	int writes = (seals & ~before & STOA_SEGMENT_SEAL_WRITE) != 0;

	if (writes) {
		int result = seal_write(segment);

		if (result < 0)
			return result;
		seals = SEALS_ALL;
	}
	/* THE COMMIT POINT. It was asked for under this turn, so nobody else
	 * changes the word. seq_cst: see check_seals() */
	atomic_store_explicit(&control->seals, before | seals,
	                      memory_order_seq_cst);
	segment_put(control->last_change_ns,
	            stoa_sys_clock_ns(CLOCK_REALTIME));
	if (writes)
		seal_mode(segment);
	return 0;
}

int stoa_segment_seal(struct stoa_segment *segment, unsigned seals)
{
	uint64_t agent;
	int result = segment_begin_write(segment);

	if (result < 0)
		return result;
	if (seals & ~(unsigned)SEALS_ALL)
		return stoa_fail(-EINVAL,
		                 "seals 0x%x for segment %s: unknown ones",
		                 seals, segment->object.name);
	result = segment_check_descriptor(segment);
	if (result == 0)
		result = segment_take_turn(segment, &agent);
	if (result < 0)
		return result;
	result = seal(segment, seals);
	segment_leave_turn(segment, agent);
	return result;
}
