/* SPDX-License-Identifier: MIT */
/* data/queue_limit.c: limits in bytes and messages: the ways that are seldom
 * gone. See LIMITS in queue_layout.h. */
#include <base/error.h>
#include <base/system.h>
#include <data/queue_internal.h>

#include <limits.h>

#define COUNT_TRIES 8
/* So long what the index lists may differ from what is in. */
#define DIFFERENCE_NS INT64_C(100000000)

#define get(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define set(word, value) \
	atomic_store_explicit(&(word), value, memory_order_relaxed)

void queue_doubt(struct stoa_queue *queue)
{
	/* seq_cst: before the cell is free, for whoever counts */
	atomic_fetch_add_explicit(&queue->control->doubts, 1,
	                          memory_order_seq_cst);
}

static int in_doubt(struct stoa_queue *queue)
{
	return atomic_load_explicit(&queue->control->doubts,
	                            memory_order_seq_cst) !=
	       get(queue->control->settled);
}

/* ---- Growth ---------------------------------------------------------------- */

static int reserve(struct stoa_queue *queue, const void *from, size_t bytes)
{
	off_t at = (off_t)((const char *)from - (const char *)queue->object.base);
	int result = stoa_sys_fallocate(queue->object.fd, at, (off_t)bytes);

	if (result == -ENOSPC || result == -ENOMEM)
		return stoa_fail(-ENOSPC,
		                 "queue %s can't grow for more messages: the "
		                 "tmpfs is full; make it larger",
		                 queue->object.name);
	/* A descriptor that the program closed: the first touch reserves. */
	return 0;
}

static uint32_t grown_of(struct stoa_queue *queue)
{
	uint32_t grown = atomic_load_explicit(&queue->control->grown,
	                                      memory_order_acquire);

	return grown < queue->capacity ? grown : queue->capacity;
}

uint32_t queue_used(struct stoa_queue *queue)
{
	uint64_t tail = queue_sane(queue, queue_tail(queue));
	uint64_t used = grown_of(queue);

	if (!queue->limits || queue_lap_of(queue, tail) > QUEUE_FIRST_LAP)
		return queue->capacity;
	if (used < queue_index_of(queue, tail))
		used = queue_index_of(queue, tail);
	if (used != 0)
		used += QUEUE_GROW_AHEAD;
	return used < queue->capacity ? (uint32_t)used : queue->capacity;
}

int queue_grow(struct stoa_queue *queue)
{
	uint64_t tail = queue_sane(queue, queue_tail(queue));
	uint32_t index = queue_index_of(queue, tail);
	uint32_t grown = grown_of(queue);
	int result = 0;

	if (queue_lap_of(queue, tail) > QUEUE_FIRST_LAP)
		grown = queue->capacity;
	while (grown < queue->capacity &&
	       index + QUEUE_GROW_AHEAD >= grown) {
		uint32_t more = queue->capacity - grown;

		if (more > QUEUE_GROW_BY)
			more = QUEUE_GROW_BY;
		/* Beyond what is grown some are looked at: see queue_used(). */
		uint32_t most = more + QUEUE_GROW_AHEAD;
		if (most > queue->capacity - grown)
			most = queue->capacity - grown;
		result = reserve(queue, &queue->cells[grown],
		                 most * sizeof *queue->cells);
		if (result == 0)
			result = reserve(queue, &queue->payloads[grown],
			                 most * sizeof *queue->payloads);
		if (result == 0)
			result = reserve(queue, &queue->entries[grown],
			                 most * sizeof *queue->entries);
		if (result == 0)
			result = reserve(queue, &queue->nodes[2 * grown],
			                 2 * most * sizeof *queue->nodes);
		if (result < 0)
			return result;
		uint32_t before = grown;
		/* acq_rel: memory first. Lost: another has raised it. */
		if (atomic_compare_exchange_strong_explicit(
		            &queue->control->grown, &before, grown + more,
		            memory_order_acq_rel, memory_order_acquire))
			grown += more;
		else
			grown = grown_of(queue);
	}
	atomic_store_explicit(&queue->grown_to,
	                      grown == queue->capacity ?
	                              UINT64_MAX :
	                              queue_position(queue, QUEUE_FIRST_LAP,
	                                             grown - QUEUE_GROW_AHEAD),
	                      memory_order_relaxed);
	return 0;
}

int queue_grow_arena(struct stoa_queue *queue, uint64_t blocks)
{
	_Atomic uint32_t *word = &queue->control->arena_grown;
	uint32_t grown = atomic_load_explicit(word, memory_order_acquire);

	while (grown < blocks) {
		uint32_t most = queue->blocks - grown;
		uint64_t more = blocks - grown;

		if (more < QUEUE_GROW_BLOCKS)
			more = QUEUE_GROW_BLOCKS;
		if (more > most)
			more = most;
		int result = reserve(
		        queue,
		        queue->arena + (uint64_t)grown * QUEUE_BLOCK_BYTES,
		        more * QUEUE_BLOCK_BYTES);
		if (result < 0)
			return result;
		/* acq_rel: memory first. Lost: `grown` is what another made
		 * of it. */
		if (atomic_compare_exchange_strong_explicit(
		            word, &grown, grown + (uint32_t)more,
		            memory_order_acq_rel, memory_order_acquire))
			grown += (uint32_t)more;
	}
	atomic_store_explicit(&queue->arena_grown, grown,
	                      memory_order_relaxed);
	return 0;
}

/* ---- Counting -------------------------------------------------------------- */

/* What the cell's message adds to what is in. */
static uint64_t unit_in(struct stoa_queue *queue, struct queue_cell *cell,
                        int *unsure)
{
	uint64_t word = atomic_load_explicit(&cell->word, memory_order_seq_cst);
	enum queue_phase phase = QUEUE_WORD_PHASE(word);

	if (phase == QUEUE_FREE)
		return 0;
	if (phase != QUEUE_RESERVED && phase != QUEUE_WRITING)
		return queue_counted(cell);
	/* No doubt: it's counted as gone just now. */
	if (!stoa_object_alive(&queue->object, QUEUE_WORD_TOKEN(word))) {
		queue_give_up(queue, cell, word);
		return 0;
	}
	if (cell_get(cell, counted) >> 32 != QUEUE_WORD_LAP(word))
		return 0;
	*unsure = 1;
	return queue_counted(cell);
}

void queue_recount(struct stoa_queue *queue)
{
	struct queue_control *control = queue->control;

	for (int tries = 0; tries < COUNT_TRIES; tries++) {
		uint64_t content = 0;
		int unsure = 0;
		/* seq_cst, in this order: see LIMITS */
		uint64_t doubts = atomic_load_explicit(&control->doubts,
		                                       memory_order_seq_cst);
		uint64_t admitted = atomic_load_explicit(&control->admitted,
		                                         memory_order_seq_cst);

		for (uint32_t i = 0, used = queue_used(queue); i < used; i++)
			content += unit_in(queue, queue_cell_at(queue, i),
			                   &unsure);
		if (atomic_load_explicit(&control->admitted,
		                         memory_order_seq_cst) != admitted)
			continue;
		/* Before left: who dies between has left a doubt too many. */
		if (unsure && !in_doubt(queue))
			queue_doubt(queue);
		atomic_store_explicit(&control->left, admitted - content,
		                      memory_order_release);
		if (!unsure)
			set(control->settled, doubts);
		set(control->counted_ns,
		    stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE));
		return;
	}
}

/* What is in isn't what the index lists. It may be that some are taken; or the
 * sum was spoilt: then it doesn't stay so. */
static int differs_for_long(struct stoa_queue *queue)
{
	int64_t now = stoa_sys_clock_ns(CLOCK_MONOTONIC_COARSE);
	uint64_t admitted;

	if (queue_content(queue, &admitted) ==
	    ((uint64_t)get(queue->control->listed) << QUEUE_LIMIT_BITS) +
	            get(queue->control->listed_bytes))
		return 0;
	if (get(queue->control->counted_ns) == 0)
		set(queue->control->counted_ns, now);
	return now - get(queue->control->counted_ns) > DIFFERENCE_NS ||
	       now < get(queue->control->counted_ns);
}

/* ---- Full ------------------------------------------------------------------ */

/* It was found full, and nothing has changed. In this order: see LIMITS. */
static int full_as_noted(struct stoa_queue *queue, uint64_t bytes)
{
	uint64_t limits = queue_limits(queue);

	return queue->full.turn != 0 && __libc_single_threaded &&
	       atomic_load_explicit(&queue->control->admitted,
	                            memory_order_seq_cst) ==
	               queue->full.admitted &&
	       !queue_fits(limits, queue->full.admitted - queue->full.left,
	                   bytes) &&
	       atomic_load_explicit(&queue->control->doubts,
	                            memory_order_seq_cst) ==
	               queue->full.doubts &&
	       atomic_load_explicit(&queue->control->turns,
	                            memory_order_seq_cst) == queue->full.turn;
}

/* Under the lock, with everything listed. */
static int full_for_certain(struct stoa_queue *queue, uint64_t bytes)
{
	uint32_t buried = 0;
	uint32_t living = queue_sift_writing(queue, &buried);
	uint64_t doubts = atomic_load_explicit(&queue->control->doubts,
	                                       memory_order_seq_cst);
	uint64_t limits, admitted;

	if (in_doubt(queue) || (living == 0 && differs_for_long(queue)))
		queue_recount(queue);
	limits = queue_limits(queue);
	if (queue_fits(limits, queue_content(queue, &admitted), bytes))
		return 0;
	queue->full.turn = 0;
	if (living == 0 && __libc_single_threaded &&
	    doubts == get(queue->control->settled)) {
		queue->full.turn = get(queue->control->turns);
		queue->full.admitted = admitted;
		queue->full.left = get(queue->control->left);
		queue->full.doubts = doubts;
	}
	return 1;
}

int queue_full(struct stoa_queue *queue, uint64_t bytes)
{
	if (full_as_noted(queue, bytes))
		return -EAGAIN;
	int result = queue_selection_lock(queue, STOA_NOW);
	if (result < 0)
		return result;
	uint64_t left = get(queue->control->left);
	result = queue_list_all(queue);
	if (result == 0 && full_for_certain(queue, bytes))
		result = -EAGAIN;
	int more = get(queue->control->left) != left;
	queue_selection_unlock(queue);
	/* What the dead had is room for others, too. */
	if (more)
		queue_tell_senders(queue, INT_MAX);
	return result;
}

int queue_free_cell(struct stoa_queue *queue, struct queue_cell *cell,
                    uint64_t word)
{
	if (!queue->limits)
		return queue_exchange(cell, word, queue_freed(queue, word));
	uint64_t unit = queue_counted(cell);
	int locked = queue_selection_lock(queue, STOA_NOW) == 0;
	/* A stopped one has it. */
	if (!locked)
		queue_doubt(queue);
	int freed = queue_exchange(cell, word, queue_freed(queue, word));
	if (locked) {
		if (freed)
			queue_leave(queue, unit);
		queue_selection_unlock(queue);
	}
	return freed;
}

int stoa_queue_set_limit(struct stoa_queue *queue, uint64_t bytes,
                         uint64_t messages)
{
	int result = stoa_object_enter(&queue->object);

	if (result == 0)
		result = stoa_object_health(&queue->object);
	if (result < 0)
		return result;
	if (!queue->limits)
		return stoa_fail(-EINVAL,
		                 "queue %s was made without limits: give "
		                 "limit_bytes or limit_messages when it is "
		                 "made",
		                 queue->object.name);
	/* seq_cst: EVENT_DEKKER */
	atomic_store_explicit(&queue->control->limits,
	                      queue_pack_limits(bytes, messages) ^
	                              queue->limits,
	                      memory_order_seq_cst);
	if (stoa_event_asked(&queue->object, STOA_WRITE))
		stoa_event_raise(&queue->object, STOA_WRITE, INT_MAX);
	return (int)queue_end(queue, 0);
}
