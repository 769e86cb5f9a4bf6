/* SPDX-License-Identifier: MIT */
/*
 * data/queue_ring.c: the cells: claiming a place, finding the oldest message,
 * giving back what the dead held. Lock-free; see queue_layout.h.
 */
#include <data/queue_internal.h>

/* Every walk over shared words ends, whatever others write into them. */
static uint64_t walk_limit(const struct stoa_queue *queue)
{
	return (uint64_t)queue->capacity * 4 + 4096;
}

/* ---- Claiming ------------------------------------------------------------ */

uint64_t queue_tail(struct stoa_queue *queue)
{
	uint64_t tail = queue_sane(
	        queue, atomic_load_explicit(&queue->control->tail,
	                                    memory_order_relaxed));
	uint64_t own = atomic_load_explicit(&queue->tail, memory_order_relaxed);
	uint64_t mark = queue_sane(
	        queue, atomic_load_explicit(&queue->control->void_mark,
	                                    memory_order_relaxed));

	if (tail < own)
		tail = own;
	return tail < mark ? mark : tail;
}

static void advance_tail(struct stoa_queue *queue, uint64_t position)
{
	atomic_store_explicit(&queue->tail, position, memory_order_relaxed);
	if (atomic_load_explicit(&queue->control->tail, memory_order_relaxed) <
	    position)
		atomic_store_explicit(&queue->control->tail, position,
		                      memory_order_relaxed);
}

/* All cells are full for certain: see FULL in queue_layout.h. */
static int full_at(struct stoa_queue *queue, uint64_t position, uint64_t word)
{
	uint64_t before = position - (UINT64_C(1) << 32);

	return queue->order == STOA_FIFO &&
	       QUEUE_WORD_PHASE(word) == QUEUE_READY &&
	       queue_ahead(word, position) == -1 &&
	       atomic_load_explicit(&queue->control->disorder,
	                            memory_order_seq_cst) < before;
}

void queue_give_up(struct stoa_queue *queue, struct queue_cell *cell,
                   uint64_t word)
{
	uint32_t index = (uint32_t)(cell - queue->cells);
	uint64_t tail = queue_tail(queue);

	/* Before the cell is free: a sender that finds it full must not trust
	 * in order. The position's lap in full is near the tail's. */
	queue_raise(&queue->control->disorder,
	            queue_position(queue_lap_of(tail) + 1, index));
	queue_exchange(cell, word, queue_freed(queue, word));
}

enum claim { CLAIM_GOOD, CLAIM_LOST, CLAIM_VOID };

static enum claim try_claim(struct stoa_queue *queue, uint64_t position,
                            uint64_t word, enum queue_phase phase, int skipped,
                            struct queue_found *ret_claim)
{
	struct queue_cell *cell = &queue->cells[queue_index_of(position)];
	uint64_t claim = QUEUE_WORD(queue_lap_of(position), phase,
	                            stoa_object_token(&queue->object));

	if (skipped) {
		if (!STOA_BUG(9))
			queue_raise(&queue->control->void_mark, position);
		queue_raise(&queue->control->disorder, position);
	}
	if (!queue_exchange(cell, word, claim))
		return CLAIM_LOST;
	/* seq_cst: QUEUE_VOID */
	if (stoa_unlikely(atomic_load_explicit(&queue->control->void_mark,
	                                       memory_order_seq_cst) >
	                  position)) {
		queue_give_up(queue, cell, claim);
		return CLAIM_VOID;
	}
	*ret_claim = (struct queue_found){ position, claim, cell, 0 };
	return CLAIM_GOOD;
}

int queue_claim(struct stoa_queue *queue, enum queue_phase phase,
                struct queue_found *ret_claim)
{
	uint64_t position = queue_tail(queue);
	uint64_t limit = walk_limit(queue);
	uint32_t busy = 0;
	int skipped = 0;

	for (uint64_t i = 0; i < limit; i++) {
		struct queue_cell *cell =
		        &queue->cells[queue_index_of(position)];
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_acquire);
		int32_t ahead = queue_ahead(word, position);
		int is_free = QUEUE_WORD_PHASE(word) == QUEUE_FREE;

		if (stoa_likely(is_free && ahead <= 0)) {
			enum claim claim = try_claim(queue, position, word,
			                             phase, skipped, ret_claim);

			if (stoa_likely(claim == CLAIM_GOOD)) {
				advance_tail(queue,
				             queue_next(queue, position));
				return 0;
			}
			if (claim == CLAIM_LOST)
				continue;
			skipped = 0;
		} else if (!is_free && ahead < 0) {
			if (!skipped && full_at(queue, position, word))
				return -EAGAIN;
			skipped = 1;
		}
		busy = is_free ? 0 : busy + 1;
		if (busy >= queue->capacity)
			return -EAGAIN;
		position = queue_next(queue, position);
	}
	return -EAGAIN;
}

int queue_has_room(struct stoa_queue *queue)
{
	uint64_t position = queue_tail(queue);

	for (uint32_t i = 0; i < queue->capacity; i++) {
		uint64_t word = atomic_load_explicit(
		        &queue->cells[queue_index_of(position)].word,
		        memory_order_acquire);

		if (QUEUE_WORD_PHASE(word) == QUEUE_FREE)
			return 1;
		if (full_at(queue, position, word))
			return 0;
		position = queue_next(queue, position);
	}
	return 0;
}

/* ---- Finding ------------------------------------------------------------- */

uint64_t queue_head(struct stoa_queue *queue)
{
	uint64_t head = queue_sane(
	        queue, atomic_load_explicit(&queue->control->head,
	                                    memory_order_relaxed));
	uint64_t own = atomic_load_explicit(&queue->head, memory_order_relaxed);

	return head < own ? own : head;
}

void queue_advance_head(struct stoa_queue *queue, uint64_t position)
{
	if (atomic_load_explicit(&queue->head, memory_order_relaxed) < position)
		atomic_store_explicit(&queue->head, position,
		                      memory_order_relaxed);
	if (atomic_load_explicit(&queue->control->head, memory_order_relaxed) <
	    position)
		atomic_store_explicit(&queue->control->head, position,
		                      memory_order_relaxed);
}

enum queue_place queue_look(struct stoa_queue *queue, uint64_t position,
                            uint64_t *ret_word)
{
	struct queue_cell *cell = &queue->cells[queue_index_of(position)];
	uint64_t word = atomic_load_explicit(&cell->word, memory_order_acquire);
	const uint64_t ready =
	        QUEUE_WORD(queue_lap_of(position), QUEUE_READY, 0);

	*ret_word = word;
	if (stoa_likely(word == ready))
		return PLACE_MESSAGE;
	/* seq_cst, in this order: QUEUE_VOID */
	uint64_t mark = atomic_load_explicit(&queue->control->void_mark,
	                                     memory_order_seq_cst);
	word = atomic_load_explicit(&cell->word, memory_order_seq_cst);
	*ret_word = word;
	int32_t ahead = queue_ahead(word, position);
	enum queue_phase phase = QUEUE_WORD_PHASE(word);

	if (ahead > 0)
		return PLACE_PASSED;
	if (ahead < 0 || phase == QUEUE_FREE)
		return mark > position ? PLACE_PASSED : PLACE_END;
	if (phase == QUEUE_READY)
		return PLACE_MESSAGE;
	if (phase == QUEUE_WRITING || phase == QUEUE_RESERVED)
		return PLACE_BUSY;
	return PLACE_PASSED;
}

/*
 * The second look of LOOKING AHEAD: a message committed meanwhile between
 * `from` and the one found is older, and is found instead. As it in turn may
 * be younger than one committed behind this look, the look starts again.
 */
static void look_again(struct stoa_queue *queue, uint64_t from,
                       struct queue_found *found)
{
	uint64_t position = from;

	while (position < found->position) {
		uint64_t word;

		if (queue_look(queue, position, &word) == PLACE_MESSAGE) {
			found->position = position;
			found->word = word;
			found->cell = &queue->cells[queue_index_of(position)];
			position = from;
			continue;
		}
		position = queue_next(queue, position);
	}
}

/* Brings back a head hint that lags by more than all cells: the least
 * position at which a cell is being written or has a message. */
static uint64_t least_position(struct stoa_queue *queue)
{
	uint64_t tail = queue_tail(queue);
	uint64_t least = tail;

	for (uint32_t i = 0; i < queue->capacity; i++) {
		uint64_t word = atomic_load_explicit(&queue->cells[i].word,
		                                     memory_order_acquire);
		enum queue_phase phase = QUEUE_WORD_PHASE(word);
		int32_t ahead = queue_ahead(word, tail);
		uint64_t position = queue_position(
		        queue_lap_of(tail) + (uint32_t)ahead, i);

		if ((phase == QUEUE_READY || phase == QUEUE_WRITING ||
		     phase == QUEUE_RESERVED) &&
		    position < least)
			least = position;
	}
	return least;
}

int queue_find(struct stoa_queue *queue, struct queue_found *ret_found,
               int *ret_soon)
{
	uint64_t position = queue_head(queue);
	uint64_t busy_from = 0;
	uint64_t limit = walk_limit(queue);

	*ret_soon = 0;
	if (stoa_unlikely(atomic_load_explicit(&queue->control->returned,
	                                       memory_order_seq_cst) != 0) &&
	    !STOA_BUG(15) && queue_find_returned(queue, ret_found))
		return 0;
	for (uint64_t i = 0; i < limit; i++) {
		uint64_t word;

		switch (queue_look(queue, position, &word)) {
		case PLACE_MESSAGE:
			*ret_found = (struct queue_found){
				position, word,
				&queue->cells[queue_index_of(position)],
				busy_from != 0
			};
			if (stoa_unlikely(busy_from != 0))
				look_again(queue, busy_from, ret_found);
			return 0;
		case PLACE_BUSY:
			if (QUEUE_WORD_PHASE(word) == QUEUE_WRITING)
				*ret_soon = 1;
			if (busy_from == 0)
				busy_from = position;
			break;
		case PLACE_PASSED:
			if (busy_from == 0)
				queue_advance_head(queue,
				                   queue_next(queue, position));
			break;
		case PLACE_END:
			if (STOA_BUG(15) &&
			    queue_find_returned(queue, ret_found))
				return 0;
			return -EAGAIN;
		}
		position = queue_next(queue, position);
		if (i == 2 * (uint64_t)queue->capacity && busy_from == 0) {
			position = least_position(queue);
			queue_advance_head(queue, position);
		}
	}
	return -EAGAIN;
}

/* ---- What came back ------------------------------------------------------ */

/*
 * Looks at all cells, as returning is rare. The hint goes back to 0 only if it
 * is what it was before the scan, and the scan found nothing: whoever returns
 * a message raises it between RETURNING and RETURNED, and the scan finishes
 * what it finds in RETURNING.
 */
int queue_find_returned(struct stoa_queue *queue, struct queue_found *ret_found)
{
	uint64_t hint = atomic_load_explicit(&queue->control->returned,
	                                     memory_order_seq_cst);
	int found = 0;

	for (uint32_t i = 0; i < queue->capacity; i++) {
		struct queue_cell *cell = &queue->cells[i];
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_seq_cst);

		if (QUEUE_WORD_PHASE(word) == QUEUE_RETURNING) {
			queue_finish_return(queue, cell, word);
			word = atomic_load_explicit(&cell->word,
			                            memory_order_seq_cst);
		}
		if (QUEUE_WORD_PHASE(word) != QUEUE_RETURNED)
			continue;
		uint64_t position = queue_position(cell_get(cell, lap), i);
		if (found && position >= ret_found->position)
			continue;
		*ret_found = (struct queue_found){ position, word, cell, 0 };
		found = 1;
	}
	if (!found)
		atomic_compare_exchange_strong_explicit(
		        &queue->control->returned, &hint, 0,
		        memory_order_seq_cst, memory_order_relaxed);
	return found;
}

uint64_t queue_freed(struct stoa_queue *queue, uint64_t word)
{
	/* Held for 2^26 laps or more, a lap would soon look like one ahead. */
	uint32_t now = queue_lap_of(
	        atomic_load_explicit(&queue->head, memory_order_relaxed));
	uint32_t lap = QUEUE_WORD_LAP(word);

	if (stoa_unlikely(((now - lap) & QUEUE_LAP_MASK) > 1u << 26 &&
	                  ((now - lap) & QUEUE_LAP_MASK) < 1u << 27))
		lap = now - 2;
	return QUEUE_WORD(lap + 1, QUEUE_FREE, 0);
}

void queue_finish_return(struct stoa_queue *queue, struct queue_cell *cell,
                         uint64_t word)
{
	uint32_t deliveries = cell_get(cell, deliveries);

	if (!STOA_BUG(6))
		deliveries++;
	/* seq_cst: see queue_find_returned() */
	if (!STOA_BUG(7))
		atomic_fetch_add_explicit(&queue->control->returned, 1,
		                          memory_order_seq_cst);
	if (queue_exchange(cell, word,
	                   QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_RETURNED,
	                              deliveries & QUEUE_TOKEN_MASK)))
		atomic_fetch_add_explicit(&queue->control->returned_total, 1,
		                          memory_order_relaxed);
}

/* ---- Burial -------------------------------------------------------------- */

static void bury_taken(struct stoa_queue *queue, struct queue_cell *cell,
                       uint64_t word)
{
	uint64_t returning = QUEUE_WORD(QUEUE_WORD_LAP(word), QUEUE_RETURNING,
	                                QUEUE_WORD_TOKEN(word));

	if (STOA_BUG(5)) {
		queue_exchange(cell, word, queue_freed(queue, word));
		return;
	}
	if (queue_exchange(cell, word, returning))
		queue_finish_return(queue, cell, returning);
}

int queue_bury(struct stoa_object *object, uint32_t token)
{
	struct stoa_queue *queue = (struct stoa_queue *)object;
	uint32_t registered = token;

	for (uint32_t i = 0; i < queue->capacity; i++) {
		struct queue_cell *cell = &queue->cells[i];
		uint64_t word = atomic_load_explicit(&cell->word,
		                                     memory_order_acquire);

		if (QUEUE_WORD_TOKEN(word) != token)
			continue;
		switch (QUEUE_WORD_PHASE(word)) {
		case QUEUE_RESERVED:
		case QUEUE_WRITING:
			if (!STOA_BUG(4))
				queue_give_up(queue, cell, word);
			break;
		case QUEUE_TAKEN:
			bury_taken(queue, cell, word);
			break;
		case QUEUE_RETURNING:
			queue_finish_return(queue, cell, word);
			break;
		default:
			break;
		}
	}
	/* acq_rel: nothing else of the registration is touched */
	atomic_compare_exchange_strong_explicit(&queue->control->notify_token,
	                                        &registered, 0,
	                                        memory_order_acq_rel,
	                                        memory_order_relaxed);
	return 0;
}
